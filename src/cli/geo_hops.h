/*
 * Networks and places of hops from the databases of a directory (facts/geo.h), for commands that are given one.
 */
#ifndef OCULI_CLI_GEO_HOPS_H
#define OCULI_CLI_GEO_HOPS_H

#include "base/arena.h"
#include "facts/geo.h"
#include "measure/part.h"

/* NULL without a directory. What cannot be used is told on standard error, and the rest goes on. */
struct geo *geo_hops_open(const char *dir);

/* Fills what the hop lacks. Texts live in the arena; geo may be NULL. */
void geo_hops_fill(struct geo *geo, struct measure_hop *hop, struct arena *arena);

#endif
