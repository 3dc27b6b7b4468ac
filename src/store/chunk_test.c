/* Columns and chunks give back every bit; and what damaged ones do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/chunk.h"
#include "store/column.h"
#include "wire/cbor.h"

/* --- columns ------------------------------------------------------------------------------------------------------ */

static struct column_in input_of(struct column_out *out)
{
    column_out_finish(out);
    return (struct column_in){.meta = out->meta.data,
                              .meta_end = out->meta.data + out->meta.size,
                              .bits = out->bits.data,
                              .bits_end = out->bits.data + out->bits.size};
}

static size_t ints_back(const int64_t *values, size_t count)
{
    struct column_out out;
    int64_t *got = mem_alloc_array(count + 1, sizeof *got);
    column_out_init(&out, 1 << 24);
    column_put_ints(&out, values, count);
    column_put_ints(&out, values, count);
    size_t size = (out.meta.size + out.bits.size + 7) / 2;
    struct column_in in = input_of(&out);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(column_get_ints(&in, got, count), 0);
        if (count)
            assert_memory_equal(got, values, count * sizeof *got);
    }
    assert_ptr_equal(in.meta, in.meta_end);
    mem_free(got);
    column_out_done(&out);
    return size;
}

static void integers_come_back(void **state)
{
    (void)state;
    struct rng rng;
    int64_t values[500];
    rng_seed(&rng, 7);
    for (int round = 0; round < 4000; round++) {
        size_t count = (size_t)rng_below(&rng, round % 10 ? 70 : 500);
        unsigned kind = (unsigned)rng_below(&rng, 8), width = (unsigned)rng_below(&rng, 65);
        int64_t base = (int64_t)rng_u64(&rng);
        for (size_t i = 0; i < count; i++) {
            uint64_t noise = width == 64 ? rng_u64(&rng) : rng_u64(&rng) & ((UINT64_C(1) << width) - 1);
            values[i] = kind == 0   ? base
                        : kind == 1 ? (int64_t)(i % 7)
                        : kind == 2 ? (int64_t)((uint64_t)base + 60 * i + (i % 13 == 5 ? noise : 0))
                        : kind == 3 ? (rng_below(&rng, 30) ? 20000 + (int64_t)rng_below(&rng, 300) : -1)
                        : kind == 4 ? base + (int64_t)rng_below(&rng, 2) * 5
                        : kind == 5 ? (int64_t)rng_u64(&rng)
                                    : (int64_t)((uint64_t)base + noise);
        }
        (void)ints_back(values, count);
    }
    static const int64_t ends[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MAX, INT64_MIN};
    (void)ints_back(ends, 7);
}

static void integers_are_small(void **state)
{
    (void)state;
    int64_t values[60];
    for (size_t i = 0; i < 60; i++)
        values[i] = 1790000000 + (int64_t)i * 60;
    assert_true(ints_back(values, 60) <= 12);
    for (size_t i = 0; i < 60; i++)
        values[i] = i == 30 ? -1 : 20000 + (int64_t)(i * 7919 % 256);
    assert_true(ints_back(values, 60) <= 60 + 16);
}

