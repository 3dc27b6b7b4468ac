/*
 * Rules that say when people hear of an agent: /v7/agents/notification-rules. API v7 only shows them; they are made and
 * changed under /oculi/v1/agent-notification-rules. A rule that holds is told in the log, in the audit log and with the
 * agent; when it holds no more, again if the rule wants that. What is told now is kept, so that a restart tells nothing
 * twice.
 *
 * An expression is one condition or several, in parentheses or not, all joined by && or all by ||: "((lastContact >= 30
 * min))", "clockOffset >= 10 s || utilization >= 80 %".
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "server/api/agents.h"
#include "server/presence.h"
#include "server/reports.h"
#include "server/resource.h"
#include "server/stream.h"

struct rule {
    struct object_head head;
    const char *name, *expression;
    bool notifies_on_clear, is_default;
    struct field_list agents; /* uint64_t */
    int64_t created_s;
};

#define R (.flags = FIELD_READONLY)
#define COMMON_FIELDS                                                                                                  \
    FIELD_STR(struct rule, name, "ruleName", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),                          \
              "Its name, unique in the account group"),                                                                \
    FIELD_STR(struct rule, expression, "expression", (.flags = FIELD_REQUIRED, .min = 1, .max = 1000),                 \
              "When it holds"),                                                                                        \
    FIELD_BOOL(struct rule, notifies_on_clear, "notifyOnClear", (.preset = "true"), "Tell also when it holds no more"), \
    FIELD_BOOL(struct rule, is_default, "isDefault", (.preset = "false"), "It is for all agents that join after it too")
#define AGENT_FIELD FIELD_IDS(struct rule, agents, "agents", (.preset = "", .max = 10000), "Agents it is for")
static const struct field stored_fields[] = {
    COMMON_FIELDS,
    AGENT_FIELD,
    FIELD_TIME(struct rule, created_s, "createdDate", (), "When it was made"),
};
static const struct field_table stored_table =
    FIELD_TABLE("StoredNotificationRule", struct rule, stored_fields, NULL, "A notification rule as it is kept");
static const struct field request_fields[] = {COMMON_FIELDS, AGENT_FIELD};
static const struct field_table request_table =
    FIELD_TABLE("NotificationRuleRequest", struct rule, request_fields, NULL, "A notification rule of agents");
static const struct field answer_fields[] = {FIELD_ID(struct rule, head.id, "ruleId", R, "Its id"), COMMON_FIELDS};
static const struct field_table answer_table =
    FIELD_TABLE("NotificationRule", struct rule, answer_fields, NULL, "A notification rule of agents");

const struct object_kind api_agent_rule_kind = {.name = "agent-notification-rule",
                                                .table = &stored_table,
                                                .key = offsetof(struct rule, name),
                                                .lookup = OBJECT_NONE,
                                                .title = "Agent notification rule",
                                                .resource = "agentNotificationRuleName",
                                                .label = offsetof(struct rule, name)};

/* One that was told and not over yet. */
struct told {
    struct object_head head;
    const char *agent; /* the lookup: its id in digits */
    uint64_t rule_id, agent_id;
    int64_t since_s;
};
static const struct field told_fields[] = {
    FIELD_STR(struct told, agent, "agent", (), "The agent's id in digits"),
    FIELD_ID(struct told, rule_id, "ruleId", (), "The rule"),
    FIELD_ID(struct told, agent_id, "agentId", (), "The agent"),
    FIELD_TIME(struct told, since_s, "since", (), "Since when"),
};
static const struct field_table told_table =
    FIELD_TABLE("StoredNotification", struct told, told_fields, NULL, "A notification that goes on");
const struct object_kind api_agent_notice_kind = {.name = "agent-notification",
                                                  .table = &told_table,
                                                  .key = OBJECT_NONE,
                                                  .lookup = offsetof(struct told, agent),
                                                  .label = OBJECT_NONE};

/* --- expressions ---------------------------------------------------------------------------------------------------- */

struct facts {
    double values[3]; /* of metrics below; NaN = not known: no condition on it holds */
};
enum { LAST_CONTACT_S, CLOCK_OFFSET_S, UTILIZATION };
static const struct {
    const char *name;
    int fact;
    struct {
        const char *unit;
        double factor;
    } units[4]; /* the first also when none is given */
} metrics[] = {
    {"lastContact", LAST_CONTACT_S, {{"min", 60}, {"s", 1}, {"h", 3600}, {"d", 86400}}},
    {"clockOffset", CLOCK_OFFSET_S, {{"s", 1}, {"ms", 1e-3}, {"min", 60}, {"h", 3600}}},
    {"utilization", UTILIZATION, {{"%", 1}}},
};

static void skip(const char **at)
{
    *at += strspn(*at, " \t()");
}

