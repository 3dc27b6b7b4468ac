/*
 * What a scenario describes, as data: nodes, links, routes, tunnels, faults. The reader (scenario.c) fills it, the net
 * (net.c) only reads it. Everything lives in the scenario's arena; indexes stand for pointers so that the net can keep
 * its changing state in arrays beside it.
 *
 * A port is one direction of a link: port 2*l leads from link l's node[0] to node[1], port 2*l+1 back.
 */
#ifndef OCULI_LAB_MODEL_H
#define OCULI_LAB_MODEL_H

#include "base/arena.h"
#include "base/error.h"
#include "lab/addr.h"
#include "lab/schedule.h"

#define LAB_MAX_NODES 2048u
#define LAB_MAX_LINKS 8192u
#define LAB_MAX_FAULTS 1024u
#define LAB_MAX_PREFIXES 4096u
#define LAB_MAX_TUNNELS 1024u
#define LAB_MAX_NATS 64u
#define LAB_MAX_TUNNEL_HOPS 16u
#define LAB_MAX_VIA 16u
#define LAB_MAX_VANTAGES 256u
#define LAB_MAX_ADDRESSES 65536u
#define LAB_MAX_INCLUDES 16u
#define LAB_SCENARIO_BYTES (4u << 20) /* one scenario file */
#define LAB_SCENARIO_ARENA (64u << 20)
#define LAB_NONE UINT32_MAX

enum lab_node_kind { LAB_ROUTER, LAB_HOST, LAB_VANTAGE, LAB_BLOCK };
enum lab_ecmp { LAB_ECMP_FLOW, LAB_ECMP_PACKET, LAB_ECMP_DESTINATION };

/* What is done to a packet that is not simply passed on. */
enum lab_verdict {
    LAB_PASS,
    LAB_DROP,
    LAB_TTL_EXCEEDED,
    LAB_NET_UNREACHABLE,
    LAB_HOST_UNREACHABLE,
    LAB_PORT_UNREACHABLE,
    LAB_PROHIBITED,
    LAB_TOO_BIG,
    LAB_RESET, /* a TCP RST in the destination's name; other protocols are dropped */
    LAB_PROXIED, /* somebody on the way answers in the destination's name */
};

enum lab_protocol { LAB_ANY, LAB_ICMP, LAB_ICMP_ECHO, LAB_ICMP_TTL, LAB_ICMP_UNREACHABLE, LAB_TCP, LAB_UDP };

struct lab_rule {
    struct lab_rule *next;
    enum lab_verdict verdict; /* LAB_PASS = allow, and no later rule is asked */
    enum lab_protocol protocol;
    uint16_t port_low, port_high; /* destination port; 0..65535 = any */
    struct lab_prefix from, to;   /* bits 0 = any */
    bool has_from, has_to;
};

/* A forwarding decision at one node that overrides the shortest path. */
struct lab_route {
    struct lab_route *next;
    struct lab_prefix to;
    enum lab_verdict verdict;   /* LAB_PASS = by one of the ports */
    uint32_t ports[LAB_MAX_VIA]; /* outgoing */
    uint32_t port_count;
};

enum lab_port_state { LAB_PORT_CLOSED, LAB_PORT_OPEN, LAB_PORT_SILENT, LAB_PORT_REJECTED };
enum lab_sack { LAB_SACK_PERMITTED, LAB_SACK_NOT_PERMITTED, LAB_SACK_NEVER_SENT };
enum lab_timestamps { LAB_TIMESTAMPS_OFF, LAB_TIMESTAMPS_ON, LAB_TIMESTAMPS_LAX }; /* lax: not insisted on */
enum lab_compression { LAB_COMPRESSION_OFF, LAB_COMPRESSION_ON, LAB_COMPRESSION_WARM }; /* warm: the RTT is known */

struct lab_ports {
    struct lab_ports *next;
    uint16_t low, high;
    enum lab_port_state state;
};

/* How a host (or a router, for its own addresses) answers. */
struct lab_service {
    struct lab_ports *tcp; /* first match counts */
    struct lab_ports *udp; /* open = echo */
    enum lab_port_state tcp_default, udp_default;
    enum lab_sack sack;
    enum lab_timestamps timestamps;
    enum lab_compression compression;
    uint32_t backlog; /* half-open connections at once; 0 = no limit */
    uint32_t syn_ack_retries;
    uint16_t mss; /* 0 = from the family, for an MTU of 1500 */
    bool is_echo_off;
    double echo_loss; /* share of echo requests not answered */
    int64_t think_ns; /* between a packet and its answer */
};

