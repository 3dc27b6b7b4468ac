/*
 * The Linux side of the seam: for each family one raw socket that sends (a mouth) and one for each protocol that receives
 * (an ear), batches both ways, stamps from the kernel.
 *
 * Packets leave with an IP header of our own: that is cheaper than telling the kernel what to write into one, and the
 * identification is ours to choose.
 *
 * Which packet a transmit stamp belongs to: since Linux 6.13 the sender names it in a control message; before that the
 * kernel counts the packets of a socket, and we count along. A packet that fails on the way may or may not have been
 * counted, so after a failure the count is started afresh (turning SOF_TIMESTAMPING_OPT_ID off and on does that).
 *
 * Stamps wake nobody: they are read whenever something else does, and always before the answers are.
 *
 * Drops: SO_MEMINFO tells the same counter that SO_RXQ_OVFL attaches to packets, and tells it also when no further
 * packet comes. It is asked only when the buffer may have been full.
 *
 * An ear whose protocol has not been sent for a while hears nothing (a filter that refuses all), so that an idle agent
 * costs nothing on a machine that gets other people's answers.
 */
#include "probe/io_linux.h"

#include <assert.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "probe/filter_linux.h"
#include "probe/packet.h"
#include "probe/stamp.h"
#include "probe/warm_linux.h"

#ifndef SCM_TS_OPT_ID
#define SCM_TS_OPT_ID 81 /* Linux 6.13 */
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define MEMINFO_ALLOCATED 0 /* SK_MEMINFO_RMEM_ALLOC of linux/sock_diag.h */
#define MEMINFO_BUFFER 1    /* SK_MEMINFO_RCVBUF */
#define MEMINFO_DROPS 8 /* SK_MEMINFO_DROPS of linux/sock_diag.h */
#define PACKET_MEMORY 20480u /* that a packet takes of a receive buffer at most, at 9000 bytes */
#define MERGED_MEMORY (256u << 10) /* that segments take which the kernel has merged into one, at most */
#define MEMINFO_COUNT 9

#define BATCH 64u
#define EARS 6u /* ICMP, TCP, UDP; IPv4 and IPv6 of each */
#define IP4_HEADER_BYTES 20u
#define IP6_HEADER_BYTES 40u
#define CONTROL_BYTES 256u
#define KEY_RING 65536u           /* packets whose transmit stamp may still be out, when we count */
#define DEAF_AFTER_NS (30 * CLOCK_S) /* no round waits that long after its last packet */

enum own_ids { OWN_IDS_UNKNOWN, OWN_IDS_YES, OWN_IDS_NO };

struct mouth {
    int fd; /* -1 = no such family */
    int family;
    bool has_tx_stamps;
    enum own_ids own_ids; /* unknown until a packet was sent on machines without IPv4 */
    uint32_t next_key;  /* the number the kernel gives the next packet, when we count */
    uint32_t *tokens;   /* by key % KEY_RING, when we count */
    bool has_lost_count; /* a failed packet may or may not have been counted */
    uint32_t unstamped; /* packets whose transmit stamp has not come */
};

struct ear {
    int fd; /* -1 = no such family */
    int family;
    uint8_t protocol;
    bool is_deaf, is_watched;
    int64_t last_send_ns; /* of what may be answered here */
    uint64_t dropped;
    uint32_t drop_counter; /* the kernel's, which wraps */
    uint32_t drained;      /* packets read since that was looked at, or was known to stand still */
    uint32_t buffer;       /* bytes */
    bool is_empty;         /* the last read left nothing */
};

struct outgoing {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union sock_addr names[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_BYTES];
};

/* Prepared once; then only what the kernel has written on is restored. An IPv4 packet tells itself where it comes from. */
struct incoming {
    struct mmsghdr messages[2][BATCH]; /* without and with names */
    unsigned used[2];
    struct iovec vectors[BATCH];
    union sock_addr names[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_BYTES];
    uint8_t bytes[BATCH][PACKET_MAX_BYTES + 60];
};

