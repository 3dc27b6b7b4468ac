/* What a search found, as its user sees it (exhaustive.h). */
#include "probe/exhaustive_core.h"

#include <string.h>

#include "base/clock.h"

bool exhaustive_is_counted(const struct search *search, const struct exhaustive_record *record)
{
    if (!record->is_taken)
        return false;
    int64_t until = record->give_up_ns > record->tx_ns ? record->give_up_ns : record->tx_ns;
    return record->rx_ns != 0 ||
           !((search->has_stamps && !record->is_stamped) || round_dropped_between(search->round, record->tx_ns, until));
}

static bool reserve(struct search *search, void **array, uint32_t *room, uint32_t count, size_t size)
{
    if (count <= *room)
        return true;
    uint32_t more = *room ? *room : 4;
    while (more < count)
        more *= 2;
    void *bigger = arena_alloc_array(search->arena, more, size);
    if (!bigger)
        return false;
    *array = bigger; /* shown anew each time: nothing to keep */
    *room = more;
    return true;
}

/* Vertices that are shown: flows pass them, and they are not a router met twice that says at last why it goes no
 * further. */
static bool is_shown(const struct search *search, uint16_t v)
{
    const struct multipath *mp = &search->mp;
    const struct multipath_vertex *vertex = &mp->vertices[v];
    if (vertex->kind != MULTIPATH_REAL || vertex->flows == 0 || v >= search->seen_room)
        return false;
    if (!vertex->is_end || vertex->is_target || vertex->ttl < 2)
        return true;
    for (uint16_t u = mp->hops[vertex->ttl - 1].first; u != MULTIPATH_NONE; u = mp->vertices[u].next)
        if (mp->vertices[u].kind == MULTIPATH_REAL && mp->vertices[u].flows > 0 &&
            sock_same_ip(&mp->vertices[u].addr, &vertex->addr))
            return false;
    return true;
}

static enum probe_exhaustive_balancer balancer_of(const struct multipath *mp, uint32_t ttl)
{
    if (mp->hops[ttl].is_unstable)
        return PROBE_EXHAUSTIVE_PER_PACKET;
    if (mp->hops[ttl].width < 2)
        return PROBE_EXHAUSTIVE_NONE;
    return mp->hops[ttl].is_steady ? PROBE_EXHAUSTIVE_PER_FLOW : PROBE_EXHAUSTIVE_UNKNOWN;
}

static bool show_interfaces(struct search *search, uint32_t ttl)
{
    const struct multipath *mp = &search->mp;
    struct probe_exhaustive_hop *hop = &search->result->hops[ttl - 1];
    uint32_t count = 0;
    for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
        count += is_shown(search, v);
    void *interfaces = hop->interfaces;
    *hop = (struct probe_exhaustive_hop){
        .ttl = (uint8_t)ttl, .balancer = balancer_of(mp, ttl), .interfaces = interfaces, .links = hop->links};
    hop->is_complete = mp->hops[ttl].is_complete && !mp->is_cut;
    if (!reserve(search, &interfaces, &search->rooms[ttl].interfaces, count, sizeof *hop->interfaces))
        return false;
    hop->interfaces = interfaces;
    hop->interface_count = count;
    /* Vertices are chained newest first; interfaces are told in the order they were found. */
    for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (v < search->seen_room)
            search->seen[v].index = MULTIPATH_NONE;
        if (!is_shown(search, v))
            continue;
        struct exhaustive_seen *seen = &search->seen[v];
        seen->index = (uint16_t)--count;
        hop->interfaces[count] = (struct probe_exhaustive_interface){.addr = mp->vertices[v].addr,
                                                                     .is_target = mp->vertices[v].is_target,
                                                                     .flows = mp->vertices[v].flows,
                                                                     .reply_ttl = seen->reply_ttl,
                                                                     .icmp_type = seen->icmp_type,
                                                                     .icmp_code = seen->icmp_code,
                                                                     .has_quote = seen->has_quote,
                                                                     .quoted_ttl = seen->quoted_ttl,
                                                                     .quoted_dscp = seen->quoted_dscp,
                                                                     .label_count = seen->label_count,
                                                                     .labels = seen->labels};
        sock_set_port(&hop->interfaces[count].addr, 0);
    }
    for (uint32_t f = 0; f < mp->flow_count; f++)
        hop->silent_flows +=
            multipath_cell_at(mp, f, ttl)->is_silent && (mp->flows[f].end_ttl == 0 || mp->flows[f].end_ttl >= ttl);
    search->result->interface_count += hop->interface_count;
    return true;
}

