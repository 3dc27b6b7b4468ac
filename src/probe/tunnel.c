#include "probe/tunnel.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define ERROR_INITIAL 255       /* of the errors whose way back FRPLA counts: below it no label shows */
#define LABEL_INITIAL 255       /* of a label that does not take over the packet's TTL */
#define FRPLA_STEP 2            /* a longer way back that counts when the next hop confirms it */
#define HINT_STEP 3             /* and without (TNT's threshold) */
#define UNKNOWN (-1)
#define EVIDENCE_BYTES 2048u

const char *const tunnel_kind_names[] = {"explicit", "implicit", "opaque", "invisible", NULL};
const char *const tunnel_confidence_names[] = {"hint", "suspected", "likely", "certain", NULL};

/* One hop as the rules need it. Unknown figures are UNKNOWN. */
struct seen {
    bool has_answered;
    int quoted;      /* TTL of our probe in the error's quotation */
    int label_ttl;   /* of the outermost label */
    int back;        /* routers the error passed on its way back, by its TTL */
    int back_echo;   /* the same of the echo reply */
    int initial, initial_echo;
    uint32_t tunnel; /* index of the tunnel it belongs to */
};

/* Successive quoted TTLs that count up from one place. */
struct run {
    uint32_t anchor;      /* the hop that would have quoted 1: the first router inside */
    uint32_t first, last; /* hops that quoted 2 or more */
    uint32_t count;       /* of them that answered */
    bool is_ended;        /* a later hop begins anew */
};

struct search {
    uint32_t count;
    struct seen hops[LIMIT_HOPS];
    const struct probe_trace_hop *shown;
    struct tunnel tunnels[LIMIT_HOPS]; /* at most one ends at each hop */
    uint32_t tunnel_count;
    struct arena *arena;
    bool is_full; /* the arena refused a sentence */
};

/* --- what one hop says -------------------------------------------------------------------------------------------- */

/* The usual initial values; an answer can only have lost. */
static int initial_of(int ttl)
{
    return ttl <= 32 ? 32 : ttl <= 64 ? 64 : ttl <= 128 ? 128 : 255;
}

/* Initial values of 32 are a thing of the past, and 64 on a path of 32 routers and more is as rare. */
static int initial_of_reply(uint8_t ttl)
{
    int initial = initial_of(ttl);
    return ttl == 0 ? UNKNOWN : initial == 32 ? 64 : initial;
}

static bool is_ttl_exceeded(const struct probe_trace_hop *hop)
{
    return hop->addr.sa.sa_family == AF_INET6 ? hop->icmp_type == 3 && hop->icmp_code == 0
                                              : hop->icmp_type == 11 && hop->icmp_code == 0;
}

static struct seen look(const struct probe_trace_hop *hop, uint8_t echo_ttl)
{
    struct seen seen = {.quoted = UNKNOWN, .label_ttl = UNKNOWN, .back = UNKNOWN, .back_echo = UNKNOWN,
                        .initial = UNKNOWN, .initial_echo = UNKNOWN, .tunnel = TUNNEL_NONE};
    seen.has_answered = sock_is_set(&hop->addr);
    if (!seen.has_answered)
        return seen;
    if (hop->label_count > 0 && hop->labels)
        seen.label_ttl = hop->labels[0].ttl;
    if (!is_ttl_exceeded(hop))
        return seen; /* the target, or what ended the trace: its TTL says nothing about a router in between */
    if (hop->has_quote)
        seen.quoted = hop->quoted_ttl;
    seen.initial = initial_of_reply(hop->reply_ttl);
    seen.initial_echo = initial_of_reply(echo_ttl);
    if (seen.initial != UNKNOWN)
        seen.back = seen.initial - hop->reply_ttl;
    if (seen.initial_echo != UNKNOWN)
        seen.back_echo = seen.initial_echo - echo_ttl;
    return seen;
}

/* By how many routers the error's way back is longer than the echo reply's. */
static bool difference_of(const struct seen *seen, int *ret_routers)
{
    if (seen->back == UNKNOWN || seen->back_echo == UNKNOWN)
        return false;
    *ret_routers = seen->back - seen->back_echo;
    return true;
}

