/*
 * A whole terminal: the alternate screen, single keys, redrawing without flicker. The terminal is as it was after
 * term_close, at exit, on a signal that ends the program, and while it is stopped (Ctrl-Z).
 *
 * One at a time. ANSI sequences only, as every terminal since the VT100 has them.
 */
#ifndef OCULI_CLI_TERM_H
#define OCULI_CLI_TERM_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"

typedef void term_key_fn(void *user, char key);

/* Standard output is a terminal that understands cursor movements. */
bool term_is_usable(void);

/* resized is called when the size has changed or the program goes on after a stop: draw anew. Keys come when standard
 * input is a terminal, too. */
int term_open(struct loop *loop, term_key_fn *key, loop_fn *resized, void *user, struct error *err);
void term_close(void); /* harmless when it is not open */

void term_size(unsigned *ret_columns, unsigned *ret_lines);

/* Replaces what stands there by these lines, cut to the screen. */
void term_draw(const char *text);

#endif
