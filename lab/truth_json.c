#include <assert.h>
#include <inttypes.h>

#include "lab/truth_core.h"

static const char *const kind_names[LAB_KIND_COUNT] = {"echo", "tcp-syn", "tcp-data", "tcp-old", "tcp", "udp", "other"};
static const char *const fate_names[LAB_FATE_COUNT] = {
    "pending", "arrived", "answered", "error", "lost-forward", "lost-return", "unanswered",
};
static const char *const tunnel_names[] = {"explicit", "implicit", "opaque", "invisible"};

const char *lab_truth_end_name(enum lab_verdict end)
{
    switch (end) {
    case LAB_PASS:
        return "reached";
    case LAB_DROP:
        return "dropped";
    case LAB_TTL_EXCEEDED:
        return "loop";
    case LAB_NET_UNREACHABLE:
        return "net-unreachable";
    case LAB_HOST_UNREACHABLE:
        return "host-unreachable";
    case LAB_PORT_UNREACHABLE:
        return "port-unreachable";
    case LAB_PROHIBITED:
        return "prohibited";
    case LAB_TOO_BIG:
        return "too-big";
    case LAB_RESET:
        return "reset";
    case LAB_PROXIED:
        return "proxied";
    }
    return "unknown";
}

static void put_string(struct buf *json, const char *s)
{
    if (!s) {
        buf_puts(json, "null");
        return;
    }
    buf_putc(json, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_putc(json, '\\');
        buf_putc(json, *s);
    }
    buf_putc(json, '"');
}

/* ,"name": between two members, nothing before the first. */
static void put_name(struct buf *json, const char *name, bool is_first)
{
    buf_printf(json, "%s\"%s\":", is_first ? "" : ",", name);
}

static void put_addr(struct buf *json, const struct lab_addr *addr)
{
    char text[LAB_ADDR_TEXT_BYTES];
    put_string(json, lab_addr_is_set(addr) ? lab_addr_text(addr, text, sizeof text) : NULL);
}

static void put_count(struct buf *json, const char *name, uint64_t value, bool is_first)
{
    put_name(json, name, is_first);
    buf_printf(json, "%" PRIu64, value);
}

static void put_reasons(struct buf *json, const char *name, const uint32_t *reasons)
{
    bool is_first = true;
    put_name(json, name, false);
    buf_putc(json, '{');
    for (int i = 0; i < LAB_REASON_COUNT; i++) {
        if (reasons[i] == 0)
            continue;
        put_count(json, lab_reason_names[i], reasons[i], is_first);
        is_first = false;
    }
    buf_putc(json, '}');
}

/* --- the scenario's own facts --------------------------------------------------------------------------------------- */

static void put_nats(const struct lab_truth *truth, struct buf *json, uint32_t first)
{
    const struct lab_nat *nats = truth->net->s->nats;
    char text[LAB_ADDR_TEXT_BYTES];
    for (uint32_t i = first; i != LAB_NONE; i = nats[i].next) {
        buf_puts(json, i == first ? ",\"nat\":[" : ",");
        buf_puts(json, "{\"inside\":");
        put_string(json, lab_prefix_text(&nats[i].inside, text, sizeof text));
        put_name(json, "outside", false);
        put_addr(json, &nats[i].outside);
        put_count(json, "mappings", lab_box_mappings(truth->net->boxes, i), false);
        buf_putc(json, '}');
    }
    if (first != LAB_NONE)
        buf_putc(json, ']');
}

