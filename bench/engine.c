/*
 * What the probe engine costs and how right it is: one engine, many rounds to the addresses that follow a first one.
 *
 *     engine_bench ping FIRST TARGETS PROBES PPS [options]    streams, started evenly over the time one stream takes;
 *                                                             PPS of all together, 0 = as the product paces them
 *     engine_bench trace FIRST TRACES FLOWS [options]         path traces, all at once
 *     engine_bench test FIRST TESTS FLOWS [options]           whole tests: fifty probes and a path trace
 *
 * Options: --protocol icmp | tcp | udp; --mode syn | sack (TCP streams); --port N (80); --distance N (to the target, as known from the round before);
 * --same (all to FIRST); --spread MS (time over which the rounds start); --all-at-once;
 * --hold (results stay in memory until the end, which is then told by target);
 * --netns NAME; --rcvbuf BYTES (a small one shows how own drops are told); --no-stamps (transmit times from the clock);
 * --counted (transmit stamps as before Linux 6.13);
 * --list (with one stream: number and round trip time of each answered probe, instead of the summary).
 * Prints one line of JSON: packets, losses, quantiles of the round trip time, CPU time of this process.
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "probe/engine.h"
#include "probe/io_linux.h"
#include "probe/ping.h"
#include "probe/round.h"
#include "probe/trace.h"

enum mode { MODE_PING, MODE_TRACE, MODE_TEST };

struct target {
    struct bench *bench;
    struct arena arena;
    uint32_t number, parts; /* still running */
};

struct bench {
    struct loop *loop;
    struct probe_engine *engine;
    union sock_addr first;
    enum mode mode;
    bool is_same, is_held, is_list;
    uint32_t target_count, started_count, done_count;
    struct loop_timer timer; /* of the next start */
    int64_t start_ns, spread_ns;
    struct probe_ping_settings ping;
    struct probe_trace_settings trace;
    struct target *targets;
    uint64_t sent, received, overloaded, refused, estimated, duplicates, ends[PROBE_TRACE_END_COUNT], hops;
    double *rtts; /* us */
    size_t rtt_count, rtt_room, memory;
};

static void fail(const struct error *err)
{
    char text[600];
    (void)fprintf(stderr, "%s\n", error_format(err, text, sizeof text));
    exit(1);
}

static void note_rtt(struct bench *bench, int64_t rtt_ns)
{
    if (bench->rtt_count == bench->rtt_room) {
        size_t room = bench->rtt_room ? bench->rtt_room * 2 : 65536;
        bench->rtts = mem_resize(bench->rtts, bench->rtt_room * sizeof(double), room * sizeof(double));
        bench->rtt_room = room;
    }
    bench->rtts[bench->rtt_count++] = (double)rtt_ns / 1e3;
}

static void finish_part(struct target *target)
{
    struct bench *bench = target->bench;
    if (--target->parts > 0)
        return;
    if (!bench->is_held)
        arena_done(&target->arena);
    if (++bench->done_count == bench->target_count)
        loop_stop(bench->loop);
}

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct target *target = user;
    struct bench *bench = target->bench;
    bench->sent += result->sent;
    bench->received += result->received;
    bench->overloaded += result->overloaded;
    bench->refused += result->refused;
    bench->duplicates += result->duplicates;
    for (uint32_t i = 0; i < result->probe_count; i++) {
        const struct probe_ping_probe *probe = &result->probes[i];
        if (probe->status != PROBE_PING_ANSWERED)
            continue;
        bench->estimated += probe->is_tx_estimated || probe->is_rx_estimated;
        note_rtt(bench, probe_ping_rtt_ns(probe));
        if (bench->is_list)
            (void)printf("%u %.3f\n", i, (double)probe_ping_rtt_ns(probe) / 1e3);
    }
    if (result->error_text)
        (void)fprintf(stderr, "%s\n", result->error_text);
    finish_part(target);
}

