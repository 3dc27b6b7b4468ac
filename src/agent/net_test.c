/* Checks of what the kernel tells of the machine's own network. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

/* In a namespace of its own, whose only wire leads to an end where nobody has an address. */
static int see_a_silent_gateway(void)
{
    static const char commands[] = "ip link add oc-wire type veth peer name oc-end && ip link set oc-wire up && "
                                   "ip link set oc-end up && ip addr add 10.201.0.2/24 dev oc-wire && ip link set lo up && "
                                   "ip route add default via 10.201.0.1";
    struct net_address addresses[NET_ADDRESSES];
    union sock_addr gateway, away;
    char text[SOCK_TEXT_BYTES];
    int fd;
    if (unshare(CLONE_NEWNET) != 0)
        return 77;
    if (net_socket(NULL, &fd, NULL))
        return 1;
    struct net *net = net_new(fd);
    if (net_way(net, AF_INET, NULL) != NET_NO_WAY)
        return 2;
    if (system(commands) != 0)
        return 77;
    if (net_way(net, AF_INET, &gateway) != NET_UNKNOWN || strcmp(sock_ip_text(&gateway, text, sizeof text), "10.201.0.1"))
        return 3;
    if (net_addresses(net, addresses, NET_ADDRESSES) < 1 || strcmp(addresses[0].interface, "oc-wire") != 0)
        return 4;
    if (sock_parse_ip("192.0.2.1", &away))
        return 5;
    sock_set_port(&away, 9);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int waited = 0; waited < 20000; waited += 50) { /* the kernel asks three times, a second apart */
        (void)sendto(udp, "x", 1, 0, &away.sa, sock_len(&away));
        if (net_way(net, AF_INET, NULL) == NET_SILENT)
            return 0;
        (void)poll(NULL, 0, 50);
    }
    return 6;
}

static void a_silent_gateway_is_seen(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(see_a_silent_gateway());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("# no right to make a network namespace, or no ip(8)\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_is_ours_and_the_rest_is_not),
        cmocka_unit_test(a_silent_gateway_is_seen),
    };
    return cmocka_run_group_tests_name("agent_net", tests, NULL, NULL);
}
