/* Running tests: from the schedule to the spool. */
#include "agent/agent_inner.h"

#include <inttypes.h>
#include <string.h>

#include "agent/round.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "facts/names.h"

#define AGENT_RUN_ROOM_NS (60 * CLOCK_S)
#define AGENT_STEADY_NS (1 * CLOCK_S) /* the schedule looks at the clock at least this often */
#define AGENT_TARGET_ROUNDS 3         /* a target's last round counts for so many intervals */

/* A round that is running. */
struct active {
    struct measure_round round; /* first: done gives it back */
    struct agent *agent;
    struct active *next, **link;
    struct plan *plan;          /* keeps settings alive */
    const struct plan_item *item;
    int64_t round_id;
    int64_t start_ns;          /* monotonic */
    struct names_wait *naming; /* the round is done, names of its hops are waited for */
};

size_t agent_running(const struct agent *agent)
{
    size_t count = 0;
    for (const struct active *active = agent->rounds; active; active = active->next)
        count++;
    return count;
}

static void free_active(struct active *active)
{
    struct agent *agent = active->agent;
    *active->link = active->next;
    if (active->next)
        active->next->link = active->link;
    usage_stop(&agent->usage, active->item->queue, loop_now_ns(agent->loop));
    plan_release(active->plan);
    mem_free(active);
    agent_drained(agent);
}

/* The metric "loss", which types that probe have; where nothing could be sent at all, that is as bad. */
static double loss_of(const struct measure_round *round)
{
    const struct measure_type *type = round->runner->type;
    double loss = (double)NAN;
    const char *error = NULL;
    for (size_t i = 0; i < type->part_count; i++) {
        const char *part = (const char *)round->result + type->parts[i].offset;
        const struct field *field = field_find(type->parts[i].table, "loss");
        const struct field *details = field_find(type->parts[i].table, "errorDetails");
        if (field && field->kind == FIELD_KIND_F64)
            memcpy(&loss, part + field->offset, sizeof loss);
        if (details && details->kind == FIELD_KIND_STR)
            memcpy(&error, part + details->offset, sizeof error);
    }
    return isnan(loss) && error ? 100 : loss;
}

static void look_at_target(const struct active *active)
{
    struct agent *agent = active->agent;
    double loss = loss_of(&active->round);
    if (active->item->run_id || active->round.refusal || !active->item->target || isnan(loss))
        return;
    health_target(agent->health, active->item->target, loss >= 100,
                  AGENT_TARGET_ROUNDS * active->item->interval_s * CLOCK_S, loop_now_ns(agent->loop));
}

/* What was measured goes to the spool. */
static void keep_round(struct active *active)
{
    struct measure_round *round = &active->round;
    struct agent *agent = active->agent;
    const struct plan_item *item = active->item;
    struct buf buf;
    struct record record;
    struct error err;
    char problem[HEALTH_TEXT_BYTES];
    buf_init(&buf, LIMIT_SPOOL_RECORD_BYTES);
    look_at_target(active);
    if (round_encode(item, round, active->round_id, health_since(agent->health, active->start_ns, problem), &buf,
                     &record, &err) ||
        spool_append(agent->spool, &record, &err))
        agent_note_error(agent, &err);
    buf_done(&buf);
    agent->status.finished_rounds++;
    if (item->run_id)
        progress_run(agent->progress, item->run_id, round->end_wall_ns / CLOCK_S);
    else
        progress_round(agent->progress, item->test_id, active->round_id);
    measure_round_done(round);
    link_kick(agent->link);
    free_active(active);
}

static void on_named(void *user)
{
    struct active *active = user;
    active->naming = NULL;
    hop_names_fill(active->agent->hop_names, &active->round);
    keep_round(active);
}

/* The test may be started again, even while names are waited for. */
static void end_slot(struct active *active)
{
    if (!active->item->run_id)
        schedule_done(active->agent->schedule, active->item->test_id);
}

static void on_round_done(struct measure_round *round)
{
    struct active *active = (struct active *)(void *)round;
    end_slot(active);
    active->naming = hop_names_wait(active->agent->hop_names, round, on_named, active);
    if (!active->naming)
        on_named(active);
}

/* A source address that is none of this machine's would be a measurement of nothing. */
static bool is_source_ours(struct agent *agent, const char *source_ip)
{
    union sock_addr addr;
    return !source_ip || sock_parse_ip(source_ip, &addr) || net_is_own(agent->net, &addr);
}

static void fill_round(struct active *active, const struct schedule_due *due)
{
    struct agent *agent = active->agent;
    const struct plan_item *item = active->item;
    active->round.context = &agent->context;
    active->round.settings = item->settings;
    active->round.source_ip = item->source_ip ? item->source_ip : agent->options->source_ip;
    if (!is_source_ours(agent, active->round.source_ip))
        active->round.refusal = "Cannot use the selected interface";
    active->round.proxy = item->proxy ? item->proxy : agent->options->proxy;
    active->round.is_unverified = agent->plan->message.is_unverified;
    active->round.deadline_ns = active->start_ns + due->room_ns;
    active->round.minute_ns = due->slot_ns;
    active->round.burst_delay_ns = due->burst_delay_ns;
    active->round.flow_seed = item->flow_seed;
    active->round.done = on_round_done;
}

static int start_round(struct agent *agent, const struct plan_item *item, const struct schedule_due *due,
                       struct error *err)
{
    struct active *active = mem_alloc(sizeof *active);
    active->agent = agent;
    active->item = item;
    active->round_id = due->round_id;
    active->start_ns = loop_now_ns(agent->loop);
    active->plan = plan_hold(agent->plan);
    active->next = agent->rounds;
    active->link = &agent->rounds;
    if (active->next)
        active->next->link = &active->next;
    agent->rounds = active;
    fill_round(active, due);
    usage_start(&agent->usage, item->queue, active->start_ns);
    int rc = measure_round_start(item->runner, &active->round, err);
    if (rc)
        free_active(active);
    return rc;
}

