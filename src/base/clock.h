/*
 * Time. Two clocks, never mixed: monotonic time for intervals and deadlines, wall time (UTC, Unix epoch) for stamps
 * that people read. Both are signed 64-bit nanoseconds. A struct clock is passed to whatever must run under a
 * simulated time; clock_real is the machine's.
 */
#ifndef OCULI_BASE_CLOCK_H
#define OCULI_BASE_CLOCK_H

#include <stdint.h>
#include <stddef.h>

#define CLOCK_US 1000LL
#define CLOCK_MS 1000000LL
#define CLOCK_S 1000000000LL

struct clock {
    int64_t (*mono_ns)(const struct clock *clock);
    int64_t (*wall_ns)(const struct clock *clock);
};

extern const struct clock clock_real;

static inline int64_t clock_mono_ns(const struct clock *clock)
{
    return clock->mono_ns(clock);
}

static inline int64_t clock_wall_ns(const struct clock *clock)
{
    return clock->wall_ns(clock);
}

/* A clock that stands still until told. */
struct clock_sim {
    struct clock clock; /* first member */
    int64_t mono;       /* ns */
    int64_t wall;       /* ns since the epoch */
};

void clock_sim_init(struct clock_sim *sim, int64_t wall_ns);
void clock_sim_advance(struct clock_sim *sim, int64_t ns); /* both clocks */

/* Epoch seconds as "2026-11-21T02:30:00Z" (RFC 3339); buf of at least CLOCK_ISO_BYTES; returns buf. */
#define CLOCK_ISO_BYTES 32
char *clock_iso(int64_t epoch_s, char *buf, size_t size);

/* Reads an RFC 3339 date-time (any offset, fraction ignored) or a bare date; 0 or -E_INVALID. */
int clock_parse_iso(const char *text, int64_t *ret_epoch_s);

#endif
