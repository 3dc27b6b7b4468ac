#include "probe/engine.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/slab.h"
#include "base/str.h"
#include "probe/flows.h"
#include "probe/packet.h"
#include "probe/round.h"

#define BATCH 64u
#define TOKEN_RING 65536u      /* packets whose transmit stamp may still come */
#define DROP_WINDOWS 16u
#define TICK_MIN_NS CLOCK_MS
#define TICK_MAX_NS (5 * CLOCK_MS)
#define TICK_PACKETS 64        /* worth waking up for */
#define QUIET_PPS 400          /* up to this waking up for each costs little, and is sooner */
#define RATE_WINDOW_NS (50 * CLOCK_MS)
#define SENDS_PER_WAKE 256u    /* more at once would overrun the queues of this host and of slow links */
#define READS_PER_WAKE 256u    /* batches; what is left is read in the next tick */

/* A block of a round (round_memory): in a list of the round, and in one of the engine, which frees what is left. */
struct round_memory {
    struct round_memory *older; /* of the round */
    struct round_memory *previous, *next;
    _Alignas(max_align_t) uint8_t bytes[];
};

struct sent {
    struct probe_round *round;
    uint64_t serial;
    uint32_t probe;
};

/* The time stands beside the round: thousands of rounds do not fit the cache, thousands of these do. */
struct due {
    int64_t at_ns;
    struct probe_round *round;
};

struct probe_engine {
    struct probe_io *io;
    struct probe_engine_settings settings;
    struct probe_engine_stats stats;
    struct slab rounds;
    struct round_memory *memory; /* of all rounds */
    uint64_t serial;
    struct due *heap; /* 1-based */
    size_t heap_count;
    struct flows flows;
    struct rng rng;

    struct probe_io_packet packets[BATCH]; /* waiting to be sent; owners beside them */
    struct sent owners[BATCH];
    uint8_t (*bytes)[PROBE_IO_HEADROOM + PACKET_MAX_BYTES];
    size_t packet_count;
    struct sent *sent;         /* by token */
    uint32_t next_token;

    struct { int64_t from_ns, to_ns; } drops[DROP_WINDOWS]; /* oldest first */
    size_t drop_count;
    uint64_t dropped;
    int64_t polled_ns;         /* when the drops were last looked at */

    int64_t woken_ns, tick_ns;
    int64_t rate_start_ns;     /* packets both ways since then */
    uint32_t rate_packets;
    uint32_t wake_packets;     /* in this wake-up */
    bool is_awake;             /* wake() is running */
    bool is_full;              /* the transmit buffer */
    uint32_t wake_sends;       /* in this wake-up */
    bool is_spent;             /* somebody could not send: next tick */
    bool is_quiet;             /* few packets lately */
};

int64_t probe_engine_mono_ns(const struct probe_engine *engine)
{
    return engine->io->ops->mono_ns(engine->io);
}

int64_t probe_engine_wall_ns(const struct probe_engine *engine)
{
    return engine->io->ops->wall_ns(engine->io);
}

bool probe_engine_source(const struct probe_engine *engine, const union sock_addr *dst, union sock_addr *ret_src)
{
    return engine->io->ops->find_source(engine->io, dst, ret_src);
}

const struct probe_engine_stats *probe_engine_stats(const struct probe_engine *engine)
{
    return &engine->stats;
}

/* --- who is due next: a binary heap ------------------------------------------------------------------------------- */

static void heap_place(struct probe_engine *engine, struct due due, size_t at)
{
    engine->heap[at] = due;
    due.round->position = at;
}

static void heap_up(struct probe_engine *engine, struct due due, size_t at)
{
    for (; at > 1 && engine->heap[at / 2].at_ns > due.at_ns; at /= 2)
        heap_place(engine, engine->heap[at / 2], at);
    heap_place(engine, due, at);
}

static void heap_down(struct probe_engine *engine, struct due due, size_t at)
{
    for (;;) {
        size_t child = at * 2;
        if (child > engine->heap_count)
            break;
        if (child < engine->heap_count && engine->heap[child + 1].at_ns < engine->heap[child].at_ns)
            child++;
        if (engine->heap[child].at_ns >= due.at_ns)
            break;
        heap_place(engine, engine->heap[child], at);
        at = child;
    }
    heap_place(engine, due, at);
}

