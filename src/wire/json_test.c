/* Checks of the strict reading and exact writing of JSON. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "wire/json.h"

static int parse(const char *text, size_t size, struct error *err)
{
    json_t *json = NULL;
    int rc = json_parse_strict(text, size, &json, err);
    json_decref(json);
    return rc;
}

static void what_could_be_read_two_ways_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *where, *part;
    } cases[] = {
        {"", "line 1 column 1", "empty"},
        {"   ", "line 1 column 3", "expected"},
        {"{\"a\":1,\n \"a\":2}", "line 2", "duplicate object key"},
        {"{\"a\":1}x", "line 1 column 8", "end of file expected"},
        {"{\"a\":1}{", "line 1", "end of file expected"},
        {"{\"a\":1,}", "line 1", "expected"},
        {"[01]", "line 1", "invalid token"},
        {"[NaN]", "line 1", "invalid token"},
        {"[1e999]", "line 1", "overflow"},
        {"[9223372036854775808]", "line 1", "too big"},
        {"[\"\\u0000\"]", "line 1 column 3", "U+0000"},
        {"[\"\xc3\x28\"]", "line 1", "unable to decode"},
        {"[\"\\ud800\"]", "line 1", "Unicode"},
        {"3", "line 1", "expected"},
        {"[1", "line 1", "expected"},
        {"[\"a\nb\"]", "line 1", "newline"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        int rc = parse(cases[i].text, strlen(cases[i].text), &err);
        if (rc != -E_INVALID || strncmp(err.where, cases[i].where, strlen(cases[i].where)) != 0 ||
            !strstr(err.text, cases[i].part))
            fail_msg("%s: %s (%s: %s)", cases[i].text, error_name(rc), err.where, err.text);
    }
    assert_int_equal(parse("[1]\0", 4, NULL), -E_INVALID);
}

static void depth_and_size_have_ceilings(void **state)
{
    (void)state;
    char text[2 * LIMIT_JSON_DEPTH + 8];
    struct error err;
    memset(text, '[', LIMIT_JSON_DEPTH);
    memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    assert_int_equal(parse(text, 2 * LIMIT_JSON_DEPTH, &err), 0);
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    text[3] = '\n';
    memmove(text + 4, text + 3, LIMIT_JSON_DEPTH);
    text[3] = '\n';
    text[4] = '[';
    assert_int_equal(parse(text, sizeof text, &err), -E_LIMIT);
    assert_string_equal(err.where, "line 2 column 30");
    /* Brackets within strings are no nesting. */
    char quoted[100] = "[\"\\\"";
    memset(quoted + 4, '[', 90);
    memcpy(quoted + 94, "\"]", 2);
    assert_int_equal(parse(quoted, 96, &err), 0);

    size_t size = LIMIT_JSON_BYTES + 1;
    char *big = mem_alloc(size);
    memset(big, ' ', size);
    big[0] = '[';
    big[size - 2] = ']';
    assert_int_equal(parse(big, size, &err), -E_LIMIT);
    assert_int_equal(parse(big, size - 1, &err), 0);
    mem_free(big);
}

static void numbers_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},         {-0.0, "0"},        {1, "1"},         {-12, "-12"},
        {0.1, "0.1"},     {1.0 / 3, "0.3333333333333333"},      {812.4, "812.4"},
        {1e300, "1e+300"}, {5e-324, "4.94065645841247e-324"},   {123456789.123, "123456789.123"},
        {9007199254740991, "9007199254740991"},                 {0.1 + 0.2, "0.30000000000000004"},
    };
    char text[JSON_F64_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(json_f64_text(cases[i].value, text), cases[i].text);
    struct rng rng;
    rng_seed(&rng, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = rng_u64(&rng);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        assert_true(strtod(json_f64_text(value, text), NULL) == value);
    }
    assert_true(strtod(json_f64_text(DBL_MAX, text), NULL) == DBL_MAX);
}

static void dump(const char *text, unsigned indent, const char *want)
{
    struct error err;
    json_t *json;
    struct buf buf;
    buf_init(&buf, 10000);
    assert_int_equal(json_parse_strict(text, strlen(text), &json, &err), 0);
    json_dump_to_buf(json, indent, &buf);
    assert_string_equal(buf_str(&buf), want);
    buf_done(&buf);
    json_decref(json);
}

static void documents_are_written_as_they_were(void **state)
{
    (void)state;
    const char *text = "{\"z\":[],\"a\":{},\"m\":[1,-2.5,true,false,null],\"s\":\"\\\"\\\\ \\n\\t\\u0001 / \xe2\x82\xac\"}";
    dump(text, 0, text);
    dump("{\"z\":[],\"a\":{\"b\":[1,2]}}", 2,
         "{\n  \"z\": [],\n  \"a\": {\n    \"b\": [\n      1,\n      2\n    ]\n  }\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_be_read_two_ways_is_refused),
        cmocka_unit_test(depth_and_size_have_ceilings),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(documents_are_written_as_they_were),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
