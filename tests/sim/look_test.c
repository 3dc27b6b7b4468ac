/* The closer look of `oculi trace` at the tunnels of several flows, and what becomes of it in a result. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/look.h"
#include "measure/paths.h"
#include "world.h"

#define APP "198.18.10.10"
/* r1 balances over two routers; behind them three routers are hidden between pe1 and pe2. */
#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24\nrouter r1\nrouter a\nrouter b\nrouter pe1\nrouter p1\nrouter p2\nrouter p3\n"  \
    "router pe2\nrouter r2\nrouter r3\nrouter r4\nhost app address 198.18.10.10\ndefaults link delay 1ms\n"           \
    "link ams r1\nlink r1 a\nlink a pe1\n"                                                                            \
    "link pe1 p1 addresses 10.0.2.1 10.0.2.2\nlink p1 p2 addresses 10.0.3.1 10.0.3.2\n"                               \
    "link p2 p3 addresses 10.0.4.1 10.0.4.2\nlink p3 pe2 addresses 10.0.5.1 10.0.5.2\n"                               \
    "link pe2 r2\nlink r2 r3\nlink r3 r4\nlink r4 app\n"                                                              \
    "mpls pe1 p1 p2 p3 pe2 invisible to 198.18.0.0/16\nmpls pe2 p3 p2 p1 pe1 invisible lesser-ttl\n"
#define TWO_WAYS "link r1 b\nlink b pe1\n"

struct looked {
    struct world world;
    struct probe_tunnel_settings settings;
    struct look *look;
    bool is_done;
    uint32_t done_count;
};

static void on_done(void *user)
{
    struct looked *looked = user;
    looked->is_done = true;
    looked->done_count++;
}

static void open_look(struct looked *looked, const char *scenario)
{
    memset(looked, 0, sizeof *looked);
    world_open_small(&looked->world, scenario);
    looked->world.trace.flows = 6;
    probe_tunnel_defaults(&looked->settings);
    looked->settings.is_revealing = true;
    (void)world_trace(&looked->world, APP);
}

/* Lets it run so long, then ends it. */
static void look(struct looked *looked, int64_t ns)
{
    struct world *world = &looked->world;
    looked->is_done = false;
    looked->done_count = 0;
    looked->look =
        look_start(world->engines[0], world->trace_result, &looked->settings, &world->arena, on_done, looked);
    assert_non_null(looked->look);
    assert_false(looked->is_done);
    sim_run(world->sim, ns, &looked->is_done);
    if (!looked->is_done)
        look_finish(looked->look);
    assert_int_equal(looked->done_count, 1);
    assert_int_equal(probe_engine_stats(world->engines[0])->rounds, 0);
}

static uint64_t probes_of_a_look(const char *scenario)
{
    struct looked looked;
    open_look(&looked, scenario);
    uint64_t before = probe_engine_stats(looked.world.engines[0])->sent;
    look(&looked, 600 * CLOCK_S);
    for (uint32_t i = 0; i < 6; i++) {
        const struct tunnel_list *tunnels = look_tunnels(looked.look, i);
        assert_non_null(tunnels);
        assert_int_equal(tunnels->count, 1);
        assert_int_equal(tunnels->items[0].confidence, TUNNEL_CERTAIN);
        assert_int_equal(tunnels->items[0].revealed_count, 3);
    }
    uint64_t sent = probe_engine_stats(looked.world.engines[0])->sent - before;
    world_close(&looked.world);
    return sent;
}

static void flows_on_one_path_share_a_look(void **state)
{
    (void)state;
    uint64_t one = probes_of_a_look(NODES), two = probes_of_a_look(NODES TWO_WAYS);
    assert_true(one < 150);
    assert_true(two > one && two <= 2 * one + 20);
}

static void the_result_names_the_hidden_routers(void **state)
{
    (void)state;
    struct looked looked;
    struct measure_path_vis paths = {0};
    open_look(&looked, NODES);
    look(&looked, 600 * CLOCK_S);
    measure_paths_fill(looked.world.trace_result, &looked.world.trace.dst, &paths, &looked.world.arena);
    struct measure_route *route = paths.path_traces.items;
    const struct measure_hop *hops = route->hops.items;
    assert_string_equal(hops[3].oculi.tunnel, "Possibly 3 hops hidden in an MPLS tunnel");
    measure_paths_set_tunnels(route, look_tunnels(looked.look, 0), &looked.world.arena);
    assert_string_equal(hops[3].oculi.tunnel, "3-hop MPLS tunnel");
    assert_null(hops[2].oculi.tunnel);
    const struct measure_tunnel *tunnel = route->oculi.tunnels.items;
    assert_int_equal(route->oculi.tunnels.count, 1);
    assert_int_equal(tunnel->kind, MEASURE_TUNNEL_INVISIBLE);
    assert_int_equal(tunnel->confidence, MEASURE_TUNNEL_CERTAIN);
    assert_int_equal(tunnel->length, 3);
    const char *const *revealed = tunnel->revealed.items;
    assert_int_equal(tunnel->revealed.count, 3);
    assert_string_equal(revealed[0], "10.0.2.2");
    assert_string_equal(revealed[1], "10.0.3.2");
    assert_string_equal(revealed[2], "10.0.4.2");
    world_close(&looked.world);
}

static void it_ends_when_told(void **state)
{
    (void)state;
    struct looked looked;
    open_look(&looked, NODES TWO_WAYS);
    for (int64_t after = 0; after < 2000 * CLOCK_MS; after += 7 * CLOCK_MS)
        look(&looked, after);
    world_close(&looked.world);
    /* Nothing to look at: nobody answered. */
    open_look(&looked, "vantage ams address 198.18.1.2/24\nrouter r1 silent\nhost app address 198.18.10.10 silent\n"
                       "link ams r1\nlink r1 app\n");
    assert_null(look_start(looked.world.engines[0], looked.world.trace_result, &looked.settings, &looked.world.arena,
                           on_done, &looked));
    world_close(&looked.world);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(flows_on_one_path_share_a_look),
        cmocka_unit_test(the_result_names_the_hidden_routers),
        cmocka_unit_test(it_ends_when_told),
    };
    return cmocka_run_group_tests_name("sim look", checks, NULL, NULL);
}
