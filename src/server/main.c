/*
 * oculid: the server program. Options and configuration in, one loop, until SIGTERM or SIGINT.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/service.h"
#include "server/api/api.h"
#include "server/admin.h"
#include "server/first.h"
#include "server/openapi.h"
#include "server/plan.h"
#include "server/repair.h"
#include "server/request.h"
#include "server/seal.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/upkeep.h"
#include "wire/completion.h"

#define HOUSEKEEPING_S 3600
#define WANTED_DESCRIPTORS 65536u
#define OWN_DESCRIPTORS 256u /* the store's, the UI's files, connections out */
#define CERTIFICATE_CHECK_NS (10 * CLOCK_S)
#define SOON_S (14 * 86400)

static const char *const shells[] = {"bash", "fish", NULL};
static const char *const schemas[] = {"openapi", "typescript", "routes", "coverage", NULL};
static const char *const general[] = {"--version", "--print-config", NULL};

static const struct completion_command completed[] = {
    {.words = "", .tables = {&config_table}, .more = general},
    {"token", "print the local API token", {&config_table}, NULL, false},
    {"reset-password", "print a one-time password for a user", {&config_table}, NULL, false},
    {"rotate-keys", "seal what is kept secret with a new key", {&config_table}, NULL, false},
    {"admin", "back up, restore, check and compact", {&admin_option_table}, admin_words, false},
    {.words = "schema", .help = "print what the API is", .more = schemas},
    {.words = "completion", .help = "print the completion of a shell", .more = shells},
};

static void print_help(void)
{
    struct buf text;
    buf_init(&text, 65536);
    buf_puts(&text, "Usage: oculid [OPTION...]\n"
                    "       oculid token [--data DIR]      print the local API token of a data directory\n"
                    "       oculid reset-password EMAIL [--data DIR]\n"
                    "                                      print a one-time password for somebody who lost his\n"
                    "       oculid rotate-keys [--data DIR]  seal what is kept secret with a new key\n"
                    "       oculid admin --help            back up, restore, check and compact a data directory\n"
                    "       oculid schema openapi          print the OpenAPI document of this version\n"
                    "       oculid schema typescript       print the types of the API for TypeScript\n"
                    "       oculid schema routes           print every route with the permission it needs\n"
                    "       oculid schema coverage         print which operations of API v7 are real\n"
                    "       oculid completion bash|fish    print what completes these options in a shell\n\n"
                    "The Oculi server: takes in what agents measure, keeps it, serves the API and the web UI.\n\n"
                    "Options (also NAME = VALUE lines of a file given with --config):\n");
    field_help(&config_table, &text);
    buf_puts(&text, "  --print-config                A configuration file with every option and its default\n"
                    "  --version\n  --help\n");
    (void)fputs(buf_str(&text), stdout);
    buf_done(&text);
}

static void print_config(void)
{
    struct buf text;
    buf_init(&text, 65536);
    buf_puts(&text, "# Configuration of oculid; see oculid(8). A line is NAME = VALUE. What is commented out is the default.\n");
    field_config(&config_table, &text);
    (void)fputs(buf_str(&text), stdout);
    buf_done(&text);
}

static int print_schema(const char *what)
{
    struct buf text;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    struct route_set routes;
    route_set_init(&routes, api_tables);
    if (what && strcmp(what, "openapi") == 0)
        openapi_print(&routes, &text);
    else if (what && strcmp(what, "typescript") == 0)
        openapi_typescript(&routes, &text);
    else if (what && strcmp(what, "routes") == 0)
        route_print(&routes, &text);
    else if (what && strcmp(what, "coverage") == 0)
        route_print_coverage(&routes, &text);
    else
        (void)fprintf(stderr, "oculid: schema prints openapi, typescript, routes or coverage\n");
    bool is_known = text.size > 0;
    (void)fputs(buf_str(&text), stdout);
    buf_done(&text);
    route_set_done(&routes);
    return is_known ? 0 : 2;
}

static void on_signal(void *user, int signo)
{
    log_info("server", "stopping on %s", strsignal(signo));
    (void)service_tell("STOPPING=1\nSTATUS=stopping");
    loop_stop(user);
}

static void keep_house(void *user)
{
    struct server *server = user;
    struct error err = {0};
    char text[600];
    int64_t now = server_now_s(server);
    api_drop_sessions(server);
    api_drop_snapshots(server, now);
    api_drop_instant_tests(server, now);
    api_drop_audit(server, now);
    api_drop_local_problems(server, now);
    int rc = plan_expire(server->plan, &err);
    if (rc)
        log_warning("plan", "cannot forget old runs: %s", error_format(&err, text, sizeof text));
    loop_timer_start(server->loop, &server->housekeeping, loop_now_ns(server->loop) + HOUSEKEEPING_S * CLOCK_S);
}

