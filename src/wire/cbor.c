#include "wire/cbor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/limit.h"

enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };

#define INFO_INDEFINITE 31u
#define BREAK 0xffu

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void put_big_endian(struct buf *buf, uint8_t head, uint64_t value, unsigned bytes)
{
    uint8_t out[9] = {head};
    for (unsigned i = 0; i < bytes; i++)
        out[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    buf_put(buf, out, 1 + bytes);
}

static void put_head(struct buf *buf, enum major major, uint64_t value)
{
    uint8_t head = (uint8_t)(major << 5);
    if (value < 24)
        put_big_endian(buf, (uint8_t)(head | value), 0, 0);
    else if (value <= UINT8_MAX)
        put_big_endian(buf, head | 24, value, 1);
    else if (value <= UINT16_MAX)
        put_big_endian(buf, head | 25, value, 2);
    else if (value <= UINT32_MAX)
        put_big_endian(buf, head | 26, value, 4);
    else
        put_big_endian(buf, head | 27, value, 8);
}

void cbor_put_u64(struct buf *buf, uint64_t value)
{
    put_head(buf, MAJOR_UINT, value);
}

void cbor_put_i64(struct buf *buf, int64_t value)
{
    if (value >= 0)
        put_head(buf, MAJOR_UINT, (uint64_t)value);
    else
        put_head(buf, MAJOR_NEGATIVE, ~(uint64_t)value);
}

/* The binary16 pattern of a finite single if it holds it exactly, else false. */
static bool half_of(uint32_t single, uint16_t *ret_half)
{
    uint32_t sign = single >> 31, exponent = single >> 23 & 255, fraction = single & 0x7fffff;
    if ((single & 0x7fffffff) == 0) {
        *ret_half = (uint16_t)(sign << 15);
        return true;
    }
    int power = (int)exponent - 127;
    if (power >= -14 && power <= 15 && (fraction & 0x1fff) == 0) {
        *ret_half = (uint16_t)(sign << 15 | (uint32_t)(power + 15) << 10 | fraction >> 13);
        return true;
    }
    if (power >= -24 && power < -14) { /* a half's subnormal: 0.fraction times 2^-14 */
        unsigned shift = (unsigned)(-1 - power);
        uint32_t significand = fraction | 0x800000;
        if ((significand & ((1u << shift) - 1)) == 0) {
            *ret_half = (uint16_t)(sign << 15 | significand >> shift);
            return true;
        }
    }
    return false;
}

void cbor_put_f64(struct buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    float single = (float)value;
    uint32_t single_bits;
    memcpy(&single_bits, &single, sizeof single_bits);
    uint16_t half;
    if (!isfinite(value) || (double)single != value || !isfinite(single))
        put_big_endian(buf, MAJOR_SIMPLE << 5 | 27, bits, 8);
    else if (half_of(single_bits, &half))
        put_big_endian(buf, MAJOR_SIMPLE << 5 | 25, half, 2);
    else
        put_big_endian(buf, MAJOR_SIMPLE << 5 | 26, single_bits, 4);
}

void cbor_put_bool(struct buf *buf, bool value)
{
    put_head(buf, MAJOR_SIMPLE, value ? 21 : 20);
}

void cbor_put_null(struct buf *buf)
{
    put_head(buf, MAJOR_SIMPLE, 22);
}

void cbor_put_text(struct buf *buf, const char *text, size_t size)
{
    put_head(buf, MAJOR_TEXT, size);
    buf_put(buf, text, size);
}

void cbor_put_bytes(struct buf *buf, const void *bytes, size_t size)
{
    put_head(buf, MAJOR_BYTES, size);
    buf_put(buf, bytes, size);
}

void cbor_put_array(struct buf *buf, size_t count)
{
    put_head(buf, MAJOR_ARRAY, count);
}

void cbor_put_map(struct buf *buf, size_t count)
{
    put_head(buf, MAJOR_MAP, count);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

void cbor_reader_init(struct cbor_reader *reader, const void *bytes, size_t size)
{
    *reader = (struct cbor_reader){.at = bytes, .end = size ? (const uint8_t *)bytes + size : bytes};
}

static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 0x3ff;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction ? NAN : INFINITY)
                                    : ldexp(fraction + 1024, exponent - 25);
    return half & 0x8000 ? -value : value;
}

