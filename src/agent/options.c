#include "agent/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/http.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/str.h"

#define OPTIONS_FILE_BYTES 65536

static const char *const names_words[] = {"local", "all", "off", NULL};

static const struct field fields[] = {
    FIELD_STR(struct agent_options, server, "server", (.max = 1000), "URL of the Oculi server"),
    FIELD_STR(struct agent_options, token, "token", (.max = 200, .flags = FIELD_SECRET),
              "Account group token, needed for the first contact; other users of the machine may see it here"),
    FIELD_STR(struct agent_options, token_file, "tokenFile", (.max = 400), "File that holds the account group token"),
    FIELD_STR(struct agent_options, ca_file, "caFile", (.max = 400),
              "PEM file with the certificates to trust instead of the system's"),
    FIELD_STR(struct agent_options, state_dir, "stateDir", (.max = 400, .preset = "/var/lib/oculi-agent"),
              "Directory of the identity, the plan and the spool"),
    FIELD_STR(struct agent_options, name, "name", (.max = 255), "Name of the agent; without it the host's name"),
    FIELD_STR(struct agent_options, location, "location", (.max = 255), "Where it is, as people say it"),
    FIELD_STR(struct agent_options, country, "country", (.min = 2, .max = 2), "Country as two letters (ISO 3166-1)"),
    FIELD_F64(struct agent_options, latitude, "latitude", (.min = -90, .max = 90, .unit = "degrees"),
              "Latitude, north positive"),
    FIELD_F64(struct agent_options, longitude, "longitude", (.min = -180, .max = 180, .unit = "degrees"),
              "Longitude, east positive"),
    FIELD_STR(struct agent_options, netns, "netns", (.max = 400),
              "Network namespace to measure from, by name or path; the server is reached from where the agent runs"),
    FIELD_STR(struct agent_options, source_ip, "sourceIp", (.max = 60), "Address to measure from"),
    FIELD_STR(struct agent_options, user, "user", (.max = 60),
              "User to become when started as root; without it the owner of the state directory"),
    FIELD_ENUM(struct agent_options, log_level, "logLevel", log_level_names, (.preset = "info"), "How much to log"),
    FIELD_ENUM(struct agent_options, resolve_names, "resolveNames", names_words, (.preset = "local"),
               "Of which hops DNS is asked for names: those of its own networks, all or none"),
    FIELD_STR(struct agent_options, name_servers, "nameServers", (.min = 1, .max = 1000),
              "DNS servers to ask for names, as ADDRESS[:PORT],...; those of the system when not given"),
    FIELD_STR(struct agent_options, config, "config", (.max = 400), "File of such options as lines \"name = value\""),
};

const struct field_table agent_options_table =
    FIELD_TABLE("AgentOptions", struct agent_options, fields, NULL, "Options of oculi-agent");

/* Sets the option written as `name` (length characters, without dashes). */
static int set_option(const char *name, size_t length, const char *value, const char *where,
                      struct agent_options *options, struct arena *arena, struct error *err)
{
    char kebab[64];
    (void)snprintf(kebab, sizeof kebab, "%.*s", (int)(length < sizeof kebab ? length : sizeof kebab - 1), name);
    const struct field *field = field_find_option(&agent_options_table, kebab);
    if (!field)
        return error_set(err, E_UNKNOWN, where, "there is no option \"%s\"", kebab);
    int rc = field_from_text(&agent_options_table, field->name, value, options, arena, err);
    if (rc && err && str_starts(where, "--"))
        (void)snprintf(err->where, sizeof err->where, "%s", where);
    else if (rc && err) /* a line of a file */
        (void)snprintf(err->where, sizeof err->where, "%.100s: %.50s", where, kebab);
    return rc;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = 0;
    return text;
}

