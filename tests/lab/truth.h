/*
 * What `oculi measure` reported, held against what the simulated internet says it did (oculi-lab(1)). Every function
 * fails the check when the two disagree, and says where.
 */
#ifndef OCULI_TESTS_LAB_TRUTH_H
#define OCULI_TESTS_LAB_TRUTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct truth_stream {
    int sent, received, errors, duplicates, reordered;
    double *rtts_us; /* in the order of sending, -1 = no answer; mem_free */
    size_t count;
};

/* The first echo stream to the destination of at least 5 probes that was sent with a TTL of 64 or more; other tools'
 * streams come later. number 0 = the first one. */
struct truth_stream truth_stream(json_t *truth, const char *destination, unsigned number);
void truth_stream_free(struct truth_stream *stream);

/* Counts equal to the packet; at the median the round-trip times within tolerance_us of the truth, plus what the
 * simulator says it was late itself; latency and jitter what the single round-trip times give. Returns how far they are
 * off at the median, in microseconds. */
double truth_check_stream(json_t *result, json_t *truth, const char *destination, double tolerance_us);

enum truth_silence {
    TRUTH_ALL_ANSWER,  /* only hops that the truth calls silent are silent */
    TRUTH_SOME_ANSWER, /* packets are lost or rate limited: others may be silent too */
    TRUTH_ALL_LOST,    /* nothing comes back from the target */
};

/* Every trace is one of the true paths, from the first hop to its true end, labels included. Returns how many of the
 * destination's true paths were seen. */
size_t truth_check_paths(json_t *result, json_t *truth, const char *destination, enum truth_silence silence);

#endif
