#include "maze.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define OUTSIDE UINT32_MAX

void maze_begin(struct maze *maze)
{
    memset(maze, 0, sizeof *maze);
}

void maze_add_layer(struct maze *maze, uint32_t width)
{
    assert(maze->layers < MAZE_LAYERS && maze->node_count + width <= MAZE_NODES);
    maze->first[maze->layers] = maze->node_count;
    maze->count[maze->layers++] = width;
    maze->node_count += width;
}

void maze_link(struct maze *maze, uint32_t from, uint32_t to)
{
    maze->next[from][to] = true;
}

void maze_mesh(struct maze *maze, uint32_t width)
{
    maze_add_layer(maze, width);
    uint32_t last = maze->layers - 1;
    for (uint32_t i = 0; last > 0 && i < maze->count[last - 1]; i++)
        for (uint32_t j = 0; j < width; j++)
            maze_link(maze, maze->first[last - 1] + i, maze->first[last] + j);
}

void maze_lanes(struct maze *maze)
{
    uint32_t last = maze->layers;
    maze_add_layer(maze, maze->count[last - 1]);
    for (uint32_t i = 0; i < maze->count[last]; i++)
        maze_link(maze, maze->first[last - 1] + i, maze->first[last] + i);
}

void maze_join(struct maze *maze)
{
    maze_mesh(maze, 1);
}

void maze_end(struct maze *maze)
{
    maze_mesh(maze, 1);
    for (uint32_t i = 0; i < maze->count[0]; i++)
        maze->at[1][maze->first[0] + i] = true;
    for (uint32_t ttl = 1; ttl <= maze->layers; ttl++) {
        for (uint32_t from = 0; from < maze->node_count; from++) {
            maze->vertices += maze->at[ttl][from];
            for (uint32_t to = 0; maze->at[ttl][from] && to < maze->node_count; to++) {
                maze->links += maze->next[from][to];
                maze->at[ttl + 1][to] |= maze->next[from][to];
            }
        }
    }
}

/* A layer each of whose routers somebody leads to, and to which everybody of the last leads somewhere. */
static void add_random(struct maze *maze, struct rng *rng)
{
    uint32_t width = 1 + (uint32_t)rng_below(rng, 5), last = maze->layers;
    maze_add_layer(maze, width);
    for (uint32_t i = 0; i < maze->count[last - 1]; i++) {
        for (uint32_t j = 0; j < width; j++)
            if (rng_below(rng, 3) == 0)
                maze_link(maze, maze->first[last - 1] + i, maze->first[last] + j);
        maze_link(maze, maze->first[last - 1] + i, maze->first[last] + (uint32_t)rng_below(rng, width));
    }
    for (uint32_t j = 0; j < width; j++) {
        uint32_t from = maze->first[last - 1] + (uint32_t)rng_below(rng, maze->count[last - 1]);
        maze_link(maze, from, maze->first[last] + j);
    }
}

static void add_fabric(struct maze *maze, struct rng *rng)
{
    uint32_t kind = (uint32_t)rng_below(rng, 4);
    if (kind == 0)
        maze_lanes(maze);
    else if (kind == 1)
        maze_join(maze);
    else
        maze_mesh(maze, 2 + (uint32_t)rng_below(rng, 5));
}

void maze_random(struct maze *maze, struct rng *rng, bool is_fabric)
{
    uint32_t layers = 3 + (uint32_t)rng_below(rng, 8);
    maze_begin(maze);
    maze_add_layer(maze, 1);
    for (uint32_t i = 0; i < layers; i++) {
        if (is_fabric)
            add_fabric(maze, rng);
        else
            add_random(maze, rng);
    }
    /* A way round a layer now and then: the same cost, one hop less. */
    uint32_t at = (uint32_t)rng_below(rng, layers);
    if (!is_fabric && at + 2 < maze->layers && rng_below(rng, 2) == 0)
        maze_link(maze, maze->first[at], maze->first[at + 2]);
    maze_end(maze);
}

static uint32_t layer_of(const struct maze *maze, uint32_t node)
{
    uint32_t layer = 0;
    while (layer + 1 < maze->layers && node >= maze->first[layer + 1])
        layer++;
    return layer;
}

