#include "agent/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "agent/route.h"
#include "agent/trust.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

#define HTTP_CONNECT_MS 10000L
#define HTTP_URL_BYTES 1024

/* Where a URL leads. */
struct http_place {
    char host[256]; /* without brackets */
    uint16_t port;
};

struct http {
    struct loop *loop;
    CURLM *multi;
    char server[HTTP_URL_BYTES]; /* without a slash at its end */
    struct http_settings settings;
    struct http_place place; /* the server */
    struct route *route;     /* NULL = the environment's proxy */
    bool has_answered;       /* the server, ever: then its address is right */
    bool prefers_ip4;        /* of names that the resolver looks up: turned over whenever one could not be connected to */
    struct loop_timer timer;
    struct http_job *jobs;
};

struct http_job {
    struct http *http;
    struct http_job *next, **link;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    http_fn *fn;
    void *user;
    bool is_foreign, waits_for_route, is_running;
    bool has_proxy;             /* of ours */
    struct http_place place;    /* whom to connect to: the server, or its proxy */
    struct resolve_job *resolving;
    struct curl_slist *resolved;
    struct loop_timer failure;  /* armed: error is told when the caller has returned */
    char error[CURL_ERROR_SIZE];
};

/* --- libcurl on the loop ------------------------------------------------------------------------------------------ */

static void finish_job(struct http_job *job, CURLcode code);

static void take_finished(struct http *http)
{
    int left;
    for (;;) {
        CURLMsg *message = curl_multi_info_read(http->multi, &left);
        if (!message)
            return;
        if (message->msg != CURLMSG_DONE)
            continue;
        char *private;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish_job((struct http_job *)(void *)private, code);
    }
}

static void on_timer(void *user)
{
    struct http *http = user;
    int running;
    (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(http);
}

static void on_socket(void *user, int fd, unsigned events)
{
    struct http *http = user;
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0) |
               (events & LOOP_HANGUP ? CURL_CSELECT_ERR : 0);
    int running;
    (void)curl_multi_socket_action(http->multi, fd, mask, &running);
    take_finished(http);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *watched)
{
    (void)easy;
    struct http *http = user;
    if (what == CURL_POLL_REMOVE) {
        loop_remove(http->loop, fd);
        return 0;
    }
    unsigned events = (what != CURL_POLL_OUT ? LOOP_READ : 0u) | (what != CURL_POLL_IN ? LOOP_WRITE : 0u);
    if (watched) {
        (void)loop_change(http->loop, fd, events);
    } else if (loop_add(http->loop, fd, events, on_socket, http, NULL) == 0) {
        (void)curl_multi_assign(http->multi, fd, http); /* any pointer: "watched" */
    }
    return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    struct http *http = user;
    if (timeout_ms < 0)
        loop_timer_stop(http->loop, &http->timer);
    else
        loop_timer_start(http->loop, &http->timer, loop_now_ns(http->loop) + timeout_ms * CLOCK_MS);
    return 0;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t one, size_t size, void *user)
{
    struct http_job *job = user;
    buf_put(&job->body, bytes, one * size);
    return job->body.is_overflowed ? 0 : one * size;
}

static void free_job(struct http_job *job)
{
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    if (job->is_running)
        (void)curl_multi_remove_handle(job->http->multi, job->easy);
    if (job->resolving)
        resolve_cancel(job->resolving);
    loop_timer_stop(job->http->loop, &job->failure);
    curl_easy_cleanup(job->easy);
    curl_slist_free_all(job->headers);
    curl_slist_free_all(job->resolved);
    buf_done(&job->body);
    mem_free(job);
}

