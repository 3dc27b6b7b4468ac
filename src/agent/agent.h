/*
 * The worker of oculi-agent: one thread, one loop. It has no privileges: the raw sockets were opened by the parent.
 *
 *     plan (long poll, disk) -> schedule -> rounds on the probe engine -> spool -> link -> server
 */
#ifndef OCULI_AGENT_AGENT_H
#define OCULI_AGENT_AGENT_H

#include <stddef.h>

#include "agent/options.h"
#include "probe/open.h"

struct agent_settings {
    const struct agent_options *options;
    const void *ca_pem; /* content of --ca-file, read while we still could; NULL = the system's */
    size_t ca_pem_size;
};

/* Runs until SIGTERM or SIGINT. Takes the sockets over; returns an enum parent_exit, or another number when a new
 * worker may do better. */
int agent_run(const struct agent_settings *settings, struct probe_sockets *sockets);

#endif
