#include "server/fetch.h"

#include <assert.h>
#include <curl/curl.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"

#define CONNECT_MS 5000L
#define TIMEOUT_MS 10000L

struct fetch {
    struct loop *loop;
    CURLM *multi;
    const char *ca_file;
    struct loop_timer timer;
    struct fetch_job *jobs;
};

struct fetch_job {
    struct fetch *fetch;
    struct fetch_job *next, **link;
    CURL *easy;
    struct buf body;
    fetch_fn *fn;
    void *user;
    char error[CURL_ERROR_SIZE];
};

void fetch_cancel(struct fetch_job *job)
{
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    (void)curl_multi_remove_handle(job->fetch->multi, job->easy);
    curl_easy_cleanup(job->easy);
    buf_done(&job->body);
    mem_free(job);
}

static void finish(struct fetch_job *job, CURLcode code)
{
    struct fetch_answer answer = {.error = "", .body = buf_str(&job->body), .size = job->body.size};
    if (code == CURLE_OK)
        (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    else
        answer.error = job->error[0] ? job->error : curl_easy_strerror(code);
    job->fn(job->user, &answer);
    fetch_cancel(job);
}

static void take_finished(struct fetch *fetch)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(fetch->multi, &left)) != NULL) {
        char *private;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish((struct fetch_job *)(void *)private, code);
    }
}

static void on_timer(void *user)
{
    struct fetch *fetch = user;
    int running;
    (void)curl_multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(fetch);
}

static void on_socket(void *user, int fd, unsigned events)
{
    struct fetch *fetch = user;
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0) |
               (events & LOOP_HANGUP ? CURL_CSELECT_ERR : 0);
    int running;
    (void)curl_multi_socket_action(fetch->multi, fd, mask, &running);
    take_finished(fetch);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *watched)
{
    (void)easy;
    struct fetch *fetch = user;
    if (what == CURL_POLL_REMOVE) {
        loop_remove(fetch->loop, fd);
        return 0;
    }
    unsigned events = (what != CURL_POLL_OUT ? LOOP_READ : 0u) | (what != CURL_POLL_IN ? LOOP_WRITE : 0u);
    if (watched)
        (void)loop_change(fetch->loop, fd, events);
    else if (loop_add(fetch->loop, fd, events, on_socket, fetch, NULL) == 0)
        (void)curl_multi_assign(fetch->multi, fd, fetch); /* any pointer: "watched" */
    return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    struct fetch *fetch = user;
    if (timeout_ms < 0)
        loop_timer_stop(fetch->loop, &fetch->timer);
    else
        loop_timer_start(fetch->loop, &fetch->timer, loop_now_ns(fetch->loop) + timeout_ms * CLOCK_MS);
    return 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *user)
{
    struct fetch_job *job = user;
    buf_put(&job->body, bytes, one * size);
    return job->body.is_overflowed ? 0 : one * size;
}

struct fetch_job *fetch_start(struct fetch *fetch, const struct fetch_request *request, fetch_fn *fn, void *user)
{
    struct fetch_job *job = mem_alloc(sizeof *job);
    CURL *easy = curl_easy_init();
    assert(easy); /* as with mem_alloc: running out is a broken machine */
    *job = (struct fetch_job){.fetch = fetch, .next = fetch->jobs, .link = &fetch->jobs, .easy = easy, .fn = fn, .user = user};
    if (job->next)
        job->next->link = &job->next;
    fetch->jobs = job;
    buf_init(&job->body, LIMIT_FETCH_BYTES);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "oculid/" OCULI_VERSION);
    if (fetch->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file);
    if (request->form)
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->form);
    if (request->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
    CURLMcode code = curl_multi_add_handle(fetch->multi, easy);
    assert(code == CURLM_OK);
    return job;
}

struct fetch *fetch_new(struct loop *loop, const char *ca_file)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    struct fetch *fetch = mem_alloc(sizeof *fetch);
    *fetch = (struct fetch){.loop = loop, .ca_file = ca_file, .timer = {.fn = on_timer, .user = fetch}};
    fetch->multi = curl_multi_init();
    assert(fetch->multi);
    curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETDATA, fetch);
    curl_multi_setopt(fetch->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(fetch->multi, CURLMOPT_TIMERDATA, fetch);
    return fetch;
}

void fetch_free(struct fetch *fetch)
{
    if (!fetch)
        return;
    while (fetch->jobs)
        fetch_cancel(fetch->jobs);
    (void)curl_multi_cleanup(fetch->multi);
    loop_timer_stop(fetch->loop, &fetch->timer);
    mem_free(fetch);
}
