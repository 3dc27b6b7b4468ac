/*
 * CBOR (RFC 8949): a small writer over struct buf and a bounded pull reader over bytes. Neither allocates.
 *
 * The writer uses definite lengths and the shortest form of every number, floating point included (a double that a
 * half or single holds exactly is written as one). The reader takes any well-formed input: definite and indefinite
 * lengths, tags (skipped), all float sizes; it refuses reserved forms, nesting beyond LIMIT_JSON_DEPTH and counts
 * larger than the bytes that are left, so that a short message cannot make anybody allocate much.
 */
#ifndef OCULI_WIRE_CBOR_H
#define OCULI_WIRE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* --- writing ----------------------------------------------------------------------------------------------------- */

void cbor_put_u64(struct buf *buf, uint64_t value);
void cbor_put_i64(struct buf *buf, int64_t value);
void cbor_put_f64(struct buf *buf, double value);
void cbor_put_bool(struct buf *buf, bool value);
void cbor_put_null(struct buf *buf);
void cbor_put_text(struct buf *buf, const char *text, size_t size); /* UTF-8, the caller's word */
void cbor_put_bytes(struct buf *buf, const void *bytes, size_t size);
void cbor_put_array(struct buf *buf, size_t count); /* count items follow */
void cbor_put_map(struct buf *buf, size_t count);   /* count pairs follow */

/* --- reading ----------------------------------------------------------------------------------------------------- */

enum cbor_type {
    CBOR_UINT,     /* u64 */
    CBOR_NEGATIVE, /* -1 - u64 */
    CBOR_BYTES,    /* span, or chunks when is_indefinite */
    CBOR_TEXT,     /* the same */
    CBOR_ARRAY,    /* left */
    CBOR_MAP,      /* left, in pairs */
    CBOR_BOOL,
    CBOR_NULL, /* null and undefined */
    CBOR_F64
};

struct cbor_item {
    enum cbor_type type;
    bool is_indefinite;
    bool b;
    uint64_t u64;  /* CBOR_UINT, CBOR_NEGATIVE; arrays and maps: items or pairs still to read */
    double f64;
    const uint8_t *span; /* strings of definite length: into the input */
    size_t size;
};

struct cbor_reader {
    const uint8_t *at, *end;
    unsigned depth; /* containers opened and not closed */
};

void cbor_reader_init(struct cbor_reader *reader, const void *bytes, size_t size);

/* Reads one item; of a container or an indefinite string only its head. 0, -E_INVALID or -E_LIMIT. */
int cbor_read(struct cbor_reader *reader, struct cbor_item *ret_item);

/* Is there another item (array) or pair (map) in the container? Closes it when not: call it until it says no.
 * Truncated input says yes; the next read fails. */
bool cbor_more(struct cbor_reader *reader, struct cbor_item *container);

/* Skips the rest of an item whose head was read: chunks, or everything in the container. */
int cbor_skip(struct cbor_reader *reader, struct cbor_item *item);

/* How many items or pairs an unread container holds, without moving the reader. */
int cbor_count(const struct cbor_reader *reader, const struct cbor_item *container, size_t *ret_count);

/* Appends a string of definite or indefinite length to buf, whose ceiling bounds it: 0, -E_INVALID or -E_LIMIT. */
int cbor_read_string(struct cbor_reader *reader, const struct cbor_item *item, struct buf *buf);

#endif
