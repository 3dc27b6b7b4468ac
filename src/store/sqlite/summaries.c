#include "store/sqlite/summaries.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "store/sqlite/fold.h"

/* Kinds of rows. */
enum { ROW_AGENTS = 1, ROW_PATHS = 2, ROW_DAY = 24 };
#define WHOLE_DAY 24u /* in the set of a day: entries 0 to 23 are its hours */

#define ARENA (FOLD_ARENA / 4)

/* --- writing ------------------------------------------------------------------------------------------------------ */

unsigned summaries_flags(int kind)
{
    return kind == ROW_PATHS ? SUMMARY_PATHS : SUMMARY_METRICS;
}

/* Adds what the row has to the set, when there is one. */
static int read_row(struct part *part, uint64_t test_id, int kind, int64_t hour, struct summary_set *set,
                    struct error *err)
{
    sqlite3_stmt *row = db_take(&part->db, PART_SUMMARY_GET, err, SQL_INTEGERS((int64_t)test_id, kind, hour));
    if (!row)
        return -E_CORRUPT;
    int step = sqlite3_step(row), rc = 0;
    if (step == SQLITE_ROW)
        rc = summary_read(set, summaries_flags(kind), SUMMARY_ALL, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0),
                          part->db.path, part->access.decompressor, err);
    else if (step != SQLITE_DONE)
        rc = db_fail(&part->db, err, "reading summaries");
    db_give(&part->db, PART_SUMMARY_GET, row);
    return rc;
}

static int write_row(struct part *part, uint64_t test_id, int kind, int64_t hour, const struct summary_set *set,
                     struct error *err)
{
    struct buf bytes;
    buf_init(&bytes, ARENA);
    summary_write(set, summaries_flags(kind), part->access.compressor, &bytes);
    sqlite3_stmt *put = db_take(&part->db, PART_SUMMARY_PUT, err, SQL_INTEGERS((int64_t)test_id, kind, hour));
    int rc = put ? 0 : -E_CORRUPT;
    if (put) {
        (void)sqlite3_bind_blob64(put, 4, bytes.data, bytes.size, SQLITE_STATIC);
        rc = sqlite3_step(put) == SQLITE_DONE ? 0 : db_fail(&part->db, err, "writing summaries");
        db_give(&part->db, PART_SUMMARY_PUT, put);
    }
    buf_done(&bytes);
    return rc;
}

static int update_kind(struct part *part, uint64_t test_id, int kind, int64_t hour, const struct summary_set *fresh,
                       struct summary_set *ret_all, struct arena *arena, struct error *err)
{
    summary_init(ret_all, arena, hour * HOUR_S);
    int rc = read_row(part, test_id, kind, hour, ret_all, err);
    for (size_t i = 0; !rc && i < fresh->count; i++) {
        if (kind == ROW_AGENTS || fresh->agents[i]->paths.first)
            summary_replace(ret_all, fresh->agents[i]);
    }
    if (!rc && ret_all->is_full)
        rc = error_set(err, E_LIMIT, part->db.path, "the summaries of an hour do not fit the memory for them");
    return rc || !ret_all->count ? rc : write_row(part, test_id, kind, hour, ret_all, err);
}

/* The hour's total is that of its agents, the day's that of its hours. */
static int update_day(struct part *part, uint64_t test_id, int64_t hour, const struct summary_set *agents,
                      struct arena *arena, struct error *err)
{
    struct summary_set day;
    int64_t first = sqlite_day_of(hour) * DAY_HOURS;
    summary_init(&day, arena, first * HOUR_S);
    int rc = read_row(part, test_id, ROW_DAY, first, &day, err);
    if (rc)
        return rc;
    summary_replace(&day, &(struct summary_agent){.agent_id = (uint64_t)(hour - first)});
    summary_replace(&day, &(struct summary_agent){.agent_id = WHOLE_DAY});
    struct summary_agent *total = summary_agent_of(&day, (uint64_t)(hour - first));
    for (size_t i = 0; total && i < agents->count; i++)
        summary_merge(&day, total, agents->agents[i]);
    struct summary_agent *whole = summary_agent_of(&day, WHOLE_DAY);
    for (size_t i = 0; whole && i < day.count; i++) {
        if (day.agents[i] != whole)
            summary_merge(&day, whole, day.agents[i]);
    }
    if (day.is_full)
        return error_set(err, E_LIMIT, part->db.path, "the summaries of a day do not fit the memory for them");
    return write_row(part, test_id, ROW_DAY, first, &day, err);
}

