/*
 * oculi ping, trace and mtr over the simulated internet, held against its truth; fping, mtr and traceroute beside them
 * in the same run. Arguments: oculi, oculi-lab, the folder of these checks' scenarios, that of those that are shipped.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "harness.h"
#include "truth.h"

#define LINES_MAX 16
#define MEDIAN_US 50.0 /* how far round-trip times may be off the truth at the median */

static const char *oculi, *lab, *scenarios, *shipped;
static char folder[64];

/* What one command printed: JSON, one object on a line. */
struct scene {
    json_t *truth;
    json_t *lines[LINES_MAX];
    size_t count;
    int status;
};

static void load(const char *name, struct buf *text)
{
    char path[128];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(text, 512u << 20);
    if (file_read(path, text, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
}

/* Runs `oculi COMMAND` and then, for comparison, another tool, whose output is shown. */
static struct scene play(const char *scenario, const char *command, const char *beside)
{
    struct scene scene = {0};
    struct buf text;
    char script[2000], truth[96], path[256], prefix[32];
    snprintf(prefix, sizeof prefix, "oc-tools-%d", (int)getpid());
    snprintf(script, sizeof script,
             "cd %s && rm -f *; %s %s > out.json; echo $? > status; (%s) > beside.txt 2>&1; true", folder, oculi,
             command, beside ? beside : "true");
    snprintf(truth, sizeof truth, "%s/truth.json", folder);
    snprintf(path, sizeof path, "%s/%s", strchr(scenario, '/') ? shipped : scenarios,
             strchr(scenario, '/') ? strchr(scenario, '/') + 1 : scenario);
    struct harness_output output = harness_run(
        (const char *const[]){lab, "run", path, "--prefix", prefix, "--truth", truth, "--", "sh", "-c", script, NULL},
        120, 0);
    if (output.status != 0)
        fail_msg("%s: status %d: %s", scenario, output.status, output.err);
    harness_free(&output);
    load("truth.json", &text);
    scene.truth = harness_json(buf_str(&text));
    buf_done(&text);
    load("status", &text);
    scene.status = atoi(buf_str(&text));
    buf_done(&text);
    load("out.json", &text);
    for (char *rest = (char *)text.data, *line; (line = strsep(&rest, "\n")) && *line && scene.count < LINES_MAX;)
        scene.lines[scene.count++] = harness_json(line);
    buf_done(&text);
    load("beside.txt", &text);
    for (char *rest = (char *)text.data, *line; rest && (line = strsep(&rest, "\n")) && *line;)
        print_message("# %s\n", line);
    buf_done(&text);
    return scene;
}

static void clear(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++)
        json_decref(scene->lines[i]);
    json_decref(scene->truth);
}

static json_t *line_of(const struct scene *scene, const char *server)
{
    for (size_t i = 0; i < scene->count; i++) {
        if (str_equal(harness_string(scene->lines[i], "server"), server))
            return scene->lines[i];
    }
    fail_msg("nothing was printed of %s", server);
    return NULL;
}

/* --- ping --------------------------------------------------------------------------------------------------------- */

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void expect_count(json_t *line, const char *name, int expected)
{
    int got = (int)harness_number(line, name);
    if (got != expected)
        fail_msg("%s: %s is %d, in truth %d", harness_string(line, "server"), name, got, expected);
}

/* Every probe as it was in truth. */
static void check_ping(const struct scene *scene, const char *server)
{
    struct truth_stream stream = truth_stream(scene->truth, server, 0);
    json_t *line = line_of(scene, server), *rtts = harness_at(line, "rttsUs");
    double errors[1024];
    size_t answered = 0;
    expect_count(line, "sent", stream.sent);
    expect_count(line, "received", stream.received);
    expect_count(line, "duplicates", stream.duplicates);
    expect_count(line, "reordered", stream.reordered);
    expect_count(line, "icmpErrors", stream.errors);
    assert_int_equal(json_array_size(rtts), stream.count);
    for (size_t i = 0; i < stream.count && i < 1024; i++) {
        double own = json_number_value(json_array_get(rtts, i)), truth = stream.rtts_us[i];
        if ((own < 0) != (truth < 0))
            fail_msg("%s: probe %zu took %.0f us, in truth %.0f us", server, i, own, truth);
        if (own >= 0)
            errors[answered++] = fabs(own - truth);
    }
    qsort(errors, answered, sizeof *errors, compare_f64);
    double off = answered ? errors[answered / 2] : 0, late_us = harness_number(scene->truth, "machine.lateP50Ns") / 1e3;
    print_message("# %s: loss %.1f %%, at the median %.1f us off the truth (the simulator was %.1f us late)\n", server,
                  harness_number(line, "loss"), off, late_us);
    if (off > MEDIAN_US + late_us)
        fail_msg("%s: at the median %.1f us off the truth", server, off);
    truth_stream_free(&stream);
}

static void ping_one_host(void **state)
{
    (void)state;
    struct scene scene = play("chain.lab", "ping -j -c 60 -i 0.015 198.18.10.10 2001:db8:a::10",
                              "fping -q -c 50 -p 20 -t 1000 198.18.10.10");
    assert_int_equal(scene.status, 0);
    check_ping(&scene, "198.18.10.10");
    check_ping(&scene, "2001:db8:a::10");
    clear(&scene);
}

/* What fping is for: several hosts at once, each with its own fate. */
static void ping_many_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {"198.18.10.10", "198.18.10.11", "198.18.10.12", "198.18.10.13", "198.18.10.14",
                                        "2001:db8:a::10", "2001:db8:a::12", "2001:db8:a::14"};
    struct scene scene = play("loss.lab",
                              "ping -j -c 100 -i 0.02 198.18.10.10 198.18.10.11 198.18.10.12 198.18.10.13 198.18.10.14 "
                              "2001:db8:a::10 2001:db8:a::12 2001:db8:a::14",
                              "fping -q -c 50 -p 20 -t 1000 198.18.10.10 198.18.10.11 198.18.10.14");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        check_ping(&scene, hosts[i]);
    assert_true(harness_number(line_of(&scene, "198.18.10.10"), "loss") > 10);
    assert_true(harness_number(line_of(&scene, "198.18.10.12"), "duplicates") > 10);
    clear(&scene);
}

