#include "probe/packet.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

#define IP4_HEADER_BYTES 20u
#define IP6_HEADER_BYTES 40u
#define EXTENSION_HEADER_BYTES 4u
#define OBJECT_HEADER_BYTES 4u
#define OLD_QUOTE_BYTES 128u /* where extensions begin when nobody says so (RFC 4884 section 5.5) */
#define MAX_IP6_EXTENSIONS 8u

enum { ICMP4_ECHO_REPLY = 0, ICMP4_UNREACHABLE = 3, ICMP4_ECHO = 8, ICMP4_TTL_EXCEEDED = 11, ICMP4_PARAMETER = 12 };
enum {
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TTL_EXCEEDED = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129
};

/* --- one's complement arithmetic ---------------------------------------------------------------------------------- */

uint32_t packet_sum(const void *bytes, size_t size, uint32_t sum)
{
    const uint8_t *p = bytes;
    for (; size > 1; size -= 2, p += 2)
        sum += bytes_get16(p);
    if (size)
        sum += (uint32_t)p[0] << 8;
    return sum;
}

uint16_t packet_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t packet_add(uint16_t a, uint16_t b)
{
    return packet_fold((uint32_t)a + b);
}

uint16_t packet_subtract(uint16_t a, uint16_t b)
{
    return packet_fold((uint32_t)a + (uint16_t)~b);
}

/* --- IP ----------------------------------------------------------------------------------------------------------- */

static int parse_ip4(const uint8_t *p, size_t size, struct packet_ip *ret_ip)
{
    if (size < IP4_HEADER_BYTES || p[0] >> 4 != 4)
        return -E_CORRUPT;
    size_t header = (size_t)(p[0] & 15) * 4;
    if (header < IP4_HEADER_BYTES || header > size)
        return -E_CORRUPT;
    /* Some stacks quote the total length in host order or with the header taken off: only a plausible one cuts. */
    size_t total = bytes_get16(p + 2);
    size_t end = total >= header && total < size ? total : size;
    struct packet_ip ip = {.ttl = p[8], .tos = p[1], .protocol = p[9], .ip_id = bytes_get16(p + 4)};
    ip.is_fragment = (bytes_get16(p + 6) & 0x1fff) != 0;
    sock_from_ip_bytes(&ip.src, AF_INET, p + 12);
    sock_from_ip_bytes(&ip.dst, AF_INET, p + 16);
    ip.payload = p + header;
    ip.payload_size = end - header;
    *ret_ip = ip;
    return 0;
}

static bool is_ip6_extension(uint8_t next)
{
    return next == 0 || next == 43 || next == 44 || next == 60; /* hop-by-hop, routing, fragment, destination */
}

static int parse_ip6(const uint8_t *p, size_t size, struct packet_ip *ret_ip)
{
    if (size < IP6_HEADER_BYTES || p[0] >> 4 != 6)
        return -E_CORRUPT;
    size_t claimed = IP6_HEADER_BYTES + (size_t)bytes_get16(p + 4);
    size_t end = claimed < size ? claimed : size;
    struct packet_ip ip = {.ttl = p[7], .tos = (uint8_t)(p[0] << 4 | p[1] >> 4), .protocol = p[6]};
    sock_from_ip_bytes(&ip.src, AF_INET6, p + 8);
    sock_from_ip_bytes(&ip.dst, AF_INET6, p + 24);
    size_t at = IP6_HEADER_BYTES;
    for (unsigned i = 0; i < MAX_IP6_EXTENSIONS && is_ip6_extension(ip.protocol); i++) {
        if (end - at < 8)
            break;
        bool is_fragment_header = ip.protocol == 44;
        size_t length = is_fragment_header ? 8 : ((size_t)p[at + 1] + 1) * 8;
        if (length > end - at)
            break;
        if (is_fragment_header && (bytes_get16(p + at + 2) & 0xfff8) != 0)
            ip.is_fragment = true;
        ip.protocol = p[at];
        at += length;
    }
    ip.payload = p + at;
    ip.payload_size = end - at;
    *ret_ip = ip;
    return 0;
}

