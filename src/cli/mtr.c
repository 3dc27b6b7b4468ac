#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/geo_hops.h"
#include "cli/look.h"
#include "cli/mtr_show.h"
#include "cli/probing.h"
#include "cli/shared_options.h"
#include "cli/show.h"
#include "cli/term.h"
#include "cli/watch.h"
#include "measure/paths.h"
#include "wire/json.h"

#define REPORT_ROUNDS 10         /* when nobody says how many */
#define DRAW_NS (100 * CLOCK_MS) /* after a round is complete or a name came */
#define NAMES_NS (2 * CLOCK_S)
#define CHROME_LINES 4u          /* of the screen: title, blank, blank, keys */

/* --- options ------------------------------------------------------------------------------------------------------ */

struct options {
    bool is_report, is_in_session, is_looking, is_revealing;
    int32_t count, flows, max_ttl, gap_limit;
    double interval_s, wait_s;
    const char *geo_dir;
};

static const struct field option_fields[] = {
    FIELD_BOOL(struct options, is_report, "report", (.preset = "false", .letter = 'r'),
               "Print the table once, at the end; so it is without a terminal, too"),
    FIELD_I32(struct options, count, "count", (.min = 1, .max = 1e9, .letter = 'c'),
              "Rounds; without end on a terminal, 10 in a report when not given"),
    FIELD_F64(struct options, interval_s, "interval",
              (.min = 0.1, .max = 3600, .preset = "1", .unit = "s", .letter = 'i'), "Time between two rounds"),
    FIELD_I32(struct options, flows, "flows", (.min = 1, .max = LIMIT_PATH_TRACES, .preset = "3", .letter = 'f'),
              "Flows, the same in every round, each of which finds one of the paths of load balancers"),
    OPTION_MAX_TTL(struct options, max_ttl),
    OPTION_GAP_LIMIT(struct options, gap_limit, "the walk ends"),
    FIELD_F64(struct options, wait_s, "wait", (.min = 0.05, .max = 5, .preset = "1", .unit = "s", .letter = 'w'),
              "How long an answer is waited for"),
    OPTION_IN_SESSION(struct options, is_in_session),
    OPTION_TUNNELS(struct options, is_looking),
    OPTION_REVEAL(struct options, is_revealing, 0),
    OPTION_GEO_DIR(struct options, geo_dir),
};

const struct field_table mtr_option_table =
    FIELD_TABLE("MtrOptions", struct options, option_fields, NULL, "How oculi mtr probes");

static const struct probing_command command = {
    .name = "mtr",
    .synopsis = "HOST",
    .about = "The path to a host, watched: every hop's loss and latency over many rounds of the same flows",
    .options = &mtr_option_table,
    .record = &mtr_record_table,
    .hosts_max = 1,
    .has_udp = true,
    .has_name_key = true,
};

/* --- the session -------------------------------------------------------------------------------------------------- */

struct session {
    struct probing probing;
    struct options options;
    struct probing_host host;
    struct watch *watch;
    struct round *rounds; /* that run */
    uint64_t begun;
    uint64_t count;       /* 0 = without end */
    uint64_t flow_seed;
    int64_t due_ns;       /* of the next round */
    struct loop_timer round_timer, draw_timer;
    struct round *looked;      /* whose tunnels are looked at; NULL = none */
    uint32_t looked_hosts;     /* that the watch knew when it was looked last */
    struct names_wait *naming;
    struct geo *geo; /* NULL = no databases */
    const char *source_ip;
    struct buf ends; /* how the flows ended that have not reached the target */
    enum mtr_columns columns;
    bool is_screen, is_paused, has_names, is_over;
};

struct round {
    struct session *session;
    struct round *next;
    struct probe_trace *trace;
    struct measure_path_vis paths; /* when it is over */
    struct look *look;
    struct arena arena;
};

static bool is_text(const struct session *session)
{
    return !session->probing.options.is_json && !session->probing.options.is_csv;
}

