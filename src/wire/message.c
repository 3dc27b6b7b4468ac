#include "wire/message.h"

#include "base/limit.h"

const char *const message_ipv6_policy_words[] = {"force-ipv4", "prefer-ipv6", "force-ipv6", NULL};

/* --- registration ------------------------------------------------------------------------------------------------ */

static const struct field registration_fields[] = {
    FIELD_STR(struct message_registration, token, "token",
              (.flags = FIELD_REQUIRED | FIELD_SECRET, .min = 1, .max = 256),
              "Token of the account group the agent joins"),
    FIELD_STR(struct message_registration, agent_name, "agentName", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),
              "Name the agent has in lists and charts"),
    FIELD_STR(struct message_registration, hostname, "hostname", (.max = 255), "Name the machine gives itself"),
    FIELD_STR(struct message_registration, version, "version", (.flags = FIELD_REQUIRED, .min = 1, .max = 64),
              "Version of the agent software"),
    FIELD_STRS(struct message_registration, addresses, "ipAddresses", (.max = 256), "Addresses of the machine"),
    FIELD_ENUM(struct message_registration, ipv6_policy, "ipv6Policy", message_ipv6_policy_words,
               (.preset = "prefer-ipv6"), "Which addresses of a name the agent prefers"),
    FIELD_STRS(struct message_registration, types, "types", (.max = 256), "Measure types the agent can run"),
    FIELD_STR(struct message_registration, location, "location", (.max = 255), "Where the agent is, for people"),
    FIELD_STR(struct message_registration, country_id, "countryId", (.min = 2, .max = 2),
              "Country the agent is in, ISO 3166-1 alpha-2"),
    FIELD_F64(struct message_registration, latitude, "latitude", (.min = -90, .max = 90, .unit = "degrees"),
              "How far north the agent is"),
    FIELD_F64(struct message_registration, longitude, "longitude", (.min = -180, .max = 180, .unit = "degrees"),
              "How far east the agent is"),
};

static int registration_valid(const void *record, struct error *err)
{
    const struct message_registration *registration = record;
    if (isnan(registration->latitude) != isnan(registration->longitude))
        return error_set(err, E_INVALID, isnan(registration->latitude) ? "latitude" : "longitude",
                         "latitude and longitude come together");
    return 0;
}

const struct field_table message_registration_table =
    FIELD_TABLE("AgentRegistration", struct message_registration, registration_fields, registration_valid,
                "How an agent introduces itself");

static const struct field identity_fields[] = {
    FIELD_ID(struct message_identity, agent_id, "agentId", (.flags = FIELD_REQUIRED), "The agent's id from now on"),
    FIELD_STR(struct message_identity, secret, "secret", (.flags = FIELD_REQUIRED | FIELD_SECRET, .min = 1, .max = 256),
              "What the agent proves its id with"),
    FIELD_ID(struct message_identity, aid, "aid", (.flags = FIELD_REQUIRED), "Account group the agent belongs to"),
};
const struct field_table message_identity_table =
    FIELD_TABLE("AgentIdentity", struct message_identity, identity_fields, NULL, "Who an agent is to the server");

/* --- plan -------------------------------------------------------------------------------------------------------- */

static const struct field test_fields[] = {
    FIELD_ID(struct message_test, test_id, "testId", (.flags = FIELD_REQUIRED), "The test"),
    FIELD_I64(struct message_test, version, "version", (.flags = FIELD_REQUIRED, .min = 1, .max = INFINITY),
              "Version of the settings"),
    FIELD_STR(struct message_test, type, "type", (.flags = FIELD_REQUIRED, .min = 1, .max = 64), "Measure type"),
    FIELD_I32(struct message_test, interval_s, "interval",
              (.flags = FIELD_REQUIRED, .min = 1, .max = 86400, .unit = "s"), "Time between the starts of two rounds"),
    FIELD_BOOL(struct message_test, is_start_random, "randomizedStartTime", (.preset = "false"),
               "Start at a random moment of each interval"),
    FIELD_STR(struct message_test, source_ip, "sourceIp", (.max = 64), "Address to measure from"),
    FIELD_BYTES(struct message_test, settings, "settings", (.flags = FIELD_REQUIRED), "Settings of the measure type"),
};
const struct field_table message_test_table =
    FIELD_TABLE("AgentPlanTest", struct message_test, test_fields, NULL, "A test an agent runs on schedule");

static const struct field run_fields[] = {
    FIELD_ID(struct message_run, run_id, "runId", (.flags = FIELD_REQUIRED), "The run"),
    FIELD_ID(struct message_run, test_id, "testId", (), "The test it belongs to, if any"),
    FIELD_I64(struct message_run, version, "version", (.flags = FIELD_REQUIRED, .min = 1, .max = INFINITY),
              "Version of the settings"),
    FIELD_STR(struct message_run, type, "type", (.flags = FIELD_REQUIRED, .min = 1, .max = 64), "Measure type"),
    FIELD_STR(struct message_run, source_ip, "sourceIp", (.max = 64), "Address to measure from"),
    FIELD_BYTES(struct message_run, settings, "settings", (.flags = FIELD_REQUIRED), "Settings of the measure type"),
    FIELD_TIME(struct message_run, requested_s, "requestedTime", (.flags = FIELD_REQUIRED), "When it was asked for"),
};
const struct field_table message_run_table =
    FIELD_TABLE("AgentPlanRun", struct message_run, run_fields, NULL, "Something an agent runs once");

