#include "server/request.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/str.h"
#include "server/auth.h"
#include "server/gather.h"
#include "server/problem.h"
#include "server/static.h"
#include "wire/json.h"

/* --- what was asked ------------------------------------------------------------------------------------------------ */

const char *request_param(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->match.param_count; i++) {
        if (str_equal(request->match.params[i].name, name))
            return request->match.params[i].value;
    }
    assert(false && "the pattern has this parameter");
    return "";
}

int request_id(const struct request *request, const char *name, uint64_t *ret_id, struct error *err)
{
    const char *text = request_param(request, name);
    if (str_to_u64(text, INT64_MAX, ret_id) != 0 || *ret_id == 0)
        return error_set(err, E_NOT_FOUND, name, "there is no %s \"%.80s\"", name, text);
    return 0;
}

const char *request_query(const struct request *request, const char *name)
{
    return http_param(request->http, name);
}

int request_query_i64(const struct request *request, const char *name, int64_t min, int64_t max, int64_t absent_value,
                      int64_t *ret_value, struct error *err)
{
    const char *text = request_query(request, name);
    if (!text || !*text) {
        *ret_value = absent_value;
        return 0;
    }
    int rc = str_to_i64(text, min, max, ret_value);
    if (rc == -E_RANGE)
        return error_set(err, E_RANGE, name, "must be from %lld to %lld", (long long)min, (long long)max);
    return rc ? error_set(err, E_INVALID, name, "must be a whole number") : 0;
}

bool request_expands(const struct request *request, const char *word)
{
    for (size_t i = 0; request->expand[i]; i++) {
        if (strcmp(request->expand[i], word) == 0)
            return true;
    }
    return false;
}

/* Both forms: ?expand=agent,label and ?expand=agent&expand=label. */
static void read_expand(struct request *request)
{
    size_t count = 0;
    for (size_t i = 0; i < request->http->param_count; i++) {
        if (strcmp(request->http->params[i].name, "expand") != 0)
            continue;
        const char *at = request->http->params[i].value;
        while (*at && count < REQUEST_EXPAND_MAX) {
            size_t length = strcspn(at, ",");
            if (length > 0)
                request->expand[count++] = arena_strndup(request->arena, at, length);
            at += length;
            if (*at == ',')
                at++;
        }
    }
}

/* --- addresses ------------------------------------------------------------------------------------------------------ */

static bool is_host(const char *text)
{
    return *text && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]")] == 0;
}

static const char *base_url(const struct request *request)
{
    if (request->server->config->public_url)
        return request->server->config->public_url;
    const char *host = http_header(request->http, "Host");
    if (!host || !is_host(host))
        host = request->server->config->listen;
    return arena_printf(request->arena, "%s://%s", http_is_tls(request->server->http) ? "https" : "http", host);
}

const char *request_url(const struct request *request, const char *format, ...)
{
    char path[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path, sizeof path, format, args);
    va_end(args);
    return arena_printf(request->arena, "%s%s", base_url(request), path);
}

void request_location(struct request *request, const char *url)
{
    http_add_header(request->http, "Location", url);
}

void request_link_self(const struct request *request, json_t *json, const char *url)
{
    (void)request;
    json_t *links = json_object_get(json, "_links");
    if (!links) {
        links = json_object();
        (void)json_object_set_new(json, "_links", links);
    }
    (void)json_object_set_new(links, "self", json_pack("{s:s}", "href", url));
}

/* --- media types ---------------------------------------------------------------------------------------------------- */

/* Whether an Accept header takes type/subtype with a weight above 0 (RFC 9110 section 12.5.1). */
static bool accepts(const char *accept, const char *type)
{
    if (!accept || !*accept)
        return true;
    size_t major = strcspn(type, "/");
    int best = -1;
    bool is_taken = false;
    for (const char *at = accept; *at;) {
        at += strspn(at, " ,");
        size_t range = strcspn(at, ",; "), all = strcspn(at, ",");
        int specific = -1;
        if (range == strlen(type) && strncasecmp(at, type, range) == 0)
            specific = 2;
        else if (range == major + 2 && strncasecmp(at, type, major + 1) == 0 && at[major + 1] == '*')
            specific = 1;
        else if (range == 3 && strncmp(at, "*/*", 3) == 0)
            specific = 0;
        if (specific > best) {
            char rest[64];
            (void)snprintf(rest, sizeof rest, "%.*s", (int)(all - range), at + range);
            const char *q = strstr(rest, "q=");
            best = specific;
            is_taken = !q || strtod(q + 2, NULL) > 0;
        }
        at += all;
    }
    return is_taken;
}

