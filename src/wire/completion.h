/*
 * Shell completion of a program out of its option tables: the names and letters of options, the words that enums take,
 * directories and files where the name of an option says so.
 */
#ifndef OCULI_WIRE_COMPLETION_H
#define OCULI_WIRE_COMPLETION_H

#include "wire/field.h"

#define COMPLETION_TABLES 3u

/* What can be typed after some words. */
struct completion_command {
    const char *words; /* "ping", "measure agent-to-server"; "" = the program itself */
    const char *help;
    const struct field_table *tables[COMPLETION_TABLES]; /* NULL = no more */
    const char *const *more; /* words and options of no table ("--yes"), NULL-terminated; NULL = none */
    bool has_hosts;          /* words may be names of hosts */
};

struct completion_program {
    const char *name;
    const struct completion_command *commands; /* the program itself first; a command before those below it */
    size_t count;
};

/* Writes the script for a shell, "bash" or "fish"; false when there is none for it. */
bool completion_write(const struct completion_program *program, const char *shell, struct buf *buf);

/* Prints it on standard output, or says on standard error which shells there are. The exit status: 0 or 2. shell may be
 * NULL. */
int completion_print(const struct completion_program *program, const char *shell);

#endif
