/*
 * Any packets at any time into a network that has everything. The input is a list of packets: vantage, time to wait,
 * length, bytes. Whatever comes out is one whole IP packet, and everything comes to rest.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "lab/net.h"
#include "lab/packet.h"
#include "lab/scenario.h"
#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char scenario[] =
    "vantage a address 198.18.1.2/24 v6 2001:db8:1::2/64\nvantage b address 198.18.2.2/24 v6 2001:db8:2::2/64\n"
    "router r1 address 198.51.100.1 v6 2001:db8:f::1 ratelimit 5/s burst 3\n"
    "router r2 address 198.51.100.2 v6 2001:db8:f::2 per-packet\nrouter r3 address 198.51.100.3 v6 2001:db8:f::3\n"
    "router r4 address 198.51.100.4 v6 2001:db8:f::4 dscp 10 quote 28\n"
    "router r5 address 198.51.100.5 v6 2001:db8:f::5 length-zero ttl-rewrite 9\n"
    "host h address 198.18.10.10 v6 2001:db8:a::10 tcp 1-1023 open udp-echo 7 udp 9 silent echo-loss 5%\n"
    "host s address 198.18.10.11 v6 2001:db8:a::11 tcp 1-1023 open sack never-sent mss 600 timestamps off\n"
    "link a r1 delay 1ms jitter 1ms\nlink b r3 delay 1ms loss 10%\nlink r1 r2 mtu 600\nlink r2 r3 duplicate 10%\n"
    "link r2 r4 corrupt 10%\nlink r4 r3 reorder 20%\nlink r3 r5\nlink r5 h rate 1mbit queue 5ms\nlink r5 s\n"
    "mpls r1 r2 r3 explicit bottom 77 to 198.18.10.0/24\nmpls r3 r2 r1 opaque uturn\n"
    "block 198.18.32.0/20 2001:db8:32::/64 behind r4 udp-echo 7 tcp 80 open\n"
    "nat r2 inside 198.18.1.0/24 as 203.0.113.50\nnat r3 inside 198.18.2.0/24 as 203.0.113.51 quotes address\n"
    "node r3 sequence-randomize on quotes-restored drop-syn-change\nnode r4 strip sack mss-clamp 800 ecn 1 ip-id count\n"
    "node r5 drop-out-of-order every 3\nsyn-proxy r4 port 99 delay 1ms\nsyn-proxy r3 port 80-90 handover\n"
    "network 198.18.50.0/24 behind r3 prohibited\nroute r3 198.18.60.0/24 via r2\nroute r2 198.18.60.0/24 via r3\n"
    "firewall r3 deny tcp port 25 with reset\nfirewall r4 deny udp port 53 with port-unreachable\n"
    "every 1s for 300ms { link r1 r2 loss 50%; link r2 r4 down; node r3 silent }\n";

static void on_packet(void *user, unsigned vantage, const void *bytes, size_t size, int64_t due_ns)
{
    static struct lab_packet packet;
    (void)user;
    (void)due_ns;
    assert(vantage < 2 && size <= LAB_PACKET_BYTES);
    memcpy(packet.bytes, bytes, size);
    bool is_packet = lab_packet_parse(&packet, size);
    assert(is_packet && packet.size == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab_scenario *s;
    struct error err;
    int rc = lab_scenario_parse(scenario, sizeof scenario - 1, "fuzz", &s, &err);
    assert(rc == 0);
    struct lab_net *net = lab_net_new(s, &(struct lab_options){.packets = 64, .truth_probes = 64, .truth_streams = 16});
    lab_net_set_output(net, on_packet, NULL);
    int64_t now = 0;
    for (size_t at = 0; at + 4 <= size;) {
        size_t length = (size_t)(data[at + 2] << 8 | data[at + 3]) % (LAB_PACKET_BYTES + 8);
        now += (int64_t)data[at + 1] * 100000;
        lab_net_step(net, now);
        unsigned vantage = data[at] & 1;
        at += 4;
        if (length > size - at)
            length = size - at;
        lab_net_input(net, vantage, data + at, length, now);
        at += length;
    }
    /* Two vantages answer nobody, so everything comes to rest. */
    for (unsigned i = 0; lab_net_next_ns(net) != LAB_NEVER; i++) {
        assert(i < 100000);
        lab_net_step(net, lab_net_next_ns(net));
    }
    struct buf json;
    buf_init(&json, 4u << 20);
    lab_truth_write(lab_net_truth(net), NULL, &json);
    buf_done(&json);
    lab_net_free(net);
    lab_scenario_free(s);
    return 0;
}
