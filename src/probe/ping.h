/*
 * The end-to-end stream: echo requests, or TCP SYNs, to one host, and what became of each.
 *
 * Up to `count` probes are sent, the gap being 1.5 times the moving average of the round trip time (first 40 ms, never
 * less than 10 ms), or at a fixed rate. The round takes at most `ceiling_ns`: sending ends early enough that the last
 * probe can still be answered, and after the last probe the round waits for what is missing: four times the longest
 * round trip time seen and at least 1 s, or 2 s while nobody has answered. With a payload of 2 bytes or more all probes
 * of a round have the same ICMP checksum and identifier, hence take one path of a load balancer that hashes them.
 *
 * SYNs leave from a port of their own each, so they take all the paths. A SYN+ACK and a RST are answers alike; the kernel
 * of this host closes with a RST what a SYN+ACK has half opened. A SYN+ACK that comes 0.9 s later than the fastest is the
 * target's second try, and its probe was lost.
 *
 * A slow stream, of one packet a second, keeps each probe's place in time: when this host is late by a whole gap or more
 * the places that passed stay UNSENT, and what the kernel refuses does not end the round.
 *
 * In SACK mode the probes travel in one session (session.h): one path, one connection at the target, nothing reaches its
 * application. Every probe draws an acknowledgement of its own; a probe of which only a later acknowledgement tells that it
 * came is lost like an echo request whose reply is lost, and counted as lost on the way back. The handshake's round trip
 * paces the first probes and is no sample.
 *
 * What the network does is a result: loss, error messages of routers, duplicates. A refusal of our own kernel (no
 * route, not permitted) is a result too: its text is in the result, and the packet does not count as sent.
 */
#ifndef OCULI_PROBE_PING_H
#define OCULI_PROBE_PING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/sock.h"
#include "probe/engine.h"

struct probe_ping;

#define PROBE_PING_MAX_PAYLOAD 1400u

enum probe_ping_mode { PROBE_PING_SYN, PROBE_PING_SACK }; /* of TCP */

struct probe_ping_settings {
    enum probe_protocol protocol; /* PROBE_ICMP or PROBE_TCP */
    enum probe_ping_mode mode;
    bool is_forced;         /* SACK: go on although SYNs would be the better probes, as long as any SACK can come */
    union sock_addr dst;    /* required; with the port, for TCP */
    union sock_addr src;    /* unset = the system's choice; must be of dst's family and an address of this host */
    uint32_t count;         /* 1..LIMIT_STREAM_PROBES */
    uint32_t payload_bytes; /* 0..PROBE_PING_MAX_PAYLOAD, after the ICMP header; data in a SYN, which many
                               firewalls drop; data of the session, then at least 1 and as the target's MSS allows */
    uint32_t rate_pps;      /* fixed rate, 1..1000 packets per second; 0 = adaptive */
    int64_t gap_ns;         /* fixed gap between two probes, 1 ms..1 h, instead of a rate; 0 = none */
    int64_t ceiling_ns;     /* of the whole round */
    uint64_t flow_seed;     /* echo requests of the same seed are one flow in every round; 0 = another flow each time */
    uint8_t dscp;           /* 0..63 */
};

enum probe_ping_status {
    PROBE_PING_UNSENT,     /* not yet, or the ceiling came first */
    PROBE_PING_WAITING,    /* sent, no answer yet (in progress only) */
    PROBE_PING_ANSWERED,   /* echo reply, SYN+ACK, RST */
    PROBE_PING_LOST,       /* sent, and no answer in time */
    PROBE_PING_ERROR,      /* a router or the target answered with an ICMP error: counts as sent, not as received */
    PROBE_PING_REFUSED,    /* our kernel did not take it: not sent */
    PROBE_PING_OVERLOADED, /* this host dropped packets when it was out: not counted, neither as sent nor as lost */
};

struct probe_ping_probe {
    int64_t tx_ns, rx_ns;        /* monotonic; rx_ns 0 = no answer */
    uint8_t status;              /* enum probe_ping_status */
    bool is_tx_estimated;        /* tx_ns is a clock read just before sending: the kernel gave no stamp */
    bool is_rx_estimated;        /* rx_ns likewise */
    uint8_t icmp_type, icmp_code; /* of the error, with PROBE_PING_ERROR */
    uint8_t reply_ttl;           /* of the answer; 0 = none */
    bool is_cut;                 /* our interface went down while its answer could be on its way */
    bool has_arrived;            /* LOST in SACK mode: it came to the target, its answer was lost on the way back */
};

/* The round-trip time; 0 = no answer. */
static inline int64_t probe_ping_rtt_ns(const struct probe_ping_probe *probe)
{
    if (probe->status != PROBE_PING_ANSWERED)
        return 0;
    return probe->rx_ns > probe->tx_ns ? probe->rx_ns - probe->tx_ns : 1;
}

