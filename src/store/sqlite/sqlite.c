#include "store/sqlite/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/sqlite/fold.h"
#include "store/sqlite/part.h"
#include "store/sqlite/summaries.h"

#define APPLICATION_ID 0x4f63756c /* "Ocul": tells our files from other programs' databases */

/* Step i brings a database of version i to version i + 1. A step, once released, never changes. */
static const struct {
    const char *what, *sql;
} migrations[] = {
    {"objects and results",
     "CREATE TABLE object (kind TEXT NOT NULL, id INTEGER NOT NULL, aid INTEGER NOT NULL, key TEXT, lookup TEXT,"
     " version INTEGER NOT NULL, modified_s INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT "
     "ROWID;"
     "CREATE UNIQUE INDEX object_key ON object (kind, aid, key) WHERE key IS NOT NULL;"
     "CREATE INDEX object_lookup ON object (kind, lookup, id) WHERE lookup IS NOT NULL;"
     "CREATE INDEX object_account ON object (kind, aid, id);"
     "CREATE TABLE object_past (kind TEXT NOT NULL, id INTEGER NOT NULL, aid INTEGER NOT NULL, key TEXT, lookup TEXT,"
     " version INTEGER NOT NULL, modified_s INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id, version))"
     " WITHOUT ROWID;"
     "CREATE TABLE object_next (kind TEXT NOT NULL PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;"
     "CREATE TABLE round (hour INTEGER NOT NULL, test_id INTEGER NOT NULL, round_id INTEGER NOT NULL,"
     " agent_id INTEGER NOT NULL, start_s INTEGER NOT NULL, end_s INTEGER NOT NULL, test_version INTEGER NOT NULL,"
     " fingerprint INTEGER NOT NULL, metrics BLOB NOT NULL, body_id INTEGER NOT NULL,"
     " PRIMARY KEY (hour, test_id, round_id, agent_id)) WITHOUT ROWID;"
     "CREATE TABLE body (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, bytes BLOB NOT NULL);"
     "CREATE TABLE tally (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
     "INSERT INTO tally VALUES ('rounds', 0);"},
    {"rounds are folded into parts",
     "ALTER TABLE body ADD COLUMN detail INTEGER NOT NULL DEFAULT 0;"
     "CREATE TABLE series (test_id INTEGER NOT NULL, day INTEGER NOT NULL, rounds INTEGER NOT NULL,"
     " PRIMARY KEY (test_id, day)) WITHOUT ROWID;"
     "CREATE INDEX series_day ON series (day);"
     "CREATE TABLE part (kind INTEGER NOT NULL, number INTEGER NOT NULL, rounds INTEGER NOT NULL,"
     " is_going INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, number)) WITHOUT ROWID;"
     "CREATE TABLE folding (hour INTEGER PRIMARY KEY, last_body INTEGER NOT NULL,"
     " test_id INTEGER NOT NULL, agent_id INTEGER NOT NULL, is_leaving INTEGER NOT NULL);"
     "CREATE TABLE dropped (test_id INTEGER PRIMARY KEY, is_freed INTEGER NOT NULL DEFAULT 0);"},
};

#define VERSION ((int)(sizeof migrations / sizeof migrations[0]))

#define OBJECT_COLUMNS "kind, id, aid, key, lookup, version, modified_s, body"
#define ROUND_COLUMNS "round_id, agent_id, start_s, end_s, test_version, fingerprint, metrics"
#define ROUND_SPAN                                                                                                     \
    "WHERE hour = ?1 AND test_id = ?2 AND (round_id, agent_id) > (?3, ?4) AND (round_id, agent_id) < (?5, ?6)"         \
    " AND (?7 = 0 OR agent_id = ?7) "
#define UP "ORDER BY round_id, agent_id"
#define DOWN "ORDER BY round_id DESC, agent_id DESC"
#define BODY_COLUMNS ", size, bytes, detail"
#define WITH_BODY BODY_COLUMNS " FROM round LEFT JOIN body ON body.id = body_id "

