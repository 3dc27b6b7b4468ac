/*
 * The latest state of every test, in memory: what lists show without asking the store. Filled from the store at the
 * start, kept up to date by intake.
 *
 * For each test the last LATEST_ROUNDS rounds (the mean of the first metric over the agents) and for each agent its
 * newest round with all metrics.
 */
#ifndef OCULI_SERVER_LATEST_H
#define OCULI_SERVER_LATEST_H

#include <stdint.h>

#include "measure/type.h"
#include "server/results.h"
#include "store/store.h"

#define LATEST_ROUNDS 48u
#define LATEST_METRICS 16u /* kept of a type; the first ones */

struct latest;

struct latest *latest_new(void);
void latest_free(struct latest *latest);

/* A round came in (in any order; each once). */
void latest_add(struct latest *latest, const struct measure_type *type, const struct store_round *round);
void latest_forget_test(struct latest *latest, uint64_t test_id);

/* Reads what the store has of a test for a list made at now_s. */
int latest_warm_up(struct latest *latest, struct store *store, uint64_t test_id, const struct measure_type *type,
                   int32_t interval_s, int64_t now_s, struct error *err);

struct latest_summary {
    enum results_state state;          /* the worst over the metrics' means; no-data when the newest round is too old */
    double value;                      /* mean of the first metric over the agents' newest rounds; NaN */
    int64_t last_round;                /* 0 = none */
    size_t agents;                     /* that reported in the newest round or the interval before */
    char sparkline[LATEST_ROUNDS + 1]; /* oldest first: results_digit of each round, '-' without */
};

/* Looks at agents whose newest round is at most one interval older than the test's newest. Data older than three
 * intervals is no data; interval_s 0 (a test that runs only when asked) means that data never gets old. */
void latest_read(const struct latest *latest, uint64_t test_id, const struct measure_type *type, int32_t interval_s,
                 int64_t now_s, struct latest_summary *ret_summary);

/* The newest round of a test, 0 = none. */
int64_t latest_round(const struct latest *latest, uint64_t test_id);

#endif
