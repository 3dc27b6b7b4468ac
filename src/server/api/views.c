/*
 * What the web UI asks about tests beyond v7 (docs/protocols.md): the list with its latest state, timelines, rounds,
 * paths. The answers are written by the server's HTTP-free modules.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/latest.h"
#include "server/paths.h"
#include "server/round.h"
#include "server/shares.h"
#include "server/timeline.h"
#include "server/view.h"

#define DAY_S 86400

/* --- the list --------------------------------------------------------------------------------------------------------------- */

struct row {
    const struct object_test *test;
    const struct measure_type *type;
    const char *target;
    struct latest_summary summary;
};

static int make_row(struct request *request, const struct object_test *test, struct row *ret_row, struct error *err)
{
    void *settings;
    int rc = object_test_settings(test, request->arena, &ret_row->type, &settings, err);
    if (rc)
        return rc;
    ret_row->test = test;
    ret_row->target = object_test_target(ret_row->type, settings);
    latest_read(request->server->latest, test->head.id, ret_row->type, test->is_instant ? 0 : test->interval_s,
                server_now_s(request->server), &ret_row->summary);
    return 0;
}

static void write_row(struct buf *out, const struct row *row)
{
    const struct object_test *test = row->test;
    buf_puts(out, "{\"testId\":");
    view_id(out, test->head.id);
    buf_puts(out, ",\"testName\":");
    view_text(out, test->name);
    buf_puts(out, ",\"type\":");
    view_text(out, test->type);
    buf_printf(out, ",\"interval\":%d,\"enabled\":%s,\"target\":", test->is_instant ? 0 : test->interval_s,
               test->enabled ? "true" : "false");
    view_text(out, row->target);
    buf_printf(out, ",\"agents\":%zu,\"state\":\"%s\",\"value\":", test->agents.count,
               results_state_names[row->summary.state]);
    view_number(out, row->summary.value);
    buf_printf(out, ",\"sparkline\":\"%s\",\"lastRoundId\":", row->summary.sparkline);
    if (row->summary.last_round)
        view_integer(out, row->summary.last_round);
    else
        buf_puts(out, "null");
    buf_putc(out, '}');
}

static int compare_names(const struct row *a, const struct row *b)
{
    int by_name = strcasecmp(a->test->name, b->test->name);
    if (by_name)
        return by_name;
    return a->test->head.id < b->test->head.id ? -1 : a->test->head.id > b->test->head.id;
}

/* Worst last, and what has no data before what is well. */
static int rank_of(const struct row *row)
{
    return row->summary.state == RESULTS_NO_DATA ? -1 : (int)row->summary.state;
}

static int compare_numbers(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(b) - isnan(a);
    return a < b ? -1 : a > b;
}

enum { SORT_NAME, SORT_TYPE, SORT_TARGET, SORT_INTERVAL, SORT_AGENTS, SORT_STATE, SORT_VALUE };
static const char *const sort_words[] = {"testName", "type", "target", "interval", "agents", "state", "value", NULL};

struct order {
    int by;
    int sign;
};

static int compare_rows(const void *left, const void *right, void *user)
{
    const struct row *a = left, *b = right;
    const struct order *order = user;
    int result = 0;
    if (order->by == SORT_TYPE)
        result = strcmp(a->test->type, b->test->type);
    else if (order->by == SORT_TARGET)
        result = strcasecmp(a->target, b->target);
    else if (order->by == SORT_INTERVAL)
        result = a->test->interval_s - b->test->interval_s;
    else if (order->by == SORT_AGENTS)
        result = compare_numbers((double)a->test->agents.count, (double)b->test->agents.count);
    else if (order->by == SORT_STATE)
        result = rank_of(a) - rank_of(b);
    else if (order->by == SORT_VALUE)
        result = compare_numbers(a->summary.value, b->summary.value);
    else
        return order->sign * compare_names(a, b);
    return result ? order->sign * result : compare_names(a, b);
}

static int read_order(const struct request *request, struct order *ret_order, struct error *err)
{
    const char *sort = request_query(request, "sort");
    *ret_order = (struct order){SORT_NAME, 1};
    if (!sort || !*sort)
        return 0;
    if (*sort == '-') {
        ret_order->sign = -1;
        sort++;
    }
    ret_order->by = str_index(sort, sort_words);
    return ret_order->by < 0 ? error_set(err, E_UNKNOWN, "sort", "\"%.40s\" is not a column", sort) : 0;
}

