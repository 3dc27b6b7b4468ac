/*
 * A thread that waits for the disk in the loop's place: it flushes parts that were written, and moves their write-ahead
 * logs into them when those have grown. One job at a time.
 */
#ifndef OCULI_STORE_SQLITE_WORKER_H
#define OCULI_STORE_SQLITE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define WORKER_FILES 4u

struct worker;

struct worker *worker_new(void);
void worker_free(struct worker *worker); /* NULL is allowed; waits for the job under way */

/* Asks for the files (databases in WAL mode) and their directory to be flushed; nothing else may be asked for yet.
 * `beside` is a database of which only a long log is moved. */
void worker_ask(struct worker *worker, const char *const *files, size_t count, const char *dir, const char *beside);

/* Whether it is done, waiting at most wait_ns; then *ret_rc is its outcome, and the worker is free. */
bool worker_done(struct worker *worker, int64_t wait_ns, int *ret_rc, struct error *err);

#endif
