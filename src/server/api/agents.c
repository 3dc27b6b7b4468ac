/*
 * /v7/agents: the agents of an account group. All of ours are enterprise agents.
 */
#include <string.h>

#include "base/sock.h"
#include "base/str.h"
#include "facts/scope.h"
#include "server/about.h"
#include "server/api/agents.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/plan.h"
#include "server/presence.h"
#include "server/reports.h"


static const char *const type_words[] = {"cloud", "enterprise-cluster", "enterprise", NULL};
enum { TYPE_CLUSTER = 1, TYPE_ENTERPRISE = 2 };

static const struct field coordinates_fields[] = {
    FIELD_F64(struct api_coordinates, latitude, "latitude", (.flags = FIELD_READONLY, .min = -90, .max = 90),
              "Latitude in degrees"),
    FIELD_F64(struct api_coordinates, longitude, "longitude", (.flags = FIELD_READONLY, .min = -180, .max = 180),
              "Longitude in degrees"),
};
static const struct field_table coordinates_table =
    FIELD_TABLE("Coordinates", struct api_coordinates, coordinates_fields, NULL, "Where something stands");

static const struct field group_fields[] = {
    FIELD_ID(struct api_named_group, aid, "aid", (), "Id of the account group"),
    FIELD_STR(struct api_named_group, name, "accountGroupName", (), "Name of the account group"),
};
const struct field_table api_group_table =
    FIELD_TABLE("AccountGroup", struct api_named_group, group_fields, NULL, "An account group");

#define R (.flags = FIELD_READONLY)
#define SIMPLE_FIELDS                                                                                                  \
    FIELD_ID(struct api_agent, id, "agentId", R, "Id of the agent"),                                                   \
    FIELD_STR(struct api_agent, name, "agentName", (), "Name of the agent"),                                           \
    FIELD_ENUM(struct api_agent, type, "agentType", type_words, (.flags = FIELD_READONLY | FIELD_REQUIRED),            \
               "Kind of agent"),                                                                                       \
    FIELD_STR(struct api_agent, location, "location", R, "Where it stands"),                                           \
    FIELD_STR(struct api_agent, country, "countryId", R, "ISO 3166 country code"),                                     \
    FIELD_RECORD_PTR(struct api_agent, coordinates, "coordinates", &coordinates_table, R, "Where it stands"),          \
    FIELD_STRS(struct api_agent, ip_addresses, "ipAddresses", R, "Its own addresses"),                                 \
    FIELD_STRS(struct api_agent, public_ip_addresses, "publicIpAddresses", R, "Addresses the server sees it with"),    \
    FIELD_STR(struct api_agent, network, "network", R, "Network of its public address"),                               \
    FIELD_STR(struct api_agent, prefix, "prefix", R, "Prefix of its public address"),                                  \
    FIELD_BOOL(struct api_agent, enabled, "enabled", (.preset = "true"), "It gets tests to run"),                      \
    FIELD_BOOL(struct api_agent, verify_ssl, "verifySslCertificates", R, "It refuses certificates it cannot verify")

static const struct field simple_agent_fields[] = {SIMPLE_FIELDS};
const struct field_table api_simple_agent_table =
    FIELD_TABLE("AgentResponse", struct api_agent, simple_agent_fields, NULL, "An agent as a test lists it");

