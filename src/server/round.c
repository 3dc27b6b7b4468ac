#include "server/round.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/limit.h"
#include "server/results.h"

#define DAY_S 86400

struct report { /* what one agent reported */
    uint64_t agent_id;
    struct store_round round; /* metrics in the arena; no body */
    const char *server_ip, *error_details, *notice, *seconds;
};

struct reports {
    const struct view *view;
    struct report *items; /* ascending by agent */
    size_t count, room;
    int rc;
    struct error *err;
};

/* --- finding ------------------------------------------------------------------------------------------------------ */

struct search {
    const struct view *view;
    int64_t found;
};

static bool search_one(void *user, const struct store_round *round)
{
    struct search *search = user;
    if (!view_shows(search->view, round->agent_id))
        return true;
    search->found = round->round_id;
    return false;
}

/* The nearest round in [from, until) from one end of it; 0 when there is none. */
static int search(const struct view *view, int64_t from_s, int64_t until_s, bool is_descending, int64_t *ret_round,
                  struct error *err)
{
    struct search search = {.view = view};
    struct store_query query = {.test_id = view->test_id,
                                .from_s = from_s,
                                .until_s = until_s,
                                .after_round = -1,
                                .is_descending = is_descending};
    int rc = store_rounds(view->store, &query, search_one, &search, err);
    if (!rc)
        *ret_round = search.found;
    return rc;
}

