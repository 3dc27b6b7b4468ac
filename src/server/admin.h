/*
 * `oculid admin`, which is what `oculi admin` runs: what an operator does with the data directory of a server that runs,
 * or does not. docs/man/oculi-admin.8 tells what.
 */
#ifndef OCULI_SERVER_ADMIN_H
#define OCULI_SERVER_ADMIN_H

#include "wire/field.h"

/* The arguments behind "admin"; the exit status. */
int admin_main(int argc, char **argv);

/* Its options and its commands, NULL-terminated. */
extern const struct field_table admin_option_table;
extern const char *const admin_words[];

#endif
