#include "probe/trace_state.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "probe/refusal.h"

#define WAIT_NS CLOCK_S
#define ESTIMATE_NS (250 * CLOCK_MS) /* for the answer that tells the distance; later it still helps */
#define ESTIMATE_TTL 64
#define MAX_ESTIMATE 40u             /* more hops than this are a strange initial TTL rather than a long path */
#define WINDOW 8u                    /* TTLs probed beyond the last that answered while the distance is not known yet */
#define WINDOW_END 16u               /* and no further than that */
#define BEYOND 2u                    /* TTLs probed beyond the estimated distance at once */
#define USUAL_PATH 30u               /* how far one walks through silence to a target that is known to answer */
#define PATIENCE_NS (30 * CLOCK_MS)       /* beyond what the path takes, for an attempt that is not the last */
#define SYN_RETRY_NS (900 * CLOCK_MS)     /* later than others by this is a SYN+ACK that the target sent again */
#define LAST_PATIENCE_NS (300 * CLOCK_MS) /* for the last */
#define ORIGIN_NS (300 * CLOCK_MS)        /* for who sent a RST, beyond what the path takes */
#define PAYLOAD_BYTES 8u
#define ASIDE LIMIT_PATH_TRACES       /* number of the flow that asks for the distance, then for who sent a RST */
#define USUAL_HOPS 20u               /* probes of one flow out at once, as the engine's ceiling counts them */

const char *const probe_trace_end_names[] = {"reached", "silent", "unreachable", "prohibited", "reset", "loop", NULL};

_Static_assert(sizeof(struct probe_trace) <= ROUND_BYTES, "a trace fits a slot");
_Static_assert(LIMIT_HOPS * PROBE_TRACE_MAX_ATTEMPTS <= MATCH_FLOW_PROBES, "every attempt has its sequence number");

void probe_trace_defaults(struct probe_trace_settings *settings)
{
    *settings = (struct probe_trace_settings){
        .flows = 3, .max_ttl = LIMIT_HOPS, .gap_limit = 6, .attempts = PROBE_TRACE_MAX_ATTEMPTS, .beyond = BEYOND,
        .wait_ns = WAIT_NS};
}

/* --- how far to go ------------------------------------------------------------------------------------------------ */

/* While the distance is still being asked for: some TTLs ahead of the last that answered. */
static uint32_t window_of(const struct probe_trace *trace, const struct trace_flow *flow)
{
    uint32_t window = trace->settings.gap_limit < WINDOW ? trace->settings.gap_limit : WINDOW;
    uint32_t goal = flow->last + window;
    return goal < WINDOW_END ? goal : WINDOW_END;
}

/* The highest TTL this flow should probe, as far as one knows now. */
static uint32_t goal_of(const struct probe_trace *trace, const struct trace_flow *flow)
{
    uint32_t goal = flow->high;
    uint32_t beyond_last = (uint32_t)flow->last + trace->settings.gap_limit;
    bool is_within = trace->distance && flow->high < trace->distance + trace->settings.beyond;
    if (flow->stop)
        return goal;
    if (trace->has_answered && beyond_last < USUAL_PATH)
        beyond_last = USUAL_PATH;
    if (trace->estimate_until_ns != PROBE_IO_NEVER)
        goal = window_of(trace, flow);
    else if (trace->distance == 0)
        goal = beyond_last;
    else if (is_within)
        goal = trace->distance + trace->settings.beyond;
    else if (trace_is_answered(trace, flow, flow->high))
        goal = flow->high + BEYOND; /* further than thought */
    else if (flow->slots[flow->high - 1].is_silent)
        goal = beyond_last;
    goal = goal < trace->settings.max_ttl ? goal : trace->settings.max_ttl;
    return goal <= flow->high || (!is_within && trace_find_loop(trace, flow)) ? flow->high : goal;
}

