#include "measure/seconds.h"

#include "base/clock.h"
#include "measure/type.h"

#define LATE_NS (300 * CLOCK_MS) /* behind its place a stream still begins in the same second */

int64_t seconds_start(int64_t minute_ns, int64_t round_ns, int64_t now_ns, uint32_t *ret_count)
{
    int64_t place = (round_ns - minute_ns) % CLOCK_S;
    int64_t behind = now_ns - minute_ns - (place < 0 ? place + CLOCK_S : place);
    int64_t second = behind > 0 ? behind / CLOCK_S : 0;
    int64_t start = behind < 0 ? now_ns - behind : now_ns;
    if (behind > 0 && behind % CLOCK_S > LATE_NS && second < MEASURE_CONTINUOUS_S - 1)
        start = now_ns + CLOCK_S - behind % CLOCK_S;
    second += behind > 0 && start > now_ns;
    *ret_count = second < MEASURE_CONTINUOUS_S ? (uint32_t)(MEASURE_CONTINUOUS_S - second) : 1;
    return start;
}

void seconds_settings(uint32_t count, struct probe_ping_settings *settings)
{
    settings->rate_pps = 1;
    settings->count = count;
    settings->ceiling_ns = (count - 1 + SECONDS_WAIT_S) * CLOCK_S;
}

/* What the kernel did not take has no time of sending: it was tried in its turn. */
static int64_t second_of(const struct probe_ping_result *ping, uint32_t i, int64_t minute_ns)
{
    int64_t at = ping->probes[i].tx_ns ? ping->probes[i].tx_ns : ping->start_ns + i * CLOCK_S;
    int64_t second = (at - minute_ns) / CLOCK_S;
    return second < 0 ? 0 : second < MEASURE_CONTINUOUS_S ? second : MEASURE_CONTINUOUS_S - 1;
}

static void count_probe(const struct probe_ping_probe *probe, int64_t row[2])
{
    switch ((enum probe_ping_status)probe->status) {
    case PROBE_PING_ANSWERED:
        row[0]++;
        row[1]++;
        return;
    case PROBE_PING_LOST:
    case PROBE_PING_ERROR:
        row[0]++;
        return;
    case PROBE_PING_REFUSED:
    case PROBE_PING_OVERLOADED:
    case PROBE_PING_UNSENT:
    case PROBE_PING_WAITING:
        return;
    }
}

uint32_t seconds_fill(const struct probe_ping_result *ping, int64_t minute_ns, struct measure_network *network,
                      struct arena *arena)
{
    struct field_list *rows = arena_alloc_array(arena, MEASURE_CONTINUOUS_S, sizeof *rows);
    int64_t(*counts)[2] = arena_alloc_array(arena, MEASURE_CONTINUOUS_S, sizeof *counts);
    int64_t first = MEASURE_CONTINUOUS_S, last = -1;
    if (!rows || !counts)
        return 0;
    for (uint32_t i = 0; i < ping->probe_count; i++) {
        const struct probe_ping_probe *probe = &ping->probes[i];
        if (probe->status == PROBE_PING_UNSENT || probe->status == PROBE_PING_WAITING)
            continue;
        int64_t second = second_of(ping, i, minute_ns);
        count_probe(probe, counts[second]);
        first = second < first ? second : first;
        last = second > last ? second : last;
    }
    for (int64_t second = 0; second < MEASURE_CONTINUOUS_S; second++) {
        bool is_measured = second >= first && second <= last;
        rows[second] = (struct field_list){.items = counts[second], .count = is_measured ? 2 : 0};
    }
    network->packets_by_second = (struct field_list){.items = rows, .count = MEASURE_CONTINUOUS_S};
    return last >= first ? (uint32_t)(last - first + 1) : 0;
}
