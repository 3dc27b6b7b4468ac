#include "store/column.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

/* Modes of a column of integers; from MODE_FRAME on the width of the frame is added. */
enum { MODE_CONST, MODE_PERIODIC, MODE_FEW, MODE_DELTA, MODE_FRAME = 64, MODE_PATCHED = 129 };
/* Of floating point numbers. */
enum { FLOATS_CONST, FLOATS_RAW, FLOATS_SCALED };

#define PERIOD_MAX 16u
#define FEW_MAX 16u
#define SAMPLE 96u
#define SCALES_MAX 4u
#define ULPS_MAX 64
#define DIVISOR_MAX 100u

/* --- streams ------------------------------------------------------------------------------------------------------ */

void column_out_init(struct column_out *out, size_t ceiling)
{
    *out = (struct column_out){.pending = 0};
    buf_init(&out->meta, ceiling);
    buf_init(&out->bits, ceiling);
}

void column_out_done(struct column_out *out)
{
    buf_done(&out->meta);
    buf_done(&out->bits);
}

void column_out_reset(struct column_out *out)
{
    buf_reset(&out->meta);
    buf_reset(&out->bits);
    out->pending = 0;
    out->pending_count = 0;
}

static void put_bits(struct column_out *out, uint64_t value, unsigned width)
{
    while (width) {
        unsigned room = 64 - out->pending_count, take = width < room ? width : room;
        uint64_t piece = take < 64 ? value & ((UINT64_C(1) << take) - 1) : value;
        out->pending |= piece << out->pending_count;
        out->pending_count += take;
        width -= take;
        value = take < 64 ? value >> take : 0;
        if (out->pending_count == 64) {
            unsigned char bytes[8];
            for (unsigned i = 0; i < 8; i++)
                bytes[i] = (unsigned char)(out->pending >> 8 * i);
            buf_put(&out->bits, bytes, sizeof bytes);
            out->pending = 0;
            out->pending_count = 0;
        }
    }
}

void column_out_finish(struct column_out *out)
{
    for (unsigned i = 0; i < out->pending_count; i += 8)
        buf_putc(&out->bits, (char)(unsigned char)(out->pending >> i));
    out->pending_count = 0;
    out->pending = 0;
}

static uint64_t get_bits(struct column_in *in, unsigned width)
{
    uint64_t value = 0;
    for (unsigned got = 0; got < width;) {
        if (!in->pending_count) {
            size_t left = (size_t)(in->bits_end - in->bits), take = left < 8 ? left : 8;
            if (!take) {
                in->is_bad = true;
                return 0;
            }
            in->pending = 0;
            for (size_t i = 0; i < take; i++)
                in->pending |= (uint64_t)in->bits[i] << 8 * i;
            in->bits += take;
            in->pending_count = (unsigned)take * 8;
        }
        unsigned take = width - got < in->pending_count ? width - got : in->pending_count;
        uint64_t piece = take < 64 ? in->pending & ((UINT64_C(1) << take) - 1) : in->pending;
        value |= piece << got;
        in->pending = take < 64 ? in->pending >> take : 0;
        in->pending_count -= take;
        got += take;
    }
    return value;
}

