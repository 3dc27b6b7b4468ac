/* Records from and to CBOR. */
#include <assert.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "wire/cbor.h"
#include "wire/field.h"
#include "wire/field_inner.h"

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* Absent where the default is not: must be said, or reading would bring the default back. */
static bool is_null(const struct field *f, const void *value)
{
    return f->preset && field_is_absent(f, value);
}

static void put_list(const struct field *f, const struct field_list *list, struct buf *buf)
{
    cbor_put_array(buf, list->count);
    for (size_t i = 0; i < list->count; i++) {
        if (f->kind == FIELD_KIND_LIST) {
            field_to_cbor(f->table, (const char *)list->items + i * f->table->size, buf);
        } else if (f->kind == FIELD_KIND_STRS) {
            const char *text = ((const char *const *)list->items)[i];
            cbor_put_text(buf, text, strlen(text));
        } else if (f->kind == FIELD_KIND_IDS) {
            cbor_put_u64(buf, ((const uint64_t *)list->items)[i]);
        } else if (f->kind == FIELD_KIND_I64ROWS) {
            put_list(&field_row, &((const struct field_list *)list->items)[i], buf);
        } else {
            cbor_put_i64(buf, ((const int64_t *)list->items)[i]);
        }
    }
}

static void put_value(const struct field *f, const void *value, struct buf *buf)
{
    const char *text;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        cbor_put_bool(buf, *(const bool *)value);
        return;
    case FIELD_KIND_I32:
        cbor_put_i64(buf, *(const int32_t *)value);
        return;
    case FIELD_KIND_I64:
    case FIELD_KIND_TIME:
        cbor_put_i64(buf, *(const int64_t *)value);
        return;
    case FIELD_KIND_F64:
        cbor_put_f64(buf, *(const double *)value);
        return;
    case FIELD_KIND_STR:
        text = *(const char *const *)value;
        cbor_put_text(buf, text, strlen(text));
        return;
    case FIELD_KIND_ENUM:
        text = f->words[*(const int *)value];
        cbor_put_text(buf, text, strlen(text));
        return;
    case FIELD_KIND_ID:
        cbor_put_u64(buf, *(const uint64_t *)value);
        return;
    case FIELD_KIND_RECORD:
        field_to_cbor(f->table, value, buf);
        return;
    case FIELD_KIND_RECORD_PTR:
        field_to_cbor(f->table, *(void *const *)value, buf);
        return;
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        put_list(f, value, buf);
        return;
    case FIELD_KIND_BYTES:
        cbor_put_bytes(buf, ((const struct field_bytes *)value)->data, ((const struct field_bytes *)value)->size);
        return;
    }
    assert(false && "field kind");
}

void field_to_cbor(const struct field_table *table, const void *record, struct buf *buf)
{
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const void *value = field_at_const(&table->fields[i], record);
        count += is_null(&table->fields[i], value) || !field_is_absent(&table->fields[i], value);
    }
    cbor_put_map(buf, count);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        const void *value = field_at_const(f, record);
        if (field_is_absent(f, value) && !is_null(f, value))
            continue;
        cbor_put_text(buf, f->name, strlen(f->name));
        if (is_null(f, value))
            cbor_put_null(buf);
        else
            put_value(f, value, buf);
    }
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    struct cbor_reader cbor;
    struct arena *arena;
    struct error *err;
};

static int read_record(struct reading *r, const struct field_table *table, struct cbor_item *item, void *record);
static int read_fields(struct reading *r, const struct field_table *table, struct cbor_item *item, void *record);
static int read_list(struct reading *r, const struct field *f, struct cbor_item *item, struct field_list *ret_list);

static int malformed(const struct reading *r, const struct field *f, int rc)
{
    return rc == -E_LIMIT ? error_set(r->err, E_LIMIT, f ? f->name : NULL, "nested or long beyond what is allowed")
                          : error_set(r->err, E_INVALID, f ? f->name : NULL, "malformed CBOR");
}

static int type_error(const struct reading *r, const struct field *f, const char *what)
{
    return error_set(r->err, E_TYPE, f->name, "must be %s", what);
}

static int read_integer(const struct reading *r, const struct field *f, const struct cbor_item *item, int64_t min,
                        int64_t max, int64_t *ret_value)
{
    if (item->type != CBOR_UINT && item->type != CBOR_NEGATIVE)
        return type_error(r, f, "an integer");
    int64_t value = item->type == CBOR_UINT ? (int64_t)item->u64 : -1 - (int64_t)item->u64;
    if (item->u64 > INT64_MAX || value < min || value > max)
        return error_set(r->err, E_RANGE, f->name, "the number is too large");
    *ret_value = value;
    return 0;
}

