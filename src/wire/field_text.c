/* Field values from text (options, configuration, presets) and the help that goes with them. */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/str.h"
#include "wire/field.h"
#include "wire/field_inner.h"
#include "wire/json.h"

/* --- values ------------------------------------------------------------------------------------------------------ */

int field_read_string(const struct field *f, const char *text, size_t length, struct arena *arena,
                      const char **ret_string, struct error *err)
{
    if (length > LIMIT_STRING_BYTES)
        return error_set(err, E_LIMIT, f->name, "is longer than %u bytes", LIMIT_STRING_BYTES);
    if (length && memchr(text, 0, length))
        return error_set(err, E_INVALID, f->name, "contains a NUL character");
    if (!str_is_utf8(text, length))
        return error_set(err, E_INVALID, f->name, "is not valid UTF-8");
    char *copy = arena_alloc(arena, length + 1);
    if (!copy)
        return field_out_of_memory(f, err);
    if (length)
        memcpy(copy, text, length);
    *ret_string = copy;
    return 0;
}

int field_read_enum(const struct field *f, const char *text, size_t length, int *ret_index, struct error *err)
{
    for (int i = 0; f->words[i]; i++) {
        if (strlen(f->words[i]) == length && memcmp(f->words[i], text, length) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    char given[FIELD_SAFE_BYTES], words[300];
    return error_set(err, E_UNKNOWN, f->name, "\"%s\" is not one of %s", field_safe(text, length, given),
                     field_words_text(f->words, words, sizeof words));
}

static int type_error(const struct field *f, const char *what, const char *text, struct error *err)
{
    char given[FIELD_SAFE_BYTES];
    return error_set(err, E_TYPE, f->name, "must be %s, not \"%s\"", what, field_safe(text, strlen(text), given));
}

static int integer_from_text(const struct field *f, const char *text, int64_t min, int64_t max, int64_t *ret_value,
                             struct error *err)
{
    int rc = str_to_i64(text, min, max, ret_value);
    if (rc == -E_INVALID && f->unit && strcmp(f->unit, "s") == 0) {
        rc = str_to_duration_s(text, ret_value);
        if (rc == 0 && (*ret_value < min || *ret_value > max))
            rc = -E_RANGE;
    }
    if (rc == -E_RANGE)
        return error_set(err, E_RANGE, f->name, "the number is too large");
    return rc ? type_error(f, "an integer", text, err) : 0;
}

int field_scalar_from_text(const struct field *f, const char *text, void *value, struct error *err)
{
    int64_t number;
    int rc;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return type_error(f, "true or false", text, err);
        *(bool *)value = *text == 't';
        return 0;
    case FIELD_KIND_I32:
        rc = integer_from_text(f, text, INT32_MIN + 1, INT32_MAX, &number, err);
        if (rc == 0)
            *(int32_t *)value = (int32_t)number;
        return rc;
    case FIELD_KIND_I64:
        rc = integer_from_text(f, text, INT64_MIN + 1, INT64_MAX, &number, err);
        if (rc == 0)
            *(int64_t *)value = number;
        return rc;
    case FIELD_KIND_F64:
        return str_to_f64(text, value) ? type_error(f, "a number", text, err) : 0;
    case FIELD_KIND_ENUM:
        return field_read_enum(f, text, strlen(text), value, err);
    case FIELD_KIND_ID:
        if (str_to_u64(text, UINT64_MAX, value) || *(uint64_t *)value == 0)
            return type_error(f, "an id, a positive decimal number", text, err);
        return 0;
    case FIELD_KIND_TIME:
        if (str_to_i64(text, FIELD_TIME_MIN, FIELD_TIME_MAX, value) && clock_parse_iso(text, value))
            return type_error(f, "a time like 2026-11-21T02:30:00Z", text, err);
        return 0;
    case FIELD_KIND_STR:
    case FIELD_KIND_RECORD:
    case FIELD_KIND_RECORD_PTR:
    case FIELD_KIND_LIST:
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
    case FIELD_KIND_I64ROWS:
    case FIELD_KIND_BYTES:
        break;
    }
    return error_set(err, E_NOT_SUPPORTED, f->name, "cannot be given as text");
}

/* The next item of a comma-separated list without the blanks around it. */
static const char *next_item(const char *text, const char **ret_start, size_t *ret_length)
{
    const char *end = text + strcspn(text, ",");
    const char *next = *end ? end + 1 : NULL;
    while (text < end && *text == ' ')
        text++;
    while (end > text && end[-1] == ' ')
        end--;
    *ret_start = text;
    *ret_length = (size_t)(end - text);
    return next;
}

static int list_from_text(const struct field *f, const char *text, struct field_list *list, struct arena *arena,
                          struct error *err)
{
    size_t count = *text ? 1 : 0;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    if (count > LIMIT_LIST_ITEMS)
        return error_set(err, E_LIMIT, f->name, "has more than %u items", LIMIT_LIST_ITEMS);
    const char **items = arena_alloc_array(arena, count, field_item_size(f)); /* pointers and 64-bit numbers alike */
    if (!items)
        return field_out_of_memory(f, err);
    const struct field item_field = {.name = f->name,
                                     .kind = f->kind == FIELD_KIND_IDS ? FIELD_KIND_ID : FIELD_KIND_I64};
    for (size_t i = 0; i < count; i++) {
        const char *start;
        size_t length;
        text = next_item(text, &start, &length);
        char number[32];
        int rc;
        if (f->kind == FIELD_KIND_STRS)
            rc = field_read_string(f, start, length, arena, &items[i], err);
        else if (length >= sizeof number)
            rc = error_set(err, E_TYPE, f->name, "must be numbers separated by commas");
        else {
            memcpy(number, start, length);
            number[length] = 0;
            rc = field_scalar_from_text(&item_field, number, &items[i], err);
        }
        if (rc)
            return rc;
    }
    *list = (struct field_list){.items = items, .count = count};
    return 0;
}

static int bytes_from_text(const struct field *f, const char *text, struct field_bytes *bytes, struct arena *arena,
                           struct error *err)
{
    size_t room = strlen(text);
    void *data = arena_alloc(arena, room);
    if (!data)
        return field_out_of_memory(f, err);
    int size = str_unbase64url(text, data, room);
    if (size < 0)
        return error_set(err, E_TYPE, f->name, "must be base64url");
    *bytes = (struct field_bytes){.data = data, .size = (size_t)size};
    return 0;
}

static int value_from_text(const struct field *f, const char *text, void *value, struct arena *arena,
                           struct error *err)
{
    int rc;
    if (f->kind == FIELD_KIND_STR)
        rc = field_read_string(f, text, strlen(text), arena, value, err);
    else if (f->kind == FIELD_KIND_LIST)
        rc = error_set(err, E_NOT_SUPPORTED, f->name, "is a list of objects and cannot be given as text");
    else if (f->kind == FIELD_KIND_I64ROWS)
        rc = error_set(err, E_NOT_SUPPORTED, f->name, "is a list of lists and cannot be given as text");
    else if (field_is_list(f))
        rc = list_from_text(f, text, value, arena, err);
    else if (f->kind == FIELD_KIND_BYTES)
        rc = bytes_from_text(f, text, value, arena, err);
    else
        rc = field_scalar_from_text(f, text, value, err);
    return rc ? rc : field_check_value(f, value, err);
}

int field_from_text(const struct field_table *table, const char *name, const char *text, void *record,
                    struct arena *arena, struct error *err)
{
    size_t length = strcspn(name, "."), hint = 0;
    const struct field *f = field_find_near(table, name, length, &hint);
    if (!f || (f->flags & (FIELD_READONLY | FIELD_INTERNAL))) {
        char given[FIELD_SAFE_BYTES];
        return error_set(err, E_UNKNOWN, field_safe(name, length, given), "no such setting");
    }
    void *value = field_at(f, record);
    if (!name[length])
        return value_from_text(f, text, value, arena, err);
    if (f->kind == FIELD_KIND_RECORD_PTR) {
        void *nested = arena_alloc(arena, f->table->size);
        if (!nested)
            return field_out_of_memory(f, err);
        if (*(void **)value)
            memcpy(nested, *(void **)value, f->table->size);
        else
            field_defaults(f->table, nested);
        *(void **)value = nested;
        value = nested;
    } else if (f->kind != FIELD_KIND_RECORD) {
        return error_set(err, E_UNKNOWN, f->name, "has no settings inside");
    }
    int rc = field_from_text(f->table, name + length + 1, text, value, arena, err);
    return rc ? field_error_in(err, f->name, rc) : 0;
}

/* --- help -------------------------------------------------------------------------------------------------------- */

#define HELP_COLUMN 32u
#define HELP_WIDTH 110u

static bool is_option(const struct field *f)
{
    if (f->flags & (FIELD_READONLY | FIELD_INTERNAL | FIELD_IGNORED))
        return false;
    return !f->table && f->kind != FIELD_KIND_I64ROWS && f->kind != FIELD_KIND_BYTES;
}

static void put_argument(const struct field *f, struct buf *buf)
{
    if (f->alone) {
        buf_puts(buf, f->kind == FIELD_KIND_STR ? "[=TEXT]" : "[=N]");
        return;
    }
    switch (f->kind) {
    case FIELD_KIND_I32:
    case FIELD_KIND_I64:
    case FIELD_KIND_F64:
        buf_puts(buf, " N");
        return;
    case FIELD_KIND_ID:
        buf_puts(buf, " ID");
        return;
    case FIELD_KIND_TIME:
        buf_puts(buf, " TIME");
        return;
    case FIELD_KIND_ENUM:
        buf_puts(buf, " WORD");
        return;
    case FIELD_KIND_STRS:
    case FIELD_KIND_IDS:
    case FIELD_KIND_I64S:
        buf_puts(buf, " A,B,...");
        return;
    case FIELD_KIND_BOOL:
        buf_puts(buf, f->letter ? "" : " true|false");
        return;
    case FIELD_KIND_STR:
    case FIELD_KIND_RECORD:
    case FIELD_KIND_RECORD_PTR:
    case FIELD_KIND_LIST:
    case FIELD_KIND_I64ROWS:
    case FIELD_KIND_BYTES:
        buf_puts(buf, " TEXT");
        return;
    }
}

static void put_bounds(const struct field *f, const char *joint, struct buf *buf)
{
    char min[JSON_F64_BYTES], max[JSON_F64_BYTES];
    json_f64_text(f->min, min);
    json_f64_text(f->max, max);
    bool is_length = f->kind == FIELD_KIND_STR || field_is_list(f);
    const char *unit = f->unit ? f->unit : f->kind == FIELD_KIND_STR ? "characters" : is_length ? "items" : "";
    if (isinf(f->max))
        buf_printf(buf, "%sat least %s", joint, min);
    else if (isinf(f->min) || (is_length && f->min == 0))
        buf_printf(buf, "%sat most %s", joint, max);
    else if (f->min == f->max)
        buf_printf(buf, "%s%s", joint, min);
    else
        buf_printf(buf, "%s%s%s%s", joint, min, f->min < 0 ? " to " : "-", max);
    buf_printf(buf, "%s%s", *unit ? " " : "", unit);
}

/* "(1-10 ms, default 3, required)" or nothing. */
static void put_facts(const struct field *f, struct buf *buf)
{
    const char *joint = " (";
    if (f->words) {
        char words[400];
        buf_printf(buf, "%s%s", joint, field_words_text(f->words, words, sizeof words));
        joint = "; ";
    } else if (field_is_bounded(f)) {
        put_bounds(f, joint, buf);
        joint = ", ";
    } else if (f->unit) {
        buf_printf(buf, "%sin %s", joint, f->unit);
        joint = ", ";
    }
    bool is_switch = f->kind == FIELD_KIND_BOOL && f->letter; /* off unless it is given */
    if (f->preset && *f->preset && !is_switch) {
        buf_printf(buf, "%sdefault %s", joint, f->preset);
        joint = ", ";
    }
    if (f->flags & FIELD_REQUIRED) {
        buf_printf(buf, "%srequired", joint);
        joint = ", ";
    }
    if (*joint != ' ')
        buf_putc(buf, ')');
}

/* From a column on; what is wrapped begins at the indent with a mark. */
static void put_wrapped(struct buf *buf, const char *text, size_t column, size_t indent, const char *mark)
{
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column > indent && column + 1 + length > HELP_WIDTH) {
            buf_printf(buf, "\n%s%*s", mark, (int)(indent - strlen(mark)), "");
            column = indent;
        } else if (column > indent) {
            buf_putc(buf, ' ');
            column++;
        }
        buf_put(buf, text, length);
        column += length;
        text += length;
        text += *text == ' ';
    }
    buf_putc(buf, '\n');
}

