/* SACK or SYNs: what is chosen for targets and paths of every kind, what is remembered, and what is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/limit.h"
#include "probe/mode.h"
#include "world.h"

#define APP "198.18.10.10"
#define APP6 "2001:db8:a::10"
#define HOST                                                                                                          \
    "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n"                                                         \
    "router r1 address 198.51.100.1 v6 2001:db8:f::1\nrouter r2 address 198.51.100.2 v6 2001:db8:f::2\n"              \
    "host app address 198.18.10.10 v6 2001:db8:a::10 "
#define LINKS "\nlink ams r1 delay 1ms\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n"
#define OPEN HOST "tcp 443 open" LINKS

struct rig {
    struct world world;
    struct probe_modes *modes;
    struct probe_mode_settings settings;
    struct probe_mode_result result;
    struct probe_mode *mode;
    bool is_done;
};

static void on_done(void *user, const struct probe_mode_result *result)
{
    struct rig *rig = user;
    rig->result = *result;
    rig->is_done = true;
}

static void open_rig(struct rig *rig, const char *scenario)
{
    memset(rig, 0, sizeof *rig);
    world_open(&rig->world, scenario, NULL);
    rig->modes = probe_modes_new(0);
    probe_ping_defaults(&rig->settings.ping);
    rig->settings.ping.protocol = PROBE_TCP;
    rig->settings.memory = rig->modes;
}

static void close_rig(struct rig *rig)
{
    world_close(&rig->world);
    probe_modes_free(rig->modes);
}

static void start(struct rig *rig, const char *to)
{
    rig->is_done = false;
    assert_int_equal(sock_parse_ip(to, &rig->settings.ping.dst), 0);
    sock_set_port(&rig->settings.ping.dst, 443);
    assert_int_equal(probe_mode_start(rig->world.engines[0], &rig->settings, &rig->world.arena, NULL, on_done, rig,
                                      &rig->mode, NULL),
                     0);
}

static const struct probe_mode_result *run(struct rig *rig, const char *to)
{
    int64_t begin = sim_now_ns(rig->world.sim);
    start(rig, to);
    sim_run(rig->world.sim, 3600 * CLOCK_S, &rig->is_done);
    assert_true(rig->is_done);
    assert_true(sim_now_ns(rig->world.sim) - begin <= 8 * CLOCK_S + 10 * CLOCK_MS); /* and a tick */
    assert_int_equal(probe_engine_stats(rig->world.engines[0])->rounds, 0);
    sim_run(rig->world.sim, 52 * CLOCK_S, NULL);
    return &rig->result;
}

static void assert_mode(const struct rig *rig, enum probe_ping_mode mode, enum probe_mode_reason reason, const char *text)
{
    assert_int_equal(rig->result.mode, mode);
    assert_int_equal(rig->result.reason, reason);
    assert_string_equal(rig->result.text, text);
}

static void sack_is_preferred(void **state)
{
    (void)state;
    static const char *const targets[] = {APP, APP6};
    struct rig rig;
    open_rig(&rig, OPEN);
    for (int i = 0; i < 4; i++) {
        const struct probe_ping_result *ping = run(&rig, targets[i % 2])->ping;
        assert_mode(&rig, PROBE_PING_SACK, PROBE_MODE_PREFERRED, "The target answers with SACK");
        assert_int_equal(ping->received, 50);
        assert_true(ping->avg_rtt_ns == 20e6 && ping->handshake_ns == 20 * CLOCK_MS);
        assert_null(rig.result.interference);
        assert_true(isnan(rig.result.sack_loss) && isnan(rig.result.syn_loss));
    }
    struct lab_truth_sum syns;
    lab_truth_sum(sim_truth(rig.world.sim), 0, APP, LAB_KIND_TCP_SYN, 0, &syns);
    assert_int_equal(syns.sent, 2);
    close_rig(&rig);
}

