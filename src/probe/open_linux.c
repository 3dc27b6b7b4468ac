#include "probe/open.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_one(int family, int protocol, int *ret_fd, struct error *err)
{
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    *ret_fd = fd;
    if (fd < 0) {
        if (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT)
            return 0;
        return error_sys(err, errno, "", "raw sockets need CAP_NET_RAW (run as root, or give the program that capability)");
    }
    /* Without CAP_NET_ADMIN the system's ceiling applies; what is then dropped is seen and told. */
    int size = PROBE_RCVBUF_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    size = PROBE_SNDBUF_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

static int open_here(struct probe_sockets *ret_sockets, struct error *err)
{
    struct probe_sockets sockets = PROBE_SOCKETS_NONE;
    int rc = open_one(AF_INET, IPPROTO_ICMP, &sockets.icmp4, err);
    if (!rc)
        rc = open_one(AF_INET6, IPPROTO_ICMPV6, &sockets.icmp6, err);
    if (!rc && sockets.icmp4 < 0 && sockets.icmp6 < 0)
        rc = error_set(err, E_NOT_SUPPORTED, "", "this machine has neither IPv4 nor IPv6");
    if (rc) {
        probe_close(&sockets);
        return rc;
    }
    if (sockets.icmp4 >= 0)
        sockets.route4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sockets.icmp6 >= 0)
        sockets.route6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *ret_sockets = sockets;
    return rc;
}

static int enter(const char *netns, struct error *err)
{
    char path[256];
    int length = snprintf(path, sizeof path, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(err, E_RANGE, netns, "the name of the network namespace is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open the network namespace");
    int rc = setns(fd, CLONE_NEWNET) == 0 ? 0 : error_sys(err, errno, path, "cannot enter the network namespace");
    (void)close(fd);
    return rc;
}

int probe_open(const char *netns, struct probe_sockets *ret_sockets, struct error *err)
{
    if (!netns)
        return open_here(ret_sockets, err);
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return error_sys(err, errno, "", "cannot tell the network namespace of this process");
    int rc = enter(netns, err);
    if (!rc) {
        rc = open_here(ret_sockets, err);
        if (setns(home, CLONE_NEWNET) != 0) {
            int saved = errno;
            if (!rc)
                probe_close(ret_sockets);
            rc = error_sys(err, saved, netns, "cannot come back from the network namespace");
        }
    }
    (void)close(home);
    return rc;
}

void probe_close(struct probe_sockets *sockets)
{
    const int fds[] = {sockets->icmp4, sockets->icmp6, sockets->route4, sockets->route6};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    *sockets = PROBE_SOCKETS_NONE;
}
