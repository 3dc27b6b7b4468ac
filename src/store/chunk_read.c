#include "store/chunk_inner.h"

#include <assert.h>
#include <string.h>

#include "base/crc.h"
#include "base/limit.h"
#include "wire/cbor.h"

struct list_column {
    const int64_t *items;
    const size_t *starts;
    const int64_t *lengths; /* of each instance */
};

struct place {
    int op;
    int metric; /* -1 = the place has its own values */
    const int64_t *values;
    const double *floats;
    struct list_column lists;
    const unsigned char *plain;
    const size_t *plain_starts;
};

struct group {
    uint64_t word;
    size_t count, cursor;
    const unsigned char *ops, *ops_end, *texts, *texts_end;
    struct place *places;
    size_t place_count;
};

struct chunk {
    const char *where;
    const struct chunk_words *words;
    struct arena *arena;
    unsigned flags;
    size_t count;
    struct column_frame bodies;
    struct column_in times; /* behind the round ids */
    bool has_times;
    int64_t *round_ids, *starts, *ends, *versions, *fingerprints;
    struct store_metric *metrics;
    size_t *metric_starts; /* count + 1 of them */
    bool has_bodies;
    struct group *groups;
    size_t group_count;
    int64_t *roots;
    size_t next_row; /* whose instances the cursors stand at */
};

static int damaged(const struct chunk *chunk, struct error *err)
{
    return error_set(err, E_CORRUPT, chunk->where, "a chunk of results is damaged");
}

