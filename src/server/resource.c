#include "server/resource.h"

#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "server/change.h"

static const char **uuid_of(const struct resource *resource, void *record)
{
    return (const char **)((char *)record + resource->uuid);
}

static const char *id_of(struct request *request, const struct resource *resource, const void *record)
{
    if (resource->uuid != OBJECT_NONE)
        return *(const char *const *)((const char *)record + resource->uuid);
    return arena_printf(request->arena, "%llu", (unsigned long long)((const struct object_head *)record)->id);
}

/* A random UUID (RFC 9562, version 4). */
static const char *new_uuid(struct arena *arena)
{
    unsigned char b[16];
    rng_secret(b, sizeof b);
    b[6] = (unsigned char)(0x40 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    return arena_printf(arena, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                        b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int not_found(const struct resource *resource, const char *id, struct error *err)
{
    return error_set(err, E_NOT_FOUND, resource->param, "there is no %s \"%.80s\"", resource->kind->name, id);
}

int resource_find_id(struct request *request, const struct resource *resource, const char *id, void *ret_record,
                     struct error *err)
{
    struct store *store = request->server->store;
    uint64_t number = 0;
    int rc;
    if (resource->uuid != OBJECT_NONE) {
        struct field_list found = {0};
        rc = object_list(store, resource->kind, request->aid, id, request->arena, &found, err);
        if (!rc && found.count != 1)
            return not_found(resource, id, err);
        if (!rc)
            memcpy(ret_record, found.items, resource->kind->table->size);
    } else {
        if (str_to_u64(id, INT64_MAX, &number) != 0 || number == 0)
            return not_found(resource, id, err);
        rc = object_get_in(store, resource->kind, number, request->aid, request->arena, ret_record, err);
    }
    if (rc == -E_NOT_FOUND)
        return not_found(resource, id, err);
    return rc;
}

int resource_find(struct request *request, void *ret_record, struct error *err)
{
    const struct resource *resource = request->route->resource;
    return resource_find_id(request, resource, request_param(request, resource->param), ret_record, err);
}

json_t *resource_json(struct request *request, const struct resource *resource, const struct field_table *table,
                      const void *record, struct error *err)
{
    json_t *json = field_to_json(table, record, request->expand);
    if (resource->show && resource->show(request, record, json, err) != 0) {
        json_decref(json);
        return NULL;
    }
    request_link_self(request, json,
                      request_url(request, "%s/%s", resource->path, id_of(request, resource, record)));
    return json;
}

static int answer(struct request *request, int status, const void *record, struct error *err)
{
    json_t *json = resource_json(request, request->route->resource, request->route->response, record, err);
    if (!json)
        return err->code ? -err->code : -E_CORRUPT;
    request_answer(request, status, json);
    return 0;
}

int resource_list(struct request *request, struct error *err)
{
    const struct resource *resource = request->route->resource;
    struct field_list all = {0};
    int rc = object_list(request->server->store, resource->kind, request->aid, NULL, request->arena, &all, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < all.count; i++) {
        json_t *json = resource_json(request, resource, request->route->response,
                                     (const char *)all.items + i * resource->kind->table->size, err);
        if (!json) {
            json_decref(list);
            return err->code ? -err->code : -E_CORRUPT;
        }
        (void)json_array_append_new(list, json);
    }
    request_answer(request, 200, json_pack("{s:o}", request->route->list, list));
    return 0;
}

static void *new_record(struct request *request, const struct resource *resource)
{
    return arena_alloc(request->arena, resource->kind->table->size);
}

int resource_get(struct request *request, struct error *err)
{
    void *record = new_record(request, request->route->resource);
    int rc = record ? resource_find(request, record, err) : error_set(err, E_LIMIT, "", "too large");
    return rc ? rc : answer(request, 200, record, err);
}

/* An answer may come back as a request: its links and its id say nothing there. */
static int read_over(struct request *request, const struct field_table *table, const json_t *json, enum field_mode mode,
                     void *record, struct error *err)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)json);
    (void)json_object_del(copy, "_links");
    if (!field_find(table, "id"))
        (void)json_object_del(copy, "id");
    int rc = field_from_json(table, copy, mode, record, request->arena, err);
    json_decref(copy);
    return rc;
}

static int keep(struct request *request, const struct resource *resource, const void *before, void *record,
                struct error *err)
{
    int rc = resource->check ? resource->check(request, before, record, err) : 0;
    if (!rc)
        rc = change_put(request, resource->kind, record, err);
    if (rc == -E_EXISTS)
        rc = error_set(err, E_EXISTS, resource->key ? resource->key : "", "This %s exists already",
                       resource->kind->title);
    return rc;
}

int resource_make(struct request *request, const struct resource *resource, const struct field_table *table,
                  const json_t *json, void *ret_record, struct error *err)
{
    memset(ret_record, 0, resource->kind->table->size);
    field_defaults(resource->kind->table, ret_record);
    field_defaults(table, ret_record);
    struct object_head *head = ret_record;
    *head = (struct object_head){.aid = request->aid};
    int rc = read_over(request, table, json, FIELD_CREATE, ret_record, err);
    if (rc)
        return rc;
    if (resource->uuid != OBJECT_NONE)
        *uuid_of(resource, ret_record) = new_uuid(request->arena);
    return keep(request, resource, NULL, ret_record, err);
}

int resource_create(struct request *request, struct error *err)
{
    const struct resource *resource = request->route->resource;
    void *record = new_record(request, resource);
    if (!record)
        return error_set(err, E_LIMIT, "", "too large");
    int rc = resource_make(request, resource, request->route->request, request->body, record, err);
    if (rc)
        return rc;
    if (resource->changed)
        resource->changed(request, record);
    request_location(request, request_url(request, "%s/%s", resource->path, id_of(request, resource, record)));
    return answer(request, request->route->status, record, err);
}

int resource_put(struct request *request, struct error *err)
{
    const struct resource *resource = request->route->resource;
    const struct field_table *table = request->route->request;
    void *before = new_record(request, resource), *record = new_record(request, resource);
    int rc = before && record ? resource_find(request, before, err) : error_set(err, E_LIMIT, "", "too large");
    if (rc)
        return rc;
    memcpy(record, before, resource->kind->table->size);
    for (size_t i = 0; resource->is_put_whole && i < table->count; i++) {
        if (!(table->fields[i].flags & FIELD_READONLY))
            field_default(&table->fields[i], record);
    }
    rc = read_over(request, table, request->body, resource->is_put_whole ? FIELD_CREATE : FIELD_MERGE, record, err);
    if (!rc)
        rc = keep(request, resource, before, record, err);
    if (rc)
        return rc;
    if (resource->changed)
        resource->changed(request, record);
    return answer(request, 200, record, err);
}

int resource_delete(struct request *request, struct error *err)
{
    const struct resource *resource = request->route->resource;
    struct store *store = request->server->store;
    void *record = new_record(request, resource);
    int rc = record ? resource_find(request, record, err) : error_set(err, E_LIMIT, "", "too large");
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = resource->leave ? resource->leave(request, record, err) : 0;
    if (!rc)
        rc = change_delete(request, resource->kind, record, resource->is_forgotten, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    if (resource->changed)
        resource->changed(request, record);
    request_answer_empty(request, 204);
    return 0;
}
