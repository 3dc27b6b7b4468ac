/*
 * /v7/users: who may sign in, and with which roles in which account groups. Everybody sees the users of the account
 * group worked in; who may edit users in all account groups sees all. Nobody gives or takes roles that permit what he
 * may not do himself, or changes what somebody signs in with who may do more.
 */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "server/api/people.h"
#include "server/auth.h"
#include "server/change.h"

#define USER_ROLES_MAX 1000u

struct user_item {
    uint64_t uid;
    const char *name, *email;
    int64_t registered_s, last_login_s;
    struct api_named_group *login_group;
    struct field_list group_roles; /* struct people_group_role */
    struct field_list all_roles;   /* struct people_role */
};
#define USER_FIELDS                                                                                                    \
    FIELD_ID(struct user_item, uid, "uid", (), "Id of the user"),                                                      \
    FIELD_STR(struct user_item, name, "name", (), "Name shown"),                                                       \
    FIELD_STR(struct user_item, email, "email", (), "E-mail address"),                                                 \
    FIELD_TIME(struct user_item, registered_s, "dateRegistered", (), "When the user was created"),                     \
    FIELD_RECORD_PTR(struct user_item, login_group, "loginAccountGroup", &api_group_table, (),                         \
                     "Account group entered at sign-in")
#define LOGIN_FIELD FIELD_TIME(struct user_item, last_login_s, "lastLogin", (), "When the user last signed in")
#define ROLE_FIELDS                                                                                                    \
    FIELD_LIST(struct user_item, group_roles, "accountGroupRoles", &people_group_role_table, (),                       \
               "Roles by account group"),                                                                              \
    FIELD_LIST(struct user_item, all_roles, "allAccountGroupRoles", &people_role_table, (),                            \
               "Roles in all account groups")

static const struct field listed_user_fields[] = {USER_FIELDS, LOGIN_FIELD};
static const struct field_table listed_user_table =
    FIELD_TABLE("ExtendedUser", struct user_item, listed_user_fields, NULL, "A user, as lists show one");
static const struct field created_user_fields[] = {USER_FIELDS, ROLE_FIELDS};
static const struct field_table created_user_table =
    FIELD_TABLE("CreatedUser", struct user_item, created_user_fields, NULL, "A new user");
static const struct field user_detail_fields[] = {USER_FIELDS, LOGIN_FIELD, ROLE_FIELDS};
static const struct field_table user_detail_table =
    FIELD_TABLE("UserDetail", struct user_item, user_detail_fields, NULL, "A user in full");

struct wanted_roles {
    uint64_t aid;
    struct field_list role_ids;
};
static const struct field wanted_roles_fields[] = {
    FIELD_ID(struct wanted_roles, aid, "accountGroupId", (.flags = FIELD_REQUIRED), "The account group"),
    FIELD_IDS(struct wanted_roles, role_ids, "roleIds", (.flags = FIELD_REQUIRED, .max = USER_ROLES_MAX),
              "Ids of the roles in it"),
};
static const struct field_table wanted_roles_table = FIELD_TABLE("UserAccountGroupRole", struct wanted_roles,
                                                                 wanted_roles_fields, NULL, "Roles in an account group");

struct user_request {
    const char *name, *email;
    uint64_t login_aid;
    struct field_list group_roles; /* struct wanted_roles */
    struct field_list all_roles;   /* uint64_t */
};
static const struct field user_request_fields[] = {
    FIELD_STR(struct user_request, name, "name", (.min = 1, .max = 255), "Name shown"),
    FIELD_STR(struct user_request, email, "email", (.max = 320), "E-mail address, unique"),
    FIELD_ID(struct user_request, login_aid, "loginAccountGroupId", (), "Account group entered at sign-in"),
    FIELD_LIST(struct user_request, group_roles, "accountGroupRoles", &wanted_roles_table, (.max = USER_ROLES_MAX),
               "Roles by account group, all of them"),
    FIELD_IDS(struct user_request, all_roles, "allAccountGroupRoleIds", (.max = USER_ROLES_MAX),
              "Ids of the roles in all account groups, all of them"),
};
static const struct field_table user_request_table =
    FIELD_TABLE("UserRequest", struct user_request, user_request_fields, NULL, "A user to make or change");

