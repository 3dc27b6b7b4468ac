/*
 * The TCP end of a simulated host: handshake, acknowledgements with SACK blocks, FIN and RST. It accepts every
 * connection to an open port, takes what it is sent and says nothing itself.
 *
 * RFC 9293 (states, which segment draws which answer), 2018 (SACK: the block of the newest segment first), 2883 (a
 * duplicate is told by a first block that lies below the acknowledgement or within the second), 5961 (a reset counts
 * only at the expected sequence number, a SYN within a connection draws an acknowledgement), 7323 (timestamps; once
 * agreed, a segment without them is dropped, section 3.2). What only a stray segment without data asks for is sent at most
 * every 500 ms, as Linux does.
 *
 * A SYN+ACK is sent again until it is acknowledged or reset: after 1, 3, 7, 15 and 31 seconds. A second SYN meets a
 * half-open connection as in Linux: the same is answered alike (at most every 500 ms); one of another sequence number
 * within the window is answered by a reset, which ends the half-open connection, otherwise by an acknowledgement.
 *
 * Every segment is acknowledged at once, unless the host compresses acknowledgements as Linux does since 4.18: from
 * the fourth segment behind the same hole on, one acknowledgement is sent min(1 ms, RTT / 20) + 0.1 ms after the first
 * segment that waits for it, and at the latest with the 44th that waits. The RTT counts as 0 until 536 bytes of data
 * have come in order. A duplicate puts the host into the quick mode, in which its next 16 acknowledgements (that of
 * the duplicate included) are sent at once.
 *
 * Connections live in a table of sets of eight; the longest idle one of a set gives way.
 */
#include "lab/core.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"

#define SETS 4096u
#define WAYS 8u
#define BLOCKS 4u
#define RETRY_NS CLOCK_S
#define LIMIT_NS (500 * CLOCK_MS) /* between acknowledgements that nothing but a stray segment asks for */
#define DUPLICATE_ACKS 3u         /* sent at once for every hole */
#define COMPRESSED_MOST 44u
#define COMPRESSED_DELAY_NS CLOCK_MS
#define COMPRESSED_SLACK_NS (100 * CLOCK_US)
#define QUICK_ACKS 16u
#define RTT_KNOWN_BYTES 536u

enum tcp_state { TCP_FREE, TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_LAST_ACK };

struct tcp_block {
    uint32_t left, right;
};

struct tcp_conn {
    enum tcp_state state;
    struct lab_addr local, remote;
    uint32_t ports; /* as in the segment: remote's, local's */
    int64_t last_ns, limited_ns;
    uint32_t peer_isn, isn; /* initial sequence numbers */
    uint32_t rcv_nxt, snd_nxt;
    uint32_t ts_recent;
    uint16_t mss;
    bool has_sack, is_sack_offered, has_timestamps, has_scale;
    struct tcp_block blocks[BLOCKS]; /* received beyond a hole, newest first */
    uint32_t block_count;

    /* What is sent by itself: a SYN+ACK or FIN again, or a compressed acknowledgement. */
    int64_t due_ns;
    uint32_t timer_at; /* 1 + place in the heap of timers, 0 = none */
    uint32_t retries, retries_most;
    struct lab_mark mark; /* of the packet that is answered then */
    uint32_t node;
    uint8_t ttl;
    int64_t syn_ack_ns, rtt_ns; /* of the handshake; 0 = not known */
    uint64_t in_order;          /* bytes */
    uint32_t hole;              /* the acknowledgement that duplicate_acks counts */
    uint32_t duplicate_acks, compressed, quick;
    struct tcp_block duplicate; /* came while an acknowledgement was waiting, which tells of it; left = right: none */
};

struct lab_tcp {
    struct tcp_conn conns[SETS * WAYS];
    uint32_t timers[SETS * WAYS]; /* a heap of connections by due_ns */
    uint32_t timer_count;
};

struct segment {
    uint32_t seq, ack, size; /* size: of the data */
    uint8_t flags;
    bool has_mss, has_sack, has_timestamps, has_scale;
    uint32_t ts_value;
};

/* One segment and what it meets. */
struct turn {
    struct lab_net *net;
    const struct lab_service *service;
    const struct lab_packet *packet;
    struct segment seg;
    struct tcp_conn *conn; /* or NULL */
    int64_t now_ns;
    struct lab_tcp_header *ret;
};

