/*
 * Networks nobody thought of, made by chance from a number: a vantage point "ams", up to nine routers in a row, some of
 * them side by side, with all kinds of manners and middleboxes, and a target at CHANCE_APP and CHANCE_APP6, TCP port 443.
 */
#ifndef OCULI_TESTS_SIM_CHANCE_H
#define OCULI_TESTS_SIM_CHANCE_H

#include "world.h"

#define CHANCE_APP "198.18.10.10"
#define CHANCE_APP6 "2001:db8:a::10"

struct chance {
    uint64_t first, last; /* numbers of the nets to try */
};

/* 1 to count; OCULI_NET=1-1000 in the environment tries others, OCULI_NET=7 prints one. */
struct chance chance_range(uint64_t count);

/* A small world of that number. is_lossy: links may lose, hold back, repeat and corrupt packets; true when one corrupts. */
bool chance_open(struct world *world, const struct chance *chance, uint64_t seed, bool is_lossy);

#endif
