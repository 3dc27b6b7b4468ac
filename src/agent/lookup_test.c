/* Checks of names looked up with servers of one's own, here and in a network namespace. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lookup.h"
#include "base/str.h"

/* A server that knows one name, target.test: 192.0.2.9 and no IPv6 address; the rest does not exist. */
struct server {
    int fd;
    char address[32];
    pthread_t thread;
};

static size_t answer(unsigned char *bytes, size_t size)
{
    static const unsigned char name[] = "\6target\4test";
    static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9};
    size_t end = 12;
    while (end < size && bytes[end])
        end += bytes[end] + 1u;
    if (end + 5 > size)
        return 0;
    bool is_known = end == 12 + sizeof name - 1 && memcmp(bytes + 12, name, sizeof name - 1) == 0;
    bool has_address = is_known && bytes[end + 2] == 1;
    bytes[2] = 0x84;
    bytes[3] = is_known ? 0 : 3;
    memset(bytes + 6, 0, 6);
    bytes[7] = has_address;
    if (has_address)
        memcpy(bytes + end + 5, record, sizeof record);
    return end + 5 + (has_address ? sizeof record : 0);
}

static void *serve(void *user)
{
    struct server *server = user;
    for (;;) {
        unsigned char bytes[600];
        union sock_addr from;
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(server->fd, bytes, 512, 0, &from.sa, &length);
        if (size <= 1) /* the check has done */
            return NULL;
        (void)sendto(server->fd, bytes, answer(bytes, (size_t)size), 0, &from.sa, length);
    }
}

static void server_start(struct server *server)
{
    union sock_addr addr = {0};
    socklen_t length = sizeof addr.in4;
    assert_int_equal(sock_parse_ip("127.0.0.1", &addr), 0);
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, &addr.sa, sizeof addr.in4), 0);
    assert_int_equal(getsockname(server->fd, &addr.sa, &length), 0);
    (void)snprintf(server->address, sizeof server->address, "127.0.0.1:%u", sock_port(&addr));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    union sock_addr addr = {0};
    socklen_t length = sizeof addr;
    assert_int_equal(getsockname(server->fd, &addr.sa, &length), 0);
    assert_int_equal(sendto(server->fd, "", 1, 0, &addr.sa, length), 1);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->fd);
}

static void find(struct lookup *lookup)
{
    union sock_addr addr;
    char text[SOCK_TEXT_BYTES];
    struct error err;
    assert_int_equal(lookup_find(lookup, "target.test", SOCK_PREFER_IPV6, &addr, &err), 0);
    assert_string_equal(sock_ip_text(&addr, text, sizeof text), "192.0.2.9");
    assert_int_equal(lookup_find(lookup, "target.test", SOCK_FORCE_IPV6, &addr, &err), -E_UNRESOLVED);
    assert_int_equal(lookup_find(lookup, "other.test", SOCK_PREFER_IPV6, &addr, &err), -E_UNRESOLVED);
    assert_true(str_starts(err.text, "Could not resolve host: other.test"));
    assert_int_equal(lookup_find(lookup, "2001:db8::7", SOCK_PREFER_IPV6, &addr, &err), 0);
    assert_string_equal(sock_ip_text(&addr, text, sizeof text), "2001:db8::7");
}

static void servers_of_ones_own_are_asked(void **state)
{
    (void)state;
    struct server server;
    struct lookup *lookup;
    assert_int_equal(lookup_open(&(struct lookup_settings){0}, &lookup, NULL), 0);
    assert_null(lookup); /* the system's way is the resolver's own */
    server_start(&server);
    struct lookup_settings settings = {.servers = server.address};
    assert_int_equal(lookup_open(&settings, &lookup, NULL), 0);
    assert_int_equal(lookup_process(lookup), 0);
    find(lookup);
    lookup_close(lookup);
    server_stop(&server);
}

static int settle(void *user, struct error *err)
{
    (void)user;
    (void)err;
    return 0;
}

/* Its own namespace, entered by its path, shows that a process there answers; which namespace that is, is the kernel's. */
static void a_process_in_the_namespace_answers(void **state)
{
    (void)state;
    struct server server;
    struct lookup *lookup;
    struct error err;
    struct lookup_settings settings = {.netns = "no-such-namespace", .settle = settle};
    assert_int_not_equal(lookup_open(&settings, &lookup, &err), 0);
    assert_string_equal(err.where, "/run/netns/no-such-namespace");
    server_start(&server);
    settings = (struct lookup_settings){.servers = server.address, .netns = "/proc/self/ns/net", .settle = settle};
    int rc = lookup_open(&settings, &lookup, &err);
    if (rc == -E_PERMISSION) {
        server_stop(&server);
        print_message("# no right to enter a network namespace\n");
        skip();
    }
    assert_int_equal(rc, 0);
    assert_true(lookup_process(lookup) > 0);
    find(lookup);
    lookup_close(lookup);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_of_ones_own_are_asked),
        cmocka_unit_test(a_process_in_the_namespace_answers),
    };
    return cmocka_run_group_tests_name("agent_lookup", tests, NULL, NULL);
}
