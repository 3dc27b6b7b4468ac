/* Rounds of a measure type over the simulated internet: what the result says, exactly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/loop.h"
#include "base/resolve.h"
#include "measure/agent_to_server/settings.h"
#include "measure/runner.h"
#include "probe/modes.h"
#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"
#define CHAIN NODES "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\n"

struct rig {
    struct world world;
    struct loop *loop;
    struct resolver *resolver;
    struct measure_context context;
    struct agent_to_server_settings settings;
    struct measure_round round;
    const struct agent_to_server_result *result;
    unsigned progress;
    bool is_done;
};

static void on_progress(struct measure_round *round)
{
    struct rig *rig = round->user;
    const struct agent_to_server_result *result = round->result;
    rig->progress++;
    assert_true(result->network.oculi.received <= result->network.oculi.sent);
    assert_true(isnan(result->network.loss) || result->network.loss <= 100);
}

static void on_done(struct measure_round *round)
{
    ((struct rig *)round->user)->is_done = true;
}

static void rig_open(struct rig *rig, const char *scenario)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    memset(rig, 0, sizeof *rig);
    world_open(&rig->world, scenario, NULL);
    assert_int_equal(loop_new(&rig->loop, NULL), 0);
    assert_int_equal(resolver_new(rig->loop, &rig->resolver, NULL), 0);
    rig->context = (struct measure_context){.loop = rig->loop, .engine = rig->world.engines[0],
                                            .resolver = rig->resolver, .clock = &clock_real,
                                            .ipv6_policy = SOCK_PREFER_IPV6};
    field_defaults(type->settings, &rig->settings);
    rig->settings.protocol = AGENT_TO_SERVER_ICMP;
}

static void rig_close(struct rig *rig)
{
    resolver_free(rig->resolver);
    world_close(&rig->world);
    loop_free(rig->loop);
}

static void begin(struct rig *rig, const char *server)
{
    struct error err;
    rig->settings.server = server;
    rig->is_done = false;
    rig->round = (struct measure_round){.context = &rig->context, .settings = &rig->settings, .progress = on_progress,
                                        .done = on_done, .user = rig};
    if (measure_round_start(measure_runner_find("agent-to-server"), &rig->round, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
    rig->result = rig->round.result;
    assert_false(rig->is_done);
    assert_int_equal(loop_step(rig->loop, 0), 0); /* an address needs no thread to be resolved */
}

/* A whole round; measure_round_done is the caller's. */
static const struct agent_to_server_result *measure(struct rig *rig, const char *server)
{
    begin(rig, server);
    sim_run(rig->world.sim, 60 * CLOCK_S, &rig->is_done);
    assert_true(rig->is_done);
    return rig->result;
}

static const struct measure_route *route_at(const struct agent_to_server_result *result, size_t i)
{
    assert_true(i < result->path_vis.path_traces.count);
    return (const struct measure_route *)result->path_vis.path_traces.items + i;
}

static const struct measure_hop *hop_at(const struct measure_route *route, size_t i)
{
    assert_true(i < route->hops.count);
    return (const struct measure_hop *)route->hops.items + i;
}

