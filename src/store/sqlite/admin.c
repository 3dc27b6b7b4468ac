#include "store/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/fold.h"
#include "store/sqlite/summaries.h"

#define PATH_BYTES 4200
#define WRITTEN_DAYS 2 /* the latest days are still written to */

static void tell(const struct store_progress *progress, const char *what, uint64_t done, uint64_t total)
{
    if (progress && progress->fn)
        progress->fn(progress->user, what, done, total);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether a server has the store: its lock cannot be had. */
static bool is_running(const char *path)
{
    char lock[PATH_BYTES];
    (void)snprintf(lock, sizeof lock, "%s-lock", path);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_held = flock(fd, LOCK_EX | LOCK_NB) != 0;
    (void)close(fd);
    return is_held;
}

static int check_there(const char *path, struct error *err)
{
    return access(path, R_OK) == 0 ? 0 : error_sys(err, errno, path, "cannot read the store");
}

/* --- backup ------------------------------------------------------------------------------------------------------- */

static int sync_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open");
    int rc = fsync(fd) ? error_sys(err, errno, path, "cannot flush") : 0;
    (void)close(fd);
    return rc;
}

/* One committed state of a database that others may be writing to. */
static int copy_database(const char *from, const char *to, struct error *err)
{
    struct db db;
    int rc = db_open(&db, from, true, "PRAGMA query_only = 0", NULL, err);
    sqlite3_stmt *statement = NULL;
    if (!rc && sqlite3_prepare_v2(db.handle, "VACUUM INTO ?1", -1, &statement, NULL) != SQLITE_OK)
        rc = db_fail(&db, err, "copying");
    if (!rc) {
        (void)sqlite3_bind_text(statement, 1, to, -1, SQLITE_STATIC);
        mode_t old_mask = umask(0077);
        if (sqlite3_step(statement) != SQLITE_DONE) {
            rc = db_fail(&db, err, "copying");
            if (err && err->code == E_FULL)
                (void)snprintf(err->where, sizeof err->where, "%s", to);
        }
        (void)umask(old_mask);
    }
    (void)sqlite3_finalize(statement);
    db_close(&db);
    return rc ? rc : sync_file(to, err);
}

/* The parts that the copy of the database knows; one that was dropped meanwhile is past its time. */
static int copy_parts(struct sqlite_store *s, const char *copy, const struct store_progress *progress, struct error *err)
{
    struct part_list list;
    struct sqlite_store target = {.parts_dir = NULL};
    char dir[PATH_BYTES + 8], from[PATH_BYTES], to[PATH_BYTES];
    (void)snprintf(dir, sizeof dir, "%s-parts", copy);
    target.parts_dir = dir;
    int rc = part_list(s, &list, err);
    if (!rc && list.count)
        rc = file_make_dir(dir, 0700, err);
    for (size_t i = 0; !rc && i < list.count; i++) {
        part_path(s, list.items[i].kind, list.items[i].number, from, sizeof from);
        part_path(&target, list.items[i].kind, list.items[i].number, to, sizeof to);
        tell(progress, name_of(from), i + 1, list.count + 1);
        if (!list.items[i].is_going && access(from, F_OK) == 0)
            rc = copy_database(from, to, err);
    }
    bool has_dir = list.count > 0;
    part_list_done(&list);
    return rc || !has_dir ? rc : sync_file(dir, err);
}

int store_backup(const char *path, const char *to_dir, const struct store_progress *progress, struct error *err)
{
    char copy[PATH_BYTES];
    (void)snprintf(copy, sizeof copy, "%s/%s", to_dir, name_of(path));
    int rc = check_there(path, err);
    if (!rc && access(copy, F_OK) == 0)
        rc = error_set(err, E_EXISTS, copy, "there is a store already");
    if (!rc)
        rc = file_make_dir(to_dir, 0700, err);
    tell(progress, name_of(path), 0, 1);
    /* The database first: what is folded meanwhile is then in its head and in the copies of the parts, where it is
     * told once; the other way round it could be in neither. */
    if (!rc)
        rc = copy_database(path, copy, err);
    struct sqlite_store *s = NULL;
    if (!rc)
        rc = sqlite_open_beside(path, &s, err);
    if (!rc)
        rc = copy_parts(s, copy, progress, err);
    if (s)
        sqlite_close(&s->store);
    return rc ? rc : sync_file(to_dir, err);
}

