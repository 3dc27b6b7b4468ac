#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/resolve.h"

struct answer {
    int count, rc;
    union sock_addr addr;
    struct error err;
};

static void on_answer(void *user, int rc, const union sock_addr *addr, const struct error *err)
{
    struct answer *answer = user;
    answer->count++;
    answer->rc = rc;
    answer->addr = *addr;
    answer->err = *err;
}

static void wait_for(struct loop *loop, const struct answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (!answers[i].count)
            assert_int_equal(loop_step(loop, 20 * CLOCK_S), 0);
    }
}

static void lookups_end_on_the_loop(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        enum sock_family family;
        int rc;
        const char *ip;
    } cases[] = {{"192.0.2.1", SOCK_PREFER_IPV6, 0, "192.0.2.1"},
                 {"2001:db8::1", SOCK_PREFER_IPV4, 0, "2001:db8::1"},
                 {"192.0.2.1", SOCK_FORCE_IPV6, -E_UNRESOLVED, ""},
                 {"localhost", SOCK_FORCE_IPV4, 0, "127.0.0.1"},
                 {"bad..name", SOCK_FORCE_IPV4, -E_UNRESOLVED, ""}};
    enum { COUNT = sizeof cases / sizeof cases[0] };
    struct loop *loop;
    struct resolver *resolver;
    struct answer answers[COUNT] = {0};
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(resolver_new(loop, &resolver, NULL), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_non_null(resolve_start(resolver, cases[i].host, cases[i].family, on_answer, &answers[i]));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(answers[i].count, 0);
    wait_for(loop, answers, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char text[SOCK_TEXT_BYTES];
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].rc, cases[i].rc);
        assert_string_equal(sock_ip_text(&answers[i].addr, text, sizeof text), cases[i].ip);
    }
    assert_string_equal(answers[2].err.text, "192.0.2.1 is not an IPv6 address");
    assert_memory_equal(answers[4].err.text, "Could not resolve host: bad..name", 33);
    resolver_free(resolver);
    loop_free(loop);
}

static void cancelled_lookups_are_silent(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct loop *loop;
    struct resolver *resolver;
    struct answer answers[COUNT] = {0};
    struct resolve_job *jobs[COUNT];
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(resolver_new(loop, &resolver, NULL), 0);
    for (size_t i = 0; i < COUNT; i++) {
        const char *host = i % 3 ? "localhost" : "192.0.2.1";
        jobs[i] = resolve_start(resolver, host, SOCK_FORCE_IPV4, on_answer, &answers[i]);
        assert_non_null(jobs[i]);
    }
    for (size_t i = 0; i < COUNT; i += 2)
        resolve_cancel(jobs[i]);
    for (size_t i = 1; i < COUNT; i += 2)
        wait_for(loop, &answers[i], 1);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(answers[i].count, i % 2);
    resolver_free(resolver);
    loop_free(loop);
}

static void a_resolver_goes_while_it_works(void **state)
{
    (void)state;
    struct loop *loop;
    struct resolver *resolver;
    struct answer answer = {0};
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(resolver_new(loop, &resolver, NULL), 0);
    for (int i = 0; i < 50; i++)
        assert_non_null(resolve_start(resolver, "localhost", SOCK_FORCE_IPV4, on_answer, &answer));
    resolver_free(resolver);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(answer.count, 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_end_on_the_loop),
        cmocka_unit_test(cancelled_lookups_are_silent),
        cmocka_unit_test(a_resolver_goes_while_it_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
