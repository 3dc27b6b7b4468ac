/*
 * Whether flows stay on their paths, or a router balances by packet (multipath.h).
 *
 * A flow that is asked again at a TTL and shows the same vertex speaks for every router before it that chooses among
 * several next hops: had one chosen anew, another vertex would have answered, unless its choice leads to the same one.
 * The chance of that follows from the links. The doubt about a router is the product of these chances. Flows are asked
 * again where that lowers the most doubts at once.
 *
 * Two vertices that one flow showed at two TTLs in a row are linked if the second packet came through the first of
 * them. So they are, if no router in doubt lies on the flow's way since the last TTL at which all ways met: such links
 * are proven, others are not told.
 *
 * How much doubt is borne depends on what a router could do. Behind one whose next hops all lead to the same places, be
 * it one router or a stage, no link can be false: there only the name of the balancer is at stake.
 */
#include "probe/multipath.h"

#include <math.h>

#define MAX_DOUBT 0.05f    /* about a router, or a stage, behind which no link can be false */
#define NO_DOUBT 0.00003f  /* about others, and about all when asked to be strict or when some flow left its path */
#define HIDDEN_DOUBT 0.02f /* about routers that showed one next hop, if links behind them might be false */
#define UNSEEN 0.5f        /* of two next hops, one unseen, the same is chosen again so often */
#define FABRIC 4u          /* routers at least: fewer tell too little about each other */
#define TELLING 0.9f       /* a repetition that would show the same vertex more often is not worth a probe */
#define REPETITIONS 16u    /* of one cell at most, lost ones included */
#define FLOWS 16u          /* through one vertex that are looked at */
#define WORTH 0.8f         /* repetitions are sent at once that tell at least so much of what the best one tells */

/* Whether a vertex has a choice, silent next hops included. */
static bool is_choosing(const struct multipath *mp, uint16_t v)
{
    uint32_t i = mp->vertices[v].first_link;
    return mp->vertices[v].kind != MULTIPATH_POOL && i && mp->links[i - 1].next;
}

/* The TTL at which all ways have met before: nothing a router did before it matters behind it. */
static bool is_meeting(const struct multipath *mp, uint32_t ttl)
{
    const struct multipath_hop *hop = &mp->hops[ttl];
    if (ttl == 0)
        return true;
    if ((hop - 1)->is_unstable && !hop->is_complete)
        return false; /* nobody knows how seldom some ways are taken */
    for (uint16_t v = hop->first; hop->width == 1 && v != MULTIPATH_NONE; v = mp->vertices[v].next)
        if (mp->vertices[v].kind == MULTIPATH_REAL && mp->vertices[v].flows > 0)
            return mp->vertices[v].flows == hop->answered;
    return false;
}

/* The chance that a packet of a flow that leaves a vertex, by whichever link, ends where it did before, by the links
 * behind it. Of few flows the shares are not known well: half a flow more is taken to go the same way. */
static float chance_from(const struct multipath *mp, const struct multipath_vertex *v, bool is_end)
{
    float chance = 0.5f, flows = 0.5f;
    if (v->is_end)
        return is_end;
    for (uint32_t i = v->first_link; i; i = mp->links[i - 1].next) {
        chance += (float)mp->links[i - 1].flows * mp->vertices[mp->links[i - 1].to].chance;
        flows += (float)mp->links[i - 1].flows;
    }
    return chance / flows;
}

/*
 * Sets for the vertices on a flow's way to a TTL the chance that the flow shows the same vertex there again although
 * they chose anew: `choice`; and for the vertices beside its way the chance that a packet there gets there, too. Who
 * comes back to the flow's own way stays on it, since those behind choose by flow, or are in doubt themselves. Returns
 * the lowest TTL whose router this tells about: before it all ways meet, or it is not known where the flow was.
 */
static uint32_t set_chances(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    uint16_t own = multipath_cell_at(mp, flow, ttl)->vertex;
    for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
        mp->vertices[v].chance = v == own ? 1 : 0;
    bool is_end = mp->vertices[own].is_end;
    for (uint32_t i = ttl; i-- > 0;) {
        own = multipath_cell_at(mp, flow, i)->position;
        if (own == MULTIPATH_NONE || mp->vertices[own].kind == MULTIPATH_POOL)
            return i + 1;
        for (uint16_t v = mp->hops[i].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
            if (v == own)
                mp->vertices[v].choice = is_choosing(mp, v) ? chance_from(mp, &mp->vertices[v], is_end)
                                         : i + 1 == ttl     ? UNSEEN
                                                            : 1;
            mp->vertices[v].chance = v == own ? 1 : chance_from(mp, &mp->vertices[v], is_end);
        }
        if (is_meeting(mp, i))
            return i;
    }
    return 0;
}

