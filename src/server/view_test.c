/* Checks of what pages see of one test: timeline, round, paths. Expectations are computed by hand. */
#include "server/data_check.h"

#include <string.h>

#include "base/limit.h"
#include "server/paths.h"
#include "server/round.h"
#include "server/timeline.h"

#define NAN_ ((double)NAN)
#define T (CHECK_NOW_S - 600) /* 1789999800 */

static const char *timeline(struct check *c, const char *agents, const struct timeline_query *query)
{
    struct view view;
    struct error err = {0};
    check_view(c, 1, agents, &view);
    buf_reset(&c->out);
    if (timeline_write(&view, query, &c->out, &err))
        fail_msg("%s: %s", err.where, err.text);
    return buf_str(&c->out);
}

static void percentiles_are_interpolated(void **state)
{
    (void)state;
    static const double values[] = {10, 20, 30, 40, 50, 60};
    assert_true(timeline_percentile(values, 6, 0) == 10);
    assert_true(timeline_percentile(values, 6, 0.1) == 15); /* place 0.5 */
    assert_true(timeline_percentile(values, 6, 0.5) == 35);
    assert_true(timeline_percentile(values, 6, 0.9) == 55);
    assert_true(timeline_percentile(values, 6, 1) == 60);
    assert_true(timeline_percentile(values, 1, 0.9) == 10);
}

static void a_timeline_has_one_column_per_round(void **state)
{
    struct check *c = *state;
    /* A round of three, one of two, a gap, a round at full loss without latency, a round outside the window. */
    check_measured(c, T, 1, 0, 10);
    check_measured(c, T, 2, 0, 20);
    check_measured(c, T, 3, 0, 60);
    check_measured(c, T + 60, 1, 0, 11);
    check_measured(c, T + 60, 3, 0, 12.1234567);
    check_measured(c, T + 180, 1, 100, NAN_);
    check_measured(c, T + 300, 2, 0, 9);
    struct timeline_query query = {.metric = "avgLatency", .from_s = T, .to_s = T + 300};
    assert_string_equal(
        timeline(c, NULL, &query),
        "{\"metric\":\"avgLatency\",\"unit\":\"ms\",\"interval\":60,\"from\":1789999800,\"to\":1790000100,"
        "\"t\":[1789999800,1789999860,1789999920,1789999980],"
        "\"mean\":[30,11.561728,null,null],\"min\":[10,11,null,null],\"max\":[60,12.123457,null,null],"
        "\"p10\":[12,11.112346,null,null],\"p90\":[52,12.011111,null,null],\"n\":[3,2,0,0],"
        "\"changes\":[]}");
    query.metric = NULL; /* loss */
    assert_string_equal(timeline(c, "1,3", &query),
                        "{\"metric\":\"loss\",\"unit\":\"%\",\"interval\":60,\"from\":1789999800,\"to\":1790000100,"
                        "\"t\":[1789999800,1789999860,1789999920,1789999980],"
                        "\"mean\":[0,0,null,100],\"min\":[0,0,null,100],\"max\":[0,0,null,100],"
                        "\"p10\":[0,0,null,100],\"p90\":[0,0,null,100],\"n\":[2,2,0,1],\"changes\":[]}");
}

static void rounds_that_did_not_come_are_gaps_to_the_end(void **state)
{
    struct check *c = *state;
    check_measured(c, T, 1, 0, 10);
    /* Now is T + 600. The slots up to T + 480 should have come by now, those from T + 540 may still. */
    struct timeline_query query = {.metric = "loss", .from_s = T - 600, .to_s = T + 3600};
    const char *text = timeline(c, NULL, &query);
    assert_non_null(strstr(text, "\"t\":[1789999800,1789999860,1789999920,1789999980,1790000040,1790000100,1790000160,"
                                 "1790000220,1790000280]"));
    assert_non_null(strstr(text, "\"n\":[1,0,0,0,0,0,0,0,0]"));
}

