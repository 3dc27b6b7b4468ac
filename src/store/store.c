#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "store/backend.h"

static const struct store_backend *const backends[] = {&store_sqlite, &store_memory};

int store_open(const char *url, struct store **ret_store, struct error *err)
{
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        size_t length = strlen(backends[i]->scheme);
        if (str_starts(url, backends[i]->scheme) && url[length] == ':') {
            struct store *store;
            int rc = backends[i]->open(url + length + 1, &store, err);
            if (rc)
                return rc;
            store->backend = backends[i];
            *ret_store = store;
            return 0;
        }
    }
    return error_set(err, E_UNKNOWN, url, "no such kind of store; known are sqlite:PATH and memory:");
}

void store_close(struct store *store)
{
    if (!store)
        return;
    if (store->is_open)
        store_rollback(store);
    store->backend->close(store);
}

int store_begin(struct store *store, struct error *err)
{
    assert(!store->is_open);
    if (store->never_waits && store->backend->begin_soon)
        return store_begin_soon(store, err);
    int rc = store->backend->begin(store, err);
    store->is_open = !rc;
    store->broken = 0;
    return rc;
}

int store_begin_soon(struct store *store, struct error *err)
{
    if (!store->backend->begin_soon)
        return store_begin(store, err);
    assert(!store->is_open);
    int rc = store->backend->begin_soon(store, err);
    store->is_open = !rc;
    store->broken = 0;
    return rc;
}

void store_never_wait(struct store *store)
{
    store->never_waits = true;
}

uint64_t store_commits(const struct store *store)
{
    return store->commits;
}

int store_sync(struct store *store, struct error *err)
{
    return store->backend->sync ? store->backend->sync(store, err) : 0;
}

bool store_is_crowded(const struct store *store)
{
    return store->backend->is_crowded && store->backend->is_crowded(store);
}

int store_commit(struct store *store, struct error *err)
{
    assert(store->is_open);
    int rc = store->broken;
    if (rc && err)
        *err = store->broken_error;
    if (!rc)
        rc = store->backend->commit(store, err);
    if (rc)
        store->backend->rollback(store);
    else
        store->commits++;
    store->is_open = false;
    return rc;
}

void store_rollback(struct store *store)
{
    assert(store->is_open);
    store->backend->rollback(store);
    store->is_open = false;
}

int store_end(struct store *store, int rc, struct error *err)
{
    if (!rc)
        return store_commit(store, err);
    store_rollback(store);
    return rc;
}

bool store_in_transaction(const struct store *store)
{
    return store->is_open;
}

/* Failures of the machine leave a transaction in an unknown state; refusals (a taken key, a stale version) do not. */
static bool is_breaking(int rc)
{
    return rc == -E_FULL || rc == -E_IO || rc == -E_CORRUPT || rc == -E_PERMISSION || rc == -E_AGAIN;
}

/* One change: the caller's transaction goes on, or a transaction of its own is begun and ended around it. */
struct change {
    bool is_own;
    struct error *err;
    struct error spare; /* a broken transaction must keep its reason even when nobody asked for it */
};

static int change_begin(struct store *store, struct change *change, struct error *err)
{
    *change = (struct change){.is_own = !store->is_open, .err = err};
    if (!err)
        change->err = &change->spare;
    if (change->is_own)
        return store_begin(store, change->err);
    if (store->broken)
        *change->err = store->broken_error;
    return store->broken;
}

static int change_end(struct store *store, struct change *change, int rc)
{
    if (change->is_own && !rc)
        return store_commit(store, change->err);
    if (change->is_own) {
        store_rollback(store);
    } else if (is_breaking(rc)) {
        store->broken = rc;
        store->broken_error = *change->err;
    }
    return rc;
}

int store_put(struct store *store, struct store_object *object, struct error *err)
{
    assert(object->kind && object->kind[0] && object->id <= INT64_MAX && object->aid <= INT64_MAX);
    assert(object->body || !object->body_size);
    struct change change;
    int rc = change_begin(store, &change, err);
    if (rc)
        return rc;
    struct store_object copy = *object;
    rc = change_end(store, &change, store->backend->put(store, &copy, change.err));
    if (!rc)
        *object = copy;
    return rc;
}

int store_get(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
              struct store_object *ret_object, struct error *err)
{
    if (id > INT64_MAX)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    return store->backend->get(store, kind, id, version, arena, ret_object, err);
}

int store_find(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
               struct store_object *ret_object, struct error *err)
{
    if (aid > INT64_MAX)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    return store->backend->find(store, kind, aid, key, arena, ret_object, err);
}

static int remove_object(struct store *store, const char *kind, uint64_t id, bool is_purge, struct error *err)
{
    if (id > INT64_MAX)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    struct change change;
    int rc = change_begin(store, &change, err);
    if (rc)
        return rc;
    return change_end(store, &change, store->backend->remove(store, kind, id, is_purge, change.err));
}

