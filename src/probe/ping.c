#include "probe/ping.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "probe/refusal.h"
#include "probe/round.h"
#include "probe/session.h"

#define FIRST_GAP_NS (40 * CLOCK_MS)
#define MIN_GAP_NS (10 * CLOCK_MS)    /* = the highest fixed rate a user may set: 100 a second */
#define CEILING_NS (8 * CLOCK_S)
#define MAX_WAIT_NS (2 * CLOCK_S)     /* after the last probe while nobody has answered */
#define MIN_WAIT_NS CLOCK_S
#define MIN_TAIL_NS (200 * CLOCK_MS)  /* of the ceiling, kept for answers to the last probe */
#define LINGER_NS (50 * CLOCK_MS)     /* after the last answer, on a path that duplicates */
#define MAX_BEHIND_NS (20 * CLOCK_MS) /* what is caught up when the engine is late; the rest is skipped */
#define SLOW_GAP_NS (500 * CLOCK_MS)  /* a stream with this gap or more is slow */
#define HOPELESS_REFUSALS 3u          /* refused one after the other from the start: more would say nothing new */
#define PROBE_TTL 64
#define SYN_AGAIN_NS (500 * CLOCK_MS) /* a SYN+ACK that comes again later is a retransmission of the target, no duplicate */
#define SYN_RETRY_NS (900 * CLOCK_MS) /* a SYN+ACK that is later than others by this is the target's second try */

/* SACK mode. */
#define FAST_ANSWERS 5u                /* of which all are quicker than the handshake was */
#define FAST_LEAST_NS (5 * CLOCK_MS)   /* by this much at least */
#define MIN_SACK_WAIT_NS CLOCK_S
#define WARM_UP_NS CLOCK_S
#define FORCED_WARM_UP_NS (3 * CLOCK_S)
#define PLAIN_ACKS 3u                  /* without SACK, that say that none will come */
#define DEFAULT_MSS 536u               /* RFC 9293 section 3.7.1 */
#define TIMESTAMP_BYTES 12u

enum state { STATE_OPENING, STATE_SENDING, STATE_WAITING };

struct probe_ping {
    struct probe_round round; /* first member */
    enum state state;
    struct probe_ping_settings settings;
    struct probe_flow flow;
    struct session *session; /* SACK mode: in the arena; then flow is not used */
    struct arena *arena;
    probe_ping_fn *progress, *done;
    void *user;
    struct probe_ping_result *result; /* in the arena */
    uint32_t next;         /* probe to send */
    uint32_t first_open;   /* all before it have an answer or were refused */
    uint32_t highest;      /* 1 + number of the latest probe that was answered */
    int64_t due_ns;        /* of the next probe */
    int64_t last_sent_ns, last_answer_ns;
    double moving_rtt_ns;  /* 0 = none yet */
    int64_t min_rtt_ns, max_rtt_ns; /* 0 = none yet */
    uint32_t answers;      /* probes answered */
    bool has_news, has_stamps;
};

_Static_assert(sizeof(struct probe_ping) <= ROUND_BYTES, "a ping fits a slot");

