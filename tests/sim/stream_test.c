/* The echo stream against the truth of the simulated internet, packet by packet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"              \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\n"

static const char *const targets[] = {APP, APP6};

static void clean_path_is_exact(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN, NULL);
    for (int i = 0; i < 2; i++) {
        const struct probe_ping_result *result = world_ping(&world, targets[i]);
        assert_int_equal(result->sent, 50);
        assert_true(result->avg_rtt_ns == 20e6 && result->jitter_ns == 0);
        assert_int_equal(result->reply_ttl, 61);
        world_assert_ping_is_true(&world, targets[i]);
    }
    world_close(&world);
}

static void every_payload_is_answered(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 7, 56, 1400};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct world world;
        world_open(&world, CHAIN, NULL);
        world.ping.payload_bytes = sizes[s];
        for (int i = 0; i < 2; i++) {
            (void)world_ping(&world, targets[i]);
            assert_int_equal(world.ping_result->received, 50);
            world_assert_ping_is_true(&world, targets[i]);
        }
        world_close(&world);
    }
}

static void loss_is_true_to_the_packet(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\n"
               "host app address 198.18.10.10 v6 2001:db8:a::10 echo-loss 5%\n"
               "link ams r1 delay 5ms loss 10% from ams loss 20% to ams\nlink r1 app delay 1ms jitter 3ms\n",
               NULL);
    world.ping.count = 1000;
    world.ping.rate_pps = 200;
    for (int i = 0; i < 2; i++) {
        (void)world_ping(&world, targets[i]);
        world_assert_ping_is_true(&world, targets[i]);
        struct lab_truth_sum truth = world_truth(&world, targets[i], 0);
        assert_int_equal(truth.sent, 1000);
        assert_in_range(truth.received, 620, 750);
        assert_int_equal(truth.sent - truth.received, truth.lost_forward + truth.lost_return + truth.suppressed);
    }
    world_close(&world);
}

static void duplicates_and_reordering_are_true(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\n"
               "host app address 198.18.10.10 v6 2001:db8:a::10\n"
               "link ams r1 delay 5ms duplicate 10% from ams reorder 8% by 35ms to ams\nlink r1 app delay 1ms\n",
               NULL);
    world.ping.count = 500;
    world.ping.rate_pps = 100;
    for (int i = 0; i < 2; i++) {
        (void)world_ping(&world, targets[i]);
        assert_true(world.ping_result->duplicates > 20);
        assert_true(world.ping_result->reordered > 20);
        world_assert_ping_is_true(&world, targets[i]);
    }
    world_close(&world);
}

static void silence_and_unreachability_are_told_apart(void **state)
{
    (void)state;
    struct world world;
    char text[SOCK_TEXT_BYTES];
    world_open(&world,
               CHAIN "host quiet address 198.18.11.1 silent\nlink r3 quiet\n"
                     "network 198.18.20.0/24 behind r2 host-unreachable\nfirewall r3 deny echo to 198.18.10.0/24 with "
                     "prohibited\n",
               NULL);
    (void)world_ping(&world, "198.18.11.1");
    assert_int_equal(world.ping_result->received, 0);
    assert_int_equal(world.ping_result->errors, 0);
    world_assert_ping_is_true(&world, "198.18.11.1");
    (void)world_ping(&world, "198.18.20.7");
    assert_int_equal(world.ping_result->errors, 50);
    assert_int_equal(world.ping_result->error_type, 3);
    assert_int_equal(world.ping_result->error_code, 1);
    assert_string_equal(sock_ip_text(&world.ping_result->error_from, text, sizeof text), "198.51.100.2");
    (void)world_ping(&world, APP);
    assert_int_equal(world.ping_result->errors, 50);
    assert_string_equal(sock_ip_text(&world.ping_result->error_from, text, sizeof text), "198.51.100.3");
    assert_true(world.ping_result->error_code == 13 || world.ping_result->error_code == 10 ||
                world.ping_result->error_code == 9);
    world_close(&world);
}

static void long_path_has_fewer_probes(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\n"
               "host app address 198.18.10.10 v6 2001:db8:a::10\nlink ams r1 delay 300ms\nlink r1 app\n",
               NULL);
    (void)world_ping(&world, APP);
    assert_in_range(world.ping_result->sent, 17, 30);
    world_assert_ping_is_true(&world, APP);
    assert_true(world.ping_result->end_ns - world.ping_result->start_ns <= 8 * CLOCK_S);
    world_close(&world);
}

static void continuous_stream_sees_a_short_fault(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "after 20500ms for 3s { link r1 r2 down }\n", NULL);
    world.ping.count = 60;
    world.ping.rate_pps = 1;
    world.ping.ceiling_ns = 65 * CLOCK_S;
    (void)world_ping(&world, APP);
    assert_int_equal(world.ping_result->sent, 60);
    assert_int_equal(world.ping_result->received, 57);
    for (uint32_t i = 0; i < 60; i++) {
        int64_t at = world.ping_result->probes[i].tx_ns - world.ping_result->start_ns;
        assert_in_range(at, i * CLOCK_S, i * CLOCK_S + 5 * CLOCK_MS);
        assert_int_equal(world.ping_result->probes[i].status == PROBE_PING_ANSWERED, i < 21 || i > 23);
    }
    world_close(&world);
}

static void wrong_clocks_do_not_matter(void **state)
{
    (void)state;
    static const struct sim_host hosts[] = {
        {.offset_ns = 86400 * CLOCK_S}, {.offset_ns = -86400 * CLOCK_S}, {.drift_ppm = 100}, {.drift_ppm = -200}};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct world world;
        world_open(&world, CHAIN, &hosts[i]);
        (void)world_ping(&world, APP);
        assert_int_equal(world.ping_result->received, 50);
        double expected = 20e6 * (1 + hosts[i].drift_ppm / 1e6); /* 20.002 ms on a clock that runs 100 ppm fast */
        assert_true(fabs(world.ping_result->avg_rtt_ns - expected) <= 2);
        assert_true(world.ping_result->jitter_ns <= 2);
        assert_int_equal(world.ping_result->start_wall_ns, WORLD_WALL_NS + hosts[i].offset_ns);
        world_close(&world);
    }
}

