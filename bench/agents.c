/*
 * Simulated agents against a running server, over its real API: they register with the account group's token, are put
 * into tests, and then
 *
 *   agents_bench intake URL DATA [agents=64] [tests=10] [batch=500] [samples=0] [traces=0] [seconds=10] [api=0]
 *       upload rounds as agents do after an outage: CBOR, zstd, each agent one batch after the other, the next when the
 *       receipt of the last is there. With api=N people ask the API N times a second meanwhile.
 *   agents_bench polls URL DATA [agents=10000] [seconds=10]
 *       hold a long poll each; then a test is given to all of them, and what is told is when each has the new plan.
 *   agents_bench api URL DATA [api=500] [seconds=10]
 *       ask the API alone, at a steady rate, whatever the answers take.
 *
 * DATA is the server's data directory, for its local API token. Prints one "name value unit" a line.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zstd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/rng.h"
#include "https.h"
#include "measure/part.h"
#include "measure/type.h"
#include "wire/cbor.h"
#include "wire/message.h"

#define INTERVAL_S 60
#define HOPS 15
#define NETWORKS 4096 /* different results made beforehand */
#define PATHS 64
#define PATH_VARIANTS 32 /* the same path with other times */
#define PEOPLE 64        /* connections to the API at most */

struct agent {
    struct https https; /* first */
    uint64_t id;
    char headers[400];
    int64_t slot;  /* next round id */
    size_t sent;   /* rounds of the batch under way */
    int64_t version;
    int64_t told_ns;
};

struct person {
    struct https https; /* first */
    int64_t due_ns;     /* when the request under way should have begun */
    bool is_busy;
};

static struct {
    long agents, tests, batch, samples, traces, seconds, api;
} want = {.agents = 64, .tests = 10, .batch = 500, .seconds = 10};

static struct https_server server;
static struct loop *loop;
static struct rng rng;
static char bearer[300], agent_token[200];
static struct agent *agents;
static uint64_t *test_ids;
static int64_t first_slot, until_ns;
static struct buf network_parts[NETWORKS], path_parts[PATHS][PATH_VARIANTS];
static ZSTD_CCtx *packer;
static struct {
    uint64_t accepted, duplicates, refused, failed, bytes;
    double *latencies_ms;
    size_t latency_count, latency_room;
    size_t running;
} tally;

static void die(const char *what, const char *text)
{
    (void)fprintf(stderr, "agents_bench: %s: %s\n", what, text);
    exit(1);
}

