/* Which flow to probe at which TTL next (multipath.h). */
#include "probe/multipath.h"

#include <string.h>

#define GROUPS 16u /* of one TTL looked after at once */
#define FRESH 64u  /* flows begun for one TTL at once */
#define SURE 0.99f
#define LIKELY 0.5f  /* worth probing a flow at both TTLs before knowing where it goes */
#define CAUTION 1.4f /* of an uncertain probe this much more is expected than it will yield, lest too many go out */

struct plan {
    struct multipath *mp;
    multipath_send_fn *send;
    void *user;
    uint32_t ttl;
    uint32_t before; /* the TTL that tells where a flow comes from: the last one at which anybody answers */
    uint32_t groups;
    uint16_t first[GROUPS]; /* vertex of each group */
    float missing[GROUPS];
    uint32_t sent;
    float likely;    /* LIKELY; or anything, while no more flows than one stage would need are probed */
    uint32_t room;   /* flows that may still be probed at this TTL */
    bool is_blocked; /* nothing more can be sent at this TTL now */
};

static float *row_of(const struct plan *plan, uint32_t v)
{
    return plan->mp->reach + v * GROUPS;
}

/* The groups before a TTL that miss something. */
static void collect_groups(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    plan->groups = 0;
    for (uint16_t v = mp->hops[plan->ttl - 1].first; v != MULTIPATH_NONE && plan->groups < GROUPS;
         v = mp->vertices[v].next) {
        if (mp->vertices[v].group != v || mp->vertices[v].need == 0)
            continue;
        plan->first[plan->groups] = v;
        plan->missing[plan->groups++] = (float)mp->vertices[v].need;
    }
}

static bool make_room(struct multipath *mp)
{
    if (mp->reach_room >= mp->vertex_count)
        return true;
    uint32_t room = mp->vertex_count * 2;
    mp->reach = arena_alloc_array(mp->arena, room, GROUPS * sizeof *mp->reach);
    mp->reach_room = mp->reach ? room : 0;
    mp->is_cut |= !mp->reach;
    return mp->reach != NULL;
}

static uint16_t group_of(const struct multipath *mp, uint16_t v)
{
    while (mp->vertices[v].group != v)
        v = mp->vertices[v].group;
    return v;
}

/* For each vertex the chances that a flow there comes through each group, by the links that flows took so far. A router
 * of which too little is known to be of the stage beside it most likely is. */
static void predict(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    bool is_stage_open = mp->hops[plan->ttl].is_stage_open && plan->groups == 1;
    for (uint16_t v = mp->hops[plan->ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        uint16_t group = group_of(mp, v);
        bool is_candidate = is_stage_open && mp->vertices[v].kind == MULTIPATH_REAL && !mp->vertices[v].is_end &&
                            group == v && mp->vertices[v].need == 0 && mp->vertices[v].successors <= 1;
        for (uint32_t g = 0; g < GROUPS; g++)
            row_of(plan, v)[g] = g < plan->groups && (plan->first[g] == group || is_candidate) ? 1 : 0;
    }
    for (uint32_t ttl = plan->ttl - 1; ttl-- > 0;) {
        for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
            float *row = row_of(plan, v), total = 0;
            memset(row, 0, GROUPS * sizeof *row);
            for (uint32_t i = mp->vertices[v].first_link; i; i = mp->links[i - 1].next) {
                const struct multipath_link *link = &mp->links[i - 1];
                total += (float)link->flows;
                for (uint32_t g = 0; g < plan->groups; g++)
                    row[g] += (float)link->flows * row_of(plan, link->to)[g];
            }
            for (uint32_t g = 0; g < plan->groups && total > 0; g++)
                row[g] /= total;
        }
    }
}

/* What is expected of a flow, from the last TTL before this one where its place is known. */
static const float *expect(const struct plan *plan, uint32_t flow)
{
    uint32_t ttl = plan->ttl - 1;
    while (multipath_cell_at(plan->mp, flow, ttl)->position == MULTIPATH_NONE)
        ttl--;
    return row_of(plan, multipath_cell_at(plan->mp, flow, ttl)->position);
}

/* How much a flow would help: the chance that it comes through a group that misses something. */
static float use_of(const struct plan *plan, const float *row)
{
    float use = 0;
    for (uint32_t g = 0; g < plan->groups; g++)
        use += plan->missing[g] > 0 ? row[g] : 0;
    return use;
}

static void count_on(struct plan *plan, const float *row)
{
    for (uint32_t g = 0; g < plan->groups; g++)
        plan->missing[g] -= row[g] > SURE ? 1 : row[g] * CAUTION;
}

static bool is_missing(const struct plan *plan)
{
    if (plan->room == 0)
        return false;
    for (uint32_t g = 0; g < plan->groups; g++)
        if (plan->missing[g] > 0)
            return true;
    return false;
}

