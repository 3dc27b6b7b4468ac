#include "fuzz/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limit.h"
#include "wire/json.h"

size_t fuzz_select(uint8_t byte, size_t count)
{
    return (size_t)(byte - '0') % count;
}

char fuzz_selector(size_t index)
{
    assert(index < 64);
    return (char)('0' + index);
}

/* --- what must hold ---------------------------------------------------------------------------------------------- */

/* What we write as JSON we must be able to read; presets, secrets and internals make the record another one. */
static void check_json(const struct field_table *table, const void *record, struct arena *arena)
{
    struct buf buf;
    buf_init(&buf, LIMIT_RESPONSE_BYTES);
    json_t *json = field_to_json(table, record, NULL);
    assert(json);
    json_dump_to_buf(json, 0, &buf);
    json_decref(json);
    int rc = json_parse_strict(buf.data, buf.size, &json, NULL);
    assert(rc == 0 || rc == -E_LIMIT);
    void *copy = arena_alloc(arena, table->size);
    if (rc == 0 && copy) {
        field_defaults(table, copy);
        int rc_read = field_from_json(table, json, FIELD_TRUST, copy, arena, NULL);
        assert(rc_read == 0 || rc_read == -E_LIMIT);
    }
    if (rc == 0)
        json_decref(json);
    buf_done(&buf);
}

static void check_cbor(const struct field_table *table, const void *record, struct arena *arena)
{
    struct buf buf;
    buf_init(&buf, LIMIT_RESPONSE_BYTES);
    field_to_cbor(table, record, &buf);
    assert(!buf.is_overflowed);
    void *copy = arena_alloc(arena, table->size);
    int rc = copy ? field_from_cbor(table, buf.data, buf.size, copy, arena, NULL) : -E_LIMIT;
    assert(rc == 0 || rc == -E_LIMIT);
    assert(rc || field_equal(table, record, copy));
    buf_done(&buf);
}

static void check_record(const struct field_table *table, const void *record)
{
    struct arena arena;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    struct error err = {0};
    char text[700];
    if (field_check(table, record, &err))
        assert(err.code && *error_format(&err, text, sizeof text));
    check_cbor(table, record, &arena);
    check_json(table, record, &arena);
    void *copy = arena_alloc(&arena, table->size);
    if (copy && field_copy(table, record, copy, &arena) == 0)
        assert(field_equal(table, record, copy));
    arena_done(&arena);
}

void fuzz_cbor(const struct field_table *table, const void *bytes, size_t size)
{
    struct arena arena;
    arena_init(&arena, LIMIT_ROUND_ARENA);
    struct error err = {0};
    void *record = arena_alloc(&arena, table->size);
    int rc = field_from_cbor(table, bytes, size, record, &arena, &err);
    assert(rc == 0 || (err.code == -rc && *err.text));
    if (rc == 0)
        check_record(table, record);
    arena_done(&arena);
}

void fuzz_json(const struct field_table *table, enum field_mode mode, const void *bytes, size_t size)
{
    struct error err = {0};
    json_t *json;
    int rc = json_parse_strict(bytes, size, &json, &err);
    assert(rc == 0 || (err.code == -rc && *err.text));
    if (rc)
        return;
    struct arena arena;
    arena_init(&arena, LIMIT_ROUND_ARENA);
    void *record = arena_alloc(&arena, table->size);
    field_defaults(table, record);
    rc = field_from_json(table, json, mode, record, &arena, &err);
    assert(rc == 0 || (err.code == -rc && *err.text));
    if (rc == 0) {
        assert(mode == FIELD_TRUST || field_check(table, record, NULL) == 0);
        check_record(table, record);
    }
    json_decref(json);
    arena_done(&arena);
}

/* --- seeds ------------------------------------------------------------------------------------------------------- */

static double number_of(const struct field *f, unsigned variant)
{
    bool is_bounded = f->min != 0 || f->max != 0;
    double low = is_bounded && isfinite(f->min) ? f->min : 0;
    double high = is_bounded && isfinite(f->max) ? f->max : low + 100;
    return variant % 3 == 0 ? low : variant % 3 == 1 ? high : floor((low + high) / 2);
}

