#include "probe/train.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "probe/dispersion.h"
#include "probe/refusal.h"
#include "probe/round.h"
#include "probe/session.h"

#define CEILING_NS (20 * CLOCK_S)
#define PAIRS 60u
#define TRAINS 3u
#define TRAIN_PACKETS 20u
#define PAIR_GAP_NS (8 * CLOCK_MS)   /* between pairs, and as much again at random */
#define STREAM_PACKETS 48u           /* of a rate that is tried, at least */
#define STREAM_MOST 160u
#define SESSION_PACKETS 40u          /* of a stream in a session: fits the window that hosts begin with */
#define STREAM_LEAST_NS (12 * CLOCK_MS)  /* shorter streams tell no trend */
#define SESSION_LEAST_NS (30 * CLOCK_MS) /* those of few packets neither */
#define STREAM_STEP_NS CLOCK_MS
#define RESOLUTION 0.05              /* of the available bandwidth, by the capacity */
#define MOST_LOSS 0.1                /* of a stream that is not too fast */
#define STAMP_NS 2000.0              /* error of the distance of two stamps */
#define DOUBT 0.2                    /* error of a capacity that no pair agrees on, by the capacity */
#define SPREAD 1.5                   /* arrivals further apart than that by what they left tell of a link */
#define NOISE_NS (50 * CLOCK_US)
#define ANSWER_NS (150 * CLOCK_MS)   /* for an answer, beyond two round trip times */
#define FIRST_ANSWER_NS (2 * CLOCK_S)
#define PROBE_TTL 64u
#define TCP_BYTES 32u                /* header with timestamps */

const char *const probe_train_status_texts[] = {
    "",
    "The target does not answer",
    "The target does not support SACK",
    "The path is faster than packets leave this machine",
    "There is too much loss or other traffic to tell",
    "Could not send",
};

enum burst_kind { BURST_PAIRS, BURST_TRAIN, BURST_STREAM };
enum state { STATE_OPENING, STATE_SENDING, STATE_WAITING };

/* Packets that belong together; a schedule by their place in it. */
struct burst {
    enum burst_kind kind;
    uint32_t first, count, sent; /* packets */
    int64_t start_ns, last_sent_ns;
    int64_t interval_ns;         /* of a stream */
};

struct probe_train {
    struct probe_round round; /* first member */
    enum state state;
    struct probe_train_settings settings;
    struct arena *arena;
    probe_train_fn *done;
    void *user;
    struct probe_train_result *result; /* in the arena, like all below */
    struct probe_flow flow;            /* ICMP */
    struct session *session;           /* TCP: one after the other; NULL = ICMP */
    uint32_t session_first;            /* packet that was the session's first */
    int64_t *tx_ns, *rx_ns;            /* by packet */
    uint32_t sent;
    struct burst burst;
    uint32_t pairs, trains;            /* done */
    double low_bps, high_bps, rate_bps; /* of the search for what is free */
    bool is_unclear;                   /* the last stream was */
    int64_t max_rtt_ns;
    uint32_t answers;                  /* to this burst */
    double train_bps_sum;
    uint32_t trains_told;
    struct rng rng;
};

_Static_assert(sizeof(struct probe_train) <= ROUND_BYTES, "a train fits a slot");
_Static_assert(PROBE_TRAIN_PACKETS <= SESSION_PROBES, "every packet has its offset");

void probe_train_defaults(struct probe_train_settings *settings)
{
    *settings = (struct probe_train_settings){.packet_bytes = 1500, .ceiling_ns = CEILING_NS};
}

static double bits(const struct probe_train *train)
{
    return 8.0 * train->settings.packet_bytes;
}

