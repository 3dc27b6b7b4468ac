/* TCP SYN streams and TCP traces against hosts of every kind and through middleboxes, compared with the truth. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "world.h"

#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\n"                                                               \
    "host app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open tcp 81 silent tcp 82 rejected\n"                    \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms jitter 1ms\nlink r3 app delay 4ms\n"
#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"

static void open_world(struct world *world, const char *scenario, uint16_t port)
{
    world_open(world, scenario, NULL);
    world->ping.protocol = world->trace.protocol = PROBE_TCP;
    world->port = port;
}

/* One SYN stream of 50 that must be told as it was. */
static struct lab_truth_sum stream(struct world *world, const char *to)
{
    (void)world_ping(world, to);
    world_assert_ping_is_true(world, to);
    return world_truth_of(world, to, LAB_KIND_TCP_SYN, 0);
}

static void every_port_answers_as_it_does(void **state)
{
    (void)state;
    static const struct {
        uint16_t port;
        uint32_t received, resets, errors;
    } cases[] = {{443, 50, 0, 0}, {80, 50, 50, 0}, {81, 0, 0, 0}, {82, 0, 0, 50}};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct world world;
        open_world(&world, CHAIN, cases[i / 2].port);
        (void)stream(&world, i % 2 ? APP6 : APP);
        assert_int_equal(world.ping_result->received, cases[i / 2].received);
        assert_int_equal(world.ping_result->resets, cases[i / 2].resets);
        assert_int_equal(world.ping_result->errors, cases[i / 2].errors);
        world_close(&world);
    }
}

/* Every handshake is ended at once: nothing is sent again, and no place of a small backlog stays taken. */
static void handshakes_are_ended(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, CHAIN "node app backlog 4\n", 443);
    struct lab_truth_sum truth = stream(&world, APP);
    assert_int_equal(truth.received, 50);
    assert_int_equal(world_truth_of(&world, APP, LAB_KIND_TCP, 0).sent, 50); /* the resets */
    sim_run(world.sim, 60 * CLOCK_S, NULL);
    assert_int_equal(world_truth_of(&world, APP, LAB_KIND_TCP_SYN, 0).again, 0);
    world_close(&world);
}

static void loss_is_the_truth(void **state)
{
    (void)state;
    static const char *const how[] = {"loss 20% from r1", "loss 20% to r1", "loss 10%", "loss 100% from r1",
                                      "duplicate 20% from r1", "reorder 20% by 30ms from r1"};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        struct world world;
        char text[1200];
        (void)snprintf(text, sizeof text,
                       "vantage ams address 198.18.1.2/24\nrouter r1\nrouter r2\nhost app address 198.18.10.10 tcp 443 "
                       "open\nlink ams r1 delay 1ms\nlink r1 r2 delay 9ms %s\nlink r2 app\n",
                       how[i]);
        open_world(&world, text, 443);
        (void)stream(&world, APP);
        world_close(&world);
    }
}

/* What a middlebox does to SYNs does no harm to the stream, and where it does, it is the truth. */
static void streams_pass_middleboxes(void **state)
{
    (void)state;
    static const char *const boxes[] = {"nat r1 inside 198.18.1.0/24 as 203.0.113.50\n",
                                        "nat r1 inside 198.18.1.0/24 as 203.0.113.50 ports kept\n",
                                        "node r2 sequence-randomize no-sack\n",
                                        "node r2 drop-syn-change\n",
                                        "node r2 strip sack-permitted mss-clamp 1300 ip-id random ecn 3 dscp 7\n",
                                        "syn-proxy r2 delay 5ms\n"};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        struct world world;
        char text[1200];
        (void)snprintf(text, sizeof text, CHAIN "%s", boxes[i]);
        open_world(&world, text, 443);
        assert_int_equal(stream(&world, APP).received, 50);
        world_close(&world);
    }
}

