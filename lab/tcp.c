/*
 * The TCP end of a simulated host: handshake, acknowledgements with SACK blocks, FIN and RST. It accepts every
 * connection to an open port, takes what it is sent and says nothing itself.
 *
 * RFC 9293 (states, which segment draws which answer), 2018 (SACK: the block of the newest segment first), 2883 (a
 * duplicate is told by a first block below the acknowledgement), 7323 (timestamps; once agreed, a segment without
 * them is dropped, section 3.2). Every segment is acknowledged at once.
 *
 * Connections live in a table of sets of eight; the longest idle one of a set gives way.
 */
#include "lab/core.h"

#include "base/mem.h"

#define SETS 4096u
#define WAYS 8u
#define BLOCKS 4u

enum tcp_state { TCP_FREE, TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_LAST_ACK };

struct tcp_block {
    uint32_t left, right;
};

struct tcp_conn {
    enum tcp_state state;
    struct lab_addr local, remote;
    uint32_t ports; /* as in the segment: remote's, local's */
    int64_t last_ns;
    uint32_t peer_isn, isn; /* initial sequence numbers */
    uint32_t rcv_nxt, snd_nxt;
    uint32_t ts_recent;
    bool has_sack, has_timestamps, has_fin;
    struct tcp_block blocks[BLOCKS]; /* received beyond a hole, newest first */
    uint32_t block_count;
};

struct lab_tcp {
    struct tcp_conn conns[SETS * WAYS];
};

struct segment {
    uint32_t seq, ack, size; /* size: of the data */
    uint8_t flags;
    bool has_mss, has_sack, has_timestamps, has_scale;
    uint32_t ts_value;
};

struct lab_tcp *lab_tcp_new(void)
{
    return mem_alloc(sizeof(struct lab_tcp));
}

void lab_tcp_free(struct lab_tcp *tcp)
{
    mem_free(tcp);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> (24 - 8 * i));
}

static bool is_after(uint32_t a, uint32_t b) /* sequence numbers: a > b */
{
    return (int32_t)(a - b) > 0;
}

