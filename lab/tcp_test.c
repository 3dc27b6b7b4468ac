/* Checks of the simulated TCP end: handshakes, SACK blocks, resets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "lab/test_net.h"

#define ME "198.18.1.2"
#define HOST "198.18.10.1"
#define NET                                                                                                           \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\n"                                              \
    "host one address 198.18.10.1 v6 2001:db8:a::1 tcp 80,443 open tcp 25 silent\n"                                   \
    "host two address 198.18.10.2 tcp 80 open sack not-permitted timestamps off mss 1200\n"                           \
    "host three address 198.18.10.3 tcp 80 open sack never-sent\n"                                                    \
    "host four address 198.18.10.4 tcp 80 open compressed-acks on\n"                                                   \
    "host five address 198.18.10.5 tcp 80 open compressed-acks warm\n"                                                 \
    "host six address 198.18.10.6 tcp 80 open tcp 81 rejected backlog 3 timestamps lax syn-ack-retries 1\n"             \
    "link ams r1 delay 5ms\nlink r1 one\nlink r1 two\nlink r1 three\nlink r1 four\nlink r1 five\nlink r1 six\n"

#define SYN LAB_TCP_SYN
#define ACK LAB_TCP_ACK
#define RST LAB_TCP_RST
#define FIN LAB_TCP_FIN

/* MSS 1460, SACK permitted, timestamps of value 77, window scale 7. */
static const uint8_t syn_options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 77, 0, 0, 0, 0, 1, 3, 3, 7};
static const uint8_t sack_only[4] = {1, 1, 4, 2};

struct answer {
    uint8_t flags;
    uint32_t seq, ack;
    uint16_t mss;
    bool has_sack_permitted, has_scale, has_timestamps;
    uint32_t ts_value, ts_echo;
    unsigned block_count;
    uint32_t blocks[4][2];
};

static void read_option(const uint8_t *o, struct answer *a)
{
    switch (o[0]) {
    case 2:
        a->mss = (uint16_t)(o[2] << 8 | o[3]);
        break;
    case 3:
        a->has_scale = true;
        break;
    case 4:
        a->has_sack_permitted = true;
        break;
    case 5:
        a->block_count = (o[1] - 2u) / 8;
        for (unsigned i = 0; i < a->block_count; i++) {
            a->blocks[i][0] = bytes_get32(o + 2 + i * 8);
            a->blocks[i][1] = bytes_get32(o + 6 + i * 8);
        }
        break;
    case 8:
        a->has_timestamps = true;
        a->ts_value = bytes_get32(o + 2);
        a->ts_echo = bytes_get32(o + 6);
        break;
    default:
        fail_msg("option %u", o[0]);
    }
}

/* Sends one segment and reads the one answer; false when there is none. */
static bool talk(struct test_net *t, const char *to, const struct test_tcp *tcp, struct answer *a)
{
    bool is_v6 = strchr(to, ':') != NULL;
    test_net_tcp(t, 0, is_v6 ? "2001:db8:1::2" : ME, to, tcp);
    test_net_run_until(t, t->now_ns + 10 * CLOCK_MS); /* one round trip: nothing is sent again yet */
    const struct lab_packet *p = test_net_take(t, NULL);
    if (!p)
        return false;
    assert_null(test_net_take(t, NULL));
    assert_true(lab_packet_is_intact(p));
    assert_int_equal(p->protocol, LAB_IPPROTO_TCP);
    assert_int_equal(lab_packet_port(p, false), tcp->port);
    assert_int_equal(lab_packet_port(p, true), tcp->source_port);
    const uint8_t *l4 = p->bytes + p->l4;
    *a = (struct answer){.flags = l4[13], .seq = bytes_get32(l4 + 4), .ack = bytes_get32(l4 + 8)};
    for (size_t at = 20, end = (size_t)(l4[12] >> 4) * 4; at < end; at += l4[at] == 1 ? 1 : l4[at + 1])
        if (l4[at] != 1)
            read_option(l4 + at, a);
    return true;
}

