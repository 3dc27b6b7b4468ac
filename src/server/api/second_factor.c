/*
 * /oculi/v1/session/second-factor: who signs in with a password adds a second factor, or takes it away. Both need the
 * password again: an unlocked screen is not enough.
 */
#include <stdio.h>
#include <string.h>

#include "server/api/people.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/seal.h"
#include "server/second_factor.h"
#include "server/totp.h"

struct state {
    bool is_on;
    int32_t recovery_codes;
};
static const struct field state_fields[] = {
    FIELD_BOOL(struct state, is_on, "enabled", (), "A code is asked for at sign-in"),
    FIELD_I32(struct state, recovery_codes, "recoveryCodesLeft", (), "Recovery codes that still work"),
};
static const struct field_table state_table =
    FIELD_TABLE("SecondFactor", struct state, state_fields, NULL, "The second factor of who asks");

struct proof {
    const char *password, *code;
};
static const struct field proof_fields[] = {
    FIELD_STR(struct proof, password, "password", (.flags = FIELD_REQUIRED | FIELD_SECRET, .max = 1024), "Password"),
    FIELD_STR(struct proof, code, "code", (.flags = FIELD_SECRET, .max = 64), "A code of the second factor there is"),
};
static const struct field_table proof_table =
    FIELD_TABLE("SecondFactorProof", struct proof, proof_fields, NULL, "Shows that it is you");

struct code {
    const char *code;
};
static const struct field code_fields[] = {
    FIELD_STR(struct code, code, "code", (.flags = FIELD_REQUIRED | FIELD_SECRET, .max = 64), "What the device shows"),
};
static const struct field_table code_table =
    FIELD_TABLE("SecondFactorCode", struct code, code_fields, NULL, "Shows that the device has the key");

struct enrolment {
    const char *key, *uri;
};
static const struct field enrolment_fields[] = {
    FIELD_STR(struct enrolment, key, "key", (), "The key, to type in; told once"),
    FIELD_STR(struct enrolment, uri, "uri", (), "The same for a device that reads it as a picture (otpauth)"),
};
static const struct field_table enrolment_table =
    FIELD_TABLE("SecondFactorEnrolment", struct enrolment, enrolment_fields, NULL, "A key to put into a device");

struct recovery {
    struct field_list codes; /* strings */
};
static const struct field recovery_fields[] = {
    FIELD_STRS(struct recovery, codes, "recoveryCodes", (), "Each signs in once without the device; told once"),
};
static const struct field_table recovery_table =
    FIELD_TABLE("RecoveryCodes", struct recovery, recovery_fields, NULL, "For when the device is lost");

static int get_state(struct request *request, struct error *err)
{
    (void)err;
    struct state state = {request->user.totp_key != NULL, (int32_t)request->user.recovery_codes.count};
    request_answer_record(request, 200, &state_table, &state);
    return 0;
}

/* The password, and a code when there is a second factor already. Answers when it will not do. */
static int prove(struct request *request, struct object_user *user, bool *ret_is_answered, struct error *err)
{
    const struct proof *proof = request->record;
    enum second_factor result = SECOND_FACTOR_RIGHT;
    if (!people_may_try(request, user->login)) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        *ret_is_answered = true;
        return 0;
    }
    if (!auth_check_password(user->password_hash, proof->password))
        return error_set(err, E_INVALID, "password", "This is not your password");
    if (!user->totp_key)
        return 0;
    if (!proof->code)
        return error_set(err, E_REQUIRED, "code", "must be given");
    int rc = second_factor_check(request, user, proof->code, &result, err);
    *ret_is_answered = result == SECOND_FACTOR_ANSWERED;
    if (!rc && result == SECOND_FACTOR_WRONG)
        rc = error_set(err, E_INVALID, "code", "This code is wrong or was used");
    return rc;
}

/* Begins: the key counts once a code has shown that the device has it. */
static int begin(struct request *request, struct error *err)
{
    struct object_user user = request->user;
    struct server *server = request->server;
    bool is_answered = false;
    char key[TOTP_KEY_TEXT_BYTES];
    int rc = prove(request, &user, &is_answered, err);
    if (rc || is_answered)
        return rc;
    totp_new_key(key);
    rc = seal_text(server->seal, SECOND_FACTOR_PURPOSE, key, request->arena, &user.totp_next_key, err);
    if (!rc)
        rc = object_put(server->store, &object_user_kind, &user, server_now_s(server), err);
    if (!rc)
        rc = change_note(request, user.login_aid, "Second factor begun", "userDisplayName", user.name, err);
    if (rc)
        return rc;
    char label[1000];
    size_t n = 0;
    for (const char *c = user.email; *c && n + 4 < sizeof label; c++) /* RFC 3986: '@' and the like are spelled */
        n += (size_t)snprintf(label + n, sizeof label - n, strchr("#%&+/=?", *c) ? "%%%02X" : "%c", (unsigned char)*c);
    const struct enrolment answer = {
        key, arena_printf(request->arena, "otpauth://totp/Oculi:%s?secret=%s&issuer=Oculi&algorithm=SHA1&digits=6&period=30",
                          label, key)};
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer_record(request, 201, &enrolment_table, &answer);
    return 0;
}

