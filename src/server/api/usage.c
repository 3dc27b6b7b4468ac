/*
 * /v7/usage and /v7/quotas: what tests use of the product's units (usage.h), and how much of them an organization and its
 * account groups may. All agents of this version are enterprise agents: cloud units are 0. There is one organization.
 */
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/change.h"
#include "server/page.h"
#include "server/usage.h"

#define ORGANIZATION "1"
#define MILLI 1000

/* --- quotas ------------------------------------------------------------------------------------------------------------- */

/* Units a month; one object for the organization (aid 0) and one for each account group that has one. */
struct quota {
    struct object_head head;
    const char *whose; /* the key: "organization" or the account group's id */
    int64_t value;
};
static const struct field quota_fields[] = {
    FIELD_STR(struct quota, whose, "whose", (), "The organization, or an account group"),
    FIELD_I64(struct quota, value, "value", (), "Units a month"),
};
static const struct field_table quota_table =
    FIELD_TABLE("StoredQuota", struct quota, quota_fields, NULL, "A quota as it is kept");
const struct object_kind api_quota_kind = {.name = "quota",
                                              .table = &quota_table,
                                              .key = offsetof(struct quota, whose),
                                              .lookup = OBJECT_NONE,
                                              .title = "Quota",
                                              .resource = "quotaOf",
                                              .label = offsetof(struct quota, whose)};

static const char *whose_quota(struct request *request, uint64_t aid)
{
    return aid ? arena_printf(request->arena, "%llu", (unsigned long long)aid) : "organization";
}

/* -E_NOT_FOUND: there is none, so nothing is limited. */
static int find_quota(struct request *request, uint64_t aid, struct quota *ret_quota, struct error *err)
{
    return object_find(request->server->store, &api_quota_kind, aid, whose_quota(request, aid), request->arena, ret_quota, err);
}

static int set_quota(struct request *request, uint64_t aid, int64_t value, struct error *err)
{
    struct quota quota = {0};
    int rc = find_quota(request, aid, &quota, NULL);
    if (rc && rc != -E_NOT_FOUND)
        return error_set(err, (enum error_code)-rc, "quota", "the quota cannot be read");
    quota.head.aid = aid;
    quota.whose = whose_quota(request, aid);
    quota.value = value;
    return change_put(request, &api_quota_kind, &quota, err);
}

static int drop_quota(struct request *request, uint64_t aid, struct error *err)
{
    struct quota quota;
    int rc = find_quota(request, aid, &quota, err);
    if (rc == -E_NOT_FOUND)
        return error_set(err, E_NOT_FOUND, "", "%s has no quota", whose_quota(request, aid));
    return rc ? rc : change_delete(request, &api_quota_kind, &quota, true, err);
}

struct group_quota {
    int64_t value;
    uint64_t aid;
};
static const struct field group_quota_fields[] = {
    FIELD_I64(struct group_quota, value, "value", (.flags = FIELD_REQUIRED, .min = 0, .max = 1e12), "Units a month"),
    FIELD_ID(struct group_quota, aid, "aid", (.flags = FIELD_REQUIRED), "Account group"),
};
static const struct field_table group_quota_table =
    FIELD_TABLE("AccountGroupQuota", struct group_quota, group_quota_fields, NULL, "The quota of an account group");

struct organization_quota {
    int64_t value;
    const char *id;
};
static const struct field organization_quota_fields[] = {
    FIELD_I64(struct organization_quota, value, "value", (.flags = FIELD_REQUIRED, .min = 0, .max = 1e12),
              "Units a month"),
    FIELD_STR(struct organization_quota, id, "orgId", (.preset = ORGANIZATION), "Id of the organization"),
};
static const struct field_table organization_quota_table = FIELD_TABLE(
    "OrganizationQuota", struct organization_quota, organization_quota_fields, NULL, "The quota of an organization");

struct quotas {
    struct organization_quota *organization;
    struct field_list groups; /* struct group_quota */
};
static const struct field quotas_fields[] = {
    FIELD_RECORD_PTR(struct quotas, organization, "organizationQuota", &organization_quota_table, (),
                     "Of the organization"),
    FIELD_LIST(struct quotas, groups, "accountGroupQuotas", &group_quota_table, (), "Of its account groups"),
};
static const struct field_table quotas_table =
    FIELD_TABLE("Quota", struct quotas, quotas_fields, NULL, "The quotas of an organization");

