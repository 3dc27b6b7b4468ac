/* Checks of CBOR: the examples of RFC 8949 appendix A, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/limit.h"
#include "base/rng.h"
#include "base/str.h"
#include "wire/cbor.h"

static void expect_hex(struct buf *buf, const char *hex)
{
    char text[64];
    assert_true(buf->size * 2 + 1 <= sizeof text);
    str_hex(buf->data, buf->size, text);
    assert_string_equal(text, hex);
    buf_reset(buf);
}

static void integers_are_written_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *hex;
    } cases[] = {{0, "00"},           {23, "17"},           {24, "1818"},
                 {100, "1864"},       {1000, "1903e8"},     {1000000, "1a000f4240"},
                 {1000000000000, "1b000000e8d4a51000"},     {UINT64_MAX, "1bffffffffffffffff"}};
    struct buf buf;
    buf_init(&buf, 100);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cbor_put_u64(&buf, cases[i].value);
        expect_hex(&buf, cases[i].hex);
    }
    cbor_put_i64(&buf, -1);
    expect_hex(&buf, "20");
    cbor_put_i64(&buf, -1000);
    expect_hex(&buf, "3903e7");
    cbor_put_i64(&buf, INT64_MIN);
    expect_hex(&buf, "3b7fffffffffffffff");
    buf_done(&buf);
}

static void doubles_are_written_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *hex;
    } cases[] = {{0.0, "f90000"},         {-0.0, "f98000"},          {1.0, "f93c00"},
                 {1.1, "fb3ff199999999999a"}, {1.5, "f93e00"},       {65504.0, "f97bff"},
                 {100000.0, "fa47c35000"}, {3.4028234663852886e+38, "fa7f7fffff"}, {1.0e+300, "fb7e37e43c8800759c"},
                 {5.960464477539063e-8, "f90001"}, {0.00006103515625, "f90400"},   {-4.0, "f9c400"},
                 {-4.1, "fbc010666666666666"}, {65536.0, "fa47800000"},            {2.98023223876953125e-8, "fa33000000"}};
    struct buf buf;
    buf_init(&buf, 100);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cbor_put_f64(&buf, cases[i].value);
        struct cbor_reader reader;
        struct cbor_item item;
        cbor_reader_init(&reader, buf.data, buf.size);
        assert_int_equal(cbor_read(&reader, &item), 0);
        assert_memory_equal(&item.f64, &cases[i].value, sizeof item.f64);
        expect_hex(&buf, cases[i].hex);
    }
    struct rng rng;
    rng_seed(&rng, 11);
    for (int i = 0; i < 300000; i++) {
        uint64_t bits = rng_u64(&rng);
        if (i % 3 == 1)
            bits &= ~UINT64_C(0x1fffffff); /* perhaps a single */
        if (i % 3 == 2)
            bits = (bits & UINT64_C(0x800ffc0000000000)) | (uint64_t)(990 + (int)(bits >> 20 & 63)) << 52;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        buf_reset(&buf);
        cbor_put_f64(&buf, value);
        struct cbor_reader reader;
        struct cbor_item item;
        cbor_reader_init(&reader, buf.data, buf.size);
        assert_int_equal(cbor_read(&reader, &item), 0);
        assert_memory_equal(&item.f64, &value, sizeof value);
    }
    buf_done(&buf);
}

/* Reads one item with all that is inside and expects the end of the bytes after it. */
static int read_all(const char *hex)
{
    unsigned char bytes[512];
    struct cbor_reader reader;
    struct cbor_item item;
    size_t size = strlen(hex) / 2;
    assert_int_equal(str_unhex(hex, bytes, size), 0);
    cbor_reader_init(&reader, bytes, size);
    int rc = cbor_read(&reader, &item);
    if (rc == 0)
        rc = cbor_skip(&reader, &item);
    if (rc == 0) {
        assert_ptr_equal(reader.at, reader.end);
        assert_int_equal(reader.depth, 0);
    }
    return rc;
}

static void nothing_at_all_is_malformed(void **state)
{
    (void)state;
    struct cbor_reader reader;
    struct cbor_item item;
    cbor_reader_init(&reader, NULL, 0);
    assert_ptr_equal(reader.at, reader.end);
    assert_int_not_equal(cbor_read(&reader, &item), 0);
}

