/* Checks of HTTP under load and malice: who is slow is cut, who waits is not, and what is compressed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "server/http.h"
#include "server/pack.h"

#define SHORT_NS (30 * CLOCK_MS)

struct check {
    struct loop *loop;
    struct http *http;
    struct loop_timer timer;
    struct http_request *waiting;
    int fd;
    char answer[65536];
    size_t size;
    bool is_over; /* the server has closed the connection */
};

static void on_headers(void *user, struct http_request *request)
{
    (void)user;
    if (!request->path)
        request->response.status = 400;
}

static void answer(struct http_request *request)
{
    request->response.status = 200;
    http_add_header(request, "Content-Type", "application/json");
    size_t size = strcmp(request->path, "/large") == 0 ? 32u << 20 : 5000;
    char *room = buf_reserve(&request->response.body, size);
    memset(room, 'x', size);
    buf_grow(&request->response.body, size);
}

static void on_due(void *user)
{
    struct check *check = user;
    answer(check->waiting);
    http_resume(check->waiting);
}

static void on_request(void *user, struct http_request *request)
{
    struct check *check = user;
    request->is_secret = strcmp(request->path, "/secret") == 0;
    if (strcmp(request->path, "/wait") != 0) {
        answer(request);
        return;
    }
    check->waiting = request;
    http_suspend(request);
    loop_timer_start(check->loop, &check->timer, loop_now_ns(check->loop) + 15 * SHORT_NS);
}

static void on_sent(void *user, struct http_request *request)
{
    (void)user;
    (void)request;
}

