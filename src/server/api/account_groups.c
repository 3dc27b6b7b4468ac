/*
 * /v7/account-groups: what agents, tests and people belong to. Deleting one takes with it what is in it but for agents
 * and tests, which somebody would miss: it must be rid of those first. One is always left.
 */
#include <string.h>

#include "server/api/people.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/shares.h"

struct group_info {
    uint64_t aid;
    const char *name, *organization, *organization_id;
    bool is_current, is_default;
};
#define INFO_FIELDS(rec, info)                                                                                         \
    FIELD_ID(rec, info aid, "aid", (), "Id of the account group"),                                                     \
    FIELD_STR(rec, info name, "accountGroupName", (), "Name of the account group"),                                    \
    FIELD_BOOL(rec, info is_current, "isCurrentAccountGroup", (), "It is the one being worked in"),                    \
    FIELD_BOOL(rec, info is_default, "isDefaultAccountGroup", (), "It is entered at sign-in"),                         \
    FIELD_STR(rec, info organization, "organizationName", (), "Name of the organization"),                             \
    FIELD_STR(rec, info organization_id, "orgId", (), "Id of the organization")
static const struct field group_info_fields[] = {INFO_FIELDS(struct group_info, )};
static const struct field_table group_info_table =
    FIELD_TABLE("AccountGroupInfo", struct group_info, group_info_fields, NULL, "An account group of the user");

struct group_user {
    uint64_t uid;
    const char *name, *email;
    int64_t registered_s, last_login_s;
    struct field_list roles; /* struct people_role */
};
static const struct field group_user_fields[] = {
    FIELD_ID(struct group_user, uid, "uid", (), "Id of the user"),
    FIELD_STR(struct group_user, name, "name", (), "Name shown"),
    FIELD_STR(struct group_user, email, "email", (), "E-mail address"),
    FIELD_TIME(struct group_user, registered_s, "dateRegistered", (), "When the user was created"),
    FIELD_TIME(struct group_user, last_login_s, "lastLogin", (), "When the user last signed in"),
    FIELD_LIST(struct group_user, roles, "roles", &people_role_table, (), "The user's roles in the account group"),
};
static const struct field_table group_user_table =
    FIELD_TABLE("UserAccountGroup", struct group_user, group_user_fields, NULL, "A user of an account group");

struct group_detail {
    struct group_info info;
    struct field_list users;  /* struct group_user */
    struct field_list agents; /* struct api_agent */
    const char *agent_token;
};
#define DETAIL_FIELDS                                                                                                  \
    INFO_FIELDS(struct group_detail, info.),                                                                           \
    FIELD_LIST(struct group_detail, users, "users", &group_user_table, (.expand = "user"), "Who has access")
static const struct field created_group_fields[] = {DETAIL_FIELDS};
static const struct field_table created_group_table = FIELD_TABLE("CreatedAccountGroup", struct group_detail,
                                                                  created_group_fields, NULL, "A new account group");
static const struct field group_detail_fields[] = {
    DETAIL_FIELDS,
    FIELD_LIST(struct group_detail, agents, "agents", &api_agent_table, (.expand = "agent"), "Agents that work for it"),
    FIELD_STR(struct group_detail, agent_token, "accountToken", (),
              "What an agent shows to register; told to who may edit its agents"),
};
static const struct field_table group_detail_table =
    FIELD_TABLE("AccountGroupDetail", struct group_detail, group_detail_fields, NULL, "An account group in full");

struct group_request {
    const char *name;
    struct field_list agents; /* ids */
};
static const struct field group_request_fields[] = {
    FIELD_STR(struct group_request, name, "accountGroupName", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),
              "Name of the account group, unique"),
    FIELD_IDS(struct group_request, agents, "agents", (.max = 10000), "Agents that work for it, all of them"),
};
static const struct field_table group_request_table =
    FIELD_TABLE("AccountGroupRequest", struct group_request, group_request_fields, NULL, "A new account group");

/* --- answers ------------------------------------------------------------------------------------------------------------ */

