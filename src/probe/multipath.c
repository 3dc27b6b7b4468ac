#include "probe/multipath.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define FIRST_ROOM 64u
#define MAX_VERTICES (2 * LIMIT_EXHAUSTIVE_INTERFACES) /* silent ones and pools included */
#define SINGLE_FLOWS                                                                                                   \
    4u               /* after so many flows at one vertex the others are taken to pass it too, until one does not      \
                      */
#define MAX_LOOPS 2u /* times an address may come again in a flow before that is a loop */
#define MAX_RUN 8u   /* hops in a row with one address before that is a loop */
#define EVEN_QUANTILE 3.09 /* of the normal distribution: an even spread is taken for uneven once in 1000 */
#define STAGE_ROUTERS 3u   /* that showed several next hops, for another to be of their stage that showed one */
#define LITTLE 3u          /* to so many flows at most */
#define FEW_LINKS 2.8      /* standard deviations fewer links than in a full stage: so once in 400 */
#define VERY_FEW_LINKS 4.5 /* so never */
#define MAX_POOL_FACTOR 32.0
#define UNLIKELY 0.002 /* so seldom a router of a full stage shows so few of its next hops */

/* --- memory ---------------------------------------------------------------------------- */

/* Doubles an array of the arena, up to a ceiling. */
static bool grow(struct multipath *mp, void *array, uint32_t *room, uint32_t count, size_t size, uint32_t ceiling)
{
    if (count < *room)
        return true;
    uint32_t more = *room ? *room * 2 : FIRST_ROOM;
    if (more > ceiling)
        more = ceiling;
    void *bigger = more > count ? arena_alloc_array(mp->arena, more, size) : NULL;
    if (!bigger) {
        mp->is_cut = true;
        return false;
    }
    void **place = array;
    if (count)
        memcpy(bigger, *place, count * size);
    *place = bigger;
    *room = more;
    return true;
}

static uint16_t add_vertex(struct multipath *mp, uint32_t ttl, enum multipath_kind kind)
{
    void *vertices = mp->vertices;
    if (!grow(mp, &vertices, &mp->vertex_room, mp->vertex_count, sizeof *mp->vertices, MAX_VERTICES))
        return MULTIPATH_NONE;
    mp->vertices = vertices;
    uint16_t number = (uint16_t)mp->vertex_count++;
    mp->vertices[number] = (struct multipath_vertex){
        .kind = kind, .ttl = (uint8_t)ttl, .next = mp->hops[ttl].first, .silent = MULTIPATH_NONE};
    mp->hops[ttl].first = number;
    return number;
}

bool multipath_init(struct multipath *mp)
{
    mp->hops = arena_alloc_array(mp->arena, mp->max_ttl + 1u, sizeof *mp->hops);
    if (!mp->hops)
        return false;
    for (uint32_t ttl = 0; ttl <= mp->max_ttl; ttl++)
        mp->hops[ttl].first = mp->hops[ttl].pool = MULTIPATH_NONE;
    return add_vertex(mp, 0, MULTIPATH_REAL) == MULTIPATH_SOURCE;
}

/* The vertex that flows pass where there is only one. */
static uint16_t first_passed(const struct multipath *mp, uint32_t ttl)
{
    uint16_t v = mp->hops[ttl].first;
    while (mp->vertices[v].kind != MULTIPATH_REAL || mp->vertices[v].flows == 0)
        v = mp->vertices[v].next;
    return mp->vertices[v].is_end ? MULTIPATH_NONE : v;
}

uint16_t multipath_add_flow(struct multipath *mp)
{
    void *flows = mp->flows;
    struct multipath_cell *cells = NULL;
    if (grow(mp, &flows, &mp->flow_room, mp->flow_count, sizeof *mp->flows, mp->max_flows)) {
        mp->flows = flows;
        cells = arena_alloc_array(mp->arena, mp->max_ttl + 1u, sizeof *cells);
    }
    if (!cells) {
        mp->is_cut = true;
        return MULTIPATH_NONE;
    }
    for (uint32_t ttl = 0; ttl <= mp->max_ttl; ttl++) {
        cells[ttl].vertex = MULTIPATH_NONE;
        cells[ttl].position = mp->hops[ttl].is_single ? first_passed(mp, ttl) : MULTIPATH_NONE;
    }
    cells[0].position = MULTIPATH_SOURCE;
    mp->flows[mp->flow_count].cells = cells;
    return (uint16_t)mp->flow_count++;
}

