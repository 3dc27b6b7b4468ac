/* What a table tells others: OpenAPI schemas, TypeScript types, facts for settings forms. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/field.h"
#include "wire/field_inner.h"
#include "wire/json.h"

/* --- OpenAPI 3.0 ------------------------------------------------------------------------------------------------- */

static json_t *typed(const char *type, const char *format)
{
    json_t *schema = json_object();
    json_object_set_new(schema, "type", json_string(type));
    if (format)
        json_object_set_new(schema, "format", json_string(format));
    return schema;
}

static json_t *reference(const struct field_table *table)
{
    json_t *schema = json_object();
    json_object_set_new(schema, "$ref", json_sprintf("#/components/schemas/%s", table->name));
    return schema;
}

static json_t *array_of(json_t *items)
{
    json_t *schema = typed("array", NULL);
    json_object_set_new(schema, "items", items);
    return schema;
}

static json_t *words_json(const struct field *f)
{
    json_t *words = json_array();
    for (size_t i = 0; f->words[i]; i++) {
        json_t *word = f->kind == FIELD_KIND_I32 ? json_integer(strtol(f->words[i], NULL, 10))
                                                 : json_string(f->words[i]);
        json_array_append_new(words, word);
    }
    return words;
}

static json_t *number_json(double value)
{
    return value == floor(value) && fabs(value) < 9007199254740992.0 ? json_integer((json_int_t)value)
                                                                     : json_real(value);
}

static json_t *preset_json(const struct field *f)
{
    if (f->kind == FIELD_KIND_STR || f->kind == FIELD_KIND_ENUM || f->kind == FIELD_KIND_ID ||
        f->kind == FIELD_KIND_TIME)
        return json_string(f->preset);
    if (field_is_list(f))
        return json_array();
    if (f->kind == FIELD_KIND_BOOL)
        return json_boolean(strcmp(f->preset, "true") == 0);
    return number_json(strtod(f->preset, NULL));
}

/* The type alone, without what flags and bounds add. */
static json_t *kind_schema(const struct field *f)
{
    json_t *strings;
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        return typed("boolean", NULL);
    case FIELD_KIND_I32:
        return typed("integer", "int32");
    case FIELD_KIND_I64:
        return typed("integer", "int64");
    case FIELD_KIND_F64:
        return typed("number", "double");
    case FIELD_KIND_STR:
    case FIELD_KIND_ENUM:
    case FIELD_KIND_ID:
        return typed("string", NULL);
    case FIELD_KIND_TIME:
        return typed("string", "date-time");
    case FIELD_KIND_BYTES:
        return typed("string", "base64url");
    case FIELD_KIND_RECORD:
    case FIELD_KIND_RECORD_PTR:
        return reference(f->table);
    case FIELD_KIND_LIST:
        return array_of(reference(f->table));
    case FIELD_KIND_STRS:
        strings = typed("string", NULL);
        if (f->words)
            json_object_set_new(strings, "enum", words_json(f));
        return array_of(strings);
    case FIELD_KIND_IDS:
        return array_of(typed("string", NULL));
    case FIELD_KIND_I64S:
        return array_of(typed("integer", "int64"));
    case FIELD_KIND_I64ROWS:
        return array_of(array_of(typed("integer", "int64")));
    }
    assert(false && "field kind");
    return NULL;
}

static void add_bounds(const struct field *f, json_t *schema)
{
    if (!field_is_bounded(f) || f->kind == FIELD_KIND_BYTES)
        return;
    const char *min = "minimum", *max = "maximum";
    if (f->kind == FIELD_KIND_STR) {
        min = "minLength";
        max = "maxLength";
    } else if (field_is_list(f)) {
        min = "minItems";
        max = "maxItems";
    }
    bool is_length = f->kind == FIELD_KIND_STR || field_is_list(f);
    if (isfinite(f->min) && !(is_length && f->min == 0))
        json_object_set_new(schema, min, number_json(f->min));
    if (isfinite(f->max))
        json_object_set_new(schema, max, number_json(f->max));
}