/* Each falls back within its round, with all that SYNs can tell; what lasts is remembered for a day and then tried again. */
static void syns_follow_where_sack_fails(void **state)
{
    (void)state;
    static const struct {
        const char *scenario;
        enum probe_mode_reason reason;
        bool is_remembered;
        uint32_t received;
        const char *text;
    } cases[] = {
        {HOST "tcp 443 open sack not-permitted" LINKS, PROBE_MODE_NOT_PERMITTED, true, 50,
         "The target does not permit SACK"},
        {HOST "tcp 443 open sack never-sent" LINKS, PROBE_MODE_NO_SACK, true, 50,
         "The target permits SACK, but sent none within a second of the first probe"},
        {OPEN "node r1 strip sack\n", PROBE_MODE_NO_SACK, true, 50,
         "The target permits SACK, but sent none within a second of the first probe"},
        {OPEN "node r1 strip sack-permitted\n", PROBE_MODE_NOT_PERMITTED, true, 50, "The target does not permit SACK"},
        {OPEN "node r1 sequence-randomize no-sack\n", PROBE_MODE_NO_SACK, true, 50,
         "Something on the way rewrites sequence numbers, but not those in SACK"},
        {OPEN "syn-proxy r1 to 198.18.10.0/24 delay 18ms\n", PROBE_MODE_TOO_FAST, true, 50,
         "Something on the way answers for the target: probes came back within 2.0 ms, the handshake took 20.0 ms"},
        {HOST LINKS, PROBE_MODE_REFUSED, false, 50, "The target refuses connections"},
        {HOST "tcp others silent" LINKS, PROBE_MODE_SILENT, false, 0, "The target did not answer the handshake"},
        {HOST "tcp others rejected" LINKS, PROBE_MODE_UNREACHABLE, false, 0, "An ICMP error answered the handshake"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct rig rig;
        open_rig(&rig, cases[c].scenario);
        for (int round = 0; round < 3; round++) {
            const struct probe_ping_result *ping = run(&rig, APP)->ping;
            print_message("# %zu.%d: %u of %u, %s\n", c, round, ping->received, ping->sent, rig.result.text);
            assert_int_equal(rig.result.mode, PROBE_PING_SYN);
            assert_int_equal(rig.result.reason, cases[c].reason);
            assert_memory_equal(rig.result.text, cases[c].text, strlen(cases[c].text));
            assert_string_equal(rig.result.text + strlen(cases[c].text),
                                !cases[c].is_remembered || round != 1 ? "" : " (found 0 min ago)");
            assert_int_equal(ping->received, cases[c].received);
            assert_true(cases[c].received == 0 || ping->sent == 50);
            if (round == 1)
                sim_run(rig.world.sim, 24 * 3600 * CLOCK_S, NULL);
        }
        close_rig(&rig);
    }
}

static void what_is_asked_for_is_done(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, HOST "tcp 443 open sack not-permitted" LINKS);
    rig.settings.want = PROBE_MODE_SACK;
    (void)run(&rig, APP);
    assert_true(rig.result.is_unsupported);
    assert_int_equal(rig.result.reason, PROBE_MODE_NOT_PERMITTED);
    assert_int_equal(rig.result.ping->sent, 0);
    struct lab_truth_sum sum;
    lab_truth_sum(sim_truth(rig.world.sim), 0, APP, LAB_KIND_TCP_DATA, 0, &sum);
    assert_int_equal(sum.sent, 0);
    rig.settings.want = PROBE_MODE_SYN;
    (void)run(&rig, APP);
    assert_mode(&rig, PROBE_PING_SYN, PROBE_MODE_ASKED, "This mode was asked for");
    assert_int_equal(rig.result.ping->received, 50);
    close_rig(&rig);

    open_rig(&rig, HOST "tcp 443 open sack never-sent" LINKS);
    rig.settings.want = PROBE_MODE_SACK;
    assert_true(run(&rig, APP)->is_unsupported);
    assert_int_equal(rig.result.reason, PROBE_MODE_NO_SACK);
    close_rig(&rig);

    open_rig(&rig, HOST "tcp others silent" LINKS); /* there is nothing to tell but that all was lost */
    rig.settings.want = PROBE_MODE_SACK;
    assert_false(run(&rig, APP)->is_unsupported);
    assert_int_equal(rig.result.ping->sent, 3);
    assert_int_equal(rig.result.ping->received, 0);
    close_rig(&rig);
}

