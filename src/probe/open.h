/*
 * The privileged page of libprobe: makes raw sockets and parses no network byte.
 *
 * For each family one socket sends all probes of an agent, whatever their protocol, and one for each protocol
 * receives. Making them takes CAP_NET_RAW (and CAP_NET_ADMIN for receive buffers beyond the system's ceiling), so an
 * agent's parent calls probe_open and passes the descriptors to its worker, which needs neither. probe_io_linux_new
 * (io.h) sets everything that needs no privilege: filters, time stamps, drop counters.
 *
 * Quiet ports: a TCP session carried by hand needs a local port at which the kernel does not answer for itself. A
 * listening socket whose filter drops everything makes it ignore its port without a RST and without a firewall rule.
 */
#ifndef OCULI_PROBE_OPEN_H
#define OCULI_PROBE_OPEN_H

#include <stdint.h>

#include "base/error.h"

#define PROBE_RCVBUF_BYTES (32 << 20) /* wanted; 10,000 rounds answering at once fit */
#define PROBE_SNDBUF_BYTES (4 << 20)
#define PROBE_QUIET_PORTS 64u         /* sessions with one and the same target at once */
#define PROBE_QUIET_FEW 16u           /* enough for one command; leaves some for two dozen others */
#define PROBE_PORT_LOW 61000u         /* quiet ports lie between this and MATCH_PORT_LOW; above the ports Linux gives out */

/* [0] is IPv4, [1] is IPv6; -1 = this machine does not have it. */
struct probe_sockets {
    int send[2];
    int icmp[2], tcp[2], udp[2];
    int route[2]; /* never send: connecting one tells which address the system there would send from */
    int quiet[PROBE_QUIET_PORTS];
};

extern const struct probe_sockets probe_sockets_none;

/*
 * Opens the sockets in the named network namespace (a name under /run/netns, or a path; NULL = the caller's own). The
 * calling thread is back in its own namespace afterwards. Descriptors are non-blocking and close-on-exec.
 * Up to quiet_ports quiet ports are taken: fewer where other programs have left fewer, or descriptors are few.
 * -E_PERMISSION names the capability that is missing; -E_NOT_FOUND when there is no such namespace.
 */
int probe_open(const char *netns, unsigned quiet_ports, struct probe_sockets *ret_sockets, struct error *err);

/* Closes what is open. */
void probe_close(struct probe_sockets *sockets);

#endif
