/*
 * Second factor by time (RFC 6238 over RFC 4226): six digits, SHA-1, steps of thirty seconds, which is what every
 * authenticator application understands. A code of the step before and after is taken too, for clocks that differ;
 * none is taken twice.
 */
#ifndef OCULI_SERVER_TOTP_H
#define OCULI_SERVER_TOTP_H

#include <stdbool.h>
#include <stdint.h>

#define TOTP_KEY_BYTES 20u
#define TOTP_KEY_TEXT_BYTES 33u /* base32 (RFC 4648 section 6), 32 letters */
#define TOTP_STEP_S 30
#define TOTP_DIGITS 6u

void totp_new_key(char ret_key[TOTP_KEY_TEXT_BYTES]);

/* The code of a step (time divided by TOTP_STEP_S). False when key is none of ours. */
bool totp_code(const char *key, int64_t step, char ret_code[TOTP_DIGITS + 1]);

/* Whether code is right at now_s and of a step after last_step, which was the last one used. */
bool totp_check(const char *key, const char *code, int64_t now_s, int64_t last_step, int64_t *ret_step);

#endif
