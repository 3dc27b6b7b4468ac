/*
 * A second opinion on round trip times: a packet socket that sees the echo requests and replies of one interface with
 * the kernel's stamps, as a capture program does, independent of the probe engine's own stamps.
 */
#ifndef OCULI_BENCH_TAP_H
#define OCULI_BENCH_TAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tap;

int tap_open(const char *interface, struct tap **ret_tap, struct error *err);
/* Takes in what was captured. Nobody is woken for a packet: that would delay the very packet between the stamp of the capture
 * and that of the driver, by 20 us and more on a virtual machine. */
void tap_read(struct tap *tap);
void tap_close(struct tap *tap);

size_t tap_count(const struct tap *tap); /* echo requests seen */

/* The round trip time of the index-th echo request seen, in nanoseconds; -1 = no reply seen. */
int64_t tap_rtt_ns(const struct tap *tap, size_t index);

#endif