/* For as many hops as are wanted now, in memory of the round, which goes with it (keep_hops). */
static void make_room(struct probe_trace *trace, struct trace_flow *flow, uint32_t wanted)
{
    if (wanted <= flow->room)
        return;
    struct probe_trace_flow *shown = &trace->result->flows[flow - trace->flows];
    shown->hops = round_memory(&trace->round, shown->hops, flow->room * sizeof *shown->hops, wanted * sizeof *shown->hops);
    flow->slots = round_memory(&trace->round, flow->slots, flow->room * sizeof *flow->slots, wanted * sizeof *flow->slots);
    flow->room = (uint8_t)wanted;
}

/* The hops of the result when the trace is over. An arena that has no room keeps none, as if nobody had answered. */
static void keep_hops(struct probe_trace *trace)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < trace->settings.flows; i++)
        total += trace->result->flows[i].probed;
    struct probe_trace_hop *hops = arena_alloc_array(trace->arena, total, sizeof *hops);
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        struct probe_trace_flow *shown = &trace->result->flows[i];
        if (!hops)
            shown->probed = shown->hop_count = 0;
        if (shown->probed)
            memcpy(hops, shown->hops, shown->probed * sizeof *hops);
        shown->hops = hops;
        hops = hops ? hops + shown->probed : NULL;
    }
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static uint32_t offset_of(uint32_t attempt, uint32_t ttl)
{
    return attempt * LIMIT_HOPS + ttl - 1;
}

/* The number of a probe within the round: its flow and its place in the flow's sequence. */
static uint32_t probe_of(const struct trace_flow *flow, uint32_t offset)
{
    return flow->number * MATCH_FLOW_PROBES + offset;
}

static bool send_probe(struct probe_trace *trace, struct trace_flow *flow, uint32_t ttl, int64_t now)
{
    struct trace_slot *slot = &flow->slots[ttl - 1];
    uint32_t offset = offset_of(slot->attempts, ttl);
    int64_t before = slot->asked_ns;
    struct probe_send send = {.offset = offset,
                              .probe = probe_of(flow, offset),
                              .ttl = (uint8_t)ttl,
                              .tos = (uint8_t)(trace->settings.dscp << 2)};
    slot->asked_ns = now;
    slot->attempts++;
    if (flow->session ? trace_session_send(flow, send.probe, offset, (uint8_t)ttl) : flow_send(&flow->flow, &send))
        return true;
    slot->asked_ns = before;
    slot->attempts--;
    return false;
}

static bool answers_others(const struct probe_trace *trace, uint32_t ttl)
{
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        if (ttl <= trace->flows[i].high && trace_is_answered(trace, &trace->flows[i], ttl))
            return true;
    }
    return false;
}

/*
 * How long an attempt may take. A router that lies before somebody who has answered can hardly be further away; that it
 * takes its time is allowed for at its last attempt. One that answers other flows may limit its answers: then patience
 * helps, and flows that do not ask again all at once.
 */
static int64_t patience_ns(const struct probe_trace *trace, const struct trace_flow *flow, uint32_t ttl)
{
    const struct trace_slot *slot = &flow->slots[ttl - 1];
    bool is_last = slot->attempts >= trace->settings.attempts;
    int64_t wait = trace->wait_ns;
    if (trace->settings.is_patient)
        return wait;
    if (answers_others(trace, ttl))
        return slot->attempts > 1 ? wait : wait + wait / 3 * flow->number / trace->settings.flows;
    if (trace->max_rtt_ns > 0 && (flow->last > ttl || trace->has_answered))
        wait = is_last ? 3 * trace->max_rtt_ns + LAST_PATIENCE_NS : trace->max_rtt_ns * 3 / 2 + PATIENCE_NS;
    return wait < trace->wait_ns ? wait : trace->wait_ns;
}

