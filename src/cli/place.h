/*
 * The place the command line measures from: a loop, a probe engine and a resolver, with the privileges they took
 * already given up.
 */
#ifndef OCULI_CLI_PLACE_H
#define OCULI_CLI_PLACE_H

#include "base/error.h"
#include "base/loop.h"
#include "base/resolve.h"
#include "probe/engine.h"

struct place {
    struct loop *loop;
    struct resolver *resolver;
    struct probe_engine *engine;
    enum sock_family family; /* IPv6 first where this machine has a way to it */
    union sock_addr source;  /* unset = the system's choice */
};

/* netns: a network namespace by name or path, which the whole process enters; source_ip: an address of this machine;
 * both may be NULL. The place is to be closed whether this succeeds or not. Errors name the option. */
int place_open(struct place *place, const char *netns, const char *source_ip, struct error *err);
void place_close(struct place *place);

#endif
