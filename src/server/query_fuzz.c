/* Any request target: decoding, finding the route, and what a query says about windows, pages and numbers. */
#include <assert.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/page.h"

#define NOW_S 1790000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(struct request *request)
{
    struct error err;
    struct page_window window;
    struct page_cursor cursor;
    int64_t number;
    int rc = page_read_window(request, &window, &err);
    assert(rc == 0 || *err.where);
    if (rc == 0)
        assert(window.from_s >= 0 && (window.has_start || window.from_s < window.until_s));
    rc = page_read_cursor(request, 7, &cursor, &err);
    assert(rc == 0 || strcmp(err.where, "cursor") == 0);
    rc = request_query_i64(request, "max", 1, 100, 50, &number, &err);
    assert(rc || (number >= 1 && number <= 100));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server server;
    static struct clock_sim clock;
    if (!server.clock) {
        clock_sim_init(&clock, NOW_S * CLOCK_S);
        server.clock = &clock.clock;
        route_set_init(&server.routes, api_tables);
    }
    struct http_request http = {0};
    struct request request = {.server = &server, .http = &http, .arena = &http.arena};
    arena_init(&http.arena, LIMIT_REQUEST_ARENA);
    http_parse_uri(&http, arena_strndup(&http.arena, (const char *)data, size));
    assert(http.param_count <= HTTP_QUERY_MAX);
    for (size_t i = 0; i < http.param_count; i++)
        assert(str_is_utf8(http.params[i].value, strlen(http.params[i].value)));
    if (http.path) {
        static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
        route_find(&server.routes, methods[size % 4], http.path, &http.arena, &request.match);
        assert(!request.match.entry || request.match.is_path_known);
        uint64_t id;
        struct error err;
        if (request.match.param_count > 0)
            (void)request_id(&request, request.match.params[0].name, &id, &err);
    }
    check_query(&request);
    arena_done(&http.arena);
    return 0;
}