static struct segment read_segment(const struct lab_packet *packet)
{
    const uint8_t *tcp = packet->bytes + packet->l4;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    struct segment seg = {.seq = get32(tcp + 4), .ack = get32(tcp + 8), .flags = tcp[13]};
    seg.size = (uint32_t)(packet->size - packet->l4 - header);
    for (size_t at = 20; at < header;) {
        uint8_t kind = tcp[at];
        if (kind == 0)
            break;
        if (kind == 1) {
            at++;
            continue;
        }
        if (at + 1 >= header || tcp[at + 1] < 2 || at + tcp[at + 1] > header)
            break;
        uint8_t size = tcp[at + 1];
        seg.has_mss |= kind == 2 && size == 4;
        seg.has_scale |= kind == 3 && size == 3;
        seg.has_sack |= kind == 4 && size == 2;
        if (kind == 8 && size == 10) {
            seg.has_timestamps = true;
            seg.ts_value = get32(tcp + at + 2);
        }
        at += size;
    }
    return seg;
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static struct tcp_conn *set_of(struct lab_tcp *tcp, const struct lab_packet *packet, uint32_t ports)
{
    uint64_t hash = lab_addr_hash(&packet->src) ^ lab_addr_hash(&packet->dst) * 3 ^ ports * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
    return &tcp->conns[(hash * UINT64_C(0xbf58476d1ce4e5b9) >> 40) % SETS * WAYS];
}

static struct tcp_conn *find(struct lab_tcp *tcp, const struct lab_packet *packet)
{
    uint32_t ports = get32(packet->bytes + packet->l4);
    struct tcp_conn *set = set_of(tcp, packet, ports);
    for (uint32_t i = 0; i < WAYS; i++)
        if (set[i].state != TCP_FREE && set[i].ports == ports && lab_addr_is_same(&set[i].remote, &packet->src) &&
            lab_addr_is_same(&set[i].local, &packet->dst))
            return &set[i];
    return NULL;
}

static struct tcp_conn *make(struct lab_tcp *tcp, const struct lab_packet *packet)
{
    uint32_t ports = get32(packet->bytes + packet->l4);
    struct tcp_conn *set = set_of(tcp, packet, ports), *conn = set;
    for (uint32_t i = 1; i < WAYS && conn->state != TCP_FREE; i++)
        if (set[i].state == TCP_FREE || set[i].last_ns < conn->last_ns)
            conn = &set[i];
    *conn = (struct tcp_conn){.local = packet->dst, .remote = packet->src, .ports = ports};
    return conn;
}

/* --- what is sent --------------------------------------------------------------------------------------------------- */

static uint32_t timestamp(int64_t now_ns)
{
    return (uint32_t)(now_ns / 1000000);
}

static void put_timestamps(struct lab_tcp_header *ret, const struct tcp_conn *conn, int64_t now_ns)
{
    uint8_t *o = ret->options + ret->options_size;
    o[0] = o[1] = 1;
    o[2] = 8;
    o[3] = 10;
    put32(o + 4, timestamp(now_ns));
    put32(o + 8, conn->ts_recent);
    ret->options_size = (uint8_t)(ret->options_size + 12);
}

static void make_syn_ack(const struct tcp_conn *conn, const struct lab_service *service, const struct segment *seg,
                         int64_t now_ns, struct lab_tcp_header *ret)
{
    uint16_t mss = service->mss ? service->mss : lab_addr_is_v4(&conn->local) ? 1460 : 1440;
    *ret = (struct lab_tcp_header){.seq = conn->isn, .ack = conn->rcv_nxt, .window = 65535,
                                   .flags = LAB_TCP_SYN | LAB_TCP_ACK};
    uint8_t *o = ret->options;
    o[0] = 2;
    o[1] = 4;
    o[2] = (uint8_t)(mss >> 8);
    o[3] = (uint8_t)mss;
    ret->options_size = 4;
    if (conn->has_timestamps)
        put_timestamps(ret, conn, now_ns);
    if (seg->has_sack && service->sack != LAB_SACK_NOT_PERMITTED) {
        o = ret->options + ret->options_size;
        memcpy(o, (uint8_t[]){1, 1, 4, 2}, 4);
        ret->options_size = (uint8_t)(ret->options_size + 4);
    }
    if (seg->has_scale) {
        o = ret->options + ret->options_size;
        memcpy(o, (uint8_t[]){1, 3, 3, 7}, 4);
        ret->options_size = (uint8_t)(ret->options_size + 4);
    }
}

/* An acknowledgement; `duplicate` is a segment that was there already (RFC 2883), or NULL. */
static void make_ack(const struct tcp_conn *conn, const struct tcp_block *duplicate, int64_t now_ns,
                     struct lab_tcp_header *ret)
{
    *ret = (struct lab_tcp_header){.seq = conn->snd_nxt, .ack = conn->rcv_nxt, .window = 512, .flags = LAB_TCP_ACK};
    if (conn->has_timestamps)
        put_timestamps(ret, conn, now_ns);
    uint32_t room = conn->has_timestamps ? 3 : 4, count = 0;
    struct tcp_block blocks[BLOCKS + 1];
    if (duplicate)
        blocks[count++] = *duplicate;
    for (uint32_t i = 0; i < conn->block_count && count < room; i++)
        blocks[count++] = conn->blocks[i];
    if (!conn->has_sack || count == 0)
        return;
    uint8_t *o = ret->options + ret->options_size;
    o[0] = o[1] = 1;
    o[2] = 5;
    o[3] = (uint8_t)(2 + count * 8);
    for (uint32_t i = 0; i < count; i++) {
        put32(o + 4 + i * 8, blocks[i].left);
        put32(o + 8 + i * 8, blocks[i].right);
    }
    ret->options_size = (uint8_t)(ret->options_size + 4 + count * 8);
}

static void make_reset(const struct segment *seg, struct lab_tcp_header *ret)
{
    *ret = (struct lab_tcp_header){.flags = LAB_TCP_RST};
    if (seg->flags & LAB_TCP_ACK) {
        ret->seq = seg->ack;
        return;
    }
    ret->flags = LAB_TCP_RST | LAB_TCP_ACK;
    ret->ack = seg->seq + seg->size + (seg->flags & LAB_TCP_SYN ? 1 : 0) + (seg->flags & LAB_TCP_FIN ? 1 : 0);
}

void lab_tcp_reset_for(const struct lab_packet *packet, struct lab_tcp_header *ret)
{
    struct segment seg = read_segment(packet);
    make_reset(&seg, ret);
}

/* --- what is received ----------------------------------------------------------------------------------------------- */

/* Remembers data beyond a hole: merged with what it touches, and first in the list. */
static void add_block(struct tcp_conn *conn, struct tcp_block block)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < conn->block_count; i++) {
        struct tcp_block old = conn->blocks[i];
        if (is_after(old.left, block.right) || is_after(block.left, old.right)) {
            conn->blocks[kept++] = old;
            continue;
        }
        if (is_after(block.left, old.left))
            block.left = old.left;
        if (is_after(old.right, block.right))
            block.right = old.right;
    }
    if (kept == BLOCKS)
        kept--; /* the oldest is forgotten, as a receiver short of memory may do */
    memmove(conn->blocks + 1, conn->blocks, kept * sizeof *conn->blocks);
    conn->blocks[0] = block;
    conn->block_count = kept + 1;
}

/* Takes what has become contiguous. */
static void advance(struct tcp_conn *conn, uint32_t right)
{
    conn->rcv_nxt = right;
    for (uint32_t i = 0; i < conn->block_count;) {
        if (is_after(conn->blocks[i].left, conn->rcv_nxt)) {
            i++;
            continue;
        }
        if (is_after(conn->blocks[i].right, conn->rcv_nxt))
            conn->rcv_nxt = conn->blocks[i].right;
        conn->block_count--;
        memmove(conn->blocks + i, conn->blocks + i + 1, (conn->block_count - i) * sizeof *conn->blocks);
        i = 0;
    }
}

