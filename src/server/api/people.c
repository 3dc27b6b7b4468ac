#include "server/api/people.h"

#include "server/auth.h"

static const struct field role_fields[] = {
    FIELD_STR(struct people_role, name, "name", (), "Name of the role"),
    FIELD_ID(struct people_role, id, "roleId", (), "Id of the role"),
    FIELD_BOOL(struct people_role, is_builtin, "isBuiltin", (), "It comes with the product"),
    FIELD_BOOL(struct people_role, has_management, "hasManagementPermissions", (),
               "It includes permissions to manage people and accounts with"),
};
const struct field_table people_role_table = FIELD_TABLE("Role", struct people_role, role_fields, NULL, "A role");

static const struct field group_role_fields[] = {
    FIELD_RECORD(struct people_group_role, group, "accountGroup", &api_group_table, (), "The account group"),
    FIELD_LIST(struct people_group_role, roles, "roles", &people_role_table, (), "The user's roles in it"),
};
const struct field_table people_group_role_table = FIELD_TABLE(
    "AccountGroupRole", struct people_group_role, group_role_fields, NULL, "A user's roles in an account group");

struct people_role people_role_of(const struct object_role *role)
{
    struct permission_set set = {0};
    object_role_permissions(role, &set);
    return (struct people_role){role->name, role->head.id, role->head.id <= PERMISSION_ROLES,
                                permission_has_management(&set)};
}

int people_find_group(struct request *request, uint64_t aid, struct api_named_group *ret_group, struct error *err)
{
    struct object_account_group group;
    int rc = object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
    if (!rc)
        *ret_group = (struct api_named_group){aid, group.name};
    return rc;
}

/* --- who sees whom ---------------------------------------------------------------------------------------------------- */

bool people_reaches(const struct object_user *user, uint64_t aid)
{
    const struct object_user_role *roles = user->roles.items;
    bool is_found = false;
    for (size_t i = 0; i < user->roles.count; i++)
        is_found = is_found || roles[i].aid == aid || roles[i].aid == OBJECT_ALL_GROUPS;
    return is_found;
}

bool people_sees_all(const struct request *request)
{
    return request_may(request, PERMISSION_EDIT_USERS_IN_ALL_ACCOUNT_GROUPS);
}

bool people_sees_user(const struct request *request, const struct object_user *user)
{
    return people_sees_all(request) || people_reaches(user, request->aid) || user->head.id == request->user.head.id;
}

int people_roles_in(struct request *request, const struct object_user *user, uint64_t aid, struct field_list *ret_roles,
                    struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct people_role *found = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *found);
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
        found[count++] = people_role_of(&role);
    }
    *ret_roles = (struct field_list){found, count};
    return 0;
}

int people_group_roles(struct request *request, const struct object_user *user, struct field_list *ret_groups,
                       struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct people_group_role *items = arena_alloc_array(request->arena, user->roles.count + 1, sizeof *items);
    size_t count = 0;
    int rc = items ? 0 : error_set(err, E_LIMIT, "", "too many roles");
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        bool is_left_out = roles[i].aid == OBJECT_ALL_GROUPS ||
                           (!people_sees_all(request) && !people_reaches(&request->user, roles[i].aid));
        for (size_t j = 0; j < count; j++)
            is_left_out = is_left_out || items[j].group.aid == roles[i].aid;
        if (is_left_out)
            continue;
        rc = people_find_group(request, roles[i].aid, &items[count].group, err);
        if (!rc)
            rc = people_roles_in(request, user, roles[i].aid, &items[count++].roles, err);
    }
    *ret_groups = (struct field_list){items, count};
    return rc;
}

/* --- who may give what ------------------------------------------------------------------------------------------------ */

int people_may_in(struct request *request, uint64_t aid, struct permission_set *ret_set, struct error *err)
{
    struct permission_set set;
    int rc = auth_permissions(request->server->store, &request->user, aid, request->arena, &set, err);
    if (!rc && people_sees_all(request)) {
        for (unsigned i = PERMISSION_FIRST; i < PERMISSION_COUNT; i++) {
            if (request_may(request, (enum permission)i))
                permission_add(&set, (enum permission)i);
        }
        permission_add(&set, PERMISSION_SIGNED_IN);
    }
    if (!rc)
        *ret_set = set;
    return rc;
}

int people_check_grant(const struct permission_set *may, const struct permission_set *given, const char *where,
                       struct error *err)
{
    for (unsigned i = PERMISSION_FIRST; i < PERMISSION_COUNT; i++) {
        if (permission_has(given, (enum permission)i) && !permission_covers(may, (enum permission)i))
            return error_set(err, E_PERMISSION, where, "you do not have the permission \"%s\" yourself",
                             permission_infos[i].label);
    }
    if (permission_has_management(given) && !permission_has(may, PERMISSION_ASSIGN_MANAGEMENT_PERMISSIONS))
        return error_set(err, E_PERMISSION, where, "this needs the permission \"%s\"",
                         permission_infos[PERMISSION_ASSIGN_MANAGEMENT_PERMISSIONS].label);
    return 0;
}

int people_check_above(struct request *request, const struct object_user *user, struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct permission_set mine, theirs;
    int rc = 0;
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        rc = people_may_in(request, roles[i].aid, &mine, err);
        if (!rc)
            rc = auth_permissions(request->server->store, user, roles[i].aid, request->arena, &theirs, err);
        if (!rc && !permission_covers_all(&mine, &theirs))
            rc = error_set(err, E_PERMISSION, "", "this user may do more than you");
    }
    return rc;
}

int people_check_admins(struct request *request, struct error *err)
{
    struct field_list users = {0};
    int rc = object_list(request->server->store, &object_user_kind, 0, NULL, request->arena, &users, err);
    const struct object_user *user = users.items;
    bool is_found = false;
    for (size_t i = 0; !rc && i < users.count; i++) {
        const struct object_user_role *roles = user[i].roles.items;
        for (size_t j = 0; j < user[i].roles.count; j++)
            is_found = is_found || roles[j].role_id == PERMISSION_ORGANIZATION_ADMIN;
    }
    if (!rc && !is_found)
        rc = error_set(err, E_CONFLICT, "", "somebody must remain who has the role \"%s\"",
                       permission_role_names[PERMISSION_ORGANIZATION_ADMIN]);
    return rc;
}

/* --- sessions ----------------------------------------------------------------------------------------------------------- */

int people_end_sessions(struct request *request, uint64_t uid, uint64_t except_id, struct error *err)
{
    struct field_list sessions = {0};
    struct store *store = request->server->store;
    int rc = object_list(store, &object_session_kind, 0, NULL, request->arena, &sessions, err);
    const struct object_token *session = sessions.items;
    for (size_t i = 0; !rc && i < sessions.count; i++) {
        if (session[i].uid == uid && session[i].head.id != except_id)
            rc = store_purge(store, object_session_kind.name, session[i].head.id, err);
    }
    return rc;
}