/* Gives up attempts whose time is over; an answer that comes after that still counts. *ret_due: when to look again. */
static void expire(const struct probe_trace *trace, const struct trace_flow *flow, int64_t now, int64_t *ret_due)
{
    for (uint32_t ttl = 1; ttl <= flow->high; ttl++) {
        struct trace_slot *slot = &flow->slots[ttl - 1];
        int64_t due = slot->asked_ns ? slot->asked_ns + patience_ns(trace, flow, ttl) : PROBE_IO_NEVER;
        if (due <= now) {
            slot->asked_ns = 0;
            slot->is_silent = true;
        } else if (due < *ret_due && (!flow->stop || ttl < flow->stop)) {
            *ret_due = due;
        }
    }
}

/* Nothing can be sent in it any more. */
static bool is_session_over(const struct trace_flow *flow)
{
    return flow->session && flow->session->state > SESSION_OPEN;
}

/* Sends what the flow lacks. Sets *ret_due to when to look again, is_over when all is known. False: transmit buffer full. */
static bool advance(struct probe_trace *trace, struct trace_flow *flow, int64_t now, int64_t *ret_due)
{
    if (flow->session && !trace_session_step(trace, flow, now, ret_due)) {
        flow->is_over = false;
        return true;
    }
    if (flow->is_dead) {
        flow->is_over = true;
        return true;
    }
    expire(trace, flow, now, ret_due);
    uint32_t goal = goal_of(trace, flow);
    make_room(trace, flow, goal);
    while (flow->high < goal && !is_session_over(flow)) {
        uint32_t ttl = flow->high + 1u;
        trace_hop_at(trace, flow, ttl)->ttl = (uint8_t)ttl;
        if (!send_probe(trace, flow, ttl, now))
            return false;
        flow->high++;
    }
    uint32_t end = flow->stop ? flow->stop : flow->high;
    bool is_over = true;
    for (uint32_t ttl = 1; ttl <= end; ttl++) {
        struct trace_slot *slot = &flow->slots[ttl - 1];
        if (trace_is_answered(trace, flow, ttl))
            continue;
        if (slot->asked_ns == 0 && slot->attempts < trace->settings.attempts && !is_session_over(flow) &&
            !send_probe(trace, flow, ttl, now))
            return false;
        if (slot->asked_ns != 0) {
            int64_t due = slot->asked_ns + patience_ns(trace, flow, ttl);
            is_over = false;
            *ret_due = due < *ret_due ? due : *ret_due;
        }
    }
    flow->is_over = is_over;
    if (is_over && !flow->stop && !trace_find_loop(trace, flow) && trace_session_change(trace, flow))
        return advance(trace, flow, now, ret_due);
    return true;
}

static void forget(struct probe_trace *trace)
{
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        if (trace->flows[i].session)
            session_close(trace->flows[i].session);
        flow_close(&trace->flows[i].flow);
    }
    flow_close(&trace->aside);
    round_free(&trace->round);
}

static void end(struct probe_trace *trace)
{
    trace_update(trace);
    keep_hops(trace);
    const struct probe_trace_result *result = trace->result;
    probe_trace_fn *done = trace->done;
    void *user = trace->user;
    forget(trace);
    done(user, result);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* The probe that tells the distance; false: transmit buffer full. */
static bool send_estimate(struct probe_trace *trace, int64_t now)
{
    struct probe_send send = {.probe = ASIDE * MATCH_FLOW_PROBES,
                              .ttl = ESTIMATE_TTL,
                              .tos = (uint8_t)(trace->settings.dscp << 2)};
    if (trace->estimate_until_ns != 0)
        return true;
    trace->estimate_until_ns = now + ESTIMATE_NS;
    if (flow_send(&trace->aside, &send))
        return true;
    trace->estimate_until_ns = 0;
    return false;
}

static bool advance_all(struct probe_trace *trace, int64_t now, int64_t *ret_due, bool *ret_is_over)
{
    *ret_is_over = true;
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        if (!advance(trace, &trace->flows[i], now, ret_due)) {
            *ret_is_over = false;
            return false;
        }
        *ret_is_over = *ret_is_over && trace->flows[i].is_over;
    }
    return true;
}