static bool contains(const char *text, const char *word)
{
    return text && strcasestr(text, word) != NULL;
}

static int find_rows(struct request *request, struct row **ret_rows, size_t *ret_count, struct error *err)
{
    const char *search = request_query(request, "search");
    struct field_list tests = {0};
    int rc = shares_list_tests(request->server->shares, request->aid, NULL, request->arena, &tests, err);
    struct row *rows = rc ? NULL : arena_alloc_array(request->arena, tests.count + 1, sizeof *rows);
    const struct object_test *test = tests.items;
    size_t count = 0;
    if (!rc && !rows)
        rc = error_set(err, E_LIMIT, "", "too many tests");
    for (size_t i = 0; !rc && i < tests.count; i++) {
        if (test[i].is_instant || test[i].saved_event)
            continue;
        rc = make_row(request, &test[i], &rows[count], err);
        bool is_found = !search || !*search || contains(test[i].name, search) || contains(rows[count].target, search) ||
                        contains(test[i].type, search);
        count += !rc && is_found;
    }
    *ret_rows = rows;
    *ret_count = count;
    return rc;
}

static void answer_text(struct request *request, struct buf *text, const char *cache)
{
    http_add_header(request->http, "Cache-Control", cache);
    request_answer_text(request, 200, "application/json", buf_str(text), text->size);
    buf_done(text);
}

static int get_tests(struct request *request, struct error *err)
{
    int64_t offset, max;
    struct order order;
    struct row *rows;
    size_t count;
    int rc = request_query_i64(request, "offset", 0, INT64_MAX, 0, &offset, err);
    if (!rc)
        rc = request_query_i64(request, "max", 1, LIMIT_PAGE_ITEMS, LIMIT_PAGE_ITEMS, &max, err);
    if (!rc)
        rc = read_order(request, &order, err);
    if (!rc)
        rc = find_rows(request, &rows, &count, err);
    if (rc)
        return rc;
    qsort_r(rows, count, sizeof *rows, compare_rows, &order);
    struct buf out;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    buf_printf(&out, "{\"total\":%zu,\"tests\":[", count);
    for (int64_t i = offset; i < (int64_t)count && i < offset + max; i++) {
        if (i > offset)
            buf_putc(&out, ',');
        write_row(&out, &rows[i]);
    }
    buf_puts(&out, "]}");
    answer_text(request, &out, "no-store");
    return 0;
}

static int find_test(struct request *request, struct object_test *ret_test, struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "testId", &id, err);
    return rc ? rc
              : shares_get_test(request->server->shares, id, request->aid, request->arena, ret_test, err);
}

static int get_test(struct request *request, struct error *err)
{
    struct object_test test;
    struct row row;
    int rc = find_test(request, &test, err);
    if (!rc)
        rc = make_row(request, &test, &row, err);
    if (rc)
        return rc;
    struct buf out;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    write_row(&out, &row);
    answer_text(request, &out, "no-store");
    return 0;
}

/* --- one test --------------------------------------------------------------------------------------------------------------- */

static int open_view(struct request *request, struct view *ret_view, struct error *err)
{
    struct object_test test;
    int rc = find_test(request, &test, err);
    if (!rc)
        rc = view_test(ret_view, request->server->store, &test, server_now_s(request->server), request->arena, err);
    if (!rc)
        ret_view->about = request->server->about;
    return rc ? rc : view_choose(ret_view, request_query(request, "agents"), err);
}

/* Epoch seconds, or relative to now: "-24h". */
static int read_time(const struct request *request, const char *name, int64_t absent_value, int64_t *ret_s,
                     struct error *err)
{
    const char *text = request_query(request, name);
    int64_t seconds;
    if (!text || !*text) {
        *ret_s = absent_value;
        return 0;
    }
    if (*text == '-' && str_to_duration_s(text + 1, &seconds) == 0) {
        int64_t now = server_now_s(request->server);
        *ret_s = seconds < now ? now - seconds : 0;
        return 0;
    }
    if (strcmp(text, "now") == 0 || str_to_i64(text, 0, 253402300799, ret_s) == 0) {
        if (*text == 'n')
            *ret_s = server_now_s(request->server) + 1;
        return 0;
    }
    return error_set(err, E_INVALID, name, "A time is epoch seconds, or relative to now like -24h");
}

