#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"

#define LOOP_EVENTS 64
#define LOOP_SIGNALS 16
#define LOOP_TIMERS_NS (4 * CLOCK_MS) /* descriptors have their turn then */

struct watch {
    loop_fd_fn *fn; /* NULL = free */
    void *user;
    uint32_t generation;
};

struct loop {
    int epoll_fd, timer_fd, signal_fd, wake_fd;
    struct watch *watches; /* by descriptor */
    size_t watch_room;
    struct loop_timer **heap; /* 1-based */
    size_t heap_count, heap_room;
    int64_t armed_ns; /* what timer_fd is set to; 0 = off */
    struct {
        int signo;
        loop_signal_fn *fn;
        void *user;
    } signals[LOOP_SIGNALS];
    size_t signal_count;
    sigset_t signal_set;
    loop_fn *wake_fn;
    void *wake_user;
    bool is_stopping;
    struct loop_counts counts;
};

int64_t loop_now_ns(const struct loop *loop)
{
    (void)loop;
    return clock_mono_ns(&clock_real);
}

/* --- timers: a binary heap ordered by due_ns ------------------------------------------------------------------ */

static void heap_place(struct loop *loop, struct loop_timer *timer, size_t at)
{
    loop->heap[at] = timer;
    timer->position = at;
}

static void heap_up(struct loop *loop, struct loop_timer *timer, size_t at)
{
    while (at > 1 && loop->heap[at / 2]->due_ns > timer->due_ns) {
        heap_place(loop, loop->heap[at / 2], at);
        at /= 2;
    }
    heap_place(loop, timer, at);
}

static void heap_down(struct loop *loop, struct loop_timer *timer, size_t at)
{
    for (;;) {
        size_t child = at * 2;
        if (child > loop->heap_count)
            break;
        if (child < loop->heap_count && loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns)
            child++;
        if (loop->heap[child]->due_ns >= timer->due_ns)
            break;
        heap_place(loop, loop->heap[child], at);
        at = child;
    }
    heap_place(loop, timer, at);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    size_t at = timer->position;
    if (at == 0)
        return;
    assert(at <= loop->heap_count && loop->heap[at] == timer);
    timer->position = 0;
    struct loop_timer *last = loop->heap[loop->heap_count--];
    if (last == timer)
        return;
    if (at > 1 && loop->heap[at / 2]->due_ns > last->due_ns)
        heap_up(loop, last, at);
    else
        heap_down(loop, last, at);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_mono_ns)
{
    assert(timer->fn);
    loop_timer_stop(loop, timer);
    assert(loop->heap_count < LIMIT_LOOP_TIMERS);
    if (loop->heap_count + 1 >= loop->heap_room) {
        size_t room = loop->heap_room ? loop->heap_room * 2 : 64;
        loop->heap = mem_resize(loop->heap, loop->heap_room * sizeof(void *), room * sizeof(void *));
        loop->heap_room = room;
    }
    timer->due_ns = due_mono_ns > 0 ? due_mono_ns : 1;
    heap_up(loop, timer, ++loop->heap_count);
}

static void arm(struct loop *loop, int64_t due_ns)
{
    if (due_ns == loop->armed_ns)
        return;
    struct itimerspec spec = {.it_value = {.tv_sec = due_ns / CLOCK_S, .tv_nsec = due_ns % CLOCK_S}};
    (void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    loop->armed_ns = due_ns;
}

/* Only timers that were due when we began: one that restarts itself at once cannot starve the descriptors. Nor can ten
 * thousand that are due together: the rest runs in the next steps. */
static void run_timers(struct loop *loop)
{
    int64_t start = loop_now_ns(loop), now = start;
    while (loop->heap_count > 0 && loop->heap[1]->due_ns <= start && now - start < LOOP_TIMERS_NS && !loop->is_stopping) {
        struct loop_timer *timer = loop->heap[1];
        loop_timer_stop(loop, timer);
        timer->fn(timer->user);
        now = loop_now_ns(loop);
    }
}

/* --- descriptors ------------------------------------------------------------------------------------------------ */

static uint32_t epoll_events(unsigned events)
{
    return (events & LOOP_READ ? EPOLLIN : 0u) | (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

static uint64_t event_key(int fd, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint32_t)fd;
}

int loop_add(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *user, struct error *err)
{
    assert(fd >= 0 && fn);
    size_t need = (size_t)fd + 1;
    if (need > loop->watch_room) {
        size_t room = loop->watch_room ? loop->watch_room : 64;
        while (room < need)
            room *= 2;
        loop->watches =
            mem_resize(loop->watches, loop->watch_room * sizeof *loop->watches, room * sizeof *loop->watches);
        loop->watch_room = room;
    }
    struct watch *watch = &loop->watches[fd];
    watch->generation++;
    struct epoll_event event = {.events = epoll_events(events), .data.u64 = event_key(fd, watch->generation)};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return error_sys(err, errno, "", "cannot watch descriptor %d", fd);
    watch->fn = fn;
    watch->user = user;
    return 0;
}

int loop_change(struct loop *loop, int fd, unsigned events)
{
    assert(fd >= 0 && (size_t)fd < loop->watch_room && loop->watches[fd].fn);
    struct epoll_event event = {.events = epoll_events(events),
                                .data.u64 = event_key(fd, loop->watches[fd].generation)};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : error_sys(NULL, errno, "", "epoll");
}

void loop_remove(struct loop *loop, int fd)
{
    if (fd < 0 || (size_t)fd >= loop->watch_room || !loop->watches[fd].fn)
        return;
    loop->watches[fd].fn = NULL;
    loop->watches[fd].generation++;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    uint32_t generation = (uint32_t)(event->data.u64 >> 32);
    struct watch *watch = &loop->watches[fd];
    if (!watch->fn || watch->generation != generation)
        return; /* removed, or the number reused, by an earlier callback of this step */
    unsigned events = (event->events & EPOLLIN ? LOOP_READ : 0u) | (event->events & EPOLLOUT ? LOOP_WRITE : 0u) |
                      (event->events & (EPOLLERR | EPOLLHUP) ? LOOP_HANGUP : 0u);
    watch->fn(watch->user, fd, events);
}

/* Nobody reads the count: epoll tells of each expiry once, and setting the timer anew clears it. */
static void on_timer_fd(void *user, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    struct loop *loop = user;
    loop->armed_ns = 0; /* the timers themselves run at the end of the step */
}

static int watch_timer(struct loop *loop, struct error *err)
{
    int rc = loop_add(loop, loop->timer_fd, LOOP_READ, on_timer_fd, loop, err);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (rc)
        return rc;
    event.data.u64 = event_key(loop->timer_fd, loop->watches[loop->timer_fd].generation);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, loop->timer_fd, &event) != 0)
        return error_sys(err, errno, "", "cannot watch the timer");
    return 0;
}