static void put_node(const struct lab_truth *truth, struct buf *json, uint32_t i)
{
    static const char *const kinds[] = {"router", "host", "vantage", "block"};
    const struct lab_node *node = &truth->net->s->nodes[i];
    const struct lab_node_now *now = &truth->net->nodes[i];
    buf_puts(json, "{\"name\":");
    put_string(json, node->name);
    put_name(json, "kind", false);
    put_string(json, kinds[node->kind]);
    put_name(json, "addresses", false);
    buf_putc(json, '[');
    bool is_first = true;
    for (uint32_t k = 0; k < truth->net->s->name_count; k++) {
        if (truth->net->s->names[k].node != i)
            continue;
        if (!is_first)
            buf_putc(json, ',');
        put_addr(json, &truth->net->s->names[k].addr);
        is_first = false;
    }
    buf_puts(json, "]");
    if (node->rdns) {
        put_name(json, "rdns", false);
        put_string(json, node->rdns);
    }
    if (node->as_number) {
        put_count(json, "as", node->as_number, false);
        put_name(json, "asName", false);
        put_string(json, node->as_name);
    }
    if (node->place || node->country) {
        put_name(json, "place", false);
        put_string(json, node->place);
        put_name(json, "country", false);
        put_string(json, node->country);
    }
    if (node->has_position)
        buf_printf(json, ",\"latitude\":%.6g,\"longitude\":%.6g", node->latitude, node->longitude);
    put_count(json, "errorsSent", now->errors_sent, false);
    put_count(json, "answersSent", now->answers_sent, false);
    uint32_t reasons[LAB_REASON_COUNT];
    for (int k = 0; k < LAB_REASON_COUNT; k++)
        reasons[k] = (uint32_t)now->dropped[k];
    put_reasons(json, "dropped", reasons);
    put_nats(truth, json, node->box.nat);
    buf_putc(json, '}');
}

static void put_side(const struct lab_truth *truth, struct buf *json, uint32_t port)
{
    const struct lab_port_state_now *now = &truth->net->ports[port];
    buf_puts(json, "{\"from\":");
    put_string(json, truth->net->s->nodes[lab_port_from(truth->net->s, port)].name);
    put_name(json, "to", false);
    put_string(json, truth->net->s->nodes[lab_port_to(truth->net->s, port)].name);
    const struct lab_side *side = lab_port_side(truth->net->s, port);
    put_count(json, "carried", now->carried, false);
    put_count(json, "mtu", side->mtu, false);
    if (side->rate_bps > 0)
        put_count(json, "rateBps", side->rate_bps, false);
    if (side->cross_bps > 0 || now->cross_carried > 0) {
        put_count(json, "crossBps", side->cross_bps, false);
        put_count(json, "crossCarried", now->cross_carried, false);
        put_count(json, "crossDropped", now->cross_dropped, false);
        put_count(json, "crossPassedOver", now->cross_passed, false);
    }
    uint32_t reasons[LAB_REASON_COUNT];
    for (int k = 0; k < LAB_REASON_COUNT; k++)
        reasons[k] = (uint32_t)now->dropped[k];
    put_reasons(json, "dropped", reasons);
    buf_putc(json, '}');
}

/* --- ways ----------------------------------------------------------------------------------------------------------- */

static void put_tunnel(const struct lab_truth *truth, struct buf *json, const struct lab_hop *hop)
{
    const struct lab_scenario *s = truth->net->s;
    uint32_t tunnel = hop->tunnel / LAB_MAX_TUNNEL_HOPS, at = hop->tunnel % LAB_MAX_TUNNEL_HOPS;
    put_name(json, "tunnel", false);
    put_string(json, tunnel_names[s->tunnels[tunnel].kind]);
    if (!hop->labels)
        return;
    bool is_opaque = s->tunnels[tunnel].kind == LAB_TUNNEL_OPAQUE;
    uint32_t entries[LAB_LABELS];
    uint32_t count = lab_walk_labels(s, tunnel, at, is_opaque ? (uint8_t)(256 - at) : 1, entries);
    buf_puts(json, ",\"mpls\":[");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(json, "%s{\"label\":%u,\"tc\":%u,\"s\":%u,\"ttl\":%u}", i ? "," : "", entries[i] >> 12,
                   entries[i] >> 9 & 7, entries[i] >> 8 & 1, entries[i] & 255);
    buf_putc(json, ']');
}

