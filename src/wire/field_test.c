/* Checks of the field tables: one record with a field of every kind, read, written and described. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/rng.h"
#include "base/str.h"
#include "wire/cbor.h"
#include "wire/field.h"
#include "wire/field_sample.h"
#include "wire/json.h"

struct fixture {
    struct arena arena;
    struct every record;
    struct error err;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    arena_init(&fixture.arena, 8u << 20);
    field_defaults(&every_table, &fixture.record);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    arena_done(&x->arena);
    return 0;
}

static int read_json(struct fixture *x, enum field_mode mode, const char *text)
{
    json_t *json;
    assert_int_equal(json_parse_strict(text, strlen(text), &json, &x->err), 0);
    int rc = field_from_json(&every_table, json, mode, &x->record, &x->arena, &x->err);
    json_decref(json);
    return rc;
}

static const char *to_json(struct fixture *x, const char *const *expand)
{
    struct buf buf;
    buf_init(&buf, 1 << 20);
    json_t *json = field_to_json(&every_table, &x->record, expand);
    json_dump_to_buf(json, 0, &buf);
    json_decref(json);
    const char *text = arena_strdup(&x->arena, buf_str(&buf));
    buf_done(&buf);
    return text;
}

static const char full[] =
    "{\"enabled\":false,\"numPathTraces\":7,\"interval\":120,\"big\":9007199254740993,\"ratio\":0.1,"
    "\"name\":\"caf\xc3\xa9 \\\"x\\\"\",\"protocol\":\"icmp\",\"testId\":\"18446744073709551615\","
    "\"since\":\"2026-11-21T02:30:00Z\",\"place\":{\"latitude\":52.37,\"city\":\"Amsterdam\",\"known\":true},"
    "\"sparePlace\":{\"city\":\"Utrecht\",\"known\":false},\"ports\":[{\"number\":80},{\"number\":443,\"label\":\"tls\"}],"
    "\"tags\":[\"a\",\"b\"],\"rights\":[\"write\"],\"numbers\":[-1,2],"
    "\"rows\":[[],[0],[2,1]],\"blob\":\"AAH_\",\"kind\":\"k\",\"extra\":\"e\"}";

static void tables_are_sound(void **state)
{
    struct fixture *x = *state;
    int rc = field_audit(&every_table, &x->err);
    if (rc)
        print_message("%s: %s\n", x->err.where, x->err.text);
    assert_int_equal(rc, 0);
}

static void defaults_are_presets_or_absent(void **state)
{
    struct fixture *x = *state;
    assert_true(x->record.is_on);
    assert_int_equal(x->record.count, 3);
    assert_int_equal(x->record.interval, FIELD_NO_I32);
    assert_true(x->record.big == FIELD_NO_I64);
    assert_true(isnan(x->record.ratio));
    assert_null(x->record.name);
    assert_int_equal(x->record.protocol, 0);
    assert_true(x->record.place.is_known);
    assert_null(x->record.ports.items);
    assert_non_null(x->record.tags.items);
    assert_string_equal(to_json(x, NULL), "{\"enabled\":true,\"numPathTraces\":3,\"protocol\":\"tcp\",\"place\":{\"known\":"
                                          "true},\"tags\":[]}");
}

static void json_round_trips(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    assert_string_equal(to_json(x, NULL), full);
    assert_true(x->record.id == UINT64_MAX);
    assert_true(x->record.big == 9007199254740993);
}

static void cbor_round_trips(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    x->record.hash = "inner";
    x->record.password = "secret";
    x->record.protocol = -1; /* absent though it has a preset */
    struct buf buf;
    buf_init(&buf, 1 << 20);
    field_to_cbor(&every_table, &x->record, &buf);
    struct every copy;
    assert_int_equal(field_from_cbor(&every_table, buf.data, buf.size, &copy, &x->arena, &x->err), 0);
    assert_true(field_equal(&every_table, &x->record, &copy));
    assert_string_equal(copy.hash, "inner");
    assert_string_equal(copy.password, "secret");
    assert_int_equal(copy.protocol, -1);
    buf_done(&buf);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