int summaries_update(struct part *part, uint64_t test_id, int64_t hour, const struct summary_set *fresh,
                     struct error *err)
{
    struct arena arena;
    struct summary_set agents, paths;
    arena_init(&arena, ARENA);
    int rc = part_begin(part, err);
    if (!rc)
        rc = update_kind(part, test_id, ROW_AGENTS, hour, fresh, &agents, &arena, err);
    if (!rc)
        rc = update_kind(part, test_id, ROW_PATHS, hour, fresh, &paths, &arena, err);
    if (!rc)
        rc = update_day(part, test_id, hour, &agents, &arena, err);
    arena_done(&arena);
    return rc;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct asking {
    struct sqlite_store *s;
    const struct store_summary_query *query;
    struct store_summary_fns fns;
    void *user;
    int64_t *heads; /* hours of the range of which the head has rounds, ascending */
    size_t head_count;
    struct arena arena;
    bool is_over;
};

static int find_heads(struct asking *a, int64_t first, int64_t end, struct error *err)
{
    struct buf heads;
    int rc = 0;
    buf_init(&heads, 1u << 24);
    for (int64_t hour = first; !rc; hour++) {
        int64_t found = 0;
        rc = sqlite_number(a->s, SQL_HOUR_NEXT, INT64_MAX, &hour, err, SQL_INTEGERS(hour));
        if (rc || hour >= end)
            break;
        rc = sqlite_number(a->s, SQL_HEAD_HAS, 0, &found, err, SQL_INTEGERS(hour, (int64_t)a->query->test_id));
        if (!rc && found)
            buf_put(&heads, &hour, sizeof hour);
    }
    a->head_count = heads.size / sizeof *a->heads;
    a->heads = mem_alloc_array(a->head_count + 1, sizeof *a->heads);
    if (heads.size)
        memcpy(a->heads, heads.data, heads.size);
    buf_done(&heads);
    return rc;
}

static bool has_head(const struct asking *a, int64_t first, int64_t end)
{
    for (size_t i = 0; i < a->head_count; i++) {
        if (a->heads[i] >= first && a->heads[i] < end)
            return true;
    }
    return false;
}

static bool add_round(void *user, const struct store_round *round)
{
    struct summary_set *set = user;
    summary_add(set, round);
    return !set->is_full;
}

static int too_large(struct asking *a, struct error *err)
{
    return error_set(err, E_LIMIT, a->s->main.path, "summaries of results do not fit the memory of this request");
}

/* All agents as one entry, with the id 0. */
static void total(struct summary_set *set, struct summary_set *ret_total)
{
    summary_init(ret_total, set->arena, set->from_s);
    struct summary_agent *sum = summary_agent_of(ret_total, 0);
    for (size_t i = 0; sum && i < set->count; i++)
        summary_merge(ret_total, sum, set->agents[i]);
    ret_total->is_full |= set->is_full;
}

/* An hour that is not all folded, from its rounds. */
static int tell_rounds(struct asking *a, int64_t hour, struct error *err)
{
    struct summary_set set, sum;
    struct store_query rounds = {.test_id = a->query->test_id,
                                 .from_s = hour * HOUR_S,
                                 .until_s = (hour + 1) * HOUR_S,
                                 .after_round = -1,
                                 .want = STORE_WANT_METRICS};
    summary_init(&set, &a->arena, hour * HOUR_S);
    int rc = sqlite_rounds(&a->s->store, &rounds, add_round, &set, err);
    bool is_total = a->fns.summary && !a->query->agent_count;
    if (is_total)
        total(&set, &sum);
    if (!rc && (set.is_full || (is_total && sum.is_full)))
        rc = too_large(a, err);
    if (!rc && set.count)
        a->is_over = !summary_tell(is_total ? &sum : &set, a->query, HOUR_S, &a->fns, a->user);
    arena_reset(&a->arena);
    return rc;
}

/* The day's row: the hours of it that are asked for and all folded, or the day itself. */
static int tell_day(struct asking *a, sqlite3_stmt *row, const char *where, int64_t first, int64_t end, bool is_whole,
                    struct error *err)
{
    int64_t day_hour = sqlite3_column_int64(row, 0);
    struct summary_set day;
    summary_init(&day, &a->arena, day_hour * HOUR_S);
    int rc = summary_read(&day, SUMMARY_METRICS, a->query->metric, sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1), where,
                          a->s->decompressor, err);
    for (size_t i = 0; !rc && !a->is_over && i < day.count; i++) {
        struct summary_agent entry = *day.agents[i], *entries = &entry;
        int64_t hour = day_hour + (int64_t)entry.agent_id;
        bool is_asked = is_whole ? entry.agent_id == WHOLE_DAY
                                 : entry.agent_id < WHOLE_DAY && hour >= first && hour < end && !has_head(a, hour, hour + 1);
        if (!is_asked)
            continue;
        struct summary_set set = {.agents = &entries, .count = 1, .from_s = (is_whole ? day_hour : hour) * HOUR_S};
        entry.agent_id = 0;
        a->is_over = !summary_tell(&set, a->query, is_whole ? DAY_HOURS * HOUR_S : HOUR_S, &a->fns, a->user);
    }
    arena_reset(&a->arena);
    return rc;
}

