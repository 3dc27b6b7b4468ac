/*
 * /v7/test-results: what agents measured, one item for each round and agent. The parts of every measure type are served
 * by the same functions.
 */
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "measure/part.h"
#include "server/about.h"
#include "server/api/api.h"
#include "server/page.h"
#include "server/results.h"
#include "server/shares.h"

struct result_agent {
    uint64_t id;
    const char *name, *country, *location;
};
static const struct field result_agent_fields[] = {
    FIELD_ID(struct result_agent, id, "agentId", (.flags = FIELD_READONLY), "Id of the agent"),
    FIELD_STR(struct result_agent, name, "agentName", (.flags = FIELD_READONLY), "Name of the agent"),
    FIELD_STR(struct result_agent, country, "countryId", (.flags = FIELD_READONLY), "ISO 3166 country code"),
    FIELD_STR(struct result_agent, location, "location", (.flags = FIELD_READONLY), "Where it stands"),
};
static const struct field_table result_agent_table =
    FIELD_TABLE("TestResultAgent", struct result_agent, result_agent_fields, NULL, "The agent of a result");

struct result {
    struct result_agent agent;
    int64_t date_s, round_id, start_s, end_s;
};
static const struct field result_fields[] = {
    FIELD_RECORD(struct result, agent, "agent", &result_agent_table, (), "Who measured"),
    FIELD_TIME(struct result, date_s, "date", (.flags = FIELD_READONLY), "When the round began"),
    FIELD_I64(struct result, round_id, "roundId", (.flags = FIELD_READONLY), "Epoch second of the round's slot"),
    FIELD_I64(struct result, start_s, "startTime", (.flags = FIELD_READONLY, .unit = "s"),
              "Epoch second at which the agent began"),
    FIELD_I64(struct result, end_s, "endTime", (.flags = FIELD_READONLY, .unit = "s"),
              "Epoch second at which the agent was done"),
};
static const struct field_table result_table =
    FIELD_TABLE("TestResult", struct result, result_fields, NULL, "What every result says");

struct collecting {
    struct request *request;
    const struct object_test *test;
    const struct measure_type *type;
    const struct measure_part *part;
    const struct field_table *table;
    json_t *results;
    struct field_list agents; /* struct result_agent, those seen so far */
    size_t taken, max;
    bool is_more;
    int64_t last_round;
    uint64_t last_agent;
    struct error *err;
    int rc;
};

static const struct result_agent *find_agent(struct collecting *collecting, uint64_t id)
{
    struct request *request = collecting->request;
    struct result_agent *known = collecting->agents.items;
    for (size_t i = 0; i < collecting->agents.count; i++) {
        if (known[i].id == id)
            return &known[i];
    }
    struct result_agent *more = arena_alloc_array(request->arena, collecting->agents.count + 1, sizeof *more);
    struct object_agent agent;
    if (!more)
        return NULL;
    if (collecting->agents.count)
        memcpy(more, known, collecting->agents.count * sizeof *more);
    struct result_agent *added = &more[collecting->agents.count];
    *added = (struct result_agent){.id = id, .name = "deleted agent"};
    if (object_get(request->server->store, &object_agent_kind, id, 0, request->arena, &agent, NULL) == 0)
        *added = (struct result_agent){id, agent.name, agent.country, agent.location};
    collecting->agents = (struct field_list){more, collecting->agents.count + 1};
    return added;
}

/* Bodies are read into an arena of their own: a page of path traces is far larger unpacked than as JSON. */
static int add_result(struct collecting *collecting, const struct store_round *round)
{
    struct arena arena;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    struct results_round unpacked;
    int rc = results_unpack(collecting->type, round, &arena, &unpacked, collecting->err);
    const void *record = rc ? NULL : results_part(&unpacked, collecting->part);
    if (record && collecting->part->table == &measure_path_vis_table)
        (void)about_paths(collecting->request->server->about, (struct measure_path_vis *)(uintptr_t)record, &arena);
    const struct result_agent *agent = record ? find_agent(collecting, round->agent_id) : NULL;
    if (agent) {
        struct result result = {.agent = *agent,
                                .date_s = round->round_id,
                                .round_id = round->round_id,
                                .start_s = round->start_s,
                                .end_s = round->end_s};
        json_t *json = field_to_json(&result_table, &result, NULL);
        json_t *part = field_to_json(collecting->table, record, NULL);
        (void)json_object_update_missing(json, part);
        json_decref(part);
        const char *page = request_url(collecting->request, "/views/%llu?round=%lld&agent=%llu",
                                       (unsigned long long)round->test_id, (long long)round->round_id,
                                       (unsigned long long)round->agent_id);
        (void)json_object_set_new(json, "_links", json_pack("{s:{s:s}}", "appLink", "href", page));
        (void)json_array_append_new(collecting->results, json);
    }
    arena_done(&arena);
    return rc;
}

static bool on_round(void *user, const struct store_round *round)
{
    struct collecting *collecting = user;
    if (collecting->taken == collecting->max) {
        collecting->is_more = true;
        return false;
    }
    collecting->taken++;
    collecting->last_round = round->round_id;
    collecting->last_agent = round->agent_id;
    collecting->rc = add_result(collecting, round);
    return collecting->rc == 0;
}

static bool on_latest(void *user, const struct store_round *round)
{
    *(int64_t *)user = round->round_id;
    return false;
}

