/* Telling: the status file, and what reports say. */
#include "agent/agent_inner.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/str.h"

#define TELL_CPU_NS (300 * CLOCK_S)
#define TELL_TYPES 64

void agent_note_error(struct agent *agent, const struct error *err)
{
    (void)error_format(err, agent->last_error, sizeof agent->last_error);
    log_error("agent", "%s", agent->last_error);
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static struct field_list list_limits(struct arena *arena)
{
    const char **items = arena_alloc_array(arena, LIMIT_KIND_COUNT, sizeof *items);
    size_t count = 0;
    for (int kind = 0; kind < LIMIT_KIND_COUNT; kind++) {
        uint64_t hits = limit_hits((enum limit_kind)kind);
        if (hits)
            items[count++] = arena_printf(arena, "%s %" PRIu64, limit_name((enum limit_kind)kind), hits);
    }
    return (struct field_list){.items = count ? items : NULL, .count = count};
}

static int64_t resident_bytes(void)
{
    char text[64] = "";
    long long total, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FIELD_NO_I64;
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0 || sscanf(text, "%lld %lld", &total, &resident) != 2)
        return FIELD_NO_I64;
    return resident * sysconf(_SC_PAGESIZE);
}

static int64_t used_cpu_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CLOCK_S +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * CLOCK_US;
}

/* Percent of a core since five minutes, or since the start. */
static double cpu_share(const struct agent *agent)
{
    int64_t span_ns = agent->cpu_at_ns[0] - agent->cpu_at_ns[1];
    return span_ns > 0 ? 100.0 * (double)(agent->cpu_ns[0] - agent->cpu_ns[1]) / (double)span_ns : (double)NAN;
}

static bool take_first(void *user, const struct record *record)
{
    *(int64_t *)user = record->round_id;
    return false; /* it stays where it is */
}

static int64_t oldest_round(const struct agent *agent)
{
    struct spool_mark mark;
    int64_t oldest = 0;
    (void)spool_read(agent->spool, take_first, &oldest, &mark);
    return oldest;
}

/* --- the status file ---------------------------------------------------------------------------------------------- */

static void gather_counts(struct agent *agent)
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
    status->missed_slots = (int64_t)schedule.missed;
    status->overlapped_slots = (int64_t)schedule.overlapped;
    status->clock_steps = (int64_t)schedule.steps;
    status->spool_bytes = (int64_t)spool.bytes;
    status->memory_bytes = (int64_t)spool.memory_bytes;
    status->dropped_rounds = (int64_t)spool.dropped_rounds;
    status->dropped_bytes = (int64_t)spool.dropped_bytes;
    status->damaged_bytes = (int64_t)spool.damaged_bytes;
    status->last_upload = link.last_upload_s;
    status->uploaded_rounds = (int64_t)link.uploaded;
    status->duplicate_rounds = (int64_t)link.duplicates;
    status->refused_rounds = (int64_t)link.refused;
}

static void gather_status(struct agent *agent, struct arena *arena)
{
    struct agent_status *status = &agent->status;
    const char **queues = arena_alloc_array(arena, MEASURE_QUEUES, sizeof *queues);
    gather_counts(agent);
    status->written = clock_wall_ns(agent->clock) / CLOCK_S;
    status->started = agent->started_ns / CLOCK_S;
    status->plan_version = agent->plan ? agent->plan->message.version : 0;
    status->tests = agent->plan ? (int64_t)agent->plan->test_count : 0;
    status->unsupported_tests = agent->plan ? (int64_t)agent->plan->unsupported : 0;
    status->running_rounds = (int64_t)agent_running(agent);
    for (int i = 0; i < MEASURE_QUEUES; i++) {
        double now, most;
        usage_read(&agent->usage, (enum measure_queue)i, loop_now_ns(agent->loop), &now, &most);
        queues[i] = arena_printf(arena, "%s %.2f%% %.2f%%", usage_queue_names[i], now, most);
    }
    status->queues = (struct field_list){.items = queues, .count = MEASURE_QUEUES};
    status->is_clock_corrected = agent->time.is_corrected;
    status->local_problem = *agent->local_problem ? agent->local_problem : NULL;
    status->resident_bytes = resident_bytes();
    status->cpu = cpu_share(agent);
    status->last_error = *agent->last_error ? agent->last_error : NULL;
    status->limits_hit = list_limits(arena);
}

