#include "store/sqlite/fold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite/part.h"
#include "store/sqlite/summaries.h"

#define ROUNDS_AT_ONCE 500u /* beyond, a step takes no further agent */
#define AHEAD_ROUNDS 3000u  /* that are folded before they are flushed and noted */
#define WAIT_NS CLOCK_MS    /* for the disk; the caller comes again */

struct key { /* a round in the head */
    uint64_t agent_id;
    int64_t round_id, body_id;
};

struct fold {
    struct sqlite_store *s;
    uint64_t test_id;
    int64_t hour, day, after_agent;
    struct key *keys; /* by agent, then round */
    size_t key_count, done; /* keys whose rounds are in the parts */
    struct part *parts[PART_KINDS];
    bool has_details;
    struct arena summary_arena;
    struct summary_set summaries; /* of the agents that are folded in this step */
    /* Of the agent that is folded. */
    struct arena arena;
    struct store_round *rounds;
    size_t round_count;
    struct buf scratch, out;
};

static int last_body(struct sqlite_store *s, int64_t hour, int64_t *ret_id, struct error *err)
{
    int64_t first = sqlite_first_body(hour), end = sqlite_first_body(hour + 1);
    int rc = sqlite_number(s, SQL_BODY_LAST, first - 1, ret_id, err, SQL_INTEGERS(end > first ? end : INT64_MAX));
    if (!rc && *ret_id < first)
        *ret_id = first - 1;
    return rc;
}

int fold_touch(struct sqlite_store *s, int64_t hour, struct sqlite_touched **ret_touched, struct error *err)
{
    struct sqlite_touched *touched = map_get(&s->touched, (uint64_t)hour);
    if (!touched) {
        int64_t last;
        int rc = last_body(s, hour, &last, err);
        if (rc)
            return rc;
        touched = mem_alloc(sizeof *touched);
        /* Beyond what a fold under way takes, even when the last of that were never kept. */
        if (s->folding.is_on && s->folding.hour == hour && s->folding.last_body > last)
            last = s->folding.last_body;
        touched->next_body = last + 1;
        map_put(&s->touched, (uint64_t)hour, touched);
    }
    touched->at_s = s->upkeep_s;
    *ret_touched = touched;
    return 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->agent_id != y->agent_id)
        return x->agent_id < y->agent_id ? -1 : 1;
    return x->round_id < y->round_id ? -1 : x->round_id > y->round_id;
}

static int read_keys(struct fold *f, struct error *err)
{
    sqlite3_stmt *row = sqlite_take(f->s, SQL_HEAD_KEYS, err, SQL_INTEGERS(f->hour, (int64_t)f->test_id));
    struct buf keys;
    int step;
    if (!row)
        return -E_CORRUPT;
    buf_init(&keys, FOLD_ARENA);
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        struct key key = {.agent_id = (uint64_t)sqlite3_column_int64(row, 0),
                          .round_id = sqlite3_column_int64(row, 1),
                          .body_id = sqlite3_column_int64(row, 2)};
        if (key.body_id <= f->s->folding.last_body && (int64_t)key.agent_id > f->after_agent)
            buf_put(&keys, &key, sizeof key);
    }
    int rc = step == SQLITE_DONE ? 0 : sqlite_fail(f->s, err, "reading rounds");
    sqlite_give(f->s, SQL_HEAD_KEYS, row);
    f->key_count = keys.size / sizeof *f->keys;
    f->keys = mem_alloc_array(f->key_count + 1, sizeof *f->keys);
    if (keys.size)
        memcpy(f->keys, keys.data, keys.size);
    qsort(f->keys, f->key_count, sizeof *f->keys, compare_keys);
    buf_done(&keys);
    return rc;
}

static int too_large(struct fold *f, struct error *err)
{
    return error_set(err, E_LIMIT, f->s->main.path, "an hour of results does not fit the memory for it");
}

