/*
 * From the kernel's stamps, which are wall time, to monotonic time.
 *
 * The two clocks of a machine run at the same speed, and their difference changes only when somebody steps the wall
 * clock. Their difference is therefore kept, and when it jumps, stamps taken just before and just after the step are
 * told apart by which of the two differences puts them where they can have been made. A step is thereby kept out of
 * every round trip time; only steps shorter than the time between two readings (a few milliseconds) may deceive the
 * packets that were under way.
 *
 * Pure arithmetic: no clock is read here.
 */
#ifndef OCULI_PROBE_STAMP_H
#define OCULI_PROBE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct stamp_clock {
    int64_t offset_ns;     /* wall - monotonic, as it is */
    int64_t old_offset_ns; /* as it was before the last step */
    int64_t read_ns;       /* monotonic time of the last reading */
    int64_t before_ns, noticed_ns; /* the last step lies between these two readings */
    bool is_set, has_stepped;
};

/* A reading of both clocks, at most slack_ns apart from each other. */
void stamp_clock_read(struct stamp_clock *clock, int64_t mono_ns, int64_t wall_ns, int64_t slack_ns);

/* A wall time stamp taken before the last reading, as monotonic time. */
int64_t stamp_to_mono(const struct stamp_clock *clock, int64_t stamp_ns);

#endif
