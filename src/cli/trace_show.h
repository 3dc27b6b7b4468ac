/*
 * What `oculi trace` found, as records for JSON and CSV. The table for people is show_paths (show.h).
 */
#ifndef OCULI_CLI_TRACE_SHOW_H
#define OCULI_CLI_TRACE_SHOW_H

#include "cli/probing.h"
#include "measure/part.h"

/* One host: the part pathVis of a result with what a command adds. */
struct trace_record {
    int protocol; /* enum probe_protocol */
    int32_t port;
    const char *server, *server_ip, *source_ip;
    const char *error_details;
    struct field_list path_traces; /* struct measure_route */
};
extern const struct field_table trace_record_table;

/* One hop of one trace: a line of CSV. */
struct trace_row {
    const char *server, *server_ip;
    int32_t trace;
    int end;
    int32_t hop;
    const char *ip_address, *rdns; /* NULL = silent */
    int32_t sent, received;
    double loss, avg_latency; /* %, ms */
    const char *icmp;
    int32_t quoted_ttl, reply_ttl;
    const char *mpls, *tunnel;
};
extern const struct field_table trace_row_table;

/* All hops of all traces, silent ones in their places. */
void trace_show_csv(const struct trace_record *record, struct buf *buf);

#endif
