/*
 * Who I am, which account groups there are, and my token.
 */
#include <string.h>

#include "server/api/api.h"
#include "server/auth.h"
#include "server/change.h"

struct role {
    const char *name, *id;
    bool is_builtin, has_management;
};
static const struct field role_fields[] = {
    FIELD_STR(struct role, name, "name", (), "Name of the role"),
    FIELD_STR(struct role, id, "roleId", (), "Id of the role"),
    FIELD_BOOL(struct role, is_builtin, "isBuiltin", (), "It comes with the product"),
    FIELD_BOOL(struct role, has_management, "hasManagementPermissions", (), "It includes management permissions"),
};
static const struct field_table role_table = FIELD_TABLE("Role", struct role, role_fields, NULL, "A role");

struct group_role {
    struct api_named_group group;
    struct field_list roles; /* struct role */
};
static const struct field group_role_fields[] = {
    FIELD_RECORD(struct group_role, group, "accountGroup", &api_group_table, (), "The account group"),
    FIELD_LIST(struct group_role, roles, "roles", &role_table, (), "The user's roles in it"),
};
static const struct field_table group_role_table =
    FIELD_TABLE("AccountGroupRole", struct group_role, group_role_fields, NULL, "A user's roles in an account group");

struct user_detail {
    uint64_t uid;
    const char *name, *email;
    int64_t registered_s, last_login_s;
    struct api_named_group login_group;
    struct field_list group_roles; /* struct group_role */
    struct field_list all_roles;   /* struct role */
};
static const struct field user_detail_fields[] = {
    FIELD_ID(struct user_detail, uid, "uid", (), "Id of the user"),
    FIELD_STR(struct user_detail, name, "name", (), "Name shown"),
    FIELD_STR(struct user_detail, email, "email", (), "E-mail address"),
    FIELD_TIME(struct user_detail, registered_s, "dateRegistered", (), "When the user was created"),
    FIELD_TIME(struct user_detail, last_login_s, "lastLogin", (), "When the user last signed in"),
    FIELD_RECORD(struct user_detail, login_group, "loginAccountGroup", &api_group_table, (),
                 "Account group entered at sign-in"),
    FIELD_LIST(struct user_detail, group_roles, "accountGroupRoles", &group_role_table, (), "Roles by account group"),
    FIELD_LIST(struct user_detail, all_roles, "allAccountGroupRoles", &role_table, (),
               "Roles in all account groups"),
};
static const struct field_table user_detail_table =
    FIELD_TABLE("UserDetail", struct user_detail, user_detail_fields, NULL, "A user");

struct group_info {
    uint64_t aid;
    const char *name, *organization, *organization_id;
    bool is_current, is_default;
};
static const struct field group_info_fields[] = {
    FIELD_ID(struct group_info, aid, "aid", (), "Id of the account group"),
    FIELD_STR(struct group_info, name, "accountGroupName", (), "Name of the account group"),
    FIELD_BOOL(struct group_info, is_current, "isCurrentAccountGroup", (), "It is the one being worked in"),
    FIELD_BOOL(struct group_info, is_default, "isDefaultAccountGroup", (), "It is entered at sign-in"),
    FIELD_STR(struct group_info, organization, "organizationName", (), "Name of the organization"),
    FIELD_STR(struct group_info, organization_id, "orgId", (), "Id of the organization"),
};
static const struct field_table group_info_table =
    FIELD_TABLE("AccountGroupInfo", struct group_info, group_info_fields, NULL, "An account group of the user");

struct group_user {
    uint64_t uid;
    const char *name, *email;
    int64_t registered_s, last_login_s;
    struct field_list roles; /* struct role */
};
static const struct field group_user_fields[] = {
    FIELD_ID(struct group_user, uid, "uid", (), "Id of the user"),
    FIELD_STR(struct group_user, name, "name", (), "Name shown"),
    FIELD_STR(struct group_user, email, "email", (), "E-mail address"),
    FIELD_TIME(struct group_user, registered_s, "dateRegistered", (), "When the user was created"),
    FIELD_TIME(struct group_user, last_login_s, "lastLogin", (), "When the user last signed in"),
    FIELD_LIST(struct group_user, roles, "roles", &role_table, (), "The user's roles in the account group"),
};
static const struct field_table group_user_table =
    FIELD_TABLE("UserAccountGroup", struct group_user, group_user_fields, NULL, "A user of an account group");

