/* Checks of the net: forwarding, TTL, errors, links, loss, order, the truth. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "lab/test_net.h"

#define ME "198.18.1.2"
#define ME6 "2001:db8:1::2"
#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"

#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"              \
    "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms\nlink r3 app delay 4ms\n"

static struct lab_truth_sum sum_of(const struct test_net *t, const char *to, enum lab_kind kind, unsigned ttl)
{
    struct lab_truth_sum sum;
    lab_truth_sum(t->truth, 0, to, kind, ttl, &sum);
    return sum;
}

/* Everything that came out has right checksums, by the net's reading and by plain arithmetic. */
static void all_are_intact(const struct test_net *t)
{
    for (size_t i = 0; i < t->kept_count; i++)
        assert_true(lab_packet_is_intact(&t->kept[i]->packet));
}

static void an_echo_takes_both_ways(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN);
    int64_t sent = t.now_ns, due;
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 56);
    test_net_echo(&t, 0, ME6, APP6, 64, 1, 1, 56);
    test_net_run(&t);
    const struct lab_packet *reply = test_net_take(&t, &due);
    assert_int_equal(test_icmp_type(reply), 0);
    assert_string_equal(test_source(reply), APP);
    assert_int_equal(due - sent, 20 * CLOCK_MS);
    assert_int_equal(lab_packet_ttl(reply), 64 - 3);
    assert_int_equal(reply->size, 84);
    reply = test_net_take(&t, &due);
    assert_int_equal(test_icmp_type(reply), 129);
    assert_string_equal(test_source(reply), APP6);
    assert_int_equal(due - sent, 20 * CLOCK_MS);
    assert_null(test_net_take(&t, NULL));
    all_are_intact(&t);
    struct lab_truth_sum sum = sum_of(&t, APP, LAB_KIND_ECHO, 0);
    assert_int_equal(sum.sent, 1);
    assert_int_equal(sum.received, 1);
    assert_int_equal(sum.rtt_min_ns, 20 * CLOCK_MS);
    assert_int_equal(sum.rtt_max_ns, 20 * CLOCK_MS);
    test_net_close(&t);
}

static void each_ttl_is_answered_by_its_router(void **state)
{
    (void)state;
    static const char *const hops[2][4] = {{"198.51.100.1", "198.51.100.2", "198.51.100.3", APP},
                                           {"2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::3", APP6}};
    static const int64_t rtt_ms[4] = {2, 6, 12, 20};
    struct test_net t;
    test_net_open(&t, CHAIN);
    for (int v6 = 0; v6 < 2; v6++) {
        for (uint8_t ttl = 1; ttl <= 4; ttl++) {
            int64_t sent = t.now_ns, due;
            test_net_echo(&t, 0, v6 ? ME6 : ME, v6 ? APP6 : APP, ttl, 1, ttl, 20);
            test_net_run(&t);
            const struct lab_packet *answer = test_net_take(&t, &due);
            assert_non_null(answer);
            assert_string_equal(test_source(answer), hops[v6][ttl - 1]);
            assert_int_equal(due - sent, rtt_ms[ttl - 1] * CLOCK_MS);
            if (ttl == 4)
                continue;
            assert_int_equal(test_icmp_type(answer), v6 ? 3 : 11);
            assert_int_equal(test_icmp_code(answer), 0);
            assert_int_equal(lab_packet_ttl(answer), 255 - (ttl - 1));
            /* The quote is the packet as the router received it: with the last TTL it had. */
            const uint8_t *quote = answer->bytes + answer->l4 + 8;
            assert_int_equal(quote[v6 ? 7 : 8], 1);
            if (!v6)
                assert_int_equal(lab_checksum(quote, 20, 0), 0);
        }
    }
    all_are_intact(&t);
    assert_int_equal(sum_of(&t, APP, LAB_KIND_ECHO, 2).errors, 1);
    assert_int_equal(sum_of(&t, APP, LAB_KIND_ECHO, 2).received, 0);
    test_net_close(&t);
}