static struct group_info info_of(const struct request *request, const struct object_account_group *group)
{
    return (struct group_info){.aid = group->head.id,
                               .name = group->name,
                               .organization = group->organization,
                               .organization_id = "1",
                               .is_current = group->head.id == request->aid,
                               .is_default = group->head.id == request->user.login_aid};
}

static int list_groups(struct request *request, struct error *err)
{
    struct field_list groups = {0};
    int rc = object_list(request->server->store, &object_account_group_kind, 0, NULL, request->arena, &groups, err);
    if (rc)
        return rc;
    const struct object_account_group *group = groups.items;
    json_t *list = json_array();
    for (size_t i = 0; i < groups.count; i++) {
        if (!people_reaches(&request->user, group[i].head.id))
            continue;
        struct group_info info = info_of(request, &group[i]);
        (void)json_array_append_new(list, field_to_json(&group_info_table, &info, NULL));
    }
    request_answer(request, 200, json_pack("{s:o}", "accountGroups", list));
    return 0;
}

static int list_users(struct request *request, uint64_t aid, struct field_list *ret_users, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, &object_user_kind, 0, NULL, request->arena, &all, err);
    const struct object_user *user = all.items;
    struct group_user *users = rc ? NULL : arena_alloc_array(request->arena, all.count + 1, sizeof *users);
    size_t count = 0;
    for (size_t i = 0; users && !rc && i < all.count; i++) {
        if (!people_reaches(&user[i], aid))
            continue;
        users[count] = (struct group_user){.uid = user[i].head.id,
                                           .name = user[i].name,
                                           .email = user[i].email,
                                           .registered_s = user[i].created_s,
                                           .last_login_s = user[i].last_login_s};
        rc = people_roles_in(request, &user[i], aid, &users[count++].roles, err);
    }
    *ret_users = (struct field_list){users, count};
    return rc;
}

static int list_agents(struct request *request, uint64_t aid, struct field_list *ret_agents, struct error *err)
{
    struct field_list stored = {0};
    int rc = object_list_agents(request->server->store, aid, request->arena, &stored, err);
    struct api_agent *agents = rc ? NULL : arena_alloc_array(request->arena, stored.count + 1, sizeof *agents);
    const struct object_agent *agent = stored.items;
    for (size_t i = 0; agents && i < stored.count; i++)
        api_agent_fill(request, &agent[i], &agents[i]);
    *ret_agents = (struct field_list){agents, agents ? stored.count : 0};
    return rc;
}

static int answer_group(struct request *request, int status, const struct object_account_group *group,
                        struct error *err)
{
    struct group_detail detail = {.info = info_of(request, group)};
    struct permission_set may;
    int rc = people_may_in(request, group->head.id, &may, err);
    if (!rc && request_expands(request, "user"))
        rc = list_users(request, group->head.id, &detail.users, err);
    if (!rc && request_expands(request, "agent"))
        rc = list_agents(request, group->head.id, &detail.agents, err);
    if (rc)
        return rc;
    if (permission_has(&may, PERMISSION_EDIT_AGENTS))
        detail.agent_token = group->agent_token;
    json_t *json = field_to_json(request->route->response, &detail, request->expand);
    const char *url = request_url(request, "/v7/account-groups/%llu", (unsigned long long)group->head.id);
    request_link_self(request, json, url);
    if (status == 201)
        request_location(request, url);
    request_answer(request, status, json);
    return 0;
}

/* "View all account groups settings" means all. */
static int find_group(struct request *request, struct object_account_group *ret_group, struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "id", &id, err);
    return rc ? rc : object_get(request->server->store, &object_account_group_kind, id, 0, request->arena, ret_group, err);
}

static int get_group(struct request *request, struct error *err)
{
    struct object_account_group group;
    int rc = find_group(request, &group, err);
    return rc ? rc : answer_group(request, 200, &group, err);
}

/* --- agents -------------------------------------------------------------------------------------------------------------- */

static bool is_in(const struct field_list *ids, uint64_t id)
{
    const uint64_t *items = ids->items;
    bool is_found = false;
    for (size_t i = 0; i < ids->count; i++)
        is_found = is_found || items[i] == id;
    return is_found;
}

