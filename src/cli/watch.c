#include "cli/watch.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"
#include "base/str.h"
#include "measure/paths.h"

#define FARTHER_ROUNDS 3u /* before the target is believed to have moved away */
#define LOOK_AROUND 10u   /* every so many rounds an unreached target is looked for farther away */
#define LIMITED_LOST 2u   /* probes that must lack their answer before a router is said to limit replies */
#define LIMITED_SIGMAS 2.0

struct watch *watch_new(uint32_t flow_count)
{
    struct watch *watch = mem_alloc(sizeof *watch);
    assert(flow_count <= LIMIT_PATH_TRACES);
    watch->flow_count = flow_count;
    arena_init(&watch->arena, LIMIT_ROUND_ARENA);
    return watch;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    for (uint32_t i = 0; i < LIMIT_HOPS; i++) {
        for (uint32_t h = 0; h < watch->hops[i].count; h++)
            tally_done(&watch->hops[i].hosts[h]->tally);
    }
    arena_done(&watch->arena);
    mem_free(watch);
}

/* --- adding ------------------------------------------------------------------------------------------------------- */

static struct watch_host *host_at(struct watch *watch, uint32_t ttl, const union sock_addr *addr)
{
    struct watch_hop *hop = &watch->hops[ttl - 1];
    for (uint32_t i = 0; i < hop->count; i++) {
        if (sock_same_ip(&hop->hosts[i]->addr, addr))
            return hop->hosts[i];
    }
    struct watch_host *host = hop->count < WATCH_HOSTS ? arena_alloc(&watch->arena, sizeof *host) : NULL;
    if (!host)
        return NULL;
    host->addr = *addr;
    hop->hosts[hop->count++] = host;
    return host;
}

static void note_labels(struct watch *watch, struct watch_host *host, const struct probe_trace_hop *hop)
{
    struct arena scratch;
    arena_init(&scratch, 4096);
    const char *text = measure_labels_text(hop->labels, hop->label_count, &scratch);
    if (!str_equal(text, host->mpls))
        host->mpls = text ? arena_strdup(&watch->arena, text) : NULL;
    arena_done(&scratch);
}

/* flow_bit: of the flow that the cell belongs to. */
static void add_answer(struct watch *watch, struct watch_cell *cell, uint32_t flow_bit, const struct probe_trace_hop *hop)
{
    struct watch_host *host = host_at(watch, hop->ttl, &hop->addr);
    if (!host) {
        cell->sent += hop->sent;
        return;
    }
    if (!cell->host)
        host->sent += cell->sent; /* what it left unanswered until now */
    else
        cell->host->flows &= ~flow_bit;
    host->flows |= flow_bit;
    cell->host = host;
    cell->sent += hop->sent;
    cell->received += hop->received;
    host->sent += hop->sent;
    host->received += hop->received;
    tally_add(&host->tally, hop->rtt_ns);
    host->icmp_type = hop->icmp_type;
    host->icmp_code = hop->icmp_code;
    host->is_target = hop->is_target;
    note_labels(watch, host, hop);
}

static void add_silence(struct watch_cell *cell, uint8_t sent)
{
    cell->sent += sent;
    if (cell->host)
        cell->host->sent += sent;
}

/* A single answer to a later TTL means that the one before was lost; only when that goes on the path has grown. */
static void note_distance(struct watch_flow *own, const struct probe_trace_flow *flow)
{
    if (flow->end != PROBE_TRACE_REACHED) {
        own->last_at = flow->hop_count > own->last_at ? (uint8_t)flow->hop_count : own->last_at;
        return;
    }
    bool is_farther = own->target_at && flow->hop_count > own->target_at;
    own->farther = is_farther ? (uint8_t)(own->farther + 1) : 0;
    if (!is_farther || own->farther >= FARTHER_ROUNDS) {
        own->target_at = (uint8_t)flow->hop_count;
        own->farther = 0;
    }
    own->last_at = own->target_at;
}

/* The silence of a SYN that came to the target after another one means nothing. One known to end before the target is none.
 * known: the distance of the target as it was known before, 0 = it was not. */
static bool is_silence_vain(const struct probe_trace_flow *flow, uint8_t known, uint32_t ttl)
{
    return flow->hops[ttl - 1].is_overtaken && (known ? ttl >= known : flow->probed > flow->hop_count);
}

static void add_flow(struct watch *watch, struct watch_flow *own, uint32_t bit, const struct probe_trace_flow *flow)
{
    uint8_t known = own->target_at;
    note_distance(own, flow);
    /* Where the flow ends elsewhere its target may be farther than anybody who has answered so far. */
    uint32_t end = flow->end != PROBE_TRACE_REACHED || own->last_at > flow->probed ? flow->probed : own->last_at;
    for (uint32_t ttl = 1; ttl <= end; ttl++) {
        const struct probe_trace_hop *hop = &flow->hops[ttl - 1];
        /* What is told beyond the end comes from the one who ended it. */
        if (ttl <= flow->hop_count && sock_is_set(&hop->addr))
            add_answer(watch, &own->cells[ttl - 1], bit, hop);
        else if (!is_silence_vain(flow, known, ttl))
            add_silence(&own->cells[ttl - 1], hop->sent);
    }
}