/* --- answers ---------------------------------------------------------------------------- */

static bool is_at(const struct multipath *mp, const struct multipath_cell *cell, const union sock_addr *addr)
{
    return cell->vertex != MULTIPATH_NONE && sock_same_ip(&mp->vertices[cell->vertex].addr, addr);
}

/* The TTL at which a flow's path closes a circle through this address; 0 = it does not. An address that comes again
 * once is no loop: a router that forwards packets whose TTL is used up makes the next one answer twice. */
static uint32_t find_loop(const struct multipath *mp, uint32_t flow, const union sock_addr *addr)
{
    uint32_t again = 0, first_again = 0, run = 0, first = 0;
    bool was_here = false;
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
        if (cell->vertex == MULTIPATH_NONE)
            continue;
        bool is_here = is_at(mp, cell, addr);
        if (is_here && !was_here && first && again++ == 0)
            first_again = ttl;
        if (is_here && !first)
            first = ttl;
        run = is_here ? run + 1 : 0;
        was_here = is_here;
    }
    return again >= MAX_LOOPS ? first_again : run >= MAX_RUN && again == 0 ? first + 1 : 0;
}

static uint16_t find_vertex(const struct multipath *mp, uint32_t ttl, const union sock_addr *addr, bool is_end)
{
    uint16_t v = mp->hops[ttl].first;
    while (v != MULTIPATH_NONE && (mp->vertices[v].kind != MULTIPATH_REAL || mp->vertices[v].is_end != is_end ||
                                   !sock_same_ip(&mp->vertices[v].addr, addr)))
        v = mp->vertices[v].next;
    return v;
}

uint16_t multipath_answer(struct multipath *mp, uint32_t flow, uint32_t ttl, const union sock_addr *addr, bool is_end,
                          bool is_target)
{
    struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
    uint8_t *end = &mp->flows[flow].end_ttl;
    if (*end && ttl > *end)
        return MULTIPATH_NONE; /* beyond the end everything is the end */
    uint16_t v = find_vertex(mp, ttl, addr, is_end);
    if (v == MULTIPATH_NONE) {
        v = add_vertex(mp, ttl, MULTIPATH_REAL);
        if (v == MULTIPATH_NONE)
            return v;
        mp->vertices[v].addr = *addr;
        mp->vertices[v].is_end = is_end;
        mp->vertices[v].is_target = is_target;
    }
    if (cell->vertex == MULTIPATH_NONE)
        cell->vertex = v;
    else if (!sock_same_ip(&mp->vertices[cell->vertex].addr, addr))
        cell->is_mixed = mp->hops[ttl].is_unstable = mp->has_mixed = true;
    if (is_end) {
        *end = (uint8_t)ttl;
        return v;
    }
    uint32_t loop = find_loop(mp, flow, addr);
    if (loop && (*end == 0 || loop < *end)) {
        *end = (uint8_t)loop;
        uint16_t closing = multipath_cell_at(mp, flow, loop)->vertex;
        if (closing != MULTIPATH_NONE)
            mp->vertices[closing].is_loop = true;
    }
    return v;
}

/* --- analysis: where the flows are ---------------------------------------------------------------------------- */

static void count_link(struct multipath *mp, uint16_t from, uint16_t to, bool is_seen)
{
    uint32_t i = mp->vertices[from].first_link;
    while (i && mp->links[i - 1].to != to)
        i = mp->links[i - 1].next;
    if (i) {
        mp->links[i - 1].flows++;
        mp->links[i - 1].seen += is_seen;
        return;
    }
    void *links = mp->links;
    if (!grow(mp, &links, &mp->link_room, mp->link_count, sizeof *mp->links, LIMIT_EXHAUSTIVE_LINKS))
        return;
    mp->links = links;
    mp->links[mp->link_count] = (struct multipath_link){
        .from = from, .to = to, .flows = 1, .seen = is_seen, .next = mp->vertices[from].first_link};
    mp->vertices[from].first_link = ++mp->link_count;
    if (mp->vertices[to].kind == MULTIPATH_REAL)
        mp->vertices[from].successors++;
}

