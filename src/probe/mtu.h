/*
 * The path MTU: the largest IP packet that reaches a host whole, and where larger ones end.
 *
 * Probes of different sizes are sent that must not be cut (RFC 1191, RFC 8201). Where a router says that one is too
 * big the size it names is tried next. Where larger packets vanish without a word, a black hole (RFC 2923), the limit
 * is searched: first among the sizes that links and tunnels usually have (RFC 1191 section 7.1 and its like), then
 * between two of them, as RFC 4821 and RFC 8899 do. A size counts as too large only when three probes of it vanished
 * while a small one was answered. Then packets of that size are sent along the path with small TTLs: the last router
 * that answers one stands before the black hole. Those with larger TTLs put the verdict to the test: when one of them
 * arrives, it was loss that took the three, and the search goes on.
 *
 * An echo reply is as long as its request, so that ICMP measures the smaller MTU of both directions; TCP and UDP that
 * of the way out.
 *
 * A TCP probe is a SYN with data, each from a port of its own. Hosts and firewalls that drop those make the MTU
 * unknown, never too small: the smallest probe carries data too.
 */
#ifndef OCULI_PROBE_MTU_H
#define OCULI_PROBE_MTU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/sock.h"
#include "probe/engine.h"

struct probe_mtu;

#define PROBE_MTU_MAX 9000u /* largest size that can be asked for */

struct probe_mtu_settings {
    enum probe_protocol protocol;
    union sock_addr dst;  /* required; with the port, for TCP; for UDP port 0 means that of path traces */
    union sock_addr src;  /* unset = the system's choice */
    uint16_t max_bytes;   /* largest size tried, IP header included: 576 (IPv6: 1280)..PROBE_MTU_MAX */
    uint8_t dscp;         /* 0..63 */
    int64_t wait_ns;      /* for each answer while no round trip time is known, 1 ms..10 s */
};

struct probe_mtu_result {
    int64_t start_ns, start_wall_ns, end_ns; /* start and end on the monotonic clock */
    uint16_t mtu;              /* bytes, IP header included; 0 = unknown: nobody answers, or this host dropped probes */
    bool is_limit;             /* larger packets do not arrive; false = max_bytes did */
    bool is_local;             /* it is this host's own interface that takes no larger ones */
    bool is_black_hole;        /* packets of some size vanish, and nobody says so */
    uint8_t black_hole_ttl;    /* the last router that larger packets reach; 0 = not found */
    union sock_addr black_hole_after; /* its address; unset likewise */
    union sock_addr limited_by;       /* the last router that said "too big"; unset = none did */
    uint16_t told;             /* the MTU it told; 0 = none */
    uint32_t sent;
    const char *error_text;    /* the refusal of our kernel, other than for the size; NULL = none */
};

typedef void probe_mtu_fn(void *user, const struct probe_mtu_result *result);

/* Everything but dst: ICMP, 1500 bytes, 1 s. */
void probe_mtu_defaults(struct probe_mtu_settings *settings);

/* The same rules as probe_ping_start; there is no progress to show. */
int probe_mtu_start(struct probe_engine *engine, const struct probe_mtu_settings *settings, struct arena *arena,
                    probe_mtu_fn *done, void *user, struct probe_mtu **ret_mtu, struct error *err);

/* Ends it: a search that is not over knows no MTU, only where a black hole is may be left open. done is called from within. */
void probe_mtu_finish(struct probe_mtu *mtu);

/* Forgets it: done is not called. */
void probe_mtu_stop(struct probe_mtu *mtu);

#endif