static void no_rounds_are_empty_columns(void **state)
{
    struct check *c = *state;
    struct timeline_query query = {.metric = "loss", .from_s = T, .to_s = T + 60};
    assert_non_null(strstr(timeline(c, NULL, &query),
                           "\"t\":[],\"mean\":[],\"min\":[],\"max\":[],\"p10\":[],\"p90\":[],"
                           "\"n\":[],\"changes\":[]}"));
}

static void more_rounds_than_points_are_binned(void **state)
{
    struct check *c = *state;
    /* Ten slots into at most four points: three intervals together, bins at multiples of 180 s:
     * T is 1789999800 = 9944443 * 180 + 60, so that bins begin at T - 60, T + 120, T + 300, T + 480. */
    for (int i = 0; i < 10; i++) {
        if (i < 5 || i > 7)
            check_measured(c, T + 60 * i, 1, 10 * i, 10);
    }
    struct timeline_query query = {.metric = "loss", .from_s = T, .to_s = T + 600, .max_points = 4};
    assert_string_equal(timeline(c, NULL, &query),
                        "{\"metric\":\"loss\",\"unit\":\"%\",\"interval\":180,\"from\":1789999800,\"to\":1790000400,"
                        "\"t\":[1789999740,1789999920,1790000100,1790000280],"
                        "\"mean\":[5,30,null,85],\"min\":[0,20,null,80],\"max\":[10,40,null,90],"
                        "\"p10\":[1,22,null,81],\"p90\":[9,38,null,89],\"n\":[2,3,0,2],\"changes\":[]}");
    /* Ten slots fit into five bins of 120 s where these begin with the window; else they would touch six. */
    query = (struct timeline_query){.metric = "loss", .from_s = T, .to_s = T + 600, .max_points = 5};
    assert_non_null(strstr(timeline(c, NULL, &query), "\"interval\":120,"));
    query.from_s += 60;
    query.to_s += 60;
    assert_non_null(strstr(timeline(c, NULL, &query), "\"interval\":180,"));
}

static void paths_at(struct check *c, int64_t round_id, uint64_t agent, uint64_t first, uint64_t second)
{
    const char *one = arena_printf(&c->arena, "10.0.0.%llu", (unsigned long long)first);
    const char *two = arena_printf(&c->arena, "10.0.0.%llu", (unsigned long long)second);
    struct check_round round = {.test_id = 1,
                                .agent_id = agent,
                                .round_id = round_id,
                                .paths = {{.id = first, .hops = {one}, .hop_count = 1},
                                          {.id = second, .hops = {two}, .hop_count = 1}},
                                .path_count = first ? 2 : 0};
    assert_int_equal(check_upload(c, &round), 100);
}

static void changes_are_rounds_whose_paths_differ(void **state)
{
    struct check *c = *state;
    paths_at(c, T - 60, 1, 5, 6); /* before the window: what its first round is compared with */
    paths_at(c, T, 1, 5, 7);      /* a change */
    paths_at(c, T, 2, 1, 2);      /* first seen: none */
    paths_at(c, T + 60, 1, 5, 7); /* the same: none */
    paths_at(c, T + 60, 2, 1, 2);
    paths_at(c, T + 120, 1, 0, 0); /* no trace: nothing to compare */
    paths_at(c, T + 120, 2, 1, 3); /* a change */
    paths_at(c, T + 180, 1, 8, 9); /* a change, over the round without traces */
    paths_at(c, T + 180, 2, 1, 2); /* a change back */
    struct timeline_query query = {.metric = "loss", .from_s = T, .to_s = T + 300};
    assert_non_null(strstr(timeline(c, NULL, &query),
                           "\"changes\":[{\"t\":1789999800,\"agents\":[\"1\"]},{\"t\":1789999920,\"agents\":[\"2\"]},"
                           "{\"t\":1789999980,\"agents\":[\"1\",\"2\"]}]}"));
    assert_non_null(
        strstr(timeline(c, "2", &query),
               "\"changes\":[{\"t\":1789999920,\"agents\":[\"2\"]},{\"t\":1789999980,\"agents\":[\"2\"]}]}"));
}