static void put_hop(const struct lab_truth *truth, struct buf *json, const struct lab_hop *hop, bool is_v4)
{
    const struct lab_scenario *s = truth->net->s;
    const struct lab_node *node = &s->nodes[hop->node];
    const struct lab_addr *fixed = is_v4 ? &node->icmp_from4 : &node->icmp_from6;
    uint32_t port = hop->port == UINT16_MAX ? LAB_NONE : hop->port;
    buf_puts(json, "{\"ttl\":");
    if (hop->ttl)
        buf_printf(json, "%u", hop->ttl);
    else
        buf_puts(json, "null");
    put_name(json, "node", false);
    put_string(json, node->name);
    put_name(json, "address", false);
    put_addr(json, lab_addr_is_set(fixed) ? fixed : lab_model_interface(s, hop->node, port, is_v4));
    if (node->is_silent || node->is_ttl_silent)
        buf_puts(json, ",\"silent\":true");
    if (node->rate_per_s > 0)
        buf_puts(json, ",\"rateLimited\":true");
    if (hop->tunnel != UINT16_MAX)
        put_tunnel(truth, json, hop);
    buf_putc(json, '}');
}

static void put_facts(const struct lab_truth *truth, struct buf *json, const struct lab_truth_path *path)
{
    struct lab_way_facts facts = lab_truth_facts(truth->net->s, truth->hops + path->first, path->count);
    put_count(json, "mtu", facts.mtu, false);
    put_count(json, "delayNs", (uint64_t)facts.delay_ns, false);
    if (facts.capacity_bps == 0)
        return;
    put_count(json, "capacityBps", facts.capacity_bps, false);
    put_count(json, "availableBps", facts.available_bps, false);
}

static void put_path(const struct lab_truth *truth, struct buf *json, uint32_t i)
{
    const struct lab_truth_path *path = &truth->paths[i];
    buf_puts(json, "{\"end\":");
    put_string(json, lab_truth_end_name(path->end));
    put_name(json, "hops", false);
    buf_putc(json, '[');
    for (uint32_t k = 0; k < path->count; k++) {
        if (k)
            buf_putc(json, ',');
        put_hop(truth, json, &truth->hops[path->first + k], path->is_v4);
    }
    buf_putc(json, ']');
    put_facts(truth, json, path);
    buf_putc(json, '}');
}

static void put_path_number(struct buf *json, uint32_t path)
{
    if (path == LAB_NONE)
        buf_puts(json, "null");
    else
        buf_printf(json, "%u", path);
}

static void put_fan(const struct lab_truth *truth, struct buf *json, uint32_t target)
{
    static struct lab_fan fan; /* the largest thing here, and nobody writes two truths at once */
    lab_truth_target_fan(truth, target, &fan);
    buf_printf(json, ",\"interfacesComplete\":%s,\"interfaces\":[", fan.is_cut ? "false" : "true");
    for (uint32_t i = 0; i < fan.face_count; i++) {
        buf_printf(json, "%s{\"ttl\":%u,\"node\":", i ? "," : "", fan.faces[i].ttl);
        put_string(json, truth->net->s->nodes[fan.faces[i].node].name);
        put_name(json, "address", false);
        put_addr(json, &fan.faces[i].address);
        buf_puts(json, ",\"next\":[");
        bool is_first = true;
        for (uint32_t k = 0; k < fan.edge_count; k++) {
            if (fan.edges[k].from != i)
                continue;
            buf_printf(json, "%s%u", is_first ? "" : ",", fan.edges[k].to);
            is_first = false;
        }
        buf_puts(json, "]}");
    }
    buf_putc(json, ']');
}

static void put_target(const struct lab_truth *truth, struct buf *json, uint32_t i)
{
    const struct lab_target *target = &truth->targets[i];
    buf_puts(json, "{\"vantage\":");
    put_string(json, lab_net_vantage_name(truth->net, target->vantage));
    put_name(json, "destination", false);
    put_addr(json, &target->address);
    put_count(json, "protocol", target->protocol, false);
    put_count(json, "port", target->port, false);
    buf_printf(json, ",\"pathsComplete\":%s,\"paths\":[", target->is_cut ? "false" : "true");
    for (uint32_t k = 0; k < target->path_count; k++)
        buf_printf(json, "%s%u", k ? "," : "", target->paths[k]);
    buf_putc(json, ']');
    put_fan(truth, json, i);
    buf_putc(json, '}');
}

