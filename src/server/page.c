#include "server/page.h"

#include <sodium.h>
#include <string.h>

#include "base/str.h"

#define MAC_BYTES 16

struct sealed {
    uint64_t scope;
    int64_t first, second, from_s, until_s;
    unsigned char mac[MAC_BYTES];
};

int page_read_window(const struct request *request, struct page_window *ret_window, struct error *err)
{
    const char *window = request_query(request, "window");
    const char *start = request_query(request, "startDate"), *end = request_query(request, "endDate");
    int64_t now = server_now_s(request->server);
    *ret_window = (struct page_window){.until_s = now + 1};
    if (window && (start || end))
        return error_set(err, E_INVALID, "window", "Give either window or startDate and endDate, not both");
    if (end && !start)
        return error_set(err, E_INVALID, "startDate", "endDate needs a startDate");
    if (window) {
        int64_t seconds;
        if (str_to_duration_s(window, &seconds) != 0 || seconds <= 0)
            return error_set(err, E_INVALID, "window", "A window is a number and one of s, m, h, d, w");
        ret_window->is_given = ret_window->has_window = true;
        ret_window->from_s = seconds < now ? now - seconds : 0;
    }
    if (start) {
        if (clock_parse_iso(start, &ret_window->from_s) != 0)
            return error_set(err, E_INVALID, "startDate", "A date is written like 2022-07-17T22:00:54Z");
        ret_window->is_given = ret_window->has_start = true;
    }
    if (end) {
        int64_t until;
        if (clock_parse_iso(end, &until) != 0)
            return error_set(err, E_INVALID, "endDate", "A date is written like 2022-07-17T22:00:54Z");
        if (until < ret_window->from_s)
            return error_set(err, E_INVALID, "endDate", "endDate is before startDate");
        ret_window->until_s = until + 1;
    }
    return 0;
}

void page_echo_window(const struct page_window *window, json_t *answer)
{
    if (!window->is_given)
        return;
    char iso[CLOCK_ISO_BYTES];
    (void)json_object_set_new(answer, "startDate", json_string(clock_iso(window->from_s, iso, sizeof iso)));
    (void)json_object_set_new(answer, "endDate", json_string(clock_iso(window->until_s - 1, iso, sizeof iso)));
}

static void seal(const struct server *server, struct sealed *sealed)
{
    (void)crypto_generichash(sealed->mac, MAC_BYTES, (const unsigned char *)sealed, offsetof(struct sealed, mac),
                             server->key, sizeof server->key);
}

int page_read_cursor(const struct request *request, uint64_t scope, struct page_cursor *ret_cursor, struct error *err)
{
    const char *text = request_query(request, "cursor");
    *ret_cursor = (struct page_cursor){0};
    if (!text || !*text)
        return 0;
    struct sealed sealed, check;
    memset(&sealed, 0, sizeof sealed);
    if (str_unbase64url(text, &sealed, sizeof sealed) != (int)sizeof sealed)
        return error_set(err, E_INVALID, "cursor", "This cursor is not one of ours");
    check = sealed;
    seal(request->server, &check);
    if (sodium_memcmp(check.mac, sealed.mac, MAC_BYTES) != 0 || sealed.scope != scope)
        return error_set(err, E_INVALID, "cursor", "This cursor is not one of ours");
    *ret_cursor = (struct page_cursor){true, sealed.first, sealed.second, sealed.from_s, sealed.until_s};
    return 0;
}

void page_link_next(const struct request *request, json_t *answer, uint64_t scope, const struct page_cursor *cursor)
{
    struct sealed sealed;
    memset(&sealed, 0, sizeof sealed);
    sealed.scope = scope;
    sealed.first = cursor->first;
    sealed.second = cursor->second;
    sealed.from_s = cursor->from_s;
    sealed.until_s = cursor->until_s;
    seal(request->server, &sealed);
    char text[STR_BASE64_BYTES(sizeof sealed)];
    (void)str_base64url(&sealed, sizeof sealed, text);
    struct buf query;
    buf_init(&query, 65536);
    for (const char *at = request->http->query; *at;) {
        size_t length = strcspn(at, "&");
        if (length > 0 && strncmp(at, "cursor=", 7) != 0)
            buf_printf(&query, "%.*s&", (int)length, at);
        at += length;
        if (*at == '&')
            at++;
    }
    size_t path_length = strcspn(request->http->uri, "?");
    const char *url = request_url(request, "%.*s?%scursor=%s", (int)path_length, request->http->uri, buf_str(&query), text);
    buf_done(&query);
    request_link_self(request, answer, request_url(request, "%s", request->http->uri));
    (void)json_object_set_new(json_object_get(answer, "_links"), "next", json_pack("{s:s}", "href", url));
}
