#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/geo_hops.h"
#include "cli/look.h"
#include "cli/probing.h"
#include "cli/shared_options.h"
#include "cli/show.h"
#include "cli/trace_show.h"
#include "measure/paths.h"
#include "probe/trace.h"
#include "wire/json.h"

#define AT_ONCE 16u              /* hosts traced at the same time: more would run into the limits of near routers */
#define DRAW_NS (100 * CLOCK_MS) /* how often the table on the terminal is drawn again */
#define NAMES_NS (2 * CLOCK_S)   /* how long names are waited for */

/* --- options ------------------------------------------------------------------------------------------------------ */

struct options {
    int32_t flows, max_ttl, gap_limit, attempts;
    double wait_s;
    bool is_in_session, is_looking, is_revealing, is_verbose, is_exhaustive;
    const char *geo_dir;
};

static const struct field option_fields[] = {
    FIELD_I32(struct options, flows, "flows", (.min = 1, .max = LIMIT_PATH_TRACES, .preset = "3", .letter = 'f'),
              "Traces, each with a flow of its own: each finds one of the paths of load balancers"),
    OPTION_MAX_TTL(struct options, max_ttl),
    OPTION_GAP_LIMIT(struct options, gap_limit, "a trace gives up"),
    FIELD_I32(struct options, attempts, "attempts",
              (.min = 1, .max = PROBE_TRACE_MAX_ATTEMPTS, .preset = "3", .letter = 'a'),
              "Probes to a hop that stays silent"),
    FIELD_F64(struct options, wait_s, "wait", (.min = 0.001, .max = 10, .preset = "1", .unit = "s", .letter = 'w'),
              "How long an answer is waited for"),
    OPTION_IN_SESSION(struct options, is_in_session),
    OPTION_TUNNELS(struct options, is_looking),
    OPTION_REVEAL(struct options, is_revealing, 'r'),
    FIELD_BOOL(struct options, is_exhaustive, "exhaustive", (.preset = "false", .letter = 'e'),
               "All paths of load balancers to one host: what oculi paths does, with its options instead of these"),
    OPTION_VERBOSE(struct options, is_verbose),
    OPTION_GEO_DIR(struct options, geo_dir),
};

const struct field_table trace_option_table =
    FIELD_TABLE("TraceOptions", struct options, option_fields, NULL, "How oculi trace probes");

static const struct probing_command command = {
    .name = "trace",
    .synopsis = "HOST...",
    .about = "The paths from here to hosts. An interrupt ends it with what it has",
    .options = &trace_option_table,
    .record = &trace_record_table,
    .hosts_max = LIMIT_COMMAND_HOSTS,
    .has_udp = true,
};

/* --- hosts -------------------------------------------------------------------------------------------------------- */

struct host {
    struct session *session;
    struct probing_host host;
    struct probe_trace *trace; /* NULL = not running */
    const struct probe_trace_result *result; /* of the trace, when it is over */
    struct look *look;         /* NULL = not running */
    struct names_wait *naming; /* likewise */
    struct arena arena;        /* of the trace and its record, until it is printed */
    struct arena scratch;      /* of what is shown while it runs */
    struct trace_record record;
    bool is_running, is_over, has_reached;
};

struct session {
    struct probing probing;
    struct options options;
    struct host *hosts;
    size_t count, begun, printed;
    size_t running; /* hosts that are traced or resolved */
    struct geo *geo; /* NULL = no databases */
    struct show_screen screen;
    struct loop_timer draw_timer;
    bool is_stopping;
    int status;
};

static void fill(struct host *host, const struct probe_trace_result *result, struct arena *arena)
{
    struct measure_path_vis paths = {0};
    measure_paths_fill(result, &host->host.addr, &paths, arena);
    host->record.path_traces = paths.path_traces;
    if (result->error_text && !host->record.error_details)
        host->record.error_details = arena_printf(&host->arena, "Could not send: %s", result->error_text);
}