void column_put_varint(struct buf *buf, uint64_t value)
{
    unsigned char bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (unsigned char)(value | 0x80);
    bytes[size++] = (unsigned char)value;
    buf_put(buf, bytes, size);
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t zagzig(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

void column_put_signed(struct buf *buf, int64_t value)
{
    column_put_varint(buf, zigzag(value));
}

uint64_t column_get_varint(struct column_in *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; in->meta < in->meta_end && shift < 64; shift += 7) {
        unsigned char byte = *in->meta++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    in->is_bad = true;
    return 0;
}

int64_t column_get_signed(struct column_in *in)
{
    return zagzig(column_get_varint(in));
}

const unsigned char *column_get_bytes(struct column_in *in, size_t size)
{
    if (in->is_bad || (size_t)(in->meta_end - in->meta) < size) {
        in->is_bad = true;
        return NULL;
    }
    const unsigned char *bytes = in->meta;
    in->meta += size;
    return bytes;
}

static int get_byte(struct column_in *in)
{
    const unsigned char *byte = column_get_bytes(in, 1);
    return byte ? *byte : -1;
}

static unsigned width_of(uint64_t value)
{
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

static int verdict(const struct column_in *in)
{
    return in->is_bad ? -E_CORRUPT : 0;
}

/* --- integers: writing -------------------------------------------------------------------------------------------- */

/* Some of the values in ascending order, evenly taken: enough to choose how the column is kept, not to be exact. */
static size_t take_sample(const int64_t *values, size_t count, int64_t sample[SAMPLE])
{
    size_t taken = count < SAMPLE ? count : SAMPLE;
    for (size_t i = 0; i < taken; i++) {
        int64_t value = values[i * count / taken];
        size_t at = i;
        for (; at > 0 && sample[at - 1] > value; at--)
            sample[at] = sample[at - 1];
        sample[at] = value;
    }
    return taken;
}

static size_t period_of(const int64_t *values, size_t count)
{
    for (size_t period = 1; period <= PERIOD_MAX && period * 2 <= count; period++) {
        size_t i = period;
        while (i < count && values[i] == values[i - period])
            i++;
        if (i == count)
            return period;
    }
    return count == 1 ? 1 : 0;
}

/* The window of 2^width values that leaves the fewest out: its base, and how many it leaves out. */
static size_t best_window(const int64_t *sorted, size_t count, unsigned width, int64_t *ret_base)
{
    size_t best = 0;
    for (size_t low = 0, high = 0; low < count; low++) {
        while (high < count && (width == 64 || ((uint64_t)sorted[high] - (uint64_t)sorted[low]) >> width == 0))
            high++;
        if (high - low > best) {
            best = high - low;
            *ret_base = sorted[low];
        }
        if (high == count)
            break;
    }
    return count - best;
}

static size_t count_outside(const int64_t *values, size_t count, int64_t base, unsigned width)
{
    size_t outside = 0;
    for (size_t i = 0; i < count; i++)
        outside += ((uint64_t)values[i] - (uint64_t)base) >> width != 0;
    return outside;
}

static void put_frame(struct column_out *out, const int64_t *values, size_t count, int64_t base, unsigned width,
                      size_t exceptions)
{
    buf_putc(&out->meta, (char)(unsigned char)((exceptions ? MODE_PATCHED : MODE_FRAME) + width));
    column_put_signed(&out->meta, base);
    if (exceptions)
        column_put_varint(&out->meta, exceptions);
    for (size_t i = 0, last = 0; i < count; i++) {
        uint64_t offset = (uint64_t)values[i] - (uint64_t)base;
        bool fits = width == 64 || offset >> width == 0;
        put_bits(out, fits ? offset : 0, width);
        if (!fits) {
            column_put_varint(&out->meta, i - last);
            column_put_signed(&out->meta, (int64_t)offset);
            last = i;
        }
    }
}

static bool put_few(struct column_out *out, const int64_t *values, size_t count, size_t cost)
{
    int64_t few[FEW_MAX];
    size_t distinct = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < distinct && few[at] != values[i])
            at++;
        if (at < distinct)
            continue;
        if (distinct == FEW_MAX)
            return false;
        few[distinct++] = values[i];
        bytes += width_of(zigzag(values[i])) / 7 + 1;
    }
    unsigned width = width_of(distinct - 1);

    if (count * width + 8 * bytes + 8 >= cost)
        return false;
    buf_putc(&out->meta, MODE_FEW);
    column_put_varint(&out->meta, distinct);
    for (size_t i = 0; i < distinct; i++)
        column_put_signed(&out->meta, few[i]);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (few[at] != values[i])
            at++;
        put_bits(out, at, width);
    }
    return true;
}

