/*
 * MPLS tunnels against the truth of the simulated internet: every kind by itself, what must not be taken for one, and
 * hundreds of made-up paths whose tunnels are known. What is counted over those is printed and asserted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/str.h"
#include "probe/tunnel.h"
#include "world.h"

#define APP "198.18.10.10"

struct looked {
    struct world world;
    const struct probe_tunnel_result *result;
    bool is_done;
};

static void on_tunnels(void *user, const struct probe_tunnel_result *result)
{
    struct looked *looked = user;
    looked->result = result;
    looked->is_done = true;
}

/* Traces to the host and looks closer at the first flow. */
static void look(struct looked *looked, const char *to, bool is_revealing)
{
    struct probe_tunnel *round;
    struct probe_tunnel_settings settings;
    const struct probe_trace_flow *flow = &world_trace(&looked->world, to)->flows[0];
    probe_tunnel_defaults(&settings);
    settings.is_revealing = is_revealing;
    looked->is_done = false;
    assert_int_equal(probe_tunnel_start(looked->world.engines[0], &settings, flow->hops, flow->hop_count,
                                        &looked->world.arena, on_tunnels, looked, &round, NULL),
                     0);
    sim_run(looked->world.sim, 600 * CLOCK_S, &looked->is_done);
    assert_true(looked->is_done);
    assert_int_equal(probe_engine_stats(looked->world.engines[0])->rounds, 0);
}

static void open_look(struct looked *looked, const char *scenario)
{
    memset(looked, 0, sizeof *looked);
    world_open_small(&looked->world, scenario);
    looked->world.trace.flows = 1;
}

/* "explicit certain 3-5 3, invisible likely 7 2": hops by TTL, then the length; hints are left out. */
static const char *found(const struct tunnel_list *list)
{
    static char text[2000];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct tunnel *t = &list->items[i];
        if (t->confidence == TUNNEL_HINT)
            continue;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %s %u", at ? ", " : "", tunnel_kind_names[t->kind],
                               tunnel_confidence_names[t->confidence], t->first + 1);
        if (t->last != t->first)
            at += (size_t)snprintf(text + at, sizeof text - at, "-%u", t->last + 1);
        at += (size_t)snprintf(text + at, sizeof text - at, " %u", t->length);
    }
    return text;
}

/* --- one kind at a time ------------------------------------------------------------------------------------------- */

/* pe1 - p1 - p2 - p3 - pe2 with interface addresses 10.0.x.1 and 10.0.x.2 on link x. */
#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\nrouter pe1\nrouter p1\nrouter p2\n"           \
    "router p3\nrouter pe2\nrouter r2\nrouter r3\nrouter r4\nrouter r5\n"                                           \
    "host app address 198.18.10.10 v6 2001:db8:a::10\ndefaults link delay 1ms\n"                                      \
    "link ams r1 addresses 10.0.0.1 10.0.0.2\nlink r1 pe1 addresses 10.0.1.1 10.0.1.2\n"                              \
    "link pe1 p1 addresses 10.0.2.1 10.0.2.2\nlink p1 p2 addresses 10.0.3.1 10.0.3.2\n"                               \
    "link p2 p3 addresses 10.0.4.1 10.0.4.2\nlink p3 pe2 addresses 10.0.5.1 10.0.5.2\n"                               \
    "link pe2 r2 addresses 10.0.6.1 10.0.6.2\nlink r2 r3 addresses 10.0.7.1 10.0.7.2\n"                               \
    "link r3 r4 addresses 10.0.8.1 10.0.8.2\nlink r4 r5 addresses 10.0.9.1 10.0.9.2\nlink r5 app\n"
