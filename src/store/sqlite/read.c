/* Reading rounds: hour by hour, what is folded and what is still in the head as one sequence. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "store/sqlite/fold.h"
#include "store/sqlite/part.h"

struct piece { /* the chunks of one agent's hour */
    uint64_t agent_id;
    struct chunk *rounds, *details;
    bool has_details; /* were looked for */
};

struct place { /* a folded round of the hour */
    int64_t round_id;
    uint32_t piece, row;
};

struct reading {
    struct sqlite_store *s;
    const struct store_query *query;
    struct store_span span;
    store_round_fn *fn;
    void *user;
    size_t told;
    bool is_over; /* fn has had enough, or the query's maximum is reached */
    struct store_metric metrics[STORE_ROUND_METRICS];
    struct buf body, detail;
    /* Of the hour that is read. */
    struct arena arena;
    struct part *results, *details;
    struct piece *pieces;
    struct place *places;
    size_t piece_count, place_count, place_next;
};

/* --- folded hours ------------------------------------------------------------------------------------------------- */

static int compare_span(const struct store_span *span, int64_t round_id, uint64_t agent_id)
{
    int64_t agent = (int64_t)agent_id;
    if (round_id < span->low_round || (round_id == span->low_round && agent <= span->low_agent))
        return -1;
    return round_id > span->high_round || (round_id == span->high_round && agent >= span->high_agent);
}

static int compare_places(const void *a, const void *b, void *user)
{
    const struct place *x = a, *y = b;
    const struct reading *r = user;
    if (x->round_id != y->round_id)
        return x->round_id < y->round_id ? -1 : 1;
    uint64_t p = r->pieces[x->piece].agent_id, q = r->pieces[y->piece].agent_id;
    return p < q ? -1 : p > q;
}

static void *copy_blob(struct reading *r, sqlite3_stmt *row, int column, size_t *ret_size)
{
    *ret_size = (size_t)sqlite3_column_bytes(row, column);
    void *copy = arena_alloc(&r->arena, *ret_size + 1);
    if (copy && *ret_size)
        memcpy(copy, sqlite3_column_blob(row, column), *ret_size);
    return copy;
}

static int add_piece(struct reading *r, sqlite3_stmt *row, struct buf *pieces, struct error *err)
{
    struct piece piece = {.agent_id = (uint64_t)sqlite3_column_int64(row, 0)};
    size_t size;
    void *bytes = copy_blob(r, row, 1, &size);
    if (!bytes)
        return error_set(err, E_LIMIT, r->results->db.path, "an hour of results does not fit the memory for it");
    int rc = chunk_open(bytes, size, r->results->db.path, &r->results->access, &r->arena, &piece.rounds, err);
    if (!rc)
        buf_put(pieces, &piece, sizeof piece);
    return rc;
}

static int place_rounds(struct reading *r, struct error *err)
{
    size_t count = 0;
    for (size_t p = 0; p < r->piece_count; p++)
        count += chunk_count(r->pieces[p].rounds);
    r->places = arena_alloc_array(&r->arena, count + 1, sizeof *r->places);
    if (!r->places)
        return error_set(err, E_LIMIT, r->results->db.path, "an hour of results does not fit the memory for it");
    for (size_t p = 0; p < r->piece_count; p++) {
        const struct piece *piece = &r->pieces[p];
        for (size_t i = 0; i < chunk_count(piece->rounds); i++) {
            struct place place = {
                .round_id = chunk_round_id(piece->rounds, i), .piece = (uint32_t)p, .row = (uint32_t)i};
            if (compare_span(&r->span, place.round_id, piece->agent_id) == 0)
                r->places[r->place_count++] = place;
        }
    }
    qsort_r(r->places, r->place_count, sizeof *r->places, compare_places, r);
    return 0;
}

/* Opens what is folded of an hour. */
static int open_hour(struct reading *r, int64_t hour, struct error *err)
{
    int rc = part_use(r->s, PART_RESULTS, sqlite_day_of(hour), false, &r->results, err);
    if (rc || !r->results)
        return rc;
    sqlite3_stmt *row = db_take(&r->results->db, PART_CHUNKS, err,
                                SQL_INTEGERS((int64_t)r->query->test_id, hour, (int64_t)r->query->agent_id));
    if (!row)
        return -E_CORRUPT;
    struct buf pieces;
    int step = SQLITE_DONE;
    buf_init(&pieces, FOLD_ARENA);
    while (!rc && (step = sqlite3_step(row)) == SQLITE_ROW)
        rc = add_piece(r, row, &pieces, err);
    if (!rc && step != SQLITE_DONE)
        rc = db_fail(&r->results->db, err, "reading results");
    db_give(&r->results->db, PART_CHUNKS, row);
    r->piece_count = pieces.size / sizeof *r->pieces;
    r->pieces = arena_alloc(&r->arena, pieces.size + 1);
    if (!rc && !r->pieces)
        rc = error_set(err, E_LIMIT, r->results->db.path, "an hour of results does not fit the memory for it");
    if (!rc && pieces.size)
        memcpy(r->pieces, pieces.data, pieces.size);
    buf_done(&pieces);
    return rc ? rc : place_rounds(r, err);
}

