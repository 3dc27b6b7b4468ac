/*
 * CRC32C (Castagnoli; RFC 3720 appendix B.4): detects damaged records on disk. No protection against intent.
 */
#ifndef OCULI_BASE_CRC_H
#define OCULI_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to begin) over bytes: crc32c(crc32c(0, a), b) is the sum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
