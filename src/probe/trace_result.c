#include "probe/trace_state.h"

#define MAX_LOOPS 2u /* times an address may come again before it is a loop */
#define MAX_RUN 8u   /* hops in a row with one address before that is a loop */

uint32_t trace_find_loop(const struct probe_trace *trace, const struct trace_flow *flow)
{
    for (uint32_t ttl = 1; ttl + 1 < flow->last; ttl++) {
        if (!trace_is_answered(trace, flow, ttl))
            continue;
        const union sock_addr *addr = &trace_hop_at(trace, flow, ttl)->addr;
        uint32_t again = 0, first_again = 0, run = 1;
        bool was_here = true;
        for (uint32_t next = ttl + 1; next <= flow->last; next++) {
            bool is_here = sock_same_ip(addr, &trace_hop_at(trace, flow, next)->addr);
            if (is_here && !was_here && again++ == 0)
                first_again = next;
            run = is_here && was_here ? run + 1 : is_here;
            was_here = is_here;
        }
        if (again >= MAX_LOOPS)
            return first_again;
        if (run >= MAX_RUN && again == 0)
            return ttl + 1;
    }
    return 0;
}

/* --- the result --------------------------------------------------------------------------------------------------- */

static void update_hop(const struct probe_trace *trace, struct probe_trace_hop *hop, const struct trace_slot *slot)
{
    int64_t sum = 0;
    hop->sent = hop->received = 0;
    hop->is_tx_estimated = false;
    for (uint32_t i = 0; i < slot->attempts; i++) {
        bool is_stamped = (slot->stamped >> i & 1) != 0;
        if (!(slot->taken >> i & 1))
            continue;
        if (slot->rx_ns[i] == 0 &&
            ((trace->has_stamps && !is_stamped) ||
             round_dropped_between(&trace->round, slot->tx_ns[i], slot->tx_ns[i] + trace->wait_ns))) {
            trace->result->overloaded++; /* never left this host, or its answer was dropped here */
            continue;
        }
        hop->sent++;
        if (slot->rx_ns[i] == 0)
            continue;
        hop->received++;
        hop->is_tx_estimated |= !is_stamped;
        int64_t rtt = slot->rx_ns[i] - slot->tx_ns[i];
        sum += rtt > 0 ? rtt : 1;
    }
    hop->rtt_ns = hop->received ? sum / hop->received : 0;
}

static enum probe_trace_end end_of(const struct probe_trace *trace, const struct trace_flow *flow, uint32_t *ret_hops)
{
    const struct probe_trace_hop *last;
    uint32_t loop;
    *ret_hops = flow->last;
    if (flow->stop) {
        last = trace_hop_at(trace, flow, flow->stop);
        *ret_hops = flow->stop;
        int family = trace->settings.dst.sa.sa_family;
        struct packet_icmp said = {
            .kind = flow->slots[flow->stop - 1].kind, .type = last->icmp_type, .code = last->icmp_code};
        if (said.kind == PACKET_RESET && !last->is_target)
            return PROBE_TRACE_RESET;
        if (last->is_target && (said.kind != PACKET_UNREACHABLE || packet_is_port_unreachable(family, &said)))
            return PROBE_TRACE_REACHED;
        bool is_prohibited = packet_is_prohibited(family, &said);
        /* A router that answers for itself at one TTL and says "unreachable" at the next is one hop. */
        if (flow->stop > 1 && sock_same_ip(&last->addr, &trace_hop_at(trace, flow, flow->stop - 1u)->addr))
            *ret_hops = flow->stop - 1u;
        return is_prohibited ? PROBE_TRACE_PROHIBITED : PROBE_TRACE_UNREACHABLE;
    }
    loop = trace_find_loop(trace, flow);
    if (loop)
        *ret_hops = loop;
    if (flow->is_reset && !loop)
        return PROBE_TRACE_RESET;
    return loop ? PROBE_TRACE_LOOP : PROBE_TRACE_SILENT;
}

/* Of several SYNs of a flow the target answers the one that comes first. */
static void mark_overtaken(const struct trace_flow *flow, struct probe_trace_flow *shown)
{
    uint32_t end = shown->hop_count;
    if (shown->end != PROBE_TRACE_REACHED || end == 0)
        return;
    int64_t answered_ns = flow->slots[end - 1].tx_ns[0], rtt_ns = shown->hops[end - 1].rtt_ns;
    for (uint32_t ttl = end - 1; ttl > 0 && !sock_is_set(&shown->hops[ttl - 1].addr); ttl--) {
        const struct trace_slot *slot = &flow->slots[ttl - 1];
        shown->hops[ttl - 1].is_overtaken = slot->attempts > 0 && answered_ns - slot->tx_ns[slot->attempts - 1] < rtt_ns;
    }
}

static void update_flow(const struct probe_trace *trace, const struct trace_flow *flow, struct probe_trace_flow *shown)
{
    for (uint32_t ttl = 1; ttl <= flow->high; ttl++)
        update_hop(trace, &shown->hops[ttl - 1], &flow->slots[ttl - 1]);
    shown->probed = flow->high;
    shown->end = end_of(trace, flow, &shown->hop_count);
    shown->end_type = shown->end_code = 0;
    if (trace->settings.protocol == PROBE_TCP && !shown->is_in_session)
        mark_overtaken(flow, shown);
    if (flow->stop && (shown->end == PROBE_TRACE_UNREACHABLE || shown->end == PROBE_TRACE_PROHIBITED)) {
        shown->end_type = shown->hops[flow->stop - 1].icmp_type;
        shown->end_code = shown->hops[flow->stop - 1].icmp_code;
    }
}

void trace_update(struct probe_trace *trace)
{
    struct probe_trace_result *result = trace->result;
    result->sent = result->received = result->overloaded = 0;
    result->distance = trace->distance;
    uint32_t found = 0;
    for (uint32_t i = 0; i < result->flow_count; i++) {
        update_flow(trace, &trace->flows[i], &result->flows[i]);
        for (uint32_t j = 0; j < result->flows[i].hop_count; j++) {
            result->sent += result->flows[i].hops[j].sent;
            result->received += result->flows[i].hops[j].received;
        }
        uint32_t hops = result->flows[i].hop_count;
        if (result->flows[i].end == PROBE_TRACE_REACHED && (found == 0 || hops < found))
            found = hops;
    }
    if (found)
        result->distance = (uint8_t)found;
    result->end_ns = probe_engine_mono_ns(trace->round.engine);
}

