/*
 * Addresses and prefixes of the simulated internet. IPv4 is kept as ::ffff:a.b.c.d so that one form serves both
 * families; all zero means "none".
 */
#ifndef OCULI_LAB_ADDR_H
#define OCULI_LAB_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lab_addr {
    uint8_t b[16];
};

struct lab_prefix {
    struct lab_addr addr;
    uint8_t bits; /* of 128: an IPv4 /24 is 120 */
};

#define LAB_ADDR_TEXT_BYTES 64

static inline bool lab_addr_is_set(const struct lab_addr *a)
{
    static const struct lab_addr none;
    return memcmp(a, &none, sizeof none) != 0;
}

static inline bool lab_addr_is_same(const struct lab_addr *a, const struct lab_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool lab_addr_is_v4(const struct lab_addr *a);
bool lab_addr_is_multicast(const struct lab_addr *a); /* also broadcast and unspecified: nobody answers those */

/* From 4 or 16 bytes as they stand in a packet, and back (returns where the family's bytes begin). */
struct lab_addr lab_addr_from(const void *bytes, bool is_v4);
const uint8_t *lab_addr_bytes(const struct lab_addr *a, size_t *ret_size);

/* 0 or -E_INVALID. lab_prefix_parse takes "A/B" or an address alone; bits beyond the prefix must be zero unless
 * may_have_host_bits. */
int lab_addr_parse(const char *text, struct lab_addr *ret_addr);
int lab_prefix_parse(const char *text, bool may_have_host_bits, struct lab_prefix *ret_prefix);

const char *lab_addr_text(const struct lab_addr *a, char *buf, size_t size);
const char *lab_prefix_text(const struct lab_prefix *p, char *buf, size_t size);

bool lab_prefix_has(const struct lab_prefix *p, const struct lab_addr *a);

uint64_t lab_addr_hash(const struct lab_addr *a);

#endif
