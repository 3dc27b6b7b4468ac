/* The program on machines that lack something or do something to it: routes that refuse, no addresses of a family, few
 * descriptors, local ports that others have, forged packets. Each in a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forger.h"
#include "harness.h"

#define QUIET_FIRST 61000
#define QUIET_LAST 61439

static const char *oculi;

/* Runs `command` in a namespace with nothing but a loopback interface; "$0" in it is oculi. */
static void expect(const char *command, int status, const char *out, const char *err)
{
    char script[1000];
    snprintf(script, sizeof script, "ip link set lo up; %s", command);
    const char *argv[] = {"unshare", "--net", "sh", "-c", script, oculi, NULL};
    struct harness_output output = harness_run(argv, 30, 0);
    if (output.status != status || !strstr(output.out, out) || !strstr(output.err, err))
        fail_msg("%s: status %d, out \"%s\", err \"%s\"; not %d, \"%s\", \"%s\"", command, output.status, output.out,
                 output.err, status, out, err);
    harness_free(&output);
}

static void routes_that_refuse_are_named(void **state)
{
    (void)state;
    static const char *const commands[] = {"ping -c2 -i0.01 -q", "ping -T -c2 -i0.01 -q", "trace -n", "trace -nT",
                                           "mtr -nr -c1", "paths -n"};
    static const struct {
        const char *route, *why;
    } cases[] = {{"blackhole", "a blackhole route of this machine discards what goes there"},
                 {"prohibit", "a route of this machine prohibits it"},
                 {"unreachable", "a route of this machine says that it is unreachable"},
                 {"throw", "no route of this machine leads there"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t j = 0; j < sizeof commands / sizeof commands[0]; j++) {
            char command[300];
            snprintf(command, sizeof command, "ip route add %s 192.0.2.0/24; exec \"$0\" %s 192.0.2.1", cases[i].route,
                     commands[j]);
            expect(command, 2, cases[i].why, "");
        }
        char command[300];
        snprintf(command, sizeof command, "ip -6 route add %s 2001:db8::/64; exec \"$0\" trace -n 2001:db8::1",
                 cases[i].route);
        expect(command, 2, cases[i].why, "");
    }
}

static void a_family_without_addresses_is_named(void **state)
{
    (void)state;
    static const char *const no_ip6 = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ";
    static const struct {
        const char *command;
        int status;
        const char *out;
    } cases[] = {
        {"exec \"$0\" trace -n ::1", 2, "this machine has no address from which it could go there"},
        {"exec \"$0\" ping -c2 -i0.01 2001:db8::1", 2, "this machine has no address from which it could go there"},
        {"exec \"$0\" ping -c2 -i0.01 -q 127.0.0.1", 0, "127.0.0.1       2        2    0.0%"},
        {"exec \"$0\" trace -nT 127.0.0.1", 0, "reached the target in 1 hop (traces 1-3)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[300];
        snprintf(command, sizeof command, "%s%s", no_ip6, cases[i].command);
        expect(command, cases[i].status, cases[i].out, "");
    }
    expect("ip addr del 127.0.0.1/8 dev lo; exec \"$0\" ping -c2 -i0.01 127.0.0.1", 2,
           "no route of this machine leads there", "");
    expect("ip addr del 127.0.0.1/8 dev lo; exec \"$0\" trace -n ::1", 0, "reached the target in 1 hop", "");
}

static void few_descriptors_are_named(void **state)
{
    (void)state;
    static const char *const too_few[] = {"8", "12", "14", "16"};
    for (size_t i = 0; i < sizeof too_few / sizeof too_few[0]; i++) {
        char command[200];
        snprintf(command, sizeof command, "ulimit -n %s; exec \"$0\" ping -c1 127.0.0.1", too_few[i]);
        expect(command, 2, "", "(ulimit -n): Too many open files");
    }
    /* What is left is used for something else than for sessions. */
    for (int limit = 24; limit <= 96; limit += 8) {
        char command[200];
        snprintf(command, sizeof command, "ulimit -n %d; exec \"$0\" ping -q -c2 -i0.01 127.0.0.1", limit);
        expect(command, 0, "127.0.0.1       2        2    0.0%", "");
    }
}

/* --- in one namespace of this program ----------------------------------------------------------------------------- */

static void set_loopback(bool is_up)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = is_up ? IFF_UP | IFF_RUNNING : 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    (void)close(fd);
}

