/* Finding routes, permissions, rate limits and the tables themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "server/api/api.h"
#include "server/problem.h"
#include "server/rate.h"
#include "server/route.h"

static struct route_set routes;
static struct arena arena;

static const struct route_entry *find(const char *method, const char *path, struct route_match *match)
{
    route_find(&routes, method, path, &arena, match);
    return match->entry;
}

static void the_most_literal_pattern_wins(void **state)
{
    (void)state;
    struct route_match match;
    assert_string_equal(find("GET", "/v7/users/current", &match)->operation, "getCurrentUser");
    assert_null(find("DELETE", "/v7/users/current", &match));
    assert_true(match.is_path_known);
    assert_string_equal(match.allow, "GET");
    assert_null(find("GET", "/v7/alerts/12", &match)->route); /* v7 has it, we do not */
    assert_string_equal(find("POST", "/v7/tests/agent-to-server/instant", &match)->operation,
                        "createAgentToServerInstantTest");
    assert_string_equal(find("POST", "/v7/tests/12/run", &match)->operation, "runInstantTest");
}

static void parameters_are_taken_from_the_path(void **state)
{
    (void)state;
    struct route_match match;
    const struct route_entry *entry = find("GET", "/v7/test-results/7/path-vis/agent/3/round/1790000000", &match);
    assert_string_equal(entry->operation, "getTestPathVisAgentRoundResults");
    assert_string_equal(entry->part->name, "pathVis");
    assert_int_equal(match.param_count, 3);
    assert_string_equal(match.params[0].name, "testId");
    assert_string_equal(match.params[2].value, "1790000000");
    assert_false(find("GET", "/v7/test-results/7/network/agent/3/round/1", &match) && match.entry->route);
}

static void odd_paths_are_unknown(void **state)
{
    (void)state;
    static const char *const paths[] = {"",           "/",          "/v7",         "/v7/",      "/v7/tests/",
                                        "//v7/tests", "/v7//tests", "/v7/agents/", "/v7/testsx", "/V7/tests"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct route_match match;
        assert_null(find("GET", paths[i], &match));
        assert_false(match.is_path_known);
    }
}

static void every_type_has_its_routes(void **state)
{
    (void)state;
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        struct route_match match;
        const char *base = arena_printf(&arena, "/v7/tests/%s", (*type)->name);
        static const char *const list_methods[] = {"GET", "POST"}, *const item_methods[] = {"GET", "PUT", "DELETE"};
        for (size_t i = 0; i < 2; i++)
            assert_ptr_equal(find(list_methods[i], base, &match)->type, *type);
        for (size_t i = 0; i < 3; i++)
            assert_ptr_equal(find(item_methods[i], arena_printf(&arena, "%s/1", base), &match)->type, *type);
        for (size_t i = 0; i < (*type)->part_count; i++)
            assert_non_null(
                find("GET", arena_printf(&arena, "/v7/test-results/1/%s", (*type)->parts[i].api_path), &match)->route);
    }
}

static void every_route_is_sound(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < routes.count; i++) {
        const struct route *route = routes.entries[i].route;
        if (!route)
            continue;
        const struct field_table *tables[] = {route->request, route->response};
        for (size_t j = 0; j < 2; j++) {
            if (tables[j] && field_audit(tables[j], &err) != 0)
                fail_msg("%s %s: %s: %s", route->method, route->pattern, err.where, err.text);
        }
        bool is_public = route->permission == PERMISSION_PUBLIC || route->permission == PERMISSION_SIGNED_IN ||
                         route->permission == PERMISSION_AGENT;
        assert_true(is_public || *permission_infos[route->permission].label);
        assert_true(strcmp(route->method, "GET") == 0 || route->permission != PERMISSION_VIEW_TESTS);
    }
}

