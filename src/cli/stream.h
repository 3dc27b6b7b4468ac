/*
 * An end-to-end stream of any length to one host: rounds of probe_ping (ICMP) or probe_mode (TCP) one after the other, each
 * begun when its first probe is due, so that the rate stays the same while the answers of the round before are still awaited.
 *
 * Every probe is told once when its answer comes; one that stays without an answer for STREAM_SILENCE_NS is told as
 * silent, and again should its answer come later. The figures are those of the rounds that are over; they are complete when
 * done has been called or stream_finish has returned. Where SYNs take the place of SACK within a round, its probes are told
 * anew, and only those of the stream that counts are in the figures.
 */
#ifndef OCULI_CLI_STREAM_H
#define OCULI_CLI_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "cli/tally.h"
#include "probe/mode.h"

#define STREAM_SILENCE_NS CLOCK_S

struct stream_settings {
    enum probe_mode_want want;       /* of TCP */
    struct probe_ping_settings ping; /* protocol, dst, src, payload, dscp, flow; the rest is the stream's */
    int64_t gap_ns;                  /* between two probes; 0 = adapted to the round-trip time */
    int64_t delay_ns;                /* before the first probe */
    uint64_t count;                  /* 0 = until it is finished */
    uint32_t piece;                  /* probes of one round, 1..LIMIT_STREAM_PROBES */
    bool keeps_rtts;                 /* rtts_us is wanted */
};

enum stream_event_kind {
    STREAM_ANSWER, /* rtt_ns, ttl */
    STREAM_ERROR,  /* an ICMP error: from, icmp_type, icmp_code */
    STREAM_SILENT, /* no answer so far */
    STREAM_NOTE,   /* text: why SYNs are sent in the place of SACK; the numbers of the round may begin anew */
    STREAM_REFUSED /* our kernel did not take the probe: text */
};

struct stream_event {
    enum stream_event_kind kind;
    uint64_t number; /* of the probe, from 1 on */
    int64_t rtt_ns;
    uint8_t ttl; /* of the answer as it arrived; 0 = unknown */
    bool is_out_of_order;
    const union sock_addr *from;
    uint8_t icmp_type, icmp_code;
    const char *text;
};

struct stream_figures {
    uint64_t sent, received; /* received <= sent */
    uint64_t duplicates, reordered, resets, errors, refused, overloaded;
    uint64_t lost_on_return; /* SACK: lost probes that had come to the host */
    bool is_sack;            /* the mode of the latest round */
    bool is_unsupported;     /* SACK was asked for and is not possible: mode_reason says why */
    bool has_compared;       /* SYNs with SACK, because SACK probes were lost: */
    double sack_loss, syn_loss; /* %, of the latest round that did */
    char mode_reason[200];   /* why the mode is so; "" = ICMP, or not known yet */
    char interference[200];  /* something drops SACK probes; "" = not proven */
    struct tally tally;
    union sock_addr error_from; /* the last ICMP error; unset = none */
    uint8_t error_type, error_code;
    char refusal[128]; /* the first refusal of our kernel; "" = none */
    int64_t *rtts_us;  /* by number - 1: -1 = no answer, STREAM_UNSENT = not counted; at most LIMIT_LIST_ITEMS */
    size_t rtt_count, rtt_room;
};

#define STREAM_UNSENT INT64_MIN

struct stream;
typedef void stream_event_fn(void *user, const struct stream_event *event);
typedef void stream_done_fn(void *user);

/* Zero it and set the first group. */
struct stream {
    struct loop *loop;
    struct probe_engine *engine;
    struct stream_settings settings;
    stream_event_fn *event; /* NULL = nobody wants to know yet */
    stream_done_fn *done;   /* all of count probes have been settled, or the first ones were all refused */
    void *user;
    struct probe_modes *memory;  /* of TCP hosts: outlives the stream; NULL = every round decides anew */

    struct stream_figures figures;
    struct stream_piece *pieces; /* that run */
    uint32_t piece_count;
    uint64_t begun;              /* probes of the rounds begun so far */
    uint64_t highest;            /* number of the latest probe that was answered */
    int64_t due_ns;              /* of the next round */
    struct loop_timer begin_timer, look_timer;
    uint64_t heard;              /* answers that were told, */
    double heard_ns;             /* and their round-trip times: an adapted stream goes by them */
    struct stream_answer *answers; /* that a round which runs may overtake */
    size_t answer_count, answer_room;
    enum probe_mode_reason noted; /* that was told last */
    uint32_t refusals;           /* probes our kernel did not take, as far as looked at */
    bool has_sent;               /* it took one */
    bool is_over;
};

/* Begins. -E_LIMIT or the error of probe_ping_start: a round that cannot begin later ends the stream as refused. */
int stream_start(struct stream *stream, struct error *err);

/* Ends it with what it has; done is not called. Harmless when it is over. */
void stream_finish(struct stream *stream);

/* Frees what it keeps; it must be over. */
void stream_done(struct stream *stream);

#endif
