#include "store/sqlite/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define LONG_LOG (4 << 20) /* bytes of a log that are worth moving into the database */
#define LONG_LOG_BESIDE (32 << 20)

enum state { STATE_IDLE, STATE_ASKED, STATE_DONE, STATE_ENDING };

struct worker {
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum state state;
    char *files[WORKER_FILES], *dir, *beside;
    size_t count;
    int rc;
    struct error err;
};

static int flush(const char *path, bool is_needed, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return !is_needed && errno == ENOENT ? 0 : error_sys(err, errno, path, "cannot open it to flush it");
    int rc = fsync(fd) ? error_sys(err, errno, path, "cannot flush") : 0;
    (void)close(fd);
    return rc;
}

/* On a connection of its own, which SQLite allows beside the writer. A log that stays long is tried again. */
static void move_log(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        sqlite3_exec(db, "PRAGMA synchronous=FULL; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK)
        (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    (void)sqlite3_close(db);
}

static void move_long(const char *path, off_t least)
{
    char log[4300];
    struct stat st;
    (void)snprintf(log, sizeof log, "%s-wal", path);
    if (!stat(log, &st) && st.st_size > least)
        move_log(path);
}

static int work(struct worker *worker, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < worker->count; i++) {
        char log[4300];
        (void)snprintf(log, sizeof log, "%s-wal", worker->files[i]);
        rc = flush(log, false, err);
        if (!rc)
            rc = flush(worker->files[i], true, err);
        if (!rc)
            move_long(worker->files[i], LONG_LOG);
    }
    move_long(worker->beside, LONG_LOG_BESIDE);
    return rc || !worker->count ? rc : flush(worker->dir, true, err);
}

static void *run(void *user)
{
    struct worker *worker = user;
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->state != STATE_ENDING) {
        if (worker->state != STATE_ASKED) {
            (void)pthread_cond_wait(&worker->changed, &worker->lock);
            continue;
        }
        struct error err = {0};
        (void)pthread_mutex_unlock(&worker->lock);
        int rc = work(worker, &err);
        (void)pthread_mutex_lock(&worker->lock);
        worker->rc = rc;
        worker->err = err;
        if (worker->state == STATE_ASKED)
            worker->state = STATE_DONE;
        (void)pthread_cond_broadcast(&worker->changed);
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return NULL;
}

struct worker *worker_new(void)
{
    struct worker *worker = mem_alloc(sizeof *worker);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return worker;
}

static void forget_job(struct worker *worker)
{
    for (size_t i = 0; i < worker->count; i++)
        mem_free(worker->files[i]);
    mem_free(worker->dir);
    mem_free(worker->beside);
    worker->dir = worker->beside = NULL;
    worker->count = 0;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->has_thread && worker->state == STATE_ASKED)
        (void)pthread_cond_wait(&worker->changed, &worker->lock);
    worker->state = STATE_ENDING;
    (void)pthread_cond_broadcast(&worker->changed);
    (void)pthread_mutex_unlock(&worker->lock);
    if (worker->has_thread)
        (void)pthread_join(worker->thread, NULL);
    forget_job(worker);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->lock);
    mem_free(worker);
}

void worker_ask(struct worker *worker, const char *const *files, size_t count, const char *dir, const char *beside)
{
    assert(count <= WORKER_FILES && worker->state == STATE_IDLE);
    for (size_t i = 0; i < count; i++)
        worker->files[i] = mem_strdup(files[i]);
    worker->dir = mem_strdup(dir);
    worker->beside = mem_strdup(beside);
    worker->count = count;
    if (!worker->has_thread)
        worker->has_thread = pthread_create(&worker->thread, NULL, run, worker) == 0;
    (void)pthread_mutex_lock(&worker->lock);
    worker->state = STATE_ASKED;
    if (!worker->has_thread) { /* then we wait ourselves */
        worker->rc = work(worker, &worker->err);
        worker->state = STATE_DONE;
    }
    (void)pthread_cond_broadcast(&worker->changed);
    (void)pthread_mutex_unlock(&worker->lock);
}

bool worker_done(struct worker *worker, int64_t wait_ns, int *ret_rc, struct error *err)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + wait_ns;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    (void)pthread_mutex_lock(&worker->lock);
    int waited = 0;
    while (worker->state == STATE_ASKED && !waited)
        waited = pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
    bool is_done = worker->state == STATE_DONE;
    if (is_done) {
        *ret_rc = worker->rc;
        if (worker->rc && err)
            *err = worker->err;
        worker->state = STATE_IDLE;
        forget_job(worker);
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return is_done;
}
