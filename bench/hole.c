/*
 * Probes in a TCP session of this host's own kernel, as others do it and with the remedy: a byte is left out and
 * every probe is one byte behind that hole. For comparison with the engine's SACK mode, and because the kernel can let real data
 * flow before.
 *
 *     hole_bench TARGET PORT COUNT GAP_US UPLOAD_BYTES NUDGE_EVERY
 *
 *     hole_bench sink PORT      the other end: reads and throws away
 *
 * NUDGE_EVERY 0: the plain hole. Else a byte that the target has had follows, 5 ms later, the third probe and every so many after
 * it. Prints number and round trip time in us of each probe by the kernel's stamps ("-" = no answer).
 */
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>


#include <linux/net_tstamp.h>
#include <time.h>
#include <linux/errqueue.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/str.h"

#define PROBES_MAX 1000
#define NUDGE_AFTER_NS (5 * CLOCK_MS)
#define LINGER_NS CLOCK_S

struct hole {
    struct sockaddr_in local, remote;
    int tcp_fd, raw_fd;
    uint32_t una, ack, stamp_id; /* una: the next byte the target waits for */
    uint32_t token[PROBES_MAX];
    int64_t tx_ns[PROBES_MAX], rx_ns[PROBES_MAX];
    uint32_t sent, answered;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint32_t sum(const void *bytes, size_t size, uint32_t start)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < size; i++)
        start += i % 2 ? b[i] : (uint32_t)b[i] << 8;
    return start;
}

static void send_byte(struct hole *self, uint32_t seq)
{
    uint8_t bytes[sizeof(struct tcphdr) + 1] = {0};
    struct tcphdr header = {.source = self->local.sin_port, .dest = self->remote.sin_port, .seq = htonl(seq),
                            .ack_seq = htonl(self->ack), .doff = 5, .ack = 1, .psh = 1, .window = htons(65000)};
    bytes[sizeof header] = 'x';
    memcpy(bytes, &header, sizeof header);
    uint32_t total = sum(bytes, sizeof bytes, IPPROTO_TCP + sizeof bytes);
    total = sum(&self->remote.sin_addr, 4, sum(&self->local.sin_addr, 4, total));
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    header.check = htons((uint16_t)~total);
    memcpy(bytes, &header, sizeof header);
    struct sockaddr_in to = self->remote;
    to.sin_port = 0;
    if (sendto(self->raw_fd, bytes, sizeof bytes, 0, (struct sockaddr *)&to, sizeof to) < 0)
        fail("send");
    self->stamp_id++;
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The first block tells what has just come. */
static void take_block(struct hole *self, uint32_t left, uint32_t right, int64_t at_ns)
{
    for (uint32_t i = 0; i < self->sent; i++) {
        uint32_t seq = self->una + 1 + i;
        if (self->rx_ns[i] == 0 && (int32_t)(seq - left) >= 0 && (int32_t)(right - seq) > 0) {
            self->rx_ns[i] = at_ns;
            self->answered++;
        }
    }
}

static void take_segment(struct hole *self, const uint8_t *bytes, size_t size, int64_t at_ns)
{
    size_t ip = size > 0 ? (size_t)(bytes[0] & 15) * 4 : 0;
    struct tcphdr header;
    if (size < ip + sizeof header)
        return;
    memcpy(&header, bytes + ip, sizeof header);
    if (header.source != self->remote.sin_port || header.dest != self->local.sin_port)
        return;
    if (header.syn) {
        self->una = ntohl(header.ack_seq);
        self->ack = ntohl(header.seq) + 1;
    }
    size_t end = ip + (size_t)header.doff * 4;
    for (size_t at = ip + sizeof header; at + 1 < end && end <= size && bytes[at] != 0;) {
        if (bytes[at] == 1) {
            at++;
            continue;
        }
        if (bytes[at] == 5 && at + 10 <= end)
            take_block(self, load32(bytes + at + 2), load32(bytes + at + 6), at_ns);
        at += bytes[at + 1] ? bytes[at + 1] : 1;
    }
}

static bool read_one(struct hole *self, int flags)
{
    uint8_t bytes[2048];
    _Alignas(struct cmsghdr) uint8_t control[256];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(self->raw_fd, &message, flags | MSG_DONTWAIT);
    int64_t at_ns = 0;
    uint32_t id = UINT32_MAX;
    for (struct cmsghdr *c = size < 0 ? NULL : CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            at_ns = (int64_t)stamp.tv_sec * CLOCK_S + stamp.tv_nsec;
        } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) {
            struct sock_extended_err extended;
            memcpy(&extended, CMSG_DATA(c), sizeof extended);
            id = extended.ee_data;
        }
    }
    if (size >= 0 && flags == 0)
        take_segment(self, bytes, (size_t)size, at_ns);
    for (uint32_t i = 0; size >= 0 && flags != 0 && i < self->sent; i++) {
        if (self->token[i] == id)
            self->tx_ns[i] = at_ns;
    }
    return size >= 0;
}

