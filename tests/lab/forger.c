#include "forger.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "odd_net.h"

#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16

static int eye_fd = -1, mouth_fd = -1;
static uint16_t target_port;
static atomic_uint forged_count;

/* An IPv4 packet as if it came from whom `seen` went to. */
static void forge(const uint8_t *seen, uint8_t protocol, const uint8_t *bytes, size_t size)
{
    uint8_t packet[ODD_BYTES] = {0x45, [8] = 64, [9] = protocol};
    struct sockaddr_in to = {.sin_family = AF_INET};
    bytes_put16(packet + 2, 20 + size);
    memcpy(packet + 12, seen + 16, 4);
    memcpy(packet + 16, seen + 12, 4);
    memcpy(&to.sin_addr, seen + 12, 4);
    memcpy(packet + 20, bytes, size);
    if (sendto(mouth_fd, packet, 20 + size, 0, (struct sockaddr *)&to, sizeof to) > 0)
        atomic_fetch_add(&forged_count, 1);
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

struct segment {
    uint32_t seq_shift, ack_shift; /* from what a true answer has */
    uint8_t flags;
    uint8_t offset;                /* of the data in words; 0 = the true one */
    const uint8_t *options;
    size_t option_bytes, cut;      /* cut = bytes sent at most */
};

static void forge_segment(const uint8_t *seen, const uint8_t *tcp, const struct segment *segment)
{
    uint8_t bytes[120] = {0};
    size_t size = 20 + segment->option_bytes, sent = segment->cut ? segment->cut : size;
    uint8_t pseudo[12] = {[9] = IPPROTO_TCP};
    memcpy(bytes, tcp + 2, 2);
    memcpy(bytes + 2, tcp, 2);
    bytes_put32(bytes + 4, bytes_get32(tcp + 8) + segment->seq_shift);
    bytes_put32(bytes + 8, bytes_get32(tcp + 4) + segment->ack_shift);
    bytes[12] = (uint8_t)((segment->offset ? segment->offset : size / 4) << 4);
    bytes[13] = segment->flags;
    bytes_put16(bytes + 14, 65535);
    if (segment->option_bytes)
        memcpy(bytes + 20, segment->options, segment->option_bytes);
    memcpy(pseudo, seen + 16, 4);
    memcpy(pseudo + 4, seen + 12, 4);
    bytes_put16(pseudo + 10, size);
    uint32_t sum = (uint16_t)~odd_checksum(pseudo, sizeof pseudo, 0);
    bytes_put16(bytes + 16, odd_checksum(bytes, size, sum));
    forge(seen, IPPROTO_TCP, bytes, sent);
}

static void forge_segments(const uint8_t *seen, const uint8_t *tcp)
{
    /* Blocks that end before they begin, span the whole space, lie far away; lengths that lie. */
    static const uint8_t backwards[12] = {1, 1, 5, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1};
    static const uint8_t everything[12] = {1, 1, 5, 10, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t far[12] = {1, 1, 5, 10, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x79};
    static const uint8_t too_long[12] = {5, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const uint8_t no_length[4] = {5, 0, 5, 0};
    static const uint8_t odd_length[12] = {5, 7, 0, 0, 0, 0, 0, 5, 3, 0, 1, 0};
    static const uint8_t mss_of_nothing[4] = {2, 4, 0, 0};
    static const uint8_t endless[40] = {[39] = 5};
    const struct segment segments[] = {
        {.flags = ACK, .offset = 15},
        {.flags = ACK, .offset = 1},
        {.flags = SYN | ACK, .offset = 4, .ack_shift = 1},
        {.flags = ACK, .cut = 3},
        {.flags = SYN | ACK, .ack_shift = 1, .cut = 13},
        {.flags = ACK, .options = backwards, .option_bytes = 12},
        {.flags = ACK, .options = everything, .option_bytes = 12},
        {.flags = ACK, .options = far, .option_bytes = 12},
        {.flags = ACK, .options = too_long, .option_bytes = 12},
        {.flags = ACK, .options = no_length, .option_bytes = 4},
        {.flags = ACK, .options = odd_length, .option_bytes = 12},
        {.flags = ACK, .options = endless, .option_bytes = 40},
        {.flags = ACK, .ack_shift = 1u << 30},
        {.flags = ACK, .ack_shift = 0x80000000u},
        {.flags = SYN | ACK, .ack_shift = 77777, .options = mss_of_nothing, .option_bytes = 4},
        {.flags = RST, .seq_shift = 1u << 28},
        {.flags = RST | ACK, .seq_shift = 1u << 28, .ack_shift = 1u << 29},
        {.flags = FIN | ACK, .seq_shift = 1u << 28},
        {.flags = 0, .ack_shift = 12345},
        {.flags = 0xff, .seq_shift = 1u << 27, .ack_shift = 1u << 26},
    };
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
        forge_segment(seen, tcp, &segments[i]);
}

/* --- ICMP --------------------------------------------------------------------------------------------------------- */

/* An error that quotes the packet seen, with what `at` names changed; `size` bytes of it at most. */
static void forge_error(const uint8_t *seen, size_t seen_bytes, uint8_t type, uint8_t code, size_t at, uint8_t change,
                        size_t size)
{
    uint8_t icmp[ODD_BYTES] = {type, code};
    size = size < seen_bytes ? size : seen_bytes;
    memcpy(icmp + 8, seen, size);
    if (at < size)
        icmp[8 + at] ^= change;
    if (type == 3 && code == 4)
        bytes_put16(icmp + 6, 0); /* an MTU of nothing */
    bytes_put16(icmp + 2, odd_checksum(icmp, 8 + size, 0));
    forge(seen, IPPROTO_ICMP, icmp, 8 + size);
}

/* Of other flows, of other hosts, of other protocols; cut in every place in which a parser might read on. */
static void forge_errors(const uint8_t *seen, size_t seen_bytes)
{
    static const struct { uint8_t type, code; } errors[] = {{3, 0}, {3, 1}, {3, 3}, {3, 4}, {3, 13}, {11, 0}, {12, 0}};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        uint8_t type = errors[i].type, code = errors[i].code;
        forge_error(seen, seen_bytes, type, code, 19, 0x40, ODD_BYTES); /* to another host */
        forge_error(seen, seen_bytes, type, code, 9, 0x20, ODD_BYTES);  /* of another protocol */
        forge_error(seen, seen_bytes, type, code, 0, 0x0f, ODD_BYTES);  /* a header of ten words */
        forge_error(seen, seen_bytes, type, code, 0, 0x40, ODD_BYTES);  /* of no version */
    }
    for (size_t cut = 0; cut < 28; cut++)
        forge_error(seen, seen_bytes, 3, 1, 4, 0x40, cut); /* with an identification that nobody gave */
}

/* Replies to requests that nobody sent, and pieces of one. */
static void forge_replies(const uint8_t *seen, const uint8_t *icmp, size_t size)
{
    for (size_t i = 0; i < 3; i++) {
        uint8_t reply[ODD_BYTES];
        memcpy(reply, icmp, size);
        reply[0] = reply[2] = reply[3] = 0;
        reply[i == 0 ? 4 : i == 1 ? 6 : 12] ^= 0x55; /* identifier, sequence number, payload */
        if (i == 2)
            reply[5] ^= 0x01;
        bytes_put16(reply + 2, odd_checksum(reply, size, 0));
        forge(seen, IPPROTO_ICMP, reply, size);
        forge(seen, IPPROTO_ICMP, reply, 1 + 2 * i);
    }
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

static void look_at(const uint8_t *packet, size_t size)
{
    const uint8_t *inner = packet + 20;
    if (size < 28 || packet[0] != 0x45)
        return;
    if (packet[9] == IPPROTO_TCP && size >= 40 && bytes_get16(inner + 2) == target_port) {
        forge_segments(packet, inner);
        forge_errors(packet, size);
    } else if (packet[9] == IPPROTO_ICMP && inner[0] == 8 && size < ODD_BYTES / 2) {
        forge_replies(packet, inner, size - 20);
        forge_errors(packet, size);
    }
}

static void *work(void *arg)
{
    (void)arg;
    for (;;) {
        uint8_t packet[ODD_BYTES];
        struct sockaddr_ll from;
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(eye_fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
        if (size > 0 && from.sll_pkttype == PACKET_OUTGOING)
            look_at(packet, (size_t)size);
    }
    return NULL;
}

void forger_start(uint16_t tcp_port)
{
    pthread_t thread;
    target_port = tcp_port;
    eye_fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
    mouth_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    assert_true(eye_fd >= 0 && mouth_fd >= 0);
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
}

unsigned forger_count(void)
{
    return atomic_load(&forged_count);
}
