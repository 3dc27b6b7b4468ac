/*
 * Summaries: what the rounds of some time say together, of each agent and of all. Backends make them of rounds and keep
 * them; store_summaries (store.h) tells them.
 *
 * A distribution is kept in buckets whose bounds grow by STORE_BUCKET_GROWTH, so that any percentile is told within one
 * per cent of a value that was measured (DDSketch: Masson, Rim and Lee, VLDB 2019); buckets of several summaries
 * just add up. Counts, sums, least and greatest values are exact.
 *
 * Everything of a set lives in its arena.
 */
#ifndef OCULI_STORE_SUMMARY_H
#define OCULI_STORE_SUMMARY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "store/chunk.h"
#include "store/store.h"

struct summary_agent {
    uint64_t agent_id;
    uint64_t rounds;
    struct store_sums *metrics; /* ascending by id */
    size_t metric_count, metric_room;
    struct store_paths paths;
    size_t change_room;
};

struct summary_set {
    struct arena *arena;
    int64_t from_s;
    struct summary_agent **agents; /* ascending by id */
    size_t count, room;
    bool is_full; /* the arena is */
};

void summary_init(struct summary_set *set, struct arena *arena, int64_t from_s);

/* Rounds of each agent come in ascending order. */
void summary_add(struct summary_set *set, const struct store_round *round);

/* The agent's entry, made when it is missing; NULL when the arena is full. */
struct summary_agent *summary_agent_of(struct summary_set *set, uint64_t agent_id);

/* An entry with the id of the agent replaces the one that is there. */
void summary_replace(struct summary_set *set, const struct summary_agent *agent);

/* Adds the metrics and rounds of another entry; paths are left alone. */
void summary_merge(struct summary_set *set, struct summary_agent *into, const struct summary_agent *from);

/* As bytes, and back. flags: what of it; metric: the only one to be read, or SUMMARY_ALL. -E_CORRUPT: damaged; -E_LIMIT: the
 * arena is full. */
#define SUMMARY_METRICS 1u
#define SUMMARY_PATHS 2u
#define SUMMARY_ALL (-1)
void summary_write(const struct summary_set *set, unsigned flags, ZSTD_CCtx *compressor, struct buf *out);
int summary_read(struct summary_set *set, unsigned flags, int metric, const void *bytes, size_t size, const char *where,
                 ZSTD_DCtx *decompressor, struct error *err);

/* Tells a set as store_summaries does. False when a callback has had enough. */
bool summary_tell(struct summary_set *set, const struct store_summary_query *query, int32_t width_s,
                  const struct store_summary_fns *fns, void *user);

#endif
