/*
 * Agent to server: loss, latency, jitter and paths from an agent to a host, as the test type of that name in API v7.
 * What all tests have in common (name, interval, agents, alerts) belongs to the server's test record.
 */
#ifndef OCULI_MEASURE_AGENT_TO_SERVER_SETTINGS_H
#define OCULI_MEASURE_AGENT_TO_SERVER_SETTINGS_H

#include "measure/part.h"
#include "wire/field.h"

#define AGENT_TO_SERVER_PORT 80 /* v7: what is probed when neither server nor port says otherwise */

enum agent_to_server_protocol { AGENT_TO_SERVER_TCP, AGENT_TO_SERVER_ICMP };
enum agent_to_server_probe_mode { AGENT_TO_SERVER_AUTO, AGENT_TO_SERVER_SACK, AGENT_TO_SERVER_SYN };
enum agent_to_server_path_trace_mode { AGENT_TO_SERVER_CLASSIC, AGENT_TO_SERVER_IN_SESSION };
/* In the order of enum sock_family for the first three. */
enum agent_to_server_ipv6_policy {
    AGENT_TO_SERVER_FORCE_IPV4,
    AGENT_TO_SERVER_PREFER_IPV6,
    AGENT_TO_SERVER_FORCE_IPV6,
    AGENT_TO_SERVER_USE_AGENT_POLICY
};

struct agent_to_server_settings {
    const char *server; /* name or address, with ":port" for TCP */
    int32_t port;       /* in requests only: folded into server when the settings are kept */
    int protocol;
    int probe_mode;
    int path_trace_mode;
    int32_t num_path_traces;
    int32_t ping_payload_size; /* bytes; absent = 0 for ICMP, 1 for TCP */
    int32_t fixed_packet_rate; /* packets per second; absent or 0 = adaptive */
    int ipv6_policy;
    int dscp_id;      /* index into agent_to_server_dscp_ids */
    const char *dscp; /* its label */
    bool is_continuous;
    bool has_bandwidth, has_mtu, has_network, has_bgp, uses_public_bgp;
    bool is_start_random;
    struct field_list monitors; /* strings */
};

struct agent_to_server_result {
    struct measure_network network;
    struct measure_path_vis path_vis;
};

extern const char *const agent_to_server_dscp_ids[]; /* "0", "8"... as v7 spells them */

#endif
