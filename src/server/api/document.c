/*
 * /v7/openapi.json: the description of this API, made from the tables that serve it.
 */
#include "server/api/api.h"
#include "server/openapi.h"

static int get_document(struct request *request, struct error *err)
{
    (void)err;
    json_t *document = openapi_document(&request->server->routes, request_url(request, "%s", ""));
    request_answer(request, 200, document);
    return 0;
}

const struct route api_document_routes[] = {
    ROUTE("GET", "/v7/openapi.json", PERMISSION_PUBLIC, "getOpenApi", get_document,
          (.flags = ROUTE_OCULI | ROUTE_NO_AID), "The OpenAPI document of this server"),
    {0},
};
