/*
 * /v7/audit-user-events: what was changed, by whom, from where; newest first, page by page. Who may see the activity
 * of all users of an account group sees all of it, others what they did themselves.
 * What was before and came after is told under expand=change, which API v7 does not know.
 */
#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/str.h"
#include "server/api/people.h"
#include "server/auth.h"
#include "server/page.h"
#include "wire/json.h"

#define CURSOR_SCOPE 0x6175646974u /* apart from the cursors of results, whose scopes are ids of tests */
#define DROPPED_AT_ONCE 5000u

struct resource {
    const char *type, *name;
};
static const struct field resource_fields[] = {
    FIELD_STR(struct resource, type, "type", (), "What it is"),
    FIELD_STR(struct resource, name, "name", (), "Its name"),
};
static const struct field_table resource_table =
    FIELD_TABLE("AuditResource", struct resource, resource_fields, NULL, "What an event is about");

struct event {
    uint64_t aid, uid;
    const char *group_name, *event, *ip, *user;
    int64_t date_s;
    struct field_list resources; /* struct resource */
};
static const struct field event_fields[] = {
    FIELD_ID(struct event, aid, "aid", (), "Account group it happened in"),
    FIELD_STR(struct event, group_name, "accountGroupName", (), "Its name"),
    FIELD_TIME(struct event, date_s, "date", (), "When"),
    FIELD_STR(struct event, event, "event", (), "What happened"),
    FIELD_STR(struct event, ip, "ipAddress", (), "Where the request came from"),
    FIELD_ID(struct event, uid, "uid", (), "Who did it"),
    FIELD_STR(struct event, user, "user", (), "Name and e-mail address of who did it"),
    FIELD_LIST(struct event, resources, "resources", &resource_table, (), "What it is about"),
};
static const struct field_table event_table =
    FIELD_TABLE("UserEvent", struct event, event_fields, NULL, "An entry of the audit log");

/* What who asks may see of one account group. */
struct reach {
    uint64_t aid;
    const char *name;
    bool sees_all, sees_own;
};

struct listing {
    struct request *request;
    struct reach *reaches;
    size_t reach_count;
    bool sees_outside; /* also what belongs to no account group, such as a sign-in of an unknown user */
    int64_t from_s, until_s;
    struct page_cursor last;
    json_t *events;
    bool has_more;
    int rc;
    struct error *err;
};

static int add_reach(struct listing *list, uint64_t aid, const char *name)
{
    struct request *request = list->request;
    struct permission_set may;
    int rc = auth_permissions(request->server->store, &request->user, aid, request->arena, &may, list->err);
    if (rc)
        return rc;
    bool everywhere = request_may(request, PERMISSION_VIEW_ACTIVITY_IN_ALL_ACCOUNT_GROUPS);
    struct reach reach = {aid, name, everywhere || permission_has(&may, PERMISSION_VIEW_ACTIVITY_IN_ACCOUNT_GROUP),
                          permission_covers(&may, PERMISSION_VIEW_OWN_ACTIVITY_LOG)};
    if (reach.sees_all || reach.sees_own)
        list->reaches[list->reach_count++] = reach;
    return 0;
}

/* The account group worked in, or all that who asks is in; all there are with the permission that says so. */
static int find_reaches(struct listing *list, bool is_all)
{
    struct request *request = list->request;
    struct field_list groups = {0};
    int rc = object_list(request->server->store, &object_account_group_kind, 0, NULL, request->arena, &groups, list->err);
    const struct object_account_group *group = groups.items;
    list->reaches = rc ? NULL : arena_alloc_array(request->arena, groups.count + 1, sizeof *list->reaches);
    if (!rc && !list->reaches)
        rc = error_set(list->err, E_LIMIT, "", "too many account groups");
    bool everywhere = request_may(request, PERMISSION_VIEW_ACTIVITY_IN_ALL_ACCOUNT_GROUPS);
    list->sees_outside = is_all && everywhere;
    for (size_t i = 0; !rc && i < groups.count; i++) {
        uint64_t aid = group[i].head.id;
        if (is_all ? everywhere || people_reaches(&request->user, aid) : aid == request->aid)
            rc = add_reach(list, aid, group[i].name);
    }
    return rc;
}

static const struct reach *reach_of(const struct listing *list, const struct object_audit *entry)
{
    static const struct reach outside = {.name = NULL, .sees_all = true};
    for (size_t i = 0; i < list->reach_count; i++) {
        const struct reach *reach = &list->reaches[i];
        if (reach->aid == entry->head.aid)
            return reach->sees_all || entry->uid == list->request->user.head.id ? reach : NULL;
    }
    /* What happened in no account group, or in one that is gone. */
    return list->sees_outside ? &outside : NULL;
}

static void set_parsed(json_t *object, const char *name, const char *text)
{
    json_t *json = NULL;
    if (text && json_parse_strict(text, strlen(text), &json, NULL) == 0)
        (void)json_object_set_new(object, name, json);
}

