#include "cli/stream.h"

#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"
#include "probe/engine.h"

#define PIECES_MAX 64u             /* rounds of one stream at once */
#define TAIL_NS (4 * CLOCK_S)      /* after the last probe of a round is due */
#define MIN_GAP_NS (10 * CLOCK_MS) /* of an adapted stream */
#define CEILING_NS (3600 * CLOCK_S) /* of a round, as the engine has it */
#define HOPELESS_REFUSALS 3u       /* when nothing was ever sent: more would say nothing new */

#define TOLD_SILENT 1u
#define TOLD_ALL 2u

/* The answer to any of some probes that came first, and when its probe had left; INT64_MAX = none. */
struct first_answer {
    int64_t tx_ns, rx_ns;
};

/* One round. */
struct stream_piece {
    struct stream *stream;
    struct stream_piece *next;
    struct probe_ping *ping;
    struct arena arena;
    uint64_t first;     /* probes of the stream before it */
    uint32_t count;
    uint32_t open;      /* all before it have been told */
    struct first_answer later; /* of later rounds that are over */
    uint8_t told[];     /* TOLD_... for each probe */
};

/* --- figures ------------------------------------------------------------------------------------------------------ */

static void keep_rtt(struct stream *stream, uint64_t index, int64_t rtt_us)
{
    struct stream_figures *figures = &stream->figures;
    if (!stream->settings.keeps_rtts || index >= LIMIT_LIST_ITEMS)
        return;
    if (index >= figures->rtt_room) {
        size_t room = figures->rtt_room ? figures->rtt_room : 64;
        while (room <= index)
            room *= 2;
        figures->rtts_us = mem_resize(figures->rtts_us, figures->rtt_room * sizeof(int64_t), room * sizeof(int64_t));
        figures->rtt_room = room;
    }
    while (figures->rtt_count <= index)
        figures->rtts_us[figures->rtt_count++] = STREAM_UNSENT;
    figures->rtts_us[index] = rtt_us;
}

