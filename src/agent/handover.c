#include "agent/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lookup.h"
#include "base/buf.h"
#include "base/str.h"

#define HANDOVER_NAME "OCULI_AGENT_HANDOVER"
#define HANDOVER_VERSION 1 /* of the order below; another program than this may read it */
#define HANDOVER_FDS (10 + PROBE_QUIET_PORTS + 2)

/* In the order in which they are handed over; calls fn for each. */
static void each_fd(struct parent_opened *opened, int *lookup_fd, void (*fn)(void *user, int *fd), void *user)
{
    struct probe_sockets *sockets = &opened->sockets;
    for (size_t i = 0; i < 2; i++) {
        int *fds[] = {&sockets->send[i], &sockets->icmp[i], &sockets->tcp[i], &sockets->udp[i], &sockets->route[i]};
        for (size_t j = 0; j < sizeof fds / sizeof fds[0]; j++)
            fn(user, fds[j]);
    }
    for (size_t i = 0; i < PROBE_QUIET_PORTS; i++)
        fn(user, &sockets->quiet[i]);
    fn(user, &opened->netlink);
    fn(user, lookup_fd);
}

/* --- giving ------------------------------------------------------------------------------------------------------- */

static void write_fd(void *user, int *fd)
{
    buf_printf(user, " %d", *fd);
}

static void keep_open(void *user, int *fd)
{
    (void)user;
    if (*fd >= 0)
        (void)fcntl(*fd, F_SETFD, 0);
}

static void close_on_exec(void *user, int *fd)
{
    (void)user;
    if (*fd >= 0)
        (void)fcntl(*fd, F_SETFD, FD_CLOEXEC);
}

int handover_exec(const char *path, char *const *argv, const struct parent_opened *opened, struct error *err)
{
    struct parent_opened copy = *opened;
    struct buf text;
    int lookup_fd = lookup_control(opened->lookup);
    buf_init(&text, 8192);
    buf_printf(&text, "%d %d %d", HANDOVER_VERSION, (int)getpid(), (int)lookup_process(opened->lookup));
    each_fd(&copy, &lookup_fd, write_fd, &text);
    each_fd(&copy, &lookup_fd, keep_open, NULL);
    (void)setenv(HANDOVER_NAME, buf_str(&text), 1);
    (void)execv(path, argv);
    int failure = errno;
    (void)unsetenv(HANDOVER_NAME);
    each_fd(&copy, &lookup_fd, close_on_exec, NULL);
    buf_done(&text);
    return error_sys(err, failure, path, "cannot start the program");
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

struct reader {
    const char *at;
    bool is_bad;
};

static int64_t read_number(struct reader *reader)
{
    char *end;
    long number = strtol(reader->at, &end, 10);
    reader->is_bad |= end == reader->at;
    reader->at = end;
    return number;
}

/* Only a socket can be meant: another descriptor of that number is somebody else's. */
static void read_fd(void *user, int *fd)
{
    struct reader *reader = user;
    int type;
    socklen_t size = sizeof type;
    *fd = (int)read_number(reader);
    reader->is_bad |= *fd >= 0 && getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0;
}

bool handover_take(const char *dns_servers, struct parent_opened *ret_opened, int *ret_rc, struct error *err)
{
    const char *text = getenv(HANDOVER_NAME);
    struct reader reader = {.at = text};
    struct parent_opened opened = {.netlink = -1};
    int lookup_fd = -1;
    if (!text)
        return false;
    int64_t version = read_number(&reader), pid = read_number(&reader), lookup = read_number(&reader);
    bool is_ours = !reader.is_bad && pid == getpid(); /* else it is left over in the environment of a child */
    if (is_ours && version == HANDOVER_VERSION)
        each_fd(&opened, &lookup_fd, read_fd, &reader);
    (void)unsetenv(HANDOVER_NAME);
    if (!is_ours)
        return false;
    *ret_rc = version == HANDOVER_VERSION && !reader.is_bad
                  ? 0
                  : error_set(err, E_NOT_SUPPORTED, "", "what the program before this one handed over is of no use");
    if (*ret_rc)
        return true;
    each_fd(&opened, &lookup_fd, close_on_exec, NULL);
    if (lookup_fd >= 0)
        opened.lookup = lookup_adopt(dns_servers, lookup_fd, (pid_t)lookup);
    else
        *ret_rc = lookup_open(&(struct lookup_settings){.servers = dns_servers}, &opened.lookup, err);
    *ret_opened = opened;
    return true;
}
