/* Checks of proxies: addresses, PAC answers, bypass lists; and PAC files in their processes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pac.h"
#include "agent/proxy.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

static void locations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *url; /* url NULL = refused */
    } cases[] = {
        {"proxy.example.net:3128", "http://proxy.example.net:3128"},
        {"http://proxy.example.net:3128/", "http://proxy.example.net:3128"},
        {"https://proxy.example.net:3129", "https://proxy.example.net:3129"},
        {"socks5h://[2001:db8::1]:1080", "socks5h://[2001:db8::1]:1080"},
        {"gopher://proxy:70", NULL},
        {"http://user:secret@proxy:3128", NULL},
        {"proxy:99999", NULL},
        {"", NULL},
        {"http://proxy:80/path", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proxy_choice choice;
        struct error err = {0};
        int rc = proxy_parse_location(cases[i].text, &choice, &err);
        assert_int_equal(rc, cases[i].url ? 0 : -E_INVALID);
        if (cases[i].url)
            assert_string_equal(choice.url, cases[i].url);
    }
}

static void pac_answers_are_read(void **state)
{
    (void)state;
    struct proxy_choice choices[PROXY_CHOICES];
    size_t count = proxy_parse_pac(" PROXY a:3128 ;SOCKS5 b:1080; bogus; PROXY ;HTTPS c.example:443;direct ", choices,
                                   PROXY_CHOICES);
    assert_int_equal(count, 4);
    assert_string_equal(choices[0].url, "http://a:3128");
    assert_string_equal(choices[1].url, "socks5h://b:1080");
    assert_string_equal(choices[2].url, "https://c.example:443");
    assert_string_equal(choices[3].url, "");
    assert_int_equal(proxy_parse_pac("", choices, PROXY_CHOICES), 0);
    assert_int_equal(proxy_parse_pac("DIRECT now; PROXY http://x/", choices, PROXY_CHOICES), 0);
    assert_int_equal(proxy_parse_pac("DIRECT;DIRECT;DIRECT", choices, 2), 2);
}

static void bypass_lists_match(void **state)
{
    (void)state;
    const char *items[] = {"*.example.net;10.0.0.0/8, <local>", ".inner.example", "2001:db8::/32", "host?.test"};
    struct field_list list = {.items = items, .count = 4};
    static const char *const inside[] = {"www.example.net", "WWW.Example.NET", "10.1.2.3", "intranet", "a.inner.example",
                                         "2001:db8::7", "[2001:db8::7]", "host1.test"};
    static const char *const outside[] = {"example.net", "11.1.2.3", "inner.example", "2001:db9::7", "host12.test",
                                          "www.example.net.evil.test"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        if (!proxy_is_bypassed(&list, inside[i]))
            fail_msg("%s is not bypassed", inside[i]);
    }
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        if (proxy_is_bypassed(&list, outside[i]))
            fail_msg("%s is bypassed", outside[i]);
    }
}

static void what_no_agent_can_do_is_refused(void **state)
{
    (void)state;
    struct message_proxy proxy;
    struct error err;
    field_defaults(&message_proxy_table, &proxy);
    proxy.type = "direct";
    assert_int_equal(proxy_check(&proxy, &err), 0);
    proxy.type = "static";
    assert_int_equal(proxy_check(&proxy, &err), -E_REQUIRED);
    proxy.location = "p:3128";
    assert_int_equal(proxy_check(&proxy, &err), 0);
    proxy.auth = "kerberos";
    assert_int_equal(proxy_check(&proxy, &err), -E_NOT_SUPPORTED);
    assert_string_equal(err.where, "authType");
    proxy.auth = "ntlm";
    assert_int_equal(proxy_check(&proxy, &err), -E_REQUIRED);
    assert_string_equal(err.where, "user");
    proxy.user = "u";
    proxy.type = "pac";
    assert_int_equal(proxy_check(&proxy, &err), -E_INVALID);
    proxy.location = "file:///etc/proxy.pac";
    assert_int_equal(proxy_check(&proxy, &err), 0);
    proxy.type = "wpad";
    assert_int_equal(proxy_check(&proxy, &err), -E_NOT_SUPPORTED);
}

/* --- PAC files ---------------------------------------------------------------------------------------------------- */

struct asked {
    struct loop *loop;
    int rc;
    char answer[PAC_ANSWER_BYTES];
    struct error err;
};

static void on_answer(void *user, int rc, const char *answer, const struct error *err)
{
    struct asked *asked = user;
    asked->rc = rc;
    asked->err = *err;
    (void)str_copy(asked->answer, sizeof asked->answer, answer);
    loop_stop(asked->loop);
}

static void ask(struct pac *pac, struct asked *asked, const char *script, const char *host)
{
    char url[300];
    (void)snprintf(url, sizeof url, "https://%s/", host);
    (void)pac_start(pac, asked->loop, script, strlen(script), url, host, on_answer, asked);
    assert_int_equal(loop_run(asked->loop), 0);
}

static void scripts_run_apart(void **state)
{
    (void)state;
    struct pac *pac;
    struct asked asked = {0};
    void *library = dlopen("libpacparser.so.1", RTLD_NOW | RTLD_LOCAL);
    assert_int_equal(pac_open(&pac, NULL), 0);
    assert_int_equal(loop_new(&asked.loop, NULL), 0);
    if (!library) {
        ask(pac, &asked, "function FindProxyForURL(url, host) { return \"DIRECT\"; }", "a.test");
        assert_int_equal(asked.rc, -E_NOT_SUPPORTED);
        print_message("# libpacparser is not installed: only its absence is checked\n");
    } else {
        ask(pac, &asked,
            "function FindProxyForURL(url, host) { if (shExpMatch(host, '*.inner')) return 'DIRECT';"
            " return 'PROXY ' + host.length + '.test:3128; DIRECT'; }",
            "abc.outer");
        assert_int_equal(asked.rc, 0);
        assert_string_equal(asked.answer, "PROXY 9.test:3128; DIRECT");
        ask(pac, &asked, "this is no script", "a.test");
        assert_int_equal(asked.rc, -E_INVALID);
        int64_t began_ns = loop_now_ns(asked.loop);
        ask(pac, &asked, "function FindProxyForURL(url, host) { while (1); }", "a.test");
        assert_int_equal(asked.rc, -E_TIMEOUT);
        assert_true(loop_now_ns(asked.loop) - began_ns < (PAC_SECONDS + 5) * CLOCK_S);
        ask(pac, &asked, "function FindProxyForURL(url, host) { var a = 'x'; while (1) a = a + a; }", "a.test");
        assert_int_not_equal(asked.rc, 0); /* its memory ended first, or its time */
        ask(pac, &asked, "function FindProxyForURL(url, host) { return 'DIRECT'; }", "a.test");
        assert_int_equal(asked.rc, 0); /* the helper has survived all of them */
        (void)dlclose(library);
    }
    struct pac_job *job = pac_start(pac, asked.loop, "x", 1, "https://a/", "a", on_answer, &asked);
    pac_cancel(job);
    loop_free(asked.loop);
    pac_close(pac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations_are_read),
        cmocka_unit_test(pac_answers_are_read),
        cmocka_unit_test(bypass_lists_match),
        cmocka_unit_test(what_no_agent_can_do_is_refused),
        cmocka_unit_test(scripts_run_apart),
    };
    return cmocka_run_group_tests_name("agent_proxy", tests, NULL, NULL);
}