static void close_hour(struct reading *r)
{
    part_done(r->results);
    part_done(r->details);
    r->results = r->details = NULL;
    r->piece_count = r->place_count = r->place_next = 0;
    arena_reset(&r->arena);
}

/* The details of an agent's hour: none when they are past their time. */
static int open_details(struct reading *r, struct piece *piece, int64_t hour, struct error *err)
{
    int rc = r->details ? 0 : part_use(r->s, PART_DETAILS, sqlite_day_of(hour), false, &r->details, err);
    piece->has_details = !rc;
    if (rc || !r->details)
        return rc;
    sqlite3_stmt *row = db_take(&r->details->db, PART_CHUNK_GET, err,
                                SQL_INTEGERS((int64_t)r->query->test_id, hour, (int64_t)piece->agent_id));
    if (!row)
        return -E_CORRUPT;
    int step = sqlite3_step(row);
    if (step == SQLITE_ROW) {
        size_t size;
        void *bytes = copy_blob(r, row, 0, &size);
        rc = bytes ? chunk_open(bytes, size, r->details->db.path, &r->details->access, &r->arena, &piece->details, err)
                   : error_set(err, E_LIMIT, r->details->db.path, "an hour of results does not fit the memory for it");
    } else if (step != SQLITE_DONE) {
        rc = db_fail(&r->details->db, err, "reading results");
    }
    db_give(&r->details->db, PART_CHUNK_GET, row);
    return rc;
}

static int read_detail(struct reading *r, struct piece *piece, struct store_round *round, struct error *err)
{
    int rc = piece->has_details ? 0 : open_details(r, piece, sqlite_hour_of(round->round_id), err);
    round->detail = "";
    round->detail_size = 0;
    if (rc || !piece->details)
        return rc;
    size_t low = 0, high = chunk_count(piece->details);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (chunk_round_id(piece->details, middle) < round->round_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == chunk_count(piece->details) || chunk_round_id(piece->details, low) != round->round_id)
        return 0;
    buf_reset(&r->detail);
    rc = chunk_body(piece->details, low, &r->detail, err);
    round->detail = r->detail.size ? (const void *)r->detail.data : "";
    round->detail_size = r->detail.size;
    return rc;
}

static void tell(struct reading *r, const struct store_round *round)
{
    r->is_over = !r->fn(r->user, round) || ++r->told == r->query->max;
}

static int tell_folded(struct reading *r, const struct place *place, struct error *err)
{
    struct piece *piece = &r->pieces[place->piece];
    struct store_round round = {.test_id = r->query->test_id, .agent_id = piece->agent_id};
    int rc = chunk_row(piece->rounds, place->row, &round, err);
    if (!(r->query->want & STORE_WANT_METRICS)) {
        round.metrics = NULL;
        round.metric_count = 0;
    }
    if (!rc && r->query->want & STORE_WANT_BODY) {
        buf_reset(&r->body);
        rc = chunk_body(piece->rounds, place->row, &r->body, err);
        round.body = r->body.size ? (const void *)r->body.data : "";
        round.body_size = r->body.size;
    }
    if (!rc && r->query->want & STORE_WANT_DETAIL)
        rc = read_detail(r, piece, &round, err);
    if (!rc)
        tell(r, &round);
    return rc;
}

/* --- both together ------------------------------------------------------------------------------------------------ */

static const struct place *next_place(const struct reading *r)
{
    if (r->place_next == r->place_count)
        return NULL;
    return &r->places[r->query->is_descending ? r->place_count - 1 - r->place_next : r->place_next];
}

/* Tells the folded rounds that stand before a round of the head; *ret_same: and one is that round. */
static int tell_up_to(struct reading *r, int64_t round_id, uint64_t agent_id, bool *ret_same, struct error *err)
{
    const struct place *place;
    *ret_same = false;
    while (!r->is_over && (place = next_place(r))) {
        uint64_t agent = r->pieces[place->piece].agent_id;
        int order = place->round_id != round_id ? (place->round_id < round_id ? -1 : 1)
                                                : (agent < agent_id ? -1 : agent > agent_id);
        if (r->query->is_descending)
            order = -order;
        if (order > 0)
            return 0;
        int rc = tell_folded(r, place, err);
        if (rc)
            return rc;
        r->place_next++;
        *ret_same = order == 0;
        if (order == 0)
            return 0;
    }
    return 0;
}

