/*
 * Forwarding, node by node, as routers do it: firewall, own address, TTL, route, equal-cost choice, MPLS, MTU, link.
 *
 * A packet is carried at once to the place where its way ends, adding up time, and an event is scheduled for the
 * moment it gets there; answers are made at that moment, so that rate limits and TCP see packets in order.
 *
 * MPLS follows RFC 3032 and 3443. With TTL propagation (explicit, implicit) the label's TTL begins as the packet's and
 * is written back where the label is popped; without it (opaque, invisible) it begins as 255 and the inner nodes
 * never expire anything; many routers still take the lesser of both TTLs back where the label is popped, so that the
 * errors of the tunnel's end, sent with 255, show on their way back how many nodes they passed. The last label is popped
 * by the last node but one (penultimate hop popping) unless the tunnel says otherwise. Errors quote the label stack as it
 * was received (RFC 4950): a lone label with a TTL near 255 is how an opaque tunnel shows itself (Donnet, Luckie,
 * Merindol, Pansiot: "Revealing MPLS tunnels obscured from traceroute", 2012).
 */
#include "lab/core.h"

#include <assert.h>

/* What is decided at one node. */
enum step { STEP_SEND, STEP_ARRIVED, STEP_VERDICT };

struct walk {
    struct lab_net *net;
    struct lab_packet *packet;
    struct lab_path *way;        /* may be NULL */
    struct lab_choices *choices; /* may be NULL */
    int64_t now_ns;
    bool is_dry;
    uint8_t depth;     /* decrements so far */
    uint32_t next;     /* enumeration: decisions so far */
    uint32_t port;     /* STEP_SEND */
    enum lab_verdict verdict; /* STEP_VERDICT */
    enum lab_reason reason;   /* LAB_DROP */
    uint32_t mtu;
};

static bool is_propagating(const struct lab_tunnel *tunnel)
{
    return tunnel->kind == LAB_TUNNEL_EXPLICIT || tunnel->kind == LAB_TUNNEL_IMPLICIT;
}

static bool is_showing_labels(const struct lab_tunnel *tunnel)
{
    return tunnel->kind == LAB_TUNNEL_EXPLICIT || tunnel->kind == LAB_TUNNEL_OPAQUE;
}

uint32_t lab_walk_labels(const struct lab_scenario *s, uint32_t tunnel_index, uint32_t hop, uint8_t ttl,
                         uint32_t entries[LAB_LABELS])
{
    const struct lab_tunnel *tunnel = &s->tunnels[tunnel_index];
    assert(hop >= 1 && hop <= tunnel->hops);
    uint32_t count = tunnel->bottom == LAB_NONE ? 1 : 2, class_bits = (uint32_t)tunnel->traffic_class << 9;
    entries[0] = tunnel->labels[hop - 1] << 12 | class_bits | (count == 1 ? 0x100u : 0) | ttl;
    if (count == 2)
        entries[1] = tunnel->bottom << 12 | class_bits | 0x100u | ttl;
    return count;
}

static void note_hop(struct walk *walk, bool is_counting, uint32_t tunnel, uint32_t tunnel_hop)
{
    const struct lab_packet *packet = walk->packet;
    if (is_counting && walk->depth < 255)
        walk->depth++;
    if (!walk->way || walk->way->count == LAB_PATH_HOPS)
        return;
    struct lab_hop *hop = &walk->way->hops[walk->way->count++];
    *hop = (struct lab_hop){
        .node = (uint16_t)packet->node,
        .port = packet->port == LAB_NONE ? UINT16_MAX : (uint16_t)packet->port,
        .ttl = is_counting ? walk->depth : 0,
        .tunnel = UINT16_MAX,
    };
    if (tunnel != LAB_NONE) {
        hop->tunnel = (uint16_t)(tunnel * LAB_MAX_TUNNEL_HOPS + tunnel_hop);
        hop->labels = is_counting && is_showing_labels(&walk->net->s->tunnels[tunnel]) &&
                      !walk->net->s->nodes[packet->node].is_label_shy;
    }
}

static enum step end_with(struct walk *walk, enum lab_verdict verdict)
{
    walk->verdict = verdict;
    return STEP_VERDICT;
}

static enum step send_to(struct walk *walk, uint32_t port)
{
    walk->port = port;
    walk->mtu = lab_port_side(walk->net->s, port)->mtu;
    if (walk->packet->size > walk->mtu && lab_packet_has_dont_fragment(walk->packet))
        return end_with(walk, LAB_TOO_BIG);
    return STEP_SEND;
}

