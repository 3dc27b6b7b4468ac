/*
 * Whether flows stay on their paths, or a router balances by packet (multipath.h).
 *
 * A flow that is asked again at a TTL and shows the same vertex speaks for every router before it that chooses among
 * several next hops: had one chosen anew, another vertex would have answered, unless its choice leads to the same one.
 * The chance of that follows from the links. The doubt about a router, or a stage, is the product of these chances, and
 * is to come below MAX_DOUBT. One flow asked again where its path is about to meet the others speaks for all the
 * choices on it at once.
 */
#include "probe/multipath.h"

#define MAX_DOUBT 0.02f  /* about a stage, or a router that is none of one */
#define NO_DOUBT 0.0005f /* about each router, when asked to be strict and once one flow was seen to leave its path */
#define TELLING 0.8f     /* a repetition that would show the same vertex more often is not worth a probe */
#define REPETITIONS 4u   /* of one cell at most, lost ones included */

/* For the vertices before a TTL: the chance that a flow from there comes through `to`. */
static void set_chances(const struct multipath *mp, uint32_t ttl, uint16_t to)
{
    for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
        mp->vertices[v].chance = v == to ? 1 : 0;
    while (ttl-- > 0) {
        for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
            float chance = 0, flows = 0;
            for (uint32_t i = mp->vertices[v].first_link; i; i = mp->links[i - 1].next) {
                chance += (float)mp->links[i - 1].flows * mp->vertices[mp->links[i - 1].to].chance;
                flows += (float)mp->links[i - 1].flows;
            }
            mp->vertices[v].chance = flows > 0 ? chance / flows : 0;
        }
    }
}

static uint16_t group_of(const struct multipath *mp, uint16_t v)
{
    while (mp->vertices[v].group != v)
        v = mp->vertices[v].group;
    return v;
}

/* The chance that a flow shows the same vertex again although the router it passes at a TTL chose anew: it may have
 * made the same choice, or one that leads to the same vertex. After set_chances. */
static float same_chance(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    const struct multipath_vertex *v = &mp->vertices[multipath_cell_at(mp, flow, ttl)->position];
    uint16_t taken = multipath_cell_at(mp, flow, ttl + 1)->position;
    float chance = 0, flows = 0;
    if (taken == MULTIPATH_NONE)
        return 1;
    for (uint32_t i = v->first_link; i; i = mp->links[i - 1].next) {
        const struct multipath_link *link = &mp->links[i - 1];
        chance += (float)link->flows * (link->to == taken ? 1 : mp->vertices[link->to].chance);
        flows += (float)link->flows;
    }
    return flows > 0 ? chance / flows : 1;
}

/* What a flow that shows (or will show) the same vertex again at a TTL says about the routers on its path. */
static void count_repetition(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    set_chances(mp, ttl, multipath_cell_at(mp, flow, ttl)->vertex);
    for (uint32_t i = 0; i < ttl; i++) {
        uint16_t v = multipath_cell_at(mp, flow, i)->position;
        if (v != MULTIPATH_NONE && mp->vertices[v].successors >= 2)
            mp->vertices[mp->has_mixed ? v : group_of(mp, v)].doubt *= same_chance(mp, flow, i);
    }
}

static bool is_usable(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
    uint8_t end = mp->flows[flow].end_ttl;
    return !mp->hops[ttl].is_unstable && cell->vertex != MULTIPATH_NONE && (end == 0 || ttl <= end);
}

/* Sums up what is known, answers under way being taken for what they most likely are. True when some are under way. */
static bool weigh(const struct multipath *mp)
{
    bool is_waiting = false;
    for (uint32_t v = 0; v < mp->vertex_count; v++)
        mp->vertices[v].doubt = 1;
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        for (uint32_t f = 0; f < mp->flow_count; f++) {
            const struct multipath_cell *cell = multipath_cell_at(mp, f, ttl);
            bool is_repeating = cell->received > 0 && cell->out > 0;
            is_waiting |= is_repeating;
            for (uint32_t n = is_repeating; n + 1 < cell->received + 2u * is_repeating && is_usable(mp, f, ttl); n++)
                count_repetition(mp, f, ttl);
        }
    }
    return is_waiting;
}

/* Whether there is a choice at a group that is still in doubt. */
static bool is_doubtful(const struct multipath *mp, uint16_t v)
{
    const struct multipath_vertex *vertex = &mp->vertices[v];
    bool is_one = mp->has_mixed ? vertex->successors >= 2 : vertex->group == v && vertex->is_branching;
    return is_one && vertex->kind != MULTIPATH_POOL &&
           vertex->doubt > (mp->has_mixed || mp->is_strict ? NO_DOUBT : MAX_DOUBT) &&
           !mp->hops[vertex->ttl + 1].is_unstable;
}

/* The highest TTL at which asking a flow again tells something about the choice at one of its vertices; 0 = none. */
static uint32_t telling_ttl(const struct multipath *mp, uint32_t flow, uint16_t v)
{
    uint32_t low = mp->vertices[v].ttl + 1u, ttl = low;
    while (ttl < mp->high && mp->hops[ttl + 1].width >= 2 && !mp->hops[ttl + 1].is_unstable)
        ttl++;
    for (; ttl >= low; ttl--) {
        const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
        if (!is_usable(mp, flow, ttl) || cell->out || cell->received > 1 || cell->sent >= REPETITIONS)
            continue;
        set_chances(mp, ttl, cell->vertex);
        if (same_chance(mp, flow, mp->vertices[v].ttl) <= TELLING)
            return ttl;
    }
    return 0;
}

/* One flow through a group, asked again. */
static bool test_group(const struct multipath *mp, uint16_t group, multipath_send_fn *send, void *user)
{
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        uint16_t v = multipath_cell_at(mp, f, mp->vertices[group].ttl)->position;
        if (v == MULTIPATH_NONE || (v != group && (mp->has_mixed || group_of(mp, v) != group)) ||
            mp->vertices[v].successors < 2)
            continue;
        uint32_t ttl = telling_ttl(mp, f, v);
        if (ttl && send(user, (uint16_t)f, (uint8_t)ttl)) {
            count_repetition(mp, f, ttl);
            return true;
        }
    }
    return false;
}

uint32_t multipath_plan_tests(struct multipath *mp, multipath_send_fn *send, void *user, bool *ret_is_waiting)
{
    uint32_t sent = 0;
    *ret_is_waiting = weigh(mp);
    for (uint32_t v = 0; v < mp->vertex_count; v++)
        while (is_doubtful(mp, (uint16_t)v) && test_group(mp, (uint16_t)v, send, user))
            sent++;
    return sent;
}

void multipath_judge_steadiness(struct multipath *mp)
{
    (void)weigh(mp);
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->is_steady = hop->width < 2 || ((hop - 1)->width < 2 || (hop - 1)->is_steady);
        for (uint16_t v = (hop - 1)->first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
            hop->is_steady &= hop->width < 2 || !is_doubtful(mp, v);
    }
}