static void put_flow(const struct lab_truth *truth, struct buf *json, uint32_t i)
{
    const struct lab_flow *flow = &truth->flows[i];
    uint8_t protocol = truth->targets[flow->target].protocol;
    bool is_icmp = protocol == LAB_IPPROTO_ICMP || protocol == LAB_IPPROTO_ICMP6;
    buf_printf(json, "{\"target\":%u,", flow->target);
    if (is_icmp)
        buf_printf(json, "\"icmpChecksum\":%u", flow->second);
    else
        buf_printf(json, "\"sourcePort\":%u,\"destinationPort\":%u", flow->first, flow->second);
    if (lab_addr_is_set(&flow->seen)) {
        put_name(json, "seenAddress", false);
        put_addr(json, &flow->seen);
        if (flow->seen_port)
            put_count(json, "seenPort", flow->seen_port, false);
    }
    put_name(json, "path", false);
    put_path_number(json, flow->path);
    buf_putc(json, '}');
}

/* --- streams and probes --------------------------------------------------------------------------------------------- */

static void put_stream(const struct lab_truth *truth, struct buf *json, uint32_t i)
{
    const struct lab_stream *stream = &truth->streams[i];
    buf_puts(json, "{\"vantage\":");
    put_string(json, lab_net_vantage_name(truth->net, stream->vantage));
    put_name(json, "destination", false);
    put_addr(json, &stream->address);
    put_name(json, "kind", false);
    put_string(json, kind_names[stream->kind]);
    put_count(json, "id", stream->id, false);
    put_count(json, "ttl", stream->ttl, false);
    put_name(json, "target", false);
    put_path_number(json, stream->target);
    put_count(json, "sent", stream->sent, false);
    put_count(json, "arrived", stream->arrived, false);
    put_count(json, "answersMade", stream->answers_made, false);
    put_count(json, "errorsMade", stream->errors_made, false);
    put_count(json, "received", stream->received, false);
    put_count(json, "errors", stream->errors, false);
    put_count(json, "duplicates", stream->duplicates, false);
    put_count(json, "reordered", stream->reordered, false);
    put_count(json, "retransmitted", stream->again, false);
    put_count(json, "lostForward", stream->lost_forward, false);
    put_count(json, "lostReturn", stream->lost_return, false);
    put_count(json, "suppressed", stream->suppressed, false);
    put_reasons(json, "forwardReasons", stream->forward_reasons);
    put_reasons(json, "returnReasons", stream->return_reasons);
    if (stream->received > 0)
        buf_printf(json, ",\"rttMinNs\":%" PRId64 ",\"rttMeanNs\":%.1f,\"rttMaxNs\":%" PRId64, stream->rtt_min_ns,
                   (double)stream->rtt_sum_ns / (double)stream->received, stream->rtt_max_ns);
    buf_putc(json, '}');
}

enum column {
    COLUMN_STREAM,
    COLUMN_SEQ,
    COLUMN_SENT,
    COLUMN_RTT,
    COLUMN_FATE,
    COLUMN_REASON,
    COLUMN_WHERE,
    COLUMN_ANSWERS,
    COLUMN_PATH,
    COLUMN_COUNT
};

static const char *const column_names[COLUMN_COUNT] = {
    "stream", "seq", "sentNs", "rttNs", "fate", "reason", "where", "answers", "path",
};

static void put_where(const struct lab_truth *truth, struct buf *json, uint32_t where)
{
    const struct lab_scenario *s = truth->net->s;
    if (where == LAB_NONE)
        buf_puts(json, "null");
    else if (where & LAB_WHERE_NODE)
        buf_printf(json, "\"%s\"", s->nodes[where & ~LAB_WHERE_NODE].name);
    else
        buf_printf(json, "\"%s>%s\"", s->nodes[lab_port_from(s, where)].name, s->nodes[lab_port_to(s, where)].name);
}