struct io_linux {
    struct probe_io io; /* first member */
    struct loop *loop;
    struct loop_timer timer;
    struct stamp_clock clock;
    struct mouth mouths[2]; /* IPv4, IPv6 */
    struct ear ears[EARS];  /* by ear_of */
    int routes[2];
    int quiet[PROBE_QUIET_PORTS];
    uint16_t quiet_ports[PROBE_QUIET_PORTS];
    size_t quiet_count;
    unsigned stamp_at, receive_at; /* the socket read next */
    unsigned without;
    struct outgoing out;
    struct incoming in;
};

static struct io_linux *linux_of(const struct probe_io *io)
{
    return (struct io_linux *)(uintptr_t)io;
}

static int64_t linux_mono_ns(const struct probe_io *io)
{
    (void)io;
    return clock_mono_ns(&clock_real);
}

static int64_t linux_wall_ns(const struct probe_io *io)
{
    (void)io;
    return clock_wall_ns(&clock_real);
}

/* Reads both clocks close together: the narrowest of a few tries. Returns the monotonic time. */
static int64_t read_clocks(struct io_linux *self)
{
    int64_t best_slack = INT64_MAX, mono = 0, wall = 0;
    for (int i = 0; i < 4 && best_slack > 2 * CLOCK_US; i++) {
        int64_t before = clock_mono_ns(&clock_real);
        int64_t now = clock_wall_ns(&clock_real);
        int64_t after = clock_mono_ns(&clock_real);
        if (after - before < best_slack) {
            best_slack = after - before;
            mono = before + best_slack / 2;
            wall = now;
        }
    }
    stamp_clock_read(&self->clock, mono, wall, best_slack);
    return mono;
}

static bool linux_has_family(const struct probe_io *io, int family)
{
    return linux_of(io)->mouths[family == AF_INET6].fd >= 0;
}

/* --- listening ------------------------------------------------------------------------------------------------------ */

static int hear(struct ear *ear)
{
    ear->is_deaf = false;
    return filter_answers(ear->fd, ear->family, ear->protocol);
}

static void deafen(struct ear *ear)
{
    ear->is_deaf = filter_everything(ear->fd) == 0;
}

/* --- transmit stamps ------------------------------------------------------------------------------------------------ */

static int set_stamping(const struct mouth *mouth, bool has_ids)
{
    unsigned flags = SOF_TIMESTAMPING_SOFTWARE;
    if (mouth->has_tx_stamps)
        flags |= SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
    if (mouth->has_tx_stamps && has_ids)
        flags |= SOF_TIMESTAMPING_OPT_ID;
    return setsockopt(mouth->fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags);
}

static void put_control(struct msghdr *message, int level, int type, const void *data, size_t size)
{
    struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);
    assert(message->msg_controllen + CMSG_SPACE(size) <= CONTROL_BYTES);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), data, size);
    message->msg_controllen += CMSG_SPACE(size);
}

static void count_afresh(struct mouth *mouth)
{
    (void)set_stamping(mouth, false);
    (void)set_stamping(mouth, true);
    mouth->next_key = 0;
}

static void count_ourselves(struct mouth *mouth)
{
    mouth->own_ids = OWN_IDS_NO;
    mouth->tokens = mem_alloc_array(KEY_RING, sizeof *mouth->tokens);
    count_afresh(mouth);
}

/*
 * Whether the kernel lets us name packets ourselves, asked by a packet that is refused for another reason: a broadcast
 * from a socket that may not broadcast. Nothing is sent.
 */
