/* How long sessions last, and which passwords will do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_session_ends_unused_and_in_the_end),
        cmocka_unit_test(passwords_are_not_too_plain),
        cmocka_unit_test(what_people_sign_in_with_is_in_small_letters),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
