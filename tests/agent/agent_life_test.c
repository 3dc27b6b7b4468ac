/*
 * The life of an agent: reports, stops that cost nothing, a clock that is wrong, two processes with one identity.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "measure/type.h"
#include "world.h"

static void it_tells_how_it_is(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, 3);
    start_agent(world);
    assert_true(fake_server_wait_reports(world->server, 1));
    struct fake_counts counts = fake_server_counts(world->server);
    assert_string_equal(counts.version, OCULI_VERSION);
    assert_int_equal(strlen(counts.instance), 16);
    assert_string_equal(counts.report_instance, counts.instance);
    assert_int_equal(counts.queues, 4);
    assert_int_equal(counts.leaves, 0);
    assert_int_equal(kill(worker_of(world), SIGKILL), 0); /* another worker of the same program is the same instance */
    assert_true(fake_server_wait_reports(world->server, 2));
    assert_string_equal(fake_server_counts(world->server).instance, counts.instance);
    assert_int_equal(stop_agent(world), 0);
    assert_int_equal(fake_server_counts(world->server).leaves, 1);
    char command[400];
    (void)snprintf(command, sizeof command, "%s status --json --state-dir %s | grep -q '^{\"running\":false,\"state\"'",
                   program, world->state);
    assert_int_equal(system(command), 0);
    start_agent(world);
    assert_true(fake_server_wait_reports(world->server, 4));
    assert_string_not_equal(fake_server_counts(world->server).instance, counts.instance);
    assert_int_equal(fake_server_counts(world->server).malformed, 0);
}

/* Stopped in the midst of rounds and started again, many times: every slot is there, none was measured twice. */
static void a_restart_costs_no_round(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 8, 10);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 8));
    for (int i = 0; i < 5; i++) {
        const struct fake_round *rounds;
        assert_int_equal(stop_agent(world), 0);
        start_agent(world);
        assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 5));
    }
    assert_int_equal(stop_agent(world), 0);
    for (uint64_t test = 1; test <= 8; test++)
        assert_true(check_contiguous(world, test, 10) >= 2);
    assert_int_equal(fake_server_counts(world->server).duplicates, 0);
    assert_non_null(strstr(read_text(world, world->log), "rounds are finished first"));
    assert_int_equal(fake_server_counts(world->server).leaves, 6);
}

/* Killed at moments that nobody chose, often (OCULI_KILLS says how often; 12): each round that was in the spool arrives, none
 * was measured twice, and the agent goes on by itself. */
static void random_kills_lose_and_double_nothing(void **state)
{
    struct world *world = *state;
    const char *wish = getenv("OCULI_KILLS");
    int64_t kills = 12;
    struct kept kept;
    const struct fake_round *rounds;
    size_t spooled = 0;
    NEEDS_RAW_SOCKETS();
    if (wish)
        assert_int_equal(str_to_i64(wish, 1, 10000, &kills), 0);
    set_tests(world, 12, 4);
    srandom(1); /* the moments differ from run to run anyway */
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1)); /* killed while it registers it would be two agents */
    kill_agent(world);
    for (int64_t i = 0; i < kills; i++) {
        start_agent(world);
        if (i % 4 == 1)
            fake_server_trouble(world->server, FAKE_DROP_LATE); /* committed there, and not known to be here */
        int64_t moment_ms = 100 + random() % 2500;
        (void)poll(NULL, 0, (int)moment_ms);
        kill_agent(world);
        read_spool(world, &kept);
        for (size_t j = 0; j < kept.count; j++)
            assert_int_equal(kept.ids[j] % 4, 0);
        spooled += kept.count;
    }
    fake_server_clear(world->server);
    start_agent(world);
    wait_text(world, status_path(world), "state: connected\n");
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 24));
    assert_int_equal(stop_agent(world), 0);
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t j = 0; j < kept.count; j++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++)
            found += rounds[i].round_id == kept.ids[j];
        assert_true(found > 0);
    }
    read_spool(world, &kept);
    assert_int_equal(kept.count, 0);
    struct fake_counts counts = fake_server_counts(world->server);
    print_message("# %d kills, %zu rounds, %zu times one was found in a dead agent's spool, %zu sent twice\n", (int)kills,
                  count, spooled, counts.duplicates);
    assert_int_equal(counts.repeated, 0);
    assert_int_equal(counts.malformed, 0);
    assert_int_equal(counts.registrations, 1);
}

