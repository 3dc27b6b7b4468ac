/*
 * The inside of the net, shared by its parts and by nobody else: net.c (packets, events), route.c (shortest paths),
 * walk.c (forwarding), answer.c and tcp.c (what nodes say), truth.c (what is remembered).
 */
#ifndef OCULI_LAB_CORE_H
#define OCULI_LAB_CORE_H

#include "base/rng.h"
#include "base/slab.h"
#include "lab/model.h"
#include "lab/net.h"
#include "lab/packet.h"

#define LAB_STEPS 1024u   /* nodes one packet may visit: more than its TTL and any tunnel's hidden nodes allow */
#define LAB_CHOICES 24u   /* decisions of one way that are enumerated */

struct lab_port_state_now {
    struct rng rng;
    int64_t last_in_ns, last_out_ns; /* of the packet sent last: none overtakes it */
    int64_t busy_until_ns;           /* a link with a rate */
    int64_t cross_at_ns;             /* when the next of other people's packets comes; INT64_MIN = not begun */
    uint64_t cross_rest;             /* of its interval, in parts of a nanosecond */
    uint64_t cross_bps;              /* where a fault changes it: of those that come now, */
    int64_t cross_until_ns;          /* and until when that has been followed; 0 = not begun */
    uint64_t cross_carried, cross_dropped, cross_passed; /* passed: long gone, and not looked at one by one */
    struct rng cross_rng;
    uint64_t carried;
    uint64_t dropped[LAB_REASON_COUNT];
    bool is_down;
};

struct lab_node_now {
    struct rng rng;
    uint32_t salt;      /* so that routers in a row do not all balance alike */
    int64_t rate_at_ns; /* theoretical arrival time of the rate limit */
    uint64_t errors_sent, answers_sent;
    uint32_t half_open; /* TCP connections */
    uint64_t dropped[LAB_REASON_COUNT];
};

struct lab_tcp;
struct lab_boxes;

/* A packet in flight. The times stand here so that sorting touches no packet. */
struct lab_due {
    int64_t due_ns;
    uint64_t order; /* ties in due_ns are broken by age */
    struct lab_packet *packet;
};

struct lab_net {
    const struct lab_scenario *s;
    lab_output_fn *output;
    void *output_user;
    int64_t wall_offset_ns, start_wall_ns;
    bool has_started;
    int64_t now_ns; /* of the event that is happening */
    struct lab_packet **chunks, **free; /* packets, made as they are needed */
    uint32_t packet_most, packet_made, free_count;
    struct lab_due *heap; /* 0-based, by due_ns and order */
    uint32_t heap_count;
    uint64_t order;
    struct lab_port_state_now *ports;
    struct lab_node_now *nodes;

    /* Routing: distances to each destination, computed when first asked for in each state of the links. */
    uint32_t *distances; /* [destination][node] */
    uint32_t *distances_of; /* topology each row was computed for; 0 = never */
    uint32_t *queue;        /* of the search */
    uint32_t topology;      /* counts changes, from 1 */
    int64_t topology_until_ns; /* wall time of the next change */

    struct lab_tcp *tcp; /* NULL until the first segment arrives */
    struct lab_boxes *boxes;
    struct lab_truth *truth;
    struct lab_path way;         /* of the packet being forwarded */
    struct lab_packet *scratch;  /* of ways walked only to know them */
    uint64_t received, sent, copies, malformed, no_buffer;
};

static inline int64_t lab_net_wall(const struct lab_net *net, int64_t now_ns)
{
    return now_ns + net->wall_offset_ns;
}

/* --- net.c --- */

/* A buffer, or NULL (counted). The caller fills it and hands it to lab_walk or lab_net_schedule. */
struct lab_packet *lab_net_packet(struct lab_net *net);
void lab_net_put(struct lab_net *net, struct lab_packet *packet);
void lab_net_schedule(struct lab_net *net, struct lab_packet *packet, int64_t due_ns);

/* The packet ends here. `port` is where it was lost, or LAB_NONE for the node it is at. Frees it. */
void lab_net_drop(struct lab_net *net, struct lab_packet *packet, enum lab_reason reason, uint32_t port);

bool lab_net_is_fault_on(const struct lab_net *net, uint32_t fault, int64_t now_ns);

/* --- route.c --- */

void lab_route_init(struct lab_net *net);
void lab_route_done(struct lab_net *net);

/* Follows links that go down and come back. */
void lab_route_refresh(struct lab_net *net, int64_t now_ns);

/* Outgoing ports of node on shortest paths to the destination node; at most `room`, returns their number. */
uint32_t lab_route_next(struct lab_net *net, uint32_t node, uint32_t destination, uint32_t *ports, uint32_t room);

/* --- link.c --- */

/* The packet enters a link: the reason when it does not come out, else *now_ns becomes the time at which it does. */
enum lab_reason lab_link_cross(struct lab_net *net, struct lab_packet *packet, uint32_t port, int64_t *now_ns);

/* --- walk.c --- */

/* How ways are enumerated: which of `count` equal ports was taken at each decision. */
struct lab_choices {
    uint8_t taken[LAB_CHOICES], of[LAB_CHOICES];
    uint32_t count;
    bool is_cut; /* there were more decisions than room */
};

/* Forwards the packet from the node it is at, at now_ns, until it is lost (dropped), or arrives or must be answered
 * (an event is scheduled for that moment). */
void lab_walk(struct lab_net *net, struct lab_packet *packet, int64_t now_ns);

