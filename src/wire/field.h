/*
 * Field tables: a record that crosses a boundary is described once.
 *
 * A record is a C struct plus one constant struct field_table: the name on the wire, the member, its kind, its
 * default, bounds or words, and a sentence of help. Generic code derives from it defaults, JSON and CBOR reading and
 * writing, errors that name the field, --help texts, configuration values, the OpenAPI schema, TypeScript types and
 * settings forms. A kind that disagrees with the member's C type, or a field without help, does not compile. The
 * table describes single fields; a rule across fields is the table's `valid` function. It must not grow a language.
 *
 * Ownership: strings, lists and nested records read into a record live in the arena given to the reader. Absent
 * values are NULL, NaN, FIELD_NO_I32, FIELD_NO_I64, id 0, time 0, enum -1; absent values are not written, and neither
 * are numbers that are not finite.
 */
#ifndef OCULI_WIRE_FIELD_H
#define OCULI_WIRE_FIELD_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define FIELD_NO_I32 INT32_MIN
#define FIELD_NO_I64 INT64_MIN

enum field_kind {
    FIELD_KIND_BOOL,       /* bool; never absent */
    FIELD_KIND_I32,        /* int32_t; with words: one of the numbers they spell */
    FIELD_KIND_I64,        /* int64_t */
    FIELD_KIND_F64,        /* double; integral values are written without fraction */
    FIELD_KIND_STR,        /* const char * */
    FIELD_KIND_ENUM,       /* int: index into words */
    FIELD_KIND_ID,         /* uint64_t; a decimal string in JSON (v7), an integer in CBOR */
    FIELD_KIND_TIME,       /* int64_t epoch seconds; RFC 3339 UTC in JSON, an integer in CBOR */
    FIELD_KIND_RECORD,     /* a nested struct, always present */
    FIELD_KIND_RECORD_PTR, /* a pointer to a struct, NULL = absent */
    FIELD_KIND_LIST,       /* struct field_list of structs */
    FIELD_KIND_STRS,       /* struct field_list of const char *; with words: each is one of them */
    FIELD_KIND_IDS,        /* struct field_list of uint64_t */
    FIELD_KIND_I64S,       /* struct field_list of int64_t */
    FIELD_KIND_I64ROWS,    /* struct field_list of struct field_list of int64_t: rows, each of its own length */
    FIELD_KIND_BYTES       /* struct field_bytes, opaque; base64url in JSON, a byte string in CBOR */
};

/* items NULL = absent; a present empty list has a non-NULL items and count 0. A row of I64ROWS may have NULL items. */
struct field_list {
    void *items;
    size_t count;
};

/* data NULL = absent; present and empty has a non-NULL data and size 0. */
struct field_bytes {
    const void *data;
    size_t size;
};

#define FIELD_COUNT_MAX 256u /* fields of one table */

#define FIELD_REQUIRED 1u   /* must be given when the record is created */
#define FIELD_READONLY 2u   /* written by us only: accepted and ignored in requests */
#define FIELD_SECRET 4u     /* read, never written to JSON and never logged */
#define FIELD_INTERNAL 8u   /* in CBOR only (storage, agent messages): unknown to JSON, CLI and schema */
#define FIELD_IGNORED 16u   /* known to v7 and accepted, without effect here so far; written with its value */
#define FIELD_IMMUTABLE 32u /* cannot change after creation */
#define FIELD_ADVANCED 64u  /* folded away in forms and at the end of --help */

struct field_table;

struct field {
    const char *name;
    const char *help; /* one sentence, starts with a capital, no final stop needed */
    enum field_kind kind;
    unsigned flags;
    size_t offset;
    double min, max;                  /* numbers: value; strings (characters), lists, bytes: length; both 0 = unbounded,
                                         INFINITY = open at that end */
    const char *preset;               /* the default as text ("3", "true", "tcp"); NULL = absent; lists: "" = empty */
    const char *unit;                 /* "ms", "bytes", NULL */
    const char *const *words;         /* NULL-terminated: enum; allowed values of an I32 or of each string of a STRS */
    const struct field_table *table;  /* record, list */
    const char *expand;               /* present in answers only under ?expand=WORD; NULL = always */
    const char *alone;                /* on a command line: the value when none is given; NULL = one must be */
    char letter;                      /* on a command line also "-c"; 0 = none */
};

struct field_table {
    const char *name; /* of the record, as in the OpenAPI schema: "AgentToServerTestRequest" */
    const char *help;
    size_t size; /* of the struct */
    const struct field *fields;
    size_t count;
    int (*valid)(const void *record, struct error *err); /* rules across fields, or NULL */
};

/* --- writing a table -------------------------------------------------------------------------------------------
 * FIELD_X(record type, member, "nameOnTheWire", flags and other members as designated initializers or 0..., help)
 * Usage:   FIELD_I32(struct settings, num_path_traces, "numPathTraces",
 *                    (.min = 1, .max = 10, .preset = "3"), "Path traces per round, each with its own flow")
 * The parenthesised group may be empty: (). Flags go there too: (.flags = FIELD_REQUIRED, .max = 255).
 */
