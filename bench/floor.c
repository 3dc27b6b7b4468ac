/*
 * What an echo costs on this machine at least: a bare loop that sends and reads batches, without a probe engine. The
 * figures of the engine and of its peers are read beside this one.
 *
 *     floor_bench FIRST TARGETS COUNT [options]     echo requests in turn to the addresses that follow FIRST (IPv4)
 *
 * Options: --send plain | cmsg | header   nothing beside the packet; TTL, source and the stamp's number as control
 *                                         messages; or our own IP header (default) and the stamp's number
 *          --counted         the kernel counts the stamps itself: one control message less
 *          --no-stamps       no transmit stamps
 *          --deaf            nor are answers heard: what sending alone costs, with what the far end does in our time
 *          --batch N         packets of one system call (64)
 *          --pps N --tick US packets a second, sent and read in ticks; without it as fast as it goes
 *          --sleep nanosleep | timer | periodic | epoll    how the tick is waited for (timer: a timerfd set each time)
 *          --idle            with --pps and a tick: wakes up but sends nothing
 * Prints one line of JSON.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "base/str.h"

#ifndef SCM_TS_OPT_ID
#define SCM_TS_OPT_ID 81 /* Linux 6.13 */
#endif
#define BATCH_MAX 256u
#define PACKET_BYTES 84u /* as ping and fping send: 56 bytes of payload */
#define OPEN_MAX 8192    /* echoes without an answer yet, when unpaced */
#define ECHO_ID 0x4f43
#define LINGER_NS (300 * CLOCK_MS)

enum way { WAY_PLAIN, WAY_CMSG, WAY_HEADER };
enum nap { NAP_NANOSLEEP, NAP_TIMER, NAP_PERIODIC, NAP_EPOLL };

struct batch {
    struct mmsghdr messages[BATCH_MAX];
    struct iovec vectors[BATCH_MAX];
    struct sockaddr_in names[BATCH_MAX];
    _Alignas(struct cmsghdr) uint8_t control[BATCH_MAX][192];
    uint8_t bytes[BATCH_MAX][256];
};

struct floor {
    struct sockaddr_in first, source;
    uint64_t target_count, count, batch, pps, tick_us;
    int way, nap;
    bool has_stamps, is_counted, is_idle, is_deaf;
    int out_fd, in_fd, timer_fd, epoll_fd;
    uint64_t sent, received, stamps, wakeups;
};

static struct batch out, in;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    return clock_mono_ns(&clock_real);
}

static uint16_t checksum(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)b[i] << 8 | b[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* --- sockets -------------------------------------------------------------------------------------------------------- */

static void set(int fd, int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof value) != 0)
        fail("setsockopt");
}

static void open_sockets(struct floor *self)
{
    struct sock_filter ours[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 24), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ECHO_ID, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),      BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {sizeof ours / sizeof ours[0], ours};
    if (self->is_deaf)
        program = (struct sock_fprog){1, none};
    unsigned rx = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    unsigned tx = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_OPT_ID;
    self->in_fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
    self->out_fd = self->way == WAY_HEADER ? socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_RAW) : self->in_fd;
    if (self->in_fd < 0 || self->out_fd < 0)
        fail("socket");
    set(self->in_fd, SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20);
    set(self->out_fd, SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20);
    if (setsockopt(self->in_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        fail("filter");
    if (self->has_stamps && self->out_fd != self->in_fd) {
        set(self->out_fd, SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20);
        set(self->out_fd, SOL_SOCKET, SO_TIMESTAMPING, (int)(tx | SOF_TIMESTAMPING_SOFTWARE));
    } else if (self->has_stamps) {
        rx |= tx;
    }
    set(self->in_fd, SOL_SOCKET, SO_TIMESTAMPING, (int)rx);
    socklen_t size = sizeof self->source;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&self->first, sizeof self->first) != 0 ||
        getsockname(fd, (struct sockaddr *)&self->source, &size) != 0)
        fail("route");
    (void)close(fd);
}

/* --- packets -------------------------------------------------------------------------------------------------------- */

static void put_control(struct msghdr *message, int level, int type, const void *data, size_t size)
{
    struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), data, size);
    message->msg_controllen += CMSG_SPACE(size);
}