static uint16_t index_of(const struct search *search, uint16_t v)
{
    return v < search->seen_room && search->mp.vertices[v].kind == MULTIPATH_REAL && is_shown(search, v)
               ? search->seen[v].index
               : MULTIPATH_NONE;
}

/* The links that lead to the next TTL. */
static void show_links(struct search *search, uint32_t ttl)
{
    const struct multipath *mp = &search->mp;
    struct probe_exhaustive_hop *hop = &search->result->hops[ttl - 1];
    if (ttl >= mp->high)
        return;
    const struct multipath_hop *next = &mp->hops[ttl + 1];
    void *links = hop->links;
    if (!reserve(search, &links, &search->rooms[ttl].links, next->link_count, sizeof *hop->links))
        return;
    hop->links = links;
    for (uint32_t i = next->first_link; i < next->first_link + next->link_count; i++) {
        const struct multipath_link *link = &mp->links[i];
        uint16_t from = index_of(search, link->from), to = index_of(search, link->to);
        if (link->seen == 0 || from == MULTIPATH_NONE || to == MULTIPATH_NONE)
            continue;
        if (link->proven > 0)
            hop->links[hop->link_count++] = (struct probe_exhaustive_link){from, to, link->proven};
        else
            hop->untold_links++;
    }
    search->result->link_count += hop->link_count;
}

static void count_rtt(int64_t rtt, int64_t *min, int64_t *sum, int64_t *max)
{
    rtt = rtt > 0 ? rtt : 1;
    *min = *min == 0 || rtt < *min ? rtt : *min;
    *max = rtt > *max ? rtt : *max;
    *sum += rtt;
}

static void count_cell(struct search *search, const struct exhaustive_record *record)
{
    const struct multipath *mp = &search->mp;
    struct probe_exhaustive_result *result = search->result;
    const struct multipath_cell *cell = multipath_cell_at(mp, record->flow, record->ttl);
    uint8_t end = mp->flows[record->flow].end_ttl;
    uint16_t v = record->vertex != MULTIPATH_NONE ? record->vertex : cell->is_mixed ? MULTIPATH_NONE : cell->vertex;
    if ((end && record->ttl > end) || record->ttl > result->hop_count)
        return;
    struct probe_exhaustive_hop *hop = &result->hops[record->ttl - 1];
    if (v != MULTIPATH_NONE && index_of(search, v) == MULTIPATH_NONE)
        return; /* from beyond the end of the path */
    hop->sent++;
    hop->received += record->rx_ns != 0;
    if (v == MULTIPATH_NONE)
        return;
    struct probe_exhaustive_interface *interface = &hop->interfaces[index_of(search, v)];
    interface->sent++;
    if (record->rx_ns == 0)
        return;
    interface->received++;
    count_rtt(record->rx_ns - record->tx_ns, &interface->min_rtt_ns, &interface->avg_rtt_ns, &interface->max_rtt_ns);
}

static void count_record(struct search *search, const struct exhaustive_record *record)
{
    struct probe_exhaustive_result *result = search->result;
    bool is_received = record->rx_ns != 0;
    if (!exhaustive_is_counted(search, record)) {
        result->overloaded += record->is_taken;
        return;
    }
    switch (record->purpose) {
    case EXHAUSTIVE_ESTIMATE:
        result->sent++;
        result->received += is_received;
        break;
    case EXHAUSTIVE_SEARCH:
        result->sent++;
        result->received += is_received;
        count_cell(search, record);
        break;
    case EXHAUSTIVE_FILL:
        result->path_sent++;
        result->path_received += is_received;
        count_cell(search, record);
        break;
    case EXHAUSTIVE_SERIES:
        result->path_sent++;
        result->path_received += is_received;
        if (record->path >= result->path_count)
            break;
        struct probe_exhaustive_path *path = &result->paths[record->path];
        path->sent++;
        path->received += is_received;
        if (is_received)
            count_rtt(record->rx_ns - record->tx_ns, &path->min_rtt_ns, &path->avg_rtt_ns, &path->max_rtt_ns);
        break;
    }
}

static bool is_on_path(const struct search *search, uint16_t flow, const struct probe_exhaustive_path *path)
{
    enum probe_trace_end end;
    if (exhaustive_end_of(search, flow, &end) != path->hop_count || end != path->end)
        return false;
    for (uint32_t i = 0; i < path->hop_count; i++) {
        const struct multipath_cell *cell = multipath_cell_at(&search->mp, flow, i + 1);
        if (path->hops[i] == PROBE_EXHAUSTIVE_VARIES)
            continue;
        if (cell->vertex == MULTIPATH_NONE ? path->hops[i] != PROBE_EXHAUSTIVE_SILENT || !cell->is_silent
                                           : index_of(search, cell->vertex) != path->hops[i])
            return false;
    }
    return true;
}

