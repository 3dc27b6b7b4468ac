/*
 * The plan: what the agent has been told to run. The newest one is kept on disk and goes on while the server is away;
 * a request for the next one is always open (long poll), so that a change arrives within a second.
 *
 * A test of a type or with settings that this version does not know is left out, told once, and counted; the others
 * run. Plans are counted references, because rounds that are running use the settings of an older one.
 */
#ifndef OCULI_AGENT_PLAN_H
#define OCULI_AGENT_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "agent/http.h"
#include "agent/link.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/rng.h"
#include "measure/runner.h"
#include "wire/message.h"

#define PLAN_WAIT_S 55       /* the server may hold a request for this long */
#define PLAN_REFRESH_S 3600  /* a whole plan is asked for this often, for the server's clock */

/* A test or a run that can be performed. */
struct plan_item {
    uint64_t test_id, run_id; /* run_id 0 = scheduled */
    uint64_t flow_seed;       /* of its path traces: the same in every round of the test by this agent */
    int64_t version;
    int64_t interval_s;       /* scheduled */
    bool is_start_random;
    bool is_continuous;       /* a round takes the whole of its minute */
    int64_t requested_s;      /* runs */
    enum measure_queue queue;
    uint64_t target;          /* the same for tests of one target; 0 = it has none */
    const struct message_proxy *proxy; /* NULL = the agent's own */
    const char *source_ip;    /* NULL = not said */
    const struct measure_runner *runner;
    const void *settings;
};

struct plan {
    unsigned references;
    struct arena arena;
    struct message_plan message;
    struct plan_item *tests, *runs;
    size_t test_count, run_count, unsupported;
};

/* Told of what cannot be performed: where = "test 12" or "run 5". */
typedef void plan_unsupported_fn(void *user, const struct plan_item *item, const struct error *err);

/* Reads an AgentPlan; the caller holds the one reference. Errors concern the plan as a whole. */
int plan_read(const void *bytes, size_t size, plan_unsupported_fn *unsupported, void *user, struct plan **ret_plan,
              struct error *err);
struct plan *plan_hold(struct plan *plan);
void plan_release(struct plan *plan); /* NULL is fine */
const struct plan_item *plan_find(const struct plan *plan, uint64_t test_id);

/* The plan kept in state_dir. -E_NOT_FOUND: none yet; -E_CORRUPT: damaged, the server will send another. */
int plan_load(const char *state_dir, plan_unsupported_fn *unsupported, void *user, struct plan **ret_plan,
              struct error *err);

/* --- the poll ----------------------------------------------------------------------------------------------------- */

struct plan_poll_settings {
    struct loop *loop;
    struct http *http;
    struct rng *rng;
    const char *state_dir, *authorization; /* outlive the poll */
    int64_t version;                       /* of the plan that runs; 0 = none */
    /* An AgentPlan, to be read with plan_read; false = it cannot be used, ask again later. */
    bool (*changed)(void *user, const void *bytes, size_t size);
    void (*contact)(void *user, enum contact contact, const char *why);
    void *user;
};

struct plan_poll;
struct plan_poll *plan_poll_start(const struct plan_poll_settings *settings);
void plan_poll_free(struct plan_poll *poll); /* NULL is fine */
/* Asks for a whole plan now, and with it for the server's time; not from changed. */
void plan_poll_refresh(struct plan_poll *poll);
/* From changed: the plan is running; keeps it on disk (a failure does no harm) and asks for the next. */
int plan_poll_accept(struct plan_poll *poll, const void *bytes, size_t size, int64_t version, struct error *err);

#endif