static int read_f64(const struct reading *r, const struct field *f, const struct cbor_item *item, double *ret_value)
{
    double value;
    if (item->type == CBOR_UINT)
        value = (double)item->u64;
    else if (item->type == CBOR_NEGATIVE)
        value = -1.0 - (double)item->u64;
    else if (item->type == CBOR_F64)
        value = item->f64;
    else
        return type_error(r, f, "a number");
    if (!isfinite(value))
        return error_set(r->err, E_RANGE, f->name, "must be a finite number");
    *ret_value = value;
    return 0;
}

static int read_id(const struct reading *r, const struct field *f, const struct cbor_item *item, uint64_t *ret_id)
{
    if (item->type != CBOR_UINT)
        return type_error(r, f, "an id");
    *ret_id = item->u64;
    return 0;
}

/* A string of either kind as one piece: the input's own bytes, or chunks joined in buf. */
static int join_string(struct reading *r, const struct field *f, const struct cbor_item *item, struct buf *buf,
                       const char **ret_text, size_t *ret_size)
{
    *ret_text = (const char *)item->span;
    *ret_size = item->size;
    if (!item->is_indefinite)
        return 0;
    int rc = cbor_read_string(&r->cbor, item, buf);
    if (rc)
        return malformed(r, f, rc);
    *ret_text = buf_str(buf);
    *ret_size = buf->size;
    return 0;
}

static int read_text(struct reading *r, const struct field *f, const struct cbor_item *item, void *value)
{
    if (item->type != CBOR_TEXT)
        return type_error(r, f, "text");
    struct buf joined;
    buf_init(&joined, LIMIT_STRING_BYTES);
    const char *text = NULL;
    size_t size = 0;
    int rc = join_string(r, f, item, &joined, &text, &size);
    if (rc == 0)
        rc = f->kind == FIELD_KIND_ENUM ? field_read_enum(f, text, size, value, r->err)
                                        : field_read_string(f, text, size, r->arena, value, r->err);
    buf_done(&joined);
    return rc;
}

static int read_bytes(struct reading *r, const struct field *f, const struct cbor_item *item,
                      struct field_bytes *ret_bytes)
{
    if (item->type != CBOR_BYTES)
        return type_error(r, f, "a byte string");
    struct buf joined;
    buf_init(&joined, LIMIT_REQUEST_BYTES);
    const char *data = NULL;
    size_t size = 0;
    int rc = join_string(r, f, item, &joined, &data, &size);
    if (rc == 0) {
        void *copy = arena_alloc(r->arena, size);
        if (copy && size)
            memcpy(copy, data, size);
        if (copy)
            *ret_bytes = (struct field_bytes){.data = copy, .size = size};
        else
            rc = field_out_of_memory(f, r->err);
    }
    buf_done(&joined);
    return rc;
}

static int read_item(struct reading *r, const struct field *f, struct cbor_item *item, void *value)
{
    static const struct field id = {.kind = FIELD_KIND_ID}, number = {.kind = FIELD_KIND_I64},
                              string = {.kind = FIELD_KIND_STR};
    if (f->kind == FIELD_KIND_LIST)
        return read_fields(r, f->table, item, value);
    if (f->kind == FIELD_KIND_STRS)
        return read_text(r, &string, item, value);
    if (f->kind == FIELD_KIND_IDS)
        return read_id(r, &id, item, value);
    if (f->kind == FIELD_KIND_I64ROWS)
        return read_list(r, &field_row, item, value);
    return read_integer(r, &number, item, INT64_MIN + 1, INT64_MAX, value);
}

static int read_list(struct reading *r, const struct field *f, struct cbor_item *item, struct field_list *ret_list)
{
    if (item->type != CBOR_ARRAY)
        return type_error(r, f, "an array");
    size_t count;
    int rc = cbor_count(&r->cbor, item, &count);
    if (rc)
        return malformed(r, f, rc);
    if (count > LIMIT_LIST_ITEMS)
        return error_set(r->err, E_LIMIT, f->name, "has more than %u items", LIMIT_LIST_ITEMS);
    size_t item_size = field_item_size(f);
    char *items = arena_alloc_array(r->arena, count, item_size);
    if (!items)
        return field_out_of_memory(f, r->err);
    if (f->kind == FIELD_KIND_LIST && count > 0)
        field_defaults(f->table, items);
    for (size_t i = 1; f->kind == FIELD_KIND_LIST && i < count; i++)
        memcpy(items + i * item_size, items, item_size);
    for (size_t i = 0; cbor_more(&r->cbor, item); i++) {
        struct cbor_item one;
        rc = cbor_read(&r->cbor, &one);
        rc = rc ? malformed(r, NULL, rc) : read_item(r, f, &one, items + i * item_size);
        if (rc) {
            rc = field_error_at_index(r->err, i, rc);
            return f == &field_row ? rc : field_error_in(r->err, f->name, rc);
        }
    }
    *ret_list = (struct field_list){.items = items, .count = count};
    return 0;
}

static int read_record_ptr(struct reading *r, const struct field *f, struct cbor_item *item, void **ret_record)
{
    void *record = arena_alloc(r->arena, f->table->size);
    if (!record)
        return field_out_of_memory(f, r->err);
    int rc = read_record(r, f->table, item, record);
    if (rc)
        return field_error_in(r->err, f->name, rc);
    *ret_record = record;
    return 0;
}

