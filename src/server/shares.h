/*
 * Which tests an account group sees: its own, and those that other account groups share with it. What is shared is kept
 * in memory, read from the store at the start; whoever changes or deletes a test says so here after the commit.
 */
#ifndef OCULI_SERVER_SHARES_H
#define OCULI_SERVER_SHARES_H

#include "server/object.h"

struct shares;

int shares_open(struct store *store, struct shares **ret_shares, struct error *err);
void shares_close(struct shares *shares); /* NULL is allowed */

/* The store was read and the memory follows it, or neither. */
int shares_test_changed(struct shares *shares, uint64_t test_id, struct error *err);
void shares_group_gone(struct shares *shares, uint64_t aid);

/* Whether the test of another account group is shared with this one. */
bool shares_has(const struct shares *shares, uint64_t test_id, uint64_t aid);

/* Like object_get_in and object_list for tests, with those shared; type NULL = any. live_share is set in those. */
int shares_get_test(const struct shares *shares, uint64_t test_id, uint64_t aid, struct arena *arena,
                    struct object_test *ret_test, struct error *err);
int shares_list_tests(const struct shares *shares, uint64_t aid, const char *type, struct arena *arena,
                      struct field_list *ret_tests, struct error *err);

#endif
