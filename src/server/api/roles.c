/*
 * /v7/roles and /v7/permissions. The roles that come with the product cannot be changed; nobody puts into a role what
 * he may not do himself. When a role changes, who has it must sign in again.
 */
#include "base/str.h"
#include "server/api/people.h"
#include "server/change.h"

struct permission_item {
    const char *label, *name;
    uint64_t id;
    bool is_management;
};
static const struct field permission_fields[] = {
    FIELD_STR(struct permission_item, label, "label", (), "What it is called"),
    FIELD_ID(struct permission_item, id, "permissionId", (), "Id of the permission"),
    FIELD_BOOL(struct permission_item, is_management, "isManagementPermission", (),
               "It is one to manage people and accounts with"),
    FIELD_STR(struct permission_item, name, "permission", (), "Its name for programs"),
};
static const struct field_table permission_table =
    FIELD_TABLE("Permission", struct permission_item, permission_fields, NULL, "A permission");

struct role_detail {
    struct people_role role;
    struct field_list permissions; /* struct permission_item */
};
static const struct field role_detail_fields[] = {
    FIELD_STR(struct role_detail, role.name, "name", (), "Name of the role"),
    FIELD_ID(struct role_detail, role.id, "roleId", (), "Id of the role"),
    FIELD_BOOL(struct role_detail, role.is_builtin, "isBuiltin", (), "It comes with the product"),
    FIELD_LIST(struct role_detail, permissions, "permissions", &permission_table, (), "What it permits"),
};
static const struct field_table role_detail_table =
    FIELD_TABLE("RoleDetail", struct role_detail, role_detail_fields, NULL, "A role in full");

struct role_request {
    const char *name;
    struct field_list permissions; /* uint64_t */
};
static const struct field role_request_fields[] = {
    FIELD_STR(struct role_request, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),
              "Name of the role, unique"),
    FIELD_IDS(struct role_request, permissions, "permissions", (.flags = FIELD_REQUIRED, .max = PERMISSION_COUNT),
              "Ids of its permissions, all of them"),
};
static const struct field_table role_request_table =
    FIELD_TABLE("RoleRequestBody", struct role_request, role_request_fields, NULL, "A role to make or change");

static struct permission_item item_of(enum permission permission)
{
    const struct permission_info *info = &permission_infos[permission];
    return (struct permission_item){info->label, info->name, permission_number(permission), info->is_management};
}

static int list_permissions(struct request *request, struct error *err)
{
    (void)err;
    json_t *list = json_array();
    for (unsigned i = PERMISSION_FIRST; i < PERMISSION_COUNT; i++) {
        struct permission_item item = item_of((enum permission)i);
        (void)json_array_append_new(list, field_to_json(&permission_table, &item, NULL));
    }
    request_answer(request, 200, json_pack("{s:o}", "permissions", list));
    return 0;
}

static int list_roles(struct request *request, struct error *err)
{
    struct field_list roles = {0};
    int rc = object_list(request->server->store, &object_role_kind, 0, NULL, request->arena, &roles, err);
    if (rc)
        return rc;
    const struct object_role *role = roles.items;
    json_t *list = json_array();
    for (size_t i = 0; i < roles.count; i++) {
        struct people_role item = people_role_of(&role[i]);
        (void)json_array_append_new(list, field_to_json(&people_role_table, &item, NULL));
    }
    request_answer(request, 200, json_pack("{s:o}", "roles", list));
    return 0;
}

static int answer_role(struct request *request, int status, const struct object_role *role, struct error *err)
{
    struct permission_set set = {0};
    struct permission_item *items = arena_alloc_array(request->arena, PERMISSION_COUNT, sizeof *items);
    struct role_detail detail = {.role = people_role_of(role), .permissions = {items, 0}};
    if (!items)
        return error_set(err, E_LIMIT, "", "too many permissions");
    object_role_permissions(role, &set);
    for (unsigned i = PERMISSION_FIRST; i < PERMISSION_COUNT; i++) {
        if (permission_has(&set, (enum permission)i))
            items[detail.permissions.count++] = item_of((enum permission)i);
    }
    json_t *json = field_to_json(&role_detail_table, &detail, NULL);
    const char *url = request_url(request, "/v7/roles/%llu", (unsigned long long)role->head.id);
    request_link_self(request, json, url);
    if (status == 201)
        request_location(request, url);
    request_answer(request, status, json);
    return 0;
}

static int find_role(struct request *request, struct object_role *ret_role, struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "id", &id, err);
    return rc ? rc : object_get(request->server->store, &object_role_kind, id, 0, request->arena, ret_role, err);
}

static int get_role(struct request *request, struct error *err)
{
    struct object_role role;
    int rc = find_role(request, &role, err);
    return rc ? rc : answer_role(request, 200, &role, err);
}

