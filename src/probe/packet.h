/*
 * Packets as bytes: builds what is sent as a probe (ICMP and ICMPv6 echo requests, TCP segments, UDP datagrams) and
 * parses what may come back, error messages with the packet they quote included. No I/O, no memory, no state; every
 * read is bounded, whatever the bytes.
 *
 * IPv4 (RFC 791), ICMP (RFC 792), IPv6 (RFC 8200), ICMPv6 (RFC 4443), TCP (RFC 9293, options of RFC 2018 and 7323), UDP
 * (RFC 768), extensions (RFC 4884), MPLS labels (RFC 4950).
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
#define PACKET_UDP_HEADER_BYTES 8u
#define PACKET_TCP_HEADER_BYTES 20u /* without options */
#define PACKET_MAX_BYTES 9216u /* largest packet we build or read whole */
#define PACKET_MAX_SACKS 4u    /* blocks that fit the options of one segment */
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
    PACKET_SYN_ACK,          /* TCP: SYN and ACK */
    PACKET_RESET,            /* TCP: RST */
    PACKET_SEGMENT,          /* TCP: anything else */
    PACKET_DATAGRAM,         /* UDP */
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

#define PACKET_FIN 0x01u
#define PACKET_SYN 0x02u
#define PACKET_RST 0x04u
#define PACKET_PSH 0x08u
#define PACKET_ACK 0x10u

/* A TCP segment as it is read, and as it is to be built. */
struct packet_tcp {
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;             /* PACKET_FIN... */
    uint16_t window;
    uint16_t checksum;         /* as read */
    uint16_t mss;              /* 0 = the option is absent */
    bool has_sack_permitted, has_timestamps, has_scale;
    uint8_t scale;
    uint32_t ts_value, ts_echo;
    uint32_t sack_count;       /* read only */
    struct { uint32_t left, right; } sacks[PACKET_MAX_SACKS]; /* as they stand: the newest comes first */
    const uint8_t *payload;
    size_t payload_size;
};

struct packet_udp {
    uint16_t sport, dport, checksum;
    const uint8_t *payload;
    size_t payload_size;
};

/* 0, or -E_CORRUPT when it is not a whole header of that family. quoted: a cut payload is normal. */
int packet_parse_ip(int family, const void *bytes, size_t size, struct packet_ip *ret_ip);

/* An ICMP (AF_INET) or ICMPv6 (AF_INET6) message without its IP header; -E_CORRUPT when it is too short. The checksum
 * is not verified here: the engine does it for ICMP, the kernel for ICMPv6. */
int packet_parse_icmp(int family, const void *bytes, size_t size, struct packet_icmp *ret_icmp);

/* Without IP header; -E_CORRUPT when the header is not whole. Absurd options end the reading of options. */
int packet_parse_tcp(const void *bytes, size_t size, struct packet_tcp *ret_tcp);
int packet_parse_udp(const void *bytes, size_t size, struct packet_udp *ret_udp);

enum packet_kind packet_tcp_kind(const struct packet_tcp *tcp);

/* Ports and sequence number of a quoted TCP segment, ports and checksum of a quoted UDP datagram: the 8 bytes every router
 * quotes. checksum is 0 when a segment is not quoted as far. False when it quotes something else, or too little. */
bool packet_quoted_tcp(const struct packet_ip *quote, uint16_t *ret_sport, uint16_t *ret_dport, uint32_t *ret_seq,
                       uint16_t *ret_checksum);
/* Its window, which few quotations in IPv4 and most in IPv6 are long enough for. */
bool packet_quoted_window(const struct packet_ip *quote, uint16_t *ret_window);
bool packet_quoted_udp(const struct packet_ip *quote, uint16_t *ret_sport, uint16_t *ret_dport, uint16_t *ret_checksum);

/* The echo inside a quotation: false when it quotes no echo request, or too little of one. */
bool packet_quoted_echo(const struct packet_ip *quote, uint16_t *ret_id, uint16_t *ret_seq, uint16_t *ret_checksum,
                        const uint8_t **ret_payload, size_t *ret_payload_size);

/* Unreachable because of a filter: IPv4 codes 9, 10, 13; IPv6 codes 1, 5, 6. */
bool packet_is_prohibited(int family, const struct packet_icmp *icmp);

/* The host that says so is there, only its port or protocol is not: IPv4 codes 2, 3; IPv6 code 4. */
bool packet_is_port_unreachable(int family, const struct packet_icmp *icmp);

/* Writes the header of an echo request in front of a payload that is already in place, with this checksum. */
void packet_put_echo(int family, uint16_t id, uint16_t seq, uint16_t checksum,
                     uint8_t out[static PACKET_ICMP_HEADER_BYTES]);

/* Writes a segment with its options (in the order MSS, SACK permitted, timestamps, window scale) and its payload, zeros when
 * tcp->payload is NULL; returns its size. src and dst are for the checksum; ports are those of tcp. */
size_t packet_build_tcp(const struct packet_tcp *tcp, const union sock_addr *src, const union sock_addr *dst,
                        uint8_t out[static PACKET_MAX_BYTES]);

/* The sum of the pseudo header of that length (RFC 9293 section 3.1, RFC 8200 section 8.1), to start packet_sum with. */
uint32_t packet_pseudo_sum(const union sock_addr *src, const union sock_addr *dst, uint8_t protocol, size_t size);

/* One's complement arithmetic of RFC 1071 over 16-bit words in network order, not inverted; start with 0. */
uint32_t packet_sum(const void *bytes, size_t size, uint32_t sum);
uint16_t packet_fold(uint32_t sum); /* to 16 bits; the checksum field is its complement */
uint16_t packet_add(uint16_t a, uint16_t b);
uint16_t packet_subtract(uint16_t a, uint16_t b);

#endif