static void a_strict_host_says_time_exceeded(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "node app ttl-strict\n");
    test_net_echo(&t, 0, ME, APP, 4, 1, 1, 20);
    test_net_echo(&t, 0, ME, APP, 5, 1, 2, 20);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 11);
    assert_string_equal(test_source(p), APP);
    assert_int_equal(test_icmp_type(test_net_take(&t, NULL)), 0);
    test_net_close(&t);
}

static void loss_is_what_the_truth_says(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "node app echo-loss 5%\n"
                            "vantage two address 198.18.2.2/24\nrouter r9\nhost far address 198.18.11.1\n"
                            "link two r9 delay 1ms loss 10% from two loss 20% to two\nlink r9 far delay 1ms\n");
    for (unsigned i = 0; i < 5000; i++) {
        test_net_echo(&t, 0, ME, APP, 64, 1, (uint16_t)i, 8);
        test_net_echo(&t, 1, "198.18.2.2", "198.18.11.1", 64, 1, (uint16_t)i, 8);
        test_net_run(&t);
    }
    size_t from_app = 0, from_far = 0;
    for (const struct lab_packet *p; (p = test_net_take(&t, NULL)) != NULL;)
        *(strcmp(test_source(p), APP) == 0 ? &from_app : &from_far) += 1;
    struct lab_truth_sum app = sum_of(&t, APP, LAB_KIND_ECHO, 64), far;
    lab_truth_sum(t.truth, 1, "198.18.11.1", LAB_KIND_ECHO, 64, &far);
    assert_int_equal(app.sent, 5000);
    assert_int_equal(app.received, from_app);
    assert_int_equal(app.suppressed, 5000 - from_app);
    assert_in_range(app.suppressed, 200, 300);
    assert_int_equal(far.received, from_far);
    assert_int_equal(far.lost_forward + far.lost_return + far.received, 5000);
    assert_in_range(far.lost_forward, 430, 570);
    assert_in_range(far.lost_return, 810, 990);
    test_net_close(&t);
}

static void the_same_seed_repeats_itself(void **state)
{
    (void)state;
    uint64_t sums[2] = {0, 0};
    for (int round = 0; round < 2; round++) {
        struct test_net t;
        test_net_open(&t, CHAIN "defaults link loss 20% jitter 1ms\nvantage two address 198.18.2.2/24\n"
                                "router r9\nlink two r9\nlink r9 r3\n");
        for (unsigned i = 0; i < 500; i++) {
            test_net_echo(&t, 1, "198.18.2.2", APP, 64, 1, (uint16_t)i, 8);
            test_net_run(&t);
        }
        int64_t due;
        while (test_net_take(&t, &due))
            sums[round] = sums[round] * 31 + (uint64_t)due;
        test_net_close(&t);
    }
    assert_true(sums[0] != 0);
    assert_true(sums[0] == sums[1]);
}

static void jitter_stays_in_its_bounds_and_keeps_order(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nhost app address 198.18.10.10\n"
                      "link ams r1 delay 10ms jitter 2ms from ams\nlink r1 app\n");
    int64_t low = INT64_MAX, high = 0, due, last = 0;
    for (unsigned i = 0; i < 2000; i++) {
        test_net_echo(&t, 0, ME, APP, 64, 1, (uint16_t)i, 8);
        test_net_run(&t);
        assert_non_null(test_net_take(&t, &due));
    }
    struct lab_truth_sum sum = sum_of(&t, APP, LAB_KIND_ECHO, 64);
    low = sum.rtt_min_ns;
    high = sum.rtt_max_ns;
    assert_in_range(low, 18 * CLOCK_MS, 18 * CLOCK_MS + 100 * CLOCK_US);
    assert_in_range(high, 22 * CLOCK_MS - 100 * CLOCK_US, 22 * CLOCK_MS);
    for (unsigned i = 0; i < 1000; i++) {
        test_net_run_until(&t, t.now_ns + 100 * CLOCK_US);
        test_net_echo(&t, 0, ME, APP, 64, 2, (uint16_t)i, 8);
    }
    test_net_run(&t);
    uint16_t seq = 0;
    for (const struct lab_packet *p; (p = test_net_take(&t, &due)) != NULL; last = due) {
        assert_true(due >= last);
        assert_int_equal(p->bytes[p->l4 + 6] << 8 | p->bytes[p->l4 + 7], seq++);
    }
    assert_int_equal(seq, 1000);
    test_net_close(&t);
}

