/*
 * A new program in place of the old one, in the same process: what took privileges to open goes from one to the other
 * through exec, since neither has any privilege left to open it again. So an agent is upgraded by SIGUSR2 where no
 * service manager could give a new process its capabilities.
 */
#ifndef OCULI_AGENT_HANDOVER_H
#define OCULI_AGENT_HANDOVER_H

#include <stdbool.h>

#include "agent/parent.h"

/* Starts the program at path with argv and hands it what was opened. Returns only when that fails; nothing has changed then. */
int handover_exec(const char *path, char *const *argv, const struct parent_opened *opened, struct error *err);

/* True when a process before handed something over: *ret_opened has it, or *ret_rc is why it is of no use. dns_servers as
 * in struct lookup_settings. Asking twice finds nothing. */
bool handover_take(const char *dns_servers, struct parent_opened *ret_opened, int *ret_rc, struct error *err);

#endif