/* Every flow knows its end. */
static bool has_stopped(const struct probe_trace *trace)
{
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        if (!trace->flows[i].stop)
            return false;
    }
    return true;
}

/* The first flow that a RST ended; NULL = none. */
static const struct trace_flow *reset_flow(const struct probe_trace *trace)
{
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        const struct trace_flow *flow = &trace->flows[i];
        if (flow->stop && flow->slots[flow->stop - 1].kind == PACKET_RESET)
            return flow;
    }
    return NULL;
}

static int open_aside(struct probe_trace *trace, enum probe_protocol protocol, struct error *err)
{
    trace->aside.match = (struct match_flow){.protocol = protocol,
                                             .src = trace->settings.src,
                                             .dst = trace->settings.dst,
                                             .payload_size = protocol == PROBE_TCP ? 0 : PAYLOAD_BYTES};
    return flow_open(&trace->round, &trace->aside, ASIDE, 0, 0, err);
}

/*
 * A RST comes in the name of the target whoever sends it. An echo request of the same TTL tells: where the target is,
 * it replies; where a firewall is, that one says that the TTL is used up. False while the answer may come.
 */
static bool know_origin(struct probe_trace *trace, int64_t now, int64_t *ret_due)
{
    const struct trace_flow *flow = reset_flow(trace);
    if (!flow || trace->origin == ORIGIN_TARGET || trace->origin == ORIGIN_ROUTER)
        return true;
    if (trace->origin == ORIGIN_UNKNOWN) {
        flow_close(&trace->aside);
        if (open_aside(trace, PROBE_ICMP, NULL) != 0)
            return true;
        trace->origin = ORIGIN_ASKED;
        trace->origin_ttl = flow->stop;
    }
    if (trace->origin_asked_ns == 0) {
        struct probe_send send = {.probe = ASIDE * MATCH_FLOW_PROBES, .ttl = trace->origin_ttl};
        if (!flow_send(&trace->aside, &send)) {
            *ret_due = now;
            return false;
        }
        trace->origin_asked_ns = now;
    }
    *ret_due = trace->origin_asked_ns + 2 * trace->max_rtt_ns + ORIGIN_NS;
    return *ret_due <= now;
}

static void step_timer(struct probe_trace *trace, int64_t now)
{
    int64_t due = PROBE_IO_NEVER;
    bool is_over = false;
    if (trace->result->error_text && !trace->has_sent) {
        end(trace); /* our kernel takes nothing for this target */
        return;
    }
    if (trace->estimate_until_ns != PROBE_IO_NEVER && trace->estimate_until_ns != 0 && trace->estimate_until_ns <= now)
        trace->estimate_until_ns = PROBE_IO_NEVER;
    if (!send_estimate(trace, now) || !advance_all(trace, now, &due, &is_over))
        due = now;
    if (due > trace->estimate_until_ns)
        due = trace->estimate_until_ns;
    if (is_over && trace->estimate_until_ns != PROBE_IO_NEVER && !has_stopped(trace)) {
        is_over = false; /* every hop so far has answered, and what lies beyond depends on the estimate */
    } else if (is_over && !know_origin(trace, now, &due)) {
        is_over = false;
    }
    if (is_over) {
        end(trace);
        return;
    }
    round_wake_at(&trace->round, due);
    if (trace->has_news && trace->progress) {
        trace->has_news = false;
        trace_update(trace);
        trace->progress(trace->user, trace->result); /* may stop us: nothing may follow */
    }
}

uint8_t trace_distance_from(uint8_t ttl)
{
    uint32_t initial = ttl <= 64 ? 64 : ttl <= 128 ? 128 : 255;
    uint32_t distance = initial - ttl + 1;
    return ttl == 0 || distance > MAX_ESTIMATE ? 0 : (uint8_t)distance;
}

