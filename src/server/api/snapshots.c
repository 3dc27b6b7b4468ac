/*
 * /v7/tests/{testId}/snapshot: a window of a test's results, kept as a saved event (snapshots.h).
 */
#include <string.h>

#include "base/log.h"
#include "server/api/api.h"
#include "server/auth.h"
#include "server/change.h"
#include "server/shares.h"
#include "server/snapshots.h"

#define HOUR_S 3600
#define AT_ONCE 5 /* snapshots of an organization within AT_ONCE_S */
#define AT_ONCE_S 300

struct snapshot_request {
    const char *name;
    int64_t from_s, until_s;
    bool is_public;
};
static const struct field request_fields[] = {
    FIELD_STR(struct snapshot_request, name, "displayName", (.flags = FIELD_REQUIRED, .min = 1, .max = 255), "Its name"),
    FIELD_TIME(struct snapshot_request, from_s, "startDate", (.flags = FIELD_REQUIRED), "First moment"),
    FIELD_TIME(struct snapshot_request, until_s, "endDate", (.flags = FIELD_REQUIRED), "Last moment"),
    FIELD_BOOL(struct snapshot_request, is_public, "isPublic", (), "Who has the address may see it"),
};
static const struct field_table request_table =
    FIELD_TABLE("SnapshotRequest", struct snapshot_request, request_fields, NULL, "A snapshot to make");

struct snapshot_answer {
    const char *id, *name;
    int64_t start_round_id, end_round_id, round_id, share_s;
    uint64_t source_test_id, test_id, uid;
};
#define R (.flags = FIELD_READONLY)
static const struct field answer_fields[] = {
    FIELD_STR(struct snapshot_answer, id, "id", (), "Its id"),
    FIELD_I64(struct snapshot_answer, start_round_id, "startRoundId", R, "Epoch second it begins at"),
    FIELD_I64(struct snapshot_answer, end_round_id, "endRoundId", R, "Epoch second it ends at"),
    FIELD_I64(struct snapshot_answer, round_id, "roundId", R, "Epoch second looked at first"),
    FIELD_TIME(struct snapshot_answer, share_s, "shareDate", (), "When it was made"),
    FIELD_ID(struct snapshot_answer, source_test_id, "sourceTestId", (), "The test it was made of"),
    FIELD_ID(struct snapshot_answer, test_id, "testId", (), "The saved event"),
    FIELD_ID(struct snapshot_answer, uid, "uid", (), "Who made it"),
    FIELD_STR(struct snapshot_answer, name, "displayName", (), "Its name"),
};
static const struct field_table answer_table =
    FIELD_TABLE("SnapshotResponse", struct snapshot_answer, answer_fields, NULL, "A snapshot of a test");

static int check_window(const struct request *request, const struct snapshot_request *wanted, struct error *err)
{
    static const int hours[] = {1, 2, 4, 6, 12, 24, 48};
    for (size_t i = 0; i < sizeof hours / sizeof hours[0]; i++) {
        if (wanted->until_s - wanted->from_s != hours[i] * HOUR_S)
            continue;
        return wanted->until_s > server_now_s(request->server)
                   ? error_set(err, E_INVALID, "endDate", "must not be in the future")
                   : 0;
    }
    return error_set(err, E_INVALID, "endDate", "must be 1, 2, 4, 6, 12, 24 or 48 hours after startDate");
}

static int check_rate(struct request *request, bool *ret_too_many, struct error *err)
{
    struct field_list all = {0};
    int64_t since = server_now_s(request->server) - AT_ONCE_S;
    int rc = object_list(request->server->store, &object_snapshot_kind, 0, NULL, request->arena, &all, err);
    const struct object_snapshot *snapshot = all.items;
    size_t recent = 0;
    for (size_t i = 0; !rc && i < all.count; i++)
        recent += snapshot[i].created_s > since;
    *ret_too_many = recent >= AT_ONCE;
    return rc;
}

/* The saved event: the test as it is, under the snapshot's name, that runs no more. */
static struct object_test event_of(const struct request *request, const struct object_test *source, const char *name)
{
    struct object_test event = *source;
    event.head = (struct object_head){.aid = request->aid};
    event.key = NULL;
    event.name = name;
    event.enabled = event.alerts_enabled = false;
    event.saved_event = true;
    event.live_share = false;
    event.shared_with = event.alert_rules = event.tags = event.labels = (struct field_list){0};
    event.created_by = arena_printf(request->arena, "%s (%s)", request->user.name, request->user.email);
    event.created_s = server_now_s(request->server);
    event.modified_by = NULL;
    event.changed_s = 0;
    return event;
}

static int keep(struct request *request, struct object_test *event, struct object_snapshot *snapshot, struct error *err)
{
    struct store *store = request->server->store;
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = change_put(request, &object_test_kind, event, err);
    snapshot->test_id = event->head.id;
    if (!rc)
        rc = change_put(request, &object_snapshot_kind, snapshot, err);
    return store_end(store, rc, err);
}

