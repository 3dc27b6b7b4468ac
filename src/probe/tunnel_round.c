/*
 * The active half of tunnel.h: a round that is made of other rounds, echo streams first and traces then. All logic runs
 * in the round's own step; what the other rounds report is only noted and wakes it.
 */
#include "probe/tunnel.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "probe/ping.h"
#include "probe/round.h"

#define ECHOES 2u            /* requests to each address: one may be lost */
#define ECHO_SPARE_NS (200 * CLOCK_MS)
#define MAX_TRACES 16u       /* to reveal one tunnel */
#define TRACE_ATTEMPTS 2u
#define TRACE_GAP 3u
#define TRACES_AT_ONCE 2u    /* more would run into the limits of near routers, which all of them pass */

enum state { STATE_STARTING, STATE_ASKING, STATE_REVEALING };

/* The echo requests to the address of one hop. */
struct asked {
    struct probe_tunnel *round;
    struct probe_ping *ping; /* NULL = not running */
    uint32_t hop;
};

/* The way towards the end of one tunnel. */
struct revelation {
    struct probe_tunnel *round;
    struct probe_trace *trace;               /* NULL = not running */
    const struct probe_trace_result *result; /* to be read */
    union sock_addr target;
    uint32_t tunnel;                         /* index in the list */
    uint32_t traces, showing;                /* made; that showed a router */
    uint32_t reserved;                       /* probes for the one that runs */
    uint32_t count;                          /* of the routers found, in reverse order */
    union sock_addr found[TUNNEL_MAX_HIDDEN];
    uint32_t silent;                         /* hops that the first trace saw silent and this one may see again */
};

struct probe_tunnel {
    struct probe_round round; /* first member */
    enum state state;
    struct probe_tunnel_settings settings;
    const struct probe_trace_hop *hops;
    uint32_t hop_count;
    struct arena *arena;
    probe_tunnel_fn *done;
    void *user;
    struct probe_tunnel_result *result; /* in the arena, like what follows */
    uint8_t *echo_ttls;
    struct asked *asked; /* by hop */
    struct revelation *revelations;
    uint32_t revelation_count, next_revelation;
    uint32_t reserved; /* probes that running rounds may still send */
};

_Static_assert(sizeof(struct probe_tunnel) <= ROUND_BYTES, "the round fits a slot");

void probe_tunnel_defaults(struct probe_tunnel_settings *settings)
{
    *settings = (struct probe_tunnel_settings){.max_probes = 1000, .wait_ns = CLOCK_S};
}

/* Sets probes aside that a round about to start may send; false when they might lead beyond what was granted. */
static bool reserve(struct probe_tunnel *round, uint32_t probes)
{
    if (round->result->sent + round->reserved + probes > round->settings.max_probes) {
        round->result->is_cut = true;
        return false;
    }
    round->reserved += probes;
    return true;
}

static void account(struct probe_tunnel *round, uint32_t reserved, uint32_t sent)
{
    round->reserved -= reserved;
    round->result->sent += sent;
}

/* --- the ways back ------------------------------------------------------------------------------------------------ */

static void on_echo(void *user, const struct probe_ping_result *result)
{
    struct asked *asked = user;
    asked->ping = NULL;
    account(asked->round, ECHOES, result->sent);
    asked->round->echo_ttls[asked->hop] = result->reply_ttl;
    round_wake_at(&asked->round->round, 0);
}

static bool is_router(const struct probe_trace_hop *hop)
{
    return sock_is_set(&hop->addr) && !hop->is_target;
}

/* The first hop with the same address. */
static uint32_t first_of(const struct probe_tunnel *round, uint32_t hop)
{
    uint32_t i = 0;
    while (!sock_same_ip(&round->hops[i].addr, &round->hops[hop].addr))
        i++;
    return i;
}

