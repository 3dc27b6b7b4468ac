/*
 * A scenario of the simulated internet with probe engines at its vantage points, under simulated time, for checks that
 * compare what the engine says with what the net really did.
 */
#ifndef OCULI_TESTS_SIM_WORLD_H
#define OCULI_TESTS_SIM_WORLD_H

#include "base/arena.h"
#include "base/clock.h"
#include "lab/model.h"
#include "lab/scenario.h"
#include "lab/sim_io.h"
#include "lab/truth.h"
#include "lab/truth_core.h"
#include "probe/engine.h"
#include "probe/ping.h"
#include "probe/trace.h"

#define WORLD_WALL_NS (1790000000 * CLOCK_S)
#define WORLD_ENGINES 2u

struct world {
    struct lab_scenario *scenario;
    struct sim *sim;
    struct probe_io *ios[WORLD_ENGINES];
    struct probe_engine *engines[WORLD_ENGINES];
    struct arena arena;
    struct probe_ping_settings ping; /* of world_ping; the target is set by it */
    struct probe_trace_settings trace;
    uint16_t port; /* of the target, when they are not of ICMP */
    bool is_done;
    const struct probe_ping_result *ping_result;
    const struct probe_trace_result *trace_result;
};

/* host may be NULL: a right clock and a large buffer. One engine at each of the first two vantage points. */
void world_open(struct world *world, const char *scenario, const struct sim_host *host);
void world_close(struct world *world);

/* The same with room for a few rounds only: for checks that open hundreds. */
void world_open_small(struct world *world, const char *scenario);

/* One round from the first vantage point, to its end. The result is good until world_close. */
const struct probe_ping_result *world_ping(struct world *world, const char *to);
const struct probe_trace_result *world_trace(struct world *world, const char *to);

/* For traces started by hand: user is where to put the result. */
void world_keep_trace(void *user, const struct probe_trace_result *result);

/* What really happened to the echo requests from the first vantage point to `to`, or to other packets. ttl 0 = any. */
struct lab_truth_sum world_truth(struct world *world, const char *to, unsigned ttl);
struct lab_truth_sum world_truth_of(struct world *world, const char *to, enum lab_kind kind, unsigned ttl);

/* Fails the check unless sent, received, lost, duplicates, reordered and the round trip times of the last world_ping are
 * what really was. */
void world_assert_ping_is_true(struct world *world, const char *to);

/* "198.51.100.1 * 198.18.10.10"; a static buffer. */
const char *world_path(const struct probe_trace_flow *flow);

/* Whether the hops of the flow (silent ones stand for any) are one of the ways that exist from the first vantage point
 * to the address. */
bool world_is_true_path(struct world *world, const struct probe_trace_flow *flow, const char *to);

/* All interfaces that any flow of the protocol (to the port, for TCP) from the first vantage point to the address can
 * meet, and which can follow which. Kept until the next call. */
const struct lab_fan *world_fan(struct world *world, const char *to, enum probe_protocol protocol, uint16_t port);

/* Whether `addr` answers at this TTL on some way. */
bool world_has_interface(const struct lab_fan *fan, unsigned ttl, const union sock_addr *addr);

/* The address that packets of one flow which was used from the first vantage point meet at this TTL: "" when the way is
 * shorter, NULL when there was no such flow. first, second: the ports, or for ICMP type * 256 + code, and the checksum.
 * A static buffer. */
const char *world_flow_address(struct world *world, const char *to, enum probe_protocol protocol, uint16_t first,
                               uint16_t second, unsigned ttl);

#endif
