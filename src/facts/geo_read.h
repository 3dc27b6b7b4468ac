/*
 * One database in MaxMind's format: what it tells, and what it says about an address. Inside facts.
 *
 * The words of database_type decide, whatever their case: City, Enterprise, Location and Country tell places; ASN, ISP
 * and Enterprise networks; ipinfo's types both. Records are MaxMind's (and those of who keeps to them, DB-IP), or flat
 * like ipinfo's. In private databases the field hostname is the address's name.
 */
#ifndef OCULI_FACTS_GEO_READ_H
#define OCULI_FACTS_GEO_READ_H

#include <maxminddb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sock.h"

#define GEO_TEXT_BYTES 256

struct geo_record {
    bool has_network, has_place;
    uint32_t asn;
    uint8_t prefix_length; /* of the block that has the network; valid with has_network and has_prefix */
    bool has_prefix;
    char organization[GEO_TEXT_BYTES];
    char city[GEO_TEXT_BYTES], region[GEO_TEXT_BYTES], country[GEO_TEXT_BYTES];
    char iso[3];
    char name[GEO_TEXT_BYTES]; /* "" = none */
};

struct geo_kind {
    uint8_t network, place; /* how well it tells them: more is better, 0 = not at all */
    bool is_private;        /* tells of private addresses, and of nothing else */
};

/* -E_NOT_SUPPORTED: nothing we show. */
int geo_read_kind(const char *database_type, struct geo_kind *ret_kind, struct error *err);

/* Adds to record what it lacks and the database tells. -E_CORRUPT: the database is damaged, record has what was
 * read. */
int geo_read(const MMDB_s *mmdb, const struct geo_kind *kind, const union sock_addr *addr, struct geo_record *record,
             struct error *err);

/* "Name (AS 64500)", "AS 64500" without a name; "City, Region, Country" without what is missing or said twice. False:
 * nothing to say. */
bool geo_network_text(const struct geo_record *record, char *buf, size_t size);
bool geo_location_text(const struct geo_record *record, char *buf, size_t size);

#endif
