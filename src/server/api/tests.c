/*
 * /v7/tests: tests of every measure type, by one set of functions. A test in JSON is one flat object: what all tests
 * have in common (the tables here) and the settings of its type (the type's table).
 */
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/change.h"
#include "server/intake.h"
#include "server/latest.h"
#include "server/paths.h"
#include "server/shares.h"
#include "server/usage.h"

#define V7_DEFAULT_INTERVAL_S 60

#define R (.flags = FIELD_READONLY)
#define ANSWERED_UNDER(word) (.flags = FIELD_READONLY, .expand = (word))

/* --- tables ---------------------------------------------------------------------------------------------------------- */

struct id_name {
    const char *id, *name;
    const char *value; /* of a tag */
    bool is_builtin;   /* of a label: never */
};
#define ID_NAME_TABLE(var, table_name, id_field, name_field, text)                                                     \
    static const struct field var##_fields[] = {                                                                       \
        FIELD_STR(struct id_name, id, id_field, (), "Its id"),                                                         \
        FIELD_STR(struct id_name, name, name_field, (), "Its name"),                                                   \
    };                                                                                                                 \
    static const struct field_table var##_table = FIELD_TABLE(table_name, struct id_name, var##_fields, NULL, text)
ID_NAME_TABLE(alert_rule, "AlertRule", "ruleId", "ruleName", "An alert rule of a test");
ID_NAME_TABLE(shared, "SharedWithAccount", "aid", "name", "An account group a test is shared with");
ID_NAME_TABLE(monitor, "Monitor", "monitorId", "monitorName", "A BGP monitor of a test");

static const struct field label_fields[] = {
    FIELD_STR(struct id_name, id, "labelId", (), "Its id: the number of a tag"),
    FIELD_STR(struct id_name, name, "name", (), "Its name"),
    FIELD_BOOL(struct id_name, is_builtin, "isBuiltin", (), "It comes with the product"),
};
static const struct field_table label_table =
    FIELD_TABLE("TestLabel", struct id_name, label_fields, NULL, "A label of a test");
static const struct field tag_fields[] = {
    FIELD_STR(struct id_name, id, "id", (), "Its id"),
    FIELD_STR(struct id_name, name, "key", (), "Its key"),
    FIELD_STR(struct id_name, value, "value", (), "Its value"),
};
static const struct field_table tag_table =
    FIELD_TABLE("TestTag", struct id_name, tag_fields, NULL, "A tag of a test");

static const char *const interval_words[] = {"60", "120", "300", "600", "900", "1800", "3600", NULL};

/* What v7 answers of any test; `agents` and the like only under expand. */
struct api_test {
    uint64_t id;
    const char *type, *name, *description, *created_by, *modified_by;
    int64_t created_s, modified_s;
    int32_t interval_s;
    bool alerts_enabled, enabled, live_share, saved_event;
    struct field_list agents; /* struct api_agent */
    struct field_list alert_rules, labels, tags, shared_with, monitors;
};

#define ANSWER_FIELDS                                                                                                  \
    FIELD_ID(struct api_test, id, "testId", R, "Id of the test"),                                                      \
    FIELD_STR(struct api_test, name, "testName", (), "Name of the test"),                                              \
    FIELD_STR(struct api_test, description, "description", (), "What it is for"),                                      \
    FIELD_STR(struct api_test, type, "type", R, "Type of the test"),                                                   \
    FIELD_STR(struct api_test, created_by, "createdBy", R, "Who created it"),                                          \
    FIELD_TIME(struct api_test, created_s, "createdDate", R, "When it was created"),                                   \
    FIELD_STR(struct api_test, modified_by, "modifiedBy", R, "Who changed it last"),                                   \
    FIELD_TIME(struct api_test, modified_s, "modifiedDate", R, "When it was changed last"),                            \
    FIELD_BOOL(struct api_test, live_share, "liveShare", R, "It is shared with this account group"),                   \
    FIELD_BOOL(struct api_test, saved_event, "savedEvent", R, "It is a saved event")
