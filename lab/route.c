/* Shortest paths by Dijkstra over the links that are up, one table per destination, made when first needed. */
#include "lab/core.h"

#include "base/mem.h"

#define FAR UINT32_MAX

void lab_route_init(struct lab_net *net)
{
    size_t n = net->s->node_count;
    net->distances = mem_alloc_array(n * n, sizeof *net->distances);
    net->distances_of = mem_alloc_array(n, sizeof *net->distances_of);
    net->queue = mem_alloc_array(n * 2, sizeof *net->queue);
    net->topology = 1;
    net->topology_until_ns = INT64_MIN;
}

void lab_route_done(struct lab_net *net)
{
    mem_free(net->distances);
    mem_free(net->distances_of);
    mem_free(net->queue);
}

/* Is the direction down by any fault that is on? */
static bool is_port_down(const struct lab_net *net, uint32_t port, int64_t now_ns)
{
    const struct lab_effect *effect = net->s->links[port / 2].effects;
    for (; effect; effect = effect->next)
        if (effect->kind == LAB_EFFECT_DOWN && effect->sides & 1u << (port & 1) &&
            lab_net_is_fault_on(net, effect->fault, now_ns))
            return true;
    for (uint32_t end = 0; end < 2; end++) {
        effect = net->s->nodes[net->s->links[port / 2].node[end]].effects;
        for (; effect; effect = effect->next)
            if (effect->kind == LAB_EFFECT_DOWN && lab_net_is_fault_on(net, effect->fault, now_ns))
                return true;
    }
    return false;
}

void lab_route_refresh(struct lab_net *net, int64_t now_ns)
{
    int64_t wall = lab_net_wall(net, now_ns);
    if (wall < net->topology_until_ns)
        return;
    bool is_changed = false;
    for (uint32_t p = 0; p < net->s->link_count * 2; p++) {
        bool is_down = is_port_down(net, p, now_ns);
        is_changed |= is_down != net->ports[p].is_down;
        net->ports[p].is_down = is_down;
    }
    if (is_changed)
        net->topology++;
    net->topology_until_ns = INT64_MAX;
    for (uint32_t i = 0; i < net->s->fault_count; i++) {
        int64_t next = lab_fault_next_ns(&net->s->faults[i], wall, net->start_wall_ns);
        if (next < net->topology_until_ns)
            net->topology_until_ns = next;
    }
}

/* --- the search: a heap of nodes by distance ------------------------------------------------------------------------ */

struct search {
    uint32_t *heap, *place; /* place: 1 + position in the heap, 0 = not in it */
    uint32_t *distance;
    uint32_t count;
};

static void put_at(struct search *search, uint32_t node, uint32_t at)
{
    search->heap[at] = node;
    search->place[node] = at + 1;
}

static void rise(struct search *search, uint32_t node, uint32_t at)
{
    while (at > 0 && search->distance[search->heap[(at - 1) / 2]] > search->distance[node]) {
        put_at(search, search->heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    put_at(search, node, at);
}

static uint32_t take_nearest(struct search *search)
{
    uint32_t nearest = search->heap[0], node = search->heap[--search->count], at = 0;
    search->place[nearest] = 0;
    if (search->count == 0)
        return nearest;
    for (uint32_t child; (child = at * 2 + 1) < search->count; at = child) {
        if (child + 1 < search->count &&
            search->distance[search->heap[child + 1]] < search->distance[search->heap[child]])
            child++;
        if (search->distance[search->heap[child]] >= search->distance[node])
            break;
        put_at(search, search->heap[child], at);
    }
    put_at(search, node, at);
    return nearest;
}

static void compute(struct lab_net *net, uint32_t destination)
{
    const struct lab_scenario *s = net->s;
    uint32_t n = s->node_count, *distance = net->distances + (size_t)destination * n;
    struct search search = {.heap = net->queue, .place = net->queue + n, .distance = distance};
    memset(search.place, 0, n * sizeof *search.place);
    for (uint32_t i = 0; i < n; i++)
        distance[i] = FAR;
    distance[destination] = 0;
    search.count = 1;
    put_at(&search, destination, 0);
    while (search.count > 0) {
        uint32_t at = take_nearest(&search);
        if (at != destination && s->nodes[at].kind != LAB_ROUTER)
            continue; /* hosts pass nothing on */
        for (uint32_t i = 0; i < s->nodes[at].port_count; i++) {
            uint32_t in = s->nodes[at].ports[i] ^ 1, from = lab_port_from(s, in);
            uint64_t new_distance = (uint64_t)distance[at] + lab_port_side(s, in)->metric;
            if (net->ports[in].is_down || new_distance >= distance[from])
                continue;
            distance[from] = (uint32_t)new_distance;
            uint32_t place = search.place[from];
            rise(&search, from, place ? place - 1 : search.count++);
        }
    }
    net->distances_of[destination] = net->topology;
}

uint32_t lab_route_next(struct lab_net *net, uint32_t node, uint32_t destination, uint32_t *ports, uint32_t room)
{
    const struct lab_scenario *s = net->s;
    if (net->distances_of[destination] != net->topology)
        compute(net, destination);
    const uint32_t *distance = net->distances + (size_t)destination * s->node_count;
    uint32_t count = 0, mine = distance[node];
    if (mine == FAR)
        return 0;
    for (uint32_t i = 0; i < s->nodes[node].port_count && count < room; i++) {
        uint32_t port = s->nodes[node].ports[i], to = lab_port_to(s, port);
        if (distance[to] == FAR || net->ports[port].is_down || (to != destination && s->nodes[to].kind != LAB_ROUTER))
            continue;
        if ((uint64_t)distance[to] + lab_port_side(s, port)->metric == mine)
            ports[count++] = port;
    }
    return count;
}
