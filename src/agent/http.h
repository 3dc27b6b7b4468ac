/*
 * Requests to the Oculi server on the agent's loop (libcurl's multi interface inside; nothing here blocks).
 *
 * A request is copied; its function is called once, later, on the loop's thread, unless it is cancelled. Redirects are
 * not followed: a server that moved is for the operator to say. TLS certificates and names are always verified.
 *
 * Requests go through the proxy that was set (route.h); without any, through the one that the environment names
 * (https_proxy, no_proxy), as other programs do.
 */
#ifndef OCULI_AGENT_HTTP_H
#define OCULI_AGENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/resolve.h"
#include "wire/message.h"

struct http;
struct http_job;
struct pac;
struct trust;

struct http_settings {
    const char *server;       /* "https://oculi.example.net:8443/prefix" */
    struct trust *trust;      /* trust.h; NULL = what the system trusts */
    const struct message_proxy *proxy; /* NULL = the environment's; passed proxy_check */
    struct pac *pac;          /* NULL = no PAC files */
    struct resolver *resolver; /* names of the server and of proxies; NULL = libcurl's own way */
    const char *instance;     /* MESSAGE_INSTANCE_HEADER of authorized requests; NULL = none */
};

struct http_request {
    const char *method;       /* "GET", "POST" */
    const char *path;         /* "/oculi/v1/agent/plan?version=1" */
    const char *authorization; /* the header's value; NULL = none */
    const void *body;         /* CBOR; NULL = none */
    size_t body_size;
    bool is_zstd;             /* body is compressed */
    int64_t timeout_s;        /* of the whole exchange */
    bool is_foreign;          /* path is a whole URL elsewhere: asked without a proxy, and told nothing of us */
};

struct http_answer {
    long status;              /* 0 = no answer: error tells why */
    const void *body;
    size_t body_size;
    int64_t retry_after_s;    /* Retry-After, 0 = none */
    bool is_problem;          /* the body is application/problem+json: an Oculi server spoke, not something before it */
    const char *error;        /* a sentence for the log; "" with a 2xx status */
};

/* answer is valid during the call; other requests may be made in it. */
typedef void http_fn(void *user, const struct http_answer *answer);

/* 0, or -E_INVALID naming what is wrong with the URL. */
int http_check_url(const char *server, struct error *err);

/* The other members of settings outlive it. -E_INVALID: the URL or the proxy. */
int http_new(struct loop *loop, const struct http_settings *settings, struct http **ret_http, struct error *err);
void http_free(struct http *http); /* cancels everything; NULL is fine */

struct http_job *http_start(struct http *http, const struct http_request *request, http_fn *fn, void *user);
void http_cancel(struct http_job *job);

#endif