static void put_cell(const struct lab_truth *truth, struct buf *json, const struct lab_probe *probe,
                     enum column column)
{
    switch (column) {
    case COLUMN_STREAM:
        buf_printf(json, "%u", probe->stream);
        break;
    case COLUMN_SEQ:
        buf_printf(json, "%u", probe->seq);
        break;
    case COLUMN_SENT:
        buf_printf(json, "%" PRId64, lab_net_wall(truth->net, probe->sent_ns));
        break;
    case COLUMN_RTT:
        if (probe->rtt_ns < 0)
            buf_puts(json, "null");
        else
            buf_printf(json, "%" PRId64, probe->rtt_ns);
        break;
    case COLUMN_FATE:
        put_string(json, fate_names[probe->fate]);
        break;
    case COLUMN_REASON:
        put_string(json, probe->reason == LAB_REASON_NONE ? NULL : lab_reason_names[probe->reason]);
        break;
    case COLUMN_WHERE:
        put_where(truth, json, probe->where);
        break;
    case COLUMN_ANSWERS:
        buf_printf(json, "%u", probe->answers);
        break;
    case COLUMN_PATH:
        put_path_number(json, probe->path);
        break;
    case COLUMN_COUNT:
        break;
    }
}

static void put_probes(const struct lab_truth *truth, struct buf *json)
{
    buf_puts(json, ",\n\"probes\":{");
    for (int column = 0; column < COLUMN_COUNT; column++) {
        put_name(json, column_names[column], column == 0);
        buf_putc(json, '[');
        for (uint32_t i = 0; i < truth->probe_count; i++) {
            if (i)
                buf_putc(json, ',');
            put_cell(truth, json, &truth->probes[i], (enum column)column);
        }
        buf_puts(json, column == COLUMN_COUNT - 1 ? "]}" : "]\n");
    }
}

typedef void put_item_fn(const struct lab_truth *truth, struct buf *json, uint32_t i);

static void put_list(const struct lab_truth *truth, struct buf *json, const char *name, uint32_t count,
                     put_item_fn *put_item)
{
    buf_printf(json, ",\n\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        buf_puts(json, i ? ",\n" : "\n");
        put_item(truth, json, i);
    }
    buf_putc(json, ']');
}

void lab_truth_write(const struct lab_truth *truth, const char *machine, struct buf *json)
{
    const struct lab_net *net = truth->net;
    buf_puts(json, "{\"scenario\":");
    put_string(json, net->s->title);
    buf_printf(json, ",\"startNs\":%" PRId64, net->start_wall_ns);
    put_count(json, "packetsIn", net->received, false);
    put_count(json, "packetsOut", net->sent, false);
    put_count(json, "copies", net->copies, false);
    put_count(json, "malformed", net->malformed, false);
    put_count(json, "inFlight", net->heap_count, false);
    put_count(json, "noBuffer", net->no_buffer, false);
    put_count(json, "probesForgotten", truth->refused_probes, false);
    put_count(json, "streamsForgotten", truth->refused_streams, false);
    put_count(json, "flowsForgotten", truth->refused_flows, false);
    put_count(json, "pathsForgotten", truth->refused_paths, false);
    if (machine)
        buf_printf(json, ",\n\"machine\":%s", machine);
    put_list(truth, json, "nodes", net->s->node_count, put_node);
    put_list(truth, json, "links", net->s->link_count * 2, put_side);
    put_list(truth, json, "paths", truth->path_count, put_path);
    put_list(truth, json, "targets", truth->target_count, put_target);
    put_list(truth, json, "flows", truth->flow_count, put_flow);
    put_list(truth, json, "streams", truth->stream_count, put_stream);
    put_probes(truth, json);
    buf_puts(json, "}\n");
}
