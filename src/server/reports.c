#include "server/reports.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define REPORT_BYTES (256u << 10)
#define FORMER 4u /* processes that were taken over, remembered */

const char *const reports_support_words[] = {"supported", "outdated", "unsupported", NULL};

static const struct field local_problem_fields[] = {
    FIELD_STR(struct object_local_problem, agent, "agent", (), "The agent's id in digits"),
    FIELD_ID(struct object_local_problem, agent_id, "agentId", (), "The agent"),
    FIELD_STR(struct object_local_problem, what, "what", (), "What was wrong"),
    FIELD_TIME(struct object_local_problem, start_s, "startDate", (), "Since when"),
    FIELD_TIME(struct object_local_problem, end_s, "endDate", (), "Until when"),
};
static const struct field_table local_problem_table =
    FIELD_TABLE("StoredLocalProblem", struct object_local_problem, local_problem_fields, NULL,
                "A problem of an agent's own machine as it is kept");
const struct object_kind object_local_problem_kind = {.name = "local-problem",
                                                      .table = &local_problem_table,
                                                      .key = OBJECT_NONE,
                                                      .lookup = offsetof(struct object_local_problem, agent),
                                                      .label = OBJECT_NONE};

struct known {
    uint64_t agent_id;
    struct arena arena; /* of the report */
    struct message_report report;
    bool has_report;
    int64_t at_s;
    char instance[MESSAGE_INSTANCE_BYTES], former[FORMER][MESSAGE_INSTANCE_BYTES];
    size_t former_next;
    char peer[64];
    int64_t instance_s, twins_s;
    char notice[256];
    uint64_t notice_hash;
    bool is_notice_settled;
};

struct reports {
    struct store *store;
    const struct clock *clock;
    struct map known; /* struct known by agent id */
};

struct reports *reports_new(struct store *store, const struct clock *clock)
{
    struct reports *reports = mem_alloc(sizeof *reports);
    reports->store = store;
    reports->clock = clock;
    return reports;
}

static void known_free(struct known *known)
{
    if (known)
        arena_done(&known->arena);
    mem_free(known);
}

void reports_free(struct reports *reports)
{
    if (!reports)
        return;
    size_t at = 0;
    for (struct known *known; (known = map_next(&reports->known, &at)) != NULL;)
        known_free(known);
    map_done(&reports->known);
    mem_free(reports);
}

void reports_forget(struct reports *reports, uint64_t agent_id)
{
    known_free(map_remove(&reports->known, agent_id));
}

static int64_t now_s(const struct reports *reports)
{
    return clock_wall_ns(reports->clock) / CLOCK_S;
}

static struct known *know(struct reports *reports, uint64_t agent_id)
{
    struct known *known = map_get(&reports->known, agent_id);
    if (!known) {
        known = mem_alloc(sizeof *known);
        known->agent_id = agent_id;
        arena_init(&known->arena, REPORT_BYTES);
        map_put(&reports->known, agent_id, known);
    }
    return known;
}

/* --- what is kept in the store ------------------------------------------------------------------------------------ */

static bool same_texts(const struct field_list *a, const struct field_list *b)
{
    const char *const *x = a->items, *const *y = b->items;
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++)
        is_same = strcmp(x[i], y[i]) == 0;
    return is_same;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* What the agent tells of itself changes seldom, and is then written down. */
static int follow(struct reports *reports, uint64_t agent_id, const struct message_report *report, struct arena *arena,
                  struct error *err)
{
    struct object_agent agent;
    int rc = object_get(reports->store, &object_agent_kind, agent_id, 0, arena, &agent, err);
    if (rc)
        return rc == -E_NOT_FOUND ? 0 : rc;
    bool has_moved = report->addresses.items && !same_texts(&agent.ip_addresses, &report->addresses);
    if (!has_moved && same_text(agent.software, report->version))
        return 0;
    agent.software = report->version;
    if (has_moved)
        agent.ip_addresses = report->addresses;
    return object_put(reports->store, &object_agent_kind, &agent, now_s(reports), err);
}

/* Ends a problem that is over or another now, and begins a new one. */
static int note_problem(struct reports *reports, const struct object_agent *agent, const char *what,
                        struct arena *arena, struct error *err)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRIu64, agent->head.id);
    struct field_list all = {0};
    int rc = object_list(reports->store, &object_local_problem_kind, agent->head.aid, id, arena, &all, err);
    struct object_local_problem *problem = all.items;
    bool is_known = false;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (problem[i].end_s)
            continue;
        is_known = what && same_text(problem[i].what, what);
        if (is_known)
            continue;
        problem[i].end_s = now_s(reports);
        rc = object_put(reports->store, &object_local_problem_kind, &problem[i], now_s(reports), err);
        log_info("agent", "agent %" PRIu64 " (%s): %s is over", agent->head.id, agent->name, problem[i].what);
    }
    if (rc || !what || is_known)
        return rc;
    struct object_local_problem fresh = {
        .head.aid = agent->head.aid, .agent = id, .agent_id = agent->head.id, .what = what, .start_s = now_s(reports)};
    log_warning("agent", "agent %" PRIu64 " (%s) has a problem of its own: %s", agent->head.id, agent->name, what);
    return object_put(reports->store, &object_local_problem_kind, &fresh, now_s(reports), err);
}

