/*
 * Upkeep of the store beside everything else: slices of some milliseconds with pauses between them, so that packing an
 * hour or dropping a year of results never holds up who waits for an answer.
 *
 * Watches the budget too: from UPKEEP_WARN_PERCENT of it on there is a warning (log, metrics, readiness, the health
 * that the UI shows), once a day in the log as long as it lasts.
 */
#ifndef OCULI_SERVER_UPKEEP_H
#define OCULI_SERVER_UPKEEP_H

#include "base/buf.h"
#include "server/config.h"
#include "server/server.h"

#define UPKEEP_WARN_PERCENT 85

struct upkeep;

/* What the options say of how long what is kept. */
struct store_policy upkeep_policy(const struct config *config);

/* Starts with the first turn of the loop. */
struct upkeep *upkeep_start(struct server *server);
void upkeep_stop(struct upkeep *upkeep); /* NULL is allowed */

enum upkeep_budget { UPKEEP_BUDGET_NONE, UPKEEP_BUDGET_OK, UPKEEP_BUDGET_NEAR, UPKEEP_BUDGET_OVER };
extern const char *const upkeep_budget_names[]; /* "none", "ok", "near", "over" */

struct upkeep_state {
    uint64_t slices, slice_ns, longest_slice_ns;
    uint64_t folded, dropped, over_budget; /* rounds */
    uint64_t failures;
    int64_t idle_s; /* when there was last nothing to do; at first the start */
    char failure[400]; /* the last one, while it lasts; "" = none */
    struct store_stats stats; /* of a minute ago at most */
    uint64_t budget_bytes;
    enum upkeep_budget budget;
};
const struct upkeep_state *upkeep_state(const struct upkeep *upkeep);

/* A sentence about what an operator should know, or NULL: the budget, a failure. */
const char *upkeep_warning(const struct upkeep *upkeep, char *text, size_t size);

#endif
