#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

bool str_copy(char *dst, size_t size, const char *src)
{
    size_t length = strlen(src);
    bool fits = length < size;
    if (!fits)
        length = size - 1;
    memcpy(dst, src, length);
    dst[length] = 0;
    return fits;
}

bool str_equal(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value)
{
    const char *digits = *s == '-' ? s + 1 : s;
    if (*digits < '0' || *digits > '9')
        return -E_INVALID;
    char *end;
    errno = 0;
    long long value = strtoll(s, &end, 10);
    if (*end)
        return -E_INVALID;
    if (errno == ERANGE || value < min || value > max)
        return -E_RANGE;
    *ret_value = value;
    return 0;
}

int str_to_u64(const char *s, uint64_t max, uint64_t *ret_value)
{
    if (*s < '0' || *s > '9')
        return -E_INVALID;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(s, &end, 10);
    if (*end)
        return -E_INVALID;
    if (errno == ERANGE || value > max)
        return -E_RANGE;
    *ret_value = value;
    return 0;
}

int str_to_f64(const char *s, double *ret_value)
{
    const char *first = *s == '-' ? s + 1 : s;
    if (!isdigit((unsigned char)*first) && *first != '.')
        return -E_INVALID;
    char *end;
    double value = strtod(s, &end);
    if (*end || !isfinite(value))
        return -E_INVALID;
    *ret_value = value;
    return 0;
}

int str_to_duration_s(const char *s, int64_t *ret_seconds)
{
    size_t length = strlen(s);
    if (length == 0 || length > 20)
        return -E_INVALID;
    int64_t scale = 1;
    char digits[24];
    (void)str_copy(digits, sizeof digits, s);
    switch (s[length - 1]) {
    case 's':
        scale = 1;
        break;
    case 'm':
        scale = 60;
        break;
    case 'h':
        scale = 3600;
        break;
    case 'd':
        scale = 86400;
        break;
    case 'w':
        scale = 604800;
        break;
    default:
        length++;
        break;
    }
    digits[length - 1] = 0;
    int64_t value;
    int rc = str_to_i64(digits, 0, INT64_C(1) << 40, &value);
    if (rc)
        return rc;
    *ret_seconds = value * scale;
    return 0;
}

void str_kebab(const char *camel, char *buf, size_t size)
{
    size_t n = 0;
    for (const char *p = camel; *p && n + 2 < size; p++) {
        if (isupper((unsigned char)*p)) {
            if (n > 0)
                buf[n++] = '-';
            buf[n++] = (char)tolower((unsigned char)*p);
        } else {
            buf[n++] = *p;
        }
    }
    buf[n] = 0;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates), or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < need)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return need;
}

bool str_is_utf8(const char *s, size_t size)
{
    const unsigned char *p = (const unsigned char *)s;
    while (size > 0) {
        size_t n = utf8_sequence(p, size);
        if (n == 0)
            return false;
        p += n;
        size -= n;
    }
    return true;
}

void str_hex(const void *bytes, size_t size, char *dst)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < size; i++) {
        dst[2 * i] = digits[p[i] >> 4];
        dst[2 * i + 1] = digits[p[i] & 15];
    }
    dst[2 * size] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int str_unhex(const char *hex, void *dst, size_t size)
{
    if (strlen(hex) != size * 2)
        return -E_INVALID;
    unsigned char *p = dst;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -E_INVALID;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t str_base64url(const void *bytes, size_t size, char *dst)
{
    const unsigned char *p = bytes;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | p[i];
        count += 8;
        while (count >= 6) {
            count -= 6;
            dst[n++] = base64url_digits[bits >> count & 63];
        }
    }
    if (count > 0)
        dst[n++] = base64url_digits[bits << (6 - count) & 63];
    dst[n] = 0;
    return n;
}

int str_unbase64url(const char *text, void *dst, size_t size)
{
    unsigned char *p = dst;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (; *text; text++) {
        const char *at = strchr(base64url_digits, *text);
        if (!at)
            return -E_INVALID;
        bits = bits << 6 | (uint32_t)(at - base64url_digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (n == size)
                return -E_INVALID;
            p[n++] = (unsigned char)(bits >> count & 255);
        }
    }
    /* Each text has one meaning and each meaning one text: no digit left over, no bit set that belongs to no byte. */
    return count >= 6 || (bits & ((1u << count) - 1)) != 0 ? -E_INVALID : (int)n;
}

uint64_t str_hash(const void *bytes, size_t size, uint64_t seed)
{
    const unsigned char *p = bytes;
    uint64_t h = UINT64_C(14695981039346656037) ^ seed;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}

int str_index(const char *s, const char *const *words)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], s) == 0)
            return i;
    }
    return -1;
}
