/* All interfaces that load balancing can lead to, and which follows which: found by going every way from every place
 * once, so that a mesh with millions of ways costs no more than its links. */
#include "base/mem.h"
#include "lab/truth_core.h"

#define PLACES 8192u
#define SEEN (PLACES * 2) /* a power of two */
#define KEPT_BYTES 128u   /* of a packet, in each place: what a middlebox may have changed */

struct place {
    struct lab_packet_head {
        uint8_t bytes[offsetof(struct lab_packet, bytes)];
    } head;
    uint8_t bytes[KEPT_BYTES];
    uint32_t face; /* the last one seen, or LAB_NONE */
};

struct search {
    struct lab_net *net;
    struct lab_fan *fan;
    struct place *places;
    uint32_t count;
    uint32_t *seen; /* 1 + place, by hash */
};

static void put_back(struct lab_packet *packet, const struct place *place)
{
    memcpy(packet, &place->head, sizeof place->head);
    memcpy(packet->bytes, place->bytes, KEPT_BYTES);
}

static bool is_same_place(const struct lab_packet *a, const struct place *place, uint32_t face)
{
    struct lab_packet b;
    memcpy(&b, &place->head, sizeof place->head);
    return a->node == b.node && a->port == b.port && a->depth == b.depth && a->tunnel == b.tunnel &&
           a->tunnel_hop == b.tunnel_hop && place->face == face && lab_addr_is_same(&a->src, &b.src);
}

/* Remembers where the packet is, unless it has been there. */
static void visit(struct search *search, const struct lab_packet *packet, uint32_t face)
{
    uint64_t hash = ((uint64_t)packet->node << 40 ^ (uint64_t)packet->port << 20 ^ packet->depth) + face * 31u +
                    packet->tunnel_hop;
    uint32_t slot = (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (SEEN - 1);
    for (; search->seen[slot] != 0; slot = (slot + 1) & (SEEN - 1))
        if (is_same_place(packet, &search->places[search->seen[slot] - 1], face))
            return;
    if (search->count == PLACES) {
        search->fan->is_cut = true;
        return;
    }
    struct place *place = &search->places[search->count];
    memcpy(&place->head, packet, sizeof place->head);
    memcpy(place->bytes, packet->bytes, KEPT_BYTES);
    place->face = face;
    search->seen[slot] = ++search->count;
}

static uint32_t add_face(struct search *search, const struct lab_hop *hop, bool is_v4)
{
    struct lab_fan *fan = search->fan;
    const struct lab_scenario *s = search->net->s;
    const struct lab_node *node = &s->nodes[hop->node];
    const struct lab_addr *fixed = is_v4 ? &node->icmp_from4 : &node->icmp_from6;
    uint32_t port = hop->port == UINT16_MAX ? LAB_NONE : hop->port;
    const struct lab_addr *address = lab_addr_is_set(fixed) ? fixed : lab_model_interface(s, hop->node, port, is_v4);
    for (uint32_t i = 0; i < fan->face_count; i++)
        if (fan->faces[i].ttl == hop->ttl && fan->faces[i].node == hop->node &&
            lab_addr_is_same(&fan->faces[i].address, address))
            return i;
    if (fan->face_count == LAB_FAN_FACES) {
        fan->is_cut = true;
        return LAB_NONE;
    }
    fan->faces[fan->face_count] = (struct lab_face){.ttl = hop->ttl, .node = hop->node, .address = *address};
    return fan->face_count++;
}

static void add_edge(struct lab_fan *fan, uint32_t from, uint32_t to)
{
    if (from == LAB_NONE || to == LAB_NONE || from == to)
        return;
    for (uint32_t i = 0; i < fan->edge_count; i++)
        if (fan->edges[i].from == from && fan->edges[i].to == to)
            return;
    if (fan->edge_count == LAB_FAN_EDGES) {
        fan->is_cut = true;
        return;
    }
    fan->edges[fan->edge_count++] = (struct lab_edge){(uint16_t)from, (uint16_t)to};
}

void lab_truth_fan(struct lab_net *net, const struct lab_packet *packet, struct lab_fan *ret)
{
    struct lab_packet *at = net->scratch;
    struct search search = {.net = net, .fan = ret};
    search.places = mem_alloc_array(PLACES, sizeof *search.places);
    search.seen = mem_alloc_array(SEEN, sizeof *search.seen);
    ret->face_count = ret->edge_count = 0;
    ret->is_cut = false;
    memcpy(at, packet, offsetof(struct lab_packet, bytes) + packet->size);
    at->tunnel = LAB_NONE;
    at->depth = 0;
    lab_packet_set_ttl(at, 255);
    visit(&search, at, LAB_NONE);
    for (uint32_t i = 0; i < search.count; i++) {
        uint32_t choices = 1;
        for (uint32_t choice = 0; choice < choices; choice++) {
            struct lab_path hops;
            put_back(at, &search.places[i]);
            uint32_t face = search.places[i].face;
            bool is_on = lab_walk_one(net, at, choice, &choices, &hops);
            for (uint32_t k = 0; k < hops.count; k++) {
                if (hops.hops[k].ttl == 0)
                    continue;
                uint32_t next = add_face(&search, &hops.hops[k], at->is_v4);
                add_edge(ret, face, next);
                face = next;
            }
            if (is_on && at->depth < 64)
                visit(&search, at, face);
        }
    }
    mem_free(search.places);
    mem_free(search.seen);
}

void lab_truth_target_fan(const struct lab_truth *truth, uint32_t target_index, struct lab_fan *ret)
{
    const struct lab_target *target = &truth->targets[target_index];
    struct lab_net *net = truth->net;
    const struct lab_node *from = &net->s->nodes[net->s->vantages[target->vantage]];
    bool is_v4 = lab_addr_is_v4(&target->address);
    struct lab_packet *packet = mem_alloc(sizeof *packet);
    packet->port = packet->tunnel = LAB_NONE;
    packet->node = net->s->vantages[target->vantage];
    packet->mark.sent_ns = net->now_ns;
    lab_packet_make_any(packet, is_v4 ? &from->v4 : &from->v6, &target->address, target->protocol, target->port);
    lab_truth_fan(net, packet, ret);
    mem_free(packet);
}

struct lab_way_facts lab_truth_facts(const struct lab_scenario *s, const struct lab_hop *hops, uint32_t count)
{
    struct lab_way_facts facts = {.mtu = UINT16_MAX};
    for (uint32_t i = 0; i < count; i++) {
        if (hops[i].port == UINT16_MAX)
            continue;
        const struct lab_side *side = lab_port_side(s, hops[i].port);
        uint64_t left = side->rate_bps > side->cross_bps ? side->rate_bps - side->cross_bps : 0;
        facts.delay_ns += side->delay_ns;
        facts.mtu = side->mtu < facts.mtu ? side->mtu : facts.mtu;
        if (side->rate_bps == 0)
            continue;
        if (facts.capacity_bps == 0 || left < facts.available_bps)
            facts.available_bps = left;
        if (facts.capacity_bps == 0 || side->rate_bps < facts.capacity_bps)
            facts.capacity_bps = side->rate_bps;
    }
    return facts;
}
