/*
 * Socket addresses: an IPv4 or IPv6 address with a port, comparable, printable, parsable. No I/O but name resolution.
 */
#ifndef OCULI_BASE_SOCK_H
#define OCULI_BASE_SOCK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

union sock_addr {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

#define SOCK_TEXT_BYTES 64

socklen_t sock_len(const union sock_addr *addr);
bool sock_is_set(const union sock_addr *addr);
bool sock_same_ip(const union sock_addr *a, const union sock_addr *b); /* family and address, not port */
uint16_t sock_port(const union sock_addr *addr);
void sock_set_port(union sock_addr *addr, uint16_t port);

/* The raw address: 4 or 16 bytes. */
const void *sock_ip_bytes(const union sock_addr *addr, size_t *ret_size);
void sock_from_ip_bytes(union sock_addr *addr, int family, const void *bytes);

/* "192.0.2.1" or "2001:db8::1"; an unset address gives "". Returns buf. */
const char *sock_ip_text(const union sock_addr *addr, char *buf, size_t size);

/* An IP literal, optionally in []; 0 or -E_INVALID. Port 0. */
int sock_parse_ip(const char *text, union sock_addr *ret_addr);

/* Splits "host", "host:port", "[v6]:port", "v6" into parts; *ret_port is default_port when there is none. */
int sock_split(const char *text, uint16_t default_port, char *host, size_t host_size, uint16_t *ret_port,
               struct error *err);

enum sock_family { SOCK_FORCE_IPV4, SOCK_PREFER_IPV6, SOCK_FORCE_IPV6, SOCK_PREFER_IPV4 };

/* Resolves host with the system's resolver; blocks. -E_UNRESOLVED with the resolver's own text. */
int sock_resolve(const char *host, enum sock_family family, union sock_addr *ret_addr, struct error *err);

#endif
