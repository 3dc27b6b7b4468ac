/*
 * Clusters of agents, and machines that take another's place.
 *
 * A cluster is the agent it was made of: the same id, tests, account groups and results. Its members are machines, the
 * first of them that agent's own. Agents that join bring their tests and are no longer seen by themselves; one that is
 * taken out becomes an agent of its own, with a new id and no tests. A machine keeps the bearer it was given at first
 * (object_agent.signs_in_as), so that it need not be told which agent it is.
 */
#include <string.h>

#include "server/api/agents.h"
#include "server/change.h"
#include "server/plan.h"
#include "server/presence.h"
#include "server/reports.h"

struct ids_request {
    struct field_list ids;
};
static const struct field assign_fields[] = {
    FIELD_IDS(struct ids_request, ids, "agents", (.flags = FIELD_REQUIRED, .min = 1, .max = 1000), "Agents that join"),
};
static const struct field_table assign_table = FIELD_TABLE("AgentClusterAssignRequest", struct ids_request, assign_fields,
                                                           NULL, "Agents that join a cluster");
static const struct field unassign_fields[] = {
    FIELD_IDS(struct ids_request, ids, "members", (.flags = FIELD_REQUIRED, .min = 1, .max = 1000),
              "Members that leave"),
};
static const struct field_table unassign_table = FIELD_TABLE("AgentClusterUnassignRequest", struct ids_request,
                                                             unassign_fields, NULL, "Members that leave a cluster");

struct replace_request {
    uint64_t agent_id;
};
static const struct field replace_fields[] = {
    FIELD_ID(struct replace_request, agent_id, "agentId", (.flags = FIELD_REQUIRED),
             "The newly registered agent whose machine takes the place"),
};
static const struct field_table replace_table =
    FIELD_TABLE("AgentReplaceRequest", struct replace_request, replace_fields, NULL, "A machine for an agent that lost its own");

/* In a transaction: 0 commits it. */
static int finish(struct request *request, int rc, struct error *err)
{
    return store_end(request->server->store, rc, err);
}

static void forget_machine(struct request *request, const struct object_agent *agent)
{
    presence_forget(request->server->presence, agent->head.id);
    reports_forget(request->server->reports, agent->head.id);
}

void agents_tell_gone(struct request *request, const struct field_list *members)
{
    const struct object_agent *member = members->items;
    for (size_t i = 0; i < members->count; i++) {
        forget_machine(request, &member[i]);
        api_agent_changed(request->server, member[i].head.aid, member[i].head.id);
    }
}

int agents_delete_members(struct request *request, const struct object_agent *cluster, struct field_list *ret_members,
                          struct error *err)
{
    struct field_list found = {0};
    int rc = object_list_members(request->server->store, cluster->head.id, request->arena, &found, err);
    const struct object_agent *member = found.items;
    for (size_t i = 0; !rc && i < found.count; i++) {
        if (member[i].head.id != cluster->head.id)
            rc = change_delete(request, &object_agent_kind, &member[i], false, err);
    }
    *ret_members = rc ? (struct field_list){0} : found;
    return rc;
}

/* --- joining ---------------------------------------------------------------------------------------------------------- */

static int find_joining(struct request *request, const struct object_agent *cluster, const struct field_list *ids,
                        struct field_list *ret_agents, struct error *err)
{
    struct object_agent *agents = arena_alloc_array(request->arena, ids->count + 1, sizeof *agents);
    const uint64_t *id = ids->items;
    size_t count = 0;
    if (!agents)
        return error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; i < ids->count; i++) {
        struct object_agent *agent = &agents[count];
        bool is_known = id[i] == cluster->head.id;
        for (size_t j = 0; j < count; j++)
            is_known = is_known || agents[j].head.id == id[i];
        if (is_known)
            continue;
        int rc = object_get_agent(request->server->store, id[i], request->aid, request->arena, agent, err);
        if (rc)
            return rc == -E_NOT_FOUND ? error_set(err, E_INVALID, "agents", "There is no agent %llu",
                                                  (unsigned long long)id[i])
                                      : rc;
        if (agent->head.aid != cluster->head.aid)
            return error_set(err, E_INVALID, "agents", "agent %llu belongs to another account group",
                             (unsigned long long)id[i]);
        if (agent->is_cluster)
            return error_set(err, E_INVALID, "agents", "agent %llu is a cluster itself", (unsigned long long)id[i]);
        count++;
    }
    *ret_agents = (struct field_list){agents, count};
    return 0;
}

