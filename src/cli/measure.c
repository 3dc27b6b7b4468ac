#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/loop.h"
#include "base/resolve.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/privilege.h"
#include "cli/show.h"
#include "measure/part.h"
#include "measure/runner.h"
#include "probe/engine.h"
#include "probe/io.h"
#include "probe/open.h"
#include "wire/json.h"

#define DRAW_NS (100 * CLOCK_MS) /* how often the table on the terminal is drawn again */

/* --- options that every type has ---------------------------------------------------------------------------------- */

struct options {
    bool is_json;
    const char *source_ip, *netns;
    int32_t timeout_s;
};

static const struct field option_fields[] = {
    FIELD_BOOL(struct options, is_json, "json", (.preset = "false"), "Print the result as one JSON object"),
    FIELD_STR(struct options, source_ip, "sourceIp", (.max = 63), "Address of this host to measure from"),
    FIELD_STR(struct options, netns, "netns", (.max = 200), "Network namespace to measure from, by name or path"),
    FIELD_I32(struct options, timeout_s, "timeout", (.min = 1, .max = 600, .preset = "30", .unit = "s"),
              "The measurement ends after this time with what it has"),
};
static const struct field_table option_table =
    FIELD_TABLE("MeasureOptions", struct options, option_fields, NULL, "How the command line measures");

/* --- one measurement ---------------------------------------------------------------------------------------------- */

struct session {
    const struct measure_runner *runner;
    struct options options;
    struct loop *loop;
    struct resolver *resolver;
    struct probe_engine *engine;
    struct measure_context context;
    struct measure_round round;
    struct loop_timer draw_timer;
    struct show_screen screen;
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
        loop_timer_start(session->loop, &session->draw_timer, loop_now_ns(session->loop) + DRAW_NS);
}

static void on_done(struct measure_round *round)
{
    struct session *session = round->user;
    session->is_over = true;
    loop_stop(session->loop);
}

/* A first interrupt ends the round and prints what there is; a second one ends the program. */
static void on_interrupt(void *user, int signo)
{
    struct session *session = user;
    if (session->is_over)
        _exit(128 + signo);
    measure_round_stop(&session->round);
    on_done(&session->round);
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

static void explain_permission(struct error *err)
{
    char program[200] = "oculi";
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size > 0)
        program[size] = 0;
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used,
             ". Run it as root, or once: setcap cap_net_raw+ep %s", program);
}

static int open_engine(struct session *session, struct error *err)
{
    struct probe_sockets sockets = PROBE_SOCKETS_NONE;
    struct probe_io *io = NULL;
    int rc = session->options.netns ? privilege_enter_netns(session->options.netns, err) : 0;
    if (rc)
        return rc;
    rc = probe_open(NULL, &sockets, err);
    if (rc == -E_PERMISSION)
        explain_permission(err);
    if (rc)
        return rc;
    rc = privilege_drop(err);
    if (rc == 0)
        rc = probe_io_linux_new(session->loop, &sockets, &io, err);
    if (rc) {
        probe_close(&sockets);
        return rc;
    }
    rc = probe_engine_new(io, NULL, &session->engine, err);
    if (rc)
        io->ops->close(io);
    return rc;
}

/* The kernel would only say that the network is unreachable. */
static int check_source(const char *text, struct error *err)
{
    union sock_addr src;
    if (!text || sock_parse_ip(text, &src) != 0)
        return 0; /* the measure type says what is wrong with it */
    int fd = socket(src.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_foreign = fd >= 0 && bind(fd, &src.sa, sock_len(&src)) != 0 && errno == EADDRNOTAVAIL;
    if (fd >= 0)
        close(fd);
    return is_foreign ? error_set(err, E_INVALID, "--source-ip", "%s is no address of this machine", text) : 0;
}

/* Without an agent's policy: IPv6 where this machine has a way to it. */
static int own_family(void)
{
    union sock_addr somewhere;
    if (sock_parse_ip("2000::1", &somewhere) != 0)
        return SOCK_PREFER_IPV4;
    sock_set_port(&somewhere, 9);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has_route = fd >= 0 && connect(fd, &somewhere.sa, sock_len(&somewhere)) == 0;
    if (fd >= 0)
        close(fd);
    return has_route ? SOCK_PREFER_IPV6 : SOCK_PREFER_IPV4;
}

static int set_up(struct session *session, struct error *err)
{
    int rc = loop_new(&session->loop, err);
    if (rc == 0)
        rc = open_engine(session, err);
    if (rc == 0)
        rc = check_source(session->options.source_ip, err);
    if (rc == 0)
        rc = resolver_new(session->loop, &session->resolver, err);
    if (rc == 0)
        rc = loop_signal(session->loop, SIGINT, on_interrupt, session, err);
    if (rc == 0)
        rc = loop_signal(session->loop, SIGTERM, on_interrupt, session, err);
    session->draw_timer = (struct loop_timer){.fn = on_draw, .user = session};
    session->context = (struct measure_context){.loop = session->loop,
                                                .engine = session->engine,
                                                .resolver = session->resolver,
                                                .clock = &clock_real,
                                                .ipv6_policy = own_family()};
    show_open(&session->screen);
    return rc;
}

static void tear_down(struct session *session)
{
    probe_engine_free(session->engine);
    resolver_free(session->resolver);
    if (session->loop)
        loop_free(session->loop);
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
                                                .deadline_ns = loop_now_ns(session->loop) +
                                                               session->options.timeout_s * CLOCK_S,
                                                .progress = session->screen.is_live ? on_progress : NULL,
                                                .done = on_done,
                                                .user = session};
        rc = measure_round_start(session->runner, &session->round, &err);
        if (rc)
            cli_name_option(&err);
    }
    if (rc == 0)
        rc = loop_run(session->loop);
    loop_timer_stop(session->loop, &session->draw_timer);
    if (rc == 0)
        status = finish(session);
    else
        cli_complain(&err);
    tear_down(session);
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
    field_help(&option_table, &text);
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
    field_defaults(&option_table, &session.options);
    const struct cli_record records[] = {{&option_table, &session.options}, {type->settings, settings}};
    if (cli_options(argc - 1, argv + 1, records, 2, &arena, &is_help, &err) != 0)
        cli_complain(&err);
    else if (is_help)
        status = print_help(type);
    else
        status = run(&session, settings);
    arena_done(&arena);
    return status;
}
