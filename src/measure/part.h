/*
 * The parts of results that several measure types share: the end-to-end stream ("network") and the path traces
 * ("pathVis"), in the shapes of API v7 with what is ours in `oculi` objects.
 *
 * All values are results: absent means that nothing was measured (at 100 % loss there is no latency). Latencies are
 * milliseconds with fractions, as v7 has them; `...Us` are microseconds with fractions. Strings and lists live in the
 * arena of the round or of the reader.
 */
#ifndef OCULI_MEASURE_PART_H
#define OCULI_MEASURE_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/field.h"

enum measure_probe_mode { MEASURE_PROBE_ICMP, MEASURE_PROBE_SYN, MEASURE_PROBE_SACK };

/* network.oculi: what stands behind the percentages. */
struct measure_network_oculi {
    int32_t sent, received;
    int32_t duplicates;            /* further answers to a probe that had been answered */
    int32_t reordered;             /* answers that came after the answer to a later probe (RFC 4737) */
    int probe_mode;                /* enum measure_probe_mode */
    const char *probe_mode_reason; /* a sentence */
    double median_latency;         /* ms */
    struct field_list rtts_us;     /* int64_t, one for each probe in the order of sending; -1 = no answer */
    int32_t icmp_errors;           /* probes that an ICMP error answered */
    const char *icmp;              /* the last of them: "3-1" */
    const char *icmp_from;         /* and who sent it */
    bool is_overloaded;            /* this machine lost answers itself: loss may be ours */
    bool is_partial;               /* the round was ended before the stream was complete, or began late */
    /* TCP. */
    double handshake_latency;      /* ms of the session's handshake, which is no probe; absent = no session, or not known */
    int32_t lost_on_return;        /* SACK: probes that came to the target and whose answers did not come back */
    double sack_loss, syn_loss;    /* % of either, when they were compared because SACK probes were lost */
    const char *sack_interference; /* a sentence: it is proven that something on the way drops SACK probes */
    double capacity_error, available_bandwidth_error; /* Mbps: the true figure is within this of ours */
    const char *bandwidth_note;    /* why there is no figure, or what it is a bound of; NULL = nothing to say */
    double clock_step;             /* s by which the wall clock was set while the stream ran; absent = it was not */
};

struct measure_network { /* v7 NetworkTestResult */
    double available_bandwidth, bandwidth, capacity;
    double loss;
    double avg_latency, min_latency, max_latency, jitter; /* jitter = mean absolute deviation from the mean */
    double proxy_loss, proxy_avg_latency, proxy_min_latency, proxy_max_latency, proxy_jitter;
    const char *server, *server_ip;
    double health_score;
    int direction;
    const char *error_details;
    /* Continuous mode: a row of int64_t for each second of the round's minute: probes sent in it, and how many of those
     * were answered; an empty row = the second was not measured. */
    struct field_list packets_by_second;
    struct measure_network_oculi oculi;
};

struct measure_hop_oculi {
    double response_time_us; /* mean over the answers from this address */
    int32_t sent, received;  /* probes with this TTL; those answered by this address */
    int32_t reply_ttl;       /* TTL of the answer as it arrived here */
    int32_t quoted_ttl;      /* TTL of our probe as the router quotes it */
    int32_t quoted_dscp, quoted_ecn;
    const char *tcp;         /* "SYN+ACK", "RST", "ACK"; NULL = TCP did not answer */
    const char *rewritten;   /* "source port, checksum"; NULL = nothing */
    const char *icmp;        /* "11-0", "0-0" for the echo reply; of a terminal node what ended the trace: "3-13" */
    const char *tunnel;      /* "Hop 2 in an MPLS tunnel", "3-hop MPLS tunnel"; NULL = none is known here */
};

struct measure_hop { /* v7 PathVisHop */
    int32_t hop;
    const char *ip_address;
    const char *prefix, *rdns, *network, *location;
    int32_t response_time; /* ms, rounded */
    const char *mpls;      /* "L=399088,E=0,S=1,T=1"; entries of a stack from the top, joined by "; " */
    struct measure_hop_oculi oculi;
};

