#include "cli/stream.h"

#include <math.h>
#include <stdlib.h>
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
#define CHANGE_NS (10 * CLOCK_S)   /* of a round of TCP, until SYNs take the place of SACK */

#define TOLD_SILENT 1u
#define TOLD_ALL 2u

/* Of a round that is over, kept while a round runs that may have overtaken it. */
struct stream_answer {
    int64_t tx_ns, rx_ns;
    bool is_counted; /* as overtaken */
};

/* One round. */
struct stream_piece {
    struct stream *stream;
    struct stream_piece *next;
    struct probe_mode *mode; /* TCP */
    struct probe_ping *ping; /* ICMP */
    const struct probe_ping_result *shown; /* the one that told is of */
    struct arena arena;
    int64_t start_ns;   /* none of its probes left before */
    uint64_t first;     /* probes of the stream before it */
    uint32_t count;
    uint32_t open;      /* all before it have been told */
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

static void count_round(struct stream *stream, const struct stream_piece *piece, const struct probe_ping_result *result)
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
    for (uint32_t i = 0; i < result->probe_count; i++) {
        const struct probe_ping_probe *probe = &result->probes[i];
        if (probe->status == PROBE_PING_ANSWERED) {
            tally_add(&figures->tally, probe_ping_rtt_ns(probe));
            keep_rtt(stream, piece->first + i, (probe_ping_rtt_ns(probe) + 500) / 1000);
        } else if (probe->status == PROBE_PING_LOST || probe->status == PROBE_PING_ERROR) {
            keep_rtt(stream, piece->first + i, -1);
        }
    }
}

static void note_mode(struct stream_figures *figures, const struct probe_mode_result *mode)
{
    figures->is_sack = mode->mode == PROBE_PING_SACK;
    figures->is_unsupported = mode->is_unsupported;
    (void)str_copy(figures->mode_reason, sizeof figures->mode_reason, mode->text ? mode->text : "");
    (void)str_copy(figures->interference, sizeof figures->interference, mode->interference ? mode->interference : "");
    if (isnan(mode->sack_loss))
        return;
    figures->has_compared = true;
    figures->sack_loss = mode->sack_loss;
    figures->syn_loss = mode->syn_loss;
}

/* --- what overtakes ----------------------------------------------------------------------------------------------- */

static int by_departure(const void *a, const void *b)
{
    const struct stream_answer *one = a, *other = b;
    return (one->tx_ns > other->tx_ns) - (one->tx_ns < other->tx_ns);
}

static void keep_answers(struct stream *stream, const struct probe_ping_result *result)
{
    if (stream->answer_count + result->received > stream->answer_room) {
        size_t room = 2 * (stream->answer_count + result->received);
        stream->answers = mem_resize(stream->answers, stream->answer_room * sizeof *stream->answers,
                                     room * sizeof *stream->answers);
        stream->answer_room = room;
    }
    for (uint32_t i = 0; i < result->probe_count; i++) {
        const struct probe_ping_probe *probe = &result->probes[i];
        if (probe->status == PROBE_PING_ANSWERED && stream->answer_count < stream->answer_room)
            stream->answers[stream->answer_count++] = (struct stream_answer){probe->tx_ns, probe->rx_ns, false};
    }
}

/* Answers that came after one to a probe that left later, of whatever round: rounds overlap. What came before all rounds
 * that run began was overtaken by none of their probes, and overtook none. */
