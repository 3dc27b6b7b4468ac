/*
 * /v7/api-tokens: the bearer token of who asks.
 */
#include "server/api/api.h"
#include "server/auth.h"
#include "server/change.h"

struct api_token {
    const char *token;
    int64_t valid_until_s;
};
static const struct field api_token_fields[] = {
    FIELD_STR(struct api_token, token, "bearerToken", (.flags = FIELD_READONLY), "The bearer token, told once"),
    FIELD_TIME(struct api_token, valid_until_s, "validUntil", (.flags = FIELD_READONLY), "Until when it works"),
};
static const struct field_table api_token_table =
    FIELD_TABLE("ApiToken", struct api_token, api_token_fields, NULL, "A new bearer token");

/* The token so far keeps working for some days; while it does, another cannot be made. */
static int create_token(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct field_list tokens = {0};
    int64_t now = server_now_s(server);
    int rc = object_list(server->store, &object_token_kind, 0, NULL, request->arena, &tokens, err);
    struct object_token *token = tokens.items;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].uid == request->user.head.id && token[i].is_replaced && token[i].expires_s > now)
            return error_set(err, E_CONFLICT, "", "a token was made less than %d days ago and the one before still works",
                             AUTH_OVERLAP_DAYS);
    }
    char secret[AUTH_SECRET_BYTES];
    if (!rc)
        rc = store_begin(server->store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].uid != request->user.head.id || token[i].is_local || token[i].expires_s <= now)
            continue;
        token[i].is_replaced = true;
        if (token[i].expires_s > now + AUTH_OVERLAP_DAYS * 86400LL)
            token[i].expires_s = now + AUTH_OVERLAP_DAYS * 86400LL;
        rc = object_put(server->store, &object_token_kind, &token[i], now, err);
    }
    if (!rc)
        rc = auth_make_token(server, &object_token_kind, request->user.head.id, AUTH_TOKEN_DAYS * 86400LL, false, secret,
                             err);
    if (!rc)
        rc = change_note(request, request->aid, "API token created", "userDisplayName", request->user.name, err);
    rc = store_end(server->store, rc, err);
    if (rc)
        return rc;
    struct api_token answer = {secret, now + AUTH_TOKEN_DAYS * 86400LL};
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer(request, 201, field_to_json(&api_token_table, &answer, NULL));
    return 0;
}

const struct route api_token_routes[] = {
    ROUTE("POST", "/v7/api-tokens", PERMISSION_API_ACCESS, "regenerateApiToken", create_token,
          (.response = &api_token_table, .status = 201, .flags = ROUTE_V7 | ROUTE_NO_AID | ROUTE_SECRET),
          "Make a new bearer token; the one before works for 14 more days"),
    {0},
};
