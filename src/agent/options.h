/*
 * The options of oculi-agent: one field table, read from a configuration file ("name = value" lines, # begins a
 * comment) and from the command line, which wins.
 */
#ifndef OCULI_AGENT_OPTIONS_H
#define OCULI_AGENT_OPTIONS_H

#include "base/arena.h"
#include "base/error.h"
#include "wire/field.h"

enum agent_names { AGENT_NAMES_LOCAL, AGENT_NAMES_ALL, AGENT_NAMES_OFF };

struct agent_options {
    const char *server, *token, *token_file, *ca_file;
    const char *state_dir;
    const char *name, *location, *country;
    double latitude, longitude; /* degrees, NaN = not given */
    const char *netns, *source_ip, *user, *config;
    int log_level; /* enum log_level */
    int resolve_names; /* enum agent_names */
    const char *name_servers;
};

extern const struct field_table agent_options_table;

/* Sets defaults, reads the file of --config, then the arguments from argv[1] on. An argument that is no option is
 * given back in *ret_word ("status"; NULL = none); a second one is refused. Errors name the option or "file:line". */
int agent_options_read(int argc, char **argv, struct agent_options *ret_options, const char **ret_word,
                       struct arena *arena, struct error *err);

/* What the daemon cannot do without, and files named by options: fills token from token_file. */
int agent_options_complete(struct agent_options *options, struct arena *arena, struct error *err);

#endif
