#include "base/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

struct resolve_job {
    struct resolve_job *next;
    struct resolver *resolver;
    bool is_cancelled;
    char host[256];
    enum sock_family family;
    resolve_fn *fn;
    void *user;
    int rc;
    union sock_addr addr;
    struct error err;
};

struct queue {
    struct resolve_job *first, **last;
    unsigned count;
};

/* Shared with the threads, which may outlive the loop: the last one to leave frees it. */
struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct queue waiting, ready;
    unsigned threads, idle;
    bool is_closed;
    int wake_fd;
    struct loop *loop;
    resolve_lookup_fn *lookup;
    void *lookup_user;
};

static void queue_push(struct queue *queue, struct resolve_job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
}

static struct resolve_job *queue_pop(struct queue *queue)
{
    struct resolve_job *job = queue->first;
    if (job) {
        queue->first = job->next;
        if (!queue->first)
            queue->last = &queue->first;
        queue->count--;
    }
    return job;
}

static void destroy(struct resolver *resolver)
{
    pthread_cond_destroy(&resolver->has_work);
    pthread_mutex_destroy(&resolver->lock);
    mem_free(resolver);
}

/* With the lock held. Waking an eventfd cannot block at these counts, and a full one is awake already. */
static void hand_back(struct resolver *resolver, struct resolve_job *job)
{
    queue_push(&resolver->ready, job);
    uint64_t one = 1;
    ssize_t written = write(resolver->wake_fd, &one, sizeof one);
    (void)written;
}

static void *work(void *arg)
{
    struct resolver *resolver = arg;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->is_closed) {
        struct resolve_job *job = queue_pop(&resolver->waiting);
        if (!job) {
            resolver->idle++;
            pthread_cond_wait(&resolver->has_work, &resolver->lock);
            resolver->idle--;
            continue;
        }
        if (job->is_cancelled) {
            mem_free(job);
            continue;
        }
        pthread_mutex_unlock(&resolver->lock);
        job->rc = resolver->lookup(resolver->lookup_user, job->host, job->family, &job->addr, &job->err);
        pthread_mutex_lock(&resolver->lock);
        if (job->is_cancelled || resolver->is_closed)
            mem_free(job);
        else
            hand_back(resolver, job);
    }
    bool is_last = --resolver->threads == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (is_last)
        destroy(resolver);
    return NULL;
}

static void on_ready(void *user, int fd, unsigned events)
{
    (void)events;
    struct resolver *resolver = user;
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    /* Only what was ready when we woke: callbacks may start lookups, cancel some or free the resolver. */
    pthread_mutex_lock(&resolver->lock);
    struct resolve_job *job = queue_pop(&resolver->ready);
    if (resolver->ready.count > 0) {
        uint64_t one = 1;
        ssize_t written = write(fd, &one, sizeof one);
        (void)written;
    }
    pthread_mutex_unlock(&resolver->lock);
    if (!job)
        return;
    if (!job->is_cancelled)
        job->fn(job->user, job->rc, &job->addr, &job->err);
    mem_free(job);
}

static int ask_system(void *user, const char *host, enum sock_family family, union sock_addr *ret_addr,
                      struct error *err)
{
    (void)user;
    return sock_resolve(host, family, ret_addr, err);
}

void resolver_set_lookup(struct resolver *resolver, resolve_lookup_fn *fn, void *user)
{
    resolver->lookup = fn;
    resolver->lookup_user = user;
}

int resolver_new(struct loop *loop, struct resolver **ret_resolver, struct error *err)
{
    struct resolver *resolver = mem_alloc(sizeof *resolver);
    resolver->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (resolver->wake_fd < 0) {
        mem_free(resolver);
        return error_sys(err, errno, "", "looking up names needs another descriptor (ulimit -n)");
    }
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->has_work, NULL);
    resolver->waiting.last = &resolver->waiting.first;
    resolver->ready.last = &resolver->ready.first;
    resolver->loop = loop;
    resolver->lookup = ask_system;
    int rc = loop_add(loop, resolver->wake_fd, LOOP_READ, on_ready, resolver, err);
    if (rc) {
        close(resolver->wake_fd);
        destroy(resolver);
        return rc;
    }
    *ret_resolver = resolver;
    return 0;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    loop_remove(resolver->loop, resolver->wake_fd);
    pthread_mutex_lock(&resolver->lock);
    resolver->is_closed = true;
    struct resolve_job *job;
    while ((job = queue_pop(&resolver->waiting)) || (job = queue_pop(&resolver->ready)))
        mem_free(job);
    close(resolver->wake_fd);
    bool is_last = resolver->threads == 0;
    pthread_cond_broadcast(&resolver->has_work);
    pthread_mutex_unlock(&resolver->lock);
    if (is_last)
        destroy(resolver);
}

/* With the lock held. Signals stay with the loop's thread. */
static bool add_thread(struct resolver *resolver)
{
    if (resolver->threads >= LIMIT_RESOLVE_THREADS)
        return false;
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attr;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool is_started = pthread_create(&thread, &attr, work, resolver) == 0;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started)
        resolver->threads++;
    return is_started;
}

struct resolve_job *resolve_start(struct resolver *resolver, const char *host, enum sock_family family, resolve_fn *fn,
                                  void *user)
{
    struct resolve_job *job = mem_alloc(sizeof *job);
    job->resolver = resolver;
    job->family = family;
    job->fn = fn;
    job->user = user;
    union sock_addr literal;
    bool is_literal = sock_parse_ip(host, &literal) == 0;
    pthread_mutex_lock(&resolver->lock);
    if (!str_copy(job->host, sizeof job->host, host)) {
        job->rc = error_set(&job->err, E_UNRESOLVED, "", "Could not resolve host: %s (the name is too long)", host);
        hand_back(resolver, job);
    } else if (is_literal) { /* needs no thread */
        job->rc = sock_resolve(host, family, &job->addr, &job->err);
        hand_back(resolver, job);
    } else if (resolver->waiting.count >= LIMIT_RESOLVE_WAITING ||
               (resolver->idle <= resolver->waiting.count && !add_thread(resolver) && resolver->threads == 0)) {
        limit_hit(LIMIT_KIND_RESOLVE);
        mem_free(job);
        job = NULL;
    } else {
        queue_push(&resolver->waiting, job);
        pthread_cond_signal(&resolver->has_work);
    }
    pthread_mutex_unlock(&resolver->lock);
    return job;
}

void resolve_cancel(struct resolve_job *job)
{
    struct resolver *resolver = job->resolver;
    pthread_mutex_lock(&resolver->lock);
    job->is_cancelled = true; /* whoever holds it next frees it: its thread, or on_ready */
    pthread_mutex_unlock(&resolver->lock);
}
