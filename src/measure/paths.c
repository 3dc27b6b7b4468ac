#include "measure/paths.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/str.h"
#include "probe/match.h"

const char *measure_labels_text(const struct packet_label *labels, uint32_t count, struct arena *arena)
{
    char text[PACKET_MAX_LABELS * 40];
    size_t used = 0;
    for (uint32_t i = 0; i < count && used < sizeof text; i++) {
        const struct packet_label *label = &labels[i];
        int n = snprintf(text + used, sizeof text - used, "%sL=%u,E=%u,S=%d,T=%u", i ? "; " : "", label->label,
                         label->exp, label->is_bottom, label->ttl);
        used += n > 0 ? (size_t)n : 0;
    }
    return count ? arena_strdup(arena, text) : NULL;
}

/* What only a NAT rewrites. The IP identification is not told: proxies and load balancers set their own. */
static const char *rewritten_text(unsigned rewritten, struct arena *arena)
{
    static const struct { unsigned bit; const char *word; } words[] = {
        {MATCH_SRC, "source address"},           {MATCH_SPORT, "source port"}, {MATCH_DST, "destination address"},
        {MATCH_DPORT, "destination port"},       {MATCH_CHECKSUM, "checksum"}, {MATCH_SEQ, "sequence number"},
    };
    char text[120] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (rewritten & words[i].bit)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", words[i].word);
    }
    return used ? arena_strdup(arena, text) : NULL;
}

static const char *tcp_text(uint8_t flags)
{
    if (flags & PACKET_RST)
        return "RST";
    return flags & PACKET_SYN ? "SYN+ACK" : flags ? "ACK" : NULL;
}

static void fill_hop(const struct probe_trace_hop *hop, struct measure_hop *out, struct arena *arena)
{
    char text[SOCK_TEXT_BYTES];
    field_defaults(&measure_hop_table, out);
    out->hop = hop->ttl;
    out->ip_address = arena_strdup(arena, sock_ip_text(&hop->addr, text, sizeof text));
    out->response_time = (int32_t)((hop->rtt_ns + CLOCK_MS / 2) / CLOCK_MS);
    out->mpls = measure_labels_text(hop->labels, hop->label_count, arena);
    out->oculi.response_time_us = (double)hop->rtt_ns / 1e3;
    out->oculi.sent = hop->sent;
    out->oculi.received = hop->received;
    out->oculi.tcp = tcp_text(hop->tcp_flags);
    if (!hop->tcp_flags)
        out->oculi.icmp = arena_printf(arena, "%u-%u", hop->icmp_type, hop->icmp_code);
    out->oculi.rewritten = rewritten_text(hop->rewritten, arena);
    if (hop->reply_ttl)
        out->oculi.reply_ttl = hop->reply_ttl;
    if (hop->has_quote) {
        out->oculi.quoted_ttl = hop->quoted_ttl;
        out->oculi.quoted_dscp = hop->quoted_dscp;
        out->oculi.quoted_ecn = hop->quoted_ecn;
    }
}

/* The target and every address in its place; a silent hop is a place without an address. */
static uint64_t path_id(const union sock_addr *dst, const struct probe_trace_flow *flow)
{
    size_t size;
    const void *bytes = sock_ip_bytes(dst, &size);
    uint64_t hash = str_hash(bytes, size, 0);
    for (uint32_t i = 0; i < flow->hop_count; i++) {
        const struct probe_trace_hop *hop = &flow->hops[i];
        hash = str_hash(&hop->ttl, 1, hash);
        if (sock_is_set(&hop->addr)) {
            bytes = sock_ip_bytes(&hop->addr, &size);
            hash = str_hash(bytes, size, hash);
        }
    }
    return hash ? hash : 1;
}