/* What a person needs to know about an answer that is no success: the server's own words when it gave any. */
static void describe(struct http_job *job, long status, char *text, size_t size)
{
    if (status == 407) {
        (void)snprintf(text, size, "HTTP 407 from proxy %s: it wants a user and a password, or others", job->place.host);
        return;
    }
    if (status == 400 && strstr(buf_str(&job->body), "HTTPS port")) {
        (void)snprintf(text, size, "HTTP 400: this port speaks TLS; its address begins with https://");
        return;
    }
    const char *detail = strstr(buf_str(&job->body), "\"detail\"");
    detail = detail ? strchr(detail + 8, '"') : NULL;
    size_t length = detail ? strcspn(detail + 1, "\"\\") : 0;
    if (length > 0 && length < 200)
        (void)snprintf(text, size, "HTTP %ld: %.*s", status, (int)length, detail + 1);
    else
        (void)snprintf(text, size, "HTTP %ld%s", status,
                       status / 100 == 3 || status == 404 || status == 405 ? ": is this the address of an Oculi server?"
                                                                           : "");
}

static bool is_connect_failure(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_PROXY || code == CURLE_OPERATION_TIMEDOUT;
}

/* What the failure of a request may be for, where libcurl's words alone would not help anybody. */
static const char *hint(const struct http_job *job, CURLcode code)
{
    bool is_tls = !job->is_foreign && str_starts(job->http->server, "https://");
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(job->error, "wrong version number"))
        return ": this port speaks no TLS; its address may begin with http://";
    if (!is_tls && !job->has_proxy && !job->is_foreign && !job->http->has_answered &&
        (code == CURLE_GOT_NOTHING || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY ||
         code == CURLE_RECV_ERROR))
        return ": this port may speak TLS; then its address begins with https://";
    if (job->has_proxy && strstr(job->error, "407"))
        return ": the proxy wants a user and a password, or others";
    return "";
}

static void finish_job(struct http_job *job, CURLcode code)
{
    struct http_answer answer = {.error = ""};
    char text[300 + CURL_ERROR_SIZE + PROXY_URL_BYTES];
    curl_off_t retry_after = 0;
    job->http->prefers_ip4 ^= job->resolved && is_connect_failure(code);
    if (job->has_proxy && is_connect_failure(code))
        route_failed(job->http->route);
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &answer.status);
        job->http->has_answered |= !job->is_foreign;
        (void)curl_easy_getinfo(job->easy, CURLINFO_RETRY_AFTER, &retry_after);
        answer.retry_after_s = retry_after;
        const char *type = NULL;
        (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_TYPE, &type);
        answer.is_problem = type && str_starts(type, "application/problem+json");
        answer.body = job->body.data;
        answer.body_size = job->body.size;
        if (answer.status / 100 != 2) {
            describe(job, answer.status, text, sizeof text);
            answer.error = text;
        }
    } else {
        (void)snprintf(text, sizeof text, "%s%s%s%s%s", job->has_proxy ? "through proxy " : "",
                       job->has_proxy ? job->place.host : "", job->has_proxy ? ": " : "",
                       job->error[0] ? job->error : curl_easy_strerror(code), hint(job, code));
        answer.error = text;
    }
    job->fn(job->user, &answer);
    free_job(job);
}

static void add_header(struct http_job *job, const char *text)
{
    struct curl_slist *longer = curl_slist_append(job->headers, text);
    assert(longer); /* as with mem_alloc: bounded, so running out is a broken machine */
    job->headers = longer;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *user)
{
    (void)easy;
    trust_add_to(user, ssl_ctx);
    return CURLE_OK;
}

static void set_trust(CURL *easy, struct trust *trust)
{
    struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};
    const void *pem;
    if (trust_only(trust, &pem, &blob.len)) {
        blob.data = (void *)(uintptr_t)pem;
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
    }
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust);
}

static void set_options(struct http_job *job, const struct http_request *request)
{
    struct http *http = job->http;
    CURL *easy = job->easy;
    char text[HTTP_URL_BYTES * 2];
    (void)snprintf(text, sizeof text, "%s%s", job->is_foreign ? "" : http->server, request->path);
    curl_easy_setopt(easy, CURLOPT_URL, text);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout_s * 1000));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "oculi-agent/" OCULI_VERSION);
    if (http->settings.trust)
        set_trust(easy, http->settings.trust);
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
        add_header(job, "Content-Type: application/cbor");
        if (request->is_zstd)
            add_header(job, "Content-Encoding: zstd");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    add_header(job, job->is_foreign ? "Accept: */*" : "Accept: application/cbor");
    add_header(job, "Expect:");
    if (request->authorization && http->settings.instance) {
        (void)snprintf(text, sizeof text, MESSAGE_INSTANCE_HEADER ": %s", http->settings.instance);
        add_header(job, text);
    }
    if (request->authorization) {
        (void)snprintf(text, sizeof text, "Authorization: %s", request->authorization);
        add_header(job, text);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
}