/* Errors from 255 and echo replies from 64: of a label's TTL that began at 255 only the error tells. */
static bool is_rtla_pair(const struct seen *seen)
{
    return seen->initial == 255 && seen->initial_echo == 64;
}

/* --- tunnels found ------------------------------------------------------------------------------------------------ */

static bool is_taken(const struct search *search, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        if (search->hops[i].tunnel != TUNNEL_NONE)
            return true;
    }
    return false;
}

static struct tunnel *add(struct search *search, enum tunnel_kind kind, uint32_t first, uint32_t last)
{
    assert(first <= last && last < search->count && search->tunnel_count < LIMIT_HOPS);
    struct tunnel *tunnel = &search->tunnels[search->tunnel_count];
    *tunnel = (struct tunnel){.kind = kind, .first = first, .last = last};
    for (uint32_t i = first; i <= last; i++)
        search->hops[i].tunnel = search->tunnel_count;
    search->tunnel_count++;
    return tunnel;
}

static void put_range(struct buf *buf, uint32_t first, uint32_t last)
{
    if (first == last)
        buf_printf(buf, "hop %u", first + 1);
    else
        buf_printf(buf, "hops %u to %u", first + 1, last + 1);
}

/* Adds a clause to a tunnel's sentence. */
static void put_evidence(struct search *search, struct tunnel *tunnel, struct buf *buf)
{
    const char *so_far = tunnel->evidence;
    tunnel->evidence = so_far ? arena_printf(search->arena, "%s; %s", so_far, buf_str(buf))
                              : arena_strdup(search->arena, buf_str(buf));
    search->is_full |= !tunnel->evidence;
    buf_done(buf);
}

/* --- quoted TTLs -------------------------------------------------------------------------------------------------- */

/* The hop at which a tunnel would have begun whose router here quotes this. It is behind the first hop, for a tunnel
 * needs a router at its beginning: quotes that seem to begin at the first hop are those of an address translator that
 * restores what was sent. */
static bool anchor_of(const struct search *search, uint32_t hop, uint32_t *ret_anchor)
{
    int quoted = search->hops[hop].quoted;
    if (quoted < 2 || quoted > (int)hop)
        return false;
    *ret_anchor = hop + 1 - (uint32_t)quoted;
    return true;
}

/* Whether a run comes to an end: the first behind it that does not go on with it quotes less. */
static bool is_ended(const struct search *search, const struct run *run)
{
    for (uint32_t i = run->last + 1; i < search->count; i++) {
        int quoted = search->hops[i].quoted;
        int next = (int)(i - run->anchor + 1);
        if (quoted != UNKNOWN && quoted != next)
            return quoted < next;
    }
    return false;
}

/* The next run that starts at or behind *from; silent hops do not interrupt it. */
static bool next_run(const struct search *search, uint32_t *from, struct run *ret_run)
{
    uint32_t i = *from, anchor = 0;
    while (i < search->count && !anchor_of(search, i, &anchor))
        i++;
    if (i >= search->count)
        return false;
    struct run run = {.anchor = anchor, .first = i, .last = i, .count = 1};
    while (++i < search->count) {
        uint32_t own;
        if (search->hops[i].quoted == UNKNOWN && !search->hops[i].has_answered)
            continue;
        if (!anchor_of(search, i, &own) || own != anchor)
            break;
        run.last = i;
        run.count++;
    }
    run.is_ended = is_ended(search, &run);
    *from = run.last + 1;
    *ret_run = run;
    return true;
}

/* Whether nobody between the beginning and the first rising value contradicts. */
static bool is_anchored(const struct search *search, const struct run *run)
{
    for (uint32_t i = run->anchor; i < run->first; i++) {
        if (search->hops[i].quoted != UNKNOWN && search->hops[i].quoted > (int)(i - run->anchor + 1))
            return false;
        if (search->hops[i].quoted == UNKNOWN && search->hops[i].has_answered)
            return false;
    }
    return true;
}

/* A lone 2 counts only between two hops that quote 1: anything else is somebody's oddity. */
static bool is_clean_pair(const struct search *search, const struct run *run)
{
    return run->first == run->anchor + 1 && search->hops[run->anchor].quoted == 1 && run->last + 1 < search->count &&
           (search->hops[run->last + 1].quoted == 0 || search->hops[run->last + 1].quoted == 1);
}

