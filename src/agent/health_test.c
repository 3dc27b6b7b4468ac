/* Checks of what an agent knows of itself: local problems, use of queues, the time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/health.h"
#include "agent/timekeeper.h"
#include "agent/usage.h"

#define S CLOCK_S

static const struct health_way none = {0}, good = {.has_route = true}, silent = {.has_route = true, .is_silent = true};

static void look(struct health *health, struct health_way ip4, struct health_way ip6, uint64_t dropped, int64_t now)
{
    const struct health_way ways[2] = {ip4, ip6};
    health_look(health, ways, dropped, now);
}

static const char *since(const struct health *health, int64_t start)
{
    static char text[HEALTH_TEXT_BYTES];
    const char *problem = health_since(health, start, text);
    return problem ? problem : "";
}

static void the_way_out_is_watched(void **state)
{
    (void)state;
    struct health *health = health_new();
    look(health, none, none, 0, 1 * S); /* a machine that never had a way out has lost none */
    assert_string_equal(since(health, 0), "");
    look(health, good, good, 0, 2 * S);
    look(health, silent, good, 0, 3 * S); /* IPv6 still works */
    assert_string_equal(since(health, 0), "");
    look(health, silent, none, 0, 10 * S);
    assert_string_equal(since(health, 10 * S), "gateway");
    look(health, none, none, 0, 20 * S);
    assert_string_equal(since(health, 20 * S), "no-route");
    assert_string_equal(since(health, 8 * S), "no-route,gateway"); /* a round that saw both */
    look(health, good, none, 0, 21 * S);
    assert_string_equal(since(health, 24 * S), "no-route"); /* held for a while */
    assert_string_equal(since(health, 26 * S), "");
    look(health, good, none, 7, 30 * S);
    look(health, good, none, 7, 40 * S);
    assert_string_equal(since(health, 31 * S), "overload");
    assert_string_equal(since(health, 40 * S), "");
    health_clock_set(health, 50 * S);
    assert_string_equal(since(health, 50 * S), "clock");
    health_free(health);
}

static void most_targets_lost_is_our_own_trouble(void **state)
{
    (void)state;
    struct health *health = health_new();
    for (uint64_t target = 1; target <= 2; target++) { /* two targets are too few to tell */
        health_target(health, target, true, 180 * S, 1 * S);
        health_target(health, target, true, 180 * S, 2 * S);
    }
    assert_string_equal(since(health, 1 * S), "");
    for (uint64_t target = 3; target <= 5; target++)
        health_target(health, target, true, 180 * S, 10 * S);
    assert_string_equal(since(health, 10 * S), ""); /* once is not twice in succession */
    health_target(health, 3, true, 180 * S, 70 * S);
    assert_string_equal(since(health, 70 * S), ""); /* three of five */
    health_target(health, 4, true, 180 * S, 70 * S);
    assert_string_equal(since(health, 70 * S), "most-targets");
    health_target(health, 1, false, 180 * S, 80 * S);
    assert_string_equal(since(health, 80 * S), "");
    /* What is not heard of any more does not count: 4 and 3, lost and heard of lately, and one that works. */
    health_target(health, 3, true, 180 * S, 300 * S);
    health_target(health, 4, true, 180 * S, 300 * S);
    assert_string_equal(since(health, 300 * S), "");
    health_free(health);
}

static void queues_tell_their_busiest_time(void **state)
{
    (void)state;
    struct usage usage;
    double now, most;
    usage_init(&usage, 0);
    /* Four slots of browsers: one of them busy for half of five minutes. */
    usage_start(&usage, MEASURE_BROWSER, 0);
    usage_stop(&usage, MEASURE_BROWSER, 150 * S);
    usage_read(&usage, MEASURE_BROWSER, 300 * S, &now, &most);
    assert_float_equal(now, 12.5, 1e-4);
    assert_float_equal(most, 12.5, 1e-4);
    for (int i = 0; i < 4; i++)
        usage_start(&usage, MEASURE_BROWSER, 450 * S);
    usage_read(&usage, MEASURE_BROWSER, 600 * S, &now, &most);
    assert_float_equal(now, 50, 1e-4);
    usage_read(&usage, MEASURE_BROWSER, 900 * S, &now, &most);
    assert_float_equal(now, 100, 1e-4);
    for (int i = 0; i < 4; i++)
        usage_stop(&usage, MEASURE_BROWSER, 900 * S);
    usage_read(&usage, MEASURE_BROWSER, 1200 * S, &now, &most);
    assert_float_equal(now, 0, 1e-4);
    assert_float_equal(most, 100, 1e-4);
    usage_read(&usage, MEASURE_BROWSER, (900 + 86400 + 300) * S, &now, &most);
    assert_float_equal(most, 0, 1e-4); /* a day later it is forgotten */
    usage_read(&usage, MEASURE_GENERAL, (900 + 86400 + 300) * S, &now, &most);
    assert_float_equal(most, 0, 1e-4);
}