/* Beyond TIMELINE_ROUNDS rounds bins are whole hours, from summaries; the ends of the window come from rounds. */
static void a_long_window_is_told_from_hours(void **state)
{
    struct check *c = *state;
    /* T is ten minutes after a full hour. */
    check_measured(c, T - 3600, 1, 10, 10);
    check_measured(c, T - 3540, 1, 30, 10);
    check_measured(c, T - 3540, 2, 20, 10);
    paths_at(c, T - 1200, 1, 5, 6);
    paths_at(c, T - 660, 1, 5, 7); /* a change within an hour, of the ones that follow */
    paths_at(c, T - 60, 1, 8, 9);  /* a change over the full hour, in the part of the window that is none */
    check_measured(c, T + 60, 2, 50, 10);
    struct timeline_query query = {.metric = "loss", .from_s = T - 100 * 86400, .to_s = T + 300};
    const char *text = timeline(c, NULL, &query);
    assert_non_null(strstr(text, "\"interval\":3600,"));
    assert_non_null(strstr(text, "\"t\":[1789995600,1789999200],\"mean\":["));
    assert_non_null(strstr(text, "\"max\":[30,50]"));
    assert_non_null(strstr(text, "\"changes\":[{\"t\":1789999140,\"agents\":[\"1\"]},{\"t\":1789999740,\"agents\":[\"1\"]}]"));
    query.max_points = 100;
    assert_non_null(strstr(timeline(c, NULL, &query), "\"interval\":90000,"));
    query = (struct timeline_query){.metric = "loss", .from_s = T - 200 * 86400, .to_s = T + 300};
    text = timeline(c, "2,3", &query);
    assert_non_null(strstr(text, "\"mean\":[20,50],\"min\":[20,50],\"max\":[20,50],\"p10\":[20,50],\"p90\":[20,50],"
                                 "\"n\":[1,1],\"changes\":[]}"));
}

static void strange_questions_are_errors_that_name_the_field(void **state)
{
    struct check *c = *state;
    struct view view;
    struct error err = {0};
    check_view(c, 1, NULL, &view);
    struct timeline_query query = {.metric = "nonsense", .from_s = T, .to_s = T + 60};
    assert_int_equal(timeline_write(&view, &query, &c->out, &err), -E_UNKNOWN);
    assert_string_equal(err.where, "metric");
    query = (struct timeline_query){.from_s = T, .to_s = T};
    assert_int_equal(timeline_write(&view, &query, &c->out, &err), -E_RANGE);
    query = (struct timeline_query){.from_s = 0, .to_s = T};
    assert_int_equal(timeline_write(&view, &query, &c->out, &err), -E_RANGE);
    assert_string_equal(err.where, "to");
    static const char *const strange[] = {"x", "1,", ",", "1,,2", "-1", "1 ", "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        assert_int_equal(view_choose(&view, strange[i], &err), -E_INVALID);
        assert_string_equal(err.where, "agents");
    }
    assert_int_equal(view_choose(&view, "3,1", &err), 0);
    assert_true(view_shows(&view, 1) && !view_shows(&view, 2) && view_shows(&view, 3));
}

static void tests_without_interval_have_a_point_per_run(void **state)
{
    struct check *c = *state;
    uint64_t instant = check_add_test(c, NULL, 0, (const uint64_t[]){1, 0});
    static const int64_t at[] = {T + 7, T + 8, T + 400};
    for (size_t i = 0; i < 3; i++) {
        struct check_round round = {.test_id = instant, .agent_id = 1, .round_id = at[i], .loss = 10 * (double)i};
        assert_int_equal(check_upload(c, &round), 100);
    }
    struct view view;
    check_view(c, instant, NULL, &view);
    struct timeline_query query = {.from_s = T, .to_s = T + 600};
    buf_reset(&c->out);
    assert_int_equal(timeline_write(&view, &query, &c->out, NULL), 0);
    assert_non_null(strstr(buf_str(&c->out), "\"interval\":0,\"from\":1789999800,\"to\":1790000400,"
                                             "\"t\":[1789999807,1789999808,1790000200],\"mean\":[0,10,20]"));
}

