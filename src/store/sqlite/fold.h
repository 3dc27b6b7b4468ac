/*
 * Folding: rounds of hours that are over go from the head into chunks of the parts.
 *
 * One step takes some agents of one test and hour: it reads their rounds, joins them with what is folded of that hour
 * already (late rounds), writes the chunks and commits the parts. After some of these the worker flushes the parts, and
 * only then it is noted in the head how far the fold came. When all of an hour is folded its rounds leave the head, side by side as they lie there. Until then they are in both places, where
 * readers tell them once. Rounds that come while their hour is folded wait for the next time: their bodies have numbers
 * beyond those that the fold takes. A crash before the note makes the next fold do those steps again; the chunks come out
 * the same. An hour waits until nothing has come for it for a while.
 */

#ifndef OCULI_STORE_SQLITE_FOLD_H
#define OCULI_STORE_SQLITE_FOLD_H

#include "store/sqlite/sqlite.h"

#define FOLD_ARENA ((size_t)512 << 20) /* memory of one test's hour */
#define FOLD_GRACE_S 300               /* after the end of an hour its last rounds may still come */
#define FOLD_QUIET_S 60                /* and late ones come in batches */

/* A round is being appended to the hour; its body's number is (*ret_touched)->next_body. */
int fold_touch(struct sqlite_store *s, int64_t hour, struct sqlite_touched **ret_touched, struct error *err);

/* At the start: goes on with an hour whose rounds were leaving the head. */
int fold_resume(struct sqlite_store *s, struct error *err);

/* One step in hours before the one of now_s; *ret_found: there was something to fold. Hours that ended before
 * oldest_s are dropped instead. Counts rounds. */
int fold_step(struct sqlite_store *s, int64_t now_s, int64_t oldest_s, int64_t deadline_ns, bool *ret_found,
              struct store_upkeep *counts, struct error *err);


#endif
