/*
 * How exact and how fast oculi-lab is, measured from inside one of its vantages with kernel stamps both ways.
 *
 *     lab_bench exact ADDRESS TRUE_RTT_US COUNT INTERVAL_US    error of each echo's round trip, in microseconds
 *     lab_bench flood ADDRESS HOSTS COUNT WINDOW                echoes to HOSTS addresses from ADDRESS on, as fast as
 *                                                               they come back
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define BATCH 64
#define PACKET_BYTES 64

static int64_t now_ns(void)
{
    return clock_mono_ns(&clock_real);
}

static uint16_t checksum(const uint8_t *p, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void fill(uint8_t *packet, uint32_t number)
{
    struct icmphdr icmp = {.type = ICMP_ECHO, .un.echo.id = htons(0x4f63), .un.echo.sequence = htons((uint16_t)number)};
    memset(packet, 0, PACKET_BYTES);
    memcpy(packet, &icmp, sizeof icmp);
    memcpy(packet + 8, &number, sizeof number);
    icmp.checksum = checksum(packet, PACKET_BYTES);
    memcpy(packet, &icmp, sizeof icmp);
}

static int64_t stamp_of(struct msghdr *message, uint32_t *ret_id)
{
    int64_t stamp = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct timespec ts;
            memcpy(&ts, CMSG_DATA(c), sizeof ts);
            stamp = ts.tv_sec * CLOCK_S + ts.tv_nsec;
        } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR && ret_id) {
            struct sock_extended_err e;
            memcpy(&e, CMSG_DATA(c), sizeof e);
            *ret_id = e.ee_data;
        }
    }
    return stamp;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_errors(int64_t *errors, int64_t count, int64_t sent)
{
    qsort(errors, (size_t)count, sizeof *errors, compare);
    printf("exact: %lld of %lld answered; error in us:", (long long)count, (long long)sent);
    static const struct {
        const char *name;
        int64_t permille;
    } points[] = {{"min", 0}, {"p50", 500}, {"p90", 900}, {"p99", 990}, {"p99.9", 999}, {"max", 1000}};
    for (size_t i = 0; i < sizeof points / sizeof *points && count > 0; i++) {
        int64_t at = count * points[i].permille / 1000;
        printf(" %s %.1f", points[i].name, (double)errors[at < count ? at : count - 1] / 1000);
    }
    printf("\n");
}

struct exact {
    int fd;
    int64_t *sent, *errors; /* by number; errors in order of arrival */
    int64_t true_ns, count, answered;
};

static void drain(struct exact *e, int flags)
{
    for (;;) {
        uint8_t bytes[256], control[512];
        struct iovec iov = {bytes, sizeof bytes};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(e->fd, &message, MSG_DONTWAIT | flags);
        if (n < 0)
            return;
        uint32_t number = UINT32_MAX;
        int64_t stamp = stamp_of(&message, &number);
        if (flags & MSG_ERRQUEUE) {
            if (number < e->count)
                e->sent[number] = stamp;
            continue;
        }
        if (n < 20 + 12 || bytes[20] != ICMP_ECHOREPLY)
            continue;
        memcpy(&number, bytes + 28, sizeof number);
        if (number < e->count && e->sent[number] > 0)
            e->errors[e->answered++] = stamp - e->sent[number] - e->true_ns;
    }
}

static int run_exact(int fd, struct sockaddr_in to, int64_t true_us, int64_t count, int64_t interval_us)
{
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) < 0)
        return 1;
    struct exact e = {.fd = fd, .true_ns = true_us * CLOCK_US, .count = count};
    e.sent = mem_alloc_array((size_t)count, sizeof *e.sent);
    e.errors = mem_alloc_array((size_t)count, sizeof *e.errors);
    int64_t begin = now_ns(), number = 0, end = begin + count * interval_us * CLOCK_US + CLOCK_S;
    while (now_ns() < end && e.answered < count) {
        int64_t due = begin + number * interval_us * CLOCK_US, wait = number < count ? due - now_ns() : 10 * CLOCK_MS;
        if (wait > 0) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
            struct timespec timeout = {.tv_nsec = wait < CLOCK_S ? wait : CLOCK_S - 1};
            (void)ppoll(&poll_fd, 1, &timeout, NULL);
        } else {
            uint8_t packet[PACKET_BYTES];
            fill(packet, (uint32_t)number++);
            (void)sendto(fd, packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
        }
        drain(&e, MSG_ERRQUEUE);
        drain(&e, 0);
    }
    print_errors(e.errors, e.answered, count);
    mem_free(e.sent);
    mem_free(e.errors);
    return 0;
}

static int64_t send_batch(int fd, const struct sockaddr_in *first, int64_t hosts, int64_t number, int64_t most)
{
    static uint8_t packets[BATCH][PACKET_BYTES];
    static struct sockaddr_in to[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    unsigned count = most < BATCH ? (unsigned)most : BATCH;
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < count; i++) {
        fill(packets[i], (uint32_t)(number + i));
        to[i] = *first;
        to[i].sin_addr.s_addr = htonl(ntohl(first->sin_addr.s_addr) + (uint32_t)((number + i) % hosts));
        iov[i] = (struct iovec){packets[i], PACKET_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
    }
    int sent = sendmmsg(fd, messages, count, 0);
    return sent > 0 ? sent : 0;
}

static int64_t receive_all(int fd)
{
    static uint8_t packets[BATCH][128];
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    int64_t got = 0;
    for (;;) {
        memset(messages, 0, sizeof messages);
        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){packets[i], sizeof packets[i]};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
        }
        int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            got += packets[i][20] == ICMP_ECHOREPLY;
        if (n < BATCH)
            return got;
    }
}

static int run_flood(int fd, struct sockaddr_in first, int64_t hosts, int64_t count, int64_t window)
{
    int64_t begin = now_ns(), sent = 0, got = 0, last = begin;
    while (got < count && now_ns() - last < CLOCK_S) {
        int64_t room = window - (sent - got);
        if (sent < count && room > 0)
            sent += send_batch(fd, &first, hosts, sent, room < count - sent ? room : count - sent);
        int64_t n = receive_all(fd);
        got += n;
        if (n > 0) {
            last = now_ns();
        } else {
            struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
            (void)poll(&poll_fd, 1, sent - got >= window || sent == count ? 1 : 0);
        }
    }
    double seconds = (double)(last - begin) / 1e9;
    printf("flood: %lld sent, %lld answered, %.0f echoes/s (%.0f packets/s through the lab)\n", (long long)sent,
           (long long)got, (double)got / seconds, (double)(sent + got) / seconds);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t a, b, c;
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 6 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || str_to_i64(argv[3], 0, INT32_MAX, &a) < 0 ||
        str_to_i64(argv[4], 1, INT32_MAX, &b) < 0 || str_to_i64(argv[5], 1, INT32_MAX, &c) < 0) {
        (void)fprintf(stderr, "usage: lab_bench exact ADDRESS TRUE_RTT_US COUNT INTERVAL_US\n"
                              "       lab_bench flood ADDRESS HOSTS COUNT WINDOW\n");
        return 2;
    }
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), room = 64 << 20;
    if (fd < 0) {
        perror("raw socket");
        return 1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return strcmp(argv[1], "exact") == 0 ? run_exact(fd, to, a, b, c) : run_flood(fd, to, a, b, c);
}
