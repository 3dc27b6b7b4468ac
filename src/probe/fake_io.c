#include "probe/fake_io.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define WALL_NS (1790000000 * CLOCK_S)

static struct fake *fake_of(const struct probe_io *io)
{
    return (struct fake *)(uintptr_t)io;
}

static int64_t fake_mono_ns(const struct probe_io *io)
{
    return fake_of(io)->now_ns;
}

static int64_t fake_wall_ns(const struct probe_io *io)
{
    return fake_of(io)->now_ns + WALL_NS;
}

static bool fake_has_family(const struct probe_io *io, int family)
{
    (void)io;
    (void)family;
    return true;
}

static size_t fake_send(struct probe_io *io, struct probe_io_packet *packets, size_t count)
{
    struct fake *fake = fake_of(io);
    size_t i = 0;
    for (; i < count && fake->room_left > 0; i++) {
        struct probe_io_packet *packet = &packets[i];
        packet->sent_ns = fake->now_ns;
        packet->error = fake->refuse;
        if (fake->refuse)
            continue;
        fake->room_left--;
        assert(fake->sent < FAKE_ROOM);
        fake->sent_ns[fake->sent] = fake->now_ns;
        fake->packets[fake->sent++] = *packet;
        if (!fake->has_no_stamps && fake->sent != fake->unstamped)
            fake->stamps[fake->stamp_count++] = (struct probe_io_stamp){packet->token, fake->now_ns};
        if (fake->on_packet)
            fake->on_packet(fake, packet);
    }
    return i;
}

static size_t fake_stamps(struct probe_io *io, struct probe_io_stamp *out, size_t room)
{
    struct fake *fake = fake_of(io);
    size_t count = fake->stamp_count < room ? fake->stamp_count : room;
    memcpy(out, fake->stamps, count * sizeof *out);
    fake->stamp_count -= (uint32_t)count;
    memmove(fake->stamps, fake->stamps + count, fake->stamp_count * sizeof *out);
    return count;
}

static size_t fake_receive(struct probe_io *io, struct probe_io_reply *out, size_t room)
{
    struct fake *fake = fake_of(io);
    size_t count = 0;
    while (count < room && count < 64 && count < fake->reply_count && fake->replies[count].rx_ns <= fake->now_ns) {
        fake->current[count] = fake->replies[count];
        out[count] = fake->current[count].reply;
        out[count].bytes = fake->current[count].bytes;
        count++;
    }
    fake->reply_count -= (uint32_t)count;
    memmove(fake->replies, fake->replies + count, fake->reply_count * sizeof *fake->replies);
    return count;
}

static uint64_t fake_dropped(struct probe_io *io)
{
    return fake_of(io)->dropped;
}

static bool fake_find_source(const struct probe_io *io, const union sock_addr *dst, union sock_addr *ret_src)
{
    (void)io;
    (void)dst;
    (void)ret_src;
    return false;
}

static size_t fake_quiet_ports(const struct probe_io *io, const uint16_t **ret_ports)
{
    static const uint16_t ports[] = {61000, 61001, 61002, 61003};
    (void)io;
    *ret_ports = ports;
    return sizeof ports / sizeof ports[0];
}

static void fake_wait(struct probe_io *io, int64_t due_ns, bool wants_input)
{
    fake_of(io)->due_ns = due_ns;
    fake_of(io)->wants_input = wants_input;
}

static void fake_close(struct probe_io *io)
{
    fake_of(io)->is_closed = true;
}

static const struct probe_io_ops fake_ops = {
    .mono_ns = fake_mono_ns,
    .wall_ns = fake_wall_ns,
    .has_family = fake_has_family,
    .find_source = fake_find_source,
    .quiet_ports = fake_quiet_ports,
    .send = fake_send,
    .stamps = fake_stamps,
    .receive = fake_receive,
    .dropped = fake_dropped,
    .wait = fake_wait,
    .close = fake_close,
};