/* The packet carries a label here. Sets *ret_is_ip when the label is gone and the node must look at the packet. */
static enum step step_label(struct walk *walk, bool is_origin, bool *ret_is_ip)
{
    struct lab_packet *packet = walk->packet;
    const struct lab_tunnel *tunnel = &walk->net->s->tunnels[packet->tunnel];
    uint32_t hop = packet->tunnel_hop;
    bool is_last = hop == tunnel->hops;
    *ret_is_ip = false;
    if (!is_origin) {
        packet->quoted_label_ttl = packet->label_ttl;
        packet->is_quoting_labels = is_showing_labels(tunnel) && !walk->net->s->nodes[packet->node].is_label_shy;
        bool is_counting = is_propagating(tunnel);
        if (!(is_last && !is_counting))
            note_hop(walk, is_counting, packet->tunnel, hop);
        if (packet->label_ttl <= 1)
            return end_with(walk, LAB_TTL_EXCEEDED);
        packet->label_ttl--;
    }
    if (is_last || (!tunnel->is_uhp && hop + 1 == tunnel->hops)) {
        if ((is_propagating(tunnel) || tunnel->is_lesser_ttl) && packet->label_ttl < lab_packet_ttl(packet))
            lab_packet_set_ttl(packet, packet->label_ttl);
        if (is_last) {
            *ret_is_ip = true;
            return STEP_SEND;
        }
        packet->tunnel = LAB_NONE;
    }
    packet->tunnel_hop++;
    return send_to(walk, tunnel->ports[hop]);
}

static bool is_matched(const struct lab_rule *rule, const struct lab_packet *packet)
{
    if (!lab_packet_is_rule_protocol(packet, rule->protocol))
        return false;
    uint16_t port = lab_packet_port(packet, true);
    return port >= rule->port_low && port <= rule->port_high &&
           (!rule->has_from || lab_prefix_has(&rule->from, &packet->src)) &&
           (!rule->has_to || lab_prefix_has(&rule->to, &packet->dst));
}

static enum lab_verdict ask_firewall(const struct lab_node *node, const struct lab_packet *packet)
{
    for (const struct lab_rule *rule = node->rules; rule; rule = rule->next)
        if (is_matched(rule, packet))
            return rule->verdict;
    return LAB_PASS;
}

/* One of the equal ports. */
static uint32_t choose(struct walk *walk, const uint32_t *ports, uint32_t count)
{
    struct lab_net *net = walk->net;
    struct lab_packet *packet = walk->packet;
    if (count == 1)
        return ports[0];
    enum lab_ecmp ecmp = net->s->nodes[packet->node].ecmp;
    if (walk->choices && ecmp != LAB_ECMP_DESTINATION) {
        struct lab_choices *choices = walk->choices;
        uint32_t at = walk->next++;
        if (at >= LAB_CHOICES) {
            choices->is_cut = true;
            return ports[0];
        }
        if (at >= choices->count) {
            choices->count = at + 1;
            choices->taken[at] = 0;
        }
        choices->of[at] = (uint8_t)count;
        return ports[choices->taken[at]];
    }
    struct lab_node_now *now = &net->nodes[packet->node];
    uint32_t hash = packet->flow;
    switch (ecmp) {
    case LAB_ECMP_PACKET:
        return walk->is_dry ? ports[0] : ports[rng_below(&now->rng, count)];
    case LAB_ECMP_DESTINATION:
        hash = (uint32_t)lab_addr_hash(&packet->dst);
        break;
    case LAB_ECMP_FLOW:
        break;
    }
    uint64_t x = (hash ^ (uint64_t)now->salt << 32 ^ now->salt) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return ports[(x >> 33) * count >> 31];
}

/* The tunnel that begins here and takes packets that leave through port, or LAB_NONE. */
static uint32_t find_tunnel(struct walk *walk, uint32_t port)
{
    const struct lab_scenario *s = walk->net->s;
    uint32_t next_node = lab_port_to(s, port);
    for (uint32_t i = s->nodes[walk->packet->node].tunnel; i != LAB_NONE; i = s->tunnels[i].next) {
        const struct lab_tunnel *tunnel = &s->tunnels[i];
        bool is_up = lab_port_to(s, tunnel->ports[0]) == next_node &&
                     (!tunnel->has_to || lab_prefix_has(&tunnel->to, &walk->packet->dst));
        for (uint32_t k = 0; k < tunnel->hops && is_up; k++)
            is_up = !walk->net->ports[tunnel->ports[k]].is_down;
        if (is_up)
            return i;
    }
    return LAB_NONE;
}