static void floats_come_back(void **state)
{
    (void)state;
    struct rng rng;
    double values[200], got[200];
    static const double odd[] = {0.0, -0.0, 1e308, -1e-308, 5e-324, 100.0 / 3, 0.1 + 0.2, -17.25};
    rng_seed(&rng, 11);
    for (int round = 0; round < 3000; round++) {
        size_t count = (size_t)rng_below(&rng, 200);
        unsigned kind = (unsigned)rng_below(&rng, 6), special = (unsigned)rng_below(&rng, 3);
        for (size_t i = 0; i < count; i++) {
            uint64_t bits = rng_u64(&rng);
            if (kind == 0)
                values[i] = (double)rng_below(&rng, 30000000) / 1e6;
            else if (kind == 1)
                values[i] = (double)rng_below(&rng, 1u << 30) / (rng_below(&rng, 5) ? 50 : 49) / 1e6;
            else if (kind == 2)
                memcpy(&values[i], &bits, sizeof bits);
            else if (kind == 3)
                values[i] = 100.0 * (double)rng_below(&rng, 51) / 50;
            else
                values[i] = kind == 4 ? rng_unit(&rng) : 20.5;
            if (special == 0 && rng_below(&rng, 9) == 0)
                values[i] = rng_below(&rng, 2) ? (double)NAN : odd[rng_below(&rng, 8)];
        }
        struct column_out out;
        column_out_init(&out, 1 << 20);
        column_put_floats(&out, values, count);
        struct column_in in = input_of(&out);
        assert_int_equal(column_get_floats(&in, got, count), 0);
        if (count)
            assert_memory_equal(got, values, count * sizeof *got);
        column_out_done(&out);
    }
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

#define WORDS 20000
struct words {
    struct buf bytes[WORDS];
    size_t count;
};

static int put_word(void *user, const void *bytes, size_t size, uint64_t *ret_id, struct error *err)
{
    struct words *words = user;
    (void)err;
    for (size_t i = 0; i < words->count; i++) {
        if (words->bytes[i].size == size && (!size || !memcmp(words->bytes[i].data, bytes, size))) {
            *ret_id = i + 1;
            return 0;
        }
    }
    assert_true(words->count < WORDS);
    buf_init(&words->bytes[words->count], 1 << 24);
    if (size)
        buf_put(&words->bytes[words->count], bytes, size);
    *ret_id = ++words->count;
    return 0;
}

static int get_word(void *user, uint64_t id, const void **ret_bytes, size_t *ret_size, struct error *err)
{
    struct words *words = user;
    if (!id || id > words->count)
        return error_set(err, E_CORRUPT, "words", "there is no word %llu", (unsigned long long)id);
    *ret_bytes = words->bytes[id - 1].data;
    *ret_size = words->bytes[id - 1].size;
    return 0;
}

struct fixture {
    struct words words;
    struct chunk_words access;
    struct rng rng;
    struct arena arena;
    struct buf out, body;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->access = (struct chunk_words){.put = put_word,
                                     .get = get_word,
                                     .user = &f->words,
                                     .compressor = ZSTD_createCCtx(),
                                     .decompressor = ZSTD_createDCtx()};
    rng_seed(&f->rng, 3);
    arena_init(&f->arena, 256 << 20);
    buf_init(&f->out, 1 << 26);
    buf_init(&f->body, 1 << 26);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->words.count; i++)
        buf_done(&f->words.bytes[i]);
    (void)ZSTD_freeCCtx(f->access.compressor);
    (void)ZSTD_freeDCtx(f->access.decompressor);
    arena_done(&f->arena);
    buf_done(&f->out);
    buf_done(&f->body);
    mem_free(f);
    return 0;
}

/* Any CBOR: all kinds, nested, also in longer forms than needed, and byte strings that hold records. */
static void random_item(struct rng *rng, struct buf *buf, unsigned depth)
{
    unsigned kind = (unsigned)rng_below(rng, depth ? 14 : 8);
    uint64_t number = rng_u64(rng) >> rng_below(rng, 64);
    size_t length = (size_t)rng_below(rng, 6);
    switch (kind) {
    case 0:
    case 1:
        cbor_put_u64(buf, number);
        break;
    case 2:
        cbor_put_i64(buf, -(int64_t)(number >> 1) - 1);
        break;
    case 3:
        cbor_put_f64(buf, (double)rng_below(rng, 100000) / 1000);
        break;
    case 4:
        cbor_put_text(buf, "text of some length", length * 3);
        break;
    case 5:
        if (rng_below(rng, 2))
            cbor_put_bool(buf, rng_below(rng, 2));
        else
            cbor_put_null(buf);
        break;
    case 6: { /* not the shortest form */
        static const unsigned char longer[][5] = {{0x18, 1}, {0x19, 0, 1}, {0x78, 1, 'x'}, {0xfa, 0x3f, 0x80, 0, 0}};
        static const size_t sizes[] = {2, 3, 3, 5};
        size_t which = (size_t)rng_below(rng, 4);
        buf_put(buf, longer[which], sizes[which]);
        break;
    }
    case 7:
        cbor_put_bytes(buf, "\xa1\x61x", length % 4);
        break;
    case 8:
        cbor_put_array(buf, length);
        for (size_t i = 0; i < length; i++)
            cbor_put_i64(buf, (int64_t)rng_below(rng, 100) - 5);
        break;
    case 9:
        cbor_put_array(buf, length);
        for (size_t i = 0; i < length; i++)
            random_item(rng, buf, depth - 1);
        break;
    case 10: {
        struct buf inner;
        buf_init(&inner, 1 << 20);
        cbor_put_map(&inner, 1);
        cbor_put_text(&inner, "k", 1);
        random_item(rng, &inner, depth - 1);
        cbor_put_bytes(buf, inner.data, inner.size);
        buf_done(&inner);
        break;
    }
    default:
        cbor_put_map(buf, length);
        for (size_t i = 0; i < length; i++) {
            cbor_put_text(buf, &"abcdef"[i], 1);
            random_item(rng, buf, depth - 1);
        }
        break;
    }
}

