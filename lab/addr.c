#include "lab/addr.h"

#include <stdio.h>

#include "base/error.h"
#include "base/sock.h"
#include "base/str.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool lab_addr_is_v4(const struct lab_addr *a)
{
    return memcmp(a->b, v4_mapped, sizeof v4_mapped) == 0;
}

bool lab_addr_is_multicast(const struct lab_addr *a)
{
    if (!lab_addr_is_v4(a))
        return a->b[0] == 0xff || !lab_addr_is_set(a);
    return a->b[12] >= 224 || a->b[12] == 0;
}

struct lab_addr lab_addr_from(const void *bytes, bool is_v4)
{
    struct lab_addr a = {{0}};
    if (is_v4) {
        memcpy(a.b, v4_mapped, sizeof v4_mapped);
        memcpy(a.b + 12, bytes, 4);
    } else {
        memcpy(a.b, bytes, 16);
    }
    return a;
}

const uint8_t *lab_addr_bytes(const struct lab_addr *a, size_t *ret_size)
{
    bool is_v4 = lab_addr_is_v4(a);
    *ret_size = is_v4 ? 4 : 16;
    return is_v4 ? a->b + 12 : a->b;
}

int lab_addr_parse(const char *text, struct lab_addr *ret_addr)
{
    union sock_addr sock;
    if (text[0] == '[' || sock_parse_ip(text, &sock) < 0)
        return -E_INVALID;
    size_t size;
    const void *bytes = sock_ip_bytes(&sock, &size);
    *ret_addr = lab_addr_from(bytes, size == 4);
    return 0;
}

int lab_prefix_parse(const char *text, bool may_have_host_bits, struct lab_prefix *ret_prefix)
{
    char copy[LAB_ADDR_TEXT_BYTES];
    if (!str_copy(copy, sizeof copy, text))
        return -E_INVALID;
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    struct lab_prefix p;
    if (lab_addr_parse(copy, &p.addr) < 0)
        return -E_INVALID;
    uint64_t base = lab_addr_is_v4(&p.addr) ? 96 : 0;
    uint64_t bits = 128 - base;
    if (slash && str_to_u64(slash, 128 - base, &bits) < 0)
        return -E_INVALID;
    p.bits = (uint8_t)(base + bits);
    for (unsigned i = p.bits; i < 128 && !may_have_host_bits; i++)
        if (p.addr.b[i / 8] & 0x80 >> i % 8)
            return -E_INVALID;
    *ret_prefix = p;
    return 0;
}

const char *lab_addr_text(const struct lab_addr *a, char *buf, size_t size)
{
    size_t bytes_size;
    const uint8_t *bytes = lab_addr_bytes(a, &bytes_size);
    union sock_addr sock;
    if (size > 0)
        buf[0] = '\0';
    if (!lab_addr_is_set(a))
        return buf;
    sock_from_ip_bytes(&sock, bytes_size == 4 ? AF_INET : AF_INET6, bytes);
    return sock_ip_text(&sock, buf, size);
}

const char *lab_prefix_text(const struct lab_prefix *p, char *buf, size_t size)
{
    lab_addr_text(&p->addr, buf, size);
    size_t used = strlen(buf);
    (void)snprintf(buf + used, size - used, "/%d", p->bits - (lab_addr_is_v4(&p->addr) ? 96 : 0));
    return buf;
}

bool lab_prefix_has(const struct lab_prefix *p, const struct lab_addr *a)
{
    size_t whole = p->bits / 8;
    if (memcmp(p->addr.b, a->b, whole) != 0)
        return false;
    unsigned rest = p->bits % 8;
    return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

uint64_t lab_addr_hash(const struct lab_addr *a)
{
    uint64_t high, low;
    memcpy(&high, a->b, 8);
    memcpy(&low, a->b + 8, 8);
    uint64_t x = (high ^ low * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 32;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 29;
}
