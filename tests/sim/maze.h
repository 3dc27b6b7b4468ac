/*
 * Made-up load-balanced topologies whose truth is known by construction, for the checks of the search for all paths.
 *
 * Routers lie in layers; each leads to some of the routers of later layers, at a cost of the layers crossed, so that
 * all ways to the target are equally long for routing, whatever their number of hops.
 */
#ifndef OCULI_TESTS_SIM_MAZE_H
#define OCULI_TESTS_SIM_MAZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rng.h"
#include "probe/exhaustive.h"

#define MAZE_LAYERS 40u
#define MAZE_NODES 200u
#define MAZE_TARGET "198.18.10.10"
#define MAZE_TARGET6 "2001:db8:a::10"

struct maze {
    uint32_t layers;                                 /* the last one holds the target alone */
    uint32_t first[MAZE_LAYERS], count[MAZE_LAYERS]; /* nodes of each layer */
    uint32_t node_count;
    bool next[MAZE_NODES][MAZE_NODES];
    /* The truth: nodes seen at each TTL, and links from one TTL to the next. */
    bool at[MAZE_LAYERS + 2][MAZE_NODES];
    uint32_t vertices, links;
};

void maze_begin(struct maze *maze);
void maze_add_layer(struct maze *maze, uint32_t width); /* not yet linked */
void maze_link(struct maze *maze, uint32_t from, uint32_t to);
void maze_mesh(struct maze *maze, uint32_t width); /* a layer in which everybody is led to by all of the last */
void maze_lanes(struct maze *maze);                /* a layer as wide as the last, one to one */
void maze_join(struct maze *maze);                 /* a layer of one */
void maze_end(struct maze *maze);                  /* the target; counts vertices and links */
void maze_random(struct maze *maze, struct rng *rng, bool is_fabric); /* is_fabric: stages fully meshed, lanes */

/* The scenario; `extra` is appended, link_delay for example "1ms". Routers are called n0, n1...; the target app. */
void maze_write(const struct maze *maze, const char *link_delay, const char *extra, struct buf *text);

/* What a result says that is not so, or misses. */
struct maze_verdict {
    uint32_t missed_vertices, missed_links, invented_vertices, invented_links, invented_paths;
};
struct maze_verdict maze_judge(const struct maze *maze, const struct probe_exhaustive_result *result);

#endif
