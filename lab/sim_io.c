#include "lab/sim_io.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "lab/model.h"
#include "probe/packet.h"
#include "probe/stamp.h"

#define RECEIVE_ROOM 16384u
#define STAMP_ROOM 4096u
#define READ_AT_ONCE 64u
#define QUIET_PORTS 64u
#define QUIET_PORT_LOW 61000u
#define BOOT_NS 1000000000LL /* a host's monotonic clock when the simulation begins */

struct received {
    struct received *next;
    int64_t stamp_ns; /* wall time of the host */
    size_t size;
    uint8_t bytes[];
};

struct sim_io {
    struct probe_io io; /* first member */
    struct sim *sim;
    struct sim_host host;
    union sock_addr addresses[2]; /* IPv4, IPv6 */
    struct stamp_clock clock;
    uint32_t buffer_room, buffered;
    struct received *first, **last;
    struct received *handed[READ_AT_ONCE]; /* out until the next receive */
    size_t handed_count;
    struct probe_io_stamp stamps[STAMP_ROOM]; /* tx_ns in wall time of the host */
    size_t stamp_count;
    uint16_t quiet[QUIET_PORTS];
    uint64_t dropped;
    int64_t due_ns; /* monotonic time of the host */
    bool wants_input;
};

struct sim {
    const struct lab_scenario *scenario;
    struct lab_net *net;
    int64_t now_ns;
    int64_t wall_ns; /* true, at the start */
    struct sim_io *ios[LAB_MAX_VANTAGES];
    unsigned io_count;
};

static struct sim_io *sim_of(const struct probe_io *io)
{
    return (struct sim_io *)(uintptr_t)io;
}

/* --- clocks ------------------------------------------------------------------------------------------------------- */

static int64_t mono_at(const struct sim_io *self, int64_t true_ns)
{
    return BOOT_NS + true_ns + (int64_t)((double)true_ns * self->host.drift_ppm / 1e6);
}

static int64_t wall_at(const struct sim_io *self, int64_t true_ns)
{
    return mono_at(self, true_ns) - BOOT_NS + self->sim->wall_ns + self->host.offset_ns;
}

/* The first true time at which the host's clock shows at least mono_ns. */
static int64_t true_at(const struct sim_io *self, int64_t mono_ns)
{
    int64_t guess = (int64_t)((double)(mono_ns - BOOT_NS) / (1 + self->host.drift_ppm / 1e6)) - 2;
    while (mono_at(self, guess) < mono_ns)
        guess++;
    return guess;
}

static int64_t sim_mono_ns(const struct probe_io *io)
{
    return mono_at(sim_of(io), sim_of(io)->sim->now_ns);
}

static int64_t sim_wall_ns(const struct probe_io *io)
{
    return wall_at(sim_of(io), sim_of(io)->sim->now_ns);
}

static void read_clocks(struct sim_io *self)
{
    stamp_clock_read(&self->clock, sim_mono_ns(&self->io), sim_wall_ns(&self->io), 0);
}

void sim_io_step_wall(struct probe_io *io, int64_t change_ns)
{
    sim_of(io)->host.offset_ns += change_ns;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static size_t put_ip4(uint8_t *p, const struct probe_io_packet *packet, const union sock_addr *src)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    p[1] = packet->tos;
    bytes_put16(p + 2, packet->size + 20u);
    bytes_put16(p + 4, packet->ip_id);
    p[6] = 0x40; /* do not fragment */
    p[8] = packet->ttl;
    p[9] = packet->protocol;
    memcpy(p + 12, &src->in4.sin_addr, 4);
    memcpy(p + 16, &packet->dst.in4.sin_addr, 4);
    bytes_put16(p + 10, (uint16_t)~packet_fold(packet_sum(p, 20, 0)));
    memcpy(p + 20, packet->bytes, packet->size);
    return 20u + packet->size;
}

