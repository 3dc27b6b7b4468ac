#include "lab/core.h"

#include <assert.h>

#include "base/mem.h"

#define PACKETS_DEFAULT 65536u
#define CHUNK 64u /* packets made at once */
#define PROBES_DEFAULT 1000000u
#define STREAMS_DEFAULT 65536u

struct lab_net *lab_net_new(const struct lab_scenario *scenario, const struct lab_options *options)
{
    struct lab_net *net = mem_alloc(sizeof *net);
    uint32_t packets = options->packets ? options->packets : PACKETS_DEFAULT;
    uint64_t seed = options->seed ? options->seed : scenario->seed;
    net->s = scenario;
    net->wall_offset_ns = options->wall_offset_ns;
    net->packet_most = (packets + CHUNK - 1) / CHUNK * CHUNK;
    net->chunks = mem_alloc_array(net->packet_most / CHUNK, sizeof *net->chunks);
    net->free = mem_alloc_array(net->packet_most, sizeof *net->free);
    net->heap = mem_alloc_array(net->packet_most, sizeof *net->heap);
    net->ports = mem_alloc_array(scenario->link_count * 2 + 1, sizeof *net->ports);
    net->nodes = mem_alloc_array(scenario->node_count, sizeof *net->nodes);
    net->scratch = mem_alloc(sizeof *net->scratch);
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < scenario->link_count * 2; i++) {
        rng_seed(&net->ports[i].rng, rng_u64(&rng));
        net->ports[i].last_in_ns = net->ports[i].cross_at_ns = INT64_MIN;
        rng_seed(&net->ports[i].cross_rng, seed * 65536 + i);
    }
    for (uint32_t i = 0; i < scenario->node_count; i++) {
        rng_seed(&net->nodes[i].rng, rng_u64(&rng));
        net->nodes[i].salt = (uint32_t)rng_u64(&rng);
        net->nodes[i].rate_at_ns = INT64_MIN;
    }
    lab_route_init(net);
    net->boxes = lab_boxes_new(scenario, rng_u64(&rng));
    uint32_t probes = options->truth_probes ? options->truth_probes : PROBES_DEFAULT;
    uint32_t streams = probes < STREAMS_DEFAULT ? probes : STREAMS_DEFAULT; /* each has a probe at least */
    net->truth = lab_truth_new(net, probes, options->truth_streams ? options->truth_streams : streams);
    return net;
}

void lab_net_free(struct lab_net *net)
{
    if (!net)
        return;
    lab_truth_free(net->truth);
    lab_tcp_free(net->tcp);
    lab_boxes_free(net->boxes);
    lab_route_done(net);
    mem_free(net->scratch);
    mem_free(net->nodes);
    mem_free(net->ports);
    mem_free(net->heap);
    for (uint32_t i = 0; i < net->packet_made / CHUNK; i++)
        mem_free(net->chunks[i]);
    mem_free(net->chunks);
    mem_free(net->free);
    mem_free(net);
}

void lab_net_set_output(struct lab_net *net, lab_output_fn *fn, void *user)
{
    net->output = fn;
    net->output_user = user;
}

void lab_net_set_wall_offset(struct lab_net *net, int64_t wall_offset_ns)
{
    if (net->has_started)
        net->topology_until_ns = INT64_MIN;
    net->wall_offset_ns = wall_offset_ns;
}

unsigned lab_net_vantage_count(const struct lab_net *net)
{
    return net->s->vantage_count;
}

const char *lab_net_vantage_name(const struct lab_net *net, unsigned vantage)
{
    assert(vantage < net->s->vantage_count);
    return net->s->nodes[net->s->vantages[vantage]].name;
}

int lab_net_vantage_index(const struct lab_net *net, const char *name)
{
    for (unsigned i = 0; i < net->s->vantage_count; i++)
        if (strcmp(lab_net_vantage_name(net, i), name) == 0)
            return (int)i;
    return -1;
}

struct lab_truth *lab_net_truth(struct lab_net *net)
{
    return net->truth;
}

bool lab_net_is_fault_on(const struct lab_net *net, uint32_t fault, int64_t now_ns)
{
    return lab_fault_is_on(&net->s->faults[fault], lab_net_wall(net, now_ns), net->start_wall_ns);
}

/* --- packets in flight: a heap by due time ------------------------------------------------------------------------ */

struct lab_packet *lab_net_packet(struct lab_net *net)
{
    struct lab_packet *packet = NULL;
    if (net->free_count == 0 && net->packet_made < net->packet_most) {
        struct lab_packet *chunk = mem_alloc_array(CHUNK, sizeof *chunk);
        net->chunks[net->packet_made / CHUNK] = chunk;
        net->packet_made += CHUNK;
        while (net->free_count < CHUNK)
            net->free[net->free_count++] = chunk++;
    }
    if (net->free_count > 0) {
        packet = net->free[--net->free_count];
        memset(packet, 0, offsetof(struct lab_packet, bytes));
        packet->port = packet->tunnel = packet->mark.stream = packet->mark.probe = LAB_NONE;
    } else {
        net->no_buffer++;
    }
    return packet;
}

void lab_net_put(struct lab_net *net, struct lab_packet *packet)
{
    net->free[net->free_count++] = packet;
}

