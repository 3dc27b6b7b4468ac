#include "store/sqlite/sqlite.h"

#include <assert.h>
#include <string.h>

#include "base/limit.h"

#define HOUR_S 3600
#define METRIC_BYTES 10 /* a metric in storage: id (2) and value (8), both little-endian */

static int64_t hour_of(int64_t round_id)
{
    return round_id >= 0 ? round_id / HOUR_S : -((-(round_id + 1)) / HOUR_S) - 1;
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

static void put_le(unsigned char *dst, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        dst[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *src, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)src[i] << (8 * i);
    return value;
}

static void pack_metrics(struct buf *buf, const struct store_round *round)
{
    buf_reset(buf);
    for (size_t i = 0; i < round->metric_count; i++) {
        unsigned char bytes[METRIC_BYTES];
        uint64_t bits;
        memcpy(&bits, &round->metrics[i].value, sizeof bits);
        put_le(bytes, round->metrics[i].id, 2);
        put_le(bytes + 2, bits, 8);
        buf_put(buf, bytes, sizeof bytes);
    }
    assert(!buf->is_overflowed);
}

/* A body as it is stored: compressed when that makes it smaller. The stored size beside `size` tells which. */
static void pack_body(struct sqlite_store *s, const struct store_round *round, const void **ret_bytes, size_t *ret_size)
{
    buf_reset(&s->packed);
    size_t bound = ZSTD_compressBound(round->body_size);
    void *dst = buf_reserve(&s->packed, bound);
    size_t packed = dst ? ZSTD_compress2(s->compressor, dst, bound, round->body, round->body_size) : 0;
    if (dst && !ZSTD_isError(packed) && packed < round->body_size) {
        *ret_bytes = dst;
        *ret_size = packed;
    } else {
        *ret_bytes = round->body_size ? round->body : "";
        *ret_size = round->body_size;
    }
}

/* --- appending ---------------------------------------------------------------------------------------------------- */

static int append_one(struct sqlite_store *s, const struct store_round *round, bool *ret_new, struct error *err)
{
    pack_metrics(&s->metrics, round);
    int64_t fingerprint;
    memcpy(&fingerprint, &round->fingerprint, sizeof fingerprint);
    sqlite3_stmt *head = sqlite_take(s, SQL_ROUND_INSERT, err,
                                     SQL_INTEGERS(hour_of(round->round_id), (int64_t)round->test_id, round->round_id,
                                                  (int64_t)round->agent_id, round->start_s, round->end_s,
                                                  round->test_version, fingerprint, s->next_body));
    if (!head)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(head, 10, s->metrics.size ? s->metrics.data : (const void *)"", s->metrics.size,
                              SQLITE_STATIC);
    int rc = sqlite3_step(head) == SQLITE_DONE ? 0 : sqlite_fail(s, err, "appending a round");
    *ret_new = !rc && sqlite3_changes(s->db) == 1;
    sqlite_give(s, SQL_ROUND_INSERT, head);
    if (rc || !*ret_new)
        return rc;

    const void *bytes;
    size_t size;
    pack_body(s, round, &bytes, &size);
    sqlite3_stmt *body = sqlite_take(s, SQL_BODY_INSERT, err, SQL_INTEGERS(s->next_body, (int64_t)round->body_size));
    if (!body)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(body, 3, bytes, size, SQLITE_STATIC);
    rc = sqlite3_step(body) == SQLITE_DONE ? 0 : sqlite_fail(s, err, "appending a round");
    sqlite_give(s, SQL_BODY_INSERT, body);
    /* Numbers of a transaction that is rolled back are lost, not used again: bodies stay in order of arrival. */
    s->next_body++;
    return rc;
}

int sqlite_append(struct store *store, const struct store_round *rounds, size_t count, size_t *ret_new, bool *is_new,
                  struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    size_t fresh = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_fresh;
        int rc = append_one(s, &rounds[i], &is_fresh, err);
        if (rc)
            return rc;
        fresh += is_fresh;
        if (is_new)
            is_new[i] = is_fresh;
    }
    *ret_new = fresh;
    return fresh ? sqlite_run(s, SQL_TALLY_ADD, err, NULL, SQL_INTEGERS((int64_t)fresh)) : 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reading {
    struct sqlite_store *s;
    const struct store_query *query;
    struct store_span span;
    store_round_fn *fn;
    void *user;
    size_t told;
    bool is_over; /* fn has had enough, or the query's maximum is reached */
    struct store_metric metrics[STORE_ROUND_METRICS];
    struct buf body;
};

static int unpack_body(struct reading *r, sqlite3_stmt *row, struct store_round *round, struct error *err)
{
    size_t size = (size_t)sqlite3_column_int64(row, 7), stored = (size_t)sqlite3_column_bytes(row, 8);
    const void *bytes = sqlite3_column_blob(row, 8);
    if (sqlite3_column_type(row, 8) == SQLITE_NULL || size > LIMIT_ROUND_ARENA || stored > size)
        return error_set(err, E_CORRUPT, r->s->path, "the body of round %lld is missing", (long long)round->round_id);
    round->body_size = size;
    round->body = size ? bytes : "";
    if (stored == size)
        return 0;
    buf_reset(&r->body);
    void *dst = buf_reserve(&r->body, size);
    size_t got = ZSTD_decompressDCtx(r->s->decompressor, dst, size, bytes, stored);
    if (ZSTD_isError(got) || got != size)
        return error_set(err, E_CORRUPT, r->s->path, "the body of round %lld is damaged: %s",
                         (long long)round->round_id, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong size");
    round->body = dst;
    return 0;
}

static int tell(struct reading *r, sqlite3_stmt *row, struct error *err)
{
    int64_t fingerprint = sqlite3_column_int64(row, 5);
    struct store_round round = {
        .test_id = r->query->test_id,
        .round_id = sqlite3_column_int64(row, 0),
        .agent_id = (uint64_t)sqlite3_column_int64(row, 1),
        .start_s = sqlite3_column_int64(row, 2),
        .end_s = sqlite3_column_int64(row, 3),
        .test_version = sqlite3_column_int64(row, 4),
    };
    memcpy(&round.fingerprint, &fingerprint, sizeof fingerprint);
    if (r->query->want & STORE_WANT_METRICS) {
        const unsigned char *bytes = sqlite3_column_blob(row, 6);
        size_t size = (size_t)sqlite3_column_bytes(row, 6);
        if (size % METRIC_BYTES || size / METRIC_BYTES > STORE_ROUND_METRICS)
            return error_set(err, E_CORRUPT, r->s->path, "the metrics of round %lld are damaged",
                             (long long)round.round_id);
        round.metric_count = size / METRIC_BYTES;
        round.metrics = r->metrics;
        for (size_t i = 0; i < round.metric_count; i++, bytes += METRIC_BYTES) {
            uint64_t bits = get_le(bytes + 2, 8);
            r->metrics[i].id = (uint16_t)get_le(bytes, 2);
            memcpy(&r->metrics[i].value, &bits, sizeof bits);
        }
    }
    int rc = r->query->want & STORE_WANT_BODY ? unpack_body(r, row, &round, err) : 0;
    if (!rc)
        r->is_over = !r->fn(r->user, &round) || ++r->told == r->query->max;
    return rc;
}

static int read_hour(struct reading *r, int64_t hour, struct error *err)
{
    static const enum sqlite_statement statements[2][2] = {
        {SQL_ROUND_UP, SQL_ROUND_UP_BODY},
        {SQL_ROUND_DOWN, SQL_ROUND_DOWN_BODY},
    };
    enum sqlite_statement which = statements[r->query->is_descending][(r->query->want & STORE_WANT_BODY) != 0];
    const struct store_span *span = &r->span;
    sqlite3_stmt *statement =
        sqlite_take(r->s, which, err,
                    SQL_INTEGERS(hour, (int64_t)r->query->test_id, span->low_round, span->low_agent, span->high_round,
                                 span->high_agent, (int64_t)r->query->agent_id));
    if (!statement)
        return -E_CORRUPT;
    int rc = 0;
    while (!rc && !r->is_over) {
        int step = sqlite3_step(statement);
        if (step == SQLITE_DONE)
            break;
        rc = step == SQLITE_ROW ? tell(r, statement, err) : sqlite_fail(r->s, err, "reading rounds");
    }
    sqlite_give(r->s, which, statement);
    return rc;
}

/* The next hour at or after (before, when descending) `hour` in which anything is stored. */
static int seek_hour(struct sqlite_store *s, bool is_descending, int64_t hour, int64_t *ret_hour, struct error *err)
{
    return is_descending ? sqlite_number(s, SQL_HOUR_PREVIOUS, INT64_MIN, ret_hour, err, SQL_INTEGERS(hour))
                         : sqlite_number(s, SQL_HOUR_NEXT, INT64_MAX, ret_hour, err, SQL_INTEGERS(hour));
}

int sqlite_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                  struct error *err)
{
    struct reading r = {.s = sqlite_of(store), .query = query, .span = store_query_span(query), .fn = fn, .user = user};
    int64_t first = hour_of(r.span.low_round), last = hour_of(r.span.high_round);
    int64_t hour = query->is_descending ? last : first;
    buf_init(&r.body, LIMIT_ROUND_ARENA);
    int rc = 0;
    while (!rc && !r.is_over) {
        rc = seek_hour(r.s, query->is_descending, hour, &hour, err);
        if (rc || hour < first || hour > last)
            break;
        rc = read_hour(&r, hour, err);
        hour += query->is_descending ? -1 : 1;
    }
    buf_done(&r.body);
    return rc;
}

static int hour_ids(struct sqlite_store *s, int64_t hour, uint64_t test_id, int64_t from_s, int64_t until_s,
                    struct buf *ids, struct error *err)
{
    sqlite3_stmt *statement = sqlite_take(s, SQL_ROUND_IDS, err, SQL_INTEGERS(hour, (int64_t)test_id, from_s, until_s));
    if (!statement)
        return -E_CORRUPT;
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(statement, 0);
        buf_put(ids, &id, sizeof id);
    }
    int rc = step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "reading rounds");
    sqlite_give(s, SQL_ROUND_IDS, statement);
    return rc;
}

