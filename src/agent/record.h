/*
 * The form of a round in the spool: a header of 32 bytes, then the payload (CBOR of struct message_round).
 *
 *   0  "OcRd"      4  payload bytes    8  test id     16  round id
 *  24  CRC32C of the payload          28  CRC32C of the first 28 bytes
 *
 * Numbers are little endian. The header has a sum of its own, so that a reader that lost its place finds the next
 * record by looking for one whose both sums agree. Pure functions on bytes.
 */
#ifndef OCULI_AGENT_RECORD_H
#define OCULI_AGENT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_BYTES 32

struct record {
    uint64_t test_id;
    int64_t round_id;  /* epoch seconds */
    const void *bytes; /* payload, in the bytes that were read */
    size_t size;
};

/* Writes the header that goes before the record's payload. */
void record_header(const struct record *record, unsigned char header[RECORD_HEADER_BYTES]);

enum record_state {
    RECORD_FOUND,  /* at *ret_start, which is beyond `at` when damaged bytes had to be skipped */
    RECORD_END,    /* no bytes left: at == size */
    RECORD_TORN,   /* the rest is the beginning of a record that was being written */
    RECORD_DAMAGED /* the rest holds no record */
};

/* Looks for the first intact record at or after at; the next one is to be looked for at *ret_end. */
enum record_state record_find(const void *bytes, size_t size, size_t at, struct record *ret_record, size_t *ret_start,
                              size_t *ret_end);

#endif
