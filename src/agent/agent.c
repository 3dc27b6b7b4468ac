#include "agent/agent.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/hop_names.h"
#include "agent/http.h"
#include "agent/identity.h"
#include "agent/link.h"
#include "agent/parent.h"
#include "agent/plan.h"
#include "agent/progress.h"
#include "agent/round.h"
#include "agent/schedule.h"
#include "agent/sealed.h"
#include "agent/spool.h"
#include "agent/status.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/resolve.h"
#include "facts/names.h"
#include "measure/runner.h"
#include "probe/engine.h"
#include "probe/io.h"
#include "probe/modes.h"

#define AGENT_LOCK_WAIT_MS 5000
#define AGENT_STATUS_EVERY 3 /* ticks of a second */
#define AGENT_RUN_ROOM_NS (60 * CLOCK_S)
#define AGENT_STEADY_NS (1 * CLOCK_S) /* the schedule looks at the clock at least this often */

struct agent {
    const struct agent_options *options;
    const struct clock *clock;
    struct loop *loop;
    struct rng rng;
    int lock_fd;
    struct probe_engine *engine;
    struct resolver *resolver;
    struct probe_modes *modes; /* what is remembered of TCP targets */
    struct hop_names *hop_names;
    struct measure_context context;
    struct spool *spool;
    struct progress *progress;
    struct schedule *schedule;
    struct plan *plan; /* NULL until there is one */
    bool is_refused;   /* the server does not know us: nothing is started */
    struct active *rounds;
    struct http *http;
    struct registration *registration;
    struct plan_poll *poll;
    struct link *link;
    struct message_identity identity;
    char authorization[320];
    char state_path[512];
    struct arena arena; /* of the process */
    struct loop_timer schedule_timer, tick_timer;
    unsigned ticks;
    int exit_status;
    struct agent_status status;
    char last_error[600];
    struct map told;        /* test or run -> version + 1: what cannot be run and was told */
    int64_t told_limit_ns;
    struct buf status_text;
};

/* A round that is running. */
struct active {
    struct measure_round round; /* first: done gives it back */
    struct agent *agent;
    struct active *next, **link;
    struct plan *plan;          /* keeps settings alive */
    const struct plan_item *item;
    int64_t round_id;
    struct names_wait *naming; /* the round is done, names of its hops are waited for */
};

/* --- telling ------------------------------------------------------------------------------------------------------ */

static const char *path_of(struct agent *agent, const char *name)
{
    (void)snprintf(agent->state_path, sizeof agent->state_path, "%s/%s", agent->options->state_dir, name);
    return agent->state_path;
}

static void note_error(struct agent *agent, const struct error *err)
{
    (void)error_format(err, agent->last_error, sizeof agent->last_error);
    log_error("agent", "%s", agent->last_error);
}

static void on_spool_report(void *user, const struct error *err)
{
    note_error(user, err);
}

static void count_limits(struct agent *agent, struct arena *arena)
{
    const char **items = arena_alloc_array(arena, LIMIT_KIND_COUNT, sizeof *items);
    size_t count = 0;
    for (int kind = 0; kind < LIMIT_KIND_COUNT; kind++) {
        uint64_t hits = limit_hits((enum limit_kind)kind);
        if (hits)
            items[count++] = arena_printf(arena, "%s %" PRIu64, limit_name((enum limit_kind)kind), hits);
    }
    agent->status.limits_hit = (struct field_list){.items = count ? items : NULL, .count = count};
}

