#include "measure/agent_to_server/settings.h"

#include <string.h>

#include "base/sock.h"
#include "base/str.h"
#include "measure/type.h"

static const char *const protocol_words[] = {"tcp", "icmp", NULL};
static const char *const probe_mode_words[] = {"auto", "sack", "syn", NULL};
static const char *const path_trace_mode_words[] = {"classic", "in-session", NULL};
static const char *const ipv6_policy_words[] = {"force-ipv4", "prefer-ipv6", "force-ipv6", "use-agent-policy", NULL};
const char *const agent_to_server_dscp_ids[] = {"0",  "8",  "16", "24", "32", "40", "48", "56", "10", "12", "14", "18",
                                                "20", "22", "26", "28", "30", "34", "36", "38", "46", "44", NULL};
static const char *const dscp_labels[] = {
    "Best Effort (DSCP 0)", "CS1 (DSCP 8)",   "CS2 (DSCP 16)",  "CS3 (DSCP 24)",  "CS4 (DSCP 32)",  "CS5 (DSCP 40)",
    "CS6 (DSCP 48)",        "CS7 (DSCP 56)",  "AF11 (DSCP 10)", "AF12 (DSCP 12)", "AF13 (DSCP 14)", "AF21 (DSCP 18)",
    "AF22 (DSCP 20)",       "AF23 (DSCP 22)", "AF31 (DSCP 26)", "AF32 (DSCP 28)", "AF33 (DSCP 30)", "AF41 (DSCP 34)",
    "AF42 (DSCP 36)",       "AF43 (DSCP 38)", "EF (DSCP 46)",   "Voice-Admit (DSCP 44)"};

_Static_assert(sizeof dscp_labels / sizeof dscp_labels[0] == sizeof agent_to_server_dscp_ids / sizeof(char *) - 1,
               "every code point has a label");

static const struct field settings_fields[] = {
    FIELD_STR(struct agent_to_server_settings, server, "server", (.flags = FIELD_REQUIRED, .min = 1, .max = 261),
              "Host to measure, by name or address; a port follows a colon"),
    FIELD_I32(struct agent_to_server_settings, port, "port", (.min = 1, .max = 65535),
              "TCP port; 80 when neither this nor the server names one"),
    FIELD_ENUM(struct agent_to_server_settings, protocol, "protocol", protocol_words, (.preset = "tcp"),
               "Protocol of the probes"),
    FIELD_ENUM(struct agent_to_server_settings, probe_mode, "probeMode", probe_mode_words, (.preset = "auto"),
               "How TCP probes the target; auto prefers SACK and takes SYNs where that fails"),
    FIELD_I32(struct agent_to_server_settings, num_path_traces, "numPathTraces",
              (.min = 1, .max = 10, .preset = "3"), "Path traces of a round, each with a flow of its own"),
    FIELD_ENUM(struct agent_to_server_settings, path_trace_mode, "pathTraceMode", path_trace_mode_words,
               (.preset = "classic"), "Whether the path traces of TCP run within a session, as firewalls may demand that drop odd SYNs"),
    FIELD_I32(struct agent_to_server_settings, ping_payload_size, "pingPayloadSize",
              (.min = 0, .max = 1400, .unit = "bytes"),
              "Payload of the probes of the end-to-end stream; the least that measures when not given"),
    FIELD_I32(struct agent_to_server_settings, fixed_packet_rate, "fixedPacketRate",
              (.min = 0, .max = 100, .unit = "packets/s"),
              "Fixed rate of the end-to-end stream from 10 to 100, in continuous mode 1; adapted to the round-trip time when "
              "0 or not given"),
    FIELD_ENUM(struct agent_to_server_settings, ipv6_policy, "ipv6Policy", ipv6_policy_words,
               (.preset = "use-agent-policy"), "Which addresses of a name are used"),
    FIELD_ENUM(struct agent_to_server_settings, dscp_id, "dscpId", agent_to_server_dscp_ids,
               (.preset = "0", .flags = FIELD_ADVANCED), "Differentiated services code point of the probes"),
    FIELD_STR(struct agent_to_server_settings, dscp, "dscp", (.flags = FIELD_READONLY), "Label of the code point"),
    FIELD_BOOL(struct agent_to_server_settings, is_continuous, "continuousMode",
               (.preset = "false", .flags = FIELD_ADVANCED),
               "One probe each second for the whole interval of 60 s, and the loss of each second"),
    FIELD_BOOL(struct agent_to_server_settings, is_start_random, "randomizedStartTime",
               (.preset = "false", .flags = FIELD_ADVANCED),
               "Agents start at a random moment of each round; without effect in continuous mode"),
    FIELD_BOOL(struct agent_to_server_settings, has_bandwidth, "bandwidthMeasurements",
               (.preset = "false", .flags = FIELD_ADVANCED),
               "Measure capacity and available bandwidth after the stream: up to 1,000 packets of 1,500 bytes a round"),
    FIELD_BOOL(struct agent_to_server_settings, has_mtu, "mtuMeasurements",
               (.preset = "true", .flags = FIELD_ADVANCED), "Measure the largest packet that the path carries"),
    FIELD_BOOL(struct agent_to_server_settings, has_network, "networkMeasurements",
               (.preset = "true", .flags = FIELD_IGNORED | FIELD_ADVANCED), "Show loss in intervals of one second"),
    FIELD_BOOL(struct agent_to_server_settings, has_bgp, "bgpMeasurements",
               (.preset = "true", .flags = FIELD_IGNORED | FIELD_ADVANCED), "Watch the routes to the target"),
    FIELD_BOOL(struct agent_to_server_settings, uses_public_bgp, "usePublicBgp",
               (.preset = "true", .flags = FIELD_IGNORED | FIELD_ADVANCED), "Use the public BGP monitors"),
    FIELD_STRS(struct agent_to_server_settings, monitors, "monitors",
               (.flags = FIELD_IGNORED | FIELD_ADVANCED | FIELD_SECRET), "Ids of the BGP monitors to use"),
};

