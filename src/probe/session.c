#include "probe/session.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

#define TTL 64u
#define RETRY_NS CLOCK_S       /* between SYNs, and after the last of them */
#define MSS4 1460u
#define MSS6 1440u
#define SCALE 7u
#define SYN_WINDOW 64240u     /* = match_window(0) */
#define NUDGE_REACH 1024u /* a block about a nudge begins so near before the hole; others are of shifted numbers */
#define WINDOW (SYN_WINDOW >> SCALE)
#define NUDGE_FIRST 3u         /* after this many probes at the latest: the first three are answered at once, and they make
                                  sure that a target which waits for data before it opens the session has opened it */
#define NUDGE_EVERY 7u         /* one lost nudge does no harm */
#define NUDGES_AGAIN 4u        /* unanswered ones: from then on no more than usual */
#define NUDGES_PLAIN 2u        /* that were answered by nothing new: the target does not name them */
#define NUDGE_AFTER_NS (5 * CLOCK_MS) /* a probe: on its heels it would share the probe's answer, if that was delayed */
#define WARM_AFTER_NS (10 * CLOCK_MS)  /* the handshake, whose end must be behind everybody then */
#define WARM_AGAIN_NS (100 * CLOCK_MS) /* between nudges of a warm-up, at least */
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

/* --- lanes -------------------------------------------------------------------------------------------------------- */

static uint32_t lane_bytes(const struct session *session, uint32_t rows)
{
    return rows * session->stride + 1; /* with the hole behind it */
}

/* As many lanes as there are to be, and as few rows as all probes need; if the window does not take them, what holds most. */
static void plan(struct session *session)
{
    uint32_t room = session->window > 1 ? session->window - 1 : 0; /* behind the first hole */
    session->lanes = session->planned ? 0 : 1;
    session->rows = session->planned ? 0 : SESSION_PROBES;
    for (uint32_t rows = 1; session->planned && rows * session->stride <= room; rows++) {
        uint32_t lanes = (room + 1) / lane_bytes(session, rows); /* behind the last there need not be a hole */
        lanes = lanes < SESSION_LANES ? lanes : SESSION_LANES;
        if (lanes * rows > session->lanes * session->rows) {
            session->lanes = lanes;
            session->rows = rows;
        }
        if (lanes * rows >= session->planned)
            break;
    }
}

