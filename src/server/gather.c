#include "server/gather.h"

#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "server/flush.h"

struct gather_list {
    struct gather_batch *first, *last;
};

struct gather {
    struct intake *intake;
    struct store *store;
    struct loop *loop;
    struct flush *flush;
    struct loop_timer timer; /* the next slice */
    void (*told)(void *user);
    void *user;
    struct gather_list waiting;   /* in the order they came; the first may be taken in part */
    struct gather_list complete;  /* by the slice under way */
    struct gather_list committed; /* not on the disk yet */
    struct gather_list flushing;  /* the flush under way covers them */
    struct gather_list ended;     /* to be told */
    int64_t flush_started_ns;
    uint64_t flushing_commits, flushed_commits; /* of the store: covered by the flush under way, by those that are over */
    bool has_rested; /* a flush went by without a slice: a store that is still crowded gets one */
    struct gather_counts counts;
};

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void unlink_batch(struct gather_batch *batch)
{
    struct gather_list *list = batch->list;
    if (!list)
        return;
    if (batch->previous)
        batch->previous->next = batch->next;
    else
        list->first = batch->next;
    if (batch->next)
        batch->next->previous = batch->previous;
    else
        list->last = batch->previous;
    batch->list = NULL;
    batch->next = batch->previous = NULL;
}

static void move_batch(struct gather_list *to, struct gather_batch *batch)
{
    unlink_batch(batch);
    batch->list = to;
    batch->previous = to->last;
    if (to->last)
        to->last->next = batch;
    else
        to->first = batch;
    to->last = batch;
}

static void move_all(struct gather_list *to, struct gather_list *from)
{
    while (from->first)
        move_batch(to, from->first);
}

static void end_batch(struct gather *gather, struct gather_batch *batch, int rc, const struct error *err)
{
    batch->rc = rc;
    if (rc && err)
        batch->err = *err;
    batch->is_touched = false;
    move_batch(&gather->ended, batch);
}

/* Whoever is told may submit and cancel. */
static void tell_ended(struct gather *gather)
{
    struct gather_batch *batch;
    while ((batch = gather->ended.first)) {
        unlink_batch(batch);
        arena_done(&batch->arena);
        batch->work = NULL;
        gather->counts.waiting--;
        batch->ended(batch, batch->rc, &batch->receipt, &batch->err);
    }
}

/* --- a slice ------------------------------------------------------------------------------------------------------ */

static int begin_batch(struct gather *gather, struct gather_batch *batch, struct error *err)
{
    int rc = batch->read(batch, &batch->arena, &batch->message, err);
    if (!rc)
        rc = intake_begin(gather->intake, batch->agent_id, batch->aid, &batch->message, &batch->arena, &batch->work, err);
    return rc;
}

/* Takes rounds until it is time to serve others. An error is the store's; a batch that does not read ends by itself. */
static int take(struct gather *gather, int64_t until_ns, struct error *err)
{
    struct gather_batch *batch;
    do {
        batch = gather->waiting.first;
        struct error own = {0};
        int rc = batch->work ? 0 : begin_batch(gather, batch, &own);
        if (rc) {
            end_batch(gather, batch, rc, &own);
            continue;
        }
        bool is_over = false;
        batch->is_touched = true;
        rc = intake_step(batch->work, until_ns, &is_over, err);
        if (rc && rc != -E_LIMIT)
            return rc;
        if (rc) { /* this batch is too much; what of it is in the store stays there */
            batch->rc = rc;
            batch->err = *err;
        }
        if (rc || is_over)
            move_batch(&gather->complete, batch);
    } while (gather->waiting.first && loop_now_ns(gather->loop) < until_ns);
    return 0;
}

static void keep(struct gather *gather)
{
    intake_keep(gather->intake);
    if (gather->waiting.first && gather->waiting.first->is_touched) {
        intake_tell(gather->waiting.first->work);
        gather->waiting.first->is_touched = false;
    }
    struct gather_batch *batch;
    while ((batch = gather->complete.first)) {
        intake_tell(batch->work);
        if (batch->rc) {
            end_batch(gather, batch, batch->rc, NULL);
            continue;
        }
        intake_end(batch->work, &batch->receipt);
        arena_done(&batch->arena); /* waiting for the disk takes little memory */
        batch->work = NULL;
        move_batch(&gather->committed, batch);
    }
}

/* Nothing of the slice is in the store: its batches have no receipt, and their agents send them again. */
static void lose(struct gather *gather, int rc, const struct error *err)
{
    intake_drop(gather->intake);
    if (gather->waiting.first && gather->waiting.first->is_touched)
        end_batch(gather, gather->waiting.first, rc, err);
    while (gather->complete.first)
        end_batch(gather, gather->complete.first, rc, err);
}

static void start_flush(struct gather *gather)
{
    move_all(&gather->flushing, &gather->committed);
    gather->flush_started_ns = loop_now_ns(gather->loop);
    gather->flushing_commits = store_commits(gather->store);
    flush_start(gather->flush);
}

