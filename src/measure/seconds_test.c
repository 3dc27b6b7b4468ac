#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "measure/seconds.h"
#include "measure/type.h"

#define MINUTE_NS (1000 * CLOCK_S)

static void streams_begin_in_their_place(void **state)
{
    (void)state;
    static const struct {
        int64_t round_ms, now_ms; /* since the minute began */
        int64_t start_ms;
        uint32_t count;
    } cases[] = {
        {0, 0, 0, 60},            {200, 200, 200, 60},     {200, 450, 450, 60},    {499, 799, 799, 60},
        {200, 501, 1200, 59},     {200, 1190, 1200, 59},   {200, 1201, 1201, 59},  {200, 20750, 21200, 39},
        {20200, 20201, 20201, 40}, {200, 59300, 59300, 1}, {200, 59900, 59900, 1},
        {200, 75000, 75000, 1},   {-300, -290, 700, 60},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t count = 0;
        int64_t start = seconds_start(MINUTE_NS, MINUTE_NS + cases[i].round_ms * CLOCK_MS,
                                      MINUTE_NS + cases[i].now_ms * CLOCK_MS, &count);
        if ((start - MINUTE_NS) / CLOCK_MS != cases[i].start_ms || count != cases[i].count)
            fail_msg("case %zu: %lld ms, %u", i, (long long)((start - MINUTE_NS) / CLOCK_MS), count);
    }
}

static struct probe_ping_probe probes[60];

static struct probe_ping_result stream_of(uint32_t count, int64_t first_ms)
{
    memset(probes, 0, sizeof probes);
    for (uint32_t i = 0; i < count; i++)
        probes[i] = (struct probe_ping_probe){.tx_ns = MINUTE_NS + first_ms * CLOCK_MS + i * CLOCK_S,
                                              .status = PROBE_PING_ANSWERED};
    return (struct probe_ping_result){
        .start_ns = MINUTE_NS + first_ms * CLOCK_MS, .probe_count = count, .probes = probes};
}

static void assert_row(const struct measure_network *network, size_t second, int64_t sent, int64_t received)
{
    const struct field_list *row = (const struct field_list *)network->packets_by_second.items + second;
    const int64_t *counts = row->items;
    if (sent < 0)
        assert_int_equal(row->count, 0);
    else if (row->count != 2 || counts[0] != sent || counts[1] != received)
        fail_msg("second %zu: %zu [%lld, %lld]", second, row->count, (long long)counts[0], (long long)counts[1]);
}

static void each_second_tells_its_own(void **state)
{
    (void)state;
    struct arena arena;
    struct measure_network network = {0};
    arena_init(&arena, 1 << 20);
    struct probe_ping_result ping = stream_of(60, 300);
    probes[7].status = PROBE_PING_LOST;
    probes[8].status = PROBE_PING_ERROR;
    probes[9].status = PROBE_PING_OVERLOADED;
    probes[10].status = PROBE_PING_REFUSED;
    probes[10].tx_ns = 0;
    probes[20].tx_ns += 800 * CLOCK_MS; /* this host was late: two in the next second */
    probes[59].status = PROBE_PING_WAITING;
    assert_int_equal(seconds_fill(&ping, MINUTE_NS, &network, &arena), 59);
    assert_int_equal(network.packets_by_second.count, MEASURE_CONTINUOUS_S);
    for (size_t i = 0; i < 60; i++) {
        int64_t sent = i == 9 || i == 10 || i == 20 ? 0 : i == 21 ? 2 : i == 59 ? -1 : 1;
        assert_row(&network, i, sent, i == 7 || i == 8 ? 0 : sent);
    }
    arena_done(&arena);
}

static void what_was_not_measured_is_empty(void **state)
{
    (void)state;
    struct arena arena;
    struct measure_network network = {0};
    arena_init(&arena, 1 << 20);
    struct probe_ping_result ping = stream_of(38, 22400);
    for (uint32_t i = 20; i < 38; i++)
        probes[i].status = PROBE_PING_UNSENT;
    assert_int_equal(seconds_fill(&ping, MINUTE_NS, &network, &arena), 20);
    for (size_t i = 0; i < 60; i++)
        assert_row(&network, i, i >= 22 && i < 42 ? 1 : -1, 1);
    for (uint32_t i = 0; i < 38; i++)
        probes[i].status = PROBE_PING_UNSENT;
    assert_int_equal(seconds_fill(&ping, MINUTE_NS, &network, &arena), 0);
    for (size_t i = 0; i < 60; i++)
        assert_row(&network, i, -1, 0);
    arena_done(&arena);
    arena_init(&arena, 16); /* no room: nothing is told */
    network = (struct measure_network){0};
    assert_int_equal(seconds_fill(&ping, MINUTE_NS, &network, &arena), 0);
    assert_null(network.packets_by_second.items);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_begin_in_their_place),
        cmocka_unit_test(each_second_tells_its_own),
        cmocka_unit_test(what_was_not_measured_is_empty),
    };
    return cmocka_run_group_tests_name("seconds", tests, NULL, NULL);
}
