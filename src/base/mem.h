/*
 * The only place where memory is taken from the C library.
 *
 * Everything else lives in an arena (one owner, one lifetime), a slab (a fixed number of slots) or a buf (bytes with
 * a ceiling). These calls never return NULL: a process that cannot get memory stops with a message, because every
 * amount is bounded by limit.h and running out is therefore a broken machine, not an input.
 */
#ifndef OCULI_BASE_MEM_H
#define OCULI_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                              /* zeroed */
void *mem_alloc_array(size_t count, size_t size);          /* zeroed; aborts on overflow */
void *mem_resize(void *p, size_t old_size, size_t new_size); /* grown part zeroed */
char *mem_strdup(const char *s);
void mem_free(void *p);

/* Room for something large of which only a part may ever be used: zeroed, and pages cost nothing before they are touched.
 * Given back with the same size. */
void *mem_reserve(size_t count, size_t size);
void mem_release(void *p, size_t count, size_t size);

#endif