static void duplicates_and_reordering_are_counted(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nhost app address 198.18.10.10\n"
                      "link ams r1 delay 1ms duplicate 10% from ams reorder 5% by 8ms to ams\nlink r1 app\n");
    for (unsigned i = 0; i < 1000; i++) {
        test_net_echo(&t, 0, ME, APP, 64, 1, (uint16_t)i, 8);
        test_net_run_until(&t, t.now_ns + CLOCK_MS);
    }
    test_net_run(&t);
    size_t extra = 0, late = 0;
    static bool has_come[1000];
    memset(has_come, 0, sizeof has_come);
    int highest = -1;
    for (const struct lab_packet *p; (p = test_net_take(&t, NULL)) != NULL;) {
        int seq = p->bytes[p->l4 + 6] << 8 | p->bytes[p->l4 + 7];
        if (has_come[seq])
            extra++;
        else if (seq < highest)
            late++;
        has_come[seq] = true;
        if (seq > highest)
            highest = seq;
    }
    struct lab_truth_sum sum = sum_of(&t, APP, LAB_KIND_ECHO, 64);
    assert_int_equal(sum.received, 1000);
    assert_int_equal(sum.duplicates, extra);
    assert_int_equal(sum.reordered, late);
    assert_in_range(extra, 60, 140);
    assert_in_range(late, 20, 80);
    test_net_close(&t);
}

static void a_loop_ends(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "route r2 198.18.10.0/24 via r1\nroute r1 198.18.10.0/24 via r2\n");
    test_net_echo(&t, 0, ME, APP, 255, 1, 1, 8);
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 8);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 11);
    assert_string_equal(test_source(p), "198.51.100.2");
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 11);
    assert_null(test_net_take(&t, NULL));
    test_net_close(&t);
}

static void unreachable_is_told_by_the_right_code(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "network 198.18.20.0/24 behind r2\nnetwork 198.18.21.0/24 behind r2 net-unreachable\n"
                            "network 198.18.22.0/24 behind r2 drop\nnetwork 2001:db8:20::/64 behind r2\n"
                            "host off address 198.18.10.11 v6 2001:db8:a::11 down\nlink r3 off\n");
    static const struct {
        const char *to, *from;
        int type, code;
    } cases[] = {
        {"198.18.20.5", "198.51.100.2", 3, 1},   {"198.18.21.5", "198.51.100.2", 3, 0},
        {"203.0.113.9", "198.51.100.1", 3, 0},   {"198.18.10.11", "198.51.100.3", 3, 1},
        {"2001:db8:20::5", "2001:db8:f::2", 1, 3}, {"2001:db8:a::11", "2001:db8:f::3", 1, 3},
        {"2001:db8:99::1", "2001:db8:f::1", 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_net_echo(&t, 0, strchr(cases[i].to, ':') ? ME6 : ME, cases[i].to, 64, 1, (uint16_t)i, 8);
        test_net_run(&t);
        const struct lab_packet *p = test_net_take(&t, NULL);
        assert_non_null(p);
        assert_string_equal(test_source(p), cases[i].from);
        assert_int_equal(test_icmp_type(p), cases[i].type);
        assert_int_equal(test_icmp_code(p), cases[i].code);
    }
    test_net_echo(&t, 0, ME, "198.18.22.5", 64, 1, 1, 8);
    test_net_run(&t);
    assert_null(test_net_take(&t, NULL));
    assert_int_equal(sum_of(&t, "198.18.22.5", LAB_KIND_ECHO, 0).lost_forward, 1);
    all_are_intact(&t);
    test_net_close(&t);
}

