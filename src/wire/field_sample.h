/*
 * A record with a field of every kind and every flag, for checks and fuzzing only.
 */
#ifndef OCULI_WIRE_FIELD_SAMPLE_H
#define OCULI_WIRE_FIELD_SAMPLE_H

#include <string.h>

#include "wire/field.h"

struct port {
    int32_t number;
    const char *label;
};

static const struct field port_fields[] = {
    FIELD_I32(struct port, number, "number", (.min = 1, .max = 65535, .flags = FIELD_REQUIRED), "The port"),
    FIELD_STR(struct port, label, "label", (), "What it is for"),
};
static const struct field_table port_table = FIELD_TABLE("Port", struct port, port_fields, NULL, "A port");

struct place {
    double latitude;
    const char *city;
    bool is_known;
};

static const struct field place_fields[] = {
    FIELD_F64(struct place, latitude, "latitude", (.min = -90, .max = 90, .unit = "degrees"), "How far north"),
    FIELD_STR(struct place, city, "city", (.flags = FIELD_REQUIRED), "Nearest town"),
    FIELD_BOOL(struct place, is_known, "known", (.preset = "true"), "Is it certain"),
};

static int place_valid(const void *record, struct error *err)
{
    const struct place *place = record;
    if (place->is_known || !place->city || strcmp(place->city, "nowhere") != 0)
        return 0;
    return error_set(err, E_INVALID, "city", "nowhere must be known");
}

static const struct field_table place_table = FIELD_TABLE("Place", struct place, place_fields, place_valid, "A place");

static const char *const protocols[] = {"tcp", "icmp", "udp", NULL};
static const char *const intervals[] = {"60", "120", "300", NULL};
static const char *const permissions[] = {"read", "write", NULL};

struct every {
    bool is_on;
    int32_t count;
    int32_t interval;
    int64_t big;
    double ratio;
    const char *name;
    int protocol;
    uint64_t id;
    int64_t since;
    struct place place;
    struct place *spare;
    struct field_list ports;
    struct field_list tags;
    struct field_list rights;
    struct field_list ids;
    struct field_list numbers;
    struct field_list rows;
    struct field_bytes blob;
    const char *password;
    const char *hash;
    int64_t created;
    const char *kind;
    const char *extra;
};

static const struct field every_fields[] = {
    FIELD_BOOL(struct every, is_on, "enabled", (.preset = "true"), "Does it run"),
    FIELD_I32(struct every, count, "numPathTraces", (.min = 1, .max = 10, .preset = "3"),
              "Path traces per round, each with its own flow"),
    FIELD_I32(struct every, interval, "interval", (.words = intervals, .unit = "s"), "Seconds between rounds"),
    FIELD_I64(struct every, big, "big", (.min = 0, .max = INFINITY), "Bytes ever seen, \"all\" of them"),
    FIELD_F64(struct every, ratio, "ratio", (.unit = "%", .min = 0, .max = 100), "Share of losses"),
    FIELD_STR(struct every, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 20), "What people call it"),
    FIELD_ENUM(struct every, protocol, "protocol", protocols, (.preset = "tcp"), "Protocol of the probes"),
    FIELD_ID(struct every, id, "testId", (), "The test"),
    FIELD_TIME(struct every, since, "since", (), "When it began"),
    FIELD_RECORD(struct every, place, "place", &place_table, (), "Where it is"),
    FIELD_RECORD_PTR(struct every, spare, "sparePlace", &place_table, (.flags = FIELD_ADVANCED), "Where else"),
    FIELD_LIST(struct every, ports, "ports", &port_table, (.min = 0, .max = 3), "Its ports"),
    FIELD_STRS(struct every, tags, "tags", (.preset = ""), "Labels on it"),
    FIELD_STRS(struct every, rights, "rights", (.words = permissions), "What one may do"),
    FIELD_IDS(struct every, ids, "agentIds", (.expand = "agent"), "Who measures"),
    FIELD_I64S(struct every, numbers, "numbers", (), "Some numbers"),
    FIELD_I64ROWS(struct every, rows, "rows", (.min = 0, .max = 4), "Rows of numbers"),
    FIELD_BYTES(struct every, blob, "blob", (), "Opaque bytes"),
    FIELD_STR(struct every, password, "password", (.flags = FIELD_SECRET), "The way in"),
    FIELD_STR(struct every, hash, "hash", (.flags = FIELD_INTERNAL), "Of the way in"),
    FIELD_TIME(struct every, created, "createdDate", (.flags = FIELD_READONLY), "When it was made"),
    FIELD_STR(struct every, kind, "kind", (.flags = FIELD_IMMUTABLE), "What it will always be"),
    FIELD_STR(struct every, extra, "extra", (.flags = FIELD_IGNORED), "Known and without effect"),
};
static const struct field_table every_table =
    FIELD_TABLE("Every", struct every, every_fields, NULL, "A field of every kind");

#endif
