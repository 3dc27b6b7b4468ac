#include "probe/warm_linux.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"

#define LONGEST_NS (50 * CLOCK_MS)
#define NAP_NS (200 * CLOCK_US)

/* A datagram socket that is its own peer. */
static int open_mirror(const char *address)
{
    union sock_addr own;
    socklen_t size = sizeof own;
    unsigned flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    (void)sock_parse_ip(address, &own);
    int fd = socket(own.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) == 0 &&
        bind(fd, &own.sa, sock_len(&own)) == 0 && getsockname(fd, &own.sa, &size) == 0 &&
        connect(fd, &own.sa, sock_len(&own)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Sends a packet and takes it in again; *ret_has_stamp tells whether the kernel stamped it. False = none came. */
static bool reflect(int fd, bool *ret_has_stamp)
{
    uint8_t byte = 0;
    _Alignas(struct cmsghdr) uint8_t control[256];
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (send(fd, &byte, 1, 0) != 1 || poll(&ready, 1, (int)(LONGEST_NS / CLOCK_MS)) != 1 || recvmsg(fd, &message, 0) < 0)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        *ret_has_stamp |= c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING;
    return true;
}

void warm_up_stamps(void)
{
    static const struct timespec nap = {.tv_nsec = NAP_NS};
    int64_t until = clock_mono_ns(&clock_real) + LONGEST_NS;
    bool has_stamp = false;
    int fd = open_mirror("127.0.0.1");
    fd = fd >= 0 ? fd : open_mirror("::1");
    while (fd >= 0 && reflect(fd, &has_stamp) && !has_stamp && clock_mono_ns(&clock_real) < until)
        (void)nanosleep(&nap, NULL);
    if (fd >= 0)
        (void)close(fd);
}