/* Where a probe is, from base + 2 on. */
static uint32_t place_of(const struct session *session, uint32_t probe)
{
    return probe % session->lanes * lane_bytes(session, session->rows) + probe / session->lanes * session->stride;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

struct piece {
    uint32_t offset, seq, number;
    uint8_t flags, ttl;
    uint16_t bytes;
};

/* It tells the offset, too, where something rewrites sequence numbers. */
static uint16_t window_of(const struct session *session, uint32_t offset, bool is_syn)
{
    return is_syn || !session->has_scale ? match_window(offset) : (uint16_t)(WINDOW + offset);
}

static bool send_piece(struct session *session, const struct piece *piece)
{
    bool is_syn = (piece->flags & PACKET_SYN) != 0;
    struct packet_tcp segment = {.seq = piece->seq,
                                 .flags = piece->flags,
                                 .ack = piece->flags & PACKET_ACK ? session->rcv_nxt : 0,
                                 .window = window_of(session, piece->offset, is_syn),
                                 .has_timestamps = is_syn || session->has_timestamps,
                                 .payload_size = piece->bytes};
    if (segment.has_timestamps) {
        segment.ts_value = session->ts_first;
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

/* How long the answer to a nudge may take. */
static int64_t patience_ns(const struct session *session)
{
    return session->is_first_try ? 2 * session_handshake_ns(session) : RETRY_NS;
}

/* Streams begin one probe earlier, so that there is time for another should it get lost; trains want their bursts free. */
static uint32_t first_nudge_after(const struct session *session)
{
    return session->planned ? NUDGE_FIRST - 1 : NUDGE_FIRST;
}

static bool is_nudge_time(const struct session *session)
{
    uint32_t first = first_nudge_after(session);
    if (session->sent == first && session->nudges == NUDGE_NAMED)
        return false; /* that of the warm-up still does */
    return session->sent >= first && (session->sent - first) % NUDGE_EVERY == 0;
}

/* The last has got lost; or it is the first and has not been answered in time for the probes that would be delayed. */
static bool is_nudge_missing(const struct session *session, int64_t now_ns)
{
    bool is_due = (session->planned && session->sent == NUDGE_FIRST) || now_ns - session->nudge_ns > patience_ns(session);
    return is_due && session->sent >= NUDGE_FIRST && session->nudges_out > 0 && session->nudges_out < NUDGES_AGAIN;
}

static void send_nudge(struct session *session, int64_t now_ns)
{
    session->owes_nudge = !send_own(session, session->flow.match.base, PACKET_ACK, 1);
    if (session->owes_nudge)
        return;
    session->owes_ack = false;
    session->nudges_out++;
    session->first_nudge_ns = session->nudges_sent++ == 0 ? now_ns : session->first_nudge_ns;
    session->nudge_ns = now_ns;
}

/* Nudges until one is answered, or the time is up. */
static void step_warm_up(struct session *session, int64_t now_ns)
{
    int64_t again = patience_ns(session) > WARM_AGAIN_NS ? patience_ns(session) : WARM_AGAIN_NS;
    if (session->state != SESSION_OPEN || now_ns >= session->warm_until_ns) {
        session->is_warming = session->owes_nudge = false;
    } else if (!session->owes_nudge) {
        session->owes_nudge = true;
        session->nudge_ns = now_ns + again;
    }
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
    if (session->is_warming)
        step_warm_up(session, now_ns);
}

int64_t session_due_ns(const struct session *session)
{
    if (session->owes_ack || session->owes_reset)
        return 0;
    if (session->state == SESSION_OPEN && session->owes_nudge)
        return session->is_warming && session->warm_until_ns < session->nudge_ns ? session->warm_until_ns
                                                                                 : session->nudge_ns;
    return session->state == SESSION_OPENING ? session->retry_ns : PROBE_IO_NEVER;
}

bool session_has_room(const struct session *session, uint32_t bytes)
{
    return session->sent < SESSION_PROBES && session->sent < session->lanes * session->rows &&
           1 + place_of(session, session->sent) + bytes <= session->window; /* the first hole, too */
}

uint32_t session_room(const struct session *session, uint32_t bytes)
{
    uint32_t most = session->lanes * session->rows, fit = session->sent;
    most = most < SESSION_PROBES ? most : SESSION_PROBES;
    while (fit < most && 1 + place_of(session, fit) + bytes <= session->window)
        fit++;
    return fit - session->sent;
}

bool session_send(struct session *session, uint32_t number, uint8_t ttl, uint16_t bytes)
{
    assert(session->state == SESSION_OPEN && session->sent < SESSION_PROBES && number < SESSION_OWN);
    assert(bytes > 0 && bytes <= session->stride);
    struct piece probe = {.offset = 2 + session->sent,
                          .seq = session->flow.match.base + 2 + place_of(session, session->sent),
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
    bool is_missing = !is_nudge_time(session) && is_nudge_missing(session, now_ns);
    if (!session->owes_nudge && session->nudges != NUDGE_PLAIN && (is_missing || is_nudge_time(session))) {
        session->owes_nudge = true;
        session->is_nudge_again = is_missing;
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

static enum session_news set_open(struct session *session)
{
    session->state = SESSION_OPEN;
    if (session->warm_up_ns == 0 || !session->has_sack)
        return SESSION_OPENED;
    int64_t now_ns = probe_engine_mono_ns(session->flow.round->engine);
    int64_t least = 2 * patience_ns(session);
    session->is_warming = session->owes_nudge = true;
    session->nudge_ns = now_ns + WARM_AFTER_NS;
    session->warm_until_ns = now_ns + (session->warm_up_ns > least ? session->warm_up_ns : least);
    return SESSION_OPENED;
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
    plan(session);
    if (!session_has_room(session, session->stride))
        return SESSION_NOTHING; /* proxies that complete the handshake first open the window later */
    return set_open(session);
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
        plan(session);
        if (!session_has_room(session, session->stride))
            return SESSION_NOTHING;
        return set_open(session);
    }
    if ((tcp->flags & PACKET_ACK) && !is_ours) { /* an old session on this port: cleared away (RFC 9293 figure 9) */
        session->owes_reset = true;
        session->reset_seq = tcp->ack;
    }
    return SESSION_NOTHING;
}

/* --- answers to probes -------------------------------------------------------------------------------------------- */

/* Probes first, first + lanes, ... below end: those whose first byte a block covers. None: first = end. */
struct range {
    uint32_t first, end;
};

/* False: the block names what was never sent, or is turned inside out. */
static bool read_block(const struct session *session, uint32_t left, uint32_t right, struct range *ret_range)
{
    uint32_t base = session->flow.match.base + 2, stride = session->stride, lanes = session->lanes;
    uint32_t from = left - base, to = right - base;
    if (lanes == 0 || from >= lanes * lane_bytes(session, session->rows) || to <= from)
        return false;
    uint32_t lane = from / lane_bytes(session, session->rows), start = lane * lane_bytes(session, session->rows);
    uint32_t rows = lane < session->sent ? (session->sent - lane - 1) / lanes + 1 : 0; /* of the lane, sent */
    if (from - start >= rows * stride || to - start > rows * stride)
        return false;
    ret_range->first = (from - start + stride - 1) / stride * lanes + lane;
    ret_range->end = (to - start + stride - 1) / stride * lanes + lane;
    return true;
}

/* Notes what has arrived, and returns the latest of it that was not known: SESSION_PROBES = none. */
static uint32_t note_arrived(struct session *session, struct range range)
{
    uint32_t latest = SESSION_PROBES;
    for (uint32_t i = range.first; i < range.end; i += session->lanes) {
        if (i >= session->highest)
            session->highest = i + 1;
        if (is_set(session->arrived, i))
            continue;
        set(session->arrived, i);
        latest = i;
    }
    return latest;
}

static enum session_news answer_probe(struct session *session, uint32_t probe, const struct packet_tcp *tcp,
                                      uint32_t *ret_probe)
{
    *ret_probe = probe;
    if (is_set(session->answered, probe))
        return SESSION_AGAIN;
    set(session->answered, probe);
    session->last_answered = (uint16_t)probe;
    session->lane_answered[probe % SESSION_LANES] = (uint16_t)probe;
    session->lane_ts[probe % SESSION_LANES] = tcp->ts_value;
    return SESSION_ANSWER;
}

/* What tells nothing new, no copy being named, is a copy that was made on the way back and has the same time stamp; or it was
 * drawn by something else, for example by a SYN of ours that was late (RFC 5961 section 4.2), and tells of the latest. */
static bool is_drawn_otherwise(const struct session *session, uint32_t probe, const struct packet_tcp *tcp)
{
    return tcp->has_timestamps && probe == session->last_answered &&
           (int32_t)(tcp->ts_value - session->lane_ts[probe % SESSION_LANES]) > 0;
}

/* What told nothing new until now were copies, then. */
static void note_named(struct session *session)
{
    session->nudges = NUDGE_NAMED;
    session->nudges_out = 0;
    session->owes_nudge = session->owes_nudge && !session->is_nudge_again;
    session->copies += session->doubtful;
    session->doubtful = 0;
}

/* It may be the answer to a nudge of a target that does not say so. */
static void note_plain(struct session *session)
{
    int64_t now_ns = probe_engine_mono_ns(session->flow.round->engine);
    session->plain_nudges++;
    if (session->nudges != NUDGE_UNKNOWN || session->plain_nudges < NUDGES_PLAIN ||
        now_ns - session->first_nudge_ns < patience_ns(session))
        return;
    session->nudges = NUDGE_PLAIN;
    session->nudges_out = 0;
}

/* Nothing in it is new. */
static enum session_news take_known(struct session *session, uint32_t latest, const struct packet_tcp *tcp,
                                    uint32_t *ret_probe)
{
    bool is_answered = is_set(session->answered, latest);
    bool may_be_nudge = is_answered && session->nudges != NUDGE_NAMED && session->plain_nudges < session->nudges_sent;
    bool is_otherwise = is_answered && is_drawn_otherwise(session, latest, tcp);
    if (may_be_nudge && (is_otherwise || !tcp->has_timestamps)) {
        session->doubtful += !is_otherwise;
        note_plain(session);
        return SESSION_NOTHING;
    }
    return is_otherwise ? SESSION_NOTHING : answer_probe(session, latest, tcp, ret_probe);
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
        note_named(session);
        return SESSION_NOTHING;
    }
    if (count == 0 || ranges[0].first == ranges[0].end)
        return SESSION_NOTHING;
    bool is_dsack = count > 1 && ranges[0].first % session->lanes == ranges[1].first % session->lanes &&
                    ranges[0].first >= ranges[1].first && ranges[0].end <= ranges[1].end;
    if (is_dsack) /* it came twice */
        return answer_probe(session, ranges[0].end - session->lanes, tcp, ret_probe);
    return fresh != SESSION_PROBES ? answer_probe(session, fresh, tcp, ret_probe)
                                   : take_known(session, ranges[0].end - session->lanes, tcp, ret_probe);
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
    /* Linux refuses, while it waits for data to open the session, what echoes another time stamp than its SYN+ACK's. */
    bool is_open_there = tcp->payload_size > 0 || tcp->sack_count > 0;
    if (tcp->has_timestamps && is_open_there && ahead == 0 && (int32_t)(tcp->ts_value - session->ts_recent) > 0)
        session->ts_recent = tcp->ts_value;
    take_window(session, tcp);
    session->is_heard = true;
    session->owes_nudge = session->owes_nudge && !session->is_warming;
    session->is_warming = false;
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
    uint16_t sport, dport, checksum, window;
    uint32_t seq;
    struct range range;
    if (packet_quoted_tcp(&answer->icmp->quote, &sport, &dport, &seq, &checksum) &&
        read_block(session, seq, seq + 1, &range) && range.first < range.end) {
        *ret_probe = range.first;
        return true;
    }
    /* Something rewrites sequence numbers: the window tells, or the IP identification. */
    uint32_t offset = answer->offset;
    if (packet_quoted_window(&answer->icmp->quote, &window))
        offset = (uint16_t)(session->has_scale ? window - WINDOW : SYN_WINDOW - window);
    *ret_probe = offset - 2;
    return offset >= 2 && *ret_probe < session->sent;
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
    assert(session->planned <= SESSION_PROBES);
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