/* Every browser, agent and file needs a descriptor: as many as we want where we may ask for more, else as many as the
 * system lets us have. Returns how many connections that is enough for. */
static unsigned raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return OWN_DESCRIPTORS;
    struct rlimit more = {.rlim_cur = WANTED_DESCRIPTORS, .rlim_max = WANTED_DESCRIPTORS};
    if (limit.rlim_max >= WANTED_DESCRIPTORS)
        more.rlim_max = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
        limit = more;
    } else {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    unsigned files = limit.rlim_cur < WANTED_DESCRIPTORS ? (unsigned)limit.rlim_cur : WANTED_DESCRIPTORS;
    unsigned connections = files > 2 * OWN_DESCRIPTORS ? files - OWN_DESCRIPTORS : files / 2;
    if (files < WANTED_DESCRIPTORS / 4)
        log_warning("server", "only %u files may be open: at most %u agents and browsers at once (ulimit -n, LimitNOFILE=)",
                    files, connections);
    return connections;
}

/* --- the certificate ---------------------------------------------------------------------------------------------- */

static void reload_certificate(struct server *server)
{
    struct error err = {0};
    char text[600], until[CLOCK_ISO_BYTES];
    if (tls_reload(server->tls, &err)) {
        log_error("tls", "the old certificate goes on serving: %s", error_format(&err, text, sizeof text));
        return;
    }
    int64_t expires_s = tls_expires_s(server->tls);
    (void)clock_iso(expires_s, until, sizeof until);
    log_write(expires_s < server_now_s(server) + SOON_S ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "tls",
              "the certificate was read again; it is valid until %s", until);
}

static void on_certificate_due(void *user)
{
    struct server *server = user;
    if (tls_has_changed(server->tls))
        reload_certificate(server);
    loop_timer_start(server->loop, &server->tls_timer, loop_now_ns(server->loop) + CERTIFICATE_CHECK_NS);
}

static void on_hangup(void *user, int signo)
{
    struct server *server = user;
    (void)signo;
    (void)service_tell_reloading();
    if (server->tls)
        reload_certificate(server);
    else
        log_info("server", "nothing to read again: there is no certificate");
    (void)service_tell("READY=1");
}

/* From the loop that serves: when it hangs the service manager starts another server. */
static void on_watchdog(void *user)
{
    struct server *server = user;
    (void)service_tell("WATCHDOG=1");
    loop_timer_start(server->loop, &server->watchdog, loop_now_ns(server->loop) + service_watchdog_ns());
}

/* What everybody waits for who comes while the loop is busy. */
static void on_lag(void *user)
{
    struct server *server = user;
    int64_t now_ns = loop_now_ns(server->loop);
    tally_time(&server->tally.lag, (now_ns - server->lag_timer.due_ns) / CLOCK_US);
    loop_timer_start(server->loop, &server->lag_timer, now_ns + CLOCK_S);
}

/* The store is open and requests are answered from the next turn of the loop on. */
static void tell_ready(struct server *server)
{
    (void)service_tell("READY=1\nSTATUS=serving at %s", server->config->listen);
    server->watchdog = (struct loop_timer){.fn = on_watchdog, .user = server};
    if (service_watchdog_ns() > 0)
        on_watchdog(server);
}

static int open_tls(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    if (!config->tls_cert)
        return 0;
    int rc = tls_open(config->tls_cert, config->tls_key, &server->tls, err);
    if (rc)
        return rc;
    if (tls_expires_s(server->tls) < server_now_s(server))
        log_warning("tls", "%s has expired: clients will refuse it", config->tls_cert);
    server->tls_timer = (struct loop_timer){.fn = on_certificate_due, .user = server};
    on_certificate_due(server);
    return 0;
}

/* A web UI that is not there would only show as 404 to the first person who comes. */
static int check_web(const char *web, struct error *err)
{
    char path[4096];
    if (!web)
        return 0;
    (void)snprintf(path, sizeof path, "%s/index.html", web);
    return access(path, R_OK) == 0 ? 0 : error_sys(err, errno, path, "--web names no directory of the web UI");
}

/* The same of the token: a monitoring system that is refused tells nobody. */
static int check_metrics_token(const char *path, struct error *err)
{
    struct buf token;
    buf_init(&token, 65536);
    int rc = path ? file_read(path, &token, err) : 0;
    if (path && !rc && strcspn(buf_str(&token), "\r\n") == 0)
        rc = error_set(err, E_INVALID, path, "the first line is the token, and there is none");
    buf_done(&token);
    return rc;
}

