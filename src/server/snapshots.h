/*
 * Snapshots of tests: a window of a test's results, copied into a test of its own (a saved event) that runs no more, so
 * that what is looked at stays whatever happens to the test. Rounds are copied in small steps beside everything else;
 * how far it got is kept, and goes on after a restart. Copies are results like others: they go with the retention of
 * results, or with the snapshot.
 *
 * All times are epoch seconds.
 */
#ifndef OCULI_SERVER_SNAPSHOTS_H
#define OCULI_SERVER_SNAPSHOTS_H

#include "base/clock.h"
#include "base/loop.h"
#include "server/object.h"

struct snapshots;

#define SNAPSHOT_API_DAYS 30 /* those made through API v7 */

struct object_snapshot {
    struct object_head head; /* lookup: the code */
    const char *code;        /* random; who has it may see a public one */
    const char *name;
    uint64_t source_test_id, test_id; /* what was copied, and the saved event */
    uint64_t uid;
    int64_t from_s, until_s; /* rounds in [from, until] */
    int64_t round_id;        /* the one looked at first */
    int64_t created_s, expires_s; /* 0 = never */
    bool is_public;
    bool is_copied;    /* all of it */
    int64_t copied_round; /* the last round copied, of agent copied_agent; -1 = none yet */
    uint64_t copied_agent;
};
extern const struct object_kind object_snapshot_kind;

/* store and loop outlive it. Goes on with what was being copied. */
int snapshots_open(struct store *store, struct loop *loop, const struct clock *clock, struct snapshots **ret_snapshots,
                   struct error *err);
void snapshots_close(struct snapshots *snapshots); /* NULL is allowed */

/* A snapshot was committed: its rounds are copied from now on. */
void snapshots_added(struct snapshots *snapshots);

size_t snapshots_waiting(const struct snapshots *snapshots); /* not copied yet */

#endif