struct group_detail {
    struct group_info info; /* first: the fields of the list go on here */
    struct field_list users;  /* struct group_user */
    struct field_list agents; /* struct api_agent */
};
#define GROUP_DETAIL_FIELDS                                                                                            \
    FIELD_ID(struct group_detail, info.aid, "aid", (), "Id of the account group"),                                     \
    FIELD_STR(struct group_detail, info.name, "accountGroupName", (), "Name of the account group"),                    \
    FIELD_BOOL(struct group_detail, info.is_current, "isCurrentAccountGroup", (), "It is the one being worked in"),    \
    FIELD_BOOL(struct group_detail, info.is_default, "isDefaultAccountGroup", (), "It is entered at sign-in"),         \
    FIELD_STR(struct group_detail, info.organization, "organizationName", (), "Name of the organization"),             \
    FIELD_STR(struct group_detail, info.organization_id, "orgId", (), "Id of the organization"),                       \
    FIELD_LIST(struct group_detail, users, "users", &group_user_table, (.expand = "user"), "Who has access")

static const struct field created_group_fields[] = {GROUP_DETAIL_FIELDS};
static const struct field_table created_group_table = FIELD_TABLE("CreatedAccountGroup", struct group_detail,
                                                                  created_group_fields, NULL, "A new account group");
static const struct field group_detail_fields[] = {
    GROUP_DETAIL_FIELDS,
    FIELD_LIST(struct group_detail, agents, "agents", &api_agent_table, (.expand = "agent"), "Its agents"),
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
    FIELD_IDS(struct group_request, agents, "agents", (.max = 10000), "Agents that also work for it"),
};
static const struct field_table group_request_table =
    FIELD_TABLE("AccountGroupRequest", struct group_request, group_request_fields, NULL, "A new account group");

struct api_token {
    const char *token;
    int64_t valid_until_s;
};
static const struct field api_token_fields[] = {
    FIELD_STR(struct api_token, token, "bearerToken", (.flags = FIELD_READONLY), "The bearer token, told once"),
    FIELD_TIME(struct api_token, valid_until_s, "validUntil", (.flags = FIELD_READONLY), "Until when it works"),
};
static const struct field_table api_token_table =
    FIELD_TABLE("ApiToken", struct api_token, api_token_fields, NULL, "A new bearer token");

static int find_group(struct request *request, uint64_t aid, struct api_named_group *ret_group, struct error *err)
{
    struct object_account_group group;
    int rc = object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
    if (!rc)
        *ret_group = (struct api_named_group){aid, group.name};
    return rc;
}

/* The user's roles that name exactly that account group (or OBJECT_ALL_GROUPS): struct role. */
static int roles_in(struct request *request, const struct object_user *user, uint64_t aid, struct field_list *ret_roles,
                    struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct role *found = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *found);
    size_t count = 0;
    if (!found)
        return error_set(err, E_LIMIT, "", "too many roles");
    for (size_t i = 0; i < user->roles.count; i++) {
        struct object_role role;
        if (roles[i].aid != aid)
            continue;
        int rc = object_get(request->server->store, &object_role_kind, roles[i].role_id, 0, request->arena, &role, err);
        if (rc == -E_NOT_FOUND)
            continue;
        if (rc)
            return rc;
        struct permission_set set = {0};
        object_role_permissions(&role, &set);
        found[count++] = (struct role){role.name, arena_printf(request->arena, "%llu", (unsigned long long)role.head.id),
                                       role.head.id <= PERMISSION_ROLES, permission_has_management(&set)};
    }
    *ret_roles = (struct field_list){found, count};
    return 0;
}

/* Whether any role of the user reaches the account group. */
static bool reaches(const struct object_user *user, uint64_t aid)
{
    const struct object_user_role *roles = user->roles.items;
    bool is_found = false;
    for (size_t i = 0; i < user->roles.count; i++)
        is_found = is_found || roles[i].aid == aid || roles[i].aid == OBJECT_ALL_GROUPS;
    return is_found;
}

/* One entry for each account group that some role names. */
static int group_roles_of(struct request *request, const struct object_user *user, struct field_list *ret_groups,
                          struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct group_role *items = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *items);
    size_t count = 0;
    int rc = items ? 0 : error_set(err, E_LIMIT, "", "too many roles");
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        bool is_known = roles[i].aid == OBJECT_ALL_GROUPS;
        for (size_t j = 0; j < count; j++)
            is_known = is_known || items[j].group.aid == roles[i].aid;
        if (is_known)
            continue;
        rc = find_group(request, roles[i].aid, &items[count].group, err);
        if (!rc)
            rc = roles_in(request, user, roles[i].aid, &items[count++].roles, err);
    }
    *ret_groups = (struct field_list){items, count};
    return rc;
}

