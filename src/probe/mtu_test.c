/* The search for the path MTU where this host loses packets itself; against a network it is checked in tests/sim. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "probe/fake_io.h"
#include "probe/mtu.h"

struct search {
    bool is_done;
    const struct probe_mtu_result *result;
};

static void on_done(void *user, const struct probe_mtu_result *result)
{
    struct search *search = user;
    search->is_done = true;
    search->result = result;
}

/* Packets beyond 1000 bytes vanish. */
static void answer_small(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->size + 20u <= 1000)
        fake_echo(fake, packet, NULL, 60, 10 * CLOCK_MS);
}

static void what_never_left_makes_no_limit(void **state)
{
    (void)state;
    for (uint32_t unstamped = 0; unstamped <= 2; unstamped += 2) { /* the second packet is the first large one */
        struct search search = {0};
        struct probe_engine *engine;
        struct probe_mtu_settings settings;
        struct probe_mtu *mtu;
        struct arena arena;
        struct fake *fake = fake_new(answer_small, NULL);
        fake->unstamped = unstamped;
        arena_init(&arena, 1 << 20);
        assert_int_equal(probe_engine_new(&fake->io, &(struct probe_engine_settings){.seed = 7}, &engine, NULL), 0);
        probe_mtu_defaults(&settings);
        assert_int_equal(sock_parse_ip("192.0.2.1", &settings.dst), 0);
        assert_int_equal(probe_mtu_start(engine, &settings, &arena, on_done, &search, &mtu, NULL), 0);
        fake_run(fake, 100 * CLOCK_S, &search.is_done);
        assert_true(search.is_done);
        assert_int_equal(search.result->mtu, unstamped ? 0 : 1000);
        assert_int_equal(search.result->is_limit, !unstamped);
        assert_int_equal(search.result->is_black_hole, !unstamped);
        probe_engine_free(engine);
        fake_free(fake);
        arena_done(&arena);
    }
}

/* The end of the round cuts the search short, in the middle of it: the size that arrived last is no path MTU. */
static void a_search_cut_short_knows_no_mtu(void **state)
{
    (void)state;
    struct search search = {0};
    struct probe_engine *engine;
    struct probe_mtu_settings settings;
    struct probe_mtu *mtu;
    struct arena arena;
    struct fake *fake = fake_new(answer_small, NULL);
    arena_init(&arena, 1 << 20);
    assert_int_equal(probe_engine_new(&fake->io, &(struct probe_engine_settings){.seed = 7}, &engine, NULL), 0);
    probe_mtu_defaults(&settings);
    assert_int_equal(sock_parse_ip("192.0.2.1", &settings.dst), 0);
    assert_int_equal(probe_mtu_start(engine, &settings, &arena, on_done, &search, &mtu, NULL), 0);
    fake_run(fake, fake->now_ns + 100 * CLOCK_MS, &search.is_done); /* the small one was answered, the large one not yet */
    assert_false(search.is_done);
    probe_mtu_finish(mtu);
    assert_true(search.is_done);
    assert_true(search.result->sent >= 2);
    assert_int_equal(search.result->mtu, 0);
    assert_false(search.result->is_limit);
    probe_engine_free(engine);
    fake_free(fake);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_never_left_makes_no_limit),
                                       cmocka_unit_test(a_search_cut_short_knows_no_mtu)};
    return cmocka_run_group_tests_name("path MTU", tests, NULL, NULL);
}