#define BOTH(options) "mpls pe1 p1 p2 p3 pe2 " options "\nmpls pe2 p3 p2 p1 pe1 " options "\n"
#define JUNIPER "echo-ttl 64\n"
#define ALL_JUNIPER                                                                                                   \
    "node r1 " JUNIPER "node pe1 " JUNIPER "node p1 " JUNIPER "node p2 " JUNIPER "node p3 " JUNIPER                   \
    "node pe2 " JUNIPER "node r2 " JUNIPER "node r3 " JUNIPER "node r4 " JUNIPER "node r5 " JUNIPER
/* Only what leaves the network is label-switched: addresses inside are reached router by router. */
#define TO_OUTSIDE " to 198.18.0.0/16"
/* Every prefix inside has a tunnel of its own, which ends at the first router that knows it. */
#define RECURSIVE                                                                                                     \
    "mpls pe1 p1 p2 p3 pe2 invisible" TO_OUTSIDE "\nmpls pe1 p1 p2 p3 invisible to 10.0.5.0/24\n"                     \
    "mpls pe1 p1 p2 invisible to 10.0.4.0/24\nmpls pe2 p3 p2 p1 pe1 invisible lesser-ttl\n"

struct sample {
    const char *scenario, *passive, *active, *revealed;
};

static void each_kind_is_named(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"", "", "", ""},
        {ALL_JUNIPER, "", "", ""},
        {BOTH("explicit"), "explicit certain 3-5 3", "explicit certain 3-5 3", "explicit certain 3-5 3"},
        {BOTH("explicit") "node p1 no-labels\n", "explicit certain 3-5 3", "explicit certain 3-5 3",
         "explicit certain 3-5 3"},
        {BOTH("explicit") "node p2 no-ttl-exceeded\n", "explicit certain 3-5 3", "explicit certain 3-5 3",
         "explicit certain 3-5 3"},
        {BOTH("implicit"), "implicit likely 3-5 3", "implicit likely 3-5 3", "implicit likely 3-5 3"},
        {BOTH("implicit uturn"), "implicit likely 3-5 3", "implicit likely 3-5 3", "implicit likely 3-5 3"},
        {BOTH("opaque" TO_OUTSIDE), "opaque certain 3 3", "opaque certain 3 3", "opaque certain 3 3"},
        {BOTH("invisible"), "", "", ""}, /* nothing to see at all */
        {BOTH("invisible" TO_OUTSIDE), "", "", "invisible suspected 3 3"}, /* but the routers themselves */
        {BOTH("invisible lesser-ttl"), "invisible suspected 3 3", "invisible suspected 3 3", "invisible suspected 3 3"},
        {BOTH("invisible lesser-ttl") ALL_JUNIPER, "invisible suspected 3 3", "invisible likely 3 3",
         "invisible likely 3 3"},
        {BOTH("invisible lesser-ttl" TO_OUTSIDE), "invisible suspected 3 3", "invisible suspected 3 3",
         "invisible certain 3 3"},
        {RECURSIVE, "invisible suspected 3 3", "invisible suspected 3 3", "invisible certain 3 3"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct looked looked;
        char scenario[6000];
        (void)snprintf(scenario, sizeof scenario, "%s%s", NODES, samples[i].scenario);
        open_look(&looked, scenario);
        look(&looked, APP, false);
        struct tunnel_list passive;
        const struct probe_trace_flow *flow = &looked.world.trace_result->flows[0];
        assert_int_equal(tunnel_infer(flow->hops, flow->hop_count, NULL, &looked.world.arena, &passive), 0);
        if (strcmp(found(&passive), samples[i].passive) != 0)
            fail_msg("%s passive: %s", samples[i].scenario, found(&passive));
        if (strcmp(found(&looked.result->tunnels), samples[i].active) != 0)
            fail_msg("%s with echoes: %s", samples[i].scenario, found(&looked.result->tunnels));
        look(&looked, APP, true);
        if (strcmp(found(&looked.result->tunnels), samples[i].revealed) != 0)
            fail_msg("%s revealing: %s", samples[i].scenario, found(&looked.result->tunnels));
        assert_false(looked.result->is_cut);
        world_close(&looked.world);
    }
}

