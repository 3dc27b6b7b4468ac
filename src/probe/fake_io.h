/*
 * A side of the seam for checks: time stands still until told, and a function of the check decides what becomes of
 * every packet. It does what a network seldom does on demand: a full transmit buffer, dropped answers, absent stamps.
 */
#ifndef OCULI_PROBE_FAKE_IO_H
#define OCULI_PROBE_FAKE_IO_H

#include "probe/io.h"
#include "probe/packet.h"

#define FAKE_ROOM 4096u

struct fake;
typedef void fake_fn(struct fake *fake, const struct probe_io_packet *packet);

struct fake_reply {
    int64_t rx_ns;
    struct probe_io_reply reply;
    uint8_t bytes[PACKET_MAX_BYTES];
};

struct fake {
    struct probe_io io; /* first member */
    int64_t now_ns;
    fake_fn *on_packet; /* a packet was sent */
    void *user;
    int refuse;           /* errno for every packet; 0 = take them */
    uint32_t room;        /* packets taken before the transmit buffer is full; refilled at every wake-up */
    uint32_t room_left;
    bool has_no_stamps;
    uint32_t unstamped;   /* this packet (counted from 1) gets no stamp; 0 = all do */
    uint64_t dropped;
    uint32_t sent;
    int64_t sent_ns[FAKE_ROOM];
    struct probe_io_packet packets[FAKE_ROOM]; /* bytes not kept */
    struct probe_io_stamp stamps[FAKE_ROOM];
    uint32_t stamp_count;
    struct fake_reply *replies; /* by time */
    uint32_t reply_count;
    struct fake_reply current[64];
    int64_t due_ns;
    bool wants_input, is_closed;
};

/* on_packet may be NULL: then nobody answers. */
struct fake *fake_new(fake_fn *on_packet, void *user);
void fake_free(struct fake *fake); /* after the engine, which only closes it */

/* Lets time pass, waking the engine as it asked for; stops early when *until is set. */
void fake_run(struct fake *fake, int64_t ns, const bool *until);

/* Answers from within on_packet: an echo reply, or an ICMP error that quotes the packet, `delay_ns` from now. */
void fake_echo(struct fake *fake, const struct probe_io_packet *packet, const char *from, uint8_t ttl, int64_t delay_ns);
void fake_error(struct fake *fake, const struct probe_io_packet *packet, const char *from, uint8_t type, uint8_t code,
                int64_t delay_ns);
/* Any bytes behind an IP header, from where the packet went. */
void fake_bytes(struct fake *fake, const struct probe_io_packet *packet, const void *bytes, size_t size, int64_t delay_ns);

#endif
