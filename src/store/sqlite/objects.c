#include "store/sqlite/sqlite.h"

#include <string.h>

/* SQLite copies nothing of what is bound here: it all outlives the step. A NULL text binds NULL. */
static void bind_text(sqlite3_stmt *statement, int i, const char *text)
{
    (void)sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

/* Runs a statement of (id, kind). */
static int run_one(struct sqlite_store *s, enum sqlite_statement which, uint64_t id, const char *kind, int *ret_changes,
                   struct error *err)
{
    sqlite3_stmt *statement = sqlite_take(s, which, err, SQL_INTEGERS((int64_t)id));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 2, kind);
    int rc = sqlite3_step(statement) == SQLITE_DONE ? 0 : sqlite_fail(s, err, "writing an object");
    if (!rc && ret_changes)
        *ret_changes = sqlite3_changes(s->main.handle);
    sqlite_give(s, which, statement);
    return rc;
}

static int next_id(struct sqlite_store *s, const char *kind, uint64_t *ret_id, struct error *err)
{
    sqlite3_stmt *statement = sqlite_take(s, SQL_OBJECT_ID, err, 0, NULL);
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 1, kind);
    int step = sqlite3_step(statement);
    int64_t id = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 1;
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "reading the next id");
    sqlite_give(s, SQL_OBJECT_ID, statement);
    if (!rc)
        rc = run_one(s, SQL_OBJECT_NEXT, (uint64_t)id + 1, kind, NULL, err);
    if (!rc)
        *ret_id = (uint64_t)id;
    return rc;
}

static int check_key(struct sqlite_store *s, const struct store_object *object, struct error *err)
{
    if (!object->key)
        return 0;
    sqlite3_stmt *statement =
        sqlite_take(s, SQL_OBJECT_TAKEN, err, SQL_INTEGERS((int64_t)object->aid, (int64_t)object->id));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 3, object->kind);
    bind_text(statement, 4, object->key);
    int step = sqlite3_step(statement), rc = 0;
    if (step == SQLITE_ROW)
        rc = error_set(err, E_EXISTS, object->kind, "\"%s\" exists already", object->key);
    else if (step != SQLITE_DONE)
        rc = sqlite_fail(s, err, "reading an object");
    sqlite_give(s, SQL_OBJECT_TAKEN, statement);
    return rc;
}

/* Refuses a stale version; keeps the stored one among the past versions. */
static int keep_past(struct sqlite_store *s, const struct store_object *object, struct error *err)
{
    sqlite3_stmt *statement = sqlite_take(s, SQL_OBJECT_VERSION, err, SQL_INTEGERS((int64_t)object->id));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 2, object->kind);
    int step = sqlite3_step(statement), rc = 0;
    if (step == SQLITE_DONE)
        rc = error_set(err, E_NOT_FOUND, object->kind, "there is no such %s", object->kind);
    else if (step != SQLITE_ROW)
        rc = sqlite_fail(s, err, "reading an object");
    else if (sqlite3_column_int64(statement, 0) != object->version)
        rc = error_set(err, E_CONFLICT, object->kind, "the %s was changed meanwhile", object->kind);
    sqlite_give(s, SQL_OBJECT_VERSION, statement);
    return rc;
}

int sqlite_put(struct store *store, struct store_object *object, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    bool is_new = object->id == 0;
    int rc = is_new ? 0 : keep_past(s, object, err);
    if (!rc)
        rc = check_key(s, object, err);
    if (!rc && is_new) {
        object->version = 0;
        rc = next_id(s, object->kind, &object->id, err);
    } else if (!rc) {
        rc = run_one(s, SQL_OBJECT_KEEP, object->id, object->kind, NULL, err);
    }
    if (rc)
        return rc;
    object->version++;
    enum sqlite_statement which = is_new ? SQL_OBJECT_INSERT : SQL_OBJECT_UPDATE;
    sqlite3_stmt *statement = sqlite_take(
        s, which, err, SQL_INTEGERS((int64_t)object->id, (int64_t)object->aid, object->version, object->modified_s));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 5, object->kind);
    bind_text(statement, 6, object->key);
    bind_text(statement, 7, object->lookup);
    (void)sqlite3_bind_blob64(statement, 8, object->body_size ? object->body : "", object->body_size, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = sqlite_fail(s, err, "writing an object");
    sqlite_give(s, which, statement);
    return rc;
}

