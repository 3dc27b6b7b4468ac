#include "probe/mode.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "base/clock.h"

#define LEAST_NS (500 * CLOCK_MS)   /* left for SYNs that take the place of SACK */
#define LEAST_COMPARED 20u          /* SYNs to compare with */
#define COMPARE_TAIL_NS CLOCK_S     /* waited for the answer to the last of them */
#define FIRST_RTT_NS (40 * CLOCK_MS) /* while no probe was answered */
#define FAST_LEAST_NS (5 * CLOCK_MS)

enum stage { STAGE_SACK, STAGE_SYN, STAGE_COMPARE };

struct probe_mode {
    struct probe_engine *engine;
    struct probe_mode_settings settings;
    struct arena *arena;
    probe_mode_fn *progress, *done;
    void *user;
    enum stage stage;
    struct probe_ping *ping;                      /* that runs */
    const struct probe_ping_result *sack, *syn;   /* that are over */
    struct probe_mode_decision decision;          /* why SYNs are sent */
    bool is_remembered;                           /* from an earlier round */
    bool is_finishing;
    int64_t start_ns;
    struct probe_mode_result result;
};

/* --- why, in words ------------------------------------------------------------------------------------------------ */

static const char *describe(const struct probe_mode_decision *decision, struct arena *arena)
{
    switch (decision->reason) {
    case PROBE_MODE_ASKED:
        return "This mode was asked for";
    case PROBE_MODE_PREFERRED:
        return "The target answers with SACK";
    case PROBE_MODE_NO_PORT:
        return "There are as many sessions with the target as there can be";
    case PROBE_MODE_REFUSED:
        return "The target refuses connections";
    case PROBE_MODE_SILENT:
        return "The target did not answer the handshake";
    case PROBE_MODE_UNREACHABLE:
        return "An ICMP error answered the handshake";
    case PROBE_MODE_UNSENT:
        return "This machine could not send the handshake";
    case PROBE_MODE_NOT_PERMITTED:
        return "The target does not permit SACK";
    case PROBE_MODE_NO_SACK:
        return decision->has_odd_blocks ? "Something on the way rewrites sequence numbers, but not those in SACK"
                                        : "The target permits SACK, but sent none within a second of the first probe";
    case PROBE_MODE_TOO_FAST:
        return arena_printf(arena,
                            "Something on the way answers for the target: probes came back within %.1f ms, the "
                            "handshake took %.1f ms",
                            decision->first / 1e6, decision->second / 1e6);
    case PROBE_MODE_RESET:
        return "The session was reset";
    case PROBE_MODE_FINISHED:
        return "The target closed the session";
    case PROBE_MODE_INTERFERED:
        return arena_printf(arena, "Something on the way drops SACK probes: %.1f %% of them were lost, %.1f %% of SYNs",
                            decision->first, decision->second);
    }
    return NULL;
}

static const char *age_text(int64_t age_ns, struct arena *arena)
{
    int64_t minutes = age_ns / (60 * CLOCK_S);
    return minutes < 120 ? arena_printf(arena, "%" PRIi64 " min", minutes)
                         : arena_printf(arena, "%" PRIi64 " h", minutes / 60);
}

