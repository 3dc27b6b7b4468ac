#include "probe/trace_state.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"

#define PROBES (LIMIT_HOPS * PROBE_TRACE_MAX_ATTEMPTS)

_Static_assert(PROBES <= SESSION_PROBES, "a session has room for every attempt");

int trace_session_open(struct probe_trace *trace, struct trace_flow *flow, struct error *err)
{
    uint32_t number = flow->number;
    uint64_t seed = trace->settings.flow_seed;
    struct session *session = arena_alloc(trace->arena, sizeof *session);
    flow->offsets = arena_alloc_array(trace->arena, PROBES, sizeof *flow->offsets);
    if (!session || !flow->offsets)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    session->src = trace->settings.src;
    session->dst = trace->settings.dst;
    session->stride = 1;
    session->planned = PROBES;
    session->tos = (uint8_t)(trace->settings.dscp << 2);
    int rc = session_open(session, &trace->round, number, seed ? str_hash(&number, sizeof number, seed) : 0, err);
    if (rc)
        return rc;
    flow->session = session;
    trace->result->flows[number].id = session->flow.match.id;
    trace->result->flows[number].is_in_session = true;
    return 0;
}

/* The target is probed with SYNs instead. */
static void give_up(struct probe_trace *trace, struct trace_flow *flow)
{
    uint32_t number = flow->number;
    session_close(flow->session);
    flow->session = NULL;
    trace->result->flows[number].is_in_session = false;
    if (trace_open_flow(trace, number, NULL) != 0)
        flow->is_dead = true; /* no identifier is left: it stays silent */
}

bool trace_session_change(struct probe_trace *trace, struct trace_flow *flow)
{
    struct probe_trace_flow *shown = &trace->result->flows[flow->number];
    if (trace->settings.protocol != PROBE_TCP || flow->is_second || flow->is_dead || !trace->has_answered)
        return false;
    flow->is_second = true;
    if (flow->session)
        give_up(trace, flow);
    else if (trace_session_open(trace, flow, NULL) == 0)
        flow_close(&flow->flow);
    else
        return false;
    memset(shown->hops, 0, flow->room * sizeof *shown->hops);
    memset(flow->slots, 0, flow->room * sizeof *flow->slots);
    flow->high = flow->last = 0;
    flow->is_reset = flow->is_over = false;
    return true;
}

bool trace_session_step(struct probe_trace *trace, struct trace_flow *flow, int64_t now, int64_t *ret_due)
{
    struct session *session = flow->session;
    session_step(session, now);
    int64_t due = session_due_ns(session);
    *ret_due = due < *ret_due ? due : *ret_due;
    switch (session->state) {
    case SESSION_NEW:
    case SESSION_OPENING:
        return false;
    case SESSION_OPEN:
        if (session->has_sack)
            return true;
        break;
    case SESSION_REFUSED:
    case SESSION_SILENT:
    case SESSION_UNREACHABLE:
    case SESSION_UNSENT:
        break;
    case SESSION_RESET:
    case SESSION_FINISHED:
        flow->is_reset = session->state == SESSION_RESET;
        return true;
    }
    give_up(trace, flow);
    return true;
}

bool trace_session_send(struct trace_flow *flow, uint32_t number, uint32_t offset, uint8_t ttl)
{
    struct session *session = flow->session;
    uint32_t probe = session->sent;
    assert(probe < PROBES);
    if (!session_has_room(session, 1) || !session_send(session, number, ttl, 1))
        return false;
    flow->offsets[probe] = (uint16_t)offset;
    return true;
}

bool trace_session_take(struct probe_trace *trace, struct trace_flow *flow, const struct probe_answer *answer,
                        uint32_t *ret_offset)
{
    uint32_t probe;
    enum session_news news = session_take(flow->session, answer, &probe);
    switch (news) {
    case SESSION_OPENED:
        trace->result->flows[flow->number].mss = flow->session->mss;
        trace->has_answered = true;
        if (trace->distance == 0)
            trace->distance = trace_distance_from(answer->packet->ttl);
        if (session_handshake_ns(flow->session) > trace->max_rtt_ns)
            trace->max_rtt_ns = session_handshake_ns(flow->session);
        return false;
    case SESSION_ANSWER:
    case SESSION_ERROR:
        if (probe >= flow->session->sent)
            return false;
        *ret_offset = flow->offsets[probe];
        return true;
    case SESSION_NOTHING:
    case SESSION_AGAIN:
    case SESSION_ENDED:
        break;
    }
    return false;
}
