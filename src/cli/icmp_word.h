/* ICMP messages by name (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443). */
#ifndef OCULI_CLI_ICMP_WORD_H
#define OCULI_CLI_ICMP_WORD_H

#include <stddef.h>
#include <stdint.h>

/* "host unreachable", or "ICMP 3-42" when it has no name. Returns buf. */
const char *icmp_word(int family, uint8_t type, uint8_t code, char *buf, size_t size);

#endif