static enum own_ids ask_for_own_ids(const struct mouth *mouth)
{
    union sock_addr everybody = {.in4 = {.sin_family = AF_INET, .sin_addr.s_addr = INADDR_BROADCAST}};
    uint8_t bytes[IP4_HEADER_BYTES] = {0x45, [8] = 1, [9] = IPPROTO_RAW, [16] = 255, 255, 255, 255};
    struct iovec vector = {bytes, sizeof bytes};
    _Alignas(struct cmsghdr) uint8_t control[64] = {0};
    struct msghdr message = {.msg_name = &everybody,
                             .msg_namelen = sizeof everybody.in4,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control};
    uint32_t id = 0;
    put_control(&message, SOL_SOCKET, SCM_TS_OPT_ID, &id, sizeof id);
    return sendmsg(mouth->fd, &message, MSG_DONTWAIT) < 0 && errno == EINVAL ? OWN_IDS_NO : OWN_IDS_YES;
}

static int64_t stamp_of(const struct scm_timestamping *stamping)
{
    return (int64_t)stamping->ts[0].tv_sec * CLOCK_S + stamping->ts[0].tv_nsec;
}

static bool read_stamp(const struct mouth *mouth, struct msghdr *message, struct probe_io_stamp *ret_stamp)
{
    int64_t stamp = 0;
    bool has_key = false;
    uint32_t key = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamping;
            memcpy(&stamping, CMSG_DATA(c), sizeof stamping);
            stamp = stamp_of(&stamping);
        } else if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
                   (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err extended;
            memcpy(&extended, CMSG_DATA(c), sizeof extended);
            has_key = extended.ee_origin == SO_EE_ORIGIN_TIMESTAMPING && extended.ee_info == SCM_TSTAMP_SND;
            key = extended.ee_data;
        }
    }
    if (stamp == 0 || !has_key || (mouth->own_ids == OWN_IDS_NO && key - mouth->next_key < UINT32_MAX / 2))
        return false;
    ret_stamp->token = mouth->own_ids == OWN_IDS_NO ? mouth->tokens[key % KEY_RING] : key;
    ret_stamp->tx_ns = stamp;
    return true;
}

static void prepare_incoming(struct incoming *in)
{
    for (unsigned i = 0; i < BATCH; i++) {
        in->vectors[i] = (struct iovec){in->bytes[i], sizeof in->bytes[i]};
        for (unsigned k = 0; k < 2; k++)
            in->messages[k][i].msg_hdr = (struct msghdr){.msg_name = k ? &in->names[i] : NULL,
                                                         .msg_iov = &in->vectors[i],
                                                         .msg_iovlen = 1,
                                                         .msg_control = in->control[i]};
    }
    in->used[0] = in->used[1] = BATCH;
}

/* Reads at most `room` messages, less than *ret_asked when there were no more; they are in in->messages[has_names]. */
static int receive(struct incoming *in, int fd, bool has_names, int flags, size_t room, unsigned *ret_asked)
{
    unsigned asked = room < BATCH ? (unsigned)room : BATCH;
    for (unsigned i = 0; i < in->used[has_names]; i++) {
        struct msghdr *message = &in->messages[has_names][i].msg_hdr;
        message->msg_namelen = has_names ? sizeof in->names[i] : 0;
        message->msg_controllen = CONTROL_BYTES;
        message->msg_flags = 0;
    }
    in->used[has_names] = 0;
    int n = recvmmsg(fd, in->messages[has_names], asked, flags | MSG_DONTWAIT, NULL);
    if (n > 0)
        in->used[has_names] = (unsigned)n;
    *ret_asked = asked;
    return n;
}

