#include "store/sqlite/part.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define APPLICATION_ID 0x4f637074 /* "Ocpt" */
#define PART_VERSION 1
#define OPEN_MAX 16u                /* files kept open while nobody uses them */
#define WORD_BYTES_MAX (8u << 20)   /* of the dictionary kept in memory, each part */
#define PART_BUSY_MS 20             /* while an operator compacts it: upkeep comes again */
#define REMOVE_STEP (64ll << 20)    /* bytes given back to the file system at once */

static const char *const names[PART_KINDS] = {"results", "details", "summaries"};

static const char chunk_schema[] =
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY, test_id INTEGER NOT NULL, hour INTEGER NOT NULL,"
    " agent_id INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE UNIQUE INDEX chunk_key ON chunk (test_id, hour, agent_id);"
    "CREATE TABLE word (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE INDEX word_hash ON word (hash);";
static const char summary_schema[] =
    "CREATE TABLE summary (test_id INTEGER NOT NULL, kind INTEGER NOT NULL, hour INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE UNIQUE INDEX summary_key ON summary (test_id, kind, hour);";

static const char *const sql[PART_STATEMENTS] = {
    [PART_BEGIN] = "BEGIN IMMEDIATE",
    [PART_COMMIT] = "COMMIT",
    [PART_ROLLBACK] = "ROLLBACK",
    [PART_CHUNK_GET] = "SELECT bytes FROM chunk WHERE test_id = ?1 AND hour = ?2 AND agent_id = ?3",
    [PART_CHUNK_PUT] = "INSERT INTO chunk (test_id, hour, agent_id, bytes) VALUES (?1, ?2, ?3, ?4)"
                       " ON CONFLICT (test_id, hour, agent_id) DO UPDATE SET bytes = ?4",
    [PART_CHUNKS] = "SELECT agent_id, bytes FROM chunk WHERE test_id = ?1 AND hour = ?2 AND (?3 = 0 OR agent_id = ?3)"
                    " ORDER BY agent_id",
    [PART_HOUR_NEXT] = "SELECT hour FROM chunk WHERE test_id = ?1 AND hour >= ?2 ORDER BY hour LIMIT 1",
    [PART_HOUR_PREVIOUS] = "SELECT hour FROM chunk WHERE test_id = ?1 AND hour <= ?2 ORDER BY hour DESC LIMIT 1",
    [PART_CHUNK_DROP] = "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE test_id = ?1 LIMIT ?2)",
    [PART_CHUNK_ALL] = "SELECT id, test_id, hour, agent_id, bytes FROM chunk WHERE id > ?1 ORDER BY id",
    [PART_SUMMARY_GET] = "SELECT bytes FROM summary WHERE test_id = ?1 AND kind = ?2 AND hour = ?3",
    [PART_SUMMARY_PUT] = "INSERT OR REPLACE INTO summary (test_id, kind, hour, bytes) VALUES (?1, ?2, ?3, ?4)",
    [PART_SUMMARIES_IN] = "SELECT hour, bytes FROM summary WHERE test_id = ?1 AND kind = ?2 AND hour >= ?3 AND hour < ?4"
                          " ORDER BY hour",
    [PART_SUMMARY_DROP] = "DELETE FROM summary WHERE (test_id, kind, hour) IN (SELECT test_id, kind, hour FROM summary"
                          " WHERE test_id = ?1 LIMIT ?2)",
    [PART_WORD_FIND] = "SELECT id, bytes FROM word WHERE hash = ?1",
    [PART_WORD_PUT] = "INSERT INTO word (hash, bytes) VALUES (?1, ?2)",
    [PART_WORD_GET] = "SELECT bytes FROM word WHERE id = ?1",
};

int64_t part_days(enum part_kind kind)
{
    return kind == PART_SUMMARIES ? 32 : 1;
}

