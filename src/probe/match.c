#include "probe/match.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

#define SYN_WINDOW 64240u
#define SYN_MARKS 32u /* so many differ */
#define SYN_MSS4 1460u
#define SYN_MSS6 1440u
#define SYN_SCALE 7u

static bool is_ip6(const struct match_flow *flow)
{
    return flow->dst.sa.sa_family == AF_INET6;
}

static uint8_t protocol_of(const struct match_flow *flow)
{
    switch (flow->protocol) {
    case PROBE_ICMP:
        return is_ip6(flow) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    case PROBE_TCP:
        return IPPROTO_TCP;
    case PROBE_UDP:
        return IPPROTO_UDP;
    }
    return 0;
}

/* The payload behind the compensation word: the nonce, then a pattern that never changes. */
static void fill(const struct match_flow *flow, uint8_t *payload)
{
    for (uint32_t i = 2; i < flow->payload_size; i++)
        payload[i] = i < MATCH_TAG_BYTES ? flow->nonce[i - 2] : (uint8_t)i;
}

void match_flow_init(struct match_flow *flow, uint16_t sum)
{
    uint8_t payload[PACKET_MAX_BYTES]; /* cleared as far as it is used: it is large */
    uint8_t protocol = protocol_of(flow);
    assert(flow->payload_size + PACKET_TCP_HEADER_BYTES + 40 <= PACKET_MAX_BYTES);
    memset(payload, 0, MATCH_TAG_BYTES);
    fill(flow, payload);
    uint32_t payload_sum = packet_sum(payload, flow->payload_size, 0);
    if (flow->protocol == PROBE_UDP) {
        assert(flow->payload_size >= 2 && flow->key < MATCH_UDP_KEYS);
        /* The length stands in the header and in the pseudo header. */
        uint32_t size = PACKET_UDP_HEADER_BYTES + flow->payload_size;
        flow->rest = packet_fold(packet_pseudo_sum(&flow->src, &flow->dst, protocol, 0) + payload_sum + flow->id +
                                 sock_port(&flow->dst) + 2 * size);
    } else if (flow->protocol == PROBE_ICMP) {
        if (is_ip6(flow))
            flow->pseudo = packet_pseudo_sum(&flow->src, &flow->dst, protocol, 0);
        if (flow->payload_size < 2)
            return;
        assert(sum != 0 && sum != 0xffff);
        uint16_t rest = packet_fold(payload_sum + (is_ip6(flow) ? 128u << 8 : 8u << 8));
        flow->sum = sum;
        flow->compensation = packet_subtract(sum, packet_add(rest, flow->id));
    }
}

uint16_t match_sport(const struct match_flow *flow, uint32_t offset)
{
    if (!flow->has_port_per_probe)
        return flow->id;
    return (uint16_t)(MATCH_PROBE_PORT_LOW | ((flow->id + offset) & (MATCH_PROBE_PORTS - 1)));
}

uint16_t match_ip_id(const struct match_flow *flow, uint32_t offset)
{
    return (uint16_t)(flow->ip_id + offset);
}

uint16_t match_window(uint32_t offset)
{
    return (uint16_t)(SYN_WINDOW - offset);
}

/* Of other SYNs: the offset, and some bits of a number that other programs do not have, whose SYNs may leave from the
 * same port. */