#define ANSWER_LISTS                                                                                                   \
    FIELD_LIST(struct api_test, agents, "agents", &api_simple_agent_table, (.expand = "agent"), "Agents that run it"), \
    FIELD_LIST(struct api_test, labels, "labels", &label_table, ANSWERED_UNDER("label"), "Its labels"),                \
    FIELD_LIST(struct api_test, tags, "tags", &tag_table, ANSWERED_UNDER("tag"), "Its tags"),                          \
    FIELD_LIST(struct api_test, shared_with, "sharedWithAccounts", &shared_table,                                      \
               ANSWERED_UNDER("shared-with-account"), "Account groups it is shared with")

#define ANSWER_SCHEDULE                                                                                                \
    FIELD_I32(struct api_test, interval_s, "interval", (.words = interval_words, .unit = "s"), "Time between rounds"), \
    FIELD_BOOL(struct api_test, alerts_enabled, "alertsEnabled", (), "It raises alerts"),                              \
    FIELD_BOOL(struct api_test, enabled, "enabled", (), "It runs")

static const struct field listed_fields[] = {ANSWER_FIELDS, ANSWER_SCHEDULE};
static const struct field_table listed_table =
    FIELD_TABLE("UnexpandedTest", struct api_test, listed_fields, NULL, "A test as lists show it");

static const struct field answer_fields[] = {
    ANSWER_FIELDS,
    ANSWER_SCHEDULE,
    ANSWER_LISTS,
    FIELD_LIST(struct api_test, alert_rules, "alertRules", &alert_rule_table, ANSWERED_UNDER("alert-rule"),
               "Its alert rules"),
    FIELD_LIST(struct api_test, monitors, "monitors", &monitor_table, ANSWERED_UNDER("monitor"), "Its BGP monitors"),
};
const struct field_table api_test_table = FIELD_TABLE("Test", struct api_test, answer_fields, NULL, "A test");

static const struct field instant_answer_fields[] = {ANSWER_FIELDS, ANSWER_LISTS};
static const struct field_table instant_answer_table =
    FIELD_TABLE("InstantTest", struct api_test, instant_answer_fields, NULL, "A test that runs only when asked");

/* What v7 takes, read over the stored test. Read-only names are known so that an answer can be sent back. */
#define REQUEST_FIELDS                                                                                                 \
    FIELD_ID(struct object_test, head.id, "testId", R, "Id of the test"),                                              \
    FIELD_STR(struct object_test, name, "testName", (.max = 255), "Name of the test, unique; the target when absent"), \
    FIELD_STR(struct object_test, description, "description", (.max = 10000), "What it is for"),                       \
    FIELD_STR(struct object_test, type, "type", R, "Type of the test"),                                                \
    FIELD_STR(struct object_test, created_by, "createdBy", R, "Who created it"),                                       \
    FIELD_TIME(struct object_test, created_s, "createdDate", R, "When it was created"),                                \
    FIELD_STR(struct object_test, modified_by, "modifiedBy", R, "Who changed it last"),                                \
    FIELD_TIME(struct object_test, changed_s, "modifiedDate", R, "When it was changed last"),                          \
    FIELD_BOOL(struct object_test, live_share, "liveShare", R, "It is shared with this account group"),                \
    FIELD_BOOL(struct object_test, saved_event, "savedEvent", R, "It is a saved event"),                                \
    FIELD_LIST(struct object_test, agents, "agents", &object_test_agent_table,                                         \
               (.flags = FIELD_REQUIRED, .max = 10000), "Agents that run it"),                                         \
    FIELD_STRS(struct object_test, labels, "labels", (.max = 1000), "Label ids"),                                      \
    FIELD_STRS(struct object_test, tags, "tags", (.max = 1000), "Tag ids"),                                            \
    FIELD_STRS(struct object_test, shared_with, "sharedWithAccounts", (.max = 1000),                                   \
               "Account groups it is shared with")

static const struct field request_fields[] = {
    REQUEST_FIELDS,
    FIELD_I32(struct object_test, interval_s, "interval",
              (.words = interval_words, .unit = "s", .flags = FIELD_REQUIRED), "Time between rounds"),
    FIELD_BOOL(struct object_test, alerts_enabled, "alertsEnabled", (.preset = "true"), "It raises alerts"),
    FIELD_BOOL(struct object_test, enabled, "enabled", (.preset = "true"), "It runs"),
    FIELD_STRS(struct object_test, alert_rules, "alertRules", (.max = 1000), "Alert rule ids"),
};
static const struct field_table request_table =
    FIELD_TABLE("TestRequest", struct object_test, request_fields, NULL, "What all tests have in common");
