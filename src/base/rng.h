/*
 * Random numbers: rng_secret for keys and identifiers (the kernel's generator), and a small seeded generator
 * (xoshiro256**, Blackman and Vigna 2018) for simulation and spreading, which repeats from its seed.
 */
#ifndef OCULI_BASE_RNG_H
#define OCULI_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_secret(void *bytes, size_t size);

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_u64(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 <= x < bound, without bias */
double rng_unit(struct rng *rng);                    /* 0 <= x < 1 */

#endif
