#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/show.h"
#include "measure/part.h"

struct result {
    struct measure_network network;
    struct measure_path_vis path_vis;
};

static const struct measure_part parts[] = {
    {.name = "network", .table = &measure_network_table, .offset = offsetof(struct result, network)},
    {.name = "pathVis", .table = &measure_path_vis_table, .offset = offsetof(struct result, path_vis)},
};
static const struct measure_type type = {.name = "x", .parts = parts, .part_count = 2};

static void expect(const struct result *result, const char *expected)
{
    struct buf buf;
    buf_init(&buf, 65536);
    show_result(&type, result, &buf);
    assert_string_equal(buf_str(&buf), expected);
    buf_done(&buf);
}

static struct measure_hop hop_at(int32_t hop, const char *address, double rtt_us, const char *mpls)
{
    struct measure_hop out;
    field_defaults(&measure_hop_table, &out);
    out.hop = hop;
    out.ip_address = address;
    out.mpls = mpls;
    out.oculi.response_time_us = rtt_us;
    out.oculi.sent = out.oculi.received = 1;
    out.oculi.icmp = "11-0";
    return out;
}

static void a_result_with_paths(void **state)
{
    (void)state;
    struct result result;
    struct measure_hop first[] = {hop_at(1, "10.0.0.1", 500, NULL), hop_at(2, "10.0.1.1", 1500, "L=16,E=0,S=1,T=1"),
                                  hop_at(4, "192.0.2.9", 4000, NULL)};
    struct measure_hop second[] = {hop_at(1, "10.0.0.1", 700, NULL), hop_at(2, "10.0.2.1", 1750, NULL)};
    struct measure_silent_hop silent[] = {{.hop = 3, .sent = 3}};
    struct measure_route routes[2];
    for (int i = 0; i < 2; i++) {
        field_defaults(&measure_route_table, &routes[i]);
        routes[i].oculi.flow = i + 1;
        routes[i].path_id = (uint64_t)i + 100;
    }
    second[1].oculi.icmp = "3-13";
    routes[0].hops = (struct field_list){first, 3};
    routes[0].oculi.silent_hops = (struct field_list){silent, 1};
    routes[0].ip_address = "192.0.2.9";
    routes[0].number_of_hops = 4;
    routes[0].oculi.end = MEASURE_END_REACHED;
    routes[1].hops = (struct field_list){second, 2};
    routes[1].ip_address = "10.0.2.1";
    routes[1].number_of_hops = 2;
    routes[1].oculi.end = MEASURE_END_PROHIBITED;
    field_defaults(&measure_network_table, &result.network);
    field_defaults(&measure_path_vis_table, &result.path_vis);
    result.network.server = "app.example.net";
    result.network.server_ip = "192.0.2.9";
    result.network.loss = 2;
    result.network.min_latency = 3.9;
    result.network.avg_latency = 4.0625;
    result.network.max_latency = 4.5;
    result.network.jitter = 0.125;
    result.network.oculi.sent = 50;
    result.network.oculi.received = 49;
    result.network.oculi.duplicates = 1;
    result.path_vis.path_traces = (struct field_list){routes, 2};
    expect(&result,
           "app.example.net (192.0.2.9)\n"
           "\n"
           "          sent received    loss    min ms    avg ms    max ms jitter ms\n"
           "stream      50       49    2.0%     3.900     4.062     4.500     0.125\n"
           "         1 duplicates, 0 out of order\n"
           "\n"
           "hop  address          traces   sent received    loss    avg ms\n"
           "  1  10.0.0.1         1,2         2        2    0.0%     0.600\n"
           "  2  10.0.1.1         1           1        1    0.0%     1.500  MPLS L=16,E=0,S=1,T=1\n"
           "     10.0.2.1         2           1        1    0.0%     1.750\n"
           "  3  (silent)         1           3        0  100.0%         -\n"
           "  4  192.0.2.9        1           1        1    0.0%     4.000  target\n"
           "\n"
           "reached the target in 4 hops (trace 1)\n"
           "prohibited, says hop 2, 10.0.2.1 (ICMP 3-13) (trace 2)\n");
}

static void what_is_known_of_addresses(void **state)
{
    (void)state;
    struct measure_hop hops[] = {hop_at(1, "10.0.0.1", 500, NULL), hop_at(2, "20.0.0.1", 1500, NULL),
                                 hop_at(3, "20.0.0.2", 2500, "L=16,E=0,S=1,T=1")};
    struct measure_route route;
    field_defaults(&measure_route_table, &route);
    hops[0].rdns = "gateway";
    hops[1].network = "Example (AS 64500)";
    hops[1].location = "Delft, Netherlands";
    hops[2].location = "Paris";
    route.hops = (struct field_list){hops, 3};
    route.ip_address = "20.0.0.2";
    route.oculi.flow = 1;
    const struct measure_path_vis paths = {.path_traces = {&route, 1}};
    struct buf buf;
    buf_init(&buf, 65536);
    show_paths(&paths, false, &buf);
    assert_non_null(strstr(buf_str(&buf), "  1  gateway (10.0.0.1)"));
    assert_non_null(strstr(buf_str(&buf), "1.500  Example (AS 64500), Delft, Netherlands\n"));
    assert_non_null(strstr(buf_str(&buf), "2.500  MPLS L=16,E=0,S=1,T=1  Paris\n"));
    buf_done(&buf);
}

static void a_result_with_nothing(void **state)
{
    (void)state;
    struct result result;
    field_defaults(&measure_network_table, &result.network);
    field_defaults(&measure_path_vis_table, &result.path_vis);
    result.network.server = "192.0.2.9";
    result.network.server_ip = "192.0.2.9";
    result.network.error_details = "Network is unreachable";
    expect(&result, "192.0.2.9\n"
                    "\n"
                    "          sent received    loss    min ms    avg ms    max ms jitter ms\n"
                    "stream       0        0       -         -         -         -         -\n"
                    "         Network is unreachable\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_result_with_paths),
                                       cmocka_unit_test(what_is_known_of_addresses),
                                       cmocka_unit_test(a_result_with_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