static void gather_status(struct agent *agent, struct arena *arena)
{
    struct agent_status *status = &agent->status;
    struct spool_state spool;
    struct schedule_counts schedule = {0};
    struct link_counts link = {0};
    spool_state(agent->spool, &spool);
    if (agent->schedule)
        schedule_counts(agent->schedule, &schedule);
    if (agent->link)
        link_counts(agent->link, &link);
    status->written = clock_wall_ns(agent->clock) / CLOCK_S;
    status->plan_version = agent->plan ? agent->plan->message.version : 0;
    status->tests = agent->plan ? (int64_t)agent->plan->test_count : 0;
    status->unsupported_tests = agent->plan ? (int64_t)agent->plan->unsupported : 0;
    status->running_rounds = 0;
    for (const struct active *active = agent->rounds; active; active = active->next)
        status->running_rounds++;
    status->missed_slots = (int64_t)schedule.missed;
    status->overlapped_slots = (int64_t)schedule.overlapped;
    status->clock_steps = (int64_t)schedule.steps;
    status->spool_bytes = (int64_t)spool.bytes;
    status->memory_bytes = (int64_t)spool.memory_bytes;
    status->dropped_bytes = (int64_t)spool.dropped_bytes;
    status->damaged_bytes = (int64_t)spool.damaged_bytes;
    status->last_upload = link.last_upload_s;
    status->uploaded_rounds = (int64_t)link.uploaded;
    status->duplicate_rounds = (int64_t)link.duplicates;
    status->refused_rounds = (int64_t)link.refused;
    status->last_error = *agent->last_error ? agent->last_error : NULL;
    count_limits(agent, arena);
}