static void a_clean_path(void **state)
{
    (void)state;
    static const char *const targets[] = {APP, APP6};
    struct rig rig;
    rig_open(&rig, CHAIN);
    for (int i = 0; i < 2; i++) {
        const struct agent_to_server_result *result = measure(&rig, targets[i]);
        const struct measure_network *network = &result->network;
        assert_string_equal(network->server, targets[i]);
        assert_string_equal(network->server_ip, targets[i]);
        assert_true(network->loss == 0 && network->avg_latency == 20 && network->min_latency == 20);
        assert_true(network->max_latency == 20 && network->jitter == 0 && network->oculi.median_latency == 20);
        assert_int_equal(network->oculi.sent, 50);
        assert_int_equal(network->oculi.received, 50);
        assert_int_equal(network->oculi.rtts_us.count, 50);
        assert_int_equal(((const int64_t *)network->oculi.rtts_us.items)[49], 20000);
        assert_null(network->error_details);
        assert_false(network->oculi.is_partial);
        assert_int_equal(result->path_vis.path_traces.count, 3);
        for (size_t t = 0; t < 3; t++) {
            const struct measure_route *route = route_at(result, t);
            assert_int_equal(route->oculi.end, MEASURE_END_REACHED);
            assert_int_equal(route->oculi.flow, t + 1);
            assert_int_equal(route->hops.count, 4);
            assert_int_equal(route->number_of_hops, 4);
            assert_int_equal(route->response_time, 20);
            assert_string_equal(route->ip_address, targets[i]);
            assert_true(route->path_id == route_at(result, 0)->path_id);
            assert_int_equal(route->oculi.silent_hops.count, 0);
        }
        const struct measure_hop *hop = hop_at(route_at(result, 0), 1);
        assert_int_equal(hop->hop, 2);
        assert_int_equal(hop->response_time, 6);
        assert_true(hop->oculi.response_time_us == 6000);
        assert_int_equal(hop->oculi.quoted_ttl, 1);
        assert_string_equal(hop->oculi.icmp, i ? "3-0" : "11-0");
        measure_round_done(&rig.round);
    }
    assert_true(rig.progress > 10);
    rig_close(&rig);
}

/* The same addresses give the same id in every round; another router or another target gives another. */
static void path_ids_are_stable(void **state)
{
    (void)state;
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        rig_open(&rig, i < 2 ? CHAIN : CHAIN "node r2 silent\n");
        ids[i] = route_at(measure(&rig, APP), 0)->path_id;
        measure_round_done(&rig.round);
        assert_true(route_at(measure(&rig, APP), 0)->path_id == ids[i]);
        measure_round_done(&rig.round);
        assert_true(route_at(measure(&rig, APP6), 0)->path_id != ids[i]);
        measure_round_done(&rig.round);
        rig_close(&rig);
    }
    assert_true(ids[0] == ids[1]);
    assert_true(ids[0] != ids[2]);
}

static void silent_hops_are_left_out_and_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "node r2 silent\n");
    const struct measure_route *route = route_at(measure(&rig, APP), 0);
    assert_int_equal(route->hops.count, 3);
    assert_int_equal(hop_at(route, 0)->hop, 1);
    assert_int_equal(hop_at(route, 1)->hop, 3);
    assert_int_equal(route->oculi.silent_hops.count, 1);
    const struct measure_silent_hop *silent = route->oculi.silent_hops.items;
    assert_int_equal(silent->hop, 2);
    assert_true(silent->sent >= 2);
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void total_loss_is_a_result(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "node app silent\n");
    const struct agent_to_server_result *result = measure(&rig, APP);
    assert_true(result->network.loss == 100);
    assert_true(isnan(result->network.avg_latency) && isnan(result->network.jitter));
    assert_null(result->network.error_details);
    assert_int_equal(route_at(result, 0)->oculi.end, MEASURE_END_SILENT);
    assert_int_equal(route_at(result, 0)->response_time, FIELD_NO_I32);
    assert_string_equal(route_at(result, 0)->ip_address, "198.51.100.3");
    json_t *json = field_to_json(&measure_network_table, &result->network, NULL);
    assert_null(json_object_get(json, "avgLatency"));
    assert_null(json_object_get(json, "minLatency"));
    assert_true(json_number_value(json_object_get(json, "loss")) == 100);
    json_decref(json);
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void label_stacks_are_joined(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "mpls r1 r2 r3 explicit uhp labels 24001 299776 bottom 16 tc 5\n");
    const struct measure_route *route = route_at(measure(&rig, APP), 0);
    assert_null(hop_at(route, 0)->mpls);
    assert_string_equal(hop_at(route, 1)->mpls, "L=24001,E=5,S=0,T=1; L=16,E=5,S=1,T=1");
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void tunnels_are_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "mpls r1 r2 r3 opaque labels 24001 24002\n");
    const struct measure_route *route = route_at(measure(&rig, APP), 0);
    const struct measure_tunnel *tunnel = route->oculi.tunnels.items;
    assert_int_equal(route->oculi.tunnels.count, 1);
    assert_int_equal(tunnel->kind, MEASURE_TUNNEL_OPAQUE);
    assert_int_equal(tunnel->confidence, MEASURE_TUNNEL_CERTAIN);
    assert_int_equal(tunnel->first_hop, 2);
    assert_int_equal(tunnel->last_hop, 2);
    assert_int_equal(tunnel->length, 1);
    assert_true(tunnel->is_length_exact);
    assert_string_equal(tunnel->evidence, "the label at hop 2 has a TTL of 254, 1 below 255");
    assert_null(hop_at(route, 0)->oculi.tunnel);
    assert_string_equal(hop_at(route, 1)->oculi.tunnel, "1-hop MPLS tunnel");
    measure_round_done(&rig.round);
    rig_close(&rig);
}

