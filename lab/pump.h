/*
 * Carries packets between TUN devices and the net, on time: it sleeps until shortly before something is due and then
 * watches the clock.
 */
#ifndef OCULI_LAB_PUMP_H
#define OCULI_LAB_PUMP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "lab/net.h"
#include "lab/tun.h"

#define LAB_LATE_BINS 64u /* of two to the octave, from 1 us */

struct lab_pump {
    struct lab_net *net;
    struct lab_tun *tuns; /* one for each vantage */
    unsigned count;
    int64_t spin_ns;   /* watch the clock for so long before a packet is due */
    bool is_busy;      /* never sleep */
    int epoll_fd, signal_fd;
    int64_t now_ns, mono_minus_real_ns;
    uint64_t refused;  /* writes the kernel did not take */
    uint64_t written, late_sum_ns, late_max_ns;
    uint64_t late[LAB_LATE_BINS];
};

/* Prepares to run; signals that are to end or concern the run are blocked and come through `signals`. */
int lab_pump_init(struct lab_pump *pump, struct lab_net *net, struct lab_tun *tuns, unsigned count,
                  const sigset_t *signals, struct error *err);
void lab_pump_done(struct lab_pump *pump);

/* Runs until a signal comes; returns its number. */
int lab_pump_run(struct lab_pump *pump);

/* How late packets were written, in ns: the given share (0.5, 0.99) was not later. */
int64_t lab_pump_late_ns(const struct lab_pump *pump, double share);

/* What the machine's side adds to the truth: a JSON object. */
void lab_pump_report(const struct lab_pump *pump, struct buf *json);

#endif
