/* Checks of links with rates and other people's traffic, of sizes, and of all the interfaces ways lead to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/file.h"
#include "lab/test_net.h"
#include "lab/truth_core.h"

#define ME "198.18.1.2"
#define FAR "198.18.2.2"

static const char *directory; /* of the shipped scenarios */

static void write_truth(const struct test_net *t, struct buf *json)
{
    buf_init(json, 8u << 20);
    lab_truth_write(t->truth, NULL, json);
}

static void a_queue_serves_in_the_order_of_time(void **state)
{
    (void)state;
    struct test_net t;
    int64_t due;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nhost far address 198.18.10.1\n"
                      "host near address 198.18.10.2\nlink ams r1 rate 8mbit to ams\nlink r1 far delay 50ms\n"
                      "link r1 near delay 1ms\n");
    int64_t begin = t.now_ns;
    test_net_echo(&t, 0, ME, "198.18.10.1", 64, 1, 1, 972);
    test_net_run_until(&t, begin + 60 * CLOCK_MS); /* its answer is on its way */
    test_net_echo(&t, 0, ME, "198.18.10.2", 64, 1, 2, 972);
    test_net_run(&t);
    assert_string_equal(test_source(test_net_take(&t, &due)), "198.18.10.2");
    assert_int_equal(due - begin, 63 * CLOCK_MS);
    assert_string_equal(test_source(test_net_take(&t, &due)), "198.18.10.1");
    assert_int_equal(due - begin, 101 * CLOCK_MS);
    test_net_close(&t);
}

/* Also for a probe that had to wait for a link on its way. */
static void the_way_of_a_probe_is_whole(void **state)
{
    (void)state;
    struct test_net t;
    struct buf json;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nrouter r2\nhost app address 198.18.10.1\n"
                      "link ams r1 delay 3ms\nlink r1 r2 rate 8mbit\nlink r2 app rate 4mbit mtu 1400\n");
    test_net_echo(&t, 0, ME, "198.18.10.1", 64, 1, 1, 472);
    test_net_run(&t);
    int64_t due;
    assert_non_null(test_net_take(&t, &due));
    assert_int_equal(due - 1000 * CLOCK_S, 2 * (3000 + 500 + 1000) * CLOCK_US);
    write_truth(&t, &json);
    const char *text = buf_str(&json);
    assert_non_null(strstr(text, "\"mtu\":1400,\"delayNs\":3000000,\"capacityBps\":4000000,\"availableBps\":4000000}"));
    assert_non_null(strstr(text, "\"answers\":[1]"));
    assert_int_equal(t.truth->path_count, 1);
    assert_int_equal(t.truth->paths[t.truth->probes[0].path].count, 3);
    buf_done(&json);
    test_net_close(&t);
}

#define PIPE(cross)                                                                                                   \
    "vantage ams address 198.18.1.2/24\nvantage far address 198.18.2.2/24\nrouter r1\nrouter r2\n"                    \
    "link ams r1 delay 1ms rate 1gbit\nlink r1 r2 delay 5ms rate 100mbit queue 500ms " cross "\nlink r2 far rate 1gbit\n"

/* A train of `count` datagrams of 1500 bytes at a rate; the rate at which it arrives. */
static double train(struct test_net *t, unsigned count, double mbit)
{
    int64_t begin = t->now_ns + CLOCK_S, first = 0, last = 0, due;
    for (unsigned i = 0; i < count; i++) {
        test_net_run_until(t, begin + (int64_t)(i * 12000.0 / mbit * 1000));
        test_net_udp(t, 0, ME, FAR, 64, 5000, 9000, 1472);
    }
    test_net_run(t);
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(test_net_take(t, &due));
        first = i == 0 ? due : first;
        last = due;
    }
    return (count - 1) * 12000.0 / (double)(last - first) * 1000;
}