static void build(struct floor *self, unsigned i, uint64_t number)
{
    struct sockaddr_in *name = &out.names[i];
    uint8_t *bytes = out.bytes[i];
    size_t head = self->way == WAY_HEADER ? sizeof(struct iphdr) : 0;
    *name = self->first;
    name->sin_addr.s_addr = htonl(ntohl(self->first.sin_addr.s_addr) + (uint32_t)(number % self->target_count));
    struct icmphdr *icmp = (struct icmphdr *)(bytes + head);
    memset(bytes, 0, PACKET_BYTES);
    icmp->type = ICMP_ECHO;
    icmp->un.echo.id = htons(ECHO_ID);
    icmp->un.echo.sequence = htons((uint16_t)(number / self->target_count));
    icmp->checksum = checksum(icmp, PACKET_BYTES - sizeof(struct iphdr));
    if (head) {
        struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(PACKET_BYTES), .id = htons((uint16_t)number),
                           .frag_off = htons(0x4000), .ttl = 64, .protocol = IPPROTO_ICMP,
                           .saddr = self->source.sin_addr.s_addr, .daddr = name->sin_addr.s_addr};
        memcpy(bytes, &ip, sizeof ip);
    }
    out.vectors[i] = (struct iovec){bytes, PACKET_BYTES - sizeof(struct iphdr) + head};
    struct msghdr *message = &out.messages[i].msg_hdr;
    *message = (struct msghdr){.msg_name = name, .msg_namelen = sizeof *name, .msg_iov = &out.vectors[i],
                               .msg_iovlen = 1, .msg_control = out.control[i]};
    if (self->way == WAY_CMSG) {
        int ttl = 64;
        struct in_pktinfo info = {.ipi_spec_dst = self->source.sin_addr};
        put_control(message, SOL_IP, IP_TTL, &ttl, sizeof ttl);
        put_control(message, SOL_IP, IP_PKTINFO, &info, sizeof info);
    }
    uint32_t token = (uint32_t)number;
    if (self->has_stamps && !self->is_counted && self->way != WAY_PLAIN)
        put_control(message, SOL_SOCKET, SCM_TS_OPT_ID, &token, sizeof token);
    if (message->msg_controllen == 0)
        message->msg_control = NULL;
}

static void send_some(struct floor *self, uint64_t limit)
{
    uint64_t left = limit - self->sent;
    unsigned n = (unsigned)(left < self->batch ? left : self->batch);
    for (unsigned i = 0; i < n; i++)
        build(self, i, self->sent + i);
    int done = sendmmsg(self->out_fd, out.messages, n, MSG_DONTWAIT);
    if (done > 0)
        self->sent += (uint64_t)done;
    else if (errno != EAGAIN && errno != ENOBUFS)
        fail("sendmmsg");
}

static uint64_t read_all(struct floor *self, int fd, int flags)
{
    uint64_t sum = 0;
    for (;;) {
        for (unsigned i = 0; i < self->batch; i++) {
            in.vectors[i] = (struct iovec){in.bytes[i], sizeof in.bytes[i]};
            in.messages[i].msg_hdr = (struct msghdr){.msg_iov = &in.vectors[i], .msg_iovlen = 1,
                                                     .msg_control = in.control[i],
                                                     .msg_controllen = sizeof in.control[i]};
        }
        int n = recvmmsg(fd, in.messages, (unsigned)self->batch, flags | MSG_DONTWAIT, NULL);
        if (n <= 0)
            return sum;
        sum += (uint64_t)n;
        if ((uint64_t)n < self->batch)
            return sum;
    }
}

static void read_both(struct floor *self)
{
    if (self->has_stamps && self->stamps < self->sent)
        self->stamps += read_all(self, self->out_fd, MSG_ERRQUEUE);
    self->received += self->is_deaf ? self->sent - self->received : read_all(self, self->in_fd, 0);
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

static void open_timer(struct floor *self)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec each = {.it_interval = {.tv_nsec = (long)self->tick_us * 1000},
                              .it_value = {.tv_nsec = (long)self->tick_us * 1000}};
    self->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    self->epoll_fd = epoll_create1(0);
    if (self->timer_fd < 0 || self->epoll_fd < 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->timer_fd, &event) != 0)
        fail("timer");
    if (self->nap == NAP_PERIODIC)
        (void)timerfd_settime(self->timer_fd, 0, &each, NULL);
}

static void sleep_until(struct floor *self, int64_t due)
{
    struct timespec at = {due / CLOCK_S, due % CLOCK_S};
    struct itimerspec once = {.it_value = at};
    struct epoll_event event;
    uint64_t expired;
    self->wakeups++;
    switch ((enum nap)self->nap) {
    case NAP_NANOSLEEP:
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        return;
    case NAP_EPOLL: {
        int64_t left = due - now_ns();
        struct timespec wait = {0, left > 0 ? left : 0};
        (void)epoll_pwait2(self->epoll_fd, &event, 1, &wait, NULL);
        return;
    }
    case NAP_TIMER:
        (void)timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &once, NULL);
        break;
    case NAP_PERIODIC:
        break;
    }
    (void)epoll_wait(self->epoll_fd, &event, 1, -1);
    (void)!read(self->timer_fd, &expired, sizeof expired);
}

