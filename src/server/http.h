/*
 * HTTP/1.1 under Oculi: libmicrohttpd driven by base/loop.h on one thread, with requests that may wait (long polls) and
 * responses that stream (server-sent events). Nothing above this file sees libmicrohttpd.
 *
 * A request lives from its request line until its response has been sent or its connection is gone; its arena and
 * everything in it end with it. Uploads are collected up to LIMIT_REQUEST_BYTES, all together up to LIMIT_UPLOADS_BYTES.
 *
 * Nobody may hold a connection by being slow: the head of a request, its body and the taking of the answer each have a
 * time, which grows with what has been moved (struct http_patience). RFC 9110, RFC 9112.
 */
#ifndef OCULI_SERVER_HTTP_H
#define OCULI_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"

struct http;
struct http_request;
struct http_peer;
struct tls;
struct MHD_Connection;

#define HTTP_HEADERS_MAX 24u /* headers we add to one response */
#define HTTP_QUERY_MAX 64u   /* query parameters we keep */

struct http_pair {
    const char *name, *value;
};

struct http_response {
    int status; /* 0 = not answered yet */
    struct http_pair headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct buf body; /* sent as it is; empty for streams and files */
    int fd;          /* >= 0: the body is this file; closed by us */
    uint64_t fd_size;
    bool is_stream; /* the body comes from request->fill until http_stream_end */
};

struct http_request {
    struct http *http;
    struct MHD_Connection *connection;
    struct arena arena;
    const char *method; /* "GET"; HEAD appears as GET with is_head */
    bool is_head;
    const char *uri;   /* as sent: path and query */
    const char *path;  /* decoded; NULL when it cannot be, or the head says what no head may */
    const char *wrong; /* what is wrong with the head, a sentence; NULL when path is not */
    const char *query; /* raw, without '?'; "" when there is none */
    struct http_pair params[HTTP_QUERY_MAX];
    size_t param_count;
    struct http_peer *peer;
    struct buf body; /* the upload, complete in on_request */
    uint64_t reserved; /* of all uploads' room */
    uint64_t received; /* bytes of the upload, kept or dropped */
    struct http_response response;
    int64_t start_ns;   /* monotonic */
    void *user;         /* the layer above's; set in on_headers */
    void (*gone)(struct http_request *request); /* the request ends, whatever became of it; may be NULL */

    bool is_secret; /* the answer may hold a secret: it is not compressed (BREACH) */
    bool is_seen, is_done, is_suspended, is_refused, is_queued, is_crowded;
    struct buf stream; /* bytes of a stream being sent */
    bool (*fill)(struct http_request *request, struct buf *out); /* more of a stream; false when nothing waits */
    bool is_stream_ended;
    struct http_request *next, *prev;
};

/* Called with the headers known and no body yet; it may answer already (the body is then read and dropped). */
typedef void http_headers_fn(void *user, struct http_request *request);
/* Called with the body complete; answers at once, or calls http_suspend and answers later with http_resume. */
typedef void http_request_fn(void *user, struct http_request *request);
/* Called when a response is handed to the connection: access log and counters. */
typedef void http_sent_fn(void *user, struct http_request *request);

/* How long others may take; 0 = the default. */
struct http_patience {
    int64_t head_ns; /* from the connection, or the end of the keep-alive time, to the end of a request's head; 15 s */
    int64_t body_ns; /* to send a body or take an answer, beside what BYTES_PER_S gives for its size; 20 s */
    uint64_t bytes_per_s; /* 8,192 */
};

struct http_options {
    const char *listen;    /* "127.0.0.1:8080", "[::]:443" */
    const struct tls *tls; /* NULL = no TLS */
    unsigned connections;  /* at most; 0 = 1,000 */
    struct http_patience patience;
    http_headers_fn *on_headers;
    http_request_fn *on_request;
    http_sent_fn *on_sent;
    void *user;
};

/* "host:port", where port 0 asks for a free one; 8080 when there is none. */
int http_split_listen(const char *text, char *host, size_t host_size, uint16_t *ret_port, struct error *err);

/* Binds and starts to serve on loop. -E_EXISTS when the address is in use; the error names the address. */
int http_start(const struct http_options *options, struct loop *loop, struct http **ret_http, struct error *err);
/* Answers what waits with 503, ends streams and closes. */
void http_stop(struct http *http);

uint16_t http_port(const struct http *http); /* the port bound, useful after asking for 0 */
bool http_is_tls(const struct http *http);
size_t http_open_requests(const struct http *http);
size_t http_connections(const struct http *http);
uint64_t http_cut_connections(const struct http *http); /* closed because they were too slow */
uint64_t http_upload_bytes(const struct http *http);     /* bodies held now */

/* Sets uri, path, query and params from a request target; the arena is ready. What on_headers gets has been through it;
 * apart for fuzzing. */
void http_parse_uri(struct http_request *request, const char *uri);

const char *http_header(const struct http_request *request, const char *name); /* NULL when absent */
const char *http_cookie(const struct http_request *request, const char *name);
const char *http_param(const struct http_request *request, const char *name); /* the first; NULL when absent */
const char *http_peer(struct http_request *request);                          /* the client's address as text */

/* value is copied into the request's arena; control characters in it are refused by an assert. */
void http_add_header(struct http_request *request, const char *name, const char *value);

/* The body has been read and is given back. */
void http_drop_body(struct http_request *request);

/* Leaves the request unanswered until http_resume; only from on_request. */
void http_suspend(struct http_request *request);
/* The same with the response filled in already: it is not sent before http_resume. */
void http_hold(struct http_request *request);
/* The response is filled in: send it. */
void http_resume(struct http_request *request);

/* A stream has something to send: fill is called when the connection takes it, so a slow reader holds up nothing. */
void http_stream_wake(struct http_request *request);
void http_stream_end(struct http_request *request);

#endif
