/*
 * What is known of the load-balanced paths to a target, and what has to be asked next: the multipath detection
 * algorithm as pure data, without packets or clocks (exhaustive.c sends and receives).
 *
 * Flows are probed at TTLs; a cell is one flow at one TTL. Interfaces that answered are vertices. A link is what one
 * flow showed at two TTLs in a row, never anything else. For each vertex, the flows known to pass it are probed at the
 * next TTL until the stopping point for the number of next hops seen (stopping.h). The levels of all tests together
 * keep the chance of a failure anywhere below 1 - confidence.
 *
 * Economy. Routers of one TTL that each showed several next hops and share some are taken for one stage of a fabric in
 * which each leads to all of them, and are tested together: n(k) flows for the stage instead of n(k) for each router,
 * more where they are only two or three. The flows seen must agree with that: evenly spread over the next hops, none
 * missing at one router that the others have, and all links together as many as a full stage shows to so many flows.
 * Where they do not each router is tested by itself; when that happens twice, or beyond doubt, the net is irregular,
 * and all of it is tested so, as when is_strict is set (the fall-back to the full algorithm of Vermeulen et al.,
 * "Multilevel MDA-Lite Paris Traceroute", 2018). Likewise the routers that lead to the target itself are tested
 * together.
 *
 * What nobody answers at is a silent vertex behind the one before it. Where one flow shows several addresses at one TTL
 * a router before balances by packet; flows have no place there, and the TTL is tested as a whole (a pool), as often as
 * the router of it that is met least often needs. multipath_steady.c tells what is proven of links nonetheless.
 *
 * Everything lives in the caller's arena; what does not fit any more sets is_cut.
 */
#ifndef OCULI_PROBE_MULTIPATH_H
#define OCULI_PROBE_MULTIPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limit.h"
#include "base/sock.h"
#include "probe/stopping.h"

#define MULTIPATH_NONE UINT16_MAX
#define MULTIPATH_SOURCE 0u /* the vertex at TTL 0 */
#define MULTIPATH_SCOUTS 2u /* flows that look beyond silence */

enum multipath_kind { MULTIPATH_REAL, MULTIPATH_SILENT, MULTIPATH_POOL };

struct multipath_cell {
    uint16_t vertex;             /* that answered; MULTIPATH_NONE = nobody yet */
    uint16_t position;           /* where the flow is at this TTL; MULTIPATH_NONE = unknown */
    uint8_t sent, received, out; /* out: awaiting an answer */
    bool is_silent;              /* every attempt was given up */
    bool is_mixed;               /* several addresses answered */
};

struct multipath_flow {
    struct multipath_cell *cells; /* by TTL, 0..max_ttl */
    uint8_t end_ttl;              /* where its path ends; 0 = not seen yet */
};

struct multipath_vertex {
    union sock_addr addr; /* unset unless REAL */
    enum multipath_kind kind;
    uint8_t ttl;
    bool is_end;  /* nothing comes after it: the target, a refusal */
    bool is_loop; /* here a loop closes */
    bool is_target;
    uint8_t gap;     /* SILENT: this many in a row */
    uint16_t next;   /* vertex of the same TTL */
    uint16_t silent; /* the silent vertex behind it */
    /* Of the last analysis: */
    bool is_silent_next; /* flows without an answer at the next TTL are at the silent vertex behind */
    uint16_t group, mark;
    bool is_branching;                        /* its group has several next hops */
    float doubt, stage_doubt, chance, choice; /* of multipath_steady.c */
    uint32_t flows;                           /* that pass it */
    uint32_t first_link;                      /* 1 + number, to the next TTL */
    uint32_t through;                         /* flows through it that were answered at the next TTL */
    uint32_t successors;                      /* next hops seen */
    uint32_t unanswered, waiting;             /* flows through it: silent at the next TTL, still out there */
    uint32_t attempts, lost;                  /* of cells answered at the next TTL */
    uint32_t need; /* of a group, at its first vertex: answers missing that are not under way either */
};

