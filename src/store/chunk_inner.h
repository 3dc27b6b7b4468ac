/* What the writer and the reader of chunks share. Only chunk_*.c include it. */
#ifndef OCULI_STORE_CHUNK_INNER_H
#define OCULI_STORE_CHUNK_INNER_H

#include "store/chunk.h"
#include "store/column.h"

#define CHUNK_VERSION 1

/*
 * The operations of a template, in the order of the CBOR they stand for. The word of a shape is a list of them; the
 * word of a template is the shape's id and the texts for its OP_TEXT, each with its length before it.
 */
enum {
    OP_LITERAL = 1, /* length, bytes: as they are */
    OP_INT,         /* place: an integer within int64 */
    OP_UNSIGNED,    /* place: one beyond, as its bits */
    OP_FLOAT,       /* place */
    OP_INTS,        /* place: an array of integers within int64 */
    OP_NODES,       /* place: an array of records, each with its template */
    OP_TEXT,        /* a text of the template */
    OP_EMBED,       /* a byte string with what follows up to OP_END in it */
    OP_END,
    OP_PLAIN /* place: bytes as they are */
};

/* Modes of a column of lists, and of one of floating point numbers. */
enum { LISTS_FEW, LISTS_FLAT };
enum { FLOATS_OWN, FLOATS_METRIC };

/* A set of metric ids. */
struct chunk_ids {
    uint64_t bits[(UINT16_MAX + 1) / 64];
};

static inline void chunk_ids_add(struct chunk_ids *ids, uint16_t id)
{
    ids->bits[id / 64] |= UINT64_C(1) << id % 64;
}

/* The lowest above id; -1 = none. */
static inline int chunk_ids_next(const struct chunk_ids *ids, int id)
{
    for (int at = id + 1; at <= UINT16_MAX; at = (at / 64 + 1) * 64) {
        uint64_t rest = ids->bits[at / 64] >> at % 64;
        if (rest)
            return at + __builtin_ctzll(rest);
    }
    return -1;
}

static inline bool chunk_is_place(int op)
{
    return op == OP_INT || op == OP_UNSIGNED || op == OP_FLOAT || op == OP_INTS || op == OP_NODES || op == OP_PLAIN;
}

#endif
