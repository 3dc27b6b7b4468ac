#include "server/flush.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"

#define FLUSH_NICE 10 /* moving a long log takes a while: people are served first, also on a machine with one core */

struct flush {
    struct store *store;
    struct loop *loop;
    flush_fn *fn;
    void *user;
    int fd; /* readable when a flush is over */
    bool is_running; /* the loop's view */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_wanted, is_stopping; /* under the mutex, as is what follows */
    int rc;
    struct error err;
};

static void *work(void *user)
{
    struct flush *flush = user;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), FLUSH_NICE);
    (void)pthread_mutex_lock(&flush->mutex);
    for (;;) {
        while (!flush->is_wanted && !flush->is_stopping)
            (void)pthread_cond_wait(&flush->cond, &flush->mutex);
        if (!flush->is_wanted)
            break;
        flush->is_wanted = false;
        (void)pthread_mutex_unlock(&flush->mutex);
        struct error err = {0};
        int rc = store_sync(flush->store, &err);
        (void)pthread_mutex_lock(&flush->mutex);
        flush->rc = rc;
        flush->err = err;
        uint64_t one = 1;
        if (write(flush->fd, &one, sizeof one) < 0)
            break; /* cannot happen: the counter is read before the next flush */
    }
    (void)pthread_mutex_unlock(&flush->mutex);
    return NULL;
}

static void on_over(void *user, int fd, unsigned events)
{
    (void)events;
    struct flush *flush = user;
    uint64_t count;
    if (read(fd, &count, sizeof count) != sizeof count)
        return;
    (void)pthread_mutex_lock(&flush->mutex);
    int rc = flush->rc;
    struct error err = flush->err;
    (void)pthread_mutex_unlock(&flush->mutex);
    flush->is_running = false;
    flush->fn(flush->user, rc, &err);
}

/* Signals are for the loop's thread: this one starts with all of them blocked. */
static int start_thread(struct flush *flush)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int sys_errno = pthread_create(&flush->thread, NULL, work, flush);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return sys_errno;
}

int flush_open(struct store *store, struct loop *loop, flush_fn *fn, void *user, struct flush **ret_flush,
               struct error *err)
{
    struct flush *flush = mem_alloc(sizeof *flush);
    *flush = (struct flush){.store = store, .loop = loop, .fn = fn, .user = user};
    (void)pthread_mutex_init(&flush->mutex, NULL);
    (void)pthread_cond_init(&flush->cond, NULL);
    flush->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = flush->fd < 0 ? error_sys(err, errno, "", "cannot make an eventfd")
                           : loop_add(loop, flush->fd, LOOP_READ, on_over, flush, err);
    int sys_errno = rc ? 0 : start_thread(flush);
    if (sys_errno) {
        loop_remove(loop, flush->fd);
        rc = error_sys(err, sys_errno, "", "cannot start a thread");
    }
    if (rc) {
        if (flush->fd >= 0)
            (void)close(flush->fd);
        mem_free(flush);
        return rc;
    }
    *ret_flush = flush;
    return 0;
}

void flush_close(struct flush *flush)
{
    if (!flush)
        return;
    (void)pthread_mutex_lock(&flush->mutex);
    flush->is_stopping = true;
    (void)pthread_cond_signal(&flush->cond);
    (void)pthread_mutex_unlock(&flush->mutex);
    (void)pthread_join(flush->thread, NULL);
    loop_remove(flush->loop, flush->fd);
    (void)close(flush->fd);
    (void)pthread_mutex_destroy(&flush->mutex);
    (void)pthread_cond_destroy(&flush->cond);
    mem_free(flush);
}

void flush_start(struct flush *flush)
{
    assert(!flush->is_running);
    flush->is_running = true;
    (void)pthread_mutex_lock(&flush->mutex);
    flush->is_wanted = true;
    (void)pthread_cond_signal(&flush->cond);
    (void)pthread_mutex_unlock(&flush->mutex);
}

bool flush_is_running(const struct flush *flush)
{
    return flush->is_running;
}
