/*
 * Names of hops, asked for where the agent stands: only there the DNS of a private network is known.
 *
 * Of the addresses of its own networks (private ones, the prefixes of the machine's interfaces, and those that the
 * server names: localResolutionPrefixes of API v7), of all, or of none, as --resolve-names says.
 */
#ifndef OCULI_AGENT_HOP_NAMES_H
#define OCULI_AGENT_HOP_NAMES_H

#include "agent/options.h"
#include "base/loop.h"
#include "measure/runner.h"
#include "wire/field.h"

#define HOP_NAMES_WAIT_S 2 /* a finished round waits for names at most so long */

struct hop_names;
struct names_wait;

/* NULL in *ret_names when none are to be asked for; every call here takes it. -E_INVALID: where "--name-servers". */
int hop_names_new(struct loop *loop, const struct agent_options *options, struct hop_names **ret_names,
                  struct error *err);
void hop_names_free(struct hop_names *names);

/* Further prefixes (const char *) whose names are asked for; those that are none are left out. */
void hop_names_set_prefixes(struct hop_names *names, const struct field_list *prefixes);

/* Asks for what the round's hops lack. NULL: nothing to wait for; else fn is called once, later (facts/names.h). */
struct names_wait *hop_names_wait(struct hop_names *names, const struct measure_round *round, loop_fn *fn, void *user);
/* Puts what is known into the hops that have no name. */
void hop_names_fill(struct hop_names *names, struct measure_round *round);

#endif
