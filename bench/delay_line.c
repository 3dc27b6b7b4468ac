/*
 * A line of exactly known delay between two network namespaces with real TCP stacks at its ends: the kernels of many
 * machines have no means of their own for that.
 *
 *     delay_line NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B DELAY_US
 *
 * Makes a TUN device in each namespace and hands every packet that enters one to the other DELAY_US after it was read. Runs with
 * real-time priority and watches the clock shortly before a packet is due. Writes "ready" when the devices are there; ends on SIGTERM
 * and tells on standard error what it carried and how late it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define QUEUE 16384u
#define PACKET_BYTES 1600u
#define WATCH_NS (150 * CLOCK_US)
#define LATE_NS (20 * CLOCK_US)

struct packet {
    int64_t due_ns;
    size_t size;
    uint8_t bytes[PACKET_BYTES];
};

/* One direction: a ring of packets under way, the oldest first. */
struct way {
    int from_fd, to_fd;
    struct packet *ring;
    uint32_t head, tail;
    uint64_t carried, late, refused;
    int64_t worst_ns;
};

static volatile sig_atomic_t is_over;

static void on_signal(int signo)
{
    (void)signo;
    is_over = 1;
}

static int64_t now_ns(void)
{
    return clock_mono_ns(&clock_real);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_tun(const char *namespace, const char *device)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    (void)snprintf(path, sizeof path, "/run/netns/%s", namespace);
    (void)str_copy(request.ifr_name, sizeof request.ifr_name, device);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = open(path, O_RDONLY | O_CLOEXEC);
    if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0)
        fail(path);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 || setns(home, CLONE_NEWNET) != 0)
        fail("tun");
    (void)close(home);
    (void)close(there);
    return fd;
}

static void deliver(struct way *way)
{
    while (way->head != way->tail) {
        const struct packet *packet = &way->ring[way->head % QUEUE];
        int64_t late_ns = now_ns() - packet->due_ns;
        if (late_ns < 0)
            return;
        if (write(way->to_fd, packet->bytes, packet->size) < 0)
            way->refused++;
        way->carried++;
        way->late += late_ns > LATE_NS;
        if (late_ns > way->worst_ns)
            way->worst_ns = late_ns;
        way->head++;
    }
}

static bool take(struct way *way, int64_t delay_ns)
{
    if (way->tail - way->head == QUEUE)
        return false;
    struct packet *packet = &way->ring[way->tail % QUEUE];
    ssize_t size = read(way->from_fd, packet->bytes, sizeof packet->bytes);
    if (size <= 0)
        return false;
    packet->size = (size_t)size;
    packet->due_ns = now_ns() + delay_ns;
    way->tail++;
    return true;
}

/* Until something comes, or the next packet is nearly due: the rest of the time is spent watching the clock. */
static void rest(const struct way ways[2])
{
    int64_t due_ns = INT64_MAX, now = now_ns();
    for (int i = 0; i < 2; i++) {
        if (ways[i].head != ways[i].tail && ways[i].ring[ways[i].head % QUEUE].due_ns < due_ns)
            due_ns = ways[i].ring[ways[i].head % QUEUE].due_ns;
    }
    int64_t sleep_ns = due_ns == INT64_MAX ? CLOCK_S : due_ns - WATCH_NS - now;
    struct pollfd fds[2] = {{ways[0].from_fd, POLLIN, 0}, {ways[1].from_fd, POLLIN, 0}};
    if (sleep_ns > 0)
        (void)ppoll(fds, 2, &(struct timespec){sleep_ns / CLOCK_S, sleep_ns % CLOCK_S}, NULL);
}

static void carry(struct way ways[2], int64_t delay_ns)
{
    while (!is_over) {
        bool has_taken = false;
        for (int i = 0; i < 2; i++) {
            deliver(&ways[i]);
            has_taken |= take(&ways[i], delay_ns);
        }
        if (!has_taken)
            rest(ways);
    }
}

int main(int argc, char **argv)
{
    int64_t delay_us;
    if (argc != 6 || str_to_i64(argv[5], 0, 10000000, &delay_us) != 0) {
        (void)fprintf(stderr, "usage: delay_line NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B DELAY_US\n");
        return 2;
    }
    int a = open_tun(argv[1], argv[2]), b = open_tun(argv[3], argv[4]);
    struct way ways[2] = {{.from_fd = a, .to_fd = b}, {.from_fd = b, .to_fd = a}};
    struct sigaction action = {.sa_handler = on_signal};
    for (int i = 0; i < 2; i++)
        ways[i].ring = mem_alloc_array(QUEUE, sizeof *ways[i].ring);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 20});
    (void)printf("ready\n");
    (void)fflush(stdout);
    carry(ways, delay_us * CLOCK_US);
    for (int i = 0; i < 2; i++) {
        (void)fprintf(stderr, "%s: carried %llu, refused %llu, late by more than 20 us %llu, at worst %.0f us\n",
                      i ? "back" : "there", (unsigned long long)ways[i].carried, (unsigned long long)ways[i].refused,
                      (unsigned long long)ways[i].late, (double)ways[i].worst_ns / 1e3);
        mem_free(ways[i].ring);
    }
    return 0;
}
