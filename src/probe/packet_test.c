/* Checks of packet.c, match.c and stamp.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "probe/match.h"
#include "probe/packet.h"
#include "probe/stamp.h"

static union sock_addr ip(const char *text)
{
    union sock_addr addr;
    assert_int_equal(sock_parse_ip(text, &addr), 0);
    return addr;
}

/* An IPv4 header in front of size bytes; returns its length. */
static size_t put_ip4(uint8_t *p, const char *src, const char *dst, uint8_t ttl, uint8_t tos, size_t size)
{
    union sock_addr a = ip(src), b = ip(dst);
    memset(p, 0, 20);
    p[0] = 0x45;
    p[1] = tos;
    bytes_put16(p + 2, (unsigned)size + 20);
    bytes_put16(p + 4, 0xbeef);
    p[8] = ttl;
    p[9] = IPPROTO_ICMP;
    memcpy(p + 12, &a.in4.sin_addr, 4);
    memcpy(p + 16, &b.in4.sin_addr, 4);
    return 20;
}

static size_t put_ip6(uint8_t *p, const char *src, const char *dst, uint8_t hops, uint8_t next, size_t size)
{
    union sock_addr a = ip(src), b = ip(dst);
    memset(p, 0, 40);
    p[0] = 0x60 | 0xb; /* traffic class 0xb8: EF */
    p[1] = 0x80;
    bytes_put16(p + 4, (unsigned)size);
    p[6] = next;
    p[7] = hops;
    memcpy(p + 8, &a.in6.sin6_addr, 16);
    memcpy(p + 24, &b.in6.sin6_addr, 16);
    return 40;
}

static struct match_flow flow_to(const char *dst, uint32_t payload_size)
{
    struct match_flow flow = {.dst = ip(dst),
                              .key = 1 << 16 | 0x1234,
                              .id = 0x1234,
                              .ip_id = 0xbeef - 3,
                              .nonce = {9, 8, 7, 6},
                              .payload_size = payload_size};
    flow.src = ip(flow.dst.sa.sa_family == AF_INET6 ? "2001:db8::9" : "10.0.0.1");
    match_flow_init(&flow, 0xabcd);
    return flow;
}

static enum match_quality answer_to(const struct match_flow *flow, uint32_t offset, const union sock_addr *from,
                                    const struct packet_icmp *icmp)
{
    struct match_reply reply = {.kind = icmp->kind, .from = from, .icmp = icmp};
    uint8_t rewritten;
    return match_answer(flow, offset, &reply, &rewritten);
}

/* What a router sends back for a probe: header, quoted IP header, first bytes of the probe. */
static size_t put_error4(uint8_t *p, uint8_t type, uint8_t code, const char *dst, const uint8_t *probe, size_t quoted)
{
    memset(p, 0, 8);
    p[0] = type;
    p[1] = code;
    size_t at = 8 + put_ip4(p + 8, "10.0.0.1", dst, 1, 0x28, quoted);
    memcpy(p + at, probe, quoted);
    return at + quoted;
}

/* Extensions of RFC 4884 with one label stack of RFC 4950; returns their length. */
static size_t put_labels(uint8_t *p, const uint32_t *entries, size_t count)
{
    size_t size = 4 + 4 + 4 * count;
    memset(p, 0, size);
    p[0] = 0x20;
    bytes_put16(p + 4, (unsigned)(4 + 4 * count));
    p[6] = p[7] = 1;
    for (size_t i = 0; i < count; i++) {
        bytes_put16(p + 8 + 4 * i, entries[i] >> 16);
        bytes_put16(p + 10 + 4 * i, entries[i] & 0xffff);
    }
    bytes_put16(p + 2, (uint16_t)~packet_fold(packet_sum(p, size, 0)));
    return size;
}

