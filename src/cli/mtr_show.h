/*
 * What `oculi mtr` shows: a path watched over many rounds as a table for people and as records for JSON and CSV.
 */
#ifndef OCULI_CLI_MTR_SHOW_H
#define OCULI_CLI_MTR_SHOW_H

#include "cli/probing.h"
#include "cli/watch.h"
#include "facts/geo.h"

/* One address at one distance; without address: the flows that nobody answers there. */
struct mtr_row {
    int32_t hop;
    const char *ip_address, *rdns;
    const char *flows; /* "1-3" */
    int64_t sent, received;
    double unanswered, loss; /* % */
    bool is_limited, is_target;
    double last_latency, avg_latency, min_latency, max_latency, jitter, median_latency; /* ms */
    const char *mpls, *tunnel;
    const char *prefix, *network, *location; /* from databases, NULL = not known */
};
extern const struct field_table mtr_row_table;

struct mtr_record {
    const char *server, *server_ip, *source_ip;
    int protocol; /* enum probe_protocol */
    int32_t port, flows;
    double interval_s;
    int64_t rounds;
    bool is_reached; /* by every flow */
    bool is_overloaded;
    const char *error_details;
    struct field_list rows; /* struct mtr_row */
};
extern const struct field_table mtr_record_table;

/* Judges the watch and makes the rows, in arena. names and geo may be NULL. */
void mtr_record_fill(struct watch *watch, struct names *names, struct geo *geo, struct arena *arena,
                     struct mtr_record *record);

enum mtr_columns { MTR_LATENCY, MTR_COUNTS, MTR_COLUMN_SETS };

struct mtr_style {
    unsigned width;  /* of a line; 0 = as wide as it takes */
    unsigned height; /* lines of the table, header included; 0 = all */
    enum mtr_columns columns;
    bool has_names;
};

/* The table and, when it is needed, its legend. In a narrow place the least important columns are left out, in a low
 * one the middle of the path. */
void mtr_show(const struct mtr_record *record, const struct mtr_style *style, struct buf *buf);

#endif
