/* Any bytes as an ICMP message or an IP packet: parsing stays in bounds and what it tells is consistent. */
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
    struct packet_icmp icmp;
    if (packet_parse_icmp(family, data, size, &icmp) != 0) {
        assert(size < PACKET_ICMP_HEADER_BYTES);
        return 0;
    }
    assert(icmp.label_count <= PACKET_MAX_LABELS);
    check_slice(data, size, icmp.payload, icmp.payload_size);
    if (icmp.has_quote)
        check_slice(data, size, icmp.quote.payload, icmp.quote.payload_size);
    struct match_flow flow = {.id = 7, .payload_size = 8};
    flow.dst.sa.sa_family = (sa_family_t)family;
    match_flow_init(&flow, 0x1234);
    uint16_t id, seq;
    if (match_key(&icmp, &id, &seq))
        (void)match_answer(&flow, &flow.dst, &icmp);
    return 0;
}
