/*
 * Passwords are checked on a thread of their own: each takes a seventh of a second on purpose, for which the loop must
 * not stand still. Nothing else happens there. Checks are taken in turn; some wait, more are refused.
 */
#ifndef OCULI_SERVER_HASHER_H
#define OCULI_SERVER_HASHER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"

struct hasher;
struct hasher_job;

typedef void hasher_fn(void *user, bool is_right);

int hasher_open(struct loop *loop, struct hasher **ret_hasher, struct error *err);
void hasher_close(struct hasher *hasher); /* waits for the check under way; NULL is fine */

/* Calls fn once, later, on the loop's thread, unless the job is cancelled. Both texts are copied, and wiped afterwards.
 * NULL when LIMIT_HASHES_WAITING wait already. */
struct hasher_job *hasher_check(struct hasher *hasher, const char *hash, const char *password, hasher_fn *fn, void *user);
void hasher_cancel(struct hasher_job *job);

#endif
