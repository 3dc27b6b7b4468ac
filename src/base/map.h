/*
 * Map from 64-bit keys to pointers: open addressing, grows by doubling, deletes without tombstones. Key 0 is valid.
 * Values belong to the caller and are never NULL.
 */
#ifndef OCULI_BASE_MAP_H
#define OCULI_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map {
    struct map_entry {
        uint64_t key;
        void *value; /* NULL = empty */
    } *entries;
    size_t room; /* power of two, or 0 */
    size_t count;
};

void map_done(struct map *map); /* a zeroed struct map is an empty map */
void *map_get(const struct map *map, uint64_t key);
void map_put(struct map *map, uint64_t key, void *value); /* replaces */
void *map_remove(struct map *map, uint64_t key);          /* what was there, or NULL */

/* Walks all values: *position starts at 0; NULL at the end. The map must not change meanwhile. */
void *map_next(const struct map *map, size_t *position);

#endif