/* Its worker lives a moment longer and has the state directory: the next agent must not take it for a second one. */
static void a_killed_parent_is_succeeded(void **state)
{
    struct world *world = *state;
    const struct fake_round *rounds;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 4, 10);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 4));
    wait_text(world, status_path(world), "running-rounds: 0\n");
    while (strstr(read_text(world, status_path(world)), "running-rounds: 0\n")) { /* in the midst of rounds */
        arena_reset(&world->arena);
        (void)poll(NULL, 0, STEP_MS);
    }
    pid_t first = world->pid;
    assert_int_equal(kill(first, SIGKILL), 0);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 6));
    while (waitpid(-first, NULL, 0) > 0)
        continue;
    assert_int_equal(stop_agent(world), 0);
    for (uint64_t test = 1; test <= 4; test++)
        assert_true(check_contiguous(world, test, 10) >= 2);
    assert_int_equal(fake_server_counts(world->server).repeated, 0);
}

static void an_older_server_will_do(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    fake_server_old(world->server);
    set_tests(world, 1, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 3)); /* reports were refused by now */
    wait_text(world, status_path(world), "state: connected\n");
    assert_int_equal(stop_agent(world), 0);
    assert_null(strstr(read_text(world, world->log), "error"));
    assert_int_equal(fake_server_counts(world->server).reports, 0);
}

/* SIGUSR2 starts the program that lies there now, in the same process, without any privilege and without a lost round. */
static void another_program_takes_over(void **state)
{
    struct world *world = *state;
    const struct fake_round *rounds;
    char command[900], copy[128];
    const char *original = program;
    NEEDS_RAW_SOCKETS();
    (void)snprintf(copy, sizeof copy, "%s/agent", world->dir);
    (void)snprintf(command, sizeof command, "cp %s %s", original, copy);
    assert_int_equal(system(command), 0);
    set_tests(world, 6, 10);
    program = copy;
    start_agent(world);
    program = original;
    assert_true(fake_server_wait_rounds(world->server, 6));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(command, sizeof command, "cp %s %s.new && mv %s.new %s", original, copy, copy, copy);
        assert_int_equal(system(command), 0); /* a package does the same */
        struct fake_counts before = fake_server_counts(world->server);
        assert_int_equal(kill(world->pid, SIGUSR2), 0);
        assert_true(fake_server_wait_reports(world->server, before.reports + 2)); /* it leaves, and is there again */
        assert_string_not_equal(fake_server_counts(world->server).instance, before.instance);
        assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 5));
    }
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)worker_of(world));
    assert_non_null(strstr(read_text(world, path), "CapPrm:\t0000000000000000\n"));
    assert_int_equal(unlink(copy), 0); /* no program any more: the one that runs goes on */
    assert_int_equal(kill(world->pid, SIGUSR2), 0);
    wait_text(world, world->log, "the program that ran goes on");
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 5));
    assert_int_equal(stop_agent(world), 0);
    for (uint64_t test = 1; test <= 6; test++)
        assert_true(check_contiguous(world, test, 10) >= 3);
    assert_int_equal(fake_server_counts(world->server).duplicates, 0);
    assert_int_equal(fake_server_counts(world->server).registrations, 1);
}

