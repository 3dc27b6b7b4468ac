/*
 * The time that rounds carry. It is the machine's, unless that is wrong: more than TIMEKEEPER_WRONG_NS away from the
 * server's. Then it is the server's, carried on by the clock that counts since the machine was started, until the
 * machine's own has been set. So rounds of an agent whose clock is a day off are where those of the others are.
 *
 * When the machine's clock is set by more than that although the server has confirmed it before, it is doubted: the
 * time goes on as it was until the server has told which of the two is right. Before the server has confirmed it once,
 * a clock that is set is taken to be set right, as that of a machine that has just been started is.
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
    const struct clock *machine; /* its clocks: the real ones, but in checks */
    bool is_corrected;
    bool is_confirmed;  /* the server has told its time once */
    bool is_doubted;    /* corrected because the clock was set, and the server has not told yet */
    int64_t offset_ns;  /* the machine's clock minus the time since its start, when last read */
    int64_t anchor_ns;  /* corrected: the server's time when the machine was started */
};

/* Corrected at once when the file of state_dir (NULL = none) says so. machine: NULL = the real one. */
void timekeeper_init(struct timekeeper *keeper, const char *state_dir, const struct clock *machine);

/* The server says what time it is there. Returns how far the machine's own clock is ahead of it, ns. *ret_is_changed:
 * is_corrected or the correction is another than before. */
int64_t timekeeper_hear(struct timekeeper *keeper, int64_t server_ns, bool *ret_is_changed);

#endif
