#include "agent/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"

enum { PROGRESS_EMPTY, PROGRESS_ROUND, PROGRESS_RUN };

/* As on disk, in the machine's own byte order: the file never leaves it. */
struct slot {
    uint32_t kind;
    uint32_t sum; /* of the rest */
    uint64_t id;
    int64_t when; /* epoch seconds: the round, or the time of the run */
};

struct progress {
    int fd;
    struct slot *slots;
    uint32_t count, damaged;
    struct map rounds, runs; /* id -> slot */
};

static uint32_t sum_of(const struct slot *slot)
{
    return crc32c(crc32c(0, &slot->kind, sizeof slot->kind), &slot->id, sizeof slot->id + sizeof slot->when);
}

static struct map *map_of(struct progress *progress, uint32_t kind)
{
    return kind == PROGRESS_ROUND ? &progress->rounds : &progress->runs;
}

/* A new slot, or the one of the same kind that has not been needed for the longest time. */
static struct slot *take_slot(struct progress *progress, uint32_t kind)
{
    struct map *map = map_of(progress, kind);
    uint32_t ceiling = kind == PROGRESS_ROUND ? LIMIT_PROGRESS_TESTS : LIMIT_PROGRESS_RUNS;
    if (map->count < ceiling)
        return &progress->slots[progress->count++];
    struct slot *oldest = NULL;
    size_t at = 0;
    for (struct slot *slot = map_next(map, &at); slot; slot = map_next(map, &at)) {
        if (!oldest || slot->when < oldest->when)
            oldest = slot;
    }
    map_remove(map, oldest->id);
    return oldest;
}

static void put(struct progress *progress, uint32_t kind, uint64_t id, int64_t when)
{
    struct slot *slot = map_get(map_of(progress, kind), id);
    if (!slot)
        slot = take_slot(progress, kind);
    *slot = (struct slot){.kind = kind, .id = id, .when = when};
    slot->sum = sum_of(slot);
    map_put(map_of(progress, kind), id, slot);
    off_t offset = (off_t)(sizeof *slot * (size_t)(slot - progress->slots));
    if (pwrite(progress->fd, slot, sizeof *slot, offset) != sizeof *slot)
        return; /* then a restart may repeat this round: harmless */
}

void progress_round(struct progress *progress, uint64_t test_id, int64_t round_id)
{
    put(progress, PROGRESS_ROUND, test_id, round_id);
}

void progress_run(struct progress *progress, uint64_t run_id, int64_t now_s)
{
    put(progress, PROGRESS_RUN, run_id, now_s);
}

bool progress_has_run(const struct progress *progress, uint64_t run_id)
{
    return map_get(&progress->runs, run_id) != NULL;
}

int64_t progress_last(const struct progress *progress, uint64_t test_id)
{
    const struct slot *slot = map_get(&progress->rounds, test_id);
    return slot ? slot->when : 0;
}

void progress_each_round(const struct progress *progress, progress_fn *fn, void *user)
{
    size_t at = 0;
    for (const struct slot *slot = map_next(&progress->rounds, &at); slot; slot = map_next(&progress->rounds, &at))
        fn(user, slot->id, slot->when);
}

int progress_open(const char *path, struct progress **ret_progress, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open");
    struct progress *progress = mem_alloc(sizeof *progress);
    const uint32_t room = LIMIT_PROGRESS_TESTS + LIMIT_PROGRESS_RUNS;
    progress->fd = fd;
    progress->slots = mem_alloc_array(room, sizeof *progress->slots);
    ssize_t size = pread(fd, progress->slots, room * sizeof *progress->slots, 0);
    uint32_t have = size > 0 ? (uint32_t)((size_t)size / sizeof *progress->slots) : 0;
    for (uint32_t i = 0; i < have; i++) {
        struct slot slot = progress->slots[i];
        bool is_good = (slot.kind == PROGRESS_ROUND || slot.kind == PROGRESS_RUN) && slot.sum == sum_of(&slot) &&
                       map_of(progress, slot.kind)->count <
                           (slot.kind == PROGRESS_ROUND ? LIMIT_PROGRESS_TESTS : LIMIT_PROGRESS_RUNS);
        progress->damaged += !is_good;
        if (!is_good || map_get(map_of(progress, slot.kind), slot.id))
            continue;
        struct slot *kept = &progress->slots[progress->count++]; /* close the gaps that damaged ones leave */
        *kept = slot;
        map_put(map_of(progress, slot.kind), slot.id, kept);
    }
    size_t bytes = progress->count * sizeof *progress->slots;
    if (size != (ssize_t)bytes && pwrite(fd, progress->slots, bytes, 0) == (ssize_t)bytes)
        (void)!ftruncate(fd, (off_t)bytes); /* what is left over repeats slots that come first */
    *ret_progress = progress;
    return 0;
}

uint32_t progress_damaged(const struct progress *progress)
{
    return progress->damaged;
}

void progress_close(struct progress *progress)
{
    if (!progress)
        return;
    (void)close(progress->fd);
    map_done(&progress->rounds);
    map_done(&progress->runs);
    mem_free(progress->slots);
    mem_free(progress);
}
