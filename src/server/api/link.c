/*
 * /oculi/v1/agent: what agents ask (docs/protocols.md).
 */
#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/body.h"
#include "server/gather.h"
#include "server/plan.h"
#include "server/presence.h"
#include "server/reports.h"
#include "server/seal.h"
#include "server/stream.h"
#include "wire/message.h"

/* --- registration ---------------------------------------------------------------------------------------------------------- */

/* One of those made beside the account groups' own; the secret is hashed, so that the search tells nothing of it. */
static int find_other_token(struct request *request, const char *token, uint64_t *ret_aid, struct error *err)
{
    struct api_join_token found;
    int rc = api_find_join_token(request, token ? token : "", &found, err);
    if (rc)
        return rc;
    *ret_aid = found.head.aid;
    found.used_s = server_now_s(request->server);
    return object_put(request->server->store, &api_join_token_kind, &found, found.used_s, err);
}

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
        return find_other_token(request, token, ret_aid, err);
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
    rc = change_put(request, &object_agent_kind, &agent, err);
    if (rc)
        return rc;
    presence_seen(server->presence, aid, agent.head.id);
    api_agent_changed(server, aid, agent.head.id);
    struct message_identity identity = {agent.head.id, secret, aid};
    request_answer_cbor(request, 201, &message_identity_table, &identity);
    return 0;
}

/* It spoke: a member of a cluster is there again. */
static void note_seen(struct request *request)
{
    struct server *server = request->server;
    struct error err = {0};
    char text[600];
    presence_seen(server->presence, request->agent.head.aid, request->agent.head.id);
    int rc = plan_member_seen(server->plan, request->agent.head.id, &err);
    if (rc)
        log_warning("plan", "a cluster is not dealt anew yet: %s", error_format(&err, text, sizeof text));
}

/* --- plan -------------------------------------------------------------------------------------------------------------------- */

#define WAIT_MAX_S 55

/* An agent's long poll. It is answered from the timer, never from inside the change that wakes it. */
struct waiting {
    struct plan_waiter waiter; /* first */
    struct loop_timer timer;
    struct request *request;
    int64_t version; /* what the agent has */
};

/* The password is opened for the agent that needs it, and nowhere else. */
static int add_proxy(struct request *request, struct message_plan *plan, struct error *err)
{
    struct store *store = request->server->store;
    struct object_agent agent;
    struct api_proxy proxy;
    int rc = object_get(store, &object_agent_kind, object_agent_shown_id(&request->agent), 0, request->arena, &agent, err);
    if (rc || !agent.proxy_id)
        return rc == -E_NOT_FOUND ? 0 : rc;
    rc = object_get(store, &api_proxy_kind, agent.proxy_id, 0, request->arena, &proxy, err);
    if (rc)
        return rc == -E_NOT_FOUND ? 0 : rc;
    struct message_proxy *message = arena_alloc(request->arena, sizeof *message);
    if (!message)
        return error_set(err, E_LIMIT, "plan", "the plan does not fit the memory of this request");
    *message = (struct message_proxy){.proxy_id = proxy.head.id,
                                      .name = proxy.name,
                                      .type = api_proxy_type_words[proxy.type],
                                      .location = proxy.location,
                                      .auth = proxy.auth < 0 ? NULL : api_proxy_auth_words[proxy.auth],
                                      .user = proxy.user,
                                      .bypass = proxy.bypass.items ? proxy.bypass : (struct field_list){"", 0}};
    if (proxy.password)
        rc = seal_open(request->server->seal, API_PROXY_PURPOSE, proxy.password, request->arena, &message->password, err);
    plan->proxy = message;
    return rc;
}

static int answer_plan(struct request *request, int64_t known_version, bool is_asked_now, struct error *err)
{
    struct plan *plan = request->server->plan;
    int64_t version;
    int rc = plan_version(plan, request->agent.head.id, &version, err);
    if (rc)
        return rc == -E_NOT_FOUND ? error_set(err, E_AUTH, "", "this agent is not known here") : rc;
    if (version == known_version && !is_asked_now) {
        request_answer_empty(request, 204);
        return 0;
    }
    struct message_plan message;
    rc = plan_build(plan, request->agent.head.id, request->arena, &message, err);
    if (!rc)
        rc = add_proxy(request, &message, err);
    if (rc)
        return rc;
    message.server_ns = clock_wall_ns(request->server->clock);
    request_answer_cbor(request, 200, &message_plan_table, &message);
    return 0;
}

