/* The path trace against the truth of the simulated internet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define R1 "198.51.100.1"
#define R2 "198.51.100.2"
#define R3 "198.51.100.3"
#define V1 "2001:db8:f::1"
#define V2 "2001:db8:f::2"
#define V3 "2001:db8:f::3"
#define ROUTERS                                                                                                       \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"
#define CHAIN ROUTERS "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\n"

static const char *const targets[] = {APP, APP6};

static void assert_all(const struct probe_trace_result *result, enum probe_trace_end end, const char *path)
{
    for (uint32_t i = 0; i < result->flow_count; i++) {
        assert_string_equal(world_path(&result->flows[i]), path);
        assert_int_equal(result->flows[i].end, end);
    }
}

/* The packets the trace says it sent with each TTL are those the network saw. */
static void assert_counts_are_true(struct world *world, const char *to, uint32_t flow_count)
{
    for (uint32_t ttl = 1; ttl <= 4; ttl++) {
        struct lab_truth_sum truth = world_truth(world, to, ttl);
        uint64_t sent = 0, received = 0;
        for (uint32_t i = 0; i < flow_count; i++) {
            const struct probe_trace_flow *flow = &world->trace_result->flows[i];
            if (ttl <= flow->hop_count) {
                sent += flow->hops[ttl - 1].sent;
                received += flow->hops[ttl - 1].received;
            }
        }
        assert_int_equal(sent, truth.sent);
        assert_int_equal(received, truth.received + truth.errors);
    }
}

static void straight_path_is_exact(void **state)
{
    (void)state;
    static const char *const paths[] = {R1 " " R2 " " R3 " " APP, V1 " " V2 " " V3 " " APP6};
    static const int64_t rtts_ms[] = {2, 6, 12, 20};
    struct world world;
    world_open(&world, CHAIN, NULL);
    for (int i = 0; i < 2; i++) {
        const struct probe_trace_result *result = world_trace(&world, targets[i]);
        assert_all(result, PROBE_TRACE_REACHED, paths[i]);
        for (uint32_t f = 0; f < 3; f++) {
            for (uint32_t h = 0; h < 4; h++) {
                const struct probe_trace_hop *hop = &result->flows[f].hops[h];
                assert_int_equal(hop->rtt_ns, rtts_ms[h] * CLOCK_MS);
                assert_int_equal(hop->icmp_type, h == 3 ? (i ? 129 : 0) : (i ? 3 : 11));
                assert_int_equal(hop->icmp_code, 0);
                assert_int_equal(hop->has_quote, h < 3);
                assert_int_equal(hop->quoted_ttl, h < 3);
                assert_int_equal(hop->is_target, h == 3);
            }
        }
        assert_counts_are_true(&world, targets[i], 3);
    }
    world_close(&world);
}

static void silent_hops_keep_their_place(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "node r2 no-ttl-exceeded\n", NULL);
    assert_all(world_trace(&world, APP), PROBE_TRACE_REACHED, R1 " * " R3 " " APP);
    assert_int_equal(world.trace_result->flows[0].hops[1].sent, 3);
    assert_counts_are_true(&world, APP, 3);
    assert_all(world_trace(&world, APP6), PROBE_TRACE_REACHED, V1 " * " V3 " " APP6);
    world_close(&world);
}

static void silent_target_ends_at_the_last_router(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "node app silent\n", NULL);
    assert_all(world_trace(&world, APP), PROBE_TRACE_SILENT, R1 " " R2 " " R3);
    assert_all(world_trace(&world, APP6), PROBE_TRACE_SILENT, V1 " " V2 " " V3);
    world_close(&world);
    world_open(&world, CHAIN "firewall r2 deny any to 198.18.10.0/24\n", NULL);
    (void)world_trace(&world, APP); /* dropped without a word: nobody behind r2 answers */
    assert_int_equal(world.trace_result->flows[0].end, PROBE_TRACE_SILENT);
    assert_true(world.trace_result->flows[0].hop_count <= 2);
    world_close(&world);
}

