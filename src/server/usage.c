#include "server/usage.h"

#include <string.h>
#include <time.h>

#define HOUR_S 3600
#define MILLI_HALF 500 /* thousandths of a unit on an enterprise agent for each unit on a cloud agent */

/* Of a month: runs asked for once, or a test that was deleted. */
struct usage_record {
    struct object_head head; /* aid of the test */
    int64_t at_s;
    uint64_t test_id;
    const char *test_name, *test_type;
    bool is_instant;
    struct field_list agents; /* struct usage_agent */
};
struct usage_agent {
    uint64_t agent_id;
    int64_t milli;
};
static const struct field agent_fields[] = {
    FIELD_ID(struct usage_agent, agent_id, "agentId", (), "The agent"),
    FIELD_I64(struct usage_agent, milli, "milli", (), "Thousandths of a unit"),
};
static const struct field_table agent_table =
    FIELD_TABLE("StoredUsageAgent", struct usage_agent, agent_fields, NULL, "What an agent used");
static const struct field record_fields[] = {
    FIELD_TIME(struct usage_record, at_s, "date", (), "When it was added"),
    FIELD_ID(struct usage_record, test_id, "testId", (), "The test"),
    FIELD_STR(struct usage_record, test_name, "testName", (), "Its name"),
    FIELD_STR(struct usage_record, test_type, "testType", (), "Its type"),
    FIELD_BOOL(struct usage_record, is_instant, "isInstant", (), "It was asked for once"),
    FIELD_LIST(struct usage_record, agents, "agents", &agent_table, (), "Who used it"),
};
static const struct field_table record_table =
    FIELD_TABLE("StoredUsage", struct usage_record, record_fields, NULL, "Units used, as they are kept");
const struct object_kind usage_kind = {
    .name = "usage", .table = &record_table, .key = OBJECT_NONE, .lookup = OBJECT_NONE, .label = OBJECT_NONE};

void usage_month(int64_t when_s, int64_t *ret_from_s, int64_t *ret_until_s)
{
    time_t when = (time_t)when_s;
    struct tm tm;
    (void)gmtime_r(&when, &tm);
    struct tm first = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = 1};
    struct tm next = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + 1, .tm_mday = 1};
    *ret_from_s = (int64_t)timegm(&first);
    *ret_until_s = (int64_t)timegm(&next);
}

/* --- what one run costs ----------------------------------------------------------------------------------------------- */

static int64_t run_milli(const struct object_test *test, struct arena *arena)
{
    const struct measure_type *type;
    void *settings;
    if (object_test_settings(test, arena, &type, &settings, NULL) != 0 || !type->units)
        return 0;
    return (int64_t)type->units(settings) * MILLI_HALF;
}

static bool is_charged(const struct object_test *test)
{
    return test->enabled && !test->is_instant && !test->saved_event && test->interval_s > 0;
}

int64_t usage_rate_milli(const struct object_test *test, struct arena *arena)
{
    return is_charged(test) ? run_milli(test, arena) * (int64_t)test->agents.count * HOUR_S / test->interval_s : 0;
}

/* --- gathering ---------------------------------------------------------------------------------------------------------- */

struct gathering {
    struct store *store;
    struct arena *arena;
    int64_t from_s, now_s, until_s;
    struct usage_item *items;
    size_t count, room;
};

static struct usage_item *item_of(struct gathering *gathering, const struct usage_item *key)
{
    for (size_t i = gathering->count; i-- > 0;) {
        struct usage_item *item = &gathering->items[i];
        if (item->test_id != key->test_id)
            break; /* those of one test stand together */
        if (item->agent_id == key->agent_id && item->is_instant == key->is_instant)
            return item;
    }
    if (gathering->count == gathering->room) {
        size_t room = gathering->room ? 2 * gathering->room : 64;
        struct usage_item *items = arena_alloc_array(gathering->arena, room, sizeof *items);
        if (!items)
            return NULL;
        if (gathering->count)
            memcpy(items, gathering->items, gathering->count * sizeof *items);
        gathering->items = items;
        gathering->room = room;
    }
    gathering->items[gathering->count] = *key;
    return &gathering->items[gathering->count++];
}

static int add_time(struct gathering *gathering, const struct object_test *named, const struct object_test *version,
                    int64_t from_s, int64_t until_s, bool is_now, struct error *err)
{
    const struct object_test_agent *agents = version->agents.items;
    int64_t milli = is_charged(version) ? run_milli(version, gathering->arena) : 0;
    for (size_t i = 0; milli && i < version->agents.count; i++) {
        const struct usage_item key = {.aid = named->head.aid,
                                       .test_id = named->head.id,
                                       .agent_id = agents[i].agent_id,
                                       .test_name = named->name,
                                       .test_type = named->type};
        struct usage_item *item = item_of(gathering, &key);
        if (!item)
            return error_set(err, E_LIMIT, "", "too many tests and agents");
        int64_t used = until_s > from_s ? (until_s - from_s) * milli / version->interval_s : 0;
        item->used_milli += used;
        item->projected_milli += used;
        if (is_now && gathering->until_s > until_s)
            item->projected_milli += (gathering->until_s - until_s) * milli / version->interval_s;
    }
    return 0;
}

