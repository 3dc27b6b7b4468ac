#include "lab/tun.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define RING_FRAME 256u
#define RING_FRAMES 16384u
#define RING_BLOCK (1u << 16)
#define RING_SNAP 64u       /* bytes of each packet that we get to see: enough to know it again */
#define RING_SEARCH 1024u   /* frames passed over at most to find a packet's stamp */
#define QUEUE_PACKETS 20000 /* that may wait in the device */

struct in6_ifreq_kernel { /* struct in6_ifreq of <linux/ipv6.h>, which does not go with <net/if.h> */
    struct in6_addr addr;
    uint32_t prefix;
    int index;
};

static void path_of(const char *name, char *path, size_t size)
{
    (void)snprintf(path, size, LAB_TUN_DIR "/%s", name);
}

/* --- namespaces ------------------------------------------------------------------------------------------------------- */

/* The directory must be a shared mount, as ip-netns(8) makes it, or a removed namespace stays alive in the mount
 * namespaces of others. */
static int prepare_dir(struct error *err)
{
    if (mkdir(LAB_TUN_DIR, 0755) < 0 && errno != EEXIST)
        return error_sys(err, errno, LAB_TUN_DIR, "cannot make the directory of network namespaces");
    if (mount("", LAB_TUN_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
        return 0;
    if (errno == EINVAL && mount(LAB_TUN_DIR, LAB_TUN_DIR, "none", MS_BIND | MS_REC, NULL) == 0 &&
        mount("", LAB_TUN_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
        return 0;
    return error_sys(err, errno, LAB_TUN_DIR, "cannot prepare the directory of network namespaces (root is needed)");
}

static int pin_namespace(const char *name, struct error *err)
{
    char path[192];
    path_of(name, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, E_EXISTS, path,
                         "this network namespace exists already: another lab is running, or `oculi-lab clean` is due");
    if (fd < 0)
        return error_sys(err, errno, path, "cannot make the network namespace");
    (void)close(fd);
    if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) == 0)
        return 0;
    int saved = errno;
    (void)unlink(path);
    return error_sys(err, saved, path, "cannot keep the network namespace");
}

void lab_tun_remove(const char *name)
{
    char path[192];
    path_of(name, path, sizeof path);
    (void)umount2(path, MNT_DETACH);
    (void)unlink(path);
}

int lab_tun_enter(const char *name, struct error *err)
{
    char path[192];
    path_of(name, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open the network namespace");
    int rc = setns(fd, CLONE_NEWNET) < 0 ? error_sys(err, errno, path, "cannot enter the network namespace") : 0;
    (void)close(fd);
    return rc;
}

/* --- the device ------------------------------------------------------------------------------------------------------- */

static void set_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* a kernel without it does not need it */
    ssize_t n = write(fd, value, strlen(value));
    (void)n;
    (void)close(fd);
}

/* No noise of its own on the link: no router solicitations, no link-local address, no duplicate address detection. */
static void quieten(void)
{
    static const char *const settings[][2] = {
        {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "0"},
        {"/proc/sys/net/ipv6/conf/" LAB_TUN_DEVICE "/disable_ipv6", "0"},
        {"/proc/sys/net/ipv6/conf/" LAB_TUN_DEVICE "/addr_gen_mode", "1"},
        {"/proc/sys/net/ipv6/conf/" LAB_TUN_DEVICE "/accept_ra", "0"},
        {"/proc/sys/net/ipv6/conf/" LAB_TUN_DEVICE "/router_solicitations", "0"},
        {"/proc/sys/net/ipv6/conf/" LAB_TUN_DEVICE "/accept_dad", "0"},
        {"/proc/sys/net/ipv4/conf/all/rp_filter", "0"},
        {"/proc/sys/net/ipv4/conf/" LAB_TUN_DEVICE "/rp_filter", "0"},
        {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        set_sysctl(settings[i][0], settings[i][1]);
}

static struct ifreq request_for(const char *device)
{
    struct ifreq req;
    memset(&req, 0, sizeof req);
    (void)str_copy(req.ifr_name, sizeof req.ifr_name, device);
    return req;
}

static int set_up(int sock, const char *device)
{
    struct ifreq req = request_for(device);
    if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
        return -1;
    req.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(sock, SIOCSIFFLAGS, &req);
}

static void put_v4(struct sockaddr *addr, const uint8_t *bytes)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_addr, bytes, 4);
    memcpy(addr, &in, sizeof in);
}

static int add_v4(int sock, const struct lab_prefix *p)
{
    struct ifreq req = request_for(LAB_TUN_DEVICE);
    put_v4(&req.ifr_addr, p->addr.b + 12);
    if (ioctl(sock, SIOCSIFADDR, &req) < 0)
        return -1;
    unsigned bits = p->bits - 96u;
    uint32_t mask = htonl(bits ? UINT32_MAX << (32 - bits) : 0);
    put_v4(&req.ifr_netmask, (const uint8_t *)&mask);
    return ioctl(sock, SIOCSIFNETMASK, &req);
}

static int add_v6(const struct lab_prefix *p, int index)
{
    int sock = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -1;
    struct in6_ifreq_kernel req = {.prefix = p->bits, .index = index};
    memcpy(&req.addr, p->addr.b, 16);
    int rc = ioctl(sock, SIOCSIFADDR, &req);
    if (rc == 0) {
        struct in6_rtmsg route = {.rtmsg_metric = 1024, .rtmsg_flags = RTF_UP, .rtmsg_ifindex = index};
        rc = ioctl(sock, SIOCADDRT, &route);
    }
    int saved = errno;
    (void)close(sock);
    errno = saved;
    return rc;
}

static int add_default_v4(int sock)
{
    static char device[] = LAB_TUN_DEVICE;
    static const uint8_t any[4];
    struct rtentry route = {.rt_flags = RTF_UP, .rt_dev = device};
    put_v4(&route.rt_dst, any);
    put_v4(&route.rt_genmask, any);
    return ioctl(sock, SIOCADDRT, &route);
}

static int configure(const struct lab_node *vantage, uint16_t mtu, int sock)
{
    struct ifreq req = request_for(LAB_TUN_DEVICE);
    if (ioctl(sock, SIOCGIFINDEX, &req) < 0)
        return -1;
    int index = req.ifr_ifindex;
    quieten();
    req = request_for(LAB_TUN_DEVICE);
    req.ifr_mtu = mtu;
    if (ioctl(sock, SIOCSIFMTU, &req) < 0)
        return -1;
    req = request_for(LAB_TUN_DEVICE);
    req.ifr_qlen = QUEUE_PACKETS;
    if (ioctl(sock, SIOCSIFTXQLEN, &req) < 0)
        return -1;
    if (vantage->prefix4.bits > 0 && add_v4(sock, &vantage->prefix4) < 0)
        return -1;
    if (set_up(sock, "lo") < 0 || set_up(sock, LAB_TUN_DEVICE) < 0)
        return -1;
    if (vantage->prefix4.bits > 0 && add_default_v4(sock) < 0)
        return -1;
    return vantage->prefix6.bits > 0 ? add_v6(&vantage->prefix6, index) : 0;
}

static int open_device(struct lab_tun *tun, const struct lab_node *vantage, uint16_t mtu, struct error *err)
{
    tun->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun->fd < 0)
        return error_sys(err, errno, "/dev/net/tun", "cannot open the TUN driver");
    struct ifreq req = request_for(LAB_TUN_DEVICE);
    req.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(tun->fd, TUNSETIFF, &req) < 0)
        return error_sys(err, errno, "/dev/net/tun", "cannot make a TUN device");
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = sock < 0 || configure(vantage, mtu, sock) < 0
                 ? error_sys(err, errno, vantage->name, "cannot configure the device " LAB_TUN_DEVICE)
                 : 0;
    if (sock >= 0)
        (void)close(sock);
    return rc;
}

