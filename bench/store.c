/*
 * What the store and the pages above it take: store_bench DIRECTORY. Makes a database there as a day of five tests on
 * fifty agents every two minutes leaves it (180,000 rounds with paths), uploaded in batches of 500 as agents do, each
 * batch durable before the next. Then reads it. Prints one "name value unit" a line.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/rng.h"
#include "measure/agent_to_server/settings.h"
#include "server/intake.h"
#include "server/paths.h"
#include "server/results.h"
#include "server/round.h"
#include "server/timeline.h"

#define TESTS 5
#define AGENTS 50
#define INTERVAL_S 120
#define ROUNDS (86400 / INTERVAL_S)
#define START_S 1790000040LL
#define TRACES 3
#define HOPS 12

static struct store *store;
static struct clock_sim sim;
static struct rng rng;

static void must(int rc, const struct error *err)
{
    if (rc) {
        fprintf(stderr, "store_bench: %s: %s\n", err->where, err->text);
        exit(1);
    }
}

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_mono_ns(&clock_real) - start_ns) / 1e9;
}

static void make_objects(void)
{
    struct error err = {0};
    struct arena arena;
    struct object_test_agent assigned[AGENTS];
    const struct measure_type *type = measure_type_find("agent-to-server");
    arena_init(&arena, 1 << 20);
    memset(assigned, 0, sizeof assigned);
    for (uint64_t i = 0; i < AGENTS; i++) {
        struct object_agent agent;
        memset(&agent, 0, sizeof agent);
        field_defaults(object_agent_kind.table, &agent);
        agent.head.aid = 1;
        agent.name = "bench";
        must(object_put(store, &object_agent_kind, &agent, START_S, &err), &err);
        assigned[i].agent_id = agent.head.id;
    }
    for (size_t i = 0; i < TESTS; i++) {
        char name[16];
        struct object_test test;
        struct agent_to_server_settings settings;
        memset(&test, 0, sizeof test);
        memset(&settings, 0, sizeof settings);
        field_defaults(object_test_kind.table, &test);
        field_defaults(type->settings, &settings);
        (void)snprintf(name, sizeof name, "test %zu", i);
        settings.server = "app.example.net:443";
        test.head.aid = 1;
        test.key = test.name = name;
        test.interval_s = INTERVAL_S;
        test.agents = (struct field_list){assigned, AGENTS};
        object_test_set_settings(&test, type, &settings, &arena);
        must(object_put(store, &object_test_kind, &test, START_S, &err), &err);
    }
    arena_done(&arena);
}

static void fill_network(struct measure_network *network, int64_t *rtts_us)
{
    double sum = 0;
    field_defaults(&measure_network_table, network);
    for (size_t i = 0; i < 50; i++) {
        rtts_us[i] = 20000 + (int64_t)rng_below(&rng, 3000);
        sum += (double)rtts_us[i];
    }
    network->loss = rng_below(&rng, 10) ? 0 : 2;
    network->avg_latency = sum / 50 / 1000;
    network->max_latency = 23.0;
    network->min_latency = 20.0;
    network->jitter = (double)rng_below(&rng, 1000) / 1000;
    network->server_ip = "192.0.2.1";
    network->oculi.sent = network->oculi.received = 50;
    network->oculi.rtts_us = (struct field_list){rtts_us, 50};
}

static void fill_route(struct measure_route *route, int32_t flow, struct measure_hop *hops, char (*names)[24])
{
    field_defaults(&measure_route_table, route);
    for (int32_t i = 0; i < HOPS; i++) {
        struct measure_hop *hop = &hops[i];
        field_defaults(&measure_hop_table, hop);
        (void)snprintf(names[i], sizeof names[i], "10.%d.%d.1", i, i > 3 && i < 8 ? flow : 0);
        hop->hop = i + 1;
        hop->ip_address = names[i];
        hop->response_time = 2 * i;
        hop->oculi = (struct measure_hop_oculi){.response_time_us = 2000.0 * i + (double)rng_below(&rng, 1000),
                                                .sent = 3,
                                                .received = 3,
                                                .reply_ttl = 255 - i,
                                                .quoted_ttl = 1,
                                                .icmp = "11-0"};
    }
    route->path_id = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)flow;
    route->hops = (struct field_list){hops, HOPS};
    route->number_of_hops = HOPS;
    route->oculi.flow = flow;
}

static struct message_part pack(const char *name, const struct field_table *table, const void *record,
                                struct arena *arena)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    field_to_cbor(table, record, &bytes);
    void *copy = arena_alloc(arena, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    struct message_part part = {.name = name, .record = {copy, bytes.size}};
    buf_done(&bytes);
    return part;
}

static struct message_round make_round(uint64_t test_id, int64_t round_id, struct arena *arena)
{
    struct measure_network network;
    struct measure_path_vis paths;
    struct measure_route routes[TRACES];
    static struct measure_hop hops[TRACES][HOPS];
    static char names[TRACES][HOPS][24];
    int64_t rtts_us[50];
    memset(&network, 0, sizeof network);
    memset(&paths, 0, sizeof paths);
    memset(routes, 0, sizeof routes);
    fill_network(&network, rtts_us);
    field_defaults(&measure_path_vis_table, &paths);
    for (int32_t i = 0; i < TRACES; i++)
        fill_route(&routes[i], i + 1, hops[i], names[i]);
    paths.path_traces = (struct field_list){routes, TRACES};
    struct message_part *parts = arena_alloc_array(arena, 2, sizeof *parts);
    parts[0] = pack("network", &measure_network_table, &network, arena);
    parts[1] = pack("pathVis", &measure_path_vis_table, &paths, arena);
    return (struct message_round){.test_id = test_id,
                                  .round_id = round_id,
                                  .start_ns = round_id * CLOCK_S,
                                  .end_ns = (round_id + 5) * CLOCK_S,
                                  .test_version = 1,
                                  .parts = {parts, 2}};
}

/* Every agent brings its day in batches of 500 rounds, agents in turn, as they do after an outage of the server. Only
 * the server's part is timed. */