static int new_recovery_codes(struct request *request, struct object_user *user, struct recovery *ret_codes,
                              struct error *err)
{
    size_t count = SECOND_FACTOR_RECOVERY_CODES;
    const char **codes = arena_alloc_array(request->arena, count, sizeof *codes);
    const char **hashes = arena_alloc_array(request->arena, count, sizeof *hashes);
    for (size_t i = 0; codes && hashes && i < count; i++) {
        char code[AUTH_CODE_BYTES], hash[AUTH_HASH_BYTES];
        auth_new_code(code);
        auth_hash_secret(code, hash);
        codes[i] = arena_strdup(request->arena, code);
        hashes[i] = arena_strdup(request->arena, hash);
        if (!codes[i] || !hashes[i])
            return error_set(err, E_LIMIT, "", "no memory");
    }
    if (!codes || !hashes)
        return error_set(err, E_LIMIT, "", "no memory");
    user->recovery_codes = (struct field_list){hashes, count};
    ret_codes->codes = (struct field_list){codes, count};
    return 0;
}

static int finish(struct request *request, struct error *err)
{
    const struct code *given = request->record;
    struct object_user user = request->user;
    struct server *server = request->server;
    struct recovery answer = {0};
    const char *key;
    int64_t step = 0;
    if (!user.totp_next_key)
        return error_set(err, E_CONFLICT, "", "begin with POST first");
    if (!people_may_try(request, user.login)) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        return 0;
    }
    int rc = seal_open(server->seal, SECOND_FACTOR_PURPOSE, user.totp_next_key, request->arena, &key, err);
    if (!rc && !totp_check(key, given->code, server_now_s(server), 0, &step))
        rc = error_set(err, E_INVALID, "code", "This is not the code of the new key; is the device's clock right?");
    if (!rc)
        rc = new_recovery_codes(request, &user, &answer, err);
    if (rc)
        return rc;
    user.totp_key = user.totp_next_key;
    user.totp_next_key = NULL;
    user.totp_step = step;
    user.totp_failures = 0;
    user.totp_wait_s = 0;
    rc = object_put(server->store, &object_user_kind, &user, server_now_s(server), err);
    if (!rc)
        rc = change_note(request, user.login_aid, "Second factor added", "userDisplayName", user.name, err);
    if (!rc)
        rc = people_end_sessions(request, user.head.id, request->session.head.id, err);
    if (rc)
        return rc;
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer_record(request, 200, &recovery_table, &answer);
    return 0;
}

static int take_away(struct request *request, struct error *err)
{
    struct object_user user = request->user;
    bool is_answered = false;
    int rc = prove(request, &user, &is_answered, err);
    if (rc || is_answered)
        return rc;
    user.totp_key = user.totp_next_key = NULL;
    user.recovery_codes = (struct field_list){0};
    rc = object_put(request->server->store, &object_user_kind, &user, server_now_s(request->server), err);
    if (!rc)
        rc = change_note(request, user.login_aid, "Second factor removed", "userDisplayName", user.name, err);
    if (!rc)
        request_answer_empty(request, 204);
    return rc;
}

#define OWN .flags = ROUTE_OCULI | ROUTE_NO_AID | ROUTE_SECRET

const struct route api_second_factor_routes[] = {
    ROUTE("GET", "/oculi/v1/session/second-factor", PERMISSION_SIGNED_IN, "getSecondFactor", get_state,
          (.response = &state_table, OWN), "Whether I have a second factor"),
    ROUTE("POST", "/oculi/v1/session/second-factor", PERMISSION_SIGNED_IN, "beginSecondFactor", begin,
          (.request = &proof_table, .response = &enrolment_table, .status = 201, OWN), "Begin to add a second factor"),
    ROUTE("PUT", "/oculi/v1/session/second-factor", PERMISSION_SIGNED_IN, "finishSecondFactor", finish,
          (.request = &code_table, .response = &recovery_table, OWN), "Add it, with a first code of the device"),
    ROUTE("DELETE", "/oculi/v1/session/second-factor", PERMISSION_SIGNED_IN, "removeSecondFactor", take_away,
          (.request = &proof_table, .status = 204, OWN), "Take it away"),
    {0},
};
