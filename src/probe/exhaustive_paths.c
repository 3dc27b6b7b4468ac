/* The distinct paths among the flows of a search, and the series along each (exhaustive.h). */
#include "probe/exhaustive_core.h"

uint8_t exhaustive_end_of(const struct search *search, uint16_t flow, enum probe_trace_end *ret_end)
{
    const struct multipath *mp = &search->mp;
    uint8_t last = mp->flows[flow].end_ttl;
    if (last) {
        *ret_end = search->flows[flow]->end;
        return last;
    }
    *ret_end = PROBE_TRACE_SILENT;
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++)
        if (multipath_cell_at(mp, flow, ttl)->vertex != MULTIPATH_NONE)
            last = (uint8_t)ttl;
    return last;
}

bool exhaustive_is_wrong_end(const struct search *search, const struct exhaustive_record *record, bool is_target)
{
    enum probe_trace_end end;
    (void)exhaustive_end_of(search, record->flow, &end);
    return end == PROBE_TRACE_REACHED && !is_target;
}

/* How far a flow has to be known for its path to be told: to its end, or as far as anybody answered. */
static uint32_t extent_of(const struct search *search, uint16_t flow)
{
    return search->mp.flows[flow].end_ttl ? search->mp.flows[flow].end_ttl : search->mp.last;
}

bool exhaustive_varies(const struct search *search, uint16_t flow, uint32_t ttl)
{
    const struct multipath *mp = &search->mp;
    if (mp->hops[ttl].is_unstable && mp->flows[flow].end_ttl != ttl)
        return true;
    return multipath_cell_at(mp, flow, ttl)->vertex != MULTIPATH_NONE && mp->flows[flow].end_ttl != ttl &&
           !multipath_is_sure(mp, flow, ttl);
}

enum cell_state { CELL_UNKNOWN, CELL_SILENT, CELL_VARIES, CELL_KNOWN };

static enum cell_state state_of(const struct search *search, uint16_t flow, uint32_t ttl)
{
    const struct multipath_cell *cell = multipath_cell_at(&search->mp, flow, ttl);
    if (exhaustive_varies(search, flow, ttl))
        return CELL_VARIES;
    if (cell->vertex != MULTIPATH_NONE)
        return CELL_KNOWN;
    return cell->is_silent ? CELL_SILENT : CELL_UNKNOWN;
}

static bool is_whole(const struct search *search, uint16_t flow)
{
    for (uint32_t ttl = 1; ttl <= extent_of(search, flow); ttl++)
        if (state_of(search, flow, ttl) == CELL_UNKNOWN)
            return false;
    return true;
}

/* Whether two flows cannot be on one path. Silence contradicts nothing. */
static bool is_other(const struct search *search, uint16_t a, uint16_t b)
{
    const struct multipath *mp = &search->mp;
    uint32_t a_end = mp->flows[a].end_ttl, b_end = mp->flows[b].end_ttl;
    if (a_end && b_end && a_end != b_end)
        return true;
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        if ((a_end && ttl > a_end) || (b_end && ttl > b_end))
            break;
        if (state_of(search, a, ttl) == CELL_KNOWN && state_of(search, b, ttl) == CELL_KNOWN &&
            multipath_cell_at(mp, a, ttl)->vertex != multipath_cell_at(mp, b, ttl)->vertex)
            return true;
    }
    return false;
}

/* Flows known whole first, then those that contradict every path chosen so far. */
static void choose_paths(struct search *search)
{
    for (int turn = 0; turn < 2; turn++) {
        for (uint16_t flow = 0; flow < search->mp.flow_count; flow++) {
            bool is_new = is_whole(search, flow) == (turn == 0) &&
                          exhaustive_end_of(search, flow, &(enum probe_trace_end){0}) > 0;
            for (uint32_t i = 0; i < search->path_count && is_new; i++)
                is_new = is_other(search, flow, search->paths[i].flow);
            if (!is_new)
                continue;
            if (search->path_count == search->settings.max_paths) {
                search->is_paths_cut = true;
                return;
            }
            search->paths[search->path_count++] = (struct exhaustive_path){.flow = flow};
        }
    }
}

/* Flows that proved to be on one path when what was missing had come. */
static void drop_twins(struct search *search)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < search->path_count; i++) {
        uint16_t flow = search->paths[i].flow;
        bool is_twin = false;
        for (uint32_t j = 0; j < count && is_whole(search, flow); j++)
            is_twin |= is_whole(search, search->paths[j].flow) && !is_other(search, flow, search->paths[j].flow);
        if (!is_twin)
            search->paths[count++] = search->paths[i];
    }
    search->path_count = count;
}

static bool send_fill(void *user, uint16_t flow, uint8_t ttl)
{
    return exhaustive_send(user, flow, ttl, EXHAUSTIVE_FILL, 0);
}

bool exhaustive_fill_paths(struct search *search)
{
    struct multipath *mp = &search->mp;
    bool is_filled = true, is_waiting = false;
    search->is_paths_cut = false;
    multipath_analyse(mp);
    if (!search->was_complete &&
        multipath_plan_tests(mp, send_fill, search, &is_waiting) > 0) /* no search does without proof */
        is_filled = search->is_exhausted;
    is_filled &= !is_waiting;
    multipath_judge_steadiness(mp);
    drop_twins(search);
    choose_paths(search);
    for (uint32_t i = 0; i < search->path_count; i++) {
        uint16_t flow = search->paths[i].flow;
        for (uint32_t ttl = 1; ttl <= extent_of(search, flow); ttl++) {
            const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
            if (state_of(search, flow, ttl) != CELL_UNKNOWN || (cell->out == 0 && cell->sent >= mp->attempts))
                continue;
            is_filled = search->is_exhausted;
            if (cell->out == 0)
                (void)exhaustive_send(search, flow, (uint8_t)ttl, EXHAUSTIVE_FILL, 0);
        }
    }
    return is_filled;
}

bool exhaustive_send_series(struct search *search, int64_t now, int64_t *ret_due)
{
    uint32_t count = search->settings.path_probes;
    int64_t gap = search->settings.path_gap_ns;
    for (uint32_t j = 0; j < count; j++) {
        int64_t at = search->series_start_ns + j * gap;
        for (uint32_t i = 0; i < search->path_count; i++) {
            struct exhaustive_path *path = &search->paths[i];
            if (path->series_sent > j)
                continue;
            if (at > now) {
                *ret_due = at;
                return false;
            }
            enum probe_trace_end end;
            uint8_t last = exhaustive_end_of(search, path->flow, &end);
            uint8_t ttl = end == PROBE_TRACE_REACHED ? (uint8_t)EXHAUSTIVE_ECHO_TTL : last;
            if (!exhaustive_send(search, path->flow, ttl, EXHAUSTIVE_SERIES, (uint16_t)i)) {
                return search->is_exhausted;
            }
            path->series_sent++;
        }
    }
    return true;
}