static void describe_result(struct probe_mode *mode)
{
    struct probe_mode_result *result = &mode->result;
    const char *text = describe(&mode->decision, mode->arena);
    result->reason = mode->decision.reason;
    result->text = text;
    if (mode->is_remembered && text)
        result->text = arena_printf(mode->arena, "%s (found %s ago)", text,
                                    age_text(probe_engine_mono_ns(mode->engine) - mode->decision.at_ns, mode->arena));
    if (mode->decision.reason != PROBE_MODE_INTERFERED)
        return;
    result->interference = text;
    result->sack_loss = mode->decision.first;
    result->syn_loss = mode->decision.second;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void on_progress(void *user, const struct probe_ping_result *ping);
static void on_done(void *user, const struct probe_ping_result *ping);

static int64_t left_ns(const struct probe_mode *mode)
{
    return mode->start_ns + mode->settings.ping.ceiling_ns - probe_engine_mono_ns(mode->engine);
}

static int start_stream(struct probe_mode *mode, enum stage stage, struct error *err)
{
    struct probe_ping_settings ping = mode->settings.ping;
    ping.mode = stage == STAGE_SACK ? PROBE_PING_SACK : PROBE_PING_SYN;
    ping.is_forced = mode->settings.want == PROBE_MODE_SACK;
    if (stage != STAGE_SACK)
        ping.payload_bytes = mode->settings.syn_payload_bytes;
    if (stage == STAGE_COMPARE)
        ping.gap_ns = 0;
    if (stage == STAGE_COMPARE && ping.count > mode->sack->sent)
        ping.count = mode->sack->sent > LEAST_COMPARED ? mode->sack->sent : LEAST_COMPARED;
    ping.ceiling_ns = left_ns(mode);
    int rc = probe_ping_start(mode->engine, &ping, mode->arena, on_progress, on_done, mode, &mode->ping, err);
    if (rc)
        return rc;
    mode->stage = stage;
    if (stage != STAGE_COMPARE)
        mode->result.mode = ping.mode;
    if (stage == STAGE_SYN)
        describe_result(mode); /* for those who watch */
    return 0;
}

static void end(struct probe_mode *mode)
{
    mode->done(mode->user, &mode->result);
}

static double loss_of(const struct probe_ping_result *ping)
{
    return ping->sent ? 100.0 * (ping->sent - ping->received) / ping->sent : (double)NAN;
}

/* --- after the stream in SACK mode -------------------------------------------------------------------------------- */

static enum probe_mode_reason reason_of(enum probe_ping_session session)
{
    switch (session) {
    case PROBE_SESSION_NONE:
    case PROBE_SESSION_OPEN:
        return PROBE_MODE_PREFERRED;
    case PROBE_SESSION_REFUSED:
        return PROBE_MODE_REFUSED;
    case PROBE_SESSION_SILENT:
        return PROBE_MODE_SILENT;
    case PROBE_SESSION_UNREACHABLE:
        return PROBE_MODE_UNREACHABLE;
    case PROBE_SESSION_UNSENT:
        return PROBE_MODE_UNSENT;
    case PROBE_SESSION_NOT_PERMITTED:
        return PROBE_MODE_NOT_PERMITTED;
    case PROBE_SESSION_NO_SACK:
        return PROBE_MODE_NO_SACK;
    case PROBE_SESSION_TOO_FAST:
        return PROBE_MODE_TOO_FAST;
    case PROBE_SESSION_RESET:
        return PROBE_MODE_RESET;
    case PROBE_SESSION_FINISHED:
        return PROBE_MODE_FINISHED;
    }
    return PROBE_MODE_PREFERRED;
}

static bool has_time_to_compare(const struct probe_mode *mode)
{
    const struct probe_ping_result *sack = mode->sack;
    int64_t rtt = sack->received > 0 ? (int64_t)sack->avg_rtt_ns : FIRST_RTT_NS, gap = rtt + rtt / 2;
    gap = gap > 10 * CLOCK_MS ? gap : 10 * CLOCK_MS;
    return mode->settings.want == PROBE_MODE_AUTO && left_ns(mode) > LEAST_COMPARED * gap + 2 * rtt + COMPARE_TAIL_NS;
}

/* What a test that forces the mode gets where the mode is impossible. */
static void end_forced(struct probe_mode *mode)
{
    enum probe_ping_session session = mode->sack->session;
    mode->decision.reason = session <= PROBE_SESSION_OPEN ? PROBE_MODE_ASKED : reason_of(session);
    mode->decision.has_odd_blocks = mode->sack->has_odd_blocks;
    bool has_session_ended = session == PROBE_SESSION_RESET || session == PROBE_SESSION_FINISHED;
    mode->result.is_unsupported = session == PROBE_SESSION_REFUSED || session == PROBE_SESSION_NOT_PERMITTED ||
                                  session == PROBE_SESSION_NO_SACK || (has_session_ended && mode->sack->received == 0);
    describe_result(mode);
    end(mode);
}

/* The next part opens another session. */
static bool is_part_over(const struct probe_mode *mode)
{
    enum probe_ping_session session = mode->sack->session;
    return mode->settings.is_part && mode->sack->received > 0 &&
           (session == PROBE_SESSION_RESET || session == PROBE_SESSION_FINISHED);
}

static void after_sack(struct probe_mode *mode)
{
    const struct probe_ping_result *sack = mode->sack;
    if (mode->settings.want == PROBE_MODE_SACK) {
        end_forced(mode);
        return;
    }
    mode->decision.reason = is_part_over(mode) ? PROBE_MODE_PREFERRED : reason_of(sack->session);
    mode->decision.has_odd_blocks = sack->has_odd_blocks;
    mode->decision.first = sack->max_rtt_ns;
    mode->decision.second = (double)sack->handshake_ns;
    bool is_good = mode->decision.reason == PROBE_MODE_PREFERRED;
    bool has_time = is_good ? sack->received < sack->sent && has_time_to_compare(mode) : left_ns(mode) > LEAST_NS;
    if (!mode->is_finishing && has_time && start_stream(mode, is_good ? STAGE_COMPARE : STAGE_SYN, NULL) == 0)
        return;
    if (is_good && !mode->is_finishing) {
        struct probe_mode_decision unused;
        (void)probe_modes_compare(mode->settings.memory, &mode->settings.ping.dst, probe_engine_mono_ns(mode->engine), sack,
                                  NULL, &unused);
    }
    describe_result(mode);
    end(mode);
}

/* --- after the SYNs ----------------------------------------------------------------------------------------------- */

/* Whether what stood against SACK will do so again. */
static bool is_lasting(const struct probe_mode *mode)
{
    const struct probe_ping_result *sack = mode->sack, *syn = mode->syn;
    switch (mode->decision.reason) {
    case PROBE_MODE_NOT_PERMITTED:
        return true;
    case PROBE_MODE_NO_SACK:
        return syn->received > 0;
    case PROBE_MODE_TOO_FAST:
        return syn->received > 0 && syn->avg_rtt_ns - sack->max_rtt_ns > (double)FAST_LEAST_NS &&
               7 * syn->avg_rtt_ns > 10 * sack->max_rtt_ns;
    case PROBE_MODE_RESET:
        return sack->received == 0 && syn->received > 0;
    case PROBE_MODE_ASKED:
    case PROBE_MODE_PREFERRED:
    case PROBE_MODE_NO_PORT:
    case PROBE_MODE_REFUSED:
    case PROBE_MODE_SILENT:
    case PROBE_MODE_UNREACHABLE:
    case PROBE_MODE_UNSENT:
    case PROBE_MODE_FINISHED:
    case PROBE_MODE_INTERFERED:
        return false;
    }
    return false;
}

static void after_compare(struct probe_mode *mode)
{
    int64_t now = probe_engine_mono_ns(mode->engine);
    mode->result.sack_loss = loss_of(mode->sack);
    mode->result.syn_loss = loss_of(mode->syn);
    bool is_proven = !mode->is_finishing && probe_modes_compare(mode->settings.memory, &mode->settings.ping.dst, now,
                                                                mode->sack, mode->syn, &mode->decision);
    mode->result.ping = is_proven ? mode->syn : mode->sack;
    mode->result.mode = is_proven ? PROBE_PING_SYN : PROBE_PING_SACK;
    if (is_proven)
        probe_modes_put(mode->settings.memory, &mode->settings.ping.dst, &mode->decision);
    describe_result(mode);
    end(mode);
}

static void after_syn(struct probe_mode *mode)
{
    if (mode->sack && !mode->is_finishing && is_lasting(mode)) {
        mode->decision.at_ns = probe_engine_mono_ns(mode->engine);
        probe_modes_put(mode->settings.memory, &mode->settings.ping.dst, &mode->decision);
    }
    describe_result(mode);
    end(mode);
}

static void on_progress(void *user, const struct probe_ping_result *ping)
{
    struct probe_mode *mode = user;
    if (mode->stage == STAGE_COMPARE || !mode->progress)
        return;
    mode->result.ping = ping;
    mode->progress(mode->user, &mode->result);
}

static void on_done(void *user, const struct probe_ping_result *ping)
{
    struct probe_mode *mode = user;
    mode->ping = NULL;
    switch (mode->stage) {
    case STAGE_SACK:
        mode->sack = mode->result.ping = ping;
        after_sack(mode);
        break;
    case STAGE_SYN:
        mode->syn = mode->result.ping = ping;
        after_syn(mode);
        break;
    case STAGE_COMPARE:
        mode->syn = ping;
        after_compare(mode);
        break;
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

int probe_mode_start(struct probe_engine *engine, const struct probe_mode_settings *settings, struct arena *arena,
                     probe_mode_fn *progress, probe_mode_fn *done, void *user, struct probe_mode **ret_mode,
                     struct error *err)
{
    assert(done);
    if (settings->ping.protocol != PROBE_TCP)
        return error_set(err, E_INVALID, "protocol", "only TCP has modes");
    struct probe_mode *mode = arena_alloc(arena, sizeof *mode);
    if (!mode)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    *mode = (struct probe_mode){.engine = engine, .settings = *settings, .arena = arena, .progress = progress,
                                .done = done, .user = user, .start_ns = probe_engine_mono_ns(engine)};
    mode->result.sack_loss = mode->result.syn_loss = (double)NAN;
    if (settings->want == PROBE_MODE_AUTO)
        mode->is_remembered = probe_modes_get(settings->memory, &settings->ping.dst, mode->start_ns, &mode->decision);
    bool is_syn = settings->want == PROBE_MODE_SYN || mode->is_remembered;
    int rc = start_stream(mode, is_syn ? STAGE_SYN : STAGE_SACK, err);
    if (rc == -E_LIMIT && settings->want == PROBE_MODE_AUTO && !is_syn) {
        mode->decision.reason = PROBE_MODE_NO_PORT;
        rc = start_stream(mode, STAGE_SYN, err);
    }
    if (rc == 0)
        *ret_mode = mode;
    return rc;
}

const struct probe_mode_result *probe_mode_result(struct probe_mode *mode)
{
    if (mode->ping && mode->stage != STAGE_COMPARE)
        mode->result.ping = probe_ping_result(mode->ping);
    return &mode->result;
}

void probe_mode_finish(struct probe_mode *mode)
{
    mode->is_finishing = true;
    probe_ping_finish(mode->ping);
}

void probe_mode_stop(struct probe_mode *mode)
{
    probe_ping_stop(mode->ping);
}