static void fill(struct session *session, struct arena *arena, struct mtr_record *record)
{
    field_defaults(&mtr_record_table, record);
    record->server = session->host.name;
    record->server_ip = session->host.address;
    record->source_ip = session->source_ip;
    record->protocol = (int)session->probing.protocol;
    if (session->host.port)
        record->port = session->host.port;
    record->interval_s = session->options.interval_s;
    record->error_details = session->host.error;
    mtr_record_fill(session->watch, session->has_names ? session->probing.names : NULL, session->geo, arena, record);
}

/* --- the screen --------------------------------------------------------------------------------------------------- */

static void put_title(struct session *session, struct buf *buf)
{
    char host[400], protocol[40];
    buf_printf(buf, "oculi mtr  %s  %s, %d flow%s, every %g s, round %llu%s\n",
               probing_host_text(&session->host, host, sizeof host),
               probing_protocol_text(&session->probing, &session->host, protocol, sizeof protocol),
               session->options.flows, session->options.flows == 1 ? "" : "s", session->options.interval_s,
               (unsigned long long)session->watch->rounds, session->is_paused ? "  PAUSED" : "");
}

static void put_notes(struct session *session, struct buf *buf)
{
    buf_puts(buf, buf_str(&session->ends));
    if (session->watch->overloaded)
        buf_puts(buf, "this machine dropped packets itself; what it may have lost is not counted\n");
    if (session->host.error)
        buf_printf(buf, "%s\n", session->host.error);
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void draw(struct session *session)
{
    struct buf text, notes;
    struct arena arena;
    struct mtr_record record;
    struct mtr_style style = {.columns = session->columns, .has_names = session->has_names};
    unsigned columns, lines;
    if (!session->is_screen || session->is_over)
        return;
    term_size(&columns, &lines);
    buf_init(&text, 1 << 20);
    buf_init(&notes, 65536);
    arena_init(&arena, LIMIT_ROUND_ARENA);
    put_notes(session, &notes);
    unsigned used = CHROME_LINES + lines_of(buf_str(&notes));
    style.width = columns;
    style.height = lines > used + 2 ? lines - used : 2;
    fill(session, &arena, &record);
    put_title(session, &text);
    buf_putc(&text, '\n');
    if (record.rows.count)
        mtr_show(&record, &style, &text);
    else
        buf_puts(&text, session->watch->rounds ? "nobody answers\n" : "waiting for answers\n");
    buf_puts(&text, buf_str(&notes));
    buf_puts(&text, "\nq quit  p pause  n names  d columns  r restart");
    term_draw(buf_str(&text));
    arena_done(&arena);
    buf_done(&notes);
    buf_done(&text);
}

static void on_draw(void *user)
{
    draw(user);
}

static void plan_draw(struct session *session)
{
    struct loop *loop = session->probing.place.loop;
    if (session->is_screen && !loop_timer_is_armed(&session->draw_timer))
        loop_timer_start(loop, &session->draw_timer, loop_now_ns(loop) + DRAW_NS);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void begin_round(struct session *session);

static void free_round(struct round *round)
{
    arena_done(&round->arena);
    mem_free(round);
}

static void stop_rounds(struct session *session)
{
    loop_timer_stop(session->probing.place.loop, &session->round_timer);
    while (session->rounds) {
        struct round *round = session->rounds;
        session->rounds = round->next;
        probe_trace_stop(round->trace);
        free_round(round);
    }
    if (session->looked)
        look_finish(session->looked->look); /* calls on_looked */
}

static void leave(struct session *session)
{
    session->is_over = true;
    stop_rounds(session);
    loop_stop(session->probing.place.loop);
}

static void on_named(void *user)
{
    struct session *session = user;
    session->naming = NULL;
    leave(session);
}

/* A report is printed once: it waits for the names of all it shows. */
static void end(struct session *session)
{
    union sock_addr addrs[256];
    size_t count = 0;
    if (session->naming)
        return;
    for (uint32_t ttl = 0; ttl < session->watch->length; ttl++) {
        const struct watch_hop *hop = &session->watch->hops[ttl];
        for (uint32_t i = 0; i < hop->count && count < sizeof addrs / sizeof addrs[0]; i++)
            addrs[count++] = hop->hosts[i]->addr;
    }
    struct names *names = session->has_names ? session->probing.names : NULL;
    session->naming = names_wait(names, addrs, count, NAMES_NS, on_named, session);
    if (!session->naming)
        leave(session);
}

/* Tells how those flows end that have never reached the target. */
static void note_ends(struct session *session, const struct measure_path_vis *paths)
{
    struct measure_path_vis left = {0};
    struct measure_route routes[LIMIT_PATH_TRACES];
    const struct measure_route *all = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count && i < LIMIT_PATH_TRACES; i++) {
        if (!session->watch->flows[i].target_at)
            routes[left.path_traces.count++] = all[i];
    }
    left.path_traces.items = routes;
    buf_reset(&session->ends);
    show_ends(&left, &session->ends);
}

/* Which tunnels the hops are in. What a closer look has told stays: a round alone tells less. */
static void note_tunnels(struct session *session, const struct measure_path_vis *paths, bool has_looked)
{
    const struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count; i++) {
        const struct measure_hop *hops = routes[i].hops.items;
        for (size_t h = 0; h < routes[i].hops.count; h++) {
            union sock_addr addr;
            if (sock_parse_ip(hops[h].ip_address, &addr) == 0)
                watch_note_tunnel(session->watch, (uint32_t)hops[h].hop, &addr, hops[h].oculi.tunnel, has_looked);
        }
    }
}