static const char *const sql[SQL_STATEMENT_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_OBJECT_ID] = "SELECT next FROM object_next WHERE kind = ?1",
    [SQL_OBJECT_NEXT] = "INSERT OR REPLACE INTO object_next VALUES (?2, ?1)",
    [SQL_OBJECT_TAKEN] = "SELECT id FROM object WHERE aid = ?1 AND id <> ?2 AND kind = ?3 AND key = ?4",
    [SQL_OBJECT_VERSION] = "SELECT version FROM object WHERE id = ?1 AND kind = ?2",
    [SQL_OBJECT_INSERT] = "INSERT INTO object (id, aid, version, modified_s, kind, key, lookup, body)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_OBJECT_KEEP] = "INSERT INTO object_past (" OBJECT_COLUMNS ")"
                        " SELECT " OBJECT_COLUMNS " FROM object WHERE id = ?1 AND kind = ?2",
    [SQL_OBJECT_UPDATE] = "UPDATE object SET aid = ?2, version = ?3, modified_s = ?4, key = ?6, lookup = ?7,"
                          " body = ?8 WHERE id = ?1 AND kind = ?5",
    [SQL_OBJECT_DELETE] = "DELETE FROM object WHERE id = ?1 AND kind = ?2",
    [SQL_OBJECT_FORGET] = "DELETE FROM object_past WHERE id = ?1 AND kind = ?2",
    [SQL_OBJECT_GET] = "SELECT " OBJECT_COLUMNS " FROM object WHERE id = ?1 AND kind = ?2",
    [SQL_OBJECT_GET_PAST] =
        "SELECT " OBJECT_COLUMNS " FROM object WHERE id = ?1 AND kind = ?2 AND version = ?3"
        " UNION ALL SELECT " OBJECT_COLUMNS " FROM object_past WHERE id = ?1 AND kind = ?2 AND version = ?3",
    [SQL_OBJECT_FIND] = "SELECT " OBJECT_COLUMNS " FROM object WHERE aid = ?1 AND kind = ?2 AND key = ?3",
    [SQL_OBJECT_LIST] = "SELECT " OBJECT_COLUMNS " FROM object WHERE id > ?2 AND kind = ?4 AND ?1 = ?1 AND ?5 IS NULL"
                        " ORDER BY id LIMIT ?3",
    [SQL_OBJECT_LIST_ACCOUNT] = "SELECT " OBJECT_COLUMNS " FROM object INDEXED BY object_account WHERE aid = ?1"
                                " AND id > ?2 AND kind = ?4 AND ?5 IS NULL ORDER BY id LIMIT ?3",
    [SQL_OBJECT_LIST_LOOKUP] = "SELECT " OBJECT_COLUMNS " FROM object INDEXED BY object_lookup WHERE lookup = ?5"
                               " AND kind = ?4 AND id > ?2 AND (?1 = 0 OR aid = ?1) ORDER BY id LIMIT ?3",
    [SQL_OBJECT_BACK] = "SELECT " OBJECT_COLUMNS " FROM object WHERE id < ?2 AND kind = ?4 AND ?1 = ?1"
                        " ORDER BY id DESC LIMIT ?3",
    [SQL_OBJECT_BACK_ACCOUNT] = "SELECT " OBJECT_COLUMNS " FROM object INDEXED BY object_account WHERE aid = ?1"
                                " AND id < ?2 AND kind = ?4 ORDER BY id DESC LIMIT ?3",
    [SQL_OBJECT_COUNT] = "SELECT count(*) FROM object",
    [SQL_ROUND_INSERT] = "INSERT INTO round (hour, test_id, round_id, agent_id, start_s, end_s, test_version,"
                         " fingerprint, body_id, metrics) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
                         " ON CONFLICT DO NOTHING",
    [SQL_BODY_INSERT] = "INSERT INTO body (id, size, detail, bytes) VALUES (?1, ?2, ?3, ?4)",
    [SQL_BODY_LAST] = "SELECT max(id) FROM body WHERE id < ?1",
    [SQL_BODY_LEGACY] = "SELECT id FROM body WHERE id > 0 AND id < ?1 LIMIT 1",
    [SQL_HOUR_NEXT] = "SELECT hour FROM round WHERE hour >= ?1 ORDER BY hour LIMIT 1",
    [SQL_HOUR_PREVIOUS] = "SELECT hour FROM round WHERE hour <= ?1 ORDER BY hour DESC LIMIT 1",
    [SQL_ROUND_UP] = "SELECT " ROUND_COLUMNS " FROM round " ROUND_SPAN UP,
    [SQL_ROUND_UP_BODY] = "SELECT " ROUND_COLUMNS WITH_BODY ROUND_SPAN UP,
    [SQL_ROUND_DOWN] = "SELECT " ROUND_COLUMNS " FROM round " ROUND_SPAN DOWN,
    [SQL_ROUND_DOWN_BODY] = "SELECT " ROUND_COLUMNS WITH_BODY ROUND_SPAN DOWN,
    [SQL_ROUND_IDS] = "SELECT DISTINCT round_id FROM round WHERE hour = ?1 AND test_id = ?2 ORDER BY round_id",
    [SQL_HEAD_TESTS] = "SELECT test_id FROM round WHERE hour = ?1 AND test_id > ?2 ORDER BY test_id LIMIT 1",
    [SQL_HEAD_HAS] = "SELECT 1 FROM round WHERE hour = ?1 AND test_id = ?2 LIMIT 1",
    [SQL_HEAD_KEYS] = "SELECT agent_id, round_id, body_id FROM round WHERE hour = ?1 AND test_id = ?2",
    [SQL_HEAD_ROW] = "SELECT " ROUND_COLUMNS WITH_BODY
                     "WHERE hour = ?1 AND test_id = ?2 AND round_id = ?3 AND agent_id = ?4",
    [SQL_HEAD_ALL] = "SELECT " ROUND_COLUMNS WITH_BODY
                     "WHERE hour NOT IN (SELECT hour FROM folding WHERE is_leaving)",
    [SQL_HEAD_DROP] = "DELETE FROM round WHERE hour = ?1 AND test_id = ?2 AND round_id = ?3 AND agent_id = ?4",
    [SQL_HEAD_DROP_BODY] = "DELETE FROM body WHERE id = ?1",
    [SQL_HEAD_DROP_HOUR] = "DELETE FROM round WHERE (hour, test_id, round_id, agent_id) IN (SELECT hour, test_id, round_id,"
                           " agent_id FROM round WHERE hour = ?1 AND body_id <= ?2 LIMIT ?3)",
    [SQL_HEAD_DROP_BODIES] = "DELETE FROM body WHERE id IN (SELECT id FROM body WHERE id >= ?1 AND id <= ?2 LIMIT ?3)",
    [SQL_FOLDING_GET] = "SELECT hour, last_body, test_id, agent_id, is_leaving FROM folding WHERE hour = ?1",
    [SQL_FOLDING_LEAVING] = "SELECT hour FROM folding WHERE is_leaving LIMIT 1",
    [SQL_FOLDING_PUT] = "INSERT OR REPLACE INTO folding VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_FOLDING_END] = "DELETE FROM folding WHERE hour = ?1",
    [SQL_SERIES_ADD] = "INSERT INTO series VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET rounds = rounds + ?3",
    [SQL_SERIES_NEXT] = "SELECT day FROM series WHERE test_id = ?1 AND day >= ?2 ORDER BY day LIMIT 1",
    [SQL_SERIES_PREVIOUS] = "SELECT day FROM series WHERE test_id = ?1 AND day <= ?2 ORDER BY day DESC LIMIT 1",
    [SQL_SERIES_ROUNDS] = "SELECT rounds FROM series WHERE test_id = ?1 AND day = ?2",
    [SQL_SERIES_DROP] = "DELETE FROM series WHERE test_id = ?1 AND day = ?2",
    [SQL_SERIES_DROP_DAY] = "DELETE FROM series WHERE day = ?1",
    [SQL_PART_ADD] = "INSERT INTO part (kind, number, rounds) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT DO UPDATE SET rounds = rounds + ?3",
    [SQL_PART_LIST] = "SELECT kind, number, rounds, is_going FROM part ORDER BY number, kind DESC",
    [SQL_PART_MARK] = "UPDATE part SET is_going = 1, rounds = 0 WHERE kind = ?1 AND number = ?2",
    [SQL_PART_DROP] = "DELETE FROM part WHERE kind = ?1 AND number = ?2",
    [SQL_DROPPED_ADD] = "INSERT INTO dropped (test_id) VALUES (?1) ON CONFLICT DO NOTHING",
    [SQL_DROPPED_LIST] = "SELECT test_id FROM dropped ORDER BY test_id",
    [SQL_DROPPED_NEXT] = "SELECT test_id FROM dropped WHERE NOT is_freed ORDER BY test_id LIMIT 1",
    [SQL_DROPPED_FREED] = "UPDATE dropped SET is_freed = 1 WHERE test_id = ?1",
    [SQL_TALLY_ADD] = "UPDATE tally SET value = value + ?1 WHERE name = 'rounds'",
    [SQL_TALLY_GET] = "SELECT value FROM tally WHERE name = 'rounds'",
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* A second server on the same file would send old state to its agents. The lock goes with the process. */
static int lock(struct sqlite_store *s, const char *main_path, struct error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s-lock", main_path) >= (int)sizeof path)
        return error_set(err, E_RANGE, main_path, "the path is too long");
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return error_sys(err, errno, path, "cannot open the lock file");
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? error_set(err, E_CONFLICT, main_path, "another process has the store open")
                                    : error_sys(err, errno, path, "cannot lock");
    return 0;
}

