#include "store/summary.h"

#include <math.h>
#include <string.h>

#include "base/crc.h"
#include "base/mem.h"
#include "store/column.h"

#define SUMMARY_VERSION 2 /* 1 had all in one frame */
#define CEILING (64u << 20)
#define KEY_ZERO 0
#define KEY_OFFSET 20000 /* added to a bucket's number, so that those of negative values are below zero */
#define KEY_MOST 40000

/* --- buckets ------------------------------------------------------------------------------------------------------ */

static int32_t key_of(double value)
{
    double size = fabs(value);
    if (!(size > 1e-80))
        return KEY_ZERO;
    double number = ceil(log(size) / log(STORE_BUCKET_GROWTH));
    int32_t key = number < KEY_OFFSET - 1 ? (int32_t)number + KEY_OFFSET : KEY_MOST - 1;
    key = key < 1 ? 1 : key;
    return value < 0 ? -key : key;
}

double store_bucket_value(int32_t key)
{
    if (key == KEY_ZERO)
        return 0;
    int32_t number = (key < 0 ? -key : key) - KEY_OFFSET;
    double value = 2 * pow(STORE_BUCKET_GROWTH, number) / (1 + STORE_BUCKET_GROWTH);
    return key < 0 ? -value : value;
}

double store_percentile(const struct store_sums *sums, double p)
{
    uint64_t rank = (uint64_t)(p * (double)(sums->count - 1) + 0.5), seen = 0;
    for (size_t i = 0; i < sums->bucket_count; i++) {
        seen += sums->buckets[i].count;
        if (seen > rank) {
            double value = store_bucket_value(sums->buckets[i].key);
            return value < sums->min ? sums->min : value > sums->max ? sums->max : value;
        }
    }
    return sums->max;
}

/* --- sets --------------------------------------------------------------------------------------------------------- */

void summary_init(struct summary_set *set, struct arena *arena, int64_t from_s)
{
    *set = (struct summary_set){.arena = arena, .from_s = from_s};
}

/* Room for one more item at the end of an array of the arena; NULL when that is full. */
static void *grown(struct summary_set *set, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    size_t more = *room ? *room * 2 : 8;
    void *larger = arena_alloc_array(set->arena, more, size);
    if (!larger) {
        set->is_full = true;
        return NULL;
    }
    if (count)
        memcpy(larger, items, count * size);
    *room = more;
    return larger;
}

