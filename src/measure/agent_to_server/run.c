/*
 * Measurements with packets of their own: the end-to-end stream, the path trace and the path MTU. All start as soon as the
 * name is resolved and run side by side; the round is over when they are. In continuous mode the stream waits for its
 * place within the second, and the trace as long as the schedule wants.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/resolve.h"
#include "base/sock.h"
#include "base/str.h"
#include "measure/agent_to_server/settings.h"
#include "measure/paths.h"
#include "measure/runner.h"
#include "measure/seconds.h"
#include "probe/engine.h"
#include "probe/mode.h"
#include "probe/mtu.h"
#include "probe/ping.h"
#include "probe/trace.h"
#include "probe/train.h"

#define CLOCK_STEP_NS (250 * CLOCK_MS) /* a smaller change of the wall clock is slewing */

struct state {
    struct measure_round *round;
    const struct agent_to_server_settings *settings;
    struct agent_to_server_result *result;
    struct resolve_job *resolving;
    struct probe_ping *ping;   /* NULL = not running */
    struct probe_mode *mode;   /* likewise: the stream of a TCP test */
    struct probe_trace *trace; /* likewise */
    struct probe_mtu *mtu;     /* likewise */
    struct probe_train *train; /* likewise; after all others, which it would disturb */
    bool has_trained;
    const struct probe_mtu_result *found_mtu; /* NULL = not measured, or not yet */
    union sock_addr src, dst;  /* src unset = the system's choice */
    uint16_t port;             /* of TCP; else 0 */
    struct loop_timer ping_timer, trace_timer; /* armed: that part starts later */
    int64_t round_ns;          /* when the round started, monotonic */
    int64_t minute_ns;         /* continuous: when its first second began */
    uint32_t seconds, measured; /* continuous: of the minute, to be measured; with a row */
    /* What is shown while the round runs is made anew each time, so it must not pile up in the round's arena. */
    struct arena ping_scratch, trace_scratch;
    bool is_stopping, is_failed;
};

extern const struct measure_type agent_to_server_type;
extern const struct measure_runner agent_to_server_runner;

/* Figures are whole nanoseconds, so that they print short. */
static double ms_of(double ns)
{
    return rint(ns) / 1e6;
}

