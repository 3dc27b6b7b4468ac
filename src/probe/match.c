#include "probe/match.h"

#include <assert.h>
#include <string.h>

static bool is_ip6(const struct match_flow *flow)
{
    return flow->dst.sa.sa_family == AF_INET6;
}

/* The payload behind the compensation word: the nonce, then a pattern that never changes. */
static void fill(const struct match_flow *flow, uint8_t *payload)
{
    for (uint32_t i = 2; i < flow->payload_size; i++)
        payload[i] = i < MATCH_TAG_BYTES ? flow->nonce[i - 2] : (uint8_t)i;
}

void match_flow_init(struct match_flow *flow, uint16_t sum)
{
    if (flow->payload_size < 2)
        return;
    assert(sum != 0 && sum != 0xffff && flow->payload_size + PACKET_ICMP_HEADER_BYTES <= PACKET_MAX_BYTES);
    uint8_t payload[PACKET_MAX_BYTES] = {0};
    fill(flow, payload);
    uint16_t rest = packet_fold(packet_sum(payload, flow->payload_size, is_ip6(flow) ? 128u << 8 : 8u << 8));
    flow->sum = sum;
    flow->compensation = packet_subtract(sum, packet_add(rest, flow->id));
}

size_t match_build(const struct match_flow *flow, uint32_t offset, uint8_t out[static PACKET_MAX_BYTES])
{
    assert(offset < MATCH_FLOW_PROBES);
    uint16_t seq = (uint16_t)(flow->seq_base + offset);
    if (flow->payload_size < 2)
        return packet_build_echo(flow->dst.sa.sa_family, flow->id, seq, "", flow->payload_size, out);
    uint8_t *payload = out + PACKET_ICMP_HEADER_BYTES;
    uint16_t word = packet_subtract(flow->compensation, seq);
    payload[0] = (uint8_t)(word >> 8);
    payload[1] = (uint8_t)word;
    fill(flow, payload);
    packet_put_echo(flow->dst.sa.sa_family, flow->id, seq, (uint16_t)~flow->sum, out);
    return PACKET_ICMP_HEADER_BYTES + flow->payload_size;
}

bool match_key(const struct packet_icmp *icmp, uint16_t *ret_id, uint16_t *ret_seq)
{
    uint16_t checksum;
    const uint8_t *payload;
    size_t payload_size;
    if (icmp->kind == PACKET_ECHO_REPLY) {
        *ret_id = icmp->id;
        *ret_seq = icmp->seq;
        return true;
    }
    return icmp->has_quote &&
           packet_quoted_echo(&icmp->quote, ret_id, ret_seq, &checksum, &payload, &payload_size);
}

enum verdict { UNKNOWN, AGREES, DISAGREES };

/* The payload as far as it came back. */
static enum verdict compare_payload(const struct match_flow *flow, uint16_t seq, const uint8_t *payload, size_t size)
{
    uint8_t expected[MATCH_TAG_BYTES];
    uint16_t word = packet_subtract(flow->compensation, seq);
    expected[0] = (uint8_t)(word >> 8);
    expected[1] = (uint8_t)word;
    memcpy(expected + 2, flow->nonce, 4);
    if (flow->payload_size < MATCH_TAG_BYTES || size < MATCH_TAG_BYTES)
        return UNKNOWN;
    return memcmp(expected, payload, MATCH_TAG_BYTES) == 0 ? AGREES : DISAGREES;
}

static enum match_quality match_reply(const struct match_flow *flow, const union sock_addr *from,
                                      const struct packet_icmp *icmp)
{
    if (icmp->payload_size > flow->payload_size)
        return MATCH_NONE;
    enum verdict payload = compare_payload(flow, icmp->seq, icmp->payload, icmp->payload_size);
    if (payload == DISAGREES)
        return MATCH_NONE;
    /* Some hosts cut the payload short, some answer from another of their addresses. The latter is believed when the
     * payload proves it, and when the probe had none that could: identifier and sequence number are ours. */
    if (sock_same_ip(from, &flow->dst))
        return icmp->payload_size == flow->payload_size ? MATCH_STRICT : MATCH_LOOSE;
    return payload == AGREES || flow->payload_size < MATCH_TAG_BYTES ? MATCH_LOOSE : MATCH_NONE;
}

/* The checksum routers quote: known for IPv4 only, since that of ICMPv6 covers a source address we may not know. */
static enum verdict compare_checksum(const struct match_flow *flow, uint16_t seq, uint16_t checksum)
{
    if (is_ip6(flow))
        return UNKNOWN;
    uint16_t expected = (uint16_t)~flow->sum;
    if (flow->payload_size < 2)
        expected = (uint16_t)~packet_fold((8u << 8) + (uint32_t)flow->id + seq);
    return checksum == expected ? AGREES : DISAGREES;
}

static enum match_quality match_error(const struct match_flow *flow, const struct packet_icmp *icmp)
{
    uint16_t id, seq, quoted;
    const uint8_t *bytes;
    size_t size;
    if (!packet_quoted_echo(&icmp->quote, &id, &seq, &quoted, &bytes, &size))
        return MATCH_NONE;
    enum verdict payload = compare_payload(flow, seq, bytes, size);
    enum verdict checksum = compare_checksum(flow, seq, quoted);
    bool is_same_dst = sock_same_ip(&icmp->quote.dst, &flow->dst);
    if (payload == DISAGREES)
        return MATCH_NONE;
    if (is_same_dst)
        return checksum == DISAGREES ? MATCH_LOOSE : MATCH_STRICT;
    return checksum == AGREES || payload == AGREES ? MATCH_LOOSE : MATCH_NONE; /* the target was translated */
}

enum match_quality match_answer(const struct match_flow *flow, const union sock_addr *from,
                                const struct packet_icmp *icmp)
{
    if (from->sa.sa_family != flow->dst.sa.sa_family)
        return MATCH_NONE;
    return icmp->kind == PACKET_ECHO_REPLY ? match_reply(flow, from, icmp) : match_error(flow, icmp);
}
