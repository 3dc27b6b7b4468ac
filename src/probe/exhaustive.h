/*
 * All load-balanced paths to a host, to a stated confidence, with loss and round trip time of each.
 *
 * The method is the multipath detection algorithm (Augustin, Friedman, Teixeira, "Measuring load-balanced paths in the
 * Internet", 2007) with the stopping points of Veitch et al. ("Failure control in multipath route tracing", 2009), for
 * the search as a whole: with probability `confidence` no interface is missed, if every balancer spreads flows evenly
 * and flows are answered. multipath.h tells what is tested together for economy, and when that is given up because the
 * net is not made that way. is_strict does without from the start, and is confident of every link too.
 *
 * The distance is estimated first, from the TTL of an echo reply or as the caller knows it; then all TTLs are probed at
 * once, and flows are used again from TTL to TTL. A missing answer is asked for again and never counts as a test that
 * found nothing. A router that limits its answers is asked more slowly. Balancers by packet are told from those by
 * flow. A balancer that looks at the addresses alone always sends packets to this target the same way: its other ways
 * are no paths to it.
 *
 * Links are what one flow showed at two TTLs in a row, of flows proven to keep to their way: nothing is inferred from
 * addresses, and where a router balances by packet, or may do so, links are not told while interfaces are. When all is
 * found each distinct path is measured by a short series of probes to the target along one of its flows.
 */
#ifndef OCULI_PROBE_EXHAUSTIVE_H
#define OCULI_PROBE_EXHAUSTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limit.h"
#include "base/sock.h"
#include "probe/engine.h"
#include "probe/packet.h"
#include "probe/trace.h"

struct probe_exhaustive;

#define PROBE_EXHAUSTIVE_SILENT UINT16_MAX /* in a path: nobody answered at this TTL */
#define PROBE_EXHAUSTIVE_VARIES 0xfffeu    /* in a path: another interface for every packet, or not known to be none */

struct probe_exhaustive_settings {
    enum probe_protocol protocol; /* PROBE_ICMP, PROBE_TCP (SYN), PROBE_UDP */
    union sock_addr dst;          /* required, with the port for TCP; UDP without one: PROBE_TRACE_UDP_PORT */
    union sock_addr src;          /* unset = the system's choice */
    double confidence;            /* of the whole search, 0.5..0.9999 */
    bool is_strict;       /* test every router by itself: several times the probes where stages are fully meshed */
    uint32_t max_probes;  /* of the search, 1..LIMIT_EXHAUSTIVE_PROBES; the series come on top */
    uint32_t max_flows;   /* 2..LIMIT_EXHAUSTIVE_FLOWS */
    uint32_t max_paths;   /* distinct paths told and measured, 0..LIMIT_EXHAUSTIVE_PATHS */
    uint32_t path_probes; /* of the series along each, 0..LIMIT_EXHAUSTIVE_PATH_PROBES */
    int64_t path_gap_ns;  /* between the probes of a series, 1 ms..10 s */
    int64_t max_ns;       /* of the search, 100 ms..1 h; then it ends with what it has */
    int64_t wait_ns;      /* for an answer while no round trip time is known, 1 ms..10 s; then it follows them */
    uint8_t max_ttl;      /* 1..LIMIT_HOPS */
    uint8_t gap_limit;    /* silent hops in a row before a path is given up, 1..LIMIT_HOPS */
    uint8_t attempts;     /* probes of a flow to a hop that stays silent, 1..PROBE_TRACE_MAX_ATTEMPTS */
    uint8_t distance;     /* last known number of hops; 0 = estimate it */
    uint8_t dscp;         /* 0..63 */
    uint64_t flow_seed;   /* the same seed uses the same flows again; 0 = others each time */
};

enum probe_exhaustive_balancer {
    PROBE_EXHAUSTIVE_NONE, /* one interface: no balancer shows */
    PROBE_EXHAUSTIVE_PER_FLOW,
    PROBE_EXHAUSTIVE_PER_PACKET,
    PROBE_EXHAUSTIVE_UNKNOWN, /* several interfaces; too few answers to repeated probes to tell */
    PROBE_EXHAUSTIVE_BALANCER_COUNT
};

extern const char *const probe_exhaustive_balancer_names[]; /* "none", "per-flow", "per-packet", "unknown", NULL */

