/* Appending: rounds on their way into the head. */
#include <assert.h>
#include <string.h>

#include "base/crc.h"
#include "base/limit.h"
#include "base/mem.h"
#include "store/sqlite/fold.h"
#include "store/sqlite/part.h"

#define PACK_FROM 1024u /* smaller bodies stay as they are: the head is folded within hours */
#define CRC_BYTES 4u

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

static void put_crc(unsigned char *dst, const void *bytes, size_t size)
{
    put_le(dst, crc32c(0, bytes, size), CRC_BYTES);
}

/* Body and detail as they are stored, one behind the other: compressed when that makes them smaller, else with a
 * checksum behind them. The stored size beside the true one tells which. */
static void pack_body(struct sqlite_store *s, const struct store_round *round, const void **ret_bytes, size_t *ret_size)
{
    size_t size = round->body_size + round->detail_size, bound = ZSTD_compressBound(size);
    buf_reset(&s->packed);
    unsigned char *plain = buf_reserve(&s->packed, size + CRC_BYTES + bound), *packed = plain + size + CRC_BYTES;
    assert(plain);
    if (round->body_size)
        memcpy(plain, round->body, round->body_size);
    if (round->detail_size)
        memcpy(plain + round->body_size, round->detail, round->detail_size);
    size_t got = size < PACK_FROM ? 0 : ZSTD_compress2(s->compressor, packed, bound, plain, size);
    bool is_smaller = got && !ZSTD_isError(got) && got < size;
    if (!is_smaller)
        put_crc(plain + size, plain, size);
    *ret_bytes = is_smaller ? packed : plain;
    *ret_size = is_smaller ? got : size + CRC_BYTES;
}

/* --- what is folded already --------------------------------------------------------------------------------------- */

void sqlite_forget_folded(struct sqlite_store *s)
{
    for (size_t i = 0; i < SQLITE_FOLDED; i++) {
        mem_free(s->folded[i].ids);
        s->folded[i] = (struct sqlite_folded){.ids = NULL};
    }
}

static int read_folded(struct sqlite_store *s, struct sqlite_folded *folded, struct error *err)
{
    struct part *part;
    int64_t day = sqlite_day_of(folded->hour);
    int rc = part_use(s, PART_RESULTS, day, false, &part, err);
    if (rc || !part)
        return rc;
    sqlite3_stmt *row = db_take(&part->db, PART_CHUNK_GET, err,
                                SQL_INTEGERS((int64_t)folded->test_id, folded->hour, (int64_t)folded->agent_id));
    int step = row ? sqlite3_step(row) : SQLITE_ERROR;
    struct arena arena;
    struct chunk *chunk;
    arena_init(&arena, FOLD_ARENA);
    if (step == SQLITE_ROW) {
        rc = chunk_open(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), part->db.path, &part->access,
                        &arena, &chunk, err);
        folded->count = rc ? 0 : chunk_count(chunk);
        folded->ids = mem_alloc_array(folded->count + 1, sizeof *folded->ids);
        for (size_t i = 0; i < folded->count; i++)
            folded->ids[i] = chunk_round_id(chunk, i);
    } else if (step != SQLITE_DONE) {
        rc = row ? db_fail(&part->db, err, "reading results") : -E_CORRUPT;
    }
    arena_done(&arena);
    if (row)
        db_give(&part->db, PART_CHUNK_GET, row);
    part_done(part);
    return rc;
}

/* Whether a round that is not in the head is in a part. */
static int is_folded(struct sqlite_store *s, const struct store_round *round, bool *ret_folded, struct error *err)
{
    int64_t hour = sqlite_hour_of(round->round_id);
    *ret_folded = false;
    if (hour > s->newest_folded)
        return 0;
    size_t at = (size_t)((round->test_id * 31 + round->agent_id * 7 + (uint64_t)hour) % SQLITE_FOLDED);
    struct sqlite_folded *folded = &s->folded[at];
    if (!folded->ids || folded->test_id != round->test_id || folded->agent_id != round->agent_id ||
        folded->hour != hour) {
        mem_free(folded->ids);
        *folded = (struct sqlite_folded){.test_id = round->test_id, .agent_id = round->agent_id, .hour = hour};
        int rc = read_folded(s, folded, err);
        if (rc)
            return rc;
        if (!folded->ids)
            folded->ids = mem_alloc(sizeof *folded->ids); /* none: remembered too */
    }
    size_t low = 0, high = folded->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (folded->ids[middle] < round->round_id)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_folded = low < folded->count && folded->ids[low] == round->round_id;
    return 0;
}

/* --- appending ---------------------------------------------------------------------------------------------------- */

