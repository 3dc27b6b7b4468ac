/*
 * Requests of the server to others, on its loop (libcurl's multi interface inside; nothing here blocks): for now to the
 * identity provider. Certificates and names are always verified and redirects not followed.
 */
#ifndef OCULI_SERVER_FETCH_H
#define OCULI_SERVER_FETCH_H

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

struct fetch;
struct fetch_job;

struct fetch_request {
    const char *url;
    const char *form;           /* a body of application/x-www-form-urlencoded makes it a POST; NULL = GET */
    const char *user, *password; /* HTTP basic, when user is not NULL */
};

struct fetch_answer {
    long status;      /* 0 = no answer: error tells why */
    const char *body; /* at most LIMIT_FETCH_BYTES, with a NUL after them */
    size_t size;
    const char *error;
};

/* Called once, later, on the loop's thread, unless the job is cancelled. The answer is valid during the call. */
typedef void fetch_fn(void *user, const struct fetch_answer *answer);

/* ca_file: certificates to trust instead of the system's; may be NULL. */
struct fetch *fetch_new(struct loop *loop, const char *ca_file);
void fetch_free(struct fetch *fetch); /* cancels everything; NULL is fine */

/* The request is copied. */
struct fetch_job *fetch_start(struct fetch *fetch, const struct fetch_request *request, fetch_fn *fn, void *user);
void fetch_cancel(struct fetch_job *job);

#endif
