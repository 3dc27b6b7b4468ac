/*
 * /oculi/v1/session: signing in and out of the web UI.
 */
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "server/api/people.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/first.h"
#include "server/hasher.h"
#include "server/second_factor.h"

struct login {
    const char *email, *password, *code;
};
static const struct field login_fields[] = {
    FIELD_STR(struct login, email, "email", (.flags = FIELD_REQUIRED, .max = 320), "E-mail address"),
    FIELD_STR(struct login, password, "password", (.flags = FIELD_REQUIRED | FIELD_SECRET, .max = 1024), "Password"),
    FIELD_STR(struct login, code, "code", (.flags = FIELD_SECRET, .max = 64),
              "Of the second factor, or a recovery code; for users who have one"),
};
static const struct field_table login_table =
    FIELD_TABLE("Login", struct login, login_fields, NULL, "Who wants to sign in");

struct new_password {
    const char *current, *new;
};
static const struct field new_password_fields[] = {
    FIELD_STR(struct new_password, current, "current", (.flags = FIELD_REQUIRED | FIELD_SECRET, .max = 1024),
              "The password so far"),
    FIELD_STR(struct new_password, new, "new",
              (.flags = FIELD_REQUIRED | FIELD_SECRET, .min = AUTH_PASSWORD_MIN, .max = 1024), "The one to come"),
};
static const struct field_table new_password_table =
    FIELD_TABLE("NewPassword", struct new_password, new_password_fields, NULL, "A change of password");

struct session_user {
    uint64_t uid;
    const char *name, *email;
};
static const struct field session_user_fields[] = {
    FIELD_ID(struct session_user, uid, "uid", (), "Id of the user"),
    FIELD_STR(struct session_user, name, "name", (), "Name shown"),
    FIELD_STR(struct session_user, email, "email", (), "E-mail address"),
};
static const struct field_table session_user_table =
    FIELD_TABLE("SessionUser", struct session_user, session_user_fields, NULL, "The user of a session");
struct session {
    struct session_user user;
    uint64_t aid;
    const char *group_name;
    bool must_change_password;
};
static const struct field session_fields[] = {
    FIELD_RECORD(struct session, user, "user", &session_user_table, (), "Who is signed in"),
    FIELD_ID(struct session, aid, "aid", (), "Account group worked in"),
    FIELD_STR(struct session, group_name, "accountGroupName", (), "Its name"),
    FIELD_BOOL(struct session, must_change_password, "mustChangePassword", (),
               "The user must choose a password before anything else"),
};
static const struct field_table session_table =
    FIELD_TABLE("Session", struct session, session_fields, NULL, "A signed-in browser");

static int answer_session(struct request *request, const struct object_user *user, struct error *err)
{
    struct object_account_group group;
    int rc = object_get(request->server->store, &object_account_group_kind, user->login_aid, 0, request->arena, &group,
                        err);
    if (rc)
        return rc;
    struct session session = {.user = {user->head.id, user->name, user->email},
                              .aid = user->login_aid,
                              .group_name = group.name,
                              .must_change_password = user->must_change_password};
    request_answer_record(request, 200, &session_table, &session);
    return 0;
}

static void set_cookie(struct request *request, const char *secret, int64_t seconds)
{
    const char *public_url = request->server->config->public_url;
    bool is_secure = http_is_tls(request->server->http) || (public_url && strncmp(public_url, "https:", 6) == 0);
    http_add_header(request->http, "Set-Cookie",
                    arena_printf(request->arena, "oculi_session=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
                                 secret, (long long)seconds, is_secure ? "; Secure" : ""));
}

bool people_may_try(struct request *request, const char *email)
{
    struct server *server = request->server;
    int64_t now = server_now_s(server);
    bool is_peer_ok = rate_take_key(&server->login_rate, http_peer(request->http), now);
    return rate_take_key(&server->login_rate, email, now) && is_peer_ok &&
           rate_take(&server->password_rate, now);
}

/* A password being checked. */
struct attempt {
    struct request *request;
    struct hasher_job *job;
    struct object_user user; /* id 0: there is no such user */
};