/* --- answers ------------------------------------------------------------------------------------------------------------ */

/* Without the roles. Names of account groups go only to who sees the account group. */
static int fill_item(struct request *request, const struct object_user *user, struct user_item *ret_item,
                     struct error *err)
{
    *ret_item = (struct user_item){.uid = user->head.id,
                                   .name = user->name,
                                   .email = user->email,
                                   .registered_s = user->created_s,
                                   .last_login_s = user->last_login_s};
    if (!people_sees_all(request) && !people_reaches(&request->user, user->login_aid))
        return 0;
    struct api_named_group *group = arena_alloc(request->arena, sizeof *group);
    int rc = group ? people_find_group(request, user->login_aid, group, err) : error_set(err, E_LIMIT, "", "too many users");
    if (!rc)
        ret_item->login_group = group;
    return rc == -E_NOT_FOUND ? 0 : rc;
}

static int user_json(struct request *request, const struct field_table *table, const struct object_user *user,
                     json_t **ret_json, struct error *err)
{
    struct user_item item;
    int rc = fill_item(request, user, &item, err);
    if (!rc)
        rc = people_group_roles(request, user, &item.group_roles, err);
    if (!rc)
        rc = people_roles_in(request, user, OBJECT_ALL_GROUPS, &item.all_roles, err);
    if (!rc)
        *ret_json = field_to_json(table, &item, NULL);
    return rc;
}

static int answer_user(struct request *request, int status, const struct object_user *user, struct error *err)
{
    json_t *json = NULL;
    int rc = user_json(request, request->route->response, user, &json, err);
    if (rc)
        return rc;
    if (strcmp(request->http->path, "/v7/users/current") != 0) {
        const char *url = request_url(request, "/v7/users/%llu", (unsigned long long)user->head.id);
        request_link_self(request, json, url);
        if (status == 201)
            request_location(request, url);
    }
    request_answer(request, status, json);
    return 0;
}

static int get_current_user(struct request *request, struct error *err)
{
    return answer_user(request, 200, &request->user, err);
}

static int list_users(struct request *request, struct error *err)
{
    struct field_list users = {0};
    int rc = object_list(request->server->store, &object_user_kind, 0, NULL, request->arena, &users, err);
    const struct object_user *user = users.items;
    json_t *list = json_array();
    for (size_t i = 0; !rc && i < users.count; i++) {
        struct user_item item;
        if (!people_sees_user(request, &user[i]))
            continue;
        rc = fill_item(request, &user[i], &item, err);
        if (!rc)
            (void)json_array_append_new(list, field_to_json(&listed_user_table, &item, NULL));
    }
    if (rc) {
        json_decref(list);
        return rc;
    }
    request_answer(request, 200, json_pack("{s:o}", "users", list));
    return 0;
}

/* -E_NOT_FOUND for users that who asks does not see, as for those who do not exist. */
static int find_user(struct request *request, struct object_user *ret_user, struct error *err)
{
    uint64_t id;
    struct object_user user;
    int rc = request_id(request, "id", &id, err);
    if (!rc)
        rc = object_get(request->server->store, &object_user_kind, id, 0, request->arena, &user, err);
    if (rc == -E_NOT_FOUND || (!rc && !people_sees_user(request, &user)))
        return error_set(err, E_NOT_FOUND, "", "there is no user %s", request_param(request, "id"));
    if (!rc)
        *ret_user = user;
    return rc;
}

static int get_user(struct request *request, struct error *err)
{
    struct object_user user;
    int rc = find_user(request, &user, err);
    return rc ? rc : answer_user(request, 200, &user, err);
}