/* --- a round -------------------------------------------------------------------------------------------------------
 */

static const char *round_text(struct check *c, const char *agents, int64_t at_s)
{
    struct view view;
    struct error err = {0};
    int64_t round_id = 0;
    check_view(c, 1, agents, &view);
    buf_reset(&c->out);
    if (round_find(&view, at_s, &round_id, &err) || round_write(&view, round_id, &c->out, &err))
        fail_msg("%s: %s", err.where, err.text);
    return buf_str(&c->out);
}

static void a_round_tells_every_agent(void **state)
{
    struct check *c = *state;
    check_measured(c, T, 1, 0, 10);
    check_measured(c, T + 60, 1, 2, 10.5);
    struct check_round failed = {
        .test_id = 1, .agent_id = 3, .round_id = T + 60, .loss = NAN_, .latency = NAN_, .error = "No \"route\""};
    assert_int_equal(check_upload(c, &failed), 100);
    check_measured(c, T + 120, 1, 0, 10);
    assert_string_equal(
        round_text(c, NULL, T + 119),
        "{\"roundId\":1789999860,\"index\":1,\"count\":3,\"first\":1789999800,\"previous\":1789999800,"
        "\"next\":1789999920,"
        "\"latest\":1789999920,"
        "\"layers\":[{\"id\":\"network\",\"title\":\"Network\",\"metric\":\"loss\",\"value\":2,\"unit\":\"%\","
        "\"state\":\"minor\"}],"
        "\"agents\":[{\"agentId\":\"1\",\"agentName\":\"Amsterdam\",\"location\":\"Amsterdam, NL\",\"countryId\":null,"
        "\"latitude\":52.5,\"longitude\":null,\"state\":\"minor\",\"reported\":true,\"startTime\":1789999862,"
        "\"serverIp\":\"192.0.2.1\",\"errorDetails\":null,\"notice\":null,\"seconds\":null,"
        "\"metrics\":{\"loss\":2,\"avgLatency\":10.5,\"jitter\":null,\"maxLatency\":null}},"
        "{\"agentId\":\"2\",\"agentName\":\"Berlin\",\"location\":null,\"countryId\":null,\"latitude\":null,"
        "\"longitude\":null,\"state\":\"no-data\",\"reported\":false,\"startTime\":null,\"serverIp\":null,"
        "\"errorDetails\":null,\"notice\":null,\"seconds\":null,"
        "\"metrics\":{\"loss\":null,\"avgLatency\":null,\"jitter\":null,\"maxLatency\":null}},"
        "{\"agentId\":\"3\",\"agentName\":\"Cairo\",\"location\":null,\"countryId\":null,\"latitude\":null,"
        "\"longitude\":null,\"state\":\"critical\",\"reported\":true,\"startTime\":1789999862,"
        "\"serverIp\":\"192.0.2.1\",\"errorDetails\":\"No \\\"route\\\"\",\"notice\":null,\"seconds\":null,"
        "\"metrics\":{\"loss\":null,\"avgLatency\":null,\"jitter\":null,\"maxLatency\":null}}]}");
}

static void a_round_tells_what_its_figures_do_not(void **state)
{
    struct check *c = *state;
    struct check_round round = {
        .test_id = 1, .agent_id = 1, .round_id = T, .loss = 0, .latency = 10, .interference = "SACK probes are dropped"};
    assert_int_equal(check_upload(c, &round), 100);
    assert_non_null(strstr(round_text(c, NULL, T), "\"errorDetails\":null,\"notice\":\"SACK probes are dropped\","));
}

