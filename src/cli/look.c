#include "cli/look.h"

struct path {
    struct look *look;
    struct probe_tunnel *round; /* NULL = not running */
    const struct probe_tunnel_result *result;
    uint32_t same_as; /* the first flow on this path */
};

struct look {
    struct path *paths; /* by flow */
    uint32_t count, running;
    look_fn *done;
    void *user;
};

static bool is_same_path(const struct probe_trace_flow *a, const struct probe_trace_flow *b)
{
    if (a->hop_count != b->hop_count)
        return false;
    for (uint32_t i = 0; i < a->hop_count; i++) {
        bool is_silent = !sock_is_set(&a->hops[i].addr);
        if (is_silent != !sock_is_set(&b->hops[i].addr) ||
            (!is_silent && !sock_same_ip(&a->hops[i].addr, &b->hops[i].addr)))
            return false;
    }
    return true;
}

static void on_done(void *user, const struct probe_tunnel_result *result)
{
    struct path *path = user;
    struct look *look = path->look;
    path->round = NULL;
    path->result = result;
    if (--look->running == 0)
        look->done(look->user);
}

struct look *look_start(struct probe_engine *engine, const struct probe_trace_result *trace,
                        const struct probe_tunnel_settings *settings, struct arena *arena, look_fn *done, void *user)
{
    struct look *look = arena_alloc(arena, sizeof *look);
    struct path *paths = arena_alloc_array(arena, trace->flow_count, sizeof *paths);
    if (!look || !paths)
        return NULL;
    *look = (struct look){.paths = paths, .count = trace->flow_count, .done = done, .user = user};
    for (uint32_t i = 0; i < trace->flow_count; i++) {
        const struct probe_trace_flow *flow = &trace->flows[i];
        paths[i] = (struct path){.look = look};
        while (paths[i].same_as < i && !is_same_path(&trace->flows[paths[i].same_as], flow))
            paths[i].same_as++;
        if (paths[i].same_as < i || flow->hop_count == 0)
            continue;
        if (probe_tunnel_start(engine, settings, flow->hops, flow->hop_count, arena, on_done, &paths[i],
                               &paths[i].round, NULL) == 0)
            look->running++;
    }
    return look->running > 0 ? look : NULL;
}

void look_finish(struct look *look)
{
    for (uint32_t i = 0; i < look->count; i++) {
        if (look->paths[i].round)
            probe_tunnel_finish(look->paths[i].round); /* the last one calls done */
    }
}

const struct tunnel_list *look_tunnels(const struct look *look, uint32_t flow)
{
    const struct probe_tunnel_result *result = look->paths[look->paths[flow].same_as].result;
    return result ? &result->tunnels : NULL;
}