static void ask(struct probe_tunnel *round, uint32_t hop)
{
    struct probe_ping_settings settings;
    probe_ping_defaults(&settings);
    settings.dst = round->hops[hop].addr;
    settings.src = round->settings.src;
    settings.dscp = round->settings.dscp;
    settings.count = ECHOES;
    settings.ceiling_ns = round->settings.wait_ns + ECHO_SPARE_NS;
    struct asked *asked = &round->asked[hop];
    *asked = (struct asked){.round = round, .hop = hop};
    if (!reserve(round, ECHOES))
        return;
    if (probe_ping_start(round->round.engine, &settings, round->arena, NULL, on_echo, asked, &asked->ping, NULL) != 0) {
        account(round, ECHOES, 0);
        round->result->is_cut = true;
    }
}

static void ask_all(struct probe_tunnel *round)
{
    for (uint32_t i = 0; i < round->hop_count; i++) {
        if (is_router(&round->hops[i]) && first_of(round, i) == i)
            ask(round, i);
    }
}

static bool is_asking(const struct probe_tunnel *round)
{
    for (uint32_t i = 0; i < round->hop_count; i++) {
        if (round->asked[i].ping)
            return true;
    }
    return false;
}

/* False when the arena is full: then the list is empty. */
static bool infer(struct probe_tunnel *round)
{
    for (uint32_t i = 0; i < round->hop_count; i++) {
        if (is_router(&round->hops[i]))
            round->echo_ttls[i] = round->echo_ttls[first_of(round, i)];
    }
    return tunnel_infer(round->hops, round->hop_count, round->echo_ttls, round->arena, &round->result->tunnels) == 0;
}

/* --- hidden routers ----------------------------------------------------------------------------------------------- */

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct revelation *revelation = user;
    revelation->trace = NULL;
    revelation->result = result;
    account(revelation->round, revelation->reserved, result->sent);
    round_wake_at(&revelation->round->round, 0);
}

static void trace_to(struct probe_tunnel *round, struct revelation *revelation)
{
    const struct tunnel *tunnel = &round->result->tunnels.items[revelation->tunnel];
    struct probe_trace_settings settings;
    probe_trace_defaults(&settings);
    uint32_t far = tunnel->last + 1 + tunnel->length; /* where the end is if the length is right */
    far = far < LIMIT_HOPS ? far : LIMIT_HOPS;
    uint32_t most = tunnel->last + 1 + TUNNEL_MAX_HIDDEN;
    settings.dst = revelation->target;
    settings.src = round->settings.src;
    settings.dscp = round->settings.dscp;
    settings.wait_ns = round->settings.wait_ns;
    settings.flows = 1;
    settings.attempts = TRACE_ATTEMPTS;
    settings.gap_limit = TRACE_GAP;
    settings.distance = (uint8_t)far;
    settings.max_ttl = (uint8_t)(most < LIMIT_HOPS ? most : LIMIT_HOPS);
    revelation->reserved = (uint32_t)settings.max_ttl * TRACE_ATTEMPTS;
    if (revelation->traces == MAX_TRACES || !reserve(round, revelation->reserved))
        return;
    if (probe_trace_start(round->round.engine, &settings, round->arena, NULL, on_trace, revelation,
                          &revelation->trace, NULL) != 0) {
        account(round, revelation->reserved, 0);
        round->result->is_cut = true;
        return;
    }
    revelation->traces++;
    round->result->traces++;
}

static bool is_known(const struct revelation *revelation, const union sock_addr *addr)
{
    for (uint32_t i = 0; i < revelation->count; i++) {
        if (sock_same_ip(&revelation->found[i], addr))
            return true;
    }
    return sock_same_ip(&revelation->target, addr);
}

/* Whether the first trace saw the router as well: where the tunnel's end is one of several hops, some are shown. */
static bool was_shown(const struct probe_tunnel *round, const struct tunnel *tunnel, struct revelation *revelation,
                      const union sock_addr *addr)
{
    for (uint32_t i = tunnel->first; i <= tunnel->last; i++) {
        if (sock_is_set(addr) && sock_same_ip(&round->hops[i].addr, addr))
            return true;
    }
    if (sock_is_set(addr) || revelation->silent == 0)
        return false;
    revelation->silent--;
    return true;
}