/* The target itself has answered, as its protocol has it. */
static bool is_reply(const struct probe_trace *trace, const struct probe_answer *answer)
{
    int family = trace->settings.dst.sa.sa_family;
    return answer->kind == PACKET_ECHO_REPLY || answer->tcp || answer->udp ||
           (sock_same_ip(&answer->packet->src, &trace->settings.dst) && packet_is_port_unreachable(family, answer->icmp));
}

/* The hop behind the router that refuses the probe, by the TTL it quotes: silent hops before it end no trace. */
static uint8_t distance_of_refusal(const struct packet_icmp *icmp)
{
    uint32_t distance = icmp->has_quote && icmp->quote.ttl <= ESTIMATE_TTL ? ESTIMATE_TTL - icmp->quote.ttl + 1u : 0;
    return distance > MAX_ESTIMATE ? 0 : (uint8_t)distance;
}

static void note_target(struct probe_trace *trace, int64_t rtt_ns)
{
    if (trace->target_rtt_ns == 0 || rtt_ns < trace->target_rtt_ns)
        trace->target_rtt_ns = rtt_ns > 0 ? rtt_ns : 1;
}

static void step_estimate(struct probe_trace *trace, const struct probe_answer *answer)
{
    trace->has_answered = is_reply(trace, answer);
    if (trace->has_answered)
        trace->distance = trace_distance_from(answer->packet->ttl);
    else if (answer->kind == PACKET_UNREACHABLE)
        trace->distance = distance_of_refusal(answer->icmp);
    if (trace->has_answered || answer->kind == PACKET_UNREACHABLE) {
        int64_t rtt = answer->packet->rx_ns - trace->estimate_tx_ns;
        if (trace->estimate_tx_ns && rtt > trace->max_rtt_ns)
            trace->max_rtt_ns = rtt;
        if (trace->estimate_tx_ns && trace->has_answered)
            note_target(trace, rtt);
        if (trace->estimate_tx_ns && 2 * rtt > trace->wait_ns && 2 * rtt <= 10 * CLOCK_S)
            trace->wait_ns = 2 * rtt; /* a path longer than the wait */
    }
    trace->estimate_until_ns = PROBE_IO_NEVER;
}

static bool is_end(const struct probe_trace *trace, const struct trace_flow *flow, const struct probe_answer *answer)
{
    switch (answer->kind) {
    case PACKET_ECHO_REPLY:
    case PACKET_SYN_ACK:
    case PACKET_RESET:
    case PACKET_DATAGRAM:
    case PACKET_UNREACHABLE:
    case PACKET_TOO_BIG:
    case PACKET_PARAMETER:
        return true;
    case PACKET_TTL_EXCEEDED:
        return sock_same_ip(&answer->packet->src, &trace->settings.dst);
    case PACKET_SEGMENT:
        return flow->session != NULL; /* else none is matched to a SYN */
    case PACKET_ECHO_REQUEST:
    case PACKET_OTHER:
        break;
    }
    return false;
}

static void fill_hop(struct probe_trace *trace, const struct probe_answer *answer, struct probe_trace_hop *hop)
{
    const struct packet_icmp *icmp = answer->icmp;
    hop->addr = answer->packet->src;
    hop->reply_ttl = answer->packet->ttl;
    hop->reply_tos = answer->packet->tos;
    hop->is_target = is_reply(trace, answer) || sock_same_ip(&hop->addr, &trace->settings.dst);
    hop->tcp_flags = answer->tcp ? answer->tcp->flags : 0;
    if (!icmp)
        return;
    hop->icmp_type = icmp->type;
    hop->icmp_code = icmp->code;
    hop->rewritten = answer->rewritten;
    hop->has_quote = icmp->has_quote;
    if (icmp->has_quote) {
        hop->quoted_ttl = icmp->quote.ttl;
        hop->quoted_dscp = icmp->quote.tos >> 2;
        hop->quoted_ecn = icmp->quote.tos & 3;
    }
    struct packet_label *labels =
        icmp->label_count ? arena_alloc_array(trace->arena, icmp->label_count, sizeof *labels) : NULL;
    if (labels) {
        memcpy(labels, icmp->labels, icmp->label_count * sizeof *labels);
        hop->labels = labels;
        hop->label_count = icmp->label_count;
    }
}

