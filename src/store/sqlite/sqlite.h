/*
 * The SQLite backend's inside: the handle, its statements and its files. Only files of this folder include it.
 * docs/storage.md tells the whole of it.
 *
 * Durability: WAL with synchronous=FULL, so a commit that returned has been flushed to the disk. One process owns the
 * store (a lock on PATH-lock); a power cut leaves the last committed state.
 *
 * PATH holds objects and the head: rounds as they came. `round` has small rows (times, metrics) keyed (hour, test,
 * round, agent): the hour in front makes it time-ordered, so that appends go to a few pages. `body` holds what a round
 * is made of, in order of arrival: the body and, the last `detail` bytes of it, the detail. An hour that is over is
 * folded (fold.c) into chunks (chunk.h) of (test, agent, hour) in the files of PATH-parts (part.h).
 *
 * Between a fold's commit in the part and the one in the head, a round is in both; it is the same round, and readers
 * tell it once. `series` knows which tests have rounds in the part of which day, `part` which parts there are.
 */
#ifndef OCULI_STORE_SQLITE_H
#define OCULI_STORE_SQLITE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/map.h"
#include "store/backend.h"
#include "store/chunk.h"
#include "store/sqlite/db.h"
#include "store/sqlite/worker.h"

enum sqlite_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_OBJECT_ID,
    SQL_OBJECT_NEXT,
    SQL_OBJECT_TAKEN,
    SQL_OBJECT_VERSION,
    SQL_OBJECT_INSERT,
    SQL_OBJECT_KEEP,
    SQL_OBJECT_UPDATE,
    SQL_OBJECT_DELETE,
    SQL_OBJECT_FORGET,
    SQL_OBJECT_GET,
    SQL_OBJECT_GET_PAST,
    SQL_OBJECT_FIND,
    SQL_OBJECT_LIST,
    SQL_OBJECT_LIST_ACCOUNT,
    SQL_OBJECT_LIST_LOOKUP,
    SQL_OBJECT_BACK,
    SQL_OBJECT_BACK_ACCOUNT,
    SQL_OBJECT_COUNT,
    SQL_ROUND_INSERT,
    SQL_BODY_INSERT,
    SQL_BODY_LAST,
    SQL_BODY_LEGACY,
    SQL_HOUR_NEXT,
    SQL_HOUR_PREVIOUS,
    SQL_ROUND_UP,
    SQL_ROUND_UP_BODY,
    SQL_ROUND_DOWN,
    SQL_ROUND_DOWN_BODY,
    SQL_ROUND_IDS,
    SQL_HEAD_TESTS,
    SQL_HEAD_HAS,
    SQL_HEAD_KEYS,
    SQL_HEAD_ROW,
    SQL_HEAD_ALL,
    SQL_HEAD_DROP,
    SQL_HEAD_DROP_BODY,
    SQL_HEAD_DROP_HOUR,
    SQL_HEAD_DROP_BODIES,
    SQL_FOLDING_GET,
    SQL_FOLDING_LEAVING,
    SQL_FOLDING_PUT,
    SQL_FOLDING_END,
    SQL_SERIES_ADD,
    SQL_SERIES_NEXT,
    SQL_SERIES_PREVIOUS,
    SQL_SERIES_ROUNDS,
    SQL_SERIES_DROP,
    SQL_SERIES_DROP_DAY,
    SQL_PART_ADD,
    SQL_PART_LIST,
    SQL_PART_MARK,
    SQL_PART_DROP,
    SQL_DROPPED_ADD,
    SQL_DROPPED_LIST,
    SQL_DROPPED_NEXT,
    SQL_DROPPED_FREED,
    SQL_TALLY_ADD,
    SQL_TALLY_GET,
    SQL_STATEMENT_COUNT
};

/* Commits that do not wait for the disk (sync.c). */
struct sqlite_sync {
    atomic_uint pages; /* in the write-ahead log */
    bool is_soon;      /* how the writer commits now */
    _Atomic(sqlite3 *) db; /* of the thread that syncs, as is what follows; NULL until somebody begins soon */
    int fd;
    bool is_in_doubt; /* a flush failed: nobody knows what is on the disk */
};

/* Rounds that appends were compared with lately: of (test, agent, hour) those that are folded. */
struct sqlite_folded {
    uint64_t test_id, agent_id;
    int64_t hour;
    int64_t *ids;
    size_t count;
};
#define SQLITE_FOLDED 64u

/* The hour that is being folded: its rounds whose body is not beyond last_body, up to (test, agent). */
struct sqlite_folding {
    bool is_on, is_leaving; /* leaving: all of them are in the parts, and go from the head */
    int64_t hour, last_body, test_id, agent_id;
};

/* The last look at which parts are too old or too many. */
struct sqlite_looked {
    int64_t at_s;
    bool found; /* something to do */
    struct store_policy policy;
};

/* How far a fold is ahead of what is noted: folded into parts that are not all flushed. */
#define SQLITE_AHEAD_TESTS 32u
struct sqlite_ahead {
    int64_t test_id, agent_id; /* as in sqlite_folding */
    bool is_at_end;            /* of the hour */
    bool is_asked;             /* the worker flushes */
    struct {
        uint64_t test_id, rounds;
        bool is_dropped;
    } tests[SQLITE_AHEAD_TESTS];
    size_t count;
    uint64_t rounds;
    bool has_details;
};

/* An hour of the head to which rounds were appended since the start. */
struct sqlite_touched {
    int64_t at_s; /* of the last upkeep before it */
    int64_t next_body;
};

