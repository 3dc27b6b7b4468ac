#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/loop.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/geo_hops.h"
#include "cli/place.h"
#include "cli/shared_options.h"
#include "cli/show.h"
#include "facts/names.h"
#include "measure/hops.h"
#include "measure/part.h"
#include "measure/runner.h"
#include "wire/json.h"

#define TIMEOUT_S 30             /* when not given; in continuous mode the minute and this */
#define DRAW_NS (100 * CLOCK_MS) /* how often the table on the terminal is drawn again */
#define NAMES_NS (2 * CLOCK_S)   /* how long names are waited for at the end */
#define HOPS_MAX (LIMIT_PATH_TRACES * LIMIT_HOPS)

/* --- options that every type has ---------------------------------------------------------------------------------- */

struct options {
    bool is_json, has_names;
    const char *source_ip, *netns, *geo_dir;
    int32_t timeout_s;
};

static const struct field option_fields[] = {
    FIELD_BOOL(struct options, is_json, "json", (.preset = "false"), "Print the result as one JSON object"),
    FIELD_BOOL(struct options, has_names, "names", (.preset = "false"),
               "Look up the names of the hops, for at most two seconds at the end"),
    OPTION_GEO_DIR(struct options, geo_dir),
    OPTION_SOURCE_IP(struct options, source_ip, 0),
    OPTION_NETNS(struct options, netns),
    FIELD_I32(struct options, timeout_s, "timeout", (.min = 1, .max = 600, .unit = "s"),
              "The measurement ends after this time with what it has: 30 s when not given, 90 s in continuous mode"),
};
const struct field_table measure_option_table =
    FIELD_TABLE("MeasureOptions", struct options, option_fields, NULL, "How the command line measures");

/* --- one measurement ---------------------------------------------------------------------------------------------- */

struct session {
    const struct measure_runner *runner;
    struct options options;
    struct place place;
    struct measure_context context;
    struct measure_round round;
    struct loop_timer draw_timer;
    struct show_screen screen;
    struct geo *geo;           /* NULL = no databases */
    struct names *names;       /* NULL = none are looked up */
    struct names_wait *naming; /* the round is done, names are waited for */
    bool is_over;
};

static void draw(struct session *session, bool is_final)
{
    struct buf text;
    if (session->options.is_json || (!session->screen.is_live && !is_final))
        return;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    show_result(session->runner->type, session->round.result, &text);
    show_draw(&session->screen, buf_str(&text), is_final);
    buf_done(&text);
}

static void on_draw(void *user)
{
    draw(user, false);
}

static void on_progress(struct measure_round *round)
{
    struct session *session = round->user;
    if (!loop_timer_is_armed(&session->draw_timer))
        loop_timer_start(session->place.loop, &session->draw_timer, loop_now_ns(session->place.loop) + DRAW_NS);
}

static void on_named(void *user)
{
    struct session *session = user;
    struct measure_hops walk = {.type = session->runner->type, .result = session->round.result};
    struct measure_hop *hop;
    session->naming = NULL;
    while ((hop = measure_next_hop(&walk))) {
        geo_hops_fill(session->geo, hop, &session->round.arena);
        union sock_addr addr;
        bool is_known;
        const char *name = hop->ip_address && sock_parse_ip(hop->ip_address, &addr) == 0
                               ? names_peek(session->names, &addr, &is_known)
                               : NULL;
        if (name)
            hop->rdns = arena_strdup(&session->round.arena, name);
    }
    session->is_over = true;
    loop_stop(session->place.loop);
}

static void on_done(struct measure_round *round)
{
    struct session *session = round->user;
    union sock_addr addrs[HOPS_MAX];
    struct measure_hops walk = {.type = session->runner->type, .result = round->result};
    const struct measure_hop *hop;
    size_t count = 0;
    while (session->names && count < HOPS_MAX && (hop = measure_next_hop(&walk)))
        count += hop->ip_address && sock_parse_ip(hop->ip_address, &addrs[count]) == 0;
    session->naming = names_wait(session->names, addrs, count, NAMES_NS, on_named, session);
    if (!session->naming)
        on_named(session);
}

/* A first interrupt ends the round and prints what there is; a second one ends the program. */
static void on_interrupt(void *user, int signo)
{
    struct session *session = user;
    if (session->is_over)
        _exit(128 + signo);
    if (session->naming)
        names_wait_cancel(session->naming);
    else
        measure_round_stop(&session->round);
    on_named(session);
}

static void print_json(const struct session *session)
{
    const struct measure_type *type = session->runner->type;
    json_t *whole = json_object();
    struct buf text;
    for (size_t i = 0; i < type->part_count; i++) {
        const struct measure_part *part = &type->parts[i];
        const void *record = (const char *)session->round.result + part->offset;
        json_object_set_new(whole, part->name, field_to_json(part->table, record, NULL));
    }
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    json_dump_to_buf(whole, 2, &text);
    puts(buf_str(&text));
    buf_done(&text);
    json_decref(whole);
}

