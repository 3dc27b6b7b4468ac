/*
 * What oculi-agent does beside being the agent: status, ca, proxy, reset (oculi-agent(8)). Each prints to standard
 * output and returns the exit status, or an error.
 */
#ifndef OCULI_AGENT_COMMAND_H
#define OCULI_AGENT_COMMAND_H

#include "agent/options.h"

int command_run(const struct agent_words *words, struct agent_options *options, struct arena *arena, struct error *err);

#endif
