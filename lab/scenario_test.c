/* Checks of the scenario language: what it says about mistakes, the schedule of faults, and every shipped scenario. */
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

#include "base/clock.h"
#include "base/file.h"
#include "lab/model.h"
#include "lab/scenario.h"

#define BASE "vantage v address 198.18.1.2/24\nrouter r\nhost h address 198.18.2.1\nlink v r\nlink r h\n"

static const char *directory; /* of the shipped scenarios */

static void mistakes_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *part;
    } cases[] = {
        {"", "check", "no vantage"},
        {"rooter r1\n", "check:1", "'rooter'"},
        {BASE "\n# a comment\nlink r nowhere\n", "check:8", "'nowhere'"},
        {BASE "link r h delay 5\n", "check:6", "'5'"},
        {BASE "link r h loss 101%\n", "check:6", "100%"},
        {BASE "link r h loss 5\n", "check:6", "percentage"},
        {BASE "link r h mtu 40\n", "check:6", "between 68 and 9216"},
        {BASE "link r h loss 5% from v\n", "check:6", "'v'"},
        {BASE "link r h speed 5\n", "check:6", "'speed'"},
        {BASE "link r r\n", "check:6", "itself"},
        {BASE "router r\n", "check:6", "already"},
        {BASE "router x silnt\n", "check:6", "'silnt'"},
        {BASE "host x address 198.18.2.1\nlink r x\n", "check", "same address"},
        {BASE "host x address 198.18.2.300\n", "check:6", "198.18.2.300"},
        {BASE "host x address 198.18.2.2/24\n", "check:6", "prefix length"},
        {BASE "vantage w address 198.18.2.2\n", "check:6", "prefix length"},
        {BASE "vantage w\n", "check:6", "needs an address"},
        {BASE "host x address 198.18.2.2 icmp-from 198.18.2.2\n", "check:6", "icmp-from"},
        {BASE "host x\n", "check", "'x' has no link"},
        {BASE "block 198.18.4.1/24 behind r\n", "check:6", "198.18.4.1/24"},
        {BASE "block 198.18.4.0/24\n", "check:6", "behind"},
        {BASE "network 198.18.4.0/24 behind r reset\n", "check:6", "reset"},
        {BASE "route r 198.18.4.0/24 via q\n", "check:6", "'q'"},
        {BASE "route r 198.18.4.0/24 via v extra\n", "check:6", "'extra'"},
        {BASE "firewall r deny tcp port 70000\n", "check:6", "70000"},
        {BASE "firewall r deny icmp port 7\n", "check:6", "'port'"},
        {BASE "firewall r allow tcp with reset\n", "check:6", "'with'"},
        {BASE "mpls r h explicit\n", "check:6", "no router"},
        {BASE "router s\nlink r s\nmpls r s explicit\n", "check:8", "three"},
        {BASE "router s\nrouter t\nlink r s\nlink s t\nmpls r s t explicit labels 16 17\n", "check:10", "2 labels for 1"},
        {BASE "every 1m for 2m { link r h down }\n", "check:6", "at most the period"},
        {BASE "every 1m for 10s\n", "check:6", "{"},
        {BASE "every 1m for 10s {\nlink r h down\n", "check:6", "not closed"},
        {BASE "at yesterday { link r h down }\n", "check:6", "2026-11-21T10:00:00Z"},
        {BASE "after 1s { link r h up }\n", "check:6", "'up'"},
        {BASE "after 1s { router x }\n", "check:6", "'router'"},
        {BASE "after 1s { after 1s { link r h down } }\n", "check:6", "inside"},
        {BASE "after 1s { link v h down }\n", "check:6", "no link"},
        {BASE "}\n", "check:6", "too many"},
        {BASE "router x {\n", "check:6", "no block"},
        {BASE "include \"other.lab\"\n", "check:6", "cannot include"},
        {BASE "host x name \"unfinished\n", "check:6", "quote"},
        {BASE "node h tcp 80 ajar\n", "check:6", "'ajar'"},
        {BASE "node h \\\n tcp 80 open \\\n echo maybe\n", "check:6", "'maybe'"},
        {BASE "nat r as 203.0.113.1\n", "check:6", "inside"},
        {BASE "nat h inside 198.18.1.0/24 as 203.0.113.1\n", "check:6", "no router"},
        {BASE "nat r inside 198.18.1.0/24 as 2001:db8::1\n", "check:6", "IPv4"},
        {BASE "nat r inside 198.18.1.0/24 as 203.0.113.1 quotes some\n", "check:6", "'some'"},
        {BASE "nat r inside 198.18.1.0/24 as 198.18.2.1\n", "check", "same address"},
        {BASE "node r strip everything\n", "check:6", "'everything'"},
        {BASE "node r drop-out-of-order 25\n", "check:6", "every N"},
        {BASE "node h mss-clamp 1300\n", "check:6", "'mss-clamp'"},
        {BASE "syn-proxy r port 80 speed 7\n", "check:6", "'speed'"},
        {BASE "node h backlog 0\n", "check:6", "between"},
        {BASE "node h compressed-acks maybe\n", "check:6", "'maybe'"},
        {BASE "node r ratelimit 10\n", "check:6", "rate"},
        {BASE "node r ratelimit 0/s\n", "check:6", "between"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lab_scenario *s = NULL;
        struct error err = {0};
        int rc = lab_scenario_parse(cases[i].text, strlen(cases[i].text), "check", &s, &err);
        if (rc == 0)
            fail_msg("case %zu was accepted", i);
        assert_null(s);
        if (strcmp(err.where, cases[i].where) != 0 || !strstr(err.text, cases[i].part))
            fail_msg("case %zu: %s: %s", i, err.where, err.text);
    }
}

