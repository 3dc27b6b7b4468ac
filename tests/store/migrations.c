/* A store of every earlier schema is brought up to date and says what it said. The dumps are those of schema-N.sql. */
#include "conform.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/file.h"
#include "store/admin.h"

static const struct {
    int version;
    const char *file;
} released[] = {
    {1, "schema-1.sql"}, /* one file; bodies in the order they came, details within them */
};

static void load(const char *path, const char *file)
{
    char dump[600];
    struct buf text;
    struct error err = {0};
    sqlite3 *db;
    (void)snprintf(dump, sizeof dump, "%s/%s", conform_source_dir, file);
    buf_init(&text, 1 << 24);
    if (file_read(dump, &text, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, buf_str(&text), NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", dump, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    buf_done(&text);
}

struct reading {
    int64_t next; /* in order: two agents a round */
};

static bool check_round(void *user, const struct store_round *round)
{
    struct reading *reading = user;
    int64_t r = reading->next / 2;
    char body[700];
    memset(body, 'a' + (int)(r % 26), sizeof body);
    (void)snprintf(body, 40, "round %lld of %lld", (long long)r, (long long)(reading->next % 2 + 1));
    size_t size = r % 3 ? (size_t)(100 + r) : 700;
    assert_int_equal(round->agent_id, reading->next % 2 + 1);
    assert_int_equal(round->round_id, 1790000000 + r * 600);
    assert_int_equal(round->start_s, 1790000001 + r * 600);
    assert_int_equal(round->end_s, 1790000005 + r * 600);
    assert_int_equal(round->test_version, 2);
    assert_true(round->fingerprint == (r < 15 ? 77 : UINT64_MAX - 1));
    assert_int_equal(round->metric_count, 2);
    assert_true(round->metrics[0].id == 0 && round->metrics[0].value == (double)r * 0.5);
    assert_true(round->metrics[1].id == 3 && round->metrics[1].value == 20.123456 + (double)round->agent_id);
    assert_int_equal(round->body_size, size);
    assert_memory_equal(round->body, body, size);
    assert_int_equal(round->detail_size, 0);
    reading->next++;
    return true;
}

static void check_all(struct fixture *f)
{
    struct reading reading = {0};
    struct store_query query = {.test_id = 7, .until_s = INT64_MAX, .after_round = -1, .want = 7};
    struct error err = {0};
    struct store_object object;
    struct store_stats stats;
    if (store_rounds(f->store, &query, check_round, &reading, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(reading.next, 60);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 60);
    assert_int_equal(store_find(f->store, "test", 1, "first", &f->arena, &object, NULL), 0);
    assert_int_equal(object.version, 2);
    assert_memory_equal(object.body, "two!", 4);
    assert_int_equal(store_get(f->store, "test", object.id, 1, &f->arena, &object, NULL), 0);
    assert_memory_equal(object.body, "one", 3);
    assert_int_equal(store_get(f->store, "agent", 1, 0, &f->arena, &object, NULL), -E_NOT_FOUND);
}

static void no_problem(void *user, const char *where, const char *text)
{
    (void)user;
    fail_msg("%s: %s", where, text);
}

static void every_released_schema_is_brought_up_to_date(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof released / sizeof released[0]; i++) {
        char path[200];
        struct error err = {0};
        struct store_check_result result;
        store_close(f->store);
        f->store = NULL;
        (void)snprintf(path, sizeof path, "%s/version%d.db", f->dir, released[i].version);
        (void)snprintf(f->url, sizeof f->url, "sqlite:%s/version%d.db", f->dir, released[i].version);
        load(path, released[i].file);
        assert_int_equal(store_check(path, NULL, NULL, NULL, &result, &err), -E_NOT_SUPPORTED); /* not yet */
        if (store_open(f->url, &f->store, &err))
            fail_msg("%s: %s", err.where, err.text);
        check_all(f);
        assert_false(conform_append(f, 7, 1790000000, 1)); /* is there */
        (void)conform_upkeep(f, NULL, 1790000000 + 10 * 86400);
        check_all(f);
        conform_reopen(f);
        check_all(f);
        assert_int_equal(store_check(path, no_problem, NULL, NULL, &result, &err), 0);
        assert_int_equal(result.rounds, 60);
    }
}

const struct CMUnitTest conform_migrations[] = {
    CONFORM_CHECK(every_released_schema_is_brought_up_to_date),
};
const size_t conform_migrations_count = sizeof conform_migrations / sizeof conform_migrations[0];
