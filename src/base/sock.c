#include "base/sock.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

socklen_t sock_len(const union sock_addr *addr)
{
    return addr->sa.sa_family == AF_INET6 ? sizeof addr->in6 : sizeof addr->in4;
}

bool sock_is_set(const union sock_addr *addr)
{
    return addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6;
}

const void *sock_ip_bytes(const union sock_addr *addr, size_t *ret_size)
{
    if (addr->sa.sa_family == AF_INET6) {
        *ret_size = 16;
        return &addr->in6.sin6_addr;
    }
    *ret_size = 4;
    return &addr->in4.sin_addr;
}

void sock_from_ip_bytes(union sock_addr *addr, int family, const void *bytes)
{
    memset(addr, 0, sizeof *addr);
    addr->sa.sa_family = (sa_family_t)family;
    if (family == AF_INET6)
        memcpy(&addr->in6.sin6_addr, bytes, 16);
    else
        memcpy(&addr->in4.sin_addr, bytes, 4);
}

bool sock_same_ip(const union sock_addr *a, const union sock_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    size_t size;
    const void *x = sock_ip_bytes(a, &size), *y = sock_ip_bytes(b, &size);
    return memcmp(x, y, size) == 0;
}

uint16_t sock_port(const union sock_addr *addr)
{
    return ntohs(addr->sa.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in4.sin_port);
}

void sock_set_port(union sock_addr *addr, uint16_t port)
{
    if (addr->sa.sa_family == AF_INET6)
        addr->in6.sin6_port = htons(port);
    else
        addr->in4.sin_port = htons(port);
}

const char *sock_ip_text(const union sock_addr *addr, char *buf, size_t size)
{
    size_t bytes;
    if (!sock_is_set(addr) || !inet_ntop(addr->sa.sa_family, sock_ip_bytes(addr, &bytes), buf, (socklen_t)size))
        buf[0] = 0;
    return buf;
}

int sock_parse_ip(const char *text, union sock_addr *ret_addr)
{
    char host[SOCK_TEXT_BYTES];
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        if (length - 2 >= sizeof host)
            return -E_INVALID;
        memcpy(host, text + 1, length - 2);
        host[length - 2] = 0;
    } else if (!str_copy(host, sizeof host, text)) {
        return -E_INVALID;
    }
    unsigned char bytes[16];
    if (text[0] != '[' && inet_pton(AF_INET, host, bytes) == 1) {
        sock_from_ip_bytes(ret_addr, AF_INET, bytes);
        return 0;
    }
    if (inet_pton(AF_INET6, host, bytes) == 1) {
        sock_from_ip_bytes(ret_addr, AF_INET6, bytes);
        return 0;
    }
    return -E_INVALID;
}

int sock_split(const char *text, uint16_t default_port, char *host, size_t host_size, uint16_t *ret_port,
               struct error *err)
{
    const char *port = NULL;
    const char *end = text + strlen(text);
    const char *start = text;
    if (*text == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return error_set(err, E_INVALID, "", "\"%s\" has no matching ]", text);
        start = text + 1;
        end = close;
        port = close[1] ? close + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) {
            end = colon;
            port = colon + 1;
        }
    }
    if (end == start)
        return error_set(err, E_INVALID, "", "\"%s\" names no host", text);
    if ((size_t)(end - start) >= host_size)
        return error_set(err, E_RANGE, "", "the host name is longer than %zu characters", host_size - 1);
    uint64_t number = default_port;
    if (port && (str_to_u64(port, 65535, &number) != 0 || number == 0))
        return error_set(err, E_RANGE, "", "\"%s\" is not a port from 1 to 65535", port);
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = 0;
    *ret_port = (uint16_t)number;
    return 0;
}

int sock_resolve(const char *host, enum sock_family family, union sock_addr *ret_addr, struct error *err)
{
    union sock_addr literal;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                             .ai_family = family == SOCK_FORCE_IPV4   ? AF_INET
                                          : family == SOCK_FORCE_IPV6 ? AF_INET6
                                                                      : AF_UNSPEC};
    if (sock_parse_ip(host, &literal) == 0) {
        if (hints.ai_family != AF_UNSPEC && hints.ai_family != literal.sa.sa_family)
            return error_set(err, E_UNRESOLVED, "", "%s is not an IPv%d address", host,
                             hints.ai_family == AF_INET ? 4 : 6);
        *ret_addr = literal;
        return 0;
    }
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc)
        return error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (%s)", host, gai_strerror(rc));
    int wanted = family == SOCK_PREFER_IPV4 ? AF_INET : AF_INET6;
    const struct addrinfo *best = NULL;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        if ((ai->ai_family == AF_INET || ai->ai_family == AF_INET6) &&
            (!best || (best->ai_family != wanted && ai->ai_family == wanted)))
            best = ai;
    }
    if (best) {
        memset(ret_addr, 0, sizeof *ret_addr);
        memcpy(ret_addr, best->ai_addr, best->ai_addrlen < sizeof *ret_addr ? best->ai_addrlen : sizeof *ret_addr);
    }
    freeaddrinfo(list);
    return best ? 0 : error_set(err, E_UNRESOLVED, "", "Could not resolve host: %s (no usable address)", host);
}