static int get_timeline(struct request *request, struct error *err)
{
    struct view view;
    int64_t max_points, now = server_now_s(request->server);
    struct timeline_query query = {.metric = request_query(request, "metric")};
    if (query.metric && !*query.metric)
        query.metric = NULL;
    int rc = open_view(request, &view, err);
    if (!rc)
        rc = read_time(request, "from", now - DAY_S, &query.from_s, err);
    if (!rc)
        rc = read_time(request, "to", now + 1, &query.to_s, err);
    if (!rc)
        rc = request_query_i64(request, "maxPoints", 1, LIMIT_TIMELINE_POINTS, 0, &max_points, err);
    if (rc)
        return rc;
    query.max_points = (size_t)max_points;
    struct buf out;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    rc = timeline_write(&view, &query, &out, err);
    if (rc)
        buf_done(&out);
    else
        answer_text(request, &out, "no-store");
    return rc;
}

static int get_round(struct request *request, struct error *err)
{
    struct view view;
    int64_t at, round_id = 0;
    const char *text = request_query(request, "at");
    int rc = open_view(request, &view, err);
    if (!rc && text && strcmp(text, "latest") == 0)
        at = INT64_MAX;
    else if (!rc)
        rc = read_time(request, "at", INT64_MAX, &at, err);
    if (!rc)
        rc = round_find(&view, at, &round_id, err);
    if (rc)
        return rc;
    struct buf out;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    rc = round_write(&view, round_id, &out, err);
    if (rc)
        buf_done(&out);
    else
        answer_text(request, &out, "no-store");
    return rc;
}

static int get_paths(struct request *request, struct error *err)
{
    struct view view;
    int64_t round_id;
    bool is_final = false;
    const char *text = request_query(request, "roundId");
    int rc = open_view(request, &view, err);
    if (!rc && (!text || strcmp(text, "latest") == 0))
        rc = round_find(&view, INT64_MAX, &round_id, err);
    else if (!rc)
        rc = request_query_i64(request, "roundId", 0, 253402300799, 0, &round_id, err);
    if (rc)
        return rc;
    struct buf out;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    rc = paths_write(&view, round_id, request->server->paths, &out, &is_final, err);
    if (rc)
        buf_done(&out);
    else
        answer_text(request, &out,
                    is_final && text && *text != 'l' ? "private, max-age=600" : "no-store");
    return rc;
}

static const char *const list_queries[] = {"search", "sort", "offset", "max", NULL};
static const char *const timeline_queries[] = {"metric", "from", "to", "agents", "maxPoints", NULL};
static const char *const round_queries[] = {"at", "agents", NULL};
static const char *const paths_queries[] = {"roundId", "agents", NULL};

#define VIEW (ROUTE_OCULI)

const struct route api_view_routes[] = {
    ROUTE("GET", "/oculi/v1/tests", PERMISSION_VIEW_TESTS, "listTests", get_tests,
          (.flags = VIEW, .queries = list_queries), "Tests with their latest state"),
    ROUTE("GET", "/oculi/v1/tests/{testId}", PERMISSION_VIEW_TESTS, "getTestState", get_test, (.flags = VIEW),
          "The latest state of a test"),
    ROUTE("GET", "/oculi/v1/tests/{testId}/timeline", PERMISSION_VIEW_TESTS, "getTimeline", get_timeline,
          (.flags = VIEW, .queries = timeline_queries), "A metric over time"),
    ROUTE("GET", "/oculi/v1/tests/{testId}/round", PERMISSION_VIEW_TESTS, "getRound", get_round,
          (.flags = VIEW, .queries = round_queries), "What every agent reported in a round"),
    ROUTE("GET", "/oculi/v1/tests/{testId}/paths", PERMISSION_VIEW_TESTS, "getPaths", get_paths,
          (.flags = VIEW, .queries = paths_queries), "The path traces of a round"),
    {0},
};
