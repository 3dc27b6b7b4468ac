/*
 * The options of oculi-agent: one field table, read from a configuration file ("name = value" lines, # begins a
 * comment) and from the command line, which wins.
 */
#ifndef OCULI_AGENT_OPTIONS_H
#define OCULI_AGENT_OPTIONS_H

#include "base/arena.h"
#include "base/error.h"
#include "wire/field.h"
#include "wire/message.h"

enum agent_names { AGENT_NAMES_LOCAL, AGENT_NAMES_ALL, AGENT_NAMES_OFF };
enum agent_proxy { AGENT_PROXY_ENVIRONMENT, AGENT_PROXY_DIRECT, AGENT_PROXY_STATIC, AGENT_PROXY_PAC };

struct agent_options {
    const char *server, *token, *token_file, *ca_file, *ca_dir;
    const char *state_dir;
    const char *name, *location, *country;
    double latitude, longitude; /* degrees, NaN = not given */
    const char *netns, *source_ip, *user, *config;
    int log_level; /* enum log_level */
    int log_format; /* enum log_format */
    int resolve_names; /* enum agent_names */
    const char *name_servers, *dns_servers;
    const char *interface;
    int proxy_type; /* enum agent_proxy */
    const char *proxy_location, *proxy_user, *proxy_password, *proxy_password_file, *proxy_bypass;
    int proxy_auth; /* index into none, basic, ntlm */
    int32_t spool_mib, spool_hours;
    int sandbox; /* enum sandbox_mode */
    struct message_proxy *proxy; /* what these make together; NULL = the environment's */
};

extern const struct field_table agent_options_table;

/* Arguments that are no options: a command with what it is about ("ca", "add", "ca.pem"), and its switches. */
#define AGENT_WORDS 3
struct agent_words {
    const char *items[AGENT_WORDS];
    size_t count;
    bool is_json, is_yes; /* --json, --yes */
};

/* Sets defaults, reads the file of --config, then the arguments from argv[1] on. Errors name the option or
 * "file:line". */
int agent_options_read(int argc, char **argv, struct agent_options *ret_options, struct agent_words *ret_words,
                       struct arena *arena, struct error *err);

/* What the daemon cannot do without, and files named by options: fills token from token_file. */
int agent_options_complete(struct agent_options *options, struct arena *arena, struct error *err);
/* The part of it that concerns the proxy: fills proxy. With has_kept the file `proxy` of the state directory, which
 * `oculi-agent proxy set` writes, goes before the options. */
int agent_options_proxy(struct agent_options *options, bool has_kept, struct arena *arena, struct error *err);

/* Reads a file of options; where of errors = "file:line: name". -E_NOT_FOUND when there is none. */
int agent_options_file(const char *path, struct agent_options *options, struct arena *arena, struct error *err);

#endif