/* What became of the session of SACK mode. From REFUSED on the round has ended early: its figures tell little (with
 * is_forced: little more than was measured until then). */
enum probe_ping_session {
    PROBE_SESSION_NONE,          /* not in SACK mode, or the target has not answered yet */
    PROBE_SESSION_OPEN,
    PROBE_SESSION_REFUSED,       /* a RST answered the SYN */
    PROBE_SESSION_SILENT,        /* nothing answered three SYNs: these count as probes that were lost */
    PROBE_SESSION_UNREACHABLE,   /* an ICMP error answered the SYN: it counts as a probe */
    PROBE_SESSION_UNSENT,        /* our kernel did not take the SYN */
    PROBE_SESSION_NOT_PERMITTED, /* the target does not permit SACK */
    PROBE_SESSION_NO_SACK,       /* it does, but nothing came within a second of the first probe (or two round trips of the
                                    handshake, if these are longer); with is_forced: only acknowledgements without SACK, or
                                    nothing at all until the end */
    PROBE_SESSION_TOO_FAST,      /* the first five answers came in less than 0.7 of the handshake's round trip and 5 ms
                                    sooner: something on the way answers in the target's name; never with is_forced */
    PROBE_SESSION_RESET,         /* a RST came within the session */
    PROBE_SESSION_FINISHED,      /* the target closed it */
};

struct probe_ping_result {
    int64_t start_ns, start_wall_ns, end_ns; /* start and end on the monotonic clock */
    uint32_t sent, received;                 /* received <= sent; lost = sent - received */
    uint32_t duplicates;                     /* further replies to an answered probe */
    uint32_t reordered;                      /* replies that came after the reply to a later probe (RFC 4737) */
    uint32_t resets;                         /* probes answered by a RST: they count as received */
    uint16_t mss;                            /* of the last SYN+ACK; 0 = none told */
    enum probe_ping_session session;         /* SACK mode, as the next three */
    bool has_odd_blocks;                     /* SACKs named what was never sent: something rewrites sequence numbers */
    int64_t handshake_ns;                    /* round trip of the handshake, never part of the figures; 0 = not known */
    uint32_t lost_on_return;                 /* lost probes that had come to the target */
    uint32_t errors;                         /* probes answered by an ICMP error */
    uint32_t refused;                        /* probes our kernel did not take */
    uint32_t overloaded;                     /* probes left out because this host dropped packets; > 0 = overloaded */
    /* Over the received, in nanoseconds; NaN when nothing was. Jitter is the mean absolute deviation from the mean. */
    double min_rtt_ns, avg_rtt_ns, max_rtt_ns, jitter_ns;
    uint8_t reply_ttl;                       /* of the last reply; 0 = none */
    uint8_t reply_tos;
    /* The last ICMP error: who said it and what. */
    union sock_addr error_from;              /* unset = none */
    uint8_t error_type, error_code;
    const char *error_text;                  /* "Network is unreachable": the refusal of our kernel; NULL = none */
    uint32_t probe_count;                    /* = settings.count */
    struct probe_ping_probe *probes;         /* in sequence */
};

typedef void probe_ping_fn(void *user, const struct probe_ping_result *result);

/* Everything but dst: 50 probes, no payload, adaptive, 8 s, DSCP 0. */
void probe_ping_defaults(struct probe_ping_settings *settings);

/* What a round of these settings takes of its arena. */
size_t probe_ping_bytes(const struct probe_ping_settings *settings);

/*
 * Starts a round and returns at once. `settings` is copied. The result lives in `arena` (probe_ping_bytes), which
 * must outlive the round. progress (may be NULL) is called when an answer came or a probe was lost, at most once per
 * tick, with the counters and statistics brought up to date; done exactly once at the end, after which *ret_ping is no
 * longer valid and the arena is the caller's again. Neither is called before this function has returned.
 * -E_RANGE or -E_INVALID name the setting; -E_LIMIT when the engine or the arena is full.
 */
int probe_ping_start(struct probe_engine *engine, const struct probe_ping_settings *settings, struct arena *arena,
                     probe_ping_fn *progress, probe_ping_fn *done, void *user, struct probe_ping **ret_ping,
                     struct error *err);

/* The result so far, statistics brought up to date. */
const struct probe_ping_result *probe_ping_result(struct probe_ping *ping);

/* Ends the round with what it has: probes still out without an answer for less than the time an answer usually takes
 * become UNSENT, the others LOST. done is called from within. */
void probe_ping_finish(struct probe_ping *ping);

/* Forgets the round: done is not called. */
void probe_ping_stop(struct probe_ping *ping);

#endif
