/*
 * The event hub: what happened on the server, for browsers that watch. No HTTP here; a reader hands out the bytes of a
 * text/event-stream (HTML Standard, section 9.2) and says when there are some.
 *
 * Events are hints: a reader that misses some is told so (`event: reset`) and fetches what it shows again. The hub
 * keeps the last LIMIT_SSE_HISTORY events of everybody once; a reader is a place in that history, so a slow one costs
 * nothing: when more than LIMIT_SSE_QUEUE of its events wait it is cut and reset. Events belong to an account group and
 * reach only readers of the same, and of those a test is shared with.
 *
 * Everything runs on the loop's thread. stream_tick must be called when stream_due_ns comes.
 */
#ifndef OCULI_SERVER_STREAM_H
#define OCULI_SERVER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct shares;
struct stream;
struct stream_reader;

enum stream_topic_kind {
    STREAM_TOPIC_TEST,  /* "test:12": its rounds */
    STREAM_TOPIC_TESTS, /* "tests": tests created, changed, deleted; and every round, for lists */
    STREAM_TOPIC_AGENTS /* "agents": agents that came, went, changed */
};

struct stream_topic {
    enum stream_topic_kind kind;
    uint64_t id; /* of the test; 0 for the others */
};

#define STREAM_TOPICS_MAX 32u

struct stream_topics {
    struct stream_topic items[STREAM_TOPICS_MAX];
    size_t count;
};

/* Reads "test:12,agents,tests". -E_REQUIRED, -E_UNKNOWN or -E_LIMIT, with where "topics". */
int stream_topics_read(const char *text, struct stream_topics *ret_topics, struct error *err);

struct stream *stream_new(const struct clock *clock);
void stream_free(struct stream *stream); /* readers must have left */

/* A test's events also reach readers of the account groups it is shared with. */
void stream_set_shares(struct stream *stream, const struct shares *shares);

/* --- what happened ------------------------------------------------------------------------------------------------ */

/* A round came in. At most one event a second for each test: the newest of that second is told when it ends. */
void stream_round(struct stream *stream, uint64_t aid, uint64_t test_id, int64_t round_id, uint64_t agent_id);
void stream_test(struct stream *stream, uint64_t aid, uint64_t test_id); /* created, changed or deleted */
void stream_agent(struct stream *stream, uint64_t aid, uint64_t agent_id, const char *state); /* "online", "offline" */

/* Tells the rounds that were held back and pings (every 15 s). */
void stream_tick(struct stream *stream);
int64_t stream_due_ns(const struct stream *stream); /* monotonic; when to call stream_tick next */

/* --- who watches -------------------------------------------------------------------------------------------------- */

/* wake is called when there is something to take, once until stream_take has been called. It must not call the hub.
 * Take once right after joining: what was missed and a first ping wait. last_event_id is what the browser sent,
 * or NULL. NULL when LIMIT_SSE_CLIENTS readers are there. */
typedef void stream_wake_fn(void *user);
struct stream_reader *stream_join(struct stream *stream, uint64_t aid, const struct stream_topics *topics,
                                  const char *last_event_id, stream_wake_fn *wake, void *user);
void stream_leave(struct stream_reader *reader);

/* Appends what waits to out. False when nothing did. */
bool stream_take(struct stream_reader *reader, struct buf *out);

size_t stream_reader_count(const struct stream *stream);

#endif
