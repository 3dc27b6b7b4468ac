#include "base/arena.h"

#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define ARENA_BLOCK_BYTES (1024u - (unsigned)sizeof(struct arena_block)) /* the least */
#define ARENA_ALIGN _Alignof(max_align_t)

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t ceiling)
{
    *arena = (struct arena){.ceiling = ceiling};
}

void arena_init_block(struct arena *arena, size_t ceiling, size_t first)
{
    *arena = (struct arena){.ceiling = ceiling, .first = first};
}

static void free_blocks(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
}

void arena_done(struct arena *arena)
{
    free_blocks(arena->blocks);
    *arena = (struct arena){.ceiling = arena->ceiling, .first = arena->first};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *first = arena->blocks;
    if (first) {
        free_blocks(first->next);
        first->next = NULL;
        memset(first->bytes, 0, first->used);
        first->used = 0;
    }
    arena->used = 0;
}

static struct arena_block *block_with_room(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;
    if (block && block->size - block->used >= size)
        return block;
    size_t want = arena->used / 2; /* a small arena stays small: there are thousands; a large one grows in few steps */
    if (!block && arena->first)
        want = arena->first;
    else if (want < ARENA_BLOCK_BYTES)
        want = ARENA_BLOCK_BYTES;
    if (want > 1u << 20)
        want = 1u << 20;
    if (want < size)
        want = size;
    block = mem_alloc(sizeof *block + want);
    block->size = want;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (size == 0)
        size = ARENA_ALIGN;
    if (size > arena->ceiling || arena->used > arena->ceiling - size) {
        arena->refused++;
        return NULL;
    }
    struct arena_block *block = block_with_room(arena, size);
    void *p = block->bytes + block->used;
    block->used += size;
    arena->used += size;
    return p;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        return NULL;
    return arena_alloc(arena, count * size);
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
    size_t length = strnlen(s, n);
    char *copy = arena_alloc(arena, length + 1);
    if (copy)
        memcpy(copy, s, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_strndup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