static int get_quotas(struct request *request, struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(request->server->store, &api_quota_kind, 0, NULL, request->arena, &all, err);
    const struct quota *quota = all.items;
    struct group_quota *groups = rc ? NULL : arena_alloc_array(request->arena, all.count + 1, sizeof *groups);
    struct organization_quota organization = {.id = ORGANIZATION};
    struct quotas quotas = {0};
    if (!rc && !groups)
        return error_set(err, E_LIMIT, "", "too many quotas");
    for (size_t i = 0; !rc && i < all.count; i++) {
        uint64_t aid;
        if (str_to_u64(quota[i].whose, INT64_MAX, &aid) == 0) {
            groups[quotas.groups.count++] = (struct group_quota){quota[i].value, aid};
        } else {
            organization.value = quota[i].value;
            quotas.organization = &organization;
        }
    }
    if (rc)
        return rc;
    quotas.groups.items = groups;
    request_answer(request, 200, json_pack("{s:[o]}", "quotas", field_to_json(&quotas_table, &quotas, NULL)));
    return 0;
}

/* --- setting them --------------------------------------------------------------------------------------------------------- */

struct organizations {
    struct field_list items; /* struct organization_quota, struct assigning, or const char * */
};
struct assigning {
    const char *id;
    struct field_list groups; /* struct group_quota, or uint64_t */
};
static const struct field assign_fields[] = {
    FIELD_LIST(struct organizations, items, "organizations", &organization_quota_table,
               (.flags = FIELD_REQUIRED, .max = 1), "The organization's quota"),
};
static const struct field_table assign_table =
    FIELD_TABLE("QuotasAssignRequest", struct organizations, assign_fields, NULL, "Quotas of organizations");
static const struct field unassign_fields[] = {
    FIELD_STRS(struct organizations, items, "organizations", (.flags = FIELD_REQUIRED, .max = 1),
               "Ids of organizations"),
};
static const struct field_table unassign_table =
    FIELD_TABLE("QuotasUnassign", struct organizations, unassign_fields, NULL, "Organizations that lose their quota");

static const struct field assigning_fields[] = {
    FIELD_STR(struct assigning, id, "orgId", (.preset = ORGANIZATION), "Id of the organization"),
    FIELD_LIST(struct assigning, groups, "accountGroups", &group_quota_table, (.max = 10000), "Quotas"),
};
static const struct field_table assigning_table =
    FIELD_TABLE("OrganizationQuotaAssignment", struct assigning, assigning_fields, NULL, "Quotas of account groups");
static const struct field group_assign_fields[] = {
    FIELD_LIST(struct organizations, items, "organizations", &assigning_table, (.flags = FIELD_REQUIRED, .max = 1),
               "Quotas by organization"),
};
static const struct field_table group_assign_table = FIELD_TABLE(
    "OrganizationsQuotasAssign", struct organizations, group_assign_fields, NULL, "Quotas of account groups");
static const struct field unassigning_fields[] = {
    FIELD_STR(struct assigning, id, "orgId", (.preset = ORGANIZATION), "Id of the organization"),
    FIELD_IDS(struct assigning, groups, "accountGroups", (.max = 10000), "Account groups"),
};
static const struct field_table unassigning_table =
    FIELD_TABLE("OrganizationQuotaUnassignment", struct assigning, unassigning_fields, NULL,
                "Account groups that lose their quota");
static const struct field group_unassign_fields[] = {
    FIELD_LIST(struct organizations, items, "organizations", &unassigning_table, (.flags = FIELD_REQUIRED, .max = 1),
               "Account groups by organization"),
};
static const struct field_table group_unassign_table =
    FIELD_TABLE("OrganizationsQuotasUnassign", struct organizations, group_unassign_fields, NULL,
                "Account groups that lose their quota");

static int check_organization(const char *id, struct error *err)
{
    return strcmp(id, ORGANIZATION) == 0
               ? 0
               : error_set(err, E_INVALID, "orgId", "There is no organization %.40s", id);
}

static int check_group(struct request *request, uint64_t aid, struct error *err)
{
    struct object_account_group group;
    int rc = object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
    return rc == -E_NOT_FOUND
               ? error_set(err, E_INVALID, "aid", "There is no account group %llu", (unsigned long long)aid)
               : rc;
}

static int assign_one(struct request *request, const struct assigning *each, struct error *err)
{
    const struct group_quota *groups = each->groups.items;
    int rc = check_organization(each->id, err);
    for (size_t i = 0; !rc && i < each->groups.count; i++) {
        rc = check_group(request, groups[i].aid, err);
        if (!rc)
            rc = set_quota(request, groups[i].aid, groups[i].value, err);
    }
    return rc;
}