static int too_large(const struct chunk *chunk, struct error *err)
{
    return error_set(err, E_LIMIT, chunk->where, "a chunk of results does not fit the memory of this request");
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static int open_frame(struct chunk *chunk, const struct column_frame *frame, struct column_in *ret_in,
                      struct error *err)
{
    int rc = column_open_frame(frame, chunk->words->decompressor, chunk->arena, ret_in);
    return rc == -E_LIMIT ? too_large(chunk, err) : rc ? damaged(chunk, err) : 0;
}

/* A count that was read: no larger than what the streams can hold, but for what is constant. */
static void *items(struct chunk *chunk, size_t count, size_t size)
{
    return count <= COLUMN_FRAME_MAX ? arena_alloc_array(chunk->arena, count + 1, size) : NULL;
}

static int read_ints(struct chunk *chunk, struct column_in *in, size_t count, int64_t **ret_values, struct error *err)
{
    *ret_values = items(chunk, count, sizeof **ret_values);
    if (!*ret_values)
        return too_large(chunk, err);
    return column_get_ints(in, *ret_values, count) ? damaged(chunk, err) : 0;
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static int read_list_columns(struct chunk *chunk, struct column_in *in, size_t count, int64_t **ret_lengths,
                             size_t **ret_starts, int64_t **ret_items, struct error *err)
{
    int rc = read_ints(chunk, in, count, ret_lengths, err);
    size_t *starts = rc ? NULL : items(chunk, count, sizeof *starts), total = 0;
    if (rc || !starts)
        return rc ? rc : too_large(chunk, err);
    for (size_t i = 0; i < count; i++) {
        starts[i] = total;
        if ((*ret_lengths)[i] < 0 || (uint64_t)(*ret_lengths)[i] > COLUMN_FRAME_MAX)
            return damaged(chunk, err);
        total += (size_t)(*ret_lengths)[i];
    }
    *ret_starts = starts;
    return read_ints(chunk, in, total, ret_items, err);
}

static int read_lists(struct chunk *chunk, struct column_in *in, size_t count, struct list_column *ret_lists,
                      struct error *err)
{
    const unsigned char *mode = column_get_bytes(in, 1);
    int64_t *lengths, *numbers, *which;
    size_t *starts = NULL;
    if (!mode || *mode > LISTS_FLAT)
        return damaged(chunk, err);
    size_t distinct = *mode == LISTS_FEW ? (size_t)column_get_varint(in) : count;
    int rc = read_list_columns(chunk, in, distinct, &lengths, &starts, &numbers, err);
    if (rc)
        return rc;
    if (*mode == LISTS_FEW) {
        int64_t *own_lengths = items(chunk, count, sizeof *own_lengths);
        size_t *own_starts = items(chunk, count, sizeof *own_starts);
        rc = read_ints(chunk, in, count, &which, err);
        if (rc || !own_lengths || !own_starts)
            return rc ? rc : too_large(chunk, err);
        for (size_t i = 0; i < count; i++) {
            if (which[i] < 0 || (uint64_t)which[i] >= distinct)
                return damaged(chunk, err);
            own_lengths[i] = lengths[which[i]];
            own_starts[i] = starts[which[i]];
        }
        lengths = own_lengths;
        starts = own_starts;
    }
    *ret_lists = (struct list_column){.items = numbers, .starts = starts, .lengths = lengths};
    return 0;
}

/* --- times and metrics -------------------------------------------------------------------------------------------- */

struct metric_column {
    uint16_t id;
    size_t count;
    double *next;
};

static struct metric_column *column_of(struct metric_column *columns, size_t count, uint16_t id)
{
    size_t low = 0;
    while (count > 1) {
        size_t half = count / 2;
        if (columns[low + half].id <= id)
            low += half;
        count -= half;
    }
    return &columns[low];
}

/* The ids that occur, ascending, and how often each does. */
static int count_metrics(struct chunk *chunk, const struct list_column *ids, struct metric_column **ret_columns,
                         size_t *ret_count, struct error *err)
{
    struct chunk_ids used = {.bits = {0}};
    size_t count = 0, total = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        chunk->metric_starts[i] = total;
        if (ids->lengths[i] > (int64_t)STORE_ROUND_METRICS)
            return damaged(chunk, err);
        for (size_t m = 0; m < (size_t)ids->lengths[i]; m++) {
            int64_t id = ids->items[ids->starts[i] + m];
            if (id < 0 || id > UINT16_MAX)
                return damaged(chunk, err);
            chunk_ids_add(&used, (uint16_t)id);
        }
        total += (size_t)ids->lengths[i];
    }
    chunk->metric_starts[chunk->count] = total;
    for (int id = -1; (id = chunk_ids_next(&used, id)) >= 0;)
        count++;
    struct metric_column *columns = items(chunk, count, sizeof *columns);
    if (!columns)
        return too_large(chunk, err);
    size_t at = 0;
    for (int id = -1; (id = chunk_ids_next(&used, id)) >= 0;)
        columns[at++] = (struct metric_column){.id = (uint16_t)id};
    for (size_t i = 0; i < chunk->count; i++) {
        for (size_t m = 0; m < (size_t)ids->lengths[i]; m++)
            column_of(columns, count, (uint16_t)ids->items[ids->starts[i] + m])->count++;
    }
    *ret_columns = columns;
    *ret_count = count;
    return 0;
}

static int read_metrics(struct chunk *chunk, struct column_in *in, struct error *err)
{
    struct list_column ids;
    struct metric_column *columns;
    size_t column_count;
    int rc = read_lists(chunk, in, chunk->count, &ids, err);
    if (rc)
        return rc;
    chunk->metric_starts = items(chunk, chunk->count + 1, sizeof *chunk->metric_starts);
    if (!chunk->metric_starts)
        return too_large(chunk, err);
    rc = count_metrics(chunk, &ids, &columns, &column_count, err);
    if (rc)
        return rc;
    size_t total = chunk->metric_starts[chunk->count];
    chunk->metrics = items(chunk, total, sizeof *chunk->metrics);
    double *values = items(chunk, total, sizeof *values);
    if (!chunk->metrics || !values)
        return too_large(chunk, err);
    for (size_t c = 0; c < column_count; c++) {
        columns[c].next = values;
        if (column_get_floats(in, values, columns[c].count))
            return damaged(chunk, err);
        values += columns[c].count;
    }
    for (size_t i = 0; i < chunk->count; i++) {
        for (size_t m = 0; m < (size_t)ids.lengths[i]; m++) {
            uint16_t id = (uint16_t)ids.items[ids.starts[i] + m];
            double value = *column_of(columns, column_count, id)->next++;
            chunk->metrics[chunk->metric_starts[i] + m] = (struct store_metric){.id = id, .value = value};
        }
    }
    return 0;
}

static int read_ids(struct chunk *chunk, const struct column_frame *frame, struct error *err)
{
    int rc = open_frame(chunk, frame, &chunk->times, err);
    if (!rc)
        rc = read_ints(chunk, &chunk->times, chunk->count, &chunk->round_ids, err);
    for (size_t i = 1; !rc && i < chunk->count; i++) {
        if (chunk->round_ids[i] <= chunk->round_ids[i - 1])
            rc = damaged(chunk, err);
    }
    return rc;
}

static int read_times(struct chunk *chunk, struct error *err)
{
    int64_t **const columns[] = {&chunk->starts, &chunk->ends, &chunk->versions, &chunk->fingerprints};
    int rc = 0;
    if (chunk->has_times)
        return 0;
    for (size_t i = 0; !rc && i < sizeof columns / sizeof columns[0]; i++)
        rc = read_ints(chunk, &chunk->times, chunk->count, columns[i], err);
    if (!rc)
        rc = read_metrics(chunk, &chunk->times, err);
    chunk->has_times = !rc;
    return rc;
}

int chunk_open(const void *bytes, size_t size, const char *where, const struct chunk_words *words, struct arena *arena,
               struct chunk **ret_chunk, struct error *err)
{
    struct chunk *chunk = arena_alloc(arena, sizeof *chunk);
    if (!chunk)
        return error_set(err, E_LIMIT, where, "a chunk of results does not fit the memory of this request");
    *chunk = (struct chunk){.where = where, .words = words, .arena = arena};
    const unsigned char *b = bytes;
    uint32_t crc = 0;
    for (unsigned i = 0; size >= 6 && i < 4; i++)
        crc |= (uint32_t)b[size - 4 + i] << 8 * i;
    if (size < 6 || crc != crc32c(0, bytes, size - 4))
        return damaged(chunk, err);
    if (b[0] != CHUNK_VERSION)
        return error_set(err, E_NOT_SUPPORTED, where, "a chunk of results was written by a newer program");
    struct column_in in = {.meta = b + 2, .meta_end = b + size - 4};
    struct column_frame times;
    chunk->flags = b[1];
    chunk->count = (size_t)column_get_varint(&in);
    if (!chunk->count || chunk->count > CHUNK_ROUNDS || !column_get_frame(&in, &times) ||
        !column_get_frame(&in, &chunk->bodies))
        return damaged(chunk, err);
    int rc = read_ids(chunk, &times, err);
    if (!rc)
        *ret_chunk = chunk;
    return rc;
}

size_t chunk_count(const struct chunk *chunk)
{
    return chunk->count;
}

unsigned chunk_flags(const struct chunk *chunk)
{
    return chunk->flags;
}

int64_t chunk_round_id(const struct chunk *chunk, size_t row)
{
    return chunk->round_ids[row];
}

int chunk_row(struct chunk *chunk, size_t row, struct store_round *round, struct error *err)
{
    assert(row < chunk->count && chunk->flags & CHUNK_METRICS);
    int rc = read_times(chunk, err);
    if (rc)
        return rc;
    round->round_id = chunk->round_ids[row];
    round->start_s = (int64_t)((uint64_t)chunk->starts[row] + (uint64_t)round->round_id);
    round->end_s = (int64_t)((uint64_t)chunk->ends[row] + (uint64_t)round->start_s);
    round->test_version = chunk->versions[row];
    memcpy(&round->fingerprint, &chunk->fingerprints[row], sizeof round->fingerprint);
    round->metrics = chunk->metrics + chunk->metric_starts[row];
    round->metric_count = chunk->metric_starts[row + 1] - chunk->metric_starts[row];
    return 0;
}

/* --- templates ---------------------------------------------------------------------------------------------------- */

static int read_word(struct chunk *chunk, uint64_t id, const unsigned char **ret_bytes, size_t *ret_size,
                     struct error *err)
{
    const void *bytes;
    size_t size;
    int rc = chunk->words->get(chunk->words->user, id, &bytes, &size, err);
    if (rc)
        return rc;
    unsigned char *copy = arena_alloc(chunk->arena, size + 1);
    if (!copy)
        return too_large(chunk, err);
    if (size)
        memcpy(copy, bytes, size);
    *ret_bytes = copy;
    *ret_size = size;
    return 0;
}

/* Reads a group's template and counts its places; what does not read as one is refused here. */
static int read_template(struct chunk *chunk, struct group *group, struct error *err)
{
    const unsigned char *word, *ops;
    size_t size, ops_size, embedded = 0;
    int rc = read_word(chunk, group->word, &word, &size, err);
    if (rc)
        return rc;
    struct column_in in = {.meta = word, .meta_end = word + size};
    uint64_t shape = column_get_varint(&in);
    rc = in.is_bad ? damaged(chunk, err) : read_word(chunk, shape, &ops, &ops_size, err);
    if (rc)
        return rc;
    group->texts = in.meta;
    group->texts_end = in.meta_end;
    group->ops = ops;
    group->ops_end = ops + ops_size;
    group->places = arena_alloc_array(chunk->arena, ops_size + 1, sizeof *group->places);
    if (!group->places)
        return too_large(chunk, err);
    struct column_in texts = in;
    in = (struct column_in){.meta = ops, .meta_end = ops + ops_size};
    while (in.meta < in.meta_end) {
        int op = *in.meta++;
        if (op < OP_LITERAL || op > OP_PLAIN || (op == OP_END && !embedded))
            return damaged(chunk, err);
        embedded += op == OP_EMBED;
        embedded -= op == OP_END;
        if (op == OP_LITERAL)
            (void)column_get_bytes(&in, (size_t)column_get_varint(&in));
        else if (op == OP_TEXT)
            (void)column_get_bytes(&texts, (size_t)column_get_varint(&texts));
        else if (chunk_is_place(op))
            group->places[group->place_count++] = (struct place){.op = op, .metric = -1};
    }
    return in.is_bad || texts.is_bad || embedded ? damaged(chunk, err) : 0;
}

static int read_plain(struct chunk *chunk, struct column_in *in, size_t count, struct place *place, struct error *err)
{
    size_t total = 0, *starts = items(chunk, count, sizeof *starts);
    if (!starts)
        return too_large(chunk, err);
    for (size_t i = 0; i < count; i++) {
        starts[i] = total;
        if (place->values[i] < 0 || (uint64_t)place->values[i] > COLUMN_FRAME_MAX)
            return damaged(chunk, err);
        total += (size_t)place->values[i];
    }
    place->plain_starts = starts;
    place->plain = column_get_bytes(in, total);
    return place->plain ? 0 : damaged(chunk, err);
}

static int read_place(struct chunk *chunk, struct column_in *in, size_t count, struct place *place, struct error *err)
{
    int64_t *values;
    if (place->op == OP_INTS || place->op == OP_NODES)
        return read_lists(chunk, in, count, &place->lists, err);
    if (place->op == OP_FLOAT) {
        const unsigned char *mode = column_get_bytes(in, 1);
        if (mode && *mode == FLOATS_METRIC && chunk->flags & CHUNK_METRICS) {
            uint64_t metric = column_get_varint(in);
            place->metric = (int)(metric & UINT16_MAX);
            return in->is_bad || metric > UINT16_MAX ? damaged(chunk, err) : 0;
        }
        double *floats = items(chunk, count, sizeof *floats);
        if (!floats)
            return too_large(chunk, err);
        place->floats = floats;
        return !mode || *mode != FLOATS_OWN || column_get_floats(in, floats, count) ? damaged(chunk, err) : 0;
    }
    int rc = read_ints(chunk, in, count, &values, err);
    place->values = values;
    return !rc && place->op == OP_PLAIN ? read_plain(chunk, in, count, place, err) : rc;
}

static int read_heads(struct chunk *chunk, struct column_in *in, struct error *err)
{
    chunk->group_count = (size_t)column_get_varint(in);
    if (in->is_bad || chunk->group_count > COLUMN_FRAME_MAX / sizeof *chunk->groups)
        return damaged(chunk, err);
    chunk->groups = items(chunk, chunk->group_count, sizeof *chunk->groups);
    if (!chunk->groups)
        return too_large(chunk, err);
    for (size_t g = 0; g < chunk->group_count; g++)
        chunk->groups[g] = (struct group){.word = column_get_varint(in)};
    for (size_t g = 0; g < chunk->group_count; g++)
        chunk->groups[g].count = (size_t)column_get_varint(in);
    return read_ints(chunk, in, chunk->count, &chunk->roots, err);
}

static int read_bodies(struct chunk *chunk, struct error *err)
{
    struct column_in in;
    if (chunk->has_bodies)
        return 0;
    int rc = open_frame(chunk, &chunk->bodies, &in, err);
    if (!rc)
        rc = read_heads(chunk, &in, err);
    for (size_t g = 0; !rc && g < chunk->group_count; g++) {
        struct group *group = &chunk->groups[g];
        rc = read_template(chunk, group, err);
        for (size_t p = 0; !rc && p < group->place_count; p++)
            rc = read_place(chunk, &in, group->count, &group->places[p], err);
    }
    chunk->has_bodies = !rc;
    return rc;
}

/* --- putting together --------------------------------------------------------------------------------------------- */

struct walk {
    struct chunk *chunk;
    size_t row;
    struct buf *out; /* NULL: only goes behind the row */
    bool is_bad;
};

static void put_head(struct buf *out, unsigned major, uint64_t value)
{
    size_t at = out->size;
    cbor_put_u64(out, value);
    if (out->size > at)
        out->data[at] = (unsigned char)(out->data[at] | major << 5);
}

static void put_float(struct walk *walk, const struct place *place, size_t instance)
{
    const struct chunk *chunk = walk->chunk;
    if (place->metric < 0) {
        cbor_put_f64(walk->out, place->floats[instance]);
        return;
    }
    for (size_t m = chunk->metric_starts[walk->row]; m < chunk->metric_starts[walk->row + 1]; m++) {
        if (chunk->metrics[m].id == place->metric) {
            cbor_put_f64(walk->out, chunk->metrics[m].value);
            return;
        }
    }
    walk->is_bad = true;
}

static void walk_node(struct walk *walk, int64_t index, unsigned depth);

static void walk_list(struct walk *walk, const struct place *place, size_t instance, unsigned depth)
{
    const int64_t *item = place->lists.items + place->lists.starts[instance];
    size_t length = (size_t)place->lists.lengths[instance];
    if (walk->out)
        cbor_put_array(walk->out, length);
    for (size_t i = 0; i < length && !walk->is_bad; i++) {
        if (place->op == OP_NODES)
            walk_node(walk, item[i], depth + 1);
        else if (walk->out)
            cbor_put_i64(walk->out, item[i]);
        else
            break;
    }
}

static void put_place(struct walk *walk, const struct place *place, size_t instance)
{
    struct buf *out = walk->out;
    if (place->op == OP_FLOAT)
        put_float(walk, place, instance);
    else if (place->op == OP_INT)
        cbor_put_i64(out, place->values[instance]);
    else if (place->op == OP_UNSIGNED)
        cbor_put_u64(out, (uint64_t)place->values[instance]);
    else if (place->values[instance])
        buf_put(out, place->plain + place->plain_starts[instance], (size_t)place->values[instance]);
}

/* The head of a byte string is written when its content is: its length is known only then. */
static void close_embedded(struct buf *out, size_t start)
{
    size_t size = out->size - start, end = out->size;
    put_head(out, 2, size);
    size_t head_size = out->size - end;
    unsigned char head[9];
    if (out->is_overflowed || head_size > sizeof head)
        return;
    memcpy(head, out->data + end, head_size);
    memmove(out->data + start + head_size, out->data + start, size);
    memcpy(out->data + start, head, head_size);
}

static void write_node(struct walk *walk, const struct group *group, size_t instance, unsigned depth)
{
    struct column_in ops = {.meta = group->ops, .meta_end = group->ops_end};
    struct column_in texts = {.meta = group->texts, .meta_end = group->texts_end};
    size_t starts[LIMIT_JSON_DEPTH + 1], embedded = 0, place = 0;
    while (ops.meta < ops.meta_end && !walk->is_bad) {
        int op = *ops.meta++;
        if (op == OP_LITERAL || op == OP_TEXT) {
            struct column_in *in = op == OP_TEXT ? &texts : &ops;
            size_t size = (size_t)column_get_varint(in);
            const unsigned char *bytes = column_get_bytes(in, size);
            if (op == OP_TEXT)
                put_head(walk->out, 3, size);
            if (size && bytes)
                buf_put(walk->out, bytes, size);
        } else if (op == OP_EMBED) {
            walk->is_bad = embedded == LIMIT_JSON_DEPTH;
            starts[embedded++] = walk->out->size;
        } else if (op == OP_END) {
            close_embedded(walk->out, starts[--embedded]);
        } else if (op == OP_INTS || op == OP_NODES) {
            walk_list(walk, &group->places[place++], instance, depth);
        } else {
            put_place(walk, &group->places[place++], instance);
        }
    }
}

static void walk_node(struct walk *walk, int64_t index, unsigned depth)
{
    struct chunk *chunk = walk->chunk;
    if (index < 0 || (uint64_t)index >= chunk->group_count || depth > LIMIT_JSON_DEPTH) {
        walk->is_bad = true;
        return;
    }
    struct group *group = &chunk->groups[index];
    size_t instance = group->cursor++;
    if (instance >= group->count) {
        walk->is_bad = true;
    } else if (walk->out) {
        write_node(walk, group, instance, depth);
    } else {
        for (size_t p = 0; p < group->place_count && !walk->is_bad; p++) {
            if (group->places[p].op == OP_NODES)
                walk_list(walk, &group->places[p], instance, depth);
        }
    }
}

int chunk_body(struct chunk *chunk, size_t row, struct buf *out, struct error *err)
{
    assert(row < chunk->count);
    int rc = chunk->flags & CHUNK_METRICS ? read_times(chunk, err) : 0;
    if (!rc)
        rc = read_bodies(chunk, err);
    if (rc)
        return rc;
    if (row < chunk->next_row) {
        for (size_t g = 0; g < chunk->group_count; g++)
            chunk->groups[g].cursor = 0;
        chunk->next_row = 0;
    }
    struct walk walk = {.chunk = chunk};
    for (; chunk->next_row <= row && !walk.is_bad; chunk->next_row++) {
        walk.row = chunk->next_row;
        walk.out = walk.row == row ? out : NULL;
        walk_node(&walk, chunk->roots[walk.row], 0);
    }
    if (walk.is_bad)
        return damaged(chunk, err);
    return out->is_overflowed ? too_large(chunk, err) : 0;
}

int chunk_walk_words(struct chunk *chunk, int (*fn)(void *user, uint64_t id, struct error *err), void *user,
                     struct error *err)
{
    int rc = read_bodies(chunk, err);
    for (size_t g = 0; !rc && g < chunk->group_count; g++)
        rc = fn(user, chunk->groups[g].word, err);
    return rc;
}
