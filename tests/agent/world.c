#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/spool.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "measure/type.h"
#include "probe/open.h"

const char *program;

/* --- the agent as a process --------------------------------------------------------------------------------------- */

static void exec_agent(const struct world *world)
{
    const char *url = world->url ? world->url : fake_server_url(world->server);
    const char *argv[17 + WORLD_EXTRA] = {program,      "--server",  url,  "--token",      FAKE_TOKEN,
                                          "--state-dir", world->state, "--name", "Check", "--country",
                                          "NL",          "--latitude", "52.37", "--longitude=4.9", "--log-level=debug",
                                          "--sandbox=strict"};
    for (size_t i = 0; i < WORLD_EXTRA && *world->extra[i]; i++)
        argv[16 + i] = world->extra[i];
    (void)execv(program, (char *const *)(uintptr_t)argv);
}

void start_agent(struct world *world)
{
    world->pid = fork();
    assert_true(world->pid >= 0);
    if (world->pid == 0) {
        (void)setpgid(0, 0);
        if (world->file_ceiling) {
            struct rlimit limit = {.rlim_cur = world->file_ceiling, .rlim_max = world->file_ceiling};
            (void)setrlimit(RLIMIT_FSIZE, &limit);
            (void)signal(SIGXFSZ, SIG_IGN);
        }
        int fd = open(world->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        (void)dup2(fd, STDERR_FILENO);
        (void)dup2(fd, STDOUT_FILENO);
        exec_agent(world);
        _exit(127);
    }
    (void)setpgid(world->pid, world->pid);
}

/* Takes every process of the agent away, and waits until they are gone. */
int reap(struct world *world)
{
    int status = -1, one;
    pid_t pid;
    while ((pid = waitpid(-world->pid, &one, 0)) > 0 || (pid < 0 && errno == EINTR)) {
        if (pid == world->pid)
            status = one;
    }
    world->pid = 0;
    return status;
}

void kill_agent(struct world *world)
{
    assert_int_equal(kill(-world->pid, SIGKILL), 0);
    (void)reap(world);
}

int stop_agent(struct world *world)
{
    assert_int_equal(kill(world->pid, SIGTERM), 0);
    int status = reap(world);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *read_text(struct world *world, const char *path)
{
    struct buf buf;
    buf_init(&buf, 4 << 20);
    char *text =
        file_read(path, &buf, NULL) ? arena_strdup(&world->arena, "") : arena_strdup(&world->arena, buf_str(&buf));
    buf_done(&buf);
    return text;
}

size_t count_text(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        count++;
    return count;
}

/* Until the file holds the text. */
void wait_text(struct world *world, const char *path, const char *what)
{
    for (int waited = 0; waited < WAIT_MS; waited += STEP_MS) {
        if (strstr(read_text(world, path), what))
            return;
        arena_reset(&world->arena);
        (void)poll(NULL, 0, STEP_MS);
    }
    fail_msg("\"%s\" never appeared in %s:\n%s", what, path, read_text(world, path));
}

char *status_path(struct world *world)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/status", world->state);
    return path;
}

static uint64_t spool_size(const struct world *world)
{
    char path[160];
    uint64_t size = 0;
    (void)snprintf(path, sizeof path, "%s/spool", world->state);
    DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        struct stat st;
        if (strstr(entry->d_name, ".seg") && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            size += (uint64_t)st.st_size;
    }
    if (dir)
        (void)closedir(dir);
    return size;
}

/* Until the agent has put so many rounds into its spool from now on. */
void wait_spooled(struct world *world, int rounds)
{
    uint64_t size = spool_size(world);
    for (int waited = 0; rounds > 0 && waited < WAIT_MS; waited += STEP_MS) {
        uint64_t now = spool_size(world);
        rounds -= now > size;
        size = now;
        (void)poll(NULL, 0, STEP_MS);
    }
    assert_true(rounds <= 0);
}

static bool keep_id(void *user, const struct record *record)
{
    struct kept *kept = user;
    kept->ids[kept->count++] = record->round_id;
    return true;
}

/* What a dead agent left behind. */
void read_spool(const struct world *world, struct kept *kept)
{
    char path[160];
    struct spool *spool;
    struct spool_options options = {0};
    struct spool_mark mark;
    (void)snprintf(path, sizeof path, "%s/spool", world->state);
    kept->count = 0;
    assert_int_equal(spool_open(path, &options, &spool, NULL), 0);
    (void)spool_read(spool, keep_id, kept, &mark);
    spool_close(spool);
}

/* --- plans -------------------------------------------------------------------------------------------------------- */

struct field_bytes settings_of(struct world *world, const char *server)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    void *settings = arena_alloc(&world->arena, type->settings->size);
    field_defaults(type->settings, settings);
    assert_int_equal(field_from_text(type->settings, "server", server, settings, &world->arena, NULL), 0);
    assert_int_equal(field_from_text(type->settings, "protocol", "icmp", settings, &world->arena, NULL), 0);
    assert_int_equal(field_from_text(type->settings, "numPathTraces", "1", settings, &world->arena, NULL), 0);
    struct buf buf;
    buf_init(&buf, 65536);
    field_to_cbor(type->settings, settings, &buf);
    void *bytes = arena_alloc(&world->arena, buf.size);
    memcpy(bytes, buf.data, buf.size);
    struct field_bytes result = {.data = bytes, .size = buf.size};
    buf_done(&buf);
    return result;
}

