/*
 * Capacity and available bandwidth of a path, from the spacing of packets (RFC 5136 has the terms; both are of the IP
 * layer).
 *
 * Capacity: of two packets sent back to back the narrowest link spreads the arrivals to the time it takes for one
 * (packet pair). Cross traffic spreads and compresses pairs too, so many are sent and the strongest mode of what they
 * tell counts, among those above the rate at which long trains arrive, which is never more than the capacity
 * (Dovrolis, Ramanathan, Moore, "Packet-dispersion techniques and a capacity-estimation methodology", 2004).
 *
 * Available bandwidth: a stream faster than what is free makes a queue grow and with it the delay of its packets; a
 * slower one does not. The rate between is searched (Jain, Dovrolis, "End-to-end available bandwidth", 2003). Streams
 * are paced in steps of a millisecond, so that rates beyond some hundred Mbit/s cannot be told, by TCP beyond some
 * ten, since few packets fit the window of a session; then the capacity stands alone.
 *
 * The answers travel back: echo replies are as long as the requests, so ICMP measures the lesser of both directions.
 * TCP probes are data behind a hole of sessions (session.h), their answers are small: it measures the way out. A
 * target without SACK cannot be measured by TCP.
 *
 * Cost: at most PROBE_TRAIN_PACKETS packets of packet_bytes, a third of it at once, in some seconds. That is why it is
 * never done unasked.
 */
#ifndef OCULI_PROBE_TRAIN_H
#define OCULI_PROBE_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/sock.h"
#include "probe/engine.h"

struct probe_train;

#define PROBE_TRAIN_PACKETS 1000u

struct probe_train_settings {
    enum probe_protocol protocol; /* PROBE_ICMP or PROBE_TCP */
    union sock_addr dst;          /* required; with the port, for TCP */
    union sock_addr src;          /* unset = the system's choice */
    uint16_t packet_bytes;        /* of the whole packet, 200..1500; no more than the path MTU. TCP takes a little less */
    uint8_t dscp;                 /* 0..63 */
    bool is_capacity_only;
    int64_t ceiling_ns;           /* of the whole round */
};

enum probe_train_status {
    PROBE_TRAIN_OK,
    PROBE_TRAIN_SILENT,   /* the target does not answer, or no longer */
    PROBE_TRAIN_NO_SACK,  /* TCP: it does not do what it takes */
    PROBE_TRAIN_TOO_FAST, /* packets leave this host no closer to each other than they arrive: the path is faster than that */
    PROBE_TRAIN_UNCLEAR,  /* what the packets tell has no mode: too much loss or cross traffic */
    PROBE_TRAIN_UNSENT,   /* our kernel took nothing */
};

extern const char *const probe_train_status_texts[]; /* sentences */

struct probe_train_result {
    int64_t start_ns, start_wall_ns, end_ns; /* start and end on the monotonic clock */
    enum probe_train_status status;          /* of the capacity */
    /* bit/s, NaN = unknown; the error is half the width of the interval in which the true value is taken to be. With
     * TOO_FAST the capacity is a lower bound. */
    double capacity_bps, capacity_error_bps;
    double available_bps, available_error_bps;
    double dispersion_bps; /* at which trains arrive: between both */
    uint32_t sent, received;
    uint64_t sent_bytes;
    const char *error_text; /* the refusal of our kernel; NULL = none */
};

typedef void probe_train_fn(void *user, const struct probe_train_result *result);

/* Everything but dst: ICMP, 1500 bytes, both figures, 20 s. */
void probe_train_defaults(struct probe_train_settings *settings);

/* The same rules as probe_ping_start; there is no progress to show. */
int probe_train_start(struct probe_engine *engine, const struct probe_train_settings *settings, struct arena *arena,
                      probe_train_fn *done, void *user, struct probe_train **ret_train, struct error *err);

/* Ends it with what it has; done is called from within. */
void probe_train_finish(struct probe_train *train);

/* Forgets it: done is not called. */
void probe_train_stop(struct probe_train *train);

#endif