static void a_packet_too_big_is_told_the_mtu(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "defaults link mtu 1400\n" CHAIN);
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 1372);
    test_net_run(&t);
    assert_int_equal(test_icmp_type(test_net_take(&t, NULL)), 0);
    test_net_echo(&t, 0, ME, APP, 64, 1, 2, 1373);
    test_net_echo(&t, 0, ME6, APP6, 64, 1, 2, 1373);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 3);
    assert_int_equal(test_icmp_code(p), 4);
    assert_int_equal(bytes_get32(p->bytes + p->l4 + 4), 1400);
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 2);
    assert_int_equal(bytes_get32(p->bytes + p->l4 + 4), 1400);
    assert_true(p->size <= 1280);
    all_are_intact(&t);
    test_net_close(&t);
}

static void a_rate_limit_is_exact(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "node r1 ratelimit 10/s burst 3\n");
    for (unsigned i = 0; i < 1000; i++) {
        test_net_echo(&t, 0, ME, APP, 1, 1, (uint16_t)i, 8);
        test_net_run_until(&t, t.now_ns + 10 * CLOCK_MS);
    }
    test_net_run(&t);
    /* 1000 probes in 10 s: three at once, and then one in each tenth of a second. */
    struct lab_truth_sum sum = sum_of(&t, APP, LAB_KIND_ECHO, 1);
    assert_int_equal(sum.errors, t.kept_count);
    assert_int_equal(sum.errors + sum.suppressed, 1000);
    assert_in_range(sum.errors, 102, 103);
    test_net_close(&t);
}

static void silent_nodes_pass_packets_on(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "node r2 silent\n");
    for (uint8_t ttl = 1; ttl <= 4; ttl++)
        test_net_echo(&t, 0, ME, APP, ttl, 1, ttl, 8);
    test_net_echo(&t, 0, ME, "198.51.100.2", 64, 1, 9, 8);
    test_net_run(&t);
    assert_int_equal(t.kept_count, 3);
    assert_int_equal(sum_of(&t, APP, LAB_KIND_ECHO, 2).suppressed, 1);
    test_net_close(&t);
}

#define DIAMOND                                                                                                       \
    "vantage ams address 198.18.1.2/24\nrouter a address 198.51.100.1\nrouter b1 address 198.51.100.11\n"             \
    "router b2 address 198.51.100.12\nrouter b3 address 198.51.100.13\nrouter c address 198.51.100.2\n"               \
    "host app address 198.18.10.10\nlink ams a\nlink a b1\nlink a b2\nlink a b3\nlink b1 c\nlink b2 c\nlink b3 c\n"   \
    "link c app\n"

static void a_flow_keeps_its_way(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, DIAMOND);
    unsigned used[3] = {0};
    for (uint16_t port = 40000; port < 40300; port++) {
        char first[LAB_ADDR_TEXT_BYTES] = "";
        for (int again = 0; again < 3; again++) {
            test_net_udp(&t, 0, ME, APP, 2, port, 33434, 12);
            test_net_run(&t);
            const char *from = test_source(test_net_take(&t, NULL));
            if (again == 0)
                memcpy(first, from, strlen(from) + 1);
            assert_string_equal(first, from);
        }
        used[first[strlen(first) - 1] - '1']++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(used[i], 70, 130);
    test_net_close(&t);
}

static void per_packet_balancing_does_not(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, DIAMOND "node a per-packet\n");
    unsigned used[3] = {0};
    for (uint16_t i = 0; i < 300; i++) {
        test_net_udp(&t, 0, ME, APP, 2, 40000, 33434, 12);
        test_net_run(&t);
        const char *from = test_source(test_net_take(&t, NULL));
        used[from[strlen(from) - 1] - '1']++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(used[i], 70, 130);
    test_net_close(&t);
}