/* The text of a scenario; the nodes that some include come before it. */
static void read_scenario(const char *folder, const char *name, struct buf *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s.lab", folder, name);
    assert_int_equal(file_read(path, text, NULL), 0);
    char *include = strstr((char *)text->data, "include \"chain.inc\"");
    if (!include)
        return;
    *include = '#';
    struct buf nodes;
    buf_init(&nodes, 1 << 20);
    (void)snprintf(path, sizeof path, "%s/chain.inc", folder);
    assert_int_equal(file_read(path, &nodes, NULL), 0);
    buf_put(&nodes, text->data, text->size);
    buf_done(text);
    *text = nodes;
}

/* The scenarios that come with the simulated internet, over both families. */
static void shipped_scenarios_are_named(void **state)
{
    static const struct {
        const char *file, *tunnels;
    } samples[] = {
        {"mpls-explicit", "explicit certain 3-5 3"}, {"mpls-stack", "explicit certain 3-5 3"},
        {"mpls-implicit", "implicit likely 3-5 3"},  {"mpls-opaque", "opaque certain 3 3"},
        {"mpls-invisible", ""},                      {"clean", ""},
        {"asymmetric", ""},                          {"silent-middle", ""},
        {"firewall-drop", ""},                       {"nat", ""},
        {"nat-quotes", ""},                          {"rewritten", ""},
    };
    static const char *const targets[] = {APP, "2001:db8:a::10"};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct looked looked;
        struct buf text;
        buf_init(&text, 1 << 20);
        read_scenario(*state, samples[i].file, &text);
        open_look(&looked, buf_str(&text));
        bool has_v6 = strstr(buf_str(&text), targets[1]) != NULL;
        for (int k = 0; k < 1 + has_v6; k++) {
            look(&looked, targets[k], true);
            if (strcmp(found(&looked.result->tunnels), samples[i].tunnels) != 0)
                fail_msg("%s: %s", samples[i].file, found(&looked.result->tunnels));
        }
        world_close(&looked.world);
        buf_done(&text);
    }
}

/* --- the round ---------------------------------------------------------------------------------------------------- */

static void budgets_are_kept(void **state)
{
    (void)state;
    struct looked looked;
    struct probe_tunnel *round;
    struct probe_tunnel_settings settings;
    struct error err;
    open_look(&looked, NODES BOTH("invisible lesser-ttl" TO_OUTSIDE));
    const struct probe_trace_flow *flow = &world_trace(&looked.world, APP)->flows[0];
    struct probe_engine *engine = looked.world.engines[0];
    struct arena *arena = &looked.world.arena;
    probe_tunnel_defaults(&settings);
    settings.is_revealing = true;
    for (settings.max_probes = 1; settings.max_probes < 200; settings.max_probes += 7) {
        looked.is_done = false;
        assert_int_equal(probe_tunnel_start(engine, &settings, flow->hops, flow->hop_count, arena, on_tunnels, &looked,
                                            &round, NULL),
                         0);
        assert_false(looked.is_done);
        sim_run(looked.world.sim, 600 * CLOCK_S, &looked.is_done);
        assert_true(looked.result->sent <= settings.max_probes);
        assert_true(looked.result->is_cut || looked.result->traces > 0);
        assert_int_equal(looked.result->tunnels.count, 1);
    }
    settings.max_probes = 0;
    assert_int_equal(probe_tunnel_start(engine, &settings, flow->hops, 1, arena, on_tunnels, &looked, &round, &err),
                     -E_RANGE);
    assert_string_equal(err.where, "max_probes");
    world_close(&looked.world);
}