/* --- the way there ------------------------------------------------------------------------------------------------ */

static bool find_place(const char *text, struct http_place *ret_place)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    int64_t number = 0;
    assert(url);
    bool is_good = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                   str_to_i64(port, 1, 65535, &number) == 0;
    if (is_good) {
        size_t length = strlen(host);
        bool is_bracketed = *host == '[' && length > 2;
        is_good = str_copy(ret_place->host, sizeof ret_place->host, is_bracketed ? host + 1 : host);
        ret_place->host[strcspn(ret_place->host, "]")] = 0;
        ret_place->port = (uint16_t)number;
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return is_good;
}

static void on_failure(void *user)
{
    finish_job(user, CURLE_ABORTED_BY_CALLBACK);
}

static void fail_later(struct http_job *job, const char *why)
{
    (void)str_copy(job->error, sizeof job->error, why);
    job->failure = (struct loop_timer){.fn = on_failure, .user = job};
    loop_timer_start(job->http->loop, &job->failure, 0);
}

static void run_job(struct http_job *job)
{
    CURLMcode code = curl_multi_add_handle(job->http->multi, job->easy);
    assert(code == CURLM_OK);
    job->is_running = true;
}

static void on_resolved(void *user, int rc, const union sock_addr *addr, const struct error *err)
{
    struct http_job *job = user;
    char entry[400], text[SOCK_TEXT_BYTES];
    job->resolving = NULL;
    if (rc) {
        (void)snprintf(job->error, sizeof job->error, "%.150s: %.90s", job->place.host, err->text);
        if (job->has_proxy)
            route_failed(job->http->route);
        finish_job(job, CURLE_ABORTED_BY_CALLBACK);
        return;
    }
    bool is_ip6 = addr->sa.sa_family == AF_INET6;
    (void)snprintf(entry, sizeof entry, "+%s:%u:%s%s%s", job->place.host, job->place.port, is_ip6 ? "[" : "",
                   sock_ip_text(addr, text, sizeof text), is_ip6 ? "]" : "");
    job->resolved = curl_slist_append(NULL, entry);
    assert(job->resolved);
    curl_easy_setopt(job->easy, CURLOPT_RESOLVE, job->resolved);
    run_job(job);
}

static void connect_job(struct http_job *job)
{
    union sock_addr literal;
    struct resolver *resolver = job->http->settings.resolver;
    if (!resolver || sock_parse_ip(job->place.host, &literal) == 0) {
        run_job(job);
        return;
    }
    job->resolving = resolve_start(resolver, job->place.host,
                                   job->http->prefers_ip4 ? SOCK_PREFER_IPV4 : SOCK_PREFER_IPV6, on_resolved, job);
    if (!job->resolving)
        fail_later(job, "too many host names wait to be resolved");
}

static void use_proxy(struct http_job *job, const struct proxy_choice *choice)
{
    const struct message_proxy *proxy = job->http->settings.proxy;
    job->has_proxy = *choice->url != 0;
    curl_easy_setopt(job->easy, CURLOPT_PROXY, choice->url); /* "" also keeps the environment's away */
    curl_easy_setopt(job->easy, CURLOPT_NOPROXY, "");
    if (!job->has_proxy)
        return;
    (void)find_place(choice->url, &job->place);
    if (!proxy->auth)
        return;
    curl_easy_setopt(job->easy, CURLOPT_PROXYUSERNAME, proxy->user);
    curl_easy_setopt(job->easy, CURLOPT_PROXYPASSWORD, proxy->password ? proxy->password : "");
    curl_easy_setopt(job->easy, CURLOPT_PROXYAUTH,
                     (long)(str_equal(proxy->auth, "ntlm") ? CURLAUTH_NTLM : CURLAUTH_BASIC));
}

