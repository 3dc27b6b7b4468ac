/*
 * Time windows and pages of API v7: `window` or `startDate` with `endDate`, echoed in the answer; opaque cursors,
 * sealed so that a client cannot make one up; `_links` with self and next.
 */
#ifndef OCULI_SERVER_PAGE_H
#define OCULI_SERVER_PAGE_H

#include "server/request.h"

struct page_window {
    bool is_given;   /* else the latest round only, as v7 has it */
    bool has_window, has_start;
    int64_t from_s, until_s; /* [from, until) */
};

/* -E_INVALID naming window, startDate or endDate. */
int page_read_window(const struct request *request, struct page_window *ret_window, struct error *err);
/* startDate and endDate of the answer. */
void page_echo_window(const struct page_window *window, json_t *answer);

/* A position in a listing: strictly after (first, second); plus the window's edges, so that pages do not shift while
 * time passes. */
struct page_cursor {
    bool is_given;
    int64_t first, second, from_s, until_s;
};

/* -E_INVALID when the cursor is not one of ours. scope: what it is for; a cursor of another listing is refused. */
int page_read_cursor(const struct request *request, uint64_t scope, struct page_cursor *ret_cursor, struct error *err);
/* Sets _links.next.href: this request's address with its cursor replaced. */
void page_link_next(const struct request *request, json_t *answer, uint64_t scope, const struct page_cursor *cursor);

#endif