static bool is_complete(const struct session *session)
{
    return session->count && session->begun >= session->count && !session->rounds && !session->looked;
}

static void on_looked(void *user)
{
    struct round *round = user;
    struct session *session = round->session;
    struct measure_route *routes = round->paths.path_traces.items;
    session->looked = NULL;
    for (size_t i = 0; i < round->paths.path_traces.count; i++) {
        const struct tunnel_list *tunnels = look_tunnels(round->look, (uint32_t)i);
        if (tunnels)
            measure_paths_set_tunnels(&routes[i], tunnels, &round->arena);
    }
    note_tunnels(session, &round->paths, true);
    free_round(round);
    plan_draw(session);
    if (!session->is_over && is_complete(session))
        end(session);
}

/* A closer look at a round, when there are hosts that the last one has not seen. True when it begins: then the round is
 * the look's. */
static bool look_closer(struct session *session, struct round *round, const struct probe_trace_result *result)
{
    const struct options *options = &session->options;
    struct probe_tunnel_settings settings;
    uint32_t hosts = watch_hosts(session->watch);
    if (!(options->is_looking || options->is_revealing) || session->looked || hosts == session->looked_hosts)
        return false;
    probe_tunnel_defaults(&settings);
    settings.src = session->probing.place.source;
    settings.is_revealing = options->is_revealing;
    settings.wait_ns = (int64_t)(options->wait_s * 1e9 + 0.5);
    settings.dscp = (uint8_t)session->probing.options.dscp;
    round->look =
        look_start(session->probing.place.engine, result, &settings, &round->arena, on_looked, round);
    if (!round->look)
        return false;
    session->looked_hosts = hosts;
    session->looked = round;
    return true;
}

static void on_round_done(void *user, const struct probe_trace_result *result)
{
    struct round *round = user;
    struct session *session = round->session;
    struct round **at = &session->rounds;
    while (*at != round)
        at = &(*at)->next;
    *at = round->next;
    watch_add(session->watch, result);
    measure_paths_fill(result, &session->host.addr, &round->paths, &round->arena);
    note_ends(session, &round->paths);
    note_tunnels(session, &round->paths, false);
    if (result->error_text && result->received == 0)
        session->host.error = arena_printf(&session->probing.arena, "Could not send: %s", result->error_text);
    else
        session->host.error = NULL;
    if (!look_closer(session, round, result))
        free_round(round);
    plan_draw(session);
    bool is_hopeless = session->host.error && session->watch->length == 0 && !session->is_screen;
    if (is_hopeless || is_complete(session))
        end(session);
}

