/* What hosts and routers answer: echo replies, UDP, TCP, and ICMP errors. */
#include "lab/core.h"

#include <assert.h>

static bool is_silent_now(const struct lab_net *net, const struct lab_node *node, int64_t now_ns)
{
    if (node->is_silent)
        return true;
    for (const struct lab_effect *e = node->effects; e; e = e->next)
        if (e->kind == LAB_EFFECT_SILENT && lab_net_is_fault_on(net, e->fault, now_ns))
            return true;
    return false;
}

/* Generic cell rate: one error every 1/rate, and burst of them at once after a pause. */
static bool is_within_rate(struct lab_net *net, const struct lab_packet *packet, int64_t now_ns)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    struct lab_node_now *now = &net->nodes[packet->node];
    double rate = node->rate_per_s;
    for (const struct lab_effect *e = node->effects; e; e = e->next)
        if (e->kind == LAB_EFFECT_RATE && lab_net_is_fault_on(net, e->fault, now_ns))
            rate = e->share;
    if (rate <= 0)
        return true;
    int64_t each_ns = (int64_t)(1e9 / rate);
    int64_t at = now->rate_at_ns > now_ns ? now->rate_at_ns : now_ns;
    if (at - now_ns > each_ns * (int64_t)(node->rate_burst - 1))
        return false;
    now->rate_at_ns = at + each_ns;
    return true;
}

void lab_answer_send(struct lab_net *net, struct lab_packet *answer, const struct lab_packet *about, int64_t now_ns)
{
    answer->node = about->node;
    answer->mark = about->mark;
    answer->is_answer = true;
    lab_truth_answered(net->truth, answer);
    lab_walk(net, answer, now_ns);
}

void lab_answer_unasked(struct lab_net *net, int64_t now_ns)
{
    struct lab_tcp_unasked unasked;
    if (!lab_tcp_timer(net, now_ns, &unasked))
        return;
    struct lab_packet *answer = lab_net_packet(net);
    if (!answer)
        return;
    lab_packet_make_tcp(answer, &unasked.ends, &unasked.header, unasked.ttl);
    answer->node = unasked.node;
    answer->mark = unasked.mark;
    answer->is_answer = true;
    answer->is_again = unasked.is_again;
    net->nodes[answer->node].answers_sent++;
    lab_truth_answered(net->truth, answer);
    lab_walk(net, answer, now_ns);
}

/* --- errors --------------------------------------------------------------------------------------------------------- */

static enum lab_reason why_no_error(struct lab_net *net, const struct lab_packet *packet, int64_t now_ns)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    bool is_ttl = packet->verdict == LAB_TTL_EXCEEDED;
    /* A later fragment has no transport header to tell the sender's socket by (RFC 1122 3.2.2). */
    bool is_later_fragment = packet->is_v4 && (packet->bytes[6] & 0x1f || packet->bytes[7]);
    if (packet->is_answer)
        return is_ttl ? LAB_REASON_TTL : LAB_REASON_NO_ROUTE;
    if (lab_packet_is_icmp_error(packet) || is_later_fragment || lab_addr_is_multicast(&packet->src))
        return LAB_REASON_NO_ERROR;
    bool is_mute = is_ttl ? node->is_ttl_silent : node->is_unreachable_silent;
    if (is_silent_now(net, node, now_ns) || is_mute || (packet->verdict == LAB_TOO_BIG && node->box.is_mtu_silent))
        return LAB_REASON_SILENT;
    return is_within_rate(net, packet, now_ns) ? LAB_REASON_NONE : LAB_REASON_RATE_LIMIT;
}

static const struct lab_addr *error_source(const struct lab_net *net, const struct lab_packet *packet)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    const struct lab_addr *fixed = packet->is_v4 ? &node->icmp_from4 : &node->icmp_from6;
    if (lab_addr_is_set(fixed))
        return fixed;
    bool is_own = node->kind == LAB_HOST || node->kind == LAB_BLOCK;
    if (packet->verdict == LAB_PORT_UNREACHABLE && is_own) /* a firewall says so in its own name */
        return &packet->dst;
    return lab_model_interface(net->s, packet->node, packet->port, packet->is_v4);
}

