/*
 * What the files of the path trace share: trace.c (what is sent when), trace_session.c (probes within a TCP session),
 * trace_result.c (what the answers mean).
 */
#ifndef OCULI_PROBE_TRACE_STATE_H
#define OCULI_PROBE_TRACE_STATE_H

#include "probe/round.h"
#include "probe/session.h"
#include "probe/trace.h"

/* Who has sent the RST that ended flows, asked with an echo request of the same TTL. */
enum origin { ORIGIN_UNKNOWN, ORIGIN_ASKED, ORIGIN_TARGET, ORIGIN_ROUTER };

/* What became of the attempts at one TTL of one flow. */
struct trace_slot {
    int64_t tx_ns[PROBE_TRACE_MAX_ATTEMPTS], rx_ns[PROBE_TRACE_MAX_ATTEMPTS];
    int64_t asked_ns;    /* when the last attempt was made; 0 = none is out */
    uint8_t attempts;    /* made */
    uint8_t taken;       /* bits: the kernel took it */
    uint8_t stamped;     /* bits: its transmit stamp came */
    uint8_t is_silent;   /* an attempt was given up */
    enum packet_kind kind; /* of the first answer */
};

struct trace_flow {
    uint32_t number;    /* within the trace */
    struct probe_flow flow;
    struct trace_slot *slots; /* by TTL - 1, beside result->hops */
    uint8_t room;
    uint8_t high;       /* TTLs 1..high have been probed */
    uint8_t last;       /* highest TTL that was answered */
    uint8_t stop;       /* lowest TTL at which the walk ended; 0 = none */
    bool is_over;       /* nothing more is to be sent or awaited */
    bool is_dead;       /* nothing can be sent on it */
    bool is_reset;      /* a RST ended its session */
    bool is_second;     /* the other kind of TCP probes has been tried before, in vain */
    struct session *session; /* in-session traces: then `flow` is not open; NULL = SYNs, datagrams, echo requests */
    uint16_t *offsets;  /* in-session: of the session's probes, in the order of sending */
};

struct probe_trace {
    struct probe_round round; /* first member */
    struct probe_trace_settings settings;
    struct arena *arena;
    probe_trace_fn *progress, *done;
    void *user;
    struct probe_trace_result *result; /* in the arena, like the flows */
    struct trace_flow *flows;
    int64_t estimate_until_ns; /* 0 = not asked; once it is over or answered, PROBE_IO_NEVER */
    int64_t estimate_tx_ns;
    int64_t wait_ns;
    int64_t max_rtt_ns;        /* of all answers */
    int64_t target_rtt_ns;     /* the least of the target's; 0 = it has not answered */
    struct probe_flow aside; /* another than those of the result: a SYN that has arrived changes what later ones draw */
    enum origin origin;
    int64_t origin_asked_ns;
    uint32_t sum;    /* of ICMP flows: that of the first */
    uint8_t origin_ttl;
    uint8_t distance; /* estimated; 0 = unknown */
    bool has_answered; /* the target replied to the estimate: it is there, however many hops before it are silent */
    bool has_news, has_stamps;
    bool has_sent; /* the kernel took something */
};

static inline struct probe_trace_hop *trace_hop_at(const struct probe_trace *trace, const struct trace_flow *flow, uint32_t ttl)
{
    return &trace->result->flows[flow - trace->flows].hops[ttl - 1];
}

static inline bool trace_is_answered(const struct probe_trace *trace, const struct trace_flow *flow, uint32_t ttl)
{
    return sock_is_set(&trace_hop_at(trace, flow, ttl)->addr);
}


/*
 * An address that comes again after something else was in between, twice, or that answers eight times in a row up to
 * the end. One repetition is no loop: a router that forwards packets whose TTL is used up makes the next one answer
 * twice. Returns the TTL at which the circle closes, 0 = none.
 */
uint32_t trace_find_loop(const struct probe_trace *trace, const struct trace_flow *flow);

/* Brings the result up to date. */
void trace_update(struct probe_trace *trace);

/* Opens a session for the flow; errors are those of session_open. */
int trace_session_open(struct probe_trace *trace, struct trace_flow *flow, struct error *err);

/* Sends what the session owes. True when the flow may probe: its session is open, or has been given up for SYNs because the
 * target does not do what it takes. *ret_due: when to look again. */
bool trace_session_step(struct probe_trace *trace, struct trace_flow *flow, int64_t now, int64_t *ret_due);

/* A flow of TCP that did not reach a target which is there begins anew with the other kind of probes, once: some firewalls drop
 * SYNs that differ from an earlier one, some drop data that is out of order or shift the numbers in SACK. False: it stays. */
bool trace_session_change(struct probe_trace *trace, struct trace_flow *flow);

/* Sends the probe with this number and offset within the session. False: not now, or (is_over) never again. */
bool trace_session_send(struct trace_flow *flow, uint32_t number, uint32_t offset, uint8_t ttl);

/* What an answer means to the session; true with *ret_offset when it answers that probe. */
bool trace_session_take(struct probe_trace *trace, struct trace_flow *flow, const struct probe_answer *answer,
                        uint32_t *ret_offset);

/* How far away a host is that answers with this TTL, taking the next of the usual initial values; 0 = cannot be told. */
uint8_t trace_distance_from(uint8_t ttl);

/* The flow of SYNs, datagrams or echo requests with this number. */
int trace_open_flow(struct probe_trace *trace, uint32_t number, struct error *err);

#endif
