#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/str.h"
#include "server/pack.h"
#include "server/tls.h"

#define STREAM_QUEUE_BYTES (1u << 20) /* what fill may add at a time */
#define STREAM_BLOCK_BYTES 16384u
#define IDLE_TIMEOUT_S 75u
#define DRAIN_BYTES (2u * LIMIT_REQUEST_BYTES) /* read, and mostly dropped, before the connection is closed */
#define CONNECTIONS_DEFAULT 1000u
#define CONNECTION_BYTES 16384u /* the library's memory for each: bounds a request's head, and ten thousand wait for plans */
#define LISTEN_BACKLOG 4096
#define PATIENCE_CHECK_NS CLOCK_S

/* A connection, for as long as it lasts. */
struct http_peer {
    struct http *http;
    int fd;
    int64_t deadline_ns; /* it is cut then; 0 = it is our turn, or it may wait */
    struct http_peer *next, *prev;
};

struct http {
    struct http_options options;
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_timer timer;
    int epoll_fd;
    uint16_t port;
    bool is_stopping;
    struct http_request *requests; /* all that are open */
    size_t request_count;
    struct http_peer *peers;
    size_t peer_count;
    struct loop_timer patience_timer;
    uint64_t cut;
    uint64_t upload_bytes; /* of bodies held, and of room promised to them */
};

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void run(struct http *http);

static void on_ready(void *user, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    run(user);
}

static void on_timer(void *user)
{
    run(user);
}

/* The library may have work at once (TLS records read ahead, resumed connections) or at a deadline of its own. */
static void arm(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
        loop_timer_start(http->loop, &http->timer, loop_now_ns(http->loop) + (int64_t)wait_ms * CLOCK_MS);
    else
        loop_timer_stop(http->loop, &http->timer);
}

static void run(struct http *http)
{
    (void)MHD_run(http->daemon);
    arm(http);
}

static void kick(struct http *http)
{
    loop_timer_start(http->loop, &http->timer, loop_now_ns(http->loop));
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_peer *peer = mem_alloc(sizeof *peer);
        *peer = (struct http_peer){.http = http, .fd = info ? info->connect_fd : -1, .next = http->peers};
        peer->deadline_ns = loop_now_ns(http->loop) + http->options.patience.head_ns;
        if (http->peers)
            http->peers->prev = peer;
        http->peers = peer;
        http->peer_count++;
        *context = peer;
        return;
    }
    struct http_peer *peer = *context;
    if (peer->prev)
        peer->prev->next = peer->next;
    else
        http->peers = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    http->peer_count--;
    mem_free(peer);
    *context = NULL;
}

/* Time for so many bytes, counted from when it began. */
static void be_patient(struct http_request *request, int64_t since_ns, uint64_t bytes)
{
    const struct http_patience *patience = &request->http->options.patience;
    request->peer->deadline_ns =
        since_ns + patience->body_ns + (int64_t)(bytes / patience->bytes_per_s) * CLOCK_S;
}

/* The library finds the socket closed and ends the connection. */
static void on_patience(void *user)
{
    struct http *http = user;
    int64_t now_ns = loop_now_ns(http->loop);
    for (struct http_peer *peer = http->peers; peer; peer = peer->next) {
        if (!peer->deadline_ns || peer->deadline_ns > now_ns)
            continue;
        peer->deadline_ns = 0;
        http->cut++;
        (void)shutdown(peer->fd, SHUT_RDWR);
    }
    int64_t every_ns =
        http->options.patience.head_ns < PATIENCE_CHECK_NS ? http->options.patience.head_ns : PATIENCE_CHECK_NS;
    loop_timer_start(http->loop, &http->patience_timer, now_ns + every_ns);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* Decodes %XX (and + when is_form) into dst, which is as large as src; false when malformed or containing NUL. */
static bool decode(const char *src, size_t size, bool is_form, char *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)src[i];
        if (c == '%') {
            if (size - i < 3)
                return false;
            char hex[3] = {src[i + 1], src[i + 2], 0};
            if (str_unhex(hex, &c, 1) != 0 || c == 0)
                return false;
            i += 2;
        } else if (c == '+' && is_form) {
            c = ' ';
        }
        dst[n++] = (char)c;
    }
    dst[n] = 0;
    return str_is_utf8(dst, n);
}