static size_t put_ip6(uint8_t *p, const struct probe_io_packet *packet, const union sock_addr *src)
{
    memset(p, 0, 40);
    p[0] = (uint8_t)(0x60 | packet->tos >> 4);
    p[1] = (uint8_t)(packet->tos << 4 | (int)(packet->flow_label >> 16 & 15));
    bytes_put16(p + 2, packet->flow_label & 0xffff);
    bytes_put16(p + 4, packet->size);
    p[6] = packet->protocol;
    p[7] = packet->ttl;
    memcpy(p + 8, &src->in6.sin6_addr, 16);
    memcpy(p + 24, &packet->dst.in6.sin6_addr, 16);
    memcpy(p + 40, packet->bytes, packet->size);
    return 40u + packet->size;
}

static void send_one(struct sim_io *self, struct probe_io_packet *packet)
{
    uint8_t bytes[LAB_PACKET_BYTES];
    bool is_ip6 = packet->dst.sa.sa_family == AF_INET6;
    const union sock_addr *own = &self->addresses[is_ip6];
    packet->sent_ns = sim_mono_ns(&self->io);
    packet->error = 0;
    if (!sock_is_set(own))
        packet->error = ENETUNREACH;
    else if (packet->has_own_src && !sock_same_ip(&packet->src, own))
        packet->error = EINVAL;
    if (packet->error)
        return;
    size_t size = is_ip6 ? put_ip6(bytes, packet, own) : put_ip4(bytes, packet, own);
    lab_net_input(self->sim->net, self->host.vantage, bytes, size, self->sim->now_ns);
    if (self->stamp_count < STAMP_ROOM)
        self->stamps[self->stamp_count++] = (struct probe_io_stamp){packet->token, sim_wall_ns(&self->io)};
}

static size_t sim_send(struct probe_io *io, struct probe_io_packet *packets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        send_one(sim_of(io), &packets[i]);
    return count;
}

static size_t sim_stamps(struct probe_io *io, struct probe_io_stamp *out, size_t room)
{
    struct sim_io *self = sim_of(io);
    size_t count = self->stamp_count < room ? self->stamp_count : room;
    read_clocks(self);
    for (size_t i = 0; i < count; i++) {
        out[i].token = self->stamps[i].token;
        out[i].tx_ns = stamp_to_mono(&self->clock, self->stamps[i].tx_ns);
    }
    self->stamp_count -= count;
    memmove(self->stamps, self->stamps + count, self->stamp_count * sizeof *self->stamps);
    return count;
}

/* --- receiving ----------------------------------------------------------------------------------------------------- */

/* What the kernel of the host does with a segment that belongs to no connection of its own (RFC 9293 section 3.10.7.1). */
static void reset(struct sim_io *self, const struct packet_ip *ip)
{
    struct packet_tcp tcp;
    uint8_t bytes[PACKET_MAX_BYTES];
    if (packet_parse_tcp(ip->payload, ip->payload_size, &tcp) != 0 || tcp.flags & PACKET_RST ||
        (tcp.dport >= QUIET_PORT_LOW && tcp.dport < QUIET_PORT_LOW + QUIET_PORTS))
        return;
    bool has_ack = (tcp.flags & PACKET_ACK) != 0;
    uint32_t size = (uint32_t)tcp.payload_size + ((tcp.flags & (PACKET_SYN | PACKET_FIN)) != 0);
    struct packet_tcp rst = {.sport = tcp.dport,
                             .dport = tcp.sport,
                             .seq = has_ack ? tcp.ack : 0,
                             .ack = has_ack ? 0 : tcp.seq + size,
                             .flags = has_ack ? PACKET_RST : PACKET_RST | PACKET_ACK};
    struct probe_io_packet packet = {.dst = ip->src,
                                     .protocol = IPPROTO_TCP,
                                     .ttl = 64,
                                     .ip_id = 1,
                                     .size = (uint16_t)packet_build_tcp(&rst, &ip->dst, &ip->src, bytes),
                                     .bytes = bytes};
    uint8_t whole[LAB_PACKET_BYTES];
    size_t length = ip->src.sa.sa_family == AF_INET6 ? put_ip6(whole, &packet, &ip->dst) : put_ip4(whole, &packet, &ip->dst);
    lab_net_input(self->sim->net, self->host.vantage, whole, length, self->sim->now_ns);
}

