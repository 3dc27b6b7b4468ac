#include "agent/route.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define ROUTE_AGAIN_NS (3600 * CLOCK_S)     /* a PAC file may change */
#define ROUTE_AFTER_ERROR_NS (10 * CLOCK_S) /* no faster than that is one asked that failed */
#define ROUTE_FETCH_S 30

struct route {
    struct route_settings settings;
    struct proxy_choice choices[PROXY_CHOICES];
    size_t count, current;
    int64_t asked_ns; /* monotonic: when the choices, or why there are none, came; 0 = ask */
    bool is_asking;
    struct http_job *fetch;
    struct pac_job *job;
    struct loop_timer timer; /* an answer that is known at once is told later */
    char why[600];
};

static void settle(struct route *route)
{
    route->is_asking = false;
    route->asked_ns = loop_now_ns(route->settings.loop);
    route->current = 0;
    route->settings.known(route->settings.user);
}

static void fail(struct route *route, const char *why)
{
    (void)snprintf(route->why, sizeof route->why, "no proxy: %s: %s", route->settings.proxy->location, why);
    route->count = 0;
    settle(route);
}

static void on_answer(void *user, int rc, const char *answer, const struct error *err)
{
    struct route *route = user;
    route->job = NULL;
    if (rc) {
        fail(route, err->text);
        return;
    }
    route->count = proxy_parse_pac(answer, route->choices, PROXY_CHOICES);
    if (route->count == 0) {
        char why[300];
        (void)snprintf(why, sizeof why, "the PAC file answers \"%.200s\", which names none", answer);
        fail(route, why);
        return;
    }
    settle(route);
}

static void ask(struct route *route, const char *script, size_t size)
{
    const struct route_settings *s = &route->settings;
    if (!s->pac)
        fail(route, "PAC files are not supported here");
    else
        route->job = pac_start(s->pac, s->loop, script, size, s->url, s->host, on_answer, route);
}

static void on_fetched(void *user, const struct http_answer *answer)
{
    struct route *route = user;
    route->fetch = NULL;
    if (answer->status != 200)
        fail(route, answer->error);
    else
        ask(route, answer->body, answer->body_size);
}

static void read_file(void *user)
{
    struct route *route = user;
    const char *path = route->settings.proxy->location + strlen("file://");
    struct buf buf;
    struct error err = {0};
    buf_init(&buf, PAC_SCRIPT_BYTES);
    if (file_read(path, &buf, &err))
        fail(route, err.text);
    else
        ask(route, buf_str(&buf), buf.size);
    buf_done(&buf);
}

static void begin(struct route *route)
{
    const struct route_settings *s = &route->settings;
    route->is_asking = true;
    if (str_starts(s->proxy->location, "file://")) {
        loop_timer_start(s->loop, &route->timer, 0);
        return;
    }
    struct http_request request = {
        .method = "GET", .path = s->proxy->location, .is_foreign = true, .timeout_s = ROUTE_FETCH_S};
    route->fetch = http_start(s->http, &request, on_fetched, route);
}

bool route_find(struct route *route, const struct proxy_choice **ret_choice, const char **ret_why)
{
    bool is_pac = str_equal(route->settings.proxy->type, "pac");
    int64_t age_ns = loop_now_ns(route->settings.loop) - route->asked_ns;
    bool is_old = !route->asked_ns || age_ns > (route->count ? ROUTE_AGAIN_NS : ROUTE_AFTER_ERROR_NS);
    if (is_pac && is_old && !route->is_asking)
        begin(route);
    if (route->is_asking)
        return false;
    *ret_choice = route->count ? &route->choices[route->current] : NULL;
    *ret_why = route->why;
    return true;
}

void route_failed(struct route *route)
{
    if (route->count == 0 || ++route->current < route->count)
        return;
    route->current = 0;
    if (loop_now_ns(route->settings.loop) - route->asked_ns > ROUTE_AFTER_ERROR_NS)
        route->asked_ns = 0;
}

int route_new(const struct route_settings *settings, struct route **ret_route, struct error *err)
{
    int rc = proxy_check(settings->proxy, err);
    if (rc)
        return rc;
    struct route *route = mem_alloc(sizeof *route);
    route->settings = *settings;
    route->timer = (struct loop_timer){.fn = read_file, .user = route};
    const struct message_proxy *proxy = settings->proxy;
    if (!str_equal(proxy->type, "pac") || proxy_is_bypassed(&proxy->bypass, settings->host))
        route->count = 1; /* "" unless there is a static one */
    if (str_equal(proxy->type, "static") && !proxy_is_bypassed(&proxy->bypass, settings->host))
        (void)proxy_parse_location(proxy->location, &route->choices[0], NULL);
    if (route->count)
        route->asked_ns = INT64_MAX / 2; /* never asked for again */
    *ret_route = route;
    return 0;
}

void route_free(struct route *route)
{
    if (!route)
        return;
    if (route->fetch)
        http_cancel(route->fetch);
    if (route->job)
        pac_cancel(route->job);
    loop_timer_stop(route->settings.loop, &route->timer);
    mem_free(route);
}
