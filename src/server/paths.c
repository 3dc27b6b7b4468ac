#include "server/paths.h"

#include <string.h>

#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "measure/part.h"
#include "server/about.h"
#include "server/results.h"

/* --- the cache ---------------------------------------------------------------------------------------------------- */

struct cached {
    uint64_t test_id, chosen; /* chosen: hash of the agents asked for */
    int64_t round_id;
    uint64_t known; /* about_generation when it was written */
    uint64_t used; /* when last; 0 = empty slot */
    struct buf text;
};

struct paths_cache {
    uint64_t now;
    struct cached slots[PATHS_CACHE_TEXTS];
};

struct paths_cache *paths_cache_new(void)
{
    struct paths_cache *cache = mem_alloc(sizeof *cache);
    for (size_t i = 0; i < PATHS_CACHE_TEXTS; i++)
        buf_init(&cache->slots[i].text, PATHS_CACHE_TEXT_BYTES);
    return cache;
}

void paths_cache_free(struct paths_cache *cache)
{
    for (size_t i = 0; cache && i < PATHS_CACHE_TEXTS; i++)
        buf_done(&cache->slots[i].text);
    mem_free(cache);
}

void paths_cache_forget_test(struct paths_cache *cache, uint64_t test_id)
{
    for (size_t i = 0; i < PATHS_CACHE_TEXTS; i++) {
        if (cache->slots[i].test_id == test_id)
            cache->slots[i].used = 0;
    }
}

static uint64_t hash_chosen(const struct view *view)
{
    return view->chosen_count ? str_hash(view->chosen, view->chosen_count * sizeof *view->chosen, 1) : 0;
}

static struct cached *cache_find(struct paths_cache *cache, const struct view *view, int64_t round_id)
{
    uint64_t chosen = hash_chosen(view);
    for (size_t i = 0; i < PATHS_CACHE_TEXTS; i++) {
        struct cached *slot = &cache->slots[i];
        if (slot->used && slot->test_id == view->test_id && slot->round_id == round_id && slot->chosen == chosen &&
            slot->known == about_generation(view->about)) {
            slot->used = ++cache->now;
            return slot;
        }
    }
    return NULL;
}

