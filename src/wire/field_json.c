/* Records from and to JSON. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/str.h"
#include "wire/field.h"
#include "wire/field_inner.h"
#include "wire/json.h"

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    struct arena *arena;
    struct error *err;
    unsigned depth;
};

static int read_object(struct reading *r, const struct field_table *table, const json_t *json, enum field_mode mode,
                       void *record);
static int read_list(struct reading *r, const struct field *f, const json_t *json, enum field_mode mode,
                     struct field_list *list);

static const char *type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static int type_error(const struct reading *r, const struct field *f, const char *what, const json_t *json)
{
    if (json_is_real(json) && strstr(what, "integer"))
        return error_set(r->err, E_TYPE, f->name, "must be %s, not a fraction", what);
    return error_set(r->err, E_TYPE, f->name, "must be %s, not %s", what, type_name(json));
}

static int read_integer(const struct reading *r, const struct field *f, const json_t *json, int64_t *ret_value)
{
    if (!json_is_integer(json))
        return type_error(r, f, "an integer", json);
    int64_t value = json_integer_value(json);
    if (value == INT64_MIN || (f->kind == FIELD_KIND_I32 && (value <= INT32_MIN || value > INT32_MAX)))
        return error_set(r->err, E_RANGE, f->name, "the number is too large");
    *ret_value = value;
    return 0;
}

static int read_from_string(const struct reading *r, const struct field *f, const json_t *json, void *value)
{
    if (!json_is_string(json)) {
        const char *what = f->kind == FIELD_KIND_ID     ? "a string of decimal digits"
                           : f->kind == FIELD_KIND_TIME ? "a string like \"2026-11-21T02:30:00Z\""
                                                        : "a string";
        return type_error(r, f, what, json);
    }
    const char *text = json_string_value(json);
    if (f->kind == FIELD_KIND_ID) {
        uint64_t id;
        if (str_to_u64(text, UINT64_MAX, &id) || id == 0)
            return error_set(r->err, E_INVALID, f->name, "must be an id, a string of decimal digits");
        *(uint64_t *)value = id;
        return 0;
    }
    if (f->kind == FIELD_KIND_TIME) {
        if (clock_parse_iso(text, value))
            return error_set(r->err, E_INVALID, f->name, "must be a time like 2026-11-21T02:30:00Z");
        return field_check_value(f, value, r->err); /* an offset can lead out of the range */
    }
    if (f->kind == FIELD_KIND_ENUM)
        return field_read_enum(f, text, json_string_length(json), value, r->err);
    return field_read_string(f, text, json_string_length(json), r->arena, value, r->err);
}

static int read_bytes(const struct reading *r, const struct field *f, const json_t *json, struct field_bytes *bytes)
{
    if (!json_is_string(json))
        return type_error(r, f, "a base64url string", json);
    size_t room = json_string_length(json) / 4 * 3 + 3;
    void *data = arena_alloc(r->arena, room);
    if (!data)
        return field_out_of_memory(f, r->err);
    int size = str_unbase64url(json_string_value(json), data, room);
    if (size < 0)
        return error_set(r->err, E_INVALID, f->name, "is not base64url");
    *bytes = (struct field_bytes){.data = data, .size = (size_t)size};
    return 0;
}

static int read_item(struct reading *r, const struct field *f, const json_t *json, void *item)
{
    static const struct field id = {.kind = FIELD_KIND_ID}, number = {.kind = FIELD_KIND_I64},
                              string = {.kind = FIELD_KIND_STR};
    if (f->kind == FIELD_KIND_LIST) {
        field_defaults(f->table, item);
        return read_object(r, f->table, json, FIELD_CREATE, item);
    }
    if (f->kind == FIELD_KIND_I64S)
        return read_integer(r, &number, json, item);
    if (f->kind == FIELD_KIND_I64ROWS)
        return read_list(r, &field_row, json, FIELD_CREATE, item);
    return read_from_string(r, f->kind == FIELD_KIND_IDS ? &id : &string, json, item);
}

static int read_list(struct reading *r, const struct field *f, const json_t *json, enum field_mode mode,
                     struct field_list *list)
{
    if (!json_is_array(json))
        return type_error(r, f, "an array", json);
    size_t count = json_array_size(json), item_size = field_item_size(f);
    if (count > LIMIT_LIST_ITEMS)
        return error_set(r->err, E_LIMIT, f->name, "has more than %u items", LIMIT_LIST_ITEMS);
    char *items = arena_alloc_array(r->arena, count, item_size);
    if (!items)
        return field_out_of_memory(f, r->err);
    for (size_t i = 0; i < count; i++) {
        int rc;
        if (f->kind == FIELD_KIND_LIST && mode == FIELD_TRUST) {
            field_defaults(f->table, items + i * item_size);
            rc = read_object(r, f->table, json_array_get(json, i), mode, items + i * item_size);
        } else {
            rc = read_item(r, f, json_array_get(json, i), items + i * item_size);
        }
        if (rc) {
            rc = field_error_at_index(r->err, i, rc);
            return f == &field_row ? rc : field_error_in(r->err, f->name, rc);
        }
    }
    *list = (struct field_list){.items = items, .count = count};
    return 0;
}

