#include "measure/part.h"

#define READONLY .flags = FIELD_READONLY

const char *const measure_probe_mode_words[] = {"icmp", "syn", "sack", NULL};
const char *const measure_path_end_words[] = {"reached", "silent", "unreachable", "prohibited", "reset", "loop", NULL};
const char *const measure_tunnel_kind_words[] = {"explicit", "implicit", "opaque", "invisible", NULL};
const char *const measure_tunnel_confidence_words[] = {"suspected", "likely", "certain", NULL};
static const char *const direction_words[] = {"to-target", "from-target", "bidirectional", NULL};
static const char *const path_direction_words[] = {"to-target", "from-target", NULL};

static const struct field network_oculi_fields[] = {
    FIELD_I32(struct measure_network_oculi, sent, "sent", (READONLY), "Probes sent"),
    FIELD_I32(struct measure_network_oculi, received, "received", (READONLY), "Probes answered by the target"),
    FIELD_I32(struct measure_network_oculi, duplicates, "duplicates", (READONLY),
              "Further answers to probes that had been answered"),
    FIELD_I32(struct measure_network_oculi, reordered, "reordered", (READONLY),
              "Answers that came after the answer to a later probe"),
    FIELD_ENUM(struct measure_network_oculi, probe_mode, "probeMode", measure_probe_mode_words, (READONLY),
               "How the target was probed"),
    FIELD_STR(struct measure_network_oculi, probe_mode_reason, "probeModeReason", (READONLY), "Why it was probed so"),
    FIELD_F64(struct measure_network_oculi, median_latency, "medianLatency", (READONLY, .unit = "ms"),
              "Median round-trip time"),
    FIELD_I64S(struct measure_network_oculi, rtts_us, "rttsUs", (READONLY, .unit = "us"),
               "Round-trip time of each probe in the order of sending, -1 where no answer came"),
    FIELD_I32(struct measure_network_oculi, icmp_errors, "icmpErrors", (READONLY),
              "Probes that were answered by an ICMP error"),
    FIELD_STR(struct measure_network_oculi, icmp, "icmp", (READONLY), "Type and code of the last ICMP error"),
    FIELD_STR(struct measure_network_oculi, icmp_from, "icmpFrom", (READONLY), "Who sent the last ICMP error"),
    FIELD_BOOL(struct measure_network_oculi, is_overloaded, "overloaded", (READONLY),
               "The measuring machine itself dropped packets, so that loss may be its own"),
    FIELD_BOOL(struct measure_network_oculi, is_partial, "partial", (READONLY),
               "The round was ended before all probes were sent and awaited, or began after its first second"),
    FIELD_F64(struct measure_network_oculi, handshake_latency, "handshakeLatency", (READONLY, .unit = "ms"),
              "Round-trip time of the handshake of the session that SACK probes travelled in; no part of the latency"),
    FIELD_I32(struct measure_network_oculi, lost_on_return, "lostOnReturn", (READONLY),
              "SACK probes that came to the target and whose answers did not come back"),
    FIELD_F64(struct measure_network_oculi, sack_loss, "sackLoss", (READONLY, .unit = "%"),
              "Loss of SACK probes, where SYNs were sent to compare"),
    FIELD_F64(struct measure_network_oculi, syn_loss, "synLoss", (READONLY, .unit = "%"), "Loss of these SYNs"),
    FIELD_STR(struct measure_network_oculi, sack_interference, "sackInterference", (READONLY),
              "Set when something on the way drops SACK probes; then loss is that of SYNs"),
    FIELD_F64(struct measure_network_oculi, capacity_error, "capacityError", (READONLY, .unit = "Mbps"),
              "The true capacity is within this of the one told"),
    FIELD_F64(struct measure_network_oculi, available_bandwidth_error, "availableBandwidthError",
              (READONLY, .unit = "Mbps"), "The true available bandwidth is within this of the one told"),
    FIELD_STR(struct measure_network_oculi, bandwidth_note, "bandwidthNote", (READONLY),
              "Why capacity or available bandwidth is not told, or is a lower bound"),
    FIELD_F64(struct measure_network_oculi, clock_step, "clockStep", (READONLY, .unit = "s"),
              "By how much the wall clock was set while the stream ran; its seconds are counted from its start on"),
};
static const struct field_table network_oculi_table =
    FIELD_TABLE("OculiNetwork", struct measure_network_oculi, network_oculi_fields, NULL,
                "What stands behind the figures of an end-to-end stream");