int round_find(const struct view *view, int64_t at_s, int64_t *ret_round, struct error *err)
{
    return search(view, 0, at_s < INT64_MAX ? at_s + 1 : INT64_MAX, true, ret_round, err);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int read_report(struct reports *reports, const struct store_round *round)
{
    const struct view *view = reports->view;
    struct results_round result;
    int rc = results_unpack(view->type, round, view->arena, &result, reports->err);
    if (rc)
        return rc;
    if (reports->count == reports->room) {
        size_t room = reports->room ? reports->room * 2 : 64;
        struct report *items = arena_alloc_array(view->arena, room, sizeof *items);
        if (!items)
            return error_set(reports->err, E_LIMIT, "agents", "the round has too many agents for one answer");
        if (reports->count)
            memcpy(items, reports->items, reports->count * sizeof *items);
        reports->items = items;
        reports->room = room;
    }
    struct store_metric *metrics = arena_alloc_array(view->arena, round->metric_count + 1, sizeof *metrics);
    if (!metrics)
        return error_set(reports->err, E_LIMIT, "agents", "the round has too many agents for one answer");
    if (round->metric_count)
        memcpy(metrics, round->metrics, round->metric_count * sizeof *metrics);
    struct report *report = &reports->items[reports->count++];
    *report = (struct report){
        .agent_id = round->agent_id,
        .round = *round,
        .server_ip = results_text(&result, "serverIp"),
        .error_details = results_text(&result, "errorDetails"),
        .notice = results_text(&result, "oculi.sackInterference"),
        .seconds = results_seconds(&result, view->arena),
    };
    report->round.metrics = metrics;
    report->round.body = NULL;
    report->round.body_size = 0;
    return 0;
}

static bool take_report(void *user, const struct store_round *round)
{
    struct reports *reports = user;
    if (view_shows(reports->view, round->agent_id))
        reports->rc = read_report(reports, round);
    return !reports->rc;
}

static int read_reports(const struct view *view, int64_t round_id, struct reports *ret_reports, struct error *err)
{
    *ret_reports = (struct reports){.view = view, .err = err};
    struct store_query query = {.test_id = view->test_id,
                                .from_s = round_id,
                                .until_s = round_id + 1,
                                .after_round = -1,
                                .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    int rc = round_id ? store_rounds(view->store, &query, take_report, ret_reports, err) : 0;
    return rc ? rc : ret_reports->rc;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static double mean_of(const struct reports *reports, unsigned metric)
{
    double sum = 0;
    size_t values = 0;
    for (size_t i = 0; i < reports->count; i++) {
        double value = results_metric(&reports->items[i].round, metric);
        if (!isnan(value)) {
            sum += value;
            values++;
        }
    }
    return values ? sum / (double)values : (double)NAN;
}

/* A layer is a part of the result; its first metric speaks for it. */
static void write_layers(const struct reports *reports, struct buf *out)
{
    const struct measure_type *type = reports->view->type;
    bool is_first = true;
    for (size_t i = 0; i < type->part_count; i++) {
        const struct measure_part *part = &type->parts[i];
        size_t m = 0;
        while (m < type->metric_count && strcmp(type->metrics[m].part, part->name) != 0)
            m++;
        if (m == type->metric_count)
            continue;
        double mean = mean_of(reports, (unsigned)m);
        if (!is_first)
            buf_putc(out, ',');
        is_first = false;
        buf_puts(out, "{\"id\":");
        view_text(out, part->name);
        buf_printf(out, ",\"title\":\"%c%s\",\"metric\":", toupper((unsigned char)part->name[0]), part->name + 1);
        view_text(out, type->metrics[m].id);
        buf_puts(out, ",\"value\":");
        view_number(out, mean);
        buf_puts(out, ",\"unit\":");
        view_text(out, type->metrics[m].unit);
        buf_puts(out, ",\"state\":");
        view_text(out, results_state_names[results_state_of(&type->metrics[m], mean)]);
        buf_putc(out, '}');
    }
}

static void write_metrics(const struct measure_type *type, const struct report *report, struct buf *out)
{
    buf_putc(out, '{');
    for (unsigned m = 0; m < type->metric_count; m++) {
        buf_printf(out, "%s\"%s\":", m ? "," : "", type->metrics[m].id);
        view_number(out, report ? results_metric(&report->round, m) : (double)NAN);
    }
    buf_putc(out, '}');
}

static void write_agent(const struct view *view, uint64_t agent_id, const struct object_agent *agent,
                        const struct report *report, struct buf *out)
{
    enum results_state state = report ? results_state(view->type, &report->round) : RESULTS_NO_DATA;
    buf_puts(out, "{\"agentId\":");
    view_id(out, agent_id);
    buf_puts(out, ",\"agentName\":");
    if (agent && agent->name)
        view_text(out, agent->name);
    else
        buf_printf(out, "\"agent %llu\"", (unsigned long long)agent_id);
    buf_puts(out, ",\"location\":");
    view_text(out, agent ? agent->location : NULL);
    buf_puts(out, ",\"countryId\":");
    view_text(out, agent ? agent->country : NULL);
    buf_puts(out, ",\"latitude\":");
    view_number(out, agent ? agent->latitude : (double)NAN);
    buf_puts(out, ",\"longitude\":");
    view_number(out, agent ? agent->longitude : (double)NAN);
    buf_printf(out, ",\"state\":\"%s\",\"reported\":%s,\"startTime\":", results_state_names[state],
               report ? "true" : "false");
    if (report)
        view_integer(out, report->round.start_s);
    else
        buf_puts(out, "null");
    buf_puts(out, ",\"serverIp\":");
    view_text(out, report ? report->server_ip : NULL);
    buf_puts(out, ",\"errorDetails\":");
    view_text(out, report ? report->error_details : NULL);
    buf_puts(out, ",\"notice\":");
    view_text(out, report ? report->notice : NULL);
    buf_puts(out, ",\"seconds\":");
    view_text(out, report ? report->seconds : NULL);
    buf_puts(out, ",\"metrics\":");
    write_metrics(view->type, report, out);
    buf_putc(out, '}');
}

/* Agents that run the test and agents that reported (and may not run it any more), in the order of their ids. */
static int write_agents(const struct reports *reports, struct buf *out, struct error *err)
{
    const struct view *view = reports->view;
    size_t a = 0, r = 0, written = 0;
    while (a < view->agent_count || r < reports->count) {
        const struct object_agent *agent = a < view->agent_count ? &view->agents[a] : NULL;
        const struct report *report = r < reports->count ? &reports->items[r] : NULL;
        uint64_t id = !report || (agent && agent->head.id < report->agent_id) ? agent->head.id : report->agent_id;
        struct object_agent former;
        agent = agent && agent->head.id == id ? agent : NULL;
        report = report && report->agent_id == id ? report : NULL;
        a += agent != NULL;
        r += report != NULL;
        if (!view_shows(view, id))
            continue;
        if (!agent) {
            int rc = object_get(view->store, &object_agent_kind, id, 0, view->arena, &former, err);
            if (rc && rc != -E_NOT_FOUND)
                return rc;
            agent = rc ? NULL : &former;
        }
        if (written++)
            buf_putc(out, ',');
        write_agent(view, id, agent, report, out);
    }
    return 0;
}

struct place { /* of a round among its neighbours; 0 = none */
    int64_t first, previous, next, latest;
    size_t index, count;
};

static int find_place(const struct view *view, int64_t round_id, struct place *ret_place, struct error *err)
{
    struct place place = {.index = 0};
    int rc = round_find(view, INT64_MAX, &place.latest, err);
    if (!rc)
        rc = search(view, 0, INT64_MAX, false, &place.first, err);
    if (rc || !round_id) {
        *ret_place = place;
        return rc;
    }
    rc = search(view, 0, round_id, true, &place.previous, err);
    if (!rc)
        rc = search(view, round_id + 1, INT64_MAX, false, &place.next, err);
    if (rc)
        return rc;
    int64_t last = place.latest - DAY_S < round_id ? place.latest : round_id, *ids;
    rc = store_round_ids(view->store, view->test_id, last - DAY_S + 1, last + 1, view->arena, &ids, &place.count, err);
    if (rc)
        return rc;
    while (place.index < place.count && ids[place.index] < round_id)
        place.index++;
    *ret_place = place;
    return 0;
}

static void write_round_id(struct buf *out, const char *name, int64_t round_id)
{
    buf_printf(out, ",\"%s\":", name);
    if (round_id)
        view_integer(out, round_id);
    else
        buf_puts(out, "null");
}

int round_write(const struct view *view, int64_t round_id, struct buf *out, struct error *err)
{
    struct reports reports;
    struct place place;
    int rc = read_reports(view, round_id, &reports, err);
    if (!rc)
        rc = find_place(view, round_id, &place, err);
    if (rc)
        return rc;
    buf_puts(out, "{\"roundId\":");
    if (round_id)
        view_integer(out, round_id);
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"index\":%zu,\"count\":%zu", place.index, place.count);
    write_round_id(out, "first", place.first);
    write_round_id(out, "previous", place.previous);
    write_round_id(out, "next", place.next);
    write_round_id(out, "latest", place.latest);
    buf_puts(out, ",\"layers\":[");
    write_layers(&reports, out);
    buf_puts(out, "],\"agents\":[");
    rc = write_agents(&reports, out, err);
    buf_puts(out, "]}");
    return rc;
}
