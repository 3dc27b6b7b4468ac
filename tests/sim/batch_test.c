/* Batches over the simulated internet: each target told once and truly, within both ceilings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <string.h>

#include "base/mem.h"
#include "probe/batch.h"
#include "world.h"

#define TOWN                                                                                                          \
    "vantage ams address 198.18.1.2/24\nvantage fra address 198.18.2.2/24\nvantage lon address 198.18.3.2/24\n"       \
    "router r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\nlink ams r1 delay 1ms\nlink fra r1 delay 1ms\n"  \
    "link lon r1 delay 1ms\nlink r1 r2 delay 3ms\nblock 198.18.32.0/19 behind r2 delay 2ms\n"
#define MOST 8000u

struct rig {
    struct world world;
    struct probe_engine *engine;
    struct probe_batch_settings settings;
    struct probe_ping_settings ping;
    struct probe_trace_settings trace;
    struct probe_batch *batch;
    union sock_addr targets[MOST];
    unsigned told[MOST];
    size_t target_count, errors;
    uint64_t sent, received, reached;
    uint32_t per_10ms[100000]; /* packets of streams */
    struct probe_batch_stats stats;
    unsigned done_count;
    bool is_done;
    size_t stop_at, finish_at; /* from within the callback of that many targets; 0 = not */
};

static struct rig *rig_open(void)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    world_open(&rig->world, TOWN, NULL);
    rig->engine = rig->world.engines[0];
    probe_batch_defaults(&rig->settings);
    probe_ping_defaults(&rig->ping);
    probe_trace_defaults(&rig->trace);
    rig->settings.ping = &rig->ping;
    for (uint32_t i = 0; i < MOST; i++) {
        (void)sock_parse_ip("198.18.32.1", &rig->targets[i]);
        rig->targets[i].in4.sin_addr.s_addr = htonl(ntohl(rig->targets[i].in4.sin_addr.s_addr) + i);
    }
    return rig;
}

static void rig_close(struct rig *rig)
{
    world_close(&rig->world);
    mem_free(rig);
}

static void note_sent(struct rig *rig, const struct probe_ping_result *ping)
{
    for (uint32_t i = 0; i < ping->probe_count; i++) {
        int64_t at = ping->probes[i].tx_ns - rig->stats.start_ns;
        if (ping->probes[i].tx_ns)
            rig->per_10ms[at / (10 * CLOCK_MS)]++;
    }
}

static void on_target(void *user, const struct probe_batch_target *target)
{
    struct rig *rig = user;
    rig->told[target->index]++;
    rig->target_count++;
    rig->errors += target->error != NULL;
    assert_ptr_equal(target->dst, &rig->targets[target->index]);
    if (target->ping) {
        rig->sent += target->ping->sent;
        rig->received += target->ping->received;
        assert_true(target->ping->received == 0 || target->ping->min_rtt_ns == 12e6);
        note_sent(rig, target->ping);
    }
    for (uint32_t f = 0; target->trace && f < target->trace->flow_count; f++)
        rig->reached += target->trace->flows[f].end == PROBE_TRACE_REACHED && target->trace->flows[f].hop_count == 3;
    if (rig->stop_at == rig->target_count) {
        probe_batch_stop(rig->batch);
        rig->is_done = true;
    } else if (rig->finish_at == rig->target_count) {
        probe_batch_finish(rig->batch);
    }
}

static void on_done(void *user, const struct probe_batch_stats *stats)
{
    struct rig *rig = user;
    rig->stats = *stats;
    rig->done_count++;
    rig->is_done = true;
}