static const char *answer_type(const struct request *request)
{
    if (request->route && !(request->route->flags & ROUTE_V7))
        return "application/json";
    return accepts(http_header(request->http, "Accept"), "application/hal+json") ? "application/hal+json"
                                                                                 : "application/json";
}

static bool is_acceptable(const struct request *request)
{
    if (request->route->flags & (ROUTE_PLAIN | ROUTE_CBOR))
        return true;
    const char *accept = http_header(request->http, "Accept");
    return accepts(accept, "application/json") ||
           (request->route->flags & ROUTE_V7 && accepts(accept, "application/hal+json"));
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

/* The limits of the organization that asks; NULL when nobody has shown who he is. An account group stays in its
 * organization, so it is read once. */
static struct rate_org *org_of(struct request *request)
{
    struct rate_orgs *orgs = &request->server->rates;
    uint64_t aid = request->aid ? request->aid : request->user.login_aid;
    if (request->who != REQUEST_TOKEN && request->who != REQUEST_SESSION)
        return NULL;
    struct rate_org *org = rate_org_of(orgs, aid);
    struct object_account_group group;
    if (!org && object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, NULL) == 0)
        org = rate_org_add(orgs, aid, group.organization ? group.organization : "");
    return org;
}

/* Pages say more about themselves (static.c); an answer of the API is nothing that a browser should run or frame. */
static void add_security_headers(struct request *request)
{
    const struct http_response *response = &request->http->response;
    bool has_policy = false;
    for (size_t i = 0; i < response->header_count; i++)
        has_policy = has_policy || strcasecmp(response->headers[i].name, "Content-Security-Policy") == 0;
    http_add_header(request->http, "X-Content-Type-Options", "nosniff");
    http_add_header(request->http, "Cross-Origin-Resource-Policy", "same-origin");
    if (!has_policy)
        http_add_header(request->http, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    if (http_is_tls(request->server->http))
        http_add_header(request->http, "Strict-Transport-Security", "max-age=31536000");
}

static void add_common_headers(struct request *request)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)request->number);
    http_add_header(request->http, "X-Request-Id", text);
    add_security_headers(request);
    if (!request->match.is_path_known)
        return;
    struct rate_org *org = strncmp(request->http->path, "/v7/", 4) == 0 ? org_of(request) : NULL;
    if (!org)
        return;
    int64_t now = server_now_s(request->server);
    const struct {
        const char *names[3];
        struct rate *rate;
        bool is_sent;
    } rates[] = {
        {{"X-Organization-Rate-Limit-Limit", "X-Organization-Rate-Limit-Remaining",
          "X-Organization-Rate-Limit-Reset"}, &org->api, true},
        {{"X-Instant-Test-Rate-Limit-Limit", "X-Instant-Test-Rate-Limit-Remaining", "X-Instant-Test-Rate-Limit-Reset"},
         &org->instant, request->route && request->route->flags & ROUTE_INSTANT},
    };
    for (size_t i = 0; i < 2; i++) {
        if (!rates[i].is_sent || !rates[i].rate->limit)
            continue;
        uint32_t remaining = rate_remaining(rates[i].rate, now);
        (void)snprintf(text, sizeof text, "%u", rates[i].rate->limit);
        http_add_header(request->http, rates[i].names[0], text);
        (void)snprintf(text, sizeof text, "%u", remaining);
        http_add_header(request->http, rates[i].names[1], text);
        (void)snprintf(text, sizeof text, "%lld", (long long)rates[i].rate->window_end_s);
        http_add_header(request->http, rates[i].names[2], text);
    }
}

static void begin_answer(struct request *request, int status)
{
    assert(!request->http->response.status);
    request->http->response.status = status;
    add_common_headers(request);
}

