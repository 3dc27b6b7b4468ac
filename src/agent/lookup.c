#include "agent/lookup.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define LOOKUP_THREADS 8
#define LOOKUP_TIMEOUT_MS 2000
#define LOOKUP_TRIES 3
#define LOOKUP_SERVERS_BYTES 1000
#define LOOKUP_ANSWER_MS 30000
#define LOOKUP_SOCKETS 15 /* one lookup has two; the bit of the sixteenth has no place in an int */

struct lookup {
    char servers[LOOKUP_SERVERS_BYTES]; /* "" = the system's way */
    int control;                        /* questions to the process in the namespace; -1 = none */
    pid_t process;
};

/* Between the two processes, on one machine and from one build. */
struct question {
    char host[256];
    int family; /* enum sock_family */
};

struct answer {
    int rc;
    union sock_addr addr;
    struct error err;
};

/* --- asking servers ----------------------------------------------------------------------------------------------- */

struct search {
    enum sock_family family;
    const char *host;
    int status;
    union sock_addr best;
};

static void on_answer(void *user, int status, int timeouts, struct ares_addrinfo *list)
{
    struct search *search = user;
    int wanted = search->family == SOCK_PREFER_IPV4 ? AF_INET : AF_INET6;
    (void)timeouts;
    search->status = status;
    for (const struct ares_addrinfo_node *node = list ? list->nodes : NULL; node; node = node->ai_next) {
        bool is_usable = node->ai_family == AF_INET || node->ai_family == AF_INET6;
        bool is_better = !sock_is_set(&search->best) ||
                         (search->best.sa.sa_family != wanted && node->ai_family == wanted);
        if (is_usable && is_better && (size_t)node->ai_addrlen <= sizeof search->best)
            memcpy(&search->best, node->ai_addr, (size_t)node->ai_addrlen);
    }
    if (list)
        ares_freeaddrinfo(list);
}

