/*
 * The server's certificate: read from PEM files, checked, and read again when it is renewed, while connections go on.
 * A new pair serves the handshakes that begin after it was read; connections keep what they have. TLS 1.2 (RFC 5246) and
 * 1.3 (RFC 8446) only, with forward secrecy and authenticated encryption (RFC 9325).
 */
#ifndef OCULI_SERVER_TLS_H
#define OCULI_SERVER_TLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tls;

/* What is offered, as a GnuTLS priority string. */
extern const char tls_priorities[];

/* err->where names the file or the option: no such file, no certificate in it, the key is another's, both given in the
 * wrong order. One at a time in a process: the library's callback knows no more. */
int tls_open(const char *cert_path, const char *key_path, struct tls **ret_tls, struct error *err);
void tls_close(struct tls *tls); /* NULL is allowed; after the last handshake */

/* Have the files changed since they were last read, well or badly? */
bool tls_has_changed(struct tls *tls);
/* Reads both again. On failure the old pair goes on serving. */
int tls_reload(struct tls *tls, struct error *err);

int64_t tls_expires_s(const struct tls *tls); /* epoch seconds: the end of the first certificate */

/* For MHD_OPTION_HTTPS_CERT_CALLBACK. */
int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                 const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
                 unsigned int *ret_count, gnutls_privkey_t *ret_key);

#endif