static bool is_beyond_end(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    return mp->flows[flow].end_ttl && ttl > mp->flows[flow].end_ttl;
}

/* An answer that ends a path says no more than that it ends here or before, unless one knows where the flow was before.
 */
static bool is_unsure(const struct multipath *mp, uint32_t flow, uint32_t ttl)
{
    uint16_t v = multipath_cell_at(mp, flow, ttl)->vertex;
    return v != MULTIPATH_NONE && mp->vertices[v].is_end &&
           multipath_cell_at(mp, flow, ttl - 1)->position == MULTIPATH_NONE;
}

/* How many flows must stay silent behind a vertex before that is believed. */
static uint32_t silent_need(struct multipath *mp, const struct multipath_vertex *v)
{
    return v->kind == MULTIPATH_SILENT ? MULTIPATH_SCOUTS : stopping_at(&mp->single, 1);
}

/* Counts what the flows through each vertex of the TTL before saw at this one. */
static void count_cells(struct multipath *mp, uint32_t ttl)
{
    struct multipath_hop *hop = &mp->hops[ttl];
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        const struct multipath_cell *cell = multipath_cell_at(mp, f, ttl);
        uint16_t before = multipath_cell_at(mp, f, ttl - 1)->position;
        if (is_beyond_end(mp, f, ttl) || is_unsure(mp, f, ttl))
            continue;
        hop->answered += cell->vertex != MULTIPATH_NONE || cell->is_silent;
        hop->waiting += cell->vertex == MULTIPATH_NONE && cell->out > 0;
        if (cell->vertex != MULTIPATH_NONE) {
            struct multipath_vertex *here = &mp->vertices[cell->vertex];
            hop->width += here->flows++ == 0;
            mp->last = ttl > mp->last ? (uint8_t)ttl : mp->last;
        }
        if (before == MULTIPATH_NONE)
            continue;
        struct multipath_vertex *v = &mp->vertices[before];
        if (cell->vertex != MULTIPATH_NONE) {
            v->through++;
            v->attempts += cell->sent - cell->out;
            v->lost +=
                cell->sent > cell->out + cell->received ? (uint32_t)(cell->sent - cell->out - cell->received) : 0;
            count_link(mp, before, cell->vertex, multipath_cell_at(mp, f, ttl - 1)->vertex == before);
        } else if (cell->is_silent) {
            v->unanswered++;
        } else if (cell->out) {
            v->waiting++;
        }
    }
}

static uint16_t silent_behind(struct multipath *mp, uint16_t v)
{
    if (mp->vertices[v].silent == MULTIPATH_NONE) {
        uint16_t silent = add_vertex(mp, mp->vertices[v].ttl + 1u, MULTIPATH_SILENT);
        if (silent != MULTIPATH_NONE)
            mp->vertices[silent].gap = (uint8_t)(mp->vertices[v].gap + 1);
        mp->vertices[v].silent = silent;
    }
    return mp->vertices[v].silent;
}

/* Silence is a router that never answers when nobody else does behind the same vertex, or when those who do always do;
 * else it is loss. */
static void judge_silence(struct multipath *mp, uint32_t ttl)
{
    for (uint16_t i = mp->hops[ttl - 1].first; i != MULTIPATH_NONE; i = mp->vertices[i].next) {
        struct multipath_vertex *v = &mp->vertices[i];
        if (v->successors == 0)
            v->is_silent_next = v->unanswered >= silent_need(mp, v);
        else
            v->is_silent_next = v->unanswered >= 2 && v->lost * 5 <= v->attempts;
    }
}

