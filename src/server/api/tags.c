/*
 * /v7/tags: key and value pairs that people put on tests, agents and the like, one by one or many at once. A tag keeps
 * what it is assigned to. Tags that choose endpoint agents by filters are kept as given: there are no endpoint agents
 * for them to choose so far.
 */
#include <string.h>

#include "base/str.h"
#include "server/api/api.h"
#include "server/change.h"
#include "server/resource.h"

static const char *const object_types[] = {"test",           "dashboard", "endpoint-test", "v-agent", "connected-devices-test",
                                           "endpoint-agent", NULL};
enum { OBJECT_TEST, OBJECT_DASHBOARD, OBJECT_ENDPOINT_TEST, OBJECT_AGENT, OBJECT_DEVICES_TEST, OBJECT_ENDPOINT_AGENT };
static const char *const assignment_types[] = {"test", "v-agent", "endpoint-test", "dashboard", "connected-devices-test",
                                               NULL};
enum { ASSIGNED_TEST, ASSIGNED_AGENT };
static const char *const tag_types[] = {"static", "dynamic", NULL};
enum { TAG_STATIC, TAG_DYNAMIC };
static const char *const access_types[] = {"all", "partner", "system", NULL};
enum { ACCESS_ALL, ACCESS_PARTNER };
static const char *const match_types[] = {"and", "or", NULL};
static const char *const filter_modes[] = {"in", "not-in", NULL};
static const char *const filter_scopes[] = {"default", "custom", NULL};

#define TAGS_AT_ONCE 1000
#define ASSIGNMENTS_MAX 100000

struct assignment {
    const char *id;
    int type;
};
static const struct field assignment_fields[] = {
    FIELD_STR(struct assignment, id, "id", (.flags = FIELD_REQUIRED, .min = 1, .max = 64), "Id of the object"),
    FIELD_ENUM(struct assignment, type, "type", assignment_types, (.flags = FIELD_REQUIRED), "What it is"),
};
static const struct field_table assignment_table =
    FIELD_TABLE("Assignment", struct assignment, assignment_fields, NULL, "Something a tag is put on");

struct filter {
    const char *key;
    struct field_list values;
    int mode, scope;
};
static const struct field filter_fields[] = {
    FIELD_STR(struct filter, key, "key", (.max = 255), "What is compared"),
    FIELD_STRS(struct filter, values, "values", (.max = 1000), "With what"),
    FIELD_ENUM(struct filter, mode, "mode", filter_modes, (), "One of them, or none of them"),
    FIELD_ENUM(struct filter, scope, "scope", filter_scopes, (.preset = "default"), "Whose key it is"),
};
static const struct field_table filter_table =
    FIELD_TABLE("TagFilter", struct filter, filter_fields, NULL, "A condition of a dynamic tag");

struct tag {
    struct object_head head; /* key: unique, lookup: uuid */
    const char *uuid, *unique;
    const char *key, *value, *color, *icon, *description;
    int object_type, type, access_type, match_type;
    bool is_builtin; /* never */
    struct field_list filters;     /* struct filter */
    struct field_list assignments; /* struct assignment */
    int64_t created_s, modified_s;
    int64_t aid_number, number; /* as v7 shows head.aid and head.id */
};

#define R (.flags = FIELD_READONLY)
#define COMMON_FIELDS                                                                                                  \
    FIELD_STR(struct tag, key, "key", (.flags = FIELD_REQUIRED, .min = 1, .max = 255), "Its key"),                     \
    FIELD_STR(struct tag, value, "value", (.flags = FIELD_REQUIRED, .max = 255), "Its value"),                         \
    FIELD_ENUM(struct tag, object_type, "objectType", object_types, (.flags = FIELD_REQUIRED), "What it is put on"),   \
    FIELD_ENUM(struct tag, access_type, "accessType", access_types, (.flags = FIELD_REQUIRED), "Who may see it"),      \
    FIELD_ENUM(struct tag, type, "type", tag_types, (.preset = "static"), "Assigned by hand or by its filters"),       \
    FIELD_STR(struct tag, color, "color", (.preset = "#A7EB10", .max = 32), "Its colour"),                             \
    FIELD_STR(struct tag, icon, "icon", (.preset = "LABEL", .max = 64), "Its picture"),                                \
    FIELD_STR(struct tag, description, "description", (.max = 2000), "What it means"),                                 \
    FIELD_ENUM(struct tag, match_type, "matchType", match_types, (), "All filters, or any of them"),                   \
    FIELD_LIST(struct tag, filters, "filters", &filter_table, (.max = 100), "Conditions of a dynamic tag"),            \
    FIELD_TIME(struct tag, created_s, "createDate", R, "When it was created"),                                         \
    FIELD_TIME(struct tag, modified_s, "modifiedDate", R, "When it was changed last"),                                 \
    FIELD_STR(struct tag, uuid, "id", R, "Its id")

