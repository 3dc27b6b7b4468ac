/*
 * One SQLite file: its handle, its prepared statements and its errors.
 */
#ifndef OCULI_STORE_SQLITE_DB_H
#define OCULI_STORE_SQLITE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DB_STATEMENTS 64u

struct db {
    sqlite3 *handle;
    char *path;
    const char *const *sql; /* of each statement; the caller's, constant */
    sqlite3_stmt *statements[DB_STATEMENTS];
    bool is_taken[DB_STATEMENTS];
};

/* Opens or creates (must_exist false) the file; pragmas is SQL run at once. On failure db_close is still to be called.
 * A file is its owner's only: hashes of secrets are nobody else's to read. */
int db_open(struct db *db, const char *path, bool must_exist, const char *pragmas, const char *const *sql,
            struct error *err);
void db_close(struct db *db); /* of a zeroed one too */

/* The error of the last call, with the code of store.h and the file's name. */
int db_fail(struct db *db, struct error *err, const char *doing);

/* A prepared statement with its integer parameters 1..count bound; given back with db_give. A statement that is in use
 * already (a callback reading the store) is prepared a second time. NULL with err set on failure. */
sqlite3_stmt *db_take(struct db *db, size_t which, struct error *err, size_t count, const int64_t *integers);
void db_give(struct db *db, size_t which, sqlite3_stmt *statement);
#define SQL_INTEGERS(...)                                                                                              \
    (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                                            \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Runs a statement that gives no row. ret_changes may be NULL. */
int db_run(struct db *db, size_t which, struct error *err, int *ret_changes, size_t count, const int64_t *integers);
/* The first column of the first row; `none` when there is no row or it is NULL. */
int db_number(struct db *db, size_t which, int64_t none, int64_t *ret_value, struct error *err, size_t count,
              const int64_t *integers);

/* SQL without parameters or answers. */
int db_execute(struct db *db, const char *text, const char *doing, struct error *err);
int db_pragma(struct db *db, const char *text, int64_t *ret_value, struct error *err);

/* Bytes of a file and what SQLite keeps beside it. */
uint64_t db_bytes(const char *path);

#endif
