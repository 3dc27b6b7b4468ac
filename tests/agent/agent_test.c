/*
 * The real oculi-agent, as a process, against a server that misbehaves. Its target is loopback over ICMP. No check
 * waits for time to pass: each waits for what it wants to see.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sealed.h"
#include "agent/spool.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "measure/part.h"
#include "measure/type.h"
#include "world.h"

/* --- checks ------------------------------------------------------------------------------------------------------- */

static void it_registers_measures_and_uploads(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 2, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 6));
    struct fake_counts counts = fake_server_counts(world->server);
    assert_int_equal(counts.registrations, 1);
    assert_string_equal(counts.agent_name, "Check");
    assert_string_equal(counts.version, OCULI_VERSION);
    assert_string_equal(counts.types, "agent-to-server");
    assert_string_equal(counts.country, "NL");
    assert_true(counts.latitude > 52.36 && counts.latitude < 52.38);
    assert_true(counts.has_offset);
    assert_int_equal(counts.malformed, 0);
    const struct fake_round *rounds;
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rounds[i].test_version, 7);
        assert_string_equal(rounds[i].parts, "network pathVis");
        assert_true(rounds[i].start_ns / 1000000000 >= rounds[i].round_id);
        assert_true(rounds[i].end_ns > rounds[i].start_ns);
    }
    wait_text(world, status_path(world), "state: connected\n");
    wait_text(world, status_path(world), "tests: 2\n");
    wait_text(world, status_path(world), "clock-offset: 19"); /* 19.99...: the server's clock is 20 s ahead */
    char command[300];
    (void)snprintf(command, sizeof command, "%s status --state-dir %s | grep -q '^running: true$'", program,
                   world->state);
    assert_int_equal(system(command), 0);
    assert_int_equal(stop_agent(world), 0);
    struct stat st;
    (void)snprintf(command, sizeof command, "%s/identity", world->state);
    assert_int_equal(stat(command, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_null(strstr(read_text(world, world->log), "s3cret")); /* secrets are never logged */
    assert_null(strstr(read_text(world, world->log), FAKE_TOKEN));
}

static bool keep_partial(void *user, const struct record *record)
{
    struct world *world = user;
    struct message_round round;
    struct measure_network network;
    assert_int_equal(field_from_cbor(&message_round_table, record->bytes, record->size, &round, &world->arena, NULL), 0);
    const struct message_part *part = round.parts.items;
    assert_int_equal(
        field_from_cbor(&measure_network_table, part->record.data, part->record.size, &network, &world->arena, NULL), 0);
    assert_true(network.oculi.is_partial);
    assert_in_range(network.oculi.sent, 1, 50);
    assert_int_equal(network.oculi.received, network.oculi.sent);
    int64_t sum = 0;
    for (size_t i = 0; i < network.packets_by_second.count; i++) {
        const struct field_list *row = (const struct field_list *)network.packets_by_second.items + i;
        sum += row->count ? *(const int64_t *)row->items : 0;
    }
    assert_int_equal(network.packets_by_second.count, 60);
    assert_int_equal(sum, network.oculi.sent);
    return true;
}

/* A minute that is broken off is kept as far as it went: when its test leaves the plan, and when the agent stops. */
static void a_broken_minute_is_kept(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_continuous(world, 120); /* which no server hands out */
    start_agent(world);
    wait_text(world, world->log, "must be 60 in continuous mode");
    set_continuous(world, 60);
    wait_text(world, status_path(world), "running-rounds: 1\n");
    set_plan(world, NULL, 0, NULL, 0);
    assert_true(fake_server_wait_rounds(world->server, 1));
    const struct fake_round *rounds;
    assert_int_equal(fake_server_rounds(world->server, &rounds), 1);
    assert_true(rounds[0].end_ns - rounds[0].start_ns < 59 * INT64_C(1000000000));
    wait_text(world, status_path(world), "running-rounds: 0\n");
    /* The slot has been used up: the test runs again in the next one, or here after a fresh start of the agent. */
    assert_int_equal(stop_agent(world), 0);
    remove_tree(world->state);
    set_continuous(world, 60);
    start_agent(world);
    wait_text(world, status_path(world), "running-rounds: 1\n");
    fake_server_down(world->server);
    assert_int_equal(stop_agent(world), 0);
    char path[160];
    struct spool *spool;
    struct spool_options options = {0};
    struct spool_mark mark;
    (void)snprintf(path, sizeof path, "%s/spool", world->state);
    assert_int_equal(spool_open(path, &options, &spool, NULL), 0);
    assert_int_equal(spool_read(spool, keep_partial, world, &mark), 1);
    spool_close(spool);
}

static void no_trouble_of_the_server_costs_a_round(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    const int troubles[][2] = {{500, FAKE_DROP_EARLY}, {429, FAKE_DROP_LATE}, {FAKE_SHORT, 503}};
    set_tests(world, 4, 4);
    start_agent(world);
    for (size_t i = 0; i < 3; i++) { /* a success in between, or the delays grow */
        const struct fake_round *rounds;
        fake_server_trouble(world->server, troubles[i][0]);
        fake_server_trouble(world->server, troubles[i][1]);
        assert_true(fake_server_wait_troubles(world->server, 2 * i + 2));
        assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 4));
    }
    struct fake_counts counts = fake_server_counts(world->server);
    assert_int_equal(counts.troubles, 6);
    assert_true(counts.duplicates > 0); /* the batch whose receipt was lost came again */
    for (uint64_t test = 1; test <= 4; test++)
        assert_true(check_contiguous(world, test, 4) >= 3);
}