static void a_firewall_that_drops_sack_probes_is_found(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, OPEN "node r1 drop-out-of-order every 25\n");
    (void)run(&rig, APP); /* 4 % are lost, and no SYN: the suspicion */
    assert_int_equal(rig.result.ping->sent, 50);
    assert_int_equal(rig.result.ping->received, 48);
    assert_int_equal(rig.result.mode, PROBE_PING_SACK);
    assert_true(rig.result.sack_loss == 4 && rig.result.syn_loss == 0);
    assert_null(rig.result.interference);
    (void)run(&rig, APP); /* the same two of fifty again: no chance */
    assert_mode(&rig, PROBE_PING_SYN, PROBE_MODE_INTERFERED,
                "Something on the way drops SACK probes: 4.0 % of them were lost, 0.0 % of SYNs");
    assert_string_equal(rig.result.interference, rig.result.text);
    assert_int_equal(rig.result.ping->sent, 50);
    assert_int_equal(rig.result.ping->received, 50);
    (void)run(&rig, APP);
    assert_int_equal(rig.result.reason, PROBE_MODE_INTERFERED);
    assert_non_null(rig.result.interference);
    assert_int_equal(rig.result.ping->received, 50);
    close_rig(&rig);

    open_rig(&rig, OPEN "node r1 drop-out-of-order every 23\n"); /* others each time: the counts tell, later */
    int rounds = 1;
    while (!run(&rig, APP)->interference)
        rounds++;
    print_message("# every 23rd: found in round %d\n", rounds);
    assert_in_range(rounds, 2, 10);
    close_rig(&rig);
}

static void loss_of_the_network_stays_its_own(void **state)
{
    (void)state;
    static const char *const scenarios[] = {
        HOST "tcp 443 open\nlink ams r1 delay 1ms loss 1%\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n",
        HOST "tcp 443 open\nlink ams r1 delay 1ms loss 4%\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n",
        HOST "tcp 443 open\nlink ams r1 delay 1ms loss 20%\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n",
    };
    for (size_t s = 0; s < 3; s++) {
        struct rig rig;
        unsigned sack = 0;
        open_rig(&rig, scenarios[s]);
        for (int i = 0; i < 100; i++) {
            (void)run(&rig, APP);
            assert_null(rig.result.interference);
            sack += rig.result.mode == PROBE_PING_SACK;
        }
        print_message("# %u of 100 rounds in SACK mode\n", sack);
        assert_true(sack >= (s < 2 ? 99 : 90)); /* else three SYNs were lost, and fifty more follow */
        close_rig(&rig);
    }
}

