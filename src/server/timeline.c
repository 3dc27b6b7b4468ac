#include "server/timeline.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/map.h"
#include "server/results.h"

#define LONGEST_S (400LL * 86400) /* beyond any retention */

struct point {
    int64_t t;
    size_t n;
    double mean, min, max, p10, p90; /* NaN when n is 0 */
};

struct seen { /* an agent's paths in its round before */
    uint64_t fingerprint;
};

struct line {
    const struct view *view;
    int64_t from_s, to_s, step_s; /* step_s 0: one point per round, wherever it is */
    unsigned metric;
    bool is_binned;    /* a bin may hold several rounds */
    struct buf points; /* struct point */
    struct buf values; /* double: of the bin that is open */
    bool has_open;
    int64_t open_t, open_bin; /* time shown for the open bin; where it begins */
    struct map seen;
    struct buf changes; /* JSON: the items of changes[] */
    int64_t change_t;   /* of the item being written; INT64_MIN = none */
    int rc;             /* -E_LIMIT */
};

double timeline_percentile(const double *values, size_t count, double p)
{
    assert(count > 0);
    double place = p * (double)(count - 1);
    size_t below = (size_t)place;
    if (below + 1 >= count)
        return values[count - 1];
    return values[below] + (values[below + 1] - values[below]) * (place - (double)below);
}

static int compare_values(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int64_t floor_to(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - rest - (rest < 0 ? step : 0);
}

static void put_point(struct line *line, const struct point *point)
{
    buf_put(&line->points, point, sizeof *point);
}

static void put_gap(struct line *line, int64_t t)
{
    double none = (double)NAN;
    put_point(line, &(struct point){.t = t, .mean = none, .min = none, .max = none, .p10 = none, .p90 = none});
}

static void close_bin(struct line *line)
{
    if (!line->has_open)
        return;
    line->has_open = false;
    size_t n = line->values.size / sizeof(double);
    if (!n) {
        put_gap(line, line->open_t); /* agents reported, but none had a value: no latency at full loss */
        return;
    }
    double *values = (void *)line->values.data, sum = 0;
    qsort(values, n, sizeof *values, compare_values);
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    put_point(line, &(struct point){.t = line->open_t,
                                    .n = n,
                                    .mean = sum / (double)n,
                                    .min = values[0],
                                    .max = values[n - 1],
                                    .p10 = timeline_percentile(values, n, 0.1),
                                    .p90 = timeline_percentile(values, n, 0.9)});
    buf_reset(&line->values);
}

static void open_bin(struct line *line, int64_t round_id)
{
    int64_t bin = line->step_s ? floor_to(round_id, line->step_s) : round_id;
    if (line->has_open && line->open_bin == bin)
        return;
    bool had_open = line->has_open;
    int64_t last = line->open_bin;
    close_bin(line);
    if (had_open && line->step_s) {
        for (int64_t gap = last + line->step_s; gap < bin; gap += line->step_s)
            put_gap(line, gap);
    }
    line->has_open = true;
    line->open_bin = bin;
    line->open_t = line->is_binned ? bin : round_id;
}

/* Tells a round whose paths differ from the same agent's round before. */
static void watch_paths(struct line *line, const struct store_round *round)
{
    if (!round->fingerprint)
        return;
    struct seen *seen = map_get(&line->seen, round->agent_id);
    if (!seen) {
        seen = arena_alloc(line->view->arena, sizeof *seen);
        if (!seen) {
            line->rc = -E_LIMIT;
            return;
        }
        map_put(&line->seen, round->agent_id, seen);
    } else if (seen->fingerprint != round->fingerprint && round->round_id >= line->from_s) {
        if (line->change_t != round->round_id) {
            buf_puts(&line->changes, line->change_t == INT64_MIN ? "{\"t\":" : "]},{\"t\":");
            view_integer(&line->changes, round->round_id);
            buf_puts(&line->changes, ",\"agents\":[");
            line->change_t = round->round_id;
        } else {
            buf_putc(&line->changes, ',');
        }
        view_id(&line->changes, round->agent_id);
    }
    seen->fingerprint = round->fingerprint;
}

static bool take_round(void *user, const struct store_round *round)
{
    struct line *line = user;
    if (!view_shows(line->view, round->agent_id))
        return true;
    watch_paths(line, round);
    if (round->round_id >= line->from_s) {
        open_bin(line, round->round_id);
        double value = results_metric(round, line->metric);
        if (!isnan(value))
            buf_put(&line->values, &value, sizeof value);
    }
    return !line->rc;
}

/* After the last round: the slots up to now in which something should have come. */
static void put_tail(struct line *line)
{
    bool had_open = line->has_open;
    int64_t bin = line->open_bin;
    close_bin(line);
    if (!had_open || !line->step_s)
        return;
    int64_t end = line->to_s < line->view->now_s ? line->to_s : line->view->now_s;
    for (bin += line->step_s; bin + line->step_s + line->view->interval_s <= end; bin += line->step_s)
        put_gap(line, bin);
}

static void write_column(const struct line *line, const char *name, size_t offset, struct buf *out)
{
    const struct point *points = (const void *)line->points.data;
    size_t count = line->points.size / sizeof *points;
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(out, ',');
        double value;
        memcpy(&value, (const char *)&points[i] + offset, sizeof value);
        view_number(out, value);
    }
    buf_putc(out, ']');
}