static void ping_adapts(void **state)
{
    (void)state;
    struct scene scene = play("chain.lab", "ping -j -A -c 100 -s 1000 198.18.10.10", NULL);
    check_ping(&scene, "198.18.10.10");
    clear(&scene);
}

/* A stream of several rounds of the engine is one flow at one rate: the truth sees one stream. */
static void ping_for_long(void **state)
{
    (void)state;
    struct scene scene = play("loss.lab", "ping -j -c 2500 -i 0.003 198.18.10.11", NULL);
    check_ping(&scene, "198.18.10.11");
    expect_count(line_of(&scene, "198.18.10.11"), "sent", 2500);
    clear(&scene);
    /* The last round is over before the late answers of the one before it come. */
    scene = play("loss.lab", "ping -j -c 1003 -i 0.003 198.18.10.13 2001:db8:a::13", NULL);
    check_ping(&scene, "198.18.10.13");
    check_ping(&scene, "2001:db8:a::13");
    clear(&scene);
}

static void ping_is_told_why(void **state)
{
    (void)state;
    struct scene scene = play("ends.lab",
                              "ping -j -c 5 -i 0.05 198.18.10.10 198.18.10.11 198.18.10.12 198.18.10.13", NULL);
    static const char *const icmp[] = {"3-1", "3-13", NULL, "11-0"};
    assert_int_equal(scene.status, 1);
    for (size_t i = 0; i < 4; i++) {
        char server[32];
        snprintf(server, sizeof server, "198.18.10.1%zu", i);
        check_ping(&scene, server);
        const char *said = json_string_value(harness_at(line_of(&scene, server), "icmp"));
        assert_true(str_equal(said, icmp[i]));
    }
    clear(&scene);
}

