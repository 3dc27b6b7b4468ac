/*
 * `oculi ping` in simulated time: what its rounds come to together is what really was, over networks made by chance (see
 * chance.h) and where a host or the way to it does not let SACK pass.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chance.h"
#include "cli/stream.h"

#define NETS 150u
#define ROUNDS 4u
#define TICK_NS CLOCK_MS
#define HOST                                                                                                          \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\nrouter r1\nrouter r2\n"                                   \
    "host app address " CHANCE_APP " v6 " CHANCE_APP6 " tcp 443 open"
#define LINKS "\nlink ams r1 delay 1ms\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n"

/* --- the stream's timers, in simulated time (in the place of base/loop.c) ------------------------------------------- */

struct loop {
    struct world *world;
    struct loop_timer *timers[4];
};

int64_t loop_now_ns(const struct loop *loop)
{
    return probe_engine_mono_ns(loop->world->engines[0]);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    if (timer->position)
        loop->timers[timer->position - 1] = NULL;
    timer->position = 0;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_mono_ns)
{
    loop_timer_stop(loop, timer);
    for (size_t i = 0; i < 4 && !timer->position; i++) {
        if (!loop->timers[i]) {
            loop->timers[i] = timer;
            timer->position = i + 1;
        }
    }
    assert_int_not_equal(timer->position, 0);
    timer->due_ns = due_mono_ns;
}

static void loop_turn(struct loop *loop)
{
    for (size_t i = 0; i < 4; i++) {
        struct loop_timer *timer = loop->timers[i];
        if (!timer || timer->due_ns > loop_now_ns(loop))
            continue;
        loop_timer_stop(loop, timer);
        timer->fn(timer->user);
    }
}

/* --- a stream ----------------------------------------------------------------------------------------------------- */

struct rig {
    struct world world;
    struct loop loop;
    struct stream stream;
    bool is_done;
    unsigned notes;
    uint64_t answers; /* told since the last note */
};

static void on_done(void *user)
{
    struct rig *rig = user;
    rig->is_done = true;
}

static void on_event(void *user, const struct stream_event *event)
{
    struct rig *rig = user;
    rig->notes += event->kind == STREAM_NOTE;
    rig->answers = event->kind == STREAM_NOTE ? 0 : rig->answers + (event->kind == STREAM_ANSWER);
}

static void set_up(struct rig *rig, enum probe_protocol protocol, enum probe_mode_want want, const char *to)
{
    struct stream *stream = &rig->stream;
    rig->loop = (struct loop){.world = &rig->world};
    rig->is_done = false;
    rig->notes = 0;
    rig->answers = 0;
    *stream = (struct stream){.loop = &rig->loop, .engine = rig->world.engines[0], .done = on_done, .user = rig};
    probe_ping_defaults(&stream->settings.ping);
    assert_int_equal(sock_parse_ip(to, &stream->settings.ping.dst), 0);
    sock_set_port(&stream->settings.ping.dst, protocol == PROBE_TCP ? 443 : 0);
    stream->settings.ping.protocol = protocol;
    stream->settings.ping.flow_seed = 77;
    stream->settings.want = want;
    stream->settings.count = 60;
    stream->settings.piece = 16;
    stream->settings.gap_ns = 20 * CLOCK_MS;
    stream->settings.keeps_rtts = true;
    stream->event = on_event;
}

static void run(struct rig *rig)
{
    assert_int_equal(stream_start(&rig->stream, NULL), 0);
    for (int64_t end = sim_now_ns(rig->world.sim) + 600 * CLOCK_S; !rig->is_done;) {
        assert_true(sim_now_ns(rig->world.sim) < end);
        sim_run(rig->world.sim, TICK_NS, NULL);
        loop_turn(&rig->loop);
    }
    assert_int_equal(probe_engine_stats(rig->world.engines[0])->rounds, 0);
}

/* --- the truth ---------------------------------------------------------------------------------------------------- */

static unsigned mistakes; /* in this check; all are told before it fails */

static void is_same(uint64_t seed, const char *what, double told, double really)
{
    if (fabs(told - really) < 1)
        return;
    print_error("net %llu: %s is told as %.0f and was %.0f\n", (unsigned long long)seed, what, told, really);
    mistakes++;
}

/* Jitter and what was overtaken, over all rounds: from the single probes. */
static void check_probes(uint64_t seed, const struct rig *rig, enum lab_kind kind)
{
    const struct lab_truth *truth = sim_truth(rig->world.sim);
    const struct stream_figures *figures = &rig->stream.figures;
    const struct lab_probe **probes = mem_alloc_array(truth->probe_count + 1, sizeof *probes);
    double sum = 0, deviation = 0;
    size_t count = 0, overtaken = 0;
    for (uint32_t i = 0; i < truth->probe_count; i++) {
        if (truth->streams[truth->probes[i].stream].kind == kind && truth->probes[i].fate == LAB_FATE_ANSWERED)
            probes[count++] = &truth->probes[i];
    }
    for (size_t i = 0; i < count; i++) {
        bool is_overtaken = false;
        sum += (double)probes[i]->rtt_ns;
        for (size_t k = 0; k < count; k++)
            is_overtaken |= probes[k]->sent_ns > probes[i]->sent_ns &&
                            probes[k]->sent_ns + probes[k]->rtt_ns < probes[i]->sent_ns + probes[i]->rtt_ns;
        overtaken += is_overtaken;
    }
    for (size_t i = 0; i < count; i++)
        deviation += fabs((double)probes[i]->rtt_ns - sum / (double)count);
    is_same(seed, "overtaken", (double)figures->reordered, (double)overtaken);
    if (count)
        is_same(seed, "the jitter", tally_jitter_ns(&figures->tally), deviation / (double)count);
    mem_free(probes);
}