static void on_wake_fd(void *user, int fd, unsigned events)
{
    (void)events;
    struct loop *loop = user;
    uint64_t count;
    if (read(fd, &count, sizeof count) == sizeof count && loop->wake_fn)
        loop->wake_fn(loop->wake_user);
}

static void on_signal_fd(void *user, int fd, unsigned events)
{
    (void)events;
    struct loop *loop = user;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info) {
        for (size_t i = 0; i < loop->signal_count; i++) {
            if (loop->signals[i].signo == (int)info.ssi_signo)
                loop->signals[i].fn(loop->signals[i].user, (int)info.ssi_signo);
        }
    }
}

bool loop_is_nohup(void)
{
    struct sigaction action;
    return sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int loop_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *user, struct error *err)
{
    assert(loop->signal_count < LOOP_SIGNALS);
    if (signo == SIGHUP && loop_is_nohup())
        return 0;
    (void)sigaddset(&loop->signal_set, signo);
    sigset_t one;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signo);
    (void)sigprocmask(SIG_BLOCK, &one, NULL);
    int fd = signalfd(loop->signal_fd, &loop->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, "", "signalfd");
    if (loop->signal_fd < 0) {
        loop->signal_fd = fd;
        int rc = loop_add(loop, fd, LOOP_READ, on_signal_fd, loop, err);
        if (rc)
            return rc;
    }
    loop->signals[loop->signal_count].signo = signo;
    loop->signals[loop->signal_count].fn = fn;
    loop->signals[loop->signal_count++].user = user;
    return 0;
}

void loop_on_wake(struct loop *loop, loop_fn *fn, void *user)
{
    loop->wake_fn = fn;
    loop->wake_user = user;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    if (write(loop->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: a wake-up is pending anyway */
}

static void count_step(struct loop *loop, int64_t took_ns)
{
    struct loop_counts *counts = &loop->counts;
    counts->steps++;
    counts->busy_ns += (uint64_t)took_ns;
    counts->slow += took_ns > LOOP_SLOW_NS;
    if ((uint64_t)took_ns > counts->longest_ns)
        counts->longest_ns = (uint64_t)took_ns;
}

int loop_step(struct loop *loop, int64_t timeout_ns)
{
    int64_t now = loop_now_ns(loop);
    int64_t until = timeout_ns < 0 ? 0 : now + timeout_ns;
    int64_t due = loop->heap_count > 0 ? loop->heap[1]->due_ns : 0;
    int wait_ms = -1;
    if (timeout_ns == 0 || (due && due <= now)) {
        wait_ms = 0;
    } else if (until && (!due || until < due)) {
        arm(loop, until);
    } else {
        arm(loop, due); /* 0 disarms */
    }
    struct epoll_event events[LOOP_EVENTS];
    int n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, wait_ms);
    if (n < 0 && errno != EINTR)
        return error_sys(NULL, errno, "", "epoll_wait");
    int64_t start = loop_now_ns(loop);
    for (int i = 0; i < n && !loop->is_stopping; i++)
        dispatch(loop, &events[i]);
    run_timers(loop);
    count_step(loop, loop_now_ns(loop) - start);
    return 0;
}

const struct loop_counts *loop_counts(const struct loop *loop)
{
    return &loop->counts;
}

int loop_run(struct loop *loop)
{
    loop->is_stopping = false;
    while (!loop->is_stopping) {
        int rc = loop_step(loop, -1);
        if (rc)
            return rc;
    }
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

int loop_new(struct loop **ret_loop, struct error *err)
{
    struct loop *loop = mem_alloc(sizeof *loop);
    loop->signal_fd = -1;
    (void)sigemptyset(&loop->signal_set);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = 0;
    if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->wake_fd < 0)
        rc = error_sys(err, errno, "", "cannot make an event loop");
    if (!rc)
        rc = watch_timer(loop, err);
    if (!rc)
        rc = loop_add(loop, loop->wake_fd, LOOP_READ, on_wake_fd, loop, err);
    if (rc) {
        loop_free(loop);
        return rc;
    }
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    for (size_t i = 1; i <= loop->heap_count; i++)
        loop->heap[i]->position = 0;
    int fds[] = {loop->epoll_fd, loop->timer_fd, loop->wake_fd, loop->signal_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    mem_free(loop->watches);
    mem_free(loop->heap);
    mem_free(loop);
}
