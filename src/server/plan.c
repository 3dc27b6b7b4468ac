#include "server/plan_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"
#include "measure/type.h"

#define SETTLE_AGENTS 256u      /* told of a change at once */

/* --- lists of entries --------------------------------------------------------------------------------------------- */

static void entries_add(struct entries *entries, struct entry *entry)
{
    if (entries->count == entries->room) {
        size_t room = entries->room ? entries->room * 2 : 4;
        entries->items = mem_resize(entries->items, entries->room * sizeof(void *), room * sizeof(void *));
        entries->room = room;
    }
    entries->items[entries->count++] = entry;
}

static void entries_remove(struct entries *entries, const struct entry *entry)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i] == entry) {
            entries->count--;
            memmove(entries->items + i, entries->items + i + 1, (entries->count - i) * sizeof(void *));
            return;
        }
    }
}

static struct entry *entry_new(uint64_t id)
{
    struct entry *entry = mem_alloc(sizeof *entry);
    entry->id = id;
    arena_init(&entry->arena, PLAN_OBJECT_BYTES);
    return entry;
}

static void entry_free(struct entry *entry)
{
    if (entry)
        arena_done(&entry->arena);
    mem_free(entry);
}

static int compare_assigned(const void *a, const void *b)
{
    const struct object_test_agent *x = a, *y = b;
    return x->agent_id < y->agent_id ? -1 : x->agent_id > y->agent_id;
}

/* Thousands of agents may share a test, and each is looked up in it. */
static void sort_assigned(struct object_test *test)
{
    if (test->agents.count)
        qsort(test->agents.items, test->agents.count, sizeof(struct object_test_agent), compare_assigned);
}

/* The test is an entry's: its agents are sorted. */
static const struct object_test_agent *find_assigned(const struct object_test *test, uint64_t agent_id)
{
    const struct object_test_agent key = {.agent_id = agent_id};
    return test->agents.count
               ? bsearch(&key, test->agents.items, test->agents.count, sizeof key, compare_assigned)
               : NULL;
}

/* Is the agent one of those the run still waits for? */
static bool run_awaits(const struct object_run *run, uint64_t agent_id)
{
    const uint64_t *agents = run->agents.items;
    for (size_t i = 0; i < run->agents.count; i++) {
        if (agents[i] == agent_id)
            return true;
    }
    return false;
}