static bool is_steady(const int64_t *values, size_t count)
{
    uint64_t step = (uint64_t)values[1] - (uint64_t)values[0];
    size_t breaks = 0;
    for (size_t i = 2; i < count; i++)
        breaks += (uint64_t)values[i] - (uint64_t)values[i - 1] != step;
    return breaks * 4 < count;
}

static void put_ints(struct column_out *out, const int64_t *values, size_t count, bool is_inner);

static void put_delta(struct column_out *out, const int64_t *values, size_t count)
{
    int64_t *steps = mem_alloc_array(count, sizeof *steps);
    for (size_t i = 1; i < count; i++)
        steps[i - 1] = (int64_t)((uint64_t)values[i] - (uint64_t)values[i - 1]);
    buf_putc(&out->meta, MODE_DELTA);
    column_put_signed(&out->meta, values[0]);
    put_ints(out, steps, count - 1, true);
    mem_free(steps);
}

static void put_ints(struct column_out *out, const int64_t *values, size_t count, bool is_inner)
{
    size_t period = period_of(values, count);
    if (period) {
        buf_putc(&out->meta, period == 1 ? MODE_CONST : MODE_PERIODIC);
        if (period > 1)
            column_put_varint(&out->meta, period);
        for (size_t i = 0; i < period; i++)
            column_put_signed(&out->meta, values[i]);
        return;
    }
    if (!is_inner && count > 3 && is_steady(values, count)) {
        put_delta(out, values, count);
        return;
    }
    int64_t sorted[SAMPLE], least = values[0], most = values[0];
    size_t taken = take_sample(values, count, sorted);
    for (size_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    unsigned full = width_of((uint64_t)most - (uint64_t)least), width = full;
    int64_t base = least;
    size_t exceptions = 0, cost = count * full;
    for (unsigned w = full; w-- > 0;) {
        int64_t b = 0;
        size_t outside = best_window(sorted, taken, w, &b) * count / taken, bits = count * w + outside * (16 + full) + 8;
        if (outside > count / 4)
            break;
        if (bits < cost) {
            cost = bits;
            width = w;
            base = b;
            exceptions = outside;
        }
    }
    if (width < full)
        exceptions = count_outside(values, count, base, width);
    if (!put_few(out, values, count, cost + 8 * (width_of(zigzag(base)) / 7 + 1)))
        put_frame(out, values, count, base, width, exceptions);
}

void column_put_ints(struct column_out *out, const int64_t *values, size_t count)
{
    if (count)
        put_ints(out, values, count, false);
}

/* --- integers: reading -------------------------------------------------------------------------------------------- */

static void get_frame(struct column_in *in, int64_t *values, size_t count, unsigned width, bool is_patched)
{
    uint64_t base = (uint64_t)column_get_signed(in);
    size_t exceptions = is_patched ? (size_t)column_get_varint(in) : 0, at = 0;
    if (exceptions > count || (width && (size_t)(in->bits_end - in->bits) + 8 < count * width / 8))
        in->is_bad = true;
    for (size_t i = 0; i < count && !in->is_bad; i++)
        values[i] = (int64_t)(base + get_bits(in, width));
    for (size_t i = 0; i < exceptions && !in->is_bad; i++) {
        uint64_t skip = column_get_varint(in);
        int64_t offset = column_get_signed(in);
        if (skip >= count - at)
            in->is_bad = true;
        else
            values[at += (size_t)skip] = (int64_t)(base + (uint64_t)offset);
    }
}

static void get_few(struct column_in *in, int64_t *values, size_t count)
{
    int64_t few[FEW_MAX];
    uint64_t distinct = column_get_varint(in);
    if (!distinct || distinct > FEW_MAX) {
        in->is_bad = true;
        return;
    }
    for (size_t i = 0; i < distinct; i++)
        few[i] = column_get_signed(in);
    unsigned width = width_of(distinct - 1);
    for (size_t i = 0; i < count && !in->is_bad; i++) {
        uint64_t at = get_bits(in, width);
        if (at >= distinct)
            in->is_bad = true;
        else
            values[i] = few[at];
    }
}

static void get_periodic(struct column_in *in, int64_t *values, size_t count, size_t period)
{
    if (!period || period > count) {
        in->is_bad = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = i < period ? column_get_signed(in) : values[i - period];
}

static void get_ints(struct column_in *in, int64_t *values, size_t count, bool is_inner)
{
    int mode = get_byte(in);
    if (mode < 0)
        return;
    if (mode >= MODE_FRAME && mode < MODE_FRAME + 65) {
        get_frame(in, values, count, (unsigned)mode - MODE_FRAME, false);
    } else if (mode >= MODE_PATCHED && mode < MODE_PATCHED + 65) {
        get_frame(in, values, count, (unsigned)mode - MODE_PATCHED, true);
    } else if (mode == MODE_CONST) {
        get_periodic(in, values, count, 1);
    } else if (mode == MODE_PERIODIC) {
        get_periodic(in, values, count, (size_t)column_get_varint(in));
    } else if (mode == MODE_FEW) {
        get_few(in, values, count);
    } else if (mode == MODE_DELTA && !is_inner && count > 1) {
        values[0] = column_get_signed(in);
        get_ints(in, values + 1, count - 1, true);
        for (size_t i = 1; i < count && !in->is_bad; i++)
            values[i] = (int64_t)((uint64_t)values[i] + (uint64_t)values[i - 1]);
    } else {
        in->is_bad = true;
    }
}

int column_get_ints(struct column_in *in, int64_t *values, size_t count)
{
    if (count && !in->is_bad)
        get_ints(in, values, count, false);
    if (in->is_bad && count)
        memset(values, 0, count * sizeof *values);
    return verdict(in);
}

/* --- floating point numbers --------------------------------------------------------------------------------------- */

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value = k / scale, but for some units of the last place. */
static bool fits_scale(double value, uint64_t scale, int64_t *ret_k, int64_t *ret_ulps)
{
    double k = rint(value * (double)scale);
    if (!(fabs(k) < 9007199254740992.0))
        return false;
    double nearest = (int64_t)k == 0 ? 0 : (double)(int64_t)k / (double)scale;
    if (signbit(nearest) != signbit(value))
        return false;
    int64_t ulps = (int64_t)(bits_of(value) - bits_of(nearest));
    if (ulps > ULPS_MAX || ulps < -ULPS_MAX || (k == 0 && ulps))
        return false;
    *ret_k = (int64_t)k;
    *ret_ulps = ulps;
    return true;
}

/* The simplest scale of a value: units, thousandths, millionths, of a mean or of a mean deviation of n of them. */
static uint64_t find_scale(double value)
{
    static const uint64_t units[] = {1, 1000, 1000000};
    int64_t k, ulps;
    if (!isfinite(value))
        return 0;
    for (unsigned power = 1; power <= 2; power++) {
        for (size_t u = 0; u < 3; u++) {
            for (uint64_t n = 1; n <= DIVISOR_MAX; n++) {
                uint64_t scale = units[u] * n * (power == 2 ? n : 1);
                if (fits_scale(value, scale, &k, &ulps))
                    return scale;
            }
        }
    }
    return 0;
}

struct scales {
    uint64_t items[SCALES_MAX]; /* descending */
    size_t count;
};

static bool has_scale(const struct scales *scales, double value)
{
    int64_t k, ulps;
    for (size_t i = 0; i < scales->count; i++) {
        if (fits_scale(value, scales->items[i], &k, &ulps))
            return true;
    }
    return false;
}

static void add_scale(struct scales *scales, uint64_t scale)
{
    for (size_t i = 0; i < scales->count; i++) {
        if (scale % scales->items[i] == 0) { /* what the smaller one fits, the larger one does too */
            memmove(&scales->items[i], &scales->items[i + 1], (scales->count - i - 1) * sizeof scale);
            scales->count--;
            i--;
        }
    }
    if (scales->count == SCALES_MAX)
        return;
    size_t at = scales->count++;
    for (; at > 0 && scales->items[at - 1] < scale; at--)
        scales->items[at] = scales->items[at - 1];
    scales->items[at] = scale;
}

static struct scales choose_scales(const double *values, size_t count)
{
    struct scales scales = {.count = 0};
    size_t misses = 0;
    for (size_t i = 0; i < count && misses < 8; i++) {
        if (has_scale(&scales, values[i]))
            continue;
        uint64_t scale = find_scale(values[i]);
        misses += !scale || scales.count == SCALES_MAX;
        if (scale)
            add_scale(&scales, scale);
    }
    return scales;
}

static void put_raw(struct column_out *out, const double *values, size_t count)
{
    buf_putc(&out->meta, FLOATS_RAW);
    for (size_t i = 0; i < count; i++)
        put_bits(out, bits_of(values[i]), 64);
}

/* Columns of a scaled one: which scale, k, units of the last place; what fits none is written beside them. */
static void put_scaled(struct column_out *out, const struct scales *scales, const double *values, size_t count)
{
    int64_t *columns = mem_alloc_array(3 * count, sizeof *columns), *which = columns;
    int64_t *ks = columns + count, *ulps = columns + 2 * count;
    size_t *odd = mem_alloc_array(count, sizeof *odd), odd_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t s = 0;
        while (s < scales->count && !fits_scale(values[i], scales->items[s], &ks[i], &ulps[i]))
            s++;
        which[i] = (int64_t)s;
        if (s < scales->count)
            continue;
        which[i] = i ? which[i - 1] : 0;
        ks[i] = i ? ks[i - 1] : 0;
        odd[odd_count++] = i;
    }
    if (odd_count * 2 > count) {
        put_raw(out, values, count);
    } else {
        buf_putc(&out->meta, FLOATS_SCALED);
        column_put_varint(&out->meta, scales->count);
        for (size_t i = 0; i < scales->count; i++)
            column_put_varint(&out->meta, scales->items[i]);
        if (scales->count > 1)
            column_put_ints(out, which, count);
        column_put_ints(out, ks, count);
        column_put_ints(out, ulps, count);
        column_put_varint(&out->meta, odd_count);
        for (size_t i = 0; i < odd_count; i++) {
            column_put_varint(&out->meta, odd[i]);
            put_bits(out, bits_of(values[odd[i]]), 64);
        }
    }
    mem_free(columns);
    mem_free(odd);
}

void column_put_floats(struct column_out *out, const double *values, size_t count)
{
    if (!count)
        return;
    size_t same = 1;
    while (same < count && bits_of(values[same]) == bits_of(values[0]))
        same++;
    if (same == count && count > 1) {
        uint64_t bits = bits_of(values[0]);
        buf_putc(&out->meta, FLOATS_CONST);
        for (unsigned i = 0; i < 8; i++)
            buf_putc(&out->meta, (char)(unsigned char)(bits >> 8 * i));
        return;
    }
    struct scales scales = choose_scales(values, count);
    if (scales.count)
        put_scaled(out, &scales, values, count);
    else
        put_raw(out, values, count);
}

static int get_scaled(struct column_in *in, double *values, size_t count)
{
    uint64_t scales[SCALES_MAX], scale_count = column_get_varint(in);
    if (!scale_count || scale_count > SCALES_MAX)
        in->is_bad = true;
    for (size_t i = 0; i < scale_count && !in->is_bad; i++)
        scales[i] = column_get_varint(in);
    if (in->is_bad)
        return -E_CORRUPT;
    int64_t *columns = mem_alloc_array(3 * count, sizeof *columns), *which = columns;
    int64_t *ks = columns + count, *ulps = columns + 2 * count;
    if (scale_count > 1)
        (void)column_get_ints(in, which, count);
    (void)column_get_ints(in, ks, count);
    (void)column_get_ints(in, ulps, count);
    for (size_t i = 0; i < count && !in->is_bad; i++) {
        if (which[i] < 0 || (uint64_t)which[i] >= scale_count || !scales[which[i]]) {
            in->is_bad = true;
            break;
        }
        double nearest = ks[i] == 0 ? 0 : (double)ks[i] / (double)scales[which[i]];
        values[i] = double_of(bits_of(nearest) + (uint64_t)ulps[i]);
    }
    uint64_t odd_count = column_get_varint(in);
    for (uint64_t i = 0; i < odd_count && !in->is_bad; i++) {
        uint64_t at = column_get_varint(in);
        if (at >= count)
            in->is_bad = true;
        else
            values[at] = double_of(get_bits(in, 64));
    }
    mem_free(columns);
    return verdict(in);
}

int column_get_floats(struct column_in *in, double *values, size_t count)
{
    if (!count || in->is_bad)
        return verdict(in);
    int mode = get_byte(in);
    if (mode == FLOATS_CONST) {
        const unsigned char *bytes = column_get_bytes(in, 8);
        uint64_t bits = 0;
        for (unsigned i = 0; bytes && i < 8; i++)
            bits |= (uint64_t)bytes[i] << 8 * i;
        for (size_t i = 0; i < count; i++)
            values[i] = double_of(bits);
    } else if (mode == FLOATS_RAW) {
        for (size_t i = 0; i < count && !in->is_bad; i++)
            values[i] = double_of(get_bits(in, 64));
    } else if (mode == FLOATS_SCALED) {
        return get_scaled(in, values, count);
    } else {
        in->is_bad = true;
    }
    return verdict(in);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

void column_put_frame(struct column_out *out, ZSTD_CCtx *compressor, struct buf *buf)
{
    column_out_finish(out);
    size_t bound = ZSTD_compressBound(out->meta.size), size = 0;
    void *packed = mem_alloc(bound + 1);
    if (out->meta.size)
        size = ZSTD_compress2(compressor, packed, bound, out->meta.data, out->meta.size);
    bool is_packed = size && !ZSTD_isError(size) && size < out->meta.size;
    column_put_varint(buf, out->meta.size);
    column_put_varint(buf, is_packed ? size : out->meta.size);
    column_put_varint(buf, out->bits.size);
    if (out->meta.size)
        buf_put(buf, is_packed ? packed : (const void *)out->meta.data, is_packed ? size : out->meta.size);
    if (out->bits.size)
        buf_put(buf, out->bits.data, out->bits.size);
    mem_free(packed);
    column_out_reset(out);
}

bool column_get_frame(struct column_in *in, struct column_frame *ret_frame)
{
    struct column_frame frame = {.raw_size = (size_t)column_get_varint(in)};
    frame.meta_size = (size_t)column_get_varint(in);
    frame.bits_size = (size_t)column_get_varint(in);
    frame.meta = column_get_bytes(in, frame.meta_size);
    frame.bits = column_get_bytes(in, frame.bits_size);
    *ret_frame = frame;
    return !in->is_bad && frame.raw_size <= COLUMN_FRAME_MAX && frame.meta_size <= frame.raw_size;
}

int column_open_frame(const struct column_frame *frame, ZSTD_DCtx *decompressor, struct arena *arena,
                      struct column_in *ret_in)
{
    const unsigned char *meta = frame->meta;
    if (frame->meta_size < frame->raw_size) {
        void *raw = arena_alloc(arena, frame->raw_size);
        if (!raw)
            return -E_LIMIT;
        size_t got = ZSTD_decompressDCtx(decompressor, raw, frame->raw_size, frame->meta, frame->meta_size);
        if (ZSTD_isError(got) || got != frame->raw_size)
            return -E_CORRUPT;
        meta = raw;
    }
    *ret_in = (struct column_in){.meta = meta,
                                 .meta_end = meta + frame->raw_size,
                                 .bits = frame->bits,
                                 .bits_end = frame->bits + frame->bits_size};
    return 0;
}
