#include "server/totp.h"

#include <gnutls/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void totp_new_key(char ret_key[TOTP_KEY_TEXT_BYTES])
{
    unsigned char bytes[TOTP_KEY_TEXT_BYTES - 1];
    rng_secret(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        ret_key[i] = letters[bytes[i] & 31];
    ret_key[sizeof bytes] = 0;
    sodium_memzero(bytes, sizeof bytes);
}

static bool read_key(const char *text, unsigned char ret_key[TOTP_KEY_BYTES])
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t n = 0;
    if (strlen(text) != TOTP_KEY_TEXT_BYTES - 1)
        return false;
    for (; *text; text++) {
        const char *at = strchr(letters, *text);
        if (!at)
            return false;
        bits = bits << 5 | (uint32_t)(at - letters);
        count += 5;
        if (count >= 8) {
            count -= 8;
            ret_key[n++] = (unsigned char)(bits >> count & 255);
        }
    }
    return n == TOTP_KEY_BYTES;
}

bool totp_code(const char *key, int64_t step, char ret_code[TOTP_DIGITS + 1])
{
    unsigned char bytes[TOTP_KEY_BYTES], counter[8], mac[20];
    if (!read_key(key, bytes))
        return false;
    for (unsigned i = 0; i < 8; i++)
        counter[i] = (unsigned char)((uint64_t)step >> (56 - 8 * i) & 255);
    bool is_done = gnutls_hmac_fast(GNUTLS_MAC_SHA1, bytes, sizeof bytes, counter, sizeof counter, mac) == 0;
    sodium_memzero(bytes, sizeof bytes);
    if (!is_done)
        return false;
    /* RFC 4226 section 5.3: four bytes at a place the last one names, without their top bit. */
    const unsigned char *at = mac + (mac[19] & 15);
    uint32_t number = ((uint32_t)(at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) % 1000000;
    (void)snprintf(ret_code, TOTP_DIGITS + 1, "%06u", number % 1000000);
    return true;
}

bool totp_check(const char *key, const char *code, int64_t now_s, int64_t last_step, int64_t *ret_step)
{
    char right[TOTP_DIGITS + 1];
    int64_t now = now_s / TOTP_STEP_S;
    bool is_right = false;
    if (strlen(code) != TOTP_DIGITS)
        return false;
    for (int64_t step = now - 1; step <= now + 1; step++) {
        if (step <= last_step || !totp_code(key, step, right) || sodium_memcmp(right, code, TOTP_DIGITS) != 0)
            continue;
        is_right = true;
        *ret_step = step;
    }
    return is_right;
}
