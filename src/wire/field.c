#include "wire/field.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "wire/field_inner.h"
#include "wire/json.h"

size_t field_size(const struct field *f)
{
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        return sizeof(bool);
    case FIELD_KIND_I32:
        return sizeof(int32_t);
    case FIELD_KIND_I64:
    case FIELD_KIND_TIME:
        return sizeof(int64_t);
    case FIELD_KIND_F64:
        return sizeof(double);
    case FIELD_KIND_STR:
        return sizeof(const char *);
    case FIELD_KIND_ENUM:
        return sizeof(int);
    case FIELD_KIND_ID:
        return sizeof(uint64_t);
    case FIELD_KIND_RECORD:
        return f->table->size;
    case FIELD_KIND_RECORD_PTR:
        return sizeof(void *);
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return sizeof(struct field_list);
    case FIELD_KIND_BYTES:
        return sizeof(struct field_bytes);
    }
    assert(false && "field kind");
    return 0;
}

bool field_is_list(const struct field *f)
{
    return f->kind == FIELD_KIND_LIST || f->kind == FIELD_KIND_STRS || f->kind == FIELD_KIND_IDS ||
           f->kind == FIELD_KIND_I64S || f->kind == FIELD_KIND_I64ROWS;
}

const struct field field_row = {.kind = FIELD_KIND_I64S};

size_t field_item_size(const struct field *f)
{
    assert(field_is_list(f));
    if (f->kind == FIELD_KIND_LIST)
        return f->table->size;
    if (f->kind == FIELD_KIND_I64ROWS)
        return sizeof(struct field_list);
    return f->kind == FIELD_KIND_STRS ? sizeof(const char *) : sizeof(int64_t);
}

bool field_is_absent(const struct field *f, const void *value)
{
    switch (f->kind) {
    case FIELD_KIND_BOOL:
    case FIELD_KIND_RECORD:
        return false;
    case FIELD_KIND_I32:
        return *(const int32_t *)value == FIELD_NO_I32;
    case FIELD_KIND_I64:
        return *(const int64_t *)value == FIELD_NO_I64;
    case FIELD_KIND_TIME:
        return *(const int64_t *)value == 0;
    case FIELD_KIND_F64:
        return !isfinite(*(const double *)value);
    case FIELD_KIND_STR:
        return *(const char *const *)value == NULL;
    case FIELD_KIND_ENUM:
        return *(const int *)value < 0;
    case FIELD_KIND_ID:
        return *(const uint64_t *)value == 0;
    case FIELD_KIND_RECORD_PTR:
        return *(void *const *)value == NULL;
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return ((const struct field_list *)value)->items == NULL;
    case FIELD_KIND_BYTES:
        return ((const struct field_bytes *)value)->data == NULL;
    }
    assert(false && "field kind");
    return true;
}

void field_set_absent(const struct field *f, void *value)
{
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        *(bool *)value = false;
        return;
    case FIELD_KIND_RECORD:
        for (size_t i = 0; i < f->table->count; i++)
            field_set_absent(&f->table->fields[i], field_at(&f->table->fields[i], value));
        return;
    case FIELD_KIND_I32:
        *(int32_t *)value = FIELD_NO_I32;
        return;
    case FIELD_KIND_I64:
        *(int64_t *)value = FIELD_NO_I64;
        return;
    case FIELD_KIND_TIME:
        *(int64_t *)value = 0;
        return;
    case FIELD_KIND_F64:
        *(double *)value = NAN;
        return;
    case FIELD_KIND_STR:
        *(const char **)value = NULL;
        return;
    case FIELD_KIND_ENUM:
        *(int *)value = -1;
        return;
    case FIELD_KIND_ID:
        *(uint64_t *)value = 0;
        return;
    case FIELD_KIND_RECORD_PTR:
        *(void **)value = NULL;
        return;
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        *(struct field_list *)value = (struct field_list){0};
        return;
    case FIELD_KIND_BYTES:
        *(struct field_bytes *)value = (struct field_bytes){0};
        return;
    }
    assert(false && "field kind");
}