/* It can be ended or forgotten at any moment, and leaves nothing behind. */
static void it_ends_when_told(void **state)
{
    (void)state;
    struct looked looked;
    open_look(&looked, NODES BOTH("invisible lesser-ttl" TO_OUTSIDE));
    const struct probe_trace_flow *flow = &world_trace(&looked.world, APP)->flows[0];
    struct probe_engine *engine = looked.world.engines[0];
    for (int64_t after = 0; after < 3000 * CLOCK_MS; after += 37 * CLOCK_MS) {
        for (int is_forgotten = 0; is_forgotten < 2; is_forgotten++) {
            struct probe_tunnel *round;
            struct probe_tunnel_settings settings;
            probe_tunnel_defaults(&settings);
            settings.is_revealing = true;
            looked.is_done = false;
            assert_int_equal(probe_tunnel_start(engine, &settings, flow->hops, flow->hop_count, &looked.world.arena,
                                                on_tunnels, &looked, &round, NULL),
                             0);
            sim_run(looked.world.sim, after, &looked.is_done);
            if (!looked.is_done && is_forgotten)
                probe_tunnel_stop(round);
            else if (!looked.is_done)
                probe_tunnel_finish(round);
            assert_true(looked.is_done || is_forgotten);
            assert_int_equal(probe_engine_stats(engine)->rounds, 0);
        }
    }
    /* No hops, no answer before the start has returned. */
    struct probe_tunnel *round;
    struct probe_tunnel_settings settings;
    probe_tunnel_defaults(&settings);
    looked.is_done = false;
    assert_int_equal(probe_tunnel_start(engine, &settings, NULL, 0, &looked.world.arena, on_tunnels, &looked, &round,
                                        NULL),
                     0);
    assert_false(looked.is_done);
    sim_run(looked.world.sim, CLOCK_S, &looked.is_done);
    assert_true(looked.is_done);
    assert_int_equal(looked.result->tunnels.count, 0);
    world_close(&looked.world);
}

/* --- made-up paths ------------------------------------------------------------------------------------------------ */

#define MADE_PATHS 150u /* without a second argument; docs/tunnels.md has the figures of 4000 */
#define MADE_NODES 60u
#define MADE_TUNNELS 3u

static uint64_t made_paths = MADE_PATHS;

struct made_tunnel {
    enum tunnel_kind kind;
    uint32_t first, last, length; /* as struct tunnel */
    uint32_t loud;                /* routers that can be seen to quote a label */
};

/* A line of routers with tunnels on some stretches, made for one seed. */
struct made {
    struct rng rng;
    struct buf text;
    uint32_t node_count;          /* routers on the way */
    uint32_t ttl_of[MADE_NODES];  /* hop index; TUNNEL_NONE = hidden */
    bool is_in_tunnel[MADE_NODES], is_silent[MADE_NODES];
    uint32_t hops;                /* that show themselves so far */
    struct made_tunnel tunnels[MADE_TUNNELS];
    uint32_t tunnel_count;
};

static bool is_drawn(struct made *made, uint32_t percent)
{
    return rng_below(&made->rng, 100) < percent;
}

static uint32_t draw(struct made *made, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(&made->rng, high - low + 1);
}

/* The next router of the line with its link to the one before. Styles of initial TTLs as in the field. */
static uint32_t add_router(struct made *made, bool is_hidden, bool is_in_tunnel)
{
    static const char *const styles[] = {"", "", "", "ttl 255 echo-ttl 64", "ttl 255 echo-ttl 64", "ttl 64"};
    uint32_t n = made->node_count++;
    assert_true(n < MADE_NODES);
    made->is_silent[n] = n > 0 && is_drawn(made, 6);
    buf_printf(&made->text, "router n%u %s%s\n", n, styles[draw(made, 0, 5)],
               made->is_silent[n] ? " no-ttl-exceeded" : "");
    if (n == 0)
        buf_puts(&made->text, "link ams n0\n");
    else
        buf_printf(&made->text, "link n%u n%u addresses 10.0.%u.1 10.0.%u.2\n", n - 1, n, n, n);
    made->ttl_of[n] = is_hidden ? TUNNEL_NONE : made->hops++;
    made->is_in_tunnel[n] = is_in_tunnel;
    return n;
}

