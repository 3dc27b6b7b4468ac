/*
 * Network and place of addresses, from database files in MaxMind's format (MMDB) that the operator puts into a
 * directory. Oculi ships none and fetches none.
 *
 * Every *.mmdb in the directory is opened; its own database_type says what it tells (geo_read.h). Files that come,
 * change or go are noticed by geo_refresh. A file that cannot be used is reported once for each change, and what it
 * held before it changed stays in use; the others are not concerned.
 *
 * Files are mapped into memory, and a mapped file that somebody overwrites in place kills who maps it. So a program
 * that runs for long names a scratch directory: each database is copied there, a piece with each geo_refresh, opened
 * and unlinked. Without one (programs that run for a moment) the files themselves are mapped.
 *
 * Private, documentation and other special addresses are only looked up in databases whose type contains "Private":
 * what others say about them would be wrong.
 */
#ifndef OCULI_FACTS_GEO_H
#define OCULI_FACTS_GEO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sock.h"

struct geo;

/* Each NULL (or 0) when no database says it. Texts are clean UTF-8 without control characters. */
struct geo_facts {
    const char *prefix;   /* "196.40.96.0/20": the block of the network database that holds the address */
    const char *network;  /* "HETZNER (Pty) Ltd (AS 37153)" */
    const char *location; /* "Cape Town, Western Cape, South Africa", as far as known */
    const char *country;  /* "ZA", ISO 3166-1 */
    const char *name;     /* "core1.ams.example.net": only private databases name addresses */
    uint32_t asn;
};

struct geo_database {
    const char *path, *type; /* "/var/lib/oculi/geo/GeoLite2-ASN.mmdb", "GeoLite2-ASN" */
    int64_t built_s;         /* epoch, as the file says */
};

struct geo_options {
    const char *dir;
    const char *scratch_dir; /* NULL = map the files themselves */
    void (*report)(void *user, const struct error *err); /* a file or the directory; may be NULL */
    void (*opened)(void *user, const struct geo_database *database); /* may be NULL */
    void *user;
    uint32_t max_addresses; /* remembered; 0 = LIMIT_GEO_ADDRESSES */
};

/* Opens nothing yet. The texts of options must live as long as geo does. */
struct geo *geo_new(const struct geo_options *options);
void geo_free(struct geo *geo);

/* Looks at the directory, or goes on copying. True: there is more to do, call again soon; a call takes a few ms. */
bool geo_refresh(struct geo *geo);

/* False: nothing is known (or geo is NULL). Texts are valid until the next geo_find or geo_refresh. */
bool geo_find(struct geo *geo, const union sock_addr *addr, struct geo_facts *ret_facts);

/* Counts up whenever the databases change: answers made before may be old. */
uint64_t geo_generation(const struct geo *geo);
size_t geo_count(const struct geo *geo); /* databases in use */

#endif
