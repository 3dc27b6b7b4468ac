#include "odd_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"

static int tun_fd = -1;
static _Atomic(odd_answer_fn *) answer_fn;
static atomic_uint probe_count, echo_count;

static const char *const routers4[] = {"10.77.1.1", "10.77.2.1", "10.77.3.1", "10.77.4.1", ODD_TARGET};
static const char *const routers6[] = {"2001:db8:77:1::1", "2001:db8:77:2::1", "2001:db8:77:3::1", "2001:db8:77:4::1",
                                       ODD_TARGET6};

const char *odd_router(bool is_v6, unsigned hop)
{
    return (is_v6 ? routers6 : routers4)[hop - 1];
}

/* RFC 1071. */
uint16_t odd_checksum(const void *bytes, size_t size, uint32_t sum)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    if (size % 2)
        sum += (uint32_t)(p[size - 1] << 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void odd_send(const uint8_t *packet, size_t size)
{
    ssize_t written = write(tun_fd, packet, size);
    (void)written;
}

/* The ICMP message (checksum still zero) in an IP packet to whoever sent the probe. Our replies leave with TTL 64 and
 * lose one for each router on the way back. */
static void send_icmp(const struct odd_probe *probe, const char *from, unsigned distance, const uint8_t *icmp,
                      size_t size)
{
    uint8_t packet[ODD_BYTES] = {0};
    uint8_t ttl = (uint8_t)(64 - (distance - 1));
    if (probe->is_v6) {
        uint8_t pseudo[40] = {0};
        packet[0] = 0x60;
        bytes_put16(packet + 4, (uint16_t)size);
        packet[6] = 58;
        packet[7] = ttl;
        inet_pton(AF_INET6, from, packet + 8);
        memcpy(packet + 24, probe->packet + 8, 16);
        memcpy(packet + 40, icmp, size);
        memcpy(pseudo, packet + 8, 32);
        bytes_put16(pseudo + 34, (uint16_t)size);
        pseudo[39] = 58;
        uint32_t sum = (uint16_t)~odd_checksum(pseudo, sizeof pseudo, 0);
        bytes_put16(packet + 42, odd_checksum(packet + 40, size, sum));
        odd_send(packet, 40 + size);
        return;
    }
    packet[0] = 0x45;
    bytes_put16(packet + 2, (uint16_t)(20 + size));
    packet[8] = ttl;
    packet[9] = 1;
    inet_pton(AF_INET, from, packet + 12);
    memcpy(packet + 16, probe->packet + 12, 4);
    bytes_put16(packet + 10, odd_checksum(packet, 20, 0));
    memcpy(packet + 20, icmp, size);
    bytes_put16(packet + 22, odd_checksum(packet + 20, size, 0));
    odd_send(packet, 20 + size);
}

static unsigned distance_of(const struct odd_probe *probe)
{
    return probe->ttl > ODD_ROUTERS ? ODD_ROUTERS + 1 : probe->ttl;
}

void odd_reply(const struct odd_probe *probe, const char *from, size_t payload_max)
{
    uint8_t icmp[ODD_BYTES];
    size_t size = probe->icmp_size < 8 + payload_max ? probe->icmp_size : 8 + payload_max;
    memcpy(icmp, probe->icmp, size);
    icmp[0] = probe->is_v6 ? 129 : 0;
    icmp[2] = icmp[3] = 0;
    send_icmp(probe, from ? from : odd_router(probe->is_v6, ODD_ROUTERS + 1), distance_of(probe), icmp, size);
}

void odd_error(const struct odd_probe *probe, const struct odd_error *error)
{
    uint8_t icmp[ODD_BYTES] = {error->type, error->code};
    uint8_t *quote = icmp + 8;
    size_t size = error->quote_max && error->quote_max < probe->size ? error->quote_max : probe->size;
    memcpy(quote, probe->packet, size);
    quote[probe->is_v6 ? 7 : 8] = error->quoted_ttl < 0 ? 1 : (uint8_t)error->quoted_ttl;
    if (!probe->is_v6) {
        quote[10] = quote[11] = 0;
        bytes_put16(quote + 10, odd_checksum(quote, 20, 0));
    }
    if (error->rewrite)
        error->rewrite(quote, size);
    if (size < error->pad_to)
        size = error->pad_to;
    if (error->extension)
        memcpy(quote + size, error->extension, error->extension_size);
    icmp[probe->is_v6 ? 4 : 5] = error->length_field;
    send_icmp(probe, error->from, distance_of(probe), icmp, 8 + size + error->extension_size);
}

void odd_normal(const struct odd_probe *probe)
{
    if (probe->ttl > ODD_ROUTERS)
        odd_reply(probe, NULL, ODD_BYTES);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, probe->ttl),
                                             .type = probe->is_v6 ? 3 : 11, .quoted_ttl = -1});
}

static void take(const uint8_t *packet, size_t size)
{
    struct odd_probe probe = {.packet = packet, .size = size};
    if (size >= 28 && packet[0] == 0x45 && packet[9] == 1) {
        probe.ttl = packet[8];
        probe.icmp = packet + 20;
        probe.icmp_size = size - 20;
    } else if (size >= 48 && packet[0] >> 4 == 6 && packet[6] == 58) {
        probe.is_v6 = true;
        probe.ttl = packet[7];
        probe.icmp = packet + 40;
        probe.icmp_size = size - 40;
    } else {
        return;
    }
    odd_answer_fn *answer = atomic_load(&answer_fn);
    if (probe.icmp[0] != (probe.is_v6 ? 128 : 8) || !answer)
        return;
    probe.count = atomic_fetch_add(&probe_count, 1);
    if (probe.ttl > ODD_ROUTERS)
        atomic_fetch_add(&echo_count, 1);
    answer(&probe);
}

static void *work(void *arg)
{
    (void)arg;
    for (;;) {
        uint8_t packet[ODD_BYTES];
        ssize_t size = read(tun_fd, packet, sizeof packet);
        if (size > 0)
            take(packet, (size_t)size);
    }
    return NULL;
}

static void command(const char *text)
{
    if (system(text) != 0)
        fail_msg("%s failed", text);
}

void odd_open(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "odd0"};
    pthread_t thread;
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    tun_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    assert_true(tun_fd >= 0);
    assert_int_equal(ioctl(tun_fd, TUNSETIFF, &request), 0);
    command("ip link set lo up");
    command("ip addr add " ODD_OWN "/32 dev odd0");
    command("ip -6 addr add " ODD_OWN6 "/128 dev odd0 nodad");
    command("ip link set odd0 up");
    command("ip route add default dev odd0 src " ODD_OWN);
    command("ip -6 route add default dev odd0 src " ODD_OWN6);
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
}

void odd_scene(odd_answer_fn *answer)
{
    if (answer) {
        atomic_store(&probe_count, 0);
        atomic_store(&echo_count, 0);
    }
    atomic_store(&answer_fn, answer);
}

unsigned odd_echo_count(void)
{
    return atomic_load(&echo_count);
}
