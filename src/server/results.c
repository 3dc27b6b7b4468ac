#include "server/results.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "measure/part.h"

const char *const results_state_names[] = {"ok", "minor", "major", "critical", "no-data", NULL};

/* --- how good a value is ------------------------------------------------------------------------------------------ */

/* The threshold at which a metric enters a state; NaN when it has none. */
static double threshold(const struct measure_metric *metric, enum results_state state)
{
    switch (state) {
    case RESULTS_MINOR:
        return metric->minor;
    case RESULTS_MAJOR:
        return metric->major;
    case RESULTS_CRITICAL:
        return metric->critical;
    case RESULTS_OK:
    case RESULTS_NO_DATA:
        break;
    }
    return (double)NAN;
}

enum results_state results_state_of(const struct measure_metric *metric, double value)
{
    if (isnan(value))
        return RESULTS_NO_DATA;
    for (enum results_state state = RESULTS_CRITICAL; state > RESULTS_OK; state--) {
        double limit = threshold(metric, state);
        if (!isnan(limit) && (metric->is_higher_worse ? value >= limit : value <= limit))
            return state;
    }
    return RESULTS_OK;
}

char results_digit(const struct measure_metric *metric, double value)
{
    enum results_state state = results_state_of(metric, value);
    if (state == RESULTS_NO_DATA)
        return '-';
    if (state == RESULTS_CRITICAL)
        return '9';
    /* Where a metric is better the higher, "no trouble" has no natural place: its ok is always 0. */
    double low = state == RESULTS_OK ? (metric->is_higher_worse ? 0 : (double)INFINITY) : threshold(metric, state);
    double high = threshold(metric, state + 1);
    int third = 0;
    if (isfinite(low) && isfinite(high) && high != low) {
        double way = (value - low) / (high - low);
        third = way < 1.0 / 3 ? 0 : way < 2.0 / 3 ? 1 : 2;
        if (state == RESULTS_OK && third == 0 && value != low)
            third = 1;
    }
    return (char)('0' + 3 * (int)state + third);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

struct body {
    struct field_list parts; /* struct message_part */
};

static const struct field body_fields[] = {
    FIELD_LIST(struct body, parts, "parts", &message_part_table, (), "What was measured"),
};
static const struct field_table body_table =
    FIELD_TABLE("StoredResult", struct body, body_fields, NULL, "A result as it is kept");

static int part_index(const struct measure_type *type, const char *name)
{
    for (size_t i = 0; i < type->part_count; i++) {
        if (str_equal(type->parts[i].name, name))
            return (int)i;
    }
    return -1;
}

/* Reads the parts into the type's result struct; err->where names a part that does not read. */
static int read_parts(const struct measure_type *type, const struct message_part *parts, size_t count,
                      struct arena *arena, struct results_round *ret_round, struct error *err)
{
    struct results_round round = {.type = type, .result = arena_alloc(arena, type->result_size)};
    if (!round.result)
        return error_set(err, E_LIMIT, type->name, "the result does not fit the memory of this request");
    for (size_t i = 0; i < type->part_count; i++)
        field_defaults(type->parts[i].table, (char *)round.result + type->parts[i].offset);
    for (size_t i = 0; i < count; i++) {
        int index = part_index(type, parts[i].name);
        if (index < 0)
            continue;
        const struct measure_part *part = &type->parts[index];
        if (round.parts & 1u << index)
            return error_set(err, E_INVALID, part->name, "the part is there twice");
        int rc = field_from_cbor(part->table, parts[i].record.data, parts[i].record.size,
                                 (char *)round.result + part->offset, arena, err);
        if (rc) {
            error_prefix(err, part->name);
            return rc;
        }
        round.parts |= 1u << index;
    }
    *ret_round = round;
    return 0;
}

const void *results_part(const struct results_round *round, const struct measure_part *part)
{
    ptrdiff_t index = part - round->type->parts;
    assert(index >= 0 && (size_t)index < round->type->part_count);
    return round->parts & 1u << index ? (const char *)round->result + part->offset : NULL;
}

/* --- what is taken out of a body ---------------------------------------------------------------------------------- */

/* A name after a dot is that of a member of the record before it. */
static const void *member(const struct results_round *round, const struct measure_part *part, const char *name,
                          enum field_kind kind)
{
    const void *record = results_part(round, part);
    const struct field_table *table = part->table;
    const char *dot = strchr(name, '.');
    char outer[64];
    if (record && dot && (size_t)(dot - name) < sizeof outer) {
        memcpy(outer, name, (size_t)(dot - name));
        outer[dot - name] = 0;
        const struct field *inner = field_find(table, outer);
        table = inner && inner->kind == FIELD_KIND_RECORD ? inner->table : NULL;
        record = table ? (const char *)record + inner->offset : NULL;
        name = dot + 1;
    }
    const struct field *field = record ? field_find(table, name) : NULL;
    return field && field->kind == kind ? (const char *)record + field->offset : NULL;
}

const char *results_text(const struct results_round *round, const char *name)
{
    for (size_t i = 0; i < round->type->part_count; i++) {
        const char *const *text = member(round, &round->type->parts[i], name, FIELD_KIND_STR);
        if (text && *text && **text)
            return *text;
    }
    return NULL;
}

static char second_digit(const struct field_list *row)
{
    const int64_t *counts = row->items; /* an agent may have sent anything */
    if (row->count < 2 || counts[0] <= 0 || counts[0] > INT32_MAX || counts[1] < 0)
        return '-';
    int64_t lost = counts[0] - counts[1];
    return (char)(lost <= 0 ? '0' : lost == counts[0] ? '9' : '1' + lost * 8 / counts[0]);
}

const char *results_seconds(const struct results_round *round, struct arena *arena)
{
    const struct field_list *rows = NULL;
    for (size_t i = 0; i < round->type->part_count && !(rows && rows->items); i++)
        rows = member(round, &round->type->parts[i], "packetsBySecond", FIELD_KIND_I64ROWS);
    if (!rows || !rows->items)
        return NULL;
    size_t count = rows->count < MEASURE_CONTINUOUS_S ? rows->count : MEASURE_CONTINUOUS_S;
    char *digits = arena_alloc(arena, count + 1);
    for (size_t i = 0; digits && i < count; i++)
        digits[i] = second_digit((const struct field_list *)rows->items + i);
    return digits;
}

static int extract_metrics(const struct results_round *from, struct arena *arena, struct store_round *round,
                           struct error *err)
{
    const struct measure_type *type = from->type;
    assert(type->metric_count < STORE_ROUND_METRICS);
    struct store_metric *metrics = arena_alloc_array(arena, type->metric_count + 1, sizeof *metrics);
    if (!metrics)
        return error_set(err, E_LIMIT, type->name, "the result does not fit the memory of this request");
    size_t count = 0;
    for (size_t i = 0; i < type->metric_count; i++) {
        int part = part_index(type, type->metrics[i].part);
        assert(part >= 0);
        const double *value = member(from, &type->parts[part], type->metrics[i].id, FIELD_KIND_F64);
        if (value && isfinite(*value))
            metrics[count++] = (struct store_metric){.id = (uint16_t)i, .value = *value};
    }
    if (!count && results_text(from, "errorDetails"))
        metrics[count++] = (struct store_metric){.id = RESULTS_METRIC_ERROR, .value = 1};
    round->metrics = metrics;
    round->metric_count = count;
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A hash of the set of paths: equal sets have equal fingerprints, whatever their order; 0 = no path was traced. */
static int take_fingerprint(const struct results_round *from, struct arena *arena, uint64_t *ret_fingerprint,
                            struct error *err)
{
    uint64_t fingerprint = 0;
    for (size_t i = 0; i < from->type->part_count; i++) {
        const struct measure_part *part = &from->type->parts[i];
        if (part->table != &measure_path_vis_table || !results_part(from, part))
            continue;
        const struct measure_path_vis *paths = results_part(from, part);
        const struct measure_route *routes = paths->path_traces.items;
        uint64_t *ids = arena_alloc_array(arena, paths->path_traces.count + 1, sizeof *ids);
        if (!ids)
            return error_set(err, E_LIMIT, part->name, "the result does not fit the memory of this request");
        size_t count = 0;
        for (size_t j = 0; j < paths->path_traces.count; j++)
            ids[j] = routes[j].path_id;
        qsort(ids, paths->path_traces.count, sizeof *ids, compare_ids);
        for (size_t j = 0; j < paths->path_traces.count; j++) {
            if (!count || ids[count - 1] != ids[j])
                ids[count++] = ids[j];
        }
        if (count)
            fingerprint = str_hash(ids, count * sizeof *ids, fingerprint) | 1;
    }
    *ret_fingerprint = fingerprint;
    return 0;
}

/* 32 bits of an address: two that meet hide a change once in four billion. */
static uint32_t address_hash(const char *address)
{
    uint64_t hash = str_hash(address, strlen(address), 0);
    uint32_t folded = (uint32_t)(hash ^ hash >> 32);
    return folded ? folded : 1;
}

/* Whether the last hop, which said that it goes no further, stands in its place. A router that forbids or does not know
 * the way says so to packets that would go on, which is one TTL further than its own; when its own was lost, the place
 * is not its. Nor is it when the target itself forbids. */
static bool is_in_place(const struct measure_path_vis *paths, const struct measure_route *route)
{
    const struct measure_hop *hops = route->hops.items;
    size_t last = route->hops.count - 1;
    if (paths->server_ip && str_equal(hops[last].ip_address, paths->server_ip))
        return false;
    return hops[last].hop == 1 || (last > 0 && hops[last - 1].hop == hops[last].hop - 1);
}

static void read_trace(const struct measure_path_vis *paths, const struct measure_route *route, uint32_t *places,
                       struct results_trace *trace)
{
    const struct measure_hop *hops = route->hops.items;
    size_t count = route->hops.count;
    bool is_blocked = route->oculi.end == MEASURE_END_UNREACHABLE || route->oculi.end == MEASURE_END_PROHIBITED ||
                      route->oculi.end == MEASURE_END_RESET;
    int32_t nearest = LIMIT_HOPS + 1;
    trace->is_loop = route->oculi.end == MEASURE_END_LOOP;
    trace->places = places;
    if (count && route->oculi.end == MEASURE_END_REACHED) {
        const struct measure_hop *target = &hops[--count];
        if (target->hop >= 1 && target->hop <= (int32_t)LIMIT_HOPS && target->ip_address) {
            trace->target = address_hash(target->ip_address);
            trace->target_ttl = (uint8_t)target->hop;
            nearest = target->hop;
        }
    } else if (count && is_blocked && !is_in_place(paths, route)) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        if (hops[i].hop < 1 || hops[i].hop >= nearest || !hops[i].ip_address)
            continue;
        places[hops[i].hop - 1] = address_hash(hops[i].ip_address);
        if (hops[i].hop > trace->count)
            trace->count = (uint8_t)hops[i].hop;
    }
}

int results_paths(const struct results_round *round, struct arena *arena, struct results_paths *ret_paths,
                  struct error *err)
{
    struct results_paths found = {.traces = arena_alloc_array(arena, RESULTS_TRACES, sizeof *found.traces)};
    bool is_full = !found.traces;
    for (size_t i = 0; !is_full && i < round->type->part_count; i++) {
        const struct measure_part *part = &round->type->parts[i];
        const struct measure_path_vis *paths = results_part(round, part);
        if (part->table != &measure_path_vis_table || !paths)
            continue;
        const struct measure_route *routes = paths->path_traces.items;
        uint32_t is_seen = 0; /* bit of each flow: a flow that comes twice counts once */
        for (size_t j = 0; !is_full && j < paths->path_traces.count && found.count < RESULTS_TRACES; j++) {
            int32_t flow = routes[j].oculi.flow;
            if (flow < 1 || flow > (int32_t)LIMIT_PATH_TRACES || is_seen & 1u << flow)
                continue;
            is_seen |= 1u << flow;
            uint32_t *places = arena_alloc_array(arena, LIMIT_HOPS, sizeof *places);
            is_full = !places;
            if (is_full)
                break;
            found.traces[found.count] = (struct results_trace){.flow = (uint16_t)((uint32_t)i << 8 | (uint32_t)flow)};
            read_trace(paths, &routes[j], places, &found.traces[found.count++]);
        }
    }
    if (is_full)
        return error_set(err, E_LIMIT, round->type->name, "the paths do not fit the memory of this request");
    *ret_paths = found;
    return 0;
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

static int pack_parts(const struct message_part *parts, size_t count, struct arena *arena, const void **ret_bytes,
                      size_t *ret_size, struct error *err)
{
    struct body body = {.parts = {.items = (void *)(uintptr_t)parts, .count = count}};
    struct buf bytes;
    buf_init(&bytes, LIMIT_RESULT_BYTES);
    field_to_cbor(&body_table, &body, &bytes);
    char *copy = bytes.is_overflowed ? NULL : arena_alloc(arena, bytes.size);
    int rc = 0;
    if (copy) {
        memcpy(copy, bytes.data, bytes.size);
        *ret_bytes = copy;
        *ret_size = bytes.size;
    } else if (bytes.is_overflowed) {
        rc = error_set(err, E_RANGE, "parts", "the round is larger than %u bytes", LIMIT_RESULT_BYTES);
    } else {
        rc = error_set(err, E_LIMIT, "parts", "the round does not fit the memory of this request");
    }
    buf_done(&bytes);
    return rc;
}

/* Path traces are kept for less long than the rest: they go into the round's detail. */
static bool is_detail(const struct measure_type *type, const struct message_part *part)
{
    int index = part_index(type, part->name);
    return index >= 0 && type->parts[index].table == &measure_path_vis_table;
}

static int pack_body(const struct measure_type *type, const struct message_part *parts, size_t count,
                     struct arena *arena, struct store_round *round, struct error *err)
{
    struct message_part *sorted = arena_alloc_array(arena, count + 1, sizeof *sorted);
    size_t plain = 0, at;
    if (!sorted)
        return error_set(err, E_LIMIT, "parts", "the round does not fit the memory of this request");
    for (size_t i = 0; i < count; i++) {
        if (!is_detail(type, &parts[i]))
            sorted[plain++] = parts[i];
    }
    at = plain;
    for (size_t i = 0; i < count; i++) {
        if (is_detail(type, &parts[i]))
            sorted[at++] = parts[i];
    }
    round->detail = NULL;
    round->detail_size = 0;
    int rc = pack_parts(sorted, plain, arena, &round->body, &round->body_size, err);
    if (!rc && plain < count)
        rc = pack_parts(sorted + plain, count - plain, arena, &round->detail, &round->detail_size, err);
    if (!rc && round->body_size + round->detail_size > LIMIT_RESULT_BYTES)
        rc = error_set(err, E_RANGE, "parts", "the round is larger than %u bytes", LIMIT_RESULT_BYTES);
    return rc;
}

int results_pack(const struct measure_type *type, const struct message_part *parts, size_t count, struct arena *arena,
                 struct store_round *round, struct results_paths *ret_paths, struct error *err)
{
    struct results_paths paths = {0};
    if (!count)
        return error_set(err, E_REQUIRED, "parts", "the round has no parts");
    struct arena scratch; /* the result unpacked is larger than what is kept of it */
    struct results_round from;
    arena_init(&scratch, LIMIT_ROUND_ARENA);
    int rc = read_parts(type, parts, count, &scratch, &from, err);
    if (!rc)
        rc = take_fingerprint(&from, &scratch, &round->fingerprint, err);
    if (rc == -E_LIMIT)
        rc = error_set(err, E_RANGE, "parts", "the round is too large when it is unpacked");
    if (!rc)
        rc = extract_metrics(&from, arena, round, err);
    if (!rc)
        rc = results_paths(&from, arena, &paths, err);
    arena_done(&scratch);
    if (!rc)
        rc = pack_body(type, parts, count, arena, round, err);
    if (!rc)
        *ret_paths = paths;
    return rc;
}

/* The parts of body and detail in one list. */
static int join_parts(const struct store_round *round, struct arena *arena, struct field_list *ret_parts,
                      struct error *err)
{
    struct body body, detail = {.parts = {.items = NULL}};
    int rc = field_from_cbor(&body_table, round->body, round->body_size, &body, arena, err);
    if (!rc && round->detail_size)
        rc = field_from_cbor(&body_table, round->detail, round->detail_size, &detail, arena, err);
    if (rc || !detail.parts.count) {
        *ret_parts = body.parts;
        return rc;
    }
    size_t count = body.parts.count + detail.parts.count;
    struct message_part *parts = arena_alloc_array(arena, count, sizeof *parts);
    if (!parts)
        return error_set(err, E_LIMIT, "parts", "the round does not fit the memory of this request");
    if (body.parts.count)
        memcpy(parts, body.parts.items, body.parts.count * sizeof *parts);
    memcpy(parts + body.parts.count, detail.parts.items, detail.parts.count * sizeof *parts);
    *ret_parts = (struct field_list){.items = parts, .count = count};
    return 0;
}

int results_unpack(const struct measure_type *type, const struct store_round *round, struct arena *arena,
                   struct results_round *ret_round, struct error *err)
{
    struct field_list parts = {.items = NULL};
    struct error inner = {0};
    int rc = join_parts(round, arena, &parts, &inner);
    if (!rc)
        rc = read_parts(type, parts.items, parts.count, arena, ret_round, &inner);
    if (rc && rc != -E_LIMIT)
        return error_set(err, E_CORRUPT, inner.where, "round %lld of agent %llu does not read: %s",
                         (long long)round->round_id, (unsigned long long)round->agent_id, inner.text);
    if (rc && err)
        *err = inner;
    return rc;
}

/* --- metrics ------------------------------------------------------------------------------------------------------ */

double results_metric(const struct store_round *round, unsigned metric_id)
{
    for (size_t i = 0; i < round->metric_count; i++) {
        if (round->metrics[i].id == metric_id)
            return round->metrics[i].value;
    }
    return (double)NAN;
}

enum results_state results_state(const struct measure_type *type, const struct store_round *round)
{
    enum results_state worst = RESULTS_NO_DATA;
    for (size_t i = 0; i < round->metric_count; i++) {
        if (round->metrics[i].id == RESULTS_METRIC_ERROR)
            return RESULTS_CRITICAL;
        if (round->metrics[i].id >= type->metric_count)
            continue;
        enum results_state state = results_state_of(&type->metrics[round->metrics[i].id], round->metrics[i].value);
        if (state != RESULTS_NO_DATA && (worst == RESULTS_NO_DATA || state > worst))
            worst = state;
    }
    return worst;
}

int results_metric_find(const struct measure_type *type, const char *id)
{
    for (size_t i = 0; i < type->metric_count; i++) {
        if (str_equal(type->metrics[i].id, id))
            return (int)i;
    }
    return -1;
}