static void find_implicit(struct search *search)
{
    struct run run;
    for (uint32_t from = 0; next_run(search, &from, &run);) {
        if (!is_anchored(search, &run) || is_taken(search, run.anchor, run.last))
            continue;
        if (run.count < 2 && !(run.is_ended && is_clean_pair(search, &run)))
            continue;
        struct tunnel *tunnel = add(search, TUNNEL_IMPLICIT, run.anchor, run.last);
        tunnel->confidence = !run.is_ended ? TUNNEL_HINT : run.count >= 2 ? TUNNEL_LIKELY : TUNNEL_SUSPECTED;
        tunnel->methods = TUNNEL_BY_QUOTED_TTL;
        tunnel->length = run.last - run.anchor + 1;
        tunnel->is_length_exact =
            run.is_ended && run.last + 1 < search->count && search->hops[run.last + 1].has_answered;
        struct buf buf;
        buf_init(&buf, EVIDENCE_BYTES);
        buf_printf(&buf, "quoted TTLs rise to %u at hop %u", run.last - run.anchor + 1, run.last + 1);
        if (!run.is_ended)
            buf_puts(&buf, ", but no hop behind quotes 1 again");
        put_evidence(search, tunnel, &buf);
    }
}

/* --- labels ------------------------------------------------------------------------------------------------------- */

static bool is_labelled(const struct search *search, uint32_t hop)
{
    return hop < search->count && search->hops[hop].label_ttl != UNKNOWN;
}

/* Labels whose TTLs fall by one from hop to hop are those of routers that do show themselves. */
static bool is_falling(const struct search *search, uint32_t hop)
{
    int own = search->hops[hop].label_ttl;
    return (hop > 0 && is_labelled(search, hop - 1) && search->hops[hop - 1].label_ttl == own + 1) ||
           (is_labelled(search, hop + 1) && search->hops[hop + 1].label_ttl == own - 1);
}

static void find_opaque(struct search *search)
{
    for (uint32_t i = 1; i < search->count; i++) {
        const struct seen *seen = &search->hops[i];
        if (seen->label_ttl >= LABEL_INITIAL || seen->label_ttl < LABEL_INITIAL - (int)TUNNEL_MAX_HIDDEN ||
            seen->quoted > 1 || is_falling(search, i))
            continue;
        struct tunnel *tunnel = add(search, TUNNEL_OPAQUE, i, i);
        tunnel->confidence = TUNNEL_CERTAIN;
        tunnel->methods = TUNNEL_BY_LABEL | TUNNEL_BY_LABEL_TTL;
        tunnel->length = (uint32_t)(LABEL_INITIAL - seen->label_ttl);
        tunnel->is_length_exact = true;
        struct buf buf;
        buf_init(&buf, EVIDENCE_BYTES);
        buf_printf(&buf, "the label at hop %u has a TTL of %d, %u below 255", i + 1, seen->label_ttl, tunnel->length);
        put_evidence(search, tunnel, &buf);
    }
}

/* How far a tunnel reaches back before its first label: routers without labels whose place the quoted TTL tells. */
static uint32_t reach_back(const struct search *search, uint32_t first)
{
    uint32_t anchor;
    if (!anchor_of(search, first, &anchor))
        return first;
    struct run run = {.anchor = anchor, .first = first, .last = first};
    if (!is_ended(search, &run))
        return first;
    for (uint32_t i = anchor; i < first; i++) {
        const struct seen *seen = &search->hops[i];
        if (seen->tunnel != TUNNEL_NONE || (seen->has_answered && seen->quoted != (int)(i - anchor + 1)))
            return first;
    }
    return anchor;
}

/* Whether the hop continues the tunnel that was last seen at `last`: a label, and no quoted TTL that begins anew. */
static bool is_same_tunnel(const struct search *search, uint32_t last, uint32_t hop)
{
    int before = search->hops[last].quoted, now = search->hops[hop].quoted;
    return is_labelled(search, hop) && search->hops[hop].tunnel == TUNNEL_NONE &&
           !(before >= 2 && now != UNKNOWN && now < before);
}

/* A router without labels inside, or none that answers. */
static bool is_inside(const struct search *search, uint32_t last, uint32_t hop)
{
    const struct seen *seen = &search->hops[hop];
    int before = search->hops[last].quoted;
    if (seen->tunnel != TUNNEL_NONE)
        return false;
    return !seen->has_answered || (before >= 1 && seen->quoted >= 2 && seen->quoted == before + (int)(hop - last));
}