int people_begin_session(struct request *request, struct object_user *user, const char *event, struct error *err)
{
    struct server *server = request->server;
    int64_t seconds = server->config->session_hours * 3600LL;
    char secret[AUTH_SECRET_BYTES];
    int rc = auth_make_token(server, &object_session_kind, user->head.id, seconds, false, secret, err);
    if (!rc) {
        user->last_login_s = server_now_s(server);
        rc = object_put(server->store, &object_user_kind, user, user->last_login_s, err);
    }
    request->user = *user;
    request->who = REQUEST_SESSION;
    if (!rc)
        rc = change_note(request, user->login_aid, event, "userDisplayName", user->name, err);
    if (rc)
        return rc;
    set_cookie(request, secret, seconds);
    http_add_header(request->http, "Cache-Control", "no-store");
    return 0;
}

int people_check_way_in(struct request *request, const struct object_user *user, enum permission permission,
                        struct error *err)
{
    struct permission_set may;
    int rc = auth_permissions(request->server->store, user, user->login_aid, request->arena, &may, err);
    if (!rc && !permission_has(&may, permission))
        rc = error_set(err, E_PERMISSION, "", "your roles do not include the permission \"%s\"",
                       permission_infos[permission].label);
    return rc;
}

/* Tells nothing but that it failed; the log has the name that was tried. */
static int refuse_login(struct request *request, const struct object_user *user, const char *email, struct error *err)
{
    request->server->tally.logins_refused++;
    int rc = change_note(request, user->login_aid, "Login failed", "userEmail", email, err);
    return rc ? rc : error_set(err, E_AUTH, "", "The e-mail address or the password is wrong");
}

/* The password was right, and the user is still the one it was right for. */
static int let_in(struct request *request, struct object_user *user, struct error *err)
{
    const struct login *login = request->record;
    int rc = people_check_way_in(request, user, PERMISSION_LOGIN_VIA_PASSWORD, err);
    if (rc)
        return rc;
    if (user->totp_key) {
        enum second_factor result;
        rc = second_factor_check(request, user, login->code, &result, err);
        if (rc || result == SECOND_FACTOR_ANSWERED)
            return rc;
        if (result == SECOND_FACTOR_WRONG)
            return refuse_login(request, user, login->email, err);
    }
    rc = people_begin_session(request, user, "Login successful", err);
    return rc ? rc : answer_session(request, user, err);
}

static int go_on(struct attempt *attempt, bool is_right, struct error *err)
{
    struct request *request = attempt->request;
    const struct login *login = request->record;
    struct object_user user = {0};
    int rc = is_right ? object_get(request->server->store, &object_user_kind, attempt->user.head.id, 0, request->arena, &user, err)
                      : -E_NOT_FOUND;
    if (rc == -E_NOT_FOUND || (!rc && !str_equal(user.password_hash, attempt->user.password_hash)))
        return refuse_login(request, &attempt->user, login->email, err);
    return rc ? rc : let_in(request, &user, err);
}

static void on_checked(void *user, bool is_right)
{
    struct attempt *attempt = user;
    struct request *request = attempt->request;
    struct error err = {0};
    request->gone = NULL;
    int rc = go_on(attempt, is_right && attempt->user.password_hash, &err);
    if (rc)
        request_answer_error(request, rc, &err);
    request_resume(request);
}

static void on_gone(struct request *request)
{
    hasher_cancel(((struct attempt *)request->waiting)->job);
}

/* Takes as long for an unknown user, and for one who signs in elsewhere only, as for a wrong password. */
static int sign_in(struct request *request, struct error *err)
{
    static const char nobody[] = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const struct login *login = request->record;
    struct server *server = request->server;
    const char *name = auth_login_name(request->arena, login->email);
    struct attempt *attempt = arena_alloc(request->arena, sizeof *attempt);
    if (!people_may_try(request, name)) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        return 0;
    }
    if (!attempt)
        return error_set(err, E_LIMIT, "", "no memory");
    attempt->request = request;
    int rc = object_find(server->store, &object_user_kind, 0, name, request->arena, &attempt->user, err);
    if (rc && rc != -E_NOT_FOUND)
        return rc;
    const char *hash = rc ? NULL : attempt->user.password_hash;
    attempt->job = hasher_check(server->hasher, hash ? hash : nobody, login->password, on_checked, attempt);
    if (!attempt->job)
        return error_set(err, E_AGAIN, "", "too many people sign in at once; try again");
    request->waiting = attempt;
    request_wait(request, on_gone);
    return 0;
}