void set_plan(struct world *world, const struct message_test *tests, size_t test_count,
                     const struct message_run *runs, size_t run_count)
{
    struct message_plan plan = {.ipv6_policy = 1,
                                .tests = {.items = (void *)(uintptr_t)tests, .count = test_count},
                                .runs = {.items = (void *)(uintptr_t)runs, .count = run_count}};
    fake_server_plan(world->server, &plan);
}

/* count tests of one interval, numbered from 1. */
void set_tests(struct world *world, size_t count, int32_t interval_s)
{
    struct message_test tests[16];
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct message_test){.test_id = i + 1,
                                         .version = 7,
                                         .type = "agent-to-server",
                                         .interval_s = interval_s,
                                         .settings = settings_of(world, "127.0.0.1")};
    set_plan(world, tests, count, NULL, 0);
}

void set_continuous(struct world *world, int32_t interval_s)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    struct field_bytes bytes = settings_of(world, "127.0.0.1");
    void *settings = arena_alloc(&world->arena, type->settings->size);
    struct buf buf;
    buf_init(&buf, 65536);
    assert_int_equal(field_from_cbor(type->settings, bytes.data, bytes.size, settings, &world->arena, NULL), 0);
    assert_int_equal(field_from_text(type->settings, "continuousMode", "true", settings, &world->arena, NULL), 0);
    field_to_cbor(type->settings, settings, &buf);
    struct message_test test = {.test_id = 1,
                                .version = 7,
                                .type = "agent-to-server",
                                .interval_s = interval_s,
                                .settings = {.data = buf.data, .size = buf.size}};
    set_plan(world, &test, 1, NULL, 0);
    buf_done(&buf);
}

/* Each round of the test once, and without a gap. Returns how many. */
size_t check_contiguous(struct world *world, uint64_t test_id, int64_t interval_s)
{
    const struct fake_round *rounds;
    size_t total = fake_server_rounds(world->server, &rounds), count = 0;
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = 0; i < total; i++) {
        if (rounds[i].test_id != test_id || rounds[i].run_id)
            continue;
        count++;
        low = rounds[i].round_id < low ? rounds[i].round_id : low;
        high = rounds[i].round_id > high ? rounds[i].round_id : high;
        assert_int_equal(rounds[i].round_id % interval_s, 0);
        for (size_t j = 0; j < i; j++) /* the fake commits each once; a second one would be counted as duplicate */
            assert_false(rounds[j].test_id == test_id && rounds[j].round_id == rounds[i].round_id);
    }
    if (count > 0 && (high - low) / interval_s + 1 != (int64_t)count)
        fail_msg("test %d: %zu rounds between %lld and %lld, every %lld s:\n%s", (int)test_id, count, (long long)low,
                 (long long)high, (long long)interval_s, read_text(world, world->log));
    return count;
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

bool may_open_raw_sockets(void)
{
    struct probe_sockets sockets;
    struct error err;
    if (probe_open(NULL, 0, &sockets, &err) == 0) {
        probe_close(&sockets);
        return true;
    }
    print_message("# raw sockets: %s\n", err.text);
    return false;
}

int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    strcpy(world->dir, "/tmp/agent-check-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    (void)snprintf(world->state, sizeof world->state, "%s/state", world->dir);
    (void)snprintf(world->log, sizeof world->log, "%s/log", world->dir);
    arena_init(&world->arena, 64 << 20);
    world->server = fake_server_start(NULL, NULL);
    *state = world;
    return 0;
}

void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char inner[400];
        if (str_equal(entry->d_name, ".") || str_equal(entry->d_name, ".."))
            continue;
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

void add_option(struct world *world, const char *format, ...)
{
    va_list args;
    size_t i = 0;
    while (*world->extra[i])
        i++;
    assert_true(i < WORLD_EXTRA - 1);
    va_start(args, format);
    (void)vsnprintf(world->extra[i], sizeof world->extra[i], format, args);
    va_end(args);
}

int teardown(void **state)
{
    struct world *world = *state;
    if (world->pid > 0)
        kill_agent(world);
    fake_server_free(world->server);
    arena_done(&world->arena);
    remove_tree(world->dir);
    mem_free(world);
    return 0;
}

pid_t worker_of(const struct world *world)
{
    char path[64];
    struct buf buf;
    int64_t pid = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)world->pid, (int)world->pid);
    buf_init(&buf, 4096);
    if (file_read(path, &buf, NULL) == 0)
        pid = strtol(buf_str(&buf), NULL, 10);
    buf_done(&buf);
    return (pid_t)pid;
}

/* A certificate for 127.0.0.1, made now: nothing that could expire lies in the tree. */
bool make_certificate(struct world *world, const char *name)
{
    char command[600];
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=check "
                   "-addext subjectAltName=IP:127.0.0.1 -keyout %s/%s.key -out %s/%s.pem >/dev/null 2>&1",
                   world->dir, name, world->dir, name);
    return system(command) == 0;
}

const char *certificate_text(struct world *world, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", world->dir, name);
    return read_text(world, path);
}
