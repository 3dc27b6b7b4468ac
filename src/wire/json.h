/*
 * JSON, strictly (RFC 8259): jansson behind two calls.
 *
 * Reading refuses what could be read two ways or grow without bound: duplicate names, trailing bytes, invalid UTF-8,
 * escaped NUL, nesting beyond LIMIT_JSON_DEPTH, documents beyond LIMIT_JSON_BYTES, numbers that do not fit. The top
 * level is an object or an array. Writing keeps the order of names and prints each number as the shortest text that
 * reads back as the same number.
 */
#ifndef OCULI_WIRE_JSON_H
#define OCULI_WIRE_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* 0 with a new reference in ret_json; -E_INVALID or -E_LIMIT with err->where "line 3 column 14". */
int json_parse_strict(const void *bytes, size_t size, json_t **ret_json, struct error *err);

/* Appends json; indent is the blanks for each level, 0 = all on one line. No newline at the end. */
void json_dump_to_buf(const json_t *json, unsigned indent, struct buf *buf);

/* Appends text (size bytes of UTF-8) as a JSON string with its quotes. */
void json_put_string(struct buf *buf, const char *text, size_t size);

/* The shortest text that reads back as value: "0.1", "1e+300", "12" for 12.0. value is finite, or spelled "inf". */
#define JSON_F64_BYTES 32
const char *json_f64_text(double value, char out[JSON_F64_BYTES]);

#endif