static void a_handshake_offers_what_was_asked_for(void **state)
{
    (void)state;
    static const char *const hosts[] = {HOST, "2001:db8:a::1"};
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    for (int i = 0; i < 2; i++) {
        struct test_tcp syn = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .options = syn_options,
                               .options_size = sizeof syn_options};
        assert_true(talk(&t, hosts[i], &syn, &a));
        assert_int_equal(a.flags, SYN | ACK);
        assert_int_equal(a.ack, 1001);
        assert_int_equal(a.mss, i ? 1440 : 1460);
        assert_true(a.has_sack_permitted && a.has_scale && a.has_timestamps);
        assert_int_equal(a.ts_echo, 77);
        uint32_t isn = a.seq;
        assert_true(talk(&t, hosts[i], &syn, &a)); /* sent again, answered alike */
        assert_int_equal(a.seq, isn);
        assert_int_equal(a.ack, 1001);
        assert_false(talk(&t, hosts[i], &syn, &a)); /* but not too often */
        syn.options_size = 0;
        syn.source_port = 4001;
        assert_true(talk(&t, hosts[i], &syn, &a));
        assert_false(a.has_sack_permitted || a.has_scale || a.has_timestamps);
    }
    struct test_tcp syn = {.source_port = 4000, .port = 80, .seq = 1, .flags = SYN, .options = syn_options,
                           .options_size = sizeof syn_options};
    assert_true(talk(&t, "198.18.10.2", &syn, &a));
    assert_int_equal(a.mss, 1200);
    assert_false(a.has_sack_permitted || a.has_timestamps);
    assert_true(talk(&t, "198.18.10.3", &syn, &a));
    assert_true(a.has_sack_permitted);
    test_net_close(&t);
}

static void closed_ports_reset_and_silent_ones_do_not(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp segment = {.source_port = 4000, .port = 81, .seq = 1000, .flags = SYN};
    assert_true(talk(&t, HOST, &segment, &a));
    assert_int_equal(a.flags, RST | ACK);
    assert_int_equal(a.ack, 1001);
    assert_int_equal(a.seq, 0);
    segment.port = 25;
    assert_false(talk(&t, HOST, &segment, &a));
    /* To an open port, but of no connection: RFC 9293 3.10.7.1. */
    segment = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1000, .ack = 555, .flags = ACK};
    assert_true(talk(&t, HOST, &segment, &a));
    assert_int_equal(a.flags, RST);
    assert_int_equal(a.seq, 555);
    segment.flags = RST;
    assert_false(talk(&t, HOST, &segment, &a));
    test_net_close(&t);
}

/* Opens a connection with SACK and no timestamps; the next sequence number to send is 1001. */
static struct test_tcp open_connection(struct test_net *t, const char *host)
{
    struct answer a;
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .options = sack_only,
                           .options_size = sizeof sack_only};
    assert_true(talk(t, host, &tcp, &a));
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1001, .ack = a.seq + 1, .flags = ACK};
    assert_false(talk(t, host, &tcp, &a));
    return tcp;
}

static void bytes_beyond_a_hole_draw_sacks(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp data = open_connection(&t, HOST);
    data.payload = 1;
    /* One byte after a hole of one, and then bytes that extend it. */
    for (uint32_t i = 0; i < 50; i++) {
        data.seq = 1002 + i;
        assert_true(talk(&t, HOST, &data, &a));
        assert_int_equal(a.flags, ACK);
        assert_int_equal(a.ack, 1001);
        assert_int_equal(a.block_count, 1);
        assert_int_equal(a.blocks[0][0], 1002);
        assert_int_equal(a.blocks[0][1], 1003 + i);
    }
    /* With gaps between them: the newest block comes first, four at most. */
    for (uint32_t i = 0; i < 6; i++) {
        data.seq = 1100 + i * 10;
        assert_true(talk(&t, HOST, &data, &a));
        assert_int_equal(a.blocks[0][0], data.seq);
        assert_int_equal(a.blocks[0][1], data.seq + 1);
        assert_int_equal(a.block_count, i + 2 < 4 ? i + 2 : 4);
    }
    /* A byte that was delivered before: a duplicate told below the acknowledgement (RFC 2883). */
    data.seq = 1000;
    assert_true(talk(&t, HOST, &data, &a));
    assert_int_equal(a.blocks[0][0], 1000);
    assert_int_equal(a.blocks[0][1], 1001);
    /* The hole is filled: what lay behind it is acknowledged. */
    data.seq = 1001;
    assert_true(talk(&t, HOST, &data, &a));
    assert_true(a.ack >= 1002);
    test_net_close(&t);
}

