/*
 * The store: two faces that differ in nature.
 *
 * Objects are small and transactional (account groups, users, tokens, agents, tests, sessions): an opaque body (CBOR
 * of a field table) under (kind, id), in an account group, with up to two lookup keys. Results are append-only series
 * with a retention. A backend implements struct store_backend (backend.h) and passes tests/store/ with its URL; nothing
 * else in the tree knows which backend runs. A store is used from one thread at a time (the server serialises).
 *
 * URLs: "memory:" and "sqlite:PATH". One process at a time opens a store; a second one gets -E_CONFLICT.
 *
 * Errors every function may return: -E_FULL (disk or quota), -E_IO, -E_CORRUPT, -E_PERMISSION; err->where names the
 * file. After one of them inside a transaction nothing of that transaction happens: store_commit repeats the error.
 * Numbers (ids, versions, times) are below 2^63. A callback may read the store but must not change it.
 */
#ifndef OCULI_STORE_STORE_H
#define OCULI_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct store;

/* -E_UNKNOWN: no backend of that name. -E_INVALID: the file is something else's. -E_NOT_SUPPORTED: written by a newer
 * version. -E_CONFLICT: another process has it open. An older store is brought up to date here. */
int store_open(const char *url, struct store **ret_store, struct error *err);
void store_close(struct store *store); /* NULL is allowed; an open transaction is rolled back */

/* --- transactions: everything between begin and commit is durable together or not at all -------------------------- */

/* When commit returns 0 the transaction survives a crash of the machine. Transactions do not nest. A call that changes
 * something outside a transaction is one by itself. */
int store_begin(struct store *store, struct error *err);
int store_commit(struct store *store, struct error *err); /* -E_FULL, -E_IO: nothing of it happened */
void store_rollback(struct store *store);
/* The end of a handler's transaction: commits when rc is 0, else rolls back. Returns rc, or why it was not committed. */
int store_end(struct store *store, int rc, struct error *err);
bool store_in_transaction(const struct store *store);

/* For who must not wait for the disk. The commit of a transaction begun with store_begin_soon makes it visible to this
 * process; it survives a crash of the machine once a store_sync that began after the commit has returned 0.
 *
 * store_sync is the one function that another thread may call while the store is in use (one at a time, and not after
 * store_close has begun). When it fails nobody knows what of those transactions is on the disk; a later one that
 * succeeds covers them too. */
int store_begin_soon(struct store *store, struct error *err);
int store_sync(struct store *store, struct error *err);
/* From now on every transaction is begun like that, also those of single calls. */
void store_never_wait(struct store *store);
/* How many transactions have been committed since the store was opened. */
uint64_t store_commits(const struct store *store);
/* The store asks for a pause without new transactions until the next store_sync has returned. */
bool store_is_crowded(const struct store *store);

/* --- objects ------------------------------------------------------------------------------------------------------ */

struct store_object {
    const char *kind;   /* "test", "agent", "user"... */
    uint64_t id;        /* 0 on creation: the store gives the next one of the kind (never reused) */
    uint64_t aid;       /* account group, 0 = none */
    const char *key;    /* unique within (kind, aid) when not NULL: a test's name, a user's e-mail */
    const char *lookup; /* not unique, indexed: a token's hash, an owner's id; may be NULL */
    int64_t version;    /* 1 on creation, counts up at each change */
    int64_t modified_s; /* wall time given by the caller */
    const void *body;
    size_t body_size;
};

/* Creates (id 0) or replaces (id != 0; version must be the stored one, else -E_CONFLICT). -E_EXISTS: key is taken.
 * -E_NOT_FOUND: no such id. Sets object->id and object->version. Replaced and deleted bodies stay readable by
 * version. */
int store_put(struct store *store, struct store_object *object, struct error *err);
/* version 0 = the current one; older versions are kept. Strings and body live in arena. -E_NOT_FOUND; -E_LIMIT when it
 * does not fit the arena. */
int store_get(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
              struct store_object *ret_object, struct error *err);
/* The object with that key in exactly that account group (0 = in none). */
int store_find(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
               struct store_object *ret_object, struct error *err);
int store_delete(struct store *store, const char *kind, uint64_t id, struct error *err); /* -E_NOT_FOUND */

/* Deletes and forgets every version: for what must not be kept (sessions, one-time secrets). -E_NOT_FOUND. */
int store_purge(struct store *store, const char *kind, uint64_t id, struct error *err);

/* Calls fn for each object of the kind in id order, after after_id, at most max (0 = all); aid 0 = every account
 * group; lookup NULL = any. fn returns false to stop. The object is valid during the call. */
typedef bool store_object_fn(void *user, const struct store_object *object);
int store_list(struct store *store, const char *kind, uint64_t aid, const char *lookup, uint64_t after_id, size_t max,
               store_object_fn *fn, void *user, struct error *err);
/* The same from the newest id down: only ids below before_id (0 = all). */
int store_list_back(struct store *store, const char *kind, uint64_t aid, uint64_t before_id, size_t max,
                    store_object_fn *fn, void *user, struct error *err);

/* --- results ------------------------------------------------------------------------------------------------------ */

/* One metric of one round; a round has few (about ten, at most STORE_ROUND_METRICS). */
#define STORE_ROUND_METRICS 64u

struct store_metric {
    uint16_t id; /* the server's number for a metric: its index in the measure type's table */
    double value;
};

struct store_round {
    uint64_t test_id, agent_id;
    int64_t round_id;       /* epoch seconds of the slot */
    int64_t start_s, end_s; /* wall */
    int64_t test_version;   /* of the settings that produced it */
    uint64_t fingerprint;   /* the caller's, kept beside the metrics: the paths in a body; 0 = none */
    const struct store_metric *metrics;
    size_t metric_count;
    const void *body; /* CBOR of the parts; opaque here */
    size_t body_size;
    const void *detail; /* CBOR of the parts that are kept for less long (path traces); size 0 = none */
    size_t detail_size;
};

