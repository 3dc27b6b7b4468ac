#include "server/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "server/http.h"

#define CONFIG_FILE_BYTES (1u << 20)

static const struct field config_fields[] = {
    FIELD_STR(struct config, listen, "listen", (.preset = "127.0.0.1:8080", .min = 1, .max = 200),
              "Address and port to serve on; port 0 takes a free one, told in DATA/run.json"),
    FIELD_STR(struct config, data, "data", (.preset = "/var/lib/oculi", .min = 1, .max = 3000),
              "Directory that keeps everything"),
    FIELD_STR(struct config, public_url, "publicUrl", (.min = 8, .max = 500),
              "Address people and agents reach this server at, for links; from the request when not given"),
    FIELD_STR(struct config, web, "web", (.max = 3000), "Directory of the web UI's files"),
    FIELD_STR(struct config, store, "store", (.max = 3000),
              "Where objects and results are kept: sqlite:PATH or memory:; DATA/oculi.db when not given"),
    FIELD_STR(struct config, tls_cert, "tlsCert", (.max = 3000), "Certificate chain (PEM) to serve HTTPS with"),
    FIELD_STR(struct config, tls_key, "tlsKey", (.max = 3000), "Private key (PEM) of the certificate"),
    FIELD_ENUM(struct config, log_level, "logLevel", log_level_names, (.preset = "info"), "How much is logged"),
    FIELD_ENUM(struct config, log_format, "logFormat", log_format_names, (.preset = "text"),
               "Lines for people, or one JSON object a line"),
    FIELD_STR(struct config, metrics_token_file, "metricsTokenFile", (.min = 1, .max = 3000),
              "File with the token that /metrics asks for; without it only this machine may read it"),
    FIELD_I32(struct config, api_rate_limit, "apiRateLimit",
              (.min = 0, .max = 1000000, .preset = "240", .unit = "per minute"),
              "Requests of one organization to API v7 with bearer tokens; 0 is unlimited"),
    FIELD_I32(struct config, instant_rate_limit, "instantRateLimit",
              (.min = 0, .max = 1000000, .preset = "24", .unit = "per minute"), "Instant tests of one organization; 0 is unlimited"),
    FIELD_I32(struct config, login_rate_limit, "loginRateLimit",
              (.min = 0, .max = 1000000, .preset = "10", .unit = "per minute"),
              "Tries to sign in from one address, and for one user; of all twelve times as many; 0 is unlimited"),
    FIELD_I32(struct config, session_idle_minutes, "sessionIdleMinutes",
              (.min = 0, .max = 100000, .preset = "30", .unit = "minutes"),
              "A browser that nobody used for so long must sign in again; 0 is never"),
    FIELD_I32(struct config, session_hours, "sessionHours", (.min = 1, .max = 8760, .preset = "168", .unit = "hours"),
              "A browser must sign in again after so long, used or not"),
    FIELD_STR(struct config, oidc_issuer, "oidcIssuer", (.min = 8, .max = 500),
              "Identity provider for single sign-on (OpenID Connect), as it names itself; needs --public-url"),
    FIELD_STR(struct config, oidc_client_id, "oidcClientId", (.min = 1, .max = 255),
              "Name under which the provider knows this server"),
    FIELD_STR(struct config, oidc_secret_file, "oidcSecretFile", (.min = 1, .max = 3000),
              "File with the secret the provider gave for it; none for a public client"),
    FIELD_STR(struct config, oidc_label, "oidcLabel", (.preset = "Single sign-on", .min = 1, .max = 60),
              "What the button for it says"),
    FIELD_STR(struct config, oidc_ca, "oidcCa", (.min = 1, .max = 3000),
              "Certificates (PEM) to trust the provider by; those of the system when not given"),
    FIELD_BOOL(struct config, oidc_trusts_email, "oidcTrustEmail", (.preset = "false"),
               "Believe e-mail addresses the provider does not say it verified"),
    FIELD_I32(struct config, retention_days, "retentionDays", (.min = 0, .max = 36500, .preset = "90", .unit = "days"),
              "How long results are kept; 0 is for ever"),
    FIELD_I32(struct config, audit_retention_days, "auditRetentionDays",
              (.min = 0, .max = 36500, .preset = "396", .unit = "days"),
              "How long the audit log is kept; 0 is for ever"),
    FIELD_I32(struct config, detail_days, "detailDays", (.min = 0, .max = 36500, .preset = "30", .unit = "days"),
              "How long the path traces of results are kept, at most as long as the results; 0 is as long"),
    FIELD_I32(struct config, summary_days, "summaryDays", (.min = 0, .max = 36500, .preset = "730", .unit = "days"),
              "How long hourly and daily summaries of results are kept; 0 is for ever"),
    FIELD_I64(struct config, store_budget, "storeBudget", (.min = 0, .max = 1e9, .preset = "0", .unit = "MiB"),
              "What the store may take of the disk; beyond it the oldest results go before their time; 0 is no limit"),
    FIELD_STR(struct config, geo_dir, "geoDir", (.min = 1, .max = 3000),
              "Directory of databases (*.mmdb) of networks and places; DATA/geo when not given"),
    FIELD_BOOL(struct config, resolves_names, "resolveNames", (.preset = "false"),
               "Ask DNS for the names of the addresses on paths; without it agents tell those of their own networks"),
    FIELD_STR(struct config, name_servers, "nameServers", (.min = 1, .max = 1000),
              "DNS servers to ask for names, as ADDRESS[:PORT],...; those of the system when not given"),
    FIELD_STR(struct config, config_file, "config", (.max = 3000), "Configuration file with these options as NAME = VALUE"),
};

