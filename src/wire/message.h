/*
 * What agents and the server say to each other (docs/protocols.md): records with field tables, sent as CBOR.
 *
 * A record that is read lives in the arena given to field_from_cbor, which reads in FIELD_TRUST mode: whoever acts on
 * numbers of the other side calls field_check first. Settings and results of measure types travel as opaque bytes,
 * CBOR of the type's own tables, so that this layer knows no type and one bad result does not spoil a batch.
 *
 * Times are wall time, nanoseconds since the Unix epoch, unless the name says otherwise; intervals are seconds.
 */
#ifndef OCULI_WIRE_MESSAGE_H
#define OCULI_WIRE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/field.h"

/* --- registration ------------------------------------------------------------------------------------------------ */

/* Agent to server, once. What the operator did not say is absent. */
struct message_registration {
    const char *token; /* the account group's; secret */
    const char *agent_name, *hostname;
    const char *version;         /* of the agent software */
    struct field_list addresses; /* const char *: the machine's own addresses, without loopback and link-local */
    int ipv6_policy;             /* index into message_ipv6_policy_words */
    struct field_list types;     /* const char *: names of the measure types this build can run */
    const char *location;        /* "Amsterdam, Netherlands" */
    const char *country_id;      /* ISO 3166-1 alpha-2 */
    double latitude, longitude;  /* degrees, WGS 84 */
};
extern const struct field_table message_registration_table; /* "AgentRegistration" */
extern const char *const message_ipv6_policy_words[];       /* force-ipv4, prefer-ipv6, force-ipv6: as in v7 */

/* Server to agent. The agent keeps it for good. */
struct message_identity {
    uint64_t agent_id;
    const char *secret;
    uint64_t aid;
};
extern const struct field_table message_identity_table; /* "AgentIdentity" */

/* --- plan -------------------------------------------------------------------------------------------------------- */

struct message_test {
    uint64_t test_id;
    int64_t version;      /* of the test's settings; goes into every round */
    const char *type;     /* of struct measure_type: "agent-to-server" */
    int32_t interval_s;
    bool is_start_random; /* a random moment of each interval */
    const char *source_ip;
    struct field_bytes settings; /* CBOR of the type's settings table */
};

/* Something to run once. The agent remembers run_id, so that it runs once. */
struct message_run {
    uint64_t run_id;
    uint64_t test_id;     /* 0 = of no scheduled test */
    int64_t version;      /* of the test's settings */
    const char *type;
    const char *source_ip;
    struct field_bytes settings;
    int64_t requested_s;  /* epoch seconds: also the round id of what it yields */
};

struct message_plan {
    int64_t version;
    int64_t server_ns;       /* the server's wall clock when it answered */
    int ipv6_policy;         /* the agent's, as the server has it now */
    struct field_list resolve_prefixes; /* const char *: whose names it asks for beside its own networks' */
    struct field_list tests; /* struct message_test */
    struct field_list runs;  /* struct message_run */
};
extern const struct field_table message_test_table; /* "AgentPlanTest" */
extern const struct field_table message_run_table;  /* "AgentPlanRun" */
extern const struct field_table message_plan_table; /* "AgentPlan" */

/* --- results ----------------------------------------------------------------------------------------------------- */

struct message_part {
    const char *name;          /* of struct measure_part: "pathVis" */
    struct field_bytes record; /* CBOR of the part's table */
};

struct message_round {
    uint64_t test_id;
    uint64_t run_id; /* 0 = scheduled */
    int64_t round_id; /* epoch seconds of the slot */
    int64_t start_ns, end_ns;
    int64_t test_version;
    struct field_list parts; /* struct message_part */
};

struct message_batch {
    uint64_t agent_id;
    int64_t clock_offset_ns; /* the agent's clock minus the server's, absent until known */
    struct field_list rounds; /* struct message_round, at most LIMIT_BATCH_ROUNDS */
};
extern const struct field_table message_part_table;  /* "AgentRoundPart" */
extern const struct field_table message_round_table; /* "AgentRound" */
extern const struct field_table message_batch_table; /* "AgentBatch" */

/* The server has committed the accepted rounds, had the duplicates already and will never take the refused ones: the
 * agent may forget all of them. The three add up to the batch. */
struct message_receipt {
    int64_t accepted, duplicates, refused;
};
extern const struct field_table message_receipt_table; /* "AgentReceipt" */

/* Every table above that is a whole message, NULL-terminated: for checks that go through all. */
extern const struct field_table *const message_tables[];

#endif