static const struct field agent_fields[] = {
    SIMPLE_FIELDS,
    FIELD_LIST(struct api_agent, cluster_members, "clusterMembers", &agents_member_table,
               (.flags = FIELD_READONLY, .expand = "cluster-member"), "Members, when the agent is a cluster"),
    FIELD_I64S(struct api_agent, test_ids, "testIds", (.flags = FIELD_READONLY, .expand = "test-ids"),
               "Ids of the tests it runs"),
    FIELD_LIST(struct api_agent, account_groups, "accountGroups", &api_group_table, (), "Account groups it works for"),
    FIELD_ENUM(struct api_agent, ipv6_policy, "ipv6Policy", object_ipv6_policies, (),
               "Which addresses of a name it uses"),
    FIELD_LIST(struct api_agent, error_details, "errorDetails", &agents_detail_table, R, "What is wrong with it"),
    FIELD_STR(struct api_agent, hostname, "hostname", R, "Name of its machine"),
    FIELD_I32(struct api_agent, utilization, "utilization", (.flags = FIELD_READONLY, .unit = "%"),
              "How much of its time it is in use: the most of any 5 minutes of a day, of its busiest queue"),
    FIELD_LIST(struct api_agent, interfaces, "interfaceIpMapping", &agents_interface_table, R,
               "Addresses of its interfaces"),
    FIELD_TIME(struct api_agent, last_seen_s, "lastSeen", R, "When it last spoke"),
    FIELD_ENUM(struct api_agent, state, "agentState", agents_state_words, R, "Whether it is there"),
    FIELD_BOOL(struct api_agent, keep_browser_cache, "keepBrowserCache", (), "Its browser keeps the cache"),
    FIELD_TIME(struct api_agent, created_s, "createdDate", R, "When it registered"),
    FIELD_STR(struct api_agent, target_for_tests, "targetForTests", (), "Address other agents measure"),
    FIELD_STRS(struct api_agent, local_resolution_prefixes, "localResolutionPrefixes", (),
               "Prefixes whose names it resolves itself"),
    FIELD_RECORD(struct api_agent, extra, "oculi", &agents_extra_table, R, "What API v7 has no place for"),
};
const struct field_table api_agent_table =
    FIELD_TABLE("EnterpriseAgent", struct api_agent, agent_fields, NULL, "An agent");

/* What PUT takes; read over the stored agent. */
struct agent_request {
    struct agent_request_extra {
        uint64_t proxy_id;
    } extra;
    const char *name, *target_for_tests;
    bool enabled, keep_browser_cache;
    int ipv6_policy;
    struct field_list account_groups, local_resolution_prefixes, tests;
};
static const struct field request_extra_fields[] = {
    FIELD_ID(struct agent_request_extra, proxy_id, "proxyId", (),
             "Proxy of its tests, of the account group's list; null = the one it was configured with"),
};
static const struct field_table request_extra_table = FIELD_TABLE(
    "AgentRequestExtra", struct agent_request_extra, request_extra_fields, NULL, "What API v7 has no place for");
static const struct field request_fields[] = {
    FIELD_STR(struct agent_request, name, "agentName", (.min = 1, .max = 255), "Name of the agent"),
    FIELD_BOOL(struct agent_request, enabled, "enabled", (), "It gets tests to run"),
    FIELD_IDS(struct agent_request, account_groups, "accountGroups", (.max = 100), "Account groups it works for"),
    FIELD_ENUM(struct agent_request, ipv6_policy, "ipv6Policy", object_ipv6_policies, (),
               "Which addresses of a name it uses"),
    FIELD_BOOL(struct agent_request, keep_browser_cache, "keepBrowserCache", (), "Its browser keeps the cache"),
    FIELD_STR(struct agent_request, target_for_tests, "targetForTests", (.max = 64), "Address other agents measure"),
    FIELD_STRS(struct agent_request, local_resolution_prefixes, "localResolutionPrefixes", (.max = 5),
               "Prefixes whose names it resolves itself"),
    FIELD_IDS(struct agent_request, tests, "tests", (.max = 10000), "Ids of the tests it runs: these and no others"),
    FIELD_RECORD(struct agent_request, extra, "oculi", &request_extra_table, (), "What API v7 has no place for"),
};
static int check_request(const void *record, struct error *err)
{
    const struct agent_request *request = record;
    union sock_addr addr;
    if (request->target_for_tests && *request->target_for_tests && sock_parse_ip(request->target_for_tests, &addr) != 0)
        return error_set(err, E_INVALID, "targetForTests", "must be an IP address");
    const char *const *prefixes = request->local_resolution_prefixes.items;
    for (size_t i = 0; i < request->local_resolution_prefixes.count; i++) {
        struct scope_prefix prefix;
        if (scope_parse(prefixes[i], &prefix) != 0)
            return error_set(err, E_INVALID, "localResolutionPrefixes", "\"%.60s\" is no prefix like 10.1.1.0/24",
                             prefixes[i]);
    }
    return 0;
}
static const struct field_table request_table =
    FIELD_TABLE("AgentRequest", struct agent_request, request_fields, check_request, "Changes to an agent");

