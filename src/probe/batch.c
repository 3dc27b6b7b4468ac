#include "probe/batch.h"

#include <assert.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "probe/round.h"

#define TARGET_ARENA (1u << 20)      /* memory one target may use */
#define BEGIN_PER_WAKE 256u          /* others want their turn, too */
#define RETRY_NS (10 * CLOCK_MS)     /* when the engine has no room and nothing of ours will make some */
#define CREDIT_NS (10 * CLOCK_MS)    /* of packets that may be saved up */
#define USUAL_HOPS 16u               /* a trace is charged with until it is over */
#define FLOW_BYTES 192u              /* what the engine keeps of a flow */
#define TEXT_BYTES 64u               /* what a kernel says when it refuses */

/* A target being measured. */
struct place {
    struct probe_batch *batch;
    struct arena arena;
    size_t index;
    struct probe_ping *ping;   /* NULL = not running */
    struct probe_trace *trace; /* likewise */
    const struct probe_ping_result *ping_result;
    const struct probe_trace_result *trace_result;
    const struct error *error; /* in the arena */
    bool is_used;
};

struct probe_batch {
    struct probe_round round; /* first member: a round without probes, which has the engine's time */
    struct probe_batch_settings settings;
    struct probe_ping_settings ping;
    struct probe_trace_settings trace;
    const union sock_addr *targets;
    size_t count;
    probe_batch_target_fn *target;
    probe_batch_fn *done;
    void *user;
    struct place *places;
    uint32_t *free_places;
    uint32_t place_count, free_count;
    double credit;      /* packets that may be sent now; below 0: they have been */
    int64_t credit_ns;  /* when that was so */
    struct probe_batch_stats stats;
    bool is_ending;     /* begins nothing any more */
};

_Static_assert(sizeof(struct probe_batch) <= ROUND_BYTES, "a batch fits a slot");

void probe_batch_defaults(struct probe_batch_settings *settings)
{
    *settings = (struct probe_batch_settings){.most_targets = 1000};
}

/* Of paths of the usual length without labels. */
static size_t trace_bytes(const struct probe_trace_settings *settings)
{
    size_t flow = sizeof(struct probe_trace_flow) + USUAL_HOPS * sizeof(struct probe_trace_hop) + FLOW_BYTES;
    return sizeof(struct probe_trace_result) + settings->flows * flow;
}

static size_t result_bytes(const struct probe_batch_settings *settings)
{
    size_t bytes = TEXT_BYTES;
    bytes += settings->ping ? probe_ping_bytes(settings->ping) : 0;
    return bytes + (settings->trace ? trace_bytes(settings->trace) : 0);
}

size_t probe_batch_bytes(const struct probe_batch_settings *settings)
{
    size_t slots = (settings->ping ? 1u : 0u) + (settings->trace ? 1u : 0u);
    return result_bytes(settings) + slots * ROUND_BYTES + sizeof(struct place);
}

/* --- pace --------------------------------------------------------------------------------------------------------- */

static double cost_of(const struct probe_batch *batch)
{
    double cost = batch->settings.ping ? batch->ping.count : 0;
    return cost + (batch->settings.trace ? batch->trace.flows * USUAL_HOPS + 1 : 0);
}

static void earn(struct probe_batch *batch, int64_t now)
{
    double pps = batch->settings.most_pps;
    batch->credit += pps * (double)(now - batch->credit_ns) / (double)CLOCK_S;
    batch->credit_ns = now;
    double most = pps * (double)CREDIT_NS / (double)CLOCK_S;
    batch->credit = batch->credit < most ? batch->credit : most;
}

/* When the next target may begin, as far as the pace goes. */
static int64_t allowed_at(const struct probe_batch *batch)
{
    if (batch->settings.most_pps == 0 || batch->credit >= 0)
        return batch->credit_ns;
    return batch->credit_ns + (int64_t)(-batch->credit / batch->settings.most_pps * (double)CLOCK_S) + 1;
}

/* --- the end of targets ------------------------------------------------------------------------------------------- */

