#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/identity.h"
#include "agent/sealed.h"
#include "agent/spool.h"
#include "base/clock.h"
#include "base/mem.h"
#include "lab/history.h"
#include "measure/part.h"
#include "measure/type.h"

#define UNTIL_S 1790003617LL /* in the middle of a slot */
#define FROM_S (UNTIL_S - 3600)
#define CUT_PERIOD_S 600
#define CUT_S 120

/* 20 ms there and back; cut off for the first two minutes of every ten, by the wall clock. */
static const char scenario_text[] =
    "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\n"
    "host app address 198.18.10.10\nlink ams r1 delay 2ms\nlink r1 r2 delay 3ms\nlink r2 app delay 5ms\n"
    "every 10m for 2m { link r1 r2 down }\n";

/* The same way, cut off from second 20 to second 22 of every minute. */
static const char seconds_text[] =
    "vantage ams address 198.18.1.2/24\nrouter r1 address 198.51.100.1\nrouter r2 address 198.51.100.2\n"
    "host app address 198.18.10.10\nlink ams r1 delay 2ms\nlink r1 r2 delay 3ms\nlink r2 app delay 5ms\n"
    "every 1m for 3s offset 20s { link r1 r2 down }\n";

struct world {
    bool is_continuous;
    char dir[64], path[160];
    struct arena arena;
    struct lab_scenario *scenario;
    struct lab_history history;
    int64_t last_id, interval_s;
    size_t rounds, cut, whole;
};

static void put_plan(struct world *world)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    void *settings = arena_alloc(&world->arena, type->settings->size);
    struct buf buf, bytes;
    field_defaults(type->settings, settings);
    assert_int_equal(field_from_text(type->settings, "server", "198.18.10.10", settings, &world->arena, NULL), 0);
    assert_int_equal(field_from_text(type->settings, "protocol", "icmp", settings, &world->arena, NULL), 0);
    assert_int_equal(field_from_text(type->settings, "continuousMode", world->is_continuous ? "true" : "false", settings,
                                     &world->arena, NULL),
                     0);
    buf_init(&buf, 65536);
    buf_init(&bytes, 65536);
    field_to_cbor(type->settings, settings, &buf);
    struct message_test tests[] = {{.test_id = 4,
                                    .version = 3,
                                    .type = "agent-to-server",
                                    .interval_s = (int32_t)world->interval_s,
                                    .settings = {.data = buf.data, .size = buf.size}}};
    struct message_plan plan = {.version = 1, .server_ns = 1, .ipv6_policy = 1, .tests = {.items = tests, .count = 1}};
    field_to_cbor(&message_plan_table, &plan, &bytes);
    (void)snprintf(world->path, sizeof world->path, "%s/plan", world->dir);
    assert_int_equal(sealed_write(world->path, bytes.data, bytes.size, 0600, NULL), 0);
    buf_done(&buf);
    buf_done(&bytes);
}

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    strcpy(world->dir, "/tmp/history-check-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    arena_init(&world->arena, 64 << 20);
    assert_int_equal(lab_scenario_parse(scenario_text, sizeof scenario_text - 1, "check", &world->scenario, NULL), 0);
    struct message_identity identity = {.agent_id = 17, .secret = "s", .aid = 1};
    assert_int_equal(identity_save(world->dir, &identity, NULL), 0);
    world->interval_s = 60;
    world->history = (struct lab_history){
        .vantage = "ams", .state_dir = world->dir, .from_s = FROM_S, .until_s = UNTIL_S, .seed = 3};
    *state = world;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char inner[500];
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(inner) != 0)
            remove_dir(inner);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static int teardown(void **state)
{
    struct world *world = *state;
    lab_scenario_free(world->scenario);
    arena_done(&world->arena);
    remove_dir(world->dir);
    mem_free(world);
    return 0;
}

static void check_network(struct world *world, const struct message_round *round, const struct message_part *part)
{
    struct measure_network network;
    assert_string_equal(part->name, "network");
    assert_int_equal(
        field_from_cbor(&measure_network_table, part->record.data, part->record.size, &network, &world->arena, NULL),
        0);
    assert_string_equal(network.server_ip, "198.18.10.10");
    int64_t start_s = round->start_ns / CLOCK_S, end_s = round->end_ns / CLOCK_S;
    bool is_cut = start_s % CUT_PERIOD_S < CUT_S && end_s % CUT_PERIOD_S < CUT_S;
    bool is_whole = start_s % CUT_PERIOD_S >= CUT_S && start_s / CUT_PERIOD_S == end_s / CUT_PERIOD_S;
    if (is_cut) {
        assert_true(network.loss == 100);
        world->cut++;
    } else if (is_whole) {
        assert_true(network.loss == 0);
        assert_int_equal(network.oculi.sent, 50);
        assert_true(network.avg_latency > 19.999 && network.avg_latency < 20.001);
        world->whole++;
    }
}

