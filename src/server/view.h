/*
 * What the pages about one test need: the test as it is looked at, and writing its answers.
 *
 * Answers are JSON texts written straight into a buf (docs/protocols.md): they are columns of numbers, and building a
 * tree of them first would cost more than finding them. Numbers have at most six decimals: below what is measured.
 */
#ifndef OCULI_SERVER_VIEW_H
#define OCULI_SERVER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "measure/type.h"
#include "server/object.h"
#include "store/store.h"

struct about;

struct view {
    struct store *store;
    const struct measure_type *type;
    uint64_t test_id;
    int32_t interval_s; /* 0 = runs only when asked */
    const char *target;
    int64_t now_s;
    const struct object_agent *agents; /* that run the test, ascending by head.id */
    size_t agent_count;
    const uint64_t *chosen; /* agents asked for, ascending; chosen_count 0 = all */
    size_t chosen_count;
    struct arena *arena; /* the request's */
    struct about *about; /* what is known of addresses; NULL = nothing */
};

/* Looks at a test: reads its settings and agents. The arena must outlive the view. */
int view_test(struct view *ret_view, struct store *store, const struct object_test *test, int64_t now_s,
              struct arena *arena, struct error *err);

/* Reads "3,17": decimal ids. NULL or "" = all. -E_INVALID with where "agents". */
int view_choose(struct view *view, const char *text, struct error *err);

bool view_shows(const struct view *view, uint64_t agent_id);
/* NULL when it does not run the test. */
const struct object_agent *view_agent(const struct view *view, uint64_t agent_id);

/* --- writing ------------------------------------------------------------------------------------------------------ */

void view_text(struct buf *out, const char *text); /* NULL = null */
void view_number(struct buf *out, double value);   /* NaN = null */
void view_integer(struct buf *out, int64_t value);
void view_id(struct buf *out, uint64_t id); /* as a string */

#endif
