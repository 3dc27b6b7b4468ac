/*
 * The time that rounds carry. It is the machine's, unless that is wrong: more than TIMEKEEPER_WRONG_NS away from the server's.
 * Then it is the server's, carried on by the clock that counts since the machine was started, until the machine's own
 * has been set. So rounds of an agent whose clock is a day off are where those of the others are.
 *
 * What was learned of the server's time is kept on disk for as long as the machine is not started anew, so that it is
 * known before the server answers.
 */
#ifndef OCULI_AGENT_TIMEKEEPER_H
#define OCULI_AGENT_TIMEKEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define TIMEKEEPER_WRONG_NS (30 * CLOCK_S)

struct timekeeper {
    struct clock clock; /* first member */
    char path[512];     /* of the file; "" = none is kept */
    bool is_corrected;
    int64_t anchor_ns;  /* corrected: the server's time when the machine was started */
};

/* Corrected at once when the file of state_dir (NULL = none) says so. */
void timekeeper_init(struct timekeeper *keeper, const char *state_dir);

/* The server says what time it is there. Returns how far the machine's own clock is ahead of it, ns. *ret_is_changed:
 * is_corrected or the correction is another than before. */
int64_t timekeeper_hear(struct timekeeper *keeper, int64_t server_ns, bool *ret_is_changed);

#endif