void part_path(const struct sqlite_store *s, enum part_kind kind, int64_t number, char *path, size_t size)
{
    time_t start = (time_t)(number * part_days(kind) * 86400);
    struct tm tm;
    if (gmtime_r(&start, &tm) && tm.tm_year >= 70 && tm.tm_year < 8000)
        (void)snprintf(path, size, "%s/%s-%04d%02d%02d.db", s->parts_dir, names[kind], tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday);
    else
        (void)snprintf(path, size, "%s/%s-day%lld.db", s->parts_dir, names[kind], (long long)number);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

struct word {
    uint64_t id;
    int64_t hash;
    struct word *next; /* of the same hash */
    size_t size;
    unsigned char bytes[];
};

static void forget_words(struct part *part)
{
    size_t position = 0;
    struct word *word;
    while ((word = map_next(&part->words, &position)))
        mem_free(word);
    map_done(&part->words);
    map_done(&part->word_ids);
    part->words = part->word_ids = (struct map){.entries = NULL};
    part->word_bytes = 0;
}

static struct word *remember_word(struct part *part, uint64_t id, int64_t hash, const void *bytes, size_t size)
{
    if (part->word_bytes > WORD_BYTES_MAX)
        forget_words(part);
    struct word *word = mem_alloc(sizeof *word + size);
    word->id = id;
    word->hash = hash;
    word->size = size;
    if (size)
        memcpy(word->bytes, bytes, size);
    map_put(&part->words, id, word);
    word->next = map_get(&part->word_ids, (uint64_t)hash);
    map_put(&part->word_ids, (uint64_t)hash, word);
    part->word_bytes += size + 100;
    return word;
}

static bool is_word(const struct word *word, const void *bytes, size_t size)
{
    return word->size == size && (!size || !memcmp(word->bytes, bytes, size));
}

static int find_word(struct part *part, int64_t hash, const void *bytes, size_t size, uint64_t *ret_id,
                     struct error *err)
{
    sqlite3_stmt *row = db_take(&part->db, PART_WORD_FIND, err, SQL_INTEGERS(hash));
    int step;
    if (!row)
        return -E_CORRUPT;
    *ret_id = 0;
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        size_t stored = (size_t)sqlite3_column_bytes(row, 1);
        if (stored == size && (!size || !memcmp(sqlite3_column_blob(row, 1), bytes, size))) {
            *ret_id = (uint64_t)sqlite3_column_int64(row, 0);
            break;
        }
    }
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : db_fail(&part->db, err, "reading the dictionary");
    db_give(&part->db, PART_WORD_FIND, row);
    return rc;
}

static int put_word(void *user, const void *bytes, size_t size, uint64_t *ret_id, struct error *err)
{
    struct part *part = user;
    uint64_t unsigned_hash = str_hash(bytes, size, 0);
    int64_t hash;
    memcpy(&hash, &unsigned_hash, sizeof hash);
    for (struct word *word = map_get(&part->word_ids, unsigned_hash); word; word = word->next) {
        if (is_word(word, bytes, size)) {
            *ret_id = word->id;
            return 0;
        }
    }
    int rc = find_word(part, hash, bytes, size, ret_id, err);
    if (rc || *ret_id) {
        if (!rc)
            (void)remember_word(part, *ret_id, hash, bytes, size);
        return rc;
    }
    sqlite3_stmt *put = db_take(&part->db, PART_WORD_PUT, err, SQL_INTEGERS(hash));
    if (!put)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(put, 2, size ? bytes : "", size, SQLITE_STATIC);
    rc = sqlite3_step(put) == SQLITE_DONE ? 0 : db_fail(&part->db, err, "writing the dictionary");
    *ret_id = (uint64_t)sqlite3_last_insert_rowid(part->db.handle);
    db_give(&part->db, PART_WORD_PUT, put);
    if (!rc)
        (void)remember_word(part, *ret_id, hash, bytes, size);
    return rc;
}