static int migrate(struct sqlite_store *s, struct error *err)
{
    int64_t application = 0, version = 0, schema = 0;
    int rc = db_pragma(&s->main, "PRAGMA application_id", &application, err);
    if (!rc)
        rc = db_pragma(&s->main, "PRAGMA user_version", &version, err);
    if (!rc)
        rc = db_pragma(&s->main, "SELECT count(*) FROM sqlite_schema", &schema, err);
    if (rc)
        return rc;
    if (application != APPLICATION_ID && schema)
        return error_set(err, E_INVALID, s->main.path, "this database belongs to another program");
    if (version > VERSION)
        return error_set(err, E_NOT_SUPPORTED, s->main.path,
                         "the store has version %lld, written by a newer program; this one knows up to %d",
                         (long long)version, VERSION);
    for (int64_t v = version; !rc && v < VERSION; v++) {
        char text[512];
        (void)snprintf(
            text, sizeof text,
            "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, what TEXT, applied_s INTEGER);"
            "INSERT INTO migration VALUES (%lld, '%s', unixepoch()); PRAGMA user_version = %lld;"
            "PRAGMA application_id = %d; COMMIT",
            (long long)v + 1, migrations[v].what, (long long)v + 1, APPLICATION_ID);
        rc = db_execute(&s->main, "BEGIN IMMEDIATE", "migrating", err);
        if (!rc)
            rc = db_execute(&s->main, migrations[v].sql, "migrating", err);
        if (!rc)
            rc = db_execute(&s->main, text, "migrating", err);
        if (rc)
            (void)sqlite3_exec(s->main.handle, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

void sqlite_close(struct store *store)
{
    struct sqlite_store *s = sqlite_of(store);
    worker_free(s->worker);
    part_close_all(s);
    sqlite_sync_end(s);
    db_close(&s->main);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    sqlite_forget_folded(s);
    size_t position = 0;
    void *touched;
    while ((touched = map_next(&s->touched, &position)))
        mem_free(touched);
    map_done(&s->touched);
    map_done(&s->dropped);
    (void)ZSTD_freeCCtx(s->compressor);
    (void)ZSTD_freeCCtx(s->folder);
    (void)ZSTD_freeDCtx(s->decompressor);
    buf_done(&s->packed);
    buf_done(&s->metrics);
    mem_free(s->parts_dir);
    mem_free(s);
}

static int read_dropped(struct sqlite_store *s, struct error *err)
{
    sqlite3_stmt *row = sqlite_take(s, SQL_DROPPED_LIST, err, 0, NULL);
    int step = SQLITE_DONE;
    if (!row)
        return -E_CORRUPT;
    while ((step = sqlite3_step(row)) == SQLITE_ROW)
        map_put(&s->dropped, (uint64_t)sqlite3_column_int64(row, 0), s);
    int rc = step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "opening");
    sqlite_give(s, SQL_DROPPED_LIST, row);
    return rc;
}

static int open_database(struct sqlite_store *s, const char *path, struct error *err)
{
    int rc = lock(s, path, err);
    if (rc)
        return rc;
    rc = db_open(&s->main, path, false,
                 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON;"
                 "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-65536;"
                 "PRAGMA temp_store=MEMORY",
                 sql, err);
    if (!rc)
        rc = migrate(s, err);
    int64_t legacy = 0;
    if (!rc)
        rc = sqlite_number(s, SQL_BODY_LEGACY, 0, &legacy, err, SQL_INTEGERS(sqlite_first_body(1)));
    s->has_legacy = legacy != 0;
    if (!rc)
        rc = fold_resume(s, err);
    if (!rc)
        rc = read_dropped(s, err);
    return rc ? rc : part_newest_hour(s, &s->newest_folded, err);
}

static struct sqlite_store *new_store(const char *path)
{
    struct sqlite_store *s = mem_alloc(sizeof *s);
    s->parts_dir = mem_alloc(strlen(path) + sizeof "-parts");
    (void)snprintf(s->parts_dir, strlen(path) + sizeof "-parts", "%s-parts", path);
    s->stuck_hour = INT64_MIN;
    s->worker = worker_new();
    s->lock_fd = -1;
    s->sync.fd = -1;
    s->compressor = ZSTD_createCCtx();
    s->folder = ZSTD_createCCtx();
    s->decompressor = ZSTD_createDCtx();
    assert(s->compressor && s->folder && s->decompressor);
    (void)ZSTD_CCtx_setParameter(s->compressor, ZSTD_c_compressionLevel, 1);
    (void)ZSTD_CCtx_setParameter(s->folder, ZSTD_c_compressionLevel, 9);
    (void)ZSTD_CCtx_setParameter(s->folder, ZSTD_c_contentSizeFlag, 0); /* the frame around it says */
    (void)ZSTD_CCtx_setParameter(s->compressor, ZSTD_c_checksumFlag, 1);
    buf_init(&s->packed, 2 * ZSTD_compressBound(2 * LIMIT_ROUND_ARENA));
    buf_init(&s->metrics, 4096);
    return s;
}

static int sqlite_open(const char *path, struct store **ret_store, struct error *err)
{
    if (!path[0])
        return error_set(err, E_REQUIRED, "sqlite:", "the path of the database file is missing");
    struct sqlite_store *s = new_store(path);
    int rc = open_database(s, path, err);
    if (rc)
        sqlite_close(&s->store);
    else
        *ret_store = &s->store;
    return rc;
}

int sqlite_open_beside(const char *path, struct sqlite_store **ret_store, struct error *err)
{
    struct sqlite_store *s = new_store(path);
    int64_t version = 0;
    int rc = db_open(&s->main, path, true, "PRAGMA busy_timeout = 5000", sql, err);
    if (!rc)
        rc = db_pragma(&s->main, "PRAGMA user_version", &version, err);
    if (!rc && version != VERSION)
        rc = error_set(err, E_NOT_SUPPORTED, path,
                       "the store has version %lld, this program's is %d; a start of the server brings an older one up to date",
                       (long long)version, VERSION);
    if (rc)
        sqlite_close(&s->store);
    else
        *ret_store = s;
    return rc;
}

/* --- transactions ------------------------------------------------------------------------------------------------- */

static int sqlite_commit(struct store *store, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int rc = sqlite_run(s, SQL_COMMIT, err, NULL, 0, NULL);
    s->has_dropped &= rc != 0;
    return rc;
}

static void sqlite_rollback(struct store *store)
{
    struct sqlite_store *s = sqlite_of(store);
    /* SQLite has rolled back by itself after some failures; then there is nothing left to do. */
    if (!sqlite3_get_autocommit(s->main.handle))
        (void)sqlite_run(s, SQL_ROLLBACK, NULL, NULL, 0, NULL);
    if (s->has_dropped) {
        map_done(&s->dropped);
        s->dropped = (struct map){.entries = NULL};
        (void)read_dropped(s, NULL);
    }
    s->has_dropped = false;
}

static int sqlite_stats(struct store *store, struct store_stats *ret_stats, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int64_t objects, rounds;
    struct part_list list;
    int rc = sqlite_number(s, SQL_OBJECT_COUNT, 0, &objects, err, 0, NULL);
    if (!rc)
        rc = sqlite_number(s, SQL_TALLY_GET, 0, &rounds, err, 0, NULL);
    if (!rc)
        rc = part_list(s, &list, err);
    if (rc)
        return rc;
    *ret_stats = (struct store_stats){.objects = (uint64_t)objects,
                                      .rounds = (uint64_t)rounds,
                                      .head_rounds = (uint64_t)rounds,
                                      .bytes = db_bytes(s->main.path) + list.bytes,
                                      .files = 1 + list.count};
    for (size_t i = 0; i < list.count; i++)
        ret_stats->head_rounds -= list.items[i].kind == PART_RESULTS ? list.items[i].rounds : 0;
    part_list_done(&list);

    return 0;
}

const struct store_backend store_sqlite = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .begin_soon = sqlite_begin_soon,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .sync = sqlite_sync,
    .is_crowded = sqlite_is_crowded,
    .put = sqlite_put,
    .get = sqlite_get,
    .find = sqlite_find,
    .remove = sqlite_remove,
    .list = sqlite_list,
    .list_back = sqlite_list_back,
    .append = sqlite_append,
    .rounds = sqlite_rounds,
    .round_ids = sqlite_round_ids,
    .summaries = sqlite_summaries,
    .drop_test = sqlite_drop_test,
    .upkeep = sqlite_upkeep,
    .stats = sqlite_stats,
};