/* The cluster takes over the agent's place in its tests, where it works for their account group. */
static int hand_over_tests(struct request *request, const struct object_agent *agent, const struct object_agent *cluster,
                           struct field_list *changed, struct error *err)
{
    struct field_list tests = {0};
    int rc = object_list(request->server->store, &object_test_kind, 0, NULL, request->arena, &tests, err);
    struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        if (!agents_is_on(&test[i], agent->head.id))
            continue;
        struct object_test_agent *members = test[i].agents.items;
        bool has_cluster = agents_is_on(&test[i], cluster->head.id);
        if (has_cluster || !object_agent_works_for(cluster, test[i].head.aid)) {
            rc = agents_set_member(request, &test[i], agent->head.id, false, err);
        } else {
            for (size_t j = 0; j < test[i].agents.count; j++) {
                if (members[j].agent_id == agent->head.id)
                    members[j] = (struct object_test_agent){.agent_id = cluster->head.id};
            }
            rc = change_put(request, &object_test_kind, &test[i], err);
        }
        if (!rc)
            rc = agents_add_changed(request, changed, &test[i], err);
    }
    return rc;
}

static int join(struct request *request, struct object_agent *agent, const struct object_agent *cluster,
                struct field_list *changed, struct error *err)
{
    const struct field_list no_tags = {"", 0};
    int rc = hand_over_tests(request, agent, cluster, changed, err);
    if (!rc)
        rc = api_tags_set(request, API_TAGGED_AGENT, agent->head.id, &no_tags, err);
    agent->cluster_id = cluster->head.id;
    agent->shared_with = (struct field_list){0};
    agent->proxy_id = 0;
    agent->enabled = true;
    return rc ? rc : change_put(request, &object_agent_kind, agent, err);
}

static int assign(struct request *request, struct error *err)
{
    const struct ids_request *wanted = request->record;
    struct object_agent cluster;
    struct field_list joining = {0}, changed = {0};
    int rc = agents_find_own(request, &cluster, err);
    if (!rc)
        rc = find_joining(request, &cluster, &wanted->ids, &joining, err);
    if (!rc)
        rc = store_begin(request->server->store, err);
    if (rc)
        return rc;
    struct object_agent *agent = joining.items;
    if (!cluster.is_cluster)
        cluster.cluster_id = cluster.head.id;
    cluster.is_cluster = true;
    rc = change_put(request, &object_agent_kind, &cluster, err);
    for (size_t i = 0; !rc && i < joining.count; i++)
        rc = join(request, &agent[i], &cluster, &changed, err);
    rc = finish(request, rc, err);
    if (rc)
        return rc;
    api_agent_changed(request->server, cluster.head.aid, cluster.head.id);
    for (size_t i = 0; i < joining.count; i++)
        api_agent_changed(request->server, agent[i].head.aid, agent[i].head.id);
    agents_tell(request, &cluster, &changed);
    rc = plan_level(request->server->plan, cluster.head.id, err);
    if (rc)
        return rc;
    request->tests = (struct field_list){0};
    return agents_answer(request, &cluster, err);
}

/* --- leaving ---------------------------------------------------------------------------------------------------------- */

