/* Plans of clusters: which member has which test, and who is away. */
#include <inttypes.h>
#include <stdio.h>

#include "server/plan_inner.h"

/* Whose settings hold: the cluster's for its members. */
const struct plan_agent *plan_settings_of(const struct plan *plan, const struct plan_agent *agent)
{
    const struct plan_agent *lead = agent->cluster_id ? map_get(&plan->agents, agent->cluster_id) : NULL;
    return lead ? lead : agent;
}

/* --- homes that are kept -------------------------------------------------------------------------------------------- */

bool plan_is_any_deal_new(const struct plan *plan)
{
    size_t at = 0;
    for (const struct cluster *cluster; (cluster = map_next(&plan->clusters, &at));) {
        if (cluster->is_changed)
            return true;
    }
    return false;
}

/* Which member is home to which test. What a rollback makes untrue is told again by the next change. */
static int store_deal(struct plan *plan, struct cluster *cluster, struct error *err)
{
    char key[24];
    struct buf body;
    (void)snprintf(key, sizeof key, "%" PRIu64, cluster->id);
    buf_init(&body, PLAN_OBJECT_BYTES);
    cluster_write(cluster, &body);
    struct store_object object = {.kind = "cluster-deal",
                                  .id = cluster->object_id,
                                  .key = key,
                                  .version = cluster->version,
                                  .modified_s = clock_wall_ns(plan->clock) / CLOCK_S,
                                  .body = body.size ? body.data : (const void *)"",
                                  .body_size = body.size};
    int rc = body.is_overflowed ? error_set(err, E_LIMIT, "plan", "a cluster has too many tests")
                                : store_put(plan->store, &object, err);
    buf_done(&body);
    if (!rc) {
        cluster->object_id = object.id;
        cluster->version = object.version;
        cluster->is_changed = false;
    }
    return rc;
}

int plan_store_deals(struct plan *plan, struct error *err)
{
    size_t at = 0;
    int rc = 0;
    for (struct cluster *cluster; !rc && (cluster = map_next(&plan->clusters, &at));) {
        if (cluster->is_changed)
            rc = store_deal(plan, cluster, err);
    }
    return rc;
}

/* --- dealing ------------------------------------------------------------------------------------------------------- */

#define RUN_BIT (1ull << 63) /* of what a cluster shares: runs, not tests */

/* The machine that runs it: the agent's own, or a member of the cluster that the agent is. */
struct plan_agent *plan_machine(struct plan *plan, struct plan_agent *agent, const struct entry *entry, bool is_run)
{
    struct cluster *cluster = agent->is_cluster ? map_get(&plan->clusters, agent->id) : NULL;
    if (!cluster)
        return agent->is_cluster || agent->cluster_id ? NULL : agent;
    double weight = is_run || entry->test.interval_s <= 0 ? 0 : 60.0 / entry->test.interval_s;
    return map_get(&plan->agents, cluster_pick(cluster, is_run ? entry->id | RUN_BIT : entry->id, weight, !is_run));
}

/* Clusters that run it no more need not know its home. */
void plan_forget_shares(struct plan *plan, uint64_t id, const struct map *map)
{
    const struct entry *entry = map_get(map, id);
    bool is_run = map == &plan->runs;
    size_t at = 0;
    for (struct cluster *cluster; (cluster = map_next(&plan->clusters, &at));) {
        const struct plan_agent *agent = map_get(&plan->agents, cluster->id);
        if (!entry || !agent || !(is_run ? plan_concerns_run(entry, agent) : plan_concerns_test(entry, agent)))
            cluster_forget(cluster, is_run ? id | RUN_BIT : id);
    }
}

/* Deals all that the cluster runs to its members. */
void plan_deal(struct plan *plan, struct cluster *cluster)
{
    struct plan_agent *lead = map_get(&plan->agents, cluster->id);
    for (size_t i = 0; i < cluster->member_count; i++) {
        struct plan_agent *member = map_get(&plan->agents, cluster->members[i].id);
        if (!member)
            continue;
        member->tests.count = member->runs.count = 0;
        plan_touch(plan, member);
    }
    struct entry *entry;
    for (size_t at = 0; lead && (entry = map_next(&plan->tests, &at));)
        plan_hand_out(plan, lead, entry, false);
    for (size_t at = 0; lead && (entry = map_next(&plan->runs, &at));)
        plan_hand_out(plan, lead, entry, true);
}

void plan_touch_members(struct plan *plan, uint64_t cluster_id)
{
    const struct cluster *cluster = map_get(&plan->clusters, cluster_id);
    for (size_t i = 0; cluster && i < cluster->member_count; i++) {
        struct plan_agent *member = map_get(&plan->agents, cluster->members[i].id);
        if (member)
            plan_touch(plan, member);
    }
}

/* --- clusters ----------------------------------------------------------------------------------------------------- */