static int unassign_one(struct request *request, const struct assigning *each, struct error *err)
{
    const uint64_t *aids = each->groups.items;
    int rc = check_organization(each->id, err);
    for (size_t i = 0; !rc && i < each->groups.count; i++)
        rc = drop_quota(request, aids[i], err);
    return rc;
}

/* All of the request or nothing. */
static int change_all(struct request *request, int (*change)(struct request *, const void *, struct error *),
                      size_t item_size, struct error *err)
{
    const struct organizations *wanted = request->record;
    struct store *store = request->server->store;
    request->is_noted = true; /* also when the list is empty */
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < wanted->items.count; i++)
        rc = change(request, (const char *)wanted->items.items + i * item_size, err);
    return store_end(store, rc, err);
}

static int change_assign(struct request *request, const void *item, struct error *err)
{
    const struct organization_quota *quota = item;
    int rc = check_organization(quota->id, err);
    return rc ? rc : set_quota(request, 0, quota->value, err);
}

static int change_unassign(struct request *request, const void *item, struct error *err)
{
    int rc = check_organization(*(const char *const *)item, err);
    return rc ? rc : drop_quota(request, 0, err);
}

static int change_group_assign(struct request *request, const void *item, struct error *err)
{
    return assign_one(request, item, err);
}

static int change_group_unassign(struct request *request, const void *item, struct error *err)
{
    return unassign_one(request, item, err);
}

static int assign_quotas(struct request *request, struct error *err)
{
    int rc = change_all(request, change_assign, sizeof(struct organization_quota), err);
    if (!rc)
        request_answer_record(request, 200, &assign_table, request->record);
    return rc;
}

static int unassign_quotas(struct request *request, struct error *err)
{
    int rc = change_all(request, change_unassign, sizeof(const char *), err);
    if (!rc)
        request_answer_empty(request, 204);
    return rc;
}

static int assign_group_quotas(struct request *request, struct error *err)
{
    int rc = change_all(request, change_group_assign, sizeof(struct assigning), err);
    if (!rc)
        request_answer_record(request, 200, &group_assign_table, request->record);
    return rc;
}

static int unassign_group_quotas(struct request *request, struct error *err)
{
    int rc = change_all(request, change_group_unassign, sizeof(struct assigning), err);
    if (!rc)
        request_answer_empty(request, 204);
    return rc;
}

/* --- what is used ----------------------------------------------------------------------------------------------------- */

struct total {
    int64_t used_milli, projected_milli;
};

static struct total sum(const struct field_list *items)
{
    const struct usage_item *item = items->items;
    struct total total = {0};
    for (size_t i = 0; i < items->count; i++) {
        total.used_milli += item[i].used_milli;
        total.projected_milli += item[i].projected_milli;
    }
    return total;
}

static int list_month(struct request *request, uint64_t aid, struct field_list *ret_items, int64_t *ret_from_s,
                      int64_t *ret_until_s, struct error *err)
{
    int64_t now = server_now_s(request->server);
    usage_month(now, ret_from_s, ret_until_s);
    return usage_list(request->server->store, aid, *ret_from_s, now, *ret_until_s, request->arena, ret_items, err);
}

static int check_one(struct request *request, uint64_t aid, int64_t more_milli, struct error *err)
{
    struct quota quota;
    struct field_list items = {0};
    int64_t from_s, until_s;
    int rc = find_quota(request, aid, &quota, NULL);
    if (rc)
        return rc == -E_NOT_FOUND ? 0 : error_set(err, (enum error_code)-rc, "quota", "the quota cannot be read");
    rc = list_month(request, aid, &items, &from_s, &until_s, err);
    int64_t expected = (sum(&items).projected_milli + more_milli) / MILLI;
    if (rc || expected <= quota.value)
        return rc;
    return error_set(err, E_PERMISSION, "", "with this test %s would use %lld units this month, of %lld; it needs the "
                     "permission \"%s\"", aid ? "the account group" : "the organization", (long long)expected,
                     (long long)quota.value, permission_infos[PERMISSION_EXCEED_QUOTA].label);
}