/* A record that was absent is created; one that is there is copied before it is changed, as it may be shared. */
static int read_record_ptr(struct reading *r, const struct field *f, const json_t *json, enum field_mode mode,
                           void **value)
{
    void *record = arena_alloc(r->arena, f->table->size);
    if (!record)
        return field_out_of_memory(f, r->err);
    if (mode == FIELD_MERGE && *value) {
        memcpy(record, *value, f->table->size);
    } else {
        field_defaults(f->table, record);
        mode = mode == FIELD_MERGE ? FIELD_CREATE : mode;
    }
    int rc = read_object(r, f->table, json, mode, record);
    if (rc)
        return field_error_in(r->err, f->name, rc);
    *value = record;
    return 0;
}

static int read_value(struct reading *r, const struct field *f, const json_t *json, enum field_mode mode, void *value)
{
    int64_t number;
    int rc;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        if (!json_is_boolean(json))
            return type_error(r, f, "true or false", json);
        *(bool *)value = json_is_true(json);
        return 0;
    case FIELD_KIND_I32:
        rc = read_integer(r, f, json, &number);
        if (rc == 0)
            *(int32_t *)value = (int32_t)number;
        return rc;
    case FIELD_KIND_I64:
        return read_integer(r, f, json, value);
    case FIELD_KIND_F64:
        if (!json_is_number(json))
            return type_error(r, f, "a number", json);
        *(double *)value = json_number_value(json);
        return 0;
    case FIELD_KIND_STR:
    case FIELD_KIND_ENUM:
    case FIELD_KIND_ID:
    case FIELD_KIND_TIME:
        return read_from_string(r, f, json, value);
    case FIELD_KIND_RECORD:
        rc = read_object(r, f->table, json, mode, value);
        return rc ? field_error_in(r->err, f->name, rc) : 0;
    case FIELD_KIND_RECORD_PTR:
        return read_record_ptr(r, f, json, mode, value);
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return read_list(r, f, json, mode, value);
    case FIELD_KIND_BYTES:
        return read_bytes(r, f, json, value);
    }
    assert(false && "field kind");
    return 0;
}

static int read_immutable(struct reading *r, const struct field *f, const json_t *json, void *value)
{
    size_t size = field_size(f);
    void *old = arena_alloc(r->arena, size);
    if (!old)
        return field_out_of_memory(f, r->err);
    memcpy(old, value, size);
    int rc = read_value(r, f, json, FIELD_MERGE, value);
    if (rc == 0 && !field_value_equal(f, old, value))
        rc = error_set(r->err, E_INVALID, f->name, "cannot be changed after creation");
    return rc;
}

static int read_field(struct reading *r, const struct field *f, const json_t *json, enum field_mode mode, void *value)
{
    if (json_is_null(json)) {
        if (mode == FIELD_MERGE && (f->flags & FIELD_IMMUTABLE) && !field_is_absent(f, value))
            return error_set(r->err, E_INVALID, f->name, "cannot be changed after creation");
        field_set_preset(f, value);
        return 0;
    }
    if (mode == FIELD_MERGE && (f->flags & FIELD_IMMUTABLE))
        return read_immutable(r, f, json, value);
    return read_value(r, f, json, mode, value);
}

static int check_given(const struct reading *r, const struct field_table *table, const json_t *json)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (!(f->flags & FIELD_REQUIRED) || (f->flags & (FIELD_READONLY | FIELD_INTERNAL)))
            continue;
        const json_t *value = json_object_get(json, f->name);
        if (!value || json_is_null(value))
            return error_set(r->err, E_REQUIRED, f->name, "is required");
    }
    return 0;
}