#define NOT_VALID "The path or the query is not valid: it is UTF-8, other bytes as %XX."
#define TOO_MANY "The query has too many parameters."

/* What is wrong, or NULL. Nothing is left out: that would answer another question than was asked. */
static const char *parse_query(struct http_request *request)
{
    const char *at = request->query;
    while (*at) {
        size_t length = strcspn(at, "&");
        size_t name_length = strcspn(at, "=&");
        if (length > 0) {
            if (request->param_count == HTTP_QUERY_MAX)
                return TOO_MANY;
            char *name = arena_alloc(&request->arena, length + 2);
            char *value = arena_alloc(&request->arena, length + 2);
            size_t value_at = name_length < length ? name_length + 1 : length;
            if (!name || !value)
                return TOO_MANY;
            if (!decode(at, name_length, true, name) || !decode(at + value_at, length - value_at, true, value))
                return NOT_VALID;
            request->params[request->param_count++] = (struct http_pair){name, value};
        }
        at += length;
        if (*at == '&')
            at++;
    }
    return NULL;
}

void http_parse_uri(struct http_request *request, const char *uri)
{
    request->uri = arena_strdup(&request->arena, uri);
    size_t path_length = strcspn(uri, "?");
    request->query = request->uri[path_length] ? request->uri + path_length + 1 : "";
    char *path = arena_alloc(&request->arena, path_length + 1);
    request->wrong = decode(uri, path_length, false, path) ? parse_query(request) : NOT_VALID;
    request->path = request->wrong ? NULL : path;
}

/* The library reads the query too, into memory of the connection, and never answers when it finds no room there. It is
 * spared that: uri is its own buffer, which it changes itself as it reads on. */
static void hide_query(const char *uri)
{
    char *mark = (char *)(uintptr_t)strchr(uri, '?');
    if (mark)
        mark[1] = 0;
}

static void *on_uri(void *user, const char *uri, struct MHD_Connection *connection)
{
    struct http *http = user;
    struct http_request *request = mem_alloc(sizeof *request);
    request->http = http;
    request->connection = connection;
    request->start_ns = loop_now_ns(http->loop);
    request->peer = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    request->response.fd = -1;
    arena_init(&request->arena, LIMIT_REQUEST_ARENA);
    buf_init(&request->body, LIMIT_REQUEST_BYTES);
    buf_init(&request->response.body, LIMIT_RESPONSE_BYTES);
    buf_init(&request->stream, STREAM_QUEUE_BYTES);
    http_parse_uri(request, uri);
    hide_query(uri);
    request->next = http->requests;
    if (http->requests)
        http->requests->prev = request;
    http->requests = request;
    http->request_count++;
    return request;
}

static void free_request(struct http_request *request)
{
    struct http *http = request->http;
    if (request->gone)
        request->gone(request);
    if (request->prev)
        request->prev->next = request->next;
    else
        http->requests = request->next;
    if (request->next)
        request->next->prev = request->prev;
    http->request_count--;
    http_drop_body(request);
    buf_done(&request->response.body);
    buf_done(&request->stream);
    if (request->response.fd >= 0)
        (void)close(request->response.fd);
    arena_done(&request->arena);
    mem_free(request);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    (void)user;
    (void)connection;
    (void)code;
    struct http_request *request = *con_cls;
    if (!request)
        return;
    const struct http_patience *patience = &request->http->options.patience;
    request->peer->deadline_ns = loop_now_ns(request->http->loop) + IDLE_TIMEOUT_S * CLOCK_S + patience->head_ns;
    free_request(request);
    *con_cls = NULL;
}

/* --- responses ---------------------------------------------------------------------------------------------------- */

