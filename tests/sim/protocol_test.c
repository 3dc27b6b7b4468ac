/* Path traces with TCP SYNs and UDP datagrams against the truth of the simulated internet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "probe/match.h"
#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define R1 "198.51.100.1"
#define R2 "198.51.100.2"
#define R3 "198.51.100.3"
#define V1 "2001:db8:f::1"
#define V2 "2001:db8:f::2"
#define V3 "2001:db8:f::3"
#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\n"                                                               \
    "host app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open\n"                                                  \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\n"

static const char *const targets[] = {APP, APP6};
static const enum probe_protocol protocols[] = {PROBE_TCP, PROBE_UDP};

static void open_world(struct world *world, const char *scenario, enum probe_protocol protocol)
{
    world_open(world, scenario, NULL);
    world->trace.protocol = world->ping.protocol = protocol;
    world->port = protocol == PROBE_TCP ? 443 : 0;
}

static void assert_all(const struct probe_trace_result *result, enum probe_trace_end end, const char *path)
{
    for (uint32_t i = 0; i < result->flow_count; i++) {
        assert_string_equal(world_path(&result->flows[i]), path);
        assert_int_equal(result->flows[i].end, end);
    }
}

static void straight_paths_are_exact(void **state)
{
    (void)state;
    static const char *const paths[] = {R1 " " R2 " " R3 " " APP, V1 " " V2 " " V3 " " APP6};
    static const int64_t rtts_ms[] = {2, 6, 12, 20};
    for (int i = 0; i < 4; i++) {
        struct world world;
        open_world(&world, CHAIN, protocols[i / 2]);
        const struct probe_trace_result *result = world_trace(&world, targets[i % 2]);
        assert_all(result, PROBE_TRACE_REACHED, paths[i % 2]);
        for (uint32_t f = 0; f < 3; f++) {
            assert_int_equal(result->flows[f].mss, protocols[i / 2] == PROBE_UDP ? 0 : i % 2 ? 1440 : 1460);
            for (uint32_t h = 0; h < 4; h++) {
                const struct probe_trace_hop *hop = &result->flows[f].hops[h];
                assert_int_equal(hop->rtt_ns, rtts_ms[h] * CLOCK_MS);
                assert_int_equal(hop->sent, 1);
                assert_int_equal(hop->is_target, h == 3);
                assert_int_equal(hop->rewritten, 0);
                if (h < 3)
                    assert_int_equal(hop->quoted_ttl, 1);
            }
            assert_int_equal(result->flows[f].hops[3].tcp_flags,
                             protocols[i / 2] == PROBE_TCP ? PACKET_SYN | PACKET_ACK : 0);
        }
        world_close(&world);
    }
}

/* A RST of the target itself means arrival; one of a firewall in its name is told from it, and shows who it was. */
static void resets_are_told_apart(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        open_world(&world, CHAIN, PROBE_TCP);
        world.port = 81;
        assert_all(world_trace(&world, targets[i]), PROBE_TRACE_REACHED,
                   i ? V1 " " V2 " " V3 " " APP6 : R1 " " R2 " " R3 " " APP);
        assert_true(world.trace_result->flows[0].hops[3].tcp_flags & PACKET_RST);
        world_close(&world);
        open_world(&world, CHAIN "firewall r3 deny tcp port 443 with reset\n", PROBE_TCP);
        assert_all(world_trace(&world, targets[i]), PROBE_TRACE_RESET, i ? V1 " " V2 " " V3 : R1 " " R2 " " R3);
        assert_false(world.trace_result->flows[0].hops[2].is_target);
        world_close(&world);
    }
}

static void ends_are_told_apart(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world world;
        bool is_ip6 = i % 2 == 1;
        open_world(&world, CHAIN "firewall r3 deny any to 198.18.10.0/24 with prohibited\n"
                                 "firewall r3 deny any to 2001:db8:a::/64 with prohibited\n", protocols[i / 2]);
        (void)world_trace(&world, targets[is_ip6]);
        assert_all(world.trace_result, PROBE_TRACE_PROHIBITED, is_ip6 ? V1 " " V2 " " V3 : R1 " " R2 " " R3);
        world_close(&world);
        open_world(&world, CHAIN "node app silent\n", protocols[i / 2]);
        (void)world_trace(&world, targets[is_ip6]);
        assert_all(world.trace_result, PROBE_TRACE_SILENT, is_ip6 ? V1 " " V2 " " V3 : R1 " " R2 " " R3);
        world_close(&world);
        open_world(&world, CHAIN "node r2 no-ttl-exceeded\n", protocols[i / 2]);
        (void)world_trace(&world, targets[is_ip6]);
        assert_all(world.trace_result, PROBE_TRACE_REACHED, is_ip6 ? V1 " * " V3 " " APP6 : R1 " * " R3 " " APP);
        world_close(&world);
    }
}