/* --- check -------------------------------------------------------------------------------------------------------- */

struct checking {
    struct sqlite_store *s;
    void (*problem)(void *user, const char *where, const char *text);
    void *user;
    struct store_check_result *result;
    struct arena arena;
    struct buf scratch;
};

static void note(struct checking *c, const char *where, const char *text)
{
    c->result->problems++;
    if (c->problem)
        c->problem(c->user, where, text);
}

static void note_error(struct checking *c, const struct error *err)
{
    note(c, err->where, err->text);
}

static void check_pages(struct checking *c, struct db *db)
{
    sqlite3_stmt *row;
    struct error err = {0};
    c->result->files++;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(20)", -1, &row, NULL) != SQLITE_OK) {
        (void)db_fail(db, &err, "checking");
        note_error(c, &err);
        return;
    }
    int step;
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(row, 0);
        if (text && strcmp(text, "ok") != 0)
            note(c, db->path, text);
    }
    if (step != SQLITE_DONE) {
        (void)db_fail(db, &err, "checking");
        note_error(c, &err);
    }
    (void)sqlite3_finalize(row);
}

/* All that a chunk says; returns its rounds. */
static size_t check_chunk(struct checking *c, struct part *part, sqlite3_stmt *row)
{
    struct chunk *chunk;
    struct error err = {0};
    size_t size = (size_t)sqlite3_column_bytes(row, 4), count = 0;
    void *bytes = arena_alloc(&c->arena, size + 1);
    if (bytes && size)
        memcpy(bytes, sqlite3_column_blob(row, 4), size);
    int rc = bytes ? chunk_open(bytes, size, part->db.path, &part->access, &c->arena, &chunk, &err) : -E_LIMIT;
    count = rc ? 0 : chunk_count(chunk);
    for (size_t i = 0; !rc && i < count; i++) {
        struct store_round round = {.test_id = 0};
        buf_reset(&c->scratch);
        if (part->kind == PART_RESULTS)
            rc = chunk_row(chunk, i, &round, &err);
        if (!rc)
            rc = chunk_body(chunk, i, &c->scratch, &err);
        if (!rc && sqlite_hour_of(chunk_round_id(chunk, i)) != sqlite3_column_int64(row, 2))
            rc = error_set(&err, E_CORRUPT, part->db.path, "a round is in the chunk of another hour");
    }
    arena_reset(&c->arena);
    if (rc) {
        char text[600];
        (void)snprintf(text, sizeof text, "test %lld, agent %lld, hour %lld: %.300s", (long long)sqlite3_column_int64(row, 1),
                       (long long)sqlite3_column_int64(row, 3), (long long)sqlite3_column_int64(row, 2), err.text);
        note(c, part->db.path, text);
        return 0;
    }
    c->result->chunks++;
    return count;
}

static void check_chunks(struct checking *c, struct part *part, const struct part_entry *entry)
{
    struct error err = {0};
    uint64_t rounds = 0;
    sqlite3_stmt *row = db_take(&part->db, PART_CHUNK_ALL, &err, SQL_INTEGERS(INT64_MIN));
    int step = SQLITE_ERROR;
    while (row && (step = sqlite3_step(row)) == SQLITE_ROW)
        rounds += check_chunk(c, part, row);
    if (!row || step != SQLITE_DONE) {
        if (row)
            (void)db_fail(&part->db, &err, "checking");
        note_error(c, &err);
    }
    if (row)
        db_give(&part->db, PART_CHUNK_ALL, row);
    if (part->kind != PART_RESULTS)
        return;
    c->result->rounds += rounds;
    if (rounds < entry->rounds) {
        char text[200];
        (void)snprintf(text, sizeof text, "holds %llu rounds and should hold %llu", (unsigned long long)rounds,
                       (unsigned long long)entry->rounds);
        note(c, part->db.path, text);
    }
}

