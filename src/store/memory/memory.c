/*
 * The backend that keeps everything in memory: for checks, demonstrations and benches of what stands above the store.
 *
 * Objects are kept per kind in id order with all their versions, rounds per test in order of (round, agent). A
 * transaction is a list of what was done, newest last; rolling back undoes it from the end.
 */
#include <assert.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/backend.h"
#include "store/summary.h"

struct version {
    struct store_object object; /* strings and body are its own */
    struct version *older;
};

struct thing {              /* one id of a kind */
    struct version *newest; /* NULL when its creation was undone or it was purged */
    bool is_deleted;
};

struct kind {
    char *name;
    struct thing *things; /* things[id - 1] */
    size_t count, room;
};

struct kept {                 /* a round */
    struct store_round round; /* metrics, body and detail are its own */
};

struct series { /* the rounds of one test */
    uint64_t test_id;
    struct kept **items;
    size_t count, room;
};

enum undo_what {
    UNDO_PUT,    /* pop the newest version */
    UNDO_DELETE, /* the object lives again */
    UNDO_PURGE,  /* the versions come back */
    UNDO_APPEND, /* the round goes */
    UNDO_DROP,   /* the round comes back */
    UNDO_DROPPED /* the test lives again */
};

struct undo {
    enum undo_what what;
    size_t kind;
    uint64_t id;
    struct version *versions;
    struct kept *kept;
};

struct memory_store {
    struct store store;
    struct kind *kinds;
    size_t kind_count;
    struct map tests;   /* test id -> struct series */
    struct map dropped; /* test id -> anything */
    struct undo *undo;
    size_t undo_count, undo_room;
    uint64_t objects, rounds;
};

static struct memory_store *memory_of(struct store *store)
{
    return (struct memory_store *)store;
}

/* Room for one more item at the end of an array that doubles. */
static void *grown(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    size_t more = *room ? *room * 2 : 8;
    items = mem_resize(items, *room * size, more * size);
    *room = more;
    return items;
}