static void place_flows(struct multipath *mp, uint32_t ttl)
{
    struct multipath_hop *hop = &mp->hops[ttl];
    /* What comes after a choice by packet is as unsteady, up to where all ways meet again. */
    hop->is_unstable |= hop->width >= 2 && (hop - 1)->is_unstable;
    if (hop->is_unstable && hop->pool == MULTIPATH_NONE)
        hop->pool = add_vertex(mp, ttl, MULTIPATH_POOL);
    for (uint32_t f = 0; f < mp->flow_count; f++) {
        struct multipath_cell *cell = multipath_cell_at(mp, f, ttl);
        uint16_t before = multipath_cell_at(mp, f, ttl - 1)->position, *position = &cell->position;
        *position = MULTIPATH_NONE;
        if (is_beyond_end(mp, f, ttl) || is_unsure(mp, f, ttl))
            continue;
        if (hop->is_unstable && mp->flows[f].end_ttl != ttl)
            *position = hop->pool;
        else if (cell->vertex != MULTIPATH_NONE)
            *position = cell->vertex;
        else if (before != MULTIPATH_NONE && mp->vertices[before].is_silent_next &&
                 (cell->is_silent || mp->vertices[before].successors == 0))
            *position = silent_behind(mp, before);
        else if (hop->is_single && hop->width == 1 && cell->sent == 0)
            *position = first_passed(mp, ttl); /* there is no other, as far as the confidence goes */
        if (*position != MULTIPATH_NONE && mp->vertices[*position].kind != MULTIPATH_REAL) {
            mp->vertices[*position].flows++;
            if (before != MULTIPATH_NONE)
                count_link(mp, before, *position, false); /* for the prediction of where flows go */
        }
    }
}

static void forget(struct multipath *mp)
{
    for (uint32_t i = 0; i < mp->vertex_count; i++) {
        struct multipath_vertex *v = &mp->vertices[i];
        v->is_silent_next = false;
        v->flows = v->first_link = v->through = v->successors = v->unanswered = v->waiting = 0;
        v->attempts = v->lost = v->need = 0;
    }
    mp->link_count = 0;
    mp->last = 0;
    for (uint32_t ttl = 1; ttl <= mp->max_ttl; ttl++) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->width = hop->answered = hop->waiting = hop->missing = 0;
    }
    for (uint32_t f = 0; f < mp->flow_count; f++)
        multipath_cell_at(mp, f, 0)->position = MULTIPATH_SOURCE;
    mp->vertices[MULTIPATH_SOURCE].flows = mp->flow_count;
}

/* --- analysis: stages and their stopping points
 * ---------------------------------------------------------------------------- */

static uint16_t group_of(struct multipath *mp, uint16_t v)
{
    while (mp->vertices[v].group != v)
        v = mp->vertices[v].group;
    return v;
}

/* Whether every router is tested by itself. */
static bool is_strict(const struct multipath *mp)
{
    return mp->is_strict || mp->is_irregular;
}

/* Routers that very few flows passed, which all showed one next hop, are of the stage beside them if there is but one,
 * of several routers: whether the links of all of them together are too few for a stage is looked at later. */
static void join_little_known(struct multipath *mp, uint32_t ttl)
{
    uint16_t stage = MULTIPATH_NONE;
    uint32_t members = 0;
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (mp->vertices[v].successors < 2)
            continue;
        if (stage != MULTIPATH_NONE && group_of(mp, v) != stage)
            return;
        stage = group_of(mp, v);
        members++;
    }
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE && members >= STAGE_ROUTERS;
         v = mp->vertices[v].next) {
        const struct multipath_vertex *vertex = &mp->vertices[v];
        if (vertex->kind != MULTIPATH_REAL || vertex->successors != 1 || vertex->through > LITTLE || vertex->unanswered)
            continue;
        uint16_t to = mp->links[vertex->first_link - 1].to, beside = mp->vertices[to].mark;
        if (!mp->vertices[to].is_target && beside != MULTIPATH_NONE && group_of(mp, beside) == stage)
            mp->vertices[v].group = stage;
    }
}