static void keep_result(void *user, const struct probe_ping_result *result)
{
    *(const struct probe_ping_result **)user = result;
}

static void steps_of_the_wall_clock_do_not_matter(void **state)
{
    (void)state;
    static const int64_t steps[] = {CLOCK_S, -CLOCK_S, 3600 * CLOCK_S, -3600 * CLOCK_S, 15 * CLOCK_MS, -15 * CLOCK_MS};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct world world;
        struct probe_ping *ping;
        const struct probe_ping_result *result = NULL;
        world_open(&world, CHAIN, NULL);
        (void)sock_parse_ip(APP, &world.ping.dst);
        assert_int_equal(probe_ping_start(world.engines[0], &world.ping, &world.arena, NULL, keep_result, &result, &ping,
                                          NULL),
                         0);
        sim_run(world.sim, 311 * CLOCK_MS, NULL); /* with a probe out: sent before the step, answered after it */
        sim_io_step_wall(world.ios[0], steps[i]);
        sim_run(world.sim, 500 * CLOCK_MS, NULL);
        sim_io_step_wall(world.ios[0], -steps[i] / 3);
        sim_run(world.sim, 10 * CLOCK_S, NULL);
        assert_non_null(result);
        assert_int_equal(result->received, 50);
        assert_true(result->min_rtt_ns == 20e6 && result->max_rtt_ns == 20e6);
        world_close(&world);
    }
}

static void small_buffer_is_overload_and_no_loss(void **state)
{
    (void)state;
    struct world world;
    struct probe_ping *ping;
    const struct probe_ping_result *results[40];
    uint64_t sent = 0, received = 0, overloaded = 0;
    world_open(&world, "vantage ams address 198.18.1.2/24\nrouter r1\nlink ams r1 delay 5ms\n"
                       "block 198.18.32.0/20 behind r1 delay 1ms\n",
               &(struct sim_host){.receive_room = 20});
    for (unsigned i = 0; i < 40; i++) {
        (void)sock_parse_ip("198.18.32.1", &world.ping.dst);
        world.ping.dst.in4.sin_addr.s_addr += htonl(i);
        assert_int_equal(probe_ping_start(world.engines[0], &world.ping, &world.arena, NULL, keep_result, &results[i], &ping,
                                          NULL),
                         0);
    }
    sim_run(world.sim, 20 * CLOCK_S, NULL);
    for (unsigned i = 0; i < 40; i++) {
        sent += results[i]->sent;
        received += results[i]->received;
        overloaded += results[i]->overloaded;
    }
    assert_true(overloaded > 0);
    assert_int_equal(sent, received); /* nothing is told as lost, for the network lost nothing */
    assert_int_equal(sent + overloaded, 2000);
    assert_int_equal(probe_engine_stats(world.engines[0])->dropped, overloaded);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_path_is_exact),
        cmocka_unit_test(every_payload_is_answered),
        cmocka_unit_test(loss_is_true_to_the_packet),
        cmocka_unit_test(duplicates_and_reordering_are_true),
        cmocka_unit_test(silence_and_unreachability_are_told_apart),
        cmocka_unit_test(long_path_has_fewer_probes),
        cmocka_unit_test(continuous_stream_sees_a_short_fault),
        cmocka_unit_test(wrong_clocks_do_not_matter),
        cmocka_unit_test(steps_of_the_wall_clock_do_not_matter),
        cmocka_unit_test(small_buffer_is_overload_and_no_loss),
    };
    return cmocka_run_group_tests_name("echo stream in the simulated internet", tests, NULL, NULL);
}
