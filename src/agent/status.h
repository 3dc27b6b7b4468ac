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
    AGENT_STATE_REFUSED,     /* the server no longer knows the agent */
    AGENT_STATE_DISPLACED    /* another process has the agent's identity */
};

struct agent_status {
    int state;
    int64_t written;
    uint64_t agent_id, aid;
    const char *server, *version, *instance, *proxy;
    int64_t plan_version;
    int64_t tests, unsupported_tests, running_rounds, finished_rounds, missed_slots, overlapped_slots, clock_steps;
    int64_t spool_bytes, memory_bytes, dropped_rounds, dropped_bytes, damaged_bytes;
    int64_t spool_oldest; /* slot of the oldest round, 0 = none waits */
    int64_t started;
    int64_t resident_bytes;
    double cpu;           /* percent of a core */
    struct field_list queues; /* strings "general 0.12% 0.40%": of five minutes, the most of a day */
    const char *local_problem; /* NULL = none */
    bool is_clock_corrected;
    int64_t last_contact, last_upload, uploaded_rounds, duplicate_rounds, refused_rounds;
    double clock_offset_s; /* the server's clock minus ours; NaN = unknown */
    struct field_list limits_hit; /* strings "spool 3" */
    const char *last_error;
};

extern const struct field_table agent_status_table;

/* The record as lines, and as JSON. */
void agent_status_text(const struct agent_status *status, struct buf *buf);
void agent_status_json(const struct agent_status *status, struct buf *buf);

/* Prints the file as lines or as JSON; the exit status of `oculi-agent status`: 0 = running and connected. */
int agent_status_print(const char *state_dir, bool is_json, struct error *err);

#endif