/* What a router does to packets that pass, beyond forwarding them. */
enum lab_sequence { LAB_SEQUENCE_KEPT, LAB_SEQUENCE_RANDOM, LAB_SEQUENCE_RANDOM_NO_SACK };
enum lab_ip_id { LAB_IP_ID_KEPT, LAB_IP_ID_ZERO, LAB_IP_ID_COUNT, LAB_IP_ID_RANDOM };
#define LAB_STRIP_SACK_PERMITTED 1u
#define LAB_STRIP_SACK 2u
#define LAB_STRIP_TIMESTAMPS 4u

struct lab_proxy { /* answers TCP in the destination's name */
    struct lab_proxy *next;
    uint16_t port_low, port_high;
    struct lab_prefix to; /* bits 0 = any */
    bool has_to;
    int64_t delay_ns; /* before the SYN+ACK */
    bool is_handing_over; /* once the handshake is done, the connection goes on with the destination itself */
};

struct lab_box {
    bool is_used; /* anything below is set */
    enum lab_sequence sequence;
    bool is_quote_restored; /* sequence numbers that ICMP errors quote are translated back */
    bool is_dropping_syn_change;
    uint32_t drop_every; /* of the data segments of a connection that are out of order; 0 = none */
    uint8_t strip;       /* LAB_STRIP_xxx */
    uint16_t mss_clamp;  /* 0 = no */
    int ecn;             /* -1 = kept */
    enum lab_ip_id ip_id;
    bool is_mtu_silent;    /* says nothing when a packet is too big */
    bool has_told_mtu;     /* says told_mtu instead of the MTU */
    uint16_t told_mtu;
    uint32_t nat; /* first one here, or LAB_NONE */
    struct lab_proxy *proxies;
};

/* Rewrites IPv4 source addresses and ports of the inside, and what comes back. */
enum lab_nat_quotes { LAB_QUOTES_FULL, LAB_QUOTES_ADDRESS, LAB_QUOTES_NONE };
struct lab_nat {
    struct lab_prefix inside;
    struct lab_addr outside;
    uint32_t node, next; /* the next of the same node */
    bool is_keeping_ports;
    bool is_quoted_checksum_kept;
    enum lab_nat_quotes quotes;
    int64_t idle_ns; /* after which a mapping may be given to somebody else */
};

struct lab_node {
    const char *name;
    enum lab_node_kind kind;
    struct lab_addr v4, v6;    /* own address of each family; always set */
    struct lab_prefix prefix4; /* vantage: with the length its device gets; block: what it answers for */
    struct lab_prefix prefix6;
    uint8_t ttl;  /* of what it sends itself */
    uint8_t echo_ttl;         /* of its echo replies; 0 = the same */
    bool is_label_shy;        /* its errors quote no labels (no RFC 4950), whatever the tunnel */
    bool is_silent;           /* never answers anything */
    bool is_ttl_silent;       /* sends no time exceeded */
    bool is_unreachable_silent;
    bool is_down;             /* a host that is switched off: its router says host unreachable */
    bool is_transparent;      /* forwards without decrementing the TTL */
    bool is_ttl_strict;       /* a host that says time exceeded of what reaches it with a TTL of 1 */
    uint8_t ttl_rewrite;      /* 0 = no; what it sets the TTL to when forwarding */
    int dscp_rewrite;         /* -1 = no */
    double rate_per_s;        /* ICMP errors; 0 = no limit */
    uint32_t rate_burst;
    uint16_t quote_bytes;     /* how much of a packet its errors quote; 0 = as much as RFC 1812 and 4443 allow */
    bool is_length_zero;      /* RFC 4950 extensions without the RFC 4884 length, as old routers send them */
    enum lab_ecmp ecmp;
    struct lab_addr icmp_from4, icmp_from6; /* source of its errors, if set */
    struct lab_rule *rules;
    struct lab_route *routes;
    struct lab_service service;
    struct lab_effect *effects;
    struct lab_box box;
    uint32_t as_number;
    const char *as_name, *rdns, *place, *country; /* or NULL */
    double latitude, longitude;
    bool has_position;
    uint32_t *ports; /* outgoing ports, in the order of the scenario */
    uint32_t port_count;
    uint32_t tunnel; /* first tunnel that begins here, or LAB_NONE */
};

/* One direction of a link. */
struct lab_side {
    int64_t delay_ns, jitter_ns;
    double loss, duplicate, reorder, corrupt; /* shares */
    int64_t reorder_ns;                       /* how long a reordered packet is held back */
    uint32_t metric;
    uint16_t mtu;
    uint64_t rate_bps; /* 0 = unlimited */
    int64_t queue_ns;  /* longest wait before a packet is dropped */
    uint64_t cross_bps; /* of other people's packets; 0 = none */
    uint16_t cross_bytes;
    bool is_cross_poisson; /* else evenly spaced */
};