/* Nothing was sent: the name has no address, or this machine has no way there. Whoever typed it wants to know. */
static bool is_failure(const struct session *session, struct error *ret_err)
{
    const struct measure_type *type = session->runner->type;
    for (size_t i = 0; i < type->part_count; i++) {
        const struct measure_network *network =
            (const void *)((const char *)session->round.result + type->parts[i].offset);
        if (type->parts[i].table != &measure_network_table || !network->error_details || !isnan(network->loss))
            continue;
        error_set(ret_err, E_UNRESOLVED, "", "%s", network->error_details);
        return true;
    }
    return false;
}

static int finish(struct session *session)
{
    struct error err;
    bool is_failed = is_failure(session, &err);
    if (session->options.is_json)
        print_json(session);
    else if (!is_failed || session->screen.lines)
        draw(session, true);
    if (is_failed)
        cli_complain(&err);
    measure_round_done(&session->round);
    return is_failed ? CLI_FAILED : CLI_DONE;
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

static int set_up(struct session *session, struct error *err)
{
    struct place *place = &session->place;
    int rc = place_open(place, session->options.netns, session->options.source_ip, err);
    if (rc == 0)
        rc = loop_signal(place->loop, SIGINT, on_interrupt, session, err);
    if (rc == 0)
        rc = loop_signal(place->loop, SIGTERM, on_interrupt, session, err);
    if (rc == 0)
        session->geo = geo_hops_open(session->options.geo_dir);
    if (rc == 0 && session->options.has_names)
        rc = names_new(place->loop, NULL, &session->names, err);
    session->draw_timer = (struct loop_timer){.fn = on_draw, .user = session};
    session->context = (struct measure_context){.loop = place->loop,
                                                .engine = place->engine,
                                                .resolver = place->resolver,
                                                .clock = &clock_real,
                                                .ipv6_policy = (int)place->family};
    show_open(&session->screen);
    return rc;
}

static int64_t timeout_ns(const struct session *session, const void *settings)
{
    int64_t own_s = session->options.timeout_s;
    if (own_s == FIELD_NO_I32)
        own_s = TIMEOUT_S + (measure_is_continuous(session->runner->type, settings) ? MEASURE_CONTINUOUS_S : 0);
    return own_s * CLOCK_S;
}

static int run(struct session *session, const void *settings)
{
    struct error err;
    int rc = set_up(session, &err);
    int status = CLI_FAILED;
    if (rc == 0) {
        session->round = (struct measure_round){.context = &session->context,
                                                .settings = settings,
                                                .source_ip = session->options.source_ip,
                                                .deadline_ns = loop_now_ns(session->place.loop) +
                                                               timeout_ns(session, settings),
                                                .progress = session->screen.is_live ? on_progress : NULL,
                                                .done = on_done,
                                                .user = session};
        rc = measure_round_start(session->runner, &session->round, &err);
        if (rc)
            cli_name_option(&err);
    }
    if (rc == 0)
        rc = loop_run(session->place.loop);
    loop_timer_stop(session->place.loop, &session->draw_timer);
    if (rc == 0)
        status = finish(session);
    else
        cli_complain(&err);
    names_free(session->names);
    geo_free(session->geo);
    place_close(&session->place);
    return rc == -E_NOT_SUPPORTED || rc == -E_INVALID ? CLI_USAGE : status;
}

/* --- what was typed ----------------------------------------------------------------------------------------------- */

static int list_types(FILE *file)
{
    fputs("Usage: oculi measure TYPE [OPTION...]\n\n", file);
    for (const struct measure_type *const *type = measure_types; *type; type++)
        fprintf(file, "  %-18s %s\n", (*type)->name, (*type)->help);
    fputs("\noculi measure TYPE --help lists the options of a type.\n", file);
    return file == stderr ? CLI_USAGE : CLI_DONE;
}

static int print_help(const struct measure_type *type)
{
    struct buf text;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    buf_printf(&text, "Usage: oculi measure %s [OPTION...]\n\n%s.\n\nSettings:\n", type->name, type->help);
    field_help(type->settings, &text);
    buf_puts(&text, "\nOptions:\n");
    field_help(&measure_option_table, &text);
    buf_puts(&text, "\nExit status: 0 measured (also when everything was lost), 1 could not measure, 2 usage.\n");
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return CLI_DONE;
}

int cli_measure(int argc, char **argv)
{
    if (argc < 1)
        return list_types(stderr);
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return list_types(stdout);
    struct session session = {.runner = measure_runner_find(argv[0])};
    struct error err;
    if (!session.runner) {
        fprintf(stderr, "oculi: there is no measure type \"%s\"\n", argv[0]);
        return list_types(stderr);
    }
    const struct measure_type *type = session.runner->type;
    struct arena arena;
    bool is_help = false;
    int status = CLI_USAGE;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    void *settings = arena_alloc(&arena, type->settings->size);
    field_defaults(type->settings, settings);
    field_defaults(&measure_option_table, &session.options);
    const struct cli_record records[] = {{&measure_option_table, &session.options}, {type->settings, settings}};
    if (cli_options(argc - 1, argv + 1, records, 2, &arena, &is_help, &err) != 0)
        cli_complain(&err);
    else if (is_help)
        status = print_help(type);
    else
        status = run(&session, settings);
    arena_done(&arena);
    return status;
}
