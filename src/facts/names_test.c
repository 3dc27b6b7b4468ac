/* Checks of names by asking a DNS server of our own on the loopback, on the same loop; answers grow old by a clock that
 * the checks move. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limit.h"
#include "facts/dns_stub.h"
#include "facts/names.h"

/* --- the stage ---------------------------------------------------------------------------------------------------- */

struct stage {
    struct loop *loop;
    struct dns_stub server;
    struct clock_sim clock;
    struct names *names;
    struct names_options options;
    unsigned done;
};

static void stage_open(struct stage *stage, const struct dns_stub_answer *zone, const struct names_options *options)
{
    struct error err;
    memset(stage, 0, sizeof *stage);
    assert_int_equal(loop_new(&stage->loop, NULL), 0);
    clock_sim_init(&stage->clock, 1);
    dns_stub_open(&stage->server, stage->loop, zone);
    if (options)
        stage->options = *options;
    stage->options.clock = &stage->clock.clock;
    stage->options.servers = stage->server.address;
    stage->options.has_no_hosts = true;
    if (names_new(stage->loop, &stage->options, &stage->names, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void stage_close(struct stage *stage)
{
    names_free(stage->names);
    assert_int_equal(stage->server.unknown, 0);
    dns_stub_close(&stage->server);
    loop_free(stage->loop);
}

static union sock_addr ip(const char *text)
{
    union sock_addr addr;
    if (sock_parse_ip(text, &addr))
        fail_msg("%s", text);
    return addr;
}

static void on_done(void *user)
{
    ((struct stage *)user)->done++;
}

static void run_until(struct stage *stage, unsigned done)
{
    while (stage->done < done)
        assert_int_equal(loop_step(stage->loop, 20 * CLOCK_S), 0);
}

/* What is known of an address once its question has been answered. */
static const char *resolve(struct stage *stage, const char *text)
{
    union sock_addr addr = ip(text);
    unsigned before = stage->done;
    if (names_wait(stage->names, &addr, 1, 20 * CLOCK_S, on_done, stage))
        run_until(stage, before + 1);
    bool is_known;
    const char *name = names_peek(stage->names, &addr, &is_known);
    assert_true(is_known);
    return name;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static void questions_follow_the_families(void **state)
{
    (void)state;
    char question[NAMES_QUESTION_BYTES];
    union sock_addr v4 = ip("192.0.2.17"), v6 = ip("2001:db8::567:89ab");
    names_question(&v4, question);
    assert_string_equal(question, "17.2.0.192.in-addr.arpa");
    names_question(&v6, question); /* the example of RFC 3596, in another prefix */
    assert_string_equal(question, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void names_are_asked_for_once_and_kept(void **state)
{
    (void)state;
    static const struct dns_stub_answer zone[] = {
        {"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "core1/ams/example/net", 600},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_STUB_PTR, "v6/example/net",
         600},
        {"7.2.0.192.in-addr.arpa", DNS_STUB_ALIAS, "delegated/example/net", 600},
        {0}};
    struct stage stage;
    stage_open(&stage, zone, NULL);
    union sock_addr addr = ip("192.0.2.1");
    assert_null(names_get(stage.names, &addr)); /* not yet */
    assert_string_equal(resolve(&stage, "192.0.2.1"), "core1.ams.example.net");
    assert_string_equal(names_get(stage.names, &addr), "core1.ams.example.net");
    assert_int_equal(stage.server.asked, 1);
    assert_string_equal(resolve(&stage, "2001:db8::1"), "v6.example.net");
    assert_string_equal(resolve(&stage, "192.0.2.7"), "delegated.example.net");
    assert_int_equal(stage.server.asked, 3);
    struct names_counts counts;
    names_counts(stage.names, &counts);
    assert_true(counts.asked == 3 && counts.answered == 3 && !counts.failed && !counts.refused);
    assert_true(counts.known == 3 && counts.open == 0);
    assert_int_equal(names_generation(stage.names), 3);
    stage_close(&stage);
}

static void answers_grow_old_as_their_records_say(void **state)
{
    (void)state;
    struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "old/example", 100},
                                     {"2.2.0.192.in-addr.arpa", DNS_STUB_NXDOMAIN, NULL, 300},
                                     {"3.2.0.192.in-addr.arpa", DNS_STUB_NO_DATA, NULL, 300},
                                     {"4.2.0.192.in-addr.arpa", DNS_STUB_NO_SOA, NULL, 0},
                                     {"5.2.0.192.in-addr.arpa", DNS_STUB_PTR, "short/example", 1},
                                     {"7.2.0.192.in-addr.arpa", DNS_STUB_ALIAS, "alias/example", 200},
                                     {0}};
    struct stage stage;
    stage_open(&stage, zone, NULL);
    static const struct {
        const char *address, *name;
        int64_t life_s;
    } cases[] = {{"192.0.2.1", "old.example", 100},  {"192.0.2.2", NULL, 300},
                 {"192.0.2.3", NULL, 300},           {"192.0.2.4", NULL, 900},
                 {"192.0.2.5", "short.example", 30}, {"192.0.2.7", "alias.example", 100}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union sock_addr addr = ip(cases[i].address);
        bool is_known;
        const char *name = resolve(&stage, cases[i].address);
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
        else
            assert_null(name);
        clock_sim_advance(&stage.clock, cases[i].life_s * CLOCK_S - 1);
        (void)names_peek(stage.names, &addr, &is_known);
        assert_true(is_known);
        clock_sim_advance(&stage.clock, 1);
        (void)names_peek(stage.names, &addr, &is_known);
        assert_false(is_known);
    }
    /* A name that is too old is shown until the new answer is there. */
    union sock_addr addr = ip("192.0.2.1");
    unsigned asked = stage.server.asked;
    zone[0].name = "new/example";
    assert_string_equal(names_get(stage.names, &addr), "old.example");
    assert_string_equal(resolve(&stage, "192.0.2.1"), "new.example");
    assert_int_equal(stage.server.asked, asked + 1);
    clock_sim_advance(&stage.clock, 100 * CLOCK_S);
    zone[0].kind = DNS_STUB_NXDOMAIN;
    assert_null(resolve(&stage, "192.0.2.1"));
    stage_close(&stage);
}

static void silence_is_remembered_for_a_minute(void **state)
{
    (void)state;
    struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "one/example", 40},
                                     {"2.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"3.2.0.192.in-addr.arpa", DNS_STUB_SERVFAIL, NULL, 0},
                                     {"4.2.0.192.in-addr.arpa", DNS_STUB_OTHER_ID, "forged/example", 600},
                                     {"5.2.0.192.in-addr.arpa", DNS_STUB_TRUNCATED, NULL, 0},
                                     {0}};
    struct stage stage;
    stage_open(&stage, zone, &(struct names_options){.timeout_ms = 20});
    assert_null(resolve(&stage, "192.0.2.2"));
    assert_int_equal(stage.server.asked, 2); /* two tries */
    assert_null(resolve(&stage, "192.0.2.2"));
    assert_int_equal(stage.server.asked, 2);
    assert_null(resolve(&stage, "192.0.2.3"));
    assert_null(resolve(&stage, "192.0.2.4"));
    assert_null(resolve(&stage, "192.0.2.5")); /* nobody listens on TCP */
    struct names_counts counts;
    names_counts(stage.names, &counts);
    assert_int_equal(counts.failed, 4);
    assert_int_equal(counts.answered, 0);
    clock_sim_advance(&stage.clock, 60 * CLOCK_S);
    unsigned asked = stage.server.asked;
    assert_null(resolve(&stage, "192.0.2.2"));
    assert_int_equal(stage.server.asked, asked + 2);

    /* What was known is kept while nobody answers. */
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
    zone[0].kind = DNS_STUB_SILENT;
    clock_sim_advance(&stage.clock, 40 * CLOCK_S);
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
    stage_close(&stage);
}

static void servers_that_are_away_are_left_alone(void **state)
{
    (void)state;
    struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"2.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"3.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"4.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"5.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                     {"6.2.0.192.in-addr.arpa", DNS_STUB_PTR, "six/example", 600},
                                     {"7.2.0.192.in-addr.arpa", DNS_STUB_PTR, "seven/example", 600},
                                     {0}};
    struct stage stage;
    stage_open(&stage, zone, &(struct names_options){.timeout_ms = 10});
    for (int i = 1; i <= 5; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "192.0.2.%d", i);
        assert_null(resolve(&stage, text));
    }
    assert_int_equal(stage.server.asked, 10);
    zone[5].kind = DNS_STUB_SILENT;
    assert_null(resolve(&stage, "192.0.2.6")); /* one tries */
    assert_int_equal(stage.server.asked, 12);
    union sock_addr seven = ip("192.0.2.7");
    assert_null(names_wait(stage.names, &seven, 1, CLOCK_S, on_done, &stage)); /* the others need not wait */
    assert_int_equal(stage.server.asked, 12);
    clock_sim_advance(&stage.clock, 60 * CLOCK_S);
    stage_close(&stage);
}

static void only_host_names_are_shown(void **state)
{
    (void)state;
    char long_name[260];
    memset(long_name, 'a', sizeof long_name);
    for (size_t i = 60; i < sizeof long_name; i += 61)
        long_name[i] = '/';
    long_name[251] = 0;
    struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "<script>/example", 600},
                                     {"2.2.0.192.in-addr.arpa", DNS_STUB_PTR, "\033[2J/example", 600},
                                     {"3.2.0.192.in-addr.arpa", DNS_STUB_PTR, "a b/example", 600},
                                     {"4.2.0.192.in-addr.arpa", DNS_STUB_PTR, "a.b/example", 600},
                                     {"5.2.0.192.in-addr.arpa", DNS_STUB_PTR, "", 600},
                                     {"6.2.0.192.in-addr.arpa", DNS_STUB_GARBAGE, NULL, 0},
                                     {"7.2.0.192.in-addr.arpa", DNS_STUB_PTR, "\xc3\xa4/example", 600},
                                     {"8.2.0.192.in-addr.arpa", DNS_STUB_PTR, "under_score/Example", 600},
                                     {"9.2.0.192.in-addr.arpa", DNS_STUB_PTR, long_name, 600},
                                     {0}};
    struct stage stage;
    stage_open(&stage, zone, NULL);
    for (int i = 1; i <= 7; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "192.0.2.%d", i);
        const char *name = resolve(&stage, text);
        if (name)
            fail_msg("%s is called %s", text, name);
    }
    assert_string_equal(resolve(&stage, "192.0.2.8"), "under_score.Example");
    assert_int_equal(strlen(resolve(&stage, "192.0.2.9")), 251);
    stage_close(&stage);
}

