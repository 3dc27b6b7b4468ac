#include "agent/schedule.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#define SCHEDULE_RANGES 4
#define SCHEDULE_STEP_NS (250 * CLOCK_MS)      /* a smaller change of the wall clock is slewing */
#define SCHEDULE_RESERVE_NS (30 * CLOCK_S)
#define SCHEDULE_RESUMED_PART 10 /* this part of its slot must be left to a round that a restart has held up */
#define SCHEDULE_SPREAD_NS (2 * CLOCK_S)       /* late and new rounds spread over this... */
#define SCHEDULE_SPREAD_EACH_NS (50 * CLOCK_MS) /* ...or this for each test, if it is more */
#define SCHEDULE_CONTINUOUS 3 /* rounds of a test at once: one sends, one waits, and one more after a clock step */
#define SCHEDULE_TAIL_NS (6 * CLOCK_S)          /* after its slot a continuous round may still wait for answers */

struct range {
    int64_t first, last; /* slots, inclusive */
};

struct entry {
    struct schedule_test test;
    uint64_t hash;                        /* of (agent, test): its phase */
    struct range ranges[SCHEDULE_RANGES]; /* slots that ran or were missed; the newest range first */
    size_t range_count;
    uint64_t generation; /* of the clock when ranges[0] grew last */
    int64_t slot;        /* the next one, epoch seconds */
    int64_t start_ns;    /* its start, wall */
    size_t position;     /* in the heap, 0 = none */
    unsigned running;
    bool is_listed, is_fresh;
    bool is_resumed; /* ran before this process, and has not been placed since */
};

struct schedule {
    uint64_t agent_id;
    struct rng rng;
    struct map entries; /* by test id */
    struct entry **heap; /* 1-based, by start_ns */
    size_t heap_count, heap_room;
    uint64_t generation; /* counts clock steps */
    int64_t offset_ns;   /* wall - monotonic when last looked at */
    bool has_offset;
    struct schedule_counts counts;
};

/* --- heap --------------------------------------------------------------------------------------------------------- */

static void heap_place(struct schedule *schedule, struct entry *entry, size_t at)
{
    schedule->heap[at] = entry;
    entry->position = at;
}

static void heap_sift(struct schedule *schedule, struct entry *entry, size_t at)
{
    while (at > 1 && schedule->heap[at / 2]->start_ns > entry->start_ns) {
        heap_place(schedule, schedule->heap[at / 2], at);
        at /= 2;
    }
    for (;;) {
        size_t child = at * 2;
        if (child > schedule->heap_count)
            break;
        if (child < schedule->heap_count && schedule->heap[child + 1]->start_ns < schedule->heap[child]->start_ns)
            child++;
        if (schedule->heap[child]->start_ns >= entry->start_ns)
            break;
        heap_place(schedule, schedule->heap[child], at);
        at = child;
    }
    heap_place(schedule, entry, at);
}

static void heap_remove(struct schedule *schedule, struct entry *entry)
{
    size_t at = entry->position;
    if (at == 0)
        return;
    entry->position = 0;
    struct entry *last = schedule->heap[schedule->heap_count--];
    if (last != entry)
        heap_sift(schedule, last, at);
}

static void heap_put(struct schedule *schedule, struct entry *entry)
{
    if (entry->position == 0) {
        if (schedule->heap_count + 2 > schedule->heap_room) {
            size_t room = schedule->heap_room ? schedule->heap_room * 2 : 64;
            schedule->heap = mem_resize(schedule->heap, schedule->heap_room * sizeof(void *), room * sizeof(void *));
            schedule->heap_room = room;
        }
        entry->position = ++schedule->heap_count;
    }
    heap_sift(schedule, entry, entry->position);
}

/* --- what ran ----------------------------------------------------------------------------------------------------- */

static const struct range *find_range(const struct entry *entry, int64_t slot)
{
    for (size_t i = 0; i < entry->range_count; i++) {
        if (slot >= entry->ranges[i].first && slot <= entry->ranges[i].last)
            return &entry->ranges[i];
    }
    return NULL;
}

/* Slots between two rounds without a clock step in between are over and done with; across a step they are not. */
static void mark(struct schedule *schedule, struct entry *entry, int64_t slot)
{
    if (find_range(entry, slot))
        return;
    struct range *newest = &entry->ranges[0];
    bool is_same_clock = entry->generation == schedule->generation;
    entry->generation = schedule->generation;
    if (entry->range_count > 0 && slot > newest->last &&
        (is_same_clock || slot - newest->last <= entry->test.interval_s)) {
        newest->last = slot;
        return;
    }
    memmove(&entry->ranges[1], &entry->ranges[0], (SCHEDULE_RANGES - 1) * sizeof entry->ranges[0]);
    entry->ranges[0] = (struct range){.first = slot, .last = slot};
    if (entry->range_count < SCHEDULE_RANGES)
        entry->range_count++;
}