static void checksum_stays_constant_within_a_flow(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 3, 8, 1400};
    for (size_t i = 0; i < 4; i++) {
        struct match_flow flow = flow_to("192.0.2.1", sizes[i]);
        for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++) {
            uint8_t bytes[PACKET_MAX_BYTES];
            size_t size = match_build(&flow, offset, 0, bytes);
            assert_int_equal(size, 8 + sizes[i]);
            assert_int_equal(bytes[2] << 8 | bytes[3], (uint16_t)~0xabcd);
            assert_int_equal(bytes[4] << 8 | bytes[5], 0x1234);
            assert_int_equal(bytes[6] << 8 | bytes[7], 1024 + offset);
            assert_int_equal(packet_fold(packet_sum(bytes, size, 0)), 0xffff); /* the checksum is right */
        }
    }
}

static void checksum_of_ipv6_stays_constant_too(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("2001:db8::1", 8);
    for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++) {
        uint8_t bytes[PACKET_MAX_BYTES];
        size_t size = match_build(&flow, offset, 0, bytes);
        uint32_t pseudo = packet_pseudo_sum(&flow.src, &flow.dst, IPPROTO_ICMPV6, size);
        assert_int_equal(packet_fold(packet_sum(bytes, size, pseudo)), 0xffff);
        assert_int_equal(bytes[2] << 8 | bytes[3], (uint16_t)~packet_add(0xabcd, packet_fold(pseudo)));
    }
}

static void echo_without_payload_has_a_right_checksum(void **state)
{
    (void)state;
    uint8_t bytes[PACKET_MAX_BYTES];
    struct match_flow flow = flow_to("192.0.2.1", 0);
    flow.id = 0xffff; /* with the type the sum wraps */
    assert_int_equal(match_build(&flow, 0x3fe, 0, bytes), 8);
    assert_int_equal(packet_fold(packet_sum(bytes, 8, 0)), 0xffff);
    flow.id = 0x1234;
    assert_int_equal(match_build(&flow, 5, 0, bytes), 8);
    assert_int_equal(packet_fold(packet_sum(bytes, 8, 0)), 0xffff);
}

static void time_exceeded_is_parsed_with_its_quote(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("192.0.2.1", 8);
    uint8_t probe[PACKET_MAX_BYTES], bytes[300];
    (void)match_build(&flow, 3, 0, probe);
    size_t size = put_error4(bytes, 11, 0, "192.0.2.1", probe, 8);
    struct packet_icmp icmp;
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(icmp.kind, PACKET_TTL_EXCEEDED);
    assert_true(icmp.has_quote);
    assert_int_equal(icmp.quote.ttl, 1);
    assert_int_equal(icmp.quote.tos, 0x28);
    assert_int_equal(icmp.quote.ip_id, 0xbeef);
    assert_false(icmp.has_extensions);
    union sock_addr from = ip("10.9.9.9");
    struct match_reply reply = {.kind = icmp.kind, .from = &from, .icmp = &icmp};
    enum probe_protocol protocol;
    uint32_t key, offset;
    assert_true(match_key(&reply, 0, &protocol, &key, &offset));
    assert_int_equal(protocol, PROBE_ICMP);
    assert_int_equal(key, flow.key);
    assert_int_equal(offset, 3);
    uint8_t rewritten;
    assert_int_equal(match_answer(&flow, offset, &reply, &rewritten), MATCH_STRICT);
    assert_int_equal(rewritten, 0);
}