/* The machine of an agent, as an agent of its own; kept already. */
static int stand_alone(struct request *request, const struct object_agent *machine, struct object_agent *ret_agent,
                       struct error *err)
{
    memset(ret_agent, 0, sizeof *ret_agent);
    field_defaults(object_agent_kind.table, ret_agent);
    ret_agent->head = (struct object_head){.aid = machine->head.aid};
    ret_agent->name = machine->hostname ? machine->hostname : machine->name;
    ret_agent->hostname = machine->hostname;
    ret_agent->software = machine->software;
    ret_agent->location = machine->location;
    ret_agent->country = machine->country;
    ret_agent->latitude = machine->latitude;
    ret_agent->longitude = machine->longitude;
    ret_agent->ip_addresses = machine->ip_addresses;
    ret_agent->public_ip_addresses = machine->public_ip_addresses;
    ret_agent->ipv6_policy = machine->ipv6_policy;
    ret_agent->secret_hash = machine->secret_hash;
    ret_agent->signs_in_as = machine->signs_in_as
                                 ? machine->signs_in_as
                                 : arena_printf(request->arena, "%llu", (unsigned long long)machine->head.id);
    ret_agent->created_s = server_now_s(request->server);
    ret_agent->last_seen_s = machine->last_seen_s;
    ret_agent->clock_offset_us = machine->clock_offset_us;
    return change_put(request, &object_agent_kind, ret_agent, err);
}

/* Takes one machine out of the cluster's record, or with its own. */
static int leave(struct request *request, struct object_agent *cluster, const struct object_agent *member,
                 struct object_agent *ret_agent, struct error *err)
{
    int rc = stand_alone(request, member, ret_agent, err);
    if (rc)
        return rc;
    if (member->head.id != cluster->head.id)
        return change_delete(request, &object_agent_kind, member, false, err);
    cluster->secret_hash = cluster->signs_in_as = NULL;
    cluster->cluster_id = 0;
    return change_put(request, &object_agent_kind, cluster, err);
}

static const struct object_agent *find_member(const struct field_list *members, uint64_t id)
{
    const struct object_agent *member = members->items;
    for (size_t i = 0; i < members->count; i++) {
        if (member[i].head.id == id)
            return &member[i];
    }
    return NULL;
}

static int leave_all(struct request *request, struct object_agent *cluster, const struct field_list *ids,
                     struct field_list *ret_left, struct field_list *ret_agents, struct error *err)
{
    struct field_list members = {0};
    const uint64_t *id = ids->items;
    int rc = object_list_members(request->server->store, cluster->head.id, request->arena, &members, err);
    struct object_agent *left = arena_alloc_array(request->arena, ids->count + 1, sizeof *left);
    struct object_agent *agents = arena_alloc_array(request->arena, ids->count + 1, sizeof *agents);
    if (!rc && (!left || !agents))
        rc = error_set(err, E_LIMIT, "members", "too many members");
    size_t count = 0;
    for (size_t i = 0; !rc && i < ids->count; i++) {
        const struct object_agent *member = find_member(&members, id[i]);
        struct field_list done = {left, count};
        if (!member)
            rc = error_set(err, E_INVALID, "members", "There is no member %llu", (unsigned long long)id[i]);
        else if (find_member(&done, id[i]))
            continue;
        else if (count + 1 == members.count)
            rc = error_set(err, E_CONFLICT, "members", "a cluster keeps at least one member; delete it instead");
        if (rc)
            break;
        left[count] = *member;
        rc = leave(request, cluster, member, &agents[count], err);
        count++;
    }
    *ret_left = (struct field_list){left, count};
    *ret_agents = (struct field_list){agents, count};
    return rc;
}

/* The cluster and what were its members. */
static int answer_agents(struct request *request, const struct object_agent *cluster, const struct field_list *agents,
                         struct error *err)
{
    const struct object_agent *agent = agents->items;
    json_t *list = json_array();
    int rc = 0;
    for (size_t i = 0; !rc && i <= agents->count; i++) {
        json_t *json = NULL;
        rc = agents_json(request, i ? &agent[i - 1] : cluster, &json, err);
        if (!rc)
            (void)json_array_append_new(list, json);
    }
    if (rc) {
        json_decref(list);
        return rc;
    }
    request_answer(request, 200, json_pack("{s:o}", "agents", list));
    return 0;
}

static int unassign(struct request *request, struct error *err)
{
    const struct ids_request *wanted = request->record;
    struct object_agent cluster;
    struct field_list left = {0}, agents = {0};
    int rc = agents_find_own(request, &cluster, err);
    if (!rc && !cluster.is_cluster)
        rc = error_set(err, E_INVALID, "agentId", "this agent is no cluster");
    if (!rc)
        rc = store_begin(request->server->store, err);
    if (rc)
        return rc;
    rc = finish(request, leave_all(request, &cluster, &wanted->ids, &left, &agents, err), err);
    if (rc)
        return rc;
    const struct object_agent *agent = agents.items, *member = left.items;
    agents_tell_gone(request, &left);
    for (size_t i = 0; i < agents.count; i++) {
        api_agent_changed(request->server, agent[i].head.aid, agent[i].head.id);
        plan_wake(request->server->plan, member[i].head.id);
    }
    return answer_agents(request, &cluster, &agents, err);
}

