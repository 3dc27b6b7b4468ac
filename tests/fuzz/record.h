/*
 * What every fuzz target over a field table does with its bytes, and the records seeds are made of.
 */
#ifndef OCULI_TESTS_FUZZ_RECORD_H
#define OCULI_TESTS_FUZZ_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "wire/field.h"

/* Reads bytes as a record; what was read must survive being written and read again, in CBOR and in JSON. */
void fuzz_cbor(const struct field_table *table, const void *bytes, size_t size);
void fuzz_json(const struct field_table *table, enum field_mode mode, const void *bytes, size_t size);

/* The printable first byte that selects item index: '0', '1', ... 'A', ... */
size_t fuzz_select(uint8_t byte, size_t count);
char fuzz_selector(size_t index);

/* Fills record with values that its table allows, different ones for each variant. */
void fuzz_fill(const struct field_table *table, void *record, unsigned variant, struct arena *arena);

#endif