static void batches_shrink_until_the_server_takes_them(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 5, 4);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    fake_server_down(world->server);
    wait_spooled(world, 9);
    fake_server_ceiling(world->server, 2);
    fake_server_up(world->server);
    assert_true(fake_server_wait_rounds(world->server, 12));
    for (uint64_t test = 1; test <= 5; test++)
        (void)check_contiguous(world, test, 4);
    assert_int_equal(fake_server_counts(world->server).malformed, 0);
}

/* The server away, the agent killed twice, once in the moment between a commit and its receipt: what was in the spool
 * arrives, nothing twice, no slot is missing. */
static void kill_9_loses_and_doubles_nothing(void **state)
{
    struct world *world = *state;
    const int64_t interval = 5;
    struct kept first, second;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, (int32_t)interval);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 2));

    size_t troubles = fake_server_counts(world->server).troubles;
    fake_server_trouble(world->server, FAKE_DROP_LATE);
    fake_server_trouble(world->server, 503); /* libcurl itself tries again at once when a connection it had kept breaks */
    assert_true(fake_server_wait_troubles(world->server, troubles + 1)); /* an upload under way may still be spared */
    kill_agent(world);
    read_spool(world, &first);
    assert_true(first.count >= 1); /* committed there, and not known to be here */
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 4));
    assert_true(fake_server_counts(world->server).duplicates >= 1);
    assert_int_equal(fake_server_counts(world->server).repeated, 0);

    fake_server_down(world->server);
    wait_spooled(world, 2);
    kill_agent(world);
    read_spool(world, &second);
    assert_true(second.count >= 2);
    start_agent(world); /* the server is still away: the plan comes from the disk */
    wait_spooled(world, 2);
    fake_server_up(world->server);
    size_t before = 4 + second.count;
    assert_true(fake_server_wait_rounds(world->server, before + 3));
    assert_int_equal(fake_server_counts(world->server).registrations, 1);
    assert_int_equal(fake_server_counts(world->server).repeated, 0); /* and no slot was measured twice */

    const struct fake_round *rounds;
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < second.count; i++) {
        size_t found = 0;
        for (size_t j = 0; j < count; j++)
            found += rounds[j].round_id == second.ids[i];
        assert_int_equal(found, 1);
    }
    assert_true(check_contiguous(world, 1, interval) >= before + 3);
}