static void check_summaries(struct checking *c, struct part *part)
{
    sqlite3_stmt *row;
    struct error err = {0};
    int step;
    if (sqlite3_prepare_v2(part->db.handle, "SELECT kind, hour, bytes FROM summary", -1, &row, NULL) != SQLITE_OK) {
        (void)db_fail(&part->db, &err, "checking");
        note_error(c, &err);
        return;
    }
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        struct summary_set set;
        summary_init(&set, &c->arena, sqlite3_column_int64(row, 1) * HOUR_S);
        if (summary_read(&set, summaries_flags(sqlite3_column_int(row, 0)), SUMMARY_ALL, sqlite3_column_blob(row, 2),
                         (size_t)sqlite3_column_bytes(row, 2), part->db.path, c->s->decompressor, &err))
            note_error(c, &err);
        arena_reset(&c->arena);
    }
    (void)sqlite3_finalize(row);
}

static void check_part(struct checking *c, const struct part_entry *entry)
{
    struct part *part;
    struct error err = {0};
    char path[PATH_BYTES];
    if (entry->is_going)
        return;
    part_path(c->s, entry->kind, entry->number, path, sizeof path);
    if (part_use(c->s, entry->kind, entry->number, false, &part, &err)) {
        note_error(c, &err);
        c->result->files++;
    } else if (!part) {
        /* A running server may have dropped it since the list was read. */
        if (!c->result->is_running)
            note(c, path, "the file is missing");
    } else {
        check_pages(c, &part->db);
        if (part->kind == PART_SUMMARIES)
            check_summaries(c, part);
        else
            check_chunks(c, part, entry);
        part_done(part);
    }
}

/* Counts of the database against each other, in one state of it. */
static void check_counts(struct checking *c)
{
    static const char text[] =
        "SELECT (SELECT value FROM tally WHERE name = 'rounds'),"
        " (SELECT coalesce(sum(rounds), 0) FROM part WHERE kind = 0), (SELECT count(*) FROM round),"
        " (SELECT count(*) FROM round r JOIN folding f ON r.hour = f.hour WHERE r.body_id <= f.last_body"
        "  AND (f.is_leaving OR (r.test_id, r.agent_id) <= (f.test_id, f.agent_id))),"
        " (SELECT coalesce(sum(s.rounds), 0) FROM series s)";
    struct error err = {0};
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(c->s->main.handle, text, -1, &row, NULL) != SQLITE_OK || sqlite3_step(row) != SQLITE_ROW) {
        (void)db_fail(&c->s->main, &err, "checking");
        note_error(c, &err);
    } else {
        int64_t tally = sqlite3_column_int64(row, 0), folded = sqlite3_column_int64(row, 1);
        int64_t head = sqlite3_column_int64(row, 2) - sqlite3_column_int64(row, 3);
        char line[300];
        (void)snprintf(line, sizeof line, "counts %lld rounds, but has %lld in the head and %lld in parts (%lld by test)",
                       (long long)tally, (long long)head, (long long)folded, (long long)sqlite3_column_int64(row, 4));
        if (tally != head + folded || folded != sqlite3_column_int64(row, 4))
            note(c, c->s->main.path, line);
        c->result->rounds += (uint64_t)head;
    }
    (void)sqlite3_finalize(row);
}

