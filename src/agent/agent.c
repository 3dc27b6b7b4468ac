#include "agent/agent_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/lookup.h"
#include "agent/sandbox.h"
#include "agent/sealed.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "probe/io.h"

#define AGENT_LOCK_WAIT_MS 5000
#define AGENT_STATUS_EVERY 3 /* ticks of a second */
/* A stop takes no longer than these together: less than PARENT_STOP_S, and that less than the service manager's. */
#define AGENT_DRAIN_NS (12 * CLOCK_S) /* rounds that run may take so long; then they are broken off */
#define AGENT_SEND_NS (2 * CLOCK_S)

const char *agent_path(struct agent *agent, const char *name)
{
    (void)snprintf(agent->state_path, sizeof agent->state_path, "%s/%s", agent->options->state_dir, name);
    return agent->state_path;
}

static void on_spool_report(void *user, const struct error *err)
{
    agent_note_error(user, err);
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */

/* A clock that stands before the moment at which the plan came is wrong, and only the server, or whoever sets the clock,
 * can say by how much. */
static void check_time(struct agent *agent)
{
    char here[CLOCK_ISO_BYTES], there[CLOCK_ISO_BYTES];
    int64_t now_ns = clock_wall_ns(agent->clock);
    bool waits = agent->plan && agent->plan->message.server_ns - now_ns > TIMEKEEPER_WRONG_NS;
    if (waits == agent->waits_for_time)
        return;
    agent->waits_for_time = waits;
    if (waits)
        log_warning("agent",
                    "the clock of this machine says %s, which is before %s, when the plan came: nothing is measured until "
                    "the server tells the time or the clock is set",
                    clock_iso(now_ns / CLOCK_S, here, sizeof here),
                    clock_iso(agent->plan->message.server_ns / CLOCK_S, there, sizeof there));
    agent_schedule_plan(agent);
}

static void apply_plan(struct agent *agent, struct plan *plan)
{
    plan_release(agent->plan);
    agent->plan = plan;
    agent->context.ipv6_policy = plan->message.ipv6_policy;
    hop_names_set_prefixes(agent->hop_names, &plan->message.resolve_prefixes);
    check_time(agent);
    agent_schedule_plan(agent);
    log_info("agent", "plan %" PRId64 ": %zu tests%s", plan->message.version, plan->test_count,
             plan->unsupported ? ", some cannot be run by this version" : "");
}

static void hear_time(struct agent *agent, int64_t server_ns)
{
    bool is_changed;
    int64_t ahead_ns = timekeeper_hear(&agent->time, server_ns, &is_changed);
    double seconds = (double)ahead_ns / (double)CLOCK_S;
    link_set_clock_offset(agent->link, ahead_ns);
    agent->status.clock_offset_s = -seconds;
    if (!is_changed)
        return;
    if (agent->time.is_corrected)
        log_warning("agent", "the clock of this machine is %.0f s %s the server's: rounds carry the server's time",
                    seconds < 0 ? -seconds : seconds, seconds < 0 ? "behind" : "ahead of");
    else
        log_info("agent", "the clock of this machine is right again: rounds carry its time");
    report_kick(agent->report);
}

static bool on_plan(void *user, const void *bytes, size_t size)
{
    struct agent *agent = user;
    struct plan *plan;
    struct error err = {0};
    if (plan_read(bytes, size, agent_on_unsupported, agent, &plan, &err)) {
        error_prefix(&err, "plan");
        agent_note_error(agent, &err);
        return false;
    }
    hear_time(agent, plan->message.server_ns);
    if (plan_poll_accept(agent->poll, bytes, size, plan->message.version, &err))
        agent_note_error(agent, &err); /* it runs; only a restart without the server would miss it */
    bool is_same = agent->plan && agent->plan->message.version == plan->message.version && !agent->is_refused;
    if (is_same)
        plan_release(plan); /* asked for to learn the time */
    else
        apply_plan(agent, plan);
    check_time(agent);
    return true;
}

/* Once for this process: what was measured is still sent, and nothing else changes any more. */
static void on_displaced(struct agent *agent, const char *why)
{
    struct error err;
    (void)error_set(&err, E_CONFLICT, agent->options->server,
                    "another process measures as agent %" PRIu64 " (%.200s). Nothing is measured here until this one is "
                    "started again. Two machines need two identities: see BACKUP AND REPLACEMENT in oculi-agent(8)",
                    agent->identity.agent_id, why);
    agent_note_error(agent, &err);
    agent->is_displaced = true;
    agent->status.state = AGENT_STATE_DISPLACED;
    agent_schedule_plan(agent);
}

static void on_contact(void *user, enum contact contact, const char *why)
{
    static const int states[] = {[CONTACT_OK] = AGENT_STATE_CONNECTED,
                                 [CONTACT_AWAY] = AGENT_STATE_AWAY,
                                 [CONTACT_REFUSED] = AGENT_STATE_REFUSED,
                                 [CONTACT_DISPLACED] = AGENT_STATE_DISPLACED};
    struct agent *agent = user;
    if (contact == CONTACT_OK)
        agent->status.last_contact = clock_wall_ns(agent->clock) / CLOCK_S;
    if (agent->status.state == states[contact] || agent->is_displaced)
        return;
    struct error err;
    agent->status.state = states[contact];
    switch (contact) {
    case CONTACT_OK:
        report_kick(agent->report);
        log_info("agent", "connected to %s as agent %" PRIu64, agent->options->server, agent->identity.agent_id);
        break;
    case CONTACT_AWAY:
        (void)error_set(&err, E_CLOSED, agent->options->server, "%s; measuring goes on, rounds wait in the spool", why);
        agent_note_error(agent, &err);
        break;
    case CONTACT_REFUSED:
        (void)error_set(&err, E_AUTH, agent->options->server,
                        "the server does not know agent %" PRIu64 " any more (%s). Nothing is measured. To register as "
                        "a new agent, stop this one and remove %s/identity",
                        agent->identity.agent_id, why, agent->options->state_dir);
        agent_note_error(agent, &err);
        break;
    case CONTACT_DISPLACED:
        on_displaced(agent, why);
        return;
    }
    bool was_refused = agent->is_refused;
    agent->is_refused = contact == CONTACT_REFUSED || (was_refused && contact == CONTACT_AWAY);
    if (was_refused != agent->is_refused)
        agent_schedule_plan(agent);
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
    agent->report = report_new(&(struct report_settings){.loop = agent->loop,
                                                         .http = agent->http,
                                                         .authorization = agent->authorization,
                                                         .fill = agent_fill_report,
                                                         .user = agent});
    struct plan *plan = NULL;
    int rc = plan_load(options->state_dir, agent_on_unsupported, agent, &plan, &err);
    if (rc && rc != -E_NOT_FOUND) {
        struct error damage;
        (void)error_set(&damage, (enum error_code)-rc, err.where, "%.300s; the server is asked for the plan again",
                        err.text);
        agent_note_error(agent, &damage);
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
    agent_note_error(agent, &err);
}

static void on_registered(void *user, int rc, const struct message_identity *identity, const struct error *err)
{
    struct agent *agent = user;
    if (rc) {
        agent_note_error(agent, err);
        agent->exit_status = PARENT_EXIT_FATAL;
        loop_stop(agent->loop);
        return;
    }
    rc = field_copy(&message_identity_table, identity, &agent->identity, &agent->arena);
    assert(rc == 0);
    log_info("agent", "registered at %s as agent %" PRIu64, agent->options->server, identity->agent_id);
    begin(agent);
}

/* The clock was set by a lot: only the server can say whether that was right. */
static void ask_for_time(struct agent *agent)
{
    if (agent->time.is_doubted && !agent->is_doubt_told && agent->poll) {
        log_warning("agent", "the clock of this machine was set by more than %d s: rounds go on with the time before until "
                    "the server has told its own", (int)(TIMEKEEPER_WRONG_NS / CLOCK_S));
        plan_poll_refresh(agent->poll);
    }
    agent->is_doubt_told = agent->time.is_doubted;
}

static void on_tick(void *user)
{
    struct agent *agent = user;
    spool_tick(agent->spool);
    spool_adopt(agent->spool);
    agent_look(agent);
    ask_for_time(agent);
    if (agent->schedule) {
        check_time(agent);
        agent_start_runs(agent);
        link_kick(agent->link);
    }
    if (agent->ticks++ % AGENT_STATUS_EVERY == 0)
        agent_write_status(agent);
    loop_timer_start(agent->loop, &agent->tick_timer, loop_now_ns(agent->loop) + SPOOL_SYNC_MS * CLOCK_MS);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_left(void *user)
{
    struct agent *agent = user;
    loop_stop(agent->loop);
}

/* One step further towards the end, as soon as there is nothing more to wait for, or when the time is over. */
static void end_step(struct agent *agent, bool is_late)
{
    bool is_connected = agent->status.state == AGENT_STATE_CONNECTED || agent->is_displaced;
    if (agent->ending == AGENT_DRAINS && (is_late || !agent->rounds)) {
        agent_stop_rounds(agent);
        agent->ending = AGENT_SENDS;
        is_late = false;
        loop_timer_start(agent->loop, &agent->end_timer, loop_now_ns(agent->loop) + AGENT_SEND_NS);
        if (agent->link)
            link_kick(agent->link);
    }
    if (agent->ending == AGENT_SENDS && (is_late || !is_connected || link_is_idle(agent->link))) {
        loop_timer_stop(agent->loop, &agent->end_timer);
        agent->ending = AGENT_LEAVES;
        if (is_connected)
            report_leave(agent->report, on_left, agent);
        else
            loop_stop(agent->loop);
    }
}

static void on_end_timer(void *user)
{
    end_step(user, true);
}

void agent_drained(struct agent *agent)
{
    if (agent->ending == AGENT_DRAINS && !agent->rounds) /* from the loop: whoever ends the last round is not done yet */
        loop_timer_start(agent->loop, &agent->end_timer, 0);
}

/* Rounds that run are finished, so that a new start, after an upgrade for one, costs none. A second signal is obeyed at
 * once, and so is the one that comes when the parent has died: the next agent waits for the state directory. */
static void on_signal(void *user, int signo)
{
    struct agent *agent = user;
    agent->exit_status = PARENT_EXIT_STOPPED;
    if (agent->ending != AGENT_RUNS || !agent->schedule || getppid() != agent->parent) {
        loop_stop(agent->loop);
        return;
    }
    agent->ending = AGENT_DRAINS;
    agent_schedule_plan(agent);
    log_info("agent", "stopping (signal %d); %zu rounds are finished first", signo, agent_running(agent));
    loop_timer_start(agent->loop, &agent->end_timer,
                     loop_now_ns(agent->loop) + (agent->rounds ? AGENT_DRAIN_NS : 0));
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
        rc = progress_open(agent_path(agent, "progress"), &agent->progress, err);
    if (!rc && progress_damaged(agent->progress) > 0) {
        struct error damage;
        (void)error_set(&damage, E_CORRUPT, agent_path(agent, "progress"),
                        "%u damaged entries are left out: their last rounds may be run again",
                        progress_damaged(agent->progress));
        agent_note_error(agent, &damage);
    }
    struct spool_options spool = {.ceiling_bytes = (uint64_t)agent->options->spool_mib << 20,
                                  .age_s = (int64_t)agent->options->spool_hours * 3600,
                                  .report = on_spool_report,
                                  .seen = on_seen,
                                  .user = agent};
    return rc ? rc : spool_open(agent_path(agent, "spool"), &spool, &agent->spool, err);
}

/* Names of targets, and of the server where --dns-servers says how. */
static int open_resolvers(struct agent *agent, struct error *err)
{
    const struct parent_opened *opened = agent->settings->opened;
    struct lookup *link_lookup = agent->settings->link_lookup;
    int rc = resolver_new(agent->loop, &agent->resolver, err);
    if (!rc && opened->lookup)
        resolver_set_lookup(agent->resolver, lookup_find, opened->lookup);
    if (!rc && link_lookup)
        rc = resolver_new(agent->loop, &agent->link_resolver, err);
    if (!rc && link_lookup)
        resolver_set_lookup(agent->link_resolver, lookup_find, link_lookup);
    return rc ? rc : hop_names_new(agent->loop, agent->options, &agent->hop_names, err);
}

static int open_http(struct agent *agent, struct error *err)
{
    const struct agent_settings *settings = agent->settings;
    struct http_settings http = {.server = agent->options->server,
                                 .trust = settings->trust,
                                 .proxy = agent->options->proxy,
                                 .pac = agent->pac,
                                 .resolver = agent->link_resolver,
                                 .instance = settings->instance};
    return http_new(agent->loop, &http, &agent->http, err);
}

/* A machine without seccomp, or a service manager that forbids to ask for it, still has an agent. */
static int enter_sandbox(struct agent *agent, struct error *err)
{
    enum sandbox_mode mode = (enum sandbox_mode)agent->options->sandbox;
    char text[600];
    int rc = sandbox_enter(mode, err);
    if (rc && mode != SANDBOX_STRICT) {
        log_warning("agent", "the worker runs without a sandbox: %s", error_format(err, text, sizeof text));
        *err = (struct error){0};
        rc = 0;
    }
    return rc;
}

static int open_all(struct agent *agent, struct error *err)
{
    struct probe_sockets sockets = agent->settings->opened->sockets;
    struct probe_io *io = NULL;
    int rc = pac_open(&agent->pac, err); /* first: it forks */
    if (!rc)
        rc = enter_sandbox(agent, err); /* second: what follows makes threads */
    if (!rc)
        rc = loop_new(&agent->loop, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGTERM, on_signal, agent, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGINT, on_signal, agent, err);
    if (!rc)
        rc = loop_signal(agent->loop, SIGHUP, on_signal, agent, err);
    if (!rc)
        rc = open_state(agent, err);
    if (!rc)
        rc = open_resolvers(agent, err);
    if (!rc)
        rc = probe_io_linux_new(agent->loop, &sockets, &io, err);
    if (!rc)
        rc = probe_engine_new(io, NULL, &agent->engine, err);
    if (!rc)
        rc = open_http(agent, err);
    agent->modes = probe_modes_new(0);
    agent->net = net_new(agent->settings->opened->netlink);
    agent->health = health_new();
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
    agent->schedule_timer = (struct loop_timer){.fn = agent_on_schedule, .user = agent};
    agent->tick_timer = (struct loop_timer){.fn = on_tick, .user = agent};
    agent->end_timer = (struct loop_timer){.fn = on_end_timer, .user = agent};
    usage_init(&agent->usage, loop_now_ns(agent->loop));
    agent->started_ns = clock_wall_ns(agent->clock);
    loop_timer_start(agent->loop, &agent->tick_timer, 0);
    union sock_addr source;
    if (options->source_ip && sock_parse_ip(options->source_ip, &source) == 0 && !net_is_own(agent->net, &source))
        log_warning("agent", "--source-ip: Cannot use the selected interface: %s is no address of this machine",
                    options->source_ip);
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
    agent_stop_rounds(agent);
    report_free(agent->report);
    plan_poll_free(agent->poll);
    link_free(agent->link);
    registration_free(agent->registration);
    http_free(agent->http);
    probe_engine_free(agent->engine);
    resolver_free(agent->resolver);
    resolver_free(agent->link_resolver);
    probe_modes_free(agent->modes);
    hop_names_free(agent->hop_names);
    schedule_free(agent->schedule);
    plan_release(agent->plan);
    spool_close(agent->spool);
    progress_close(agent->progress);
    net_free(agent->net);
    health_free(agent->health);
    loop_free(agent->loop);
    pac_close(agent->pac);
    if (agent->lock_fd >= 0)
        (void)close(agent->lock_fd);
    map_done(&agent->told);
    buf_done(&agent->status_text);
    arena_done(&agent->arena);
}

void agent_make_instance(char ret_instance[static MESSAGE_INSTANCE_BYTES])
{
    uint64_t number;
    rng_secret(&number, sizeof number);
    str_hex(&number, sizeof number, ret_instance);
}

int agent_run(const struct agent_settings *settings)
{
    struct agent agent = {.settings = settings, .options = settings->options, .lock_fd = -1};
    struct error err = {0};
    uint64_t seed;
    rng_secret(&seed, sizeof seed);
    rng_seed(&agent.rng, seed);
    arena_init(&agent.arena, 65536);
    buf_init(&agent.status_text, 65536);
    field_defaults(&agent_status_table, &agent.status);
    agent.status.server = agent.options->server;
    agent.status.version = OCULI_VERSION;
    agent.parent = getppid();
    agent.status.instance = settings->instance;
    agent.status.proxy = agent.options->proxy && agent.options->proxy->location ? agent.options->proxy->location : NULL;
    timekeeper_init(&agent.time, settings->options->state_dir, NULL);
    agent.clock = &agent.time.clock;
    int rc = open_all(&agent, &err);
    if (!rc)
        rc = start(&agent, &err);
    if (rc) {
        agent_note_error(&agent, &err);
        agent.exit_status = rc == -E_FULL || rc == -E_IO || rc == -E_LIMIT ? 1 : PARENT_EXIT_FATAL;
    } else if (loop_run(agent.loop)) {
        agent.exit_status = 1;
    }
    if (agent.spool)
        agent_write_status(&agent);
    close_all(&agent);
    return agent.exit_status;
}
