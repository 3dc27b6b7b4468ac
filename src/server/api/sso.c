/*
 * /oculi/v1/sso: single sign-on. The browser goes to the identity provider with a state, a nonce and the hash of a
 * verifier, all in a sealed cookie that only comes back to us; with the code it returns the server fetches the identity
 * token, whose signature, issuer, audience, nonce and times must be right. The user is the one that was linked to it
 * before, or else the one with its verified e-mail address, who is linked now. Nobody is created here.
 */
#include "server/api/sso.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/api/people.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/fetch.h"
#include "server/jwt.h"
#include "server/seal.h"
#include "wire/json.h"

#define COOKIE "oculi_sso"
#define PURPOSE "sso"
#define VISIT_S 600           /* to sign in at the provider */
#define CACHE_S 3600          /* what the provider says of itself, and its keys */
#define KEYS_AGAIN_S 60       /* an unknown key makes us ask again, but not more often */
#define CLOCK_SLACK_S 60
#define SECRET_BYTES 4096u

struct sso {
    struct server *server;
    struct fetch *fetch;
    char secret[SECRET_BYTES];
    json_t *provider, *keys; /* the discovery document and the key set; NULL = to be fetched */
    int64_t provider_s, keys_s;
};

/* A browser on its way out or back. */
struct visit {
    struct request *request;
    struct fetch_job *job;
    bool is_waiting; /* the handler has returned without an answer */
    void (*next)(struct visit *visit);
    const char *code, *nonce, *verifier; /* on its way back */
    const char *token;                   /* the identity token */
};

/* --- answers ------------------------------------------------------------------------------------------------------------- */

/* A page of its own: the provider sends people here, not programs. Going on from a page of ours makes the browser send
 * the session's cookie, which it holds back on a way that began elsewhere. */
