/*
 * What the engine and the kinds of rounds (ping.c, trace.c) share; not for users of libprobe.
 *
 * A round is a state machine in a slot of the engine's slab. It is moved by one step function and moves the world only
 * through the calls below. It calls its user (progress, done) only in PROBE_EVENT_TIMER or from its own public
 * functions, so that no user code runs while a batch is being sent or read.
 */
#ifndef OCULI_PROBE_ROUND_H
#define OCULI_PROBE_ROUND_H

#include "probe/engine.h"
#include "probe/io.h"
#include "probe/match.h"

#define ROUND_BYTES 480u /* of a slot: room for every kind of round */

struct probe_round;
struct round_memory;

enum probe_event_kind {
    PROBE_EVENT_TIMER,   /* the time asked for has come */
    PROBE_EVENT_SENT,    /* the kernel took a probe; at_ns is the clock just before */
    PROBE_EVENT_REFUSED, /* it did not; sys_errno says why */
    PROBE_EVENT_STAMP,   /* the kernel's transmit stamp of a probe: at_ns */
    PROBE_EVENT_ANSWER,  /* something answered a probe of one of the round's flows */
};

struct probe_answer {
    enum packet_kind kind;
    const struct packet_icmp *icmp; /* one of the three is set */
    const struct packet_tcp *tcp;
    const struct packet_udp *udp;
    const struct probe_io_reply *packet; /* from, ttl, tos, rx_ns */
    enum match_quality quality;
    uint8_t rewritten; /* MATCH_SRC...: what in the quotation is not as it was sent */
    uint32_t flow;   /* the number the round gave the flow */
    uint32_t offset; /* of the probe in the flow's sequence */
};

struct probe_event {
    enum probe_event_kind kind;
    uint32_t probe; /* the number the round gave the probe (all but TIMER and ANSWER) */
    int64_t at_ns;  /* now, for TIMER */
    int sys_errno;
    const struct probe_answer *answer;
};

/* First member of every round. */
struct probe_round {
    void (*step)(struct probe_round *round, const struct probe_event *event);
    struct probe_engine *engine;
    uint64_t serial;   /* never used twice; 0 = the slot is free */
    int64_t due_ns;
    size_t position;   /* in the engine's heap; 0 = not waiting */
    uint32_t reserved; /* probes */
    bool is_sharp;     /* due_ns is not put off to the next tick */
    struct round_memory *memory; /* the latest block */
};

struct probe_flow {
    struct match_flow match;
    struct probe_round *round;
    uint32_t number; /* the round's own */
    uint32_t label;  /* IPv6 flow label */
    uint32_t ports;  /* local ports by which it can be found: those of offsets below this */
    bool has_own_src;
    bool is_id_listed; /* it can be found by its IP identification */
    bool is_id_shared; /* by which others could be meant */
};

/* A slot with its head filled in, due at once. NULL with err set (E_LIMIT) at a ceiling; probes = how many may be out at
 * once. */
void *round_new(struct probe_engine *engine, uint32_t probes,
                void (*step)(struct probe_round *round, const struct probe_event *event), struct error *err);

/* Memory that grows while a round works and goes with it; what the user is to keep belongs into his arena. A block of old_size
 * (NULL and 0: a new one) becomes one of size, somewhere else; what is new is zeroed. */
void *round_memory(struct probe_round *round, void *block, size_t old_size, size_t size);

/* Forgets the round and gives its slot back. Its flows must be closed. */
void round_free(struct probe_round *round);

/* The next PROBE_EVENT_TIMER; in the past means as soon as possible. PROBE_IO_NEVER = none. */
void round_wake_at(struct probe_round *round, int64_t due_ns);

/* The same, and not later for the sake of others: for packets whose spacing matters. */
void round_wake_sharply_at(struct probe_round *round, int64_t due_ns);

/* Gives a flow a key nobody else uses; what is the caller's in `match` is set by him (an unset src becomes the system's
 * choice). sum: see match_flow_init; 0 = random. seed: what load balancers hash (identifier, port, flow label) follows
 * from it, so that the same seed and sum take the same path again; 0 = anew. The identifier of a seed that is in use
 * by too many rounds at once is given up for another. A session gets a quiet port that it shares with none to the same
 * dst: E_LIMIT when
 * there is none left. */
int flow_open(struct probe_round *round, struct probe_flow *flow, uint32_t number, uint16_t sum, uint64_t seed,
              struct error *err);
void flow_close(struct probe_flow *flow);
uint16_t flow_random_sum(struct probe_engine *engine);

struct probe_send {
    uint32_t offset;  /* of the probe in the flow; 0..MATCH_FLOW_PROBES - 1 */
    uint32_t probe;   /* the round's number of it: comes back in events */
    uint8_t ttl, tos;
    uint16_t size;    /* of the whole IP packet, zeros being added; 0 = as it comes */
    const struct packet_tcp *segment; /* sessions: what to send, all but the ports; valid during the call */
};

/* False when the transmit buffer is full: try again at the next wake-up. SENT or REFUSED with the number `probe` follows, at
 * the latest at the end of this wake-up. */
bool flow_send(struct probe_flow *flow, const struct probe_send *send);

/* Whether this host dropped received packets at a time between the two. */
bool round_dropped_between(const struct probe_round *round, int64_t from_ns, int64_t to_ns);

#endif
