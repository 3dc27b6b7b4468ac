/*
 * What a store backend implements. store.c checks arguments, turns single changes into transactions and remembers a
 * transaction that broke, so that a backend holds only storage.
 *
 * A backend's own struct begins with a struct store. Its functions have the meaning of their namesakes in store.h,
 * with these simplifications: put, remove, append and drop_test always run inside a transaction, upkeep never does; ret
 * pointers are never NULL.
 */
#ifndef OCULI_STORE_BACKEND_H
#define OCULI_STORE_BACKEND_H

#include "store/store.h"

struct store {
    const struct store_backend *backend;
    bool is_open; /* a transaction is */
    bool never_waits;
    uint64_t commits;
    int broken;   /* 0, or the -E_xxx that broke the open transaction */
    struct error broken_error;
};

struct store_backend {
    const char *scheme; /* "sqlite": what stands before the colon */
    int (*open)(const char *rest, struct store **ret_store, struct error *err);
    void (*close)(struct store *store);
    int (*begin)(struct store *store, struct error *err);
    int (*begin_soon)(struct store *store, struct error *err); /* NULL: a commit never waits for a disk */
    int (*commit)(struct store *store, struct error *err); /* on failure the transaction is still open */
    void (*rollback)(struct store *store);
    int (*sync)(struct store *store, struct error *err); /* on another thread; NULL with begin_soon */
    bool (*is_crowded)(const struct store *store);
    int (*put)(struct store *store, struct store_object *object, struct error *err);
    int (*get)(struct store *store, const char *kind, uint64_t id, int64_t version, struct arena *arena,
               struct store_object *ret_object, struct error *err);
    int (*find)(struct store *store, const char *kind, uint64_t aid, const char *key, struct arena *arena,
                struct store_object *ret_object, struct error *err);
    int (*remove)(struct store *store, const char *kind, uint64_t id, bool is_purge, struct error *err);
    int (*list)(struct store *store, const char *kind, uint64_t aid, const char *lookup, uint64_t after_id, size_t max,
                store_object_fn *fn, void *user, struct error *err);
    int (*list_back)(struct store *store, const char *kind, uint64_t aid, uint64_t before_id, size_t max,
                     store_object_fn *fn, void *user, struct error *err);
    int (*append)(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new, bool *is_new,
                  struct error *err);
    int (*rounds)(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                  struct error *err);
    int (*round_ids)(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                     int64_t **ret_ids, size_t *ret_count, struct error *err);
    int (*summaries)(struct store *store, const struct store_summary_query *query, const struct store_summary_fns *fns,
                     void *user, struct error *err);
    int (*drop_test)(struct store *store, uint64_t test_id, struct error *err);
    int (*upkeep)(struct store *store, const struct store_policy *policy, int64_t now_s, int64_t slice_ns,
                  struct store_upkeep *ret_upkeep, struct error *err);
    int (*stats)(struct store *store, struct store_stats *ret_stats, struct error *err);
};

extern const struct store_backend store_sqlite, store_memory;

/* Copies an object into arena; -E_LIMIT when it does not fit. */
int store_copy_object(const struct store_object *object, struct arena *arena, struct store_object *ret_object,
                      struct error *err);

/* Cursor and window of a query as one open interval: (low_round, low_agent) < (round, agent) <
 * (high_round, high_agent). Agents are compared as signed numbers, so that (round, -1) stands before every agent of a
 * round. */
struct store_span {
    int64_t low_round, low_agent, high_round, high_agent;
};
struct store_span store_query_span(const struct store_query *query);

#endif