/*
 * Takes over the routers between the tunnel's beginning and the target of this trace. The beginning must be where the
 * first trace saw it, else this one went another way. Returns how many there were; *ret_next is the one closest to the
 * beginning, unset when it is silent.
 */
static uint32_t take_over(const struct probe_tunnel *round, struct revelation *revelation, union sock_addr *ret_next)
{
    const struct tunnel *tunnel = &round->result->tunnels.items[revelation->tunnel];
    const struct probe_trace_flow *flow = &revelation->result->flows[0];
    uint32_t begin = tunnel->first - 1, before = revelation->count;
    *ret_next = (union sock_addr){0};
    revelation->silent = 0;
    for (uint32_t i = tunnel->first; i < tunnel->last; i++)
        revelation->silent += !sock_is_set(&round->hops[i].addr);
    if (flow->end != PROBE_TRACE_REACHED || flow->hop_count < begin + 2 ||
        !sock_same_ip(&flow->hops[begin].addr, &round->hops[begin].addr))
        return 0;
    for (uint32_t i = flow->hop_count - 1; i > begin + 1; i--) {
        const union sock_addr *addr = &flow->hops[i - 1].addr;
        if (was_shown(round, tunnel, revelation, addr))
            continue;
        if (revelation->count == TUNNEL_MAX_HIDDEN || (sock_is_set(addr) && is_known(revelation, addr))) {
            revelation->count = before; /* a circle, or too much to be true */
            return 0;
        }
        revelation->found[revelation->count++] = *addr;
        *ret_next = *addr;
    }
    return revelation->count - before;
}

/* One trace is read: to the next router, or that was all. */
static void go_on(struct probe_tunnel *round, struct revelation *revelation)
{
    const struct tunnel *tunnel = &round->result->tunnels.items[revelation->tunnel];
    union sock_addr next;
    uint32_t shown = take_over(round, revelation, &next);
    revelation->result = NULL;
    if (shown == 0)
        return;
    revelation->showing++;
    bool is_complete = tunnel->is_length_exact && revelation->count >= tunnel->length;
    if (is_complete || !sock_is_set(&next))
        return;
    revelation->target = next;
    trace_to(round, revelation);
}

static bool is_worth_revealing(const struct probe_tunnel *round, const struct tunnel *tunnel)
{
    return (tunnel->kind == TUNNEL_OPAQUE || tunnel->kind == TUNNEL_INVISIBLE) && tunnel->first > 0 &&
           sock_is_set(&round->hops[tunnel->first - 1].addr) && is_router(&round->hops[tunnel->last]) &&
           !sock_same_ip(&round->hops[tunnel->first - 1].addr, &round->hops[tunnel->last].addr);
}

/* Two hops that seem neighbours without any sign of a tunnel between them: only the routers themselves can tell. */
static bool is_unsuspected(const struct tunnel *tunnel)
{
    return tunnel->methods == 0;
}

static bool may_hide_routers(const struct probe_tunnel *round, uint32_t hop)
{
    const struct tunnel_list *list = &round->result->tunnels;
    if (list->tunnel_of[hop] != TUNNEL_NONE || !is_router(&round->hops[hop]) || !is_router(&round->hops[hop - 1]))
        return false;
    uint32_t before = list->tunnel_of[hop - 1];
    return before == TUNNEL_NONE || list->items[before].kind == TUNNEL_OPAQUE ||
           list->items[before].kind == TUNNEL_INVISIBLE;
}

/* Puts a tunnel into the list for every two neighbours without one. */
static void add_unsuspected(struct probe_tunnel *round)
{
    struct tunnel_list *list = &round->result->tunnels, more = *list;
    more.items = arena_alloc_array(round->arena, list->count + round->hop_count, sizeof *more.items);
    if (!more.items) {
        round->result->is_cut = true;
        return;
    }
    more.count = 0;
    for (uint32_t i = 0, next = 0; i < list->hop_count; i++) {
        if (next < list->count && list->items[next].first == i)
            more.items[more.count++] = list->items[next++];
        else if (i > 0 && may_hide_routers(round, i))
            more.items[more.count++] = (struct tunnel){.kind = TUNNEL_INVISIBLE, .first = i, .last = i};
    }
    list->items = more.items;
    list->count = more.count;
}