static void write_line(struct line *line, struct buf *out)
{
    const struct measure_metric *metric = &line->view->type->metrics[line->metric];
    const struct point *points = (const void *)line->points.data;
    size_t count = line->points.size / sizeof *points;
    buf_puts(out, "{\"metric\":");
    view_text(out, metric->id);
    buf_puts(out, ",\"unit\":");
    view_text(out, metric->unit);
    buf_printf(out, ",\"interval\":%lld,\"from\":%lld,\"to\":%lld,\"t\":[",
               (long long)(line->step_s ? line->step_s : line->view->interval_s), (long long)line->from_s,
               (long long)line->to_s);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(out, ',');
        view_integer(out, points[i].t);
    }
    buf_putc(out, ']');
    write_column(line, "mean", offsetof(struct point, mean), out);
    write_column(line, "min", offsetof(struct point, min), out);
    write_column(line, "max", offsetof(struct point, max), out);
    write_column(line, "p10", offsetof(struct point, p10), out);
    write_column(line, "p90", offsetof(struct point, p90), out);
    buf_puts(out, ",\"n\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(out, ',');
        view_integer(out, (int64_t)points[i].n);
    }
    buf_printf(out, "],\"changes\":[%s%s]}", buf_str(&line->changes), line->changes.size ? "]}" : "");
}

/* The width of a bin: the test's interval, or as many intervals as keep the answer within max_points. */
static int64_t choose_step(const struct view *view, int64_t from_s, int64_t to_s, size_t max_points, bool *ret_binned)
{
    int64_t points = (int64_t)max_points, interval = view->interval_s;
    *ret_binned = false;
    if (!interval)
        return 0;
    int64_t slots = (to_s - from_s + interval - 1) / interval;
    int64_t together = (slots + points - 1) / points, width = together * interval;
    /* Bins stand at multiples of their width, so that the window may touch one more than fit into it. */
    bool is_one_more = floor_to(to_s - 1, width) - floor_to(from_s, width) >= points * width;
    if (together > 1 && is_one_more)
        together = (slots + points - 2) / (points - 1);
    *ret_binned = together > 1;
    return together * interval;
}

int timeline_write(const struct view *view, const struct timeline_query *query, struct buf *out, struct error *err)
{
    int metric = query->metric ? results_metric_find(view->type, query->metric) : 0;
    if (metric < 0)
        return error_set(err, E_UNKNOWN, "metric", "the type %s has no metric \"%s\"", view->type->name, query->metric);
    if (query->to_s <= query->from_s || query->to_s - query->from_s > LONGEST_S)
        return error_set(err, E_RANGE, "to", "must be after from and within 400 days of it");
    size_t max_points = query->max_points;
    if (!max_points || max_points > LIMIT_TIMELINE_POINTS)
        max_points = LIMIT_TIMELINE_POINTS;
    if (max_points < 2)
        max_points = 2;
    struct line line = {
        .view = view, .from_s = query->from_s, .to_s = query->to_s, .metric = (unsigned)metric, .change_t = INT64_MIN};
    line.step_s = choose_step(view, query->from_s, query->to_s, max_points, &line.is_binned);
    buf_init(&line.points, 4 * (LIMIT_TIMELINE_POINTS + 4) * sizeof(struct point));
    buf_init(&line.values, LIMIT_REQUEST_ARENA);
    buf_init(&line.changes, LIMIT_RESPONSE_BYTES / 4);
    buf_puts(&line.changes, "");
    /* A little before the window, for the paths that its first rounds are compared with. */
    struct store_query rounds = {.test_id = view->test_id,
                                 .from_s = query->from_s - 2 * (int64_t)view->interval_s,
                                 .until_s = query->to_s,
                                 .after_round = -1,
                                 .want = STORE_WANT_METRICS};
    int rc = store_rounds(view->store, &rounds, take_round, &line, err);
    put_tail(&line);
    if (!rc && (line.rc || line.points.is_overflowed || line.values.is_overflowed || line.changes.is_overflowed))
        rc = error_set(err, E_LIMIT, "to", "too much for one answer; ask for a shorter time or fewer points");
    if (!rc)
        write_line(&line, out);
    map_done(&line.seen);
    buf_done(&line.points);
    buf_done(&line.values);
    buf_done(&line.changes);
    return rc;
}
