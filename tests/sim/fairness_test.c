/*
 * Ten thousand tests of one minute in one engine, started by the agent's own schedule: the starts spread over the
 * minute, nobody waits long for its turn, and nothing is lost that the network did not lose.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "agent/schedule.h"
#include "base/mem.h"
#include "measure/seconds.h"
#include "world.h"

#define TESTS 10000u
#define DENSEST 450u                 /* starts in a second; 10,000 over 30 s are 333 */
#define MOST_LATE_NS (10 * CLOCK_MS) /* of any probe; two ticks of the engine */
#define TOWN                                                                                                          \
    "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\n"             \
    "router r3 address 198.51.100.3\nrouter r4 address 198.51.100.4\nrouter r5 address 198.51.100.5\n"                \
    "link ams r1 delay 1ms\nlink r1 r2 delay 1ms\nlink r2 r3 delay 1ms\nlink r3 r4 delay 2ms\nlink r4 r5 delay 2ms\n" \
    "block 198.18.32.0/19 behind r5 delay 2ms\n"

/* What is remembered of a round when its memory has been given back. */
struct told {
    int64_t started_ns;   /* when the schedule started it */
    int64_t first_ns;     /* its first probe */
    int64_t most_late_ns; /* of any of its probes: against the gap it should keep */
    uint32_t sent, received, overloaded, reached;
    uint32_t rounds;
};

struct city {
    struct world world;
    struct schedule *schedule;
    struct told *told; /* by test id - 1 */
    uint32_t base;     /* address of the first target */
    bool is_continuous;
    unsigned per_second[240];
    unsigned open;
};

struct round {
    struct city *city;
    struct arena arena;
    struct told *told;
    uint64_t test_id;
    unsigned parts;
};

static void end_part(struct round *round)
{
    if (--round->parts > 0)
        return;
    schedule_done(round->city->schedule, round->test_id);
    round->city->open--;
    arena_done(&round->arena);
    mem_free(round);
}

/* A gap that is longer than it should be was spent waiting for a turn. */
static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct round *round = user;
    struct told *told = round->told;
    int64_t gap = round->city->is_continuous ? CLOCK_S : 27 * CLOCK_MS; /* 1.5 times 18 ms */
    for (uint32_t i = 0; i < result->probe_count; i++) {
        const struct probe_ping_probe *probe = &result->probes[i];
        if (probe->status == PROBE_PING_UNSENT)
            continue;
        int64_t late = probe->tx_ns - round->told->started_ns;
        if (i > 0)
            late = probe->tx_ns - result->probes[i - 1].tx_ns - (i == 1 && gap < CLOCK_S ? 40 * CLOCK_MS : gap);
        told->most_late_ns = late > told->most_late_ns ? late : told->most_late_ns;
    }
    told->first_ns = result->probes[0].tx_ns;
    told->sent += result->sent;
    told->received += result->received;
    told->overloaded += result->overloaded;
    end_part(round);
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct round *round = user;
    for (uint32_t f = 0; f < result->flow_count; f++)
        round->told->reached += result->flows[f].end == PROBE_TRACE_REACHED && result->flows[f].hop_count == 6;
    end_part(round);
}

static void start_round(struct city *city, const struct schedule_due *due)
{
    struct round *round = mem_alloc(sizeof *round);
    struct probe_engine *engine = city->world.engines[0];
    struct probe_ping_settings ping;
    struct probe_trace_settings trace;
    struct probe_ping *p;
    struct probe_trace *t;
    *round = (struct round){.city = city, .told = &city->told[due->test_id - 1], .test_id = due->test_id, .parts = 1};
    arena_init(&round->arena, 1 << 20);
    probe_ping_defaults(&ping);
    (void)sock_parse_ip("198.18.32.1", &ping.dst);
    ping.dst.in4.sin_addr.s_addr = htonl(city->base + (uint32_t)due->test_id % 8000);
    if (city->is_continuous)
        seconds_settings(60, &ping);
    round->told->started_ns = probe_engine_mono_ns(engine);
    round->told->rounds++;
    city->open++;
    assert_int_equal(probe_ping_start(engine, &ping, &round->arena, NULL, on_ping, round, &p, NULL), 0);
    if (city->is_continuous)
        return;
    probe_trace_defaults(&trace);
    trace.dst = ping.dst;
    round->parts++;
    assert_int_equal(probe_trace_start(engine, &trace, &round->arena, NULL, on_trace, round, &t, NULL), 0);
}

/* As the agent does it: everything that is due, then sleep until more is. */
static void live(struct city *city, int64_t seconds)
{
    struct probe_engine *engine = city->world.engines[0];
    int64_t until = sim_now_ns(city->world.sim) + seconds * CLOCK_S;
    while (sim_now_ns(city->world.sim) < until) {
        int64_t wall = probe_engine_wall_ns(engine);
        struct schedule_due due;
        while (schedule_pop(city->schedule, wall, probe_engine_mono_ns(engine), &due)) {
            start_round(city, &due);
            city->per_second[sim_now_ns(city->world.sim) / CLOCK_S]++;
        }
        sim_run(city->world.sim, schedule_wait_ns(city->schedule, wall, CLOCK_S) + 1, NULL);
    }
}