static int create_snapshot(struct request *request, struct error *err)
{
    const struct snapshot_request *wanted = request->record;
    struct object_test source;
    uint64_t id;
    bool is_too_many = false;
    int rc = request_id(request, "testId", &id, err);
    if (!rc)
        rc = shares_get_test(request->server->shares, id, request->aid, request->arena, &source, err);
    if (!rc)
        rc = check_window(request, wanted, err);
    if (!rc)
        rc = check_rate(request, &is_too_many, err);
    if (rc)
        return rc;
    if (is_too_many) {
        request_answer_problem(request, 429, NULL, "At most 5 snapshots are made in 5 minutes.");
        return 0;
    }
    char code[AUTH_SECRET_BYTES];
    auth_new_secret("", code);
    struct object_test event = event_of(request, &source, wanted->name);
    struct object_snapshot snapshot = {.head.aid = request->aid,
                                       .code = code,
                                       .name = wanted->name,
                                       .source_test_id = source.head.id,
                                       .uid = request->user.head.id,
                                       .from_s = wanted->from_s,
                                       .until_s = wanted->until_s,
                                       .round_id = wanted->from_s,
                                       .created_s = event.created_s,
                                       .expires_s = event.created_s + SNAPSHOT_API_DAYS * 86400LL,
                                       .is_public = wanted->is_public,
                                       .copied_round = -1};
    rc = keep(request, &event, &snapshot, err);
    if (rc)
        return rc;
    snapshots_added(request->server->snapshots);
    api_test_changed(request->server, event.head.aid, event.head.id);
    struct snapshot_answer answer = {.id = arena_printf(request->arena, "%llu", (unsigned long long)snapshot.head.id),
                                     .name = snapshot.name,
                                     .start_round_id = snapshot.from_s,
                                     .end_round_id = snapshot.until_s,
                                     .round_id = snapshot.round_id,
                                     .share_s = snapshot.created_s,
                                     .source_test_id = snapshot.source_test_id,
                                     .test_id = snapshot.test_id,
                                     .uid = snapshot.uid};
    json_t *test = api_test_json(request, &event, err);
    if (!test)
        return err->code ? -err->code : -E_CORRUPT;
    json_t *json = field_to_json(&answer_table, &answer, NULL);
    (void)json_object_set_new(json, "test", test);
    request_link_self(request, json, request_url(request, "/v7/tests/%llu/snapshot", (unsigned long long)id));
    (void)json_object_set_new(
        json_object_get(json, "_links"), "appLink",
        json_pack("{s:s}", "href",
                  request_url(request, "/views/%llu?round=%lld", (unsigned long long)snapshot.test_id,
                              (long long)snapshot.round_id)));
    request_answer(request, 201, json);
    return 0;
}

/* The snapshot, and its saved event unless that is gone already. */
static int drop_one(struct server *server, const struct object_snapshot *snapshot, bool is_gone, struct error *err)
{
    int rc = store_begin(server->store, err);
    if (rc)
        return rc;
    if (!is_gone)
        rc = store_delete(server->store, object_test_kind.name, snapshot->test_id, err);
    if (!rc && !is_gone)
        rc = store_drop_test(server->store, snapshot->test_id, err);
    if (!rc)
        rc = store_delete(server->store, object_snapshot_kind.name, snapshot->head.id, err);
    rc = store_end(server->store, rc, err);
    if (!rc && !is_gone)
        api_test_gone(server, snapshot->head.aid, snapshot->test_id);
    return rc;
}

void api_drop_snapshots(struct server *server, int64_t now_s)
{
    struct field_list all = {0};
    struct error err = {0};
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    int rc = object_list(server->store, &object_snapshot_kind, 0, NULL, &arena, &all, &err);
    const struct object_snapshot *snapshot = all.items;
    for (size_t i = 0; !rc && i < all.count; i++) {
        struct object_test test;
        rc = object_get(server->store, &object_test_kind, snapshot[i].test_id, 0, &arena, &test, &err);
        bool is_gone = rc == -E_NOT_FOUND;
        if (is_gone || (!rc && snapshot[i].expires_s && snapshot[i].expires_s <= now_s))
            rc = drop_one(server, &snapshot[i], is_gone, &err);
    }
    if (rc) {
        char text[600];
        log_warning("snapshots", "cannot drop those that expired: %s", error_format(&err, text, sizeof text));
    }
    arena_done(&arena);
}

const struct route api_snapshot_routes[] = {
    ROUTE("POST", "/v7/tests/{testId}/snapshot", PERMISSION_CREATE_SNAPSHOT_SHARES, "createTestSnapshot",
          create_snapshot, (.request = &request_table, .response = &answer_table, .status = 201, .flags = ROUTE_V7),
          "Keep a window of a test's results"),
    {0},
};