_Static_assert((int)MEASURE_END_REACHED == (int)PROBE_TRACE_REACHED &&
                   (int)MEASURE_END_SILENT == (int)PROBE_TRACE_SILENT &&
                   (int)MEASURE_END_UNREACHABLE == (int)PROBE_TRACE_UNREACHABLE &&
                   (int)MEASURE_END_PROHIBITED == (int)PROBE_TRACE_PROHIBITED &&
                   (int)MEASURE_END_RESET == (int)PROBE_TRACE_RESET && (int)MEASURE_END_LOOP == (int)PROBE_TRACE_LOOP,
               "the tracer's ends are the result's");

/* --- tunnels ------------------------------------------------------------------------------------------------------ */

_Static_assert((int)MEASURE_TUNNEL_EXPLICIT == (int)TUNNEL_EXPLICIT &&
                   (int)MEASURE_TUNNEL_IMPLICIT == (int)TUNNEL_IMPLICIT &&
                   (int)MEASURE_TUNNEL_OPAQUE == (int)TUNNEL_OPAQUE &&
                   (int)MEASURE_TUNNEL_INVISIBLE == (int)TUNNEL_INVISIBLE &&
                   (int)MEASURE_TUNNEL_SUSPECTED == TUNNEL_SUSPECTED - 1 &&
                   (int)MEASURE_TUNNEL_LIKELY == TUNNEL_LIKELY - 1 &&
                   (int)MEASURE_TUNNEL_CERTAIN == TUNNEL_CERTAIN - 1,
               "the inference's words are the result's, hints aside");

static void fill_tunnel(const struct tunnel *tunnel, struct measure_tunnel *out, struct arena *arena)
{
    field_defaults(&measure_tunnel_table, out);
    out->kind = (int)tunnel->kind;
    out->confidence = (int)tunnel->confidence - (int)TUNNEL_SUSPECTED;
    out->first_hop = (int32_t)tunnel->first + 1;
    out->last_hop = (int32_t)tunnel->last + 1;
    out->length = (int32_t)tunnel->length;
    out->is_length_exact = tunnel->is_length_exact;
    out->evidence = arena_strdup(arena, tunnel->evidence);
    uint32_t count = tunnel->revealed_count;
    const char **revealed = count ? arena_alloc_array(arena, count, sizeof *revealed) : NULL;
    for (uint32_t i = 0; revealed && i < count; i++) {
        char text[SOCK_TEXT_BYTES];
        revealed[i] = arena_strdup(arena, sock_ip_text(&tunnel->revealed[i], text, sizeof text));
        if (!revealed[i])
            return;
    }
    if (revealed)
        out->revealed = (struct field_list){.items = revealed, .count = count};
}

void measure_paths_set_tunnels(struct measure_route *route, const struct tunnel_list *list, struct arena *arena)
{
    struct measure_tunnel *tunnels = list->count ? arena_alloc_array(arena, list->count, sizeof *tunnels) : NULL;
    struct measure_hop *hops = route->hops.items;
    size_t count = 0;
    for (uint32_t i = 0; tunnels && i < list->count; i++) {
        if (list->items[i].confidence != TUNNEL_HINT)
            fill_tunnel(&list->items[i], &tunnels[count++], arena);
    }
    route->oculi.tunnels = (struct field_list){.items = tunnels, .count = count};
    for (size_t i = 0; i < route->hops.count; i++) {
        char text[TUNNEL_TEXT_BYTES];
        (void)tunnel_hop_text(list, (uint32_t)hops[i].hop - 1, text);
        hops[i].oculi.tunnel = text[0] ? arena_strdup(arena, text) : NULL;
    }
}

/* --- the path ----------------------------------------------------------------------------------------------------- */