/* Joins the routers before a TTL that may be tested together. */
static void join_groups(struct multipath *mp, uint32_t ttl)
{
    const struct multipath_hop *hop = &mp->hops[ttl];
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
        mp->vertices[v].group = v;
    for (uint16_t v = hop->first; v != MULTIPATH_NONE; v = mp->vertices[v].next)
        mp->vertices[v].mark = MULTIPATH_NONE;
    if (is_strict(mp))
        return;
    bool is_fabric = mp->hops[ttl - 1].has_stage && !mp->hops[ttl - 1].is_split; /* and joins here */
    for (uint32_t i = hop->first_link; i < hop->first_link + hop->link_count; i++) {
        const struct multipath_link *link = &mp->links[i];
        struct multipath_vertex *from = &mp->vertices[link->from], *to = &mp->vertices[link->to];
        bool is_silent =
            from->kind == MULTIPATH_SILENT; /* most likely one router, and asked about what comes after it */
        bool is_stage = (from->successors >= 2 || is_silent) && !hop->is_split;
        bool is_last = from->successors == 1 && (to->is_target || (hop->width == 1 && is_fabric));
        if (to->kind != MULTIPATH_REAL || from->kind == MULTIPATH_POOL || (!is_stage && !is_last))
            continue;
        /* A target's mark would join stages with routers that lead nowhere else: the two kinds stay apart. */
        if (is_stage && to->is_target)
            continue;
        if (to->mark != MULTIPATH_NONE)
            mp->vertices[group_of(mp, link->from)].group = group_of(mp, to->mark);
        to->mark = link->from;
    }
    join_little_known(mp, ttl);
}

struct stage {
    uint32_t members, successors, through, unanswered, waiting;
    bool is_even, is_full;
    double links; /* how many the routers showed beyond those expected, in standard deviations */
};

/* The links that a router leading to all of k next hops shows to n flows: their mean and variance. */
static void expect_links(double k, double n, double *mean, double *variance)
{
    double one = pow(1 - 1 / k, n),
           two = pow(1 - 2 / k, n); /* the chances that one next hop, two of them, stay unseen */
    *mean += k * (1 - one);
    *variance += k * (k - 1) * two + k * one - k * k * one * one;
}

/* Whether a router that leads to all `of` next hops would show only `seen` of them to so many flows. */
static bool is_likely(uint32_t seen, uint32_t of, uint32_t flows)
{
    if (seen >= of)
        return true;
    double ways = lgamma(of + 1.0) - lgamma(seen + 1.0) - lgamma(of - seen + 1.0);
    return exp(ways + flows * log((double)seen / of)) >= UNLIKELY;
}

/* Sums up a group, and says whether its flows are spread as they would be in a stage. */
static struct stage sum_up(struct multipath *mp, uint32_t ttl, uint16_t group)
{
    const struct multipath_hop *hop = &mp->hops[ttl];
    struct stage stage = {.is_even = true, .is_full = true};
    double squares = 0;
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        const struct multipath_vertex *member = &mp->vertices[v];
        if (group_of(mp, v) != group)
            continue;
        stage.members++;
        stage.through += member->through;
        stage.unanswered += member->unanswered;
        stage.waiting += member->waiting;
    }
    for (uint16_t to = hop->first; to != MULTIPATH_NONE; to = mp->vertices[to].next) {
        uint32_t flows = 0;
        for (uint32_t i = hop->first_link; i < hop->first_link + hop->link_count; i++)
            if (mp->links[i].to == to && group_of(mp, mp->links[i].from) == group)
                flows += mp->links[i].flows;
        if (flows == 0 || mp->vertices[to].kind != MULTIPATH_REAL)
            continue;
        stage.successors++;
        squares += (double)flows * flows;
    }
    if (stage.members < 2 || stage.successors < 2)
        return stage;
    double k = stage.successors, n = stage.through, d = k - 1;
    double critical = 1 - 2 / (9 * d) + EVEN_QUANTILE * sqrt(2 / (9 * d)); /* chi-squared, by Wilson and Hilferty */
    stage.is_even = n < 4 * k || squares * k / n - n <= d * critical * critical * critical;
    double mean = 0, variance = 0, links = 0;
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (group_of(mp, v) != group || mp->vertices[v].through == 0)
            continue;
        stage.is_full &= is_likely(mp->vertices[v].successors, stage.successors, mp->vertices[v].through);
        expect_links(k, mp->vertices[v].through, &mean, &variance);
        links += mp->vertices[v].successors;
    }
    stage.links = variance > 0.01 ? (links + 0.5 - mean) / sqrt(variance) : 0;
    return stage;
}