static void upload(struct intake *intake)
{
    struct error err = {0};
    struct arena made, taken;
    double worst = 0, total = 0;
    int64_t accepted = 0;
    arena_init(&made, 64 << 20);
    for (int64_t first = 0; first < ROUNDS; first += 100) {
        for (uint64_t agent = 1; agent <= AGENTS; agent++) {
            struct message_round rounds[500];
            size_t count = 0;
            for (int64_t slot = first; slot < first + 100 && slot < ROUNDS; slot++) {
                for (uint64_t test = 1; test <= TESTS; test++)
                    rounds[count++] = make_round(test, START_S + slot * INTERVAL_S, &made);
            }
            struct message_batch batch = {.agent_id = agent, .rounds = {rounds, count}};
            struct message_receipt receipt;
            arena_init(&taken, LIMIT_REQUEST_ARENA);
            int64_t start_ns = clock_mono_ns(&clock_real);
            must(intake_take(intake, agent, 1, &batch, &taken, &receipt, &err), &err);
            double took = seconds_since(start_ns);
            arena_done(&taken);
            arena_reset(&made);
            accepted += receipt.accepted;
            total += took;
            worst = took > worst ? took : worst;
        }
    }
    arena_done(&made);
    printf("rounds %lld\n", (long long)accepted);
    printf("intake_rate %.0f rounds/s\n", (double)accepted / total);
    printf("intake_worst_batch %.0f ms\n", worst * 1000);
}

/* The store alone, with packed rounds of one size. */
static void append_alone(void)
{
    struct error err = {0};
    static unsigned char body[1200];
    static struct store_round rounds[500];
    struct store_metric metrics[] = {{0, 0}, {1, 20.5}, {2, 0.3}, {3, 23}};
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (unsigned char)rng_below(&rng, 64);
    double total = 0;
    for (int64_t batch = 0; batch < 200; batch++) {
        for (uint64_t i = 0; i < 500; i++)
            rounds[i] = (struct store_round){.test_id = 1000 + i % 100,
                                             .agent_id = (uint64_t)batch % 50,
                                             .round_id = START_S + (batch / 50 * 5 + (int64_t)i / 100) * 60,
                                             .metrics = metrics,
                                             .metric_count = 4,
                                             .body = body,
                                             .body_size = sizeof body};
        int64_t start_ns = clock_mono_ns(&clock_real);
        must(store_append(store, rounds, 500, NULL, NULL, &err), &err);
        total += seconds_since(start_ns);
    }
    printf("append_rate %.0f rounds/s\n", 200 * 500 / total);
}