/* The last hop of the tunnel whose label was seen at `at`. */
static uint32_t reach_on(const struct search *search, uint32_t at)
{
    uint32_t last = at, anchor = 0;
    for (uint32_t i = at + 1; i < search->count; i++) {
        if (is_same_tunnel(search, last, i))
            last = i;
        else if (!is_inside(search, last, i))
            break;
    }
    /* Behind the last label the quoted TTL alone must be trustworthy. */
    struct run run = {.last = last};
    for (uint32_t i = last + 1; anchor_of(search, last, &anchor) && i < search->count; i++) {
        uint32_t own;
        if (!search->hops[i].has_answered)
            continue;
        if (search->hops[i].tunnel != TUNNEL_NONE || !anchor_of(search, i, &own) || own != anchor)
            break;
        run = (struct run){.anchor = anchor, .last = i};
    }
    return run.last > last && is_ended(search, &run) ? run.last : last;
}

static void find_explicit(struct search *search)
{
    for (uint32_t i = 0; i < search->count; i++) {
        if (!is_labelled(search, i) || search->hops[i].tunnel != TUNNEL_NONE)
            continue;
        uint32_t first = reach_back(search, i), last = reach_on(search, i), labels = 0;
        struct tunnel *tunnel = add(search, TUNNEL_EXPLICIT, first, last);
        for (uint32_t k = first; k <= last; k++)
            labels += is_labelled(search, k);
        tunnel->confidence = TUNNEL_CERTAIN;
        tunnel->methods = TUNNEL_BY_LABEL | (labels <= last - first ? TUNNEL_BY_QUOTED_TTL : 0);
        tunnel->length = last - first + 1;
        tunnel->is_length_exact = first > 0 && search->hops[first - 1].has_answered && last + 1 < search->count &&
                                  search->hops[last + 1].has_answered;
        struct buf buf;
        buf_init(&buf, EVIDENCE_BYTES);
        buf_puts(&buf, labels > last - first ? "labels at " : "labels within ");
        put_range(&buf, first, last);
        put_evidence(search, tunnel, &buf);
    }
}

/* --- the turn at the far end -------------------------------------------------------------------------------------- */

/* The last hop of a row of at least two differences that shrink by 2, 0 when there is none that begins here; the hop
 * behind the row is the end of the tunnel, whose error comes back as its echo reply does. */
static uint32_t turn_from(const struct search *search, uint32_t first)
{
    int before, now;
    if (!difference_of(&search->hops[first], &before))
        return 0;
    uint32_t i = first + 1;
    for (; i < search->count && difference_of(&search->hops[i], &now) && now == before - 2; i++)
        before = now;
    /* i - 1 is the tunnel's end. */
    bool is_plain = before == 0 || (before > 0 && is_rtla_pair(&search->hops[i - 1]));
    return i - first >= 3 && is_plain ? i - 2 : 0;
}

static void find_turns(struct search *search)
{
    for (uint32_t i = 1; i < search->count; i++) {
        uint32_t last = turn_from(search, i);
        if (last == 0)
            continue;
        struct tunnel *tunnel = NULL;
        for (uint32_t k = i; k <= last && !tunnel; k++) {
            if (search->hops[k].tunnel != TUNNEL_NONE)
                tunnel = &search->tunnels[search->hops[k].tunnel];
        }
        if (!tunnel) {
            tunnel = add(search, TUNNEL_IMPLICIT, i, last);
            tunnel->length = last - i + 1;
            tunnel->is_length_exact = true;
        }
        if (tunnel->confidence < TUNNEL_LIKELY)
            tunnel->confidence = TUNNEL_LIKELY;
        tunnel->methods |= TUNNEL_BY_UTURN;
        struct buf buf;
        buf_init(&buf, EVIDENCE_BYTES);
        buf_puts(&buf, "the errors of ");
        put_range(&buf, i, last);
        buf_puts(&buf, " come back over ever fewer routers more than the echo replies, 2 fewer from hop to hop");
        put_evidence(search, tunnel, &buf);
        i = last + 1;
    }
}

/* --- hidden routers ----------------------------------------------------------------------------------------------- */

