/* Continuous mode over the simulated internet: each second of the minute is told as it really was. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/resolve.h"
#include "lab/truth_core.h"
#include "measure/agent_to_server/settings.h"
#include "measure/runner.h"
#include "world.h"

#define APP "198.18.10.10"
#define CHAIN                                                                                                         \
    "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\n"             \
    "host app address 198.18.10.10 tcp 80 open\nlink ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 app delay 3ms\n"

struct rig {
    struct world world;
    struct loop *loop;
    struct resolver *resolver;
    struct measure_context context;
    struct agent_to_server_settings settings;
    struct measure_round round;
    const struct measure_network *network;
    bool is_done;
};

static void on_done(struct measure_round *round)
{
    ((struct rig *)round->user)->is_done = true;
}

static void rig_open(struct rig *rig, const char *scenario, const struct sim_host *host)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    memset(rig, 0, sizeof *rig);
    world_open(&rig->world, scenario, host);
    assert_int_equal(loop_new(&rig->loop, NULL), 0);
    assert_int_equal(resolver_new(rig->loop, &rig->resolver, NULL), 0);
    rig->context = (struct measure_context){.loop = rig->loop, .engine = rig->world.engines[0],
                                            .resolver = rig->resolver, .clock = &clock_real};
    field_defaults(type->settings, &rig->settings);
    rig->settings.protocol = AGENT_TO_SERVER_ICMP;
    rig->settings.is_continuous = true;
    rig->settings.server = APP;
}

static void rig_close(struct rig *rig)
{
    measure_round_done(&rig->round);
    resolver_free(rig->resolver);
    world_close(&rig->world);
    loop_free(rig->loop);
}

/* A round whose minute began so long ago. */
static void begin(struct rig *rig, int64_t ago_ns)
{
    struct error err;
    int64_t now = probe_engine_mono_ns(rig->world.engines[0]);
    rig->round = (struct measure_round){.context = &rig->context, .settings = &rig->settings, .done = on_done,
                                        .minute_ns = now - ago_ns, .user = rig};
    if (measure_round_start(measure_runner_find("agent-to-server"), &rig->round, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(loop_step(rig->loop, 0), 0); /* an address needs no thread to be resolved */
    rig->network = &((const struct agent_to_server_result *)rig->round.result)->network;
}

static void run(struct rig *rig, int64_t ns)
{
    sim_run(rig->world.sim, ns, &rig->is_done);
    assert_true(rig->is_done);
}

/* The stream among the packets: the identifier under which most went out with the stream's TTL. */
static uint32_t find_stream(const struct lab_truth *truth, enum lab_kind kind)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < truth->stream_count; i++) {
        if (truth->streams[i].kind == kind &&
            (best == UINT32_MAX || truth->streams[i].sent > truth->streams[best].sent))
            best = i;
    }
    assert_true(best != UINT32_MAX);
    return best;
}

struct second {
    int64_t sent, received;
};

/* What really happened to the probes sent in each second after from_ns of true time. Returns the loss in percent. */
static double true_seconds(struct rig *rig, int64_t from_ns, struct second seconds[60])
{
    const struct lab_truth *truth = sim_truth(rig->world.sim);
    bool is_tcp = rig->settings.protocol == AGENT_TO_SERVER_TCP;
    uint32_t stream = find_stream(truth, is_tcp ? LAB_KIND_TCP_SYN : LAB_KIND_ECHO);
    int64_t sent = 0, received = 0;
    memset(seconds, 0, 60 * sizeof *seconds);
    for (uint32_t i = 0; i < truth->probe_count; i++) {
        const struct lab_probe *probe = &truth->probes[i];
        if (probe->stream != stream)
            continue;
        int64_t second = (probe->sent_ns - from_ns) / CLOCK_S;
        assert_in_range(second, 0, 59);
        seconds[second].sent++;
        seconds[second].received += probe->fate == LAB_FATE_ANSWERED;
        sent++;
        received += probe->fate == LAB_FATE_ANSWERED;
    }
    return 100.0 * (double)(sent - received) / (double)sent;
}