static void rounds_are_found_at_or_before(void **state)
{
    struct check *c = *state;
    static const char none[] =
        "{\"roundId\":null,\"index\":0,\"count\":0,\"first\":null,\"previous\":null,\"next\":null,\"latest\":null,";
    assert_int_equal(strncmp(round_text(c, NULL, INT64_MAX), none, sizeof none - 1), 0);
    check_measured(c, T, 1, 0, 10);
    check_measured(c, T + 60, 2, 0, 10);
    assert_non_null(strstr(round_text(c, NULL, INT64_MAX), "{\"roundId\":1789999860,\"index\":1,\"count\":2,"
                                                           "\"first\":1789999800,\"previous\":1789999800,\"next\":null"));
    assert_non_null(strstr(round_text(c, NULL, T + 59), "{\"roundId\":1789999800,\"index\":0"));
    assert_non_null(strstr(round_text(c, "1", INT64_MAX), "{\"roundId\":1789999800,"));
    assert_null(strstr(round_text(c, "1", INT64_MAX), "Berlin"));
    assert_non_null(strstr(round_text(c, NULL, T - 1), "{\"roundId\":null,\"index\":0,\"count\":0,"
                                                       "\"first\":1789999800,\"previous\":null,\"next\":null,\"latest\":1789999860"));
}

static void agents_that_left_are_told_where_they_reported(void **state)
{
    struct check *c = *state;
    check_measured(c, T, 1, 0, 10);
    check_measured(c, T, 2, 0, 10);
    struct object_test test;
    check_get_test(c, 1, &test);
    test.agents.count = 1;
    check_put_test(c, &test);
    assert_non_null(strstr(round_text(c, NULL, T), "\"agentName\":\"Berlin\""));
    assert_null(strstr(round_text(c, NULL, T), "Cairo"));
    assert_int_equal(store_delete(c->store, "agent", 2, NULL), 0);
    assert_non_null(strstr(round_text(c, NULL, T), "\"agentId\":\"2\",\"agentName\":\"agent 2\""));
}

/* --- paths ---------------------------------------------------------------------------------------------------------
 */

static const char *paths_text(struct check *c, const char *agents, int64_t round_id, struct paths_cache *cache,
                              bool *ret_final)
{
    struct view view;
    struct error err = {0};
    check_view(c, 1, agents, &view);
    buf_reset(&c->out);
    if (paths_write(&view, round_id, cache, &c->out, ret_final, &err))
        fail_msg("%s: %s", err.where, err.text);
    return buf_str(&c->out);
}

static void trace_round(struct check *c, uint64_t agent, int64_t round_id)
{
    struct check_round round = {
        .test_id = 1,
        .agent_id = agent,
        .round_id = round_id,
        .loss = 0,
        .paths =
            {{.id = 77, .end = MEASURE_END_REACHED, .hops = {"10.0.0.1", NULL, "192.0.2.1"}, .hop_count = 3},
             {.id = UINT64_MAX, .end = MEASURE_END_SILENT, .hops = {"10.0.0.1", "10.0.0.2", NULL}, .hop_count = 3}},
        .path_count = 2};
    assert_int_equal(check_upload(c, &round), 100);
}

static void paths_are_columns(void **state)
{
    struct check *c = *state;
    bool is_final;
    trace_round(c, 1, T);
    assert_string_equal(
        paths_text(c, NULL, T, NULL, &is_final),
        "{\"roundId\":1789999800,\"target\":\"app.example.net:443\","
        "\"agents\":[{\"agentId\":\"1\",\"agentName\":\"Amsterdam\",\"loss\":0}],"
        "\"hops\":{\"address\":[\"10.0.0.1\",\"192.0.2.1\",\"10.0.0.2\"],\"rdns\":[null,null,null],"
        "\"network\":[null,null,null],\"location\":[null,null,null],\"prefix\":[null,null,null]},"
        "\"traces\":{\"agent\":[0,0],\"flow\":[1,2],\"end\":[\"reached\",\"silent\"],"
        "\"pathId\":[\"77\",\"18446744073709551615\"],\"numberOfHops\":[3,2],\"target\":[1,-1],\"first\":[0,3],"
        "\"count\":[3,3]},"
        "\"probes\":{\"ttl\":[1,2,3,1,2,3],\"hop\":[0,-1,1,0,2,-1],\"rttUs\":[1000,null,3000,1000,2000,null],"
        "\"sent\":[3,3,3,3,3,3],\"received\":[2,0,2,2,2,0],\"mpls\":[null,null,null,null,null,null],"
        "\"icmp\":[\"11-0\",null,\"11-0\",\"11-0\",\"11-0\",null],\"replyTtl\":[255,null,253,255,254,null],"
        "\"quotedTtl\":[null,null,null,null,null,null],"
        "\"tunnel\":[null,null,null,null,null,null]}}");
    assert_false(is_final); /* two agents are missing */
}