static void show_path(struct search *search, uint32_t i)
{
    struct probe_exhaustive_path *path = &search->result->paths[i];
    uint16_t flow = search->paths[i].flow;
    const uint16_t *old = path->hops;
    uint16_t *hops = old ? (uint16_t *)(uintptr_t)old : arena_alloc_array(search->arena, LIMIT_HOPS, sizeof *hops);
    *path = (struct probe_exhaustive_path){.flow = flow, .flow_id = search->flows[flow]->flow.match.id, .hops = hops};
    if (!hops)
        return;
    path->hop_count = exhaustive_end_of(search, flow, &path->end);
    if (path->end != PROBE_TRACE_REACHED && path->hop_count > 1) {
        uint16_t last = multipath_cell_at(&search->mp, flow, path->hop_count)->vertex;
        if (last != MULTIPATH_NONE && index_of(search, last) == MULTIPATH_NONE)
            path->hop_count--; /* the router that refuses was met before */
    }
    for (uint32_t ttl = 1; ttl <= path->hop_count; ttl++) {
        const struct multipath_cell *cell = multipath_cell_at(&search->mp, flow, ttl);
        hops[ttl - 1] = PROBE_EXHAUSTIVE_SILENT;
        if (exhaustive_varies(search, flow, ttl))
            hops[ttl - 1] = PROBE_EXHAUSTIVE_VARIES;
        else if (cell->vertex != MULTIPATH_NONE)
            hops[ttl - 1] = index_of(search, cell->vertex);
    }
    for (uint16_t f = 0; f < search->mp.flow_count; f++)
        path->flows += is_on_path(search, f, path);
}

/* Which end is told of the whole: reached if any flow did, else that of the first flow. */
static enum probe_trace_end overall_end(const struct search *search)
{
    enum probe_trace_end end = PROBE_TRACE_SILENT, first = PROBE_TRACE_SILENT;
    for (uint16_t f = 0; f < search->mp.flow_count; f++) {
        (void)exhaustive_end_of(search, f, &end);
        if (end == PROBE_TRACE_REACHED)
            return end;
        if (first == PROBE_TRACE_SILENT)
            first = end;
    }
    return first;
}

void exhaustive_show(struct search *search)
{
    struct probe_exhaustive_result *result = search->result;
    struct multipath *mp = &search->mp;
    multipath_analyse(mp);
    multipath_judge_steadiness(mp);
    result->interface_count = result->link_count = result->sent = result->received = 0;
    result->path_sent = result->path_received = result->overloaded = result->path_count = 0;
    if (!result->hops)
        result->hops = arena_alloc_array(search->arena, mp->max_ttl, sizeof *result->hops);
    if (!result->paths)
        result->paths = arena_alloc_array(search->arena, search->settings.max_paths + 1, sizeof *result->paths);
    if (!result->hops || !result->paths)
        return;
    result->hop_count = mp->last;
    result->flow_count = mp->flow_count;
    for (uint32_t ttl = 1; ttl <= result->hop_count; ttl++)
        if (!show_interfaces(search, ttl))
            result->hop_count = ttl - 1;
    for (uint32_t ttl = 1; ttl <= result->hop_count; ttl++)
        show_links(search, ttl);
    result->path_count = search->path_count;
    for (uint32_t i = 0; i < search->path_count; i++)
        show_path(search, i);
    for (uint32_t i = 0; i < search->record_count; i++)
        count_record(search, exhaustive_record_at(search, i));
    for (uint32_t ttl = 1; ttl <= result->hop_count; ttl++)
        for (uint32_t i = 0; i < result->hops[ttl - 1].interface_count; i++)
            if (result->hops[ttl - 1].interfaces[i].received)
                result->hops[ttl - 1].interfaces[i].avg_rtt_ns /= result->hops[ttl - 1].interfaces[i].received;
    for (uint32_t i = 0; i < result->path_count; i++)
        if (result->paths[i].received)
            result->paths[i].avg_rtt_ns /= result->paths[i].received;
    while (result->hop_count > 0 && result->hops[result->hop_count - 1].interface_count == 0)
        result->hop_count--;
    result->is_complete = multipath_is_complete(mp);
    result->is_cut = mp->is_cut;
    result->is_paths_cut = search->is_paths_cut;
    result->end = overall_end(search);
    result->end_ns = probe_engine_mono_ns(search->round->engine);
}
