/*
 * Links: delay, loss and the rest, as faults make them at the moment; and queues.
 *
 * A link with a rate has one queue for each direction, first come first served, and sends one bit after another: the
 * packets that wait, wait for one another. Other people's packets (cross traffic) take their place in that queue like
 * all others; they are not carried, only their time is.
 */
#include "lab/core.h"

#include <math.h>

#include "base/clock.h"

#define TURNS 4096u /* of faults, between two packets */

/* A link as it is now, faults included. */
static struct lab_side side_now(const struct lab_net *net, uint32_t port, int64_t now_ns)
{
    struct lab_side side = *lab_port_side(net->s, port);
    for (const struct lab_effect *e = net->s->links[port / 2].effects; e; e = e->next) {
        if (!(e->sides & 1u << (port & 1)) || !lab_net_is_fault_on(net, e->fault, now_ns))
            continue;
        switch (e->kind) {
        case LAB_EFFECT_LOSS:
            side.loss = e->share + (e->is_added ? side.loss : 0);
            break;
        case LAB_EFFECT_DELAY:
            side.delay_ns = e->ns + (e->is_added ? side.delay_ns : 0);
            break;
        case LAB_EFFECT_JITTER:
            side.jitter_ns = e->ns + (e->is_added ? side.jitter_ns : 0);
            break;
        case LAB_EFFECT_DUPLICATE:
            side.duplicate = e->share + (e->is_added ? side.duplicate : 0);
            break;
        case LAB_EFFECT_REORDER:
            side.reorder = e->share + (e->is_added ? side.reorder : 0);
            break;
        case LAB_EFFECT_CORRUPT:
            side.corrupt = e->share + (e->is_added ? side.corrupt : 0);
            break;
        case LAB_EFFECT_CROSS:
            side.cross_bps = e->bps;
            side.cross_bytes = e->bytes;
            side.is_cross_poisson = e->is_poisson;
            break;
        case LAB_EFFECT_DOWN:
        case LAB_EFFECT_SILENT:
        case LAB_EFFECT_RATE:
            break;
        }
    }
    return side;
}

static bool is_drawn(struct rng *rng, double share)
{
    return share > 0 && rng_unit(rng) < share;
}

