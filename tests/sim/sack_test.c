/* The stream in SACK mode against the truth of the simulated internet, packet by packet. */
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
#define HOSTS                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "host app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open "
#define LINKS "\nlink ams r1 delay 1ms\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n"
#define CHAIN HOSTS LINKS
#define SHORT                                                                                                         \
    "vantage ams address 198.18.1.2/24\nrouter r1\nlink ams r1\nhost app address 198.18.10.10 "
#define LINK "\nlink r1 app\n"

static const char *const targets[] = {APP, APP6};

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct world *world = user;
    world->ping_result = result;
    world->is_done = true;
}

static void open_world(struct world *world, const char *scenario)
{
    world_open(world, scenario, NULL);
    world->ping.protocol = PROBE_TCP;
    world->ping.mode = PROBE_PING_SACK;
}

static struct probe_ping *start(struct world *world, const char *to)
{
    struct probe_ping *ping;
    world->is_done = false;
    assert_int_equal(sock_parse_ip(to, &world->ping.dst), 0);
    sock_set_port(&world->ping.dst, 443);
    assert_int_equal(probe_ping_start(world->engines[0], &world->ping, &world->arena, NULL, on_ping, world, &ping, NULL),
                     0);
    return ping;
}

static const struct probe_ping_result *ping(struct world *world, const char *to)
{
    (void)start(world, to);
    sim_run(world->sim, 3600 * CLOCK_S, &world->is_done);
    assert_true(world->is_done);
    assert_int_equal(probe_engine_stats(world->engines[0])->rounds, 0);
    sim_run(world->sim, CLOCK_S, NULL);
    return world->ping_result;
}

static struct lab_truth_sum truth_of(struct world *world, const char *to, enum lab_kind kind)
{
    struct lab_truth_sum sum;
    lab_truth_sum(sim_truth(world->sim), 0, to, kind, 0, &sum);
    return sum;
}

static void assert_is_true(struct world *world, const char *to)
{
    const struct probe_ping_result *result = world->ping_result;
    struct lab_truth_sum truth = truth_of(world, to, LAB_KIND_TCP_DATA);
    assert_int_equal(result->session, PROBE_SESSION_OPEN);
    assert_int_equal(result->sent, truth.sent);
    assert_int_equal(result->received, truth.received);
    assert_int_equal(result->duplicates, truth.duplicates);
    assert_int_equal(result->reordered, truth.reordered);
    assert_int_equal(result->overloaded, 0);
    if (truth.received == 0)
        return;
    assert_true(fabs(result->avg_rtt_ns - (double)truth.rtt_sum_ns / (double)truth.received) < 1);
    assert_true(result->min_rtt_ns == (double)truth.rtt_min_ns);
    assert_true(result->max_rtt_ns == (double)truth.rtt_max_ns);
}

static void clean_path_is_exact(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, CHAIN);
    for (int i = 0; i < 2; i++) {
        const struct probe_ping_result *result = ping(&world, targets[i]);
        assert_int_equal(result->sent, 50);
        assert_int_equal(result->received, 50);
        assert_true(result->avg_rtt_ns == 20e6 && result->jitter_ns == 0);
        assert_true(result->handshake_ns == 20 * CLOCK_MS);
        assert_int_equal(result->mss, i ? 1440 : 1460);
        assert_int_equal(truth_of(&world, targets[i], LAB_KIND_TCP_SYN).sent, 1);
        assert_int_equal(truth_of(&world, targets[i], LAB_KIND_TCP_OLD).sent, 7);
        assert_is_true(&world, targets[i]);
    }
    world_close(&world);
}

static void compressed_answers_are_prevented(void **state)
{
    (void)state;
    static const char *const hosts[] = {HOSTS "compressed-acks on" LINKS, HOSTS "compressed-acks warm" LINKS};
    for (size_t h = 0; h < 2; h++) {
        struct world world;
        open_world(&world, hosts[h]);
        const struct probe_ping_result *result = ping(&world, APP);
        assert_int_equal(result->received, 50);
        assert_true(result->max_rtt_ns == 20e6);
        assert_is_true(&world, APP);
        world_close(&world);
    }
}

static void every_payload_is_answered(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 56, 536, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct world world;
        open_world(&world, CHAIN);
        world.ping.payload_bytes = sizes[s];
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ping(&world, targets[i])->received, 50);
            assert_is_true(&world, targets[i]);
        }
        world_close(&world);
    }
    struct world world; /* 46 of these are what the window of 65535 bytes takes */
    open_world(&world, CHAIN);
    world.ping.payload_bytes = 1400;
    assert_int_equal(ping(&world, APP)->received, 46);
    assert_is_true(&world, APP);
    world_close(&world);
}

static void loss_is_true_to_the_packet(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, HOSTS "\nlink ams r1 delay 1ms loss 10% from ams loss 20% to ams\nlink r1 r2 delay 4ms\n"
                             "link r2 app delay 5ms\n");
    world.ping.count = 900;
    world.ping.rate_pps = 140;
    for (int i = 0; i < 2; i++) {
        const struct probe_ping_result *result = ping(&world, targets[i]);
        struct lab_truth_sum truth = truth_of(&world, targets[i], LAB_KIND_TCP_DATA);
        assert_int_equal(truth.sent, 900);
        assert_in_range(truth.received, 560, 720);
        /* Four blocks tell of the last holes only: a little of what arrived may stay unknown. */
        assert_in_range(result->lost_on_return, truth.lost_return * 9 / 10, truth.lost_return);
        assert_is_true(&world, targets[i]);
    }
    world_close(&world);
}

static void duplicates_and_reordering_are_true(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, HOSTS "\nlink ams r1 delay 1ms reorder 5% by 25ms to ams\nlink r1 r2 delay 4ms duplicate 3%\n"
                             "link r2 app delay 5ms\n");
    world.ping.count = 1000;
    world.ping.rate_pps = 100;
    for (int i = 0; i < 2; i++) {
        assert_in_range(ping(&world, targets[i])->reordered, 20, 90);
        assert_is_true(&world, targets[i]);
    }
    world_close(&world);
}

static void what_cannot_be_measured_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *scenario;
        enum probe_ping_session session;
        uint32_t sent;
    } cases[] = {
        {HOSTS "sack not-permitted" LINKS, PROBE_SESSION_NOT_PERMITTED, 0},
        {HOSTS "sack never-sent" LINKS, PROBE_SESSION_NO_SACK, 1},
        {CHAIN "node r1 strip sack\n", PROBE_SESSION_NO_SACK, 1},
        {CHAIN "node r1 sequence-randomize no-sack\n", PROBE_SESSION_NO_SACK, 1},
        {CHAIN "syn-proxy r1 to 198.18.10.0/24 delay 18ms\n", PROBE_SESSION_TOO_FAST, 5},
        {SHORT LINK, PROBE_SESSION_REFUSED, 0},
        {SHORT "tcp others silent" LINK, PROBE_SESSION_SILENT, 3},
        {SHORT "tcp others rejected" LINK, PROBE_SESSION_UNREACHABLE, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct world world;
        open_world(&world, cases[c].scenario);
        const struct probe_ping_result *result = ping(&world, APP);
        assert_int_equal(result->session, cases[c].session);
        assert_int_equal(result->sent, cases[c].sent);
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(clean_path_is_exact),
        cmocka_unit_test(compressed_answers_are_prevented),
        cmocka_unit_test(every_payload_is_answered),
        cmocka_unit_test(loss_is_true_to_the_packet),
        cmocka_unit_test(duplicates_and_reordering_are_true),
        cmocka_unit_test(what_cannot_be_measured_is_told),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
