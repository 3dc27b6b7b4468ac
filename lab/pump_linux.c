#include "lab/pump.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define READS_AT_ONCE 64u      /* of one device before what is due gets its turn */
#define CLOCKS_EVERY_NS CLOCK_S /* how often the offset between the clocks is measured */

static int64_t mono_ns(void)
{
    return clock_mono_ns(&clock_real);
}

/* The tightest of a few readings, so that being interrupted between the two does not count. */
static int64_t measure_offset(void)
{
    int64_t best_width = INT64_MAX, offset = 0;
    for (int i = 0; i < 5; i++) {
        int64_t before = mono_ns(), wall = clock_wall_ns(&clock_real), after = mono_ns();
        if (after - before < best_width) {
            best_width = after - before;
            offset = before + (after - before) / 2 - wall;
        }
    }
    return offset;
}

static unsigned bin_of(int64_t late_ns)
{
    unsigned bin = 0;
    for (double edge = 1000; bin < LAB_LATE_BINS - 1 && (double)late_ns > edge; bin++)
        edge *= 1.4142135623730951;
    return bin;
}

static void on_packet(void *user, unsigned vantage, const void *packet, size_t size, int64_t due_ns)
{
    struct lab_pump *pump = user;
    int64_t late_ns = mono_ns() - due_ns;
    if (!lab_tun_write(&pump->tuns[vantage], packet, size))
        pump->refused++;
    if (late_ns < 0)
        late_ns = 0;
    pump->written++;
    pump->late_sum_ns += (uint64_t)late_ns;
    if ((uint64_t)late_ns > pump->late_max_ns)
        pump->late_max_ns = (uint64_t)late_ns;
    pump->late[bin_of(late_ns)]++;
}

int lab_pump_init(struct lab_pump *pump, struct lab_net *net, struct lab_tun *tuns, unsigned count,
                  const sigset_t *signals, struct error *err)
{
    *pump = (struct lab_pump){.net = net, .tuns = tuns, .count = count, .spin_ns = 60 * CLOCK_US};
    pump->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pump->signal_fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (pump->epoll_fd < 0 || pump->signal_fd < 0 || sigprocmask(SIG_BLOCK, signals, NULL) < 0)
        return error_sys(err, errno, "epoll", "cannot wait for packets");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    if (epoll_ctl(pump->epoll_fd, EPOLL_CTL_ADD, pump->signal_fd, &event) < 0)
        return error_sys(err, errno, "epoll", "cannot wait for signals");
    for (unsigned i = 0; i < count; i++) {
        event.data.u32 = i;
        if (epoll_ctl(pump->epoll_fd, EPOLL_CTL_ADD, tuns[i].fd, &event) < 0)
            return error_sys(err, errno, tuns[i].name, "cannot wait for packets");
    }
    lab_net_set_output(net, on_packet, pump);
    return 0;
}

void lab_pump_done(struct lab_pump *pump)
{
    if (pump->epoll_fd >= 0)
        (void)close(pump->epoll_fd);
    if (pump->signal_fd >= 0)
        (void)close(pump->signal_fd);
}

/* Reads what the devices have; true when there was anything. */
static bool read_all(struct lab_pump *pump)
{
    static uint8_t packet[65536];
    bool has_read = false;
    for (unsigned i = 0; i < pump->count; i++) {
        if (!lab_tun_may_read(&pump->tuns[i]))
            continue;
        for (unsigned k = 0; k < READS_AT_ONCE; k++) {
            int64_t now = mono_ns(), sent;
            size_t size = lab_tun_read(&pump->tuns[i], packet, sizeof packet, now, pump->mono_minus_real_ns, &sent);
            if (size == 0)
                break;
            has_read = true;
            lab_net_input(pump->net, i, packet, size, sent);
            if (lab_net_next_ns(pump->net) <= now)
                break;
        }
    }
    return has_read;
}

static int take_signal(struct lab_pump *pump)
{
    struct signalfd_siginfo info;
    return read(pump->signal_fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

int lab_pump_run(struct lab_pump *pump)
{
    int64_t clocks_at = INT64_MIN;
    for (unsigned turn = 0;; turn++) {
        int64_t now = mono_ns();
        if (now >= clocks_at) {
            pump->mono_minus_real_ns = measure_offset();
            lab_net_set_wall_offset(pump->net, -pump->mono_minus_real_ns);
            clocks_at = now + CLOCKS_EVERY_NS;
        }
        lab_net_step(pump->net, now);
        bool has_read = read_all(pump);
        int64_t next = lab_net_next_ns(pump->net), wait = clocks_at - mono_ns();
        if (next != LAB_NEVER && next - mono_ns() - pump->spin_ns < wait)
            wait = next - mono_ns() - pump->spin_ns;
        bool is_sleeping = !has_read && !pump->is_busy && wait > 0;
        /* While busy, signals and devices without a ring are still looked at now and then. */
        if (!is_sleeping && turn % 256 != 0)
            continue;
        struct timespec timeout = {0};
        if (is_sleeping)
            timeout = (struct timespec){.tv_sec = wait / CLOCK_S, .tv_nsec = wait % CLOCK_S};
        struct epoll_event events[8];
        int n = epoll_pwait2(pump->epoll_fd, events, 8, &timeout, NULL);
        int signo = 0;
        for (int i = 0; i < n; i++)
            if (events[i].data.u32 == UINT32_MAX)
                signo = take_signal(pump);
        if (signo)
            return signo;
    }
}

int64_t lab_pump_late_ns(const struct lab_pump *pump, double share)
{
    uint64_t need = (uint64_t)((double)pump->written * share), seen = 0;
    double edge = 1000;
    for (unsigned i = 0; i < LAB_LATE_BINS; i++, edge *= 1.4142135623730951) {
        seen += pump->late[i];
        if (seen >= need)
            return edge < (double)pump->late_max_ns ? (int64_t)edge : (int64_t)pump->late_max_ns;
    }
    return (int64_t)pump->late_max_ns;
}

void lab_pump_report(const struct lab_pump *pump, struct buf *json)
{
    buf_printf(json, "{\"written\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"lateP50Ns\":%" PRId64, pump->written,
               pump->refused, lab_pump_late_ns(pump, 0.5));
    buf_printf(json, ",\"lateP99Ns\":%" PRId64 ",\"lateMaxNs\":%" PRIu64 ",\"devices\":[",
               lab_pump_late_ns(pump, 0.99), pump->late_max_ns);
    for (unsigned i = 0; i < pump->count; i++)
        buf_printf(json, "%s{\"vantage\":\"%s\",\"stamped\":%" PRIu64 ",\"unstamped\":%" PRIu64 ",\"dropped\":%" PRIu64 "}",
                   i ? "," : "", lab_net_vantage_name(pump->net, i), pump->tuns[i].stamped, pump->tuns[i].unstamped,
                   lab_tun_dropped(&pump->tuns[i]));
    buf_puts(json, "]}");
}
