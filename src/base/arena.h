/*
 * Arena: memory with one owner and one lifetime (a round, a request, a configuration).
 *
 * Allocations are never freed one by one; arena_done frees all, arena_reset keeps the first block for reuse. Not
 * thread safe. Memory is zeroed and aligned for any type. An arena has a ceiling; beyond it arena_alloc returns NULL
 * and counts, so foreign input cannot make us grow without bound.
 */
#ifndef OCULI_BASE_ARENA_H
#define OCULI_BASE_ARENA_H

#include <stddef.h>
#include <stdarg.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out */
    size_t ceiling;             /* bytes that may be handed out */
    size_t refused;             /* allocations refused at the ceiling */
    size_t first;               /* bytes of its first block; 0 = a few kilobytes */
};

void arena_init(struct arena *arena, size_t ceiling);
/* Where thousands of arenas live at once: the first block has just so many bytes. */
void arena_init_block(struct arena *arena, size_t ceiling, size_t first);
void arena_done(struct arena *arena);
void arena_reset(struct arena *arena);

/* NULL only at the ceiling. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *s);
char *arena_strndup(struct arena *arena, const char *s, size_t n);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
