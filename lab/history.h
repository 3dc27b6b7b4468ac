/*
 * A past that an agent did not live: the rounds its plan would have yielded, measured in simulated time.
 *
 * The plan of an agent's state directory is run by the agent's own schedule, runners and probe engine at a vantage
 * point of a simulated internet, on a clock that begins in the past and ends now. The rounds go to the agent's spool as
 * a feed (agent/spool.h), and the agent, running or not, uploads them as its own. Faults of the scenario happen at
 * their wall time, so what was measured here agrees with what is measured live.
 *
 * Each vantage is simulated alone: load that several vantages would put on one router together (a rate limit) is not.
 */
#ifndef OCULI_LAB_HISTORY_H
#define OCULI_LAB_HISTORY_H

#include <stdint.h>

#include "base/error.h"
#include "lab/scenario.h"

struct lab_history {
    const char *vantage;   /* name in the scenario */
    const char *state_dir; /* of an agent that is registered and has its plan */
    int64_t from_s, until_s; /* wall; slots that end after until_s are the living agent's */
    uint64_t seed;         /* 0 = the scenario's own */
};

/* -E_NOT_FOUND names the vantage or the file that is missing. */
int lab_history_make(const struct lab_scenario *scenario, const struct lab_history *history, uint64_t *ret_rounds,
                     struct error *err);

#endif