static int get_current_user(struct request *request, struct error *err)
{
    const struct object_user *user = &request->user;
    struct user_detail detail = {.uid = user->head.id,
                                 .name = user->name,
                                 .email = user->email,
                                 .registered_s = user->created_s,
                                 .last_login_s = user->last_login_s};
    int rc = find_group(request, user->login_aid, &detail.login_group, err);
    if (!rc)
        rc = group_roles_of(request, user, &detail.group_roles, err);
    if (!rc)
        rc = roles_in(request, user, OBJECT_ALL_GROUPS, &detail.all_roles, err);
    if (rc)
        return rc;
    request_answer_record(request, 200, &user_detail_table, &detail);
    return 0;
}

static struct group_info info_of(const struct request *request, const struct object_account_group *group)
{
    return (struct group_info){.aid = group->head.id,
                               .name = group->name,
                               .organization = group->organization,
                               .organization_id = "1",
                               .is_current = group->head.id == request->aid,
                               .is_default = group->head.id == request->user.login_aid};
}

static int get_account_groups(struct request *request, struct error *err)
{
    struct field_list groups = {0};
    int rc = object_list(request->server->store, &object_account_group_kind, 0, NULL, request->arena, &groups, err);
    if (rc)
        return rc;
    const struct object_account_group *group = groups.items;
    json_t *list = json_array();
    for (size_t i = 0; i < groups.count; i++) {
        if (!reaches(&request->user, group[i].head.id))
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
        if (!reaches(&user[i], aid))
            continue;
        users[count] = (struct group_user){.uid = user[i].head.id,
                                           .name = user[i].name,
                                           .email = user[i].email,
                                           .registered_s = user[i].created_s,
                                           .last_login_s = user[i].last_login_s};
        rc = roles_in(request, &user[i], aid, &users[count++].roles, err);
    }
    *ret_users = (struct field_list){users, count};
    return rc;
}

static int answer_group(struct request *request, int status, const struct object_account_group *group,
                        struct error *err)
{
    struct group_detail detail = {.info = info_of(request, group)};
    struct field_list stored = {0};
    int rc = list_users(request, group->head.id, &detail.users, err);
    if (!rc)
        rc = object_list_agents(request->server->store, group->head.id, request->arena, &stored, err);
    struct api_agent *agents = rc ? NULL : arena_alloc_array(request->arena, stored.count + 1, sizeof *agents);
    const struct object_agent *agent = stored.items;
    for (size_t i = 0; agents && i < stored.count; i++)
        api_agent_fill(request, &agent[i], &agents[i]);
    if (rc)
        return rc;
    detail.agents = (struct field_list){agents, stored.count};
    json_t *json = field_to_json(request->route->response, &detail, request->expand);
    request_link_self(request, json,
                      request_url(request, "/v7/account-groups/%llu", (unsigned long long)group->head.id));
    request_answer(request, status, json);
    return 0;
}

static int get_account_group(struct request *request, struct error *err)
{
    uint64_t id;
    struct object_account_group group;
    int rc = request_id(request, "id", &id, err);
    if (!rc && !reaches(&request->user, id))
        rc = error_set(err, E_NOT_FOUND, "", "there is no account group %llu", (unsigned long long)id);
    if (!rc)
        rc = object_get(request->server->store, &object_account_group_kind, id, 0, request->arena, &group, err);
    return rc ? rc : answer_group(request, 200, &group, err);
}

