/* All true ways as text, without a packet sent. */
#include <stdio.h>

#include "lab/truth_core.h"

static void put_hop(const struct lab_net *net, struct buf *text, const struct lab_hop *hop, bool is_v4)
{
    static const char *const tunnels[] = {"explicit", "implicit", "opaque", "invisible"};
    const struct lab_scenario *s = net->s;
    const struct lab_node *node = &s->nodes[hop->node];
    const struct lab_addr *fixed = is_v4 ? &node->icmp_from4 : &node->icmp_from6;
    uint32_t port = hop->port == UINT16_MAX ? LAB_NONE : hop->port;
    char addr[LAB_ADDR_TEXT_BYTES], ttl[8] = " -";
    if (hop->ttl)
        (void)snprintf(ttl, sizeof ttl, "%2u", hop->ttl);
    lab_addr_text(lab_addr_is_set(fixed) ? fixed : lab_model_interface(s, hop->node, port, is_v4), addr, sizeof addr);
    buf_printf(text, "    %s  %-15s  %s", ttl, addr, node->name);
    if (node->rdns)
        buf_printf(text, "  %s", node->rdns);
    if (node->as_number)
        buf_printf(text, "  AS%u", node->as_number);
    if (node->is_silent || node->is_ttl_silent)
        buf_puts(text, "  silent");
    if (hop->tunnel != UINT16_MAX) {
        uint32_t tunnel = hop->tunnel / LAB_MAX_TUNNEL_HOPS;
        buf_printf(text, "  in %s MPLS", tunnels[s->tunnels[tunnel].kind]);
        if (hop->labels)
            buf_printf(text, " label %u", s->tunnels[tunnel].labels[hop->tunnel % LAB_MAX_TUNNEL_HOPS - 1]);
    }
    buf_putc(text, '\n');
}

static void put_pair(struct lab_net *net, struct buf *text, uint32_t vantage, const char *name,
                     const struct lab_addr *to)
{
    const struct lab_scenario *s = net->s;
    const struct lab_node *from = &s->nodes[s->vantages[vantage]];
    bool is_v4 = lab_addr_is_v4(to);
    struct lab_packet *packet = lab_net_packet(net);
    if (!packet || (is_v4 ? from->prefix4.bits : from->prefix6.bits) == 0) {
        if (packet)
            lab_net_put(net, packet);
        return;
    }
    lab_packet_make_probe(packet, is_v4 ? &from->v4 : &from->v6, to);
    packet->node = net->s->vantages[vantage];
    char addr[LAB_ADDR_TEXT_BYTES];
    buf_printf(text, "%s to %s (%s)\n", from->name, name, lab_addr_text(to, addr, sizeof addr));
    struct lab_choices choices = {.count = 0};
    struct lab_path way;
    enum lab_verdict end;
    for (uint32_t i = 0; lab_truth_next_way(net, packet, &choices, i == 0, &way, &end); i++) {
        if (i == LAB_TRUTH_TARGET_PATHS) {
            buf_puts(text, "  and more\n");
            break;
        }
        struct lab_way_facts facts = lab_truth_facts(s, way.hops, way.count);
        buf_printf(text, "  path %u: %s, %g ms one way, MTU %u", i + 1, lab_truth_end_name(end),
                   (double)facts.delay_ns / 1e6, facts.mtu);
        if (facts.capacity_bps > 0)
            buf_printf(text, ", %g Mbit/s, %g available", (double)facts.capacity_bps / 1e6,
                       (double)facts.available_bps / 1e6);
        buf_putc(text, '\n');
        for (uint32_t k = 0; k < way.count; k++)
            put_hop(net, text, &way.hops[k], is_v4);
    }
    lab_net_put(net, packet);
}

void lab_truth_write_paths(struct lab_net *net, struct buf *text)
{
    const struct lab_scenario *s = net->s;
    for (uint32_t v = 0; v < s->vantage_count; v++) {
        for (uint32_t i = 0; i < s->node_count; i++) {
            if (s->nodes[i].kind != LAB_HOST)
                continue;
            put_pair(net, text, v, s->nodes[i].name, &s->nodes[i].v4);
            if (s->nodes[i].prefix6.bits > 0)
                put_pair(net, text, v, s->nodes[i].name, &s->nodes[i].v6);
        }
        for (uint32_t i = 0; i < s->network_count; i++) {
            struct lab_addr first = s->networks[i].prefix.addr;
            first.b[15] |= s->networks[i].prefix.bits < 128;
            put_pair(net, text, v, s->nodes[s->networks[i].node].name, &first);
        }
    }
}