#define FIELD_UNWRAP(...) __VA_ARGS__
#define FIELD_IS(rec, member, type) (sizeof(char[_Generic(((rec *)0)->member, type: 1)]) - 1)
/* 12 is what gcc and clang call a record; the size of the struct is compared by field_audit. */
#define FIELD_IS_STRUCT(rec, member) (sizeof(char[__builtin_classify_type(((rec *)0)->member) == 12 ? 1 : -1]) - 1)
#define FIELD_ANY(kind_, check_, rec, member, name_, more, ...)                                                        \
    {                                                                                                                  \
        .kind = (kind_), .offset = offsetof(rec, member) + (check_), .name = (name_), .help = (__VA_ARGS__),           \
        FIELD_UNWRAP more                                                                                              \
    }
#define FIELD_BOOL(rec, member, name, more, ...)                                                                       \
    FIELD_ANY(FIELD_KIND_BOOL, FIELD_IS(rec, member, bool), rec, member, name, more, __VA_ARGS__)
#define FIELD_I32(rec, member, name, more, ...)                                                                        \
    FIELD_ANY(FIELD_KIND_I32, FIELD_IS(rec, member, int32_t), rec, member, name, more, __VA_ARGS__)
#define FIELD_I64(rec, member, name, more, ...)                                                                        \
    FIELD_ANY(FIELD_KIND_I64, FIELD_IS(rec, member, int64_t), rec, member, name, more, __VA_ARGS__)
#define FIELD_F64(rec, member, name, more, ...)                                                                        \
    FIELD_ANY(FIELD_KIND_F64, FIELD_IS(rec, member, double), rec, member, name, more, __VA_ARGS__)
#define FIELD_STR(rec, member, name, more, ...)                                                                        \
    FIELD_ANY(FIELD_KIND_STR, FIELD_IS(rec, member, const char *), rec, member, name, more, __VA_ARGS__)
#define FIELD_ENUM(rec, member, name, words_, more, ...)                                                               \
    FIELD_ANY(FIELD_KIND_ENUM, FIELD_IS(rec, member, int), rec, member, name,                                          \
              (.words = (words_), FIELD_UNWRAP more), __VA_ARGS__)
#define FIELD_ID(rec, member, name, more, ...)                                                                         \
    FIELD_ANY(FIELD_KIND_ID, FIELD_IS(rec, member, uint64_t), rec, member, name, more, __VA_ARGS__)
#define FIELD_TIME(rec, member, name, more, ...)                                                                       \
    FIELD_ANY(FIELD_KIND_TIME, FIELD_IS(rec, member, int64_t), rec, member, name, more, __VA_ARGS__)
#define FIELD_RECORD(rec, member, name, table_, more, ...)                                                             \
    FIELD_ANY(FIELD_KIND_RECORD, FIELD_IS_STRUCT(rec, member), rec, member, name,                                      \
              (.table = (table_), FIELD_UNWRAP more), __VA_ARGS__)
#define FIELD_RECORD_PTR(rec, member, name, table_, more, ...)                                                         \
    FIELD_ANY(FIELD_KIND_RECORD_PTR, 0 * sizeof(*((rec *)0)->member), rec, member, name,                               \
              (.table = (table_), FIELD_UNWRAP more), __VA_ARGS__)
#define FIELD_LIST(rec, member, name, table_, more, ...)                                                               \
    FIELD_ANY(FIELD_KIND_LIST, FIELD_IS(rec, member, struct field_list), rec, member, name,                            \
              (.table = (table_), FIELD_UNWRAP more), __VA_ARGS__)
#define FIELD_STRS(rec, member, name, more, ...)                                                                       \
    FIELD_ANY(FIELD_KIND_STRS, FIELD_IS(rec, member, struct field_list), rec, member, name, more, __VA_ARGS__)
#define FIELD_IDS(rec, member, name, more, ...)                                                                        \
    FIELD_ANY(FIELD_KIND_IDS, FIELD_IS(rec, member, struct field_list), rec, member, name, more, __VA_ARGS__)
#define FIELD_I64S(rec, member, name, more, ...)                                                                       \
    FIELD_ANY(FIELD_KIND_I64S, FIELD_IS(rec, member, struct field_list), rec, member, name, more, __VA_ARGS__)
#define FIELD_I64ROWS(rec, member, name, more, ...)                                                                    \
    FIELD_ANY(FIELD_KIND_I64ROWS, FIELD_IS(rec, member, struct field_list), rec, member, name, more, __VA_ARGS__)
#define FIELD_BYTES(rec, member, name, more, ...)                                                                      \
    FIELD_ANY(FIELD_KIND_BYTES, FIELD_IS(rec, member, struct field_bytes), rec, member, name, more, __VA_ARGS__)
