/*
 * A small HTTPS client for the benches: many connections on one loop, one request at a time on each, kept alive. It reads
 * status and Content-Length and nothing else; certificates are not verified, because the servers are our own.
 */
#ifndef OCULI_BENCH_HTTPS_H
#define OCULI_BENCH_HTTPS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/loop.h"

struct https;
/* status 0: the connection failed. The body is valid during the call; another request may be sent from it. */
typedef void https_fn(struct https *https, int status, const void *body, size_t size);

struct https {
    struct loop *loop;
    int fd; /* -1 = closed */
    gnutls_session_t tls; /* NULL = plain */
    enum { HTTPS_CONNECTING, HTTPS_SHAKING, HTTPS_IDLE, HTTPS_WRITING, HTTPS_READING } state;
    struct buf out, in;
    size_t sent, head; /* head: bytes of the answer's head, 0 = not complete */
    size_t length;
    int status;
    https_fn *fn;
    void *user; /* the caller's */
    int64_t start_ns;
};

struct https_server {
    char host[64];
    uint16_t port;
    bool is_tls;
};

/* "https://127.0.0.1:8443"; exits when it is no such thing. */
void https_parse(const char *url, struct https_server *ret_server);

/* Connects when the first request is sent. */
void https_init(struct https *https, struct loop *loop, void *user);
void https_send(struct https *https, const struct https_server *server, const char *method, const char *path,
                const char *headers, const void *body, size_t size, https_fn *fn);
void https_close(struct https *https);

/* One request and its answer, waiting on the loop for it. The body is copied into ret_body, which is initialised. */
int https_call(struct loop *loop, struct https *https, const struct https_server *server, const char *method,
               const char *path, const char *headers, const void *body, size_t size, struct buf *ret_body);

#endif
