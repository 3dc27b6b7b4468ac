/*
 * The machine's own network where the agent measures: its addresses, the way out, and whether the gateway there answers
 * on the link. Asked of the kernel (rtnetlink(7)) over a socket that the parent opened in the namespace; nothing is
 * sent to the network, and no call waits for one.
 */
#ifndef OCULI_AGENT_NET_H
#define OCULI_AGENT_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/sock.h"

#define NET_ADDRESSES 128

/* In the named network namespace (NULL = the caller's own); the calling thread is back in its own afterwards. */
int net_socket(const char *netns, int *ret_fd, struct error *err);

struct net;
struct net *net_new(int fd); /* fd stays the caller's */
void net_free(struct net *net); /* NULL is fine */

struct net_address {
    char interface[16];
    union sock_addr addr;
};

/* Addresses that mean something to others: of interfaces that are up, without loopback and link-local ones. */
size_t net_addresses(struct net *net, struct net_address *addresses, size_t max);

/* May packets leave with this source address? Loopback ones too. */
bool net_is_own(struct net *net, const union sock_addr *addr);

enum net_way {
    NET_NO_WAY,  /* no route to the Internet */
    NET_UNKNOWN, /* there is one, and nothing speaks against it */
    NET_SILENT   /* its gateway does not answer on the link (ARP, neighbour discovery) */
};

/* The way out of a family (AF_INET, AF_INET6). ret_gateway (may be NULL) is unset when the route has none. */
enum net_way net_way(struct net *net, int family, union sock_addr *ret_gateway);

#endif
