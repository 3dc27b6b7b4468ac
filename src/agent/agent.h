/*
 * The worker of oculi-agent: one thread, one loop. It has no privileges: the raw sockets were opened by the parent.
 *
 *     plan (long poll, disk) -> schedule -> rounds on the probe engine -> spool -> link -> server
 */
#ifndef OCULI_AGENT_AGENT_H
#define OCULI_AGENT_AGENT_H

#include "agent/options.h"
#include "wire/message.h"

struct lookup;
struct parent_opened;
struct trust;

struct agent_settings {
    const struct agent_options *options;
    struct trust *trust; /* read while we still could */
    const struct parent_opened *opened;
    struct lookup *link_lookup; /* of the server's name, from here; NULL = libcurl's way. Threads may outlive the worker's use */
    char instance[MESSAGE_INSTANCE_BYTES]; /* of this start of the program: the same for all its workers */
};

void agent_make_instance(char ret_instance[static MESSAGE_INSTANCE_BYTES]);

/* Runs until SIGTERM or SIGINT. Takes the probe sockets over; returns an enum parent_exit, or another number when a new
 * worker may do better. */
int agent_run(const struct agent_settings *settings);

#endif