/* What is known of the addresses by now; names that are not are asked for. */
static void fill_names(struct host *host, struct arena *arena)
{
    struct measure_route *routes = host->record.path_traces.items;
    for (size_t i = 0; i < host->record.path_traces.count; i++) {
        struct measure_hop *hops = routes[i].hops.items;
        for (size_t h = 0; h < routes[i].hops.count; h++) {
            geo_hops_fill(host->session->geo, &hops[h], arena);
            union sock_addr addr;
            const char *name =
                sock_parse_ip(hops[h].ip_address, &addr) == 0 ? names_get(host->session->probing.names, &addr) : NULL;
            if (name && !hops[h].rdns)
                hops[h].rdns = arena_strdup(arena, name);
        }
    }
}

static void put_text(struct host *host, struct buf *buf)
{
    const struct options *options = &host->session->options;
    const struct trace_record *record = &host->record;
    const struct measure_path_vis paths = {.path_traces = record->path_traces};
    char text[400], protocol[40];
    buf_printf(buf, "%s, %s\n", probing_host_text(&host->host, text, sizeof text),
               probing_protocol_text(&host->session->probing, &host->host, protocol, sizeof protocol));
    if (record->error_details)
        buf_printf(buf, "%s\n", record->error_details);
    else if (host->session->probing.options.is_quiet)
        show_ends(&paths, buf);
    else {
        show_paths(&paths, options->is_verbose, buf);
        if (options->is_verbose || options->is_looking || options->is_revealing)
            show_tunnels(&paths, buf);
    }
}

static void put_record(struct host *host, struct buf *buf)
{
    const struct probing_options *options = &host->session->probing.options;
    if (options->is_csv) {
        trace_show_csv(&host->record, buf);
    } else if (options->is_json) {
        json_t *json = field_to_json(&trace_record_table, &host->record, NULL);
        json_dump_to_buf(json, 0, buf);
        buf_putc(buf, '\n');
        json_decref(json);
    } else {
        put_text(host, buf);
    }
}

static bool is_text(const struct session *session)
{
    return !session->probing.options.is_json && !session->probing.options.is_csv;
}

static void print_host(struct session *session, struct host *host)
{
    struct buf text;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    if (session->printed > 0 && is_text(session))
        buf_putc(&text, '\n');
    put_record(host, &text);
    if (session->screen.is_live)
        show_draw(&session->screen, buf_str(&text), true);
    else
        probing_print(&session->probing, buf_str(&text));
    buf_done(&text);
    if (host->record.error_details)
        session->status = PROBING_FAILED;
    else if (!host->has_reached && session->status == PROBING_ANSWERED)
        session->status = PROBING_SILENT;
    arena_done(&host->arena);
    arena_done(&host->scratch);
    session->printed++;
}

static void step(struct session *session);

/* Makes room for another one. */
static void stop_running(struct host *host)
{
    host->session->running -= host->is_running;
    host->is_running = false;
}

static void host_is_over(struct host *host)
{
    struct session *session = host->session;
    if (host->is_over)
        return;
    stop_running(host);
    host->is_over = true;
    host->record.server = host->host.name;
    host->record.server_ip = host->host.address;
    host->record.protocol = (int)session->probing.protocol;
    if (host->host.port)
        host->record.port = host->host.port;
    if (host->host.error)
        host->record.error_details = host->host.error;
    loop_timer_stop(session->probing.place.loop, &session->draw_timer);
    step(session);
}

static void on_draw(void *user)
{
    struct session *session = user;
    struct host *host = &session->hosts[0];
    struct buf text;
    if (!host->trace)
        return;
    arena_reset(&host->scratch);
    fill(host, probe_trace_result(host->trace), &host->scratch);
    fill_names(host, &host->scratch);
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    put_text(host, &text);
    show_draw(&session->screen, buf_str(&text), false);
    buf_done(&text);
}

static void on_progress(void *user, const struct probe_trace_result *result)
{
    struct host *host = user;
    struct session *session = host->session;
    struct loop *loop = session->probing.place.loop;
    (void)result;
    if (!loop_timer_is_armed(&session->draw_timer))
        loop_timer_start(loop, &session->draw_timer, loop_now_ns(loop) + DRAW_NS);
}

static void on_named(void *user)
{
    struct host *host = user;
    host->naming = NULL;
    fill_names(host, &host->arena);
    host_is_over(host);
}

