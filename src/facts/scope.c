#include "facts/scope.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* An address as 16 bytes: of IPv4 the first four. */
struct special {
    unsigned char bytes[16];
    uint8_t length;
    bool is_private;
};

static const struct special special_v4[] = {
    {{0}, 8, false},             /* this network, RFC 791 */
    {{10}, 8, true},             /* RFC 1918 */
    {{100, 64}, 10, true},       /* shared by a carrier, RFC 6598 */
    {{127}, 8, true},            /* loopback */
    {{169, 254}, 16, true},      /* link local, RFC 3927 */
    {{172, 16}, 12, true},       /* RFC 1918 */
    {{192, 0, 0}, 24, false},    /* protocol assignments, RFC 6890 */
    {{192, 0, 2}, 24, false},    /* documentation, RFC 5737 */
    {{192, 168}, 16, true},      /* RFC 1918 */
    {{198, 18}, 15, false},      /* benchmarking, RFC 2544 */
    {{198, 51, 100}, 24, false}, /* documentation, RFC 5737 */
    {{203, 0, 113}, 24, false},  /* documentation, RFC 5737 */
    {{224}, 3, false},           /* multicast and reserved, to the end */
};

/* Outside 2000::/3 nothing is assigned to networks; these are what is special outside of it by name, or inside. */
static const struct special special_v6[] = {
    {{[15] = 1}, 128, true},               /* loopback */
    {{0xfc}, 7, true},                     /* unique local, RFC 4193 */
    {{0xfe, 0x80}, 10, true},              /* link local */
    {{0x20, 0x01, 0x00, 0x00}, 23, false}, /* protocol assignments, RFC 2928 */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, false}, /* documentation, RFC 3849 */
    {{0x3f, 0xff}, 20, false},             /* documentation, RFC 9637 */
};

static bool is_same(const unsigned char *a, const unsigned char *b, uint8_t length)
{
    uint8_t whole = length / 8, rest = length % 8;
    return memcmp(a, b, whole) == 0 && (!rest || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

/* What is mapped into IPv6 (::ffff:a.b.c.d) is the IPv4 address. */
static const unsigned char *bytes_of(const union sock_addr *addr, bool *ret_is_v4)
{
    size_t size;
    const unsigned char *bytes = sock_ip_bytes(addr, &size);
    bool is_mapped = size == 16 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
    *ret_is_v4 = size == 4 || is_mapped;
    return is_mapped ? bytes + 12 : bytes;
}

static const struct special *find(const union sock_addr *addr, bool *ret_is_v4)
{
    const unsigned char *bytes = bytes_of(addr, ret_is_v4);
    const struct special *list = *ret_is_v4 ? special_v4 : special_v6;
    size_t count = *ret_is_v4 ? sizeof special_v4 / sizeof special_v4[0] : sizeof special_v6 / sizeof special_v6[0];
    for (size_t i = 0; i < count; i++) {
        if (is_same(bytes, list[i].bytes, list[i].length))
            return &list[i];
    }
    return NULL;
}

bool scope_is_private(const union sock_addr *addr)
{
    bool is_v4;
    const struct special *special = sock_is_set(addr) ? find(addr, &is_v4) : NULL;
    return special && special->is_private;
}

bool scope_is_public(const union sock_addr *addr)
{
    bool is_v4;
    if (!sock_is_set(addr) || find(addr, &is_v4))
        return false;
    return is_v4 || (addr->in6.sin6_addr.s6_addr[0] & 0xe0) == 0x20;
}

/* --- prefixes ----------------------------------------------------------------------------------------------------- */

static uint8_t family_bits(const union sock_addr *addr)
{
    return addr->sa.sa_family == AF_INET6 ? 128 : 32;
}

static void mask(union sock_addr *addr, uint8_t length)
{
    unsigned char bytes[16];
    size_t size;
    memcpy(bytes, sock_ip_bytes(addr, &size), family_bits(addr) / 8u);
    for (size_t i = 0; i < size; i++) {
        size_t kept = i * 8 >= length ? 0 : length - i * 8 >= 8 ? 8 : length - i * 8;
        bytes[i] &= (unsigned char)(0xff00u >> kept);
    }
    sock_from_ip_bytes(addr, addr->sa.sa_family, bytes);
}

int scope_parse(const char *text, struct scope_prefix *ret_prefix)
{
    char address[SOCK_TEXT_BYTES];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    if (size >= sizeof address)
        return -E_INVALID;
    memcpy(address, text, size);
    address[size] = 0;
    struct scope_prefix prefix;
    int64_t length;
    if (sock_parse_ip(address, &prefix.base))
        return -E_INVALID;
    length = family_bits(&prefix.base);
    if (slash && str_to_i64(slash + 1, 0, length, &length))
        return -E_INVALID;
    prefix.length = (uint8_t)length;
    mask(&prefix.base, prefix.length);
    *ret_prefix = prefix;
    return 0;
}

bool scope_contains(const struct scope_prefix *prefix, const union sock_addr *addr)
{
    size_t size;
    return sock_is_set(addr) && prefix->base.sa.sa_family == addr->sa.sa_family &&
           is_same(sock_ip_bytes(&prefix->base, &size), sock_ip_bytes(addr, &size), prefix->length);
}

const char *scope_text(const union sock_addr *addr, uint8_t length, char *buf, size_t size)
{
    union sock_addr base = *addr;
    char text[SOCK_TEXT_BYTES];
    buf[0] = 0;
    if (!sock_is_set(addr) || length > family_bits(addr))
        return buf;
    mask(&base, length);
    (void)snprintf(buf, size, "%s/%u", sock_ip_text(&base, text, sizeof text), length);
    return buf;
}

static bool has_prefix(const struct ifaddrs *item)
{
    return item->ifa_addr && item->ifa_netmask && !(item->ifa_flags & IFF_LOOPBACK) &&
           (item->ifa_addr->sa_family == AF_INET || item->ifa_addr->sa_family == AF_INET6);
}

size_t scope_own(struct scope_prefix *prefixes, size_t max)
{
    struct ifaddrs *list;
    size_t count = 0;
    if (getifaddrs(&list) != 0)
        return 0;
    for (const struct ifaddrs *item = list; item && count < max; item = item->ifa_next) {
        if (!has_prefix(item))
            continue;
        union sock_addr addr, netmask;
        size_t size;
        memset(&addr, 0, sizeof addr);
        memset(&netmask, 0, sizeof netmask);
        size_t room = item->ifa_addr->sa_family == AF_INET6 ? sizeof addr.in6 : sizeof addr.in4;
        memcpy(&addr, item->ifa_addr, room);
        memcpy(&netmask, item->ifa_netmask, room);
        netmask.sa.sa_family = addr.sa.sa_family;
        const unsigned char *bits = sock_ip_bytes(&netmask, &size);
        uint8_t length = 0;
        while (length < size * 8 && (bits[length / 8] & (0x80 >> length % 8)))
            length++;
        if (length == size * 8 || (size == 16 && IN6_IS_ADDR_LINKLOCAL(&addr.in6.sin6_addr)))
            continue;
        mask(&addr, length);
        sock_set_port(&addr, 0);
        prefixes[count++] = (struct scope_prefix){.base = addr, .length = length};
    }
    freeifaddrs(list);
    return count;
}
