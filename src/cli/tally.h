/*
 * What many round-trip times come down to. Minimum, mean and maximum are over all of them; median and jitter are over
 * the latest TALLY_SAMPLES, so that a measurement without an end needs bounded memory.
 *
 * Jitter is the mean absolute deviation from the mean, as everywhere in Oculi.
 */
#ifndef OCULI_CLI_TALLY_H
#define OCULI_CLI_TALLY_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_SAMPLES 65536u

/* All zero is an empty one. Times in nanoseconds. */
struct tally {
    uint64_t count;
    double sum_ns;
    int64_t min_ns, max_ns, last_ns;
    int64_t *samples; /* a ring once it has TALLY_SAMPLES */
    size_t room;
};

void tally_add(struct tally *tally, int64_t rtt_ns);
void tally_done(struct tally *tally);

/* NaN while there is none. */
double tally_mean_ns(const struct tally *tally);
double tally_median_ns(const struct tally *tally);
double tally_jitter_ns(const struct tally *tally);

#endif
