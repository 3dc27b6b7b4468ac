/* Checks of what agents report: versions and their support, processes of one identity, notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "server/reports.h"

static void versions_are_supported_by_their_distance(void **state)
{
    static const struct {
        const char *agent, *server;
        enum reports_support support;
    } cases[] = {
        {"1.4.2", "1.4.2", REPORTS_SUPPORTED},   {"1.4.0", "1.4.2", REPORTS_SUPPORTED},
        {"1.5.0", "1.4.2", REPORTS_SUPPORTED},   {"2.0.0", "1.4.2", REPORTS_SUPPORTED},
        {"1.3.9", "1.4.2", REPORTS_OUTDATED},    {"1.0.0", "1.6.0", REPORTS_OUTDATED},
        {"1.0.0", "1.7.0", REPORTS_UNSUPPORTED}, {"0.9.0", "1.0.0", REPORTS_UNSUPPORTED},
        {"0.1.0", "0.1.1", REPORTS_OUTDATED},    {"0.1.1", "0.1.0", REPORTS_SUPPORTED},
        {"from git", "1.0.0", REPORTS_SUPPORTED}, {NULL, "1.0.0", REPORTS_SUPPORTED},
        {"99999999999999.1", "1.0.0", REPORTS_SUPPORTED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(reports_support_of(cases[i].agent, cases[i].server), cases[i].support);
}

static void the_process_that_came_last_has_the_identity(void **state)
{
    struct clock_sim clock;
    char why[200];
    (void)state;
    clock_sim_init(&clock, 1790000400 * CLOCK_S);
    struct reports *reports = reports_new(NULL, &clock.clock);
    assert_true(reports_instance(reports, 1, NULL, "192.0.2.1", why, sizeof why));
    assert_true(reports_instance(reports, 1, "aaaaaaaaaaaaaaaa", "192.0.2.1", why, sizeof why));
    assert_true(reports_instance(reports, 1, "bbbbbbbbbbbbbbbb", "192.0.2.2", why, sizeof why));
    assert_int_equal(reports_twins_s(reports, 1), 0);
    assert_false(reports_instance(reports, 1, "aaaaaaaaaaaaaaaa", "192.0.2.1", why, sizeof why));
    assert_non_null(strstr(why, "192.0.2.2"));
    assert_int_equal(reports_twins_s(reports, 1), 1790000400);
    assert_true(reports_instance(reports, 1, "bbbbbbbbbbbbbbbb", "192.0.2.2", why, sizeof why));
    assert_true(reports_instance(reports, 2, "aaaaaaaaaaaaaaaa", "192.0.2.1", why, sizeof why));
    assert_true(reports_instance(reports, 1, "this is far too long to be one", "192.0.2.1", why, sizeof why));
    reports_free(reports);
}

static void notices_are_news_once(void **state)
{
    struct clock_sim clock;
    (void)state;
    clock_sim_init(&clock, 1790000400 * CLOCK_S);
    struct reports *reports = reports_new(NULL, &clock.clock);
    assert_null(reports_notice(reports, 1));
    assert_false(reports_set_notice(reports, 1, NULL, 7)); /* at first the store is asked */
    assert_true(reports_set_notice(reports, 1, NULL, 7));
    assert_false(reports_set_notice(reports, 1, "offline", 8));
    assert_string_equal(reports_notice(reports, 1), "offline");
    reports_unsettle_notice(reports, 1);
    assert_false(reports_set_notice(reports, 1, "offline", 8));
    assert_true(reports_set_notice(reports, 1, "offline", 8));
    reports_free(reports);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(versions_are_supported_by_their_distance),
        cmocka_unit_test(the_process_that_came_last_has_the_identity),
        cmocka_unit_test(notices_are_news_once),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
