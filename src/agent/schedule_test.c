#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/schedule.h"
#include "base/clock.h"
#include "base/mem.h"

#define START_S 1790000000LL
#define MAX_SLOTS 20000

/* One agent's schedule under a clock of its own, with every round it started. */
struct world {
    struct schedule *schedule;
    int64_t wall, mono;
    int64_t round_length_ns;
    struct run {
        uint64_t test_id;
        int64_t round_id, start_ns, end_ns, mono_ns, slot_ns, burst_delay_ns, room_ns;
        bool is_open;
    } runs[MAX_SLOTS];
    size_t count;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->schedule = schedule_new(42, 1);
    world->wall = START_S * CLOCK_S;
    world->mono = 5 * CLOCK_S;
    world->round_length_ns = 5 * CLOCK_S;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    schedule_free(world->schedule);
    mem_free(world);
    return 0;
}

static void set_one(struct world *world, int64_t interval_s, bool is_randomized)
{
    struct schedule_test test = {.test_id = 9, .interval_s = interval_s, .is_randomized = is_randomized};
    schedule_set(world->schedule, &test, 1, world->wall, world->mono);
}

static void close_runs(struct world *world)
{
    for (size_t i = world->count > 300 ? world->count - 300 : 0; i < world->count; i++) {
        struct run *run = &world->runs[i];
        if (run->is_open && world->mono >= run->mono_ns + world->round_length_ns) {
            run->is_open = false;
            run->end_ns = world->wall;
            schedule_done(world->schedule, run->test_id);
        }
    }
}

/* Advances both clocks, waking as the agent does: when the schedule says, at least every second. */
static void go(struct world *world, int64_t seconds)
{
    int64_t until = world->mono + seconds * CLOCK_S;
    while (world->mono < until) {
        close_runs(world);
        struct schedule_due due;
        while (schedule_pop(world->schedule, world->wall, world->mono, &due)) {
            assert_in_range(world->count, 0, MAX_SLOTS - 1);
            assert_true(due.room_ns > 0);
            world->runs[world->count++] = (struct run){.test_id = due.test_id, .round_id = due.round_id,
                                                       .start_ns = world->wall, .mono_ns = world->mono,
                                                       .slot_ns = due.slot_ns, .room_ns = due.room_ns,
                                                       .burst_delay_ns = due.burst_delay_ns,
                                                       .is_open = true};
        }
        int64_t wait = schedule_wait_ns(world->schedule, world->wall, CLOCK_S);
        if (wait < CLOCK_MS)
            wait = CLOCK_MS;
        world->wall += wait;
        world->mono += wait;
    }
}

/* Each slot once, all in their own slot, no gaps but the given number. */
static size_t gaps(const struct world *world, int64_t interval_s)
{
    size_t missing = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct run *run = &world->runs[i];
        assert_int_equal(run->round_id % interval_s, 0);
        assert_in_range(run->start_ns / CLOCK_S, run->round_id, run->round_id + interval_s - 1);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(world->runs[j].round_id, run->round_id);
        if (i > 0 && run->round_id > world->runs[i - 1].round_id)
            missing += (size_t)((run->round_id - world->runs[i - 1].round_id) / interval_s - 1);
    }
    return missing;
}

static struct schedule_counts counts_of(const struct world *world)
{
    struct schedule_counts counts;
    schedule_counts(world->schedule, &counts);
    return counts;
}

static void every_slot_of_a_day_runs_once(void **state)
{
    struct world *world = *state;
    set_one(world, 60, false);
    go(world, 86400);
    assert_in_range(world->count, 1440, 1441);
    assert_int_equal(gaps(world, 60), 0);
    assert_int_equal(counts_of(world).missed, 0);
    for (size_t i = 2; i < world->count; i++) { /* its phase is stable */
        int64_t period = world->runs[i].start_ns - world->runs[i - 1].start_ns;
        assert_in_range(period, 60 * CLOCK_S - 2 * CLOCK_MS, 60 * CLOCK_S + 2 * CLOCK_MS);
    }
}

static void a_new_test_starts_within_seconds(void **state)
{
    struct world *world = *state;
    world->wall += 100 * CLOCK_S;
    set_one(world, 900, false);
    go(world, 3);
    assert_int_equal(world->count, 1);
    go(world, 3600);
    assert_int_equal(gaps(world, 900), 0);
    assert_in_range(world->count, 4, 5);
}

