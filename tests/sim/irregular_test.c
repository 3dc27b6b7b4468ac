/*
 * Made-up irregular topologies in which balancers by flow, by packet and by destination are mixed: the search for all
 * paths invents no interface, no link and no path, and misses no more than it states.
 *
 * With an argument it makes so many nets of each kind and tells the figures: sim_irregular_test 2000.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "lab/model.h"
#include "lab/scenario.h"
#include "lab/sim_io.h"
#include "maze.h"
#include "probe/engine.h"

static unsigned nets = 30; /* of each kind */

struct sums {
    unsigned complete, vertices, links, false_vertices, false_links, false_paths, truth_links, told_links;
    uint64_t sent;
};

static void on_done(void *user, const struct probe_exhaustive_result *result)
{
    *(const struct probe_exhaustive_result **)user = result;
}

/* The balancers of a net: `packet` and `destination` in a hundred are of these kinds, the others by flow. */
static bool write_balancers(const struct maze *maze, struct rng *rng, unsigned packet, unsigned destination,
                            struct buf *text)
{
    bool has_destination = false;
    for (uint32_t i = 0; i + 1 < maze->node_count; i++) {
        uint32_t die = (uint32_t)rng_below(rng, 100);
        if (die < packet)
            buf_printf(text, "node n%u ecmp per-packet\n", i);
        else if (die < packet + destination)
            buf_printf(text, "node n%u ecmp destination\n", i);
        has_destination |= die >= packet && die < packet + destination;
    }
    return has_destination;
}

/* All at rest: one search over a net of its own. */
static void search_one(const struct maze *maze, const char *extra, uint64_t seed, bool is_strict, struct sums *sums,
                       bool is_whole)
{
    struct lab_scenario *scenario;
    struct probe_engine *engine;
    struct arena arena;
    struct buf text;
    struct error err = {0};
    const struct probe_exhaustive_result *result = NULL;
    struct probe_exhaustive *exhaustive;
    struct probe_exhaustive_settings settings;
    bool is_done = false;
    buf_init(&text, 1 << 20);
    maze_write(maze, "0.714ms", extra, &text);
    if (lab_scenario_parse(buf_str(&text), text.size, "check", &scenario, &err) < 0)
        fail_msg("%s", err.text);
    buf_done(&text);
    struct sim *sim = sim_new(scenario, &(struct lab_options){.seed = seed, .packets = 4096}, 1790000000 * CLOCK_S);
    struct probe_io *io = sim_io_new(sim, &(struct sim_host){.receive_room = 1024});
    assert_int_equal(
        probe_engine_new(io, &(struct probe_engine_settings){.seed = seed + 1, .max_rounds = 4}, &engine, NULL), 0);
    arena_init(&arena, LIMIT_ROUND_ARENA);
    probe_exhaustive_defaults(&settings);
    settings.is_strict = is_strict;
    settings.protocol = (enum probe_protocol)(seed % 3);
    assert_int_equal(sock_parse_ip(seed / 3 % 2 ? MAZE_TARGET6 : MAZE_TARGET, &settings.dst), 0);
    sock_set_port(&settings.dst, settings.protocol == PROBE_ICMP ? 0 : settings.protocol == PROBE_TCP ? 443 : 0);
    assert_int_equal(probe_exhaustive_start(engine, &settings, &arena, NULL, on_done, &result, &exhaustive, NULL), 0);
    while (!result)
        sim_run(sim, 20 * CLOCK_MS, &is_done);
    struct maze_verdict verdict = maze_judge(maze, result);
    sums->complete += result->is_complete;
    sums->sent += result->sent;
    if (is_whole) {
        sums->vertices += result->is_complete && verdict.missed_vertices > 0;
        sums->links += result->is_complete && verdict.missed_links > 0;
    }
    sums->false_vertices += verdict.invented_vertices > 0;
    sums->false_links += verdict.invented_links > 0;
    sums->false_paths += verdict.invented_paths > 0;
    sums->truth_links += maze->links;
    sums->told_links += result->link_count;
    probe_engine_free(engine);
    sim_free(sim);
    lab_scenario_free(scenario);
    arena_done(&arena);
}

static struct sums search_many(const char *name, bool is_fabric, bool is_strict, unsigned packet, unsigned destination,
                               bool is_single)
{
    static struct maze maze;
    struct sums sums = {0};
    unsigned whole = 0;
    for (uint64_t seed = 1; seed <= nets; seed++) {
        struct rng rng;
        struct buf extra;
        rng_seed(&rng, seed * 7919);
        maze_random(&maze, &rng, is_fabric);
        buf_init(&extra, 1 << 16);
        bool has_destination = false;
        if (is_single)
            buf_printf(&extra, "node n%u per-packet\n", (unsigned)rng_below(&rng, maze.node_count - 1));
        else
            has_destination = write_balancers(&maze, &rng, packet, destination, &extra);
        whole += !has_destination;
        search_one(&maze, buf_str(&extra), seed, is_strict, &sums, !has_destination);
        buf_done(&extra);
    }
    print_message("# %s%s: %u nets, %u complete, %llu probes each; %u of %u with interfaces missed (links: %u); false "
                  "interfaces in %u, links in %u, paths in %u; links told %u of %u\n",
                  name, is_strict ? ", strict" : "", nets, sums.complete, (unsigned long long)(sums.sent / nets),
                  sums.vertices, whole, sums.links, sums.false_vertices, sums.false_links, sums.false_paths,
                  sums.told_links, sums.truth_links);
    return sums;
}

/* Nets of one kind. */
static void check(const char *name, bool is_fabric, unsigned packet, unsigned destination, bool is_single)
{
    for (int strict = 0; strict < 2; strict++) {
        struct sums sums = search_many(name, is_fabric, strict, packet, destination, is_single);
        assert_int_equal(sums.false_vertices, 0);
        assert_true(sums.false_links * 500 <= nets);
        assert_true(sums.false_paths * 500 <= nets);
        assert_true(sums.complete * 100 >= nets * 80);
        assert_true(sums.vertices * 100 <= nets * (strict ? 3 : 8)); /* 5 % and what chance adds */
        if (packet == 0 && !is_single)
            assert_true(sums.told_links * 100 >= sums.truth_links * (strict ? 98 : is_fabric ? 85 : 97));
    }
}

static void by_flow(void **state)
{
    (void)state;
    check("fabrics, by flow", true, 0, 0, false);
    check("irregular, by flow", false, 0, 0, false);
}

static void one_by_packet(void **state)
{
    (void)state;
    check("fabrics, one by packet", true, 0, 0, true);
    check("irregular, one by packet", false, 0, 0, true);
}

static void all_kinds_mixed(void **state)
{
    (void)state;
    check("fabrics, mixed", true, 10, 10, false);
    check("irregular, mixed", false, 10, 10, false);
    check("irregular, half by packet", false, 50, 0, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_flow), cmocka_unit_test(one_by_packet),
                                       cmocka_unit_test(all_kinds_mixed)};
    if (argc > 1)
        nets = (unsigned)atoi(argv[1]);
    return cmocka_run_group_tests_name("irregular topologies", tests, NULL, NULL);
}
