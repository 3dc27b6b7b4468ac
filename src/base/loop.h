/*
 * Event loop of one thread: epoll for descriptors, one absolute timerfd under a heap for timers, a signalfd for
 * signals, an eventfd to be woken from other threads. Callbacks run on the loop's thread and may add, change or
 * remove anything, themselves included. Descriptors and timers belong to the caller; the loop only watches them.
 */
#ifndef OCULI_BASE_LOOP_H
#define OCULI_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct loop;

#define LOOP_READ 1u
#define LOOP_WRITE 2u
#define LOOP_HANGUP 4u /* reported, never asked for: error or peer gone */

typedef void loop_fd_fn(void *user, int fd, unsigned events);
typedef void loop_fn(void *user);
typedef void loop_signal_fn(void *user, int signo);

/* A timer lives in the caller's struct; zero it, set fn and user, then start. */
struct loop_timer {
    loop_fn *fn;
    void *user;
    int64_t due_ns;  /* monotonic */
    size_t position; /* the loop's; 0 = not armed */
};

int loop_new(struct loop **ret_loop, struct error *err);
void loop_free(struct loop *loop);

int loop_add(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *user, struct error *err);
int loop_change(struct loop *loop, int fd, unsigned events);
void loop_remove(struct loop *loop, int fd); /* before closing fd; unknown fds are ignored */

/* Starts or moves a timer; it fires once. Due times in the past fire in the next step. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_mono_ns);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_armed(const struct loop_timer *timer)
{
    return timer->position != 0;
}

/* Blocks signo for the process and delivers it here; at most 16 signals. SIGHUP that was ignored when the program
 * started stays ignored: that is what nohup(1) is for. */
int loop_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *user, struct error *err);
bool loop_is_nohup(void);

/* fn runs on the loop's thread after any loop_wake, which is safe from other threads and from signal handlers. */
void loop_on_wake(struct loop *loop, loop_fn *fn, void *user);
void loop_wake(struct loop *loop);

/* Runs until loop_stop; loop_step handles what is ready, waiting at most timeout_ns (-1 = for ever). */
int loop_run(struct loop *loop);
int loop_step(struct loop *loop, int64_t timeout_ns);
void loop_stop(struct loop *loop);

/* How long callbacks kept others waiting: a step is all that was ready at once. */
struct loop_counts {
    uint64_t steps, busy_ns;
    uint64_t slow;       /* steps of more than LOOP_SLOW_NS */
    uint64_t longest_ns; /* of all steps */
};
#define LOOP_SLOW_NS (10 * INT64_C(1000000))
const struct loop_counts *loop_counts(const struct loop *loop);

int64_t loop_now_ns(const struct loop *loop); /* monotonic, read afresh */

#endif