/* Both views of the paths survive storage, and each shows its own fields. */
static void results_survive_storage(void **state)
{
    (void)state;
    struct rig rig;
    struct buf cbor;
    struct arena arena;
    struct measure_path_vis copy;
    rig_open(&rig, CHAIN "node r2 silent\n");
    const struct agent_to_server_result *result = measure(&rig, APP);
    arena_init(&arena, 1 << 20);
    buf_init(&cbor, 1 << 20);
    field_to_cbor(&measure_path_vis_table, &result->path_vis, &cbor);
    assert_int_equal(field_from_cbor(&measure_path_vis_table, cbor.data, cbor.size, &copy, &arena, NULL), 0);
    assert_true(field_equal(&measure_path_vis_table, &result->path_vis, &copy));
    json_t *detail = field_to_json(&measure_path_vis_table, &copy, NULL);
    json_t *summary = field_to_json(&measure_path_vis_summary_table, &copy, NULL);
    json_t *route = json_array_get(json_object_get(detail, "pathTraces"), 0);
    json_t *trace = json_array_get(json_object_get(summary, "pathTraces"), 0);
    assert_non_null(json_object_get(route, "hops"));
    assert_null(json_object_get(route, "numberOfHops"));
    assert_null(json_object_get(trace, "hops"));
    assert_int_equal(json_integer_value(json_object_get(trace, "numberOfHops")), 4);
    assert_int_equal(json_integer_value(json_object_get(trace, "responseTime")), 20);
    assert_string_equal(json_string_value(json_object_get(trace, "pathId")),
                        json_string_value(json_object_get(route, "pathId")));
    json_decref(detail);
    json_decref(summary);
    buf_done(&cbor);
    arena_done(&arena);
    measure_round_done(&rig.round);
    rig_close(&rig);
}

/* Stopped in the middle: what was measured is there, done is not called, and nothing moves any more. */
static void a_stopped_round_keeps_what_it_has(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN);
    rig.settings.fixed_packet_rate = 10;
    begin(&rig, APP);
    sim_run(rig.world.sim, 2050 * CLOCK_MS, NULL);
    measure_round_stop(&rig.round);
    assert_false(rig.is_done);
    assert_true(rig.result->network.oculi.is_partial);
    assert_int_equal(rig.result->network.oculi.sent, 21);
    assert_int_equal(rig.result->network.oculi.received, 21);
    assert_true(rig.result->network.loss == 0);
    assert_int_equal(route_at(rig.result, 0)->oculi.end, MEASURE_END_REACHED);
    unsigned progress = rig.progress;
    sim_run(rig.world.sim, 10 * CLOCK_S, NULL);
    assert_int_equal(rig.progress, progress);
    measure_round_done(&rig.round);
    /* Before the name has an address, too. */
    rig.settings.server = APP;
    assert_int_equal(measure_round_start(measure_runner_find("agent-to-server"), &rig.round, NULL), 0);
    measure_round_stop(&rig.round);
    assert_int_equal(loop_step(rig.loop, 0), 0);
    assert_non_null(strstr(((const struct agent_to_server_result *)rig.round.result)->network.error_details, APP));
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void a_deadline_ends_a_round(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN);
    begin(&rig, APP);
    sim_run(rig.world.sim, 500 * CLOCK_MS, NULL);
    rig.round.deadline.fn(rig.round.deadline.user); /* the loop's clock is the machine's: its timer fires now */
    assert_true(rig.is_done);
    assert_true(rig.result->network.oculi.is_partial);
    assert_true(rig.result->network.oculi.received > 0);
    measure_round_done(&rig.round);
    rig_close(&rig);
}

