/*
 * What the kernel lets through to a raw socket: filters of classic BPF, and for ICMPv6 the filter of RFC 3542.
 */
#ifndef OCULI_PROBE_FILTER_LINUX_H
#define OCULI_PROBE_FILTER_LINUX_H

#include <stdint.h>

/* Only what can answer a probe: 0, or -1 with errno. The protocol is IPPROTO_ICMP, _ICMPV6, _TCP or _UDP. */
int filter_answers(int fd, int family, uint8_t protocol);

/* Nothing at all. */
int filter_everything(int fd);

#endif