static void a_pair_is_spread_by_the_narrow_link(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, PIPE(""));
    int64_t dues[2];
    for (int i = 0; i < 2; i++)
        test_net_udp(&t, 0, ME, FAR, 64, 5000, 9000, 1472);
    test_net_run(&t);
    for (int i = 0; i < 2; i++)
        assert_non_null(test_net_take(&t, &dues[i]));
    assert_int_equal(dues[1] - dues[0], 120 * CLOCK_US);
    assert_int_equal(dues[0] - 1000 * CLOCK_S, 6 * CLOCK_MS + (12 + 120 + 12) * CLOCK_US);
    test_net_close(&t);
}

static void is_near(double value, double expected, double share)
{
    if (value < expected * (1 - share) || value > expected * (1 + share))
        fail_msg("%f is not near %f", value, expected);
}

static void other_traffic_takes_its_share(void **state)
{
    (void)state;
    static const char *const nets[] = {PIPE("cross 30mbit from r1"), PIPE("cross 30mbit poisson size 800 from r1")};
    for (int i = 0; i < 2; i++) {
        struct test_net t;
        test_net_open(&t, nets[i]);
        double share = i == 0 ? 0.001 : 0.02;
        is_near(train(&t, 5000, 60), 60, share);               /* below what is left: passed as it came */
        is_near(train(&t, 5000, 80), 80 * 100.0 / 110, share); /* above: shared as the rates come in */
        is_near(train(&t, 1000, 500), 500 * 100.0 / 530, share);
        const struct lab_port_state_now *now = &t.truth->net->ports[2]; /* r1 to r2 */
        double seconds = (double)(t.now_ns - 1000 * CLOCK_S) / 1e9 + 1.5;
        is_near((double)(now->cross_carried + now->cross_passed), 30e6 / (i == 0 ? 12000 : 6400) * seconds, 0.4);
        assert_int_equal(now->cross_dropped, 0);
        assert_int_equal(t.truth->net->ports[3].cross_carried, 0);
        struct buf json;
        write_truth(&t, &json);
        assert_non_null(strstr(buf_str(&json), "\"capacityBps\":100000000,\"availableBps\":70000000}"));
        assert_non_null(strstr(buf_str(&json), "\"rateBps\":100000000,\"crossBps\":30000000,\"crossCarried\":"));
        buf_done(&json);
        test_net_close(&t);
    }
}

/* Evenly spaced packets are counted exactly, whatever passes between them and however long nothing did. */
static void other_traffic_is_exact(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, PIPE("cross 33mbit size 1000 from r1"));
    const struct lab_port_state_now *now = &t.truth->net->ports[2];
    uint64_t last = 0;
    for (unsigned i = 0; i < 200; i++) {
        test_net_run_until(&t, t.now_ns + (i == 100 ? 3600 * CLOCK_S : 8 * CLOCK_MS));
        test_net_udp(&t, 0, ME, FAR, 64, 5000, 9000, 10);
        test_net_run_until(&t, t.now_ns + 8 * CLOCK_MS);
        uint64_t count = now->cross_carried + now->cross_passed;
        uint64_t expected = i == 100 ? 4125u * 3600 + 33 : 66; /* 33 in 8 ms, one more or less where one is cut */
        if (i > 0)
            assert_in_range(count - last, expected - 1, expected + 1);
        last = count;
    }
    test_net_close(&t);
}

/* One half of each second belongs to others: then packets share the link, and wait; else they do not. */
static void faults_let_other_traffic_in(void **state)
{
    (void)state;
    static const char *const nets[] = {
        PIPE("") "every 1s for 500ms { link r1 r2 cross 60mbit size 1000 from r1 }\n",
        PIPE("cross 10mbit from r1") "every 1s for 500ms { link r1 r2 cross 90mbit poisson from r1 }\n"};
    for (int i = 0; i < 2; i++) {
        struct test_net t;
        test_net_open(&t, nets[i]);
        const struct lab_port_state_now *now = &t.truth->net->ports[2];
        int64_t second = lab_net_wall(t.truth->net, t.now_ns) / CLOCK_S;
        double rates[2];
        for (int half = 0; half < 2; half++) {
            /* The train begins a second later, in a half second that has just begun. */
            test_net_run_until(&t, (second + 10 + half * 10) * CLOCK_S + half * 500 * CLOCK_MS + CLOCK_MS -
                                       t.truth->net->wall_offset_ns);
            rates[half] = train(&t, 2000, 80);
        }
        is_near(rates[0], 80 * 100.0 / (80 + (i == 0 ? 60 : 90)), i == 0 ? 0.01 : 0.05);
        is_near(rates[1], 80, 0.01);
        assert_int_equal(t.truth->net->ports[3].cross_carried, 0);
        uint64_t before = now->cross_carried;
        for (unsigned k = 0; k < 400; k++) { /* the others come for half of four seconds */
            test_net_run_until(&t, t.now_ns + 10 * CLOCK_MS);
            test_net_udp(&t, 0, ME, FAR, 64, 5000, 9000, 10);
        }
        double expected = i == 0 ? 2 * 60e6 / 8000 : 2 * (90e6 + 10e6) / 12000;
        is_near((double)(now->cross_carried - before), expected, i == 0 ? 0.02 : 0.05);
        test_net_close(&t);
    }
}

