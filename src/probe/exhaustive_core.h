/* What the parts of the search for all paths share: exhaustive.c (asking), exhaustive_paths.c (choosing and measuring
 * paths), exhaustive_show.c (the result). Not for users of libprobe. */
#ifndef OCULI_PROBE_EXHAUSTIVE_CORE_H
#define OCULI_PROBE_EXHAUSTIVE_CORE_H

#include "probe/exhaustive.h"
#include "probe/multipath.h"
#include "probe/round.h"

#define EXHAUSTIVE_CHUNK 256u /* records allocated at once */
#define EXHAUSTIVE_ECHO_TTL 64u

enum exhaustive_purpose {
    EXHAUSTIVE_ESTIMATE, /* how far is the target? */
    EXHAUSTIVE_SEARCH,
    EXHAUSTIVE_FILL,   /* a flow whose path is to be told whole */
    EXHAUSTIVE_SERIES, /* to the target along a path */
};

/* One probe. */
struct exhaustive_record {
    int64_t tx_ns, rx_ns, give_up_ns;
    uint32_t next; /* 1 + number of the flow's record before it */
    uint16_t flow, offset;
    uint16_t vertex; /* that answered; or MULTIPATH_NONE */
    uint16_t path;   /* of a series */
    uint8_t ttl;
    enum exhaustive_purpose purpose;
    bool is_taken, is_stamped;
    bool is_over;    /* answered, given up or refused */
    bool is_control; /* asks again somebody who answered, while others do not */
};

struct exhaustive_flow {
    struct probe_flow flow;
    uint32_t last_record; /* 1 + number */
    uint16_t next_offset;
    enum probe_trace_end end;
};

/* What is told about a vertex that its answers say. */
struct exhaustive_seen {
    uint8_t reply_ttl, icmp_type, icmp_code, quoted_ttl, quoted_dscp;
    bool has_quote;
    uint32_t label_count;
    const struct packet_label *labels;
    uint16_t index; /* of the interface in the shown hop; MULTIPATH_NONE = not shown */
};

/* How fast the routers at one TTL are asked. */
struct exhaustive_pace {
    int64_t gap_ns, next_ns; /* gap 0 = as fast as it goes */
    bool is_control_out, wants_control;
    uint8_t lost_controls; /* in a row */
    uint32_t next_control; /* flow */
};

struct exhaustive_path {
    uint16_t flow;
    bool is_filled;
    uint32_t series_sent;
};

struct search {
    struct probe_exhaustive_settings settings;
    struct arena *arena;
    struct probe_round *round;
    struct multipath mp;
    struct exhaustive_flow **flows;
    struct exhaustive_record **chunks;
    uint32_t record_count, record_room, oldest; /* oldest: all before it are over */
    uint32_t out;
    uint32_t search_sent;         /* probes of the search so far */
    uint32_t next_test;           /* when so many are sent: who balances by packet? */
    struct exhaustive_seen *seen; /* by vertex */
    uint32_t seen_room;
    struct exhaustive_pace *paces; /* by TTL */
    struct exhaustive_path *paths;
    uint32_t path_count;
    bool is_paths_cut;
    int64_t series_start_ns;
    int64_t max_rtt_ns;
    int64_t estimate_until_ns;
    uint16_t first_sum;
    uint8_t distance;  /* estimated; 0 = unknown */
    bool has_answered; /* the target replied to the estimate */
    bool has_stamps, has_sent, has_news;
    uint32_t returns;         /* from measuring to searching */
    bool was_complete;        /* when the search seemed over */
    bool is_exhausted;        /* no memory for more probes */
    bool is_full;             /* the transmit buffer, or as many out as may be */
    int64_t blocked_until_ns; /* a pace held something back until then */
    struct probe_exhaustive_result *result;
    uint32_t hop_room, shown_path_room;
    struct {
        uint32_t interfaces, links;
    } * rooms; /* of the shown hops, by TTL */
};

static inline struct exhaustive_record *exhaustive_record_at(const struct search *search, uint32_t i)
{
    return &search->chunks[i / EXHAUSTIVE_CHUNK][i % EXHAUSTIVE_CHUNK];
}

/* Sends one probe: false when that cannot be done now. */
bool exhaustive_send(struct search *search, uint16_t flow, uint8_t ttl, enum exhaustive_purpose purpose, uint16_t path);

/* Chooses flows that stand for the distinct paths and asks what is missing of them. True when nothing is. */
bool exhaustive_fill_paths(struct search *search);

/* Whether packets of a flow may take another way at a TTL than those before, as far as is proven. */
bool exhaustive_varies(const struct search *search, uint16_t flow, uint32_t ttl);

/* The series along the chosen paths, as far as due; sets *ret_due to when to look again. True when all was sent. */
bool exhaustive_send_series(struct search *search, int64_t now, int64_t *ret_due);

/* Whether the answer to a probe of a series comes from somebody else than the path leads to. */
bool exhaustive_is_wrong_end(const struct search *search, const struct exhaustive_record *record, bool is_target);

/* The TTL at which a flow's path ends as far as known, and how. */
uint8_t exhaustive_end_of(const struct search *search, uint16_t flow, enum probe_trace_end *ret_end);

/* Whether a probe counts: the kernel took it and this host did not drop it or its answer. */
bool exhaustive_is_counted(const struct search *search, const struct exhaustive_record *record);

/* Brings the result up to date. */
void exhaustive_show(struct search *search);

#endif