static void run(ares_channel channel)
{
    for (;;) {
        ares_socket_t sockets[LOOKUP_SOCKETS];
        struct pollfd polls[LOOKUP_SOCKETS];
        int mask = ares_getsock(channel, sockets, LOOKUP_SOCKETS);
        nfds_t count = 0;
        for (int i = 0; i < LOOKUP_SOCKETS; i++) {
            short events = (short)((ARES_GETSOCK_READABLE(mask, i) ? POLLIN : 0) |
                                   (ARES_GETSOCK_WRITABLE(mask, i) ? POLLOUT : 0));
            if (events)
                polls[count++] = (struct pollfd){.fd = sockets[i], .events = events};
        }
        if (count == 0)
            return;
        struct timeval most = {.tv_sec = 1}, wait;
        const struct timeval *until = ares_timeout(channel, &most, &wait);
        (void)poll(polls, count, (int)(until->tv_sec * 1000 + until->tv_usec / 1000 + 1));
        for (nfds_t i = 0; i < count; i++) {
            ares_socket_t fd = polls[i].fd, none = ARES_SOCKET_BAD;
            bool can_read = (polls[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
            ares_process_fd(channel, can_read ? fd : none, polls[i].revents & POLLOUT ? fd : none);
        }
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is late */
    }
}

static int ask_servers(const char *servers, const char *host, enum sock_family family, union sock_addr *ret_addr,
                       struct error *err)
{
    ares_channel channel;
    struct ares_options options = {.timeout = LOOKUP_TIMEOUT_MS, .tries = LOOKUP_TRIES};
    struct ares_addrinfo_hints hints = {.ai_socktype = SOCK_DGRAM,
                                        .ai_family = family == SOCK_FORCE_IPV4   ? AF_INET
                                                     : family == SOCK_FORCE_IPV6 ? AF_INET6
                                                                                 : AF_UNSPEC};
    struct search search = {.family = family, .host = host, .status = ARES_ENOTINITIALIZED};
    int status = ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (status == ARES_SUCCESS) {
        status = ares_set_servers_ports_csv(channel, servers);
        if (status == ARES_SUCCESS) {
            ares_getaddrinfo(channel, host, NULL, &hints, on_answer, &search);
            run(channel);
            status = search.status;
        }
        ares_destroy(channel);
    }
    if (status != ARES_SUCCESS)
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (%s)", host, ares_strerror(status));
    if (!sock_is_set(&search.best))
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (no usable address)", host);
    *ret_addr = search.best;
    return 0;
}

static int find_here(const struct lookup *lookup, const char *host, enum sock_family family, union sock_addr *ret_addr,
                     struct error *err)
{
    union sock_addr literal;
    if (!*lookup->servers || sock_parse_ip(host, &literal) == 0)
        return sock_resolve(host, family, ret_addr, err);
    return ask_servers(lookup->servers, host, family, ret_addr, err);
}

/* --- the process in the namespace --------------------------------------------------------------------------------- */

static int receive(int control, struct question *ret_question)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct iovec iov = {.iov_base = ret_question, .iov_len = sizeof *ret_question};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t n;
    do {
        n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    const struct cmsghdr *header = n == (ssize_t)sizeof *ret_question ? CMSG_FIRSTHDR(&message) : NULL;
    int fd = -1;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

/* Each thread takes the next question; the kernel hands every one to one of them. */
static void *answer_questions(void *user)
{
    const struct lookup *lookup = user;
    for (;;) {
        struct question question;
        struct answer answer = {0};
        int fd = receive(lookup->control, &question);
        if (fd < 0)
            _exit(0); /* the agent is gone */
        question.host[sizeof question.host - 1] = 0;
        answer.rc = find_here(lookup, question.host, (enum sock_family)question.family, &answer.addr, &answer.err);
        (void)send(fd, &answer, sizeof answer, MSG_NOSIGNAL);
        (void)close(fd);
    }
}

/* The servers of /etc/netns/NAME/resolv.conf, as ip-netns(8) has it. */
static void read_servers(const char *netns, char *servers, size_t size)
{
    char path[300];
    struct buf buf;
    const char *name = strrchr(netns, '/');
    (void)snprintf(path, sizeof path, "/etc/netns/%s/resolv.conf", name ? name + 1 : netns);
    buf_init(&buf, 65536);
    int rc = file_read(path, &buf, NULL);
    char *rest = rc ? NULL : (char *)buf.data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char address[80];
        union sock_addr addr;
        size_t used = strlen(servers);
        if (sscanf(line, "nameserver %79s", address) == 1 && sock_parse_ip(address, &addr) == 0)
            (void)snprintf(servers + used, size - used, "%s%s", used ? "," : "", address);
    }
    buf_done(&buf);
}

static int enter(const char *netns, struct error *err)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open the network namespace");
    int rc = setns(fd, CLONE_NEWNET) == 0 ? 0 : error_sys(err, errno, path, "cannot enter the network namespace");
    (void)close(fd);
    return rc;
}

/* Tells through ready how its start went, then answers for ever. */
static _Noreturn void run_process(struct lookup *lookup, const struct lookup_settings *settings, pid_t parent, int ready)
{
    struct answer start = {0};
    start.rc = enter(settings->netns, &start.err);
    if (!start.rc)
        start.rc = settings->settle(settings->user, &start.err);
    if (!start.rc && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        start.rc = error_set(&start.err, E_NOT_SUPPORTED, "", "the resolver library does not start");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* after the change of user, which clears it */
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    bool is_told = send(ready, &start, sizeof start, MSG_NOSIGNAL) == (ssize_t)sizeof start;
    (void)close(ready);
    if (start.rc || !is_told || getppid() != parent)
        _exit(0);
    for (int i = 1; i < LOOKUP_THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, answer_questions, lookup) == 0)
            (void)pthread_detach(thread);
    }
    (void)answer_questions(lookup);
    _exit(0);
}