/* Whatever a NAT leaves of a quoted packet: the trace finds its own, or shows nobody where it cannot know. */
static void traces_pass_a_nat(void **state)
{
    (void)state;
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    static const char *const quotes[] = {"", "quotes full quoted-checksum kept", "quotes address", "quotes none"};
    static const char *const hops[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3", APP};
    for (size_t i = 0; i < 12; i++) {
        struct world world;
        char text[1200], one[SOCK_TEXT_BYTES];
        enum probe_protocol protocol = protocols[i / 4];
        bool is_exact = protocol == PROBE_TCP || i % 4 < 2;
        (void)snprintf(text, sizeof text, CHAIN "nat r1 inside 198.18.1.0/24 as 203.0.113.50 %s\n", quotes[i % 4]);
        open_world(&world, text, protocol == PROBE_TCP ? 443 : 0);
        world.trace.protocol = protocol;
        (void)world_trace(&world, APP);
        for (uint32_t f = 0; f < world.trace_result->flow_count; f++) {
            const struct probe_trace_flow *flow = &world.trace_result->flows[f];
            if (is_exact)
                assert_int_equal(flow->hop_count, 4);
            for (uint32_t h = 0; h < flow->hop_count; h++)
                if (is_exact || sock_is_set(&flow->hops[h].addr))
                    assert_string_equal(sock_ip_text(&flow->hops[h].addr, one, sizeof one), hops[h]);
        }
        world_close(&world);
    }
}

static void traces_pass_middleboxes(void **state)
{
    (void)state;
    static const char *const boxes[] = {"node r2 sequence-randomize on\n",
                                        "node r2 sequence-randomize on quotes-restored\n", "node r1 ip-id zero\n",
                                        "node r1 ip-id count\n"};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        struct world world;
        char text[1200];
        (void)snprintf(text, sizeof text, CHAIN "%s", boxes[i]);
        open_world(&world, text, 443);
        (void)world_trace(&world, APP);
        for (uint32_t f = 0; f < world.trace_result->flow_count; f++)
            assert_string_equal(world_path(&world.trace_result->flows[f]),
                                "198.51.100.1 198.51.100.2 198.51.100.3 198.18.10.10");
        world_close(&world);
    }
}

/* Where each flow really went, in a net of 48 interfaces. */
static void flows_are_told_as_they_went(void **state)
{
    (void)state;
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    static char text[20000];
    size_t used = (size_t)snprintf(text, sizeof text, "vantage ams address 198.18.1.2/24\nrouter a\nrouter z\nhost app "
                                                      "address 198.18.10.10 tcp 443 open\n");
    for (unsigned h = 1; h <= 4; h++)
        for (unsigned w = 1; w <= 4; w++)
            used += (size_t)snprintf(text + used, sizeof text - used, "router h%u-%u\n", h, w);
    used += (size_t)snprintf(text + used, sizeof text - used, "link ams a delay 1ms\nlink z app\n");
    for (unsigned v = 1; v <= 4; v++)
        used += (size_t)snprintf(text + used, sizeof text - used, "link a h1-%u delay 1ms\nlink h4-%u z delay 1ms\n", v, v);
    for (unsigned h = 1; h < 4; h++)
        for (unsigned v = 1; v <= 16; v++)
            used += (size_t)snprintf(text + used, sizeof text - used, "link h%u-%u h%u-%u delay 1ms\n", h, (v - 1) / 4 + 1,
                                     h + 1, (v - 1) % 4 + 1);
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        open_world(&world, text, protocols[i] == PROBE_TCP ? 443 : 0);
        world.trace.protocol = protocols[i];
        world.trace.flows = 10;
        (void)world_trace(&world, APP);
        const struct lab_fan *fan = world_fan(&world, APP, protocols[i], world.port);
        assert_int_equal(fan->face_count, 1 + 16 + 1 + 1);
        for (uint32_t f = 0; f < 10; f++) {
            const struct probe_trace_flow *flow = &world.trace_result->flows[f];
            assert_true(world_is_true_path(&world, flow, APP));
            for (uint32_t h = 0; h < flow->hop_count; h++) {
                char one[SOCK_TEXT_BYTES];
                assert_true(world_has_interface(fan, h + 1, &flow->hops[h].addr));
                if (protocols[i] == PROBE_ICMP)
                    continue;
                uint16_t port = protocols[i] == PROBE_TCP ? 443 : PROBE_TRACE_UDP_PORT;
                const char *really = world_flow_address(&world, APP, protocols[i], flow->id, port, h + 1);
                assert_non_null(really);
                assert_string_equal(sock_ip_text(&flow->hops[h].addr, one, sizeof one), really);
            }
        }
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(every_port_answers_as_it_does), cmocka_unit_test(handshakes_are_ended),
        cmocka_unit_test(loss_is_the_truth),             cmocka_unit_test(streams_pass_middleboxes),
        cmocka_unit_test(traces_pass_a_nat),             cmocka_unit_test(traces_pass_middleboxes),
        cmocka_unit_test(flows_are_told_as_they_went),
    };
    return cmocka_run_group_tests_name("simulated TCP SYN streams", checks, NULL, NULL);
}
