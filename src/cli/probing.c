#include "cli/probing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/shared_options.h"
#include "probe/trace.h"

#define TCP_PORT 80

const char *const probing_protocol_words[] = {"icmp", "tcp", "udp", NULL};

static const struct field option_fields[] = {
    FIELD_BOOL(struct probing_options, is_ipv4, "ipv4", (.preset = "false", .letter = '4'), "Use IPv4"),
    FIELD_BOOL(struct probing_options, is_ipv6, "ipv6", (.preset = "false", .letter = '6'), "Use IPv6"),
    OPTION_SOURCE_IP(struct probing_options, source_ip, 'S'),
    OPTION_NETNS(struct probing_options, netns),
    FIELD_I32(struct probing_options, dscp, "dscp", (.min = 0, .max = 63, .preset = "0", .letter = 'Q'),
              "Differentiated services code point of the probes"),
    FIELD_I32(struct probing_options, tcp, "tcp", (.min = 0, .max = 65535, .alone = "0", .letter = 'T'),
              "Probe with TCP SYN, to this port; 80 when none is given"),
    FIELD_I32(struct probing_options, udp, "udp", (.min = 0, .max = 65535, .alone = "0", .letter = 'U'),
              "Probe with UDP, to this port; 33434 when none is given"),
    FIELD_I32(struct probing_options, port, "port", (.min = 1, .max = 65535, .letter = 'p'),
              "Port of TCP and UDP probes"),
    FIELD_BOOL(struct probing_options, is_numeric, "numeric", (.preset = "false", .letter = 'n'),
               "Addresses only: look no names up"),
    FIELD_BOOL(struct probing_options, is_quiet, "quiet", (.preset = "false", .letter = 'q'), "The end only"),
    FIELD_BOOL(struct probing_options, is_json, "json", (.preset = "false", .letter = 'j'),
               "Print one JSON object for each host"),
    FIELD_BOOL(struct probing_options, is_csv, "csv", (.preset = "false", .letter = 'C'),
               "Print comma-separated values with a header line"),
};

static int check_options(const void *record, struct error *err)
{
    const struct probing_options *options = record;
    bool is_tcp = options->tcp != FIELD_NO_I32, is_udp = options->udp != FIELD_NO_I32;
    if (options->is_ipv4 && options->is_ipv6)
        return error_set(err, E_INVALID, "ipv6", "excludes --ipv4");
    if (options->is_json && options->is_csv)
        return error_set(err, E_INVALID, "csv", "excludes --json");
    if (is_tcp && is_udp)
        return error_set(err, E_INVALID, "udp", "excludes --tcp");
    if (options->port == FIELD_NO_I32)
        return 0;
    if (!is_tcp && !is_udp)
        return error_set(err, E_INVALID, "port", "needs --tcp or --udp");
    int32_t other = is_tcp ? options->tcp : options->udp;
    return other && other != options->port ? error_set(err, E_INVALID, "port", "differs from port %d", other) : 0;
}

const struct field_table probing_option_table = FIELD_TABLE(
    "ProbingOptions", struct probing_options, option_fields, check_options, "How ping, trace and mtr probe and print");

/* --- the command -------------------------------------------------------------------------------------------------- */

/* The fields of a record as --json prints them; those within are indented below. */
static void put_fields(const struct field_table *table, int depth, struct buf *buf)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (field->flags & (FIELD_SECRET | FIELD_INTERNAL))
            continue;
        buf_printf(buf, "  %*s%-*s %s", 2 * depth, "", 18 - 2 * depth, field->name, field->help);
        buf_printf(buf, field->unit ? " (%s)\n" : "\n", field->unit);
        if (field->table && depth < 4)
            put_fields(field->table, depth + 1, buf);
    }
}

static int print_help(const struct probing_command *command)
{
    struct buf text;
    buf_init(&text, LIMIT_RESPONSE_BYTES);
    buf_printf(&text, "Usage: oculi %s [OPTION...] %s\n\n%s.\n\nOptions:\n", command->name, command->synopsis,
               command->about);
    field_help(command->options, &text);
    field_help(&probing_option_table, &text);
    buf_puts(&text, "  -h, --help                    This text\n"
                    "\nFields of --json (--csv names its columns in its first line):\n");
    put_fields(command->record, 0, &text);
    buf_puts(&text, "\nExit status: 0 every host answered, 1 some host did not, 2 usage or our own failure.\n");
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return PROBING_ANSWERED;
}

static int set_protocol(struct probing *probing, const struct probing_command *command, struct error *err)
{
    const struct probing_options *options = &probing->options;
    if (options->udp != FIELD_NO_I32 && !command->has_udp)
        return error_set(err, E_NOT_SUPPORTED, "--udp", "is not supported by oculi %s", command->name);
    probing->protocol = options->tcp != FIELD_NO_I32   ? PROBE_TCP
                        : options->udp != FIELD_NO_I32 ? PROBE_UDP
                                                       : PROBE_ICMP;
    return 0;
}

static int check_hosts(const struct probing *probing, const struct probing_command *command, struct error *err)
{
    if (probing->host_count == 0)
        return error_set(err, E_REQUIRED, "", "which host? oculi %s --help tells more", command->name);
    if (probing->host_count > command->hosts_max)
        return error_set(err, E_LIMIT, "", "%zu hosts are too many: at most %zu", probing->host_count,
                         command->hosts_max);
    return 0;
}

