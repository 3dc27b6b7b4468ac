#include "agent/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/http.h"
#include "agent/proxy.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/str.h"

#define OPTIONS_FILE_BYTES 65536

static const char *const names_words[] = {"local", "all", "off", NULL};
static const char *const proxy_words[] = {"environment", "direct", "static", "pac", NULL};
static const char *const sandbox_words[] = {"on", "strict", "off", NULL};
static const char *const auth_words[] = {"none", "basic", "ntlm", NULL};

static const struct field fields[] = {
    FIELD_STR(struct agent_options, server, "server", (.max = 1000), "URL of the Oculi server"),
    FIELD_STR(struct agent_options, token, "token", (.max = 200, .flags = FIELD_SECRET),
              "Account group token, needed for the first contact; other users of the machine may see it here"),
    FIELD_STR(struct agent_options, token_file, "tokenFile", (.max = 400), "File that holds the account group token"),
    FIELD_STR(struct agent_options, ca_file, "caFile", (.max = 400),
              "PEM file with the certificates to trust instead of the system's"),
    FIELD_STR(struct agent_options, ca_dir, "caDir", (.max = 400),
              "Directory of PEM files with certificates to trust besides"),
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
    FIELD_ENUM(struct agent_options, log_format, "logFormat", log_format_names, (.preset = "text"),
               "Lines for people, or one JSON object a line"),
    FIELD_ENUM(struct agent_options, resolve_names, "resolveNames", names_words, (.preset = "local"),
               "Of which hops DNS is asked for names: those of its own networks, all or none"),
    FIELD_STR(struct agent_options, name_servers, "nameServers", (.min = 1, .max = 1000),
              "DNS servers to ask for names, as ADDRESS[:PORT],...; those of the system when not given"),
    FIELD_STR(struct agent_options, dns_servers, "dnsServers", (.min = 1, .max = 1000),
              "DNS servers to resolve targets and the server with, as ADDRESS[:PORT],...; otherwise the system's way"),
    FIELD_STR(struct agent_options, interface, "interface", (.min = 1, .max = 15),
              "Network interface to measure from; several addresses of one are chosen by --source-ip"),
    FIELD_ENUM(struct agent_options, proxy_type, "proxyType", proxy_words, (.preset = "environment"),
               "How the proxy to the server is found: by https_proxy and no_proxy of the environment, not at all, by "
               "its address or by a PAC file"),
    FIELD_STR(struct agent_options, proxy_location, "proxyLocation", (.max = 1000),
              "HOST:PORT of the proxy, or the http, https or file URL of the PAC file"),
    FIELD_ENUM(struct agent_options, proxy_auth, "proxyAuth", auth_words, (.preset = "none"),
               "How the proxy wants to be signed in to"),
    FIELD_STR(struct agent_options, proxy_user, "proxyUser", (.max = 255), "Who signs in to the proxy"),
    FIELD_STR(struct agent_options, proxy_password, "proxyPassword", (.max = 1000, .flags = FIELD_SECRET),
              "That user's password; other users of the machine may see it here"),
    FIELD_STR(struct agent_options, proxy_password_file, "proxyPasswordFile", (.max = 400),
              "File that holds that password"),
    FIELD_STR(struct agent_options, proxy_bypass, "proxyBypass", (.max = 4000),
              "Hosts reached without the proxy, separated by ';': names with *, addresses, prefixes, <local>"),
    FIELD_I32(struct agent_options, spool_mib, "spoolSize", (.min = 8, .max = 1048576, .preset = "1024", .unit = "MiB"),
              "Most disk space that rounds may take which the server has not confirmed"),
    FIELD_I32(struct agent_options, spool_hours, "spoolHours", (.min = 1, .max = 8760, .preset = "36", .unit = "h"),
              "How long such a round is kept"),
    FIELD_ENUM(struct agent_options, sandbox, "sandbox", sandbox_words, (.preset = "on", .flags = FIELD_ADVANCED),
               "Limit the worker to the system calls it needs: what else it tries fails, or ends it (strict)"),
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

int agent_options_file(const char *path, struct agent_options *options, struct arena *arena, struct error *err)
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
                         struct agent_words *words, struct arena *arena, struct error *err)
{
    const char *argument = argv[*i];
    if (!str_starts(argument, "--")) {
        if (*argument == '-')
            return error_set(err, E_UNKNOWN, argument, "there is no such option");
        if (words->count == AGENT_WORDS && !only_config)
            return error_set(err, E_INVALID, argument, "one word too many");
        if (!only_config)
            words->items[words->count++] = argument;
        return 0;
    }
    if (str_equal(argument, "--json") || str_equal(argument, "--yes")) {
        words->is_json |= str_equal(argument, "--json");
        words->is_yes |= str_equal(argument, "--yes");
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

int agent_options_read(int argc, char **argv, struct agent_options *ret_options, struct agent_words *ret_words,
                       struct arena *arena, struct error *err)
{
    struct agent_options options = {0};
    struct agent_words words = {0};
    field_defaults(&agent_options_table, &options);
    int rc = 0;
    for (int i = 1; i < argc && !rc; i++)
        rc = read_argument(argc, argv, &i, true, &options, &words, arena, err);
    if (!rc && options.config)
        rc = agent_options_file(options.config, &options, arena, err);
    for (int i = 1; i < argc && !rc; i++)
        rc = read_argument(argc, argv, &i, false, &options, &words, arena, err);
    if (rc)
        return rc;
    *ret_options = options;
    if (!rc && words.count == 0 && (words.is_json || words.is_yes))
        return error_set(err, E_INVALID, words.is_json ? "--json" : "--yes", "it belongs to a command such as status");
    *ret_words = words;
    return 0;
}

/* A secret in a file of its own. */
static int read_secret(const char *path, const char *what, const char **ret_secret, struct arena *arena,
                       struct error *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    int rc = file_read(path, &buf, err);
    const char *secret = rc ? "" : arena_strdup(arena, trim((char *)buf.data ? (char *)buf.data : (char[]){0}));
    if (!rc && !*secret)
        rc = error_set(err, E_REQUIRED, path, "the file holds no %s", what);
    if (!rc)
        *ret_secret = secret;
    buf_done(&buf);
    return rc;
}

/* --- the proxy ---------------------------------------------------------------------------------------------------- */

static int make_proxy(struct agent_options *options, struct arena *arena, struct error *err)
{
    struct message_proxy *proxy = arena_alloc(arena, sizeof *proxy);
    const char **bypass = arena_alloc_array(arena, 1, sizeof *bypass);
    field_defaults(&message_proxy_table, proxy);
    proxy->type = proxy_words[options->proxy_type];
    proxy->location = options->proxy_location;
    proxy->auth = options->proxy_auth ? auth_words[options->proxy_auth] : NULL;
    proxy->user = options->proxy_user;
    proxy->password = options->proxy_password;
    if (options->proxy_bypass) {
        bypass[0] = options->proxy_bypass;
        proxy->bypass = (struct field_list){.items = bypass, .count = 1};
    }
    int rc = proxy_check(proxy, err);
    if (rc && err) {
        const char *option = str_equal(err->where, "location") ? "--proxy-location"
                             : str_equal(err->where, "user")   ? "--proxy-user" : "--proxy-type";
        (void)str_copy(err->where, sizeof err->where, option);
    }
    if (!rc)
        options->proxy = proxy;
    return rc;
}

int agent_options_proxy(struct agent_options *options, bool has_kept, struct arena *arena, struct error *err)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/proxy", options->state_dir);
    struct agent_options kept = *options;
    int rc = has_kept ? agent_options_file(path, &kept, arena, err) : -E_NOT_FOUND;
    if (rc && rc != -E_NOT_FOUND)
        return rc;
    if (!rc)
        *options = kept;
    if (options->proxy_type == AGENT_PROXY_ENVIRONMENT && options->proxy_location)
        options->proxy_type = AGENT_PROXY_STATIC;
    if (options->proxy_type == AGENT_PROXY_ENVIRONMENT)
        return 0;
    rc = options->proxy_password_file
             ? read_secret(options->proxy_password_file, "password", &options->proxy_password, arena, err)
             : 0;
    return rc ? rc : make_proxy(options, arena, err);
}

static int check_server_lists(const struct agent_options *options, struct error *err)
{
    const char *list = options->dns_servers;
    char one[SOCK_TEXT_BYTES + 8], host[SOCK_TEXT_BYTES + 8];
    uint16_t port;
    union sock_addr addr;
    while (list && *list) {
        size_t length = strcspn(list, ",");
        if (length == 0 || length >= sizeof one)
            return error_set(err, E_INVALID, "--dns-servers", "\"%.60s\" is not a list of addresses", list);
        memcpy(one, list, length);
        one[length] = 0;
        if (sock_split(one, 53, host, sizeof host, &port, NULL) || sock_parse_ip(host, &addr))
            return error_set(err, E_INVALID, "--dns-servers", "\"%s\" is not an IP address with or without a port", one);
        list += length + (list[length] == ',');
    }
    return 0;
}

int agent_options_complete(struct agent_options *options, struct arena *arena, struct error *err)
{
    if (!options->server)
        return error_set(err, E_REQUIRED, "--server", "the URL of the Oculi server must be given");
    int rc = http_check_url(options->server, err);
    if (rc)
        return rc;
    rc = check_server_lists(options, err);
    if (!rc)
        rc = agent_options_proxy(options, true, arena, err);
    if (rc)
        return rc;
    if (!options->name_servers)
        options->name_servers = options->dns_servers;
    union sock_addr addr;
    if (options->source_ip && sock_parse_ip(options->source_ip, &addr))
        return error_set(err, E_INVALID, "--source-ip", "\"%s\" is not an IP address", options->source_ip);
    if (isnan(options->latitude) != isnan(options->longitude))
        return error_set(err, E_REQUIRED, isnan(options->latitude) ? "--latitude" : "--longitude",
                         "latitude and longitude belong together");
    if (!options->token_file)
        return 0;
    rc = read_secret(options->token_file, "token", &options->token, arena, err);
    char identity[512];
    (void)snprintf(identity, sizeof identity, "%s/identity", options->state_dir);
    return rc && access(identity, F_OK) == 0 ? 0 : rc; /* a registered agent needs no token */
}
