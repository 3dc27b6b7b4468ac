/*
 * Runs a command and tells what it cost: CPU time of the command and of everything it started, wall time, memory, the
 * packets of an interface, and how busy the rest of the machine was meanwhile.
 *
 *     spend_bench [options] -- COMMAND...
 *
 * Options: --repeat N       runs it N times and tells the run with the least CPU time (1)
 *          --cpu N          on this core only
 *          --interface IF   counts its packets (of the network namespace we are in)
 *          --output FILE    what the last run printed (default: nowhere)
 *          --timeout S      a run that takes longer is ended (120)
 * The command runs at a better priority than ordinary work, so that a busy machine disturbs it less.
 * Prints `wall_s=… cpu_s=… user_s=… rss_kb=… tx=… rx=… others=… status=…`, to be read by a shell; `others` is the share of
 * one core that everybody else took, in percent. Time that a core spent on answering packets within our system calls is
 * ours: the same for every command.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

struct options {
    uint64_t repeat, timeout_s;
    int64_t cpu; /* -1 = any */
    const char *interface, *output;
    char **command;
};

struct counters {
    double cpu_s, user_s, busy_s; /* of our children; of the machine */
    uint64_t tx, rx;
    int64_t at_ns;
};

struct cost {
    double wall_s, cpu_s, user_s, others;
    uint64_t tx, rx;
    long rss_kb;
    int status;
};

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* What all cores did, idling and waiting left out. */
static double machine_busy_s(void)
{
    unsigned long long v[8] = {0};
    FILE *file = fopen("/proc/stat", "r");
    if (!file)
        return 0;
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
               &v[7]) != 8)
        v[0] = 0;
    (void)fclose(file);
    return (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / (double)sysconf(_SC_CLK_TCK);
}

static void read_interface(const char *name, struct counters *counters)
{
    char line[512];
    FILE *file = name ? fopen("/proc/net/dev", "r") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long long f[10];
        char *colon = strchr(line, ':');
        char *start = line + strspn(line, " ");
        if (!colon)
            continue;
        *colon = '\0';
        if (strcmp(start, name) == 0 &&
            sscanf(colon + 1, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", &f[0], &f[1], &f[2], &f[3], &f[4],
                   &f[5], &f[6], &f[7], &f[8], &f[9]) == 10) {
            counters->rx = f[1];
            counters->tx = f[9];
        }
    }
    if (file)
        (void)fclose(file);
}

static void read_counters(const struct options *options, struct counters *ret)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    *ret = (struct counters){.user_s = seconds(usage.ru_utime),
                             .cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime),
                             .busy_s = machine_busy_s(),
                             .at_ns = clock_mono_ns(&clock_real)};
    read_interface(options->interface, ret);
}

static void become(const struct options *options)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (options->cpu >= 0) {
        CPU_SET((size_t)options->cpu, &set);
        (void)sched_setaffinity(0, sizeof set, &set);
    }
    (void)setpgid(0, 0);
    (void)setpriority(PRIO_PROCESS, 0, -10);
    int fd = open(options->output ? options->output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    (void)execvp(options->command[0], options->command);
    _exit(127);
}

static volatile pid_t running;

static void on_alarm(int signo)
{
    (void)signo;
    (void)kill(-running, SIGKILL);
}

/* Waits for the command and for what it left behind: those become our children. */
static long await_all(int *ret_status)
{
    long rss_kb = 0;
    for (;;) {
        struct rusage usage;
        int status;
        pid_t pid = wait4(-1, &status, 0, &usage);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return rss_kb;
        if (usage.ru_maxrss > rss_kb)
            rss_kb = usage.ru_maxrss;
        if (pid == running)
            *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

static void run_once(const struct options *options, struct cost *ret)
{
    struct counters before, after;
    *ret = (struct cost){0};
    read_counters(options, &before);
    running = fork();
    if (running == 0)
        become(options);
    (void)alarm((unsigned)options->timeout_s);
    ret->rss_kb = await_all(&ret->status);
    (void)alarm(0);
    read_counters(options, &after);
    ret->wall_s = (double)(after.at_ns - before.at_ns) / 1e9;
    ret->cpu_s = after.cpu_s - before.cpu_s;
    ret->user_s = after.user_s - before.user_s;
    double others_s = after.busy_s - before.busy_s - ret->cpu_s;
    ret->others = others_s > 0 ? 100 * others_s / ret->wall_s : 0;
    ret->tx = after.tx - before.tx;
    ret->rx = after.rx - before.rx;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: spend_bench [--repeat N] [--cpu N] [--interface IF] [--output FILE] [--timeout S] "
                          "-- COMMAND...\n");
    return 2;
}

static int read_options(struct options *options, int argc, char **argv)
{
    int i = 1;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        int rc = 0;
        if (strcmp(argv[i], "--repeat") == 0)
            rc = str_to_u64(argv[i + 1], 1000, &options->repeat);
        else if (strcmp(argv[i], "--cpu") == 0)
            rc = str_to_i64(argv[i + 1], 0, CPU_SETSIZE - 1, &options->cpu);
        else if (strcmp(argv[i], "--timeout") == 0)
            rc = str_to_u64(argv[i + 1], 3600, &options->timeout_s);
        else if (strcmp(argv[i], "--interface") == 0)
            options->interface = argv[i + 1];
        else if (strcmp(argv[i], "--output") == 0)
            options->output = argv[i + 1];
        else
            return usage();
        if (rc)
            return usage();
    }
    if (i + 1 >= argc)
        return usage();
    options->command = argv + i + 1;
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.repeat = 1, .timeout_s = 120, .cpu = -1};
    struct sigaction action = {.sa_handler = on_alarm};
    struct cost best = {0}, cost;
    int rc = read_options(&options, argc, argv);
    if (rc)
        return rc;
    (void)sigaction(SIGALRM, &action, NULL);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (uint64_t i = 0; i < options.repeat; i++) {
        run_once(&options, &cost);
        if (i == 0 || cost.cpu_s < best.cpu_s)
            best = cost;
    }
    (void)printf("wall_s=%.4f cpu_s=%.4f user_s=%.4f rss_kb=%ld tx=%llu rx=%llu others=%.0f status=%d\n", best.wall_s,
                 best.cpu_s, best.user_s, best.rss_kb, (unsigned long long)best.tx, (unsigned long long)best.rx,
                 best.others, best.status);
    return 0;
}