static int read_value(struct reading *r, const struct field *f, struct cbor_item *item, void *value)
{
    int64_t number;
    int rc;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        if (item->type != CBOR_BOOL)
            return type_error(r, f, "a boolean");
        *(bool *)value = item->b;
        return 0;
    case FIELD_KIND_I32:
        rc = read_integer(r, f, item, INT32_MIN + 1, INT32_MAX, &number);
        if (rc == 0)
            *(int32_t *)value = (int32_t)number;
        return rc;
    case FIELD_KIND_I64:
        return read_integer(r, f, item, INT64_MIN + 1, INT64_MAX, value);
    case FIELD_KIND_TIME:
        return read_integer(r, f, item, FIELD_TIME_MIN, FIELD_TIME_MAX, value);
    case FIELD_KIND_F64:
        return read_f64(r, f, item, value);
    case FIELD_KIND_STR:
    case FIELD_KIND_ENUM:
        return read_text(r, f, item, value);
    case FIELD_KIND_ID:
        return read_id(r, f, item, value);
    case FIELD_KIND_RECORD:
        rc = read_fields(r, f->table, item, value); /* the outer record's defaults are also its own */
        return rc ? field_error_in(r->err, f->name, rc) : 0;
    case FIELD_KIND_RECORD_PTR:
        return read_record_ptr(r, f, item, value);
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return read_list(r, f, item, value);
    case FIELD_KIND_BYTES:
        return read_bytes(r, f, item, value);
    }
    assert(false && "field kind");
    return 0;
}

/* Names are never long: one that comes in chunks is joined here. */
static int read_name(struct reading *r, char room[static 128], const char **ret_name, size_t *ret_size)
{
    struct cbor_item key;
    int rc = cbor_read(&r->cbor, &key);
    if (rc)
        return malformed(r, NULL, rc);
    if (key.type != CBOR_TEXT)
        return error_set(r->err, E_TYPE, NULL, "names must be text");
    *ret_name = (const char *)key.span;
    *ret_size = key.size;
    if (!key.is_indefinite)
        return 0;
    struct buf joined;
    buf_init(&joined, 127);
    rc = cbor_read_string(&r->cbor, &key, &joined);
    if (rc == 0) {
        memcpy(room, buf_str(&joined), joined.size);
        *ret_name = room;
        *ret_size = joined.size;
    }
    buf_done(&joined);
    return rc ? malformed(r, NULL, rc) : 0;
}

static int read_pair(struct reading *r, const struct field_table *table, size_t *hint, uint64_t *seen, void *record)
{
    char room[128];
    const char *name = NULL;
    size_t size = 0;
    int rc = read_name(r, room, &name, &size);
    if (rc)
        return rc;
    const struct field *f = field_find_near(table, name, size, hint);
    struct cbor_item item;
    rc = cbor_read(&r->cbor, &item);
    if (rc)
        return malformed(r, f, rc);
    if (!f) {
        rc = cbor_skip(&r->cbor, &item);
        return rc ? malformed(r, f, rc) : 0;
    }
    size_t index = (size_t)(f - table->fields);
    if (seen[index / 64] >> (index % 64) & 1)
        return error_set(r->err, E_INVALID, f->name, "is given twice");
    seen[index / 64] |= UINT64_C(1) << (index % 64);
    void *value = field_at(f, record);
    if (item.type == CBOR_NULL) {
        field_set_absent(f, value);
        return 0;
    }
    return read_value(r, f, &item, value);
}

/* The record has its defaults. */
static int read_fields(struct reading *r, const struct field_table *table, struct cbor_item *item, void *record)
{
    if (item->type != CBOR_MAP)
        return error_set(r->err, E_TYPE, NULL, "must be a map");
    assert(table->count <= FIELD_COUNT_MAX);
    uint64_t seen[FIELD_COUNT_MAX / 64] = {0};
    size_t hint = 0;
    while (cbor_more(&r->cbor, item)) {
        int rc = read_pair(r, table, &hint, seen, record);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_record(struct reading *r, const struct field_table *table, struct cbor_item *item, void *record)
{
    field_defaults(table, record);
    return read_fields(r, table, item, record);
}

int field_from_cbor(const struct field_table *table, const void *bytes, size_t size, void *record, struct arena *arena,
                    struct error *err)
{
    struct reading r = {.arena = arena, .err = err};
    cbor_reader_init(&r.cbor, bytes, size);
    struct cbor_item item;
    int rc = cbor_read(&r.cbor, &item);
    if (rc)
        return malformed(&r, NULL, rc);
    rc = read_record(&r, table, &item, record);
    if (rc == 0 && r.cbor.at != r.cbor.end)
        rc = error_set(err, E_INVALID, NULL, "bytes follow the record");
    return rc;
}
