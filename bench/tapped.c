/*
 * The truth about a prober's round trip times: runs a command and captures on the interface its echoes leave by. The
 * kernel stamps what the capture sees, so that it does not matter when the capture itself comes to run.
 *
 *     tapped_bench INTERFACE CPU FILE COMMAND...
 *
 * The command runs on that core with FILE as its output; afterwards one line for each echo request that left, in their
 * order: number from 0, round trip time in us ("-" = no answer).
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "tap.h"

#define LINGER_NS (500 * CLOCK_MS) /* for answers under way */

struct tapped {
    struct loop *loop;
    struct loop_timer timer;
    struct tap *tap;
    pid_t pid;
    bool has_ended;
};

static void look(void *user)
{
    struct tapped *self = user;
    tap_read(self->tap);
    if (self->has_ended) {
        loop_stop(self->loop);
        return;
    }
    self->has_ended = waitpid(self->pid, NULL, WNOHANG) == self->pid;
    loop_timer_start(self->loop, &self->timer, loop_now_ns(self->loop) + (self->has_ended ? LINGER_NS : 50 * CLOCK_MS));
}

static void become(int64_t cpu, const char *output, char **command)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    (void)execvp(command[0], command);
    _exit(127);
}

int main(int argc, char **argv)
{
    struct tapped self = {0};
    struct error err = {0};
    int64_t cpu;
    if (argc < 5 || str_to_i64(argv[2], 0, CPU_SETSIZE - 1, &cpu) != 0) {
        (void)fprintf(stderr, "usage: tapped_bench INTERFACE CPU FILE COMMAND...\n");
        return 2;
    }
    if (loop_new(&self.loop, &err) || tap_open(argv[1], &self.tap, &err)) {
        char text[600];
        (void)fprintf(stderr, "%s\n", error_format(&err, text, sizeof text));
        return 1;
    }
    self.pid = fork();
    if (self.pid == 0)
        become(cpu, argv[3], argv + 4);
    (void)setpriority(PRIO_PROCESS, 0, -10);
    self.timer.fn = look;
    self.timer.user = &self;
    look(&self);
    (void)loop_run(self.loop);
    for (size_t i = 0; i < tap_count(self.tap); i++) {
        int64_t rtt_ns = tap_rtt_ns(self.tap, i);
        if (rtt_ns >= 0)
            (void)printf("%zu %.3f\n", i, (double)rtt_ns / 1e3);
        else
            (void)printf("%zu -\n", i);
    }
    tap_close(self.tap);
    loop_free(self.loop);
    return 0;
}