void probe_ping_defaults(struct probe_ping_settings *settings)
{
    *settings = (struct probe_ping_settings){.count = 50, .ceiling_ns = CEILING_NS};
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static bool is_out(const struct probe_ping_probe *probe)
{
    return probe->status == PROBE_PING_WAITING;
}

static void count_status(struct probe_ping_result *result, const struct probe_ping_probe *probe)
{
    switch ((enum probe_ping_status)probe->status) {
    case PROBE_PING_UNSENT:
        break;
    case PROBE_PING_WAITING:
    case PROBE_PING_LOST:
        result->sent += probe->tx_ns != 0;
        result->lost_on_return += probe->has_arrived;
        break;
    case PROBE_PING_ANSWERED:
        result->sent++;
        result->received++;
        break;
    case PROBE_PING_ERROR:
        result->sent++;
        result->errors++;
        break;
    case PROBE_PING_REFUSED:
        result->refused++;
        break;
    case PROBE_PING_OVERLOADED:
        result->overloaded++;
        break;
    }
}

/* Without a look at the result itself, which in a large engine is no longer in the cache. */
static struct probe_ping_probe *probe_at(const struct probe_ping *ping, uint32_t number)
{
    return (struct probe_ping_probe *)(ping->result + 1) + number;
}

static void update_result(struct probe_ping *ping)
{
    struct probe_ping_result *result = ping->result;
    result->sent = result->received = result->errors = result->refused = result->overloaded = 0;
    result->lost_on_return = 0;
    double sum = 0, deviation = 0;
    int64_t min = INT64_MAX, max = 0;
    for (uint32_t i = 0; i < result->probe_count; i++) {
        struct probe_ping_probe *probe = &result->probes[i];
        count_status(result, probe);
        if (probe->status != PROBE_PING_ANSWERED)
            continue;
        int64_t rtt = probe_ping_rtt_ns(probe);
        sum += (double)rtt;
        min = rtt < min ? rtt : min;
        max = rtt > max ? rtt : max;
    }
    double n = result->received;
    bool has_any = result->received > 0;
    double avg = has_any ? sum / n : (double)NAN;
    for (uint32_t i = 0; i < result->probe_count; i++) {
        if (result->probes[i].status == PROBE_PING_ANSWERED)
            deviation += fabs((double)probe_ping_rtt_ns(&result->probes[i]) - avg);
    }
    result->avg_rtt_ns = avg;
    result->min_rtt_ns = has_any ? (double)min : (double)NAN;
    result->max_rtt_ns = has_any ? (double)max : (double)NAN;
    result->jitter_ns = has_any ? deviation / n : (double)NAN;
    result->end_ns = probe_engine_mono_ns(ping->round.engine);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static int64_t gap_ns(const struct probe_ping *ping)
{
    if (ping->settings.gap_ns > 0)
        return ping->settings.gap_ns;
    if (ping->settings.rate_pps > 0)
        return CLOCK_S / ping->settings.rate_pps;
    if (ping->moving_rtt_ns <= 0)
        return FIRST_GAP_NS;
    int64_t gap = (int64_t)(1.5 * ping->moving_rtt_ns);
    return gap > MIN_GAP_NS ? gap : MIN_GAP_NS;
}

/* How long an answer may take before its probe is given up: twice the longest yet would do on a steady path. */
static int64_t wait_ns(const struct probe_ping *ping)
{
    int64_t wait = 4 * ping->max_rtt_ns; /* on a slow path up to the ceiling of the round */
    if (ping->max_rtt_ns == 0)
        return MAX_WAIT_NS;
    return wait > MIN_WAIT_NS ? wait : MIN_WAIT_NS;
}

static int64_t ceiling_at(const struct probe_ping *ping)
{
    return ping->result->start_ns + ping->settings.ceiling_ns;
}

/* Probes sent later could not be answered in time. */
static int64_t last_send_at(const struct probe_ping *ping)
{
    int64_t tail = (int64_t)(2 * ping->moving_rtt_ns);
    tail = tail < MIN_TAIL_NS ? MIN_TAIL_NS : tail > MAX_WAIT_NS ? MAX_WAIT_NS : tail;
    if (tail > ping->settings.ceiling_ns / 2)
        tail = ping->settings.ceiling_ns / 2;
    return ceiling_at(ping) - tail;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* In a long round what this host dropped much later than an answer was due is no excuse for a loss. */
static int64_t answers_until(const struct probe_ping *ping, const struct probe_ping_probe *probe, int64_t now)
{
    int64_t until = probe->tx_ns + wait_ns(ping);
    return until < now ? until : now;
}

/* The first answer was lost on its way back, and the target tried again, a second later at the earliest (RFC 6298). */
static bool is_second_try(const struct probe_ping *ping, int64_t rtt_ns)
{
    return ping->settings.protocol == PROBE_TCP && !ping->session && ping->min_rtt_ns > 0 &&
           rtt_ns - ping->min_rtt_ns >= SYN_RETRY_NS;
}

/* What became of the probes that nobody answered. too_young_ns: sent later than this, one cannot tell. */
static void settle(struct probe_ping *ping, int64_t now, int64_t too_young_ns)
{
    for (uint32_t i = 0; i < ping->next; i++) {
        struct probe_ping_probe *probe = &ping->result->probes[i];
        if (probe->status == PROBE_PING_ANSWERED && is_second_try(ping, probe->rx_ns - probe->tx_ns)) {
            probe->status = PROBE_PING_LOST;
            probe->rx_ns = 0;
        }
        if (!is_out(probe))
            continue;
        if (probe->tx_ns == 0 || probe->tx_ns > too_young_ns)
            probe->status = PROBE_PING_UNSENT;
        else if ((probe->is_tx_estimated && ping->has_stamps) || probe->is_cut ||
                 round_dropped_between(&ping->round, probe->tx_ns, answers_until(ping, probe, now)))
            probe->status = PROBE_PING_OVERLOADED; /* never left this host, or its answer was dropped here */
        else
            probe->status = PROBE_PING_LOST;
        probe->has_arrived = probe->status == PROBE_PING_LOST && ping->session && session_has_arrived(ping->session, i);
    }
}

/* Our kernel knows no way out any more: what was under way, or might have been, when it lost it cannot be told. */
static void cut_off(struct probe_ping *ping, uint32_t refused)
{
    struct probe_ping_probe *probes = ping->result->probes;
    uint32_t last = refused;
    while (last > 0 && (probes[last - 1].status == PROBE_PING_REFUSED || probes[last - 1].tx_ns == 0))
        last--;
    for (uint32_t i = last; i > 0 && probes[i - 1].tx_ns + 2 * ping->max_rtt_ns >= probes[last - 1].tx_ns; i--)
        probes[i - 1].is_cut = is_out(&probes[i - 1]);
}

static void forget(struct probe_ping *ping)
{
    if (ping->session)
        session_close(ping->session);
    flow_close(&ping->flow);
    round_free(&ping->round);
}

static void end(struct probe_ping *ping, int64_t now, int64_t too_young_ns)
{
    settle(ping, now, too_young_ns);
    update_result(ping);
    struct probe_ping_result *result = ping->result;
    bool is_deaf = ping->session && ping->session->highest == 0 && ping->next == ping->settings.count;
    if (is_deaf && result->session == PROBE_SESSION_OPEN && result->errors == 0 && result->sent > 0)
        result->session = PROBE_SESSION_NO_SACK; /* forced, and in vain: the handshake did come through */
    probe_ping_fn *done = ping->done;
    void *user = ping->user;
    forget(ping);
    done(user, result);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* A fast stream that is late goes on from now; a slow one keeps to its places in time, and those that have passed are
 * left out, so that it ends when it should. A session counts its probes by itself. */
static void skip_behind(struct probe_ping *ping, int64_t now)
{
    int64_t gap = gap_ns(ping);
    if (gap < SLOW_GAP_NS || ping->session) {
        ping->due_ns = now - ping->due_ns > MAX_BEHIND_NS ? now : ping->due_ns;
        return;
    }
    for (; ping->next < ping->settings.count && now - ping->due_ns >= gap; ping->next++)
        ping->due_ns += gap;
}

static void send_due(struct probe_ping *ping, int64_t now)
{
    skip_behind(ping, now);
    while (ping->next < ping->settings.count && ping->due_ns <= now && now <= last_send_at(ping)) {
        struct probe_ping_probe *probe = &ping->result->probes[ping->next];
        probe->status = PROBE_PING_WAITING;
        struct probe_send send = {.offset = ping->next,
                                  .probe = ping->next,
                                  .ttl = PROBE_TTL,
                                  .tos = (uint8_t)(ping->settings.dscp << 2)};
        if (!(ping->session ? session_send(ping->session, ping->next, PROBE_TTL, (uint16_t)ping->settings.payload_bytes)
                            : flow_send(&ping->flow, &send))) {
            probe->status = PROBE_PING_UNSENT;
            break;
        }
        ping->next++;
        ping->last_sent_ns = now;
        ping->due_ns += gap_ns(ping);
    }
}

/* A slow stream lasts long enough that a way may come back. */
static bool is_hopeless(const struct probe_ping *ping)
{
    if (gap_ns(ping) >= SLOW_GAP_NS)
        return false;
    if (ping->next < HOPELESS_REFUSALS && ping->next < ping->settings.count)
        return false;
    for (uint32_t i = 0; i < ping->next; i++) {
        if (ping->result->probes[i].status != PROBE_PING_REFUSED)
            return false;
    }
    return true;
}

/* When the last unanswered probe is given up; 0 = none is out. A path that duplicates may duplicate the last answer. */
static int64_t give_up_at(struct probe_ping *ping)
{
    const struct probe_ping_probe *probes = ping->result->probes;
    while (ping->first_open < ping->next && !is_out(&probes[ping->first_open]))
        ping->first_open++;
    for (uint32_t i = ping->next; i > ping->first_open; i--) {
        if (is_out(&probes[i - 1])) {
            int64_t sent = probes[i - 1].tx_ns ? probes[i - 1].tx_ns : ping->last_sent_ns;
            int64_t at = sent + wait_ns(ping);
            return at < ceiling_at(ping) ? at : ceiling_at(ping);
        }
    }
    return ping->result->duplicates > 0 ? ping->last_answer_ns + LINGER_NS : 0;
}

/* Until when the first SACK must have come; PROBE_IO_NEVER = one has, or no probe is out. */
static int64_t first_sack_by(const struct probe_ping *ping)
{
    const struct probe_ping_probe *first = &ping->result->probes[0];
    if (ping->session->highest > 0 || ping->next == 0 || first->tx_ns == 0)
        return PROBE_IO_NEVER;
    int64_t wait = 2 * ping->result->handshake_ns;
    return first->tx_ns + (wait > MIN_SACK_WAIT_NS ? wait : MIN_SACK_WAIT_NS);
}

static enum probe_ping_session outcome_of(enum session_state state)
{
    switch (state) {
    case SESSION_NEW:
    case SESSION_OPENING:
        return PROBE_SESSION_NONE;
    case SESSION_OPEN:
        return PROBE_SESSION_OPEN;
    case SESSION_REFUSED:
        return PROBE_SESSION_REFUSED;
    case SESSION_SILENT:
        return PROBE_SESSION_SILENT;
    case SESSION_UNREACHABLE:
        return PROBE_SESSION_UNREACHABLE;
    case SESSION_UNSENT:
        return PROBE_SESSION_UNSENT;
    case SESSION_RESET:
        return PROBE_SESSION_RESET;
    case SESSION_FINISHED:
        return PROBE_SESSION_FINISHED;
    }
    return PROBE_SESSION_NONE;
}

/* SYNs that nobody answered are what was lost. */
static void count_syns(struct probe_ping *ping)
{
    struct session *session = ping->session;
    for (uint32_t i = 0; i < session->tries && i < ping->settings.count; i++) {
        struct probe_ping_probe *probe = &ping->result->probes[i];
        *probe = (struct probe_ping_probe){.status = PROBE_PING_LOST, .tx_ns = session->syn_tx_ns[i]};
    }
}

/* The session is open, and somebody is there: probes may follow, as many as the target's window takes. */
static void begin_sending(struct probe_ping *ping, int64_t now)
{
    struct session *session = ping->session;
    struct probe_ping_settings *settings = &ping->settings;
    uint32_t most = session->mss ? session->mss : DEFAULT_MSS;
    most -= session->has_timestamps && most > TIMESTAMP_BYTES ? TIMESTAMP_BYTES : 0;
    settings->payload_bytes = settings->payload_bytes < most ? settings->payload_bytes : most;
    uint32_t room = session_room(session, settings->payload_bytes);
    settings->count = settings->count < room ? settings->count : room;
    ping->result->mss = session->mss;
    ping->result->handshake_ns = session_handshake_ns(session);
    ping->moving_rtt_ns = (double)ping->result->handshake_ns;
    ping->result->session = session->has_sack ? PROBE_SESSION_OPEN : PROBE_SESSION_NOT_PERMITTED;
    ping->state = STATE_SENDING;
    ping->due_ns = now + MIN_GAP_NS; /* not on the heels of the handshake */
}

/* Sends what the session owes; true when it has come to an end, and the round with it. */
static bool step_session(struct probe_ping *ping, int64_t now)
{
    struct probe_ping_result *result = ping->result;
    session_step(ping->session, now);
    if (result->session <= PROBE_SESSION_OPEN)
        result->session = outcome_of(ping->session->state);
    if (ping->state == STATE_OPENING && ping->session->state == SESSION_OPEN && !ping->session->is_warming)
        begin_sending(ping, now);
    else if (ping->state == STATE_OPENING && ping->session->syn_ack_ns == 0 && now >= ceiling_at(ping))
        result->session = PROBE_SESSION_SILENT;
    if (result->session == PROBE_SESSION_OPEN && now >= first_sack_by(ping) &&
        (!ping->settings.is_forced || ping->session->plain_acks >= PLAIN_ACKS))
        result->session = PROBE_SESSION_NO_SACK;
    if (result->session == PROBE_SESSION_UNSENT) {
        result->probes[0].status = PROBE_PING_REFUSED;
        result->error_text = arena_strdup(ping->arena, refusal_text(ping->session->sys_errno, &ping->settings.src));
    } else if (result->session == PROBE_SESSION_SILENT) {
        count_syns(ping);
    }
    return result->session > PROBE_SESSION_OPEN;
}

static void step_timer(struct probe_ping *ping, int64_t now)
{
    int64_t next_ns = 0, session_ns = PROBE_IO_NEVER;
    if (ping->session) {
        if (step_session(ping, now)) {
            end(ping, now, now - (ping->max_rtt_ns > 0 ? 2 * ping->max_rtt_ns : CLOCK_S));
            return;
        }
        session_ns = session_due_ns(ping->session);
        if (session_ns > first_sack_by(ping) && !ping->settings.is_forced)
            session_ns = first_sack_by(ping);
    }
    switch (ping->state) {
    case STATE_OPENING:
        next_ns = ceiling_at(ping);
        break;
    case STATE_SENDING:
        send_due(ping, now);
        if (is_hopeless(ping)) {
            end(ping, now, INT64_MAX);
            return;
        }
        next_ns = ping->due_ns;
        if (ping->next < ping->settings.count && ping->due_ns <= last_send_at(ping))
            break;
        ping->state = STATE_WAITING;
        /* fall through */
    case STATE_WAITING:
        next_ns = give_up_at(ping);
        if (next_ns <= now) {
            end(ping, now, INT64_MAX);
            return;
        }
        break;
    }
    round_wake_at(&ping->round, session_ns < next_ns ? session_ns : next_ns);
    if (ping->has_news && ping->progress) {
        ping->has_news = false;
        update_result(ping);
        ping->progress(ping->user, ping->result); /* may stop us: nothing may follow */
    }
}

/* An echo reply, a SYN+ACK or a RST. */
static void step_reply(struct probe_ping *ping, struct probe_ping_probe *probe, uint32_t number,
                       const struct probe_answer *answer)
{
    const struct probe_io_reply *packet = answer->packet;
    if (probe->status == PROBE_PING_ANSWERED) {
        ping->result->duplicates += !answer->tcp || packet->rx_ns - probe->rx_ns < SYN_AGAIN_NS;
        return;
    }
    int64_t rtt = packet->rx_ns - probe->tx_ns;
    rtt = rtt > 0 ? rtt : 1;
    if (is_second_try(ping, rtt))
        return;
    ping->result->resets += answer->kind == PACKET_RESET;
    if (answer->tcp && answer->tcp->mss)
        ping->result->mss = answer->tcp->mss;
    probe->status = PROBE_PING_ANSWERED;
    probe->rx_ns = packet->rx_ns;
    probe->is_rx_estimated = packet->is_estimated;
    ping->last_answer_ns = packet->rx_ns;
    if (number + 1 < ping->highest)
        ping->result->reordered++;
    else
        ping->highest = number + 1;
    probe->reply_ttl = packet->ttl;
    ping->result->reply_ttl = packet->ttl;
    ping->result->reply_tos = packet->tos;
    ping->moving_rtt_ns += ping->moving_rtt_ns > 0 ? ((double)rtt - ping->moving_rtt_ns) / 8 : (double)rtt;
    ping->max_rtt_ns = rtt > ping->max_rtt_ns ? rtt : ping->max_rtt_ns;
    ping->min_rtt_ns = ping->min_rtt_ns == 0 || rtt < ping->min_rtt_ns ? rtt : ping->min_rtt_ns;
    ping->answers++;
}

static void note_error(struct probe_ping *ping, struct probe_ping_probe *probe, const struct probe_answer *answer)
{
    probe->status = PROBE_PING_ERROR;
    probe->rx_ns = answer->packet->rx_ns;
    probe->icmp_type = answer->icmp->type;
    probe->icmp_code = answer->icmp->code;
    ping->result->error_from = answer->packet->src;
    ping->result->error_type = answer->icmp->type;
    ping->result->error_code = answer->icmp->code;
}

/* Somebody nearer than the target answers; its handshake, though, went all the way. */
static bool is_too_fast(const struct probe_ping *ping)
{
    int64_t handshake = ping->result->handshake_ns;
    return ping->answers == FAST_ANSWERS && !ping->settings.is_forced && handshake - ping->max_rtt_ns > FAST_LEAST_NS &&
           10 * ping->max_rtt_ns < 7 * handshake;
}

static void step_session_answer(struct probe_ping *ping, const struct probe_answer *answer)
{
    uint32_t number = 0, copies = ping->session->copies;
    enum session_news news = session_take(ping->session, answer, &number);
    ping->result->duplicates += ping->session->copies - copies;
    struct probe_ping_probe *probe = &ping->result->probes[number];
    ping->result->has_odd_blocks = ping->session->has_odd_blocks;
    switch (news) {
    case SESSION_NOTHING:
        if (session_due_ns(ping->session) == 0 || ping->state == STATE_OPENING)
            round_wake_at(&ping->round, 0);
        return;
    case SESSION_OPENED: /* what follows is done when the timer comes, at once */
        break;
    case SESSION_ANSWER:
        step_reply(ping, probe, number, answer);
        if (is_too_fast(ping))
            ping->result->session = PROBE_SESSION_TOO_FAST;
        break;
    case SESSION_AGAIN:
        ping->result->duplicates++;
        break;
    case SESSION_ERROR:
        if (probe->status == PROBE_PING_WAITING)
            note_error(ping, probe, answer);
        break;
    case SESSION_ENDED:
        if (ping->session->state == SESSION_UNREACHABLE) {
            probe->tx_ns = ping->session->syn_tx_ns[0];
            note_error(ping, probe, answer);
        }
        break;
    }
    ping->has_news = true;
    round_wake_at(&ping->round, 0);
}

static void step_answer(struct probe_ping *ping, const struct probe_answer *answer)
{
    if (ping->session) {
        step_session_answer(ping, answer);
        return;
    }
    if (answer->offset >= ping->next)
        return;
    struct probe_ping_probe *probe = probe_at(ping, answer->offset);
    if (probe->tx_ns == 0)
        return; /* an answer to what was not sent */
    if (answer->kind == PACKET_ECHO_REPLY || answer->tcp) {
        step_reply(ping, probe, answer->offset, answer);
    } else if (probe->status == PROBE_PING_WAITING) {
        note_error(ping, probe, answer);
    }
    ping->has_news = true;
    /* The end may have come, or the user wants to see it: at this wake-up still. */
    if (ping->progress || ping->state == STATE_WAITING)
        round_wake_at(&ping->round, 0);
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    struct probe_ping *ping = (struct probe_ping *)round;
    if (event->probe >= SESSION_OWN) {
        session_event(ping->session, event);
        if (ping->session->state == SESSION_UNSENT)
            round_wake_at(round, 0);
        return;
    }
    struct probe_ping_probe *probe = probe_at(ping, event->probe);
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer(ping, event->at_ns);
        break;
    case PROBE_EVENT_SENT:
        probe->tx_ns = event->at_ns;
        probe->is_tx_estimated = true;
        break;
    case PROBE_EVENT_REFUSED:
        probe->status = PROBE_PING_REFUSED;
        if (event->sys_errno == ENETDOWN || event->sys_errno == ENETUNREACH)
            cut_off(ping, event->probe);
        if (!ping->result->error_text)
            ping->result->error_text = arena_strdup(ping->arena, refusal_text(event->sys_errno, &ping->settings.src));
        ping->has_news = true;
        round_wake_at(round, 0); /* it may be the end */
        break;
    case PROBE_EVENT_STAMP:
        /* A stamp from before the packet was handed over belongs to another. */
        if (probe->tx_ns != 0 && event->at_ns >= probe->tx_ns - 100 * CLOCK_US) {
            probe->tx_ns = event->at_ns;
            probe->is_tx_estimated = false;
            ping->has_stamps = true;
        }
        break;
    case PROBE_EVENT_ANSWER:
        step_answer(ping, event->answer);
        break;
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static int check(const struct probe_ping_settings *settings, struct error *err)
{
    if (!sock_is_set(&settings->dst))
        return error_set(err, E_REQUIRED, "dst", "an address to probe is needed");
    if (sock_is_set(&settings->src) && settings->src.sa.sa_family != settings->dst.sa.sa_family)
        return error_set(err, E_INVALID, "src", "the source address is not of the target's family");
    if (settings->protocol == PROBE_UDP)
        return error_set(err, E_NOT_SUPPORTED, "protocol", "a stream is of ICMP or TCP: nobody has to answer UDP");
    if (settings->protocol == PROBE_TCP && sock_port(&settings->dst) == 0)
        return error_set(err, E_REQUIRED, "dst", "a TCP port to probe is needed");
    if (settings->mode == PROBE_PING_SACK && settings->protocol != PROBE_TCP)
        return error_set(err, E_INVALID, "mode", "SACK is a mode of TCP");
    if (settings->mode == PROBE_PING_SACK && settings->count > SESSION_PROBES)
        return error_set(err, E_RANGE, "count", "must be at most %u in SACK mode", SESSION_PROBES);
    if (settings->count < 1 || settings->count > LIMIT_STREAM_PROBES)
        return error_set(err, E_RANGE, "count", "must be from 1 to %u", LIMIT_STREAM_PROBES);
    if (settings->payload_bytes > PROBE_PING_MAX_PAYLOAD)
        return error_set(err, E_RANGE, "payload_bytes", "must be at most %u", PROBE_PING_MAX_PAYLOAD);
    if (settings->rate_pps > 1000)
        return error_set(err, E_RANGE, "rate_pps", "must be at most 1000");
    if (settings->gap_ns && (settings->gap_ns < CLOCK_MS || settings->gap_ns > 3600 * CLOCK_S))
        return error_set(err, E_RANGE, "gap_ns", "must be from 1 ms to 1 h");
    if (settings->ceiling_ns < 100 * CLOCK_MS || settings->ceiling_ns > 3600 * CLOCK_S)
        return error_set(err, E_RANGE, "ceiling_ns", "must be from 100 ms to 1 h");
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    return 0;
}

size_t probe_ping_bytes(const struct probe_ping_settings *settings)
{
    return sizeof(struct probe_ping_result) + settings->count * sizeof(struct probe_ping_probe);
}

/* Probes that may await an answer at once. At a fixed rate that is less than all of a long stream. */
static uint32_t reserved(const struct probe_ping_settings *settings)
{
    uint32_t most = settings->rate_pps * (uint32_t)(CEILING_NS / CLOCK_S);
    if (settings->gap_ns)
        most = (uint32_t)(CEILING_NS / settings->gap_ns + 1);
    return most > 0 && most < settings->count ? most : settings->count;
}

static int open_session(struct probe_ping *ping, struct error *err)
{
    struct probe_ping_settings *settings = &ping->settings;
    settings->payload_bytes = settings->payload_bytes > 0 ? settings->payload_bytes : 1;
    ping->session = arena_alloc(ping->arena, sizeof *ping->session);
    if (!ping->session)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    ping->session->src = settings->src;
    ping->session->dst = settings->dst;
    ping->session->stride = (uint16_t)settings->payload_bytes;
    ping->session->planned = (uint16_t)settings->count;
    ping->session->warm_up_ns = settings->is_forced ? FORCED_WARM_UP_NS : WARM_UP_NS;
    ping->session->tos = (uint8_t)(settings->dscp << 2);
    return session_open(ping->session, &ping->round, 0, 0, err);
}

static int open_flow(struct probe_ping *ping, struct error *err)
{
    const struct probe_ping_settings *settings = &ping->settings;
    ping->state = STATE_SENDING;
    ping->flow.match.protocol = settings->protocol;
    ping->flow.match.has_port_per_probe = settings->protocol == PROBE_TCP;
    ping->flow.match.src = settings->src;
    ping->flow.match.dst = settings->dst;
    ping->flow.match.payload_size = settings->payload_bytes;
    return flow_open(&ping->round, &ping->flow, 0, (uint16_t)(settings->flow_seed >> 16), settings->flow_seed, err);
}

int probe_ping_start(struct probe_engine *engine, const struct probe_ping_settings *settings, struct arena *arena,
                     probe_ping_fn *progress, probe_ping_fn *done, void *user, struct probe_ping **ret_ping,
                     struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct probe_ping_result *result = arena_alloc(arena, probe_ping_bytes(settings)); /* its probes behind it */
    if (!result)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    struct probe_ping *ping = round_new(engine, reserved(settings), step, err);
    if (!ping)
        return -E_LIMIT;
    ping->settings = *settings;
    ping->arena = arena;
    ping->progress = progress;
    ping->done = done;
    ping->user = user;
    ping->result = result;
    ping->result->start_ns = probe_engine_mono_ns(engine);
    ping->result->start_wall_ns = probe_engine_wall_ns(engine);
    ping->result->probe_count = settings->count;
    ping->result->probes = probe_at(ping, 0);
    ping->due_ns = ping->result->start_ns;
    rc = settings->mode == PROBE_PING_SACK ? open_session(ping, err) : open_flow(ping, err);
    if (rc) {
        round_free(&ping->round);
        return rc;
    }
    *ret_ping = ping;
    return 0;
}

const struct probe_ping_result *probe_ping_result(struct probe_ping *ping)
{
    update_result(ping);
    return ping->result;
}

void probe_ping_finish(struct probe_ping *ping)
{
    int64_t now = probe_engine_mono_ns(ping->round.engine);
    end(ping, now, now - (ping->max_rtt_ns > 0 ? 2 * ping->max_rtt_ns : CLOCK_S));
}

void probe_ping_stop(struct probe_ping *ping)
{
    forget(ping);
}
