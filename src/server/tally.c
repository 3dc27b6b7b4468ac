#include "server/tally.h"

#include "base/str.h"

const char *const tally_part_names[TALLY_PARTS] = {
    [TALLY_V7] = "v7",           [TALLY_UI] = "ui",       [TALLY_AGENT] = "agent",       [TALLY_PLANS] = "plans",
    [TALLY_STREAMS] = "streams", [TALLY_PAGES] = "pages", [TALLY_OPERATOR] = "operator",
};

const double tally_bounds[TALLY_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

enum tally_part tally_part_of(const char *path)
{
    if (!path)
        return TALLY_PAGES;
    if (str_starts(path, "/v7/"))
        return TALLY_V7;
    if (str_equal(path, "/oculi/v1/agent/plan"))
        return TALLY_PLANS;
    if (str_equal(path, "/oculi/v1/stream"))
        return TALLY_STREAMS;
    if (str_starts(path, "/oculi/v1/agent/"))
        return TALLY_AGENT;
    if (str_starts(path, "/oculi/"))
        return TALLY_UI;
    if (str_equal(path, "/metrics") || str_equal(path, "/healthz") || str_equal(path, "/readyz"))
        return TALLY_OPERATOR;
    return TALLY_PAGES;
}

void tally_time(struct tally_times *times, int64_t us)
{
    uint64_t time_us = us > 0 ? (uint64_t)us : 0;
    unsigned i = 0;
    while (i < TALLY_BUCKETS && (double)time_us > tally_bounds[i] * 1e6)
        i++;
    times->buckets[i]++;
    times->count++;
    times->sum_us += time_us;
}

void tally_request(struct tally *tally, const char *path, int status, int64_t us)
{
    enum tally_part part = tally_part_of(path);
    int last = TALLY_STATUS_MIN + TALLY_STATUSES - 1;
    int known = status < TALLY_STATUS_MIN ? TALLY_STATUS_MIN : status > last ? last : status;
    tally->statuses[part][known - TALLY_STATUS_MIN]++;
    tally_time(&tally->times[part], us);
}