static void look(void)
{
    struct error err = {0};
    struct arena arena;
    struct object_test test;
    struct view view;
    struct buf out;
    int64_t now_s = START_S + 86400, round_id;
    bool is_final;
    double took[3] = {INFINITY, INFINITY, INFINITY};
    size_t sizes[3] = {0};
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    for (int pass = 0; pass < 5; pass++) {
        arena_init(&arena, LIMIT_REQUEST_ARENA);
        must(object_get(store, &object_test_kind, 3, 0, &arena, &test, &err), &err);
        must(view_test(&view, store, &test, now_s, &arena, &err), &err);
        struct timeline_query query = {.metric = "avgLatency", .from_s = START_S, .to_s = now_s, .max_points = 1000};
        for (int what = 0; what < 3; what++) {
            buf_reset(&out);
            int64_t start_ns = clock_mono_ns(&clock_real);
            if (what == 0)
                must(timeline_write(&view, &query, &out, &err), &err);
            must(round_find(&view, START_S + 43200, &round_id, &err), &err);
            if (what == 1)
                must(round_write(&view, round_id, &out, &err), &err);
            if (what == 2)
                must(paths_write(&view, round_id, NULL, &out, &is_final, &err), &err);
            double s = seconds_since(start_ns);
            took[what] = s < took[what] ? s : took[what];
            sizes[what] = out.size;
        }
        arena_done(&arena);
    }
    buf_done(&out);
    printf("timeline_24h_50_agents %.1f ms %zu bytes\n", took[0] * 1000, sizes[0]);
    printf("round_50_agents %.1f ms %zu bytes\n", took[1] * 1000, sizes[1]);
    printf("paths_50_agents %.1f ms %zu bytes\n", took[2] * 1000, sizes[2]);
}

int main(int argc, char **argv)
{
    char url[512];
    struct error err = {0};
    struct plan *plan;
    struct intake *intake;
    struct store_stats stats;
    if (argc != 2) {
        fprintf(stderr, "usage: store_bench DIRECTORY\n");
        return 2;
    }
    (void)snprintf(url, sizeof url, "sqlite:%s/bench.db", argv[1]);
    rng_seed(&rng, 1);
    clock_sim_init(&sim, (START_S + 86400) * CLOCK_S);
    must(store_open(url, &store, &err), &err);
    make_objects();
    struct latest *latest = latest_new();
    struct stream *stream = stream_new(&sim.clock);
    must(plan_open(store, &sim.clock, &plan, &err), &err);
    must(intake_open(store, plan, latest, stream, &sim.clock, &intake, &err), &err);
    upload(intake);
    must(store_stats(store, &stats, &err), &err);
    printf("disk %.0f bytes/round\n", (double)stats.bytes / (double)stats.rounds);
    look();
    append_alone();
    intake_close(intake);
    int64_t start_ns = clock_mono_ns(&clock_real);
    struct latest *again = latest_new();
    must(intake_open(store, plan, again, stream, &sim.clock, &intake, &err), &err);
    printf("warm_up %.1f ms\n", seconds_since(start_ns) * 1000);
    start_ns = clock_mono_ns(&clock_real);
    struct store_policy policy = {.results_s = 1};
    struct store_upkeep done = {.is_idle = false};
    uint64_t dropped = 0;
    while (!done.is_idle) {
        must(store_upkeep(store, &policy, START_S + 10 * 86400, 1000000, &done, &err), &err);
        dropped += done.dropped;
    }
    printf("drop_day %.1f ms %.0f rounds\n", seconds_since(start_ns) * 1000, (double)dropped);
    intake_close(intake);
    plan_close(plan);
    stream_free(stream);
    latest_free(latest);
    latest_free(again);
    store_close(store);
    return 0;
}