/* --- e-mail addresses ---------------------------------------------------------------------------------------------------- */

static bool is_label(const char *text, size_t length)
{
    bool is_good = length > 0 && text[0] != '-' && text[length - 1] != '-';
    for (size_t i = 0; i < length; i++)
        is_good = is_good && (isalnum((unsigned char)text[i]) || text[i] == '-');
    return is_good;
}

/* RFC 5321's dot-string at a domain name of two labels or more: what RFC 5322 has beyond it nobody signs in with. */
static bool is_email(const char *text)
{
    const char *at = strchr(text, '@');
    if (!at || at == text || at[-1] == '.' || text[0] == '.' || strstr(text, ".."))
        return false;
    for (const char *c = text; c < at; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+/=?^_`{|}~.-", *c))
            return false;
    }
    size_t labels = 0;
    for (const char *label = at + 1;; labels++) {
        size_t length = strcspn(label, ".");
        if (!is_label(label, length))
            return false;
        label += length;
        if (!*label++)
            break;
    }
    return labels >= 1;
}

/* Takes the address into the user. Answers and returns -E_EXISTS with is_answered when somebody has it. */
static int take_email(struct request *request, const char *email, struct object_user *user, bool *ret_is_answered,
                      struct error *err)
{
    struct object_user other;
    if (!email || !*email)
        return error_set(err, E_INVALID, "", "Email address is required");
    if (!is_email(email))
        return error_set(err, E_INVALID, "", "Invalid email address %.320s", email);
    const char *login = auth_login_name(request->arena, email);
    int rc = object_find(request->server->store, &object_user_kind, 0, login, request->arena, &other, err);
    if (!rc && other.head.id != user->head.id) {
        request_answer_problem(request, 400, arena_printf(request->arena, "The user '%s' already exists!", email), NULL);
        *ret_is_answered = true;
        return 0;
    }
    if (rc && rc != -E_NOT_FOUND)
        return rc;
    user->email = email;
    user->login = login;
    return 0;
}

/* --- roles --------------------------------------------------------------------------------------------------------------- */

static bool has_role(const struct field_list *roles, const struct object_user_role *wanted)
{
    const struct object_user_role *role = roles->items;
    bool is_found = false;
    for (size_t i = 0; i < roles->count; i++)
        is_found = is_found || (role[i].aid == wanted->aid && role[i].role_id == wanted->role_id);
    return is_found;
}

/* Whether who asks may give or take one role. */
static int check_role(struct request *request, const struct object_user_role *given, struct error *err)
{
    struct object_role role;
    struct permission_set may, set = {0};
    const char *where = given->aid == OBJECT_ALL_GROUPS ? "allAccountGroupRoleIds" : "accountGroupRoles";
    struct api_named_group group;
    int rc = 0;
    if (given->aid != OBJECT_ALL_GROUPS) {
        bool is_seen = people_sees_all(request) || people_reaches(&request->user, given->aid);
        rc = is_seen ? people_find_group(request, given->aid, &group, err) : -E_NOT_FOUND;
    }
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_INVALID, where, "There is no account group %llu", (unsigned long long)given->aid);
    if (!rc)
        rc = people_may_in(request, given->aid, &may, err);
    if (!rc && !people_sees_all(request) &&
        (given->aid == OBJECT_ALL_GROUPS || !permission_has(&may, PERMISSION_EDIT_USERS)))
        return error_set(err, E_PERMISSION, where, "you may not edit users %s",
                         given->aid == OBJECT_ALL_GROUPS ? "in all account groups" : "in this account group");
    if (!rc)
        rc = object_get(request->server->store, &object_role_kind, given->role_id, 0, request->arena, &role, err);
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_INVALID, where, "There is no role %llu", (unsigned long long)given->role_id);
    if (rc)
        return rc;
    object_role_permissions(&role, &set);
    return people_check_grant(&may, &set, where, err);
}

struct role_set {
    struct object_user_role items[USER_ROLES_MAX];
    size_t count;
};

static int add_role(struct role_set *set, uint64_t aid, uint64_t role_id, struct error *err)
{
    const struct object_user_role role = {.aid = aid, .role_id = role_id};
    const struct field_list all = {set->items, set->count};
    if (has_role(&all, &role))
        return 0;
    if (set->count == USER_ROLES_MAX)
        return error_set(err, E_LIMIT, "accountGroupRoles", "a user has at most %u roles", USER_ROLES_MAX);
    set->items[set->count++] = role;
    return 0;
}

/* The roles the user would have: what was asked for in place of what was asked about, and what who asks cannot see. */
static int collect_roles(struct request *request, const struct object_user *user, const struct user_request *wanted,
                         struct role_set *set, struct error *err)
{
    const struct object_user_role *old = user->roles.items;
    const struct wanted_roles *group = wanted->group_roles.items;
    const uint64_t *ids = wanted->all_roles.items;
    int rc = 0;
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        bool is_all = old[i].aid == OBJECT_ALL_GROUPS;
        bool is_seen = people_sees_all(request) || is_all || people_reaches(&request->user, old[i].aid);
        if (!is_seen || (is_all ? !wanted->all_roles.items : !wanted->group_roles.items))
            rc = add_role(set, old[i].aid, old[i].role_id, err);
    }
    for (size_t i = 0; !rc && i < wanted->group_roles.count; i++) {
        const uint64_t *role_ids = group[i].role_ids.items;
        if (group[i].aid == OBJECT_ALL_GROUPS)
            return error_set(err, E_INVALID, "accountGroupRoles", "There is no account group 0");
        for (size_t j = 0; !rc && j < group[i].role_ids.count; j++)
            rc = add_role(set, group[i].aid, role_ids[j], err);
    }
    for (size_t i = 0; !rc && i < wanted->all_roles.count; i++)
        rc = add_role(set, OBJECT_ALL_GROUPS, ids[i], err);
    return rc;
}

/* Takes the roles into the user; who asks must be allowed to give what is new and to take what is gone. */
static int take_roles(struct request *request, const struct user_request *wanted, struct object_user *user,
                      bool *ret_is_changed, struct error *err)
{
    struct role_set *set = arena_alloc(request->arena, sizeof *set);
    int rc = set ? collect_roles(request, user, wanted, set, err) : error_set(err, E_LIMIT, "", "too many roles");
    if (rc)
        return rc;
    const struct field_list new = {set->items, set->count};
    const struct object_user_role *old = user->roles.items;
    for (size_t i = 0; !rc && i < set->count; i++) {
        if (has_role(&user->roles, &set->items[i]))
            continue;
        *ret_is_changed = true;
        rc = check_role(request, &set->items[i], err);
    }
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        struct object_role role;
        if (has_role(&new, &old[i]))
            continue;
        *ret_is_changed = true;
        rc = object_get(request->server->store, &object_role_kind, old[i].role_id, 0, request->arena, &role, err);
        rc = rc == -E_NOT_FOUND ? 0 : rc ? rc : check_role(request, &old[i], err);
    }
    if (!rc)
        user->roles = new;
    return rc;
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

static int check_login_group(const struct request *request, const struct object_user *user, bool is_moved, struct error *err)
{
    bool is_seen = !is_moved || people_sees_all(request) || people_reaches(&request->user, user->login_aid);
    return is_seen && people_reaches(user, user->login_aid)
               ? 0
               : error_set(err, E_INVALID, "loginAccountGroupId", "The user has no role in the login account group");
}

static int put_user(struct request *request, struct object_user *user, bool ends_sessions, struct error *err)
{
    struct store *store = request->server->store;
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = change_put(request, &object_user_kind, user, err);
    if (!rc)
        rc = people_check_admins(request, err);
    if (!rc && ends_sessions)
        rc = people_end_sessions(request, user->head.id, 0, err);
    return store_end(store, rc, err);
}

static int create_user(struct request *request, struct error *err)
{
    const struct user_request *wanted = request->record;
    struct object_user user = {.name = wanted->name, .created_s = server_now_s(request->server)};
    bool is_answered = false, is_changed;
    int rc = take_email(request, wanted->email, &user, &is_answered, err);
    if (rc || is_answered)
        return rc;
    if (!user.name)
        user.name = user.email;
    if (!wanted->login_aid)
        return error_set(err, E_REQUIRED, "loginAccountGroupId", "must be given");
    if (!wanted->group_roles.count && !wanted->all_roles.count)
        return error_set(err, E_REQUIRED, "accountGroupRoles", "must be given");
    user.login_aid = wanted->login_aid;
    rc = take_roles(request, wanted, &user, &is_changed, err);
    if (!rc)
        rc = check_login_group(request, &user, true, err);
    if (!rc)
        rc = put_user(request, &user, false, err);
    return rc ? rc : answer_user(request, 201, &user, err);
}

static int update_user(struct request *request, struct error *err)
{
    struct user_request wanted = {0};
    struct object_user user;
    bool is_answered = false, is_changed = false;
    field_defaults(&user_request_table, &wanted);
    int rc = find_user(request, &user, err);
    if (!rc)
        rc = field_from_json(&user_request_table, request->body, FIELD_MERGE, &wanted, request->arena, err);
    if (!rc && wanted.email && !str_equal(wanted.email, user.email)) {
        rc = people_check_above(request, &user, err);
        if (!rc && !request_may(request, PERMISSION_EDIT_USER_EMAIL_ADDRESSES))
            rc = error_set(err, E_PERMISSION, "email", "this needs the permission \"%s\"",
                           permission_infos[PERMISSION_EDIT_USER_EMAIL_ADDRESSES].label);
        is_changed = true;
        if (!rc)
            rc = take_email(request, wanted.email, &user, &is_answered, err);
        user.oidc = NULL; /* who had the old address is not who has the new one */
    }
    if (rc || is_answered)
        return rc;
    if (wanted.name)
        user.name = wanted.name;
    rc = take_roles(request, &wanted, &user, &is_changed, err);
    uint64_t login_aid = wanted.login_aid ? wanted.login_aid : user.login_aid;
    bool is_moved = login_aid != user.login_aid;
    user.login_aid = login_aid;
    if (!rc && (is_moved || is_changed) && user.roles.count > 0)
        rc = check_login_group(request, &user, is_moved, err);
    if (!rc)
        rc = put_user(request, &user, is_changed, err);
    return rc ? rc : answer_user(request, 200, &user, err);
}

/* All roles of the user must be his to take who removes him. */
static int check_removal(struct request *request, const struct object_user *user, struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    if (user->head.id == request->user.head.id)
        return error_set(err, E_INVALID, "", "You cannot delete yourself");
    int rc = people_check_above(request, user, err);
    for (size_t i = 0; !rc && !people_sees_all(request) && i < user->roles.count; i++) {
        struct permission_set may;
        rc = people_may_in(request, roles[i].aid, &may, err);
        if (!rc && !permission_has(&may, PERMISSION_EDIT_USERS))
            rc = error_set(err, E_PERMISSION, "", "this user also has roles where you may not edit users");
    }
    return rc;
}

static int drop_tokens(struct request *request, uint64_t uid, struct error *err)
{
    struct field_list tokens = {0};
    struct store *store = request->server->store;
    int rc = object_list(store, &object_token_kind, 0, NULL, request->arena, &tokens, err);
    const struct object_token *token = tokens.items;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].uid == uid)
            rc = store_purge(store, object_token_kind.name, token[i].head.id, err);
    }
    return rc;
}

static int delete_user(struct request *request, struct error *err)
{
    struct object_user user;
    struct store *store = request->server->store;
    int rc = find_user(request, &user, err);
    if (!rc)
        rc = check_removal(request, &user, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = change_delete(request, &object_user_kind, &user, true, err);
    if (!rc)
        rc = people_check_admins(request, err);
    if (!rc)
        rc = people_end_sessions(request, user.head.id, 0, err);
    if (!rc)
        rc = drop_tokens(request, user.head.id, err);
    rc = store_end(store, rc, err);
    if (!rc)
        request_answer_empty(request, 204);
    return rc;
}

/* --- a password for somebody else ------------------------------------------------------------------------------------------ */

struct one_time {
    const char *email, *password;
};
static const struct field one_time_fields[] = {
    FIELD_STR(struct one_time, email, "email", (), "Whose it is"),
    FIELD_STR(struct one_time, password, "password", (), "Signs in once; then another must be chosen. Told once"),
};
static const struct field_table one_time_table =
    FIELD_TABLE("OneTimePassword", struct one_time, one_time_fields, NULL, "A password to sign in with once");

/* For new users and for those who lost theirs; the second factor goes too, for who lost the one lost the other. */
static int make_one_time_password(struct request *request, struct error *err)
{
    struct object_user user;
    char password[AUTH_CODE_BYTES];
    struct store *store = request->server->store;
    int rc = find_user(request, &user, err);
    if (!rc && user.head.id == request->user.head.id)
        rc = error_set(err, E_INVALID, "", "Choose another password for yourself with the one you have");
    if (!rc)
        rc = people_check_above(request, &user, err);
    if (!rc)
        rc = auth_one_time_password(&user, request->arena, password, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = object_put(store, &object_user_kind, &user, server_now_s(request->server), err);
    if (!rc)
        rc = change_note(request, request->aid, "Password reset", "userDisplayName", user.name, err);
    if (!rc)
        rc = people_end_sessions(request, user.head.id, 0, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    const struct one_time answer = {user.email, password};
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer_record(request, 201, &one_time_table, &answer);
    return 0;
}

#define EDITS_USERS .or_permission = PERMISSION_EDIT_USERS_IN_ALL_ACCOUNT_GROUPS

const struct route api_user_routes[] = {
    ROUTE("GET", "/v7/users/current", PERMISSION_SIGNED_IN, "getCurrentUser", get_current_user,
          (.response = &user_detail_table, .flags = ROUTE_V7 | ROUTE_NO_AID), "Who I am"),
    ROUTE("GET", "/v7/users", PERMISSION_VIEW_ALL_USERS, "getUsers", list_users,
          (.response = &listed_user_table, .list = "users", .flags = ROUTE_V7), "List users"),
    ROUTE("POST", "/v7/users", PERMISSION_EDIT_USERS, "createUser", create_user,
          (.request = &user_request_table, .response = &created_user_table, .status = 201, .flags = ROUTE_V7, EDITS_USERS),
          "Make a user"),
    ROUTE("GET", "/v7/users/{id}", PERMISSION_VIEW_ALL_USERS, "getUser", get_user,
          (.response = &user_detail_table, .flags = ROUTE_V7), "Get a user"),
    ROUTE("PUT", "/v7/users/{id}", PERMISSION_EDIT_USERS, "updateUser", update_user,
          (.request = &user_request_table, .response = &user_detail_table, .flags = ROUTE_V7 | ROUTE_PARTIAL, EDITS_USERS),
          "Change a user"),
    ROUTE("DELETE", "/v7/users/{id}", PERMISSION_EDIT_USERS, "deleteUser", delete_user,
          (.status = 204, .flags = ROUTE_V7, EDITS_USERS), "Delete a user"),
    ROUTE("POST", "/oculi/v1/users/{id}/one-time-password", PERMISSION_EDIT_USERS, "makeOneTimePassword",
          make_one_time_password, (.response = &one_time_table, .status = 201, .flags = ROUTE_OCULI | ROUTE_SECRET, EDITS_USERS),
          "Let somebody choose a new password"),
    {0},
};