int probing_open(struct probing *probing, const struct probing_command *command, int argc, char **argv, void *own)
{
    struct error err;
    struct field_list words = {0};
    bool is_help = false;
    *probing = (struct probing){0};
    arena_init(&probing->arena, LIMIT_REQUEST_ARENA);
    field_defaults(&probing_option_table, &probing->options);
    field_defaults(command->options, own);
    const struct cli_record records[] = {{command->options, own}, {&probing_option_table, &probing->options}};
    int rc = cli_arguments(argc, argv, records, 2, &probing->arena, &words, &is_help, &err);
    if (rc == 0 && is_help)
        return print_help(command);
    probing->hosts = words.items;
    probing->host_count = words.count;
    if (rc == 0)
        rc = set_protocol(probing, command, &err);
    if (rc == 0)
        rc = check_hosts(probing, command, &err);
    if (rc == 0)
        rc = place_open(&probing->place, probing->options.netns, probing->options.source_ip, &err);
    if (rc == 0 && (!probing->options.is_numeric || command->has_name_key))
        rc = names_new(probing->place.loop, NULL, &probing->names, &err);
    if (rc == 0)
        return -1;
    cli_complain(&err);
    return PROBING_FAILED;
}

void probing_close(struct probing *probing)
{
    names_free(probing->names);
    place_close(&probing->place);
    arena_done(&probing->arena);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

struct interrupt {
    loop_fn *fn;
    void *user;
    bool has_come;
};

static void on_signal(void *user, int signo)
{
    struct interrupt *interrupt = user;
    if (interrupt->has_come)
        exit(128 + signo);
    interrupt->has_come = true;
    interrupt->fn(interrupt->user);
}

int probing_on_interrupt(struct probing *probing, loop_fn *fn, void *user, struct error *err)
{
    struct interrupt *interrupt = arena_alloc(&probing->arena, sizeof *interrupt);
    *interrupt = (struct interrupt){.fn = fn, .user = user};
    int rc = loop_signal(probing->place.loop, SIGINT, on_signal, interrupt, err);
    return rc ? rc : loop_signal(probing->place.loop, SIGTERM, on_signal, interrupt, err);
}

void probing_print(struct probing *probing, const char *text)
{
    if (probing->is_output_broken || (fputs(text, stdout) >= 0 && fflush(stdout) == 0))
        return;
    probing->is_output_broken = true;
    loop_stop(probing->place.loop);
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

static void on_resolved(void *user, int rc, const union sock_addr *addr, const struct error *err)
{
    struct probing_host *host = user;
    struct arena *arena = &host->probing->arena;
    char text[SOCK_TEXT_BYTES];
    host->job = NULL;
    if (rc) {
        host->error = arena_strdup(arena, err->text);
    } else {
        host->addr = *addr;
        sock_set_port(&host->addr, host->port);
        host->address = arena_strdup(arena, sock_ip_text(addr, text, sizeof text));
    }
    host->fn(host->user);
}

static enum sock_family family_of(const struct probing *probing)
{
    if (sock_is_set(&probing->place.source))
        return probing->place.source.sa.sa_family == AF_INET6 ? SOCK_FORCE_IPV6 : SOCK_FORCE_IPV4;
    return probing->options.is_ipv4   ? SOCK_FORCE_IPV4
           : probing->options.is_ipv6 ? SOCK_FORCE_IPV6
                                      : probing->place.family;
}

/* What was typed with the host goes first; 0 = the protocol has none. */
static int port_of(const struct probing *probing, const char *text, uint16_t own, uint16_t *ret_port,
                   struct error *err)
{
    const struct probing_options *options = &probing->options;
    int32_t given = options->port != FIELD_NO_I32 ? options->port
                    : probing->protocol == PROBE_TCP ? options->tcp
                                                     : options->udp;
    if (probing->protocol == PROBE_ICMP && own)
        return error_set(err, E_INVALID, text, "a port needs --tcp or --udp");
    if (probing->protocol == PROBE_ICMP)
        *ret_port = 0;
    else if (own || given > 0)
        *ret_port = own ? own : (uint16_t)given;
    else
        *ret_port = probing->protocol == PROBE_TCP ? TCP_PORT : PROBE_TRACE_UDP_PORT;
    return 0;
}

int probing_resolve(struct probing *probing, const char *text, struct probing_host *host, probing_resolved_fn *fn,
                    void *user, struct error *err)
{
    char name[254];
    uint16_t port = 0;
    int rc = sock_split(text, 0, name, sizeof name, &port, err);
    if (rc == 0)
        rc = port_of(probing, text, port, &port, err);
    if (rc)
        return rc;
    *host = (struct probing_host){.name = arena_strdup(&probing->arena, name),
                                  .port = port,
                                  .probing = probing,
                                  .fn = fn,
                                  .user = user};
    if (!host->name)
        return error_set(err, E_LIMIT, text, "too many hosts");
    host->job = resolve_start(probing->place.resolver, host->name, family_of(probing), on_resolved, host);
    return host->job ? 0 : error_set(err, E_LIMIT, text, "too many host names wait to be resolved");
}

void probing_give_up(struct probing_host *host)
{
    if (!host->job)
        return;
    resolve_cancel(host->job);
    host->job = NULL;
    host->error = arena_printf(&host->probing->arena, "Could not resolve host: %s (no answer in time)", host->name);
}

const char *probing_host_text(const struct probing_host *host, char *buf, size_t size)
{
    bool has_both = host->address && !str_equal(host->name, host->address);
    (void)snprintf(buf, size, has_both ? "%s (%s)" : "%s", host->name, host->address);
    return buf;
}

const char *probing_protocol_text(const struct probing *probing, const struct probing_host *host, char *buf,
                                  size_t size)
{
    static const char *const names[] = {"ICMP", "TCP", "UDP"};
    (void)snprintf(buf, size, host->port ? "%s port %u" : "%s", names[probing->protocol], host->port);
    return buf;
}