/* Lets the agent work for the account group, or no longer. */
static int set_shared(struct request *request, struct object_agent *agent, uint64_t aid, bool is_shared, struct error *err)
{
    const uint64_t *old = agent->shared_with.items;
    uint64_t *new = arena_alloc_array(request->arena, agent->shared_with.count + 1, sizeof *new);
    size_t count = 0;
    if (!new)
        return error_set(err, E_LIMIT, "agents", "too many account groups");
    for (size_t i = 0; i < agent->shared_with.count; i++) {
        if (old[i] != aid)
            new[count++] = old[i];
    }
    if (is_shared)
        new[count++] = aid;
    agent->shared_with = (struct field_list){new, count};
    return change_put(request, &object_agent_kind, agent, err);
}

/* The whole list, as v7 has it; agents that registered with the account group's own token stay. agents: all there are. */
static int share_agents(struct request *request, uint64_t aid, const struct field_list *wanted, struct field_list *agents,
                        struct error *err)
{
    struct object_agent *agent = agents->items;
    const uint64_t *ids = wanted->items;
    int rc = 0;
    if (!request_may(request, PERMISSION_ASSIGN_AGENT_TO_ACCOUNT_GROUP))
        return error_set(err, E_PERMISSION, "agents", "this needs the permission \"%s\"",
                         permission_infos[PERMISSION_ASSIGN_AGENT_TO_ACCOUNT_GROUP].label);
    for (size_t i = 0; i < wanted->count; i++) {
        bool is_found = false;
        for (size_t j = 0; j < agents->count; j++)
            is_found = is_found || agent[j].head.id == ids[i];
        if (!is_found)
            return error_set(err, E_INVALID, "", "There is no agent %llu", (unsigned long long)ids[i]);
    }
    for (size_t i = 0; !rc && i < agents->count; i++) {
        bool is_shared = is_in(&agent[i].shared_with, aid), is_wanted = is_in(wanted, agent[i].head.id);
        if (agent[i].head.aid != aid && is_shared != is_wanted)
            rc = set_shared(request, &agent[i], aid, is_wanted, err);
    }
    return rc;
}

/* Who asks may share the agents of account groups he reaches, or of all with the permission that says so. */
static int list_shareable(struct request *request, struct field_list *ret_agents, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, &object_agent_kind, 0, NULL, request->arena, &all, err);
    struct object_agent *agent = all.items;
    size_t count = 0;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (request_may(request, PERMISSION_EDIT_ACCOUNT_GROUPS) || people_reaches(&request->user, agent[i].head.aid))
            agent[count++] = agent[i];
    }
    *ret_agents = (struct field_list){agent, count};
    return rc;
}

static void tell_agents(struct request *request, const struct field_list *agents, uint64_t aid)
{
    const struct object_agent *agent = agents->items;
    for (size_t i = 0; i < agents->count; i++) {
        if (agent[i].head.aid != aid)
            api_agent_changed(request->server, agent[i].head.aid, agent[i].head.id);
    }
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

static int put_group(struct request *request, struct object_account_group *group, struct error *err)
{
    int rc = change_put(request, &object_account_group_kind, group, err);
    if (rc == -E_EXISTS)
        rc = error_set(err, E_EXISTS, "accountGroupName", "An account group with this name already exists.");
    return rc;
}

/* The creator becomes its administrator unless he is in all of them already. */
static int add_creator(struct request *request, uint64_t aid, struct error *err)
{
    struct object_user *user = &request->user;
    struct object_user_role *roles = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *roles);
    if (people_reaches(user, aid))
        return 0;
    if (!roles)
        return error_set(err, E_LIMIT, "", "too many account groups");
    if (user->roles.count)
        memcpy(roles, user->roles.items, user->roles.count * sizeof *roles);
    roles[user->roles.count] = (struct object_user_role){.aid = aid, .role_id = PERMISSION_ORGANIZATION_ADMIN};
    user->roles = (struct field_list){roles, user->roles.count + 1};
    return change_put(request, &object_user_kind, user, err);
}

