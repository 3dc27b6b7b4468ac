#include "server/change.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES (64u << 10) /* of before and after each */

/* Who did it, from where. */
static struct object_audit begin_entry(struct request *request, uint64_t aid, const char *event)
{
    struct object_audit entry = {.head.aid = aid, .event = event, .ip = http_peer(request->http)};
    if (request->who == REQUEST_TOKEN || request->who == REQUEST_SESSION) {
        entry.uid = request->user.head.id;
        entry.user = arena_printf(request->arena, "%s (%s)", request->user.name, request->user.email);
    } else if (request->who == REQUEST_AGENT) {
        entry.user = arena_printf(request->arena, "Agent %s", request->agent.name);
    }
    return entry;
}

static int end_entry(struct request *request, struct object_audit *entry, struct error *err)
{
    request->is_noted = true;
    return object_put(request->server->store, &object_audit_kind, entry, server_now_s(request->server), err);
}

/* Drops from both what is the same in both. */
static void keep_differences(json_t *before, json_t *after)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(before, next, name, value) {
        if (json_equal(value, json_object_get(after, name))) {
            (void)json_object_del(after, name);
            (void)json_object_del(before, name);
        }
    }
}

static const char *show(struct request *request, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *shown = NULL;
    if (text)
        shown = strlen(text) > SHOWN_BYTES ? "\"too large to keep\"" : arena_strdup(request->arena, text);
    free(text);
    return shown;
}

static int record(struct request *request, const struct object_kind *kind, const void *before, const void *after,
                  struct error *err)
{
    const void *any = after ? after : before;
    const struct object_head *head = any;
    const char *verb = !before ? "created" : after ? "updated" : "deleted";
    struct object_audit entry = begin_entry(request, head->aid ? head->aid : request->aid,
                                            arena_printf(request->arena, "%s %s", kind->title, verb));
    json_t *old = before ? object_to_json(kind, before, request->arena) : NULL;
    json_t *new = after ? object_to_json(kind, after, request->arena) : NULL;
    if (old && new)
        keep_differences(old, new);
    entry.resource_type = kind->resource;
    entry.resource_name = object_label(kind, any);
    entry.kind = kind->name;
    entry.object_id = head->id;
    entry.object_version = after ? head->version : 0;
    entry.before = show(request, old);
    entry.after = show(request, new);
    json_decref(old);
    json_decref(new);
    return end_entry(request, &entry, err);
}

/* One transaction: the caller's, or one of our own. */
static int begin(struct request *request, bool *ret_own, struct error *err)
{
    *ret_own = !store_in_transaction(request->server->store);
    return *ret_own ? store_begin(request->server->store, err) : 0;
}

static int end(struct request *request, bool is_own, int rc, struct error *err)
{
    if (!is_own)
        return rc;
    return store_end(request->server->store, rc, err);
}

static int put(struct request *request, const struct object_kind *kind, void *rec, struct error *err)
{
    struct object_head *head = rec;
    struct store *store = request->server->store;
    void *before = NULL;
    if (head->id) {
        before = arena_alloc(request->arena, kind->table->size);
        if (!before)
            return error_set(err, E_LIMIT, "", "too large");
        int rc = object_get(store, kind, head->id, 0, request->arena, before, err);
        if (rc)
            return rc;
    }
    int rc = object_put(store, kind, rec, server_now_s(request->server), err);
    return rc ? rc : record(request, kind, before, rec, err);
}

int change_put(struct request *request, const struct object_kind *kind, void *rec, struct error *err)
{
    assert(kind->title);
    bool is_own;
    int rc = begin(request, &is_own, err);
    return rc ? rc : end(request, is_own, put(request, kind, rec, err), err);
}

int change_delete(struct request *request, const struct object_kind *kind, const void *rec, bool is_forgotten,
                  struct error *err)
{
    assert(kind->title);
    const struct object_head *head = rec;
    struct store *store = request->server->store;
    bool is_own;
    int rc = begin(request, &is_own, err);
    if (rc)
        return rc;
    rc = is_forgotten ? store_purge(store, kind->name, head->id, err) : store_delete(store, kind->name, head->id, err);
    if (!rc)
        rc = record(request, kind, rec, NULL, err);
    return end(request, is_own, rc, err);
}

int change_note(struct request *request, uint64_t aid, const char *event, const char *resource_type,
                const char *resource_name, struct error *err)
{
    struct object_audit entry = begin_entry(request, aid, event);
    entry.resource_type = resource_type;
    entry.resource_name = resource_name;
    return end_entry(request, &entry, err);
}
