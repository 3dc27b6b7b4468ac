/* What the parts of the worker share: agent.c (its life), agent_rounds.c (running tests), agent_tell.c (status, reports). */
#ifndef OCULI_AGENT_AGENT_INNER_H
#define OCULI_AGENT_AGENT_INNER_H

#include <sys/types.h>

#include "agent/agent.h"
#include "agent/health.h"
#include "agent/hop_names.h"
#include "agent/http.h"
#include "agent/identity.h"
#include "agent/link.h"
#include "agent/net.h"
#include "agent/pac.h"
#include "agent/parent.h"
#include "agent/plan.h"
#include "agent/progress.h"
#include "agent/report.h"
#include "agent/schedule.h"
#include "agent/spool.h"
#include "agent/status.h"
#include "agent/timekeeper.h"
#include "agent/usage.h"
#include "base/map.h"
#include "base/resolve.h"
#include "measure/runner.h"
#include "probe/engine.h"
#include "probe/modes.h"

enum agent_ending {
    AGENT_RUNS,
    AGENT_DRAINS, /* no round is started any more, those that run are finished */
    AGENT_SENDS,  /* what was measured goes to the server, if it is there */
    AGENT_LEAVES  /* the last report is under way */
};

struct agent {
    const struct agent_settings *settings;
    const struct agent_options *options;
    struct timekeeper time;
    const struct clock *clock; /* of time */
    struct loop *loop;
    struct rng rng;
    int lock_fd;
    pid_t parent;
    struct probe_engine *engine;
    struct resolver *resolver;      /* of targets */
    struct resolver *link_resolver; /* of the server; NULL = libcurl's */
    struct probe_modes *modes; /* what is remembered of TCP targets */
    struct hop_names *hop_names;
    struct measure_context context;
    struct spool *spool;
    struct progress *progress;
    struct schedule *schedule;
    struct plan *plan; /* NULL until there is one */
    bool is_refused;   /* the server does not know us: nothing is started */
    bool is_displaced; /* another process has our identity: likewise, until a new start */
    bool is_doubt_told; /* that the clock was set */
    bool waits_for_time; /* the clock is before the plan's: likewise */
    struct active *rounds;
    struct pac *pac;
    struct http *http;
    struct registration *registration;
    struct plan_poll *poll;
    struct link *link;
    struct report *report;
    struct message_identity identity;
    char authorization[320];
    char state_path[512];
    struct arena arena; /* of the process */
    struct loop_timer schedule_timer, tick_timer, end_timer;
    enum agent_ending ending;
    int64_t started_ns; /* wall */
    unsigned ticks;
    int exit_status;
    struct net *net;
    struct health *health;
    uint64_t clock_steps; /* that health knows of */
    struct usage usage;
    uint64_t addresses_hash;
    char local_problem[HEALTH_TEXT_BYTES]; /* as told last; "" = none */
    int64_t cpu_ns[2], cpu_at_ns[2]; /* used, and when looked at: of now and of five minutes ago */
    struct agent_status status;
    char last_error[600];
    struct map told;        /* test or run -> version + 1: what cannot be run and was told */
    int64_t told_limit_ns;
    uint64_t told_refused; /* rounds */
    struct buf status_text;
};

/* agent.c */
const char *agent_path(struct agent *agent, const char *name); /* in the state directory; valid until the next call */
void agent_drained(struct agent *agent); /* a round has ended: perhaps it was the last one */

/* agent_tell.c */
void agent_note_error(struct agent *agent, const struct error *err);
void agent_write_status(struct agent *agent);
void agent_look(struct agent *agent); /* once a second: what is wrong here */
void agent_fill_report(void *user, struct message_report *report, struct arena *arena);

/* agent_rounds.c */
void agent_start_runs(struct agent *agent);
void agent_on_schedule(void *user);
void agent_schedule_plan(struct agent *agent); /* hands the tests to the schedule, none when none may run */
void agent_on_unsupported(void *user, const struct plan_item *item, const struct error *err);
void agent_end_continuous(struct agent *agent); /* those that would fill their minute are kept as far as they went */
void agent_stop_rounds(struct agent *agent);
size_t agent_running(const struct agent *agent);

#endif
