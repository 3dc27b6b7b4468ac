/*
 * Walks over all hops of a result, whatever its type: for those who add to them what is known of their addresses.
 */
#ifndef OCULI_MEASURE_HOPS_H
#define OCULI_MEASURE_HOPS_H

#include "measure/part.h"
#include "measure/type.h"

/* Zero it but for the first two, then ask for one hop after the other. */
struct measure_hops {
    const struct measure_type *type;
    void *result; /* the type's */
    size_t part, route, hop;
};

/* The next hop that answered, NULL after the last. It may be changed. */
struct measure_hop *measure_next_hop(struct measure_hops *walk);

#endif
