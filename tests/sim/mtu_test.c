/* The path MTU against the links of the simulated internet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "probe/mtu.h"
#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define NODES                                                                                                         \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "router r3 address 198.51.100.3 v6 2001:db8:f::3\n"                                                               \
    "host app address 198.18.10.10 v6 2001:db8:a::10 tcp 443 open\n"

static const char *const targets[] = {APP, APP6};
static const char *const r2s[] = {"198.51.100.2", "2001:db8:f::2"};
static const char *const r3s[] = {"198.51.100.3", "2001:db8:f::3"};

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

static const struct probe_mtu_result *find_mtu(struct world *world, enum probe_protocol protocol, const char *to)
{
    struct probe_mtu_settings settings;
    struct probe_mtu *mtu;
    struct search search = {0};
    struct error err;
    probe_mtu_defaults(&settings);
    settings.protocol = protocol;
    assert_int_equal(sock_parse_ip(to, &settings.dst), 0);
    sock_set_port(&settings.dst, protocol == PROBE_TCP ? 443 : 0);
    if (probe_mtu_start(world->engines[0], &settings, &world->arena, on_done, &search, &mtu, &err) != 0)
        fail_msg("%s %s", err.where, err.text);
    sim_run(world->sim, 60 * CLOCK_S, &search.is_done);
    assert_true(search.is_done);
    assert_int_equal(probe_engine_stats(world->engines[0])->rounds, 0);
    return search.result;
}

static bool is_at(const union sock_addr *addr, const char *text)
{
    char own[SOCK_TEXT_BYTES];
    return sock_is_set(addr) && strcmp(sock_ip_text(addr, own, sizeof own), text) == 0;
}

static void open_links(struct world *world, unsigned first, unsigned second, const char *more)
{
    char text[2000];
    (void)snprintf(text, sizeof text,
                   NODES "link ams r1 delay 1ms\nlink r1 r2 delay 2ms\nlink r2 r3 delay 3ms mtu %u\n"
                         "link r3 app delay 4ms mtu %u\n%s", first, second, more);
    world_open_small(world, text);
}

/* Its "too big" quotes what the engine has not sent. */
static void a_randomizer_hides_no_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        open_links(&world, 1400, 1500, "node r1 sequence-randomize on\n");
        const struct probe_mtu_result *result = find_mtu(&world, PROBE_TCP, targets[i]);
        assert_int_equal(result->mtu, 1400);
        assert_false(result->is_black_hole);
        assert_int_equal(result->told, 1400);
        assert_true(is_at(&result->limited_by, r2s[i]));
        world_close(&world);
    }
}

static void the_limit_is_exact_and_who_told_it(void **state)
{
    (void)state;
    static const unsigned mtus[][2] = {{1500, 1500}, {1400, 1500}, {1400, 1300}, {1300, 1400}, {1499, 1500}, {1281, 1500},
                                       {1280, 1500}, {1427, 1427}, {1492, 1460}};
    for (size_t i = 0; i < sizeof mtus / sizeof mtus[0] * 6; i++) {
        const unsigned *mtu = mtus[i / 6];
        unsigned least = mtu[0] < mtu[1] ? mtu[0] : mtu[1];
        struct world world;
        open_links(&world, mtu[0], mtu[1], "");
        const struct probe_mtu_result *result = find_mtu(&world, (enum probe_protocol)(i / 2 % 3), targets[i % 2]);
        assert_int_equal(result->mtu, least);
        assert_int_equal(result->is_limit, least < 1500);
        assert_false(result->is_black_hole || result->is_local);
        if (least < 1500) {
            assert_true(is_at(&result->limited_by, mtu[0] <= mtu[1] ? r2s[i % 2] : r3s[i % 2]));
            assert_int_equal(result->told, least);
        }
        assert_true(result->sent <= 8);
        world_close(&world);
    }
}

/* r2 or r3 drops what is too big and says nothing. */
static void black_holes_are_found_and_placed(void **state)
{
    (void)state;
    static const unsigned mtus[] = {1499, 1492, 1400, 1437, 1281, 1280};
    for (size_t i = 0; i < sizeof mtus / sizeof mtus[0] * 12; i++) {
        struct world world;
        bool is_second = i / 6 % 2 == 1;
        unsigned mtu = mtus[i / 12];
        open_links(&world, is_second ? 1500 : mtu, is_second ? mtu : 1500,
                   is_second ? "node r3 noreply-unreachable\n" : "node r2 noreply-unreachable\n");
        const struct probe_mtu_result *result = find_mtu(&world, (enum probe_protocol)(i / 2 % 3), targets[i % 2]);
        assert_int_equal(result->mtu, mtu);
        assert_true(result->is_limit && result->is_black_hole);
        assert_int_equal(result->black_hole_ttl, is_second ? 3 : 2);
        assert_true(is_at(&result->black_hole_after, is_second ? r3s[i % 2] : r2s[i % 2]));
        assert_false(sock_is_set(&result->limited_by));
        world_close(&world);
    }
}

static void loss_is_no_limit(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (unsigned seed = 1; seed <= 100; seed++) {
        struct world world;
        char more[80];
        (void)snprintf(more, sizeof more, "seed %u\nlink r1 r2 loss 5%%\n", seed);
        open_links(&world, 1500, 1500, more);
        const struct probe_mtu_result *result = find_mtu(&world, PROBE_ICMP, APP);
        wrong += result->mtu != 1500;
        world_close(&world);
    }
    assert_true(wrong <= 1); /* three losses in a row: one in a thousand */
}

/* Loss by which three probes of a size often vanish in a row must not become a limit, nor a lower one than the true. */
static void heavy_loss_is_no_limit(void **state)
{
    (void)state;
    unsigned unknown = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct world world;
        char more[120];
        bool is_hole = i & 1;
        (void)snprintf(more, sizeof more, "seed %u\nlink r1 r2 loss 18%%\n%s", i + 1,
                       is_hole ? "node r2 noreply-unreachable\n" : "");
        open_links(&world, is_hole ? 1437 : 1500, 1500, more);
        const struct probe_mtu_result *result = find_mtu(&world, (enum probe_protocol)(i / 4 % 3), targets[i / 2 % 2]);
        if (result->mtu == 0)
            unknown++;
        else if (result->mtu != (is_hole ? 1437 : 1500) || result->is_black_hole != is_hole)
            fail_msg("seed %u: %u bytes%s", i, result->mtu, result->is_black_hole ? ", black hole" : "");
        world_close(&world);
    }
    assert_true(unknown < 20); /* not even the small ones arrive */
}

static void nobody_answers_means_unknown(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct world world;
        open_links(&world, 1500, 1500, "node app silent\n");
        const struct probe_mtu_result *result = find_mtu(&world, (enum probe_protocol)(i / 2), targets[i % 2]);
        assert_int_equal(result->mtu, 0);
        assert_false(result->is_black_hole);
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_is_exact_and_who_told_it),
        cmocka_unit_test(a_randomizer_hides_no_limit),
        cmocka_unit_test(black_holes_are_found_and_placed),
        cmocka_unit_test(loss_is_no_limit),
        cmocka_unit_test(heavy_loss_is_no_limit),
        cmocka_unit_test(nobody_answers_means_unknown),
    };
    return cmocka_run_group_tests_name("simulated path MTU", tests, NULL, NULL);
}
