#include "probe/mtu.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "probe/refusal.h"
#include "probe/round.h"
#include "probe/trace.h"

#define ATTEMPTS 3u
#define WAIT_NS CLOCK_S
#define EXTRA_WAIT_NS (150 * CLOCK_MS) /* beyond two round trip times */
#define MIN4 576u  /* what every host must be able to take whole (RFC 1122) */
#define MIN6 1280u
#define PROBE_TTL 64u
#define WALK_TTLS 32u
#define WALK_ATTEMPTS 2u
#define MAX_SENT 192u
#define PAYLOAD_BYTES 8u

/* Of Ethernet, with PPPoE, IP in IP, GRE, IPsec, VXLAN, WireGuard, LTE, clouds...; of jumbo frames, FDDI, and the rest. */
static const uint16_t usual[] = {576,  1006, 1280, 1300, 1350, 1360, 1372, 1380, 1390, 1398, 1400, 1410, 1414, 1420, 1426, 1430,
                                 1436, 1440, 1446, 1450, 1454, 1458, 1460, 1464, 1468, 1472, 1476, 1480, 1484, 1488, 1492, 1496,
                                 1500, 2002, 2272, 4352, 4464, 8166, 8500, 8950, 9000};
#define USUAL (sizeof usual / sizeof usual[0])

enum state { STATE_SEARCHING, STATE_WALKING };

/* A size that is being tried. */
struct ask {
    uint16_t size; /* 0 = none */
    uint8_t attempts;
    int64_t asked_ns; /* 0 = to be sent */
};

struct probe_mtu {
    struct probe_round round; /* first member */
    enum state state;
    struct probe_mtu_settings settings;
    struct probe_flow flow;
    struct arena *arena;
    probe_mtu_fn *done;
    void *user;
    struct probe_mtu_result *result; /* in the arena */
    struct ask small, large;
    uint16_t good, bad;   /* largest that arrived (0 = none), smallest that did not */
    uint16_t hint;        /* to be tried next; 0 = none */
    uint16_t silent;      /* the smallest that did not without anybody saying that it is too big; 0 = none */
    bool is_usual_done;   /* no usual size is left between good and bad */
    int64_t rtt_ns;
    uint32_t sent;
    uint16_t *sizes;      /* by number of the probe, in the arena */
    int64_t *tx_ns;
    bool *stamped;        /* its transmit stamp came: it has left this host */
    bool has_stamps;
    bool is_doubtful;     /* a size counts as too large although not all its probes have left this host */
    uint32_t walk_first;  /* number of the first probe of the walk */
    uint32_t walk_sent;
    int64_t walk_ns;
};

_Static_assert(sizeof(struct probe_mtu) <= ROUND_BYTES, "a path MTU search fits a slot");
_Static_assert(MAX_SENT < MATCH_FLOW_PROBES, "every probe has its offset");

void probe_mtu_defaults(struct probe_mtu_settings *settings)
{
    *settings = (struct probe_mtu_settings){.max_bytes = 1500, .wait_ns = WAIT_NS};
}

static uint16_t smallest(const struct probe_mtu *mtu)
{
    return mtu->settings.dst.sa.sa_family == AF_INET6 ? MIN6 : MIN4;
}

static int64_t wait_ns(const struct probe_mtu *mtu)
{
    return mtu->rtt_ns ? 2 * mtu->rtt_ns + EXTRA_WAIT_NS : mtu->settings.wait_ns;
}

static void forget(struct probe_mtu *mtu)
{
    flow_close(&mtu->flow);
    round_free(&mtu->round);
}

