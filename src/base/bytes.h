/*
 * Numbers in network byte order, at any alignment.
 */
#ifndef OCULI_BASE_BYTES_H
#define OCULI_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t bytes_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t bytes_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The low 16 bits of value. */
static inline void bytes_put16(uint8_t *p, size_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void bytes_put32(uint8_t *p, uint32_t value)
{
    bytes_put16(p, value >> 16);
    bytes_put16(p + 2, value);
}

#endif