int api_check_quota(struct request *request, const struct object_test *before, const struct object_test *test,
                    struct error *err)
{
    int64_t from_s, until_s, now = server_now_s(request->server);
    if (request_may(request, PERMISSION_EXCEED_QUOTA))
        return 0;
    int64_t more = usage_rate_milli(test, request->arena) - (before ? usage_rate_milli(before, request->arena) : 0);
    if (more <= 0)
        return 0;
    usage_month(now, &from_s, &until_s);
    more = more * (until_s - now) / 3600;
    int rc = check_one(request, request->aid, more, err);
    return rc ? rc : check_one(request, 0, more, err);
}

/* Sums of items by a key, in the order they first appear. */
struct sum_by {
    struct usage_item key;
    struct total total;
};

static bool is_same_test(const struct usage_item *a, const struct usage_item *b)
{
    return a->test_id == b->test_id && a->is_instant == b->is_instant;
}

static bool is_same_agent(const struct usage_item *a, const struct usage_item *b)
{
    return a->aid == b->aid && a->agent_id == b->agent_id;
}

static int group_by(struct request *request, const struct field_list *items,
                    bool (*is_same)(const struct usage_item *, const struct usage_item *), struct field_list *ret_sums,
                    struct error *err)
{
    const struct usage_item *item = items->items;
    struct sum_by *sums = arena_alloc_array(request->arena, items->count + 1, sizeof *sums);
    size_t count = 0;
    if (!sums)
        return error_set(err, E_LIMIT, "", "too many tests and agents");
    for (size_t i = 0; i < items->count; i++) {
        size_t at = 0;
        while (at < count && !is_same(&sums[at].key, &item[i]))
            at++;
        if (at == count)
            sums[count++] = (struct sum_by){.key = item[i]};
        sums[at].total.used_milli += item[i].used_milli;
        sums[at].total.projected_milli += item[i].projected_milli;
    }
    *ret_sums = (struct field_list){sums, count};
    return 0;
}

static const char *group_name(struct request *request, uint64_t aid)
{
    struct object_account_group group;
    return object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, NULL) == 0
               ? group.name
               : "deleted account group";
}

static const char *agent_name(struct request *request, uint64_t id)
{
    struct object_agent agent;
    return object_get(request->server->store, &object_agent_kind, id, 0, request->arena, &agent, NULL) == 0
               ? agent.name
               : "deleted agent";
}

static json_t *test_json(struct request *request, const struct sum_by *each, bool is_usage)
{
    const struct usage_item *key = &each->key;
    json_t *json = json_pack("{s:o, s:s, s:o, s:s, s:s, s:i, s:i}", "aid",
                             json_sprintf("%llu", (unsigned long long)key->aid), "accountGroupName",
                             group_name(request, key->aid), "testId",
                             json_sprintf("%llu", (unsigned long long)key->test_id), "testName", key->test_name,
                             "testType", key->test_type, "cloudUnitsUsed", 0, "cloudUnitsProjected", 0);
    if (is_usage)
        return json;
    (void)json_object_set_new(json, "enterpriseUnitsUsed", json_integer(each->total.used_milli / MILLI));
    (void)json_object_set_new(json, "enterpriseUnitsProjected", json_integer(each->total.projected_milli / MILLI));
    (void)json_object_set_new(json, "isInstantTest", json_boolean(key->is_instant));
    return json;
}

static json_t *agent_json(struct request *request, const struct sum_by *each)
{
    return json_pack("{s:o, s:s, s:o, s:s, s:I, s:I}", "aid",
                     json_sprintf("%llu", (unsigned long long)each->key.aid), "accountGroupName",
                     group_name(request, each->key.aid), "agentId",
                     json_sprintf("%llu", (unsigned long long)each->key.agent_id), "agentName",
                     agent_name(request, each->key.agent_id), "enterpriseUnitsUsed",
                     (json_int_t)(each->total.used_milli / MILLI), "enterpriseUnitsProjected",
                     (json_int_t)(each->total.projected_milli / MILLI));
}

static int add_agents(struct request *request, json_t *usage, struct error *err)
{
    struct field_list agents = {0}, groups = {0};
    int rc = object_list(request->server->store, &object_agent_kind, 0, NULL, request->arena, &agents, err);
    if (!rc)
        rc = object_list(request->server->store, &object_account_group_kind, 0, NULL, request->arena, &groups, err);
    if (rc)
        return rc;
    const struct object_agent *agent = agents.items;
    const struct object_account_group *group = groups.items;
    json_int_t all = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < groups.count; i++) {
        json_int_t count = 0;
        for (size_t j = 0; j < agents.count; j++)
            count += agent[j].enabled && agent[j].head.aid == group[i].head.id;
        all += count;
        (void)json_array_append_new(list, json_pack("{s:o, s:s, s:I}", "aid",
                                                    json_sprintf("%llu", (unsigned long long)group[i].head.id),
                                                    "accountGroupName", group[i].name, "enterpriseAgentsUsed", count));
    }
    (void)json_object_set_new(usage, "enterpriseAgentsUsed", json_integer(all));
    if (request_expands(request, "enterprise-agent"))
        (void)json_object_set(usage, "enterpriseAgents", list);
    json_decref(list);
    return 0;
}

