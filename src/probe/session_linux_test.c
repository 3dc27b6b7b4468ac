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
#include "base/bytes.h"
#include "base/clock.h"
#include "base/loop.h"
#include "probe/engine.h"
#include "probe/io.h"
#include "probe/open.h"
#include "probe/packet.h"
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

/* --- a session in which data has flowed ----------------------------------------------------------------------------- */

#define DATA_BYTES 1200u /* which the application reads: Linux knows a round-trip time from 536 on */

/* Stands between the engine and Linux: right behind the handshake it sends data of its own, in order, and moves the numbers
 * of all that follows by as much. The engine notices nothing; the target has a session with a past. */
struct past {
    struct probe_io io;
    struct probe_io *inner;
    uint32_t base; /* of the SYN */
    bool has_flowed;
};

static struct past *past_of(const struct probe_io *io)
{
    return (struct past *)(uintptr_t)io;
}

static void seal(uint8_t *bytes, size_t size, const union sock_addr *addr)
{
    bytes_put16(bytes + 16, 0);
    uint32_t pseudo = packet_pseudo_sum(addr, addr, IPPROTO_TCP, size); /* both ends are here */
    bytes_put16(bytes + 16, (uint16_t)~packet_fold(packet_sum(bytes, size, pseudo)));
}

static size_t send_one(struct past *past, struct probe_io_packet *packet, const uint8_t *bytes, size_t size)
{
    static uint8_t out[PROBE_IO_HEADROOM + PACKET_MAX_BYTES];
    struct probe_io_packet copy = *packet;
    memcpy(out + PROBE_IO_HEADROOM, bytes, size);
    copy.bytes = out + PROBE_IO_HEADROOM;
    copy.size = (uint16_t)size;
    if (packet->protocol == IPPROTO_TCP)
        seal(out + PROBE_IO_HEADROOM, size, &packet->dst);
    size_t sent = past->inner->ops->send(past->inner, &copy, 1);
    packet->sent_ns = copy.sent_ns;
    packet->error = copy.error;
    return sent;
}

static void let_data_flow(struct past *past, const struct probe_io_packet *ack)
{
    static uint8_t bytes[60 + DATA_BYTES];
    size_t header = (size_t)(ack->bytes[12] >> 4) * 4;
    struct probe_io_packet data = *ack;
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, ack->bytes, header);
    bytes[13] = PACKET_ACK | PACKET_PSH;
    data.token = 0;
    assert_int_equal(send_one(past, &data, bytes, header + DATA_BYTES), 1);
    past->has_flowed = true;
}

static size_t past_send(struct probe_io *io, struct probe_io_packet *packets, size_t count)
{
    struct past *past = past_of(io);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[PACKET_MAX_BYTES];
        memcpy(bytes, packets[i].bytes, packets[i].size);
        bool is_syn = packets[i].protocol == IPPROTO_TCP && bytes[13] & PACKET_SYN;
        if (is_syn)
            past->base = bytes_get32(bytes + 4);
        else if (packets[i].protocol == IPPROTO_TCP && past->has_flowed)
            bytes_put32(bytes + 4, bytes_get32(bytes + 4) + DATA_BYTES);
        if (send_one(past, &packets[i], bytes, packets[i].size) == 0)
            return i;
        if (packets[i].protocol == IPPROTO_TCP && !is_syn && !past->has_flowed)
            let_data_flow(past, &packets[i]);
    }
    return count;
}

static void move_back(uint8_t *bytes, size_t size, uint32_t base)
{
    size_t header = (size_t)(bytes[12] >> 4) * 4;
    if (bytes_get32(bytes + 8) - base > 1)
        bytes_put32(bytes + 8, bytes_get32(bytes + 8) - DATA_BYTES);
    for (size_t at = 20; at + 1 < header && at + 1 < size; at += bytes[at] == 1 ? 1 : bytes[at + 1]) {
        for (size_t edge = at + 2; bytes[at] == 5 && edge + 4 <= at + bytes[at + 1]; edge += 4)
            bytes_put32(bytes + edge, bytes_get32(bytes + edge) - DATA_BYTES);
        if (bytes[at] == 0 || (bytes[at] != 1 && bytes[at + 1] < 2))
            break;
    }
}

static size_t past_receive(struct probe_io *io, struct probe_io_reply *out, size_t room)
{
    struct past *past = past_of(io);
    size_t count = past->inner->ops->receive(past->inner, out, room);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = (uint8_t *)(uintptr_t)out[i].bytes; /* of the buffer of the other side, which has read it */
        if (out[i].protocol != IPPROTO_TCP || !past->has_flowed)
            continue;
        move_back(bytes, out[i].size, past->base);
        seal(bytes, out[i].size, &out[i].src);
    }
    return count;
}

static int64_t past_mono_ns(const struct probe_io *io)
{
    return past_of(io)->inner->ops->mono_ns(past_of(io)->inner);
}

static int64_t past_wall_ns(const struct probe_io *io)
{
    return past_of(io)->inner->ops->wall_ns(past_of(io)->inner);
}

static bool past_has_family(const struct probe_io *io, int family)
{
    return past_of(io)->inner->ops->has_family(past_of(io)->inner, family);
}

