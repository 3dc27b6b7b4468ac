/*
 * What `oculi ping` found, as lines, as a table, and as a record for JSON and CSV.
 */
#ifndef OCULI_CLI_PING_SHOW_H
#define OCULI_CLI_PING_SHOW_H

#include "cli/probing.h"
#include "cli/stream.h"

/* One host. Names as in the API's network results; latencies in ms. */
struct ping_record {
    const char *server, *server_ip;
    int protocol; /* enum probe_protocol */
    int32_t port;
    int64_t sent, received;
    double loss; /* % */
    double min_latency, avg_latency, median_latency, max_latency, jitter;
    int64_t duplicates, reordered, resets, icmp_errors;
    const char *icmp, *icmp_from;
    bool is_overloaded;
    int probe_mode; /* enum measure_probe_mode */
    const char *probe_mode_reason;
    int64_t lost_on_return;
    double sack_loss, syn_loss; /* % */
    const char *sack_interference;
    const char *error_details;
    struct field_list rtts_us; /* int64_t */
};
extern const struct field_table ping_record_table;

/* host->error or the refusal of our kernel becomes errorDetails. Strings and lists in arena. */
void ping_record_fill(const struct probing_host *host, const struct stream_figures *figures, struct arena *arena,
                      struct ping_record *ret_record);

/* A line for what became of a probe; prefix says of which host, or is "". */
void ping_show_event(const char *prefix, const struct stream_event *event, struct buf *buf);

/* The table of all hosts; what is remarkable about one follows its line. */
void ping_show_summary(const struct ping_record *records, size_t count, struct buf *buf);

#endif