static void note_latency(double ms)
{
    if (tally.latency_count == tally.latency_room) {
        size_t room = tally.latency_room ? tally.latency_room * 2 : 4096;
        tally.latencies_ms = mem_resize(tally.latencies_ms, tally.latency_room * sizeof(double), room * sizeof(double));
        tally.latency_room = room;
    }
    tally.latencies_ms[tally.latency_count++] = ms;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_latencies(const char *name)
{
    qsort(tally.latencies_ms, tally.latency_count, sizeof(double), compare);
    size_t n = tally.latency_count;
    if (n)
        printf("%s_p50 %.1f ms\n%s_p99 %.1f ms\n%s_max %.1f ms\n", name, tally.latencies_ms[n / 2], name,
               tally.latencies_ms[n * 99 / 100], name, tally.latencies_ms[n - 1]);
}

/* --- the server's side of the matter ------------------------------------------------------------------------------ */

static int call(const char *method, const char *path, const char *json, struct buf *ret_body)
{
    static struct https https = {.fd = -1};
    char headers[500];
    if (!https.loop)
        https_init(&https, loop, NULL);
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nContent-Type: application/json\r\n", bearer);
    return https_call(loop, &https, &server, method, path, headers, json, json ? strlen(json) : 0, ret_body);
}

/* The text after "name":" up to the next quote. */
static const char *value_of(struct buf *body, const char *name, char *room, size_t size)
{
    char key[80];
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(buf_str(body), key);
    if (!at)
        die(name, buf_str(body));
    at += strlen(key);
    at += strspn(at, " \"");
    size_t length = strcspn(at, "\",}");
    if (length >= size)
        die(name, "too long");
    memcpy(room, at, length);
    room[length] = 0;
    return room;
}

/* The first line of a file of the data directory. */
static void read_secret(const char *data, const char *name, char *room, size_t size)
{
    struct buf text;
    struct error err = {0};
    char path[4200];
    buf_init(&text, 4096);
    (void)snprintf(path, sizeof path, "%s/%s", data, name);
    if (file_read(path, &text, &err))
        die(path, err.text);
    (void)snprintf(room, size, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
    buf_done(&text);
}

static void enlist(struct agent *agent, long number, struct https *https)
{
    struct message_registration registration;
    struct message_identity identity;
    struct arena arena;
    struct buf out, answer;
    char name[40];
    arena_init(&arena, 1 << 16);
    buf_init(&out, 1 << 16);
    buf_init(&answer, 1 << 16);
    memset(&registration, 0, sizeof registration);
    field_defaults(&message_registration_table, &registration);
    (void)snprintf(name, sizeof name, "bench %ld", number);
    registration.token = agent_token;
    registration.agent_name = registration.hostname = name;
    registration.version = "0.1.0";
    const char *types[] = {"agent-to-server"};
    registration.types = (struct field_list){types, 1};
    field_to_cbor(&message_registration_table, &registration, &out);
    int status = https_call(loop, https, &server, "POST", "/oculi/v1/agent/register",
                            "Content-Type: application/cbor\r\n", out.data, out.size, &answer);
    if (status != 201 || field_from_cbor(&message_identity_table, answer.data, answer.size, &identity, &arena, NULL))
        die("register", buf_str(&answer));
    agent->id = identity.agent_id;
    (void)snprintf(agent->headers, sizeof agent->headers,
                   "Authorization: Bearer %" PRIu64 ".%s\r\nContent-Type: application/cbor\r\n"
                   "Content-Encoding: zstd\r\n",
                   identity.agent_id, identity.secret);
    https_init(&agent->https, loop, NULL);
    buf_done(&out);
    buf_done(&answer);
    arena_done(&arena);
}

static void enlist_all(void)
{
    struct https https;
    https_init(&https, loop, NULL);
    agents = mem_alloc_array((size_t)want.agents, sizeof *agents);
    for (long i = 0; i < want.agents; i++)
        enlist(&agents[i], i + 1, &https);
    https_close(&https);
}

static uint64_t make_test(const char *name)
{
    struct buf json, answer;
    char text[40];
    buf_init(&json, 16 << 20);
    buf_init(&answer, 16 << 20);
    buf_printf(&json, "{\"testName\":\"%s\",\"server\":\"192.0.2.80\",\"protocol\":\"icmp\",\"interval\":%d,\"agents\":[",
               name, INTERVAL_S);
    for (long i = 0; i < want.agents; i++)
        buf_printf(&json, "%s{\"agentId\":\"%" PRIu64 "\"}", i ? "," : "", agents[i].id);
    buf_puts(&json, "]}");
    if (call("POST", "/v7/tests/agent-to-server", buf_str(&json), &answer) != 201)
        die(name, buf_str(&answer));
    uint64_t id = strtoull(value_of(&answer, "testId", text, sizeof text), NULL, 10);
    buf_done(&json);
    buf_done(&answer);
    return id;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static void make_network(struct buf *out)
{
    struct measure_network network;
    int64_t rtts_us[1000];
    double sum = 0, least = INFINITY, most = 0;
    memset(&network, 0, sizeof network);
    field_defaults(&measure_network_table, &network);
    long count = want.samples ? want.samples : 50;
    for (long i = 0; i < count; i++) {
        rtts_us[i] = 20000 + (int64_t)rng_below(&rng, 3000);
        double ms = (double)rtts_us[i] / 1000;
        sum += ms;
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    network.loss = rng_below(&rng, 10) ? 0 : 2;
    network.avg_latency = sum / (double)count;
    network.min_latency = least;
    network.max_latency = most;
    network.jitter = (double)rng_below(&rng, 1000) / 1000;
    network.server = "192.0.2.80";
    network.server_ip = "192.0.2.80";
    network.oculi.sent = network.oculi.received = (int32_t)count;
    network.oculi.median_latency = network.avg_latency;
    network.oculi.rtts_us = (struct field_list){rtts_us, (size_t)want.samples};
    field_to_cbor(&measure_network_table, &network, out);
}

static void make_path(size_t path, struct buf *out)
{
    struct measure_path_vis paths;
    struct measure_route routes[LIMIT_PATH_TRACES];
    struct measure_hop hops[LIMIT_PATH_TRACES][HOPS];
    char names[LIMIT_PATH_TRACES][HOPS][72];
    memset(&paths, 0, sizeof paths);
    memset(routes, 0, sizeof routes);
    memset(hops, 0, sizeof hops);
    field_defaults(&measure_path_vis_table, &paths);
    for (size_t flow = 0; flow < (size_t)want.traces; flow++) {
        field_defaults(&measure_route_table, &routes[flow]);
        for (size_t i = 0; i < HOPS; i++) {
            struct measure_hop *hop = &hops[flow][i];
            field_defaults(&measure_hop_table, hop);
            (void)snprintf(names[flow][i], sizeof names[flow][i], "10.%zu.%zu.%zu", path, i, i > 3 && i < 8 ? flow : 0);
            double us = 1300.0 * (double)i + (double)rng_below(&rng, 1000);
            hop->hop = (int32_t)i + 1;
            hop->ip_address = i == HOPS - 1 ? "192.0.2.80" : names[flow][i];
            hop->response_time = (int32_t)(us / 1000);
            hop->oculi.response_time_us = us;
            hop->oculi.sent = hop->oculi.received = 1;
            hop->oculi.reply_ttl = 255 - (int32_t)i;
            hop->oculi.quoted_ttl = 1;
            hop->oculi.icmp = i == HOPS - 1 ? "0-0" : "11-0";
        }
        routes[flow].path_id = UINT64_C(0x9e3779b97f4a7c15) * (flow + 1) + path;
        routes[flow].hops = (struct field_list){hops[flow], HOPS};
        routes[flow].ip_address = "192.0.2.80";
        routes[flow].number_of_hops = HOPS;
        routes[flow].oculi.flow = (int32_t)flow + 1;
    }
    paths.server = paths.server_ip = "192.0.2.80";
    paths.path_traces = (struct field_list){routes, (size_t)want.traces};
    field_to_cbor(&measure_path_vis_table, &paths, out);
}

static void make_parts(void)
{
    for (size_t i = 0; i < NETWORKS; i++) {
        buf_init(&network_parts[i], 1 << 20);
        make_network(&network_parts[i]);
    }
    for (size_t i = 0; want.traces && i < PATHS; i++) {
        for (size_t j = 0; j < PATH_VARIANTS; j++) {
            buf_init(&path_parts[i][j], 1 << 20);
            make_path(i, &path_parts[i][j]);
        }
    }
}

static void put_round(struct buf *body, const struct agent *agent, size_t test, int64_t slot)
{
    struct message_part parts[2];
    const struct buf *network = &network_parts[rng_below(&rng, NETWORKS)];
    parts[0] = (struct message_part){"network", {network->data, network->size}};
    if (want.traces) {
        const struct buf *path = &path_parts[(agent->id * 7 + test) % PATHS][rng_below(&rng, PATH_VARIANTS)];
        parts[1] = (struct message_part){"pathVis", {path->data, path->size}};
    }
    struct message_round round = {.test_id = test_ids[test],
                                  .round_id = slot,
                                  .start_ns = slot * CLOCK_S + 1234567890,
                                  .end_ns = slot * CLOCK_S + 9876543210,
                                  .test_version = 1,
                                  .parts = {parts, want.traces ? 2 : 1}};
    field_to_cbor(&message_round_table, &round, body);
}

static void on_receipt(struct https *https, int status, const void *body, size_t size);

static void upload(struct agent *agent)
{
    static struct buf body, packed;
    if (!body.ceiling) {
        buf_init(&body, 64 << 20);
        buf_init(&packed, 64 << 20);
    }
    buf_reset(&body);
    buf_reset(&packed);
    cbor_put_map(&body, 3);
    cbor_put_text(&body, "agentId", 7);
    cbor_put_u64(&body, agent->id);
    cbor_put_text(&body, "clockOffset", 11);
    cbor_put_i64(&body, 250000);
    cbor_put_text(&body, "rounds", 6);
    long count = want.batch / want.tests * want.tests;
    if (!count)
        count = want.batch;
    cbor_put_array(&body, (uint64_t)count);
    for (long i = 0; i < count; i++)
        put_round(&body, agent, (size_t)(i % want.tests), agent->slot + i / want.tests * INTERVAL_S);
    agent->slot += (count + want.tests - 1) / want.tests * INTERVAL_S;
    size_t bound = ZSTD_compressBound(body.size);
    void *to = buf_reserve(&packed, bound);
    size_t n = ZSTD_compressCCtx(packer, to, bound, body.data, body.size, 3);
    agent->sent = (size_t)count;
    tally.bytes += n;
    https_send(&agent->https, &server, "POST", "/oculi/v1/agent/results", agent->headers, to, n, on_receipt);
}

static void on_receipt(struct https *https, int status, const void *body, size_t size)
{
    struct agent *agent = (struct agent *)https;
    struct message_receipt receipt;
    struct arena arena;
    int64_t now_ns = clock_mono_ns(&clock_real);
    arena_init(&arena, 4096);
    if (status != 200 || field_from_cbor(&message_receipt_table, body, size, &receipt, &arena, NULL)) {
        (void)fprintf(stderr, "agents_bench: upload: %d %.*s\n", status, (int)size, (const char *)body);
        tally.failed++;
        receipt = (struct message_receipt){0};
    }
    arena_done(&arena);
    tally.accepted += (uint64_t)receipt.accepted;
    tally.duplicates += (uint64_t)receipt.duplicates;
    tally.refused += (uint64_t)receipt.refused;
    if (!want.api)
        note_latency((double)(now_ns - https->start_ns) / 1e6);
    if (now_ns < until_ns && status == 200)
        upload(agent);
    else if (!--tally.running)
        loop_stop(loop);
}

/* --- people ------------------------------------------------------------------------------------------------------- */

static struct person people[PEOPLE];
static struct loop_timer people_timer;
static int64_t people_due_ns;
static size_t people_late;

static void on_answered(struct https *https, int status, const void *body, size_t size)
{
    struct person *person = (struct person *)https;
    person->is_busy = false;
    if (status != 200) {
        (void)fprintf(stderr, "agents_bench: api: %d %.*s\n", status, (int)size, (const char *)body);
        tally.failed++;
        return;
    }
    note_latency((double)(clock_mono_ns(&clock_real) - person->due_ns) / 1e6);
}

/* What a page of the UI and a script ask for; every request has its own moment, and waiting for a free connection counts. */
static void on_people(void *user)
{
    (void)user;
    static unsigned turn;
    char path[200], headers[400];
    int64_t now_ns = clock_mono_ns(&clock_real);
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", bearer);
    while (people_due_ns <= now_ns) {
        struct person *person = NULL;
        for (size_t i = 0; i < PEOPLE && !person; i++)
            person = people[i].is_busy ? NULL : &people[i];
        if (!person) {
            people_late++;
            break; /* asked later, and its time counts from when it was due */
        }
        uint64_t test = test_ids[turn % (unsigned)want.tests];
        switch (turn++ % 4) {
        case 0:
            (void)snprintf(path, sizeof path, "/v7/tests/agent-to-server/%" PRIu64, test);
            break;
        case 1:
            (void)snprintf(path, sizeof path, "/v7/agents/%" PRIu64, agents[turn % (unsigned)want.agents].id);
            break;
        case 2:
            (void)snprintf(path, sizeof path, "/oculi/v1/tests?max=25");
            break;
        default:
            (void)snprintf(path, sizeof path, "/oculi/v1/tests/%" PRIu64 "/timeline?metric=loss&from=-1h&maxPoints=200",
                           test);
            break;
        }
        person->is_busy = true;
        person->due_ns = people_due_ns;
        people_due_ns += CLOCK_S / want.api;
        https_send(&person->https, &server, "GET", path, headers, NULL, 0, on_answered);
    }
    if (now_ns >= until_ns) {
        if (!tally.running)
            loop_stop(loop);
        return;
    }
    loop_timer_start(loop, &people_timer, people_due_ns > now_ns ? people_due_ns : now_ns + CLOCK_MS);
}

static void start_people(void)
{
    for (size_t i = 0; i < PEOPLE; i++)
        https_init(&people[i].https, loop, NULL);
    people_due_ns = clock_mono_ns(&clock_real);
    people_timer = (struct loop_timer){.fn = on_people};
    loop_timer_start(loop, &people_timer, people_due_ns);
}

/* --- the modes ---------------------------------------------------------------------------------------------------- */

static void make_tests(void)
{
    test_ids = mem_alloc_array((size_t)want.tests, sizeof *test_ids);
    for (long i = 0; i < want.tests; i++) {
        char name[60];
        (void)snprintf(name, sizeof name, "bench %ld %lld", i, (long long)(clock_wall_ns(&clock_real) / CLOCK_US));
        test_ids[i] = make_test(name);
    }
}

static void run_intake(void)
{
    struct rusage before, after;
    enlist_all();
    make_tests();
    make_parts();
    packer = ZSTD_createCCtx();
    first_slot = (clock_wall_ns(&clock_real) / CLOCK_S - 25 * 86400) / INTERVAL_S * INTERVAL_S;
    (void)getrusage(RUSAGE_SELF, &before);
    int64_t start_ns = clock_mono_ns(&clock_real);
    until_ns = start_ns + want.seconds * CLOCK_S;
    for (long i = 0; i < want.agents; i++) {
        agents[i].slot = first_slot;
        tally.running++;
        upload(&agents[i]);
    }
    if (want.api)
        start_people();
    (void)loop_run(loop);
    double seconds = (double)(clock_mono_ns(&clock_real) - start_ns) / 1e9;
    (void)getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("rounds %" PRIu64 "\nduplicates %" PRIu64 "\nrefused %" PRIu64 "\nfailed %" PRIu64 "\n", tally.accepted,
           tally.duplicates, tally.refused, tally.failed);
    printf("intake %.0f rounds/s\n", (double)tally.accepted / seconds);
    printf("packed %.0f bytes/round\n", (double)tally.bytes / ((double)tally.accepted + 1));
    printf("agents_cpu %.0f %%\n", 100 * cpu / seconds);
    print_latencies(want.api ? "api" : "batch");
    if (want.api)
        printf("api_answers %zu\napi_waited_for_a_connection %zu\n", tally.latency_count, people_late);
}

static void on_plan(struct https *https, int status, const void *body, size_t size);

static void poll_plan(struct agent *agent, int wait_s)
{
    char path[100];
    (void)snprintf(path, sizeof path, "/oculi/v1/agent/plan?version=%" PRId64 "&wait=%d", agent->version, wait_s);
    https_send(&agent->https, &server, "GET", path, agent->headers, NULL, 0, on_plan);
}

static void on_plan(struct https *https, int status, const void *body, size_t size)
{
    struct agent *agent = (struct agent *)https;
    struct message_plan plan;
    struct arena arena;
    if (status == 204) {
        poll_plan(agent, 55);
        return;
    }
    arena_init(&arena, 16 << 20);
    if (status != 200 || field_from_cbor(&message_plan_table, body, size, &plan, &arena, NULL))
        die("plan", status ? (const char *)body : "the connection failed");
    bool is_first = !agent->version;
    agent->version = plan.version;
    arena_done(&arena);
    if (!is_first) {
        agent->told_ns = clock_mono_ns(&clock_real);
        note_latency((double)(agent->told_ns - until_ns) / 1e6);
    }
    tally.running--;
    poll_plan(agent, 55);
}

/* Steps the loop until nobody is left to wait for, or for so long. */
static void wait_for_all(int64_t most_ns)
{
    int64_t end_ns = clock_mono_ns(&clock_real) + most_ns;
    while (tally.running && clock_mono_ns(&clock_real) < end_ns)
        (void)loop_step(loop, 100 * CLOCK_MS);
}

static void rest(int64_t ns)
{
    for (int64_t end_ns = clock_mono_ns(&clock_real) + ns; clock_mono_ns(&clock_real) < end_ns;)
        (void)loop_step(loop, 100 * CLOCK_MS);
}

static void run_polls(void)
{
    enlist_all();
    int64_t start_ns = clock_mono_ns(&clock_real);
    for (long i = 0; i < want.agents; i++) {
        tally.running++;
        poll_plan(&agents[i], 0);
        if (i % 100 == 99)
            wait_for_all(CLOCK_S * 30);
    }
    wait_for_all(CLOCK_S * 60);
    printf("connected %.1f s\n", (double)(clock_mono_ns(&clock_real) - start_ns) / 1e9);
    rest(want.seconds * CLOCK_S);
    printf("polls_held %ld\n", want.agents - (long)tally.running);
    printf("waiting\n");
    (void)fflush(stdout);
    tally.running = (size_t)want.agents;
    until_ns = clock_mono_ns(&clock_real);
    want.tests = 1;
    make_tests();
    wait_for_all(CLOCK_S * 60);
    printf("told %ld agents\n", want.agents - (long)tally.running);
    print_latencies("plan_change");
    printf("told\n");
    (void)fflush(stdout);
    rest(want.seconds * CLOCK_S);
}

static void run_api(void)
{
    want.agents = 8;
    enlist_all();
    make_tests();
    until_ns = clock_mono_ns(&clock_real) + want.seconds * CLOCK_S;
    start_people();
    (void)loop_run(loop);
    printf("api_answers %zu\nfailed %" PRIu64 "\n", tally.latency_count, tally.failed);
    print_latencies("api");
}

static void read_option(const char *text)
{
    const struct {
        const char *name;
        long *value;
    } options[] = {{"agents", &want.agents}, {"tests", &want.tests},     {"batch", &want.batch}, {"samples", &want.samples},
                   {"traces", &want.traces}, {"seconds", &want.seconds}, {"api", &want.api}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        size_t n = strlen(options[i].name);
        if (strncmp(text, options[i].name, n) == 0 && text[n] == '=') {
            *options[i].value = strtol(text + n + 1, NULL, 10);
            return;
        }
    }
    die(text, "no such option");
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct rlimit files;
    if (argc < 4)
        die("usage", "agents_bench intake|polls|api URL DATA [name=value...]");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (strcmp(argv[1], "polls") == 0)
        want.agents = 10000;
    if (strcmp(argv[1], "api") == 0)
        want.api = 500;
    for (int i = 4; i < argc; i++)
        read_option(argv[i]);
    if (want.tests < 1 || want.batch < 1 || want.samples > 1000 || want.traces > (long)LIMIT_PATH_TRACES)
        die("options", "out of bounds");
    rng_seed(&rng, 1);
    https_parse(argv[2], &server);
    if (loop_new(&loop, &err))
        die("loop", err.text);
    read_secret(argv[3], "api-token", bearer, sizeof bearer);
    read_secret(argv[3], "agent-token", agent_token, sizeof agent_token);
    if (strcmp(argv[1], "intake") == 0)
        run_intake();
    else if (strcmp(argv[1], "polls") == 0)
        run_polls();
    else
        run_api();
    return tally.failed ? 1 : 0;
}
