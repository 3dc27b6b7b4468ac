/*
 * Options of oculid: from the command line and a configuration file ("name = value" lines, # comments), by one table.
 */
#ifndef OCULI_SERVER_CONFIG_H
#define OCULI_SERVER_CONFIG_H

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "wire/field.h"

struct config {
    const char *listen, *data, *public_url, *web, *store, *config_file;
    const char *tls_cert, *tls_key;
    const char *metrics_token_file;
    const char *geo_dir, *name_servers;
    bool resolves_names;
    int32_t detail_days, summary_days; /* of the store, beside retention_days */
    int64_t store_budget;              /* MiB; 0 = none */
    int log_level, log_format;
    int32_t api_rate_limit, instant_rate_limit, login_rate_limit;
    int32_t retention_days, audit_retention_days;
    int32_t session_idle_minutes, session_hours;
    const char *oidc_issuer, *oidc_client_id, *oidc_secret_file, *oidc_label, *oidc_ca;
    bool oidc_trusts_email;
};

extern const struct field_table config_table;

/* Reads arguments[first..], the configuration file they name first. Strings live in arena. The error names the option,
 * or file:line. */
int config_read(int count, char **arguments, int first, struct arena *arena, struct config *ret_config,
                struct error *err);

#endif
