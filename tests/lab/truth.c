#include "truth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "harness.h"

/* --- the stream --------------------------------------------------------------------------------------------------- */

/* When the first probe of a stream left. */
static double begin_of(json_t *truth, size_t stream)
{
    json_t *streams = harness_at(truth, "probes.stream"), *sent = harness_at(truth, "probes.sentNs");
    for (size_t i = 0; i < json_array_size(streams); i++) {
        if ((size_t)json_integer_value(json_array_get(streams, i)) == stream)
            return json_number_value(json_array_get(sent, i));
    }
    return INFINITY;
}

static bool is_candidate(json_t *stream, const char *destination)
{
    return str_equal(harness_string(stream, "destination"), destination) &&
           str_equal(harness_string(stream, "kind"), "echo") && harness_number(stream, "ttl") >= 64 &&
           harness_number(stream, "sent") >= 5;
}

static size_t find_stream(json_t *truth, const char *destination, unsigned number)
{
    json_t *streams = harness_at(truth, "streams");
    double after = -INFINITY;
    size_t found = SIZE_MAX;
    for (unsigned n = 0; n <= number; n++) {
        double best = INFINITY;
        found = SIZE_MAX;
        for (size_t i = 0; i < json_array_size(streams); i++) {
            double begin = is_candidate(json_array_get(streams, i), destination) ? begin_of(truth, i) : INFINITY;
            if (begin > after && begin < best) {
                best = begin;
                found = i;
            }
        }
        after = best;
    }
    if (found == SIZE_MAX)
        fail_msg("the truth has no stream %u to %s", number, destination);
    return found;
}

struct truth_stream truth_stream(json_t *truth, const char *destination, unsigned number)
{
    size_t index = find_stream(truth, destination, number);
    json_t *stream = json_array_get(harness_at(truth, "streams"), index);
    json_t *owners = harness_at(truth, "probes.stream"), *rtts = harness_at(truth, "probes.rttNs");
    json_t *fates = harness_at(truth, "probes.fate");
    struct truth_stream out = {.sent = (int)harness_number(stream, "sent"),
                               .received = (int)harness_number(stream, "received"),
                               .errors = (int)harness_number(stream, "errors"),
                               .duplicates = (int)harness_number(stream, "duplicates"),
                               .reordered = (int)harness_number(stream, "reordered")};
    out.rtts_us = mem_alloc_array((size_t)out.sent, sizeof *out.rtts_us);
    for (size_t i = 0; i < json_array_size(owners) && out.count < (size_t)out.sent; i++) {
        if ((size_t)json_integer_value(json_array_get(owners, i)) != index)
            continue;
        bool is_answered = str_equal(json_string_value(json_array_get(fates, i)), "answered");
        out.rtts_us[out.count++] = is_answered ? json_number_value(json_array_get(rtts, i)) / 1e3 : -1;
    }
    assert_int_equal(out.count, out.sent);
    return out;
}

void truth_stream_free(struct truth_stream *stream)
{
    mem_free(stream->rtts_us);
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Mean, median and mean absolute deviation of what was answered. */
static size_t summarise(const double *rtts, size_t count, double *ret_mean, double *ret_median, double *ret_jitter)
{
    double *sorted = mem_alloc_array(count + 1, sizeof *sorted), sum = 0, deviation = 0;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (rtts[i] >= 0)
            sum += sorted[n++] = rtts[i];
    }
    qsort(sorted, n, sizeof *sorted, compare_f64);
    *ret_mean = n ? sum / (double)n : 0;
    *ret_median = n ? (sorted[(n - 1) / 2] + sorted[n / 2]) / 2 : 0;
    for (size_t i = 0; i < n; i++)
        deviation += fabs(sorted[i] - *ret_mean);
    *ret_jitter = n ? deviation / (double)n : 0;
    mem_free(sorted);
    return n;
}

static void expect_count(json_t *result, const char *path, int expected, const char *destination)
{
    int got = (int)harness_number(result, path);
    if (got != expected)
        fail_msg("%s: %s is %d, in truth %d", destination, path, got, expected);
}

static void expect_near(json_t *result, const char *path, double expected_ms, double tolerance_us)
{
    double got = harness_number(result, path);
    if (fabs(got - expected_ms) * 1e3 > tolerance_us)
        fail_msg("%s is %.6f ms, not %.6f ms", path, got, expected_ms);
}

/* The median of how far single round-trip times are off the truth. Fails when a probe was answered in one only. */
static double median_error(json_t *list, const struct truth_stream *stream, const char *destination)
{
    double mean, median, jitter, *errors = mem_alloc_array(stream->count, sizeof *errors);
    for (size_t i = 0; i < stream->count; i++) {
        double own = json_number_value(json_array_get(list, i)), truth = stream->rtts_us[i];
        if ((own < 0) != (truth < 0))
            fail_msg("%s: probe %zu took %.0f us, in truth %.0f us", destination, i, own, truth);
        errors[i] = own < 0 ? -1 : fabs(own - truth);
    }
    (void)summarise(errors, stream->count, &mean, &median, &jitter);
    mem_free(errors);
    return median;
}

