/*
 * Strings: bounded copies, strict numbers, spellings, encodings. Nothing here allocates.
 */
#ifndef OCULI_BASE_STR_H
#define OCULI_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies with a guaranteed NUL; false when src had to be cut. */
bool str_copy(char *dst, size_t size, const char *src);
bool str_equal(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);

/* The whole of s must be a decimal number in range: 0, -E_INVALID or -E_RANGE. */
int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value);
int str_to_u64(const char *s, uint64_t max, uint64_t *ret_value);
int str_to_f64(const char *s, double *ret_value); /* finite only */

/* "30s", "5m", "2h", "1d", "1w" or bare seconds: 0, -E_INVALID or -E_RANGE. */
int str_to_duration_s(const char *s, int64_t *ret_seconds);

/* "numPathTraces" -> "num-path-traces"; digits stay with the word before them ("ipv6Policy" -> "ipv6-policy"). */
void str_kebab(const char *camel, char *buf, size_t size);

bool str_is_utf8(const char *s, size_t size);

/* Lower-case hexadecimal; dst of 2*size+1 bytes. str_unhex needs exactly 2*size digits. */
void str_hex(const void *bytes, size_t size, char *dst);
int str_unhex(const char *hex, void *dst, size_t size);

/* URL-safe base64 without padding (RFC 4648 section 5); returns the length written (dst gets a NUL). */
#define STR_BASE64_BYTES(n) (((n) * 4 + 2) / 3 + 1)
size_t str_base64url(const void *bytes, size_t size, char *dst);
/* -E_INVALID, or the number of bytes written (<= size). */
int str_unbase64url(const char *text, void *dst, size_t size);

/* FNV-1a, for hash tables and identifiers that need no secrecy. */
uint64_t str_hash(const void *bytes, size_t size, uint64_t seed);

/* The value of s in a NULL-terminated list of words, or -1. */
int str_index(const char *s, const char *const *words);

#endif
