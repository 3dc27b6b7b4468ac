/*
 * From what the tracer found to the part "pathVis" of a result.
 */
#ifndef OCULI_MEASURE_PATHS_H
#define OCULI_MEASURE_PATHS_H

#include "base/arena.h"
#include "base/sock.h"
#include "measure/part.h"
#include "probe/mtu.h"
#include "probe/trace.h"
#include "probe/tunnel.h"

/* Sets paths->path_traces, made in arena; what does not fit there is left out. The other members are the caller's.
 * There are no traces when our own kernel took no packet. dst is the address that was traced. */
void measure_paths_fill(const struct probe_trace_result *trace, const union sock_addr *dst,
                        struct measure_path_vis *paths, struct arena *arena);

/* Adds the path MTU, to the traces that reached the target too. */
void measure_paths_mtu(const struct probe_mtu_result *mtu, struct measure_path_vis *paths, struct arena *arena);

/* Writes into the route and its hops which tunnels they are in, in the place of what they said before; hints are left
 * out. measure_paths_fill has done so with what the trace alone tells. */
void measure_paths_set_tunnels(struct measure_route *route, const struct tunnel_list *list, struct arena *arena);

/* "L=399088,E=0,S=1,T=1; ..." from the top of the stack; NULL when it is empty. */
const char *measure_labels_text(const struct packet_label *labels, uint32_t count, struct arena *arena);

#endif