/* Whether all routers of a TTL are one stage, each of which leads to all of the next. */
static bool is_full_stage(const struct multipath *mp, uint32_t ttl)
{
    const struct multipath_hop *hop = &mp->hops[ttl + 1];
    uint16_t group = MULTIPATH_NONE;
    if (!hop->has_stage || hop->is_split || mp->hops[ttl].is_unstable || mp->hops[ttl].width < FABRIC)
        return false;
    for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (mp->vertices[v].flows == 0)
            continue;
        uint16_t own = v;
        while (mp->vertices[own].group != own)
            own = mp->vertices[own].group;
        if (group != MULTIPATH_NONE && own != group)
            return false;
        group = own;
    }
    return true;
}

/* Sets is_full and is_harmless of the hops: behind the routers at such a TTL no link can be false. */
static void find_harmless(const struct multipath *mp)
{
    for (uint32_t ttl = mp->high; ttl-- > 0;) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->is_full = is_full_stage(mp, ttl);
        hop->is_harmless = ttl + 1 >= mp->high || is_meeting(mp, ttl + 1) || is_meeting(mp, ttl + 2) ||
                           ((hop + 1)->is_full && (hop + 1)->is_harmless);
    }
}

static uint16_t group_of(const struct multipath *mp, uint16_t v)
{
    while (mp->vertices[v].group != v)
        v = mp->vertices[v].group;
    return v;
}

/* The doubt about a router, as a multiple of what is borne. Those of a stage are taken to be alike where nothing
 * depends on that but a name. A router that showed one next hop may have another. */
static float excess_doubt(const struct multipath *mp, uint16_t v)
{
    const struct multipath_vertex *vertex = &mp->vertices[v];
    const struct multipath_hop *hop = &mp->hops[vertex->ttl];
    if (vertex->kind == MULTIPATH_POOL)
        return 0;
    if (!is_choosing(mp, v))
        return vertex->through > 0 && !hop->is_harmless ? vertex->doubt / HIDDEN_DOUBT : 0;
    if (mp->has_mixed || mp->is_strict || mp->is_irregular || !hop->is_harmless)
        return vertex->doubt / NO_DOUBT;
    return (hop->is_full ? mp->vertices[group_of(mp, v)].stage_doubt : vertex->doubt) / MAX_DOUBT;
}

static bool is_doubtful(const struct multipath *mp, uint16_t v)
{
    return excess_doubt(mp, v) > 1;
}

static void lower_doubt(const struct multipath *mp, uint16_t v, float factor)
{
    mp->vertices[v].doubt *= factor;
    mp->vertices[group_of(mp, v)].stage_doubt *= factor;
}

/* --- asking again ------------------------------------------------------------------------------------------------- */

/* How many repetitions of a cell speak for its path. Where some flows get no answer a lost one is no proof of anything,
 * and the others are none either. */
static uint32_t repetitions_of(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
    uint8_t end = mp->flows[flow].end_ttl;
    if (mp->hops[ttl].is_unstable || cell->vertex == MULTIPATH_NONE || (end && ttl > end))
        return 0;
    if (mp->hops[ttl].has_silence && cell->sent > cell->out + cell->received)
        return 0;
    return cell->received > 0 ? cell->received - 1u : 0;
}

/* Counts what repetitions say about the routers on a flow's path. */
static void count_repetitions(const struct multipath *mp, uint32_t flow, uint32_t ttl, uint32_t count)
{
    for (uint32_t i = set_chances(mp, flow, ttl); i < ttl; i++) {
        uint16_t v = multipath_cell_at(mp, flow, i)->position;
        lower_doubt(mp, v, powf(mp->vertices[v].choice, (float)count));
    }
}

/* Whether answers that tell more are under way. */
static bool is_testing(const struct multipath *mp)
{
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
            const struct multipath_cell *cell = multipath_cell_at(mp, f, ttl);
            if (cell->received > 0 && cell->out > 0)
                return true;
        }
    }
    return false;
}

/* Sums up what is known. */
static void weigh(const struct multipath *mp)
{
    for (uint16_t v = 0; v < mp->vertex_count; v++) {
        struct multipath_vertex *vertex = &mp->vertices[v];
        vertex->stage_doubt = 1;
        vertex->doubt = is_choosing(mp, v) || vertex->through == 0 ? 1 : exp2f(1 - (float)vertex->through);
    }
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        mp->hops[ttl].has_silence = false;
        for (uint32_t f = 0; f < mp->flow_count; f++)
            mp->hops[ttl].has_silence |= multipath_cell_at(mp, f, ttl)->is_silent;
        for (uint32_t f = 0; f < mp->flow_count; f++) {
            uint32_t count = repetitions_of(mp, f, ttl);
            if (count > 0)
                count_repetitions(mp, f, ttl, count);
        }
    }
    find_harmless(mp);
}

/* What asking a flow again would tell about routers in doubt. */
static float gain_of(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    float gain = 0;
    for (uint32_t i = set_chances(mp, flow, ttl); i < ttl; i++) {
        uint16_t v = multipath_cell_at(mp, flow, i)->position;
        float excess = excess_doubt(mp, v);
        if (excess > 1 && mp->vertices[v].choice < TELLING)
            gain += fminf(-logf(mp->vertices[v].choice), logf(excess) + 0.1f);
    }
    return gain;
}