/* Rows from `first` on; before it they are empty. */
static void assert_true_seconds(struct rig *rig, int64_t from_ns, size_t first, size_t last)
{
    struct second truth[60];
    double loss = true_seconds(rig, from_ns, truth);
    const struct field_list *rows = rig->network->packets_by_second.items;
    assert_int_equal(rig->network->packets_by_second.count, 60);
    for (size_t i = 0; i < 60; i++) {
        const int64_t *row = rows[i].items;
        assert_int_equal(rows[i].count, i >= first && i <= last ? 2 : 0);
        if (rows[i].count && (row[0] != truth[i].sent || row[1] != truth[i].received))
            fail_msg("second %zu: [%lld, %lld], in truth [%lld, %lld]", i, (long long)row[0], (long long)row[1],
                     (long long)truth[i].sent, (long long)truth[i].received);
    }
    assert_true(fabs(rig->network->loss - loss) < 1e-9);
}

static void each_second_is_the_truth(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "",
        "after 20500ms for 3s { link r1 r2 down }\nafter 41s for 1s { node app silent }\n",
        "after 0s for 1h { link r1 r2 loss 30% from r1 }\n",
        "after 0s for 1h { link r1 r2 loss 15% from r2 }\nafter 10s for 40s { link r2 app delay +400ms }\n",
        "after 0s for 1h { node app silent }\n",
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct rig rig;
        char scenario[2000];
        (void)snprintf(scenario, sizeof scenario, "%s%s", CHAIN, faults[i]);
        rig_open(&rig, scenario, NULL);
        begin(&rig, 0);
        run(&rig, 64 * CLOCK_S); /* shortly after its minute, whatever happened: four times the longest round trip */
        assert_int_equal(rig.network->oculi.sent, 60);
        assert_false(rig.network->oculi.is_partial);
        assert_true(isnan(rig.network->oculi.clock_step));
        assert_int_equal(rig.network->oculi.rtts_us.count, 60);
        assert_true_seconds(&rig, 0, 0, 59);
        if (i == 0)
            assert_true(rig.network->avg_latency == 12 && rig.network->jitter == 0 && rig.network->loss == 0);
        if (i == 1)
            assert_int_equal(rig.network->oculi.received, 56);
        rig_close(&rig);
    }
}

/* SYNs, whatever mode a test of TCP might prefer. In the first seconds the path traces send some of the same kind. */
static void seconds_of_tcp_are_the_truth(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "after 20500ms for 3s { link r1 r2 down }\nafter 0s for 1h { link r2 app loss 10% from app }\n",
             NULL);
    rig.settings.protocol = AGENT_TO_SERVER_TCP;
    begin(&rig, 0);
    run(&rig, 65 * CLOCK_S);
    assert_int_equal(rig.network->oculi.probe_mode, MEASURE_PROBE_SYN);
    assert_int_equal(rig.network->oculi.sent, 60);
    assert_in_range(rig.network->oculi.received, 40, 57);
    struct second truth[60];
    const struct field_list *rows = rig.network->packets_by_second.items;
    int64_t received = 0;
    (void)true_seconds(&rig, 0, truth);
    for (size_t i = 0; i < 60; i++) {
        const int64_t *row = rows[i].items;
        assert_int_equal(row[0], i < 5 ? 1 : truth[i].sent);
        assert_in_range(row[1], i < 5 ? 0 : truth[i].received, i < 5 ? 1 : truth[i].received);
        received += row[1];
    }
    assert_int_equal(received, rig.network->oculi.received);
    assert_true(fabs(rig.network->loss - 100.0 * (double)(60 - received) / 60) < 1e-9);
    rig_close(&rig);
}