void api_agent_fill(struct request *request, const struct object_agent *agent, struct api_agent *ret_agent)
{
    *ret_agent = (struct api_agent){
        .id = agent->head.id,
        .name = agent->name,
        .location = agent->location,
        .country = agent->country,
        .hostname = agent->hostname,
        .network = agent->network,
        .prefix = agent->prefix,
        .target_for_tests = agent->target_for_tests,
        .ip_addresses = agent->ip_addresses,
        .public_ip_addresses = agent->public_ip_addresses,
        .local_resolution_prefixes = agent->local_resolution_prefixes,
        .enabled = agent->enabled,
        .verify_ssl = agent->verify_ssl,
        .keep_browser_cache = agent->keep_browser_cache,
        .type = agent->is_cluster ? TYPE_CLUSTER : TYPE_ENTERPRISE,
        .ipv6_policy = agent->ipv6_policy,
        .created_s = agent->created_s,
        .cluster_members = {"", 0},
        .extra.proxy_id = agent->proxy_id,
    };
    agents_fill_health(request, agent, ret_agent);
    const char *const *public = agent->public_ip_addresses.items;
    if (agent->public_ip_addresses.count && !agent->network && !agent->prefix)
        about_address(request->server->about, public[0], &ret_agent->network, &ret_agent->prefix, request->arena);
    if (isfinite(agent->latitude) && isfinite(agent->longitude)) {
        ret_agent->coordinates = arena_alloc(request->arena, sizeof *ret_agent->coordinates);
        if (ret_agent->coordinates)
            *ret_agent->coordinates = (struct api_coordinates){agent->latitude, agent->longitude};
    }
}

/* Its own account group first. Those the user cannot enter are not the user's to know. */
static int fill_groups(struct request *request, const struct object_agent *agent, struct field_list *ret_groups,
                       struct error *err)
{
    const uint64_t *others = agent->shared_with.items;
    struct api_named_group *items = arena_alloc_array(request->arena, agent->shared_with.count + 1, sizeof *items);
    size_t count = 0;
    int rc = items ? 0 : error_set(err, E_LIMIT, "accountGroups", "too many account groups");
    for (size_t i = 0; !rc && i <= agent->shared_with.count; i++) {
        struct object_account_group group;
        uint64_t aid = i == 0 ? agent->head.aid : others[i - 1];
        struct permission_set may = {0};
        rc = auth_permissions(request->server->store, &request->user, aid, request->arena, &may, err);
        if (rc || (aid != request->aid && !permission_has(&may, PERMISSION_SIGNED_IN)))
            continue;
        rc = object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
        if (!rc)
            items[count++] = (struct api_named_group){group.head.id, group.name};
        else if (rc == -E_NOT_FOUND)
            rc = 0; /* removed meanwhile */
    }
    *ret_groups = (struct field_list){items, count};
    return rc;
}

static int add_tests(struct request *request, uint64_t agent_id, struct api_agent *agent, json_t *json,
                     struct error *err)
{
    struct field_list tests = {0};
    int rc = api_tests_of_agent(request, agent_id, &tests, err);
    if (rc)
        return rc;
    const struct object_test *test = tests.items;
    int64_t *ids = arena_alloc_array(request->arena, tests.count + 1, sizeof *ids);
    if (!ids)
        return error_set(err, E_LIMIT, "", "too many tests");
    json_t *list = request_expands(request, "test") && json ? json_array() : NULL;
    for (size_t i = 0; i < tests.count; i++) {
        ids[i] = (int64_t)test[i].head.id;
        if (list)
            (void)json_array_append_new(list, api_test_json(request, &test[i], err));
    }
    agent->test_ids = (struct field_list){ids, tests.count};
    if (list)
        (void)json_object_set_new(json, "tests", list);
    return 0;
}