static void answer_json(struct request *request, int status, const char *type, json_t *json)
{
    begin_answer(request, status);
    http_add_header(request->http, "Content-Type", type);
    struct buf *body = &request->http->response.body;
    json_dump_to_buf(json, 0, body);
    json_decref(json);
    if (body->is_overflowed) {
        buf_reset(body);
        body->is_overflowed = false;
        request->http->response.status = 413;
        buf_puts(body, "{\"type\":\"about:blank\",\"title\":\"the answer is too large; ask for less\",\"status\":413}");
    }
}

void request_answer(struct request *request, int status, json_t *json)
{
    if (request->route && request->route->flags & ROUTE_V7 && json_is_object(json) &&
        !json_object_get(json_object_get(json, "_links"), "self"))
        request_link_self(request, json, request_url(request, "%s", request->http->uri));
    if (request->route && !(request->route->flags & ROUTE_PLAIN) &&
        !strncmp(request->http->path, "/oculi/", 7) && request->http->response.header_count == 0)
        http_add_header(request->http, "Cache-Control", "no-store");
    answer_json(request, status, answer_type(request), json);
}

void request_answer_record(struct request *request, int status, const struct field_table *table, const void *record)
{
    request_answer(request, status, field_to_json(table, record, request->expand));
}

void request_answer_cbor(struct request *request, int status, const struct field_table *table, const void *record)
{
    begin_answer(request, status);
    http_add_header(request->http, "Content-Type", "application/cbor");
    field_to_cbor(table, record, &request->http->response.body);
}

void request_answer_text(struct request *request, int status, const char *type, const char *text, size_t size)
{
    begin_answer(request, status);
    http_add_header(request->http, "Content-Type", type);
    buf_put(&request->http->response.body, text, size);
}

void request_answer_empty(struct request *request, int status)
{
    begin_answer(request, status);
}

void request_answer_problem(struct request *request, int status, const char *title, const char *detail)
{
    answer_json(request, status, "application/problem+json",
                problem_new(status, title, detail, request->http->path ? request->http->path : ""));
}

void request_answer_json_problem(struct request *request, int status, json_t *problem)
{
    answer_json(request, status, "application/problem+json", problem);
}

void request_answer_error(struct request *request, int code, const struct error *err)
{
    int status = problem_status(code);
    if (status >= 500 && status != 501) {
        char text[600];
        log_error("request", "%s %s: %s", request->http->method, request->http->path,
                  err ? error_format(err, text, sizeof text) : error_name(-code));
    }
    if (status == 401) {
        http_add_header(request->http, "WWW-Authenticate", "Bearer");
        answer_json(request, 401, "application/problem+json",
                    json_pack("{s:s, s:s, s:s, s:s, s:i}", "error", "invalid_token", "error_description",
                              err && err->text[0] ? err->text : "Invalid access token", "type", "about:blank", "title",
                              "401 Unauthorized", "status", 401));
        return;
    }
    answer_json(request, status, "application/problem+json",
                problem_from_error(code, err, request->http->path ? request->http->path : ""));
}

void request_wait(struct request *request, void (*gone)(struct request *request))
{
    request->gone = gone;
    http_suspend(request->http);
}

/* --- answers that wait for the disk --------------------------------------------------------------------------------- */

struct held {
    struct gather_batch batch; /* first */
    struct request *request;
};

/* What was answered may not have happened: the client is told so instead, and asks again. */
static void on_flushed(struct gather_batch *batch, int rc, const struct message_receipt *receipt,
                       const struct error *err)
{
    struct request *request = ((struct held *)batch)->request;
    struct http_response *response = &request->http->response;
    (void)receipt;
    request->held = NULL;
    if (rc) {
        response->status = 0;
        response->header_count = 0;
        buf_reset(&response->body);
        request_answer_error(request, rc, err);
    }
    http_resume(request->http);
}

static bool hold(struct request *request)
{
    struct held *held = arena_alloc(request->arena, sizeof *held);
    if (!held)
        return false; /* no memory to wait: the answer goes out a moment too early */
    *held = (struct held){.batch = {.ended = on_flushed}, .request = request};
    request->held = &held->batch;
    gather_hold(request->server->gather, &held->batch);
    return true;
}

void request_resume(struct request *request)
{
    if (!gather_is_dirty(request->server->gather) || !hold(request))
        http_resume(request->http);
}

