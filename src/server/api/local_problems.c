/*
 * /v7/agents/local-problems: times in which something was wrong at an agent's own machine, as it told.
 */
#include "server/api/agents.h"
#include "server/page.h"
#include "server/reports.h"

struct problem_agent {
    uint64_t id;
    const char *name, *country, *location;
};
static const struct field problem_agent_fields[] = {
    FIELD_ID(struct problem_agent, id, "agentId", (.flags = FIELD_READONLY), "The agent"),
    FIELD_STR(struct problem_agent, name, "agentName", (.flags = FIELD_READONLY), "Its name"),
    FIELD_STR(struct problem_agent, country, "countryId", (.flags = FIELD_READONLY), "ISO 3166 country code"),
    FIELD_STR(struct problem_agent, location, "location", (.flags = FIELD_READONLY), "Where it stands"),
};
static const struct field_table problem_agent_table =
    FIELD_TABLE("LocalProblemAgent", struct problem_agent, problem_agent_fields, NULL, "An agent with a problem");

struct problem_extra {
    const char *what;
};
static const struct field problem_extra_fields[] = {
    FIELD_STR(struct problem_extra, what, "what", (.flags = FIELD_READONLY),
              "One or more of no-route, gateway, overload, most-targets and clock"),
};
static const struct field_table problem_extra_table =
    FIELD_TABLE("LocalProblemExtra", struct problem_extra, problem_extra_fields, NULL, "What API v7 has no place for");

struct problem {
    struct problem_agent agent;
    int64_t start_s, end_s, duration_s;
    bool is_active;
    struct problem_extra extra;
};
static const struct field problem_fields[] = {
    FIELD_RECORD(struct problem, agent, "agent", &problem_agent_table, (.flags = FIELD_READONLY), "Whose it was"),
    FIELD_TIME(struct problem, start_s, "startDate", (.flags = FIELD_READONLY), "When it began"),
    FIELD_TIME(struct problem, end_s, "endDate", (.flags = FIELD_READONLY), "When it ended"),
    FIELD_I64(struct problem, duration_s, "duration", (.flags = FIELD_READONLY, .unit = "s"), "How long it lasted"),
    FIELD_BOOL(struct problem, is_active, "active", (.flags = FIELD_READONLY), "It goes on"),
    FIELD_RECORD(struct problem, extra, "oculi", &problem_extra_table, (.flags = FIELD_READONLY),
                 "What API v7 has no place for"),
};
static const struct field_table problem_table =
    FIELD_TABLE("LocalProblem", struct problem, problem_fields, NULL, "A time with a problem of an agent's own");

/* Members of a cluster are shown as the cluster. */
static int find_shown(struct request *request, uint64_t agent_id, struct object_agent *ret_agent, struct error *err)
{
    struct store *store = request->server->store;
    int rc = object_get(store, &object_agent_kind, agent_id, 0, request->arena, ret_agent, err);
    if (!rc && object_agent_is_hidden(ret_agent))
        rc = object_get(store, &object_agent_kind, ret_agent->cluster_id, 0, request->arena, ret_agent, err);
    return rc;
}

static int list_problems(struct request *request, struct error *err)
{
    struct page_window window;
    struct field_list all = {0};
    int64_t now = server_now_s(request->server);
    int rc = page_read_window(request, &window, err);
    if (!rc)
        rc = object_list(request->server->store, &object_local_problem_kind, request->aid, NULL, request->arena, &all, err);
    if (!rc && !window.is_given)
        window.from_s = now; /* those that go on */
    const struct object_local_problem *stored = all.items;
    json_t *list = json_array();
    for (size_t i = 0; !rc && i < all.count; i++) {
        struct object_agent agent;
        if (stored[i].start_s >= window.until_s || (stored[i].end_s && stored[i].end_s <= window.from_s))
            continue;
        rc = find_shown(request, stored[i].agent_id, &agent, err);
        if (rc) {
            rc = rc == -E_NOT_FOUND ? 0 : rc;
            continue;
        }
        struct problem problem = {.agent = {agent.head.id, agent.name, agent.country, agent.location},
                                  .start_s = stored[i].start_s,
                                  .end_s = stored[i].end_s,
                                  .duration_s = (stored[i].end_s ? stored[i].end_s : now) - stored[i].start_s,
                                  .is_active = !stored[i].end_s,
                                  .extra = {stored[i].what}};
        (void)json_array_append_new(list, field_to_json(&problem_table, &problem, NULL));
    }
    if (rc) {
        json_decref(list);
        return rc;
    }
    json_t *answer = json_pack("{s:o}", "localProblems", list);
    page_echo_window(&window, answer);
    request_answer(request, 200, answer);
    return 0;
}

void api_drop_local_problems(struct server *server, int64_t now_s)
{
    int64_t before_s = now_s - server->config->retention_days * 86400LL;
    struct arena arena;
    struct field_list all = {0};
    arena_init(&arena, 64u << 20);
    int rc = object_list(server->store, &object_local_problem_kind, 0, NULL, &arena, &all, NULL);
    const struct object_local_problem *problem = all.items;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (problem[i].end_s && problem[i].end_s < before_s)
            rc = store_purge(server->store, object_local_problem_kind.name, problem[i].head.id, NULL);
    }
    arena_done(&arena);
}

static const char *const queries[] = {"window", "startDate", "endDate", NULL};

const struct route api_local_problem_routes[] = {
    ROUTE("GET", "/v7/agents/local-problems", PERMISSION_VIEW_AGENTS, "getAgentsLocalProblems", list_problems,
          (.response = &problem_table, .list = "localProblems", .flags = ROUTE_V7, .queries = queries),
          "List times in which something was wrong at an agent itself"),
    {0},
};
