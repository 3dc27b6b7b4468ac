/*
 * What is known of a simulated internet's addresses, as a database that the server and the command line read
 * (facts/geo.h): networks, places and names of the scenario.
 */
#ifndef OCULI_LAB_FACTS_H
#define OCULI_LAB_FACTS_H

#include "base/buf.h"
#include "base/error.h"
#include "lab/model.h"

/* Appends the file. -E_LIMIT: there are too many addresses. */
int lab_facts_write(const struct lab_scenario *scenario, struct buf *out, struct error *err);

#endif
