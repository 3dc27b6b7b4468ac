#include "lab/model.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

struct lab_scenario *lab_model_new(void)
{
    struct lab_scenario *s = mem_alloc(sizeof *s);
    arena_init(&s->arena, LAB_SCENARIO_ARENA);
    s->nodes = arena_alloc_array(&s->arena, LAB_MAX_NODES, sizeof *s->nodes);
    s->links = arena_alloc_array(&s->arena, LAB_MAX_LINKS, sizeof *s->links);
    s->faults = arena_alloc_array(&s->arena, LAB_MAX_FAULTS, sizeof *s->faults);
    s->networks = arena_alloc_array(&s->arena, LAB_MAX_PREFIXES, sizeof *s->networks);
    s->tunnels = arena_alloc_array(&s->arena, LAB_MAX_TUNNELS, sizeof *s->tunnels);
    s->nats = arena_alloc_array(&s->arena, LAB_MAX_NATS, sizeof *s->nats);
    s->seed = 1;
    return s;
}

struct lab_node *lab_model_add_node(struct lab_scenario *s, const char *name, enum lab_node_kind kind)
{
    if (s->node_count == LAB_MAX_NODES)
        return NULL;
    struct lab_node *node = &s->nodes[s->node_count++];
    node->name = arena_strdup(&s->arena, name);
    node->kind = kind;
    node->ttl = kind == LAB_ROUTER ? 255 : 64;
    node->dscp_rewrite = -1;
    node->rate_burst = 1;
    node->tunnel = LAB_NONE;
    node->box.nat = LAB_NONE;
    node->box.ecn = -1;
    node->service.timestamps = LAB_TIMESTAMPS_ON;
    node->service.syn_ack_retries = 5;
    return node;
}

struct lab_link *lab_model_add_link(struct lab_scenario *s, uint32_t a, uint32_t b)
{
    if (s->link_count == LAB_MAX_LINKS)
        return NULL;
    struct lab_link *link = &s->links[s->link_count++];
    link->node[0] = a;
    link->node[1] = b;
    for (int i = 0; i < 2; i++)
        link->side[i] = (struct lab_side){.metric = 10, .mtu = 1500, .reorder_ns = 10000000, .queue_ns = 100000000, .cross_bytes = 1500};
    return link;
}

struct lab_fault *lab_model_add_fault(struct lab_scenario *s)
{
    return s->fault_count == LAB_MAX_FAULTS ? NULL : &s->faults[s->fault_count++];
}

struct lab_network *lab_model_add_network(struct lab_scenario *s)
{
    return s->network_count == LAB_MAX_PREFIXES ? NULL : &s->networks[s->network_count++];
}

struct lab_tunnel *lab_model_add_tunnel(struct lab_scenario *s)
{
    if (s->tunnel_count == LAB_MAX_TUNNELS)
        return NULL;
    struct lab_tunnel *tunnel = &s->tunnels[s->tunnel_count++];
    tunnel->bottom = LAB_NONE;
    tunnel->next = LAB_NONE;
    return tunnel;
}

struct lab_nat *lab_model_add_nat(struct lab_scenario *s)
{
    return s->nat_count == LAB_MAX_NATS ? NULL : &s->nats[s->nat_count++];
}

uint32_t lab_model_find(const struct lab_scenario *s, const char *name)
{
    for (uint32_t i = 0; i < s->node_count; i++)
        if (strcmp(s->nodes[i].name, name) == 0)
            return i;
    return LAB_NONE;
}

/* --- finishing ---------------------------------------------------------------------------------------------------- */

/* Nodes nobody gave an address get one from 10.255.0.0/16 and fd00:1ab::/64, by their number. */
static void give_addresses(struct lab_scenario *s)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct lab_node *node = &s->nodes[i];
        uint8_t v4[4] = {10, 255, (uint8_t)((i + 1) >> 8), (uint8_t)(i + 1)};
        uint8_t v6[16] = {0xfd, 0, 1, 0xab};
        v6[14] = v4[2];
        v6[15] = v4[3];
        if (!lab_addr_is_set(&node->v4))
            node->v4 = lab_addr_from(v4, true);
        if (!lab_addr_is_set(&node->v6))
            node->v6 = lab_addr_from(v6, false);
    }
}

static int collect_ports(struct lab_scenario *s)
{
    for (uint32_t p = 0; p < s->link_count * 2; p++)
        s->nodes[lab_port_from(s, p)].port_count++;
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct lab_node *node = &s->nodes[i];
        node->ports = arena_alloc_array(&s->arena, node->port_count + 1, sizeof *node->ports);
        if (!node->ports)
            return -E_LIMIT;
        node->port_count = 0;
    }
    for (uint32_t p = 0; p < s->link_count * 2; p++) {
        struct lab_node *node = &s->nodes[lab_port_from(s, p)];
        node->ports[node->port_count++] = p;
    }
    return 0;
}

static uint32_t name_slot(const struct lab_scenario *s, const struct lab_addr *addr)
{
    uint32_t at = (uint32_t)lab_addr_hash(addr) & (s->name_room - 1);
    while (s->name_index[at] != LAB_NONE && !lab_addr_is_same(&s->names[s->name_index[at]].addr, addr))
        at = (at + 1) & (s->name_room - 1);
    return at;
}

