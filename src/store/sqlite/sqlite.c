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

#define APPLICATION_ID 0x4f63756c /* "Ocul": tells our files from other programs' databases */
#define BUSY_MS 5000              /* an operator's sqlite3 shell may hold the file for a moment */

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
};
#define VERSION ((int)(sizeof migrations / sizeof migrations[0]))

#define OBJECT_COLUMNS "kind, id, aid, key, lookup, version, modified_s, body"
#define ROUND_COLUMNS "round_id, agent_id, start_s, end_s, test_version, fingerprint, metrics"
#define ROUND_SPAN                                                                                                     \
    "WHERE hour = ?1 AND test_id = ?2 AND (round_id, agent_id) > (?3, ?4) AND (round_id, agent_id) < (?5, ?6)"         \
    " AND (?7 = 0 OR agent_id = ?7) "
#define UP "ORDER BY round_id, agent_id"
#define DOWN "ORDER BY round_id DESC, agent_id DESC"
#define WITH_BODY ", size, bytes FROM round LEFT JOIN body ON body.id = body_id "

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
    [SQL_BODY_INSERT] = "INSERT INTO body (id, size, bytes) VALUES (?1, ?2, ?3)",
    [SQL_BODY_LAST] = "SELECT max(id) FROM body",
    [SQL_HOUR_NEXT] = "SELECT hour FROM round WHERE hour >= ?1 ORDER BY hour LIMIT 1",
    [SQL_HOUR_PREVIOUS] = "SELECT hour FROM round WHERE hour <= ?1 ORDER BY hour DESC LIMIT 1",
    [SQL_ROUND_UP] = "SELECT " ROUND_COLUMNS " FROM round " ROUND_SPAN UP,
    [SQL_ROUND_UP_BODY] = "SELECT " ROUND_COLUMNS WITH_BODY ROUND_SPAN UP,
    [SQL_ROUND_DOWN] = "SELECT " ROUND_COLUMNS " FROM round " ROUND_SPAN DOWN,
    [SQL_ROUND_DOWN_BODY] = "SELECT " ROUND_COLUMNS WITH_BODY ROUND_SPAN DOWN,
    [SQL_ROUND_IDS] = "SELECT DISTINCT round_id FROM round WHERE hour = ?1 AND test_id = ?2 AND round_id >= ?3"
                      " AND round_id < ?4 ORDER BY round_id",
    [SQL_DROP_BODIES] = "DELETE FROM body WHERE id IN (SELECT body_id FROM round WHERE hour = ?1 AND round_id < ?2)",
    [SQL_DROP_ROUNDS] = "DELETE FROM round WHERE hour = ?1 AND round_id < ?2",
    [SQL_DROP_TEST_BODIES] = "DELETE FROM body WHERE id IN (SELECT body_id FROM round WHERE hour = ?1"
                             " AND round_id < ?2 AND test_id = ?3)",
    [SQL_DROP_TEST_ROUNDS] = "DELETE FROM round WHERE hour = ?1 AND round_id < ?2 AND test_id = ?3",
    [SQL_TALLY_ADD] = "UPDATE tally SET value = value + ?1 WHERE name = 'rounds'",
    [SQL_TALLY_GET] = "SELECT value FROM tally WHERE name = 'rounds'",
};

/* --- errors and statements ---------------------------------------------------------------------------------------- */

int sqlite_fail(struct sqlite_store *s, struct error *err, const char *doing)
{
    /* sqlite3_system_errno does not tell why a write within a statement failed; the C library still knows. */
    int sys = errno;
    int rc = s->db ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
    const char *text = s->db ? sqlite3_errmsg(s->db) : "out of memory";
    if ((rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN)
        sys = 0;
    enum error_code code;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        code = E_FULL;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* a table or column that we made is not there any more */
        code = E_CORRUPT;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = E_AGAIN;
        break;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        code = E_PERMISSION;
        break;
    default:
        code = sys == ENOSPC || sys == EDQUOT || sys == EFBIG ? E_FULL : E_IO;
        break;
    }
    if (sys)
        return error_set(err, code, s->path, "%s: %s (%s)", doing, text, strerror(sys));
    return error_set(err, code, s->path, "%s: %s", doing, text);
}

