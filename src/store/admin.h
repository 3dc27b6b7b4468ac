/*
 * What an operator does with a store from outside: back up, check, compact. Each works while a server has the store open
 * and when none does. Only stores on a disk of this machine can be asked; `path` is the PATH of sqlite:PATH.
 *
 * Errors as in store.h; err->where names the file.
 */
#ifndef OCULI_STORE_ADMIN_H
#define OCULI_STORE_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Told as the work goes on: what is at hand, how much is done of how much. fn NULL = nobody listens. */
struct store_progress {
    void (*fn)(void *user, const char *what, uint64_t done, uint64_t total);
    void *user;
};

/*
 * Writes a copy of the store into the directory: a file of the same name as path and its parts beside it. Every file is one
 * committed state, and together they hold every round that was committed when it began; the copy is a store that
 * can be opened. -E_EXISTS: there is a store already.
 */
int store_backup(const char *path, const char *to_dir, const struct store_progress *progress, struct error *err);

struct store_check_result {
    uint64_t files, rounds, chunks, problems;
    bool is_running; /* a server has it open */
};

/*
 * Reads all of it: every page, chunk, body, reference into a dictionary, summary and count. Each problem goes to
 * `problem` with the file and a sentence; the check goes on behind it. Returns 0 when it could look at everything.
 */
int store_check(const char *path, void (*problem)(void *user, const char *where, const char *text), void *user,
                const struct store_progress *progress, struct store_check_result *ret_result, struct error *err);

struct store_compact_result {
    uint64_t bytes_before, bytes_after;
    uint64_t skipped; /* files that were in use */
};

/* Gives unused pages back to the file system. While a server runs, the database itself and the days that are still
 * written to are left alone. Needs as much free space as the largest file. */
int store_compact(const char *path, const struct store_progress *progress, struct store_compact_result *ret_result,
                  struct error *err);

#endif
