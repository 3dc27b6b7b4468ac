/*
 * Real measurements over the simulated internet, held against its truth; fping and mtr beside them in the same run.
 * Arguments: oculi, oculi-lab, the folder of these checks' scenarios, the folder of those that are shipped.
 * A fifth names the only check to run, by a pattern.
 */
#include <dirent.h>
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

#define TARGETS_MAX 16
#define MEDIAN_US 50.0 /* how far round-trip times may be off the truth at the median */

static const char *oculi, *lab, *scenarios, *shipped;
static char folder[64];

struct scene {
    json_t *truth;
    json_t *results[TARGETS_MAX];
    size_t count;
};

static json_t *load(const char *name)
{
    char path[128];
    struct buf text;
    struct error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&text, 512u << 20);
    if (file_read(path, &text, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
    json_t *json = harness_json(buf_str(&text));
    buf_done(&text);
    return json;
}

/* Measures all targets at once, or one after another, inside one simulated internet; then runs the command `beside`. */
static struct scene play(const char *scenario, const char *const *targets, const char *options, bool is_serial,
                         const char *beside)
{
    struct scene scene = {0};
    struct buf script;
    char truth[96], path[256], name[32], prefix[32];
    snprintf(prefix, sizeof prefix, "oc-check-%d", (int)getpid());
    buf_init(&script, 65536);
    buf_printf(&script, "cd %s && rm -f *.json *.txt\n", folder);
    for (; targets[scene.count]; scene.count++)
        buf_printf(&script, "%s measure agent-to-server --protocol icmp --json --server %s %s > %zu.json%s\n", oculi,
                   targets[scene.count], options, scene.count, is_serial ? " || exit 9" : " &");
    buf_printf(&script, "wait\n%s\ntrue\n", beside ? beside : "");
    snprintf(truth, sizeof truth, "%s/truth.json", folder);
    snprintf(path, sizeof path, "%s/%s", strchr(scenario, '/') ? "" : scenarios, scenario);
    struct harness_output output = harness_run(
        (const char *const[]){lab, "run", path, "--prefix", prefix, "--truth", truth, "--", "sh", "-c",
                              buf_str(&script), NULL},
        120, 0);
    if (output.status != 0)
        fail_msg("%s: status %d: %s", scenario, output.status, output.err);
    buf_done(&script);
    harness_free(&output);
    scene.truth = load("truth.json");
    for (size_t i = 0; i < scene.count; i++) {
        snprintf(name, sizeof name, "%zu.json", i);
        scene.results[i] = load(name);
    }
    return scene;
}

static void clear(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++)
        json_decref(scene->results[i]);
    json_decref(scene->truth);
}

static const char *end_at(const struct scene *scene, size_t target, size_t trace)
{
    char path[64];
    snprintf(path, sizeof path, "pathVis.pathTraces[%zu].oculi.end", trace);
    return harness_string(scene->results[target], path);
}

/* --- other tools beside it ---------------------------------------------------------------------------------------- */

static void print_text(const char *name)
{
    char path[128], *line, *rest;
    struct buf text;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&text, 1 << 20);
    if (file_read(path, &text, NULL) == 0) {
        rest = (char *)text.data;
        while ((line = strsep(&rest, "\n")) && *line)
            print_message("# %s\n", line);
    }
    buf_done(&text);
}

/* The loss fping printed ("xmt/rcv/%loss = 50/35/30%"), or -1. */
static double fping_loss(const char *name)
{
    char path[128];
    struct buf text;
    int sent = 0, received = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&text, 1 << 20);
    if (file_read(path, &text, NULL) == 0) {
        const char *figures = strstr(buf_str(&text), "%loss = ");
        if (figures)
            (void)sscanf(figures + 8, "%d/%d", &sent, &received);
    }
    buf_done(&text);
    return sent ? 100.0 * (sent - received) / sent : -1;
}

static void compare_fping(json_t *truth, const char *target, const char *name)
{
    double loss = fping_loss(name);
    struct truth_stream stream = truth_stream(truth, target, 1);
    double true_loss = 100.0 * (stream.sent - stream.received) / stream.sent;
    print_text(name);
    print_message("# fping to %s: loss %.1f %%, in truth %.1f %% of its %d probes\n", target, loss, true_loss,
                  stream.sent);
    assert_true(fabs(loss - true_loss) <= 2); /* a probe of 50, when the simulator ends before its answer comes */
    truth_stream_free(&stream);
}