/* Waits for the names of all that answered, but not for long. */
static bool wait_for_names(struct host *host, const struct probe_trace_result *result)
{
    size_t count = 0;
    if (host->session->probing.options.is_quiet)
        return false;
    for (uint32_t i = 0; i < result->flow_count; i++)
        count += result->flows[i].hop_count;
    union sock_addr *addrs = arena_alloc_array(&host->scratch, count + 1, sizeof *addrs);
    count = 0;
    for (uint32_t i = 0; addrs && i < result->flow_count; i++) {
        for (uint32_t h = 0; h < result->flows[i].hop_count; h++) {
            if (sock_is_set(&result->flows[i].hops[h].addr))
                addrs[count++] = result->flows[i].hops[h].addr;
        }
    }
    if (host->session->is_stopping || !addrs)
        return false;
    host->naming = names_wait(host->session->probing.names, addrs, count, NAMES_NS, on_named, host);
    return host->naming;
}

static void complete(struct host *host)
{
    stop_running(host);
    if (wait_for_names(host, host->result))
        step(host->session);
    else
        on_named(host);
}

static void on_looked(void *user)
{
    struct host *host = user;
    struct look *look = host->look;
    struct measure_route *routes = host->record.path_traces.items;
    host->look = NULL;
    for (size_t i = 0; i < host->record.path_traces.count; i++) {
        const struct tunnel_list *tunnels = look_tunnels(look, (uint32_t)i);
        if (tunnels)
            measure_paths_set_tunnels(&routes[i], tunnels, &host->arena);
    }
    complete(host);
}

static struct look *look_closer(struct host *host)
{
    const struct session *session = host->session;
    const struct options *options = &session->options;
    struct probe_tunnel_settings settings;
    if (session->is_stopping || !(options->is_looking || options->is_revealing))
        return NULL;
    probe_tunnel_defaults(&settings);
    settings.src = session->probing.place.source;
    settings.is_revealing = options->is_revealing;
    settings.wait_ns = (int64_t)(options->wait_s * 1e9 + 0.5);
    settings.dscp = (uint8_t)session->probing.options.dscp;
    return look_start(session->probing.place.engine, host->result, &settings, &host->arena, on_looked, host);
}

static void on_done(void *user, const struct probe_trace_result *result)
{
    struct host *host = user;
    host->trace = NULL;
    host->result = result;
    fill(host, result, &host->arena);
    for (uint32_t i = 0; i < result->flow_count; i++)
        host->has_reached |= result->flows[i].end == PROBE_TRACE_REACHED;
    host->look = look_closer(host);
    if (!host->look)
        complete(host);
}