struct measure_silent_hop {
    int32_t hop, sent;
};

enum measure_tunnel_kind {
    MEASURE_TUNNEL_EXPLICIT,
    MEASURE_TUNNEL_IMPLICIT,
    MEASURE_TUNNEL_OPAQUE,
    MEASURE_TUNNEL_INVISIBLE
};

enum measure_tunnel_confidence { MEASURE_TUNNEL_SUSPECTED, MEASURE_TUNNEL_LIKELY, MEASURE_TUNNEL_CERTAIN };

/* An MPLS tunnel on a path; docs/tunnels.md says how it is told. */
struct measure_tunnel {
    int kind, confidence;       /* the enums above */
    int32_t first_hop, last_hop; /* those inside; of an opaque or invisible tunnel those at which it may end */
    int32_t length;             /* routers inside: for opaque and invisible ones the hidden ones */
    bool is_length_exact;
    const char *evidence;       /* a sentence without the full stop */
    struct field_list revealed; /* strings: addresses of hidden routers that a closer look showed; "" = a silent one */
};

enum measure_path_end {
    MEASURE_END_REACHED,
    MEASURE_END_SILENT,
    MEASURE_END_UNREACHABLE,
    MEASURE_END_PROHIBITED,
    MEASURE_END_RESET,
    MEASURE_END_LOOP
};

struct measure_route_oculi {
    int end;                        /* enum measure_path_end */
    int32_t flow;                   /* counts from 1 within the round */
    bool is_in_session;             /* probes were data of a TCP session */
    int32_t nat_hop;                /* first hop that shows a rewritten probe */
    struct field_list silent_hops;  /* struct measure_silent_hop: probed, but nobody answered; v7 leaves them out */
    struct field_list tunnels;      /* struct measure_tunnel */
};

/* One path trace. v7 shows it in two shapes: PathVisRoute (with hops) and PathTrace (the summary). */
struct measure_route {
    uint64_t path_id;          /* a hash of the addresses in their places: equal paths have equal ids */
    struct field_list hops;    /* struct measure_hop, in ascending order; silent hops are missing */
    const char *ip_address;    /* of the last hop that answered: the target when it was reached */
    int32_t number_of_hops;    /* its distance */
    int32_t response_time;     /* ms to the target, absent when it was not reached */
    int32_t mss, path_mtu;
    struct measure_route_oculi oculi;
};

enum measure_mtu_limit { MEASURE_MTU_NONE, MEASURE_MTU_ROUTER, MEASURE_MTU_INTERFACE, MEASURE_MTU_BLACK_HOLE };

/* pathVis.oculi.mtu: what limits the size of packets (probe/mtu.h). */
struct measure_path_mtu {
    int32_t bytes;                /* the path MTU */
    int limit;                    /* enum measure_mtu_limit */
    const char *limited_by;       /* the last router that said "too big" */
    int32_t told;                 /* the MTU it told */
    int32_t black_hole_hop;       /* distance of the last router that larger packets reach */
    const char *black_hole_after; /* its address */
};

struct measure_path_vis_oculi {
    struct measure_path_mtu mtu;
};

struct measure_path_vis { /* v7 PathVisDetailTestResult and PathVisTestResult */
    const char *server, *server_ip, *source_ip, *source_prefix;
    bool target_is_proxy;
    int direction;
    struct field_list path_traces; /* struct measure_route */
    struct measure_path_vis_oculi oculi;
};

extern const char *const measure_probe_mode_words[];
extern const char *const measure_path_end_words[];
extern const char *const measure_mtu_limit_words[];
extern const char *const measure_tunnel_kind_words[];
extern const char *const measure_tunnel_confidence_words[];
extern const struct field_table measure_network_table;
extern const struct field_table measure_hop_table;
extern const struct field_table measure_silent_hop_table;
extern const struct field_table measure_tunnel_table;
extern const struct field_table measure_route_table;
extern const struct field_table measure_path_vis_table;
extern const struct field_table measure_path_vis_summary_table; /* the same record as the list of rounds shows it */

#endif
