/*
 * What `oculi paths` found: every interface at every distance, the links between them, the distinct paths with loss and
 * round-trip time of each; as a table and as records for JSON and CSV.
 */
#ifndef OCULI_CLI_PATHS_SHOW_H
#define OCULI_CLI_PATHS_SHOW_H

#include "cli/probing.h"
#include "facts/geo.h"
#include "probe/exhaustive.h"

struct paths_interface {
    int32_t hop; /* in CSV, where hops are no records of their own */
    const char *ip_address, *rdns, *prefix, *network, *location;
    bool is_target;
    int32_t flows, sent, received;
    double loss, min_latency, avg_latency, max_latency; /* %, ms */
    const char *icmp, *mpls;
    int32_t quoted_ttl, reply_ttl;
};

struct paths_link {
    const char *from, *to; /* addresses */
    int32_t flows;
};

struct paths_hop {
    int32_t hop;
    int balancer; /* enum probe_exhaustive_balancer */
    bool is_complete;
    int32_t silent_flows, untold_links;
    struct field_list interfaces, links; /* links to the next hop */
};

/* Words at the places where there is no address: "" = silent, "*" = another interface for every packet, or not known to
 * be none. */
struct paths_path {
    struct field_list addresses; /* strings */
    int end;                     /* enum measure_path_end */
    int32_t flows, sent, received;
    double loss, min_latency, avg_latency, max_latency;
};

struct paths_record {
    const char *server, *server_ip, *source_ip;
    int protocol; /* enum probe_protocol */
    int32_t port;
    double confidence; /* % */
    bool is_complete, is_strict, is_cut, has_more_paths;
    int end; /* enum measure_path_end: of a path that reached the target, else of any */
    int32_t interfaces, links, flows, sent, path_sent;
    double duration; /* ms, of the search */
    const char *error_details;
    struct field_list hops, paths;
};

extern const struct field_table paths_record_table, paths_hop_table, paths_path_table, paths_link_table,
    paths_interface_table;

/* Strings and lists in arena. names and geo may be NULL. */
void paths_record_fill(const struct probe_exhaustive_result *result, struct names *names, struct geo *geo,
                       struct arena *arena, struct paths_record *record);

void paths_show(const struct paths_record *record, bool is_verbose, struct buf *buf);
/* The last lines alone: what was found, and how sure that is. */
void paths_show_end(const struct paths_record *record, struct buf *buf);
/* One line for each interface. */
void paths_show_csv(const struct paths_record *record, struct buf *buf);

#endif
