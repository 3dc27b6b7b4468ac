/* Thousands of rounds at once: nobody gets anybody else's answers, and nothing is lost on the way. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "world.h"

#define BLOCKS                                                                                                        \
    "vantage ams address 198.18.1.2/24\nvantage fra address 198.18.2.2/24\nrouter r1 address 198.51.100.1\n"          \
    "router r2 address 198.51.100.2\nlink ams r1 delay 1ms\nlink fra r1 delay 2ms\nlink r1 r2 delay 3ms\n"            \
    "block 198.18.32.0/20 behind r2 delay 2ms\n"

struct round {
    struct arena arena;
    const struct probe_ping_result *ping;
    const struct probe_trace_result *trace;
};

static void on_ping(void *user, const struct probe_ping_result *result)
{
    ((struct round *)user)->ping = result;
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    ((struct round *)user)->trace = result;
}

static struct round *new_rounds(unsigned count)
{
    struct round *rounds = mem_alloc_array(count, sizeof *rounds);
    for (unsigned i = 0; i < count; i++)
        arena_init(&rounds[i].arena, 1 << 20);
    return rounds;
}

static void free_rounds(struct round *rounds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        arena_done(&rounds[i].arena);
    mem_free(rounds);
}

static void two_thousand_streams(void **state)
{
    (void)state;
    struct world world;
    struct round *rounds = new_rounds(2000);
    struct probe_ping *ping;
    world_open(&world, BLOCKS, NULL);
    (void)sock_parse_ip("198.18.32.1", &world.ping.dst);
    uint32_t first = ntohl(world.ping.dst.in4.sin_addr.s_addr);
    for (unsigned i = 0; i < 2000; i++) { /* a hundred of them to each of the first addresses */
        world.ping.dst.in4.sin_addr.s_addr = htonl(first + i % 1000);
        assert_int_equal(probe_ping_start(world.engines[i % 2], &world.ping, &rounds[i].arena, NULL, on_ping, &rounds[i],
                                          &ping, NULL),
                         0);
    }
    sim_run(world.sim, 20 * CLOCK_S, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        assert_non_null(rounds[i].ping);
        assert_int_equal(rounds[i].ping->sent, 50);
        assert_int_equal(rounds[i].ping->received, 50);
        assert_int_equal(rounds[i].ping->duplicates, 0);
        double expected = i % 2 ? 14e6 : 12e6; /* each from its own vantage point */
        assert_true(rounds[i].ping->min_rtt_ns == expected && rounds[i].ping->max_rtt_ns == expected);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(probe_engine_stats(world.engines[i])->matched, 50000);
        assert_int_equal(probe_engine_stats(world.engines[i])->foreign, 0);
        assert_int_equal(probe_engine_stats(world.engines[i])->dropped, 0);
        assert_int_equal(probe_engine_stats(world.engines[i])->rounds, 0);
    }
    free_rounds(rounds, 2000);
    world_close(&world);
}

static void a_thousand_traces_to_one_target(void **state)
{
    (void)state;
    struct world world;
    struct round *rounds = new_rounds(1000);
    struct probe_trace *trace;
    char scenario[6000];
    size_t at = 0;
    at += (size_t)snprintf(scenario, sizeof scenario,
                           "vantage ams address 198.18.1.2/24\nhost app address 198.18.10.10\nrouter a\nrouter z\n"
                           "link ams a delay 1ms\nlink z app delay 1ms\n");
    for (unsigned i = 0; i < 8; i++) /* eight ways */
        at += (size_t)snprintf(scenario + at, sizeof scenario - at,
                               "router m%u\nlink a m%u delay %ums\nlink m%u z delay 1ms\n", i, i, i + 1, i);
    world_open(&world, scenario, NULL);
    (void)sock_parse_ip("198.18.10.10", &world.trace.dst);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(probe_trace_start(world.engines[0], &world.trace, &rounds[i].arena, NULL, on_trace, &rounds[i],
                                           &trace, NULL),
                         0);
    sim_run(world.sim, 20 * CLOCK_S, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        assert_non_null(rounds[i].trace);
        for (uint32_t f = 0; f < 3; f++) {
            const struct probe_trace_flow *flow = &rounds[i].trace->flows[f];
            assert_int_equal(flow->end, PROBE_TRACE_REACHED);
            assert_int_equal(flow->hop_count, 4);
            assert_true(world_is_true_path(&world, flow, "198.18.10.10"));
        }
    }
    free_rounds(rounds, 1000);
    world_close(&world);
}

static void the_engine_has_ceilings(void **state)
{
    (void)state;
    struct world world;
    struct round *rounds = new_rounds(9000);
    struct probe_ping *ping;
    struct error err;
    unsigned started = 0, refused = 0;
    world_open(&world, BLOCKS, NULL);
    (void)sock_parse_ip("198.18.32.1", &world.ping.dst);
    for (unsigned i = 0; i < 9000; i++) {
        int rc = probe_ping_start(world.engines[0], &world.ping, &rounds[i].arena, NULL, on_ping, &rounds[i], &ping, &err);
        if (rc == 0)
            started++;
        else
            assert_int_equal(rc, -E_LIMIT);
        refused += rc != 0;
    }
    assert_int_equal(started, LIMIT_ENGINE_PROBES / 50);
    assert_int_equal(refused, 9000 - started);
    assert_int_equal(probe_engine_stats(world.engines[0])->rounds_refused, refused);
    free_rounds(rounds, 9000);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_thousand_streams),
        cmocka_unit_test(a_thousand_traces_to_one_target),
        cmocka_unit_test(the_engine_has_ceilings),
    };
    return cmocka_run_group_tests_name("many rounds in the simulated internet", tests, NULL, NULL);
}