static int add_lists(struct request *request, const struct field_list *items, json_t *usage, struct error *err)
{
    struct field_list tests = {0}, agents = {0};
    int rc = group_by(request, items, is_same_test, &tests, err);
    if (!rc)
        rc = group_by(request, items, is_same_agent, &agents, err);
    if (rc)
        return rc;
    json_t *test_list = json_array(), *agent_list = json_array();
    for (size_t i = 0; i < tests.count; i++)
        (void)json_array_append_new(test_list, test_json(request, &((struct sum_by *)tests.items)[i], true));
    for (size_t i = 0; i < agents.count; i++)
        (void)json_array_append_new(agent_list, agent_json(request, &((struct sum_by *)agents.items)[i]));
    if (request_expands(request, "test"))
        (void)json_object_set(usage, "tests", test_list);
    if (request_expands(request, "enterprise-agent-unit"))
        (void)json_object_set(usage, "enterpriseAgentUnits", agent_list);
    json_decref(test_list);
    json_decref(agent_list);
    return 0;
}

static const char *const endpoint_lists[][2] = {{"endpoint-agent", "endpointAgents"},
                                                {"endpoint-agent-essential", "endpointAgentsEssentials"},
                                                {"endpoint-agent-embedded", "endpointAgentsEmbedded"}};

static int get_usage(struct request *request, struct error *err)
{
    struct field_list items = {0};
    int64_t from_s, until_s;
    char from[CLOCK_ISO_BYTES], until[CLOCK_ISO_BYTES];
    int rc = list_month(request, 0, &items, &from_s, &until_s, err);
    if (rc)
        return rc;
    struct total total = sum(&items);
    int64_t rate = 0;
    struct field_list tests = {0};
    rc = object_list(request->server->store, &object_test_kind, 0, NULL, request->arena, &tests, err);
    for (size_t i = 0; !rc && i < tests.count; i++)
        rate += usage_rate_milli(&((struct object_test *)tests.items)[i], request->arena);
    if (rc)
        return rc;
    (void)clock_iso(from_s, from, sizeof from);
    (void)clock_iso(until_s, until, sizeof until);
    json_t *usage = json_pack(
        "{s:{s:s, s:s}, s:i, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i}", "quota", "monthStart", from,
        "monthEnd", until, "cloudUnitsUsed", 0, "cloudUnitsProjected", 0, "cloudUnitsNextBillingPeriod", 0,
        "enterpriseUnitsUsed", (json_int_t)(total.used_milli / MILLI), "enterpriseUnitsProjected",
        (json_int_t)(total.projected_milli / MILLI), "enterpriseUnitsNextBillingPeriod",
        (json_int_t)(rate * 24 * 31 / MILLI), "connectedDevicesUnitsUsed", 0, "connectedDevicesUnitsProjected", 0,
        "connectedDevicesUnitsNextBillingPeriod", 0, "endpointAgentsUsed", 0, "endpointAgentsEssentialsUsed", 0,
        "endpointAgentsEmbeddedUsed", 0);
    for (size_t i = 0; i < sizeof endpoint_lists / sizeof endpoint_lists[0]; i++) {
        if (request_expands(request, endpoint_lists[i][0]))
            (void)json_object_set_new(usage, endpoint_lists[i][1], json_array());
    }
    rc = add_agents(request, usage, err);
    if (!rc)
        rc = add_lists(request, &items, usage, err);
    if (rc) {
        json_decref(usage);
        return rc;
    }
    request_answer(request, 200, json_pack("{s:o}", "usage", usage));
    return 0;
}

/* A window of whole seconds within what is known; the present month when none is given. */
static int read_window(struct request *request, int64_t *ret_from_s, int64_t *ret_until_s, struct error *err)
{
    struct page_window window;
    int rc = page_read_window(request, &window, err);
    if (rc)
        return rc;
    if (window.is_given) {
        *ret_from_s = window.from_s;
        *ret_until_s = window.until_s;
    } else {
        usage_month(server_now_s(request->server), ret_from_s, ret_until_s);
    }
    return 0;
}

