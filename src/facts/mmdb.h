/*
 * Writes small databases in MaxMind's format, for checks: there is none in the tree.
 *
 * Follows the format's description, version 2.0: a binary tree of prefixes, a data section, metadata.
 */
#ifndef OCULI_FACTS_MMDB_H
#define OCULI_FACTS_MMDB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define MMDB_WRITE_NODES 4096u

struct mmdb_write {
    const char *type;
    uint16_t ip_version, record_size; /* 4 or 6; 24, 28 or 32 */
    uint64_t built_s;
    struct buf data;
    uint32_t node_count;
    struct {
        uint32_t value[2]; /* 0 = nothing, < MMDB_WRITE_NODES: a node, else MMDB_WRITE_NODES + place in data */
    } nodes[MMDB_WRITE_NODES];
};

/* To be freed by mmdb_write_free. */
struct mmdb_write *mmdb_write_new(const char *type, uint16_t ip_version, uint16_t record_size, uint64_t built_s);
void mmdb_write_free(struct mmdb_write *write);

/* What the database says of a prefix: "city.names.en=Delft;country.iso_code=NL;autonomous_system_number=#64500". Fields
 * of one map stand side by side; a "0" in a path is the first of a list; # begins a number. A longer prefix may follow
 * a shorter one, not the other way round. */
void mmdb_write_put(struct mmdb_write *write, const char *prefix, const char *fields);

/* Appends the whole file. */
void mmdb_write_bytes(const struct mmdb_write *write, struct buf *out);
void mmdb_write_file(const struct mmdb_write *write, const char *path);

#endif
