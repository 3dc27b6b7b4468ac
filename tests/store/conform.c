/* The conformity suite of store backends: store_conform URL. */
#include "conform.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

const char *conform_url = "memory:";
const char *conform_source_dir = ".";

int conform_setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    arena_init(&f->arena, 16 << 20);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/oculi-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->url, sizeof f->url, conform_url, f->dir);
    struct error err = {0};
    if (store_open(f->url, &f->store, &err))
        fail_msg("%s: %s", err.where, err.text);
    *state = f;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[600];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner))
            remove_dir(inner);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

int conform_teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    arena_done(&f->arena);
    remove_dir(f->dir);
    mem_free(f);
    return 0;
}

void conform_reopen(struct fixture *f)
{
    struct error err = {0};
    store_close(f->store);
    f->store = NULL;
    if (store_open(f->url, &f->store, &err))
        fail_msg("%s: %s", err.where, err.text);
}

struct store_upkeep conform_upkeep(struct fixture *f, const struct store_policy *policy, int64_t now_s)
{
    static const struct store_policy for_ever;
    struct store_upkeep sum = {.is_idle = true}, done = {.is_idle = false};
    struct error err = {0};
    for (int i = 0; i < 100000 && !done.is_idle; i++) {
        if (store_upkeep(f->store, policy ? policy : &for_ever, now_s, 1000000, &done, &err))
            fail_msg("%s: %s", err.where, err.text);
        sum.folded += done.folded;
        sum.dropped += done.dropped;
        sum.over_budget += done.over_budget;
    }
    assert_true(done.is_idle);
    return sum;
}

bool conform_is_lasting(void)
{
    return strcmp(conform_url, "memory:") != 0;
}

uint64_t conform_put(struct fixture *f, const char *kind, uint64_t aid, const char *key, const char *lookup,
                     const char *body)
{
    struct store_object object = {
        .kind = kind, .aid = aid, .key = key, .lookup = lookup, .body = body, .body_size = strlen(body)};
    struct error err = {0};
    if (store_put(f->store, &object, &err))
        fail_msg("%s: %s", err.where, err.text);
    return object.id;
}

static size_t body_text(char *text, size_t size, uint64_t test_id, int64_t round_id, uint64_t agent_id)
{
    return (size_t)snprintf(text, size, "%lld %lld %lld %0100d", (long long)test_id, (long long)round_id,
                            (long long)agent_id, 0);
}

bool conform_append(struct fixture *f, uint64_t test_id, int64_t round_id, uint64_t agent_id)
{
    char body[200];
    struct store_metric metrics[] = {{.id = 0, .value = (double)round_id}, {.id = 1, .value = (double)agent_id}};
    struct store_round round = {
        .test_id = test_id,
        .round_id = round_id,
        .agent_id = agent_id,
        .metrics = metrics,
        .metric_count = 2,
        .body = body,
        .body_size = body_text(body, sizeof body, test_id, round_id, agent_id),
    };
    size_t fresh = 99;
    struct error err = {0};
    if (store_append(f->store, &round, 1, &fresh, NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    return fresh == 1;
}

struct answer {
    const struct store_query *query;
    struct buf text;
};

static bool write_round(void *user, const struct store_round *round)
{
    struct answer *a = user;
    buf_printf(&a->text, "%lld/%lld ", (long long)round->round_id, (long long)round->agent_id);
    assert_int_equal(round->test_id, a->query->test_id);
    assert_int_equal(round->metric_count, a->query->want & STORE_WANT_METRICS ? 2 : 0);
    if (round->metric_count) {
        assert_true(round->metrics[0].value == (double)round->round_id);
        assert_true(round->metrics[1].value == (double)round->agent_id);
    }
    if (a->query->want & STORE_WANT_BODY) {
        char body[200];
        size_t size = body_text(body, sizeof body, round->test_id, round->round_id, round->agent_id);
        assert_int_equal(round->body_size, size);
        assert_memory_equal(round->body, body, size);
    } else {
        assert_int_equal(round->body_size, 0);
    }
    return true;
}

const char *conform_query(struct fixture *f, const struct store_query *query)
{
    struct answer a = {.query = query};
    struct error err = {0};
    buf_init(&a.text, 1 << 20);
    buf_puts(&a.text, "");
    if (store_rounds(f->store, query, write_round, &a, &err))
        fail_msg("%s: %s", err.where, err.text);
    const char *text = arena_strdup(&f->arena, buf_str(&a.text));
    buf_done(&a.text);
    return text;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        conform_url = argv[1];
    if (argc > 2)
        conform_source_dir = argv[2];
    bool is_sqlite = str_starts(conform_url, "sqlite:");
    size_t count = conform_objects_count + conform_results_count + conform_folding_count;
    struct CMUnitTest *checks = mem_alloc_array(count + conform_sqlite_count + conform_admin_count + conform_migrations_count,
                                                sizeof *checks);
    memcpy(checks, conform_objects, conform_objects_count * sizeof *checks);
    memcpy(checks + conform_objects_count, conform_results, conform_results_count * sizeof *checks);
    memcpy(checks + conform_objects_count + conform_results_count, conform_folding,
           conform_folding_count * sizeof *checks);
    memcpy(checks + count, conform_sqlite, conform_sqlite_count * sizeof *checks);
    memcpy(checks + count + conform_sqlite_count, conform_admin, conform_admin_count * sizeof *checks);
    memcpy(checks + count + conform_sqlite_count + conform_admin_count, conform_migrations,
           conform_migrations_count * sizeof *checks);
    count += is_sqlite ? conform_sqlite_count + conform_admin_count + conform_migrations_count : 0;
    int failed = _cmocka_run_group_tests(conform_url, checks, count, NULL, NULL);
    mem_free(checks);
    return failed;
}
