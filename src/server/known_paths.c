#include "server/known_paths.h"

#include <assert.h>
#include <string.h>

#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

/* One (test, agent); traces and places follow in the same piece of memory. */
struct entry {
    uint64_t test_id, agent_id;
    int64_t newest;       /* round id */
    uint64_t fingerprint; /* of the rounds that agree with one another up to now */
    struct entry *next;   /* while staged */
    struct results_paths paths;
};

struct known_paths {
    struct store *store;
    struct map tests; /* struct map * of entries by agent */
    size_t count, max;
    struct entry *staged; /* of the batch that is not yet stored; at most one for each (test, agent) */
    size_t staged_new;    /* those of them that are not in the map */
};

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct known_paths *known_paths_new(struct store *store, size_t max)
{
    struct known_paths *known = mem_alloc(sizeof *known);
    *known = (struct known_paths){.store = store, .max = max};
    return known;
}

static void agents_free(struct known_paths *known, struct map *agents)
{
    size_t position = 0;
    struct entry *entry;
    if (!agents)
        return;
    while ((entry = map_next(agents, &position)))
        mem_free(entry);
    known->count -= agents->count;
    map_done(agents);
    mem_free(agents);
}

void known_paths_free(struct known_paths *known)
{
    if (!known)
        return;
    known_paths_drop(known);
    size_t position = 0;
    struct map *agents;
    while ((agents = map_next(&known->tests, &position)))
        agents_free(known, agents);
    assert(known->count == 0);
    map_done(&known->tests);
    mem_free(known);
}

void known_paths_forget_test(struct known_paths *known, uint64_t test_id)
{
    assert(!known->staged);
    agents_free(known, map_remove(&known->tests, test_id));
}

size_t known_paths_count(const struct known_paths *known)
{
    return known->count;
}

static struct entry *entry_of(const struct known_paths *known, uint64_t test_id, uint64_t agent_id)
{
    const struct map *agents = map_get(&known->tests, test_id);
    return agents ? map_get(agents, agent_id) : NULL;
}

/* The link to the staged entry, or to the NULL where one would go. */
static struct entry **staged_of(struct known_paths *known, uint64_t test_id, uint64_t agent_id)
{
    struct entry **link = &known->staged;
    while (*link && ((*link)->test_id != test_id || (*link)->agent_id != agent_id))
        link = &(*link)->next;
    return link;
}

static struct entry *entry_new(const struct store_round *round, uint64_t fingerprint, const struct results_paths *paths)
{
    size_t places = 0;
    for (size_t i = 0; i < paths->count; i++)
        places += paths->traces[i].count;
    size_t traces_size = paths->count * sizeof *paths->traces;
    struct entry *entry = mem_alloc(sizeof *entry + traces_size + places * sizeof(uint32_t));
    struct results_trace *traces = (void *)(entry + 1);
    uint32_t *place = (void *)(traces + paths->count);
    *entry = (struct entry){.test_id = round->test_id,
                            .agent_id = round->agent_id,
                            .newest = round->round_id,
                            .fingerprint = fingerprint,
                            .paths = {.traces = traces, .count = paths->count}};
    for (size_t i = 0; i < paths->count; i++) {
        traces[i] = paths->traces[i];
        traces[i].places = place;
        memcpy(place, paths->traces[i].places, traces[i].count * sizeof *place);
        place += traces[i].count;
    }
    return entry;
}

static void stage(struct known_paths *known, struct entry *entry)
{
    struct entry **link = staged_of(known, entry->test_id, entry->agent_id);
    struct entry *before = *link;
    if (before)
        entry->next = before->next;
    else if (!entry_of(known, entry->test_id, entry->agent_id))
        known->staged_new++;
    *link = entry;
    mem_free(before);
}

void known_paths_keep(struct known_paths *known)
{
    struct entry *entry;
    while ((entry = known->staged)) {
        known->staged = entry->next;
        struct map *agents = map_get(&known->tests, entry->test_id);
        if (!agents) {
            agents = mem_alloc(sizeof *agents);
            map_put(&known->tests, entry->test_id, agents);
        }
        struct entry *before = map_get(agents, entry->agent_id);
        known->count += !before;
        map_put(agents, entry->agent_id, entry);
        mem_free(before);
    }
    known->staged_new = 0;
}

void known_paths_drop(struct known_paths *known)
{
    struct entry *entry;
    while ((entry = known->staged)) {
        known->staged = entry->next;
        mem_free(entry);
    }
    known->staged_new = 0;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static const struct results_trace *trace_of(const struct results_paths *paths, uint16_t flow)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (paths->traces[i].flow == flow)
            return &paths->traces[i];
    }
    return NULL;
}

/* The target may be nearer than the TTL at which it answered, when nearer probes of it were lost; it is no nearer than
 * what answered before it. */
static bool agree(const struct results_trace *known, const struct results_trace *seen)
{
    size_t both = known->count < seen->count ? known->count : seen->count;
    for (size_t i = 0; i < both; i++) {
        if (known->places[i] && seen->places[i] && known->places[i] != seen->places[i])
            return false;
    }
    size_t last = known->count > seen->count ? known->count : seen->count;
    if ((known->target && last >= known->target_ttl) || (seen->target && last >= seen->target_ttl))
        return false;
    if (known->target && seen->target && known->target != seen->target)
        return false;
    bool is_known = known->count > 0 || known->target;
    return !(seen->is_loop && !known->is_loop && is_known) && !(known->is_loop && seen->target);
}

