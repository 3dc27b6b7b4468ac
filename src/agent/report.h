/*
 * Reports: the agent tells the server how it is (struct message_report, docs/protocols.md). The first as soon as the
 * server has answered, then one in REPORT_EVERY_S, one soon after report_kick, and a last one when it leaves.
 */
#ifndef OCULI_AGENT_REPORT_H
#define OCULI_AGENT_REPORT_H

#include "agent/http.h"
#include "base/arena.h"
#include "wire/message.h"

#define REPORT_EVERY_S 300
#define REPORT_SOON_S 2      /* after a change, which may not come alone */
#define REPORT_UNKNOWN_S 3600 /* a server that does not know reports is asked again then */

struct report;

struct report_settings {
    struct loop *loop;
    struct http *http;
    const char *authorization; /* outlives the report */
    /* Fills in how things are; what it points to lives in arena or longer. */
    void (*fill)(void *user, struct message_report *report, struct arena *arena);
    void *user;
};

struct report *report_new(const struct report_settings *settings); /* sends nothing before report_kick */
void report_free(struct report *report); /* NULL is fine */

void report_kick(struct report *report);

/* The last one. fn is called once, later, when it has been answered or cannot be. */
void report_leave(struct report *report, loop_fn *fn, void *user);

#endif
