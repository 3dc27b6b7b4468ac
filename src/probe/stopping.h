/*
 * When to stop asking: after how many flows through a router that showed k next hops one may believe that there are no
 * more, if the router spreads flows evenly over them (Veitch, Augustin, Teixeira, Friedman, "Failure control in
 * multipath route tracing", 2009).
 *
 * The stopping point n(k) is the smallest number such that a router which really has k + 1 next hops is given up too
 * early, at n(k) or at an earlier stopping point, with a probability of at most epsilon. For one next hop this is
 * 2^(1 - n) <= epsilon. It is computed exactly, as a walk over (flows sent, next hops seen). At epsilon 5 %:
 *
 *     k     1   2   3   4   5   6   7   8
 *     n(k)  6  11  16  21  27  33  39  45
 */
#ifndef OCULI_PROBE_STOPPING_H
#define OCULI_PROBE_STOPPING_H

#include <stdint.h>

#define STOPPING_MAX_K 128u

struct stopping {
    double epsilon;
    uint32_t known; /* n[1..known] have been computed */
    uint16_t n[STOPPING_MAX_K + 1];
};

/* 0 < epsilon < 1. */
void stopping_init(struct stopping *stopping, double epsilon);

/* n(k) for k = 1..STOPPING_MAX_K; computed when first asked for. */
uint32_t stopping_at(struct stopping *stopping, uint32_t k);

/*
 * The epsilon of a whole discovery: the most that each of `branching` tests may fail so that all of them together fail
 * at most with 1 - confidence. A router that showed several next hops is tested at share / branching; one that showed a
 * single one at share / (branching + 1), since it would be one more if it had others. With m of B branching routers
 * missed, the tests that failed ran at share / (B - m + 1) at most, so that the sum over m of C(B, m) (share / (B - m +
 * 1))^m bounds the failure. For B = 2 it is share + share^2, for B >= 3 less than share + 0.8 share^2: share is the
 * root of that.
 */
double stopping_share(double confidence, uint32_t branching);

#endif
