#include "base/map.h"

#include <assert.h>

#include "base/mem.h"

static size_t home(const struct map *map, uint64_t key)
{
    key ^= key >> 32;
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(key >> 20) & (map->room - 1);
}

/* The entry that holds key, or the empty one where it would go. */
static struct map_entry *find(const struct map *map, uint64_t key)
{
    size_t i = home(map, key);
    while (map->entries[i].value && map->entries[i].key != key)
        i = (i + 1) & (map->room - 1);
    return &map->entries[i];
}

void map_done(struct map *map)
{
    mem_free(map->entries);
    *map = (struct map){0};
}

void *map_get(const struct map *map, uint64_t key)
{
    return map->room ? find(map, key)->value : NULL;
}

static void grow(struct map *map)
{
    struct map old = *map;
    map->room = old.room ? old.room * 2 : 16;
    map->entries = mem_alloc_array(map->room, sizeof *map->entries);
    for (size_t i = 0; i < old.room; i++) {
        if (old.entries[i].value)
            *find(map, old.entries[i].key) = old.entries[i];
    }
    mem_free(old.entries);
}

void map_put(struct map *map, uint64_t key, void *value)
{
    assert(value);
    if (map->count * 4 >= map->room * 3)
        grow(map);
    struct map_entry *entry = find(map, key);
    if (!entry->value)
        map->count++;
    *entry = (struct map_entry){.key = key, .value = value};
}

void *map_remove(struct map *map, uint64_t key)
{
    struct map_entry *entry = map->room ? find(map, key) : NULL;
    if (!entry || !entry->value)
        return NULL;
    void *value = entry->value;
    size_t hole = (size_t)(entry - map->entries);
    size_t mask = map->room - 1;
    for (size_t i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
        size_t want = home(map, map->entries[i].key);
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole].value = NULL;
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *position)
{
    while (*position < map->room) {
        struct map_entry *entry = &map->entries[(*position)++];
        if (entry->value)
            return entry->value;
    }
    return NULL;
}