static struct store_round *random_rounds(struct fixture *f, size_t count, bool is_noise)
{
    struct store_round *rounds = mem_alloc_array(count, sizeof *rounds);
    for (size_t i = 0; i < count; i++) {
        struct buf body;
        buf_init(&body, 1 << 24);
        rng_seed(&f->rng, is_noise || i % 5 == 0 ? rng_u64(&f->rng) : 42); /* often of the same shape */
        if (rng_below(&f->rng, 12))
            random_item(&f->rng, &body, 5);
        else
            buf_puts(&body, "\xff no CBOR");
        rng_seed(&f->rng, rng_u64(&f->rng) + i);
        void *copy = arena_alloc(&f->arena, body.size + 1);
        if (body.size)
            memcpy(copy, body.data, body.size);
        struct store_metric *metrics = arena_alloc_array(&f->arena, STORE_ROUND_METRICS, sizeof *metrics);
        size_t metric_count = (size_t)rng_below(&f->rng, 8);
        for (size_t m = 0; m < metric_count; m++)
            metrics[m] = (struct store_metric){.id = (uint16_t)(rng_below(&f->rng, 9) ? m : 0xfff0),
                                               .value = (double)rng_below(&f->rng, 1000000) / 1e3};
        rounds[i] = (struct store_round){.test_id = 1,
                                         .agent_id = 2,
                                         .round_id = (int64_t)(i ? rounds[i - 1].round_id : -7) + 1 +
                                                     (int64_t)rng_below(&f->rng, 3),
                                         .start_s = (int64_t)rng_u64(&f->rng) >> 1,
                                         .end_s = (int64_t)rng_below(&f->rng, 100),
                                         .test_version = 3,
                                         .fingerprint = rng_below(&f->rng, 3) ? 99 : rng_u64(&f->rng),
                                         .metrics = metrics,
                                         .metric_count = metric_count,
                                         .body = copy,
                                         .body_size = body.size};
        rounds[i].detail = rounds[i].body;
        rounds[i].detail_size = rounds[i].body_size;
        buf_done(&body);
    }
    return rounds;
}

static void any_rounds_come_back(void **state)
{
    struct fixture *f = *state;
    for (uint64_t pass = 0; pass < 150; pass++) {
        rng_seed(&f->rng, pass);
        size_t count = 1 + (size_t)rng_below(&f->rng, 40);
        struct store_round *rounds = random_rounds(f, count, pass % 2);
        unsigned flags = pass % 3 ? CHUNK_METRICS : 0;
        struct chunk *chunk;
        buf_reset(&f->out);
        assert_int_equal(chunk_write(rounds, count, flags, &f->access, &f->out, NULL), 0);
        assert_int_equal(chunk_open(f->out.data, f->out.size, "x", &f->access, &f->arena, &chunk, NULL), 0);
        assert_int_equal(chunk_count(chunk), count);
        for (size_t step = 0; step < 2 * count; step++) { /* forth, and back and forth */
            size_t i = step < count ? step : (step * 7919) % count;
            struct store_round got = {.test_id = 1};
            assert_int_equal(chunk_round_id(chunk, i), rounds[i].round_id);
            if (flags) {
                assert_int_equal(chunk_row(chunk, i, &got, NULL), 0);
                assert_int_equal(got.start_s, rounds[i].start_s);
                assert_int_equal(got.metric_count, rounds[i].metric_count);
                assert_true(got.fingerprint == rounds[i].fingerprint);
            }
            buf_reset(&f->body);
            assert_int_equal(chunk_body(chunk, i, &f->body, NULL), 0);
            assert_int_equal(f->body.size, rounds[i].body_size);
            if (f->body.size)
                assert_memory_equal(f->body.data, rounds[i].body, f->body.size);
        }
        mem_free(rounds);
        arena_reset(&f->arena);
    }
}

static void damage_is_told(void **state)
{
    struct fixture *f = *state;
    size_t count = 30;
    struct store_round *rounds = random_rounds(f, count, false);
    struct chunk *chunk;
    assert_int_equal(chunk_write(rounds, count, CHUNK_METRICS, &f->access, &f->out, NULL), 0);
    for (size_t i = 0; i < f->out.size; i += 3) {
        struct error err = {0};
        f->out.data[i] ^= 0x10;
        int rc = chunk_open(f->out.data, f->out.size, "file", &f->access, &f->arena, &chunk, &err);
        f->out.data[i] ^= 0x10;
        assert_int_equal(rc, -E_CORRUPT);
        assert_string_equal(err.where, "file");
        assert_int_equal(chunk_open(f->out.data, i, "file", &f->access, &f->arena, &chunk, NULL), -E_CORRUPT);
    }
    f->words.count = 0; /* a dictionary that lost its words */
    assert_int_equal(chunk_open(f->out.data, f->out.size, "x", &f->access, &f->arena, &chunk, NULL), 0);
    assert_int_equal(chunk_body(chunk, 0, &f->body, NULL), -E_CORRUPT);
    mem_free(rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_back),
        cmocka_unit_test(integers_are_small),
        cmocka_unit_test(floats_come_back),
        cmocka_unit_test_setup_teardown(any_rounds_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
