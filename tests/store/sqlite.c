/* What only a store on a disk can suffer: a full disk, damage, a strange file, a second process, kill -9. */
#include "conform.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/mem.h"

static const char *path_of(const struct fixture *f)
{
    return f->url + strlen("sqlite:");
}

#define BATCH 50
static int append_batch(struct store *store, int64_t number, struct error *err)
{
    static unsigned char body[BATCH][400];
    struct store_round rounds[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t noise = (uint32_t)number * BATCH + i + 1;
        for (size_t j = 0; j < sizeof body[i]; j++) {
            noise = noise * 1664525u + 1013904223u;
            body[i][j] = (unsigned char)(noise >> 24);
        }
        rounds[i] = (struct store_round){
            .test_id = 1, .agent_id = i + 1, .round_id = number * 60, .body = body[i], .body_size = sizeof body[i]};
    }
    return store_append(store, rounds, BATCH, NULL, NULL, err);
}

static bool count_round(void *user, const struct store_round *round)
{
    assert_int_equal(round->body_size, 400);
    ++*(size_t *)user;
    return true;
}

static size_t count_rounds(struct store *store)
{
    struct store_query query = {.test_id = 1, .until_s = INT64_MAX, .after_round = -1, .want = STORE_WANT_BODY};
    size_t count = 0;
    struct error err = {0};
    if (store_rounds(store, &query, count_round, &count, &err))
        fail_msg("%s: %s", err.where, err.text);
    return count;
}

/* Appends batches until the disk is full, then checks that exactly the acknowledged ones are there. */
static int64_t fill_disk(struct fixture *f)
{
    struct error err = {0};
    int64_t done = 0;
    int rc;
    while (!(rc = append_batch(f->store, done, &err)))
        assert_true(++done < 1000);
    if (rc != -E_FULL)
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(err.code, E_FULL);
    assert_non_null(strstr(err.where, "oculi.db"));
    assert_true(done > 5);
    assert_int_equal(count_rounds(f->store), (size_t)done * BATCH);
    struct store_object object = {.kind = "test", .aid = 1, .key = "a", .body = path_of(f), .body_size = 10};
    assert_int_equal(store_begin(f->store, NULL), 0);
    (void)store_put(f->store, &object, NULL);
    (void)append_batch(f->store, done, NULL);
    assert_int_equal(store_commit(f->store, &err), -E_FULL);
    assert_int_equal(count_rounds(f->store), (size_t)done * BATCH);
    return done;
}

static void a_full_quota_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, small;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 2 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int64_t done = fill_disk(f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(append_batch(f->store, done, NULL), 0);
    conform_reopen(f);
    assert_int_equal(count_rounds(f->store), (size_t)(done + 1) * BATCH);
}

/* In a child: its mounts end with it. 77 = no mount namespace to be had here. */
static int full_tmpfs(struct fixture *f)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return 77;
    char dir[80];
    (void)snprintf(dir, sizeof dir, "%s/small", f->dir);
    (void)mkdir(dir, 0700);
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) || mount("oculi", dir, "tmpfs", 0, "size=3m"))
        return 77;
    char url[128];
    (void)snprintf(url, sizeof url, "sqlite:%s/oculi.db", dir);
    memcpy(f->url, url, sizeof url);
    if (store_open(url, &f->store, NULL))
        return 1;
    (void)fill_disk(f);
    struct store_upkeep done;
    struct store_policy policy = {.results_s = 1};
    /* Old results can be dropped, although dropping writes too, once the operator has made a little room. */
    if (mount("oculi", dir, "tmpfs", MS_REMOUNT, "size=6m"))
        return 1;
    for (int i = 0; i < 1000; i++) {
        struct error err = {0};
        if (store_upkeep(f->store, &policy, 100 * 86400, 1000000, &done, &err)) {
            print_message("%s: %s\n", err.where, err.text);
            return 1;
        }
        if (done.is_idle)
            break;
    }
    struct store_stats stats;
    if (store_stats(f->store, &stats, NULL) || stats.rounds || append_batch(f->store, 0, NULL))
        return 1;
    store_close(f->store);
    return 0;
}

static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    struct fixture own = *f; /* the child's store is another */
    if (!pid)
        _exit(full_tmpfs(&own));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    char dir[80];
    (void)snprintf(dir, sizeof dir, "%s/small", f->dir);
    (void)rmdir(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void kill_9_loses_nothing_that_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        struct store *store;
        if (store_open(f->url, &store, NULL))
            _exit(1);
        for (int64_t number = 0; !append_batch(store, number, NULL); number++) {
            if (write(pipes[1], "", 1) != 1)
                _exit(1);
        }
        _exit(1);
    }
    assert_int_equal(close(pipes[1]), 0);
    size_t acknowledged = 0;
    char byte;
    while (acknowledged < 20 && read(pipes[0], &byte, 1) == 1)
        acknowledged++;
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    while (read(pipes[0], &byte, 1) == 1)
        acknowledged++;
    (void)close(pipes[0]);
    assert_true(acknowledged >= 20);
    conform_reopen(f);
    size_t count = count_rounds(f->store);
    assert_int_equal(count % BATCH, 0);
    assert_true(count / BATCH == acknowledged || count / BATCH == acknowledged + 1);
}