#define SERVER(more) NODES_TCP more "\nlink ams r1 delay 1ms\nlink r1 app delay 4ms\n"
#define NODES_TCP                                                                                                     \
    "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\nhost app address 198.18.10.10 tcp 80,443 open "

static void tcp_in_the_mode_that_fits(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, SERVER(""));
    rig.settings.protocol = AGENT_TO_SERVER_TCP;
    const struct agent_to_server_result *result = measure(&rig, APP ":443");
    assert_true(result->network.loss == 0 && result->network.avg_latency == 10 && result->network.jitter == 0);
    assert_int_equal(result->network.oculi.sent, 50);
    assert_int_equal(result->network.oculi.probe_mode, MEASURE_PROBE_SACK);
    assert_string_equal(result->network.oculi.probe_mode_reason, "The target answers with SACK");
    assert_true(result->network.oculi.handshake_latency == 10);
    assert_int_equal(result->network.oculi.lost_on_return, 0);
    assert_true(isnan(result->network.oculi.sack_loss));
    assert_string_equal(result->network.server_ip, APP);
    assert_int_equal(route_at(result, 0)->oculi.end, MEASURE_END_REACHED);
    measure_round_done(&rig.round);
    rig.settings.probe_mode = AGENT_TO_SERVER_SYN; /* port 80, when none is given */
    result = measure(&rig, APP);
    assert_true(result->network.loss == 0 && result->network.avg_latency == 10);
    assert_int_equal(result->network.oculi.probe_mode, MEASURE_PROBE_SYN);
    assert_string_equal(result->network.oculi.probe_mode_reason, "This mode was asked for");
    assert_int_equal(result->network.oculi.lost_on_return, FIELD_NO_I32);
    measure_round_done(&rig.round);
    rig.settings.probe_mode = AGENT_TO_SERVER_AUTO; /* four sessions side by side */
    rig.settings.path_trace_mode = AGENT_TO_SERVER_IN_SESSION;
    result = measure(&rig, APP);
    assert_true(result->network.loss == 0 && result->network.avg_latency == 10);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(route_at(result, i)->oculi.end, MEASURE_END_REACHED);
        assert_int_equal(route_at(result, i)->number_of_hops, 2);
    }
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void a_target_without_sack(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, SERVER("sack not-permitted"));
    rig.settings.protocol = AGENT_TO_SERVER_TCP;
    const struct agent_to_server_result *result = measure(&rig, APP ":443");
    assert_true(result->network.loss == 0 && result->network.avg_latency == 10);
    assert_int_equal(result->network.oculi.probe_mode, MEASURE_PROBE_SYN);
    assert_string_equal(result->network.oculi.probe_mode_reason, "The target does not permit SACK");
    assert_null(result->network.error_details);
    measure_round_done(&rig.round);
    rig.settings.probe_mode = AGENT_TO_SERVER_SACK;
    result = measure(&rig, APP ":443");
    assert_string_equal(result->network.error_details, "Target doesn't support SACK mode");
    assert_int_equal(result->network.oculi.sent, 0);
    assert_true(isnan(result->network.loss) && isnan(result->network.avg_latency));
    assert_string_equal(result->network.oculi.probe_mode_reason, "The target does not permit SACK");
    measure_round_done(&rig.round);
    rig_close(&rig);
}

