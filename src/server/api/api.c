#include "server/api/api.h"

const struct route *const api_tables[] = {
    api_health_routes, api_document_routes, api_session_routes, api_account_routes,
    api_agent_routes,  api_test_routes,     NULL,
};

int api_start(struct server *server, struct error *err)
{
    (void)server;
    (void)err;
    return 0;
}

void api_stop(struct server *server)
{
    (void)server;
}

void api_test_changed(struct server *server, uint64_t aid, uint64_t test_id)
{
    (void)server;
    (void)aid;
    (void)test_id;
}

void api_agent_changed(struct server *server, uint64_t aid, uint64_t agent_id)
{
    (void)server;
    (void)aid;
    (void)agent_id;
}

int64_t api_agent_last_seen(struct server *server, uint64_t agent_id)
{
    (void)server;
    (void)agent_id;
    return 0;
}
