/* Checks of names by asking a DNS server of our own on the loopback, on the same loop; answers grow old by a clock that
 * the checks move. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limit.h"
#include "facts/names.h"

/* --- the server --------------------------------------------------------------------------------------------------- */

enum kind { PTR, ALIAS, NXDOMAIN, NO_DATA, SILENT, SERVFAIL, GARBAGE, OTHER_ID, TRUNCATED, NO_SOA };

struct zone {
    const char *question; /* "1.2.0.192.in-addr.arpa" */
    enum kind kind;
    const char *name;     /* labels separated by '/', so that a label can hold any byte */
    uint32_t ttl_s;
};

struct server {
    int fd;
    const struct zone *zone;
    unsigned asked;
    char last[256];
};

static size_t put_name(unsigned char *out, const char *name, char separator)
{
    size_t used = 0;
    while (*name) {
        const char *end = strchr(name, separator);
        size_t length = end ? (size_t)(end - name) : strlen(name);
        out[used++] = (unsigned char)length;
        memcpy(out + used, name, length);
        used += length;
        name += length + (end != NULL);
    }
    out[used++] = 0;
    return used;
}

static size_t put_record(unsigned char *out, const void *owner, size_t owner_size, uint16_t type, uint32_t ttl_s,
                         const void *data, size_t size)
{
    memcpy(out, owner, owner_size);
    const unsigned char fixed[] = {(unsigned char)(type >> 8), (unsigned char)type, 0, 1,
                                   (unsigned char)(ttl_s >> 24), (unsigned char)(ttl_s >> 16),
                                   (unsigned char)(ttl_s >> 8), (unsigned char)ttl_s,
                                   (unsigned char)(size >> 8), (unsigned char)size};
    memcpy(out + owner_size, fixed, sizeof fixed);
    memcpy(out + owner_size + sizeof fixed, data, size);
    return owner_size + sizeof fixed + size;
}

static size_t put_soa(unsigned char *out, uint32_t ttl_s)
{
    unsigned char data[64], owner[32];
    size_t size = put_name(data, "ns.example", '.');
    size += put_name(data + size, "admin.example", '.');
    memset(data + size, 0, 20);
    return put_record(out, owner, put_name(owner, "example", '.'), 6, ttl_s, data, size + 20);
}

/* The answer in place of the question in packet; returns its size, 0 = none. */
static size_t answer(const struct zone *zone, unsigned char *packet, size_t size)
{
    static const unsigned char to_question[] = {0xc0, 12};
    unsigned char name[256], alias[64];
    size_t name_size = put_name(name, zone->name ? zone->name : "", '/');
    packet[2] = 0x84;
    packet[3] = 0x80;
    packet[11] = 0; /* no additional records: EDNS is not spoken */
    switch (zone->kind) {
    case PTR:
        packet[7] = 1;
        return size + put_record(packet + size, to_question, 2, 12, zone->ttl_s, name, name_size);
    case ALIAS: /* RFC 2317 */
        packet[7] = 2;
        size_t alias_size = put_name(alias, "7.0/25.2.0.192.in-addr.arpa", '.');
        size += put_record(packet + size, to_question, 2, 5, zone->ttl_s / 2, alias, alias_size);
        return size + put_record(packet + size, alias, alias_size, 12, zone->ttl_s, name, name_size);
    case NXDOMAIN:
    case NO_DATA:
        packet[3] = zone->kind == NXDOMAIN ? 0x83 : 0x80;
        packet[9] = 1;
        return size + put_soa(packet + size, zone->ttl_s);
    case NO_SOA:
        packet[3] = 0x83;
        return size;
    case SERVFAIL:
        packet[3] = 0x82;
        return size;
    case GARBAGE:
        packet[7] = 3;
        memset(packet + size, 0xc1, 20);
        return size + 20;
    case OTHER_ID:
        packet[0] ^= 0x55;
        packet[7] = 1;
        return size + put_record(packet + size, to_question, 2, 12, zone->ttl_s, name, name_size);
    case TRUNCATED:
        packet[2] |= 2;
        return size;
    case SILENT:
        return 0;
    }
    return 0;
}

static void on_question(void *user, int fd, unsigned events)
{
    struct server *server = user;
    unsigned char packet[1024];
    struct sockaddr_storage from;
    socklen_t from_size = sizeof from;
    (void)events;
    ssize_t got = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_size);
    if (got < 12)
        return;
    size_t at = 12, used = 0;
    while (packet[at]) {
        memcpy(server->last + used, packet + at + 1, packet[at]);
        used += packet[at];
        server->last[used++] = '.';
        at += packet[at] + 1u;
    }
    server->last[used ? used - 1 : 0] = 0;
    server->asked++;
    for (const struct zone *zone = server->zone; zone && zone->question; zone++) {
        if (strcmp(zone->question, server->last) != 0)
            continue;
        size_t size = answer(zone, packet, at + 5);
        if (size)
            assert_int_equal(sendto(fd, packet, size, 0, (struct sockaddr *)&from, from_size), (ssize_t)size);
        return;
    }
    fail_msg("nobody expected the question %s", server->last);
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

struct stage {
    struct loop *loop;
    struct server server;
    struct clock_sim clock;
    struct names *names;
    struct names_options options;
    char address[32];
    unsigned done;
};

