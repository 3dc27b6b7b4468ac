/*
 * What the server knows of the addresses in its answers beyond what agents measured: network, prefix and place from the
 * operator's databases (facts/geo.h), names from DNS where the operator allows it (facts/names.h). Added when results
 * are read, so that a database that came later speaks about earlier rounds too. What an agent told is never replaced.
 *
 * A NULL struct about knows nothing.
 */
#ifndef OCULI_SERVER_ABOUT_H
#define OCULI_SERVER_ABOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/loop.h"
#include "measure/part.h"

struct about;

struct about_options {
    const char *geo_dir;      /* databases */
    const char *scratch_dir;  /* where databases are copied before they are used */
    bool has_names;           /* ask DNS for names */
    const char *name_servers; /* NULL = the system's */
};

/* Reads the databases that are there. -E_INVALID: where "servers". */
int about_open(struct loop *loop, const struct about_options *options, struct about **ret_about, struct error *err);
void about_close(struct about *about);

/* Fills what is NULL. Texts live in the arena. False: a name is being asked for, and a later answer may say more. */
bool about_hop(struct about *about, struct measure_hop *hop, struct arena *arena);
/* All hops, and the source's prefix. */
bool about_paths(struct about *about, struct measure_path_vis *paths, struct arena *arena);
bool about_asks_names(const struct about *about);
/* Only asks for the names of the hops, so that they are there when somebody looks. */
void about_expect(struct about *about, const struct measure_path_vis *paths);

/* Network ("Name (AS 64500)") and prefix of any address; NULL where not known. */
void about_address(struct about *about, const char *address, const char **ret_network, const char **ret_prefix,
                   struct arena *arena);

struct about_counts {
    size_t databases;                          /* in use */
    size_t names;                              /* addresses whose names are remembered, also those that have none */
    uint64_t asked, answered, failed, refused; /* questions for names, as in facts/names.h */
};
void about_counts(const struct about *about, struct about_counts *ret_counts);

/* Counts up when what is said of the same addresses may have changed, but for names. */
uint64_t about_generation(const struct about *about);

#endif
