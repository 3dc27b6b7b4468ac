/* What ping and trace print: lines, tables, JSON and CSV from made-up figures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/csv.h"
#include "cli/icmp_word.h"
#include "cli/mtr_show.h"
#include "cli/paths_show.h"
#include "cli/ping_show.h"
#include "cli/show.h"
#include "cli/trace_show.h"
#include "wire/json.h"

extern const struct field_table ping_option_table, trace_option_table, mtr_option_table, paths_option_table;

static void tables_are_sound(void **state)
{
    (void)state;
    static const struct field_table *const tables[] = {&ping_option_table,  &trace_option_table, &probing_option_table,
                                                       &ping_record_table,  &trace_record_table, &trace_row_table,
                                                       &mtr_option_table,   &mtr_record_table,   &mtr_row_table,
                                                       &paths_option_table, &paths_record_table};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct error err;
        if (field_audit(tables[i], &err) != 0)
            fail_msg("%s: %s", err.where, err.text);
    }
}

static void a_tally(void **state)
{
    (void)state;
    struct tally tally = {0};
    assert_true(isnan(tally_mean_ns(&tally)) && isnan(tally_median_ns(&tally)) && isnan(tally_jitter_ns(&tally)));
    static const int64_t rtts[] = {5, 1, 9, 5};
    for (size_t i = 0; i < 4; i++)
        tally_add(&tally, rtts[i]);
    assert_true(tally_mean_ns(&tally) == 5 && tally_median_ns(&tally) == 5 && tally_jitter_ns(&tally) == 2);
    assert_int_equal(tally.min_ns, 1);
    assert_int_equal(tally.max_ns, 9);
    assert_int_equal(tally.last_ns, 5);
    for (uint32_t i = 0; i < TALLY_SAMPLES; i++)
        tally_add(&tally, 7);
    assert_true(tally_median_ns(&tally) == 7 && tally_jitter_ns(&tally) == 0); /* the first four are forgotten */
    assert_int_equal(tally.min_ns, 1);
    assert_int_equal(tally.count, TALLY_SAMPLES + 4);
    tally_done(&tally);
}

static void expect(struct buf *buf, const char *expected)
{
    assert_string_equal(buf_str(buf), expected);
    buf_reset(buf);
}

static void lines(void **state)
{
    (void)state;
    struct buf buf;
    union sock_addr from;
    assert_int_equal(sock_parse_ip("192.0.2.7", &from), 0);
    buf_init(&buf, 65536);
    ping_show_event("", &(struct stream_event){.kind = STREAM_ANSWER, .number = 1, .rtt_ns = 12345678, .ttl = 61},
                    &buf);
    expect(&buf, "seq=1 rtt=12.346 ms ttl=61\n");
    ping_show_event("h", &(struct stream_event){.kind = STREAM_ANSWER, .number = 2, .rtt_ns = 7000,
                                                .is_out_of_order = true}, &buf);
    expect(&buf, "h: seq=2 rtt=0.007 ms, out of order\n");
    ping_show_event("", &(struct stream_event){.kind = STREAM_SILENT, .number = 3}, &buf);
    expect(&buf, "seq=3 no answer\n");
    ping_show_event("", &(struct stream_event){.kind = STREAM_ERROR, .number = 4, .from = &from, .icmp_type = 3,
                                               .icmp_code = 1}, &buf);
    expect(&buf, "seq=4 host unreachable, says 192.0.2.7 (ICMP 3-1)\n");
    ping_show_event("", &(struct stream_event){.kind = STREAM_REFUSED, .number = 5, .text = "No route"}, &buf);
    expect(&buf, "seq=5 could not be sent: No route\n");
    buf_done(&buf);
}

static void icmp_words(void **state)
{
    (void)state;
    char text[80];
    assert_string_equal(icmp_word(AF_INET, 3, 13, text, sizeof text), "prohibited by a filter");
    assert_string_equal(icmp_word(AF_INET6, 1, 3, text, sizeof text), "address unreachable");
    assert_string_equal(icmp_word(AF_INET6, 3, 0, text, sizeof text), "hop limit exceeded");
    assert_string_equal(icmp_word(AF_INET, 77, 5, text, sizeof text), "ICMP 77-5");
}