static void heap_remove(struct probe_engine *engine, struct probe_round *round)
{
    size_t at = round->position;
    if (at == 0)
        return;
    round->position = 0;
    struct due last = engine->heap[engine->heap_count--];
    if (last.round == round)
        return;
    if (at > 1 && engine->heap[at / 2].at_ns > last.at_ns)
        heap_up(engine, last, at);
    else
        heap_down(engine, last, at);
}

/* --- when to wake up ---------------------------------------------------------------------------------------------- */

/*
 * Under load the engine sleeps a tick after a wake-up in which something happened, whatever comes in meanwhile: a
 * wake-up costs more than ten packets. Else it waits for the next packet or the next due round.
 */
static void plan_wake(struct probe_engine *engine)
{
    if (engine->is_awake)
        return; /* at its end */
    int64_t due = engine->heap_count > 0 ? engine->heap[1].at_ns : PROBE_IO_NEVER;
    int64_t earliest = engine->woken_ns + engine->tick_ns;
    bool is_sharp = engine->heap_count > 0 && due < earliest && engine->heap[1].round->is_sharp;
    bool wants_input = engine->stats.rounds > 0;
    if (due < earliest || engine->packet_count > 0) /* a round that has ended may have left a farewell */
        due = earliest;
    if (engine->is_full || engine->is_spent || (wants_input && engine->wake_packets > 0 && !engine->is_quiet)) {
        due = earliest;
        wants_input = false;
    }
    if (is_sharp && engine->heap[1].at_ns < due)
        due = engine->heap[1].at_ns;
    engine->io->ops->wait(engine->io, due, wants_input);
}

static void adapt_tick(struct probe_engine *engine, int64_t now)
{
    engine->rate_packets += engine->wake_packets;
    int64_t span = now - engine->rate_start_ns;
    if (span < RATE_WINDOW_NS)
        return;
    int64_t pps = (int64_t)engine->rate_packets * CLOCK_S / span;
    engine->is_quiet = pps <= QUIET_PPS;
    int64_t tick = engine->is_quiet ? TICK_MIN_NS : TICK_PACKETS * CLOCK_S / pps;
    engine->tick_ns = tick < TICK_MIN_NS ? TICK_MIN_NS : tick > TICK_MAX_NS ? TICK_MAX_NS : tick;
    engine->rate_start_ns = now;
    engine->rate_packets = 0;
}

void round_wake_at(struct probe_round *round, int64_t due_ns)
{
    struct probe_engine *engine = round->engine;
    heap_remove(engine, round);
    round->is_sharp = false;
    if (due_ns == PROBE_IO_NEVER)
        return;
    round->due_ns = due_ns;
    heap_up(engine, (struct due){due_ns, round}, ++engine->heap_count);
    plan_wake(engine);
}

void round_wake_sharply_at(struct probe_round *round, int64_t due_ns)
{
    round_wake_at(round, due_ns);
    round->is_sharp = true;
    plan_wake(round->engine);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static struct probe_round *owner_of(const struct sent *sent)
{
    return sent->round && sent->round->serial == sent->serial ? sent->round : NULL;
}

static void tell_sent(struct probe_engine *engine, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct probe_io_packet *packet = &engine->packets[i];
        struct probe_round *round = owner_of(&engine->owners[i]);
        struct probe_event event = {.kind = packet->error ? PROBE_EVENT_REFUSED : PROBE_EVENT_SENT,
                                    .probe = engine->owners[i].probe,
                                    .at_ns = packet->sent_ns,
                                    .sys_errno = packet->error};
        if (packet->error)
            engine->stats.refused++;
        else
            engine->stats.sent++;
        if (round)
            round->step(round, &event);
    }
}