/* --- stamps ----------------------------------------------------------------------------------------------------------- */

/* A packet ring on the device that keeps the head of each outgoing packet. Without it we still work, less exactly. */
static void open_ring(struct lab_tun *tun)
{
    struct sock_filter only_outgoing[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, RING_SNAP),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof only_outgoing / sizeof *only_outgoing, .filter = only_outgoing};
    struct tpacket_req request = {
        .tp_block_size = RING_BLOCK,
        .tp_block_nr = RING_FRAMES * RING_FRAME / RING_BLOCK,
        .tp_frame_size = RING_FRAME,
        .tp_frame_nr = RING_FRAMES,
    };
    int version = TPACKET_V2;
    tun->ring_fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (tun->ring_fd < 0)
        return;
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(LAB_TUN_DEVICE)};
    tun->ring_size = (size_t)RING_FRAMES * RING_FRAME;
    if (setsockopt(tun->ring_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
        setsockopt(tun->ring_fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) == 0 &&
        setsockopt(tun->ring_fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) == 0 &&
        bind(tun->ring_fd, (struct sockaddr *)&to, sizeof to) == 0) {
        void *ring = mmap(NULL, tun->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, tun->ring_fd, 0);
        if (ring != MAP_FAILED) {
            tun->ring = ring;
            return;
        }
    }
    (void)close(tun->ring_fd);
    tun->ring_fd = -1;
}

