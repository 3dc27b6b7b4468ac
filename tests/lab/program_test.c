/* The program as a person meets it: exit statuses and messages, without any network but the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

static const char *oculi;

static void expect(const char *const *argv, int status, const char *out, const char *err)
{
    struct harness_output output = harness_run(argv, 30, 0);
    if (output.status != status || !strstr(output.out, out) || !strstr(output.err, err))
        fail_msg("status %d, out \"%s\", err \"%s\"; not %d, \"%s\", \"%s\"", output.status, output.out, output.err,
                 status, out, err);
    harness_free(&output);
}

#define MEASURE oculi, "measure", "agent-to-server"
#define EXPECT(status, out, err, ...) expect((const char *const[]){__VA_ARGS__, NULL}, status, out, err)

static void usage(void **state)
{
    (void)state;
    EXPECT(2, "", "Usage: oculi COMMAND", oculi);
    EXPECT(0, "Usage: oculi COMMAND", "", oculi, "help");
    EXPECT(0, "Usage: oculi COMMAND", "", oculi, "--help");
    EXPECT(0, "oculi 0.", "", oculi, "--version");
    EXPECT(2, "", "no command \"fly\"", oculi, "fly");
    EXPECT(2, "", "agent-to-server", oculi, "measure");
    EXPECT(2, "", "no measure type \"moon\"", oculi, "measure", "moon");
    EXPECT(0, "--num-path-traces N", "", MEASURE, "--help");
    EXPECT(0, "--netns", "", oculi, "help", "measure", "agent-to-server");
}

static void bad_options(void **state)
{
    (void)state;
    EXPECT(2, "", "--server: is required", MEASURE, "--protocol", "icmp");
    EXPECT(2, "", "--num-path-traces", MEASURE, "--server", "127.0.0.1", "--num-path-traces", "11");
    EXPECT(2, "", "10", MEASURE, "--server", "127.0.0.1", "--num-path-traces", "11");
    EXPECT(2, "", "--numPathTraces: no such option", MEASURE, "--server", "127.0.0.1", "--numPathTraces", "3");
    EXPECT(2, "", "--protocol", MEASURE, "--server", "127.0.0.1", "--protocol", "udp");
    EXPECT(2, "", "--server: a port is not possible", MEASURE, "--server", "127.0.0.1:80", "--protocol", "icmp");
    EXPECT(2, "", "--bgp-measurements: is not supported", MEASURE, "--server", "127.0.0.1",
           "--bgp-measurements");
    EXPECT(2, "", "--fixed-packet-rate: must be between 10 and 100", MEASURE, "--server", "127.0.0.1", "--protocol",
           "icmp", "--fixed-packet-rate", "5");
}

static void needs_root(void)
{
    if (geteuid() != 0) {
        print_message("# skipped: needs root\n");
        skip();
    }
}

static void what_this_build_cannot_do(void **state)
{
    (void)state;
    needs_root();
    EXPECT(2, "", "--fixed-packet-rate: must be 1 in continuous mode", MEASURE, "--server", "127.0.0.1", "--protocol",
           "icmp", "--continuous-mode", "--fixed-packet-rate", "20");
    EXPECT(2, "", "--source-ip", MEASURE, "--server", "127.0.0.1", "--protocol", "icmp", "--source-ip", "here");
    EXPECT(2, "", "--source-ip: 192.0.2.55 is no address of this machine", MEASURE, "--server", "127.0.0.1",
           "--protocol", "icmp", "--source-ip", "192.0.2.55");
    EXPECT(1, "", "--netns: there is no network namespace", MEASURE, "--server", "127.0.0.1", "--protocol", "icmp",
           "--netns", "oc-measure-none");
}

static void a_host_that_has_no_address(void **state)
{
    (void)state;
    needs_root();
    EXPECT(1, "", "Could not resolve host: bad..name", MEASURE, "--server", "bad..name", "--protocol", "icmp");
    EXPECT(1, "\"errorDetails\": \"Could not resolve host: bad..name", "", MEASURE, "--server", "bad..name",
           "--protocol", "icmp", "--json");
    EXPECT(1, "", "127.0.0.1 is not an IPv6 address", MEASURE, "--server", "127.0.0.1", "--protocol", "icmp",
           "--ipv6-policy", "force-ipv6");
}

static void everyday_commands(void **state)
{
    (void)state;
    EXPECT(0, "-c, --count N", "", oculi, "ping", "--help");
    EXPECT(0, "-f, --flows N", "", oculi, "help", "trace");
    EXPECT(0, "-r, --report", "", oculi, "mtr", "-h");
    EXPECT(0, "-c, --confidence N", "", oculi, "paths", "--help");
    EXPECT(2, "", "which host?", oculi, "ping");
    EXPECT(2, "", "2 hosts are too many", oculi, "mtr", "127.0.0.1", "::1");
    EXPECT(2, "", "--count: must be between 1", oculi, "ping", "-c0", "127.0.0.1");
    EXPECT(2, "", "--interval", oculi, "ping", "-i", "soon", "127.0.0.1");
    EXPECT(2, "", "-x: no such option", oculi, "trace", "-x", "127.0.0.1");
    EXPECT(2, "", "--ipv6: excludes --ipv4", oculi, "trace", "-46", "127.0.0.1");
    EXPECT(2, "", "--csv: excludes --json", oculi, "mtr", "-jC", "127.0.0.1");
    EXPECT(2, "", "--port: needs --tcp or --udp", oculi, "trace", "-p", "80", "127.0.0.1");
    EXPECT(2, "", "--udp: is not supported by oculi ping", oculi, "ping", "-U", "127.0.0.1");
    needs_root();
    EXPECT(2, "", "--in-session: needs --tcp", oculi, "trace", "-s", "127.0.0.1");
    EXPECT(0, "127.0.0.1       3        3    0.0%", "", oculi, "ping", "-c3", "-i", "0.01", "127.0.0.1");
    EXPECT(0, "\"received\":4,", "", oculi, "ping", "-jc4", "-i0.0033", "::1");
    EXPECT(0, "::1,::1,icmp,,2,2,0,", "", oculi, "ping", "--csv", "-c", "2", "-A", "::1");
    EXPECT(0, "answered by a reset", "", oculi, "ping", "-T1", "-c2", "-i0.1", "127.0.0.1");
    EXPECT(0, "reached the target in 1 hop (traces 1-3)", "", oculi, "trace", "-n", "127.0.0.1");
    EXPECT(0, "\"end\":\"reached\"", "", oculi, "trace", "-njU", "::1");
    EXPECT(0, "127.0.0.1         0.0%       6", "", oculi, "mtr", "-nr", "-c2", "-i", "0.1", "127.0.0.1");
    EXPECT(0, "1 interfaces and 0 links", "", oculi, "paths", "-n", "::1");
    EXPECT(2, "could not be sent: Network is unreachable", "", "unshare", "--net", oculi, "ping", "192.0.2.1");
    EXPECT(2, "Could not send: Network is unreachable", "", "unshare", "--net", oculi, "trace", "192.0.2.1");
    EXPECT(2, "Could not send: Network is unreachable", "", "unshare", "--net", oculi, "mtr", "192.0.2.1");
    EXPECT(2, "Could not resolve host: bad..name", "", oculi, "ping", "-c1", "-i0.01", "bad..name", "127.0.0.1");
    EXPECT(2, "", "setcap cap_net_raw+ep", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", oculi,
           "trace", "127.0.0.1");
}

/* Nobody reads what is printed, or nothing can be written: a program that goes on for ever must not. */
static void broken_output(void **state)
{
    (void)state;
    needs_root();
    EXPECT(0, "seq=1", "", "sh", "-c", "\"$0\" ping -i 0.01 127.0.0.1 | head -n 2", oculi);
    EXPECT(0, "seq=1", "", "sh", "-c", "trap '' PIPE; \"$0\" ping -i 0.01 127.0.0.1 | head -n 2", oculi);
    EXPECT(2, "", "could not be written", "sh", "-c", "exec \"$0\" ping -i 0.01 127.0.0.1 > /dev/full", oculi);
    EXPECT(2, "", "could not be written", "sh", "-c", "exec \"$0\" trace -n 127.0.0.1 > /dev/full", oculi);
    EXPECT(2, "", "could not be written", "sh", "-c", "exec \"$0\" mtr -nr -c1 127.0.0.1 > /dev/full", oculi);
}