static void a_round_nobody_traced_has_no_traces(void **state)
{
    struct check *c = *state;
    bool is_final;
    check_measured(c, T, 2, 0, 10);
    assert_non_null(
        strstr(paths_text(c, NULL, T, NULL, &is_final),
               "\"agents\":[{\"agentId\":\"2\",\"agentName\":\"Berlin\",\"loss\":0}],\"hops\":{\"address\":[],"));
    assert_non_null(strstr(paths_text(c, "1", T, NULL, &is_final), "\"agents\":[],\"hops\":{\"address\":[],"));
    assert_false(is_final);
    assert_non_null(
        strstr(paths_text(c, NULL, 5, NULL, &is_final), "{\"roundId\":5,\"target\":\"app.example.net:443\","));
}

static void final_rounds_are_cached(void **state)
{
    struct check *c = *state;
    struct paths_cache *cache = paths_cache_new();
    bool is_final;
    trace_round(c, 1, T);
    trace_round(c, 2, T);
    (void)paths_text(c, NULL, T, cache, &is_final);
    assert_false(is_final);
    trace_round(c, 3, T);
    char *text = arena_strdup(&c->arena, paths_text(c, NULL, T, cache, &is_final));
    assert_true(is_final);
    assert_non_null(strstr(text, "Cairo"));
    char *one = arena_strdup(&c->arena, paths_text(c, "1", T, cache, &is_final));
    assert_true(is_final);
    assert_null(strstr(one, "Cairo"));

    /* What is in the cache does not need the store any more, until the test is forgotten. */
    assert_int_equal(store_drop_test(c->store, 1, NULL), 0);
    assert_string_equal(paths_text(c, NULL, T, cache, &is_final), text);
    assert_string_equal(paths_text(c, "1", T, cache, &is_final), one);
    assert_true(is_final);
    paths_cache_forget_test(cache, 1);
    assert_string_not_equal(paths_text(c, NULL, T, cache, &is_final), text);
    assert_false(is_final);
    paths_cache_free(cache);
}

static void young_rounds_are_not_final(void **state)
{
    struct check *c = *state;
    bool is_final;
    for (uint64_t agent = 1; agent <= 3; agent++) {
        trace_round(c, agent, CHECK_NOW_S - 120);
        trace_round(c, agent, CHECK_NOW_S - 180);
    }
    (void)paths_text(c, NULL, CHECK_NOW_S - 120, NULL, &is_final);
    assert_false(is_final);
    (void)paths_text(c, NULL, CHECK_NOW_S - 180, NULL, &is_final);
    assert_true(is_final);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(percentiles_are_interpolated),
        CHECK(a_timeline_has_one_column_per_round),
        CHECK(rounds_that_did_not_come_are_gaps_to_the_end),
        CHECK(no_rounds_are_empty_columns),
        CHECK(more_rounds_than_points_are_binned),
        CHECK(changes_are_rounds_whose_paths_differ),
        CHECK(a_long_window_is_told_from_hours),
        CHECK(strange_questions_are_errors_that_name_the_field),
        CHECK(tests_without_interval_have_a_point_per_run),
        CHECK(a_round_tells_every_agent),
        CHECK(a_round_tells_what_its_figures_do_not),
        CHECK(rounds_are_found_at_or_before),
        CHECK(agents_that_left_are_told_where_they_reported),
        CHECK(paths_are_columns),
        CHECK(a_round_nobody_traced_has_no_traces),
        CHECK(final_rounds_are_cached),
        CHECK(young_rounds_are_not_final),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
