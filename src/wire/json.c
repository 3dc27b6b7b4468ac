#include "wire/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* jansson would nest 2048 deep, on our stack, and speaks of its own options when it meets U+0000. The scan need not be
 * exact for malformed input: jansson refuses that. */
static int scan(const char *text, size_t size, struct error *err)
{
    unsigned depth = 0;
    size_t line = 1, line_start = 0;
    bool is_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\n') {
            line++;
            line_start = i + 1;
        }
        if (is_string) {
            if (c == '\\' && size - i >= 6 && memcmp(text + i + 1, "u0000", 5) == 0) {
                char where[64];
                (void)snprintf(where, sizeof where, "line %zu column %zu", line, i - line_start + 1);
                return error_set(err, E_INVALID, where, "a text with the character U+0000 in it");
            }
            if (c == '\\')
                i++;
            else if (c == '"')
                is_string = false;
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > LIMIT_JSON_DEPTH) {
                char where[64];
                (void)snprintf(where, sizeof where, "line %zu column %zu", line, i - line_start + 1);
                return error_set(err, E_LIMIT, where, "nested deeper than %u levels", LIMIT_JSON_DEPTH);
            }
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        }
    }
    return 0;
}

int json_parse_strict(const void *bytes, size_t size, json_t **ret_json, struct error *err)
{
    if (size > LIMIT_JSON_BYTES) {
        limit_hit(LIMIT_KIND_BUFFER);
        return error_set(err, E_LIMIT, NULL, "a JSON document of %zu bytes, at most %u are read", size,
                         LIMIT_JSON_BYTES);
    }
    if (size == 0)
        return error_set(err, E_INVALID, "line 1 column 1", "no JSON document, the text is empty");
    int rc = scan(bytes, size, err);
    if (rc)
        return rc;
    json_error_t problem;
    json_t *json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
    if (!json) {
        char where[64];
        (void)snprintf(where, sizeof where, "line %d column %d", problem.line, problem.column);
        /* jansson quotes the document; what is not printable ASCII there could be cut within a character. */
        for (char *p = problem.text; *p; p++) {
            if (*p < ' ' || *p > '~')
                *p = '?';
        }
        return error_set(err, E_INVALID, where, "malformed JSON: %s", problem.text);
    }
    *ret_json = json;
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

const char *json_f64_text(double value, char out[JSON_F64_BYTES])
{
    if (isinf(value)) {
        (void)snprintf(out, JSON_F64_BYTES, "%sinf", value < 0 ? "-" : "");
        return out;
    }
    if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        (void)snprintf(out, JSON_F64_BYTES, "%lld", (long long)value);
        return out;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, JSON_F64_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

void json_put_string(struct buf *buf, const char *text, size_t size)
{
    buf_putc(buf, '"');
    size_t plain = 0; /* bytes before i that need no escape and are not written yet start here */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= ' ' && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_put(buf, text + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\')
            buf_printf(buf, "\\%c", c);
        else if (c == '\n')
            buf_puts(buf, "\\n");
        else if (c == '\t')
            buf_puts(buf, "\\t");
        else
            buf_printf(buf, "\\u%04x", c);
    }
    buf_put(buf, text + plain, size - plain);
    buf_putc(buf, '"');
}

static void put_break(struct buf *buf, unsigned indent, unsigned level)
{
    if (indent == 0)
        return;
    buf_putc(buf, '\n');
    for (unsigned i = 0; i < indent * level; i++)
        buf_putc(buf, ' ');
}

static void dump(const json_t *json, unsigned indent, unsigned level, struct buf *buf);

static void dump_object(json_t *json, unsigned indent, unsigned level, struct buf *buf)
{
    const char *name;
    json_t *value;
    bool is_first = true;
    buf_putc(buf, '{');
    json_object_foreach(json, name, value)
    {
        if (!is_first)
            buf_putc(buf, ',');
        is_first = false;
        put_break(buf, indent, level + 1);
        json_put_string(buf, name, strlen(name));
        buf_puts(buf, indent ? ": " : ":");
        dump(value, indent, level + 1, buf);
    }
    if (!is_first)
        put_break(buf, indent, level);
    buf_putc(buf, '}');
}

static void dump_array(const json_t *json, unsigned indent, unsigned level, struct buf *buf)
{
    size_t count = json_array_size(json);
    buf_putc(buf, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(buf, ',');
        put_break(buf, indent, level + 1);
        dump(json_array_get(json, i), indent, level + 1, buf);
    }
    if (count)
        put_break(buf, indent, level);
    buf_putc(buf, ']');
}

static void dump(const json_t *json, unsigned indent, unsigned level, struct buf *buf)
{
    char number[JSON_F64_BYTES];
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        dump_object((json_t *)(uintptr_t)json, indent, level, buf);
        return;
    case JSON_ARRAY:
        dump_array(json, indent, level, buf);
        return;
    case JSON_STRING:
        json_put_string(buf, json_string_value(json), json_string_length(json));
        return;
    case JSON_INTEGER:
        buf_printf(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return;
    case JSON_REAL:
        assert(isfinite(json_real_value(json)));
        buf_puts(buf, json_f64_text(json_real_value(json), number));
        return;
    case JSON_TRUE:
        buf_puts(buf, "true");
        return;
    case JSON_FALSE:
        buf_puts(buf, "false");
        return;
    case JSON_NULL:
        buf_puts(buf, "null");
        return;
    }
}

void json_dump_to_buf(const json_t *json, unsigned indent, struct buf *buf)
{
    dump(json, indent, 0, buf);
}