/* v7 without a window: the latest round there is. */
static int choose_latest(struct request *request, uint64_t test_id, struct page_window *window, struct error *err)
{
    int64_t latest = 0;
    struct store_query query = {
        .test_id = test_id, .until_s = INT64_MAX, .after_round = -1, .is_descending = true, .max = 1};
    int rc = store_rounds(request->server->store, &query, on_latest, &latest, err);
    window->from_s = latest;
    window->until_s = latest + 1;
    return rc;
}

/* The test of the path, and its own part with the route's name. */
static int find_test(struct request *request, struct object_test *ret_test, struct collecting *collecting,
                     struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "testId", &id, err);
    if (!rc)
        rc = shares_get_test(request->server->shares, id, request->aid, request->arena, ret_test, err);
    if (rc)
        return rc;
    const struct measure_type *type = measure_type_find(ret_test->type);
    for (size_t i = 0; type && i < type->part_count; i++) {
        if (strcmp(type->parts[i].api_path, request->part->api_path) == 0)
            collecting->part = &type->parts[i];
    }
    if (!collecting->part)
        return error_set(err, E_NOT_FOUND, "", "tests of type %s have no such results", ret_test->type);
    collecting->request = request;
    collecting->test = ret_test;
    collecting->type = type;
    collecting->err = err;
    return 0;
}

static int answer(struct collecting *collecting, const struct page_window *window, const struct page_cursor *next,
                  uint64_t scope)
{
    struct request *request = collecting->request;
    json_t *test = api_test_json(request, collecting->test, collecting->err);
    if (!test) {
        json_decref(collecting->results);
        return collecting->err->code ? -collecting->err->code : -E_CORRUPT;
    }
    json_t *json = json_pack("{s:o, s:o}", "test", test, "results", collecting->results);
    if (window)
        page_echo_window(window, json);
    if (next)
        page_link_next(request, json, scope, next);
    request_answer(request, 200, json);
    return 0;
}

static int get_results(struct request *request, struct error *err)
{
    struct collecting collecting = {.max = LIMIT_PAGE_ITEMS};
    struct object_test test;
    struct page_window window;
    struct page_cursor cursor;
    int rc = find_test(request, &test, &collecting, err);
    if (rc)
        return rc;
    uint64_t scope = str_hash(collecting.part->name, strlen(collecting.part->name), test.head.id);
    rc = page_read_window(request, &window, err);
    if (!rc)
        rc = page_read_cursor(request, scope, &cursor, err);
    if (!rc && !window.is_given && !cursor.is_given)
        rc = choose_latest(request, test.head.id, &window, err);
    if (rc)
        return rc;
    if (cursor.is_given) {
        window.from_s = cursor.from_s;
        window.until_s = cursor.until_s;
    }
    struct store_query query = {.test_id = test.head.id,
                                .from_s = window.from_s,
                                .until_s = window.until_s,
                                .after_round = cursor.is_given ? cursor.first : -1,
                                .after_agent = cursor.is_given ? (uint64_t)cursor.second : 0,
                                .is_descending = true,
                                .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    collecting.table = collecting.part->summary ? collecting.part->summary : collecting.part->table;
    collecting.results = json_array();
    rc = store_rounds(request->server->store, &query, on_round, &collecting, err);
    if (rc || collecting.rc) {
        json_decref(collecting.results);
        return rc ? rc : collecting.rc;
    }
    struct page_cursor next = {true, collecting.last_round, (int64_t)collecting.last_agent, window.from_s,
                               window.until_s};
    return answer(&collecting, &window, collecting.is_more ? &next : NULL, scope);
}

static int get_round(struct request *request, struct error *err)
{
    struct collecting collecting = {.max = 1};
    struct object_test test;
    uint64_t agent_id, round_id;
    int rc = find_test(request, &test, &collecting, err);
    if (!rc)
        rc = request_id(request, "agentId", &agent_id, err);
    if (!rc)
        rc = request_id(request, "roundId", &round_id, err);
    if (rc)
        return rc;
    struct store_query query = {.test_id = test.head.id,
                                .agent_id = agent_id,
                                .from_s = (int64_t)round_id,
                                .until_s = (int64_t)round_id + 1,
                                .after_round = -1,
                                .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    collecting.table = collecting.part->table;
    collecting.results = json_array();
    rc = store_rounds(request->server->store, &query, on_round, &collecting, err);
    if (!rc)
        rc = collecting.rc;
    if (!rc && json_array_size(collecting.results) == 0)
        rc = error_set(err, E_NOT_FOUND, "", "this agent has no such round");
    if (rc) {
        json_decref(collecting.results);
        return rc;
    }
    return answer(&collecting, NULL, NULL, 0);
}

static const char *const queries[] = {"direction", NULL};

const struct route api_result_routes[] = {
    ROUTE("GET", "/v7/test-results/{testId}/{part}", PERMISSION_VIEW_TESTS, "getTest{Part}Results", get_results,
          (.response = &result_table, .list = "results", .flags = ROUTE_V7 | ROUTE_PAGED, .queries = queries),
          "Results of a test, newest first; the latest round when no time is given"),
    ROUTE("GET", "/v7/test-results/{testId}/{part}/agent/{agentId}/round/{roundId}", PERMISSION_VIEW_TESTS,
          "getTest{Part}AgentRoundResults", get_round,
          (.response = &result_table, .list = "results", .flags = ROUTE_V7 | ROUTE_DETAIL, .queries = queries),
          "One round of one agent in full"),
    {0},
};