/* --- placing ------------------------------------------------------------------------------------------------------ */

int64_t schedule_reserve_ns(int64_t interval_s)
{
    int64_t half = interval_s * CLOCK_S / 2;
    return half < SCHEDULE_RESERVE_NS ? half : SCHEDULE_RESERVE_NS;
}

static int64_t slot_of(const struct entry *entry, int64_t wall_ns)
{
    int64_t wall_s = wall_ns / CLOCK_S;
    return wall_s - wall_s % entry->test.interval_s;
}

static int64_t phase_ns(struct schedule *schedule, const struct entry *entry)
{
    if (entry->test.is_continuous)
        return (int64_t)(entry->hash % (uint64_t)SCHEDULE_PHASE_NS);
    uint64_t room = (uint64_t)(entry->test.interval_s * CLOCK_S - schedule_reserve_ns(entry->test.interval_s));
    return (int64_t)(entry->test.is_randomized ? rng_below(&schedule->rng, room) : entry->hash % room);
}

/* What must be left of a slot for a round to begin in it. */
static int64_t least_ns(const struct entry *entry)
{
    if (entry->is_resumed && !entry->test.is_continuous)
        return entry->test.interval_s * CLOCK_S / SCHEDULE_RESUMED_PART;
    return entry->test.is_continuous ? SCHEDULE_LEAST_S * CLOCK_S : schedule_reserve_ns(entry->test.interval_s);
}

/* A moment soon, drawn so that all tests together would start no denser than one in EACH, or than they do by their
 * phases when that is denser. It may lie beyond the room there is: then the test had better wait for its phase. */
static int64_t spread_ns(struct schedule *schedule, const struct entry *entry, int64_t room_ns)
{
    if (entry->is_resumed && room_ns >= 0) /* those that came due while nobody was here: they are few */
        return (int64_t)rng_below(&schedule->rng,
                                  (uint64_t)(room_ns < SCHEDULE_SPREAD_NS ? room_ns : SCHEDULE_SPREAD_NS) + 1);
    int64_t tests = schedule->counts.tests > 0 ? (int64_t)schedule->counts.tests : 1;
    int64_t each = (entry->test.interval_s * CLOCK_S - least_ns(entry)) / tests;
    int64_t spread = (each < SCHEDULE_SPREAD_EACH_NS ? each : SCHEDULE_SPREAD_EACH_NS) * tests;
    int64_t least = room_ns < SCHEDULE_SPREAD_NS ? room_ns : SCHEDULE_SPREAD_NS;
    spread = spread > least ? spread : least;
    return spread > 0 ? (int64_t)rng_below(&schedule->rng, (uint64_t)spread) : 0;
}

/* The first moment at or after start_ns in whose second a continuous round of the slot sends. */
static int64_t next_second(struct schedule *schedule, const struct entry *entry, int64_t slot, int64_t start_ns)
{
    int64_t first_ns = slot * CLOCK_S + phase_ns(schedule, entry);
    int64_t seconds = (start_ns - first_ns + CLOCK_S - 1) / CLOCK_S;
    return start_ns > first_ns ? first_ns + seconds * CLOCK_S : first_ns;
}

/* Chooses the next slot and start from now on. */
static void place(struct schedule *schedule, struct entry *entry, int64_t wall_ns)
{
    int64_t interval = entry->test.interval_s;
    int64_t slot = slot_of(entry, wall_ns);
    int64_t start = slot * CLOCK_S + phase_ns(schedule, entry);
    bool is_current = !find_range(entry, slot);
    if (is_current && (entry->is_fresh || start < wall_ns)) {
        int64_t room = (slot + interval) * CLOCK_S - least_ns(entry) - wall_ns;
        start = room >= 0 ? wall_ns + spread_ns(schedule, entry, room) : wall_ns;
        is_current = room >= 0 && start <= wall_ns + room;
        if (entry->test.is_continuous)
            start = next_second(schedule, entry, slot, start);
        if (!is_current) {
            schedule->counts.missed += !entry->is_fresh;
            mark(schedule, entry, slot);
        }
    }
    entry->is_fresh = entry->is_resumed = false;
    if (!is_current) {
        slot += interval;
        for (const struct range *range = find_range(entry, slot); range; range = find_range(entry, slot))
            slot = range->last - range->last % interval + interval;
        start = slot * CLOCK_S + phase_ns(schedule, entry);
    }
    entry->slot = slot;
    entry->start_ns = start;
    heap_put(schedule, entry);
}