/* The kernel answers at once, whether or not anybody reads the packet. */
static void answer_as_kernel(struct sim_io *self, const void *packet, size_t size)
{
    struct packet_ip ip;
    int family = *(const uint8_t *)packet >> 4 == 6 ? AF_INET6 : AF_INET;
    if (packet_parse_ip(family, packet, size, &ip) == 0 && ip.protocol == IPPROTO_TCP && !ip.is_fragment)
        reset(self, &ip);
}

/* What the kernel's ICMPv6 does not let through to raw sockets (RFC 4443 section 2.3). */
static bool is_damaged_icmp6(const void *packet, size_t size)
{
    struct packet_ip ip;
    if (*(const uint8_t *)packet >> 4 != 6 || packet_parse_ip(AF_INET6, packet, size, &ip) != 0 ||
        ip.protocol != IPPROTO_ICMPV6 || ip.is_fragment)
        return false;
    uint32_t sum = packet_pseudo_sum(&ip.src, &ip.dst, IPPROTO_ICMPV6, ip.payload_size);
    return packet_fold(packet_sum(ip.payload, ip.payload_size, sum)) != 0xffff;
}

static void on_output(void *user, unsigned vantage, const void *packet, size_t size, int64_t due_ns)
{
    struct sim *sim = user;
    for (unsigned i = 0; i < sim->io_count; i++) {
        struct sim_io *self = sim->ios[i];
        if (!self || self->host.vantage != vantage)
            continue;
        if (is_damaged_icmp6(packet, size))
            return;
        answer_as_kernel(self, packet, size);
        if (self->buffered == self->buffer_room) {
            self->dropped++;
            return;
        }
        struct received *received = mem_alloc(sizeof *received + size);
        self->buffered++;
        received->stamp_ns = wall_at(self, due_ns);
        received->size = size;
        memcpy(received->bytes, packet, size);
        *self->last = received;
        self->last = &received->next;
        return;
    }
}

/* What was handed out is read by now. */
static void put_back(struct sim_io *self)
{
    for (size_t i = 0; i < self->handed_count; i++)
        mem_free(self->handed[i]);
    self->buffered -= (uint32_t)self->handed_count;
    self->handed_count = 0;
}

static size_t sim_receive(struct probe_io *io, struct probe_io_reply *out, size_t room)
{
    struct sim_io *self = sim_of(io);
    size_t count = 0;
    put_back(self);
    read_clocks(self);
    while (self->first && count < room && self->handed_count < READ_AT_ONCE) {
        struct received *received = self->first;
        struct packet_ip ip;
        self->first = received->next;
        if (!self->first)
            self->last = &self->first;
        self->handed[self->handed_count++] = received;
        int family = received->bytes[0] >> 4 == 6 ? AF_INET6 : AF_INET;
        if (packet_parse_ip(family, received->bytes, received->size, &ip) != 0)
            continue;
        out[count++] = (struct probe_io_reply){.src = ip.src,
                                               .rx_ns = stamp_to_mono(&self->clock, received->stamp_ns),
                                               .protocol = ip.protocol,
                                               .ttl = ip.ttl,
                                               .tos = ip.tos,
                                               .bytes = ip.payload,
                                               .size = ip.payload_size};
    }
    return count;
}

static uint64_t sim_dropped(struct probe_io *io)
{
    return sim_of(io)->dropped;
}

static bool sim_has_family(const struct probe_io *io, int family)
{
    return sock_is_set(&sim_of(io)->addresses[family == AF_INET6]);
}

static bool sim_find_source(const struct probe_io *io, const union sock_addr *dst, union sock_addr *ret_src)
{
    const union sock_addr *own = &sim_of(io)->addresses[dst->sa.sa_family == AF_INET6];
    if (!sock_is_set(own))
        return false;
    *ret_src = *own;
    return true;
}

static size_t sim_quiet_ports(const struct probe_io *io, const uint16_t **ret_ports)
{
    *ret_ports = sim_of(io)->quiet;
    return QUIET_PORTS;
}

static void sim_wait(struct probe_io *io, int64_t due_ns, bool wants_input)
{
    struct sim_io *self = sim_of(io);
    self->due_ns = due_ns;
    self->wants_input = wants_input;
}

