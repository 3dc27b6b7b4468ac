#include "server/auth.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"

void auth_new_secret(const char *prefix, char ret_secret[AUTH_SECRET_BYTES])
{
    unsigned char bytes[32];
    rng_secret(bytes, sizeof bytes);
    size_t n = strlen(prefix);
    memcpy(ret_secret, prefix, n);
    (void)str_base64url(bytes, sizeof bytes, ret_secret + n);
}

void auth_hash_secret(const char *secret, char ret_hash[AUTH_HASH_BYTES])
{
    unsigned char hash[32];
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)secret, strlen(secret), NULL, 0);
    str_hex(hash, sizeof hash, ret_hash);
}

int auth_hash_password(const char *password, struct arena *arena, const char **ret_hash, struct error *err)
{
    char hash[crypto_pwhash_STRBYTES];
    if (crypto_pwhash_str_alg(hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                              crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return error_set(err, E_LIMIT, "password", "no memory to hash the password");
    *ret_hash = arena_strdup(arena, hash);
    return 0;
}

bool auth_check_password(const char *hash, const char *password)
{
    return hash && crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
}

const char *auth_login_name(struct arena *arena, const char *email)
{
    char *name = arena_strdup(arena, email);
    for (char *c = name; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

/* 20 letters and digits that cannot be mistaken for each other, in groups: 99 bits. */
static void new_password(char ret_password[AUTH_ONE_TIME_BYTES])
{
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz23456789";
    size_t n = 0;
    for (size_t i = 0; i < 20; i++) {
        unsigned char byte;
        do {
            rng_secret(&byte, 1);
        } while (byte >= 31 * 8);
        if (i > 0 && i % 5 == 0)
            ret_password[n++] = '-';
        ret_password[n++] = alphabet[byte % 31];
    }
    ret_password[n] = 0;
}

int auth_one_time_password(struct object_user *user, struct arena *arena, char ret_password[AUTH_ONE_TIME_BYTES],
                           struct error *err)
{
    new_password(ret_password);
    int rc = auth_hash_password(ret_password, arena, &user->password_hash, err);
    if (rc)
        return rc;
    user->must_change_password = true;
    user->totp_key = user->totp_next_key = NULL;
    user->totp_step = user->totp_failures = 0;
    user->totp_wait_s = 0;
    user->recovery_codes = (struct field_list){0};
    return 0;
}

int auth_make_token(struct server *server, const struct object_kind *kind, uint64_t uid, int64_t seconds, bool is_local,
                    char ret_secret[AUTH_SECRET_BYTES], struct error *err)
{
    char hash[AUTH_HASH_BYTES];
    auth_new_secret(kind == &object_session_kind ? "" : "oculi_", ret_secret);
    auth_hash_secret(ret_secret, hash);
    int64_t now = server_now_s(server);
    struct object_token token = {
        .hash = hash, .uid = uid, .created_s = now, .expires_s = now + seconds, .is_local = is_local};
    return object_put(server->store, kind, &token, now, err);
}

/* The token or session with this secret, if it still works. */
static int find_token(struct request *request, const struct object_kind *kind, const char *secret,
                      struct object_token *ret_token)
{
    char hash[AUTH_HASH_BYTES];
    auth_hash_secret(secret, hash);
    struct field_list found = {0};
    int rc = object_list(request->server->store, kind, 0, hash, request->arena, &found, NULL);
    if (rc)
        return rc;
    const struct object_token *tokens = found.items;
    if (found.count != 1 || tokens[0].expires_s <= server_now_s(request->server))
        return -E_AUTH;
    *ret_token = tokens[0];
    return object_get(request->server->store, &object_user_kind, tokens[0].uid, 0, request->arena, &request->user, NULL);
}

static int identify_agent(struct request *request, const char *bearer, struct error *err)
{
    const char *dot = strchr(bearer, '.');
    char *id_text = dot ? arena_strndup(request->arena, bearer, (size_t)(dot - bearer)) : NULL;
    uint64_t id;
    char hash[AUTH_HASH_BYTES];
    if (!id_text || str_to_u64(id_text, INT64_MAX, &id) != 0)
        return error_set(err, E_AUTH, "", "an agent shows AGENTID.SECRET");
    int rc = object_get(request->server->store, &object_agent_kind, id, 0, request->arena, &request->agent, err);
    if (rc && rc != -E_NOT_FOUND)
        return rc;
    auth_hash_secret(dot + 1, hash);
    if (rc || !request->agent.secret_hash || strlen(request->agent.secret_hash) != strlen(hash) ||
        sodium_memcmp(hash, request->agent.secret_hash, strlen(hash)) != 0)
        return error_set(err, E_AUTH, "", "this agent is not known here");
    request->who = REQUEST_AGENT;
    request->aid = request->agent.head.aid;
    return 0;
}

int auth_identify(struct request *request, struct error *err)
{
    const char *header = http_header(request->http, "Authorization");
    const char *bearer = header && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
    if (bearer)
        bearer += strspn(bearer, " ");
    if (request->route && request->route->permission == PERMISSION_AGENT)
        return identify_agent(request, bearer ? bearer : "", err);
    int rc = -E_AUTH;
    if (header) {
        struct object_token token;
        rc = bearer ? find_token(request, &object_token_kind, bearer, &token) : -E_AUTH;
        request->who = rc == 0 ? REQUEST_TOKEN : REQUEST_NOBODY;
    } else {
        const char *cookie = http_cookie(request->http, "oculi_session");
        rc = cookie ? find_token(request, &object_session_kind, cookie, &request->session) : -E_AUTH;
        request->who = rc == 0 ? REQUEST_SESSION : REQUEST_NOBODY;
    }
    if (rc == 0 || (rc != -E_AUTH && rc != -E_NOT_FOUND))
        return rc;
    return error_set(err, E_AUTH, "", "Invalid access token");
}

int auth_permissions(struct store *store, const struct object_user *user, uint64_t aid, struct arena *arena,
                     struct permission_set *ret_set, struct error *err)
{
    const struct object_user_role *roles = user->roles.items;
    struct object_role role;
    int rc = 0;
    *ret_set = (struct permission_set){0};
    for (size_t i = 0; !rc && i < user->roles.count; i++) {
        if (roles[i].aid != aid && roles[i].aid != OBJECT_ALL_GROUPS)
            continue;
        rc = object_get(store, &object_role_kind, roles[i].role_id, 0, arena, &role, err);
        if (!rc)
            object_role_permissions(&role, ret_set);
        else if (rc == -E_NOT_FOUND)
            rc = 0; /* removed meanwhile: it grants nothing */
    }
    return rc;
}

int auth_authorize(struct request *request, struct error *err)
{
    const struct route *route = request->route;
    if (route->permission == PERMISSION_PUBLIC || route->permission == PERMISSION_AGENT)
        return 0;
    bool is_write = strcmp(request->http->method, "GET") != 0;
    if (request->who == REQUEST_SESSION && is_write && !http_header(request->http, "X-Oculi-Request"))
        return error_set(err, E_PERMISSION, "", "requests that write carry the header X-Oculi-Request");
    if (request->who == REQUEST_SESSION && request->user.must_change_password && !(route->flags & ROUTE_ANY_PASSWORD))
        return error_set(err, E_PERMISSION, "", "choose a password of your own first");
    request->aid = request->user.login_aid;
    const char *aid = route->flags & ROUTE_NO_AID ? NULL : http_param(request->http, "aid");
    if (aid && str_to_u64(aid, INT64_MAX, &request->aid) != 0)
        request->aid = 0;
    struct object_account_group group;
    int rc = object_get(request->server->store, &object_account_group_kind, request->aid, 0, request->arena, &group, err);
    if (!rc)
        rc = auth_permissions(request->server->store, &request->user, request->aid, request->arena, &request->may, err);
    if (rc && rc != -E_NOT_FOUND)
        return rc;
    if (rc || !request_may(request, PERMISSION_SIGNED_IN))
        return error_set(err, E_PERMISSION, "aid", "you have no access to account group %s", aid ? aid : "");
    if (request->who == REQUEST_TOKEN && !request_may(request, PERMISSION_API_ACCESS))
        return error_set(err, E_PERMISSION, "", "this needs the permission \"%s\"",
                         permission_infos[PERMISSION_API_ACCESS].label);
    if (!request_may(request, route->permission) && !request_may(request, route->or_permission))
        return error_set(err, E_PERMISSION, "", "this needs the permission \"%s\"",
                         permission_infos[route->permission].label);
    return 0;
}
