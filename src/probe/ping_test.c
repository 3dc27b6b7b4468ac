/* Checks of the engine and of the echo stream over a network made of functions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "probe/engine.h"
#include "probe/fake_io.h"
#include "probe/ping.h"

struct world {
    struct fake *fake;
    struct probe_engine *engine;
    struct arena arena;
    struct probe_ping_settings settings;
    struct probe_ping *ping;
    struct probe_ping_result result;
    bool is_done;
    unsigned done_count, progress_count;
};

static void on_done(void *user, const struct probe_ping_result *result)
{
    struct world *world = user;
    world->result = *result;
    world->is_done = true;
    world->done_count++;
}

static void on_progress(void *user, const struct probe_ping_result *result)
{
    (void)result;
    ((struct world *)user)->progress_count++;
}

static void open_world(struct world *world, fake_fn *on_packet)
{
    memset(world, 0, sizeof *world);
    world->fake = fake_new(on_packet, world);
    arena_init(&world->arena, 1 << 22);
    assert_int_equal(probe_engine_new(&world->fake->io, &(struct probe_engine_settings){.seed = 7}, &world->engine, NULL),
                     0);
    probe_ping_defaults(&world->settings);
    assert_int_equal(sock_parse_ip("192.0.2.1", &world->settings.dst), 0);
}

static void close_world(struct world *world)
{
    probe_engine_free(world->engine);
    fake_free(world->fake);
    arena_done(&world->arena);
}

static void start(struct world *world)
{
    world->is_done = false;
    assert_int_equal(probe_ping_start(world->engine, &world->settings, &world->arena, on_progress, on_done, world,
                                      &world->ping, NULL),
                     0);
}

static void finish(struct world *world)
{
    fake_run(world->fake, 100 * CLOCK_S, &world->is_done);
    assert_true(world->is_done);
    assert_int_equal(probe_engine_stats(world->engine)->rounds, 0);
    assert_int_equal(probe_engine_stats(world->engine)->probes, 0);
}

static void run(struct world *world)
{
    start(world);
    finish(world);
}

static void answer_20ms(struct fake *fake, const struct probe_io_packet *packet)
{
    fake_echo(fake, packet, NULL, 57, 20 * CLOCK_MS);
}

static void answer_300ms(struct fake *fake, const struct probe_io_packet *packet)
{
    fake_echo(fake, packet, NULL, 57, 300 * CLOCK_MS);
}

static void stream_adapts_its_gap(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_20ms);
    run(&world);
    assert_int_equal(world.result.sent, 50);
    assert_int_equal(world.result.received, 50);
    assert_int_equal(world.result.reply_ttl, 57);
    assert_true(world.result.avg_rtt_ns == 20e6 && world.result.min_rtt_ns == 20e6 && world.result.max_rtt_ns == 20e6);
    assert_true(world.result.jitter_ns == 0);
    assert_int_equal(world.fake->sent_ns[1] - world.fake->sent_ns[0], 40 * CLOCK_MS);
    for (uint32_t i = 2; i < 50; i++) { /* 1.5 x 20 ms, within a tick */
        int64_t gap = world.fake->sent_ns[i] - world.fake->sent_ns[i - 1];
        assert_in_range(gap, 25 * CLOCK_MS, 35 * CLOCK_MS);
    }
    assert_in_range(world.fake->sent_ns[49] - world.fake->sent_ns[0], 1450 * CLOCK_MS, 1500 * CLOCK_MS);
    assert_true(world.progress_count > 40);
    assert_int_equal(world.done_count, 1);
    close_world(&world);
}

static void long_round_trips_mean_fewer_probes(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_300ms);
    run(&world);
    assert_in_range(world.result.sent, 20, 24); /* 8 at 40 ms until the first answer, then every 450 ms */
    assert_int_equal(world.result.received, world.result.sent);
    assert_true(world.result.end_ns - world.result.start_ns <= 8 * CLOCK_S);
    close_world(&world);
}

static void silent_target_costs_four_seconds(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, NULL);
    run(&world);
    assert_int_equal(world.result.sent, 50);
    assert_int_equal(world.result.received, 0);
    assert_true(isnan(world.result.avg_rtt_ns) && isnan(world.result.jitter_ns));
    assert_in_range(world.result.end_ns - world.result.start_ns, 3960 * CLOCK_MS, 3980 * CLOCK_MS);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(world.result.probes[i].status, PROBE_PING_LOST);
    close_world(&world);
}

