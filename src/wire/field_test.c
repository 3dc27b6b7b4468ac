/* Checks of the field tables: one record with a field of every kind, read, written and described. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/rng.h"
#include "base/str.h"
#include "wire/cbor.h"
#include "wire/field.h"
#include "wire/json.h"

/* --- a record of every kind -------------------------------------------------------------------------------------- */

struct port {
    int32_t number;
    const char *label;
};

static const struct field port_fields[] = {
    FIELD_I32(struct port, number, "number", (.min = 1, .max = 65535, .flags = FIELD_REQUIRED), "The port"),
    FIELD_STR(struct port, label, "label", (), "What it is for"),
};
static const struct field_table port_table = FIELD_TABLE("Port", struct port, port_fields, NULL, "A port");

struct place {
    double latitude;
    const char *city;
    bool is_known;
};

static const struct field place_fields[] = {
    FIELD_F64(struct place, latitude, "latitude", (.min = -90, .max = 90, .unit = "degrees"), "How far north"),
    FIELD_STR(struct place, city, "city", (.flags = FIELD_REQUIRED), "Nearest town"),
    FIELD_BOOL(struct place, is_known, "known", (.preset = "true"), "Is it certain"),
};

static int place_valid(const void *record, struct error *err)
{
    const struct place *place = record;
    if (place->is_known || !place->city || strcmp(place->city, "nowhere") != 0)
        return 0;
    return error_set(err, E_INVALID, "city", "nowhere must be known");
}

static const struct field_table place_table = FIELD_TABLE("Place", struct place, place_fields, place_valid, "A place");

static const char *const protocols[] = {"tcp", "icmp", "udp", NULL};
static const char *const intervals[] = {"60", "120", "300", NULL};
static const char *const permissions[] = {"read", "write", NULL};

struct every {
    bool is_on;
    int32_t count;
    int32_t interval;
    int64_t big;
    double ratio;
    const char *name;
    int protocol;
    uint64_t id;
    int64_t since;
    struct place place;
    struct place *spare;
    struct field_list ports;
    struct field_list tags;
    struct field_list rights;
    struct field_list ids;
    struct field_list numbers;
    struct field_bytes blob;
    const char *password;
    const char *hash;
    int64_t created;
    const char *kind;
    const char *extra;
};

static const struct field every_fields[] = {
    FIELD_BOOL(struct every, is_on, "enabled", (.preset = "true"), "Does it run"),
    FIELD_I32(struct every, count, "numPathTraces", (.min = 1, .max = 10, .preset = "3"),
              "Path traces per round, each with its own flow"),
    FIELD_I32(struct every, interval, "interval", (.words = intervals, .unit = "s"), "Seconds between rounds"),
    FIELD_I64(struct every, big, "big", (.min = 0, .max = INFINITY), "Bytes ever seen, \"all\" of them"),
    FIELD_F64(struct every, ratio, "ratio", (.unit = "%", .min = 0, .max = 100), "Share of losses"),
    FIELD_STR(struct every, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 20), "What people call it"),
    FIELD_ENUM(struct every, protocol, "protocol", protocols, (.preset = "tcp"), "Protocol of the probes"),
    FIELD_ID(struct every, id, "testId", (), "The test"),
    FIELD_TIME(struct every, since, "since", (), "When it began"),
    FIELD_RECORD(struct every, place, "place", &place_table, (), "Where it is"),
    FIELD_RECORD_PTR(struct every, spare, "sparePlace", &place_table, (.flags = FIELD_ADVANCED), "Where else"),
    FIELD_LIST(struct every, ports, "ports", &port_table, (.min = 0, .max = 3), "Its ports"),
    FIELD_STRS(struct every, tags, "tags", (.preset = ""), "Labels on it"),
    FIELD_STRS(struct every, rights, "rights", (.words = permissions), "What one may do"),
    FIELD_IDS(struct every, ids, "agentIds", (.expand = "agent"), "Who measures"),
    FIELD_I64S(struct every, numbers, "numbers", (), "Some numbers"),
    FIELD_BYTES(struct every, blob, "blob", (), "Opaque bytes"),
    FIELD_STR(struct every, password, "password", (.flags = FIELD_SECRET), "The way in"),
    FIELD_STR(struct every, hash, "hash", (.flags = FIELD_INTERNAL), "Of the way in"),
    FIELD_TIME(struct every, created, "createdDate", (.flags = FIELD_READONLY), "When it was made"),
    FIELD_STR(struct every, kind, "kind", (.flags = FIELD_IMMUTABLE), "What it will always be"),
    FIELD_STR(struct every, extra, "extra", (.flags = FIELD_IGNORED), "Known and without effect"),
};
static const struct field_table every_table =
    FIELD_TABLE("Every", struct every, every_fields, NULL, "A field of every kind");

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
    "\"tags\":[\"a\",\"b\"],\"rights\":[\"write\"],\"numbers\":[-1,2],\"blob\":\"AAH_\",\"kind\":\"k\",\"extra\":\"e\"}";

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tables_are_sound, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_are_presets_or_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(json_round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(cbor_round_trips, setup, teardown),
    };
    return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
