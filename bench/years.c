/*
 * What lasting takes: years_bench DIRECTORY DAYS. Keeps DAYS of one test on fifty agents at one minute in a store there,
 * folded as the server does it, then a day of rounds with path traces, and reads both as pages do. Prints one
 * "name value unit" a line. Rounds are as agent-to-server sends them: times in nanoseconds with a spread of 100 us and a
 * tail, fifty packets, three traces of fifteen hops of which one in two hundred is silent; drawn from some thousand
 * that were made before, so that making them is not measured.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "measure/agent_to_server/settings.h"
#include "measure/part.h"
#include "server/paths.h"
#include "server/results.h"
#include "server/round.h"
#include "server/timeline.h"

#define AGENTS 50u
#define START_S 1780012800LL /* a full day */
#define POOL 3000u
#define HOPS 15
#define TRACES 3
#define SPREAD_NS 100000.0

static struct store *store;
static struct rng rng;
static const struct measure_type *type;
static char url[512], path[500];

static void must(int rc, const struct error *err)
{
    if (rc) {
        fprintf(stderr, "years_bench: %s: %s\n", err->where, err->text);
        exit(1);
    }
}

static double ms_since(int64_t start_ns)
{
    return (double)(clock_mono_ns(&clock_real) - start_ns) / 1e6;
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static double noise_ns(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rng_unit(&rng);
    double tail = rng_below(&rng, 50) ? 0 : (double)rng_below(&rng, 5000000);
    return floor(fabs(sum - 6) * SPREAD_NS + tail);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fill_network(struct measure_network *network, int64_t *rtts_us, bool has_rtts)
{
    double rtts[50], sum = 0, deviation = 0;
    size_t n = 0;
    memset(network, 0, sizeof *network);
    field_defaults(&measure_network_table, network);
    for (size_t i = 0; i < 50; i++) {
        bool is_lost = rng_below(&rng, 2000) == 0;
        double ns = 20000000 + noise_ns();
        rtts_us[i] = is_lost ? -1 : (int64_t)(ns + 500) / 1000;
        if (!is_lost)
            rtts[n++] = ns;
    }
    for (size_t i = 0; i < n; i++)
        sum += rtts[i];
    for (size_t i = 0; i < n; i++)
        deviation += fabs(rtts[i] - sum / (double)n);
    qsort(rtts, n, sizeof *rtts, compare_doubles);
    network->loss = 100.0 * (double)(50 - n) / 50;
    network->avg_latency = sum / (double)n / 1e6;
    network->min_latency = rtts[0] / 1e6;
    network->max_latency = rtts[n - 1] / 1e6;
    network->jitter = deviation / (double)n / 1e6;
    network->server = "app.example.net:443";
    network->server_ip = "192.0.2.1";
    network->oculi.sent = 50;
    network->oculi.received = (int32_t)n;
    network->oculi.duplicates = network->oculi.reordered = 0;
    network->oculi.median_latency = (rtts[(n - 1) / 2] + rtts[n / 2]) / 2 / 1e6;
    if (has_rtts)
        network->oculi.rtts_us = (struct field_list){rtts_us, 50};
}

static void fill_route(struct measure_route *route, int32_t flow, struct measure_hop *hops, char (*names)[24])
{
    size_t count = 0;
    memset(route, 0, sizeof *route);
    field_defaults(&measure_route_table, route);
    for (int32_t i = 0; i < HOPS; i++) {
        if (rng_below(&rng, 200) == 0 && i < HOPS - 1)
            continue;
        struct measure_hop *hop = &hops[count++];
        memset(hop, 0, sizeof *hop);
        field_defaults(&measure_hop_table, hop);
        (void)snprintf(names[i], sizeof names[i], "10.%d.%d.1", i, i > 3 && i < 9 ? flow : 0);
        double us = (1400000.0 * i + noise_ns()) / 1e3;
        hop->hop = i + 1;
        hop->ip_address = names[i];
        hop->response_time = (int32_t)lround(us / 1000);
        hop->oculi.response_time_us = us;
        hop->oculi.sent = hop->oculi.received = 3;
        hop->oculi.reply_ttl = 255 - i;
        hop->oculi.quoted_ttl = 1;
        hop->oculi.icmp = "11-0";
    }
    route->path_id = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)flow;
    route->hops = (struct field_list){hops, count};
    route->number_of_hops = HOPS;
    route->ip_address = "192.0.2.1";
    route->response_time = 20;
    route->mss = 1460;
    route->path_mtu = 1500;
    route->oculi.flow = flow;
    route->oculi.end = MEASURE_END_REACHED;
}

static struct message_part part_of(const char *name, const struct field_table *table, const void *record,
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

static struct store_round *make_pool(bool has_rtts, bool has_paths, struct arena *arena)
{
    struct store_round *pool = mem_alloc_array(POOL, sizeof *pool);
    double raw = 0;
    for (size_t i = 0; i < POOL; i++) {
        struct measure_network network;
        struct measure_path_vis paths;
        struct measure_route routes[TRACES];
        static struct measure_hop hops[TRACES][HOPS];
        static char names[TRACES][HOPS][24];
        int64_t rtts_us[50];
        struct results_paths seen;
        struct error err = {0};
        struct message_part parts[2];
        fill_network(&network, rtts_us, has_rtts);
        parts[0] = part_of("network", &measure_network_table, &network, arena);
        memset(&paths, 0, sizeof paths);
        field_defaults(&measure_path_vis_table, &paths);
        for (int32_t t = 0; t < TRACES; t++)
            fill_route(&routes[t], t + 1, hops[t], names[t]);
        paths.server_ip = "192.0.2.1";
        paths.source_ip = "10.0.0.2";
        paths.path_traces = (struct field_list){routes, TRACES};
        parts[1] = part_of("pathVis", &measure_path_vis_table, &paths, arena);
        must(results_pack(type, parts, has_paths ? 2 : 1, arena, &pool[i], &seen, &err), &err);
        pool[i].fingerprint = has_paths ? 4711 : 0;
        pool[i].test_version = 1;
        raw += (double)(pool[i].body_size + pool[i].detail_size);
    }
    printf("cbor%s%s %.0f bytes/round\n", has_rtts ? "_rtts" : "", has_paths ? "_paths" : "", raw / POOL);
    return pool;
}

static void draw(struct store_round *round, const struct store_round *pool, uint64_t test_id, uint64_t agent_id,
                 int64_t round_id)
{
    *round = pool[rng_below(&rng, POOL)];
    round->test_id = test_id;
    round->agent_id = agent_id;
    round->round_id = round_id;
    round->start_s = round_id + (int64_t)rng_below(&rng, 2);
    round->end_s = round->start_s + 5 + (int64_t)rng_below(&rng, 2);
}

/* --- filling ------------------------------------------------------------------------------------------------------ */

struct spent {
    double append_ms, fold_ms, longest_ms;
    uint64_t appended, folded, slices;
};

static void fold(int64_t now_s, struct spent *spent)
{
    static const struct store_policy for_ever;
    struct store_upkeep done = {.is_idle = false};
    struct error err = {0};
    while (!done.is_idle) {
        int64_t start_ns = clock_mono_ns(&clock_real);
        must(store_upkeep(store, &for_ever, now_s, 4 * CLOCK_MS, &done, &err), &err);
        double ms = ms_since(start_ns);
        spent->fold_ms += ms;
        spent->longest_ms = ms > spent->longest_ms ? ms : spent->longest_ms;
        spent->folded += done.folded;
        spent->slices++;
    }
}

/* Hours of the test on all agents, in durable batches of a thousand; each is folded when it is over. */
static void fill(const struct store_round *pool, uint64_t test_id, int64_t start_s, int64_t hours, struct spent *spent)
{
    static struct store_round rounds[1000];
    struct error err = {0};
    size_t count = 0;
    for (int64_t slot = 0; slot < hours * 60; slot++) {
        for (uint64_t agent = 1; agent <= AGENTS; agent++)
            draw(&rounds[count++], pool, test_id, agent, start_s + slot * 60);
        if (count < 1000 && slot + 1 < hours * 60)
            continue;
        int64_t start_ns = clock_mono_ns(&clock_real);
        must(store_append(store, rounds, count, NULL, NULL, &err), &err);
        spent->append_ms += ms_since(start_ns);
        spent->appended += count;
        count = 0;
        if (slot % 60 > 40)
            fold(start_s + slot * 60, spent);
    }
    fold(start_s + hours * 3600 + 3600, spent);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static uint64_t walk(const char *dir, bool forget)
{
    DIR *d = opendir(dir);
    uint64_t bytes = 0;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char name[1200];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", dir, entry->d_name);
        if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            bytes += walk(name, forget);
            continue;
        }
        int fd = forget ? open(name, O_RDONLY) : -1;
        if (fd >= 0) {
            (void)fdatasync(fd);
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            (void)close(fd);
        }
        bytes += (uint64_t)st.st_blocks * 512;
    }
    if (d)
        (void)closedir(d);
    return bytes;
}

/* Opened anew, and nothing of it in the memory of the system. */
static void make_cold(void)
{
    struct error err = {0};
    store_close(store);
    (void)walk(path, true);
    must(store_open(url, &store, &err), &err);
}

static struct view view_of(uint64_t test_id, int64_t now_s, const char *chosen, struct arena *arena)
{
    static struct object_agent agents[AGENTS];
    struct error err = {0};
    for (size_t i = 0; i < AGENTS; i++) {
        field_defaults(object_agent_kind.table, &agents[i]);
        agents[i].head.id = i + 1;
    }
    struct view view = {.store = store,
                        .type = type,
                        .test_id = test_id,
                        .interval_s = 60,
                        .now_s = now_s,
                        .agents = agents,
                        .agent_count = AGENTS,
                        .arena = arena};
    must(view_choose(&view, chosen, &err), &err);
    return view;
}

/* Coldly once, then the best of some. */
static void look(const char *name, uint64_t test_id, int64_t from_s, int64_t to_s, const char *chosen, int what)
{
    struct buf out;
    double cold = 0, warm = INFINITY;
    size_t size = 0;
    buf_init(&out, LIMIT_RESPONSE_BYTES);
    for (int pass = 0; pass < 6; pass++) {
        struct arena arena;
        struct error err = {0};
        bool is_final;
        if (!pass)
            make_cold();
        arena_init(&arena, LIMIT_REQUEST_ARENA);
        struct view view = view_of(test_id, to_s, chosen, &arena);
        struct timeline_query query = {.metric = "avgLatency", .from_s = from_s, .to_s = to_s, .max_points = 1000};
        buf_reset(&out);
        int64_t start_ns = clock_mono_ns(&clock_real), round_id = from_s + (to_s - from_s) / 120 * 60;
        if (what == 0)
            must(timeline_write(&view, &query, &out, &err), &err);
        else if (what == 1)
            must(round_write(&view, round_id, &out, &err), &err);
        else
            must(paths_write(&view, round_id, NULL, &out, &is_final, &err), &err);
        double ms = ms_since(start_ns);
        cold = pass ? cold : ms;
        warm = pass && ms < warm ? ms : warm;
        size = out.size;
        arena_done(&arena);
    }
    printf("%s cold %.1f warm %.1f ms, %zu bytes\n", name, cold, warm, size);
    buf_done(&out);
}

static void tell_spent(const char *what, const struct spent *spent, uint64_t bytes)
{
    printf("%s append %.0f rounds/s (durable batches of 1000)\n", what,
           (double)spent->appended / (spent->append_ms / 1000));
    printf("%s fold %.0f rounds/s, longest slice %.1f ms of %" PRIu64 "\n", what,
           (double)spent->folded / (spent->fold_ms / 1000), spent->longest_ms, spent->slices);
    printf("%s disk %.1f bytes/round\n", what, (double)bytes / (double)spent->appended);
}

static uint64_t settle(void)
{
    struct error err = {0};
    store_close(store); /* moves the write-ahead logs */
    must(store_open(url, &store, &err), &err);
    return walk(path, false);
}

int main(int argc, char **argv)
{
    struct arena arena;
    struct error err = {0};
    int64_t days = argc > 2 ? atoll(argv[2]) : 0;
    if (argc != 3 || days < 1) {
        fprintf(stderr, "usage: years_bench DIRECTORY DAYS\n");
        return 2;
    }
    (void)snprintf(path, sizeof path, "%s", argv[1]);
    (void)snprintf(url, sizeof url, "sqlite:%s/bench.db", argv[1]);
    type = measure_type_find("agent-to-server");
    rng_seed(&rng, 1);
    arena_init(&arena, SIZE_MAX);
    must(store_open(url, &store, &err), &err);
    uint64_t before = settle(), after;
    struct spent metrics = {0}, rtts = {0}, paths = {0};
    fill(make_pool(false, false, &arena), 1, START_S, days * 24, &metrics);
    after = settle();
    tell_spent("metrics", &metrics, after - before);
    int64_t end_s = START_S + days * 86400, later_s = end_s + 40 * 86400;
    look("timeline_all", 1, START_S, end_s, NULL, 0);
    look("timeline_all_ten_agents", 1, START_S, end_s, "1,2,3,4,5,6,7,8,9,10", 0);
    look("timeline_day", 1, end_s - 86400, end_s, NULL, 0);
    look("round_metrics", 1, end_s - 86400, end_s, NULL, 1);
    before = after;
    fill(make_pool(true, false, &arena), 2, later_s, 24, &rtts);
    after = settle();
    tell_spent("rtts", &rtts, after - before);
    before = after;
    fill(make_pool(true, true, &arena), 3, later_s + 40 * 86400, 24, &paths);
    after = settle();
    tell_spent("paths", &paths, after - before);
    int64_t paths_s = later_s + 40 * 86400;
    look("round_with_paths", 3, paths_s, paths_s + 86400, NULL, 1);
    look("paths_of_a_round", 3, paths_s, paths_s + 86400, NULL, 2);
    store_close(store);
    return 0;
}