static void random_starts_differ_each_round(void **state)
{
    struct world *world = *state;
    set_one(world, 300, true);
    go(world, 300 * 200);
    assert_int_equal(gaps(world, 300), 0);
    size_t early = 0, late = 0;
    for (size_t i = 1; i < world->count; i++) {
        int64_t offset = world->runs[i].start_ns - world->runs[i].round_id * CLOCK_S;
        assert_in_range(offset, 0, 270 * CLOCK_S + 2 * CLOCK_MS);
        early += offset < 90 * CLOCK_S;
        late += offset > 180 * CLOCK_S;
    }
    assert_in_range(early, 40, 95);
    assert_in_range(late, 40, 95);
}

/* 1,000 tests of one agent, and one test of 1,000 agents: no tenth of the room gets more than its share by half. */
static void starts_spread_over_the_interval(void **state)
{
    (void)state;
    size_t tenth[2][10] = {{0}};
    for (uint64_t i = 0; i < 1000; i++) {
        for (int kind = 0; kind < 2; kind++) {
            struct schedule *schedule = schedule_new(kind ? 42 : i + 1, i);
            struct schedule_test test = {.test_id = kind ? i + 1 : 42, .interval_s = 330};
            int64_t slot = START_S / 330 * 330, at = slot * CLOCK_S;
            struct schedule_due due;
            schedule_set(schedule, &test, 1, at, at);
            schedule_seen(schedule, test.test_id, slot);
            while (!schedule_pop(schedule, at, at, &due) || due.round_id == slot) {
                schedule_counts(schedule, &(struct schedule_counts){0});
                if (at == slot * CLOCK_S)
                    at += 30 * CLOCK_S; /* past the start of a new test */
                else
                    at += CLOCK_S;
                struct schedule_counts counts;
                schedule_counts(schedule, &counts);
                if (counts.running)
                    schedule_done(schedule, test.test_id);
            }
            int64_t offset = at - due.round_id * CLOCK_S;
            assert_in_range(offset, 0, 301 * CLOCK_S);
            size_t part = (size_t)(offset / (30 * CLOCK_S));
            tenth[kind][part < 10 ? part : 9]++;
            schedule_free(schedule);
        }
    }
    for (int kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < 10; i++)
            assert_in_range(tenth[kind][i], 50, 150);
    }
}

static void many_new_tests_do_not_start_at_once(void **state)
{
    struct world *world = *state;
    struct schedule_test tests[200];
    for (size_t i = 0; i < 200; i++)
        tests[i] = (struct schedule_test){.test_id = i + 1, .interval_s = 300};
    world->wall = (START_S / 300 * 300) * CLOCK_S;
    schedule_set(world->schedule, tests, 200, world->wall, world->mono);
    go(world, 1);
    assert_in_range(world->count, 5, 50); /* 200 over 10 s */
    go(world, 11);
    assert_int_equal(world->count, 200);
}

static void rounds_of_a_test_never_overlap(void **state)
{
    struct world *world = *state;
    world->round_length_ns = 100 * CLOCK_S; /* longer than the interval */
    set_one(world, 60, false);
    go(world, 6000);
    for (size_t i = 1; i < world->count; i++)
        assert_true(world->runs[i].mono_ns >= world->runs[i - 1].mono_ns + world->round_length_ns);
    assert_in_range(world->count, 49, 51);
    struct schedule_counts counts = counts_of(world);
    assert_in_range(counts.overlapped, 48, 51);
    assert_int_equal(counts.missed, counts.overlapped);
    gaps(world, 60);
}

static void a_suspended_machine_misses_and_does_not_catch_up(void **state)
{
    struct world *world = *state;
    set_one(world, 60, false);
    go(world, 600);
    size_t before = world->count;
    world->wall += 3600 * CLOCK_S; /* the monotonic clock stands still meanwhile */
    go(world, 3);
    assert_in_range(world->count, before, before + 1);
    go(world, 597);
    assert_in_range(counts_of(world).missed, 59, 61);
    assert_in_range(gaps(world, 60), 59, 61);
    assert_in_range(world->count, before + 9, before + 11);
    assert_int_equal(counts_of(world).steps, 1);
}

static void a_clock_set_back_repeats_nothing(void **state)
{
    struct world *world = *state;
    set_one(world, 60, false);
    go(world, 3600);
    size_t before = world->count;
    world->wall -= 600 * CLOCK_S;
    go(world, 540);
    assert_in_range(world->count, before, before + 1); /* these slots have run */
    go(world, 660);
    gaps(world, 60);
    assert_in_range(world->count, before + 10, before + 12);
    assert_int_equal(counts_of(world).missed, 0);
}

