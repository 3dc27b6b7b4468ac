/* The inside of the truth, shared by what collects it (truth.c) and what writes it (truth_json.c, truth_text.c). */
#ifndef OCULI_LAB_TRUTH_CORE_H
#define OCULI_LAB_TRUTH_CORE_H

#include "lab/core.h"
#include "lab/truth.h"

#define LAB_TRUTH_TARGETS 16384u /* these are ceilings; a net that remembers few probes or streams has fewer */
#define LAB_TRUTH_FLOWS 131072u
#define LAB_TRUTH_SESSIONS 65536u /* a power of two */
#define LAB_TRUTH_PATHS 65536u
#define LAB_TRUTH_PATH_HOPS 16u /* of a path, on the average */
#define LAB_TRUTH_TARGET_PATHS 64u
#define LAB_WHERE_NODE 0x80000000u /* lab_probe.where: a node, not a port */

enum lab_fate {
    LAB_FATE_PENDING, /* still on its way, or its answer is */
    LAB_FATE_ARRIVED, /* at its destination; the answer is on its way */
    LAB_FATE_ANSWERED,
    LAB_FATE_ERROR, /* answered by an ICMP error */
    LAB_FATE_LOST_FORWARD,
    LAB_FATE_LOST_RETURN,
    LAB_FATE_UNANSWERED, /* nobody answered: silent, rate limited, or no answer was due */
    LAB_FATE_COUNT
};

struct lab_probe {
    int64_t sent_ns, rtt_ns; /* rtt: -1 = no answer came back */
    uint32_t stream, path, where;
    uint32_t also; /* an earlier probe that the answer to this one answers too, or LAB_NONE */
    uint32_t number; /* within the stream */
    uint16_t seq, answers;
    uint8_t fate, reason;
};

struct lab_stream {
    struct lab_addr address;
    uint32_t vantage, target;
    enum lab_kind kind;
    uint16_t id;
    uint8_t ttl;
    uint64_t sent, arrived, answers_made, errors_made, received, errors, duplicates, reordered, lost_forward,
        lost_return, suppressed, again;
    int64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns, error_rtt_sum_ns;
    uint32_t next_number; /* one more than the highest probe whose answer came */
    uint32_t forward_reasons[LAB_REASON_COUNT], return_reasons[LAB_REASON_COUNT];
};

struct lab_target {
    struct lab_addr address;
    uint32_t vantage, topology;
    uint16_t port;
    uint8_t protocol;
    bool is_cut; /* there are more ways than were enumerated */
    uint32_t path_count;
    uint32_t paths[LAB_TRUTH_TARGET_PATHS];
};

/* first, second: the first two 16-bit words of the transport header (ports; or ICMP type and code, and checksum). */
struct lab_flow {
    uint32_t target, flow, topology, path;
    uint16_t first, second, seen_port;
    struct lab_addr seen; /* the source as the destination sees it, when a NAT changed it; else unset */
};

/* What a vantage has sent in order in a TCP connection. A later connection may take its place. */
struct lab_session {
    uint32_t target, flow, next;
    bool is_used;
};

struct lab_truth_path {
    uint32_t first, count; /* of truth->hops */
    bool is_v4;
    enum lab_verdict end;
};

struct lab_index { /* open addressing; 1 + number, 0 = free */
    uint32_t *slots;
    uint32_t room;
};

typedef bool lab_index_same_fn(const void *user, uint32_t i);
uint32_t lab_index_find(const struct lab_index *index, uint64_t hash, lab_index_same_fn *same, const void *user,
                        uint32_t *ret_slot);

struct lab_truth {
    struct lab_net *net;
    struct lab_probe *probes;
    struct lab_stream *streams;
    struct lab_target *targets;
    struct lab_flow *flows;
    struct lab_session *sessions; /* NULL until the first segment */
    struct lab_truth_path *paths;
    struct lab_hop *hops;
    uint32_t probe_count, stream_count, target_count, flow_count, path_count, hop_count;
    uint32_t probe_room, stream_room, target_room, flow_room, path_room, hop_room;
    struct lab_index stream_index, target_index, flow_index, path_index;
    uint64_t refused_probes, refused_streams, refused_flows, refused_paths;
};

/* Enumerates ways one by one: begin with zeroed choices and is_first; false when there are no more. */
bool lab_truth_next_way(struct lab_net *net, const struct lab_packet *packet, struct lab_choices *choices,
                        bool is_first, struct lab_path *ret_way, enum lab_verdict *ret_end);

/* All interfaces that ways of this packet (or of a target's packets) can lead to, as the links are now. */
#define LAB_FAN_FACES 1024u
#define LAB_FAN_EDGES 4096u
struct lab_face {
    struct lab_addr address;
    uint16_t node;
    uint8_t ttl;
};
struct lab_edge {
    uint16_t from, to; /* faces; `to` may follow `from` */
};
struct lab_fan {
    struct lab_face faces[LAB_FAN_FACES]; /* in the order of their distance */
    struct lab_edge edges[LAB_FAN_EDGES];
    uint32_t face_count, edge_count;
    bool is_cut; /* there are more */
};
void lab_truth_fan(struct lab_net *net, const struct lab_packet *packet, struct lab_fan *ret);
void lab_truth_target_fan(const struct lab_truth *truth, uint32_t target, struct lab_fan *ret);

/* What the links of a way allow, from its first hop on. */
struct lab_way_facts {
    uint16_t mtu;
    int64_t delay_ns;                     /* of an empty way, without jitter and the time packets take to be sent */
    uint64_t capacity_bps, available_bps; /* capacity 0 = no link has a rate */
};
struct lab_way_facts lab_truth_facts(const struct lab_scenario *s, const struct lab_hop *hops, uint32_t count);

/* "reached", "ttl-exceeded" (a loop), "prohibited" and so on. */
const char *lab_truth_end_name(enum lab_verdict end);

#endif