/* --- scenarios ---------------------------------------------------------------------------------------------------- */

static void a_chain(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "2001:db8:a::10", NULL};
    struct scene scene = play("chain.lab", targets, "--fixed-packet-rate 50", true,
                              "fping -q -c 50 -p 20 -t 1000 198.18.10.10 2> fping.txt\n"
                              "mtr -n -r -c 5 -i 0.2 198.18.10.10 > mtr.txt");
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        assert_int_equal(truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER), 1);
        assert_string_equal(end_at(&scene, i, 0), "reached");
    }
    compare_fping(scene.truth, targets[0], "fping.txt");
    print_text("mtr.txt");
    clear(&scene);
}

static void losses(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "198.18.10.12", "198.18.10.13", "198.18.10.14",
                                   "2001:db8:a::10", "2001:db8:a::11", "2001:db8:a::12", "2001:db8:a::13",
                                   "2001:db8:a::14", NULL};
    struct scene scene = play("loss.lab", targets, "--fixed-packet-rate 50", false,
                              "fping -q -c 50 -p 20 -t 1000 198.18.10.10 2> fping.txt\n"
                              "mtr -n -r -c 10 -i 0.2 198.18.10.11 > mtr.txt");
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_SOME_ANSWER);
    }
    assert_true(harness_number(scene.results[0], "network.loss") > 5);
    assert_true(harness_number(scene.results[1], "network.loss") > 5);
    assert_true(harness_number(scene.results[2], "network.oculi.duplicates") > 5);
    assert_true(harness_number(scene.results[3], "network.oculi.reordered") > 2);
    assert_true(harness_number(scene.results[4], "network.loss") > 10);
    compare_fping(scene.truth, targets[0], "fping.txt");
    print_text("mtr.txt");
    clear(&scene);
}

static void diamonds(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "2001:db8:a::10", NULL};
    struct scene scene = play("ecmp.lab", targets, "--num-path-traces 10", false,
                              "mtr -n -r -c 5 -i 0.2 198.18.10.10 > mtr.txt");
    for (size_t i = 0; i < scene.count; i++) {
        size_t seen = truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER);
        print_message("# %s: %zu of 6 paths seen with 10 traces\n", targets[i], seen);
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        assert_true(seen >= 2);
    }
    print_text("mtr.txt");
    clear(&scene);
}

static void a_diamond_that_sprays_packets(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.11", "2001:db8:a::11", NULL};
    struct scene scene = play("ecmp.lab", targets, "--num-path-traces 4", false, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER);
    }
    clear(&scene);
}

static void silent_routers(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "198.18.10.12", NULL};
    const char *const twins[] = {"2001:db8:a::10", "2001:db8:a::11", "2001:db8:a::12", NULL};
    for (int family = 0; family < 2; family++) {
        const char *const *list = family ? twins : targets;
        struct scene scene = play("silent.lab", list, "--fixed-packet-rate 50", true, NULL);
        for (size_t i = 0; i < scene.count; i++) {
            truth_check_stream(scene.results[i], scene.truth, list[i], MEDIAN_US);
            json_t *silent = harness_at(scene.results[i], "pathVis.pathTraces[0].oculi.silentHops");
            assert_int_equal(harness_number(json_array_get(silent, 0), "hop"), 2);
            assert_int_equal(harness_number(json_array_get(silent, 1), "hop"), 3);
        }
        truth_check_paths(scene.results[0], scene.truth, list[0], TRUTH_SOME_ANSWER);
        assert_string_equal(end_at(&scene, 0, 0), "reached");
        assert_string_equal(end_at(&scene, 1, 0), "silent");
        assert_string_equal(end_at(&scene, 2, 0), "silent");
        assert_int_equal(harness_number(scene.results[1], "network.loss"), 100);
        assert_int_equal(harness_number(scene.results[2], "network.loss"), 100);
        clear(&scene);
    }
}

