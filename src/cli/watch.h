/*
 * A path watched over many rounds of traces with the same flows: who answers at which distance, how fast, how often.
 *
 * Every flow keeps its path, so a probe without an answer is counted against the host that answers that flow at that
 * distance. Loss is judged as a network engineer would: routers answer probes at their leisure, so what a router leaves
 * unanswered is loss of the network only as far as what lies behind it, on the same flows, is not answered more often.
 * Where it is, significantly, the router is said to limit its replies and is given the loss of those behind it. A hop
 * that never answers says nothing.
 */
#ifndef OCULI_CLI_WATCH_H
#define OCULI_CLI_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limit.h"
#include "cli/tally.h"
#include "probe/trace.h"

#define WATCH_HOSTS 32u /* at one distance; more are not told apart from silence */

/* One address at one distance. */
struct watch_host {
    union sock_addr addr;
    uint32_t flows;          /* bits: flow 0 is bit 1; those it answered last */
    uint64_t sent, received; /* probes of those flows while it answered them; answers */
    struct tally tally;
    uint8_t icmp_type, icmp_code;
    const char *mpls; /* NULL = no labels */
    const char *tunnel; /* the MPLS tunnel it is in or that ends there, in words; NULL = none */
    bool has_looked;    /* a closer look has told that */
    bool is_target;
    /* watch_judge: */
    double unanswered, loss; /* shares, 0..1; NaN = nothing sent */
    bool is_limited;         /* replies limited: loss is less than unanswered */
};

/* One flow at one distance. */
struct watch_cell {
    struct watch_host *host; /* who answered last; NULL = nobody yet */
    uint64_t sent, received;
};

struct watch_hop {
    struct watch_host *hosts[WATCH_HOSTS];
    uint32_t count;
    uint32_t silent_flows; /* bits: those that nobody has answered here */
    uint64_t silent_sent;
};

struct watch_flow {
    struct watch_cell cells[LIMIT_HOPS]; /* by TTL - 1 */
    uint8_t target_at;  /* distance of the target; 0 = it has not answered */
    uint8_t last_at;    /* highest distance at which anybody answered */
    uint8_t farther;    /* rounds in a row in which the target was farther away */
};

struct watch {
    uint32_t flow_count;
    uint64_t rounds;
    uint64_t overloaded;  /* probes left out because this host dropped packets */
    uint32_t length;      /* distances worth showing */
    struct watch_flow flows[LIMIT_PATH_TRACES];
    struct watch_hop hops[LIMIT_HOPS];
    struct arena arena;
};

struct watch *watch_new(uint32_t flow_count);
void watch_free(struct watch *watch); /* NULL is fine */

/* A round of traces, each hop of which was tried once. */
void watch_add(struct watch *watch, const struct probe_trace_result *result);

/* What is known of the tunnel that a host at this distance is in. What a closer look has told is changed by another only. */
void watch_note_tunnel(struct watch *watch, uint32_t ttl, const union sock_addr *addr, const char *tunnel, bool has_looked);

/* Addresses at the distances worth showing. */
uint32_t watch_hosts(const struct watch *watch);

/* Sets what is judged in every host, and the silent part of every hop. */
void watch_judge(struct watch *watch);

/* Whether every flow has found the target. */
bool watch_is_reached(const struct watch *watch);

/* How far the round of this number (from 0) should look: once every flow has found the target nothing is sent beyond it.
 * The gap limit of the settings is that of somebody who looks all around. */
void watch_aim(const struct watch *watch, uint64_t round, struct probe_trace_settings *settings);

#endif
