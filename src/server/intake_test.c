/* Checks of intake, of results in and out of the store, and of the latest state. */
#include "server/data_check.h"

#include <string.h>

#include "base/limit.h"
#include "server/results.h"

#define NAN_ ((double)NAN)

static void receipts_add_up_and_duplicates_change_nothing(void **state)
{
    struct check *c = *state;
    struct check_round rounds[] = {
        {.test_id = 1, .agent_id = 1, .round_id = CHECK_NOW_S - 60, .loss = 0, .latency = 10},
        {.test_id = 1, .agent_id = 1, .round_id = CHECK_NOW_S - 120, .loss = 0, .latency = 10},
        {.test_id = 1, .agent_id = 1, .round_id = CHECK_NOW_S - 60, .loss = 9, .latency = 10},
        {.test_id = 77, .agent_id = 1, .round_id = CHECK_NOW_S - 60, .loss = 0, .latency = 10},
    };
    struct message_round messages[4];
    for (size_t i = 0; i < 4; i++)
        messages[i] = check_message(c, &rounds[i]);
    struct message_batch batch = {.agent_id = 1, .rounds = {messages, 4}};
    struct message_receipt receipt;
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.accepted, 2);
    assert_int_equal(receipt.duplicates, 1);
    assert_int_equal(receipt.refused, 1);
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.accepted, 0);
    assert_int_equal(receipt.duplicates, 3);
    assert_int_equal(intake_counts(c->intake)->accepted, 2);
    assert_int_equal(intake_counts(c->intake)->duplicates, 4);
    assert_int_equal(intake_counts(c->intake)->refused[INTAKE_NO_TEST], 2);
    struct store_stats stats;
    assert_int_equal(store_stats(c->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 2);
    batch.rounds.count = 0;
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.accepted + receipt.duplicates + receipt.refused, 0);
}

static void strange_batches_are_refused_whole(void **state)
{
    struct check *c = *state;
    struct message_batch batch = {.agent_id = 2};
    struct message_receipt receipt;
    struct error err;
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, &err), -E_INVALID);
    assert_string_equal(err.where, "agentId");
    batch = (struct message_batch){.agent_id = 1, .rounds = {&batch, LIMIT_BATCH_ROUNDS + 1}};
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, &err), -E_LIMIT);
}

static void assert_refused(struct check *c, const struct check_round *round, enum intake_refusal why)
{
    uint64_t before = intake_counts(c->intake)->refused[why];
    assert_int_equal(check_upload(c, round), 1);
    assert_int_equal(intake_counts(c->intake)->refused[why], before + 1);
}

static void every_refusal_has_its_reason(void **state)
{
    struct check *c = *state;
    uint64_t other = check_add_test(c, "other", 300, (const uint64_t[]){2, 0});
    struct check_round good = {.test_id = 1, .agent_id = 1, .round_id = CHECK_NOW_S - 60};
    struct check_round round = good;
    round.test_id = other;
    assert_refused(c, &round, INTAKE_NOT_YOURS);
    round = good;
    round.version = 2;
    assert_refused(c, &round, INTAKE_NO_VERSION);
    round = good;
    round.round_id = CHECK_NOW_S - INTAKE_OLDEST_S - 1;
    assert_refused(c, &round, INTAKE_TOO_OLD);
    round.round_id++;
    assert_int_equal(check_upload(c, &round), 100);
    round.round_id = CHECK_NOW_S + 61;
    assert_refused(c, &round, INTAKE_IN_FUTURE);
    round.round_id = CHECK_NOW_S + 60;
    assert_int_equal(check_upload(c, &round), 100);
    round = (struct check_round){.test_id = other, .agent_id = 2, .round_id = CHECK_NOW_S + 300};
    assert_int_equal(check_upload(c, &round), 100);
    round.round_id++;
    assert_refused(c, &round, INTAKE_IN_FUTURE);
    round = good;
    round.round_id = -5;
    assert_refused(c, &round, INTAKE_MALFORMED);
    round = good;
    round.test_id = 0;
    assert_refused(c, &round, INTAKE_MALFORMED);

    struct message_round message = check_message(c, &good);
    struct message_part *parts = message.parts.items;
    parts[1].record.data = "\xff\xff";
    parts[1].record.size = 2;
    struct message_batch batch = {.agent_id = 1, .rounds = {&message, 1}};
    struct message_receipt receipt;
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.refused, 1);
    message.parts.count = 0;
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.refused, 1);
    /* A part that a newer agent knows is kept, not refused. */
    message = check_message(c, &good);
    ((struct message_part *)message.parts.items)[1].name = "fromTheFuture";
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.accepted, 1);
    /* Another account group's agent cannot write into the test, whatever its id. */
    assert_int_equal(intake_take(c->intake, 1, CHECK_AID + 1, &batch, &c->arena, &receipt, NULL), 0);
    assert_int_equal(receipt.refused, 1);
}

