#include "server/view.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"
#include "wire/json.h"

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_agents(const void *a, const void *b)
{
    uint64_t x = ((const struct object_agent *)a)->head.id, y = ((const struct object_agent *)b)->head.id;
    return x < y ? -1 : x > y;
}

int view_test(struct view *ret_view, struct store *store, const struct object_test *test, int64_t now_s,
              struct arena *arena, struct error *err)
{
    void *settings;
    struct view view = {
        .store = store, .test_id = test->head.id, .interval_s = test->interval_s, .now_s = now_s, .arena = arena};
    int rc = object_test_settings(test, arena, &view.type, &settings, err);
    if (rc)
        return rc;
    view.target = object_test_target(view.type, settings);
    const struct object_test_agent *assigned = test->agents.items;
    struct object_agent *agents = arena_alloc_array(arena, test->agents.count + 1, sizeof *agents);
    if (!agents)
        return error_set(err, E_LIMIT, "agents", "the test has too many agents for the memory of this request");
    for (size_t i = 0; i < test->agents.count; i++) {
        rc = object_get(store, &object_agent_kind, assigned[i].agent_id, 0, arena, &agents[view.agent_count], err);
        if (rc && rc != -E_NOT_FOUND)
            return rc;
        view.agent_count += !rc; /* an agent may have been deleted since */
    }
    qsort(agents, view.agent_count, sizeof *agents, compare_agents);
    view.agents = agents;
    *ret_view = view;
    return 0;
}

int view_choose(struct view *view, const char *text, struct error *err)
{
    view->chosen = NULL;
    view->chosen_count = 0;
    if (!text || !text[0])
        return 0;
    size_t count = 1;
    for (const char *at = text; *at; at++)
        count += *at == ',';
    uint64_t *ids = count > LIMIT_LIST_ITEMS ? NULL : arena_alloc_array(view->arena, count, sizeof *ids);
    if (!ids)
        return error_set(err, E_LIMIT, "agents", "too many agents");
    for (size_t i = 0; i < count; i++) {
        char number[24];
        size_t length = strcspn(text, ",");
        if (length >= sizeof number)
            return error_set(err, E_INVALID, "agents", "agent ids are numbers separated by commas");
        memcpy(number, text, length);
        number[length] = 0;
        if (str_to_u64(number, INT64_MAX, &ids[i]))
            return error_set(err, E_INVALID, "agents", "\"%s\" is no agent id", number);
        text += length + (text[length] == ',');
    }
    qsort(ids, count, sizeof *ids, compare_ids);
    view->chosen = ids;
    view->chosen_count = count;
    return 0;
}

bool view_shows(const struct view *view, uint64_t agent_id)
{
    return !view->chosen_count ||
           bsearch(&agent_id, view->chosen, view->chosen_count, sizeof *view->chosen, compare_ids);
}

const struct object_agent *view_agent(const struct view *view, uint64_t agent_id)
{
    struct object_agent wanted = {.head.id = agent_id};
    return bsearch(&wanted, view->agents, view->agent_count, sizeof wanted, compare_agents);
}

void view_text(struct buf *out, const char *text)
{
    if (text)
        json_put_string(out, text, strlen(text));
    else
        buf_puts(out, "null");
}

void view_number(struct buf *out, double value)
{
    char text[JSON_F64_BYTES];
    double rounded = fabs(value) < 1e9 ? round(value * 1e6) / 1e6 : value;
    buf_puts(out, isfinite(value) ? json_f64_text(rounded, text) : "null");
}

void view_integer(struct buf *out, int64_t value)
{
    buf_printf(out, "%" PRId64, value);
}

void view_id(struct buf *out, uint64_t id)
{
    buf_printf(out, "\"%" PRIu64 "\"", id);
}