static void put_option(const struct field *f, struct buf *buf)
{
    char option[128];
    str_kebab(f->name, option, sizeof option);
    size_t start = buf->size;
    if (f->letter)
        buf_printf(buf, "  -%c, --%s", f->letter, option);
    else
        buf_printf(buf, "  --%s", option);
    put_argument(f, buf);
    size_t used = buf->size - start;
    if (used + 2 > HELP_COLUMN)
        buf_printf(buf, "\n%*s", (int)HELP_COLUMN, "");
    else
        buf_printf(buf, "%*s", (int)(HELP_COLUMN - used), "");
    struct buf text;
    buf_init(&text, 2048);
    buf_puts(&text, f->help);
    put_facts(f, &text);
    put_wrapped(buf, buf_str(&text), HELP_COLUMN, HELP_COLUMN, "");
    buf_done(&text);
}

void field_help(const struct field_table *table, struct buf *buf)
{
    bool has_advanced = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (!is_option(f))
            continue;
        if (f->flags & FIELD_ADVANCED)
            has_advanced = true;
        else
            put_option(f, buf);
    }
    if (!has_advanced)
        return;
    buf_puts(buf, "\nAdvanced:\n");
    for (size_t i = 0; i < table->count; i++) {
        if (is_option(&table->fields[i]) && (table->fields[i].flags & FIELD_ADVANCED))
            put_option(&table->fields[i], buf);
    }
}

void field_config(const struct field_table *table, struct buf *buf)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (!is_option(f) || str_equal(f->name, "config")) /* a file names no other file */
            continue;
        char option[128];
        struct buf text;
        str_kebab(f->name, option, sizeof option);
        buf_init(&text, 2048);
        buf_puts(&text, f->help);
        put_facts(f, &text);
        buf_puts(buf, "\n# ");
        put_wrapped(buf, buf_str(&text), 2, 2, "# ");
        buf_printf(buf, "#%s = %s\n", option, f->preset ? f->preset : "");
        buf_done(&text);
    }
}