static void start(struct rig *rig, size_t count)
{
    struct error err = {0};
    rig->stats.start_ns = probe_engine_mono_ns(rig->engine);
    if (probe_batch_start(rig->engine, &rig->settings, rig->targets, count, on_target, on_done, rig, &rig->batch, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void run(struct rig *rig, size_t count)
{
    start(rig, count);
    sim_run(rig->world.sim, 3600 * CLOCK_S, &rig->is_done);
    assert_true(rig->is_done);
    assert_int_equal(probe_engine_stats(rig->engine)->rounds, 0);
    assert_int_equal(probe_engine_stats(rig->engine)->probes, 0);
}

static void assert_each_once(const struct rig *rig, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(rig->told[i], 1);
    assert_int_equal(rig->target_count, count);
    assert_int_equal(rig->stats.over, count);
    assert_int_equal(rig->done_count, 1);
}

static void each_target_is_told_once(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->settings.most_targets = 700;
    rig->settings.trace = &rig->trace;
    rig->ping.count = 10;
    run(rig, 3000);
    assert_each_once(rig, 3000);
    assert_int_equal(rig->stats.most, 700);
    assert_int_equal(rig->sent, 30000);
    assert_int_equal(rig->received, 30000);
    assert_int_equal(rig->reached, 9000);
    rig_close(rig);
}

static void nothing_to_do_is_done(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    run(rig, 0);
    assert_each_once(rig, 0);
    rig_close(rig);
}

/* One probe to each target: a tick of the engine is the longest that packets are saved up. */
static void the_pace_is_even(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->settings.most_pps = 4000;
    rig->ping.count = 1;
    run(rig, MOST);
    assert_each_once(rig, MOST);
    assert_in_range(rig->stats.end_ns - rig->stats.start_ns, 1990 * CLOCK_MS, 2100 * CLOCK_MS);
    for (size_t i = 0; i < 198; i++)
        assert_in_range(rig->per_10ms[i], 10, 80); /* 40 on the average */
    rig_close(rig);
}

/* Whole streams beside traces: the mean rate over every second is the ceiling, and no target is slower for it. */
static void the_mean_rate_is_kept(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->settings.most_pps = 2000;
    rig->settings.trace = &rig->trace;
    run(rig, 500);
    assert_each_once(rig, 500);
    assert_int_equal(rig->received, 25000);
    double seconds = (double)(rig->stats.end_ns - rig->stats.start_ns) / 1e9;
    double pps = (double)rig->stats.packets / seconds;
    print_message("# %.0f packets/s of at most 2000, %u targets at once\n", pps, rig->stats.most);
    assert_true(pps > 1500 && pps <= 2000);
    for (size_t second = 1; second < (size_t)seconds; second++) {
        uint32_t sent = 0;
        for (size_t i = 0; i < 100; i++)
            sent += rig->per_10ms[second * 100 + i];
        assert_in_range(sent, 1000, 2200);
    }
    rig_close(rig);
}

static void a_full_engine_is_waited_for(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct probe_io *io = sim_io_new(rig->world.sim, &(struct sim_host){.vantage = 2});
    struct probe_engine_settings small = {.max_rounds = 30, .max_probes = 400};
    assert_int_equal(probe_engine_new(io, &small, &rig->engine, NULL), 0);
    rig->ping.count = 20; /* twenty rounds fill the engine */
    run(rig, 300);
    assert_each_once(rig, 300);
    assert_int_equal(rig->stats.most, 20);
    assert_int_equal(rig->received, 6000);
    assert_int_equal(rig->errors, 0);
    rig->is_done = false;
    memset(rig->told, 0, sizeof rig->told);
    rig->target_count = rig->done_count = 0;
    rig->ping.count = 401; /* for which there never is room */
    run(rig, 3);
    assert_each_once(rig, 3);
    assert_int_equal(rig->errors, 3);
    probe_engine_free(rig->engine);
    rig_close(rig);
}

static void what_cannot_start_is_told(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    assert_int_equal(sock_parse_ip("198.18.1.2", &rig->ping.src), 0);
    rig->settings.trace = &rig->trace;
    assert_int_equal(sock_parse_ip("2001:db8::1", &rig->targets[5]), 0);
    rig->ping.count = 5;
    run(rig, 10);
    assert_each_once(rig, 10);
    assert_int_equal(rig->errors, 1);
    assert_int_equal(rig->received, 45);
    struct error err;
    rig->settings.ping = NULL;
    rig->settings.trace = NULL;
    assert_int_equal(probe_batch_start(rig->engine, &rig->settings, rig->targets, 1, on_target, on_done, rig,
                                       &rig->batch, &err),
                     -E_REQUIRED);
    rig->settings.ping = &rig->ping;
    rig->settings.most_targets = 0;
    assert_int_equal(probe_batch_start(rig->engine, &rig->settings, rig->targets, 1, on_target, on_done, rig,
                                       &rig->batch, &err),
                     -E_RANGE);
    assert_string_equal(err.where, "most_targets");
    rig_close(rig);
}

static void a_batch_may_be_ended(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct rig *rig = rig_open();
        rig->settings.most_targets = 50;
        rig->settings.trace = &rig->trace;
        rig->stop_at = way == 2 ? 70 : 0;
        rig->finish_at = way == 3 ? 70 : 0;
        start(rig, 1000);
        sim_run(rig->world.sim, way < 2 ? 700 * CLOCK_MS : 3600 * CLOCK_S, &rig->is_done);
        if (way == 0)
            probe_batch_stop(rig->batch);
        if (way == 1)
            probe_batch_finish(rig->batch);
        assert_int_equal(probe_engine_stats(rig->engine)->rounds, 0);
        assert_int_equal(rig->done_count, way == 1 || way == 3);
        for (size_t i = 0; i < 1000; i++)
            assert_in_range(rig->told[i], 0, 1);
        if (way == 1)
            assert_int_equal(rig->target_count, 50);
        if (way == 2)
            assert_int_equal(rig->target_count, 70);
        if (way == 3)
            assert_int_equal(rig->stats.over, rig->target_count);
        sim_run(rig->world.sim, 10 * CLOCK_S, NULL); /* answers that still come find nobody */
        rig_close(rig);
    }
}

/* What a target takes while it is measured: slots of the engine, and what the heap has back when it is stopped. */
static void memory_is_as_told(void **state)
{
    (void)state;
    for (int with_trace = 0; with_trace < 2; with_trace++) {
        struct rig *rig = rig_open();
        rig->settings.most_targets = with_trace ? 2000 : 4000;
        rig->settings.trace = with_trace ? &rig->trace : NULL;
        start(rig, MOST);
        sim_run(rig->world.sim, 500 * CLOCK_MS, NULL);
        struct probe_batch_stats stats;
        probe_batch_stats(rig->batch, &stats);
        assert_int_equal(stats.running, rig->settings.most_targets);
        size_t told = probe_batch_bytes(&rig->settings);
        struct mallinfo2 before = mallinfo2();
        probe_batch_stop(rig->batch);
        struct mallinfo2 after = mallinfo2();
        size_t heap = before.uordblks + before.hblkhd - after.uordblks - after.hblkhd;
        print_message("# a target with its 50 samples%s: %zu bytes; of the heap %zu\n",
                      with_trace ? " and three traces" : "", told, heap / stats.running);
        assert_true(heap / stats.running <= told);
        assert_true(told <= (with_trace ? 10500 : 2100));
        rig_close(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_target_is_told_once), cmocka_unit_test(nothing_to_do_is_done),
        cmocka_unit_test(the_pace_is_even),         cmocka_unit_test(the_mean_rate_is_kept),
        cmocka_unit_test(a_full_engine_is_waited_for), cmocka_unit_test(what_cannot_start_is_told),
        cmocka_unit_test(a_batch_may_be_ended),     cmocka_unit_test(memory_is_as_told),
    };
    return cmocka_run_group_tests_name("batches in the simulated internet", tests, NULL, NULL);
}
