/*
 * IP packets as bytes: reading the headers, checksums, and making the packets that hosts and routers answer with.
 *
 * A struct lab_packet is a packet in flight: its bytes, what its headers say, and what the net knows about it. Nothing
 * here allocates or fails; a packet whose headers cannot be understood is told as such by lab_packet_parse.
 *
 * IPv4 RFC 791, IPv6 RFC 8200, ICMP RFC 792 and 4443, multi-part ICMP RFC 4884, MPLS labels in it RFC 4950,
 * incremental checksums RFC 1624.
 */
#ifndef OCULI_LAB_PACKET_H
#define OCULI_LAB_PACKET_H

#include "lab/addr.h"
#include "lab/model.h"
#include "lab/net.h"

#define LAB_IPPROTO_ICMP 1
#define LAB_IPPROTO_TCP 6
#define LAB_IPPROTO_UDP 17
#define LAB_IPPROTO_ICMP6 58

#define LAB_LABELS 2u

/* Why a packet ended where it did. */
enum lab_reason {
    LAB_REASON_NONE,
    LAB_REASON_LOSS,        /* a link's loss */
    LAB_REASON_QUEUE,       /* a link's queue was full */
    LAB_REASON_LINK_DOWN,   /* a route led to a link that is down */
    LAB_REASON_MIDDLEBOX,   /* dropped by a middlebox */
    LAB_REASON_FIREWALL,    /* dropped by a rule */
    LAB_REASON_BLACKHOLE,   /* dropped by a route or network */
    LAB_REASON_SILENT,      /* a silent node would have answered */
    LAB_REASON_RATE_LIMIT,  /* an ICMP error above the node's rate */
    LAB_REASON_HOST_DOWN,   /* arrived at a host that is off */
    LAB_REASON_ECHO_OFF,    /* a host that does not answer echo requests */
    LAB_REASON_ECHO_LOSS,   /* a host's share of unanswered echo requests */
    LAB_REASON_PORT_SILENT, /* a port that does not answer */
    LAB_REASON_BACKLOG,     /* a SYN beyond the half-open connections the host holds */
    LAB_REASON_CHECKSUM,    /* a wrong checksum, as after corruption */
    LAB_REASON_NO_ERROR,    /* nothing may be answered: an ICMP error, a fragment, a multicast */
    LAB_REASON_NO_ROUTE,    /* an answer to an address nobody has */
    LAB_REASON_TTL,         /* an answer whose TTL ran out */
    LAB_REASON_FRAGMENT,    /* hosts here do not reassemble */
    LAB_REASON_MALFORMED,
    LAB_REASON_NO_BUFFER,   /* the net's packets in flight ran out: the net's fault, not the scenario's */
    LAB_REASON_CONSUMED,    /* arrived, and no answer is due: an ACK, an echo reply */
    LAB_REASON_COUNT
};

extern const char *const lab_reason_names[LAB_REASON_COUNT];

/* One node on a packet's way, in the order visited. */
struct lab_hop {
    uint16_t node;
    uint16_t port;   /* through which it came; UINT16_MAX at the origin */
    uint8_t ttl;     /* the TTL that expires here; 0 = passed without decrementing */
    uint8_t labels;  /* labels it arrived with that an error from here quotes */
    uint16_t tunnel; /* tunnel * LAB_MAX_TUNNEL_HOPS + hop in it, or UINT16_MAX */
};

#define LAB_PATH_HOPS 64u /* hops remembered of one way */

struct lab_path {
    struct lab_hop hops[LAB_PATH_HOPS];
    uint32_t count;
};

enum lab_event { LAB_EVENT_OUT, LAB_EVENT_ARRIVE, LAB_EVENT_ERROR, LAB_EVENT_CONTINUE, LAB_EVENT_CROSS };

/* What the truth knows a packet as: the probe it is, or which it answers. */
struct lab_mark {
    uint32_t stream, probe; /* LAB_NONE = untracked */
    uint32_t number;        /* of the probe within its stream */
    bool is_copy;           /* made by a duplicating link */
    int64_t sent_ns;
};

struct lab_packet {
    /* Where it is. */
    int64_t due_ns;
    enum lab_event event;
    enum lab_verdict verdict; /* EVENT_ERROR: which */
    uint32_t node, port;      /* port through which it came, or LAB_NONE */
    uint32_t vantage;         /* EVENT_OUT */
    uint32_t out;             /* EVENT_CROSS: the port it leaves through */
    uint8_t depth;            /* EVENT_CROSS: nodes that decremented its TTL */
    uint32_t mtu;             /* LAB_TOO_BIG */
    uint32_t tunnel;          /* it is inside this tunnel, or LAB_NONE */
    uint32_t tunnel_hop;      /* hops of it behind us: labels[tunnel_hop - 1] is on top */
    uint8_t label_ttl;
    bool is_quoting_labels;   /* EVENT_ERROR: the error carries the label stack */
    uint8_t quoted_label_ttl;
    bool is_proxied;          /* EVENT_ARRIVE: at a proxy */
    bool is_handed_over;      /* once the handshake with the proxy is done */
    int64_t proxy_delay_ns;
    bool is_damaged;          /* a link did */

