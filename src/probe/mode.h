/*
 * The stream to a TCP target in the mode that fits it: SACK where it works, SYNs where it does not.
 *
 * SACK is the kinder mode: one connection instead of fifty half-open ones, one path, and nothing that looks like a flood of
 * SYNs. With PROBE_MODE_AUTO it is tried first. What stands against it (ping.h, enum probe_ping_session) makes SYNs follow
 * within the same round and its ceiling; what will stand against it in the next round too is remembered for a day
 * (modes.h), so that it is not tried in vain:
 *
 *     not permitted     at once
 *     no SACK came      when SYNs were answered: else the network was down
 *     too fast          when SYNs are slower too: else it was the handshake that was slow
 *     reset             when no probe at all was answered before
 *
 * When SACK probes were lost and there is time left, SYNs follow to compare: is it the network that loses packets, or
 * something on the way that drops data out of order? As long as that is not proven the figures are those of SACK; once it is,
 * those of the SYNs, from this round on. They come at their own adapted pace, even where a gap is fixed for the stream.
 *
 * Streams are probe_ping rounds; everything lives in the caller's arena.
 */
#ifndef OCULI_PROBE_MODE_H
#define OCULI_PROBE_MODE_H

#include "probe/modes.h"
#include "probe/ping.h"

struct probe_mode;

enum probe_mode_want { PROBE_MODE_AUTO, PROBE_MODE_SACK, PROBE_MODE_SYN };

struct probe_mode_settings {
    struct probe_ping_settings ping; /* of TCP; mode and is_forced are set here. ceiling_ns is that of all streams together */
    uint32_t syn_payload_bytes;      /* payload_bytes is that of SACK probes */
    enum probe_mode_want want;
    bool is_part;                    /* of a longer stream: a session that ends after it has answered is followed by nothing */
    struct probe_modes *memory;      /* outlives the round; NULL = every round decides anew */
};

struct probe_mode_result {
    const struct probe_ping_result *ping; /* the stream whose figures count; while the round runs, the one that runs */
    enum probe_ping_mode mode;            /* of that stream */
    enum probe_mode_reason reason;        /* why that mode */
    const char *text;                     /* a sentence that says so; NULL while it is not known */
    bool is_unsupported;                  /* SACK was asked for and cannot be had: text says why; ping tells nothing */
    /* Loss of both in a round that compared, or, when it is proven that SACK probes are dropped, in all rounds that led to
     * this; NaN = not compared. */
    double sack_loss, syn_loss;           /* % */
    const char *interference;             /* a sentence when that is proven; NULL = it is not */
};

typedef void probe_mode_fn(void *user, const struct probe_mode_result *result);

/* As probe_ping_start; settings.memory and the arena must outlive the round. */
int probe_mode_start(struct probe_engine *engine, const struct probe_mode_settings *settings, struct arena *arena,
                     probe_mode_fn *progress, probe_mode_fn *done, void *user, struct probe_mode **ret_mode,
                     struct error *err);

/* The result so far; while SYNs only compare, it is that of SACK. */
const struct probe_mode_result *probe_mode_result(struct probe_mode *mode);

/* As probe_ping_finish: done is called from within, and no other stream follows. */
void probe_mode_finish(struct probe_mode *mode);

/* Forgets the round: done is not called. */
void probe_mode_stop(struct probe_mode *mode);

#endif