static void send_reset(struct lab_net *net, const struct lab_packet *packet, struct lab_packet *answer, int64_t now_ns)
{
    struct lab_tcp_header header;
    lab_tcp_reset_for(packet, &header);
    struct lab_tcp_ends ends = lab_packet_turned(packet);
    lab_packet_make_tcp(answer, &ends, &header, net->s->nodes[packet->node].ttl);
    lab_answer_send(net, answer, packet, now_ns);
}

void lab_answer_error(struct lab_net *net, struct lab_packet *packet, int64_t now_ns)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    bool is_reset = packet->verdict == LAB_RESET;
    enum lab_reason reason = is_reset ? LAB_REASON_NONE : why_no_error(net, packet, now_ns);
    if (is_reset && (packet->protocol != LAB_IPPROTO_TCP || !packet->has_l4 || packet->is_answer ||
                     packet->bytes[packet->l4 + 13] & LAB_TCP_RST))
        reason = LAB_REASON_FIREWALL;
    struct lab_packet *answer = reason == LAB_REASON_NONE ? lab_net_packet(net) : NULL;
    if (!answer) {
        lab_net_drop(net, packet, reason != LAB_REASON_NONE ? reason : LAB_REASON_NO_BUFFER, LAB_NONE);
        return;
    }
    if (is_reset) {
        send_reset(net, packet, answer, now_ns);
    } else {
        struct lab_icmp_error error = {
            .verdict = packet->verdict,
            .mtu = node->box.has_told_mtu ? node->box.told_mtu : packet->mtu,
            .quote_bytes = node->quote_bytes,
            .is_length_zero = node->is_length_zero,
        };
        bool is_labelled = packet->verdict == LAB_TTL_EXCEEDED && packet->tunnel != LAB_NONE;
        if (is_labelled && packet->is_quoting_labels)
            error.label_count = lab_walk_labels(net->s, packet->tunnel, packet->tunnel_hop,
                                                packet->quoted_label_ttl, error.labels);
        lab_packet_make_error(answer, packet, &error, error_source(net, packet), node->ttl);
        answer->is_error = true;
        if (is_labelled && net->s->tunnels[packet->tunnel].is_uturn &&
            packet->tunnel_hop < net->s->tunnels[packet->tunnel].hops) {
            answer->tunnel = packet->tunnel;
            answer->tunnel_hop = packet->tunnel_hop;
            answer->label_ttl = 255;
        }
        net->nodes[packet->node].errors_sent++;
        lab_answer_send(net, answer, packet, now_ns);
    }
    lab_net_put(net, packet);
}

/* --- arrivals ------------------------------------------------------------------------------------------------------- */

static enum lab_port_state state_of(const struct lab_ports *list, enum lab_port_state otherwise, uint16_t port)
{
    for (; list; list = list->next)
        if (port >= list->low && port <= list->high)
            return list->state;
    return otherwise;
}

static enum lab_reason answer_echo(struct lab_net *net, struct lab_packet *packet, struct lab_packet *answer)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    const struct lab_service *service = &node->service;
    if (service->is_echo_off)
        return LAB_REASON_ECHO_OFF;
    if (service->echo_loss > 0 && rng_unit(&net->nodes[packet->node].rng) < service->echo_loss)
        return LAB_REASON_ECHO_LOSS;
    lab_packet_make_echo_reply(answer, packet, node->echo_ttl ? node->echo_ttl : node->ttl);
    return LAB_REASON_NONE;
}