/* Not synced: it is news, not data. */
static void replace_file(struct agent *agent, const char *name, const struct buf *text)
{
    char temp[560];
    const char *path = agent_path(agent, name);
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    int rc = file_write_all(fd, text->data, text->size, temp, NULL);
    (void)close(fd);
    if (rc || rename(temp, path) != 0)
        (void)unlink(temp); /* a full disk is told by the spool */
}

void agent_write_status(struct agent *agent)
{
    struct arena arena;
    arena_init(&arena, 65536);
    gather_status(agent, &arena);
    buf_reset(&agent->status_text);
    agent_status_text(&agent->status, &agent->status_text);
    replace_file(agent, "status", &agent->status_text);
    buf_reset(&agent->status_text);
    agent_status_json(&agent->status, &agent->status_text);
    replace_file(agent, "status.json", &agent->status_text);
    arena_done(&arena);
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

static struct field_list list_types(struct arena *arena)
{
    const char **names = arena_alloc_array(arena, TELL_TYPES, sizeof *names);
    size_t count = 0;
    while (measure_types[count] && count < TELL_TYPES) {
        names[count] = measure_types[count]->name;
        count++;
    }
    return (struct field_list){.items = names, .count = count};
}

static struct field_list list_queues(struct agent *agent, struct arena *arena)
{
    struct message_queue *queues = arena_alloc_array(arena, MEASURE_QUEUES, sizeof *queues);
    for (int i = 0; i < MEASURE_QUEUES; i++) {
        queues[i].name = usage_queue_names[i];
        usage_read(&agent->usage, (enum measure_queue)i, loop_now_ns(agent->loop), &queues[i].now, &queues[i].most);
    }
    return (struct field_list){.items = queues, .count = MEASURE_QUEUES};
}

static void add_addresses(struct agent *agent, struct message_report *report, struct arena *arena)
{
    struct net_address found[NET_ADDRESSES];
    size_t count = net_addresses(agent->net, found, NET_ADDRESSES);
    const char **addresses = arena_alloc_array(arena, count + 1, sizeof *addresses);
    struct message_interface *interfaces = arena_alloc_array(arena, count + 1, sizeof *interfaces);
    for (size_t i = 0; i < count; i++) {
        char text[SOCK_TEXT_BYTES];
        addresses[i] = arena_strdup(arena, sock_ip_text(&found[i].addr, text, sizeof text));
        interfaces[i] = (struct message_interface){.name = arena_strdup(arena, found[i].interface),
                                                   .address = addresses[i]};
    }
    report->addresses = (struct field_list){.items = addresses, .count = count};
    report->interfaces = (struct field_list){.items = interfaces, .count = count};
}

/* The proxy without what it is opened with. */
static struct message_proxy *bare_proxy(const struct message_proxy *proxy, struct arena *arena)
{
    if (!proxy || str_equal(proxy->type, "direct"))
        return NULL;
    struct message_proxy *bare = arena_alloc(arena, sizeof *bare);
    *bare = *proxy;
    bare->password = NULL;
    return bare;
}

void agent_fill_report(void *user, struct message_report *report, struct arena *arena)
{
    struct agent *agent = user;
    struct agent_status *status = &agent->status;
    gather_status(agent, arena);
    report->instance = agent->settings->instance;
    report->version = OCULI_VERSION;
    report->started_ns = agent->started_ns;
    report->types = list_types(arena);
    add_addresses(agent, report, arena);
    report->proxy = bare_proxy(agent->options->proxy, arena);
    report->queues = list_queues(agent, arena);
    report->clock_offset_ns = isnan(status->clock_offset_s) ? FIELD_NO_I64
                                                            : (int64_t)(-status->clock_offset_s * (double)CLOCK_S);
    report->is_clock_corrected = agent->time.is_corrected;
    report->local_problem = status->local_problem;
    report->memory_bytes = status->resident_bytes;
    report->cpu = status->cpu;
    report->tests = status->tests;
    report->unsupported_tests = status->unsupported_tests;
    report->spool_bytes = status->spool_bytes;
    report->spool_oldest_s = status->spool_oldest = oldest_round(agent);
    report->dropped_rounds = status->dropped_rounds;
    report->dropped_bytes = status->dropped_bytes;
    report->damaged_bytes = status->damaged_bytes;
    report->refused_rounds = status->refused_rounds;
    report->missed_slots = status->missed_slots;
    report->clock_steps = status->clock_steps;
    report->limits_hit = status->limits_hit;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static void look_at_cpu(struct agent *agent, int64_t now_ns)
{
    agent->cpu_ns[0] = used_cpu_ns();
    agent->cpu_at_ns[0] = now_ns;
    if (agent->cpu_at_ns[1] && now_ns - agent->cpu_at_ns[1] < 2 * TELL_CPU_NS)
        return;
    if (agent->cpu_at_ns[1]) { /* the older half goes */
        agent->cpu_ns[1] += (agent->cpu_ns[0] - agent->cpu_ns[1]) / 2;
        agent->cpu_at_ns[1] = now_ns - TELL_CPU_NS;
    } else {
        agent->cpu_ns[1] = agent->cpu_ns[0];
        agent->cpu_at_ns[1] = now_ns;
    }
}

static uint64_t hash_addresses(struct agent *agent)
{
    struct net_address found[NET_ADDRESSES];
    size_t count = net_addresses(agent->net, found, NET_ADDRESSES);
    return str_hash(found, count * sizeof *found, 0);
}

/* What a server never takes is gone: somebody may want to know why. */
static void look_at_refused(struct agent *agent)
{
    struct link_counts link = {0};
    if (agent->link)
        link_counts(agent->link, &link);
    if (link.refused > agent->told_refused)
        log_warning("agent",
                    "the server refused %" PRIu64 " rounds: their tests are gone or not this agent's any more, or their "
                    "times are not believed",
                    link.refused - agent->told_refused);
    agent->told_refused = link.refused;
}

void agent_look(struct agent *agent)
{
    static const int families[2] = {AF_INET, AF_INET6};
    struct health_way ways[2];
    struct schedule_counts counts = {0};
    char text[HEALTH_TEXT_BYTES];
    int64_t now_ns = loop_now_ns(agent->loop);
    for (size_t i = 0; i < 2; i++) {
        enum net_way way = net_way(agent->net, families[i], NULL);
        ways[i] = (struct health_way){.has_route = way != NET_NO_WAY, .is_silent = way == NET_SILENT};
    }
    health_look(agent->health, ways, probe_engine_stats(agent->engine)->dropped, now_ns);
    if (agent->schedule)
        schedule_counts(agent->schedule, &counts);
    if (counts.steps != agent->clock_steps)
        health_clock_set(agent->health, now_ns);
    agent->clock_steps = counts.steps;
    look_at_cpu(agent, now_ns);
    look_at_refused(agent);
    const char *problem = health_since(agent->health, now_ns, text);
    if (!problem)
        problem = "";
    uint64_t hash = agent->ticks % REPORT_EVERY_S == 0 ? hash_addresses(agent) : agent->addresses_hash;
    bool is_news = !str_equal(problem, agent->local_problem) || hash != agent->addresses_hash;
    if (!str_equal(problem, agent->local_problem))
        log_warning("agent", *problem ? "something is wrong here: %s" : "nothing is wrong here any more%s", problem);
    agent->addresses_hash = hash;
    (void)str_copy(agent->local_problem, sizeof agent->local_problem, problem);
    if (is_news && agent->report)
        report_kick(agent->report);
}