/* What a round that fills its minute has measured is kept, as partial: nobody could measure those seconds again. */
static void end_early(struct active *active)
{
    measure_round_stop(&active->round);
    end_slot(active);
    on_named(active);
}

static bool is_minute(const struct active *active)
{
    return active->item->is_continuous && !active->item->run_id && !active->naming;
}

void agent_end_continuous(struct agent *agent)
{
    struct active *next;
    for (struct active *active = agent->rounds; active; active = next) {
        next = active->next;
        if (is_minute(active))
            end_early(active);
    }
}

void agent_stop_rounds(struct agent *agent)
{
    while (agent->rounds) {
        struct active *active = agent->rounds;
        if (active->naming) {
            names_wait_cancel(active->naming);
            on_named(active);
            continue;
        }
        if (is_minute(active)) {
            end_early(active);
            continue;
        }
        measure_round_stop(&active->round);
        measure_round_done(&active->round);
        free_active(active);
    }
}

static bool may_run(const struct agent *agent)
{
    return agent->plan && !agent->is_refused && !agent->is_displaced && !agent->waits_for_time &&
           agent->ending == AGENT_RUNS;
}

/* A test that is not in the plan any more sends nothing any more: not for the rest of its minute either. */
static void end_unplanned(struct agent *agent)
{
    struct active *next;
    for (struct active *active = agent->rounds; active; active = next) {
        next = active->next;
        bool is_planned = may_run(agent) && plan_find(agent->plan, active->item->test_id);
        if (is_minute(active) && !is_planned)
            end_early(active);
    }
}

/* Once for each version of a test. */
void agent_on_unsupported(void *user, const struct plan_item *item, const struct error *err)
{
    struct agent *agent = user;
    uint64_t key = item->run_id ? ~item->run_id : item->test_id;
    if ((uintptr_t)map_get(&agent->told, key) == (uintptr_t)item->version + 1)
        return;
    if (agent->told.count >= LIMIT_PLAN_TESTS)
        map_done(&agent->told);
    map_put(&agent->told, key, (void *)((uintptr_t)item->version + 1));
    char text[600];
    log_warning("agent", "%s %" PRIu64 " is not run: %s", item->run_id ? "run" : "test",
                item->run_id ? item->run_id : item->test_id, error_format(err, text, sizeof text));
}

/* A start fails for lack of room (told once a minute) or because this build cannot do what is asked (told once). */
static void on_start_failed(struct agent *agent, const struct plan_item *item, const struct error *err)
{
    if (err->code != E_LIMIT) {
        agent_on_unsupported(agent, item, err);
        return;
    }
    int64_t now_ns = loop_now_ns(agent->loop);
    limit_hit(LIMIT_KIND_ROUNDS);
    if (agent->told_limit_ns && now_ns - agent->told_limit_ns < 60 * CLOCK_S)
        return;
    agent->told_limit_ns = now_ns;
    agent_note_error(agent, err);
}

void agent_start_runs(struct agent *agent)
{
    for (size_t i = 0; may_run(agent) && i < agent->plan->run_count; i++) {
        const struct plan_item *run = &agent->plan->runs[i];
        bool is_running = false;
        for (const struct active *active = agent->rounds; active && !is_running; active = active->next)
            is_running = active->item->run_id == run->run_id;
        if (is_running || progress_has_run(agent->progress, run->run_id))
            continue;
        struct error err = {0};
        struct schedule_due due = {.round_id = run->requested_s, .room_ns = AGENT_RUN_ROOM_NS};
        if (run->is_continuous)
            due.room_ns += MEASURE_CONTINUOUS_S * CLOCK_S;
        if (!start_round(agent, run, &due, &err))
            continue;
        on_start_failed(agent, run, &err);
        if (err.code == E_LIMIT)
            return; /* the next tick tries again */
        progress_run(agent->progress, run->run_id, clock_wall_ns(agent->clock) / CLOCK_S);
    }
}

void agent_on_schedule(void *user)
{
    struct agent *agent = user;
    struct schedule_due due;
    while (schedule_pop(agent->schedule, clock_wall_ns(agent->clock), loop_now_ns(agent->loop), &due)) {
        const struct plan_item *item = plan_find(agent->plan, due.test_id);
        struct error err = {0};
        if (start_round(agent, item, &due, &err)) {
            schedule_done(agent->schedule, due.test_id);
            on_start_failed(agent, item, &err);
        }
    }
    int64_t wait_ns = schedule_wait_ns(agent->schedule, clock_wall_ns(agent->clock), AGENT_STEADY_NS);
    loop_timer_start(agent->loop, &agent->schedule_timer, loop_now_ns(agent->loop) + wait_ns);
}

void agent_schedule_plan(struct agent *agent)
{
    size_t count = may_run(agent) ? agent->plan->test_count : 0;
    struct schedule_test *tests = mem_alloc_array(count + 1, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct schedule_test){.test_id = agent->plan->tests[i].test_id,
                                          .interval_s = agent->plan->tests[i].interval_s,
                                          .is_randomized = agent->plan->tests[i].is_start_random,
                                          .is_continuous = agent->plan->tests[i].is_continuous};
    schedule_set(agent->schedule, tests, count, clock_wall_ns(agent->clock), loop_now_ns(agent->loop));
    mem_free(tests);
    end_unplanned(agent);
    loop_timer_start(agent->loop, &agent->schedule_timer, 0);
    agent_start_runs(agent);
}
