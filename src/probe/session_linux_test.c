/* Sessions carried by hand with Linux at the other end: what its TCP makes of them, and that no byte reaches the application.
 * On the loopback interface of a network namespace of its own; without the privilege to make one skipped aloud. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/loop.h"
#include "probe/engine.h"
#include "probe/io.h"
#include "probe/open.h"
#include "probe/ping.h"

static bool is_permitted;

/* A server that accepts one connection. */
struct server {
    int fd;
    pthread_t thread;
    uint32_t banner;   /* bytes it sends at once */
    bool closes;       /* and then closes */
    ssize_t got;       /* bytes it read in all */
    int error;         /* errno of the read that ended it; 0 = end of file */
};

struct machine {
    struct loop *loop;
    struct probe_engine *engine;
    struct arena arena;
    struct probe_ping_settings settings;
    const struct probe_ping_result *result;
    unsigned long rsts, compressed;
};

static int enter_own_network(void **state)
{
    (void)state;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    is_permitted = unshare(CLONE_NEWNET) == 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (is_permitted && ioctl(fd, SIOCSIFFLAGS, &lo) != 0))
        is_permitted = false;
    (void)close(fd);
    if (!is_permitted)
        print_message("# skipped: no privilege to make a network namespace\n");
    return 0;
}

static bool set_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_set = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    if (fd >= 0)
        (void)close(fd);
    return is_set;
}

/* A counter of this namespace's TCP. */
static unsigned long counter(const char *path, const char *group, const char *name)
{
    static char names[8192], values[8192];
    unsigned long value = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(names, sizeof names, file) && fgets(values, sizeof values, file)) {
        char *saved_name, *saved_value;
        char *n = strtok_r(names, " \n", &saved_name), *v = strtok_r(values, " \n", &saved_value);
        if (!n || strcmp(n, group) != 0)
            continue;
        while ((n = strtok_r(NULL, " \n", &saved_name)) && (v = strtok_r(NULL, " \n", &saved_value))) {
            if (strcmp(n, name) == 0)
                value = strtoul(v, NULL, 10);
        }
    }
    (void)fclose(file);
    return value;
}

static unsigned long kernel_rsts(void)
{
    return counter("/proc/thread-self/net/snmp", "Tcp:", "OutRsts");
}

static unsigned long kernel_compressed(void)
{
    return counter("/proc/thread-self/net/netstat", "TcpExt:", "TCPAckCompressed");
}

static void *serve(void *user)
{
    struct server *server = user;
    char bytes[4096] = {0};
    int fd = accept(server->fd, NULL, NULL);
    if (fd < 0) {
        server->error = errno;
        return NULL;
    }
    if (server->banner > 0)
        (void)send(fd, bytes, server->banner, MSG_NOSIGNAL);
    if (server->closes) {
        (void)close(fd);
        return NULL;
    }
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        server->got += got;
    server->error = got < 0 ? errno : 0;
    (void)close(fd);
    return NULL;
}

