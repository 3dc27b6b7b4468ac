#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/geo_hops.h"
#include "cli/paths_show.h"
#include "cli/probing.h"
#include "cli/shared_options.h"
#include "cli/show.h"
#include "wire/json.h"

#define DRAW_NS (100 * CLOCK_MS)
#define NAMES_NS (2 * CLOCK_S)
#define ARENA_BYTES (64u << 20) /* some MB at the ceilings of the search */
#define NAMES_MAX 1024u

/* --- options ------------------------------------------------------------------------------------------------------ */

struct options {
    double confidence, wait_s;
    bool is_strict, is_verbose;
    int32_t max_probes, max_paths, path_probes, max_ttl, gap_limit, time_limit_s;
    const char *geo_dir;
};

static const struct field option_fields[] = {
    FIELD_F64(struct options, confidence, "confidence",
              (.min = 50, .max = 99.99, .preset = "95", .unit = "%", .letter = 'c'),
              "That no interface is missed, if balancers spread flows evenly"),
    FIELD_BOOL(struct options, is_strict, "strict", (.preset = "false", .letter = 's'),
               "Test every router by itself, which is confident of every link too and takes several times the probes"),
    FIELD_I32(struct options, max_probes, "maxProbes", (.min = 1, .max = LIMIT_EXHAUSTIVE_PROBES, .preset = "5000"),
              "Probes of the search at most"),
    FIELD_I32(struct options, max_paths, "maxPaths",
              (.min = 0, .max = LIMIT_EXHAUSTIVE_PATHS, .preset = "16", .letter = 'P'),
              "Distinct paths to tell and measure at most"),
    FIELD_I32(struct options, path_probes, "pathProbes",
              (.min = 0, .max = LIMIT_EXHAUSTIVE_PATH_PROBES, .preset = "10", .letter = 'k'),
              "Probes along each path, for its loss and round-trip time"),
    OPTION_MAX_TTL(struct options, max_ttl),
    OPTION_GAP_LIMIT(struct options, gap_limit, "a path is given up"),
    FIELD_F64(struct options, wait_s, "wait", (.min = 0.001, .max = 10, .preset = "1", .unit = "s", .letter = 'w'),
              "How long an answer is waited for while no round-trip time is known"),
    FIELD_I32(struct options, time_limit_s, "timeLimit", (.min = 1, .max = 3600, .preset = "15", .unit = "s"),
              "End the search after this time with what it has"),
    OPTION_VERBOSE(struct options, is_verbose),
    OPTION_GEO_DIR(struct options, geo_dir),
};

const struct field_table paths_option_table =
    FIELD_TABLE("PathsOptions", struct options, option_fields, NULL, "How oculi paths probes");

static const struct probing_command command = {
    .name = "paths",
    .synopsis = "HOST",
    .about = "All paths of load balancers to a host, to a stated confidence, with loss and latency of each",
    .options = &paths_option_table,
    .record = &paths_record_table,
    .hosts_max = 1,
    .has_udp = true,
};

/* --- the search --------------------------------------------------------------------------------------------------- */

struct session {
    struct probing probing;
    struct options options;
    struct probing_host host;
    struct probe_exhaustive *search; /* NULL = not running */
    const struct probe_exhaustive_result *result; /* when it is over */
    struct names_wait *naming;
    struct geo *geo;
    struct arena arena; /* of the search */
    const char *source_ip;
    struct show_screen screen;
    struct loop_timer draw_timer;
};

static bool is_text(const struct session *session)
{
    return !session->probing.options.is_json && !session->probing.options.is_csv;
}

static void fill(struct session *session, const struct probe_exhaustive_result *result, struct arena *arena,
                 struct paths_record *record)
{
    field_defaults(&paths_record_table, record);
    record->server = session->host.name;
    record->server_ip = session->host.address;
    record->source_ip = session->source_ip;
    record->protocol = (int)session->probing.protocol;
    if (session->host.port)
        record->port = session->host.port;
    if (result)
        paths_record_fill(result, session->probing.names, session->geo, arena, record);
    record->is_strict = session->options.is_strict;
    if (session->host.error)
        record->error_details = session->host.error;
}

static void put_text(struct session *session, const struct paths_record *record, struct buf *buf)
{
    char text[400], protocol[40];
    buf_printf(buf, "%s, %s\n", probing_host_text(&session->host, text, sizeof text),
               probing_protocol_text(&session->probing, &session->host, protocol, sizeof protocol));
    if (record->error_details)
        buf_printf(buf, "%s\n", record->error_details);
    else if (session->probing.options.is_quiet)
        paths_show_end(record, buf);
    else
        paths_show(record, session->options.is_verbose, buf);
}

static void on_draw(void *user)
{
    struct session *session = user;
    struct arena arena;
    struct paths_record record;
    struct buf text;
    if (!session->search)
        return;
    arena_init(&arena, ARENA_BYTES);
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    fill(session, probe_exhaustive_result(session->search), &arena, &record);
    put_text(session, &record, &text);
    show_draw(&session->screen, buf_str(&text), false);
    buf_done(&text);
    arena_done(&arena);
}