static const struct field stored_fields[] = {
    COMMON_FIELDS,
    FIELD_STR(struct tag, unique, "unique", (), "What no other tag of the account group has"),
    FIELD_LIST(struct tag, assignments, "assignments", &assignment_table, (), "What it is put on"),
};
static const struct field_table stored_table =
    FIELD_TABLE("StoredTag", struct tag, stored_fields, NULL, "A tag as it is kept");

static const struct field tag_fields[] = {
    COMMON_FIELDS,
    FIELD_I64(struct tag, aid_number, "aid", R, "Account group"),
    FIELD_I64(struct tag, number, "legacyId", R, "Its number among labels"),
    FIELD_BOOL(struct tag, is_builtin, "builtIn", R, "It comes with the product"),
    FIELD_LIST(struct tag, assignments, "assignments", &assignment_table,
               (.flags = FIELD_READONLY, .expand = "assignments"), "What it is put on"),
};
static const struct field_table tag_table = FIELD_TABLE("Tag", struct tag, tag_fields, NULL, "A tag");

const struct object_kind api_tag_kind = {.name = "tag",
                                            .table = &stored_table,
                                            .key = offsetof(struct tag, unique),
                                            .lookup = offsetof(struct tag, uuid),
                                            .title = "Tag",
                                            .resource = "tagKey",
                                            .label = offsetof(struct tag, key)};

/* --- one tag ---------------------------------------------------------------------------------------------------------- */

static int check_kind(const struct tag *tag, struct error *err)
{
    bool is_endpoint = tag->object_type == OBJECT_ENDPOINT_AGENT;
    if (is_endpoint && tag->type != TAG_DYNAMIC)
        return error_set(err, E_INVALID, "type", "Static tags are not supported for the provided object type");
    if (!is_endpoint && tag->type == TAG_DYNAMIC)
        return error_set(err, E_INVALID, "type", "Dynamic tags are not supported for the provided object type");
    if (is_endpoint && tag->filters.count == 0)
        return error_set(err, E_INVALID, "filters", "must not be empty");
    if (is_endpoint && tag->match_type < 0)
        return error_set(err, E_INVALID, "matchType", "must not be null");
    return 0;
}

static int check_tag(struct request *request, const void *before, void *record, struct error *err)
{
    struct tag *tag = record;
    const struct tag *old = before;
    int64_t now = server_now_s(request->server);
    if (tag->access_type != ACCESS_ALL)
        return error_set(err, E_PERMISSION, "accessType", "Only tags that everybody sees can be made here");
    if (old && old->object_type != tag->object_type)
        return error_set(err, E_CONFLICT, "objectType", "Cannot update ObjectType. Original '%s' and new '%s' objectType",
                         object_types[old->object_type], object_types[tag->object_type]);
    int rc = check_kind(tag, err);
    if (rc)
        return rc;
    if (!old)
        tag->created_s = now;
    tag->modified_s = now;
    tag->unique = arena_printf(request->arena, "%s\n%s\n%s", object_types[tag->object_type], tag->key, tag->value);
    struct tag other;
    rc = object_find(request->server->store, &api_tag_kind, request->aid, tag->unique, request->arena, &other, NULL);
    if (rc == 0 && other.head.id != tag->head.id)
        return error_set(err, E_CONFLICT, "key", "Duplicate tags are not allowed. You must change key or value or both");
    return 0;
}

static int show_tag(struct request *request, const void *record, json_t *json, struct error *err)
{
    const struct tag *tag = record;
    (void)err;
    (void)json_object_set_new(json, "aid", json_integer((json_int_t)tag->head.aid));
    (void)json_object_set_new(json, "legacyId", json_integer((json_int_t)tag->head.id));
    if (request_expands(request, "assignments") && !tag->assignments.items)
        (void)json_object_set_new(json, "assignments", json_array());
    return 0;
}

static const struct resource tags = {.kind = &api_tag_kind,
                                     .path = "/v7/tags",
                                     .param = "id",
                                     .uuid = offsetof(struct tag, uuid),
                                     .is_put_whole = true,
                                     .key = "key",
                                     .check = check_tag,
                                     .show = show_tag};

