#include "agent/spool_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/mem.h"

#define SPOOL_SYNC_WAITING 8

struct spool_sync {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    int waiting[SPOOL_SYNC_WAITING]; /* duplicates, the thread's to close */
    int count;
    bool is_stopping;
    atomic_int failure;
};

static void sync_now(struct spool_sync *sync, int fd)
{
    if (fdatasync(fd) != 0)
        atomic_store(&sync->failure, errno);
    (void)close(fd);
}

static void *run(void *user)
{
    struct spool_sync *sync = user;
    (void)pthread_mutex_lock(&sync->mutex);
    for (;;) {
        while (sync->count == 0 && !sync->is_stopping)
            (void)pthread_cond_wait(&sync->work, &sync->mutex);
        if (sync->count == 0)
            break;
        int fd = sync->waiting[--sync->count]; /* the order does not matter */
        (void)pthread_mutex_unlock(&sync->mutex);
        sync_now(sync, fd);
        (void)pthread_mutex_lock(&sync->mutex);
    }
    (void)pthread_mutex_unlock(&sync->mutex);
    return NULL;
}

int spool_sync_new(struct spool_sync **ret_sync, struct error *err)
{
    struct spool_sync *sync = mem_alloc(sizeof *sync);
    (void)pthread_mutex_init(&sync->mutex, NULL);
    (void)pthread_cond_init(&sync->work, NULL);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int rc = pthread_create(&sync->thread, NULL, run, sync);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        mem_free(sync);
        return error_sys(err, rc, "spool", "cannot start a thread");
    }
    *ret_sync = sync;
    return 0;
}

void spool_sync_free(struct spool_sync *sync)
{
    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->mutex);
    sync->is_stopping = true;
    (void)pthread_cond_signal(&sync->work);
    (void)pthread_mutex_unlock(&sync->mutex);
    (void)pthread_join(sync->thread, NULL);
    (void)pthread_cond_destroy(&sync->work);
    (void)pthread_mutex_destroy(&sync->mutex);
    mem_free(sync);
}

void spool_sync_ask(struct spool_sync *sync, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        atomic_store(&sync->failure, errno);
        return;
    }
    (void)pthread_mutex_lock(&sync->mutex);
    bool is_queued = sync->count < SPOOL_SYNC_WAITING;
    if (is_queued) {
        sync->waiting[sync->count++] = copy;
        (void)pthread_cond_signal(&sync->work);
    }
    (void)pthread_mutex_unlock(&sync->mutex);
    if (!is_queued)
        sync_now(sync, copy);
}

int spool_sync_failure(struct spool_sync *sync)
{
    return atomic_exchange(&sync->failure, 0);
}
