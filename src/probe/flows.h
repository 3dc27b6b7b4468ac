/*
 * The flows of an engine and the ways to find the one that an answer belongs to: by its key, by its ports, by its IPv4
 * identification (match.h). Not for users of libprobe.
 */
#ifndef OCULI_PROBE_FLOWS_H
#define OCULI_PROBE_FLOWS_H

#include "base/map.h"
#include "probe/round.h"

struct rng;

struct flows {
    struct map by_key;
    struct map by_port;   /* TCP and UDP */
    struct map by_id;     /* IPv4 */
    uint32_t next_key;
    uint32_t next_turn;   /* of what a seed leaves free of a key */
    uint32_t tcp_base;    /* added to all sequence numbers */
    const struct probe_io *io;
    struct rng *rng;
};

/* Both outlive it. */
void flows_init(struct flows *flows, const struct probe_io *io, struct rng *rng);
void flows_done(struct flows *flows);

/* Gives the flow a key, a local port and an identification, by which it can be found from now on; see flow_open. */
int flows_add(struct flows *flows, struct probe_flow *flow, uint64_t seed, struct error *err);
void flows_remove(struct flows *flows, struct probe_flow *flow);

/* The port of the offset-th probe leads to the flow, unless another flow to the same target has it. */
void flows_list_port(struct flows *flows, struct probe_flow *flow, uint32_t offset);

/* The flow an answer belongs to, or NULL; sets offset, quality and rewritten. */
struct probe_flow *flows_find(const struct flows *flows, const struct match_reply *reply, struct probe_answer *answer);

#endif