static size_t linux_stamps(struct probe_io *io, struct probe_io_stamp *out, size_t room)
{
    struct io_linux *self = linux_of(io);
    for (; self->stamp_at < 2; self->stamp_at++) {
        struct mouth *mouth = &self->mouths[self->stamp_at];
        if (mouth->fd < 0 || mouth->unstamped == 0)
            continue;
        unsigned asked;
        int n = receive(&self->in, mouth->fd, false, MSG_ERRQUEUE, room, &asked);
        if (n <= 0)
            continue;
        (void)read_clocks(self);
        size_t count = 0;
        for (int i = 0; i < n; i++) {
            if (read_stamp(mouth, &self->in.messages[0][i].msg_hdr, &out[count])) {
                out[count].tx_ns = stamp_to_mono(&self->clock, out[count].tx_ns);
                count++;
            }
        }
        mouth->unstamped -= mouth->unstamped < count ? mouth->unstamped : (uint32_t)count;
        if ((unsigned)n < asked)
            self->stamp_at++; /* there was no more */
        if (count > 0)
            return count;
        self->stamp_at--; /* only strange messages: look again */
    }
    self->stamp_at = 0;
    return 0;
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

/* The kernel fills in the checksum, and the source when it is 0. */
static void put_ip4(uint8_t *p, const struct probe_io_packet *packet)
{
    memset(p, 0, IP4_HEADER_BYTES);
    p[0] = 0x45;
    p[1] = packet->tos;
    bytes_put16(p + 2, IP4_HEADER_BYTES + packet->size);
    bytes_put16(p + 4, packet->ip_id);
    p[6] = 0x40; /* never to be cut */
    p[8] = packet->ttl;
    p[9] = packet->protocol;
    if (sock_is_set(&packet->src))
        memcpy(p + 12, &packet->src.in4.sin_addr, 4);
    memcpy(p + 16, &packet->dst.in4.sin_addr, 4);
}

static void put_ip6(uint8_t *p, const struct probe_io_packet *packet)
{
    memset(p, 0, IP6_HEADER_BYTES);
    p[0] = (uint8_t)(0x60 | packet->tos >> 4);
    p[1] = (uint8_t)(packet->tos << 4 | (int)(packet->flow_label >> 16 & 15));
    bytes_put16(p + 2, packet->flow_label & 0xffff);
    bytes_put16(p + 4, packet->size);
    p[6] = packet->protocol;
    p[7] = packet->ttl;
    if (sock_is_set(&packet->src))
        memcpy(p + 8, &packet->src.in6.sin6_addr, 16);
    memcpy(p + 24, &packet->dst.in6.sin6_addr, 16);
}

static void put_options(const struct mouth *mouth, const struct probe_io_packet *packet, struct msghdr *message)
{
    if (packet->has_own_src && mouth->family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = packet->src.in6.sin6_addr};
        put_control(message, SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
    } else if (packet->has_own_src) {
        struct in_pktinfo info = {.ipi_spec_dst = packet->src.in4.sin_addr};
        put_control(message, SOL_IP, IP_PKTINFO, &info, sizeof info);
    }
    if (mouth->has_tx_stamps && mouth->own_ids != OWN_IDS_NO)
        put_control(message, SOL_SOCKET, SCM_TS_OPT_ID, &packet->token, sizeof packet->token);
}

/* The header goes right before the packet: one piece costs the kernel less than two. */
static void prepare_send(struct outgoing *out, const struct mouth *mouth, const struct probe_io_packet *packet, unsigned i)
{
    union sock_addr *name = &out->names[i];
    *name = packet->dst;
    sock_set_port(name, 0);
    size_t header = mouth->family == AF_INET6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;
    uint8_t *bytes = (uint8_t *)(uintptr_t)packet->bytes - header;
    if (mouth->family == AF_INET6)
        put_ip6(bytes, packet);
    else
        put_ip4(bytes, packet);
    out->vectors[i] = (struct iovec){bytes, header + packet->size};
    struct msghdr *message = &out->messages[i].msg_hdr;
    *message = (struct msghdr){.msg_name = name,
                               .msg_namelen = sock_len(name),
                               .msg_iov = &out->vectors[i],
                               .msg_iovlen = 1,
                               .msg_control = out->control[i]};
    put_options(mouth, packet, message);
}

static bool is_full(int sys_errno)
{
    return sys_errno == EAGAIN || sys_errno == ENOBUFS || sys_errno == ENOMEM;
}

/* The kernel looks at the way and at the size before it counts a packet. */
static bool is_before_counting(int sys_errno)
{
    return sys_errno == ENETUNREACH || sys_errno == EHOSTUNREACH || sys_errno == EACCES || sys_errno == EINVAL ||
           sys_errno == EMSGSIZE;
}

/* Hands over packets of one family; returns how many were dealt with, the failed one included. */
static size_t send_run(struct io_linux *self, struct mouth *mouth, struct probe_io_packet *packets, size_t count)
{
    for (unsigned i = 0; i < count; i++)
        prepare_send(&self->out, mouth, &packets[i], i);
    int64_t now = clock_mono_ns(&clock_real);
    int n = sendmmsg(mouth->fd, self->out.messages, (unsigned)count, MSG_DONTWAIT);
    int failure = n < 0 ? errno : 0;
    if (failure == EINVAL && mouth->has_tx_stamps && mouth->own_ids == OWN_IDS_UNKNOWN) {
        /* Either this kernel does not know the control message, or the packet is bad: without it we shall see. */
        count_ourselves(mouth);
        return send_run(self, mouth, packets, count);
    }
    size_t done = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; i < done; i++) {
        packets[i].sent_ns = now;
        packets[i].error = 0;
        if (mouth->own_ids == OWN_IDS_NO && mouth->tokens)
            mouth->tokens[mouth->next_key++ % KEY_RING] = packets[i].token;
    }
    if (mouth->has_tx_stamps)
        mouth->unstamped += (uint32_t)done;
    if (done > 0 && mouth->own_ids == OWN_IDS_UNKNOWN)
        mouth->own_ids = OWN_IDS_YES;
    if (n < 0 && !is_full(failure)) {
        packets[0].sent_ns = now;
        packets[0].error = failure;
        done = 1;
    }
    mouth->has_lost_count = n < 0 && mouth->own_ids == OWN_IDS_NO && mouth->has_tx_stamps && !is_before_counting(failure);
    return done;
}