static void run_paced(struct floor *self)
{
    int64_t start = now_ns(), tick = (int64_t)self->tick_us * 1000, due = start, quiet_since = 0;
    uint64_t ticks = 0, last = self->count * 1000000 / self->pps / self->tick_us;
    while (self->is_idle ? ticks < last : self->received < self->count) {
        ticks++;
        due += tick;
        sleep_until(self, due);
        int64_t now = now_ns();
        uint64_t limit = (uint64_t)((now - start) / CLOCK_US) * self->pps / 1000000;
        if (self->is_idle)
            continue;
        if (limit > self->count)
            limit = self->count;
        read_both(self); /* the answers of the tick before, as on a path of more than a tick */
        while (self->sent < limit)
            send_some(self, limit);
        if (self->sent < self->count)
            quiet_since = now;
        else if (now - quiet_since > LINGER_NS)
            return;
    }
}

static void run_unpaced(struct floor *self)
{
    int64_t heard = now_ns();
    while (self->received < self->count) {
        uint64_t before = self->received;
        if (self->sent < self->count && self->sent - self->received < OPEN_MAX)
            send_some(self, self->count);
        read_both(self);
        if (self->received != before || self->sent < self->count)
            heard = now_ns();
        else if (now_ns() - heard > LINGER_NS)
            return;
        if (self->received == before) {
            struct pollfd poll_fd = {self->in_fd, POLLIN, 0};
            (void)poll(&poll_fd, 1, 1);
        }
    }
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: floor_bench FIRST TARGETS COUNT [--send WAY] [--counted] [--no-stamps] [--deaf] [--batch N] "
                          "[--pps N --tick US] [--sleep HOW] [--idle]\n");
    return 2;
}

static int read_options(struct floor *self, int argc, char **argv)
{
    static const char *const ways[] = {"plain", "cmsg", "header", NULL};
    static const char *const naps[] = {"nanosleep", "timer", "periodic", "epoll", NULL};
    union sock_addr first;
    if (argc < 4 || sock_parse_ip(argv[1], &first) != 0 || first.sa.sa_family != AF_INET ||
        str_to_u64(argv[2], 65536, &self->target_count) != 0 || str_to_u64(argv[3], 100000000, &self->count) != 0 ||
        self->target_count == 0)
        return usage();
    self->first = first.in4;
    for (int i = 4; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool is_pair = true;
        int rc = 0;
        if (strcmp(argv[i], "--send") == 0)
            rc = (self->way = str_index(value, ways)) < 0;
        else if (strcmp(argv[i], "--sleep") == 0)
            rc = (self->nap = str_index(value, naps)) < 0;
        else if (strcmp(argv[i], "--batch") == 0)
            rc = str_to_u64(value, BATCH_MAX, &self->batch) != 0 || self->batch == 0;
        else if (strcmp(argv[i], "--pps") == 0)
            rc = str_to_u64(value, 1000000, &self->pps) != 0;
        else if (strcmp(argv[i], "--tick") == 0)
            rc = str_to_u64(value, 500000, &self->tick_us) != 0 || self->tick_us == 0;
        else
            is_pair = false;
        if (rc)
            return usage();
        if (strcmp(argv[i], "--no-stamps") == 0)
            self->has_stamps = false;
        else if (strcmp(argv[i], "--deaf") == 0)
            self->is_deaf = true;
        else if (strcmp(argv[i], "--counted") == 0)
            self->is_counted = true;
        else if (strcmp(argv[i], "--idle") == 0)
            self->is_idle = true;
        else if (!is_pair)
            return usage();
        i += is_pair;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct floor self = {.batch = 64, .way = WAY_HEADER, .has_stamps = true, .tick_us = 1000, .timer_fd = -1};
    int rc = read_options(&self, argc, argv);
    if (rc)
        return rc;
    self.has_stamps = self.has_stamps && !self.is_deaf;
    open_sockets(&self);
    open_timer(&self);
    int64_t start = now_ns();
    if (self.pps)
        run_paced(&self);
    else
        run_unpaced(&self);
    double wall_s = (double)(now_ns() - start) / 1e9;
    read_both(&self);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    uint64_t per = self.is_idle ? self.wakeups : self.sent;
    (void)printf("{\"sent\":%llu,\"received\":%llu,\"stamps\":%llu,\"wakeups\":%llu,\"wallS\":%.3f,\"cpuS\":%.4f,"
                 "\"userS\":%.4f,\"usPerProbe\":%.2f}\n",
                 (unsigned long long)self.sent, (unsigned long long)self.received, (unsigned long long)self.stamps,
                 (unsigned long long)self.wakeups, wall_s, cpu_s, seconds(usage.ru_utime),
                 per ? cpu_s * 1e6 / (double)per : 0.0);
    return 0;
}
