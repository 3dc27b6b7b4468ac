#include "server/data_check.h"

#include <string.h>

#include "base/mem.h"

static const char *const names[] = {"Amsterdam", "Berlin", "Cairo"};

static void open_parts(struct check *c)
{
    struct error err = {0};
    c->latest = latest_new();
    if (plan_open(c->store, &c->clock.clock, &c->plan, &err) ||
        intake_open(c->store, c->plan, c->latest, c->stream, &c->clock.clock, &c->intake, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void close_parts(struct check *c)
{
    intake_close(c->intake);
    plan_close(c->plan);
    latest_free(c->latest);
}

void check_reopen(struct check *c)
{
    close_parts(c);
    open_parts(c);
}

int check_setup(void **state)
{
    struct check *c = mem_alloc(sizeof *c);
    clock_sim_init(&c->clock, CHECK_NOW_S * CLOCK_S);
    arena_init(&c->arena, 64 << 20);
    buf_init(&c->out, 16 << 20);
    assert_int_equal(store_open("memory:", &c->store, NULL), 0);
    c->stream = stream_new(&c->clock.clock);
    open_parts(c);
    for (size_t i = 0; i < 3; i++) {
        struct object_agent agent;
        memset(&agent, 0, sizeof agent);
        field_defaults(object_agent_kind.table, &agent);
        agent.head.aid = CHECK_AID;
        agent.name = names[i];
        agent.location = i == 0 ? "Amsterdam, NL" : NULL;
        agent.latitude = i == 0 ? 52.5 : (double)NAN;
        assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
        assert_int_equal(agent.head.id, i + 1);
        assert_int_equal(plan_agent_changed(c->plan, agent.head.id, NULL), 0);
    }
    assert_int_equal(check_add_test(c, "one", 60, (const uint64_t[]){1, 2, 3, 0}), 1);
    *state = c;
    return 0;
}

int check_teardown(void **state)
{
    struct check *c = *state;
    close_parts(c);
    stream_free(c->stream);
    store_close(c->store);
    buf_done(&c->out);
    arena_done(&c->arena);
    mem_free(c);
    return 0;
}

void check_put_test(struct check *c, struct object_test *test)
{
    assert_int_equal(object_put(c->store, &object_test_kind, test, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_test_changed(c->plan, test->head.id, NULL), 0);
}

void check_get_test(struct check *c, uint64_t test_id, struct object_test *ret_test)
{
    assert_int_equal(object_get(c->store, &object_test_kind, test_id, 0, &c->arena, ret_test, NULL), 0);
}

uint64_t check_add_test(struct check *c, const char *key, int32_t interval_s, const uint64_t *agents)
{
    struct object_test_agent assigned[8];
    struct object_test test;
    struct agent_to_server_settings settings;
    const struct measure_type *type = measure_type_find("agent-to-server");
    size_t count = 0;
    memset(assigned, 0, sizeof assigned);
    for (; agents[count]; count++)
        assigned[count].agent_id = agents[count];
    memset(&test, 0, sizeof test);
    memset(&settings, 0, sizeof settings);
    field_defaults(object_test_kind.table, &test);
    field_defaults(type->settings, &settings);
    settings.server = "app.example.net:443";
    test.head.aid = CHECK_AID;
    test.key = test.name = key;
    test.interval_s = interval_s;
    test.is_instant = interval_s == 0;
    test.agents = (struct field_list){assigned, count};
    object_test_set_settings(&test, type, &settings, &c->arena);
    check_put_test(c, &test);
    return test.head.id;
}

/* --- rounds --------------------------------------------------------------------------------------------------------
 */

static void fill_route(struct check *c, const struct check_path *path, int32_t flow, struct measure_route *route)
{
    struct measure_hop *hops = arena_alloc_array(&c->arena, path->hop_count + 1, sizeof *hops);
    struct measure_silent_hop *silent = arena_alloc_array(&c->arena, path->hop_count + 1, sizeof *silent);
    size_t answered = 0, quiet = 0;
    field_defaults(&measure_route_table, route);
    for (size_t i = 0; i < path->hop_count; i++) {
        if (!path->hops[i]) {
            silent[quiet++] = (struct measure_silent_hop){.hop = (int32_t)i + 1, .sent = 3};
            continue;
        }
        struct measure_hop *hop = &hops[answered++];
        field_defaults(&measure_hop_table, hop);
        hop->hop = (int32_t)i + 1;
        hop->ip_address = path->hops[i];
        hop->oculi.response_time_us = 1000.0 * ((double)i + 1);
        hop->oculi.sent = 3;
        hop->oculi.received = 2;
        hop->oculi.reply_ttl = 255 - (int32_t)i;
        hop->oculi.icmp = "11-0";
        route->number_of_hops = (int32_t)i + 1;
    }
    route->path_id = path->id;
    route->hops = (struct field_list){hops, answered};
    route->oculi.silent_hops = (struct field_list){silent, quiet};
    route->oculi.end = path->end;
    route->oculi.flow = flow;
}

static struct message_part part(struct check *c, const char *name, const struct field_table *table, const void *record)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    field_to_cbor(table, record, &bytes);
    char *copy = arena_alloc(&c->arena, bytes.size + 1);
    memcpy(copy, bytes.data, bytes.size);
    struct message_part part = {.name = name, .record = {copy, bytes.size}};
    buf_done(&bytes);
    return part;
}

struct message_round check_message(struct check *c, const struct check_round *round)
{
    struct measure_network network;
    struct measure_path_vis paths;
    struct measure_route routes[3];
    memset(&network, 0, sizeof network);
    memset(&paths, 0, sizeof paths);
    memset(routes, 0, sizeof routes);
    field_defaults(&measure_network_table, &network);
    field_defaults(&measure_path_vis_table, &paths);
    network.loss = round->loss;
    network.avg_latency = round->latency;
    network.server_ip = "192.0.2.1";
    network.error_details = round->error;
    network.oculi.sack_interference = round->interference;
    for (size_t i = 0; i < round->path_count; i++)
        fill_route(c, &round->paths[i], (int32_t)i + 1, &routes[i]);
    paths.path_traces = (struct field_list){routes, round->path_count};
    struct message_part *parts = arena_alloc_array(&c->arena, 2, sizeof *parts);
    parts[0] = part(c, "network", &measure_network_table, &network);
    parts[1] = part(c, "pathVis", &measure_path_vis_table, &paths);
    return (struct message_round){
        .test_id = round->test_id,
        .run_id = round->run_id,
        .round_id = round->round_id,
        .start_ns = (round->round_id + 2) * CLOCK_S,
        .end_ns = (round->round_id + 7) * CLOCK_S,
        .test_version = round->version ? round->version : 1,
        .parts = {parts, 2},
    };
}

int check_upload(struct check *c, const struct check_round *round)
{
    struct message_round message = check_message(c, round);
    struct message_batch batch = {.agent_id = round->agent_id, .rounds = {&message, 1}};
    struct message_receipt receipt;
    struct error err = {0};
    if (intake_take(c->intake, round->agent_id, CHECK_AID, &batch, &c->arena, &receipt, &err))
        fail_msg("%s: %s", err.where, err.text);
    return (int)(receipt.accepted * 100 + receipt.duplicates * 10 + receipt.refused);
}

void check_measured(struct check *c, int64_t round_id, uint64_t agent_id, double loss, double latency)
{
    struct check_round round = {
        .test_id = 1, .agent_id = agent_id, .round_id = round_id, .loss = loss, .latency = latency};
    assert_int_equal(check_upload(c, &round), 100);
}

void check_view(struct check *c, uint64_t test_id, const char *agents, struct view *ret_view)
{
    struct object_test *test = arena_alloc(&c->arena, sizeof *test);
    struct error err = {0};
    check_get_test(c, test_id, test);
    if (view_test(ret_view, c->store, test, clock_wall_ns(&c->clock.clock) / CLOCK_S, &c->arena, &err) ||
        view_choose(ret_view, agents, &err))
        fail_msg("%s: %s", err.where, err.text);
}