static unsigned ear_of(uint8_t protocol, int family)
{
    unsigned kind = protocol == IPPROTO_TCP ? 1 : protocol == IPPROTO_UDP ? 2 : 0;
    return 2 * kind + (family == AF_INET6);
}

/* Errors may answer everything. */
static void listen_for(struct io_linux *self, const struct probe_io_packet *packet, int64_t now)
{
    int family = packet->dst.sa.sa_family;
    struct ear *ears[2] = {&self->ears[ear_of(packet->protocol, family)], &self->ears[ear_of(IPPROTO_ICMP, family)]};
    for (unsigned i = 0; i < 2; i++) {
        ears[i]->last_send_ns = now;
        if (ears[i]->fd >= 0 && ears[i]->is_deaf)
            (void)hear(ears[i]);
    }
}

static size_t linux_send(struct probe_io *io, struct probe_io_packet *packets, size_t count)
{
    struct io_linux *self = linux_of(io);
    int64_t now = clock_mono_ns(&clock_real);
    size_t at = 0;
    while (at < count) {
        int family = packets[at].dst.sa.sa_family;
        struct mouth *mouth = &self->mouths[family == AF_INET6];
        size_t run = 0;
        for (; at + run < count && run < BATCH && packets[at + run].dst.sa.sa_family == family; run++)
            listen_for(self, &packets[at + run], now);
        if (mouth->fd < 0) {
            packets[at].sent_ns = now;
            packets[at++].error = EAFNOSUPPORT;
            continue;
        }
        if (mouth->has_lost_count) {
            count_afresh(mouth);
            mouth->has_lost_count = false;
        }
        size_t done = send_run(self, mouth, packets + at, run);
        at += done;
        if (done == 0 || mouth->has_lost_count)
            break; /* the stamps that are due are read first */
    }
    return at;
}

/* --- receiving ------------------------------------------------------------------------------------------------------- */

