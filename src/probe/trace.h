/*
 * The path trace: which routers lie on the way to a host, for several flows at once.
 *
 * Probes are echo requests, TCP SYNs or UDP datagrams. Every flow keeps what load balancers hash (addresses, ports;
 * ICMP type and code, checksum, identifier) constant over all its probes, and differs from every other flow in its
 * local port or its identifier and checksum, so that one flow walks one path (Augustin et al., "Avoiding traceroute
 * anomalies with Paris traceroute", 2006). How probes are told apart nevertheless: match.h.
 *
 * The distance is estimated from the TTL of the target's reply to a first probe, or known to the caller; all TTLs up
 * to two beyond it are then probed at once, and more when needed. Until it is known the first eight TTLs are probed,
 * and one more for each that answers. A silent hop is tried again, as fast as the round trip times seen allow. When
 * nobody answers any more, the trace gives up `gap_limit` TTLs beyond the last that answered, or, when the target
 * answered the estimate and must be somewhere, not before TTL 30.
 *
 * A RST comes in the name of the target whoever sent it: an echo request of the same TTL tells, and the hop shows who
 * it was.
 *
 * Label stacks are read from the ICMP extensions of RFC 4884 and RFC 4950.
 */
#ifndef OCULI_PROBE_TRACE_H
#define OCULI_PROBE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limit.h"
#include "base/sock.h"
#include "probe/engine.h"
#include "probe/packet.h"

struct probe_trace;

#define PROBE_TRACE_MAX_ATTEMPTS 3u
#define PROBE_TRACE_UDP_PORT 33434u /* nobody listens there */

struct probe_trace_settings {
    enum probe_protocol protocol;
    union sock_addr dst;  /* required; with the port, for TCP; for UDP port 0 means PROBE_TRACE_UDP_PORT */
    union sock_addr src;  /* unset = the system's choice */
    bool is_in_session;   /* TCP: the probes are data of a session (session.h), which firewalls let pass that drop odd SYNs; a
                             target without SACK, or that does not open one, is probed with SYNs. Where one kind does not
                             reach a target that is there, the flow begins anew with the other */
    uint32_t flows;       /* 1..LIMIT_PATH_TRACES */
    uint8_t max_ttl;      /* 1..LIMIT_HOPS */
    uint8_t gap_limit;    /* silent hops beyond the last that answered, 1..max_ttl */
    uint8_t attempts;     /* probes to a hop that stays silent, 1..PROBE_TRACE_MAX_ATTEMPTS */
    uint8_t distance;     /* last known number of hops; 0 = estimate it */
    uint8_t beyond;       /* TTLs probed beyond the distance at once, in case the path is longer than thought */
    uint8_t dscp;         /* 0..63 */
    int64_t wait_ns;      /* for each answer, 1 ms..10 s */
    bool is_patient;      /* silent hops get all of it, too, so that what comes late is no loss; else as much as the round-trip
                             times seen suggest */
    uint64_t flow_seed;   /* the same seed walks with the same flows again, so that a path that differs is a route that
                             changed; 0 = other flows each time, which find more of the paths in the long run */
};

enum probe_trace_end {
    PROBE_TRACE_REACHED,     /* the target answered (also: with TTL exceeded, or port or protocol unreachable) */
    PROBE_TRACE_SILENT,      /* nobody answered any more; the last hop that did is the terminal node */
    PROBE_TRACE_UNREACHABLE, /* the last hop said that the target is unreachable */
    PROBE_TRACE_PROHIBITED,  /* the last hop said that a filter forbids it (IPv4 codes 9, 10, 13; IPv6 codes 1, 5, 6) */
    PROBE_TRACE_RESET,       /* TCP traces: somebody before the target sent a RST; the last hop is who */
    PROBE_TRACE_LOOP,        /* the probes run in a circle; the last hop is the first that came again */
    PROBE_TRACE_END_COUNT
};

extern const char *const probe_trace_end_names[]; /* "reached", ..., NULL */

struct probe_trace_hop {
    uint8_t ttl;                   /* of the probes that were answered */
    uint8_t sent, received;        /* attempts the kernel took, answers to them (duplicates not counted) */
    bool is_target;
    bool is_overtaken;             /* silent, before the target: its SYN may have come there after one of a higher TTL, which
                                      alone is answered */
    bool is_tx_estimated;          /* the round trip time rests on a clock read, not on the kernel's transmit stamp */
    union sock_addr addr;          /* unset = silent: then only ttl, sent and received hold */
    int64_t rtt_ns;                /* mean of the answers */
    uint8_t reply_ttl, reply_tos;  /* of the last answer; reply_ttl 0 = unknown */
    uint8_t tcp_flags;             /* of the segment that answered; 0 = ICMP or UDP answered */
    uint8_t icmp_type, icmp_code;  /* 11-0 (IPv6: 3-0), 0-0 (IPv6: 129-0), 3-13... */
    bool has_quote;                /* the answer quotes our probe: */
    uint8_t quoted_ttl, quoted_dscp, quoted_ecn;
    uint8_t rewritten;             /* MATCH_SRC...: what of our probe had been rewritten when it got there (NAT) */
    uint32_t label_count;          /* MPLS, outermost first */
    const struct packet_label *labels;
};

struct probe_trace_flow {
    enum probe_trace_end end;
    uint16_t id;                   /* ICMP identifier or local port: tells the flow apart in a capture */
    uint32_t hop_count;            /* hops[i] is TTL i+1; the last one answered, whatever the end (0 = nobody did) */
    uint32_t probed;               /* TTLs probed: hops[hop_count..probed-1] are silent, or beyond the end */
    struct probe_trace_hop *hops;
    bool is_in_session;            /* in the end */
    uint16_t mss;                  /* of the SYN+ACK; 0 = none */
    uint8_t end_type, end_code;    /* of the message that ended it, with UNREACHABLE and PROHIBITED */
};

struct probe_trace_result {
    int64_t start_ns, start_wall_ns, end_ns; /* start and end on the monotonic clock */
    uint8_t distance;              /* hops to the target: as found, else as estimated; 0 = unknown */
    uint32_t sent, received;       /* over the hops of all flows; what went beyond the target is not told */
    uint32_t overloaded;           /* probes left out because this host dropped packets */
    const char *error_text;        /* "Network is unreachable": the refusal of our kernel; NULL = none */
    uint32_t flow_count;           /* = settings.flows */
    struct probe_trace_flow *flows;
};

typedef void probe_trace_fn(void *user, const struct probe_trace_result *result);

/* Everything but dst: 3 flows, 64 TTLs (higher ones than needed are never sent), gap limit 6, 3 attempts, 1 s. */
void probe_trace_defaults(struct probe_trace_settings *settings);

/*
 * Starts a trace and returns at once; the same rules as probe_ping_start. The hops of a result are in the arena once the
 * trace is over; until then they are the trace's and go with it (probe_trace_stop). In progress and in probe_trace_result the
 * flows show what is known so far: `hops` up to the highest TTL that answered, `end` as if nothing more came.
 */
int probe_trace_start(struct probe_engine *engine, const struct probe_trace_settings *settings, struct arena *arena,
                      probe_trace_fn *progress, probe_trace_fn *done, void *user, struct probe_trace **ret_trace,
                      struct error *err);

const struct probe_trace_result *probe_trace_result(struct probe_trace *trace);

/* Ends the trace with what it has; done is called from within. */
void probe_trace_finish(struct probe_trace *trace);

/* Forgets the trace: done is not called. */
void probe_trace_stop(struct probe_trace *trace);

#endif