static bool past_find_source(const struct probe_io *io, const union sock_addr *dst, union sock_addr *ret_src)
{
    return past_of(io)->inner->ops->find_source(past_of(io)->inner, dst, ret_src);
}

static size_t past_quiet_ports(const struct probe_io *io, const uint16_t **ret_ports)
{
    return past_of(io)->inner->ops->quiet_ports(past_of(io)->inner, ret_ports);
}

static size_t past_stamps(struct probe_io *io, struct probe_io_stamp *out, size_t room)
{
    return past_of(io)->inner->ops->stamps(past_of(io)->inner, out, room);
}

static uint64_t past_dropped(struct probe_io *io)
{
    return past_of(io)->inner->ops->dropped(past_of(io)->inner);
}

static void past_wait(struct probe_io *io, int64_t due_ns, bool wants_input)
{
    past_of(io)->inner->ops->wait(past_of(io)->inner, due_ns, wants_input);
}

static void past_close(struct probe_io *io)
{
    past_of(io)->inner->ops->close(past_of(io)->inner);
}

static void past_wake(void *user)
{
    struct past *past = user;
    past->io.wake(past->io.user);
}

static struct probe_io *past_over(struct past *past, struct probe_io *inner)
{
    static const struct probe_io_ops ops = {past_mono_ns, past_wall_ns, past_has_family, past_find_source,
                                            past_quiet_ports, past_send, past_stamps, past_receive, past_dropped,
                                            past_wait, past_close};
    *past = (struct past){.io = {.ops = &ops}, .inner = inner};
    inner->wake = past_wake;
    inner->user = past;
    return &past->io;
}

/* --- the machine ---------------------------------------------------------------------------------------------------- */

/* past: NULL = sessions begin at their beginning. */
static void open_machine_with(struct machine *machine, const char *to, uint16_t port, struct past *past)
{
    struct probe_sockets sockets;
    struct probe_io *io;
    if (!is_permitted)
        skip();
    *machine = (struct machine){0};
    arena_init(&machine->arena, 1 << 24);
    assert_int_equal(loop_new(&machine->loop, NULL), 0);
    assert_int_equal(probe_open(NULL, PROBE_QUIET_FEW, &sockets, NULL), 0);
    assert_int_equal(probe_io_linux_new(machine->loop, &sockets, &io, NULL), 0);
    io = past ? past_over(past, io) : io;
    assert_int_equal(probe_engine_new(io, NULL, &machine->engine, NULL), 0);
    probe_ping_defaults(&machine->settings);
    machine->settings.protocol = PROBE_TCP;
    machine->settings.mode = PROBE_PING_SACK;
    assert_int_equal(sock_parse_ip(to, &machine->settings.dst), 0);
    sock_set_port(&machine->settings.dst, port);
    machine->rsts = kernel_rsts();
    machine->compressed = kernel_compressed();
}

static void open_machine(struct machine *machine, const char *to, uint16_t port)
{
    open_machine_with(machine, to, port, NULL);
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

static int compare_rtts(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_rtt_ns(const struct probe_ping_result *result)
{
    double rtts[50];
    assert_int_equal(result->probe_count, 50);
    for (uint32_t i = 0; i < 50; i++)
        rtts[i] = (double)probe_ping_rtt_ns(&result->probes[i]);
    qsort(rtts, 50, sizeof rtts[0], compare_rtts);
    return rtts[25];
}

/* Both ends have sent data and the application has read it, so that Linux knows a round-trip time to delay by. */
static void after_data_has_flowed(void **state)
{
    (void)state;
    static const char *const targets[] = {"127.0.0.1", "::1"};
    for (size_t t = 0; t < 2; t++) {
        struct machine machine;
        struct past past;
        open_machine_with(&machine, targets[t], 8080, &past);
        struct server server = {.banner = 3000};
        open_server(&server, &machine.settings.dst, false);
        run(&machine);
        close_server(&server);
        const struct probe_ping_result *result = machine.result;
        double sack_ns = median_rtt_ns(result), most_ns = result->max_rtt_ns;
        assert_true(past.has_flowed);
        assert_int_equal(server.got, DATA_BYTES);
        server.got = 0;
        assert_all_answered(&machine, &server);
        machine.settings.protocol = PROBE_ICMP;
        machine.settings.mode = PROBE_PING_SYN;
        run(&machine);
        double echo_ns = median_rtt_ns(machine.result);
        print_message("# %s after data: %.1f us at the median, %.1f at most; ICMP %.1f and %.1f\n", targets[t], sack_ns / 1e3,
                      most_ns / 1e3, echo_ns / 1e3, machine.result->max_rtt_ns / 1e3);
        assert_true(sack_ns - echo_ns < 50e3); /* delayed acknowledgements come 100 us later and more */
        close_machine(&machine);
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
        cmocka_unit_test(after_data_has_flowed),
        cmocka_unit_test(without_timestamps_too),
        cmocka_unit_test(sack_switched_off_is_told),
        cmocka_unit_test(a_closed_port_refuses),
        cmocka_unit_test(a_server_that_closes_ends_it),
        cmocka_unit_test(stopping_resets_the_session),
    };
    return cmocka_run_group_tests(checks, enter_own_network, NULL);
}