/* Offers the batch to the kernel; what it has no room for stays. */
static void flush(struct probe_engine *engine)
{
    if (engine->packet_count == 0)
        return;
    for (size_t i = 0; i < engine->packet_count; i++)
        engine->packets[i].bytes = engine->bytes[i] + PROBE_IO_HEADROOM;
    size_t done = engine->io->ops->send(engine->io, engine->packets, engine->packet_count);
    size_t left = engine->packet_count - done;
    engine->is_full = left > 0;
    engine->wake_packets += (uint32_t)done;
    tell_sent(engine, done);
    for (size_t i = 0; i < left && done > 0; i++) {
        engine->packets[i] = engine->packets[done + i];
        engine->owners[i] = engine->owners[done + i];
        memcpy(engine->bytes[i] + PROBE_IO_HEADROOM, engine->bytes[done + i] + PROBE_IO_HEADROOM, engine->packets[i].size);
    }
    engine->packet_count = left;
}

static size_t header_bytes(const struct probe_flow *flow)
{
    return flow->match.dst.sa.sa_family == AF_INET6 ? 40 : 20;
}

static size_t build(const struct probe_flow *flow, const struct probe_send *send, uint8_t *out)
{
    const struct match_flow *match = &flow->match;
    size_t size = send->size > header_bytes(flow) ? send->size - header_bytes(flow) : 0;
    if (!match->is_session)
        return match_build(match, send->offset, size, out);
    struct packet_tcp segment = *send->segment;
    segment.sport = match->id;
    segment.dport = sock_port(&match->dst);
    return packet_build_tcp(&segment, &match->src, &match->dst, out);
}