static void cache_keep(struct paths_cache *cache, const struct view *view, int64_t round_id, const void *text,
                       size_t size)
{
    struct cached *oldest = &cache->slots[0];
    for (size_t i = 1; i < PATHS_CACHE_TEXTS; i++) {
        if (cache->slots[i].used < oldest->used)
            oldest = &cache->slots[i];
    }
    buf_reset(&oldest->text);
    buf_put(&oldest->text, text, size);
    oldest->test_id = view->test_id;
    oldest->round_id = round_id;
    oldest->known = about_generation(view->about);
    oldest->chosen = hash_chosen(view);
    oldest->used = oldest->text.is_overflowed ? 0 : ++cache->now;
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

enum column {
    AGENT,
    HOP_ADDRESS,
    HOP_RDNS,
    HOP_NETWORK,
    HOP_LOCATION,
    HOP_PREFIX,
    TRACE_AGENT,
    TRACE_FLOW,
    TRACE_END,
    TRACE_PATH,
    TRACE_HOPS,
    TRACE_TARGET,
    TRACE_FIRST,
    TRACE_COUNT,
    PROBE_TTL,
    PROBE_HOP,
    PROBE_RTT,
    PROBE_SENT,
    PROBE_RECEIVED,
    PROBE_MPLS,
    PROBE_ICMP,
    PROBE_REPLY_TTL,
    PROBE_QUOTED_TTL,
    PROBE_TUNNEL,
    COLUMN_COUNT
};

struct address { /* one row of hops */
    const char *text;
    int64_t index;
};

struct picture {
    const struct view *view;
    struct buf columns[COLUMN_COUNT];
    struct map addresses; /* hash -> struct address */
    int64_t agent_count, hop_count, probe_count;
    struct arena scratch; /* of one agent's result */
    bool is_known;        /* nothing more will be known of the addresses */
    int rc;
    struct error *err;
};

/* The column, with a comma before every value but the first. */
static struct buf *next(struct picture *p, enum column column)
{
    struct buf *buf = &p->columns[column];
    if (buf->size)
        buf_putc(buf, ',');
    return buf;
}

static void put_count(struct picture *p, enum column column, int32_t value)
{
    view_integer(next(p, column), value == FIELD_NO_I32 ? 0 : value);
}

static void put_optional(struct picture *p, enum column column, int32_t value)
{
    struct buf *buf = next(p, column);
    if (value == FIELD_NO_I32)
        buf_puts(buf, "null");
    else
        view_integer(buf, value);
}

/* The index of an address in hops, added when it is new; what is known of it comes from where it is seen first. */
static int64_t hop_index(struct picture *p, const struct measure_hop *hop)
{
    uint64_t key = str_hash(hop->ip_address, strlen(hop->ip_address), 0);
    struct address *address;
    while ((address = map_get(&p->addresses, key)) && !str_equal(address->text, hop->ip_address))
        key++;
    if (address)
        return address->index;
    address = arena_alloc(p->view->arena, sizeof *address);
    char *text = arena_strdup(p->view->arena, hop->ip_address);
    if (!address || !text) {
        p->rc = error_set(p->err, E_LIMIT, "hops", "the round has too many addresses for one answer");
        return -1;
    }
    *address = (struct address){.text = text, .index = p->hop_count++};
    map_put(&p->addresses, key, address);
    view_text(next(p, HOP_ADDRESS), hop->ip_address);
    struct measure_hop known = *hop;
    p->is_known &= about_hop(p->view->about, &known, &p->scratch);
    view_text(next(p, HOP_RDNS), known.rdns);
    view_text(next(p, HOP_NETWORK), known.network);
    view_text(next(p, HOP_LOCATION), known.location);
    view_text(next(p, HOP_PREFIX), known.prefix);
    return address->index;
}

static int64_t put_hop(struct picture *p, const struct measure_hop *hop)
{
    int64_t index = hop->ip_address ? hop_index(p, hop) : -1;
    put_count(p, PROBE_TTL, hop->hop);
    view_integer(next(p, PROBE_HOP), index);
    view_number(next(p, PROBE_RTT), hop->oculi.response_time_us);
    put_count(p, PROBE_SENT, hop->oculi.sent);
    put_count(p, PROBE_RECEIVED, hop->oculi.received);
    view_text(next(p, PROBE_MPLS), hop->mpls);
    view_text(next(p, PROBE_ICMP), hop->oculi.icmp);
    put_optional(p, PROBE_REPLY_TTL, hop->oculi.reply_ttl);
    put_optional(p, PROBE_QUOTED_TTL, hop->oculi.quoted_ttl);
    view_text(next(p, PROBE_TUNNEL), hop->oculi.tunnel);
    p->probe_count++;
    return index;
}

static void put_silent_hop(struct picture *p, const struct measure_silent_hop *hop)
{
    put_count(p, PROBE_TTL, hop->hop);
    view_integer(next(p, PROBE_HOP), -1);
    buf_puts(next(p, PROBE_RTT), "null");
    put_count(p, PROBE_SENT, hop->sent);
    put_count(p, PROBE_RECEIVED, 0);
    buf_puts(next(p, PROBE_MPLS), "null");
    buf_puts(next(p, PROBE_ICMP), "null");
    buf_puts(next(p, PROBE_REPLY_TTL), "null");
    buf_puts(next(p, PROBE_QUOTED_TTL), "null");
    buf_puts(next(p, PROBE_TUNNEL), "null");
    p->probe_count++;
}

static void put_trace(struct picture *p, const struct measure_route *route)
{
    const struct measure_hop *hops = route->hops.items;
    const struct measure_silent_hop *silent = route->oculi.silent_hops.items;
    int64_t first = p->probe_count, last = -1;
    for (size_t i = 0, j = 0; i < route->hops.count || j < route->oculi.silent_hops.count;) {
        if (i == route->hops.count || (j < route->oculi.silent_hops.count && silent[j].hop < hops[i].hop))
            put_silent_hop(p, &silent[j++]);
        else
            last = put_hop(p, &hops[i++]);
    }
    bool is_reached = route->oculi.end == MEASURE_END_REACHED;
    view_integer(next(p, TRACE_AGENT), p->agent_count);
    put_count(p, TRACE_FLOW, route->oculi.flow);
    view_text(next(p, TRACE_END), measure_path_end_words[route->oculi.end < 0 ? MEASURE_END_SILENT : route->oculi.end]);
    view_id(next(p, TRACE_PATH), route->path_id);
    put_optional(p, TRACE_HOPS, route->number_of_hops);
    view_integer(next(p, TRACE_TARGET), is_reached ? last : -1);
    view_integer(next(p, TRACE_FIRST), first);
    view_integer(next(p, TRACE_COUNT), p->probe_count - first);
}

static void put_agent(struct picture *p, const struct store_round *round)
{
    const struct object_agent *agent = view_agent(p->view, round->agent_id);
    int loss = results_metric_find(p->view->type, "loss");
    struct buf *out = next(p, AGENT);
    buf_puts(out, "{\"agentId\":");
    view_id(out, round->agent_id);
    buf_puts(out, ",\"agentName\":");
    if (agent && agent->name)
        view_text(out, agent->name);
    else
        buf_printf(out, "\"agent %llu\"", (unsigned long long)round->agent_id);
    buf_puts(out, ",\"loss\":");
    view_number(out, loss < 0 ? (double)NAN : results_metric(round, (unsigned)loss));
    buf_putc(out, '}');
}

static bool take_round(void *user, const struct store_round *round)
{
    struct picture *p = user;
    if (!view_shows(p->view, round->agent_id))
        return true;
    struct results_round result;
    arena_reset(&p->scratch);
    p->rc = results_unpack(p->view->type, round, &p->scratch, &result, p->err);
    for (size_t i = 0; !p->rc && i < p->view->type->part_count; i++) {
        const struct measure_part *part = &p->view->type->parts[i];
        const struct measure_path_vis *paths =
            part->table == &measure_path_vis_table ? results_part(&result, part) : NULL;
        const struct measure_route *routes = paths ? paths->path_traces.items : NULL;
        for (size_t j = 0; paths && j < paths->path_traces.count; j++)
            put_trace(p, &routes[j]);
    }
    if (!p->rc) {
        put_agent(p, round);
        p->agent_count++;
    }
    return !p->rc;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void write_picture(struct picture *p, int64_t round_id, struct buf *out)
{
    static const struct {
        const char *open; /* what stands before the column's values */
        enum column column;
    } layout[] = {
        {",\"agents\":[", AGENT},
        {"],\"hops\":{\"address\":[", HOP_ADDRESS},
        {"],\"rdns\":[", HOP_RDNS},
        {"],\"network\":[", HOP_NETWORK},
        {"],\"location\":[", HOP_LOCATION},
        {"],\"prefix\":[", HOP_PREFIX},
        {"]},\"traces\":{\"agent\":[", TRACE_AGENT},
        {"],\"flow\":[", TRACE_FLOW},
        {"],\"end\":[", TRACE_END},
        {"],\"pathId\":[", TRACE_PATH},
        {"],\"numberOfHops\":[", TRACE_HOPS},
        {"],\"target\":[", TRACE_TARGET},
        {"],\"first\":[", TRACE_FIRST},
        {"],\"count\":[", TRACE_COUNT},
        {"]},\"probes\":{\"ttl\":[", PROBE_TTL},
        {"],\"hop\":[", PROBE_HOP},
        {"],\"rttUs\":[", PROBE_RTT},
        {"],\"sent\":[", PROBE_SENT},
        {"],\"received\":[", PROBE_RECEIVED},
        {"],\"mpls\":[", PROBE_MPLS},
        {"],\"icmp\":[", PROBE_ICMP},
        {"],\"replyTtl\":[", PROBE_REPLY_TTL},
        {"],\"quotedTtl\":[", PROBE_QUOTED_TTL},
        {"],\"tunnel\":[", PROBE_TUNNEL},
    };
    buf_printf(out, "{\"roundId\":%lld,\"target\":", (long long)round_id);
    view_text(out, p->view->target);
    for (size_t i = 0; i < sizeof layout / sizeof layout[0]; i++) {
        buf_puts(out, layout[i].open);
        buf_put(out, p->columns[layout[i].column].data, p->columns[layout[i].column].size);
    }
    buf_puts(out, "]}}");
}

/* Every agent that runs the test and is shown has reported (reports counts those shown). */
static bool is_complete(const struct view *view, int64_t reports)
{
    int64_t expected = 0;
    for (size_t i = 0; i < view->agent_count; i++)
        expected += view_shows(view, view->agents[i].head.id);
    return reports >= expected && reports > 0;
}

int paths_write(const struct view *view, int64_t round_id, struct paths_cache *cache, struct buf *out,
                bool *ret_is_final, struct error *err)
{
    const struct cached *cached = cache ? cache_find(cache, view, round_id) : NULL;
    if (cached) {
        buf_put(out, cached->text.data, cached->text.size);
        *ret_is_final = true;
        return 0;
    }
    struct picture p = {.view = view, .is_known = true, .err = err};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buf_init(&p.columns[i], LIMIT_RESPONSE_BYTES / 8);
    arena_init(&p.scratch, 4 * LIMIT_RESULT_BYTES);
    struct store_query query = {.test_id = view->test_id,
                                .from_s = round_id,
                                .until_s = round_id + 1,
                                .after_round = -1,
                                .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    int rc = store_rounds(view->store, &query, take_round, &p, err);
    rc = rc ? rc : p.rc;
    for (size_t i = 0; !rc && i < COLUMN_COUNT; i++) {
        if (p.columns[i].is_overflowed)
            rc = error_set(err, E_LIMIT, "paths", "the round has too many probes for one answer; ask for fewer agents");
    }
    size_t start = out->size;
    if (!rc) {
        bool is_old = round_id < view->now_s - 2 * (int64_t)(view->interval_s ? view->interval_s : 60);
        write_picture(&p, round_id, out);
        *ret_is_final = is_old && p.is_known && is_complete(view, p.agent_count);
        if (cache && *ret_is_final && !out->is_overflowed)
            cache_keep(cache, view, round_id, out->data + start, out->size - start);
    }
    map_done(&p.addresses);
    arena_done(&p.scratch);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buf_done(&p.columns[i]);
    return rc;
}
