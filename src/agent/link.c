#include "agent/link.h"

#include <assert.h>
#include <stdio.h>
#include <zstd.h>

#include "agent/backoff.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "wire/cbor.h"
#include "wire/message.h"

#define LINK_TIMEOUT_S 60
#define LINK_ZSTD_LEVEL 3
#define LINK_RETRY_AFTER_MAX_S 600

struct link {
    struct link_settings settings;
    struct http_job *job;
    struct loop_timer timer; /* until the next batch is made */
    struct backoff backoff;
    struct link_counts counts;
    int64_t clock_offset_ns; /* FIELD_NO_I64 = unknown */
    /* The batch being made or sent. */
    size_t ceiling_rounds; /* halved by 413, doubled by success */
    size_t rounds;
    struct spool_mark mark;
    struct buf records, body, packed;
    ZSTD_CCtx *zstd;
};

static void start_timer(struct link *link, int64_t delay_ns)
{
    loop_timer_start(link->settings.loop, &link->timer, loop_now_ns(link->settings.loop) + delay_ns);
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static bool on_record(void *user, const struct record *record)
{
    struct link *link = user;
    bool is_full = link->rounds >= link->ceiling_rounds ||
                   (link->rounds > 0 && link->records.size + record->size > LIMIT_BATCH_BYTES);
    if (is_full)
        return false;
    buf_put(&link->records, record->bytes, record->size);
    link->rounds++;
    return true;
}

/* Rounds are CBOR in the spool already: the AgentBatch around them is written by hand, not decoded and encoded. */
static void make_batch(struct link *link)
{
    bool has_offset = link->clock_offset_ns != FIELD_NO_I64;
    link->rounds = 0;
    buf_reset(&link->records);
    (void)spool_read(link->settings.spool, on_record, link, &link->mark);
    buf_reset(&link->body);
    cbor_put_map(&link->body, has_offset ? 3 : 2);
    cbor_put_text(&link->body, "agentId", 7);
    cbor_put_u64(&link->body, link->settings.agent_id);
    if (has_offset) {
        cbor_put_text(&link->body, "clockOffset", 11);
        cbor_put_i64(&link->body, link->clock_offset_ns);
    }
    cbor_put_text(&link->body, "rounds", 6);
    cbor_put_array(&link->body, link->rounds);
    buf_put(&link->body, link->records.data, link->records.size);
    assert(!link->body.is_overflowed);
}

static void pack(struct link *link)
{
    buf_reset(&link->packed);
    size_t bound = ZSTD_compressBound(link->body.size);
    void *to = buf_reserve(&link->packed, bound);
    assert(to);
    size_t size = ZSTD_compressCCtx(link->zstd, to, bound, link->body.data, link->body.size, LINK_ZSTD_LEVEL);
    assert(!ZSTD_isError(size));
    buf_grow(&link->packed, size);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void try_later(struct link *link, const struct http_answer *answer)
{
    int64_t delay_ns = backoff_next_ns(&link->backoff, link->settings.rng);
    int64_t asked_s = answer->retry_after_s < LINK_RETRY_AFTER_MAX_S ? answer->retry_after_s : LINK_RETRY_AFTER_MAX_S;
    if (asked_s * CLOCK_S > delay_ns)
        delay_ns = asked_s * CLOCK_S;
    start_timer(link, delay_ns);
}

static bool set_aside(void *user, const struct record *record)
{
    struct link *link = user;
    if (link->rounds == 0)
        return false;
    spool_set_aside(link->settings.spool, record, "too large or malformed");
    link->rounds = 0;
    return true;
}

static void on_too_much(struct link *link)
{
    if (link->rounds > 1) {
        link->ceiling_rounds = link->rounds / 2;
        start_timer(link, 0);
        return;
    }
    (void)spool_read(link->settings.spool, set_aside, link, &link->mark);
    spool_ack(link->settings.spool, &link->mark);
    /* Slowly: should the server be wrong about all of them, little is set aside before somebody looks. */
    start_timer(link, backoff_next_ns(&link->backoff, link->settings.rng));
}

static void on_receipt(struct link *link, const struct http_answer *answer)
{
    struct arena arena;
    struct message_receipt receipt;
    arena_init(&arena, 4096);
    bool is_good =
        field_from_cbor(&message_receipt_table, answer->body, answer->body_size, &receipt, &arena, NULL) == 0 &&
        field_check(&message_receipt_table, &receipt, NULL) == 0 &&
        receipt.accepted + receipt.duplicates + receipt.refused == (int64_t)link->rounds;
    arena_done(&arena);
    if (!is_good) {
        link->settings.contact(link->settings.user, CONTACT_AWAY, "the receipt does not cover the batch");
        try_later(link, answer);
        return;
    }
    spool_ack(link->settings.spool, &link->mark);
    link->counts.uploaded += link->rounds;
    link->counts.duplicates += (uint64_t)receipt.duplicates;
    link->counts.refused += (uint64_t)receipt.refused;
    link->counts.last_upload_s = clock_wall_ns(&clock_real) / CLOCK_S;
    link->ceiling_rounds =
        link->ceiling_rounds * 2 < LIMIT_BATCH_ROUNDS ? link->ceiling_rounds * 2 : LIMIT_BATCH_ROUNDS;
    backoff_reset(&link->backoff);
    link->settings.contact(link->settings.user, CONTACT_OK, "");
    start_timer(link, 0);
}

static void on_answer(void *user, const struct http_answer *answer)
{
    struct link *link = user;
    link->job = NULL;
    bool is_too_much =
        answer->status == 413 || ((answer->status == 400 || answer->status == 422) && answer->is_problem);
    if (answer->status == 200) {
        on_receipt(link, answer);
    } else if (is_too_much) {
        on_too_much(link);
    } else {
        link->settings.contact(link->settings.user, answer->status == 401 ? CONTACT_REFUSED : CONTACT_AWAY,
                               answer->error);
        try_later(link, answer);
    }
}

static void on_timer(void *user)
{
    struct link *link = user;
    make_batch(link);
    if (link->rounds == 0) { /* until link_kick; catching up may have taken megabytes */
        buf_done(&link->records);
        buf_done(&link->body);
        buf_done(&link->packed);
        return;
    }
    pack(link);
    struct http_request request = {.method = "POST",
                                   .path = "/oculi/v1/agent/results",
                                   .authorization = link->settings.authorization,
                                   .body = link->packed.data,
                                   .body_size = link->packed.size,
                                   .is_zstd = true,
                                   .timeout_s = LINK_TIMEOUT_S};
    link->job = http_start(link->settings.http, &request, on_answer, link);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void link_kick(struct link *link)
{
    if (!link->job && !loop_timer_is_armed(&link->timer))
        start_timer(link, LINK_GATHER_MS * CLOCK_MS);
}

bool link_is_idle(const struct link *link)
{
    return !link->job && !loop_timer_is_armed(&link->timer);
}

void link_set_clock_offset(struct link *link, int64_t offset_ns)
{
    link->clock_offset_ns = offset_ns;
}

void link_counts(const struct link *link, struct link_counts *ret_counts)
{
    *ret_counts = link->counts;
}

struct link *link_new(const struct link_settings *settings)
{
    struct link *link = mem_alloc(sizeof *link);
    link->settings = *settings;
    link->timer = (struct loop_timer){.fn = on_timer, .user = link};
    link->clock_offset_ns = FIELD_NO_I64;
    link->ceiling_rounds = LIMIT_BATCH_ROUNDS;
    buf_init(&link->records, LIMIT_BATCH_BYTES + LIMIT_SPOOL_RECORD_BYTES);
    buf_init(&link->body, link->records.ceiling + 4096);
    buf_init(&link->packed, ZSTD_compressBound(link->body.ceiling));
    link->zstd = ZSTD_createCCtx();
    assert(link->zstd);
    start_timer(link, 0); /* what an earlier process left */
    return link;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->job)
        http_cancel(link->job);
    loop_timer_stop(link->settings.loop, &link->timer);
    buf_done(&link->records);
    buf_done(&link->body);
    buf_done(&link->packed);
    (void)ZSTD_freeCCtx(link->zstd);
    mem_free(link);
}
