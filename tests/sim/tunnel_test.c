/*
 * MPLS tunnels against the truth of the simulated internet: every kind by itself, what must not be taken for one, and
 * hundreds of made-up paths whose tunnels are known. What is measured over those is printed as a diagnostic and asserted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
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
    world_open(&looked->world, scenario, NULL);
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
    "vantage ams address 198.18.1.2/24\nrouter r1\nrouter pe1\nrouter p1\nrouter p2\nrouter p3\nrouter pe2\nrouter r2\n" \
    "router r3\nrouter r4\nrouter r5\nhost app address 198.18.10.10\ndefaults link delay 1ms\n"                        \
    "link ams r1 addresses 10.0.0.1 10.0.0.2\nlink r1 pe1 addresses 10.0.1.1 10.0.1.2\n"                              \
    "link pe1 p1 addresses 10.0.2.1 10.0.2.2\nlink p1 p2 addresses 10.0.3.1 10.0.3.2\n"                               \
    "link p2 p3 addresses 10.0.4.1 10.0.4.2\nlink p3 pe2 addresses 10.0.5.1 10.0.5.2\n"                               \
    "link pe2 r2 addresses 10.0.6.1 10.0.6.2\nlink r2 r3 addresses 10.0.7.1 10.0.7.2\n"                               \
    "link r3 r4 addresses 10.0.8.1 10.0.8.2\nlink r4 r5 addresses 10.0.9.1 10.0.9.2\nlink r5 app\n"
#define BOTH(options) "mpls pe1 p1 p2 p3 pe2 " options "\nmpls pe2 p3 p2 p1 pe1 " options "\n"
#define JUNIPER "echo-ttl 64\n"
#define ALL_JUNIPER                                                                                                   \
    "node r1 " JUNIPER "node pe1 " JUNIPER "node p1 " JUNIPER "node p2 " JUNIPER "node p3 " JUNIPER "node pe2 " JUNIPER \
    "node r2 " JUNIPER "node r3 " JUNIPER "node r4 " JUNIPER "node r5 " JUNIPER
/* Only what leaves the network is label-switched: addresses inside are reached router by router. */
#define TO_OUTSIDE " to 198.18.0.0/16"
/* Every prefix inside has a tunnel of its own, which ends at the first router that knows it. */
#define RECURSIVE                                                                                                     \
    "mpls pe1 p1 p2 p3 pe2 invisible" TO_OUTSIDE "\nmpls pe1 p1 p2 p3 invisible to 10.0.5.0/24\n"                                   \
    "mpls pe1 p1 p2 invisible to 10.0.4.0/24\n"                                         \
    "mpls pe2 p3 p2 p1 pe1 invisible lesser-ttl\n"

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

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(each_kind_is_named),
    };
    return cmocka_run_group_tests_name("sim tunnel", checks, NULL, NULL);
}
