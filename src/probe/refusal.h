/*
 * Why the kernel of this machine did not take a packet, in words that name the cause: "Invalid argument" is what Linux
 * says where a blackhole route discards what is sent.
 */
#ifndef OCULI_PROBE_REFUSAL_H
#define OCULI_PROBE_REFUSAL_H

#include "base/sock.h"

/* The words for what probe_io_packet.error has (io.h), of a packet that was to leave from src (unset = from any);
 * valid until the next call of this or of strerror. */
const char *refusal_text(int sys_errno, const union sock_addr *src);

#endif