static void a_clock_that_was_ahead_blocks_nothing(void **state)
{
    struct world *world = *state;
    world->wall += 4LL * 365 * 86400 * CLOCK_S; /* started with a clock four years ahead */
    set_one(world, 60, false);
    go(world, 600);
    size_t before = world->count;
    world->wall -= 4LL * 365 * 86400 * CLOCK_S;
    go(world, 600);
    assert_in_range(world->count, before + 9, before + 11);
    gaps(world, 60);
}

/* An hour ahead by mistake, then put right: the hour in between runs, and the slots of the mistake do not run again. */
static void a_clock_there_and_back_affects_only_those_slots(void **state)
{
    struct world *world = *state;
    set_one(world, 60, false);
    go(world, 600);
    size_t first = world->count;
    world->wall += 3600 * CLOCK_S;
    go(world, 300);
    size_t second = world->count;
    assert_in_range(second - first, 4, 6);
    world->wall -= 3600 * CLOCK_S;
    go(world, 3300);
    assert_in_range(world->count - second, 54, 56);
    go(world, 600);
    gaps(world, 60);
    assert_in_range(world->count - second, 59, 62);
}

static void a_round_known_from_before_is_not_repeated(void **state)
{
    struct world *world = *state;
    int64_t slot = START_S / 300 * 300;
    world->wall = (slot + 10) * CLOCK_S;
    schedule_seen(world->schedule, 9, slot);
    set_one(world, 300, false);
    go(world, 280);
    assert_int_equal(world->count, 0);
    go(world, 300);
    assert_int_equal(world->count, 1);
    assert_int_equal(world->runs[0].round_id, slot + 300);
}

#define RESTART_TESTS 300u
#define RESTART_SLOTS 4

struct restart {
    struct schedule *schedule;
    int64_t wall;
    int64_t ended[RESTART_TESTS]; /* when the test's round ends, 0 = none runs */
    int64_t last[RESTART_TESTS];
    unsigned char ran[RESTART_TESTS][RESTART_SLOTS];
};

static void restart_start(struct restart *restart, int64_t first)
{
    struct schedule_test tests[RESTART_TESTS];
    restart->schedule = schedule_new(7, (uint64_t)restart->wall);
    for (uint64_t i = 0; i < RESTART_TESTS; i++) {
        tests[i] = (struct schedule_test){.test_id = i + 1, .interval_s = 60};
        schedule_seen(restart->schedule, i + 1, restart->last[i] ? restart->last[i] : first - 60);
    }
    schedule_set(restart->schedule, tests, RESTART_TESTS, restart->wall, restart->wall);
}

/* Rounds take 12 s. While draining none is started. */
static void restart_go(struct restart *restart, int64_t first, int64_t until, bool is_draining)
{
    for (; restart->wall < until; restart->wall += CLOCK_S / 4) {
        struct schedule_due due;
        for (uint64_t i = 0; i < RESTART_TESTS; i++) {
            if (restart->ended[i] && restart->wall >= restart->ended[i]) {
                schedule_done(restart->schedule, i + 1);
                restart->ended[i] = 0;
            }
        }
        while (!is_draining && schedule_pop(restart->schedule, restart->wall, restart->wall, &due)) {
            int64_t slot = (due.round_id - first) / 60;
            if (slot >= 0 && slot < RESTART_SLOTS)
                restart->ran[due.test_id - 1][slot]++;
            restart->last[due.test_id - 1] = due.round_id;
            restart->ended[due.test_id - 1] = restart->wall + 12 * CLOCK_S;
        }
    }
}

/* Whenever an agent is restarted, with 12 s for the rounds that run and 3 s until the next one is there. */
static void a_restart_costs_no_round_and_doubles_none(void **state)
{
    (void)state;
    int64_t first = (START_S / 60 + 2) * 60;
    for (int64_t moment = 0; moment < 60; moment++) {
        struct restart restart = {.wall = (first - 60) * CLOCK_S};
        restart_start(&restart, first - 60);
        restart_go(&restart, first, (first + 60 + moment) * CLOCK_S, false);
        restart_go(&restart, first, restart.wall + 12 * CLOCK_S, true);
        schedule_free(restart.schedule);
        memset(restart.ended, 0, sizeof restart.ended);
        restart.wall += 3 * CLOCK_S;
        restart_start(&restart, first);
        restart_go(&restart, first, (first + 60 * RESTART_SLOTS) * CLOCK_S, false);
        schedule_free(restart.schedule);
        for (size_t i = 0; i < RESTART_TESTS; i++) {
            for (size_t slot = 0; slot < RESTART_SLOTS; slot++) {
                if (restart.ran[i][slot] != 1)
                    fail_msg("restart at second %d: test %zu ran %u times in slot %zu", (int)moment, i + 1,
                             restart.ran[i][slot], slot);
            }
        }
    }
}