static void every_json_error_names_its_path(void **state)
{
    struct fixture *x = *state;
    static const struct {
        const char *json;
        int code;
        const char *where, *text; /* text: a part of it */
    } cases[] = {
        {"[]", E_TYPE, "", "must be an object, not an array"},
        {"{}", E_REQUIRED, "name", "is required"},
        {"{\"name\":null}", E_REQUIRED, "name", "is required"},
        {"{\"nmae\":\"x\"}", E_UNKNOWN, "nmae", "is not a field of Every"},
        {"{\"\u00e9\\n\":1}", E_UNKNOWN, "???", "is not a field"},
        {"{\"hash\":\"x\"}", E_UNKNOWN, "hash", "is not a field"},
        {"{\"enabled\":1}", E_TYPE, "enabled", "must be true or false, not a number"},
        {"{\"numPathTraces\":\"3\"}", E_TYPE, "numPathTraces", "must be an integer, not a string"},
        {"{\"numPathTraces\":3.0}", E_TYPE, "numPathTraces", "must be an integer, not a fraction"},
        {"{\"numPathTraces\":3000000000}", E_RANGE, "numPathTraces", "too large"},
        {"{\"numPathTraces\":-2147483648}", E_RANGE, "numPathTraces", "too large"},
        {"{\"name\":\"x\",\"numPathTraces\":0}", E_RANGE, "numPathTraces", "must be between 1 and 10"},
        {"{\"name\":\"x\",\"numPathTraces\":11}", E_RANGE, "numPathTraces", "must be between 1 and 10"},
        {"{\"name\":\"x\",\"interval\":61}", E_RANGE, "interval", "must be one of 60, 120, 300"},
        {"{\"name\":\"x\",\"big\":-1}", E_RANGE, "big", "must be at least 0"},
        {"{\"big\":-9223372036854775808}", E_RANGE, "big", "too large"},
        {"{\"name\":\"x\",\"ratio\":100.1}", E_RANGE, "ratio", "must be between 0 and 100 %"},
        {"{\"ratio\":\"1\"}", E_TYPE, "ratio", "must be a number, not a string"},
        {"{\"name\":\"\"}", E_RANGE, "name", "must have between 1 and 20 characters"},
        {"{\"name\":\"123456789012345678901\"}", E_RANGE, "name", "must have between 1 and 20 characters"},
        {"{\"name\":7}", E_TYPE, "name", "must be a string, not a number"},
        {"{\"protocol\":\"tpc\"}", E_UNKNOWN, "protocol", "\"tpc\" is not one of tcp, icmp, udp"},
        {"{\"protocol\":1}", E_TYPE, "protocol", "must be a string, not a number"},
        {"{\"testId\":12}", E_TYPE, "testId", "must be a string of decimal digits, not a number"},
        {"{\"testId\":\"0\"}", E_INVALID, "testId", "must be an id"},
        {"{\"testId\":\"12x\"}", E_INVALID, "testId", "must be an id"},
        {"{\"testId\":\"18446744073709551616\"}", E_INVALID, "testId", "must be an id"},
        {"{\"since\":\"yesterday\"}", E_INVALID, "since", "must be a time"},
        {"{\"since\":\"2026-02-30T00:00:00Z\"}", E_INVALID, "since", "must be a time"},
        {"{\"since\":\"1970-01-01T00:00:00+05:00\"}", E_RANGE, "since", "between the years 1970 and 9999"},
        {"{\"since\":1}", E_TYPE, "since", "must be a string like"},
        {"{\"place\":[]}", E_TYPE, "place", "must be an object"},
        {"{\"place\":{\"city\":1}}", E_TYPE, "place.city", "must be a string"},
        {"{\"place\":{}}", E_REQUIRED, "place.city", "is required"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"nowhere\",\"known\":false}}", E_INVALID, "place.city", "known"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"c\"},\"sparePlace\":{\"city\":\"c\",\"latitude\":91}}", E_RANGE,
         "sparePlace.latitude", "must be between -90 and 90 degrees"},
        {"{\"ports\":{}}", E_TYPE, "ports", "must be an array"},
        {"{\"ports\":[{\"number\":1},null]}", E_TYPE, "ports[1]", "must be an object, not null"},
        {"{\"ports\":[{\"number\":1},{}]}", E_REQUIRED, "ports[1].number", "is required"},
        {"{\"ports\":[{\"nummer\":1}]}", E_UNKNOWN, "ports[0].nummer", "is not a field of Port"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"c\"},\"ports\":[{\"number\":1},{\"number\":0}]}", E_RANGE,
         "ports[1].number", "must be between 1 and 65535"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"c\"},\"ports\":[{\"number\":1},{\"number\":1},{\"number\":1},"
         "{\"number\":1}]}",
         E_RANGE, "ports", "must have at most 3 items"},
        {"{\"tags\":[\"a\",7]}", E_TYPE, "tags[1]", "must be a string, not a number"},
        {"{\"tags\":[null]}", E_TYPE, "tags[0]", "must be a string, not null"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"c\"},\"rights\":[\"write\",\"fly\"]}", E_UNKNOWN, "rights[1]",
         "must be one of read, write"},
        {"{\"agentIds\":[\"1\",2]}", E_TYPE, "agentIds[1]", "must be a string of decimal digits"},
        {"{\"numbers\":[1,\"2\"]}", E_TYPE, "numbers[1]", "must be an integer"},
        {"{\"rows\":[1]}", E_TYPE, "rows[0]", "must be an array, not a number"},
        {"{\"rows\":[[],null]}", E_TYPE, "rows[1]", "must be an array, not null"},
        {"{\"rows\":[[],[0,true]]}", E_TYPE, "rows[1][1]", "must be an integer, not a boolean"},
        {"{\"name\":\"x\",\"place\":{\"city\":\"c\"},\"rows\":[[],[],[],[],[]]}", E_RANGE, "rows",
         "must have at most 4 items"},
        {"{\"blob\":\"a+b\"}", E_INVALID, "blob", "is not base64url"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        field_defaults(&every_table, &x->record);
        int rc = read_json(x, FIELD_CREATE, cases[i].json);
        if (rc != -cases[i].code || strcmp(x->err.where, cases[i].where) != 0 || !strstr(x->err.text, cases[i].text))
            fail_msg("%s: %s (%s: %s)", cases[i].json, error_name(rc), x->err.where, x->err.text);
    }
}

static void words_of_errors_stay_readable(void **state)
{
    struct fixture *x = *state;
    char text[LIMIT_STRING_BYTES + 200];
    int n = snprintf(text, sizeof text, "{\"protocol\":\"");
    memset(text + n, 'y', LIMIT_STRING_BYTES);
    (void)snprintf(text + n + LIMIT_STRING_BYTES, 100, "\"}");
    assert_int_equal(read_json(x, FIELD_CREATE, text), -E_UNKNOWN);
    assert_true(strlen(x->err.text) < 120);
    n = snprintf(text, sizeof text, "{\"name\":\"");
    memset(text + n, 'y', LIMIT_STRING_BYTES + 1);
    (void)snprintf(text + n + LIMIT_STRING_BYTES + 1, 100, "\"}");
    assert_int_equal(read_json(x, FIELD_CREATE, text), -E_LIMIT);
    assert_string_equal(x->err.where, "name");
}

static void the_arena_is_a_ceiling(void **state)
{
    struct fixture *x = *state;
    struct arena small;
    arena_init(&small, 256);
    json_t *json;
    assert_int_equal(json_parse_strict(full, sizeof full - 1, &json, &x->err), 0);
    assert_int_equal(field_from_json(&every_table, json, FIELD_CREATE, &x->record, &small, &x->err), -E_LIMIT);
    json_decref(json);
    arena_done(&small);
    struct every copy;
    setup(state);
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    arena_init(&small, 100);
    assert_int_equal(field_copy(&every_table, &x->record, &copy, &small), -E_LIMIT);
    arena_done(&small);
}

/* --- modes and flags --------------------------------------------------------------------------------------------- */

static void merge_keeps_what_is_not_given(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    const struct place *spare = x->record.spare;
    assert_int_equal(read_json(x, FIELD_MERGE,
                               "{\"numPathTraces\":4,\"place\":{\"latitude\":1.5},\"sparePlace\":{\"known\":true},"
                               "\"ports\":[{\"number\":22}]}"),
                     0);
    assert_int_equal(x->record.count, 4);
    assert_int_equal(x->record.interval, 120);
    assert_true(x->record.place.latitude == 1.5);
    assert_string_equal(x->record.place.city, "Amsterdam");
    assert_true(x->record.spare->is_known);
    assert_string_equal(x->record.spare->city, "Utrecht");
    assert_false(spare->is_known); /* it may be shared: it was copied */
    assert_int_equal(x->record.ports.count, 1);
}

static void null_brings_back_the_preset_or_absence(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    assert_int_equal(read_json(x, FIELD_MERGE,
                               "{\"numPathTraces\":null,\"interval\":null,\"enabled\":null,\"sparePlace\":null,"
                               "\"ports\":null,\"tags\":null,\"protocol\":null,\"since\":null}"),
                     0);
    assert_int_equal(x->record.count, 3);
    assert_int_equal(x->record.interval, FIELD_NO_I32);
    assert_true(x->record.is_on);
    assert_null(x->record.spare);
    assert_null(x->record.ports.items);
    assert_non_null(x->record.tags.items);
    assert_int_equal(x->record.tags.count, 0);
    assert_int_equal(x->record.protocol, 0);
    assert_int_equal(read_json(x, FIELD_MERGE, "{\"name\":null}"), -E_REQUIRED);
    assert_string_equal(x->err.where, "name");
}

static void flags_are_obeyed(void **state)
{
    struct fixture *x = *state;
    x->record.created = 1000;
    assert_int_equal(read_json(x, FIELD_CREATE,
                               "{\"name\":\"n\",\"place\":{\"city\":\"c\"},\"createdDate\":[\"nonsense\"],"
                               "\"password\":\"p\",\"kind\":\"k\",\"agentIds\":[\"5\"]}"),
                     0);
    assert_int_equal(x->record.created, 1000);
    assert_string_equal(x->record.password, "p");
    x->record.hash = "h";
    const char *text = to_json(x, NULL);
    assert_null(strstr(text, "password"));
    assert_null(strstr(text, "hash"));
    assert_null(strstr(text, "agentIds"));
    assert_non_null(strstr(text, "\"createdDate\":\"1970-01-01T00:16:40Z\""));
    const char *asked[] = {"other", "agent", NULL};
    assert_non_null(strstr(to_json(x, asked), "\"agentIds\":[\"5\"]"));
    assert_int_equal(read_json(x, FIELD_MERGE, "{\"kind\":\"k\",\"name\":\"m\"}"), 0);
    assert_int_equal(read_json(x, FIELD_MERGE, "{\"kind\":\"other\"}"), -E_INVALID);
    assert_string_equal(x->err.where, "kind");
    assert_int_equal(read_json(x, FIELD_TRUST, "{\"createdDate\":\"1970-01-01T00:00:07Z\",\"later\":1,\"hash\":2}"),
                     0);
    assert_int_equal(x->record.created, 7);
}

static void absent_and_unspeakable_values_are_not_written(void **state)
{
    struct fixture *x = *state;
    x->record.ratio = INFINITY;
    x->record.place.latitude = -INFINITY;
    x->record.since = INT64_MAX;
    x->record.name = "bad \xff\xc3";
    const char *text = to_json(x, NULL);
    assert_null(strstr(text, "ratio"));
    assert_null(strstr(text, "latitude"));
    assert_null(strstr(text, "since"));
    assert_non_null(strstr(text, "\"name\":\"bad ??\""));
}

static void copies_are_deep_and_equal(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    struct every copy;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(field_copy(&every_table, &x->record, &copy, &arena), 0);
    assert_true(field_equal(&every_table, &x->record, &copy));
    assert_ptr_not_equal(copy.spare, x->record.spare);
    assert_ptr_not_equal(copy.name, x->record.name);
    assert_ptr_not_equal(((struct port *)copy.ports.items)[1].label, ((struct port *)x->record.ports.items)[1].label);
    ((struct port *)copy.ports.items)[1].label = "other";
    assert_false(field_equal(&every_table, &x->record, &copy));
    ((struct port *)copy.ports.items)[1].label = ((struct port *)x->record.ports.items)[1].label;
    assert_true(field_equal(&every_table, &x->record, &copy));
    const struct field_list *row = &((struct field_list *)copy.rows.items)[2];
    assert_ptr_not_equal(row->items, ((struct field_list *)x->record.rows.items)[2].items);
    ((int64_t *)row->items)[1] = 2;
    assert_false(field_equal(&every_table, &x->record, &copy));
    arena_done(&arena);
}

/* --- text -------------------------------------------------------------------------------------------------------- */

static int set(struct fixture *x, const char *name, const char *text)
{
    return field_from_text(&every_table, name, text, &x->record, &x->arena, &x->err);
}

static void text_sets_fields(void **state)
{
    struct fixture *x = *state;
    static const char *const pairs[][2] = {
        {"enabled", "false"},       {"numPathTraces", "7"},    {"interval", "2m"},
        {"big", "9007199254740993"}, {"ratio", "0.1"},         {"name", "caf\xc3\xa9 \"x\""},
        {"protocol", "icmp"},       {"testId", "18446744073709551615"}, {"since", "2026-11-21T02:30:00Z"},
        {"place.latitude", "52.37"}, {"place.city", "Amsterdam"}, {"sparePlace.city", "Utrecht"},
        {"sparePlace.known", "false"}, {"tags", "a, b"},       {"rights", "write"},
        {"numbers", "-1,2"},        {"blob", "AAH_"},          {"kind", "k"},
        {"extra", "e"},             {"agentIds", "3,4"},       {"password", "secret"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (set(x, pairs[i][0], pairs[i][1]))
            fail_msg("%s: %s: %s", pairs[i][0], x->err.where, x->err.text);
    }
    struct every mine = x->record;
    field_defaults(&every_table, &x->record);
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    x->record.ports = mine.ports;
    x->record.rows = mine.rows;
    x->record.ids = mine.ids;
    x->record.password = mine.password;
    assert_true(field_equal(&every_table, &x->record, &mine));
    assert_int_equal(set(x, "tags", ""), 0);
    assert_int_equal(x->record.tags.count, 0);
    assert_non_null(x->record.tags.items);
    assert_int_equal(set(x, "since", "1790000000"), 0);
    assert_true(x->record.since == 1790000000);
}

static void text_errors_name_the_setting(void **state)
{
    struct fixture *x = *state;
    static const struct {
        const char *name, *text;
        int code;
        const char *where, *part;
    } cases[] = {
        {"nothing", "1", E_UNKNOWN, "nothing", "no such setting"},
        {"createdDate", "1", E_UNKNOWN, "createdDate", "no such setting"},
        {"hash", "1", E_UNKNOWN, "hash", "no such setting"},
        {"numPathTraces", "many", E_TYPE, "numPathTraces", "must be an integer, not \"many\""},
        {"numPathTraces", "11", E_RANGE, "numPathTraces", "must be between 1 and 10"},
        {"numPathTraces", "99999999999", E_RANGE, "numPathTraces", "too large"},
        {"interval", "2h", E_RANGE, "interval", "must be one of 60, 120, 300"},
        {"protocol", "sctp", E_UNKNOWN, "protocol", "is not one of tcp, icmp, udp"},
        {"enabled", "yes", E_TYPE, "enabled", "must be true or false"},
        {"testId", "0", E_TYPE, "testId", "must be an id"},
        {"since", "soon", E_TYPE, "since", "must be a time"},
        {"ratio", "nan", E_TYPE, "ratio", "must be a number"},
        {"numbers", "1,x", E_TYPE, "numbers", "must be an integer"},
        {"name", "\xff", E_INVALID, "name", "is not valid UTF-8"},
        {"name.x", "1", E_UNKNOWN, "name", "has no settings inside"},
        {"place.latitude", "100", E_RANGE, "place.latitude", "must be between -90 and 90"},
        {"ports", "80", E_NOT_SUPPORTED, "ports", "list of objects"},
        {"rows", "1,2", E_NOT_SUPPORTED, "rows", "list of lists"},
        {"place", "here", E_NOT_SUPPORTED, "place", "cannot be given as text"},
        {"blob", "!", E_TYPE, "blob", "must be base64url"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = set(x, cases[i].name, cases[i].text);
        if (rc != -cases[i].code || strcmp(x->err.where, cases[i].where) != 0 || !strstr(x->err.text, cases[i].part))
            fail_msg("%s=%s: %s (%s: %s)", cases[i].name, cases[i].text, error_name(rc), x->err.where, x->err.text);
    }
    assert_ptr_equal(field_find_option(&every_table, "num-path-traces"), field_find(&every_table, "numPathTraces"));
    assert_null(field_find_option(&every_table, "numPathTraces"));
}

/* --- CBOR -------------------------------------------------------------------------------------------------------- */

static void cbor_errors_name_the_path(void **state)
{
    struct fixture *x = *state;
#define BYTES(literal) literal, sizeof(literal) - 1
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *where;
    } cases[] = {
        {BYTES(""), E_INVALID, ""},
        {BYTES("\x80"), E_TYPE, ""},
        {BYTES("\xa0\x00"), E_INVALID, ""},
        {BYTES("\xa1\x01\x02"), E_TYPE, ""},
        {BYTES("\xa1\x64name\x01"), E_TYPE, "name"},
        {BYTES("\xa1\x64name"), E_INVALID, "name"},
        {BYTES("\xa2\x63" "big\x01\x63" "big\x02"), E_INVALID, "big"},
        {BYTES("\xa1\x63" "big\x1b\x80\0\0\0\0\0\0\0"), E_RANGE, "big"},
        {BYTES("\xa1\x65ratio\xf9\x7c\x00"), E_RANGE, "ratio"},
        {BYTES("\xa1\x68protocol\x63xyz"), E_UNKNOWN, "protocol"},
        {BYTES("\xa1\x65ports\x82\xa0\xa1\x66number\x60"), E_TYPE, "ports[1].number"},
        {BYTES("\xa1\x65ports\x9a\x00\x01\x86\xa1\xa0"), E_INVALID, "ports"},
        {BYTES("\xa1\x64tags\x81\x61\xff"), E_INVALID, "tags[0]"},
        {BYTES("\xa1\x64tags\x81\x61\x00"), E_INVALID, "tags[0]"},
        {BYTES("\xa1\x64rows\x82\x80\x81\x60"), E_TYPE, "rows[1][0]"},
        {BYTES("\xa1\x64rows\x81\x01"), E_TYPE, "rows[0]"},
        {BYTES("\xa1\x64rows\x81\x9a\x00\x01\x86\xa1\x01"), E_INVALID, "rows[0]"},
        {BYTES("\xa1\x65place\xa1\x64" "city\x01"), E_TYPE, "place.city"},
        {BYTES("\xa1\x64name\x00rest"), E_TYPE, "name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = field_from_cbor(&every_table, cases[i].bytes, cases[i].size, &x->record, &x->arena, &x->err);
        if (rc != -cases[i].code || strcmp(x->err.where, cases[i].where) != 0)
            fail_msg("case %zu: %s (%s: %s)", i, error_name(rc), x->err.where, x->err.text);
    }
}

static void cbor_of_other_versions_and_makers_is_read(void **state)
{
    struct fixture *x = *state;
    /* {_ "later": [_ {"x": 1}], (_ "na" "me"): (_ "a" "bc"), "ratio": 7, "tags": [_ "t"], 'numPathTraces': null,
     * "blob": (_ h'01' h'02'), "na\0me": 1} */
    static const char bytes[] = "\xbf\x65later\x9f\xa1\x61x\x01\xff\x7f\x62na\x62me\xff\x7f\x61"
                                "a\x62"
                                "bc\xff\x65ratio\x07\x64tags\x9f\x61t\xff\x6dnumPathTraces\xf6\x64"
                                "blob\x5f\x41\x01\x41\x02\xff\x65na\0me\x01\xff";
    int rc = field_from_cbor(&every_table, bytes, sizeof bytes - 1, &x->record, &x->arena, &x->err);
    if (rc)
        fail_msg("%s: %s", x->err.where, x->err.text);
    assert_string_equal(x->record.name, "abc");
    assert_true(x->record.ratio == 7);
    assert_int_equal(x->record.tags.count, 1);
    assert_int_equal(x->record.count, FIELD_NO_I32);
    assert_memory_equal(x->record.blob.data, "\1\2", 2);
    assert_int_equal(x->record.protocol, 0);
}

static void mutated_cbor_never_hurts(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(read_json(x, FIELD_CREATE, full), 0);
    struct buf original, again;
    buf_init(&original, 1 << 16);
    buf_init(&again, 1 << 24);
    field_to_cbor(&every_table, &x->record, &original);
    struct rng rng;
    rng_seed(&rng, 7);
    struct arena arena;
    arena_init(&arena, 8u << 20);
    unsigned char *bytes = arena_alloc(&x->arena, original.size);
    unsigned read = 0;
    for (int i = 0; i < 100000; i++) {
        memcpy(bytes, original.data, original.size);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            bytes[rng_below(&rng, original.size)] = (unsigned char)rng_u64(&rng);
        size_t size = rng_below(&rng, 8) ? original.size : rng_below(&rng, original.size);
        struct every record, copy;
        arena_reset(&arena);
        if (field_from_cbor(&every_table, bytes, size, &record, &arena, &x->err))
            continue;
        read++;
        buf_reset(&again);
        field_to_cbor(&every_table, &record, &again);
        assert_int_equal(field_from_cbor(&every_table, again.data, again.size, &copy, &arena, &x->err), 0);
        assert_true(field_equal(&every_table, &record, &copy));
        json_t *json = field_to_json(&every_table, &record, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    assert_true(read > 1000);
    arena_done(&arena);
    buf_done(&original);
    buf_done(&again);
}

/* --- the tables themselves --------------------------------------------------------------------------------------- */

static void unsound_tables_are_found(void **state)
{
    struct fixture *x = *state;
    static const struct {
        struct field field;
        const char *part;
    } cases[] = {
        {FIELD_I32(struct port, number, "label", (), "The port"), "used twice"},
        {FIELD_I32(struct port, number, "number", (), "the port"), "capital"},
        {FIELD_I32(struct port, number, "number", (), "The port."), "stop"},
        {FIELD_I32(struct port, number, "number", (), "The */ port"), "comment"},
        {FIELD_I32(struct port, number, "number", (.min = 2, .max = 1), "The port"), "min is above max"},
        {FIELD_I32(struct port, number, "number", (.min = 2, .max = 3, .preset = "1"), "The port"), "between 2 and 3"},
        {FIELD_I32(struct port, number, "number", (.preset = "x"), "The port"), "must be an integer"},
        {FIELD_I32(struct port, number, "number", (.words = protocols), "The port"), "not a number"},
        {FIELD_STR(struct port, label, "number", (), "The port"), "shares memory"},
        {FIELD_STR(struct every, extra, "number", (), "The port"), "beyond"},
        {FIELD_STR(struct port, label, "number", (.words = protocols), "The port"), "words belong"},
        {FIELD_STR(struct port, label, "number", (.table = &port_table), "The port"), "have a table"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct field fields[] = {FIELD_STR(struct port, label, "label", (), "What it is for"), cases[i].field};
        const struct field_table table = FIELD_TABLE("Port", struct port, fields, NULL, "A port");
        if (field_audit(&table, &x->err) == 0 || !strstr(x->err.text, cases[i].part))
            fail_msg("case %zu: %s: %s", i, x->err.where, x->err.text);
    }
}

static void note_name(const struct field_table *table, void *user)
{
    buf_printf(user, "%s ", table->name);
}

static void walk_visits_each_table_once(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    field_walk(&every_table, note_name, &buf);
    assert_string_equal(buf_str(&buf), "Place Port Every ");
    buf_done(&buf);
}

int main(void)
{
#define CHECK(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CHECK(tables_are_sound),
        CHECK(defaults_are_presets_or_absent),
        CHECK(json_round_trips),
        CHECK(cbor_round_trips),
        CHECK(every_json_error_names_its_path),
        CHECK(words_of_errors_stay_readable),
        CHECK(the_arena_is_a_ceiling),
        CHECK(merge_keeps_what_is_not_given),
        CHECK(null_brings_back_the_preset_or_absence),
        CHECK(flags_are_obeyed),
        CHECK(absent_and_unspeakable_values_are_not_written),
        CHECK(copies_are_deep_and_equal),
        CHECK(text_sets_fields),
        CHECK(text_errors_name_the_setting),
        CHECK(cbor_errors_name_the_path),
        CHECK(cbor_of_other_versions_and_makers_is_read),
        CHECK(mutated_cbor_never_hurts),
        CHECK(unsound_tables_are_found),
        CHECK(walk_visits_each_table_once),
    };
    return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