static enum step step_out(struct walk *walk, const uint32_t *ports, uint32_t count)
{
    struct lab_packet *packet = walk->packet;
    uint32_t port = choose(walk, ports, count);
    uint32_t tunnel_index = find_tunnel(walk, port);
    if (tunnel_index == LAB_NONE) {
        const struct lab_scenario *s = walk->net->s;
        const struct lab_node *to = &s->nodes[lab_port_to(s, port)];
        bool is_down = to->is_down;
        for (const struct lab_effect *e = to->kind == LAB_ROUTER ? NULL : to->effects; e && !is_down; e = e->next)
            is_down = e->kind == LAB_EFFECT_DOWN && lab_net_is_fault_on(walk->net, e->fault, walk->now_ns);
        return is_down ? end_with(walk, LAB_HOST_UNREACHABLE) : send_to(walk, port);
    }
    const struct lab_tunnel *tunnel = &walk->net->s->tunnels[tunnel_index];
    enum step step = send_to(walk, tunnel->ports[0]);
    if (step == STEP_SEND) {
        packet->tunnel = tunnel_index;
        packet->tunnel_hop = 1;
        packet->label_ttl = is_propagating(tunnel) ? lab_packet_ttl(packet) : 255;
    }
    return step;
}

static enum step step_route(struct walk *walk, uint32_t destination)
{
    struct lab_packet *packet = walk->packet;
    const struct lab_scenario *s = walk->net->s;
    for (const struct lab_route *route = s->nodes[packet->node].routes; route; route = route->next) {
        if (!lab_prefix_has(&route->to, &packet->dst))
            continue;
        if (route->verdict != LAB_PASS)
            return end_with(walk, route->verdict);
        uint32_t up[LAB_MAX_VIA], count = 0;
        for (uint32_t i = 0; i < route->port_count; i++)
            if (!walk->net->ports[route->ports[i]].is_down)
                up[count++] = route->ports[i];
        if (count > 0)
            return step_out(walk, up, count);
    }
    uint32_t ports[LAB_MAX_VIA], count = 0;
    if (destination != LAB_NONE)
        count = lab_route_next(walk->net, packet->node, destination, ports, LAB_MAX_VIA);
    /* Hosts and vantages have a default route: it is for a router to say that there is no way. */
    const struct lab_node *node = &s->nodes[packet->node];
    for (uint32_t i = 0; count == 0 && node->kind != LAB_ROUTER && i < node->port_count; i++)
        if (!walk->net->ports[node->ports[i]].is_down)
            ports[count++] = node->ports[i];
    if (count > 0)
        return step_out(walk, ports, count);
    /* A host that lost its only link is down; a network nobody knows is unreachable. */
    bool is_known = destination != LAB_NONE && s->nodes[destination].kind != LAB_ROUTER;
    return end_with(walk, is_known ? LAB_HOST_UNREACHABLE : LAB_NET_UNREACHABLE);
}

/* What a router changes in a packet it passes on. */
static enum step step_pass(struct walk *walk, bool is_decremented, uint32_t tunnel)
{
    struct lab_packet *packet = walk->packet;
    const struct lab_node *node = &walk->net->s->nodes[packet->node];
    uint8_t ttl = lab_packet_ttl(packet);
    if (!is_decremented && !node->is_transparent) {
        if (ttl <= 1) {
            packet->tunnel = tunnel; /* an opaque tunnel's last node still shows the label */
            return end_with(walk, LAB_TTL_EXCEEDED);
        }
        lab_packet_set_ttl(packet, (uint8_t)(ttl - 1));
    }
    if (node->ttl_rewrite && !walk->is_dry)
        lab_packet_set_ttl(packet, node->ttl_rewrite);
    if (node->dscp_rewrite >= 0)
        lab_packet_set_dscp(packet, (uint8_t)node->dscp_rewrite);
    if (node->box.is_used && !lab_box_pass(walk->net, packet, walk->now_ns, walk->is_dry)) {
        walk->reason = LAB_REASON_MIDDLEBOX;
        return end_with(walk, LAB_DROP);
    }
    return STEP_SEND;
}