struct multipath_link {
    uint16_t from, to;
    uint32_t flows;  /* that took it, some of them as far as one may conclude */
    uint32_t seen;   /* that showed both ends */
    uint32_t proven; /* of these: no router by packet can have made them differ; of multipath_judge_steadiness */
    uint32_t next;   /* 1 + number, of the same `from` */
};

struct multipath_hop {
    uint16_t first;      /* vertex */
    uint32_t first_link; /* links that arrive here: from this one, link_count of them */
    uint32_t link_count;
    uint32_t width;             /* real vertices that flows pass */
    uint32_t answered, waiting; /* flows: answered or silent; still out there */
    uint32_t missing;           /* the sum of what its groups need */
    uint16_t pool;              /* vertex, once is_unstable */
    bool is_unstable;           /* one flow saw several addresses here */
    bool is_steady;             /* every choice that leads here was found to be made by flow */
    bool is_harmless;           /* of multipath_steady.c, as the next three */
    bool is_full, is_clear, has_silence;
    bool is_split;      /* the routers before it were found not to be one stage */
    bool is_complete;   /* every group before it reached its stopping point */
    bool has_stage;     /* some of the routers before it are tested together */
    bool is_stage_open; /* and they have not got what they need */
    bool is_single;     /* there is one vertex, as far as one knows */
    bool is_known;      /* some group before it is there at all */
};

struct multipath {
    struct arena *arena;
    double confidence;
    bool is_strict;
    bool has_mixed;    /* some cell is */
    bool is_irregular; /* what was taken for stages was none: as if is_strict were set */
    uint32_t splits;   /* TTLs that are split */
    bool is_cut;
    uint8_t max_ttl, attempts, gap_limit;
    uint8_t high; /* highest TTL probed */
    uint8_t last; /* highest TTL answered by a vertex flows pass */
    struct multipath_flow *flows;
    struct multipath_vertex *vertices;
    struct multipath_link *links;
    struct multipath_hop *hops; /* 0..max_ttl */
    float *reach;               /* of multipath_plan.c */
    uint32_t flow_count, flow_room, vertex_count, vertex_room, link_count, link_room, reach_room, max_flows;
    uint32_t branching;              /* groups with several next hops */
    struct stopping single, several; /* levels of groups with one next hop, and with more */
};

/* Zeroed; arena, confidence, is_strict, max_ttl, attempts, gap_limit and max_flows set. False: no memory. */
bool multipath_init(struct multipath *mp);

/* The number of a new flow; MULTIPATH_NONE at the ceiling. */
uint16_t multipath_add_flow(struct multipath *mp);

static inline struct multipath_cell *multipath_cell_at(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    return &mp->flows[flow].cells[ttl];
}

/* Somebody answered a flow at a TTL. is_end: nothing comes after that. Returns the vertex, MULTIPATH_NONE at the
 * ceiling. */
uint16_t multipath_answer(struct multipath *mp, uint32_t flow, uint32_t ttl, const union sock_addr *addr, bool is_end,
                          bool is_target);

/* Works out positions, links, groups and what they need, from the cells. */
void multipath_analyse(struct multipath *mp);

/* Whether every group reached its stopping point. */
bool multipath_is_complete(const struct multipath *mp);

/* Sends a probe of a flow at a TTL, counting it in the cell: false = not now. */
typedef bool multipath_send_fn(void *user, uint16_t flow, uint8_t ttl);

/* After multipath_analyse: sends what is missing most surely and cheaply. Flows beyond flow_count are made by
 * multipath_send_fn, which is given flow_count then. Returns how many probes were sent. */
uint32_t multipath_plan(struct multipath *mp, multipath_send_fn *send, void *user);

/* When all is found: asks flows again where that tells whether a router balances by packet. Returns how many;
 * *ret_is_waiting: such answers are under way. */
uint32_t multipath_plan_tests(struct multipath *mp, multipath_send_fn *send, void *user, bool *ret_is_waiting);

/* Sets is_steady of all hops, and what is proven of the links. */
void multipath_judge_steadiness(struct multipath *mp);

/* Whether every packet of a flow comes through where it is at a TTL. After multipath_judge_steadiness. */
bool multipath_is_sure(const struct multipath *mp, uint32_t flow, uint32_t ttl);

#endif
