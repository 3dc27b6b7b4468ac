#include "lab/test_net.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

static void keep(void *user, unsigned vantage, const void *bytes, size_t size, int64_t due_ns)
{
    struct test_net *t = user;
    assert_true(t->kept_count < TEST_KEPT);
    t->kept[t->kept_count] = mem_alloc(sizeof **t->kept);
    struct lab_packet *packet = &t->kept[t->kept_count]->packet;
    memcpy(packet->bytes, bytes, size);
    assert_true(lab_packet_parse(packet, size));
    t->kept[t->kept_count]->vantage = vantage;
    t->kept[t->kept_count]->due_ns = due_ns;
    t->kept_count++;
}

void test_net_open(struct test_net *t, const char *text)
{
    struct error err = {0};
    *t = (struct test_net){.now_ns = 1000 * CLOCK_S};
    if (lab_scenario_parse(text, strlen(text), "check", &t->s, &err) < 0) {
        char message[600];
        fail_msg("%s", error_format(&err, message, sizeof message));
    }
    t->net = lab_net_new(t->s, &(struct lab_options){.seed = 7, .packets = 8192, .truth_probes = 100000});
    t->truth = lab_net_truth(t->net);
    t->kept = mem_alloc_array(TEST_KEPT, sizeof *t->kept);
    lab_net_set_output(t->net, keep, t);
}

void test_net_close(struct test_net *t)
{
    lab_net_free(t->net);
    lab_scenario_free(t->s);
    for (size_t i = 0; i < t->kept_count; i++)
        mem_free(t->kept[i]);
    mem_free(t->kept);
}

void test_net_run_until(struct test_net *t, int64_t now_ns)
{
    assert_true(now_ns >= t->now_ns);
    lab_net_step(t->net, now_ns);
    t->now_ns = now_ns;
}

void test_net_run(struct test_net *t)
{
    for (int64_t next; (next = lab_net_next_ns(t->net)) != LAB_NEVER;)
        test_net_run_until(t, next > t->now_ns ? next : t->now_ns);
}

const struct lab_packet *test_net_take(struct test_net *t, int64_t *ret_due_ns)
{
    if (t->taken == t->kept_count)
        return NULL;
    if (ret_due_ns)
        *ret_due_ns = t->kept[t->taken]->due_ns;
    return &t->kept[t->taken++]->packet;
}

/* --- packets of a host, made by other code than the net's ----------------------------------------------------------- */

static uint32_t plain_sum(const uint8_t *p, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}

static unsigned plain_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* Wraps a transport header whose checksum is at `at` and sends it. */
static void send_ip(struct test_net *t, unsigned vantage, const char *from, const char *to, uint8_t protocol,
                    uint8_t ttl, uint8_t *ip, size_t l4_size, size_t at)
{
    struct lab_addr src, dst;
    assert_int_equal(lab_addr_parse(from, &src), 0);
    assert_int_equal(lab_addr_parse(to, &dst), 0);
    bool is_v4 = lab_addr_is_v4(&dst);
    size_t header = is_v4 ? 20 : 40, addr_size;
    uint8_t *l4 = ip + 40, *begin = l4 - header;
    memset(begin, 0, header);
    const uint8_t *src_bytes = lab_addr_bytes(&src, &addr_size), *dst_bytes = lab_addr_bytes(&dst, &addr_size);
    if (is_v4) {
        begin[0] = 0x45;
        bytes_put16(begin + 2, (unsigned)(header + l4_size));
        bytes_put16(begin + 4, 0x1234);
        begin[6] = 0x40;
        begin[8] = ttl;
        begin[9] = protocol;
        memcpy(begin + 12, src_bytes, 4);
        memcpy(begin + 16, dst_bytes, 4);
        bytes_put16(begin + 10, plain_fold(plain_sum(begin, 20)));
    } else {
        begin[0] = 0x60;
        bytes_put16(begin + 4, (unsigned)l4_size);
        begin[6] = protocol;
        begin[7] = ttl;
        memcpy(begin + 8, src_bytes, 16);
        memcpy(begin + 24, dst_bytes, 16);
    }
    bytes_put16(l4 + at, 0);
    uint32_t sum = plain_sum(l4, l4_size);
    if (protocol != LAB_IPPROTO_ICMP)
        sum += plain_sum(src_bytes, addr_size) + plain_sum(dst_bytes, addr_size) + protocol + (uint32_t)l4_size;
    bytes_put16(l4 + at, plain_fold(sum));
    lab_net_input(t->net, vantage, begin, header + l4_size, t->now_ns);
}

