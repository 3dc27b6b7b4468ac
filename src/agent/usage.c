#include "agent/usage.h"

#include <assert.h>

#include "base/clock.h"

const char *const usage_queue_names[MEASURE_QUEUES] = {"general", "browser", "bandwidth", "voice"};

static double share(const struct usage *usage, size_t queue, int64_t span_ns)
{
    static const uint32_t slots[MEASURE_QUEUES] = USAGE_SLOTS;
    double percent = 100.0 * usage->queues[queue].busy_s / ((double)slots[queue] * (double)span_ns / 1e9);
    return percent > 100 ? 100 : percent;
}

static void close_period(struct usage *usage)
{
    for (size_t i = 0; i < MEASURE_QUEUES; i++) {
        struct usage_queue *queue = &usage->queues[i];
        queue->now = share(usage, i, USAGE_PERIOD_S * CLOCK_S);
        queue->periods[usage->period % USAGE_PERIODS] = (float)queue->now;
        queue->busy_s = 0;
    }
    usage->period++;
    usage->began_ns += USAGE_PERIOD_S * CLOCK_S;
}

static void advance(struct usage *usage, int64_t mono_ns)
{
    while (usage->looked_ns < mono_ns) {
        int64_t end_ns = usage->began_ns + USAGE_PERIOD_S * CLOCK_S;
        int64_t until_ns = mono_ns < end_ns ? mono_ns : end_ns;
        for (size_t i = 0; i < MEASURE_QUEUES; i++)
            usage->queues[i].busy_s += (double)usage->queues[i].running * (double)(until_ns - usage->looked_ns) / 1e9;
        usage->looked_ns = until_ns;
        if (until_ns == end_ns)
            close_period(usage);
    }
}

void usage_init(struct usage *usage, int64_t mono_ns)
{
    *usage = (struct usage){.looked_ns = mono_ns, .began_ns = mono_ns};
}

void usage_start(struct usage *usage, enum measure_queue queue, int64_t mono_ns)
{
    advance(usage, mono_ns);
    usage->queues[queue].running++;
}

void usage_stop(struct usage *usage, enum measure_queue queue, int64_t mono_ns)
{
    advance(usage, mono_ns);
    assert(usage->queues[queue].running > 0);
    usage->queues[queue].running--;
}

void usage_read(struct usage *usage, enum measure_queue which, int64_t mono_ns, double *ret_now, double *ret_most)
{
    advance(usage, mono_ns);
    const struct usage_queue *queue = &usage->queues[which];
    int64_t span_ns = mono_ns - usage->began_ns;
    double now = usage->period > 0 ? queue->now : span_ns > 0 ? share(usage, which, span_ns) : 0;
    double most = now;
    for (uint64_t i = 0; i < usage->period && i < USAGE_PERIODS; i++)
        most = (double)queue->periods[i] > most ? (double)queue->periods[i] : most;
    *ret_now = now;
    *ret_most = most;
}