static void end(struct probe_mtu *mtu)
{
    struct probe_mtu_result *result = mtu->result;
    probe_mtu_fn *done = mtu->done;
    void *user = mtu->user;
    if (mtu->is_doubtful) { /* this host dropped probes itself: nothing can be said */
        mtu->good = 0;
        result->is_limit = result->is_black_hole = false;
        result->black_hole_ttl = 0;
        result->black_hole_after = (union sock_addr){0};
    }
    result->mtu = mtu->good;
    result->sent = mtu->sent;
    result->end_ns = probe_engine_mono_ns(mtu->round.engine);
    forget(mtu);
    done(user, result);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* False when the transmit buffer is full. */
static bool send_size(struct probe_mtu *mtu, uint16_t size, uint8_t ttl)
{
    struct probe_send send = {.offset = mtu->sent,
                              .probe = mtu->sent,
                              .ttl = ttl,
                              .tos = (uint8_t)(mtu->settings.dscp << 2),
                              .size = size};
    if (!flow_send(&mtu->flow, &send))
        return false;
    mtu->sizes[mtu->sent++] = size;
    return true;
}

static bool advance(struct probe_mtu *mtu, struct ask *ask, int64_t now, int64_t *ret_due)
{
    if (ask->size == 0)
        return true;
    if (ask->asked_ns && ask->asked_ns + wait_ns(mtu) <= now && ask->attempts < ATTEMPTS)
        ask->asked_ns = 0;
    if (!ask->asked_ns) {
        if (!send_size(mtu, ask->size, PROBE_TTL))
            return false;
        ask->asked_ns = now;
        ask->attempts++;
    }
    int64_t due = ask->asked_ns + wait_ns(mtu);
    *ret_due = due < *ret_due ? due : *ret_due;
    return true;
}

static bool is_given_up(const struct probe_mtu *mtu, const struct ask *ask, int64_t now)
{
    return ask->size && ask->asked_ns && ask->attempts >= ATTEMPTS && ask->asked_ns + wait_ns(mtu) <= now;
}

/* --- the search --------------------------------------------------------------------------------------------------- */

static uint16_t middle_usual(const struct probe_mtu *mtu)
{
    size_t low = 0, high = USUAL;
    while (low < USUAL && usual[low] <= mtu->good)
        low++;
    while (high > low && usual[high - 1] >= mtu->bad)
        high--;
    return low < high ? usual[low + (high - low) / 2] : 0;
}

static void ask_next(struct probe_mtu *mtu)
{
    uint16_t size = mtu->hint > mtu->good && mtu->hint < mtu->bad ? mtu->hint : 0;
    mtu->hint = 0;
    if (!size && !mtu->is_usual_done)
        size = middle_usual(mtu);
    if (!size && !mtu->is_usual_done) {
        mtu->is_usual_done = true;
        size = (uint16_t)(mtu->good + 1); /* mostly it is the usual size itself */
    } else if (!size) {
        size = (uint16_t)(mtu->good + (mtu->bad - mtu->good) / 2);
    }
    mtu->large = (struct ask){.size = size};
}

/* A packet of that size did not arrive. */
static void note_bad(struct probe_mtu *mtu, uint16_t size, bool is_silent)
{
    if (size >= mtu->bad || size <= mtu->good)
        return;
    mtu->bad = size;
    if (is_silent)
        mtu->silent = size;
    mtu->result->is_limit = true;
    mtu->result->is_local = false;
    if (mtu->large.size >= size)
        mtu->large.size = 0;
}

static void note_good(struct probe_mtu *mtu, uint16_t size)
{
    if (size > mtu->good && size < mtu->bad)
        mtu->good = size;
    if (size == mtu->result->told && size < mtu->bad)
        mtu->bad = (uint16_t)(size + 1); /* as the router said; hosts go by that */
    if (mtu->small.size && mtu->small.size <= size)
        mtu->small.size = 0;
    if (mtu->large.size && mtu->large.size <= size)
        mtu->large.size = 0;
}

/* --- where the black hole is -------------------------------------------------------------------------------------- */

static bool walk(struct probe_mtu *mtu, int64_t now)
{
    while (mtu->walk_sent < WALK_TTLS * WALK_ATTEMPTS && mtu->sent < MAX_SENT) {
        if (!send_size(mtu, mtu->silent, (uint8_t)(1 + mtu->walk_sent % WALK_TTLS)))
            return false;
        mtu->walk_sent++;
        mtu->walk_ns = now;
    }
    return true;
}

static void walked(struct probe_mtu *mtu, const struct probe_answer *answer)
{
    uint32_t ttl = 1 + (answer->offset - mtu->walk_first) % WALK_TTLS;
    if (answer->kind != PACKET_TTL_EXCEEDED || ttl <= mtu->result->black_hole_ttl)
        return;
    mtu->result->black_hole_ttl = (uint8_t)ttl;
    mtu->result->black_hole_after = answer->packet->src;
}

/* A packet of a size that was held for too large has arrived: chance had taken those before it. Back to the search. */
static void refute(struct probe_mtu *mtu)
{
    uint16_t told = mtu->result->told;
    mtu->state = STATE_SEARCHING;
    mtu->bad = (uint16_t)((told >= mtu->silent ? told : mtu->settings.max_bytes) + 1);
    mtu->good = mtu->silent;
    mtu->silent = 0;
    mtu->is_usual_done = false;
    mtu->hint = (uint16_t)(mtu->bad - 1);
    mtu->large.size = 0;
    mtu->walk_sent = 0;
    mtu->walk_ns = 0;
    mtu->result->is_limit = mtu->bad <= mtu->settings.max_bytes;
    mtu->result->is_black_hole = false;
    mtu->result->black_hole_ttl = 0;
    mtu->result->black_hole_after = (union sock_addr){0};
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* All probes of that size. */
static bool has_left(const struct probe_mtu *mtu, uint16_t size)
{
    for (uint32_t i = 0; mtu->has_stamps && i < mtu->sent; i++) {
        if (mtu->sizes[i] == size && !mtu->stamped[i])
            return false;
    }
    return true;
}

/* True when the search is over. */
static bool search(struct probe_mtu *mtu, int64_t now, int64_t *ret_due)
{
    if (is_given_up(mtu, &mtu->small, now))
        return true; /* not even that arrives: nothing can be said */
    if (mtu->good && is_given_up(mtu, &mtu->large, now)) {
        mtu->is_doubtful |= !has_left(mtu, mtu->large.size);
        note_bad(mtu, mtu->large.size, true);
    }
    if (mtu->sent + 2 * ATTEMPTS >= MAX_SENT)
        return true;
    if (mtu->good && mtu->good + 1 >= mtu->bad)
        return true;
    if (!mtu->large.size && mtu->bad > smallest(mtu))
        ask_next(mtu);
    if (!advance(mtu, &mtu->small, now, ret_due) || !advance(mtu, &mtu->large, now, ret_due))
        *ret_due = now;
    return false;
}

static void step_timer(struct probe_mtu *mtu, int64_t now)
{
    int64_t due = PROBE_IO_NEVER;
    switch (mtu->state) {
    case STATE_SEARCHING:
        if (mtu->result->error_text) {
            end(mtu);
            return;
        }
        if (!search(mtu, now, &due))
            break;
        mtu->result->is_black_hole = mtu->good && mtu->silent;
        if (!mtu->result->is_black_hole) {
            end(mtu);
            return;
        }
        mtu->state = STATE_WALKING;
        mtu->walk_first = mtu->sent;
        /* fall through */
    case STATE_WALKING:
        due = walk(mtu, now) ? mtu->walk_ns + wait_ns(mtu) : now;
        if (mtu->walk_ns && mtu->walk_ns + wait_ns(mtu) <= now) {
            end(mtu);
            return;
        }
        break;
    }
    round_wake_at(&mtu->round, due);
}

static void step_answer(struct probe_mtu *mtu, const struct probe_answer *answer)
{
    if (answer->offset >= mtu->sent || mtu->tx_ns[answer->offset] == 0)
        return;
    uint16_t size = mtu->sizes[answer->offset];
    int family = mtu->settings.dst.sa.sa_family;
    int64_t rtt = answer->packet->rx_ns - mtu->tx_ns[answer->offset];
    round_wake_at(&mtu->round, 0);
    bool is_arrival = answer->kind == PACKET_ECHO_REPLY || answer->tcp || answer->udp ||
                      (sock_same_ip(&answer->packet->src, &mtu->settings.dst) && answer->kind != PACKET_TOO_BIG);
    if (mtu->state == STATE_WALKING) {
        if (is_arrival && size == mtu->silent)
            refute(mtu);
        else
            walked(mtu, answer);
        return;
    }
    if (is_arrival) {
        mtu->rtt_ns = rtt > mtu->rtt_ns ? rtt : mtu->rtt_ns;
        note_good(mtu, size);
    } else if (answer->kind == PACKET_TOO_BIG) {
        mtu->result->limited_by = answer->packet->src;
        mtu->result->told = (uint16_t)(answer->icmp->mtu < UINT16_MAX ? answer->icmp->mtu : 0);
        if (answer->icmp->mtu >= smallest(mtu) && answer->icmp->mtu < size)
            mtu->hint = mtu->result->told;
        note_bad(mtu, size, false);
    } else if (answer->kind == PACKET_UNREACHABLE && !packet_is_port_unreachable(family, answer->icmp)) {
        mtu->small = (struct ask){.size = mtu->small.size, .attempts = ATTEMPTS, .asked_ns = 1}; /* whatever its size */
    }
}

static void step_refused(struct probe_mtu *mtu, uint32_t probe, int sys_errno)
{
    if (sys_errno == EMSGSIZE) {
        note_bad(mtu, mtu->sizes[probe], false);
        mtu->result->is_local = true;
    } else if (!mtu->result->error_text) {
        mtu->result->error_text = arena_strdup(mtu->arena, refusal_text(sys_errno, &mtu->settings.src));
    }
    round_wake_at(&mtu->round, 0);
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    struct probe_mtu *mtu = (struct probe_mtu *)round;
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer(mtu, event->at_ns);
        break;
    case PROBE_EVENT_STAMP:
        mtu->stamped[event->probe] = mtu->has_stamps = true;
        mtu->tx_ns[event->probe] = event->at_ns;
        break;
    case PROBE_EVENT_SENT:
        mtu->tx_ns[event->probe] = event->at_ns;
        break;
    case PROBE_EVENT_REFUSED:
        step_refused(mtu, event->probe, event->sys_errno);
        break;
    case PROBE_EVENT_ANSWER:
        step_answer(mtu, event->answer);
        break;
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static int check(const struct probe_mtu_settings *settings, struct error *err)
{
    if (!sock_is_set(&settings->dst))
        return error_set(err, E_REQUIRED, "dst", "an address to probe is needed");
    if (settings->protocol == PROBE_TCP && sock_port(&settings->dst) == 0)
        return error_set(err, E_REQUIRED, "dst", "a TCP port to probe is needed");
    if (sock_is_set(&settings->src) && settings->src.sa.sa_family != settings->dst.sa.sa_family)
        return error_set(err, E_INVALID, "src", "the source address is not of the target's family");
    uint32_t least = settings->dst.sa.sa_family == AF_INET6 ? MIN6 : MIN4;
    if (settings->max_bytes < least || settings->max_bytes > PROBE_MTU_MAX)
        return error_set(err, E_RANGE, "max_bytes", "must be from %u to %u", least, PROBE_MTU_MAX);
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    if (settings->wait_ns < CLOCK_MS || settings->wait_ns > 10 * CLOCK_S)
        return error_set(err, E_RANGE, "wait_ns", "must be from 1 ms to 10 s");
    return 0;
}

static int open_flow(struct probe_mtu *mtu, struct error *err)
{
    enum probe_protocol protocol = mtu->settings.protocol;
    if (protocol == PROBE_UDP && sock_port(&mtu->settings.dst) == 0)
        sock_set_port(&mtu->settings.dst, PROBE_TRACE_UDP_PORT);
    mtu->flow.match = (struct match_flow){.protocol = protocol,
                                          .src = mtu->settings.src,
                                          .dst = mtu->settings.dst,
                                          .payload_size = protocol == PROBE_TCP ? 0 : PAYLOAD_BYTES,
                                          .has_port_per_probe = protocol == PROBE_TCP,
                                          .is_padded = true};
    return flow_open(&mtu->round, &mtu->flow, 0, 0, 0, err);
}

int probe_mtu_start(struct probe_engine *engine, const struct probe_mtu_settings *settings, struct arena *arena,
                    probe_mtu_fn *done, void *user, struct probe_mtu **ret_mtu, struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct probe_mtu_result *result = arena_alloc(arena, sizeof *result);
    uint16_t *sizes = arena_alloc_array(arena, MAX_SENT, sizeof *sizes);
    int64_t *tx_ns = arena_alloc_array(arena, MAX_SENT, sizeof *tx_ns);
    bool *stamped = arena_alloc_array(arena, MAX_SENT, sizeof *stamped);
    if (!result || !sizes || !tx_ns || !stamped)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    struct probe_mtu *mtu = round_new(engine, WALK_TTLS * WALK_ATTEMPTS, step, err);
    if (!mtu)
        return -E_LIMIT;
    mtu->settings = *settings;
    mtu->arena = arena;
    mtu->done = done;
    mtu->user = user;
    mtu->result = result;
    mtu->sizes = sizes;
    mtu->tx_ns = tx_ns;
    mtu->stamped = stamped;
    result->start_ns = probe_engine_mono_ns(engine);
    result->start_wall_ns = probe_engine_wall_ns(engine);
    mtu->bad = (uint16_t)(settings->max_bytes + 1);
    mtu->small.size = smallest(mtu);
    mtu->large.size = settings->max_bytes > smallest(mtu) ? settings->max_bytes : 0;
    rc = open_flow(mtu, err);
    if (rc) {
        forget(mtu);
        return rc;
    }
    *ret_mtu = mtu;
    return 0;
}

void probe_mtu_finish(struct probe_mtu *mtu)
{
    if (mtu->state == STATE_SEARCHING) {
        mtu->good = 0; /* what arrived so far is no limit */
        mtu->result->is_limit = false;
    }
    end(mtu);
}

void probe_mtu_stop(struct probe_mtu *mtu)
{
    forget(mtu);
}
