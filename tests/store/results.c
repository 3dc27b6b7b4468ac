/* Checks of the results face. */
#include "conform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ALL .until_s = INT64_MAX, .after_round = -1

static void appending_twice_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_round rounds[3] = {
        {.test_id = 1, .agent_id = 1, .round_id = 120, .body = "a", .body_size = 1},
        {.test_id = 1, .agent_id = 2, .round_id = 120, .body = "b", .body_size = 1},
        {.test_id = 1, .agent_id = 1, .round_id = 120, .body = "c", .body_size = 1},
    };
    size_t fresh = 99;
    bool is_new[3];
    assert_int_equal(store_append(f->store, rounds, 3, &fresh, is_new, NULL), 0);
    assert_int_equal(fresh, 2);
    assert_true(is_new[0] && is_new[1] && !is_new[2]);
    assert_int_equal(store_append(f->store, rounds, 3, &fresh, NULL, NULL), 0);
    assert_int_equal(fresh, 0);
    assert_int_equal(store_append(f->store, rounds, 0, &fresh, NULL, NULL), 0);
    struct store_query query = {.test_id = 1, ALL};
    assert_string_equal(conform_query(f, &query), "120/1 120/2 ");
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 2);
}

static bool compare_round(void *user, const struct store_round *got)
{
    const struct store_round *want = user;
    assert_int_equal(got->test_id, want->test_id);
    assert_int_equal(got->agent_id, want->agent_id);
    assert_int_equal(got->round_id, want->round_id);
    assert_int_equal(got->start_s, want->start_s);
    assert_int_equal(got->end_s, want->end_s);
    assert_int_equal(got->test_version, want->test_version);
    assert_true(got->fingerprint == want->fingerprint);
    assert_int_equal(got->metric_count, want->metric_count);
    for (size_t i = 0; i < want->metric_count; i++) {
        assert_int_equal(got->metrics[i].id, want->metrics[i].id);
        assert_memory_equal(&got->metrics[i].value, &want->metrics[i].value, sizeof(double));
    }
    assert_int_equal(got->body_size, want->body_size);
    assert_memory_equal(got->body, want->body, want->body_size);
    return true;
}

/* A body that compresses, one that does not, and none. */
static void rounds_come_back_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    struct store_metric metrics[STORE_ROUND_METRICS];
    for (size_t i = 0; i < STORE_ROUND_METRICS; i++)
        metrics[i] = (struct store_metric){.id = (uint16_t)(65535 - i), .value = 0.1 * (double)i};
    metrics[0].value = (double)NAN;
    metrics[1].value = -0.0;
    metrics[2].value = (double)INFINITY;
    size_t size = 100000;
    unsigned char *body = mem_alloc(size);
    for (uint32_t pass = 0, noise = 1; pass < 3; pass++) {
        for (size_t i = 0; i < size; i++) {
            noise = noise * 1664525u + 1013904223u;
            body[i] = (unsigned char)(pass == 0 ? i / 100 : noise >> 24);
        }
        struct store_round round = {
            .test_id = INT64_MAX,
            .agent_id = INT64_MAX,
            .round_id = 1790000000 + (int64_t)pass * 86400,
            .start_s = 1790000001,
            .end_s = 1790000031,
            .test_version = 12,
            .fingerprint = UINT64_MAX - pass,
            .metrics = metrics,
            .metric_count = pass == 2 ? 0 : STORE_ROUND_METRICS,
            .body = body,
            .body_size = pass == 2 ? 0 : size,
        };
        size_t fresh;
        assert_int_equal(store_append(f->store, &round, 1, &fresh, NULL, NULL), 0);
        assert_int_equal(fresh, 1);
        struct store_query query = {.test_id = INT64_MAX,
                                    .from_s = round.round_id,
                                    .until_s = round.round_id + 1,
                                    .after_round = -1,
                                    .want = STORE_WANT_METRICS | STORE_WANT_BODY};
        assert_int_equal(store_rounds(f->store, &query, compare_round, &round, NULL), 0);
    }
    mem_free(body);
}

/* Three agents, two tests, rounds on both sides of full hours, arriving backwards. */
static void fill(struct fixture *f)
{
    static const int64_t rounds[] = {3480, 3600, 3720, 7200, 90000};
    for (size_t i = 5; i-- > 0;) {
        for (uint64_t agent = 3; agent > 0; agent--) {
            assert_true(conform_append(f, 1, rounds[i], agent));
            assert_true(conform_append(f, 2, rounds[i] + 60, agent));
        }
    }
}

