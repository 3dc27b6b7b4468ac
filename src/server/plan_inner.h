/*
 * What plan.c and plan_cluster.c share.
 */
#ifndef OCULI_SERVER_PLAN_INNER_H
#define OCULI_SERVER_PLAN_INNER_H

#include "base/map.h"
#include "server/cluster.h"
#include "server/object.h"
#include "server/plan.h"

#define PLAN_OBJECT_BYTES (1u << 20) /* memory for one test or run as it is kept here */

/* A test that runs by itself, or one run asked for, with the settings it had then. */
struct entry {
    uint64_t id; /* test or run */
    struct arena arena;
    struct object_test test;
    struct object_run run; /* runs only */
    bool is_start_random;
};

struct entries {
    struct entry **items;
    size_t count, room;
};

struct stamp {
    uint64_t object_id; /* of the "plan" object; 0 = none yet */
    int64_t version;
    uint64_t hash; /* of the content that has this version */
};

struct plan_agent {
    uint64_t id;
    uint64_t *aids; /* account groups it works for, its own first */
    size_t aid_count;
    bool is_cluster;
    uint64_t cluster_id; /* it is a member */
    uint64_t signs_in_as;
    int64_t due_ns; /* members: away when nothing was heard by then; monotonic */
    bool is_enabled, is_unverified, keeps_browser_cache;
    uint64_t proxy_id;
    int64_t proxy_version;
    int ipv6_policy;
    char *resolve_prefixes; /* joined by commas */
    struct entries tests, runs;
    struct stamp stamp, next_stamp; /* next_stamp: being committed */
    struct plan_waiter *waiters;
};

struct plan {
    struct store *store;
    const struct clock *clock;
    struct map agents, tests, runs; /* struct plan_agent; struct entry */
    struct map clusters;            /* struct cluster, by its agent */
    struct map touched;             /* agents whose content may have changed: struct plan_agent */
    void (*more)(void *user);       /* some of them wait for plan_settle */
    void *user;
};

void plan_touch(struct plan *plan, struct plan_agent *agent);
void plan_wake_all(struct plan_agent *agent);
bool plan_concerns_test(const struct entry *entry, const struct plan_agent *agent);
bool plan_concerns_run(const struct entry *entry, const struct plan_agent *agent);
/* Puts it into the plan of the agent's machine, when it concerns the agent. */
void plan_hand_out(struct plan *plan, struct plan_agent *agent, struct entry *entry, bool is_run);

/* --- clusters (plan_cluster.c) --------------------------------------------------------------------------------------- */

/* The machine that runs it: the agent's own, or a member of the cluster that the agent is; NULL when there is none. */
struct plan_agent *plan_machine(struct plan *plan, struct plan_agent *agent, const struct entry *entry, bool is_run);
/* Clusters that run it no more need not know its home. map: of the tests or of the runs. */
void plan_forget_shares(struct plan *plan, uint64_t id, const struct map *map);
/* Deals all that the cluster runs to its members. */
void plan_deal(struct plan *plan, struct cluster *cluster);
/* Reads the cluster's homes when it is not known yet. */
int plan_know_cluster(struct plan *plan, uint64_t cluster_id, struct error *err);
/* Follows what the agent's record says: in no cluster (0), in another, or in the same. */
int plan_move_member(struct plan *plan, struct plan_agent *agent, uint64_t cluster_id, struct error *err);
int plan_end_cluster(struct plan *plan, uint64_t cluster_id, struct error *err);
void plan_touch_members(struct plan *plan, uint64_t cluster_id);
/* Homes that are to be kept; inside the transaction that keeps stamps. */
bool plan_is_any_deal_new(const struct plan *plan);
int plan_store_deals(struct plan *plan, struct error *err);
/* Whose settings hold: the cluster's for its members. */
const struct plan_agent *plan_settings_of(const struct plan *plan, const struct plan_agent *agent);

#endif