static uint8_t ip_protocol(const struct match_flow *match)
{
    if (match->protocol == PROBE_TCP)
        return IPPROTO_TCP;
    if (match->protocol == PROBE_UDP)
        return IPPROTO_UDP;
    return match->dst.sa.sa_family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

bool flow_send(struct probe_flow *flow, const struct probe_send *send)
{
    struct probe_engine *engine = flow->round->engine;
    if (engine->packet_count == BATCH && !engine->is_full)
        flush(engine);
    if (engine->packet_count == BATCH || engine->wake_sends == SENDS_PER_WAKE) {
        engine->is_spent = true;
        return false;
    }
    engine->wake_sends++;
    size_t at = engine->packet_count++;
    if (flow->match.has_port_per_probe)
        flows_list_port(&engine->flows, flow, send->offset);
    engine->packets[at] = (struct probe_io_packet){
        .dst = flow->match.dst,
        .src = flow->match.src,
        .has_own_src = flow->has_own_src,
        .protocol = ip_protocol(&flow->match),
        .ttl = send->ttl,
        .tos = send->tos,
        .ip_id = match_ip_id(&flow->match, send->offset),
        .flow_label = flow->label,
        .size = (uint16_t)build(flow, send, engine->bytes[at] + PROBE_IO_HEADROOM),
        .token = engine->next_token,
    };
    engine->owners[at] = (struct sent){flow->round, flow->round->serial, send->probe};
    engine->sent[engine->next_token++ % TOKEN_RING] = engine->owners[at];
    return true;
}

uint16_t flow_random_sum(struct probe_engine *engine)
{
    return (uint16_t)(1 + rng_below(&engine->rng, 0xfffe));
}

int flow_open(struct probe_round *round, struct probe_flow *flow, uint32_t number, uint16_t sum, uint64_t seed,
              struct error *err)
{
    struct probe_engine *engine = round->engine;
    struct match_flow *match = &flow->match;
    flow->has_own_src = sock_is_set(&match->src);
    if (!flow->has_own_src && (match->protocol != PROBE_ICMP || match->dst.sa.sa_family == AF_INET6))
        (void)probe_engine_source(engine, &match->dst, &match->src);
    sock_set_port(&match->src, 0);
    int rc = flows_add(&engine->flows, flow, seed, err);
    if (rc)
        return rc;
    flow->round = round;
    flow->number = number;
    flow->label = (uint32_t)(1 + (seed ? seed >> 32 : rng_u64(&engine->rng)) % 0xfffff);
    uint64_t nonce = rng_u64(&engine->rng);
    memcpy(match->nonce, &nonce, sizeof match->nonce);
    match_flow_init(match, sum ? sum : flow_random_sum(engine));
    return 0;
}

void flow_close(struct probe_flow *flow)
{
    if (!flow->round)
        return;
    flows_remove(&flow->round->engine->flows, flow);
    flow->round = NULL;
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

void *round_new(struct probe_engine *engine, uint32_t probes,
                void (*step)(struct probe_round *round, const struct probe_event *event), struct error *err)
{
    struct probe_round *round = NULL;
    if (probes > engine->settings.max_probes - engine->stats.probes) {
        limit_hit(LIMIT_KIND_PROBES);
        engine->stats.rounds_refused++;
        (void)error_set(err, E_LIMIT, "", "the probe engine already awaits answers to %u probes (of at most %u)",
                        engine->stats.probes, engine->settings.max_probes);
        return NULL;
    }
    round = slab_get(&engine->rounds);
    if (!round) {
        limit_hit(LIMIT_KIND_ROUNDS);
        engine->stats.rounds_refused++;
        (void)error_set(err, E_LIMIT, "", "the probe engine already runs %u rounds", engine->stats.rounds);
        return NULL;
    }
    *round = (struct probe_round){.step = step, .engine = engine, .serial = ++engine->serial, .reserved = probes};
    engine->stats.rounds++;
    engine->stats.probes += probes;
    round_wake_at(round, probe_engine_mono_ns(engine));
    return round;
}

static void unlink_memory(struct probe_engine *engine, struct round_memory *block)
{
    if (block->previous)
        block->previous->next = block->next;
    else
        engine->memory = block->next;
    if (block->next)
        block->next->previous = block->previous;
}

void *round_memory(struct probe_round *round, void *bytes, size_t old_size, size_t size)
{
    struct probe_engine *engine = round->engine;
    struct round_memory *block = NULL;
    if (bytes) {
        block = (struct round_memory *)(void *)((uint8_t *)bytes - offsetof(struct round_memory, bytes));
        struct round_memory **at = &round->memory;
        while (*at != block)
            at = &(*at)->older;
        *at = block->older;
        unlink_memory(engine, block);
    }
    block = mem_resize(block, block ? sizeof *block + old_size : 0, sizeof *block + size);
    block->older = round->memory;
    block->previous = NULL;
    block->next = engine->memory;
    if (block->next)
        block->next->previous = block;
    round->memory = engine->memory = block;
    return block->bytes;
}

static void free_memory(struct probe_round *round)
{
    while (round->memory) {
        struct round_memory *block = round->memory;
        round->memory = block->older;
        unlink_memory(round->engine, block);
        mem_free(block);
    }
}

void round_free(struct probe_round *round)
{
    struct probe_engine *engine = round->engine;
    heap_remove(engine, round);
    assert(round->serial != 0);
    free_memory(round);
    round->serial = 0; /* packets and stamps still under way find nobody */
    engine->stats.rounds--;
    engine->stats.probes -= round->reserved;
    slab_put(&engine->rounds, round);
    plan_wake(engine);
}

bool round_dropped_between(const struct probe_round *round, int64_t from_ns, int64_t to_ns)
{
    const struct probe_engine *engine = round->engine;
    for (size_t i = 0; i < engine->drop_count; i++) {
        if (engine->drops[i].from_ns <= to_ns && engine->drops[i].to_ns >= from_ns)
            return true;
    }
    return false;
}

/* --- waking up ---------------------------------------------------------------------------------------------------- */

static void read_stamps(struct probe_engine *engine)
{
    struct probe_io_stamp stamps[BATCH];
    size_t count;
    while ((count = engine->io->ops->stamps(engine->io, stamps, BATCH)) > 0) {
        for (size_t i = 0; i < count; i++) {
            const struct sent *sent = &engine->sent[stamps[i].token % TOKEN_RING];
            if (engine->next_token - stamps[i].token > TOKEN_RING)
                continue; /* so late that another packet has its place */
            engine->stats.stamps++;
            struct probe_round *round = owner_of(sent);
            struct probe_event event = {
                .kind = PROBE_EVENT_STAMP, .probe = sent->probe, .at_ns = stamps[i].tx_ns};
            if (round)
                round->step(round, &event);
        }
    }
}

/* Raw sockets get what the way damaged, too. ICMPv6 is verified by the kernel, which IPv6 asks of it. */
static bool is_icmp_damaged(const struct probe_io_reply *packet)
{
    return packet->protocol == IPPROTO_ICMP && packet_fold(packet_sum(packet->bytes, packet->size, 0)) != 0xffff;
}

/* Segments and datagrams of this very machine may carry the sum of the pseudo header only: it is the device that would fill
 * in the checksum, and there was none. */
static bool is_damaged(const struct probe_io_reply *packet, const struct match_flow *match)
{
    if ((packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP) || !sock_is_set(&match->src))
        return false;
    const uint8_t *sum = packet->bytes + (packet->protocol == IPPROTO_TCP ? 16 : 6);
    uint16_t told = (uint16_t)(sum[0] << 8 | sum[1]);
    uint32_t pseudo = packet_pseudo_sum(&packet->src, &match->src, packet->protocol, packet->size);
    bool has_none = packet->protocol == IPPROTO_UDP && told == 0;
    return !has_none && told != packet_fold(pseudo) && packet_fold(packet_sum(packet->bytes, packet->size, pseudo)) != 0xffff;
}

static int parse(const struct probe_io_reply *packet, struct probe_answer *answer, struct packet_icmp *icmp,
                 struct packet_tcp *tcp, struct packet_udp *udp)
{
    int rc;
    if (packet->protocol == IPPROTO_TCP) {
        rc = packet_parse_tcp(packet->bytes, packet->size, tcp);
        answer->kind = rc ? PACKET_OTHER : packet_tcp_kind(tcp);
        answer->tcp = tcp;
    } else if (packet->protocol == IPPROTO_UDP) {
        rc = packet_parse_udp(packet->bytes, packet->size, udp);
        answer->kind = PACKET_DATAGRAM;
        answer->udp = udp;
    } else {
        rc = packet_parse_icmp(packet->src.sa.sa_family, packet->bytes, packet->size, icmp);
        answer->kind = rc ? PACKET_OTHER : icmp->kind;
        answer->icmp = icmp;
    }
    return rc;
}

static void take_reply(struct probe_engine *engine, const struct probe_io_reply *packet)
{
    struct packet_icmp icmp;
    struct packet_tcp tcp;
    struct packet_udp udp;
    struct probe_answer answer = {.packet = packet};
    engine->stats.received++;
    if (is_icmp_damaged(packet) || parse(packet, &answer, &icmp, &tcp, &udp) != 0) {
        engine->stats.malformed++;
        return;
    }
    struct match_reply reply = {
        .kind = answer.kind, .from = &packet->src, .icmp = answer.icmp, .tcp = answer.tcp, .udp = answer.udp};
    struct probe_flow *flow = flows_find(&engine->flows, &reply, &answer);
    if (!flow) {
        engine->stats.foreign++;
        return;
    }
    if (is_damaged(packet, &flow->match)) {
        engine->stats.malformed++;
        return;
    }
    engine->stats.matched++;
    engine->stats.loose += answer.quality == MATCH_LOOSE;
    answer.flow = flow->number;
    struct probe_event event = {.kind = PROBE_EVENT_ANSWER, .answer = &answer};
    flow->round->step(flow->round, &event);
}

static void read_replies(struct probe_engine *engine)
{
    struct probe_io_reply replies[BATCH];
    size_t count;
    for (unsigned i = 0; i < READS_PER_WAKE; i++) {
        count = engine->io->ops->receive(engine->io, replies, BATCH);
        if (count == 0)
            break;
        engine->wake_packets += (uint32_t)count;
        for (size_t j = 0; j < count; j++)
            take_reply(engine, &replies[j]);
    }
}

static void note_drops(struct probe_engine *engine)
{
    int64_t now = probe_engine_mono_ns(engine);
    uint64_t dropped = engine->io->ops->dropped(engine->io);
    if (dropped != engine->dropped) {
        size_t last = engine->drop_count;
        if (last > 0 && (engine->drops[last - 1].to_ns == engine->polled_ns || last == DROP_WINDOWS)) {
            engine->drops[last - 1].to_ns = now;
        } else {
            engine->drops[last].from_ns = engine->polled_ns;
            engine->drops[last].to_ns = now;
            engine->drop_count++;
        }
        engine->stats.dropped += dropped - engine->dropped;
        engine->dropped = dropped;
    }
    engine->polled_ns = now;
}

/* Windows so old that no round can have a probe from then make room. */
static void forget_drops(struct probe_engine *engine, int64_t now)
{
    if (engine->stats.rounds > 0 && (engine->drop_count == 0 || now - engine->drops[0].to_ns < 300 * CLOCK_S))
        return;
    if (engine->stats.rounds == 0)
        engine->drop_count = 0;
    else
        memmove(&engine->drops[0], &engine->drops[1], --engine->drop_count * sizeof engine->drops[0]);
}

static void wake(void *user)
{
    struct probe_engine *engine = user;
    int64_t now = probe_engine_mono_ns(engine);
    engine->is_awake = true;
    engine->woken_ns = now;
    engine->wake_packets = engine->wake_sends = 0;
    engine->is_spent = false;
    engine->stats.wakeups++;
    flush(engine); /* what the kernel had no room for */
    read_stamps(engine);
    read_replies(engine);
    note_drops(engine);
    while (engine->heap_count > 0 && engine->heap[1].at_ns <= now && !engine->is_spent) {
        struct probe_round *round = engine->heap[1].round;
        uint64_t serial = round->serial;
        heap_remove(engine, round);
        round->step(round, &(struct probe_event){.kind = PROBE_EVENT_TIMER, .at_ns = now});
        if (round->serial == serial && round->position != 0 && round->due_ns <= now)
            round_wake_at(round, now + 1); /* whatever it wants at once, others come first */
    }
    flush(engine);
    read_stamps(engine);
    forget_drops(engine, now);
    adapt_tick(engine, now);
    engine->is_awake = false;
    plan_wake(engine);
}

/* --- making and freeing ------------------------------------------------------------------------------------------- */

static uint32_t ceiling(uint32_t wanted, uint32_t limit)
{
    return wanted == 0 || wanted > limit ? limit : wanted;
}

int probe_engine_new(struct probe_io *io, const struct probe_engine_settings *settings,
                     struct probe_engine **ret_engine, struct error *err)
{
    if (!io->ops->has_family(io, AF_INET) && !io->ops->has_family(io, AF_INET6))
        return error_set(err, E_NOT_SUPPORTED, "", "there is neither an IPv4 nor an IPv6 socket to probe with");
    struct probe_engine *engine = mem_alloc(sizeof *engine);
    if (settings)
        engine->settings = *settings;
    engine->settings.max_rounds = ceiling(engine->settings.max_rounds, LIMIT_ENGINE_ROUNDS);
    engine->settings.max_probes = ceiling(engine->settings.max_probes, LIMIT_ENGINE_PROBES);
    if (engine->settings.seed == 0)
        rng_secret(&engine->settings.seed, sizeof engine->settings.seed);
    rng_seed(&engine->rng, engine->settings.seed);
    flows_init(&engine->flows, io, &engine->rng);
    slab_init(&engine->rounds, ROUND_BYTES, engine->settings.max_rounds);
    engine->heap = mem_alloc_array(engine->settings.max_rounds + 1, sizeof *engine->heap);
    engine->sent = mem_alloc_array(TOKEN_RING, sizeof *engine->sent);
    engine->bytes = mem_alloc_array(BATCH, sizeof *engine->bytes);
    engine->io = io;
    engine->tick_ns = TICK_MIN_NS;
    engine->is_quiet = true;
    engine->dropped = io->ops->dropped(io);
    engine->polled_ns = probe_engine_mono_ns(engine);
    io->wake = wake;
    io->user = engine;
    *ret_engine = engine;
    return 0;
}

void probe_engine_free(struct probe_engine *engine)
{
    if (!engine)
        return;
    assert(!engine->is_awake);
    flush(engine);
    engine->io->ops->close(engine->io);
    flows_done(&engine->flows);
    while (engine->memory) {
        struct round_memory *block = engine->memory;
        engine->memory = block->next;
        mem_free(block);
    }
    slab_done(&engine->rounds);
    mem_free(engine->heap);
    mem_free(engine->sent);
    mem_free(engine->bytes);
    mem_free(engine);
}