/* What is wrong with the syntax of an address is told before anything is opened or made. */
static int check_listen(const char *listen, struct error *err)
{
    char host[128];
    uint16_t port;
    int rc = http_split_listen(listen, host, sizeof host, &port, err);
    if (rc && err)
        (void)str_copy(err->where, sizeof err->where, "listen");
    return rc;
}

/* Only on this machine itself may it go unencrypted. */
static int check_oidc(const struct config *config, struct error *err)
{
    const char *issuer = config->oidc_issuer;
    if (!issuer)
        return 0;
    if (!str_starts(issuer, "https://") && !str_starts(issuer, "http://127.") && !str_starts(issuer, "http://localhost:") &&
        !str_starts(issuer, "http://[::1]"))
        return error_set(err, E_INVALID, "oidcIssuer", "must begin with https://");
    if (!config->oidc_client_id)
        return error_set(err, E_REQUIRED, "oidcClientId", "is needed with an identity provider");
    if (!config->public_url)
        return error_set(err, E_REQUIRED, "publicUrl", "is needed with an identity provider: it sends people back there");
    return 0;
}

static int check(const void *record, struct error *err)
{
    const struct config *config = record;
    int rc = check_listen(config->listen, err);
    if (rc)
        return rc;
    if (!config->tls_cert != !config->tls_key)
        return error_set(err, E_INVALID, config->tls_cert ? "tlsKey" : "tlsCert",
                         "a certificate and its key are given together");
    if (config->public_url && !str_starts(config->public_url, "http://") && !str_starts(config->public_url, "https://"))
        return error_set(err, E_INVALID, "publicUrl", "must begin with http:// or https://");
    return check_oidc(config, err);
}

const struct field_table config_table =
    FIELD_TABLE("ServerOptions", struct config, config_fields, check, "Options of oculid");

/* The field whose name is spelled with dashes on the command line and in files. */
static const struct field *find(const char *option, size_t length)
{
    for (size_t i = 0; i < config_table.count; i++) {
        char kebab[64];
        str_kebab(config_table.fields[i].name, kebab, sizeof kebab);
        if (strlen(kebab) == length && memcmp(kebab, option, length) == 0)
            return &config_table.fields[i];
    }
    return NULL;
}