static size_t length_of(const struct field *f, unsigned variant)
{
    bool is_bounded = f->min != 0 || f->max != 0;
    size_t low = is_bounded && isfinite(f->min) ? (size_t)f->min : 0;
    size_t high = is_bounded && isfinite(f->max) ? (size_t)f->max : low + 8;
    size_t length = low + variant % 4;
    return length < high ? length : high;
}

static size_t count_words(const struct field *f)
{
    size_t count = 0;
    while (f->words[count])
        count++;
    return count;
}

static const char *string_of(size_t length, unsigned variant, struct arena *arena)
{
    char *text = arena_alloc(arena, length + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)("host-7.example"[(i + variant) % 14]);
    return text;
}

static void fill_list(const struct field *f, struct field_list *list, unsigned variant, struct arena *arena)
{
    static const struct field row = {.kind = FIELD_KIND_I64S};
    size_t count = length_of(f, variant);
    size_t item_size = f->kind == FIELD_KIND_LIST      ? f->table->size
                       : f->kind == FIELD_KIND_I64ROWS ? sizeof(struct field_list)
                                                       : sizeof(int64_t);
    char *items = arena_alloc_array(arena, count, item_size);
    assert(items);
    for (size_t i = 0; i < count; i++) {
        void *item = items + i * item_size;
        unsigned one = variant + (unsigned)i;
        if (f->kind == FIELD_KIND_LIST)
            fuzz_fill(f->table, item, one, arena);
        else if (f->kind == FIELD_KIND_STRS)
            *(const char **)item = f->words ? f->words[one % count_words(f)] : string_of(1 + one % 9, one, arena);
        else if (f->kind == FIELD_KIND_I64ROWS)
            fill_list(&row, item, one, arena);
        else
            *(uint64_t *)item = 1 + one * UINT64_C(1000003);
    }
    *list = (struct field_list){.items = items, .count = count};
}

static void fill_value(const struct field *f, void *value, unsigned variant, struct arena *arena)
{
    char number[16];
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        *(bool *)value = variant & 1;
        return;
    case FIELD_KIND_I32:
        (void)snprintf(number, sizeof number, "%s", f->words ? f->words[variant % count_words(f)] : "0");
        *(int32_t *)value = f->words ? (int32_t)strtol(number, NULL, 10) : (int32_t)number_of(f, variant);
        return;
    case FIELD_KIND_I64:
        *(int64_t *)value = (int64_t)number_of(f, variant);
        return;
    case FIELD_KIND_TIME:
        *(int64_t *)value = 1790000000 + variant;
        return;
    case FIELD_KIND_F64:
        *(double *)value = number_of(f, variant) / (variant % 2 ? 1 : 1.25);
        return;
    case FIELD_KIND_STR:
        *(const char **)value = string_of(length_of(f, variant), variant, arena);
        return;
    case FIELD_KIND_ENUM:
        *(int *)value = (int)(variant % count_words(f));
        return;
    case FIELD_KIND_ID:
        *(uint64_t *)value = 1 + variant;
        return;
    case FIELD_KIND_RECORD:
        fuzz_fill(f->table, value, variant, arena);
        return;
    case FIELD_KIND_RECORD_PTR:
        *(void **)value = arena_alloc(arena, f->table->size);
        fuzz_fill(f->table, *(void **)value, variant, arena);
        return;
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        fill_list(f, value, variant, arena);
        return;
    case FIELD_KIND_BYTES:
        *(struct field_bytes *)value = (struct field_bytes){.data = "\xa1\x61x\xf5", .size = 4};
        return;
    }
}

void fuzz_fill(const struct field_table *table, void *record, unsigned variant, struct arena *arena)
{
    field_defaults(table, record);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        /* Each variant leaves other fields out, never the required ones. */
        if ((f->flags & FIELD_REQUIRED) || (variant + i) % 5 != 4)
            fill_value(f, (char *)record + f->offset, variant + (unsigned)i, arena);
    }
}
