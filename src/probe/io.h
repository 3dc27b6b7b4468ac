/*
 * The seam under the engine: sends and receives packets, tells the time. It has two sides, Linux (io_linux.c) and the
 * simulated internet under a simulated clock (lab/sim_io.c); the engine cannot tell which.
 *
 * A side is a struct whose first member is a struct probe_io. All calls come from one thread. The side calls `wake`
 * when the time asked for has come or, if that was asked for, when something can be received; never from within a call
 * of the engine.
 *
 * All times are monotonic nanoseconds of the side's own clock: stamps that a kernel makes in wall time are converted
 * by the side (stamp.h), so that a step of the wall clock never enters a round trip time.
 */
#ifndef OCULI_PROBE_IO_H
#define OCULI_PROBE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sock.h"
#include "probe/open.h"

#define PROBE_IO_NEVER INT64_MAX
#define PROBE_IO_HEADROOM 40u /* an IPv6 header */

struct loop;

/* One packet to send: the transport header and what follows, checksum included, without IP header. It is never cut into
 * fragments, by nobody. */
struct probe_io_packet {
    union sock_addr dst;  /* family chooses IPv4 or IPv6; ports are in the bytes */
    union sock_addr src;  /* unset = the system's choice */
    bool has_own_src;     /* src was asked for: the way is looked up for it, and an address that is not ours is refused */
    uint8_t protocol;     /* IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP */
    uint8_t ttl, tos;     /* ttl 1..255 */
    uint16_t ip_id;       /* IPv4; not 0 */
    uint32_t flow_label;  /* IPv6, 20 bits */
    uint16_t size;
    uint32_t token;       /* comes back with the transmit stamp */
    const uint8_t *bytes; /* valid during the call; on the PROBE_IO_HEADROOM bytes before them the side may write its header */
    int64_t sent_ns;      /* set by the side: its clock just before the packet was handed over */
    int error;            /* set by the side: 0 = the kernel took it, else an errno value */
};

/* One packet received. */
struct probe_io_reply {
    union sock_addr src;
    int64_t rx_ns;
    bool is_estimated;    /* no stamp came with it: rx_ns is the time of reading */
    uint8_t protocol;
    uint8_t ttl, tos;     /* of the packet itself; ttl 0 = unknown */
    const uint8_t *bytes; /* after the IP header; valid until the next receive. Checksums are verified of
                             ICMPv6 only; those of TCP and UDP from this very machine may not have been filled in */
    size_t size;
};

struct probe_io_stamp {
    uint32_t token;
    int64_t tx_ns;
};

struct probe_io;

struct probe_io_ops {
    int64_t (*mono_ns)(const struct probe_io *io);
    int64_t (*wall_ns)(const struct probe_io *io);
    bool (*has_family)(const struct probe_io *io, int family);
    /* The address that packets to dst leave from, as the system would choose it: false when there is no way to dst. */
    bool (*find_source)(const struct probe_io *io, const union sock_addr *dst, union sock_addr *ret_src);
    /* Local TCP ports at which this host keeps silent, whatever comes: no RST answers for it. The same ports for as long as
     * the side lives. */
    size_t (*quiet_ports)(const struct probe_io *io, const uint16_t **ret_ports);
    /* Sends in order, sets sent_ns and error of each, returns how many were dealt with: fewer than count when the
     * transmit buffer is full, in which case the rest is to be offered again later. */
    size_t (*send)(struct probe_io *io, struct probe_io_packet *packets, size_t count);
    /* Transmit stamps that have come, at most room. The token tells the packet. */
    size_t (*stamps)(struct probe_io *io, struct probe_io_stamp *out, size_t room);
    /* Packets that have come, at most room; 0 = none left: answers to echo requests, ICMP errors, and TCP and UDP packets to
     * the ports of match.h and the quiet ones. */
    size_t (*receive)(struct probe_io *io, struct probe_io_reply *out, size_t room);
    /* Received packets dropped by this host because our buffer was full, since the side was made. */
    uint64_t (*dropped)(struct probe_io *io);
    /* Calls wake at due_ns (PROBE_IO_NEVER = no time), or as soon as something comes in when wants_input. Replaces the
     * call before. */
    void (*wait)(struct probe_io *io, int64_t due_ns, bool wants_input);
    void (*close)(struct probe_io *io); /* frees the side; what was handed to it is closed */
};

struct probe_io {
    const struct probe_io_ops *ops;
    void (*wake)(void *user); /* set by the engine */
    void *user;
};

/* The Linux side on the sockets of open.h; takes them over (they become -1) when it succeeds. The loop must outlive it. */
int probe_io_linux_new(struct loop *loop, struct probe_sockets *sockets, struct probe_io **ret_io, struct error *err);

#endif