/* Errors name an option as people write it. */
static void name_option(const char *field, struct error *err)
{
    char kebab[64], option[70];
    str_kebab(field, kebab, sizeof kebab);
    (void)snprintf(option, sizeof option, "--%s", kebab);
    (void)str_copy(err->where, sizeof err->where, option);
}

static int set(struct config *config, const struct field *field, const char *text, struct arena *arena,
               struct error *err)
{
    int rc = field_from_text(&config_table, field->name, text, config, arena, err);
    if (rc && err)
        name_option(field->name, err);
    return rc;
}

static int read_file(const char *path, struct arena *arena, struct config *config, struct error *err)
{
    struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES);
    int rc = file_read(path, &text, err);
    char *save = NULL;
    int number = 0;
    char *at = rc ? NULL : arena_strndup(arena, buf_str(&text), text.size);
    for (char *line = at; !rc && line; line = save) {
        save = strchr(line, '\n');
        if (save)
            *save++ = 0;
        number++;
        line += strspn(line, " \t\r");
        if (!*line || *line == '#')
            continue;
        size_t name = strcspn(line, " \t=");
        char *value = line + name + strspn(line + name, " \t");
        const struct field *field = find(line, name);
        char where[160];
        (void)snprintf(where, sizeof where, "%.140s:%d", path, number);
        if (!field || *value != '=' || strcmp(field->name, "config") == 0) {
            rc = error_set(err, E_UNKNOWN, where,
                           !field           ? "there is no option \"%.*s\""
                           : *value != '=' ? "a line is NAME = VALUE"
                                            : "a configuration file cannot name another one",
                           (int)name, line);
            break;
        }
        value += 1 + strspn(value + 1, " \t");
        for (size_t n = strlen(value); n > 0 && isspace((unsigned char)value[n - 1]); n--)
            value[n - 1] = 0;
        rc = set(config, field, value, arena, err);
        if (rc && err)
            (void)snprintf(err->where, sizeof err->where, "%.140s: %.*s", where, (int)name, line);
    }
    buf_done(&text);
    return rc;
}

/* The argument after a bare option; a switch needs none. */
static const char *value_after(const struct field *field, int count, char **arguments, int *i)
{
    bool has_more = *i + 1 < count;
    if (field->kind == FIELD_KIND_BOOL && (!has_more || str_starts(arguments[*i + 1], "--")))
        return "true";
    return has_more ? arguments[++*i] : NULL;
}

static int read_arguments(int count, char **arguments, int first, struct arena *arena, struct config *config,
                          bool is_for_file, struct error *err)
{
    for (int i = first; i < count; i++) {
        const char *argument = arguments[i];
        if (strncmp(argument, "--", 2) != 0)
            return error_set(err, E_UNKNOWN, argument, "this is not an option; see oculid --help");
        size_t length = strcspn(argument + 2, "=");
        const struct field *field = find(argument + 2, length);
        if (!field)
            return error_set(err, E_UNKNOWN, argument, "there is no such option; see oculid --help");
        const char *value = argument[2 + length] ? argument + 3 + length : value_after(field, count, arguments, &i);
        if (!value)
            return error_set(err, E_REQUIRED, argument, "this option needs a value");
        if (is_for_file != (strcmp(field->name, "config") == 0))
            continue;
        int rc = set(config, field, value, arena, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_fields(const struct config *config, struct error *err)
{
    int rc = field_check(&config_table, config, err);
    if (rc && err) {
        char field[sizeof err->where];
        (void)str_copy(field, sizeof field, err->where);
        name_option(field, err);
    }
    return rc;
}

int config_read(int count, char **arguments, int first, struct arena *arena, struct config *ret_config,
                struct error *err)
{
    struct config config;
    field_defaults(&config_table, &config);
    int rc = read_arguments(count, arguments, first, arena, &config, true, err);
    if (!rc && config.config_file)
        rc = read_file(config.config_file, arena, &config, err);
    if (!rc)
        rc = read_arguments(count, arguments, first, arena, &config, false, err);
    if (!rc)
        rc = check_fields(&config, err);
    if (!rc)
        *ret_config = config;
    return rc;
}