int sqlite_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                     int64_t **ret_ids, size_t *ret_count, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int64_t hour = hour_of(from_s), last = hour_of(until_s);
    struct buf ids;
    buf_init(&ids, arena->ceiling);
    int rc = 0;
    while (!rc) {
        rc = seek_hour(s, false, hour, &hour, err);
        if (rc || hour > last)
            break;
        rc = hour_ids(s, hour, test_id, from_s, until_s, &ids, err);
        hour++;
    }
    int64_t *items = rc || ids.is_overflowed ? NULL : arena_alloc(arena, ids.size + sizeof(int64_t));
    if (!rc && !items)
        rc = error_set(err, E_LIMIT, "rounds", "too many rounds for one answer; ask for a shorter time");
    if (!rc) {
        if (ids.size)
            memcpy(items, ids.data, ids.size);
        *ret_ids = items;
        *ret_count = ids.size / sizeof(int64_t);
    }
    buf_done(&ids);
    return rc;
}

/* --- dropping ----------------------------------------------------------------------------------------------------- */

int sqlite_drop(struct store *store, uint64_t test_id, int64_t before_s, int64_t *position, size_t *ret_dropped,
                struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int64_t hour;
    int rc = seek_hour(s, false, *position, &hour, err);
    if (rc)
        return rc;
    if (hour == INT64_MAX || hour > hour_of(before_s)) {
        *position = INT64_MAX;
        return 0;
    }
    int gone = 0;
    size_t count = test_id ? 3 : 2;
    const int64_t integers[] = {hour, before_s, (int64_t)test_id};
    rc = sqlite_run(s, test_id ? SQL_DROP_TEST_BODIES : SQL_DROP_BODIES, err, NULL, count, integers);
    if (!rc)
        rc = sqlite_run(s, test_id ? SQL_DROP_TEST_ROUNDS : SQL_DROP_ROUNDS, err, &gone, count, integers);
    if (!rc && gone)
        rc = sqlite_run(s, SQL_TALLY_ADD, err, NULL, SQL_INTEGERS(-(int64_t)gone));
    if (!rc) {
        *position = hour + 1;
        *ret_dropped = (size_t)gone;
    }
    return rc;
}