static enum lab_reason answer_tcp(struct lab_net *net, struct lab_packet *packet, struct lab_packet *answer,
                                  int64_t now_ns, bool *ret_is_later)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    struct lab_service service = node->service;
    service.tcp_default = packet->is_proxied
                              ? LAB_PORT_OPEN
                              : state_of(service.tcp, service.tcp_default, lab_packet_port(packet, true));
    if (service.tcp_default == LAB_PORT_REJECTED) {
        packet->verdict = LAB_PORT_UNREACHABLE;
        return LAB_REASON_NONE;
    }
    struct lab_tcp_header header;
    struct lab_tcp_ends ends = lab_packet_turned(packet);
    enum lab_reason reason = LAB_REASON_CONSUMED;
    struct lab_handshake handshake;
    if (packet->is_handed_over)
        service.timestamps = LAB_TIMESTAMPS_OFF; /* two clocks cannot be told as one */
    switch (lab_tcp_segment(net, &service, packet, now_ns, &header, &reason)) {
    case LAB_TCP_NONE:
        if (packet->is_handed_over && lab_tcp_take(net, packet, &handshake))
            lab_box_hand_over(net, packet, &handshake, now_ns);
        return reason;
    case LAB_TCP_LATER:
        *ret_is_later = true;
        return LAB_REASON_CONSUMED;
    case LAB_TCP_NOW:
        break;
    }
    lab_packet_make_tcp(answer, &ends, &header, node->ttl);
    return LAB_REASON_NONE;
}

/* Fills answer, or says why there is none. A closed UDP port or a rejected TCP port turns the packet into one that draws an error. */
static enum lab_reason make_answer(struct lab_net *net, struct lab_packet *packet, struct lab_packet *answer,
                                   int64_t now_ns, bool *ret_is_later)
{
    const struct lab_node *node = &net->s->nodes[packet->node];
    if (is_silent_now(net, node, now_ns))
        return LAB_REASON_SILENT;
    if (packet->is_fragment)
        return LAB_REASON_FRAGMENT;
    if (!packet->has_l4)
        return LAB_REASON_NO_ERROR;
    if (!lab_packet_is_intact(packet))
        return LAB_REASON_CHECKSUM;
    if (lab_packet_is_echo_request(packet))
        return answer_echo(net, packet, answer);
    if (packet->protocol == LAB_IPPROTO_TCP)
        return answer_tcp(net, packet, answer, now_ns, ret_is_later);
    if (packet->protocol != LAB_IPPROTO_UDP)
        return LAB_REASON_CONSUMED;
    switch (state_of(node->service.udp, node->service.udp_default, lab_packet_port(packet, true))) {
    case LAB_PORT_SILENT:
        return LAB_REASON_PORT_SILENT;
    case LAB_PORT_OPEN:
        lab_packet_make_udp_echo(answer, packet, node->ttl);
        return LAB_REASON_NONE;
    case LAB_PORT_CLOSED:
    case LAB_PORT_REJECTED:
        packet->verdict = LAB_PORT_UNREACHABLE;
        break;
    }
    return LAB_REASON_NONE;
}

void lab_answer_arrival(struct lab_net *net, struct lab_packet *packet, int64_t now_ns)
{
    struct lab_packet *answer = lab_net_packet(net);
    lab_truth_arrived(net->truth, packet);
    if (!answer) {
        lab_net_drop(net, packet, LAB_REASON_NO_BUFFER, LAB_NONE);
        return;
    }
    int64_t then_ns = now_ns + net->s->nodes[packet->node].service.think_ns;
    if (packet->is_proxied && packet->has_l4 && packet->bytes[packet->l4 + 13] & LAB_TCP_SYN)
        then_ns += packet->proxy_delay_ns;
    packet->verdict = LAB_PASS;
    bool is_later = false; /* answered, only not by this call */
    enum lab_reason reason = make_answer(net, packet, answer, now_ns, &is_later);
    if (reason != LAB_REASON_NONE || packet->verdict != LAB_PASS)
        lab_net_put(net, answer);
    if (is_later) {
        lab_net_put(net, packet);
    } else if (reason != LAB_REASON_NONE) {
        lab_net_drop(net, packet, reason, LAB_NONE);
    } else if (packet->verdict != LAB_PASS) {
        packet->tunnel = LAB_NONE;
        lab_answer_error(net, packet, then_ns);
    } else {
        net->nodes[packet->node].answers_sent++;
        lab_answer_send(net, answer, packet, then_ns);
        lab_net_put(net, packet);
    }
}