/* Whether what comes behind a vertex is to be found out. */
static bool is_asked(const struct multipath *mp, const struct multipath_vertex *v)
{
    bool is_pooled = v->kind == MULTIPATH_REAL && mp->hops[v->ttl].is_unstable;
    bool is_beyond = v->kind == MULTIPATH_SILENT && v->ttl >= mp->last; /* the scouts look there */
    return !v->is_end && !v->is_loop && !is_pooled && !is_beyond && v->flows > 0 && v->gap < mp->gap_limit &&
           v->ttl < mp->max_ttl;
}

/* How often a pool has to be asked for each answer that is needed: every router of it may have a next hop of its own,
 * and the one that is met least often decides. */
static double pool_factor(const struct multipath *mp, const struct multipath_vertex *pool)
{
    const struct multipath_hop *hop = &mp->hops[pool->ttl];
    uint32_t least = UINT32_MAX, sum = 0;
    for (uint16_t v = hop->first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (mp->vertices[v].kind != MULTIPATH_REAL || mp->vertices[v].is_end || mp->vertices[v].flows == 0)
            continue;
        sum += mp->vertices[v].flows;
        least = mp->vertices[v].flows < least ? mp->vertices[v].flows : least;
    }
    double factor = sum ? (double)sum / least : 1;
    return factor < MAX_POOL_FACTOR ? factor : MAX_POOL_FACTOR;
}

static uint32_t need_of(struct multipath *mp, const struct multipath_vertex *first, const struct stage *stage)
{
    if (stage->successors == 0)
        return silent_need(mp, first);
    if (first->kind == MULTIPATH_POOL && stage->successors <= STOPPING_MAX_K)
        return (uint32_t)(pool_factor(mp, first) *
                          stopping_at(stage->successors == 1 ? &mp->single : &mp->several, stage->successors));
    if (stage->successors > STOPPING_MAX_K) {
        mp->is_cut = true;
        return stopping_at(&mp->several, STOPPING_MAX_K);
    }
    uint32_t need = stopping_at(stage->successors == 1 ? &mp->single : &mp->several, stage->successors);
    /* Two or three routers tell too little about each other to be taken for a stage at their word. */
    if (stage->successors < 2 || stage->members != mp->hops[first->ttl].width)
        return need;
    return stage->members == 2 ? need * 2 : stage->members == 3 ? need + need / 2 : need;
}

/* Forms the groups before a TTL; returns how many of them branch. */
static uint32_t form_groups(struct multipath *mp, uint32_t ttl)
{
    uint32_t branching = 0;
    mp->hops[ttl].has_stage = false;
    join_groups(mp, ttl);
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        if (group_of(mp, v) != v)
            continue;
        struct stage stage = sum_up(mp, ttl, v);
        mp->vertices[v].is_branching = stage.successors >= 2;
        branching += stage.successors >= 2;
        mp->hops[ttl].has_stage |= stage.successors >= 2 && stage.members >= 2;
    }
    return branching;
}

/* How many more answers a group is to be given at once. Routers beside a stage, or of which nothing is known, are
 * looked at little by little: most of them turn out to belong to the stage. */
static uint32_t ration(const struct multipath *mp, const struct multipath_hop *hop, const struct stage *stage,
                       uint32_t missing)
{
    uint32_t most = UINT32_MAX;
    if (!is_strict(mp) && stage->members == 1 && stage->successors == 0 && stage->unanswered == 0 && hop->width > 0 &&
        !hop->has_stage)
        most = 1;
    else if (!is_strict(mp) && stage->members == 1 && stage->successors <= 1 && hop->has_stage)
        most = hop->is_stage_open || !(hop - 1)->is_complete ? 0 : 2;
    most -= most == UINT32_MAX ? 0 : stage->waiting < most ? stage->waiting : most;
    return missing < most ? missing : most;
}