/* The argument of a head: -E_INVALID for reserved forms and truncated input. */
static int read_argument(struct cbor_reader *reader, unsigned info, uint64_t *ret_value)
{
    if (info < 24) {
        *ret_value = info;
        return 0;
    }
    if (info > 27)
        return -E_INVALID;
    unsigned bytes = 1u << (info - 24);
    if ((size_t)(reader->end - reader->at) < bytes)
        return -E_INVALID;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | *reader->at++;
    *ret_value = value;
    return 0;
}

static int read_simple(unsigned info, uint64_t value, struct cbor_item *item)
{
    switch (info) {
    case 20:
    case 21:
        item->type = CBOR_BOOL;
        item->b = info == 21;
        return 0;
    case 22:
    case 23:
        item->type = CBOR_NULL;
        return 0;
    case 25:
        item->type = CBOR_F64;
        item->f64 = half_value((uint16_t)value);
        return 0;
    case 26: {
        uint32_t bits = (uint32_t)value;
        float single;
        memcpy(&single, &bits, sizeof single);
        item->type = CBOR_F64;
        item->f64 = (double)single;
        return 0;
    }
    case 27:
        item->type = CBOR_F64;
        memcpy(&item->f64, &value, sizeof item->f64);
        return 0;
    default:
        return -E_INVALID;
    }
}

static int open_container(struct cbor_reader *reader, enum major major, struct cbor_item *item)
{
    /* Each item takes at least one byte, each pair two. */
    uint64_t left = (uint64_t)(reader->end - reader->at);
    if (!item->is_indefinite && item->u64 > (major == MAJOR_MAP ? left / 2 : left))
        return -E_INVALID;
    if (reader->depth >= LIMIT_JSON_DEPTH)
        return -E_LIMIT;
    reader->depth++;
    item->type = major == MAJOR_MAP ? CBOR_MAP : CBOR_ARRAY;
    return 0;
}

/* The head byte with its argument; tags before it are skipped. */
static int read_head(struct cbor_reader *reader, unsigned *ret_major, unsigned *ret_info, uint64_t *ret_value)
{
    do {
        if (reader->at == reader->end)
            return -E_INVALID;
        unsigned head = *reader->at++;
        *ret_major = head >> 5;
        *ret_info = head & 31;
        *ret_value = 0;
        bool may_be_indefinite = *ret_major >= MAJOR_BYTES && *ret_major <= MAJOR_MAP;
        if (*ret_info == INFO_INDEFINITE && may_be_indefinite)
            return 0;
        int rc = read_argument(reader, *ret_info, ret_value);
        if (rc)
            return rc;
    } while (*ret_major == MAJOR_TAG);
    return 0;
}

int cbor_read(struct cbor_reader *reader, struct cbor_item *ret_item)
{
    unsigned major, info;
    struct cbor_item item = {0};
    int rc = read_head(reader, &major, &info, &item.u64);
    if (rc)
        return rc;
    item.is_indefinite = info == INFO_INDEFINITE;
    if (major == MAJOR_SIMPLE) {
        rc = read_simple(info, item.u64, &item);
    } else if (major == MAJOR_ARRAY || major == MAJOR_MAP) {
        rc = open_container(reader, major, &item);
    } else if (major == MAJOR_BYTES || major == MAJOR_TEXT) {
        item.type = major == MAJOR_TEXT ? CBOR_TEXT : CBOR_BYTES;
        if (item.u64 > (uint64_t)(reader->end - reader->at))
            return -E_INVALID;
        item.span = reader->at;
        item.size = (size_t)item.u64;
        reader->at += item.size;
    } else {
        item.type = major == MAJOR_NEGATIVE ? CBOR_NEGATIVE : CBOR_UINT;
    }
    if (rc == 0)
        *ret_item = item;
    return rc;
}

