/*
 * From an answer to the probe it answers, by several fields at once.
 *
 * A flow is a number of probes that differ only in what no load balancer hashes: same addresses, same identifier, same
 * checksum; the sequence number tells them apart and the first two payload bytes make up for it in the checksum
 * (RFC 1071 arithmetic). The next four payload bytes are random and belong to the flow alone.
 *
 * An answer is found by identifier and sequence number and must then agree in more: the address, the checksum a router
 * quotes, the payload as far as it is quoted. Middleboxes rewrite some of these; MATCH_LOOSE is an answer in which one
 * of them disagrees and the others leave no doubt.
 */
#ifndef OCULI_PROBE_MATCH_H
#define OCULI_PROBE_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/packet.h"

#define MATCH_TAG_BYTES 6u       /* payload from which on a flow is recognised by its payload */
#define MATCH_FLOW_PROBES 1024u  /* sequence numbers of one flow, starting at a multiple of this */

struct match_flow {
    union sock_addr dst;
    uint16_t id;
    uint16_t seq_base;
    uint16_t sum;           /* what the ICMP message adds up to, addresses left out (payload of 2 bytes or more) */
    uint16_t compensation;  /* payload word + sequence number = this */
    uint8_t nonce[4];
    uint32_t payload_size;
};

enum match_quality { MATCH_NONE, MATCH_LOOSE, MATCH_STRICT };

/* Prepares a flow whose id, seq_base, dst, nonce and payload_size are set: all its probes will add up to `sum`
 * (1..0xfffe; ignored without payload). */
void match_flow_init(struct match_flow *flow, uint16_t sum);

/* Writes the probe with the offset-th sequence number of the flow; returns its size. */
size_t match_build(const struct match_flow *flow, uint32_t offset, uint8_t out[static PACKET_MAX_BYTES]);

/* Where an answer says it belongs: identifier and sequence number of the echo request it answers or quotes. False when
 * it is no answer to an echo request. */
bool match_key(const struct packet_icmp *icmp, uint16_t *ret_id, uint16_t *ret_seq);

/* Whether an answer with the flow's identifier and a sequence number of its range belongs to it. */
enum match_quality match_answer(const struct match_flow *flow, const union sock_addr *from,
                                const struct packet_icmp *icmp);

#endif