static void the_earlier_of_two_processes_is_told(void **state)
{
    struct world *world = *state;
    const struct fake_round *rounds;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 2, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 2));
    fake_server_displace(world->server);
    wait_text(world, status_path(world), "state: displaced\n");
    wait_text(world, world->log, "another process measures as agent 31 (HTTP 409: as the check wants it)");
    wait_text(world, status_path(world), "running-rounds: 0\n");
    wait_text(world, status_path(world), "spool-bytes: 0\n"); /* what was measured has been sent */
    size_t count = fake_server_rounds(world->server, &rounds);
    (void)poll(NULL, 0, 3500); /* an interval later there is nothing new: that nothing happens takes its time to see */
    assert_int_equal(fake_server_rounds(world->server, &rounds), count);
    assert_int_equal(stop_agent(world), 0);
    start_agent(world); /* another instance */
    assert_true(fake_server_wait_rounds(world->server, count + 2));
    assert_int_equal(fake_server_counts(world->server).registrations, 1);
}

static void a_clock_a_day_off_spoils_no_round(void **state)
{
    struct world *world = *state;
    const struct fake_round *rounds;
    static const int64_t days[] = {86400, -86400};
    NEEDS_RAW_SOCKETS();
    for (size_t i = 0; i < 2; i++) {
        remove_tree(world->state);
        size_t before = fake_server_rounds(world->server, &rounds);
        fake_server_clock(world->server, days[i]);
        set_tests(world, 2, 3);
        start_agent(world);
        wait_text(world, world->log, days[i] > 0 ? "s behind the server's: rounds carry the server's time"
                                                 : "s ahead of the server's: rounds carry the server's time");
        assert_true(fake_server_wait_rounds(world->server, before + 4));
        size_t count = fake_server_rounds(world->server, &rounds);
        for (size_t j = before; j < count; j++) {
            int64_t error_s = rounds[j].round_id - (time(NULL) + days[i]);
            assert_true(error_s > -60 && error_s < 10);
            assert_true(rounds[j].start_ns / 1000000000 >= rounds[j].round_id);
        }
        /* The server away: it is still known what time it is. */
        fake_server_down(world->server);
        kill_agent(world);
        start_agent(world);
        wait_spooled(world, 2);
        fake_server_up(world->server);
        assert_true(fake_server_wait_rounds(world->server, count + 2));
        assert_true(fake_server_counts(world->server).is_clock_corrected);
        count = fake_server_rounds(world->server, &rounds);
        assert_true(rounds[count - 1].round_id - (time(NULL) + days[i]) > -60);
        assert_int_equal(stop_agent(world), 0);
    }
}

/* Three targets and more that are lost for two rounds, and the machine that measures them is under suspicion. */
static void local_problems_are_marked(void **state)
{
    struct world *world = *state;
    struct message_test tests[4];
    static const char *const servers[] = {"198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.4"};
    NEEDS_RAW_SOCKETS();
    for (size_t i = 0; i < 4; i++) /* this machine has no way there, or nobody is there */
        tests[i] = (struct message_test){.test_id = i + 1, .version = 1, .type = "agent-to-server", .interval_s = 5,
                                         .settings = settings_of(world, servers[i])};
    set_plan(world, tests, 4, NULL, 0);
    start_agent(world);
    wait_text(world, status_path(world), "local-problem: most-targets");
    wait_text(world, world->log, "something is wrong here: most-targets");
    while (!strstr(fake_server_counts(world->server).problem, "most-targets"))
        (void)poll(NULL, 0, STEP_MS);
    const struct fake_round *rounds;
    size_t marked = 0, count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < count; i++)
        marked += strstr(rounds[i].problem, "most-targets") != NULL;
    assert_true(marked > 0 && marked < count);
}

static struct field_bytes variant_of(struct world *world, const struct measure_type *type, const char *options)
{
    void *settings = arena_alloc(&world->arena, type->settings->size);
    char text[200], *rest = text;
    field_defaults(type->settings, settings);
    assert_int_equal(field_from_text(type->settings, type->target_name, "127.0.0.1", settings, &world->arena, NULL), 0);
    (void)str_copy(text, sizeof text, options);
    for (char *one = strsep(&rest, " "); one && *one; one = strsep(&rest, " ")) {
        char *value = strchr(one, '=');
        *value++ = 0;
        assert_int_equal(field_from_text(type->settings, one, value, settings, &world->arena, NULL), 0);
    }
    struct buf buf;
    buf_init(&buf, 65536);
    field_to_cbor(type->settings, settings, &buf);
    void *bytes = arena_alloc(&world->arena, buf.size);
    memcpy(bytes, buf.data, buf.size);
    struct field_bytes result = {.data = bytes, .size = buf.size};
    buf_done(&buf);
    return result;
}