static ssize_t read_stream(void *user, uint64_t position, char *data, size_t room)
{
    (void)position;
    struct http_request *request = user;
    if (request->stream.size == 0 && !request->is_stream_ended)
        (void)request->fill(request, &request->stream);
    if (request->stream.size == 0) {
        if (request->is_stream_ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        request->is_suspended = true;
        MHD_suspend_connection(request->connection);
        return 0;
    }
    size_t n = request->stream.size < room ? request->stream.size : room;
    memcpy(data, request->stream.data, n);
    buf_consume(&request->stream, n);
    return (ssize_t)n;
}

static enum MHD_Result queue(struct http_request *request)
{
    struct http_response *response = &request->response;
    struct MHD_Response *out;
    pack_response(request);
    be_patient(request, loop_now_ns(request->http->loop), response->fd >= 0 ? response->fd_size : response->body.size);
    if (response->is_stream) {
        request->peer->deadline_ns = 0; /* there is something to take at least every 15 s, or the library ends it */
        out = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream, request, NULL);
    } else if (response->fd >= 0) {
        out = MHD_create_response_from_fd64(response->fd_size, response->fd);
        response->fd = -1; /* the library closes it */
    } else {
        out = MHD_create_response_from_buffer(response->body.size, response->body.data ? response->body.data : (void *)"",
                                              MHD_RESPMEM_PERSISTENT);
    }
    if (!out)
        return MHD_NO;
    for (size_t i = 0; i < response->header_count; i++)
        (void)MHD_add_response_header(out, response->headers[i].name, response->headers[i].value);
    request->http->options.on_sent(request->http->options.user, request);
    request->is_queued = true;
    enum MHD_Result rc = MHD_queue_response(request->connection, (unsigned)response->status, out);
    MHD_destroy_response(out);
    return rc;
}

/* A body that is announced larger than we take is refused before it arrives; else it has its room. */
static bool is_too_large(struct http_request *request)
{
    const char *length = http_header(request, "Content-Length");
    uint64_t bytes = 0;
    if (length && (str_to_u64(length, UINT64_MAX, &bytes) != 0 || bytes > LIMIT_REQUEST_BYTES))
        return true;
    request->reserved = bytes;
    request->http->upload_bytes += bytes;
    return false;
}

/* Room for a piece of a body of unknown length is found as it comes. */
static void keep_piece(struct http_request *request, const char *data, size_t size)
{
    struct http *http = request->http;
    if (request->received > request->reserved) {
        http->upload_bytes += request->received - request->reserved;
        request->reserved = request->received;
    }
    if (http->upload_bytes > LIMIT_UPLOADS_BYTES)
        request->body.is_overflowed = request->is_crowded = true;
    buf_put(&request->body, data, size);
}

void http_drop_body(struct http_request *request)
{
    request->http->upload_bytes -= request->reserved;
    request->reserved = 0;
    buf_done(&request->body);
}

static void answer_crowded(struct http_request *request)
{
    limit_hit(LIMIT_KIND_REQUEST);
    request->response.status = 503;
    http_add_header(request, "Retry-After", "5");
}

struct framing {
    unsigned hosts, lengths, codings;
    bool is_unknown;
};

static enum MHD_Result count_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct framing *framing = user;
    framing->hosts += strcasecmp(name, "Host") == 0;
    framing->lengths += strcasecmp(name, "Content-Length") == 0;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->codings++;
        framing->is_unknown |= !value || strcasecmp(value, "chunked") != 0;
    }
    return MHD_YES;
}

/* Where a request ends must be beyond doubt, or a proxy in front of us may take a part of one body for the next request
 * (RFC 9112, 6.3 and 11.2). */
static const char *check_framing(struct http_request *request)
{
    struct framing framing = {0};
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &framing);
    if (framing.hosts > 1)
        return "There is more than one Host.";
    if (framing.lengths + framing.codings > 1)
        return "The length of the body is told more than once.";
    return framing.is_unknown ? "Transfer-Encoding can only be chunked." : NULL;
}

/* Answers at once; the library closes the connection, as nobody knows where the next request begins. */
static enum MHD_Result refuse_framing(struct http_request *request, const char *wrong)
{
    request->wrong = wrong;
    request->path = NULL;
    http_add_header(request, "Connection", "close");
    request->http->options.on_headers(request->http->options.user, request);
    assert(request->response.status);
    return queue(request);
}

static enum MHD_Result on_headers(struct http *http, struct http_request *request, const char *method)
{
    be_patient(request, request->start_ns, 0);
    request->is_seen = true;
    request->is_head = strcmp(method, "HEAD") == 0;
    request->method = request->is_head ? "GET" : arena_strdup(&request->arena, method);
    const char *wrong = check_framing(request);
    if (wrong)
        return refuse_framing(request, wrong);
    if (is_too_large(request)) {
        limit_hit(LIMIT_KIND_REQUEST);
        request->is_refused = true;
        buf_put(&request->body, "", 0);
        request->body.is_overflowed = true;
        http->options.on_request(http->options.user, request);
        assert(request->response.status);
        return queue(request);
    }
    http->options.on_headers(http->options.user, request);
    if (!request->response.status && request->reserved && http->upload_bytes > LIMIT_UPLOADS_BYTES)
        answer_crowded(request);
    return MHD_YES;
}

