/*
 * Flushing the store on a thread of its own, so that nobody else waits for the disk (store_sync).
 */
#ifndef OCULI_SERVER_FLUSH_H
#define OCULI_SERVER_FLUSH_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "store/store.h"

struct flush;

/* On the loop's thread: what was committed before flush_start is on the disk (rc 0), or nobody knows (rc, err). */
typedef void flush_fn(void *user, int rc, const struct error *err);

int flush_open(struct store *store, struct loop *loop, flush_fn *fn, void *user, struct flush **ret_flush,
               struct error *err);
/* Waits for the flush under way, which is told to nobody any more. */
void flush_close(struct flush *flush);

void flush_start(struct flush *flush); /* one at a time: not before fn was called for the last */
bool flush_is_running(const struct flush *flush);

#endif
