/*
 * One TCP session carried by hand, for probes that travel as its data; for rounds, not for users of libprobe.
 *
 * The session leaves from a quiet port (open.h), so that this host's kernel knows nothing of it. After the handshake one byte
 * is left out for good, and every probe is data behind that hole. Data out of order is acknowledged at once (RFC 5681
 * section 4.2) with blocks that tell what has come (SACK, RFC 2018), and nothing of it ever reaches the application.
 *
 *     sequence number   base        base + 1   base + 2 ...
 *                       SYN, nudge  the hole   the lanes
 *
 * Which probe has drawn an acknowledgement is what its first block tells: the block "which triggered this ACK" (RFC 2018
 * section 4). Were the probes one behind the other, that block would be all that has come, and on a path that reorders or
 * loses acknowledgements nobody could say which byte of it was the last. So the probes go in turn to SESSION_LANES lanes
 * with a byte between them that is never sent:
 *
 *     lane 0   probes 0, 16, 32 ...   a hole of one byte   lane 1   probes 1, 17, 33 ...   a hole of one byte   ...
 *
 * The block of a probe holds nobody else who is under way, unless packets overtake 15 later ones. The target keeps no
 * more than one buffer for each lane, since what touches is merged.
 *
 * A handshake may be that of a proxy which then asks the target, and until that has answered drops what comes. So a stream
 * begins with nudges, until one is answered (warm_up_ns).
 *
 * All segments have the same time stamp (RFC 7323): with a clock that runs, one that was overtaken by a nudge would be too
 * old for the target (section 5.3, PAWS), and be answered by an acknowledgement that tells nothing.
 *
 * The nudge: Linux delays acknowledgements of data behind a hole from the fourth on, by 0.1 to 1.1 ms ("compressed"). A
 * segment that carries a byte which it has had puts it into a mode in which it answers at once, for 16 answers. Such a
 * segment (the form of a keep-alive, RFC 9293 section 3.8.4) follows the second probe (third in one lane; not when a nudge was
 * answered before) and every seventh after it, and more when it goes unanswered. Its answer names the byte in a D-SACK block (RFC 2883) and so is told from a probe's. To a
 * target that does not do that no nudge is sent again.
 *
 * Which probe an acknowledgement answers: the one that a D-SACK block names, else the latest of those that its first block
 * covers and that no acknowledgement had covered, else the latest the first block covers. Other probes that it covers have
 * arrived, and their own answers may still come, or have been lost on the way back.
 *
 * With timestamps agreed every segment carries them. What the target sends is acknowledged and thrown away. At
 * the end the session is reset, so that nothing of it stays at the target.
 *
 * A session is a part of a round: it is stepped in the round's TIMER events, is told of those events that carry its own
 * numbers, takes all answers to its flow, and never wakes the round itself: session_due_ns says when it wants to be.
 */
#ifndef OCULI_PROBE_SESSION_H
#define OCULI_PROBE_SESSION_H

#include "probe/round.h"

#define SESSION_PROBES (MATCH_FLOW_PROBES - 2u) /* of one session */
#define SESSION_TRIES 3u                        /* SYNs, a second apart */
#define SESSION_OWN 0x80000000u                 /* numbers of events from here on belong to the session */
#define SESSION_MAX_STRIDE 1400u
#define SESSION_LANES 16u

enum session_state {
    SESSION_NEW,         /* session_open has not been called, or has failed */
    SESSION_OPENING,     /* the handshake is under way */
    SESSION_OPEN,
    SESSION_REFUSED,     /* a RST answered the SYN */
    SESSION_SILENT,      /* nothing answered the SYNs */
    SESSION_UNREACHABLE, /* an ICMP error answered the SYN */
    SESSION_UNSENT,      /* our own kernel did not take the SYN */
    SESSION_RESET,       /* a RST came within the session */
    SESSION_FINISHED,    /* the target has closed it */
};

struct session {
    /* The caller's, before session_open. */
    union sock_addr src, dst; /* src unset = the system's choice */
    uint16_t stride;          /* sequence numbers of a probe, hence its most bytes: 1..SESSION_MAX_STRIDE */
    uint16_t planned;         /* probes, 1..SESSION_PROBES; 0 = not known: all in one lane */
    uint8_t tos;
    int64_t warm_up_ns;       /* how long to wait, once open, until the target answers within the session; 0 = not at all */