/* The plan comes so many seconds before the next slot. */
static void city_open(struct city *city, bool is_continuous, int64_t before_slot_s)
{
    struct schedule_test *tests = mem_alloc_array(TESTS, sizeof *tests);
    memset(city, 0, sizeof *city);
    world_open(&city->world, TOWN, NULL);
    city->is_continuous = is_continuous;
    city->told = mem_alloc_array(TESTS, sizeof *city->told);
    city->schedule = schedule_new(7, 3);
    union sock_addr first;
    (void)sock_parse_ip("198.18.32.1", &first);
    city->base = ntohl(first.in4.sin_addr.s_addr);
    for (unsigned i = 0; i < TESTS; i++)
        tests[i] = (struct schedule_test){.test_id = i + 1, .interval_s = 60, .is_continuous = is_continuous};
    int64_t slot_in_ns = 120 * CLOCK_S - WORLD_WALL_NS % (60 * CLOCK_S);
    sim_run(city->world.sim, slot_in_ns - before_slot_s * CLOCK_S, NULL);
    schedule_set(city->schedule, tests, TESTS, probe_engine_wall_ns(city->world.engines[0]),
                 probe_engine_mono_ns(city->world.engines[0]));
    mem_free(tests);
}

static void city_close(struct city *city)
{
    schedule_free(city->schedule);
    mem_free(city->told);
    world_close(&city->world);
}

static void tell(const struct city *city, const char *what, int64_t worst, int64_t worst_start, unsigned densest)
{
    const struct probe_engine_stats *stats = probe_engine_stats(city->world.engines[0]);
    print_message("# %s: %llu packets, at most %.1f ms late, first probe at most %.1f ms after its start, "
                  "at most %u starts in a second\n",
                  what, (unsigned long long)stats->sent, (double)worst / 1e6, (double)worst_start / 1e6, densest);
}

/* Every test once, whole, on time. */
static void assert_fair(struct city *city, const char *what, uint32_t probes, int64_t most_late_ns, unsigned densest)
{
    int64_t worst = 0, worst_start = 0;
    unsigned most = 0;
    for (unsigned i = 0; i < sizeof city->per_second / sizeof city->per_second[0]; i++)
        most = city->per_second[i] > most ? city->per_second[i] : most;
    for (unsigned i = 0; i < TESTS; i++) {
        const struct told *told = &city->told[i];
        assert_int_equal(told->rounds, 1);
        assert_int_equal(told->sent, probes);
        assert_int_equal(told->received, probes);
        assert_int_equal(told->overloaded, 0);
        assert_int_equal(told->reached, city->is_continuous ? 0 : 3);
        worst = told->most_late_ns > worst ? told->most_late_ns : worst;
        worst_start = told->first_ns - told->started_ns > worst_start ? told->first_ns - told->started_ns : worst_start;
    }
    struct schedule_counts counts;
    schedule_counts(city->schedule, &counts);
    const struct probe_engine_stats *stats = probe_engine_stats(city->world.engines[0]);
    tell(city, what, worst, worst_start, most);
    assert_int_equal(counts.missed, 0);
    assert_int_equal(stats->rounds_refused, 0);
    assert_int_equal(stats->dropped, 0);
    assert_int_equal(stats->refused, 0);
    assert_true(worst <= most_late_ns);
    assert_true(most <= densest);
}

static void ten_thousand_tests_in_a_minute(void **state)
{
    (void)state;
    static struct city city;
    city_open(&city, false, 1); /* so late in a slot that all wait for the next */
    live(&city, 1 + 30);        /* all starts lie in the first half of the slot; no second round begins */
    while (city.open > 0)
        sim_run(city.world.sim, CLOCK_S, NULL);
    assert_fair(&city, "10,000 tests in a minute", 50, MOST_LATE_NS, DENSEST);
    city_close(&city);
}

/* As after a restart: nobody has run in this slot yet, and all want to. */
static void ten_thousand_new_tests(void **state)
{
    (void)state;
    static struct city city;
    city_open(&city, false, 60);
    live(&city, 30);
    while (city.open > 0)
        sim_run(city.world.sim, CLOCK_S, NULL);
    assert_fair(&city, "10,000 new tests", 50, MOST_LATE_NS, DENSEST);
    city_close(&city);
}

static void ten_thousand_continuous_tests(void **state)
{
    (void)state;
    static struct city city;
    city_open(&city, true, 1);
    live(&city, 1 + 59);
    schedule_set(city.schedule, NULL, 0, probe_engine_wall_ns(city.world.engines[0]),
                 probe_engine_mono_ns(city.world.engines[0]));
    while (city.open > 0)
        sim_run(city.world.sim, CLOCK_S, NULL);
    assert_fair(&city, "10,000 continuous tests", 60, MOST_LATE_NS, TESTS);
    city_close(&city);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_tests_in_a_minute),
        cmocka_unit_test(ten_thousand_new_tests),
        cmocka_unit_test(ten_thousand_continuous_tests),
    };
    return cmocka_run_group_tests_name("fairness among ten thousand tests", tests, NULL, NULL);
}