static void read_reply_control(struct msghdr *message, struct probe_io_reply *reply)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int value;
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamping;
            memcpy(&stamping, CMSG_DATA(c), sizeof stamping);
            reply->rx_ns = stamp_of(&stamping);
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) {
            memcpy(&value, CMSG_DATA(c), sizeof value);
            reply->ttl = (uint8_t)value;
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&value, CMSG_DATA(c), sizeof value);
            reply->tos = (uint8_t)value;
        }
    }
}

/* False when it is not a packet we can use. */
static bool read_reply(struct io_linux *self, const struct ear *ear, unsigned i, int64_t now, struct probe_io_reply *reply)
{
    struct mmsghdr *message = &self->in.messages[ear->family == AF_INET6][i];
    size_t size = message->msg_len;
    *reply = (struct probe_io_reply){.bytes = self->in.bytes[i], .size = size, .protocol = ear->protocol};
    read_reply_control(&message->msg_hdr, reply);
    reply->is_estimated = reply->rx_ns == 0;
    reply->rx_ns = reply->is_estimated ? now : stamp_to_mono(&self->clock, reply->rx_ns);
    if (ear->family == AF_INET6) {
        reply->src = self->in.names[i];
        sock_set_port(&reply->src, 0);
        return true;
    }
    struct packet_ip ip;
    if (packet_parse_ip(AF_INET, self->in.bytes[i], size, &ip) != 0 || ip.is_fragment)
        return false;
    reply->src = ip.src;
    reply->protocol = ip.protocol;
    reply->ttl = ip.ttl;
    reply->tos = ip.tos;
    reply->bytes = ip.payload;
    reply->size = ip.payload_size;
    return true;
}

static size_t linux_receive(struct probe_io *io, struct probe_io_reply *out, size_t room)
{
    struct io_linux *self = linux_of(io);
    for (; self->receive_at < EARS; self->receive_at++) {
        struct ear *ear = &self->ears[self->receive_at];
        if (ear->fd < 0 || ear->is_deaf)
            continue;
        unsigned asked;
        int n = receive(&self->in, ear->fd, ear->family == AF_INET6, 0, room, &asked);
        ear->is_empty = n < 0 ? errno == EAGAIN : (unsigned)n < asked;
        if (n <= 0)
            continue;
        ear->drained += (uint32_t)n;
        int64_t now = read_clocks(self);
        size_t count = 0;
        for (unsigned i = 0; i < (unsigned)n; i++) {
            if (read_reply(self, ear, i, now, &out[count]))
                count++;
        }
        if ((unsigned)n < asked)
            self->receive_at++; /* there was no more */
        if (count > 0)
            return count;
        self->receive_at--;
    }
    self->receive_at = 0;
    return 0;
}

static void look_for_drops(struct ear *ear)
{
    uint32_t info[MEMINFO_COUNT] = {0};
    socklen_t size = sizeof info;
    if (getsockopt(ear->fd, SOL_SOCKET, SO_MEMINFO, info, &size) != 0)
        return;
    /* Raw sockets of IPv6 count packets with a wrong checksum, too, which the network damaged: where the buffer
     * cannot have been full since the last look it was those. */
    uint64_t most = info[MEMINFO_ALLOCATED] + (uint64_t)ear->drained * PACKET_MEMORY;
    if (ear->family == AF_INET || most >= info[MEMINFO_BUFFER])
        ear->dropped += info[MEMINFO_DROPS] - ear->drop_counter;
    ear->drop_counter = info[MEMINFO_DROPS];
    ear->buffer = info[MEMINFO_BUFFER];
}

/* All that was queued since the buffer was last empty has been read: nothing was dropped when that had room, and the kernel
 * need not be asked. In IPv6 it is, because what was damaged is to be told from what comes later. */
static bool cannot_have_dropped(const struct ear *ear)
{
    return ear->family == AF_INET && ear->is_empty && ((uint64_t)ear->drained + 1) * MERGED_MEMORY < ear->buffer;
}