static void read_all(struct hole *self)
{
    while (read_one(self, MSG_ERRQUEUE))
        continue;
    while (read_one(self, 0))
        continue;
}

static void open_session(struct hole *self)
{
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
    socklen_t size = sizeof self->local;
    self->raw_fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    self->tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (self->raw_fd < 0 || self->tcp_fd < 0 ||
        setsockopt(self->raw_fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) != 0)
        fail("socket");
    /* Its port is known before the answer to the SYN comes by. */
    struct sockaddr_in any = {.sin_family = AF_INET};
    if (bind(self->tcp_fd, (struct sockaddr *)&any, sizeof any) != 0 ||
        getsockname(self->tcp_fd, (struct sockaddr *)&self->local, &size) != 0 ||
        connect(self->tcp_fd, (struct sockaddr *)&self->remote, sizeof self->remote) != 0 ||
        getsockname(self->tcp_fd, (struct sockaddr *)&self->local, &size) != 0)
        fail("connect");
    read_all(self);
    if (self->una == 0)
        fail("handshake");
}

static void upload(struct hole *self, size_t size)
{
    uint8_t *bytes = mem_alloc(size + 1);
    for (size_t at = 0; at < size;) {
        ssize_t n = send(self->tcp_fd, bytes + at, size - at, 0);
        if (n <= 0)
            fail("upload");
        at += (size_t)n;
    }
    mem_free(bytes);
    self->una += (uint32_t)size;
    (void)usleep(500000);
    while (read_one(self, MSG_ERRQUEUE) || read_one(self, 0))
        continue;
    self->answered = 0;
}

static void probe(struct hole *self, uint32_t count, int64_t gap_ns, uint32_t nudge_every)
{
    int64_t start = clock_mono_ns(&clock_real), due = start, nudge_ns = 0;
    while (self->answered < count) {
        int64_t now = clock_mono_ns(&clock_real);
        if (self->sent == count && now - due > LINGER_NS)
            return;
        if (nudge_ns && now >= nudge_ns) {
            send_byte(self, self->una - 1);
            nudge_ns = 0;
        }
        if (self->sent < count && now >= due) {
            self->token[self->sent] = self->stamp_id;
            send_byte(self, self->una + 1 + self->sent);
            self->sent++;
            due += gap_ns;
            if (nudge_every && self->sent >= 3 && (self->sent - 3) % nudge_every == 0)
                nudge_ns = now + NUDGE_AFTER_NS;
        }
        struct pollfd poll_fd = {self->raw_fd, POLLIN, 0};
        (void)ppoll(&poll_fd, 1, &(struct timespec){0, 200000}, NULL);
        read_all(self);
    }
}

/* The other end: takes what comes, from one session after the other and from those left open. */
static int sink(const char *port_text)
{
    uint64_t port;
    static uint8_t bytes[65536];
    struct pollfd fds[64];
    nfds_t count = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    if (str_to_u64(port_text, 65535, &port) != 0)
        return 2;
    any.sin_port = htons((uint16_t)port);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 64) != 0)
        fail("sink");
    fds[0] = (struct pollfd){fd, POLLIN, 0};
    while (poll(fds, count, -1) > 0) {
        if (fds[0].revents && count < sizeof fds / sizeof fds[0])
            fds[count++] = (struct pollfd){accept(fd, NULL, NULL), POLLIN, 0};
        for (nfds_t i = count - 1; i > 0; i--) {
            if (fds[i].revents == 0 || read(fds[i].fd, bytes, sizeof bytes) > 0)
                continue;
            (void)close(fds[i].fd);
            fds[i] = fds[--count];
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return sink(argv[2]);
    struct hole *self = mem_alloc(sizeof *self);
    union sock_addr target;
    uint64_t port, count, gap_us, size, every;
    if (argc != 7 || sock_parse_ip(argv[1], &target) != 0 || target.sa.sa_family != AF_INET ||
        str_to_u64(argv[2], 65535, &port) != 0 || str_to_u64(argv[3], PROBES_MAX, &count) != 0 ||
        str_to_u64(argv[4], 1000000, &gap_us) != 0 || str_to_u64(argv[5], 1 << 30, &size) != 0 ||
        str_to_u64(argv[6], 1000, &every) != 0) {
        (void)fprintf(stderr, "usage: hole_bench TARGET PORT COUNT GAP_US UPLOAD_BYTES NUDGE_EVERY\n");
        return 2;
    }
    self->remote = target.in4;
    self->remote.sin_port = htons((uint16_t)port);
    open_session(self);
    upload(self, size);
    probe(self, (uint32_t)count, (int64_t)gap_us * CLOCK_US, (uint32_t)every);
    for (uint32_t i = 0; i < self->sent; i++) {
        if (self->tx_ns[i] && self->rx_ns[i])
            (void)printf("%u %.3f\n", i, (double)(self->rx_ns[i] - self->tx_ns[i]) / 1e3);
        else
            (void)printf("%u -\n", i);
    }
    struct linger reset = {1, 0};
    (void)setsockopt(self->tcp_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(self->tcp_fd);
    mem_free(self);
    return 0;
}