void watch_add(struct watch *watch, const struct probe_trace_result *result)
{
    watch->rounds++;
    watch->overloaded += result->overloaded;
    watch->length = 0;
    for (uint32_t i = 0; i < result->flow_count && i < watch->flow_count; i++) {
        add_flow(watch, &watch->flows[i], 2u << i, &result->flows[i]);
        if (watch->flows[i].last_at > watch->length)
            watch->length = watch->flows[i].last_at;
    }
}

void watch_note_tunnel(struct watch *watch, uint32_t ttl, const union sock_addr *addr, const char *tunnel, bool has_looked)
{
    if (ttl < 1 || ttl > LIMIT_HOPS)
        return;
    const struct watch_hop *hop = &watch->hops[ttl - 1];
    for (uint32_t i = 0; i < hop->count; i++) {
        struct watch_host *host = hop->hosts[i];
        if (!sock_same_ip(&host->addr, addr) || (host->has_looked && !has_looked))
            continue;
        host->has_looked = has_looked;
        if (!str_equal(host->tunnel, tunnel))
            host->tunnel = tunnel ? arena_strdup(&watch->arena, tunnel) : NULL;
    }
}

uint32_t watch_hosts(const struct watch *watch)
{
    uint32_t count = 0;
    for (uint32_t ttl = 0; ttl < watch->length; ttl++)
        count += watch->hops[ttl].count;
    return count;
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

struct counts {
    double sent, lost;
};

/* What hosts that answer all they can have answered of these flows at one distance. */
static struct counts counts_at(const struct watch *watch, uint32_t flows, uint32_t ttl)
{
    struct counts counts = {0};
    for (uint32_t i = 0; i < watch->flow_count; i++) {
        const struct watch_cell *cell = &watch->flows[i].cells[ttl - 1];
        if (!(flows & 2u << i) || !cell->host || cell->host->is_limited)
            continue;
        counts.sent += (double)cell->sent;
        counts.lost += (double)(cell->sent - cell->received);
    }
    return counts;
}

/* Whether a share is larger than another one by more than chance would have it (the normal approximation of two
 * binomial shares). */
static bool is_more(struct counts a, struct counts b)
{
    double p = (a.lost + b.lost) / (a.sent + b.sent);
    double sigma = sqrt(p * (1 - p) * (1 / a.sent + 1 / b.sent));
    return a.lost / a.sent - b.lost / b.sent > LIMITED_SIGMAS * sigma;
}

static void judge(const struct watch *watch, struct watch_host *host, uint32_t ttl)
{
    struct counts own = {(double)host->sent, (double)(host->sent - host->received)}, behind = {0};
    double least = NAN;
    host->is_limited = false;
    host->unanswered = host->loss = host->sent ? own.lost / own.sent : (double)NAN;
    for (uint32_t next = ttl + 1; next <= watch->length; next++) {
        struct counts counts = counts_at(watch, host->flows, next);
        behind.sent += counts.sent;
        behind.lost += counts.lost;
        if (counts.sent > 0)
            least = fmin(least, counts.lost / counts.sent);
    }
    if (own.lost < LIMITED_LOST || behind.sent == 0 || !is_more(own, behind))
        return;
    host->is_limited = true;
    host->loss = fmin(least, host->unanswered);
}

static void judge_silence(struct watch *watch, uint32_t ttl)
{
    struct watch_hop *hop = &watch->hops[ttl - 1];
    hop->silent_flows = 0;
    hop->silent_sent = 0;
    for (uint32_t i = 0; i < watch->flow_count; i++) {
        const struct watch_flow *flow = &watch->flows[i];
        if (flow->cells[ttl - 1].host || ttl > flow->last_at)
            continue;
        hop->silent_flows |= 2u << i;
        hop->silent_sent += flow->cells[ttl - 1].sent;
    }
}

void watch_judge(struct watch *watch)
{
    for (uint32_t ttl = watch->length; ttl > 0; ttl--) {
        for (uint32_t i = 0; i < watch->hops[ttl - 1].count; i++)
            judge(watch, watch->hops[ttl - 1].hosts[i], ttl);
        judge_silence(watch, ttl);
    }
}

bool watch_is_reached(const struct watch *watch)
{
    for (uint32_t i = 0; i < watch->flow_count; i++) {
        if (!watch->flows[i].target_at)
            return false;
    }
    return true;
}

void watch_aim(const struct watch *watch, uint64_t round, struct probe_trace_settings *settings)
{
    settings->attempts = 1;
    settings->is_patient = true;
    settings->distance = (uint8_t)watch->length;
    if (watch_is_reached(watch)) {
        settings->beyond = 0;
        settings->gap_limit = 1;
    } else if (round % LOOK_AROUND != 0 && settings->gap_limit > 2) {
        settings->gap_limit = 2;
    }
}
