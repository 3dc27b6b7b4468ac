/*
 * The path traces of a round in columns (docs/protocols.md, "Paths of a round"): each address once, each trace a slice
 * of the probes. A round that is final never changes; its texts are kept in a small cache.
 */
#ifndef OCULI_SERVER_PATHS_H
#define OCULI_SERVER_PATHS_H

#include "server/view.h"

#define PATHS_CACHE_TEXTS 64u
#define PATHS_CACHE_TEXT_BYTES (1u << 20) /* larger texts are not kept */

struct paths_cache;
struct paths_cache *paths_cache_new(void);
void paths_cache_free(struct paths_cache *cache);
void paths_cache_forget_test(struct paths_cache *cache, uint64_t test_id);

/* Appends the JSON object; a round nobody reported has no traces. cache may be NULL. *ret_is_final: the round is older
 * than two intervals, every agent shown has reported it and no name is being asked for, so that the answer may be kept
 * for a while. (An agent that was cut off adds to old rounds when it comes back; databases come and change.) */
int paths_write(const struct view *view, int64_t round_id, struct paths_cache *cache, struct buf *out,
                bool *ret_is_final, struct error *err);

#endif
