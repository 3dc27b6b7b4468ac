#include "https.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define BODY_BYTES (64u << 20)

static gnutls_certificate_credentials_t credentials;

static void step(struct https *https);

void https_parse(const char *url, struct https_server *ret_server)
{
    unsigned port = 0;
    ret_server->is_tls = strncmp(url, "https://", 8) == 0;
    const char *at = strstr(url, "://");
    if (!at || sscanf(at + 3, "%63[0-9.]:%u", ret_server->host, &port) != 2 || port > 65535) {
        (void)fprintf(stderr, "not http(s)://ADDRESS:PORT: %s\n", url);
        exit(2);
    }
    ret_server->port = (uint16_t)port;
}

void https_init(struct https *https, struct loop *loop, void *user)
{
    *https = (struct https){.loop = loop, .fd = -1, .user = user};
    buf_init(&https->out, BODY_BYTES);
    buf_init(&https->in, BODY_BYTES);
}

void https_close(struct https *https)
{
    if (https->tls)
        gnutls_deinit(https->tls);
    https->tls = NULL;
    if (https->fd >= 0) {
        loop_remove(https->loop, https->fd);
        (void)close(https->fd);
    }
    https->fd = -1;
    buf_done(&https->out);
    buf_done(&https->in);
}

static void fail(struct https *https)
{
    https_fn *fn = https->fn;
    https_close(https);
    https->fn = NULL;
    if (fn)
        fn(https, 0, "", 0);
}

static void on_ready(void *user, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    step(user);
}

static void open_connection(struct https *https, const struct https_server *server)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    int one = 1;
    (void)inet_pton(AF_INET, server->host, &to.sin_addr);
    https->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (https->fd < 0 || (connect(https->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        perror("connect");
        exit(1);
    }
    (void)setsockopt(https->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    https->state = HTTPS_CONNECTING;
    (void)loop_add(https->loop, https->fd, LOOP_READ | LOOP_WRITE, on_ready, https, NULL);
    if (!server->is_tls)
        return;
    if (!credentials && gnutls_certificate_allocate_credentials(&credentials) != 0)
        abort();
    if (gnutls_init(&https->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != 0)
        abort();
    (void)gnutls_set_default_priority(https->tls);
    (void)gnutls_credentials_set(https->tls, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_int(https->tls, https->fd);
}

void https_send(struct https *https, const struct https_server *server, const char *method, const char *path,
                const char *headers, const void *body, size_t size, https_fn *fn)
{
    https->fn = fn;
    https->sent = https->head = 0;
    https->start_ns = clock_mono_ns(&clock_real);
    buf_reset(&https->out);
    buf_reset(&https->in);
    buf_printf(&https->out, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, server->host, headers ? headers : "");
    if (body)
        buf_printf(&https->out, "Content-Length: %zu\r\n", size);
    buf_puts(&https->out, "\r\n");
    if (body)
        buf_put(&https->out, body, size);
    if (https->fd < 0) {
        open_connection(https, server);
        return;
    }
    https->state = HTTPS_WRITING;
    step(https);
}

/* Bytes done; 0 = would block; -1 = the connection is over. */
static ssize_t some(struct https *https, bool is_write, void *room, size_t size)
{
    if (https->tls) {
        ssize_t n = is_write ? gnutls_record_send(https->tls, room, size) : gnutls_record_recv(https->tls, room, size);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
            return 0;
        return n > 0 ? n : -1;
    }
    ssize_t n = is_write ? send(https->fd, room, size, MSG_NOSIGNAL) : recv(https->fd, room, size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n > 0 ? n : -1;
}

static bool read_head(struct https *https)
{
    const char *text = buf_str(&https->in), *end = strstr(text, "\r\n\r\n");
    if (!end)
        return false;
    https->head = (size_t)(end - text) + 4;
    https->status = https->in.size > 12 ? atoi(text + 9) : 0;
    https->length = 0;
    for (const char *line = text; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            https->length = (size_t)strtoull(line + 15, NULL, 10);
    }
    return true;
}

/* Reads until the answer is whole or nothing more has come. */
static void read_answer(struct https *https)
{
    for (;;) {
        void *room = buf_reserve(&https->in, 16384);
        ssize_t n = room ? some(https, false, room, 16384) : -1;
        if (n < 0) {
            fail(https);
            return;
        }
        buf_grow(&https->in, (size_t)n);
        if (https->head || read_head(https)) {
            if (https->in.size >= https->head + https->length) {
                https_fn *fn = https->fn;
                https->state = HTTPS_IDLE;
                fn(https, https->status, https->in.data + https->head, https->length);
                return;
            }
        }
        if (n == 0)
            return;
    }
}

static void step(struct https *https)
{
    if (https->state == HTTPS_CONNECTING)
        https->state = https->tls ? HTTPS_SHAKING : HTTPS_WRITING;
    if (https->state == HTTPS_SHAKING) {
        int rc = gnutls_handshake(https->tls);
        if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED)
            return;
        if (rc != 0) {
            fail(https);
            return;
        }
        https->state = HTTPS_WRITING;
    }
    if (https->state == HTTPS_WRITING) {
        while (https->sent < https->out.size) {
            ssize_t n = some(https, true, https->out.data + https->sent, https->out.size - https->sent);
            if (n < 0) {
                fail(https);
                return;
            }
            if (n == 0) {
                (void)loop_change(https->loop, https->fd, LOOP_READ | LOOP_WRITE);
                return;
            }
            https->sent += (size_t)n;
        }
        (void)loop_change(https->loop, https->fd, LOOP_READ);
        https->state = HTTPS_READING;
    }
    if (https->state == HTTPS_READING)
        read_answer(https);
    else if (https->state == HTTPS_IDLE)
        https_close(https); /* the server has closed it */
}

/* --- one call ----------------------------------------------------------------------------------------------------- */

struct call {
    struct buf *body;
    int status;
    bool is_over;
};

static void on_called(struct https *https, int status, const void *body, size_t size)
{
    struct call *call = https->user;
    call->status = status;
    call->is_over = true;
    buf_reset(call->body);
    buf_put(call->body, body, size);
}

int https_call(struct loop *loop, struct https *https, const struct https_server *server, const char *method,
               const char *path, const char *headers, const void *body, size_t size, struct buf *ret_body)
{
    struct call call = {.body = ret_body};
    https->user = &call;
    https_send(https, server, method, path, headers, body, size, on_called);
    while (!call.is_over)
        (void)loop_step(loop, -1);
    return call.status;
}
