/* Checks of MPLS tunnels: what each kind shows and hides, and the bytes of the extensions (RFC 4884, RFC 4950). */
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

#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter pe1 address 198.51.100.11 v6 2001:db8:f::11\n"           \
    "router p1 address 198.51.100.12 v6 2001:db8:f::12\nrouter p2 address 198.51.100.13 v6 2001:db8:f::13\n"          \
    "router pe2 address 198.51.100.14 v6 2001:db8:f::14\nhost app address 198.18.10.10 v6 2001:db8:a::10\n"           \
    "defaults link delay 1ms\nlink ams r1\nlink r1 pe1\nlink pe1 p1\nlink p1 p2\nlink p2 pe2\nlink pe2 app\n"

struct seen {
    char from[64];
    int quoted_ttl, reply_ttl;
    uint32_t labels[4]; /* whole entries */
    unsigned label_count;
    int64_t rtt_ns;
    size_t size;
};

/* Reads the extension of an error as a receiver does; the length field tells where it begins. */
static void read_labels(const struct lab_packet *p, struct seen *seen)
{
    const uint8_t *icmp = p->bytes + p->l4;
    size_t size = (size_t)p->size - p->l4, quote = p->is_v4 ? icmp[5] * 4u : icmp[4] * 8u;
    seen->label_count = 0;
    if (quote == 0)
        return;
    assert_int_equal(quote, 128);
    const uint8_t *ext = icmp + 8 + quote;
    size_t ext_size = size - 8 - quote;
    assert_true(ext_size >= 12);
    assert_int_equal(ext[0] >> 4, 2);
    assert_int_equal(lab_checksum(ext, ext_size, 0), 0);
    size_t object = (size_t)ext[4] << 8 | ext[5];
    assert_int_equal(object + 4, ext_size);
    assert_int_equal(ext[6], 1);
    assert_int_equal(ext[7], 1);
    seen->label_count = (unsigned)(object - 4) / 4;
    for (unsigned i = 0; i < seen->label_count; i++)
        seen->labels[i] = bytes_get32(ext + 8 + i * 4);
    /* What the short packet did not fill is zero. */
    size_t quoted = p->is_v4 ? 28 + 20 : 48 + 20;
    for (size_t i = quoted; i < 128; i++)
        assert_int_equal(icmp[8 + i], 0);
}

static struct seen probe(struct test_net *t, bool is_v6, uint8_t ttl)
{
    struct seen seen = {.quoted_ttl = -1};
    int64_t sent = t->now_ns, due = 0;
    test_net_echo(t, 0, is_v6 ? ME6 : ME, is_v6 ? APP6 : APP, ttl, 1, ttl, 20);
    test_net_run(t);
    const struct lab_packet *p = test_net_take(t, &due);
    assert_non_null(p);
    assert_true(lab_packet_is_intact(p));
    (void)snprintf(seen.from, sizeof seen.from, "%s", test_source(p));
    seen.reply_ttl = lab_packet_ttl(p);
    seen.rtt_ns = due - sent;
    seen.size = p->size;
    if (test_icmp_type(p) == (is_v6 ? 3 : 11)) {
        seen.quoted_ttl = p->bytes[p->l4 + 8 + (is_v6 ? 7 : 8)];
        read_labels(p, &seen);
    }
    return seen;
}

static uint32_t entry(uint32_t label, uint32_t tc, uint32_t s, uint32_t ttl)
{
    return label << 12 | tc << 9 | s << 8 | ttl;
}

static void explicit_tunnels_show_every_label(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 explicit labels 16001 16002\n");
    static const char *const hops[2][6] = {
        {"198.51.100.1", "198.51.100.11", "198.51.100.12", "198.51.100.13", "198.51.100.14", APP},
        {"2001:db8:f::1", "2001:db8:f::11", "2001:db8:f::12", "2001:db8:f::13", "2001:db8:f::14", APP6}};
    static const int quoted[6] = {1, 1, 1, 2, 1, -1};
    static const uint32_t labels[6] = {0, 0, 16001, 16002, 0, 0};
    for (int v6 = 0; v6 < 2; v6++) {
        for (uint8_t ttl = 1; ttl <= 6; ttl++) {
            struct seen seen = probe(&t, v6, ttl);
            assert_string_equal(seen.from, hops[v6][ttl - 1]);
            assert_int_equal(seen.quoted_ttl, quoted[ttl - 1]);
            assert_int_equal(seen.label_count, labels[ttl - 1] ? 1 : 0);
            if (labels[ttl - 1]) {
                assert_int_equal(seen.labels[0], entry(labels[ttl - 1], 0, 1, 1));
                assert_int_equal(seen.size, (v6 ? 40 : 20) + 8 + 128 + 12);
            }
        }
    }
    test_net_close(&t);
}

static void a_stack_of_two_has_one_bottom(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 explicit labels 16001 16002 bottom 30001 tc 5\n");
    struct seen seen = probe(&t, false, 4);
    assert_int_equal(seen.label_count, 2);
    assert_int_equal(seen.labels[0], entry(16002, 5, 0, 1));
    assert_int_equal(seen.labels[1], entry(30001, 5, 1, 1));
    test_net_close(&t);
}

