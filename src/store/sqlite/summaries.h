/*
 * Summaries in parts: of each (test, day) one row with the totals of its hours and of the whole day, of each (test, hour)
 * one with the metrics of every agent and one with their paths. The fold of an hour writes them in the same commit as
 * its chunks; hours of which the head still has rounds are summed up when they are asked for.
 */
#ifndef OCULI_STORE_SQLITE_SUMMARIES_H
#define OCULI_STORE_SQLITE_SUMMARIES_H

#include "store/sqlite/part.h"
#include "store/summary.h"

/* Writes what some agents' rounds of an hour say, all of them, into the part, which is being written. */
int summaries_update(struct part *part, uint64_t test_id, int64_t hour, const struct summary_set *fresh,
                     struct error *err);

/* What a row of that kind has, for the check of a store: flags of summary_read. */
unsigned summaries_flags(int kind);

int sqlite_summaries(struct store *store, const struct store_summary_query *query, const struct store_summary_fns *fns,
                     void *user, struct error *err);

#endif
