#include "server/api/api.h"

#include "server/presence.h"
#include "server/stream.h"

#define PRESENCE_EVERY_S 15

const struct route *const api_tables[] = {
    api_health_routes, api_document_routes, api_session_routes, api_account_routes, api_agent_routes,
    api_test_routes,     api_link_routes,    api_ui_routes,      NULL,
};

static void on_stream_due(void *user)
{
    struct server *server = user;
    stream_tick(server->stream);
    loop_timer_start(server->loop, &server->stream_timer, stream_due_ns(server->stream));
}

static void on_presence_due(void *user)
{
    struct server *server = user;
    presence_check(server->presence);
    loop_timer_start(server->loop, &server->presence_timer, loop_now_ns(server->loop) + PRESENCE_EVERY_S * CLOCK_S);
}

int api_start(struct server *server, struct error *err)
{
    (void)err;
    server->stream = stream_new(server->clock);
    server->presence = presence_new(server->store, server->stream, server->clock);
    server->stream_timer = (struct loop_timer){.fn = on_stream_due, .user = server};
    server->presence_timer = (struct loop_timer){.fn = on_presence_due, .user = server};
    on_stream_due(server);
    on_presence_due(server);
    return 0;
}

void api_stop(struct server *server)
{
    if (!server->stream)
        return;
    loop_timer_stop(server->loop, &server->stream_timer);
    loop_timer_stop(server->loop, &server->presence_timer);
    presence_free(server->presence);
    stream_free(server->stream);
}

/* The hub holds rounds back for up to a second: its timer follows what it was just told. */
void api_stream_told(struct server *server)
{
    loop_timer_start(server->loop, &server->stream_timer, stream_due_ns(server->stream));
}

void api_test_changed(struct server *server, uint64_t aid, uint64_t test_id)
{
    stream_test(server->stream, aid, test_id);
    api_stream_told(server);
}

void api_agent_changed(struct server *server, uint64_t aid, uint64_t agent_id)
{
    bool is_here = presence_last_seen_s(server->presence, agent_id) != 0;
    stream_agent(server->stream, aid, agent_id, is_here ? "online" : "offline");
    api_stream_told(server);
}