bool cbor_more(struct cbor_reader *reader, struct cbor_item *container)
{
    assert(container->type == CBOR_ARRAY || container->type == CBOR_MAP);
    bool more;
    if (container->is_indefinite) {
        more = reader->at == reader->end || *reader->at != BREAK;
        reader->at += !more;
    } else {
        more = container->u64 > 0;
        container->u64 -= more;
    }
    reader->depth -= !more;
    return more;
}

/* The next chunk of an indefinite string: 1, or 0 at its end, or -E_INVALID. */
static int read_chunk(struct cbor_reader *reader, const struct cbor_item *string, struct cbor_item *ret_chunk)
{
    if (reader->at < reader->end && *reader->at == BREAK) {
        reader->at++;
        return 0;
    }
    /* Chunks are strings of the same type and definite length, without tags. */
    unsigned want = string->type == CBOR_TEXT ? MAJOR_TEXT : MAJOR_BYTES;
    if (reader->at == reader->end || *reader->at >> 5 != want || (*reader->at & 31) == INFO_INDEFINITE)
        return -E_INVALID;
    int rc = cbor_read(reader, ret_chunk);
    return rc ? rc : 1;
}

int cbor_skip(struct cbor_reader *reader, struct cbor_item *item)
{
    int rc = 0;
    struct cbor_item inner;
    switch (item->type) {
    case CBOR_BYTES:
    case CBOR_TEXT:
        if (!item->is_indefinite)
            return 0;
        do
            rc = read_chunk(reader, item, &inner);
        while (rc > 0);
        return rc;
    case CBOR_ARRAY:
    case CBOR_MAP:
        while (rc == 0 && cbor_more(reader, item)) { /* recursion is bounded by the reader's depth */
            for (int i = 0; rc == 0 && i < (item->type == CBOR_MAP ? 2 : 1); i++) {
                rc = cbor_read(reader, &inner);
                if (rc == 0)
                    rc = cbor_skip(reader, &inner);
            }
        }
        return rc;
    case CBOR_UINT:
    case CBOR_NEGATIVE:
    case CBOR_BOOL:
    case CBOR_NULL:
    case CBOR_F64:
        return 0;
    }
    return 0;
}

int cbor_count(const struct cbor_reader *reader, const struct cbor_item *container, size_t *ret_count)
{
    if (!container->is_indefinite) {
        *ret_count = (size_t)container->u64;
        return 0;
    }
    struct cbor_reader ahead = *reader;
    struct cbor_item items = *container, inner;
    size_t count = 0;
    while (cbor_more(&ahead, &items)) {
        for (int i = 0; i < (items.type == CBOR_MAP ? 2 : 1); i++) {
            int rc = cbor_read(&ahead, &inner);
            if (rc == 0)
                rc = cbor_skip(&ahead, &inner);
            if (rc)
                return rc;
        }
        count++;
    }
    *ret_count = count;
    return 0;
}

int cbor_read_string(struct cbor_reader *reader, const struct cbor_item *item, struct buf *buf)
{
    assert(item->type == CBOR_TEXT || item->type == CBOR_BYTES);
    if (!item->is_indefinite) {
        buf_put(buf, item->span, item->size);
        return buf->is_overflowed ? -E_LIMIT : 0;
    }
    for (;;) {
        struct cbor_item chunk;
        int rc = read_chunk(reader, item, &chunk);
        if (rc <= 0)
            return rc;
        buf_put(buf, chunk.span, chunk.size);
        if (buf->is_overflowed)
            return -E_LIMIT;
    }
}