static void answer_page(struct request *request, int status, const char *text)
{
    bool is_done = status == 200;
    const char *page = arena_printf(
        request->arena,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Oculi</title>%s<p>%s</p><p><a href=\"/\">%s</a></p></html>\n",
        is_done ? "<meta http-equiv=\"refresh\" content=\"0;url=/\">" : "", text, is_done ? "Go on" : "Back to the sign-in page");
    http_add_header(request->http, "Cache-Control", "no-store");
    http_add_header(request->http, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    http_add_header(request->http, "X-Frame-Options", "DENY");
    http_add_header(request->http, "Referrer-Policy", "no-referrer");
    request_answer_text(request, status, "text/html; charset=utf-8", page, strlen(page));
}

static void set_cookie(struct request *request, const char *value, int seconds)
{
    /* Lax, not Strict: it has to come back when the provider sends the browser here. */
    http_add_header(request->http, "Set-Cookie",
                    arena_printf(request->arena, COOKIE "=%s; Path=/oculi/v1/sso; HttpOnly; SameSite=Lax; Max-Age=%d%s", value,
                                 seconds, str_starts(request->server->config->public_url, "https:") ? "; Secure" : ""));
}

/* What is wrong goes to the log and the audit log; people get a sentence without it, for it may come from anybody. */
static void fail(struct visit *visit, const char *who, const struct error *cause)
{
    struct request *request = visit->request;
    char text[600];
    struct error err = {0};
    log_warning("sso", "sign-in failed: %s", error_format(cause, text, sizeof text));
    request->server->tally.logins_refused++;
    (void)change_note(request, 0, "Login failed", who ? "userEmail" : NULL, who, &err);
    answer_page(request, cause->code == E_PERMISSION ? 403 : cause->code == E_AUTH ? 401 : 502,
                cause->code == E_PERMISSION ? "You are known, but may not sign in here this way."
                : cause->code == E_AUTH     ? "The single sign-on did not work. Ask your administrator if it happens again."
                                            : "The identity provider cannot be reached.");
}

/* The answer is ready. */
static void done(struct visit *visit)
{
    visit->request->gone = NULL;
    if (visit->is_waiting)
        request_resume(visit->request);
}

/* --- asking the provider ------------------------------------------------------------------------------------------------- */

static void on_gone(struct request *request)
{
    struct visit *visit = request->waiting;
    if (visit->job)
        fetch_cancel(visit->job);
}

/* {"issuer", ...} of an answer, or NULL with err. */
static json_t *read_object(const struct fetch_answer *answer, const char *what, struct error *err)
{
    json_t *json = NULL;
    if (answer->status != 200) {
        (void)error_set(err, E_IO, what, "%s (HTTP %ld)", answer->error[0] ? answer->error : "was refused", answer->status);
        return NULL;
    }
    if (json_parse_strict(answer->body, answer->size, &json, NULL) != 0 || !json_is_object(json)) {
        json_decref(json);
        (void)error_set(err, E_IO, what, "is no JSON object");
        return NULL;
    }
    return json;
}

static void ask(struct visit *visit, const struct fetch_request *request, fetch_fn *fn)
{
    if (!visit->is_waiting)
        request_wait(visit->request, on_gone);
    visit->is_waiting = true;
    visit->job = fetch_start(visit->request->server->sso->fetch, request, fn, visit);
}

/* Addresses the provider names must be as safe as its own. */
static bool is_safe_url(const char *url)
{
    for (const char *c = url; c && *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    }
    return url && (str_starts(url, "https://") || str_starts(url, "http://127.") || str_starts(url, "http://localhost:") ||
                   str_starts(url, "http://[::1]"));
}

static const char *provider_url(const struct sso *sso, const char *name)
{
    return json_string_value(json_object_get(sso->provider, name));
}

static void on_provider(void *user, const struct fetch_answer *answer)
{
    struct visit *visit = user;
    struct sso *sso = visit->request->server->sso;
    struct error err = {0};
    visit->job = NULL;
    json_t *json = read_object(answer, "discovery", &err);
    const char *issuer = json_string_value(json_object_get(json, "issuer"));
    if (json && !str_equal(issuer, sso->server->config->oidc_issuer))
        (void)error_set(&err, E_IO, "discovery", "it is of another issuer");
    static const char *const names[] = {"authorization_endpoint", "token_endpoint", "jwks_uri"};
    for (size_t i = 0; json && i < 3; i++) {
        if (!is_safe_url(json_string_value(json_object_get(json, names[i]))))
            (void)error_set(&err, E_IO, "discovery", "%s is no https:// address", names[i]);
    }
    if (err.code) {
        json_decref(json);
        fail(visit, NULL, &err);
        done(visit);
        return;
    }
    json_decref(sso->provider);
    sso->provider = json;
    sso->provider_s = server_now_s(sso->server);
    visit->next(visit);
}

/* Goes on with next once the provider's addresses are known. */
static void with_provider(struct visit *visit, void (*next)(struct visit *visit))
{
    struct sso *sso = visit->request->server->sso;
    const char *issuer = sso->server->config->oidc_issuer;
    visit->next = next;
    if (sso->provider && server_now_s(sso->server) - sso->provider_s < CACHE_S) {
        next(visit);
        return;
    }
    const struct fetch_request request = {
        .url = arena_printf(visit->request->arena, "%s%s.well-known/openid-configuration", issuer,
                            issuer[strlen(issuer) - 1] == '/' ? "" : "/")};
    ask(visit, &request, on_provider);
}

/* --- on the way out ------------------------------------------------------------------------------------------------------ */

static const char *escaped(struct arena *arena, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, strlen(text) * 3 + 1);
    size_t n = 0;
    for (const char *c = text; out && *c; c++) {
        unsigned char byte = (unsigned char)*c;
        bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                        strchr("-._~", byte);
        if (is_plain) {
            out[n++] = *c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[byte >> 4];
        out[n++] = hex[byte & 15];
    }
    return out;
}

static const char *return_url(const struct request *request)
{
    return arena_printf(request->arena, "%s/oculi/v1/sso/callback", request->server->config->public_url);
}

static void send_out(struct visit *visit)
{
    struct request *request = visit->request;
    struct server *server = request->server;
    struct arena *arena = request->arena;
    char state[AUTH_SECRET_BYTES], nonce[AUTH_SECRET_BYTES], verifier[AUTH_SECRET_BYTES];
    unsigned char hash[crypto_hash_sha256_BYTES];
    char challenge[STR_BASE64_BYTES(sizeof hash)];
    const char *sealed = NULL;
    struct error err = {0};
    auth_new_secret("", state);
    auth_new_secret("", nonce);
    auth_new_secret("", verifier);
    (void)crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
    (void)str_base64url(hash, sizeof hash, challenge);
    const char *plain = arena_printf(arena, "%s %s %s %lld", state, nonce, verifier, (long long)server_now_s(server) + VISIT_S);
    if (seal_text(server->seal, PURPOSE, plain, arena, &sealed, &err) != 0) {
        fail(visit, NULL, &err);
        done(visit);
        return;
    }
    const char *where = provider_url(server->sso, "authorization_endpoint");
    http_add_header(request->http, "Location",
                    arena_printf(arena,
                                 "%s%cresponse_type=code&scope=openid%%20email%%20profile&client_id=%s&redirect_uri=%s"
                                 "&state=%s&nonce=%s&code_challenge=%s&code_challenge_method=S256",
                                 where, strchr(where, '?') ? '&' : '?', escaped(arena, server->config->oidc_client_id),
                                 escaped(arena, return_url(request)), state, nonce, challenge));
    set_cookie(request, sealed, VISIT_S);
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer_empty(request, 302);
    done(visit);
}

static int begin_visit(struct request *request, struct visit **ret_visit, struct error *err)
{
    struct server *server = request->server;
    if (!server->sso)
        return error_set(err, E_NOT_SUPPORTED, "", "no identity provider is configured");
    if (!rate_take_key(&server->login_rate, http_peer(request->http), server_now_s(server))) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        return 0;
    }
    struct visit *visit = arena_alloc(request->arena, sizeof *visit);
    if (!visit)
        return error_set(err, E_LIMIT, "", "no memory");
    visit->request = request;
    request->waiting = visit;
    *ret_visit = visit;
    return 0;
}