/* Who answered the echo request that asks for the origin of a RST. */
static void step_origin(struct probe_trace *trace, const struct probe_answer *answer)
{
    trace->origin = answer->kind == PACKET_TTL_EXCEEDED ? ORIGIN_ROUTER : ORIGIN_TARGET;
    if (trace->origin == ORIGIN_TARGET || sock_same_ip(&answer->packet->src, &trace->settings.dst))
        return;
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        struct trace_flow *flow = &trace->flows[i];
        if (flow->stop != trace->origin_ttl || flow->slots[flow->stop - 1].kind != PACKET_RESET)
            continue;
        struct probe_trace_hop *hop = trace_hop_at(trace, flow, flow->stop);
        hop->addr = answer->packet->src;
        hop->is_target = false;
    }
}

/* The answer to a SYN that the target sent again, because its first one was lost, or one that nobody waits for any more. */
static bool is_too_late(const struct probe_trace *trace, const struct trace_flow *flow, const struct probe_answer *answer,
                        int64_t rtt_ns)
{
    int64_t usual = trace->target_rtt_ns ? trace->target_rtt_ns : trace->max_rtt_ns;
    bool is_second = answer->kind == PACKET_SYN_ACK && !flow->session && usual > 0 && rtt_ns > usual + SYN_RETRY_NS;
    return is_second || (trace->settings.is_patient && rtt_ns > trace->wait_ns);
}

static void step_answer(struct probe_trace *trace, const struct probe_answer *answer)
{
    trace->has_news = true;
    round_wake_at(&trace->round, 0); /* still at this wake-up */
    if (answer->flow == ASIDE && trace->origin == ORIGIN_ASKED)
        step_origin(trace, answer);
    else if (answer->flow == ASIDE)
        step_estimate(trace, answer);
    if (answer->flow == ASIDE)
        return;
    if (answer->tcp && answer->tcp->mss)
        trace->result->flows[answer->flow].mss = answer->tcp->mss;
    struct trace_flow *flow = &trace->flows[answer->flow];
    uint32_t offset = answer->offset;
    if (flow->session && !trace_session_take(trace, flow, answer, &offset))
        return;
    uint32_t ttl = offset % LIMIT_HOPS + 1, attempt = offset / LIMIT_HOPS;
    if (ttl > flow->high || attempt >= flow->slots[ttl - 1].attempts)
        return; /* an answer to what was not sent */
    struct trace_slot *slot = &flow->slots[ttl - 1];
    struct probe_trace_hop *hop = trace_hop_at(trace, flow, ttl);
    if (slot->tx_ns[attempt] == 0 || slot->rx_ns[attempt] != 0)
        return; /* a duplicate */
    if (sock_is_set(&hop->addr) && !sock_same_ip(&hop->addr, &answer->packet->src))
        return; /* somebody else at the same TTL: the first one stays */
    int64_t rtt = answer->packet->rx_ns - slot->tx_ns[attempt];
    if (is_too_late(trace, flow, answer, rtt))
        return;
    if (is_reply(trace, answer))
        note_target(trace, rtt);
    slot->rx_ns[attempt] = answer->packet->rx_ns;
    slot->asked_ns = 0;
    trace->max_rtt_ns = rtt > trace->max_rtt_ns ? rtt : trace->max_rtt_ns;
    if (sock_is_set(&hop->addr))
        return;
    slot->kind = answer->kind;
    fill_hop(trace, answer, hop);
    if (ttl > flow->last)
        flow->last = (uint8_t)ttl;
    if (is_end(trace, flow, answer) && (flow->stop == 0 || ttl < flow->stop))
        flow->stop = (uint8_t)ttl;
}

static void step_refused(struct probe_trace *trace, int sys_errno)
{
    if (!trace->result->error_text)
        trace->result->error_text = arena_strdup(trace->arena, refusal_text(sys_errno, &trace->settings.src));
    round_wake_at(&trace->round, 0);
}