static void put_nodes(struct made *made, uint32_t from, uint32_t to)
{
    buf_puts(&made->text, "mpls");
    for (uint32_t i = from;; i += to > from ? 1 : UINT32_MAX) {
        buf_printf(&made->text, " n%u", i);
        if (i == to)
            break;
    }
}

/* An address inside is reached without the tunnel, by shorter and shorter ones, or through it like all others. */
static void put_forward(struct made *made, uint32_t begin, uint32_t end, const char *options)
{
    static const char *const outside = " to 198.18.0.0/16";
    uint32_t style = draw(made, 0, 2);
    put_nodes(made, begin, end);
    buf_printf(&made->text, " %s%s\n", options, style < 2 ? outside : "");
    for (uint32_t k = end - 1; style == 1 && k > begin + 1; k--) {
        put_nodes(made, begin, k);
        buf_printf(&made->text, " %s to 10.0.%u.0/24\n", options, k + 1);
    }
}

static void add_tunnel(struct made *made)
{
    static const char *const options[] = {"explicit", "implicit", "opaque", "invisible"};
    struct made_tunnel *tunnel = &made->tunnels[made->tunnel_count++];
    enum tunnel_kind kind = (enum tunnel_kind)draw(made, 0, 3);
    uint32_t inner = draw(made, 1, 6), begin = made->node_count - 1, first_ttl = made->hops;
    bool is_hiding = kind == TUNNEL_OPAQUE || kind == TUNNEL_INVISIBLE;
    *tunnel = (struct made_tunnel){.kind = kind, .length = inner};
    for (uint32_t i = 0; i < inner; i++) {
        uint32_t n = add_router(made, is_hiding, true);
        bool is_shy = kind == TUNNEL_EXPLICIT && is_drawn(made, 10);
        if (is_shy)
            buf_printf(&made->text, "node n%u no-labels\n", n);
        tunnel->loud += !is_shy && !made->is_silent[n];
    }
    uint32_t end = add_router(made, false, true);
    char text[64];
    (void)snprintf(text, sizeof text, "%s%s", options[kind],
                   is_hiding ? is_drawn(made, 70) ? " lesser-ttl" : "" : is_drawn(made, 50) ? " uturn" : "");
    put_forward(made, begin, end, text);
    put_nodes(made, end, begin);
    buf_printf(&made->text, " %s\n", text);
    /* Labels that nobody shows make it the other kind. */
    if (kind == TUNNEL_OPAQUE && made->is_silent[end])
        tunnel->kind = TUNNEL_INVISIBLE;
    if (kind == TUNNEL_EXPLICIT && tunnel->loud == 0)
        tunnel->kind = TUNNEL_IMPLICIT;
    tunnel->first = is_hiding ? made->ttl_of[end] : first_ttl;
    tunnel->last = is_hiding ? tunnel->first : first_ttl + inner - 1;
}

/* Answers from one router on come back another way, longer or shorter. */
static void add_detour(struct made *made, char name)
{
    uint32_t from = draw(made, 1, made->node_count - 1), to = draw(made, 0, from - 1), count = draw(made, 1, 7);
    if (made->is_in_tunnel[from] || made->is_in_tunnel[to])
        return;
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&made->text, "router %c%u\n", name, i);
        if (i > 0)
            buf_printf(&made->text, "link %1$c%2$u %1$c%3$u metric 100\nroute %1$c%2$u 198.18.1.0/24 via %1$c%3$u\n",
                       name, i - 1, i);
    }
    buf_printf(&made->text, "link n%1$u %2$c0 metric 100\nroute n%1$u 198.18.1.0/24 via %2$c0\n", from, name);
    buf_printf(&made->text, "link %1$c%2$u n%3$u metric 100\nroute %1$c%2$u 198.18.1.0/24 via n%3$u\n", name, count - 1,
               to);
}