static bool is_proxied(struct walk *walk)
{
    const struct lab_proxy *proxy = lab_box_proxy(walk->net, walk->packet);
    if (!proxy)
        return false;
    walk->packet->is_handed_over = proxy->is_handing_over;
    walk->packet->is_proxied = true;
    walk->packet->proxy_delay_ns = proxy->delay_ns;
    return true;
}

static enum step step_ip(struct walk *walk, bool is_origin, bool is_label_popped)
{
    struct lab_packet *packet = walk->packet;
    const struct lab_scenario *s = walk->net->s;
    const struct lab_node *node = &s->nodes[packet->node];
    if (node->box.is_used && !is_origin)
        lab_box_enter(walk->net, packet, walk->now_ns);
    const struct lab_name *name = lab_model_owner(s, &packet->dst);
    const struct lab_network *network = name ? NULL : lab_model_network(s, &packet->dst);
    uint32_t destination = name ? name->node : network ? network->node : LAB_NONE;
    uint32_t tunnel = is_label_popped ? packet->tunnel : LAB_NONE, tunnel_hop = packet->tunnel_hop;
    bool is_decremented = is_label_popped && is_propagating(&s->tunnels[tunnel]);
    packet->tunnel = LAB_NONE;
    if (!is_origin) {
        enum lab_verdict verdict = ask_firewall(node, packet);
        bool is_here = destination == packet->node && (!network || network->verdict == LAB_PASS);
        if (!is_decremented)
            note_hop(walk, is_here || !node->is_transparent, tunnel, tunnel_hop);
        if (verdict != LAB_PASS)
            return end_with(walk, verdict);
        if (is_here && node->is_ttl_strict && lab_packet_ttl(packet) <= 1)
            return end_with(walk, LAB_TTL_EXCEEDED);
        if (is_here || is_proxied(walk))
            return STEP_ARRIVED;
        if (node->kind != LAB_ROUTER)
            return end_with(walk, LAB_DROP);
        enum step step = step_pass(walk, is_decremented, tunnel);
        if (step != STEP_SEND)
            return step;
        if (network && network->verdict != LAB_PASS && destination == packet->node)
            return end_with(walk, network->verdict);
    } else if (destination == packet->node) {
        return STEP_ARRIVED;
    }
    packet->is_quoting_labels = false;
    return step_route(walk, destination);
}

static enum step step_node(struct walk *walk, bool is_origin)
{
    bool is_ip = true, is_labelled = walk->packet->tunnel != LAB_NONE;
    if (!is_labelled)
        walk->packet->is_quoting_labels = false;
    else {
        enum step step = step_label(walk, is_origin, &is_ip);
        if (!is_ip)
            return step;
        is_origin = false;
    }
    return step_ip(walk, is_origin, is_labelled);
}

/* --- whole ways --------------------------------------------------------------------------------------------------- */

static void arrive(struct walk *walk)
{
    struct lab_net *net = walk->net;
    struct lab_packet *packet = walk->packet;
    packet->event = LAB_EVENT_ARRIVE;
    if (net->s->nodes[packet->node].kind == LAB_VANTAGE) {
        packet->event = LAB_EVENT_OUT;
        for (packet->vantage = 0; net->s->vantages[packet->vantage] != packet->node; packet->vantage++)
            assert(packet->vantage + 1 < net->s->vantage_count);
    }
    lab_net_schedule(net, packet, walk->now_ns);
}

/* A link whose packets wait for one another takes them in the order of time: one that gets there later than now comes
 * back then. */
static void wait_for_link(struct walk *walk)
{
    struct lab_packet *packet = walk->packet;
    packet->event = LAB_EVENT_CROSS;
    packet->out = walk->port;
    packet->depth = walk->depth;
    if (walk->way) {
        packet->way.count = walk->way->count;
        memcpy(packet->way.hops, walk->way->hops, walk->way->count * sizeof *walk->way->hops);
    }
    lab_net_schedule(walk->net, packet, walk->now_ns);
}

