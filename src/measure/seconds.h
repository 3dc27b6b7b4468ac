/*
 * The stream of a continuous round: one probe in each second of a minute, and what became of each second.
 *
 * The minute is that of the schedule: second i begins i seconds after minute_ns, on the monotonic clock, so that a
 * clock that is set meanwhile moves nothing. A stream that begins late measures what is left of the minute. It keeps
 * its place within the second from round to round; beginning behind its place it sends at once when that is still
 * safely within the second, else it waits for its place in the next one.
 */
#ifndef OCULI_MEASURE_SECONDS_H
#define OCULI_MEASURE_SECONDS_H

#include <stdint.h>

#include "base/arena.h"
#include "measure/part.h"
#include "probe/ping.h"

#define SECONDS_WAIT_S 5 /* for the answer to the last probe, at most */

/* When the first probe is to go, at or after now_ns, and how many seconds are left to measure (at least 1). round_ns is
 * when the round was started by its schedule, which is its place within the second. */
int64_t seconds_start(int64_t minute_ns, int64_t round_ns, int64_t now_ns, uint32_t *ret_count);

/* Sets rate, count and ceiling of the stream. */
void seconds_settings(uint32_t count, struct probe_ping_settings *settings);

/* Fills packetsBySecond: a row for each second of the minute. A probe belongs to the second it was sent in, and so does
 * its answer. Rows of seconds in which no probe was tried stay empty before the first and after the last that had one.
 * Probes whose fate is open are left out. Returns how many seconds have a row that is not empty. */
uint32_t seconds_fill(const struct probe_ping_result *ping, int64_t minute_ns, struct measure_network *network,
                      struct arena *arena);

#endif
