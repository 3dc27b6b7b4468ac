/*
 * The truth: what the net really did with every packet, for checks that assert equality. Described in oculi-lab(1).
 *
 * Packets of a vantage are counted in streams: same destination, kind (echo, SYN, data, UDP ...), identifier and TTL
 * as sent. Single probes are remembered up to a ceiling; the counters of a stream know none.
 */
#ifndef OCULI_LAB_TRUTH_H
#define OCULI_LAB_TRUTH_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct lab_net;
struct lab_truth;

#define LAB_TRUTH_BYTES (1u << 30) /* the largest truth written */

enum lab_kind {
    LAB_KIND_ECHO,     /* ICMP echo requests; id: the ICMP identifier, seq: the ICMP sequence number */
    LAB_KIND_TCP_SYN,  /* id: destination port, seq: source port */
    LAB_KIND_TCP_DATA, /* segments with data; id: destination port, seq: source port */
    LAB_KIND_TCP_OLD,  /* segments with data that had been sent in order before; id and seq as above */
    LAB_KIND_TCP,      /* other segments: acknowledgements, FIN, RST */
    LAB_KIND_UDP,      /* id: destination port, seq: source port */
    LAB_KIND_OTHER,
    LAB_KIND_COUNT
};

/* Sums over all streams of a vantage to one destination and kind, whatever their identifier and TTL. destination is
 * text; ttl 0 = any TTL, else only packets sent with this one. Zero when there was nothing. */
struct lab_truth_sum {
    uint64_t sent;            /* probes */
    uint64_t arrived;         /* probes that reached the destination */
    uint64_t received;        /* probes of which an answer of the destination came back */
    uint64_t errors;          /* probes of which an ICMP error came back */
    uint64_t duplicates;      /* answers and errors beyond the first of a probe */
    uint64_t reordered;       /* first answers that came after one of a later probe */
    uint64_t again;           /* TCP segments that came back and that the destination had sent again by itself */
    uint64_t lost_forward, lost_return;
    uint64_t suppressed;      /* silent nodes, rate limits, echo loss: arrived and not answered */
    int64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns; /* of the received */
};
void lab_truth_sum(const struct lab_truth *truth, unsigned vantage, const char *destination, enum lab_kind kind,
                   unsigned ttl, struct lab_truth_sum *ret);

/* Appends the whole truth as one JSON object; `machine` is a JSON value for its member of that name, or NULL. */
void lab_truth_write(const struct lab_truth *truth, const char *machine, struct buf *json);

/* Appends the true ways from every vantage to every destination that has a name or is the first host of a block, for
 * ICMP echo, as text. */
void lab_truth_write_paths(struct lab_net *net, struct buf *text);

#endif