static uint64_t linux_dropped(struct probe_io *io)
{
    struct io_linux *self = linux_of(io);
    uint64_t sum = 0;
    for (unsigned i = 0; i < EARS; i++) {
        struct ear *ear = &self->ears[i];
        if (ear->fd >= 0 && !ear->is_deaf && !cannot_have_dropped(ear))
            look_for_drops(ear);
        ear->drained = 0;
        sum += ear->dropped;
    }
    return sum;
}

/* --- waiting --------------------------------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct io_linux *self = user;
    self->io.wake(self->io.user);
}

static void on_ready(void *user, int fd, unsigned events)
{
    struct io_linux *self = user;
    (void)fd;
    (void)events;
    self->io.wake(self->io.user);
}

/* A descriptor that the loop does not know costs nothing when a packet comes; one it ignores costs a call-back. */
static void watch(struct io_linux *self, struct ear *ear, bool is_wanted)
{
    if (is_wanted == ear->is_watched)
        return;
    if (!is_wanted)
        loop_remove(self->loop, ear->fd);
    else if (loop_add(self->loop, ear->fd, LOOP_READ, on_ready, self, NULL) != 0)
        return;
    ear->is_watched = is_wanted;
}

static void linux_wait(struct probe_io *io, int64_t due_ns, bool wants_input)
{
    struct io_linux *self = linux_of(io);
    int64_t now = clock_mono_ns(&clock_real);
    bool is_idle = due_ns == PROBE_IO_NEVER && !wants_input;
    for (unsigned i = 0; i < EARS; i++) {
        struct ear *ear = &self->ears[i];
        if (ear->fd < 0)
            continue;
        if (!ear->is_deaf && (is_idle || now - ear->last_send_ns > DEAF_AFTER_NS))
            deafen(ear);
        watch(self, ear, wants_input && !ear->is_deaf);
    }
    if (due_ns == PROBE_IO_NEVER)
        loop_timer_stop(self->loop, &self->timer);
    else if (!loop_timer_is_armed(&self->timer) || self->timer.due_ns != due_ns)
        loop_timer_start(self->loop, &self->timer, due_ns);
}

static size_t linux_quiet_ports(const struct probe_io *io, const uint16_t **ret_ports)
{
    *ret_ports = linux_of(io)->quiet_ports;
    return linux_of(io)->quiet_count;
}

/* --- making and closing ---------------------------------------------------------------------------------------------- */