static void remember(struct memory_store *m, struct undo undo)
{
    m->undo = grown(m->undo, m->undo_count, &m->undo_room, sizeof *m->undo);
    m->undo[m->undo_count++] = undo;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static struct version *version_new(const struct store_object *object)
{
    struct version *v = mem_alloc(sizeof *v);
    v->object = *object;
    v->object.kind = mem_strdup(object->kind);
    v->object.key = object->key ? mem_strdup(object->key) : NULL;
    v->object.lookup = object->lookup ? mem_strdup(object->lookup) : NULL;
    char *body = mem_alloc(object->body_size + 1);
    if (object->body_size)
        memcpy(body, object->body, object->body_size);
    v->object.body = body;
    return v;
}

static void version_free(struct version *v)
{
    mem_free((void *)(uintptr_t)v->object.kind);
    mem_free((void *)(uintptr_t)v->object.key);
    mem_free((void *)(uintptr_t)v->object.lookup);
    mem_free((void *)(uintptr_t)v->object.body);
    mem_free(v);
}

static void versions_free(struct version *v)
{
    while (v) {
        struct version *older = v->older;
        version_free(v);
        v = older;
    }
}

static struct kind *find_kind(struct memory_store *m, const char *name)
{
    for (size_t i = 0; i < m->kind_count; i++) {
        if (str_equal(m->kinds[i].name, name))
            return &m->kinds[i];
    }
    return NULL;
}

static struct thing *find_thing(struct memory_store *m, const char *name, uint64_t id)
{
    struct kind *kind = find_kind(m, name);
    return kind && id && id <= kind->count ? &kind->things[id - 1] : NULL;
}

static bool is_living(const struct thing *thing)
{
    return thing && thing->newest && !thing->is_deleted;
}

static const struct store_object *find_key(struct memory_store *m, const char *name, uint64_t aid, const char *key)
{
    struct kind *kind = find_kind(m, name);
    for (size_t i = 0; kind && i < kind->count; i++) {
        if (!is_living(&kind->things[i]))
            continue;
        const struct store_object *object = &kind->things[i].newest->object;
        if (object->aid == aid && object->key && str_equal(object->key, key))
            return object;
    }
    return NULL;
}

static struct kind *kind_new(struct memory_store *m, const char *name)
{
    m->kinds = mem_resize(m->kinds, m->kind_count * sizeof *m->kinds, (m->kind_count + 1) * sizeof *m->kinds);
    m->kinds[m->kind_count].name = mem_strdup(name);
    return &m->kinds[m->kind_count++];
}

static int memory_put(struct store *store, struct store_object *object, struct error *err)
{
    struct memory_store *m = memory_of(store);
    struct thing *thing = find_thing(m, object->kind, object->id);
    if (object->id && !is_living(thing))
        return error_set(err, E_NOT_FOUND, object->kind, "there is no such %s", object->kind);
    if (object->id && thing->newest->object.version != object->version)
        return error_set(err, E_CONFLICT, object->kind, "the %s was changed meanwhile", object->kind);
    const struct store_object *taken = object->key ? find_key(m, object->kind, object->aid, object->key) : NULL;
    if (taken && taken->id != object->id)
        return error_set(err, E_EXISTS, object->kind, "\"%s\" exists already", object->key);
    struct kind *kind = find_kind(m, object->kind);
    if (!kind)
        kind = kind_new(m, object->kind);
    if (!object->id) {
        kind->things = grown(kind->things, kind->count, &kind->room, sizeof *kind->things);
        thing = &kind->things[kind->count++];
        object->id = kind->count;
        object->version = 0;
        m->objects++;
    }
    object->version++;
    struct version *v = version_new(object);
    v->older = thing->newest;
    thing->newest = v;
    remember(m, (struct undo){.what = UNDO_PUT, .kind = (size_t)(kind - m->kinds), .id = object->id});
    return 0;
}

static int memory_get(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
                      struct store_object *ret_object, struct error *err)
{
    struct thing *thing = find_thing(memory_of(store), kind, id);
    struct version *v = thing && (version || !thing->is_deleted) ? thing->newest : NULL;
    while (v && version && v->object.version != version)
        v = v->older;
    if (!v)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    return store_copy_object(&v->object, arena, ret_object, err);
}

static int memory_find(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
                       struct store_object *ret_object, struct error *err)
{
    const struct store_object *object = find_key(memory_of(store), kind, aid, key);
    if (!object)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    return store_copy_object(object, arena, ret_object, err);
}

static int memory_remove(struct store *store, const char *kind, uint64_t id, bool is_purge, struct error *err)
{
    struct memory_store *m = memory_of(store);
    struct thing *thing = find_thing(m, kind, id);
    if (!is_living(thing))
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    struct undo undo = {.what = UNDO_DELETE, .kind = (size_t)(find_kind(m, kind) - m->kinds), .id = id};
    if (is_purge) {
        undo.what = UNDO_PURGE;
        undo.versions = thing->newest;
        thing->newest = NULL;
    } else {
        thing->is_deleted = true;
    }
    m->objects--;
    remember(m, undo);
    return 0;
}

static int memory_list(struct store *store, const char *name, uint64_t aid, const char *lookup, uint64_t after_id,
                       size_t max, store_object_fn *fn, void *user, struct error *err)
{
    (void)err;
    struct kind *kind = find_kind(memory_of(store), name);
    size_t told = 0;
    for (size_t i = (size_t)after_id; kind && i < kind->count && (!max || told < max); i++) {
        if (!is_living(&kind->things[i]))
            continue;
        const struct store_object *object = &kind->things[i].newest->object;
        if ((aid && object->aid != aid) || (lookup && (!object->lookup || !str_equal(object->lookup, lookup))))
            continue;
        told++;
        if (!fn(user, object))
            break;
    }
    return 0;
}

static int memory_list_back(struct store *store, const char *name, uint64_t aid, uint64_t before_id, size_t max,
                            store_object_fn *fn, void *user, struct error *err)
{
    (void)err;
    struct kind *kind = find_kind(memory_of(store), name);
    size_t told = 0;
    for (size_t i = kind ? kind->count : 0; i > 0 && (!max || told < max); i--) {
        const struct thing *thing = &kind->things[i - 1];
        if (i >= before_id || !is_living(thing) || (aid && thing->newest->object.aid != aid))
            continue;
        told++;
        if (!fn(user, &thing->newest->object))
            break;
    }
    return 0;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static struct kept *kept_new(const struct store_round *round)
{
    struct kept *kept = mem_alloc(sizeof *kept);
    struct store_metric *metrics = mem_alloc_array(round->metric_count + 1, sizeof *metrics);
    char *body = mem_alloc(round->body_size + 1);
    if (round->metric_count)
        memcpy(metrics, round->metrics, round->metric_count * sizeof *metrics);
    if (round->body_size)
        memcpy(body, round->body, round->body_size);
    char *detail = mem_alloc(round->detail_size + 1);
    if (round->detail_size)
        memcpy(detail, round->detail, round->detail_size);
    kept->round = *round;
    kept->round.detail = detail;
    kept->round.metrics = metrics;
    kept->round.body = body;
    return kept;
}

static void kept_free(struct kept *kept)
{
    mem_free((void *)(uintptr_t)kept->round.metrics);
    mem_free((void *)(uintptr_t)kept->round.body);
    mem_free((void *)(uintptr_t)kept->round.detail);
    mem_free(kept);
}

static int compare(const struct store_round *a, int64_t round_id, int64_t agent_id)
{
    if (a->round_id != round_id)
        return a->round_id < round_id ? -1 : 1;
    return (int64_t)a->agent_id < agent_id ? -1 : (int64_t)a->agent_id > agent_id;
}

/* The number of rounds before (round, agent). */
static size_t position_of(const struct series *series, int64_t round_id, int64_t agent_id)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&series->items[middle]->round, round_id, agent_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct series *series_of(struct memory_store *m, uint64_t test_id)
{
    struct series *series = map_get(&m->tests, test_id);
    if (!series) {
        series = mem_alloc(sizeof *series);
        series->test_id = test_id;
        map_put(&m->tests, test_id, series);
    }
    return series;
}

/* False when the round is there already. */
static bool insert(struct memory_store *m, struct kept *kept)
{
    struct series *series = series_of(m, kept->round.test_id);
    size_t at = position_of(series, kept->round.round_id, (int64_t)kept->round.agent_id);
    if (at < series->count && !compare(&series->items[at]->round, kept->round.round_id, (int64_t)kept->round.agent_id))
        return false;
    series->items = grown(series->items, series->count, &series->room, sizeof *series->items);
    memmove(series->items + at + 1, series->items + at, (series->count - at) * sizeof *series->items);
    series->items[at] = kept;
    series->count++;
    m->rounds++;
    return true;
}

static void take_out(struct memory_store *m, const struct kept *kept)
{
    struct series *series = series_of(m, kept->round.test_id);
    size_t at = position_of(series, kept->round.round_id, (int64_t)kept->round.agent_id);
    assert(at < series->count && series->items[at] == kept);
    series->count--;
    memmove(series->items + at, series->items + at + 1, (series->count - at) * sizeof *series->items);
    m->rounds--;
}

static int memory_append(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new,
                         bool *is_new, struct error *err)
{
    (void)err;
    struct memory_store *m = memory_of(store);
    *ret_new = 0;
    for (size_t i = 0; i < count; i++) {
        struct kept *kept = kept_new(&rounds[i]);
        bool is_fresh = !map_get(&m->dropped, rounds[i].test_id) && insert(m, kept);
        if (is_fresh)
            remember(m, (struct undo){.what = UNDO_APPEND, .kept = kept});
        else
            kept_free(kept);
        *ret_new += is_fresh;
        if (is_new)
            is_new[i] = is_fresh;
    }
    return 0;
}

static int memory_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                         struct error *err)
{
    (void)err;
    struct series *series = map_get(&memory_of(store)->tests, query->test_id);
    if (!series)
        return 0;
    struct store_span span = store_query_span(query);
    size_t low = position_of(series, span.low_round, span.low_agent), told = 0;
    size_t high = position_of(series, span.high_round, span.high_agent);
    if (low < series->count && !compare(&series->items[low]->round, span.low_round, span.low_agent))
        low++; /* the cursor itself is not part of the answer */
    for (size_t i = low; i < high && (!query->max || told < query->max); i++) {
        struct store_round round = series->items[query->is_descending ? high - 1 - (i - low) : i]->round;
        if (query->agent_id && round.agent_id != query->agent_id)
            continue;
        if (!(query->want & STORE_WANT_METRICS)) {
            round.metrics = NULL;
            round.metric_count = 0;
        }
        if (!(query->want & STORE_WANT_BODY)) {
            round.body = NULL;
            round.body_size = 0;
        }
        if (!(query->want & STORE_WANT_DETAIL)) {
            round.detail = NULL;
            round.detail_size = 0;
        }
        told++;
        if (!fn(user, &round))
            break;
    }
    return 0;
}

static int memory_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                            int64_t **ret_ids, size_t *ret_count, struct error *err)
{
    struct series *series = map_get(&memory_of(store)->tests, test_id);
    size_t low = series ? position_of(series, from_s, -1) : 0, high = series ? position_of(series, until_s, -1) : 0;
    int64_t *ids = arena_alloc_array(arena, high - low + 1, sizeof *ids);
    if (!ids)
        return error_set(err, E_LIMIT, "rounds", "too many rounds for one answer; ask for a shorter time");
    size_t count = 0;
    for (size_t i = low; i < high; i++) {
        if (!count || ids[count - 1] != series->items[i]->round.round_id)
            ids[count++] = series->items[i]->round.round_id;
    }
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}