static void settle_target(struct place *place)
{
    struct probe_batch *batch = place->batch;
    if (place->ping || place->trace)
        return;
    uint32_t sent = place->ping_result ? place->ping_result->sent : 0;
    sent += place->trace_result ? place->trace_result->sent : 0;
    batch->credit += cost_of(batch) - sent;
    batch->stats.packets += sent;
    batch->stats.over++;
    struct probe_batch_target target = {.index = place->index,
                                        .dst = &batch->targets[place->index],
                                        .ping = place->ping_result,
                                        .trace = place->trace_result,
                                        .error = place->error};
    uint64_t serial = batch->round.serial;
    batch->target(batch->user, &target);
    if (batch->round.serial != serial)
        return; /* it stopped us */
    arena_reset(&place->arena);
    place->is_used = false;
    batch->free_places[batch->free_count++] = (uint32_t)(place - batch->places);
    batch->stats.running--;
    if (!batch->is_ending)
        round_wake_at(&batch->round, 0);
}

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct place *place = user;
    place->ping = NULL;
    place->ping_result = result;
    settle_target(place);
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct place *place = user;
    place->trace = NULL;
    place->trace_result = result;
    settle_target(place);
}

/* --- beginning them ----------------------------------------------------------------------------------------------- */

static int start_parts(struct place *place, struct error *err)
{
    struct probe_batch *batch = place->batch;
    struct probe_engine *engine = batch->round.engine;
    int rc = 0;
    if (batch->settings.ping) {
        batch->ping.dst = batch->targets[place->index];
        rc = probe_ping_start(engine, &batch->ping, &place->arena, NULL, on_ping, place, &place->ping, err);
    }
    if (rc == 0 && batch->settings.trace) {
        batch->trace.dst = batch->targets[place->index];
        rc = probe_trace_start(engine, &batch->trace, &place->arena, NULL, on_trace, place, &place->trace, err);
        if (rc && place->ping) {
            probe_ping_stop(place->ping);
            place->ping = NULL;
        }
    }
    return rc;
}

/* False when the engine has no room: the target is tried again, unless the engine is empty and never will have. */
static bool begin_next(struct probe_batch *batch)
{
    struct place *place = &batch->places[batch->free_places[batch->free_count - 1]];
    arena_reset(&place->arena);
    *place = (struct place){.batch = batch, .arena = place->arena, .index = batch->stats.begun};
    struct error err;
    int rc = start_parts(place, &err);
    if (rc == -E_LIMIT && probe_engine_stats(batch->round.engine)->rounds > 1)
        return false;
    batch->free_count--;
    place->is_used = true;
    batch->stats.begun++;
    batch->stats.running++;
    batch->stats.most = batch->stats.running > batch->stats.most ? batch->stats.running : batch->stats.most;
    batch->credit -= cost_of(batch);
    if (rc) {
        struct error *kept = arena_alloc(&place->arena, sizeof *kept);
        if (kept)
            *kept = err;
        place->error = kept;
        settle_target(place);
    }
    return true;
}

/* --- the batch ---------------------------------------------------------------------------------------------------- */

static void forget(struct probe_batch *batch)
{
    for (uint32_t i = 0; i < batch->place_count; i++)
        arena_done(&batch->places[i].arena);
    mem_free(batch->places);
    mem_free(batch->free_places);
    round_free(&batch->round);
}

static void end(struct probe_batch *batch)
{
    struct probe_batch_stats stats;
    probe_batch_fn *done = batch->done;
    void *user = batch->user;
    probe_batch_stats(batch, &stats);
    forget(batch);
    done(user, &stats);
}