/* Slots from the one that was due up to the present one have passed. */
static void count_passed(struct schedule *schedule, struct entry *entry, int64_t now_slot)
{
    if (now_slot <= entry->slot)
        return;
    schedule->counts.missed += (uint64_t)((now_slot - entry->slot) / entry->test.interval_s);
}

static void place_all(struct schedule *schedule, int64_t wall_ns)
{
    size_t at = 0;
    for (struct entry *entry = map_next(&schedule->entries, &at); entry; entry = map_next(&schedule->entries, &at)) {
        if (!entry->is_listed)
            continue;
        count_passed(schedule, entry, slot_of(entry, wall_ns));
        place(schedule, entry, wall_ns);
    }
}

static void look_at_clock(struct schedule *schedule, int64_t wall_ns, int64_t mono_ns)
{
    int64_t offset = wall_ns - mono_ns, change = offset - schedule->offset_ns;
    bool is_step = schedule->has_offset && (change > SCHEDULE_STEP_NS || change < -SCHEDULE_STEP_NS);
    schedule->offset_ns = offset;
    schedule->has_offset = true;
    if (!is_step)
        return;
    schedule->counts.steps++;
    schedule->generation++;
    place_all(schedule, wall_ns);
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */

static struct entry *get_entry(struct schedule *schedule, uint64_t test_id)
{
    struct entry *entry = map_get(&schedule->entries, test_id);
    if (entry)
        return entry;
    entry = mem_alloc(sizeof *entry);
    entry->test.test_id = test_id;
    entry->test.interval_s = 60;
    entry->is_fresh = true;
    uint64_t ids[2] = {schedule->agent_id, test_id};
    entry->hash = str_hash(ids, sizeof ids, 0);
    entry->hash ^= entry->hash >> 32; /* the low bits of FNV alone are not even enough for a remainder */
    map_put(&schedule->entries, test_id, entry);
    return entry;
}

/* What left the plan is forgotten when its last slot can no longer be repeated. */
static void prune(struct schedule *schedule, int64_t wall_ns)
{
    bool is_again = true;
    while (is_again) {
        is_again = false;
        size_t at = 0;
        for (struct entry *entry = map_next(&schedule->entries, &at); entry;
             entry = map_next(&schedule->entries, &at)) {
            bool is_kept = entry->is_listed || entry->running ||
                           (entry->range_count > 0 && find_range(entry, slot_of(entry, wall_ns)));
            if (is_kept)
                continue;
            map_remove(&schedule->entries, entry->test.test_id);
            mem_free(entry);
            is_again = true;
            break;
        }
    }
}

void schedule_set(struct schedule *schedule, const struct schedule_test *tests, size_t count, int64_t wall_ns,
                  int64_t mono_ns)
{
    look_at_clock(schedule, wall_ns, mono_ns);
    size_t at = 0;
    for (struct entry *entry = map_next(&schedule->entries, &at); entry; entry = map_next(&schedule->entries, &at))
        entry->is_listed = false;
    schedule->counts.tests = count;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = get_entry(schedule, tests[i].test_id);
        bool is_same = entry->position != 0 && entry->test.interval_s == tests[i].interval_s &&
                       entry->test.is_randomized == tests[i].is_randomized &&
                       entry->test.is_continuous == tests[i].is_continuous;
        entry->test = tests[i];
        entry->is_listed = true;
        if (is_same)
            continue;
        entry->is_fresh = entry->position == 0 && !entry->is_resumed;
        place(schedule, entry, wall_ns);
    }
    at = 0;
    for (struct entry *entry = map_next(&schedule->entries, &at); entry; entry = map_next(&schedule->entries, &at)) {
        if (!entry->is_listed)
            heap_remove(schedule, entry);
    }
    prune(schedule, wall_ns);
}

