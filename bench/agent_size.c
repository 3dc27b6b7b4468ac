/*
 * What an agent takes of a small machine: starts one with a server of its own over TLS, gives it so many tests, one
 * each minute, waits until every one of them has been reported twice, and prints what its processes have in memory and
 * what it used of a core, as JSON.
 *
 * usage: agent_size_bench AGENT TESTS CERTIFICATE KEY DIR   (targets 198.18.64.1 and on; see agent_size.sh)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tests/agent/fake_server.h"
#include "base/file.h"
#include "base/mem.h"
#include "measure/type.h"

#define TESTS_MAX 2000u

static struct arena arena;

static struct field_bytes settings_of(size_t number)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    void *settings = arena_alloc(&arena, type->settings->size);
    char target[32];
    struct buf buf;
    (void)snprintf(target, sizeof target, "198.18.%zu.%zu", 64 + (number + 1) / 256, (number + 1) % 256);
    field_defaults(type->settings, settings);
    (void)field_from_text(type->settings, "server", target, settings, &arena, NULL);
    buf_init(&buf, 65536);
    field_to_cbor(type->settings, settings, &buf);
    void *bytes = arena_alloc(&arena, buf.size);
    memcpy(bytes, buf.data, buf.size);
    struct field_bytes result = {.data = bytes, .size = buf.size};
    buf_done(&buf);
    return result;
}

static void set_plan(struct fake_server *server, size_t count)
{
    struct message_test *tests = mem_alloc_array(count, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct message_test){.test_id = i + 1,
                                         .version = 1,
                                         .type = "agent-to-server",
                                         .interval_s = 60,
                                         .settings = settings_of(i)};
    struct message_plan plan = {.ipv6_policy = 1, .tests = {.items = tests, .count = count}};
    fake_server_plan(server, &plan);
    mem_free(tests);
}

static pid_t start(const char *agent, const char *url, const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        char state[300];
        (void)snprintf(state, sizeof state, "%s/state", dir);
        (void)execl(agent, agent, "--server", url, "--token", FAKE_TOKEN, "--state-dir", state, "--ca-dir", dir,
                    "--log-level", "warning", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static long figure(pid_t pid, const char *file, const char *name)
{
    char path[64];
    struct buf buf;
    long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    buf_init(&buf, 65536);
    const char *at = file_read(path, &buf, NULL) == 0 ? strstr(buf_str(&buf), name) : NULL;
    if (at)
        kib = strtol(at + strlen(name), NULL, 10);
    buf_done(&buf);
    return kib;
}

static pid_t child_of(pid_t pid)
{
    char path[64];
    struct buf buf;
    pid_t child = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    buf_init(&buf, 4096);
    if (file_read(path, &buf, NULL) == 0)
        child = (pid_t)strtol(buf_str(&buf), NULL, 10);
    buf_done(&buf);
    return child;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    size_t tests = (size_t)strtoul(argv[2], NULL, 10);
    struct buf certificate, key;
    arena_init(&arena, 64 << 20);
    buf_init(&certificate, 65536);
    buf_init(&key, 65536);
    if (tests > TESTS_MAX || file_read(argv[3], &certificate, NULL) || file_read(argv[4], &key, NULL))
        return 2;
    (void)setenv("no_proxy", "*", 1);
    struct fake_server *server = fake_server_start(buf_str(&certificate), buf_str(&key));
    set_plan(server, tests);
    time_t began = time(NULL);
    pid_t parent = start(argv[1], fake_server_url(server), argv[5]);
    const struct fake_round *rounds;
    /* Each wait gives up after a minute, and there are two of them to wait for. */
    for (int i = 0; i < 6 && fake_server_rounds(server, &rounds) < 2 * tests; i++)
        (void)fake_server_wait_rounds(server, 2 * tests);
    size_t count = fake_server_rounds(server, &rounds);
    pid_t worker = child_of(parent), helper = child_of(worker);
    struct rusage usage;
    long worker_rss = figure(worker, "status", "VmRSS:"), most = figure(worker, "status", "VmHWM:");
    long pss = figure(parent, "smaps_rollup", "\nPss:") + figure(worker, "smaps_rollup", "\nPss:") +
               figure(helper, "smaps_rollup", "\nPss:");
    long private = figure(worker, "smaps_rollup", "Private_Dirty:");
    (void)kill(parent, SIGTERM);
    (void)wait4(parent, NULL, 0, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"tests\":%zu,\"rounds\":%zu,\"seconds\":%ld,\"workerRssKib\":%ld,\"workerMostKib\":%ld,"
           "\"workerPrivateKib\":%ld,\"allPssKib\":%ld,\"cpuSeconds\":%.2f}\n",
           tests, count, (long)(time(NULL) - began), worker_rss, most, private, pss, cpu);
    fake_server_free(server);
    return count >= 2 * tests ? 0 : 1;
}