static int go(struct request *request, struct error *err)
{
    struct visit *visit = NULL;
    int rc = begin_visit(request, &visit, err);
    if (rc || !visit)
        return rc;
    with_provider(visit, send_out);
    return 0;
}

/* --- on the way back ----------------------------------------------------------------------------------------------------- */

static bool has_audience(const json_t *claims, const char *client)
{
    const json_t *audience = json_object_get(claims, "aud"), *each;
    const char *party = json_string_value(json_object_get(claims, "azp"));
    bool is_found = str_equal(json_string_value(audience), client);
    size_t i;
    json_array_foreach(audience, i, each)
        is_found = is_found || str_equal(json_string_value(each), client);
    return is_found && (!party || str_equal(party, client)) && (json_array_size(audience) < 2 || party);
}

/* OpenID Connect Core 1.0 section 3.1.3.7. */
static int check_claims(const struct visit *visit, const json_t *claims, struct error *err)
{
    const struct server *server = visit->request->server;
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    const char *nonce = json_string_value(json_object_get(claims, "nonce"));
    int64_t now = server_now_s(server), expires = json_integer_value(json_object_get(claims, "exp")),
            issued = json_integer_value(json_object_get(claims, "iat"));
    const char *wrong = NULL;
    if (!str_equal(json_string_value(json_object_get(claims, "iss")), server->config->oidc_issuer))
        wrong = "is of another issuer";
    else if (!has_audience(claims, server->config->oidc_client_id))
        wrong = "is for somebody else";
    else if (!nonce || !str_equal(nonce, visit->nonce))
        wrong = "is of another sign-in";
    else if (expires <= now - CLOCK_SLACK_S)
        wrong = "has expired";
    else if (issued > now + CLOCK_SLACK_S)
        wrong = "is of the future";
    else if (!subject || !*subject || strlen(subject) > 255)
        wrong = "names nobody";
    return wrong ? error_set(err, E_AUTH, "", "the identity token %s", wrong) : 0;
}

static int find_linked(struct request *request, const char *link, struct object_user *ret_user, struct error *err)
{
    struct field_list users = {0};
    int rc = object_list(request->server->store, &object_user_kind, 0, NULL, request->arena, &users, err);
    const struct object_user *user = users.items;
    for (size_t i = 0; !rc && i < users.count; i++) {
        if (!str_equal(user[i].oidc, link))
            continue;
        *ret_user = user[i];
        return 0;
    }
    return rc ? rc : -E_NOT_FOUND;
}

static int find_user(struct request *request, const json_t *claims, struct object_user *ret_user, struct error *err)
{
    struct server *server = request->server;
    const char *email = json_string_value(json_object_get(claims, "email"));
    const char *link = arena_printf(request->arena, "%s %s", server->config->oidc_issuer,
                                    json_string_value(json_object_get(claims, "sub")));
    int rc = find_linked(request, link, ret_user, err);
    if (rc != -E_NOT_FOUND)
        return rc;
    if (!email || !*email)
        return error_set(err, E_AUTH, "", "the identity token has no e-mail address and its subject is not linked");
    if (!json_is_true(json_object_get(claims, "email_verified")) && !server->config->oidc_trusts_email)
        return error_set(err, E_AUTH, "", "the provider has not verified the e-mail address");
    rc = object_find(server->store, &object_user_kind, 0, auth_login_name(request->arena, email), request->arena, ret_user, err);
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_AUTH, "", "there is no user with this e-mail address");
    if (!rc && ret_user->oidc && *ret_user->oidc)
        return error_set(err, E_AUTH, "", "the user is linked to somebody else of the provider");
    if (!rc)
        ret_user->oidc = link;
    return rc;
}