static bool is_compatible(const struct results_paths *known, const struct results_paths *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        const struct results_trace *before = trace_of(known, seen->traces[i].flow);
        if (before && !agree(before, &seen->traces[i]))
            return false;
    }
    return true;
}

/* Adds what a compatible trace saw; room for LIMIT_HOPS places. */
static void add_trace(struct results_trace *sum, uint32_t *places, const struct results_trace *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->places[i])
            places[i] = seen->places[i];
    }
    if (seen->count > sum->count)
        sum->count = seen->count;
    if (seen->target && (!sum->target || seen->target_ttl < sum->target_ttl)) {
        sum->target = seen->target;
        sum->target_ttl = seen->target_ttl;
    }
    sum->is_loop |= seen->is_loop;
}

/* What is known and what a compatible round saw, as one; false when more flows would come together than are kept. */
static bool add_paths(const struct results_paths *known, const struct results_paths *seen,
                      struct results_trace traces[static RESULTS_TRACES],
                      uint32_t places[static RESULTS_TRACES][LIMIT_HOPS], struct results_paths *ret_sum)
{
    const struct results_paths *const parts[] = {known, seen};
    struct results_paths sum = {.traces = traces};
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < parts[p]->count; i++) {
            const struct results_trace *from = &parts[p]->traces[i];
            size_t at = 0;
            while (at < sum.count && traces[at].flow != from->flow)
                at++;
            if (at == RESULTS_TRACES)
                return false;
            if (at == sum.count) {
                memset(places[at], 0, sizeof places[at]);
                traces[sum.count++] = (struct results_trace){.flow = from->flow, .places = places[at]};
            }
            add_trace(&traces[at], places[at], from);
        }
    }
    *ret_sum = sum;
    return true;
}

static uint64_t fingerprint_of(const struct results_paths *paths)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < paths->count; i++) {
        const struct results_trace *trace = &paths->traces[i];
        const uint32_t head[] = {trace->flow, trace->target, trace->target_ttl, trace->is_loop, trace->count};
        hash = str_hash(head, sizeof head, hash);
        hash = str_hash(trace->places, trace->count * sizeof *trace->places, hash);
    }
    return hash | 1;
}

/* --- learning ----------------------------------------------------------------------------------------------------- */

struct learning {
    struct known_paths *known;
    const struct measure_type *type;
    struct arena arena;
};

/* Remembers the newest round with traces; one that does not read is as good as none. */
static bool learn_round(void *user, const struct store_round *round)
{
    struct learning *learning = user;
    struct results_round result;
    struct results_paths paths;
    if (!round->fingerprint)
        return true;
    if (!results_unpack(learning->type, round, &learning->arena, &result, NULL) &&
        !results_paths(&result, &learning->arena, &paths, NULL) && paths.count)
        stage(learning->known, entry_new(round, round->fingerprint, &paths));
    return false;
}

/* What the store knows; staged like what rounds tell, so that it is read once. */
static const struct entry *learn(struct known_paths *known, const struct measure_type *type,
                                 const struct store_round *round)
{
    struct learning learning = {.known = known, .type = type};
    int64_t from_s = round->round_id - KNOWN_PATHS_BACK_S;
    struct store_query query = {.test_id = round->test_id,
                                .agent_id = round->agent_id,
                                .from_s = from_s > 0 ? from_s : 0,
                                .until_s = INT64_MAX,
                                .after_round = -1,
                                .is_descending = true,
                                .max = KNOWN_PATHS_BACK_ROUNDS,
                                .want = STORE_WANT_BODY | STORE_WANT_DETAIL};
    arena_init(&learning.arena, LIMIT_ROUND_ARENA);
    (void)store_rounds(known->store, &query, learn_round, &learning, NULL);
    arena_done(&learning.arena);
    return *staged_of(known, round->test_id, round->agent_id);
}

void known_paths_judge(struct known_paths *known, const struct measure_type *type, const struct results_paths *paths,
                       struct store_round *round)
{
    struct results_trace traces[RESULTS_TRACES];
    uint32_t places[RESULTS_TRACES][LIMIT_HOPS];
    struct results_paths sum;
    if (!paths->count)
        return;
    const struct entry *entry = *staged_of(known, round->test_id, round->agent_id);
    if (!entry)
        entry = entry_of(known, round->test_id, round->agent_id);
    if (!entry && known->count + known->staged_new >= known->max) {
        limit_hit(LIMIT_KIND_KNOWN_PATHS);
        return;
    }
    if (!entry)
        entry = learn(known, type, round);
    bool is_same = entry && is_compatible(&entry->paths, paths);
    round->fingerprint = is_same ? entry->fingerprint : fingerprint_of(paths);
    if (entry && round->round_id <= entry->newest)
        return;
    if (!is_same || !add_paths(&entry->paths, paths, traces, places, &sum))
        sum = *paths;
    stage(known, entry_new(round, round->fingerprint, &sum));
}
