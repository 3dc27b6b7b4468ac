/*
 * Columns of numbers, as small as their content is surprising: the innermost part of folded results.
 *
 * A column goes into two streams: `meta` (modes, bases, exceptions; compressed later, because neighbours look alike)
 * and `bits` (what is left of the numbers, which is noise and compresses no further). Reading gives back every bit of
 * what was written, of floating point numbers too.
 *
 * Integers: constant, periodic, few distinct values, differences of sorted ones, or frame of reference with exceptions
 * (a window of 2^w values that holds most of them; PFOR of Zukowski et al., "Super-Scalar RAM-CPU Cache Compression").
 * Floating point numbers: what is measured is mostly a whole number of nanoseconds divided by something small, so a
 * value is kept as k / S and the distance in units of the last place between that and the true value; what has no such
 * form is kept as it is.
 *
 * Reading never goes beyond the bytes given and tells -E_CORRUPT when they cannot have been written by this.
 */
#ifndef OCULI_STORE_COLUMN_H
#define OCULI_STORE_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zstd.h>

#include "base/arena.h"
#include "base/buf.h"

struct column_out {
    struct buf meta, bits;
    uint64_t pending; /* bits not yet in `bits`, lowest first */
    unsigned pending_count;
};

void column_out_init(struct column_out *out, size_t ceiling);
void column_out_done(struct column_out *out);
void column_out_reset(struct column_out *out);
void column_out_finish(struct column_out *out); /* the last bits; nothing may be put afterwards */

/* Appends both streams to out as a frame: sizes, meta (compressed where that makes it smaller), bits. Resets them. */
void column_put_frame(struct column_out *out, ZSTD_CCtx *compressor, struct buf *buf);

struct column_in {
    const unsigned char *meta, *meta_end;
    const unsigned char *bits, *bits_end;
    uint64_t pending;
    unsigned pending_count;
    bool is_bad; /* something did not read; everything read since is 0 */
};

void column_put_varint(struct buf *buf, uint64_t value);
void column_put_signed(struct buf *buf, int64_t value); /* zigzag */
uint64_t column_get_varint(struct column_in *in);
int64_t column_get_signed(struct column_in *in);
const unsigned char *column_get_bytes(struct column_in *in, size_t size); /* of meta; NULL when there are fewer */

/* count numbers; the reader must know the count. Nothing is written for none. */
void column_put_ints(struct column_out *out, const int64_t *values, size_t count);
int column_get_ints(struct column_in *in, int64_t *values, size_t count);
void column_put_floats(struct column_out *out, const double *values, size_t count);
int column_get_floats(struct column_in *in, double *values, size_t count);

/* A frame that follows in the meta stream of `in`: found, and opened for reading. -E_CORRUPT; -E_LIMIT: the arena. */
struct column_frame {
    const unsigned char *meta, *bits;
    size_t raw_size, meta_size, bits_size;
};
#define COLUMN_FRAME_MAX (256u << 20)
bool column_get_frame(struct column_in *in, struct column_frame *ret_frame);
int column_open_frame(const struct column_frame *frame, ZSTD_DCtx *decompressor, struct arena *arena,
                      struct column_in *ret_in);

#endif
