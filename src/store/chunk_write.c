#include "store/chunk_inner.h"

#include <assert.h>
#include <string.h>

#include "base/crc.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/cbor.h"

#define CEILING (256u << 20) /* bytes of one stream of a chunk */
#define FEW_LISTS 64u
#define EMBEDDED_MAX 3u

struct place {
    int op;
    struct buf words; /* int64_t for each instance: the number, its bits, or the length of a list */
    struct buf items; /* of lists: int64_t; of plain ones: bytes */
};

struct group { /* a template and its instances */
    struct group *next; /* of the same hash */
    unsigned char *ops, *texts;
    size_t ops_size, texts_size, index, count;
    struct buf rows; /* uint32_t: the row of each instance */
    struct place *places;
    size_t place_count;
};

struct writer {
    const struct store_round *rounds;
    size_t count;
    unsigned flags;
    const struct chunk_words *words;
    struct map by_hash;
    struct group **groups;
    size_t group_count, group_room;
    int64_t *roots;
    uint32_t row;
    unsigned embedded; /* byte strings looked into around here */
    /* What is being taken apart; each record starts where the one around it has come to. */
    struct buf ops, texts, values, literal, scratch;
};

struct input {
    const uint8_t *at, *end;
};

/* --- CBOR --------------------------------------------------------------------------------------------------------- */

struct head {
    unsigned major, info;
    uint64_t value;
    bool is_shortest;
};

/* Definite lengths only. */
static bool read_head(struct input *in, struct head *ret_head)
{
    if (in->at == in->end)
        return false;
    unsigned info = *in->at & 31;
    struct head head = {.major = *in->at++ >> 5, .info = info, .value = info, .is_shortest = true};
    if (info >= 28)
        return false;
    if (info >= 24) {
        size_t size = (size_t)1 << (info - 24);
        if ((size_t)(in->end - in->at) < size)
            return false;
        head.value = 0;
        for (size_t i = 0; i < size; i++)
            head.value = head.value << 8 | *in->at++;
        uint64_t least = info == 24 ? 24 : UINT64_C(1) << (4 * size);
        head.is_shortest = head.value >= least;
    }
    *ret_head = head;
    return true;
}

/* Whether one whole item stands there; goes behind it. */
static bool skip_item(struct input *in, unsigned depth)
{
    struct head head;
    if (depth > LIMIT_JSON_DEPTH || !read_head(in, &head))
        return false;
    size_t left = (size_t)(in->end - in->at);
    switch (head.major) {
    case 2:
    case 3:
        if (head.value > left)
            return false;
        in->at += head.value;
        return true;
    case 4:
    case 5:
        if (head.value > left)
            return false;
        for (uint64_t i = 0; i < head.value * (head.major - 3); i++) {
            if (!skip_item(in, depth + 1))
                return false;
        }
        return true;
    case 6:
        return skip_item(in, depth + 1);
    default:
        return true;
    }
}

static bool is_whole(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, bytes + size};
    return skip_item(&in, 0) && in.at == in.end;
}

