/* The stream in SACK mode, traces and unusual hosts, through middleboxes of every kind, against the truth. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\nhost app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open\n" \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms jitter 1ms\n"
#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define NAT "nat r1 inside 198.18.1.0/24 as 203.0.113.50"

/* One SACK stream; what really became of its probes. */
static struct lab_truth_sum stream(const char *more, const char *to)
{
    struct world world;
    char text[2000];
    (void)snprintf(text, sizeof text, CHAIN "%s\n", more);
    world_open(&world, text, NULL);
    world.ping.protocol = PROBE_TCP;
    world.ping.mode = PROBE_PING_SACK;
    world.port = 443;
    const struct probe_ping_result *result = world_ping(&world, to);
    struct lab_truth_sum truth = world_truth_of(&world, to, LAB_KIND_TCP_DATA, 0);
    assert_int_equal(result->session, PROBE_SESSION_OPEN);
    assert_int_equal(result->sent, truth.sent);
    assert_int_equal(result->received, truth.received);
    assert_int_equal(result->duplicates, truth.duplicates);
    assert_int_equal(result->reordered, truth.reordered);
    assert_true(fabs(result->avg_rtt_ns - (double)truth.rtt_sum_ns / (double)truth.received) < 1);
    assert_true(result->max_rtt_ns == (double)truth.rtt_max_ns);
    world_close(&world);
    return truth;
}

static void streams_pass_middleboxes(void **state)
{
    (void)state;
    static const char *const boxes[] = {NAT,
                                        NAT " ports kept",
                                        "node r2 sequence-randomize on",
                                        NAT "\nnode r1 sequence-randomize on\nnode r2 sequence-randomize on mss-clamp 800",
                                        "node r3 drop-syn-change",
                                        "node r2 strip timestamps",
                                        "node r2 ip-id zero ecn 3 dscp 46",
                                        "node app timestamps lax compressed-acks warm",
                                        "node app timestamps off mss 536",
                                        "node app mss 64 backlog 1"};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        assert_int_equal(stream(boxes[i], APP).received, 50);
        assert_int_equal(stream(boxes[i], APP6).received, 50);
    }
}

/* The proxy makes the handshake and then asks the target, which may take much longer than that: no probe is sent before the
 * target has shown that it is there. */
static void a_handshake_may_be_a_proxys(void **state)
{
    (void)state;
    static const char *const proxies[] = {"syn-proxy r2 handover",
                                          NAT "\nsyn-proxy r3 handover\nnode r2 sequence-randomize on"};
    for (int i = 0; i < 4; i++) {
        struct lab_truth_sum truth = stream(proxies[i / 2], i % 2 ? APP6 : APP);
        assert_int_equal(truth.received, 50);
        assert_true(truth.rtt_min_ns >= 18 * CLOCK_MS);
    }
}

/* Behind one a second away: nothing is lost to its handshake; behind one whose target is not there, no loss is made up. */
static void a_proxy_may_take_its_time(void **state)
{
    (void)state;
    static const char *const targets[] = {APP, APP6};
    for (int i = 0; i < 4; i++) {
        struct world world;
        world_open(&world, i / 2 ? CHAIN "syn-proxy r2 handover\nnode app down\n"
                                 : "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\n"
                                   "host app address " APP " v6 " APP6 " tcp 443 open\n"
                                   "link ams r1 delay 1ms\nlink r1 app delay 600ms\nsyn-proxy r1 handover\n", NULL);
        world.ping.protocol = PROBE_TCP;
        world.ping.mode = PROBE_PING_SACK;
        world.ping.is_forced = true;
        world.port = 443;
        const struct probe_ping_result *result = world_ping(&world, targets[i % 2]);
        if (i / 2) {
            assert_int_equal(result->session, PROBE_SESSION_NO_SACK);
        } else {
            assert_int_equal(result->session, PROBE_SESSION_OPEN);
            assert_int_equal(result->sent, 50);
            assert_int_equal(result->received, 50);
            assert_true(result->min_rtt_ns == 1202e6);
        }
        world_close(&world);
    }
}

/* The constant share that a firewall takes of what is out of order, and of nothing else. */
static void a_constant_loss_is_the_truth(void **state)
{
    (void)state;
    struct lab_truth_sum truth = stream("node r2 drop-out-of-order every 25", APP);
    assert_int_equal(truth.sent, 50);
    assert_int_equal(truth.lost_forward, 2);
    assert_int_equal(stream("node r2 drop-out-of-order every 10", APP6).lost_forward, 5);
}

/* A target that says time exceeded of packets that reach it with their last TTL is the target all the same. */
static void a_strict_target_is_reached(void **state)
{
    (void)state;
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    static const char *const hops[2] = {"198.51.100.1 198.51.100.2 198.51.100.3 198.18.10.10",
                                        "2001:db8:f::1 2001:db8:f::2 2001:db8:f::3 2001:db8:a::10"};
    for (int i = 0; i < 6; i++) {
        struct world world;
        world_open(&world, CHAIN "node app ttl-strict\n", NULL);
        world.trace.protocol = protocols[i / 2];
        world.port = protocols[i / 2] == PROBE_TCP ? 443 : 0;
        (void)world_trace(&world, i % 2 ? APP6 : APP);
        for (uint32_t f = 0; f < world.trace_result->flow_count; f++) {
            assert_int_equal(world.trace_result->flows[f].end, PROBE_TRACE_REACHED);
            assert_string_equal(world_path(&world.trace_result->flows[f]), hops[i % 2]);
        }
        world_close(&world);
    }
}

/* What routers quote has other sequence numbers than the probes had; SYNs that differ are dropped, or what tells of data out
 * of order: every hop is found all the same, whichever kind of probes the trace begins with. */
static void traces_pass_middleboxes(void **state)
{
    (void)state;
    static const char *const hops[2] = {"198.51.100.1 198.51.100.2 198.51.100.3 198.18.10.10",
                                        "2001:db8:f::1 2001:db8:f::2 2001:db8:f::3 2001:db8:a::10"};
    static const char *const boxes[] = {"node r1 sequence-randomize on\n", "node r1 sequence-randomize no-sack\n",
                                        "node r1 sequence-randomize on ip-id zero\n",
                                        "node r1 sequence-randomize on\nnode app ttl-strict\n",
                                        "node r2 drop-syn-change\n", "node r1 strip sack\n"};
    for (int i = 0; i < 24; i++) {
        struct world world;
        char text[2000];
        (void)snprintf(text, sizeof text, CHAIN "%s", boxes[i / 4]);
        world_open(&world, text, NULL);
        world.trace.protocol = PROBE_TCP;
        world.trace.is_in_session = i / 2 % 2;
        world.port = 443;
        (void)world_trace(&world, i % 2 ? APP6 : APP);
        for (uint32_t f = 0; f < world.trace_result->flow_count; f++) {
            assert_int_equal(world.trace_result->flows[f].end, PROBE_TRACE_REACHED);
            assert_string_equal(world_path(&world.trace_result->flows[f]), hops[i % 2]);
        }
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(streams_pass_middleboxes),
        cmocka_unit_test(a_handshake_may_be_a_proxys), cmocka_unit_test(a_proxy_may_take_its_time),
        cmocka_unit_test(a_constant_loss_is_the_truth),
        cmocka_unit_test(a_strict_target_is_reached), cmocka_unit_test(traces_pass_middleboxes),
    };
    return cmocka_run_group_tests_name("simulated middleboxes", checks, NULL, NULL);
}
