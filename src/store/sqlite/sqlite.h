/*
 * The SQLite backend's inside: the handle, its statements and its errors. Only files of this folder include it.
 *
 * Durability: WAL with synchronous=FULL, so a commit that returned has been flushed to the disk. One process owns the
 * file (a lock on PATH-lock); a power cut leaves the last committed state.
 *
 * Layout of results. `round` is the head: small rows (times, metrics) keyed (hour, test, round, agent). The hour in
 * front makes it time-ordered, so that appends go to a few pages and retention removes one end; within the hour one
 * test's rounds lie side by side, so that a timeline reads one range an hour. `body` holds what a round is made of,
 * compressed, in order of arrival. Folding an hour of one test into a chunk replaces one such range of `round`.
 */
#ifndef OCULI_STORE_SQLITE_H
#define OCULI_STORE_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <zstd.h>

#include "base/buf.h"
#include "store/backend.h"

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
    SQL_HOUR_NEXT,
    SQL_HOUR_PREVIOUS,
    SQL_ROUND_UP,
    SQL_ROUND_UP_BODY,
    SQL_ROUND_DOWN,
    SQL_ROUND_DOWN_BODY,
    SQL_ROUND_IDS,
    SQL_DROP_BODIES,
    SQL_DROP_ROUNDS,
    SQL_DROP_TEST_BODIES,
    SQL_DROP_TEST_ROUNDS,
    SQL_TALLY_ADD,
    SQL_TALLY_GET,
    SQL_STATEMENT_COUNT
};

/* Commits that do not wait for the disk (sync.c). */
struct sqlite_sync {
    atomic_uint pages; /* in the write-ahead log */
    bool is_soon;      /* how the writer commits now */
    sqlite3 *db;       /* of the thread that syncs, as is what follows; NULL until somebody begins soon */
    int fd;
    bool is_in_doubt; /* a flush failed: nobody knows what is on the disk */
};

struct sqlite_store {
    struct store store;
    sqlite3 *db;
    char *path;
    int lock_fd;
    struct sqlite_sync sync;
    sqlite3_stmt *statements[SQL_STATEMENT_COUNT];
    bool is_taken[SQL_STATEMENT_COUNT];
    int64_t next_body;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    struct buf packed; /* scratch of append */
    struct buf metrics;
};

static inline struct sqlite_store *sqlite_of(struct store *store)
{
    return (struct sqlite_store *)store;
}

/* The error of the last SQLite call, with the code of store.h and the file's name. */
int sqlite_fail(struct sqlite_store *s, struct error *err, const char *doing);

/* A prepared statement with its integer parameters 1..count bound; given back with sqlite_give. A statement that is in
 * use already (a callback reading the store) is prepared a second time. NULL with err set on failure. */
sqlite3_stmt *sqlite_take(struct sqlite_store *s, enum sqlite_statement which, struct error *err, size_t count,
                          const int64_t *integers);
void sqlite_give(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt *statement);
#define SQL_INTEGERS(...)                                                                                              \
    (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                                            \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Runs a statement that gives no row. ret_changes may be NULL. */
int sqlite_run(struct sqlite_store *s, enum sqlite_statement which, struct error *err, int *ret_changes, size_t count,
               const int64_t *integers);
/* The first column of the first row; `none` when there is no row or it is NULL. */
int sqlite_number(struct sqlite_store *s, enum sqlite_statement which, int64_t none, int64_t *ret_value,
                  struct error *err, size_t count, const int64_t *integers);

int sqlite_begin(struct store *store, struct error *err);
int sqlite_begin_soon(struct store *store, struct error *err);
bool sqlite_is_crowded(const struct store *store);
int sqlite_sync(struct store *store, struct error *err);
void sqlite_sync_end(struct sqlite_store *s);

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
int sqlite_drop(struct store *store, uint64_t test_id, int64_t before_s, int64_t *position, size_t *ret_dropped,
                struct error *err);

#endif