static void fixed_rate_is_kept(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 10, 100, 1000};
    for (size_t i = 0; i < 4; i++) {
        struct world world;
        open_world(&world, answer_20ms);
        world.settings.rate_pps = rates[i];
        world.settings.ceiling_ns = 60 * CLOCK_S;
        run(&world);
        assert_int_equal(world.result.received, 50);
        int64_t span = world.fake->sent_ns[49] - world.fake->sent_ns[0];
        assert_in_range(span, 49 * CLOCK_S / rates[i] - 5 * CLOCK_MS, 49 * CLOCK_S / rates[i] + 5 * CLOCK_MS);
        close_world(&world);
    }
}

static void answer_10_and_12(struct fake *fake, const struct probe_io_packet *packet)
{
    fake_echo(fake, packet, NULL, 57, fake->sent % 5 == 0 ? 20 * CLOCK_MS : 10 * CLOCK_MS);
}

static void jitter_is_the_mean_absolute_deviation(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_10_and_12);
    run(&world);
    assert_int_equal(world.result.received, 50);
    /* 40 of 10 ms and 10 of 20 ms: mean 12 ms, deviation (40 * 2 + 10 * 8) / 50 = 3.2 ms */
    assert_true(world.result.avg_rtt_ns == 12e6);
    assert_true(world.result.jitter_ns == 3.2e6);
    assert_true(world.result.min_rtt_ns == 10e6 && world.result.max_rtt_ns == 20e6);
    close_world(&world);
}

static void answer_strangely(struct fake *fake, const struct probe_io_packet *packet)
{
    if (fake->sent == 10)
        return;                                                /* lost */
    if (fake->sent == 5)
        fake_echo(fake, packet, NULL, 57, 90 * CLOCK_MS);      /* after the next two */
    else
        fake_echo(fake, packet, NULL, 57, 20 * CLOCK_MS);
    if (fake->sent == 7)
        fake_echo(fake, packet, NULL, 57, 21 * CLOCK_MS);      /* twice */
    if (fake->sent == 8) { /* somebody else: not our payload */
        uint8_t bytes[PACKET_MAX_BYTES];
        struct probe_io_packet other = *packet;
        memcpy(bytes, packet->bytes, packet->size);
        bytes[12] ^= 1;
        other.bytes = bytes;
        fake_echo(fake, &other, NULL, 57, 1 * CLOCK_MS);
    }
    if (fake->sent == 9)
        fake_error(fake, packet, "10.0.0.9", 3, 1, 30 * CLOCK_MS); /* an error after the answer changes nothing */
}

static void duplicates_and_reordering_are_counted(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_strangely);
    world.settings.payload_bytes = 8;
    run(&world);
    assert_int_equal(world.result.sent, 50);
    assert_int_equal(world.result.received, 49);
    assert_int_equal(world.result.duplicates, 1);
    assert_int_equal(world.result.reordered, 1);
    assert_int_equal(world.result.errors, 0);
    assert_int_equal(world.result.probes[9].status, PROBE_PING_LOST);
    assert_int_equal(probe_engine_stats(world.engine)->foreign, 1);
    close_world(&world);
}

static void answer_with_errors(struct fake *fake, const struct probe_io_packet *packet)
{
    if (fake->sent % 2)
        fake_echo(fake, packet, NULL, 57, 20 * CLOCK_MS);
    else
        fake_error(fake, packet, "10.0.0.9", 3, 13, 5 * CLOCK_MS);
}

static void errors_are_results(void **state)
{
    (void)state;
    struct world world;
    char text[SOCK_TEXT_BYTES];
    open_world(&world, answer_with_errors);
    run(&world);
    assert_int_equal(world.result.sent, 50);
    assert_int_equal(world.result.received, 25);
    assert_int_equal(world.result.errors, 25);
    assert_string_equal(sock_ip_text(&world.result.error_from, text, sizeof text), "10.0.0.9");
    assert_int_equal(world.result.error_type, 3);
    assert_int_equal(world.result.error_code, 13);
    assert_int_equal(world.result.probes[1].icmp_code, 13);
    assert_true(world.result.end_ns - world.result.start_ns < 1600 * CLOCK_MS); /* nothing is awaited any more */
    close_world(&world);
}

static void refusals_of_our_kernel_are_not_sent(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, NULL);
    world.fake->refuse = ENETUNREACH;
    run(&world);
    assert_int_equal(world.result.sent, 0);
    assert_int_equal(world.result.refused, 3);
    assert_non_null(strstr(world.result.error_text, "Network is unreachable"));
    assert_true(world.result.end_ns - world.result.start_ns < 200 * CLOCK_MS);
    world.settings.count = 1;
    run(&world);
    assert_int_equal(world.result.refused, 1);
    assert_true(world.result.end_ns - world.result.start_ns < 20 * CLOCK_MS);
    close_world(&world);
}

