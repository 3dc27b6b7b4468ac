#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

const char *harness_obstacle(void)
{
    if (geteuid() != 0)
        return "needs root";
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return "there is no /dev/net/tun";
    close(fd);
    return NULL;
}

int harness_skip(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    return 0;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

struct stream {
    int fd;
    char *text;
    size_t size, room;
};

static void take(struct stream *stream)
{
    if (stream->room - stream->size < 4096) {
        size_t room = stream->room * 2 + 8192;
        stream->text = mem_resize(stream->text, stream->room, room);
        stream->room = room;
    }
    ssize_t got = read(stream->fd, stream->text + stream->size, stream->room - stream->size - 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        close(stream->fd);
        stream->fd = -1;
        return;
    }
    stream->size += (size_t)got;
}

static pid_t start(const char *const *argv, struct stream *out, struct stream *err)
{
    int out_pipe[2], err_pipe[2];
    assert_int_equal(pipe2(out_pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err_pipe, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDONLY);
        dup2(nothing, 0);
        dup2(out_pipe[1], 1);
        dup2(err_pipe[1], 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(out_pipe[1]);
    close(err_pipe[1]);
    *out = (struct stream){.fd = out_pipe[0]};
    *err = (struct stream){.fd = err_pipe[0]};
    return pid;
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct harness_output harness_run(const char *const *argv, int timeout_s, int interrupt_ms)
{
    struct stream out, err;
    pid_t pid = start(argv, &out, &err);
    int64_t begin = clock_mono_ns(&clock_real), deadline = begin + timeout_s * CLOCK_S;
    int64_t interrupt = interrupt_ms > 0 ? begin + interrupt_ms * CLOCK_MS : INT64_MAX;
    while (out.fd >= 0 || err.fd >= 0) {
        int64_t now = clock_mono_ns(&clock_real);
        if (now >= interrupt) {
            kill(pid, SIGINT);
            interrupt = INT64_MAX;
        }
        if (now >= deadline) {
            kill(pid, SIGKILL);
            (void)wait_for(pid);
            fail_msg("%s ran longer than %d s: %s", argv[0], timeout_s, err.text ? err.text : "");
        }
        int64_t until = interrupt < deadline ? interrupt : deadline;
        struct pollfd fds[2] = {{.fd = out.fd, .events = POLLIN}, {.fd = err.fd, .events = POLLIN}};
        poll(fds, 2, (int)((until - now) / CLOCK_MS) + 1);
        if (out.fd >= 0 && fds[0].revents)
            take(&out);
        if (err.fd >= 0 && fds[1].revents)
            take(&err);
    }
    return (struct harness_output){.status = wait_for(pid),
                                   .out = out.text ? out.text : mem_strdup(""),
                                   .err = err.text ? err.text : mem_strdup("")};
}

void harness_free(struct harness_output *output)
{
    mem_free(output->out);
    mem_free(output->err);
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

json_t *harness_json(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("not JSON, line %d: %s: %s", error.line, error.text, text);
    return json;
}

json_t *harness_at(json_t *json, const char *path)
{
    while (json && *path) {
        char name[64];
        size_t length = strcspn(path, ".[");
        if (length > 0) {
            assert_true(length < sizeof name);
            memcpy(name, path, length);
            name[length] = 0;
            json = json_object_get(json, name);
            path += length;
        } else if (*path == '[') {
            json = json_array_get(json, (size_t)strtoul(path + 1, NULL, 10));
            path += strcspn(path, "]") + 1;
        }
        path += *path == '.';
    }
    return json;
}

double harness_number(json_t *json, const char *path)
{
    json_t *value = harness_at(json, path);
    if (!json_is_number(value))
        fail_msg("%s is not a number", path);
    return json_number_value(value);
}

const char *harness_string(json_t *json, const char *path)
{
    json_t *value = harness_at(json, path);
    if (!json_is_string(value))
        fail_msg("%s is not a string", path);
    return json_string_value(value);
}
