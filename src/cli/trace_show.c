#include "cli/trace_show.h"

#include "cli/csv.h"

static const struct field record_fields[] = {
    FIELD_STR(struct trace_record, server, "server", (), "Host as it was given"),
    FIELD_STR(struct trace_record, server_ip, "serverIp", (), "Address that was traced"),
    FIELD_STR(struct trace_record, source_ip, "sourceIp", (), "Address the probes left from"),
    FIELD_ENUM(struct trace_record, protocol, "protocol", probing_protocol_words, (.preset = "icmp"),
               "Protocol of the probes"),
    FIELD_I32(struct trace_record, port, "port", (), "Port of TCP and UDP probes"),
    FIELD_STR(struct trace_record, error_details, "errorDetails", (), "Why the host could not be traced"),
    FIELD_LIST(struct trace_record, path_traces, "pathTraces", &measure_route_table, (),
               "The traces, one for each flow"),
};
const struct field_table trace_record_table =
    FIELD_TABLE("TraceResult", struct trace_record, record_fields, NULL, "The paths to one host");

static const struct field row_fields[] = {
    FIELD_STR(struct trace_row, server, "server", (), "Host as it was given"),
    FIELD_STR(struct trace_row, server_ip, "serverIp", (), "Address that was traced"),
    FIELD_I32(struct trace_row, trace, "trace", (), "Number of the trace, from 1 on; each has a flow of its own"),
    FIELD_ENUM(struct trace_row, end, "end", measure_path_end_words, (), "How the trace ended"),
    FIELD_I32(struct trace_row, hop, "hop", (), "Distance"),
    FIELD_STR(struct trace_row, ip_address, "ipAddress", (), "Who answered; empty when nobody did"),
    FIELD_STR(struct trace_row, rdns, "rdns", (), "Its name"),
    FIELD_I32(struct trace_row, sent, "sent", (), "Probes"),
    FIELD_I32(struct trace_row, received, "received", (), "Answers"),
    FIELD_F64(struct trace_row, loss, "loss", (.unit = "%"), "Share of the probes that were not answered"),
    FIELD_F64(struct trace_row, avg_latency, "avgLatency", (.unit = "ms"), "Mean round-trip time"),
    FIELD_STR(struct trace_row, icmp, "icmp", (), "Type and code of the answer, as 11-0"),
    FIELD_I32(struct trace_row, quoted_ttl, "quotedTtl", (), "TTL of the probe as the answer quotes it"),
    FIELD_I32(struct trace_row, reply_ttl, "replyTtl", (), "TTL of the answer as it arrived"),
    FIELD_STR(struct trace_row, mpls, "mpls", (), "MPLS label stack, as L=399088,E=0,S=1,T=1"),
    FIELD_STR(struct trace_row, tunnel, "tunnel", (), "The MPLS tunnel it is in or that ends there, in words"),
};
const struct field_table trace_row_table =
    FIELD_TABLE("TraceRow", struct trace_row, row_fields, NULL, "One hop of one trace");

static void put_hop(struct trace_row row, const struct measure_hop *hop, struct buf *buf)
{
    row.hop = hop->hop;
    row.ip_address = hop->ip_address;
    row.rdns = hop->rdns;
    row.sent = hop->oculi.sent;
    row.received = hop->oculi.received;
    if (row.sent > 0)
        row.loss = 100.0 * (row.sent - row.received) / row.sent;
    row.avg_latency = rint(hop->oculi.response_time_us * 1e3) / 1e6;
    row.icmp = hop->oculi.icmp;
    row.quoted_ttl = hop->oculi.quoted_ttl;
    row.reply_ttl = hop->oculi.reply_ttl;
    row.mpls = hop->mpls;
    row.tunnel = hop->oculi.tunnel;
    csv_row(&trace_row_table, &row, buf);
}

static void put_silent(struct trace_row row, const struct measure_silent_hop *hop, struct buf *buf)
{
    row.hop = hop->hop;
    row.sent = hop->sent;
    row.received = 0;
    if (row.sent > 0)
        row.loss = 100;
    csv_row(&trace_row_table, &row, buf);
}

void trace_show_csv(const struct trace_record *record, struct buf *buf)
{
    const struct measure_route *routes = record->path_traces.items;
    for (size_t i = 0; i < record->path_traces.count; i++) {
        const struct measure_hop *hops = routes[i].hops.items;
        const struct measure_silent_hop *silent = routes[i].oculi.silent_hops.items;
        size_t h = 0, s = 0;
        struct trace_row row;
        field_defaults(&trace_row_table, &row);
        row.server = record->server;
        row.server_ip = record->server_ip;
        row.trace = routes[i].oculi.flow;
        row.end = routes[i].oculi.end;
        while (h < routes[i].hops.count || s < routes[i].oculi.silent_hops.count) {
            bool is_silent = s < routes[i].oculi.silent_hops.count &&
                             (h == routes[i].hops.count || silent[s].hop < hops[h].hop);
            if (is_silent)
                put_silent(row, &silent[s++], buf);
            else
                put_hop(row, &hops[h++], buf);
        }
    }
}