static uint32_t header_bytes(const struct probe_train *train)
{
    uint32_t ip = train->settings.dst.sa.sa_family == AF_INET6 ? 40 : 20;
    return train->settings.protocol == PROBE_TCP ? ip + TCP_BYTES : ip + PACKET_ICMP_HEADER_BYTES;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void forget(struct probe_train *train)
{
    if (train->session)
        session_close(train->session);
    flow_close(&train->flow);
    round_free(&train->round);
}

static void end(struct probe_train *train)
{
    struct probe_train_result *result = train->result;
    probe_train_fn *done = train->done;
    void *user = train->user;
    result->sent = train->sent;
    result->sent_bytes = (uint64_t)train->sent * train->settings.packet_bytes;
    for (uint32_t i = 0; i < train->sent; i++)
        result->received += train->rx_ns[i] != 0;
    result->end_ns = probe_engine_mono_ns(train->round.engine);
    forget(train);
    done(user, result);
}

static void end_as(struct probe_train *train, enum probe_train_status status)
{
    if (isnan(train->result->capacity_bps))
        train->result->status = status;
    end(train);
}

/* --- capacity ----------------------------------------------------------------------------------------------------- */

static size_t collect_pairs(const struct probe_train *train, struct dispersion_pair *pairs)
{
    size_t count = 0;
    for (uint32_t i = 0; i + 1 < 2 * train->pairs; i += 2) {
        struct dispersion_pair pair = {.in_ns = train->tx_ns[i + 1] - train->tx_ns[i],
                                       .out_ns = train->rx_ns[i + 1] - train->rx_ns[i]};
        if (train->rx_ns[i] && train->rx_ns[i + 1] && pair.out_ns > 0 && pair.in_ns >= 0)
            pairs[count++] = pair;
    }
    return count;
}

/* False when there is nothing more to measure; status tells why. */
static bool find_capacity(struct probe_train *train)
{
    struct dispersion_pair pairs[PAIRS];
    struct dispersion_mode mode;
    struct probe_train_result *result = train->result;
    size_t count = collect_pairs(train, pairs);
    if (train->trains_told)
        result->dispersion_bps = train->train_bps_sum / train->trains_told;
    double widest = train->trains_told ? bits(train) * 1e9 / result->dispersion_bps * 1.1 : 0;
    if (!dispersion_find_mode(pairs, count, widest, &mode)) {
        result->status = PROBE_TRAIN_UNCLEAR;
        return false;
    }
    result->capacity_bps = bits(train) * 1e9 / mode.out_ns;
    /* A mode that few agree on may be one that other traffic has made. */
    double doubt = DOUBT * (1 - (double)mode.count / (double)count);
    result->capacity_error_bps = result->capacity_bps * ((mode.spread_ns + STAMP_NS) / mode.out_ns + doubt);
    result->status = mode.out_ns < SPREAD * mode.in_ns ? PROBE_TRAIN_TOO_FAST : PROBE_TRAIN_OK;
    return result->status == PROBE_TRAIN_OK;
}

static void note_train(struct probe_train *train)
{
    const struct burst *burst = &train->burst;
    int64_t first = 0, last = 0;
    uint32_t count = 0;
    for (uint32_t i = burst->first; i < burst->first + burst->count; i++) {
        if (!train->rx_ns[i])
            continue;
        first = first ? first : train->rx_ns[i];
        last = train->rx_ns[i];
        count++;
    }
    if (count < burst->count / 2 || last <= first)
        return;
    train->train_bps_sum += bits(train) * 1e9 * (count - 1) / (double)(last - first);
    train->trains_told++;
}

/* --- what is free ------------------------------------------------------------------------------------------------- */

static void note_stream(struct probe_train *train)
{
    const struct burst *burst = &train->burst;
    int64_t delays[STREAM_MOST] = {0};
    size_t count = 0;
    for (uint32_t i = burst->first; i < burst->first + burst->count && count < STREAM_MOST; i++) {
        if (train->rx_ns[i])
            delays[count++] = train->rx_ns[i] - train->tx_ns[i];
    }
    enum dispersion_trend trend = dispersion_find_trend(
        delays, count, (size_t)(burst->interval_ns * burst->count / STREAM_STEP_NS), NOISE_NS);
    if ((double)count < (1 - MOST_LOSS) * burst->count)
        trend = DISPERSION_RISING;
    if (trend == DISPERSION_UNCLEAR && !train->is_unclear) {
        train->is_unclear = true; /* once more */
        return;
    }
    train->is_unclear = false;
    if (trend == DISPERSION_FLAT)
        train->low_bps = train->rate_bps;
    else
        train->high_bps = train->rate_bps;
}

/* The next rate to try; false when what is free is known as well as can be, or cannot be known. */
static bool plan_stream(struct probe_train *train)
{
    struct probe_train_result *result = train->result;
    double capacity = result->capacity_bps;
    train->rate_bps = (train->low_bps + train->high_bps) / 2;
    double least_ns = (double)(train->session ? SESSION_LEAST_NS : STREAM_LEAST_NS);
    double most = (double)STREAM_MOST * bits(train) * 1e9 / least_ns;
    double needed = ceil(least_ns * train->rate_bps / 1e9 / bits(train));
    uint32_t least = train->session ? SESSION_PACKETS : STREAM_PACKETS;
    uint32_t count = needed > least ? (uint32_t)needed : least;
    if (train->session && count > SESSION_PACKETS)
        return false;
    bool is_fine = train->high_bps - train->low_bps < RESOLUTION * capacity;
    if (!is_fine && train->rate_bps > most)
        return false; /* the path is too fast for streams of this length */
    if (is_fine || train->sent + count > PROBE_TRAIN_PACKETS) {
        result->available_bps = train->rate_bps;
        result->available_error_bps = (train->high_bps - train->low_bps) / 2 + RESOLUTION / 2 * capacity;
        return false;
    }
    train->burst = (struct burst){.kind = BURST_STREAM,
                                  .first = train->sent,
                                  .count = count,
                                  .interval_ns = (int64_t)(bits(train) * 1e9 / train->rate_bps)};
    return true;
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

static int open_session(struct probe_train *train, struct error *err)
{
    struct session *session = train->session;
    session_close(session);
    *session = (struct session){.src = train->settings.src,
                                .dst = train->settings.dst,
                                .stride = (uint16_t)(train->settings.packet_bytes - header_bytes(train)),
                                .tos = (uint8_t)(train->settings.dscp << 2)};
    train->session_first = train->sent;
    train->state = STATE_OPENING;
    return session_open(session, &train->round, 0, 0, err);
}

/* --- one burst after the other ------------------------------------------------------------------------------------ */

/* What comes next; false = nothing. */
static bool plan_burst(struct probe_train *train)
{
    if (train->pairs < PAIRS) {
        train->burst = (struct burst){.kind = BURST_PAIRS, .first = train->sent, .count = 2 * (PAIRS - train->pairs)};
        return true;
    }
    if (train->trains < TRAINS) {
        train->burst = (struct burst){.kind = BURST_TRAIN, .first = train->sent, .count = TRAIN_PACKETS};
        return true;
    }
    if (isnan(train->result->capacity_bps) && !find_capacity(train))
        return false;
    if (train->settings.is_capacity_only)
        return false;
    if (train->high_bps == 0)
        train->high_bps = train->result->capacity_bps;
    return plan_stream(train);
}

/* Sessions take as much as the target's window, and then another is opened. */
static bool fits_session(struct probe_train *train)
{
    uint32_t room = session_room(train->session, train->session->stride) & ~1u;
    if (train->session->state == SESSION_OPEN && train->burst.kind == BURST_PAIRS && room >= 10 && room < train->burst.count)
        train->burst.count = room;
    return train->session->state == SESSION_OPEN && room >= train->burst.count;
}

static void begin_burst(struct probe_train *train, int64_t now)
{
    if (!plan_burst(train)) {
        end(train);
        return;
    }
    if (train->session && !fits_session(train)) {
        bool is_fresh = train->session->state == SESSION_OPEN && train->session->sent == 0;
        if (is_fresh || open_session(train, NULL) != 0) {
            end_as(train, PROBE_TRAIN_UNCLEAR); /* its window is smaller than what has to be in it */
            return;
        }
        round_wake_at(&train->round, 0);
        return;
    }
    train->state = STATE_SENDING;
    train->answers = 0;
    train->burst.start_ns = now + PAIR_GAP_NS;
    round_wake_at(&train->round, train->burst.start_ns);
}

static void finish_burst(struct probe_train *train, int64_t now)
{
    const struct burst *burst = &train->burst;
    if (train->answers == 0) {
        end_as(train, train->result->error_text ? PROBE_TRAIN_UNSENT : PROBE_TRAIN_SILENT);
        return;
    }
    switch (burst->kind) {
    case BURST_PAIRS:
        train->pairs += burst->count / 2;
        break;
    case BURST_TRAIN:
        note_train(train);
        train->trains++;
        break;
    case BURST_STREAM:
        note_stream(train);
        break;
    }
    begin_burst(train, now);
}

static int64_t due_of(struct probe_train *train, uint32_t i)
{
    struct burst *burst = &train->burst;
    if (burst->kind == BURST_STREAM)
        return burst->start_ns + i * burst->interval_ns;
    if (burst->kind == BURST_TRAIN || i % 2 == 1)
        return burst->start_ns;
    return i == 0 ? burst->start_ns : burst->last_sent_ns + PAIR_GAP_NS + (int64_t)rng_below(&train->rng, PAIR_GAP_NS);
}

static bool send_packet(struct probe_train *train)
{
    if (train->session)
        return session_send(train->session, train->sent, PROBE_TTL, train->session->stride);
    struct probe_send send = {.offset = train->sent,
                              .probe = train->sent,
                              .ttl = PROBE_TTL,
                              .tos = (uint8_t)(train->settings.dscp << 2)};
    return flow_send(&train->flow, &send);
}

static void send_burst(struct probe_train *train, int64_t now)
{
    struct burst *burst = &train->burst;
    int64_t due = due_of(train, burst->sent);
    while (burst->sent < burst->count && due <= now) {
        if (!send_packet(train)) {
            round_wake_at(&train->round, now);
            return;
        }
        train->sent++;
        burst->sent++;
        burst->last_sent_ns = now;
        if (burst->sent < burst->count)
            due = due_of(train, burst->sent);
    }
    if (burst->sent == burst->count) {
        train->state = STATE_WAITING;
        due = now + (train->max_rtt_ns ? 2 * train->max_rtt_ns + ANSWER_NS : FIRST_ANSWER_NS);
    } else if (burst->kind == BURST_STREAM && burst->interval_ns < STREAM_STEP_NS / 2 && due < now + STREAM_STEP_NS) {
        due = now + STREAM_STEP_NS;
    }
    round_wake_sharply_at(&train->round, due);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* False when the round has ended. */
static bool step_session(struct probe_train *train, int64_t now)
{
    session_step(train->session, now);
    switch (train->session->state) {
    case SESSION_NEW:
    case SESSION_OPENING:
        round_wake_at(&train->round, session_due_ns(train->session));
        return false;
    case SESSION_OPEN:
        if (train->session->has_sack)
            return true;
        end_as(train, PROBE_TRAIN_NO_SACK);
        return false;
    case SESSION_UNSENT:
        train->result->error_text = arena_strdup(train->arena, refusal_text(train->session->sys_errno, &train->settings.src));
        end_as(train, PROBE_TRAIN_UNSENT);
        return false;
    case SESSION_REFUSED:
    case SESSION_SILENT:
    case SESSION_UNREACHABLE:
    case SESSION_RESET:
    case SESSION_FINISHED:
        break;
    }
    end_as(train, PROBE_TRAIN_SILENT);
    return false;
}

static void step_timer(struct probe_train *train, int64_t now)
{
    if (now - train->result->start_ns > train->settings.ceiling_ns) {
        end_as(train, PROBE_TRAIN_UNCLEAR);
        return;
    }
    if (train->session && !step_session(train, now))
        return;
    switch (train->state) {
    case STATE_OPENING:
        begin_burst(train, now);
        break;
    case STATE_SENDING:
        send_burst(train, now);
        break;
    case STATE_WAITING:
        finish_burst(train, now);
        break;
    }
}

static void step_answer(struct probe_train *train, const struct probe_answer *answer)
{
    uint32_t packet = answer->offset;
    if (train->session) {
        enum session_news news = session_take(train->session, answer, &packet);
        packet += train->session_first;
        if (news != SESSION_ANSWER && (news != SESSION_NOTHING || session_due_ns(train->session) == 0))
            round_wake_at(&train->round, 0);
        if (news != SESSION_ANSWER)
            return;
    } else if (answer->kind != PACKET_ECHO_REPLY) {
        return;
    }
    if (packet >= train->sent || !train->tx_ns[packet] || train->rx_ns[packet] || packet < train->burst.first)
        return;
    train->rx_ns[packet] = answer->packet->rx_ns;
    int64_t rtt = train->rx_ns[packet] - train->tx_ns[packet];
    train->max_rtt_ns = rtt > train->max_rtt_ns ? rtt : train->max_rtt_ns;
    train->answers++;
    if (train->state == STATE_WAITING && train->answers == train->burst.count)
        round_wake_at(&train->round, 0);
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    struct probe_train *train = (struct probe_train *)round;
    if (event->kind != PROBE_EVENT_TIMER && event->kind != PROBE_EVENT_ANSWER && event->probe & SESSION_OWN) {
        session_event(train->session, event);
        round_wake_at(round, 0);
        return;
    }
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer(train, event->at_ns);
        break;
    case PROBE_EVENT_SENT:
    case PROBE_EVENT_STAMP:
        train->tx_ns[event->probe] = event->at_ns;
        break;
    case PROBE_EVENT_REFUSED:
        if (!train->result->error_text)
            train->result->error_text = arena_strdup(train->arena, refusal_text(event->sys_errno, &train->settings.src));
        break;
    case PROBE_EVENT_ANSWER:
        step_answer(train, event->answer);
        break;
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static int check(const struct probe_train_settings *settings, struct error *err)
{
    if (!sock_is_set(&settings->dst))
        return error_set(err, E_REQUIRED, "dst", "an address to probe is needed");
    if (settings->protocol == PROBE_UDP)
        return error_set(err, E_NOT_SUPPORTED, "protocol", "a train is of ICMP or TCP: nobody has to answer UDP");
    if (settings->protocol == PROBE_TCP && sock_port(&settings->dst) == 0)
        return error_set(err, E_REQUIRED, "dst", "a TCP port to probe is needed");
    if (sock_is_set(&settings->src) && settings->src.sa.sa_family != settings->dst.sa.sa_family)
        return error_set(err, E_INVALID, "src", "the source address is not of the target's family");
    if (settings->packet_bytes < 200 || settings->packet_bytes > 1500)
        return error_set(err, E_RANGE, "packet_bytes", "must be from 200 to 1500");
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    if (settings->ceiling_ns < CLOCK_S || settings->ceiling_ns > 300 * CLOCK_S)
        return error_set(err, E_RANGE, "ceiling_ns", "must be from 1 s to 300 s");
    return 0;
}

static int open_lane(struct probe_train *train, struct error *err)
{
    if (train->session)
        return open_session(train, err);
    train->flow.match = (struct match_flow){.protocol = PROBE_ICMP,
                                            .src = train->settings.src,
                                            .dst = train->settings.dst,
                                            .payload_size = train->settings.packet_bytes - header_bytes(train)};
    return flow_open(&train->round, &train->flow, 0, 0, 0, err);
}

int probe_train_start(struct probe_engine *engine, const struct probe_train_settings *settings, struct arena *arena,
                      probe_train_fn *done, void *user, struct probe_train **ret_train, struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct probe_train_result *result = arena_alloc(arena, sizeof *result);
    int64_t *times = arena_alloc_array(arena, 2 * PROBE_TRAIN_PACKETS, sizeof *times);
    struct session *session = settings->protocol == PROBE_TCP ? arena_alloc(arena, sizeof *session) : NULL;
    if (!result || !times || (settings->protocol == PROBE_TCP && !session))
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    struct probe_train *train = round_new(engine, STREAM_MOST, step, err);
    if (!train)
        return -E_LIMIT;
    train->settings = *settings;
    if (session && settings->packet_bytes - header_bytes(train) > SESSION_MAX_STRIDE)
        train->settings.packet_bytes = (uint16_t)(SESSION_MAX_STRIDE + header_bytes(train));
    train->arena = arena;
    train->done = done;
    train->user = user;
    train->result = result;
    train->tx_ns = times;
    train->rx_ns = times + PROBE_TRAIN_PACKETS;
    train->session = session;
    result->start_ns = probe_engine_mono_ns(engine);
    result->start_wall_ns = probe_engine_wall_ns(engine);
    result->capacity_bps = result->available_bps = result->dispersion_bps = (double)NAN;
    result->capacity_error_bps = result->available_error_bps = (double)NAN;
    rng_seed(&train->rng, (uint64_t)result->start_ns);
    rc = open_lane(train, err);
    if (rc) {
        forget(train);
        return rc;
    }
    *ret_train = train;
    return 0;
}

void probe_train_finish(struct probe_train *train)
{
    end_as(train, PROBE_TRAIN_UNCLEAR);
}

void probe_train_stop(struct probe_train *train)
{
    forget(train);
}
