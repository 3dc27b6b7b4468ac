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
#include <string.h>

#include "chance.h"

#define NETS 400u

static struct chance range;
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
    (void)chance_open(&world, &range, seed, true);
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
    for (uint64_t seed = range.first; seed <= range.last; seed++)
        stream(seed, PROBE_ICMP, PROBE_PING_SYN, seed % 2 ? CHANCE_APP : CHANCE_APP6);
    assert_int_equal(mistakes, 0);
}

static void syns_are_told_as_they_were(void **state)
{
    (void)state;
    mistakes = 0;
    for (uint64_t seed = range.first; seed <= range.last; seed++)
        stream(seed, PROBE_TCP, PROBE_PING_SYN, seed % 2 ? CHANCE_APP6 : CHANCE_APP);
    assert_int_equal(mistakes, 0);
}

static void sessions_are_told_as_they_were(void **state)
{
    (void)state;
    mistakes = 0;
    for (uint64_t seed = range.first; seed <= range.last; seed++)
        stream(seed, PROBE_TCP, PROBE_PING_SACK, seed % 2 ? CHANCE_APP : CHANCE_APP6);
    assert_int_equal(mistakes, 0);
}

/* No hop that does not exist at its TTL; and without trouble on the links, all that answer and the target. */
static void trace(uint64_t seed, enum probe_protocol protocol, const char *to, bool is_lossy)
{
    struct world world;
    char one[SOCK_TEXT_BYTES];
    (void)chance_open(&world, &range, seed, is_lossy);
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
    for (uint64_t seed = range.first; seed <= range.last; seed++)
        for (int is_lossy = 0; is_lossy < 2; is_lossy++)
            trace(seed, protocols[(seed + (uint64_t)is_lossy) % 3], seed / 3 % 2 ? CHANCE_APP : CHANCE_APP6, is_lossy);
    assert_int_equal(mistakes, 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    range = chance_range(NETS);
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(echoes_are_told_as_they_were),
        cmocka_unit_test(syns_are_told_as_they_were),
        cmocka_unit_test(sessions_are_told_as_they_were),
        cmocka_unit_test(traces_invent_nothing),
    };
    return cmocka_run_group_tests_name("simulated networks made by chance", checks, NULL, NULL);
}