static int get_word(void *user, uint64_t id, const void **ret_bytes, size_t *ret_size, struct error *err)
{
    struct part *part = user;
    struct word *word = map_get(&part->words, id);
    if (!word) {
        sqlite3_stmt *row = db_take(&part->db, PART_WORD_GET, err, SQL_INTEGERS((int64_t)id));
        if (!row)
            return -E_CORRUPT;
        int step = sqlite3_step(row), rc = 0;
        if (step == SQLITE_ROW) {
            const void *bytes = sqlite3_column_blob(row, 0);
            size_t size = (size_t)sqlite3_column_bytes(row, 0);
            uint64_t hash = str_hash(size ? bytes : "", size, 0);
            int64_t signed_hash;
            memcpy(&signed_hash, &hash, sizeof hash);
            word = remember_word(part, id, signed_hash, bytes, size);
        } else if (step == SQLITE_DONE) {
            rc = error_set(err, E_CORRUPT, part->db.path, "the dictionary has no word %llu", (unsigned long long)id);
        } else {
            rc = db_fail(&part->db, err, "reading the dictionary");
        }
        db_give(&part->db, PART_WORD_GET, row);
        if (rc)
            return rc;
    }
    *ret_bytes = word->bytes;
    *ret_size = word->size;
    return 0;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void part_free(struct sqlite_store *s, struct part *part)
{
    struct part **link = &s->parts;
    while (*link != part)
        link = &(*link)->next;
    *link = part->next;
    s->part_count--;
    assert(!part->users && !part->is_writing);
    forget_words(part);
    db_close(&part->db);
    mem_free(part);
}

static void close_surplus(struct sqlite_store *s)
{
    while (s->part_count > OPEN_MAX) {
        struct part *oldest = NULL;
        for (struct part *part = s->parts; part; part = part->next) {
            if (!part->users && (!oldest || part->used < oldest->used))
                oldest = part;
        }
        if (!oldest)
            return;
        part_free(s, oldest);
    }
}

void part_close_all(struct sqlite_store *s)
{
    while (s->parts)
        part_free(s, s->parts);
}

static int prepare(struct part *part, bool is_new, struct error *err)
{
    int64_t application = 0, version = 0;
    int rc = is_new ? 0 : db_pragma(&part->db, "PRAGMA application_id", &application, err);
    if (!rc && !is_new)
        rc = db_pragma(&part->db, "PRAGMA user_version", &version, err);
    if (rc)
        return rc;
    if (is_new || (!application && !version)) { /* made, but its schema was not committed */
        char text[2048];
        (void)snprintf(text, sizeof text, "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                       part->kind == PART_SUMMARIES ? summary_schema : chunk_schema, APPLICATION_ID, PART_VERSION);
        return db_execute(&part->db, text, "making a part", err);
    }
    if (application != APPLICATION_ID)
        return error_set(err, E_CORRUPT, part->db.path, "this file is no part of a store");
    if (version > PART_VERSION)
        return error_set(err, E_NOT_SUPPORTED, part->db.path, "the part was written by a newer program");
    return 0;
}

static int open_part(struct sqlite_store *s, enum part_kind kind, int64_t number, bool make, struct part **ret_part,
                     struct error *err)
{
    char path[4200];
    part_path(s, kind, number, path, sizeof path);
    bool is_there = access(path, F_OK) == 0;
    if (!is_there && !make) {
        *ret_part = NULL;
        return 0;
    }
    int rc = is_there ? 0 : file_make_dir(s->parts_dir, 0700, err);
    if (rc)
        return rc;
    struct part *part = mem_alloc(sizeof *part);
    *part = (struct part){.next = s->parts, .kind = kind, .number = number};
    part->access = (struct chunk_words){.put = put_word,
                                        .get = get_word,
                                        .user = part,
                                        .compressor = s->folder,
                                        .decompressor = s->decompressor};
    s->parts = part;
    s->part_count++;
    rc = db_open(&part->db, path, !make,
                 "PRAGMA page_size=32768; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cell_size_check=ON;"
                 "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=8388608; PRAGMA cache_size=-4096;"
                 "PRAGMA temp_store=MEMORY",
                 sql, err);
    (void)sqlite3_busy_timeout(part->db.handle, PART_BUSY_MS);
    if (!rc)
        rc = prepare(part, !is_there, err);
    if (rc)
        part_free(s, part);
    else
        *ret_part = part;
    return rc;
}

int part_use(struct sqlite_store *s, enum part_kind kind, int64_t number, bool make, struct part **ret_part,
             struct error *err)
{
    struct part *part = s->parts;
    while (part && (part->kind != kind || part->number != number))
        part = part->next;
    if (!part) {
        int rc = open_part(s, kind, number, make, &part, err);
        if (rc)
            return rc;
    }
    *ret_part = part;
    if (!part)
        return 0;
    part->users++;
    part->used = ++s->part_clock;
    close_surplus(s);
    return 0;
}

void part_done(struct part *part)
{
    if (part) {
        assert(part->users);
        part->users--;
    }
}

int part_begin(struct part *part, struct error *err)
{
    if (part->is_writing)
        return 0;
    int rc = db_run(&part->db, PART_BEGIN, err, NULL, 0, NULL);
    part->is_writing = !rc;
    return rc;
}

int part_commit(struct part *part, struct error *err)
{
    if (!part->is_writing)
        return 0;
    int rc = db_run(&part->db, PART_COMMIT, err, NULL, 0, NULL);
    if (rc)
        part_rollback(part);
    part->is_writing = false;
    return rc;
}

void part_rollback(struct part *part)
{
    if (!part->is_writing)
        return;
    if (!sqlite3_get_autocommit(part->db.handle))
        (void)db_run(&part->db, PART_ROLLBACK, NULL, NULL, 0, NULL);
    part->is_writing = false;
    forget_words(part); /* some may not have been kept */
}

int part_list(struct sqlite_store *s, struct part_list *ret_list, struct error *err)
{
    struct part_list list = {.items = NULL};
    struct buf entries;
    int step;
    *ret_list = list;
    sqlite3_stmt *row = sqlite_take(s, SQL_PART_LIST, err, 0, NULL);
    if (!row)
        return -E_CORRUPT;
    buf_init(&entries, 64u << 20);
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        char path[4200];
        struct part_entry entry = {.kind = (enum part_kind)sqlite3_column_int(row, 0),
                                   .number = sqlite3_column_int64(row, 1),
                                   .rounds = (uint64_t)sqlite3_column_int64(row, 2),
                                   .is_going = sqlite3_column_int(row, 3)};
        part_path(s, entry.kind, entry.number, path, sizeof path);
        list.bytes += db_bytes(path);
        buf_put(&entries, &entry, sizeof entry);
    }
    int rc = step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "reading the list of parts");
    sqlite_give(s, SQL_PART_LIST, row);
    list.count = entries.size / sizeof *list.items;
    list.items = mem_alloc_array(list.count + 1, sizeof *list.items);
    if (entries.size)
        memcpy(list.items, entries.data, entries.size);
    buf_done(&entries);
    *ret_list = list;
    return rc;
}