static void values_mean_what_they_say(void **state)
{
    (void)state;
    static const char text[] = BASE "link v h delay 1.5ms loss 2.5% from v mtu 1400 to v name slow # comment\n"
                                    "node r as 64501 \"Example \xe2\x9c\x93 Transit\"; node h tcp 80-90,443 open\n"
                                    "every 30m for 6m offset 4m { link slow loss 40% from v; link v h delay +70ms }\n"
                                    "seed 9\n";
    struct lab_scenario *s;
    struct error err = {0};
    assert_int_equal(lab_scenario_parse(text, sizeof text - 1, "check", &s, &err), 0);
    const struct lab_link *link = &s->links[2];
    assert_int_equal(link->side[0].delay_ns, 1500000);
    assert_int_equal(link->side[1].delay_ns, 1500000);
    assert_true(link->side[0].loss > 0.0249 && link->side[0].loss < 0.0251);
    assert_true(link->side[1].loss <= 0);
    assert_int_equal(link->side[0].mtu, 1500);
    assert_int_equal(link->side[1].mtu, 1400);
    assert_string_equal(s->nodes[lab_model_find(s, "r")].as_name, "Example \xe2\x9c\x93 Transit");
    const struct lab_effect *effect = link->effects;
    assert_int_equal(effect->kind, LAB_EFFECT_LOSS);
    assert_int_equal(effect->sides, 1);
    assert_int_equal(effect->next->kind, LAB_EFFECT_DELAY);
    assert_int_equal(effect->next->sides, 3);
    assert_true(effect->next->is_added);
    assert_int_equal(s->seed, 9);
    lab_scenario_free(s);
}

static void schedules_are_functions_of_the_clock(void **state)
{
    (void)state;
    struct lab_fault every = {.kind = LAB_FAULT_EVERY, .period_ns = 1800 * CLOCK_S, .duration_ns = 360 * CLOCK_S,
                              .begin_ns = 240 * CLOCK_S};
    static const struct {
        int64_t at_s;
        bool is_on;
        int64_t next_s;
    } cases[] = {{0, false, 240},     {239, false, 240},    {240, true, 600},    {599, true, 600},
                 {600, false, 2040},  {2040, true, 2400},   {-1560, true, -1200}, {-1561, false, -1560},
                 {1790000000, false, 1790001240}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lab_fault_is_on(&every, cases[i].at_s * CLOCK_S, 77), cases[i].is_on);
        assert_int_equal(lab_fault_next_ns(&every, cases[i].at_s * CLOCK_S, 77), cases[i].next_s * CLOCK_S);
    }
    struct lab_fault after = {.kind = LAB_FAULT_AFTER, .begin_ns = 10, .duration_ns = 5};
    assert_false(lab_fault_is_on(&after, 1009, 1000));
    assert_true(lab_fault_is_on(&after, 1010, 1000));
    assert_true(lab_fault_is_on(&after, 1014, 1000));
    assert_false(lab_fault_is_on(&after, 1015, 1000));
    assert_int_equal(lab_fault_next_ns(&after, 1000, 1000), 1010);
    assert_int_equal(lab_fault_next_ns(&after, 1010, 1000), 1015);
    assert_int_equal(lab_fault_next_ns(&after, 1015, 1000), INT64_MAX);
    struct lab_fault at = {.kind = LAB_FAULT_AT, .begin_ns = 500, .duration_ns = INT64_MAX};
    assert_true(lab_fault_is_on(&at, 500, 0));
    assert_int_equal(lab_fault_next_ns(&at, 500, 0), INT64_MAX);
}

static void includes_are_read_and_bounded(void **state)
{
    (void)state;
    char dir[] = "/tmp/oculi-lab-check-XXXXXX", path[128], text[256];
    struct lab_scenario *s;
    struct error err = {0};
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/nodes.inc", dir);
    assert_int_equal(file_write(path, BASE, sizeof BASE - 1, 0644, &err), 0);
    (void)snprintf(path, sizeof path, "%s/main.lab", dir);
    (void)snprintf(text, sizeof text, "include nodes.inc\nrouter extra\nlink r extra\n");
    assert_int_equal(file_write(path, text, strlen(text), 0644, &err), 0);
    assert_int_equal(lab_scenario_load(path, &s, &err), 0);
    assert_int_equal(s->node_count, 4);
    lab_scenario_free(s);
    (void)snprintf(text, sizeof text, "include main.lab\n");
    assert_int_equal(file_write(path, text, strlen(text), 0644, &err), 0);
    assert_int_equal(lab_scenario_load(path, &s, &err), -E_LIMIT);
    assert_non_null(strstr(err.where, "main.lab:1"));
    (void)unlink(path);
    assert_int_equal(lab_scenario_load(path, &s, &err), -E_NOT_FOUND);
    (void)snprintf(path, sizeof path, "%s/nodes.inc", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void every_shipped_scenario_is_good(void **state)
{
    (void)state;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".lab") != 0)
            continue;
        char path[512], message[700];
        struct lab_scenario *s;
        struct error err = {0};
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (lab_scenario_load(path, &s, &err) < 0)
            fail_msg("%s", error_format(&err, message, sizeof message));
        lab_scenario_free(s);
        count++;
    }
    (void)closedir(dir);
    assert_true(count >= 50);
}

int main(int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : "lab/scenarios";
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(mistakes_name_their_line),       cmocka_unit_test(values_mean_what_they_say),
        cmocka_unit_test(schedules_are_functions_of_the_clock), cmocka_unit_test(includes_are_read_and_bounded),
        cmocka_unit_test(every_shipped_scenario_is_good),
    };
    return cmocka_run_group_tests_name("lab scenario", checks, NULL, NULL);
}