static void a_firewall_that_drops_sack_probes(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, SERVER("\nnode r1 drop-out-of-order every 25"));
    rig.context.modes = probe_modes_new(0);
    rig.settings.protocol = AGENT_TO_SERVER_TCP;
    const struct agent_to_server_result *result = measure(&rig, APP ":443");
    assert_true(result->network.loss == 4 && result->network.oculi.sack_loss == 4);
    assert_true(result->network.oculi.syn_loss == 0);
    assert_null(result->network.oculi.sack_interference);
    measure_round_done(&rig.round);
    for (int i = 0; i < 2; i++) {
        result = measure(&rig, APP ":443");
        assert_true(result->network.loss == 0 && result->network.oculi.sack_loss == 4);
        assert_int_equal(result->network.oculi.probe_mode, MEASURE_PROBE_SYN);
        assert_string_equal(result->network.oculi.sack_interference,
                            "Something on the way drops SACK probes: 4.0 % of them were lost, 0.0 % of SYNs");
        measure_round_done(&rig.round);
    }
    probe_modes_free(rig.context.modes);
    rig_close(&rig);
}

static void what_cannot_be_done_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct error err;
    const struct measure_runner *runner = measure_runner_find("agent-to-server");
    rig_open(&rig, CHAIN);
    rig.round = (struct measure_round){.context = &rig.context, .settings = &rig.settings, .done = on_done,
                                       .user = &rig};
    rig.settings.server = APP;
    rig.round.source_ip = "nowhere";
    assert_int_equal(measure_round_start(runner, &rig.round, &err), -E_INVALID);
    assert_string_equal(err.where, "sourceIp");
    rig.round.source_ip = NULL;
    /* A name without an address is a result. */
    rig.settings.ipv6_policy = AGENT_TO_SERVER_FORCE_IPV6;
    const struct agent_to_server_result *result = measure(&rig, APP);
    assert_string_equal(result->network.error_details, APP " is not an IPv6 address");
    assert_true(isnan(result->network.loss));
    measure_round_done(&rig.round);
    rig_close(&rig);
}

/* Hundreds of rounds at once, as an agent runs them. */
static void many_rounds_at_once(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct rig rig;
    rig_open(&rig, CHAIN);
    struct measure_round *rounds = arena_alloc_array(&rig.world.arena, COUNT, sizeof *rounds);
    rig.settings.server = APP;
    for (int i = 0; i < COUNT; i++) {
        rounds[i] = (struct measure_round){.context = &rig.context, .settings = &rig.settings, .done = on_done,
                                           .user = &rig};
        assert_int_equal(measure_round_start(measure_runner_find("agent-to-server"), &rounds[i], NULL), 0);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(loop_step(rig.loop, 0), 0);
    sim_run(rig.world.sim, 60 * CLOCK_S, NULL);
    for (int i = 0; i < COUNT; i++) {
        const struct agent_to_server_result *result = rounds[i].result;
        assert_true(rounds[i].end_wall_ns > 0);
        assert_int_equal(result->network.oculi.received, 50);
        assert_true(result->network.avg_latency == 20);
        assert_int_equal(route_at(result, 2)->oculi.end, MEASURE_END_REACHED);
        measure_round_done(&rounds[i]);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_path),
        cmocka_unit_test(path_ids_are_stable),
        cmocka_unit_test(silent_hops_are_left_out_and_told),
        cmocka_unit_test(total_loss_is_a_result),
        cmocka_unit_test(label_stacks_are_joined),
        cmocka_unit_test(tunnels_are_told),
        cmocka_unit_test(results_survive_storage),
        cmocka_unit_test(a_stopped_round_keeps_what_it_has),
        cmocka_unit_test(a_deadline_ends_a_round),
        cmocka_unit_test(tcp_in_the_mode_that_fits),
        cmocka_unit_test(a_target_without_sack),
        cmocka_unit_test(a_firewall_that_drops_sack_probes),
        cmocka_unit_test(what_cannot_be_done_is_refused),
        cmocka_unit_test(many_rounds_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
