/*
 * Which tests an agent runs: /v7/agents/{agentId}/tests/assign, override and unassign.
 */
#include <string.h>

#include "server/api/agents.h"
#include "server/change.h"

struct tests_request {
    struct field_list tests;
};
static const struct field request_fields[] = {
    FIELD_IDS(struct tests_request, tests, "testIds", (.flags = FIELD_REQUIRED, .max = 10000), "Ids of tests"),
};
static const struct field_table request_table =
    FIELD_TABLE("AgentTestsAssignRequest", struct tests_request, request_fields, NULL, "Tests for an agent");

bool agents_is_on(const struct object_test *test, uint64_t agent_id)
{
    const struct object_test_agent *agents = test->agents.items;
    for (size_t i = 0; i < test->agents.count; i++) {
        if (agents[i].agent_id == agent_id)
            return true;
    }
    return false;
}

int agents_set_member(struct request *request, struct object_test *test, uint64_t agent_id, bool is_member,
                      struct error *err)
{
    struct object_test_agent *agents = arena_alloc_array(request->arena, test->agents.count + 1, sizeof *agents);
    const struct object_test_agent *old = test->agents.items;
    size_t count = 0;
    if (!agents)
        return error_set(err, E_LIMIT, "tests", "too many agents");
    for (size_t i = 0; i < test->agents.count; i++) {
        if (old[i].agent_id != agent_id)
            agents[count++] = old[i];
    }
    if (is_member)
        agents[count++] = (struct object_test_agent){.agent_id = agent_id};
    test->agents = (struct field_list){agents, count};
    return change_put(request, &object_test_kind, test, err);
}

/* A test whose results changed hands: told after the commit. */
int agents_add_changed(struct request *request, struct field_list *changed, const struct object_test *test,
                       struct error *err)
{
    struct object_head *heads = arena_alloc_array(request->arena, changed->count + 1, sizeof *heads);
    if (!heads)
        return error_set(err, E_LIMIT, "tests", "too many tests");
    if (changed->count)
        memcpy(heads, changed->items, changed->count * sizeof *heads);
    heads[changed->count] = test->head;
    *changed = (struct field_list){heads, changed->count + 1};
    return 0;
}

/* Takes the agent out of every test of an account group; aid 0 = of all. */
int agents_leave_tests(struct request *request, uint64_t agent_id, uint64_t aid, struct field_list *changed,
                       struct error *err)
{
    struct field_list tests = {0};
    int rc = object_list(request->server->store, &object_test_kind, aid, NULL, request->arena, &tests, err);
    struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        if (!agents_is_on(&test[i], agent_id))
            continue;
        rc = agents_set_member(request, &test[i], agent_id, false, err);
        if (!rc)
            rc = agents_add_changed(request, changed, &test[i], err);
    }
    return rc;
}

/* Makes the agent a member of exactly those tests of the account group worked in; says which that changed. */
int agents_set_tests(struct request *request, uint64_t agent_id, const struct field_list *ids,
                        struct field_list *ret_changed, struct error *err)
{
    struct field_list tests = {0};
    int rc = object_list(request->server->store, &object_test_kind, request->aid, NULL, request->arena, &tests, err);
    struct object_test *test = tests.items;
    const uint64_t *wanted = ids ? ids->items : NULL;
    size_t found = 0;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        bool is_wanted = false;
        for (size_t j = 0; ids && j < ids->count; j++)
            is_wanted = is_wanted || wanted[j] == test[i].head.id;
        found += is_wanted;
        if (is_wanted == agents_is_on(&test[i], agent_id))
            continue;
        rc = agents_set_member(request, &test[i], agent_id, is_wanted, err);
        if (!rc)
            rc = agents_add_changed(request, ret_changed, &test[i], err);
    }
    if (!rc && ids && found != ids->count)
        rc = error_set(err, E_INVALID, "tests", "One of the tests does not exist");
    return rc;
}

void agents_tell(struct request *request, const struct object_agent *agent, const struct field_list *changed)
{
    const struct object_head *tests = changed->items;
    api_agent_changed(request->server, agent->head.aid, agent->head.id);
    for (size_t i = 0; i < changed->count; i++)
        api_test_changed(request->server, tests[i].aid, tests[i].id);
}

/* --- routes ------------------------------------------------------------------------------------------------------------- */

static bool is_named(const struct field_list *ids, uint64_t id)
{
    const uint64_t *items = ids->items;
    for (size_t i = 0; i < ids->count; i++) {
        if (items[i] == id)
            return true;
    }
    return false;
}

/* Adds the agent to those tests, or takes it out of them; the others stay. */
static int change_tests(struct request *request, const struct object_agent *agent, const struct field_list *ids,
                        bool is_member, struct field_list *changed, struct error *err)
{
    struct field_list tests = {0};
    int rc = object_list(request->server->store, &object_test_kind, request->aid, NULL, request->arena, &tests, err);
    struct object_test *test = tests.items;
    size_t found = 0;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        if (!is_named(ids, test[i].head.id))
            continue;
        found++;
        if (agents_is_on(&test[i], agent->head.id) == is_member)
            continue;
        rc = agents_set_member(request, &test[i], agent->head.id, is_member, err);
        if (!rc)
            rc = agents_add_changed(request, changed, &test[i], err);
    }
    if (!rc && found != ids->count)
        rc = error_set(err, E_INVALID, "testIds", "One of the tests does not exist");
    return rc;
}

enum change { ASSIGN, OVERRIDE, UNASSIGN };

static int apply(struct request *request, enum change change, struct error *err)
{
    const struct tests_request *wanted = request->record;
    struct store *store = request->server->store;
    struct object_agent agent;
    struct field_list changed = {0};
    int rc = agents_find(request, &agent, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    if (change == OVERRIDE)
        rc = agents_set_tests(request, agent.head.id, &wanted->tests, &changed, err);
    else
        rc = change_tests(request, &agent, &wanted->tests, change == ASSIGN, &changed, err);
    if (!rc && !changed.count) /* nothing was to be changed: said all the same */
        rc = change_note(request, request->aid, "Agent tests unchanged", "agentName", agent.name, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    agents_tell(request, &agent, &changed);
    request->tests = (struct field_list){0}; /* they are others now */
    return agents_answer(request, &agent, err);
}

static int assign(struct request *request, struct error *err)
{
    return apply(request, ASSIGN, err);
}

static int override(struct request *request, struct error *err)
{
    return apply(request, OVERRIDE, err);
}

static int unassign(struct request *request, struct error *err)
{
    return apply(request, UNASSIGN, err);
}

#define PATH "/v7/agents/{agentId}/tests/"
#define PLAIN .request = &request_table, .response = &api_agent_table, .flags = ROUTE_V7

const struct route api_agent_test_routes[] = {
    ROUTE("POST", PATH "assign", PERMISSION_EDIT_TESTS, "assignTests", assign, (PLAIN), "Add an agent to tests"),
    ROUTE("POST", PATH "override", PERMISSION_EDIT_TESTS, "overwriteTests", override, (PLAIN),
          "Make an agent run these tests and no others of the account group"),
    ROUTE("POST", PATH "unassign", PERMISSION_EDIT_TESTS, "unassignTests", unassign, (PLAIN),
          "Take an agent out of tests"),
    {0},
};