/* Takes those out again that are none, and marks the hops anew. */
static void remove_unsuspected(struct tunnel_list *list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->hop_count; i++)
        list->tunnel_of[i] = TUNNEL_NONE;
    for (uint32_t i = 0; i < list->count; i++) {
        if (is_unsuspected(&list->items[i]))
            continue;
        for (uint32_t k = list->items[i].first; k <= list->items[i].last; k++)
            list->tunnel_of[k] = count;
        list->items[count++] = list->items[i];
    }
    list->count = count;
}

/* Suspected ones come first, for the budget may not reach for all. */
static void plan_revelations(struct probe_tunnel *round)
{
    add_unsuspected(round);
    const struct tunnel_list *list = &round->result->tunnels;
    round->revelations = arena_alloc_array(round->arena, list->count, sizeof *round->revelations);
    if (!round->revelations) {
        round->result->is_cut = true;
        return;
    }
    for (int is_second = 0; is_second < 2; is_second++) {
        for (uint32_t i = 0; i < list->count; i++) {
            const struct tunnel *tunnel = &list->items[i];
            if (is_unsuspected(tunnel) == is_second && is_worth_revealing(round, tunnel))
                round->revelations[round->revelation_count++] = (struct revelation){
                    .round = round, .tunnel = i, .target = round->hops[tunnel->last].addr};
        }
    }
}

static bool is_revealing(struct probe_tunnel *round)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < round->next_revelation; i++) {
        if (round->revelations[i].result)
            go_on(round, &round->revelations[i]);
        running += round->revelations[i].trace != NULL;
    }
    while (running < TRACES_AT_ONCE && round->next_revelation < round->revelation_count) {
        struct revelation *revelation = &round->revelations[round->next_revelation++];
        trace_to(round, revelation);
        running += revelation->trace != NULL;
    }
    return running > 0;
}

/* What the routers that were found make of the tunnel. */
static void conclude(struct probe_tunnel *round, const struct revelation *revelation)
{
    struct tunnel *tunnel = &round->result->tunnels.items[revelation->tunnel];
    uint32_t count = revelation->count;
    if (count == 0)
        return;
    union sock_addr *revealed = arena_alloc_array(round->arena, count, sizeof *revealed);
    const char *evidence =
        arena_printf(round->arena, "%s%s%u router%s behind hop %u answered %u trace%s to hop %u",
                     tunnel->evidence ? tunnel->evidence : "", tunnel->evidence ? "; " : "", count,
                     count == 1 ? "" : "s", tunnel->first, revelation->showing, revelation->showing == 1 ? "" : "s",
                     tunnel->last + 1);
    if (!revealed || !evidence)
        return;
    for (uint32_t i = 0; i < count; i++)
        revealed[i] = revelation->found[count - 1 - i];
    bool is_as_told = tunnel->length > 0 && count + 1 >= tunnel->length && count <= tunnel->length + 1;
    if (is_unsuspected(tunnel))
        tunnel->confidence = TUNNEL_SUSPECTED; /* the way to the router itself may be another one */
    else
        tunnel->confidence = tunnel->kind == TUNNEL_OPAQUE || is_as_told ? TUNNEL_CERTAIN : TUNNEL_LIKELY;
    if (!tunnel->is_length_exact || count > tunnel->length)
        tunnel->length = count;
    tunnel->is_length_exact = true;
    tunnel->methods |= revelation->showing == 1 ? TUNNEL_BY_DPR : TUNNEL_BY_BRPR;
    tunnel->revealed = revealed;
    tunnel->revealed_count = count;
    tunnel->evidence = evidence;
}

/* --- the round ---------------------------------------------------------------------------------------------------- */

