/*
 * Local problems: what is wrong at the agent itself, so that its figures say little about their targets.
 *
 *   no-route      no address leads out any more, although one did
 *   gateway       the default gateway does not answer on the link
 *   overload      the machine dropped packets of our own
 *   most-targets  four in five of its targets, and no fewer than three, were lost entirely for two rounds in succession
 *   clock         the wall clock was set
 *
 * A round is marked with every problem that was there between its start and its end. Only what it is told: no socket,
 * monotonic times are given.
 */
#ifndef OCULI_AGENT_HEALTH_H
#define OCULI_AGENT_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_TEXT_BYTES 64
#define HEALTH_HOLD_NS (5 * 1000000000LL) /* a problem is there for so long after it was last seen */
#define HEALTH_LEAST_TARGETS 3
#define HEALTH_SHARE 0.8 /* of the targets */
#define HEALTH_ROUNDS 2  /* lost in succession */

enum health_kind {
    HEALTH_NO_ROUTE,
    HEALTH_GATEWAY,
    HEALTH_OVERLOAD,
    HEALTH_MOST_TARGETS,
    HEALTH_CLOCK,
    HEALTH_KINDS
};

/* What is seen of the way out of one family: see net.h. */
struct health_way {
    bool has_route, is_silent;
};

struct health;
struct health *health_new(void);
void health_free(struct health *health); /* NULL is fine */

/* To be told about once a second: the ways of IPv4 and IPv6, and the counter of packets dropped here. */
void health_look(struct health *health, const struct health_way ways[2], uint64_t dropped, int64_t mono_ns);
void health_clock_set(struct health *health, int64_t mono_ns);

/* A round to the target (any number that names it) has ended. Results older than age_ns do not count any more. */
void health_target(struct health *health, uint64_t target, bool is_lost, int64_t age_ns, int64_t mono_ns);

/* The problems there were since then, joined by commas; NULL when there were none. */
const char *health_since(const struct health *health, int64_t since_mono_ns, char text[static HEALTH_TEXT_BYTES]);

#endif
