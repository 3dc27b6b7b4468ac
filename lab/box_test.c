/* Checks of middleboxes: address translation, sequence numbers, dropped and edited segments, proxies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "lab/test_net.h"

#define ME "198.18.1.2"
#define APP "198.18.10.10"
#define OUTSIDE "203.0.113.50"

/* The vantage far sees what really arrives. */
#define NET                                                                                                           \
    "vantage ams address 198.18.1.2/24\nvantage far address 198.18.2.2/24\n"                                          \
    "router r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\nrouter r3 address 198.51.100.3\n"                \
    "host app address 198.18.10.10 tcp 80 open udp-echo 7\n"                                                          \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\nlink r3 far delay 4ms\n"

#define SYN LAB_TCP_SYN
#define ACK LAB_TCP_ACK

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static const struct lab_packet *next(struct test_net *t)
{
    test_net_run_until(t, t->now_ns + 50 * CLOCK_MS);
    const struct lab_packet *p = test_net_take(t, NULL);
    if (p)
        assert_true(lab_packet_is_intact(p));
    return p;
}

static const char *destination(const struct lab_packet *p)
{
    static char text[LAB_ADDR_TEXT_BYTES];
    return lab_addr_text(&p->dst, text, sizeof text);
}

/* --- NAT ------------------------------------------------------------------------------------------------------------ */

static void a_nat_rewrites_and_restores(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "nat r1 inside 198.18.1.0/24 as " OUTSIDE "\n");
    test_net_udp(&t, 0, ME, "198.18.2.2", 64, 5000, 9000, 10);
    const struct lab_packet *p = next(&t);
    assert_int_equal(t.kept[0]->vantage, 1);
    assert_string_equal(test_source(p), OUTSIDE);
    uint16_t port = lab_packet_port(p, false);
    assert_int_not_equal(port, 5000);
    assert_int_equal(lab_packet_port(p, true), 9000);
    test_net_udp(&t, 1, "198.18.2.2", OUTSIDE, 64, 9000, port, 10);
    p = next(&t);
    assert_string_equal(destination(p), ME);
    assert_int_equal(lab_packet_port(p, true), 5000);
    test_net_udp(&t, 1, "198.18.2.2", OUTSIDE, 64, 9000, 33, 10); /* nobody's: the router's own port, which is closed */
    assert_int_equal(test_icmp_code(next(&t)), 3);
    test_net_udp(&t, 0, ME, APP, 64, 5000, 7, 10); /* the mapping holds for every destination */
    p = next(&t);
    assert_string_equal(test_source(p), APP);
    assert_int_equal(lab_packet_port(p, true), 5000);
    test_net_echo(&t, 0, ME, APP, 64, 77, 3, 20);
    p = next(&t);
    assert_int_equal(test_icmp_type(p), 0);
    assert_int_equal(u16(p->bytes + 24), 77);
    assert_int_equal(u16(p->bytes + 26), 3);
    struct test_tcp syn = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN};
    test_net_tcp(&t, 0, ME, APP, &syn);
    p = next(&t);
    assert_int_equal(p->bytes[33], SYN | ACK);
    assert_int_equal(lab_packet_port(p, true), 4000);
    struct buf json;
    buf_init(&json, 1u << 20);
    lab_truth_write(t.truth, NULL, &json);
    assert_non_null(strstr(buf_str(&json), "\"nat\":[{\"inside\":\"198.18.1.0/24\",\"outside\":\"" OUTSIDE
                                           "\",\"mappings\":3}]"));
    char seen[80];
    (void)snprintf(seen, sizeof seen, "\"seenAddress\":\"" OUTSIDE "\",\"seenPort\":%u,", port);
    assert_non_null(strstr(buf_str(&json), seen));
    buf_done(&json);
    test_net_close(&t);
}

static void a_nat_may_keep_ports(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "nat r1 inside 198.18.1.0/24 as " OUTSIDE " ports kept idle 10s\n");
    test_net_udp(&t, 0, ME, "198.18.2.2", 64, 5000, 9000, 10);
    assert_int_equal(lab_packet_port(next(&t), false), 5000);
    test_net_udp(&t, 0, "198.18.1.3", "198.18.2.2", 64, 5000, 9000, 10);
    uint16_t port = lab_packet_port(next(&t), false);
    assert_int_not_equal(port, 5000);
    test_net_run_until(&t, t.now_ns + 11 * CLOCK_S);
    test_net_udp(&t, 0, "198.18.1.4", "198.18.2.2", 64, port, 9000, 10); /* idle for too long: given away */
    assert_int_equal(lab_packet_port(next(&t), false), port);
    test_net_close(&t);
}