sqlite3_stmt *sqlite_take(struct sqlite_store *s, enum sqlite_statement which, struct error *err, size_t count,
                          const int64_t *integers)
{
    sqlite3_stmt *statement = s->statements[which];
    if (!statement || s->is_taken[which]) {
        unsigned flags = statement ? 0 : SQLITE_PREPARE_PERSISTENT;
        if (sqlite3_prepare_v3(s->db, sql[which], -1, flags, &statement, NULL) != SQLITE_OK) {
            (void)sqlite_fail(s, err, "preparing a statement");
            return NULL;
        }
        if (!s->statements[which])
            s->statements[which] = statement;
    }
    if (statement == s->statements[which])
        s->is_taken[which] = true;
    for (size_t i = 0; i < count; i++)
        (void)sqlite3_bind_int64(statement, (int)i + 1, integers[i]);
    return statement;
}

void sqlite_give(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt *statement)
{
    if (statement == s->statements[which]) {
        (void)sqlite3_reset(statement);
        (void)sqlite3_clear_bindings(statement);
        s->is_taken[which] = false;
    } else {
        (void)sqlite3_finalize(statement);
    }
}

int sqlite_run(struct sqlite_store *s, enum sqlite_statement which, struct error *err, int *ret_changes, size_t count,
               const int64_t *integers)
{
    sqlite3_stmt *statement = sqlite_take(s, which, err, count, integers);
    if (!statement)
        return -E_CORRUPT;
    int rc = 0;
    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = sqlite_fail(s, err, "writing");
    else if (ret_changes)
        *ret_changes = sqlite3_changes(s->db);
    sqlite_give(s, which, statement);
    return rc;
}