/* An interrupt prints what there is. */
static void interrupted(void **state)
{
    (void)state;
    needs_root();
    static const char *const commands[][4] = {{"ping", "-q", "127.0.0.1"}, {"mtr", "-nr", "127.0.0.1"}};
    for (size_t i = 0; i < 2; i++) {
        const char *const argv[] = {oculi, commands[i][0], commands[i][1], commands[i][2], NULL};
        struct harness_output output = harness_run(argv, 30, 1500);
        if (output.status != 0 || !strstr(output.out, "0.0%"))
            fail_msg("%s: status %d, \"%s\", \"%s\"", commands[i][0], output.status, output.out, output.err);
        harness_free(&output);
    }
}

/* A machine that stands still for a while: the first thousand probes are late, the next have their time. None has overtaken
 * another. */
static void a_stall_overtakes_nobody(void **state)
{
    (void)state;
    needs_root();
    EXPECT(0, "\"reordered\":0,", "", "sh", "-c",
           "\"$0\" ping -j -c 1500 -i 0.002 127.0.0.1 & sleep 1; kill -STOP $!; sleep 0.4; kill -CONT $!; wait $!", oculi);
}

static void many_hosts(void **state)
{
    (void)state;
    needs_root();
    EXPECT(0, "127.0.3.250", "", "sh", "-c",
           "\"$0\" ping -q -c 3 -i 0.5 $(for i in $(seq 250); do echo 127.0.2.$i 127.0.3.$i; done)", oculi);
    EXPECT(0, "127.0.3.250", "", "sh", "-c",
           "\"$0\" trace -n -q $(for i in $(seq 250); do echo 127.0.2.$i 127.0.3.$i; done)", oculi);
}