/* The machine is another agent since it asked, or none: it asks again and hears. */
static bool has_moved(struct request *request)
{
    struct object_agent agent;
    int rc = object_get(request->server->store, &object_agent_kind, request->agent.head.id, 0, request->arena, &agent, NULL);
    return rc == -E_NOT_FOUND ||
           (!rc && (!agent.secret_hash || strcmp(agent.secret_hash, request->agent.secret_hash) != 0));
}

static void on_plan_due(void *user)
{
    struct waiting *waiting = user;
    struct request *request = waiting->request;
    struct error err = {0};
    plan_unwait(&waiting->waiter);
    /* No word of a cluster's member: it may be gone, and has some seconds to ask anew. */
    presence_seen(request->server->presence, request->agent.head.aid, request->agent.head.id);
    if (has_moved(request)) {
        request_answer_empty(request, 204);
        http_resume(request->http);
        return;
    }
    int rc = answer_plan(request, waiting->version, false, &err);
    if (rc)
        request_answer_error(request, rc, &err);
    request_resume(request); /* a plan that a power cut takes back is worse than none */
}

static void on_plan_changed(struct plan_waiter *waiter)
{
    struct waiting *waiting = (struct waiting *)waiter;
    struct loop *loop = waiting->request->server->loop;
    loop_timer_start(loop, &waiting->timer, loop_now_ns(loop));
}

static void on_plan_gone(struct request *request)
{
    struct waiting *waiting = request->waiting;
    loop_timer_stop(request->server->loop, &waiting->timer);
    if (waiting->waiter.agent) /* not answered: the connection was cut */
        plan_member_gone(request->server->plan, request->agent.head.id);
    plan_unwait(&waiting->waiter);
}

static int get_plan(struct request *request, struct error *err)
{
    struct server *server = request->server;
    uint64_t id = request->agent.head.id;
    int64_t known, seconds, version;
    char why[200];
    if (!reports_instance(server->reports, id, http_header(request->http, MESSAGE_INSTANCE_HEADER),
                          http_peer(request->http), why, sizeof why)) {
        request_answer_problem(request, 409, NULL, why);
        return 0;
    }
    note_seen(request);
    api_stream_told(server);
    int rc = request_query_i64(request, "version", 0, INT64_MAX, 0, &known, err);
    if (!rc)
        rc = request_query_i64(request, "wait", 0, INT64_MAX, 0, &seconds, err);
    if (!rc)
        rc = plan_version(server->plan, id, &version, err);
    if (rc)
        return rc == -E_NOT_FOUND ? error_set(err, E_AUTH, "", "this agent is not known here") : rc;
    if (known == 0 || version != known || seconds == 0)
        return answer_plan(request, known, known == 0, err);
    struct waiting *waiting = arena_alloc(request->arena, sizeof *waiting);
    if (!waiting)
        return error_set(err, E_LIMIT, "", "no memory to wait");
    *waiting = (struct waiting){.waiter.wake = on_plan_changed,
                                .timer = {.fn = on_plan_due, .user = waiting},
                                .request = request,
                                .version = known};
    rc = plan_wait(server->plan, id, &waiting->waiter, err);
    if (rc)
        return rc;
    request->waiting = waiting;
    request_wait(request, on_plan_gone);
    int64_t most = plan_is_member(server->plan, id) ? PLAN_MEMBER_WAIT_S : WAIT_MAX_S;
    if (seconds > most)
        seconds = most;
    loop_timer_start(server->loop, &waiting->timer, loop_now_ns(server->loop) + seconds * CLOCK_S);
    return 0;
}

/* --- results ----------------------------------------------------------------------------------------------------------------- */

