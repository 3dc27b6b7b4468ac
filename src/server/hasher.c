#include "server/hasher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/mem.h"
#include "server/auth.h"

struct hasher_job {
    struct hasher_job *next;
    char *hash, *password;
    bool is_right;
    hasher_fn *fn; /* the loop's thread alone looks at this; NULL = cancelled */
    void *user;
};

struct hasher {
    struct loop *loop;
    pthread_t thread;
    int event_fd;
    unsigned count; /* jobs that are not told yet */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    struct hasher_job *first, **last; /* to do */
    struct hasher_job *done;
    bool is_ending;
};

static void free_text(char *text)
{
    sodium_memzero(text, strlen(text));
    mem_free(text);
}

static void free_job(struct hasher_job *job)
{
    free_text(job->hash);
    free_text(job->password);
    mem_free(job);
}

static void *work(void *user)
{
    struct hasher *hasher = user;
    (void)pthread_mutex_lock(&hasher->lock);
    while (!hasher->is_ending) {
        struct hasher_job *job = hasher->first;
        if (!job) {
            (void)pthread_cond_wait(&hasher->changed, &hasher->lock);
            continue;
        }
        hasher->first = job->next;
        if (!hasher->first)
            hasher->last = &hasher->first;
        (void)pthread_mutex_unlock(&hasher->lock);
        job->is_right = auth_check_password(job->hash, job->password);
        (void)pthread_mutex_lock(&hasher->lock);
        job->next = hasher->done;
        hasher->done = job;
        uint64_t one = 1;
        if (write(hasher->event_fd, &one, sizeof one) < 0)
            assert(errno == EAGAIN); /* the counter is full: the loop is told already */
    }
    (void)pthread_mutex_unlock(&hasher->lock);
    return NULL;
}

static void on_done(void *user, int fd, unsigned events)
{
    struct hasher *hasher = user;
    uint64_t count;
    (void)events;
    if (read(fd, &count, sizeof count) < 0)
        return;
    (void)pthread_mutex_lock(&hasher->lock);
    struct hasher_job *job = hasher->done;
    hasher->done = NULL;
    (void)pthread_mutex_unlock(&hasher->lock);
    while (job) {
        struct hasher_job *next = job->next;
        hasher->count--;
        if (job->fn)
            job->fn(job->user, job->is_right);
        free_job(job);
        job = next;
    }
}

struct hasher_job *hasher_check(struct hasher *hasher, const char *hash, const char *password, hasher_fn *fn, void *user)
{
    if (hasher->count >= LIMIT_HASHES_WAITING)
        return NULL;
    struct hasher_job *job = mem_alloc(sizeof *job);
    *job = (struct hasher_job){.hash = mem_strdup(hash), .password = mem_strdup(password), .fn = fn, .user = user};
    hasher->count++;
    (void)pthread_mutex_lock(&hasher->lock);
    *hasher->last = job;
    hasher->last = &job->next;
    (void)pthread_cond_signal(&hasher->changed);
    (void)pthread_mutex_unlock(&hasher->lock);
    return job;
}

void hasher_cancel(struct hasher_job *job)
{
    job->fn = NULL;
}

int hasher_open(struct loop *loop, struct hasher **ret_hasher, struct error *err)
{
    struct hasher *hasher = mem_alloc(sizeof *hasher);
    *hasher = (struct hasher){.loop = loop, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    hasher->last = &hasher->first;
    hasher->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = hasher->event_fd < 0 ? error_sys(err, errno, "eventfd", "cannot be made")
                                  : loop_add(loop, hasher->event_fd, LOOP_READ, on_done, hasher, err);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int code = rc ? 0 : pthread_create(&hasher->thread, NULL, work, hasher);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code)
        rc = error_sys(err, code, "pthread_create", "cannot start the thread that checks passwords");
    if (rc) {
        if (hasher->event_fd >= 0) {
            loop_remove(loop, hasher->event_fd);
            (void)close(hasher->event_fd);
        }
        mem_free(hasher);
        return rc;
    }
    *ret_hasher = hasher;
    return 0;
}

void hasher_close(struct hasher *hasher)
{
    if (!hasher)
        return;
    (void)pthread_mutex_lock(&hasher->lock);
    hasher->is_ending = true;
    (void)pthread_cond_signal(&hasher->changed);
    (void)pthread_mutex_unlock(&hasher->lock);
    (void)pthread_join(hasher->thread, NULL);
    struct hasher_job *lists[] = {hasher->first, hasher->done};
    for (size_t i = 0; i < 2; i++) {
        for (struct hasher_job *job = lists[i], *next; job; job = next) {
            next = job->next;
            free_job(job);
        }
    }
    loop_remove(hasher->loop, hasher->event_fd);
    (void)close(hasher->event_fd);
    (void)pthread_cond_destroy(&hasher->changed);
    (void)pthread_mutex_destroy(&hasher->lock);
    mem_free(hasher);
}