/* Each version stood from when it was made until the next one was. */
static int add_test(struct gathering *gathering, const struct object_test *test, struct error *err)
{
    int64_t end_s = gathering->now_s;
    struct object_test version = *test;
    int rc = 0;
    for (int64_t number = test->head.version; !rc && number >= 1 && end_s > gathering->from_s; number--) {
        if (number != test->head.version)
            rc = object_get(gathering->store, &object_test_kind, test->head.id, number, gathering->arena, &version, err);
        if (rc)
            break;
        int64_t begin_s = version.head.modified_s;
        rc = add_time(gathering, test, &version, begin_s > gathering->from_s ? begin_s : gathering->from_s, end_s,
                      number == test->head.version, err);
        end_s = begin_s < end_s ? begin_s : end_s;
    }
    return rc == -E_NOT_FOUND ? 0 : rc; /* older versions are not kept */
}

static int add_record(struct gathering *gathering, const struct usage_record *record, struct error *err)
{
    const struct usage_agent *agents = record->agents.items;
    for (size_t i = 0; i < record->agents.count; i++) {
        const struct usage_item key = {.aid = record->head.aid,
                                       .test_id = record->test_id,
                                       .agent_id = agents[i].agent_id,
                                       .test_name = record->test_name,
                                       .test_type = record->test_type,
                                       .is_instant = record->is_instant};
        struct usage_item *item = item_of(gathering, &key);
        if (!item)
            return error_set(err, E_LIMIT, "", "too many tests and agents");
        item->used_milli += agents[i].milli;
        item->projected_milli += agents[i].milli;
    }
    return 0;
}

int usage_list(struct store *store, uint64_t aid, int64_t from_s, int64_t now_s, int64_t until_s, struct arena *arena,
               struct field_list *ret_items, struct error *err)
{
    struct gathering gathering = {
        .store = store, .arena = arena, .from_s = from_s, .now_s = now_s, .until_s = until_s};
    struct field_list tests = {0}, records = {0};
    int rc = object_list(store, &object_test_kind, aid, NULL, arena, &tests, err);
    const struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++)
        rc = add_test(&gathering, &test[i], err);
    if (!rc)
        rc = object_list(store, &usage_kind, aid, NULL, arena, &records, err);
    const struct usage_record *record = records.items;
    for (size_t i = 0; !rc && i < records.count; i++) {
        if (record[i].at_s >= from_s && record[i].at_s < now_s + 1)
            rc = add_record(&gathering, &record[i], err);
    }
    if (!rc)
        *ret_items = (struct field_list){gathering.items, gathering.count};
    return rc;
}

/* --- what is kept ---------------------------------------------------------------------------------------------------- */

static int keep(struct store *store, const struct object_test *test, bool is_instant, const struct usage_agent *agents,
                size_t count, int64_t now_s, struct error *err)
{
    struct usage_record record = {.head.aid = test->head.aid,
                                  .at_s = now_s,
                                  .test_id = test->head.id,
                                  .test_name = test->name,
                                  .test_type = test->type,
                                  .is_instant = is_instant,
                                  .agents = {(void *)(uintptr_t)agents, count}};
    return count ? object_put(store, &usage_kind, &record, now_s, err) : 0;
}

int usage_add_run(struct store *store, const struct object_test *test, int64_t now_s, struct arena *arena,
                  struct error *err)
{
    const struct object_test_agent *members = test->agents.items;
    struct usage_agent *agents = arena_alloc_array(arena, test->agents.count + 1, sizeof *agents);
    int64_t milli = run_milli(test, arena);
    if (!agents)
        return error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; i < test->agents.count; i++)
        agents[i] = (struct usage_agent){members[i].agent_id, milli};
    return keep(store, test, true, agents, test->agents.count, now_s, err);
}

int usage_keep_deleted(struct store *store, const struct object_test *test, int64_t now_s, struct arena *arena,
                       struct error *err)
{
    int64_t from_s, until_s;
    usage_month(now_s, &from_s, &until_s);
    struct gathering gathering = {
        .store = store, .arena = arena, .from_s = from_s, .now_s = now_s, .until_s = now_s};
    int rc = add_test(&gathering, test, err);
    struct usage_agent *agents = rc ? NULL : arena_alloc_array(arena, gathering.count + 1, sizeof *agents);
    if (!rc && !agents)
        rc = error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; !rc && i < gathering.count; i++)
        agents[i] = (struct usage_agent){gathering.items[i].agent_id, gathering.items[i].used_milli};
    return rc ? rc : keep(store, test, false, agents, gathering.count, now_s, err);
}
