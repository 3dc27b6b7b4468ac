/* Checks of the Linux side on the loopback interface of a network namespace of its own. Without the privilege to make
 * one they are skipped, and say so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/loop.h"
#include "probe/engine.h"
#include "probe/io_linux.h"
#include "probe/ping.h"
#include "probe/trace.h"

static bool is_permitted;
static int first_network = -1; /* the one this program was started in */

struct machine {
    struct loop *loop;
    struct probe_engine *engine;
    struct arena arena;
    const struct probe_ping_result *ping;
    const struct probe_trace_result *trace;
    unsigned waiting;
};

static int enter_own_network(void **state)
{
    (void)state;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    first_network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    is_permitted = unshare(CLONE_NEWNET) == 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (is_permitted && ioctl(fd, SIOCSIFFLAGS, &lo) != 0))
        is_permitted = false;
    (void)close(fd);
    return 0;
}

static void open_machine(struct machine *machine, unsigned without, int rcvbuf)
{
    struct error err = {0};
    struct probe_sockets sockets;
    struct probe_io *io;
    if (!is_permitted)
        skip();
    *machine = (struct machine){0};
    arena_init(&machine->arena, 1 << 24);
    assert_int_equal(loop_new(&machine->loop, &err), 0);
    assert_int_equal(probe_open(NULL, PROBE_QUIET_PORTS, &sockets, &err), 0);
    if (rcvbuf)
        assert_int_equal(setsockopt(sockets.icmp[0], SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf), 0);
    assert_int_equal(io_linux_new(machine->loop, &sockets, without, &io, &err), 0);
    assert_int_equal(sockets.icmp[0], -1); /* taken over */
    assert_int_equal(probe_engine_new(io, NULL, &machine->engine, &err), 0);
}

static void close_machine(struct machine *machine)
{
    probe_engine_free(machine->engine);
    loop_free(machine->loop);
    arena_done(&machine->arena);
}

static void finished(struct machine *machine)
{
    if (--machine->waiting == 0)
        loop_stop(machine->loop);
}

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct machine *machine = user;
    machine->ping = result;
    finished(machine);
}

static void on_trace(void *user, const struct probe_trace_result *result)
{
    struct machine *machine = user;
    machine->trace = result;
    finished(machine);
}

static void start_ping(struct machine *machine, const char *to, uint32_t count, uint32_t payload)
{
    struct probe_ping_settings settings;
    struct probe_ping *ping;
    probe_ping_defaults(&settings);
    settings.count = count;
    settings.rate_pps = 1000;
    settings.payload_bytes = payload;
    assert_int_equal(sock_parse_ip(to, &settings.dst), 0);
    assert_int_equal(
        probe_ping_start(machine->engine, &settings, &machine->arena, NULL, on_ping, machine, &ping, NULL), 0);
    machine->waiting++;
}

static const struct probe_ping_result *run_ping(struct machine *machine, const char *to, uint32_t count)
{
    start_ping(machine, to, count, 8);
    assert_int_equal(loop_run(machine->loop), 0);
    return machine->ping;
}

static void echoes_come_back_stamped(void **state)
{
    (void)state;
    static const unsigned modes[] = {0, IO_LINUX_NO_OWN_IDS, IO_LINUX_NO_TX_STAMPS};
    static const char *const targets[] = {"127.0.0.1", "::1", "127.9.9.9"};
    for (size_t m = 0; m < 3; m++) {
        struct machine machine;
        open_machine(&machine, modes[m], 0);
        for (size_t t = 0; t < 3; t++) {
            const struct probe_ping_result *result = run_ping(&machine, targets[t], 30);
            assert_int_equal(result->sent, 30);
            assert_int_equal(result->received, 30);
            assert_int_equal(result->duplicates, 0);
            assert_int_equal(result->overloaded, 0);
            for (uint32_t i = 0; i < 30; i++) {
                assert_int_equal(result->probes[i].is_tx_estimated, modes[m] == IO_LINUX_NO_TX_STAMPS);
                assert_false(result->probes[i].is_rx_estimated);
                assert_in_range(probe_ping_rtt_ns(&result->probes[i]), 1, CLOCK_S);
            }
            assert_true(result->reply_ttl == 64);
        }
        /* Our own requests come by on this interface, and are not taken for anything. */
        assert_int_equal(probe_engine_stats(machine.engine)->received, 90);
        assert_int_equal(probe_engine_stats(machine.engine)->foreign, 0);
        close_machine(&machine);
    }
}