/* What a session sends for itself may leave after it has been given up. */
static void step_session_event(struct probe_trace *trace, const struct probe_event *event)
{
    struct session *session = trace->flows[session_number(event->probe)].session;
    if (session)
        session_event(session, event);
}

static void step_sent(struct probe_trace *trace, const struct probe_event *event, bool is_stamp)
{
    uint32_t offset = event->probe % MATCH_FLOW_PROBES;
    trace->has_sent = true;
    if (event->probe & SESSION_OWN) {
        step_session_event(trace, event);
        return;
    }
    if (event->probe / MATCH_FLOW_PROBES == ASIDE) {
        trace->estimate_tx_ns = trace->origin == ORIGIN_UNKNOWN ? event->at_ns : trace->estimate_tx_ns;
        return;
    }
    uint32_t attempt = offset / LIMIT_HOPS;
    struct trace_slot *slot = &trace->flows[event->probe / MATCH_FLOW_PROBES].slots[offset % LIMIT_HOPS];
    if (!is_stamp) {
        slot->taken |= (uint8_t)(1u << attempt);
        slot->tx_ns[attempt] = event->at_ns;
    } else if (slot->tx_ns[attempt] != 0 && event->at_ns >= slot->tx_ns[attempt] - 100 * CLOCK_US) {
        slot->stamped |= (uint8_t)(1u << attempt);
        slot->tx_ns[attempt] = event->at_ns;
        trace->has_stamps = true;
    }
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    struct probe_trace *trace = (struct probe_trace *)round;
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer(trace, event->at_ns);
        break;
    case PROBE_EVENT_SENT:
        step_sent(trace, event, false);
        break;
    case PROBE_EVENT_REFUSED:
        if (event->probe & SESSION_OWN)
            step_session_event(trace, event);
        step_refused(trace, event->sys_errno);
        break;
    case PROBE_EVENT_STAMP:
        step_sent(trace, event, true);
        break;
    case PROBE_EVENT_ANSWER:
        step_answer(trace, event->answer);
        break;
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static int check(const struct probe_trace_settings *settings, struct error *err)
{
    if (!sock_is_set(&settings->dst))
        return error_set(err, E_REQUIRED, "dst", "an address to probe is needed");
    if (sock_is_set(&settings->src) && settings->src.sa.sa_family != settings->dst.sa.sa_family)
        return error_set(err, E_INVALID, "src", "the source address is not of the target's family");
    if (settings->protocol == PROBE_TCP && sock_port(&settings->dst) == 0)
        return error_set(err, E_REQUIRED, "dst", "a TCP port to probe is needed");
    if (settings->is_in_session && settings->protocol != PROBE_TCP)
        return error_set(err, E_INVALID, "is_in_session", "only TCP has sessions");
    if (settings->flows < 1 || settings->flows > LIMIT_PATH_TRACES)
        return error_set(err, E_RANGE, "flows", "must be from 1 to %u", LIMIT_PATH_TRACES);
    if (settings->max_ttl < 1 || settings->max_ttl > LIMIT_HOPS)
        return error_set(err, E_RANGE, "max_ttl", "must be from 1 to %u", LIMIT_HOPS);
    if (settings->gap_limit < 1 || settings->gap_limit > LIMIT_HOPS)
        return error_set(err, E_RANGE, "gap_limit", "must be from 1 to %u", LIMIT_HOPS);
    if (settings->attempts < 1 || settings->attempts > PROBE_TRACE_MAX_ATTEMPTS)
        return error_set(err, E_RANGE, "attempts", "must be from 1 to %u", PROBE_TRACE_MAX_ATTEMPTS);
    if (settings->distance > LIMIT_HOPS)
        return error_set(err, E_RANGE, "distance", "must be at most %u", LIMIT_HOPS);
    if (settings->beyond > LIMIT_HOPS)
        return error_set(err, E_RANGE, "beyond", "must be at most %u", LIMIT_HOPS);
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    if (settings->wait_ns < CLOCK_MS || settings->wait_ns > 10 * CLOCK_S)
        return error_set(err, E_RANGE, "wait_ns", "must be from 1 ms to 10 s");
    return 0;
}

int trace_open_flow(struct probe_trace *trace, uint32_t number, struct error *err)
{
    uint64_t seed = trace->settings.flow_seed;
    struct probe_flow *flow = &trace->flows[number].flow;
    flow->match.protocol = trace->settings.protocol;
    flow->match.src = trace->settings.src;
    flow->match.dst = trace->settings.dst;
    flow->match.payload_size = trace->settings.protocol == PROBE_TCP ? 0 : PAYLOAD_BYTES;
    /* Far apart, so that no two flows of a trace agree in either byte. */
    uint16_t sum = (uint16_t)(1 + (trace->sum + number * 0x1357u) % 0xfffe);
    int rc = flow_open(&trace->round, flow, number, sum, seed ? str_hash(&number, sizeof number, seed) : 0, err);
    if (!rc)
        trace->result->flows[number].id = flow->match.id;
    return rc;
}

static int open_flows(struct probe_trace *trace, struct error *err)
{
    uint64_t seed = trace->settings.flow_seed;
    trace->sum = seed ? (uint16_t)(seed >> 16) : flow_random_sum(trace->round.engine);
    for (uint32_t i = 0; i < trace->settings.flows; i++) {
        trace->flows[i].number = i;
        trace->result->flows[i].end = PROBE_TRACE_SILENT;
        int rc = trace->settings.is_in_session ? trace_session_open(trace, &trace->flows[i], err)
                                               : trace_open_flow(trace, i, err);
        if (rc)
            return rc;
    }
    if (trace->settings.distance || trace->settings.is_in_session)
        return 0;
    return open_aside(trace, trace->settings.protocol, err);
}

int probe_trace_start(struct probe_engine *engine, const struct probe_trace_settings *settings, struct arena *arena,
                      probe_trace_fn *progress, probe_trace_fn *done, void *user, struct probe_trace **ret_trace,
                      struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct probe_trace_result *result = arena_alloc(arena, sizeof *result);
    struct probe_trace_flow *shown = arena_alloc_array(arena, settings->flows, sizeof *shown);
    struct trace_flow *flows = arena_alloc_array(arena, settings->flows, sizeof *flows);
    if (!result || !shown || !flows)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    uint32_t out = settings->max_ttl < USUAL_HOPS ? settings->max_ttl : USUAL_HOPS;
    struct probe_trace *trace = round_new(engine, settings->flows * out, step, err);
    if (!trace)
        return -E_LIMIT;
    trace->settings = *settings;
    if (settings->protocol == PROBE_UDP && sock_port(&settings->dst) == 0)
        sock_set_port(&trace->settings.dst, PROBE_TRACE_UDP_PORT);
    trace->arena = arena;
    trace->progress = progress;
    trace->done = done;
    trace->user = user;
    trace->flows = flows;
    trace->wait_ns = settings->wait_ns;
    trace->distance = settings->distance;
    trace->estimate_until_ns = settings->distance || settings->is_in_session ? PROBE_IO_NEVER : 0;
    trace->result = result;
    result->start_ns = probe_engine_mono_ns(engine);
    result->start_wall_ns = probe_engine_wall_ns(engine);
    result->flow_count = settings->flows;
    result->flows = shown;
    rc = open_flows(trace, err);
    if (rc) {
        forget(trace);
        return rc;
    }
    *ret_trace = trace;
    return 0;
}

const struct probe_trace_result *probe_trace_result(struct probe_trace *trace)
{
    trace_update(trace);
    return trace->result;
}

void probe_trace_finish(struct probe_trace *trace)
{
    end(trace);
}

void probe_trace_stop(struct probe_trace *trace)
{
    forget(trace);
}
