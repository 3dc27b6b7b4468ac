#include "probe/flows.h"

#include "base/rng.h"
#include "base/str.h"

#define PORTS_AHEAD 64u /* that a flow with a port for each probe is given at once: a round's */
#define PORT_TRIES 16u

void flows_init(struct flows *flows, const struct probe_io *io, struct rng *rng)
{
    *flows = (struct flows){.io = io,
                            .rng = rng,
                            .next_key = (uint32_t)rng_below(rng, MATCH_KEYS),
                            .tcp_base = (uint32_t)rng_u64(rng)};
}

void flows_done(struct flows *flows)
{
    map_done(&flows->by_key);
    map_done(&flows->by_port);
    map_done(&flows->by_id);
}

static uint64_t flow_key(bool is_ip6, enum probe_protocol protocol, uint32_t key)
{
    return ((uint64_t)protocol << 1 | is_ip6) << 32 | key;
}

static uint64_t key_of(const struct probe_flow *flow)
{
    return flow_key(flow->match.dst.sa.sa_family == AF_INET6, flow->match.protocol, flow->match.key);
}

static uint64_t port_key(enum probe_protocol protocol, uint16_t sport, const union sock_addr *dst)
{
    size_t size;
    const void *bytes = sock_ip_bytes(dst, &size);
    uint32_t other = (uint32_t)sock_port(dst) << 16 | sport;
    return str_hash(&other, sizeof other, str_hash(bytes, size, 1 + (uint64_t)protocol));
}

static uint64_t id_key(enum probe_protocol protocol, uint16_t ip_id, const union sock_addr *dst)
{
    union sock_addr target = *dst;
    if (protocol == PROBE_ICMP)
        sock_set_port(&target, 0);
    return port_key(protocol, (uint16_t)(ip_id / MATCH_FLOW_PROBES), &target);
}

/* An identification that no other flow to the target has, if there is one left; else neither can be found by it. */
static void give_id(struct flows *flows, struct probe_flow *flow)
{
    struct match_flow *match = &flow->match;
    uint32_t blocks = 0x10000 / MATCH_FLOW_PROBES - 1; /* the last would run over, the first has 0 */
    uint32_t first = (uint32_t)rng_below(flows->rng, blocks);
    struct probe_flow *other = NULL;
    flow->is_id_shared = flow->is_id_listed = false;
    for (uint32_t i = 0; i < blocks; i++) {
        match->ip_id = (uint16_t)((1 + (first + i) % blocks) * MATCH_FLOW_PROBES);
        other = map_get(&flows->by_id, id_key(match->protocol, match->ip_id, &match->dst));
        if (!other || match->dst.sa.sa_family != AF_INET)
            break;
    }
    if (match->dst.sa.sa_family != AF_INET)
        return;
    flow->is_id_listed = !other;
    if (other)
        other->is_id_shared = true;
    else
        map_put(&flows->by_id, id_key(match->protocol, match->ip_id, &match->dst), flow);
}

/* What another flow is listed under is left to it. */
void flows_list_port(struct flows *flows, struct probe_flow *flow, uint32_t offset)
{
    uint64_t key = port_key(flow->match.protocol, match_sport(&flow->match, offset), &flow->match.dst);
    if (offset >= flow->ports)
        flow->ports = offset + 1;
    if (!map_get(&flows->by_port, key))
        map_put(&flows->by_port, key, flow);
}

static void unlist_ports(struct flows *flows, const struct probe_flow *flow)
{
    for (uint32_t offset = 0; offset < flow->ports; offset++) {
        uint64_t key = port_key(flow->match.protocol, match_sport(&flow->match, offset), &flow->match.dst);
        if (map_get(&flows->by_port, key) == flow)
            (void)map_remove(&flows->by_port, key);
    }
}

/* A free key. Without a seed numbers are given in turn, so that one is not used again for as long as can be: an answer that
 * comes after its round has ended finds nobody. With a seed what is hashed of the key is given (the identifier, the
 * port of
 * UDP) and the rest takes turns; the port of TCP is no part of the key. */
static uint32_t free_key(struct flows *flows, const struct probe_flow *flow, uint64_t seed)
{
    enum probe_protocol protocol = flow->match.protocol;
    bool is_ip6 = flow->match.dst.sa.sa_family == AF_INET6;
    uint32_t keys = protocol == PROBE_UDP ? MATCH_UDP_KEYS : MATCH_KEYS;
    uint32_t bits = protocol == PROBE_UDP ? 12 : 16, key;
    for (uint32_t turn = 0; seed && protocol != PROBE_TCP && turn < keys >> bits; turn++) {
        key = (uint32_t)((flows->next_turn++ % (keys >> bits)) << bits | (seed & ((1u << bits) - 1)));
        if (!map_get(&flows->by_key, flow_key(is_ip6, protocol, key)))
            return key;
    }
    do
        key = flows->next_key++ % keys;
    while (map_get(&flows->by_key, flow_key(is_ip6, protocol, key)));
    return key;
}

