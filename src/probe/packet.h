/*
 * Packets as bytes: builds ICMP and ICMPv6 echo requests and parses what may come back, error messages with the packet
 * they quote included. No I/O, no memory, no state; every read is bounded, whatever the bytes.
 *
 * IPv4 (RFC 791), ICMP (RFC 792), IPv6 (RFC 8200), ICMPv6 (RFC 4443), extensions (RFC 4884), MPLS labels (RFC 4950).
 * Routers that add extensions without telling the length of the quotation (from before RFC 4884) are understood when an
 * extension structure with a good checksum lies at offset 128.
 *
 * Parsed structs point into the bytes they were parsed from.
 */
#ifndef OCULI_PROBE_PACKET_H
#define OCULI_PROBE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sock.h"

#define PACKET_ICMP_HEADER_BYTES 8u
#define PACKET_MAX_BYTES 1600u /* largest packet we build or read whole */
#define PACKET_MAX_LABELS 8u   /* of one label stack; deeper ones are cut */

struct packet_label {
    uint32_t label; /* 20 bits */
    uint8_t exp;    /* traffic class, 3 bits */
    uint8_t ttl;
    bool is_bottom;
};

/* An IPv4 header, or an IPv6 header with its extension headers skipped. */
struct packet_ip {
    union sock_addr src, dst;
    uint8_t ttl, tos; /* hop limit, traffic class */
    uint8_t protocol; /* of the payload */
    uint16_t ip_id;   /* IPv4 */
    bool is_fragment; /* not the first: the payload is not a transport header */
    const uint8_t *payload;
    size_t payload_size; /* bytes present, at most what the header claims */
};

enum packet_kind {
    PACKET_ECHO_REQUEST,
    PACKET_ECHO_REPLY,
    PACKET_TTL_EXCEEDED,     /* hop limit exceeded in transit */
    PACKET_UNREACHABLE,
    PACKET_TOO_BIG,          /* fragmentation needed (ICMP 3-4), packet too big (ICMPv6 type 2) */
    PACKET_PARAMETER,        /* parameter problem */
    PACKET_OTHER
};

struct packet_icmp {
    enum packet_kind kind;
    uint8_t type, code;
    uint16_t checksum;
    uint16_t id, seq;        /* echo */
    const uint8_t *payload;  /* echo */
    size_t payload_size;
    uint32_t mtu;            /* PACKET_TOO_BIG; 0 = not told */
    bool has_quote;          /* errors: the packet that caused it */
    struct packet_ip quote;
    bool has_extensions;
    uint32_t label_count;
    struct packet_label labels[PACKET_MAX_LABELS];
};

/* 0, or -E_CORRUPT when it is not a whole header of that family. quoted: a cut payload is normal. */
int packet_parse_ip(int family, const void *bytes, size_t size, struct packet_ip *ret_ip);

/* An ICMP (AF_INET) or ICMPv6 (AF_INET6) message without its IP header; -E_CORRUPT when it is too short. The checksum
 * is not verified: the kernel has done so. */
int packet_parse_icmp(int family, const void *bytes, size_t size, struct packet_icmp *ret_icmp);

/* The echo inside a quotation: false when it quotes no echo request, or too little of one. */
bool packet_quoted_echo(const struct packet_ip *quote, uint16_t *ret_id, uint16_t *ret_seq, uint16_t *ret_checksum,
                        const uint8_t **ret_payload, size_t *ret_payload_size);

/* Unreachable because of a filter: IPv4 codes 9, 10, 13; IPv6 codes 1, 5, 6. */
bool packet_is_prohibited(int family, const struct packet_icmp *icmp);

/* The host that says so is there, only its port or protocol is not: IPv4 codes 2, 3; IPv6 code 4. */
bool packet_is_port_unreachable(int family, const struct packet_icmp *icmp);

/*
 * Writes an echo request, returns its size: 8 + payload_size. The checksum is filled in for IPv4; for IPv6 the kernel
 * does it, since it covers the addresses. payload is copied.
 */
size_t packet_build_echo(int family, uint16_t id, uint16_t seq, const void *payload, size_t payload_size,
                         uint8_t out[static PACKET_MAX_BYTES]);

/* Writes the header of an echo request in front of a payload that is already in place, with this checksum (IPv4; the
 * kernel replaces it for IPv6). */
void packet_put_echo(int family, uint16_t id, uint16_t seq, uint16_t checksum,
                     uint8_t out[static PACKET_ICMP_HEADER_BYTES]);

/* One's complement arithmetic of RFC 1071 over 16-bit words in network order, not inverted; start with 0. */
uint32_t packet_sum(const void *bytes, size_t size, uint32_t sum);
uint16_t packet_fold(uint32_t sum); /* to 16 bits; the checksum field is its complement */
uint16_t packet_add(uint16_t a, uint16_t b);
uint16_t packet_subtract(uint16_t a, uint16_t b);

#endif