int packet_parse_ip(int family, const void *bytes, size_t size, struct packet_ip *ret_ip)
{
    return family == AF_INET6 ? parse_ip6(bytes, size, ret_ip) : parse_ip4(bytes, size, ret_ip);
}

/* --- ICMP --------------------------------------------------------------------------------------------------------- */

static enum packet_kind kind4(uint8_t type, uint8_t code)
{
    switch (type) {
    case ICMP4_ECHO_REPLY:
        return PACKET_ECHO_REPLY;
    case ICMP4_ECHO:
        return PACKET_ECHO_REQUEST;
    case ICMP4_UNREACHABLE:
        return code == 4 ? PACKET_TOO_BIG : PACKET_UNREACHABLE;
    case ICMP4_TTL_EXCEEDED:
        return code == 0 ? PACKET_TTL_EXCEEDED : PACKET_OTHER; /* code 1: reassembly */
    case ICMP4_PARAMETER:
        return PACKET_PARAMETER;
    }
    return PACKET_OTHER;
}

static enum packet_kind kind6(uint8_t type, uint8_t code)
{
    switch (type) {
    case ICMP6_ECHO_REPLY:
        return PACKET_ECHO_REPLY;
    case ICMP6_ECHO:
        return PACKET_ECHO_REQUEST;
    case ICMP6_UNREACHABLE:
        return PACKET_UNREACHABLE;
    case ICMP6_TOO_BIG:
        return PACKET_TOO_BIG;
    case ICMP6_TTL_EXCEEDED:
        return code == 0 ? PACKET_TTL_EXCEEDED : PACKET_OTHER;
    case ICMP6_PARAMETER:
        return PACKET_PARAMETER;
    }
    return PACKET_OTHER;
}

static void parse_labels(const uint8_t *p, size_t size, struct packet_icmp *icmp)
{
    for (size_t at = 0; size - at >= 4 && icmp->label_count < PACKET_MAX_LABELS; at += 4) {
        uint32_t entry = bytes_get32(p + at);
        icmp->labels[icmp->label_count++] = (struct packet_label){
            .label = entry >> 12,
            .exp = (uint8_t)(entry >> 9 & 7),
            .is_bottom = (entry >> 8 & 1) != 0,
            .ttl = (uint8_t)entry,
        };
        if (entry >> 8 & 1)
            break;
    }
}

/* An extension structure at p: version 2, and a checksum that is right or, where the place is certain, absent. */
static bool parse_extensions(const uint8_t *p, size_t size, bool is_place_certain, struct packet_icmp *icmp)
{
    if (size < EXTENSION_HEADER_BYTES || p[0] >> 4 != 2)
        return false;
    bool has_checksum = bytes_get16(p + 2) != 0;
    if (has_checksum ? packet_fold(packet_sum(p, size, 0)) != 0xffff : !is_place_certain)
        return false;
    icmp->has_extensions = true;
    size_t at = EXTENSION_HEADER_BYTES;
    while (size - at >= OBJECT_HEADER_BYTES) {
        size_t length = bytes_get16(p + at);
        if (length < OBJECT_HEADER_BYTES || length > size - at)
            break;
        if (p[at + 2] == 1 && p[at + 3] == 1 && icmp->label_count == 0)
            parse_labels(p + at + OBJECT_HEADER_BYTES, length - OBJECT_HEADER_BYTES, icmp);
        at += length;
    }
    return true;
}

/* The quotation of an error, and the extensions behind it. */
static void parse_error_body(int family, const uint8_t *body, size_t size, size_t told, bool can_extend,
                             struct packet_icmp *icmp)
{
    size_t quote_size = size;
    if (can_extend && told > 0 && told <= size && parse_extensions(body + told, size - told, true, icmp))
        quote_size = told;
    else if (can_extend && size > OLD_QUOTE_BYTES &&
             parse_extensions(body + OLD_QUOTE_BYTES, size - OLD_QUOTE_BYTES, false, icmp))
        quote_size = OLD_QUOTE_BYTES;
    else if (can_extend && told > 0 && told <= size)
        quote_size = told;
    icmp->has_quote = packet_parse_ip(family, body, quote_size, &icmp->quote) == 0;
}