/* Damages one bit beyond the IP header, where only the receiver's checksum finds it. */
static void corrupt(struct lab_packet *packet, struct rng *rng)
{
    if (packet->size > packet->l4) {
        uint64_t bit = rng_below(rng, ((uint64_t)packet->size - packet->l4) * 8);
        packet->bytes[packet->l4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        packet->is_damaged = true;
    }
}

/* When a packet that enters the link now leaves it. Order is kept unless the packet is held back on purpose. */
static int64_t leave_at(struct lab_port_state_now *now, const struct lab_side *side, int64_t in_ns, int64_t begin_ns)
{
    int64_t out = begin_ns + side->delay_ns;
    if (side->jitter_ns > 0) {
        out += (int64_t)rng_below(&now->rng, (uint64_t)side->jitter_ns * 2 + 1) - side->jitter_ns;
        if (out < begin_ns)
            out = begin_ns;
    }
    if (is_drawn(&now->rng, side->reorder))
        return out + side->reorder_ns;
    if (in_ns >= now->last_in_ns) {
        if (out < now->last_out_ns)
            out = now->last_out_ns;
        now->last_in_ns = in_ns;
        now->last_out_ns = out;
    }
    return out;
}

/* A second packet, which goes on from the link's far end by itself. */
static void duplicate(struct lab_net *net, const struct lab_packet *packet, uint32_t port, int64_t out_ns)
{
    struct lab_packet *copy = lab_net_packet(net);
    if (!copy)
        return;
    memcpy(copy, packet, offsetof(struct lab_packet, bytes) + packet->size);
    copy->node = lab_port_to(net->s, port);
    copy->port = port;
    copy->event = LAB_EVENT_CONTINUE;
    copy->mark.is_copy = true;
    net->copies++;
    lab_net_schedule(net, copy, out_ns);
}

static int64_t time_of(uint64_t bytes, uint64_t bps)
{
    return (int64_t)(bytes * 8 * UINT64_C(1000000000) / bps);
}

/* When the next of other people's packets comes, after the one at cross_at_ns. */
static void next_other(struct lab_port_state_now *now, const struct lab_side *side)
{
    uint64_t parts = (uint64_t)side->cross_bytes * 8 * UINT64_C(1000000000);
    if (side->is_cross_poisson) {
        double mean = (double)parts / (double)side->cross_bps;
        now->cross_at_ns += (int64_t)(-mean * log(1 - rng_unit(&now->cross_rng)));
        return;
    }
    now->cross_at_ns += (int64_t)(parts / side->cross_bps);
    now->cross_rest += parts % side->cross_bps;
    if (now->cross_rest >= side->cross_bps) {
        now->cross_rest -= side->cross_bps;
        now->cross_at_ns++;
    }
}

/* Other people's packets that came up to now have taken their turns. What came longer ago than any queue lasts is passed
 * over: of an evenly spaced stream by whole intervals, and a Poisson stream has no memory. */
static void let_others_in(struct lab_port_state_now *now, const struct lab_side *side, int64_t now_ns)
{
    int64_t memory_ns = side->queue_ns * 4 + CLOCK_S;
    if (now->cross_at_ns == INT64_MIN)
        now->cross_at_ns = now_ns - memory_ns;
    if (now_ns - now->cross_at_ns > memory_ns * 2) {
        int64_t gone_ns = now_ns - memory_ns - now->cross_at_ns;
        double each_ns = (double)side->cross_bytes * 8e9 / (double)side->cross_bps;
        double count = floor((double)gone_ns / each_ns);
        now->cross_at_ns += side->is_cross_poisson ? gone_ns : (int64_t)(count * each_ns);
        now->cross_passed += (uint64_t)count;
    }
    for (; now->cross_at_ns <= now_ns; next_other(now, side)) {
        int64_t begin = now->busy_until_ns > now->cross_at_ns ? now->busy_until_ns : now->cross_at_ns;
        if (begin - now->cross_at_ns > side->queue_ns) {
            now->cross_dropped++;
            continue;
        }
        now->busy_until_ns = begin + time_of(side->cross_bytes, side->rate_bps);
        now->cross_carried++;
    }
}

/* When a fault changes other people's packets the next time after from_ns; before_ns when not before. */
static int64_t next_change(const struct lab_net *net, uint32_t port, int64_t from_ns, int64_t before_ns)
{
    int64_t first = before_ns;
    for (const struct lab_effect *e = net->s->links[port / 2].effects; e; e = e->next) {
        if (e->kind != LAB_EFFECT_CROSS || !(e->sides & 1u << (port & 1)))
            continue;
        int64_t wall = lab_fault_next_ns(&net->s->faults[e->fault], lab_net_wall(net, from_ns), net->start_wall_ns);
        if (wall != INT64_MAX && wall - net->wall_offset_ns < first)
            first = wall - net->wall_offset_ns;
    }
    return first;
}

static bool has_changing_cross(const struct lab_net *net, uint32_t port)
{
    const struct lab_effect *e = net->s->links[port / 2].effects;
    while (e && (e->kind != LAB_EFFECT_CROSS || !(e->sides & 1u << (port & 1))))
        e = e->next;
    return e;
}

/* The same where faults change what comes: from change to change. */
static void let_others_in_by_turns(struct lab_net *net, uint32_t port, int64_t now_ns)
{
    struct lab_port_state_now *now = &net->ports[port];
    int64_t memory_ns = lab_port_side(net->s, port)->queue_ns * 4 + CLOCK_S;
    int64_t at = now->cross_until_ns;
    if (at == 0 || now_ns - at > memory_ns * 2)
        at = now_ns - memory_ns;
    for (unsigned turn = 0; at < now_ns; turn++) {
        if (turn == TURNS) /* faults that come and go all the time: only how it is now */
            at = now_ns - 1;
        struct lab_side side = side_now(net, port, at);
        int64_t until = next_change(net, port, at, now_ns);
        if (side.cross_bps != now->cross_bps) {
            now->cross_at_ns = at;
            now->cross_rest = 0;
            if (side.is_cross_poisson && side.cross_bps > 0)
                next_other(now, &side);
        }
        now->cross_bps = side.cross_bps;
        if (side.cross_bps > 0)
            let_others_in(now, &side, until < now_ns ? until - 1 : until);
        at = until;
    }
    now->cross_until_ns = now_ns;
}

enum lab_reason lab_link_cross(struct lab_net *net, struct lab_packet *packet, uint32_t port, int64_t *now_ns)
{
    struct lab_port_state_now *now = &net->ports[port];
    const struct lab_side *side = lab_port_side(net->s, port);
    struct lab_side effective;
    if (net->s->links[port / 2].effects) {
        effective = side_now(net, port, *now_ns);
        side = &effective;
    }
    if (now->is_down)
        return LAB_REASON_LINK_DOWN;
    int64_t begin = *now_ns;
    if (side->rate_bps > 0) {
        if (has_changing_cross(net, port))
            let_others_in_by_turns(net, port, begin);
        else if (side->cross_bps > 0)
            let_others_in(now, side, begin);
        if (now->busy_until_ns > begin)
            begin = now->busy_until_ns;
        if (begin - *now_ns > side->queue_ns)
            return LAB_REASON_QUEUE;
        begin += time_of(packet->size, side->rate_bps);
        now->busy_until_ns = begin;
    }
    if (is_drawn(&now->rng, side->loss))
        return LAB_REASON_LOSS;
    if (is_drawn(&now->rng, side->corrupt))
        corrupt(packet, &now->rng);
    int64_t out = leave_at(now, side, *now_ns, begin);
    now->carried++;
    if (is_drawn(&now->rng, side->duplicate))
        duplicate(net, packet, port, out);
    *now_ns = out;
    return LAB_REASON_NONE;
}
