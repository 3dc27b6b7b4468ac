/*
 * What the command line does with privileges: it enters a network namespace and opens raw sockets with them, then
 * gives all of them up before it looks at anything that comes from the network.
 */
#ifndef OCULI_CLI_PRIVILEGE_H
#define OCULI_CLI_PRIVILEGE_H

#include "base/error.h"

/* The whole process measures from the namespace from now on: sockets, routes and name lookups. */
int privilege_enter_netns(const char *name, struct error *err);

/* No capability is left, a set-user-id program is its caller again, and nothing can be gained back. Call it before
 * threads are made. */
int privilege_drop(struct error *err);

#endif