static double float_of(const struct head *head)
{
    if (head->info == 27) {
        double value;
        memcpy(&value, &head->value, sizeof value);
        return value;
    }
    if (head->info == 26) {
        uint32_t bits = (uint32_t)head->value;
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    struct cbor_reader reader;
    struct cbor_item item = {.f64 = 0};
    uint8_t bytes[] = {0xf9, (uint8_t)(head->value >> 8), (uint8_t)head->value};
    cbor_reader_init(&reader, bytes, sizeof bytes);
    (void)cbor_read(&reader, &item);
    return item.f64;
}

/* --- taking apart ------------------------------------------------------------------------------------------------- */

static void flush_literal(struct writer *w)
{
    if (!w->literal.size)
        return;
    buf_putc(&w->ops, OP_LITERAL);
    column_put_varint(&w->ops, w->literal.size);
    buf_put(&w->ops, w->literal.data, w->literal.size);
    buf_reset(&w->literal);
}

static void put_op(struct writer *w, int op)
{
    flush_literal(w);
    buf_putc(&w->ops, (char)op);
}

static void put_value(struct writer *w, int64_t value)
{
    buf_put(&w->values, &value, sizeof value);
}

static bool is_plain_integer(const struct head *head)
{
    return head->major <= 1 && head->is_shortest && head->value <= INT64_MAX;
}

static int64_t integer_of(const struct head *head)
{
    return head->major ? ~(int64_t)head->value : (int64_t)head->value;
}

static bool take_integers(struct writer *w, struct input *in, uint64_t count)
{
    struct input ahead = *in;
    struct head head;
    size_t mark = w->values.size;
    put_value(w, (int64_t)count);
    for (uint64_t i = 0; i < count; i++) {
        if (!read_head(&ahead, &head) || !is_plain_integer(&head)) {
            w->values.size = mark;
            return false;
        }
        put_value(w, integer_of(&head));
    }
    put_op(w, OP_INTS);
    *in = ahead;
    return true;
}

static size_t take_node(struct writer *w, struct input *in);
static void take_value(struct writer *w, struct input *in);

static void take_array(struct writer *w, struct input *in, const uint8_t *start, const struct head *head)
{
    unsigned first = head->value ? *in->at >> 5 : 7;
    if (head->is_shortest && first <= 1 && take_integers(w, in, head->value))
        return;
    if (head->is_shortest && first == 5) {
        put_op(w, OP_NODES);
        size_t mark = w->values.size;
        put_value(w, (int64_t)head->value);
        for (uint64_t i = 0; i < head->value; i++) {
            int64_t node = (int64_t)take_node(w, in);
            put_value(w, node);
        }
        assert(w->values.size == mark + (head->value + 1) * sizeof(int64_t));
        return;
    }
    buf_put(&w->literal, start, (size_t)(in->at - start));
    for (uint64_t i = 0; i < head->value; i++)
        take_value(w, in);
}

static void take_map(struct writer *w, struct input *in, const uint8_t *start, const struct head *head)
{
    buf_put(&w->literal, start, (size_t)(in->at - start));
    for (uint64_t i = 0; i < head->value; i++) {
        const uint8_t *key = in->at;
        (void)skip_item(in, 0);
        buf_put(&w->literal, key, (size_t)(in->at - key));
        take_value(w, in);
    }
}

static void take_string(struct writer *w, struct input *in, const uint8_t *start, const struct head *head)
{
    const uint8_t *text = in->at;
    size_t size = (size_t)head->value;
    in->at += size;
    if (head->major == 3 && head->is_shortest) {
        put_op(w, OP_TEXT);
        column_put_varint(&w->texts, size);
        buf_put(&w->texts, text, size);
    } else if (head->major == 2 && head->is_shortest && size && text[0] >> 5 == 5 && w->embedded < EMBEDDED_MAX &&
               is_whole(text, size)) {
        struct input inner = {text, text + size};
        put_op(w, OP_EMBED);
        w->embedded++;
        take_value(w, &inner);
        w->embedded--;
        put_op(w, OP_END);
    } else {
        buf_put(&w->literal, start, (size_t)(in->at - start));
    }
}

static void take_simple(struct writer *w, struct input *in, const uint8_t *start, const struct head *head)
{
    size_t size = (size_t)(in->at - start);
    if (head->info >= 25 && head->info <= 27) {
        double value = float_of(head);
        buf_reset(&w->scratch);
        cbor_put_f64(&w->scratch, value);
        if (w->scratch.size == size && !memcmp(w->scratch.data, start, size)) {
            int64_t bits;
            memcpy(&bits, &value, sizeof bits);
            put_op(w, OP_FLOAT);
            put_value(w, bits);
            return;
        }
    }
    buf_put(&w->literal, start, size);
}

/* An item that is known to be whole. */
static void take_value(struct writer *w, struct input *in)
{
    const uint8_t *start = in->at;
    struct head head;
    (void)read_head(in, &head);
    switch (head.major) {
    case 0:
    case 1:
        if (head.is_shortest && (head.major == 0 || head.value <= INT64_MAX)) {
            put_op(w, head.value <= INT64_MAX ? OP_INT : OP_UNSIGNED);
            put_value(w, head.major ? integer_of(&head) : (int64_t)head.value);
        } else {
            buf_put(&w->literal, start, (size_t)(in->at - start));
        }
        break;
    case 2:
    case 3:
        take_string(w, in, start, &head);
        break;
    case 4:
        take_array(w, in, start, &head);
        break;
    case 5:
        take_map(w, in, start, &head);
        break;
    case 6:
        buf_put(&w->literal, start, (size_t)(in->at - start));
        take_value(w, in);
        break;
    default:
        take_simple(w, in, start, &head);
        break;
    }
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

static void make_places(struct group *group)
{
    struct column_in in = {.meta = group->ops, .meta_end = group->ops + group->ops_size};
    group->places = mem_alloc_array(group->ops_size, sizeof *group->places);
    while (in.meta < in.meta_end) {
        int op = *in.meta++;
        if (op == OP_LITERAL)
            (void)column_get_bytes(&in, (size_t)column_get_varint(&in));
        if (!chunk_is_place(op))
            continue;
        struct place *place = &group->places[group->place_count++];
        place->op = op;
        buf_init(&place->words, CEILING);
        buf_init(&place->items, CEILING);
    }
}

static struct group *group_new(struct writer *w, uint64_t hash, const unsigned char *ops, size_t ops_size,
                               const unsigned char *texts, size_t texts_size)
{
    struct group *group = mem_alloc(sizeof *group);
    *group = (struct group){.ops_size = ops_size, .texts_size = texts_size, .index = w->group_count};
    group->ops = mem_alloc(ops_size + texts_size + 1);
    group->texts = group->ops + ops_size;
    if (ops_size)
        memcpy(group->ops, ops, ops_size);
    if (texts_size)
        memcpy(group->texts, texts, texts_size);
    buf_init(&group->rows, CEILING);
    make_places(group);
    if (w->group_count == w->group_room) {
        size_t room = w->group_room ? w->group_room * 2 : 64;
        w->groups = mem_resize(w->groups, w->group_room * sizeof(void *), room * sizeof(void *));
        w->group_room = room;
    }
    w->groups[w->group_count++] = group;
    group->next = map_get(&w->by_hash, hash);
    map_put(&w->by_hash, hash, group);
    return group;
}

static void group_free(struct group *group)
{
    for (size_t i = 0; i < group->place_count; i++) {
        buf_done(&group->places[i].words);
        buf_done(&group->places[i].items);
    }
    buf_done(&group->rows);
    mem_free(group->places);
    mem_free(group->ops);
    mem_free(group);
}

static struct group *group_of(struct writer *w, size_t ops_at, size_t texts_at)
{
    const unsigned char *ops = w->ops.data + ops_at, *texts = w->texts.size ? w->texts.data + texts_at : ops;
    size_t ops_size = w->ops.size - ops_at, texts_size = w->texts.size - texts_at;
    uint64_t hash = str_hash(texts, texts_size, str_hash(ops, ops_size, 0));
    struct group *group = map_get(&w->by_hash, hash);
    while (group && (group->ops_size != ops_size || group->texts_size != texts_size ||
                     memcmp(group->ops, ops, ops_size) != 0 ||
                     (texts_size && memcmp(group->texts, texts, texts_size) != 0)))
        group = group->next;
    return group ? group : group_new(w, hash, ops, ops_size, texts, texts_size);
}

/* One more instance with the values from values_at on. */
static void add_instance(struct writer *w, struct group *group, size_t values_at)
{
    const int64_t *value = (const void *)(w->values.data + values_at);
    for (size_t i = 0; i < group->place_count; i++) {
        struct place *place = &group->places[i];
        buf_put(&place->words, value, sizeof *value);
        if (place->op == OP_INTS || place->op == OP_NODES) {
            size_t length = (size_t)*value;
            if (length)
                buf_put(&place->items, value + 1, length * sizeof *value);
            value += length;
        }
        value++;
    }
    buf_put(&group->rows, &w->row, sizeof w->row);
    group->count++;
}

static size_t take_node(struct writer *w, struct input *in)
{
    flush_literal(w);
    size_t ops_at = w->ops.size, texts_at = w->texts.size, values_at = w->values.size;
    take_value(w, in);
    flush_literal(w);
    struct group *group = group_of(w, ops_at, texts_at);
    add_instance(w, group, values_at);
    w->ops.size = ops_at;
    w->texts.size = texts_at;
    w->values.size = values_at;
    return group->index;
}

static size_t take_plain(struct writer *w, const void *bytes, size_t size)
{
    put_op(w, OP_PLAIN);
    put_value(w, (int64_t)size);
    struct group *group = group_of(w, 0, 0);
    add_instance(w, group, 0);
    if (size)
        buf_put(&group->places[0].items, bytes, size);
    buf_reset(&w->ops);
    buf_reset(&w->values);
    return group->index;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_list_columns(struct column_out *out, const int64_t *lengths, size_t count, const int64_t *items)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += (size_t)lengths[i];
    column_put_ints(out, lengths, count);
    column_put_ints(out, items, total);
}

/* Lists of which few are distinct are written once, with an index for each instance. */
static void put_lists(struct column_out *out, const struct place *place, size_t count)
{
    const int64_t *lengths = (const void *)place->words.data, *items = (const void *)place->items.data;
    struct buf few_lengths, few_items;
    size_t starts[FEW_LISTS], distinct = 0, at = 0, i = 0;
    int64_t *which = mem_alloc_array(count, sizeof *which);
    buf_init(&few_lengths, CEILING);
    buf_init(&few_items, CEILING);
    for (; i < count; i++) {
        size_t bytes = (size_t)lengths[i] * sizeof *items, d = 0;
        while (d < distinct && (((const int64_t *)(const void *)few_lengths.data)[d] != lengths[i] ||
                                (bytes && memcmp(items + starts[d], items + at, bytes) != 0)))
            d++;
        if (d == distinct) {
            if (distinct == FEW_LISTS || (distinct > 4 && distinct * 2 > i))
                break;
            starts[distinct++] = at;
            buf_put(&few_lengths, &lengths[i], sizeof lengths[i]);
            if (bytes)
                buf_put(&few_items, items + at, bytes);
        }
        which[i] = (int64_t)d;
        at += (size_t)lengths[i];
    }
    if (i == count && count > 1) {
        buf_putc(&out->meta, LISTS_FEW);
        column_put_varint(&out->meta, distinct);
        put_list_columns(out, (const void *)few_lengths.data, distinct, (const void *)few_items.data);
        column_put_ints(out, which, count);
    } else {
        buf_putc(&out->meta, LISTS_FLAT);
        put_list_columns(out, lengths, count, items);
    }
    buf_done(&few_lengths);
    buf_done(&few_items);
    mem_free(which);
}

static const struct store_metric *metric_of(const struct store_round *round, uint16_t id)
{
    for (size_t i = 0; i < round->metric_count; i++) {
        if (round->metrics[i].id == id)
            return &round->metrics[i];
    }
    return NULL;
}

/* A place that always has the value of one of the round's metrics; -1 = none. */
static int same_metric(const struct writer *w, const struct group *group, const double *values)
{
    const uint32_t *rows = (const void *)group->rows.data;
    const struct store_round *first = &w->rounds[rows[0]];
    for (size_t m = 0; w->flags & CHUNK_METRICS && m < first->metric_count; m++) {
        uint16_t id = first->metrics[m].id;
        size_t i = 0;
        for (; i < group->count; i++) {
            const struct store_metric *metric = metric_of(&w->rounds[rows[i]], id);
            if (!metric || memcmp(&metric->value, &values[i], sizeof *values) != 0)
                break;
        }
        if (i == group->count)
            return id;
    }
    return -1;
}

static void put_place(struct writer *w, struct column_out *out, const struct group *group, const struct place *place)
{
    switch (place->op) {
    case OP_FLOAT: {
        const double *values = (const void *)place->words.data;
        int metric = same_metric(w, group, values);
        buf_putc(&out->meta, metric < 0 ? FLOATS_OWN : FLOATS_METRIC);
        if (metric < 0)
            column_put_floats(out, values, group->count);
        else
            column_put_varint(&out->meta, (uint64_t)metric);
        break;
    }
    case OP_INTS:
    case OP_NODES:
        put_lists(out, place, group->count);
        break;
    default:
        column_put_ints(out, (const void *)place->words.data, group->count);
        if (place->op == OP_PLAIN && place->items.size)
            buf_put(&out->meta, place->items.data, place->items.size);
        break;
    }
}

/* The word of a template: its shape's id and its texts. */
static int put_words(struct writer *w, const struct group *group, uint64_t *ret_id, struct error *err)
{
    uint64_t shape;
    int rc = w->words->put(w->words->user, group->ops, group->ops_size, &shape, err);
    if (rc)
        return rc;
    buf_reset(&w->scratch);
    column_put_varint(&w->scratch, shape);
    if (group->texts_size)
        buf_put(&w->scratch, group->texts, group->texts_size);
    return w->words->put(w->words->user, w->scratch.data, w->scratch.size, ret_id, err);
}

static int put_bodies(struct writer *w, struct column_out *out, bool is_plain, struct error *err)
{
    w->roots = mem_alloc_array(w->count, sizeof *w->roots);
    for (w->row = 0; w->row < w->count; w->row++) {
        const struct store_round *round = &w->rounds[w->row];
        const void *bytes = w->flags & CHUNK_METRICS ? round->body : round->detail;
        size_t size = w->flags & CHUNK_METRICS ? round->body_size : round->detail_size;
        if (is_plain || !size || !is_whole(bytes, size)) {
            w->roots[w->row] = (int64_t)take_plain(w, bytes, size);
        } else {
            struct input in = {bytes, (const uint8_t *)bytes + size};
            w->roots[w->row] = (int64_t)take_node(w, &in);
        }
    }
    column_put_varint(&out->meta, w->group_count);
    for (size_t g = 0; g < w->group_count; g++) {
        uint64_t word;
        int rc = put_words(w, w->groups[g], &word, err);
        if (rc)
            return rc;
        column_put_varint(&out->meta, word);
    }
    for (size_t g = 0; g < w->group_count; g++)
        column_put_varint(&out->meta, w->groups[g]->count);
    column_put_ints(out, w->roots, w->count);
    for (size_t g = 0; g < w->group_count; g++) {
        for (size_t p = 0; p < w->groups[g]->place_count; p++)
            put_place(w, out, w->groups[g], &w->groups[g]->places[p]);
    }
    return 0;
}

static void put_metrics(struct writer *w, struct column_out *out)
{
    struct place ids = {.op = OP_INTS};
    struct chunk_ids used = {.bits = {0}};
    double *values = mem_alloc_array(w->count * STORE_ROUND_METRICS + 1, sizeof *values);
    buf_init(&ids.words, CEILING);
    buf_init(&ids.items, CEILING);
    for (size_t i = 0; i < w->count; i++) {
        int64_t length = (int64_t)w->rounds[i].metric_count;
        buf_put(&ids.words, &length, sizeof length);
        for (size_t m = 0; m < w->rounds[i].metric_count; m++) {
            int64_t id = w->rounds[i].metrics[m].id;
            buf_put(&ids.items, &id, sizeof id);
            chunk_ids_add(&used, (uint16_t)id);
        }
    }
    put_lists(out, &ids, w->count);
    for (int id = -1; (id = chunk_ids_next(&used, id)) >= 0;) {
        size_t count = 0;
        for (size_t i = 0; i < w->count; i++) {
            for (size_t m = 0; m < w->rounds[i].metric_count; m++) {
                if (w->rounds[i].metrics[m].id == id)
                    values[count++] = w->rounds[i].metrics[m].value;
            }
        }
        column_put_floats(out, values, count);
    }
    buf_done(&ids.words);
    buf_done(&ids.items);
    mem_free(values);
}

static void put_times(struct writer *w, struct column_out *out)
{
    int64_t *column = mem_alloc_array(w->count, sizeof *column);
    for (size_t i = 0; i < w->count; i++)
        column[i] = w->rounds[i].round_id;
    column_put_ints(out, column, w->count);
    if (w->flags & CHUNK_METRICS) {
        for (size_t i = 0; i < w->count; i++)
            column[i] = (int64_t)((uint64_t)w->rounds[i].start_s - (uint64_t)w->rounds[i].round_id);
        column_put_ints(out, column, w->count);
        for (size_t i = 0; i < w->count; i++)
            column[i] = (int64_t)((uint64_t)w->rounds[i].end_s - (uint64_t)w->rounds[i].start_s);
        column_put_ints(out, column, w->count);
        for (size_t i = 0; i < w->count; i++)
            column[i] = w->rounds[i].test_version;
        column_put_ints(out, column, w->count);
        for (size_t i = 0; i < w->count; i++)
            memcpy(&column[i], &w->rounds[i].fingerprint, sizeof column[i]);
        column_put_ints(out, column, w->count);
    }
    mem_free(column);
}

static void writer_done(struct writer *w)
{
    for (size_t i = 0; i < w->group_count; i++)
        group_free(w->groups[i]);
    mem_free(w->groups);
    mem_free(w->roots);
    map_done(&w->by_hash);
    buf_done(&w->ops);
    buf_done(&w->texts);
    buf_done(&w->values);
    buf_done(&w->literal);
    buf_done(&w->scratch);
}

static int write_once(const struct store_round *rounds, size_t count, unsigned flags, const struct chunk_words *words,
                      bool is_plain, struct buf *out, struct error *err)
{
    struct writer w = {.rounds = rounds, .count = count, .flags = flags, .words = words};
    struct buf *const buffers[] = {&w.ops, &w.texts, &w.values, &w.literal, &w.scratch};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        buf_init(buffers[i], CEILING);
    struct column_out stream;
    column_out_init(&stream, CEILING);
    size_t start = out->size;
    buf_putc(out, CHUNK_VERSION);
    buf_putc(out, (char)flags);
    column_put_varint(out, count);
    put_times(&w, &stream);
    if (flags & CHUNK_METRICS)
        put_metrics(&w, &stream);
    column_put_frame(&stream, words->compressor, out);
    int rc = put_bodies(&w, &stream, is_plain, err);
    if (!rc) {
        column_put_frame(&stream, words->compressor, out);
        uint32_t crc = crc32c(0, out->data + start, out->size - start);
        for (unsigned i = 0; i < 4; i++)
            buf_putc(out, (char)(unsigned char)(crc >> 8 * i));
    }
    column_out_done(&stream);
    writer_done(&w);
    return rc;
}

static bool is_same(const struct store_round *a, const struct store_round *b)
{
    if (a->start_s != b->start_s || a->end_s != b->end_s || a->test_version != b->test_version ||
        a->fingerprint != b->fingerprint || a->metric_count != b->metric_count)
        return false;
    for (size_t i = 0; i < a->metric_count; i++) {
        if (a->metrics[i].id != b->metrics[i].id ||
            memcmp(&a->metrics[i].value, &b->metrics[i].value, sizeof(double)) != 0)
            return false;
    }
    return true;
}

/* What was written, read back and compared with what it was made of. */
static bool is_exact(const struct store_round *rounds, size_t count, unsigned flags, const struct chunk_words *words,
                     const unsigned char *bytes, size_t size)
{
    struct arena arena;
    struct chunk *chunk;
    struct buf body;
    arena_init(&arena, CEILING);
    buf_init(&body, CEILING);
    bool is_good = !chunk_open(bytes, size, "chunk", words, &arena, &chunk, NULL) && chunk_count(chunk) == count;
    for (size_t i = 0; is_good && i < count; i++) {
        struct store_round got = {.round_id = chunk_round_id(chunk, i)};
        const void *want = flags & CHUNK_METRICS ? rounds[i].body : rounds[i].detail;
        size_t want_size = flags & CHUNK_METRICS ? rounds[i].body_size : rounds[i].detail_size;
        if (flags & CHUNK_METRICS && chunk_row(chunk, i, &got, NULL))
            is_good = false;
        buf_reset(&body);
        is_good = is_good && got.round_id == rounds[i].round_id && (!(flags & CHUNK_METRICS) || is_same(&got, &rounds[i])) &&
                  !chunk_body(chunk, i, &body, NULL) && body.size == want_size &&
                  (!want_size || !memcmp(body.data, want, want_size));
    }
    buf_done(&body);
    arena_done(&arena);
    return is_good;
}

int chunk_write(const struct store_round *rounds, size_t count, unsigned flags, const struct chunk_words *words,
                struct buf *out, struct error *err)
{
    size_t start = out->size;
    assert(count && count <= CHUNK_ROUNDS);
    for (int attempt = 0; attempt < 2; attempt++) {
        out->size = start;
        int rc = write_once(rounds, count, flags, words, attempt > 0, out, err);
        if (rc)
            return rc;
        if (out->is_overflowed)
            return error_set(err, E_LIMIT, "chunk", "an hour of a test is too large");
        if (is_exact(rounds, count, flags, words, out->data + start, out->size - start))
            return 0;
    }
    return error_set(err, E_CORRUPT, "chunk", "an hour of a test cannot be folded");
}