/* What an ICMP error from behind the NAT quotes of a TCP segment. */
static void quotes_come_back_as_told(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        bool is_address, is_port, is_checksum;
    } cases[] = {{"", true, true, true},
                 {"quotes full quoted-checksum kept", true, true, false},
                 {"quotes address", true, false, false},
                 {"quotes none", false, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_net t;
        char text[1200];
        (void)snprintf(text, sizeof text, NET "nat r1 inside 198.18.1.0/24 as " OUTSIDE " %s\n", cases[i].options);
        test_net_open(&t, text);
        uint16_t sums[2];
        for (uint8_t ttl = 1; ttl <= 2; ttl++) { /* the NAT itself, and the router behind it */
            struct test_tcp syn = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .ttl = ttl};
            test_net_tcp(&t, 0, ME, APP, &syn);
            const struct lab_packet *p = next(&t);
            assert_string_equal(destination(p), ME);
            assert_int_equal(test_icmp_type(p), 11);
            const uint8_t *quote = p->bytes + 28;
            assert_int_equal(lab_checksum(quote, 20, 0), 0);
            assert_int_equal(bytes_get32(quote + 24), 1000);
            sums[ttl - 1] = u16(quote + 36);
            assert_int_equal(bytes_get32(quote + 12) == 0xc6120102, ttl == 1 || cases[i].is_address);
            assert_int_equal(u16(quote + 20) == 4000, ttl == 1 || cases[i].is_port);
        }
        assert_int_equal(sums[0] == sums[1], cases[i].is_checksum);
        test_net_close(&t);
    }
}

static void a_flow_behind_a_nat_has_one_way(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\n"
                      "router b1 address 198.51.100.11\nrouter b2 address 198.51.100.12\n"
                      "host app address 198.18.10.10\nlink ams r1\nlink r1 b1\nlink r1 b2\nlink b1 app\nlink b2 app\n"
                      "nat r1 inside 198.18.1.0/24 as " OUTSIDE "\n");
    unsigned used[2] = {0};
    for (uint16_t i = 0; i < 100; i++) {
        char first[LAB_ADDR_TEXT_BYTES] = "";
        for (int again = 0; again < 2; again++) {
            test_net_udp(&t, 0, ME, APP, 2, (uint16_t)(40000 + i), 33434, 12);
            const char *from = test_source(next(&t));
            if (again == 0)
                memcpy(first, from, strlen(from) + 1);
            assert_string_equal(first, from);
        }
        used[first[strlen(first) - 1] - '1']++;
    }
    assert_in_range(used[0], 25, 75);
    test_net_close(&t);
}

/* --- TCP ------------------------------------------------------------------------------------------------------------ */

static const uint8_t options[8] = {2, 4, 5, 0xb4, 4, 2, 1, 1};

/* Opens a connection to the app; the next number to send is 1001. */
static struct test_tcp open_connection(struct test_net *t)
{
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .options = options,
                           .options_size = sizeof options};
    test_net_tcp(t, 0, ME, APP, &tcp);
    const struct lab_packet *p = next(t);
    assert_non_null(p);
    assert_int_equal(p->bytes[33], SYN | ACK);
    assert_int_equal(bytes_get32(p->bytes + 28), 1001);
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1001, .ack = bytes_get32(p->bytes + 24) + 1, .flags = ACK};
    test_net_tcp(t, 0, ME, APP, &tcp);
    assert_null(next(t));
    return tcp;
}

static void sequence_numbers_are_randomized(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) { /* SACK translated; not; and quotes restored */
        struct test_net t;
        test_net_open(&t, way == 0   ? NET "node r2 sequence-randomize on\n"
                          : way == 1 ? NET "node r2 sequence-randomize no-sack\n"
                                     : NET "node r2 sequence-randomize on quotes-restored\n");
        struct test_tcp data = open_connection(&t);
        data.payload = 1;
        data.seq = 1002;
        test_net_tcp(&t, 0, ME, APP, &data);
        const struct lab_packet *p = next(&t);
        assert_int_equal(bytes_get32(p->bytes + 28), 1001);
        assert_int_equal(p->bytes[42], 5);
        assert_int_equal(bytes_get32(p->bytes + 44) == 1002, way != 1);
        assert_int_equal(bytes_get32(p->bytes + 48) == 1003, way != 1);
        data.seq = 1001; /* the numbers fit: the hole is filled */
        test_net_tcp(&t, 0, ME, APP, &data);
        assert_int_equal(bytes_get32(next(&t)->bytes + 28), 1003);
        data.seq = 1010;
        for (uint8_t ttl = 2; ttl <= 3; ttl++) {
            data.ttl = ttl;
            test_net_tcp(&t, 0, ME, APP, &data);
            assert_int_equal(bytes_get32(next(&t)->bytes + 28 + 24) == 1010, ttl == 2 || way == 2);
        }
        test_net_close(&t);
    }
}

