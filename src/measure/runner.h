/*
 * How a measure type is performed: one constant struct measure_runner per folder (run.c), linked into agents and the
 * command line only. A runner composes probe/ and libraries; it owns no thread and never blocks: start returns at
 * once and done is called later on the loop's thread.
 */
#ifndef OCULI_MEASURE_RUNNER_H
#define OCULI_MEASURE_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "measure/type.h"

struct message_proxy;
struct probe_engine;
struct probe_modes;
struct resolver;

/* What the place of measuring provides to every round. */
struct measure_context {
    struct loop *loop;
    struct probe_engine *engine;
    struct resolver *resolver; /* of the loop: base/resolve.h */
    const struct clock *clock;
    int ipv6_policy; /* the agent's: enum sock_family */
    struct probe_modes *modes; /* what is remembered of TCP targets: probe/modes.h; NULL = nothing */
};

/* One run of a test. The caller makes it, sets the first group, and keeps it until done has been called. */
struct measure_round {
    const struct measure_context *context;
    const void *settings;    /* of the type's settings table; outlives the round */
    const char *source_ip;   /* NULL = the system's choice */
    const struct message_proxy *proxy; /* wire/message.h: for types that can use one; NULL = none */
    bool is_unverified;      /* certificates of targets are not verified */
    const char *refusal;     /* why the place of measuring cannot do it: told as the result's error; NULL = it can */
    uint64_t flow_seed;      /* path traces of the same seed use the same flows, so that rounds compare; 0 = others */
    /* Continuous rounds: when the first second of their minute begins, monotonic; it may have passed: then what is left
     * of the minute is measured. 0 = when the round starts. */
    int64_t minute_ns;
    int64_t burst_delay_ns;  /* continuous rounds: what is sent in a burst (path traces) waits this long; 0 = not */
    int64_t deadline_ns;     /* monotonic; 0 = none; then the round is ended and done called with what it has */
    void (*progress)(struct measure_round *round); /* result has news to show; may be NULL */
    void (*done)(struct measure_round *round);     /* result is complete; the caller may free the round in it */
    void *user;

    void *result;            /* the type's result struct, from arena; readable in progress and done */
    struct arena arena;      /* the round's; initialised by measure_round_start, freed by measure_round_done */
    int64_t start_wall_ns, end_wall_ns;
    void *state;             /* the runner's own */
    struct loop_timer deadline;
    const struct measure_runner *runner;
};

struct measure_runner {
    const struct measure_type *type;
    /* Refuses with an error what this build cannot do (E_NOT_SUPPORTED naming the field). A name that does not
     * resolve is a result, not an error. After 0, done is called exactly once unless stop is called first. */
    int (*start)(struct measure_round *round, struct error *err);
    /* Ends the round now: done is not called, and result holds what was measured until now. */
    void (*stop)(struct measure_round *round);
};

extern const struct measure_runner *const measure_runners[]; /* NULL-terminated, same order as measure_types */
const struct measure_runner *measure_runner_find(const char *type_name);

/* Prepares arena, result and times, then starts the runner. */
int measure_round_start(const struct measure_runner *runner, struct measure_round *round, struct error *err);
/* Ends it early: done is not called, result holds what there is; measure_round_done is still to be called. */
void measure_round_stop(struct measure_round *round);
/* For runners: result is complete. Notes the end and calls done. */
void measure_round_finish(struct measure_round *round);
void measure_round_done(struct measure_round *round); /* frees what start made */

#endif