static void labels_are_read(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("192.0.2.1", 8);
    uint8_t probe[PACKET_MAX_BYTES], bytes[400] = {0};
    static const uint32_t entries[] = {399088u << 12 | 3u << 9 | 7, 16u << 12 | 1u << 8 | 255, 0xffffffff};
    (void)match_build(&flow, 0, 0, probe);
    for (int tells_length = 0; tells_length < 2; tells_length++) {
        memset(bytes, 0, sizeof bytes);
        (void)put_error4(bytes, 11, 0, "192.0.2.1", probe, 16);
        bytes[5] = tells_length ? 32 : 0; /* in 32-bit words; older routers leave it at 0 */
        size_t size = 8 + 128 + put_labels(bytes + 8 + 128, entries, 3);
        struct packet_icmp icmp;
        assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
        assert_true(icmp.has_extensions);
        assert_int_equal(icmp.label_count, 2); /* the second is the bottom of the stack */
        assert_int_equal(icmp.labels[0].label, 399088);
        assert_int_equal(icmp.labels[0].exp, 3);
        assert_int_equal(icmp.labels[0].ttl, 7);
        assert_false(icmp.labels[0].is_bottom);
        assert_int_equal(icmp.labels[1].label, 16);
        assert_int_equal(icmp.labels[1].ttl, 255);
        assert_true(icmp.labels[1].is_bottom);
        union sock_addr from = ip("10.9.9.9");
        assert_int_equal(answer_to(&flow, 0, &from, &icmp), MATCH_STRICT);
        bytes[8 + 128 + 9] ^= 1; /* a damaged extension is none */
        assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
        assert_false(icmp.has_extensions);
        assert_true(icmp.has_quote);
    }
}

static void labels_of_ipv6_are_read(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("2001:db8::1", 8);
    uint8_t probe[PACKET_MAX_BYTES], bytes[400] = {3};
    static const uint32_t entries[] = {1242u << 12 | 1u << 8 | 1};
    size_t probe_size = match_build(&flow, 7, 0, probe);
    (void)put_ip6(bytes + 8, "2001:db8::9", "2001:db8::1", 1, IPPROTO_ICMPV6, probe_size);
    memcpy(bytes + 48, probe, probe_size);
    bytes[4] = 16; /* in 64-bit words */
    size_t size = 8 + 128 + put_labels(bytes + 8 + 128, entries, 1);
    struct packet_icmp icmp;
    assert_int_equal(packet_parse_icmp(AF_INET6, bytes, size, &icmp), 0);
    assert_int_equal(icmp.kind, PACKET_TTL_EXCEEDED);
    assert_int_equal(icmp.label_count, 1);
    assert_int_equal(icmp.labels[0].label, 1242);
    assert_int_equal(icmp.quote.tos, 0xb8);
    union sock_addr from = ip("2001:db8::77");
    assert_int_equal(answer_to(&flow, 7, &from, &icmp), MATCH_STRICT);
}

static void ipv6_extension_headers_are_skipped(void **state)
{
    (void)state;
    uint8_t bytes[100] = {0};
    size_t at = put_ip6(bytes, "2001:db8::9", "2001:db8::1", 1, 0, 32);
    bytes[at] = 60; /* hop-by-hop, then destination options, then a first fragment, then ICMPv6 */
    bytes[at + 8] = 44;
    bytes[at + 16] = IPPROTO_ICMPV6;
    bytes[at + 24] = 128;
    struct packet_ip parsed;
    assert_int_equal(packet_parse_ip(AF_INET6, bytes, at + 32, &parsed), 0);
    assert_int_equal(parsed.protocol, IPPROTO_ICMPV6);
    assert_false(parsed.is_fragment);
    assert_int_equal(parsed.payload_size, 8);
    bytes[at + 16 + 3] = 0x08; /* offset 1 */
    assert_int_equal(packet_parse_ip(AF_INET6, bytes, at + 32, &parsed), 0);
    assert_true(parsed.is_fragment);
}