struct probe_exhaustive_interface {
    union sock_addr addr;
    bool is_target;
    uint32_t flows;          /* that showed it */
    uint32_t sent, received; /* probes of those flows at this TTL, answers of this interface */
    int64_t min_rtt_ns, avg_rtt_ns, max_rtt_ns;
    uint8_t reply_ttl; /* of the first answer; 0 = unknown */
    uint8_t icmp_type, icmp_code;
    bool has_quote;
    uint8_t quoted_ttl, quoted_dscp;
    uint32_t label_count; /* MPLS, outermost first */
    const struct packet_label *labels;
};

/* Seen in `flows` flows, of which it is proven that they keep to their way: interface `from` of this hop, then
 * interface `to` of the next. */
struct probe_exhaustive_link {
    uint16_t from, to;
    uint32_t flows;
};

struct probe_exhaustive_hop {
    uint8_t ttl;
    enum probe_exhaustive_balancer balancer; /* how packets are spread over the interfaces of this hop */
    bool is_complete;                        /* tested as far as the confidence asks */
    uint32_t interface_count;
    struct probe_exhaustive_interface *interfaces;
    uint32_t link_count; /* to the next hop */
    struct probe_exhaustive_link *links;
    uint32_t untold_links; /* that flows showed, while packets of one flow may go different ways: true or not */
    uint32_t sent, received;
    uint32_t silent_flows; /* every attempt unanswered */
};

struct probe_exhaustive_path {
    enum probe_trace_end end;
    uint8_t hop_count;
    const uint16_t *hops;    /* index of the interface at each TTL from 1; or _SILENT, _VARIES */
    uint16_t flow_id;        /* of the flow that was measured: ICMP identifier, or local port */
    uint32_t flow;           /* its number */
    uint32_t flows;          /* seen whole on this path */
    uint32_t sent, received; /* of the series; to the target, or to the last hop when the target is not reached */
    int64_t min_rtt_ns, avg_rtt_ns, max_rtt_ns;
};

struct probe_exhaustive_result {
    int64_t start_ns, start_wall_ns, found_ns,
        end_ns;               /* monotonic but for the wall time; found_ns: search over, 0 = not yet */
    double confidence;        /* asked for */
    bool is_complete;         /* reached, at every hop */
    bool is_cut;              /* a ceiling ended the search: probes, flows, time or memory */
    bool is_paths_cut;        /* there are more distinct paths than max_paths */
    enum probe_trace_end end; /* of the first path that reached the target, else of any */
    uint32_t interface_count, link_count;
    uint32_t hop_count;
    struct probe_exhaustive_hop *hops;
    uint32_t path_count;
    struct probe_exhaustive_path *paths;
    uint32_t flow_count;
    uint32_t sent, received;           /* of the search */
    uint32_t path_sent, path_received; /* to complete and measure the paths */
    uint32_t overloaded;               /* probes left out because this host dropped packets */
    const char *error_text;            /* the refusal of our kernel; NULL = none */
};

typedef void probe_exhaustive_fn(void *user, const struct probe_exhaustive_result *result);

/* Everything but dst: ICMP, 95 %, not strict, 5,000 probes, 2,048 flows, 16 paths of 10 probes 5 ms apart, 15 s, 1 s,
 * 64 TTLs, gap limit 6, 3 attempts. */
void probe_exhaustive_defaults(struct probe_exhaustive_settings *settings);

/* Starts a search and returns at once; the same rules as probe_ping_start. What is known so far is shown in progress
 * and by probe_exhaustive_result. The arena needs about 200 KB for a hundred interfaces, some MB at the ceilings. */
int probe_exhaustive_start(struct probe_engine *engine, const struct probe_exhaustive_settings *settings,
                           struct arena *arena, probe_exhaustive_fn *progress, probe_exhaustive_fn *done, void *user,
                           struct probe_exhaustive **ret_exhaustive, struct error *err);

const struct probe_exhaustive_result *probe_exhaustive_result(struct probe_exhaustive *exhaustive);

/* Ends the search with what it has; done is called from within. */
void probe_exhaustive_finish(struct probe_exhaustive *exhaustive);

/* Forgets the search: done is not called. */
void probe_exhaustive_stop(struct probe_exhaustive *exhaustive);

#endif
