/*
 * Slab: a fixed number of equal slots, handed out and given back in O(1), with stable addresses and small integer
 * numbers. All memory is taken at slab_init; slab_get returns NULL and counts when every slot is in use.
 */
#ifndef OCULI_BASE_SLAB_H
#define OCULI_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab {
    unsigned char *slots;
    uint32_t *free_list;
    size_t slot_size;
    uint32_t count;
    uint32_t free_count;
    uint64_t refused; /* requests refused because all slots were in use */
};

void slab_init(struct slab *slab, size_t slot_size, uint32_t count);
void slab_done(struct slab *slab);
void *slab_get(struct slab *slab); /* zeroed; NULL when full */
void slab_put(struct slab *slab, void *slot);
uint32_t slab_index(const struct slab *slab, const void *slot);
void *slab_at(const struct slab *slab, uint32_t index);

#endif
