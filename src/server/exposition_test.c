/* Checks of exposition.h and tally.h: both formats of metrics, letter by letter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/exposition.h"

static void put_all(struct exposition *to)
{
    struct tally tally = {0};
    tally_request(&tally, "/v7/tests", 200, 1000); /* on a bound is within it */
    tally_request(&tally, "/v7/tests", 404, 1001);
    tally_request(&tally, "/v7/tests", 200, 20000000);
    exposition_family(to, "x_total", "counter", "Xs.");
    exposition_value(to, "x_total", "{a=\"b\"}", 3);
    exposition_family(to, "t_seconds", "histogram", "Times.");
    exposition_times(to, "t_seconds", "part=\"v7\"", &tally.times[TALLY_V7]);
    exposition_times(to, "t_seconds", "", &tally.lag);
    exposition_end(to);
}

static void text_and_openmetrics_differ_where_they_must(void **state)
{
    (void)state;
    struct buf text, open;
    buf_init(&text, 65536);
    buf_init(&open, 65536);
    put_all(&(struct exposition){.out = &text});
    put_all(&(struct exposition){.out = &open, .is_open = true});
    assert_non_null(strstr(buf_str(&text), "# HELP x_total Xs.\n# TYPE x_total counter\nx_total{a=\"b\"} 3\n"));
    assert_non_null(strstr(buf_str(&open), "# HELP x Xs.\n# TYPE x counter\nx_total{a=\"b\"} 3\n"));
    assert_null(strstr(buf_str(&text), "# EOF"));
    assert_string_equal(buf_str(&open) + open.size - 6, "# EOF\n");
    static const char *const lines[] = {
        "\nt_seconds_bucket{part=\"v7\",le=\"0.001\"} 1\n", "\nt_seconds_bucket{part=\"v7\",le=\"0.0025\"} 2\n",
        "\nt_seconds_bucket{part=\"v7\",le=\"10.0\"} 2\n",  "\nt_seconds_bucket{part=\"v7\",le=\"+Inf\"} 3\n",
        "\nt_seconds_sum{part=\"v7\"} 20.002001\n",         "\nt_seconds_count{part=\"v7\"} 3\n",
        "\nt_seconds_bucket{le=\"1.0\"} 0\n",               "\nt_seconds_count 0\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (!strstr(buf_str(&text), lines[i]))
            fail_msg("missing:%s in:\n%s", lines[i], buf_str(&text));
    }
    buf_done(&text);
    buf_done(&open);
}

static void parts_and_statuses_have_their_place(void **state)
{
    (void)state;
    struct tally tally = {0};
    tally_request(&tally, NULL, 0, -5);
    tally_request(&tally, "/oculi/v1/agent/results", 507, 1);
    tally_request(&tally, "/", 999, 1);
    assert_int_equal(tally.statuses[TALLY_PAGES][0], 1);
    assert_int_equal(tally.statuses[TALLY_PAGES][TALLY_STATUSES - 1], 1);
    assert_int_equal(tally.statuses[TALLY_AGENT][507 - TALLY_STATUS_MIN], 1);
    assert_int_equal(tally_part_of("/oculi/v1/agent/plan"), TALLY_PLANS);
    assert_int_equal(tally_part_of("/oculi/v1/stream"), TALLY_STREAMS);
    assert_int_equal(tally_part_of("/oculi/v1/session"), TALLY_UI);
    assert_int_equal(tally_part_of("/metrics"), TALLY_OPERATOR);
    assert_int_equal(tally_part_of("/v7x"), TALLY_PAGES);
}

static void accept_is_read(void **state)
{
    (void)state;
    assert_false(exposition_wants_open(NULL));
    assert_false(exposition_wants_open("*/*"));
    assert_true(exposition_wants_open("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_openmetrics_differ_where_they_must),
        cmocka_unit_test(parts_and_statuses_have_their_place),
        cmocka_unit_test(accept_is_read),
    };
    return cmocka_run_group_tests_name("exposition", tests, NULL, NULL);
}
