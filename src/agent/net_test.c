/* Checks of what the kernel tells of the machine's own network. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "agent/net.h"

static void loopback_is_ours_and_the_rest_is_not(void **state)
{
    (void)state;
    int fd;
    struct net_address addresses[NET_ADDRESSES];
    union sock_addr own, foreign;
    assert_int_equal(net_socket(NULL, &fd, NULL), 0);
    struct net *net = net_new(fd);
    assert_int_equal(sock_parse_ip("127.0.0.1", &own), 0);
    assert_int_equal(sock_parse_ip("192.0.2.77", &foreign), 0);
    assert_true(net_is_own(net, &own));
    assert_false(net_is_own(net, &foreign));
    size_t count = net_addresses(net, addresses, NET_ADDRESSES);
    for (size_t i = 0; i < count; i++) {
        assert_true(addresses[i].interface[0]);
        assert_true(net_is_own(net, &addresses[i].addr));
        assert_false(sock_same_ip(&addresses[i].addr, &own));
    }
    (void)net_way(net, AF_INET, NULL); /* whatever this machine has: it returns */
    (void)net_way(net, AF_INET6, NULL);
    net_free(net);
    (void)close(fd);
    struct error err;
    assert_int_not_equal(net_socket("no-such-namespace", &fd, &err), 0);
    assert_string_equal(err.where, "/run/netns/no-such-namespace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loopback_is_ours_and_the_rest_is_not)};
    return cmocka_run_group_tests_name("agent_net", tests, NULL, NULL);
}