struct bulk {
    struct field_list tags; /* struct tag */
};
static const struct field bulk_fields[] = {
    FIELD_LIST(struct bulk, tags, "tags", &tag_table, (.flags = FIELD_REQUIRED, .max = TAGS_AT_ONCE), "The tags"),
};
static const struct field_table bulk_table =
    FIELD_TABLE("BulkTagResponse", struct bulk, bulk_fields, NULL, "Many tags at once");

/* Each by itself: what cannot be made says why and does not hold up the others. */
static int create_tags(struct request *request, struct error *err)
{
    json_t *list = json_object_get(request->body, "tags"), *item;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > TAGS_AT_ONCE)
        return error_set(err, E_TYPE, "tags", "must be a list of at most %d tags", TAGS_AT_ONCE);
    json_t *made = json_array(), *errors = json_array();
    request->is_noted = true; /* also when none can be made */
    json_array_foreach(list, i, item) {
        struct tag tag;
        struct error why = {0};
        int rc = json_is_object(item) ? resource_make(request, &tags, &tag_table, item, &tag, &why)
                                      : error_set(&why, E_TYPE, "", "must be an object");
        if (rc == -E_FULL || rc == -E_IO || rc == -E_CORRUPT) {
            json_decref(made);
            json_decref(errors);
            *err = why;
            return rc;
        }
        if (rc == 0) {
            (void)json_array_append_new(made, resource_json(request, &tags, &tag_table, &tag, err));
        } else {
            char text[600];
            (void)json_array_append_new(errors, json_pack("{s:i, s:s}", "responseCode", rc == -E_CONFLICT ? 409 : 400,
                                                          "message", error_format(&why, text, sizeof text)));
        }
    }
    request_answer(request, 207, json_pack("{s:o, s:o}", "tags", made, "errors", errors));
    return 0;
}

/* --- assignments -------------------------------------------------------------------------------------------------------- */

struct assigning {
    const char *tag_id;
    struct field_list assignments; /* struct assignment */
};
static const struct field assigning_fields[] = {
    FIELD_LIST(struct assigning, assignments, "assignments", &assignment_table,
               (.flags = FIELD_REQUIRED, .max = ASSIGNMENTS_MAX), "What the tag is put on"),
};
static const struct field_table assigning_table =
    FIELD_TABLE("TagAssignment", struct assigning, assigning_fields, NULL, "What a tag is put on");
static const struct field bulk_assigning_fields[] = {
    FIELD_STR(struct assigning, tag_id, "tagId", (.flags = FIELD_REQUIRED, .max = 64), "Id of the tag"),
    FIELD_LIST(struct assigning, assignments, "assignments", &assignment_table,
               (.flags = FIELD_REQUIRED, .max = ASSIGNMENTS_MAX), "What the tag is put on"),
};
static const struct field_table bulk_assigning_table =
    FIELD_TABLE("BulkTagAssignment", struct assigning, bulk_assigning_fields, NULL, "A tag and what it is put on");
static const struct field many_fields[] = {
    FIELD_LIST(struct bulk, tags, "tags", &bulk_assigning_table, (.flags = FIELD_REQUIRED, .max = TAGS_AT_ONCE),
               "Tags and what they are put on"),
};
static const struct field_table many_table =
    FIELD_TABLE("BulkTagAssignments", struct bulk, many_fields, NULL, "Many tags and what they are put on");

static bool is_same(const struct assignment *a, const struct assignment *b)
{
    return a->type == b->type && strcmp(a->id, b->id) == 0;
}

static int check_object(struct request *request, const struct assignment *assignment, struct error *err)
{
    uint64_t id = 0;
    struct object_agent agent;
    struct object_test test;
    struct store *store = request->server->store;
    int rc = str_to_u64(assignment->id, INT64_MAX, &id) == 0 && id ? 0 : -E_NOT_FOUND;
    if (!rc && assignment->type == ASSIGNED_TEST)
        rc = object_get_in(store, &object_test_kind, id, request->aid, request->arena, &test, NULL);
    else if (!rc && assignment->type == ASSIGNED_AGENT)
        rc = object_get_agent(store, id, request->aid, request->arena, &agent, NULL);
    else
        rc = -E_NOT_FOUND; /* there are none of the other kinds so far */
    return rc == -E_NOT_FOUND ? error_set(err, E_NOT_FOUND, "assignments", "there is no %s \"%.64s\"",
                                          assignment_types[assignment->type], assignment->id)
                              : rc;
}