static void slice(struct gather *gather)
{
    struct error err = {0};
    int64_t start_ns = loop_now_ns(gather->loop);
    int rc = store_begin_soon(gather->store, &err);
    if (rc) {
        end_batch(gather, gather->waiting.first, rc, &err);
        return;
    }
    rc = take(gather, start_ns + GATHER_SLICE_NS, &err);
    rc = store_end(gather->store, rc, &err);
    if (rc)
        lose(gather, rc, &err);
    else
        keep(gather);
    uint64_t took_ns = (uint64_t)(loop_now_ns(gather->loop) - start_ns);
    gather->counts.slices++;
    gather->counts.slice_ns += took_ns;
    if (took_ns > gather->counts.longest_slice_ns)
        gather->counts.longest_slice_ns = took_ns;
    if (gather->told)
        gather->told(gather->user);
}

static void on_turn(void *user)
{
    struct gather *gather = user;
    bool is_resting = store_is_crowded(gather->store) && !gather->has_rested;
    if (gather->waiting.first && !is_resting) {
        slice(gather);
        gather->has_rested = false;
    }
    if (!flush_is_running(gather->flush) && (gather->committed.first || is_resting || gather_is_dirty(gather)))
        start_flush(gather);
    tell_ended(gather);
    if (gather->waiting.first && !is_resting)
        loop_timer_start(gather->loop, &gather->timer, loop_now_ns(gather->loop));
}

static void on_flushed(void *user, int rc, const struct error *err)
{
    struct gather *gather = user;
    uint64_t took_ns = (uint64_t)(loop_now_ns(gather->loop) - gather->flush_started_ns);
    gather->has_rested = true;
    if (!rc)
        gather->flushed_commits = gather->flushing_commits;
    gather->counts.flushes++;
    gather->counts.flush_ns += took_ns;
    if (took_ns > gather->counts.longest_flush_ns)
        gather->counts.longest_flush_ns = took_ns;
    while (gather->flushing.first)
        end_batch(gather, gather->flushing.first, rc, err);
    if (gather->committed.first)
        start_flush(gather);
    tell_ended(gather);
    if (gather->waiting.first)
        loop_timer_start(gather->loop, &gather->timer, loop_now_ns(gather->loop));
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int gather_open(struct intake *intake, struct store *store, struct loop *loop, void (*told)(void *user), void *user,
                struct gather **ret_gather, struct error *err)
{
    struct gather *gather = mem_alloc(sizeof *gather);
    *gather = (struct gather){.intake = intake, .store = store, .loop = loop, .told = told, .user = user};
    gather->timer = (struct loop_timer){.fn = on_turn, .user = gather};
    int rc = flush_open(store, loop, on_flushed, gather, &gather->flush, err);
    if (rc)
        mem_free(gather);
    else
        *ret_gather = gather;
    return rc;
}

void gather_close(struct gather *gather)
{
    if (!gather)
        return;
    loop_timer_stop(gather->loop, &gather->timer);
    flush_close(gather->flush);
    struct gather_list *lists[] = {&gather->waiting, &gather->complete, &gather->committed, &gather->flushing,
                                   &gather->ended};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (lists[i]->first)
            gather_cancel(gather, lists[i]->first);
    }
    mem_free(gather);
}

void gather_hold(struct gather *gather, struct gather_batch *batch)
{
    batch->list = NULL;
    batch->work = NULL;
    batch->rc = 0;
    arena_init(&batch->arena, 0);
    move_batch(&gather->committed, batch);
    gather->counts.waiting++;
    gather_flush(gather);
}

bool gather_is_dirty(const struct gather *gather)
{
    return store_commits(gather->store) != gather->flushed_commits;
}

/* In the next turn: what else changes in this one is covered too. */
void gather_flush(struct gather *gather)
{
    if (!flush_is_running(gather->flush) && !loop_timer_is_armed(&gather->timer))
        loop_timer_start(gather->loop, &gather->timer, loop_now_ns(gather->loop));
}

void gather_submit(struct gather *gather, struct gather_batch *batch)
{
    batch->list = NULL;
    batch->work = NULL;
    batch->is_touched = false;
    batch->rc = 0;
    arena_init(&batch->arena, LIMIT_REQUEST_ARENA);
    move_batch(&gather->waiting, batch);
    gather->counts.waiting++;
    if (!loop_timer_is_armed(&gather->timer))
        loop_timer_start(gather->loop, &gather->timer, loop_now_ns(gather->loop));
}

void gather_cancel(struct gather *gather, struct gather_batch *batch)
{
    if (!batch->list)
        return;
    unlink_batch(batch);
    arena_done(&batch->arena);
    batch->work = NULL;
    gather->counts.waiting--;
}

const struct gather_counts *gather_counts(const struct gather *gather)
{
    return &gather->counts;
}
