#include "agent/pac.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define PAC_LIBRARY "libpacparser.so.1"
#define PAC_URL_BYTES 4096
#define PAC_CONTROL 100 /* descriptor of the helper's socket, clear of the standard ones */
#define PAC_SPARE_NS (2 * CLOCK_S) /* the kernel's alarm comes first; this is for a machine that stands still */

/* Answers of an evaluating process: one of these letters, then text. */
#define ANSWER_FOUND 'f'
#define ANSWER_INVALID 'i'
#define ANSWER_MISSING 'm'

struct pac {
    int control; /* descriptors for evaluating processes go to the helper here */
    pid_t helper;
};

struct question {
    uint32_t url_size, host_size, script_size; /* with their NULs */
};

/* --- the evaluating process --------------------------------------------------------------------------------------- */

static char complaint[300];

/* libpacparser tells what is wrong with a script through this. */
static int keep_complaint(const char *format, va_list args)
{
    size_t used = strlen(complaint);
    return vsnprintf(complaint + used, sizeof complaint - used, format, args);
}

static void say(int fd, char kind, const char *text)
{
    char answer[PAC_ANSWER_BYTES];
    int length = snprintf(answer, sizeof answer, "%c%s", kind, text);
    size_t size = (size_t)length < sizeof answer ? (size_t)length : sizeof answer - 1;
    ssize_t written = write(fd, answer, size);
    (void)written; /* nobody listens any more: then nobody needs it */
}

static bool read_all(int fd, void *to, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = read(fd, (char *)to + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

static void limit(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit limits = {.rlim_cur = most, .rlim_max = most};
    (void)setrlimit(resource, &limits);
}

/* Beyond what the process has already: it is a copy of the agent. */
static void limit_memory(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    if (pages)
        limit(RLIMIT_AS, (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + PAC_MEMORY_BYTES);
}

struct library {
    int (*init)(void);
    int (*parse)(const char *script);
    char *(*find)(const char *url, const char *host);
    void (*set_printer)(int (*printer)(const char *format, va_list args));
};

/* POSIX has it that a function's address fits a pointer to an object; C has no word for that but a copy. */
static bool find_symbol(void *handle, const char *name, void *ret_function)
{
    void *symbol = dlsym(handle, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool load_library(struct library *ret_library)
{
    void *handle = dlopen(PAC_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    return handle && find_symbol(handle, "pacparser_init", &ret_library->init) &&
           find_symbol(handle, "pacparser_parse_pac_string", &ret_library->parse) &&
           find_symbol(handle, "pacparser_find_proxy", &ret_library->find) &&
           find_symbol(handle, "pacparser_set_error_printer", &ret_library->set_printer);
}

static void evaluate(int fd)
{
    struct question question;
    struct library library;
    if (!read_all(fd, &question, sizeof question) || question.url_size > PAC_URL_BYTES ||
        question.host_size > PAC_URL_BYTES || question.script_size > PAC_SCRIPT_BYTES + 1)
        return;
    size_t size = (size_t)question.url_size + question.host_size + question.script_size;
    char *text = mem_alloc(size);
    if (!read_all(fd, text, size))
        return;
    const char *url = text, *host = url + question.url_size, *script = host + question.host_size;
    if (!load_library(&library)) {
        const char *why = dlerror();
        say(fd, ANSWER_MISSING, why ? why : "");
        return;
    }
    library.set_printer(keep_complaint);
    const char *found = library.init() && library.parse(script) ? library.find(url, host) : NULL;
    complaint[strcspn(complaint, "\n")] = 0;
    if (found)
        say(fd, ANSWER_FOUND, found);
    else
        say(fd, ANSWER_INVALID, complaint);
}

/* Ends with the process: by itself, or by one of its limits. */
static _Noreturn void run_evaluator(int fd)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)signal(SIGXCPU, SIG_DFL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 2 * PAC_CONTROL);
    limit(RLIMIT_CPU, PAC_SECONDS);
    if (!SANDBOX_HAS_SANITIZER)
        limit_memory();
    (void)alarm(PAC_SECONDS);
    evaluate(fd);
    _exit(0);
}

/* --- the helper --------------------------------------------------------------------------------------------------- */

static int receive_fd(int control)
{
    char byte;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR)
        return -2;
    const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    int fd = -1;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return n <= 0 ? -1 : fd < 0 ? -2 : fd;
}

static _Noreturn void run_helper(int control, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)signal(SIGTERM, SIG_IGN); /* a signal for the group is for the agent, which closes the socket then */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGCHLD, SIG_IGN); /* nobody waits for what it forks */
    if (getppid() != parent || dup3(control, PAC_CONTROL, O_CLOEXEC) != PAC_CONTROL)
        _exit(0);
    control = PAC_CONTROL;
    (void)close_range(STDERR_FILENO + 1, PAC_CONTROL - 1, 0);
    (void)close_range(PAC_CONTROL + 1, ~0u, 0); /* raw sockets are not for scripts */
    for (;;) {
        int fd = receive_fd(control);
        if (fd == -2)
            continue;
        if (fd < 0)
            _exit(0);
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            (void)close(control);
            run_evaluator(fd);
        }
        (void)close(fd);
    }
}