static struct store_object row_object(sqlite3_stmt *row)
{
    return (struct store_object){
        .kind = (const char *)sqlite3_column_text(row, 0),
        .id = (uint64_t)sqlite3_column_int64(row, 1),
        .aid = (uint64_t)sqlite3_column_int64(row, 2),
        .key = (const char *)sqlite3_column_text(row, 3),
        .lookup = (const char *)sqlite3_column_text(row, 4),
        .version = sqlite3_column_int64(row, 5),
        .modified_s = sqlite3_column_int64(row, 6),
        .body = sqlite3_column_blob(row, 7),
        .body_size = (size_t)sqlite3_column_bytes(row, 7),
    };
}

/* Steps a bound statement for one object. */
static int read_one(struct sqlite_store *s, sqlite3_stmt *statement, const char *kind, struct arena *arena,
                    struct store_object *ret_object, struct error *err)
{
    int step = sqlite3_step(statement);
    if (step == SQLITE_DONE)
        return error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    if (step != SQLITE_ROW)
        return sqlite_fail(s, err, "reading an object");
    struct store_object object = row_object(statement);
    return store_copy_object(&object, arena, ret_object, err);
}

int sqlite_get(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
               struct store_object *ret_object, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    enum sqlite_statement which = version ? SQL_OBJECT_GET_PAST : SQL_OBJECT_GET;
    sqlite3_stmt *statement = sqlite_take(s, which, err, SQL_INTEGERS((int64_t)id));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 2, kind);
    if (version)
        (void)sqlite3_bind_int64(statement, 3, version);
    int rc = read_one(s, statement, kind, arena, ret_object, err);
    sqlite_give(s, which, statement);
    return rc;
}

int sqlite_find(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
                struct store_object *ret_object, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    sqlite3_stmt *statement = sqlite_take(s, SQL_OBJECT_FIND, err, SQL_INTEGERS((int64_t)aid));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 2, kind);
    bind_text(statement, 3, key);
    int rc = read_one(s, statement, kind, arena, ret_object, err);
    sqlite_give(s, SQL_OBJECT_FIND, statement);
    return rc;
}

int sqlite_remove(struct store *store, const char *kind, uint64_t id, bool is_purge, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int gone = 0;
    int rc = is_purge ? run_one(s, SQL_OBJECT_FORGET, id, kind, NULL, err)
                      : run_one(s, SQL_OBJECT_KEEP, id, kind, NULL, err);
    if (!rc)
        rc = run_one(s, SQL_OBJECT_DELETE, id, kind, &gone, err);
    if (!rc && !gone)
        rc = error_set(err, E_NOT_FOUND, kind, "there is no such %s", kind);
    return rc;
}

static int tell_rows(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt *statement, store_object_fn *fn,
                     void *user, struct error *err)
{
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_object object = row_object(statement);
        if (!fn(user, &object))
            break;
    }
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "listing objects");
    sqlite_give(s, which, statement);
    return rc;
}

int sqlite_list(struct store *store, const char *kind, uint64_t aid, const char *lookup, uint64_t after_id, size_t max,
                store_object_fn *fn, void *user, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    enum sqlite_statement which = lookup ? SQL_OBJECT_LIST_LOOKUP : aid ? SQL_OBJECT_LIST_ACCOUNT : SQL_OBJECT_LIST;
    int64_t limit = max && max < INT64_MAX ? (int64_t)max : -1;
    sqlite3_stmt *statement = sqlite_take(s, which, err, SQL_INTEGERS((int64_t)aid, (int64_t)after_id, limit));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 4, kind);
    bind_text(statement, 5, lookup);
    return tell_rows(s, which, statement, fn, user, err);
}

int sqlite_list_back(struct store *store, const char *kind, uint64_t aid, uint64_t before_id, size_t max,
                     store_object_fn *fn, void *user, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    enum sqlite_statement which = aid ? SQL_OBJECT_BACK_ACCOUNT : SQL_OBJECT_BACK;
    int64_t limit = max && max < INT64_MAX ? (int64_t)max : -1;
    sqlite3_stmt *statement = sqlite_take(s, which, err, SQL_INTEGERS((int64_t)aid, (int64_t)before_id, limit));
    if (!statement)
        return -E_CORRUPT;
    bind_text(statement, 4, kind);
    return tell_rows(s, which, statement, fn, user, err);
}