static const struct field network_fields[] = {
    FIELD_F64(struct measure_network, available_bandwidth, "availableBandwidth", (READONLY, .unit = "Mbps"),
              "Bandwidth free from the agent to the server"),
    FIELD_F64(struct measure_network, avg_latency, "avgLatency", (READONLY, .unit = "ms"),
              "Mean round-trip time to the server"),
    FIELD_F64(struct measure_network, bandwidth, "bandwidth", (READONLY, .unit = "Mbps"),
              "Bandwidth used between the agent and the server"),
    FIELD_F64(struct measure_network, capacity, "capacity", (READONLY, .unit = "Mbps"),
              "Capacity of the narrowest link from the agent to the server"),
    FIELD_F64(struct measure_network, jitter, "jitter", (READONLY, .unit = "ms"),
              "Mean absolute deviation of the round-trip times from their mean"),
    FIELD_F64(struct measure_network, loss, "loss", (READONLY, .unit = "%"),
              "Share of the probes that were not answered"),
    FIELD_F64(struct measure_network, max_latency, "maxLatency", (READONLY, .unit = "ms"), "Longest round-trip time"),
    FIELD_F64(struct measure_network, min_latency, "minLatency", (READONLY, .unit = "ms"), "Shortest round-trip time"),
    FIELD_F64(struct measure_network, proxy_loss, "proxyLoss", (READONLY, .unit = "%"),
              "Share of the probes that the proxy did not answer"),
    FIELD_F64(struct measure_network, proxy_avg_latency, "proxyAverageLatency", (READONLY, .unit = "ms"),
              "Mean round-trip time to the proxy"),
    FIELD_F64(struct measure_network, proxy_min_latency, "proxyMinLatency", (READONLY, .unit = "ms"),
              "Shortest round-trip time to the proxy"),
    FIELD_F64(struct measure_network, proxy_max_latency, "proxyMaxLatency", (READONLY, .unit = "ms"),
              "Longest round-trip time to the proxy"),
    FIELD_F64(struct measure_network, proxy_jitter, "proxyJitter", (READONLY, .unit = "ms"),
              "Mean absolute deviation of the round-trip times to the proxy"),
    FIELD_STR(struct measure_network, server_ip, "serverIp", (READONLY), "Address of the server"),
    FIELD_STR(struct measure_network, server, "server", (READONLY), "The server as the test names it"),
    FIELD_F64(struct measure_network, health_score, "healthScore", (READONLY),
              "Health of the connection from 0.0 to 1.0"),
    FIELD_ENUM(struct measure_network, direction, "direction", direction_words, (READONLY),
               "Direction that was measured"),
    FIELD_STR(struct measure_network, error_details, "errorDetails", (READONLY), "Why nothing could be measured"),
    FIELD_I64ROWS(struct measure_network, packets_by_second, "packetsBySecond", (READONLY),
                  "Continuous mode: for each second of the round the packets sent in it and how many of them were "
                  "answered; empty where the second was not measured"),
    FIELD_RECORD(struct measure_network, oculi, "oculi", &network_oculi_table, (READONLY),
                 "What stands behind the figures"),
};
const struct field_table measure_network_table = FIELD_TABLE(
    "NetworkTestResult", struct measure_network, network_fields, NULL, "Loss, latency and jitter to a server");

