/*
 * Tokens with which agents join an account group. The account group's own (v7 accountToken) can be rotated: a new one is
 * shown from then on, and the one before works until somebody revokes it. Others can be made beside it, each with a name;
 * of all but the account group's own only a hash is kept, so that they are told once.
 */
#include <string.h>

#include "server/api/agents.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/first.h"
#include "server/resource.h"

#define R (.flags = FIELD_READONLY)
static const struct field stored_fields[] = {
    FIELD_STR(struct api_join_token, name, "name", (), "Its name"),
    FIELD_STR(struct api_join_token, hash, "hash", (.flags = FIELD_SECRET), "Hash of the token"),
    FIELD_STR(struct api_join_token, created_by, "createdBy", (), "Who made it"),
    FIELD_TIME(struct api_join_token, created_s, "createdDate", (), "When it was made"),
    FIELD_TIME(struct api_join_token, used_s, "lastUsed", (), "When an agent last joined with it"),
};
static const struct field_table stored_table =
    FIELD_TABLE("StoredAgentToken", struct api_join_token, stored_fields, NULL, "A token of agents as it is kept");
static const struct field request_fields[] = {
    FIELD_STR(struct api_join_token, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),
              "Its name, unique in the account group"),
};
static const struct field_table request_table =
    FIELD_TABLE("AgentTokenRequest", struct api_join_token, request_fields, NULL, "A token for agents");
static const struct field answer_fields[] = {
    FIELD_ID(struct api_join_token, head.id, "id", R, "Its id"),
    FIELD_STR(struct api_join_token, name, "name", (), "Its name"),
    FIELD_STR(struct api_join_token, created_by, "createdBy", R, "Who made it"),
    FIELD_TIME(struct api_join_token, created_s, "createdDate", R, "When it was made"),
    FIELD_TIME(struct api_join_token, used_s, "lastUsed", R, "When an agent last joined with it"),
};
static const struct field_table answer_table =
    FIELD_TABLE("AgentToken", struct api_join_token, answer_fields, NULL, "A token of agents, without its secret");

struct made_token {
    uint64_t id;
    const char *name, *token;
};
static const struct field made_fields[] = {
    FIELD_ID(struct made_token, id, "id", R, "Its id; none of the account group's own"),
    FIELD_STR(struct made_token, name, "name", R, "Its name"),
    FIELD_STR(struct made_token, token, "agentToken", R, "The token, told once"),
};
static const struct field_table made_table =
    FIELD_TABLE("MadeAgentToken", struct made_token, made_fields, NULL, "A new token of agents");

const struct object_kind api_join_token_kind = {.name = "agent-token",
                                                .table = &stored_table,
                                                .key = offsetof(struct api_join_token, name),
                                                .lookup = offsetof(struct api_join_token, hash),
                                                .title = "Agent token",
                                                .resource = "agentTokenName",
                                                .label = offsetof(struct api_join_token, name)};

static const struct resource tokens = {.kind = &api_join_token_kind,
                                       .path = "/oculi/v1/agent-tokens",
                                       .param = "tokenId",
                                       .uuid = OBJECT_NONE,
                                       .is_forgotten = true,
                                       .key = "name"};

int api_find_join_token(struct request *request, const char *token, struct api_join_token *ret_token, struct error *err)
{
    char hash[AUTH_HASH_BYTES];
    struct field_list found = {0};
    auth_hash_secret(token, hash);
    int rc = object_list(request->server->store, &api_join_token_kind, 0, hash, request->arena, &found, err);
    if (rc)
        return rc;
    const struct api_join_token *item = found.items;
    if (found.count != 1)
        return error_set(err, E_AUTH, "", "This account group token is not known");
    *ret_token = item[0];
    return 0;
}

static int keep(struct request *request, const char *name, const char *token, struct api_join_token *ret_token,
                struct error *err)
{
    char *hash = arena_alloc(request->arena, AUTH_HASH_BYTES);
    if (!hash)
        return error_set(err, E_LIMIT, "", "too large");
    auth_hash_secret(token, hash);
    *ret_token = (struct api_join_token){.head.aid = request->aid,
                                         .name = name,
                                         .hash = hash,
                                         .created_by = request->user.name,
                                         .created_s = server_now_s(request->server)};
    int rc = change_put(request, &api_join_token_kind, ret_token, err);
    return rc == -E_EXISTS ? error_set(err, E_EXISTS, "name", "There is a token of that name already") : rc;
}

static int answer_made(struct request *request, int status, uint64_t id, const char *name, const char *token)
{
    struct made_token answer = {id, name, token};
    http_add_header(request->http, "Cache-Control", "no-store");
    request_answer_record(request, status, &made_table, &answer);
    return 0;
}

static int create(struct request *request, struct error *err)
{
    const struct api_join_token *wanted = request->record;
    struct api_join_token made;
    char token[AUTH_SECRET_BYTES];
    auth_new_secret("oculi-agent_", token);
    int rc = keep(request, wanted->name, token, &made, err);
    return rc ? rc : answer_made(request, 201, made.head.id, made.name, token);
}

static int rotate(struct request *request, struct error *err)
{
    struct store *store = request->server->store;
    struct object_account_group group;
    struct api_join_token former;
    char token[AUTH_SECRET_BYTES], when[CLOCK_ISO_BYTES];
    int rc = object_get(store, &object_account_group_kind, request->aid, 0, request->arena, &group, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    const char *name = arena_printf(request->arena, "Replaced at %s",
                                    clock_iso(server_now_s(request->server), when, sizeof when));
    auth_new_secret("oculi-agent_", token);
    rc = group.agent_token ? keep(request, name, group.agent_token, &former, err) : 0;
    group.agent_token = token;
    if (!rc)
        rc = change_put(request, &object_account_group_kind, &group, err);
    if (!rc)
        rc = change_note(request, request->aid, "Account group token rotated", "accountGroupName", group.name, err);
    rc = store_end(store, rc, err);
    if (!rc)
        rc = first_tell_agent_token(request->server, err);
    return rc ? rc : answer_made(request, 200, 0, group.name, token);
}

#define PLAIN .response = &answer_table, .resource = &tokens
#define PATH "/oculi/v1/agent-tokens"

const struct route api_agent_token_routes[] = {
    ROUTE("GET", PATH, PERMISSION_EDIT_AGENTS, "getAgentTokens", resource_list,
          (PLAIN, .list = "agentTokens", .flags = ROUTE_OCULI), "List tokens with which agents join"),
    ROUTE("POST", PATH, PERMISSION_EDIT_AGENTS, "createAgentToken", create,
          (.request = &request_table, .response = &made_table, .status = 201, .flags = ROUTE_OCULI | ROUTE_SECRET),
          "Make a token with which agents join"),
    ROUTE("POST", PATH "/rotate", PERMISSION_EDIT_AGENTS, "rotateAgentToken", rotate,
          (.response = &made_table, .flags = ROUTE_OCULI | ROUTE_SECRET),
          "Make a new token of the account group; the one before works until it is revoked"),
    ROUTE("DELETE", PATH "/{tokenId}", PERMISSION_EDIT_AGENTS, "deleteAgentToken", resource_delete,
          (.resource = &tokens, .status = 204, .flags = ROUTE_OCULI), "Revoke a token; agents that joined with it stay"),
    {0},
};
