/*
 * From an answer to the probe it answers, by several fields at once.
 *
 * A flow is up to MATCH_FLOW_PROBES probes that differ only in what no load balancer hashes, so that all of them take
 * one path. Which probe one is, its offset, travels where every answer brings it back:
 *
 *     ICMP  in the sequence number; two payload bytes make up for it in the checksum (RFC 1071 arithmetic), which load
 *           balancers hash, as they hash the identifier
 *     TCP   in the low bits of the sequence number, which a SYN+ACK, a RST and a SACK acknowledge; the ports stay
 *     UDP   in the checksum, two payload bytes making it so (Paris traceroute); the ports stay
 *
 * and in the IPv4 identification and the window of TCP, should a middlebox have rewritten the rest (firewalls that give
 * sequence numbers of their own; IPv6 has no identification). The flow itself has a key that nobody
 * else uses, in the remaining bits of the same fields. The four payload bytes after the first two are random and
 * belong to the flow alone.
 *
 * An answer is found by key and offset and must then agree in more: the addresses, the ports, the checksum a router
 * quotes, the payload as far as it is quoted. Middleboxes rewrite some of these; MATCH_LOOSE is an answer in which one
 * of them disagrees and the others leave no doubt.
 */
#ifndef OCULI_PROBE_MATCH_H
#define OCULI_PROBE_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/engine.h"
#include "probe/packet.h"

#define MATCH_TAG_BYTES 6u       /* payload from which on a flow is recognised by its payload */
#define MATCH_ECHO_BYTES 8u      /* payload of a datagram that tells its offset when it is sent back */
#define MATCH_FLOW_PROBES 1024u  /* offsets of one flow */
#define MATCH_KEYS (1u << 22)    /* of ICMP and TCP flows */
#define MATCH_UDP_KEYS (63u << 12)
#define MATCH_PORT_LOW 0xf000u   /* local ports of TCP and UDP flows: from here to 65535 */
#define MATCH_PORTS 0x1000u
#define MATCH_PROBE_PORTS 0x400u /* the last of them: of TCP flows with a port for each probe; the others have the rest */
#define MATCH_PROBE_PORT_LOW (MATCH_PORT_LOW + MATCH_PORTS - MATCH_PROBE_PORTS)

struct match_flow {
    /* The caller's. */
    enum probe_protocol protocol;
    union sock_addr src;       /* unset = unknown: then TCP, UDP and ICMPv6 checksums are wrong */
    union sock_addr dst;       /* with the port, for TCP and UDP */
    uint32_t payload_size;     /* UDP: at least 2 */
    bool has_port_per_probe;   /* TCP: every probe leaves from a port of its own */
    bool is_session;           /* TCP: the segments are made by the round, the local port is a quiet one */
    bool is_padded;            /* probes may be sent longer than payload_size tells */
    /* The engine's. */
    uint32_t key;
    uint16_t id;               /* ICMP identifier; else the local port (of offset 0) */
    uint32_t base;             /* TCP: sequence number of offset 0 */
    uint16_t ip_id;            /* of offset 0: a multiple of MATCH_FLOW_PROBES, not 0 */
    uint8_t nonce[4];
    /* Made by match_flow_init. */
    uint16_t sum;              /* ICMP: what the message adds up to, pseudo header left out (payload of 2 bytes or more) */
    uint16_t compensation;     /* ICMP: payload word + sequence number = this */
    uint16_t rest;             /* UDP: what all but payload word and checksum add up to */
    uint32_t pseudo;           /* sum of the pseudo header */
};

enum match_quality { MATCH_NONE, MATCH_LOOSE, MATCH_STRICT };

/* What in the quotation of a probe is not as it was sent. */
enum {
    MATCH_SRC = 1,
    MATCH_SPORT = 2,
    MATCH_DST = 4,
    MATCH_DPORT = 8,
    MATCH_CHECKSUM = 16, /* alone: something else was rewritten and put back, but for the checksum */
    MATCH_IP_ID = 32,
    MATCH_SEQ = 64,
};

/* What came, parsed: one of the three pointers is set. */
struct match_reply {
    enum packet_kind kind;
    const union sock_addr *from;
    const struct packet_icmp *icmp;
    const struct packet_tcp *tcp;
    const struct packet_udp *udp;
};

/* Prepares a flow: all ICMP probes will add up to `sum` (1..0xfffe; ignored without payload and for other protocols). */
void match_flow_init(struct match_flow *flow, uint16_t sum);

uint16_t match_sport(const struct match_flow *flow, uint32_t offset); /* TCP, UDP */
uint16_t match_ip_id(const struct match_flow *flow, uint32_t offset);
/* The window of a session's SYN, or of another segment when no scale was agreed. */
uint16_t match_window(uint32_t offset);

/* Writes the offset-th probe, padded with zeros to `size` bytes of transport header and payload (0 = unpadded); returns its
 * size. Not for sessions. */
size_t match_build(const struct match_flow *flow, uint32_t offset, size_t size, uint8_t out[static PACKET_MAX_BYTES]);

/* Where an answer says it belongs. tcp_base: what the engine adds to all sequence numbers. False when it is no answer to
 * any probe. */
bool match_key(const struct match_reply *reply, uint32_t tcp_base, enum probe_protocol *ret_protocol, uint32_t *ret_key,
               uint32_t *ret_offset);

/* The second way, for TCP and UDP when the first finds nobody: our own port and the other end as the answer has them. */
bool match_ports(const struct match_reply *reply, enum probe_protocol *ret_protocol, uint16_t *ret_sport,
                 union sock_addr *ret_dst);
/* The third way, for quotations in which a NAT has left its own port or identifier and a checksum to match: the target and
 * the IPv4 identification, which tells the offset. */
bool match_id(const struct match_reply *reply, enum probe_protocol *ret_protocol, union sock_addr *ret_dst,
              uint16_t *ret_ip_id);

/* Which probe of the flow found by its ports it can be. */
bool match_offset(const struct match_flow *flow, const struct match_reply *reply, uint32_t *ret_offset);

/* Whether an answer that says it belongs to the offset-th probe of the flow does, and what was rewritten on the way. */
enum match_quality match_answer(const struct match_flow *flow, uint32_t offset, const struct match_reply *reply,
                                uint8_t *ret_rewritten);

#endif