/* The tenth probe leaves, and then the interface goes down. */
static void down_behind_the_tenth(struct fake *fake, const struct probe_io_packet *packet)
{
    struct world *world = fake->user;
    if (++world->done_count < 10)
        fake_echo(fake, packet, "192.0.2.1", 60, 20 * CLOCK_MS);
    else
        fake->refuse = ENETUNREACH;
}

static void what_our_interface_took_along_is_no_loss(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, down_behind_the_tenth);
    run(&world);
    assert_int_equal(world.result.received, 9);
    assert_int_equal(world.result.sent, 9);
    assert_int_equal(world.result.overloaded, 1);
    close_world(&world);
}

static void start_slow(struct world *world)
{
    world->settings.count = 60;
    world->settings.rate_pps = 1;
    world->settings.ceiling_ns = 64 * CLOCK_S;
    start(world);
}

static void a_slow_stream_outlasts_refusals(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_20ms);
    world.fake->refuse = ENETUNREACH; /* an interface that is down for ten seconds, and later for five */
    start_slow(&world);
    fake_run(world.fake, 9500 * CLOCK_MS, NULL);
    world.fake->refuse = 0;
    fake_run(world.fake, 20 * CLOCK_S, NULL);
    world.fake->refuse = ENETDOWN;
    fake_run(world.fake, 5 * CLOCK_S, NULL);
    world.fake->refuse = 0;
    finish(&world);
    assert_int_equal(world.result.sent, 45);
    assert_int_equal(world.result.received, 45);
    assert_int_equal(world.result.refused, 15);
    close_world(&world);
}

static void a_slow_stream_keeps_its_places_in_time(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_20ms);
    start_slow(&world);
    fake_run(world.fake, 10500 * CLOCK_MS, NULL);
    world.fake->now_ns += 3 * CLOCK_S; /* nobody ran: 11 and 12 have passed, 13 is half a second late */
    finish(&world);
    assert_int_equal(world.result.sent, 58);
    assert_int_equal(world.result.received, 58);
    for (uint32_t i = 0; i < 60; i++) {
        const struct probe_ping_probe *probe = &world.result.probes[i];
        if (i == 11 || i == 12) {
            assert_int_equal(probe->status, PROBE_PING_UNSENT);
            continue;
        }
        int64_t at = probe->tx_ns - world.result.start_ns;
        assert_in_range(at, i * CLOCK_S, i * CLOCK_S + (i == 13 ? 520 : 5) * CLOCK_MS);
    }
    close_world(&world);
}

static void lose_and_drop_much_later(struct fake *fake, const struct probe_io_packet *packet)
{
    if (fake->sent == 40)
        fake->dropped++; /* this host drops something, in second 39 */
    if (fake->sent != 11 && fake->sent != 39)
        answer_20ms(fake, packet);
}

/* A drop of our own excuses what was awaited then, and nothing else. */
static void a_late_drop_excuses_no_loss(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, lose_and_drop_much_later);
    start_slow(&world);
    finish(&world);
    assert_int_equal(world.result.probes[10].status, PROBE_PING_LOST);
    assert_int_equal(world.result.probes[38].status, PROBE_PING_OVERLOADED);
    assert_int_equal(world.result.sent, 59);
    assert_int_equal(world.result.received, 58);
    close_world(&world);
}

static void full_transmit_buffer_delays_and_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    unsigned done = 0;
    open_world(&world, answer_20ms);
    world.fake->room = 7;
    world.settings.count = 10;
    for (unsigned i = 0; i < 50; i++)
        start(&world);
    for (; world.done_count < 50 && done < 1000; done++)
        fake_run(world.fake, CLOCK_S / 10, NULL);
    assert_int_equal(world.done_count, 50);
    assert_int_equal(world.fake->sent, 500);
    assert_int_equal(world.result.sent, 10);
    assert_int_equal(world.result.received, 10);
    close_world(&world);
}

static void drop_some(struct fake *fake, const struct probe_io_packet *packet)
{
    if (fake->sent == 20 || fake->sent == 21)
        fake->dropped++;
    else if (fake->sent != 40)
        fake_echo(fake, packet, NULL, 57, 20 * CLOCK_MS);
}

static void our_own_drops_are_no_loss(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, drop_some);
    run(&world);
    assert_int_equal(world.result.overloaded, 2);
    assert_int_equal(world.result.sent, 48);
    assert_int_equal(world.result.received, 47); /* the 40th was lost by the network */
    assert_int_equal(world.result.probes[39].status, PROBE_PING_LOST);
    assert_int_equal(world.result.probes[19].status, PROBE_PING_OVERLOADED);
    assert_int_equal(probe_engine_stats(world.engine)->dropped, 2);
    close_world(&world);
}