/* Each host by the mode it permits, and none slower than it is. */
static void ping_by_tcp(void **state)
{
    (void)state;
    static const struct {
        const char *server, *mode;
        int resets;
    } cases[] = {{"linux", "sack", 0}, {"nosack", "syn", 0}, {"closed", "syn", 20}};
    struct scene scene = play("x/tcp.lab", "ping -j -4 -T443 -c 20 -i 0.05 linux nosack closed mute", NULL);
    assert_int_equal(scene.status, 1);
    for (size_t i = 0; i < 3; i++) {
        json_t *line = line_of(&scene, cases[i].server);
        assert_string_equal(harness_string(line, "probeMode"), cases[i].mode);
        expect_count(line, "sent", 20);
        expect_count(line, "received", 20);
        expect_count(line, "resets", cases[i].resets);
        if (fabs(harness_number(line, "medianLatency") - 30) > MEDIAN_US / 1e3)
            fail_msg("%s: median %.3f ms, not 30", cases[i].server, harness_number(line, "medianLatency"));
    }
    assert_true(harness_number(line_of(&scene, "mute"), "loss") == 100);
    clear(&scene);
    scene = play("x/tcp.lab", "ping -j -4 -T443 --mode sack -c 5 -i 0.05 nosack", NULL);
    assert_true(strstr(harness_string(scene.lines[0], "errorDetails"), "doesn't support SACK") != NULL);
    assert_int_equal(scene.status, 1);
    clear(&scene);
}

/* --- trace -------------------------------------------------------------------------------------------------------- */

static size_t check_trace(const struct scene *scene, const char *server, enum truth_silence silence)
{
    json_t *wrapped = json_pack("{s:O}", "pathVis", line_of(scene, server));
    size_t seen = truth_check_paths(wrapped, scene->truth, server, silence);
    json_decref(wrapped);
    return seen;
}

static void trace_finds_the_paths(void **state)
{
    (void)state;
    struct scene scene = play("ecmp.lab", "trace -j -n -f 10 198.18.10.10 2001:db8:a::10",
                              "traceroute -I -n -q 3 198.18.10.10");
    static const char *const hosts[] = {"198.18.10.10", "2001:db8:a::10"};
    assert_int_equal(scene.status, 0);
    for (size_t i = 0; i < 2; i++) {
        size_t seen = check_trace(&scene, hosts[i], TRUTH_ALL_ANSWER);
        print_message("# %s: %zu of 6 paths seen with 10 traces\n", hosts[i], seen);
        assert_true(seen >= 2);
    }
    clear(&scene);
}

static void trace_by_udp(void **state)
{
    (void)state;
    struct scene scene = play("ecmp.lab", "trace -j -n -U -f 5 198.18.10.10", "traceroute -n -q 3 198.18.10.10");
    assert_int_equal(scene.status, 0);
    check_trace(&scene, "198.18.10.10", TRUTH_ALL_ANSWER);
    clear(&scene);
}

static void trace_names_the_hops(void **state)
{
    (void)state;
    struct scene scene = play("x/mpls-explicit.lab", "trace -j app.example.net", NULL);
    json_t *hops = harness_at(scene.lines[0], "pathTraces[0].hops");
    bool has_labels = false;
    assert_int_equal(scene.status, 0);
    for (size_t i = 0; i < json_array_size(hops); i++) {
        json_t *hop = json_array_get(hops, i);
        const char *name = json_string_value(json_object_get(hop, "rdns"));
        if (!name)
            fail_msg("hop %zu has no name", i + 1);
        has_labels |= json_is_string(json_object_get(hop, "mpls"));
    }
    assert_true(has_labels);
    clear(&scene);
}

static void trace_tells_how_it_ends(void **state)
{
    (void)state;
    struct scene scene = play("ends.lab",
                              "trace -j -n 198.18.10.10 198.18.10.11 198.18.10.12 198.18.10.13 198.18.10.14",
                              NULL);
    static const char *const ends[] = {"unreachable", "prohibited", "silent", "loop", "reached"};
    assert_int_equal(scene.status, 1);
    assert_int_equal(scene.count, 5);
    for (size_t i = 0; i < 5; i++) {
        char server[32];
        snprintf(server, sizeof server, "198.18.10.1%zu", i);
        assert_string_equal(harness_string(scene.lines[i], "server"), server); /* in the order they were given */
        assert_string_equal(harness_string(scene.lines[i], "pathTraces[1].oculi.end"), ends[i]);
        check_trace(&scene, server, TRUTH_ALL_ANSWER);
    }
    clear(&scene);
}