struct asking {
    multipath_send_fn *send;
    void *user;
    float worth; /* send what gains so much; 0 = look only */
    float best;  /* gain that was met */
    uint32_t sent;
    bool is_blocked;
};

/* Goes over flows that showed a vertex. */
static void ask_again(struct multipath *mp, uint16_t v, struct asking *asking)
{
    uint32_t ttl = mp->vertices[v].ttl, flows = 0;
    for (uint32_t f = 0; f < mp->flow_count && flows < FLOWS && !asking->is_blocked; f++) {
        const struct multipath_cell *cell = multipath_cell_at(mp, f, ttl);
        uint8_t end = mp->flows[f].end_ttl;
        if (cell->vertex != v || cell->out || cell->sent >= REPETITIONS || (end && ttl > end))
            continue;
        if (mp->hops[ttl].has_silence && cell->sent > cell->received)
            continue;
        float gain = gain_of(mp, f, ttl);
        flows += gain > 0;
        asking->best = gain > asking->best ? gain : asking->best;
        if (asking->worth == 0 || gain < asking->worth)
            continue;
        if (!asking->send(asking->user, (uint16_t)f, (uint8_t)ttl)) {
            asking->is_blocked = true;
            break;
        }
        asking->sent++;
        count_repetitions(mp, f, ttl, 1); /* most likely */
    }
}

/* One turn over everything; the TTLs farthest away tell the most, as a rule. */
static void ask_all(struct multipath *mp, struct asking *asking)
{
    asking->best = 0;
    for (uint32_t ttl = mp->high; ttl > 0; ttl--)
        for (uint16_t v = mp->hops[ttl].first; v != MULTIPATH_NONE && !mp->hops[ttl].is_unstable;
             v = mp->vertices[v].next)
            if (mp->vertices[v].kind == MULTIPATH_REAL && mp->vertices[v].flows > 0)
                ask_again(mp, v, asking);
}

uint32_t multipath_plan_tests(struct multipath *mp, multipath_send_fn *send, void *user, bool *ret_is_waiting)
{
    struct asking asking = {.send = send, .user = user};
    bool is_doubt = false;
    *ret_is_waiting = is_testing(mp);
    if (*ret_is_waiting)
        return 0;
    weigh(mp);
    for (uint32_t v = 0; v < mp->vertex_count && !is_doubt; v++)
        is_doubt = is_doubtful(mp, (uint16_t)v);
    while (is_doubt && !asking.is_blocked) {
        asking.worth = 0;
        ask_all(mp, &asking);
        if (asking.best <= 0)
            break;
        asking.worth = asking.best * WORTH;
        ask_all(mp, &asking);
    }
    return asking.sent;
}

/* --- what is proven ----------------------------------------------------------------------------------------------- */

/* Sets is_clear of the hops: no flow can have come there by another way than its next packet. */
static void find_clear(const struct multipath *mp)
{
    bool is_clear = true;
    for (uint32_t ttl = 0; ttl <= mp->high; ttl++) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->is_clear = is_clear = is_meeting(mp, ttl) || (is_clear && !hop->is_unstable);
        for (uint16_t v = hop->first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
            is_clear &= mp->vertices[v].flows == 0 || !is_doubtful(mp, v);
    }
}

bool multipath_is_sure(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    for (uint32_t i = ttl;; i--) {
        uint16_t v = multipath_cell_at(mp, flow, i)->position;
        if (v == MULTIPATH_NONE)
            return i < ttl && mp->hops[i + 1].is_clear;
        if (mp->vertices[v].kind == MULTIPATH_POOL || (i < ttl && is_doubtful(mp, v)))
            return false;
        if (is_meeting(mp, i))
            return true;
    }
}

static void prove_links(struct multipath *mp)
{
    for (uint32_t i = 0; i < mp->link_count; i++)
        mp->links[i].proven = 0;
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        for (uint32_t ttl = 1; ttl < mp->high; ttl++) {
            uint16_t from = multipath_cell_at(mp, f, ttl)->vertex, to = multipath_cell_at(mp, f, ttl + 1)->vertex;
            if (from == MULTIPATH_NONE || to == MULTIPATH_NONE || !multipath_is_sure(mp, f, ttl))
                continue;
            for (uint32_t i = mp->vertices[from].first_link; i; i = mp->links[i - 1].next)
                mp->links[i - 1].proven += mp->links[i - 1].to == to;
        }
    }
}

void multipath_judge_steadiness(struct multipath *mp)
{
    weigh(mp);
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->is_steady = hop->width < 2 || ((hop - 1)->width < 2 || (hop - 1)->is_steady);
        for (uint16_t v = (hop - 1)->first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
            hop->is_steady &= hop->width < 2 || !is_doubtful(mp, v);
    }
    find_clear(mp);
    prove_links(mp);
}