static bool take_data(struct tcp_conn *conn, const struct segment *seg, int64_t now_ns, struct lab_tcp_header *ret)
{
    bool is_fin = seg->flags & LAB_TCP_FIN;
    uint32_t right = seg->seq + seg->size;
    struct tcp_block block = {seg->seq, right}, *duplicate = NULL;
    bool is_old = !is_after(right, conn->rcv_nxt);
    if (seg->size > 0 && is_old) {
        duplicate = &block;
    } else if (seg->size > 0 && !is_after(seg->seq, conn->rcv_nxt)) {
        advance(conn, right);
    } else if (seg->size > 0) {
        if (right - conn->rcv_nxt > 65535u * 128)
            return false; /* beyond any window we offered */
        add_block(conn, block);
    } else if (!is_fin) {
        if (seg->seq == conn->rcv_nxt && !(seg->flags & LAB_TCP_SYN))
            return false;
        make_ack(conn, NULL, now_ns, ret); /* a keep-alive, or out of the window: RFC 9293 3.10.7.4 */
        return true;
    }
    if (is_fin && right == conn->rcv_nxt && conn->state == TCP_ESTABLISHED) {
        conn->rcv_nxt++;
        make_ack(conn, duplicate, now_ns, ret);
        ret->flags |= LAB_TCP_FIN; /* nothing more to say either */
        conn->snd_nxt++;
        conn->state = TCP_LAST_ACK;
        return true;
    }
    make_ack(conn, duplicate, now_ns, ret);
    return true;
}

static bool answer_syn(struct lab_tcp *tcp, const struct lab_service *service, const struct lab_packet *packet,
                       const struct segment *seg, int64_t now_ns, struct lab_tcp_header *ret)
{
    struct tcp_conn *conn = find(tcp, packet);
    if (conn && conn->state == TCP_ESTABLISHED) {
        make_ack(conn, NULL, now_ns, ret); /* a challenge: RFC 5961 section 4 */
        return true;
    }
    if (conn)
        conn->state = TCP_FREE;
    if (!conn || conn->peer_isn != seg->seq) {
        uint32_t isn = conn ? conn->isn : (uint32_t)(lab_addr_hash(&packet->src) ^ packet->flow ^ seg->seq * 3);
        conn = make(tcp, packet);
        conn->isn = isn;
    }
    conn->state = TCP_SYN_RECEIVED;
    conn->last_ns = now_ns;
    conn->peer_isn = seg->seq;
    conn->rcv_nxt = seg->seq + 1;
    conn->snd_nxt = conn->isn + 1;
    conn->has_sack = seg->has_sack && service->sack == LAB_SACK_PERMITTED;
    conn->has_timestamps = seg->has_timestamps && service->has_timestamps;
    conn->ts_recent = seg->ts_value;
    make_syn_ack(conn, service, seg, now_ns, ret);
    return true;
}

bool lab_tcp_segment(struct lab_tcp *tcp, const struct lab_service *service, const struct lab_packet *packet,
                     int64_t now_ns, struct lab_tcp_header *ret, enum lab_reason *ret_reason)
{
    struct segment seg = read_segment(packet);
    struct tcp_conn *conn = find(tcp, packet);
    *ret_reason = LAB_REASON_CONSUMED;
    if (service->tcp_default == LAB_PORT_SILENT) {
        *ret_reason = LAB_REASON_PORT_SILENT;
        return false;
    }
    if (seg.flags & LAB_TCP_RST) {
        if (conn)
            conn->state = TCP_FREE;
        return false;
    }
    bool is_syn = (seg.flags & (LAB_TCP_SYN | LAB_TCP_ACK)) == LAB_TCP_SYN;
    if (is_syn && service->tcp_default == LAB_PORT_OPEN)
        return answer_syn(tcp, service, packet, &seg, now_ns, ret);
    if (!conn || service->tcp_default == LAB_PORT_CLOSED) {
        make_reset(&seg, ret);
        return true;
    }
    if (!(seg.flags & LAB_TCP_ACK))
        return false;
    if (is_after(seg.ack, conn->snd_nxt) || (conn->state == TCP_SYN_RECEIVED && seg.ack != conn->snd_nxt)) {
        if (conn->state == TCP_SYN_RECEIVED)
            make_reset(&seg, ret);
        else
            make_ack(conn, NULL, now_ns, ret);
        return true;
    }
    if (conn->has_timestamps) {
        if (!seg.has_timestamps)
            return false;
        if (!is_after(seg.seq, conn->rcv_nxt))
            conn->ts_recent = seg.ts_value;
    }
    conn->last_ns = now_ns;
    if (conn->state == TCP_SYN_RECEIVED)
        conn->state = TCP_ESTABLISHED;
    if (conn->state == TCP_LAST_ACK && seg.ack == conn->snd_nxt) {
        conn->state = TCP_FREE;
        return false;
    }
    return take_data(conn, &seg, now_ns, ret);
}
