/*
 * Networks nobody thought of: made by chance from a seed, and measured by every protocol. What the engine says must be
 * what really was, whatever the network: the stream to the packet and the nanosecond, the trace without one hop that does
 * not exist. OCULI_NET=1-1000 tries more of them, OCULI_NET=7 prints one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "world.h"

#define NETS 400u
#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"

static uint64_t first_seed = 1, last_seed = NETS;

static bool is_drawn(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

static const char *one_of(struct rng *rng, const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    return words[rng_below(rng, count)];
}

/* A link with what may happen on it. `from` is its first end. */
static void put_link(struct rng *rng, struct buf *text, const char *from, const char *to, bool is_lossy)
{
    static const char *const troubles[] = {"loss 5%",      "loss 30%",           "duplicate 5%", "reorder 10% by 7ms",
                                           "loss 1%",      "reorder 5% by 60ms", "corrupt 2%",   "loss 12%",
                                           "duplicate 20%", NULL};
    double delay = 0.05 + rng_unit(rng) * (is_drawn(rng, 20) ? 40 : 6);
    buf_printf(text, "link %s %s delay %.3fms", from, to, delay);
    if (is_drawn(rng, 30))
        buf_printf(text, " jitter %.3fms", delay * rng_unit(rng) / 2);
    if (is_lossy && is_drawn(rng, 30))
        buf_printf(text, " %s%s%s", one_of(rng, troubles), is_drawn(rng, 50) ? " from " : " to ", from);
    if (is_drawn(rng, 10))
        buf_printf(text, " rate %umbit queue 400ms", 2 + (unsigned)rng_below(rng, 100));
    buf_putc(text, '\n');
}

/* Routers r1..rn in a row, some of them side by side, with all kinds of manners, and middleboxes. */
static void make(uint64_t seed, bool is_lossy, struct buf *text)
{
    static const char *const manners[] = {"silent", "ratelimit 20/s burst 3", "quote 28", "ttl 64",   "no-ttl-exceeded",
                                          "ttl 128", "icmp-from 192.0.2.99",   "dscp 0",   "ip-id zero", NULL};
    static const char *const boxes[] = {"node r1 sequence-randomize on\n", "nat r1 inside 198.18.1.0/24 as 203.0.113.50\n",
                                        "node r1 mss-clamp 1200 ecn 0\n", "node r1 strip timestamps\n",
                                        "node r1 ip-id count ttl 64\n",
                                        "nat r1 inside 198.18.1.0/24 as 203.0.113.50 ports kept\n", NULL};
    static const char *const hosts[] = {"", " timestamps lax", " timestamps off", " compressed-acks on", " mss 536",
                                        " compressed-acks warm", " think 3ms", " ttl 128", NULL};
    struct rng rng;
    rng_seed(&rng, seed);
    unsigned routers = 1 + (unsigned)rng_below(&rng, 9), last_width = 1;
    buf_puts(text, "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n");
    buf_printf(text, "host app address " APP " v6 " APP6 " tcp 443 open%s\n", one_of(&rng, hosts));
    for (unsigned i = 1; i <= routers; i++) {
        unsigned width = i > 1 && is_drawn(&rng, 15) ? 2 + (unsigned)rng_below(&rng, 4) : 1;
        for (unsigned w = 0; w < width; w++) {
            char name[24], before[24] = "ams";
            (void)snprintf(name, sizeof name, w ? "r%ux%u" : "r%u", i, w);
            buf_printf(text, "router %s %s\n", name, is_drawn(&rng, 20) ? one_of(&rng, manners) : "");
            for (unsigned v = 0; v < last_width; v++) {
                if (i > 1)
                    (void)snprintf(before, sizeof before, v ? "r%ux%u" : "r%u", i - 1, v);
                put_link(&rng, text, before, name, is_lossy);
            }
        }
        last_width = width;
    }
    for (unsigned v = 0; v < last_width; v++) {
        char name[24];
        (void)snprintf(name, sizeof name, v ? "r%ux%u" : "r%u", routers, v);
        put_link(&rng, text, name, "app", is_lossy);
    }
    if (is_drawn(&rng, 30))
        buf_puts(text, one_of(&rng, boxes));
}

static void open_net(struct world *world, uint64_t seed, bool is_lossy)
{
    struct buf text;
    buf_init(&text, 1u << 16);
    make(seed, is_lossy, &text);
    if (first_seed == last_seed)
        print_message("%s", buf_str(&text));
    world_open_small(world, buf_str(&text));
    buf_done(&text);
}

static unsigned mistakes; /* in this check; all are told before it fails */

#define mistake(...) (print_error(__VA_ARGS__), mistakes++)

static void is_same(uint64_t seed, const char *what, double told, double really)
{
    if (fabs(told - really) < 1)
        return;
    print_error("net %llu: %s is told as %.0f and was %.0f\n", (unsigned long long)seed, what, told, really);
    mistakes++;
}