static int read_line(char *line, const char *where, struct agent_options *options, struct arena *arena,
                     struct error *err)
{
    line = trim(line);
    if (*line == 0 || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return error_set(err, E_INVALID, where, "expected \"name = value\"");
    *equals = 0;
    char *name = trim(line);
    if (str_equal(name, "config"))
        return error_set(err, E_INVALID, where, "a configuration file cannot name another one");
    return set_option(name, strlen(name), trim(equals + 1), where, options, arena, err);
}

static int read_config(const char *path, struct agent_options *options, struct arena *arena, struct error *err)
{
    struct buf buf;
    buf_init(&buf, OPTIONS_FILE_BYTES);
    int rc = file_read(path, &buf, err);
    char *rest = (char *)buf.data;
    for (unsigned number = 1; !rc && rest; number++) {
        char where[200];
        char *line = strsep(&rest, "\n");
        (void)snprintf(where, sizeof where, "%.150s:%u", path, number);
        rc = read_line(line, where, options, arena, err);
    }
    buf_done(&buf);
    return rc;
}

/* Reads argv[i] (and the value after it, if it takes it from there); only_config limits it to --config. */
static int read_argument(int argc, char **argv, int *i, bool only_config, struct agent_options *options,
                         const char **ret_word, struct arena *arena, struct error *err)
{
    const char *argument = argv[*i];
    if (!str_starts(argument, "--")) {
        if (*argument == '-')
            return error_set(err, E_UNKNOWN, argument, "there is no such option");
        if (*ret_word && !only_config)
            return error_set(err, E_INVALID, argument, "one command is enough");
        if (!only_config)
            *ret_word = argument;
        return 0;
    }
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    char kebab[64];
    (void)snprintf(kebab, sizeof kebab, "%.*s", (int)(length < sizeof kebab ? length : sizeof kebab - 1), name);
    if (!field_find_option(&agent_options_table, kebab))
        return error_set(err, E_UNKNOWN, argument, "there is no such option; see oculi-agent --help");
    const char *value = equals ? equals + 1 : argv[++*i];
    if (!equals && *i >= argc)
        return error_set(err, E_REQUIRED, argument, "a value is missing");
    char where[80];
    (void)snprintf(where, sizeof where, "--%.*s", (int)(length < 60 ? length : 60), name);
    if (only_config && !(length == 6 && memcmp(name, "config", 6) == 0))
        return 0;
    return set_option(name, length, value, where, options, arena, err);
}

int agent_options_read(int argc, char **argv, struct agent_options *ret_options, const char **ret_word,
                       struct arena *arena, struct error *err)
{
    struct agent_options options;
    const char *word = NULL;
    field_defaults(&agent_options_table, &options);
    int rc = 0;
    for (int i = 1; i < argc && !rc; i++)
        rc = read_argument(argc, argv, &i, true, &options, &word, arena, err);
    if (!rc && options.config)
        rc = read_config(options.config, &options, arena, err);
    for (int i = 1; i < argc && !rc; i++)
        rc = read_argument(argc, argv, &i, false, &options, &word, arena, err);
    if (rc)
        return rc;
    *ret_options = options;
    *ret_word = word;
    return 0;
}

static int read_token(struct agent_options *options, struct arena *arena, struct error *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    int rc = file_read(options->token_file, &buf, err);
    if (!rc) {
        options->token = arena_strdup(arena, trim((char *)buf.data ? (char *)buf.data : (char[]){0}));
        if (!*options->token)
            rc = error_set(err, E_REQUIRED, options->token_file, "the file holds no token");
    }
    buf_done(&buf);
    return rc;
}

int agent_options_complete(struct agent_options *options, struct arena *arena, struct error *err)
{
    if (!options->server)
        return error_set(err, E_REQUIRED, "--server", "the URL of the Oculi server must be given");
    int rc = http_check_url(options->server, err);
    if (rc)
        return rc;
    union sock_addr addr;
    if (options->source_ip && sock_parse_ip(options->source_ip, &addr))
        return error_set(err, E_INVALID, "--source-ip", "\"%s\" is not an IP address", options->source_ip);
    if (isnan(options->latitude) != isnan(options->longitude))
        return error_set(err, E_REQUIRED, isnan(options->latitude) ? "--latitude" : "--longitude",
                         "latitude and longitude belong together");
    if (!options->token_file)
        return 0;
    rc = read_token(options, arena, err);
    char identity[512];
    (void)snprintf(identity, sizeof identity, "%s/identity", options->state_dir);
    return rc && access(identity, F_OK) == 0 ? 0 : rc; /* a registered agent needs no token */
}
