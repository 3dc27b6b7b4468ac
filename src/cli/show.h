/*
 * Results as a person reads them: on a terminal a table that fills in while the round runs, elsewhere the same table
 * once, at the end. The parts that several measure types share have tables of their own; any other part is printed as
 * a list of its figures.
 */
#ifndef OCULI_CLI_SHOW_H
#define OCULI_CLI_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "measure/part.h"
#include "measure/type.h"

/* Appends the whole text; plain characters only. */
void show_result(const struct measure_type *type, const void *result, struct buf *buf);

/* The traces of a result as a table, one line for each address at each distance, and how each way ended. Verbose: what
 * the answers said and the TTLs they quoted and came with. */
void show_paths(const struct measure_path_vis *paths, bool is_verbose, struct buf *buf);
/* The MPLS tunnels of the traces, one line for each with what speaks for it; nothing when there are none. */
void show_tunnels(const struct measure_path_vis *paths, struct buf *buf);
/* The ends alone: traces that took the same way to the same end share a line. */
void show_ends(const struct measure_path_vis *paths, struct buf *buf);

/* "1-3,5" for the bits 1, 2, 3 and 5. Returns buf. */
const char *show_flows(uint32_t flows, char *buf, size_t size);

/* A column of a table: a blank, then 9 or 7 characters; "-" for NaN. */
void show_figure(double value, struct buf *buf);
void show_percent(double value, struct buf *buf);

/* What stands on the terminal now. */
struct show_screen {
    bool is_live;   /* standard output is a terminal that understands cursor movements */
    unsigned lines; /* drawn below the place where drawing begins */
};

void show_open(struct show_screen *screen);
/* Replaces what stands there; cut to the terminal's size unless is_final. Nothing unless live or final. */
void show_draw(struct show_screen *screen, const char *text, bool is_final);

#endif
