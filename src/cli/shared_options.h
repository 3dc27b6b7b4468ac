/*
 * Fields that stand in the option tables of several commands: FIELD_...s (wire/field.h) with one name, range and help
 * for all of them.
 */
#ifndef OCULI_CLI_SHARED_OPTIONS_H
#define OCULI_CLI_SHARED_OPTIONS_H

#include "base/limit.h"
#include "wire/field.h"

#define OPTION_MAX_TTL(rec, member)                                                                                   \
    FIELD_I32(rec, member, "maxTtl", (.min = 1, .max = LIMIT_HOPS, .preset = "64", .letter = 'm'), "Hops to walk at most")

/* what_ends: "a trace gives up" */
#define OPTION_GAP_LIMIT(rec, member, what_ends)                                                                      \
    FIELD_I32(rec, member, "gapLimit", (.min = 1, .max = LIMIT_HOPS, .preset = "6", .letter = 'g'),                     \
              "Silent hops after which " what_ends)

#define OPTION_IN_SESSION(rec, member)                                                                                \
    FIELD_BOOL(rec, member, "inSession", (.preset = "false", .letter = 's'),                                            \
               "With --tcp: probe within a TCP session, which firewalls let pass that drop odd SYNs")

#define OPTION_TUNNELS(rec, member)                                                                                   \
    FIELD_BOOL(rec, member, "tunnels", (.preset = "false", .letter = 't'),                                              \
               "Look closer at MPLS tunnels: echo requests to the hops compare the ways back")

/* The letter is the command's: 0 = none. */
#define OPTION_REVEAL(rec, member, letter_)                                                                           \
    FIELD_BOOL(rec, member, "reveal", (.preset = "false", .letter = (letter_)),                                         \
               "The same, and trace to the hops themselves, which may show routers that tunnels hide")

#define OPTION_VERBOSE(rec, member)                                                                                   \
    FIELD_BOOL(rec, member, "verbose", (.preset = "false", .letter = 'v'),                                              \
               "Show ICMP types, quoted TTLs and TTLs of replies")

#define OPTION_GEO_DIR(rec, member)                                                                                   \
    FIELD_STR(rec, member, "geoDir", (.min = 1, .max = 3000),                                                           \
              "Directory of databases (*.mmdb) of networks and places to show")

/* letter_: 0 = none. */
#define OPTION_SOURCE_IP(rec, member, letter_)                                                                        \
    FIELD_STR(rec, member, "sourceIp", (.max = 63, .letter = (letter_)), "Address of this machine to measure from")

#define OPTION_NETNS(rec, member)                                                                                     \
    FIELD_STR(rec, member, "netns", (.max = 200), "Network namespace to measure from, by name or path")

#endif
