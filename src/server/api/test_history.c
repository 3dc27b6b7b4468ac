/*
 * /v7/tests/{testId}/history: the versions of a test's settings.
 */
#include "server/api/api.h"
#include "server/shares.h"

#define HISTORY_MAX 500
#define HISTORY_DEFAULT 50

struct version {
    int64_t created_s;
    uint64_t test_id;
    const char *created_by, *id;
};
static const struct field version_fields[] = {
    FIELD_TIME(struct version, created_s, "versionTimestamp", (), "When it came to be"),
    FIELD_ID(struct version, test_id, "testId", (), "The test"),
    FIELD_STR(struct version, created_by, "createdBy", (), "Who made it"),
    FIELD_STR(struct version, id, "versionId", (), "Its id, for ?versionId="),
};
static const struct field_table version_table =
    FIELD_TABLE("TestVersionHistory", struct version, version_fields, NULL, "One version of a test's settings");

static int get_history(struct request *request, struct error *err)
{
    struct object_test test;
    int64_t limit;
    uint64_t id;
    int rc = request_id(request, "testId", &id, err);
    if (!rc)
        rc = shares_get_test(request->server->shares, id, request->aid, request->arena, &test, err);
    if (!rc)
        rc = request_query_i64(request, "limit", 1, HISTORY_MAX, HISTORY_DEFAULT, &limit, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (int64_t version = test.head.version; version >= 1 && limit-- > 0; version--) {
        struct object_test old;
        rc = object_get(request->server->store, &object_test_kind, test.head.id, version, request->arena, &old, err);
        if (rc == -E_NOT_FOUND)
            break; /* older ones are not kept */
        if (rc) {
            json_decref(list);
            return rc;
        }
        struct version item = {.created_s = old.changed_s ? old.changed_s : old.created_s,
                               .test_id = test.head.id,
                               .created_by = old.modified_by ? old.modified_by : old.created_by,
                               .id = arena_printf(request->arena, "%lld", (long long)version)};
        (void)json_array_append_new(list, field_to_json(&version_table, &item, NULL));
    }
    request_answer(request, 200, json_pack("{s:o}", "testVersionHistory", list));
    return 0;
}

static const char *const history_queries[] = {"limit", NULL};

const struct route api_test_history_routes[] = {
    ROUTE("GET", "/v7/tests/{testId}/history", PERMISSION_VIEW_TESTS, "getTestVersionHistory", get_history,
          (.response = &version_table, .list = "testVersionHistory", .flags = ROUTE_V7, .queries = history_queries),
          "List the versions of a test's settings, the newest first"),
    {0},
};