static int answer_units(struct request *request, uint64_t aid, bool is_by_test, struct error *err)
{
    struct field_list items = {0}, sums = {0};
    struct page_cursor cursor;
    int64_t from_s, until_s, now = server_now_s(request->server);
    uint64_t scope = is_by_test ? 0x7573616765ull : 0x6167656e74ull;
    int rc = read_window(request, &from_s, &until_s, err);
    if (!rc)
        rc = page_read_cursor(request, scope, &cursor, err);
    if (!rc)
        rc = usage_list(request->server->store, aid, from_s, until_s < now ? until_s : now, until_s, request->arena,
                        &items, err);
    if (!rc)
        rc = group_by(request, &items, is_by_test ? is_same_test : is_same_agent, &sums, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    size_t at = cursor.is_given ? (size_t)cursor.first : 0, end = at + LIMIT_PAGE_ITEMS;
    for (; at < sums.count && at < end; at++) {
        const struct sum_by *each = &((struct sum_by *)sums.items)[at];
        (void)json_array_append_new(list, is_by_test ? test_json(request, each, false) : agent_json(request, each));
    }
    json_t *json = json_pack("{s:o}", "breakdowns", list);
    if (at < sums.count) {
        struct page_cursor next = {.first = (int64_t)at, .from_s = from_s, .until_s = until_s};
        page_link_next(request, json, scope, &next);
    }
    request_answer(request, 200, json);
    return 0;
}

static int get_test_units(struct request *request, struct error *err)
{
    return answer_units(request, request_query(request, "aid") ? request->aid : 0, true, err);
}

static int get_agent_units(struct request *request, struct error *err)
{
    return answer_units(request, 0, false, err);
}

/* --- routes ------------------------------------------------------------------------------------------------------------- */

static const char *const usage_expand[] = {"test",           "enterprise-agent",         "enterprise-agent-unit",
                                           "endpoint-agent", "endpoint-agent-essential", "endpoint-agent-embedded",
                                           NULL};
static const char *const window_queries[] = {"startDate", "endDate", "cursor", NULL};

const struct route api_usage_routes[] = {
    ROUTE("GET", "/v7/quotas", PERMISSION_EDIT_QUOTAS, "getQuotas", get_quotas,
          (.response = &quotas_table, .list = "quotas", .flags = ROUTE_V7 | ROUTE_NO_AID), "List quotas"),
    ROUTE("POST", "/v7/quotas/assign", PERMISSION_EDIT_QUOTAS, "assignOrganizationsQuotas", assign_quotas,
          (.request = &assign_table, .response = &assign_table, .flags = ROUTE_V7 | ROUTE_NO_AID),
          "Set the organization's quota"),
    ROUTE("POST", "/v7/quotas/unassign", PERMISSION_EDIT_QUOTAS, "unassignOrganizationsQuotas", unassign_quotas,
          (.request = &unassign_table, .status = 204, .flags = ROUTE_V7 | ROUTE_NO_AID),
          "Remove the organization's quota"),
    ROUTE("POST", "/v7/quotas/account-groups/assign", PERMISSION_EDIT_QUOTAS, "assignOrganizationsAccountGroupsQuotas",
          assign_group_quotas,
          (.request = &group_assign_table, .response = &group_assign_table, .flags = ROUTE_V7 | ROUTE_NO_AID),
          "Set quotas of account groups"),
    ROUTE("POST", "/v7/quotas/account-groups/unassign", PERMISSION_EDIT_QUOTAS,
          "unassignOrganizationsAccountGroupsQuotas", unassign_group_quotas,
          (.request = &group_unassign_table, .status = 204, .flags = ROUTE_V7 | ROUTE_NO_AID),
          "Remove quotas of account groups"),
    ROUTE("GET", "/v7/usage", PERMISSION_VIEW_BILLING, "getUsage", get_usage,
          (.flags = ROUTE_V7, .expand = usage_expand),
          "What the organization uses this month"),
    ROUTE("GET", "/v7/usage/units/tests", PERMISSION_VIEW_BILLING, "getTestsUnitsUsage", get_test_units,
          (.flags = ROUTE_V7, .queries = window_queries), "Units by test"),
    ROUTE("GET", "/v7/usage/units/enterprise-agents", PERMISSION_VIEW_BILLING, "getEnterpriseAgentsUnitsUsage",
          get_agent_units, (.flags = ROUTE_V7 | ROUTE_NO_AID, .queries = window_queries), "Units by agent"),
    {0},
};