static void count_round(struct stream *stream, const struct probe_ping_result *result)
{
    struct stream_figures *figures = &stream->figures;
    figures->sent += result->sent;
    figures->received += result->received;
    figures->duplicates += result->duplicates;
    figures->resets += result->resets;
    figures->errors += result->errors;
    figures->refused += result->refused;
    figures->overloaded += result->overloaded;
    figures->lost_on_return += result->lost_on_return;
    if (sock_is_set(&result->error_from)) {
        figures->error_from = result->error_from;
        figures->error_type = result->error_type;
        figures->error_code = result->error_code;
    }
    if (result->error_text && !figures->refusal[0])
        (void)str_copy(figures->refusal, sizeof figures->refusal, result->error_text);
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell(struct stream *stream, const struct stream_event *event)
{
    if (stream->event)
        stream->event(stream->user, event);
}

static void tell_answer(struct stream *stream, uint64_t number, const struct probe_ping_probe *probe)
{
    tally_add(&stream->figures.tally, probe_ping_rtt_ns(probe));
    keep_rtt(stream, number - 1, (probe_ping_rtt_ns(probe) + 500) / 1000);
    struct stream_event event = {.kind = STREAM_ANSWER,
                                 .number = number,
                                 .rtt_ns = probe_ping_rtt_ns(probe),
                                 .ttl = probe->reply_ttl,
                                 .is_out_of_order = number < stream->highest};
    stream->highest = number > stream->highest ? number : stream->highest;
    tell(stream, &event);
}

/* Tells what is new of one probe; false while more may come. */
static bool look_at(struct stream_piece *piece, const struct probe_ping_result *result, uint32_t i, int64_t now)
{
    struct stream *stream = piece->stream;
    const struct probe_ping_probe *probe = &result->probes[i];
    uint64_t number = piece->first + i + 1;
    struct stream_event event = {.number = number};
    switch ((enum probe_ping_status)probe->status) {
    case PROBE_PING_UNSENT:
    case PROBE_PING_OVERLOADED:
        return false;
    case PROBE_PING_WAITING:
    case PROBE_PING_LOST:
        stream->has_sent |= probe->tx_ns != 0;
        if (probe->status == PROBE_PING_WAITING && (probe->tx_ns == 0 || now - probe->tx_ns < STREAM_SILENCE_NS))
            return false;
        event.kind = STREAM_SILENT;
        if (!(piece->told[i] & TOLD_SILENT))
            tell(stream, &event);
        piece->told[i] |= TOLD_SILENT;
        return false;
    case PROBE_PING_ANSWERED:
        stream->has_sent = true;
        tell_answer(stream, number, probe);
        break;
    case PROBE_PING_ERROR:
        stream->has_sent = true;
        event.kind = STREAM_ERROR;
        event.rtt_ns = probe_ping_rtt_ns(probe);
        event.from = &result->error_from;
        event.icmp_type = probe->icmp_type;
        event.icmp_code = probe->icmp_code;
        tell(stream, &event);
        break;
    case PROBE_PING_REFUSED:
        stream->refusals++;
        event.kind = STREAM_REFUSED;
        event.text = result->error_text;
        tell(stream, &event);
        break;
    }
    piece->told[i] |= TOLD_ALL;
    return true;
}

static void look(struct stream_piece *piece, const struct probe_ping_result *result)
{
    int64_t now = probe_engine_mono_ns(piece->stream->engine);
    for (uint32_t i = piece->open; i < piece->count; i++) {
        if (result->probes[i].status == PROBE_PING_UNSENT && result->probes[i].tx_ns == 0)
            break;
        if (!(piece->told[i] & TOLD_ALL))
            (void)look_at(piece, result, i, now);
    }
    while (piece->open < piece->count && piece->told[piece->open] & TOLD_ALL)
        piece->open++;
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void begin_piece(struct stream *stream);

static bool is_adapted(const struct stream *stream)
{
    return stream->settings.gap_ns == 0;
}

static bool wants_more(const struct stream *stream)
{
    return stream->settings.count == 0 || stream->begun < stream->settings.count;
}

static void plan_begin(struct stream *stream, int64_t at_ns)
{
    stream->due_ns = at_ns;
    loop_timer_start(stream->loop, &stream->begin_timer, at_ns);
}

static int64_t gap_ns(const struct stream *stream)
{
    if (!is_adapted(stream))
        return stream->settings.gap_ns;
    int64_t gap = stream->figures.tally.count ? (int64_t)(1.5 * tally_mean_ns(&stream->figures.tally)) : MIN_GAP_NS;
    return gap > MIN_GAP_NS ? gap : MIN_GAP_NS;
}

/* An adapted stream goes on when the last probe of the round is out; one with a rate has its time. */
static void go_on(struct stream *stream, const struct stream_piece *piece, const struct probe_ping_result *result)
{
    bool is_latest = piece->first + piece->count == stream->begun;
    bool is_out = result->probes[piece->count - 1].status != PROBE_PING_UNSENT;
    if (is_adapted(stream) && is_latest && is_out && wants_more(stream) && !loop_timer_is_armed(&stream->begin_timer))
        plan_begin(stream, probe_engine_mono_ns(stream->engine) + gap_ns(stream));
}

static void unlink_piece(struct stream_piece *piece)
{
    struct stream *stream = piece->stream;
    struct stream_piece **at = &stream->pieces;
    while (*at != piece)
        at = &(*at)->next;
    *at = piece->next;
    stream->piece_count--;
}

static void end(struct stream *stream)
{
    stream->is_over = true;
    loop_timer_stop(stream->loop, &stream->begin_timer);
    loop_timer_stop(stream->loop, &stream->look_timer);
}

static void complete(struct stream *stream)
{
    end(stream);
    if (stream->done)
        stream->done(stream->user);
}

/* Probes at the end of a round that were not even tried: their numbers are given again. */
static void take_back(struct stream *stream, const struct stream_piece *piece, const struct probe_ping_result *result)
{
    uint32_t tried = piece->count;
    while (tried > 0 && result->probes[tried - 1].status == PROBE_PING_UNSENT)
        tried--;
    if (tried == piece->count || piece->first + piece->count != stream->begun)
        return;
    stream->begun = piece->first + tried;
    plan_begin(stream, probe_engine_mono_ns(stream->engine) + gap_ns(stream));
}

/* Our kernel takes nothing for this host: the stream ends. True = it has. */
static bool has_no_way(struct stream *stream)
{
    if (stream->has_sent || stream->refusals < HOPELESS_REFUSALS || stream->is_over)
        return false;
    stream_finish(stream);
    complete(stream);
    return true;
}

static void on_progress(void *user, const struct probe_ping_result *result)
{
    struct stream_piece *piece = user;
    struct stream *stream = piece->stream;
    look(piece, result);
    if (!has_no_way(stream)) /* else the piece is gone */
        go_on(stream, piece, result);
}

static void take_answer(struct first_answer *first, const struct probe_ping_probe *probe)
{
    if (probe->status == PROBE_PING_ANSWERED && probe->rx_ns < first->rx_ns)
        *first = (struct first_answer){probe->tx_ns, probe->rx_ns};
}

/* The first answers to probes of another round that left after each of this one's. Both left in the order of their numbers. */
static void take_later(const struct stream_piece *other, const struct probe_ping_result *result, int64_t *first_ns)
{
    const struct probe_ping_result *theirs = probe_ping_result(other->ping);
    struct first_answer first = {INT64_MAX, INT64_MAX};
    uint32_t left = other->count;
    for (uint32_t i = result->probe_count; i > 0; i--) {
        int64_t tx_ns = result->probes[i - 1].tx_ns; /* 0 = it never left */
        for (; tx_ns && left > 0 && (!theirs->probes[left - 1].tx_ns || theirs->probes[left - 1].tx_ns > tx_ns); left--)
            take_answer(&first, &theirs->probes[left - 1]);
        first_ns[i - 1] = first.rx_ns < first_ns[i - 1] ? first.rx_ns : first_ns[i - 1];
    }
}

/* Answers that came after one to a probe that left later, of this round or of another: a round that is late may still send
 * when the next has begun. The round's own count is of itself only, and contains SYN+ACKs that turned out to be second
 * ones. */
static uint64_t count_reordered(struct stream_piece *piece, const struct probe_ping_result *result)
{
    struct first_answer own = {INT64_MAX, INT64_MAX};
    uint64_t count = 0;
    int64_t *first_ns = mem_alloc_array(piece->count, sizeof *first_ns);
    for (uint32_t i = 0; i < piece->count; i++)
        first_ns[i] = result->probes[i].tx_ns < piece->later.tx_ns ? piece->later.rx_ns : INT64_MAX;
    for (struct stream_piece *other = piece->stream->pieces; other; other = other->next) {
        if (other->first > piece->first)
            take_later(other, result, first_ns);
    }
    for (uint32_t i = piece->count; i > 0; i--) {
        const struct probe_ping_probe *probe = &result->probes[i - 1];
        count += probe->status == PROBE_PING_ANSWERED && (probe->rx_ns > first_ns[i - 1] || probe->rx_ns > own.rx_ns);
        take_answer(&own, probe);
    }
    mem_free(first_ns);
    for (struct stream_piece *other = piece->stream->pieces; other; other = other->next) {
        if (other->first < piece->first && own.rx_ns < other->later.rx_ns)
            other->later = own;
    }
    return count;
}

/* Why the session did not work, NULL when it did or when that says nothing about SACK. */
static const char *obstacle_of(const struct probe_ping_result *result)
{
    switch (result->session) {
    case PROBE_SESSION_REFUSED:
        return "the host refuses the connection that SACK needs";
    case PROBE_SESSION_NOT_PERMITTED:
        return "the host does not permit SACK";
    case PROBE_SESSION_NO_SACK:
        return "no SACK came back";
    case PROBE_SESSION_TOO_FAST:
        return "something on the way answers in the host's name";
    case PROBE_SESSION_NONE:
    case PROBE_SESSION_OPEN:
    case PROBE_SESSION_SILENT:
    case PROBE_SESSION_UNREACHABLE:
    case PROBE_SESSION_UNSENT:
    case PROBE_SESSION_RESET:
    case PROBE_SESSION_FINISHED:
        break;
    }
    return NULL;
}

/* What was measured in a session without SACK tells nothing: the stream begins anew with SYNs, or ends. */
static void give_up_sack(struct stream *stream, const char *obstacle)
{
    struct stream_figures *figures = &stream->figures;
    bool is_forced = stream->settings.mode == STREAM_SACK;
    struct stream_event event = {.kind = STREAM_NOTE, .text = obstacle};
    tally_done(&figures->tally);
    mem_free(figures->rtts_us);
    *figures = (struct stream_figures){.mode_reason = obstacle, .unsupported = is_forced ? obstacle : NULL};
    stream->begun = stream->highest = 0;
    stream->has_no_sack = true;
    tell(stream, &event);
    if (is_forced) {
        stream_finish(stream);
        complete(stream);
        return;
    }
    plan_begin(stream, probe_engine_mono_ns(stream->engine));
}

static void free_piece(struct stream_piece *piece)
{
    unlink_piece(piece);
    arena_done(&piece->arena);
    mem_free(piece);
}

static void on_done(void *user, const struct probe_ping_result *result)
{
    struct stream_piece *piece = user;
    struct stream *stream = piece->stream;
    const char *obstacle = obstacle_of(result);
    if (obstacle && !stream->is_over) {
        free_piece(piece);
        if (!stream->has_no_sack)
            give_up_sack(stream, obstacle);
        return;
    }
    look(piece, result);
    for (uint32_t i = 0; i < piece->count; i++) {
        if (result->probes[i].status == PROBE_PING_LOST || result->probes[i].status == PROBE_PING_ERROR)
            keep_rtt(stream, piece->first + i, -1);
    }
    count_round(stream, result);
    stream->figures.reordered += count_reordered(piece, result);
    bool is_hopeless = stream->figures.sent == 0 && stream->figures.refused > 0;
    if (!stream->is_over && !is_hopeless) {
        take_back(stream, piece, result);
        go_on(stream, piece, result);
    }
    free_piece(piece);
    bool is_complete = !wants_more(stream) && stream->piece_count == 0;
    if (!stream->is_over && (is_hopeless || is_complete)) {
        if (is_hopeless)
            stream_finish(stream);
        complete(stream);
    }
}

/* A round may not last longer than an hour. */
static uint32_t piece_of(const struct stream *stream)
{
    uint64_t left = stream->settings.count ? stream->settings.count - stream->begun : UINT64_MAX;
    uint32_t count = stream->settings.piece;
    if (!is_adapted(stream) && count > (CEILING_NS - TAIL_NS) / stream->settings.gap_ns)
        count = (uint32_t)((CEILING_NS - TAIL_NS) / stream->settings.gap_ns);
    count = count ? count : 1;
    return left < count ? (uint32_t)left : count;
}

static bool is_sack(const struct stream *stream)
{
    return stream->settings.ping.protocol == PROBE_TCP && stream->settings.mode != STREAM_SYN && !stream->has_no_sack;
}

static void note_mode(struct stream *stream)
{
    struct stream_figures *figures = &stream->figures;
    figures->is_sack = is_sack(stream);
    if (stream->settings.ping.protocol != PROBE_TCP || figures->mode_reason)
        return;
    figures->mode_reason = stream->settings.mode == STREAM_AUTO ? "the host permits it" : "as asked";
}

static int try_piece(struct stream *stream, struct error *err)
{
    uint32_t count = piece_of(stream);
    if (stream->piece_count >= PIECES_MAX)
        return error_set(err, E_LIMIT, "", "too many probes are far apart and unanswered");
    struct stream_piece *piece = mem_alloc(sizeof *piece + count);
    struct probe_ping_settings settings = stream->settings.ping;
    settings.count = count;
    settings.gap_ns = stream->settings.gap_ns;
    settings.ceiling_ns = (count - 1) * stream->settings.gap_ns + TAIL_NS;
    if (is_adapted(stream) || settings.ceiling_ns > CEILING_NS)
        settings.ceiling_ns = CEILING_NS;
    if (is_sack(stream)) {
        settings.mode = PROBE_PING_SACK;
        settings.is_forced = stream->settings.mode == STREAM_SACK;
    }
    note_mode(stream);
    piece->stream = stream;
    piece->first = stream->begun;
    piece->count = count;
    piece->later = (struct first_answer){INT64_MAX, INT64_MAX};
    arena_init(&piece->arena, LIMIT_ROUND_ARENA);
    bool wants_progress = stream->event || is_adapted(stream);
    int rc = probe_ping_start(stream->engine, &settings, &piece->arena, wants_progress ? on_progress : NULL, on_done,
                              piece, &piece->ping, err);
    if (rc == -E_LIMIT && is_sack(stream) && stream->settings.mode == STREAM_AUTO && stream->begun == 0) {
        stream->has_no_sack = true;
        stream->figures.mode_reason = "no local port is left for the connection that SACK needs";
        settings.mode = PROBE_PING_SYN;
        note_mode(stream);
        rc = probe_ping_start(stream->engine, &settings, &piece->arena, wants_progress ? on_progress : NULL, on_done,
                              piece, &piece->ping, err);
    }
    if (rc) {
        arena_done(&piece->arena);
        mem_free(piece);
        return rc;
    }
    piece->next = stream->pieces;
    stream->pieces = piece;
    stream->piece_count++;
    stream->begun += count;
    if (!is_adapted(stream) && wants_more(stream))
        plan_begin(stream, stream->due_ns + count * stream->settings.gap_ns);
    return 0;
}

/* The engine is full for now: the probe is refused, and the stream goes on. */
static void begin_piece(struct stream *stream)
{
    struct error err;
    if (!wants_more(stream) || stream->is_over || try_piece(stream, &err) == 0)
        return;
    struct stream_event event = {.kind = STREAM_REFUSED, .number = ++stream->begun, .text = err.text};
    stream->figures.refused++;
    if (!stream->figures.refusal[0])
        (void)str_copy(stream->figures.refusal, sizeof stream->figures.refusal, err.text);
    tell(stream, &event);
    if (wants_more(stream))
        plan_begin(stream, stream->due_ns + gap_ns(stream));
    else if (stream->piece_count == 0)
        complete(stream);
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static void on_begin(void *user)
{
    begin_piece(user);
}

/* Nobody waits for what is silent when nothing is told. */
static int64_t look_gap_ns(const struct stream *stream)
{
    return stream->event || is_adapted(stream) ? STREAM_SILENCE_NS / 2 : 4 * STREAM_SILENCE_NS;
}

static void on_look(void *user)
{
    struct stream *stream = user;
    for (struct stream_piece *piece = stream->pieces; piece; piece = piece->next) {
        const struct probe_ping_result *result = probe_ping_result(piece->ping);
        look(piece, result);
        if (has_no_way(stream))
            return;
        go_on(stream, piece, result);
    }
    loop_timer_start(stream->loop, &stream->look_timer, loop_now_ns(stream->loop) + look_gap_ns(stream));
}

int stream_start(struct stream *stream, struct error *err)
{
    stream->begin_timer = (struct loop_timer){.fn = on_begin, .user = stream};
    stream->look_timer = (struct loop_timer){.fn = on_look, .user = stream};
    stream->due_ns = loop_now_ns(stream->loop) + stream->settings.delay_ns;
    loop_timer_start(stream->loop, &stream->look_timer, stream->due_ns + STREAM_SILENCE_NS);
    if (stream->settings.delay_ns == 0)
        return try_piece(stream, err);
    plan_begin(stream, stream->due_ns);
    return 0;
}

void stream_finish(struct stream *stream)
{
    if (stream->is_over)
        return;
    end(stream);
    while (stream->pieces)
        probe_ping_finish(stream->pieces->ping); /* calls on_done, which frees the piece */
}

void stream_done(struct stream *stream)
{
    tally_done(&stream->figures.tally);
    mem_free(stream->figures.rtts_us);
}
