#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>


static void open_with(struct world *world, const char *scenario, const struct sim_host *host,
                      const struct lab_options *options, struct probe_engine_settings settings)
{
    struct error err = {0};
    memset(world, 0, sizeof *world);
    if (lab_scenario_parse(scenario, strlen(scenario), "check", &world->scenario, &err) < 0) {
        char message[600];
        fail_msg("%s", error_format(&err, message, sizeof message));
    }
    world->sim = sim_new(world->scenario, options, WORLD_WALL_NS);
    for (unsigned i = 0; i < WORLD_ENGINES && i < world->scenario->vantage_count; i++) {
        struct sim_host own = host ? *host : (struct sim_host){0};
        own.vantage = i;
        world->ios[i] = sim_io_new(world->sim, &own);
        settings.seed = 5 + i;
        assert_int_equal(probe_engine_new(world->ios[i], &settings, &world->engines[i], NULL), 0);
    }
    arena_init(&world->arena, (size_t)1 << 30);
    probe_ping_defaults(&world->ping);
    probe_trace_defaults(&world->trace);
}

void world_open(struct world *world, const char *scenario, const struct sim_host *host)
{
    open_with(world, scenario, host, &(struct lab_options){.seed = 11, .truth_probes = 400000, .truth_streams = 16384},
              (struct probe_engine_settings){0});
}

void world_open_small(struct world *world, const char *scenario)
{
    open_with(world, scenario, &(struct sim_host){.receive_room = 1000},
              &(struct lab_options){.seed = 11, .packets = 1024, .truth_probes = 2000, .truth_streams = 400},
              (struct probe_engine_settings){.max_rounds = 200, .max_probes = 10000});
}

void world_close(struct world *world)
{
    for (unsigned i = 0; i < WORLD_ENGINES; i++)
        probe_engine_free(world->engines[i]);
    sim_free(world->sim);
    lab_scenario_free(world->scenario);
    arena_done(&world->arena);
}

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct world *world = user;
    world->ping_result = result;
    world->is_done = true;
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct world *world = user;
    world->trace_result = result;
    world->is_done = true;
}

static void run(struct world *world)
{
    sim_run(world->sim, 3600 * CLOCK_S, &world->is_done);
    assert_true(world->is_done);
    assert_int_equal(probe_engine_stats(world->engines[0])->rounds, 0);
}

const struct probe_ping_result *world_ping(struct world *world, const char *to)
{
    struct probe_ping *ping;
    world->is_done = false;
    assert_int_equal(sock_parse_ip(to, &world->ping.dst), 0);
    sock_set_port(&world->ping.dst, world->port);
    assert_int_equal(probe_ping_start(world->engines[0], &world->ping, &world->arena, NULL, on_ping, world, &ping, NULL), 0);
    run(world);
    return world->ping_result;
}

const struct probe_trace_result *world_trace(struct world *world, const char *to)
{
    struct probe_trace *trace;
    world->is_done = false;
    assert_int_equal(sock_parse_ip(to, &world->trace.dst), 0);
    sock_set_port(&world->trace.dst, world->port);
    assert_int_equal(
        probe_trace_start(world->engines[0], &world->trace, &world->arena, NULL, on_trace, world, &trace, NULL), 0);
    run(world);
    return world->trace_result;
}

struct lab_truth_sum world_truth_of(struct world *world, const char *to, enum lab_kind kind, unsigned ttl)
{
    struct lab_truth_sum sum;
    lab_truth_sum(sim_truth(world->sim), 0, to, kind, ttl, &sum);
    return sum;
}

struct lab_truth_sum world_truth(struct world *world, const char *to, unsigned ttl)
{
    return world_truth_of(world, to, LAB_KIND_ECHO, ttl);
}

void world_assert_ping_is_true(struct world *world, const char *to)
{
    const struct probe_ping_result *result = world->ping_result;
    enum lab_kind kind = world->ping.protocol == PROBE_TCP ? LAB_KIND_TCP_SYN : LAB_KIND_ECHO;
    struct lab_truth_sum truth = world_truth_of(world, to, kind, 0);
    double mean = 0, deviation = 0;
    assert_int_equal(result->sent, truth.sent);
    assert_int_equal(result->received, truth.received);
    assert_int_equal(result->duplicates, truth.duplicates);
    assert_int_equal(result->reordered, truth.reordered);
    assert_int_equal(result->errors, truth.errors);
    assert_int_equal(result->overloaded, 0);
    if (truth.received == 0) {
        assert_true(isnan(result->avg_rtt_ns) && isnan(result->jitter_ns));
        return;
    }
    for (uint32_t i = 0; i < result->probe_count; i++) {
        if (result->probes[i].status == PROBE_PING_ANSWERED)
            mean += (double)(result->probes[i].rx_ns - result->probes[i].tx_ns) / result->received;
    }
    for (uint32_t i = 0; i < result->probe_count; i++) {
        if (result->probes[i].status == PROBE_PING_ANSWERED)
            deviation += fabs((double)probe_ping_rtt_ns(&result->probes[i]) - mean) / result->received;
    }
    assert_true(fabs(result->avg_rtt_ns - (double)truth.rtt_sum_ns / (double)truth.received) < 1);
    assert_true(result->min_rtt_ns == (double)truth.rtt_min_ns);
    assert_true(result->max_rtt_ns == (double)truth.rtt_max_ns);
    assert_true(fabs(result->jitter_ns - deviation) < 1);
}

