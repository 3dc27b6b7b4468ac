/* Checks of what is told of simulated addresses, read back as the server reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "facts/geo.h"
#include "lab/facts.h"
#include "lab/scenario.h"

static const char *scenarios;

static void the_demo_is_known(void **state)
{
    (void)state;
    char path[512], dir[] = "/tmp/oculi-lab-facts-XXXXXX";
    struct lab_scenario *scenario;
    struct buf bytes;
    (void)snprintf(path, sizeof path, "%s/demo.lab", scenarios);
    assert_int_equal(lab_scenario_load(path, &scenario, NULL), 0);
    buf_init(&bytes, 16u << 20);
    assert_int_equal(lab_facts_write(scenario, &bytes, NULL), 0);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/lab.mmdb", dir);
    assert_int_equal(file_write(path, bytes.data, bytes.size, 0644, NULL), 0);
    struct geo *geo = geo_new(&(struct geo_options){.dir = dir});
    (void)geo_refresh(geo);
    assert_int_equal(geo_count(geo), 1);

    struct geo_facts facts;
    union sock_addr addr;
    assert_int_equal(sock_parse_ip("198.18.101.1", &addr), 0);
    assert_true(geo_find(geo, &addr, &facts));
    assert_string_equal(facts.network, "Polder Net (AS 64510)");
    assert_string_equal(facts.location, "Amsterdam, NL");
    assert_string_equal(facts.name, "acc1.ams.polder.example.net");
    size_t known = 0;
    for (uint32_t i = 0; i < scenario->name_count; i++) {
        char text[LAB_ADDR_TEXT_BYTES];
        assert_int_equal(sock_parse_ip(lab_addr_text(&scenario->names[i].addr, text, sizeof text), &addr), 0);
        if (scenario->nodes[scenario->names[i].node].as_number) {
            assert_true(geo_find(geo, &addr, &facts) && facts.network);
            known++;
        }
    }
    assert_true(known > 20);
    geo_free(geo);
    buf_done(&bytes);
    lab_scenario_free(scenario);
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    scenarios = argc > 1 ? argv[1] : "lab/scenarios";
    const struct CMUnitTest checks[] = {cmocka_unit_test(the_demo_is_known)};
    return cmocka_run_group_tests(checks, NULL, NULL);
}
