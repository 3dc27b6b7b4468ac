/*
 * /v7/network/path-vis/interface-groups: addresses of one router or site, under a name that path views show as one.
 */
#include "base/sock.h"
#include "server/api/api.h"
#include "server/resource.h"

struct interface_group {
    struct object_head head;
    const char *name;
    struct field_list addresses; /* const char * */
};

#define R (.flags = FIELD_READONLY)
#define COMMON_FIELDS                                                                                                  \
    FIELD_STR(struct interface_group, name, "groupName", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),              \
              "Its name, unique in the account group"),                                                                \
    FIELD_STRS(struct interface_group, addresses, "ipAddresses", (.max = 1000), "Its addresses")
static const struct field request_fields[] = {COMMON_FIELDS};
static const struct field_table request_table = FIELD_TABLE("InterfaceGroupRequest", struct interface_group,
                                                            request_fields, NULL, "Addresses under one name");
static const struct field answer_fields[] = {
    FIELD_ID(struct interface_group, head.aid, "aid", R, "Id of its account group"),
    FIELD_ID(struct interface_group, head.id, "groupId", R, "Its id"),
    COMMON_FIELDS,
};
static const struct field_table answer_table =
    FIELD_TABLE("InterfaceGroup", struct interface_group, answer_fields, NULL, "Addresses under one name");

const struct object_kind api_interface_group_kind = {.name = "interface-group",
                                                        .table = &request_table,
                                                        .key = offsetof(struct interface_group, name),
                                                        .lookup = OBJECT_NONE,
                                                        .title = "Interface group",
                                                        .resource = "interfaceGroupName",
                                                        .label = offsetof(struct interface_group, name)};

static int check(struct request *request, const void *before, void *record, struct error *err)
{
    const struct interface_group *group = record;
    const char *const *addresses = group->addresses.items;
    union sock_addr addr;
    (void)request;
    (void)before;
    for (size_t i = 0; i < group->addresses.count; i++) {
        if (sock_parse_ip(addresses[i], &addr) != 0)
            return error_set(err, E_INVALID, "ipAddresses", "\"%.60s\" is no IP address", addresses[i]);
    }
    return 0;
}

static const struct resource interface_groups = {.kind = &api_interface_group_kind,
                                                 .path = "/v7/network/path-vis/interface-groups",
                                                 .param = "interfaceGroupId",
                                                 .uuid = OBJECT_NONE,
                                                 .key = "groupName",
                                                 .check = check};

#define PLAIN .response = &answer_table, .resource = &interface_groups
#define PATH "/v7/network/path-vis/interface-groups"

const struct route api_interface_group_routes[] = {
    ROUTE("GET", PATH, PERMISSION_VIEW_TESTS, "getPathVisInterfaceGroups", resource_list,
          (PLAIN, .list = "pathVisInterfaceGroups", .flags = ROUTE_V7), "List interface groups"),
    ROUTE("POST", PATH, PERMISSION_EDIT_INTERFACE_GROUPS, "createPathVisInterfaceGroups", resource_create,
          (PLAIN, .request = &request_table, .status = 201, .flags = ROUTE_V7 | ROUTE_PARTIAL),
          "Create an interface group"),
    ROUTE("PUT", PATH "/{interfaceGroupId}", PERMISSION_EDIT_INTERFACE_GROUPS, "updatePathVisInterfaceGroup",
          resource_put, (PLAIN, .request = &request_table, .flags = ROUTE_V7 | ROUTE_PARTIAL),
          "Change an interface group; what is not given stays"),
    ROUTE("DELETE", PATH "/{interfaceGroupId}", PERMISSION_EDIT_INTERFACE_GROUPS, "deletePathVisInterfaceGroup",
          resource_delete, (.resource = &interface_groups, .status = 204, .flags = ROUTE_V7),
          "Delete an interface group"),
    {0},
};