/* 1 holds, 0 does not, -1 is no condition. */
static int read_condition(const char **at, const struct facts *facts)
{
    size_t m = 0, count = sizeof metrics / sizeof metrics[0];
    skip(at);
    while (m < count && strncmp(*at, metrics[m].name, strlen(metrics[m].name)) != 0)
        m++;
    if (m == count)
        return -1;
    *at += strlen(metrics[m].name);
    skip(at);
    if (**at != '>')
        return -1;
    *at += (*at)[1] == '=' ? 2 : 1;
    skip(at);
    char *end;
    double bound = isdigit((unsigned char)**at) ? strtod(*at, &end) : -1;
    if (bound < 0)
        return -1;
    *at = end;
    skip(at);
    size_t n = strcspn(*at, " \t()&|"), u = 0;
    while (n && u < 4 && !(metrics[m].units[u].unit && strlen(metrics[m].units[u].unit) == n &&
                           strncmp(*at, metrics[m].units[u].unit, n) == 0))
        u++;
    if (u == 4)
        return -1;
    *at += n;
    skip(at);
    return facts->values[metrics[m].fact] >= bound * metrics[m].units[u].factor;
}

static int evaluate(const char *expression, const struct facts *facts)
{
    const char *at = expression;
    int result = read_condition(&at, facts);
    char joint = 0;
    while (result >= 0 && *at) {
        if ((at[0] != '&' && at[0] != '|') || at[1] != at[0] || (joint && joint != at[0]))
            return -1;
        joint = at[0];
        at += 2;
        int next = read_condition(&at, facts);
        result = next < 0 ? -1 : joint == '&' ? result && next : result || next;
    }
    return result;
}

static int check(struct request *request, const void *before, void *record, struct error *err)
{
    struct rule *rule = record;
    const uint64_t *ids = rule->agents.items;
    const struct facts none = {{NAN, NAN, NAN}};
    if (evaluate(rule->expression, &none) < 0)
        return error_set(err, E_INVALID, "expression",
                         "is no condition like lastContact >= 30 min, clockOffset >= 10 s or utilization >= 80 %%, or "
                         "several joined by && or by ||");
    for (size_t i = 0; i < rule->agents.count; i++) {
        struct object_agent agent;
        int rc = object_get_agent(request->server->store, ids[i], request->aid, request->arena, &agent, err);
        if (rc)
            return rc == -E_NOT_FOUND ? error_set(err, E_INVALID, "agents", "There is no agent %llu",
                                                  (unsigned long long)ids[i])
                                      : rc;
    }
    if (!before)
        rule->created_s = server_now_s(request->server);
    return 0;
}

static bool is_for(const struct rule *rule, const struct object_agent *agent)
{
    const uint64_t *ids = rule->agents.items;
    for (size_t i = 0; i < rule->agents.count; i++) {
        if (ids[i] == agent->head.id)
            return true;
    }
    return rule->is_default && agent->head.aid == rule->head.aid && agent->created_s >= rule->created_s;
}