static void add_event(struct listing *list, const struct object_audit *entry, const struct reach *reach)
{
    struct request *request = list->request;
    struct resource resource = {entry->resource_type, entry->resource_name};
    struct event event = {.aid = entry->head.aid,
                          .uid = entry->uid,
                          .group_name = reach->name,
                          .event = entry->event,
                          .ip = entry->ip,
                          .user = entry->user,
                          .date_s = entry->head.modified_s,
                          .resources = {&resource, resource.type ? 1 : 0}};
    json_t *json = field_to_json(&event_table, &event, NULL);
    if (request_expands(request, "change") && entry->kind) {
        json_t *change = json_pack("{s:s, s:o, s:I}", "kind", entry->kind, "id",
                                   json_string(arena_printf(request->arena, "%llu", (unsigned long long)entry->object_id)),
                                   "version", (json_int_t)entry->object_version);
        set_parsed(change, "before", entry->before);
        set_parsed(change, "after", entry->after);
        (void)json_object_set_new(json, "oculi", change);
    }
    (void)json_array_append_new(list->events, json);
}

/* Entries come in the order they were made; their times go the same way but for a clock that was set back, so that the
 * walk ends only well before the window. */
#define CLOCK_SLACK_S 86400

static bool take(void *user, const struct store_object *object)
{
    struct listing *list = user;
    struct object_audit entry;
    if (object->modified_s >= list->until_s)
        return true;
    if (object->modified_s < list->from_s)
        return object->modified_s >= list->from_s - CLOCK_SLACK_S;
    list->rc = object_decode(&object_audit_kind, object, list->request->arena, &entry, list->err);
    if (list->rc)
        return false;
    const struct reach *reach = reach_of(list, &entry);
    if (!reach)
        return true;
    if (json_array_size(list->events) == LIMIT_PAGE_ITEMS) {
        list->has_more = true;
        return false;
    }
    add_event(list, &entry, reach);
    list->last.first = (int64_t)object->id;
    return true;
}

static int list_events(struct request *request, struct error *err)
{
    struct listing list = {.request = request, .err = err};
    struct page_window window;
    struct page_cursor cursor;
    const char *all = request_query(request, "useAllPermittedAids");
    bool is_all = all && str_equal(all, "true");
    if (all && !is_all && !str_equal(all, "false"))
        return error_set(err, E_INVALID, "useAllPermittedAids", "must be true or false");
    int rc = page_read_window(request, &window, err);
    if (!rc)
        rc = page_read_cursor(request, CURSOR_SCOPE, &cursor, err);
    if (!rc)
        rc = find_reaches(&list, is_all);
    if (rc)
        return rc;
    if (cursor.is_given) {
        window.from_s = cursor.from_s;
        window.until_s = cursor.until_s;
    }
    window.is_given = true; /* both ends are told, as v7 has it */
    list.from_s = window.from_s;
    list.until_s = window.until_s;
    list.events = json_array();
    rc = store_list_back(request->server->store, object_audit_kind.name, is_all ? 0 : request->aid,
                         cursor.is_given ? (uint64_t)cursor.first : 0, 0, take, &list, err);
    if (rc || list.rc) {
        json_decref(list.events);
        return rc ? rc : list.rc;
    }
    json_t *answer = json_pack("{s:o}", "auditEvents", list.events);
    page_echo_window(&window, answer);
    list.last.from_s = list.from_s;
    list.last.until_s = list.until_s;
    if (list.has_more)
        page_link_next(request, answer, CURSOR_SCOPE, &list.last);
    request_answer(request, 200, answer);
    return 0;
}

/* --- retention ------------------------------------------------------------------------------------------------------------ */

struct old {
    uint64_t ids[DROPPED_AT_ONCE];
    size_t count;
    int64_t before_s;
};

static bool take_old(void *user, const struct store_object *object)
{
    struct old *old = user;
    if (object->modified_s >= old->before_s || old->count == DROPPED_AT_ONCE)
        return false;
    old->ids[old->count++] = object->id;
    return true;
}

void api_drop_audit(struct server *server, int64_t now_s)
{
    int64_t days = server->config->audit_retention_days;
    static struct old old;
    struct error err = {0};
    char text[600];
    if (days == 0)
        return;
    old = (struct old){.before_s = now_s - days * 86400};
    int rc = store_list(server->store, object_audit_kind.name, 0, NULL, 0, 0, take_old, &old, &err);
    if (!rc && old.count)
        rc = store_begin(server->store, &err);
    for (size_t i = 0; !rc && i < old.count; i++)
        rc = store_purge(server->store, object_audit_kind.name, old.ids[i], &err);
    if (!rc && old.count)
        rc = store_commit(server->store, &err);
    else if (rc && store_in_transaction(server->store))
        store_rollback(server->store);
    if (rc)
        log_warning("audit", "cannot drop old entries: %s", error_format(&err, text, sizeof text));
    else if (old.count)
        log_info("audit", "dropped %zu entries older than %lld days", old.count, (long long)days);
}

static const char *const queries[] = {"useAllPermittedAids", "window", "startDate", "endDate", "cursor", NULL};

const struct route api_audit_routes[] = {
    ROUTE("GET", "/v7/audit-user-events", PERMISSION_VIEW_ACTIVITY_IN_ACCOUNT_GROUP, "getUserEvents", list_events,
          (.response = &event_table, .list = "auditEvents", .flags = ROUTE_V7,
           .or_permission = PERMISSION_VIEW_OWN_ACTIVITY_LOG, .queries = queries),
          "List what was changed, by whom and from where, newest first"),
    {0},
};
