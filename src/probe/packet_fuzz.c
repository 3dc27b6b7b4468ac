/* Any bytes as an IP packet, an ICMP message, a TCP segment, a datagram: parsing stays in bounds and what it tells is consistent. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "probe/match.h"
#include "probe/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slice(const uint8_t *data, size_t size, const uint8_t *part, size_t part_size)
{
    assert(part_size == 0 || (part >= data && part + part_size <= data + size));
}

/* Whatever the answer says, looking for its flow stays within the flow. */
static void check_matching(int family, struct match_reply *reply)
{
    for (unsigned i = 0; i < 8; i++) {
        struct match_flow flow = {.protocol = i % 3 == 0 ? PROBE_ICMP : i % 3 == 1 ? PROBE_TCP : PROBE_UDP,
                                  .key = 7,
                                  .id = MATCH_PORT_LOW | 7,
                                  .base = 7 * MATCH_FLOW_PROBES,
                                  .ip_id = 1,
                                  .has_port_per_probe = i % 3 == 1 && i > 3,
                                  .is_session = i % 3 == 1 && i == 7,
                                  .payload_size = i % 3 == 1 ? 0 : 8};
        enum probe_protocol protocol;
        uint32_t key, offset;
        uint16_t port;
        union sock_addr dst;
        uint8_t rewritten;
        flow.dst.sa.sa_family = flow.src.sa.sa_family = (sa_family_t)family;
        sock_set_port(&flow.dst, 443);
        match_flow_init(&flow, 0x1234);
        reply->from = &flow.dst;
        if (match_key(reply, 0, &protocol, &key, &offset)) {
            assert(offset < MATCH_FLOW_PROBES && key < MATCH_KEYS);
            (void)match_answer(&flow, offset, reply, &rewritten);
        }
        if (match_ports(reply, &protocol, &port, &dst) && match_offset(&flow, reply, &offset)) {
            assert(offset < MATCH_FLOW_PROBES);
            (void)match_answer(&flow, offset, reply, &rewritten);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int family = data[0] & 1 ? AF_INET6 : AF_INET;
    data++;
    size--;
    struct packet_ip ip;
    if (packet_parse_ip(family, data, size, &ip) == 0)
        check_slice(data, size, ip.payload, ip.payload_size);
    struct packet_tcp tcp;
    if (packet_parse_tcp(data, size, &tcp) == 0) {
        assert(tcp.sack_count <= PACKET_MAX_SACKS);
        check_slice(data, size, tcp.payload, tcp.payload_size);
        check_matching(family, &(struct match_reply){.kind = packet_tcp_kind(&tcp), .tcp = &tcp});
    }
    struct packet_udp udp;
    if (packet_parse_udp(data, size, &udp) == 0) {
        check_slice(data, size, udp.payload, udp.payload_size);
        check_matching(family, &(struct match_reply){.kind = PACKET_DATAGRAM, .udp = &udp});
    }
    struct packet_icmp icmp;
    if (packet_parse_icmp(family, data, size, &icmp) != 0) {
        assert(size < PACKET_ICMP_HEADER_BYTES);
        return 0;
    }
    assert(icmp.label_count <= PACKET_MAX_LABELS);
    check_slice(data, size, icmp.payload, icmp.payload_size);
    if (icmp.has_quote)
        check_slice(data, size, icmp.quote.payload, icmp.quote.payload_size);
    check_matching(family, &(struct match_reply){.kind = icmp.kind, .icmp = &icmp});
    return 0;
}
