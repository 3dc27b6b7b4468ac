/*
 * What a measure type is, as data: one constant struct measure_type per folder (type.c), linked into the server, the
 * agents and the command line alike. It holds no code, so the server knows every type and links no probe.
 *
 * A result is made of parts ("network", "pathVis"), each a record with its own field table, its own v7 results path
 * and its own key in what `oculi measure` prints.
 */
#ifndef OCULI_MEASURE_TYPE_H
#define OCULI_MEASURE_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/field.h"

struct measure_metric {
    const char *id;    /* "loss": the name in timelines and alerts; a FIELD_F64 of the part's table */
    const char *title; /* "Loss" */
    const char *unit;  /* "%", "ms" */
    const char *part;  /* "network" */
    bool is_higher_worse;
    double minor, major, critical; /* default severity thresholds; NaN = against the baseline */
    const char *otel_name;         /* OpenTelemetry metric, NULL = none */
    double otel_scale;             /* our unit times this is OpenTelemetry's */
    const char *help;
};

struct measure_part {
    const char *name;                /* "pathVis": key in command line JSON and in storage */
    const char *api_path;            /* "path-vis": /v7/test-results/{testId}/path-vis */
    const struct field_table *table; /* the record without agent, test and time (those are the server's) */
    const struct field_table *summary; /* the same record as lists of rounds show it; NULL = table */
    size_t offset;                   /* of the record within the type's result struct */
};

/* Which of an agent's queues a round takes a slot of while it runs. */
enum measure_queue { MEASURE_GENERAL, MEASURE_BROWSER, MEASURE_BANDWIDTH, MEASURE_VOICE, MEASURE_QUEUES };

#define MEASURE_CONTINUOUS_S 60 /* v7: the only interval of continuous mode */

struct measure_type {
    const char *name;  /* "agent-to-server": v7 type, API path /v7/tests/agent-to-server, command line word */
    const char *title; /* "Agent to server" */
    const char *help;
    const struct field_table *settings;
    /* Brings settings that were read and checked into the form that is kept and answered (a port folded into the
     * target, labels filled in); strings in arena. NULL = nothing to do. Doing it twice changes nothing. */
    void (*normalise)(void *settings, struct arena *arena);
    /* -E_NOT_SUPPORTED naming the field when no agent of this version can run these settings. NULL = all can. */
    int (*supported)(const void *settings, struct error *err);
    /* Do rounds of these settings fill their interval of MEASURE_CONTINUOUS_S, a probe each second? NULL = never. */
    bool (*is_continuous)(const void *settings);
    enum measure_queue (*queue)(const void *settings); /* NULL = MEASURE_GENERAL for all */
    unsigned (*units)(const void *settings); /* what one run on a cloud agent costs by the product's table; NULL = nothing */
    size_t result_size; /* of the result struct, which starts zeroed and then gets every part's defaults */
    const struct measure_part *parts;
    size_t part_count;
    const struct measure_metric *metrics; /* stored by position: new ones go to the end, none is ever removed */
    size_t metric_count;
    const char *default_view; /* "path": the tab opened first */
    const char *target_name;  /* name of the settings field that names the target: "server" */
};

static inline bool measure_is_continuous(const struct measure_type *type, const void *settings)
{
    return type->is_continuous && type->is_continuous(settings);
}

/* All types of this build, from the word list in meson.build; NULL-terminated. */
extern const struct measure_type *const measure_types[];

const struct measure_type *measure_type_find(const char *name); /* NULL when unknown */

#endif