static void on_resolved(void *user)
{
    struct host *host = user;
    struct session *session = host->session;
    const struct options *options = &session->options;
    struct probe_trace_settings settings;
    struct error err;
    union sock_addr src = session->probing.place.source;
    char text[SOCK_TEXT_BYTES];
    if (host->host.error) {
        host_is_over(host);
        return;
    }
    if (sock_is_set(&src) || probe_engine_source(session->probing.place.engine, &host->host.addr, &src))
        host->record.source_ip = arena_strdup(&host->arena, sock_ip_text(&src, text, sizeof text));
    probe_trace_defaults(&settings);
    settings.protocol = session->probing.protocol;
    settings.dst = host->host.addr;
    settings.src = session->probing.place.source;
    settings.is_in_session = options->is_in_session;
    settings.flows = (uint32_t)options->flows;
    settings.max_ttl = (uint8_t)options->max_ttl;
    settings.gap_limit = (uint8_t)options->gap_limit;
    settings.attempts = (uint8_t)options->attempts;
    settings.wait_ns = (int64_t)(options->wait_s * 1e9 + 0.5);
    settings.dscp = (uint8_t)session->probing.options.dscp;
    if (probe_trace_start(session->probing.place.engine, &settings, &host->arena,
                          session->screen.is_live ? on_progress : NULL, on_done, host, &host->trace, &err) != 0) {
        host->host.error = arena_strdup(&session->probing.arena, err.text);
        host_is_over(host);
    }
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void begin_host(struct session *session)
{
    struct host *host = &session->hosts[session->begun];
    struct error err;
    host->session = session;
    host->is_running = true;
    session->running++;
    arena_init(&host->arena, LIMIT_ROUND_ARENA);
    arena_init(&host->scratch, LIMIT_ROUND_ARENA);
    field_defaults(&trace_record_table, &host->record);
    const char *text = session->probing.hosts[session->begun++];
    if (probing_resolve(&session->probing, text, &host->host, on_resolved, host, &err) == 0)
        return;
    host->host = (struct probing_host){.name = text, .error = arena_strdup(&session->probing.arena, err.text)};
    stop_running(host);
    host->is_over = true;
    host->record.server = text;
    host->record.error_details = host->host.error;
}

/* Hosts are printed in the order they were given; what is printed makes room for others. */
static void step(struct session *session)
{
    bool is_more = true;
    while (is_more) {
        is_more = false;
        while (!session->is_stopping && session->begun < session->count &&
               session->running < AT_ONCE)
            begin_host(session);
        while (session->printed < session->begun && session->hosts[session->printed].is_over) {
            print_host(session, &session->hosts[session->printed]);
            is_more = true;
        }
    }
    if (session->printed == session->count)
        loop_stop(session->probing.place.loop);
}

static void finish(void *user)
{
    struct session *session = user;
    session->is_stopping = true;
    for (size_t i = session->printed; i < session->begun; i++) {
        struct host *host = &session->hosts[i];
        if (host->is_over)
            continue;
        probing_give_up(&host->host);
        names_wait_cancel(host->naming);
        if (host->trace)
            probe_trace_finish(host->trace); /* calls on_done */
        else if (host->look)
            look_finish(host->look); /* calls on_looked */
        else if (host->naming)
            on_named(host);
        else
            host_is_over(host);
    }
    loop_stop(session->probing.place.loop);
}

static int run(struct session *session, struct error *err)
{
    struct probing *probing = &session->probing;
    if (session->options.is_in_session && probing->protocol != PROBE_TCP)
        return error_set(err, E_INVALID, "--in-session", "needs --tcp");
    if (session->options.is_exhaustive) /* among other letters, or with a value */
        return error_set(err, E_INVALID, "--exhaustive", "stands by itself: -e, without a value");
    int rc = probing_on_interrupt(probing, finish, session, err);
    session->count = probing->host_count;
    session->hosts = mem_alloc_array(session->count, sizeof *session->hosts);
    session->draw_timer = (struct loop_timer){.fn = on_draw, .user = session};
    show_open(&session->screen);
    session->screen.is_live &= session->count == 1 && is_text(session) && !probing->options.is_quiet;
    if (rc)
        return rc;
    if (probing->options.is_csv) {
        struct buf text;
        buf_init(&text, 4096);
        csv_header(&trace_row_table, &text);
        probing_print(probing, buf_str(&text));
        buf_done(&text);
    }
    step(session);
    return session->printed == session->count ? 0 : loop_run(probing->place.loop);
}

/* Where the word is that asks for all paths; argc = nowhere. */
static int find_exhaustive(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--exhaustive") == 0 || strcmp(argv[i], "-e") == 0)
            return i;
    }
    return argc;
}

int cli_trace(int argc, char **argv)
{
    struct session session = {0};
    struct error err;
    int word = find_exhaustive(argc, argv);
    if (word < argc) {
        memmove(&argv[word], &argv[word + 1], (size_t)(argc - word - 1) * sizeof *argv);
        return cli_paths(argc - 1, argv);
    }
    int status = probing_open(&session.probing, &command, argc, argv, &session.options);
    if (status < 0) {
        session.geo = geo_hops_open(session.options.geo_dir);
        int rc = run(&session, &err);
        if (rc)
            cli_complain(&err);
        status = rc || session.probing.is_output_broken ? PROBING_FAILED : session.status;
        for (size_t i = session.printed; i < session.begun; i++) {
            arena_done(&session.hosts[i].arena);
            arena_done(&session.hosts[i].scratch);
        }
    }
    geo_free(session.geo);
    probing_close(&session.probing);
    mem_free(session.hosts);
    return status;
}