#define DIAMOND                                                                                                       \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nhost app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open\n" \
    "router r1\nrouter a\nrouter b\nrouter c\nrouter d\nrouter r2\n"                                                  \
    "link ams r1\nlink r1 a\nlink r1 b\nlink r1 c\nlink r1 d\nlink a r2\nlink b r2\nlink c r2\nlink d r2\nlink r2 app\n"

static void flows_keep_to_one_path_and_find_all(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world world;
        char first[10][200];
        unsigned distinct = 0;
        open_world(&world, DIAMOND, protocols[i / 2]);
        world.trace.flows = 10;
        world.trace.flow_seed = UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned round = 0; round < 20; round++) {
            const struct probe_trace_result *result = world_trace(&world, targets[i % 2]);
            for (uint32_t f = 0; f < 10; f++) {
                const char *path = world_path(&result->flows[f]);
                assert_int_equal(result->flows[f].end, PROBE_TRACE_REACHED);
                if (round > 0) { /* the same seed walks the same ways */
                    assert_string_equal(path, first[f]);
                    continue;
                }
                (void)snprintf(first[f], sizeof first[f], "%s", path);
                unsigned k = 0;
                while (k < f && strcmp(first[k], path) != 0)
                    k++;
                distinct += k == f;
            }
        }
        assert_in_range(distinct, 2, 4);
        world_close(&world);
    }
}

/* Within a session; a target that does not do what it takes is probed with SYNs. */
static void in_session_traces_are_exact(void **state)
{
    (void)state;
    static const char *const hosts[] = {"", "node app sack not-permitted\n", "node app timestamps off\n",
                                        "node app compressed-acks warm\n", "node app think 7ms\n"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0] * 2; i++) {
        struct world world;
        char text[2000];
        bool is_ip6 = i % 2 == 1, has_session = i / 2 != 1;
        (void)snprintf(text, sizeof text, "%s%s", CHAIN, hosts[i / 2]);
        open_world(&world, text, PROBE_TCP);
        world.trace.is_in_session = true;
        const struct probe_trace_result *result = world_trace(&world, targets[is_ip6]);
        assert_all(result, PROBE_TRACE_REACHED, is_ip6 ? V1 " " V2 " " V3 " " APP6 : R1 " " R2 " " R3 " " APP);
        for (uint32_t f = 0; f < 3; f++) {
            static const int64_t rtts_ms[] = {2, 6, 12, 20};
            assert_int_equal(result->flows[f].is_in_session, has_session);
            assert_int_equal(result->flows[f].mss, is_ip6 ? 1440 : 1460);
            for (uint32_t h = 0; h < 4; h++) {
                const struct probe_trace_hop *hop = &result->flows[f].hops[h];
                assert_int_equal(hop->sent, 1);
                assert_int_equal(hop->rtt_ns, (rtts_ms[h] + (h == 3 && i / 2 == 4 ? 7 : 0)) * CLOCK_MS);
                assert_int_equal(hop->is_target, h == 3);
            }
        }
        sim_run(world.sim, 10 * CLOCK_S, NULL); /* nothing is left to come */
        world_close(&world);
    }
}

/* A trace with SYNs goes on in a session, and says so. */
static void in_session_traces_pass_where_syns_do_not(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world world;
        bool is_in_session = i / 2 == 1;
        open_world(&world, CHAIN "node r1 drop-syn-change\n", PROBE_TCP);
        world.trace.is_in_session = is_in_session;
        const struct probe_trace_result *result = world_trace(&world, targets[i % 2]);
        for (uint32_t f = 0; f < result->flow_count; f++)
            assert_true(result->flows[f].is_in_session);
        assert_all(result, PROBE_TRACE_REACHED, i % 2 ? V1 " " V2 " " V3 " " APP6 : R1 " " R2 " " R3 " " APP);
        assert_true(result->end_ns - result->start_ns < (is_in_session ? 1 : 5) * CLOCK_S);
        world_close(&world);
    }
}