static void a_firewall_answers_as_told(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "firewall r2 allow tcp port 443\nfirewall r2 deny tcp port 80 with reset\n"
                            "firewall r2 deny tcp port 81 with port-unreachable\nfirewall r2 deny udp\n"
                            "firewall r2 deny echo to 198.18.10.0/24 with prohibited\nnode app tcp 443 open\n");
    struct test_tcp syn = {.source_port = 40000, .port = 443, .seq = 100, .flags = LAB_TCP_SYN};
    test_net_tcp(&t, 0, ME, APP, &syn);
    test_net_run_until(&t, t.now_ns + 100 * CLOCK_MS);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(p->bytes[p->l4 + 13], LAB_TCP_SYN | LAB_TCP_ACK);
    syn.flags = LAB_TCP_RST;
    syn.seq = 101;
    test_net_tcp(&t, 0, ME, APP, &syn);
    syn.flags = LAB_TCP_SYN;
    syn.seq = 100;
    syn.port = 80;
    test_net_tcp(&t, 0, ME, APP, &syn);
    test_net_run(&t);
    p = test_net_take(&t, NULL);
    assert_int_equal(p->bytes[p->l4 + 13], LAB_TCP_RST | LAB_TCP_ACK);
    assert_string_equal(test_source(p), APP);
    assert_int_equal(bytes_get32(p->bytes + p->l4 + 8), 101);
    syn.port = 81;
    test_net_tcp(&t, 0, ME, APP, &syn);
    test_net_udp(&t, 0, ME, APP, 64, 1, 2, 4);
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 8);
    test_net_run(&t);
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_code(p), 3);
    assert_string_equal(test_source(p), "198.51.100.2");
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 3);
    assert_int_equal(test_icmp_code(p), 13);
    assert_string_equal(test_source(p), "198.51.100.2");
    assert_null(test_net_take(&t, NULL));
    all_are_intact(&t);
    test_net_close(&t);
}

static void corrupted_packets_die_at_the_receiver(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nhost app address 198.18.10.10\n"
                      "link ams r1 corrupt 100% from ams\nlink r1 app\n");
    test_net_echo(&t, 0, ME, APP, 64, 1, 1, 100);
    test_net_udp(&t, 0, ME, APP, 64, 1, 2, 100);
    test_net_run(&t);
    assert_int_equal(t.kept_count, 0);
    assert_int_equal(sum_of(&t, APP, LAB_KIND_ECHO, 0).lost_forward, 1);
    test_net_close(&t);
}

static void blocks_answer_for_all_their_hosts(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "block 198.18.32.0/20 behind r3 delay 1ms udp-echo 7\n");
    for (unsigned i = 0; i < 4096; i += 15) {
        char to[32];
        (void)snprintf(to, sizeof to, "198.18.%u.%u", 32 + i / 256, i % 256);
        test_net_echo(&t, 0, ME, to, 64, 1, (uint16_t)i, 8);
        test_net_run(&t);
        assert_string_equal(test_source(test_net_take(&t, NULL)), to);
    }
    test_net_udp(&t, 0, ME, "198.18.33.7", 64, 5000, 7, 9);
    test_net_udp(&t, 0, ME, "198.18.33.7", 64, 5000, 8, 9);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(lab_packet_port(p, false), 7);
    assert_int_equal(lab_packet_port(p, true), 5000);
    p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 3);
    assert_int_equal(test_icmp_code(p), 3);
    assert_string_equal(test_source(p), "198.18.33.7");
    all_are_intact(&t);
    test_net_close(&t);
}

static void a_link_with_a_rate_queues(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, "vantage ams address 198.18.1.2/24\nrouter r1\nhost app address 198.18.10.10\n"
                      "link ams r1 rate 8mbit from ams queue 10ms\nlink r1 app\n");
    int64_t sent = t.now_ns, due;
    for (uint16_t i = 0; i < 20; i++)
        test_net_echo(&t, 0, ME, APP, 64, 1, i, 972); /* 1000 bytes: 1 ms each */
    test_net_run(&t);
    for (int64_t i = 1; i <= 11; i++) {
        assert_non_null(test_net_take(&t, &due));
        assert_int_equal(due - sent, i * CLOCK_MS);
    }
    assert_null(test_net_take(&t, NULL));
    assert_int_equal(sum_of(&t, APP, LAB_KIND_ECHO, 0).lost_forward, 9);
    test_net_close(&t);
}

