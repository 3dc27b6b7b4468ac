/*
 * Group commit: batches of many requests become few transactions and fewer flushes of the disk, and none of it holds up
 * the loop. Answers to other changes wait for the same flushes.
 *
 * Batches wait in the order they came. A slice of a few milliseconds reads and takes as many rounds as it can, perhaps of
 * several batches, perhaps not all of a large one, and commits them; between slices the loop serves everybody else.
 * Commits do not wait for the disk: a thread of its own flushes what was committed before it began, and only then do
 * the batches that were complete by then have their receipts. While it flushes, slices go on. docs/intake.md tells more.
 *
 * What happens to a batch that is taken in part when a transaction fails, or whose agent goes away: what was committed
 * stays, the agent has no receipt and sends it again, and the rounds that are there already are duplicates.
 */
#ifndef OCULI_SERVER_GATHER_H
#define OCULI_SERVER_GATHER_H

#include "base/arena.h"
#include "base/loop.h"
#include "server/intake.h"
#include "wire/message.h"

#define GATHER_SLICE_NS (4 * CLOCK_MS)

struct gather;

/* Owned by who submits it, until ended was called or it was cancelled; what is below the line is ours. */
struct gather_batch {
    uint64_t agent_id, aid;
    /* Reads the batch into arena; called once, when its turn has come. */
    int (*read)(struct gather_batch *batch, struct arena *arena, struct message_batch *ret_batch, struct error *err);
    /* The receipt, when rc is 0; else why there is none. */
    void (*ended)(struct gather_batch *batch, int rc, const struct message_receipt *receipt, const struct error *err);
    /* --- */
    struct gather_batch *next, *previous;
    struct gather_list *list; /* NULL = with nobody */
    struct arena arena;
    struct message_batch message;
    struct intake_work *work;
    bool is_touched; /* by the slice under way */
    int rc;
    struct error err;
    struct message_receipt receipt;
};

struct gather_counts {
    uint64_t slices, flushes;
    uint64_t slice_ns, longest_slice_ns;
    uint64_t flush_ns, longest_flush_ns;
    size_t waiting; /* batches without a receipt */
};

/* told (may be NULL) is called after each slice that changed something. */
int gather_open(struct intake *intake, struct store *store, struct loop *loop, void (*told)(void *user), void *user,
                struct gather **ret_gather, struct error *err);
void gather_close(struct gather *gather); /* what still waits is forgotten: its owners are gone */

/* Ends the batch, which holds no rounds, when everything committed before is on the disk: for answers that promise it. */
void gather_hold(struct gather *gather, struct gather_batch *batch);
bool gather_is_dirty(const struct gather *gather); /* something was committed that is not on the disk yet */
void gather_flush(struct gather *gather);          /* then it goes there soon, though nobody waits for it */

void gather_submit(struct gather *gather, struct gather_batch *batch);
void gather_cancel(struct gather *gather, struct gather_batch *batch); /* also when it has ended */

const struct gather_counts *gather_counts(const struct gather *gather);

#endif