static void a_full_link_drops(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nvantage far address 198.18.2.2/24\nrouter r1\n"
                      "link ams r1 rate 10mbit queue 20ms cross 12mbit poisson from ams\nlink r1 far\n");
    for (unsigned i = 0; i < 1000; i++) {
        test_net_run_until(&t, t.now_ns + 10 * CLOCK_MS);
        test_net_udp(&t, 0, ME, FAR, 64, 5000, 9000, 10);
    }
    test_net_run(&t);
    struct lab_truth_sum sum;
    lab_truth_sum(t.truth, 0, FAR, LAB_KIND_UDP, 0, &sum);
    assert_int_equal(sum.lost_forward + t.kept_count, 1000);
    assert_in_range(sum.lost_forward, 100, 400);
    assert_true(t.truth->net->ports[0].cross_dropped > 1500);
    test_net_close(&t);
}

static void packets_may_be_large(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "defaults link mtu 9216\nvantage ams address 198.18.1.2/24\nrouter r1\n"
                      "host app address 198.18.10.10\nlink ams r1\nlink r1 app mtu 9000\n");
    static uint8_t bytes[LAB_PACKET_BYTES];
    test_net_udp(&t, 0, ME, "198.18.10.10", 64, 1, 2, 9000 - 28);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_code(p), 3);
    assert_int_equal(p->size, 576);
    test_net_udp(&t, 0, ME, "198.18.10.10", 64, 1, 2, LAB_PACKET_BYTES - 28);
    test_net_run(&t);
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_code(p), 4);
    assert_int_equal(bytes_get32(p->bytes + 24), 9000);
    lab_net_input(t.net, 0, bytes, sizeof bytes, t.now_ns);
    test_net_close(&t);
}

static void what_is_told_of_the_mtu_may_be_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        int64_t told; /* -1 = nothing */
    } cases[] = {{"mtu", 1400}, {"zero", 0}, {"1480", 1480}, {"silent", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_net t;
        char text[400];
        (void)snprintf(text, sizeof text,
                       "vantage ams address 198.18.1.2/24\nrouter r1 too-big %s\nrouter r2\n"
                       "host app address 198.18.10.10\nlink ams r1\nlink r1 r2 mtu 1400\nlink r2 app\n"
                       "network 198.18.20.0/24 behind r1\n",
                       cases[i].how);
        test_net_open(&t, text);
        test_net_echo(&t, 0, ME, "198.18.10.10", 64, 1, 1, 1472);
        test_net_run(&t);
        const struct lab_packet *p = test_net_take(&t, NULL);
        assert_int_equal(p != NULL, cases[i].told >= 0);
        if (p)
            assert_int_equal(bytes_get32(p->bytes + 24), cases[i].told);
        test_net_echo(&t, 0, ME, "198.18.20.1", 64, 1, 1, 10); /* other errors are told */
        test_net_run(&t);
        assert_int_equal(test_icmp_code(test_net_take(&t, NULL)), 1);
        test_net_close(&t);
    }
}

/* --- interfaces ----------------------------------------------------------------------------------------------------- */

static struct lab_fan fan;