static int tell_rest(struct reading *r, struct error *err)
{
    const struct place *place;
    int rc = 0;
    while (!rc && !r->is_over && (place = next_place(r))) {
        rc = tell_folded(r, place, err);
        r->place_next++;
    }
    return rc;
}

static int tell_head(struct reading *r, sqlite3_stmt *row, struct error *err)
{
    bool is_same;
    struct store_round round = {.test_id = r->query->test_id};
    int rc = tell_up_to(r, sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1), &is_same, err);
    if (rc || r->is_over || is_same)
        return rc;
    rc = sqlite_read_row(r->s, row, r->query->want, r->metrics, &r->body, &round, err);
    if (!rc)
        tell(r, &round);
    return rc;
}

static int read_hour(struct reading *r, int64_t hour, struct error *err)
{
    static const enum sqlite_statement statements[2][2] = {
        {SQL_ROUND_UP, SQL_ROUND_UP_BODY},
        {SQL_ROUND_DOWN, SQL_ROUND_DOWN_BODY},
    };
    bool has_body = r->query->want & (STORE_WANT_BODY | STORE_WANT_DETAIL);
    enum sqlite_statement which = statements[r->query->is_descending][has_body];
    const struct store_span *span = &r->span;
    int rc = open_hour(r, hour, err);
    sqlite3_stmt *statement =
        rc ? NULL
           : sqlite_take(r->s, which, err,
                         SQL_INTEGERS(hour, (int64_t)r->query->test_id, span->low_round, span->low_agent,
                                      span->high_round, span->high_agent, (int64_t)r->query->agent_id));
    if (!rc && !statement)
        rc = -E_CORRUPT;
    while (!rc && !r->is_over) {
        int step = sqlite3_step(statement);
        if (step == SQLITE_DONE)
            break;
        rc = step == SQLITE_ROW ? tell_head(r, statement, err) : sqlite_fail(r->s, err, "reading rounds");
    }
    if (statement)
        sqlite_give(r->s, which, statement);
    if (!rc && !r->is_over)
        rc = tell_rest(r, err);
    close_hour(r);
    return rc;
}

/* The nearest hour at or after (before, when descending) `hour` in which a part has rounds of the test. */
static int seek_folded(struct sqlite_store *s, uint64_t test_id, bool is_descending, int64_t hour, int64_t last,
                       int64_t *ret_hour, struct error *err)
{
    int64_t none = is_descending ? INT64_MIN : INT64_MAX;
    *ret_hour = none;
    for (int64_t day = sqlite_day_of(hour);; day += is_descending ? -1 : 1) {
        struct part *part;
        int rc = sqlite_number(s, is_descending ? SQL_SERIES_PREVIOUS : SQL_SERIES_NEXT, none, &day, err,
                               SQL_INTEGERS((int64_t)test_id, day));
        if (rc || day == none || (is_descending ? day < sqlite_day_of(last) : day > sqlite_day_of(last)))
            return rc;
        rc = part_use(s, PART_RESULTS, day, false, &part, err);
        if (rc)
            return rc;
        if (part)
            rc = db_number(&part->db, is_descending ? PART_HOUR_PREVIOUS : PART_HOUR_NEXT, none, ret_hour, err,
                           SQL_INTEGERS((int64_t)test_id, hour));
        part_done(part);
        if (rc || *ret_hour != none)
            return rc;
    }
}

/* The next hour at or after (before, when descending) `hour` in which anything may be stored. */
static int seek_hour(struct sqlite_store *s, uint64_t test_id, bool is_descending, int64_t hour, int64_t last,
                     int64_t *ret_hour, struct error *err)
{
    int64_t head, folded;
    int rc = is_descending ? sqlite_number(s, SQL_HOUR_PREVIOUS, INT64_MIN, &head, err, SQL_INTEGERS(hour))
                           : sqlite_number(s, SQL_HOUR_NEXT, INT64_MAX, &head, err, SQL_INTEGERS(hour));
    if (!rc)
        rc = seek_folded(s, test_id, is_descending, hour, last, &folded, err);
    if (!rc)
        *ret_hour = (is_descending ? head > folded : head < folded) ? head : folded;
    return rc;
}

