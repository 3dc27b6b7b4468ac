/*
 * Records as comma-separated values (RFC 4180, lines end in a single line feed): the columns are the fields of the
 * table that are no lists or records, named as in JSON; what is absent is empty.
 */
#ifndef OCULI_CLI_CSV_H
#define OCULI_CLI_CSV_H

#include "base/buf.h"
#include "wire/field.h"

void csv_header(const struct field_table *table, struct buf *buf);
void csv_row(const struct field_table *table, const void *record, struct buf *buf);

#endif