static void filling_the_hole_acknowledges_all(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp data = open_connection(&t, HOST);
    data.payload = 10;
    data.seq = 1011;
    assert_true(talk(&t, HOST, &data, &a));
    assert_int_equal(a.block_count, 1);
    data.seq = 1001;
    assert_true(talk(&t, HOST, &data, &a));
    assert_int_equal(a.ack, 1021);
    assert_int_equal(a.block_count, 0);
    /* FIN in order: acknowledged, and the other side closes too. */
    data.payload = 0;
    data.seq = 1021;
    data.flags = FIN | ACK;
    assert_true(talk(&t, HOST, &data, &a));
    assert_int_equal(a.flags, FIN | ACK);
    assert_int_equal(a.ack, 1022);
    data.flags = ACK;
    data.seq = 1022;
    data.ack = a.seq + 1;
    assert_false(talk(&t, HOST, &data, &a));
    assert_true(talk(&t, HOST, &data, &a)); /* the connection is gone */
    assert_int_equal(a.flags, RST);
    test_net_close(&t);
}

static void hosts_without_sack_acknowledge_plainly(void **state)
{
    (void)state;
    static const char *const hosts[] = {"198.18.10.2", "198.18.10.3"};
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    for (int i = 0; i < 2; i++) {
        struct test_tcp data = open_connection(&t, hosts[i]);
        data.payload = 1;
        data.seq = 1002;
        assert_true(talk(&t, hosts[i], &data, &a));
        assert_int_equal(a.ack, 1001);
        assert_int_equal(a.block_count, 0);
    }
    test_net_close(&t);
}

static void agreed_timestamps_are_needed(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN, .options = syn_options,
                           .options_size = sizeof syn_options};
    assert_true(talk(&t, HOST, &tcp, &a));
    uint8_t options[12] = {1, 1, 8, 10, 0, 0, 0, 99};
    tcp = (struct test_tcp){.source_port = 4000, .port = 80, .seq = 1001, .ack = a.seq + 1, .flags = ACK,
                            .options = options, .options_size = sizeof options};
    assert_false(talk(&t, HOST, &tcp, &a));
    tcp.seq = 1005;
    tcp.payload = 1;
    tcp.options_size = 0;
    assert_false(talk(&t, HOST, &tcp, &a)); /* without them: dropped, RFC 7323 3.2 */
    tcp.options_size = sizeof options;
    assert_true(talk(&t, HOST, &tcp, &a));
    assert_int_equal(a.ts_echo, 99);
    assert_int_equal(a.block_count, 1);
    test_net_close(&t);
}

/* When the segments that came out since `from` were due, in microseconds after it; returns their number. */
static unsigned dues_of(struct test_net *t, int64_t from_ns, int64_t *dues, unsigned room)
{
    unsigned count = 0;
    int64_t due;
    while (test_net_take(t, &due)) {
        assert_true(count < room);
        dues[count++] = (due - from_ns) / CLOCK_US;
    }
    return count;
}

static struct lab_truth_sum sum_of(const struct test_net *t, const char *to, enum lab_kind kind)
{
    struct lab_truth_sum sum;
    lab_truth_sum(t->truth, 0, to, kind, 0, &sum);
    return sum;
}

