#include "cli/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_ROOM 16u

void tally_add(struct tally *tally, int64_t rtt_ns)
{
    size_t place = (size_t)(tally->count % TALLY_SAMPLES);
    if (place >= tally->room) {
        size_t room = tally->room ? tally->room * 2 : FIRST_ROOM;
        tally->samples = mem_resize(tally->samples, tally->room * sizeof *tally->samples,
                                    room * sizeof *tally->samples);
        tally->room = room;
    }
    tally->samples[place] = rtt_ns;
    tally->min_ns = tally->count == 0 || rtt_ns < tally->min_ns ? rtt_ns : tally->min_ns;
    tally->max_ns = rtt_ns > tally->max_ns ? rtt_ns : tally->max_ns;
    tally->last_ns = rtt_ns;
    tally->sum_ns += (double)rtt_ns;
    tally->count++;
}

void tally_done(struct tally *tally)
{
    mem_free(tally->samples);
    *tally = (struct tally){0};
}

static size_t kept(const struct tally *tally)
{
    return tally->count < TALLY_SAMPLES ? (size_t)tally->count : TALLY_SAMPLES;
}

double tally_mean_ns(const struct tally *tally)
{
    return tally->count ? tally->sum_ns / (double)tally->count : (double)NAN;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double tally_median_ns(const struct tally *tally)
{
    size_t count = kept(tally);
    if (count == 0)
        return NAN;
    int64_t *sorted = mem_alloc_array(count, sizeof *sorted);
    memcpy(sorted, tally->samples, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_i64);
    double median = ((double)sorted[(count - 1) / 2] + (double)sorted[count / 2]) / 2;
    mem_free(sorted);
    return median;
}

double tally_jitter_ns(const struct tally *tally)
{
    size_t count = kept(tally);
    double sum = 0, deviation = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)tally->samples[i];
    for (size_t i = 0; i < count; i++)
        deviation += fabs((double)tally->samples[i] - sum / (double)count);
    return count ? deviation / (double)count : (double)NAN;
}
