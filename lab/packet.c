#include "lab/packet.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

const char *const lab_reason_names[LAB_REASON_COUNT] = {
    [LAB_REASON_NONE] = "none",
    [LAB_REASON_LOSS] = "loss",
    [LAB_REASON_QUEUE] = "queue-full",
    [LAB_REASON_LINK_DOWN] = "link-down",
    [LAB_REASON_MIDDLEBOX] = "middlebox",
    [LAB_REASON_FIREWALL] = "firewall",
    [LAB_REASON_BLACKHOLE] = "blackhole",
    [LAB_REASON_SILENT] = "silent",
    [LAB_REASON_RATE_LIMIT] = "rate-limit",
    [LAB_REASON_HOST_DOWN] = "host-down",
    [LAB_REASON_ECHO_OFF] = "echo-off",
    [LAB_REASON_ECHO_LOSS] = "echo-loss",
    [LAB_REASON_PORT_SILENT] = "port-silent",
    [LAB_REASON_BACKLOG] = "backlog-full",
    [LAB_REASON_CHECKSUM] = "checksum",
    [LAB_REASON_NO_ERROR] = "no-error-due",
    [LAB_REASON_NO_ROUTE] = "no-route",
    [LAB_REASON_TTL] = "ttl-expired",
    [LAB_REASON_FRAGMENT] = "fragment",
    [LAB_REASON_MALFORMED] = "malformed",
    [LAB_REASON_NO_BUFFER] = "no-buffer",
    [LAB_REASON_CONSUMED] = "consumed",
};

/* --- checksums -------------------------------------------------------------------------------------------------- */

/* The sum is taken in the machine's byte order, which RFC 1071 shows to be as good, and turned at the end. */
static uint64_t sum_bytes(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint64_t sum = 0;
    for (; size >= 4; p += 4, size -= 4) {
        uint32_t word;
        memcpy(&word, p, 4);
        sum += word;
    }
    uint8_t tail[4] = {0};
    memcpy(tail, p, size);
    uint32_t word;
    memcpy(&word, tail, 4);
    return sum + word;
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    uint16_t folded = (uint16_t)sum;
    uint8_t order[2];
    memcpy(order, &folded, 2);
    return bytes_get16(order);
}

uint16_t lab_checksum(const void *bytes, size_t size, uint32_t sum)
{
    uint32_t total = (uint32_t)fold(sum_bytes(bytes, size)) + (sum & 0xffff) + (sum >> 16);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    return (uint16_t)~total;
}

static uint32_t pseudo_sum(const struct lab_packet *packet, size_t l4_size)
{
    size_t src_size, dst_size;
    const uint8_t *src = lab_addr_bytes(&packet->src, &src_size);
    const uint8_t *dst = lab_addr_bytes(&packet->dst, &dst_size);
    uint32_t sum = (uint32_t)fold(sum_bytes(src, src_size)) + fold(sum_bytes(dst, dst_size));
    return sum + (uint32_t)l4_size + packet->protocol;
}

static uint16_t l4_checksum(const struct lab_packet *packet)
{
    size_t size = (size_t)packet->size - packet->l4;
    uint32_t sum = packet->protocol == LAB_IPPROTO_ICMP ? 0 : pseudo_sum(packet, size);
    sum = (sum & 0xffff) + (sum >> 16);
    return lab_checksum(packet->bytes + packet->l4, size, sum);
}