static const struct field instant_request_fields[] = {REQUEST_FIELDS};
static const struct field_table instant_request_table =
    FIELD_TABLE("InstantTestRequest", struct object_test, instant_request_fields, NULL,
                "What all instant tests have in common");

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static json_t *link_to(const char *url)
{
    return json_pack("{s:s}", "href", url);
}

static json_t *links_of(const struct request *request, const struct object_test *test, const struct measure_type *type)
{
    unsigned long long id = test->head.id;
    json_t *results = json_array();
    for (size_t i = 0; i < type->part_count; i++) {
        (void)json_array_append_new(
            results, link_to(request_url(request, "/v7/test-results/%llu/%s", id, type->parts[i].api_path)));
    }
    return json_pack("{s:o, s:o}", "self", link_to(request_url(request, "/v7/tests/%s/%llu", type->name, id)),
                     "testResults", results);
}

static int list_agents(struct request *request, const struct object_test *test, struct field_list *ret_agents,
                       struct error *err)
{
    const struct object_test_agent *members = test->agents.items;
    struct api_agent *agents = arena_alloc_array(request->arena, test->agents.count + 1, sizeof *agents);
    size_t count = 0;
    if (!agents)
        return error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; i < test->agents.count; i++) {
        struct object_agent agent;
        int rc = object_get_agent(request->server->store, members[i].agent_id, test->head.aid, request->arena, &agent,
                                  err);
        if (rc == -E_NOT_FOUND)
            continue; /* deleted since: an old version of a test may name it */
        if (rc)
            return rc;
        api_agent_fill(request, &agent, &agents[count++]);
    }
    *ret_agents = (struct field_list){agents, count};
    return 0;
}

/* Its tags, and the same as labels. Those of another account group are not this one's to see. */
static int list_tags(struct request *request, const struct object_test *test, struct api_test *answer,
                     struct error *err)
{
    struct field_list found = {0};
    if (test->head.aid != request->aid || (!request_expands(request, "tag") && !request_expands(request, "label")))
        return 0;
    int rc = api_tags_of(request, API_TAGGED_TEST, test->head.id, &found, err);
    const struct api_tag *tag = found.items;
    struct id_name *tags = rc ? NULL : arena_alloc_array(request->arena, 2 * found.count + 1, sizeof *tags);
    if (!rc && !tags)
        return error_set(err, E_LIMIT, "tags", "too many tags");
    for (size_t i = 0; !rc && i < found.count; i++) {
        tags[i] = (struct id_name){.id = tag[i].uuid, .name = tag[i].key, .value = tag[i].value};
        tags[found.count + i] =
            (struct id_name){.id = arena_printf(request->arena, "%llu", (unsigned long long)tag[i].number),
                             .name = arena_printf(request->arena, "%s:%s", tag[i].key, tag[i].value)};
    }
    if (!rc) {
        answer->tags = (struct field_list){tags, found.count};
        answer->labels = (struct field_list){tags + found.count, found.count};
    }
    return rc;
}

static int list_shared(struct request *request, const struct object_test *test, struct api_test *answer,
                       struct error *err)
{
    const char *const *aids = test->shared_with.items;
    struct id_name *groups = arena_alloc_array(request->arena, test->shared_with.count + 1, sizeof *groups);
    size_t count = 0;
    int rc = groups ? 0 : error_set(err, E_LIMIT, "sharedWithAccounts", "too many account groups");
    if (test->head.aid != request->aid || !request_expands(request, "shared-with-account"))
        return rc;
    for (size_t i = 0; !rc && i < test->shared_with.count; i++) {
        struct object_account_group group;
        uint64_t aid;
        if (str_to_u64(aids[i], INT64_MAX, &aid) != 0)
            continue;
        rc = object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
        if (!rc)
            groups[count++] = (struct id_name){.id = aids[i], .name = group.name};
        else if (rc == -E_NOT_FOUND)
            rc = 0; /* removed meanwhile */
    }
    if (!rc)
        answer->shared_with = (struct field_list){groups, count};
    return rc;
}