/* Every second of the round's minute as it was at that second of the wall clock. */
static void check_seconds(struct world *world, const struct message_round *round, const struct message_part *part)
{
    struct measure_network network;
    assert_int_equal(
        field_from_cbor(&measure_network_table, part->record.data, part->record.size, &network, &world->arena, NULL),
        0);
    assert_int_equal(network.packets_by_second.count, 60);
    int64_t first = network.oculi.is_partial ? round->start_ns / CLOCK_S - round->round_id : 0;
    for (int64_t i = 0; i < 60; i++) {
        const struct field_list *row = (const struct field_list *)network.packets_by_second.items + i;
        const int64_t *counts = row->items;
        assert_int_equal(row->count, i < first ? 0 : 2);
        if (i >= first && (counts[0] != 1 || counts[1] != (i < 20 || i > 22)))
            fail_msg("round %lld, second %lld: [%lld, %lld]", (long long)round->round_id, (long long)i,
                     (long long)counts[0], (long long)counts[1]);
    }
    if (network.oculi.is_partial)
        return;
    assert_true(network.loss == 5);
    assert_in_range(round->start_ns - round->round_id * CLOCK_S, 0, CLOCK_S);
    assert_in_range(round->end_ns - round->round_id * CLOCK_S, 59 * CLOCK_S, 62 * CLOCK_S);
    world->whole++;
}

static bool on_record(void *user, const struct record *record)
{
    struct world *world = user;
    struct message_round round;
    assert_int_equal(field_from_cbor(&message_round_table, record->bytes, record->size, &round, &world->arena, NULL),
                     0);
    assert_int_equal(field_check(&message_round_table, &round, NULL), 0);
    assert_int_equal(round.test_id, 4);
    assert_int_equal(round.test_version, 3);
    assert_int_equal(round.run_id, 0);
    assert_int_equal(round.round_id % world->interval_s, 0);
    if (world->rounds++ > 0)
        assert_int_equal(round.round_id, world->last_id + world->interval_s);
    else
        assert_in_range(round.round_id, FROM_S - world->interval_s, FROM_S + world->interval_s);
    world->last_id = round.round_id;
    assert_in_range(round.start_ns / CLOCK_S, round.round_id, round.round_id + world->interval_s - 1);
    assert_int_equal(round.parts.count, 2);
    if (world->is_continuous)
        check_seconds(world, &round, round.parts.items);
    else
        check_network(world, &round, round.parts.items);
    return true;
}

/* What the agent will find in its spool. */
static void read_spool(struct world *world)
{
    struct spool *spool;
    struct spool_options options = {0};
    struct spool_mark mark;
    (void)snprintf(world->path, sizeof world->path, "%s/spool", world->dir);
    assert_int_equal(spool_open(world->path, &options, &spool, NULL), 0);
    spool_adopt(spool);
    world->rounds = world->cut = world->whole = 0;
    (void)spool_read(spool, on_record, world, &mark);
    spool_close(spool);
}

static void an_hour_is_whole_and_true(void **state)
{
    struct world *world = *state;
    uint64_t rounds;
    struct error err = {0};
    put_plan(world);
    if (lab_history_make(world->scenario, &world->history, &rounds, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_in_range(rounds, 59, 60);
    read_spool(world);
    assert_int_equal(world->rounds, rounds);
    assert_int_equal(world->last_id, UNTIL_S / 60 * 60 - 60); /* the slot of now belongs to the living agent */
    assert_in_range(world->cut, 10, 12);
    assert_in_range(world->whole, 40, 48);
}

/* Begun within a minute, which is therefore partial; then no minute and no second is missing. */
static void an_hour_of_seconds_is_true(void **state)
{
    struct world *world = *state;
    uint64_t rounds;
    struct error err = {0};
    lab_scenario_free(world->scenario);
    assert_int_equal(lab_scenario_parse(seconds_text, sizeof seconds_text - 1, "check", &world->scenario, NULL), 0);
    world->is_continuous = true;
    put_plan(world);
    if (lab_history_make(world->scenario, &world->history, &rounds, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_in_range(rounds, 59, 60);
    read_spool(world);
    assert_int_equal(world->rounds, rounds);
    assert_int_equal(world->last_id, UNTIL_S / 60 * 60 - 60);
    assert_int_equal(world->whole, rounds - 1);
}

static void what_is_missing_is_named(void **state)
{
    struct world *world = *state;
    uint64_t rounds;
    struct error err = {0};
    assert_int_equal(lab_history_make(world->scenario, &world->history, &rounds, &err), -E_NOT_FOUND);
    assert_non_null(strstr(err.where, "/plan"));
    put_plan(world);
    world->history.vantage = "nowhere";
    assert_int_equal(lab_history_make(world->scenario, &world->history, &rounds, &err), -E_NOT_FOUND);
    assert_string_equal(err.where, "nowhere");
    world->history.vantage = "ams";
    world->history.state_dir = "/nonexistent";
    assert_int_equal(lab_history_make(world->scenario, &world->history, &rounds, &err), -E_NOT_FOUND);
    assert_string_equal(err.where, "/nonexistent/identity");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_hour_is_whole_and_true, setup, teardown),
        cmocka_unit_test_setup_teardown(an_hour_of_seconds_is_true, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_named, setup, teardown),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