int sqlite_rounds(struct store *store, const struct store_query *query, store_round_fn *fn, void *user,
                  struct error *err)
{
    struct reading r = {.s = sqlite_of(store), .query = query, .span = store_query_span(query), .fn = fn, .user = user};
    int64_t first = sqlite_hour_of(r.span.low_round), last = sqlite_hour_of(r.span.high_round);
    int64_t hour = query->is_descending ? last : first;
    if (sqlite_is_dropped(r.s, query->test_id))
        return 0;
    buf_init(&r.body, 2 * LIMIT_ROUND_ARENA);
    buf_init(&r.detail, 2 * LIMIT_ROUND_ARENA);
    arena_init(&r.arena, FOLD_ARENA);
    int rc = 0;
    while (!rc && !r.is_over) {
        rc = seek_hour(r.s, query->test_id, query->is_descending, hour, query->is_descending ? first : last, &hour,
                       err);
        if (rc || hour < first || hour > last)
            break;
        rc = read_hour(&r, hour, err);
        hour += query->is_descending ? -1 : 1;
    }
    buf_done(&r.body);
    buf_done(&r.detail);
    arena_done(&r.arena);
    return rc;
}

/* --- round ids ---------------------------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int folded_ids(struct sqlite_store *s, uint64_t test_id, int64_t hour, struct buf *ids, struct error *err)
{
    struct part *part;
    struct arena arena;
    int step = SQLITE_DONE, rc = part_use(s, PART_RESULTS, sqlite_day_of(hour), false, &part, err);
    if (rc || !part)
        return rc;
    sqlite3_stmt *row = db_take(&part->db, PART_CHUNKS, err, SQL_INTEGERS((int64_t)test_id, hour, 0));
    if (!row) {
        part_done(part);
        return -E_CORRUPT;
    }
    arena_init(&arena, FOLD_ARENA);
    while (!rc && (step = sqlite3_step(row)) == SQLITE_ROW) {
        struct chunk *chunk;
        rc = chunk_open(sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1), part->db.path, &part->access,
                        &arena, &chunk, err);
        for (size_t i = 0; !rc && i < chunk_count(chunk); i++) {
            int64_t id = chunk_round_id(chunk, i);
            buf_put(ids, &id, sizeof id);
        }
        arena_reset(&arena);
    }
    if (!rc && step != SQLITE_DONE)
        rc = db_fail(&part->db, err, "reading results");
    arena_done(&arena);
    db_give(&part->db, PART_CHUNKS, row);
    part_done(part);
    return rc;
}

static int head_ids(struct sqlite_store *s, uint64_t test_id, int64_t hour, struct buf *ids, struct error *err)
{
    sqlite3_stmt *row = sqlite_take(s, SQL_ROUND_IDS, err, SQL_INTEGERS(hour, (int64_t)test_id));
    int step;
    if (!row)
        return -E_CORRUPT;
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(row, 0);
        buf_put(ids, &id, sizeof id);
    }
    int rc = step == SQLITE_DONE ? 0 : sqlite_fail(s, err, "reading rounds");
    sqlite_give(s, SQL_ROUND_IDS, row);
    return rc;
}

/* Those of an hour, each once and in order, as far as they are in the window. */
static void put_distinct(struct buf *of_hour, int64_t from_s, int64_t until_s, struct buf *ids)
{
    int64_t *items = (void *)of_hour->data;
    size_t count = of_hour->size / sizeof *items;
    if (count)
        qsort(items, count, sizeof *items, compare_ids);
    for (size_t i = 0; i < count; i++) {
        if (items[i] >= from_s && items[i] < until_s && (!i || items[i] != items[i - 1]))
            buf_put(ids, &items[i], sizeof *items);
    }
    buf_reset(of_hour);
}

static int collect_ids(struct sqlite_store *s, uint64_t test_id, int64_t from_s, int64_t until_s, struct buf *ids,
                       struct error *err)
{
    int64_t hour = sqlite_hour_of(from_s), last = sqlite_hour_of(until_s);
    struct buf of_hour;
    int rc = 0;
    buf_init(&of_hour, FOLD_ARENA);
    while (!rc && !sqlite_is_dropped(s, test_id)) {
        rc = seek_hour(s, test_id, false, hour, last, &hour, err);
        if (rc || hour > last)
            break;
        rc = folded_ids(s, test_id, hour, &of_hour, err);
        if (!rc)
            rc = head_ids(s, test_id, hour, &of_hour, err);
        put_distinct(&of_hour, from_s, until_s, ids);
        hour++;
    }
    buf_done(&of_hour);
    return rc;
}

int sqlite_round_ids(struct store *store, uint64_t test_id, int64_t from_s, int64_t until_s, struct arena *arena,
                     int64_t **ret_ids, size_t *ret_count, struct error *err)
{
    struct buf ids;
    buf_init(&ids, arena->ceiling);
    int rc = collect_ids(sqlite_of(store), test_id, from_s, until_s, &ids, err);
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
