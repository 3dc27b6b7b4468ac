/*
 * Delays between attempts to reach the server: doubling from 1 s to 60 s, each shortened by up to a half at random, so
 * that a thousand agents do not come back in the same second.
 */
#ifndef OCULI_AGENT_BACKOFF_H
#define OCULI_AGENT_BACKOFF_H

#include <stdint.h>

#include "base/clock.h"
#include "base/rng.h"

#define BACKOFF_MIN_NS (1 * CLOCK_S)
#define BACKOFF_MAX_NS (60 * CLOCK_S)

struct backoff {
    int64_t next_ns; /* 0 = the last attempt succeeded */
};

static inline int64_t backoff_next_ns(struct backoff *backoff, struct rng *rng)
{
    int64_t delay = backoff->next_ns ? backoff->next_ns : BACKOFF_MIN_NS;
    backoff->next_ns = delay * 2 < BACKOFF_MAX_NS ? delay * 2 : BACKOFF_MAX_NS;
    return delay - (int64_t)rng_below(rng, (uint64_t)delay / 2);
}

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->next_ns = 0;
}

#endif