/* The type's own wish to start at a random moment, where it has one. */
static bool reads_random_start(const struct object_test *test, struct arena *arena)
{
    const struct measure_type *type;
    void *settings;
    if (object_test_settings(test, arena, &type, &settings, NULL))
        return false;
    const struct field *field = field_find(type->settings, "randomizedStartTime");
    return field && field->kind == FIELD_KIND_BOOL && *(const bool *)((const char *)settings + field->offset);
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

void plan_touch(struct plan *plan, struct plan_agent *agent)
{
    map_put(&plan->touched, agent->id, agent);
}

/* A sum, so that the order of tests does not matter. Settings, interval and agents are the version's. */
static uint64_t content_hash(const struct plan *plan, const struct plan_agent *agent)
{
    const struct plan_agent *lead = plan_settings_of(plan, agent);
    uint64_t basics[] = {lead->is_enabled, (uint64_t)(int64_t)lead->ipv6_policy};
    uint64_t sum = str_hash(basics, sizeof basics, 1);
    if (lead->resolve_prefixes && *lead->resolve_prefixes)
        sum += str_hash(lead->resolve_prefixes, strlen(lead->resolve_prefixes), 4);
    uint64_t more[] = {lead->is_unverified, lead->keeps_browser_cache, lead->proxy_id, (uint64_t)lead->proxy_version};
    if (lead->is_unverified || lead->keeps_browser_cache || lead->proxy_id)
        sum += str_hash(more, sizeof more, 5);
    if (!lead->is_enabled)
        return sum;
    for (size_t i = 0; i < agent->tests.count; i++) {
        uint64_t what[] = {agent->tests.items[i]->id, (uint64_t)agent->tests.items[i]->test.head.version};
        sum += str_hash(what, sizeof what, 2);
    }
    for (size_t i = 0; i < agent->runs.count; i++)
        sum += str_hash(&agent->runs.items[i]->id, sizeof(uint64_t), 3);
    return sum;
}

/* Puts the next version of an agent's plan; the stamp counts once it is committed. */
static int store_stamp(struct plan *plan, struct plan_agent *agent, uint64_t hash, struct error *err)
{
    char key[24];
    (void)snprintf(key, sizeof key, "%" PRIu64, agent->id);
    struct store_object object = {.kind = "plan",
                                  .id = agent->stamp.object_id,
                                  .key = key,
                                  .version = agent->stamp.version,
                                  .modified_s = clock_wall_ns(plan->clock) / CLOCK_S,
                                  .body = &hash,
                                  .body_size = sizeof hash};
    int rc = store_put(plan->store, &object, err);
    agent->next_stamp = (struct stamp){.object_id = object.id, .version = object.version, .hash = hash};
    return rc;
}

/* Takes agents out of those that were touched until so many have content that differs; returns how many. */
static size_t take_changed(struct plan *plan, struct plan_agent **ret_changed, size_t most)
{
    struct plan_agent *looked_at[SETTLE_AGENTS];
    size_t looked = 0, count = 0;
    struct plan_agent *agent;
    for (size_t at = 0; looked < most && (agent = map_next(&plan->touched, &at));) {
        looked_at[looked++] = agent;
        if (!agent->stamp.object_id || content_hash(plan, agent) != agent->stamp.hash)
            ret_changed[count++] = agent;
    }
    for (size_t i = 0; i < looked; i++)
        (void)map_remove(&plan->touched, looked_at[i]->id);
    return count;
}

void plan_wake_all(struct plan_agent *agent)
{
    while (agent->waiters) {
        struct plan_waiter *waiter = agent->waiters;
        plan_unwait(waiter);
        waiter->wake(waiter);
    }
}

static int commit_stamps(struct plan *plan, struct plan_agent **agents, size_t count, struct error *err)
{
    int rc = store_begin(plan->store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < count; i++)
        rc = store_stamp(plan, agents[i], content_hash(plan, agents[i]), err);
    if (!rc)
        rc = plan_store_deals(plan, err);
    return store_end(plan->store, rc, err);
}

/* Gives touched agents whose content differs a new version, in one transaction, then wakes who waits: all of them, or
 * where somebody comes back for the others a few hundred. When that fails they stay touched, so that the next change
 * tries again. */
static int settle(struct plan *plan, struct error *err)
{
    struct plan_agent *changed[SETTLE_AGENTS];
    do {
        size_t count = take_changed(plan, changed, SETTLE_AGENTS);
        int rc = count || plan_is_any_deal_new(plan) ? commit_stamps(plan, changed, count, err) : 0;
        for (size_t i = 0; i < count; i++) {
            if (rc)
                plan_touch(plan, changed[i]);
            else
                changed[i]->stamp = changed[i]->next_stamp;
        }
        if (rc)
            return rc;
        for (size_t i = 0; i < count; i++)
            plan_wake_all(changed[i]);
    } while (plan->touched.count && !plan->more);
    if (plan->touched.count)
        plan->more(plan->user);
    return 0;
}

int plan_settle(struct plan *plan, struct error *err)
{
    return settle(plan, err);
}

void plan_on_more(struct plan *plan, void (*more)(void *user), void *user)
{
    plan->more = more;
    plan->user = user;
}

/* --- tests and runs ----------------------------------------------------------------------------------------------- */

/* Takes an entry out of every agent's list and forgets it. */
static void drop_entry(struct plan *plan, struct map *map, uint64_t id)
{
    struct entry *entry = map_remove(map, id);
    if (!entry)
        return;
    struct plan_agent *agent;
    for (size_t at = 0; (agent = map_next(&plan->agents, &at));) {
        struct entries *entries = map == &plan->tests ? &agent->tests : &agent->runs;
        size_t before = entries->count;
        entries_remove(entries, entry);
        if (entries->count != before)
            plan_touch(plan, agent);
    }
    entry_free(entry);
}

static bool works_for(const struct plan_agent *agent, uint64_t aid)
{
    for (size_t i = 0; i < agent->aid_count; i++) {
        if (agent->aids[i] == aid)
            return true;
    }
    return false;
}

bool plan_concerns_test(const struct entry *entry, const struct plan_agent *agent)
{
    return works_for(agent, entry->test.head.aid) && find_assigned(&entry->test, agent->id);
}

bool plan_concerns_run(const struct entry *entry, const struct plan_agent *agent)
{
    return works_for(agent, entry->run.head.aid) && run_awaits(&entry->run, agent->id);
}

void plan_hand_out(struct plan *plan, struct plan_agent *agent, struct entry *entry, bool is_run)
{
    if (!(is_run ? plan_concerns_run(entry, agent) : plan_concerns_test(entry, agent)))
        return;
    struct plan_agent *machine = plan_machine(plan, agent, entry, is_run);
    if (!machine)
        return;
    struct entries *entries = is_run ? &machine->runs : &machine->tests;
    if (entries->count >= LIMIT_PLAN_TESTS)
        return;
    entries_add(entries, entry);
    plan_touch(plan, machine);
}

static int load_test(struct plan *plan, uint64_t test_id, struct error *err)
{
    struct entry *entry = entry_new(test_id);
    int rc = object_get(plan->store, &object_test_kind, test_id, 0, &entry->arena, &entry->test, err);
    bool is_planned = !rc && entry->test.enabled && !entry->test.is_instant && entry->test.interval_s > 0;
    drop_entry(plan, &plan->tests, test_id);
    if (!is_planned) {
        entry_free(entry);
        plan_forget_shares(plan, test_id, &plan->tests);
        return rc == -E_NOT_FOUND ? 0 : rc;
    }
    sort_assigned(&entry->test);
    entry->is_start_random = reads_random_start(&entry->test, &entry->arena);
    map_put(&plan->tests, test_id, entry);
    plan_forget_shares(plan, test_id, &plan->tests);
    const struct object_test_agent *assigned = entry->test.agents.items;
    for (size_t i = 0; i < entry->test.agents.count; i++) {
        struct plan_agent *agent = map_get(&plan->agents, assigned[i].agent_id);
        if (agent)
            plan_hand_out(plan, agent, entry, false);
    }
    return 0;
}

static int load_run(struct plan *plan, uint64_t run_id, struct error *err)
{
    struct entry *entry = entry_new(run_id);
    int rc = object_get(plan->store, &object_run_kind, run_id, 0, &entry->arena, &entry->run, err);
    if (!rc)
        rc = object_get(plan->store, &object_test_kind, entry->run.test_id, entry->run.test_version, &entry->arena,
                        &entry->test, err);
    drop_entry(plan, &plan->runs, run_id);
    if (rc) {
        entry_free(entry);
        plan_forget_shares(plan, run_id, &plan->runs);
        return rc == -E_NOT_FOUND ? 0 : rc;
    }
    sort_assigned(&entry->test);
    map_put(&plan->runs, run_id, entry);
    const uint64_t *awaited = entry->run.agents.items;
    for (size_t i = 0; i < entry->run.agents.count; i++) {
        struct plan_agent *agent = map_get(&plan->agents, awaited[i]);
        if (agent)
            plan_hand_out(plan, agent, entry, true);
    }
    return 0;
}

int plan_test_changed(struct plan *plan, uint64_t test_id, struct error *err)
{
    int rc = load_test(plan, test_id, err);
    return rc ? rc : settle(plan, err);
}

int plan_run_changed(struct plan *plan, uint64_t run_id, struct error *err)
{
    int rc = load_run(plan, run_id, err);
    return rc ? rc : settle(plan, err);
}

int plan_run_reported(struct plan *plan, uint64_t run_id, uint64_t agent_id, struct error *err)
{
    struct arena arena;
    arena_init(&arena, PLAN_OBJECT_BYTES);
    struct object_run run;
    int rc = object_get(plan->store, &object_run_kind, run_id, 0, &arena, &run, err);
    if (!rc && run_awaits(&run, agent_id)) {
        uint64_t *agents = run.agents.items;
        size_t left = 0;
        for (size_t i = 0; i < run.agents.count; i++) {
            if (agents[i] != agent_id)
                agents[left++] = agents[i];
        }
        run.agents.count = left;
        rc = left ? object_put(plan->store, &object_run_kind, &run, clock_wall_ns(plan->clock) / CLOCK_S, err)
                  : store_purge(plan->store, object_run_kind.name, run_id, err);
    }
    arena_done(&arena);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

int plan_expire(struct plan *plan, struct error *err)
{
    int64_t oldest = clock_wall_ns(plan->clock) / CLOCK_S - PLAN_RUN_KEEP_S;
    bool is_looking = true;
    while (is_looking) {
        is_looking = false;
        struct entry *entry;
        for (size_t at = 0; (entry = map_next(&plan->runs, &at));) {
            if (entry->run.asked_s >= oldest)
                continue;
            int rc = store_purge(plan->store, object_run_kind.name, entry->id, err);
            if (rc && rc != -E_NOT_FOUND)
                return rc;
            drop_entry(plan, &plan->runs, entry->id);
            is_looking = true; /* the map has moved */
            break;
        }
    }
    return settle(plan, err);
}

/* --- agents ------------------------------------------------------------------------------------------------------- */

static void agent_free(struct plan_agent *agent)
{
    mem_free(agent->tests.items);
    mem_free(agent->runs.items);
    mem_free(agent->resolve_prefixes);
    mem_free(agent->aids);
    mem_free(agent);
}

static int read_stamp(struct plan *plan, uint64_t agent_id, struct stamp *ret_stamp, struct error *err)
{
    char key[24];
    struct arena arena;
    struct store_object object;
    (void)snprintf(key, sizeof key, "%" PRIu64, agent_id);
    arena_init(&arena, 4096);
    int rc = store_find(plan->store, "plan", 0, key, &arena, &object, err);
    *ret_stamp = (struct stamp){.object_id = 0};
    if (!rc) {
        *ret_stamp = (struct stamp){.object_id = object.id, .version = object.version};
        if (object.body_size == sizeof ret_stamp->hash)
            memcpy(&ret_stamp->hash, object.body, sizeof ret_stamp->hash);
    }
    arena_done(&arena);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

/* --- agents that come and go -------------------------------------------------------------------------------------- */

static int remove_agent(struct plan *plan, uint64_t agent_id, struct error *err)
{
    struct plan_agent *agent = map_get(&plan->agents, agent_id);
    if (!agent)
        return 0;
    int ended = agent->is_cluster ? plan_end_cluster(plan, agent_id, err) : 0;
    if (!ended)
        ended = plan_move_member(plan, agent, 0, err);
    if (ended)
        return ended;
    (void)map_remove(&plan->agents, agent_id);
    (void)map_remove(&plan->touched, agent_id);
    int rc = agent->stamp.object_id ? store_purge(plan->store, "plan", agent->stamp.object_id, err) : 0;
    plan_wake_all(agent);
    agent_free(agent);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

static void set_groups(struct plan_agent *agent, const struct object_agent *object)
{
    mem_free(agent->aids);
    agent->aid_count = object->shared_with.count + 1;
    agent->aids = mem_alloc(agent->aid_count * sizeof *agent->aids);
    agent->aids[0] = object->head.aid;
    if (object->shared_with.count)
        memcpy(agent->aids + 1, object->shared_with.items, object->shared_with.count * sizeof *agent->aids);
}

/* Adds an agent with the tests and runs that are known already. */
static int add_agent(struct plan *plan, const struct object_agent *object, struct error *err)
{
    struct plan_agent *agent = mem_alloc(sizeof *agent);
    agent->id = object->head.id;
    set_groups(agent, object);
    int rc = read_stamp(plan, agent->id, &agent->stamp, err);
    if (rc) {
        agent_free(agent);
        return rc;
    }
    map_put(&plan->agents, agent->id, agent);
    return 0;
}

static void hand_out_all(struct plan *plan, struct plan_agent *agent)
{
    struct entry *entry;
    for (size_t at = 0; (entry = map_next(&plan->tests, &at));)
        plan_hand_out(plan, agent, entry, false);
    for (size_t at = 0; (entry = map_next(&plan->runs, &at));)
        plan_hand_out(plan, agent, entry, true);
}

static char *join(const struct field_list *texts)
{
    const char *const *items = texts->items;
    struct buf buf;
    buf_init(&buf, LIMIT_STRING_BYTES);
    for (size_t i = 0; i < texts->count; i++)
        buf_printf(&buf, "%s%s", i ? "," : "", items[i]);
    char *text = mem_strdup(buf_str(&buf));
    buf_done(&buf);
    return text;
}

/* What join joined. */
static int split(const char *text, struct arena *arena, struct field_list *ret_texts, struct error *err)
{
    size_t count = *text != 0;
    for (const char *at = text; *at; at++)
        count += *at == ',';
    const char **items = arena_alloc_array(arena, count + 1, sizeof *items);
    char *rest = arena_strdup(arena, text);
    if (!items || !rest)
        return error_set(err, E_LIMIT, "plan", "the plan does not fit the memory of this request");
    for (size_t i = 0; i < count; i++)
        items[i] = strsep(&rest, ",");
    *ret_texts = (struct field_list){items, count};
    return 0;
}

/* The version of the proxy's record, which counts up when it changes; 0 = there is none. */
static int64_t proxy_version(struct plan *plan, uint64_t proxy_id)
{
    struct arena arena;
    struct store_object object = {0};
    arena_init(&arena, PLAN_OBJECT_BYTES);
    int rc = proxy_id ? store_get(plan->store, "agent-proxy", proxy_id, 0, &arena, &object, NULL) : -E_NOT_FOUND;
    arena_done(&arena);
    return rc ? 0 : object.version;
}

/* Takes the agent's place in the world from its record: alone, a cluster, or a member of one. */
static int place_agent(struct plan *plan, struct plan_agent *agent, const struct object_agent *object, bool is_new,
                       struct error *err)
{
    bool was_alone = !is_new && !agent->is_cluster && !agent->cluster_id;
    bool is_alone = !object->is_cluster && !object->cluster_id, is_joining = object->cluster_id != agent->cluster_id;
    int rc = object->is_cluster ? plan_know_cluster(plan, object->head.id, err) : 0;
    agent->is_cluster = object->is_cluster;
    if (!rc)
        rc = plan_move_member(plan, agent, object->cluster_id, err);
    if (rc)
        return rc;
    if (is_alone && !was_alone)
        hand_out_all(plan, agent);
    struct cluster *cluster = object->cluster_id ? map_get(&plan->clusters, object->cluster_id) : NULL;
    if (cluster && is_joining)
        plan_deal(plan, cluster);
    return 0;
}

static int update_agent(struct plan *plan, const struct object_agent *object, struct error *err)
{
    bool is_new = !map_get(&plan->agents, object->head.id);
    int rc = is_new ? add_agent(plan, object, err) : 0;
    if (rc)
        return rc;
    struct plan_agent *agent = map_get(&plan->agents, object->head.id);
    agent->is_unverified = !object->verify_ssl;
    agent->keeps_browser_cache = object->keep_browser_cache;
    agent->proxy_id = object->proxy_id;
    agent->proxy_version = proxy_version(plan, object->proxy_id);
    agent->signs_in_as = 0;
    if (object->signs_in_as)
        (void)str_to_u64(object->signs_in_as, INT64_MAX, &agent->signs_in_as);
    set_groups(agent, object); /* tests of those it works for no more name it no more: they are told as changed */
    agent->is_enabled = object->enabled;
    agent->ipv6_policy = object->ipv6_policy;
    mem_free(agent->resolve_prefixes);
    agent->resolve_prefixes = join(&object->local_resolution_prefixes);
    plan_touch(plan, agent);
    plan_touch_members(plan, agent->id);
    return place_agent(plan, agent, object, is_new, err);
}

int plan_agent_changed(struct plan *plan, uint64_t agent_id, struct error *err)
{
    struct arena arena;
    struct object_agent object;
    arena_init(&arena, PLAN_OBJECT_BYTES);
    int rc = object_get(plan->store, &object_agent_kind, agent_id, 0, &arena, &object, err);
    if (rc == -E_NOT_FOUND)
        rc = remove_agent(plan, agent_id, err);
    else if (!rc)
        rc = update_agent(plan, &object, err);
    arena_done(&arena);
    return rc ? rc : settle(plan, err);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

struct ids {
    uint64_t *items;
    size_t count, room;
};

static bool note_id(void *user, const struct store_object *object)
{
    struct ids *ids = user;
    if (ids->count == ids->room) {
        size_t room = ids->room ? ids->room * 2 : 64;
        ids->items = mem_resize(ids->items, ids->room * sizeof *ids->items, room * sizeof *ids->items);
        ids->room = room;
    }
    ids->items[ids->count++] = object->id;
    return true;
}

static int load_agent(struct plan *plan, uint64_t agent_id, struct error *err)
{
    struct arena arena;
    struct object_agent object;
    arena_init(&arena, PLAN_OBJECT_BYTES);
    int rc = object_get(plan->store, &object_agent_kind, agent_id, 0, &arena, &object, err);
    if (!rc)
        rc = update_agent(plan, &object, err);
    arena_done(&arena);
    return rc;
}

static int load_all(struct plan *plan, const struct object_kind *kind,
                    int (*load)(struct plan *plan, uint64_t id, struct error *err), struct error *err)
{
    struct ids ids = {0};
    int rc = store_list(plan->store, kind->name, 0, NULL, 0, 0, note_id, &ids, err);
    for (size_t i = 0; !rc && i < ids.count; i++)
        rc = load(plan, ids.items[i], err);
    mem_free(ids.items);
    return rc;
}

int plan_open(struct store *store, const struct clock *clock, struct plan **ret_plan, struct error *err)
{
    struct plan *plan = mem_alloc(sizeof *plan);
    plan->store = store;
    plan->clock = clock;
    int rc = load_all(plan, &object_agent_kind, load_agent, err);
    if (!rc)
        rc = load_all(plan, &object_test_kind, load_test, err);
    if (!rc)
        rc = load_all(plan, &object_run_kind, load_run, err);
    if (!rc)
        rc = plan_expire(plan, err);
    if (rc)
        plan_close(plan);
    else
        *ret_plan = plan;
    return rc;
}

void plan_close(struct plan *plan)
{
    if (!plan)
        return;
    struct plan_agent *agent;
    struct entry *entry;
    for (size_t at = 0; (agent = map_next(&plan->agents, &at));) {
        assert(!agent->waiters);
        agent_free(agent);
    }
    for (size_t at = 0; (entry = map_next(&plan->tests, &at));)
        entry_free(entry);
    for (size_t at = 0; (entry = map_next(&plan->runs, &at));)
        entry_free(entry);
    struct cluster *cluster;
    for (size_t at = 0; (cluster = map_next(&plan->clusters, &at));)
        cluster_free(cluster);
    map_done(&plan->clusters);
    map_done(&plan->agents);
    map_done(&plan->tests);
    map_done(&plan->runs);
    map_done(&plan->touched);
    mem_free(plan);
}

/* --- what an agent asks ------------------------------------------------------------------------------------------- */

static int find_agent(const struct plan *plan, uint64_t agent_id, struct plan_agent **ret_agent, struct error *err)
{
    *ret_agent = map_get(&plan->agents, agent_id);
    return *ret_agent ? 0 : error_set(err, E_NOT_FOUND, "agent", "there is no such agent");
}

/* A machine that became another agent compares this plan's number with one of the plan it had before: no two agents
 * that it can be have the same. */
static int64_t told_version(const struct plan_agent *agent)
{
    return agent->stamp.version + (agent->signs_in_as ? (int64_t)(agent->id << 24) : 0);
}

int plan_version(const struct plan *plan, uint64_t agent_id, int64_t *ret_version, struct error *err)
{
    struct plan_agent *agent;
    int rc = find_agent(plan, agent_id, &agent, err);
    if (!rc)
        *ret_version = told_version(agent);
    return rc;
}

static struct message_test test_message(const struct entry *entry, const struct plan_agent *agent)
{
    /* The members of a cluster have addresses of their own each: none is chosen for them. */
    const struct object_test_agent *assigned = agent->cluster_id ? NULL : find_assigned(&entry->test, agent->id);
    return (struct message_test){
        .test_id = entry->id,
        .version = entry->test.head.version,
        .type = entry->test.type,
        .interval_s = entry->test.interval_s,
        .is_start_random = entry->is_start_random,
        .source_ip = assigned ? assigned->source_ip : NULL,
        .settings = entry->test.settings,
    };
}

static struct message_run run_message(const struct entry *entry, const struct plan_agent *agent)
{
    /* The members of a cluster have addresses of their own each: none is chosen for them. */
    const struct object_test_agent *assigned = agent->cluster_id ? NULL : find_assigned(&entry->test, agent->id);
    return (struct message_run){
        .run_id = entry->id,
        .test_id = entry->run.test_id,
        .version = entry->test.head.version,
        .type = entry->test.type,
        .source_ip = assigned ? assigned->source_ip : NULL,
        .settings = entry->test.settings,
        .requested_s = entry->run.asked_s,
    };
}

int plan_build(const struct plan *plan, uint64_t agent_id, struct arena *arena, struct message_plan *ret_plan,
               struct error *err)
{
    struct plan_agent *agent;
    int rc = find_agent(plan, agent_id, &agent, err);
    if (rc)
        return rc;
    const struct plan_agent *lead = plan_settings_of(plan, agent);
    size_t tests = lead->is_enabled ? agent->tests.count : 0, runs = lead->is_enabled ? agent->runs.count : 0;
    struct message_test *test = arena_alloc_array(arena, tests + 1, sizeof *test);
    struct message_run *run = arena_alloc_array(arena, runs + 1, sizeof *run);
    if (!test || !run)
        return error_set(err, E_LIMIT, "plan", "the plan does not fit the memory of this request");
    struct field_list prefixes = {0};
    rc = split(lead->resolve_prefixes ? lead->resolve_prefixes : "", arena, &prefixes, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < tests; i++)
        test[i] = test_message(agent->tests.items[i], agent);
    for (size_t i = 0; i < runs; i++)
        run[i] = run_message(agent->runs.items[i], agent);
    *ret_plan = (struct message_plan){
        .version = told_version(agent),
        .server_ns = clock_wall_ns(plan->clock),
        .ipv6_policy = lead->ipv6_policy,
        .is_unverified = lead->is_unverified,
        .keeps_browser_cache = lead->keeps_browser_cache,
        .resolve_prefixes = prefixes,
        .tests = {test, tests},
        .runs = {run, runs},
    };
    return 0;
}

int plan_wait(struct plan *plan, uint64_t agent_id, struct plan_waiter *waiter, struct error *err)
{
    struct plan_agent *agent;
    int rc = find_agent(plan, agent_id, &agent, err);
    if (rc)
        return rc;
    waiter->agent = agent;
    waiter->previous = NULL;
    waiter->next = agent->waiters;
    if (agent->waiters)
        agent->waiters->previous = waiter;
    agent->waiters = waiter;
    return 0;
}

void plan_unwait(struct plan_waiter *waiter)
{
    if (!waiter->agent)
        return;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        waiter->agent->waiters = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    waiter->agent = NULL;
    waiter->next = waiter->previous = NULL;
}