static void open_shipped(struct test_net *t, const char *name)
{
    char path[512];
    struct buf text;
    struct error err;
    (void)snprintf(path, sizeof path, "%s/%s.lab", directory, name);
    buf_init(&text, LAB_SCENARIO_BYTES);
    assert_int_equal(file_read(path, &text, &err), 0);
    test_net_open(t, buf_str(&text));
    buf_done(&text);
}

static void all_interfaces_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *name, *to;
        uint32_t faces, edges;
    } cases[] = {{"diamond-lanes", "198.18.10.10", 51, 4 + 11 * 4 + 4 + 1},
                 {"diamond-mesh", "198.18.10.10", 51, 4 + 11 * 16 + 4 + 1},
                 {"diamond-mesh", "2001:db8:a::10", 51, 4 + 11 * 16 + 4 + 1},
                 {"diamond-wide", "198.18.10.10", 19, 16 + 16 + 1},
                 /* a 1, b e g 3, c1 c2 c3 f h 5, d h i j 4, h i j k l 5, i j k l app 5, k l app 3, l app 2, app 1 */
                 {"diamond-nested", "198.18.10.10", 29, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_net t;
        struct buf json;
        open_shipped(&t, cases[i].name);
        bool is_v6 = strchr(cases[i].to, ':') != NULL;
        test_net_echo(&t, 0, is_v6 ? "2001:db8:1::2" : ME, cases[i].to, 64, 1, 1, 8);
        test_net_run(&t);
        lab_truth_target_fan(t.truth, 0, &fan);
        assert_false(fan.is_cut);
        assert_int_equal(fan.face_count, cases[i].faces);
        if (cases[i].edges > 0)
            assert_int_equal(fan.edge_count, cases[i].edges);
        write_truth(&t, &json);
        assert_non_null(strstr(buf_str(&json), "\"interfacesComplete\":true,\"interfaces\":[{\"ttl\":1,\"node\":\"a\""));
        buf_done(&json);
        test_net_close(&t);
    }
}

/* Where every flow is answered from lies among the interfaces, and all of them are met. */
static void flows_meet_all_interfaces_and_no_others(void **state)
{
    (void)state;
    struct test_net t;
    bool has_met[LAB_FAN_FACES] = {false};
    open_shipped(&t, "diamond-nested");
    test_net_udp(&t, 0, ME, "198.18.10.10", 64, 1, 33434, 12);
    test_net_run(&t);
    (void)test_net_take(&t, NULL);
    lab_truth_target_fan(t.truth, 0, &fan);
    for (uint16_t port = 30000; port < 30400; port++) {
        for (uint8_t ttl = 1; ttl <= 9; ttl++) {
            test_net_udp(&t, 0, ME, "198.18.10.10", ttl, port, 33434, 12);
            test_net_run(&t);
            const struct lab_packet *p = test_net_take(&t, NULL);
            bool is_found = false;
            for (uint32_t i = 0; i < fan.face_count; i++) {
                /* The target answers with whatever TTL is left. */
                bool is_same = lab_addr_is_same(&fan.faces[i].address, &p->src);
                is_found |= is_same && (fan.faces[i].ttl == ttl || test_icmp_type(p) == 3);
                has_met[i] |= is_same && fan.faces[i].ttl == ttl;
            }
            assert_true(is_found);
        }
    }
    for (uint32_t i = 0; i < fan.face_count; i++)
        assert_true(has_met[i]);
    test_net_close(&t);
}

int main(int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : "lab/scenarios";
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_queue_serves_in_the_order_of_time),  cmocka_unit_test(the_way_of_a_probe_is_whole),
        cmocka_unit_test(a_pair_is_spread_by_the_narrow_link),  cmocka_unit_test(other_traffic_takes_its_share),
        cmocka_unit_test(other_traffic_is_exact),               cmocka_unit_test(faults_let_other_traffic_in),
        cmocka_unit_test(a_full_link_drops),
        cmocka_unit_test(packets_may_be_large),                 cmocka_unit_test(what_is_told_of_the_mtu_may_be_wrong),
        cmocka_unit_test(all_interfaces_are_known),             cmocka_unit_test(flows_meet_all_interfaces_and_no_others),
    };
    return cmocka_run_group_tests_name("lab link", checks, NULL, NULL);
}