/* A one-time password that was never used lets nobody in any more. */
static int let_in(struct request *request, const json_t *claims, struct error *err)
{
    struct object_user user;
    int rc = find_user(request, claims, &user, err);
    if (!rc)
        rc = people_check_way_in(request, &user, PERMISSION_LOGIN_VIA_SINGLE_SIGN_ON, err);
    if (rc)
        return rc;
    if (user.must_change_password) {
        user.must_change_password = false;
        user.password_hash = NULL;
    }
    return people_begin_session(request, &user, "Login via single sign-on", err);
}

static void finish(struct visit *visit, json_t *claims, struct error *err)
{
    struct request *request = visit->request;
    int rc = check_claims(visit, claims, err);
    if (!rc)
        rc = let_in(request, claims, err);
    if (rc)
        fail(visit, json_string_value(json_object_get(claims, "email")), err);
    else
        answer_page(request, 200, "You are signed in.");
    json_decref(claims);
    done(visit);
}

static void on_keys(void *user, const struct fetch_answer *answer);

/* Verifies with the keys there are; a key nobody knows may be a new one. */
static void verify(struct visit *visit)
{
    struct request *request = visit->request;
    struct sso *sso = request->server->sso;
    struct error err = {0};
    json_t *claims = NULL;
    int64_t age = server_now_s(sso->server) - sso->keys_s;
    int rc = sso->keys && age < CACHE_S ? jwt_verify(visit->token, sso->keys, request->arena, &claims, &err) : -E_NOT_FOUND;
    if (rc == -E_NOT_FOUND && (!sso->keys || age >= KEYS_AGAIN_S)) {
        const struct fetch_request ask_keys = {.url = provider_url(sso, "jwks_uri")};
        ask(visit, &ask_keys, on_keys);
        return;
    }
    if (rc) {
        err.code = E_AUTH;
        fail(visit, NULL, &err);
        done(visit);
        return;
    }
    finish(visit, claims, &err);
}

static void on_keys(void *user, const struct fetch_answer *answer)
{
    struct visit *visit = user;
    struct sso *sso = visit->request->server->sso;
    struct error err = {0};
    visit->job = NULL;
    json_t *keys = read_object(answer, "keys", &err);
    if (!keys) {
        fail(visit, NULL, &err);
        done(visit);
        return;
    }
    json_decref(sso->keys);
    sso->keys = keys;
    sso->keys_s = server_now_s(sso->server);
    verify(visit);
}

static void on_token(void *user, const struct fetch_answer *answer)
{
    struct visit *visit = user;
    struct error err = {0};
    visit->job = NULL;
    json_t *json = read_object(answer, "token", &err);
    const char *token = json_string_value(json_object_get(json, "id_token"));
    visit->token = token ? arena_strdup(visit->request->arena, token) : NULL;
    json_decref(json);
    if (!visit->token) {
        if (!err.code || answer->status / 100 == 4)
            (void)error_set(&err, E_AUTH, "token", "the provider gave no identity token for the code (HTTP %ld)", answer->status);
        fail(visit, NULL, &err);
        done(visit);
        return;
    }
    verify(visit);
}

static void ask_token(struct visit *visit)
{
    struct request *request = visit->request;
    struct sso *sso = request->server->sso;
    const struct config *config = sso->server->config;
    struct arena *arena = request->arena;
    const char *form = arena_printf(arena, "grant_type=authorization_code&code=%s&redirect_uri=%s&code_verifier=%s%s%s",
                                    escaped(arena, visit->code), escaped(arena, return_url(request)), visit->verifier,
                                    sso->secret[0] ? "" : "&client_id=", sso->secret[0] ? "" : escaped(arena, config->oidc_client_id));
    const struct fetch_request asked = {
        .url = provider_url(sso, "token_endpoint"),
        .form = form,
        .user = sso->secret[0] ? escaped(arena, config->oidc_client_id) : NULL, /* RFC 6749 section 2.3.1 */
        .password = sso->secret[0] ? escaped(arena, sso->secret) : NULL};
    ask(visit, &asked, on_token);
}