/* Bodies are numbered within their hour, so that those of an hour lie side by side and go together. */
#define SQLITE_BODY_BITS 33
static inline int64_t sqlite_first_body(int64_t hour)
{
    int64_t most = INT64_C(1) << 29, kept = hour < -most ? -most : hour > most - 1 ? most - 1 : hour;
    return kept * (INT64_C(1) << SQLITE_BODY_BITS);
}

struct sqlite_store {
    struct store store;
    struct db main;
    char *parts_dir;
    int lock_fd;
    struct sqlite_sync sync;
    struct part *parts; /* open ones */
    size_t part_count;
    uint64_t part_clock;
    struct map dropped; /* test id -> anything: dropped tests */
    bool has_dropped; /* in the open transaction */
    int64_t newest_folded; /* hour; appends beyond it cannot be duplicates of folded rounds */
    struct sqlite_folded folded[SQLITE_FOLDED];
    struct map touched; /* hour -> struct sqlite_touched */
    struct sqlite_folding folding; /* as noted */
    struct sqlite_ahead ahead;
    struct worker *worker;
    bool has_legacy; /* bodies whose ids do not tell their hour */
    int64_t stuck_hour; /* behind the one that did not fold in this pass */
    int64_t upkeep_s; /* the time of the last upkeep */
    struct sqlite_looked looked;
    bool was_full; /* the disk was, in the last upkeep */
    ZSTD_CCtx *compressor, *folder; /* of appended bodies; of chunks */
    ZSTD_DCtx *decompressor;
    struct buf packed; /* scratch of append */
    struct buf metrics;
};


static inline struct sqlite_store *sqlite_of(struct store *store)
{
    return (struct sqlite_store *)store;
}

#define HOUR_S 3600
#define DAY_HOURS 24
#define METRIC_BYTES 10 /* a metric in the head: id (2) and value (8), both little-endian */

/* Rounds down, below 0 too. */
static inline int64_t sqlite_floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static inline int64_t sqlite_hour_of(int64_t round_id)
{
    return sqlite_floor_div(round_id, HOUR_S);
}

static inline int64_t sqlite_day_of(int64_t hour)
{
    return sqlite_floor_div(hour, DAY_HOURS);
}

static inline bool sqlite_is_dropped(const struct sqlite_store *s, uint64_t test_id)
{
    return map_get(&s->dropped, test_id) != NULL;
}

static inline sqlite3_stmt *sqlite_take(struct sqlite_store *s, enum sqlite_statement which, struct error *err,
                                        size_t count, const int64_t *integers)
{
    return db_take(&s->main, which, err, count, integers);
}

static inline void sqlite_give(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt *statement)
{
    db_give(&s->main, which, statement);
}

static inline int sqlite_fail(struct sqlite_store *s, struct error *err, const char *doing)
{
    return db_fail(&s->main, err, doing);
}

static inline int sqlite_run(struct sqlite_store *s, enum sqlite_statement which, struct error *err, int *ret_changes,
                             size_t count, const int64_t *integers)
{
    return db_run(&s->main, which, err, ret_changes, count, integers);
}

static inline int sqlite_number(struct sqlite_store *s, enum sqlite_statement which, int64_t none, int64_t *ret_value,
                                struct error *err, size_t count, const int64_t *integers)
{
    return db_number(&s->main, which, none, ret_value, err, count, integers);
}

/* Reads a row of the head, columns as ROUND_COLUMNS names them, body columns behind them. Metrics go to `metrics`
 * (STORE_ROUND_METRICS of them); body and detail to buf, or stay in the row. want as in a query. */
int sqlite_read_row(struct sqlite_store *s, sqlite3_stmt *row, unsigned want, struct store_metric *metrics,
                    struct buf *buf, struct store_round *round, struct error *err);

/* Appends have come or a fold went: what was remembered of folded rounds is not true any more. */
void sqlite_forget_folded(struct sqlite_store *s);

int sqlite_begin(struct store *store, struct error *err);
int sqlite_begin_soon(struct store *store, struct error *err);
bool sqlite_is_crowded(const struct store *store);
int sqlite_sync(struct store *store, struct error *err);
void sqlite_sync_end(struct sqlite_store *s);

/* A second look at a store that a server may have open: nothing is locked, made or brought up to date. Only for reading.
 * -E_NOT_SUPPORTED: another version's. */
int sqlite_open_beside(const char *path, struct sqlite_store **ret_store, struct error *err);
void sqlite_close(struct store *store);

int sqlite_drop_test(struct store *store, uint64_t test_id, struct error *err);
int sqlite_upkeep(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                  struct store_upkeep *ret_upkeep, struct error *err);

int sqlite_put(struct store *store, struct store_object *object, struct error *err);
int sqlite_get(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
               struct store_object *ret_object, struct error *err);
int sqlite_find(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
                struct store_object *ret_object, struct error *err);
int sqlite_remove(struct store *store, const char *kind, uint64_t id, bool is_purge, struct error *err);
int sqlite_list(struct store *store, const char *kind, uint64_t aid, const char *lookup, uint64_t after_id, size_t max,
                store_object_fn *fn, void *user, struct error *err);
int sqlite_list_back(struct store *store, const char *kind, uint64_t aid, uint64_t before_id, size_t max,
                     store_object_fn *fn, void *user, struct error *err);
int sqlite_append(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new, bool *is_new,
                  struct error *err);
int sqlite_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                  struct error *err);
int sqlite_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                     int64_t **ret_ids, size_t *ret_count, struct error *err);

#endif
