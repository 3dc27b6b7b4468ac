/*
 * Which addresses nobody outside can know anything about, and prefixes to hold addresses against.
 *
 * Follows the special-purpose registries of RFC 6890: private (RFC 1918, RFC 6598, RFC 4193, RFC 3927), documentation,
 * benchmarking, multicast, reserved.
 */
#ifndef OCULI_FACTS_SCOPE_H
#define OCULI_FACTS_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sock.h"

struct scope_prefix {
    union sock_addr base; /* bits beyond length are zero */
    uint8_t length;
};

#define SCOPE_PREFIX_BYTES 52 /* of a prefix as text */

/* "192.0.2.0/24", "2001:db8::/32", or a bare address; 0 or -E_INVALID, also for a length beyond the family's. */
int scope_parse(const char *text, struct scope_prefix *ret_prefix);
bool scope_contains(const struct scope_prefix *prefix, const union sock_addr *addr);
/* The prefix of that length around addr, as text; returns buf, "" for an address that is not set. */
const char *scope_text(const union sock_addr *addr, uint8_t length, char *buf, size_t size);

/* Numbered by whoever runs the network it is in: private, shared by a carrier, unique local, link local, loopback. */
bool scope_is_private(const union sock_addr *addr);

/* Announced to the Internet by somebody, as far as the registries say: of no special purpose. */
bool scope_is_public(const union sock_addr *addr);

/* The prefixes of this machine's own interfaces (of the network namespace it runs in), without loopback, link-local
 * ones and those of a single address; returns how many were written. */
size_t scope_own(struct scope_prefix *prefixes, size_t max);

#endif