static bool fill_route(const union sock_addr *dst, const struct probe_trace_flow *flow, int32_t number,
                       struct measure_route *route, struct arena *arena)
{
    struct measure_hop *hops = arena_alloc_array(arena, LIMIT_HOPS, sizeof *hops);
    struct measure_silent_hop *silent = arena_alloc_array(arena, LIMIT_HOPS, sizeof *silent);
    if (!hops || !silent)
        return false;
    field_defaults(&measure_route_table, route);
    size_t hop_count = 0, silent_count = 0;
    for (uint32_t i = 0; i < flow->hop_count && i < LIMIT_HOPS; i++) {
        const struct probe_trace_hop *hop = &flow->hops[i];
        if (sock_is_set(&hop->addr)) {
            fill_hop(hop, &hops[hop_count++], arena);
            if (hops[hop_count - 1].oculi.rewritten && route->oculi.nat_hop == FIELD_NO_I32)
                route->oculi.nat_hop = hop->ttl;
        } else
            silent[silent_count++] = (struct measure_silent_hop){.hop = hop->ttl, .sent = hop->sent};
    }
    route->path_id = path_id(dst, flow);
    route->hops = (struct field_list){.items = hops, .count = hop_count};
    route->oculi.end = (int)flow->end;
    route->oculi.flow = number;
    route->oculi.is_in_session = flow->is_in_session;
    route->oculi.silent_hops = (struct field_list){.items = silent, .count = silent_count};
    if (hop_count) {
        struct measure_hop *last = &hops[hop_count - 1];
        /* A router that answered for itself before it said "unreachable" is shown with what ended the trace. */
        if (flow->end == PROBE_TRACE_UNREACHABLE || flow->end == PROBE_TRACE_PROHIBITED)
            last->oculi.icmp = arena_printf(arena, "%u-%u", flow->end_type, flow->end_code);
        route->ip_address = last->ip_address;
        route->number_of_hops = last->hop;
        if (flow->end == PROBE_TRACE_REACHED)
            route->response_time = last->response_time;
        if (flow->mss)
            route->mss = flow->mss;
    }
    struct tunnel_list tunnels;
    if (tunnel_infer(flow->hops, flow->hop_count, NULL, arena, &tunnels) == 0)
        measure_paths_set_tunnels(route, &tunnels, arena);
    return true;
}

void measure_paths_fill(const struct probe_trace_result *trace, const union sock_addr *dst,
                        struct measure_path_vis *paths, struct arena *arena)
{
    struct measure_route *routes = arena_alloc_array(arena, trace->flow_count, sizeof *routes);
    size_t count = 0;
    bool is_refused = trace->error_text && trace->received == 0;
    while (routes && !is_refused && count < trace->flow_count &&
           fill_route(dst, &trace->flows[count], (int32_t)count + 1, &routes[count], arena))
        count++;
    paths->path_traces = (struct field_list){.items = routes, .count = count};
}

static const char *address_text(const union sock_addr *addr, struct arena *arena)
{
    char text[SOCK_TEXT_BYTES];
    return sock_is_set(addr) ? arena_strdup(arena, sock_ip_text(addr, text, sizeof text)) : NULL;
}

void measure_paths_mtu(const struct probe_mtu_result *mtu, struct measure_path_vis *paths, struct arena *arena)
{
    struct measure_path_mtu *out = &paths->oculi.mtu;
    if (mtu->mtu == 0)
        return;
    out->bytes = mtu->mtu;
    out->limit = !mtu->is_limit ? MEASURE_MTU_NONE : mtu->is_local ? MEASURE_MTU_INTERFACE : MEASURE_MTU_ROUTER;
    if (mtu->is_black_hole)
        out->limit = MEASURE_MTU_BLACK_HOLE;
    out->limited_by = address_text(&mtu->limited_by, arena);
    if (mtu->told)
        out->told = mtu->told;
    if (mtu->black_hole_ttl)
        out->black_hole_hop = mtu->black_hole_ttl;
    out->black_hole_after = address_text(&mtu->black_hole_after, arena);
    struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count; i++) {
        if (routes[i].oculi.end == MEASURE_END_REACHED)
            routes[i].path_mtu = mtu->mtu;
    }
}
