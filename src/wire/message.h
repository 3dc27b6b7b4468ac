/*
 * What agents and the server say to each other (docs/protocols.md): records with field tables, sent as CBOR.
 *
 * A record that is read lives in the arena given to field_from_cbor, which reads in FIELD_TRUST mode: whoever acts on
 * numbers of the other side calls field_check first. Settings and results of measure types travel as opaque bytes,
 * CBOR of the type's own tables, so that this layer knows no type and one bad result does not spoil a batch.
 *
 * Times are wall time, nanoseconds since the Unix epoch, unless the name says otherwise; intervals are seconds.
 *
 * Fields are only ever added, none is required that an earlier version did not send, and words that may grow are strings,
 * not enums: so an agent and a server of different versions understand each other.
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

/* Each process of an agent names itself in every request after registration, so that the server can tell two processes
 * with one identity: 16 hexadecimal digits, drawn at random when oculi-agent is started. */
#define MESSAGE_INSTANCE_HEADER "Oculi-Instance"
#define MESSAGE_INSTANCE_BYTES 17

/* --- proxies ----------------------------------------------------------------------------------------------------- */

/* A proxy as tests use it, and as an agent tells of the one it reaches the server by (without its password). */
struct message_proxy {
    uint64_t proxy_id;      /* of the account group's list, 0 = the agent's own */
    const char *name;
    const char *type;       /* "direct", "static", "pac" */
    const char *location;   /* "proxy.example.net:3128", or the URL of a PAC file; NULL when direct */
    const char *auth;       /* NULL = without signing in; "basic", "ntlm", and those of v7 that no agent can do yet */
    const char *user, *password;
    struct field_list bypass; /* const char *: hosts reached without it, "*.example.net", "10.*" */
};
extern const struct field_table message_proxy_table; /* "AgentProxy" */

/* --- plan -------------------------------------------------------------------------------------------------------- */

struct message_test {
    uint64_t test_id;
    int64_t version;      /* of the test's settings; goes into every round */
    const char *type;     /* of struct measure_type: "agent-to-server" */
    int32_t interval_s;
    bool is_start_random; /* a random moment of each interval */
    const char *source_ip;
    struct message_proxy *proxy; /* instead of the plan's; NULL = the plan's */
    struct field_bytes settings; /* CBOR of the type's settings table */
};

/* Something to run once. The agent remembers run_id, so that it runs once. */
struct message_run {
    uint64_t run_id;
    uint64_t test_id;     /* 0 = of no scheduled test */
    int64_t version;      /* of the test's settings */
    const char *type;
    const char *source_ip;
    struct message_proxy *proxy; /* as of a test */
    struct field_bytes settings;
    int64_t requested_s;  /* epoch seconds: also the round id of what it yields */
};

struct message_plan {
    int64_t version;
    int64_t server_ns;       /* the server's wall clock when it answered */
    int ipv6_policy;         /* the agent's, as the server has it now */
    struct field_list resolve_prefixes; /* const char *: whose names it asks for beside its own networks' */
    struct message_proxy *proxy; /* for tests; NULL = the one the agent was configured with */
    bool is_unverified;      /* tests accept certificates that cannot be verified (v7 verifySslCertificates: false) */
    bool keeps_browser_cache;
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
    const char *local_problem; /* what was wrong at the agent itself meanwhile: see struct message_report; NULL = nothing */
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

/* --- report ------------------------------------------------------------------------------------------------------ */

/* How much of its time a queue of the agent was in use: the share of the slots of time in which it was running something. */
struct message_queue {
    const char *name;     /* "general", "browser", "bandwidth", "voice" */
    double now, most;     /* percent: of the last 5 minutes, and the most of any 5 minutes of the last 24 hours */
};

struct message_interface {
    const char *name, *address;
};

/*
 * Agent to server: how it is. Sent when it has reached the server for the first time after its start, every 5 minutes,
 * when its local problem or its addresses change, and last of all when it stops in good order (is_leaving). Counters
 * count since the start.
 */
struct message_report {
    const char *instance;     /* as in the header */
    const char *version;      /* of the agent software */
    int64_t started_ns;
    bool is_leaving;          /* it stops now: nothing more comes before another start */
    struct field_list types;  /* const char *: names of the measure types this build can run */
    struct field_list addresses;  /* const char * */
    struct field_list interfaces; /* struct message_interface */
    struct message_proxy *proxy;  /* by which it reaches the server; NULL = without */
    struct field_list queues; /* struct message_queue */
    int64_t clock_offset_ns;  /* the agent's clock minus the server's, absent until known */
    bool is_clock_corrected;  /* rounds carry the server's time, because the agent's clock is wrong */
    const char *local_problem; /* "no-route", "gateway", "most-targets", "overload", "clock"; NULL = none */
    int64_t memory_bytes;     /* resident, of the whole agent */
    double cpu;               /* of one core, over the last 5 minutes, percent */
    int64_t tests, unsupported_tests;
    int64_t spool_bytes;      /* measured and not yet confirmed */
    int64_t spool_oldest_s;   /* the slot of the oldest of these, epoch seconds; 0 = none waits */
    int64_t dropped_rounds;   /* for lack of room or age */
    int64_t dropped_bytes, damaged_bytes;
    int64_t refused_rounds;
    int64_t missed_slots, clock_steps;
    struct field_list limits_hit; /* const char *: "buffer 3" */
};
extern const struct field_table message_queue_table;     /* "AgentQueue" */
extern const struct field_table message_interface_table; /* "AgentInterface" */
extern const struct field_table message_report_table;    /* "AgentReport" */

/* Every table above that is a whole message, NULL-terminated: for checks that go through all. */
extern const struct field_table *const message_tables[];

#endif