static void check(uint64_t seed, struct rig *rig, const char *to, enum lab_kind kind)
{
    const struct stream_figures *figures = &rig->stream.figures;
    struct lab_truth_sum truth = world_truth_of(&rig->world, to, kind, 0);
    uint64_t lost = 0, answered = 0;
    for (size_t i = 0; i < figures->rtt_count; i++) {
        lost += figures->rtts_us[i] == -1;
        answered += figures->rtts_us[i] > 0;
    }
    is_same(seed, "sent", (double)figures->sent, (double)truth.sent);
    is_same(seed, "received", (double)figures->received, (double)truth.received);
    is_same(seed, "the list's length", (double)(lost + answered), (double)truth.sent);
    is_same(seed, "the list's answers", (double)answered, (double)truth.received);
    /* A round that has seen none does not wait for one of its last answer. */
    if (truth.duplicates < figures->duplicates || truth.duplicates - figures->duplicates > ROUNDS)
        is_same(seed, "duplicates", (double)figures->duplicates, (double)truth.duplicates);
    is_same(seed, "errors", (double)figures->errors, (double)truth.errors);
    if (truth.received > 0) {
        is_same(seed, "the mean", tally_mean_ns(&figures->tally), (double)truth.rtt_sum_ns / (double)truth.received);
        is_same(seed, "the shortest", (double)figures->tally.min_ns, (double)truth.rtt_min_ns);
        is_same(seed, "the longest", (double)figures->tally.max_ns, (double)truth.rtt_max_ns);
    }
    check_probes(seed, rig, kind);
}

static struct chance range;
static unsigned compared;

/* Sessions whose SYN was lost and sent again are left out: their SYNs count, and are no data. */
static bool is_plain(struct rig *rig, enum probe_mode_want want, const char *to)
{
    struct lab_truth_sum syns = world_truth_of(&rig->world, to, LAB_KIND_TCP_SYN, 0);
    return want != PROBE_MODE_SACK || (!rig->stream.figures.is_unsupported && syns.sent == ROUNDS && syns.received == ROUNDS);
}

static void streams(enum probe_protocol protocol, enum probe_mode_want want, enum lab_kind kind)
{
    mistakes = compared = 0;
    for (uint64_t seed = range.first; seed <= range.last; seed++) {
        const char *to = seed % 2 ? CHANCE_APP : CHANCE_APP6;
        struct rig rig;
        (void)chance_open(&rig.world, &range, seed, true);
        set_up(&rig, protocol, want, to);
        if (seed % 3 == 0)
            rig.stream.settings.gap_ns = 0; /* adapted */
        if (seed % 3 == 1)
            rig.stream.settings.gap_ns = CLOCK_MS;
        run(&rig);
        if (is_plain(&rig, want, to)) {
            compared++;
            check(seed, &rig, to, kind);
        }
        stream_done(&rig.stream);
        world_close(&rig.world);
    }
    print_message("# %u networks compared\n", compared);
    assert_int_equal(mistakes, 0);
}

static void echoes_are_told_as_they_were(void **state)
{
    (void)state;
    streams(PROBE_ICMP, PROBE_MODE_AUTO, LAB_KIND_ECHO);
}

static void syns_are_told_as_they_were(void **state)
{
    (void)state;
    streams(PROBE_TCP, PROBE_MODE_SYN, LAB_KIND_TCP_SYN);
}

static void sessions_are_told_as_they_were(void **state)
{
    (void)state;
    streams(PROBE_TCP, PROBE_MODE_SACK, LAB_KIND_TCP_DATA);
    if (range.last - range.first + 1 >= NETS)
        assert_true(compared > NETS / 2);
}

/* --- modes -------------------------------------------------------------------------------------------------------- */