/* Every path the truth knows, each with its own figures. */
static void paths_are_all_found(void **state)
{
    (void)state;
    static const char *const protocols[] = {"", "-T", "-U"};
    for (size_t i = 0; i < 3; i++) {
        char line[100];
        snprintf(line, sizeof line, "paths -j -n %s -c 99.9 198.18.10.10", protocols[i]);
        struct scene scene = play("ecmp.lab", line, NULL);
        json_t *paths = harness_at(scene.lines[0], "paths");
        assert_int_equal(scene.status, 0);
        assert_true(json_is_true(json_object_get(scene.lines[0], "complete")));
        assert_int_equal(harness_number(scene.lines[0], "interfaceCount"), 9);
        assert_int_equal(json_array_size(paths), 6);
        for (size_t p = 0; p < 6; p++) {
            assert_true(harness_number(json_array_get(paths, p), "loss") == 0);
            assert_true(fabs(harness_number(json_array_get(paths, p), "minLatency") - 12) < 0.3);
        }
        print_message("# %s: 9 interfaces with %d probes\n", line, (int)harness_number(scene.lines[0], "sent"));
        clear(&scene);
    }
}

/* --- mtr ---------------------------------------------------------------------------------------------------------- */

static json_t *row_of(const struct scene *scene, const char *address)
{
    json_t *rows = harness_at(scene->lines[0], "hops");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (str_equal(json_string_value(json_object_get(row, "ipAddress")), address))
            return row;
    }
    fail_msg("mtr did not see %s", address);
    return NULL;
}

/* Who answers some probes only loses nothing, and what it does answer takes as long as it takes. */
static void mtr_knows_limited_replies(void **state)
{
    (void)state;
    struct scene scene = play("x/ratelimit.lab", "mtr -j -n -4 -c 20 -i 0.2 app.example.net",
                              "mtr -4 -n -r -c 20 -i 0.2 app.example.net");
    json_t *second = row_of(&scene, "198.51.100.2"), *target = row_of(&scene, "198.18.10.10");
    assert_int_equal(scene.status, 0);
    assert_true(json_is_true(json_object_get(second, "repliesLimited")));
    assert_true(harness_number(second, "loss") == 0 && harness_number(second, "unanswered") > 30);
    assert_true(fabs(harness_number(second, "minLatency") - 6) < 0.3);
    assert_true(harness_number(target, "loss") == 0 && json_is_true(json_object_get(target, "isTarget")));
    assert_int_equal(harness_number(target, "sent"), 60); /* no more than one of each flow and round */
    assert_true(fabs(harness_number(target, "minLatency") - 20) < 0.3);
    clear(&scene);
}

static void mtr_knows_loss(void **state)
{
    (void)state;
    struct scene scene = play("x/loss-forward.lab", "mtr -j -n -4 -f 10 -c 25 -i 0.2 app.example.net",
                              "mtr -4 -n -r -c 25 -i 0.2 app.example.net");
    for (int hop = 1; hop <= 4; hop++) {
        static const char *const addresses[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.18.10.10"};
        json_t *row = row_of(&scene, addresses[hop - 1]);
        double loss = harness_number(row, "loss");
        print_message("# hop %d: loss %.1f %% of %d\n", hop, loss, (int)harness_number(row, "sent"));
        assert_int_equal(harness_number(row, "hop"), hop);
        if (hop <= 2)
            assert_true(loss == 0);
        else /* 10 % in truth: 250 probes are within 4 sigma */
            assert_true(loss > 2.4 && loss < 17.6);
    }
    clear(&scene);
}

static void mtr_keeps_flows_apart(void **state)
{
    (void)state;
    struct scene scene = play("ecmp.lab", "mtr -j -n -f 8 -c 10 -i 0.1 -w 0.3 198.18.10.10",
                              "mtr -n -r -c 10 -i 0.1 198.18.10.10");
    json_t *rows = harness_at(scene.lines[0], "hops");
    int sent[16] = {0};
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        int hop = (int)harness_number(row, "hop");
        assert_in_range(hop, 1, 6);
        sent[hop] += (int)harness_number(row, "sent");
        assert_int_equal(harness_number(row, "received"), harness_number(row, "sent"));
        assert_int_equal((int)harness_number(row, "sent") % 10, 0); /* a flow never changes its path */
        assert_true(fabs(harness_number(row, "minLatency") - 2 * hop) < 0.3);
    }
    for (int hop = 1; hop <= 6; hop++)
        assert_int_equal(sent[hop], 80);
    assert_true(json_array_size(rows) > 6);
    clear(&scene);
}

