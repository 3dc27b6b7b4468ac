/*
 * What the files of the field module share among themselves. Not for others: use field.h.
 */
#ifndef OCULI_WIRE_FIELD_INNER_H
#define OCULI_WIRE_FIELD_INNER_H

#include "wire/field.h"

/* Times that RFC 3339 can spell, from the epoch on: years 1970 to 9999. */
#define FIELD_TIME_MIN 0
#define FIELD_TIME_MAX 253402300799LL

static inline void *field_at(const struct field *f, void *record)
{
    return (char *)record + f->offset;
}

static inline const void *field_at_const(const struct field *f, const void *record)
{
    return (const char *)record + f->offset;
}

size_t field_size(const struct field *f);      /* of the member; RECORD: of its struct */
size_t field_item_size(const struct field *f); /* of one item of a list kind */
bool field_is_list(const struct field *f);
bool field_is_absent(const struct field *f, const void *value);
void field_set_absent(const struct field *f, void *value); /* RECORD: every field of it */
void field_set_preset(const struct field *f, void *value); /* the preset, or absent */
bool field_is_bounded(const struct field *f);

/* What one row of an I64ROWS is. */
extern const struct field field_row;

/* A known name of length bytes; *hint is where to look first and is moved behind the hit. */
const struct field *field_find_near(const struct field_table *table, const char *name, size_t length, size_t *hint);

/* Bounds and words of one present value that is no record; the error names the field. */
int field_check_value(const struct field *f, const void *value, struct error *err);
bool field_value_equal(const struct field *f, const void *a, const void *b);

/* The place "[7]" put before the error's. Returns rc. */
int field_error_at_index(struct error *err, size_t index, int rc);
int field_error_in(struct error *err, const char *name, int rc);

/* name made safe to print: foreign bytes replaced, length cut. */
#define FIELD_SAFE_BYTES 64
const char *field_safe(const char *name, size_t length, char out[FIELD_SAFE_BYTES]);

/* "tcp, icmp, udp" cut to size. */
const char *field_words_text(const char *const *words, char *out, size_t size);

/* A string of foreign origin: UTF-8, no NUL, bounded; copied into arena. */
int field_read_string(const struct field *f, const char *text, size_t length, struct arena *arena,
                      const char **ret_string, struct error *err);
int field_read_enum(const struct field *f, const char *text, size_t length, int *ret_index, struct error *err);

/* BOOL, I32, I64, F64, ENUM, ID, TIME only. */
int field_scalar_from_text(const struct field *f, const char *text, void *value, struct error *err);

int field_out_of_memory(const struct field *f, struct error *err);

#endif
