/*
 * A finished round as the server gets it: CBOR of struct message_round, each part of the result as a record of its own
 * table. Also used by the lab's history maker, whose rounds are the agent's in every respect.
 */
#ifndef OCULI_AGENT_ROUND_H
#define OCULI_AGENT_ROUND_H

#include <stdint.h>

#include "agent/plan.h"
#include "agent/record.h"
#include "base/buf.h"
#include "measure/runner.h"

/* Appends the message to buf and describes it as a record of the spool (which points into buf). -E_LIMIT when the
 * result is too large for either. local_problem: as in struct message_round, NULL = none. */
int round_encode(const struct plan_item *item, const struct measure_round *round, int64_t round_id,
                 const char *local_problem, struct buf *buf, struct record *ret_record, struct error *err);

#endif