int packet_parse_icmp(int family, const void *bytes, size_t size, struct packet_icmp *ret_icmp)
{
    const uint8_t *p = bytes;
    if (size < PACKET_ICMP_HEADER_BYTES)
        return -E_CORRUPT;
    struct packet_icmp icmp = {.type = p[0], .code = p[1], .checksum = bytes_get16(p + 2)};
    icmp.kind = family == AF_INET6 ? kind6(p[0], p[1]) : kind4(p[0], p[1]);
    const uint8_t *body = p + PACKET_ICMP_HEADER_BYTES;
    size_t body_size = size - PACKET_ICMP_HEADER_BYTES;
    size_t told = family == AF_INET6 ? (size_t)p[4] * 8 : (size_t)p[5] * 4;
    switch (icmp.kind) {
    case PACKET_ECHO_REQUEST:
    case PACKET_ECHO_REPLY:
        icmp.id = bytes_get16(p + 4);
        icmp.seq = bytes_get16(p + 6);
        icmp.payload = body;
        icmp.payload_size = body_size;
        break;
    case PACKET_TTL_EXCEEDED:
    case PACKET_UNREACHABLE:
        parse_error_body(family, body, body_size, told, true, &icmp);
        break;
    case PACKET_TOO_BIG:
        icmp.mtu = family == AF_INET6 ? bytes_get32(p + 4) : bytes_get16(p + 6);
        parse_error_body(family, body, body_size, told, family == AF_INET, &icmp);
        break;
    case PACKET_PARAMETER:
        parse_error_body(family, body, body_size, told, family == AF_INET, &icmp);
        break;
    case PACKET_SYN_ACK:
    case PACKET_RESET:
    case PACKET_SEGMENT:
    case PACKET_DATAGRAM:
    case PACKET_OTHER:
        break;
    }
    *ret_icmp = icmp;
    return 0;
}