/* What the result says of its round-trip times follows from them. */
static void check_figures(json_t *result, json_t *list, double true_jitter)
{
    double mean, median, jitter, *own = mem_alloc_array(json_array_size(list), sizeof *own);
    for (size_t i = 0; i < json_array_size(list); i++)
        own[i] = json_number_value(json_array_get(list, i));
    (void)summarise(own, json_array_size(list), &mean, &median, &jitter);
    mem_free(own);
    expect_near(result, "network.avgLatency", mean / 1e3, 1);
    expect_near(result, "network.oculi.medianLatency", median / 1e3, 1);
    expect_near(result, "network.jitter", jitter / 1e3, 1);
    print_message("#   mean %.1f us, median %.1f us, jitter %.1f us (in truth %.1f us)\n", mean, median, jitter,
                  true_jitter);
}

double truth_check_stream(json_t *result, json_t *truth, const char *destination, double tolerance_us)
{
    struct truth_stream stream = truth_stream(truth, destination, 0);
    json_t *list = harness_at(result, "network.oculi.rttsUs");
    double mean, median, jitter, late_us = harness_number(truth, "machine.lateP50Ns") / 1e3;
    expect_count(result, "network.oculi.sent", stream.sent, destination);
    expect_count(result, "network.oculi.received", stream.received, destination);
    expect_count(result, "network.oculi.icmpErrors", stream.errors, destination);
    expect_count(result, "network.oculi.duplicates", stream.duplicates, destination);
    expect_count(result, "network.oculi.reordered", stream.reordered, destination);
    assert_true(fabs(harness_number(result, "network.loss") -
                     100.0 * (stream.sent - stream.received) / stream.sent) < 1e-9);
    assert_int_equal(json_array_size(list), stream.sent);
    double off = median_error(list, &stream, destination);
    size_t answered = summarise(stream.rtts_us, stream.count, &mean, &median, &jitter);
    truth_stream_free(&stream);
    if (answered == 0) {
        assert_null(harness_at(result, "network.avgLatency"));
        assert_null(harness_at(result, "network.jitter"));
        return 0;
    }
    print_message("# %s: %zu answers, at the median %.1f us off the truth (the simulator was %.1f us late)\n",
                  destination, answered, off, late_us);
    check_figures(result, list, jitter);
    if (off > tolerance_us + late_us)
        fail_msg("%s: at the median %.1f us off the truth", destination, off);
    return off;
}

/* --- the paths ---------------------------------------------------------------------------------------------------- */

/* What a trace can know of the true end. */
static const char *end_of(json_t *path, json_t *true_hops, enum truth_silence silence)
{
    const char *true_end = harness_string(path, "end");
    json_t *last = json_array_get(true_hops, json_array_size(true_hops) - 1);
    bool is_mute = silence == TRUTH_ALL_LOST || json_is_true(json_object_get(last, "silent"));
    if (str_equal(true_end, "reached") && is_mute)
        return "silent";
    if (str_equal(true_end, "dropped"))
        return "silent";
    if (strstr(true_end, "unreachable"))
        return "unreachable";
    return true_end;
}

static json_t *hop_at(json_t *hops, const char *key, int ttl)
{
    for (size_t i = 0; i < json_array_size(hops); i++) {
        json_t *hop = json_array_get(hops, i);
        if (json_is_integer(json_object_get(hop, key)) && json_integer_value(json_object_get(hop, key)) == ttl)
            return hop;
    }
    return NULL;
}

static void label_text(json_t *hop, char *text, size_t size)
{
    json_t *labels = json_object_get(hop, "mpls");
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(labels) && used < size; i++) {
        json_t *entry = json_array_get(labels, i);
        used += (size_t)snprintf(text + used, size - used, "%sL=%d,E=%d,S=%d,T=%d", i ? "; " : "",
                                 (int)harness_number(entry, "label"), (int)harness_number(entry, "tc"),
                                 (int)harness_number(entry, "s"), (int)harness_number(entry, "ttl"));
    }
}

