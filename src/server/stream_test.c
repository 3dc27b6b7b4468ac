/* Checks of the event hub. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "server/stream.h"

#define START_S 1790000000LL

struct place {
    struct clock_sim clock;
    struct stream *stream;
    struct buf out;
    int wakes;
};

static int setup(void **state)
{
    static struct place place;
    place = (struct place){.wakes = 0};
    clock_sim_init(&place.clock, START_S * CLOCK_S);
    place.stream = stream_new(&place.clock.clock);
    buf_init(&place.out, 1 << 20);
    *state = &place;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    stream_free(p->stream);
    buf_done(&p->out);
    return 0;
}

static void count_wake(void *user)
{
    ((struct place *)user)->wakes++;
}

static struct stream_reader *join(struct place *p, uint64_t aid, const char *text, const char *last)
{
    struct stream_topics topics;
    assert_int_equal(stream_topics_read(text, &topics, NULL), 0);
    return stream_join(p->stream, aid, &topics, last, count_wake, p);
}

/* What a reader gets, without the first ping and the ids. */
static const char *take(struct place *p, struct stream_reader *reader)
{
    static char text[65536];
    buf_reset(&p->out);
    (void)stream_take(reader, &p->out);
    text[0] = 0;
    for (char *line = strtok((char *)(uintptr_t)buf_str(&p->out), "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "id: ", 4) != 0)
            (void)strcat(strcat(text, line), "|");
    }
    return text;
}

#define PING "event: ping|data: {\"time\":1790000000}|"
#define ROUND(test, round, agent)                                                                                      \
    "event: round|data: {\"testId\":\"" test "\",\"roundId\":" round ",\"agentId\":\"" agent "\"}|"

static void topics_are_read_strictly(void **state)
{
    (void)state;
    struct stream_topics topics;
    struct error err;
    assert_int_equal(stream_topics_read("test:12,agents,tests", &topics, &err), 0);
    assert_int_equal(topics.count, 3);
    assert_int_equal(topics.items[0].kind, STREAM_TOPIC_TEST);
    assert_int_equal(topics.items[0].id, 12);
    assert_int_equal(topics.items[2].kind, STREAM_TOPIC_TESTS);
    assert_int_equal(stream_topics_read("", &topics, &err), -E_REQUIRED);
    assert_string_equal(err.where, "topics");
    assert_int_equal(stream_topics_read("test:", &topics, &err), -E_UNKNOWN);
    assert_int_equal(stream_topics_read("test:1x", &topics, &err), -E_UNKNOWN);
    assert_int_equal(stream_topics_read("agents,,tests", &topics, &err), -E_UNKNOWN);
    char many[200] = "";
    for (int i = 0; i < 33; i++)
        (void)strcat(many, "tests,");
    assert_int_equal(stream_topics_read(many, &topics, &err), -E_LIMIT);
}

static void readers_get_their_topics_of_their_account_group(void **state)
{
    struct place *p = *state;
    struct stream_reader *one = join(p, 1, "test:12", NULL), *list = join(p, 1, "tests,agents", NULL);
    struct stream_reader *other = join(p, 2, "test:12,tests,agents", NULL);
    assert_string_equal(take(p, one), PING);
    assert_string_equal(take(p, list), PING);
    assert_string_equal(take(p, other), PING);
    stream_round(p->stream, 1, 12, 1000, 3);
    stream_round(p->stream, 1, 13, 1000, 4);
    stream_agent(p->stream, 1, 3, "offline");
    stream_test(p->stream, 1, 13);
    assert_int_equal(p->wakes, 2);
    assert_string_equal(take(p, one), ROUND("12", "1000", "3"));
    assert_string_equal(
        take(p, list), ROUND("12", "1000", "3")
                           ROUND("13", "1000", "4") "event: agent|data: {\"agentId\":\"3\",\"agentState\":\"offline\"}|"
                                                    "event: test|data: {\"testId\":\"13\"}|");
    assert_string_equal(take(p, other), "");
    assert_string_equal(take(p, one), "");
    stream_leave(one);
    stream_leave(other);
    stream_agent(p->stream, 1, 3, "online");
    assert_string_equal(take(p, list), "event: agent|data: {\"agentId\":\"3\",\"agentState\":\"online\"}|");
    stream_leave(list);
}

static void rounds_of_a_test_are_told_once_a_second(void **state)
{
    struct place *p = *state;
    struct stream_reader *reader = join(p, 1, "test:12", NULL);
    (void)take(p, reader);
    stream_round(p->stream, 1, 12, 1000, 1);
    clock_sim_advance(&p->clock, 300 * CLOCK_MS);
    stream_round(p->stream, 1, 12, 1060, 2);
    stream_round(p->stream, 1, 12, 940, 3); /* older, from a spool: not what the watcher waits for */
    assert_string_equal(take(p, reader), ROUND("12", "1000", "1"));
    assert_int_equal(stream_due_ns(p->stream) - clock_mono_ns(&p->clock.clock), 700 * CLOCK_MS);
    clock_sim_advance(&p->clock, 699 * CLOCK_MS);
    stream_tick(p->stream);
    assert_string_equal(take(p, reader), "");
    clock_sim_advance(&p->clock, 1 * CLOCK_MS);
    stream_tick(p->stream);
    assert_string_equal(take(p, reader), ROUND("12", "1060", "2"));
    stream_round(p->stream, 1, 12, 1120, 1);
    assert_string_equal(take(p, reader), "");
    clock_sim_advance(&p->clock, CLOCK_S);
    stream_tick(p->stream);
    assert_string_equal(take(p, reader), ROUND("12", "1120", "1"));
    clock_sim_advance(&p->clock, CLOCK_S);
    stream_round(p->stream, 1, 12, 1180, 1);
    assert_string_equal(take(p, reader), ROUND("12", "1180", "1"));
    stream_leave(reader);
}

static void pings_come_every_15_seconds(void **state)
{
    struct place *p = *state;
    struct stream_reader *reader = join(p, 1, "tests", NULL);
    (void)take(p, reader);
    assert_int_equal(stream_due_ns(p->stream) - clock_mono_ns(&p->clock.clock), 15 * CLOCK_S);
    clock_sim_advance(&p->clock, 15 * CLOCK_S);
    stream_tick(p->stream);
    stream_tick(p->stream);
    assert_int_equal(p->wakes, 1);
    assert_string_equal(take(p, reader), "event: ping|data: {\"time\":1790000015}|");
    assert_string_equal(take(p, reader), "");
    stream_leave(reader);
}

/* The id of the last event in what was taken. */
static void last_id(struct place *p, struct stream_reader *reader, char *ret_id, size_t size)
{
    buf_reset(&p->out);
    assert_true(stream_take(reader, &p->out));
    const char *last = NULL;
    for (const char *at = buf_str(&p->out); (at = strstr(at, "id: ")); at += 4)
        last = at + 4;
    (void)snprintf(ret_id, size, "%.*s", (int)strcspn(last, "\n"), last);
}

static void a_reader_that_comes_back_misses_nothing(void **state)
{
    struct place *p = *state;
    struct stream_reader *reader = join(p, 1, "test:12", NULL);
    stream_round(p->stream, 1, 12, 1000, 1);
    char id[32];
    last_id(p, reader, id, sizeof id);
    stream_leave(reader);
    clock_sim_advance(&p->clock, CLOCK_S);
    stream_round(p->stream, 1, 12, 1060, 1);
    stream_round(p->stream, 1, 13, 1060, 1);
    reader = join(p, 1, "test:12", id);
    const char *got = take(p, reader);
    assert_int_equal(strncmp(got, ROUND("12", "1060", "1"), strlen(ROUND("12", "1060", "1"))), 0);
    assert_null(strstr(got, "reset"));
    stream_leave(reader);

    /* Ids from before a restart, from the future and nonsense are told as a loss. */
    static const char *const strange[] = {"5", "99999999999999999", "x"};
    for (size_t i = 0; i < 3; i++) {
        reader = join(p, 1, "test:12", strange[i]);
        assert_int_equal(strncmp(take(p, reader), "event: reset|data: {}|", 22), 0);
        assert_null(strstr(take(p, reader), "reset"));
        stream_leave(reader);
    }
}

static void a_slow_reader_is_cut_and_told(void **state)
{
    struct place *p = *state;
    struct stream_reader *slow = join(p, 1, "agents", NULL), *quick = join(p, 1, "agents", NULL);
    (void)take(p, slow);
    (void)take(p, quick);
    uint64_t hits = limit_hits(LIMIT_KIND_SSE_QUEUE);
    for (unsigned i = 0; i < LIMIT_SSE_QUEUE; i++)
        stream_agent(p->stream, 1, i + 1, "online");
    assert_null(strstr(take(p, quick), "reset"));
    assert_int_equal(limit_hits(LIMIT_KIND_SSE_QUEUE), hits);
    stream_agent(p->stream, 1, 999, "online");
    assert_int_equal(limit_hits(LIMIT_KIND_SSE_QUEUE), hits + 1);
    assert_string_equal(take(p, slow), "event: reset|data: {}|");
    assert_string_equal(take(p, quick), "event: agent|data: {\"agentId\":\"999\",\"agentState\":\"online\"}|");
    stream_agent(p->stream, 1, 5, "offline");
    assert_string_equal(take(p, slow), "event: agent|data: {\"agentId\":\"5\",\"agentState\":\"offline\"}|");
    stream_leave(slow);
    stream_leave(quick);
}

static void a_quiet_reader_outlives_the_history(void **state)
{
    struct place *p = *state;
    struct stream_reader *quiet = join(p, 1, "test:1", NULL);
    (void)take(p, quiet);
    for (unsigned i = 0; i < LIMIT_SSE_HISTORY + 10; i++)
        stream_agent(p->stream, 1, 7, "online");
    stream_test(p->stream, 1, 1);
    assert_string_equal(take(p, quiet), "event: test|data: {\"testId\":\"1\"}|");

    /* But one whose event has fallen out of the history is told. */
    stream_test(p->stream, 1, 1);
    for (unsigned i = 0; i < LIMIT_SSE_HISTORY; i++)
        stream_agent(p->stream, 1, 7, "online");
    assert_string_equal(take(p, quiet), "event: reset|data: {}|");
    stream_leave(quiet);
}

int main(void)
{
#define CHECK(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest checks[] = {
        CHECK(topics_are_read_strictly),
        CHECK(readers_get_their_topics_of_their_account_group),
        CHECK(rounds_of_a_test_are_told_once_a_second),
        CHECK(pings_come_every_15_seconds),
        CHECK(a_reader_that_comes_back_misses_nothing),
        CHECK(a_slow_reader_is_cut_and_told),
        CHECK(a_quiet_reader_outlives_the_history),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