static void refusals_are_found_behind_silent_hops(void **state)
{
    (void)state;
    struct world world;
    char scenario[2000] = "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"
                          "host app address 198.18.10.10 v6 2001:db8:a::10 down\nrouter r0\nlink ams r0\n";
    for (int i = 1; i <= 10; i++) {
        size_t used = strlen(scenario);
        snprintf(scenario + used, sizeof scenario - used, "router r%d%s\nlink r%d r%d delay 1ms\n", i,
                 i < 10 ? " no-ttl-exceeded" : "", i - 1, i);
    }
    world_open(&world, strcat(scenario, "link r10 app\n"), NULL);
    for (int i = 0; i < 2; i++) {
        const struct probe_trace_result *result = world_trace(&world, targets[i]);
        for (uint32_t f = 0; f < 3; f++) {
            assert_int_equal(result->flows[f].end, PROBE_TRACE_UNREACHABLE);
            assert_int_equal(result->flows[f].hop_count, 11);
        }
    }
    world_close(&world);
}

static void terminal_nodes_are_told_apart(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               CHAIN "network 198.18.20.0/24 behind r2\nnetwork 198.18.21.0/24 behind r2 net-unreachable\n"
                     "network 198.18.22.0/24 behind r2 drop\nnetwork 2001:db8:20::/64 behind r2\n"
                     "host off address 198.18.30.1 v6 2001:db8:30::1 down\nlink r3 off\n",
               NULL);
    assert_all(world_trace(&world, "198.18.20.9"), PROBE_TRACE_UNREACHABLE, R1 " " R2);
    assert_int_equal(world.trace_result->flows[0].end_type, 3);
    assert_int_equal(world.trace_result->flows[0].end_code, 1);
    assert_all(world_trace(&world, "198.18.21.9"), PROBE_TRACE_UNREACHABLE, R1 " " R2);
    assert_int_equal(world.trace_result->flows[0].end_code, 0);
    assert_all(world_trace(&world, "2001:db8:20::9"), PROBE_TRACE_UNREACHABLE, V1 " " V2);
    assert_int_equal(world.trace_result->flows[0].end_type, 1);
    assert_int_equal(world_trace(&world, "198.18.22.9")->flows[0].end, PROBE_TRACE_SILENT);
    assert_all(world_trace(&world, "198.18.30.1"), PROBE_TRACE_UNREACHABLE, R1 " " R2 " " R3);
    assert_all(world_trace(&world, "2001:db8:30::1"), PROBE_TRACE_UNREACHABLE, V1 " " V2 " " V3);
    world_close(&world);
}

static void prohibition_names_the_firewall(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "firewall r3 deny echo with prohibited\n", NULL);
    (void)world_trace(&world, APP);
    for (uint32_t i = 0; i < 3; i++) {
        const struct probe_trace_flow *flow = &world.trace_result->flows[i];
        assert_int_equal(flow->end, PROBE_TRACE_PROHIBITED);
        assert_string_equal(world_path(flow), R1 " " R2 " " R3);
        assert_int_equal(flow->end_type, 3);
    }
    (void)world_trace(&world, APP6);
    assert_int_equal(world.trace_result->flows[0].end, PROBE_TRACE_PROHIBITED);
    assert_string_equal(world_path(&world.trace_result->flows[0]), V1 " " V2 " " V3);
    assert_int_equal(world.trace_result->flows[0].end_code, 1);
    world_close(&world);
}

static void loops_are_loops(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               CHAIN "route r2 198.18.10.0/24 via r1\nroute r1 198.18.10.0/24 via r2\n"
                     "route r2 2001:db8:a::/64 via r1\nroute r1 2001:db8:a::/64 via r2\n",
               NULL);
    assert_all(world_trace(&world, APP), PROBE_TRACE_LOOP, R1 " " R2 " " R1);
    assert_all(world_trace(&world, APP6), PROBE_TRACE_LOOP, V1 " " V2 " " V1);
    world_close(&world);
}

#define DIAMOND                                                                                                       \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"        \
    "router a\nrouter b1\nrouter b2\nrouter b3\nrouter b4\nrouter c\nrouter d1\nrouter d2\nrouter d3\nrouter e\n"      \
    "link ams a delay 1ms\nlink a b1 delay 1ms\nlink a b2 delay 2ms\nlink a b3 delay 3ms\nlink a b4 delay 4ms\n"       \
    "link b1 c delay 1ms\nlink b2 c delay 1ms\nlink b3 c delay 1ms\nlink b4 c delay 1ms\n"                             \
    "link c d1 delay 1ms\nlink c d2 delay 1ms\nlink c d3 delay 1ms\nlink d1 e\nlink d2 e\nlink d3 e\nlink e app\n"

