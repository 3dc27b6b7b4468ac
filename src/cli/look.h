/*
 * The closer look of `oculi trace` at the MPLS tunnels of a trace: a round of probe_tunnel_start for every path that
 * the flows took; flows that took the same path share one.
 */
#ifndef OCULI_CLI_LOOK_H
#define OCULI_CLI_LOOK_H

#include "probe/tunnel.h"

struct look;

typedef void look_fn(void *user);

/* Begins one; `trace` and `arena` must outlive it, done is called at its end and not before this has returned. NULL
 * when nothing can be begun: no path, or a ceiling. */
struct look *look_start(struct probe_engine *engine, const struct probe_trace_result *trace,
                        const struct probe_tunnel_settings *settings, struct arena *arena, look_fn *done, void *user);

/* Ends it with what it has; done is called from within. */
void look_finish(struct look *look);

/* When done: the tunnels of a flow, NULL when they are not known better than from the trace. */
const struct tunnel_list *look_tunnels(const struct look *look, uint32_t flow);

#endif