int sqlite_number(struct sqlite_store *s, enum sqlite_statement which, int64_t none, int64_t *ret_value,
                  struct error *err, size_t count, const int64_t *integers)
{
    sqlite3_stmt *statement = sqlite_take(s, which, err, count, integers);
    if (!statement)
        return -E_CORRUPT;
    int step = sqlite3_step(statement), rc = 0;
    if (step == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *ret_value = sqlite3_column_int64(statement, 0);
    else if (step == SQLITE_ROW || step == SQLITE_DONE)
        *ret_value = none;
    else
        rc = sqlite_fail(s, err, "reading");
    sqlite_give(s, which, statement);
    return rc;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int execute(struct sqlite_store *s, const char *text, const char *doing, struct error *err)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_fail(s, err, doing);
}

static int pragma_number(struct sqlite_store *s, const char *text, int64_t *ret_value, struct error *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(s->db, text, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_fail(s, err, "opening");
    int rc = 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    else
        rc = sqlite_fail(s, err, "opening");
    (void)sqlite3_finalize(statement);
    return rc;
}

/* A second server on the same file would send old state to its agents. The lock goes with the process. */
static int lock(struct sqlite_store *s, struct error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s-lock", s->path) >= (int)sizeof path)
        return error_set(err, E_RANGE, s->path, "the path is too long");
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return error_sys(err, errno, path, "cannot open the lock file");
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? error_set(err, E_CONFLICT, s->path, "another process has the store open")
                                    : error_sys(err, errno, path, "cannot lock");
    return 0;
}

static int migrate(struct sqlite_store *s, struct error *err)
{
    int64_t application = 0, version = 0, schema = 0;
    int rc = pragma_number(s, "PRAGMA application_id", &application, err);
    if (!rc)
        rc = pragma_number(s, "PRAGMA user_version", &version, err);
    if (!rc)
        rc = pragma_number(s, "SELECT count(*) FROM sqlite_schema", &schema, err);
    if (rc)
        return rc;
    if (application != APPLICATION_ID && schema)
        return error_set(err, E_INVALID, s->path, "this database belongs to another program");
    if (version > VERSION)
        return error_set(err, E_NOT_SUPPORTED, s->path,
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
        rc = execute(s, "BEGIN IMMEDIATE", "migrating", err);
        if (!rc)
            rc = execute(s, migrations[v].sql, "migrating", err);
        if (!rc)
            rc = execute(s, text, "migrating", err);
        if (rc)
            (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

static void sqlite_close(struct store *store)
{
    struct sqlite_store *s = sqlite_of(store);
    for (size_t i = 0; i < SQL_STATEMENT_COUNT; i++) {
        assert(!s->is_taken[i]);
        (void)sqlite3_finalize(s->statements[i]);
    }
    sqlite_sync_end(s);
    (void)sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    (void)ZSTD_freeCCtx(s->compressor);
    (void)ZSTD_freeDCtx(s->decompressor);
    buf_done(&s->packed);
    buf_done(&s->metrics);
    mem_free(s->path);
    mem_free(s);
}

static int open_database(struct sqlite_store *s, struct error *err)
{
    int rc = lock(s, err);
    if (rc)
        return rc;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    mode_t old_mask = umask(0077); /* hashes of secrets are nobody else's to read */
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK)
        rc = sqlite_fail(s, err, "opening");
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    if (!rc)
        rc = execute(s,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON;"
                     "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-65536;"
                     "PRAGMA temp_store=MEMORY",
                     "opening", err);
    (void)umask(old_mask);
    if (!rc)
        rc = migrate(s, err);
    int64_t last = 0;
    if (!rc)
        rc = sqlite_number(s, SQL_BODY_LAST, 0, &last, err, 0, NULL);
    s->next_body = last + 1;
    return rc;
}

static int sqlite_open(const char *path, struct store **ret_store, struct error *err)
{
    if (!path[0])
        return error_set(err, E_REQUIRED, "sqlite:", "the path of the database file is missing");
    struct sqlite_store *s = mem_alloc(sizeof *s);
    s->path = mem_strdup(path);
    s->lock_fd = -1;
    s->sync.fd = -1;
    s->compressor = ZSTD_createCCtx();
    s->decompressor = ZSTD_createDCtx();
    assert(s->compressor && s->decompressor);
    (void)ZSTD_CCtx_setParameter(s->compressor, ZSTD_c_compressionLevel, 1);
    (void)ZSTD_CCtx_setParameter(s->compressor, ZSTD_c_checksumFlag, 1);
    buf_init(&s->packed, ZSTD_compressBound(LIMIT_ROUND_ARENA));
    buf_init(&s->metrics, 4096);
    int rc = open_database(s, err);
    if (rc)
        sqlite_close(&s->store);
    else
        *ret_store = &s->store;
    return rc;
}

/* --- transactions ------------------------------------------------------------------------------------------------- */

static int sqlite_commit(struct store *store, struct error *err)
{
    return sqlite_run(sqlite_of(store), SQL_COMMIT, err, NULL, 0, NULL);
}

static void sqlite_rollback(struct store *store)
{
    struct sqlite_store *s = sqlite_of(store);
    /* SQLite has rolled back by itself after some failures; then there is nothing left to do. */
    if (!sqlite3_get_autocommit(s->db))
        (void)sqlite_run(s, SQL_ROLLBACK, NULL, NULL, 0, NULL);
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
    char name[4200];
    struct stat st;
    (void)snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) ? 0 : (uint64_t)st.st_size;
}

static int sqlite_stats(struct store *store, struct store_stats *ret_stats, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int64_t objects, rounds;
    int rc = sqlite_number(s, SQL_OBJECT_COUNT, 0, &objects, err, 0, NULL);
    if (!rc)
        rc = sqlite_number(s, SQL_TALLY_GET, 0, &rounds, err, 0, NULL);
    if (rc)
        return rc;
    *ret_stats = (struct store_stats){
        .objects = (uint64_t)objects,
        .rounds = (uint64_t)rounds,
        .bytes = file_bytes(s->path, "") + file_bytes(s->path, "-wal"),
    };
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
    .drop = sqlite_drop,
    .stats = sqlite_stats,
};