static bool is_frpla_hop(const struct search *search, uint32_t hop)
{
    const struct seen *seen = &search->hops[hop];
    return seen->has_answered && seen->initial == ERROR_INITIAL && seen->back != UNKNOWN;
}

/* How many routers more the way back has grown by than the way there, since the last two hops that can be compared:
 * two, because one way back may be shorter by chance. *ret_since is the nearer of them. False: there is none. */
static bool step_at(const struct search *search, uint32_t hop, int *ret_step, uint32_t *ret_since)
{
    if (!is_frpla_hop(search, hop))
        return false;
    uint32_t compared = 0;
    int least = INT_MAX;
    for (uint32_t i = hop; i > 0 && compared < 2 && search->hops[i - 1].tunnel == TUNNEL_NONE; i--) {
        if (!is_frpla_hop(search, i - 1))
            continue;
        int step = search->hops[hop].back - search->hops[i - 1].back - (int)(hop + 1 - i);
        least = step < least ? step : least;
        if (compared++ == 0)
            *ret_since = i - 1;
    }
    *ret_step = compared > 0 && least <= (int)TUNNEL_MAX_HIDDEN ? least : 0;
    return compared > 0;
}

/*
 * The label's TTL hides that of the packet below it for as many hops behind the tunnel as it has routers: all arrive
 * with one TTL, then the count goes on. A longer way back for another reason does not do that.
 */
static bool is_level_behind(const struct search *search, uint32_t hop, int step)
{
    uint32_t confirmed = 0;
    for (uint32_t i = hop + 1; i < search->count && (int)(i - hop) <= step + 1; i++) {
        int beyond = (int)(i - hop) - step;
        if (!is_frpla_hop(search, i))
            continue;
        if (search->hops[i].back > search->hops[hop].back + beyond && beyond >= 1)
            break; /* another tunnel */
        if (search->hops[i].back != search->hops[hop].back + (beyond > 0 ? beyond : 0))
            return false;
        confirmed++;
    }
    return confirmed > 0 && is_frpla_hop(search, hop + 1);
}

/* Routers of a tunnel on the way back, as the error shows and the echo reply does not: false where no hop can tell. */
static bool own_rtla_at(const struct search *search, uint32_t hop, int *ret_routers)
{
    return is_rtla_pair(&search->hops[hop]) && difference_of(&search->hops[hop], ret_routers);
}

/* What a tunnel before, seen or hidden, leaves of that for this hop: one less from hop to hop. *ret_since: where it was
 * seen; *ret_tunnel: the tunnel, or TUNNEL_NONE. False: nobody before can tell. */
static bool left_of_rtla(const struct search *search, uint32_t hop, int *ret_routers, uint32_t *ret_since,
                         uint32_t *ret_tunnel)
{
    for (uint32_t i = hop; i > 0; i--) {
        const struct seen *before = &search->hops[i - 1];
        int distance = (int)(hop - (i - 1)), routers;
        *ret_since = i - 1;
        *ret_tunnel = before->tunnel;
        if (before->tunnel != TUNNEL_NONE) {
            const struct tunnel *tunnel = &search->tunnels[before->tunnel];
            /* One more when the last router receives a label too, which opaque tunnels have. */
            *ret_routers = tunnel->kind == TUNNEL_INVISIBLE ? (int)tunnel->length - distance
                           : tunnel->kind == TUNNEL_OPAQUE  ? (int)tunnel->length + 1 - distance
                                                            : 0;
            return true;
        }
        if (own_rtla_at(search, i - 1, &routers)) {
            *ret_routers = routers - distance;
            return true;
        }
    }
    return false;
}

/* Routers of a tunnel on the way back that nothing before explains: *ret_routers, 0 = none. False: it cannot tell. */
static bool rtla_at(const struct search *search, uint32_t hop, int *ret_routers, uint32_t *ret_since)
{
    int own, left = 0;
    uint32_t since = hop - 1, tunnel;
    if (!own_rtla_at(search, hop, &own))
        return false;
    if (left_of_rtla(search, hop, &left, &since, &tunnel))
        *ret_since = since;
    *ret_routers = own > left && own > 0 && own <= (int)TUNNEL_MAX_HIDDEN ? own : 0;
    return true;
}

