/*
 * A request as handlers see it: who asks, for which account group, what the path, query and body say; and how they
 * answer. Everything here lives as long as the request.
 */
#ifndef OCULI_SERVER_REQUEST_H
#define OCULI_SERVER_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/http.h"
#include "server/object.h"
#include "server/route.h"
#include "server/server.h"

enum request_who { REQUEST_NOBODY, REQUEST_TOKEN, REQUEST_SESSION, REQUEST_AGENT };

#define REQUEST_EXPAND_MAX 16u

struct request {
    struct server *server;
    struct http_request *http;
    struct arena *arena;
    struct route_match match;
    const struct route *route; /* of match.entry */
    const struct measure_type *type;
    const struct measure_part *part;
    enum request_who who;
    struct object_user user;     /* TOKEN, SESSION */
    struct object_agent agent;   /* AGENT */
    uint64_t signed_in_as;       /* AGENT: the id it showed, perhaps not the agent's today */
    struct object_token session; /* SESSION; of TOKEN the token */
    uint64_t aid;                /* the account group worked in; 0 when the route has none */
    struct permission_set may;   /* what the user may do in it */
    bool is_noted;               /* a change was recorded for the audit log */
    const char *expand[REQUEST_EXPAND_MAX + 1]; /* NULL-terminated */
    json_t *body;                /* JSON body, ours to free; NULL when the route takes none */
    void *record;                /* the body read through route->request */
    struct field_list tests;     /* struct object_test of the account group, once something asked for all of them */
    struct field_list tags;      /* of the account group, once something asked for them (api/tags.c) */
    uint64_t number;             /* request id */
    int64_t checked_s;           /* streams: when it was last seen to that they may go on */
    void *waiting;               /* the waiter's own */
    struct gather_batch *held;   /* the answer waits for the disk */
    void (*gone)(struct request *request);   /* the request ends while waiting or streaming */
};

/* --- what was asked ------------------------------------------------------------------------------------------------ */

const char *request_param(const struct request *request, const char *name); /* of the path; never NULL for names in it */
/* A decimal id of the path; -E_NOT_FOUND when it is none. */
int request_id(const struct request *request, const char *name, uint64_t *ret_id, struct error *err);
const char *request_query(const struct request *request, const char *name); /* NULL when absent */
/* An optional number of the query, within bounds; absent_value when not given. */
int request_query_i64(const struct request *request, const char *name, int64_t min, int64_t max, int64_t absent_value,
                      int64_t *ret_value, struct error *err);
bool request_expands(const struct request *request, const char *word);

static inline bool request_may(const struct request *request, enum permission permission)
{
    return permission_has(&request->may, permission);
}

/* --- how it is answered --------------------------------------------------------------------------------------------- */

/* Takes the reference. HAL objects get _links.self (this request's address) unless they have it. */
void request_answer(struct request *request, int status, json_t *json);
void request_answer_record(struct request *request, int status, const struct field_table *table, const void *record);
void request_answer_cbor(struct request *request, int status, const struct field_table *table, const void *record);
void request_answer_text(struct request *request, int status, const char *type, const char *text, size_t size);
void request_answer_empty(struct request *request, int status);
/* A problem document (RFC 9457) from an error. */
void request_answer_error(struct request *request, int code, const struct error *err);
void request_answer_problem(struct request *request, int status, const char *title, const char *detail);
/* The same from a document of its own. Takes the reference. */
void request_answer_json_problem(struct request *request, int status, json_t *problem);
/* After request_wait and an answer: sends it, once what it may tell of is on the disk. */
void request_resume(struct request *request);
/* Leaves the request open: answer later, then http_resume. gone is called when it ends, answered or not. */
void request_wait(struct request *request, void (*gone)(struct request *request));

/* "https://host/v7/tests/1": the public address of a path given printf-style. */
const char *request_url(const struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
void request_location(struct request *request, const char *url);
/* Sets json._links.self. */
void request_link_self(const struct request *request, json_t *json, const char *url);

/* --- the mechanism (http_options) ----------------------------------------------------------------------------------- */

void request_on_headers(void *server, struct http_request *http);
void request_on_body(void *server, struct http_request *http);
void request_on_sent(void *server, struct http_request *http);

#endif
