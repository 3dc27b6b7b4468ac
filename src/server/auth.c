#include "server/auth.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/limit.h"
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

void auth_new_code(char ret_code[AUTH_CODE_BYTES])
{
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz23456789";
    size_t n = 0;
    for (size_t i = 0; i < 20; i++) {
        unsigned char byte;
        do {
            rng_secret(&byte, 1);
        } while (byte >= 31 * 8);
        if (i > 0 && i % 5 == 0)
            ret_code[n++] = '-';
        ret_code[n++] = alphabet[byte % 31];
    }
    ret_code[n] = 0;
}

int auth_check_new_password(const struct object_user *user, const char *password, struct error *err)
{
    bool seen[256] = {false};
    size_t distinct = 0, name = strcspn(user->login, "@");
    char lower[1100];
    for (size_t i = 0; password[i] && i + 1 < sizeof lower; i++) {
        unsigned char byte = (unsigned char)password[i];
        distinct += !seen[byte];
        seen[byte] = true;
        lower[i] = (char)tolower(byte);
        lower[i + 1] = 0;
    }
    if (distinct < AUTH_PASSWORD_DISTINCT)
        return error_set(err, E_INVALID, "new", "Use at least %d different characters", AUTH_PASSWORD_DISTINCT);
    char own[330];
    (void)snprintf(own, sizeof own, "%.*s", (int)(name < 320 ? name : 320), user->login);
    if (name >= 4 && strstr(lower, own))
        return error_set(err, E_INVALID, "new", "The password must not contain the name you sign in with");
    return 0;
}

int auth_one_time_password(struct object_user *user, struct arena *arena, char ret_password[AUTH_CODE_BYTES],
                           struct error *err)
{
    auth_new_code(ret_password);
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

static int64_t idle_limit_s(const struct server *server)
{
    return server->config->session_idle_minutes * 60LL;
}

bool auth_is_session_alive(const struct server *server, const struct object_token *session)
{
    int64_t now = server_now_s(server), limit = idle_limit_s(server);
    int64_t seen = session->seen_s > session->created_s ? session->seen_s : session->created_s;
    return session->expires_s > now && (limit == 0 || now - seen < limit);
}

/* Somebody uses the session: it lives on. What a page asks for by itself does not count unless the role says so. It is
 * written down at a tenth of the limit, so that not every request waits for the disk. */
static void touch_session(struct request *request)
{
    struct server *server = request->server;
    struct object_token *session = &request->session;
    int64_t now = server_now_s(server), limit = idle_limit_s(server);
    bool is_auto = http_header(request->http, "X-Oculi-Auto") || request->route->flags & ROUTE_AUTO;
    if (request->who != REQUEST_SESSION || limit == 0 || now - session->seen_s < limit / 10 ||
        (is_auto && !request_may(request, PERMISSION_KEEP_SESSION_ALIVE_ON_AUTO_UPDATE)))
        return;
    session->seen_s = now;
    /* A full disk must not keep people from looking: who asked is answered, whether this is written down or not. */
    (void)object_put(server->store, &object_session_kind, session, now, NULL);
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
    if (kind == &object_session_kind && !auth_is_session_alive(request->server, &tokens[0]))
        return -E_AUTH;
    *ret_token = tokens[0];
    return object_get(request->server->store, &object_user_kind, tokens[0].uid, 0, request->arena, &request->user, NULL);
}

static bool is_of_agent(const char *hash, const struct object_agent *agent)
{
    return agent->secret_hash && strlen(agent->secret_hash) == strlen(hash) &&
           sodium_memcmp(hash, agent->secret_hash, strlen(hash)) == 0;
}

/* A machine keeps the bearer it was given at first when it becomes another agent here. */
static int find_moved_agent(struct request *request, uint64_t id, const char *hash)
{
    struct field_list moved = {0};
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    int rc = object_list(request->server->store, &object_agent_kind, 0, text, request->arena, &moved, NULL);
    const struct object_agent *agent = moved.items;
    for (size_t i = 0; !rc && i < moved.count; i++) {
        if (is_of_agent(hash, &agent[i])) {
            request->agent = agent[i];
            return 0;
        }
    }
    return rc ? rc : -E_AUTH;
}

static int identify_agent(struct request *request, const char *bearer, struct error *err)
{
    const char *dot = strchr(bearer, '.');
    char *id_text = dot ? arena_strndup(request->arena, bearer, (size_t)(dot - bearer)) : NULL;
    uint64_t id;
    char hash[AUTH_HASH_BYTES];
    if (!id_text || str_to_u64(id_text, INT64_MAX, &id) != 0)
        return error_set(err, E_AUTH, "", "an agent shows AGENTID.SECRET");
    struct store *store = request->server->store;
    int rc = object_get(store, &object_agent_kind, id, 0, request->arena, &request->agent, NULL);
    if (rc && rc != -E_NOT_FOUND)
        return error_set(err, E_IO, "agent", "the agent cannot be read");
    auth_hash_secret(dot + 1, hash);
    if ((rc || !is_of_agent(hash, &request->agent)) && find_moved_agent(request, id, hash) != 0)
        return error_set(err, E_AUTH, "", "this agent is not known here");
    request->signed_in_as = id;
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
        rc = bearer ? find_token(request, &object_token_kind, bearer, &request->session) : -E_AUTH;
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
    touch_session(request);
    return 0;
}

bool auth_may_go_on(struct request *request)
{
    struct server *server = request->server;
    struct object_token token;
    struct object_user user;
    struct permission_set may;
    struct arena scratch; /* the request's own would grow for as long as the answer lasts */
    bool is_session = request->who == REQUEST_SESSION;
    arena_init(&scratch, LIMIT_REQUEST_ARENA);
    int rc = object_get(server->store, is_session ? &object_session_kind : &object_token_kind, request->session.head.id, 0,
                        &scratch, &token, NULL);
    if (!rc && (is_session ? !auth_is_session_alive(server, &token) : token.expires_s <= server_now_s(server)))
        rc = -E_AUTH;
    if (!rc)
        rc = object_get(server->store, &object_user_kind, token.uid, 0, &scratch, &user, NULL);
    if (!rc)
        rc = auth_permissions(server->store, &user, request->aid, &scratch, &may, NULL);
    bool is_good = rc == 0 && (permission_has(&may, request->route->permission) ||
                               permission_has(&may, request->route->or_permission));
    arena_done(&scratch);
    return is_good;
}