static void ends(void **state)
{
    (void)state;
    static const struct {
        const char *target, *twin, *end, *icmp, *icmp6;
    } cases[] = {
        {"198.18.10.10", "2001:db8:a::10", "unreachable", "3-1", "1-3"},
        {"198.18.10.11", "2001:db8:a::11", "prohibited", "3-13", "1-1"},
        {"198.18.10.12", "2001:db8:a::12", "silent", NULL, NULL},
        {"198.18.10.13", "2001:db8:a::13", "loop", "11-0", "3-0"},
        {"198.18.10.14", "2001:db8:a::14", "reached", NULL, NULL},
        {"198.18.99.1", "2001:db8:99::1", "unreachable", "3-0", "1-0"},
    };
    enum { COUNT = sizeof cases / sizeof cases[0] };
    const char *targets[2 * COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) {
        targets[i] = cases[i].target;
        targets[COUNT + i] = cases[i].twin;
    }
    struct scene scene = play("ends.lab", targets, "--fixed-packet-rate 50", false,
                              "mtr -n -r -c 3 -i 0.2 198.18.10.11 > mtr.txt");
    for (size_t i = 0; i < 2 * COUNT; i++) {
        const char *icmp = i < COUNT ? cases[i].icmp : cases[i - COUNT].icmp6;
        json_t *seen = harness_at(scene.results[i], "network.oculi.icmp");
        for (size_t t = 0; t < 3; t++)
            assert_string_equal(end_at(&scene, i, t), cases[i % COUNT].end);
        if (!str_equal(json_string_value(seen), icmp))
            fail_msg("%s: ICMP %s, not %s", targets[i], seen ? json_string_value(seen) : "none", icmp ? icmp : "none");
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER);
    }
    print_text("mtr.txt");
    clear(&scene);
}

static void tunnels(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "198.18.10.12", "198.18.10.13", "2001:db8:a::10",
                                   "2001:db8:a::11", "2001:db8:a::12", "2001:db8:a::13", NULL};
    struct scene scene = play("mpls.lab", targets, "", false, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER);
    }
    json_t *first = harness_at(scene.results[0], "pathVis.pathTraces[0].hops");
    assert_string_equal(harness_string(json_array_get(first, 1), "mpls"), "L=24001,E=5,S=0,T=1; L=16,E=5,S=1,T=1");
    clear(&scene);
}

static void oddities(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "198.18.10.12", "198.18.20.77", "2001:db8:a::10",
                                   "2001:db8:a::11", "2001:db8:a::12", "2001:db8:b::77", NULL};
    struct scene scene = play("odd.lab", targets, "--fixed-packet-rate 25", false, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        truth_check_paths(scene.results[i], scene.truth, targets[i],
                          i % 4 == 1 ? TRUTH_SOME_ANSWER : TRUTH_ALL_ANSWER);
    }
    assert_true(harness_number(scene.results[1], "network.loss") > 10);
    clear(&scene);
}

static void answers_that_take_seconds(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "2001:db8:a::10", "2001:db8:a::11", NULL};
    struct scene scene = play("slow.lab", targets, "", false, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        assert_int_equal(truth_check_paths(scene.results[i], scene.truth, targets[i], TRUTH_ALL_ANSWER), 1);
        assert_true(harness_number(scene.results[i], "network.loss") == 0);
    }
    clear(&scene);
}

/* What the network damaged it has lost. Our kernel throws it away, and counts it in IPv6 as if it had had no room for it. */
static void damaged_packets_are_lost_by_the_network(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.11", "2001:db8:a::10", "2001:db8:a::11", NULL};
    struct scene scene = play("damaged.lab", targets, "--fixed-packet-rate 50", false, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        truth_check_stream(scene.results[i], scene.truth, targets[i], MEDIAN_US);
        assert_true(harness_number(scene.results[i], "network.loss") > 8);
        assert_true(json_is_false(harness_at(scene.results[i], "network.oculi.overloaded")));
    }
    clear(&scene);
}

/* Our kernel learns from the first search how small a path is, and must not stand in the way of the next. */
static void a_path_mtu_is_found_again(void **state)
{
    (void)state;
    const char *const targets[] = {"198.18.10.10", "198.18.10.10", "2001:db8:a::10", "2001:db8:a::10", NULL};
    struct scene scene = play("narrow.lab", targets, "--fixed-packet-rate 100", true, NULL);
    for (size_t i = 0; i < scene.count; i++) {
        assert_int_equal(harness_number(scene.results[i], "pathVis.oculi.mtu.bytes"), 1300);
        assert_string_equal(harness_string(scene.results[i], "pathVis.oculi.mtu.limit"), "router");
        assert_string_equal(harness_string(scene.results[i], "pathVis.oculi.mtu.limitedBy"),
                            i < 2 ? "198.51.100.2" : "2001:db8:f::2");
    }
    clear(&scene);
}

