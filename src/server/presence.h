/*
 * Which agents are there: when each last spoke and what its clock says, in memory, because writing it at every word would wear out the store.
 * It is written when an agent falls silent and when the server stops.
 */
#ifndef OCULI_SERVER_PRESENCE_H
#define OCULI_SERVER_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/object.h"

struct presence;
struct stream;
struct clock;

#define PRESENCE_SILENT_S 180 /* an agent asks for its plan at least every minute */

struct presence *presence_new(struct store *store, struct stream *stream, const struct clock *clock);
/* Writes down who was there. */
void presence_free(struct presence *presence);

void presence_seen(struct presence *presence, uint64_t aid, uint64_t agent_id); /* it spoke */
void presence_forget(struct presence *presence, uint64_t agent_id);             /* deleted */
int64_t presence_last_seen_s(const struct presence *presence, uint64_t agent_id); /* 0 = not since the start */
/* Call now and then: tells who fell silent. At most some at a time: true = others may have, call again soon. */
bool presence_check(struct presence *presence);
/* The agent's clock minus ours; FIELD_NO_I64 = it has not said since the start. */
void presence_set_clock(struct presence *presence, uint64_t agent_id, int64_t offset_us);
int64_t presence_clock_us(const struct presence *presence, uint64_t agent_id);
size_t presence_count(const struct presence *presence); /* agents that are there */

#endif
