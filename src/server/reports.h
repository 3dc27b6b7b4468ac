/*
 * How agents are: the last report of each, which of its processes asked for the plan last, and problems of its own
 * machine. Reports are kept in memory, for as long as the server runs (an agent sends one when it has reached the
 * server and every 5 minutes); local problems are kept in the store, with their beginning and end.
 */
#ifndef OCULI_SERVER_REPORTS_H
#define OCULI_SERVER_REPORTS_H

#include "base/clock.h"
#include "server/object.h"
#include "wire/message.h"

#define REPORTS_TWINS_S 3600          /* how long two processes of one identity are told after the last was refused */
#define REPORTS_CLOCK_US (10LL * 1000000) /* a clock that is off by more is told */
#define REPORTS_FRESH_S 900           /* an older report says nothing about now */

/* A time in which something was wrong at an agent's own machine. */
struct object_local_problem {
    struct object_head head; /* aid of the agent */
    const char *agent;       /* the lookup: its id in digits */
    uint64_t agent_id;
    const char *what;        /* the words of struct message_report.local_problem */
    int64_t start_s, end_s;  /* end 0: it goes on */
};
extern const struct object_kind object_local_problem_kind;

struct reports;
struct reports *reports_new(struct store *store, const struct clock *clock);
void reports_free(struct reports *reports);

/* Takes a report; the agent's record follows what it tells of itself (version, addresses). -E_xxx of the store. */
int reports_take(struct reports *reports, const struct object_agent *agent, const struct message_report *report,
                 struct error *err);
/* The last one, or NULL; and when it came. Valid until the next of the same agent. */
const struct message_report *reports_last(const struct reports *reports, uint64_t agent_id, int64_t *ret_at_s);
void reports_forget(struct reports *reports, uint64_t agent_id);

/* A process asks for the agent's plan: false when another took over after it; then ret_why says since when and from
 * where (at least 160 bytes). instance may be NULL: older agents say none. */
bool reports_instance(struct reports *reports, uint64_t agent_id, const char *instance, const char *peer, char *ret_why,
                      size_t why_size);
/* When the last of two processes was refused; 0 = never. */
int64_t reports_twins_s(const struct reports *reports, uint64_t agent_id);

/* What notification rules tell of an agent: the first of those that hold (NULL: none), and a hash of all of them. true
 * when it is what was set before; false too after reports_unsettle_notice, and at first. */
bool reports_set_notice(struct reports *reports, uint64_t agent_id, const char *notice, uint64_t hash);
void reports_unsettle_notice(struct reports *reports, uint64_t agent_id);
const char *reports_notice(const struct reports *reports, uint64_t agent_id); /* NULL: none */

/* How far a version lags behind the server's. */
enum reports_support { REPORTS_SUPPORTED, REPORTS_OUTDATED, REPORTS_UNSUPPORTED };
extern const char *const reports_support_words[]; /* "supported", "outdated", "unsupported" */
/* Outdated: an older minor version (before 1.0: also an older patch); unsupported: another major version, or more than
 * REPORTS_SUPPORTED_MINORS minor versions behind. Newer ones, and those that cannot be read, are supported. */
#define REPORTS_SUPPORTED_MINORS 6
enum reports_support reports_support_of(const char *version, const char *server_version);

#endif