/* One hour of one test: all agents as one when none is asked for. */
static int tell_hour(const struct series *series, const struct store_summary_query *query,
                     const struct store_summary_fns *fns, void *user, int64_t hour_s, size_t first, size_t end,
                     bool *ret_more, struct error *err)
{
    struct arena arena;
    struct summary_set set, total;
    arena_init(&arena, 64u << 20);
    summary_init(&set, &arena, hour_s);
    summary_init(&total, &arena, hour_s);
    for (size_t i = first; i < end; i++)
        summary_add(&set, &series->items[i]->round);
    struct summary_agent *sum = summary_agent_of(&total, 0);
    for (size_t i = 0; sum && i < set.count; i++)
        summary_merge(&total, sum, set.agents[i]);
    bool is_full = set.is_full || total.is_full;
    struct store_summary_fns only_summary = {.summary = fns->summary}, only_paths = {.paths = fns->paths};
    if (!is_full)
        *ret_more = summary_tell(query->agent_count ? &set : &total, query, 3600, &only_summary, user) &&
                    summary_tell(&set, query, 3600, &only_paths, user);
    arena_done(&arena);
    return is_full ? error_set(err, E_LIMIT, "summaries", "an hour does not fit the memory of this request") : 0;
}

static int memory_summaries(struct store *store, const struct store_summary_query *query,
                            const struct store_summary_fns *fns, void *user, struct error *err)
{
    const struct series *series = map_get(&memory_of(store)->tests, query->test_id);
    size_t at = series ? position_of(series, query->from_s, -1) : 0, end = series ? position_of(series, query->until_s, -1) : 0;
    bool is_more = true;
    int rc = 0;
    while (!rc && is_more && at < end) {
        int64_t hour_s = series->items[at]->round.round_id;
        hour_s -= (hour_s % 3600 + 3600) % 3600;
        size_t next = position_of(series, hour_s + 3600, -1);
        rc = tell_hour(series, query, fns, user, hour_s, at, next, &is_more, err);
        at = next;
    }
    return rc;
}