/* An answer that tells of a change this request made, or of a plan that agents then count from. */
static void hold_answer(struct request *request, uint64_t commits_before)
{
    struct server *server = request->server;
    const struct http_response *response = &request->http->response;
    bool has_changed = store_commits(server->store) != commits_before;
    bool is_plan = request->route->permission == PERMISSION_AGENT && gather_is_dirty(server->gather);
    if ((has_changed || is_plan) && response->status && !response->is_stream && !request->http->is_suspended &&
        hold(request))
        http_hold(request->http);
}

/* --- the mechanism -------------------------------------------------------------------------------------------------- */

static void on_gone(struct http_request *http)
{
    struct request *request = http->user;
    if (request->held)
        gather_cancel(request->server->gather, request->held);
    if (request->gone)
        request->gone(request);
    json_decref(request->body);
}

static bool is_api_path(const char *path)
{
    return strncmp(path, "/v7/", 4) == 0 || strcmp(path, "/v7") == 0 || strncmp(path, "/oculi/", 7) == 0 || strcmp(path, "/oculi") == 0;
}

/* 404, 405, and what v7 knows but this version does not offer. */
static void refuse_path(struct request *request)
{
    if (!request->match.is_path_known) {
        request_answer_problem(request, 404, NULL, NULL);
    } else if (!request->match.entry) {
        http_add_header(request->http, "Allow", request->match.allow);
        request_answer_problem(request, 405, NULL, NULL);
    }
}

static bool is_json_upload(const struct request *request)
{
    const char *type = http_header(request->http, "Content-Type");
    if (!type)
        return true;
    size_t length = strcspn(type, "; \t");
    const char *want = request->route->flags & ROUTE_CBOR ? "application/cbor" : "application/json";
    return length == strlen(want) && strncasecmp(type, want, length) == 0;
}

/* Agents compress what they upload; body_read knows how. */
static bool is_packed_json(const struct request *request)
{
    const char *encoding = http_header(request->http, "Content-Encoding");
    return encoding && !(request->route->flags & ROUTE_CBOR) && strcasecmp(encoding, "identity") != 0;
}

static bool is_within_rate(struct request *request)
{
    bool is_counted = request->route->flags & ROUTE_V7 && request->who == REQUEST_TOKEN;
    struct rate_org *org = is_counted ? org_of(request) : NULL;
    if (!org)
        return true;
    int64_t now = server_now_s(request->server);
    bool is_ok = rate_take(&org->api, now);
    return is_ok && (!(request->route->flags & ROUTE_INSTANT) || rate_take(&org->instant, now));
}

static void begin(struct request *request)
{
    struct error err = {0};
    const struct route *route = request->route;
    bool is_public = route && route->permission == PERMISSION_PUBLIC;
    int rc = is_public ? 0 : auth_identify(request, &err);
    if (rc) {
        request_answer_error(request, rc, &err);
        return;
    }
    if (!route) {
        request_answer_problem(request, 501, NULL, "This version does not offer this operation yet.");
        return;
    }
    rc = auth_authorize(request, &err);
    if (rc)
        request_answer_error(request, rc, &err);
    else if (!is_within_rate(request))
        request_answer_problem(request, 429, NULL, "The rate limit is used up; it resets at the time in the headers.");
    else if (!is_acceptable(request))
        request_answer_problem(request, 406, NULL, "The answer is application/json or application/hal+json.");
    else if (route->request && !is_json_upload(request))
        request_answer_problem(request, 415, NULL,
                               route->flags & ROUTE_CBOR ? "The body must be application/cbor."
                                                         : "The body must be application/json.");
    else if (route->request && is_packed_json(request))
        request_answer_problem(request, 415, NULL, "Content-Encoding: the body must not be compressed.");
}