/* What our own kernel says when it takes no packet: no route, or a route that forbids it. */
static void note_refusal(struct state *state, const char *text)
{
    struct measure_network *network = &state->result->network;
    if (text && !network->error_details)
        network->error_details = arena_printf(&state->round->arena, "Could not send: %s", text);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_ms(const struct probe_ping_result *ping, struct arena *arena)
{
    int64_t *rtts = arena_alloc_array(arena, ping->probe_count, sizeof *rtts);
    size_t count = 0;
    for (uint32_t i = 0; rtts && i < ping->probe_count; i++) {
        if (ping->probes[i].status == PROBE_PING_ANSWERED)
            rtts[count++] = probe_ping_rtt_ns(&ping->probes[i]);
    }
    if (count == 0)
        return NAN;
    qsort(rtts, count, sizeof *rtts, compare_i64);
    return ms_of((double)(rtts[(count - 1) / 2] + rtts[count / 2]) / 2);
}

/* Probes whose fate is open are left out, so that loss does not flicker while a round runs. */
static void fill_probes(const struct probe_ping_result *ping, struct measure_network *network, struct arena *arena)
{
    int64_t *rtts_us = arena_alloc_array(arena, ping->probe_count, sizeof *rtts_us);
    size_t decided = 0, answered = 0;
    for (uint32_t i = 0; rtts_us && i < ping->probe_count; i++) {
        const struct probe_ping_probe *probe = &ping->probes[i];
        if (probe->status == PROBE_PING_ANSWERED) {
            rtts_us[decided++] = (probe_ping_rtt_ns(probe) + 500) / 1000;
            answered++;
        } else if (probe->status == PROBE_PING_LOST || probe->status == PROBE_PING_ERROR) {
            rtts_us[decided++] = -1;
        }
    }
    network->oculi.rtts_us = (struct field_list){.items = rtts_us, .count = decided};
    network->loss = decided ? 100.0 * (double)(decided - answered) / (double)decided : (double)NAN;
}

/* A step of the wall clock; slewing is not worth telling. NaN = none. */
static double clock_step_s(const struct state *state, const struct probe_ping_result *ping)
{
    const struct probe_engine *engine = state->round->context->engine;
    int64_t offset = ping->start_wall_ns - ping->start_ns;
    int64_t change = probe_engine_wall_ns(engine) - probe_engine_mono_ns(engine) - offset;
    bool is_step = change > CLOCK_STEP_NS || change < -CLOCK_STEP_NS;
    return is_step ? rint((double)change / 1e6) / 1e3 : (double)NAN;
}

static void fill_seconds(struct state *state, const struct probe_ping_result *ping, struct arena *arena)
{
    if (state->settings->is_continuous)
        state->measured = seconds_fill(ping, state->minute_ns, &state->result->network, arena);
}

static void fill_network(struct state *state, const struct probe_ping_result *ping, struct arena *arena)
{
    struct measure_network *network = &state->result->network;
    struct measure_network_oculi *oculi = &network->oculi;
    oculi->sent = (int32_t)ping->sent;
    oculi->received = (int32_t)ping->received;
    oculi->duplicates = (int32_t)ping->duplicates;
    oculi->reordered = (int32_t)ping->reordered;
    oculi->is_overloaded = ping->overloaded > 0;
    oculi->median_latency = median_ms(ping, arena);
    oculi->clock_step = clock_step_s(state, ping);
    network->avg_latency = ms_of(ping->avg_rtt_ns);
    network->min_latency = ms_of(ping->min_rtt_ns);
    network->max_latency = ms_of(ping->max_rtt_ns);
    network->jitter = ms_of(ping->jitter_ns);
    fill_probes(ping, network, arena);
    fill_seconds(state, ping, arena);
    oculi->icmp_errors = (int32_t)ping->errors;
    if (sock_is_set(&ping->error_from)) {
        char text[SOCK_TEXT_BYTES];
        oculi->icmp = arena_printf(arena, "%u-%u", ping->error_type, ping->error_code);
        oculi->icmp_from = arena_strdup(arena, sock_ip_text(&ping->error_from, text, sizeof text));
    }
    note_refusal(state, ping->error_text);
}

/* How the target was probed, and why so. */
static void fill_mode(struct state *state, const struct probe_mode_result *mode, struct arena *arena)
{
    struct measure_network_oculi *oculi = &state->result->network.oculi;
    bool is_sack = mode->mode == PROBE_PING_SACK;
    oculi->probe_mode = is_sack ? MEASURE_PROBE_SACK : MEASURE_PROBE_SYN;
    oculi->probe_mode_reason = mode->text ? arena_strdup(arena, mode->text) : NULL;
    if (state->settings->is_continuous)
        oculi->probe_mode_reason = "Continuous mode sends SYNs";
    oculi->sack_loss = mode->sack_loss;
    oculi->syn_loss = mode->syn_loss;
    oculi->sack_interference = mode->interference ? arena_strdup(arena, mode->interference) : NULL;
    oculi->lost_on_return = is_sack ? (int32_t)mode->ping->lost_on_return : FIELD_NO_I32;
    oculi->handshake_latency = mode->ping->handshake_ns ? ms_of((double)mode->ping->handshake_ns) : (double)NAN;
}

/* A test that asks for SACK where there is none measures nothing. */
static void fill_unsupported(struct state *state, const struct probe_mode_result *mode)
{
    struct measure_network *network = &state->result->network;
    fill_mode(state, mode, &state->round->arena);
    network->oculi.sent = network->oculi.received = 0;
    network->error_details = mode->reason == PROBE_MODE_REFUSED ? "Target refuses the connection that SACK mode needs"
                                                                : "Target doesn't support SACK mode";
}

static void fill_paths(struct state *state, const struct probe_trace_result *trace, struct arena *arena)
{
    measure_paths_fill(trace, &state->dst, &state->result->path_vis, arena);
    note_refusal(state, trace->error_text);
}

/* The MTU is one of all paths: it is measured once. */
static void finish_paths(struct state *state)
{
    if (state->found_mtu)
        measure_paths_mtu(state->found_mtu, &state->result->path_vis, &state->round->arena);
}

/* --- the round ---------------------------------------------------------------------------------------------------- */

static void release(struct state *state)
{
    arena_done(&state->ping_scratch);
    arena_done(&state->trace_scratch);
}

/* Not to a host that nobody has heard of. */
static bool wants_train(const struct state *state)
{
    return state->settings->has_bandwidth && !state->has_trained && state->result->network.oculi.received > 0;
}

static void begin(struct state *state, int (*start)(struct state *state, struct error *err));
static int start_train(struct state *state, struct error *err);

static void step(struct state *state)
{
    if (state->is_stopping || state->resolving || state->ping || state->mode || state->trace || state->mtu || state->train ||
        loop_timer_is_armed(&state->ping_timer) || loop_timer_is_armed(&state->trace_timer))
        return;
    if (wants_train(state)) {
        begin(state, start_train);
        if (state->train)
            return;
    }
    finish_paths(state);
    release(state);
    measure_round_finish(state->round);
}

static void on_ping_progress(void *user, const struct probe_ping_result *ping)
{
    struct state *state = user;
    arena_reset(&state->ping_scratch);
    fill_network(state, ping, &state->ping_scratch);
    state->round->progress(state->round);
}

static void on_ping_done(void *user, const struct probe_ping_result *ping)
{
    struct state *state = user;
    state->ping = NULL;
    fill_network(state, ping, &state->round->arena);
    if (state->settings->is_continuous && state->measured < MEASURE_CONTINUOUS_S)
        state->result->network.oculi.is_partial = true;
    step(state);
}

static void on_mode_progress(void *user, const struct probe_mode_result *mode)
{
    struct state *state = user;
    arena_reset(&state->ping_scratch);
    fill_network(state, mode->ping, &state->ping_scratch);
    fill_mode(state, mode, &state->ping_scratch);
    state->round->progress(state->round);
}

static void on_mode_done(void *user, const struct probe_mode_result *mode)
{
    struct state *state = user;
    state->mode = NULL;
    if (mode->is_unsupported) {
        fill_unsupported(state, mode);
        step(state);
        return;
    }
    fill_mode(state, mode, &state->round->arena);
    on_ping_done(state, mode->ping);
}

static void on_trace_progress(void *user, const struct probe_trace_result *trace)
{
    struct state *state = user;
    arena_reset(&state->trace_scratch);
    fill_paths(state, trace, &state->trace_scratch);
    state->round->progress(state->round);
}

static void on_trace_done(void *user, const struct probe_trace_result *trace)
{
    struct state *state = user;
    state->trace = NULL;
    fill_paths(state, trace, &state->round->arena);
    const struct measure_route *first = state->result->path_vis.path_traces.items;
    if (state->port != 0 && state->result->path_vis.path_traces.count > 0)
        probe_modes_note_path(state->round->context->modes, &state->dst, first->path_id);
    step(state);
}

static void on_mtu_done(void *user, const struct probe_mtu_result *mtu)
{
    struct state *state = user;
    state->mtu = NULL;
    state->found_mtu = mtu;
    step(state);
}

static double mbps_of(double bps)
{
    return rint(bps / 1e3) / 1e3;
}

static void on_train_done(void *user, const struct probe_train_result *train)
{
    struct state *state = user;
    struct measure_network *network = &state->result->network;
    state->train = NULL;
    network->capacity = mbps_of(train->capacity_bps);
    network->available_bandwidth = mbps_of(train->available_bps);
    network->oculi.capacity_error = mbps_of(train->capacity_error_bps);
    network->oculi.available_bandwidth_error = mbps_of(train->available_error_bps);
    if (train->status != PROBE_TRAIN_OK)
        network->oculi.bandwidth_note = probe_train_status_texts[train->status];
    else if (isnan(train->available_bps))
        network->oculi.bandwidth_note = "What is available cannot be told of a path this fast";
    if (train->status == PROBE_TRAIN_TOO_FAST) { /* a bound is no measurement */
        network->oculi.bandwidth_note = arena_printf(&state->round->arena, "%s: more than %.0f Mbps",
                                                     probe_train_status_texts[train->status], train->capacity_bps / 1e6);
        network->capacity = network->oculi.capacity_error = (double)NAN;
    }
    step(state);
}

static void set_error(struct state *state, const struct error *err)
{
    state->result->network.error_details = arena_strdup(&state->round->arena, err->text);
}

/* The address the round was told to use, or the one that the system it measures from would choose. */
static void find_source(struct state *state)
{
    union sock_addr src = state->src;
    char text[SOCK_TEXT_BYTES];
    if (sock_is_set(&src) || probe_engine_source(state->round->context->engine, &state->dst, &src))
        state->result->path_vis.source_ip = arena_strdup(&state->round->arena, sock_ip_text(&src, text, sizeof text));
}

static uint8_t dscp_of(const struct agent_to_server_settings *settings)
{
    int64_t dscp = 0;
    (void)str_to_i64(agent_to_server_dscp_ids[settings->dscp_id], 0, 63, &dscp);
    return (uint8_t)dscp;
}

static enum probe_protocol protocol_of(const struct agent_to_server_settings *settings)
{
    return settings->protocol == AGENT_TO_SERVER_ICMP ? PROBE_ICMP : PROBE_TCP;
}

/* In the order of enum agent_to_server_probe_mode. */
static const enum probe_mode_want wanted[] = {PROBE_MODE_AUTO, PROBE_MODE_SACK, PROBE_MODE_SYN};

static int start_mode(struct state *state, const struct probe_ping_settings *ping, struct error *err)
{
    const struct agent_to_server_settings *settings = state->settings;
    struct measure_round *round = state->round;
    struct probe_mode_settings mode = {
        .ping = *ping, .syn_payload_bytes = ping->payload_bytes, .memory = round->context->modes};
    mode.want = settings->is_continuous ? PROBE_MODE_SYN : wanted[settings->probe_mode];
    return probe_mode_start(round->context->engine, &mode, &round->arena, round->progress ? on_mode_progress : NULL,
                            on_mode_done, state, &state->mode, err);
}

static int start_ping(struct state *state, struct error *err)
{
    const struct agent_to_server_settings *settings = state->settings;
    struct measure_round *round = state->round;
    struct probe_ping_settings ping;
    probe_ping_defaults(&ping);
    ping.dst = state->dst;
    ping.src = state->src;
    ping.dscp = dscp_of(settings);
    if (settings->ping_payload_size != FIELD_NO_I32)
        ping.payload_bytes = (uint32_t)settings->ping_payload_size;
    if (settings->fixed_packet_rate != FIELD_NO_I32)
        ping.rate_pps = (uint32_t)settings->fixed_packet_rate;
    if (settings->is_continuous)
        seconds_settings(state->seconds, &ping);
    if (protocol_of(settings) == PROBE_TCP) {
        ping.protocol = PROBE_TCP;
        return start_mode(state, &ping, err);
    }
    return probe_ping_start(round->context->engine, &ping, &round->arena, round->progress ? on_ping_progress : NULL,
                            on_ping_done, state, &state->ping, err);
}

static int start_trace(struct state *state, struct error *err)
{
    struct measure_round *round = state->round;
    struct probe_trace_settings trace;
    probe_trace_defaults(&trace);
    trace.protocol = protocol_of(state->settings);
    trace.is_in_session = trace.protocol == PROBE_TCP && state->settings->path_trace_mode == AGENT_TO_SERVER_IN_SESSION;
    trace.dst = state->dst;
    trace.src = state->src;
    trace.dscp = dscp_of(state->settings);
    trace.flows = (uint32_t)state->settings->num_path_traces;
    trace.flow_seed = round->flow_seed;
    return probe_trace_start(round->context->engine, &trace, &round->arena, round->progress ? on_trace_progress : NULL,
                             on_trace_done, state, &state->trace, err);
}

static int start_mtu(struct state *state, struct error *err)
{
    struct measure_round *round = state->round;
    struct probe_mtu_settings mtu;
    probe_mtu_defaults(&mtu);
    mtu.protocol = protocol_of(state->settings);
    mtu.dst = state->dst;
    mtu.src = state->src;
    mtu.dscp = dscp_of(state->settings);
    return probe_mtu_start(round->context->engine, &mtu, &round->arena, on_mtu_done, state, &state->mtu, err);
}

static int start_train(struct state *state, struct error *err)
{
    struct measure_round *round = state->round;
    struct probe_train_settings train;
    probe_train_defaults(&train);
    state->has_trained = true;
    train.protocol = protocol_of(state->settings);
    train.dst = state->dst;
    train.src = state->src;
    train.dscp = dscp_of(state->settings);
    if (state->found_mtu && state->found_mtu->mtu && state->found_mtu->mtu < train.packet_bytes)
        train.packet_bytes = state->found_mtu->mtu;
    return probe_train_start(round->context->engine, &train, &round->arena, on_train_done, state, &state->train, err);
}

static int start_paths(struct state *state, struct error *err)
{
    int rc = start_trace(state, err);
    return rc || !state->settings->has_mtu ? rc : start_mtu(state, err);
}

/* What cannot start leaves the rest of the round out too. */
static void begin(struct state *state, int (*start)(struct state *state, struct error *err))
{
    struct error failure = {0};
    if (state->is_failed || start(state, &failure) == 0)
        return;
    state->is_failed = true;
    set_error(state, &failure);
}

static void on_ping_timer(void *user)
{
    begin(user, start_ping);
    step(user);
}

static void on_trace_timer(void *user)
{
    begin(user, start_paths);
    step(user);
}

/* True when the timer will start it; false: it is to start at once, or there is no loop to wait with. */
static bool is_delayed(struct state *state, struct loop_timer *timer, int64_t delay_ns)
{
    struct loop *loop = state->round->context->loop;
    if (delay_ns <= 0 || !loop)
        return false;
    loop_timer_start(loop, timer, loop_now_ns(loop) + delay_ns);
    return true;
}

static void start_parts(struct state *state)
{
    const struct measure_round *round = state->round;
    int64_t now = probe_engine_mono_ns(round->context->engine), ping_ns = now;
    if (state->settings->is_continuous) {
        state->minute_ns = round->minute_ns ? round->minute_ns : now;
        ping_ns = seconds_start(state->minute_ns, round->minute_ns ? state->round_ns : now, now, &state->seconds);
    }
    if (!is_delayed(state, &state->ping_timer, ping_ns - now))
        begin(state, start_ping);
    if (!is_delayed(state, &state->trace_timer, state->settings->is_continuous ? round->burst_delay_ns : 0))
        begin(state, start_paths);
    step(state);
}

static void on_resolved(void *user, int rc, const union sock_addr *addr, const struct error *err)
{
    struct state *state = user;
    char text[SOCK_TEXT_BYTES];
    state->resolving = NULL;
    if (rc) {
        set_error(state, err);
        step(state);
        return;
    }
    state->dst = *addr;
    sock_set_port(&state->dst, state->port);
    struct agent_to_server_result *result = state->result;
    result->network.server_ip = arena_strdup(&state->round->arena, sock_ip_text(addr, text, sizeof text));
    result->path_vis.server_ip = result->network.server_ip;
    find_source(state);
    start_parts(state);
}

static void on_refused(void *user)
{
    step(user);
}

static int start(struct measure_round *round, struct error *err)
{
    const struct agent_to_server_settings *settings = round->settings;
    char host[254];
    uint16_t port = 0;
    bool is_tcp = protocol_of(settings) == PROBE_TCP;
    uint16_t usual = settings->port != FIELD_NO_I32 ? (uint16_t)settings->port : AGENT_TO_SERVER_PORT;
    int rc = sock_split(settings->server, is_tcp ? usual : 0, host, sizeof host, &port, err);
    if (rc) {
        error_prefix(err, "server");
        return rc;
    }
    struct state *state = arena_alloc(&round->arena, sizeof *state);
    int family = settings->ipv6_policy;
    if (family == AGENT_TO_SERVER_USE_AGENT_POLICY)
        family = round->context->ipv6_policy;
    if (round->source_ip) {
        if (sock_parse_ip(round->source_ip, &state->src) != 0)
            return error_set(err, E_INVALID, "sourceIp", "\"%s\" is not an IP address", round->source_ip);
        family = state->src.sa.sa_family == AF_INET6 ? SOCK_FORCE_IPV6 : SOCK_FORCE_IPV4;
    }
    state->round = round;
    state->settings = settings;
    state->result = round->result;
    state->result->network.server = state->result->path_vis.server = settings->server;
    state->port = port;
    state->result->network.oculi.probe_mode = is_tcp ? MEASURE_PROBE_SACK : MEASURE_PROBE_ICMP;
    state->result->network.oculi.probe_mode_reason = is_tcp ? NULL : "The test's protocol is icmp";
    state->round_ns = probe_engine_mono_ns(round->context->engine);
    state->ping_timer = (struct loop_timer){.fn = on_ping_timer, .user = state};
    state->trace_timer = (struct loop_timer){.fn = on_trace_timer, .user = state};
    arena_init(&state->ping_scratch, LIMIT_ROUND_ARENA);
    arena_init(&state->trace_scratch, LIMIT_ROUND_ARENA);
    if (round->refusal) {
        state->result->network.error_details = arena_strdup(&round->arena, round->refusal);
        state->ping_timer.fn = on_refused;
        loop_timer_start(round->context->loop, &state->ping_timer, 0);
        round->state = state;
        return 0;
    }
    state->resolving =
        resolve_start(round->context->resolver, host, (enum sock_family)family, on_resolved, state);
    if (!state->resolving)
        return error_set(err, E_LIMIT, "server", "too many host names wait to be resolved");
    round->state = state;
    return 0;
}

static void stop(struct measure_round *round)
{
    struct state *state = round->state;
    state->is_stopping = true;
    state->result->network.oculi.is_partial = state->resolving || state->ping || state->mode || state->trace ||
                                              loop_timer_is_armed(&state->ping_timer) ||
                                              loop_timer_is_armed(&state->trace_timer);
    if (round->context->loop) {
        loop_timer_stop(round->context->loop, &state->ping_timer);
        loop_timer_stop(round->context->loop, &state->trace_timer);
    }
    if (state->resolving) {
        resolve_cancel(state->resolving);
        state->resolving = NULL;
        state->result->network.error_details =
            arena_printf(&round->arena, "Could not resolve host: %s (no answer in time)", state->settings->server);
    }
    if (state->ping)
        probe_ping_finish(state->ping);
    if (state->mode)
        probe_mode_finish(state->mode);
    if (state->trace)
        probe_trace_finish(state->trace);
    if (state->mtu)
        probe_mtu_finish(state->mtu);
    if (state->train)
        probe_train_finish(state->train);
    finish_paths(state);
    release(state);
}

const struct measure_runner agent_to_server_runner = {.type = &agent_to_server_type, .start = start, .stop = stop};
