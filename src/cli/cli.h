/*
 * The command line. Every command gets its arguments without the program's and its own name and returns the exit
 * status. Messages for people go to standard error, what was asked for goes to standard output.
 */
#ifndef OCULI_CLI_CLI_H
#define OCULI_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "wire/field.h"

enum cli_status {
    CLI_DONE = 0,   /* measured: 100 % loss is a measurement */
    CLI_FAILED = 1, /* could not measure: no permission, no address, I/O */
    CLI_USAGE = 2   /* what was typed makes no sense, or is not supported */
};

int cli_measure(int argc, char **argv);
int cli_ping(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_mtr(int argc, char **argv);
int cli_paths(int argc, char **argv);
int cli_admin(int argc, char **argv);
int cli_completion(int argc, char **argv); /* prints the completion script of the shell that is named */

/* Their own options, beside the common ones (probing.h). */
extern const struct field_table ping_option_table, trace_option_table, mtr_option_table, paths_option_table,
    measure_option_table;

/* "oculi: where: text" on standard error. */
void cli_complain(const struct error *err);

/* Options out of field tables: the names are those of the fields in kebab case. */
struct cli_record {
    const struct field_table *table;
    void *record; /* with its defaults */
};

/*
 * Reads "--name value", "--name=value" and, for booleans, "--name" into the first record that has the field. Fields
 * that only we write are unknown here. Errors name the option as it is typed; required fields must be given, and the
 * tables' own rules must hold. "--help" and "-h" end the reading with *ret_is_help set.
 */
int cli_options(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                bool *ret_is_help, struct error *err);

/*
 * The same for commands that also take words, hosts for instance: whatever is no option, in any place, and all that
 * follows "--". Letters work as everywhere: "-qn", "-c5", "-c 5". ret_words are const char *, in arena.
 */
int cli_arguments(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                  struct field_list *ret_words, bool *ret_is_help, struct error *err);

/* Errors of the tables name the field; who types knows it as an option. */
void cli_name_option(struct error *err);

/* Whether settings has a field that the command line offers as an option. */
bool cli_is_option(const struct field *field);

#endif