static void make(struct made *made, uint64_t seed, bool has_tunnels)
{
    memset(made, 0, sizeof *made);
    rng_seed(&made->rng, seed);
    buf_init(&made->text, 1 << 20);
    buf_puts(&made->text, "vantage ams address 198.18.1.2/24\nhost app address 198.18.10.10\n"
                          "defaults link delay 1ms\n");
    for (uint32_t i = draw(made, 1, 3); i > 0; i--)
        (void)add_router(made, false, false);
    for (uint32_t count = has_tunnels ? draw(made, 1, MADE_TUNNELS) : draw(made, 1, 3); count > 0; count--) {
        if (has_tunnels)
            add_tunnel(made);
        for (uint32_t i = draw(made, 1, 4); i > 0; i--)
            (void)add_router(made, false, false);
    }
    for (char name = 'd'; name < 'g'; name++)
        if (is_drawn(made, has_tunnels ? 15 : 30))
            add_detour(made, name);
    if (!has_tunnels && is_drawn(made, 30)) /* a firewall that sets the TTL of what it passes on, both ways */
        buf_printf(&made->text, "node n%u ttl-rewrite %u\n", draw(made, 0, made->node_count - 1),
                   is_drawn(made, 50) ? 64 : 255);
    buf_printf(&made->text, "link n%u app\n", made->node_count - 1);
}

enum mode { MODE_PASSIVE, MODE_ECHOES, MODE_REVEALING, MODE_COUNT };

static const char *const mode_names[] = {"hops alone", "with echo requests", "revealing"};

/* What was said, against what is. Claims are likely or certain. */
struct score {
    uint32_t truth[4], claimed_right[4], suspected_right[4], exact[4]; /* by true kind */
    uint32_t claims, wrong_kind, false_claims;
    uint32_t suspicions, false_suspicions;
    uint32_t probes, paths;
};

/* The tunnel that was meant: one at these hops, of this kind if there is such a one. */
static const struct made_tunnel *true_at(const struct made *made, const struct tunnel *tunnel)
{
    const struct made_tunnel *any = NULL;
    for (uint32_t i = 0; i < made->tunnel_count; i++) {
        const struct made_tunnel *is = &made->tunnels[i];
        if (tunnel->first > is->last || tunnel->last < is->first)
            continue;
        if (is->kind == tunnel->kind)
            return is;
        any = is;
    }
    return any;
}

static void count(struct score *score, const struct made *made, const struct tunnel_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct tunnel *tunnel = &list->items[i];
        const struct made_tunnel *is = true_at(made, tunnel);
        bool is_claim = tunnel->confidence >= TUNNEL_LIKELY;
        bool is_right = is && is->kind == tunnel->kind;
        if (tunnel->confidence == TUNNEL_HINT)
            continue;
        score->claims += is_claim;
        score->suspicions += !is_claim;
        score->false_claims += is_claim && !is;
        score->false_suspicions += !is_claim && !is_right;
        score->wrong_kind += is_claim && is && !is_right;
        if (!is_right)
            continue;
        score->claimed_right[is->kind] += is_claim;
        score->suspected_right[is->kind] += !is_claim;
        score->exact[is->kind] += is_claim && is->first == tunnel->first && is->last == tunnel->last &&
                                  is->length == tunnel->length;
    }
    for (uint32_t i = 0; i < made->tunnel_count; i++)
        score->truth[made->tunnels[i].kind]++;
    score->paths++;
}

static void print_score(const char *what, enum mode mode, const struct score *score)
{
    print_message("# %s, %s: %u paths, %u claims, %u of no tunnel, %u of another kind; %u suspicions, %u wrong; "
                  "%.1f probes a path\n",
                  what, mode_names[mode], score->paths, score->claims, score->false_claims, score->wrong_kind,
                  score->suspicions, score->false_suspicions, (double)score->probes / score->paths);
    for (int kind = 0; kind < 4; kind++) {
        if (score->truth[kind])
            print_message("#   %s: %u of %u claimed, %u of them with the right hops and length, %u suspected\n",
                          tunnel_kind_names[kind], score->claimed_right[kind], score->truth[kind], score->exact[kind],
                          score->suspected_right[kind]);
    }
}

