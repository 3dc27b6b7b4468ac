#include "wire/message.h"

#include <string.h>

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

/* --- proxies ----------------------------------------------------------------------------------------------------- */

static const struct field proxy_fields[] = {
    FIELD_ID(struct message_proxy, proxy_id, "proxyId", (), "The proxy in its account group's list"),
    FIELD_STR(struct message_proxy, name, "name", (.max = 255), "What people call it"),
    FIELD_STR(struct message_proxy, type, "type", (.flags = FIELD_REQUIRED, .min = 1, .max = 32),
              "How it is found: direct (there is none), static (by its address) or pac (by a PAC file)"),
    FIELD_STR(struct message_proxy, location, "location", (.max = 1000), "Host and port, or the URL of the PAC file"),
    FIELD_STR(struct message_proxy, auth, "authType", (.max = 32), "How it wants to be signed in to"),
    FIELD_STR(struct message_proxy, user, "user", (.max = 255), "Who signs in to it"),
    FIELD_STR(struct message_proxy, password, "password", (.flags = FIELD_SECRET, .max = 1000), "That user's password"),
    FIELD_STRS(struct message_proxy, bypass, "bypassList", (.preset = "", .max = 1000),
               "Hosts that are reached without it"),
};

static int proxy_valid(const void *record, struct error *err)
{
    const struct message_proxy *proxy = record;
    bool is_direct = proxy->type && strcmp(proxy->type, "direct") == 0;
    if (!is_direct && (!proxy->location || !*proxy->location))
        return error_set(err, E_REQUIRED, "location", "a proxy has an address");
    return 0;
}

const struct field_table message_proxy_table =
    FIELD_TABLE("AgentProxy", struct message_proxy, proxy_fields, proxy_valid, "A proxy");

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
    FIELD_RECORD_PTR(struct message_test, proxy, "proxy", &message_proxy_table, (), "Proxy of this test"),
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
    FIELD_RECORD_PTR(struct message_run, proxy, "proxy", &message_proxy_table, (), "Proxy of this run"),
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
    FIELD_RECORD_PTR(struct message_plan, proxy, "proxy", &message_proxy_table, (), "Proxy of tests that name none"),
    FIELD_BOOL(struct message_plan, is_unverified, "unverifiedCertificates", (.preset = "false"),
               "Tests accept certificates that cannot be verified"),
    FIELD_BOOL(struct message_plan, keeps_browser_cache, "keepBrowserCache", (.preset = "false"),
               "The browser keeps its cache from round to round"),
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
    FIELD_STR(struct message_round, local_problem, "localProblem", (.max = 64),
              "What was wrong at the agent itself meanwhile"),
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

/* --- report ------------------------------------------------------------------------------------------------------ */

static const struct field queue_fields[] = {
    FIELD_STR(struct message_queue, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 64), "The queue"),
    FIELD_F64(struct message_queue, now, "now", (.flags = FIELD_REQUIRED, .min = 0, .max = 100, .unit = "%"),
              "Its use in the last five minutes"),
    FIELD_F64(struct message_queue, most, "most", (.flags = FIELD_REQUIRED, .min = 0, .max = 100, .unit = "%"),
              "The most of any five minutes of a day"),
};
const struct field_table message_queue_table =
    FIELD_TABLE("AgentQueue", struct message_queue, queue_fields, NULL, "How much a queue of an agent is in use");

static const struct field interface_fields[] = {
    FIELD_STR(struct message_interface, name, "interfaceName", (.flags = FIELD_REQUIRED, .min = 1, .max = 64),
              "The network interface"),
    FIELD_STR(struct message_interface, address, "ipAddress", (.flags = FIELD_REQUIRED, .min = 1, .max = 64),
              "An address of it"),
};
const struct field_table message_interface_table = FIELD_TABLE(
    "AgentInterface", struct message_interface, interface_fields, NULL, "An address of an agent and where it is");

static const struct field report_fields[] = {
    FIELD_STR(struct message_report, instance, "instance", (.flags = FIELD_REQUIRED, .min = 1, .max = 64),
              "The process, as in the header of its requests"),
    FIELD_STR(struct message_report, version, "version", (.flags = FIELD_REQUIRED, .min = 1, .max = 64),
              "Version of the agent software"),
    FIELD_I64(struct message_report, started_ns, "startedTime", (.unit = "ns"), "When it was started"),
    FIELD_BOOL(struct message_report, is_leaving, "leaving", (.preset = "false"), "It stops now"),
    FIELD_STRS(struct message_report, types, "types", (.max = 256), "Measure types the agent can run"),
    FIELD_STRS(struct message_report, addresses, "ipAddresses", (.max = 256), "Addresses of the machine"),
    FIELD_LIST(struct message_report, interfaces, "interfaces", &message_interface_table, (.max = 256),
               "Where these addresses are"),
    FIELD_RECORD_PTR(struct message_report, proxy, "proxy", &message_proxy_table, (), "How it reaches the server"),
    FIELD_LIST(struct message_report, queues, "queues", &message_queue_table, (.max = 32), "Use of its queues"),
    FIELD_I64(struct message_report, clock_offset_ns, "clockOffset", (.unit = "ns"),
              "The agent's clock minus the server's"),
    FIELD_BOOL(struct message_report, is_clock_corrected, "clockCorrected", (.preset = "false"),
               "Rounds carry the server's time, because the agent's clock is wrong"),
    FIELD_STR(struct message_report, local_problem, "localProblem", (.max = 64), "What is wrong at the agent itself"),
    FIELD_I64(struct message_report, memory_bytes, "memory", (.unit = "bytes"), "Memory in use"),
    FIELD_F64(struct message_report, cpu, "cpu", (.min = 0, .max = INFINITY, .unit = "%"), "Share of one core in use"),
    FIELD_I64(struct message_report, tests, "tests", (), "Tests it runs"),
    FIELD_I64(struct message_report, unsupported_tests, "unsupportedTests", (), "Tests of its plan it cannot run"),
    FIELD_I64(struct message_report, spool_bytes, "spoolBytes", (.unit = "bytes"), "Measured and not yet confirmed"),
    FIELD_TIME(struct message_report, spool_oldest_s, "spoolOldest", (), "Slot of the oldest round not yet confirmed"),
    FIELD_I64(struct message_report, dropped_rounds, "droppedRounds", (), "Rounds dropped for lack of room or age"),
    FIELD_I64(struct message_report, dropped_bytes, "droppedBytes", (.unit = "bytes"), "Their bytes"),
    FIELD_I64(struct message_report, damaged_bytes, "damagedBytes", (.unit = "bytes"), "Bytes damaged on its disk"),
    FIELD_I64(struct message_report, refused_rounds, "refusedRounds", (), "Rounds that the server refused"),
    FIELD_I64(struct message_report, missed_slots, "missedSlots", (), "Slots that passed without a round"),
    FIELD_I64(struct message_report, clock_steps, "clockSteps", (), "Steps of its clock"),
    FIELD_STRS(struct message_report, limits_hit, "limitsHit", (.max = 64), "Ceilings hit and how often"),
};
const struct field_table message_report_table =
    FIELD_TABLE("AgentReport", struct message_report, report_fields, NULL, "How an agent is");

const struct field_table *const message_tables[] = {
    &message_registration_table, &message_identity_table, &message_plan_table,   &message_batch_table,
    &message_receipt_table,      &message_report_table,   NULL,
};