int plan_know_cluster(struct plan *plan, uint64_t cluster_id, struct error *err)
{
    char key[24];
    struct arena arena;
    struct store_object object;
    if (map_get(&plan->clusters, cluster_id))
        return 0;
    (void)snprintf(key, sizeof key, "%" PRIu64, cluster_id);
    arena_init(&arena, 2 * PLAN_OBJECT_BYTES);
    int rc = store_find(plan->store, "cluster-deal", 0, key, &arena, &object, err);
    if (!rc || rc == -E_NOT_FOUND) {
        struct cluster *cluster = cluster_new(cluster_id);
        if (!rc) {
            cluster->object_id = object.id;
            cluster->version = object.version;
            cluster_read(cluster, object.body, object.body_size);
        }
        map_put(&plan->clusters, cluster_id, cluster);
        rc = 0;
    }
    arena_done(&arena);
    return rc;
}

static int64_t silent_ns(const struct plan *plan, int64_t seconds)
{
    return clock_mono_ns(plan->clock) + seconds * CLOCK_S;
}

/* Follows what the record says: in no cluster, in another, or in the same. */
int plan_move_member(struct plan *plan, struct plan_agent *agent, uint64_t cluster_id, struct error *err)
{
    struct cluster *before = agent->cluster_id ? map_get(&plan->clusters, agent->cluster_id) : NULL;
    if (agent->cluster_id == cluster_id)
        return 0;
    int rc = cluster_id ? plan_know_cluster(plan, cluster_id, err) : 0;
    if (rc)
        return rc;
    agent->cluster_id = cluster_id;
    agent->tests.count = agent->runs.count = 0;
    if (before) {
        cluster_leave(before, agent->id);
        plan_deal(plan, before);
    }
    struct cluster *cluster = cluster_id ? map_get(&plan->clusters, cluster_id) : NULL;
    if (cluster) {
        cluster_join(cluster, agent->id);
        agent->due_ns = silent_ns(plan, 3 * PLAN_MEMBER_SILENT_S); /* it may have to find the server first */
    }
    return 0;
}

int plan_end_cluster(struct plan *plan, uint64_t cluster_id, struct error *err)
{
    struct cluster *cluster = map_remove(&plan->clusters, cluster_id);
    if (!cluster)
        return 0;
    int rc = cluster->object_id ? store_purge(plan->store, "cluster-deal", cluster->object_id, err) : 0;
    for (size_t i = 0; i < cluster->member_count; i++) {
        struct plan_agent *member = map_get(&plan->agents, cluster->members[i].id);
        if (!member)
            continue;
        member->tests.count = member->runs.count = 0;
        member->cluster_id = 0;
        plan_touch(plan, member);
    }
    cluster_free(cluster);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

bool plan_is_member(const struct plan *plan, uint64_t agent_id)
{
    const struct plan_agent *agent = map_get(&plan->agents, agent_id);
    return agent && agent->cluster_id;
}

int plan_member_seen(struct plan *plan, uint64_t agent_id, struct error *err)
{
    struct plan_agent *agent = map_get(&plan->agents, agent_id);
    struct cluster *cluster = agent && agent->cluster_id ? map_get(&plan->clusters, agent->cluster_id) : NULL;
    if (!cluster)
        return 0;
    agent->due_ns = silent_ns(plan, PLAN_MEMBER_SILENT_S);
    if (!cluster_set_away(cluster, agent_id, false))
        return 0;
    plan_deal(plan, cluster);
    return plan_settle(plan, err);
}

void plan_member_gone(struct plan *plan, uint64_t agent_id)
{
    struct plan_agent *agent = map_get(&plan->agents, agent_id);
    int64_t due_ns = silent_ns(plan, PLAN_MEMBER_CUT_S);
    if (agent && agent->due_ns > due_ns)
        agent->due_ns = due_ns;
}

int plan_check_members(struct plan *plan, struct error *err)
{
    int64_t now_ns = clock_mono_ns(plan->clock);
    size_t at = 0;
    bool is_any = false;
    for (struct cluster *cluster; (cluster = map_next(&plan->clusters, &at));) {
        bool is_news = false;
        for (size_t i = 0; i < cluster->member_count; i++) {
            const struct plan_agent *member = map_get(&plan->agents, cluster->members[i].id);
            if (member && now_ns >= member->due_ns)
                is_news = cluster_set_away(cluster, member->id, true) || is_news;
        }
        if (is_news)
            plan_deal(plan, cluster);
        is_any = is_any || is_news;
    }
    return is_any ? plan_settle(plan, err) : 0;
}

int plan_level(struct plan *plan, uint64_t cluster_id, struct error *err)
{
    struct cluster *cluster = map_get(&plan->clusters, cluster_id);
    if (!cluster)
        return 0;
    cluster_level(cluster);
    plan_deal(plan, cluster);
    return plan_settle(plan, err);
}

uint64_t plan_runner(const struct plan *plan, uint64_t cluster_id, uint64_t test_id)
{
    const struct cluster *cluster = map_get(&plan->clusters, cluster_id);
    for (size_t i = 0; cluster && i < cluster->member_count; i++) {
        const struct plan_agent *member = map_get(&plan->agents, cluster->members[i].id);
        for (size_t j = 0; member && j < member->tests.count; j++) {
            if (member->tests.items[j]->id == test_id)
                return member->id;
        }
    }
    return 0;
}

void plan_wake(struct plan *plan, uint64_t agent_id)
{
    struct plan_agent *agent = map_get(&plan->agents, agent_id);
    if (agent)
        plan_wake_all(agent);
}

