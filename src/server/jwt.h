/*
 * Signed tokens of identity providers: JSON Web Signatures in compact form (RFC 7515) with keys of a JWK set (RFC 7517),
 * verified by GnuTLS. Taken are RS256, RS384, RS512, PS256, ES256 and ES384; not "none", and no algorithm whose key both
 * sides know.
 */
#ifndef OCULI_SERVER_JWT_H
#define OCULI_SERVER_JWT_H

#include <jansson.h>

#include "base/arena.h"
#include "base/error.h"

/* Reads the claims once the signature is right; the reference is the caller's. What they say is not looked at.
 * -E_NOT_FOUND: the set has no such key (it may have a newer one by now). -E_AUTH: anything else. */
int jwt_verify(const char *token, const json_t *key_set, struct arena *arena, json_t **ret_claims, struct error *err);

#endif
