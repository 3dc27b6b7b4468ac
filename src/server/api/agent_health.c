/*
 * How agents are, as answers show it: from when they spoke (presence.h) and what they report (reports.h).
 */
#include <string.h>

#include "base/str.h"
#include "server/about.h"
#include "server/api/agents.h"
#include "server/presence.h"
#include "server/reports.h"

#define R (.flags = FIELD_READONLY)

const char *const agents_state_words[] = {"online", "offline", "disabled", NULL};

struct detail {
    const char *code, *description;
};
static const struct field detail_fields[] = {
    FIELD_STR(struct detail, code, "code", R, "What is wrong"),
    FIELD_STR(struct detail, description, "description", R, "The same in words"),
};
const struct field_table agents_detail_table =
    FIELD_TABLE("ErrorDetail", struct detail, detail_fields, NULL, "What is wrong with an agent");

struct interface {
    const char *name;
    struct field_list addresses;
};
static const struct field interface_fields[] = {
    FIELD_STR(struct interface, name, "interfaceName", R, "Name of the interface"),
    FIELD_STRS(struct interface, addresses, "ipAddresses", R, "Its addresses"),
};
const struct field_table agents_interface_table =
    FIELD_TABLE("InterfaceIpMapping", struct interface, interface_fields, NULL, "Addresses of an interface");

static const struct field extra_fields[] = {
    FIELD_STR(struct api_agent_extra, version, "version", R, "Version of its program"),
    FIELD_F64(struct api_agent_extra, clock_offset_ms, "clockOffset", (.flags = FIELD_READONLY, .unit = "ms"),
              "Its clock minus the server's"),
    FIELD_STR(struct api_agent_extra, support, "support", R, "Of that version: supported, outdated or unsupported"),
    FIELD_LIST(struct api_agent_extra, problems, "problems", &agents_detail_table, R,
               "What is wrong with it, also what API v7 has no code for"),
    FIELD_ID(struct api_agent_extra, proxy_id, "proxyId", R, "Proxy of its tests"),
    FIELD_RECORD_PTR(struct api_agent_extra, report, "report", &message_report_table, R,
                     "What it last told of itself"),
};
const struct field_table agents_extra_table =
    FIELD_TABLE("AgentExtra", struct api_agent_extra, extra_fields, NULL, "What API v7 has no place for");

struct member {
    uint64_t id;
    const char *name, *network, *target_for_tests;
    struct field_list ip_addresses, public_ip_addresses, error_details;
    int64_t last_seen_s;
    int state;
    int32_t utilization;
    struct api_agent_extra extra;
};
static const struct field member_fields[] = {
    FIELD_ID(struct member, id, "memberId", R, "Id of the member"),
    FIELD_STR(struct member, name, "name", R, "Name of the member"),
    FIELD_STRS(struct member, ip_addresses, "ipAddresses", R, "Its own addresses"),
    FIELD_STRS(struct member, public_ip_addresses, "publicIpAddresses", R, "Addresses the server sees it with"),
    FIELD_STR(struct member, network, "network", R, "Network of its public address"),
    FIELD_LIST(struct member, error_details, "errorDetails", &agents_detail_table, R, "What is wrong with it"),
    FIELD_TIME(struct member, last_seen_s, "lastSeen", R, "When it last spoke"),
    FIELD_ENUM(struct member, state, "agentState", agents_state_words, R, "Whether it is there"),
    FIELD_STR(struct member, target_for_tests, "targetForTests", R, "Address other agents measure"),
    FIELD_I32(struct member, utilization, "utilization", (.flags = FIELD_READONLY, .unit = "%"),
              "How much of its time it is in use"),
    FIELD_RECORD(struct member, extra, "oculi", &agents_extra_table, R, "What API v7 has no place for"),
};
const struct field_table agents_member_table =
    FIELD_TABLE("ClusterMember", struct member, member_fields, NULL, "A member of a cluster of agents");

/* --- one machine --------------------------------------------------------------------------------------------------------- */

struct health {
    int64_t seen_s, clock_us;
    bool is_here;
    int32_t utilization;
    const struct message_report *report; /* fresh, or NULL */
    enum reports_support support;
    struct field_list details, problems;
};

#define DETAILS_MAX 8u
struct details {
    struct detail items[DETAILS_MAX];
    size_t count, v7; /* the first v7 have codes of API v7 */
};

static void add(struct details *details, const char *code, const char *description, bool is_v7)
{
    if (details->count == DETAILS_MAX || !description)
        return;
    struct detail item = {code, description};
    if (is_v7) {
        memmove(details->items + details->v7 + 1, details->items + details->v7,
                (details->count - details->v7) * sizeof item);
        details->items[details->v7++] = item;
    } else {
        details->items[details->count] = item;
    }
    details->count++;
}

