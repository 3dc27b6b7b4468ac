/*
 * The probe engine: one thread, one set of raw sockets, thousands of rounds at once.
 *
 * A round (ping.h, trace.h) is a state machine in a slot of the engine; the engine carries its packets over the seam
 * of io.h, matches what comes back, and wakes the round when its time has come. Nothing is allocated per probe: a
 * round's results live in the arena its starter gave. The engine works in batches on a tick of 1 to 5 ms that adapts
 * to the load, which costs no accuracy because the kernel stamps every packet in both directions.
 *
 *     probe_open(NULL, &sockets, err);                 privileged (open.h), possibly in another process
 *     probe_io_linux_new(loop, &sockets, &io, err);    io.h; takes the descriptors over
 *     probe_engine_new(io, NULL, &engine, err);        takes io over
 *     probe_ping_start(engine, &settings, ...);        from now on the loop drives everything
 *
 * Not thread safe: everything happens on the thread of the loop. Callbacks may start and stop any round, their own
 * included, but must not free the engine.
 *
 * Times are monotonic nanoseconds. A packet that this host dropped (a full receive buffer, a full transmit queue) is
 * never told as the network's loss: the probes it may concern are left out of `sent` and the round is marked
 * overloaded.
 */
#ifndef OCULI_PROBE_ENGINE_H
#define OCULI_PROBE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sock.h"

struct probe_engine;
struct probe_io;

/* What a probe is: an echo request, a TCP segment (a SYN, mostly), a UDP datagram. */
enum probe_protocol { PROBE_ICMP, PROBE_TCP, PROBE_UDP };

/* Zero means: the ceiling of limit.h. */
struct probe_engine_settings {
    uint32_t max_rounds; /* at most LIMIT_ENGINE_ROUNDS */
    uint32_t max_probes; /* that may await an answer at once; at most LIMIT_ENGINE_PROBES */
    uint64_t seed;       /* of identifiers and checksums, for checks that repeat; 0 = random */
};

/* Counters since the engine was made. */
struct probe_engine_stats {
    uint64_t sent;           /* packets the kernel took */
    uint64_t refused;        /* packets it refused: no route, not permitted */
    uint64_t received;       /* packets read */
    uint64_t matched;        /* of those, answers to probes of rounds that still run */
    uint64_t loose;          /* of those, matched although something on the way had rewritten them */
    uint64_t foreign;        /* answers to somebody else, or to rounds that are over */
    uint64_t malformed;      /* not parsable, or damaged on the way */
    uint64_t stamps;         /* transmit stamps delivered by the kernel */
    uint64_t dropped;        /* packets the kernel dropped because our buffer was full */
    uint64_t wakeups;        /* ticks in which the engine ran */
    uint64_t rounds_refused; /* starts refused at a ceiling */
    uint32_t rounds;         /* running now */
    uint32_t probes;         /* reserved by them */
};

/* settings may be NULL. Takes io over when it succeeds. -E_NOT_SUPPORTED when io can send nothing. */
int probe_engine_new(struct probe_io *io, const struct probe_engine_settings *settings,
                     struct probe_engine **ret_engine, struct error *err);

/* Stops every round without calling its done, and closes io. NULL is fine. */
void probe_engine_free(struct probe_engine *engine);

const struct probe_engine_stats *probe_engine_stats(const struct probe_engine *engine);

/* The engine's own clocks: those of the machine, or of the simulation. */
int64_t probe_engine_mono_ns(const struct probe_engine *engine);
int64_t probe_engine_wall_ns(const struct probe_engine *engine);

/* The address that packets to dst leave from when a round does not name one: false when there is no way to dst. */
bool probe_engine_source(const struct probe_engine *engine, const union sock_addr *dst, union sock_addr *ret_src);

#endif
