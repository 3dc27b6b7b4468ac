#include "probe/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "probe/match.h"

#define SPARE_DESCRIPTORS 16u

static const int families[2] = {AF_INET, AF_INET6};

const struct probe_sockets probe_sockets_none = {.send = {-1, -1},
                                                 .icmp = {-1, -1},
                                                 .tcp = {-1, -1},
                                                 .udp = {-1, -1},
                                                 .route = {-1, -1},
                                                 .quiet = {[0 ... PROBE_QUIET_PORTS - 1] = -1}};

/* Why the last socket could not be had. */
static int say_why(struct error *err)
{
    if (errno == EMFILE)
        return error_sys(err, errno, "", "raw sockets need more descriptors than this process may have (ulimit -n)");
    if (errno == EPERM || errno == EACCES)
        return error_sys(err, errno, "", "raw sockets need CAP_NET_RAW (run as root, or give the program that capability)");
    return error_sys(err, errno, "", "a raw socket cannot be opened");
}

/* *ret_fd stays -1 when the machine lacks the family. */
static int open_one(int family, int protocol, int *ret_fd, struct error *err)
{
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    *ret_fd = fd;
    if (fd < 0)
        return errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT ? 0 : say_why(err);
    /* Without CAP_NET_ADMIN the system's ceiling applies; what is then dropped is seen and told. */
    int size = PROBE_RCVBUF_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    size = PROBE_SNDBUF_BYTES;
    /* The interface alone limits the size: what the kernel has learned of a path from errors must refuse no probe. */
    int probing = family == AF_INET6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    (void)setsockopt(fd, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
                     family == AF_INET6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &probing, sizeof probing);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

static int open_family(unsigned i, struct probe_sockets *sockets, struct error *err)
{
    int rc = open_one(families[i], IPPROTO_RAW, &sockets->send[i], err); /* sends with headers of our own */
    if (rc || sockets->send[i] < 0)
        return rc;
    rc = open_one(families[i], i ? IPPROTO_ICMPV6 : IPPROTO_ICMP, &sockets->icmp[i], err);
    if (!rc)
        rc = open_one(families[i], IPPROTO_TCP, &sockets->tcp[i], err);
    if (!rc)
        rc = open_one(families[i], IPPROTO_UDP, &sockets->udp[i], err);
    if (rc)
        return rc;
    sockets->route[i] = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sockets->route[i] < 0 ? say_why(err) : 0;
}

/* A port for both families, or for the only one there is. -1 = taken, or none to be had, which errno tells. */
static int open_quiet(bool has_ip6, uint16_t port)
{
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = nothing};
    union sock_addr any = {0};
    static const int off = 0;
    if (has_ip6)
        any.in6.sin6_family = AF_INET6;
    else
        any.in4.sin_family = AF_INET;
    sock_set_port(&any, port);
    int fd = socket(any.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (has_ip6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
        bind(fd, &any.sa, sock_len(&any)) == 0 && listen(fd, 1) == 0)
        return fd;
    (void)close(fd);
    errno = EADDRINUSE;
    return -1;
}

/* Where descriptors are few some are left for what else the process needs: it goes without sessions rather. */
static void open_all_quiet(struct probe_sockets *sockets, unsigned wanted)
{
    unsigned count = 0;
    for (uint16_t port = PROBE_PORT_LOW; count < wanted && port < MATCH_PORT_LOW; port++) {
        sockets->quiet[count] = open_quiet(sockets->send[1] >= 0, port);
        if (sockets->quiet[count] >= 0) {
            count++;
        } else if (errno == EMFILE || errno == ENFILE) {
            for (unsigned i = 0; i < SPARE_DESCRIPTORS && count > 0; i++) {
                (void)close(sockets->quiet[--count]);
                sockets->quiet[count] = -1;
            }
            return;
        }
    }
}

static int open_here(unsigned quiet_ports, struct probe_sockets *ret_sockets, struct error *err)
{
    struct probe_sockets sockets = probe_sockets_none;
    int rc = open_family(0, &sockets, err);
    if (!rc)
        rc = open_family(1, &sockets, err);
    if (!rc && sockets.send[0] < 0 && sockets.send[1] < 0)
        rc = error_set(err, E_NOT_SUPPORTED, "", "this machine has neither IPv4 nor IPv6");
    if (rc) {
        probe_close(&sockets);
        return rc;
    }
    open_all_quiet(&sockets, quiet_ports < PROBE_QUIET_PORTS ? quiet_ports : PROBE_QUIET_PORTS);
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

int probe_open(const char *netns, unsigned quiet_ports, struct probe_sockets *ret_sockets, struct error *err)
{
    if (!netns)
        return open_here(quiet_ports, ret_sockets, err);
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return error_sys(err, errno, "", "cannot tell the network namespace of this process");
    int rc = enter(netns, err);
    if (!rc) {
        rc = open_here(quiet_ports, ret_sockets, err);
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
    for (unsigned i = 0; i < 2; i++) {
        const int fds[] = {sockets->send[i], sockets->icmp[i], sockets->tcp[i], sockets->udp[i], sockets->route[i]};
        for (size_t j = 0; j < sizeof fds / sizeof fds[0]; j++) {
            if (fds[j] >= 0)
                (void)close(fds[j]);
        }
    }
    for (unsigned i = 0; i < PROBE_QUIET_PORTS; i++) {
        if (sockets->quiet[i] >= 0)
            (void)close(sockets->quiet[i]);
    }
    *sockets = probe_sockets_none;
}