/* The checks' agents are in a strict sandbox: a system call that is not on its list would end the worker. Every measure
 * type as it comes, and agent to server in all its ways, to a port where somebody listens and to one where nobody does.
 * */
static void every_type_measures_in_the_sandbox(void **state)
{
    struct world *world = *state;
    static const char *const ways[] = {"protocol=icmp mtuMeasurements=true", "probeMode=sack", "probeMode=syn",
                                       "port=9 probeMode=auto", "pathTraceMode=in-session",
                                       "protocol=icmp bandwidthMeasurements=true", "pingPayloadSize=1000 dscpId=46"};
    struct message_test tests[40];
    size_t count = 0;
    char port[40];
    NEEDS_RAW_SOCKETS();
    (void)snprintf(port, sizeof port, "port=%s", strrchr(fake_server_url(world->server), ':') + 1);
    for (size_t i = 0; measure_types[i]; i++) {
        tests[count++] = (struct message_test){.type = measure_types[i]->name,
                                               .settings = variant_of(world, measure_types[i], "")};
        bool is_ours = str_equal(measure_types[i]->name, "agent-to-server");
        for (size_t j = 0; is_ours && j < sizeof ways / sizeof ways[0]; j++) {
            char options[200];
            bool has_port = strstr(ways[j], "icmp") || strstr(ways[j], "port=");
            (void)snprintf(options, sizeof options, "%s %s", ways[j], has_port ? "" : port);
            tests[count++] = (struct message_test){.type = measure_types[i]->name,
                                                   .settings = variant_of(world, measure_types[i], options)};
        }
    }
    for (size_t i = 0; i < count; i++) {
        tests[i].test_id = i + 1;
        tests[i].version = 1;
        tests[i].interval_s = 30;
    }
    set_plan(world, tests, count, NULL, 0);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, count));
    const char *log = read_text(world, world->log);
    assert_null(strstr(log, "the worker was ended"));
    assert_null(strstr(log, "is not run"));
    assert_int_equal(stop_agent(world), 0);
}

static void reset_makes_a_new_agent(void **state)
{
    struct world *world = *state;
    char command[400];
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    (void)snprintf(command, sizeof command, "%s reset --state-dir %s >/dev/null 2>&1", program, world->state);
    assert_int_not_equal(system(command), 0); /* while it runs */
    fake_server_down(world->server);
    wait_spooled(world, 1);
    assert_int_equal(stop_agent(world), 0);
    assert_int_not_equal(system(command), 0); /* with rounds that would be lost */
    (void)snprintf(command, sizeof command, "%s reset --yes --state-dir %s >/dev/null", program, world->state);
    assert_int_equal(system(command), 0);
    fake_server_up(world->server);
    size_t reports = fake_server_counts(world->server).reports;
    start_agent(world);
    assert_true(fake_server_wait_reports(world->server, reports + 1));
    assert_int_equal(fake_server_counts(world->server).registrations, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_tells_how_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_costs_no_round, setup, teardown),
        cmocka_unit_test_setup_teardown(random_kills_lose_and_double_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_parent_is_succeeded, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_server_will_do, setup, teardown),
        cmocka_unit_test_setup_teardown(another_program_takes_over, setup, teardown),
        cmocka_unit_test_setup_teardown(the_earlier_of_two_processes_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_a_day_off_spoils_no_round, setup, teardown),
        cmocka_unit_test_setup_teardown(local_problems_are_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(every_type_measures_in_the_sandbox, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_makes_a_new_agent, setup, teardown),
    };
    if (argc < 2)
        return 2;
    program = argv[1];
    (void)setenv("no_proxy", "*", 1);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* the workers of killed agents are ours to wait for */
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests_name("agent_life", tests, NULL, NULL);
}