static void advance(struct http_job *job)
{
    const struct proxy_choice *choice;
    const char *why;
    job->waits_for_route = false;
    if (job->is_foreign) {
        curl_easy_setopt(job->easy, CURLOPT_PROXY, "");
    } else if (job->http->route) {
        if (!route_find(job->http->route, &choice, &why)) {
            job->waits_for_route = true;
            return;
        }
        if (!choice) {
            fail_later(job, why);
            return;
        }
        use_proxy(job, choice);
    }
    connect_job(job);
}

static void on_route_known(void *user)
{
    struct http *http = user;
    struct http_job *next;
    for (struct http_job *job = http->jobs; job; job = next) {
        next = job->next;
        if (job->waits_for_route)
            advance(job);
    }
}

struct http_job *http_start(struct http *http, const struct http_request *request, http_fn *fn, void *user)
{
    struct http_job *job = mem_alloc(sizeof *job);
    job->http = http;
    job->fn = fn;
    job->user = user;
    buf_init(&job->body, LIMIT_REQUEST_BYTES);
    job->easy = curl_easy_init();
    assert(job->easy);
    job->next = http->jobs;
    job->link = &http->jobs;
    if (job->next)
        job->next->link = &job->next;
    http->jobs = job;
    job->is_foreign = request->is_foreign;
    set_options(job, request);
    job->place = http->place;
    if (job->is_foreign && !find_place(request->path, &job->place))
        fail_later(job, "this is not a URL");
    else
        advance(job);
    return job;
}

void http_cancel(struct http_job *job)
{
    free_job(job);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int http_check_url(const char *server, struct error *err)
{
    if (strlen(server) >= HTTP_URL_BYTES)
        return error_set(err, E_RANGE, "--server", "longer than %d characters", HTTP_URL_BYTES - 1);
    if (!str_starts(server, "http://") && !str_starts(server, "https://"))
        return error_set(err, E_INVALID, "--server", "\"%.200s\" does not begin with https:// or http://", server);
    CURLU *url = curl_url();
    assert(url);
    char *query = NULL, *user = NULL;
    CURLUcode code = curl_url_set(url, CURLUPART_URL, server, 0);
    bool has_query = code == CURLUE_OK && (curl_url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_OK ||
                                           curl_url_get(url, CURLUPART_FRAGMENT, &query, 0) == CURLUE_OK);
    bool has_user = code == CURLUE_OK && curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK;
    curl_free(query);
    curl_free(user);
    curl_url_cleanup(url);
    if (code != CURLUE_OK)
        return error_set(err, E_INVALID, "--server", "\"%.200s\" is not a URL: %s", server, curl_url_strerror(code));
    if (has_query || has_user)
        return error_set(err, E_INVALID, "--server", "a server's URL has no user, query or fragment");
    return 0;
}

int http_new(struct loop *loop, const struct http_settings *settings, struct http **ret_http, struct error *err)
{
    int rc = http_check_url(settings->server, err);
    if (rc)
        return rc;
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    struct http *http = mem_alloc(sizeof *http);
    http->loop = loop;
    http->timer.fn = on_timer;
    http->timer.user = http;
    (void)str_copy(http->server, sizeof http->server, settings->server);
    size_t length = strlen(http->server);
    while (length > 0 && http->server[length - 1] == '/')
        http->server[--length] = 0;
    http->settings = *settings;
    (void)find_place(http->server, &http->place);
    http->multi = curl_multi_init();
    assert(http->multi);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    struct route_settings route = {.loop = loop, .http = http, .pac = settings->pac, .proxy = settings->proxy,
                                   .url = http->server, .host = http->place.host, .known = on_route_known,
                                   .user = http};
    rc = settings->proxy ? route_new(&route, &http->route, err) : 0;
    if (rc) {
        error_prefix(err, "proxy");
        http_free(http);
        return rc;
    }
    *ret_http = http;
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    route_free(http->route); /* cancels a job of its own */
    while (http->jobs)
        http_cancel(http->jobs);
    (void)curl_multi_cleanup(http->multi);
    loop_timer_stop(http->loop, &http->timer);
    mem_free(http);
}
