/*
 * What has been run, across restarts: the last round of each test and the runs asked for once. A file of fixed slots
 * that are overwritten in place, so that remembering costs one small write and needs no free disk space. It is not
 * synced: after a power cut a round may be run again in its slot, which the server takes as a duplicate.
 */
#ifndef OCULI_AGENT_PROGRESS_H
#define OCULI_AGENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct progress;

/* Slots that are damaged are forgotten; progress_damaged says how many were. */
int progress_open(const char *path, struct progress **ret_progress, struct error *err);
uint32_t progress_damaged(const struct progress *progress);
void progress_close(struct progress *progress); /* NULL is fine */

void progress_round(struct progress *progress, uint64_t test_id, int64_t round_id);
void progress_run(struct progress *progress, uint64_t run_id, int64_t now_s);
/* The last round of a test, 0 = unknown. */
int64_t progress_last(const struct progress *progress, uint64_t test_id);
bool progress_has_run(const struct progress *progress, uint64_t run_id);

/* Calls fn for the last round of every test. */
typedef void progress_fn(void *user, uint64_t test_id, int64_t round_id);
void progress_each_round(const struct progress *progress, progress_fn *fn, void *user);

#endif