static void lose_the_30th(struct fake *fake, const struct probe_io_packet *packet)
{
    if (fake->sent != 30)
        fake_echo(fake, packet, NULL, 57, 20 * CLOCK_MS);
}

static void packet_that_never_left_is_no_loss(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, lose_the_30th);
    world.fake->unstamped = 30;
    run(&world);
    assert_int_equal(world.result.overloaded, 1);
    assert_int_equal(world.result.sent, 49);
    assert_int_equal(world.result.received, 49);
    world.fake->sent = 0;
    world.fake->has_no_stamps = true; /* an interface that stamps nothing: then it is loss */
    run(&world);
    assert_int_equal(world.result.overloaded, 0);
    assert_int_equal(world.result.sent, 50);
    assert_int_equal(world.result.received, 49);
    assert_true(world.result.probes[0].is_tx_estimated);
    close_world(&world);
}

static void answer_after_the_end(struct fake *fake, const struct probe_io_packet *packet)
{
    fake_echo(fake, packet, NULL, 57, 9 * CLOCK_S);
}

static void late_answers_find_nobody(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, answer_after_the_end);
    run(&world);
    assert_int_equal(world.result.received, 0);
    run(&world); /* the answers to the first round come during the second */
    assert_int_equal(world.result.received, 0);
    run(&world);
    assert_int_equal(world.result.received, 0);
    assert_true(probe_engine_stats(world.engine)->foreign >= 50);
    assert_int_equal(probe_engine_stats(world.engine)->matched, 0);
    close_world(&world);
}

static void ceilings_are_kept_and_counted(void **state)
{
    (void)state;
    struct world world;
    struct error err;
    uint64_t rounds = limit_hits(LIMIT_KIND_ROUNDS), probes = limit_hits(LIMIT_KIND_PROBES);
    open_world(&world, answer_20ms);
    probe_engine_free(world.engine);
    world.fake->is_closed = false;
    assert_int_equal(probe_engine_new(&world.fake->io,
                                      &(struct probe_engine_settings){.max_rounds = 3, .max_probes = 120, .seed = 7},
                                      &world.engine, NULL),
                     0);
    start(&world);
    start(&world);
    assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &world.ping, &err),
                     -E_LIMIT);
    world.settings.count = 1;
    start(&world);
    assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &world.ping, &err),
                     -E_LIMIT);
    assert_int_equal(limit_hits(LIMIT_KIND_ROUNDS), rounds + 1);
    assert_int_equal(limit_hits(LIMIT_KIND_PROBES), probes + 1);
    assert_int_equal(probe_engine_stats(world.engine)->rounds_refused, 2);
    fake_run(world.fake, 10 * CLOCK_S, NULL);
    assert_int_equal(world.done_count, 3);
    run(&world); /* there is room again */
    close_world(&world);
}

static void on_done_start_another(void *user, const struct probe_ping_result *result)
{
    struct world *world = user;
    (void)result;
    if (++world->done_count < 5)
        assert_int_equal(probe_ping_start(world->engine, &world->settings, &world->arena, NULL, on_done_start_another, world,
                                          &world->ping, NULL),
                         0);
}

static void rounds_may_start_and_stop_rounds(void **state)
{
    (void)state;
    struct world world;
    struct probe_ping *stopped, *finished;
    open_world(&world, answer_20ms);
    world.settings.count = 5;
    assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done_start_another, &world,
                                      &world.ping, NULL),
                     0);
    fake_run(world.fake, 10 * CLOCK_S, NULL);
    assert_int_equal(world.done_count, 5);
    world.settings.count = 50;
    start(&world);
    stopped = world.ping;
    start(&world);
    finished = world.ping;
    start(&world); /* runs on, and is ended with the engine */
    fake_run(world.fake, 300 * CLOCK_MS, NULL);
    probe_ping_stop(stopped);
    assert_int_equal(world.done_count, 5);
    assert_true(probe_ping_result(finished)->received > 5);
    probe_ping_finish(finished);
    assert_int_equal(world.done_count, 6);
    assert_int_equal(world.result.received, world.result.sent); /* what is still out is not told as lost */
    fake_run(world.fake, 300 * CLOCK_MS, NULL);
    assert_int_equal(probe_engine_stats(world.engine)->rounds, 1);
    close_world(&world);
}

/* Checksum and identifier are what load balancers hash of an echo request. */
static uint32_t hashed;