static void two_who_ask_share_a_question(void **state)
{
    (void)state;
    static const struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "one/example", 600},
                                                  {"2.2.0.192.in-addr.arpa", DNS_STUB_PTR, "two/example", 600},
                                                  {0}};
    struct stage stage;
    stage_open(&stage, zone, NULL);
    union sock_addr addrs[] = {ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.1"), {{0}}};
    struct names_wait *first = names_wait(stage.names, addrs, 4, 20 * CLOCK_S, on_done, &stage);
    struct names_wait *second = names_wait(stage.names, addrs, 1, 20 * CLOCK_S, on_done, &stage);
    struct names_wait *third = names_wait(stage.names, addrs, 4, 20 * CLOCK_S, on_done, &stage);
    assert_true(first && second && third);
    names_wait_cancel(third);
    run_until(&stage, 2);
    assert_int_equal(stage.server.asked, 2);
    assert_string_equal(names_get(stage.names, &addrs[0]), "one.example");
    assert_string_equal(names_get(stage.names, &addrs[1]), "two.example");
    assert_null(names_wait(stage.names, addrs, 4, CLOCK_S, on_done, &stage)); /* all is known */
    stage_close(&stage);
}

static void waits_end(void **state)
{
    (void)state;
    static const struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0}, {0}};
    struct stage stage;
    stage_open(&stage, zone, &(struct names_options){.timeout_ms = 60000});
    union sock_addr addr = ip("192.0.2.1");
    int64_t before = loop_now_ns(stage.loop);
    assert_non_null(names_wait(stage.names, &addr, 1, 30 * CLOCK_MS, on_done, &stage));
    run_until(&stage, 1);
    int64_t took = loop_now_ns(stage.loop) - before;
    assert_true(took >= 30 * CLOCK_MS && took < 10 * CLOCK_S);
    assert_non_null(names_wait(stage.names, &addr, 1, 60 * CLOCK_S, on_done, &stage));
    stage_close(&stage); /* with a wait and a question open */
    assert_int_equal(stage.done, 1);
    names_wait_cancel(NULL);
}

