#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/ping_show.h"
#include "cli/probing.h"
#include "wire/json.h"

#define PIECES_PROBES 100000u /* probes of all hosts that one set of rounds reserves in the engine */
#define MIN_PIECE 16u
#define MAX_PIECE 1000u       /* less than LIMIT_STREAM_PROBES: a session needs some of its numbers itself */
#define ICMP_PAYLOAD 56u      /* what people are used to */

/* --- options ------------------------------------------------------------------------------------------------------ */

/* In the order of enum probe_mode_want. */
static const char *const mode_words[] = {"auto", "sack", "syn", NULL};

struct options {
    int64_t count;
    double interval_s;
    bool is_adaptive;
    int32_t size, deadline_s;
    int mode;
};

static const struct field option_fields[] = {
    FIELD_I64(struct options, count, "count", (.min = 1, .max = 1e12, .letter = 'c'),
              "Probes to each host; without end when not given"),
    FIELD_F64(struct options, interval_s, "interval",
              (.min = 0.001, .max = 3600, .preset = "1", .unit = "s", .letter = 'i'),
              "Time between two probes to a host"),
    FIELD_BOOL(struct options, is_adaptive, "adaptive", (.preset = "false", .letter = 'A'),
               "Send every 1.5 round-trip times, at least 10 ms apart, instead"),
    FIELD_I32(struct options, size, "size",
              (.min = 0, .max = PROBE_PING_MAX_PAYLOAD, .unit = "bytes", .letter = 's'),
              "Payload of a probe; when not given 56 for ICMP and none for TCP"),
    FIELD_I32(struct options, deadline_s, "deadline", (.min = 1, .max = 1e9, .unit = "s", .letter = 'w'),
              "End after this time"),
    FIELD_ENUM(struct options, mode, "mode", mode_words, (.preset = "auto"),
               "How TCP probes the host: one SYN for each probe, or SACK within one connection; auto prefers SACK"),
};

const struct field_table ping_option_table =
    FIELD_TABLE("PingOptions", struct options, option_fields, NULL, "How oculi ping probes");

static const struct probing_command command = {
    .name = "ping",
    .synopsis = "HOST...",
    .about = "Loss, latency and jitter from here to hosts, all at once. An interrupt ends it and prints the summary",
    .options = &ping_option_table,
    .record = &ping_record_table,
    .hosts_max = LIMIT_COMMAND_HOSTS,
};

/* --- hosts -------------------------------------------------------------------------------------------------------- */

struct host {
    struct session *session;
    struct probing_host host;
    struct stream stream;
    char prefix[80]; /* "" = the only one */
    bool is_over;
};

struct session {
    struct probing probing;
    struct options options;
    struct host *hosts;
    struct probe_modes *modes; /* what is known of TCP hosts */
    size_t count, over;
    struct buf text; /* lines of this turn */
    struct loop_timer deadline;
};

static void print_lines(struct session *session)
{
    probing_print(&session->probing, buf_str(&session->text));
    buf_reset(&session->text);
}

static void print_record(struct host *host)
{
    struct session *session = host->session;
    struct arena arena;
    struct ping_record record;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    ping_record_fill(&host->host, &host->stream.figures, &arena, &record);
    if (session->probing.options.is_csv) {
        csv_row(&ping_record_table, &record, &session->text);
    } else {
        json_t *json = field_to_json(&ping_record_table, &record, NULL);
        json_dump_to_buf(json, 0, &session->text);
        buf_putc(&session->text, '\n');
        json_decref(json);
    }
    arena_done(&arena);
    print_lines(session);
}

/* JSON and CSV come as hosts are done with, the table at the end. */
static void host_is_over(struct host *host)
{
    struct session *session = host->session;
    if (host->is_over)
        return;
    host->is_over = true;
    if (session->probing.options.is_json || session->probing.options.is_csv)
        print_record(host);
    if (++session->over == session->count)
        loop_stop(session->probing.place.loop);
}

static void on_event(void *user, const struct stream_event *event)
{
    struct host *host = user;
    ping_show_event(host->prefix, event, &host->session->text);
    print_lines(host->session);
}

static void on_stream_done(void *user)
{
    host_is_over(user);
}

static int64_t gap_ns(const struct options *options)
{
    return options->is_adaptive ? 0 : (int64_t)(options->interval_s * 1e9 + 0.5);
}

static uint32_t piece_of(const struct session *session)
{
    uint32_t share = PIECES_PROBES / (uint32_t)session->count;
    return share > MAX_PIECE ? MAX_PIECE : share < MIN_PIECE ? MIN_PIECE : share;
}

static uint32_t size_of(const struct session *session)
{
    if (session->options.size != FIELD_NO_I32)
        return (uint32_t)session->options.size;
    return session->probing.protocol == PROBE_ICMP ? ICMP_PAYLOAD : 0;
}

static bool shows_lines(const struct probing_options *options)
{
    return !options->is_quiet && !options->is_json && !options->is_csv;
}