static void every_cut_is_survived(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("192.0.2.1", 8);
    static const uint32_t entries[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint8_t probe[PACKET_MAX_BYTES], bytes[400] = {0};
    (void)match_build(&flow, 0, 0, probe);
    (void)put_error4(bytes, 11, 0, "192.0.2.1", probe, 16);
    size_t size = 8 + 128 + put_labels(bytes + 8 + 128, entries, 10);
    for (size_t cut = 0; cut <= size; cut++) {
        uint8_t exact[400];
        struct packet_icmp icmp;
        memcpy(exact, bytes, cut);
        int rc = packet_parse_icmp(AF_INET, exact, cut, &icmp);
        assert_int_equal(rc, cut < 8 ? -E_CORRUPT : 0);
        if (rc == 0) {
            assert_int_equal(icmp.has_quote, cut >= 28);
            assert_true(icmp.label_count <= PACKET_MAX_LABELS);
        }
    }
}

static void answers_of_others_are_refused(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("192.0.2.1", 8), bare = flow_to("192.0.2.1", 0);
    union sock_addr target = ip("192.0.2.1"), other = ip("192.0.2.2");
    uint8_t bytes[PACKET_MAX_BYTES];
    struct packet_icmp icmp;
    size_t size = match_build(&flow, 9, 0, bytes);
    bytes[0] = 0;
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&flow, 9, &target, &icmp), MATCH_STRICT);
    assert_int_equal(answer_to(&flow, 9, &other, &icmp), MATCH_LOOSE); /* our payload came back */
    assert_int_equal(answer_to(&bare, 9, &target, &icmp), MATCH_NONE); /* not our length */
    bytes[12] ^= 1;
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&flow, 9, &target, &icmp), MATCH_NONE); /* not our payload */
    size = match_build(&bare, 9, 0, bytes);
    bytes[0] = 0;
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&bare, 9, &target, &icmp), MATCH_STRICT);
    assert_int_equal(answer_to(&bare, 9, &other, &icmp), MATCH_LOOSE); /* there was nothing else that could agree */
    size = match_build(&flow, 9, 0, bytes);
    bytes[0] = 0;
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size - 1, &icmp), 0);
    assert_int_equal(answer_to(&flow, 9, &target, &icmp), MATCH_LOOSE); /* cut short */
}

static void rewritten_quotes_match_loosely(void **state)
{
    (void)state;
    struct match_flow flow = flow_to("192.0.2.1", 8);
    union sock_addr from = ip("10.9.9.9");
    uint8_t probe[PACKET_MAX_BYTES], bytes[300];
    struct packet_icmp icmp;
    (void)match_build(&flow, 3, 0, probe);
    size_t size = put_error4(bytes, 11, 0, "203.0.113.5", probe, 8); /* the target was translated */
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&flow, 3, &from, &icmp), MATCH_LOOSE);
    probe[2] ^= 1; /* and the checksum as well: no longer ours */
    size = put_error4(bytes, 11, 0, "203.0.113.5", probe, 8);
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&flow, 3, &from, &icmp), MATCH_NONE);
    size = put_error4(bytes, 11, 0, "192.0.2.1", probe, 8); /* the checksum alone */
    assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
    assert_int_equal(answer_to(&flow, 3, &from, &icmp), MATCH_LOOSE);
}

static struct match_flow flow_of(enum probe_protocol protocol, const char *dst, uint32_t payload_size)
{
    struct match_flow flow = {.protocol = protocol,
                              .dst = ip(dst),
                              .key = 5 << 12 | 0x321,
                              .id = MATCH_PORT_LOW | 0x321,
                              .base = 0xfffffe00, /* wraps */
                              .ip_id = 77,
                              .nonce = {9, 8, 7, 6},
                              .payload_size = payload_size};
    flow.src = ip(flow.dst.sa.sa_family == AF_INET6 ? "2001:db8::9" : "10.0.0.1");
    sock_set_port(&flow.dst, 443);
    match_flow_init(&flow, 0xabcd);
    return flow;
}

static void checksums_of_tcp_and_udp_are_right(void **state)
{
    (void)state;
    static const char *const targets[] = {"192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < 12; i++) {
        static const uint32_t sizes[] = {2, 8, 101};
        bool is_udp = i % 2 == 1;
        struct match_flow flow = flow_of(is_udp ? PROBE_UDP : PROBE_TCP, targets[i / 2 % 2], sizes[i / 4]);
        for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++) {
            uint8_t bytes[PACKET_MAX_BYTES];
            size_t size = match_build(&flow, offset, offset % 3 == 0 ? 0 : 500 + offset, bytes);
            uint32_t pseudo = packet_pseudo_sum(&flow.src, &flow.dst, is_udp ? IPPROTO_UDP : IPPROTO_TCP, size);
            assert_int_equal(packet_fold(packet_sum(bytes, size, pseudo)), 0xffff);
            assert_int_equal(bytes[0] << 8 | bytes[1], flow.id);
            assert_int_equal(bytes[2] << 8 | bytes[3], 443);
            if (is_udp)
                assert_int_equal(bytes[6] << 8 | bytes[7], 1 + 5 * MATCH_FLOW_PROBES + offset);
        }
    }
}