struct fake *fake_new(fake_fn *on_packet, void *user)
{
    struct fake *fake = mem_alloc(sizeof *fake);
    fake->io.ops = &fake_ops;
    fake->now_ns = CLOCK_S;
    fake->on_packet = on_packet;
    fake->user = user;
    fake->room = fake->room_left = UINT32_MAX;
    fake->due_ns = PROBE_IO_NEVER;
    fake->replies = mem_alloc_array(FAKE_ROOM, sizeof *fake->replies);
    return fake;
}

void fake_free(struct fake *fake)
{
    assert(fake->is_closed);
    mem_free(fake->replies);
    mem_free(fake);
}

void fake_run(struct fake *fake, int64_t ns, const bool *until)
{
    int64_t end = fake->now_ns + ns;
    while (!until || !*until) {
        int64_t next = fake->due_ns;
        if (fake->wants_input && fake->reply_count > 0 && fake->replies[0].rx_ns < next)
            next = fake->replies[0].rx_ns;
        if (next > end) {
            fake->now_ns = end;
            return;
        }
        if (next > fake->now_ns)
            fake->now_ns = next;
        fake->room_left = fake->room;
        fake->due_ns = PROBE_IO_NEVER;
        fake->io.wake(fake->io.user);
    }
}

static struct fake_reply *queue(struct fake *fake, int64_t rx_ns)
{
    assert(fake->reply_count < FAKE_ROOM);
    uint32_t at = fake->reply_count++;
    for (; at > 0 && fake->replies[at - 1].rx_ns > rx_ns; at--)
        fake->replies[at] = fake->replies[at - 1];
    memset(&fake->replies[at], 0, sizeof fake->replies[at]);
    fake->replies[at].rx_ns = fake->replies[at].reply.rx_ns = rx_ns;
    return &fake->replies[at];
}

void fake_echo(struct fake *fake, const struct probe_io_packet *packet, const char *from, uint8_t ttl, int64_t delay_ns)
{
    struct fake_reply *queued = queue(fake, fake->now_ns + delay_ns);
    queued->reply.size = packet->size;
    queued->reply.ttl = ttl;
    if (from)
        (void)sock_parse_ip(from, &queued->reply.src);
    else
        queued->reply.src = packet->dst;
    memcpy(queued->bytes, packet->bytes, packet->size);
    queued->bytes[0] = packet->dst.sa.sa_family == AF_INET6 ? 129 : 0;
}

void fake_error(struct fake *fake, const struct probe_io_packet *packet, const char *from, uint8_t type, uint8_t code,
                int64_t delay_ns)
{
    struct fake_reply *queued = queue(fake, fake->now_ns + delay_ns);
    size_t size, quoted = packet->size < 8 ? packet->size : 8;
    uint8_t *p = queued->bytes;
    (void)sock_parse_ip(from, &queued->reply.src);
    queued->reply.ttl = 250;
    p[0] = type;
    p[1] = code;
    p[8] = 0x45; /* the quoted IPv4 header */
    p[8 + 1] = packet->tos;
    p[8 + 3] = (uint8_t)(20 + packet->size);
    p[8 + 8] = 1;
    p[8 + 9] = IPPROTO_ICMP;
    memcpy(p + 8 + 16, sock_ip_bytes(&packet->dst, &size), 4);
    memcpy(p + 28, packet->bytes, quoted);
    queued->reply.size = 28 + quoted;
}

void fake_bytes(struct fake *fake, const struct probe_io_packet *packet, const void *bytes, size_t size, int64_t delay_ns)
{
    assert(size <= PACKET_MAX_BYTES);
    struct fake_reply *queued = queue(fake, fake->now_ns + delay_ns);
    queued->reply.src = packet->dst;
    queued->reply.protocol = packet->protocol;
    queued->reply.ttl = 60;
    queued->reply.size = size;
    memcpy(queued->bytes, bytes, size);
}
