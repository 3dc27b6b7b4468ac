/*
 * /oculi/v1/agent: what agents ask (docs/protocols.md).
 */
#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/str.h"
#include "server/api/api.h"
#include "server/auth.h"
#include "server/body.h"
#include "server/presence.h"
#include "wire/message.h"

/* --- registration ---------------------------------------------------------------------------------------------------------- */

/* Compares with every group's token, each in constant time. */
static int find_group(struct request *request, const char *token, uint64_t *ret_aid, struct error *err)
{
    struct field_list groups = {0};
    int rc = object_list(request->server->store, &object_account_group_kind, 0, NULL, request->arena, &groups, err);
    const struct object_account_group *group = groups.items;
    uint64_t aid = 0;
    for (size_t i = 0; !rc && i < groups.count; i++) {
        const char *known = group[i].agent_token;
        if (known && token && strlen(known) == strlen(token) && sodium_memcmp(known, token, strlen(known)) == 0)
            aid = group[i].head.id;
    }
    if (!rc && !aid)
        return error_set(err, E_AUTH, "", "This account group token is not known");
    *ret_aid = aid;
    return rc;
}

static const char *upper(struct arena *arena, const char *text)
{
    char *copy = text ? arena_strdup(arena, text) : NULL;
    for (char *c = copy; c && *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return copy;
}

static int register_agent(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct message_registration registration;
    const char *peer = http_peer(request->http);
    int64_t now = server_now_s(server);
    int rc = body_read(request, &message_registration_table, &registration, err);
    if (!rc)
        rc = field_check(&message_registration_table, &registration, err);
    uint64_t aid = 0;
    if (!rc)
        rc = find_group(request, registration.token, &aid, err);
    if (rc == -E_AUTH && !rate_take_key(&server->login_rate, peer, now)) {
        request_answer_problem(request, 429, NULL, "Too many tries; wait a minute.");
        return 0;
    }
    if (rc)
        return rc;
    char secret[AUTH_SECRET_BYTES], hash[AUTH_HASH_BYTES];
    auth_new_secret("", secret);
    auth_hash_secret(secret, hash);
    struct object_agent agent;
    memset(&agent, 0, sizeof agent);
    field_defaults(object_agent_kind.table, &agent);
    agent.head = (struct object_head){.aid = aid};
    agent.name = registration.agent_name ? registration.agent_name
                                         : registration.hostname ? registration.hostname : "agent";
    agent.hostname = registration.hostname;
    agent.software = registration.version;
    agent.location = registration.location;
    agent.country = upper(request->arena, registration.country_id);
    agent.latitude = registration.latitude;
    agent.longitude = registration.longitude;
    agent.ip_addresses = registration.addresses;
    agent.public_ip_addresses = (struct field_list){&peer, 1};
    if (registration.ipv6_policy >= 0)
        agent.ipv6_policy = registration.ipv6_policy;
    agent.secret_hash = hash;
    agent.created_s = agent.last_seen_s = now;
    rc = object_put(server->store, &object_agent_kind, &agent, now, err);
    if (rc)
        return rc;
    presence_seen(server->presence, aid, agent.head.id);
    api_stream_told(server);
    struct message_identity identity = {agent.head.id, secret, aid};
    request_answer_cbor(request, 201, &message_identity_table, &identity);
    return 0;
}

const struct route api_link_routes[] = {
    ROUTE("POST", "/oculi/v1/agent/register", PERMISSION_PUBLIC, "registerAgent", register_agent,
          (.request = &message_registration_table, .response = &message_identity_table, .status = 201,
           .flags = ROUTE_OCULI | ROUTE_CBOR | ROUTE_NO_AID),
          "An agent joins an account group"),
    {0},
};