/* Takes what was asked for into the role, if who asks may: what is in it before and after must be his to give. */
static int take_request(struct request *request, struct object_role *role, struct error *err)
{
    const struct role_request *wanted = request->record;
    const uint64_t *numbers = wanted->permissions.items;
    struct permission_set given = {0};
    if (role->head.id)
        object_role_permissions(role, &given);
    for (size_t i = 0; i < wanted->permissions.count; i++) {
        enum permission permission = permission_of_number(numbers[i]);
        if (permission == PERMISSION_UNSET)
            return error_set(err, E_INVALID, "permissions", "There is no permission %llu", (unsigned long long)numbers[i]);
        permission_add(&given, permission);
    }
    int rc = people_check_grant(&request->may, &given, "permissions", err);
    if (rc)
        return rc;
    role->name = wanted->name;
    role->permissions = wanted->permissions;
    return 0;
}

static int put_role(struct request *request, struct object_role *role, struct error *err)
{
    int rc = change_put(request, &object_role_kind, role, err);
    return rc == -E_EXISTS ? error_set(err, E_EXISTS, "name", "A role with this name already exists.") : rc;
}

static int create_role(struct request *request, struct error *err)
{
    struct object_role role = {0};
    int rc = take_request(request, &role, err);
    if (!rc)
        rc = put_role(request, &role, err);
    return rc ? rc : answer_role(request, 201, &role, err);
}

/* The users that have the role: calls end for each, or counts them. */
static int visit_users(struct request *request, uint64_t role_id, bool is_ending, size_t *ret_count, struct error *err)
{
    struct field_list users = {0};
    int rc = object_list(request->server->store, &object_user_kind, 0, NULL, request->arena, &users, err);
    const struct object_user *user = users.items;
    size_t count = 0;
    for (size_t i = 0; !rc && i < users.count; i++) {
        const struct object_user_role *roles = user[i].roles.items;
        bool has_it = false;
        for (size_t j = 0; j < user[i].roles.count; j++)
            has_it = has_it || roles[j].role_id == role_id;
        count += has_it;
        if (has_it && is_ending)
            rc = people_end_sessions(request, user[i].head.id, 0, err);
    }
    *ret_count = count;
    return rc;
}

static int check_own(const struct object_role *role, struct error *err)
{
    return role->head.id <= PERMISSION_ROLES
               ? error_set(err, E_PERMISSION, "", "the role \"%s\" comes with the product and cannot be changed", role->name)
               : 0;
}

static int update_role(struct request *request, struct error *err)
{
    struct object_role role;
    struct store *store = request->server->store;
    size_t count;
    int rc = find_role(request, &role, err);
    if (!rc)
        rc = check_own(&role, err);
    if (!rc)
        rc = take_request(request, &role, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = put_role(request, &role, err);
    if (!rc)
        rc = visit_users(request, role.head.id, true, &count, err);
    rc = store_end(store, rc, err);
    return rc ? rc : answer_role(request, 200, &role, err);
}

static int delete_role(struct request *request, struct error *err)
{
    struct object_role role;
    struct permission_set given = {0};
    size_t count;
    int rc = find_role(request, &role, err);
    if (!rc)
        rc = check_own(&role, err);
    if (rc)
        return rc;
    object_role_permissions(&role, &given);
    rc = people_check_grant(&request->may, &given, "", err);
    if (!rc)
        rc = visit_users(request, role.head.id, false, &count, err);
    if (!rc && count > 0)
        rc = error_set(err, E_CONFLICT, "", "%zu users have this role; take it from them first", count);
    if (!rc)
        rc = change_delete(request, &object_role_kind, &role, false, err);
    if (!rc)
        request_answer_empty(request, 204);
    return rc;
}

const struct route api_role_routes[] = {
    ROUTE("GET", "/v7/permissions", PERMISSION_VIEW_ROLES, "getPermissions", list_permissions,
          (.response = &permission_table, .list = "permissions", .flags = ROUTE_V7), "List all permissions"),
    ROUTE("GET", "/v7/roles", PERMISSION_VIEW_ROLES, "getRoles", list_roles,
          (.response = &people_role_table, .list = "roles", .flags = ROUTE_V7), "List the roles"),
    ROUTE("POST", "/v7/roles", PERMISSION_EDIT_ROLES, "createRole", create_role,
          (.request = &role_request_table, .response = &role_detail_table, .status = 201, .flags = ROUTE_V7),
          "Make a role"),
    ROUTE("GET", "/v7/roles/{id}", PERMISSION_VIEW_ROLES, "getRole", get_role,
          (.response = &role_detail_table, .flags = ROUTE_V7), "Get a role with its permissions"),
    ROUTE("PUT", "/v7/roles/{id}", PERMISSION_EDIT_ROLES, "updateRole", update_role,
          (.request = &role_request_table, .response = &role_detail_table, .flags = ROUTE_V7), "Change a role"),
    ROUTE("DELETE", "/v7/roles/{id}", PERMISSION_EDIT_ROLES, "deleteRole", delete_role,
          (.status = 204, .flags = ROUTE_V7), "Delete a role that nobody has"),
    {0},
};