/* An agent that was cut off brings rounds of settings that are history by now, and of a test it has left. */
static void old_versions_are_taken_by_who_had_them(void **state)
{
    struct check *c = *state;
    struct object_test test;
    check_get_test(c, 1, &test);
    test.agents.count = 1;
    check_put_test(c, &test);
    struct check_round round = {.test_id = 1, .agent_id = 2, .round_id = CHECK_NOW_S - 60, .version = 1};
    assert_int_equal(check_upload(c, &round), 100);
    round.version = 2;
    round.round_id += 60;
    assert_refused(c, &round, INTAKE_NOT_YOURS);
    assert_int_equal(store_delete(c->store, "test", 1, NULL), 0);
    round.version = 1;
    assert_refused(c, &round, INTAKE_NO_TEST);
}

static bool keep_round(void *user, const struct store_round *round)
{
    struct results_round result;
    struct check *c = user;
    const struct measure_type *type = measure_type_find("agent-to-server");
    assert_int_equal(round->start_s, CHECK_NOW_S - 58);
    assert_int_equal(round->end_s, CHECK_NOW_S - 53);
    assert_int_equal(round->metric_count, 2);
    assert_true(results_metric(round, (unsigned)results_metric_find(type, "loss")) == 12.5);
    assert_true(results_metric(round, (unsigned)results_metric_find(type, "avgLatency")) == 10.123456789);
    assert_true(isnan(results_metric(round, (unsigned)results_metric_find(type, "jitter"))));
    assert_true(isnan(results_metric(round, RESULTS_METRIC_ERROR)));
    assert_int_equal(results_metric_find(type, "nonsense"), -1);
    assert_int_equal(results_state(type, round), RESULTS_MAJOR);
    assert_int_equal(results_unpack(type, round, &c->arena, &result, NULL), 0);
    const struct measure_network *network = results_part(&result, &type->parts[0]);
    assert_true(network->loss == 12.5 && network->avg_latency == 10.123456789 && isnan(network->jitter));
    assert_string_equal(results_text(&result, "serverIp"), "192.0.2.1");
    assert_null(results_text(&result, "errorDetails"));
    const struct measure_path_vis *paths = results_part(&result, &type->parts[1]);
    assert_int_equal(paths->path_traces.count, 2);
    const struct measure_route *routes = paths->path_traces.items;
    assert_int_equal(routes[1].path_id, 8);
    assert_int_equal(routes[1].hops.count, 1);
    return true;
}

