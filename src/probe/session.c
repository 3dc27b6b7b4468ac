#include "probe/session.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

#define TTL 64u
#define RETRY_NS CLOCK_S       /* between SYNs, and after the last of them */
#define MSS4 1460u
#define MSS6 1440u
#define SCALE 7u
#define SYN_WINDOW 64240u
#define NUDGE_REACH 1024u /* a block about a nudge begins so near before the hole; others are of shifted numbers */
#define WINDOW (SYN_WINDOW >> SCALE)
#define NUDGE_FIRST 3u         /* after this many probes: the first three are answered at once, and they make sure that
                                  a target which waits for data before it opens the session has opened it */
#define NUDGE_EVERY 7u         /* one lost nudge does no harm */
#define NUDGES_AGAIN 4u        /* unanswered ones: from then on no more than usual */
#define NUDGE_AFTER_NS (5 * CLOCK_MS) /* a probe: on its heels it would share the probe's answer, if that was delayed */
#define MOST_SCALE 14u         /* RFC 7323 section 2.3 */
#define RESETS 2u              /* a reset is not answered, and one may be lost */
#define TO_OTHERS 0xffu        /* number of what is neither SYN nor probe */

static bool is_set(const uint64_t *bits, uint32_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static void set(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static uint32_t ts_now(const struct session *session)
{
    return session->ts_first + (uint32_t)(probe_engine_mono_ns(session->flow.round->engine) / CLOCK_MS);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

struct piece {
    uint32_t offset, seq, number;
    uint8_t flags, ttl;
    uint16_t bytes;
};

static bool send_piece(struct session *session, const struct piece *piece)
{
    bool is_syn = (piece->flags & PACKET_SYN) != 0;
    struct packet_tcp segment = {.seq = piece->seq,
                                 .flags = piece->flags,
                                 .ack = piece->flags & PACKET_ACK ? session->rcv_nxt : 0,
                                 .window = is_syn || !session->has_scale ? SYN_WINDOW : WINDOW,
                                 .has_timestamps = is_syn || session->has_timestamps,
                                 .payload_size = piece->bytes};
    if (segment.has_timestamps) {
        segment.ts_value = ts_now(session);
        segment.ts_echo = session->ts_recent;
    }
    if (is_syn) {
        segment.mss = session->dst.sa.sa_family == AF_INET6 ? MSS6 : MSS4;
        segment.has_sack_permitted = segment.has_scale = true;
        segment.scale = SCALE;
    }
    struct probe_send send = {.offset = piece->offset,
                              .probe = piece->number,
                              .ttl = piece->ttl,
                              .tos = session->tos,
                              .segment = &segment};
    return flow_send(&session->flow, &send);
}

static uint32_t own_number(const struct session *session, uint32_t which)
{
    return SESSION_OWN | session->flow.number << 8 | which;
}

static bool send_own(struct session *session, uint32_t seq, uint8_t flags, uint16_t bytes)
{
    return send_piece(session, &(struct piece){.seq = seq,
                                               .number = own_number(session, TO_OTHERS),
                                               .flags = flags,
                                               .ttl = TTL,
                                               .bytes = bytes});
}

static void send_syn(struct session *session, int64_t now_ns)
{
    if (session->tries == SESSION_TRIES) {
        session->state = SESSION_SILENT;
        return;
    }
    struct piece syn = {.seq = session->flow.match.base,
                        .number = own_number(session, session->tries),
                        .flags = PACKET_SYN,
                        .ttl = TTL};
    session->tries++; /* the event may come at once */
    if (send_piece(session, &syn))
        session->retry_ns = now_ns + RETRY_NS;
    else
        session->tries--;
}

/* Whether a nudge follows now: it is time for one, or the last has got lost. */
static bool wants_nudge(const struct session *session, int64_t now_ns)
{
    int64_t patience = session->is_first_try ? 2 * session_handshake_ns(session) : RETRY_NS;
    if (session->nudges == NUDGE_PLAIN || session->sent < NUDGE_FIRST)
        return false;
    if ((session->sent - NUDGE_FIRST) % NUDGE_EVERY == 0)
        return true;
    return session->nudges_out > 0 && session->nudges_out < NUDGES_AGAIN &&
           now_ns - session->nudge_ns > patience;
}

static void send_nudge(struct session *session, int64_t now_ns)
{
    session->owes_nudge = !send_own(session, session->flow.match.base, PACKET_ACK, 1);
    if (session->owes_nudge)
        return;
    session->owes_ack = false;
    session->nudges_out++;
    session->nudge_ns = now_ns;
}

void session_step(struct session *session, int64_t now_ns)
{
    uint32_t base = session->flow.match.base;
    if (session->owes_reset)
        session->owes_reset = !send_own(session, session->reset_seq, PACKET_RST, 0);
    if (session->state == SESSION_OPENING && session->syn_ack_ns == 0 && now_ns >= session->retry_ns)
        send_syn(session, now_ns);
    if (session->state == SESSION_OPENING && session->syn_ack_ns != 0 && now_ns >= session->retry_ns)
        session->state = SESSION_SILENT; /* its window has stayed shut */
    if (session->state == SESSION_OPEN && session->owes_nudge && now_ns >= session->nudge_ns)
        send_nudge(session, now_ns);
    if (session->owes_ack)
        session->owes_ack = !send_own(session, base + 1, PACKET_ACK, 0);
}

int64_t session_due_ns(const struct session *session)
{
    if (session->owes_ack || session->owes_reset)
        return 0;
    if (session->state == SESSION_OPEN && session->owes_nudge)
        return session->nudge_ns;
    return session->state == SESSION_OPENING ? session->retry_ns : PROBE_IO_NEVER;
}

uint32_t session_room(const struct session *session, uint32_t bytes)
{
    uint32_t used = 1 + session->sent * session->stride; /* the hole, too */
    if (session->window < used + bytes || session->sent >= SESSION_PROBES)
        return 0;
    uint32_t fit = 1 + (session->window - used - bytes) / session->stride;
    return fit < SESSION_PROBES - session->sent ? fit : SESSION_PROBES - session->sent;
}

bool session_send(struct session *session, uint32_t number, uint8_t ttl, uint16_t bytes)
{
    assert(session->state == SESSION_OPEN && session->sent < SESSION_PROBES && number < SESSION_OWN);
    assert(bytes > 0 && bytes <= session->stride);
    struct piece probe = {.offset = 2 + session->sent,
                          .seq = session->flow.match.base + 2 + session->sent * session->stride,
                          .number = number,
                          .flags = PACKET_ACK | PACKET_PSH,
                          .ttl = ttl,
                          .bytes = bytes};
    session->sent++; /* as with SYNs */
    if (!send_piece(session, &probe)) {
        session->sent--;
        return false;
    }
    session->owes_ack = false;
    int64_t now_ns = probe_engine_mono_ns(session->flow.round->engine);
    if (!session->owes_nudge && wants_nudge(session, now_ns)) {
        session->owes_nudge = true;
        session->nudge_ns = now_ns + NUDGE_AFTER_NS;
    }
    return true;
}

void session_event(struct session *session, const struct probe_event *event)
{
    uint32_t at = event->probe & TO_OTHERS;
    if (at >= SESSION_TRIES)
        return;
    if (event->kind == PROBE_EVENT_REFUSED) {
        session->sys_errno = event->sys_errno;
        if (session->state == SESSION_OPENING && session->syn_ack_ns == 0)
            session->state = SESSION_UNSENT;
    } else if (event->kind == PROBE_EVENT_SENT) {
        session->syn_tx_ns[at] = event->at_ns;
    } else if (event->kind == PROBE_EVENT_STAMP && event->at_ns >= session->syn_tx_ns[at] - 100 * CLOCK_US) {
        session->syn_tx_ns[at] = event->at_ns; /* not one from before it was handed over: that is another packet's */
    }
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static enum session_news set_ended(struct session *session, enum session_state state)
{
    session->state = state;
    session->owes_ack = session->owes_nudge = false;
    return SESSION_ENDED;
}

static void take_window(struct session *session, const struct packet_tcp *tcp)
{
    uint32_t scale = tcp->flags & PACKET_SYN ? 0 : session->scale;
    session->window = (uint32_t)tcp->window << scale;
}

static enum session_news take_syn_ack(struct session *session, const struct probe_answer *answer)
{
    const struct packet_tcp *tcp = answer->tcp;
    if (session->state == SESSION_OPEN || session->syn_ack_ns != 0) {
        session->owes_ack = true; /* ours was lost */
        return SESSION_NOTHING;
    }
    session->mss = tcp->mss;
    session->has_sack = tcp->has_sack_permitted;
    session->has_timestamps = tcp->has_timestamps;
    session->scale = tcp->has_scale ? tcp->scale < MOST_SCALE ? tcp->scale : MOST_SCALE : 0;
    session->has_scale = tcp->has_scale;
    session->ts_recent = tcp->ts_value;
    session->rcv_nxt = tcp->seq + 1;
    session->syn_ack_ns = answer->packet->rx_ns;
    session->is_first_try = session->tries == 1;
    session->owes_ack = true;
    session->retry_ns = session->syn_ack_ns + RETRY_NS;
    take_window(session, tcp);
    if (session_room(session, session->stride) == 0)
        return SESSION_NOTHING; /* proxies that complete the handshake first open the window later */
    session->state = SESSION_OPEN;
    return SESSION_OPENED;
}

static enum session_news take_opening(struct session *session, const struct probe_answer *answer)
{
    const struct packet_tcp *tcp = answer->tcp;
    bool is_ours = (tcp->flags & PACKET_ACK) && tcp->ack == session->flow.match.base + 1;
    if (session->tries == 0)
        return SESSION_NOTHING;
    /* A RST without ACK comes from things that do not know how to (RFC 9293 section 3.10.7.1). */
    if (answer->kind == PACKET_RESET)
        return is_ours || !(tcp->flags & PACKET_ACK) ? set_ended(session, SESSION_REFUSED) : SESSION_NOTHING;
    if (answer->kind == PACKET_SYN_ACK && is_ours)
        return take_syn_ack(session, answer);
    if (session->syn_ack_ns != 0 && is_ours) {
        take_window(session, tcp);
        if (session_room(session, session->stride) == 0)
            return SESSION_NOTHING;
        session->state = SESSION_OPEN;
        return SESSION_OPENED;
    }
    if ((tcp->flags & PACKET_ACK) && !is_ours) { /* an old session on this port: cleared away (RFC 9293 figure 9) */
        session->owes_reset = true;
        session->reset_seq = tcp->ack;
    }
    return SESSION_NOTHING;
}

/* --- answers to probes -------------------------------------------------------------------------------------------- */

/* Probes [first, end) whose first byte a block covers; the block is within what was sent. */
struct range {
    uint32_t first, end;
};

/* False: the block names what was never sent, or is turned inside out. */
static bool read_block(const struct session *session, uint32_t left, uint32_t right, struct range *ret_range)
{
    uint32_t base = session->flow.match.base + 2;
    uint32_t from = left - base, to = right - base, most = session->sent * session->stride;
    if (from >= most || to > most || to <= from)
        return false;
    *ret_range = (struct range){(from + session->stride - 1) / session->stride,
                                (to + session->stride - 1) / session->stride};
    return true;
}

/* Notes what has arrived, and returns the latest of it that was not known: SESSION_PROBES = none. */
static uint32_t note_arrived(struct session *session, struct range range)
{
    uint32_t latest = SESSION_PROBES;
    for (uint32_t i = range.first; i < range.end; i++) {
        if (is_set(session->arrived, i))
            continue;
        set(session->arrived, i);
        latest = i;
    }
    if (range.first < range.end && range.end > session->highest)
        session->highest = range.end;
    return latest;
}

static enum session_news answer_probe(struct session *session, uint32_t probe, uint32_t *ret_probe)
{
    *ret_probe = probe;
    if (is_set(session->answered, probe))
        return SESSION_AGAIN;
    set(session->answered, probe);
    return SESSION_ANSWER;
}

/* Nothing in it is new. */
static enum session_news take_known(struct session *session, struct range first, uint32_t *ret_probe)
{
    uint32_t latest = first.end - 1;
    if (is_set(session->answered, latest) && session->nudges != NUDGE_NAMED && session->nudges_out > 0) {
        session->nudges = NUDGE_PLAIN; /* the answer to a nudge, which does not say so */
        session->nudges_out = 0;
        return SESSION_NOTHING;
    }
    return answer_probe(session, latest, ret_probe);
}

static enum session_news take_blocks(struct session *session, const struct packet_tcp *tcp, uint32_t *ret_probe)
{
    uint32_t hole = session->flow.match.base + 1, fresh = SESSION_PROBES;
    struct range ranges[PACKET_MAX_SACKS];
    bool is_nudge = (int32_t)(tcp->sacks[0].right - hole) <= 0 && hole - tcp->sacks[0].left - 1 < NUDGE_REACH;
    uint32_t count = 0;
    for (uint32_t i = is_nudge ? 1 : 0; i < tcp->sack_count; i++) {
        if (!read_block(session, tcp->sacks[i].left, tcp->sacks[i].right, &ranges[count])) {
            session->has_odd_blocks = true;
            continue;
        }
        count++;
    }
    session->plain_acks += count == 0 && !is_nudge && tcp->payload_size == 0; /* such blocks are as good as none */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t latest = note_arrived(session, ranges[i]);
        fresh = i == 0 ? latest : fresh;
    }
    if (tcp->payload_size > 0 || (tcp->flags & PACKET_FIN))
        return SESSION_NOTHING; /* was due for another reason */
    if (is_nudge) { /* a byte that the target had had */
        session->nudges = NUDGE_NAMED;
        session->nudges_out = 0;
        return SESSION_NOTHING;
    }
    if (count == 0 || ranges[0].first == ranges[0].end)
        return SESSION_NOTHING;
    bool is_dsack = count > 1 && ranges[0].first >= ranges[1].first && ranges[0].end <= ranges[1].end;
    if (is_dsack) /* it came twice */
        return answer_probe(session, ranges[0].end - 1, ret_probe);
    return fresh != SESSION_PROBES ? answer_probe(session, fresh, ret_probe)
                                      : take_known(session, ranges[0], ret_probe);
}

/* What the target sends is acknowledged in order and thrown away. */
static void take_data(struct session *session, const struct packet_tcp *tcp)
{
    bool is_fin = (tcp->flags & PACKET_FIN) != 0;
    uint32_t end = tcp->seq + (uint32_t)tcp->payload_size;
    if (tcp->payload_size == 0 && !is_fin)
        return;
    session->owes_ack = true;
    if ((int32_t)(tcp->seq - session->rcv_nxt) > 0 || (int32_t)(end - session->rcv_nxt) < 0)
        return;
    session->rcv_nxt = end + is_fin;
    if (is_fin)
        session->state = SESSION_FINISHED;
}

static enum session_news take_segment(struct session *session, const struct probe_answer *answer, uint32_t *ret_probe)
{
    const struct packet_tcp *tcp = answer->tcp;
    uint32_t ahead = tcp->seq - session->rcv_nxt;
    bool is_in_window = ahead < SYN_WINDOW || (int32_t)ahead < 0;
    if (answer->kind == PACKET_RESET)
        return ahead < SYN_WINDOW ? set_ended(session, SESSION_RESET) : SESSION_NOTHING;
    if (answer->kind == PACKET_SYN_ACK)
        return take_syn_ack(session, answer);
    /* The hole was never filled: who acknowledges more is not speaking of this session. */
    if (!(tcp->flags & PACKET_ACK) || !is_in_window || tcp->ack != session->flow.match.base + 1)
        return SESSION_NOTHING;
    if (tcp->has_timestamps && ahead == 0)
        session->ts_recent = tcp->ts_value;
    take_window(session, tcp);
    bool was_open = session->state == SESSION_OPEN;
    take_data(session, tcp);
    enum session_news news = SESSION_NOTHING;
    if (tcp->sack_count > 0)
        news = take_blocks(session, tcp, ret_probe);
    else
        session->plain_acks += session->sent > 0 && tcp->payload_size == 0;
    return session->state == SESSION_FINISHED && was_open ? SESSION_ENDED : news;
}

/* --- ICMP errors -------------------------------------------------------------------------------------------------- */

static bool find_quoted(const struct session *session, const struct probe_answer *answer, uint32_t *ret_probe)
{
    uint16_t sport, dport, checksum;
    uint32_t seq;
    struct range range;
    if (packet_quoted_tcp(&answer->icmp->quote, &sport, &dport, &seq, &checksum) &&
        read_block(session, seq, seq + 1, &range) && range.first < range.end) {
        *ret_probe = range.first;
        return true;
    }
    *ret_probe = answer->offset - 2; /* found by the IP identification: something rewrites sequence numbers */
    return answer->offset >= 2 && *ret_probe < session->sent;
}

static enum session_news take_error(struct session *session, const struct probe_answer *answer, uint32_t *ret_probe)
{
    if (session->state == SESSION_OPENING && session->syn_ack_ns == 0)
        return set_ended(session, SESSION_UNREACHABLE);
    return find_quoted(session, answer, ret_probe) ? SESSION_ERROR : SESSION_NOTHING;
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

int session_open(struct session *session, struct probe_round *round, uint32_t number, uint64_t seed, struct error *err)
{
    assert(session->state == SESSION_NEW && session->stride > 0 && session->stride <= SESSION_MAX_STRIDE);
    session->flow.match.protocol = PROBE_TCP;
    session->flow.match.is_session = true;
    session->flow.match.src = session->src;
    session->flow.match.dst = session->dst;
    int rc = flow_open(round, &session->flow, number, 0, seed, err);
    if (rc)
        return rc;
    memcpy(&session->ts_first, session->flow.match.nonce, sizeof session->ts_first);
    session->state = SESSION_OPENING;
    return 0;
}

enum session_news session_take(struct session *session, const struct probe_answer *answer, uint32_t *ret_probe)
{
    if (session->state != SESSION_OPENING && session->state != SESSION_OPEN && session->state != SESSION_FINISHED)
        return SESSION_NOTHING;
    if (answer->icmp)
        return take_error(session, answer, ret_probe);
    if (!answer->tcp)
        return SESSION_NOTHING;
    return session->state == SESSION_OPENING ? take_opening(session, answer) : take_segment(session, answer, ret_probe);
}

bool session_has_arrived(const struct session *session, uint32_t probe)
{
    return probe < session->sent && is_set(session->arrived, probe);
}

int64_t session_handshake_ns(const struct session *session)
{
    if (!session->is_first_try)
        return 0;
    int64_t rtt = session->syn_ack_ns - session->syn_tx_ns[0];
    return rtt > 0 ? rtt : 1;
}

void session_close(struct session *session)
{
    if (!session->flow.round)
        return;
    bool is_open = session->state == SESSION_OPEN || session->state == SESSION_FINISHED ||
                   (session->tries > 0 && session->state != SESSION_REFUSED && session->state != SESSION_RESET);
    bool is_heard = session->syn_ack_ns != 0;
    for (uint32_t i = 0; is_open && i < RESETS; i++)
        (void)send_own(session, session->flow.match.base + 1, is_heard ? PACKET_RST | PACKET_ACK : PACKET_RST, 0);
    flow_close(&session->flow);
    session->state = SESSION_NEW;
}