static void a_dead_worker_is_replaced(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, 4);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 2));
    pid_t worker = worker_of(world);
    assert_true(worker > 1);
    assert_int_equal(kill(worker, SIGKILL), 0);
    wait_text(world, world->log, "another worker starts");
    const struct fake_round *rounds;
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 2));
    assert_int_equal(fake_server_counts(world->server).registrations, 1);
    assert_int_equal(fake_server_counts(world->server).repeated, 0);
    assert_int_equal(stop_agent(world), 0);
}

/* Neither process of a running agent holds any capability. */
static void nobody_keeps_a_privilege(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, 4);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    const pid_t pids[] = {world->pid, worker_of(world)};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pids[i]);
        const char *text = read_text(world, path);
        assert_non_null(strstr(text, "CapPrm:\t0000000000000000\n"));
        assert_non_null(strstr(text, "CapEff:\t0000000000000000\n"));
        assert_non_null(strstr(text, "CapBnd:\t0000000000000000\n"));
        assert_non_null(strstr(text, "NoNewPrivs:\t1\n"));
    }
}

static void a_deleted_agent_stops_measuring(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    set_tests(world, 1, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    fake_server_refuse(world->server, true);
    wait_text(world, status_path(world), "state: refused\n");
    wait_text(world, world->log, "To register as a new agent, stop this one and remove");
    wait_text(world, status_path(world), "running-rounds: 0\n");
    struct stat st;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/identity", world->state);
    assert_int_equal(stat(path, &st), 0); /* it does not register by itself */
    assert_int_equal(fake_server_counts(world->server).registrations, 1);
    assert_int_equal(stop_agent(world), 0);
}

static void a_run_is_run_once_and_the_unknown_is_told_once(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    struct message_test tests[] = {
        {.test_id = 1,
         .version = 1,
         .type = "agent-to-server",
         .interval_s = 3,
         .settings = settings_of(world, "127.0.0.1")},
        {.test_id = 2, .version = 1, .type = "smell", .interval_s = 3, .settings = settings_of(world, "127.0.0.1")},
        {.test_id = 3,
         .version = 1,
         .type = "agent-to-server",
         .interval_s = 3,
         .settings = {.data = "\xff", .size = 1}},
    };
    struct message_run runs[] = {{.run_id = 900,
                                  .test_id = 1,
                                  .version = 1,
                                  .type = "agent-to-server",
                                  .settings = settings_of(world, "127.0.0.1"),
                                  .requested_s = 1790000001}};
    set_plan(world, tests, 3, runs, 1);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 3));
    kill_agent(world);
    start_agent(world);
    set_plan(world, tests, 3, runs, 1); /* a new version: everything is looked at again */
    const struct fake_round *rounds;
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 3));
    size_t count = fake_server_rounds(world->server, &rounds), found = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rounds[i].test_id, 1);
        if (rounds[i].run_id) {
            assert_int_equal(rounds[i].run_id, 900);
            assert_int_equal(rounds[i].round_id, 1790000001);
            found++;
        }
    }
    assert_int_equal(found, 1);
    assert_int_equal(fake_server_counts(world->server).repeated, 0);
    const char *log = read_text(world, world->log);
    assert_int_equal(count_text(log, "test 2 is not run: type: this agent"), 2); /* once in each process */
    assert_int_equal(count_text(log, "test 3 is not run"), 2);
    wait_text(world, status_path(world), "unsupported-tests: 2\n");
}

/* What stops an agent is said in one line, and the exit status tells that trying again is useless. */
static void expect_failure(struct world *world, const char *text)
{
    int status = reap(world);
    const char *log = read_text(world, world->log);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 2 || !strstr(log, text))
        fail_msg("status %x, expected \"%s\" in: %s", (unsigned)status, text, log);
    (void)unlink(world->log);
}