static json_t *field_schema_one(const struct field *f)
{
    json_t *schema = kind_schema(f);
    if (f->kind == FIELD_KIND_RECORD || f->kind == FIELD_KIND_RECORD_PTR)
        return schema; /* OpenAPI 3.0 allows nothing beside $ref */
    json_object_set_new(schema, "description", json_string(f->help));
    if (f->words && f->kind != FIELD_KIND_STRS)
        json_object_set_new(schema, "enum", words_json(f));
    add_bounds(f, schema);
    if (f->preset)
        json_object_set_new(schema, "default", preset_json(f));
    if (f->flags & FIELD_READONLY)
        json_object_set_new(schema, "readOnly", json_true());
    if (f->flags & FIELD_SECRET)
        json_object_set_new(schema, "writeOnly", json_true());
    if (f->unit)
        json_object_set_new(schema, "x-unit", json_string(f->unit));
    if (f->flags & FIELD_IGNORED)
        json_object_set_new(schema, "x-ignored", json_true());
    return schema;
}

json_t *field_schema(const struct field_table *table)
{
    json_t *schema = typed("object", NULL), *properties = json_object(), *required = json_array();
    json_object_set_new(schema, "description", json_string(table->help));
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (f->flags & FIELD_INTERNAL)
            continue;
        json_object_set_new(properties, f->name, field_schema_one(f));
        if (f->flags & FIELD_REQUIRED)
            json_array_append_new(required, json_string(f->name));
    }
    json_object_set_new(schema, "properties", properties);
    if (json_array_size(required))
        json_object_set_new(schema, "required", required);
    else
        json_decref(required);
    return schema;
}

/* --- TypeScript -------------------------------------------------------------------------------------------------- */

static const char *const kind_names[] = {
    [FIELD_KIND_BOOL] = "bool",     [FIELD_KIND_I32] = "i32",   [FIELD_KIND_I64] = "i64",
    [FIELD_KIND_F64] = "f64",       [FIELD_KIND_STR] = "str",   [FIELD_KIND_ENUM] = "enum",
    [FIELD_KIND_ID] = "id",         [FIELD_KIND_TIME] = "time", [FIELD_KIND_RECORD] = "record",
    [FIELD_KIND_RECORD_PTR] = "record", [FIELD_KIND_LIST] = "list", [FIELD_KIND_STRS] = "strs",
    [FIELD_KIND_IDS] = "ids",       [FIELD_KIND_I64S] = "i64s", [FIELD_KIND_I64ROWS] = "i64rows",
    [FIELD_KIND_BYTES] = "bytes",
};

void field_typescript_prelude(struct buf *buf)
{
    buf_puts(buf, "/** One field of a record: what a settings form needs to know. */\n"
                  "export interface FieldInfo {\n"
                  "  name: string;\n"
                  "  kind: 'bool' | 'i32' | 'i64' | 'f64' | 'str' | 'enum' | 'id' | 'time' | 'record' | 'list' | 'strs' |\n"
                  "    'ids' | 'i64s' | 'i64rows' | 'bytes';\n"
                  "  help: string;\n"
                  "  /** The default, as text. */\n"
                  "  preset?: string;\n"
                  "  /** Bounds of a number, or of the length of a string or list; absent: open. */\n"
                  "  min?: number;\n"
                  "  max?: number;\n"
                  "  unit?: string;\n"
                  "  words?: readonly string[];\n"
                  "  /** The fields of a nested record or of a list's items. */\n"
                  "  fields?: readonly FieldInfo[];\n"
                  "  required?: true;\n"
                  "  readonly?: true;\n"
                  "  secret?: true;\n"
                  "  ignored?: true;\n"
                  "  immutable?: true;\n"
                  "  advanced?: true;\n"
                  "}\n");
}

/* Our texts are ASCII or UTF-8, and a JSON string is a TypeScript string. */
static void put_text(struct buf *buf, const char *text)
{
    json_put_string(buf, text, strlen(text));
}

static void put_words(const struct field *f, struct buf *buf)
{
    for (size_t i = 0; f->words[i]; i++) {
        buf_puts(buf, i ? " | " : "");
        if (f->kind == FIELD_KIND_I32)
            buf_puts(buf, f->words[i]);
        else
            put_text(buf, f->words[i]);
    }
}