static bool is_before(const struct lab_due *a, const struct lab_due *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

void lab_net_schedule(struct lab_net *net, struct lab_packet *packet, int64_t due_ns)
{
    assert(net->heap_count < net->packet_made);
    packet->due_ns = due_ns;
    struct lab_due due = {due_ns, net->order++, packet};
    uint32_t at = net->heap_count++;
    while (at > 0 && is_before(&due, &net->heap[(at - 1) / 2])) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = due;
}

static struct lab_packet *take_first(struct lab_net *net)
{
    struct lab_packet *first = net->heap[0].packet;
    struct lab_due last = net->heap[--net->heap_count];
    uint32_t at = 0;
    for (uint32_t child; (child = at * 2 + 1) < net->heap_count; at = child) {
        if (child + 1 < net->heap_count && is_before(&net->heap[child + 1], &net->heap[child]))
            child++;
        if (!is_before(&net->heap[child], &last))
            break;
        net->heap[at] = net->heap[child];
    }
    net->heap[at] = last;
    return first;
}

void lab_net_drop(struct lab_net *net, struct lab_packet *packet, enum lab_reason reason, uint32_t port)
{
    if (port != LAB_NONE)
        net->ports[port].dropped[reason]++;
    else
        net->nodes[packet->node].dropped[reason]++;
    lab_truth_dropped(net->truth, packet, reason, port);
    lab_net_put(net, packet);
}

/* --- the outside ---------------------------------------------------------------------------------------------------- */

static void start(struct lab_net *net, int64_t now_ns)
{
    net->has_started = true;
    net->start_wall_ns = lab_net_wall(net, now_ns);
}

/* What a host says to its own link and nobody else: neighbour discovery, multicast listener reports, router
 * solicitations. There is nobody else on a vantage's link. */
static bool is_link_chatter(const struct lab_packet *packet)
{
    return lab_addr_is_multicast(&packet->dst) || (packet->dst.b[0] == 0xfe && (packet->dst.b[1] & 0xc0) == 0x80);
}

void lab_net_input(struct lab_net *net, unsigned vantage, const void *bytes, size_t size, int64_t now_ns)
{
    assert(vantage < net->s->vantage_count);
    if (!net->has_started)
        start(net, now_ns);
    struct lab_packet *packet = lab_net_packet(net);
    if (!packet)
        return;
    if (size <= LAB_PACKET_BYTES)
        memcpy(packet->bytes, bytes, size);
    if (size > LAB_PACKET_BYTES || !lab_packet_parse(packet, size)) {
        net->malformed++;
        lab_net_put(net, packet);
        return;
    }
    if (is_link_chatter(packet)) {
        lab_net_put(net, packet);
        return;
    }
    net->received++;
    net->now_ns = now_ns;
    lab_route_refresh(net, now_ns);
    packet->vantage = vantage;
    packet->node = net->s->vantages[vantage];
    packet->mark.sent_ns = now_ns;
    lab_truth_sent(net->truth, packet, now_ns);
    lab_walk(net, packet, now_ns);
}

int64_t lab_net_next_ns(const struct lab_net *net)
{
    int64_t packet_ns = net->heap_count > 0 ? net->heap[0].due_ns : LAB_NEVER, tcp_ns = lab_tcp_next_ns(net->tcp);
    return packet_ns < tcp_ns ? packet_ns : tcp_ns;
}

static void output(struct lab_net *net, struct lab_packet *packet)
{
    net->sent++;
    bool is_damaged = packet->is_damaged && !lab_packet_is_intact(packet);
    if (is_damaged) { /* comes out all the same; its receiver has to notice */
        net->nodes[packet->node].dropped[LAB_REASON_CHECKSUM]++;
        lab_truth_dropped(net->truth, packet, LAB_REASON_CHECKSUM, LAB_NONE);
    } else if (packet->is_answer)
        lab_truth_received(net->truth, packet, packet->due_ns);
    else
        lab_truth_arrived(net->truth, packet);
    if (net->output)
        net->output(net->output_user, packet->vantage, packet->bytes, packet->size, packet->due_ns);
    lab_net_put(net, packet);
}

static void happen(struct lab_net *net, struct lab_packet *packet, int64_t due_ns)
{
    switch (packet->event) {
    case LAB_EVENT_OUT:
        output(net, packet);
        break;
    case LAB_EVENT_ARRIVE:
        lab_answer_arrival(net, packet, due_ns);
        break;
    case LAB_EVENT_ERROR:
        lab_answer_error(net, packet, due_ns);
        break;
    case LAB_EVENT_CONTINUE:
    case LAB_EVENT_CROSS:
        lab_walk(net, packet, due_ns);
        break;
    }
}

void lab_net_step(struct lab_net *net, int64_t now_ns)
{
    if (!net->has_started)
        start(net, now_ns);
    for (int64_t due; (due = lab_net_next_ns(net)) <= now_ns;) {
        net->now_ns = due;
        lab_route_refresh(net, due);
        if (net->heap_count > 0 && net->heap[0].due_ns == due)
            happen(net, take_first(net), due);
        else
            lab_answer_unasked(net, due);
    }
}