static void no_permission(void **state)
{
    (void)state;
    needs_root();
    EXPECT(1, "", "setcap cap_net_raw+ep", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MEASURE,
           "--server", "127.0.0.1", "--protocol", "icmp");
}

/* A namespace in which nothing leads anywhere, and standard output that takes nothing. */
static void no_way_out(void **state)
{
    (void)state;
    needs_root();
    EXPECT(1, "", "Could not send: Network is unreachable", "unshare", "--net", MEASURE, "--server", "192.0.2.1",
           "--protocol", "icmp");
    EXPECT(1, "\"errorDetails\": \"Could not send: Network is unreachable: ", "", "unshare", "--net", MEASURE,
           "--server", "192.0.2.1", "--protocol", "icmp", "--json");
    EXPECT(1, "", "standard output could not be written", "sh", "-c", "exec \"$0\" \"$@\" > /dev/full", MEASURE,
           "--server", "127.0.0.1", "--protocol", "icmp", "--json");
}

static void the_loopback(void **state)
{
    (void)state;
    needs_root();
    EXPECT(0, "reached the target in 1 hop", "", MEASURE, "--server", "127.0.0.1", "--protocol", "icmp");
    EXPECT(0, "stream      50       50    0.0%", "", MEASURE, "--server", "localhost", "--protocol", "icmp",
           "--ipv6-policy", "force-ipv4");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(what_this_build_cannot_do),
        cmocka_unit_test(a_host_that_has_no_address),
        cmocka_unit_test(everyday_commands),
        cmocka_unit_test(broken_output),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(a_stall_overtakes_nobody),
        cmocka_unit_test(many_hosts),
        cmocka_unit_test(no_permission),
        cmocka_unit_test(no_way_out),
        cmocka_unit_test(the_loopback),
    };
    if (argc < 2)
        return harness_skip("the program to check was not named");
    oculi = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
