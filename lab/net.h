/*
 * The simulated internet: packets go in at a vantage point, answers come out at the moment they are due.
 *
 * A net is built from a scenario (scenario.h). It owns no socket and no clock: the caller hands in IPv4 or IPv6
 * packets as a host would put them on its wire, with the time at which it did so, and asks for whatever is due. The
 * same net therefore runs behind TUN devices (oculi-lab run), under a simulated clock and under a fuzzer. Given the
 * same seed, the same packets and the same times it does exactly the same again.
 *
 * Time is any monotonic clock of the caller in nanoseconds, never running backwards between calls. Faults are
 * scheduled on wall time, which the net takes to be that clock plus wall_offset_ns.
 *
 * All memory but that of packets is taken when the net is made; that of packets as they are needed. A packet that finds no free buffer is dropped, counted, and told in the
 * truth (truth.h). Not thread safe. Outside input cannot make it fail: a malformed packet is dropped and counted.
 *
 *     struct lab_net *net = lab_net_new(scenario, &(struct lab_options){.seed = 1, .wall_offset_ns = wall - mono});
 *     lab_net_set_output(net, on_packet, user);
 *     lab_net_input(net, 0, packet, size, now);               a packet leaves vantage point 0
 *     while (lab_net_next_ns(net) <= now) lab_net_step(net, now);   calls on_packet for all that is due
 */
#ifndef OCULI_LAB_NET_H
#define OCULI_LAB_NET_H

#include <stddef.h>
#include <stdint.h>

struct lab_net;
struct lab_scenario;
struct lab_truth;

#define LAB_PACKET_BYTES 9216u /* largest packet the net carries; longer input is dropped and counted */
#define LAB_NEVER INT64_MAX

struct lab_options {
    uint64_t seed;          /* of every random draw; 0 means the scenario's own (or 1) */
    int64_t wall_offset_ns; /* wall time = time given + this; the start of the run is the first time given */
    uint32_t packets;       /* packets in flight at once, in multiples of 64; 0 = 65536 */
    uint32_t truth_probes;  /* probes remembered one by one; 0 = 1,000,000. The counters know no such limit */
    uint32_t truth_streams; /* streams counted apart; 0 = 65536, or truth_probes if fewer */
};

/* A packet arrives at a vantage point. `packet` is valid during the call only; due_ns is the exact time at which it
 * arrives there (at or before the time given to lab_net_step). The callback may call lab_net_input. */
typedef void lab_output_fn(void *user, unsigned vantage, const void *packet, size_t size, int64_t due_ns);

/* The scenario must outlive the net and is not changed by it. Never NULL. */
struct lab_net *lab_net_new(const struct lab_scenario *scenario, const struct lab_options *options);
void lab_net_free(struct lab_net *net); /* NULL is fine */

void lab_net_set_output(struct lab_net *net, lab_output_fn *fn, void *user);

/* When the wall clock is stepped or the caller measured it better. */
void lab_net_set_wall_offset(struct lab_net *net, int64_t wall_offset_ns);

/* Vantage points are numbered from 0 in the order of the scenario. -1 when there is none of that name. */
unsigned lab_net_vantage_count(const struct lab_net *net);
int lab_net_vantage_index(const struct lab_net *net, const char *name);
const char *lab_net_vantage_name(const struct lab_net *net, unsigned vantage);

/* A host at the vantage point sent this IP packet (no link-layer header, checksums complete) at now_ns. Nothing is
 * output before the next lab_net_step. */
void lab_net_input(struct lab_net *net, unsigned vantage, const void *packet, size_t size, int64_t now_ns);

/* When something is due next; LAB_NEVER when nothing is in flight. */
int64_t lab_net_next_ns(const struct lab_net *net);

/* Lets everything happen that is due at or before now_ns, in order of its time. */
void lab_net_step(struct lab_net *net, int64_t now_ns);

/* What really happened so far; owned by the net. */
struct lab_truth *lab_net_truth(struct lab_net *net);

#endif