static void a_handshake_is_tried_again_until_it_is_ended(void **state)
{
    (void)state;
    static const int64_t all[6] = {10000, 1010000, 3010000, 7010000, 15010000, 31010000};
    int64_t dues[8];
    for (int way = 0; way < 3; way++) { /* nothing; a reset after 2 s; an acknowledgement after 2 s */
        struct test_net t;
        test_net_open(&t, NET);
        int64_t begin = t.now_ns;
        struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN};
        test_net_tcp(&t, 0, ME, HOST, &tcp);
        test_net_run_until(&t, begin + 2 * CLOCK_S);
        uint32_t isn = bytes_get32(t.kept[0]->packet.bytes + 24);
        assert_int_equal(bytes_get32(t.kept[1]->packet.bytes + 24), isn);
        tcp.seq = 1001;
        tcp.flags = way == 1 ? RST : ACK;
        tcp.ack = way == 1 ? 0 : isn + 1;
        if (way > 0)
            test_net_tcp(&t, 0, ME, HOST, &tcp);
        test_net_run(&t);
        unsigned count = dues_of(&t, begin, dues, 8);
        assert_int_equal(count, way == 0 ? 6 : 2);
        assert_memory_equal(dues, all, count * sizeof *dues);
        struct lab_truth_sum sum = sum_of(&t, HOST, LAB_KIND_TCP_SYN);
        assert_int_equal(sum.sent, 1);
        assert_int_equal(sum.received, 1);
        assert_int_equal(sum.duplicates, 0);
        assert_int_equal(sum.again, count - 1);
        test_net_close(&t);
    }
}

static void a_reset_must_have_the_right_number(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp tcp = {.source_port = 4100, .port = 80, .seq = 1000, .flags = SYN};
    assert_true(talk(&t, HOST, &tcp, &a)); /* half-open */
    tcp.flags = RST;
    tcp.seq = 1005;
    assert_true(talk(&t, HOST, &tcp, &a));
    assert_int_equal(a.flags, ACK);
    assert_int_equal(a.ack, 1001);
    tcp.seq = 1001;
    assert_false(talk(&t, HOST, &tcp, &a));
    tcp = open_connection(&t, HOST);
    tcp.flags = RST;
    tcp.ack = 0;
    tcp.seq = 1000; /* before the window: nothing */
    assert_false(talk(&t, HOST, &tcp, &a));
    tcp.seq = 1005; /* in the window and not expected: a challenge */
    assert_true(talk(&t, HOST, &tcp, &a));
    assert_int_equal(a.flags, ACK);
    assert_int_equal(a.ack, 1001);
    tcp.seq = 1001;
    assert_false(talk(&t, HOST, &tcp, &a));
    tcp.flags = ACK;
    tcp.ack = 77;
    assert_true(talk(&t, HOST, &tcp, &a)); /* the connection is gone */
    assert_int_equal(a.flags, RST);
    assert_int_equal(a.seq, 77);
    test_net_close(&t);
}

static void a_second_syn_meets_the_first(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN};
    assert_true(talk(&t, HOST, &tcp, &a));
    uint32_t isn = a.seq;
    tcp.seq = 900; /* before the window: an acknowledgement, one in 500 ms */
    assert_true(talk(&t, HOST, &tcp, &a));
    assert_int_equal(a.flags, ACK);
    assert_int_equal(a.seq, isn + 1);
    assert_int_equal(a.ack, 1001);
    assert_false(talk(&t, HOST, &tcp, &a));
    tcp.seq = 1007; /* within: the half-open connection is reset */
    assert_true(talk(&t, HOST, &tcp, &a));
    assert_int_equal(a.flags, RST | ACK);
    assert_int_equal(a.ack, 1008);
    assert_true(talk(&t, HOST, &tcp, &a)); /* and is made anew */
    assert_int_equal(a.flags, SYN | ACK);
    assert_int_equal(a.ack, 1008);
    test_net_close(&t);
}

