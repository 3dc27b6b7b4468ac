/*
 * What the checks of tests/store/ share: a fresh store of the backend under check, and rounds to put into it.
 * The backend's URL is the program's argument; %s in it stands for a directory of the check's own.
 */
#ifndef OCULI_TESTS_STORE_CONFORM_H
#define OCULI_TESTS_STORE_CONFORM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "store/store.h"

struct fixture {
    struct store *store;
    struct arena arena;
    char dir[64];
    char url[128];
};

extern const char *conform_url; /* "memory:" or "sqlite:%s/oculi.db" */
extern const char *conform_source_dir; /* where the dumps of earlier schemas are */

int conform_setup(void **state);
int conform_teardown(void **state);
void conform_reopen(struct fixture *f); /* closes and opens again */
/* Upkeep with everything kept for ever, or by the policy, until there is nothing more to do; what it did. */
struct store_upkeep conform_upkeep(struct fixture *f, const struct store_policy *policy, int64_t now_s);
bool conform_is_lasting(void);          /* the backend keeps what it has after closing */

/* Puts {kind, id 0, aid, key, lookup, body text} and returns the id. */
uint64_t conform_put(struct fixture *f, const char *kind, uint64_t aid, const char *key, const char *lookup,
                     const char *body);

/* Appends one round with metrics {0: round_id, 1: agent_id} and a body that says its three numbers; false when it was
 * there already. */
bool conform_append(struct fixture *f, uint64_t test_id, int64_t round_id, uint64_t agent_id);

/* The answer of a query as text: "round/agent " for each, in order. Lives in the fixture's arena. */
const char *conform_query(struct fixture *f, const struct store_query *query);

extern const struct CMUnitTest conform_objects[], conform_results[], conform_folding[], conform_sqlite[], conform_admin[], conform_migrations[];
extern const size_t conform_objects_count, conform_results_count, conform_folding_count, conform_sqlite_count,
    conform_admin_count, conform_migrations_count;

#define CONFORM_CHECK(name) cmocka_unit_test_setup_teardown(name, conform_setup, conform_teardown)

#endif
