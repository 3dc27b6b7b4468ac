/*
 * Proxies for tests of agents. API v7 only lists them (/v7/agents/proxies); they are made and changed under
 * /oculi/v1/agent-proxies. A password is sealed before it is stored, goes to agents that use the proxy, in their plan,
 * and is never answered. Proxies of agents' own configuration are listed too.
 */
#include <string.h>

#include "server/api/agents.h"
#include "server/change.h"
#include "server/reports.h"
#include "server/resource.h"
#include "server/seal.h"

const char *const api_proxy_type_words[] = {"static", "pac", NULL};
const char *const api_proxy_auth_words[] = {"basic", "ntlm", "kerberos", "unknown", NULL};
enum { AUTH_UNKNOWN = 3 };

#define R (.flags = FIELD_READONLY)
#define COMMON_FIELDS                                                                                                  \
    FIELD_STR(struct api_proxy, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),                         \
              "Its name, unique in the account group"),                                                                \
    FIELD_ENUM(struct api_proxy, type, "type", api_proxy_type_words, (.preset = "static"),                             \
               "One proxy, or a PAC file that names them"),                                                            \
    FIELD_STR(struct api_proxy, location, "location", (.flags = FIELD_REQUIRED, .min = 1, .max = 1000),                \
              "Host and port, or the address of the PAC file"),                                                        \
    FIELD_ENUM(struct api_proxy, auth, "authType", api_proxy_auth_words, (), "How it wants to be signed in to"),       \
    FIELD_STR(struct api_proxy, user, "user", (.max = 255), "Who signs in to it"),                                     \
    FIELD_STRS(struct api_proxy, bypass, "bypassList", (.preset = "", .max = 1000), "Hosts reached without it")

static const struct field stored_fields[] = {
    COMMON_FIELDS,
    FIELD_STR(struct api_proxy, password, "password", (.flags = FIELD_SECRET), "That user's password, sealed"),
};
static const struct field_table stored_table =
    FIELD_TABLE("StoredAgentProxy", struct api_proxy, stored_fields, NULL, "A proxy as it is kept");
static const struct field request_fields[] = {
    COMMON_FIELDS,
    FIELD_STR(struct api_proxy, password, "password", (.flags = FIELD_SECRET, .max = 1000), "That user's password"),
};
static const struct field_table request_table =
    FIELD_TABLE("AgentProxyRequest", struct api_proxy, request_fields, NULL, "A proxy for tests of agents");
static const struct field answer_fields[] = {
    FIELD_ID(struct api_proxy, head.aid, "aid", R, "Its account group"),
    FIELD_ID(struct api_proxy, head.id, "proxyId", R, "Its id"),
    COMMON_FIELDS,
    FIELD_BOOL(struct api_proxy, is_local, "isLocalConfigured", R, "It comes from an agent's own configuration"),
    FIELD_TIME(struct api_proxy, modified_s, "lastModified", R, "When it was last changed"),
};
static const struct field_table answer_table =
    FIELD_TABLE("AgentProxyAnswer", struct api_proxy, answer_fields, NULL, "A proxy for tests of agents");

const struct object_kind api_proxy_kind = {.name = "agent-proxy",
                                           .table = &stored_table,
                                           .key = offsetof(struct api_proxy, name),
                                           .lookup = OBJECT_NONE,
                                           .title = "Agent proxy",
                                           .resource = "proxyName",
                                           .label = offsetof(struct api_proxy, name)};

static int check(struct request *request, const void *before, void *record, struct error *err)
{
    struct api_proxy *proxy = record;
    const struct api_proxy *old = before;
    bool has_port = strrchr(proxy->location, ':') != NULL;
    if (api_proxy_type_words[proxy->type][0] == 's' && (!has_port || strchr(proxy->location, '/')))
        return error_set(err, E_INVALID, "location", "a static proxy is written like proxy.example.net:3128");
    if (api_proxy_type_words[proxy->type][0] == 'p' && !strstr(proxy->location, "://"))
        return error_set(err, E_INVALID, "location", "a PAC file is written like https://example.net/proxy.pac");
    if (proxy->auth >= 0 && proxy->auth != AUTH_UNKNOWN && (!proxy->user || !*proxy->user))
        return error_set(err, E_REQUIRED, "user", "signing in needs a user");
    if (!proxy->password || !*proxy->password) {
        proxy->password = NULL;
        return 0;
    }
    if (old && old->password == proxy->password)
        return 0; /* not given: what is stored stays */
    return seal_text(request->server->seal, API_PROXY_PURPOSE, proxy->password, request->arena, &proxy->password, err);
}

static int show(struct request *request, const void *record, json_t *json, struct error *err)
{
    const struct api_proxy *proxy = record;
    char when[CLOCK_ISO_BYTES];
    (void)request;
    (void)err;
    (void)json_object_set_new(json, "lastModified", json_string(clock_iso(proxy->head.modified_s, when, sizeof when)));
    return 0;
}

/* Agents that use it: struct object_agent. */
static int list_users(struct request *request, uint64_t proxy_id, struct field_list *ret_agents, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, &object_agent_kind, request->aid, NULL, request->arena, &all, err);
    struct object_agent *agents = all.items;
    size_t count = 0;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (agents[i].proxy_id == proxy_id)
            agents[count++] = agents[i];
    }
    *ret_agents = (struct field_list){agents, rc ? 0 : count};
    return rc;
}