static struct ping_record record_of(struct arena *arena, struct tally *tally)
{
    struct probing_host host = {.name = "app.example.net", .address = "192.0.2.9"};
    int64_t rtts_us[] = {4000, -1, STREAM_UNSENT, 5000};
    struct stream_figures figures = {.sent = 3, .received = 2, .duplicates = 1, .errors = 1, .error_type = 3,
                                     .error_code = 10, .rtts_us = rtts_us, .rtt_count = 4};
    struct ping_record record;
    assert_int_equal(sock_parse_ip("10.0.0.1", &figures.error_from), 0);
    tally_add(tally, 4 * CLOCK_MS);
    tally_add(tally, 5 * CLOCK_MS);
    figures.tally = *tally;
    ping_record_fill(&host, &figures, arena, &record);
    return record;
}

static void a_summary(void **state)
{
    (void)state;
    struct buf buf;
    struct arena arena;
    struct tally tally = {0};
    buf_init(&buf, 65536);
    arena_init(&arena, 65536);
    struct probing_host nobody = {.name = "nosuch.example", .error = "Could not resolve host: nosuch.example"};
    struct ping_record records[2] = {record_of(&arena, &tally)};
    ping_record_fill(&nobody, &(struct stream_figures){0}, &arena, &records[1]);
    ping_show_summary(records, 2, &buf);
    expect(&buf,
           "host                           sent received    loss    min ms    avg ms median ms    max ms jitter ms\n"
           "app.example.net (192.0.2.9)       3        2   33.3%     4.000     4.500     4.500     5.000     0.500\n"
           "  1 duplicate, 0 out of order\n"
           "  1 answered by an error: host prohibited, said 10.0.0.1 (ICMP 3-10)\n"
           "nosuch.example                    0        0       -         -         -         -         -         -\n"
           "  Could not resolve host: nosuch.example\n");
    csv_header(&ping_record_table, &buf);
    csv_row(&ping_record_table, &records[0], &buf);
    expect(&buf, "server,serverIp,protocol,port,sent,received,loss,minLatency,avgLatency,medianLatency,maxLatency,"
                 "jitter,duplicates,reordered,resets,icmpErrors,icmp,icmpFrom,agentOverload,probeMode,"
                 "probeModeReason,lostOnReturn,sackLoss,synLoss,sackInterference,errorDetails\n"
                 "app.example.net,192.0.2.9,icmp,,3,2,33.333333333333336,4,4.5,4.5,5,0.5,1,0,,1,3-10,10.0.0.1,false,"
                 "icmp,,,,,,\n");
    json_t *json = field_to_json(&ping_record_table, &records[0], NULL);
    json_t *rtts = json_object_get(json, "rttsUs");
    assert_int_equal(json_array_size(rtts), 3);
    assert_int_equal(json_integer_value(json_array_get(rtts, 1)), -1);
    json_decref(json);
    tally_done(&tally);
    arena_done(&arena);
    buf_done(&buf);
}

static void csv_quotes(void **state)
{
    (void)state;
    struct buf buf;
    struct ping_record record;
    buf_init(&buf, 65536);
    field_defaults(&ping_record_table, &record);
    record.error_details = "a \"b\", c";
    csv_row(&ping_record_table, &record, &buf);
    expect(&buf, ",,icmp,,,,,,,,,,,,,,,,false,,,,,,,\"a \"\"b\"\", c\"\n");
    buf_done(&buf);
}