bool packet_quoted_echo(const struct packet_ip *quote, uint16_t *ret_id, uint16_t *ret_seq, uint16_t *ret_checksum,
                        const uint8_t **ret_payload, size_t *ret_payload_size)
{
    bool is_ip6 = quote->dst.sa.sa_family == AF_INET6;
    const uint8_t *p = quote->payload;
    if (quote->is_fragment || quote->payload_size < PACKET_ICMP_HEADER_BYTES ||
        quote->protocol != (is_ip6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || p[0] != (is_ip6 ? ICMP6_ECHO : ICMP4_ECHO) ||
        p[1] != 0)
        return false;
    *ret_checksum = bytes_get16(p + 2);
    *ret_id = bytes_get16(p + 4);
    *ret_seq = bytes_get16(p + 6);
    *ret_payload = p + PACKET_ICMP_HEADER_BYTES;
    *ret_payload_size = quote->payload_size - PACKET_ICMP_HEADER_BYTES;
    return true;
}

bool packet_is_prohibited(int family, const struct packet_icmp *icmp)
{
    if (icmp->kind != PACKET_UNREACHABLE)
        return false;
    if (family == AF_INET6)
        return icmp->code == 1 || icmp->code == 5 || icmp->code == 6;
    return icmp->code == 9 || icmp->code == 10 || icmp->code == 13;
}

bool packet_is_port_unreachable(int family, const struct packet_icmp *icmp)
{
    if (icmp->kind != PACKET_UNREACHABLE)
        return false;
    return family == AF_INET6 ? icmp->code == 4 : icmp->code == 2 || icmp->code == 3;
}

void packet_put_echo(int family, uint16_t id, uint16_t seq, uint16_t checksum,
                     uint8_t out[static PACKET_ICMP_HEADER_BYTES])
{
    out[0] = family == AF_INET6 ? ICMP6_ECHO : ICMP4_ECHO;
    out[1] = 0;
    bytes_put16(out + 2, checksum);
    bytes_put16(out + 4, id);
    bytes_put16(out + 6, seq);
}

/* --- TCP and UDP -------------------------------------------------------------------------------------------------- */

enum { OPTION_END, OPTION_NOTHING, OPTION_MSS, OPTION_SCALE, OPTION_SACK_PERMITTED, OPTION_SACK, OPTION_TIMESTAMPS = 8 };

static void parse_sacks(const uint8_t *p, size_t size, struct packet_tcp *tcp)
{
    tcp->sack_count = 0;
    for (size_t at = 0; at + 8 <= size && tcp->sack_count < PACKET_MAX_SACKS; at += 8) {
        tcp->sacks[tcp->sack_count].left = bytes_get32(p + at);
        tcp->sacks[tcp->sack_count++].right = bytes_get32(p + at + 4);
    }
}

static void parse_option(uint8_t kind, const uint8_t *body, size_t size, struct packet_tcp *tcp)
{
    if (kind == OPTION_MSS && size == 2) {
        tcp->mss = bytes_get16(body);
    } else if (kind == OPTION_SCALE && size == 1) {
        tcp->has_scale = true;
        tcp->scale = body[0];
    } else if (kind == OPTION_SACK_PERMITTED && size == 0) {
        tcp->has_sack_permitted = true;
    } else if (kind == OPTION_TIMESTAMPS && size == 8) {
        tcp->has_timestamps = true;
        tcp->ts_value = bytes_get32(body);
        tcp->ts_echo = bytes_get32(body + 4);
    } else if (kind == OPTION_SACK) {
        parse_sacks(body, size, tcp);
    }
}

static void parse_options(const uint8_t *p, size_t size, struct packet_tcp *tcp)
{
    for (size_t at = 0; at < size && p[at] != OPTION_END;) {
        if (p[at] == OPTION_NOTHING) {
            at++;
            continue;
        }
        if (size - at < 2 || p[at + 1] < 2 || p[at + 1] > size - at)
            return;
        parse_option(p[at], p + at + 2, p[at + 1] - 2u, tcp);
        at += p[at + 1];
    }
}

int packet_parse_tcp(const void *bytes, size_t size, struct packet_tcp *ret_tcp)
{
    const uint8_t *p = bytes;
    if (size < PACKET_TCP_HEADER_BYTES)
        return -E_CORRUPT;
    size_t header = (size_t)(p[12] >> 4) * 4;
    if (header < PACKET_TCP_HEADER_BYTES || header > size)
        return -E_CORRUPT;
    struct packet_tcp tcp = {.sport = bytes_get16(p),
                             .dport = bytes_get16(p + 2),
                             .seq = bytes_get32(p + 4),
                             .ack = bytes_get32(p + 8),
                             .flags = p[13],
                             .window = bytes_get16(p + 14),
                             .checksum = bytes_get16(p + 16),
                             .payload = p + header,
                             .payload_size = size - header};
    parse_options(p + PACKET_TCP_HEADER_BYTES, header - PACKET_TCP_HEADER_BYTES, &tcp);
    *ret_tcp = tcp;
    return 0;
}

int packet_parse_udp(const void *bytes, size_t size, struct packet_udp *ret_udp)
{
    const uint8_t *p = bytes;
    if (size < PACKET_UDP_HEADER_BYTES)
        return -E_CORRUPT;
    *ret_udp = (struct packet_udp){.sport = bytes_get16(p),
                                   .dport = bytes_get16(p + 2),
                                   .checksum = bytes_get16(p + 6),
                                   .payload = p + PACKET_UDP_HEADER_BYTES,
                                   .payload_size = size - PACKET_UDP_HEADER_BYTES};
    return 0;
}

enum packet_kind packet_tcp_kind(const struct packet_tcp *tcp)
{
    if (tcp->flags & PACKET_RST)
        return PACKET_RESET;
    return (tcp->flags & (PACKET_SYN | PACKET_ACK)) == (PACKET_SYN | PACKET_ACK) ? PACKET_SYN_ACK : PACKET_SEGMENT;
}

bool packet_quoted_tcp(const struct packet_ip *quote, uint16_t *ret_sport, uint16_t *ret_dport, uint32_t *ret_seq,
                       uint16_t *ret_checksum)
{
    const uint8_t *p = quote->payload;
    if (quote->is_fragment || quote->protocol != IPPROTO_TCP || quote->payload_size < 8)
        return false;
    *ret_sport = bytes_get16(p);
    *ret_dport = bytes_get16(p + 2);
    *ret_seq = bytes_get32(p + 4);
    *ret_checksum = quote->payload_size >= 18 ? bytes_get16(p + 16) : 0;
    return true;
}

bool packet_quoted_window(const struct packet_ip *quote, uint16_t *ret_window)
{
    if (quote->is_fragment || quote->protocol != IPPROTO_TCP || quote->payload_size < 16)
        return false;
    *ret_window = bytes_get16(quote->payload + 14);
    return true;
}

bool packet_quoted_udp(const struct packet_ip *quote, uint16_t *ret_sport, uint16_t *ret_dport, uint16_t *ret_checksum)
{
    struct packet_udp udp;
    if (quote->is_fragment || quote->protocol != IPPROTO_UDP ||
        packet_parse_udp(quote->payload, quote->payload_size, &udp) != 0)
        return false;
    *ret_sport = udp.sport;
    *ret_dport = udp.dport;
    *ret_checksum = udp.checksum;
    return true;
}

uint32_t packet_pseudo_sum(const union sock_addr *src, const union sock_addr *dst, uint8_t protocol, size_t size)
{
    size_t src_size, dst_size;
    const void *from = sock_is_set(src) ? sock_ip_bytes(src, &src_size) : NULL;
    const void *to = sock_ip_bytes(dst, &dst_size);
    uint32_t sum = (uint32_t)size + protocol;
    if (from)
        sum = packet_sum(from, src_size, sum);
    return packet_sum(to, dst_size, sum);
}

/* Padded with NOPs so that every option begins where stacks put it. */
static size_t put_options(const struct packet_tcp *tcp, uint8_t *p)
{
    size_t at = 0;
    if (tcp->mss) {
        p[at] = OPTION_MSS;
        p[at + 1] = 4;
        bytes_put16(p + at + 2, tcp->mss);
        at += 4;
    }
    if (tcp->has_sack_permitted) {
        p[at] = OPTION_SACK_PERMITTED;
        p[at + 1] = 2;
        at += 2;
    } else if (tcp->has_timestamps) {
        p[at++] = OPTION_NOTHING;
        p[at++] = OPTION_NOTHING;
    }
    if (tcp->has_timestamps) {
        p[at] = OPTION_TIMESTAMPS;
        p[at + 1] = 10;
        bytes_put32(p + at + 2, tcp->ts_value);
        bytes_put32(p + at + 6, tcp->ts_echo);
        at += 10;
    } else if (tcp->has_sack_permitted) {
        p[at++] = OPTION_NOTHING;
        p[at++] = OPTION_NOTHING;
    }
    if (tcp->has_scale) {
        p[at++] = OPTION_NOTHING;
        p[at] = OPTION_SCALE;
        p[at + 1] = 3;
        p[at + 2] = tcp->scale;
        at += 3;
    }
    return at;
}

size_t packet_build_tcp(const struct packet_tcp *tcp, const union sock_addr *src, const union sock_addr *dst,
                        uint8_t out[static PACKET_MAX_BYTES])
{
    size_t header = PACKET_TCP_HEADER_BYTES + put_options(tcp, out + PACKET_TCP_HEADER_BYTES);
    size_t size = header + tcp->payload_size;
    assert(header % 4 == 0 && size <= PACKET_MAX_BYTES);
    bytes_put16(out, tcp->sport);
    bytes_put16(out + 2, tcp->dport);
    bytes_put32(out + 4, tcp->seq);
    bytes_put32(out + 8, tcp->ack);
    out[12] = (uint8_t)(header << 2);
    out[13] = tcp->flags;
    bytes_put16(out + 14, tcp->window);
    memset(out + 16, 0, 4); /* checksum, urgent pointer */
    if (tcp->payload)
        memcpy(out + header, tcp->payload, tcp->payload_size);
    else
        memset(out + header, 0, tcp->payload_size);
    bytes_put16(out + 16, (uint16_t)~packet_fold(packet_sum(out, size, packet_pseudo_sum(src, dst, IPPROTO_TCP, size))));
    return size;
}