static void duplicates_behind_the_hole_are_told(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp data = open_connection(&t, HOST);
    data.payload = 10;
    data.seq = 1011;
    assert_true(talk(&t, HOST, &data, &a));
    data.seq = 1031;
    assert_true(talk(&t, HOST, &data, &a));
    data.seq = 1011; /* again: RFC 2883 section 4.1.2 */
    assert_true(talk(&t, HOST, &data, &a));
    assert_int_equal(a.block_count, 3);
    assert_int_equal(a.blocks[0][0], 1011);
    assert_int_equal(a.blocks[0][1], 1021);
    assert_int_equal(a.blocks[1][0], 1011);
    assert_int_equal(a.blocks[1][1], 1021);
    assert_int_equal(a.blocks[2][0], 1031);
    test_net_close(&t);
}

/* Sends probes of one byte behind a hole of one, each by its own, and says how much later than 10 ms each SACK came. */
static void probe_behind_a_hole(struct test_net *t, const char *host, struct test_tcp *data, unsigned count,
                                unsigned nudge_every, int64_t *late_us)
{
    data->payload = 1;
    uint32_t hole = data->seq;
    for (unsigned i = 0; i < count; i++) {
        int64_t begin = t->now_ns;
        if (nudge_every > 0 && i % nudge_every == 0) {
            data->seq = hole - 1;
            test_net_tcp(t, 0, ME, host, data);
        }
        data->seq = hole + 1 + i;
        test_net_tcp(t, 0, ME, host, data);
        test_net_run_until(t, begin + 40 * CLOCK_MS);
        int64_t dues[2];
        unsigned answers = dues_of(t, begin, dues, 2);
        assert_int_equal(answers, 1 + (nudge_every > 0 && i % nudge_every == 0));
        late_us[i] = dues[answers - 1] - 10000;
    }
}

static void compressed_acknowledgements_are_late_as_on_linux(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool has_sent;
        unsigned nudge_every;
        int64_t late_us; /* from the fourth probe on */
    } cases[] = {{HOST, false, 0, 0},            {"198.18.10.4", false, 0, 100}, {"198.18.10.4", true, 0, 600},
                 {"198.18.10.5", false, 0, 600}, {"198.18.10.4", true, 10, 0},   {"198.18.10.5", false, 10, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_net t;
        struct answer a;
        int64_t late_us[50];
        test_net_open(&t, NET);
        struct test_tcp data = open_connection(&t, cases[i].host);
        if (cases[i].has_sent) {
            data.payload = 600;
            assert_true(talk(&t, cases[i].host, &data, &a));
            data.seq += 600;
        }
        probe_behind_a_hole(&t, cases[i].host, &data, 50, cases[i].nudge_every, late_us);
        for (unsigned k = 0; k < 50; k++)
            assert_int_equal(late_us[k], k < 3 ? 0 : cases[i].late_us);
        struct lab_truth_sum sum = sum_of(&t, cases[i].host, LAB_KIND_TCP_DATA);
        assert_int_equal(sum.sent, 50 + cases[i].has_sent);
        assert_int_equal(sum.received, sum.sent);
        assert_int_equal(sum.rtt_max_ns, 10 * CLOCK_MS + cases[i].late_us * CLOCK_US);
        assert_int_equal(sum_of(&t, cases[i].host, LAB_KIND_TCP_OLD).sent, cases[i].nudge_every ? 5 : 0);
        test_net_close(&t);
    }
}