static void damage(const char *path, off_t from, off_t until)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (off_t at = from; at < until; at++)
        assert_int_equal(pwrite(fd, "\xa5", 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* Opens and reads everything; the first error. */
static int read_all(struct fixture *f, struct error *err)
{
    int rc = store_open(f->url, &f->store, err);
    if (rc)
        return rc;
    struct store_query query = {.test_id = 1, .until_s = INT64_MAX, .after_round = -1, .want = STORE_WANT_BODY};
    size_t count = 0;
    rc = store_rounds(f->store, &query, count_round, &count, err);
    store_close(f->store);
    f->store = NULL;
    return rc;
}

static void damage_is_told_with_the_file(void **state)
{
    struct fixture *f = *state;
    for (int64_t number = 0; number < 20; number++)
        assert_int_equal(append_batch(f->store, number, NULL), 0);
    store_close(f->store);
    f->store = NULL;
    struct stat st;
    assert_int_equal(stat(path_of(f), &st), 0);
    struct error err = {0};
    assert_int_equal(read_all(f, &err), 0);

    damage(path_of(f), 8192, st.st_size);
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    assert_string_equal(err.where, path_of(f));

    assert_int_equal(truncate(path_of(f), st.st_size / 2), 0);
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    assert_string_equal(err.where, path_of(f));

    damage(path_of(f), 0, 100);
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    assert_string_equal(err.where, path_of(f));
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_damaged_body_is_not_handed_out(void **state)
{
    struct fixture *f = *state;
    assert_true(conform_append(f, 1, 60, 1));
    store_close(f->store);
    f->store = NULL;
    run_sql(path_of(f), "UPDATE body SET bytes = zeroblob(length(bytes))");
    struct error err = {0};
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    run_sql(path_of(f), "DELETE FROM body");
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    run_sql(path_of(f), "DROP TABLE round");
    assert_int_equal(read_all(f, &err), -E_CORRUPT);
    assert_string_equal(err.where, path_of(f));
}

static void strange_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    struct error err = {0};
    assert_int_equal(store_open(f->url, &other, &err), -E_CONFLICT);
    assert_string_equal(err.where, path_of(f));
    store_close(f->store);
    f->store = NULL;
    run_sql(path_of(f), "PRAGMA user_version = 1000");
    assert_int_equal(read_all(f, &err), -E_NOT_SUPPORTED);
    run_sql(path_of(f), "PRAGMA application_id = 7");
    assert_int_equal(read_all(f, &err), -E_INVALID);
    (void)snprintf(f->url, sizeof f->url, "sqlite:%s/no/such/dir/oculi.db", f->dir);
    assert_int_equal(read_all(f, &err), -E_NOT_FOUND);
    assert_non_null(strstr(err.where, "/no/such/dir/"));
    assert_int_equal(store_open("sqlite:", &other, &err), -E_REQUIRED);
    assert_int_equal(store_open("oracle:x", &other, &err), -E_UNKNOWN);
    assert_int_equal(store_open("memory:x", &other, &err), -E_INVALID);
}

struct flusher {
    struct store *store;
    atomic_bool is_over;
    atomic_int syncs, failures;
};

static void *flush_on(void *user)
{
    struct flusher *flusher = user;
    while (!atomic_load(&flusher->is_over)) {
        if (store_sync(flusher->store, NULL))
            atomic_fetch_add(&flusher->failures, 1);
        atomic_fetch_add(&flusher->syncs, 1);
    }
    return NULL;
}

/* One thread writes and reads, another flushes and moves the log into the database beside it. */
static void commits_that_do_not_wait_are_flushed_by_another_thread(void **state)
{
    struct fixture *f = *state;
    struct flusher flusher = {.store = f->store};
    pthread_t thread;
    assert_int_equal(store_sync(f->store, NULL), 0); /* nothing to do yet */
    assert_int_equal(pthread_create(&thread, NULL, flush_on, &flusher), 0);
    for (int64_t i = 0; i < 2500; i++) {
        while (store_is_crowded(f->store))
            (void)sched_yield();
        assert_int_equal(i % 7 ? store_begin_soon(f->store, NULL) : store_begin(f->store, NULL), 0);
        assert_int_equal(append_batch(f->store, i, NULL), 0);
        if (i % 11 == 10) {
            store_rollback(f->store);
            assert_int_equal(append_batch(f->store, i, NULL), 0); /* by itself */
        } else {
            assert_int_equal(store_commit(f->store, NULL), 0);
        }
    }
    assert_int_equal(count_rounds(f->store), 2500 * BATCH);
    atomic_store(&flusher.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&flusher.syncs) > 0);
    assert_int_equal(atomic_load(&flusher.failures), 0);
    conform_reopen(f);
    assert_int_equal(count_rounds(f->store), 2500 * BATCH);
}

static void files_are_for_the_owner_only(void **state)
{
    struct fixture *f = *state;
    assert_true(conform_append(f, 1, 60, 1));
    static const char *const suffixes[] = {"", "-wal", "-lock"};
    for (size_t i = 0; i < 3; i++) {
        char path[160];
        struct stat st;
        (void)snprintf(path, sizeof path, "%s%s", path_of(f), suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
}

const struct CMUnitTest conform_sqlite[] = {
    CONFORM_CHECK(a_full_quota_loses_nothing),
    CONFORM_CHECK(a_full_disk_loses_nothing),
    CONFORM_CHECK(kill_9_loses_nothing_that_was_acknowledged),
    CONFORM_CHECK(damage_is_told_with_the_file),
    CONFORM_CHECK(a_damaged_body_is_not_handed_out),
    CONFORM_CHECK(strange_files_are_refused),
    CONFORM_CHECK(commits_that_do_not_wait_are_flushed_by_another_thread),
    CONFORM_CHECK(files_are_for_the_owner_only),
};
const size_t conform_sqlite_count = sizeof conform_sqlite / sizeof conform_sqlite[0];