static int add_name(struct lab_scenario *s, const struct lab_addr *addr, uint32_t node, uint32_t port,
                    struct error *err)
{
    char text[LAB_ADDR_TEXT_BYTES];
    if (!lab_addr_is_set(addr))
        return 0;
    uint32_t at = name_slot(s, addr);
    if (s->name_index[at] != LAB_NONE) {
        const struct lab_name *other = &s->names[s->name_index[at]];
        if (other->node == node)
            return 0;
        return error_set(err, E_EXISTS, s->title, "%s and %s have the same address %s", s->nodes[other->node].name,
                         s->nodes[node].name, lab_addr_text(addr, text, sizeof text));
    }
    s->names[s->name_count] = (struct lab_name){.addr = *addr, .node = node, .port = port};
    s->name_index[at] = s->name_count++;
    return 0;
}

static int collect_names(struct lab_scenario *s, struct error *err)
{
    uint32_t most = s->node_count * 2 + s->link_count * 4 + s->nat_count + 1;
    for (s->name_room = 64; s->name_room < most * 2; s->name_room *= 2)
        ;
    s->names = arena_alloc_array(&s->arena, most, sizeof *s->names);
    s->name_index = arena_alloc_array(&s->arena, s->name_room, sizeof *s->name_index);
    if (!s->names || !s->name_index)
        return error_set(err, E_LIMIT, s->title, "too many addresses");
    memset(s->name_index, 0xff, s->name_room * sizeof *s->name_index);
    int rc = 0;
    for (uint32_t i = 0; i < s->node_count && rc == 0; i++) {
        if (s->nodes[i].kind == LAB_BLOCK)
            continue;
        rc = add_name(s, &s->nodes[i].v4, i, LAB_NONE, err);
        if (rc == 0)
            rc = add_name(s, &s->nodes[i].v6, i, LAB_NONE, err);
    }
    for (uint32_t i = 0; i < s->nat_count && rc == 0; i++)
        rc = add_name(s, &s->nats[i].outside, s->nats[i].node, LAB_NONE, err);
    for (uint32_t p = 0; p < s->link_count * 2 && rc == 0; p++) {
        const struct lab_link *link = &s->links[p / 2];
        rc = add_name(s, &link->v4[(p & 1) ^ 1], lab_port_to(s, p), p, err);
        if (rc == 0)
            rc = add_name(s, &link->v6[(p & 1) ^ 1], lab_port_to(s, p), p, err);
    }
    return rc;
}

static void sort_networks(struct lab_scenario *s)
{
    for (uint32_t i = 1; i < s->network_count; i++) {
        struct lab_network one = s->networks[i];
        uint32_t at = i;
        for (; at > 0 && s->networks[at - 1].prefix.bits < one.prefix.bits; at--)
            s->networks[at] = s->networks[at - 1];
        s->networks[at] = one;
    }
}

/* At any time. */
static bool has_cross(const struct lab_scenario *s, uint32_t port)
{
    bool has = lab_port_side(s, port)->cross_bps > 0;
    for (const struct lab_effect *e = s->links[port / 2].effects; e && !has; e = e->next)
        has = e->kind == LAB_EFFECT_CROSS && e->sides & 1u << (port & 1);
    return has;
}

int lab_model_finish(struct lab_scenario *s, struct error *err)
{
    if (s->vantage_count == 0)
        return error_set(err, E_REQUIRED, s->title, "there is no vantage: nothing could enter this network");
    give_addresses(s);
    if (collect_ports(s) < 0)
        return error_set(err, E_LIMIT, s->title, "too many links");
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct lab_node *node = &s->nodes[i];
        if (node->port_count == 0 && node->kind != LAB_ROUTER)
            return error_set(err, E_REQUIRED, s->title, "'%s' has no link", node->name);
    }
    for (uint32_t p = 0; p < s->link_count * 2; p++)
        if (has_cross(s, p) && lab_port_side(s, p)->rate_bps == 0)
            return error_set(err, E_REQUIRED, s->title, "the link from %s to %s has cross traffic and no rate",
                             s->nodes[lab_port_from(s, p)].name, s->nodes[lab_port_to(s, p)].name);
    int rc = collect_names(s, err);
    sort_networks(s);
    return rc;
}

const struct lab_name *lab_model_owner(const struct lab_scenario *s, const struct lab_addr *addr)
{
    uint32_t at = s->name_index[name_slot(s, addr)];
    return at == LAB_NONE ? NULL : &s->names[at];
}

const struct lab_network *lab_model_network(const struct lab_scenario *s, const struct lab_addr *addr)
{
    for (uint32_t i = 0; i < s->network_count; i++)
        if (lab_prefix_has(&s->networks[i].prefix, addr))
            return &s->networks[i];
    return NULL;
}

const struct lab_addr *lab_model_interface(const struct lab_scenario *s, uint32_t node, uint32_t port, bool is_v4)
{
    if (port != LAB_NONE) {
        const struct lab_link *link = &s->links[port / 2];
        const struct lab_addr *at = is_v4 ? &link->v4[(port & 1) ^ 1] : &link->v6[(port & 1) ^ 1];
        if (lab_addr_is_set(at))
            return at;
    }
    return is_v4 ? &s->nodes[node].v4 : &s->nodes[node].v6;
}