static struct tpacket2_hdr *frame_at(const struct lab_tun *tun, uint32_t i)
{
    return (struct tpacket2_hdr *)(void *)(tun->ring + (size_t)(i % RING_FRAMES) * RING_FRAME);
}

static bool is_filled(const struct tpacket2_hdr *frame)
{
    return __atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

/* Stamps come in the order of the packets. A frame whose packet never comes was dropped by the device: it is passed
 * over when a later one fits. */
static bool take_stamp(struct lab_tun *tun, const uint8_t *packet, size_t size, int64_t *ret_real_ns)
{
    for (uint32_t i = 0; i < RING_SEARCH; i++) {
        struct tpacket2_hdr *frame = frame_at(tun, tun->ring_at + i);
        if (!is_filled(frame))
            return false;
        size_t seen = frame->tp_snaplen < RING_SNAP ? frame->tp_snaplen : RING_SNAP;
        if (frame->tp_len != size || seen > size || memcmp((uint8_t *)frame + frame->tp_net, packet, seen) != 0)
            continue;
        *ret_real_ns = (int64_t)frame->tp_sec * CLOCK_S + frame->tp_nsec;
        for (uint32_t k = 0; k <= i; k++)
            __atomic_store_n(&frame_at(tun, tun->ring_at + k)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        tun->ring_at = (tun->ring_at + i + 1) % RING_FRAMES;
        return true;
    }
    return false;
}

/* --- the whole -------------------------------------------------------------------------------------------------------- */

int lab_tun_open(struct lab_tun *tun, const char *prefix, const struct lab_node *vantage, uint16_t mtu, bool has_stamps,
                 struct error *err)
{
    *tun = (struct lab_tun){.fd = -1, .ring_fd = -1, .stats_fd = -1};
    int rc = prepare_dir(err);
    if (rc < 0)
        return rc;
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0 || unshare(CLONE_NEWNET) < 0) {
        rc = error_sys(err, errno, vantage->name, "cannot make a network namespace (root is needed)");
        if (home >= 0)
            (void)close(home);
        return rc;
    }
    (void)snprintf(tun->name, sizeof tun->name, "%.60s-%.64s", prefix, vantage->name);
    rc = pin_namespace(tun->name, err);
    if (rc < 0) {
        tun->name[0] = '\0';
    } else {
        rc = open_device(tun, vantage, mtu, err);
        if (rc == 0) {
            if (has_stamps)
                open_ring(tun);
            tun->stats_fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
        }
    }
    int back = setns(home, CLONE_NEWNET);
    assert(back == 0);
    (void)close(home);
    if (rc < 0)
        lab_tun_close(tun);
    return rc;
}

void lab_tun_close(struct lab_tun *tun)
{
    if (tun->name[0] == '\0')
        return;
    if (tun->ring)
        (void)munmap(tun->ring, tun->ring_size);
    int fds[] = {tun->ring_fd, tun->stats_fd, tun->fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    lab_tun_remove(tun->name);
    *tun = (struct lab_tun){.fd = -1, .ring_fd = -1, .stats_fd = -1};
}

size_t lab_tun_read(struct lab_tun *tun, void *packet, size_t room, int64_t now_ns, int64_t mono_minus_real_ns,
                    int64_t *ret_sent_ns)
{
    ssize_t n = read(tun->fd, packet, room);
    if (n <= 0)
        return 0;
    int64_t real_ns;
    *ret_sent_ns = now_ns;
    if (tun->ring && take_stamp(tun, packet, (size_t)n, &real_ns)) {
        int64_t sent = real_ns + mono_minus_real_ns;
        tun->stamped++;
        /* A stamp from the future or long ago is a stepped clock. */
        if (sent <= now_ns && now_ns - sent < CLOCK_S)
            *ret_sent_ns = sent;
    } else {
        tun->unstamped++;
    }
    return (size_t)n;
}

bool lab_tun_write(struct lab_tun *tun, const void *packet, size_t size)
{
    return write(tun->fd, packet, size) == (ssize_t)size;
}

bool lab_tun_may_read(const struct lab_tun *tun)
{
    return !tun->ring || is_filled(frame_at(tun, tun->ring_at));
}

uint64_t lab_tun_dropped(const struct lab_tun *tun)
{
    char text[4096];
    ssize_t n = pread(tun->stats_fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *line = strstr(text, LAB_TUN_DEVICE ":");
    unsigned long long dropped = 0;
    /* Eight columns of what it received, then bytes, packets, errors and drops of what it sent. */
    if (!line || sscanf(line + strlen(LAB_TUN_DEVICE ":"),
                        " %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &dropped) != 1)
        return 0;
    return dropped;
}