static int leave(struct request *request, const void *record, struct error *err)
{
    const struct api_proxy *proxy = record;
    struct field_list users = {0};
    int rc = list_users(request, proxy->head.id, &users, err);
    const struct object_agent *agent = users.items;
    if (!rc && users.count)
        rc = error_set(err, E_CONFLICT, "proxyId", "agent \"%s\" uses this proxy", agent->name);
    return rc;
}

static void changed(struct request *request, const void *record)
{
    const struct api_proxy *proxy = record;
    struct field_list users = {0};
    if (list_users(request, proxy->head.id, &users, NULL) != 0)
        return;
    const struct object_agent *agent = users.items;
    for (size_t i = 0; i < users.count; i++)
        api_agent_changed(request->server, agent[i].head.aid, agent[i].head.id);
}

static const struct resource proxies = {.kind = &api_proxy_kind,
                                        .path = "/oculi/v1/agent-proxies",
                                        .param = "proxyId",
                                        .uuid = OBJECT_NONE,
                                        .is_forgotten = true,
                                        .key = "name",
                                        .check = check,
                                        .show = show,
                                        .leave = leave,
                                        .changed = changed};

int agents_check_proxy(struct request *request, uint64_t proxy_id, struct error *err)
{
    struct api_proxy proxy;
    int rc = proxy_id ? object_get_in(request->server->store, &api_proxy_kind, proxy_id, request->aid, request->arena,
                                      &proxy, err)
                      : 0;
    return rc == -E_NOT_FOUND ? error_set(err, E_INVALID, "oculi.proxyId", "There is no such proxy") : rc;
}

static int word_index(const char *const *words, const char *word)
{
    for (int i = 0; word && words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

/* By which agents reach the server, as they tell. */
static int add_local(struct request *request, json_t *list, struct error *err)
{
    struct field_list agents = {0};
    int rc = object_list(request->server->store, &object_agent_kind, request->aid, NULL, request->arena, &agents, err);
    const struct object_agent *agent = agents.items;
    for (size_t i = 0; !rc && i < agents.count; i++) {
        int64_t at_s;
        const struct message_report *report = reports_last(request->server->reports, agent[i].head.id, &at_s);
        const struct message_proxy *used = report ? report->proxy : NULL;
        int type = used ? word_index(api_proxy_type_words, used->type) : -1;
        if (type < 0)
            continue;
        struct api_proxy proxy = {.head.aid = request->aid,
                                  .name = arena_printf(request->arena, "Configured at %s", agent[i].name),
                                  .type = type,
                                  .location = used->location,
                                  .auth = word_index(api_proxy_auth_words, used->auth),
                                  .user = used->user,
                                  .bypass = used->bypass,
                                  .is_local = true,
                                  .modified_s = at_s};
        json_t *json = field_to_json(&answer_table, &proxy, NULL);
        (void)json_object_set_new(json, "proxyId",
                                  json_sprintf("agent-%llu", (unsigned long long)agent[i].head.id));
        (void)json_array_append_new(list, json);
    }
    return rc;
}

static int list_v7(struct request *request, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, proxies.kind, request->aid, NULL, request->arena, &all, err);
    struct api_proxy *proxy = all.items;
    json_t *list = json_array();
    for (size_t i = 0; !rc && i < all.count; i++) {
        proxy[i].modified_s = proxy[i].head.modified_s;
        (void)json_array_append_new(list, field_to_json(&answer_table, &proxy[i], NULL));
    }
    if (!rc)
        rc = add_local(request, list, err);
    if (rc) {
        json_decref(list);
        return rc;
    }
    request_answer(request, 200, json_pack("{s:o}", "agentProxies", list));
    return 0;
}

#define PLAIN .response = &answer_table, .resource = &proxies
#define PATH "/oculi/v1/agent-proxies"

const struct route api_agent_proxy_routes[] = {
    ROUTE("GET", "/v7/agents/proxies", PERMISSION_VIEW_AGENTS, "getAgentsProxies", list_v7,
          (.response = &answer_table, .list = "agentProxies", .flags = ROUTE_V7), "List proxies of agents"),
    ROUTE("GET", PATH, PERMISSION_VIEW_AGENTS, "getAgentProxies", resource_list,
          (PLAIN, .list = "agentProxies", .flags = ROUTE_OCULI), "List proxies for tests of agents"),
    ROUTE("POST", PATH, PERMISSION_EDIT_AGENTS, "createAgentProxy", resource_create,
          (PLAIN, .request = &request_table, .status = 201, .flags = ROUTE_OCULI | ROUTE_PARTIAL),
          "Add a proxy for tests of agents"),
    ROUTE("GET", PATH "/{proxyId}", PERMISSION_VIEW_AGENTS, "getAgentProxy", resource_get,
          (PLAIN, .flags = ROUTE_OCULI), "Get a proxy, without its password"),
    ROUTE("PUT", PATH "/{proxyId}", PERMISSION_EDIT_AGENTS, "updateAgentProxy", resource_put,
          (PLAIN, .request = &request_table, .flags = ROUTE_OCULI | ROUTE_PARTIAL),
          "Change a proxy; what is not given stays"),
    ROUTE("DELETE", PATH "/{proxyId}", PERMISSION_EDIT_AGENTS, "deleteAgentProxy", resource_delete,
          (.resource = &proxies, .status = 204, .flags = ROUTE_OCULI), "Delete a proxy that no agent uses"),
    {0},
};