/* NULL, or how the trace differs from the true path. */
static const char *difference(json_t *trace, json_t *path, const char *destination, enum truth_silence silence)
{
    static char text[400];
    json_t *hops = harness_at(trace, "hops"), *true_hops = harness_at(path, "hops");
    const char *end = harness_string(trace, "oculi.end"), *true_end = end_of(path, true_hops, silence);
    json_t *final = json_array_get(hops, json_array_size(hops) - 1);
    int last = 0, seen_last = final ? (int)harness_number(final, "hop") : 0;
    for (size_t i = 0; i < json_array_size(true_hops); i++) {
        json_t *hop = json_array_get(true_hops, i);
        int ttl = (int)json_integer_value(json_object_get(hop, "ttl"));
        /* A firewall may drop before the TTL is looked at. */
        bool is_dropper = i + 1 == json_array_size(true_hops) && str_equal(harness_string(path, "end"), "dropped");
        bool may_be_silent =
            silence != TRUTH_ALL_ANSWER || is_dropper || json_is_true(json_object_get(hop, "silent"));
        json_t *seen = ttl ? hop_at(hops, "hop", ttl) : NULL;
        char labels[400];
        if (ttl == 0 || (str_equal(true_end, "loop") && ttl > seen_last)) /* a trace ends after the first lap */
            continue;
        if (!seen && may_be_silent)
            continue;
        snprintf(text, sizeof text, "hop %d is silent", ttl);
        if (!seen)
            return text;
        last = ttl;
        const char *seen_address = harness_string(seen, "ipAddress"), *address = harness_string(hop, "address");
        bool is_block = i + 1 == json_array_size(true_hops) && str_equal(seen_address, destination);
        snprintf(text, sizeof text, "hop %d is %s, not %s", ttl, seen_address, address);
        if (!str_equal(seen_address, address) && !is_block)
            return text;
        const char *mpls = json_string_value(json_object_get(seen, "mpls"));
        label_text(hop, labels, sizeof labels);
        snprintf(text, sizeof text, "hop %d has labels \"%s\", not \"%s\"", ttl, mpls ? mpls : "", labels);
        if (!str_equal(mpls ? mpls : "", labels))
            return text;
    }
    snprintf(text, sizeof text, "the end is %s, not %s", end, true_end);
    if (!str_equal(end, true_end))
        return text;
    snprintf(text, sizeof text, "it ends at hop %d, not %d", seen_last, last);
    /* When every answer of the target to the right TTL was lost, its answer to a higher one is the first. */
    if (silence == TRUTH_SOME_ANSWER && str_equal(end, "reached") && seen_last > last)
        return str_equal(harness_string(final, "ipAddress"), destination) ? NULL : text;
    return seen_last != last ? text : NULL;
}

static json_t *find_target(json_t *truth, const char *destination)
{
    json_t *targets = harness_at(truth, "targets");
    for (size_t i = 0; i < json_array_size(targets); i++) {
        json_t *target = json_array_get(targets, i);
        if (str_equal(harness_string(target, "destination"), destination))
            return target;
    }
    fail_msg("the truth has no paths to %s", destination);
    return NULL;
}

/* The place among the interfaces that follow `before` (NULL: at the first hop) that has this address at that hop. */
static json_t *find_interface(json_t *interfaces, json_t *before, int ttl, const char *address)
{
    json_t *next = before ? json_object_get(before, "next") : NULL;
    for (size_t i = 0; i < json_array_size(before ? next : interfaces); i++) {
        json_t *one = before ? json_array_get(interfaces, (size_t)json_integer_value(json_array_get(next, i)))
                             : json_array_get(interfaces, i);
        if (json_integer_value(json_object_get(one, "ttl")) == ttl && str_equal(harness_string(one, "address"), address))
            return one;
    }
    return NULL;
}

/* Where there are more ways than can be listed: every hop is an interface that follows the one before, up to the target. */
static void check_by_interfaces(json_t *traces, json_t *target, const char *destination)
{
    for (size_t t = 0; t < json_array_size(traces); t++) {
        assert_string_equal(harness_string(json_array_get(traces, t), "oculi.end"), "reached");
        json_t *hops = harness_at(json_array_get(traces, t), "hops"), *before = NULL;
        assert_true(json_array_size(hops) > 0);
        for (size_t i = 0; i < json_array_size(hops); i++) {
            json_t *hop = json_array_get(hops, i);
            int ttl = (int)harness_number(hop, "hop");
            before = find_interface(harness_at(target, "interfaces"), before, ttl, harness_string(hop, "ipAddress"));
            if (!before)
                fail_msg("trace %zu: hop %d, %s, does not follow the one before", t + 1, ttl,
                         harness_string(hop, "ipAddress"));
        }
        assert_string_equal(harness_string(before, "address"), destination);
    }
}

#define PATHS_MAX 64

size_t truth_check_paths(json_t *result, json_t *truth, const char *destination, enum truth_silence silence)
{
    json_t *found = find_target(truth, destination), *numbers = harness_at(found, "paths");
    json_t *traces = harness_at(result, "pathVis.pathTraces"), *paths = harness_at(truth, "paths");
    bool is_seen[PATHS_MAX] = {false};
    assert_true(json_array_size(numbers) <= PATHS_MAX);
    if (json_is_false(json_object_get(found, "pathsComplete"))) {
        check_by_interfaces(traces, found, destination);
        return json_array_size(traces);
    }
    for (size_t t = 0; t < json_array_size(traces); t++) {
        json_t *trace = json_array_get(traces, t);
        const char *why = "there is no true path";
        for (size_t i = 0; i < json_array_size(numbers) && why; i++) {
            json_t *path = json_array_get(paths, (size_t)json_integer_value(json_array_get(numbers, i)));
            why = difference(trace, path, destination, silence);
            is_seen[i] |= !why;
        }
        if (why)
            fail_msg("%s, trace %zu: %s: %s", destination, t + 1, why, json_dumps(trace, JSON_INDENT(1)));
    }
    size_t seen = 0;
    for (size_t i = 0; i < PATHS_MAX; i++)
        seen += is_seen[i];
    return seen;
}