static void stream(uint64_t seed, enum probe_protocol protocol, enum probe_ping_mode mode, const char *to)
{
    struct world world;
    open_net(&world, seed, true);
    world.ping.protocol = protocol;
    world.ping.mode = mode;
    world.port = protocol == PROBE_TCP ? 443 : 0;
    const struct probe_ping_result *result = world_ping(&world, to);
    bool is_session = protocol == PROBE_TCP && mode == PROBE_PING_SACK;
    enum lab_kind kind = is_session ? LAB_KIND_TCP_DATA : protocol == PROBE_TCP ? LAB_KIND_TCP_SYN : LAB_KIND_ECHO;
    struct lab_truth_sum truth = world_truth_of(&world, to, kind, 0);
    if (!is_session || result->session == PROBE_SESSION_OPEN) {
        is_same(seed, "sent", result->sent, (double)truth.sent);
        is_same(seed, "received", result->received, (double)truth.received);
        is_same(seed, "duplicates", result->duplicates, (double)truth.duplicates);
        is_same(seed, "reordered", result->reordered, (double)truth.reordered);
        is_same(seed, "errors", result->errors, (double)truth.errors);
        if (truth.received > 0) {
            is_same(seed, "the mean", result->avg_rtt_ns, (double)truth.rtt_sum_ns / (double)truth.received);
            is_same(seed, "the shortest", result->min_rtt_ns, (double)truth.rtt_min_ns);
            is_same(seed, "the longest", result->max_rtt_ns, (double)truth.rtt_max_ns);
        }
    }
    world_close(&world);
}

static void echoes_are_told_as_they_were(void **state)
{
    (void)state;
    mistakes = 0;
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        stream(seed, PROBE_ICMP, PROBE_PING_SYN, seed % 2 ? APP : APP6);
    assert_int_equal(mistakes, 0);
}

static void syns_are_told_as_they_were(void **state)
{
    (void)state;
    mistakes = 0;
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        stream(seed, PROBE_TCP, PROBE_PING_SYN, seed % 2 ? APP6 : APP);
    assert_int_equal(mistakes, 0);
}

static void sessions_are_told_as_they_were(void **state)
{
    (void)state;
    mistakes = 0;
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        stream(seed, PROBE_TCP, PROBE_PING_SACK, seed % 2 ? APP : APP6);
    assert_int_equal(mistakes, 0);
}

/* No hop that does not exist at its TTL; and without trouble on the links, all that answer and the target. */
static void trace(uint64_t seed, enum probe_protocol protocol, const char *to, bool is_lossy)
{
    struct world world;
    char one[SOCK_TEXT_BYTES];
    open_net(&world, seed, is_lossy);
    world.trace.protocol = protocol;
    world.port = protocol == PROBE_TCP ? 443 : 0;
    const struct probe_trace_result *result = world_trace(&world, to);
    const struct lab_fan *fan = world_fan(&world, to, protocol, world.port);
    for (uint32_t f = 0; f < result->flow_count; f++) {
        const struct probe_trace_flow *flow = &result->flows[f];
        for (uint32_t h = 0; h < flow->hop_count; h++) {
            const struct probe_trace_hop *hop = &flow->hops[h];
            /* The target answers whatever the TTL, and may seem farther when its nearer answers were lost. */
            if (sock_is_set(&hop->addr) && !(hop->is_target && is_lossy) && !world_has_interface(fan, h + 1, &hop->addr))
                mistake("net %llu: %s at TTL %u does not exist\n", (unsigned long long)seed,
                         sock_ip_text(&hop->addr, one, sizeof one), h + 1);
        }
        if (!is_lossy && (flow->end != PROBE_TRACE_REACHED || flow->hop_count != fan->faces[fan->face_count - 1].ttl))
            mistake("net %llu: ends as %s after %u hops\n", (unsigned long long)seed, probe_trace_end_names[flow->end],
                     flow->hop_count);
    }
    world_close(&world);
}

static void traces_invent_nothing(void **state)
{
    (void)state;
    mistakes = 0;
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        for (int is_lossy = 0; is_lossy < 2; is_lossy++)
            trace(seed, protocols[(seed + (uint64_t)is_lossy) % 3], seed / 3 % 2 ? APP : APP6, is_lossy);
    assert_int_equal(mistakes, 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    const char *only = getenv("OCULI_NET"); /* one net, which is printed; or OCULI_NET=FIRST-LAST */
    if (only) {
        char *end;
        first_seed = last_seed = strtoull(only, &end, 10);
        if (*end == '-')
            last_seed = strtoull(end + 1, NULL, 10);
    }
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(echoes_are_told_as_they_were),
        cmocka_unit_test(syns_are_told_as_they_were),
        cmocka_unit_test(sessions_are_told_as_they_were),
        cmocka_unit_test(traces_invent_nothing),
    };
    return cmocka_run_group_tests_name("simulated networks made by chance", checks, NULL, NULL);
}