static void rounds_are_in_order_whatever_the_order_of_arrival(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct store_query query = {.test_id = 1, ALL, .want = STORE_WANT_METRICS | STORE_WANT_BODY};
    assert_string_equal(conform_query(f, &query),
                        "3480/1 3480/2 3480/3 3600/1 3600/2 3600/3 3720/1 3720/2 3720/3 7200/1 7200/2 7200/3 "
                        "90000/1 90000/2 90000/3 ");
    query.is_descending = true;
    assert_string_equal(conform_query(f, &query),
                        "90000/3 90000/2 90000/1 7200/3 7200/2 7200/1 3720/3 3720/2 3720/1 3600/3 3600/2 3600/1 "
                        "3480/3 3480/2 3480/1 ");
    query.agent_id = 2;
    query.max = 2;
    assert_string_equal(conform_query(f, &query), "90000/2 7200/2 ");
    query.test_id = 3;
    assert_string_equal(conform_query(f, &query), "");
}

static void windows_are_half_open(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct store_query query = {.test_id = 1, .from_s = 3600, .until_s = 7200, .after_round = -1};
    assert_string_equal(conform_query(f, &query), "3600/1 3600/2 3600/3 3720/1 3720/2 3720/3 ");
    query.is_descending = true;
    assert_string_equal(conform_query(f, &query), "3720/3 3720/2 3720/1 3600/3 3600/2 3600/1 ");
    query.until_s = 3600;
    assert_string_equal(conform_query(f, &query), "");
    query.from_s = INT64_MIN;
    query.until_s = 3481;
    assert_string_equal(conform_query(f, &query), "3480/3 3480/2 3480/1 ");
}

/* Reads a query in pages of five and returns them joined. */
static const char *read_pages(struct fixture *f, struct store_query page, int64_t *ret_last_round)
{
    struct buf pages;
    buf_init(&pages, 4096);
    page.max = 5;
    for (const char *text; *(text = conform_query(f, &page));) {
        buf_puts(&pages, text);
        const char *last = strrchr(text, '/');
        page.after_agent = (uint64_t)strtoll(last + 1, NULL, 10);
        while (last > text && last[-1] != ' ')
            last--;
        page.after_round = strtoll(last, NULL, 10);
    }
    const char *joined = arena_strdup(&f->arena, buf_str(&pages));
    buf_done(&pages);
    *ret_last_round = page.after_round;
    return joined;
}

static void cursors_go_on_where_a_page_ended(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct store_query query = {.test_id = 1, .from_s = 3500, .until_s = 90001, .after_round = -1};
    int64_t last;
    assert_string_equal(read_pages(f, query, &last), conform_query(f, &query));
    assert_int_equal(last, 90000);
    query.is_descending = true;
    assert_string_equal(read_pages(f, query, &last), conform_query(f, &query));
    assert_int_equal(last, 3600);
    /* A cursor outside the window does not widen it. */
    query = (struct store_query){.test_id = 1, .from_s = 3600, .until_s = 3601, .after_round = 10, .after_agent = 1};
    assert_string_equal(conform_query(f, &query), "3600/1 3600/2 3600/3 ");
    query.after_round = 90000;
    assert_string_equal(conform_query(f, &query), "");
    query.is_descending = true;
    assert_string_equal(conform_query(f, &query), "3600/3 3600/2 3600/1 ");
}

