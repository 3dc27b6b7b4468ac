#include "lab/history.h"

#include <stdio.h>
#include <string.h>

#include "agent/identity.h"
#include "agent/plan.h"
#include "agent/round.h"
#include "agent/schedule.h"
#include "agent/spool.h"
#include "base/limit.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/resolve.h"
#include "lab/model.h"
#include "lab/sim_io.h"
#include "probe/engine.h"

#define HISTORY_STEP_NS CLOCK_S                 /* the schedule is looked at this often, at least */
#define HISTORY_RESOLVE_STEP_NS (50 * CLOCK_MS) /* real time */
#define HISTORY_RESOLVE_STEPS 200

struct past {
    const struct lab_history *history;
    struct clock clock; /* the simulated host's; &past is found from it */
    struct sim *sim;
    struct probe_engine *engine;
    struct loop *loop; /* real, for names only */
    struct resolver *resolver;
    struct measure_context context;
    struct plan *plan;
    struct schedule *schedule;
    struct spool_feed *feed;
    struct active *rounds;
    uint64_t count;
    int rc; /* the first thing that failed in a callback */
    struct error err;
};

struct active {
    struct measure_round round; /* first: done gives it back */
    struct past *past;
    struct active *next, **link;
    const struct plan_item *item;
    int64_t round_id, deadline_ns;
};

/* --- time --------------------------------------------------------------------------------------------------------- */

static const struct past *past_of(const struct clock *clock)
{
    return (const struct past *)((const char *)(uintptr_t)clock - offsetof(struct past, clock));
}

static int64_t past_mono_ns(const struct clock *clock)
{
    return probe_engine_mono_ns(past_of(clock)->engine);
}