int agents_json(struct request *request, const struct object_agent *stored, json_t **ret_json, struct error *err)
{
    struct api_agent agent;
    api_agent_fill(request, stored, &agent);
    json_t *tests = json_object();
    int rc = fill_groups(request, stored, &agent.account_groups, err);
    if (!rc && (request_expands(request, "test") || request_expands(request, "test-ids")))
        rc = add_tests(request, stored->head.id, &agent, tests, err);
    if (!rc) {
        *ret_json = field_to_json(&api_agent_table, &agent, request->expand);
        (void)json_object_update(*ret_json, tests);
    }
    json_decref(tests);
    return rc;
}

/* Is the word in a list with commas? No list, or an empty one, holds every word. */
static bool names_word(const char *list, const char *word)
{
    size_t size = word ? strlen(word) : 0;
    if (!list || !*list)
        return true;
    for (const char *at = list; word && *at;) {
        size_t n = strcspn(at, ",");
        if (n == size && strncmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* ?agentTypes=enterprise,cloud, labels (names), tagKeys: one of each that is given. */
static int is_wanted(struct request *request, const struct object_agent *agent, bool *ret_wanted, struct error *err)
{
    const char *types = request_query(request, "agentTypes"), *labels = request_query(request, "labels");
    const char *keys = request_query(request, "tagKeys");
    struct field_list tags = {0};
    *ret_wanted = names_word(types, type_words[agent->is_cluster ? TYPE_CLUSTER : TYPE_ENTERPRISE]);
    if (!*ret_wanted || ((!labels || !*labels) && (!keys || !*keys)))
        return 0;
    int rc = api_tags_of(request, API_TAGGED_AGENT, agent->head.id, &tags, err);
    const struct api_tag *tag = tags.items;
    bool has_label = !labels || !*labels, has_key = !keys || !*keys;
    for (size_t i = 0; !rc && i < tags.count; i++) {
        has_label = has_label || names_word(labels, tag[i].value) || names_word(labels, tag[i].key);
        has_key = has_key || names_word(keys, tag[i].key);
    }
    *ret_wanted = has_label && has_key;
    return rc;
}

static int get_agents(struct request *request, struct error *err)
{
    struct field_list agents = {0};
    int rc = object_list_agents(request->server->store, request->aid, request->arena, &agents, err);
    json_t *list = json_array();
    const struct object_agent *agent = agents.items;
    for (size_t i = 0; !rc && i < agents.count; i++) {
        json_t *json = NULL;
        bool is_one = false;
        rc = is_wanted(request, &agent[i], &is_one, err);
        if (!rc && is_one)
            rc = agents_json(request, &agent[i], &json, err);
        if (!rc && is_one)
            (void)json_array_append_new(list, json);
    }
    if (rc) {
        json_decref(list);
        return rc;
    }
    request_answer(request, 200, json_pack("{s:o}", "agents", list));
    return 0;
}

int agents_find(struct request *request, struct object_agent *ret_agent, struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "agentId", &id, err);
    return rc ? rc
              : object_get_agent(request->server->store, id, request->aid, request->arena, ret_agent, err);
}

/* One that its account group only lends is not this one's to change. */
int agents_find_own(struct request *request, struct object_agent *ret_agent, struct error *err)
{
    int rc = agents_find(request, ret_agent, err);
    if (!rc && ret_agent->head.aid != request->aid)
        rc = error_set(err, E_PERMISSION, "agentId", "this agent belongs to another account group, which shares it");
    return rc;
}

/* What lists do not show. */
static int add_details(struct request *request, const struct object_agent *agent, json_t *json, struct error *err)
{
    struct field_list found = {0};
    int rc = api_tags_of(request, API_TAGGED_AGENT, agent->head.id, &found, err);
    const struct api_tag *tag = found.items;
    json_t *tags = json_array(), *labels = json_array();
    for (size_t i = 0; !rc && i < found.count; i++) {
        const char *number = arena_printf(request->arena, "%llu", (unsigned long long)tag[i].number);
        (void)json_array_append_new(tags, json_pack("{s:s, s:s, s:s*}", "id", tag[i].uuid, "key", tag[i].key, "value",
                                                    tag[i].value));
        (void)json_array_append_new(labels, json_pack("{s:s, s:s}", "labelId", number ? number : "", "name",
                                                      tag[i].value ? tag[i].value : tag[i].key));
    }
    (void)json_object_set_new(json, "tags", tags);
    (void)json_object_set_new(json, "labels", labels);
    if (!rc && request_expands(request, "notification-rule"))
        rc = agents_add_rules(request, agent, json, err);
    return rc;
}

int agents_answer(struct request *request, const struct object_agent *agent, struct error *err)
{
    json_t *json = NULL;
    int rc = agents_json(request, agent, &json, err);
    if (!rc)
        rc = add_details(request, agent, json, err);
    if (rc) {
        json_decref(json);
        return rc;
    }
    request_link_self(request, json, request_url(request, "/v7/agents/%llu", (unsigned long long)agent->head.id));
    request_answer(request, 200, json);
    return 0;
}

static int get_agent(struct request *request, struct error *err)
{
    struct object_agent agent;
    int rc = agents_find(request, &agent, err);
    return rc ? rc : agents_answer(request, &agent, err);
}

static bool is_in(const struct field_list *aids, uint64_t aid)
{
    const uint64_t *items = aids->items;
    for (size_t i = 0; i < aids->count; i++) {
        if (items[i] == aid)
            return true;
    }
    return false;
}

/* Lends the agent to these account groups and no others; its own must be among them. */
static int share_agent(struct request *request, struct object_agent *agent, const struct field_list *groups,
                       struct error *err)
{
    const uint64_t *aids = groups->items;
    uint64_t *others = arena_alloc_array(request->arena, groups->count + 1, sizeof *others);
    size_t count = 0;
    if (!others)
        return error_set(err, E_LIMIT, "accountGroups", "too many account groups");
    if (!is_in(groups, agent->head.aid))
        return error_set(err, E_INVALID, "accountGroups", "account group %llu owns the agent and stays",
                         (unsigned long long)agent->head.aid);
    for (size_t i = 0; i < groups->count; i++) {
        struct object_account_group group;
        struct permission_set may = {0};
        if (aids[i] == agent->head.aid)
            continue;
        int rc = object_get(request->server->store, &object_account_group_kind, aids[i], 0, request->arena, &group, err);
        if (!rc)
            rc = auth_permissions(request->server->store, &request->user, aids[i], request->arena, &may, err);
        if (rc == -E_NOT_FOUND || (!rc && !permission_has(&may, PERMISSION_SIGNED_IN)))
            return error_set(err, E_INVALID, "accountGroups", "There is no account group %llu",
                             (unsigned long long)aids[i]);
        if (rc)
            return rc;
        bool is_new = !is_in(&agent->shared_with, aids[i]);
        if (is_new && !request_may(request, PERMISSION_ASSIGN_AGENT_TO_ACCOUNT_GROUP))
            return error_set(err, E_PERMISSION, "accountGroups", "this needs the permission \"%s\"",
                             permission_infos[PERMISSION_ASSIGN_AGENT_TO_ACCOUNT_GROUP].label);
        others[count++] = aids[i];
    }
    agent->shared_with = (struct field_list){others, count};
    return 0;
}

/* Takes the agent out of the tests of account groups it no longer works for. */
static int leave_groups(struct request *request, const struct object_agent *agent, const struct field_list *before,
                        struct field_list *changed, struct error *err)
{
    const uint64_t *old = before->items;
    int rc = 0;
    for (size_t i = 0; !rc && i < before->count; i++) {
        if (!object_agent_works_for(agent, old[i]))
            rc = agents_leave_tests(request, agent->head.id, old[i], changed, err);
    }
    return rc;
}

static int put_agent(struct request *request, struct error *err)
{
    struct object_agent agent;
    struct field_list changed = {0};
    int rc = agents_find_own(request, &agent, err);
    if (rc)
        return rc;
    const struct field_list groups_before = agent.shared_with;
    struct agent_request changes;
    field_defaults(&request_table, &changes);
    changes.name = agent.name;
    changes.enabled = agent.enabled;
    changes.keep_browser_cache = agent.keep_browser_cache;
    changes.ipv6_policy = agent.ipv6_policy;
    changes.target_for_tests = agent.target_for_tests;
    changes.local_resolution_prefixes = agent.local_resolution_prefixes;
    changes.extra.proxy_id = agent.proxy_id;
    rc = field_from_json(&request_table, request->body, FIELD_MERGE, &changes, request->arena, err);
    if (!rc)
        rc = agents_check_proxy(request, changes.extra.proxy_id, err);
    if (!rc)
        rc = changes.account_groups.items ? share_agent(request, &agent, &changes.account_groups, err) : 0;
    if (rc)
        return rc;
    agent.name = changes.name;
    agent.enabled = changes.enabled;
    agent.keep_browser_cache = changes.keep_browser_cache;
    agent.ipv6_policy = changes.ipv6_policy;
    agent.target_for_tests = changes.target_for_tests;
    agent.local_resolution_prefixes = changes.local_resolution_prefixes;
    agent.proxy_id = changes.extra.proxy_id;
    struct store *store = request->server->store;
    rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = change_put(request, &object_agent_kind, &agent, err);
    if (!rc && changes.tests.items)
        rc = agents_set_tests(request, agent.head.id, &changes.tests, &changed, err);
    if (!rc)
        rc = leave_groups(request, &agent, &groups_before, &changed, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    agents_tell(request, &agent, &changed);
    return agents_answer(request, &agent, err);
}

static int delete_agent(struct request *request, struct error *err)
{
    struct object_agent agent;
    struct field_list changed = {0}, members = {0};
    int rc = agents_find_own(request, &agent, err);
    if (rc)
        return rc;
    const struct field_list no_tags = {"", 0};
    struct store *store = request->server->store;
    rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = agents_leave_tests(request, agent.head.id, 0, &changed, err);
    if (!rc)
        rc = api_tags_set(request, API_TAGGED_AGENT, agent.head.id, &no_tags, err);
    if (!rc)
        rc = change_delete(request, &object_agent_kind, &agent, false, err);
    if (!rc && agent.is_cluster)
        rc = agents_delete_members(request, &agent, &members, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    presence_forget(request->server->presence, agent.head.id);
    reports_forget(request->server->reports, agent.head.id);
    agents_tell(request, &agent, &changed);
    agents_tell_gone(request, &members);
    request_answer_empty(request, 204);
    return 0;
}

static const char *const list_expand[] = {"cluster-member", "test", "test-ids", NULL};
static const char *const detail_expand[] = {"cluster-member", "test", "test-ids", "notification-rule", NULL};
static const char *const list_queries[] = {"agentTypes", "labels", "tagKeys", NULL};

const struct route api_agent_routes[] = {
    ROUTE("GET", "/v7/agents", PERMISSION_VIEW_AGENTS, "getAgents", get_agents,
          (.response = &api_agent_table, .list = "agents", .flags = ROUTE_V7, .expand = list_expand,
           .queries = list_queries),
          "List agents"),
    ROUTE("GET", "/v7/agents/{agentId}", PERMISSION_VIEW_AGENTS, "getAgent", get_agent,
          (.response = &api_agent_table, .flags = ROUTE_V7, .expand = detail_expand), "Get an agent"),
    ROUTE("PUT", "/v7/agents/{agentId}", PERMISSION_EDIT_AGENTS, "updateAgent", put_agent,
          (.request = &request_table, .response = &api_agent_table, .flags = ROUTE_V7 | ROUTE_PARTIAL,
           .expand = detail_expand),
          "Change an agent"),
    ROUTE("DELETE", "/v7/agents/{agentId}", PERMISSION_EDIT_AGENTS, "deleteAgent", delete_agent,
          (.status = 204, .flags = ROUTE_V7), "Delete an agent"),
    {0},
};
