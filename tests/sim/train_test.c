/* Capacity and available bandwidth against the links of the simulated internet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/train.h"
#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\nrouter r2\nrouter r3\n"                        \
    "host app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open\n"

struct measurement {
    bool is_done;
    const struct probe_train_result *result;
};

static void on_done(void *user, const struct probe_train_result *result)
{
    struct measurement *measurement = user;
    measurement->is_done = true;
    measurement->result = result;
}

static const struct probe_train_result *run_train(struct world *world, enum probe_protocol protocol, const char *to)
{
    struct probe_train_settings settings;
    struct probe_train *train;
    struct measurement measurement = {0};
    struct error err;
    probe_train_defaults(&settings);
    settings.protocol = protocol;
    assert_int_equal(sock_parse_ip(to, &settings.dst), 0);
    sock_set_port(&settings.dst, protocol == PROBE_TCP ? 443 : 0);
    if (probe_train_start(world->engines[0], &settings, &world->arena, on_done, &measurement, &train, &err) != 0)
        fail_msg("%s %s", err.where, err.text);
    sim_run(world->sim, 60 * CLOCK_S, &measurement.is_done);
    assert_true(measurement.is_done);
    assert_int_equal(probe_engine_stats(world->engines[0])->rounds, 0);
    return measurement.result;
}

static void open_link(struct world *world, const char *link)
{
    char text[2000];
    (void)snprintf(text, sizeof text, NODES "link ams r1 delay 1ms rate 1gbit\nlink r1 r2 delay 2ms rate 1gbit\n"
                                            "link r2 r3 delay 3ms %s\nlink r3 app delay 4ms rate 1gbit\n", link);
    world_open_small(world, text);
}

static void an_idle_path_is_exact(void **state)
{
    (void)state;
    static const struct { const char *link; double bps; } links[] = {
        {"rate 2mbit", 2e6}, {"rate 10mbit", 10e6}, {"rate 34mbit", 34e6}, {"rate 100mbit", 100e6}, {"rate 155mbit", 155e6}};
    for (size_t i = 0; i < sizeof links / sizeof links[0] * 4; i++) {
        struct world world;
        open_link(&world, links[i / 4].link);
        const struct probe_train_result *result = run_train(&world, i / 2 % 2 ? PROBE_TCP : PROBE_ICMP, i % 2 ? APP6 : APP);
        assert_int_equal(result->status, PROBE_TRAIN_OK);
        assert_true(fabs(result->capacity_bps - links[i / 4].bps) <= 0.01 * links[i / 4].bps + result->capacity_error_bps);
        if (!isnan(result->available_bps))
            assert_true(fabs(result->available_bps - links[i / 4].bps) <=
                        result->available_error_bps + 0.05 * links[i / 4].bps);
        assert_true(!isnan(result->available_bps) || (i / 2 % 2 == 1 && links[i / 4].bps > 15e6));
        world_close(&world);
    }
}

static void cross_traffic_is_seen(void **state)
{
    (void)state;
    static const struct { const char *link; double capacity, available; } links[] = {
        {"rate 100mbit cross 30mbit poisson", 100e6, 70e6}, {"rate 100mbit cross 60mbit poisson", 100e6, 40e6},
        {"rate 10mbit cross 5mbit poisson", 10e6, 5e6},     {"rate 50mbit cross 10mbit", 50e6, 40e6},
        {"rate 20mbit cross 14mbit poisson size 600", 20e6, 6e6}};
    unsigned right = 0, told[2] = {0}, close[2] = {0};
    for (size_t i = 0; i < sizeof links / sizeof links[0] * 4; i++) {
        struct world world;
        open_link(&world, links[i / 4].link);
        const struct probe_train_result *result = run_train(&world, i / 2 % 2 ? PROBE_TCP : PROBE_ICMP, i % 2 ? APP6 : APP);
        right += fabs(result->capacity_bps - links[i / 4].capacity) < 0.05 * links[i / 4].capacity;
        told[i / 2 % 2] += isnan(result->available_bps) ? 0 : 1;
        close[i / 2 % 2] += fabs(result->available_bps - links[i / 4].available) < 0.15 * links[i / 4].capacity;
        world_close(&world);
    }
    assert_true(right >= 18); /* of 20 */
    assert_true(told[0] == 10 && close[0] == 10);
    assert_true(close[1] >= told[1] / 2);
}

static void what_cannot_be_measured_is_said(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        open_link(&world, "rate 10mbit\nnode app silent");
        assert_int_equal(run_train(&world, i ? PROBE_TCP : PROBE_ICMP, APP)->status, PROBE_TRAIN_SILENT);
        world_close(&world);
    }
    struct world world;
    open_link(&world, "rate 10mbit\nnode app sack not-permitted");
    assert_int_equal(run_train(&world, PROBE_TCP, APP)->status, PROBE_TRAIN_NO_SACK);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_path_is_exact),
        cmocka_unit_test(cross_traffic_is_seen),
        cmocka_unit_test(what_cannot_be_measured_is_said),
    };
    return cmocka_run_group_tests_name("simulated bandwidth", tests, NULL, NULL);
}