/* A SYN+ACK, or whatever flags say, to the offset-th SYN. */
static struct packet_tcp tcp_answer(const struct match_flow *flow, uint32_t offset, uint8_t flags)
{
    return (struct packet_tcp){.sport = sock_port(&flow->dst),
                               .dport = match_sport(flow, offset),
                               .seq = 4711,
                               .ack = flow->base + offset + 1,
                               .flags = flags};
}

static enum match_quality tcp_to(const struct match_flow *flow, uint32_t offset, const union sock_addr *from,
                                 const struct packet_tcp *tcp)
{
    struct match_reply reply = {.kind = packet_tcp_kind(tcp), .from = from, .tcp = tcp};
    uint8_t rewritten;
    return match_answer(flow, offset, &reply, &rewritten);
}

static void answers_to_syns_are_found_and_forgeries_refused(void **state)
{
    (void)state;
    struct match_flow flow = flow_of(PROBE_TCP, "192.0.2.1", 0);
    flow.base = 1000 + flow.key * MATCH_FLOW_PROBES;
    union sock_addr target = ip("192.0.2.1"), other = ip("192.0.2.2");
    static const uint8_t flags[] = {PACKET_SYN | PACKET_ACK, PACKET_RST | PACKET_ACK};
    for (size_t i = 0; i < 4; i++) {
        flow.has_port_per_probe = i / 2 == 1;
        for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++) {
            struct packet_tcp tcp = tcp_answer(&flow, offset, flags[i % 2]);
            struct match_reply reply = {.kind = packet_tcp_kind(&tcp), .from = &target, .tcp = &tcp};
            enum probe_protocol protocol;
            uint32_t key, found;
            assert_true(match_key(&reply, 1000, &protocol, &key, &found));
            assert_int_equal(key, flow.key);
            assert_int_equal(found, offset);
            assert_int_equal(tcp_to(&flow, offset, &target, &tcp), MATCH_STRICT);
        }
        struct packet_tcp tcp = tcp_answer(&flow, 5, flags[i % 2]);
        assert_int_equal(tcp_to(&flow, 5, &other, &tcp), MATCH_NONE);
        tcp.ack++;
        assert_int_equal(tcp_to(&flow, 5, &target, &tcp), flow.has_port_per_probe ? MATCH_LOOSE : MATCH_NONE);
        tcp = tcp_answer(&flow, 5, flags[i % 2]);
        tcp.dport ^= 1;
        assert_int_equal(tcp_to(&flow, 5, &target, &tcp), MATCH_NONE);
        tcp = tcp_answer(&flow, 5, flags[i % 2]);
        tcp.sport = 80;
        assert_int_equal(tcp_to(&flow, 5, &target, &tcp), MATCH_NONE);
        tcp = tcp_answer(&flow, 5, PACKET_ACK);
        assert_int_equal(tcp_to(&flow, 5, &target, &tcp), MATCH_NONE);
    }
}

static void an_echoed_datagram_tells_its_offset(void **state)
{
    (void)state;
    struct match_flow flow = flow_of(PROBE_UDP, "192.0.2.1", 8);
    union sock_addr target = ip("192.0.2.1");
    for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++) {
        uint8_t bytes[PACKET_MAX_BYTES];
        size_t size = match_build(&flow, offset, 0, bytes);
        struct packet_udp udp;
        assert_int_equal(packet_parse_udp(bytes, size, &udp), 0);
        udp.sport = 443;
        udp.dport = flow.id;
        struct match_reply reply = {.kind = PACKET_DATAGRAM, .from = &target, .udp = &udp};
        uint32_t found = 0;
        uint8_t rewritten;
        assert_true(match_offset(&flow, &reply, &found));
        assert_int_equal(found, offset);
        assert_int_equal(match_answer(&flow, found, &reply, &rewritten), MATCH_STRICT);
        assert_int_equal(match_answer(&flow, (found + 1) % MATCH_FLOW_PROBES, &reply, &rewritten), MATCH_NONE);
    }
}

