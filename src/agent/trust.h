/*
 * Certificates the agent trusts: the system's, or those of --ca-file instead of them; and beside either the operator's
 * own of --ca-dir and of the directory `ca` in the state directory, which `oculi-agent ca` keeps.
 *
 * Files are PEM and may hold several certificates. A file that cannot be used is named, with what is wrong with it.
 */
#ifndef OCULI_AGENT_TRUST_H
#define OCULI_AGENT_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TRUST_FILE_BYTES (1u << 20)
#define TRUST_CERTIFICATES 1000u /* of one file */
#define TRUST_FINGERPRINT_BYTES 65

struct trust;

struct trust_settings {
    const char *ca_file;   /* instead of the system's; NULL = the system's */
    const char *ca_dir;    /* files "*.pem" and "*.crt"; NULL = none */
    const char *state_dir; /* whose directory `ca` is looked into; NULL = none */
};

/* Reads everything. -E_NOT_FOUND, -E_INVALID, ...: where = the file. */
int trust_open(const struct trust_settings *settings, struct trust **ret_trust, struct error *err);
void trust_close(struct trust *trust); /* NULL is fine */

/* The certificates instead of the system's, as PEM; false when the system's are to be used. */
bool trust_only(const struct trust *trust, const void **ret_pem, size_t *ret_size);

/* Adds the operator's own to what an SSL_CTX trusts already; looks again when the directories have changed. A file that
 * has become unusable since is left out: the ones before it stay trusted. */
void trust_add_to(struct trust *trust, void *ssl_ctx);

/* --- keeping them ------------------------------------------------------------------------------------------------- */

struct trust_certificate {
    char fingerprint[TRUST_FINGERPRINT_BYTES]; /* SHA-256, hexadecimal: its name here */
    char subject[256];
    int64_t not_before_s, not_after_s;
    bool is_authority; /* it may sign others; a server's own may be trusted too, by itself */
};
typedef void trust_fn(void *user, const struct trust_certificate *certificate);

/* Copies every certificate of the file into the state directory and tells fn of each; one that is there already is no
 * error. -E_INVALID: nothing of it is kept. */
int trust_keep(const char *state_dir, const char *path, trust_fn *fn, void *user, struct error *err);
int trust_list(const char *state_dir, trust_fn *fn, void *user, struct error *err);
/* By the beginning of its fingerprint (8 digits or more). -E_NOT_FOUND, -E_CONFLICT when several begin so. */
int trust_forget(const char *state_dir, const char *fingerprint, trust_fn *fn, void *user, struct error *err);

#endif