static void add_clock(struct request *request, const struct health *health, struct details *details)
{
    bool is_corrected = health->report && health->report->is_clock_corrected;
    if (health->clock_us == FIELD_NO_I64 ||
        (health->clock_us < REPORTS_CLOCK_US && health->clock_us > -REPORTS_CLOCK_US))
        return;
    int64_t off_s = (health->clock_us < 0 ? -health->clock_us : health->clock_us) / 1000000;
    add(details, "clock-offset",
        arena_printf(request->arena, "Its clock is %lld s %s. %s", (long long)off_s,
                     health->clock_us < 0 ? "slow" : "fast",
                     is_corrected ? "It stamps its rounds with the server's time meanwhile."
                                  : "Rounds that seem to come from the future are refused."),
        true);
}

static void find_problems(struct request *request, const struct object_agent *agent, struct health *health)
{
    struct details *details = arena_alloc(request->arena, sizeof *details);
    health->details = health->problems = (struct field_list){"", 0};
    if (!details)
        return;
    *details = (struct details){.count = 0};
    if (health->support != REPORTS_SUPPORTED)
        add(details, "agent-version-outdated",
            arena_printf(request->arena, "Version %s is %s; this server is %s.", agent->software,
                         health->support == REPORTS_OUTDATED ? "older than it should be" : "no longer supported",
                         OCULI_VERSION),
            true);
    add_clock(request, health, details);
    int64_t twins_s = reports_twins_s(request->server->reports, agent->head.id);
    if (twins_s && server_now_s(request->server) - twins_s < REPORTS_TWINS_S)
        add(details, "two-identities",
            "Two machines or processes run with this agent's identity. One of them measures nothing; give it an identity "
            "of its own.",
            false);
    if (health->is_here && health->report && health->report->local_problem)
        add(details, "local-problem",
            arena_printf(request->arena, "Something is wrong at the agent itself: %s.", health->report->local_problem), false);
    if (health->report && health->report->unsupported_tests > 0)
        add(details, "unsupported-tests",
            arena_printf(request->arena, "It cannot run %lld of its tests.", (long long)health->report->unsupported_tests),
            false);
    if (health->report && health->report->dropped_rounds > 0)
        add(details, "dropped-rounds",
            arena_printf(request->arena, "It had to drop %lld rounds since it was started, for lack of room or age.",
                         (long long)health->report->dropped_rounds),
            false);
    const char *notice = reports_notice(request->server->reports, agent->head.id);
    if (notice)
        add(details, "notification", arena_printf(request->arena, "A notification rule holds: %s.", notice), false);
    if (details->v7)
        health->details = (struct field_list){details->items, details->v7};
    if (details->count)
        health->problems = (struct field_list){details->items, details->count};
}

static void look(struct request *request, const struct object_agent *agent, struct health *ret_health)
{
    const struct server *server = request->server;
    int64_t at_s = 0, now_s = server_now_s(server);
    *ret_health = (struct health){.seen_s = presence_last_seen_s(server->presence, agent->head.id),
                                  .clock_us = presence_clock_us(server->presence, agent->head.id),
                                  .utilization = FIELD_NO_I32,
                                  .report = reports_last(server->reports, agent->head.id, &at_s),
                                  .support = reports_support_of(agent->software, OCULI_VERSION)};
    if (ret_health->seen_s < agent->last_seen_s)
        ret_health->seen_s = agent->last_seen_s;
    if (ret_health->clock_us == FIELD_NO_I64)
        ret_health->clock_us = agent->clock_offset_us;
    ret_health->is_here = now_s - ret_health->seen_s < PRESENCE_SILENT_S &&
                          !(ret_health->report && ret_health->report->is_leaving && ret_health->seen_s <= at_s);
    if (ret_health->report && now_s - at_s >= REPORTS_FRESH_S)
        ret_health->report = NULL;
    const struct message_queue *queues = ret_health->report ? ret_health->report->queues.items : NULL;
    for (size_t i = 0; ret_health->is_here && queues && i < ret_health->report->queues.count; i++) {
        int32_t most = (int32_t)(queues[i].most + 0.5);
        if (ret_health->utilization == FIELD_NO_I32 || most > ret_health->utilization)
            ret_health->utilization = most;
    }
    find_problems(request, agent, ret_health);
}

bool agents_is_here(struct request *request, const struct object_agent *agent)
{
    struct health health;
    look(request, agent, &health);
    return health.is_here;
}