int api_make_default_rule(struct store *store, uint64_t aid, int64_t now_s, struct error *err)
{
    struct rule rule = {.head.aid = aid,
                        .name = "Default Agent Offline Notification",
                        .expression = "((lastContact >= 30 min))",
                        .notifies_on_clear = true,
                        .is_default = true,
                        .agents = {"", 0},
                        .created_s = now_s};
    return object_put(store, &api_agent_rule_kind, &rule, now_s, err);
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

#define SLICE_AGENTS 128u /* looked at in one turn */

struct round {
    struct server *server;
    struct arena arena;
    struct field_list rules; /* of all account groups */
    struct object_agent *agents;
    size_t count;
    int rc;
    struct error err;
};

static bool take_agent(void *user, const struct store_object *object)
{
    struct round *round = user;
    round->rc = object_decode(&object_agent_kind, object, &round->arena, &round->agents[round->count], &round->err);
    round->count += round->rc == 0;
    return round->rc == 0;
}

/* Members make their cluster's facts: the last word of any of them, the worst of the rest. */
static struct facts facts_of(struct round *round, const struct object_agent *agent)
{
    const struct server *server = round->server;
    struct field_list members = {(void *)(uintptr_t)agent, 1};
    struct facts facts = {{NAN, NAN, NAN}};
    if (agent->is_cluster)
        (void)object_list_members(server->store, agent->head.id, &round->arena, &members, NULL);
    const struct object_agent *member = members.items;
    int64_t seen = 0;
    for (size_t i = 0; i < members.count; i++) {
        int64_t here = presence_last_seen_s(server->presence, member[i].head.id);
        int64_t clock_us = presence_clock_us(server->presence, member[i].head.id);
        const struct message_report *report = here ? reports_last(server->reports, member[i].head.id, NULL) : NULL;
        const struct message_queue *queues = report ? report->queues.items : NULL;
        seen = here > seen ? here : seen;
        seen = member[i].last_seen_s > seen ? member[i].last_seen_s : seen;
        if (here && clock_us != FIELD_NO_I64)
            facts.values[CLOCK_OFFSET_S] = fmax(facts.values[CLOCK_OFFSET_S], fabs((double)clock_us) / 1e6);
        for (size_t j = 0; queues && j < report->queues.count; j++)
            facts.values[UTILIZATION] = fmax(facts.values[UTILIZATION], queues[j].most);
    }
    facts.values[LAST_CONTACT_S] = (double)(server_now_s(server) - seen);
    return facts;
}

static int tell(struct round *round, const struct rule *rule, const struct object_agent *agent, bool is_on)
{
    struct server *server = round->server;
    struct object_audit entry = {.head.aid = rule->head.aid,
                                 .event = is_on ? "Agent notification raised" : "Agent notification cleared",
                                 .user = arena_printf(&round->arena, "Rule %s", rule->name),
                                 .ip = "",
                                 .resource_type = "agentName",
                                 .resource_name = agent->name};
    if (is_on)
        log_warning("agent", "%s: %s (agent %llu), %s", rule->name, agent->name, (unsigned long long)agent->head.id,
                    rule->expression);
    else
        log_info("agent", "%s: %s (agent %llu) is over", rule->name, agent->name, (unsigned long long)agent->head.id);
    stream_agent(server->stream, agent->head.aid, agent->head.id,
                 presence_last_seen_s(server->presence, agent->head.id) ? "online" : "offline");
    api_stream_told(server);
    return object_put(server->store, &object_audit_kind, &entry, server_now_s(server), &round->err);
}

/* Puts what holds beside what was told. */
static int settle(struct round *round, const struct object_agent *agent, const bool *holds, struct field_list *all)
{
    const struct rule *rules = round->rules.items;
    struct told *told = all->items;
    struct store *store = round->server->store;
    int64_t now = server_now_s(round->server);
    int rc = 0;
    for (size_t i = 0; !rc && i < all->count; i++) {
        size_t r = 0;
        while (r < round->rules.count && rules[r].head.id != told[i].rule_id)
            r++;
        if (r < round->rules.count && holds[r])
            continue;
        rc = store_purge(store, api_agent_notice_kind.name, told[i].head.id, &round->err);
        if (!rc && r < round->rules.count && rules[r].notifies_on_clear)
            rc = tell(round, &rules[r], agent, false);
    }
    for (size_t r = 0; !rc && r < round->rules.count; r++) {
        bool is_told = false;
        for (size_t i = 0; i < all->count; i++)
            is_told = is_told || told[i].rule_id == rules[r].head.id;
        if (!holds[r] || is_told)
            continue;
        struct told fresh = {.head.aid = rules[r].head.aid,
                             .agent = arena_printf(&round->arena, "%llu", (unsigned long long)agent->head.id),
                             .rule_id = rules[r].head.id,
                             .agent_id = agent->head.id,
                             .since_s = now};
        rc = object_put(store, &api_agent_notice_kind, &fresh, now, &round->err);
        if (!rc)
            rc = tell(round, &rules[r], agent, true);
    }
    return rc;
}

static int look_at(struct round *round, const struct object_agent *agent)
{
    const struct rule *rules = round->rules.items;
    struct reports *reports = round->server->reports;
    bool *holds = arena_alloc_array(&round->arena, round->rules.count + 1, sizeof *holds);
    const char *notice = NULL;
    if (object_agent_is_hidden(agent) || !holds)
        return 0;
    struct facts facts = facts_of(round, agent);
    for (size_t i = 0; i < round->rules.count; i++) {
        holds[i] = agent->enabled && is_for(&rules[i], agent) && evaluate(rules[i].expression, &facts) == 1;
        if (holds[i] && !notice)
            notice = rules[i].name;
    }
    bool is_same = reports_set_notice(reports, agent->head.id, notice, str_hash(holds, round->rules.count, 6));
    if (is_same)
        return 0;
    char id[24];
    struct field_list told = {0};
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)agent->head.id);
    int rc = object_list(round->server->store, &api_agent_notice_kind, 0, id, &round->arena, &told, &round->err);
    if (!rc)
        rc = settle(round, agent, holds, &told);
    if (rc)
        reports_unsettle_notice(reports, agent->head.id); /* tried again in the next round */
    return rc;
}