int store_delete(struct store *store, const char *kind, uint64_t id, struct error *err)
{
    return remove_object(store, kind, id, false, err);
}

int store_purge(struct store *store, const char *kind, uint64_t id, struct error *err)
{
    return remove_object(store, kind, id, true, err);
}

int store_list(struct store *store, const char *kind, uint64_t aid, const char *lookup, uint64_t after_id, size_t max,
               store_object_fn *fn, void *user, struct error *err)
{
    if (aid > INT64_MAX || after_id > INT64_MAX)
        return 0;
    return store->backend->list(store, kind, aid, lookup, after_id, max, fn, user, err);
}

int store_list_back(struct store *store, const char *kind, uint64_t aid, uint64_t before_id, size_t max,
                    store_object_fn *fn, void *user, struct error *err)
{
    if (aid > INT64_MAX)
        return 0;
    return store->backend->list_back(store, kind, aid, before_id && before_id < INT64_MAX ? before_id : INT64_MAX, max,
                                     fn, user, err);
}

int store_append(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new, bool *is_new,
                 struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        assert(rounds[i].test_id <= INT64_MAX && rounds[i].agent_id <= INT64_MAX);
        assert(rounds[i].metric_count <= STORE_ROUND_METRICS);
        assert(rounds[i].body || !rounds[i].body_size);
        assert(rounds[i].detail || !rounds[i].detail_size);
    }
    struct change change;
    int rc = change_begin(store, &change, err);
    if (rc)
        return rc;
    size_t fresh = 0;
    rc = change_end(store, &change, store->backend->append(store, rounds, count, &fresh, is_new, change.err));
    if (!rc && ret_new)
        *ret_new = fresh;
    return rc;
}

int store_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                 struct error *err)
{
    if (query->test_id > INT64_MAX || query->agent_id > INT64_MAX || query->from_s >= query->until_s)
        return 0;
    return store->backend->rounds(store, query, fn, user, err);
}

int store_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                    int64_t **ret_ids, size_t *ret_count, struct error *err)
{
    if (test_id > INT64_MAX || from_s >= until_s) {
        *ret_ids = NULL;
        *ret_count = 0;
        return 0;
    }
    return store->backend->round_ids(store, test_id, from_s, until_s, arena, ret_ids, ret_count, err);
}

int store_summaries(struct store *store, const struct store_summary_query *query, const struct store_summary_fns *fns,
                    void *user, struct error *err)
{
    assert(query->from_s % 3600 == 0 && query->until_s % 3600 == 0);
    if (query->test_id > INT64_MAX || query->from_s >= query->until_s)
        return 0;
    return store->backend->summaries(store, query, fns, user, err);
}

int store_drop_test(struct store *store, uint64_t test_id, struct error *err)
{
    struct change change;
    if (!test_id || test_id > INT64_MAX)
        return 0;
    int rc = change_begin(store, &change, err);
    if (rc)
        return rc;
    return change_end(store, &change, store->backend->drop_test(store, test_id, change.err));
}

int store_upkeep(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                 struct store_upkeep *ret_upkeep, struct error *err)
{
    assert(!store->is_open);
    *ret_upkeep = (struct store_upkeep){.is_idle = true};
    return store->backend->upkeep(store, policy, now_s, slice_ns, ret_upkeep, err);
}

int store_stats(struct store *store, struct store_stats *ret_stats, struct error *err)
{
    return store->backend->stats(store, ret_stats, err);
}

int store_copy_object(const struct store_object *object, struct arena *arena, struct store_object *ret_object,
                      struct error *err)
{
    struct store_object copy = *object;
    char *body = arena_alloc(arena, object->body_size + 1);
    copy.kind = arena_strdup(arena, object->kind);
    copy.key = object->key ? arena_strdup(arena, object->key) : NULL;
    copy.lookup = object->lookup ? arena_strdup(arena, object->lookup) : NULL;
    if (!body || !copy.kind || (object->key && !copy.key) || (object->lookup && !copy.lookup))
        return error_set(err, E_LIMIT, object->kind, "the object does not fit the memory of this request");
    if (object->body_size)
        memcpy(body, object->body, object->body_size);
    copy.body = body;
    *ret_object = copy;
    return 0;
}

struct store_span store_query_span(const struct store_query *query)
{
    struct store_span span = {
        .low_round = query->from_s, .low_agent = -1, .high_round = query->until_s, .high_agent = -1};
    if (query->after_round < 0)
        return span;
    int64_t after_agent = query->after_agent > INT64_MAX ? INT64_MAX : (int64_t)query->after_agent;
    if (query->is_descending && query->after_round < span.high_round) {
        span.high_round = query->after_round;
        span.high_agent = after_agent;
    } else if (!query->is_descending && query->after_round >= span.low_round) {
        span.low_round = query->after_round;
        span.low_agent = after_agent;
    }
    return span;
}
