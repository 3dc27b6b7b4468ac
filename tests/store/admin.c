/* Backup, check and compact of a store on a disk, while it is open and when it is not. */
#include "conform.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/str.h"
#include "store/admin.h"

#define START 1790000000
#define DAYS 3

static const char *path_of(const struct fixture *f)
{
    return f->url + strlen("sqlite:");
}

/* Some days of two tests, some of it folded. */
static void fill(struct fixture *f)
{
    for (int64_t slot = 0; slot < DAYS * 48; slot++) {
        for (uint64_t agent = 1; agent <= 3; agent++) {
            struct store_metric metric = {.id = 1, .value = (double)slot};
            struct store_round round = {.test_id = 1 + (uint64_t)slot % 2,
                                        .agent_id = agent,
                                        .round_id = START + slot * 1800,
                                        .metrics = &metric,
                                        .metric_count = 1,
                                        .body = "\xa1\x61x\x05",
                                        .body_size = 4,
                                        .detail = "\xa1\x61y\x06",
                                        .detail_size = 4};
            assert_int_equal(store_append(f->store, &round, 1, NULL, NULL, NULL), 0);
        }
    }
    (void)conform_upkeep(f, NULL, START + DAYS * 86400 - 40000);
}

struct found {
    size_t problems;
    char where[4200], text[600];
};

static void note(void *user, const char *where, const char *text)
{
    struct found *found = user;
    found->problems++;
    (void)snprintf(found->where, sizeof found->where, "%s", where);
    (void)snprintf(found->text, sizeof found->text, "%s", text);
}