static void step_timer(struct probe_batch *batch, int64_t now)
{
    uint64_t serial = batch->round.serial;
    int64_t next_ns = PROBE_IO_NEVER;
    earn(batch, now);
    for (unsigned i = 0; batch->stats.begun < batch->count && batch->free_count > 0; i++) {
        next_ns = i < BEGIN_PER_WAKE ? allowed_at(batch) : 0;
        if (next_ns > now || i == BEGIN_PER_WAKE)
            break;
        next_ns = now + RETRY_NS;
        if (!begin_next(batch))
            break;
        if (batch->round.serial != serial)
            return;
        next_ns = PROBE_IO_NEVER; /* the end of a target wakes us */
    }
    if (batch->stats.begun == batch->count && batch->stats.running == 0)
        end(batch);
    else
        round_wake_at(&batch->round, next_ns);
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer((struct probe_batch *)round, event->at_ns);
        break;
    case PROBE_EVENT_SENT:
    case PROBE_EVENT_REFUSED:
    case PROBE_EVENT_STAMP:
    case PROBE_EVENT_ANSWER:
        break; /* of what it never sent */
    }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static int check(const struct probe_batch_settings *settings, struct error *err)
{
    if (!settings->ping && !settings->trace)
        return error_set(err, E_REQUIRED, "ping", "a stream or a trace to measure is needed");
    if (settings->most_targets < 1 || settings->most_targets > LIMIT_ENGINE_ROUNDS)
        return error_set(err, E_RANGE, "most_targets", "must be from 1 to %u", LIMIT_ENGINE_ROUNDS);
    return 0;
}

static void make_places(struct probe_batch *batch)
{
    size_t bytes = result_bytes(&batch->settings);
    batch->place_count = batch->settings.most_targets;
    if (batch->count < batch->place_count)
        batch->place_count = batch->count ? (uint32_t)batch->count : 1;
    batch->places = mem_alloc_array(batch->place_count, sizeof *batch->places);
    batch->free_places = mem_alloc_array(batch->place_count, sizeof *batch->free_places);
    batch->free_count = batch->place_count;
    for (uint32_t i = 0; i < batch->place_count; i++) {
        batch->free_places[i] = batch->place_count - 1 - i;
        arena_init_block(&batch->places[i].arena, TARGET_ARENA, bytes);
    }
}

int probe_batch_start(struct probe_engine *engine, const struct probe_batch_settings *settings,
                      const union sock_addr *targets, size_t count, probe_batch_target_fn *target,
                      probe_batch_fn *done, void *user, struct probe_batch **ret_batch, struct error *err)
{
    assert(target && done && (targets || count == 0));
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct probe_batch *batch = round_new(engine, 0, step, err);
    if (!batch)
        return -E_LIMIT;
    batch->settings = *settings;
    if (settings->ping)
        batch->ping = *settings->ping;
    if (settings->trace)
        batch->trace = *settings->trace;
    batch->settings.ping = settings->ping ? &batch->ping : NULL;
    batch->settings.trace = settings->trace ? &batch->trace : NULL;
    batch->targets = targets;
    batch->count = count;
    batch->target = target;
    batch->done = done;
    batch->user = user;
    batch->stats.start_ns = batch->credit_ns = probe_engine_mono_ns(engine);
    make_places(batch);
    *ret_batch = batch;
    return 0;
}

void probe_batch_stats(const struct probe_batch *batch, struct probe_batch_stats *ret_stats)
{
    *ret_stats = batch->stats;
    ret_stats->end_ns = probe_engine_mono_ns(batch->round.engine);
}

void probe_batch_finish(struct probe_batch *batch)
{
    uint64_t serial = batch->round.serial;
    batch->is_ending = true;
    for (uint32_t i = 0; i < batch->place_count; i++) {
        struct place *place = &batch->places[i];
        if (place->is_used && place->ping)
            probe_ping_finish(place->ping);
        if (batch->round.serial != serial)
            return; /* a target stopped us */
        if (place->is_used && place->trace)
            probe_trace_finish(place->trace);
        if (batch->round.serial != serial)
            return;
    }
    end(batch);
}

void probe_batch_stop(struct probe_batch *batch)
{
    for (uint32_t i = 0; i < batch->place_count; i++) {
        struct place *place = &batch->places[i];
        if (place->is_used && place->ping)
            probe_ping_stop(place->ping);
        if (place->is_used && place->trace)
            probe_trace_stop(place->trace);
    }
    forget(batch);
}
