/*
 * What is known of the paths of every (test, agent): whether a round went another way than the rounds before it.
 *
 * A round does not see all of its path: answers are lost, routers answer only so many probes a second. So a round is
 * not compared with the one before but with what the rounds before it have told together. It is compatible when nothing
 * that it saw contradicts that: flow by flow, no place (TTL) has another address, and the target is the same and can be
 * as far away; a place that is silent on either side says nothing, nor does a trace that ended early. A trace that runs
 * in a circle contradicts a flow that did not. What a compatible round saw is added to what is known, and it gets the
 * fingerprint of the rounds before; what an incompatible round saw is all that is known from then on, under a new
 * fingerprint. Equal fingerprints of neighbours therefore mean that no change of route was seen.
 *
 * A round that is not newer than the newest known is compared but changes nothing. What is known of a (test, agent) is
 * learnt from its newest round in the store when it is first asked for, so that a restart makes no change of its own;
 * beyond LIMIT_KNOWN_PATHS of them a round keeps the fingerprint it has.
 *
 * Rounds are judged before they are stored; what was learnt meanwhile counts only after known_paths_keep.
 */
#ifndef OCULI_SERVER_KNOWN_PATHS_H
#define OCULI_SERVER_KNOWN_PATHS_H

#include "measure/type.h"
#include "server/results.h"
#include "store/store.h"

#define KNOWN_PATHS_BACK_S (7 * 86400) /* how far back the store is asked */
#define KNOWN_PATHS_BACK_ROUNDS 100u   /* and through how many rounds without traces */

struct known_paths;

/* The store stays the caller's and outlives it. max: LIMIT_KNOWN_PATHS, less in checks. */
struct known_paths *known_paths_new(struct store *store, size_t max);
void known_paths_free(struct known_paths *known); /* NULL is allowed */
void known_paths_forget_test(struct known_paths *known, uint64_t test_id);

/* Sets the fingerprint of a round that is about to be stored, whose traces saw `paths`; without traces it stays as it
 * is. Reads the store, so not to be called within a transaction; what cannot be read there counts as unknown. */
void known_paths_judge(struct known_paths *known, const struct measure_type *type, const struct results_paths *paths,
                       struct store_round *round);

/* The rounds judged since the last of these calls are in the store, or will not be. */
void known_paths_keep(struct known_paths *known);
void known_paths_drop(struct known_paths *known);

size_t known_paths_count(const struct known_paths *known); /* (test, agent) pairs of which something is known */

#endif