void schedule_seen(struct schedule *schedule, uint64_t test_id, int64_t round_id)
{
    struct entry *entry = get_entry(schedule, test_id);
    mark(schedule, entry, round_id);
    entry->is_resumed = entry->position == 0;
    entry->is_fresh = entry->is_fresh && !entry->is_resumed;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/* Decides about the entry whose time has come: true when it is to run now. */
static bool is_to_run(struct schedule *schedule, struct entry *entry, int64_t wall_ns)
{
    int64_t now_slot = slot_of(entry, wall_ns);
    unsigned most = entry->test.is_continuous ? SCHEDULE_CONTINUOUS : 1;
    if (now_slot > entry->slot) {
        count_passed(schedule, entry, now_slot);
        mark(schedule, entry, entry->slot);
        return false;
    }
    int64_t end_ns = (entry->slot + entry->test.interval_s) * CLOCK_S;
    bool is_late = wall_ns > entry->start_ns + CLOCK_S && wall_ns + least_ns(entry) > end_ns;
    if (entry->running >= most || is_late) {
        schedule->counts.missed++;
        schedule->counts.overlapped += entry->running >= most;
        mark(schedule, entry, entry->slot);
        return false;
    }
    return true;
}

static struct schedule_due due_of(const struct entry *entry, int64_t wall_ns)
{
    int64_t interval_ns = entry->test.interval_s * CLOCK_S, reserve = schedule_reserve_ns(entry->test.interval_s);
    int64_t room = entry->test.is_randomized ? (entry->slot * CLOCK_S + interval_ns) - wall_ns : interval_ns;
    room -= room > 2 * CLOCK_S ? CLOCK_S : 0;
    return (struct schedule_due){
        .test_id = entry->test.test_id, .round_id = entry->slot, .room_ns = room > reserve ? room : reserve};
}

/* The other half of the hash than the phase's, so that bursts of one second do not stay together. */
static struct schedule_due due_continuous(const struct entry *entry, int64_t wall_ns, int64_t mono_ns)
{
    int64_t slot_ns = mono_ns - (wall_ns - entry->slot * CLOCK_S);
    int64_t end_ns = slot_ns + entry->test.interval_s * CLOCK_S;
    int64_t spread = (end_ns - mono_ns) / 2;
    return (struct schedule_due){
        .test_id = entry->test.test_id,
        .round_id = entry->slot,
        .room_ns = end_ns + SCHEDULE_TAIL_NS - mono_ns,
        .slot_ns = slot_ns,
        .burst_delay_ns = (int64_t)((double)(entry->hash >> 32) / (double)UINT32_MAX * (double)spread)};
}

bool schedule_pop(struct schedule *schedule, int64_t wall_ns, int64_t mono_ns, struct schedule_due *ret_due)
{
    look_at_clock(schedule, wall_ns, mono_ns);
    while (schedule->heap_count > 0 && schedule->heap[1]->start_ns <= wall_ns) {
        struct entry *entry = schedule->heap[1];
        if (!is_to_run(schedule, entry, wall_ns)) {
            place(schedule, entry, wall_ns);
            continue;
        }
        *ret_due = entry->test.is_continuous ? due_continuous(entry, wall_ns, mono_ns) : due_of(entry, wall_ns);
        entry->running++;
        schedule->counts.started++;
        schedule->counts.running++;
        mark(schedule, entry, entry->slot);
        place(schedule, entry, wall_ns);
        return true;
    }
    return false;
}

void schedule_done(struct schedule *schedule, uint64_t test_id)
{
    struct entry *entry = map_get(&schedule->entries, test_id);
    assert(entry && entry->running > 0);
    entry->running--;
    schedule->counts.running--;
}

int64_t schedule_wait_ns(const struct schedule *schedule, int64_t wall_ns, int64_t max_ns)
{
    if (schedule->heap_count == 0)
        return max_ns;
    int64_t wait = schedule->heap[1]->start_ns - wall_ns;
    return wait < 0 ? 0 : wait < max_ns ? wait : max_ns;
}

void schedule_counts(const struct schedule *schedule, struct schedule_counts *ret_counts)
{
    *ret_counts = schedule->counts;
}

struct schedule *schedule_new(uint64_t agent_id, uint64_t seed)
{
    struct schedule *schedule = mem_alloc(sizeof *schedule);
    schedule->agent_id = agent_id;
    rng_seed(&schedule->rng, seed);
    return schedule;
}

void schedule_free(struct schedule *schedule)
{
    if (!schedule)
        return;
    size_t at = 0;
    for (struct entry *entry = map_next(&schedule->entries, &at); entry; entry = map_next(&schedule->entries, &at))
        mem_free(entry);
    map_done(&schedule->entries);
    mem_free(schedule->heap);
    mem_free(schedule);
}