static void sim_close(struct probe_io *io)
{
    struct sim_io *self = sim_of(io);
    for (unsigned i = 0; i < self->sim->io_count; i++) {
        if (self->sim->ios[i] == self)
            self->sim->ios[i] = NULL;
    }
    put_back(self);
    for (struct received *next, *one = self->first; one; one = next) {
        next = one->next;
        mem_free(one);
    }
    mem_free(self);
}

static const struct probe_io_ops sim_ops = {
    .mono_ns = sim_mono_ns,
    .wall_ns = sim_wall_ns,
    .has_family = sim_has_family,
    .find_source = sim_find_source,
    .quiet_ports = sim_quiet_ports,
    .send = sim_send,
    .stamps = sim_stamps,
    .receive = sim_receive,
    .dropped = sim_dropped,
    .wait = sim_wait,
    .close = sim_close,
};

/* --- the world ------------------------------------------------------------------------------------------------------ */

struct sim *sim_new(const struct lab_scenario *scenario, const struct lab_options *options, int64_t wall_ns)
{
    struct lab_options own = options ? *options : (struct lab_options){0};
    struct sim *sim = mem_alloc(sizeof *sim);
    own.wall_offset_ns = wall_ns;
    sim->scenario = scenario;
    sim->wall_ns = wall_ns;
    sim->net = lab_net_new(scenario, &own);
    lab_net_set_output(sim->net, on_output, sim);
    lab_net_step(sim->net, 0);
    return sim;
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    for (unsigned i = 0; i < sim->io_count; i++)
        assert(!sim->ios[i]);
    lab_net_free(sim->net);
    mem_free(sim);
}

static void set_address(union sock_addr *ret_addr, int family, const struct lab_addr *addr)
{
    size_t size;
    if (lab_addr_is_set(addr))
        sock_from_ip_bytes(ret_addr, family, lab_addr_bytes(addr, &size));
}

struct probe_io *sim_io_new(struct sim *sim, const struct sim_host *host)
{
    assert(host->vantage < sim->scenario->vantage_count && sim->io_count < LAB_MAX_VANTAGES);
    const struct lab_node *node = &sim->scenario->nodes[sim->scenario->vantages[host->vantage]];
    struct sim_io *self = mem_alloc(sizeof *self);
    self->io.ops = &sim_ops;
    self->sim = sim;
    self->host = *host;
    self->due_ns = PROBE_IO_NEVER;
    self->last = &self->first;
    set_address(&self->addresses[0], AF_INET, &node->v4);
    set_address(&self->addresses[1], AF_INET6, &node->v6);
    for (unsigned i = 0; i < QUIET_PORTS; i++)
        self->quiet[i] = (uint16_t)(QUIET_PORT_LOW + i);
    self->buffer_room = host->receive_room ? host->receive_room : RECEIVE_ROOM;
    read_clocks(self);
    sim->ios[sim->io_count++] = self;
    return &self->io;
}

int64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

struct lab_truth *sim_truth(struct sim *sim)
{
    return lab_net_truth(sim->net);
}

static int64_t due_at(const struct sim_io *self)
{
    return self->due_ns == PROBE_IO_NEVER ? PROBE_IO_NEVER : true_at(self, self->due_ns);
}

static int64_t next_event(const struct sim *sim)
{
    int64_t next = lab_net_next_ns(sim->net);
    for (unsigned i = 0; i < sim->io_count; i++) {
        int64_t due = sim->ios[i] ? due_at(sim->ios[i]) : PROBE_IO_NEVER;
        next = due < next ? due : next;
    }
    return next;
}

void sim_run(struct sim *sim, int64_t ns, const bool *until)
{
    int64_t end = sim->now_ns + ns;
    while (!until || !*until) {
        int64_t next = next_event(sim);
        if (next > end) {
            sim->now_ns = end;
            return;
        }
        sim->now_ns = next > sim->now_ns ? next : sim->now_ns;
        lab_net_step(sim->net, sim->now_ns);
        for (unsigned i = 0; i < sim->io_count; i++) {
            struct sim_io *self = sim->ios[i];
            if (!self || (due_at(self) > sim->now_ns && !(self->wants_input && self->first)))
                continue;
            self->due_ns = PROBE_IO_NEVER;
            self->io.wake(self->io.user);
        }
    }
}
