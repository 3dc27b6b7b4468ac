#include "cli/csv.h"

#include <string.h>

#include "wire/json.h"

static bool is_column(const struct field *field)
{
    return !field->table && field->kind != FIELD_KIND_STRS && field->kind != FIELD_KIND_IDS &&
           field->kind != FIELD_KIND_I64S && field->kind != FIELD_KIND_I64ROWS && field->kind != FIELD_KIND_BYTES;
}

static void put_text(const char *text, struct buf *buf)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        buf_puts(buf, text);
        return;
    }
    buf_putc(buf, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_putc(buf, '"');
        buf_putc(buf, *text);
    }
    buf_putc(buf, '"');
}

void csv_header(const struct field_table *table, struct buf *buf)
{
    const char *joint = "";
    for (size_t i = 0; i < table->count; i++) {
        if (!is_column(&table->fields[i]))
            continue;
        buf_printf(buf, "%s%s", joint, table->fields[i].name);
        joint = ",";
    }
    buf_putc(buf, '\n');
}

void csv_row(const struct field_table *table, const void *record, struct buf *buf)
{
    json_t *json = field_to_json(table, record, NULL);
    const char *joint = "";
    for (size_t i = 0; i < table->count; i++) {
        if (!is_column(&table->fields[i]))
            continue;
        const json_t *value = json_object_get(json, table->fields[i].name);
        buf_puts(buf, joint);
        joint = ",";
        if (json_is_string(value))
            put_text(json_string_value(value), buf);
        else if (value)
            json_dump_to_buf(value, 0, buf);
    }
    buf_putc(buf, '\n');
    json_decref(json);
}