static void put_type(const struct field *f, struct buf *buf)
{
    switch (f->kind) {
    case FIELD_KIND_BOOL:
        buf_puts(buf, "boolean");
        return;
    case FIELD_KIND_I32:
    case FIELD_KIND_I64:
    case FIELD_KIND_F64:
        if (f->words)
            put_words(f, buf);
        else
            buf_puts(buf, "number");
        return;
    case FIELD_KIND_ENUM:
        put_words(f, buf);
        return;
    case FIELD_KIND_STR:
    case FIELD_KIND_ID:
    case FIELD_KIND_TIME:
    case FIELD_KIND_BYTES:
        buf_puts(buf, "string");
        return;
    case FIELD_KIND_RECORD:
    case FIELD_KIND_RECORD_PTR:
        buf_puts(buf, f->table->name);
        return;
    case FIELD_KIND_LIST:
        buf_printf(buf, "%s[]", f->table->name);
        return;
    case FIELD_KIND_STRS:
        if (f->words) {
            buf_putc(buf, '(');
            put_words(f, buf);
            buf_puts(buf, ")[]");
            return;
        }
        buf_puts(buf, "string[]");
        return;
    case FIELD_KIND_IDS:
        buf_puts(buf, "string[]");
        return;
    case FIELD_KIND_I64S:
        buf_puts(buf, "number[]");
        return;
    case FIELD_KIND_I64ROWS:
        buf_puts(buf, "number[][]");
        return;
    }
}

/* An answer always has it: it can never be absent, or the caller had to give it; and it is not left out. */
static bool is_always_there(const struct field *f)
{
    if ((f->flags & FIELD_SECRET) || f->expand)
        return false;
    return f->kind == FIELD_KIND_BOOL || f->kind == FIELD_KIND_RECORD || f->preset || (f->flags & FIELD_REQUIRED);
}

static void put_interface(const struct field_table *table, struct buf *buf)
{
    buf_printf(buf, "/** %s. */\nexport interface %s {\n", table->help, table->name);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (f->flags & FIELD_INTERNAL)
            continue;
        buf_printf(buf, "  /** %s%s%s%s. */\n  %s%s: ", f->help, f->unit ? " (" : "", f->unit ? f->unit : "",
                   f->unit ? ")" : "", f->name, is_always_there(f) ? "" : "?");
        put_type(f, buf);
        buf_puts(buf, ";\n");
    }
    buf_puts(buf, "}\n");
}

static void put_info(const struct field *f, struct buf *buf)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {{FIELD_REQUIRED, "required"}, {FIELD_READONLY, "readonly"},   {FIELD_SECRET, "secret"},
                 {FIELD_IGNORED, "ignored"},   {FIELD_IMMUTABLE, "immutable"}, {FIELD_ADVANCED, "advanced"}};
    char number[JSON_F64_BYTES];
    buf_printf(buf, "  { name: \"%s\", kind: \"%s\", help: ", f->name, kind_names[f->kind]);
    put_text(buf, f->help);
    if (f->preset) {
        buf_puts(buf, ", preset: ");
        put_text(buf, f->preset);
    }
    if (field_is_bounded(f) && isfinite(f->min))
        buf_printf(buf, ", min: %s", json_f64_text(f->min, number));
    if (field_is_bounded(f) && isfinite(f->max))
        buf_printf(buf, ", max: %s", json_f64_text(f->max, number));
    if (f->unit) {
        buf_puts(buf, ", unit: ");
        put_text(buf, f->unit);
    }
    if (f->words) {
        buf_puts(buf, ", words: [");
        for (size_t i = 0; f->words[i]; i++) {
            buf_puts(buf, i ? ", " : "");
            put_text(buf, f->words[i]);
        }
        buf_putc(buf, ']');
    }
    if (f->table)
        buf_printf(buf, ", fields: %s_FIELDS", f->table->name);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (f->flags & flags[i].flag)
            buf_printf(buf, ", %s: true", flags[i].name);
    }
    buf_puts(buf, " },\n");
}

void field_typescript(const struct field_table *table, struct buf *buf)
{
    put_interface(table, buf);
    buf_printf(buf, "export const %s_FIELDS: readonly FieldInfo[] = [\n", table->name);
    for (size_t i = 0; i < table->count; i++) {
        if (!(table->fields[i].flags & FIELD_INTERNAL))
            put_info(&table->fields[i], buf);
    }
    buf_puts(buf, "];\n");
}