static void aim(const struct session *session, struct probe_trace_settings *settings)
{
    const struct options *options = &session->options;
    settings->protocol = session->probing.protocol;
    settings->is_in_session = options->is_in_session;
    settings->dst = session->host.addr;
    settings->src = session->probing.place.source;
    settings->dscp = (uint8_t)session->probing.options.dscp;
    settings->flows = (uint32_t)options->flows;
    settings->max_ttl = (uint8_t)options->max_ttl;
    settings->gap_limit = (uint8_t)options->gap_limit;
    settings->wait_ns = (int64_t)(options->wait_s * 1e9 + 0.5);
    settings->flow_seed = session->flow_seed;
    watch_aim(session->watch, session->begun, settings);
}

static void begin_round(struct session *session)
{
    struct loop *loop = session->probing.place.loop;
    struct probe_trace_settings settings;
    struct error err;
    struct round *round = mem_alloc(sizeof *round);
    probe_trace_defaults(&settings);
    aim(session, &settings);
    round->session = session;
    arena_init(&round->arena, LIMIT_ROUND_ARENA);
    if (probe_trace_start(session->probing.place.engine, &settings, &round->arena, NULL, on_round_done, round,
                          &round->trace, &err) == 0) {
        round->next = session->rounds;
        session->rounds = round;
        session->begun++;
    } else {
        session->host.error = arena_strdup(&session->probing.arena, err.text);
        free_round(round);
        if (!session->is_screen) {
            leave(session);
            return;
        }
    }
    session->due_ns += (int64_t)(session->options.interval_s * 1e9 + 0.5);
    if (session->due_ns < loop_now_ns(loop))
        session->due_ns = loop_now_ns(loop); /* this machine slept */
    if (session->count == 0 || session->begun < session->count)
        loop_timer_start(loop, &session->round_timer, session->due_ns);
}

static void on_round(void *user)
{
    begin_round(user);
}

static void restart(struct session *session)
{
    struct loop *loop = session->probing.place.loop;
    stop_rounds(session);
    watch_free(session->watch);
    session->looked_hosts = 0;
    session->watch = watch_new((uint32_t)session->options.flows);
    buf_reset(&session->ends);
    session->begun = 0;
    session->due_ns = loop_now_ns(loop);
    if (!session->is_paused && session->host.address)
        loop_timer_start(loop, &session->round_timer, session->due_ns);
}

/* Rounds under way are still counted. */
static void pause_or_go_on(struct session *session)
{
    struct loop *loop = session->probing.place.loop;
    session->is_paused = !session->is_paused;
    loop_timer_stop(loop, &session->round_timer);
    session->due_ns = loop_now_ns(loop);
    bool wants_more = session->count == 0 || session->begun < session->count;
    if (!session->is_paused && session->host.address && wants_more)
        loop_timer_start(loop, &session->round_timer, session->due_ns);
}

static void on_key(void *user, char key)
{
    struct session *session = user;
    switch (tolower((unsigned char)key)) {
    case 'q':
        leave(session);
        return;
    case 'p':
    case ' ':
        pause_or_go_on(session);
        break;
    case 'n':
        session->has_names = !session->has_names;
        break;
    case 'd':
        session->columns = (session->columns + 1) % MTR_COLUMN_SETS;
        break;
    case 'r':
        restart(session);
        break;
    default:
        return;
    }
    draw(session);
}

