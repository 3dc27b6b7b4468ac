/* Checks of which addresses are whose, and of prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "facts/scope.h"

static union sock_addr ip(const char *text)
{
    union sock_addr addr;
    if (sock_parse_ip(text, &addr))
        fail_msg("%s", text);
    return addr;
}

static void addresses_are_private_public_or_neither(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        char scope; /* private, public, neither */
    } cases[] = {
        {"10.0.0.1", 'p'},
        {"10.255.255.255", 'p'},
        {"11.0.0.0", 'P'},
        {"9.255.255.255", 'P'},
        {"172.15.255.255", 'P'},
        {"172.16.0.1", 'p'},
        {"172.31.255.255", 'p'},
        {"172.32.0.0", 'P'},
        {"192.168.1.1", 'p'},
        {"192.167.1.1", 'P'},
        {"100.64.0.1", 'p'},
        {"100.127.255.255", 'p'},
        {"100.128.0.0", 'P'},
        {"100.63.255.255", 'P'},
        {"127.0.0.1", 'p'},
        {"169.254.7.7", 'p'},
        {"0.0.0.0", '-'},
        {"192.0.2.1", '-'},
        {"198.18.0.1", '-'},
        {"198.19.255.255", '-'},
        {"198.20.0.0", 'P'},
        {"198.51.100.9", '-'},
        {"203.0.113.9", '-'},
        {"203.0.114.0", 'P'},
        {"224.0.0.1", '-'},
        {"240.0.0.1", '-'},
        {"255.255.255.255", '-'},
        {"223.255.255.255", 'P'},
        {"8.8.8.8", 'P'},
        {"::1", 'p'},
        {"::", '-'},
        {"fc00::1", 'p'},
        {"fd12:3456::1", 'p'},
        {"fe80::1", 'p'},
        {"fec0::1", '-'},
        {"ff02::1", '-'},
        {"2001:db8::1", '-'},
        {"2001:db9::1", 'P'},
        {"2001:0::1", '-'},
        {"2001:200::1", 'P'},
        {"2a00:1450::1", 'P'},
        {"3fff::1", '-'},
        {"3fff:1000::1", 'P'},
        {"4000::1", '-'},
        {"::ffff:10.0.0.1", 'p'},
        {"::ffff:8.8.8.8", 'P'},
        {"::ffff:192.0.2.1", '-'},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union sock_addr addr = ip(cases[i].address);
        bool is_private = scope_is_private(&addr), is_public = scope_is_public(&addr);
        if (is_private != (cases[i].scope == 'p') || is_public != (cases[i].scope == 'P'))
            fail_msg("%s is private %d, public %d", cases[i].address, is_private, is_public);
    }
    union sock_addr unset = {0};
    assert_false(scope_is_private(&unset) || scope_is_public(&unset));
}

static void prefixes_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written, *inside, *outside;
    } cases[] = {
        {"192.0.2.77/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
        {"10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"},
        {"0.0.0.0/0", "0.0.0.0/0", "203.0.113.1", "::1"},
        {"192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"},
        {"192.0.2.128/25", "192.0.2.128/25", "192.0.2.129", "192.0.2.127"},
        {"172.16.0.0/12", "172.16.0.0/12", "172.31.1.1", "172.32.1.1"},
        {"2001:db8:ffff::/33", "2001:db8:8000::/33", "2001:db8:8000::1", "2001:db8:7fff::1"},
        {"::/0", "::/0", "2001:db8::1", "10.0.0.1"},
        {"2001:db8::1", "2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scope_prefix prefix;
        char text[SCOPE_PREFIX_BYTES];
        union sock_addr inside = ip(cases[i].inside), outside = ip(cases[i].outside);
        assert_int_equal(scope_parse(cases[i].text, &prefix), 0);
        assert_string_equal(scope_text(&prefix.base, prefix.length, text, sizeof text), cases[i].written);
        assert_true(scope_contains(&prefix, &inside));
        assert_false(scope_contains(&prefix, &outside));
    }
    static const char *const bad[] = {"",
                                      "/",
                                      "x/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0/8",
                                      "2001:db8::/129",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0/8 "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct scope_prefix prefix;
        assert_int_equal(scope_parse(bad[i], &prefix), -E_INVALID);
    }
}

static void own_prefixes_hold_no_loopback(void **state)
{
    (void)state;
    struct scope_prefix own[32];
    size_t count = scope_own(own, 32);
    union sock_addr loopback = ip("127.0.0.1"), link_local = ip("fe80::1");
    assert_true(count <= 32);
    assert_int_equal(scope_own(own, 0), 0);
    for (size_t i = 0; i < count; i++) {
        assert_false(scope_contains(&own[i], &loopback) && own[i].length > 0);
        assert_false(scope_contains(&own[i], &link_local) && own[i].length > 0);
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(addresses_are_private_public_or_neither),
        cmocka_unit_test(prefixes_are_read_and_written),
        cmocka_unit_test(own_prefixes_hold_no_loopback),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