/* What each group needs. A stage is judged when it has what it needs; false when it turns out to be none. */
static bool judge_groups(struct multipath *mp, uint32_t ttl)
{
    struct multipath_hop *hop = &mp->hops[ttl];
    hop->is_complete = true;
    hop->is_known = hop->is_stage_open = false;
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        struct stage stage = {0};
        if (hop->has_stage && group_of(mp, v) == v && is_asked(mp, &mp->vertices[v]))
            stage = sum_up(mp, ttl, v);
        if (stage.members >= 2 && stage.successors >= 2)
            hop->is_stage_open |= stage.through < need_of(mp, &mp->vertices[v], &stage);
    }
    for (uint16_t v = mp->hops[ttl - 1].first; v != MULTIPATH_NONE; v = mp->vertices[v].next) {
        struct multipath_vertex *first = &mp->vertices[v];
        if (group_of(mp, v) != v || !is_asked(mp, first))
            continue;
        struct stage stage = sum_up(mp, ttl, v);
        uint32_t have = stage.successors ? stage.through : stage.unanswered;
        first->need = need_of(mp, first, &stage);
        if (have >= first->need && !(stage.is_even && stage.is_full && stage.links > -FEW_LINKS)) {
            hop->is_split = true;
            mp->is_irregular |= mp->splits++ > 0 || stage.links < -VERY_FEW_LINKS;
            return false;
        }
        hop->is_known = true;
        hop->is_complete &= have >= first->need;
        first->need = first->need > have + stage.waiting ? first->need - have - stage.waiting : 0;
        first->need = ration(mp, hop, &stage, first->need);
        hop->missing += first->need;
    }
    uint16_t only = hop->width == 1 ? first_passed(mp, ttl) : MULTIPATH_NONE;
    hop->is_single =
        hop->answered >= SINGLE_FLOWS && only != MULTIPATH_NONE && mp->vertices[only].flows == hop->answered;
    return true;
}

static void set_levels(struct multipath *mp)
{
    double share = stopping_share(mp->confidence, mp->branching);
    double single = share / (mp->branching + 1), several = share / (mp->branching ? mp->branching : 1);
    if (mp->single.epsilon != single)
        stopping_init(&mp->single, single);
    if (mp->several.epsilon != several)
        stopping_init(&mp->several, several);
}

/* False when a stage was found to be none: then everything is to be worked out again. */
static bool analyse(struct multipath *mp)
{
    uint32_t branching = 0, reached = mp->high < mp->max_ttl ? mp->high + 1u : mp->max_ttl;
    if (mp->single.epsilon == 0)
        set_levels(mp);
    forget(mp);
    for (uint32_t ttl = 1; ttl <= reached; ttl++) {
        struct multipath_hop *hop = &mp->hops[ttl];
        hop->first_link = mp->link_count;
        count_cells(mp, ttl);
        judge_silence(mp, ttl);
        place_flows(mp, ttl);
        hop->link_count = mp->link_count - hop->first_link;
        uint32_t groups = form_groups(mp, ttl);
        /* Most of what seems to be several stages while answers are under way becomes one. */
        branching += groups > 1 && hop->waiting > 0 && !is_strict(mp) ? 1 : groups;
    }
    mp->branching = branching;
    set_levels(mp);
    for (uint32_t ttl = 1; ttl <= reached; ttl++)
        if (!judge_groups(mp, ttl))
            return false;
    return true;
}

void multipath_analyse(struct multipath *mp)
{
    while (!analyse(mp))
        assert(!mp->is_strict); /* each TTL is split once at most */
}

bool multipath_is_complete(const struct multipath *mp)
{
    bool is_complete = !mp->is_cut;
    for (uint32_t ttl = 1; ttl <= mp->max_ttl && is_complete; ttl++)
        is_complete = ttl > mp->high || !mp->hops[ttl].is_known || mp->hops[ttl].is_complete;
    if (mp->high < mp->max_ttl && mp->hops[mp->high + 1].is_known && !mp->hops[mp->high + 1].is_complete)
        return false;
    return is_complete;
}