static void results_come_back_as_they_were_measured(void **state)
{
    struct check *c = *state;
    struct check_round round = {.test_id = 1,
                                .agent_id = 1,
                                .round_id = CHECK_NOW_S - 60,
                                .loss = 12.5,
                                .latency = 10.123456789,
                                .paths = {{.id = 7, .hops = {"10.0.0.1", NULL, "192.0.2.1"}, .hop_count = 3},
                                          {.id = 8, .hops = {"10.0.0.1"}, .hop_count = 1}},
                                .path_count = 2};
    assert_int_equal(check_upload(c, &round), 100);
    struct store_query query = {
        .test_id = 1,
        .until_s = INT64_MAX,
        .after_round = -1,
        .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    assert_int_equal(store_rounds(c->store, &query, keep_round, c, NULL), 0);
}

static void states_follow_the_thresholds(void **state)
{
    (void)state;
    struct measure_metric worse = {.is_higher_worse = true, .minor = 1, .major = 10, .critical = 50};
    static const struct {
        double value;
        enum results_state state;
        char digit;
    } table[] = {
        {0, RESULTS_OK, '0'},        {0.1, RESULTS_OK, '1'},       {0.7, RESULTS_OK, '2'},
        {1, RESULTS_MINOR, '3'},     {4, RESULTS_MINOR, '4'},      {9.9, RESULTS_MINOR, '5'},
        {10, RESULTS_MAJOR, '6'},    {30, RESULTS_MAJOR, '7'},     {49, RESULTS_MAJOR, '8'},
        {50, RESULTS_CRITICAL, '9'}, {100, RESULTS_CRITICAL, '9'}, {NAN, RESULTS_NO_DATA, '-'},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(results_state_of(&worse, table[i].value), table[i].state);
        assert_int_equal(results_digit(&worse, table[i].value), table[i].digit);
    }
    struct measure_metric better = {.minor = 95, .major = 90, .critical = 50};
    assert_int_equal(results_state_of(&better, 99), RESULTS_OK);
    assert_int_equal(results_state_of(&better, 95), RESULTS_MINOR);
    assert_int_equal(results_state_of(&better, 40), RESULTS_CRITICAL);
    assert_int_equal(results_digit(&better, 99), '0');
    assert_int_equal(results_digit(&better, 91), '5');
    struct measure_metric plain = {.is_higher_worse = true, .minor = NAN_, .major = NAN_, .critical = NAN_};
    assert_int_equal(results_state_of(&plain, 1e9), RESULTS_OK);
    assert_int_equal(results_digit(&plain, 1e9), '0');
}

static struct latest_summary summary(struct check *c, int64_t now_s)
{
    struct latest_summary read;
    latest_read(c->latest, 1, measure_type_find("agent-to-server"), 60, now_s, &read);
    return read;
}

static void lists_see_the_latest_state(void **state)
{
    struct check *c = *state;
    struct latest_summary read = summary(c, CHECK_NOW_S);
    assert_int_equal(read.state, RESULTS_NO_DATA);
    assert_true(isnan(read.value));
    assert_int_equal(read.last_round, 0);
    assert_string_equal(read.sparkline, "------------------------------------------------");

    /* Rounds at -240 (all well), -180 (nothing), -120 (one agent loses 30 %: mean 10 %), -60 (only agent 1). */
    int64_t t = CHECK_NOW_S;
    for (uint64_t agent = 1; agent <= 3; agent++) {
        check_measured(c, t - 240, agent, 0, 10);
        check_measured(c, t - 120, agent, agent == 3 ? 30 : 0, 10);
    }
    check_measured(c, t - 60, 1, 0, 10);
    read = summary(c, t);
    assert_int_equal(read.last_round, t - 60);
    assert_int_equal(read.agents, 3);
    assert_true(read.value == 10); /* 0 of the newest round, 0 and 30 of the one before */
    assert_int_equal(read.state, RESULTS_MAJOR);
    assert_string_equal(read.sparkline + 40, "----0-60");
    assert_int_equal(latest_round(c->latest, 1), t - 60);

    /* An hour of silence is no data, and the strip shows where it fell silent. */
    assert_int_equal(summary(c, t + 119).state, RESULTS_MAJOR);
    read = summary(c, t + 600);
    assert_int_equal(read.state, RESULTS_NO_DATA);
    assert_true(isnan(read.value));
    assert_string_equal(read.sparkline + 30, "-----0-60---------");
    assert_int_equal(read.last_round, t - 60);

    check_reopen(c);
    read = summary(c, t);
    assert_true(read.value == 10);
    assert_int_equal(read.state, RESULTS_MAJOR);
    assert_string_equal(read.sparkline + 40, "----0-60");
    latest_forget_test(c->latest, 1);
    assert_int_equal(summary(c, t).last_round, 0);
}

static void agents_that_cannot_measure_are_a_failure(void **state)
{
    struct check *c = *state;
    struct check_round failed = {.test_id = 1,
                                 .agent_id = 1,
                                 .round_id = CHECK_NOW_S - 60,
                                 .loss = NAN_,
                                 .latency = NAN_,
                                 .error = "The name does not exist."};
    assert_int_equal(check_upload(c, &failed), 100);
    assert_int_equal(summary(c, CHECK_NOW_S).state, RESULTS_CRITICAL);
    assert_string_equal(summary(c, CHECK_NOW_S).sparkline + 46, "-9");
    check_measured(c, CHECK_NOW_S - 60, 2, 0, 10);
    assert_int_equal(summary(c, CHECK_NOW_S).state, RESULTS_MAJOR);
    assert_true(summary(c, CHECK_NOW_S).value == 0);
    assert_string_equal(summary(c, CHECK_NOW_S).sparkline + 46, "-0");
}

static void the_strip_keeps_the_newest_48(void **state)
{
    struct check *c = *state;
    for (int i = 60; i >= 1; i--)
        check_measured(c, CHECK_NOW_S - 60 * i, 1, i == 48 ? 100 : 0, 10);
    check_measured(c, CHECK_NOW_S - 60 * 55, 2, 100, 10); /* too old to be shown */
    check_measured(c, CHECK_NOW_S - 60 * 2, 2, 40, 10);   /* late, into the middle: mean 20 */
    const char *expected = "900000000000000000000000000000000000000000000060";
    assert_string_equal(summary(c, CHECK_NOW_S).sparkline, expected);
    check_reopen(c);
    assert_string_equal(summary(c, CHECK_NOW_S).sparkline, expected);
}

static void nothing_wake(void *user)
{
    (void)user;
}

static void watchers_hear_of_new_rounds_only(void **state)
{
    struct check *c = *state;
    struct stream_topics topics;
    assert_int_equal(stream_topics_read("test:1", &topics, NULL), 0);
    struct stream_reader *reader = stream_join(c->stream, CHECK_AID, &topics, NULL, nothing_wake, c);
    struct stream_reader *other = stream_join(c->stream, CHECK_AID + 1, &topics, NULL, nothing_wake, c);
    (void)stream_take(reader, &c->out);
    (void)stream_take(other, &c->out);
    buf_reset(&c->out);
    check_measured(c, CHECK_NOW_S - 60, 1, 0, 10);
    assert_true(stream_take(reader, &c->out));
    assert_non_null(strstr(buf_str(&c->out), "{\"testId\":\"1\",\"roundId\":1790000340,\"agentId\":\"1\"}"));
    assert_false(stream_take(other, &c->out));
    clock_sim_advance(&c->clock, 2 * CLOCK_S);
    struct check_round again = {.test_id = 1, .agent_id = 1, .round_id = CHECK_NOW_S - 60};
    assert_int_equal(check_upload(c, &again), 10);
    stream_tick(c->stream);
    assert_false(stream_take(reader, &c->out));
    stream_leave(reader);
    stream_leave(other);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(receipts_add_up_and_duplicates_change_nothing),
        CHECK(strange_batches_are_refused_whole),
        CHECK(every_refusal_has_its_reason),
        CHECK(old_versions_are_taken_by_who_had_them),
        CHECK(results_come_back_as_they_were_measured),
        CHECK(states_follow_the_thresholds),
        CHECK(lists_see_the_latest_state),
        CHECK(agents_that_cannot_measure_are_a_failure),
        CHECK(the_strip_keeps_the_newest_48),
        CHECK(watchers_hear_of_new_rounds_only),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