static void a_wrong_clock_is_the_servers(void **state)
{
    (void)state;
    char dir[] = "/tmp/agent-time-XXXXXX", path[64];
    struct timekeeper keeper, again;
    bool is_changed;
    assert_non_null(mkdtemp(dir));
    timekeeper_init(&keeper, dir, NULL);
    int64_t here = clock_wall_ns(&clock_real);
    assert_true(timekeeper_hear(&keeper, here + 20 * S, &is_changed) < -19 * S); /* told, and left alone */
    assert_false(is_changed || keeper.is_corrected);
    int64_t there = here + 86400 * S;
    assert_true(timekeeper_hear(&keeper, there, &is_changed) < -86399 * S);
    assert_true(is_changed && keeper.is_corrected);
    int64_t error = clock_wall_ns(&keeper.clock) - there;
    assert_true(error >= 0 && error < 10 * S);
    (void)timekeeper_hear(&keeper, clock_wall_ns(&keeper.clock), &is_changed);
    assert_false(is_changed); /* the same again is no news */
    timekeeper_init(&again, dir, NULL); /* a new process, the server away */
    assert_true(again.is_corrected);
    error = clock_wall_ns(&again.clock) - clock_wall_ns(&keeper.clock);
    assert_true(error > -S && error < S);
    (void)timekeeper_hear(&again, clock_wall_ns(&clock_real), &is_changed); /* the clock has been set */
    assert_true(is_changed && !again.is_corrected);
    timekeeper_init(&again, dir, NULL);
    assert_false(again.is_corrected);
    (void)snprintf(path, sizeof path, "%s/clock", dir);
    assert_int_not_equal(access(path, F_OK), 0);
    (void)rmdir(dir);
}

static void a_clock_that_is_set_is_doubted(void **state)
{
    (void)state;
    struct clock_sim machine;
    struct timekeeper keeper;
    bool is_changed;
    const int64_t start = 1790000000 * S;
    clock_sim_init(&machine, start);
    timekeeper_init(&keeper, NULL, &machine.clock);
    machine.wall += 86400 * S; /* before the server has told: a machine that was just started gets its time */
    assert_true(clock_wall_ns(&keeper.clock) == machine.wall);
    (void)timekeeper_hear(&keeper, machine.wall - S, &is_changed);
    assert_false(is_changed);
    for (int i = 0; i < 100; i++) { /* slewing, a little each time, is no step */
        clock_sim_advance(&machine, 10 * S);
        machine.wall += S;
        assert_true(clock_wall_ns(&keeper.clock) == machine.wall);
    }
    int64_t right = machine.wall;
    machine.wall -= 86400 * S;
    assert_true(clock_wall_ns(&keeper.clock) == right);
    assert_true(keeper.is_doubted);
    clock_sim_advance(&machine, 60 * S);
    assert_true(clock_wall_ns(&keeper.clock) == right + 60 * S); /* it goes on as it was */
    (void)timekeeper_hear(&keeper, right + 60 * S, &is_changed); /* and the server says that this is right */
    assert_true(is_changed && keeper.is_corrected && !keeper.is_doubted);
    machine.wall += 86400 * S; /* the clock is set right */
    assert_true(clock_wall_ns(&keeper.clock) == right + 60 * S);
    (void)timekeeper_hear(&keeper, right + 60 * S, &is_changed);
    assert_true(is_changed && !keeper.is_corrected);
    machine.wall += 3600 * S; /* set again, and now the server says so, too */
    assert_true(clock_wall_ns(&keeper.clock) == right + 60 * S);
    (void)timekeeper_hear(&keeper, machine.wall, &is_changed);
    assert_true(is_changed && !keeper.is_corrected);
    assert_true(clock_wall_ns(&keeper.clock) == machine.wall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_out_is_watched),
        cmocka_unit_test(most_targets_lost_is_our_own_trouble),
        cmocka_unit_test(queues_tell_their_busiest_time),
        cmocka_unit_test(a_wrong_clock_is_the_servers),
        cmocka_unit_test(a_clock_that_is_set_is_doubted),
    };
    return cmocka_run_group_tests_name("agent_health", tests, NULL, NULL);
}