static void every_path_of_a_diamond_is_true(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        char seen[200][64];
        unsigned distinct = 0;
        world_open(&world, DIAMOND, NULL);
        world.trace.flows = 10;
        for (unsigned round = 0; round < 20; round++) {
            const struct probe_trace_result *result = world_trace(&world, targets[i]);
            for (uint32_t f = 0; f < 10; f++) {
                assert_int_equal(result->flows[f].end, PROBE_TRACE_REACHED);
                assert_int_equal(result->flows[f].hop_count, 6);
                assert_true(world_is_true_path(&world, &result->flows[f], targets[i]));
                char key[64];
                char one[SOCK_TEXT_BYTES], two[SOCK_TEXT_BYTES];
                (void)snprintf(key, sizeof key, "%.30s %.30s",
                               sock_ip_text(&result->flows[f].hops[1].addr, one, sizeof one),
                               sock_ip_text(&result->flows[f].hops[3].addr, two, sizeof two));
                unsigned k = 0;
                while (k < distinct && strcmp(seen[k], key) != 0)
                    k++;
                if (k == distinct)
                    memcpy(seen[distinct++], key, sizeof key);
            }
        }
        assert_int_equal(distinct, 12); /* 4 x 3 ways, all found by 200 flows */
        world_close(&world);
    }
}

/* With a seed the same flows walk again, so that a path which differs is a route that changed; flows stay apart. */
static void seeded_flows_take_their_paths_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        char first[10][200];
        unsigned distinct = 0;
        world_open(&world, DIAMOND, NULL);
        world.trace.flows = 10;
        world.trace.flow_seed = UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned round = 0; round < 100; round++) {
            const struct probe_trace_result *result = world_trace(&world, targets[i]);
            for (uint32_t f = 0; f < 10; f++) {
                const char *path = world_path(&result->flows[f]);
                if (round > 0) {
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
        assert_true(distinct >= 4); /* of 12 ways by 10 flows: fewer would mean that the flows do not differ */
        world_close(&world);
    }
}

static void rate_limit_is_no_fault(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "node r2 ratelimit 1/s burst 1\n", NULL);
    (void)world_trace(&world, APP);
    unsigned answered = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const struct probe_trace_flow *flow = &world.trace_result->flows[i];
        assert_int_equal(flow->end, PROBE_TRACE_REACHED);
        assert_int_equal(flow->hop_count, 4);
        answered += flow->hops[1].received;
    }
    assert_in_range(answered, 2, 3); /* one a second, and we asked for three */
    assert_counts_are_true(&world, APP, 3);
    world_close(&world);
}

#define LONG                                                                                                          \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"        \
    "router a\nrouter pe1\nrouter p1\nrouter p2\nrouter p3\nrouter pe2\nrouter z\n"                                   \
    "link ams a delay 1ms\nlink a pe1 delay 1ms\nlink pe1 p1 delay 1ms\nlink p1 p2 delay 1ms\nlink p2 p3 delay 1ms\n" \
    "link p3 pe2 delay 1ms\nlink pe2 z delay 1ms\nlink z app delay 1ms\n"

static void labels_are_shown_where_they_are(void **state)
{
    (void)state;
    static const char *const variants[] = {LONG "mpls pe1 p1 p2 p3 pe2 explicit labels 1001 1002 1003 tc 5\n",
                                           LONG "mpls pe1 p1 p2 p3 pe2 explicit labels 1001 1002 1003 tc 5\n"
                                                "node p1 length-zero\nnode p2 length-zero\n"};
    for (size_t v = 0; v < 2; v++) {
        for (int i = 0; i < 2; i++) {
            struct world world;
            world_open(&world, variants[v], NULL);
            const struct probe_trace_flow *flow = &world_trace(&world, targets[i])->flows[0];
            assert_int_equal(flow->end, PROBE_TRACE_REACHED);
            assert_int_equal(flow->hop_count, 8);
            for (uint32_t h = 0; h < 8; h++) {
                const struct probe_trace_hop *hop = &flow->hops[h];
                assert_int_equal(hop->label_count, h >= 2 && h <= 4);
                if (hop->label_count == 0)
                    continue;
                assert_int_equal(hop->labels[0].label, 999 + h);
                assert_int_equal(hop->labels[0].exp, 5);
                assert_true(hop->labels[0].is_bottom);
            }
            world_close(&world);
        }
    }
}