/* Walks without time, loss or side effects, always until the end, and writes down the way. choices may be NULL: then
 * as this flow would go. Returns what happens at the end: LAB_PASS when it arrives. */
enum lab_verdict lab_walk_way(struct lab_net *net, const struct lab_packet *packet, struct lab_choices *choices,
                              struct lab_path *ret_way);

/* One node of such a way, by one of the *ret_choices ways that go on from there: the packet (its depth included) is then
 * at the next node, or false when its way ends. ret_hops: what of the node a trace could see. */
bool lab_walk_one(struct lab_net *net, struct lab_packet *packet, uint32_t choice, uint32_t *ret_choices,
                  struct lab_path *ret_hops);

/* The label stack an error about this hop quotes; returns the number of entries. */
uint32_t lab_walk_labels(const struct lab_scenario *s, uint32_t tunnel, uint32_t hop, uint8_t ttl,
                         uint32_t entries[LAB_LABELS]);

/* --- answer.c --- */

/* The packet has arrived at a node it is addressed to. Frees it. */
void lab_answer_arrival(struct lab_net *net, struct lab_packet *packet, int64_t now_ns);

/* The node the packet is at must tell its sender that it goes no further. Frees it. */
void lab_answer_error(struct lab_net *net, struct lab_packet *packet, int64_t now_ns);

/* A TCP end has something to send by itself. */
void lab_answer_unasked(struct lab_net *net, int64_t now_ns);

/* Sends what was made in answer to `about` from the node `about` is at. */
void lab_answer_send(struct lab_net *net, struct lab_packet *answer, const struct lab_packet *about, int64_t now_ns);

/* --- tcp.c --- */

void lab_tcp_free(struct lab_tcp *tcp);

/* A TCP segment has arrived at a node. NOW: *ret is the answer. LATER: one comes by lab_tcp_timer, or with the answer to
 * a later segment; the truth knows. NONE: there is none, and *ret_reason says why. */
enum lab_tcp_answer { LAB_TCP_NONE, LAB_TCP_NOW, LAB_TCP_LATER };
enum lab_tcp_answer lab_tcp_segment(struct lab_net *net, const struct lab_service *service,
                                    const struct lab_packet *segment, int64_t now_ns, struct lab_tcp_header *ret,
                                    enum lab_reason *ret_reason);

/* What an end sends without a segment that draws it. */
struct lab_tcp_unasked {
    struct lab_tcp_ends ends;
    struct lab_tcp_header header;
    struct lab_mark mark;
    uint32_t node;
    uint8_t ttl;
    bool is_again; /* it was sent before */
};

/* When the next end has something to send; then lab_tcp_timer tells what: false when it was only something to forget. */
int64_t lab_tcp_next_ns(const struct lab_tcp *tcp);
bool lab_tcp_timer(struct lab_net *net, int64_t now_ns, struct lab_tcp_unasked *ret);

/* What was agreed in a handshake. */
struct lab_handshake {
    uint32_t client_isn, proxy_isn;
    uint16_t mss;
    bool has_sack;
};

/* Takes away the connection that this packet belongs to; false when it is not established. */
bool lab_tcp_take(struct lab_net *net, const struct lab_packet *packet, struct lab_handshake *ret);

/* The RST a firewall sends in the destination's name. */
void lab_tcp_reset_for(const struct lab_packet *segment, struct lab_tcp_header *ret);

/* --- box.c: middleboxes --- */

struct lab_boxes *lab_boxes_new(const struct lab_scenario *s, uint64_t seed);
void lab_boxes_free(struct lab_boxes *boxes);

/* A packet has come to a router: one that belongs to the inside of a NAT here is turned back into what it was. */
void lab_box_enter(struct lab_net *net, struct lab_packet *packet, int64_t now_ns);

/* The router answers TCP in the destination's name: by this, or NULL. */
const struct lab_proxy *lab_box_proxy(const struct lab_net *net, const struct lab_packet *packet);

/* The handshake with a proxy is done, `ack` being its last packet: the proxy opens the connection to the destination. */
void lab_box_hand_over(struct lab_net *net, const struct lab_packet *ack, const struct lab_handshake *handshake,
                       int64_t now_ns);

/* The router passes the packet on: rewrites it. False when it drops it instead. A dry packet leaves no trace but the
 * ports a NAT gives it. */
bool lab_box_pass(struct lab_net *net, struct lab_packet *packet, int64_t now_ns, bool is_dry);

uint32_t lab_box_mappings(const struct lab_boxes *boxes, uint32_t nat); /* it has now */

/* --- truth.c --- */

struct lab_truth *lab_truth_new(struct lab_net *net, uint32_t probes, uint32_t streams);
void lab_truth_free(struct lab_truth *truth);
void lab_truth_sent(struct lab_truth *truth, struct lab_packet *packet, int64_t now_ns);
void lab_truth_way(struct lab_truth *truth, const struct lab_packet *packet, const struct lab_path *way);
void lab_truth_arrived(struct lab_truth *truth, const struct lab_packet *packet);
void lab_truth_answered(struct lab_truth *truth, const struct lab_packet *answer);
void lab_truth_received(struct lab_truth *truth, const struct lab_packet *answer, int64_t now_ns);

/* The answer that tells of probe `newer` tells of `older` too. Either may be LAB_NONE. */
void lab_truth_also(struct lab_truth *truth, uint32_t newer, uint32_t older);
void lab_truth_dropped(struct lab_truth *truth, const struct lab_packet *packet, enum lab_reason reason,
                       uint32_t port);

#endif