/* A datagram socket that is connected sends nothing; the kernel only looks the way up. */
static bool linux_find_source(const struct probe_io *io, const union sock_addr *dst, union sock_addr *ret_src)
{
    int fd = linux_of(io)->routes[dst->sa.sa_family == AF_INET6];
    union sock_addr to = *dst, src = {0};
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    socklen_t size = sizeof src;
    sock_set_port(&to, 9);
    if (fd < 0 || connect(fd, &nowhere, sizeof nowhere) != 0 || connect(fd, &to.sa, sock_len(&to)) != 0 ||
        getsockname(fd, &src.sa, &size) != 0)
        return false;
    sock_set_port(&src, 0);
    *ret_src = src;
    return true;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static void linux_close(struct probe_io *io)
{
    struct io_linux *self = linux_of(io);
    loop_timer_stop(self->loop, &self->timer);
    for (unsigned i = 0; i < EARS; i++) {
        loop_remove(self->loop, self->ears[i].fd);
        close_if_open(self->ears[i].fd);
    }
    for (unsigned i = 0; i < 2; i++) {
        close_if_open(self->mouths[i].fd);
        close_if_open(self->routes[i]);
        mem_free(self->mouths[i].tokens);
    }
    for (unsigned i = 0; i < PROBE_QUIET_PORTS; i++)
        close_if_open(self->quiet[i]);
    mem_free(self);
}

static int prepare_mouth(struct io_linux *self, struct mouth *mouth, struct error *err)
{
    mouth->has_tx_stamps = (self->without & IO_LINUX_NO_TX_STAMPS) == 0;
    if (set_stamping(mouth, true) != 0)
        return error_sys(err, errno, "", "cannot have the kernel stamp packets");
    mouth->own_ids = mouth->family == AF_INET ? ask_for_own_ids(mouth) : self->mouths[0].own_ids;
    if (mouth->has_tx_stamps && (mouth->own_ids == OWN_IDS_NO || self->without & IO_LINUX_NO_OWN_IDS))
        count_ourselves(mouth);
    return 0;
}

static int prepare_ear(struct ear *ear, struct error *err)
{
    static const int on = 1;
    unsigned flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    if (setsockopt(ear->fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) != 0)
        return error_sys(err, errno, "", "cannot have the kernel stamp packets");
    if (ear->family == AF_INET6) {
        (void)setsockopt(ear->fd, SOL_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on);
        (void)setsockopt(ear->fd, SOL_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
    }
    if (hear(ear) != 0)
        return error_sys(err, errno, "", "cannot filter the packets of a raw socket");
    deafen(ear);
    look_for_drops(ear);
    return 0;
}

static void take_quiet(struct io_linux *self, const struct probe_sockets *sockets)
{
    for (unsigned i = 0; i < PROBE_QUIET_PORTS; i++) {
        union sock_addr own = {0};
        socklen_t size = sizeof own;
        self->quiet[i] = sockets->quiet[i];
        if (sockets->quiet[i] >= 0 && getsockname(sockets->quiet[i], &own.sa, &size) == 0)
            self->quiet_ports[self->quiet_count++] = sock_port(&own);
    }
}

static const struct probe_io_ops linux_ops = {
    .mono_ns = linux_mono_ns,
    .wall_ns = linux_wall_ns,
    .has_family = linux_has_family,
    .find_source = linux_find_source,
    .quiet_ports = linux_quiet_ports,
    .send = linux_send,
    .stamps = linux_stamps,
    .receive = linux_receive,
    .dropped = linux_dropped,
    .wait = linux_wait,
    .close = linux_close,
};

int io_linux_new(struct loop *loop, struct probe_sockets *sockets, unsigned without, struct probe_io **ret_io,
                 struct error *err)
{
    struct io_linux *self = mem_alloc(sizeof *self);
    self->io.ops = &linux_ops;
    self->loop = loop;
    self->without = without;
    self->timer.fn = on_timer;
    self->timer.user = self;
    int rc = 0;
    for (unsigned i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        self->mouths[i] = (struct mouth){.fd = sockets->send[i], .family = family};
        self->ears[i] = (struct ear){sockets->icmp[i], family, i ? IPPROTO_ICMPV6 : IPPROTO_ICMP, .is_deaf = true};
        self->ears[2 + i] = (struct ear){sockets->tcp[i], family, IPPROTO_TCP, .is_deaf = true};
        self->ears[4 + i] = (struct ear){sockets->udp[i], family, IPPROTO_UDP, .is_deaf = true};
        self->routes[i] = sockets->route[i];
        if (!rc && self->mouths[i].fd >= 0)
            rc = prepare_mouth(self, &self->mouths[i], err);
    }
    for (unsigned i = 0; i < EARS && !rc; i++) {
        if (self->ears[i].fd >= 0)
            rc = prepare_ear(&self->ears[i], err);
    }
    if (rc) { /* the descriptors are still the caller's */
        mem_free(self->mouths[0].tokens);
        mem_free(self->mouths[1].tokens);
        mem_free(self);
        return rc;
    }
    take_quiet(self, sockets);
    prepare_incoming(&self->in);
    warm_up_stamps();
    (void)read_clocks(self);
    *sockets = probe_sockets_none;
    *ret_io = &self->io;
    return 0;
}

int probe_io_linux_new(struct loop *loop, struct probe_sockets *sockets, struct probe_io **ret_io, struct error *err)
{
    return io_linux_new(loop, sockets, 0, ret_io, err);
}
