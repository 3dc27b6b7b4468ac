#include "base/slab.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

void slab_init(struct slab *slab, size_t slot_size, uint32_t count)
{
    size_t align = _Alignof(max_align_t);
    slot_size = (slot_size + align - 1) / align * align;
    *slab = (struct slab){.slot_size = slot_size, .count = count, .free_count = count};
    slab->slots = mem_reserve(count, slot_size);
    slab->free_list = mem_alloc_array(count, sizeof *slab->free_list);
    for (uint32_t i = 0; i < count; i++)
        slab->free_list[i] = count - 1 - i;
}

void slab_done(struct slab *slab)
{
    mem_release(slab->slots, slab->count, slab->slot_size);
    mem_free(slab->free_list);
    *slab = (struct slab){0};
}

void *slab_get(struct slab *slab)
{
    if (slab->free_count == 0) {
        slab->refused++;
        return NULL;
    }
    void *slot = slab_at(slab, slab->free_list[--slab->free_count]);
    memset(slot, 0, slab->slot_size);
    return slot;
}

void slab_put(struct slab *slab, void *slot)
{
    assert(slab->free_count < slab->count);
    slab->free_list[slab->free_count++] = slab_index(slab, slot);
}

uint32_t slab_index(const struct slab *slab, const void *slot)
{
    size_t offset = (size_t)((const unsigned char *)slot - slab->slots);
    assert(offset % slab->slot_size == 0 && offset / slab->slot_size < slab->count);
    return (uint32_t)(offset / slab->slot_size);
}

void *slab_at(const struct slab *slab, uint32_t index)
{
    assert(index < slab->count);
    return slab->slots + (size_t)index * slab->slot_size;
}
