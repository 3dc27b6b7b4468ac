/*
 * One round of a test: which it is among its neighbours, the value of each layer, and what every agent reported.
 *
 * `index` counts from 0 and stays below `count`: the place of the round among the rounds of the 24 hours that end with the latest
 * one, or with this one when it is older than that.
 */
#ifndef OCULI_SERVER_ROUND_H
#define OCULI_SERVER_ROUND_H

#include "server/view.h"

/* Finds the newest round at or before at_s (INT64_MAX: the latest) that a chosen agent reported; 0 = none. */
int round_find(const struct view *view, int64_t at_s, int64_t *ret_round, struct error *err);

/* Appends the JSON object of a round found by round_find; round_id 0 = an answer without a round (null). */
int round_write(const struct view *view, int64_t round_id, struct buf *out, struct error *err);

#endif