json_t *api_test_json(struct request *request, const struct object_test *test, struct error *err)
{
    const struct measure_type *type;
    void *settings;
    if (object_test_settings(test, request->arena, &type, &settings, err) != 0)
        return NULL;
    const struct field_list none = {"", 0};
    struct api_test answer = {
        .id = test->head.id,
        .type = test->type,
        .name = test->name,
        .description = test->description,
        .created_by = test->created_by,
        .modified_by = test->modified_by,
        .created_s = test->created_s,
        .modified_s = test->changed_s,
        /* v7's answer of a test requires an interval, also of one that runs only when asked: its default. */
        .interval_s = test->is_instant ? V7_DEFAULT_INTERVAL_S : test->interval_s,
        .alerts_enabled = test->alerts_enabled,
        .enabled = test->enabled,
        .live_share = test->live_share,
        .saved_event = test->saved_event,
        .alert_rules = none,
        .labels = none,
        .tags = none,
        .shared_with = none,
        .monitors = none,
    };
    if (request_expands(request, "agent") && list_agents(request, test, &answer.agents, err) != 0)
        return NULL;
    if (list_tags(request, test, &answer, err) != 0 || list_shared(request, test, &answer, err) != 0)
        return NULL;
    bool is_instant_answer = request->route && request->route->response == &instant_answer_table;
    json_t *json = field_to_json(is_instant_answer ? &instant_answer_table : &api_test_table, &answer, request->expand);
    json_t *typed = field_to_json(type->settings, settings, request->expand);
    (void)json_object_update_missing(json, typed);
    json_decref(typed);
    (void)json_object_set_new(json, "_links", links_of(request, test, type));
    return json;
}

static int answer_test(struct request *request, int status, const struct object_test *test, struct error *err)
{
    json_t *json = api_test_json(request, test, err);
    if (!json)
        return err->code ? -err->code : -E_CORRUPT;
    request_answer(request, status, json);
    return 0;
}

static int answer_list(struct request *request, const char *type, struct error *err)
{
    struct field_list tests = {0};
    int rc = shares_list_tests(request->server->shares, request->aid, type, request->arena, &tests, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    const struct object_test *test = tests.items;
    for (size_t i = 0; i < tests.count; i++) {
        if (test[i].is_instant)
            continue; /* v7 lists what runs by itself */
        json_t *json = api_test_json(request, &test[i], err);
        if (!json) {
            json_decref(list);
            return err->code ? -err->code : -E_CORRUPT;
        }
        (void)json_array_append_new(list, json);
    }
    request_answer(request, 200, json_pack("{s:o}", "tests", list));
    return 0;
}

static int get_tests(struct request *request, struct error *err)
{
    return answer_list(request, NULL, err);
}

static int get_typed_tests(struct request *request, struct error *err)
{
    return answer_list(request, request->type->name, err);
}

/* The test of the path, of the route's type when it has one. Whoever writes must own it: one that is only shared with
 * the account group can be read, and is refused by name otherwise. */
static int find_test(struct request *request, struct object_test *ret_test, struct error *err)
{
    uint64_t id;
    int rc = request_id(request, "testId", &id, err);
    if (!rc)
        rc = shares_get_test(request->server->shares, id, request->aid, request->arena, ret_test, err);
    if (!rc && ret_test->live_share && strcmp(request->http->method, "GET") != 0)
        rc = error_set(err, E_PERMISSION, "testId", "this test belongs to another account group, which shares it");
    if (!rc && request->type && strcmp(ret_test->type, request->type->name) != 0)
        rc = error_set(err, E_NOT_FOUND, "", "test %llu is of type %s", (unsigned long long)id, ret_test->type);
    return rc;
}

static int get_test(struct request *request, struct error *err)
{
    struct object_test test;
    int64_t version;
    int rc = find_test(request, &test, err);
    if (!rc)
        rc = request_query_i64(request, "versionId", 1, INT64_MAX, 0, &version, err);
    if (!rc && version)
        rc = object_get(request->server->store, &object_test_kind, test.head.id, version, request->arena, &test, err);
    return rc ? rc : answer_test(request, 200, &test, err);
}

/* An answer about many agents reads the tests once. */
int api_tests_of_agent(struct request *request, uint64_t agent_id, struct field_list *ret_tests, struct error *err)
{
    int rc = request->tests.items ? 0
                                  : object_list(request->server->store, &object_test_kind, request->aid, NULL,
                                                request->arena, &request->tests, err);
    const struct object_test *test = request->tests.items;
    struct object_test *found = rc ? NULL : arena_alloc_array(request->arena, request->tests.count + 1, sizeof *found);
    size_t count = 0;
    if (!rc && !found)
        return error_set(err, E_LIMIT, "", "too many tests");
    for (size_t i = 0; !rc && i < request->tests.count; i++) {
        const struct object_test_agent *members = test[i].agents.items;
        bool is_in = false;
        for (size_t j = 0; j < test[i].agents.count; j++)
            is_in = is_in || members[j].agent_id == agent_id;
        if (is_in && !test[i].is_instant)
            found[count++] = test[i];
    }
    *ret_tests = (struct field_list){found, count};
    return rc;
}

/* --- requests ---------------------------------------------------------------------------------------------------------- */

/* Divides the flat object between the two tables; what neither knows goes to the second, which refuses it. */
static void split(json_t *body, const struct field_table *common, json_t **ret_common, json_t **ret_typed)
{
    *ret_common = json_object();
    *ret_typed = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value) {
        if (strcmp(name, "_links") != 0)
            (void)json_object_set(field_find(common, name) ? *ret_common : *ret_typed, name, value);
    }
}