void field_set_preset(const struct field *f, void *value)
{
    static max_align_t nothing; /* what a present empty list points to */
    if (f->kind == FIELD_KIND_RECORD) {
        field_defaults(f->table, value);
    } else if (!f->preset) {
        field_set_absent(f, value);
    } else if (f->kind == FIELD_KIND_STR) {
        *(const char **)value = f->preset;
    } else if (field_is_list(f)) {
        *(struct field_list *)value = (struct field_list){.items = &nothing};
    } else {
        int rc = field_scalar_from_text(f, f->preset, value, NULL);
        assert(rc == 0);
        (void)rc;
    }
}

void field_default(const struct field *field, void *record)
{
    field_set_preset(field, field_at(field, record));
}

void field_defaults(const struct field_table *table, void *record)
{
    for (size_t i = 0; i < table->count; i++)
        field_default(&table->fields[i], record);
}

const struct field *field_find_near(const struct field_table *table, const char *name, size_t length, size_t *hint)
{
    for (size_t i = 0; i < table->count; i++) {
        size_t at = (*hint + i) % table->count;
        const struct field *f = &table->fields[at];
        if (strncmp(f->name, name, length) == 0 && !f->name[length]) {
            *hint = at + 1;
            return f;
        }
    }
    return NULL;
}

const struct field *field_find(const struct field_table *table, const char *name)
{
    size_t hint = 0;
    return field_find_near(table, name, strlen(name), &hint);
}

const struct field *field_find_option(const struct field_table *table, const char *kebab)
{
    for (size_t i = 0; i < table->count; i++) {
        char option[128];
        str_kebab(table->fields[i].name, option, sizeof option);
        if (strcmp(option, kebab) == 0)
            return &table->fields[i];
    }
    return NULL;
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

int field_error_at_index(struct error *err, size_t index, int rc)
{
    char place[32];
    (void)snprintf(place, sizeof place, "[%zu]", index);
    error_prefix(err, place);
    return rc;
}

int field_error_in(struct error *err, const char *name, int rc)
{
    error_prefix(err, name);
    return rc;
}

int field_out_of_memory(const struct field *f, struct error *err)
{
    limit_hit(LIMIT_KIND_ARENA);
    return error_set(err, E_LIMIT, f ? f->name : NULL, "the record needs more memory than is allowed");
}

const char *field_safe(const char *name, size_t length, char out[FIELD_SAFE_BYTES])
{
    size_t n = 0;
    for (; n < length && n < FIELD_SAFE_BYTES - 1; n++)
        out[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
    out[n] = 0;
    return out;
}

const char *field_words_text(const char *const *words, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; words[i] && used + 1 < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i ? ", " : "", words[i]);
        used += (size_t)n;
    }
    return out;
}

/* --- checking ---------------------------------------------------------------------------------------------------- */

bool field_is_bounded(const struct field *f)
{
    return !(f->min == 0 && f->max == 0);
}

static int range_error(const struct field *f, const char *verb, const char *what, struct error *err)
{
    char min[JSON_F64_BYTES], max[JSON_F64_BYTES];
    json_f64_text(f->min, min);
    json_f64_text(f->max, max);
    if (isinf(f->max))
        return error_set(err, E_RANGE, f->name, "must %s at least %s%s", verb, min, what);
    bool is_length = *verb == 'h';
    if (isinf(f->min) || (is_length && f->min == 0))
        return error_set(err, E_RANGE, f->name, "must %s at most %s%s", verb, max, what);
    if (f->min == f->max)
        return error_set(err, E_RANGE, f->name, "must %s %s%s", verb, min, what);
    return error_set(err, E_RANGE, f->name, "must %s between %s and %s%s", verb, min, max, what);
}

static int check_number(const struct field *f, double number, struct error *err)
{
    if (!field_is_bounded(f) || (number >= f->min && number <= f->max))
        return 0;
    char unit[32];
    (void)snprintf(unit, sizeof unit, "%s%s", f->unit ? " " : "", f->unit ? f->unit : "");
    return range_error(f, "be", unit, err);
}