static void a_changed_syn_does_not_pass(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "node r2 drop-syn-change\n");
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN};
    for (int again = 0; again < 2; again++) {
        test_net_tcp(&t, 0, ME, APP, &tcp);
        assert_non_null(next(&t));
    }
    tcp.seq = 1001;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_null(next(&t));
    tcp.ttl = 2; /* it never gets as far as to be passed on */
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_int_equal(test_icmp_type(next(&t)), 11);
    tcp.ttl = 0;
    tcp.flags = LAB_TCP_RST; /* ends what is remembered */
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_null(next(&t));
    tcp.seq = 5000;
    tcp.flags = SYN;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_non_null(next(&t));
    tcp.seq = 6000;
    test_net_run_until(&t, t.now_ns + 31 * CLOCK_S); /* and so does time */
    t.taken = t.kept_count;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_non_null(next(&t));
    struct lab_truth_sum sum;
    lab_truth_sum(t.truth, 0, APP, LAB_KIND_TCP_SYN, 64, &sum);
    assert_int_equal(sum.lost_forward, 1);
    test_net_close(&t);
}

static void every_25th_probe_is_dropped(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "node r3 drop-out-of-order every 25\n");
    for (int round = 0; round < 2; round++) {
        struct test_tcp data = open_connection(&t);
        data.payload = 1;
        for (uint32_t i = 1; i <= 50; i++) {
            data.seq = 1001 + i;
            test_net_tcp(&t, 0, ME, APP, &data);
            assert_int_equal(next(&t) != NULL, i % 25 != 0);
            data.seq = 1000; /* a nudge always passes */
            test_net_tcp(&t, 0, ME, APP, &data);
            assert_non_null(next(&t));
        }
        data.flags = LAB_TCP_RST;
        data.seq = 1001;
        data.payload = 0;
        test_net_tcp(&t, 0, ME, APP, &data);
        assert_null(next(&t));
    }
    struct lab_truth_sum sum;
    lab_truth_sum(t.truth, 0, APP, LAB_KIND_TCP_DATA, 0, &sum);
    assert_int_equal(sum.sent, 100);
    assert_int_equal(sum.lost_forward, 4);
    assert_int_equal(sum.received, 96);
    test_net_close(&t);
}

static void options_are_stripped_and_clamped(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "node r2 strip sack\nnode r3 mss-clamp 1300\n");
    struct test_tcp data = {.source_port = 4001, .port = 80, .seq = 1, .flags = SYN, .options = options,
                            .options_size = sizeof options};
    test_net_tcp(&t, 0, ME, "198.18.2.2", &data);
    const struct lab_packet *p = next(&t);
    assert_int_equal(u16(p->bytes + 42), 1300);
    assert_int_equal(p->bytes[44], 4);
    data = open_connection(&t);
    data.payload = 1;
    data.seq = 1002;
    test_net_tcp(&t, 0, ME, APP, &data);
    p = next(&t);
    assert_int_equal(p->bytes[42], 1); /* where the blocks were */
    assert_int_equal(p->bytes[32] >> 4, 8);
    test_net_close(&t);
    test_net_open(&t, NET "node r2 strip sack-permitted\n");
    data = (struct test_tcp){.source_port = 4001, .port = 80, .seq = 1, .flags = SYN, .options = options,
                             .options_size = sizeof options};
    test_net_tcp(&t, 0, ME, APP, &data);
    p = next(&t);
    assert_int_equal(p->bytes[32] >> 4, 6); /* nothing but the MSS is offered back */
    test_net_close(&t);
}

static void header_fields_are_rewritten(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "node r1 ecn 3\nnode r2 ip-id zero dscp 10\nnode r3 ip-id count\n");
    for (unsigned i = 1; i <= 3; i++) {
        test_net_udp(&t, 0, ME, "198.18.2.2", 64, 5000, 9000, 10);
        const struct lab_packet *p = next(&t);
        assert_int_equal(p->bytes[1], 10 << 2 | 3);
        assert_int_equal(u16(p->bytes + 4), i);
        test_net_udp(&t, 0, ME, APP, 3, 5000, 9000, 10); /* as r3 got it */
        assert_int_equal(u16(next(&t)->bytes + 28 + 4), 0);
    }
    test_net_close(&t);
}

