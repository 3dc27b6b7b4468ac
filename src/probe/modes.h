/*
 * What is remembered of TCP targets from round to round: why SYNs are the better probes for one, and whether something on the
 * way drops SACK probes. In memory only, by target (address and port) and by the path that led there.
 *
 * A decision holds for a day, and for the path it was made on: a target seems to be another behind another network. Four
 * paths are remembered of each target.
 *
 * That SACK probes are dropped where other packets are not ("phantom loss": firewalls do it to data out of order) is held as
 * proven when SYNs that were sent to compare come through and either
 *
 *     the same probes of the stream were lost in one round after the other: by chance that happens with a probability of
 *     1 / C(sent, lost) each time, and the product has fallen below 1 in 1000; or
 *     fewer SYNs were lost than chance would have it, if both were lost alike (Fisher's exact test, one-sided, below 1 in
 *     1000 divided by the comparisons made so far), over all rounds since the first that lost any. That round itself does not count, since its loss is why one
 *     looks; nor do the rounds without comparison count less, since all their SACK probes are counted.
 *
 * Not thread safe.
 */
#ifndef OCULI_PROBE_MODES_H
#define OCULI_PROBE_MODES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sock.h"
#include "probe/ping.h"

struct probe_modes;

enum probe_mode_reason {
    PROBE_MODE_ASKED,         /* the user's choice */
    PROBE_MODE_PREFERRED,     /* SACK works */
    PROBE_MODE_NO_PORT,       /* as many sessions with the target as there can be */
    PROBE_MODE_REFUSED,       /* from here on: what became of the session (ping.h) */
    PROBE_MODE_SILENT,
    PROBE_MODE_UNREACHABLE,
    PROBE_MODE_UNSENT,
    PROBE_MODE_NOT_PERMITTED,
    PROBE_MODE_NO_SACK,
    PROBE_MODE_TOO_FAST,
    PROBE_MODE_RESET,
    PROBE_MODE_FINISHED,
    PROBE_MODE_INTERFERED,    /* SACK probes are dropped on the way */
};

struct probe_mode_decision {
    enum probe_mode_reason reason;
    int64_t at_ns;         /* monotonic */
    bool has_odd_blocks;   /* NO_SACK */
    double first, second;  /* TOO_FAST: round trips of probes and of the handshake, ns; INTERFERED: loss of SACK probes and
                              of SYNs, % */
};

/* ceiling: targets; 0 = LIMIT_PROBE_MODES. Beyond it one that was asked for long ago is forgotten. */
struct probe_modes *probe_modes_new(uint32_t ceiling);
void probe_modes_free(struct probe_modes *modes); /* NULL is fine */

/* False when there is none for the path that the target was last seen on, or it is older than a day. */
bool probe_modes_get(const struct probe_modes *modes, const union sock_addr *dst, int64_t now_ns,
                     struct probe_mode_decision *ret_decision);
void probe_modes_put(struct probe_modes *modes, const union sock_addr *dst, const struct probe_mode_decision *decision);

/* The path to the target as it was seen last; any number that is the same for the same path, 0 = unknown. */
void probe_modes_note_path(struct probe_modes *modes, const union sock_addr *dst, uint64_t path_id);

/* A round in SACK mode has ended, and SYNs were sent to compare (NULL = none were). True when it is proven now that SACK
 * probes are dropped; then *ret_decision is made, not put. */
bool probe_modes_compare(struct probe_modes *modes, const union sock_addr *dst, int64_t now_ns,
                         const struct probe_ping_result *sack, const struct probe_ping_result *syn,
                         struct probe_mode_decision *ret_decision);

/* The chance that no more than `lost` of `sent` were lost, when others_lost of others_sent were, and both are alike: Fisher's
 * exact test, one-sided. */
double probe_modes_chance(uint32_t lost, uint32_t sent, uint32_t others_lost, uint32_t others_sent);

#endif
