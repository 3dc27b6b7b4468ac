#include "server/second_factor.h"

#include <sodium.h>
#include <string.h>

#include "server/auth.h"
#include "server/problem.h"
#include "server/seal.h"
#include "server/totp.h"

#define FREE_TRIES 5
#define WAIT_MAX_S 900

/* Takes the code out of those that still work, when it is one of them. */
static bool take_recovery_code(struct object_user *user, const char *code)
{
    char hash[AUTH_HASH_BYTES];
    const char **hashes = user->recovery_codes.items;
    auth_hash_secret(code, hash);
    for (size_t i = 0; i < user->recovery_codes.count; i++) {
        if (strlen(hashes[i]) != strlen(hash) || sodium_memcmp(hashes[i], hash, strlen(hash)) != 0)
            continue;
        hashes[i] = hashes[--user->recovery_codes.count];
        return true;
    }
    return false;
}

static void ask_for_code(struct request *request)
{
    json_t *problem = problem_new(401, NULL, "A code of your second factor is needed too.", request->http->path);
    (void)json_object_set_new(problem, "errors",
                              json_pack("[{s:s, s:s, s:s}]", "code", "required", "field", "code", "message",
                                        "Enter the code your authenticator shows, or a recovery code"));
    request_answer_json_problem(request, 401, problem);
}

static int is_right(struct request *request, struct object_user *user, const char *code, bool *ret_is_right,
                    struct error *err)
{
    const char *key;
    int rc = seal_open(request->server->seal, SECOND_FACTOR_PURPOSE, user->totp_key, request->arena, &key, err);
    if (rc)
        return rc;
    *ret_is_right = strlen(code) == TOTP_DIGITS
                        ? totp_check(key, code, server_now_s(request->server), user->totp_step, &user->totp_step)
                        : take_recovery_code(user, code);
    return 0;
}

int second_factor_check(struct request *request, struct object_user *user, const char *code,
                        enum second_factor *ret_result, struct error *err)
{
    int64_t now = server_now_s(request->server);
    bool right = false;
    *ret_result = SECOND_FACTOR_ANSWERED;
    if (!code || !*code) {
        ask_for_code(request);
        return 0;
    }
    if (now < user->totp_wait_s) {
        request_answer_problem(request, 429, NULL, "Too many wrong codes; wait some minutes.");
        return 0;
    }
    int rc = is_right(request, user, code, &right, err);
    if (rc)
        return rc;
    user->totp_failures = right ? 0 : user->totp_failures + 1;
    int over = user->totp_failures - FREE_TRIES;
    int64_t wait = over < 0 ? 0 : over >= 5 ? WAIT_MAX_S : 30LL << over;
    user->totp_wait_s = wait ? now + wait : 0;
    *ret_result = right ? SECOND_FACTOR_RIGHT : SECOND_FACTOR_WRONG;
    return object_put(request->server->store, &object_user_kind, user, now, err);
}