static enum MHD_Result on_access(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload_data, size_t *upload_data_size, void **con_cls)
{
    (void)connection;
    (void)url;
    (void)version;
    struct http *http = user;
    struct http_request *request = *con_cls;
    if (!request->is_seen)
        return on_headers(http, request, method);
    if (*upload_data_size > 0) {
        request->received += *upload_data_size;
        if (request->received > DRAIN_BYTES)
            return MHD_NO; /* an upload without end: nobody waits for the answer */
        be_patient(request, request->start_ns, request->received);
        if (!request->response.status)
            keep_piece(request, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    if (request->is_done) /* called again after http_resume */
        return request->response.status && !request->is_queued ? queue(request) : MHD_YES;
    request->is_done = true;
    request->peer->deadline_ns = 0;
    if (!request->response.status && request->is_crowded)
        answer_crowded(request);
    if (!request->response.status) {
        if (request->body.is_overflowed)
            limit_hit(LIMIT_KIND_REQUEST);
        http->options.on_request(http->options.user, request);
    }
    if (request->is_suspended)
        return MHD_YES;
    assert(request->response.status);
    return queue(request);
}

void http_suspend(struct http_request *request)
{
    assert(!request->is_suspended && !request->response.status);
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
}

void http_hold(struct http_request *request)
{
    assert(!request->is_suspended && request->response.status && !request->is_queued);
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
}

void http_resume(struct http_request *request)
{
    if (!request->is_suspended)
        return;
    request->is_suspended = false;
    MHD_resume_connection(request->connection);
    kick(request->http);
}

void http_stream_wake(struct http_request *request)
{
    if (request->is_queued)
        http_resume(request);
}

void http_stream_end(struct http_request *request)
{
    request->is_stream_ended = true;
    if (request->is_queued)
        http_resume(request);
}

/* --- what a request says ------------------------------------------------------------------------------------------- */

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_cookie(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_COOKIE_KIND, name);
}

const char *http_param(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->param_count; i++) {
        if (strcmp(request->params[i].name, name) == 0)
            return request->params[i].value;
    }
    return NULL;
}

const char *http_peer(struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char *text = arena_alloc(&request->arena, SOCK_TEXT_BYTES);
    if (!info || !info->client_addr || !text)
        return "";
    union sock_addr addr = {0};
    if (info->client_addr->sa_family == AF_INET)
        memcpy(&addr.in4, info->client_addr, sizeof addr.in4);
    else if (info->client_addr->sa_family == AF_INET6)
        memcpy(&addr.in6, info->client_addr, sizeof addr.in6);
    return sock_ip_text(&addr, text, SOCK_TEXT_BYTES);
}

void http_add_header(struct http_request *request, const char *name, const char *value)
{
    struct http_response *response = &request->response;
    assert(response->header_count < HTTP_HEADERS_MAX);
    for (const char *c = value; *c; c++)
        assert((unsigned char)*c >= ' ');
    char *copy = arena_strdup(&request->arena, value);
    if (copy)
        response->headers[response->header_count++] = (struct http_pair){name, copy};
}

/* --- start and stop ------------------------------------------------------------------------------------------------ */

int http_split_listen(const char *text, char *host, size_t host_size, uint16_t *ret_port, struct error *err)
{
    size_t length = strlen(text);
    if (length < 3 || strcmp(text + length - 2, ":0") != 0)
        return sock_split(text, 8080, host, host_size, ret_port, err);
    char without[300];
    (void)snprintf(without, sizeof without, "%.*s", (int)(length - 2), text);
    int rc = sock_split(without, 1, host, host_size, ret_port, err);
    *ret_port = 0;
    return rc;
}

