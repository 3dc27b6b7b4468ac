/*
 * Who is asking: users by bearer token or browser session, agents by their own bearer. Secrets are 256 random bits and
 * only their hash is kept (BLAKE2b); passwords are kept as Argon2id (libsodium).
 */
#ifndef OCULI_SERVER_AUTH_H
#define OCULI_SERVER_AUTH_H

#include "base/error.h"
#include "server/request.h"

#define AUTH_SECRET_BYTES 64 /* of a secret as text */
#define AUTH_HASH_BYTES 65   /* of its hash as text */
#define AUTH_CODE_BYTES 32   /* of a one-time password or recovery code as text */
#define AUTH_TOKEN_DAYS 730
#define AUTH_OVERLAP_DAYS 14 /* a replaced token still works so long */
#define AUTH_PASSWORD_MIN 12
#define AUTH_PASSWORD_DISTINCT 5 /* different characters in it */

void auth_new_secret(const char *prefix, char ret_secret[AUTH_SECRET_BYTES]);
void auth_hash_secret(const char *secret, char ret_hash[AUTH_HASH_BYTES]);

/* 20 letters and digits that cannot be mistaken for each other, in groups: 99 bits. */
void auth_new_code(char ret_code[AUTH_CODE_BYTES]);

/* A hash to keep, in arena. */
int auth_hash_password(const char *password, struct arena *arena, const char **ret_hash, struct error *err);
bool auth_check_password(const char *hash, const char *password);

/* What people sign in with: the address in small letters. */
const char *auth_login_name(struct arena *arena, const char *email);
/* Gives the user a new password with which to sign in once, and takes away the second factor. */
int auth_one_time_password(struct object_user *user, struct arena *arena, char ret_password[AUTH_CODE_BYTES],
                           struct error *err);

/* Makes a bearer token (or session) of a user; the secret is told once. */
int auth_make_token(struct server *server, const struct object_kind *kind, uint64_t uid, int64_t seconds, bool is_local,
                    char ret_secret[AUTH_SECRET_BYTES], struct error *err);

/* What a user may do in an account group: PERMISSION_SIGNED_IN among it exactly when there is a role. */
int auth_permissions(struct store *store, const struct object_user *user, uint64_t aid, struct arena *arena,
                     struct permission_set *ret_set, struct error *err);

/* Whether a new password will do for this user: long enough is for the caller to see. -E_INVALID on "new". */
int auth_check_new_password(const struct object_user *user, const char *password, struct error *err);

/* Whether a session still works: not past its end, and used by a person not too long ago. */
bool auth_is_session_alive(const struct server *server, const struct object_token *session);
/* For answers that last: whether who asked is still signed in and may still ask. */
bool auth_may_go_on(struct request *request);

/* Fills in request->who and the rest from the request's headers. -E_AUTH. */
int auth_identify(struct request *request, struct error *err);
/* Account group and permission of the route. -E_PERMISSION. */
int auth_authorize(struct request *request, struct error *err);

#endif