static const struct field hop_oculi_fields[] = {
    FIELD_F64(struct measure_hop_oculi, response_time_us, "responseTimeUs", (READONLY, .unit = "us"),
              "Mean round-trip time to this address"),
    FIELD_I32(struct measure_hop_oculi, sent, "sent", (READONLY), "Probes sent with this TTL"),
    FIELD_I32(struct measure_hop_oculi, received, "received", (READONLY), "Probes this address answered"),
    FIELD_I32(struct measure_hop_oculi, reply_ttl, "replyTtl", (READONLY), "TTL of the answer as it arrived"),
    FIELD_I32(struct measure_hop_oculi, quoted_ttl, "quotedTtl", (READONLY),
              "TTL of the probe as the answer quotes it"),
    FIELD_STR(struct measure_hop_oculi, icmp, "icmp", (READONLY), "ICMP type and code of the answer"),
    FIELD_STR(struct measure_hop_oculi, tcp, "tcp", (READONLY), "What answered, if TCP did: SYN+ACK, RST or ACK"),
    FIELD_I32(struct measure_hop_oculi, quoted_dscp, "quotedDscp", (READONLY),
              "DSCP of the probe as the answer quotes it; one that differs from the hop before was changed in between"),
    FIELD_I32(struct measure_hop_oculi, quoted_ecn, "quotedEcn", (READONLY),
              "ECN field of the probe as the answer quotes it"),
    FIELD_STR(struct measure_hop_oculi, tunnel, "tunnel", (READONLY),
              "The MPLS tunnel that this hop is in or that ends here, in words"),
    FIELD_STR(struct measure_hop_oculi, rewritten, "rewritten", (READONLY),
              "What of the probe had been rewritten before it got here, by a NAT mostly: of \"source address\", \"source "
              "port\", \"destination address\", \"destination port\", \"checksum\" and \"sequence number\""),
};
static const struct field_table hop_oculi_table =
    FIELD_TABLE("OculiHop", struct measure_hop_oculi, hop_oculi_fields, NULL, "The answers of one hop");

static const struct field hop_fields[] = {
    FIELD_I32(struct measure_hop, hop, "hop", (READONLY), "Distance from the agent; silent hops are missing"),
    FIELD_STR(struct measure_hop, ip_address, "ipAddress", (READONLY), "Address that answered"),
    FIELD_STR(struct measure_hop, prefix, "prefix", (READONLY), "Announced prefix that covers the address"),
    FIELD_STR(struct measure_hop, rdns, "rdns", (READONLY), "Name of the address"),
    FIELD_STR(struct measure_hop, network, "network", (READONLY), "Network that originates the prefix"),
    FIELD_I32(struct measure_hop, response_time, "responseTime", (READONLY, .unit = "ms"),
              "Round-trip time to the address"),
    FIELD_STR(struct measure_hop, location, "location", (READONLY), "Place of the address"),
    FIELD_STR(struct measure_hop, mpls, "mpls", (READONLY),
              "MPLS label stack that the probe carried here: label, experimental bits, bottom of stack and TTL of each "
              "entry from the top, entries joined by \"; \""),
    FIELD_RECORD(struct measure_hop, oculi, "oculi", &hop_oculi_table, (READONLY), "The answers in detail"),
};
const struct field_table measure_hop_table =
    FIELD_TABLE("PathVisHop", struct measure_hop, hop_fields, NULL, "One hop of a path trace");

static const struct field silent_hop_fields[] = {
    FIELD_I32(struct measure_silent_hop, hop, "hop", (READONLY), "Distance from the agent"),
    FIELD_I32(struct measure_silent_hop, sent, "sent", (READONLY), "Probes sent with this TTL"),
};
const struct field_table measure_silent_hop_table = FIELD_TABLE(
    "OculiSilentHop", struct measure_silent_hop, silent_hop_fields, NULL, "A distance at which nobody answered");