struct upload {
    struct gather_batch batch; /* first */
    struct request *request;
};

static int read_upload(struct gather_batch *batch, struct arena *arena, struct message_batch *ret_batch,
                       struct error *err)
{
    struct request *request = ((struct upload *)batch)->request;
    int rc = body_take(request, &message_batch_table, ret_batch, arena, err);
    if (!rc && ret_batch->clock_offset_ns != FIELD_NO_I64)
        presence_set_clock(request->server->presence, request->agent.head.id, ret_batch->clock_offset_ns / 1000);
    if (!rc && ret_batch->agent_id == request->signed_in_as)
        ret_batch->agent_id = batch->agent_id; /* whose results these are here */
    return rc;
}

static void on_upload_ended(struct gather_batch *batch, int rc, const struct message_receipt *receipt,
                            const struct error *err)
{
    struct request *request = ((struct upload *)batch)->request;
    if (rc)
        request_answer_error(request, rc, err);
    else
        request_answer_cbor(request, 200, &message_receipt_table, receipt);
    http_resume(request->http);
}

static void on_upload_gone(struct request *request)
{
    gather_cancel(request->server->gather, request->waiting);
}

/* Read and taken when its turn comes, answered when it is on the disk. */
static int take_results(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct upload *upload = arena_alloc(request->arena, sizeof *upload);
    if (!upload)
        return error_set(err, E_LIMIT, "", "no memory to wait");
    *upload = (struct upload){.batch = {.agent_id = object_agent_shown_id(&request->agent),
                                        .aid = request->agent.head.aid,
                                        .read = read_upload,
                                        .ended = on_upload_ended},
                              .request = request};
    note_seen(request);
    request->waiting = &upload->batch;
    request_wait(request, on_upload_gone);
    gather_submit(server->gather, &upload->batch);
    return 0;
}

/* --- reports ----------------------------------------------------------------------------------------------------------------- */

static int take_report(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct message_report report;
    int rc = body_read(request, &message_report_table, &report, err);
    if (!rc)
        rc = field_check(&message_report_table, &report, err);
    if (!rc)
        rc = reports_take(server->reports, &request->agent, &report, err);
    if (rc)
        return rc;
    note_seen(request);
    if (report.clock_offset_ns != FIELD_NO_I64)
        presence_set_clock(server->presence, request->agent.head.id, report.clock_offset_ns / 1000);
    if (report.is_leaving)
        plan_member_gone(server->plan, request->agent.head.id);
    stream_agent(server->stream, request->agent.head.aid, object_agent_shown_id(&request->agent), "online");
    api_stream_told(server);
    request_answer_empty(request, 204);
    return 0;
}

static const char *const plan_queries[] = {"version", "wait", NULL};

const struct route api_link_routes[] = {
    ROUTE("POST", "/oculi/v1/agent/register", PERMISSION_PUBLIC, "registerAgent", register_agent,
          (.request = &message_registration_table, .response = &message_identity_table, .status = 201,
           .flags = ROUTE_OCULI | ROUTE_CBOR | ROUTE_NO_AID),
          "An agent joins an account group"),
    ROUTE("GET", "/oculi/v1/agent/plan", PERMISSION_AGENT, "getPlan", get_plan,
          (.response = &message_plan_table, .flags = ROUTE_OCULI | ROUTE_CBOR | ROUTE_NO_AID, .queries = plan_queries),
          "What an agent should run"),
    ROUTE("POST", "/oculi/v1/agent/results", PERMISSION_AGENT, "takeResults", take_results,
          (.request = &message_batch_table, .response = &message_receipt_table,
           .flags = ROUTE_OCULI | ROUTE_CBOR | ROUTE_NO_AID | ROUTE_SILENT),
          "What an agent measured"),
    ROUTE("POST", "/oculi/v1/agent/report", PERMISSION_AGENT, "takeReport", take_report,
          (.request = &message_report_table, .status = 204,
           .flags = ROUTE_OCULI | ROUTE_CBOR | ROUTE_NO_AID | ROUTE_SILENT),
          "How an agent is"),
    {0},
};