/* Whatever a NAT leaves in what routers quote, the probe is found again, and the NAT is named. */
static void translation_is_named_where_it_is(void **state)
{
    (void)state;
    static const struct { const char *options; bool is_seen; } nats[] = {
        {"", false},
        {" quoted-checksum kept", true},
        {" quotes address quoted-checksum kept", true},
        {" quotes address", true},
    };
    static const enum probe_protocol all[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    for (size_t i = 0; i < sizeof nats / sizeof nats[0] * 3; i++) {
        struct world world;
        char text[2000];
        (void)snprintf(text, sizeof text, "%snat r2 inside 198.18.1.0/24 as 203.0.113.77%s\n", CHAIN, nats[i / 3].options);
        open_world(&world, text, all[i % 3]);
        const struct probe_trace_result *result = world_trace(&world, APP);
        assert_all(result, PROBE_TRACE_REACHED, R1 " " R2 " " R3 " " APP);
        for (uint32_t f = 0; f < 3; f++) {
            const struct probe_trace_hop *hops = result->flows[f].hops;
            assert_int_equal(hops[0].rewritten | hops[1].rewritten, 0); /* r2 translates when it passes packets on */
            assert_int_equal(hops[2].rewritten != 0, nats[i / 3].is_seen);
            assert_int_equal(hops[2].rewritten & (MATCH_DST | MATCH_DPORT | MATCH_SEQ | MATCH_SRC), 0);
        }
        world_close(&world);
    }
}

/* A target whose SYN+ACK was lost sends another a second later, which is no path of a second. */
static void second_tries_of_the_target_are_no_delay(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, CHAIN "after 0s { link r3 app loss 40% from app }\n", PROBE_TCP);
    unsigned told = 0;
    for (int i = 0; i < 60; i++) {
        const struct probe_trace_result *result = world_trace(&world, targets[i % 2]);
        for (uint32_t f = 0; f < 3; f++) {
            const struct probe_trace_flow *flow = &result->flows[f];
            if (flow->end != PROBE_TRACE_REACHED || flow->hop_count != 4)
                continue; /* all of its answers were lost */
            told++;
            assert_int_equal(flow->hops[3].rtt_ns, 20 * CLOCK_MS);
        }
    }
    assert_in_range(told, 100, 180);
    world_close(&world);
}

/* Many traces to one target at once: no answer is taken for another's. */
static void concurrent_traces_do_not_mix(void **state)
{
    (void)state;
    static const char *const text =
        "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\n"
        "router a address 198.51.100.3\nrouter b address 198.51.100.4\nrouter r2 address 198.51.100.2\nhost app address 198.18.10.10 tcp 443 open\nlink ams r1 delay 1ms\nlink r1 a delay 2ms\nlink r1 b delay 30ms\n"
        "link a r2 delay 1ms\nlink b r2 delay 1ms\nlink r2 app delay 1ms\n";
    enum { COUNT = 1000 };
    for (int i = 0; i < 3; i++) {
        struct world world;
        struct probe_trace *trace;
        static const struct probe_trace_result *results[COUNT];
        open_world(&world, text, i == 2 ? PROBE_ICMP : protocols[i]);
        assert_int_equal(sock_parse_ip(APP, &world.trace.dst), 0);
        sock_set_port(&world.trace.dst, world.port);
        world.trace.flows = 1;
        for (unsigned n = 0; n < COUNT; n++) {
            assert_int_equal(probe_trace_start(world.engines[0], &world.trace, &world.arena, NULL, world_keep_trace,
                                               &results[n], &trace, NULL), 0);
        }
        sim_run(world.sim, 20 * CLOCK_S, NULL);
        for (unsigned n = 0; n < COUNT; n++) {
            const struct probe_trace_flow *flow = &results[n]->flows[0];
            assert_int_equal(flow->end, PROBE_TRACE_REACHED);
            assert_int_equal(flow->hop_count, 4);
            assert_true(world_is_true_path(&world, flow, APP));
            /* The way and the delay agree: a is 3 ms away, b 31 ms; from r2 on the way back is one of both. */
            bool is_far = strstr(world_path(flow), " 198.51.100.4 ") != NULL;
            int64_t forth = is_far ? 32 : 4;
            assert_true(flow->hops[1].rtt_ns == (is_far ? 62 : 6) * CLOCK_MS);
            assert_true(flow->hops[2].rtt_ns == (forth + 4) * CLOCK_MS || flow->hops[2].rtt_ns == (forth + 32) * CLOCK_MS);
        }
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(straight_paths_are_exact),
        cmocka_unit_test(resets_are_told_apart),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(flows_keep_to_one_path_and_find_all),
        cmocka_unit_test(in_session_traces_are_exact),
        cmocka_unit_test(in_session_traces_pass_where_syns_do_not),
        cmocka_unit_test(translation_is_named_where_it_is),
        cmocka_unit_test(second_tries_of_the_target_are_no_delay),
        cmocka_unit_test(concurrent_traces_do_not_mix),
    };
    return cmocka_run_group_tests_name("simulated TCP and UDP traces", tests, NULL, NULL);
}