/* What a NAT that translates errors back badly leaves in the quotation. */
static void translation_is_named(void **state)
{
    (void)state;
    static const struct { enum probe_protocol protocol; int at; uint8_t rewritten; enum match_quality quality; } cases[] = {
        {PROBE_TCP, -1, 0, MATCH_STRICT},
        {PROBE_TCP, 12, MATCH_SRC, MATCH_LOOSE},
        {PROBE_TCP, 20, MATCH_SPORT, MATCH_LOOSE},
        {PROBE_TCP, 16, MATCH_DST, MATCH_LOOSE},
        {PROBE_TCP, 22, MATCH_DPORT, MATCH_LOOSE},
        {PROBE_TCP, 36, MATCH_CHECKSUM, MATCH_LOOSE},
        {PROBE_TCP, 24, MATCH_SEQ, MATCH_LOOSE},
        {PROBE_TCP, 4, MATCH_IP_ID, MATCH_STRICT},
        {PROBE_UDP, -1, 0, MATCH_STRICT},
        {PROBE_UDP, 12, MATCH_SRC, MATCH_LOOSE},
        {PROBE_UDP, 16, MATCH_DST, MATCH_LOOSE},
        {PROBE_UDP, 26, MATCH_CHECKSUM, MATCH_LOOSE},
        {PROBE_UDP, 20, MATCH_SPORT, MATCH_LOOSE},
    };
    union sock_addr from = ip("10.9.9.9");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct match_flow flow = flow_of(cases[i].protocol, "192.0.2.1", cases[i].protocol == PROBE_UDP ? 8 : 0);
        uint8_t probe[PACKET_MAX_BYTES], bytes[300];
        size_t size = match_build(&flow, 3, 0, probe);
        size = put_error4(bytes, 11, 0, "192.0.2.1", probe, size);
        bytes[8 + 9] = cases[i].protocol == PROBE_UDP ? IPPROTO_UDP : IPPROTO_TCP;
        bytes_put16(bytes + 8 + 4, match_ip_id(&flow, 3));
        if (cases[i].at >= 0)
            bytes[8 + cases[i].at] ^= 3;
        struct packet_icmp icmp;
        assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
        struct match_reply reply = {.kind = icmp.kind, .from = &from, .icmp = &icmp};
        uint8_t rewritten;
        assert_int_equal(match_answer(&flow, 3, &reply, &rewritten), cases[i].quality);
        assert_int_equal(rewritten, cases[i].rewritten);
    }
}

/* Another program that traces to the same target may use the same ports, or the same identifications. */
static void syns_of_other_programs_are_refused(void **state)
{
    (void)state;
    union sock_addr from = ip("10.9.9.9");
    struct match_flow flow = flow_of(PROBE_TCP, "192.0.2.1", 0);
    for (unsigned i = 0; i < 3 * 31; i++) {
        struct match_flow other = flow;
        bool has_other_port = i % 3 == 1, is_short = i % 3 == 2;
        other.base += (1 + i / 3) * MATCH_FLOW_PROBES + 7777 * 32 * MATCH_FLOW_PROBES;
        other.id = (uint16_t)(flow.id ^ (has_other_port || is_short ? 5 : 0));
        uint8_t probe[PACKET_MAX_BYTES], bytes[300], rewritten;
        size_t size = match_build(&other, 3, 0, probe);
        size = put_error4(bytes, 11, 0, "192.0.2.1", probe, is_short ? 8 : size);
        bytes[8 + 9] = IPPROTO_TCP;
        bytes_put16(bytes + 8 + 4, match_ip_id(&flow, 3));
        struct packet_icmp icmp;
        assert_int_equal(packet_parse_icmp(AF_INET, bytes, size, &icmp), 0);
        struct match_reply reply = {.kind = icmp.kind, .from = &from, .icmp = &icmp};
        assert_int_equal(match_answer(&flow, 3, &reply, &rewritten), MATCH_NONE);
    }
}