/* A hop behind a tunnel that is only suspected, and that shows exactly what such a one leaves, confirms it. */
static void confirm_tunnel_before(struct search *search, uint32_t hop)
{
    int own, left;
    uint32_t since, index;
    if (!own_rtla_at(search, hop, &own) || !left_of_rtla(search, hop, &left, &since, &index) || index == TUNNEL_NONE)
        return;
    struct tunnel *tunnel = &search->tunnels[index];
    if (tunnel->kind != TUNNEL_INVISIBLE || tunnel->methods & TUNNEL_BY_RTLA || own < FRPLA_STEP || own != left)
        return;
    tunnel->methods |= TUNNEL_BY_RTLA;
    tunnel->confidence = tunnel->confidence == TUNNEL_HINT ? TUNNEL_SUSPECTED : TUNNEL_LIKELY;
    struct buf buf;
    buf_init(&buf, EVIDENCE_BYTES);
    buf_printf(&buf, "the error of hop %u passed %d more routers on its way back than its echo reply shows", hop + 1,
               own);
    put_evidence(search, tunnel, &buf);
}

static bool is_twice(const struct search *search, uint32_t hop)
{
    const struct seen *seen = &search->hops[hop], *before = &search->hops[hop - 1];
    return seen->has_answered && seen->quoted == 1 && before->quoted == 1 &&
           sock_same_ip(&search->shown[hop].addr, &search->shown[hop - 1].addr);
}

/* What speaks for hidden routers before a hop. */
struct signs {
    bool has_step, is_level, is_not_level, has_rtla, is_twice;
    int step, rtla;  /* > 0: routers */
    uint32_t since;  /* the hop that they are behind */
};

static struct signs signs_at(const struct search *search, uint32_t hop)
{
    struct signs signs = {.since = hop - 1};
    uint32_t since = hop - 1;
    signs.has_rtla = rtla_at(search, hop, &signs.rtla, &signs.since);
    signs.has_step = step_at(search, hop, &signs.step, &since);
    if (signs.has_step)
        signs.since = since;
    if (signs.has_rtla && signs.rtla == 0)
        signs.step = 0; /* the echo reply comes over as many routers: the way back is longer for another reason */
    signs.is_level = signs.step >= FRPLA_STEP && is_level_behind(search, hop, signs.step);
    signs.is_not_level = !signs.is_level && hop + 1 < search->count && is_frpla_hop(search, hop + 1);
    signs.is_twice = is_twice(search, hop);
    return signs;
}

static enum tunnel_confidence weigh(const struct signs *signs)
{
    bool is_rtla = signs->rtla >= FRPLA_STEP, is_step = signs->step >= FRPLA_STEP;
    bool is_agreed = is_rtla && is_step && signs->step >= signs->rtla - 1 && signs->step <= signs->rtla + 1;
    if ((is_rtla && signs->has_step && !is_agreed) || signs->is_not_level)
        return TUNNEL_HINT;
    if (is_agreed && signs->is_level)
        return TUNNEL_LIKELY;
    return signs->is_level || is_rtla ? TUNNEL_SUSPECTED : TUNNEL_HINT;
}

static void put_invisible(struct search *search, uint32_t hop, const struct signs *signs)
{
    struct tunnel *tunnel = add(search, TUNNEL_INVISIBLE, signs->since + 1, hop);
    struct buf buf;
    buf_init(&buf, EVIDENCE_BYTES);
    tunnel->confidence = weigh(signs);
    if (signs->step >= FRPLA_STEP) {
        tunnel->methods |= TUNNEL_BY_FRPLA;
        tunnel->length = (uint32_t)signs->step;
        buf_printf(&buf, "from hop %u to hop %u the way back grows by %d routers more than the way there%s",
                   signs->since + 1, hop + 1, signs->step, signs->is_level ? ", and to the next hop not at all" : "");
    }
    if (signs->rtla > 0) {
        tunnel->methods |= TUNNEL_BY_RTLA;
        tunnel->length = (uint32_t)signs->rtla;
        tunnel->is_length_exact = tunnel->first == tunnel->last;
        buf_printf(&buf, "%sthe error of hop %u passed %d more router%s on its way back than its echo reply shows",
                   buf.size ? "; " : "", hop + 1, signs->rtla, signs->rtla == 1 ? "" : "s");
    }
    if (signs->is_twice) {
        tunnel->methods |= TUNNEL_BY_DUPLICATE;
        buf_printf(&buf, "%sone address answers at hops %u and %u", buf.size ? "; " : "", hop, hop + 1);
    }
    put_evidence(search, tunnel, &buf);
}