static void one_compressed_acknowledgement_answers_many(void **state)
{
    (void)state;
    struct test_net t;
    int64_t dues[64];
    test_net_open(&t, NET);
    struct test_tcp data = open_connection(&t, "198.18.10.5");
    data.payload = 1;
    int64_t begin = t.now_ns;
    for (uint32_t i = 0; i < 60; i++) {
        data.seq = 1002 + i;
        test_net_tcp(&t, 0, ME, "198.18.10.5", &data);
    }
    test_net_run(&t);
    /* Three at once, the 48th stands for the 44 before it, and the timer for the rest. */
    assert_int_equal(dues_of(&t, begin, dues, 64), 5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(dues[i], 10000);
    assert_int_equal(dues[4], 10600);
    struct lab_truth_sum sum = sum_of(&t, "198.18.10.5", LAB_KIND_TCP_DATA);
    assert_int_equal(sum.sent, 60);
    assert_int_equal(sum.received, 60);
    assert_int_equal(sum.duplicates + sum.reordered, 0);
    assert_int_equal(sum.rtt_min_ns, 10 * CLOCK_MS);
    assert_int_equal(sum.rtt_max_ns, 10 * CLOCK_MS + 600 * CLOCK_US);
    assert_int_equal(sum.rtt_sum_ns, 60 * 10 * CLOCK_MS + 12 * 600 * CLOCK_US);
    test_net_close(&t);
}

static void half_open_connections_are_bounded(void **state)
{
    (void)state;
    struct test_net t;
    struct answer a;
    test_net_open(&t, NET);
    struct test_tcp tcp = {.source_port = 4000, .port = 80, .seq = 1000, .flags = SYN};
    for (uint16_t i = 0; i < 5; i++) {
        tcp.source_port = (uint16_t)(4000 + i);
        assert_int_equal(talk(&t, "198.18.10.6", &tcp, &a), i < 3);
    }
    assert_int_equal(sum_of(&t, "198.18.10.6", LAB_KIND_TCP_SYN).suppressed, 2);
    tcp.source_port = 4001;
    tcp.flags = RST;
    tcp.seq = 1001;
    assert_false(talk(&t, "198.18.10.6", &tcp, &a));
    tcp.source_port = 4010;
    tcp.flags = SYN;
    tcp.seq = 5;
    assert_true(talk(&t, "198.18.10.6", &tcp, &a));
    test_net_run(&t); /* tried once more, and forgotten after three seconds */
    tcp.source_port = 4020;
    t.taken = t.kept_count;
    assert_true(talk(&t, "198.18.10.6", &tcp, &a));
    test_net_close(&t);
}

static void a_rejected_port_is_unreachable(void **state)
{
    (void)state;
    struct test_net t;
    test_net_open(&t, NET);
    struct test_tcp tcp = {.source_port = 4000, .port = 81, .seq = 1000, .flags = SYN};
    test_net_tcp(&t, 0, ME, "198.18.10.6", &tcp);
    test_net_run(&t);
    const struct lab_packet *p = test_net_take(&t, NULL);
    assert_int_equal(test_icmp_type(p), 3);
    assert_int_equal(test_icmp_code(p), 3);
    assert_string_equal(test_source(p), "198.18.10.6");
    test_net_close(&t);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_handshake_is_tried_again_until_it_is_ended),
        cmocka_unit_test(a_reset_must_have_the_right_number),
        cmocka_unit_test(a_second_syn_meets_the_first),
        cmocka_unit_test(duplicates_behind_the_hole_are_told),
        cmocka_unit_test(compressed_acknowledgements_are_late_as_on_linux),
        cmocka_unit_test(one_compressed_acknowledgement_answers_many),
        cmocka_unit_test(half_open_connections_are_bounded),
        cmocka_unit_test(a_rejected_port_is_unreachable),
        cmocka_unit_test(a_handshake_offers_what_was_asked_for),
        cmocka_unit_test(closed_ports_reset_and_silent_ones_do_not),
        cmocka_unit_test(bytes_beyond_a_hole_draw_sacks),
        cmocka_unit_test(filling_the_hole_acknowledges_all),
        cmocka_unit_test(hosts_without_sack_acknowledge_plainly),
        cmocka_unit_test(agreed_timestamps_are_needed),
    };
    return cmocka_run_group_tests_name("lab tcp", checks, NULL, NULL);
}
