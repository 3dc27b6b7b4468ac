/*
 * The server's side of docs/protocols.md in a check: registers agents, hands out one plan, takes batches in, and
 * misbehaves as it is told. It runs on threads of its own; a check waits for what it wants to see.
 */
#ifndef OCULI_TESTS_AGENT_FAKE_SERVER_H
#define OCULI_TESTS_AGENT_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

struct fake_server;

enum fake_trouble {
    FAKE_NONE,
    FAKE_DROP_EARLY, /* the connection breaks while the batch is being sent */
    FAKE_DROP_LATE,  /* the batch is committed and the connection breaks before the receipt */
    FAKE_SHORT       /* a receipt that does not cover the batch */
    /* any other number is sent as HTTP status */
};

#define FAKE_TOKEN "group-token"
#define FAKE_AGENT_ID 31
#define FAKE_ROUNDS 4096

struct fake_round {
    uint64_t test_id, run_id;
    int64_t round_id, start_ns, end_ns, test_version;
    size_t part_count;
    char parts[64]; /* names, joined by spaces */
    char problem[64], error[128]; /* localProblem, and errorDetails of the part "network"; "" = none */
};

/* With a certificate and its key (PEM) the server speaks TLS only; NULL, NULL: plain. They must outlive it. */
struct fake_server *fake_server_start(const char *certificate, const char *key);
void fake_server_free(struct fake_server *server);
const char *fake_server_url(const struct fake_server *server);

/* Away: nothing listens on the port any more, open connections are broken. */
void fake_server_down(struct fake_server *server);
void fake_server_up(struct fake_server *server);

/* The plan from now on; its version is set here. Copied. */
void fake_server_plan(struct fake_server *server, const struct message_plan *plan);
void fake_server_refuse(struct fake_server *server, bool is_refusing); /* 401 to everything of the agent */
void fake_server_displace(struct fake_server *server); /* 409 to the instance that asked for its plan last */
void fake_server_old(struct fake_server *server);      /* from before reports: it knows none */
void fake_server_clock(struct fake_server *server, int64_t ahead_s); /* of the agent's; 20 from the start on */
void fake_server_trouble(struct fake_server *server, int trouble);     /* one more, for the next upload without one */
void fake_server_clear(struct fake_server *server);                     /* no trouble any more */
void fake_server_ceiling(struct fake_server *server, size_t rounds);   /* 413 for larger batches; 0 = none */

/* Wait until so much has happened since the start; false after a minute. */
bool fake_server_wait_rounds(struct fake_server *server, size_t count);
bool fake_server_wait_uploads(struct fake_server *server, size_t count);
bool fake_server_wait_troubles(struct fake_server *server, size_t count);
bool fake_server_wait_reports(struct fake_server *server, size_t count);
bool fake_server_wait_polls(struct fake_server *server, size_t count);

/* What was committed, in the order it came. Valid until the server is freed; count may grow meanwhile. */
size_t fake_server_rounds(struct fake_server *server, const struct fake_round **ret_rounds);

struct fake_counts {
    size_t registrations, polls, uploads, duplicates, troubles, malformed;
    size_t repeated;          /* duplicates that are another measurement: the round was run twice */
    size_t largest_batch;
    bool has_offset;          /* the last batch told the clock's offset */
    char agent_name[128], version[64], types[128], country[8];
    double latitude;
    char instance[MESSAGE_INSTANCE_BYTES]; /* of the last plan request */
    size_t reports, leaves, queues;        /* of them all, and of the last one */
    bool is_clock_corrected;
    char report_instance[MESSAGE_INSTANCE_BYTES], problem[64];
};
struct fake_counts fake_server_counts(struct fake_server *server);

#endif