static void try_all(uint64_t seed, bool has_tunnels, struct score scores[MODE_COUNT])
{
    for (uint64_t i = 0; i < made_paths; i++) {
        static struct made made;
        static struct looked looked;
        struct tunnel_list passive;
        make(&made, seed + i, has_tunnels);
        open_look(&looked, buf_str(&made.text));
        look(&looked, APP, false);
        const struct probe_trace_flow *flow = &looked.world.trace_result->flows[0];
        assert_int_equal(tunnel_infer(flow->hops, flow->hop_count, NULL, &looked.world.arena, &passive), 0);
        count(&scores[MODE_PASSIVE], &made, &passive);
        count(&scores[MODE_ECHOES], &made, &looked.result->tunnels);
        scores[MODE_ECHOES].probes += looked.result->sent;
        look(&looked, APP, true);
        count(&scores[MODE_REVEALING], &made, &looked.result->tunnels);
        scores[MODE_REVEALING].probes += looked.result->sent;
        world_close(&looked.world);
        buf_done(&made.text);
    }
}

static void made_up_tunnels_are_found(void **state)
{
    (void)state;
    struct score scores[MODE_COUNT] = {0};
    try_all(1000, true, scores);
    for (int mode = 0; mode < MODE_COUNT; mode++) {
        const struct score *score = &scores[mode];
        print_score("paths with tunnels", (enum mode)mode, score);
        assert_int_equal(score->false_claims + score->wrong_kind, 0);
        assert_true(score->false_suspicions * 20 <= score->suspicions);
        assert_int_equal(score->claimed_right[TUNNEL_EXPLICIT], score->truth[TUNNEL_EXPLICIT]);
        assert_true(score->exact[TUNNEL_OPAQUE] * 100 >= score->truth[TUNNEL_OPAQUE] * 99);
        /* The rest have one router or two, which is one odd value, or silent ones. */
        assert_true(score->claimed_right[TUNNEL_IMPLICIT] * 100 >= score->truth[TUNNEL_IMPLICIT] * 60);
    }
    /* The rest show nothing at all: their TTL is not taken over, or their end begins its errors at 64. */
    const uint32_t *claimed = scores[MODE_REVEALING].claimed_right, *truth = scores[MODE_REVEALING].truth;
    assert_true(scores[MODE_PASSIVE].suspected_right[TUNNEL_INVISIBLE] * 100 >= truth[TUNNEL_INVISIBLE] * 25);
    assert_true(claimed[TUNNEL_INVISIBLE] * 100 >= truth[TUNNEL_INVISIBLE] * 30);
}

static void clean_paths_stay_clean(void **state)
{
    (void)state;
    struct score scores[MODE_COUNT] = {0};
    try_all(100000, false, scores);
    for (int mode = 0; mode < MODE_COUNT; mode++) {
        print_score("paths without", (enum mode)mode, &scores[mode]);
        assert_int_equal(scores[mode].claims, 0);
        assert_true(scores[mode].suspicions * 100 <= scores[mode].paths);
    }
}

int main(int argc, char **argv)
{
    assert(argc >= 2); /* the folder of the scenarios, and how many paths to make up */
    if (argc > 2)
        assert(str_to_u64(argv[2], 1000000, &made_paths) == 0);
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(each_kind_is_named),
        cmocka_unit_test_prestate(shipped_scenarios_are_named, argv[1]),
        cmocka_unit_test(budgets_are_kept),
        cmocka_unit_test(it_ends_when_told),
        cmocka_unit_test(made_up_tunnels_are_found),
        cmocka_unit_test(clean_paths_stay_clean),
    };
    return cmocka_run_group_tests_name("sim tunnel", checks, NULL, NULL);
}