    /* To be read. */
    enum session_state state;
    uint32_t sent;            /* probes */
    uint16_t mss;             /* that the target has told; 0 = none */
    bool has_sack;            /* it permits SACK */
    bool has_timestamps;
    bool is_warming;          /* it is open, but has not shown yet that somebody is there; no probe is to be sent */
    bool is_heard;            /* a segment within the session has come */
    bool has_odd_blocks;      /* blocks came that name what was never sent: something on the way rewrites sequence numbers
                                 but not those */
    uint32_t plain_acks;      /* acknowledgements that came without any block that is ours though probes were out */
    uint32_t copies;          /* acknowledgements that told nothing new and turned out to be copies, not answers to nudges */
    uint32_t tries;           /* SYNs sent */
    int64_t syn_tx_ns[SESSION_TRIES];
    int sys_errno;            /* why our kernel did not take a SYN */

    /* The session's own. */
    struct probe_flow flow;
    int64_t syn_ack_ns;       /* 0 = has not come */
    bool is_first_try;        /* one SYN was out: it answers that, and for the first time (Karn) */
    int64_t retry_ns;
    uint32_t ts_first, ts_recent;
    uint32_t rcv_nxt;
    uint32_t window;          /* bytes behind base + 1 that the target takes */
    uint8_t scale;
    bool has_scale;
    bool owes_ack, owes_nudge, owes_reset, is_nudge_again;
    uint32_t reset_seq;
    enum { NUDGE_UNKNOWN, NUDGE_NAMED, NUDGE_PLAIN } nudges; /* how the target answers them */
    uint32_t nudges_out, nudges_sent;
    uint32_t doubtful;        /* copies, unless they turn out to be answers to nudges */
    uint32_t plain_nudges;    /* acknowledgements that may be such answers */
    uint16_t last_answered, lane_answered[SESSION_LANES];
    uint32_t lane_ts[SESSION_LANES]; /* time stamp of the answer */
    uint32_t lanes, rows;     /* rows: probes of a lane */
    uint32_t highest;         /* 1 + the latest probe that has arrived */
    int64_t nudge_ns;         /* when the last was sent, or the one it owes is due */
    int64_t first_nudge_ns, warm_until_ns;
    uint64_t arrived[MATCH_FLOW_PROBES / 64], answered[MATCH_FLOW_PROBES / 64];
};

enum session_news {
    SESSION_NOTHING,  /* nothing that concerns the round; look at session_due_ns all the same */
    SESSION_OPENED,
    SESSION_ANSWER,   /* probe *ret_probe is answered by this very packet */
    SESSION_AGAIN,    /* and it was before: a duplicate */
    SESSION_ERROR,    /* an ICMP error is about probe *ret_probe */
    SESSION_ENDED,    /* state says how */
};

/* The number given to session_open, from the number of an event of SESSION_OWN or above. */
static inline uint32_t session_number(uint32_t probe)
{
    return (probe & ~SESSION_OWN) >> 8;
}

/* Opens the flow; the first SYN goes with the first session_step. Errors are those of flow_open. number and seed: see there;
 * a session's port does not follow from the seed. */
int session_open(struct session *session, struct probe_round *round, uint32_t number, uint64_t seed, struct error *err);

/* Sends what is due. The state may become SESSION_SILENT or SESSION_UNSENT by it. */
void session_step(struct session *session, int64_t now_ns);

/* When it wants to be stepped: 0 = at once, PROBE_IO_NEVER = only after something has come. */
int64_t session_due_ns(const struct session *session);

/* How many probes of `bytes` the target's window still takes. */
uint32_t session_room(const struct session *session, uint32_t bytes);
bool session_has_room(const struct session *session, uint32_t bytes); /* for one */

/* Sends probe number session->sent (1..stride bytes), in an open session with room. Its events carry `number`, which must be
 * below SESSION_OWN. False when the transmit buffer is full: nothing was sent, try again at the next wake-up. */
bool session_send(struct session *session, uint32_t number, uint8_t ttl, uint16_t bytes);

/* SENT, STAMP and REFUSED with a number of SESSION_OWN or above. */
void session_event(struct session *session, const struct probe_event *event);

/* *ret_probe counts from 0 in the order of sending; set with ANSWER, AGAIN and ERROR. */
enum session_news session_take(struct session *session, const struct probe_answer *answer, uint32_t *ret_probe);

/* The target has told that the probe came, in whatever answer. */
bool session_has_arrived(const struct session *session, uint32_t probe);

/* The round trip of the handshake; 0 = not known, since SYNs had to be sent again. No sample of the path: stacks and firewalls
 * treat SYNs in their own way. */
int64_t session_handshake_ns(const struct session *session);

/* Resets what may be open at the target and gives the flow back. Nothing happens when it is not open. */
void session_close(struct session *session);

#endif