static void stop_all(struct probe_tunnel *round)
{
    for (uint32_t i = 0; i < round->hop_count; i++) {
        if (round->asked[i].ping)
            probe_ping_stop(round->asked[i].ping);
        round->asked[i].ping = NULL;
    }
    for (uint32_t i = 0; i < round->revelation_count; i++) {
        struct revelation *revelation = &round->revelations[i];
        if (revelation->trace) {
            round->result->sent += probe_trace_result(revelation->trace)->sent;
            probe_trace_stop(revelation->trace);
        }
        revelation->trace = NULL;
    }
}

static void end(struct probe_tunnel *round)
{
    if (round->state != STATE_REVEALING && !infer(round))
        round->result->is_cut = true;
    for (uint32_t i = 0; i < round->revelation_count; i++)
        conclude(round, &round->revelations[i]);
    remove_unsuspected(&round->result->tunnels);
    const struct probe_tunnel_result *result = round->result;
    round->result->end_ns = probe_engine_mono_ns(round->round.engine);
    probe_tunnel_fn *done = round->done;
    void *user = round->user;
    round_free(&round->round);
    done(user, result);
}

static void step_timer(struct probe_tunnel *round)
{
    switch (round->state) {
    case STATE_STARTING:
        round->state = STATE_ASKING;
        ask_all(round);
        /* fall through */
    case STATE_ASKING:
        if (is_asking(round))
            break;
        if (!round->settings.is_revealing) {
            end(round);
            return;
        }
        if (!infer(round))
            round->result->is_cut = true;
        round->state = STATE_REVEALING;
        plan_revelations(round);
        /* fall through */
    case STATE_REVEALING:
        if (!is_revealing(round)) {
            end(round);
            return;
        }
        break;
    }
    round_wake_at(&round->round, PROBE_IO_NEVER); /* the rounds we started wake us */
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer((struct probe_tunnel *)round);
        break;
    case PROBE_EVENT_SENT:
    case PROBE_EVENT_REFUSED:
    case PROBE_EVENT_STAMP:
    case PROBE_EVENT_ANSWER:
        assert(false); /* it sends nothing itself */
        break;
    }
}

static int check(const struct probe_tunnel_settings *settings, struct error *err)
{
    if (settings->max_probes < 1 || settings->max_probes > TUNNEL_MAX_PROBES)
        return error_set(err, E_RANGE, "max_probes", "must be from 1 to %u", TUNNEL_MAX_PROBES);
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    if (settings->wait_ns < CLOCK_MS || settings->wait_ns > 10 * CLOCK_S)
        return error_set(err, E_RANGE, "wait_ns", "must be from 1 ms to 10 s");
    return 0;
}

int probe_tunnel_start(struct probe_engine *engine, const struct probe_tunnel_settings *settings,
                       const struct probe_trace_hop *hops, uint32_t hop_count, struct arena *arena,
                       probe_tunnel_fn *done, void *user, struct probe_tunnel **ret_round, struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    hop_count = hop_count < LIMIT_HOPS ? hop_count : LIMIT_HOPS;
    struct probe_tunnel_result *result = arena_alloc(arena, sizeof *result);
    uint8_t *echo_ttls = arena_alloc_array(arena, hop_count, sizeof *echo_ttls);
    struct asked *asked = arena_alloc_array(arena, hop_count, sizeof *asked);
    if (!result || !echo_ttls || !asked)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    struct probe_tunnel *round = round_new(engine, 0, step, err);
    if (!round)
        return -E_LIMIT;
    round->settings = *settings;
    round->hops = hops;
    round->hop_count = hop_count;
    round->arena = arena;
    round->done = done;
    round->user = user;
    round->result = result;
    round->echo_ttls = echo_ttls;
    round->asked = asked;
    result->start_ns = probe_engine_mono_ns(engine);
    result->echo_ttls = echo_ttls;
    *ret_round = round;
    return 0;
}

void probe_tunnel_finish(struct probe_tunnel *round)
{
    stop_all(round);
    round->result->is_cut = true;
    end(round);
}

void probe_tunnel_stop(struct probe_tunnel *round)
{
    stop_all(round);
    round_free(&round->round);
}