static const struct field plan_fields[] = {
    FIELD_I64(struct message_plan, version, "version", (.flags = FIELD_REQUIRED, .min = 0, .max = INFINITY),
              "Counts up whenever the plan changes"),
    FIELD_I64(struct message_plan, server_ns, "serverTime", (.flags = FIELD_REQUIRED, .unit = "ns"),
              "Wall clock of the server"),
    FIELD_ENUM(struct message_plan, ipv6_policy, "ipv6Policy", message_ipv6_policy_words, (.preset = "prefer-ipv6"),
               "Which addresses of a name the agent prefers"),
    FIELD_STRS(struct message_plan, resolve_prefixes, "resolvePrefixes", (.preset = "", .max = 64),
               "Prefixes whose names it asks for beside those of its own networks"),
    FIELD_LIST(struct message_plan, tests, "tests", &message_test_table,
               (.flags = FIELD_REQUIRED, .max = LIMIT_PLAN_TESTS), "Tests on schedule"),
    FIELD_LIST(struct message_plan, runs, "runs", &message_run_table, (.preset = "", .max = LIMIT_PLAN_TESTS),
               "Runs asked for once"),
};
const struct field_table message_plan_table =
    FIELD_TABLE("AgentPlan", struct message_plan, plan_fields, NULL, "What an agent has been told to run");

/* --- results ----------------------------------------------------------------------------------------------------- */

static const struct field part_fields[] = {
    FIELD_STR(struct message_part, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 64), "Name of the part"),
    FIELD_BYTES(struct message_part, record, "record", (.flags = FIELD_REQUIRED), "Result record of the part"),
};
const struct field_table message_part_table =
    FIELD_TABLE("AgentRoundPart", struct message_part, part_fields, NULL, "A part of a result");

static const struct field round_fields[] = {
    FIELD_ID(struct message_round, test_id, "testId", (), "The test, unless the run has none"),
    FIELD_ID(struct message_round, run_id, "runId", (), "The run, unless the round was scheduled"),
    FIELD_I64(struct message_round, round_id, "roundId", (.flags = FIELD_REQUIRED, .min = 1, .max = 253402300799),
              "Slot of the round, epoch seconds"),
    FIELD_I64(struct message_round, start_ns, "startTime", (.flags = FIELD_REQUIRED, .unit = "ns"),
              "When the round began"),
    FIELD_I64(struct message_round, end_ns, "endTime", (.flags = FIELD_REQUIRED, .unit = "ns"), "When it ended"),
    FIELD_I64(struct message_round, test_version, "testVersion",
              (.flags = FIELD_REQUIRED, .min = 1, .max = INFINITY), "Version of the settings that produced it"),
    FIELD_LIST(struct message_round, parts, "parts", &message_part_table, (.flags = FIELD_REQUIRED, .max = 64),
               "Parts of the result"),
};

static int round_valid(const void *record, struct error *err)
{
    const struct message_round *round = record;
    if (round->test_id == 0 && round->run_id == 0)
        return error_set(err, E_REQUIRED, "testId", "a round belongs to a test or to a run");
    return 0;
}

const struct field_table message_round_table =
    FIELD_TABLE("AgentRound", struct message_round, round_fields, round_valid, "What one round yielded");

static const struct field batch_fields[] = {
    FIELD_ID(struct message_batch, agent_id, "agentId", (.flags = FIELD_REQUIRED), "The agent"),
    FIELD_I64(struct message_batch, clock_offset_ns, "clockOffset", (.unit = "ns"),
              "The agent's clock minus the server's"),
    FIELD_LIST(struct message_batch, rounds, "rounds", &message_round_table,
               (.flags = FIELD_REQUIRED, .max = LIMIT_BATCH_ROUNDS), "Rounds in the order they ended"),
};
const struct field_table message_batch_table =
    FIELD_TABLE("AgentBatch", struct message_batch, batch_fields, NULL, "Rounds an agent uploads");

static const struct field receipt_fields[] = {
    FIELD_I64(struct message_receipt, accepted, "accepted", (.flags = FIELD_REQUIRED, .max = LIMIT_BATCH_ROUNDS),
              "Rounds that were new and are stored"),
    FIELD_I64(struct message_receipt, duplicates, "duplicates", (.flags = FIELD_REQUIRED, .max = LIMIT_BATCH_ROUNDS),
              "Rounds that were stored before"),
    FIELD_I64(struct message_receipt, refused, "refused", (.flags = FIELD_REQUIRED, .max = LIMIT_BATCH_ROUNDS),
              "Rounds of tests that no longer exist, or that cannot be read"),
};
const struct field_table message_receipt_table =
    FIELD_TABLE("AgentReceipt", struct message_receipt, receipt_fields, NULL, "What became of a batch");

const struct field_table *const message_tables[] = {
    &message_registration_table, &message_identity_table, &message_plan_table,
    &message_batch_table,        &message_receipt_table,  NULL,
};