    struct lab_mark mark;
    bool is_answer;
    bool is_error; /* an ICMP error; else an answer of the destination */
    bool is_again; /* TCP sent it again by itself */

    /* What its headers say. */
    bool is_v4, is_fragment, has_l4; /* has_l4: the transport header is whole */
    uint8_t protocol;
    uint16_t l4;   /* offset */
    uint16_t size; /* of the packet */
    uint32_t flow; /* what routers hash */
    struct lab_addr src, dst;
    uint8_t bytes[LAB_PACKET_BYTES];
    struct lab_path way; /* so far, of a probe that waits for a link (EVENT_CROSS) */
};

/* Reads the headers of the first `size` bytes of packet->bytes; false when they are no IP packet. */
bool lab_packet_parse(struct lab_packet *packet, size_t size);

uint8_t lab_packet_ttl(const struct lab_packet *packet);
void lab_packet_set_ttl(struct lab_packet *packet, uint8_t ttl); /* keeps the header checksum as right as it was */
void lab_packet_set_dscp(struct lab_packet *packet, uint8_t dscp);
void lab_packet_set_ecn(struct lab_packet *packet, uint8_t ecn);
void lab_packet_set_ip_id(struct lab_packet *packet, uint16_t id); /* IPv4 only */

/* After bytes beyond the first were changed: makes both checksums right and reads the headers again. A UDP checksum of
 * zero stays. */
void lab_packet_seal(struct lab_packet *packet);
bool lab_packet_has_dont_fragment(const struct lab_packet *packet); /* always true for IPv6 */

/* The header and transport checksums as they stand; unknown protocols and fragments pass. */
bool lab_packet_is_intact(const struct lab_packet *packet);

/* ICMP that must not be answered with an error (RFC 1122 3.2.2, RFC 4443 2.4). */
bool lab_packet_is_icmp_error(const struct lab_packet *packet);
bool lab_packet_is_echo_request(const struct lab_packet *packet);
bool lab_packet_is_rule_protocol(const struct lab_packet *packet, enum lab_protocol protocol);
uint16_t lab_packet_port(const struct lab_packet *packet, bool is_destination); /* 0 when it has none */

/* Each makes a whole packet in `ret` (bytes, and all that lab_packet_parse sets). */
struct lab_icmp_error {
    enum lab_verdict verdict;
    uint32_t mtu;                /* LAB_TOO_BIG */
    uint32_t labels[LAB_LABELS]; /* whole label stack entries, top first */
    uint32_t label_count;        /* 0 = no extension */
    bool is_length_zero;
    uint16_t quote_bytes; /* 0 = as much as allowed */
};
void lab_packet_make_error(struct lab_packet *ret, const struct lab_packet *quoted, const struct lab_icmp_error *error,
                           const struct lab_addr *from, uint8_t ttl);
void lab_packet_make_echo_reply(struct lab_packet *ret, const struct lab_packet *request, uint8_t ttl);
void lab_packet_make_udp_echo(struct lab_packet *ret, const struct lab_packet *request, uint8_t ttl);

struct lab_tcp_header {
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags; /* LAB_TCP_xxx */
    uint8_t options[40];
    uint8_t options_size; /* a multiple of 4 */
};
#define LAB_TCP_FIN 0x01u
#define LAB_TCP_SYN 0x02u
#define LAB_TCP_RST 0x04u
#define LAB_TCP_PSH 0x08u
#define LAB_TCP_ACK 0x10u

/* Who sends a segment to whom. */
struct lab_tcp_ends {
    struct lab_addr src, dst;
    uint16_t src_port, dst_port;
};
void lab_packet_make_tcp(struct lab_packet *ret, const struct lab_tcp_ends *ends, const struct lab_tcp_header *header,
                         uint8_t ttl);
struct lab_tcp_ends lab_packet_turned(const struct lab_packet *request); /* the ends of its answer */

/* An echo request with nothing in it. */
void lab_packet_make_probe(struct lab_packet *ret, const struct lab_addr *from, const struct lab_addr *to);

/* The same, or a segment or datagram from port 0 to `port`, or of another protocol nothing but the header. */
void lab_packet_make_any(struct lab_packet *ret, const struct lab_addr *from, const struct lab_addr *to,
                         uint8_t protocol, uint16_t port);

/* The one's complement sum of RFC 1071, folded and complemented, ready to be stored. */
uint16_t lab_checksum(const void *bytes, size_t size, uint32_t sum);

#endif
