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

struct change {
    int64_t t;
    uint64_t agent_id;
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
    struct buf changes; /* struct change */
    struct store_sums *bins; /* of a window told from summaries; NULL = not so */
    bool *has_rounds;        /* of each bin */
    size_t bin_count;
    int64_t first_bin;       /* where the first one begins */
    struct arena sketches;
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

/* An agent's paths in a round; *ret_before is what they were in its round before, 0 = not known. */
static void see_paths(struct line *line, uint64_t agent_id, uint64_t fingerprint, uint64_t *ret_before)
{
    struct seen *seen = map_get(&line->seen, agent_id);
    *ret_before = seen ? seen->fingerprint : 0;
    if (!seen) {
        seen = arena_alloc(line->view->arena, sizeof *seen);
        if (!seen) {
            line->rc = -E_LIMIT;
            return;
        }
        map_put(&line->seen, agent_id, seen);
    }
    seen->fingerprint = fingerprint;
}

static void put_change(struct line *line, int64_t t, uint64_t agent_id)
{
    struct change change = {t, agent_id};
    buf_put(&line->changes, &change, sizeof change);
}

/* Tells a round whose paths differ from the same agent's round before. */
static void watch_paths(struct line *line, const struct store_round *round)
{
    uint64_t before;
    if (!round->fingerprint)
        return;
    see_paths(line, round->agent_id, round->fingerprint, &before);
    if (before && before != round->fingerprint && round->round_id >= line->from_s)
        put_change(line, round->round_id, round->agent_id);
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
    if (!line->bins)
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

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return x->agent_id < y->agent_id ? -1 : x->agent_id > y->agent_id;
}

/* Agents that changed their paths, round by round. */
static void write_changes(struct line *line, struct buf *out)
{
    struct change *changes = (void *)line->changes.data;
    size_t count = line->changes.size / sizeof *changes;
    if (count)
        qsort(changes, count, sizeof *changes, compare_changes);
    buf_puts(out, ",\"changes\":[");
    for (size_t i = 0; i < count; i++) {
        if (!i || changes[i].t != changes[i - 1].t) {
            buf_puts(out, i ? "]},{\"t\":" : "{\"t\":");
            view_integer(out, changes[i].t);
            buf_puts(out, ",\"agents\":[");
        } else {
            buf_putc(out, ',');
        }
        view_id(out, changes[i].agent_id);
    }
    buf_puts(out, count ? "]}]" : "]");
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
    buf_puts(out, "]");
    write_changes(line, out);
    buf_putc(out, '}');
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

/* --- long windows ------------------------------------------------------------------------------------------------- */

/* How many rounds a window may have: whether it is told from summaries. */
static bool is_long(const struct view *view, int64_t from_s, int64_t to_s)
{
    size_t agents = view->chosen_count ? view->chosen_count : view->agent_count ? view->agent_count : 1;
    return view->interval_s && (to_s - from_s) / view->interval_s > (int64_t)(TIMELINE_ROUNDS / agents);
}

static struct store_sums *bin_of(struct line *line, int64_t t)
{
    int64_t at = (t - line->first_bin) / line->step_s;
    if (t < line->first_bin || at >= (int64_t)line->bin_count)
        return NULL;
    line->has_rounds[at] = true;
    return &line->bins[at];
}

static bool take_summary(void *user, const struct store_summary *summary)
{
    struct line *line = user;
    struct store_sums *bin = bin_of(line, summary->from_s);
    if (bin)
        store_add_sums(bin, &summary->sums, &line->sketches);
    return true;
}

static bool take_paths(void *user, const struct store_paths *paths)
{
    struct line *line = user;
    uint64_t before;
    see_paths(line, paths->agent_id, paths->last, &before);
    if (before && before != paths->first)
        put_change(line, paths->first_round, paths->agent_id);
    for (size_t i = 0; i < paths->change_count; i++)
        put_change(line, paths->changes[i], paths->agent_id);
    return !line->rc;
}

static bool take_edge(void *user, const struct store_round *round)
{
    struct line *line = user;
    if (!view_shows(line->view, round->agent_id))
        return true;
    watch_paths(line, round);
    struct store_sums *bin = round->round_id >= line->from_s ? bin_of(line, round->round_id) : NULL;
    double value = bin ? results_metric(round, line->metric) : (double)NAN;
    if (!isnan(value))
        store_add_value(bin, value, &line->sketches);
    return !line->rc;
}

static int read_edge(struct line *line, int64_t from_s, int64_t until_s, struct error *err)
{
    struct store_query rounds = {.test_id = line->view->test_id,
                                 .from_s = from_s,
                                 .until_s = until_s,
                                 .after_round = -1,
                                 .want = STORE_WANT_METRICS};
    return from_s < until_s ? store_rounds(line->view->store, &rounds, take_edge, line, err) : 0;
}

static int read_summaries(struct line *line, struct error *err)
{
    const struct view *view = line->view;
    int64_t first = floor_to(line->from_s + 3599, 3600), end = floor_to(line->to_s, 3600);
    struct store_summary_query query = {.test_id = view->test_id,
                                        .from_s = first,
                                        .until_s = end,
                                        .metric = (uint16_t)line->metric,
                                        .agents = view->chosen,
                                        .agent_count = view->chosen_count,
                                        .is_daily = line->step_s % 86400 == 0};
    struct store_summary_fns fns = {.summary = take_summary, .paths = take_paths};
    int rc = read_edge(line, line->from_s - 2 * (int64_t)view->interval_s, first, err);
    if (!rc)
        rc = store_summaries(view->store, &query, &fns, line, err);
    return rc ? rc : read_edge(line, end, line->to_s, err);
}

static void put_bins(struct line *line)
{
    for (size_t i = 0; i < line->bin_count; i++) {
        const struct store_sums *bin = &line->bins[i];
        int64_t t = line->first_bin + (int64_t)i * line->step_s;
        if (!line->has_rounds[i])
            continue;
        for (int64_t gap = line->open_bin + line->step_s; line->has_open && gap < t; gap += line->step_s)
            put_gap(line, gap);
        line->has_open = true;
        line->open_bin = line->open_t = t;
        if (!bin->count) {
            put_gap(line, t);
            continue;
        }
        put_point(line, &(struct point){.t = t,
                                        .n = (size_t)bin->count,
                                        .mean = bin->sum / (double)bin->count,
                                        .min = bin->min,
                                        .max = bin->max,
                                        .p10 = store_percentile(bin, 0.1),
                                        .p90 = store_percentile(bin, 0.9)});
    }
}

/* Bins of whole hours, as few as keep the answer within max_points. */
static int tell_long(struct line *line, size_t max_points, struct error *err)
{
    int64_t width = 3600;
    while (floor_to(line->to_s - 1, width) - floor_to(line->from_s, width) >= (int64_t)max_points * width)
        width += 3600;
    line->step_s = width;
    line->is_binned = true;
    line->first_bin = floor_to(line->from_s, width);
    line->bin_count = (size_t)((line->to_s - 1 - line->first_bin) / width) + 1;
    line->bins = arena_alloc_array(line->view->arena, line->bin_count, sizeof *line->bins);
    line->has_rounds = arena_alloc_array(line->view->arena, line->bin_count, sizeof *line->has_rounds);
    if (!line->bins || !line->has_rounds)
        return error_set(err, E_LIMIT, "to", "too much for one answer; ask for a shorter time or fewer points");
    arena_init(&line->sketches, LIMIT_REQUEST_ARENA);
    int rc = read_summaries(line, err);
    put_bins(line);
    if (!rc && line->sketches.refused)
        line->rc = -E_LIMIT;
    arena_done(&line->sketches);
    return rc;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int tell_rounds(struct line *line, size_t max_points, struct error *err)
{
    const struct view *view = line->view;
    line->step_s = choose_step(view, line->from_s, line->to_s, max_points, &line->is_binned);
    /* A little before the window, for the paths that its first rounds are compared with. */
    struct store_query rounds = {.test_id = view->test_id,
                                 .from_s = line->from_s - 2 * (int64_t)view->interval_s,
                                 .until_s = line->to_s,
                                 .after_round = -1,
                                 .want = STORE_WANT_METRICS};
    return store_rounds(view->store, &rounds, take_round, line, err);
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
        .view = view, .from_s = query->from_s, .to_s = query->to_s, .metric = (unsigned)metric};
    buf_init(&line.points, 4 * (LIMIT_TIMELINE_POINTS + 4) * sizeof(struct point));
    buf_init(&line.values, LIMIT_REQUEST_ARENA);
    buf_init(&line.changes, LIMIT_RESPONSE_BYTES / 4);
    int rc = is_long(view, query->from_s, query->to_s) ? tell_long(&line, max_points, err)
                                                       : tell_rounds(&line, max_points, err);
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