static size_t drop_series(struct memory_store *m, struct series *series, int64_t before_s)
{
    size_t count = position_of(series, before_s, -1);
    for (size_t i = 0; i < count; i++)
        remember(m, (struct undo){.what = UNDO_DROP, .kept = series->items[i]});
    series->count -= count;
    memmove(series->items, series->items + count, series->count * sizeof *series->items);
    m->rounds -= count;
    return count;
}

static int memory_drop_test(struct store *store, uint64_t test_id, struct error *err)
{
    (void)err;
    struct memory_store *m = memory_of(store);
    struct series *series = map_get(&m->tests, test_id);
    if (map_get(&m->dropped, test_id))
        return 0;
    map_put(&m->dropped, test_id, m);
    remember(m, (struct undo){.what = UNDO_DROPPED, .id = test_id});
    if (series)
        (void)drop_series(m, series, INT64_MAX);
    return 0;
}

static void drop_details(struct series *series, int64_t before_s)
{
    size_t count = position_of(series, before_s, -1);
    for (size_t i = 0; i < count; i++)
        series->items[i]->round.detail_size = 0;
}

static int memory_commit(struct store *store, struct error *err);

static int memory_upkeep(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                         struct store_upkeep *ret_upkeep, struct error *err)
{
    (void)slice_ns;
    struct memory_store *m = memory_of(store);
    struct series *series;
    for (size_t at = 0; (series = map_next(&m->tests, &at));) {
        if (policy->results_s)
            ret_upkeep->dropped += drop_series(m, series, now_s - policy->results_s);
        if (policy->details_s)
            drop_details(series, now_s - policy->details_s);
    }
    return memory_commit(store, err);
}

