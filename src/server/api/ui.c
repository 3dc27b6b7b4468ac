/*
 * What the web UI asks beyond v7 (docs/protocols.md): the first page, and events. Lists, timelines and paths are in
 * views.c.
 */
#include <string.h>

#include "server/api/api.h"
#include "server/auth.h"
#include "server/presence.h"
#include "server/stream.h"
#include "server/upkeep.h"

struct start {
    const char *agent_token, *server_url, *agent_command, *version, *warning;
    int64_t agents, tests;
};
static const struct field start_fields[] = {
    FIELD_STR(struct start, agent_token, "agentToken", (), "What an agent shows to register"),
    FIELD_STR(struct start, server_url, "serverUrl", (), "Where agents reach this server"),
    FIELD_STR(struct start, agent_command, "agentCommand", (), "What to type on the agent's machine"),
    FIELD_I64(struct start, agents, "agents", (), "Agents there are"),
    FIELD_I64(struct start, tests, "tests", (), "Tests there are"),
    FIELD_STR(struct start, version, "version", (), "Version of the server"),
    FIELD_STR(struct start, warning, "warning", (), "What the operator should look at: the store's budget, a failure"),
};
static const struct field_table start_table =
    FIELD_TABLE("Start", struct start, start_fields, NULL, "First-run facts");

static bool count_object(void *user, const struct store_object *object)
{
    (void)object;
    ++*(int64_t *)user;
    return true;
}

static int get_start(struct request *request, struct error *err)
{
    struct store *store = request->server->store;
    struct object_account_group group;
    struct start start = {.version = OCULI_VERSION};
    int rc = object_get(store, &object_account_group_kind, request->aid, 0, request->arena, &group, err);
    if (!rc)
        rc = store_list(store, object_agent_kind.name, request->aid, NULL, 0, 0, count_object, &start.agents, err);
    if (!rc)
        rc = store_list(store, object_test_kind.name, request->aid, NULL, 0, 0, count_object, &start.tests, err);
    if (rc)
        return rc;
    start.server_url = request_url(request, "%s", "");
    /* The token lets agents in: only who may change agents is told. */
    if (request_may(request, PERMISSION_EDIT_AGENTS)) {
        start.agent_token = group.agent_token;
        char text[500];
        const struct upkeep *upkeep = request->server->upkeep;
        const char *warning = upkeep ? upkeep_warning(upkeep, text, sizeof text) : NULL;
        start.warning = warning ? arena_strdup(request->arena, warning) : NULL;
        start.agent_command = arena_printf(request->arena, "oculi-agent --server %s --token %s", start.server_url,
                                           group.agent_token);
    }
    request_answer_record(request, 200, &start_table, &start);
    return 0;
}

/* --- events --------------------------------------------------------------------------------------------------------------- */

static void on_news(void *user)
{
    struct request *request = user;
    http_stream_wake(request->http);
}

#define CHECK_EVERY_S 10

/* A stream ends with the session or the permission it was opened with. */
static bool fill(struct http_request *http, struct buf *out)
{
    struct request *request = http->user;
    int64_t now = server_now_s(request->server);
    if (now - request->checked_s >= CHECK_EVERY_S) {
        request->checked_s = now;
        if (!auth_may_go_on(request)) {
            http->is_stream_ended = true;
            return false;
        }
    }
    return stream_take(request->waiting, out);
}

static void on_reader_gone(struct request *request)
{
    stream_leave(request->waiting);
}

static int get_stream(struct request *request, struct error *err)
{
    struct stream_topics topics;
    const char *text = request_query(request, "topics");
    int rc = stream_topics_read(text ? text : "", &topics, err);
    if (rc)
        return rc;
    struct stream_reader *reader = stream_join(request->server->stream, request->aid, &topics,
                                               http_header(request->http, "Last-Event-ID"), on_news, request);
    if (!reader)
        return error_set(err, E_AGAIN, "", "too many event streams are open");
    request->waiting = reader;
    request->checked_s = server_now_s(request->server);
    request->gone = on_reader_gone;
    request->http->fill = fill;
    request->http->response.is_stream = true;
    http_add_header(request->http, "Cache-Control", "no-store");
    http_add_header(request->http, "X-Accel-Buffering", "no");
    request_answer_text(request, 200, "text/event-stream", "", 0);
    return 0;
}

static const char *const stream_queries[] = {"topics", NULL};

const struct route api_ui_routes[] = {
    ROUTE("GET", "/oculi/v1/start", PERMISSION_VIEW_TESTS, "getStart", get_start,
          (.response = &start_table, .flags = ROUTE_OCULI | ROUTE_SECRET), "First-run facts"),
    ROUTE("GET", "/oculi/v1/stream", PERMISSION_VIEW_TESTS, "getStream", get_stream,
          (.flags = ROUTE_OCULI | ROUTE_PLAIN | ROUTE_AUTO, .queries = stream_queries), "Server-sent events"),
    {0},
};