static int start_process(struct lookup *lookup, const struct lookup_settings *settings, struct error *err)
{
    int control[2], ready[2];
    struct answer start = {.rc = -E_IO};
    if (!settings->servers)
        read_servers(settings->netns, lookup->servers, sizeof lookup->servers);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        return error_sys(err, errno, "--netns", "cannot make a socket");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ready) != 0) {
        int saved = errno;
        (void)close(control[0]);
        (void)close(control[1]);
        return error_sys(err, saved, "--netns", "cannot make a socket");
    }
    pid_t self = getpid();
    lookup->process = fork();
    if (lookup->process == 0) {
        (void)close(control[0]);
        (void)close(ready[0]);
        lookup->control = control[1];
        run_process(lookup, settings, self, ready[1]);
    }
    (void)close(control[1]);
    (void)close(ready[1]);
    lookup->control = control[0];
    ssize_t n = lookup->process > 0 ? recv(ready[0], &start, sizeof start, 0) : -1;
    (void)close(ready[0]);
    if (n == (ssize_t)sizeof start && start.rc == 0)
        return 0;
    if (err && start.err.code)
        *err = start.err;
    return start.err.code ? start.rc : error_set(err, E_IO, "--netns", "the process that looks up names did not start");
}

int lookup_open(const struct lookup_settings *settings, struct lookup **ret_lookup, struct error *err)
{
    *ret_lookup = NULL;
    if (!settings->servers && !settings->netns)
        return 0;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return error_set(err, E_NOT_SUPPORTED, "--dns-servers", "the resolver library does not start");
    struct lookup *lookup = mem_alloc(sizeof *lookup);
    lookup->control = -1;
    if (settings->servers)
        (void)str_copy(lookup->servers, sizeof lookup->servers, settings->servers);
    int rc = settings->netns ? start_process(lookup, settings, err) : 0;
    if (rc) {
        lookup_close(lookup);
        return rc;
    }
    *ret_lookup = lookup;
    return 0;
}

void lookup_close(struct lookup *lookup)
{
    if (!lookup)
        return;
    if (lookup->control >= 0)
        (void)close(lookup->control);
    if (lookup->process > 0) {
        (void)kill(lookup->process, SIGKILL);
        (void)waitpid(lookup->process, NULL, 0);
    }
    mem_free(lookup);
}

pid_t lookup_process(const struct lookup *lookup)
{
    return lookup && lookup->process > 0 ? lookup->process : 0;
}

int lookup_control(const struct lookup *lookup)
{
    return lookup ? lookup->control : -1;
}

struct lookup *lookup_adopt(const char *servers, int control, pid_t process)
{
    struct lookup *lookup = mem_alloc(sizeof *lookup);
    lookup->control = control;
    lookup->process = process;
    if (servers)
        (void)str_copy(lookup->servers, sizeof lookup->servers, servers);
    return lookup;
}

/* --- from the agent ----------------------------------------------------------------------------------------------- */

static bool send_question(int control, const struct question *question, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)question, .iov_len = sizeof *question};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(control, &message, MSG_NOSIGNAL) == (ssize_t)sizeof *question;
}

static int ask_process(const struct lookup *lookup, const struct question *question, union sock_addr *ret_addr,
                       struct error *err)
{
    int pair[2];
    struct answer answer;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (no descriptor is left)", question->host);
    bool is_asked = send_question(lookup->control, question, pair[1]);
    (void)close(pair[1]);
    struct pollfd wait = {.fd = pair[0], .events = POLLIN};
    bool is_there = is_asked && poll(&wait, 1, LOOKUP_ANSWER_MS) == 1 &&
                    recv(pair[0], &answer, sizeof answer, 0) == (ssize_t)sizeof answer;
    (void)close(pair[0]);
    if (!is_there)
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (no answer in time)", question->host);
    if (answer.rc && err)
        *err = answer.err;
    if (!answer.rc)
        *ret_addr = answer.addr;
    return answer.rc;
}

int lookup_find(void *user, const char *host, enum sock_family family, union sock_addr *ret_addr, struct error *err)
{
    const struct lookup *lookup = user;
    struct question question = {.family = (int)family};
    if (lookup->control < 0)
        return find_here(lookup, host, family, ret_addr, err);
    if (!str_copy(question.host, sizeof question.host, host))
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (the name is too long)", host);
    return ask_process(lookup, &question, ret_addr, err);
}