/* The product's words for what is missing. */
static int reword(const struct measure_type *type, int rc, struct error *err)
{
    if (rc == -E_UNKNOWN && str_starts(err->text, "is not a field"))
        (void)str_copy(err->text, sizeof err->text, "There is no such setting");
    if (rc == -E_REQUIRED && str_equal(err->where, type->target_name))
        return error_set(err, E_REQUIRED, type->target_name, "Target is empty.");
    if (rc == -E_REQUIRED && strcmp(err->where, "agents") == 0)
        return error_set(err, E_REQUIRED, "agents", "No agents selected.");
    return rc;
}

static int check_agents(struct request *request, const struct object_test *test, struct error *err)
{
    const struct object_test_agent *agents = test->agents.items;
    if (test->agents.count == 0)
        return error_set(err, E_REQUIRED, "agents", "No agents selected.");
    for (size_t i = 0; i < test->agents.count; i++) {
        char where[64];
        (void)snprintf(where, sizeof where, "agents[%zu].agentId", i);
        struct object_agent agent;
        int rc =
            object_get_agent(request->server->store, agents[i].agent_id, request->aid, request->arena, &agent, NULL);
        if (rc == -E_NOT_FOUND)
            return error_set(err, E_INVALID, where, "There is no agent %llu", (unsigned long long)agents[i].agent_id);
        if (rc)
            return error_set(err, (enum error_code)-rc, "", "the agent cannot be read");
        for (size_t j = 0; j < i; j++) {
            if (agents[j].agent_id == agents[i].agent_id)
                return error_set(err, E_INVALID, where, "Agent %llu is given twice",
                                 (unsigned long long)agents[i].agent_id);
        }
    }
    return 0;
}