/* mtr says of each hop what trace says. */
static size_t compare_tunnels(const char *scenario)
{
    struct scene traced = play(scenario, "trace -j -n -4 -f 1 --tunnels app.example.net", NULL);
    struct scene watched = play(scenario, "mtr -j -n -4 -f 1 -c 2 -i 0.2 --tunnels app.example.net", NULL);
    json_t *routes = json_object_get(traced.lines[0], "pathTraces"), *row, *hop;
    json_t *hops = json_object_get(json_array_get(routes, 0), "hops"), *rows = json_object_get(watched.lines[0], "hops");
    size_t i, k, told = 0;
    json_array_foreach(rows, i, row) {
        json_array_foreach(hops, k, hop) {
            const char *tunnel = json_string_value(json_object_get(json_object_get(hop, "oculi"), "tunnel"));
            if (json_integer_value(json_object_get(hop, "hop")) != json_integer_value(json_object_get(row, "hop")))
                continue;
            assert_true(str_equal(tunnel, json_string_value(json_object_get(row, "tunnel"))));
            told += tunnel != NULL;
        }
    }
    clear(&traced);
    clear(&watched);
    return told;
}

static void mtr_shows_tunnels(void **state)
{
    (void)state;
    assert_int_equal(compare_tunnels("x/mpls-invisible.lab"), 0);
    assert_true(compare_tunnels("x/mpls-implicit.lab") > 0);
    assert_true(compare_tunnels("x/mpls-opaque.lab") > 0);
}

/* In sessions the probes are data; every round opens its own, from the same ports. */
static void mtr_probes_in_sessions(void **state)
{
    (void)state;
    struct scene scene = play("x/tcp.lab", "mtr -j -n -4 -T443 --in-session -f 2 -c 5 -i 0.2 linux", NULL);
    json_t *rows = json_object_get(scene.lines[0], "hops"), *last = json_array_get(rows, json_array_size(rows) - 1);
    assert_true(json_is_true(json_object_get(last, "isTarget")));
    expect_count(last, "received", 10);
    expect_count(last, "sent", 10);
    clear(&scene);
    scene = play("x/tcp.lab", "mtr -j -n -4 --in-session -c 1 linux", NULL);
    assert_int_equal(scene.status, 2);
    clear(&scene);
}

static void mtr_shows_silent_hops(void **state)
{
    (void)state;
    struct scene scene = play("x/silent-middle.lab", "mtr -j -n -4 -c 5 -i 0.2 -w 0.3 app.example.net", NULL);
    json_t *silent = harness_at(scene.lines[0], "hops[1]");
    assert_null(json_object_get(silent, "ipAddress"));
    assert_int_equal(harness_number(silent, "sent"), 15);
    assert_true(harness_number(row_of(&scene, "198.18.10.10"), "loss") == 0);
    clear(&scene);
    scene = play("ends.lab", "mtr -j -n -c 3 -i 0.2 -w 0.3 198.18.10.11", NULL);
    assert_int_equal(scene.status, 1);
    assert_true(json_is_false(json_object_get(scene.lines[0], "reached")));
    assert_int_equal(harness_number(row_of(&scene, "198.51.100.3"), "hop"), 3);
    clear(&scene);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping_one_host),         cmocka_unit_test(ping_many_hosts),
        cmocka_unit_test(ping_for_long),
        cmocka_unit_test(ping_adapts),           cmocka_unit_test(ping_is_told_why),
        cmocka_unit_test(ping_by_tcp),
        cmocka_unit_test(trace_finds_the_paths), cmocka_unit_test(trace_by_udp),
        cmocka_unit_test(trace_names_the_hops),  cmocka_unit_test(trace_tells_how_it_ends),
        cmocka_unit_test(paths_are_all_found),   cmocka_unit_test(mtr_knows_limited_replies),
        cmocka_unit_test(mtr_knows_loss),
        cmocka_unit_test(mtr_keeps_flows_apart), cmocka_unit_test(mtr_shows_silent_hops),
        cmocka_unit_test(mtr_shows_tunnels),     cmocka_unit_test(mtr_probes_in_sessions),
    };
    const char *obstacle = harness_obstacle();
    if (obstacle || argc < 5)
        return harness_skip(obstacle ? obstacle : "the programs to check were not named");
    /* The commands run in another folder. */
    const char **const names[] = {&oculi, &lab, &scenarios, &shipped};
    for (int i = 0; i < 4; i++) {
        *names[i] = realpath(argv[i + 1], NULL);
        if (!*names[i])
            return harness_skip("what is to be checked was not found");
    }
    strcpy(folder, "/tmp/oculi-tools-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