static int start(void **state, int64_t patience_ns)
{
    static struct check check;
    check = (struct check){.timer = {.fn = on_due, .user = &check}};
    struct http_options options = {.listen = "127.0.0.1:0",
                                   .patience = {.head_ns = patience_ns, .body_ns = patience_ns, .bytes_per_s = 1u << 30},
                                   .on_headers = on_headers,
                                   .on_request = on_request,
                                   .on_sent = on_sent,
                                   .user = &check};
    assert_int_equal(loop_new(&check.loop, NULL), 0);
    assert_int_equal(http_start(&options, check.loop, &check.http, NULL), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(http_port(check.http)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(check.fd, (struct sockaddr *)&to, sizeof to), 0);
    *state = &check;
    return 0;
}

static int setup_hasty(void **state)
{
    return start(state, SHORT_NS);
}

static int setup_patient(void **state)
{
    return start(state, 10 * SHORT_NS);
}

static int setup_default(void **state)
{
    return start(state, 0);
}

static int teardown(void **state)
{
    struct check *check = *state;
    (void)close(check->fd);
    http_stop(check->http);
    loop_free(check->loop);
    return 0;
}

static void say(struct check *check, const char *text)
{
    assert_int_equal(send(check->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the answer has `wanted` in it, or the connection is over. */
static void listen_for(struct check *check, const char *wanted)
{
    check->size = 0;
    memset(check->answer, 0, sizeof check->answer);
    while (!check->is_over && !(wanted && strstr(check->answer, wanted))) {
        assert_int_equal(loop_step(check->loop, 5 * CLOCK_MS), 0);
        ssize_t n = recv(check->fd, check->answer + check->size, sizeof check->answer - 1 - check->size, MSG_DONTWAIT);
        if (n > 0)
            check->size += (size_t)n;
        check->is_over = n == 0 || (n < 0 && errno == ECONNRESET);
    }
}

static void a_head_that_does_not_end_is_cut(void **state)
{
    struct check *check = *state;
    say(check, "GET / HTTP/1.1\r\nHost: a\r\nX-Sl");
    listen_for(check, NULL);
    assert_true(check->is_over);
    assert_int_equal(http_cut_connections(check->http), 1);
}

static void who_says_nothing_is_cut(void **state)
{
    struct check *check = *state;
    listen_for(check, NULL);
    assert_int_equal(http_cut_connections(check->http), 1);
}

static void a_body_that_does_not_end_is_cut(void **state)
{
    struct check *check = *state;
    say(check, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
    listen_for(check, NULL);
    while (http_connections(check->http))
        assert_int_equal(loop_step(check->loop, -1), 0);
    assert_int_equal(http_cut_connections(check->http), 1);
    assert_int_equal(http_upload_bytes(check->http), 0);
    assert_int_equal(http_open_requests(check->http), 0);
}

static void who_does_not_take_the_answer_is_cut(void **state)
{
    struct check *check = *state;
    say(check, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    while (http_connections(check->http) == 0 || http_open_requests(check->http) == 0)
        assert_int_equal(loop_step(check->loop, -1), 0);
    while (http_connections(check->http))
        assert_int_equal(loop_step(check->loop, -1), 0);
    assert_int_equal(http_cut_connections(check->http), 1);
}

static void who_waits_for_an_answer_is_not_cut(void **state)
{
    struct check *check = *state;
    say(check, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    listen_for(check, "xxx");
    assert_non_null(strstr(check->answer, "200 OK"));
    assert_int_equal(http_cut_connections(check->http), 0);
    say(check, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* and the connection goes on */
    listen_for(check, "xxx");
    assert_non_null(strstr(check->answer, "200 OK"));
}

static void a_body_announced_too_large_takes_no_room(void **state)
{
    struct check *check = *state;
    char text[200];
    (void)snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", LIMIT_REQUEST_BYTES + 1);
    say(check, text);
    listen_for(check, "\r\n\r\n");
    assert_int_equal(http_upload_bytes(check->http), 0);
}

/* Answered at once, and nothing after it is taken for a request. */
static void refused(struct check *check, const char *text)
{
    say(check, text);
    listen_for(check, NULL);
    assert_true(check->is_over);
    assert_memory_equal(check->answer, "HTTP/1.1 400 ", 13);
    assert_null(strstr(check->answer + 13, "HTTP/1.1"));
    assert_int_equal(http_cut_connections(check->http), 0);
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define NEXT "\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void two_lengths_are_refused(void **state)
{
    refused(*state, POST "Content-Length: 5\r\nContent-Length: 50" NEXT);
}

static void a_length_beside_chunks_is_refused(void **state)
{
    refused(*state, POST "Content-Length: 5\r\nTransfer-Encoding: chunked" NEXT);
}

static void an_unknown_coding_is_refused(void **state)
{
    refused(*state, POST "Transfer-Encoding: xchunked" NEXT);
}

static void two_hosts_are_refused(void **state)
{
    refused(*state, POST "Host: b" NEXT);
}

static void a_query_of_any_size_is_answered(void **state)
{
    struct check *check = *state;
    static const unsigned counts[] = {1, HTTP_QUERY_MAX, HTTP_QUERY_MAX + 1, 300, 2000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char text[16384] = "GET /?";
        size_t at = strlen(text);
        for (unsigned n = 0; n < counts[i]; n++)
            at += (size_t)snprintf(text + at, sizeof text - at, "a=%u&", n % 10);
        (void)snprintf(text + at, sizeof text - at, " HTTP/1.1\r\nHost: a\r\n\r\n");
        say(check, text);
        listen_for(check, counts[i] > HTTP_QUERY_MAX ? "\r\n\r\n" : "xxx");
        assert_non_null(strstr(check->answer, counts[i] > HTTP_QUERY_MAX ? "HTTP/1.1 400 " : "HTTP/1.1 200 "));
        assert_false(check->is_over);
    }
}

static void answers_are_compressed_but_for_secrets(void **state)
{
    struct check *check = *state;
    say(check, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    listen_for(check, "\r\n\r\n");
    assert_non_null(strstr(check->answer, "Content-Encoding: gzip"));
    assert_non_null(strstr(check->answer, "Vary: Accept-Encoding"));
    say(check, "GET /secret HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, zstd\r\n\r\n");
    listen_for(check, "xxx");
    assert_null(strstr(check->answer, "Content-Encoding"));
}

static void codings_are_chosen_by_weight(void **state)
{
    (void)state;
    assert_int_equal(pack_choose(NULL), PACK_IDENTITY);
    assert_int_equal(pack_choose(""), PACK_IDENTITY);
    assert_int_equal(pack_choose("gzip, deflate, br, zstd"), PACK_ZSTD);
    assert_int_equal(pack_choose("gzip, deflate"), PACK_GZIP);
    assert_int_equal(pack_choose("GZIP;q=0.5, zstd;q=0.1"), PACK_GZIP);
    assert_int_equal(pack_choose("gzip;q=0, identity"), PACK_IDENTITY);
    assert_int_equal(pack_choose("*"), PACK_ZSTD);
    assert_int_equal(pack_choose("zstd;q=0,*"), PACK_GZIP);
    assert_int_equal(pack_choose("br, xgzip, zstdx"), PACK_IDENTITY);
}

#define HTTP_CHECK(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest checks[] = {
        HTTP_CHECK(a_head_that_does_not_end_is_cut, setup_hasty),
        HTTP_CHECK(who_says_nothing_is_cut, setup_hasty),
        HTTP_CHECK(a_body_that_does_not_end_is_cut, setup_hasty),
        HTTP_CHECK(who_does_not_take_the_answer_is_cut, setup_patient),
        HTTP_CHECK(who_waits_for_an_answer_is_not_cut, setup_patient),
        HTTP_CHECK(a_body_announced_too_large_takes_no_room, setup_default),
        HTTP_CHECK(two_lengths_are_refused, setup_default),
        HTTP_CHECK(a_length_beside_chunks_is_refused, setup_default),
        HTTP_CHECK(an_unknown_coding_is_refused, setup_default),
        HTTP_CHECK(two_hosts_are_refused, setup_default),
        HTTP_CHECK(a_query_of_any_size_is_answered, setup_default),
        HTTP_CHECK(answers_are_compressed_but_for_secrets, setup_default),
        cmocka_unit_test(codings_are_chosen_by_weight),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