static void print_flow(const struct probe_trace_flow *flow)
{
    char text[SOCK_TEXT_BYTES];
    (void)printf("flow %u: %s\n", flow->id, probe_trace_end_names[flow->end]);
    for (uint32_t i = 0; i < flow->hop_count; i++) {
        const struct probe_trace_hop *hop = &flow->hops[i];
        (void)printf("%3u %-20s %9.1f us  %u/%u  icmp %u-%u  reply ttl %u  quoted ttl %u", hop->ttl,
                     sock_is_set(&hop->addr) ? sock_ip_text(&hop->addr, text, sizeof text) : "*",
                     (double)hop->rtt_ns / 1e3, hop->received, hop->sent, hop->icmp_type, hop->icmp_code,
                     hop->reply_ttl, hop->quoted_ttl);
        for (uint32_t j = 0; j < hop->label_count; j++)
            (void)printf("  L=%u,E=%u,S=%d,T=%u", hop->labels[j].label, hop->labels[j].exp, hop->labels[j].is_bottom,
                         hop->labels[j].ttl);
        (void)printf("\n");
    }
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct target *target = user;
    struct bench *bench = target->bench;
    bench->sent += result->sent;
    bench->received += result->received;
    bench->overloaded += result->overloaded;
    for (uint32_t i = 0; i < result->flow_count; i++) {
        const struct probe_trace_flow *flow = &result->flows[i];
        bench->ends[flow->end]++;
        bench->hops += flow->hop_count;
        if (flow->end == PROBE_TRACE_REACHED)
            note_rtt(bench, flow->hops[flow->hop_count - 1].rtt_ns);
        if (bench->target_count == 1)
            print_flow(flow);
    }
    if (result->error_text)
        (void)fprintf(stderr, "%s\n", result->error_text);
    finish_part(target);
}

static union sock_addr address(const struct bench *bench, uint32_t number)
{
    union sock_addr addr = bench->first;
    if (addr.sa.sa_family == AF_INET)
        addr.in4.sin_addr.s_addr = htonl(ntohl(addr.in4.sin_addr.s_addr) + number);
    else
        addr.in6.sin6_addr.s6_addr32[3] = htonl(ntohl(addr.in6.sin6_addr.s6_addr32[3]) + number);
    return addr;
}

static void start_target(struct target *target)
{
    struct bench *bench = target->bench;
    struct error err = {0};
    struct probe_ping *ping;
    struct probe_trace *trace;
    int rc = 0;
    arena_init(&target->arena, 1 << 20);
    bench->ping.dst = bench->trace.dst = address(bench, bench->is_same ? 0 : target->number);
    target->parts = bench->mode == MODE_TEST ? 2 : 1;
    if (bench->mode != MODE_TRACE)
        rc = probe_ping_start(bench->engine, &bench->ping, &target->arena, NULL, on_ping, target, &ping, &err);
    if (!rc && bench->mode != MODE_PING)
        rc = probe_trace_start(bench->engine, &bench->trace, &target->arena, NULL, on_trace, target, &trace, &err);
    if (rc)
        fail(&err);
}

/* Those that are due, then not again for a millisecond: the starts are not what is to be measured. */
static void start_some(void *user)
{
    struct bench *bench = user;
    int64_t now = loop_now_ns(bench->loop), due = now;
    while (bench->started_count < bench->target_count && due <= now) {
        start_target(&bench->targets[bench->started_count++]);
        due = bench->start_ns + bench->spread_ns * bench->started_count / bench->target_count;
    }
    if (bench->started_count < bench->target_count)
        loop_timer_start(bench->loop, &bench->timer, due > now + CLOCK_MS ? due : now + CLOCK_MS);
}

static size_t memory(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const struct bench *bench, double q)
{
    return bench->rtt_count ? bench->rtts[(size_t)(q * (double)(bench->rtt_count - 1))] : -1;
}