static void one_flow(struct fake *fake, const struct probe_io_packet *packet)
{
    uint32_t fields;
    memcpy(&fields, packet->bytes + 2, sizeof fields);
    assert_true(hashed == 0 || fields == hashed);
    hashed = fields;
    answer_20ms(fake, packet);
}

/* Two rounds one into the other make one stream of one flow. */
static void a_stream_may_be_made_of_rounds(void **state)
{
    (void)state;
    struct world world;
    hashed = 0;
    open_world(&world, one_flow);
    world.settings.count = 3;
    world.settings.payload_bytes = 56;
    world.settings.gap_ns = 333 * CLOCK_MS;
    world.settings.flow_seed = 0x123456789abcdef0;
    start(&world);
    fake_run(world.fake, 700 * CLOCK_MS, &world.is_done);
    start(&world); /* while the first one still runs */
    fake_run(world.fake, 10 * CLOCK_S, NULL);
    assert_int_equal(world.done_count, 2);
    assert_int_equal(world.fake->sent, 6);
    assert_int_equal(world.result.received, 3);
    assert_int_equal(world.result.probes[2].reply_ttl, 57);
    assert_in_range(world.fake->sent_ns[2] - world.fake->sent_ns[0], 664 * CLOCK_MS, 670 * CLOCK_MS);
    close_world(&world);
}

static void bad_settings_are_named(void **state)
{
    (void)state;
    struct world world;
    struct error err;
    open_world(&world, NULL);
    struct probe_ping_settings good = world.settings, bad;
    bad = good;
    bad.count = 0;
    assert_int_equal(probe_ping_start(world.engine, &bad, &world.arena, NULL, on_done, &world, &world.ping, &err), -E_RANGE);
    assert_string_equal(err.where, "count");
    bad = good;
    bad.payload_bytes = 1401;
    assert_int_equal(probe_ping_start(world.engine, &bad, &world.arena, NULL, on_done, &world, &world.ping, &err), -E_RANGE);
    assert_string_equal(err.where, "payload_bytes");
    bad = good;
    assert_int_equal(sock_parse_ip("2001:db8::1", &bad.src), 0);
    assert_int_equal(probe_ping_start(world.engine, &bad, &world.arena, NULL, on_done, &world, &world.ping, &err),
                     -E_INVALID);
    assert_string_equal(err.where, "src");
    bad.dst.sa.sa_family = AF_UNSPEC;
    assert_int_equal(probe_ping_start(world.engine, &bad, &world.arena, NULL, on_done, &world, &world.ping, &err),
                     -E_REQUIRED);
    assert_int_equal(probe_engine_stats(world.engine)->rounds, 0);
    close_world(&world);
}

static void payload_and_dscp_are_as_asked(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 5, 6, 1400};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct world world;
        open_world(&world, answer_20ms);
        world.settings.payload_bytes = sizes[i];
        world.settings.dscp = 46;
        run(&world);
        assert_int_equal(world.result.received, 50);
        assert_int_equal(world.fake->packets[0].size, 8 + sizes[i]);
        assert_int_equal(world.fake->packets[0].tos, 46 << 2);
        close_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_adapts_its_gap),
        cmocka_unit_test(long_round_trips_mean_fewer_probes),
        cmocka_unit_test(silent_target_costs_four_seconds),
        cmocka_unit_test(fixed_rate_is_kept),
        cmocka_unit_test(jitter_is_the_mean_absolute_deviation),
        cmocka_unit_test(duplicates_and_reordering_are_counted),
        cmocka_unit_test(errors_are_results),
        cmocka_unit_test(refusals_of_our_kernel_are_not_sent),
        cmocka_unit_test(what_our_interface_took_along_is_no_loss),
        cmocka_unit_test(a_slow_stream_outlasts_refusals),
        cmocka_unit_test(a_slow_stream_keeps_its_places_in_time),
        cmocka_unit_test(a_late_drop_excuses_no_loss),
        cmocka_unit_test(full_transmit_buffer_delays_and_loses_nothing),
        cmocka_unit_test(our_own_drops_are_no_loss),
        cmocka_unit_test(packet_that_never_left_is_no_loss),
        cmocka_unit_test(late_answers_find_nobody),
        cmocka_unit_test(ceilings_are_kept_and_counted),
        cmocka_unit_test(rounds_may_start_and_stop_rounds),
        cmocka_unit_test(a_stream_may_be_made_of_rounds),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(payload_and_dscp_are_as_asked),
    };
    return cmocka_run_group_tests_name("echo stream", tests, NULL, NULL);
}