/* The SYNs of a stream and those of a trace to the same target must not meet there. */
static void streams_and_traces_share_no_port(void **state)
{
    (void)state;
    struct match_flow flow = flow_of(PROBE_TCP, "192.0.2.1", 0);
    flow.has_port_per_probe = true;
    for (uint32_t id = MATCH_PROBE_PORT_LOW; id < MATCH_PORT_LOW + MATCH_PORTS; id += 61) {
        flow.id = (uint16_t)id;
        for (uint32_t offset = 0; offset < MATCH_FLOW_PROBES; offset++)
            assert_in_range(match_sport(&flow, offset), MATCH_PROBE_PORT_LOW, MATCH_PORT_LOW + MATCH_PORTS - 1);
    }
}

static void segments_are_read_as_they_were_built(void **state)
{
    (void)state;
    union sock_addr src = ip("10.0.0.1"), dst = ip("192.0.2.1");
    for (unsigned i = 0; i < 16; i++) {
        struct packet_tcp out = {.sport = 1, .dport = 2, .seq = 3, .ack = 4, .flags = PACKET_ACK, .window = 5, .payload_size = i};
        out.mss = i & 1 ? 1460 : 0;
        out.has_sack_permitted = (i & 2) != 0;
        out.has_timestamps = (i & 4) != 0;
        out.ts_value = i & 4 ? 6 : 0;
        out.ts_echo = i & 4 ? 7 : 0;
        out.has_scale = (i & 8) != 0;
        out.scale = i & 8 ? 9 : 0;
        uint8_t bytes[PACKET_MAX_BYTES];
        struct packet_tcp in;
        size_t size = packet_build_tcp(&out, &src, &dst, bytes);
        assert_int_equal(packet_parse_tcp(bytes, size, &in), 0);
        assert_int_equal(in.mss, out.mss);
        assert_int_equal(in.has_sack_permitted, out.has_sack_permitted);
        assert_int_equal(in.has_timestamps, out.has_timestamps);
        assert_int_equal(in.ts_value, out.ts_value);
        assert_int_equal(in.ts_echo, out.ts_echo);
        assert_int_equal(in.has_scale, out.has_scale);
        assert_int_equal(in.scale, out.scale);
        assert_int_equal(in.payload_size, i);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(packet_parse_tcp(bytes, cut, &in), cut < size - i ? -E_CORRUPT : 0);
    }
}