static void well_formed_input_is_read(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "00", "3bffffffffffffffff", "f4", "f5", "f6", "f7", "f97c00", "fa7fc00000", "fbfff0000000000000",
        "c074323031332d30332d32315432303a30343a30305a", "c1fb41d452d9e2000000", "d818456449455446", "40", "4401020304",
        "60", "6449455446", "62c3bc", "80", "83010203", "8301820203820405", "a0", "a201020304",
        "826161a161626163", "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "9f018202039f0405ffff",
        "83018202039f0405ff", "bf61610161629f0203ffff", "bf6346756ef563416d7421ff", "5fff", "c1c1c100",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_all(cases[i]))
            fail_msg("%s", cases[i]);
    }
}

static void malformed_input_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "18", "1900", "1a0000", "1b00000000000000", "1c", "1d", "1e", "1f", "3f", "5c", "df", "ff", "fc", "fe",
        "f8", "f818", "e0", "41", "6261", "5b8000000000000000", "81", "8201", "9bffffffffffffffff", "a1", "a101",
        "bb8000000000000000", "9f", "9f01", "bf", "bf01", "bf01ff", "5f", "5f6100ff", "5f5f4100ffff", "7f4100ff",
        "5fc14100ff", "7f00ff", "c0", "a201ff", "83ffffff",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_all(cases[i]) != -E_INVALID)
            fail_msg("%s", cases[i]);
    }
}

static void depth_has_a_ceiling(void **state)
{
    (void)state;
    char hex[4 * LIMIT_JSON_DEPTH + 8];
    for (unsigned i = 0; i <= LIMIT_JSON_DEPTH; i++)
        memcpy(hex + 2 * i, "81", 2);
    memcpy(hex + 2 * (LIMIT_JSON_DEPTH - 1), "80", 3);
    assert_int_equal(read_all(hex), 0);
    memcpy(hex + 2 * (LIMIT_JSON_DEPTH - 1), "8180", 5);
    assert_int_equal(read_all(hex), -E_LIMIT);
    for (unsigned i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
        memcpy(hex + 2 * i, "9f", 2);
    hex[2 * (LIMIT_JSON_DEPTH + 1)] = 0;
    assert_int_equal(read_all(hex), -E_LIMIT);
}

static void containers_are_counted_ahead(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0x9f, 0x01, 0x9f, 0x02, 0xff, 0x61, 'a', 0xff, 0x05};
    struct cbor_reader reader;
    struct cbor_item array, item;
    size_t count;
    cbor_reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(cbor_read(&reader, &array), 0);
    assert_int_equal(cbor_count(&reader, &array, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(reader.at - bytes, 1);
    assert_int_equal(cbor_skip(&reader, &array), 0);
    assert_int_equal(cbor_read(&reader, &item), 0);
    assert_int_equal(item.u64, 5);
}

static void joined_strings_are_bounded(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0x7f, 0x62, 'a', 'b', 0x61, 'c', 0xff};
    struct cbor_reader reader;
    struct cbor_item item;
    struct buf buf;
    for (size_t ceiling = 2; ceiling <= 3; ceiling++) {
        buf_init(&buf, ceiling);
        cbor_reader_init(&reader, bytes, sizeof bytes);
        assert_int_equal(cbor_read(&reader, &item), 0);
        assert_int_equal(cbor_read_string(&reader, &item, &buf), ceiling == 3 ? 0 : -E_LIMIT);
        buf_done(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_written_short),
        cmocka_unit_test(doubles_are_written_short_and_exact),
        cmocka_unit_test(well_formed_input_is_read),
        cmocka_unit_test(malformed_input_is_refused),
        cmocka_unit_test(nothing_at_all_is_malformed),
        cmocka_unit_test(depth_has_a_ceiling),
        cmocka_unit_test(containers_are_counted_ahead),
        cmocka_unit_test(joined_strings_are_bounded),
    };
    return cmocka_run_group_tests_name("cbor", tests, NULL, NULL);
}