static int create_group(struct request *request, struct error *err)
{
    const struct group_request *wanted = request->record;
    struct store *store = request->server->store;
    char token[AUTH_SECRET_BYTES];
    auth_new_secret("oculi-agent_", token);
    struct object_account_group group = {
        .name = wanted->name, .organization = "Oculi", .agent_token = token, .created_s = server_now_s(request->server)};
    struct field_list agents = {0};
    int rc = wanted->agents.count ? list_shareable(request, &agents, err) : 0;
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = put_group(request, &group, err);
    if (!rc)
        rc = add_creator(request, group.head.id, err);
    if (!rc)
        rc = api_make_default_rule(store, group.head.id, group.created_s, err);
    if (!rc && wanted->agents.count)
        rc = share_agents(request, group.head.id, &wanted->agents, &agents, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    tell_agents(request, &agents, group.head.id);
    return answer_group(request, 201, &group, err);
}

static int update_group(struct request *request, struct error *err)
{
    const struct group_request *wanted = request->record;
    struct store *store = request->server->store;
    struct object_account_group group;
    struct field_list agents = {0};
    int rc = find_group(request, &group, err);
    if (!rc && wanted->agents.items)
        rc = list_shareable(request, &agents, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    group.name = wanted->name;
    rc = put_group(request, &group, err);
    if (!rc && wanted->agents.items)
        rc = share_agents(request, group.head.id, &wanted->agents, &agents, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    tell_agents(request, &agents, group.head.id);
    return answer_group(request, 200, &group, err);
}

/* --- deletion ------------------------------------------------------------------------------------------------------------ */

static bool count_one(void *user, const struct store_object *object)
{
    (void)object;
    ++*(size_t *)user;
    return true;
}

/* Instant tests go by themselves. */
static int count_tests(struct request *request, uint64_t aid, size_t *ret_count, struct error *err)
{
    struct field_list tests = {0};
    int rc = object_list(request->server->store, &object_test_kind, aid, NULL, request->arena, &tests, err);
    const struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++)
        *ret_count += !test[i].is_instant;
    return rc;
}

/* Somebody would miss its agents and tests, and there is no way back. */
static int check_empty(struct request *request, uint64_t aid, struct error *err)
{
    struct store *store = request->server->store;
    size_t groups = 0, agents = 0, tests = 0;
    int rc = store_list(store, object_account_group_kind.name, 0, NULL, 0, 0, count_one, &groups, err);
    if (!rc)
        rc = store_list(store, object_agent_kind.name, aid, NULL, 0, 0, count_one, &agents, err);
    if (!rc)
        rc = count_tests(request, aid, &tests, err);
    if (!rc && groups == 1)
        rc = error_set(err, E_CONFLICT, "", "this is the last account group");
    if (!rc && agents + tests > 0)
        rc = error_set(err, E_CONFLICT, "", "this account group still has agents (%zu) or tests (%zu); delete them first",
                       agents, tests);
    return rc;
}

/* Takes the roles in it from everybody; who signed in there enters another of his account groups. */
static int forget_roles(struct request *request, uint64_t aid, struct error *err)
{
    struct field_list users = {0}, groups = {0};
    struct store *store = request->server->store;
    int rc = object_list(store, &object_user_kind, 0, NULL, request->arena, &users, err);
    if (!rc)
        rc = object_list(store, &object_account_group_kind, 0, NULL, request->arena, &groups, err);
    struct object_user *user = users.items;
    const struct object_account_group *group = groups.items;
    for (size_t i = 0; !rc && i < users.count; i++) {
        struct object_user_role *roles = user[i].roles.items;
        size_t count = 0;
        for (size_t j = 0; j < user[i].roles.count; j++) {
            if (roles[j].aid != aid)
                roles[count++] = roles[j];
        }
        bool is_changed = count != user[i].roles.count || user[i].login_aid == aid;
        user[i].roles.count = count;
        for (size_t j = 0; user[i].login_aid == aid && j < groups.count; j++) {
            if (group[j].head.id != aid && people_reaches(&user[i], group[j].head.id))
                user[i].login_aid = group[j].head.id;
        }
        if (is_changed)
            rc = change_put(request, &object_user_kind, &user[i], err);
    }
    return rc;
}

static int unshare_agents(struct request *request, uint64_t aid, struct field_list *agents, struct error *err)
{
    struct object_agent *agent = agents->items;
    int rc = 0;
    for (size_t i = 0; !rc && i < agents->count; i++) {
        if (is_in(&agent[i].shared_with, aid))
            rc = set_shared(request, &agent[i], aid, false, err);
    }
    return rc;
}

/* Everything else that belongs to it goes with it; the audit log stays. */
static int delete_rest(struct request *request, uint64_t aid, struct error *err)
{
    struct store *store = request->server->store;
    int rc = 0;
    for (const struct object_kind *const *kind = api_kinds; !rc && *kind; kind++) {
        struct field_list records = {0};
        if (*kind == &object_audit_kind)
            continue;
        rc = object_list(store, *kind, aid, NULL, request->arena, &records, err);
        for (size_t i = 0; !rc && i < records.count; i++) {
            const void *record = (const char *)records.items + i * (*kind)->table->size;
            const struct object_head *head = record;
            rc = (*kind)->title ? change_delete(request, *kind, record, false, err)
                                : store_delete(store, (*kind)->name, head->id, err);
            if (!rc && *kind == &object_test_kind)
                rc = store_drop_test(store, head->id, err);
        }
    }
    return rc;
}

static int delete_group(struct request *request, struct error *err)
{
    struct store *store = request->server->store;
    struct object_account_group group;
    struct field_list agents = {0};
    int rc = find_group(request, &group, err);
    if (!rc && (!request_may(request, PERMISSION_ASSIGN_MANAGEMENT_PERMISSIONS) ||
                !request_may(request, PERMISSION_EDIT_ACCOUNT_GROUPS)))
        rc = error_set(err, E_PERMISSION, "", "this also needs the permissions \"%s\" and \"%s\"",
                       permission_infos[PERMISSION_ASSIGN_MANAGEMENT_PERMISSIONS].label,
                       permission_infos[PERMISSION_EDIT_ACCOUNT_GROUPS].label);
    if (!rc)
        rc = check_empty(request, group.head.id, err);
    if (!rc)
        rc = object_list(store, &object_agent_kind, 0, NULL, request->arena, &agents, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = forget_roles(request, group.head.id, err);
    if (!rc)
        rc = people_check_admins(request, err);
    if (!rc)
        rc = unshare_agents(request, group.head.id, &agents, err);
    if (!rc)
        rc = delete_rest(request, group.head.id, err);
    if (!rc)
        rc = change_delete(request, &object_account_group_kind, &group, false, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    shares_group_gone(request->server->shares, group.head.id);
    tell_agents(request, &agents, group.head.id);
    request_answer_empty(request, 204);
    return 0;
}

static const char *const expand_words[] = {"user", "agent", NULL};
#define GROUP .flags = ROUTE_V7 | ROUTE_NO_AID | ROUTE_SECRET

const struct route api_account_group_routes[] = {
    ROUTE("GET", "/v7/account-groups", PERMISSION_SIGNED_IN, "getAccountGroups", list_groups,
          (.response = &group_info_table, .list = "accountGroups", GROUP), "List the account groups I have access to"),
    ROUTE("POST", "/v7/account-groups", PERMISSION_EDIT_ACCOUNT_GROUPS, "createAccountGroup", create_group,
          (.request = &group_request_table, .response = &created_group_table, .status = 201, GROUP, .expand = expand_words),
          "Create an account group"),
    ROUTE("GET", "/v7/account-groups/{id}", PERMISSION_VIEW_ACCOUNT_GROUPS, "getAccountGroup", get_group,
          (.response = &group_detail_table, GROUP, .expand = expand_words), "Get an account group"),
    ROUTE("PUT", "/v7/account-groups/{id}", PERMISSION_EDIT_ACCOUNT_GROUPS, "updateAccountGroup", update_group,
          (.request = &group_request_table, .response = &group_detail_table, GROUP, .expand = expand_words),
          "Rename an account group, or say which agents work for it"),
    ROUTE("DELETE", "/v7/account-groups/{id}", PERMISSION_DELETE_ACCOUNT, "deleteAccountGroup", delete_group,
          (.status = 204, GROUP), "Delete an account group that has no agents and no tests"),
    {0},
};