/* The report has one line for each address; an interface may have several. */
static struct field_list group_interfaces(struct request *request, const struct message_report *report)
{
    size_t count = report ? report->interfaces.count : 0, groups = 0;
    const struct message_interface *lines = count ? report->interfaces.items : NULL;
    struct interface *items = count ? arena_alloc_array(request->arena, count, sizeof *items) : NULL;
    for (size_t i = 0; items && i < count; i++) {
        size_t at = 0;
        while (at < groups && strcmp(items[at].name, lines[i].name) != 0)
            at++;
        const char **addresses = at < groups ? (const char **)(uintptr_t)items[at].addresses.items
                                             : arena_alloc_array(request->arena, count, sizeof *addresses);
        if (!addresses)
            break;
        if (at == groups)
            items[groups++] = (struct interface){lines[i].name, {addresses, 0}};
        addresses[items[at].addresses.count++] = lines[i].address;
    }
    return (struct field_list){groups ? (void *)items : (void *)"", groups};
}

static struct api_agent_extra extra_of(const struct object_agent *agent, const struct health *health)
{
    return (struct api_agent_extra){
        .version = agent->software,
        .clock_offset_ms = health->clock_us == FIELD_NO_I64 ? NAN : (double)health->clock_us / 1e3,
        .support = reports_support_words[health->support],
        .problems = health->problems,
        .report = health->report,
    };
}

/* --- clusters ------------------------------------------------------------------------------------------------------------ */

static int32_t larger(int32_t a, int32_t b)
{
    return a == FIELD_NO_I32 || (b != FIELD_NO_I32 && b > a) ? b : a;
}

static void add_texts(struct request *request, struct field_list *to, const struct field_list *from)
{
    const char **items = arena_alloc_array(request->arena, to->count + from->count + 1, sizeof *items);
    const char *const *more = from->items;
    if (!items)
        return;
    if (to->count)
        memcpy(items, to->items, to->count * sizeof *items);
    for (size_t i = 0; i < from->count; i++)
        items[to->count + i] = more[i];
    *to = (struct field_list){items, to->count + from->count};
}

/* A cluster is there while a member is, and as busy as the busiest of them. */
static void fill_cluster(struct request *request, const struct object_agent *cluster, struct api_agent *ret_agent,
                         bool *ret_here)
{
    struct field_list stored = {0};
    struct member *members = NULL;
    size_t count = 0;
    if (object_list_members(request->server->store, cluster->head.id, request->arena, &stored, NULL) == 0)
        members = arena_alloc_array(request->arena, stored.count + 1, sizeof *members);
    const struct object_agent *agent = stored.items;
    ret_agent->ip_addresses = ret_agent->public_ip_addresses = (struct field_list){"", 0};
    *ret_here = false;
    for (size_t i = 0; members && i < stored.count; i++) {
        struct health health;
        look(request, &agent[i], &health);
        const char *const *public = agent[i].public_ip_addresses.items;
        const char *prefix = NULL;
        members[count] = (struct member){
            .id = agent[i].head.id,
            .name = agent[i].head.id == cluster->head.id && agent[i].hostname ? agent[i].hostname : agent[i].name,
            .network = agent[i].network,
            .target_for_tests = agent[i].head.id == cluster->head.id ? NULL : agent[i].target_for_tests,
            .ip_addresses = agent[i].ip_addresses,
            .public_ip_addresses = agent[i].public_ip_addresses,
            .error_details = health.details,
            .last_seen_s = health.seen_s,
            .state = !cluster->enabled ? AGENTS_DISABLED : health.is_here ? AGENTS_ONLINE : AGENTS_OFFLINE,
            .utilization = health.utilization,
            .extra = extra_of(&agent[i], &health)};
        if (agent[i].public_ip_addresses.count && !agent[i].network)
            about_address(request->server->about, public[0], &members[count].network, &prefix, request->arena);
        add_texts(request, &ret_agent->ip_addresses, &agent[i].ip_addresses);
        add_texts(request, &ret_agent->public_ip_addresses, &agent[i].public_ip_addresses);
        ret_agent->utilization = larger(ret_agent->utilization, health.utilization);
        ret_agent->last_seen_s = count == 0 || health.seen_s > ret_agent->last_seen_s ? health.seen_s
                                                                                     : ret_agent->last_seen_s;
        *ret_here = *ret_here || health.is_here;
        count++;
    }
    ret_agent->cluster_members = (struct field_list){count ? (void *)members : (void *)"", count};
}

void agents_fill_health(struct request *request, const struct object_agent *agent, struct api_agent *ret_agent)
{
    struct health health;
    uint64_t proxy_id = ret_agent->extra.proxy_id;
    look(request, agent, &health);
    ret_agent->last_seen_s = health.seen_s;
    ret_agent->utilization = health.utilization;
    ret_agent->error_details = health.details;
    ret_agent->interfaces = group_interfaces(request, health.report);
    ret_agent->extra = extra_of(agent, &health);
    ret_agent->extra.proxy_id = proxy_id;
    if (agent->is_cluster)
        fill_cluster(request, agent, ret_agent, &health.is_here);
    ret_agent->state = !agent->enabled ? AGENTS_DISABLED : health.is_here ? AGENTS_ONLINE : AGENTS_OFFLINE;
}