/* Seconds are counted from the start on, whatever becomes of the wall clock; the step is told. */
static void a_clock_step_moves_nothing(void **state)
{
    (void)state;
    static const int64_t steps_s[] = {10, -10, 86400, -3600};
    for (size_t i = 0; i < sizeof steps_s / sizeof steps_s[0]; i++) {
        struct rig rig;
        rig_open(&rig, CHAIN "after 30s for 2s { link r1 r2 down }\n", NULL);
        begin(&rig, 0);
        sim_run(rig.world.sim, 25 * CLOCK_S, NULL);
        sim_io_step_wall(rig.world.ios[0], steps_s[i] * CLOCK_S);
        run(&rig, 40 * CLOCK_S);
        assert_true(rig.network->oculi.clock_step == (double)steps_s[i]);
        assert_false(rig.network->oculi.is_partial);
        assert_int_equal(rig.network->oculi.received, 58);
        assert_true_seconds(&rig, 0, 0, 59);
        assert_true(rig.network->max_latency == 12);
        rig_close(&rig);
    }
}

static void clocks_that_drift_keep_their_seconds(void **state)
{
    (void)state;
    static const double drifts[] = {200, -200};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, CHAIN "after 30500ms for 2s { link r1 r2 down }\n",
                 &(struct sim_host){.drift_ppm = drifts[i], .offset_ns = 5 * CLOCK_S});
        sim_run(rig.world.sim, 300 * CLOCK_MS, NULL); /* its place within the second */
        begin(&rig, 300 * CLOCK_MS);
        run(&rig, 62 * CLOCK_S);
        assert_true_seconds(&rig, 0, 0, 59);
        assert_int_equal(rig.network->oculi.received, 58);
        assert_true(isnan(rig.network->oculi.clock_step));
        rig_close(&rig);
    }
}

/* Begun within its minute, a round has empty seconds before and says that it is partial. */
static void a_late_round_measures_what_is_left(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "after 30s for 2s { link r1 r2 down }\n", NULL);
    sim_run(rig.world.sim, 20300 * CLOCK_MS, NULL);
    begin(&rig, 20300 * CLOCK_MS);
    run(&rig, 42 * CLOCK_S);
    assert_int_equal(rig.network->oculi.sent, 40);
    assert_int_equal(rig.network->oculi.received, 38);
    assert_true(rig.network->oculi.is_partial);
    assert_true_seconds(&rig, 0, 20, 59);
    rig_close(&rig);
}

/* Ended early, it keeps what it has and invents no loss. */
static void a_stopped_round_keeps_its_seconds(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, CHAIN "after 10s for 2s { link r1 r2 down }\n", NULL);
    begin(&rig, 0);
    sim_run(rig.world.sim, 30005 * CLOCK_MS, NULL); /* the probe of second 30 is under way */
    measure_round_stop(&rig.round);
    assert_true(rig.network->oculi.is_partial);
    assert_int_equal(rig.network->oculi.sent, 30);
    assert_int_equal(rig.network->oculi.received, 28);
    sim_run(rig.world.sim, 10 * CLOCK_S, NULL);
    const struct field_list *rows = rig.network->packets_by_second.items;
    assert_int_equal(rows[30].count, 0);
    struct second truth[60];
    (void)true_seconds(&rig, 0, truth);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(((const int64_t *)rows[i].items)[0], truth[i].sent);
        assert_int_equal(((const int64_t *)rows[i].items)[1], truth[i].received);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_second_is_the_truth),
        cmocka_unit_test(seconds_of_tcp_are_the_truth),
        cmocka_unit_test(a_clock_step_moves_nothing),
        cmocka_unit_test(clocks_that_drift_keep_their_seconds),
        cmocka_unit_test(a_late_round_measures_what_is_left),
        cmocka_unit_test(a_stopped_round_keeps_its_seconds),
    };
    return cmocka_run_group_tests_name("continuous mode in the simulated internet", tests, NULL, NULL);
}
