/*
 * What operators and their tools ask: is it up, is it ready, how is it doing.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/api/operator.h"
#include "server/upkeep.h"

#define TOKEN_FILE_BYTES 1024u
#define DISK_FULL_BYTES (64ull << 20)   /* below it the server is not ready */
#define DISK_SCARCE_BYTES (1024ull << 20) /* below it there is a warning */
#define BEHIND_S (2 * 3600)             /* the store's upkeep has had no idle moment for so long */

/* --- who may see ---------------------------------------------------------------------------------------------------- */

/* The file is read each time, so that a new token needs no restart. */
static bool shows_token(struct request *request, const char *path)
{
    static const char bearer[] = "Bearer ";
    const char *shown = http_header(request->http, "Authorization");
    struct buf token;
    struct error err = {0};
    char text[600];
    buf_init(&token, TOKEN_FILE_BYTES);
    if (file_read(path, &token, &err)) {
        log_error("metrics", "%s", error_format(&err, text, sizeof text));
        return false;
    }
    size_t size = strcspn(buf_str(&token), "\r\n");
    bool is_shown = size > 0 && shown && str_starts(shown, bearer) && strlen(shown) == sizeof bearer - 1 + size &&
                    sodium_memcmp(shown + sizeof bearer - 1, buf_str(&token), size) == 0;
    buf_done(&token);
    return is_shown;
}

bool operator_may_see(struct request *request)
{
    const char *path = request->server->config->metrics_token_file;
    if (path)
        return shows_token(request, path);
    const char *peer = http_peer(request->http);
    bool is_here = str_starts(peer, "127.") || str_equal(peer, "::1") || str_starts(peer, "::ffff:127.");
    return is_here && !http_header(request->http, "X-Forwarded-For") && !http_header(request->http, "Forwarded") &&
           !http_header(request->http, "X-Real-IP") && !http_header(request->http, "Via");
}

/* --- health ---------------------------------------------------------------------------------------------------------- */

static int get_health(struct request *request, struct error *err)
{
    (void)err;
    request_answer_text(request, 200, "text/plain; charset=utf-8", "ok\n", 3);
    return 0;
}

bool operator_disk(const struct server *server, struct operator_disk *ret_disk)
{
    struct statvfs fs;
    if (statvfs(server->config->data, &fs) != 0)
        return false;
    *ret_disk = (struct operator_disk){.size = (uint64_t)fs.f_blocks * fs.f_frsize, .free = (uint64_t)fs.f_bavail * fs.f_frsize};
    return true;
}

/* One line for each thing that must work: what it is, how it is, and for those who may see it why. */
struct readiness {
    struct buf lines;
    bool is_ready, shows_why;
};

static void judge(struct readiness *ready, const char *what, bool is_ok, const char *why)
{
    buf_printf(&ready->lines, "%s: %s", what, is_ok ? (why ? "warning" : "ok") : "not ready");
    if (why && ready->shows_why)
        buf_printf(&ready->lines, ": %s", why);
    buf_putc(&ready->lines, '\n');
    ready->is_ready &= is_ok;
}

static void judge_disk(struct readiness *ready, const struct server *server)
{
    struct operator_disk disk;
    char why[200];
    if (!operator_disk(server, &disk)) {
        judge(ready, "disk", false, "the data directory cannot be looked at");
        return;
    }
    (void)snprintf(why, sizeof why, "%llu MiB are free", (unsigned long long)(disk.free >> 20));
    judge(ready, "disk", disk.free >= DISK_FULL_BYTES, disk.free < DISK_SCARCE_BYTES ? why : NULL);
}

static void judge_upkeep(struct readiness *ready, const struct server *server)
{
    char why[500];
    const struct upkeep_state *state = upkeep_state(server->upkeep);
    int64_t behind_s = server_now_s(server) - state->idle_s;
    const char *warning = upkeep_warning(server->upkeep, why, sizeof why);
    bool is_behind = behind_s > BEHIND_S;
    if (is_behind && !warning)
        (void)snprintf(why, sizeof why, "packing results is %d minutes behind", (int)(behind_s / 60));
    judge(ready, "upkeep", !is_behind, is_behind || warning ? why : NULL);
}

/* Ready means that agents and people are served and will be; what an operator should look at soon is a warning. */
static int get_ready(struct request *request, struct error *err)
{
    struct server *server = request->server;
    struct store_stats stats;
    struct readiness ready = {.is_ready = true, .shows_why = operator_may_see(request)};
    buf_init(&ready.lines, 8192);
    int rc = store_stats(server->store, &stats, err);
    judge(&ready, "store", rc == 0, rc ? err->text : NULL);
    judge_disk(&ready, server);
    if (server->upkeep)
        judge_upkeep(&ready, server);
    const char *text = arena_printf(request->arena, "%s\n%s", ready.is_ready ? "ready" : "not ready", buf_str(&ready.lines));
    buf_done(&ready.lines);
    if (text)
        request_answer_text(request, ready.is_ready ? 200 : 503, "text/plain; charset=utf-8", text, strlen(text));
    return text ? 0 : -E_LIMIT;
}

const struct route api_health_routes[] = {
    ROUTE("GET", "/healthz", PERMISSION_PUBLIC, "getHealth", get_health, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "The server runs"),
    ROUTE("GET", "/readyz", PERMISSION_PUBLIC, "getReady", get_ready, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "The server can serve"),
    ROUTE("GET", "/metrics", PERMISSION_PUBLIC, "getMetrics", operator_get_metrics, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "Counters for Prometheus, as its text format or OpenMetrics"),
    {0},
};