static int enter_own_network(void **state)
{
    (void)state;
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    set_loopback(true);
    return 0;
}

static int listen_at(int family, uint16_t port, int backlog)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = family == AF_INET6 ? bind(fd, (struct sockaddr *)&any6, sizeof any6)
                                : bind(fd, (struct sockaddr *)&any4, sizeof any4);
    assert_int_equal(rc, 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static json_t *measure(int status, const char *const *argv)
{
    struct harness_output output = harness_run(argv, 30, 0);
    if (output.status != status)
        fail_msg("status %d, out \"%s\", err \"%s\"", output.status, output.out, output.err);
    json_t *json = harness_json(output.out);
    harness_free(&output);
    return json;
}

#define MEASURE(status, ...) measure(status, (const char *const[]){oculi, __VA_ARGS__, NULL})

static void local_ports_that_others_have(void **state)
{
    (void)state;
    static int fds[QUIET_LAST - QUIET_FIRST + 1];
    int server = listen_at(AF_INET6, 8080, 100);
    for (uint16_t port = QUIET_FIRST; port <= QUIET_LAST; port++)
        fds[port - QUIET_FIRST] = listen_at(AF_INET6, port, 1);
    json_t *json = MEASURE(0, "ping", "-jT8080", "-c5", "-i0.01", "127.0.0.1");
    assert_true(harness_number(json, "sent") == 5);
    assert_true(harness_number(json, "received") == 5);
    assert_string_equal(harness_string(json, "probeMode"), "syn");
    assert_string_equal(harness_string(json, "probeModeReason"),
                        "There are as many sessions with the target as there can be");
    json_decref(json);
    json = MEASURE(0, "measure", "agent-to-server", "--server", "127.0.0.1", "--port", "8080", "--json");
    assert_true(harness_number(json, "network.oculi.sent") == 50);
    assert_true(harness_number(json, "network.oculi.received") == 50);
    json_decref(json);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        (void)close(fds[i]);
    (void)close(server);
}

/* Sees this many packets come in on the loopback interface, then switches it off. */
static void *switch_off(void *arg)
{
    unsigned left = 40;
    int fd = *(int *)arg;
    while (left > 0) {
        struct sockaddr_ll from;
        socklen_t length = sizeof from;
        uint8_t packet[200];
        if (recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &length) > 0)
            left -= from.sll_pkttype != PACKET_OUTGOING;
    }
    set_loopback(false);
    return NULL;
}

/* Its routes stay, and the kernel says of every packet that it has been sent; but none is stamped. */
static void an_interface_that_goes_down(void **state)
{
    (void)state;
    static const char *const protocols[] = {"-q", "-qT1"};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
        assert_true(fd >= 0);
        assert_int_equal(pthread_create(&thread, NULL, switch_off, &fd), 0);
        struct harness_output output =
            harness_run((const char *const[]){oculi, "ping", protocols[i], "-c100", "-i0.01", "127.0.0.1", NULL}, 30, 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        (void)close(fd);
        set_loopback(true);
        if (output.status != 0 || !strstr(output.out, "this machine dropped packets itself"))
            fail_msg("status %d, out \"%s\", err \"%s\"", output.status, output.out, output.err);
        unsigned sent = 0, received = 0;
        const char *line = strstr(output.out, "\n127.0.0.1 ");
        assert_non_null(line);
        assert_int_equal(sscanf(line, " 127.0.0.1 %u %u", &sent, &received), 2);
        assert_in_range(sent, 5, 60);
        assert_in_range(received, sent - 1, sent); /* the last may have left just before */
        harness_free(&output);
    }
}