static void stage_open(struct stage *stage, const struct zone *zone, const struct names_options *options)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    struct error err;
    memset(stage, 0, sizeof *stage);
    assert_int_equal(loop_new(&stage->loop, NULL), 0);
    clock_sim_init(&stage->clock, 1);
    stage->server.zone = zone;
    stage->server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(stage->server.fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(getsockname(stage->server.fd, (struct sockaddr *)&in, &size), 0);
    assert_int_equal(loop_add(stage->loop, stage->server.fd, LOOP_READ, on_question, &stage->server, NULL), 0);
    (void)snprintf(stage->address, sizeof stage->address, "127.0.0.1:%u", ntohs(in.sin_port));
    if (options)
        stage->options = *options;
    stage->options.clock = &stage->clock.clock;
    stage->options.servers = stage->address;
    stage->options.has_no_hosts = true;
    if (names_new(stage->loop, &stage->options, &stage->names, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void stage_close(struct stage *stage)
{
    names_free(stage->names);
    loop_remove(stage->loop, stage->server.fd);
    close(stage->server.fd);
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
    static const struct zone zone[] = {
        {"1.2.0.192.in-addr.arpa", PTR, "core1/ams/example/net", 600},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", PTR, "v6/example/net", 600},
        {"7.2.0.192.in-addr.arpa", ALIAS, "delegated/example/net", 600},
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
    struct zone zone[] = {{"1.2.0.192.in-addr.arpa", PTR, "old/example", 100},
                          {"2.2.0.192.in-addr.arpa", NXDOMAIN, NULL, 300},
                          {"3.2.0.192.in-addr.arpa", NO_DATA, NULL, 300},
                          {"4.2.0.192.in-addr.arpa", NO_SOA, NULL, 0},
                          {"5.2.0.192.in-addr.arpa", PTR, "short/example", 1},
                          {"7.2.0.192.in-addr.arpa", ALIAS, "alias/example", 200},
                          {0}};
    struct stage stage;
    stage_open(&stage, zone, NULL);
    static const struct {
        const char *address, *name;
        int64_t life_s;
    } cases[] = {{"192.0.2.1", "old.example", 100}, {"192.0.2.2", NULL, 300},          {"192.0.2.3", NULL, 300},
                 {"192.0.2.4", NULL, 900},          {"192.0.2.5", "short.example", 30}, {"192.0.2.7", "alias.example", 100}};
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
    zone[0].kind = NXDOMAIN;
    assert_null(resolve(&stage, "192.0.2.1"));
    stage_close(&stage);
}

static void silence_is_remembered_for_a_minute(void **state)
{
    (void)state;
    struct zone zone[] = {{"1.2.0.192.in-addr.arpa", PTR, "one/example", 40},
                          {"2.2.0.192.in-addr.arpa", SILENT, NULL, 0},
                          {"3.2.0.192.in-addr.arpa", SERVFAIL, NULL, 0},
                          {"4.2.0.192.in-addr.arpa", OTHER_ID, "forged/example", 600},
                          {"5.2.0.192.in-addr.arpa", TRUNCATED, NULL, 0},
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
    zone[0].kind = SILENT;
    clock_sim_advance(&stage.clock, 40 * CLOCK_S);
    assert_string_equal(resolve(&stage, "192.0.2.1"), "one.example");
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
    struct zone zone[] = {{"1.2.0.192.in-addr.arpa", PTR, "<script>/example", 600},
                          {"2.2.0.192.in-addr.arpa", PTR, "\033[2J/example", 600},
                          {"3.2.0.192.in-addr.arpa", PTR, "a b/example", 600},
                          {"4.2.0.192.in-addr.arpa", PTR, "a.b/example", 600},
                          {"5.2.0.192.in-addr.arpa", PTR, "", 600},
                          {"6.2.0.192.in-addr.arpa", GARBAGE, NULL, 0},
                          {"7.2.0.192.in-addr.arpa", PTR, "\xc3\xa4/example", 600},
                          {"8.2.0.192.in-addr.arpa", PTR, "under_score/Example", 600},
                          {"9.2.0.192.in-addr.arpa", PTR, long_name, 600},
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
    static const struct zone zone[] = {{"1.2.0.192.in-addr.arpa", PTR, "one/example", 600},
                                       {"2.2.0.192.in-addr.arpa", PTR, "two/example", 600},
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
    static const struct zone zone[] = {{"1.2.0.192.in-addr.arpa", SILENT, NULL, 0}, {0}};
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
    static const struct zone zone[] = {
        {"1.2.0.192.in-addr.arpa", PTR, "n/example", 600}, {"2.2.0.192.in-addr.arpa", PTR, "n/example", 600},
        {"3.2.0.192.in-addr.arpa", PTR, "n/example", 600}, {"4.2.0.192.in-addr.arpa", PTR, "n/example", 600},
        {"5.2.0.192.in-addr.arpa", PTR, "n/example", 600}, {"6.2.0.192.in-addr.arpa", PTR, "n/example", 600}, {0}};
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
    static const struct zone zone[] = {
        {"1.2.0.192.in-addr.arpa", PTR, "one/example", 600}, {"2.2.0.192.in-addr.arpa", PTR, "two/example", 600},
        {"3.2.0.192.in-addr.arpa", PTR, "three/example", 600}, {"4.2.0.192.in-addr.arpa", SILENT, NULL, 0},
        {"5.2.0.192.in-addr.arpa", SILENT, NULL, 0}, {0}};
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