static void on_progress(void *user, const struct probe_exhaustive_result *result)
{
    struct session *session = user;
    struct loop *loop = session->probing.place.loop;
    (void)result;
    if (!loop_timer_is_armed(&session->draw_timer))
        loop_timer_start(loop, &session->draw_timer, loop_now_ns(loop) + DRAW_NS);
}

static void leave(void *user)
{
    struct session *session = user;
    session->naming = NULL;
    loop_stop(session->probing.place.loop);
}

static void on_done(void *user, const struct probe_exhaustive_result *result)
{
    struct session *session = user;
    static union sock_addr addrs[NAMES_MAX];
    size_t count = 0;
    session->search = NULL;
    session->result = result;
    loop_timer_stop(session->probing.place.loop, &session->draw_timer);
    for (uint32_t h = 0; h < result->hop_count; h++) {
        for (uint32_t i = 0; i < result->hops[h].interface_count && count < NAMES_MAX; i++)
            addrs[count++] = result->hops[h].interfaces[i].addr;
    }
    if (!session->probing.options.is_quiet)
        session->naming = names_wait(session->probing.names, addrs, count, NAMES_NS, leave, session);
    if (!session->naming)
        leave(session);
}

static void on_resolved(void *user)
{
    struct session *session = user;
    const struct options *options = &session->options;
    struct place *place = &session->probing.place;
    struct probe_exhaustive_settings settings;
    union sock_addr src = place->source;
    struct error err;
    char text[SOCK_TEXT_BYTES];
    if (session->host.error) {
        leave(session);
        return;
    }
    if (sock_is_set(&src) || probe_engine_source(place->engine, &session->host.addr, &src))
        session->source_ip = arena_strdup(&session->arena, sock_ip_text(&src, text, sizeof text));
    probe_exhaustive_defaults(&settings);
    settings.protocol = session->probing.protocol;
    settings.dst = session->host.addr;
    settings.src = place->source;
    settings.confidence = options->confidence / 100;
    settings.is_strict = options->is_strict;
    settings.max_probes = (uint32_t)options->max_probes;
    settings.max_paths = (uint32_t)options->max_paths;
    settings.path_probes = (uint32_t)options->path_probes;
    settings.max_ns = options->time_limit_s * CLOCK_S;
    settings.wait_ns = (int64_t)(options->wait_s * 1e9 + 0.5);
    settings.max_ttl = (uint8_t)options->max_ttl;
    settings.gap_limit = (uint8_t)options->gap_limit;
    settings.dscp = (uint8_t)session->probing.options.dscp;
    if (probe_exhaustive_start(place->engine, &settings, &session->arena, session->screen.is_live ? on_progress : NULL,
                               on_done, session, &session->search, &err) != 0) {
        session->host.error = arena_strdup(&session->arena, err.text);
        leave(session);
    }
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void on_interrupt(void *user)
{
    struct session *session = user;
    probing_give_up(&session->host);
    names_wait_cancel(session->naming);
    if (session->search)
        probe_exhaustive_finish(session->search); /* calls on_done, which may wait for names */
    names_wait_cancel(session->naming);
    leave(session);
}

static int print(struct session *session)
{
    struct arena arena;
    struct paths_record record;
    struct buf text;
    arena_init(&arena, ARENA_BYTES);
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    fill(session, session->result, &arena, &record);
    if (session->probing.options.is_json) {
        json_t *json = field_to_json(&paths_record_table, &record, NULL);
        json_dump_to_buf(json, 0, &text);
        buf_putc(&text, '\n');
        json_decref(json);
    } else if (session->probing.options.is_csv) {
        csv_header(&paths_interface_table, &text);
        paths_show_csv(&record, &text);
    } else {
        put_text(session, &record, &text);
    }
    if (session->screen.is_live)
        show_draw(&session->screen, buf_str(&text), true);
    else
        probing_print(&session->probing, buf_str(&text));
    int status = PROBING_SILENT;
    if (record.error_details || session->probing.is_output_broken)
        status = PROBING_FAILED;
    else if (session->result && session->result->end == PROBE_TRACE_REACHED)
        status = PROBING_ANSWERED;
    buf_done(&text);
    arena_done(&arena);
    return status;
}

int cli_paths(int argc, char **argv)
{
    struct session session = {0};
    struct probing *probing = &session.probing;
    struct error err;
    int status = probing_open(probing, &command, argc, argv, &session.options);
    arena_init(&session.arena, ARENA_BYTES);
    if (status < 0) {
        session.geo = geo_hops_open(session.options.geo_dir);
        session.draw_timer = (struct loop_timer){.fn = on_draw, .user = &session};
        show_open(&session.screen);
        session.screen.is_live &= is_text(&session) && !probing->options.is_quiet;
        int rc = probing_on_interrupt(probing, on_interrupt, &session, &err);
        if (rc == 0)
            rc = probing_resolve(probing, probing->hosts[0], &session.host, on_resolved, &session, &err);
        if (rc == 0)
            rc = loop_run(probing->place.loop);
        else
            cli_complain(&err);
        status = rc ? PROBING_FAILED : print(&session);
    }
    geo_free(session.geo);
    probing_close(probing);
    arena_done(&session.arena);
    return status;
}
