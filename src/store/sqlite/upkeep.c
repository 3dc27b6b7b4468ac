/* Upkeep: dropped tests, retention, the budget, folding; each in slices. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite/fold.h"
#include "store/sqlite/part.h"

#define CHUNKS_AT_ONCE 100 /* dropped in one transaction */
#define KEPT_DAYS 2        /* that no budget takes */
#define LOOK_S 20          /* between two looks at what is too old, as long as there is nothing */

struct upkeep {
    struct sqlite_store *s;
    const struct store_policy *policy;
    int64_t now_s, deadline_ns;
    struct store_upkeep *result;
};

static bool is_over(const struct upkeep *u)
{
    return clock_mono_ns(&clock_real) >= u->deadline_ns;
}

/* --- dropped tests ------------------------------------------------------------------------------------------------ */

static int drop_chunks(struct upkeep *u, enum part_kind kind, int64_t number, enum part_statement which,
                       uint64_t test_id, bool *ret_gone, struct error *err)
{
    struct part *part;
    int changes = 0;
    int rc = part_use(u->s, kind, number, false, &part, err);
    *ret_gone = false;
    while (!rc && part && !*ret_gone) {
        rc = db_run(&part->db, which, err, &changes, SQL_INTEGERS((int64_t)test_id, CHUNKS_AT_ONCE));
        *ret_gone = !rc && changes == 0;
        if (is_over(u))
            break;
    }
    *ret_gone |= !rc && !part;
    part_done(part);
    return rc;
}

/* A day of a dropped test is freed: it does not count any more. */
static int forget_day(struct upkeep *u, uint64_t test_id, int64_t day, struct error *err)
{
    struct sqlite_store *s = u->s;
    int64_t rounds = 0;
    int rc = store_begin(&s->store, err);
    if (rc)
        return rc;
    rc = sqlite_number(s, SQL_SERIES_ROUNDS, 0, &rounds, err, SQL_INTEGERS((int64_t)test_id, day));
    if (!rc)
        rc = sqlite_run(s, SQL_SERIES_DROP, err, NULL, SQL_INTEGERS((int64_t)test_id, day));
    if (!rc)
        rc = sqlite_run(s, SQL_TALLY_ADD, err, NULL, SQL_INTEGERS(-rounds));
    if (!rc)
        rc = sqlite_run(s, SQL_PART_ADD, err, NULL, SQL_INTEGERS(PART_RESULTS, day, -rounds));
    if (rc)
        store_rollback(&s->store);
    else
        rc = store_commit(&s->store, err);
    if (!rc)
        u->result->dropped += (uint64_t)rounds;
    return rc;
}

static int free_summaries(struct upkeep *u, uint64_t test_id, bool *ret_gone, struct error *err)
{
    struct part_list list;
    int rc = part_list(u->s, &list, err);
    *ret_gone = !rc;
    for (size_t i = 0; !rc && *ret_gone && i < list.count; i++) {
        if (list.items[i].kind == PART_SUMMARIES)
            rc = drop_chunks(u, PART_SUMMARIES, list.items[i].number, PART_SUMMARY_DROP, test_id, ret_gone, err);
    }
    part_list_done(&list);
    return rc;
}