static const void *keep(struct fold *f, const void *bytes, size_t size)
{
    void *copy = arena_alloc(&f->arena, size + 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

/* A round whose memory is somebody else's, as one of the agent's. */
static int add_round(struct fold *f, const struct store_round *round, struct error *err)
{
    struct store_round copy = *round;
    copy.metrics = keep(f, round->metrics, round->metric_count * sizeof *round->metrics);
    copy.body = keep(f, round->body, round->body_size);
    copy.detail = keep(f, round->detail, round->detail_size);
    if (!copy.metrics || !copy.body || !copy.detail)
        return too_large(f, err);
    f->rounds[f->round_count++] = copy;
    return 0;
}

static int read_head(struct fold *f, const struct key *key, struct error *err)
{
    struct store_metric metrics[STORE_ROUND_METRICS];
    struct store_round round = {.test_id = f->test_id};
    sqlite3_stmt *row = sqlite_take(f->s, SQL_HEAD_ROW, err,
                                    SQL_INTEGERS(f->hour, (int64_t)f->test_id, key->round_id, (int64_t)key->agent_id));
    if (!row)
        return -E_CORRUPT;
    int step = sqlite3_step(row);
    int rc = step == SQLITE_ROW ? sqlite_read_row(f->s, row, STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL,
                                                  metrics, &f->scratch, &round, err)
                                : sqlite_fail(f->s, err, "reading rounds");
    if (!rc)
        rc = add_round(f, &round, err);
    sqlite_give(f->s, SQL_HEAD_ROW, row);
    return rc;
}

static int open_chunk(struct fold *f, enum part_kind kind, uint64_t agent_id, struct chunk **ret_chunk,
                      struct error *err)
{
    struct part *part = f->parts[kind];
    *ret_chunk = NULL;
    if (!part)
        return 0;
    sqlite3_stmt *row = db_take(&part->db, PART_CHUNK_GET, err,
                                SQL_INTEGERS((int64_t)f->test_id, f->hour, (int64_t)agent_id));
    if (!row)
        return -E_CORRUPT;
    int step = sqlite3_step(row), rc = 0;
    if (step == SQLITE_ROW) {
        size_t size = (size_t)sqlite3_column_bytes(row, 0);
        const void *bytes = keep(f, sqlite3_column_blob(row, 0), size);
        rc = bytes ? chunk_open(bytes, size, part->db.path, &part->access, &f->arena, ret_chunk, err)
                   : too_large(f, err);
    } else if (step != SQLITE_DONE) {
        rc = db_fail(&part->db, err, "reading results");
    }
    db_give(&part->db, PART_CHUNK_GET, row);
    return rc;
}

static int compare_key_round(const void *round_id, const void *key)
{
    int64_t a = *(const int64_t *)round_id, b = ((const struct key *)key)->round_id;
    return a < b ? -1 : a > b;
}

/* What is folded of the agent's hour and not in the head too; details are found by their round ids, which ascend on both
 * sides. */
static int read_folded(struct fold *f, struct chunk *rounds, struct chunk *details, size_t key_count, struct error *err)
{
    struct buf detail;
    size_t at = 0;
    int rc = 0;
    buf_init(&detail, FOLD_ARENA);
    for (size_t i = 0; !rc && i < chunk_count(rounds); i++) {
        int64_t round_id = chunk_round_id(rounds, i);
        if (bsearch(&round_id, f->keys + f->done, key_count, sizeof *f->keys, compare_key_round))
            continue;
        struct store_round round = {.test_id = f->test_id, .agent_id = f->keys[f->done].agent_id};
        buf_reset(&f->scratch);
        buf_reset(&detail);
        rc = chunk_row(rounds, i, &round, err);
        if (!rc)
            rc = chunk_body(rounds, i, &f->scratch, err);
        while (details && at < chunk_count(details) && chunk_round_id(details, at) < round.round_id)
            at++;
        if (!rc && details && at < chunk_count(details) && chunk_round_id(details, at) == round.round_id)
            rc = chunk_body(details, at, &detail, err);
        round.body = f->scratch.data;
        round.body_size = f->scratch.size;
        round.detail = detail.data;
        round.detail_size = detail.size;
        if (!rc)
            rc = add_round(f, &round, err);
    }
    buf_done(&detail);
    return rc;
}

static int compare_rounds(const void *a, const void *b)
{
    const struct store_round *x = a, *y = b;
    return x->round_id < y->round_id ? -1 : x->round_id > y->round_id;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int use_part(struct fold *f, enum part_kind kind, bool make, struct error *err)
{
    if (f->parts[kind])
        return 0;
    return part_use(f->s, kind, sqlite_floor_div(f->day, part_days(kind)), make, &f->parts[kind], err);
}

static int put_chunk(struct fold *f, enum part_kind kind, uint64_t agent_id, const struct store_round *rounds,
                     size_t count, struct error *err)
{
    int rc = use_part(f, kind, true, err);
    if (!rc)
        rc = part_begin(f->parts[kind], err);
    buf_reset(&f->out);
    if (!rc)
        rc = chunk_write(rounds, count, kind == PART_RESULTS ? CHUNK_METRICS : 0, &f->parts[kind]->access, &f->out,
                         err);
    if (rc)
        return rc;
    struct db *db = &f->parts[kind]->db;
    sqlite3_stmt *put = db_take(db, PART_CHUNK_PUT, err, SQL_INTEGERS((int64_t)f->test_id, f->hour, (int64_t)agent_id));
    if (!put)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(put, 4, f->out.data, f->out.size, SQLITE_STATIC);
    rc = sqlite3_step(put) == SQLITE_DONE ? 0 : db_fail(db, err, "folding results");
    db_give(db, PART_CHUNK_PUT, put);
    return rc;
}

static int put_details(struct fold *f, uint64_t agent_id, struct error *err)
{
    struct store_round *rounds = mem_alloc_array(f->round_count + 1, sizeof *rounds);
    size_t count = 0;
    for (size_t i = 0; i < f->round_count; i++) {
        if (f->rounds[i].detail_size)
            rounds[count++] = f->rounds[i];
    }
    f->has_details |= count > 0;
    int rc = count ? put_chunk(f, PART_DETAILS, agent_id, rounds, count, err) : 0;
    mem_free(rounds);
    return rc;
}

/* The keys from f->done on that are one agent's: into its chunks. */
static int fold_agent(struct fold *f, size_t count, struct error *err)
{
    const struct key *keys = f->keys + f->done;
    struct chunk *rounds, *details;
    arena_reset(&f->arena);
    int rc = open_chunk(f, PART_RESULTS, keys->agent_id, &rounds, err);
    if (!rc)
        rc = open_chunk(f, PART_DETAILS, keys->agent_id, &details, err);
    if (rc)
        return rc;
    size_t folded = rounds ? chunk_count(rounds) : 0;
    f->round_count = 0;
    f->rounds = arena_alloc_array(&f->arena, folded + count, sizeof *f->rounds);
    if (!f->rounds)
        return too_large(f, err);
    if (rounds)
        rc = read_folded(f, rounds, details, count, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = read_head(f, &keys[i], err);
    if (rc)
        return rc;
    qsort(f->rounds, f->round_count, sizeof *f->rounds, compare_rounds);
    for (size_t i = 0; i < f->round_count; i++)
        summary_add(&f->summaries, &f->rounds[i]);
    if (f->summaries.is_full)
        return too_large(f, err);
    rc = put_chunk(f, PART_RESULTS, keys->agent_id, f->rounds, f->round_count, err);
    return rc ? rc : put_details(f, keys->agent_id, err);
}

static int fold_agents(struct fold *f, int64_t deadline_ns, struct error *err)
{
    int rc = 0;
    do {
        size_t count = 1;
        while (f->done + count < f->key_count && f->keys[f->done + count].agent_id == f->keys[f->done].agent_id)
            count++;
        rc = fold_agent(f, count, err);
        if (!rc)
            f->done += count;
    } while (!rc && f->done < f->key_count && f->done < ROUNDS_AT_ONCE && clock_mono_ns(&clock_real) < deadline_ns);
    return rc;
}

static int note_folding(struct sqlite_store *s, const struct sqlite_folding *folding, struct error *err)
{
    return sqlite_run(s, SQL_FOLDING_PUT, err, NULL,
                      SQL_INTEGERS(folding->hour, folding->last_body, folding->test_id, folding->agent_id,
                                   folding->is_leaving));
}

static int count_test(struct sqlite_store *s, size_t which, struct error *err)
{
    uint64_t test_id = s->ahead.tests[which].test_id;
    int64_t day = sqlite_day_of(s->folding.hour), rounds = (int64_t)s->ahead.tests[which].rounds;
    if (!rounds)
        return 0;
    if (s->ahead.tests[which].is_dropped || sqlite_is_dropped(s, test_id))
        return sqlite_run(s, SQL_TALLY_ADD, err, NULL, SQL_INTEGERS(-rounds));
    int rc = sqlite_run(s, SQL_PART_ADD, err, NULL, SQL_INTEGERS(PART_RESULTS, day, rounds));
    if (!rc)
        rc = sqlite_run(s, SQL_PART_ADD, err, NULL,
                        SQL_INTEGERS(PART_SUMMARIES, sqlite_floor_div(day, part_days(PART_SUMMARIES)), 0));
    if (!rc && s->ahead.has_details)
        rc = sqlite_run(s, SQL_PART_ADD, err, NULL, SQL_INTEGERS(PART_DETAILS, day, 0));
    if (!rc)
        rc = sqlite_run(s, SQL_SERIES_ADD, err, NULL, SQL_INTEGERS((int64_t)test_id, day, rounds));
    return rc;
}

/* The fold goes on from what is noted. */
static void fall_back(struct sqlite_store *s)
{
    s->ahead = (struct sqlite_ahead){.test_id = s->folding.test_id, .agent_id = s->folding.agent_id};
}

/* The rounds are in the parts for good, or nobody wants them: counts them there, and notes how far the fold came. Neither
 * this nor what follows it waits for the disk: commits are lost in order, the latest first, and are then made again. */
static int note_ahead(struct sqlite_store *s, struct error *err)
{
    struct sqlite_folding folding = s->folding;
    folding.test_id = s->ahead.test_id;
    folding.agent_id = s->ahead.agent_id;
    folding.is_leaving = s->ahead.is_at_end;
    int rc = store_begin_soon(&s->store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < s->ahead.count; i++)
        rc = count_test(s, i, err);
    if (!rc)
        rc = note_folding(s, &folding, err);
    if (rc)
        store_rollback(&s->store);
    else
        rc = store_commit(&s->store, err);
    if (!rc)
        s->folding = folding;
    fall_back(s);
    return rc;
}

/* Has the parts of the hour flushed, by the worker. */
static void ask_flush(struct sqlite_store *s)
{
    static char paths[PART_KINDS][4200];
    const char *files[PART_KINDS];
    size_t count = 0;
    for (enum part_kind kind = 0; kind < PART_KINDS; kind++) {
        part_path(s, kind, sqlite_floor_div(sqlite_day_of(s->folding.hour), part_days(kind)), paths[kind],
                  sizeof paths[kind]);
        if (access(paths[kind], F_OK) == 0)
            files[count++] = paths[kind];
    }
    worker_ask(s->worker, files, count, s->parts_dir, s->main.path);
    s->ahead.is_asked = true;
}

static int await_flush(struct sqlite_store *s, struct error *err)
{
    int rc = 0;
    if (!worker_done(s->worker, WAIT_NS, &rc, err))
        return 0;
    s->ahead.is_asked = false;
    if (rc)
        fall_back(s);
    return rc ? rc : note_ahead(s, err);
}

static void step_ahead(struct fold *f, bool is_dropped)
{
    struct sqlite_ahead *ahead = &f->s->ahead;
    ahead->test_id = (int64_t)f->test_id;
    ahead->agent_id = f->done == f->key_count ? INT64_MAX : (int64_t)f->keys[f->done - 1].agent_id;
    ahead->rounds += f->done;
    ahead->has_details |= f->has_details;
    if (!ahead->count || ahead->tests[ahead->count - 1].test_id != f->test_id) {
        ahead->tests[ahead->count].test_id = f->test_id;
        ahead->tests[ahead->count].is_dropped = is_dropped;
        ahead->tests[ahead->count++].rounds = 0;
    }
    ahead->tests[ahead->count - 1].rounds += f->done;
}

/* What is committed in the parts must be found by appends from now on, whatever becomes of the head. */
static void announce(struct fold *f)
{
    int64_t last = f->day * DAY_HOURS + DAY_HOURS - 1;
    if (last > f->s->newest_folded)
        f->s->newest_folded = last;
    sqlite_forget_folded(f->s);
}

static int put_summaries(struct fold *f, struct error *err)
{
    if (!f->summaries.count)
        return 0;
    int rc = use_part(f, PART_SUMMARIES, true, err);
    return rc ? rc : summaries_update(f->parts[PART_SUMMARIES], f->test_id, f->hour, &f->summaries, err);
}

static int fold_test(struct sqlite_store *s, uint64_t test_id, int64_t after_agent, bool is_dropped, int64_t deadline_ns,
                     struct store_upkeep *counts, struct error *err)
{
    int64_t hour = s->folding.hour;
    struct fold f = {
        .s = s, .test_id = test_id, .hour = hour, .day = sqlite_day_of(hour), .after_agent = after_agent};
    arena_init(&f.arena, FOLD_ARENA);
    arena_init(&f.summary_arena, FOLD_ARENA);
    summary_init(&f.summaries, &f.summary_arena, hour * HOUR_S);
    buf_init(&f.scratch, FOLD_ARENA);
    buf_init(&f.out, FOLD_ARENA);
    int rc = read_keys(&f, err);
    for (enum part_kind kind = 0; !rc && !is_dropped && kind < PART_SUMMARIES; kind++)
        rc = use_part(&f, kind, false, err);
    if (is_dropped)
        f.done = f.key_count;
    else if (!rc && f.key_count)
        rc = fold_agents(&f, deadline_ns, err);
    if (!rc)
        rc = put_summaries(&f, err);
    for (enum part_kind kind = 0; kind < PART_KINDS; kind++) {
        if (!rc && f.parts[kind])
            rc = part_commit(f.parts[kind], err);
        if (rc && f.parts[kind])
            part_rollback(f.parts[kind]);
    }
    if (!rc && !is_dropped)
        announce(&f);
    if (!rc)
        step_ahead(&f, is_dropped);
    if (!rc)
        *(is_dropped ? &counts->dropped : &counts->folded) += f.done;
    for (enum part_kind kind = 0; kind < PART_KINDS; kind++)
        part_done(f.parts[kind]);
    mem_free(f.keys);
    arena_done(&f.arena);
    arena_done(&f.summary_arena);
    buf_done(&f.scratch);
    buf_done(&f.out);
    return rc;
}

/* The next agents of the test it has come to, or of the next test; when there is none the hour leaves the head. */
static int fold_on(struct sqlite_store *s, int64_t oldest_s, int64_t deadline_ns, struct store_upkeep *counts,
                   struct error *err)
{
    int64_t test_id = s->ahead.test_id, after_agent = s->ahead.agent_id;
    if (s->ahead.is_asked)
        return await_flush(s, err);
    if (s->ahead.count == SQLITE_AHEAD_TESTS || s->ahead.rounds >= AHEAD_ROUNDS) {
        ask_flush(s);
        return 0;
    }
    if (after_agent == INT64_MAX) {
        int rc = sqlite_number(s, SQL_HEAD_TESTS, -1, &test_id, err, SQL_INTEGERS(s->folding.hour, s->ahead.test_id));
        if (rc)
            return rc;
        after_agent = -1;
    }
    if (test_id < 0) {
        s->ahead.is_at_end = true;
        ask_flush(s);
        return 0;
    }
    bool is_dropped = (s->folding.hour + 1) * HOUR_S <= oldest_s || sqlite_is_dropped(s, (uint64_t)test_id);
    return fold_test(s, (uint64_t)test_id, after_agent, is_dropped, deadline_ns, counts, err);
}

/* Bodies of before they were numbered by hour lie anywhere: each goes by itself, with its round. */
static int drop_legacy(struct sqlite_store *s, int *ret_gone, struct error *err)
{
    struct fold f = {.s = s, .hour = s->folding.hour, .after_agent = -1};
    int64_t test_id = -1;
    int rc = 0;
    *ret_gone = 0;
    while (!rc && !*ret_gone) {
        rc = sqlite_number(s, SQL_HEAD_TESTS, -1, &test_id, err, SQL_INTEGERS(f.hour, test_id));
        if (rc || test_id < 0)
            return rc;
        f.test_id = (uint64_t)test_id;
        rc = read_keys(&f, err);
        for (size_t i = 0; !rc && i < f.key_count && i < ROUNDS_AT_ONCE; i++) {
            const struct key *key = &f.keys[i];
            rc = sqlite_run(s, SQL_HEAD_DROP, err, NULL,
                            SQL_INTEGERS(f.hour, test_id, key->round_id, (int64_t)key->agent_id));
            if (!rc)
                rc = sqlite_run(s, SQL_HEAD_DROP_BODY, err, NULL, SQL_INTEGERS(key->body_id));
            *ret_gone += 1;
        }
        mem_free(f.keys);
    }
    return rc;
}

/* One piece of what is folded goes; *ret_gone counts rounds or bodies, 0 when nothing is left. */
static int drop_piece(struct sqlite_store *s, int *ret_gone, struct error *err)
{
    const struct sqlite_folding *folding = &s->folding;
    int rc = s->has_legacy ? drop_legacy(s, ret_gone, err)
                           : sqlite_run(s, SQL_HEAD_DROP_HOUR, err, ret_gone,
                                        SQL_INTEGERS(folding->hour, folding->last_body, ROUNDS_AT_ONCE));
    if (!rc && !*ret_gone)
        rc = sqlite_run(s, SQL_HEAD_DROP_BODIES, err, ret_gone,
                        SQL_INTEGERS(sqlite_first_body(folding->hour), folding->last_body, ROUNDS_AT_ONCE));
    return rc;
}

static int leave_head(struct sqlite_store *s, int64_t deadline_ns, struct error *err)
{
    int gone = 0;
    int rc = store_begin_soon(&s->store, err);
    if (rc)
        return rc;
    do {
        rc = drop_piece(s, &gone, err);
    } while (!rc && gone && clock_mono_ns(&clock_real) < deadline_ns);
    bool is_over = !rc && !gone;
    if (is_over)
        rc = sqlite_run(s, SQL_FOLDING_END, err, NULL, SQL_INTEGERS(s->folding.hour));
    if (rc)
        store_rollback(&s->store);
    else
        rc = store_commit(&s->store, err);
    if (!rc && is_over)
        s->folding.is_on = false;
    return rc;
}

static bool is_ready(struct sqlite_store *s, int64_t hour, int64_t now_s)
{
    const struct sqlite_touched *touched = map_get(&s->touched, (uint64_t)hour);
    return (hour + 1) * HOUR_S + FOLD_GRACE_S <= now_s && (!touched || now_s - touched->at_s >= FOLD_QUIET_S);
}

/* Goes on with the fold of an hour, if one was begun. */
static int resume(struct sqlite_store *s, int64_t hour, struct error *err)
{
    sqlite3_stmt *row = sqlite_take(s, SQL_FOLDING_GET, err, SQL_INTEGERS(hour));
    if (!row)
        return -E_CORRUPT;
    int step = sqlite3_step(row);
    if (step == SQLITE_ROW)
        s->folding = (struct sqlite_folding){.is_on = true,
                                             .hour = sqlite3_column_int64(row, 0),
                                             .last_body = sqlite3_column_int64(row, 1),
                                             .test_id = sqlite3_column_int64(row, 2),
                                             .agent_id = sqlite3_column_int64(row, 3),
                                             .is_leaving = sqlite3_column_int(row, 4)};
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "reading what is folded");
    sqlite_give(s, SQL_FOLDING_GET, row);
    return rc;
}

int fold_resume(struct sqlite_store *s, struct error *err)
{
    int64_t hour;
    int rc = sqlite_number(s, SQL_FOLDING_LEAVING, INT64_MIN, &hour, err, 0, NULL);
    return rc || hour == INT64_MIN ? rc : resume(s, hour, err);
}

/* Chooses an hour to fold and notes it. */

static int begin_hour(struct sqlite_store *s, int64_t now_s, struct error *err)
{
    for (int64_t hour = s->stuck_hour;; hour++) {
        int rc = sqlite_number(s, SQL_HOUR_NEXT, INT64_MAX, &hour, err, SQL_INTEGERS(hour));
        if (rc || hour > sqlite_hour_of(now_s)) {
            s->stuck_hour = INT64_MIN;
            return rc;
        }
        if (!is_ready(s, hour, now_s))
            continue;
        rc = resume(s, hour, err);
        fall_back(s);
        if (rc || s->folding.is_on)
            return rc;
        struct sqlite_folding folding = {.is_on = true, .hour = hour, .test_id = -1, .agent_id = INT64_MAX};
        struct sqlite_touched *touched = map_get(&s->touched, (uint64_t)hour);
        rc = last_body(s, hour, &folding.last_body, err);
        /* Numbers are not used again: what was appended and rolled back counts too. */
        if (touched && touched->next_body - 1 > folding.last_body)
            folding.last_body = touched->next_body - 1;
        if (!rc)
            rc = note_folding(s, &folding, err);
        if (!rc)
            s->folding = folding;
        fall_back(s);
        return rc;
    }
}

int fold_step(struct sqlite_store *s, int64_t now_s, int64_t oldest_s, int64_t deadline_ns, bool *ret_found,
              struct store_upkeep *counts, struct error *err)
{
    int rc = s->folding.is_on ? 0 : begin_hour(s, now_s, err);
    *ret_found = rc || s->folding.is_on;
    if (rc || !s->folding.is_on)
        return rc;
    rc = s->folding.is_leaving ? leave_head(s, deadline_ns, err) : fold_on(s, oldest_s, deadline_ns, counts, err);
    if (rc)
        fall_back(s);
    if (rc && !s->folding.is_leaving && rc != -E_FULL && rc != -E_AGAIN) {
        /* The other hours shall not wait for one that is damaged; it goes on
         * where it came to. */
        s->stuck_hour = s->folding.hour + 1;
        s->folding.is_on = false;
    }
    return rc;
}