static void a_trace(void **state)
{
    (void)state;
    struct buf buf;
    struct measure_hop hops[2];
    struct measure_silent_hop silent[] = {{.hop = 2, .sent = 3}};
    struct measure_route route;
    struct trace_record record;
    buf_init(&buf, 65536);
    field_defaults(&trace_record_table, &record);
    field_defaults(&measure_route_table, &route);
    for (int i = 0; i < 2; i++) {
        field_defaults(&measure_hop_table, &hops[i]);
        hops[i].hop = i ? 3 : 1;
        hops[i].ip_address = i ? "192.0.2.9" : "10.0.0.1";
        hops[i].oculi.sent = 2;
        hops[i].oculi.received = i + 1;
        hops[i].oculi.response_time_us = 1234.567;
        hops[i].oculi.icmp = i ? "0-0" : "11-0";
        hops[i].oculi.reply_ttl = 61;
    }
    hops[0].rdns = "r1.example.net";
    hops[0].oculi.quoted_ttl = 1;
    hops[0].mpls = "L=16,E=0,S=1,T=1";
    hops[0].oculi.tunnel = "Hop 1 in an MPLS tunnel";
    hops[1].oculi.tunnel = "Possibly 3 hops hidden in an MPLS tunnel";
    const char *revealed[] = {"10.0.0.7", ""};
    struct measure_tunnel tunnels[2];
    for (int i = 0; i < 2; i++) {
        field_defaults(&measure_tunnel_table, &tunnels[i]);
        tunnels[i].first_hop = tunnels[i].last_hop = i ? 3 : 1;
        tunnels[i].kind = i ? MEASURE_TUNNEL_INVISIBLE : MEASURE_TUNNEL_EXPLICIT;
        tunnels[i].confidence = i ? MEASURE_TUNNEL_SUSPECTED : MEASURE_TUNNEL_CERTAIN;
        tunnels[i].length = i ? 3 : 1;
        tunnels[i].is_length_exact = i == 0;
        tunnels[i].evidence = i ? "the way back" : "labels at hop 1";
    }
    tunnels[1].revealed = (struct field_list){revealed, 2};
    route.oculi.tunnels = (struct field_list){tunnels, 2};
    route.hops = (struct field_list){hops, 2};
    route.oculi.silent_hops = (struct field_list){silent, 1};
    route.oculi.flow = 1;
    route.oculi.end = MEASURE_END_REACHED;
    route.ip_address = "192.0.2.9";
    route.number_of_hops = 3;
    record.server = record.server_ip = "192.0.2.9";
    record.path_traces = (struct field_list){&route, 1};
    trace_show_csv(&record, &buf);
    expect(&buf, "192.0.2.9,192.0.2.9,1,reached,1,10.0.0.1,r1.example.net,2,1,50,1.234567,11-0,1,61,"
                 "\"L=16,E=0,S=1,T=1\",Hop 1 in an MPLS tunnel\n"
                 "192.0.2.9,192.0.2.9,1,reached,2,,,3,0,100,,,,,,\n"
                 "192.0.2.9,192.0.2.9,1,reached,3,192.0.2.9,,2,2,0,1.234567,0-0,,61,,"
                 "Possibly 3 hops hidden in an MPLS tunnel\n");
    struct measure_path_vis paths = {.path_traces = record.path_traces};
    show_paths(&paths, true, &buf);
    expect(&buf, "hop  address                    traces   sent received    loss    avg ms   icmp q-ttl r-ttl\n"
                 "  1  r1.example.net (10.0.0.1)  1           2        1   50.0%     1.235   11-0     1    61"
                 "  MPLS L=16,E=0,S=1,T=1\n"
                 "  2  (silent)                   1           3        0  100.0%         -      -     -     -\n"
                 "  3  192.0.2.9                  1           2        2    0.0%     1.235    0-0     -    61  target"
                 "  Possibly 3 hops hidden in an MPLS tunnel\n"
                 "\n"
                 "reached the target in 3 hops (trace 1)\n");
    show_tunnels(&paths, &buf);
    expect(&buf, "explicit MPLS tunnel at hop 1, 1 router, certain (trace 1): labels at hop 1\n"
                 "invisible MPLS tunnel before hop 3, about 3 hidden routers, suspected (trace 1): the way back\n"
                 "    10.0.0.7\n"
                 "    (silent)\n");
    char text[64];
    assert_string_equal(show_flows(1u << 1 | 1u << 2 | 1u << 3 | 1u << 5 | 1u << 7 | 1u << 8, text, sizeof text),
                        "1-3,5,7,8");
    buf_done(&buf);
}

static struct probe_exhaustive_interface face(const char *address)
{
    struct probe_exhaustive_interface out = {.flows = 4, .sent = 5, .received = 4, .icmp_type = 11};
    out.min_rtt_ns = out.avg_rtt_ns = out.max_rtt_ns = 2 * CLOCK_MS;
    assert_int_equal(sock_parse_ip(address, &out.addr), 0);
    return out;
}