void part_list_done(struct part_list *list)
{
    mem_free(list->items);
    *list = (struct part_list){.items = NULL};
}

int part_newest_hour(struct sqlite_store *s, int64_t *ret_hour, struct error *err)
{
    struct part_list list;
    int rc = part_list(s, &list, err);
    *ret_hour = INT64_MIN;
    for (size_t i = 0; !rc && i < list.count; i++) {
        int64_t last = (list.items[i].number + 1) * DAY_HOURS - 1;
        if (list.items[i].kind == PART_RESULTS && last > *ret_hour)
            *ret_hour = last;
    }
    part_list_done(&list);
    return rc;
}

int part_remove_step(struct sqlite_store *s, enum part_kind kind, int64_t number, bool *ret_gone, struct error *err)
{
    char path[4200], going[4210];
    struct stat st;
    *ret_gone = false;
    for (struct part *part = s->parts; part; part = part->next) {
        if (part->kind == kind && part->number == number) {
            part_free(s, part);
            break;
        }
    }
    part_path(s, kind, number, path, sizeof path);
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(going, sizeof going, "%s%s", path, suffixes[i]);
        if (unlink(going) && errno != ENOENT)
            return error_sys(err, errno, going, "cannot remove");
    }
    /* Under another name nobody opens what is shortened. */
    (void)snprintf(going, sizeof going, "%s.going", path);
    if (rename(path, going) && errno != ENOENT)
        return error_sys(err, errno, path, "cannot remove");
    if (!stat(going, &st) && st.st_size > REMOVE_STEP)
        return truncate(going, st.st_size - REMOVE_STEP) ? error_sys(err, errno, going, "cannot shorten") : 0;
    if (unlink(going) && errno != ENOENT)
        return error_sys(err, errno, going, "cannot remove");
    *ret_gone = true;
    return 0;
}
