/*
 * The scenario language: a text that describes a simulated internet (oculi-lab-scenario(5)).
 *
 * Reading is strict: the first thing that is not understood ends it with an error whose place is "file:line".
 */
#ifndef OCULI_LAB_SCENARIO_H
#define OCULI_LAB_SCENARIO_H

#include <stddef.h>

#include "base/error.h"

struct lab_scenario;

/* Reads a file and what it includes (relative to the including file). The caller frees the scenario. */
int lab_scenario_load(const char *path, struct lab_scenario **ret_scenario, struct error *err);

/* The same from memory, for checks and fuzzing; name stands for the file in errors. Includes are refused. */
int lab_scenario_parse(const char *text, size_t size, const char *name, struct lab_scenario **ret_scenario,
                       struct error *err);

void lab_scenario_free(struct lab_scenario *scenario); /* NULL is fine */

#endif