static void kinds_and_prohibitions(void **state)
{
    (void)state;
    static const struct { int family; uint8_t type, code; enum packet_kind kind; bool is_prohibited; } cases[] = {
        {AF_INET, 0, 0, PACKET_ECHO_REPLY, false},    {AF_INET, 8, 0, PACKET_ECHO_REQUEST, false},
        {AF_INET, 3, 1, PACKET_UNREACHABLE, false},   {AF_INET, 3, 13, PACKET_UNREACHABLE, true},
        {AF_INET, 3, 9, PACKET_UNREACHABLE, true},    {AF_INET, 3, 10, PACKET_UNREACHABLE, true},
        {AF_INET, 3, 4, PACKET_TOO_BIG, false},       {AF_INET, 11, 0, PACKET_TTL_EXCEEDED, false},
        {AF_INET, 11, 1, PACKET_OTHER, false},        {AF_INET, 12, 0, PACKET_PARAMETER, false},
        {AF_INET, 5, 0, PACKET_OTHER, false},         {AF_INET6, 129, 0, PACKET_ECHO_REPLY, false},
        {AF_INET6, 128, 0, PACKET_ECHO_REQUEST, false}, {AF_INET6, 1, 0, PACKET_UNREACHABLE, false},
        {AF_INET6, 1, 1, PACKET_UNREACHABLE, true},   {AF_INET6, 1, 5, PACKET_UNREACHABLE, true},
        {AF_INET6, 1, 6, PACKET_UNREACHABLE, true},   {AF_INET6, 2, 0, PACKET_TOO_BIG, false},
        {AF_INET6, 3, 0, PACKET_TTL_EXCEEDED, false}, {AF_INET6, 135, 0, PACKET_OTHER, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[8] = {cases[i].type, cases[i].code};
        struct packet_icmp icmp;
        assert_int_equal(packet_parse_icmp(cases[i].family, bytes, 8, &icmp), 0);
        assert_int_equal(icmp.kind, cases[i].kind);
        assert_int_equal(packet_is_prohibited(cases[i].family, &icmp), cases[i].is_prohibited);
    }
}

static void stamps_survive_steps_of_the_wall_clock(void **state)
{
    (void)state;
    static const int64_t steps[] = {3600 * CLOCK_S, -3600 * CLOCK_S, 50 * CLOCK_MS, -50 * CLOCK_MS, CLOCK_S};
    const int64_t wall = 1790000000 * CLOCK_S;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct stamp_clock clock = {0};
        stamp_clock_read(&clock, CLOCK_S, wall + CLOCK_S, 0);
        assert_int_equal(stamp_to_mono(&clock, wall + CLOCK_S - 5), CLOCK_S - 5);
        int64_t stepped = wall + steps[i]; /* between 1.000 s and 1.002 s */
        stamp_clock_read(&clock, CLOCK_S + 2 * CLOCK_MS, stepped + CLOCK_S + 2 * CLOCK_MS, 100);
        int64_t before = CLOCK_S - 30 * CLOCK_US, after = CLOCK_S + 2 * CLOCK_MS - 7;
        assert_int_equal(stamp_to_mono(&clock, wall + before), before);
        assert_int_equal(stamp_to_mono(&clock, stepped + after), after);
        stamp_clock_read(&clock, 20 * CLOCK_S, stepped + 20 * CLOCK_S, 100);
        assert_int_equal(stamp_to_mono(&clock, stepped + 19 * CLOCK_S), 19 * CLOCK_S);
    }
}

static void noise_of_the_reading_is_no_step(void **state)
{
    (void)state;
    struct stamp_clock clock = {0};
    stamp_clock_read(&clock, 1000, 501000, 0);
    stamp_clock_read(&clock, 2000, 502000 + 15 * CLOCK_US, 0);
    stamp_clock_read(&clock, 3000, 503000 - 150 * CLOCK_US, 140 * CLOCK_US); /* we were interrupted in between */
    assert_false(clock.has_stepped);
    assert_int_equal(stamp_to_mono(&clock, 503000), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_stays_constant_within_a_flow),
        cmocka_unit_test(checksum_of_ipv6_stays_constant_too),
        cmocka_unit_test(echo_without_payload_has_a_right_checksum),
        cmocka_unit_test(time_exceeded_is_parsed_with_its_quote),
        cmocka_unit_test(labels_are_read),
        cmocka_unit_test(labels_of_ipv6_are_read),
        cmocka_unit_test(ipv6_extension_headers_are_skipped),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(answers_of_others_are_refused),
        cmocka_unit_test(rewritten_quotes_match_loosely),
        cmocka_unit_test(checksums_of_tcp_and_udp_are_right),
        cmocka_unit_test(answers_to_syns_are_found_and_forgeries_refused),
        cmocka_unit_test(an_echoed_datagram_tells_its_offset),
        cmocka_unit_test(translation_is_named),
        cmocka_unit_test(syns_of_other_programs_are_refused),
        cmocka_unit_test(streams_and_traces_share_no_port),
        cmocka_unit_test(segments_are_read_as_they_were_built),
        cmocka_unit_test(kinds_and_prohibitions),
        cmocka_unit_test(stamps_survive_steps_of_the_wall_clock),
        cmocka_unit_test(noise_of_the_reading_is_no_step),
    };
    return cmocka_run_group_tests_name("probe packets", tests, NULL, NULL);
}