void request_on_headers(void *user, struct http_request *http)
{
    struct server *server = user;
    static uint64_t counter;
    struct request *request = arena_alloc(&http->arena, sizeof *request);
    assert(request);
    http->user = request;
    http->gone = on_gone;
    request->server = server;
    request->http = http;
    request->arena = &http->arena;
    request->number = ++counter + (uint64_t)server->started_s * 1000000u;
    if (!http->path) {
        http->path = "";
        request_answer_problem(request, 400, NULL, http->wrong);
        return;
    }
    route_find(&server->routes, http->method, http->path, request->arena, &request->match);
    if (!request->match.is_path_known && !is_api_path(http->path) && static_serve(request))
        return;
    if (!request->match.entry) {
        refuse_path(request);
        return;
    }
    request->route = request->match.entry->route;
    request->type = request->match.entry->type;
    request->part = request->match.entry->part;
    http->is_secret = request->route && request->route->flags & ROUTE_SECRET;
    read_expand(request);
    begin(request);
}

static int read_json(struct request *request, struct error *err)
{
    const struct buf *body = &request->http->body;
    int rc = json_parse_strict(body->data, body->size, &request->body, err);
    if (rc) {
        struct error cause = *err;
        return error_set(err, E_INVALID, "", "The body is not valid JSON: %.300s (%.60s)", cause.text, cause.where);
    }
    if (!json_is_object(request->body))
        return error_set(err, E_INVALID, "", "The body must be a JSON object");
    return 0;
}

/* Routes of typed tests read the body themselves, for they know the second table. */
static int read_record(struct request *request, struct error *err)
{
    const struct route *route = request->route;
    if (route->flags & ROUTE_TYPED || route->flags & ROUTE_PARTIAL || route->flags & ROUTE_CBOR)
        return 0;
    request->record = arena_alloc(request->arena, route->request->size);
    if (!request->record)
        return error_set(err, E_LIMIT, "", "too large");
    field_defaults(route->request, request->record);
    return field_from_json(route->request, request->body, FIELD_CREATE, request->record, request->arena, err);
}

void request_on_body(void *user, struct http_request *http)
{
    (void)user;
    struct request *request = http->user;
    if (!request) { /* refused by its announced length */
        request_on_headers(user, http);
        request = http->user;
        if (http->response.status)
            return;
    }
    struct error err = {0};
    int rc = 0;
    if (http->body.is_overflowed)
        rc = error_set(&err, E_LIMIT, "", "the body is larger than %u bytes", LIMIT_REQUEST_BYTES);
    if (!rc && request->route->request && !(request->route->flags & ROUTE_CBOR))
        rc = read_json(request, &err);
    if (!rc && request->route->request)
        rc = read_record(request, &err);
    uint64_t commits = store_commits(request->server->store);
    if (!rc)
        rc = request->route->fn(request, &err);
    if (rc) {
        assert(!http->response.status);
        request_answer_error(request, rc, &err);
    }
    hold_answer(request, commits);
}

void request_on_sent(void *user, struct http_request *http)
{
    struct server *server = user;
    struct request *request = http->user;
    int status = http->response.status;
    bool is_change = request->route && strcmp(request->route->method, "GET") != 0 && !(request->route->flags & ROUTE_SILENT);
    assert(!is_change || request->is_noted || status >= 400); /* every change goes through change.h */
    int64_t us = (loop_now_ns(server->loop) - http->start_ns) / CLOCK_US;
    tally_request(&server->tally, http->path, status, us);
    const char *who = "-";
    if (request->who == REQUEST_TOKEN || request->who == REQUEST_SESSION)
        who = request->user.email;
    else if (request->who == REQUEST_AGENT)
        who = arena_printf(request->arena, "agent %llu", (unsigned long long)request->agent.head.id);
    const char *peer = http_peer(http), *method = http->is_head ? "HEAD" : http->method;
    const char *path = http->path ? http->path : "?", *number = arena_printf(request->arena, "%016llx",
                                                                            (unsigned long long)request->number);
    const struct log_fact facts[] = {{"client", peer, 0},
                                     {"method", method, 0},
                                     {"path", path, 0},
                                     {"status", NULL, status},
                                     {"bytes", NULL, (int64_t)http->response.body.size},
                                     {"durationUs", NULL, us},
                                     {"request", number ? number : "", 0},
                                     {"user", who ? who : "-", 0}};
    log_write_facts(status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "access", facts, sizeof facts / sizeof facts[0],
                    "%s %s %s %d %zu B %lld us %s %s", peer, method, path, status, http->response.body.size,
                    (long long)us, number ? number : "-", who ? who : "-");
}