struct lab_link {
    const char *name; /* or NULL */
    uint32_t node[2];
    struct lab_addr v4[2], v6[2]; /* interface addresses; unset = the node's own */
    struct lab_side side[2];
    struct lab_effect *effects;
};

/* A prefix that lies at a node: a block of hosts, or a network in which nobody answers. */
struct lab_network {
    struct lab_prefix prefix;
    uint32_t node;
    enum lab_verdict verdict; /* LAB_PASS = hosts */
};

enum lab_tunnel_kind { LAB_TUNNEL_EXPLICIT, LAB_TUNNEL_IMPLICIT, LAB_TUNNEL_OPAQUE, LAB_TUNNEL_INVISIBLE };

struct lab_tunnel {
    enum lab_tunnel_kind kind;
    uint32_t hops; /* nodes after the ingress */
    uint32_t ports[LAB_MAX_TUNNEL_HOPS];
    uint32_t labels[LAB_MAX_TUNNEL_HOPS]; /* that node i+1 receives */
    uint32_t bottom;                      /* a second label below, or LAB_NONE */
    uint8_t traffic_class;
    bool is_uhp;   /* the last node receives a label too (no penultimate hop popping) */
    bool is_uturn; /* errors of inner nodes travel to the end of the tunnel first */
    bool is_lesser_ttl; /* where the label is popped the lesser of both TTLs stays, though it was not copied in */
    bool has_to;
    struct lab_prefix to; /* only packets to here */
    uint32_t next;        /* tunnel with the same ingress */
};

struct lab_name {
    struct lab_addr addr;
    uint32_t node;
    uint32_t port; /* the port that arrives at this interface, or LAB_NONE for the node's own address */
};

struct lab_scenario {
    struct arena arena;
    const char *title; /* file name */
    uint64_t seed;
    struct lab_node *nodes;
    struct lab_link *links;
    struct lab_fault *faults;
    struct lab_network *networks; /* longest prefix first */
    struct lab_tunnel *tunnels;
    struct lab_nat *nats;
    struct lab_name *names;       /* every address anybody answers to */
    uint32_t node_count, link_count, fault_count, network_count, tunnel_count, nat_count, name_count;
    uint32_t vantages[LAB_MAX_VANTAGES]; /* their nodes */
    uint32_t vantage_count;
    uint32_t *name_index; /* open addressing by address: index into names, or LAB_NONE */
    uint32_t name_room;   /* power of two */
};

static inline uint32_t lab_port_from(const struct lab_scenario *s, uint32_t port)
{
    return s->links[port / 2].node[port & 1];
}

static inline uint32_t lab_port_to(const struct lab_scenario *s, uint32_t port)
{
    return s->links[port / 2].node[(port & 1) ^ 1];
}

static inline const struct lab_side *lab_port_side(const struct lab_scenario *s, uint32_t port)
{
    return &s->links[port / 2].side[port & 1];
}

/* Making one. The scenario starts empty; each add returns the new object, or NULL when its ceiling is reached. */
struct lab_scenario *lab_model_new(void);
struct lab_node *lab_model_add_node(struct lab_scenario *s, const char *name, enum lab_node_kind kind);
struct lab_link *lab_model_add_link(struct lab_scenario *s, uint32_t a, uint32_t b);
struct lab_fault *lab_model_add_fault(struct lab_scenario *s);
struct lab_network *lab_model_add_network(struct lab_scenario *s);
struct lab_tunnel *lab_model_add_tunnel(struct lab_scenario *s);
struct lab_nat *lab_model_add_nat(struct lab_scenario *s);
uint32_t lab_model_find(const struct lab_scenario *s, const char *name); /* node, or LAB_NONE */

/* Gives every node without one an address, collects ports and names, and refuses what contradicts itself. */
int lab_model_finish(struct lab_scenario *s, struct error *err);

/* Who answers to an address: NULL when nobody is named by it. lab_model_network is for prefixes. */
const struct lab_name *lab_model_owner(const struct lab_scenario *s, const struct lab_addr *addr);
const struct lab_network *lab_model_network(const struct lab_scenario *s, const struct lab_addr *addr);

/* The address of the interface at which a packet arrives through port. */
const struct lab_addr *lab_model_interface(const struct lab_scenario *s, uint32_t node, uint32_t port, bool is_v4);

#endif