void lab_tcp_free(struct lab_tcp *tcp)
{
    mem_free(tcp);
}

static bool is_after(uint32_t a, uint32_t b) /* sequence numbers: a > b */
{
    return (int32_t)(a - b) > 0;
}

static struct segment read_segment(const struct lab_packet *packet)
{
    const uint8_t *tcp = packet->bytes + packet->l4;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    struct segment seg = {.seq = bytes_get32(tcp + 4), .ack = bytes_get32(tcp + 8), .flags = tcp[13]};
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
            seg.ts_value = bytes_get32(tcp + at + 2);
        }
        at += size;
    }
    return seg;
}

/* --- timers --------------------------------------------------------------------------------------------------------- */

static void put_timer(struct lab_tcp *tcp, uint32_t conn, uint32_t at)
{
    tcp->timers[at] = conn;
    tcp->conns[conn].timer_at = at + 1;
}

static bool is_earlier(const struct lab_tcp *tcp, uint32_t a, uint32_t b)
{
    int64_t due_a = tcp->conns[a].due_ns, due_b = tcp->conns[b].due_ns;
    return due_a != due_b ? due_a < due_b : a < b;
}

static void sift(struct lab_tcp *tcp, uint32_t conn, uint32_t at)
{
    while (at > 0 && is_earlier(tcp, conn, tcp->timers[(at - 1) / 2])) {
        put_timer(tcp, tcp->timers[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    for (uint32_t child; (child = at * 2 + 1) < tcp->timer_count; at = child) {
        if (child + 1 < tcp->timer_count && is_earlier(tcp, tcp->timers[child + 1], tcp->timers[child]))
            child++;
        if (!is_earlier(tcp, tcp->timers[child], conn))
            break;
        put_timer(tcp, tcp->timers[child], at);
    }
    put_timer(tcp, conn, at);
}

static void stop_timer(struct lab_tcp *tcp, struct tcp_conn *conn)
{
    if (conn->timer_at == 0)
        return;
    uint32_t at = conn->timer_at - 1, last = tcp->timers[--tcp->timer_count];
    conn->timer_at = 0;
    if (at < tcp->timer_count)
        sift(tcp, last, at);
}

static void start_timer(struct lab_tcp *tcp, struct tcp_conn *conn, int64_t due_ns)
{
    stop_timer(tcp, conn);
    conn->due_ns = due_ns;
    sift(tcp, (uint32_t)(conn - tcp->conns), tcp->timer_count++);
}

int64_t lab_tcp_next_ns(const struct lab_tcp *tcp)
{
    return tcp && tcp->timer_count > 0 ? tcp->conns[tcp->timers[0]].due_ns : LAB_NEVER;
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
    uint32_t ports = bytes_get32(packet->bytes + packet->l4);
    struct tcp_conn *set = set_of(tcp, packet, ports);
    for (uint32_t i = 0; i < WAYS; i++)
        if (set[i].state != TCP_FREE && set[i].ports == ports && lab_addr_is_same(&set[i].remote, &packet->src) &&
            lab_addr_is_same(&set[i].local, &packet->dst))
            return &set[i];
    return NULL;
}

static void set_state(struct lab_net *net, struct tcp_conn *conn, enum tcp_state state)
{
    if (conn->state == TCP_SYN_RECEIVED)
        net->nodes[conn->node].half_open--;
    conn->state = state;
    if (state == TCP_SYN_RECEIVED)
        net->nodes[conn->node].half_open++;
    stop_timer(net->tcp, conn);
}

static struct tcp_conn *make(struct lab_net *net, const struct lab_packet *packet)
{
    uint32_t ports = bytes_get32(packet->bytes + packet->l4);
    struct tcp_conn *set = set_of(net->tcp, packet, ports), *conn = set;
    for (uint32_t i = 1; i < WAYS && conn->state != TCP_FREE; i++)
        if (set[i].state == TCP_FREE || set[i].last_ns < conn->last_ns)
            conn = &set[i];
    set_state(net, conn, TCP_FREE);
    *conn = (struct tcp_conn){.local = packet->dst, .remote = packet->src, .ports = ports, .node = packet->node,
                              .limited_ns = INT64_MIN / 2};
    return conn;
}

/* --- what is sent --------------------------------------------------------------------------------------------------- */

static void put_timestamps(struct lab_tcp_header *ret, const struct tcp_conn *conn, int64_t now_ns)
{
    uint8_t *o = ret->options + ret->options_size;
    o[0] = o[1] = 1;
    o[2] = 8;
    o[3] = 10;
    bytes_put32(o + 4, (uint32_t)(now_ns / CLOCK_MS));
    bytes_put32(o + 8, conn->ts_recent);
    ret->options_size = (uint8_t)(ret->options_size + 12);
}

static void put_option(struct lab_tcp_header *ret, const uint8_t option[4])
{
    memcpy(ret->options + ret->options_size, option, 4);
    ret->options_size = (uint8_t)(ret->options_size + 4);
}

static void make_syn_ack(const struct tcp_conn *conn, int64_t now_ns, struct lab_tcp_header *ret)
{
    *ret = (struct lab_tcp_header){.seq = conn->isn, .ack = conn->rcv_nxt, .window = 65535,
                                   .flags = LAB_TCP_SYN | LAB_TCP_ACK};
    put_option(ret, (uint8_t[]){2, 4, (uint8_t)(conn->mss >> 8), (uint8_t)conn->mss});
    if (conn->has_timestamps)
        put_timestamps(ret, conn, now_ns);
    if (conn->is_sack_offered)
        put_option(ret, (uint8_t[]){1, 1, 4, 2});
    if (conn->has_scale)
        put_option(ret, (uint8_t[]){1, 3, 3, 7});
}

/* An acknowledgement; `duplicate` is data that was there already (RFC 2883), or NULL. */
static void make_ack(struct tcp_conn *conn, const struct tcp_block *duplicate, int64_t now_ns,
                     struct lab_tcp_header *ret)
{
    *ret = (struct lab_tcp_header){.seq = conn->snd_nxt, .ack = conn->rcv_nxt, .flags = LAB_TCP_ACK};
    ret->window = conn->has_scale ? 512 : 65535;
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
    o[3] = (uint8_t)(2 + 8 * count);
    for (uint32_t i = 0; i < count; i++) {
        bytes_put32(o + 4 + i * 8, blocks[i].left);
        bytes_put32(o + 8 + i * 8, blocks[i].right);
    }
    ret->options_size = (uint8_t)(ret->options_size + 4 + 8 * count);
}

/* RFC 9293 3.10.7.1: the answer to what belongs to no connection. */
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

static const struct tcp_block *waiting_duplicate(const struct tcp_conn *conn)
{
    return conn->duplicate.left != conn->duplicate.right ? &conn->duplicate : NULL;
}

/* The acknowledgement that this segment draws goes out now, and stands for those that were waiting too. */
static enum lab_tcp_answer ack_now(struct turn *turn, const struct tcp_block *duplicate)
{
    struct tcp_conn *conn = turn->conn;
    make_ack(conn, duplicate ? duplicate : waiting_duplicate(conn), turn->now_ns, turn->ret);
    conn->duplicate = (struct tcp_block){0, 0};
    if (conn->compressed > 0) {
        lab_truth_also(turn->net->truth, turn->packet->mark.probe, conn->mark.probe);
        stop_timer(turn->net->tcp, conn);
        conn->compressed = 0;
    }
    if (conn->quick > 0)
        conn->quick--;
    return LAB_TCP_NOW;
}

static bool is_limit_kept(struct turn *turn)
{
    if (turn->now_ns - turn->conn->limited_ns < LIMIT_NS)
        return false;
    turn->conn->limited_ns = turn->now_ns;
    return true;
}

/* One that only a stray segment without data asks for. */
static enum lab_tcp_answer ack_rarely(struct turn *turn)
{
    return is_limit_kept(turn) ? ack_now(turn, NULL) : LAB_TCP_NONE;
}

/* Data came out of order: its acknowledgement now or later. */
static enum lab_tcp_answer ack_out_of_order(struct turn *turn, const struct tcp_block *duplicate)
{
    struct tcp_conn *conn = turn->conn;
    enum lab_compression compression = turn->service->compression;
    if (compression == LAB_COMPRESSION_OFF || !conn->has_sack || conn->quick > 0 || conn->compressed >= COMPRESSED_MOST)
        return ack_now(turn, duplicate);
    if (conn->hole != conn->rcv_nxt) {
        conn->hole = conn->rcv_nxt;
        conn->duplicate_acks = 0;
    }
    if (conn->duplicate_acks < DUPLICATE_ACKS) {
        conn->duplicate_acks++;
        return ack_now(turn, duplicate);
    }
    bool is_first = conn->compressed++ == 0;
    if (duplicate)
        conn->duplicate = *duplicate;
    if (!is_first)
        lab_truth_also(turn->net->truth, turn->packet->mark.probe, conn->mark.probe);
    conn->mark = turn->packet->mark;
    if (is_first) {
        bool is_known = compression == LAB_COMPRESSION_WARM || conn->in_order >= RTT_KNOWN_BYTES;
        int64_t delay = is_known ? conn->rtt_ns / 20 : 0;
        delay = (delay < COMPRESSED_DELAY_NS ? delay : COMPRESSED_DELAY_NS) + COMPRESSED_SLACK_NS;
        start_timer(turn->net->tcp, conn, turn->now_ns + delay);
    }
    return LAB_TCP_LATER;
}

/* --- what is received ----------------------------------------------------------------------------------------------- */

/* Remembers data beyond a hole: merged with what it touches, and first in the list. True when all or a part of it was
 * there already: *ret_duplicate. */
static bool add_block(struct tcp_conn *conn, struct tcp_block block, struct tcp_block *ret_duplicate)
{
    uint32_t kept = 0;
    bool is_duplicate = false;
    struct tcp_block fresh = block;
    for (uint32_t i = 0; i < conn->block_count; i++) {
        struct tcp_block old = conn->blocks[i];
        if (is_after(old.left, block.right) || is_after(block.left, old.right)) {
            conn->blocks[kept++] = old;
            continue;
        }
        struct tcp_block both = {is_after(fresh.left, old.left) ? fresh.left : old.left,
                                 is_after(fresh.right, old.right) ? old.right : fresh.right};
        if (!is_duplicate && is_after(both.right, both.left)) {
            is_duplicate = true;
            *ret_duplicate = both;
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
    return is_duplicate;
}

/* Takes what has become contiguous. */
static void advance(struct tcp_conn *conn, uint32_t right)
{
    conn->in_order += right - conn->rcv_nxt;
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

static enum lab_tcp_answer take_fin(struct turn *turn)
{
    struct tcp_conn *conn = turn->conn;
    set_state(turn->net, conn, TCP_LAST_ACK);
    conn->rcv_nxt++;
    enum lab_tcp_answer answer = ack_now(turn, NULL);
    turn->ret->flags |= LAB_TCP_FIN; /* nothing more to say either */
    conn->snd_nxt++;
    conn->mark = turn->packet->mark;
    conn->retries = 0;
    start_timer(turn->net->tcp, conn, turn->now_ns + RETRY_NS);
    return answer;
}

static enum lab_tcp_answer take_data(struct turn *turn)
{
    const struct segment *seg = &turn->seg;
    struct tcp_conn *conn = turn->conn;
    bool is_fin = seg->flags & LAB_TCP_FIN;
    struct tcp_block block = {seg->seq, seg->seq + seg->size}, duplicate;
    if (seg->size == 0 && !is_fin)
        return seg->seq == conn->rcv_nxt ? LAB_TCP_NONE : ack_rarely(turn); /* a keep-alive without data, or a stray */
    if (is_fin && block.right == conn->rcv_nxt && conn->state == TCP_ESTABLISHED)
        return take_fin(turn);
    if (!is_after(block.right, conn->rcv_nxt)) {
        conn->quick = QUICK_ACKS;
        return ack_now(turn, seg->size > 0 ? &block : NULL);
    }
    if (is_after(block.right, conn->rcv_nxt + (conn->has_scale ? 512u << 7 : 65535u)))
        return ack_now(turn, NULL);
    if (is_after(block.left, conn->rcv_nxt)) {
        bool is_duplicate = add_block(conn, block, &duplicate);
        return ack_out_of_order(turn, is_duplicate ? &duplicate : NULL);
    }
    bool is_partly_old = block.left != conn->rcv_nxt;
    duplicate = (struct tcp_block){block.left, conn->rcv_nxt};
    advance(conn, block.right);
    if (is_fin && block.right == conn->rcv_nxt && conn->state == TCP_ESTABLISHED)
        return take_fin(turn);
    return ack_now(turn, is_partly_old ? &duplicate : NULL);
}

static enum lab_tcp_answer take_reset(struct turn *turn)
{
    struct tcp_conn *conn = turn->conn;
    if (!conn)
        return LAB_TCP_NONE;
    uint32_t into = turn->seg.seq - conn->rcv_nxt; /* of the window */
    if (into >= 65535)
        return LAB_TCP_NONE;
    if (into != 0)
        return ack_rarely(turn);
    set_state(turn->net, conn, TCP_FREE);
    return LAB_TCP_NONE;
}

/* The first SYN of a connection. */
static enum lab_tcp_answer open_conn(struct turn *turn, enum lab_reason *ret_reason)
{
    const struct lab_service *service = turn->service;
    const struct lab_packet *packet = turn->packet;
    const struct segment *seg = &turn->seg;
    if (service->backlog > 0 && turn->net->nodes[packet->node].half_open >= service->backlog) {
        *ret_reason = LAB_REASON_BACKLOG;
        return LAB_TCP_NONE;
    }
    struct tcp_conn *conn = make(turn->net, packet);
    turn->conn = conn;
    set_state(turn->net, conn, TCP_SYN_RECEIVED);
    conn->last_ns = conn->syn_ack_ns = turn->now_ns;
    conn->peer_isn = seg->seq;
    conn->rcv_nxt = conn->hole = seg->seq + 1;
    conn->isn = (uint32_t)(lab_addr_hash(&packet->src) ^ packet->flow ^ seg->seq * 3);
    conn->snd_nxt = conn->isn + 1;
    conn->mss = service->mss ? service->mss : packet->is_v4 ? 1460 : 1440;
    conn->is_sack_offered = seg->has_sack && service->sack != LAB_SACK_NOT_PERMITTED;
    conn->has_sack = seg->has_sack && service->sack == LAB_SACK_PERMITTED;
    conn->has_timestamps = seg->has_timestamps && service->timestamps != LAB_TIMESTAMPS_OFF;
    conn->has_scale = seg->has_scale;
    conn->ts_recent = seg->ts_value;
    conn->mark = packet->mark;
    conn->ttl = turn->net->s->nodes[packet->node].ttl;
    conn->retries_most = service->syn_ack_retries;
    make_syn_ack(conn, turn->now_ns, turn->ret);
    start_timer(turn->net->tcp, conn, turn->now_ns + RETRY_NS);
    return LAB_TCP_NOW;
}

static enum lab_tcp_answer take_syn(struct turn *turn, enum lab_reason *ret_reason)
{
    struct tcp_conn *conn = turn->conn;
    if (conn && conn->state == TCP_LAST_ACK)
        set_state(turn->net, conn, TCP_FREE);
    if (!conn || conn->state == TCP_FREE)
        return open_conn(turn, ret_reason);
    conn->last_ns = turn->now_ns;
    if (conn->state == TCP_ESTABLISHED)
        return ack_rarely(turn);
    if (turn->seg.seq == conn->peer_isn) {
        if (!is_limit_kept(turn))
            return LAB_TCP_NONE;
        make_syn_ack(conn, turn->now_ns, turn->ret);
        return LAB_TCP_NOW;
    }
    if (turn->seg.seq - conn->rcv_nxt >= 65535)
        return ack_rarely(turn);
    make_reset(&turn->seg, turn->ret);
    set_state(turn->net, conn, TCP_FREE);
    return LAB_TCP_NOW;
}

/* An acknowledgement has come: is it one of ours? It completes the handshake. */
static bool is_ack_good(struct turn *turn)
{
    struct tcp_conn *conn = turn->conn;
    if (conn->state == TCP_SYN_RECEIVED) {
        if (turn->seg.ack != conn->snd_nxt)
            return false;
        if (conn->retries == 0)
            conn->rtt_ns = turn->now_ns - conn->syn_ack_ns;
        set_state(turn->net, conn, TCP_ESTABLISHED);
    }
    return !is_after(turn->seg.ack, conn->snd_nxt);
}

static enum lab_tcp_answer take_segment(struct turn *turn)
{
    struct tcp_conn *conn = turn->conn;
    const struct segment *seg = &turn->seg;
    if (conn->has_timestamps && !seg->has_timestamps && turn->service->timestamps == LAB_TIMESTAMPS_ON)
        return LAB_TCP_NONE;
    if (!is_ack_good(turn)) {
        if (conn->state != TCP_SYN_RECEIVED)
            return ack_rarely(turn);
        make_reset(seg, turn->ret);
        return LAB_TCP_NOW;
    }
    conn->last_ns = turn->now_ns;
    if (conn->has_timestamps && seg->has_timestamps) {
        if (is_after(conn->ts_recent, seg->ts_value))
            return seg->size > 0 ? ack_now(turn, NULL) : LAB_TCP_NONE; /* RFC 7323 5.3 R1: from the past */
        if (!is_after(seg->seq, conn->rcv_nxt))
            conn->ts_recent = seg->ts_value;
    }
    if (conn->state == TCP_LAST_ACK && seg->ack == conn->snd_nxt) {
        set_state(turn->net, conn, TCP_FREE);
        return LAB_TCP_NONE;
    }
    return take_data(turn);
}

enum lab_tcp_answer lab_tcp_segment(struct lab_net *net, const struct lab_service *service,
                                    const struct lab_packet *packet, int64_t now_ns, struct lab_tcp_header *ret,
                                    enum lab_reason *ret_reason)
{
    struct turn turn = {.net = net, .service = service, .packet = packet, .now_ns = now_ns, .ret = ret};
    turn.seg = read_segment(packet);
    if (!net->tcp)
        net->tcp = mem_alloc(sizeof *net->tcp);
    turn.conn = find(net->tcp, packet);
    *ret_reason = LAB_REASON_CONSUMED;
    if (service->tcp_default == LAB_PORT_SILENT) {
        *ret_reason = LAB_REASON_PORT_SILENT;
        return LAB_TCP_NONE;
    }
    if (turn.seg.flags & LAB_TCP_RST)
        return take_reset(&turn);
    bool is_syn = (turn.seg.flags & (LAB_TCP_SYN | LAB_TCP_ACK)) == LAB_TCP_SYN;
    if (is_syn && service->tcp_default == LAB_PORT_OPEN)
        return take_syn(&turn, ret_reason);
    if (!turn.conn || service->tcp_default == LAB_PORT_CLOSED) {
        make_reset(&turn.seg, ret);
        return LAB_TCP_NOW;
    }
    return turn.seg.flags & LAB_TCP_ACK ? take_segment(&turn) : LAB_TCP_NONE;
}

bool lab_tcp_take(struct lab_net *net, const struct lab_packet *packet, struct lab_handshake *ret)
{
    struct tcp_conn *conn = find(net->tcp, packet);
    if (!conn || conn->state != TCP_ESTABLISHED)
        return false;
    *ret = (struct lab_handshake){conn->peer_isn, conn->isn, conn->mss, conn->is_sack_offered};
    set_state(net, conn, TCP_FREE);
    return true;
}

/* --- what is sent without being asked ------------------------------------------------------------------------------- */

static bool make_again(struct lab_net *net, struct tcp_conn *conn, int64_t now_ns, struct lab_tcp_header *ret)
{
    if (conn->retries == conn->retries_most) {
        set_state(net, conn, TCP_FREE);
        return false;
    }
    conn->retries++;
    if (conn->state == TCP_SYN_RECEIVED) {
        make_syn_ack(conn, now_ns, ret);
    } else {
        make_ack(conn, NULL, now_ns, ret);
        ret->flags |= LAB_TCP_FIN;
        ret->seq--;
    }
    start_timer(net->tcp, conn, now_ns + (RETRY_NS << conn->retries));
    return true;
}

bool lab_tcp_timer(struct lab_net *net, int64_t now_ns, struct lab_tcp_unasked *ret)
{
    struct tcp_conn *conn = &net->tcp->conns[net->tcp->timers[0]];
    assert(net->tcp->timer_count > 0 && conn->due_ns <= now_ns);
    stop_timer(net->tcp, conn);
    *ret = (struct lab_tcp_unasked){.node = conn->node, .mark = conn->mark, .ttl = conn->ttl};
    ret->ends = (struct lab_tcp_ends){conn->local, conn->remote, (uint16_t)conn->ports, (uint16_t)(conn->ports >> 16)};
    if (conn->state != TCP_ESTABLISHED) {
        ret->is_again = true;
        return make_again(net, conn, now_ns, &ret->header);
    }
    conn->compressed = 0;
    make_ack(conn, waiting_duplicate(conn), now_ns, &ret->header);
    conn->duplicate = (struct tcp_block){0, 0};
    return true;
}