int reports_take(struct reports *reports, const struct object_agent *agent, const struct message_report *report,
                 struct error *err)
{
    struct known *known = know(reports, agent->head.id);
    struct arena arena;
    const char *before = known->has_report ? known->report.local_problem : NULL;
    const char *what = report->local_problem && *report->local_problem ? report->local_problem : NULL;
    bool is_other = !known->has_report || !same_text(before, what);
    arena_init(&arena, 4u << 20);
    int rc = follow(reports, agent->head.id, report, &arena, err);
    if (!rc && is_other)
        rc = note_problem(reports, agent, what, &arena, err);
    arena_done(&arena);
    if (rc)
        return rc;
    known->has_report = false;
    arena_done(&known->arena);
    arena_init(&known->arena, REPORT_BYTES);
    rc = field_copy(&message_report_table, report, &known->report, &known->arena);
    if (rc)
        return error_set(err, E_LIMIT, "report", "the report is too large");
    known->has_report = true;
    known->at_s = now_s(reports);
    return 0;
}

const struct message_report *reports_last(const struct reports *reports, uint64_t agent_id, int64_t *ret_at_s)
{
    const struct known *known = map_get(&reports->known, agent_id);
    if (!known || !known->has_report)
        return NULL;
    if (ret_at_s)
        *ret_at_s = known->at_s;
    return &known->report;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

bool reports_instance(struct reports *reports, uint64_t agent_id, const char *instance, const char *peer, char *ret_why,
                      size_t why_size)
{
    if (!instance || !*instance || strlen(instance) >= MESSAGE_INSTANCE_BYTES)
        return true;
    struct known *known = know(reports, agent_id);
    if (strcmp(known->instance, instance) == 0)
        return true;
    for (size_t i = 0; i < FORMER; i++) {
        if (strcmp(known->former[i], instance) != 0)
            continue;
        char when[CLOCK_ISO_BYTES];
        (void)snprintf(ret_why, why_size, "another process with this identity took over at %s, from %s",
                       clock_iso(known->instance_s, when, sizeof when), known->peer);
        log_warning("agent", "agent %" PRIu64 " runs twice: here %s, and %s since %s", agent_id, peer, known->peer, when);
        known->twins_s = now_s(reports);
        return false;
    }
    if (*known->instance) {
        memcpy(known->former[known->former_next], known->instance, sizeof known->instance);
        known->former_next = (known->former_next + 1) % FORMER;
    }
    (void)str_copy(known->instance, sizeof known->instance, instance);
    (void)str_copy(known->peer, sizeof known->peer, peer ? peer : "");
    known->instance_s = now_s(reports);
    return true;
}

int64_t reports_twins_s(const struct reports *reports, uint64_t agent_id)
{
    const struct known *known = map_get(&reports->known, agent_id);
    return known ? known->twins_s : 0;
}

/* --- notices ------------------------------------------------------------------------------------------------------ */

bool reports_set_notice(struct reports *reports, uint64_t agent_id, const char *notice, uint64_t hash)
{
    struct known *known = know(reports, agent_id);
    bool is_same = known->is_notice_settled && known->notice_hash == hash;
    (void)str_copy(known->notice, sizeof known->notice, notice ? notice : "");
    known->notice_hash = hash;
    known->is_notice_settled = true;
    return is_same;
}

void reports_unsettle_notice(struct reports *reports, uint64_t agent_id)
{
    know(reports, agent_id)->is_notice_settled = false;
}

const char *reports_notice(const struct reports *reports, uint64_t agent_id)
{
    const struct known *known = map_get(&reports->known, agent_id);
    return known && *known->notice ? known->notice : NULL;
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

static bool read_version(const char *text, int ret_parts[3])
{
    ret_parts[2] = 0;
    return text && sscanf(text, "%4d.%4d.%4d", &ret_parts[0], &ret_parts[1], &ret_parts[2]) >= 2;
}

enum reports_support reports_support_of(const char *version, const char *server_version)
{
    int own[3], servers[3];
    if (!read_version(version, own) || !read_version(server_version, servers))
        return REPORTS_SUPPORTED;
    if (own[0] != servers[0])
        return own[0] < servers[0] ? REPORTS_UNSUPPORTED : REPORTS_SUPPORTED;
    if (servers[1] - own[1] > REPORTS_SUPPORTED_MINORS)
        return REPORTS_UNSUPPORTED;
    bool is_older = own[1] < servers[1] || (servers[0] == 0 && own[1] == servers[1] && own[2] < servers[2]);
    return is_older ? REPORTS_OUTDATED : REPORTS_SUPPORTED;
}