static int memory_stats(struct store *store, struct store_stats *ret_stats, struct error *err)
{
    (void)err;
    const struct memory_store *m = memory_of(store);
    *ret_stats = (struct store_stats){.objects = m->objects, .rounds = m->rounds};
    return 0;
}

/* --- transactions, opening ---------------------------------------------------------------------------------------- */

static int memory_begin(struct store *store, struct error *err)
{
    (void)err;
    assert(memory_of(store)->undo_count == 0);
    return 0;
}

static int memory_commit(struct store *store, struct error *err)
{
    (void)err;
    struct memory_store *m = memory_of(store);
    for (size_t i = 0; i < m->undo_count; i++) {
        if (m->undo[i].what == UNDO_PURGE)
            versions_free(m->undo[i].versions);
        else if (m->undo[i].what == UNDO_DROP)
            kept_free(m->undo[i].kept);
    }
    m->undo_count = 0;
    return 0;
}

static void undo_one(struct memory_store *m, const struct undo *undo)
{
    bool is_object = undo->what <= UNDO_PURGE;
    struct thing *thing = is_object ? &m->kinds[undo->kind].things[undo->id - 1] : NULL;
    switch (undo->what) {
    case UNDO_PUT: {
        struct version *v = thing->newest;
        thing->newest = v->older;
        m->objects -= !thing->newest;
        version_free(v);
        break;
    }
    case UNDO_DELETE:
        thing->is_deleted = false;
        m->objects++;
        break;
    case UNDO_PURGE:
        thing->newest = undo->versions;
        m->objects++;
        break;
    case UNDO_APPEND:
        take_out(m, undo->kept);
        kept_free(undo->kept);
        break;
    case UNDO_DROP:
        (void)insert(m, undo->kept);
        break;
    case UNDO_DROPPED:
        (void)map_remove(&m->dropped, undo->id);
        break;
    }
}

static void memory_rollback(struct store *store)
{
    struct memory_store *m = memory_of(store);
    while (m->undo_count)
        undo_one(m, &m->undo[--m->undo_count]);
}

static int memory_open(const char *rest, struct store **ret_store, struct error *err)
{
    if (rest[0])
        return error_set(err, E_INVALID, "memory:", "nothing may follow the colon");
    struct memory_store *m = mem_alloc(sizeof *m);
    *ret_store = &m->store;
    return 0;
}

static void memory_close(struct store *store)
{
    struct memory_store *m = memory_of(store);
    for (size_t i = 0; i < m->kind_count; i++) {
        for (size_t j = 0; j < m->kinds[i].count; j++)
            versions_free(m->kinds[i].things[j].newest);
        mem_free(m->kinds[i].things);
        mem_free(m->kinds[i].name);
    }
    mem_free(m->kinds);
    size_t at = 0;
    struct series *series;
    while ((series = map_next(&m->tests, &at))) {
        for (size_t i = 0; i < series->count; i++)
            kept_free(series->items[i]);
        mem_free(series->items);
        mem_free(series);
    }
    map_done(&m->tests);
    map_done(&m->dropped);
    mem_free(m->undo);
    mem_free(m);
}

const struct store_backend store_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .begin = memory_begin,
    .commit = memory_commit,
    .rollback = memory_rollback,
    .put = memory_put,
    .get = memory_get,
    .find = memory_find,
    .remove = memory_remove,
    .list = memory_list,
    .list_back = memory_list_back,
    .append = memory_append,
    .rounds = memory_rounds,
    .round_ids = memory_round_ids,
    .summaries = memory_summaries,
    .drop_test = memory_drop_test,
    .upkeep = memory_upkeep,
    .stats = memory_stats,
};
