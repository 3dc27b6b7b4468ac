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
#include "measure/type.h"

/* Appends the whole text; plain characters only. */
void show_result(const struct measure_type *type, const void *result, struct buf *buf);

/* What stands on the terminal now. */
struct show_screen {
    bool is_live;   /* standard output is a terminal that understands cursor movements */
    unsigned lines; /* drawn below the place where drawing begins */
};

void show_open(struct show_screen *screen);
/* Replaces what stands there; cut to the terminal's size unless is_final. Nothing unless live or final. */
void show_draw(struct show_screen *screen, const char *text, bool is_final);

#endif