static const struct field tunnel_fields[] = {
    FIELD_ENUM(struct measure_tunnel, kind, "kind", measure_tunnel_kind_words, (READONLY),
               "Explicit: its routers show labels; implicit: they show themselves only; opaque: they are hidden, but a "
               "label tells how many; invisible: they are hidden"),
    FIELD_ENUM(struct measure_tunnel, confidence, "confidence", measure_tunnel_confidence_words, (READONLY),
               "How sure that is"),
    FIELD_I32(struct measure_tunnel, first_hop, "firstHop", (READONLY),
              "First hop inside; of an opaque or invisible tunnel the first at which it may end"),
    FIELD_I32(struct measure_tunnel, last_hop, "lastHop", (READONLY), "Last such hop"),
    FIELD_I32(struct measure_tunnel, length, "length", (READONLY),
              "Routers inside; of an opaque or invisible tunnel the hidden ones"),
    FIELD_BOOL(struct measure_tunnel, is_length_exact, "lengthExact", (READONLY), "The length is no estimate"),
    FIELD_STR(struct measure_tunnel, evidence, "evidence", (READONLY), "What speaks for it"),
    FIELD_STRS(struct measure_tunnel, revealed, "revealed", (READONLY),
               "Addresses of hidden routers, in order, where a closer look showed them; empty for a silent one"),
};
const struct field_table measure_tunnel_table =
    FIELD_TABLE("OculiTunnel", struct measure_tunnel, tunnel_fields, NULL, "An MPLS tunnel on a path");

static const struct field route_oculi_fields[] = {
    FIELD_ENUM(struct measure_route_oculi, end, "end", measure_path_end_words, (READONLY), "How the trace ended"),
    FIELD_I32(struct measure_route_oculi, flow, "flow", (READONLY), "Number of the flow within the round, from 1"),
    FIELD_BOOL(struct measure_route_oculi, is_in_session, "inSession", (READONLY),
               "Its probes travelled as data of a TCP session: as the test asks, or because no SYN that could expire on its "
               "way reached a target that does answer SYNs"),
    FIELD_I32(struct measure_route_oculi, nat_hop, "natHop", (READONLY),
              "Distance of the first hop that shows a rewritten probe: the NAT is there or just before"),
    FIELD_LIST(struct measure_route_oculi, silent_hops, "silentHops", &measure_silent_hop_table, (READONLY),
               "Distances that were probed without an answer"),
    FIELD_LIST(struct measure_route_oculi, tunnels, "tunnels", &measure_tunnel_table, (READONLY),
               "MPLS tunnels on the path"),
};
static const struct field_table route_oculi_table =
    FIELD_TABLE("OculiPathTrace", struct measure_route_oculi, route_oculi_fields, NULL, "A path trace in detail");

/* The summary's members travel with the detail in storage; each shape shows its own. */
static const struct field route_fields[] = {
    FIELD_ID(struct measure_route, path_id, "pathId", (READONLY), "The same for traces along the same addresses"),
    FIELD_LIST(struct measure_route, hops, "hops", &measure_hop_table, (READONLY), "The hops that answered"),
    FIELD_STR(struct measure_route, ip_address, "ipAddress", (.flags = FIELD_READONLY | FIELD_INTERNAL),
              "Address of the last hop that answered"),
    FIELD_I32(struct measure_route, number_of_hops, "numberOfHops", (.flags = FIELD_READONLY | FIELD_INTERNAL),
              "Distance of the last hop that answered"),
    FIELD_I32(struct measure_route, response_time, "responseTime",
              (.flags = FIELD_READONLY | FIELD_INTERNAL, .unit = "ms"), "Round-trip time to the target"),
    FIELD_I32(struct measure_route, mss, "mss", (.flags = FIELD_READONLY | FIELD_INTERNAL, .unit = "bytes"),
              "Maximum segment size the target offers"),
    FIELD_I32(struct measure_route, path_mtu, "pathMtu", (.flags = FIELD_READONLY | FIELD_INTERNAL, .unit = "bytes"),
              "Largest packet that the path carries"),
    FIELD_RECORD(struct measure_route, oculi, "oculi", &route_oculi_table, (READONLY), "The trace in detail"),
};
const struct field_table measure_route_table =
    FIELD_TABLE("PathVisRoute", struct measure_route, route_fields, NULL, "One path trace with its hops");