/* Nobody accepts: the target takes a connection or two and leaves the others half open. */
static void a_target_whose_queue_is_full(void **state)
{
    (void)state;
    static const char *const commands[] = {"trace -nsT8081 127.0.0.1", "ping -qT8081 -c5 -i0.01 --mode sack 127.0.0.1"};
    int server = listen_at(AF_INET, 8081, 0);
    for (int i = 0; i < 3; i++) {
        char command[200];
        snprintf(command, sizeof command, "exec \"$0\" %s", commands[i % 2]);
        struct harness_output output = harness_run((const char *const[]){"sh", "-c", command, oculi, NULL}, 60, 0);
        if (output.status > 2 || output.err[0])
            fail_msg("%s: status %d, out \"%s\", err \"%s\"", command, output.status, output.out, output.err);
        harness_free(&output);
    }
    (void)close(server);
}

static void assert_reached(json_t *json)
{
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "pathVis.pathTraces[%d].oculi.end", i);
        assert_string_equal(harness_string(json, path), "reached");
        snprintf(path, sizeof path, "pathVis.pathTraces[%d].hops", i);
        assert_int_equal(json_array_size(harness_at(json, path)), 1);
    }
}

static void forged_packets_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *protocol, *mode, *word;
    } cases[] = {{"icmp", NULL, NULL}, {"tcp", "syn", "syn"}, {"tcp", "sack", "sack"}, {"tcp", "auto", "sack"}};
    int server = listen_at(AF_INET, 8080, 100);
    forger_start(8080);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned before = forger_count();
        const char *more[] = {"--port", "8080", "--probe-mode", cases[i].mode};
        const char *argv[16] = {oculi, "measure", "agent-to-server", "--server", "127.0.0.1", "--json", "--protocol",
                                cases[i].protocol};
        for (size_t j = 0; cases[i].mode && j < 4; j++)
            argv[8 + j] = more[j];
        json_t *json = measure(0, argv);
        printf("# %s %s: %u packets forged\n", cases[i].protocol, cases[i].mode ? cases[i].mode : "",
               forger_count() - before);
        assert_true(forger_count() - before > 1000);
        assert_int_equal(harness_number(json, "network.oculi.sent"), 50);
        assert_int_equal(harness_number(json, "network.oculi.received"), 50);
        assert_int_equal(harness_number(json, "network.oculi.icmpErrors"), 0);
        if (cases[i].word)
            assert_string_equal(harness_string(json, "network.oculi.probeMode"), cases[i].word);
        assert_reached(json);
        json_decref(json);
    }
    static const struct {
        const char *command, *out;
    } others[] = {{"trace -nsT8080", "reached the target in 1 hop (traces 1-3)"},
                  {"trace -nT8080", "reached the target in 1 hop (traces 1-3)"},
                  {"trace -n", "reached the target in 1 hop (traces 1-3)"},
                  {"mtr -nr -c2 -i0.2 -T8080", "127.0.0.1         0.0%       6"},
                  {"mtr -nr -c2 -i0.2", "127.0.0.1         0.0%       6"},
                  {"paths -nT8080", "1 interfaces and 0 links"},
                  {"paths -n", "1 interfaces and 0 links"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char command[200];
        snprintf(command, sizeof command, "exec \"$0\" %s 127.0.0.1", others[i].command);
        struct harness_output output = harness_run((const char *const[]){"sh", "-c", command, oculi, NULL}, 30, 0);
        if (output.status != 0 || !strstr(output.out, others[i].out) || output.err[0])
            fail_msg("%s: status %d, out \"%s\", err \"%s\"", others[i].command, output.status, output.out, output.err);
        harness_free(&output);
    }
    (void)close(server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_that_refuse_are_named),
        cmocka_unit_test(a_family_without_addresses_is_named),
        cmocka_unit_test(few_descriptors_are_named),
        cmocka_unit_test(local_ports_that_others_have),
        cmocka_unit_test(an_interface_that_goes_down),
        cmocka_unit_test(a_target_whose_queue_is_full),
        cmocka_unit_test(forged_packets_change_nothing),
    };
    const char *obstacle = harness_obstacle();
    if (obstacle || argc < 2)
        return harness_skip(obstacle ? obstacle : "the program to check was not named");
    oculi = argv[1];
    return cmocka_run_group_tests(tests, enter_own_network, NULL);
}