/* --- every scenario that is shipped ------------------------------------------------------------------------------- */

/* Packets are lost or answers held back on the way, so that hops may stay silent which did answer. A quotation of 28
 * bytes is less than an IPv6 header: nobody can tell which probe it was. */
static enum truth_silence silence_of(const char *name)
{
    /* Of nat-carrier: errors from behind the second NAT do not pass the first, which finds nothing of its own in them. */
    static const char *const names[] = {"loss-both.lab", "loss-forward.lab", "loss-return.lab", "ratelimit.lab",
                                        "corrupt.lab",   "faults.lab",       "legacy.lab",      "silent-all.lab",
                                        "nat-carrier.lab", NULL};
    if (strcmp(name, "loss-total.lab") == 0)
        return TRUTH_ALL_LOST;
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(name, names[i]) == 0)
            return TRUTH_SOME_ANSWER;
    }
    return TRUTH_ALL_ANSWER;
}

static int is_scenario(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".lab") == 0 && strcmp(entry->d_name, "demo.lab") != 0;
}

/* The addresses that `oculi-lab targets` names, at most one of each family. */
static size_t targets_of(const char *path, char addresses[2][64])
{
    struct harness_output output = harness_run((const char *const[]){lab, "targets", path, NULL}, 20, 0);
    bool has_family[2] = {false};
    size_t count = 0;
    char *rest = output.out, *line;
    while (count < 2 && (line = strsep(&rest, "\n")) && *line) {
        const char *tab = strrchr(line, '\t');
        bool is_v6 = tab && strchr(tab, ':');
        if (!tab || has_family[is_v6])
            continue;
        has_family[is_v6] = true;
        str_copy(addresses[count++], 64, tab + 1);
    }
    harness_free(&output);
    return count;
}

static void every_shipped_scenario(void **state)
{
    (void)state;
    struct dirent **entries = NULL;
    int count = scandir(shipped, &entries, is_scenario, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512], addresses[2][64];
        const char *targets[3] = {NULL};
        snprintf(path, sizeof path, "%s/%s", shipped, entries[i]->d_name);
        size_t target_count = targets_of(path, addresses);
        for (size_t t = 0; t < target_count; t++)
            targets[t] = addresses[t];
        print_message("# %s\n", entries[i]->d_name);
        struct scene scene = play(path, targets, "--fixed-packet-rate 100", false, NULL);
        for (size_t t = 0; t < target_count; t++) {
            truth_check_stream(scene.results[t], scene.truth, targets[t], MEDIAN_US);
            truth_check_paths(scene.results[t], scene.truth, targets[t], silence_of(entries[i]->d_name));
        }
        clear(&scene);
        free(entries[i]);
    }
    free(entries);
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
        cmocka_unit_test(a_chain), cmocka_unit_test(losses),
        cmocka_unit_test(diamonds), cmocka_unit_test(a_diamond_that_sprays_packets),
        cmocka_unit_test(silent_routers), cmocka_unit_test(ends),
        cmocka_unit_test(tunnels), cmocka_unit_test(oddities), cmocka_unit_test(answers_that_take_seconds),
        cmocka_unit_test(damaged_packets_are_lost_by_the_network), cmocka_unit_test(a_path_mtu_is_found_again),
        cmocka_unit_test(every_shipped_scenario),
    };
    const char *obstacle = harness_obstacle();
    if (obstacle || argc < 5)
        return harness_skip(obstacle ? obstacle : "the programs to check were not named");
    /* The measurements run in another folder. */
    const char **const names[] = {&oculi, &lab, &scenarios, &shipped};
    for (int i = 0; i < 4; i++) {
        *names[i] = realpath(argv[i + 1], NULL);
        if (!*names[i])
            return harness_skip("what is to be checked was not found");
    }
    if (argc > 5)
        cmocka_set_test_filter(argv[5]);
    strcpy(folder, "/tmp/oculi-lab-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