/* --- replacing -------------------------------------------------------------------------------------------------------- */

static int find_spare(struct request *request, const struct object_agent *agent, uint64_t id, struct object_agent *ret_spare,
                      struct error *err)
{
    int rc = object_get_agent(request->server->store, id, request->aid, request->arena, ret_spare, err);
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_INVALID, "agentId", "There is no agent %llu", (unsigned long long)id);
    if (rc)
        return rc;
    if (id == agent->head.id || ret_spare->is_cluster || ret_spare->head.aid != agent->head.aid)
        return error_set(err, E_INVALID, "agentId", "agent %llu cannot take this one's place", (unsigned long long)id);
    if (agent->is_cluster)
        return error_set(err, E_CONFLICT, "agentId", "a cluster gets another machine by assigning it");
    if (agents_is_here(request, agent))
        return error_set(err, E_CONFLICT, "agentId", "the agent is online; only one that is offline can be replaced");
    return 0;
}

static int replace(struct request *request, struct error *err)
{
    const struct replace_request *wanted = request->record;
    const struct field_list no_tags = {"", 0};
    struct object_agent agent, spare;
    struct field_list changed = {0};
    int rc = agents_find_own(request, &agent, err);
    if (!rc)
        rc = find_spare(request, &agent, wanted->agent_id, &spare, err);
    if (!rc)
        rc = store_begin(request->server->store, err);
    if (rc)
        return rc;
    agent.secret_hash = spare.secret_hash;
    agent.signs_in_as = spare.signs_in_as ? spare.signs_in_as
                                          : arena_printf(request->arena, "%llu", (unsigned long long)spare.head.id);
    agent.hostname = spare.hostname;
    agent.software = spare.software;
    agent.ip_addresses = spare.ip_addresses;
    agent.public_ip_addresses = spare.public_ip_addresses;
    agent.clock_offset_us = spare.clock_offset_us;
    rc = agents_leave_tests(request, spare.head.id, 0, &changed, err);
    if (!rc)
        rc = api_tags_set(request, API_TAGGED_AGENT, spare.head.id, &no_tags, err);
    if (!rc)
        rc = change_delete(request, &object_agent_kind, &spare, false, err);
    if (!rc)
        rc = change_put(request, &object_agent_kind, &agent, err);
    rc = finish(request, rc, err);
    if (rc)
        return rc;
    forget_machine(request, &spare);
    forget_machine(request, &agent);
    api_agent_changed(request->server, agent.head.aid, agent.head.id);
    agents_tell(request, &spare, &changed);
    return agents_answer(request, &agent, err);
}

#define PATH "/v7/agents/{agentId}/cluster/"
static const char *const expand[] = {"cluster-member", "test", "test-ids", "notification-rule", NULL};

const struct route api_agent_cluster_routes[] = {
    ROUTE("POST", PATH "assign", PERMISSION_EDIT_AGENTS, "assignAgentToCluster", assign,
          (.request = &assign_table, .response = &api_agent_table, .flags = ROUTE_V7, .expand = expand),
          "Make an agent a cluster, and add agents to it"),
    ROUTE("POST", PATH "unassign", PERMISSION_EDIT_AGENTS, "unassignAgentFromCluster", unassign,
          (.request = &unassign_table, .response = &api_agent_table, .list = "agents", .flags = ROUTE_V7,
           .expand = expand),
          "Take members out of a cluster"),
    ROUTE("POST", "/oculi/v1/agents/{agentId}/replace", PERMISSION_EDIT_AGENTS, "replaceAgent", replace,
          (.request = &replace_table, .response = &api_agent_table, .flags = ROUTE_OCULI, .expand = expand),
          "A newly registered machine takes the place of an agent that is offline"),
    {0},
};