/* Puts the tag on (or takes it off) the objects; the rest of its assignments stays. */
static int change_assignments(struct request *request, struct tag *tag, const struct field_list *wanted, bool is_on,
                              struct error *err)
{
    const struct assignment *old = tag->assignments.items, *given = wanted->items;
    size_t room = tag->assignments.count + wanted->count + 1, count = 0;
    struct assignment *all = arena_alloc_array(request->arena, room, sizeof *all);
    if (!all || room > ASSIGNMENTS_MAX)
        return error_set(err, E_LIMIT, "assignments", "at most %d objects have one tag", ASSIGNMENTS_MAX);
    for (size_t i = 0; i < tag->assignments.count; i++) {
        bool is_given = false;
        for (size_t j = 0; j < wanted->count; j++)
            is_given = is_given || is_same(&old[i], &given[j]);
        if (!is_given)
            all[count++] = old[i];
    }
    for (size_t j = 0; is_on && j < wanted->count; j++) {
        bool is_twice = false;
        for (size_t i = 0; i < j; i++)
            is_twice = is_twice || is_same(&given[i], &given[j]);
        int rc = check_object(request, &given[j], err);
        if (rc)
            return rc;
        if (strcmp(assignment_types[given[j].type], object_types[tag->object_type]) != 0)
            return error_set(err, E_INVALID, "assignments", "this tag is for objects of type %s",
                             object_types[tag->object_type]);
        if (!is_twice)
            all[count++] = given[j];
    }
    tag->assignments = (struct field_list){all, count};
    tag->modified_s = server_now_s(request->server);
    return change_put(request, &api_tag_kind, tag, err);
}

static int assign_one(struct request *request, bool is_on, struct error *err)
{
    const struct assigning *assigning = request->record;
    struct tag tag;
    int rc = resource_find(request, &tag, err);
    if (!rc)
        rc = change_assignments(request, &tag, &assigning->assignments, is_on, err);
    if (rc)
        return rc;
    if (!is_on) {
        request_answer_empty(request, 204);
        return 0;
    }
    struct assigning answer = {tag.uuid, assigning->assignments};
    request_answer_record(request, 207, &bulk_assigning_table, &answer);
    return 0;
}

static int assign_tag(struct request *request, struct error *err)
{
    return assign_one(request, true, err);
}

static int unassign_tag(struct request *request, struct error *err)
{
    return assign_one(request, false, err);
}

/* All or nothing: the error names what is wrong. */
static int assign_many(struct request *request, bool is_on, struct error *err)
{
    const struct bulk *bulk = request->record;
    const struct assigning *each = bulk->tags.items;
    struct store *store = request->server->store;
    request->is_noted = true; /* also when the list is empty */
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < bulk->tags.count; i++) {
        struct tag tag;
        rc = resource_find_id(request, &tags, each[i].tag_id, &tag, err);
        if (!rc)
            rc = change_assignments(request, &tag, &each[i].assignments, is_on, err);
    }
    rc = store_end(store, rc, err);
    if (!rc)
        request_answer_record(request, 207, &many_table, bulk);
    return rc;
}

static int assign_tags(struct request *request, struct error *err)
{
    return assign_many(request, true, err);
}

static int unassign_tags(struct request *request, struct error *err)
{
    return assign_many(request, false, err);
}

/* --- for other resources -------------------------------------------------------------------------------------------- */

/* Tags of an account group are few; an answer about many objects reads them once. */
static int load(struct request *request, struct error *err)
{
    return request->tags.items ? 0
                               : object_list(request->server->store, &api_tag_kind, request->aid, NULL, request->arena,
                                             &request->tags, err);
}

static bool is_on(const struct tag *tag, const struct assignment *object)
{
    const struct assignment *assignments = tag->assignments.items;
    for (size_t i = 0; i < tag->assignments.count; i++) {
        if (is_same(&assignments[i], object))
            return true;
    }
    return false;
}

static struct assignment object_of(struct request *request, enum api_tagged what, uint64_t id)
{
    return (struct assignment){arena_printf(request->arena, "%llu", (unsigned long long)id),
                               what == API_TAGGED_TEST ? ASSIGNED_TEST : ASSIGNED_AGENT};
}

int api_tags_of(struct request *request, enum api_tagged what, uint64_t id, struct field_list *ret_tags,
                struct error *err)
{
    int rc = load(request, err);
    const struct tag *all = request->tags.items;
    struct api_tag *found = rc ? NULL : arena_alloc_array(request->arena, request->tags.count + 1, sizeof *found);
    const struct assignment object = object_of(request, what, id);
    size_t count = 0;
    if (!rc && !found)
        return error_set(err, E_LIMIT, "tags", "too many tags");
    for (size_t i = 0; !rc && i < request->tags.count; i++) {
        if (is_on(&all[i], &object))
            found[count++] = (struct api_tag){all[i].uuid, all[i].key, all[i].value, all[i].head.id};
    }
    if (!rc)
        *ret_tags = (struct field_list){found, count};
    return rc;
}