static bool may_send(const struct multipath *mp, const struct multipath_cell *cell)
{
    return cell->vertex == MULTIPATH_NONE && cell->out == 0 && cell->sent < mp->attempts && !cell->is_silent;
}

static bool send_at(struct plan *plan, uint32_t flow, uint32_t ttl)
{
    if (!plan->send(plan->user, (uint16_t)flow, (uint8_t)ttl)) {
        plan->is_blocked = true;
        return false;
    }
    plan->sent++;
    if (ttl == plan->ttl)
        plan->room--;
    return true;
}

/* Probes under way whose flows have no known place before this TTL. */
static void count_pending(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        const struct multipath_cell *here = multipath_cell_at(mp, f, plan->ttl);
        const struct multipath_cell *before = multipath_cell_at(mp, f, plan->before);
        if (before->position == MULTIPATH_NONE && before->out && (here->out || here->vertex != MULTIPATH_NONE))
            count_on(plan, expect(plan, f));
    }
}

/* Whether something is under way that will tell where the flow goes. */
static bool is_being_learnt(const struct plan *plan, uint32_t flow)
{
    for (uint32_t ttl = 1; ttl < plan->ttl; ttl++) {
        const struct multipath_cell *cell = multipath_cell_at(plan->mp, flow, ttl);
        if (cell->out && cell->position == MULTIPATH_NONE)
            return true;
    }
    return false;
}

enum tier { TIER_KNOWN, TIER_ASKED, TIER_SURE, TIER_LIKELY, TIER_LEARN, TIER_COUNT };

/* How readily a flow helps at this TTL: what it costs, and how surely. */
static enum tier tier_of(const struct plan *plan, uint32_t flow, float use)
{
    const struct multipath *mp = plan->mp;
    const struct multipath_cell *here = multipath_cell_at(mp, flow, plan->ttl);
    const struct multipath_cell *before = multipath_cell_at(mp, flow, plan->before);
    bool is_known =
        before->position != MULTIPATH_NONE || multipath_cell_at(mp, flow, plan->ttl - 1)->position != MULTIPATH_NONE;
    if (use < 0.01f || (mp->flows[flow].end_ttl && plan->ttl > mp->flows[flow].end_ttl))
        return TIER_COUNT;
    if (is_known)
        return may_send(mp, here) ? TIER_KNOWN : TIER_COUNT;
    if (here->out || (here->vertex == MULTIPATH_NONE && !may_send(mp, here)) || (!before->out && !may_send(mp, before)))
        return TIER_COUNT;
    if (here->vertex != MULTIPATH_NONE)
        return before->out ? TIER_COUNT : TIER_ASKED;
    if (use >= plan->likely)
        return before->out ? TIER_ASKED : use > SURE ? TIER_SURE : TIER_LIKELY;
    return TIER_LEARN;
}

/* Sends what makes a flow count at this TTL, or what tells whether it will. */
static bool use_flow(struct plan *plan, uint32_t flow, enum tier tier)
{
    const struct multipath *mp = plan->mp;
    bool has_before = tier != TIER_KNOWN && multipath_cell_at(mp, flow, plan->before)->out == 0;
    bool has_here = tier != TIER_LEARN && multipath_cell_at(mp, flow, plan->ttl)->vertex == MULTIPATH_NONE;
    if (tier == TIER_LEARN && is_being_learnt(plan, flow))
        return true;
    if (has_before && !send_at(plan, flow, plan->before))
        return false;
    return !has_here || send_at(plan, flow, plan->ttl);
}

static void use_flows(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    for (enum tier tier = TIER_KNOWN; tier < TIER_COUNT; tier++) {
        for (uint32_t f = 0; f < mp->flow_count && !plan->is_blocked && is_missing(plan); f++) {
            const float *row = expect(plan, f);
            enum tier own = tier_of(plan, f, use_of(plan, row));
            /* While little is known the flows are taken in turn, the same ones at every TTL. */
            bool is_turn = plan->likely > 0 ? own == tier : own < TIER_COUNT;
            if (is_turn && use_flow(plan, f, own))
                count_on(plan, row);
        }
    }
}

static void begin_flows(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    const float *row = row_of(plan, MULTIPATH_SOURCE);
    for (uint32_t i = 0; i < FRESH && !plan->is_blocked && is_missing(plan); i++) {
        float use = use_of(plan, row);
        if (use < 0.01f || mp->flow_count >= mp->max_flows)
            break;
        uint32_t flow = mp->flow_count;
        bool is_placed = plan->before == 0 || mp->hops[plan->before].is_single;
        if (!is_placed && !send_at(plan, flow, plan->before))
            break;
        if ((is_placed || use >= plan->likely) && !send_at(plan, flow, plan->ttl))
            break;
        row = row_of(plan, MULTIPATH_SOURCE);
        count_on(plan, row);
    }
}