static void a_changed_interval_starts_a_new_row_of_slots(void **state)
{
    struct world *world = *state;
    set_one(world, 60, false);
    go(world, 600);
    size_t before = world->count;
    set_one(world, 120, false);
    go(world, 1200);
    for (size_t i = before; i < world->count; i++)
        assert_int_equal(world->runs[i].round_id % 120, 0);
    assert_in_range(world->count - before, 9, 11);
    schedule_set(world->schedule, NULL, 0, world->wall, world->mono);
    before = world->count;
    go(world, 600);
    assert_int_equal(world->count, before);
    set_one(world, 60, false);
    go(world, 600);
    assert_in_range(world->count - before, 9, 11);
    for (size_t i = 1; i < world->count; i++)
        assert_int_not_equal(world->runs[i].round_id, world->runs[i - 1].round_id);
}

/* A test taken out of the plan and put back within its slot does not run twice in it. */
static void leaving_and_coming_back_keeps_the_slot(void **state)
{
    struct world *world = *state;
    world->wall = START_S / 300 * 300 * CLOCK_S;
    set_one(world, 300, false);
    go(world, 10);
    assert_int_equal(world->count, 1);
    schedule_set(world->schedule, NULL, 0, world->wall, world->mono);
    go(world, 10);
    set_one(world, 300, false);
    go(world, 250);
    assert_int_equal(world->count, 1);
}

/* --- continuous tests --------------------------------------------------------------------------------------------- */

static void set_continuous(struct world *world)
{
    struct schedule_test test = {.test_id = 9, .interval_s = 60, .is_continuous = true};
    schedule_set(world->schedule, &test, 1, world->wall, world->mono);
    world->round_length_ns = 62 * CLOCK_S; /* the last probe of each was lost and waited for */
}

/* Within half a second of every minute, though the round before still waits for answers. */
static void continuous_rounds_begin_with_their_slot(void **state)
{
    struct world *world = *state;
    world->wall = START_S / 60 * 60 * CLOCK_S;
    set_continuous(world);
    go(world, 3600);
    assert_int_equal(world->count, 60);
    assert_int_equal(gaps(world, 60), 0);
    assert_int_equal(counts_of(world).missed, 0);
    int64_t phase = world->runs[1].start_ns - world->runs[1].round_id * CLOCK_S;
    for (size_t i = 1; i < world->count; i++) {
        const struct run *run = &world->runs[i];
        assert_in_range(run->start_ns - run->round_id * CLOCK_S, phase - 2 * CLOCK_MS, phase + 2 * CLOCK_MS);
        assert_in_range(phase, 0, SCHEDULE_PHASE_NS);
        assert_int_equal(run->mono_ns - run->slot_ns, run->start_ns - run->round_id * CLOCK_S);
        assert_true(run->room_ns + run->mono_ns - run->slot_ns == 66 * CLOCK_S);
        assert_in_range(run->burst_delay_ns, 0, 30 * CLOCK_S);
    }
}

static void a_continuous_test_begins_within_its_slot(void **state)
{
    struct world *world = *state;
    int64_t slot = START_S / 60 * 60;
    world->wall = (slot + 20) * CLOCK_S;
    set_continuous(world);
    go(world, 4);
    assert_int_equal(world->count, 1);
    assert_int_equal(world->runs[0].round_id, slot);
    assert_int_equal(world->runs[0].slot_ns, 5 * CLOCK_S - 20 * CLOCK_S);
    go(world, 50);
    assert_int_equal(world->count, 2);
    assert_int_equal(world->runs[1].round_id, slot + 60);
    int64_t apart = world->runs[1].start_ns - world->runs[0].start_ns; /* one grid of seconds */
    assert_in_range((apart + 2 * CLOCK_MS) % CLOCK_S, 0, 4 * CLOCK_MS);
}

