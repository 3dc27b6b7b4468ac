/*
 * The privileged page of libprobe: makes raw sockets and parses no network byte.
 *
 * One raw ICMP and one raw ICMPv6 socket carry all probes of an agent. Making them takes CAP_NET_RAW (and
 * CAP_NET_ADMIN for receive buffers beyond the system's ceiling), so an agent's parent calls probe_open and passes
 * the descriptors to its worker, which needs neither. probe_io_linux_new (io.h) sets everything that needs no
 * privilege: filters, time stamps, drop counters.
 */
#ifndef OCULI_PROBE_OPEN_H
#define OCULI_PROBE_OPEN_H

#include "base/error.h"

#define PROBE_RCVBUF_BYTES (32 << 20) /* wanted; 10,000 rounds answering at once fit */
#define PROBE_SNDBUF_BYTES (4 << 20)

struct probe_sockets {
    int icmp4; /* -1 = this machine has no IPv4 */
    int icmp6; /* -1 = this machine has no IPv6 */
    /* Datagram sockets that never send: connecting one tells which address the system there would send from. */
    int route4, route6;
};

#define PROBE_SOCKETS_NONE ((struct probe_sockets){-1, -1, -1, -1})

/*
 * Opens the sockets in the named network namespace (a name under /run/netns, or a path; NULL = the caller's own). The
 * calling thread is back in its own namespace afterwards. Descriptors are non-blocking and close-on-exec.
 * -E_PERMISSION names the capability that is missing; -E_NOT_FOUND when there is no such namespace.
 */
int probe_open(const char *netns, struct probe_sockets *ret_sockets, struct error *err);

/* Closes what is open. */
void probe_close(struct probe_sockets *sockets);

#endif