static void roles_have_their_permissions(void **state)
{
    (void)state;
    struct permission_set sets[PERMISSION_ROLES + 1] = {0};
    for (unsigned role = 1; role <= PERMISSION_ROLES; role++)
        permission_add_role(&sets[role], (enum permission_role)role);
    assert_true(permission_has(&sets[PERMISSION_REGULAR_USER], PERMISSION_VIEW_TESTS));
    assert_false(permission_has(&sets[PERMISSION_REGULAR_USER], PERMISSION_EDIT_TESTS));
    assert_true(permission_has(&sets[PERMISSION_ACCOUNT_ADMIN], PERMISSION_EDIT_TESTS));
    assert_false(permission_has(&sets[PERMISSION_ACCOUNT_ADMIN], PERMISSION_EDIT_ACCOUNT_GROUPS));
    assert_true(permission_has(&sets[PERMISSION_ORGANIZATION_ADMIN], PERMISSION_EDIT_ACCOUNT_GROUPS));
    assert_false(permission_has(&sets[PERMISSION_ORGANIZATION_ADMIN], PERMISSION_UNSET));
    assert_false(permission_has_management(&sets[PERMISSION_REGULAR_USER]));
    assert_true(permission_has_management(&sets[PERMISSION_ORGANIZATION_ADMIN]));
    assert_int_equal(permission_of_number(permission_number(PERMISSION_EDIT_TESTS)), PERMISSION_EDIT_TESTS);
    assert_int_equal(permission_of_number(0), PERMISSION_UNSET);
    assert_int_equal(permission_of_number(PERMISSION_COUNT), PERMISSION_UNSET);
}

static void a_window_of_a_minute(void **state)
{
    (void)state;
    struct rate rate = {.limit = 3};
    assert_int_equal(rate_remaining(&rate, 1000), 3);
    for (int i = 0; i < 3; i++)
        assert_true(rate_take(&rate, 1000));
    assert_false(rate_take(&rate, 1019));
    assert_int_equal(rate.window_end_s, 1020);
    assert_true(rate_take(&rate, 1020));
    assert_int_equal(rate_remaining(&rate, 1020), 2);
    assert_true(rate_take(&rate, 500)); /* the clock was set back: a window does not last for ever */
    assert_int_equal(rate.window_end_s, 540);
    struct rate unlimited = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(rate_take(&unlimited, 1));
}

static void organizations_do_not_use_up_each_others_limits(void **state)
{
    (void)state;
    struct rate_orgs orgs = {.api_limit = 2, .instant_limit = 1};
    assert_null(rate_org_of(&orgs, 1));
    struct rate_org *first = rate_org_add(&orgs, 1, "North"), *other = rate_org_add(&orgs, 2, "South");
    assert_ptr_equal(rate_org_add(&orgs, 3, "North"), first); /* account groups of one organization share */
    assert_ptr_equal(rate_org_of(&orgs, 3), first);
    assert_ptr_not_equal(first, other);
    assert_true(rate_take(&first->api, 1000) && rate_take(&first->api, 1000));
    assert_false(rate_take(&first->api, 1000));
    assert_true(rate_take(&other->api, 1000));
    assert_true(rate_take(&first->instant, 1000));
    assert_false(rate_take(&first->instant, 1000));
    rate_orgs_done(&orgs);
}

static void every_error_has_a_status(void **state)
{
    (void)state;
    static const struct {
        int code, status;
    } cases[] = {{E_RANGE, 400}, {E_NOT_FOUND, 404}, {E_AUTH, 401},          {E_PERMISSION, 403}, {E_CONFLICT, 409},
                 {E_FULL, 507},  {E_LIMIT, 413},     {E_NOT_SUPPORTED, 501}, {E_IO, 500},         {E_AGAIN, 503}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(problem_status(-cases[i].code), cases[i].status);
    struct error err;
    (void)error_set(&err, E_REQUIRED, "fixedPacketRate", "must be given");
    json_t *problem = problem_from_error(-E_REQUIRED, &err, "/v7/x");
    assert_string_equal(json_string_value(json_object_get(problem, "title")),
                        "There were some errors in your request, please correct them before trying again. Error in "
                        "field fixedPacketRate : Fixed packet rate is empty.");
    json_decref(problem);
}

int main(void)
{
    arena_init(&arena, 1u << 20);
    route_set_init(&routes, api_tables);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_literal_pattern_wins), cmocka_unit_test(parameters_are_taken_from_the_path),
        cmocka_unit_test(odd_paths_are_unknown),         cmocka_unit_test(every_type_has_its_routes),
        cmocka_unit_test(every_route_is_sound),          cmocka_unit_test(roles_have_their_permissions),
        cmocka_unit_test(a_window_of_a_minute),
        cmocka_unit_test(organizations_do_not_use_up_each_others_limits),          cmocka_unit_test(every_error_has_a_status),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    route_set_done(&routes);
    arena_done(&arena);
    return failed;
}
