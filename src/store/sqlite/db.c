#include "store/sqlite/db.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define BUSY_MS 5000 /* an operator's sqlite3 shell may hold the file for a moment */

int db_fail(struct db *db, struct error *err, const char *doing)
{
    /* sqlite3_system_errno does not tell why a write within a statement failed; the C library still knows. */
    int sys = errno;
    int rc = db->handle ? sqlite3_errcode(db->handle) : SQLITE_NOMEM;
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : "out of memory";
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
        return error_set(err, code, db->path, "%s: %s (%s)", doing, text, strerror(sys));
    return error_set(err, code, db->path, "%s: %s", doing, text);
}

sqlite3_stmt *db_take(struct db *db, size_t which, struct error *err, size_t count, const int64_t *integers)
{
    assert(which < DB_STATEMENTS);
    sqlite3_stmt *statement = db->statements[which];
    if (!statement || db->is_taken[which]) {
        unsigned flags = statement ? 0 : SQLITE_PREPARE_PERSISTENT;
        if (sqlite3_prepare_v3(db->handle, db->sql[which], -1, flags, &statement, NULL) != SQLITE_OK) {
            (void)db_fail(db, err, "preparing a statement");
            return NULL;
        }
        if (!db->statements[which])
            db->statements[which] = statement;
    }
    if (statement == db->statements[which])
        db->is_taken[which] = true;
    for (size_t i = 0; i < count; i++)
        (void)sqlite3_bind_int64(statement, (int)i + 1, integers[i]);
    return statement;
}

void db_give(struct db *db, size_t which, sqlite3_stmt *statement)
{
    if (statement == db->statements[which]) {
        (void)sqlite3_reset(statement);
        (void)sqlite3_clear_bindings(statement);
        db->is_taken[which] = false;
    } else {
        (void)sqlite3_finalize(statement);
    }
}

int db_run(struct db *db, size_t which, struct error *err, int *ret_changes, size_t count, const int64_t *integers)
{
    sqlite3_stmt *statement = db_take(db, which, err, count, integers);
    if (!statement)
        return -E_CORRUPT;
    int rc = 0;
    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = db_fail(db, err, "writing");
    else if (ret_changes)
        *ret_changes = sqlite3_changes(db->handle);
    db_give(db, which, statement);
    return rc;
}

int db_number(struct db *db, size_t which, int64_t none, int64_t *ret_value, struct error *err, size_t count,
              const int64_t *integers)
{
    sqlite3_stmt *statement = db_take(db, which, err, count, integers);
    if (!statement)
        return -E_CORRUPT;
    int step = sqlite3_step(statement), rc = 0;
    if (step == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *ret_value = sqlite3_column_int64(statement, 0);
    else if (step == SQLITE_ROW || step == SQLITE_DONE)
        *ret_value = none;
    else
        rc = db_fail(db, err, "reading");
    db_give(db, which, statement);
    return rc;
}

int db_execute(struct db *db, const char *text, const char *doing, struct error *err)
{
    return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(db, err, doing);
}

int db_pragma(struct db *db, const char *text, int64_t *ret_value, struct error *err)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL) != SQLITE_OK)
        return db_fail(db, err, "opening");
    int rc = 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    else
        rc = db_fail(db, err, "opening");
    (void)sqlite3_finalize(statement);
    return rc;
}

int db_open(struct db *db, const char *path, bool must_exist, const char *pragmas, const char *const *sql,
            struct error *err)
{
    *db = (struct db){.path = mem_strdup(path), .sql = sql};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    mode_t old_mask = umask(0077);
    int rc = sqlite3_open_v2(path, &db->handle, must_exist ? flags : flags | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK
                 ? 0
                 : db_fail(db, err, "opening");
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    if (!rc)
        rc = db_execute(db, pragmas, "opening", err);
    (void)umask(old_mask);
    return rc;
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < DB_STATEMENTS; i++) {
        assert(!db->is_taken[i]);
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->handle);
    mem_free(db->path);
    *db = (struct db){.handle = NULL};
}

uint64_t db_bytes(const char *path)
{
    static const char *const suffixes[] = {"", "-wal"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[4200];
        struct stat st;
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (!stat(name, &st))
            bytes += (uint64_t)st.st_size;
    }
    return bytes;
}