static int read_object(struct reading *r, const struct field_table *table, const json_t *json, enum field_mode mode,
                       void *record)
{
    if (!json_is_object(json))
        return error_set(r->err, E_TYPE, NULL, "must be an object, not %s", type_name(json));
    if (++r->depth > LIMIT_JSON_DEPTH)
        return error_set(r->err, E_LIMIT, NULL, "nested deeper than %u levels", LIMIT_JSON_DEPTH);
    const char *name;
    json_t *value;
    size_t hint = 0;
    /* The iterator wants a pointer to non-const but changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        const struct field *f = field_find_near(table, name, strlen(name), &hint);
        if (!f || (f->flags & FIELD_INTERNAL)) {
            char given[FIELD_SAFE_BYTES];
            if (mode == FIELD_TRUST)
                continue;
            return error_set(r->err, E_UNKNOWN, field_safe(name, strlen(name), given), "is not a field of %s",
                             table->name);
        }
        if ((f->flags & FIELD_READONLY) && mode != FIELD_TRUST)
            continue;
        int rc = read_field(r, f, value, mode, field_at(f, record));
        if (rc)
            return rc;
    }
    r->depth--;
    return mode == FIELD_CREATE ? check_given(r, table, json) : 0;
}

int field_from_json(const struct field_table *table, const json_t *json, enum field_mode mode, void *record,
                    struct arena *arena, struct error *err)
{
    struct reading r = {.arena = arena, .err = err};
    int rc = read_object(&r, table, json, mode, record);
    if (rc || mode == FIELD_TRUST)
        return rc;
    return field_check(table, record, err);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static json_t *string_to_json(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    /* Names from the network need not be UTF-8; an answer must be. */
    struct buf clean;
    buf_init(&clean, LIMIT_RESPONSE_BYTES);
    for (const char *p = text; *p; p++)
        buf_putc(&clean, (unsigned char)*p < 0x80 ? *p : '?');
    json = json_string(buf_str(&clean));
    buf_done(&clean);
    return json;
}

static json_t *id_to_json(uint64_t id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    return json_string(text);
}

static json_t *f64_to_json(double value)
{
    if (value == floor(value) && fabs(value) < 9007199254740992.0)
        return json_integer((json_int_t)value);
    return json_real(value);
}

static json_t *bytes_to_json(const struct field_bytes *bytes)
{
    struct buf text;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    char *room = buf_reserve(&text, STR_BASE64_BYTES(bytes->size));
    json_t *json = room ? json_stringn(room, str_base64url(bytes->data, bytes->size, room)) : NULL;
    buf_done(&text);
    return json;
}

static json_t *list_to_json(const struct field *f, const struct field_list *list, const char *const *expand)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_t *item;
        if (f->kind == FIELD_KIND_LIST)
            item = field_to_json(f->table, (const char *)list->items + i * f->table->size, expand);
        else if (f->kind == FIELD_KIND_STRS)
            item = string_to_json(((const char *const *)list->items)[i]);
        else if (f->kind == FIELD_KIND_IDS)
            item = id_to_json(((const uint64_t *)list->items)[i]);
        else if (f->kind == FIELD_KIND_I64ROWS)
            item = list_to_json(&field_row, &((const struct field_list *)list->items)[i], expand);
        else
            item = json_integer(((const int64_t *)list->items)[i]);
        json_array_append_new(array, item);
    }
    return array;
}

static json_t *value_to_json(const struct field *f, const void *value, const char *const *expand)
{
    char iso[CLOCK_ISO_BYTES];
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        return json_boolean(*(const bool *)value);
    case FIELD_KIND_I32:
        return json_integer(*(const int32_t *)value);
    case FIELD_KIND_I64:
        return json_integer(*(const int64_t *)value);
    case FIELD_KIND_F64:
        return f64_to_json(*(const double *)value);
    case FIELD_KIND_STR:
        return string_to_json(*(const char *const *)value);
    case FIELD_KIND_ENUM:
        return json_string(f->words[*(const int *)value]);
    case FIELD_KIND_ID:
        return id_to_json(*(const uint64_t *)value);
    case FIELD_KIND_TIME:
        return json_string(clock_iso(*(const int64_t *)value, iso, sizeof iso));
    case FIELD_KIND_RECORD:
        return field_to_json(f->table, value, expand);
    case FIELD_KIND_RECORD_PTR:
        return field_to_json(f->table, *(void *const *)value, expand);
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return list_to_json(f, value, expand);
    case FIELD_KIND_BYTES:
        return bytes_to_json(value);
    }
    assert(false && "field kind");
    return NULL;
}

static bool is_asked(const struct field *f, const char *const *expand)
{
    return !f->expand || (expand && str_index(f->expand, expand) >= 0);
}

json_t *field_to_json(const struct field_table *table, const void *record, const char *const *expand)
{
    json_t *object = json_object();
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        const void *value = field_at_const(f, record);
        if ((f->flags & (FIELD_SECRET | FIELD_INTERNAL)) || field_is_absent(f, value) || !is_asked(f, expand))
            continue;
        int64_t time = f->kind == FIELD_KIND_TIME ? *(const int64_t *)value : 0;
        if (time < FIELD_TIME_MIN || time > FIELD_TIME_MAX)
            continue; /* RFC 3339 cannot spell it */
        json_object_set_new(object, f->name, value_to_json(f, value, expand));
    }
    return object;
}