static void decisions_belong_to_a_path(void **state)
{
    (void)state;
    struct probe_modes *modes = probe_modes_new(2);
    struct probe_mode_decision put = {.reason = PROBE_MODE_NOT_PERMITTED, .at_ns = CLOCK_S}, got;
    union sock_addr a, b, c;
    assert_int_equal(sock_parse_ip("192.0.2.1", &a), 0);
    assert_int_equal(sock_parse_ip("192.0.2.2", &b), 0);
    assert_int_equal(sock_parse_ip("2001:db8::1", &c), 0);
    assert_false(probe_modes_get(modes, &a, CLOCK_S, &got));
    probe_modes_put(modes, &a, &put);
    assert_true(probe_modes_get(modes, &a, CLOCK_S, &got));
    assert_int_equal(got.reason, PROBE_MODE_NOT_PERMITTED);
    assert_true(probe_modes_get(modes, &a, 24 * 3600 * CLOCK_S, &got));
    assert_false(probe_modes_get(modes, &a, 24 * 3600 * CLOCK_S + CLOCK_S, &got));
    assert_false(probe_modes_get(modes, &b, CLOCK_S, &got));
    sock_set_port(&a, 443);
    assert_false(probe_modes_get(modes, &a, CLOCK_S, &got));
    sock_set_port(&a, 0);
    probe_modes_note_path(modes, &a, 7); /* it was decided on this one */
    assert_true(probe_modes_get(modes, &a, CLOCK_S, &got));
    for (uint64_t path = 8; path < 12; path++) {
        probe_modes_note_path(modes, &a, path);
        assert_false(probe_modes_get(modes, &a, CLOCK_S, &got));
        put.at_ns += CLOCK_S;
        probe_modes_put(modes, &a, &put);
        assert_true(probe_modes_get(modes, &a, CLOCK_S, &got));
    }
    probe_modes_note_path(modes, &a, 9);
    assert_true(probe_modes_get(modes, &a, CLOCK_S, &got));
    probe_modes_note_path(modes, &a, 7); /* the oldest of five is forgotten */
    assert_false(probe_modes_get(modes, &a, CLOCK_S, &got));
    probe_modes_note_path(modes, &a, 9);
    uint64_t hits = limit_hits(LIMIT_KIND_PROBE_MODES);
    probe_modes_put(modes, &b, &put);
    probe_modes_note_path(modes, &a, 9);
    probe_modes_put(modes, &c, &put); /* the third of two */
    assert_int_equal(limit_hits(LIMIT_KIND_PROBE_MODES), hits + 1);
    assert_true(probe_modes_get(modes, &a, CLOCK_S, &got));
    assert_false(probe_modes_get(modes, &b, CLOCK_S, &got));
    probe_modes_free(modes);
}

static void chances_are_those_of_the_books(void **state)
{
    (void)state;
    /* Fisher's tea: 4 of 4 against 0 of 4 is 1 in 70. */
    assert_true(fabs(probe_modes_chance(0, 4, 4, 4) - 1.0 / 70) < 1e-12);
    assert_true(fabs(probe_modes_chance(1, 4, 3, 4) - 17.0 / 70) < 1e-12);
    assert_true(fabs(probe_modes_chance(4, 4, 0, 4) - 1) < 1e-12);
    assert_true(fabs(probe_modes_chance(0, 50, 2, 50) - 49.0 / 198) < 1e-9);
    assert_true(fabs(probe_modes_chance(0, 50, 0, 50) - 1) < 1e-12);
}

static void a_round_can_be_ended_at_any_time(void **state)
{
    (void)state;
    static const char *const scenarios[] = {
        OPEN, HOST "tcp 443 open sack never-sent" LINKS,
        HOST "tcp 443 open\nlink ams r1 delay 1ms loss 20%\nlink r1 r2 delay 4ms\nlink r2 app delay 5ms\n"};
    for (size_t s = 0; s < 3; s++) {
        for (int64_t ms = 0; ms < 5000; ms += 97) {
            struct rig rig;
            open_rig(&rig, scenarios[s]);
            start(&rig, APP);
            sim_run(rig.world.sim, ms * CLOCK_MS, &rig.is_done);
            if (!rig.is_done && ms % 2 == 0) {
                probe_mode_stop(rig.mode);
            } else if (!rig.is_done) {
                probe_mode_finish(rig.mode);
                assert_true(rig.is_done);
                assert_non_null(rig.result.text);
                assert_true(rig.result.ping->received <= rig.result.ping->sent);
            }
            assert_int_equal(probe_engine_stats(rig.world.engines[0])->rounds, 0);
            sim_run(rig.world.sim, CLOCK_S, NULL);
            close_rig(&rig);
        }
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(sack_is_preferred),
        cmocka_unit_test(syns_follow_where_sack_fails),
        cmocka_unit_test(what_is_asked_for_is_done),
        cmocka_unit_test(a_firewall_that_drops_sack_probes_is_found),
        cmocka_unit_test(loss_of_the_network_stays_its_own),
        cmocka_unit_test(decisions_belong_to_a_path),
        cmocka_unit_test(chances_are_those_of_the_books),
        cmocka_unit_test(a_round_can_be_ended_at_any_time),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
