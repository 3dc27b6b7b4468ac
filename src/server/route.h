/*
 * Routes: the one mechanism through which every resource is served. A resource is a constant table of routes and one
 * function for each; everything else (finding the route, 404, 405, 406, 415, who is asking, whether they may, the
 * account group, rate limits, reading the body through its field table, errors, links, media types, the OpenAPI
 * document) follows from the table.
 *
 * A pattern is a path with {names}. "{type}" in a pattern makes one route for each measure type, "{part}" one for each
 * part of a result, so that a new type brings its routes with it.
 */
#ifndef OCULI_SERVER_ROUTE_H
#define OCULI_SERVER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "measure/type.h"
#include "server/permission.h"
#include "wire/field.h"

struct request;
struct resource;

/* Answers through request.h and returns 0, or returns -E_xxx, which becomes a problem document. */
typedef int route_fn(struct request *request, struct error *err);

#define ROUTE_V7 1u            /* API v7: HAL, account group, rate limit, in the OpenAPI document */
#define ROUTE_OCULI 2u         /* the web UI's */
#define ROUTE_CBOR 4u          /* bodies are CBOR records */
#define ROUTE_NO_AID 8u        /* does not depend on an account group */
#define ROUTE_ANY_PASSWORD 16u /* open to users who must still choose a password */
#define ROUTE_INSTANT 32u      /* counted by the instant tests' limit */
#define ROUTE_PARTIAL 64u      /* the body changes what is there: absent fields keep their value */
#define ROUTE_TYPED 128u       /* body and answer also hold the settings of the measure type */
#define ROUTE_PLAIN 256u       /* the answer is no JSON object of ours (text, HTML, stream) */
#define ROUTE_PAGED 512u          /* takes window, startDate, endDate and cursor */
#define ROUTE_SILENT 2048u         /* writes, but changes nothing that belongs into the audit log */
#define ROUTE_SECRET 4096u         /* the answer may hold a secret: it is never compressed */
#define ROUTE_AUTO 8192u           /* pages ask for it by themselves: it is no sign of a person */
#define ROUTE_DETAIL 1024u       /* "{part}" stands only for parts that lists of rounds show in summary */

struct route {
    const char *method, *pattern, *operation; /* operation: {Type} and {Part} are replaced */
    enum permission permission;
    route_fn *fn;
    const char *help;
    const struct field_table *request;  /* of the body, or NULL */
    const struct field_table *response; /* of the answer or of its items, or NULL */
    const char *list;                   /* the answer is {"<list>": [items]} */
    int status;                         /* of success; 0 = 200 */
    unsigned flags;
    enum permission or_permission; /* does as well; or PERMISSION_UNSET */
    const char *const *expand;  /* words expand takes, or NULL */
    const char *const *queries; /* further query parameters, for the document, or NULL */
    const struct resource *resource; /* resource.h; NULL for routes of another make */
};

/* permission comes third and has no default: a route that names none does not compile. */
#define ROUTE(method_, pattern_, permission_, operation_, fn_, more, ...)                                              \
    {                                                                                                                  \
        .method = (method_), .pattern = (pattern_), .permission = (permission_), .operation = (operation_),           \
        .fn = (fn_), .help = (__VA_ARGS__), FIELD_UNWRAP more                                                          \
    }

/* A route for one measure type and part. */
struct route_entry {
    const struct route *route; /* NULL: known to v7, not offered by this version */
    const char *method, *pattern, *operation;
    const struct measure_type *type;
    const struct measure_part *part;
};

struct route_set {
    struct route_entry *entries;
    size_t count;
    struct arena arena;
};

#define ROUTE_PARAMS_MAX 4u
struct route_param {
    const char *name, *value;
};

struct route_match {
    const struct route_entry *entry; /* NULL: no such path, or no such method on it */
    bool is_path_known;
    struct route_param params[ROUTE_PARAMS_MAX];
    size_t param_count;
    char allow[64]; /* methods of the path: "GET, POST" */
};

/* tables: NULL-terminated array of arrays, each ended by a route without method. Stops the program at a broken table. */
void route_set_init(struct route_set *set, const struct route *const *tables);
void route_set_done(struct route_set *set);

/* Values of params live in arena. */
void route_find(const struct route_set *set, const char *method, const char *path, struct arena *arena,
                struct route_match *ret_match);

/* A line for each route: method, pattern, operation, permission, the one that does as well, flags; by tabs. A permission
 * is "public", "agent", "signed-in" or its name. */
void route_print(const struct route_set *set, struct buf *out);
/* docs/api-coverage.md: every operation of v7, and which are real. */
void route_print_coverage(const struct route_set *set, struct buf *out);

/* "agent-to-server" -> "AgentToServer", "pathVis" -> "PathVis". */
const char *route_pascal(struct arena *arena, const char *name);

/* Operations of API v7, in pairs (method, path under /v7). */
extern const char *const v7_operations[][2];
extern const size_t v7_operation_count;

#endif