/* Routers of which little is known yet may turn out to be one stage: no more flows than that would need are probed
 * before all answers to them are there. */
static uint32_t room_of(struct multipath *mp, uint32_t ttl)
{
    const struct multipath_hop *hop = &mp->hops[ttl];
    uint32_t width = hop->width < STOPPING_MAX_K ? hop->width : STOPPING_MAX_K;
    uint32_t need = stopping_at(width < 2 ? &mp->single : &mp->several, width ? width : 1);
    uint32_t have = hop->answered + hop->waiting;
    if ((mp->is_strict || mp->is_irregular))
        return UINT32_MAX;
    if (have < need)
        return need - have;
    return hop->waiting ? 0 : UINT32_MAX;
}

/* From a vertex behind which nothing is known a flow is sent ahead to all TTLs at once, so that those after it need not
 * be found one after the other; from a silent one, enough flows to see how far the silence goes. */
static void plan_vanguard(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    plan->room = UINT32_MAX;
    for (uint32_t v = 1; v < mp->vertex_count && !plan->is_blocked; v++) {
        const struct multipath_vertex *vertex = &mp->vertices[v];
        bool is_lost = vertex->kind == MULTIPATH_REAL && !vertex->is_end && vertex->flows > 0 &&
                       vertex->successors == 0 && vertex->unanswered == 0 && vertex->waiting == 0;
        bool is_gap = vertex->kind == MULTIPATH_SILENT && vertex->flows > 0 && vertex->successors == 0;
        uint32_t count = is_lost ? 1 : is_gap ? MULTIPATH_SCOUTS : 0;
        uint32_t end =
            is_gap && mp->last > vertex->ttl + mp->gap_limit ? (uint32_t)vertex->ttl + mp->gap_limit : mp->last;
        for (uint32_t f = 0; count > 0 && f < mp->flow_count; f++) {
            if (multipath_cell_at(mp, f, vertex->ttl)->position != v)
                continue;
            for (uint32_t ttl = vertex->ttl + 1u; ttl <= end && !plan->is_blocked; ttl++)
                if (may_send(mp, multipath_cell_at(mp, f, ttl)))
                    (void)send_at(plan, f, ttl);
            count--;
        }
    }
}

/* Links that were only concluded, since everybody passes the one vertex there is, are looked at in one flow. */
static void plan_links(struct plan *plan)
{
    const struct multipath *mp = plan->mp;
    plan->room = UINT32_MAX;
    for (uint32_t i = 0; i < mp->link_count && !plan->is_blocked; i++) {
        const struct multipath_link *link = &mp->links[i];
        uint32_t ttl = mp->vertices[link->to].ttl, best = MULTIPATH_NONE;
        if (link->seen || link->from == MULTIPATH_SOURCE || mp->vertices[link->from].kind != MULTIPATH_REAL ||
            mp->vertices[link->to].kind != MULTIPATH_REAL)
            continue;
        for (uint32_t f = 0; f < mp->flow_count && best == MULTIPATH_NONE; f++)
            if (multipath_cell_at(mp, f, ttl)->vertex == link->to &&
                multipath_cell_at(mp, f, ttl - 1)->position == link->from &&
                may_send(mp, multipath_cell_at(mp, f, ttl - 1)))
                best = f;
        if (best != MULTIPATH_NONE)
            (void)send_at(plan, best, ttl - 1);
    }
}

uint32_t multipath_plan(struct multipath *mp, multipath_send_fn *send_fn, void *user)
{
    struct plan plan = {.mp = mp, .send = send_fn, .user = user};
    uint32_t reached = mp->high < mp->max_ttl ? mp->high + 1u : mp->max_ttl;
    if (!make_room(mp))
        return 0;
    plan_vanguard(&plan);
    for (plan.ttl = 1; plan.ttl <= reached; plan.ttl++) {
        plan.is_blocked = false;
        plan.before = plan.ttl - 1;
        while (plan.before > 0 && mp->hops[plan.before].width == 0 && mp->hops[plan.before].answered > 0)
            plan.before--;
        if (mp->hops[plan.ttl].missing == 0)
            continue;
        plan.room = room_of(mp, plan.ttl);
        plan.likely = plan.room == UINT32_MAX ? LIKELY : 0;
        collect_groups(&plan);
        if (plan.groups == 0 || plan.room == 0)
            continue;
        predict(&plan);
        count_pending(&plan);
        use_flows(&plan);
        if (!plan.is_blocked)
            begin_flows(&plan);
    }
    if (plan.sent == 0 && !plan.is_blocked && multipath_is_complete(mp))
        plan_links(&plan);
    return plan.sent;
}
