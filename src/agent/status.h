/*
 * What the agent is doing, for `oculi-agent status`: a record of a field table, kept as lines "name: value" in the file
 * `status` of the state directory.
 */
#ifndef OCULI_AGENT_STATUS_H
#define OCULI_AGENT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "wire/field.h"

enum agent_state {
    AGENT_STATE_REGISTERING, /* no identity yet */
    AGENT_STATE_CONNECTED,
    AGENT_STATE_AWAY,        /* the server does not answer */
    AGENT_STATE_REFUSED      /* the server no longer knows the agent */
};

struct agent_status {
    int state;
    int64_t written;
    uint64_t agent_id, aid;
    const char *server, *version;
    int64_t plan_version;
    int64_t tests, unsupported_tests, running_rounds, finished_rounds, missed_slots, overlapped_slots, clock_steps;
    int64_t spool_bytes, memory_bytes, dropped_bytes, damaged_bytes;
    int64_t last_contact, last_upload, uploaded_rounds, duplicate_rounds, refused_rounds;
    double clock_offset_s; /* the server's clock minus ours; NaN = unknown */
    struct field_list limits_hit; /* strings "spool 3" */
    const char *last_error;
};

extern const struct field_table agent_status_table;

/* The record as lines. */
void agent_status_text(const struct agent_status *status, struct buf *buf);

/* Prints the file; the exit status of `oculi-agent status`: 0 = running and connected. */
int agent_status_print(const char *state_dir, struct error *err);

#endif