static void no_route_is_a_result(void **state)
{
    (void)state;
    static const unsigned modes[] = {0, IO_LINUX_NO_OWN_IDS};
    for (size_t m = 0; m < 2; m++) {
        struct machine machine;
        open_machine(&machine, modes[m], 0);
        start_ping(&machine, "127.0.0.1", 30, 8); /* at the same time: the stamps must not be mixed up */
        const struct probe_ping_result *result = run_ping(&machine, "192.0.2.1", 5);
        assert_in_range(probe_engine_stats(machine.engine)->refused, 3, 5); /* it gives up, sooner or later */
        result = run_ping(&machine, "127.0.0.1", 30);
        assert_int_equal(result->received, 30);
        for (uint32_t i = 0; i < 30; i++)
            assert_false(result->probes[i].is_tx_estimated);
        result = run_ping(&machine, "2001:db8::1", 5);
        assert_int_equal(result->sent, 0);
        assert_non_null(result->error_text);
        close_machine(&machine);
    }
}

static void traces_of_this_host_have_one_hop(void **state)
{
    (void)state;
    static const char *const targets[] = {"127.0.0.1", "::1"};
    struct machine machine;
    open_machine(&machine, 0, 0);
    for (size_t t = 0; t < 2; t++) {
        struct probe_trace_settings settings;
        struct probe_trace *trace;
        probe_trace_defaults(&settings);
        assert_int_equal(sock_parse_ip(targets[t], &settings.dst), 0);
        assert_int_equal(
            probe_trace_start(machine.engine, &settings, &machine.arena, NULL, on_trace, &machine, &trace, NULL), 0);
        machine.waiting++;
        assert_int_equal(loop_run(machine.loop), 0);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(machine.trace->flows[i].end, PROBE_TRACE_REACHED);
            assert_int_equal(machine.trace->flows[i].hop_count, 1);
            assert_false(machine.trace->flows[i].hops[0].is_tx_estimated);
        }
    }
    close_machine(&machine);
}

/* A port that listens, or one that does not, of this host. */
static union sock_addr tcp_port(const char *address, bool is_open, int *ret_fd)
{
    union sock_addr addr;
    socklen_t size = sizeof addr;
    assert_int_equal(sock_parse_ip(address, &addr), 0);
    *ret_fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, &addr.sa, sock_len(&addr)), 0);
    if (is_open)
        assert_int_equal(listen(*ret_fd, 100), 0);
    assert_int_equal(getsockname(*ret_fd, &addr.sa, &size), 0);
    return addr;
}

static void syns_are_answered_and_leave_nothing_open(void **state)
{
    (void)state;
    static const char *const targets[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 4; i++) {
        struct machine machine;
        struct probe_ping_settings settings;
        struct probe_ping *ping;
        int fd;
        bool is_open = i / 2 == 0;
        open_machine(&machine, 0, 0);
        probe_ping_defaults(&settings);
        settings.protocol = PROBE_TCP;
        settings.dst = tcp_port(targets[i % 2], is_open, &fd);
        settings.count = 30;
        settings.rate_pps = 1000;
        assert_int_equal(
            probe_ping_start(machine.engine, &settings, &machine.arena, NULL, on_ping, &machine, &ping, NULL), 0);
        machine.waiting++;
        assert_int_equal(loop_run(machine.loop), 0);
        assert_int_equal(machine.ping->sent, 30);
        assert_int_equal(machine.ping->received, 30);
        assert_int_equal(machine.ping->duplicates, 0);
        assert_int_equal(machine.ping->resets, is_open ? 0 : 30);
        assert_int_equal(machine.ping->mss != 0, is_open);
        for (uint32_t p = 0; p < 30; p++)
            assert_false(machine.ping->probes[p].is_tx_estimated);
        assert_int_equal(probe_engine_stats(machine.engine)->loose, 0);
        if (is_open) { /* no connection was completed */
            assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
            assert_int_equal(accept(fd, NULL, NULL), -1);
        }
        (void)close(fd);
        close_machine(&machine);
    }
}