void maze_write(const struct maze *maze, const char *link_delay, const char *extra, struct buf *text)
{
    buf_puts(text, "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n");
    buf_puts(text, "host app address " MAZE_TARGET " v6 " MAZE_TARGET6 " tcp 443 open\n");
    for (uint32_t i = 0; i + 1 < maze->node_count; i++)
        buf_printf(text, "router n%u address 198.51.%u.%u v6 2001:db8:f::%x\n", i, 100 + i / 250, 1 + i % 250, i + 1);
    for (uint32_t i = 0; i < maze->count[0]; i++)
        buf_printf(text, "link ams n%u delay %s\n", i, link_delay);
    for (uint32_t from = 0; from < maze->node_count; from++) {
        for (uint32_t to = 0; to < maze->node_count; to++) {
            if (!maze->next[from][to])
                continue;
            if (to + 1 == maze->node_count)
                buf_printf(text, "link n%u app", from);
            else
                buf_printf(text, "link n%u n%u", from, to);
            buf_printf(text, " delay %s metric %u\n", link_delay, 10 * (layer_of(maze, to) - layer_of(maze, from)));
        }
    }
    buf_puts(text, extra);
}

/* The node that has an address. */
static uint32_t node_of(const struct maze *maze, const union sock_addr *addr)
{
    char text[SOCK_TEXT_BYTES];
    unsigned a, b;
    (void)sock_ip_text(addr, text, sizeof text);
    if (strcmp(text, MAZE_TARGET) == 0 || strcmp(text, MAZE_TARGET6) == 0)
        return maze->node_count - 1;
    if (sscanf(text, "198.51.%u.%u", &a, &b) == 2 && a >= 100 && b >= 1)
        return (a - 100) * 250 + b - 1;
    if (sscanf(text, "2001:db8:f::%x", &a) == 1)
        return a - 1;
    return OUTSIDE;
}

static uint32_t node_at(const struct maze *maze, const struct probe_exhaustive_result *result, uint32_t ttl, uint32_t i)
{
    const struct probe_exhaustive_hop *hop = &result->hops[ttl - 1];
    return i < hop->interface_count ? node_of(maze, &hop->interfaces[i].addr) : OUTSIDE;
}

static bool is_path_true(const struct maze *maze, const struct probe_exhaustive_result *result,
                         const struct probe_exhaustive_path *path)
{
    uint32_t before = OUTSIDE;
    for (uint32_t ttl = 1; ttl <= path->hop_count; ttl++) {
        uint16_t i = path->hops[ttl - 1];
        bool is_known = i != PROBE_EXHAUSTIVE_SILENT && i != PROBE_EXHAUSTIVE_VARIES;
        uint32_t node = is_known ? node_at(maze, result, ttl, i) : OUTSIDE;
        if (is_known && (node >= maze->node_count || !maze->at[ttl][node]))
            return false;
        if (is_known && before != OUTSIDE && !maze->next[before][node])
            return false;
        before = node;
    }
    return true;
}

struct maze_verdict maze_judge(const struct maze *maze, const struct probe_exhaustive_result *result)
{
    struct maze_verdict verdict = {0};
    uint32_t vertices = 0, links = 0;
    for (uint32_t ttl = 1; ttl <= result->hop_count; ttl++) {
        const struct probe_exhaustive_hop *hop = &result->hops[ttl - 1];
        for (uint32_t i = 0; i < hop->interface_count; i++) {
            uint32_t node = node_at(maze, result, ttl, i);
            bool is_true = node < maze->node_count && maze->at[ttl][node];
            for (uint32_t j = 0; j < i; j++)
                is_true &= node_at(maze, result, ttl, j) != node;
            vertices += is_true;
            verdict.invented_vertices += !is_true;
        }
        for (uint32_t i = 0; i < hop->link_count; i++) {
            uint32_t from = node_at(maze, result, ttl, hop->links[i].from);
            uint32_t to = node_at(maze, result, ttl + 1, hop->links[i].to);
            bool is_true = from < maze->node_count && to < maze->node_count && maze->next[from][to];
            links += is_true;
            verdict.invented_links += !is_true;
        }
    }
    for (uint32_t i = 0; i < result->path_count; i++)
        verdict.invented_paths += !is_path_true(maze, result, &result->paths[i]);
    verdict.missed_vertices = maze->vertices - vertices;
    verdict.missed_links = maze->links - links;
    return verdict;
}