const char *world_path(const struct probe_trace_flow *flow)
{
    static char text[4000];
    char one[SOCK_TEXT_BYTES];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < flow->hop_count; i++) {
        const char *word = sock_is_set(&flow->hops[i].addr) ? sock_ip_text(&flow->hops[i].addr, one, sizeof one) : "*";
        assert_int_equal(flow->hops[i].ttl, i + 1);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", word);
    }
    return text;
}

static uint8_t protocol_of(enum probe_protocol protocol, bool is_v4)
{
    return protocol == PROBE_TCP   ? LAB_IPPROTO_TCP
           : protocol == PROBE_UDP ? LAB_IPPROTO_UDP
           : is_v4                 ? LAB_IPPROTO_ICMP
                                   : LAB_IPPROTO_ICMP6;
}

/* One way as the flow would show it. */
static bool is_this_way(const struct lab_net *net, const struct lab_path *way, bool is_v4,
                        const struct probe_trace_flow *flow)
{
    uint32_t ttl = 0;
    for (uint32_t i = 0; i < way->count; i++) {
        const struct lab_hop *hop = &way->hops[i];
        if (hop->ttl == 0)
            continue;
        ttl = hop->ttl;
        if (ttl > flow->hop_count)
            return false;
        const struct probe_trace_hop *shown = &flow->hops[ttl - 1];
        uint32_t port = hop->port == UINT16_MAX ? LAB_NONE : hop->port;
        const struct lab_addr *addr = lab_model_interface(net->s, hop->node, port, is_v4);
        size_t size;
        if (sock_is_set(&shown->addr) &&
            memcmp(sock_ip_bytes(&shown->addr, &size), lab_addr_bytes(addr, &size), is_v4 ? 4 : 16) != 0)
            return false;
    }
    return ttl == flow->hop_count;
}

bool world_is_true_path(struct world *world, const struct probe_trace_flow *flow, const char *to)
{
    struct lab_net *net = sim_truth(world->sim)->net;
    const struct lab_node *from = &net->s->nodes[net->s->vantages[0]];
    struct lab_addr target;
    struct lab_choices choices = {.count = 0};
    struct lab_path way;
    enum lab_verdict end;
    assert_int_equal(lab_addr_parse(to, &target), 0);
    bool is_v4 = lab_addr_is_v4(&target), is_found = false;
    struct lab_packet *packet = lab_net_packet(net);
    lab_packet_make_any(packet, is_v4 ? &from->v4 : &from->v6, &target, protocol_of(world->trace.protocol, is_v4),
                        world->port);
    packet->node = net->s->vantages[0];
    for (unsigned i = 0; i < 1000 && !is_found && lab_truth_next_way(net, packet, &choices, i == 0, &way, &end); i++)
        is_found = is_this_way(net, &way, is_v4, flow);
    lab_net_put(net, packet);
    return is_found;
}

void world_keep_trace(void *user, const struct probe_trace_result *result)
{
    const struct probe_trace_result **place = user;
    *place = result;
}

const struct lab_fan *world_fan(struct world *world, const char *to, enum probe_protocol protocol, uint16_t port)
{
    static struct lab_fan fan;
    struct lab_net *net = sim_truth(world->sim)->net;
    const struct lab_node *from = &net->s->nodes[net->s->vantages[0]];
    struct lab_addr target;
    assert_int_equal(lab_addr_parse(to, &target), 0);
    bool is_v4 = lab_addr_is_v4(&target);
    struct lab_packet *packet = lab_net_packet(net);
    assert_non_null(packet);
    lab_packet_make_any(packet, is_v4 ? &from->v4 : &from->v6, &target, protocol_of(protocol, is_v4), port);
    packet->node = net->s->vantages[0];
    lab_truth_fan(net, packet, &fan);
    lab_net_put(net, packet);
    return &fan;
}

bool world_has_interface(const struct lab_fan *fan, unsigned ttl, const union sock_addr *addr)
{
    size_t size;
    const void *bytes = sock_ip_bytes(addr, &size);
    struct lab_addr wanted = lab_addr_from(bytes, size == 4);
    for (uint32_t i = 0; i < fan->face_count; i++)
        if (fan->faces[i].ttl == ttl && lab_addr_is_same(&fan->faces[i].address, &wanted))
            return true;
    return false;
}

const char *world_flow_address(struct world *world, const char *to, enum probe_protocol protocol, uint16_t first,
                               uint16_t second, unsigned ttl)
{
    static char text[LAB_ADDR_TEXT_BYTES];
    const struct lab_truth *truth = sim_truth(world->sim);
    struct lab_addr target;
    assert_int_equal(lab_addr_parse(to, &target), 0);
    bool is_v4 = lab_addr_is_v4(&target);
    for (uint32_t i = truth->flow_count; i-- > 0;) { /* the latest state of the links first */
        const struct lab_flow *flow = &truth->flows[i];
        const struct lab_target *of = &truth->targets[flow->target];
        if (of->vantage != 0 || of->protocol != protocol_of(protocol, is_v4) || flow->first != first ||
            flow->second != second || flow->path == LAB_NONE || !lab_addr_is_same(&of->address, &target))
            continue;
        const struct lab_truth_path *path = &truth->paths[flow->path];
        for (uint32_t k = 0; k < path->count; k++) {
            const struct lab_hop *hop = &truth->hops[path->first + k];
            if (hop->ttl == ttl)
                return lab_addr_text(lab_model_interface(truth->net->s, hop->node,
                                                         hop->port == UINT16_MAX ? LAB_NONE : hop->port, is_v4),
                                     text, sizeof text);
        }
        return "";
    }
    return NULL;
}