bool lab_packet_is_intact(const struct lab_packet *packet)
{
    if (packet->is_v4 && lab_checksum(packet->bytes, packet->l4, 0) != 0)
        return false;
    if (packet->is_fragment || !packet->has_l4)
        return true;
    switch (packet->protocol) {
    case LAB_IPPROTO_UDP:
        if (packet->is_v4 && bytes_get16(packet->bytes + packet->l4 + 6) == 0)
            return true;
        break;
    case LAB_IPPROTO_ICMP:
    case LAB_IPPROTO_TCP:
    case LAB_IPPROTO_ICMP6:
        break;
    default:
        return true;
    }
    return l4_checksum(packet) == 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool parse_v4(struct lab_packet *packet, size_t size)
{
    const uint8_t *ip = packet->bytes;
    size_t header = (size_t)(ip[0] & 15) * 4, total = bytes_get16(ip + 2);
    if (size < 20 || header < 20 || total < header || total > size)
        return false;
    packet->is_v4 = true;
    packet->size = (uint16_t)total;
    packet->l4 = (uint16_t)header;
    packet->protocol = ip[9];
    packet->is_fragment = (bytes_get16(ip + 6) & 0x3fff) != 0;
    packet->src = lab_addr_from(ip + 12, true);
    packet->dst = lab_addr_from(ip + 16, true);
    return true;
}

static bool parse_v6(struct lab_packet *packet, size_t size)
{
    const uint8_t *ip = packet->bytes;
    if (size < 40 || (size_t)bytes_get16(ip + 4) + 40 > size)
        return false;
    packet->is_v4 = false;
    packet->size = (uint16_t)(bytes_get16(ip + 4) + 40);
    packet->l4 = 40;
    packet->protocol = ip[6];
    packet->is_fragment = ip[6] == 44;
    packet->src = lab_addr_from(ip + 8, false);
    packet->dst = lab_addr_from(ip + 24, false);
    return true;
}

static bool is_l4_whole(const struct lab_packet *packet)
{
    size_t size = (size_t)packet->size - packet->l4;
    const uint8_t *l4 = packet->bytes + packet->l4;
    if (packet->is_fragment)
        return false;
    switch (packet->protocol) {
    case LAB_IPPROTO_ICMP:
        return packet->is_v4 && size >= 8;
    case LAB_IPPROTO_ICMP6:
        return !packet->is_v4 && size >= 8;
    case LAB_IPPROTO_UDP:
        return size >= 8 && bytes_get16(l4 + 4) == size;
    case LAB_IPPROTO_TCP:
        return size >= 20 && (l4[12] >> 4) >= 5 && (size_t)(l4[12] >> 4) * 4 <= size;
    default:
        return false;
    }
}

static uint32_t mix(uint32_t hash, uint32_t value)
{
    hash = (hash ^ value) * UINT32_C(0x85ebca6b);
    return hash ^ hash >> 15;
}

/* The first four octets of the transport header: ports, or ICMP's type, code and checksum, as routers that balance by
 * flow do it (Augustin et al., "Avoiding traceroute anomalies with Paris traceroute", 2006), and in IPv6 the flow
 * label too (RFC 6438). */
static uint32_t flow_hash(const struct lab_packet *packet)
{
    uint64_t src = lab_addr_hash(&packet->src), dst = lab_addr_hash(&packet->dst);
    uint32_t hash = mix((uint32_t)src, (uint32_t)(dst >> 7));
    hash = mix(hash, packet->protocol);
    if (!packet->is_fragment && packet->size >= packet->l4 + 4)
        hash = mix(hash, bytes_get32(packet->bytes + packet->l4));
    if (!packet->is_v4)
        hash = mix(hash, bytes_get32(packet->bytes) & 0xfffff);
    return hash;
}

bool lab_packet_parse(struct lab_packet *packet, size_t size)
{
    assert(size <= LAB_PACKET_BYTES);
    if (size < 20)
        return false;
    int version = packet->bytes[0] >> 4;
    if (!(version == 4 ? parse_v4(packet, size) : version == 6 && parse_v6(packet, size)))
        return false;
    packet->has_l4 = is_l4_whole(packet);
    packet->flow = flow_hash(packet);
    return true;
}

uint8_t lab_packet_ttl(const struct lab_packet *packet)
{
    return packet->bytes[packet->is_v4 ? 8 : 7];
}

/* Changes one 16-bit word of the IPv4 header and the checksum with it, by equation 3 of RFC 1624. */
static void replace_word(struct lab_packet *packet, size_t at, uint16_t value)
{
    uint8_t *ip = packet->bytes;
    uint32_t sum = (uint32_t)(uint16_t)~bytes_get16(ip + 10) + (uint16_t)~bytes_get16(ip + at) + value;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    bytes_put16(ip + at, value);
    bytes_put16(ip + 10, (uint16_t)~sum);
}

void lab_packet_set_ttl(struct lab_packet *packet, uint8_t ttl)
{
    if (packet->is_v4)
        replace_word(packet, 8, (uint16_t)(ttl << 8 | packet->bytes[9]));
    else
        packet->bytes[7] = ttl;
}

void lab_packet_set_dscp(struct lab_packet *packet, uint8_t dscp)
{
    uint8_t *ip = packet->bytes;
    if (packet->is_v4)
        replace_word(packet, 0, (uint16_t)(ip[0] << 8 | dscp << 2 | (ip[1] & 3)));
    else
        bytes_put16(ip, (bytes_get16(ip) & 0xf03fu) | (unsigned)dscp << 6);
}

void lab_packet_set_ecn(struct lab_packet *packet, uint8_t ecn)
{
    uint8_t *ip = packet->bytes;
    if (packet->is_v4)
        replace_word(packet, 0, (uint16_t)(ip[0] << 8 | (ip[1] & 0xfc) | ecn));
    else
        bytes_put16(ip, (bytes_get16(ip) & 0xffcfu) | (unsigned)ecn << 4);
}

void lab_packet_set_ip_id(struct lab_packet *packet, uint16_t id)
{
    if (packet->is_v4)
        replace_word(packet, 4, id);
}

void lab_packet_seal(struct lab_packet *packet)
{
    uint8_t *ip = packet->bytes, *l4 = ip + packet->l4;
    size_t at = packet->protocol == LAB_IPPROTO_TCP ? 16 : packet->protocol == LAB_IPPROTO_UDP ? 6 : 2;
    if (packet->is_v4) {
        bytes_put16(ip + 10, 0);
        bytes_put16(ip + 10, lab_checksum(ip, packet->l4, 0));
    }
    bool is_read = lab_packet_parse(packet, packet->size);
    assert(is_read);
    if (!packet->has_l4 || (packet->protocol == LAB_IPPROTO_UDP && packet->is_v4 && bytes_get16(l4 + 6) == 0))
        return;
    bytes_put16(l4 + at, 0);
    uint16_t sum = l4_checksum(packet);
    bytes_put16(l4 + at, packet->protocol == LAB_IPPROTO_UDP && sum == 0 ? 0xffff : sum);
    packet->flow = flow_hash(packet);
}

bool lab_packet_has_dont_fragment(const struct lab_packet *packet)
{
    return !packet->is_v4 || packet->bytes[6] & 0x40;
}

bool lab_packet_is_icmp_error(const struct lab_packet *packet)
{
    bool is_icmp = packet->protocol == (packet->is_v4 ? LAB_IPPROTO_ICMP : LAB_IPPROTO_ICMP6);
    if (!is_icmp || packet->size <= packet->l4)
        return false;
    uint8_t type = packet->bytes[packet->l4];
    if (!packet->is_v4)
        return type < 128;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool lab_packet_is_echo_request(const struct lab_packet *packet)
{
    if (!packet->has_l4)
        return false;
    uint8_t type = packet->bytes[packet->l4];
    return packet->is_v4 ? packet->protocol == LAB_IPPROTO_ICMP && type == 8
                         : packet->protocol == LAB_IPPROTO_ICMP6 && type == 128;
}

bool lab_packet_is_rule_protocol(const struct lab_packet *packet, enum lab_protocol protocol)
{
    bool is_icmp = packet->protocol == (packet->is_v4 ? LAB_IPPROTO_ICMP : LAB_IPPROTO_ICMP6);
    uint8_t type = packet->has_l4 ? packet->bytes[packet->l4] : 0;
    switch (protocol) {
    case LAB_ANY:
        return true;
    case LAB_ICMP:
        return is_icmp;
    case LAB_ICMP_ECHO:
        return lab_packet_is_echo_request(packet);
    case LAB_ICMP_TTL:
        return is_icmp && packet->has_l4 && type == (packet->is_v4 ? 11 : 3);
    case LAB_ICMP_UNREACHABLE:
        return is_icmp && packet->has_l4 && type == (packet->is_v4 ? 3 : 1);
    case LAB_TCP:
        return packet->protocol == LAB_IPPROTO_TCP;
    case LAB_UDP:
        return packet->protocol == LAB_IPPROTO_UDP;
    }
    return false;
}

uint16_t lab_packet_port(const struct lab_packet *packet, bool is_destination)
{
    if (!packet->has_l4 || (packet->protocol != LAB_IPPROTO_TCP && packet->protocol != LAB_IPPROTO_UDP))
        return 0;
    return bytes_get16(packet->bytes + packet->l4 + (is_destination ? 2 : 0));
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static size_t make_ip(struct lab_packet *ret, const struct lab_addr *src, const struct lab_addr *dst, uint8_t protocol,
                      uint8_t ttl, size_t l4_size)
{
    bool is_v4 = lab_addr_is_v4(dst);
    size_t header = is_v4 ? 20 : 40, addr_size;
    assert(header + l4_size <= LAB_PACKET_BYTES);
    memset(ret->bytes, 0, header);
    uint8_t *ip = ret->bytes;
    const uint8_t *src_bytes = lab_addr_bytes(src, &addr_size);
    const uint8_t *dst_bytes = lab_addr_bytes(dst, &addr_size);
    if (is_v4) {
        ip[0] = 0x45;
        bytes_put16(ip + 2, (unsigned)(header + l4_size));
        ip[8] = ttl;
        ip[9] = protocol;
        memcpy(ip + 12, src_bytes, 4);
        memcpy(ip + 16, dst_bytes, 4);
        bytes_put16(ip + 10, lab_checksum(ip, 20, 0));
    } else {
        ip[0] = 0x60;
        bytes_put16(ip + 4, (unsigned)l4_size);
        ip[6] = protocol;
        ip[7] = ttl;
        memcpy(ip + 8, src_bytes, 16);
        memcpy(ip + 24, dst_bytes, 16);
    }
    return header;
}

/* Fills in the transport checksum (zeroed so far) at offset `at` of the transport header and reads the headers back. */
static void finish(struct lab_packet *ret, size_t size, size_t at)
{
    bool is_whole = lab_packet_parse(ret, size);
    assert(is_whole);
    uint16_t sum = l4_checksum(ret);
    if (ret->protocol == LAB_IPPROTO_UDP && sum == 0)
        sum = 0xffff;
    bytes_put16(ret->bytes + ret->l4 + at, sum);
    ret->flow = flow_hash(ret);
}

static void icmp_type(enum lab_verdict verdict, bool is_v4, uint8_t *ret_type, uint8_t *ret_code)
{
    uint8_t type = is_v4 ? 3 : 1, code = 0;
    switch (verdict) {
    case LAB_TTL_EXCEEDED:
        type = is_v4 ? 11 : 3;
        break;
    case LAB_NET_UNREACHABLE:
        break;
    case LAB_HOST_UNREACHABLE:
        code = is_v4 ? 1 : 3;
        break;
    case LAB_PORT_UNREACHABLE:
        code = is_v4 ? 3 : 4;
        break;
    case LAB_PROHIBITED:
        code = is_v4 ? 13 : 1;
        break;
    case LAB_TOO_BIG:
        type = is_v4 ? 3 : 2;
        code = is_v4 ? 4 : 0;
        break;
    case LAB_PASS:
    case LAB_DROP:
    case LAB_RESET:
    case LAB_PROXIED:
        assert(false && "no ICMP error");
    }
    *ret_type = type;
    *ret_code = code;
}

/* The extension structure of RFC 4884 with one MPLS label stack object of RFC 4950; returns its size. */
static size_t put_labels(uint8_t *at, const struct lab_icmp_error *error)
{
    size_t object = 4 + (size_t)error->label_count * 4;
    memset(at, 0, 4 + object);
    at[0] = 0x20;
    bytes_put16(at + 4, (unsigned)object);
    at[6] = 1;
    at[7] = 1;
    for (uint32_t i = 0; i < error->label_count; i++)
        bytes_put32(at + 8 + (size_t)i * 4, error->labels[i]);
    bytes_put16(at + 2, lab_checksum(at, 4 + object, 0));
    return 4 + object;
}

void lab_packet_make_error(struct lab_packet *ret, const struct lab_packet *quoted, const struct lab_icmp_error *error,
                           const struct lab_addr *from, uint8_t ttl)
{
    bool is_v4 = quoted->is_v4;
    uint8_t protocol = is_v4 ? LAB_IPPROTO_ICMP : LAB_IPPROTO_ICMP6;
    size_t header = is_v4 ? 20 : 40, most = (is_v4 ? 576u : 1280u) - header - 8;
    if (error->quote_bytes)
        most = error->quote_bytes;
    size_t quote = quoted->size < most ? quoted->size : most;
    bool is_extended = error->label_count > 0 && error->verdict != LAB_TOO_BIG;
    uint8_t *icmp = ret->bytes + header;
    memset(icmp, 0, 8);
    icmp_type(error->verdict, is_v4, &icmp[0], &icmp[1]);
    if (is_extended && quote > 128)
        quote = 128;
    memcpy(icmp + 8, quoted->bytes, quote);
    if (is_extended) {
        memset(icmp + 8 + quote, 0, 128 - quote);
        quote = 128;
        if (!error->is_length_zero)
            icmp[is_v4 ? 5 : 4] = is_v4 ? 128 / 4 : 128 / 8;
        quote += put_labels(icmp + 8 + 128, error);
    }
    if (error->verdict == LAB_TOO_BIG)
        bytes_put32(icmp + 4, is_v4 ? error->mtu & 0xffff : error->mtu);
    (void)make_ip(ret, from, &quoted->src, protocol, ttl, 8 + quote);
    finish(ret, header + 8 + quote, 2);
}

void lab_packet_make_echo_reply(struct lab_packet *ret, const struct lab_packet *request, uint8_t ttl)
{
    size_t size = (size_t)request->size - request->l4;
    size_t header = make_ip(ret, &request->dst, &request->src, request->protocol, ttl, size);
    uint8_t *icmp = ret->bytes + header;
    memcpy(icmp, request->bytes + request->l4, size);
    icmp[0] = request->is_v4 ? 0 : 129;
    icmp[2] = icmp[3] = 0;
    finish(ret, header + size, 2);
    lab_packet_set_dscp(ret, request->is_v4 ? request->bytes[1] >> 2 : (bytes_get16(request->bytes) >> 6) & 63);
}

void lab_packet_make_udp_echo(struct lab_packet *ret, const struct lab_packet *request, uint8_t ttl)
{
    size_t size = (size_t)request->size - request->l4;
    size_t header = make_ip(ret, &request->dst, &request->src, LAB_IPPROTO_UDP, ttl, size);
    const uint8_t *from = request->bytes + request->l4;
    uint8_t *udp = ret->bytes + header;
    memcpy(udp, from, size);
    memcpy(udp, from + 2, 2);
    memcpy(udp + 2, from, 2);
    udp[6] = udp[7] = 0;
    finish(ret, header + size, 6);
}

struct lab_tcp_ends lab_packet_turned(const struct lab_packet *request)
{
    return (struct lab_tcp_ends){request->dst, request->src, lab_packet_port(request, true),
                                 lab_packet_port(request, false)};
}

void lab_packet_make_tcp(struct lab_packet *ret, const struct lab_tcp_ends *ends, const struct lab_tcp_header *tcp,
                         uint8_t ttl)
{
    assert(tcp->options_size % 4 == 0 && tcp->options_size <= sizeof tcp->options);
    size_t size = 20 + (size_t)tcp->options_size;
    size_t header = make_ip(ret, &ends->src, &ends->dst, LAB_IPPROTO_TCP, ttl, size);
    uint8_t *l4 = ret->bytes + header;
    memset(l4, 0, 20);
    bytes_put16(l4, ends->src_port);
    bytes_put16(l4 + 2, ends->dst_port);
    bytes_put32(l4 + 4, tcp->seq);
    bytes_put32(l4 + 8, tcp->ack);
    l4[12] = (uint8_t)(size / 4 << 4);
    l4[13] = tcp->flags;
    bytes_put16(l4 + 14, tcp->window);
    memcpy(l4 + 20, tcp->options, tcp->options_size);
    finish(ret, header + size, 16);
}

void lab_packet_make_probe(struct lab_packet *ret, const struct lab_addr *from, const struct lab_addr *to)
{
    bool is_v4 = lab_addr_is_v4(to);
    size_t header = make_ip(ret, from, to, is_v4 ? LAB_IPPROTO_ICMP : LAB_IPPROTO_ICMP6, 64, 8);
    memset(ret->bytes + header, 0, 8);
    ret->bytes[header] = is_v4 ? 8 : 128;
    finish(ret, header + 8, 2);
}

void lab_packet_make_any(struct lab_packet *ret, const struct lab_addr *from, const struct lab_addr *to,
                         uint8_t protocol, uint16_t port)
{
    bool is_tcp = protocol == LAB_IPPROTO_TCP;
    if (protocol == LAB_IPPROTO_ICMP || protocol == LAB_IPPROTO_ICMP6) {
        lab_packet_make_probe(ret, from, to);
        return;
    }
    size_t size = is_tcp ? 20 : protocol == LAB_IPPROTO_UDP ? 8 : 0;
    size_t header = make_ip(ret, from, to, protocol, 64, size);
    uint8_t *l4 = ret->bytes + header;
    if (size == 0) {
        (void)lab_packet_parse(ret, header);
        return;
    }
    memset(l4, 0, size);
    bytes_put16(l4 + 2, port);
    if (is_tcp) {
        l4[12] = 5 << 4;
        l4[13] = LAB_TCP_SYN;
    } else {
        bytes_put16(l4 + 4, 8);
    }
    finish(ret, header + size, is_tcp ? 16 : 6);
}