static int get_session(struct request *request, struct error *err)
{
    return answer_session(request, &request->user, err);
}

static int sign_out(struct request *request, struct error *err)
{
    if (request->who == REQUEST_SESSION) {
        int rc = store_purge(request->server->store, object_session_kind.name, request->session.head.id, err);
        if (rc)
            return rc;
    }
    int rc = change_note(request, request->user.login_aid, "Logout", "userDisplayName", request->user.name, err);
    if (rc)
        return rc;
    set_cookie(request, "", 0);
    request_answer_empty(request, 204);
    return 0;
}

static int change_password(struct request *request, struct error *err)
{
    const struct new_password *change = request->record;
    struct object_user user = request->user;
    struct server *server = request->server;
    if (!people_may_try(request, user.login)) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        return 0;
    }
    if (!auth_check_password(user.password_hash, change->current))
        return error_set(err, E_INVALID, "current", "This is not the password so far");
    if (strcmp(change->current, change->new) == 0)
        return error_set(err, E_INVALID, "new", "Choose another password than the one so far");
    int rc = auth_check_new_password(&user, change->new, err);
    if (!rc)
        rc = auth_hash_password(change->new, request->arena, &user.password_hash, err);
    if (rc)
        return rc;
    bool was_first = user.must_change_password;
    user.must_change_password = false;
    rc = object_put(server->store, &object_user_kind, &user, server_now_s(server), err);
    if (!rc)
        rc = change_note(request, user.login_aid, "Password changed", "userDisplayName", user.name, err);
    if (!rc)
        rc = people_end_sessions(request, user.head.id, request->session.head.id, err); /* who had the old one is out */
    if (rc)
        return rc;
    if (was_first)
        first_forget_password(server);
    request_answer_empty(request, 204);
    return 0;
}

void api_drop_sessions(struct server *server)
{
    struct field_list sessions = {0};
    struct arena arena;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    int rc = object_list(server->store, &object_session_kind, 0, NULL, &arena, &sessions, NULL);
    const struct object_token *session = sessions.items;
    for (size_t i = 0; !rc && i < sessions.count; i++) {
        bool is_too_many = sessions.count - i > LIMIT_SESSIONS;
        if (is_too_many)
            limit_hit(LIMIT_KIND_SESSIONS);
        if (is_too_many || !auth_is_session_alive(server, &session[i]))
            rc = store_purge(server->store, object_session_kind.name, session[i].head.id, NULL);
    }
    arena_done(&arena);
}

#define ANYBODY (ROUTE_OCULI | ROUTE_SECRET | ROUTE_NO_AID | ROUTE_ANY_PASSWORD)

const struct route api_session_routes[] = {
    ROUTE("POST", "/oculi/v1/session", PERMISSION_PUBLIC, "signIn", sign_in,
          (.request = &login_table, .response = &session_table, .flags = ANYBODY), "Sign in"),
    ROUTE("GET", "/oculi/v1/session", PERMISSION_SIGNED_IN, "getSession", get_session,
          (.response = &session_table, .flags = ANYBODY), "Who is signed in"),
    ROUTE("DELETE", "/oculi/v1/session", PERMISSION_SIGNED_IN, "signOut", sign_out, (.status = 204, .flags = ANYBODY),
          "Sign out"),
    ROUTE("PUT", "/oculi/v1/session/password", PERMISSION_SIGNED_IN, "changePassword", change_password,
          (.request = &new_password_table, .status = 204, .flags = ANYBODY), "Choose another password"),
    {0},
};