static void questions_have_a_rate(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"};
    static const struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {"2.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {"3.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {"4.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {"5.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {"6.2.0.192.in-addr.arpa", DNS_STUB_PTR, "n/example", 600},
                                                  {0}};
    struct stage stage;
    stage_open(&stage, zone, &(struct names_options){.per_second = 4});
    union sock_addr addrs[6];
    for (size_t i = 0; i < 6; i++)
        addrs[i] = ip(texts[i]);
    int64_t before = loop_now_ns(stage.loop);
    assert_non_null(names_wait(stage.names, addrs, 6, 60 * CLOCK_S, on_done, &stage));
    struct names_counts counts;
    names_counts(stage.names, &counts);
    assert_int_equal(counts.asked, 4);
    assert_int_equal(counts.open, 6);
    run_until(&stage, 1);
    assert_true(loop_now_ns(stage.loop) - before >= 400 * CLOCK_MS); /* two more at four a second */
    assert_int_equal(stage.server.asked, 6);
    stage_close(&stage);
}

static void there_is_a_ceiling(void **state)
{
    (void)state;
    static const struct dns_stub_answer zone[] = {{"1.2.0.192.in-addr.arpa", DNS_STUB_PTR, "one/example", 600},
                                                  {"2.2.0.192.in-addr.arpa", DNS_STUB_PTR, "two/example", 600},
                                                  {"3.2.0.192.in-addr.arpa", DNS_STUB_PTR, "three/example", 600},
                                                  {"4.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                                  {"5.2.0.192.in-addr.arpa", DNS_STUB_SILENT, NULL, 0},
                                                  {0}};
    struct stage stage;
    stage_open(&stage, zone, &(struct names_options){.max_names = 2, .timeout_ms = 60000});
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
    assert_string_equal(resolve(&stage, "192.0.2.2"), "two.example");
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
    assert_string_equal(resolve(&stage, "192.0.2.3"), "three.example"); /* the second is forgotten, not the first */
    assert_int_equal(stage.server.asked, 3);
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
    assert_int_equal(stage.server.asked, 3);
    union sock_addr addrs[] = {ip("192.0.2.4"), ip("192.0.2.5"), ip("192.0.2.1")};
    uint64_t hits = limit_hits(LIMIT_KIND_NAMES);
    for (size_t i = 0; i < 3; i++)
        assert_null(names_get(stage.names, &addrs[i])); /* both places wait: there is none for the third */
    struct names_counts counts;
    names_counts(stage.names, &counts);
    assert_true(counts.known == 2 && counts.open == 2 && counts.refused == 1);
    assert_int_equal(limit_hits(LIMIT_KIND_NAMES), hits + 1);
    stage_close(&stage);
}

static void thousands_of_addresses_do_not_mind(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, NULL, &(struct names_options){.per_second = 1, .timeout_ms = 60000, .max_names = 10000});
    names_free(stage.names);
    stage.options.servers = "127.0.0.1:1"; /* nobody there */
    assert_int_equal(names_new(stage.loop, &stage.options, &stage.names, NULL), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t bytes = htonl(0x0a000000u + i * 7);
        union sock_addr addr;
        sock_from_ip_bytes(&addr, AF_INET, &bytes);
        assert_null(names_get(stage.names, &addr));
    }
    struct names_counts counts;
    names_counts(stage.names, &counts);
    assert_int_equal(counts.open, LIMIT_NAMES_WAITING);
    assert_true(counts.known <= 10000);
    stage_close(&stage);
}

static void servers_that_are_none_are_told(void **state)
{
    (void)state;
    struct loop *loop;
    struct names *names = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    static const char *const bad[] = {"dns.example.net", "192.0.2.1,x"};
    for (size_t i = 0; i < 2; i++) {
        struct error err = {0};
        int rc = names_new(loop, &(struct names_options){.servers = bad[i]}, &names, &err);
        assert_int_equal(rc, -E_INVALID);
        assert_string_equal(err.where, "servers");
        assert_non_null(strstr(err.text, bad[i]));
        assert_null(names);
    }
    loop_free(loop);
}

static void no_names_is_fine(void **state)
{
    (void)state;
    union sock_addr addr = ip("192.0.2.1");
    bool is_known = false;
    struct names_counts counts;
    assert_null(names_get(NULL, &addr));
    assert_null(names_peek(NULL, &addr, &is_known));
    assert_true(is_known);
    assert_null(names_wait(NULL, &addr, 1, CLOCK_S, on_done, NULL));
    names_counts(NULL, &counts);
    assert_int_equal(counts.known, 0);
    assert_int_equal(names_generation(NULL), 0);
    names_free(NULL);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(questions_follow_the_families),
        cmocka_unit_test(names_are_asked_for_once_and_kept),
        cmocka_unit_test(answers_grow_old_as_their_records_say),
        cmocka_unit_test(silence_is_remembered_for_a_minute),
        cmocka_unit_test(servers_that_are_away_are_left_alone),
        cmocka_unit_test(only_host_names_are_shown),
        cmocka_unit_test(two_who_ask_share_a_question),
        cmocka_unit_test(waits_end),
        cmocka_unit_test(questions_have_a_rate),
        cmocka_unit_test(there_is_a_ceiling),
        cmocka_unit_test(thousands_of_addresses_do_not_mind),
        cmocka_unit_test(servers_that_are_none_are_told),
        cmocka_unit_test(no_names_is_fine),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
