/*
 * Units: what tests cost by the product's table (units of one run on a cloud agent by measure type; half on an
 * enterprise agent, which all of ours are), charged by configuration: a version of a test's settings is charged for the
 * time it stood, enabled, whatever was measured. Runs asked for once, and tests that were deleted, are kept as records
 * of their month. Counted in thousandths of a unit.
 *
 * Times are epoch seconds; months are calendar months in UTC.
 */
#ifndef OCULI_SERVER_USAGE_H
#define OCULI_SERVER_USAGE_H

#include "server/object.h"

extern const struct object_kind usage_kind; /* records of months; only for going through all kinds */

struct usage_item {
    uint64_t aid, test_id, agent_id;
    const char *test_name, *test_type;
    bool is_instant;
    int64_t used_milli, projected_milli; /* projected: by the end of the window, if all stays as it is */
};

/* The first second of the month of when_s, and of the one after. */
void usage_month(int64_t when_s, int64_t *ret_from_s, int64_t *ret_until_s);

/* Thousandths of a unit an hour that the test costs as it is; 0 when it does not run. */
int64_t usage_rate_milli(const struct object_test *test, struct arena *arena);

/* Inside the caller's transaction: one run of the test on each of its agents; and what a test that goes has cost this
 * month. */
int usage_add_run(struct store *store, const struct object_test *test, int64_t now_s, struct arena *arena,
                  struct error *err);
int usage_keep_deleted(struct store *store, const struct object_test *test, int64_t now_s, struct arena *arena,
                       struct error *err);

/* What was used from from_s until now_s, and will have been by until_s, by test and agent: struct usage_item in arena.
 * aid 0 = every account group. */
int usage_list(struct store *store, uint64_t aid, int64_t from_s, int64_t now_s, int64_t until_s, struct arena *arena,
               struct field_list *ret_items, struct error *err);

#endif