/* What is folded of one dropped test; what is in the head goes when its hour would be folded. */
static int free_test(struct upkeep *u, uint64_t test_id, struct error *err)
{
    int64_t day = INT64_MIN;
    bool is_gone;
    while (!is_over(u)) {
        int rc = sqlite_number(u->s, SQL_SERIES_NEXT, INT64_MAX, &day, err, SQL_INTEGERS((int64_t)test_id, INT64_MIN));
        if (rc)
            return rc;
        if (day == INT64_MAX) {
            rc = free_summaries(u, test_id, &is_gone, err);
            return rc || !is_gone ? rc : sqlite_run(u->s, SQL_DROPPED_FREED, err, NULL, SQL_INTEGERS((int64_t)test_id));
        }
        rc = drop_chunks(u, PART_RESULTS, day, PART_CHUNK_DROP, test_id, &is_gone, err);
        if (!rc && is_gone)
            rc = drop_chunks(u, PART_DETAILS, day, PART_CHUNK_DROP, test_id, &is_gone, err);
        if (!rc && is_gone)
            rc = forget_day(u, test_id, day, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int free_dropped(struct upkeep *u, struct error *err)
{
    for (;;) {
        int64_t test_id;
        int rc = sqlite_number(u->s, SQL_DROPPED_NEXT, 0, &test_id, err, 0, NULL);
        if (rc || !test_id)
            return rc;
        u->result->is_idle = false;
        if (is_over(u))
            return 0;
        rc = free_test(u, (uint64_t)test_id, err);
        if (rc)
            return rc;
    }
}

/* --- retention ---------------------------------------------------------------------------------------------------- */

static int begin_removal(struct upkeep *u, const struct part_entry *entry, bool is_early, struct error *err)
{
    struct sqlite_store *s = u->s;
    int rc = store_begin(&s->store, err);
    if (rc)
        return rc;
    if (entry->kind == PART_RESULTS) {
        rc = sqlite_run(s, SQL_SERIES_DROP_DAY, err, NULL, SQL_INTEGERS(entry->number));
        if (!rc)
            rc = sqlite_run(s, SQL_TALLY_ADD, err, NULL, SQL_INTEGERS(-(int64_t)entry->rounds));
    }
    if (!rc)
        rc = sqlite_run(s, SQL_PART_MARK, err, NULL, SQL_INTEGERS(entry->kind, entry->number));
    if (rc)
        store_rollback(&s->store);
    else
        rc = store_commit(&s->store, err);
    if (!rc) {
        sqlite_forget_folded(s);
        u->result->dropped += entry->rounds;
        u->result->over_budget += is_early ? entry->rounds : 0;
    }
    return rc;
}

static bool is_too_old(const struct upkeep *u, const struct part_entry *entry)
{
    const struct store_policy *policy = u->policy;
    int64_t end_s = (entry->number + 1) * part_days(entry->kind) * 86400, kept_s = policy->results_s;
    if (entry->kind == PART_DETAILS && policy->details_s && (!kept_s || policy->details_s < kept_s))
        kept_s = policy->details_s;
    if (entry->kind == PART_SUMMARIES)
        kept_s = policy->summaries_s;
    return kept_s && end_s <= u->now_s - kept_s;
}

/* Over the budget: the oldest day's details, then the oldest day's rounds. */
static const struct part_entry *choose_early(const struct upkeep *u, const struct part_list *list)
{
    static const enum part_kind order[] = {PART_DETAILS, PART_RESULTS};
    int64_t first_kept = sqlite_day_of(sqlite_hour_of(u->now_s)) - KEPT_DAYS + 1;
    if (!u->policy->budget_bytes || db_bytes(u->s->main.path) + list->bytes <= u->policy->budget_bytes)
        return NULL;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < list->count; i++) {
            if (list->items[i].kind == order[k] && list->items[i].number < first_kept)
                return &list->items[i];
        }
    }
    return NULL;
}

/* Looking at every file takes longer than most slices. */
static bool is_due(const struct upkeep *u)
{
    const struct sqlite_looked *looked = &u->s->looked;
    const struct store_policy *policy = u->policy, *before = &looked->policy;
    bool is_same = policy->results_s == before->results_s && policy->details_s == before->details_s &&
                   policy->summaries_s == before->summaries_s && policy->budget_bytes == before->budget_bytes;
    return !is_same || looked->found || u->now_s < looked->at_s || u->now_s - looked->at_s >= LOOK_S;
}

static int drop_old(struct upkeep *u, struct error *err)
{
    struct part_list list;
    int rc = part_list(u->s, &list, err);
    const struct part_entry *chosen = NULL;
    bool is_early = false, is_gone = true;
    if (!rc)
        u->s->looked = (struct sqlite_looked){.at_s = u->now_s, .policy = *u->policy};
    for (size_t i = 0; !rc && i < list.count && !chosen; i++) {
        if (list.items[i].is_going || is_too_old(u, &list.items[i]))
            chosen = &list.items[i];
    }
    if (!rc && !chosen) {
        chosen = choose_early(u, &list);
        is_early = chosen != NULL;
    }
    if (chosen) {
        u->s->looked.found = true;
        u->result->is_idle = false;
        rc = chosen->is_going ? 0 : begin_removal(u, chosen, is_early, err);
        do {
            rc = rc ? rc : part_remove_step(u->s, chosen->kind, chosen->number, &is_gone, err);
        } while (!rc && !is_gone && !is_over(u));
        if (!rc && is_gone)
            rc = sqlite_run(u->s, SQL_PART_DROP, err, NULL, SQL_INTEGERS(chosen->kind, chosen->number));
    }
    part_list_done(&list);
    return rc;
}

/* --- a full disk -------------------------------------------------------------------------------------------------- */

/* Dropping writes too. What the write-ahead log holds is given back first; if that helped the slice is tried again. */
static bool makes_room(struct sqlite_store *s)
{
    if (s->was_full)
        return false;
    s->was_full = true;
    return sqlite3_wal_checkpoint_v2(s->main.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

int sqlite_upkeep(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                  struct store_upkeep *ret_upkeep, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    struct upkeep u = {.s = s,
                       .policy = policy,
                       .now_s = now_s,
                       .deadline_ns = clock_mono_ns(&clock_real) + slice_ns,
                       .result = ret_upkeep};
    s->upkeep_s = now_s;
    int rc = free_dropped(&u, err);
    if (!rc && !is_over(&u) && is_due(&u))
        rc = drop_old(&u, err);
    bool is_found = true;
    int64_t oldest_s = policy->results_s ? now_s - policy->results_s : INT64_MIN;
    while (!rc && is_found && !is_over(&u)) {
        rc = fold_step(s, now_s, oldest_s, u.deadline_ns, &is_found, ret_upkeep, err);
        if (s->ahead.is_asked) /* nothing to do before the disk is ready */
            break;
    }
    if (is_found)
        ret_upkeep->is_idle = false;
    if (rc == -E_AGAIN) { /* somebody compacts a part */
        ret_upkeep->is_idle = true;
        return 0;
    }
    if (rc == -E_FULL && makes_room(s))
        return 0;
    s->was_full &= rc != 0;
    return rc;
}