static void round_ids_are_distinct_and_ascending(void **state)
{
    struct fixture *f = *state;
    fill(f);
    int64_t *ids;
    size_t count;
    assert_int_equal(store_round_ids(f->store, 2, 3600, 90060, &f->arena, &ids, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 3660);
    assert_int_equal(ids[1], 3780);
    assert_int_equal(ids[2], 7260);
    assert_int_equal(store_round_ids(f->store, 2, 0, INT64_MAX, &f->arena, &ids, &count, NULL), 0);
    assert_int_equal(count, 5);
    assert_int_equal(store_round_ids(f->store, 9, 0, INT64_MAX, &f->arena, &ids, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_int_equal(store_round_ids(f->store, 2, 5, 5, &f->arena, &ids, &count, NULL), 0);
    assert_int_equal(count, 0);
}

static void dropping_a_test_leaves_the_others(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_int_equal(store_drop_test(f->store, 1, NULL), 0);
    struct store_query query = {.test_id = 1, ALL, .want = STORE_WANT_BODY};
    assert_string_equal(conform_query(f, &query), "");
    query.test_id = 2;
    query.agent_id = 1;
    assert_string_equal(conform_query(f, &query), "3540/1 3660/1 3780/1 7260/1 90060/1 ");
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_true(stats.rounds >= 15);
    assert_int_equal(store_drop_test(f->store, 99, NULL), 0);
    assert_false(conform_append(f, 1, 3600, 1)); /* gone for good */
    query = (struct store_query){.test_id = 1, ALL};
    assert_string_equal(conform_query(f, &query), "");
    (void)conform_upkeep(f, NULL, 1000000);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 15);
    if (!conform_is_lasting())
        return;
    conform_reopen(f);
    assert_string_equal(conform_query(f, &query), "");
    assert_false(conform_append(f, 1, 3600, 1));
}

/* A day at most is kept longer than asked for, and nothing less long. */
static void retention_drops_what_is_older(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct store_policy policy = {.results_s = 86400};
    (void)conform_upkeep(f, &policy, 91000);
    struct store_query query = {.test_id = 1, .agent_id = 1, ALL, .from_s = 91000 - 86400, .want = STORE_WANT_BODY};
    assert_string_equal(conform_query(f, &query), "7200/1 90000/1 ");
    struct store_upkeep done = conform_upkeep(f, &policy, 2 * 86400 + 3600);
    query.from_s = 0;
    assert_string_equal(conform_query(f, &query), "90000/1 ");
    query.test_id = 2;
    assert_string_equal(conform_query(f, &query), "90060/1 ");
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 6);
    assert_true(done.dropped > 0);
    assert_int_equal(conform_upkeep(f, &policy, 2 * 86400 + 3600).dropped, 0);
    assert_int_equal(conform_upkeep(f, &policy, 100 * 86400).dropped, 6);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 0);
}

/* A test that is dropped in a transaction which is rolled back lives on. */
static void dropping_a_test_can_be_rolled_back(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_int_equal(store_begin(f->store, NULL), 0);
    assert_int_equal(store_drop_test(f->store, 1, NULL), 0);
    struct store_query query = {.test_id = 1, .agent_id = 2, ALL};
    assert_string_equal(conform_query(f, &query), "");
    store_rollback(f->store);
    assert_string_equal(conform_query(f, &query), "3480/2 3600/2 3720/2 7200/2 90000/2 ");
    assert_true(conform_append(f, 1, 8000, 1));
}

static void a_batch_in_a_transaction_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_begin(f->store, NULL), 0);
    assert_true(conform_append(f, 1, 100, 1));
    assert_false(conform_append(f, 1, 100, 1));
    store_rollback(f->store);
    assert_int_equal(store_begin(f->store, NULL), 0);
    assert_true(conform_append(f, 1, 100, 1));
    assert_true(conform_append(f, 1, 160, 1));
    assert_int_equal(store_commit(f->store, NULL), 0);
    assert_false(conform_append(f, 1, 160, 1));
    struct store_query query = {.test_id = 1, ALL, .want = STORE_WANT_BODY};
    assert_string_equal(conform_query(f, &query), "100/1 160/1 ");
}

const struct CMUnitTest conform_results[] = {
    CONFORM_CHECK(appending_twice_changes_nothing),
    CONFORM_CHECK(rounds_come_back_bit_for_bit),
    CONFORM_CHECK(rounds_are_in_order_whatever_the_order_of_arrival),
    CONFORM_CHECK(windows_are_half_open),
    CONFORM_CHECK(cursors_go_on_where_a_page_ended),
    CONFORM_CHECK(round_ids_are_distinct_and_ascending),
    CONFORM_CHECK(dropping_a_test_leaves_the_others),
    CONFORM_CHECK(dropping_a_test_can_be_rolled_back),
    CONFORM_CHECK(retention_drops_what_is_older),
    CONFORM_CHECK(a_batch_in_a_transaction_is_all_or_nothing),
};
const size_t conform_results_count = sizeof conform_results / sizeof conform_results[0];