static void syns_follow_where_sack_fails(void **state)
{
    (void)state;
    static const struct {
        const char *scenario, *text;
        uint64_t received;
        unsigned notes;
        bool is_sack;
    } cases[] = {
        {HOST LINKS, "The target answers with SACK", 60, 0, true},
        {HOST " sack not-permitted" LINKS, "The target does not permit SACK (found 0 min ago)", 60, 1, false},
        {HOST LINKS "node r1 strip sack\n", "The target permits SACK, but sent none within a second of the first probe", 60, 1,
         false},
        {HOST LINKS "syn-proxy r1 to 198.18.10.0/24 delay 18ms\n", "Something on the way answers for the target", 60, 1, false},
        {HOST " sack never-sent" LINKS, "The target permits SACK, but sent none within a second of the first probe", 60, 1,
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        const struct stream_figures *figures = &rig.stream.figures;
        world_open(&rig.world, cases[i].scenario, NULL);
        set_up(&rig, PROBE_TCP, PROBE_MODE_AUTO, CHANCE_APP);
        rig.stream.memory = probe_modes_new(0);
        rig.stream.settings.gap_ns = 0; /* a round after the other: the first one decides */
        run(&rig);
        print_message("# %zu: %llu of %llu, %u notes, %s\n", i, (unsigned long long)figures->received,
                      (unsigned long long)figures->sent, rig.notes, figures->mode_reason);
        assert_int_equal(figures->sent, 60);
        assert_int_equal(figures->received, cases[i].received);
        assert_int_equal(figures->is_sack, cases[i].is_sack);
        assert_int_equal(rig.notes, cases[i].notes);
        assert_int_equal(rig.answers, figures->received);
        assert_memory_equal(figures->mode_reason, cases[i].text, strlen(cases[i].text));
        assert_true(figures->tally.min_ns == 20 * CLOCK_MS && figures->tally.max_ns == 20 * CLOCK_MS);
        probe_modes_free(rig.stream.memory);
        stream_done(&rig.stream);
        world_close(&rig.world);
    }
}

static void sack_is_not_forced_upon_a_host(void **state)
{
    (void)state;
    struct rig rig;
    world_open(&rig.world, HOST " sack not-permitted" LINKS, NULL);
    set_up(&rig, PROBE_TCP, PROBE_MODE_SACK, CHANCE_APP);
    run(&rig);
    assert_true(rig.stream.figures.is_unsupported);
    assert_string_equal(rig.stream.figures.mode_reason, "The target does not permit SACK");
    assert_int_equal(rig.stream.figures.sent, 0);
    stream_done(&rig.stream);
    world_close(&rig.world);
}

/* Two of fifty are lost in each round, the same ones: once that is proven the SYNs count. */
static void a_firewall_that_drops_sack_probes_is_found(void **state)
{
    (void)state;
    struct rig rig;
    const struct stream_figures *figures = &rig.stream.figures;
    world_open(&rig.world, HOST LINKS "node r1 drop-out-of-order every 25\n", NULL);
    set_up(&rig, PROBE_TCP, PROBE_MODE_AUTO, CHANCE_APP);
    rig.stream.memory = probe_modes_new(0);
    rig.stream.settings.count = 200;
    rig.stream.settings.piece = 50;
    rig.stream.settings.gap_ns = 100 * CLOCK_MS;
    run(&rig);
    print_message("# %s; %llu of %llu\n", figures->interference, (unsigned long long)figures->received,
                  (unsigned long long)figures->sent);
    assert_false(figures->is_sack);
    assert_true(strncmp(figures->interference, "Something on the way drops SACK probes", 38) == 0);
    assert_true(figures->has_compared && figures->sack_loss > 3 && figures->syn_loss == 0);
    assert_int_equal(figures->sent, 200);
    assert_in_range(figures->sent - figures->received, 2, 6); /* of the rounds begun before it was proven */
    probe_modes_free(rig.stream.memory);
    stream_done(&rig.stream);
    world_close(&rig.world);
}

static void a_stream_can_be_ended_at_any_time(void **state)
{
    (void)state;
    static const char *const scenarios[] = {HOST LINKS, HOST " sack never-sent" LINKS, HOST LINKS "node r1 drop-out-of-order every 7\n"};
    for (size_t s = 0; s < 3; s++) {
        for (int64_t ms = 0; ms < 4000; ms += 97) {
            struct rig rig;
            world_open_small(&rig.world, scenarios[s]);
            set_up(&rig, PROBE_TCP, PROBE_MODE_AUTO, CHANCE_APP);
            assert_int_equal(stream_start(&rig.stream, NULL), 0);
            for (int64_t i = 0; i < ms; i++) {
                sim_run(rig.world.sim, CLOCK_MS, NULL);
                loop_turn(&rig.loop);
            }
            stream_finish(&rig.stream);
            assert_true(rig.stream.figures.received <= rig.stream.figures.sent);
            assert_int_equal(probe_engine_stats(rig.world.engines[0])->rounds, 0);
            stream_done(&rig.stream);
            world_close(&rig.world);
        }
    }
}

int main(void)
{
    range = chance_range(NETS);
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(echoes_are_told_as_they_were),
        cmocka_unit_test(syns_are_told_as_they_were),
        cmocka_unit_test(sessions_are_told_as_they_were),
        cmocka_unit_test(syns_follow_where_sack_fails),
        cmocka_unit_test(sack_is_not_forced_upon_a_host),
        cmocka_unit_test(a_firewall_that_drops_sack_probes_is_found),
        cmocka_unit_test(a_stream_can_be_ended_at_any_time),
    };
    return cmocka_run_group_tests_name("oculi ping in simulated networks", checks, NULL, NULL);
}