static void print_result(struct bench *bench, double wall_s)
{
    struct rusage usage;
    const struct probe_engine_stats *stats = probe_engine_stats(bench->engine);
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (bench->rtt_count > 0)
        qsort(bench->rtts, bench->rtt_count, sizeof(double), compare);
    (void)printf("{\"rounds\":%u,\"sent\":%llu,\"received\":%llu,\"overloaded\":%llu,\"refused\":%llu,\"estimated\":%llu,"
                 "\"dropped\":%llu,\"foreign\":%llu,\"stamps\":%llu,\"wakeups\":%llu,\"wallS\":%.4f,\"cpuS\":%.4f,"
                 "\"usPerProbe\":%.2f,\"%s\":{\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
                 bench->target_count, (unsigned long long)bench->sent, (unsigned long long)bench->received,
                 (unsigned long long)bench->overloaded, (unsigned long long)bench->refused,
                 (unsigned long long)bench->estimated, (unsigned long long)stats->dropped,
                 (unsigned long long)stats->foreign, (unsigned long long)stats->stamps,
                 (unsigned long long)stats->wakeups, wall_s, cpu_s, cpu_s * 1e6 / (double)(stats->sent ? stats->sent : 1),
                 "rttUs", quantile(bench, 0), quantile(bench, 0.5), quantile(bench, 0.99), quantile(bench, 0.999),
                 quantile(bench, 1));
    if (bench->mode != MODE_PING) {
        (void)printf(",\"hops\":%llu,\"ends\":{", (unsigned long long)bench->hops);
        for (int i = 0; i < PROBE_TRACE_END_COUNT; i++)
            (void)printf("%s\"%s\":%llu", i ? "," : "", probe_trace_end_names[i], (unsigned long long)bench->ends[i]);
        (void)printf("}");
    }
    size_t slots = (bench->mode == MODE_TEST ? 2u : 1u) * ROUND_BYTES; /* of the engine */
    if (bench->is_held)
        (void)printf(",\"bytesPerTarget\":%zu",
                     (memory() - bench->memory - bench->rtt_room * sizeof(double)) / bench->target_count + slots);
    (void)printf(",\"peakRssKb\":%ld}\n", usage.ru_maxrss);
}

static uint32_t number(const char *text)
{
    uint64_t value;
    if (str_to_u64(text, 10000000, &value) != 0) {
        (void)fprintf(stderr, "\"%s\" is not a number\n", text);
        exit(2);
    }
    return (uint32_t)value;
}

struct options {
    const char *netns;
    unsigned without;
    uint32_t pps, rcvbuf, spread_ms, port;
    bool is_at_once;
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: engine_bench ping FIRST TARGETS PROBES PPS | trace FIRST TRACES FLOWS |"
                          " test FIRST TESTS FLOWS [options]\n");
    return 2;
}

static bool read_flag(struct bench *bench, struct options *options, const char *word)
{
    if (strcmp(word, "--no-stamps") == 0)
        options->without |= IO_LINUX_NO_TX_STAMPS;
    else if (strcmp(word, "--counted") == 0)
        options->without |= IO_LINUX_NO_OWN_IDS;
    else if (strcmp(word, "--all-at-once") == 0)
        options->is_at_once = true;
    else if (strcmp(word, "--same") == 0)
        bench->is_same = true;
    else if (strcmp(word, "--hold") == 0)
        bench->is_held = true;
    else if (strcmp(word, "--list") == 0)
        bench->is_list = true;
    else
        return false;
    return true;
}

static bool read_pair(struct bench *bench, struct options *options, const char *word, const char *value)
{
    static const char *const protocols[] = {"icmp", "tcp", "udp", NULL};
    static const char *const modes[] = {"syn", "sack", NULL};
    if (strcmp(word, "--netns") == 0)
        options->netns = value;
    else if (strcmp(word, "--rcvbuf") == 0)
        options->rcvbuf = number(value);
    else if (strcmp(word, "--spread") == 0)
        options->spread_ms = number(value);
    else if (strcmp(word, "--port") == 0)
        options->port = number(value);
    else if (strcmp(word, "--distance") == 0)
        bench->trace.distance = (uint8_t)number(value);
    else if (strcmp(word, "--mode") == 0 && str_index(value, modes) >= 0)
        bench->ping.mode = (enum probe_ping_mode)str_index(value, modes);
    else if (strcmp(word, "--protocol") == 0 && str_index(value, protocols) >= 0)
        bench->ping.protocol = bench->trace.protocol = (enum probe_protocol)str_index(value, protocols);
    else
        return false;
    return true;
}