static void on_resolved(void *user)
{
    struct session *session = user;
    struct place *place = &session->probing.place;
    union sock_addr src = place->source;
    char text[SOCK_TEXT_BYTES];
    if (session->host.error) {
        leave(session);
        return;
    }
    if (sock_is_set(&src) || probe_engine_source(place->engine, &session->host.addr, &src))
        session->source_ip = arena_strdup(&session->probing.arena, sock_ip_text(&src, text, sizeof text));
    session->due_ns = loop_now_ns(place->loop);
    if (!session->is_paused)
        begin_round(session);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void on_interrupt(void *user)
{
    struct session *session = user;
    probing_give_up(&session->host);
    leave(session);
}

static void on_signal(void *user, int signo)
{
    (void)signo;
    on_interrupt(user);
}

static void print(struct session *session)
{
    struct buf text;
    struct arena arena;
    struct mtr_record record;
    const struct mtr_style style = {.columns = session->columns, .has_names = session->has_names};
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    arena_init(&arena, LIMIT_ROUND_ARENA);
    fill(session, &arena, &record);
    if (session->probing.options.is_json) {
        json_t *json = field_to_json(&mtr_record_table, &record, NULL);
        json_dump_to_buf(json, 0, &text);
        buf_putc(&text, '\n');
        json_decref(json);
    } else if (session->probing.options.is_csv) {
        const struct mtr_row *rows = record.rows.items;
        csv_header(&mtr_row_table, &text);
        for (size_t i = 0; i < record.rows.count; i++)
            csv_row(&mtr_row_table, &rows[i], &text);
    } else {
        put_title(session, &text);
        if (record.rows.count && !session->probing.options.is_quiet)
            mtr_show(&record, &style, &text);
        put_notes(session, &text);
    }
    probing_print(&session->probing, buf_str(&text));
    arena_done(&arena);
    buf_done(&text);
}

static int set_up(struct session *session, struct error *err)
{
    struct probing *probing = &session->probing;
    struct loop *loop = probing->place.loop;
    const struct options *options = &session->options;
    session->is_screen = is_text(session) && !options->is_report && !probing->options.is_quiet && term_is_usable();
    session->count = options->count != FIELD_NO_I32 ? (uint64_t)options->count : session->is_screen ? 0 : REPORT_ROUNDS;
    session->has_names = !probing->options.is_numeric;
    session->watch = watch_new((uint32_t)session->options.flows);
    session->geo = geo_hops_open(options->geo_dir);
    rng_secret(&session->flow_seed, sizeof session->flow_seed);
    session->flow_seed |= 1; /* 0 would mean other flows each time */
    session->round_timer = (struct loop_timer){.fn = on_round, .user = session};
    session->draw_timer = (struct loop_timer){.fn = on_draw, .user = session};
    if (options->is_in_session && probing->protocol != PROBE_TCP)
        return error_set(err, E_INVALID, "--in-session", "needs --tcp");
    int rc = probing_on_interrupt(probing, on_interrupt, session, err);
    if (rc == 0)
        rc = loop_signal(loop, SIGHUP, on_signal, session, err);
    if (rc == 0)
        rc = loop_signal(loop, SIGQUIT, on_signal, session, err);
    if (rc == 0)
        rc = probing_resolve(probing, probing->hosts[0], &session->host, on_resolved, session, err);
    if (rc == 0 && session->is_screen)
        rc = term_open(loop, on_key, on_draw, session, err);
    return rc;
}

static int status_of(const struct session *session)
{
    if (session->host.error || session->probing.is_output_broken)
        return PROBING_FAILED;
    for (uint32_t i = 0; i < session->watch->flow_count; i++) {
        if (session->watch->flows[i].target_at)
            return PROBING_ANSWERED;
    }
    return PROBING_SILENT;
}

int cli_mtr(int argc, char **argv)
{
    struct session session = {0};
    struct error err;
    int status = probing_open(&session.probing, &command, argc, argv, &session.options);
    buf_init(&session.ends, 65536);
    if (status < 0) {
        int rc = set_up(&session, &err);
        if (rc == 0) {
            draw(&session);
            rc = loop_run(session.probing.place.loop);
        }
        names_wait_cancel(session.naming);
        term_close();
        if (rc)
            cli_complain(&err);
        else
            print(&session);
        status = rc ? PROBING_FAILED : status_of(&session);
    }
    buf_done(&session.ends);
    watch_free(session.watch);
    geo_free(session.geo);
    probing_close(&session.probing);
    return status;
}