/* From node to node until something ends it; false when it goes on at another time. */
static bool walk_on(struct walk *walk, bool is_crossing, enum step *ret_step, enum lab_reason *ret_reason)
{
    struct lab_net *net = walk->net;
    struct lab_packet *packet = walk->packet;
    for (unsigned i = 0; i < LAB_STEPS; i++) {
        *ret_step = STEP_SEND;
        if (!is_crossing)
            *ret_step = step_node(walk, packet->port == LAB_NONE);
        is_crossing = false;
        if (*ret_step != STEP_SEND)
            return true;
        if (lab_port_side(net->s, walk->port)->rate_bps > 0 && walk->now_ns > net->now_ns) {
            wait_for_link(walk);
            return false;
        }
        *ret_reason = lab_link_cross(net, packet, walk->port, &walk->now_ns);
        if (*ret_reason != LAB_REASON_NONE)
            return true;
        packet->node = lab_port_to(net->s, walk->port);
        packet->port = walk->port;
    }
    *ret_step = STEP_VERDICT;
    walk->verdict = LAB_DROP;
    return true;
}

void lab_walk(struct lab_net *net, struct lab_packet *packet, int64_t now_ns)
{
    struct walk walk = {.net = net, .packet = packet, .now_ns = now_ns, .verdict = LAB_DROP};
    bool is_crossing = packet->event == LAB_EVENT_CROSS;
    bool is_probe = !packet->is_answer && !packet->mark.is_copy && (packet->port == LAB_NONE || is_crossing);
    if (is_probe) {
        walk.way = &net->way;
        net->way.count = is_crossing ? packet->way.count : 0;
        memcpy(net->way.hops, packet->way.hops, net->way.count * sizeof *net->way.hops);
    }
    if (is_crossing) {
        walk.port = packet->out;
        walk.depth = packet->depth;
        packet->event = LAB_EVENT_CONTINUE;
    }
    enum lab_reason reason = LAB_REASON_NONE;
    enum step step = STEP_VERDICT;
    if (!walk_on(&walk, is_crossing, &step, &reason))
        return;
    if (is_probe)
        lab_truth_way(net->truth, packet, &net->way);
    if (reason != LAB_REASON_NONE) {
        lab_net_drop(net, packet, reason, walk.port);
    } else if (step == STEP_ARRIVED) {
        arrive(&walk);
    } else if (walk.verdict == LAB_DROP) {
        bool is_firewall = ask_firewall(&net->s->nodes[packet->node], packet) == LAB_DROP;
        if (walk.reason == LAB_REASON_NONE)
            walk.reason = is_firewall ? LAB_REASON_FIREWALL : LAB_REASON_BLACKHOLE;
        lab_net_drop(net, packet, walk.reason, LAB_NONE);
    } else {
        packet->event = LAB_EVENT_ERROR;
        packet->verdict = walk.verdict;
        packet->mtu = walk.mtu;
        lab_net_schedule(net, packet, walk.now_ns);
    }
}

bool lab_walk_one(struct lab_net *net, struct lab_packet *packet, uint32_t choice, uint32_t *ret_choices,
                  struct lab_path *ret_hops)
{
    struct lab_choices choices = {.taken = {(uint8_t)choice}, .of = {1}, .count = 1};
    struct walk walk = {.net = net, .packet = packet, .way = ret_hops, .choices = &choices, .is_dry = true};
    walk.now_ns = packet->mark.sent_ns;
    walk.depth = packet->depth;
    ret_hops->count = 0;
    enum step step = step_node(&walk, packet->port == LAB_NONE);
    *ret_choices = choices.of[0];
    packet->depth = walk.depth;
    if (step != STEP_SEND)
        return false;
    packet->node = lab_port_to(net->s, walk.port);
    packet->port = walk.port;
    return true;
}

enum lab_verdict lab_walk_way(struct lab_net *net, const struct lab_packet *packet, struct lab_choices *choices,
                              struct lab_path *ret_way)
{
    struct lab_packet *copy = net->scratch;
    memcpy(copy, packet, offsetof(struct lab_packet, bytes) + packet->size);
    copy->tunnel = LAB_NONE;
    lab_packet_set_ttl(copy, 255);
    struct walk walk = {.net = net, .packet = copy, .way = ret_way, .choices = choices, .is_dry = true};
    walk.now_ns = packet->mark.sent_ns;
    ret_way->count = 0;
    for (unsigned i = 0; i < LAB_STEPS && ret_way->count < LAB_PATH_HOPS; i++) {
        enum step step = step_node(&walk, copy->port == LAB_NONE);
        if (step == STEP_ARRIVED)
            return copy->is_proxied ? LAB_PROXIED : LAB_PASS;
        if (step == STEP_VERDICT)
            return walk.verdict;
        copy->node = lab_port_to(net->s, walk.port);
        copy->port = walk.port;
    }
    return LAB_TTL_EXCEEDED;
}