static int bind_address(const char *text, int *ret_fd, uint16_t *ret_port, struct error *err)
{
    char host[128];
    uint16_t port = 0;
    int rc = http_split_listen(text, host, sizeof host, &port, err);
    if (rc)
        return rc;
    union sock_addr addr = {0};
    if (sock_parse_ip(host, &addr) != 0) {
        rc = sock_resolve(host, SOCK_PREFER_IPV4, &addr, err);
        if (rc && err)
            (void)str_copy(err->where, sizeof err->where, "--listen");
        if (rc)
            return rc;
    }
    sock_set_port(&addr, port);
    int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_sys(err, errno, text, "cannot make a socket");
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &addr.sa, sock_len(&addr)) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int sys_errno = errno;
        (void)close(fd);
        if (sys_errno == EADDRINUSE)
            return error_set(err, E_EXISTS, text, "another program listens on this address; choose one with --listen");
        return error_sys(err, sys_errno, text, "cannot listen on this address");
    }
    socklen_t size = sizeof addr;
    (void)getsockname(fd, &addr.sa, &size);
    *ret_fd = fd;
    *ret_port = sock_port(&addr);
    return 0;
}

static void on_library_log(void *user, const char *format, va_list args)
{
    (void)user;
    char line[256];
    (void)vsnprintf(line, sizeof line, format, args);
    log_debug("http", "%s", line);
}

/* Paths and queries are decoded by parse_query and decode, once and strictly, so the library must leave them alone. */
static size_t leave_escaped(void *user, struct MHD_Connection *connection, char *text)
{
    (void)user;
    (void)connection;
    return strlen(text);
}

int http_start(const struct http_options *options, struct loop *loop, struct http **ret_http, struct error *err)
{
    int fd = -1;
    uint16_t port = 0;
    int rc = bind_address(options->listen, &fd, &port, err);
    if (rc)
        return rc;
    struct http *http = mem_alloc(sizeof *http);
    http->options = *options;
    struct http_patience *patience = &http->options.patience;
    patience->head_ns = patience->head_ns ? patience->head_ns : 15 * CLOCK_S;
    patience->body_ns = patience->body_ns ? patience->body_ns : 20 * CLOCK_S;
    patience->bytes_per_s = patience->bytes_per_s ? patience->bytes_per_s : 8192;
    http->patience_timer = (struct loop_timer){.fn = on_patience, .user = http};
    http->loop = loop;
    http->port = port;
    http->timer = (struct loop_timer){.fn = on_timer, .user = http};
    struct MHD_OptionItem more[3] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (options->tls) {
        flags |= MHD_USE_TLS;
        more[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)tls_retrieve};
        more[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities};
        more[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        (MHD_socket)fd, MHD_OPTION_URI_LOG_CALLBACK, on_uri, http, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_LIMIT, options->connections ? options->connections : CONNECTIONS_DEFAULT,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (!http->daemon) {
        (void)close(fd);
        mem_free(http);
        return error_set(err, E_INVALID, options->tls ? "--tls-cert" : "--listen",
                         options->tls ? "cannot start to serve TLS" : "cannot start to serve");
    }
    http->epoll_fd = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    rc = loop_add(loop, http->epoll_fd, LOOP_READ, on_ready, http, err);
    if (rc) {
        MHD_stop_daemon(http->daemon);
        mem_free(http);
        return rc;
    }
    run(http);
    on_patience(http);
    *ret_http = http;
    return 0;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    MHD_socket fd = MHD_quiesce_daemon(http->daemon);
    for (struct http_request *request = http->requests; request; request = request->next) {
        if (request->response.is_stream) {
            http_stream_end(request);
        } else if (request->is_suspended) {
            if (!request->response.status)
                request->response.status = 503;
            http_resume(request);
        }
    }
    for (int i = 0; i < 8 && http->request_count > 0; i++)
        (void)MHD_run(http->daemon);
    for (struct http_request *request = http->requests; request; request = request->next) {
        if (request->is_suspended) {
            request->is_suspended = false;
            MHD_resume_connection(request->connection);
        }
    }
    loop_timer_stop(http->loop, &http->timer);
    loop_timer_stop(http->loop, &http->patience_timer);
    loop_remove(http->loop, http->epoll_fd);
    MHD_stop_daemon(http->daemon);
    if (fd != MHD_INVALID_SOCKET)
        (void)close(fd);
    mem_free(http);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

bool http_is_tls(const struct http *http)
{
    return http->options.tls != NULL;
}

size_t http_open_requests(const struct http *http)
{
    return http->request_count;
}

size_t http_connections(const struct http *http)
{
    return http->peer_count;
}

uint64_t http_cut_connections(const struct http *http)
{
    return http->cut;
}

uint64_t http_upload_bytes(const struct http *http)
{
    return http->upload_bytes;
}