/* Hosts start one after the other within an interval, so that their probes do not leave in bursts. */
static void on_resolved(void *user)
{
    struct host *host = user;
    struct session *session = host->session;
    const struct options *options = &session->options;
    struct stream *stream = &host->stream;
    struct error err;
    if (host->host.error) {
        host_is_over(host);
        return;
    }
    int64_t gap = gap_ns(options), spread = gap && gap < CLOCK_S ? gap : CLOCK_S;
    probe_ping_defaults(&stream->settings.ping);
    stream->settings.ping.dst = host->host.addr;
    stream->settings.ping.src = session->probing.place.source;
    stream->settings.ping.protocol = session->probing.protocol;
    stream->settings.ping.payload_bytes = size_of(session);
    stream->settings.ping.dscp = (uint8_t)session->probing.options.dscp;
    rng_secret(&stream->settings.ping.flow_seed, sizeof stream->settings.ping.flow_seed);
    stream->settings.want = (enum probe_mode_want)options->mode;
    stream->memory = session->modes;
    stream->settings.gap_ns = gap;
    stream->settings.delay_ns = spread / (int64_t)session->count * (host - session->hosts);
    stream->settings.count = options->count == FIELD_NO_I64 ? 0 : (uint64_t)options->count;
    stream->settings.piece = piece_of(session);
    stream->settings.keeps_rtts = session->probing.options.is_json;
    stream->loop = session->probing.place.loop;
    stream->engine = session->probing.place.engine;
    stream->event = shows_lines(&session->probing.options) ? on_event : NULL;
    stream->done = on_stream_done;
    stream->user = host;
    if (stream_start(stream, &err) != 0) {
        host->host.error = arena_strdup(&session->probing.arena, err.text);
        host_is_over(host);
    } else if (session->count == 1 && stream->event) {
        char text[400], protocol[40];
        buf_printf(&session->text, "%s, %s, %u bytes of payload\n",
                   probing_host_text(&host->host, text, sizeof text),
                   probing_protocol_text(&session->probing, &host->host, protocol, sizeof protocol),
                   stream->settings.ping.payload_bytes);
        print_lines(session);
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void finish(void *user)
{
    struct session *session = user;
    for (size_t i = 0; i < session->count; i++) {
        struct host *host = &session->hosts[i];
        probing_give_up(&host->host);
        if (host->stream.loop)
            stream_finish(&host->stream);
        host_is_over(host);
    }
}

static void print_summary(struct session *session)
{
    struct arena arena;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    struct ping_record *records = arena_alloc_array(&arena, session->count, sizeof *records);
    for (size_t i = 0; i < session->count; i++)
        ping_record_fill(&session->hosts[i].host, &session->hosts[i].stream.figures, &arena, &records[i]);
    if (shows_lines(&session->probing.options))
        buf_putc(&session->text, '\n');
    ping_show_summary(records, session->count, &session->text);
    print_lines(session);
    arena_done(&arena);
}

static int status_of(const struct session *session)
{
    if (session->probing.is_output_broken)
        return PROBING_FAILED;
    int status = PROBING_ANSWERED;
    for (size_t i = 0; i < session->count; i++) {
        const struct host *host = &session->hosts[i];
        if (host->host.error || (host->stream.figures.sent == 0 && host->stream.figures.refused))
            return PROBING_FAILED;
        if (host->stream.figures.received == 0)
            status = PROBING_SILENT;
    }
    return status;
}

static int start(struct session *session, struct error *err)
{
    struct probing *probing = &session->probing;
    int rc = probing_on_interrupt(probing, finish, session, err);
    session->count = probing->host_count;
    session->modes = probe_modes_new(0);
    session->hosts = mem_alloc_array(session->count, sizeof *session->hosts);
    for (size_t i = 0; rc == 0 && i < session->count; i++) {
        struct host *host = &session->hosts[i];
        host->session = session;
        rc = probing_resolve(probing, probing->hosts[i], &host->host, on_resolved, host, err);
        if (session->count > 1)
            (void)snprintf(host->prefix, sizeof host->prefix, "%s", probing->hosts[i]);
    }
    session->deadline = (struct loop_timer){.fn = finish, .user = session};
    if (session->options.deadline_s != FIELD_NO_I32)
        loop_timer_start(probing->place.loop, &session->deadline,
                         loop_now_ns(probing->place.loop) + session->options.deadline_s * CLOCK_S);
    return rc;
}

int cli_ping(int argc, char **argv)
{
    struct session session = {0};
    struct probing *probing = &session.probing;
    struct error err;
    int status = probing_open(probing, &command, argc, argv, &session.options);
    buf_init(&session.text, LIMIT_RESPONSE_BYTES);
    if (status < 0) {
        if (session.probing.options.is_csv)
            csv_header(&ping_record_table, &session.text);
        int rc = start(&session, &err);
        if (rc == 0)
            rc = loop_run(probing->place.loop);
        else
            cli_complain(&err);
        if (rc == 0 && !probing->options.is_json && !probing->options.is_csv)
            print_summary(&session);
        status = rc ? PROBING_FAILED : status_of(&session);
    }
    probing_close(probing);
    for (size_t i = 0; session.hosts && i < session.count; i++)
        stream_done(&session.hosts[i].stream);
    mem_free(session.hosts);
    probe_modes_free(session.modes);
    buf_done(&session.text);
    return status;
}