/* The creator becomes its administrator; agents register with its own token. */
static int create_account_group(struct request *request, struct error *err)
{
    const struct group_request *wanted = request->record;
    struct store *store = request->server->store;
    struct object_user *user = &request->user;
    int64_t now = server_now_s(request->server);
    if (wanted->agents.count > 0)
        return error_set(err, E_NOT_SUPPORTED, "agents",
                         "agents that work for several account groups are not supported by this version");
    char token[AUTH_SECRET_BYTES];
    auth_new_secret("oculi-agent_", token);
    struct object_account_group group = {
        .name = wanted->name, .organization = "Oculi", .agent_token = token, .created_s = now};
    struct object_user_role *roles = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *roles);
    if (!roles)
        return error_set(err, E_LIMIT, "", "too many account groups");
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = change_put(request, &object_account_group_kind, &group, err);
    if (rc == -E_EXISTS)
        rc = error_set(err, E_EXISTS, "accountGroupName", "An account group with this name already exists.");
    bool reaches_all = reaches(user, group.head.id); /* nobody's role names the new one yet */
    memcpy(roles, user->roles.items, user->roles.count * sizeof *roles);
    roles[user->roles.count] =
        (struct object_user_role){.aid = group.head.id, .role_id = PERMISSION_ORGANIZATION_ADMIN};
    user->roles = (struct field_list){roles, user->roles.count + 1};
    if (!rc && !reaches_all)
        rc = change_put(request, &object_user_kind, user, err);
    if (rc) {
        store_rollback(store);
        return rc;
    }
    rc = store_commit(store, err);
    if (rc)
        return rc;
    request_location(request, request_url(request, "/v7/account-groups/%llu", (unsigned long long)group.head.id));
    return answer_group(request, 201, &group, err);
}

/* The token so far keeps working for some days; while it does, another cannot be made. */
static int create_token(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct field_list tokens = {0};
    int64_t now = server_now_s(server);
    int rc = object_list(server->store, &object_token_kind, 0, NULL, request->arena, &tokens, err);
    struct object_token *token = tokens.items;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].uid == request->user.head.id && token[i].is_replaced && token[i].expires_s > now)
            return error_set(err, E_CONFLICT, "", "a token was made less than %d days ago and the one before still works",
                             AUTH_OVERLAP_DAYS);
    }
    char secret[AUTH_SECRET_BYTES];
    if (!rc)
        rc = store_begin(server->store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].uid != request->user.head.id || token[i].is_local || token[i].expires_s <= now)
            continue;
        token[i].is_replaced = true;
        if (token[i].expires_s > now + AUTH_OVERLAP_DAYS * 86400LL)
            token[i].expires_s = now + AUTH_OVERLAP_DAYS * 86400LL;
        rc = object_put(server->store, &object_token_kind, &token[i], now, err);
    }
    if (!rc)
        rc = auth_make_token(server, &object_token_kind, request->user.head.id, AUTH_TOKEN_DAYS * 86400LL, false, secret,
                             err);
    if (!rc)
        rc = change_note(request, request->aid, "API token created", "userDisplayName", request->user.name, err);
    if (rc) {
        store_rollback(server->store);
        return rc;
    }
    rc = store_commit(server->store, err);
    if (rc)
        return rc;
    struct api_token answer = {secret, now + AUTH_TOKEN_DAYS * 86400LL};
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer(request, 201, field_to_json(&api_token_table, &answer, NULL));
    return 0;
}

static const char *const group_expand[] = {"user", "agent", NULL};

const struct route api_account_routes[] = {
    ROUTE("GET", "/v7/users/current", PERMISSION_SIGNED_IN, "getCurrentUser", get_current_user,
          (.response = &user_detail_table, .flags = ROUTE_V7 | ROUTE_NO_AID), "Who I am"),
    ROUTE("GET", "/v7/account-groups", PERMISSION_SIGNED_IN, "getAccountGroups", get_account_groups,
          (.response = &group_info_table, .list = "accountGroups", .flags = ROUTE_V7 | ROUTE_NO_AID),
          "List the account groups I have access to"),
    ROUTE("POST", "/v7/account-groups", PERMISSION_EDIT_ACCOUNT_GROUPS, "createAccountGroup", create_account_group,
          (.request = &group_request_table, .response = &created_group_table, .status = 201,
           .flags = ROUTE_V7 | ROUTE_NO_AID, .expand = group_expand),
          "Create an account group"),
    ROUTE("GET", "/v7/account-groups/{id}", PERMISSION_SIGNED_IN, "getAccountGroup", get_account_group,
          (.response = &group_detail_table, .flags = ROUTE_V7 | ROUTE_NO_AID, .expand = group_expand),
          "Get an account group"),
    ROUTE("POST", "/v7/api-tokens", PERMISSION_API_ACCESS, "regenerateApiToken", create_token,
          (.response = &api_token_table, .status = 201, .flags = ROUTE_V7 | ROUTE_NO_AID),
          "Make a new bearer token; the one before works for 14 more days"),
    {0},
};
