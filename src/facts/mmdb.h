/*
 * Writes databases in MaxMind's format: of simulated internets, and for checks (there is none in the tree).
 *
 * Follows the format's description, version 2.0: a binary tree of prefixes, a data section, metadata.
 */
#ifndef OCULI_FACTS_MMDB_H
#define OCULI_FACTS_MMDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define MMDB_WRITE_NODES (1u << 20) /* of the tree; a prefix takes 128 at most */
#define MMDB_WRITE_DATA_BYTES (16u << 20)

struct mmdb_write {
    const char *type;
    uint16_t ip_version, record_size; /* 4 or 6; 24, 28 or 32 */
    uint64_t built_s;
    struct buf data;
    uint32_t node_count, node_room;
    struct mmdb_node {
        uint32_t value[2]; /* 0 = nothing, a node, or MMDB_WRITE_LEAF + place in data */
    } * nodes;
    bool is_full; /* a ceiling was hit */
};

/* To be freed by mmdb_write_free. */
struct mmdb_write *mmdb_write_new(const char *type, uint16_t ip_version, uint16_t record_size, uint64_t built_s);
void mmdb_write_free(struct mmdb_write *write);

/* What the database says of a prefix: "city.names.en=Delft;country.iso_code=NL;autonomous_system_number=#64500". Fields
 * of one map stand side by side; a "0" in a path is the first of a list; # and digits are a number. A longer prefix
 * may follow a shorter one, not the other way round. */
void mmdb_write_put(struct mmdb_write *write, const char *prefix, const char *fields);

/* Appends the whole file. -E_LIMIT: a ceiling was hit. */
int mmdb_write_bytes(const struct mmdb_write *write, struct buf *out, struct error *err);
/* As a whole, in place of what path was. */
int mmdb_write_file(const struct mmdb_write *write, const char *path, struct error *err);

#endif