static bool is_v6(const char *addr)
{
    return strchr(addr, ':') != NULL;
}

void test_net_echo(struct test_net *t, unsigned vantage, const char *from, const char *to, uint8_t ttl, uint16_t id,
                   uint16_t seq, size_t payload)
{
    uint8_t bytes[LAB_PACKET_BYTES + 64] = {0};
    uint8_t *icmp = bytes + 40;
    assert_true(payload <= LAB_PACKET_BYTES);
    icmp[0] = is_v6(to) ? 128 : 8;
    bytes_put16(icmp + 4, id);
    bytes_put16(icmp + 6, seq);
    memset(icmp + 8, 0x5a, payload);
    if (payload >= 2)
        bytes_put16(icmp + 8, 0xffffu - seq); /* keeps the checksum, and so the flow, the same for every probe */
    send_ip(t, vantage, from, to, is_v6(to) ? LAB_IPPROTO_ICMP6 : LAB_IPPROTO_ICMP, ttl, bytes, 8 + payload, 2);
}

void test_net_udp(struct test_net *t, unsigned vantage, const char *from, const char *to, uint8_t ttl,
                  uint16_t source_port, uint16_t port, size_t payload)
{
    uint8_t bytes[LAB_PACKET_BYTES + 64] = {0};
    uint8_t *udp = bytes + 40;
    bytes_put16(udp, source_port);
    bytes_put16(udp + 2, port);
    bytes_put16(udp + 4, (unsigned)(8 + payload));
    memset(udp + 8, 0xa5, payload);
    send_ip(t, vantage, from, to, LAB_IPPROTO_UDP, ttl, bytes, 8 + payload, 6);
}

void test_net_tcp(struct test_net *t, unsigned vantage, const char *from, const char *to, const struct test_tcp *tcp)
{
    uint8_t bytes[LAB_PACKET_BYTES + 64] = {0};
    uint8_t *l4 = bytes + 40;
    assert_true(tcp->options_size % 4 == 0 && tcp->options_size <= 40);
    bytes_put16(l4, tcp->source_port);
    bytes_put16(l4 + 2, tcp->port);
    bytes_put32(l4 + 4, tcp->seq);
    bytes_put32(l4 + 8, tcp->ack);
    l4[12] = (uint8_t)((20 + tcp->options_size) / 4 << 4);
    l4[13] = tcp->flags;
    bytes_put16(l4 + 14, 64240);
    if (tcp->options_size > 0)
        memcpy(l4 + 20, tcp->options, tcp->options_size);
    memset(l4 + 20 + tcp->options_size, 'x', tcp->payload);
    send_ip(t, vantage, from, to, LAB_IPPROTO_TCP, tcp->ttl ? tcp->ttl : 64, bytes,
            20 + tcp->options_size + tcp->payload, 16);
}

uint8_t test_icmp_type(const struct lab_packet *packet)
{
    assert_true(packet->protocol == LAB_IPPROTO_ICMP || packet->protocol == LAB_IPPROTO_ICMP6);
    return packet->bytes[packet->l4];
}

uint8_t test_icmp_code(const struct lab_packet *packet)
{
    return packet->bytes[packet->l4 + 1];
}

const char *test_source(const struct lab_packet *packet)
{
    static char text[LAB_ADDR_TEXT_BYTES];
    return lab_addr_text(&packet->src, text, sizeof text);
}
