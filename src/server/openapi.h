/*
 * Descriptions of the API, derived from the route and field tables: an OpenAPI 3.0 document of the v7 operations this
 * version offers, and TypeScript types of every record that crosses the API for the web UI.
 */
#ifndef OCULI_SERVER_OPENAPI_H
#define OCULI_SERVER_OPENAPI_H

#include <jansson.h>

#include "base/buf.h"
#include "server/route.h"

/* url: of the server, without /v7. A new reference. */
json_t *openapi_document(const struct route_set *routes, const char *url);

void openapi_print(const struct route_set *routes, struct buf *out);
void openapi_typescript(const struct route_set *routes, struct buf *out);

#endif