static int serve(struct server *server, unsigned connections, struct error *err)
{
    int rc = loop_new(&server->loop, err);
    if (!rc)
        rc = check_web(server->config->web, err);
    if (!rc)
        rc = check_metrics_token(server->config->metrics_token_file, err);
    if (!rc)
        rc = open_tls(server, err);
    if (!rc)
        rc = first_open(server, err);
    if (!rc)
        rc = api_start(server, err);
    struct http_options options = {.listen = server->config->listen,
                                   .tls = server->tls,
                                   .connections = connections,
                                   .on_headers = request_on_headers,
                                   .on_request = request_on_body,
                                   .on_sent = request_on_sent,
                                   .user = server};
    if (!rc)
        rc = http_start(&options, server->loop, &server->http, err);
    if (!rc)
        rc = first_tell(server, err);
    if (!rc)
        rc = loop_signal(server->loop, SIGTERM, on_signal, server->loop, err);
    if (!rc)
        rc = loop_signal(server->loop, SIGINT, on_signal, server->loop, err);
    if (!rc)
        rc = loop_signal(server->loop, SIGHUP, on_hangup, server, err);
    if (!rc) {
        server->housekeeping = (struct loop_timer){.fn = keep_house, .user = server};
        keep_house(server);
        server->upkeep = upkeep_start(server);
        tell_ready(server);
        server->lag_timer = (struct loop_timer){.fn = on_lag, .user = server};
        loop_timer_start(server->loop, &server->lag_timer, loop_now_ns(server->loop) + CLOCK_S);
        rc = loop_run(server->loop);
    }
    http_stop(server->http);
    upkeep_stop(server->upkeep);
    api_stop(server);
    tls_close(server->tls);
    store_close(server->store);
    seal_free(server->seal);
    loop_free(server->loop);
    return rc;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error of the write, like a full disk */
    (void)umask(077);
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--print-config") == 0) {
        print_config();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("oculid %s\n", OCULI_VERSION);
        return 0;
    }
    if (command && strcmp(command, "admin") == 0)
        return admin_main(argc - 2, argv + 2);
    if (command && strcmp(command, "schema") == 0)
        return print_schema(argc > 2 ? argv[2] : NULL);
    if (command && strcmp(command, "completion") == 0)
        return completion_print(&(struct completion_program){"oculid", completed, sizeof completed / sizeof completed[0]},
                                argc > 2 ? argv[2] : NULL);
    struct arena arena;
    arena_init(&arena, 16u << 20);
    struct config config;
    struct error err = {0};
    char text[600];
    bool is_reset = command && strcmp(command, "reset-password") == 0;
    int rc = is_reset && argc < 3 ? error_set(&err, E_REQUIRED, command, "needs the e-mail address of a user") : 0;
    if (!rc)
        rc = config_read(argc, argv, is_reset ? 3 : command ? 2 : 1, &arena, &config, &err);
    if (!rc && command && !is_reset && strcmp(command, "token") != 0 && strcmp(command, "rotate-keys") != 0)
        rc = error_set(&err, E_UNKNOWN, command, "there is no such command; see oculid --help");
    if (rc) {
        (void)fprintf(stderr, "oculid: %s\n", error_format(&err, text, sizeof text));
        arena_done(&arena);
        return 2;
    }
    if (command) {
        rc = is_reset                             ? repair_reset_password(&config, argv[2], &err)
             : strcmp(command, "rotate-keys") == 0 ? repair_rotate_keys(&config, &err)
                                                   : first_print_token(&config, &err);
    } else {
        log_open("oculid", (enum log_level)config.log_level, (enum log_format)config.log_format);
        unsigned connections = raise_descriptors();
        if (sodium_init() < 0)
            abort();
        struct server *server = mem_alloc(sizeof *server);
        server->config = &config;
        server->clock = &clock_real;
        server->started_s = server_now_s(server);
        server->rates.api_limit = (uint32_t)config.api_rate_limit;
        server->rates.instant_limit = (uint32_t)config.instant_rate_limit;
        server->login_rate.limit = (uint32_t)config.login_rate_limit;
        server->password_rate.limit = 12 * (uint32_t)config.login_rate_limit;
        route_set_init(&server->routes, api_tables);
        rc = serve(server, connections, &err);
        route_set_done(&server->routes);
        rate_orgs_done(&server->rates);
        mem_free(server);
    }
    if (rc)
        (void)fprintf(stderr, "oculid: %s\n", error_format(&err, text, sizeof text));
    arena_done(&arena);
    return rc ? 1 : 0;
}