static void what_is_left_of_a_slot_may_be_too_little(void **state)
{
    struct world *world = *state;
    int64_t slot = START_S / 60 * 60;
    world->wall = (slot + 51) * CLOCK_S;
    set_continuous(world);
    go(world, 8);
    assert_int_equal(world->count, 0);
    go(world, 4);
    assert_int_equal(world->count, 1);
    assert_int_equal(world->runs[0].round_id, slot + 60);
    assert_int_equal(counts_of(world).missed, 0);
}

/* A round goes on through a step; the next one begins with the next minute that has not been measured. */
static void a_clock_that_is_set_disturbs_one_slot(void **state)
{
    static const int64_t steps_s[] = {-3600, -45, -10, 10, 45, 3600, 86400};
    for (size_t i = 0; i < sizeof steps_s / sizeof steps_s[0]; i++) {
        teardown(state);
        setup(state);
        struct world *world = *state;
        world->wall = START_S / 60 * 60 * CLOCK_S;
        set_continuous(world);
        go(world, 630);
        world->wall += steps_s[i] * CLOCK_S;
        size_t before = world->count;
        go(world, 4);
        assert_in_range(world->count - before, 0, 1);
        go(world, 7200);
        assert_int_equal(counts_of(world).steps, 1);
        assert_int_equal(counts_of(world).overlapped, 0);
        int64_t repeated_s = steps_s[i] < 0 ? -steps_s[i] : 0;
        assert_in_range(world->count - before, (7204 - repeated_s) / 60 - 1, 7204 / 60 + 2);
        (void)gaps(world, 60); /* no slot twice */
    }
}

static void bursts_and_places_of_continuous_rounds_spread(void **state)
{
    struct world *world = *state;
    enum { COUNT = 1000 };
    static struct schedule_test tests[COUNT];
    size_t place[10] = {0}, delay[10] = {0}, last = 0;
    for (size_t i = 0; i < COUNT; i++)
        tests[i] = (struct schedule_test){.test_id = i + 1, .interval_s = 60, .is_continuous = true};
    world->wall = (START_S / 60 * 60 + 55) * CLOCK_S; /* too late for this slot */
    schedule_set(world->schedule, tests, COUNT, world->wall, world->mono);
    go(world, 10);
    assert_int_equal(world->count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        int64_t offset = world->runs[i].start_ns - world->runs[i].round_id * CLOCK_S;
        last = (size_t)offset * 10 / SCHEDULE_PHASE_NS;
        place[last < 10 ? last : 9]++;
        last = (size_t)(world->runs[i].burst_delay_ns * 10 / (30 * CLOCK_S));
        delay[last < 10 ? last : 9]++;
    }
    for (size_t i = 0; i < 10; i++) {
        assert_in_range(place[i], 50, 150);
        assert_in_range(delay[i], 50, 150);
    }
}

/* A burst of new tests at the end of a slot's room does not start as a burst: most wait for their phase. */
static void new_tests_do_not_crowd_the_end_of_a_slot(void **state)
{
    struct world *world = *state;
    enum { COUNT = 2000 };
    static struct schedule_test tests[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        tests[i] = (struct schedule_test){.test_id = i + 1, .interval_s = 60};
    world->wall = (START_S / 60 * 60 + 29) * CLOCK_S; /* a second of room */
    schedule_set(world->schedule, tests, COUNT, world->wall, world->mono);
    go(world, 2);
    assert_in_range(world->count, COUNT / 60, COUNT / 15); /* a thirtieth */
    go(world, 60);
    assert_in_range(world->count, COUNT, COUNT + COUNT / 10);
    assert_int_equal(counts_of(world).missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_slot_of_a_day_runs_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_test_starts_within_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(random_starts_differ_each_round, setup, teardown),
        cmocka_unit_test(starts_spread_over_the_interval),
        cmocka_unit_test_setup_teardown(many_new_tests_do_not_start_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(rounds_of_a_test_never_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_suspended_machine_misses_and_does_not_catch_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_set_back_repeats_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_was_ahead_blocks_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_there_and_back_affects_only_those_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(a_round_known_from_before_is_not_repeated, setup, teardown),
        cmocka_unit_test(a_restart_costs_no_round_and_doubles_none),
        cmocka_unit_test_setup_teardown(a_changed_interval_starts_a_new_row_of_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_and_coming_back_keeps_the_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(continuous_rounds_begin_with_their_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(a_continuous_test_begins_within_its_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_of_a_slot_may_be_too_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_disturbs_one_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(bursts_and_places_of_continuous_rounds_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(new_tests_do_not_crowd_the_end_of_a_slot, setup, teardown),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
