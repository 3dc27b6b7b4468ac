/*
 * What requests came to: counted by part of the surface and status, and how long they took, in the buckets that the
 * metrics page shows. Fixed size; nothing here fails.
 */
#ifndef OCULI_SERVER_TALLY_H
#define OCULI_SERVER_TALLY_H

#include <stdint.h>

/* PLANS are the long polls of agents and STREAMS the events of browsers: they wait on purpose, so their time says
 * nothing. */
enum tally_part { TALLY_V7, TALLY_UI, TALLY_AGENT, TALLY_PLANS, TALLY_STREAMS, TALLY_PAGES, TALLY_OPERATOR, TALLY_PARTS };
extern const char *const tally_part_names[TALLY_PARTS]; /* "v7", "ui", "agent", "plans", "streams"... */

/* The part that a path belongs to; path may be NULL. */
enum tally_part tally_part_of(const char *path);

#define TALLY_BUCKETS 13u
extern const double tally_bounds[TALLY_BUCKETS]; /* seconds, ascending */

struct tally_times {
    uint64_t buckets[TALLY_BUCKETS + 1]; /* not cumulative; the last is above all bounds */
    uint64_t count;
    uint64_t sum_us;
};
void tally_time(struct tally_times *times, int64_t us);

#define TALLY_STATUS_MIN 100
#define TALLY_STATUSES 500

struct tally {
    uint64_t statuses[TALLY_PARTS][TALLY_STATUSES]; /* from TALLY_STATUS_MIN on */
    struct tally_times times[TALLY_PARTS];
    struct tally_times lag; /* how late the loop's timer was */
    uint64_t logins_refused;
};
void tally_request(struct tally *tally, const char *path, int status, int64_t us);

#endif
