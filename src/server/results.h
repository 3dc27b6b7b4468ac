/*
 * Results as the server keeps them: from the parts an agent sends to a round of the store and back.
 *
 * A round of the store has the values of the type's metrics, a fingerprint of its paths, and the parts as they were
 * sent (CBOR of each part's table, checked when they came in): path traces as its detail, the others as its body. Metrics and fingerprint answer timelines and lists
 * without opening a body. The fingerprint made here knows the round alone; known_paths.h compares the round with those
 * before it and gives it the one that is stored. Everything returned lives in the arena given.
 */
#ifndef OCULI_SERVER_RESULTS_H
#define OCULI_SERVER_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limit.h"
#include "measure/type.h"
#include "store/store.h"
#include "wire/message.h"

/* --- how good a value is ------------------------------------------------------------------------------------------ */

enum results_state { RESULTS_OK, RESULTS_MINOR, RESULTS_MAJOR, RESULTS_CRITICAL, RESULTS_NO_DATA };
extern const char *const results_state_names[]; /* "ok", "minor", "major", "critical", "no-data" */

/* By the metric's thresholds: a value at or beyond one has its state. A metric without thresholds is always ok (it is
 * judged against its own past, which is not built yet), one without a value has no data. */
enum results_state results_state_of(const struct measure_metric *metric, double value);

/* One digit for a small chart: '0'-'2' ok, '3'-'5' minor, '6'-'8' major, '9' critical, within a state by thirds of the
 * way to the next; '0' is no trouble at all; '-' without a value. */
char results_digit(const struct measure_metric *metric, double value);

/* --- rounds ------------------------------------------------------------------------------------------------------- */

/* A metric in the store is the metric's index in its type; beyond these are our own. */
#define RESULTS_METRIC_ERROR 0xfff0u /* present (1) when no metric has a value and a part says why */

#define RESULTS_TRACES (2 * LIMIT_PATH_TRACES) /* compared of one round; a type traces in two directions at most */

/* Where one flow went, as far as this round saw it. */
struct results_trace {
    uint16_t flow;          /* its number within its part, and the part */
    uint8_t count;          /* places up to the last that answered; all are nearer than the target */
    uint8_t target_ttl;     /* the lowest TTL at which the target answered */
    bool is_loop;
    uint32_t target;        /* hash of its address; 0 = not reached */
    const uint32_t *places; /* hash of the address that answered TTL i + 1; 0 = none */
};

struct results_paths {
    struct results_trace *traces;
    size_t count;
};

/*
 * Checks the parts of a round and fills round's metrics, fingerprint, body and detail and what its traces saw; the caller sets
 * the rest. An unknown part (of an agent newer than we are) is kept unread. -E_INVALID, -E_TYPE: a part does not read
 * as its table, err->where names it. -E_REQUIRED: no part at all. -E_RANGE: larger than LIMIT_RESULT_BYTES. -E_LIMIT:
 * the arena is full.
 */
int results_pack(const struct measure_type *type, const struct message_part *parts, size_t count, struct arena *arena,
                 struct store_round *round, struct results_paths *ret_paths, struct error *err);

/* A round read back. */
struct results_round {
    const struct measure_type *type;
    void *result;   /* the type's result struct; parts that were not measured have their defaults */
    unsigned parts; /* bit i: type->parts[i] was measured */
};

/* -E_CORRUPT: the body does not read. */
int results_unpack(const struct measure_type *type, const struct store_round *round, struct arena *arena,
                   struct results_round *ret_round, struct error *err);

/* The record of a part, or NULL when it was not measured. */
const void *results_part(const struct results_round *round, const struct measure_part *part);

/* What the path traces of a round saw. -E_LIMIT: the arena is full. */
int results_paths(const struct results_round *round, struct arena *arena, struct results_paths *ret_paths,
                  struct error *err);

/* The first text of that name that is not empty in any part ("errorDetails", "oculi.sackInterference"); NULL when there is
 * none. */
const char *results_text(const struct results_round *round, const char *name);

/* One digit for each second of a continuous round, as many as there are rows: the share of the packets sent in it that
 * was lost, '0' none to '9' all; '-' nothing was sent, or it was not measured. NULL when the round was not continuous. */
const char *results_seconds(const struct results_round *round, struct arena *arena);

/* The value of a metric in a round of the store; NaN when absent. */
double results_metric(const struct store_round *round, unsigned metric_id);

/* The worst state of the round's metrics; critical when nothing could be measured, no-data when it says nothing. */
enum results_state results_state(const struct measure_type *type, const struct store_round *round);

/* The index of a metric by its id ("loss"), or -1. */
int results_metric_find(const struct measure_type *type, const char *id);

#endif
