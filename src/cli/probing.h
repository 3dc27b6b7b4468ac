/*
 * What ping, trace and mtr have in common: options, hosts as words, the place one measures from, output formats.
 *
 * Exit status: 0 every host answered, 1 some host did not, 2 what was typed makes no sense or we failed ourselves.
 */
#ifndef OCULI_CLI_PROBING_H
#define OCULI_CLI_PROBING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/place.h"
#include "facts/names.h"
#include "wire/field.h"

enum probing_status { PROBING_ANSWERED = 0, PROBING_SILENT = 1, PROBING_FAILED = 2 };

struct probing_options {
    bool is_json, is_csv, is_quiet, is_numeric, is_ipv4, is_ipv6;
    const char *source_ip, *netns;
    int32_t dscp, tcp, udp, port; /* tcp and udp: 0 = the usual port; absent = not that protocol */
};
extern const struct field_table probing_option_table;

/* A command as a person sees it. */
struct probing_command {
    const char *name;     /* "ping" */
    const char *synopsis; /* "HOST..." */
    const char *about;    /* a sentence */
    const struct field_table *options; /* its own, beside the common ones */
    const struct field_table *record;  /* what it prints with --json */
    size_t hosts_max;
    bool has_udp;
    bool has_name_key; /* names can be asked for while it runs, --numeric or not */
};

struct probing {
    struct probing_options options;
    struct place place;
    enum probe_protocol protocol;
    struct names *names; /* NULL = none are to be looked up */
    struct arena arena; /* the whole command's */
    const char **hosts;
    size_t host_count;
    bool is_output_broken; /* nobody reads what we write */
};

/* Reads the options into own (with the defaults of the command's table) and opens the place. -1 = go on; else the exit
 * status: help was printed, or an error. probing_close belongs after either. */
int probing_open(struct probing *probing, const struct probing_command *command, int argc, char **argv, void *own);
void probing_close(struct probing *probing);

/* SIGINT and SIGTERM call fn once; a second one ends the program. */
int probing_on_interrupt(struct probing *probing, loop_fn *fn, void *user, struct error *err);

extern const char *const probing_protocol_words[]; /* of enum probe_protocol, as in JSON */

/* Writes text to standard output at once. When nobody can read it any more the loop stops. */
void probing_print(struct probing *probing, const char *text);

/* --- hosts -------------------------------------------------------------------------------------------------------- */

typedef void probing_resolved_fn(void *user);

/* A host that was typed. addr is set, or error says why not, when fn has been called. */
struct probing_host {
    const char *name; /* as typed, without port and brackets */
    uint16_t port;    /* 0 = the protocol has none */
    union sock_addr addr;
    const char *address; /* as text; NULL = unset */
    const char *error;   /* NULL = none */
    struct probing *probing;
    struct resolve_job *job;
    probing_resolved_fn *fn;
    void *user;
};

/* fn is called later. -E_INVALID when text can be no host. */
int probing_resolve(struct probing *probing, const char *text, struct probing_host *host, probing_resolved_fn *fn,
                    void *user, struct error *err);
/* Not to be called when nothing runs. Notes that it took too long. */
void probing_give_up(struct probing_host *host);

/* "name (address)", or what there is of both. */
const char *probing_host_text(const struct probing_host *host, char *buf, size_t size);

/* "ICMP", "TCP port 443", "UDP port 33434". Returns buf. */
const char *probing_protocol_text(const struct probing *probing, const struct probing_host *host, char *buf,
                                  size_t size);

#endif
