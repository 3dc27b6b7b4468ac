/*
 * A thread that syncs files, so that a slow disk never holds the agent's loop. Private to the spool.
 */
#ifndef OCULI_AGENT_SPOOL_SYNC_H
#define OCULI_AGENT_SPOOL_SYNC_H

#include "base/error.h"

struct spool_sync;

int spool_sync_new(struct spool_sync **ret_sync, struct error *err);
void spool_sync_free(struct spool_sync *sync); /* finishes what was asked for */

/* Asks for the present content of fd (which stays the caller's) to reach the disk. When too many requests wait, the
 * call itself syncs. */
void spool_sync_ask(struct spool_sync *sync, int fd);

/* errno of a sync that failed since the last call, or 0. */
int spool_sync_failure(struct spool_sync *sync);

#endif