static void all_paths(void **state)
{
    (void)state;
    struct arena arena;
    struct buf buf;
    struct paths_record record;
    struct probe_exhaustive_interface first[] = {face("10.0.0.1"), face("10.0.1.1")}, second[] = {face("192.0.2.9")};
    struct probe_exhaustive_link links[] = {{0, 0, 4}, {1, 0, 3}};
    static const uint16_t ways[2][3] = {{0, PROBE_EXHAUSTIVE_SILENT, 0}, {1, PROBE_EXHAUSTIVE_SILENT, 0}};
    struct probe_exhaustive_hop hops[] = {
        {.ttl = 1, .balancer = PROBE_EXHAUSTIVE_PER_FLOW, .is_complete = true, .interface_count = 2,
         .interfaces = first},
        {.ttl = 2, .silent_flows = 9},
        {.ttl = 3, .is_complete = true, .interface_count = 1, .interfaces = second}};
    struct probe_exhaustive_path paths[] = {
        {.hop_count = 3, .hops = ways[0], .flows = 4, .sent = 10, .received = 10, .min_rtt_ns = CLOCK_MS,
         .avg_rtt_ns = CLOCK_MS, .max_rtt_ns = CLOCK_MS},
        {.hop_count = 3, .hops = ways[1], .flows = 3, .sent = 10}};
    struct probe_exhaustive_result result = {.confidence = 0.95, .is_complete = true, .interface_count = 3,
                                             .link_count = 2, .hop_count = 3, .hops = hops, .path_count = 2,
                                             .paths = paths, .sent = 42};
    second[0].is_target = true;
    arena_init(&arena, 1 << 20);
    buf_init(&buf, 65536);
    field_defaults(&paths_record_table, &record);
    paths_record_fill(&result, NULL, NULL, &arena, &record);
    paths_show(&record, false, &buf);
    expect(&buf, "hop  address          flows  sent received    loss    min ms    avg ms\n"
                 "  1  10.0.0.1             4     5        4   20.0%     2.000     2.000  balanced per-flow\n"
                 "     10.0.1.1             4     5        4   20.0%     2.000     2.000\n"
                 "  2  (silent)             9\n"
                 "  3  192.0.2.9            4     5        4   20.0%     2.000     2.000  target\n"
                 "\n"
                 "path   flows  sent received    loss    min ms    avg ms    max ms\n"
                 "   1       4    10       10    0.0%     1.000     1.000     1.000  via 10.0.0.1\n"
                 "   2       3    10        0  100.0%         -         -         -  via 10.0.1.1\n"
                 "\n"
                 "3 interfaces and 2 links with 42 probes; none is missed, with 95 % confidence (of every link, "
                 "too, with --strict)\n");
    hops[0].untold_links = 2;
    paths_record_fill(&result, NULL, NULL, &arena, &record);
    buf_reset(&buf);
    paths_show(&record, false, &buf);
    assert_non_null(strstr(buf_str(&buf), "  balanced per-flow  links from here: by packet, not tellable\n"));
    buf_reset(&buf);
    paths_show_csv(&record, &buf);
    assert_int_equal(strncmp(buf_str(&buf), "1,10.0.0.1,,,,,false,4,5,4,20,2,2,2,11-0,,,\n", 42), 0);
    hops[0].links = links; /* links to a distance without interfaces would point nowhere */
    hops[1] = (struct probe_exhaustive_hop){.ttl = 2, .interface_count = 1, .interfaces = second};
    hops[0].link_count = 2;
    result.hop_count = 2;
    paths_record_fill(&result, NULL, NULL, &arena, &record);
    json_t *json = field_to_json(&paths_record_table, &record, NULL);
    json_t *link = json_array_get(json_object_get(json_array_get(json_object_get(json, "hops"), 0), "links"), 1);
    assert_string_equal(json_string_value(json_object_get(link, "from")), "10.0.1.1");
    assert_string_equal(json_string_value(json_object_get(link, "to")), "192.0.2.9");
    json_decref(json);
    buf_done(&buf);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sound), cmocka_unit_test(a_tally),   cmocka_unit_test(lines),
        cmocka_unit_test(icmp_words),       cmocka_unit_test(a_summary), cmocka_unit_test(csv_quotes),
        cmocka_unit_test(a_trace),          cmocka_unit_test(all_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
