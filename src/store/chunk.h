/*
 * A chunk: the rounds of one test and agent of one hour, folded into columns (column.h).
 *
 * Times, test version, fingerprint and metrics are columns. A body is taken apart as CBOR: what repeats (names, texts
 * such as addresses, structure) becomes a template that is kept once in a dictionary of words beside the chunks; what
 * varies (numbers, lists of numbers) becomes columns of the template's places. Records in lists (the traces of a round,
 * the hops of a trace) are templates of their own, so that a hop that was silent once makes no new word of the others.
 * Byte strings that hold a record are looked into. A body that is no CBOR, or none in its shortest form, is kept as it
 * is. What comes out is always byte for byte what went in: the writer reads back what it wrote and falls back to plain
 * bodies where that differs.
 *
 * Layout: version, flags, row count; a frame of times and metrics; a frame of bodies; CRC32C of all before it.
 */
#ifndef OCULI_STORE_CHUNK_H
#define OCULI_STORE_CHUNK_H

#include <zstd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "store/store.h"

/* The dictionary of words that chunks refer to; ids count from 1. A word is never changed. */
struct chunk_words {
    /* The id of the word, which is added when it is new. */
    int (*put)(void *user, const void *bytes, size_t size, uint64_t *ret_id, struct error *err);
    /* The word; valid until the next call. -E_CORRUPT: there is none. */
    int (*get)(void *user, uint64_t id, const void **ret_bytes, size_t *ret_size, struct error *err);
    void *user;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
};

#define CHUNK_METRICS 1u /* a chunk has times, metrics and bodies; without: round ids and details */

/* Appends the chunk of count rounds (ascending, one test and agent, at most CHUNK_ROUNDS) to out. flags without
 * CHUNK_METRICS: the rounds' detail is written instead of their body. */
#define CHUNK_ROUNDS 100000u
int chunk_write(const struct store_round *rounds, size_t count, unsigned flags, const struct chunk_words *words,
                struct buf *out, struct error *err);

/* A chunk opened for reading. Everything lives in the arena given; `bytes` must outlive it. */
struct chunk;

/* where names the file in errors. -E_CORRUPT: damaged. */
int chunk_open(const void *bytes, size_t size, const char *where, const struct chunk_words *words, struct arena *arena,
               struct chunk **ret_chunk, struct error *err);
size_t chunk_count(const struct chunk *chunk);
unsigned chunk_flags(const struct chunk *chunk);
int64_t chunk_round_id(const struct chunk *chunk, size_t row);

/* Fills times, version, fingerprint and metrics of a row (CHUNK_METRICS); the rest is left alone. */
int chunk_row(struct chunk *chunk, size_t row, struct store_round *round, struct error *err);

/* Appends the body (or detail) of a row. Rows in ascending order are fastest. */
int chunk_body(struct chunk *chunk, size_t row, struct buf *out, struct error *err);

/* Calls fn with every word the chunk refers to directly; for the check of a store. */
int chunk_walk_words(struct chunk *chunk, int (*fn)(void *user, uint64_t id, struct error *err), void *user,
                     struct error *err);

#endif