/* Appends rounds; a round whose (test, agent, round) is there already is counted and changes nothing. Inside or
 * outside a transaction; outside, the call is one. ret_new (may be NULL) counts the rounds that were new; is_new (may
 * be NULL) tells it for each. A round of a dropped test is taken as one that is there. Several calls in one transaction
 * share its flush to the disk. */
int store_append(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new, bool *is_new,
                 struct error *err);

#define STORE_WANT_METRICS 1u
#define STORE_WANT_BODY 2u
#define STORE_WANT_DETAIL 4u

struct store_query {
    uint64_t test_id;
    uint64_t agent_id;       /* 0 = all */
    int64_t from_s, until_s; /* round_id in [from, until) */
    int64_t after_round;     /* cursor: strictly after (round, agent) in the answer's order; -1 = from the start */
    uint64_t after_agent;
    bool is_descending; /* newest round first */
    size_t max;         /* rounds, 0 = all */
    unsigned want;
};

/* In order of (round_id, agent_id), or exactly the reverse. The round is valid during the call; fn returns false to
 * stop. */
typedef bool store_round_fn(void *user, const struct store_round *round);
int store_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                 struct error *err);

/* The distinct round ids of a test in [from, until), ascending; items in arena. */
int store_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                    int64_t **ret_ids, size_t *ret_count, struct error *err);

/* --- summaries ---------------------------------------------------------------------------------------------------- */

/* Values counted in buckets: key k > 0 holds those near STORE_BUCKET_GROWTH to some power, -k their negatives, 0 zero. */
#define STORE_BUCKET_GROWTH 1.01
struct store_bucket {
    int32_t key;
    uint64_t count;
};
double store_bucket_value(int32_t key);

struct store_sums { /* of a metric; count 0 = nobody had a value */
    uint16_t id;
    uint64_t count;
    double sum, min, max;
    struct store_bucket *buckets; /* ascending */
    size_t bucket_count, bucket_room;
};
/* The p-th percentile (0..1), within half a per cent of a value that was there. count must not be 0. */
double store_percentile(const struct store_sums *sums, double p);
/* Counts one more value; not in a bucket when the arena is full. */
void store_add_value(struct store_sums *sums, double value, struct arena *arena);
/* Adds the values of another; buckets in arena, none of them when it is full. */
void store_add_sums(struct store_sums *into, const struct store_sums *from, struct arena *arena);

struct store_summary {
    uint64_t agent_id; /* 0 = all together */
    int64_t from_s;
    int32_t width_s; /* an hour, or a day */
    uint64_t rounds;
    struct store_sums sums;
};

struct store_paths { /* of one agent in an hour: fingerprints other than 0 */
    uint64_t agent_id;
    uint64_t first, last;
    int64_t first_round;
    int64_t *changes; /* rounds whose fingerprint differs from that of the one before */
    size_t change_count;
};

struct store_summary_query {
    uint64_t test_id;
    int64_t from_s, until_s; /* full hours of UTC */
    uint16_t metric;
    const uint64_t *agents; /* ascending; each is told by itself. agent_count 0 = all together */
    size_t agent_count;
    bool is_daily; /* whole days of the window may be told as such */
};

/* What follows is valid during the call; false stops. A callback that is NULL is not called. */
struct store_summary_fns {
    bool (*summary)(void *user, const struct store_summary *summary); /* in any order; none of hours without rounds */
    bool (*paths)(void *user, const struct store_paths *paths);       /* hours in order; with all agents or those asked for */
};

/* What hours say together, without their rounds: of every hour, packed or not. They are kept longer than rounds. */
int store_summaries(struct store *store, const struct store_summary_query *query, const struct store_summary_fns *fns,
                    void *user, struct error *err);

/* The test's results are gone for every reader and writer, for good; upkeep frees what they took. */
int store_drop_test(struct store *store, uint64_t test_id, struct error *err);

/* --- upkeep ------------------------------------------------------------------------------------------------------- */

/* How long what is kept; 0 = for ever. Things go in steps of a day (summaries: of 32 days), never early. */
struct store_policy {
    int64_t results_s;   /* rounds without their details */
    int64_t details_s;   /* details of rounds */
    int64_t summaries_s; /* hourly and daily summaries */
    /* Bytes the store may take; 0 = what the disk has. Beyond it the oldest day's details go, then the oldest day's
     * rounds; the last two days, summaries and objects never do. */
    uint64_t budget_bytes;
};

struct store_upkeep {
    bool is_idle; /* nothing more to do now */
    uint64_t folded, dropped; /* rounds, in this slice */
    uint64_t over_budget; /* of the dropped ones: before their time, for the budget's sake */
};

/*
 * One slice of what a store does behind its callers' backs: it packs hours that are over (results stay as they are to
 * every reader), drops what is too old and frees what dropped tests took. Stops as soon as slice_ns have passed, at the
 * earliest after the smallest piece of work. Not inside a transaction. After an error (err->where names the file)
 * nothing is lost, and calling again goes on; a damaged piece does not keep the others from being done.
 */
int store_upkeep(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                 struct store_upkeep *ret_upkeep, struct error *err);

struct store_stats {
    uint64_t objects, rounds; /* rounds of dropped tests count until they are freed */
    uint64_t head_rounds;     /* of these not yet packed */
    uint64_t bytes;           /* on disk; 0 for memory */
    uint64_t files;
};
int store_stats(struct store *store, struct store_stats *ret_stats, struct error *err);

#endif