static int check_target(const struct agent_to_server_settings *settings, struct error *err)
{
    char host[254];
    uint16_t port = 0;
    int rc = sock_split(settings->server, 0, host, sizeof host, &port, err);
    if (rc) {
        error_prefix(err, "server");
        return rc;
    }
    if (host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%")])
        return error_set(err, E_INVALID, "server", "badly formed target");
    if (settings->protocol == AGENT_TO_SERVER_ICMP && (port || settings->port != FIELD_NO_I32))
        return error_set(err, E_INVALID, port ? "server" : "port", "a port is not possible with protocol icmp");
    if (port && settings->port != FIELD_NO_I32 && port != settings->port)
        return error_set(err, E_INVALID, "port", "differs from the port in server");
    return 0;
}

static int check_settings(const void *record, struct error *err)
{
    const struct agent_to_server_settings *settings = record;
    int32_t rate = settings->fixed_packet_rate;
    if (settings->is_continuous && settings->has_bandwidth)
        return error_set(err, E_INVALID, "bandwidthMeasurements", "is not possible in continuous mode");
    if (settings->is_continuous && settings->protocol == AGENT_TO_SERVER_TCP &&
        settings->probe_mode == AGENT_TO_SERVER_SACK)
        return error_set(err, E_INVALID, "probeMode", "must be syn in continuous mode");
    if (rate != FIELD_NO_I32 && rate != 0) {
        if (settings->is_continuous && rate != 1)
            return error_set(err, E_RANGE, "fixedPacketRate", "must be 1 in continuous mode");
        if (!settings->is_continuous && rate < 10)
            return error_set(err, E_RANGE, "fixedPacketRate", "must be between 10 and 100");
    }
    return settings->server ? check_target(settings, err) : 0;
}

/* v7 answers "name:port" for TCP whatever way the port was given, and the code point's label; and what continuous mode
 * enforces. */
static void normalise(void *record, struct arena *arena)
{
    struct agent_to_server_settings *settings = record;
    char host[254];
    uint16_t port = AGENT_TO_SERVER_PORT;
    settings->dscp = dscp_labels[settings->dscp_id];
    if (settings->is_continuous) {
        settings->fixed_packet_rate = 1;
        if (settings->protocol == AGENT_TO_SERVER_TCP)
            settings->probe_mode = AGENT_TO_SERVER_SYN;
    }
    if (settings->protocol != AGENT_TO_SERVER_TCP || !settings->server)
        return;
    if (sock_split(settings->server, AGENT_TO_SERVER_PORT, host, sizeof host, &port, NULL) != 0)
        return;
    if (settings->port != FIELD_NO_I32)
        port = (uint16_t)settings->port;
    settings->port = FIELD_NO_I32;
    settings->server = arena_printf(arena, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static enum measure_queue queue(const void *record)
{
    const struct agent_to_server_settings *settings = record;
    return settings->has_bandwidth ? MEASURE_BANDWIDTH : MEASURE_GENERAL;
}

static unsigned units(const void *record)
{
    (void)record;
    return 5;
}

static bool is_continuous(const void *record)
{
    return ((const struct agent_to_server_settings *)record)->is_continuous;
}

static const struct field_table settings_table =
    FIELD_TABLE("AgentToServerWritablePropertyFields", struct agent_to_server_settings, settings_fields,
                check_settings, "What an agent-to-server test measures");

static const struct measure_part parts[] = {
    {.name = "network", .api_path = "network", .table = &measure_network_table,
     .offset = offsetof(struct agent_to_server_result, network)},
    {.name = "pathVis", .api_path = "path-vis", .table = &measure_path_vis_table,
     .summary = &measure_path_vis_summary_table, .offset = offsetof(struct agent_to_server_result, path_vis)},
};

static const struct measure_metric metrics[] = {
    {.id = "loss", .title = "Loss", .unit = "%", .part = "network", .is_higher_worse = true, .minor = 1, .major = 10,
     .critical = 50, .otel_name = "network.loss", .otel_scale = 1,
     .help = "Share of the probes that were not answered"},
    {.id = "avgLatency", .title = "Latency", .unit = "ms", .part = "network", .is_higher_worse = true, .minor = NAN,
     .major = NAN, .critical = NAN, .help = "Mean round-trip time"},
    {.id = "jitter", .title = "Jitter", .unit = "ms", .part = "network", .is_higher_worse = true, .minor = NAN,
     .major = NAN, .critical = NAN, .otel_name = "network.jitter", .otel_scale = 1,
     .help = "Mean absolute deviation of the round-trip times from their mean"},
    /* The OpenTelemetry model of the product defines latency as the longest round-trip time, in seconds. */
    {.id = "maxLatency", .title = "Longest latency", .unit = "ms", .part = "network", .is_higher_worse = true,
     .minor = NAN, .major = NAN, .critical = NAN, .otel_name = "network.latency", .otel_scale = 0.001,
     .help = "Longest round-trip time"},
};

const struct measure_type agent_to_server_type = {
    .name = "agent-to-server",
    .title = "Agent to server",
    .help = "Loss, latency, jitter and paths from an agent to a host",
    .settings = &settings_table,
    .normalise = normalise,
    .is_continuous = is_continuous,
    .queue = queue,
    .units = units,
    .result_size = sizeof(struct agent_to_server_result),
    .parts = parts,
    .part_count = sizeof parts / sizeof parts[0],
    .metrics = metrics,
    .metric_count = sizeof metrics / sizeof metrics[0],
    .default_view = "path",
    .target_name = "server",
};