static void open_server(struct server *server, union sock_addr *addr, bool is_deferred)
{
    int one = 1;
    server->fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    if (is_deferred)
        assert_int_equal(setsockopt(server->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one), 0);
    assert_int_equal(bind(server->fd, &addr->sa, sock_len(addr)), 0);
    assert_int_equal(listen(server->fd, 16), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void close_server(struct server *server)
{
    (void)shutdown(server->fd, SHUT_RDWR); /* should nobody have come */
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->fd);
}

static void open_machine(struct machine *machine, const char *to, uint16_t port)
{
    struct probe_sockets sockets;
    struct probe_io *io;
    if (!is_permitted)
        skip();
    *machine = (struct machine){0};
    arena_init(&machine->arena, 1 << 24);
    assert_int_equal(loop_new(&machine->loop, NULL), 0);
    assert_int_equal(probe_open(NULL, &sockets, NULL), 0);
    assert_int_equal(probe_io_linux_new(machine->loop, &sockets, &io, NULL), 0);
    assert_int_equal(probe_engine_new(io, NULL, &machine->engine, NULL), 0);
    probe_ping_defaults(&machine->settings);
    machine->settings.protocol = PROBE_TCP;
    machine->settings.mode = PROBE_PING_SACK;
    assert_int_equal(sock_parse_ip(to, &machine->settings.dst), 0);
    sock_set_port(&machine->settings.dst, port);
    machine->rsts = kernel_rsts();
    machine->compressed = kernel_compressed();
}

static void close_machine(struct machine *machine)
{
    probe_engine_free(machine->engine);
    loop_free(machine->loop);
    arena_done(&machine->arena);
}

static void on_ping(void *user, const struct probe_ping_result *result)
{
    struct machine *machine = user;
    machine->result = result;
    loop_stop(machine->loop);
}

static void run(struct machine *machine)
{
    struct probe_ping *ping;
    assert_int_equal(probe_ping_start(machine->engine, &machine->settings, &machine->arena, NULL, on_ping, machine, &ping,
                                      NULL),
                     0);
    assert_int_equal(loop_run(machine->loop), 0);
}

static void assert_all_answered(const struct machine *machine, const struct server *server)
{
    const struct probe_ping_result *result = machine->result;
    assert_int_equal(result->session, PROBE_SESSION_OPEN);
    assert_int_equal(result->sent, machine->settings.count);
    assert_int_equal(result->received, machine->settings.count);
    assert_int_equal(result->duplicates, 0);
    assert_int_equal(result->reordered, 0);
    assert_true(result->handshake_ns > 0 && result->mss > 0);
    assert_int_equal(server->got, 0);
    assert_int_equal(server->error, ECONNRESET); /* nothing stays half open */
    assert_int_equal(kernel_rsts(), machine->rsts);
    assert_int_equal(kernel_compressed(), machine->compressed);
}

static void linux_answers_every_probe(void **state)
{
    (void)state;
    static const char *const targets[] = {"127.0.0.1", "::1"};
    static const uint32_t payloads[] = {1, 0, 7, 1000};
    for (size_t t = 0; t < 2; t++) {
        for (size_t p = 0; p < 4; p++) {
            struct machine machine;
            open_machine(&machine, targets[t], 8080);
            struct server server = {.banner = p == 1 ? 300 : 0};
            open_server(&server, &machine.settings.dst, p == 2);
            machine.settings.payload_bytes = payloads[p];
            run(&machine);
            close_server(&server);
            print_message("# %s %u bytes: %.1f us on average, %.1f at most\n", targets[t], payloads[p],
                          machine.result->avg_rtt_ns / 1e3, machine.result->max_rtt_ns / 1e3);
            assert_all_answered(&machine, &server);
            close_machine(&machine);
        }
    }
}

static void without_timestamps_too(void **state)
{
    (void)state;
    struct machine machine;
    open_machine(&machine, "127.0.0.1", 8080);
    assert_true(set_sysctl("/proc/sys/net/ipv4/tcp_timestamps", "0"));
    struct server server = {0};
    open_server(&server, &machine.settings.dst, false);
    run(&machine);
    close_server(&server);
    assert_true(set_sysctl("/proc/sys/net/ipv4/tcp_timestamps", "1"));
    assert_all_answered(&machine, &server);
    close_machine(&machine);
}

static void sack_switched_off_is_told(void **state)
{
    (void)state;
    struct machine machine;
    open_machine(&machine, "127.0.0.1", 8080);
    assert_true(set_sysctl("/proc/sys/net/ipv4/tcp_sack", "0"));
    struct server server = {0};
    open_server(&server, &machine.settings.dst, false);
    run(&machine);
    close_server(&server);
    assert_true(set_sysctl("/proc/sys/net/ipv4/tcp_sack", "1"));
    assert_int_equal(machine.result->session, PROBE_SESSION_NOT_PERMITTED);
    assert_int_equal(machine.result->sent, 0);
    assert_int_equal(server.got, 0);
    close_machine(&machine);
}

static void a_closed_port_refuses(void **state)
{
    (void)state;
    struct machine machine;
    open_machine(&machine, "127.0.0.1", 8081);
    run(&machine);
    assert_int_equal(machine.result->session, PROBE_SESSION_REFUSED);
    assert_int_equal(machine.result->sent, 0);
    close_machine(&machine);
}

static void a_server_that_closes_ends_it(void **state)
{
    (void)state;
    struct machine machine;
    open_machine(&machine, "127.0.0.1", 8080);
    struct server server = {.banner = 20, .closes = true};
    open_server(&server, &machine.settings.dst, false);
    run(&machine);
    close_server(&server);
    assert_true(machine.result->session == PROBE_SESSION_FINISHED || machine.result->session == PROBE_SESSION_RESET);
    close_machine(&machine);
}

static void stopping_resets_the_session(void **state)
{
    (void)state;
    struct machine machine;
    struct probe_ping *ping;
    open_machine(&machine, "127.0.0.1", 8080);
    struct server server = {0};
    open_server(&server, &machine.settings.dst, false);
    assert_int_equal(probe_ping_start(machine.engine, &machine.settings, &machine.arena, NULL, on_ping, &machine, &ping,
                                      NULL),
                     0);
    for (int i = 0; i < 100 && probe_ping_result(ping)->received < 3; i++)
        assert_int_equal(loop_step(machine.loop, 20 * CLOCK_MS), 0);
    assert_true(probe_ping_result(ping)->received >= 3);
    probe_ping_stop(ping);
    probe_engine_free(machine.engine);
    assert_int_equal(pthread_join(server.thread, NULL), 0); /* the RST has come */
    (void)close(server.fd);
    assert_int_equal(server.got, 0);
    assert_int_equal(server.error, ECONNRESET);
    loop_free(machine.loop);
    arena_done(&machine.arena);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(linux_answers_every_probe),
        cmocka_unit_test(without_timestamps_too),
        cmocka_unit_test(sack_switched_off_is_told),
        cmocka_unit_test(a_closed_port_refuses),
        cmocka_unit_test(a_server_that_closes_ends_it),
        cmocka_unit_test(stopping_resets_the_session),
    };
    return cmocka_run_group_tests(checks, enter_own_network, NULL);
}