static int tell_hour(struct asking *a, sqlite3_stmt *row, const char *where, int kind, struct error *err)
{
    int64_t hour = sqlite3_column_int64(row, 0);
    struct summary_set set;
    if (has_head(a, hour, hour + 1))
        return 0;
    summary_init(&set, &a->arena, hour * HOUR_S);
    int rc = summary_read(&set, summaries_flags(kind), a->query->metric, sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1), where,
                          a->s->decompressor, err);
    if (!rc)
        a->is_over = !summary_tell(&set, a->query, HOUR_S, &a->fns, a->user);
    arena_reset(&a->arena);
    return rc;
}

/* Rows of a kind in [first, end) from one part, and the hours of the head between them, in order. */
static int tell_part(struct asking *a, int64_t number, int kind, int64_t first, int64_t end, size_t *next_head,
                     struct error *err)
{
    struct part *part;
    int rc = part_use(a->s, PART_SUMMARIES, number, false, &part, err);
    int64_t from = kind == ROW_DAY ? sqlite_day_of(first) * DAY_HOURS : first;
    if (rc || !part)
        return rc;
    sqlite3_stmt *row = db_take(&part->db, PART_SUMMARIES_IN, err,
                                SQL_INTEGERS((int64_t)a->query->test_id, kind, from, end));
    int step = SQLITE_DONE;
    if (!row)
        rc = -E_CORRUPT;
    while (!rc && !a->is_over && (step = sqlite3_step(row)) == SQLITE_ROW) {
        int64_t hour = sqlite3_column_int64(row, 0), width = kind == ROW_DAY ? DAY_HOURS : 1;
        bool is_whole = a->query->is_daily && kind == ROW_DAY && hour >= first && hour + width <= end &&
                        !has_head(a, hour, hour + width);
        while (!rc && !a->is_over && *next_head < a->head_count && a->heads[*next_head] < hour + width)
            rc = tell_rounds(a, a->heads[(*next_head)++], err);
        if (!rc && !a->is_over)
            rc = kind == ROW_DAY ? tell_day(a, row, part->db.path, first, end, is_whole, err)
                                 : tell_hour(a, row, part->db.path, kind, err);
    }
    if (!rc && !a->is_over && step != SQLITE_DONE)
        rc = db_fail(&part->db, err, "reading summaries");
    if (row)
        db_give(&part->db, PART_SUMMARIES_IN, row);
    part_done(part);
    return rc;
}

static int tell_kind(struct asking *a, int kind, int64_t first, int64_t end, struct error *err)
{
    int64_t period = part_days(PART_SUMMARIES) * DAY_HOURS;
    struct part_list list;
    size_t next_head = 0;
    int rc = part_list(a->s, &list, err);
    for (size_t i = 0; !rc && !a->is_over && i < list.count; i++) {
        int64_t number = list.items[i].number;
        if (list.items[i].kind == PART_SUMMARIES && number * period < end && (number + 1) * period > first)
            rc = tell_part(a, number, kind, first, end, &next_head, err);
    }
    part_list_done(&list);
    while (!rc && !a->is_over && next_head < a->head_count)
        rc = tell_rounds(a, a->heads[next_head++], err);
    return rc;
}

int sqlite_summaries(struct store *store, const struct store_summary_query *query, const struct store_summary_fns *fns,
                     void *user, struct error *err)
{
    struct asking a = {.s = sqlite_of(store), .query = query, .user = user};
    int64_t first = sqlite_hour_of(query->from_s), end = sqlite_hour_of(query->until_s);
    if (sqlite_is_dropped(a.s, query->test_id) || first >= end)
        return 0;
    arena_init(&a.arena, ARENA);
    int rc = find_heads(&a, first, end, err);
    a.fns = (struct store_summary_fns){.summary = fns->summary};
    if (!rc && fns->summary)
        rc = tell_kind(&a, query->agent_count ? ROW_AGENTS : ROW_DAY, first, end, err);
    a.fns = (struct store_summary_fns){.paths = fns->paths};
    if (!rc && fns->paths && !a.is_over)
        rc = tell_kind(&a, ROW_PATHS, first, end, err);
    mem_free(a.heads);
    arena_done(&a.arena);
    return rc;
}
