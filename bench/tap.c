#include "tap.h"

#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "probe/packet.h"

#define TAP_ROOM 1000000u

struct echo {
    int64_t request_ns, reply_ns;
};

struct tap {
    int fd;
    struct echo *echoes; /* in the order of the requests */
    size_t count;
    struct map index; /* identifier and sequence number -> echo */
};

static void take(struct tap *tap, const uint8_t *bytes, size_t size, int64_t stamp_ns)
{
    struct packet_ip ip;
    struct packet_icmp icmp;
    int family = size > 0 && bytes[0] >> 4 == 6 ? AF_INET6 : AF_INET;
    if (packet_parse_ip(family, bytes, size, &ip) != 0 ||
        ip.protocol != (family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
        packet_parse_icmp(family, ip.payload, ip.payload_size, &icmp) != 0)
        return;
    uint64_t key = (uint64_t)icmp.id << 16 | icmp.seq;
    struct echo *echo = map_get(&tap->index, key);
    if (icmp.kind == PACKET_ECHO_REQUEST && !echo && tap->count < TAP_ROOM) {
        echo = &tap->echoes[tap->count++];
        echo->request_ns = stamp_ns;
        map_put(&tap->index, key, echo);
    } else if (icmp.kind == PACKET_ECHO_REPLY && echo && echo->reply_ns == 0) {
        echo->reply_ns = stamp_ns;
    }
}

void tap_read(struct tap *tap)
{
    for (;;) {
        uint8_t bytes[2048];
        _Alignas(struct cmsghdr) uint8_t control[128];
        struct iovec vector = {bytes, sizeof bytes};
        struct msghdr message = {
            .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t size = recvmsg(tap->fd, &message, MSG_DONTWAIT);
        if (size < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
            struct timespec stamp;
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
                continue;
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            take(tap, bytes, (size_t)size, (int64_t)stamp.tv_sec * CLOCK_S + stamp.tv_nsec);
        }
    }
}

int tap_open(const char *interface, struct tap **ret_tap, struct error *err)
{
    static const int on = 1, size = 64 << 20;
    struct sockaddr_ll where = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(0x0003), /* all */
                                .sll_ifindex = (int)if_nametoindex(interface)};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(0x0003));
    if (fd < 0 || where.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&where, sizeof where) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
        return error_sys(err, errno, interface, "cannot listen on the interface");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    struct tap *tap = mem_alloc(sizeof *tap);
    tap->fd = fd;
    tap->echoes = mem_alloc_array(TAP_ROOM, sizeof *tap->echoes);
    *ret_tap = tap;
    return 0;
}

void tap_close(struct tap *tap)
{
    (void)close(tap->fd);
    map_done(&tap->index);
    mem_free(tap->echoes);
    mem_free(tap);
}

size_t tap_count(const struct tap *tap)
{
    return tap->count;
}

int64_t tap_rtt_ns(const struct tap *tap, size_t index)
{
    if (index >= tap->count || tap->echoes[index].reply_ns == 0)
        return -1;
    return tap->echoes[index].reply_ns - tap->echoes[index].request_ns;
}