static int read_options(struct bench *bench, struct options *options, int argc, char **argv)
{
    static const char *const modes[] = {"ping", "trace", "test", NULL};
    int mode = argc > 1 ? str_index(argv[1], modes) : -1;
    int first = mode == MODE_PING ? 6 : 5;
    if (mode < 0 || argc < first || sock_parse_ip(argv[2], &bench->first) != 0)
        return usage();
    bench->mode = (enum mode)mode;
    bench->target_count = number(argv[3]);
    probe_ping_defaults(&bench->ping);
    probe_trace_defaults(&bench->trace);
    if (bench->mode == MODE_PING) {
        bench->ping.count = number(argv[4]);
        options->pps = number(argv[5]);
    } else {
        bench->trace.flows = number(argv[4]);
    }
    for (int i = first; i < argc; i++) {
        if (read_flag(bench, options, argv[i]))
            continue;
        if (i + 1 >= argc || !read_pair(bench, options, argv[i], argv[i + 1]))
            return usage();
        i++;
    }
    if (bench->trace.protocol == PROBE_TCP)
        sock_set_port(&bench->first, (uint16_t)options->port);
    return bench->target_count > 0 ? 0 : usage();
}

/* The rate of one stream, and the time over which the streams start. */
static int64_t choose_rates(struct bench *bench, const struct options *options)
{
    int64_t spread_ns = options->spread_ms * CLOCK_MS;
    if (options->pps > 0) {
        uint32_t rate = options->pps / bench->target_count;
        bench->ping.rate_pps = rate < 1 ? 1 : rate > 1000 ? 1000 : rate;
        bench->ping.ceiling_ns = (int64_t)(bench->ping.count + 1) * CLOCK_S / bench->ping.rate_pps + 4 * CLOCK_S;
        if (spread_ns == 0)
            spread_ns = CLOCK_S / bench->ping.rate_pps;
    }
    return options->is_at_once ? 0 : spread_ns;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct options options = {.port = 80};
    struct error err = {0};
    struct probe_sockets sockets;
    struct probe_io *io;
    int rc = read_options(&bench, &options, argc, argv);
    if (rc)
        return rc;
    if (probe_open(options.netns, PROBE_QUIET_PORTS, &sockets, &err) || loop_new(&bench.loop, &err))
        fail(&err);
    if (options.rcvbuf && setsockopt(sockets.icmp[0], SOL_SOCKET, SO_RCVBUF, &(int){(int)options.rcvbuf}, sizeof(int)) != 0)
        return usage();
    if (io_linux_new(bench.loop, &sockets, options.without, &io, &err) ||
        probe_engine_new(io, NULL, &bench.engine, &err))
        fail(&err);
    bench.spread_ns = choose_rates(&bench, &options);
    bench.targets = mem_alloc_array(bench.target_count, sizeof *bench.targets);
    for (uint32_t i = 0; i < bench.target_count; i++)
        bench.targets[i] = (struct target){.bench = &bench, .number = i};
    bench.memory = memory();
    bench.start_ns = loop_now_ns(bench.loop) + 10 * CLOCK_MS;
    bench.timer.fn = start_some;
    bench.timer.user = &bench;
    loop_timer_start(bench.loop, &bench.timer, bench.start_ns);
    rc = loop_run(bench.loop);
    if (!bench.is_list)
        print_result(&bench, (double)(loop_now_ns(bench.loop) - bench.start_ns) / 1e9);
    probe_engine_free(bench.engine);
    loop_free(bench.loop);
    for (uint32_t i = 0; i < bench.target_count; i++)
        arena_done(&bench.targets[i].arena);
    mem_free(bench.targets);
    mem_free(bench.rtts);
    return rc ? 1 : 0;
}