static void implicit_tunnels_raise_the_quoted_ttl(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, LONG "mpls pe1 p1 p2 p3 pe2 implicit\n", NULL);
    const struct probe_trace_flow *flow = &world_trace(&world, APP)->flows[0];
    assert_int_equal(flow->hop_count, 8);
    assert_int_equal(flow->hops[1].quoted_ttl, 1);
    assert_true(flow->hops[3].quoted_ttl > flow->hops[2].quoted_ttl || flow->hops[2].quoted_ttl > 1);
    world_close(&world);
}

static void hidden_tunnels_do_not_confuse(void **state)
{
    (void)state;
    static const char *const kinds[] = {"invisible", "opaque"};
    for (size_t k = 0; k < 2; k++) {
        struct world world;
        char scenario[2000];
        (void)snprintf(scenario, sizeof scenario, "%smpls pe1 p1 p2 p3 pe2 %s\n", LONG, kinds[k]);
        world_open(&world, scenario, NULL);
        for (uint32_t f = 0; f < world_trace(&world, APP)->flow_count; f++) {
            assert_int_equal(world.trace_result->flows[f].end, PROBE_TRACE_REACHED);
            assert_true(world_is_true_path(&world, &world.trace_result->flows[f], APP));
        }
        world_close(&world);
    }
}

static void loss_on_the_way_is_made_up_for(void **state)
{
    (void)state;
    struct world world;
    unsigned reached = 0, silent = 0, hops = 0;
    world_open(&world, ROUTERS "link ams r1 delay 1ms loss 10%\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\n"
                               "link r3 app delay 4ms\n",
               NULL);
    world.trace.flows = 10;
    for (unsigned round = 0; round < 30; round++) {
        (void)world_trace(&world, APP);
        for (uint32_t f = 0; f < 10; f++) {
            const struct probe_trace_flow *flow = &world.trace_result->flows[f];
            assert_true(flow->end == PROBE_TRACE_REACHED || flow->end == PROBE_TRACE_SILENT);
            reached += flow->end == PROBE_TRACE_REACHED && flow->hop_count == 4;
            for (uint32_t h = 0; h < flow->hop_count; h++) {
                silent += !sock_is_set(&flow->hops[h].addr);
                hops++;
            }
        }
    }
    assert_true(reached >= 295); /* 19 % of the probes get no answer, 0.7 % of three attempts */
    assert_true(silent * 50 < hops);
    world_close(&world);
}

static void dscp_changes_are_seen_in_quotes(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN "node r1 dscp 0\n", NULL);
    world.trace.dscp = 46;
    const struct probe_trace_flow *flow = &world_trace(&world, APP)->flows[0];
    assert_int_equal(flow->hops[0].quoted_dscp, 46);
    assert_int_equal(flow->hops[1].quoted_dscp, 0); /* the first router clears it */
    assert_int_equal(flow->hops[2].quoted_dscp, 0);
    world_close(&world);
}

static void source_must_be_ours(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, CHAIN, NULL);
    assert_int_equal(sock_parse_ip("198.18.1.77", &world.trace.src), 0);
    (void)world_trace(&world, APP);
    assert_non_null(strstr(world.trace_result->error_text, "the source address is none of this machine"));
    assert_int_equal(world.trace_result->sent, 0);
    assert_int_equal(sock_parse_ip("198.18.1.2", &world.trace.src), 0);
    assert_all(world_trace(&world, APP), PROBE_TRACE_REACHED, R1 " " R2 " " R3 " " APP);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(straight_path_is_exact),
        cmocka_unit_test(silent_hops_keep_their_place),
        cmocka_unit_test(silent_target_ends_at_the_last_router),
        cmocka_unit_test(refusals_are_found_behind_silent_hops),
        cmocka_unit_test(terminal_nodes_are_told_apart),
        cmocka_unit_test(prohibition_names_the_firewall),
        cmocka_unit_test(loops_are_loops),
        cmocka_unit_test(every_path_of_a_diamond_is_true),
        cmocka_unit_test(seeded_flows_take_their_paths_again),
        cmocka_unit_test(rate_limit_is_no_fault),
        cmocka_unit_test(labels_are_shown_where_they_are),
        cmocka_unit_test(implicit_tunnels_raise_the_quoted_ttl),
        cmocka_unit_test(hidden_tunnels_do_not_confuse),
        cmocka_unit_test(loss_on_the_way_is_made_up_for),
        cmocka_unit_test(dscp_changes_are_seen_in_quotes),
        cmocka_unit_test(source_must_be_ours),
    };
    return cmocka_run_group_tests_name("path trace in the simulated internet", tests, NULL, NULL);
}
