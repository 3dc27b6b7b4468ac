/*
 * Single sign-on by OpenID Connect (Core 1.0: authorization code flow) with PKCE (RFC 7636): what the server keeps of
 * its identity provider.
 */
#ifndef OCULI_SERVER_API_SSO_H
#define OCULI_SERVER_API_SSO_H

#include "server/server.h"

/* Where no issuer is configured there is none: *ret_sso is NULL. -E_IO and the like when the client's secret cannot be
 * read. */
int sso_open(struct server *server, struct sso **ret_sso, struct error *err);
void sso_close(struct sso *sso); /* NULL is fine */

#endif