static struct store_check_result check(const char *path, struct found *ret_found)
{
    struct store_check_result result;
    struct error err = {0};
    *ret_found = (struct found){.problems = 0};
    if (store_check(path, note, ret_found, NULL, &result, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(result.problems, ret_found->problems);
    return result;
}

static bool hash_round(void *user, const struct store_round *round)
{
    uint64_t *hash = user;
    const int64_t numbers[] = {round->round_id, (int64_t)round->agent_id, (int64_t)round->body_size,
                               (int64_t)round->detail_size, (int64_t)round->metrics[0].value};
    *hash = str_hash(numbers, sizeof numbers, *hash);
    return true;
}

static uint64_t hash_of(struct store *store)
{
    uint64_t hash = 0;
    for (uint64_t test = 1; test <= 2; test++) {
        struct store_query query = {.test_id = test, .until_s = INT64_MAX, .after_round = -1, .want = 7};
        assert_int_equal(store_rounds(store, &query, hash_round, &hash, NULL), 0);
    }
    return hash;
}

static void a_backup_is_the_store(void **state)
{
    struct fixture *f = *state;
    char copy[200], url[220];
    struct found found;
    struct store *other;
    struct error err = {0};
    fill(f);
    (void)snprintf(copy, sizeof copy, "%s/backup", f->dir);
    if (store_backup(path_of(f), copy, NULL, &err)) /* the store is open meanwhile */
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(store_backup(path_of(f), copy, NULL, &err), -E_EXISTS);
    (void)snprintf(url, sizeof url, "sqlite:%s/backup/oculi.db", f->dir);
    struct store_check_result result = check(url + strlen("sqlite:"), &found);
    assert_int_equal(found.problems, 0);
    assert_false(result.is_running);
    assert_int_equal(result.rounds, DAYS * 48 * 3);
    assert_int_equal(store_open(url, &other, NULL), 0);
    assert_true(hash_of(other) == hash_of(f->store));
    store_close(other);
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(store_backup("/no/such/oculi.db", copy, NULL, &err), -E_NOT_FOUND);
}

/* A backup that runs while hours are folded has every round, wherever the fold was. */
static void a_backup_beside_a_fold_loses_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct store_policy for_ever;
    fill(f);
    for (int step = 0; step < 12; step++) {
        char copy[200], url[230];
        struct found found;
        struct store *other;
        struct store_upkeep done;
        (void)snprintf(copy, sizeof copy, "%s/backup%d", f->dir, step);
        assert_int_equal(store_backup(path_of(f), copy, NULL, NULL), 0);
        (void)snprintf(url, sizeof url, "sqlite:%s/oculi.db", copy);
        (void)check(url + strlen("sqlite:"), &found);
        assert_string_equal(found.text, "");
        assert_int_equal(store_open(url, &other, NULL), 0);
        assert_true(hash_of(other) == hash_of(f->store));
        store_close(other);
        assert_int_equal(store_upkeep(f->store, &for_ever, START + 10 * 86400, 1, &done, NULL), 0);
    }
}

/* A file of the parts, the n-th by name of those that begin so. */
static const char *part_path(struct fixture *f, const char *kind, const char *date)
{
    return arena_printf(&f->arena, "%s-parts/%s-%s.db", path_of(f), kind, date);
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_check_finds_what_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct found found;
    fill(f);
    struct store_check_result result = check(path_of(f), &found);
    assert_true(result.is_running);
    assert_int_equal(found.problems, 0);
    store_close(f->store);
    f->store = NULL;
    result = check(path_of(f), &found);
    assert_false(result.is_running);
    assert_int_equal(found.problems, 0);
    assert_true(result.chunks > 50 && result.files >= 6);

    const char *first = part_path(f, "results", "20260921"), *second = part_path(f, "results", "20260922");
    run_sql(first, "UPDATE chunk SET bytes = zeroblob(length(bytes)) WHERE id = 5");
    (void)check(path_of(f), &found);
    assert_int_equal(found.problems, 2); /* the chunk, and its rounds are missing in the count */
    assert_string_equal(found.where, first);
    run_sql(first, "DELETE FROM word");
    (void)check(path_of(f), &found);
    assert_true(found.problems > 10);
    run_sql(path_of(f), "UPDATE tally SET value = value + 1");
    (void)check(path_of(f), &found);
    assert_int_equal(unlink(first), 0);
    (void)check(path_of(f), &found);
    assert_int_equal(found.problems, 2); /* the file, and the tally */
    run_sql(path_of(f), "UPDATE tally SET value = value - 1");

    int fd = open(second, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damaged beyond repair", 21, 40), 21);
    assert_int_equal(pwrite(fd, "damaged beyond repair", 21, 16384), 21);
    assert_int_equal(close(fd), 0);
    (void)check(path_of(f), &found);
    assert_true(found.problems >= 2);

    /* Whoever reads that day is told the file; other days are as they were. */
    struct error err = {0};
    uint64_t hash = 0;
    assert_int_equal(store_open(f->url, &f->store, NULL), 0);
    struct store_query query = {.test_id = 1, .until_s = INT64_MAX, .after_round = -1, .want = 7};
    assert_int_equal(store_rounds(f->store, &query, hash_round, &hash, &err), -E_CORRUPT);
    assert_string_equal(err.where, second);
    query.from_s = START + 2 * 86400;
    assert_int_equal(store_rounds(f->store, &query, hash_round, &hash, &err), 0);
}

static void compacting_changes_no_answer(void **state)
{
    struct fixture *f = *state;
    struct store_compact_result result;
    struct found found;
    fill(f);
    uint64_t hash = hash_of(f->store);
    assert_int_equal(store_compact(path_of(f), NULL, &result, NULL), 0);
    assert_true(result.skipped > 0); /* the database is in use */
    assert_true(hash_of(f->store) == hash);
    (void)conform_upkeep(f, NULL, START + 30 * 86400);
    assert_true(hash_of(f->store) == hash);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(store_compact(path_of(f), NULL, &result, NULL), 0);
    assert_true(result.bytes_after <= result.bytes_before);
    (void)check(path_of(f), &found);
    assert_int_equal(found.problems, 0);
    assert_int_equal(store_open(f->url, &f->store, NULL), 0);
    assert_true(hash_of(f->store) == hash);
}

const struct CMUnitTest conform_admin[] = {
    CONFORM_CHECK(a_backup_is_the_store),
    CONFORM_CHECK(a_backup_beside_a_fold_loses_nothing),
    CONFORM_CHECK(a_check_finds_what_is_damaged),
    CONFORM_CHECK(compacting_changes_no_answer),
};
const size_t conform_admin_count = sizeof conform_admin / sizeof conform_admin[0];