#define FIELD_TABLE(name_, rec, fields_, valid_, ...)                                                                  \
    {                                                                                                                  \
        .name = (name_), .size = sizeof(rec), .fields = (fields_), .count = sizeof(fields_) / sizeof(fields_)[0],      \
        .valid = (valid_), .help = (__VA_ARGS__)                                                                       \
    }

/* --- reading and writing ----------------------------------------------------------------------------------------- */

/* Sets every field to its preset, or to absent. */
void field_defaults(const struct field_table *table, void *record);
void field_default(const struct field *field, void *record); /* one field of it */

enum field_mode {
    FIELD_CREATE, /* REQUIRED fields must be given; unknown names are errors */
    FIELD_MERGE,  /* what is not given keeps its value; IMMUTABLE fields may only be repeated; unknown are errors */
    FIELD_TRUST   /* from our own storage or an agent of another version: unknown names ignored, READONLY read too */
};

/*
 * Reads JSON over record, which the caller has filled with defaults (or with the present values). null means "as if
 * never given": the preset, or absent when there is none; it is an error in lists. A nested record is merged in
 * FIELD_MERGE; a list is replaced whole, its items created anew. After FIELD_CREATE and FIELD_MERGE the whole record
 * has passed field_check; FIELD_TRUST checks kinds and words only. Strings are valid UTF-8 of at most
 * LIMIT_STRING_BYTES without NUL, lists have at most LIMIT_LIST_ITEMS items. Errors: E_TYPE, E_RANGE, E_UNKNOWN,
 * E_REQUIRED, E_INVALID, E_LIMIT (the arena's ceiling too), each naming the field path ("agents[2].agentId").
 * On failure record holds a mixture: read into a copy.
 */
int field_from_json(const struct field_table *table, const json_t *json, enum field_mode mode, void *record,
                    struct arena *arena, struct error *err);

/* A new reference owned by the caller. expand: NULL-terminated words asked for, or NULL for none. */
json_t *field_to_json(const struct field_table *table, const void *record, const char *const *expand);

/* CBOR (RFC 8949): a map from names to values, in the table's order, absent fields left out (null where the table has a
 * preset, so that absence survives); all fields, secrets and internals included, enums as words, numbers in their
 * shortest exact form. Reading is in FIELD_TRUST mode and starts from defaults; a name given twice is an error. */
void field_to_cbor(const struct field_table *table, const void *record, struct buf *buf);
int field_from_cbor(const struct field_table *table, const void *bytes, size_t size, void *record, struct arena *arena,
                    struct error *err);

/* Sets one field from text: a command line option or a configuration value. Lists take comma-separated values; a bool
 * takes true or false; a time RFC 3339 or epoch seconds; a number whose unit is "s" also a duration ("5m"). name is the
 * wire name, with dots into nested records ("proxy.host"). The value is checked against its bounds. */
int field_from_text(const struct field_table *table, const char *name, const char *text, void *record,
                    struct arena *arena, struct error *err);

const struct field *field_find(const struct field_table *table, const char *name);
const struct field *field_find_option(const struct field_table *table, const char *kebab); /* "num-path-traces" */

/* Bounds of every field, REQUIRED fields that are absent, and the table's own rule; nested records too. */
int field_check(const struct field_table *table, const void *record, struct error *err);

/* A deep copy into arena: 0 or -E_LIMIT (the arena's ceiling; ret_copy is then of no use). */
int field_copy(const struct field_table *table, const void *record, void *ret_copy, struct arena *arena);
bool field_equal(const struct field_table *table, const void *a, const void *b);

/* --- descriptions ------------------------------------------------------------------------------------------------- */

/* "  --num-path-traces N   Path traces per round ... (1-10, default 3)" for every field a user may set as an option;
 * ADVANCED ones follow under their own title. A letter goes first: "  -c, --count N". */
void field_help(const struct field_table *table, struct buf *buf);
/* The same fields as a file of "name = value" lines, each behind its help and commented out with its default. */
void field_config(const struct field_table *table, struct buf *buf);

/* The OpenAPI 3.0 schema object of the record; nested tables become "$ref": "#/components/schemas/NAME". */
json_t *field_schema(const struct field_table *table);

/* "export interface NAME { ... }" and, for forms, "export const NAME_FIELDS: FieldInfo[] = [...]". Nested tables are
 * named, not included: see field_walk. The prelude defines FieldInfo and goes first in the file, once. */
void field_typescript_prelude(struct buf *buf);
void field_typescript(const struct field_table *table, struct buf *buf);

/* Calls fn for table and every table it nests, each once, inner ones first. */
void field_walk(const struct field_table *table, void (*fn)(const struct field_table *table, void *user), void *user);

/* Is the table itself sound? Names unique, presets within bounds, members within the struct, words where they belong,
 * nested tables no larger than their member. Every table has a check that calls this. */
int field_audit(const struct field_table *table, struct error *err);

#endif