static size_t agent_place(const struct summary_set *set, uint64_t agent_id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->agents[middle]->agent_id < agent_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct summary_agent *summary_agent_of(struct summary_set *set, uint64_t agent_id)
{
    size_t at = agent_place(set, agent_id);
    if (at < set->count && set->agents[at]->agent_id == agent_id)
        return set->agents[at];
    struct summary_agent **agents = grown(set, set->agents, set->count, &set->room, sizeof *agents);
    struct summary_agent *agent = arena_alloc(set->arena, sizeof *agent);
    if (!agents || !agent) {
        set->is_full = true;
        return NULL;
    }
    set->agents = agents;
    *agent = (struct summary_agent){.agent_id = agent_id, .paths = {.agent_id = agent_id}};
    memmove(agents + at + 1, agents + at, (set->count - at) * sizeof *agents);
    agents[at] = agent;
    set->count++;
    return agent;
}

void summary_replace(struct summary_set *set, const struct summary_agent *agent)
{
    struct summary_agent *mine = summary_agent_of(set, agent->agent_id);
    if (mine)
        *mine = *agent;
}

static struct store_sums *sums_of(struct summary_set *set, struct summary_agent *agent, uint16_t id)
{
    size_t at = agent->metric_count;
    while (at > 0 && agent->metrics[at - 1].id > id)
        at--;
    if (at > 0 && agent->metrics[at - 1].id == id)
        return &agent->metrics[at - 1];
    struct store_sums *metrics =
        grown(set, agent->metrics, agent->metric_count, &agent->metric_room, sizeof *agent->metrics);
    if (!metrics)
        return NULL;
    agent->metrics = metrics;
    memmove(metrics + at + 1, metrics + at, (agent->metric_count - at) * sizeof *metrics);
    agent->metric_count++;
    metrics[at] = (struct store_sums){.id = id};
    return &metrics[at];
}

static void count_value(struct summary_set *set, struct store_sums *sums, double value)
{
    int32_t key = key_of(value);
    size_t at = sums->bucket_count;
    sums->min = sums->count && sums->min < value ? sums->min : value;
    sums->max = sums->count && sums->max > value ? sums->max : value;
    sums->sum += value;
    sums->count++;
    while (at > 0 && sums->buckets[at - 1].key > key)
        at--;
    if (at > 0 && sums->buckets[at - 1].key == key) {
        sums->buckets[at - 1].count++;
        return;
    }
    struct store_bucket *buckets =
        grown(set, sums->buckets, sums->bucket_count, &sums->bucket_room, sizeof *sums->buckets);
    if (!buckets)
        return;
    sums->buckets = buckets;
    memmove(buckets + at + 1, buckets + at, (sums->bucket_count - at) * sizeof *buckets);
    buckets[at] = (struct store_bucket){.key = key, .count = 1};
    sums->bucket_count++;
}

void store_add_value(struct store_sums *sums, double value, struct arena *arena)
{
    struct summary_set set = {.arena = arena};
    count_value(&set, sums, value);
}

static void watch_paths(struct summary_set *set, struct summary_agent *agent, const struct store_round *round)
{
    struct store_paths *paths = &agent->paths;
    if (!round->fingerprint)
        return;
    if (!paths->first) {
        paths->first = round->fingerprint;
        paths->first_round = round->round_id;
    } else if (paths->last != round->fingerprint) {
        int64_t *changes = grown(set, paths->changes, paths->change_count, &agent->change_room, sizeof *changes);
        if (changes) {
            paths->changes = changes;
            changes[paths->change_count++] = round->round_id;
        }
    }
    paths->last = round->fingerprint;
}

void summary_add(struct summary_set *set, const struct store_round *round)
{
    struct summary_agent *agent = summary_agent_of(set, round->agent_id);
    if (!agent)
        return;
    agent->rounds++;
    for (size_t i = 0; i < round->metric_count; i++) {
        struct store_sums *sums = isnan(round->metrics[i].value) ? NULL : sums_of(set, agent, round->metrics[i].id);
        if (sums)
            count_value(set, sums, round->metrics[i].value);
    }
    watch_paths(set, agent, round);
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

void store_add_sums(struct store_sums *into, const struct store_sums *from, struct arena *arena)
{
    if (!from->count)
        return;
    struct store_bucket *buckets = arena_alloc_array(arena, into->bucket_count + from->bucket_count + 1, sizeof *buckets);
    size_t a = 0, b = 0, count = 0;
    while (buckets && (a < into->bucket_count || b < from->bucket_count)) {
        if (b == from->bucket_count || (a < into->bucket_count && into->buckets[a].key < from->buckets[b].key)) {
            buckets[count++] = into->buckets[a++];
        } else if (a == into->bucket_count || from->buckets[b].key < into->buckets[a].key) {
            buckets[count++] = from->buckets[b++];
        } else {
            buckets[count] = into->buckets[a++];
            buckets[count++].count += from->buckets[b++].count;
        }
    }
    into->min = into->count && into->min < from->min ? into->min : from->min;
    into->max = into->count && into->max > from->max ? into->max : from->max;
    into->sum += from->sum;
    into->count += from->count;
    into->buckets = buckets;
    into->bucket_count = into->bucket_room = count;
}

void summary_merge(struct summary_set *set, struct summary_agent *into, const struct summary_agent *from)
{
    into->rounds += from->rounds;
    for (size_t i = 0; i < from->metric_count; i++) {
        struct store_sums *sums = sums_of(set, into, from->metrics[i].id);
        if (sums)
            store_add_sums(sums, &from->metrics[i], set->arena);
    }
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct columns { /* scratch */
    int64_t *ints;
    double *floats;
    size_t count;
};

static const struct store_sums *sums_at(const struct summary_agent *agent, uint16_t id)
{
    for (size_t i = 0; i < agent->metric_count; i++) {
        if (agent->metrics[i].id == id)
            return &agent->metrics[i];
    }
    return NULL;
}

static void put_buckets(struct column_out *out, const struct summary_set *set, uint16_t id)
{
    struct buf lengths, keys, counts;
    buf_init(&lengths, CEILING);
    buf_init(&keys, CEILING);
    buf_init(&counts, CEILING);
    for (size_t i = 0; i < set->count; i++) {
        const struct store_sums *sums = sums_at(set->agents[i], id);
        int64_t length = sums ? (int64_t)sums->bucket_count : 0, before = 0;
        if (sums)
            buf_put(&lengths, &length, sizeof length);
        for (size_t b = 0; b < (size_t)length; b++) {
            int64_t step = sums->buckets[b].key - before, count = (int64_t)sums->buckets[b].count;
            before = sums->buckets[b].key;
            buf_put(&keys, &step, sizeof step);
            buf_put(&counts, &count, sizeof count);
        }
    }
    column_put_ints(out, (const void *)lengths.data, lengths.size / sizeof(int64_t));
    column_put_ints(out, (const void *)keys.data, keys.size / sizeof(int64_t));
    column_put_ints(out, (const void *)counts.data, counts.size / sizeof(int64_t));
    buf_done(&lengths);
    buf_done(&keys);
    buf_done(&counts);
}

static void put_metric(struct column_out *out, const struct summary_set *set, uint16_t id, struct columns *c)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct store_sums *sums = sums_at(set->agents[i], id);
        c->ints[i] = sums ? (int64_t)sums->count : 0;
    }
    column_put_ints(out, c->ints, set->count);
    for (int which = 0; which < 3; which++) {
        size_t count = 0;
        for (size_t i = 0; i < set->count; i++) {
            const struct store_sums *sums = sums_at(set->agents[i], id);
            if (sums)
                c->floats[count++] = which == 0 ? sums->sum : which == 1 ? sums->min : sums->max;
        }
        column_put_floats(out, c->floats, count);
    }
    put_buckets(out, set, id);
}

static int next_metric(const struct summary_set *set, int id)
{
    int next = UINT16_MAX + 1;
    for (size_t i = 0; i < set->count; i++) {
        for (size_t m = 0; m < set->agents[i]->metric_count; m++) {
            int other = set->agents[i]->metrics[m].id;
            next = other > id && other < next ? other : next;
        }
    }
    return next;
}

/* Each metric is a frame by itself, so that one can be read without the others: id, size, frame. */
static void put_metrics(struct column_out *stream, const struct summary_set *set, struct columns *c,
                        ZSTD_CCtx *compressor, struct buf *out)
{
    struct buf frame;
    buf_init(&frame, CEILING);
    for (int id = -1; (id = next_metric(set, id)) <= UINT16_MAX;) {
        buf_reset(&frame);
        put_metric(stream, set, (uint16_t)id, c);
        column_put_frame(stream, compressor, &frame);
        column_put_varint(out, (uint64_t)id);
        column_put_varint(out, frame.size);
        buf_put(out, frame.data, frame.size);
    }
    buf_done(&frame);
}

static void put_paths(struct column_out *out, const struct summary_set *set, struct columns *c)
{
    for (int which = 0; which < 4; which++) {
        for (size_t i = 0; i < set->count; i++) {
            const struct store_paths *paths = &set->agents[i]->paths;
            if (which == 0)
                memcpy(&c->ints[i], &paths->first, sizeof paths->first);
            else if (which == 1)
                c->ints[i] = paths->first ? paths->first_round - set->from_s : 0;
            else if (which == 2)
                c->ints[i] = (int64_t)(paths->last - paths->first);
            else
                c->ints[i] = (int64_t)paths->change_count;
        }
        column_put_ints(out, c->ints, set->count);
    }
    struct buf changes;
    buf_init(&changes, CEILING);
    for (size_t i = 0; i < set->count; i++) {
        for (size_t j = 0; j < set->agents[i]->paths.change_count; j++) {
            int64_t offset = set->agents[i]->paths.changes[j] - set->from_s;
            buf_put(&changes, &offset, sizeof offset);
        }
    }
    column_put_ints(out, (const void *)changes.data, changes.size / sizeof(int64_t));
    buf_done(&changes);
}

void summary_write(const struct summary_set *set, unsigned flags, ZSTD_CCtx *compressor, struct buf *out)
{
    struct column_out stream;
    struct columns c = {.ints = mem_alloc_array(set->count + 1, sizeof *c.ints),
                        .floats = mem_alloc_array(set->count + 1, sizeof *c.floats)};
    size_t start = out->size;
    column_out_init(&stream, CEILING);
    column_put_varint(&stream.meta, set->count);
    for (size_t i = 0; i < set->count; i++)
        c.ints[i] = (int64_t)set->agents[i]->agent_id;
    column_put_ints(&stream, c.ints, set->count);
    for (size_t i = 0; i < set->count; i++)
        c.ints[i] = (int64_t)set->agents[i]->rounds;
    if (flags & SUMMARY_METRICS)
        column_put_ints(&stream, c.ints, set->count);
    if (flags & SUMMARY_PATHS)
        put_paths(&stream, set, &c);
    buf_putc(out, SUMMARY_VERSION);
    column_put_frame(&stream, compressor, out);
    if (flags & SUMMARY_METRICS)
        put_metrics(&stream, set, &c, compressor, out);
    uint32_t crc = crc32c(0, out->data + start, out->size - start);
    for (unsigned i = 0; i < 4; i++)
        buf_putc(out, (char)(unsigned char)(crc >> 8 * i));
    column_out_done(&stream);
    mem_free(c.ints);
    mem_free(c.floats);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct input {
    struct summary_set *set;
    struct column_in in;
    size_t count;
    struct summary_agent **agents;
    bool is_full;
};

static int64_t *get_ints(struct input *input, size_t count)
{
    int64_t *values = count <= CEILING ? arena_alloc_array(input->set->arena, count + 1, sizeof *values) : NULL;
    if (!values)
        input->is_full = true;
    else
        (void)column_get_ints(&input->in, values, count);
    return values && !input->in.is_bad ? values : NULL;
}

static bool get_buckets(struct input *input, struct store_sums **sums, size_t count)
{
    int64_t *lengths = get_ints(input, count);
    size_t total = 0;
    for (size_t i = 0; lengths && i < count; i++) {
        if (lengths[i] < 0 || lengths[i] > 2 * KEY_MOST + 1)
            return false;
        total += (size_t)lengths[i];
    }
    int64_t *keys = lengths ? get_ints(input, total) : NULL, *counts = keys ? get_ints(input, total) : NULL;
    struct store_bucket *buckets = counts ? arena_alloc_array(input->set->arena, total + 1, sizeof *buckets) : NULL;
    if (!buckets) {
        input->is_full |= counts != NULL;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t key = 0;
        sums[i]->buckets = buckets;
        sums[i]->bucket_count = sums[i]->bucket_room = (size_t)lengths[i];
        for (size_t b = 0; b < (size_t)lengths[i]; b++) {
            key += *keys++;
            *buckets++ = (struct store_bucket){.key = (int32_t)key, .count = (uint64_t)*counts++};
        }
    }
    return true;
}

static bool get_metric(struct input *input, uint64_t id)
{
    int64_t *counts = get_ints(input, input->count);
    struct store_sums **sums = arena_alloc_array(input->set->arena, input->count + 1, sizeof *sums);
    size_t count = 0;
    if (!counts || !sums || id > UINT16_MAX) {
        input->is_full |= !sums;
        return false;
    }
    for (size_t i = 0; i < input->count; i++) {
        if (counts[i] <= 0)
            continue;
        sums[count] = sums_of(input->set, input->agents[i], (uint16_t)id);
        if (!sums[count])
            return false;
        sums[count++]->count = (uint64_t)counts[i];
    }
    double *floats = arena_alloc_array(input->set->arena, count + 1, sizeof *floats);
    for (int which = 0; floats && which < 3; which++) {
        (void)column_get_floats(&input->in, floats, count);
        for (size_t i = 0; i < count; i++)
            *(which == 0 ? &sums[i]->sum : which == 1 ? &sums[i]->min : &sums[i]->max) = floats[i];
    }
    input->is_full |= !floats;
    return floats && get_buckets(input, sums, count);
}

static bool get_paths(struct input *input)
{
    int64_t *columns[4];
    for (int which = 0; which < 4; which++) {
        columns[which] = get_ints(input, input->count);
        if (!columns[which])
            return false;
    }
    size_t total = 0;
    for (size_t i = 0; i < input->count; i++) {
        if (columns[3][i] < 0 || columns[3][i] > (int64_t)CEILING)
            return false;
        total += (size_t)columns[3][i];
    }
    int64_t *changes = get_ints(input, total);
    for (size_t i = 0; changes && i < input->count; i++) {
        struct store_paths *paths = &input->agents[i]->paths;
        memcpy(&paths->first, &columns[0][i], sizeof paths->first);
        paths->first_round = columns[1][i] + input->set->from_s;
        paths->last = paths->first + (uint64_t)columns[2][i];
        paths->changes = changes;
        paths->change_count = (size_t)columns[3][i];
        for (size_t j = 0; j < paths->change_count; j++)
            *changes++ += input->set->from_s;
    }
    return changes != NULL;
}

static bool get_all(struct input *input, unsigned flags, bool is_old)
{
    struct summary_set *set = input->set;
    input->count = (size_t)column_get_varint(&input->in);
    int64_t *ids = get_ints(input, input->count);
    input->agents = ids ? arena_alloc_array(set->arena, input->count + 1, sizeof *input->agents) : NULL;
    for (size_t i = 0; input->agents && i < input->count; i++) {
        input->agents[i] = summary_agent_of(set, (uint64_t)ids[i]);
        if (!input->agents[i])
            return false;
    }
    int64_t *rounds = input->agents && flags & SUMMARY_METRICS ? get_ints(input, input->count) : NULL;
    for (size_t i = 0; rounds && i < input->count; i++)
        input->agents[i]->rounds = (uint64_t)rounds[i];
    uint64_t metrics = rounds && is_old ? column_get_varint(&input->in) : 0;
    for (uint64_t m = 0; m < metrics; m++) {
        if (input->in.is_bad || !get_metric(input, column_get_varint(&input->in)))
            return false;
    }
    bool is_good = input->agents && (rounds || !(flags & SUMMARY_METRICS));
    return is_good && (!(flags & SUMMARY_PATHS) || get_paths(input));
}

/* The metrics behind the first frame: all, or one. */
static int get_frames(struct input *input, struct column_in *outer, int metric, ZSTD_DCtx *decompressor)
{
    while (outer->meta < outer->meta_end && !outer->is_bad) {
        uint64_t id = column_get_varint(outer);
        size_t size = (size_t)column_get_varint(outer);
        const unsigned char *bytes = column_get_bytes(outer, size);
        if (!bytes)
            return -E_CORRUPT;
        if (metric != SUMMARY_ALL && id != (uint64_t)metric)
            continue;
        struct column_in inner = {.meta = bytes, .meta_end = bytes + size};
        struct column_frame frame;
        if (!column_get_frame(&inner, &frame))
            return -E_CORRUPT;
        int rc = column_open_frame(&frame, decompressor, input->set->arena, &input->in);
        if (rc)
            return rc;
        if (!get_metric(input, id) || input->in.is_bad)
            return -E_CORRUPT;
    }
    return outer->is_bad ? -E_CORRUPT : 0;
}

int summary_read(struct summary_set *set, unsigned flags, int metric, const void *bytes, size_t size, const char *where,
                 ZSTD_DCtx *decompressor, struct error *err)
{
    const unsigned char *b = bytes;
    uint32_t crc = 0;
    for (unsigned i = 0; size >= 6 && i < 4; i++)
        crc |= (uint32_t)b[size - 4 + i] << 8 * i;
    if (size < 6 || crc != crc32c(0, bytes, size - 4))
        return error_set(err, E_CORRUPT, where, "a summary of results is damaged");
    if (b[0] > SUMMARY_VERSION)
        return error_set(err, E_NOT_SUPPORTED, where, "a summary of results was written by a newer program");
    struct input input = {.set = set};
    struct column_in outer = {.meta = b + 1, .meta_end = b + size - 4};
    struct column_frame frame;
    if (!column_get_frame(&outer, &frame))
        return error_set(err, E_CORRUPT, where, "a summary of results is damaged");
    int rc = column_open_frame(&frame, decompressor, set->arena, &input.in);
    bool is_good = !rc && get_all(&input, flags, b[0] == 1) && !input.in.is_bad;
    if (is_good && flags & SUMMARY_METRICS && b[0] > 1) {
        rc = get_frames(&input, &outer, metric, decompressor);
        is_good = !rc;
    }
    if (rc == -E_LIMIT || input.is_full || set->is_full)
        return error_set(err, E_LIMIT, where, "summaries of results do not fit the memory of this request");
    return is_good ? 0 : error_set(err, E_CORRUPT, where, "a summary of results is damaged");
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static bool is_asked(const struct store_summary_query *query, uint64_t agent_id)
{
    size_t low = 0, high = query->agent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (query->agents[middle] < agent_id)
            low = middle + 1;
        else
            high = middle;
    }
    return !query->agent_count || (low < query->agent_count && query->agents[low] == agent_id);
}

bool summary_tell(struct summary_set *set, const struct store_summary_query *query, int32_t width_s,
                  const struct store_summary_fns *fns, void *user)
{
    for (size_t i = 0; fns->summary && i < set->count; i++) {
        const struct summary_agent *agent = set->agents[i];
        if (!is_asked(query, agent->agent_id))
            continue;
        const struct store_sums *sums = sums_at(agent, query->metric);
        struct store_summary summary = {
            .agent_id = agent->agent_id, .from_s = set->from_s, .width_s = width_s, .rounds = agent->rounds};
        if (sums)
            summary.sums = *sums;
        if (!fns->summary(user, &summary))
            return false;
    }
    for (size_t i = 0; fns->paths && i < set->count; i++) {
        const struct store_paths *paths = &set->agents[i]->paths;
        if (paths->first && is_asked(query, paths->agent_id) && !fns->paths(user, paths))
            return false;
    }
    return true;
}