static void traces_of_every_protocol_reach_this_host(void **state)
{
    (void)state;
    static const char *const targets[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 8; i++) {
        struct machine machine;
        struct probe_trace_settings settings;
        struct probe_trace *trace;
        int fd;
        open_machine(&machine, 0, 0);
        probe_trace_defaults(&settings);
        settings.protocol = i / 2 == 0 ? PROBE_UDP : PROBE_TCP;
        settings.is_in_session = i / 2 == 3;
        settings.dst = tcp_port(targets[i % 2], i / 2 != 2, &fd);
        assert_int_equal(
            probe_trace_start(machine.engine, &settings, &machine.arena, NULL, on_trace, &machine, &trace, NULL), 0);
        machine.waiting++;
        assert_int_equal(loop_run(machine.loop), 0);
        for (uint32_t j = 0; j < 3; j++) {
            assert_int_equal(machine.trace->flows[j].end, PROBE_TRACE_REACHED);
            assert_int_equal(machine.trace->flows[j].hop_count, 1);
            assert_int_equal(machine.trace->flows[j].is_in_session, i / 2 == 3);
        }
        (void)close(fd);
        close_machine(&machine);
    }
}

static void own_drops_are_counted_by_the_kernel_and_told(void **state)
{
    (void)state;
    struct machine machine;
    open_machine(&machine, 0, 2304);
    for (unsigned i = 0; i < 50; i++) /* each wake-up brings more answers than the buffer holds */
        start_ping(&machine, "127.0.0.1", 20, 1400);
    assert_int_equal(loop_run(machine.loop), 0);
    const struct probe_engine_stats *stats = probe_engine_stats(machine.engine);
    assert_true(stats->dropped > 0);
    assert_true(stats->matched + stats->dropped >= 1000); /* newer kernels count what the filter would refuse as well */
    assert_int_equal(machine.ping->sent, machine.ping->received); /* none is told as lost */
    assert_int_equal(machine.ping->sent + machine.ping->overloaded, 20);
    close_machine(&machine);
}

static void namespaces_that_do_not_exist_are_named(void **state)
{
    (void)state;
    struct probe_sockets sockets;
    struct error err = {0};
    assert_int_equal(probe_open("oculi-no-such-namespace", 0, &sockets, &err), -E_NOT_FOUND);
    assert_string_equal(err.where, "/run/netns/oculi-no-such-namespace");
}

static void other_namespaces_are_entered_and_left(void **state)
{
    (void)state;
    struct probe_sockets sockets;
    char before[64] = {0}, after[64] = {0}, path[64];
    if (!is_permitted)
        skip();
    assert_true(readlink("/proc/thread-self/ns/net", before, sizeof before - 1) > 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", first_network);
    assert_int_equal(probe_open(path, 0, &sockets, NULL), 0);
    probe_close(&sockets);
    assert_int_equal(sockets.icmp[0], -1);
    assert_true(readlink("/proc/thread-self/ns/net", after, sizeof after - 1) > 0);
    assert_string_equal(before, after);
}

/* An agent and two dozen commands in one namespace: each has ports for sessions. */
static void commands_leave_quiet_ports_for_others(void **state)
{
    (void)state;
    struct probe_sockets sockets[24];
    if (!is_permitted)
        skip();
    for (unsigned i = 0; i < 24; i++) {
        unsigned wanted = i ? PROBE_QUIET_FEW : PROBE_QUIET_PORTS, count = 0;
        assert_int_equal(probe_open(NULL, wanted, &sockets[i], NULL), 0);
        while (count < PROBE_QUIET_PORTS && sockets[i].quiet[count] >= 0)
            count++;
        assert_int_equal(count, wanted);
    }
    for (unsigned i = 0; i < 24; i++)
        probe_close(&sockets[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_come_back_stamped),
        cmocka_unit_test(no_route_is_a_result),
        cmocka_unit_test(traces_of_this_host_have_one_hop),
        cmocka_unit_test(syns_are_answered_and_leave_nothing_open),
        cmocka_unit_test(traces_of_every_protocol_reach_this_host),
        cmocka_unit_test(own_drops_are_counted_by_the_kernel_and_told),
        cmocka_unit_test(commands_leave_quiet_ports_for_others),
        cmocka_unit_test(namespaces_that_do_not_exist_are_named),
        cmocka_unit_test(other_namespaces_are_entered_and_left),
    };
    return cmocka_run_group_tests_name("probes on Linux", tests, enter_own_network, NULL);
}