static void find_invisible(struct search *search)
{
    for (uint32_t i = 1; i < search->count; i++) {
        if (!search->hops[i].has_answered || search->hops[i].tunnel != TUNNEL_NONE)
            continue;
        confirm_tunnel_before(search, i);
        if (search->hops[i - 1].tunnel != TUNNEL_NONE)
            continue;
        struct signs signs = signs_at(search, i);
        if (signs.is_level || signs.step >= HINT_STEP || signs.rtla > 0 || signs.is_twice)
            put_invisible(search, i, &signs);
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static void sort(struct search *search)
{
    for (uint32_t i = 1; i < search->tunnel_count; i++) {
        struct tunnel moving = search->tunnels[i];
        uint32_t k = i;
        for (; k > 0 && search->tunnels[k - 1].first > moving.first; k--)
            search->tunnels[k] = search->tunnels[k - 1];
        search->tunnels[k] = moving;
    }
}

int tunnel_infer(const struct probe_trace_hop *hops, uint32_t hop_count, const uint8_t *echo_ttls, struct arena *arena,
                 struct tunnel_list *ret_list)
{
    struct search search = {.count = hop_count < LIMIT_HOPS ? hop_count : LIMIT_HOPS, .shown = hops, .arena = arena};
    for (uint32_t i = 0; i < search.count; i++)
        search.hops[i] = look(&hops[i], echo_ttls ? echo_ttls[i] : 0);
    find_opaque(&search);
    find_explicit(&search);
    find_implicit(&search);
    find_turns(&search);
    find_invisible(&search);
    sort(&search);
    struct tunnel_list list = {.count = search.tunnel_count, .hop_count = search.count};
    list.items = arena_alloc_array(arena, search.tunnel_count, sizeof *list.items);
    list.tunnel_of = arena_alloc_array(arena, search.count, sizeof *list.tunnel_of);
    if (search.is_full || !list.items || !list.tunnel_of)
        return -E_LIMIT;
    for (uint32_t i = 0; i < list.hop_count; i++)
        list.tunnel_of[i] = TUNNEL_NONE;
    for (uint32_t i = 0; i < list.count; i++) {
        list.items[i] = search.tunnels[i];
        for (uint32_t k = list.items[i].first; k <= list.items[i].last; k++)
            list.tunnel_of[k] = i;
    }
    *ret_list = list;
    return 0;
}

const char *tunnel_hop_text(const struct tunnel_list *list, uint32_t hop, char text[static TUNNEL_TEXT_BYTES])
{
    text[0] = 0;
    if (hop >= list->hop_count || list->tunnel_of[hop] == TUNNEL_NONE)
        return text;
    const struct tunnel *tunnel = &list->items[list->tunnel_of[hop]];
    bool is_sure = tunnel->confidence >= TUNNEL_LIKELY;
    if (tunnel->confidence == TUNNEL_HINT)
        return text;
    switch (tunnel->kind) {
    case TUNNEL_EXPLICIT:
    case TUNNEL_IMPLICIT:
        (void)snprintf(text, TUNNEL_TEXT_BYTES, "%s %u in an MPLS tunnel", is_sure ? "Hop" : "Possibly hop",
                       hop - tunnel->first + 1);
        break;
    case TUNNEL_OPAQUE:
        (void)snprintf(text, TUNNEL_TEXT_BYTES, "%u-hop MPLS tunnel", tunnel->length);
        break;
    case TUNNEL_INVISIBLE:
        if (hop != tunnel->last)
            break;
        if (tunnel->confidence == TUNNEL_CERTAIN)
            (void)snprintf(text, TUNNEL_TEXT_BYTES, "%u-hop MPLS tunnel", tunnel->length);
        else
            (void)snprintf(text, TUNNEL_TEXT_BYTES, "%s %u hop%s hidden in an MPLS tunnel",
                           is_sure ? "Probably" : "Possibly", tunnel->length, tunnel->length == 1 ? "" : "s");
        break;
    }
    return text;
}