static int64_t past_wall_ns(const struct clock *clock)
{
    return probe_engine_wall_ns(past_of(clock)->engine);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void on_done(struct measure_round *round)
{
    struct active *active = (struct active *)(void *)round;
    struct past *past = active->past;
    struct buf buf;
    struct record record;
    buf_init(&buf, LIMIT_SPOOL_RECORD_BYTES);
    int rc = round_encode(active->item, round, active->round_id, NULL, &buf, &record, past->rc ? NULL : &past->err);
    if (!rc)
        rc = spool_feed_append(past->feed, &record, past->rc ? NULL : &past->err);
    if (rc && !past->rc)
        past->rc = rc;
    past->count += !rc;
    buf_done(&buf);
    schedule_done(past->schedule, active->item->test_id);
    measure_round_done(round);
    *active->link = active->next;
    if (active->next)
        active->next->link = active->link;
    mem_free(active);
}

/* A round begins with a name; simulated time stands still while a real thread looks it up. */
static void wait_for_name(struct past *past, const struct active *active)
{
    uint32_t before = probe_engine_stats(past->engine)->rounds;
    for (int i = 0; i < HISTORY_RESOLVE_STEPS && past->rounds == active; i++) {
        if (probe_engine_stats(past->engine)->rounds != before)
            return;
        (void)loop_step(past->loop, HISTORY_RESOLVE_STEP_NS);
    }
}

static void start_round(struct past *past, const struct plan_item *item, const struct schedule_due *due)
{
    struct active *active = mem_alloc(sizeof *active);
    active->past = past;
    active->item = item;
    active->round_id = due->round_id;
    active->deadline_ns = past_mono_ns(&past->clock) + due->room_ns;
    active->round.context = &past->context;
    active->round.settings = item->settings;
    active->round.source_ip = item->source_ip;
    active->round.flow_seed = item->flow_seed;
    active->round.minute_ns = due->slot_ns;
    active->round.burst_delay_ns = due->burst_delay_ns;
    active->round.done = on_done;
    struct error err = {0};
    if (measure_round_start(item->runner, &active->round, &err)) {
        schedule_done(past->schedule, item->test_id); /* what the agent cannot run it cannot have run */
        mem_free(active);
        return;
    }
    active->next = past->rounds;
    active->link = &past->rounds;
    if (active->next)
        active->next->link = &active->next;
    past->rounds = active;
    wait_for_name(past, active);
}

/* What the loop's deadline timer does for a living agent. */
static void end_late_rounds(struct past *past)
{
    int64_t now_ns = past_mono_ns(&past->clock);
    struct active *next;
    for (struct active *active = past->rounds; active; active = next) {
        next = active->next;
        if (now_ns < active->deadline_ns)
            continue;
        measure_round_stop(&active->round);
        on_done(&active->round);
    }
}

static void live(struct past *past)
{
    const int64_t until_ns = past->history->until_s * CLOCK_S;
    for (;;) {
        int64_t wall_ns = past_wall_ns(&past->clock);
        struct schedule_due due;
        while (wall_ns < until_ns && schedule_pop(past->schedule, wall_ns, past_mono_ns(&past->clock), &due)) {
            const struct plan_item *item = plan_find(past->plan, due.test_id);
            if (due.round_id + item->interval_s <= past->history->until_s)
                start_round(past, item, &due);
            else
                schedule_done(past->schedule, due.test_id);
        }
        if ((wall_ns >= until_ns && !past->rounds) || past->rc)
            return;
        sim_run(past->sim, schedule_wait_ns(past->schedule, wall_ns, HISTORY_STEP_NS) + 1, NULL);
        end_late_rounds(past);
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void on_unsupported(void *user, const struct plan_item *item, const struct error *err)
{
    (void)user;
    (void)item;
    (void)err; /* the agent says so itself */
}

static int open_agent(struct past *past, struct error *err)
{
    struct arena arena;
    struct message_identity identity;
    char path[512];
    arena_init(&arena, 65536);
    int rc = identity_load(past->history->state_dir, &identity, &arena, err);
    uint64_t agent_id = rc ? 0 : identity.agent_id;
    arena_done(&arena);
    if (!rc)
        rc = plan_load(past->history->state_dir, on_unsupported, NULL, &past->plan, err);
    (void)snprintf(path, sizeof path, "%s/spool", past->history->state_dir);
    if (!rc)
        rc = spool_feed_open(path, &past->feed, err);
    if (rc)
        return rc;
    struct schedule_test *tests = mem_alloc_array(past->plan->test_count + 1, sizeof *tests);
    for (size_t i = 0; i < past->plan->test_count; i++)
        tests[i] = (struct schedule_test){.test_id = past->plan->tests[i].test_id,
                                          .interval_s = past->plan->tests[i].interval_s,
                                          .is_randomized = past->plan->tests[i].is_start_random,
                                          .is_continuous = past->plan->tests[i].is_continuous};
    past->schedule = schedule_new(agent_id, agent_id);
    schedule_set(past->schedule, tests, past->plan->test_count, past_wall_ns(&past->clock),
                 past_mono_ns(&past->clock));
    mem_free(tests);
    past->context.ipv6_policy = past->plan->message.ipv6_policy;
    return 0;
}

static int open_world(struct past *past, const struct lab_scenario *scenario, struct error *err)
{
    struct lab_options options = {.seed = past->history->seed, .truth_probes = 1, .truth_streams = 1};
    past->sim = sim_new(scenario, &options, past->history->from_s * CLOCK_S);
    unsigned vantage = 0;
    while (vantage < scenario->vantage_count &&
           strcmp(scenario->nodes[scenario->vantages[vantage]].name, past->history->vantage) != 0)
        vantage++;
    if (vantage == scenario->vantage_count)
        return error_set(err, E_NOT_FOUND, past->history->vantage, "the scenario has no such vantage");
    struct probe_io *io = sim_io_new(past->sim, &(struct sim_host){.vantage = vantage});
    int rc = probe_engine_new(io, NULL, &past->engine, err);
    if (rc) {
        io->ops->close(io);
        return rc;
    }
    past->clock = (struct clock){.mono_ns = past_mono_ns, .wall_ns = past_wall_ns};
    rc = loop_new(&past->loop, err);
    if (!rc)
        rc = resolver_new(past->loop, &past->resolver, err);
    past->context = (struct measure_context){.engine = past->engine, .resolver = past->resolver, .clock = &past->clock};
    return rc;
}

int lab_history_make(const struct lab_scenario *scenario, const struct lab_history *history, uint64_t *ret_rounds,
                     struct error *err)
{
    struct past past = {.history = history};
    int rc = open_world(&past, scenario, err);
    if (!rc)
        rc = open_agent(&past, err);
    if (!rc)
        live(&past);
    if (!rc && past.rc) {
        rc = past.rc;
        if (err)
            *err = past.err;
    }
    while (past.rounds) {
        measure_round_stop(&past.rounds->round);
        on_done(&past.rounds->round);
    }
    if (past.feed) {
        int closed = spool_feed_close(past.feed, rc ? NULL : err);
        rc = rc ? rc : closed;
    }
    schedule_free(past.schedule);
    plan_release(past.plan);
    resolver_free(past.resolver);
    loop_free(past.loop);
    probe_engine_free(past.engine);
    sim_free(past.sim);
    if (!rc)
        *ret_rounds = past.count;
    return rc;
}