int pac_open(struct pac **ret_pac, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return error_sys(err, errno, "", "cannot make a socket for PAC files");
    pid_t self = getpid(), helper = fork();
    if (helper == 0) {
        (void)close(pair[0]);
        run_helper(pair[1], self);
    }
    (void)close(pair[1]);
    if (helper < 0) {
        int saved = errno;
        (void)close(pair[0]);
        return error_sys(err, saved, "", "cannot start a process for PAC files");
    }
    struct pac *pac = mem_alloc(sizeof *pac);
    *pac = (struct pac){.control = pair[0], .helper = helper};
    *ret_pac = pac;
    return 0;
}

void pac_close(struct pac *pac)
{
    if (!pac)
        return;
    (void)close(pac->control);
    (void)kill(pac->helper, SIGKILL);
    (void)waitpid(pac->helper, NULL, 0);
    mem_free(pac);
}

/* --- a question --------------------------------------------------------------------------------------------------- */

struct pac_job {
    struct loop *loop;
    struct loop_timer timer;
    int fd;
    struct buf question;
    size_t sent;
    char answer[PAC_ANSWER_BYTES];
    size_t answer_size;
    pac_fn *fn;
    void *user;
};

static void free_job(struct pac_job *job)
{
    loop_timer_stop(job->loop, &job->timer);
    if (job->fd >= 0) {
        loop_remove(job->loop, job->fd);
        (void)close(job->fd);
    }
    buf_done(&job->question);
    mem_free(job);
}

static void finish(struct pac_job *job)
{
    struct error err = {0};
    int rc = 0;
    const char *text = job->answer + 1;
    job->answer[job->answer_size] = 0;
    switch (job->answer[0]) {
    case ANSWER_FOUND:
        break;
    case ANSWER_INVALID:
        rc = error_set(&err, E_INVALID, "", "the PAC file cannot be evaluated%s%.200s", *text ? ": " : "", text);
        break;
    case ANSWER_MISSING:
        rc = error_set(&err, E_NOT_SUPPORTED, "", "PAC files need the library libpacparser: %.200s", text);
        break;
    default:
        rc = error_set(&err, E_TIMEOUT, "", "the PAC file found no proxy within %d s and %u MiB and was stopped",
                       PAC_SECONDS, PAC_MEMORY_BYTES >> 20);
    }
    job->fn(job->user, rc, rc ? "" : text, &err);
    free_job(job);
}

static void on_late(void *user)
{
    struct pac_job *job = user;
    job->answer_size = 0;
    finish(job);
}

static void on_ready(void *user, int fd, unsigned events)
{
    struct pac_job *job = user;
    if (events & LOOP_WRITE) {
        ssize_t n = send(fd, job->question.data + job->sent, job->question.size - job->sent, MSG_NOSIGNAL);
        job->sent += n > 0 ? (size_t)n : 0;
        if (job->sent == job->question.size || (n < 0 && errno != EAGAIN && errno != EINTR))
            (void)loop_change(job->loop, fd, LOOP_READ);
    }
    if (!(events & (LOOP_READ | LOOP_HANGUP)))
        return;
    ssize_t n = read(fd, job->answer + job->answer_size, sizeof job->answer - 1 - job->answer_size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        job->answer_size += (size_t)n;
    if (n <= 0 || job->answer_size == sizeof job->answer - 1)
        finish(job);
}

static bool hand_over(const struct pac *pac, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {0};
    struct iovec iov = {.iov_base = "p", .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(pac->control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static void on_impossible(void *user)
{
    finish(user);
}

struct pac_job *pac_start(struct pac *pac, struct loop *loop, const char *script, size_t size, const char *url,
                          const char *host, pac_fn *fn, void *user)
{
    struct pac_job *job = mem_alloc(sizeof *job);
    int pair[2] = {-1, -1};
    *job = (struct pac_job){.loop = loop, .fd = -1, .fn = fn, .user = user};
    job->timer = (struct loop_timer){.fn = on_late, .user = job};
    struct question question = {.url_size = (uint32_t)strlen(url) + 1,
                                .host_size = (uint32_t)strlen(host) + 1,
                                .script_size = (uint32_t)size + 1};
    buf_init(&job->question, sizeof question + PAC_SCRIPT_BYTES + 2 * PAC_URL_BYTES + 8);
    buf_put(&job->question, &question, sizeof question);
    buf_put(&job->question, url, question.url_size);
    buf_put(&job->question, host, question.host_size);
    buf_put(&job->question, script, size);
    buf_put(&job->question, "", 1);
    bool is_good = !job->question.is_overflowed && !memchr(script, 0, size) &&
                   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
                   fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0;
    is_good = is_good && hand_over(pac, pair[1]) &&
              loop_add(loop, pair[0], LOOP_READ | LOOP_WRITE, on_ready, job, NULL) == 0;
    if (pair[1] >= 0)
        (void)close(pair[1]);
    job->fd = pair[0];
    if (!is_good)
        (void)str_copy(job->answer, sizeof job->answer, "iit is too large, no text, or its process cannot be started");
    job->answer_size = strlen(job->answer);
    int64_t wait_ns = is_good ? PAC_SECONDS * CLOCK_S + PAC_SPARE_NS : 0;
    if (!is_good)
        job->timer.fn = on_impossible;
    loop_timer_start(loop, &job->timer, loop_now_ns(loop) + wait_ns);
    return job;
}

void pac_cancel(struct pac_job *job)
{
    free_job(job);
}
