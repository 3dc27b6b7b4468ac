/* How long sessions and the audit log last, which passwords will do, who may do what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server/api/api.h"
#include "server/auth.h"

static bool is_alive(int64_t now_s, int64_t seen_s, int32_t idle_minutes)
{
    struct clock_sim sim;
    struct config config = {.session_idle_minutes = idle_minutes};
    struct server server = {.config = &config};
    clock_sim_init(&sim, now_s * CLOCK_S);
    server.clock = &sim.clock;
    struct object_token session = {.created_s = 1000, .expires_s = 100000, .seen_s = seen_s};
    return auth_is_session_alive(&server, &session);
}

static void a_session_ends_unused_and_in_the_end(void **state)
{
    (void)state;
    assert_true(is_alive(1000 + 1799, 0, 30));
    assert_false(is_alive(1000 + 1800, 0, 30)); /* nobody used it for thirty minutes */
    assert_true(is_alive(5000 + 1799, 5000, 30));
    assert_false(is_alive(5000 + 1800, 5000, 30));
    assert_true(is_alive(99999, 99000, 30));
    assert_false(is_alive(100000, 99999, 30)); /* its end comes however much it is used */
    assert_true(is_alive(99999, 0, 0));        /* without a limit only the end counts */
    assert_false(is_alive(100000, 0, 0));
}

static void passwords_are_not_too_plain(void **state)
{
    (void)state;
    const struct object_user user = {.login = "marianne@example.com"}, brief = {.login = "al@example.com"};
    static const struct {
        const char *password;
        bool will_do;
    } tries[] = {{"correct horse battery", true}, {"aaaaaaaaaaaaaaaa", false},  {"abcdabcdabcd", false},
                 {"abcdeabcdeab", true},          {"xx-MARIANNE-yy-1", false}, {"", false}};
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
        assert_int_equal(auth_check_new_password(&user, tries[i].password, NULL) == 0, tries[i].will_do);
    assert_int_equal(auth_check_new_password(&brief, "totally different", NULL), 0); /* "al" is in many words */
}

static void what_people_sign_in_with_is_in_small_letters(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    assert_string_equal(auth_login_name(&arena, "Ann.B@Example.COM"), "ann.b@example.com");
    arena_done(&arena);
}

static bool count(void *user, const struct store_object *object)
{
    (void)object;
    ++*(size_t *)user;
    return true;
}

static size_t left_after(int32_t days, size_t entries)
{
    const struct config config = {.audit_retention_days = days};
    struct server server = {.config = &config};
    size_t left = 0;
    assert_int_equal(store_open("memory:", &server.store, NULL), 0);
    for (size_t i = 0; i < entries; i++) { /* one a day, the last one today */
        struct object_audit entry = {.event = "Test updated"};
        assert_int_equal(object_put(server.store, &object_audit_kind, &entry, (int64_t)(i + 1) * 86400, NULL), 0);
    }
    api_drop_audit(&server, (int64_t)entries * 86400 + 1);
    assert_int_equal(store_list(server.store, object_audit_kind.name, 0, NULL, 0, 0, count, &left, NULL), 0);
    assert_false(store_in_transaction(server.store));
    store_close(server.store);
    return left;
}

static void entries_of_the_audit_log_go_when_their_time_is_over(void **state)
{
    (void)state;
    assert_int_equal(left_after(396, 1000), 396);
    assert_int_equal(left_after(396, 100), 100);
    assert_int_equal(left_after(0, 1000), 1000);
}

static void who_may_do_it_for_all_may_do_it_for_himself(void **state)
{
    (void)state;
    struct permission_set organization = {0}, account = {0}, regular = {0};
    permission_add_role(&organization, PERMISSION_ORGANIZATION_ADMIN);
    permission_add_role(&account, PERMISSION_ACCOUNT_ADMIN);
    permission_add_role(&regular, PERMISSION_REGULAR_USER);
    assert_true(permission_covers_all(&organization, &account));
    assert_true(permission_covers_all(&organization, &regular));
    assert_true(permission_covers_all(&account, &regular));
    assert_false(permission_covers_all(&account, &organization));
    assert_false(permission_covers_all(&regular, &account));
    assert_true(permission_covers(&account, PERMISSION_EDIT_OWN_REPORTS));
    assert_false(permission_has(&account, PERMISSION_EDIT_OWN_REPORTS));
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_session_ends_unused_and_in_the_end),
        cmocka_unit_test(passwords_are_not_too_plain),
        cmocka_unit_test(what_people_sign_in_with_is_in_small_letters),
        cmocka_unit_test(entries_of_the_audit_log_go_when_their_time_is_over),
        cmocka_unit_test(who_may_do_it_for_all_may_do_it_for_himself),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
