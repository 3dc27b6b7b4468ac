/*
 * Plans: what each agent should run, and who waits to hear of a change.
 *
 * Everything is kept in memory, read from the store at the start: enabled tests by agent, and the runs asked for once
 * that an agent has not reported yet. A plan's version counts up exactly when its content changes. It is the version of
 * an object of kind "plan" in the store whose body is a hash of the content, so it goes on counting after a
 * restart, and a change that a crash kept from being told is found at the next start.
 *
 * A test of a cluster of agents is in the plan of one member at a time (cluster.h). A member whose long poll is cut, or
 * that is not heard of for PLAN_MEMBER_SILENT_S, counts as away, and others get what it ran.
 *
 * Whoever changes a test, an agent or a run in the store says so here afterwards, outside a transaction. When one of
 * these returns an error (a full disk) agents keep their plan; the next change, or a restart, tells them.
 */
#ifndef OCULI_SERVER_PLAN_H
#define OCULI_SERVER_PLAN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"
#include "wire/message.h"

#define PLAN_RUN_KEEP_S 86400 /* a run that an agent has not fetched and reported by then is forgotten */

#define PLAN_MEMBER_WAIT_S 10   /* a member's long poll lasts no longer, so that its silence is noticed soon */
#define PLAN_MEMBER_SILENT_S 15 /* without a word it is away */
#define PLAN_MEMBER_CUT_S 3     /* after its connection was cut or it said that it stops */

struct plan;

int plan_open(struct store *store, const struct clock *clock, struct plan **ret_plan, struct error *err);
void plan_close(struct plan *plan); /* nobody may be waiting */

/* --- what changed (created, changed or deleted) ------------------------------------------------------------------- */

int plan_test_changed(struct plan *plan, uint64_t test_id, struct error *err);
int plan_agent_changed(struct plan *plan, uint64_t agent_id, struct error *err);
int plan_run_changed(struct plan *plan, uint64_t run_id, struct error *err);
/* Forgets runs older than PLAN_RUN_KEEP_S; now and then. */
int plan_expire(struct plan *plan, struct error *err);

/* A change may concern ten thousand agents. With more set, one of the functions above tells some hundred of them and calls
 * it when others are left: call plan_settle soon, not from within more. Without it all are told at once. */
void plan_on_more(struct plan *plan, void (*more)(void *user), void *user);
int plan_settle(struct plan *plan, struct error *err);

/* --- members of clusters ------------------------------------------------------------------------------------------ */

bool plan_is_member(const struct plan *plan, uint64_t agent_id);
/* It spoke; nothing for who is no member. */
int plan_member_seen(struct plan *plan, uint64_t agent_id, struct error *err);
/* Its connection was cut, or it says that it stops. */
void plan_member_gone(struct plan *plan, uint64_t agent_id);
/* Gives what members that are away ran to others; once a second. */
int plan_check_members(struct plan *plan, struct error *err);
/* Evens out what the members run, after somebody joined. */
int plan_level(struct plan *plan, uint64_t cluster_id, struct error *err);
/* Who runs the test for the cluster; 0 = nobody. */
uint64_t plan_runner(const struct plan *plan, uint64_t cluster_id, uint64_t test_id);
/* Wakes whoever waits for a plan under that id: the machine behind it is another agent now. */
void plan_wake(struct plan *plan, uint64_t agent_id);

/* Inside the caller's transaction: the agent's part of the run is done (the last one removes it). plan_run_changed
 * follows after the commit. A run that is gone is fine. */
int plan_run_reported(struct plan *plan, uint64_t run_id, uint64_t agent_id, struct error *err);

/* --- what an agent asks ------------------------------------------------------------------------------------------- */

/* -E_NOT_FOUND: no such agent. */
int plan_version(const struct plan *plan, uint64_t agent_id, int64_t *ret_version, struct error *err);

/* The lists are in arena; strings and settings belong to the plan until it changes: write the answer at once. */
int plan_build(const struct plan *plan, uint64_t agent_id, struct arena *arena, struct message_plan *ret_plan,
               struct error *err);

/* Owned by who waits; all but wake is the plan's. */
struct plan_waiter {
    void (*wake)(struct plan_waiter *waiter); /* the version changed or the agent is gone; no longer waiting */
    struct plan_agent *agent;                 /* NULL = not waiting */
    struct plan_waiter *next, *previous;
};

/* -E_NOT_FOUND: no such agent. */
int plan_wait(struct plan *plan, uint64_t agent_id, struct plan_waiter *waiter, struct error *err);
void plan_unwait(struct plan_waiter *waiter); /* also when it is not waiting */

#endif