void api_check_agent_rules(struct server *server)
{
    struct round round = {.server = server};
    char text[600];
    arena_init(&round.arena, 64u << 20);
    round.agents = arena_alloc_array(&round.arena, SLICE_AGENTS, sizeof *round.agents);
    int rc = object_list(server->store, &api_agent_rule_kind, 0, NULL, &round.arena, &round.rules, &round.err);
    if (!rc && round.rules.count && round.agents) {
        rc = store_list(server->store, object_agent_kind.name, 0, NULL, server->rules_at, SLICE_AGENTS, take_agent, &round,
                        &round.err);
        server->rules_at = round.count == SLICE_AGENTS ? round.agents[round.count - 1].head.id : 0;
    }
    rc = rc ? rc : round.rc;
    for (size_t i = 0; !rc && i < round.count; i++)
        rc = look_at(&round, &round.agents[i]);
    if (rc)
        log_warning("agent", "notification rules cannot be followed: %s", error_format(&round.err, text, sizeof text));
    arena_done(&round.arena);
}

/* --- routes ------------------------------------------------------------------------------------------------------------- */

static int show(struct request *request, const void *record, json_t *json, struct error *err)
{
    const struct rule *rule = record;
    struct field_list all = {0};
    int rc = object_list_agents(request->server->store, request->aid, request->arena, &all, err);
    const struct object_agent *agent = all.items;
    json_t *list = json_array();
    for (size_t i = 0; !rc && i < all.count; i++) {
        struct api_agent shown;
        if (!is_for(rule, &agent[i]))
            continue;
        api_agent_fill(request, &agent[i], &shown);
        (void)json_array_append_new(list, field_to_json(&api_simple_agent_table, &shown, NULL));
    }
    (void)json_object_set_new(json, "agents", list);
    (void)json_object_set_new(json, "notifications", json_pack("{s:{s:[]}, s:[], s:[]}", "email", "recipients",
                                                                "thirdParty", "webhook"));
    return rc;
}

static const struct resource rules = {.kind = &api_agent_rule_kind,
                                      .path = "/v7/agents/notification-rules",
                                      .param = "notificationRuleId",
                                      .uuid = OBJECT_NONE,
                                      .key = "ruleName",
                                      .check = check,
                                      .show = show};

static int list_v7(struct request *request, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, rules.kind, request->aid, NULL, request->arena, &all, err);
    if (rc)
        return rc;
    const struct rule *rule = all.items;
    json_t *list = json_array();
    for (size_t i = 0; i < all.count; i++)
        (void)json_array_append_new(list, field_to_json(&answer_table, &rule[i], NULL));
    request_answer(request, 200, json_pack("{s:o}", "agentAlertRules", list));
    return 0;
}

int agents_add_rules(struct request *request, const struct object_agent *agent, json_t *json, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, rules.kind, request->aid, NULL, request->arena, &all, err);
    const struct rule *rule = all.items;
    json_t *list = json_array();
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (is_for(&rule[i], agent))
            (void)json_array_append_new(list, field_to_json(&answer_table, &rule[i], NULL));
    }
    (void)json_object_set_new(json, "notificationRules", json_pack("[{s:o}]", "agentAlertRules", list));
    return rc;
}

#define PLAIN .response = &answer_table, .resource = &rules
#define PATH "/oculi/v1/agent-notification-rules"
#define V7 "/v7/agents/notification-rules"

const struct route api_agent_rule_routes[] = {
    ROUTE("GET", V7, PERMISSION_VIEW_AGENT_NOTIFICATIONS, "getAgentsNotificationRules", list_v7,
          (.response = &answer_table, .list = "agentAlertRules", .flags = ROUTE_V7), "List notification rules of agents"),
    ROUTE("GET", V7 "/{notificationRuleId}", PERMISSION_VIEW_AGENT_NOTIFICATIONS, "getAgentsNotificationRule",
          resource_get, (PLAIN, .flags = ROUTE_V7), "Get a notification rule of agents"),
    ROUTE("POST", PATH, PERMISSION_EDIT_AGENT_NOTIFICATIONS, "createAgentNotificationRule", resource_create,
          (PLAIN, .request = &request_table, .status = 201, .flags = ROUTE_OCULI | ROUTE_PARTIAL),
          "Make a notification rule of agents"),
    ROUTE("PUT", PATH "/{notificationRuleId}", PERMISSION_EDIT_AGENT_NOTIFICATIONS, "updateAgentNotificationRule",
          resource_put, (PLAIN, .request = &request_table, .flags = ROUTE_OCULI | ROUTE_PARTIAL),
          "Change a notification rule; what is not given stays"),
    ROUTE("DELETE", PATH "/{notificationRuleId}", PERMISSION_EDIT_AGENT_NOTIFICATIONS, "deleteAgentNotificationRule",
          resource_delete, (.resource = &rules, .status = 204, .flags = ROUTE_OCULI), "Delete a notification rule"),
    {0},
};