/* The cookie is of this browser, of this server, not too old, and of the visit the provider answers. */
static int read_cookie(struct visit *visit, struct error *err)
{
    struct request *request = visit->request;
    const char *cookie = http_cookie(request->http, COOKIE), *state = request_query(request, "state"), *plain;
    char given[64], nonce[64], verifier[64];
    long long until;
    if (!cookie || !state || seal_open(request->server->seal, PURPOSE, cookie, request->arena, &plain, NULL) != 0 ||
        sscanf(plain, "%63s %63s %63s %lld", given, nonce, verifier, &until) != 4)
        return error_set(err, E_AUTH, "", "this browser was not sent to the provider");
    if (strlen(state) != strlen(given) || sodium_memcmp(state, given, strlen(given)) != 0)
        return error_set(err, E_AUTH, "", "the provider answers another visit");
    if (until < server_now_s(request->server))
        return error_set(err, E_AUTH, "", "it took too long");
    visit->nonce = arena_strdup(request->arena, nonce);
    visit->verifier = arena_strdup(request->arena, verifier);
    return 0;
}

static int come_back(struct request *request, struct error *err)
{
    struct visit *visit = NULL;
    struct error why = {0};
    int rc = begin_visit(request, &visit, err);
    if (rc || !visit)
        return rc;
    rc = read_cookie(visit, &why);
    visit->code = request_query(request, "code");
    if (!rc && (!visit->code || !*visit->code))
        rc = error_set(&why, E_AUTH, "", "the provider gave no code: %.60s",
                       escaped(request->arena, request_query(request, "error") ? request_query(request, "error") : ""));
    set_cookie(request, "", 0);
    if (rc) {
        fail(visit, NULL, &why);
        return 0;
    }
    with_provider(visit, ask_token);
    return 0;
}

/* --- what ways there are -------------------------------------------------------------------------------------------------- */

struct ways {
    const char *sso;
};
static const struct field ways_fields[] = {
    FIELD_STR(struct ways, sso, "singleSignOn", (), "What the button for single sign-on says; absent when there is none"),
};
static const struct field_table ways_table =
    FIELD_TABLE("SignInWays", struct ways, ways_fields, NULL, "How people can sign in");

static int get_ways(struct request *request, struct error *err)
{
    (void)err;
    struct ways ways = {request->server->sso ? request->server->config->oidc_label : NULL};
    request_answer_record(request, 200, &ways_table, &ways);
    return 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

int sso_open(struct server *server, struct sso **ret_sso, struct error *err)
{
    const struct config *config = server->config;
    *ret_sso = NULL;
    if (!config->oidc_issuer)
        return 0;
    struct sso *sso = mem_alloc(sizeof *sso);
    *sso = (struct sso){.server = server, .fetch = fetch_new(server->loop, config->oidc_ca)};
    struct buf secret;
    buf_init(&secret, SECRET_BYTES - 1);
    int rc = config->oidc_secret_file ? file_read(config->oidc_secret_file, &secret, err) : 0;
    if (!rc && secret.size) {
        (void)str_copy(sso->secret, sizeof sso->secret, buf_str(&secret));
        sso->secret[strcspn(sso->secret, "\r\n")] = 0;
        sodium_memzero(secret.data, secret.size);
    }
    buf_done(&secret);
    if (rc)
        sso_close(sso);
    else
        *ret_sso = sso;
    return rc;
}

void sso_close(struct sso *sso)
{
    if (!sso)
        return;
    fetch_free(sso->fetch);
    json_decref(sso->provider);
    json_decref(sso->keys);
    sodium_memzero(sso->secret, sizeof sso->secret);
    mem_free(sso);
}

#define OPEN .flags = ROUTE_OCULI | ROUTE_NO_AID | ROUTE_ANY_PASSWORD
static const char *const back_queries[] = {"code", "state", "error", NULL};

const struct route api_sso_routes[] = {
    ROUTE("GET", "/oculi/v1/sign-in", PERMISSION_PUBLIC, "getSignInWays", get_ways, (.response = &ways_table, OPEN),
          "How people can sign in"),
    ROUTE("GET", "/oculi/v1/sso", PERMISSION_PUBLIC, "beginSingleSignOn", go, (OPEN | ROUTE_PLAIN),
          "Send the browser to the identity provider"),
    ROUTE("GET", "/oculi/v1/sso/callback", PERMISSION_PUBLIC, "finishSingleSignOn", come_back,
          (OPEN | ROUTE_PLAIN, .queries = back_queries), "The identity provider sends the browser back"),
    {0},
};