/* Account groups that the test is shared with: they exist, and sharing is the user's to do. */
static int check_shared(struct request *request, const struct field_list *before, const struct object_test *test,
                        struct error *err)
{
    const char *const *aids = test->shared_with.items, *const *old = before->items;
    for (size_t i = 0; i < test->shared_with.count; i++) {
        struct object_account_group group;
        uint64_t aid;
        bool is_old = false;
        for (size_t j = 0; j < before->count; j++)
            is_old = is_old || strcmp(old[j], aids[i]) == 0;
        if (is_old)
            continue;
        if (!request_may(request, PERMISSION_CREATE_LIVE_SHARES_INSIDE))
            return error_set(err, E_PERMISSION, "sharedWithAccounts", "this needs the permission \"%s\"",
                             permission_infos[PERMISSION_CREATE_LIVE_SHARES_INSIDE].label);
        int rc = str_to_u64(aids[i], INT64_MAX, &aid) != 0
                     ? -E_NOT_FOUND
                     : object_get(request->server->store, &object_account_group_kind, aid, 0, request->arena, &group, err);
        if (rc == -E_NOT_FOUND)
            return error_set(err, E_INVALID, "sharedWithAccounts", "There is no account group %.40s", aids[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_not_offered(const struct object_test *test, struct error *err)
{
    return test->alert_rules.count > 0
               ? error_set(err, E_NOT_SUPPORTED, "alertRules", "not supported yet by this version")
               : 0;
}

/* Reads the body over test and settings (defaults, or what they are), and checks the outcome as a whole. */
static int read_test(struct request *request, const struct field_table *common, enum field_mode mode,
                     struct object_test *test, void *settings, struct error *err)
{
    const struct measure_type *type = request->type;
    const struct field_list shared_before = test->shared_with;
    json_t *common_json, *typed_json;
    split(request->body, common, &common_json, &typed_json);
    int rc = field_from_json(common, common_json, mode, test, request->arena, err);
    if (!rc)
        rc = field_from_json(type->settings, typed_json, mode, settings, request->arena, err);
    json_decref(common_json);
    json_decref(typed_json);
    if (rc)
        return reword(type, rc, err);
    rc = check_agents(request, test, err);
    if (!rc)
        rc = check_shared(request, &shared_before, test, err);
    if (!rc)
        rc = check_not_offered(test, err);
    if (!rc && type->supported)
        rc = type->supported(settings, err);
    if (!rc && !test->is_instant && test->interval_s != MEASURE_CONTINUOUS_S && measure_is_continuous(type, settings))
        rc = error_set(err, E_RANGE, "interval", "must be %d in continuous mode", MEASURE_CONTINUOUS_S);
    if (rc)
        return rc;
    if (type->normalise)
        type->normalise(settings, request->arena);
    if (!test->name || !*test->name)
        test->name = object_test_target(type, settings);
    object_test_set_settings(test, type, settings, request->arena);
    return 0;
}

/* Tags and labels given with a test are the ones it has from now on; none given leaves them. */
static int put_tags(struct request *request, const struct object_test *test, struct error *err)
{
    const char *const *numbers = test->labels.items;
    size_t count = test->tags.count;
    const char **uuids = arena_alloc_array(request->arena, count + test->labels.count + 1, sizeof *uuids);
    if (!test->tags.items && !test->labels.items)
        return 0;
    if (!uuids)
        return error_set(err, E_LIMIT, "tags", "too many tags");
    if (count)
        memcpy(uuids, test->tags.items, count * sizeof *uuids);
    for (size_t i = 0; i < test->labels.count; i++) {
        int rc = api_tags_number(request, numbers[i], &uuids[count], err);
        if (rc)
            return rc;
        bool is_twice = false;
        for (size_t j = 0; j < count; j++)
            is_twice = is_twice || strcmp(uuids[j], uuids[count]) == 0;
        count += !is_twice;
    }
    const struct field_list wanted = {uuids, count};
    return api_tags_set(request, API_TAGGED_TEST, test->head.id, &wanted, err);
}

static int put_test(struct request *request, struct object_test *test, struct error *err)
{
    int64_t now = server_now_s(request->server);
    if (!test->head.id) {
        test->head.aid = request->aid;
        test->created_s = now;
        test->created_by = arena_printf(request->arena, "%s (%s)", request->user.name, request->user.email);
    } else {
        test->changed_s = now;
        test->modified_by = arena_printf(request->arena, "%s (%s)", request->user.name, request->user.email);
    }
    test->key = test->is_instant ? NULL : test->name;
    int rc = change_put(request, &object_test_kind, test, err);
    if (rc == -E_EXISTS)
        rc = error_set(err, E_EXISTS, "testName", "A test with this name already exists.");
    return rc ? rc : put_tags(request, test, err);
}

static int new_test(struct request *request, const struct field_table *common, bool is_instant,
                    struct object_test *ret_test, struct error *err)
{
    void *settings = arena_alloc(request->arena, request->type->settings->size);
    if (!settings)
        return error_set(err, E_LIMIT, "", "too large");
    memset(ret_test, 0, sizeof *ret_test);
    field_defaults(object_test_kind.table, ret_test);
    field_defaults(common, ret_test);
    field_defaults(request->type->settings, settings);
    ret_test->head = (struct object_head){0};
    ret_test->is_instant = is_instant;
    int rc = read_test(request, common, FIELD_CREATE, ret_test, settings, err);
    ret_test->is_instant = is_instant;
    return rc;
}

/* The test and its tags are kept together or not at all. */
static int put_whole(struct request *request, const struct object_test *before, struct object_test *test,
                     struct error *err)
{
    struct store *store = request->server->store;
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = api_check_quota(request, before, test, err);
    if (!rc)
        rc = put_test(request, test, err);
    return store_end(store, rc, err);
}

static int create_test(struct request *request, struct error *err)
{
    struct object_test test;
    int rc = new_test(request, &request_table, false, &test, err);
    if (!rc)
        rc = put_whole(request, NULL, &test, err);
    if (rc)
        return rc;
    request_location(request, request_url(request, "/v7/tests/%s/%llu", test.type, (unsigned long long)test.head.id));
    api_test_changed(request->server, test.head.aid, test.head.id);
    return answer_test(request, 201, &test, err);
}

static int update_test(struct request *request, struct error *err)
{
    struct object_test test;
    const struct measure_type *type;
    void *settings;
    int rc = find_test(request, &test, err);
    if (!rc)
        rc = object_test_settings(&test, request->arena, &type, &settings, err);
    if (rc)
        return rc;
    const struct object_test before = test;
    struct object_head head = test.head;
    bool is_instant = test.is_instant;
    if (test.saved_event)
        return error_set(err, E_CONFLICT, "testId", "a saved event cannot be changed");
    rc = read_test(request, is_instant ? &instant_request_table : &request_table, FIELD_MERGE, &test, settings, err);
    test.head = head;
    test.is_instant = is_instant;
    if (!rc)
        rc = put_whole(request, &before, &test, err);
    if (rc)
        return rc;
    api_test_changed(request->server, test.head.aid, test.head.id);
    return answer_test(request, 200, &test, err);
}

static int delete_test(struct request *request, struct error *err)
{
    struct object_test test;
    struct store *store = request->server->store;
    int rc = find_test(request, &test, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    const struct field_list no_tags = {"", 0};
    rc = api_tags_set(request, API_TAGGED_TEST, test.head.id, &no_tags, err);
    if (!rc)
        rc = usage_keep_deleted(store, &test, server_now_s(request->server), request->arena, err);
    if (!rc)
        rc = change_delete(request, &object_test_kind, &test, false, err);
    if (!rc)
        rc = store_drop_test(store, test.head.id, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    api_test_gone(request->server, test.head.aid, test.head.id);
    request_answer_empty(request, 204);
    return 0;
}

void api_test_gone(struct server *server, uint64_t aid, uint64_t test_id)
{
    latest_forget_test(server->latest, test_id);
    intake_forget_test(server->intake, test_id);
    paths_cache_forget_test(server->paths, test_id);
    api_test_changed(server, aid, test_id);
}

void api_drop_instant_tests(struct server *server, int64_t now_s)
{
    struct field_list tests = {0};
    struct arena arena;
    int64_t before = now_s - server->config->retention_days * 86400LL;
    if (server->config->retention_days == 0)
        return;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    int rc = object_list(server->store, &object_test_kind, 0, NULL, &arena, &tests, NULL);
    const struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        if (!test[i].is_instant || test[i].created_s >= before || latest_round(server->latest, test[i].head.id) >= before)
            continue;
        rc = store_delete(server->store, object_test_kind.name, test[i].head.id, NULL);
        if (!rc)
            api_test_gone(server, test[i].head.aid, test[i].head.id);
    }
    arena_done(&arena);
}

/* --- runs asked for once ------------------------------------------------------------------------------------------------ */

static int ask_run(struct request *request, const struct object_test *test, uint64_t *ret_run, struct error *err)
{
    const struct object_test_agent *members = test->agents.items;
    uint64_t *ids = arena_alloc_array(request->arena, test->agents.count + 1, sizeof *ids);
    if (!ids)
        return error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; i < test->agents.count; i++)
        ids[i] = members[i].agent_id;
    int64_t now = server_now_s(request->server);
    struct object_run run = {.head = {.aid = test->head.aid},
                             .test_id = test->head.id,
                             .test_version = test->head.version,
                             .asked_s = now,
                             .agents = {ids, test->agents.count}};
    int rc = object_put(request->server->store, &object_run_kind, &run, now, err);
    if (!rc)
        rc = usage_add_run(request->server->store, test, now, request->arena, err);
    *ret_run = run.head.id;
    return rc ? rc : change_note(request, test->head.aid, "Test run", "testName", test->name, err);
}

static int create_instant(struct request *request, struct error *err)
{
    uint64_t run_id = 0;
    struct object_test test;
    struct store *store = request->server->store;
    int rc = new_test(request, &instant_request_table, true, &test, err);
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = put_test(request, &test, err);
    if (!rc)
        rc = ask_run(request, &test, &run_id, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    request_location(request, request_url(request, "/v7/tests/%s/%llu", test.type, (unsigned long long)test.head.id));
    api_test_changed(request->server, test.head.aid, test.head.id);
    api_run_changed(request->server, run_id);
    return answer_test(request, 201, &test, err);
}

static int run_test(struct request *request, struct error *err)
{
    uint64_t run_id = 0;
    struct object_test test;
    int rc = find_test(request, &test, err);
    if (!rc && test.saved_event)
        rc = error_set(err, E_CONFLICT, "testId", "a saved event cannot be run");
    struct store *store = request->server->store;
    if (!rc)
        rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = ask_run(request, &test, &run_id, err);
    rc = store_end(store, rc, err);
    if (rc)
        return rc;
    api_run_changed(request->server, run_id);
    request_answer_empty(request, 200);
    return 0;
}

/* --- routes ------------------------------------------------------------------------------------------------------------- */

static const char *const expand_words[] = {"agent", "alert-rule", "monitor", "label", "tag", "shared-with-account", NULL};
static const char *const instant_expand[] = {"agent", "label", "tag", "shared-with-account", NULL};
static const char *const get_queries[] = {"versionId", NULL};

const struct route api_test_routes[] = {
    ROUTE("GET", "/v7/tests", PERMISSION_VIEW_TESTS, "getTests", get_tests,
          (.response = &listed_table, .list = "tests", .flags = ROUTE_V7), "List tests of all types"),
    ROUTE("GET", "/v7/tests/{type}", PERMISSION_VIEW_TESTS, "get{Type}Tests", get_typed_tests,
          (.response = &listed_table, .list = "tests", .flags = ROUTE_V7 | ROUTE_TYPED), "List tests of one type"),
    ROUTE("POST", "/v7/tests/{type}", PERMISSION_EDIT_TESTS, "create{Type}Test", create_test,
          (.request = &request_table, .response = &api_test_table, .status = 201, .flags = ROUTE_V7 | ROUTE_TYPED,
           .expand = expand_words),
          "Create a test"),
    ROUTE("GET", "/v7/tests/{type}/{testId}", PERMISSION_VIEW_TESTS, "get{Type}Test", get_test,
          (.response = &api_test_table, .flags = ROUTE_V7 | ROUTE_TYPED, .expand = expand_words,
           .queries = get_queries),
          "Get a test, or an earlier version of it"),
    ROUTE("PUT", "/v7/tests/{type}/{testId}", PERMISSION_EDIT_TESTS, "update{Type}Test", update_test,
          (.request = &request_table, .response = &api_test_table,
           .flags = ROUTE_V7 | ROUTE_TYPED | ROUTE_PARTIAL, .expand = expand_words),
          "Change a test; what is not given stays"),
    ROUTE("DELETE", "/v7/tests/{type}/{testId}", PERMISSION_EDIT_TESTS, "delete{Type}Test", delete_test,
          (.status = 204, .flags = ROUTE_V7 | ROUTE_TYPED), "Delete a test and its results"),
    ROUTE("POST", "/v7/tests/{type}/instant", PERMISSION_EDIT_TESTS, "create{Type}InstantTest", create_instant,
          (.request = &instant_request_table, .response = &instant_answer_table, .status = 201,
           .flags = ROUTE_V7 | ROUTE_TYPED | ROUTE_INSTANT, .expand = instant_expand),
          "Run a test once, now"),
    ROUTE("POST", "/v7/tests/{testId}/run", PERMISSION_EDIT_TESTS, "runInstantTest", run_test,
          (.flags = ROUTE_V7 | ROUTE_INSTANT), "Run an existing test once, now"),
    {0},
};
