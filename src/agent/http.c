#include "agent/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

#define HTTP_CONNECT_MS 10000L
#define HTTP_URL_BYTES 1024

struct http {
    struct loop *loop;
    CURLM *multi;
    char server[HTTP_URL_BYTES]; /* without a slash at its end */
    void *ca_pem;
    size_t ca_pem_size;
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
    (void)curl_multi_remove_handle(job->http->multi, job->easy);
    curl_easy_cleanup(job->easy);
    curl_slist_free_all(job->headers);
    buf_done(&job->body);
    mem_free(job);
}

/* What a person needs to know about an answer that is no success: the server's own words when it gave any. */
static void describe(struct http_job *job, long status, char *text, size_t size)
{
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

static void finish_job(struct http_job *job, CURLcode code)
{
    struct http_answer answer = {.error = ""};
    char text[300 + CURL_ERROR_SIZE];
    curl_off_t retry_after = 0;
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &answer.status);
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
        bool is_plain = code == CURLE_SSL_CONNECT_ERROR && strstr(job->error, "wrong version number");
        (void)snprintf(text, sizeof text, "%s%s", job->error[0] ? job->error : curl_easy_strerror(code),
                       is_plain ? ": this port speaks no TLS; its address may begin with http://" : "");
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

static void set_options(struct http_job *job, const struct http_request *request)
{
    struct http *http = job->http;
    CURL *easy = job->easy;
    char text[HTTP_URL_BYTES * 2];
    (void)snprintf(text, sizeof text, "%s%s", http->server, request->path);
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
    if (http->ca_pem) {
        struct curl_blob blob = {.data = http->ca_pem, .len = http->ca_pem_size, .flags = CURL_BLOB_NOCOPY};
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
        add_header(job, "Content-Type: application/cbor");
        if (request->is_zstd)
            add_header(job, "Content-Encoding: zstd");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    add_header(job, "Accept: application/cbor");
    add_header(job, "Expect:");
    if (request->authorization) {
        (void)snprintf(text, sizeof text, "Authorization: %s", request->authorization);
        add_header(job, text);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
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
    set_options(job, request);
    CURLMcode code = curl_multi_add_handle(http->multi, job->easy);
    assert(code == CURLM_OK);
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
    if (settings->ca_pem) {
        http->ca_pem = mem_alloc(settings->ca_pem_size + 1);
        memcpy(http->ca_pem, settings->ca_pem, settings->ca_pem_size);
        http->ca_pem_size = settings->ca_pem_size;
    }
    http->multi = curl_multi_init();
    assert(http->multi);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    *ret_http = http;
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    while (http->jobs)
        http_cancel(http->jobs);
    (void)curl_multi_cleanup(http->multi);
    loop_timer_stop(http->loop, &http->timer);
    mem_free(http->ca_pem);
    mem_free(http);
}
