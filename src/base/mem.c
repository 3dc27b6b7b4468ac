#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *checked(void *p, size_t size)
{
    if (!p) {
        (void)fprintf(stderr, "out of memory: %zu bytes refused\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1), size);
}

void *mem_alloc_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1), size);
}

void *mem_resize(void *p, size_t old_size, size_t new_size)
{
    char *q = checked(realloc(p, new_size ? new_size : 1), new_size);
    if (new_size > old_size)
        memset(q + old_size, 0, new_size - old_size);
    return q;
}

char *mem_strdup(const char *s)
{
    return checked(strdup(s), strlen(s) + 1);
}

void mem_free(void *p)
{
    free(p);
}

static size_t product(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        (void)checked(NULL, SIZE_MAX);
    return total ? total : 1;
}

void *mem_reserve(size_t count, size_t size)
{
    size_t total = product(count, size);
    void *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return checked(p == MAP_FAILED ? NULL : p, total);
}

void mem_release(void *p, size_t count, size_t size)
{
    if (p)
        (void)munmap(p, product(count, size));
}
