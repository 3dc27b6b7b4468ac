/*
 * Names to addresses the agent's way: with the DNS servers of --dns-servers, and where it measures. Names of targets
 * mean what they mean in the network namespace of --netns, so a process that stands there looks them up: the parent
 * makes it while it still may enter the namespace, and it gives up all privileges before it answers anything.
 *
 * lookup_find is a resolve_lookup_fn (base/resolve.h): it blocks, on threads of the resolver.
 */
#ifndef OCULI_AGENT_LOOKUP_H
#define OCULI_AGENT_LOOKUP_H

#include <sys/types.h>

#include "base/error.h"
#include "base/sock.h"

struct lookup;

struct lookup_settings {
    const char *servers; /* NULL = the system's way: nsswitch.conf */
    const char *netns;   /* NULL = here; with one, /etc/netns/NAME/resolv.conf names the servers if there is such a file */
    int (*settle)(void *user, struct error *err); /* in the process in the namespace: gives up privileges */
    void *user;
};

/* NULL in *ret_lookup: the resolver's own way is right. The strings must outlive it. Forks when there is a netns: to be
 * called while the process has one thread. */
int lookup_open(const struct lookup_settings *settings, struct lookup **ret_lookup, struct error *err);
void lookup_close(struct lookup *lookup); /* no lookup may be running; NULL is fine */
pid_t lookup_process(const struct lookup *lookup); /* 0 = it has none */
int lookup_control(const struct lookup *lookup);   /* the descriptor that leads to it, -1 = none */
/* One whose process was made by a program before this one (handover.h). */
struct lookup *lookup_adopt(const char *servers, int control, pid_t process);

int lookup_find(void *lookup, const char *host, enum sock_family family, union sock_addr *ret_addr, struct error *err);

#endif