static uint16_t syn_window(const struct match_flow *flow, uint32_t offset)
{
    return (uint16_t)(match_window(offset) - flow->base / MATCH_FLOW_PROBES % SYN_MARKS * MATCH_FLOW_PROBES);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static uint16_t echo_seq(const struct match_flow *flow, uint32_t offset)
{
    return (uint16_t)((flow->key >> 16) * MATCH_FLOW_PROBES + offset);
}

static uint16_t echo_checksum(const struct match_flow *flow, uint32_t offset, size_t size)
{
    uint32_t sum = flow->payload_size >= 2 ? flow->sum
                                           : (is_ip6(flow) ? 128u << 8 : 8u << 8) + (uint32_t)flow->id + echo_seq(flow, offset);
    return (uint16_t)~packet_fold(sum + (is_ip6(flow) ? flow->pseudo + (uint32_t)size : 0));
}

static size_t build_echo(const struct match_flow *flow, uint32_t offset, size_t size, uint8_t *out)
{
    uint8_t *payload = out + PACKET_ICMP_HEADER_BYTES;
    size_t usual = PACKET_ICMP_HEADER_BYTES + flow->payload_size;
    size = size > usual ? size : usual;
    memset(payload, 0, size - PACKET_ICMP_HEADER_BYTES);
    if (flow->payload_size >= 2) {
        bytes_put16(payload, packet_subtract(flow->compensation, echo_seq(flow, offset)));
        fill(flow, payload);
    }
    packet_put_echo(flow->dst.sa.sa_family, flow->id, echo_seq(flow, offset), echo_checksum(flow, offset, size), out);
    return size;
}

/* What an ordinary host would open a connection with. */
static size_t build_syn(const struct match_flow *flow, uint32_t offset, size_t size, uint8_t *out)
{
    struct packet_tcp syn = {.sport = match_sport(flow, offset),
                             .dport = sock_port(&flow->dst),
                             .seq = flow->base + offset,
                             .flags = PACKET_SYN,
                             .window = syn_window(flow, offset),
                             .mss = is_ip6(flow) ? SYN_MSS6 : SYN_MSS4,
                             .has_sack_permitted = true,
                             .has_scale = true,
                             .scale = SYN_SCALE,
                             .payload_size = flow->payload_size};
    size_t usual = packet_build_tcp(&syn, &flow->src, &flow->dst, out);
    if (size <= usual)
        return usual;
    syn.payload_size += size - usual;
    return packet_build_tcp(&syn, &flow->src, &flow->dst, out);
}

/* 1..0xffff: a checksum of zero would mean that there is none. */
static uint16_t udp_checksum(const struct match_flow *flow, uint32_t offset)
{
    return (uint16_t)(1 + (flow->key >> 12) * MATCH_FLOW_PROBES + offset);
}

static uint16_t udp_word(const struct match_flow *flow, uint32_t offset, size_t size)
{
    uint32_t more = 2 * (uint32_t)(size - PACKET_UDP_HEADER_BYTES - flow->payload_size);
    uint32_t tail = flow->payload_size >= MATCH_ECHO_BYTES ? offset : 0;
    return packet_subtract((uint16_t)~udp_checksum(flow, offset), packet_fold(flow->rest + more + tail));
}

static size_t build_udp(const struct match_flow *flow, uint32_t offset, size_t size, uint8_t *out)
{
    uint8_t *payload = out + PACKET_UDP_HEADER_BYTES;
    size_t usual = PACKET_UDP_HEADER_BYTES + flow->payload_size;
    size = size > usual ? size : usual;
    memset(payload, 0, size - PACKET_UDP_HEADER_BYTES);
    fill(flow, payload);
    bytes_put16(payload, udp_word(flow, offset, size));
    if (flow->payload_size >= MATCH_ECHO_BYTES) /* the offset takes the place of the pattern, and is added to it */
        bytes_put16(payload + MATCH_TAG_BYTES,
              packet_add((uint16_t)(payload[MATCH_TAG_BYTES] << 8 | payload[MATCH_TAG_BYTES + 1]), (uint16_t)offset));
    bytes_put16(out, match_sport(flow, offset));
    bytes_put16(out + 2, sock_port(&flow->dst));
    bytes_put16(out + 4, (uint16_t)size);
    bytes_put16(out + 6, udp_checksum(flow, offset));
    return size;
}

size_t match_build(const struct match_flow *flow, uint32_t offset, size_t size, uint8_t out[static PACKET_MAX_BYTES])
{
    assert(offset < MATCH_FLOW_PROBES && size <= PACKET_MAX_BYTES && !flow->is_session);
    switch (flow->protocol) {
    case PROBE_ICMP:
        return build_echo(flow, offset, size, out);
    case PROBE_TCP:
        return build_syn(flow, offset, size, out);
    case PROBE_UDP:
        return build_udp(flow, offset, size, out);
    }
    return 0;
}

/* --- where an answer belongs -------------------------------------------------------------------------------------- */

static void echo_key(uint16_t id, uint16_t seq, uint32_t *ret_key, uint32_t *ret_offset)
{
    *ret_key = (uint32_t)(seq / MATCH_FLOW_PROBES) << 16 | id;
    *ret_offset = seq % MATCH_FLOW_PROBES;
}

static void tcp_key(uint32_t seq, uint32_t tcp_base, uint32_t *ret_key, uint32_t *ret_offset)
{
    *ret_key = (seq - tcp_base) / MATCH_FLOW_PROBES;
    *ret_offset = (seq - tcp_base) % MATCH_FLOW_PROBES;
}

static bool udp_key(uint16_t port, uint16_t checksum, uint32_t *ret_key, uint32_t *ret_offset)
{
    uint32_t number = (uint32_t)checksum - 1;
    if (port < MATCH_PORT_LOW || checksum == 0)
        return false;
    *ret_key = number / MATCH_FLOW_PROBES << 12 | (port & (MATCH_PORTS - 1));
    *ret_offset = number % MATCH_FLOW_PROBES;
    return true;
}

static bool quote_key(const struct packet_ip *quote, uint32_t tcp_base, enum probe_protocol *ret_protocol,
                      uint32_t *ret_key, uint32_t *ret_offset)
{
    uint16_t a, b, checksum;
    uint32_t seq;
    const uint8_t *payload;
    size_t payload_size;
    if (packet_quoted_echo(quote, &a, &b, &checksum, &payload, &payload_size)) {
        *ret_protocol = PROBE_ICMP;
        echo_key(a, b, ret_key, ret_offset);
        return true;
    }
    if (packet_quoted_tcp(quote, &a, &b, &seq, &checksum)) {
        *ret_protocol = PROBE_TCP;
        tcp_key(seq, tcp_base, ret_key, ret_offset);
        return true;
    }
    *ret_protocol = PROBE_UDP;
    return packet_quoted_udp(quote, &a, &b, &checksum) && udp_key(a, checksum, ret_key, ret_offset);
}

bool match_key(const struct match_reply *reply, uint32_t tcp_base, enum probe_protocol *ret_protocol, uint32_t *ret_key,
               uint32_t *ret_offset)
{
    if (reply->tcp) {
        *ret_protocol = PROBE_TCP;
        tcp_key(reply->tcp->ack - 1, tcp_base, ret_key, ret_offset);
        return (reply->tcp->flags & PACKET_ACK) != 0;
    }
    if (!reply->icmp)
        return false; /* a datagram is found by its ports */
    if (reply->kind == PACKET_ECHO_REPLY) {
        *ret_protocol = PROBE_ICMP;
        echo_key(reply->icmp->id, reply->icmp->seq, ret_key, ret_offset);
        return true;
    }
    return reply->icmp->has_quote && quote_key(&reply->icmp->quote, tcp_base, ret_protocol, ret_key, ret_offset);
}

bool match_ports(const struct match_reply *reply, enum probe_protocol *ret_protocol, uint16_t *ret_sport,
                 union sock_addr *ret_dst)
{
    uint16_t sport = 0, dport = 0, checksum;
    uint32_t seq;
    if (reply->tcp || reply->udp) {
        *ret_protocol = reply->tcp ? PROBE_TCP : PROBE_UDP;
        *ret_sport = reply->tcp ? reply->tcp->dport : reply->udp->dport;
        *ret_dst = *reply->from;
        sock_set_port(ret_dst, reply->tcp ? reply->tcp->sport : reply->udp->sport);
        return true;
    }
    if (!reply->icmp->has_quote)
        return false;
    const struct packet_ip *quote = &reply->icmp->quote;
    if (packet_quoted_tcp(quote, &sport, &dport, &seq, &checksum))
        *ret_protocol = PROBE_TCP;
    else if (packet_quoted_udp(quote, &sport, &dport, &checksum))
        *ret_protocol = PROBE_UDP;
    else
        return false;
    *ret_sport = sport;
    *ret_dst = quote->dst;
    sock_set_port(ret_dst, dport);
    return true;
}

bool match_id(const struct match_reply *reply, enum probe_protocol *ret_protocol, union sock_addr *ret_dst,
              uint16_t *ret_ip_id)
{
    uint16_t a, b, checksum;
    const uint8_t *payload;
    size_t payload_size;
    if (!reply->icmp || !reply->icmp->has_quote || reply->icmp->quote.dst.sa.sa_family != AF_INET)
        return false;
    const struct packet_ip *quote = &reply->icmp->quote;
    *ret_ip_id = quote->ip_id;
    if (packet_quoted_echo(quote, &a, &b, &checksum, &payload, &payload_size)) {
        *ret_protocol = PROBE_ICMP;
        *ret_dst = quote->dst;
        sock_set_port(ret_dst, 0);
        return true;
    }
    return match_ports(reply, ret_protocol, &a, ret_dst);
}

/* What the quotation of a SYN tells by its port or its window. */
static bool syn_offset(const struct match_flow *flow, const struct match_reply *reply, uint32_t *ret_offset)
{
    uint16_t sport, dport, checksum, window;
    uint32_t seq;
    if (flow->protocol != PROBE_TCP || flow->is_session || !reply->icmp || !reply->icmp->has_quote)
        return false;
    const struct packet_ip *quote = &reply->icmp->quote;
    if (flow->has_port_per_probe && packet_quoted_tcp(quote, &sport, &dport, &seq, &checksum))
        *ret_offset = (uint16_t)(sport - flow->id) & (MATCH_PROBE_PORTS - 1);
    else if (packet_quoted_window(quote, &window))
        *ret_offset = (uint16_t)(syn_window(flow, 0) - window);
    else
        return false;
    return *ret_offset < MATCH_FLOW_PROBES;
}

bool match_offset(const struct match_flow *flow, const struct match_reply *reply, uint32_t *ret_offset)
{
    uint32_t offset = 0;
    if (syn_offset(flow, reply, ret_offset))
        return true;
    if (flow->is_session) { /* its round knows what to make of it */
        if (reply->icmp && reply->icmp->has_quote && !is_ip6(flow))
            offset = (uint16_t)(reply->icmp->quote.ip_id - flow->ip_id);
        *ret_offset = offset < MATCH_FLOW_PROBES ? offset : 0;
        return true;
    }
    if (flow->has_port_per_probe && reply->tcp) {
        offset = (uint16_t)(reply->tcp->dport - flow->id) & (MATCH_PROBE_PORTS - 1);
    } else if (reply->udp && reply->udp->payload_size >= MATCH_ECHO_BYTES && flow->payload_size >= MATCH_ECHO_BYTES) {
        const uint8_t *tail = reply->udp->payload + MATCH_TAG_BYTES;
        uint32_t plain = MATCH_TAG_BYTES << 8 | (MATCH_TAG_BYTES + 1); /* the pattern that the offset was added to */
        offset = (uint16_t)(((uint32_t)tail[0] << 8 | tail[1]) - plain);
    } else if (reply->icmp && reply->icmp->has_quote && !is_ip6(flow)) {
        offset = (uint16_t)(reply->icmp->quote.ip_id - flow->ip_id);
    } else {
        return false;
    }
    *ret_offset = offset;
    return offset < MATCH_FLOW_PROBES;
}

/* --- whether it belongs there ------------------------------------------------------------------------------------- */

enum verdict { UNKNOWN, AGREES, DISAGREES };

/* The payload as far as it came back. */
static enum verdict compare_tag(const struct match_flow *flow, uint16_t word, const uint8_t *payload, size_t size)
{
    uint8_t expected[MATCH_TAG_BYTES];
    bytes_put16(expected, word);
    memcpy(expected + 2, flow->nonce, 4);
    if (flow->payload_size < MATCH_TAG_BYTES || size < MATCH_TAG_BYTES)
        return UNKNOWN;
    return memcmp(expected, payload, MATCH_TAG_BYTES) == 0 ? AGREES : DISAGREES;
}

static enum verdict compare_echo(const struct match_flow *flow, uint32_t offset, const uint8_t *payload, size_t size)
{
    return compare_tag(flow, packet_subtract(flow->compensation, echo_seq(flow, offset)), payload, size);
}

static enum match_quality match_echo_reply(const struct match_flow *flow, uint32_t offset, const struct match_reply *reply)
{
    const struct packet_icmp *icmp = reply->icmp;
    enum verdict payload = compare_echo(flow, offset, icmp->payload, icmp->payload_size);
    if (payload == DISAGREES || (icmp->payload_size > flow->payload_size && !flow->is_padded))
        return MATCH_NONE;
    /* Some hosts cut the payload short, some answer from another of their addresses. The latter is believed when the
     * payload proves it, and when the probe had none that could: identifier and sequence number are ours. */
    if (sock_same_ip(reply->from, &flow->dst))
        return icmp->payload_size >= flow->payload_size ? MATCH_STRICT : MATCH_LOOSE;
    return payload == AGREES || flow->payload_size < MATCH_TAG_BYTES ? MATCH_LOOSE : MATCH_NONE;
}

/* The kernel of the other end answers from the address and the port it was asked at; a middlebox that answers in its name
 * pretends to. Everything else is forged. */
static enum match_quality match_tcp_reply(const struct match_flow *flow, uint32_t offset, const struct match_reply *reply)
{
    const struct packet_tcp *tcp = reply->tcp;
    if (!sock_same_ip(reply->from, &flow->dst) || tcp->sport != sock_port(&flow->dst))
        return MATCH_NONE;
    if (flow->is_session)
        return tcp->dport != flow->id                              ? MATCH_NONE
               : tcp->ack - 1 - flow->base < MATCH_FLOW_PROBES &&
                       (tcp->flags & PACKET_ACK)                   ? MATCH_STRICT
                                                                   : MATCH_LOOSE;
    if (reply->kind == PACKET_SEGMENT || tcp->dport != match_sport(flow, offset))
        return MATCH_NONE;
    if (!(tcp->flags & PACKET_ACK)) /* a RST of something that does not know how to (RFC 9293 section 3.10.7.1) */
        return flow->has_port_per_probe ? MATCH_LOOSE : MATCH_NONE;
    uint32_t more = tcp->ack - 1 - (flow->base + offset); /* the SYN alone is acknowledged, or its payload too */
    if (more == 0 || more == flow->payload_size)
        return MATCH_STRICT;
    return flow->has_port_per_probe ? MATCH_LOOSE : MATCH_NONE; /* sequence numbers are rewritten on the way */
}

static enum match_quality match_udp_reply(const struct match_flow *flow, uint32_t offset, const struct match_reply *reply)
{
    const struct packet_udp *udp = reply->udp;
    size_t size = PACKET_UDP_HEADER_BYTES + udp->payload_size;
    if (!sock_same_ip(reply->from, &flow->dst) || udp->sport != sock_port(&flow->dst) ||
        udp->dport != match_sport(flow, offset) || udp->payload_size < flow->payload_size)
        return MATCH_NONE;
    return compare_tag(flow, udp_word(flow, offset, size), udp->payload, udp->payload_size) == AGREES ? MATCH_STRICT
                                                                                                      : MATCH_NONE;
}

static enum verdict compare_tcp_checksum(const struct match_flow *flow, uint32_t offset, uint16_t checksum)
{
    uint8_t syn[PACKET_MAX_BYTES];
    if (checksum == 0 || flow->is_session || flow->is_padded || !sock_is_set(&flow->src))
        return UNKNOWN;
    (void)build_syn(flow, offset, 0, syn);
    return checksum == (uint16_t)(syn[16] << 8 | syn[17]) ? AGREES : DISAGREES;
}

static uint8_t compare_addresses(const struct match_flow *flow, uint32_t offset, const struct packet_ip *quote)
{
    unsigned rewritten = 0;
    if (sock_is_set(&flow->src) && !sock_same_ip(&quote->src, &flow->src))
        rewritten |= MATCH_SRC;
    if (!sock_same_ip(&quote->dst, &flow->dst))
        rewritten |= MATCH_DST;
    if (!is_ip6(flow) && quote->ip_id != match_ip_id(flow, offset))
        rewritten |= MATCH_IP_ID;
    return (uint8_t)rewritten;
}

static enum match_quality match_quoted_echo(const struct match_flow *flow, uint32_t offset, const struct packet_ip *quote,
                                            unsigned *rewritten)
{
    uint16_t id, seq, checksum;
    const uint8_t *bytes;
    size_t size;
    if (!packet_quoted_echo(quote, &id, &seq, &checksum, &bytes, &size))
        return MATCH_NONE;
    enum verdict payload = compare_echo(flow, offset, bytes, size);
    if (payload == DISAGREES)
        return MATCH_NONE;
    bool knows_checksum = !is_ip6(flow) || (sock_is_set(&flow->src) && !flow->is_padded);
    bool is_same = checksum == echo_checksum(flow, offset, PACKET_ICMP_HEADER_BYTES + flow->payload_size);
    if (knows_checksum && !is_same)
        *rewritten |= MATCH_CHECKSUM;
    if (!(*rewritten & MATCH_DST))
        return *rewritten & MATCH_CHECKSUM ? MATCH_LOOSE : MATCH_STRICT;
    return is_same || payload == AGREES ? MATCH_LOOSE : MATCH_NONE; /* the target was translated */
}

/* What is quoted of the payload of a datagram is not the flow's, or the window of a SYN; a SYN with neither port nor sequence
 * number nor a window is anybody's. */
static bool is_foreign(const struct match_flow *flow, uint32_t offset, const struct packet_ip *quote, unsigned rewritten)
{
    uint16_t window;
    if (flow->protocol == PROBE_TCP && !flow->is_session)
        return packet_quoted_window(quote, &window) ? window != syn_window(flow, offset) : (rewritten & MATCH_SPORT) != 0;
    size_t start = PACKET_UDP_HEADER_BYTES + 2;
    return flow->protocol == PROBE_UDP && flow->payload_size >= MATCH_TAG_BYTES &&
           quote->payload_size >= start + sizeof flow->nonce &&
           memcmp(quote->payload + start, flow->nonce, sizeof flow->nonce) != 0;
}

static enum match_quality match_quoted_ports(const struct match_flow *flow, uint32_t offset, const struct packet_ip *quote,
                                             unsigned *rewritten)
{
    uint16_t sport, dport, checksum;
    uint32_t seq = flow->base + offset;
    if (flow->protocol == PROBE_TCP) {
        if (!packet_quoted_tcp(quote, &sport, &dport, &seq, &checksum))
            return MATCH_NONE;
        if (compare_tcp_checksum(flow, offset, checksum) == DISAGREES)
            *rewritten |= MATCH_CHECKSUM;
    } else {
        if (!packet_quoted_udp(quote, &sport, &dport, &checksum))
            return MATCH_NONE;
        if (checksum != udp_checksum(flow, offset))
            *rewritten |= MATCH_CHECKSUM;
    }
    if (sport != match_sport(flow, offset))
        *rewritten |= MATCH_SPORT;
    if (dport != sock_port(&flow->dst))
        *rewritten |= MATCH_DPORT;
    if (seq != flow->base + offset)
        *rewritten |= MATCH_SEQ;
    /* Where the key was found the ports may have been rewritten, and the other way round; never both, never both ends. */
    bool is_key_wrong = seq != flow->base + offset ||
                        (flow->protocol == PROBE_UDP && checksum != udp_checksum(flow, offset));
    bool is_end_wrong = (*rewritten & (MATCH_DST | MATCH_DPORT)) != 0;
    bool has_id = !is_ip6(flow) && !(*rewritten & MATCH_IP_ID);
    if (is_key_wrong && (is_end_wrong || (*rewritten & MATCH_SPORT && !has_id) || is_foreign(flow, offset, quote, *rewritten)))
        return MATCH_NONE;
    if (is_end_wrong && (*rewritten & (MATCH_SPORT | MATCH_SRC)) == (MATCH_SPORT | MATCH_SRC) && (*rewritten & MATCH_IP_ID))
        return MATCH_NONE;
    return *rewritten & ~(unsigned)MATCH_IP_ID ? MATCH_LOOSE : MATCH_STRICT;
}

enum match_quality match_answer(const struct match_flow *flow, uint32_t offset, const struct match_reply *reply,
                                uint8_t *ret_rewritten)
{
    *ret_rewritten = 0;
    if (reply->from->sa.sa_family != flow->dst.sa.sa_family)
        return MATCH_NONE;
    if (reply->tcp)
        return flow->protocol == PROBE_TCP ? match_tcp_reply(flow, offset, reply) : MATCH_NONE;
    if (reply->udp)
        return flow->protocol == PROBE_UDP ? match_udp_reply(flow, offset, reply) : MATCH_NONE;
    if (reply->kind == PACKET_ECHO_REPLY)
        return flow->protocol == PROBE_ICMP ? match_echo_reply(flow, offset, reply) : MATCH_NONE;
    if (!reply->icmp->has_quote)
        return MATCH_NONE;
    const struct packet_ip *quote = &reply->icmp->quote;
    unsigned rewritten = compare_addresses(flow, offset, quote);
    enum match_quality quality = flow->protocol == PROBE_ICMP ? match_quoted_echo(flow, offset, quote, &rewritten)
                                                              : match_quoted_ports(flow, offset, quote, &rewritten);
    if (quality != MATCH_NONE)
        *ret_rewritten = (uint8_t)rewritten;
    return quality;
}
