/*
 * The timeline of one metric of a test over its agents: one column per round, or per bin of several.
 *
 * Percentiles are interpolated linearly between the closest ranks: with n values in ascending order v[0]..v[n-1], the
 * p-th is at place p * (n - 1), so that one value is all of its percentiles and p0, p100 are least and greatest. A bin
 * holds the values of all agents and rounds in it.
 *
 * A window with more rounds than TIMELINE_ROUNDS is told from hourly summaries: bins are whole hours then, and p10 and
 * p90 are within half a per cent of a value that was measured; the rest is as exact as ever. The ends of the window that
 * are no full hours come from the rounds themselves.
 */

#ifndef OCULI_SERVER_TIMELINE_H
#define OCULI_SERVER_TIMELINE_H

#include "server/view.h"

#define TIMELINE_ROUNDS 300000

struct timeline_query {
    const char *metric;   /* id; NULL = the type's first */
    int64_t from_s, to_s; /* [from, to) */
    size_t max_points;    /* 0 = LIMIT_TIMELINE_POINTS; at least 2 */
};

/* Appends the JSON object. -E_UNKNOWN: no such metric. -E_RANGE: to is not after from, or the time is too long. */
int timeline_write(const struct view *view, const struct timeline_query *query, struct buf *out, struct error *err);

/* The p-th percentile (0..1) of count > 0 values in ascending order, as defined above. */
double timeline_percentile(const double *values, size_t count, double p);

#endif