static void check_head(struct checking *c)
{
    struct store_metric metrics[STORE_ROUND_METRICS];
    struct error err = {0};
    sqlite3_stmt *row = sqlite_take(c->s, SQL_HEAD_ALL, &err, 0, NULL);
    int step = SQLITE_ERROR;
    while (row && (step = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_round round = {.test_id = 0};
        if (sqlite_read_row(c->s, row, STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL, metrics, &c->scratch,
                            &round, &err))
            note_error(c, &err);
    }
    if (!row || step != SQLITE_DONE) {
        if (row)
            (void)sqlite_fail(c->s, &err, "checking");
        note_error(c, &err);
    }
    if (row)
        sqlite_give(c->s, SQL_HEAD_ALL, row);
}

int store_check(const char *path, void (*problem)(void *user, const char *where, const char *text), void *user,
                const struct store_progress *progress, struct store_check_result *ret_result, struct error *err)
{
    struct checking c = {.problem = problem, .user = user, .result = ret_result};
    struct part_list list = {.items = NULL};
    *ret_result = (struct store_check_result){.is_running = is_running(path)};
    int rc = check_there(path, err);
    if (!rc)
        rc = sqlite_open_beside(path, &c.s, err);
    if (rc)
        return rc;
    arena_init(&c.arena, FOLD_ARENA);
    buf_init(&c.scratch, FOLD_ARENA);
    tell(progress, name_of(path), 0, 1);
    check_pages(&c, &c.s->main);
    check_counts(&c);
    check_head(&c);
    struct error own = {0};
    if (part_list(c.s, &list, &own))
        note_error(&c, &own);
    for (size_t i = 0; i < list.count; i++) {
        char name[PATH_BYTES];
        part_path(c.s, list.items[i].kind, list.items[i].number, name, sizeof name);
        tell(progress, name_of(name), i + 1, list.count + 1);
        check_part(&c, &list.items[i]);
    }
    part_list_done(&list);
    arena_done(&c.arena);
    buf_done(&c.scratch);
    sqlite_close(&c.s->store);
    return 0;
}

/* --- compact ------------------------------------------------------------------------------------------------------ */

static int compact_file(const char *path, struct store_compact_result *result, struct error *err)
{
    struct db db;
    struct error own = {0};
    result->bytes_before += db_bytes(path);
    int rc = db_open(&db, path, true, "PRAGMA busy_timeout = 1000", NULL, &own);
    if (!rc)
        rc = db_execute(&db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", "compacting", &own);
    db_close(&db);
    result->bytes_after += db_bytes(path);
    if (rc == -E_AGAIN) { /* somebody writes to it: another time */
        result->skipped++;
        return 0;
    }
    if (rc && err)
        *err = own;
    return rc;
}

int store_compact(const char *path, const struct store_progress *progress, struct store_compact_result *ret_result,
                  struct error *err)
{
    struct sqlite_store *s = NULL;
    struct part_list list = {.items = NULL};
    bool is_used = is_running(path);
    int64_t today = sqlite_floor_div((int64_t)time(NULL), 86400);
    *ret_result = (struct store_compact_result){.skipped = is_used};
    int rc = check_there(path, err);
    if (!rc)
        rc = sqlite_open_beside(path, &s, err);
    if (!rc)
        rc = part_list(s, &list, err);
    for (size_t i = 0; !rc && i < list.count; i++) {
        const struct part_entry *entry = &list.items[i];
        char name[PATH_BYTES];
        part_path(s, entry->kind, entry->number, name, sizeof name);
        tell(progress, name_of(name), i, list.count + 1);
        int64_t end = (entry->number + 1) * part_days(entry->kind);
        bool is_written = is_used && end > today - WRITTEN_DAYS;
        ret_result->skipped += is_written;
        if (!is_written && !entry->is_going && access(name, F_OK) == 0)
            rc = compact_file(name, ret_result, err);
    }
    if (s)
        sqlite_close(&s->store);
    if (!rc && !is_used) {
        tell(progress, name_of(path), list.count, list.count + 1);
        rc = compact_file(path, ret_result, err);
    }
    part_list_done(&list);
    return rc;
}