/* Not synced: it is news, not data. */
static void write_status(struct agent *agent)
{
    struct arena arena;
    char temp[560];
    arena_init(&arena, 65536);
    gather_status(agent, &arena);
    buf_reset(&agent->status_text);
    agent_status_text(&agent->status, &agent->status_text);
    arena_done(&arena);
    const char *path = path_of(agent, "status");
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    int rc = file_write_all(fd, agent->status_text.data, agent->status_text.size, temp, NULL);
    (void)close(fd);
    if (rc || rename(temp, path) != 0)
        (void)unlink(temp); /* a full disk is told by the spool */
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void free_active(struct active *active)
{
    *active->link = active->next;
    if (active->next)
        active->next->link = active->link;
    plan_release(active->plan);
    mem_free(active);
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
    buf_init(&buf, LIMIT_SPOOL_RECORD_BYTES);
    if (round_encode(item, round, active->round_id, &buf, &record, &err) ||
        spool_append(agent->spool, &record, &err))
        note_error(agent, &err);
    buf_done(&buf);
    agent->status.finished_rounds++;
    if (item->run_id)
        progress_run(agent->progress, item->run_id, round->end_wall_ns / CLOCK_S);
    else
        progress_round(agent->progress, item->test_id, active->round_id);
    measure_round_done(round);
    free_active(active);
    link_kick(agent->link);
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

static int start_round(struct agent *agent, const struct plan_item *item, const struct schedule_due *due,
                       struct error *err)
{
    struct active *active = mem_alloc(sizeof *active);
    active->agent = agent;
    active->item = item;
    active->round_id = due->round_id;
    active->plan = plan_hold(agent->plan);
    active->next = agent->rounds;
    active->link = &agent->rounds;
    if (active->next)
        active->next->link = &active->next;
    agent->rounds = active;
    active->round.context = &agent->context;
    active->round.settings = item->settings;
    active->round.source_ip = item->source_ip ? item->source_ip : agent->options->source_ip;
    active->round.deadline_ns = loop_now_ns(agent->loop) + due->room_ns;
    active->round.minute_ns = due->slot_ns;
    active->round.burst_delay_ns = due->burst_delay_ns;
    active->round.flow_seed = item->flow_seed;
    active->round.done = on_round_done;
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

static void stop_rounds(struct agent *agent)
{
    while (agent->rounds) {
        struct active *active = agent->rounds;
        if (active->naming) {
            names_wait_cancel(active->naming);
            on_named(active);
            continue;
        }
        if (active->item->is_continuous && !active->item->run_id) {
            end_early(active);
            continue;
        }
        measure_round_stop(&active->round);
        measure_round_done(&active->round);
        free_active(active);
    }
}

/* A test that is not in the plan any more sends nothing any more: not for the rest of its minute either. */
static void end_unplanned(struct agent *agent)
{
    struct active *next;
    for (struct active *active = agent->rounds; active; active = next) {
        next = active->next;
        bool is_planned = !agent->is_refused && plan_find(agent->plan, active->item->test_id);
        if (active->item->is_continuous && !active->item->run_id && !active->naming && !is_planned)
            end_early(active);
    }
}

/* Once for each version of a test. */
static void on_unsupported(void *user, const struct plan_item *item, const struct error *err)
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
        on_unsupported(agent, item, err);
        return;
    }
    int64_t now_ns = loop_now_ns(agent->loop);
    limit_hit(LIMIT_KIND_ROUNDS);
    if (agent->told_limit_ns && now_ns - agent->told_limit_ns < 60 * CLOCK_S)
        return;
    agent->told_limit_ns = now_ns;
    note_error(agent, err);
}

static void start_runs(struct agent *agent)
{
    for (size_t i = 0; agent->plan && !agent->is_refused && i < agent->plan->run_count; i++) {
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

static void on_schedule_timer(void *user)
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

/* --- the plan ----------------------------------------------------------------------------------------------------- */

/* Hands the tests to the schedule; none while the server does not know us. */
static void schedule_plan(struct agent *agent)
{
    size_t count = agent->plan && !agent->is_refused ? agent->plan->test_count : 0;
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
    start_runs(agent);
}

static void apply_plan(struct agent *agent, struct plan *plan)
{
    plan_release(agent->plan);
    agent->plan = plan;
    agent->context.ipv6_policy = plan->message.ipv6_policy;
    hop_names_set_prefixes(agent->hop_names, &plan->message.resolve_prefixes);
    schedule_plan(agent);
    log_info("agent", "plan %" PRId64 ": %zu tests%s", plan->message.version, plan->test_count,
             plan->unsupported ? ", some cannot be run by this version" : "");
}

static bool on_plan(void *user, const void *bytes, size_t size)
{
    struct agent *agent = user;
    struct plan *plan;
    struct error err = {0};
    if (plan_read(bytes, size, on_unsupported, agent, &plan, &err)) {
        error_prefix(&err, "plan");
        note_error(agent, &err);
        return false;
    }
    int64_t offset_ns = clock_wall_ns(agent->clock) - plan->message.server_ns;
    link_set_clock_offset(agent->link, offset_ns);
    agent->status.clock_offset_s = (double)-offset_ns / (double)CLOCK_S;
    if (plan_poll_accept(agent->poll, bytes, size, plan->message.version, &err))
        note_error(agent, &err); /* it runs; only a restart without the server would miss it */
    bool is_same = agent->plan && agent->plan->message.version == plan->message.version && !agent->is_refused;
    if (is_same)
        plan_release(plan); /* asked for to learn the time */
    else
        apply_plan(agent, plan);
    return true;
}

static void on_contact(void *user, enum contact contact, const char *why)
{
    struct agent *agent = user;
    int state = contact == CONTACT_OK ? AGENT_STATE_CONNECTED
                : contact == CONTACT_AWAY ? AGENT_STATE_AWAY : AGENT_STATE_REFUSED;
    if (contact == CONTACT_OK)
        agent->status.last_contact = clock_wall_ns(agent->clock) / CLOCK_S;
    if (agent->status.state == state)
        return;
    struct error err;
    agent->status.state = state;
    switch (contact) {
    case CONTACT_OK:
        log_info("agent", "connected to %s as agent %" PRIu64, agent->options->server, agent->identity.agent_id);
        break;
    case CONTACT_AWAY:
        (void)error_set(&err, E_CLOSED, agent->options->server, "%s; measuring goes on, rounds wait in the spool", why);
        note_error(agent, &err);
        break;
    case CONTACT_REFUSED:
        (void)error_set(&err, E_AUTH, agent->options->server,
                        "the server does not know agent %" PRIu64 " any more (%s). Nothing is measured. To register as "
                        "a new agent, stop this one and remove %s/identity",
                        agent->identity.agent_id, why, agent->options->state_dir);
        note_error(agent, &err);
        break;
    }
    bool was_refused = agent->is_refused;
    agent->is_refused = contact == CONTACT_REFUSED || (was_refused && contact == CONTACT_AWAY);
    if (was_refused != agent->is_refused)
        schedule_plan(agent);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void seed_schedule(void *user, uint64_t test_id, int64_t round_id)
{
    schedule_seen(((struct agent *)user)->schedule, test_id, round_id);
}

/* From the moment on that the agent knows who it is. */
static void begin(struct agent *agent)
{
    const struct agent_options *options = agent->options;
    struct error err = {0};
    agent->status.agent_id = agent->identity.agent_id;
    agent->status.aid = agent->identity.aid;
    (void)snprintf(agent->authorization, sizeof agent->authorization, "Bearer %" PRIu64 ".%s",
                   agent->identity.agent_id, agent->identity.secret);
    uint64_t seed;
    rng_secret(&seed, sizeof seed);
    agent->schedule = schedule_new(agent->identity.agent_id, seed);
    progress_each_round(agent->progress, seed_schedule, agent);
    agent->link = link_new(&(struct link_settings){.loop = agent->loop,
                                                   .http = agent->http,
                                                   .spool = agent->spool,
                                                   .rng = &agent->rng,
                                                   .agent_id = agent->identity.agent_id,
                                                   .authorization = agent->authorization,
                                                   .contact = on_contact,
                                                   .user = agent});
    struct plan *plan = NULL;
    int rc = plan_load(options->state_dir, on_unsupported, agent, &plan, &err);
    if (rc && rc != -E_NOT_FOUND) {
        struct error damage;
        (void)error_set(&damage, (enum error_code)-rc, err.where, "%.300s; the server is asked for the plan again",
                        err.text);
        note_error(agent, &damage);
    }
    if (!rc)
        apply_plan(agent, plan);
    agent->poll = plan_poll_start(&(struct plan_poll_settings){.loop = agent->loop,
                                                               .http = agent->http,
                                                               .rng = &agent->rng,
                                                               .state_dir = options->state_dir,
                                                               .authorization = agent->authorization,
                                                               .version = plan ? plan->message.version : 0,
                                                               .changed = on_plan,
                                                               .contact = on_contact,
                                                               .user = agent});
}

static void on_registration_retry(void *user, const char *why)
{
    struct agent *agent = user;
    struct error err;
    (void)error_set(&err, E_CLOSED, agent->options->server, "cannot register yet: %s", why);
    note_error(agent, &err);
}

static void on_registered(void *user, int rc, const struct message_identity *identity, const struct error *err)
{
    struct agent *agent = user;
    if (rc) {
        note_error(agent, err);
        agent->exit_status = PARENT_EXIT_FATAL;
        loop_stop(agent->loop);
        return;
    }
    rc = field_copy(&message_identity_table, identity, &agent->identity, &agent->arena);
    assert(rc == 0);
    log_info("agent", "registered at %s as agent %" PRIu64, agent->options->server, identity->agent_id);
    begin(agent);
}

static void on_tick(void *user)
{
    struct agent *agent = user;
    spool_tick(agent->spool);
    spool_adopt(agent->spool);
    if (agent->schedule) {
        start_runs(agent);
        link_kick(agent->link);
    }
    if (agent->ticks++ % AGENT_STATUS_EVERY == 0)
        write_status(agent);
    loop_timer_start(agent->loop, &agent->tick_timer, loop_now_ns(agent->loop) + SPOOL_SYNC_MS * CLOCK_MS);
}

static void on_signal(void *user, int signo)
{
    struct agent *agent = user;
    log_info("agent", "stopping (signal %d)", signo);
    agent->exit_status = PARENT_EXIT_STOPPED;
    loop_stop(agent->loop);
}

/* A round that is in the spool but was not yet noted as run when the process before this one died. */
static void on_seen(void *user, const struct record *record)
{
    struct agent *agent = user;
    if (record->test_id && record->round_id > progress_last(agent->progress, record->test_id))
        progress_round(agent->progress, record->test_id, record->round_id);
}

static int open_state(struct agent *agent, struct error *err)
{
    int rc = sealed_lock(agent->options->state_dir, AGENT_LOCK_WAIT_MS, &agent->lock_fd, err);
    if (!rc)
        rc = progress_open(path_of(agent, "progress"), &agent->progress, err);
    if (!rc && progress_damaged(agent->progress) > 0) {
        struct error damage;
        (void)error_set(&damage, E_CORRUPT, path_of(agent, "progress"),
                        "%u damaged entries are left out: their last rounds may be run again",
                        progress_damaged(agent->progress));
        note_error(agent, &damage);
    }
    struct spool_options spool = {.report = on_spool_report, .seen = on_seen, .user = agent};
    return rc ? rc : spool_open(path_of(agent, "spool"), &spool, &agent->spool, err);
}

static int open_all(struct agent *agent, const struct agent_settings *settings, struct probe_sockets *sockets,
                    struct error *err)
{
    struct http_settings http = {.server = agent->options->server,
                                 .ca_pem = settings->ca_pem,
                                 .ca_pem_size = settings->ca_pem_size};
    struct probe_io *io = NULL;
    int rc = loop_new(&agent->loop, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGTERM, on_signal, agent, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGINT, on_signal, agent, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGHUP, on_signal, agent, err);
    if (!rc)
        rc = open_state(agent, err);
    if (!rc)
        rc = resolver_new(agent->loop, &agent->resolver, err);
    if (!rc)
        rc = hop_names_new(agent->loop, agent->options, &agent->hop_names, err);
    if (!rc)
        rc = probe_io_linux_new(agent->loop, sockets, &io, err);
    if (!rc)
        rc = probe_engine_new(io, NULL, &agent->engine, err);
    if (!rc)
        rc = http_new(agent->loop, &http, &agent->http, err);
    agent->modes = probe_modes_new(0);
    return rc;
}

static int start(struct agent *agent, struct error *err)
{
    const struct agent_options *options = agent->options;
    agent->context = (struct measure_context){.loop = agent->loop,
                                              .engine = agent->engine,
                                              .resolver = agent->resolver,
                                              .modes = agent->modes,
                                              .clock = agent->clock,
                                              .ipv6_policy = SOCK_PREFER_IPV6};
    agent->schedule_timer = (struct loop_timer){.fn = on_schedule_timer, .user = agent};
    agent->tick_timer = (struct loop_timer){.fn = on_tick, .user = agent};
    loop_timer_start(agent->loop, &agent->tick_timer, 0);
    int rc = identity_load(options->state_dir, &agent->identity, &agent->arena, err);
    if (!rc) {
        begin(agent);
        return 0;
    }
    if (rc != -E_NOT_FOUND)
        return rc;
    if (!options->token)
        return error_set(err, E_REQUIRED, "--token-file",
                         "this agent is not registered yet and needs the token of an account group");
    rc = identity_make_room(options->state_dir, err);
    if (rc)
        return rc;
    agent->registration = registration_start(&(struct registration_settings){.loop = agent->loop,
                                                                             .http = agent->http,
                                                                             .rng = &agent->rng,
                                                                             .options = options,
                                                                             .engine = agent->engine,
                                                                             .retry = on_registration_retry,
                                                                             .done = on_registered,
                                                                             .user = agent});
    return 0;
}

static void close_all(struct agent *agent)
{
    stop_rounds(agent);
    plan_poll_free(agent->poll);
    link_free(agent->link);
    registration_free(agent->registration);
    http_free(agent->http);
    probe_engine_free(agent->engine);
    resolver_free(agent->resolver);
    probe_modes_free(agent->modes);
    hop_names_free(agent->hop_names);
    schedule_free(agent->schedule);
    plan_release(agent->plan);
    spool_close(agent->spool);
    progress_close(agent->progress);
    loop_free(agent->loop);
    if (agent->lock_fd >= 0)
        (void)close(agent->lock_fd);
    map_done(&agent->told);
    buf_done(&agent->status_text);
    arena_done(&agent->arena);
}

int agent_run(const struct agent_settings *settings, struct probe_sockets *sockets)
{
    struct agent agent = {.options = settings->options, .clock = &clock_real, .lock_fd = -1};
    struct error err = {0};
    uint64_t seed;
    rng_secret(&seed, sizeof seed);
    rng_seed(&agent.rng, seed);
    arena_init(&agent.arena, 65536);
    buf_init(&agent.status_text, 65536);
    field_defaults(&agent_status_table, &agent.status);
    agent.status.server = agent.options->server;
    agent.status.version = OCULI_VERSION;
    int rc = open_all(&agent, settings, sockets, &err);
    if (!rc)
        rc = start(&agent, &err);
    if (rc) {
        note_error(&agent, &err);
        agent.exit_status = rc == -E_FULL || rc == -E_IO || rc == -E_LIMIT ? 1 : PARENT_EXIT_FATAL;
    } else if (loop_run(agent.loop)) {
        agent.exit_status = 1;
    }
    if (agent.spool)
        write_status(&agent);
    close_all(&agent);
    return agent.exit_status;
}