static int append_one(struct sqlite_store *s, const struct store_round *round, bool *ret_new, struct error *err)
{
    bool is_there = sqlite_is_dropped(s, round->test_id);
    int rc = is_there ? 0 : is_folded(s, round, &is_there, err);
    *ret_new = false;
    if (rc || is_there)
        return rc;
    pack_metrics(&s->metrics, round);
    int64_t fingerprint, hour = sqlite_hour_of(round->round_id);
    struct sqlite_touched *touched;
    rc = fold_touch(s, hour, &touched, err);
    if (rc)
        return rc;
    memcpy(&fingerprint, &round->fingerprint, sizeof fingerprint);
    sqlite3_stmt *head = sqlite_take(s, SQL_ROUND_INSERT, err,
                                     SQL_INTEGERS(hour, (int64_t)round->test_id, round->round_id,
                                                  (int64_t)round->agent_id, round->start_s, round->end_s,
                                                  round->test_version, fingerprint, touched->next_body));
    if (!head)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(head, 10, s->metrics.size ? s->metrics.data : (const void *)"", s->metrics.size,
                              SQLITE_STATIC);
    rc = sqlite3_step(head) == SQLITE_DONE ? 0 : sqlite_fail(s, err, "appending a round");
    *ret_new = !rc && sqlite3_changes(s->main.handle) == 1;
    sqlite_give(s, SQL_ROUND_INSERT, head);
    if (rc || !*ret_new)
        return rc;

    const void *bytes;
    size_t size;
    pack_body(s, round, &bytes, &size);
    sqlite3_stmt *body =
        sqlite_take(s, SQL_BODY_INSERT, err,
                    SQL_INTEGERS(touched->next_body, (int64_t)(round->body_size + round->detail_size),
                                 (int64_t)round->detail_size));
    if (!body)
        return -E_CORRUPT;
    (void)sqlite3_bind_blob64(body, 4, bytes, size, SQLITE_STATIC);
    rc = sqlite3_step(body) == SQLITE_DONE ? 0 : sqlite_fail(s, err, "appending a round");
    sqlite_give(s, SQL_BODY_INSERT, body);
    /* Numbers of a transaction that is rolled back are lost, not used again: bodies stay in order of arrival. */
    /* (A body beyond the last that a fold takes belongs to a round it did not see.) */
    touched->next_body++;
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

int sqlite_drop_test(struct store *store, uint64_t test_id, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int rc = sqlite_run(s, SQL_DROPPED_ADD, err, NULL, SQL_INTEGERS((int64_t)test_id));
    if (!rc)
        map_put(&s->dropped, test_id, s);
    s->has_dropped = true;
    return rc;
}

/* --- rows of the head --------------------------------------------------------------------------------------------- */

static int unpack_body(struct sqlite_store *s, sqlite3_stmt *row, unsigned want, struct buf *buf,
                       struct store_round *round, struct error *err)
{
    size_t size = (size_t)sqlite3_column_int64(row, 7), stored = (size_t)sqlite3_column_bytes(row, 8);
    size_t detail = (size_t)sqlite3_column_int64(row, 9);
    const void *bytes = sqlite3_column_blob(row, 8);
    if (sqlite3_column_type(row, 8) == SQLITE_NULL || size > 2 * LIMIT_ROUND_ARENA || stored > size + CRC_BYTES || detail > size)
        return error_set(err, E_CORRUPT, s->main.path, "the body of round %lld is missing", (long long)round->round_id);
    if (stored == size + CRC_BYTES) {
        if (get_le((const unsigned char *)bytes + size, CRC_BYTES) != crc32c(0, bytes, size))
            return error_set(err, E_CORRUPT, s->main.path, "the body of round %lld is damaged: wrong checksum",
                             (long long)round->round_id);
    } else if (stored < size) {
        buf_reset(buf);
        void *dst = buf_reserve(buf, size);
        size_t got = dst ? ZSTD_decompressDCtx(s->decompressor, dst, size, bytes, stored) : 0;
        if (ZSTD_isError(got) || got != size)
            return error_set(err, E_CORRUPT, s->main.path, "the body of round %lld is damaged: %s",
                             (long long)round->round_id, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong size");
        bytes = dst;
    }
    if (want & STORE_WANT_BODY) {
        round->body = size ? bytes : "";
        round->body_size = size - detail;
    }
    if (want & STORE_WANT_DETAIL) {
        round->detail = detail ? (const char *)bytes + (size - detail) : "";
        round->detail_size = detail;
    }
    return 0;
}

int sqlite_read_row(struct sqlite_store *s, sqlite3_stmt *row, unsigned want, struct store_metric *metrics,
                    struct buf *buf, struct store_round *round, struct error *err)
{
    int64_t fingerprint = sqlite3_column_int64(row, 5);
    round->round_id = sqlite3_column_int64(row, 0);
    round->agent_id = (uint64_t)sqlite3_column_int64(row, 1);
    round->start_s = sqlite3_column_int64(row, 2);
    round->end_s = sqlite3_column_int64(row, 3);
    round->test_version = sqlite3_column_int64(row, 4);
    memcpy(&round->fingerprint, &fingerprint, sizeof fingerprint);
    if (want & STORE_WANT_METRICS) {
        const unsigned char *bytes = sqlite3_column_blob(row, 6);
        size_t size = (size_t)sqlite3_column_bytes(row, 6);
        if (size % METRIC_BYTES || size / METRIC_BYTES > STORE_ROUND_METRICS)
            return error_set(err, E_CORRUPT, s->main.path, "the metrics of round %lld are damaged",
                             (long long)round->round_id);
        round->metric_count = size / METRIC_BYTES;
        round->metrics = metrics;
        for (size_t i = 0; i < round->metric_count; i++, bytes += METRIC_BYTES) {
            uint64_t bits = get_le(bytes + 2, 8);
            metrics[i].id = (uint16_t)get_le(bytes, 2);
            memcpy(&metrics[i].value, &bits, sizeof bits);
        }
    }
    return want & (STORE_WANT_BODY | STORE_WANT_DETAIL) ? unpack_body(s, row, want, buf, round, err) : 0;
}