static const struct field route_summary_fields[] = {
    FIELD_STR(struct measure_route, ip_address, "ipAddress", (READONLY), "Address of the last hop that answered"),
    FIELD_I32(struct measure_route, mss, "mss", (READONLY, .unit = "bytes"), "Maximum segment size the target offers"),
    FIELD_I32(struct measure_route, number_of_hops, "numberOfHops", (READONLY),
              "Distance of the last hop that answered"),
    FIELD_ID(struct measure_route, path_id, "pathId", (READONLY), "The same for traces along the same addresses"),
    FIELD_I32(struct measure_route, path_mtu, "pathMtu", (READONLY, .unit = "bytes"),
              "Largest packet that the path carries"),
    FIELD_I32(struct measure_route, response_time, "responseTime", (READONLY, .unit = "ms"),
              "Round-trip time to the target"),
};
static const struct field_table route_summary_table =
    FIELD_TABLE("PathTrace", struct measure_route, route_summary_fields, NULL, "One path trace in short");

const char *const measure_mtu_limit_words[] = {"none", "router", "interface", "black-hole", NULL};

static const struct field path_mtu_fields[] = {
    FIELD_I32(struct measure_path_mtu, bytes, "bytes", (READONLY, .unit = "bytes"),
              "Largest packet, IP header included, that reaches the target"),
    FIELD_ENUM(struct measure_path_mtu, limit, "limit", measure_mtu_limit_words, (READONLY),
               "What larger packets meet: nothing up to the size tried, a router that says so, the agent's own interface, or a "
               "black hole in which they vanish"),
    FIELD_STR(struct measure_path_mtu, limited_by, "limitedBy", (READONLY), "The last router that said too big"),
    FIELD_I32(struct measure_path_mtu, told, "told", (READONLY, .unit = "bytes"), "The MTU it told"),
    FIELD_I32(struct measure_path_mtu, black_hole_hop, "blackHoleHop", (READONLY),
              "Distance of the last router that larger packets reach"),
    FIELD_STR(struct measure_path_mtu, black_hole_after, "blackHoleAfter", (READONLY), "Its address"),
};
static const struct field_table path_mtu_table =
    FIELD_TABLE("OculiPathMtu", struct measure_path_mtu, path_mtu_fields, NULL, "What limits the size of packets");

static const struct field path_vis_oculi_fields[] = {
    FIELD_RECORD(struct measure_path_vis_oculi, mtu, "mtu", &path_mtu_table, (READONLY), "The path MTU"),
};
static const struct field_table path_vis_oculi_table =
    FIELD_TABLE("OculiPathVis", struct measure_path_vis_oculi, path_vis_oculi_fields, NULL, "The paths in detail");

#define PATH_VIS_FIELDS(route_table_)                                                                                  \
    FIELD_STR(struct measure_path_vis, server, "server", (READONLY), "The server as the test names it"),               \
        FIELD_STR(struct measure_path_vis, server_ip, "serverIp", (READONLY), "Address of the server"),                \
        FIELD_STR(struct measure_path_vis, source_ip, "sourceIp", (READONLY), "Address of the agent on the path"),     \
        FIELD_STR(struct measure_path_vis, source_prefix, "sourcePrefix", (READONLY),                                  \
                  "Announced prefix that covers the agent's address"),                                                 \
        FIELD_BOOL(struct measure_path_vis, target_is_proxy, "targetIsProxy", (READONLY), "The traces go to a proxy"), \
        FIELD_ENUM(struct measure_path_vis, direction, "direction", path_direction_words, (READONLY),                  \
                   "Direction of the path traces"),                                                                    \
        FIELD_LIST(struct measure_path_vis, path_traces, "pathTraces", route_table_, (READONLY),                       \
                   "The path traces of the round, each with a flow of its own"),                                      \
        FIELD_RECORD(struct measure_path_vis, oculi, "oculi", &path_vis_oculi_table, (READONLY), "The paths in detail")

static const struct field path_vis_fields[] = {PATH_VIS_FIELDS(&measure_route_table)};
const struct field_table measure_path_vis_table = FIELD_TABLE("PathVisDetailTestResult", struct measure_path_vis,
                                                              path_vis_fields, NULL, "The paths to a server");

static const struct field path_vis_summary_fields[] = {PATH_VIS_FIELDS(&route_summary_table)};
const struct field_table measure_path_vis_summary_table =
    FIELD_TABLE("PathVisTestResult", struct measure_path_vis, path_vis_summary_fields, NULL,
                "The paths to a server in short");