int api_tags_set(struct request *request, enum api_tagged what, uint64_t id, const struct field_list *uuids,
                 struct error *err)
{
    const char *const *wanted = uuids->items;
    struct assignment object = object_of(request, what, id);
    const struct field_list only = {&object, 1};
    int rc = load(request, err);
    struct tag *all = request->tags.items;
    size_t found = 0;
    for (size_t i = 0; !rc && i < request->tags.count; i++) {
        bool is_wanted = false;
        for (size_t j = 0; j < uuids->count; j++)
            is_wanted = is_wanted || strcmp(wanted[j], all[i].uuid) == 0;
        found += is_wanted;
        if (is_wanted != is_on(&all[i], &object))
            rc = change_assignments(request, &all[i], &only, is_wanted, err);
    }
    if (!rc && found != uuids->count)
        rc = error_set(err, E_INVALID, "tags", "One of the tags does not exist");
    return rc;
}

int api_tags_number(struct request *request, const char *number, const char **ret_uuid, struct error *err)
{
    uint64_t id = 0;
    struct tag tag;
    int rc = str_to_u64(number, INT64_MAX, &id) ? -E_NOT_FOUND
                                                : object_get_in(request->server->store, &api_tag_kind, id, request->aid,
                                                                request->arena, &tag, err);
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_INVALID, "labels", "There is no label %.64s", number);
    if (!rc)
        *ret_uuid = tag.uuid;
    return rc;
}

/* --- routes ------------------------------------------------------------------------------------------------------------- */

static const char *const tag_expand[] = {"assignments", NULL};
#define PLAIN .response = &tag_table, .resource = &tags

const struct route api_tag_routes[] = {
    ROUTE("GET", "/v7/tags", PERMISSION_VIEW_LABELS, "getTags", resource_list,
          (PLAIN, .list = "tags", .flags = ROUTE_V7, .expand = tag_expand), "List tags"),
    ROUTE("POST", "/v7/tags", PERMISSION_EDIT_LABELS, "createTag", resource_create,
          (PLAIN, .request = &tag_table, .status = 201, .flags = ROUTE_V7 | ROUTE_PARTIAL), "Create a tag"),
    ROUTE("POST", "/v7/tags/bulk", PERMISSION_EDIT_LABELS, "createTags", create_tags,
          (.request = &bulk_table, .response = &bulk_table, .status = 207, .flags = ROUTE_V7 | ROUTE_PARTIAL),
          "Create many tags, each by itself"),
    ROUTE("GET", "/v7/tags/{id}", PERMISSION_VIEW_LABELS, "getTag", resource_get,
          (PLAIN, .flags = ROUTE_V7, .expand = tag_expand), "Get a tag"),
    ROUTE("PUT", "/v7/tags/{id}", PERMISSION_EDIT_LABELS, "updateTag", resource_put,
          (PLAIN, .request = &tag_table, .flags = ROUTE_V7 | ROUTE_PARTIAL),
          "Change a tag; what is not given has its default"),
    ROUTE("DELETE", "/v7/tags/{id}", PERMISSION_EDIT_LABELS, "deleteTag", resource_delete,
          (.resource = &tags, .status = 204, .flags = ROUTE_V7), "Delete a tag"),
    ROUTE("POST", "/v7/tags/{id}/assign", PERMISSION_EDIT_LABELS, "assignTag", assign_tag,
          (.resource = &tags, .request = &assigning_table, .response = &bulk_assigning_table, .status = 207,
           .flags = ROUTE_V7),
          "Put a tag on objects"),
    ROUTE("POST", "/v7/tags/{id}/unassign", PERMISSION_EDIT_LABELS, "unassignTag", unassign_tag,
          (.resource = &tags, .request = &assigning_table, .status = 204, .flags = ROUTE_V7),
          "Take a tag off objects"),
    ROUTE("POST", "/v7/tags/assign", PERMISSION_EDIT_LABELS, "assignTags", assign_tags,
          (.request = &many_table, .response = &many_table, .status = 207, .flags = ROUTE_V7),
          "Put many tags on objects"),
    ROUTE("POST", "/v7/tags/unassign", PERMISSION_EDIT_LABELS, "unassignTags", unassign_tags,
          (.request = &many_table, .response = &many_table, .status = 207, .flags = ROUTE_V7),
          "Take many tags off objects"),
    {0},
};