static void what_stops_it_is_said(void **state)
{
    struct world *world = *state;
    char path[128];
    NEEDS_RAW_SOCKETS();
    assert_int_equal(mkdir(world->state, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/identity", world->state);
    assert_int_equal(file_write(path, "rubbish", 7, 0600, NULL), 0);
    start_agent(world);
    expect_failure(world, "identity: the agent's identity is damaged: restore the file, or remove it");
    assert_int_equal(unlink(path), 0);

    int lock;
    assert_int_equal(sealed_lock(world->state, 0, &lock, NULL), 0);
    start_agent(world);
    expect_failure(world, "another oculi-agent uses this state directory");
    (void)close(lock);

    assert_int_equal(chmod(world->state, 0500), 0);
    assert_int_equal(chown(world->state, 65534, 65534), geteuid() == 0 ? 0 : -1);
    start_agent(world);
    expect_failure(world, "the state directory cannot be written by user");
    assert_int_equal(fake_server_counts(world->server).registrations, 0);
}

static void a_wrong_token_is_final(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    char command[600];
    (void)snprintf(
        command, sizeof command,
        "%s --server %s --token wrong --state-dir %s 2>%s; test $? = 2 && grep -q 'does not know the account "
        "group token (HTTP 401: as the check wants it)' %s",
        program, fake_server_url(world->server), world->state, world->log, world->log);
    assert_int_equal(system(command), 0);
    assert_int_equal(fake_server_counts(world->server).registrations, 0);
}

static void a_server_away_at_the_start_is_waited_for(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    fake_server_down(world->server);
    set_tests(world, 1, 3);
    start_agent(world);
    wait_text(world, world->log, "cannot register yet");
    fake_server_up(world->server);
    assert_true(fake_server_wait_rounds(world->server, 1));
    assert_int_equal(stop_agent(world), 0);
}

/* A ceiling on the size of files stands for a full disk: the kernel refuses in the middle of a round. */
static void a_full_disk_costs_nothing(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    world->file_ceiling = 16000;
    set_tests(world, 6, 4);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    fake_server_down(world->server);
    wait_text(world, world->log, "rounds wait in memory until the disk takes them");
    char *status = status_path(world);
    while (strstr(read_text(world, status), "memory-bytes: 0\n")) {
        arena_reset(&world->arena);
        (void)poll(NULL, 0, STEP_MS);
    }
    fake_server_up(world->server);
    const struct fake_round *rounds;
    assert_true(fake_server_wait_rounds(world->server, fake_server_rounds(world->server, &rounds) + 18));
    for (uint64_t test = 1; test <= 6; test++)
        assert_true(check_contiguous(world, test, 4) >= 3);
    assert_int_equal(fake_server_counts(world->server).repeated, 0);
}

static void only_a_trusted_server_gets_the_token(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    if (!make_certificate(world, "server") || !make_certificate(world, "other")) {
        print_message("# no certificate could be made: openssl is missing\n");
        skip();
    }
    fake_server_free(world->server);
    world->server = fake_server_start(certificate_text(world, "server.pem"), certificate_text(world, "server.key"));
    set_tests(world, 1, 3);
    add_option(world, "--ca-file=%s/other.pem", world->dir);
    start_agent(world);
    wait_text(world, world->log, "cannot register yet: SSL certificate problem");
    assert_int_equal(stop_agent(world), 0);
    assert_int_equal(fake_server_counts(world->server).registrations, 0);
    *world->extra[0] = 0;
    add_option(world, "--ca-file=%s/server.pem", world->dir);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_registers_measures_and_uploads, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_minute_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(no_trouble_of_the_server_costs_a_round, setup, teardown),
        cmocka_unit_test_setup_teardown(batches_shrink_until_the_server_takes_them, setup, teardown),
        cmocka_unit_test_setup_teardown(kill_9_loses_and_doubles_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_worker_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_keeps_a_privilege, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deleted_agent_stops_measuring, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_is_run_once_and_the_unknown_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_stops_it_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_token_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_away_at_the_start_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_trusted_server_gets_the_token, setup, teardown),
    };
    if (argc < 2)
        return 2;
    program = argv[1];
    (void)setenv("no_proxy", "*", 1);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* the workers of killed agents are ours to wait for */
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