static void a_proxy_answers_for_the_target(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "syn-proxy r2 to 198.18.10.0/24 port 80 delay 7ms\nnode app down\n");
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .ttl = 2};
    int64_t sent = t.now_ns, due;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    test_net_run_until(&t, t.now_ns + 50 * CLOCK_MS);
    const struct lab_packet *p = test_net_take(&t, &due);
    assert_int_equal(p->bytes[33], SYN | ACK);
    assert_string_equal(test_source(p), APP);
    assert_int_equal(due - sent, 13 * CLOCK_MS);
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1002, .ack = bytes_get32(p->bytes + 24) + 1,
                            .flags = ACK, .payload = 1};
    sent = t.now_ns;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    test_net_run_until(&t, t.now_ns + 50 * CLOCK_MS);
    p = test_net_take(&t, &due);
    assert_int_equal(due - sent, 6 * CLOCK_MS); /* faster than the handshake */
    assert_int_equal(bytes_get32(p->bytes + 28), 1001);
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 8); /* not its business */
    assert_int_equal(test_icmp_type(next(&t)), 3);
    struct buf json;
    buf_init(&json, 1u << 20);
    lab_truth_write(t.truth, NULL, &json);
    assert_non_null(strstr(buf_str(&json), "\"end\":\"proxied\""));
    buf_done(&json);
    test_net_close(&t);
}

static void a_proxy_hands_over(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET "syn-proxy r2 port 80 handover\n");
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .options = options,
                           .options_size = sizeof options};
    int64_t sent = t.now_ns, due;
    test_net_tcp(&t, 0, ME, APP, &tcp);
    test_net_run_until(&t, t.now_ns + 50 * CLOCK_MS);
    const struct lab_packet *p = test_net_take(&t, &due);
    assert_int_equal(p->bytes[33], SYN | ACK);
    assert_int_equal(due - sent, 6 * CLOCK_MS); /* of the proxy */
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1001, .ack = bytes_get32(p->bytes + 24) + 1, .flags = ACK};
    test_net_tcp(&t, 0, ME, APP, &tcp);
    assert_null(next(&t)); /* the destination's handshake is the proxy's business */
    for (uint32_t i = 0; i < 5; i++) {
        tcp.payload = 1;
        tcp.seq = 1002 + i;
        sent = t.now_ns;
        test_net_tcp(&t, 0, ME, APP, &tcp);
        test_net_run_until(&t, t.now_ns + 50 * CLOCK_MS);
        p = test_net_take(&t, &due);
        assert_non_null(p);
        assert_true(lab_packet_is_intact(p));
        assert_int_equal(due - sent, 20 * CLOCK_MS); /* of the destination */
        assert_int_equal(bytes_get32(p->bytes + 24), tcp.ack);
        assert_int_equal(bytes_get32(p->bytes + 28), 1001);
        assert_int_equal(bytes_get32(p->bytes + 44), 1002);
        assert_int_equal(bytes_get32(p->bytes + 48), 1003 + i);
    }
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1001, .flags = LAB_TCP_RST};
    test_net_tcp(&t, 0, ME, APP, &tcp);
    test_net_run(&t); /* and nobody tries anything again */
    assert_null(test_net_take(&t, NULL));
    struct lab_truth_sum sum;
    lab_truth_sum(t.truth, 0, APP, LAB_KIND_TCP_DATA, 0, &sum);
    assert_int_equal(sum.received, 5);
    assert_int_equal(sum.rtt_max_ns, 20 * CLOCK_MS);
    test_net_close(&t);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_nat_rewrites_and_restores),    cmocka_unit_test(a_nat_may_keep_ports),
        cmocka_unit_test(quotes_come_back_as_told),       cmocka_unit_test(a_flow_behind_a_nat_has_one_way),
        cmocka_unit_test(sequence_numbers_are_randomized), cmocka_unit_test(a_changed_syn_does_not_pass),
        cmocka_unit_test(every_25th_probe_is_dropped),    cmocka_unit_test(options_are_stripped_and_clamped),
        cmocka_unit_test(header_fields_are_rewritten),    cmocka_unit_test(a_proxy_answers_for_the_target),
        cmocka_unit_test(a_proxy_hands_over),
    };
    return cmocka_run_group_tests_name("lab box", checks, NULL, NULL);
}