static int check_length(const struct field *f, size_t length, const char *what, struct error *err)
{
    if (!field_is_bounded(f) || ((double)length >= f->min && (double)length <= f->max))
        return 0;
    return range_error(f, "have", what, err);
}

static size_t count_characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static int check_words_i32(const struct field *f, int32_t value, struct error *err)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%d", value);
    if (!f->words || str_index(text, f->words) >= 0)
        return 0;
    char words[256];
    return error_set(err, E_RANGE, f->name, "must be one of %s", field_words_text(f->words, words, sizeof words));
}

static int check_strings(const struct field *f, const struct field_list *list, struct error *err)
{
    const char *const *items = list->items;
    for (size_t i = 0; f->words && i < list->count; i++) {
        if (str_index(items[i], f->words) < 0) {
            char words[256];
            field_words_text(f->words, words, sizeof words);
            int rc = error_set(err, E_UNKNOWN, NULL, "must be one of %s", words);
            return field_error_in(err, f->name, field_error_at_index(err, i, rc));
        }
    }
    return check_length(f, list->count, " items", err);
}

int field_check_value(const struct field *f, const void *value, struct error *err)
{
    int rc;
    int64_t time;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
    case FIELD_KIND_ID:
    case FIELD_KIND_RECORD:
    case FIELD_KIND_RECORD_PTR:
        return 0;
    case FIELD_KIND_I32:
        rc = check_words_i32(f, *(const int32_t *)value, err);
        return rc ? rc : check_number(f, *(const int32_t *)value, err);
    case FIELD_KIND_I64:
        return check_number(f, (double)*(const int64_t *)value, err);
    case FIELD_KIND_F64:
        return check_number(f, *(const double *)value, err);
    case FIELD_KIND_TIME:
        time = *(const int64_t *)value;
        if (time < FIELD_TIME_MIN || time > FIELD_TIME_MAX)
            return error_set(err, E_RANGE, f->name, "must be a time between the years 1970 and 9999");
        return 0;
    case FIELD_KIND_STR:
        return check_length(f, count_characters(*(const char *const *)value), " characters", err);
    case FIELD_KIND_ENUM:
        for (int i = 0; f->words[i]; i++) {
            if (i == *(const int *)value)
                return 0;
        }
        return error_set(err, E_RANGE, f->name, "is not a value of its list");
    case FIELD_KIND_STRS:
        return check_strings(f, value, err);
    case FIELD_KIND_LIST:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
        return check_length(f, ((const struct field_list *)value)->count, " items", err);
    case FIELD_KIND_BYTES:
        return check_length(f, ((const struct field_bytes *)value)->size, " bytes", err);
    }
    assert(false && "field kind");
    return 0;
}

static int check_nested(const struct field *f, const void *value, struct error *err)
{
    if (f->kind == FIELD_KIND_RECORD || f->kind == FIELD_KIND_RECORD_PTR) {
        const void *record = f->kind == FIELD_KIND_RECORD ? value : *(void *const *)value;
        int rc = field_check(f->table, record, err);
        return rc ? field_error_in(err, f->name, rc) : 0;
    }
    if (f->kind == FIELD_KIND_LIST) {
        const struct field_list *list = value;
        for (size_t i = 0; i < list->count; i++) {
            int rc = field_check(f->table, (const char *)list->items + i * f->table->size, err);
            if (rc)
                return field_error_in(err, f->name, field_error_at_index(err, i, rc));
        }
    }
    return 0;
}

int field_check(const struct field_table *table, const void *record, struct error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        const void *value = field_at_const(f, record);
        if (field_is_absent(f, value)) {
            /* What only we write is not the caller's to give. */
            if ((f->flags & FIELD_REQUIRED) && !(f->flags & FIELD_READONLY))
                return error_set(err, E_REQUIRED, f->name, "is required");
            continue;
        }
        int rc = field_check_value(f, value, err);
        if (rc == 0)
            rc = check_nested(f, value, err);
        if (rc)
            return rc;
    }
    return table->valid ? table->valid(record, err) : 0;
}