static void count_reordered(struct stream *stream, const struct probe_ping_result *result)
{
    int64_t horizon_ns = INT64_MAX, first_ns = INT64_MAX;
    size_t kept = 0;
    keep_answers(stream, result);
    for (const struct stream_piece *piece = stream->pieces; piece; piece = piece->next)
        horizon_ns = piece->start_ns < horizon_ns ? piece->start_ns : horizon_ns;
    if (stream->answer_count)
        qsort(stream->answers, stream->answer_count, sizeof *stream->answers, by_departure);
    for (size_t end = stream->answer_count, at; end > 0; end = at) {
        int64_t together_ns = INT64_MAX; /* those that left at once overtake each other not */
        for (at = end; at > 0 && stream->answers[at - 1].tx_ns == stream->answers[end - 1].tx_ns; at--) {
            struct stream_answer *answer = &stream->answers[at - 1];
            bool is_overtaken = !answer->is_counted && answer->rx_ns > first_ns;
            stream->figures.reordered += is_overtaken;
            answer->is_counted |= is_overtaken;
            together_ns = answer->rx_ns < together_ns ? answer->rx_ns : together_ns;
        }
        first_ns = together_ns < first_ns ? together_ns : first_ns;
    }
    for (size_t i = 0; i < stream->answer_count; i++) {
        if (stream->answers[i].rx_ns > horizon_ns)
            stream->answers[kept++] = stream->answers[i];
    }
    stream->answer_count = kept;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell(struct stream *stream, const struct stream_event *event)
{
    if (stream->event)
        stream->event(stream->user, event);
}

static void tell_answer(struct stream *stream, uint64_t number, const struct probe_ping_probe *probe)
{
    stream->heard++;
    stream->heard_ns += (double)probe_ping_rtt_ns(probe);
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

static const struct probe_ping_result *result_of(const struct stream_piece *piece)
{
    return piece->mode ? probe_mode_result(piece->mode)->ping : probe_ping_result(piece->ping);
}

/* Once for each reason: rounds that follow know it too. */
static void tell_mode(struct stream *stream, const struct probe_mode_result *mode)
{
    struct stream_event event = {.kind = STREAM_NOTE, .text = mode->text};
    bool is_plain = mode->reason == PROBE_MODE_ASKED || mode->reason == PROBE_MODE_PREFERRED;
    if (mode->text && !is_plain && mode->reason != stream->noted)
        tell(stream, &event);
    stream->noted = mode->reason;
}

/* SYNs have taken the place of SACK: the numbers of the round begin anew. */
static void follow(struct stream_piece *piece, const struct probe_ping_result *result)
{
    if (piece->shown == result)
        return;
    if (piece->mode)
        tell_mode(piece->stream, probe_mode_result(piece->mode));
    if (piece->shown) {
        memset(piece->told, 0, piece->count);
        piece->open = 0;
        piece->stream->highest = piece->first;
    }
    piece->shown = result;
}

static void look(struct stream_piece *piece, const struct probe_ping_result *result)
{
    int64_t now = probe_engine_mono_ns(piece->stream->engine);
    follow(piece, result);
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
    int64_t gap = stream->heard ? (int64_t)(1.5 * stream->heard_ns / (double)stream->heard) : MIN_GAP_NS;
    return gap > MIN_GAP_NS ? gap : MIN_GAP_NS;
}

/* An adapted stream goes on when the last probe of the round is out; one with a rate has its time. */
static void go_on(struct stream *stream, const struct stream_piece *piece, const struct probe_ping_result *result)
{
    bool is_latest = piece->first + piece->count == stream->begun;
    bool is_out = result->probes[result->probe_count - 1].status != PROBE_PING_UNSENT;
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
    if (result->probe_count < piece->count) /* SYNs that compared: all had been tried */
        return;
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

static void on_ping_progress(void *user, const struct probe_ping_result *result)
{
    struct stream_piece *piece = user;
    struct stream *stream = piece->stream;
    look(piece, result);
    if (!has_no_way(stream)) /* else the piece is gone */
        go_on(stream, piece, result);
}

static void on_mode_progress(void *user, const struct probe_mode_result *mode)
{
    on_ping_progress(user, mode->ping);
}

static void free_piece(struct stream_piece *piece)
{
    arena_done(&piece->arena);
    mem_free(piece);
}

/* The target does not do what was asked for: the stream ends with what it has, which is nothing unless that is new. */
static void end_unsupported(struct stream_piece *piece, const struct probe_mode_result *mode)
{
    struct stream *stream = piece->stream;
    tell_mode(stream, mode);
    note_mode(&stream->figures, mode);
    unlink_piece(piece);
    free_piece(piece);
    if (stream->is_over)
        return;
    stream_finish(stream);
    complete(stream);
}

static void on_ping_done(void *user, const struct probe_ping_result *result)
{
    struct stream_piece *piece = user;
    struct stream *stream = piece->stream;
    look(piece, result);
    unlink_piece(piece);
    count_round(stream, piece, result);
    count_reordered(stream, result);
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

/* Where SYNs only compared, what was told of the round is told; what counts is another thing. */
static void on_mode_done(void *user, const struct probe_mode_result *mode)
{
    struct stream_piece *piece = user;
    if (mode->is_unsupported) {
        end_unsupported(piece, mode);
        return;
    }
    if (mode->interference && piece->shown && piece->shown != mode->ping) {
        tell_mode(piece->stream, mode);
        piece->open = piece->count;
        piece->shown = mode->ping;
    }
    note_mode(&piece->stream->figures, mode);
    on_ping_done(user, mode->ping);
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

static int start_piece(struct stream_piece *piece, const struct probe_ping_settings *ping, struct error *err)
{
    struct stream *stream = piece->stream;
    bool wants_progress = stream->event || is_adapted(stream);
    if (ping->protocol != PROBE_TCP)
        return probe_ping_start(stream->engine, ping, &piece->arena, wants_progress ? on_ping_progress : NULL,
                                on_ping_done, piece, &piece->ping, err);
    struct probe_mode_settings settings = {.ping = *ping,
                                           .syn_payload_bytes = ping->payload_bytes,
                                           .want = stream->settings.want,
                                           .memory = stream->memory,
                                           .is_part = true};
    return probe_mode_start(stream->engine, &settings, &piece->arena, wants_progress ? on_mode_progress : NULL,
                            on_mode_done, piece, &piece->mode, err);
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
    if (settings.protocol == PROBE_TCP)
        settings.ceiling_ns = 2 * settings.ceiling_ns + CHANGE_NS;
    if (is_adapted(stream) || settings.ceiling_ns > CEILING_NS)
        settings.ceiling_ns = CEILING_NS;
    piece->stream = stream;
    piece->start_ns = probe_engine_mono_ns(stream->engine);
    piece->first = stream->begun;
    piece->count = count;
    arena_init(&piece->arena, LIMIT_ROUND_ARENA);
    int rc = start_piece(piece, &settings, err);
    if (rc) {
        free_piece(piece);
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
        const struct probe_ping_result *result = result_of(piece);
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
    while (stream->pieces) { /* its done frees it */
        if (stream->pieces->mode)
            probe_mode_finish(stream->pieces->mode);
        else
            probe_ping_finish(stream->pieces->ping);
    }
}

void stream_done(struct stream *stream)
{
    tally_done(&stream->figures.tally);
    mem_free(stream->figures.rtts_us);
    mem_free(stream->answers);
}