static void faults_follow_the_wall_clock(void **state)
{
    (void)state;
    struct test_net t;
    /* The check's wall clock begins at 1000 s after the epoch: 10 s into the period of 30 s. */
    test_net_open(&t, CHAIN "router alt address 198.51.100.9\nlink r1 alt delay 50ms metric 50\nlink alt r3 metric 50\n"
                            "every 30s for 5s offset 15s { link r1 r2 down }\n"
                            "after 60s for 5s { node app silent }\nat 1970-01-01T00:18:20Z for 10s { link r1 r2 delay "
                            "+70ms; link ams r1 loss 100% to ams }\n");
    static const struct {
        int64_t at_s;
        int64_t rtt_ms; /* 0 = no answer */
    } cases[] = {{1000, 20}, {1004, 20}, {1005, 110}, {1009, 110}, {1010, 20}, {1036, 110},
                 {1060, 0},  {1064, 0},  {1066, 110}, {1071, 20},  {1100, 0},  {1111, 20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_net_run_until(&t, cases[i].at_s * CLOCK_S);
        int64_t sent = t.now_ns, due;
        test_net_echo(&t, 0, ME, APP, 64, 1, (uint16_t)i, 8);
        test_net_run(&t);
        const struct lab_packet *p = test_net_take(&t, &due);
        if (cases[i].rtt_ms == 0)
            assert_null(p);
        else
            assert_int_equal(due - sent, cases[i].rtt_ms * CLOCK_MS);
    }
    test_net_close(&t);
}

static void vantages_reach_one_another(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN "vantage fra address 198.18.2.2/24\nlink fra r3 delay 5ms\n");
    test_net_udp(&t, 0, ME, "198.18.2.2", 64, 9000, 9001, 30);
    int64_t sent = t.now_ns, due;
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, &due);
    assert_int_equal(t.kept[0]->vantage, 1);
    assert_int_equal(lab_packet_ttl(p), 61);
    assert_int_equal(due - sent, 11 * CLOCK_MS);
    all_are_intact(&t);
    test_net_close(&t);
}

static void garbage_is_dropped(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, CHAIN);
    uint8_t bytes[LAB_PACKET_BYTES + 10] = {0x45};
    for (size_t size = 0; size < sizeof bytes; size += 7)
        lab_net_input(t.net, 0, bytes, size, t.now_ns);
    memset(bytes, 0xff, sizeof bytes);
    lab_net_input(t.net, 0, bytes, 100, t.now_ns);
    test_net_run(&t);
    assert_int_equal(t.kept_count, 0);
    test_net_close(&t);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(an_echo_takes_both_ways),
        cmocka_unit_test(each_ttl_is_answered_by_its_router),
        cmocka_unit_test(a_strict_host_says_time_exceeded),
        cmocka_unit_test(loss_is_what_the_truth_says),
        cmocka_unit_test(the_same_seed_repeats_itself),
        cmocka_unit_test(jitter_stays_in_its_bounds_and_keeps_order),
        cmocka_unit_test(duplicates_and_reordering_are_counted),
        cmocka_unit_test(a_loop_ends),
        cmocka_unit_test(unreachable_is_told_by_the_right_code),
        cmocka_unit_test(a_packet_too_big_is_told_the_mtu),
        cmocka_unit_test(a_rate_limit_is_exact),
        cmocka_unit_test(silent_nodes_pass_packets_on),
        cmocka_unit_test(a_flow_keeps_its_way),
        cmocka_unit_test(per_packet_balancing_does_not),
        cmocka_unit_test(a_firewall_answers_as_told),
        cmocka_unit_test(corrupted_packets_die_at_the_receiver),
        cmocka_unit_test(blocks_answer_for_all_their_hosts),
        cmocka_unit_test(a_link_with_a_rate_queues),
        cmocka_unit_test(faults_follow_the_wall_clock),
        cmocka_unit_test(vantages_reach_one_another),
        cmocka_unit_test(garbage_is_dropped),
    };
    return cmocka_run_group_tests_name("lab net", checks, NULL, NULL);
}