/* 0 = none is left. */
static uint16_t free_quiet_port(struct flows *flows, const union sock_addr *dst)
{
    const uint16_t *ports;
    size_t count = flows->io->ops->quiet_ports(flows->io, &ports);
    size_t first = count ? (size_t)rng_below(flows->rng, count) : 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t port = ports[(first + i) % count];
        if (!map_get(&flows->by_port, port_key(PROBE_TCP, port, dst)))
            return port;
    }
    return 0;
}

/* A port from which on none is taken by another flow to the target, if one is found: two SYNs of one port that are under
 * way at once draw no answers of their own. */
static uint16_t free_probe_port(struct flows *flows, const struct match_flow *match)
{
    uint16_t port = 0;
    for (unsigned tries = 0; tries < PORT_TRIES; tries++) {
        struct match_flow from = *match;
        from.id = port = (uint16_t)(MATCH_PROBE_PORT_LOW | rng_below(flows->rng, MATCH_PROBE_PORTS));
        if (!map_get(&flows->by_port, port_key(PROBE_TCP, port, &match->dst)) &&
            !map_get(&flows->by_port, port_key(PROBE_TCP, match_sport(&from, PORTS_AHEAD - 1), &match->dst)))
            break;
    }
    return port;
}

static int give_port(struct flows *flows, struct match_flow *match, uint64_t seed, struct error *err)
{
    if (match->protocol == PROBE_ICMP)
        match->id = (uint16_t)match->key;
    else if (match->protocol == PROBE_UDP)
        match->id = (uint16_t)(MATCH_PORT_LOW | match->key % MATCH_PORTS);
    else if (match->is_session)
        match->id = free_quiet_port(flows, &match->dst);
    else if (match->has_port_per_probe)
        match->id = free_probe_port(flows, match);
    else
        match->id = (uint16_t)(MATCH_PORT_LOW + (seed ? (uint32_t)seed : match->key) % (MATCH_PORTS - MATCH_PROBE_PORTS));
    if (match->id == 0 && match->is_session)
        return error_set(err, E_LIMIT, "", "no quiet TCP port is left for another session with this target");
    return 0;
}

int flows_add(struct flows *flows, struct probe_flow *flow, uint64_t seed, struct error *err)
{
    struct match_flow *match = &flow->match;
    if (flows->by_key.count >= MATCH_UDP_KEYS / 2)
        return error_set(err, E_LIMIT, "", "the probe engine has no identifier left");
    match->key = free_key(flows, flow, seed);
    int rc = give_port(flows, match, seed, err);
    if (rc)
        return rc;
    flow->ports = 0;
    match->base = flows->tcp_base + match->key * MATCH_FLOW_PROBES;
    give_id(flows, flow);
    map_put(&flows->by_key, key_of(flow), flow);
    if (match->protocol != PROBE_ICMP && !match->has_port_per_probe)
        flows_list_port(flows, flow, 0);
    for (uint32_t offset = 0; match->has_port_per_probe && offset < PORTS_AHEAD; offset++)
        flows_list_port(flows, flow, offset);
    return 0;
}

void flows_remove(struct flows *flows, struct probe_flow *flow)
{
    (void)map_remove(&flows->by_key, key_of(flow));
    unlist_ports(flows, flow);
    if (flow->is_id_listed)
        (void)map_remove(&flows->by_id, id_key(flow->match.protocol, flow->match.ip_id, &flow->match.dst));
}

/* --- whose an answer is ------------------------------------------------------------------------------------------- */

static struct probe_flow *find_by_id(const struct flows *flows, const struct match_reply *reply,
                                     struct probe_answer *answer)
{
    enum probe_protocol protocol;
    union sock_addr dst;
    uint16_t ip_id;
    if (!match_id(reply, &protocol, &dst, &ip_id))
        return NULL;
    struct probe_flow *flow = map_get(&flows->by_id, id_key(protocol, ip_id, &dst));
    if (!flow || flow->is_id_shared)
        return NULL;
    answer->offset = ip_id % MATCH_FLOW_PROBES;
    answer->quality = match_answer(&flow->match, answer->offset, reply, &answer->rewritten);
    return answer->quality == MATCH_NONE ? NULL : flow;
}

struct probe_flow *flows_find(const struct flows *flows, const struct match_reply *reply, struct probe_answer *answer)
{
    enum probe_protocol protocol;
    uint32_t key;
    uint16_t sport;
    union sock_addr dst;
    struct probe_flow *flow;
    bool is_ip6 = reply->from->sa.sa_family == AF_INET6;
    if (match_key(reply, flows->tcp_base, &protocol, &key, &answer->offset)) {
        flow = map_get(&flows->by_key, flow_key(is_ip6, protocol, key));
        answer->quality = flow ? match_answer(&flow->match, answer->offset, reply, &answer->rewritten) : MATCH_NONE;
        if (answer->quality != MATCH_NONE)
            return flow;
    }
    if (match_ports(reply, &protocol, &sport, &dst)) {
        flow = map_get(&flows->by_port, port_key(protocol, sport, &dst));
        if (flow && match_offset(&flow->match, reply, &answer->offset))
            answer->quality = match_answer(&flow->match, answer->offset, reply, &answer->rewritten);
        if (flow && answer->quality != MATCH_NONE)
            return flow;
    }
    return find_by_id(flows, reply, answer);
}