static void implicit_tunnels_show_in_the_quoted_ttl_and_the_way_back(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 implicit uturn\n");
    struct seen p1 = probe(&t, false, 3), p2 = probe(&t, false, 4), pe2 = probe(&t, false, 5);
    assert_string_equal(p1.from, "198.51.100.12");
    assert_int_equal(p1.label_count, 0);
    assert_int_equal(p1.quoted_ttl, 1);
    assert_int_equal(p2.quoted_ttl, 2);
    assert_int_equal(pe2.quoted_ttl, 1);
    /* The error of p1 goes on to pe2 and comes back from there: two links more each way than p2's. */
    assert_int_equal(p1.rtt_ns, (3 + 2 + 5) * CLOCK_MS);
    assert_int_equal(p2.rtt_ns, (4 + 1 + 5) * CLOCK_MS);
    assert_int_equal(pe2.rtt_ns, 10 * CLOCK_MS);
    test_net_close(&t);
}

static void opaque_tunnels_show_one_label_near_255(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 opaque labels 16001 16002 16003\n");
    struct seen pe1 = probe(&t, false, 2), pe2 = probe(&t, false, 3), app = probe(&t, false, 4);
    assert_string_equal(pe1.from, "198.51.100.11");
    assert_string_equal(pe2.from, "198.51.100.14");
    assert_int_equal(pe2.label_count, 1);
    assert_int_equal(pe2.labels[0], entry(16003, 0, 1, 255 - 2)); /* two routers are hidden */
    assert_int_equal(pe2.quoted_ttl, 1);
    assert_string_equal(app.from, APP);
    test_net_close(&t);
}

static void invisible_tunnels_show_nothing(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 invisible\n");
    struct seen pe2 = probe(&t, false, 3);
    assert_string_equal(pe2.from, "198.51.100.14");
    assert_int_equal(pe2.label_count, 0);
    assert_int_equal(pe2.quoted_ttl, 1);
    assert_string_equal(probe(&t, false, 4).from, APP);
    test_net_close(&t);
}

static void hidden_routers_show_on_the_way_back(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 invisible\nmpls pe2 p2 p1 pe1 invisible lesser-ttl\n"
                            "node pe2 echo-ttl 64\n");
    assert_int_equal(probe(&t, false, 2).reply_ttl, 255 - 1);
    assert_int_equal(probe(&t, false, 3).reply_ttl, 255 - 2 - 2); /* two more than the hops tell */
    test_net_echo(&t, 0, ME, "198.51.100.14", 64, 1, 9, 20);
    test_net_run(&t);
    assert_int_equal(lab_packet_ttl(test_net_take(&t, NULL)), 64 - 2); /* the label's TTL never was the lesser */
    test_net_close(&t);
}

static void routers_may_not_know_labels(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 explicit labels 16001 16002\nnode p1 no-labels\n");
    assert_int_equal(probe(&t, false, 3).label_count, 0);
    assert_int_equal(probe(&t, false, 4).label_count, 1);
    test_net_close(&t);
}

static void old_routers_leave_the_length_zero(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "mpls pe1 p1 p2 pe2 explicit labels 16001 16002\nnode p1 length-zero\n");
    test_net_echo(&t, 0, ME, APP, 3, 1, 1, 400);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    const uint8_t *icmp = p->bytes + p->l4;
    assert_int_equal(icmp[5], 0);
    assert_int_equal(p->size, 20 + 8 + 128 + 12);
    assert_int_equal(lab_checksum(icmp + 8 + 128, 12, 0), 0);
    assert_int_equal(bytes_get32(icmp + 8 + 128 + 8), entry(16001, 0, 1, 1));
    test_net_close(&t);
}

static void a_tunnel_is_left_when_its_link_is_down(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NODES "link p1 pe2 metric 50\nmpls pe1 p1 p2 pe2 explicit\nafter 10s { link p1 p2 down }\n");
    assert_int_equal(probe(&t, false, 3).label_count, 1);
    test_net_run_until(&t, t.now_ns + 11 * CLOCK_S);
    assert_int_equal(probe(&t, false, 3).label_count, 0);
    assert_string_equal(probe(&t, false, 5).from, APP);
    test_net_close(&t);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(explicit_tunnels_show_every_label),
        cmocka_unit_test(a_stack_of_two_has_one_bottom),
        cmocka_unit_test(implicit_tunnels_show_in_the_quoted_ttl_and_the_way_back),
        cmocka_unit_test(opaque_tunnels_show_one_label_near_255),
        cmocka_unit_test(invisible_tunnels_show_nothing),
        cmocka_unit_test(hidden_routers_show_on_the_way_back),
        cmocka_unit_test(routers_may_not_know_labels),
        cmocka_unit_test(old_routers_leave_the_length_zero),
        cmocka_unit_test(a_tunnel_is_left_when_its_link_is_down),
    };
    return cmocka_run_group_tests_name("lab mpls", checks, NULL, NULL);
}
