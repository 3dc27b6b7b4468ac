#include "agent/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define NET_BUFFER_BYTES 32768
#define NET_INTERFACES 256
#define NET_WAIT_MS 200 /* the kernel answers at once; this is for a bug of ours */

struct interface {
    int index;
    char name[16];
    bool is_up, is_loopback;
};

struct net {
    int fd;
    uint32_t sequence;
    struct interface interfaces[NET_INTERFACES];
    size_t interface_count;
    struct net_address *addresses; /* being filled */
    size_t address_count, address_max;
    bool takes_all; /* loopback and link-local ones too */
    union {
        struct nlmsghdr header;
        char bytes[NET_BUFFER_BYTES];
    } buffer;
};

static int enter(const char *netns, struct error *err)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open the network namespace");
    int rc = setns(fd, CLONE_NEWNET) == 0 ? 0 : error_sys(err, errno, path, "cannot enter the network namespace");
    (void)close(fd);
    return rc;
}

int net_socket(const char *netns, int *ret_fd, struct error *err)
{
    int home = netns ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
    if (netns && home < 0)
        return error_sys(err, errno, "", "cannot tell the network namespace of this process");
    int rc = netns ? enter(netns, err) : 0;
    int fd = rc ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (!rc && fd < 0)
        rc = error_sys(err, errno, "", "cannot ask the kernel about its network");
    if (!rc && netns && setns(home, CLONE_NEWNET) != 0) {
        rc = error_sys(err, errno, netns, "cannot come back from the network namespace");
        (void)close(fd);
    }
    if (home >= 0)
        (void)close(home);
    if (!rc)
        *ret_fd = fd;
    return rc;
}

struct net *net_new(int fd)
{
    struct net *net = mem_alloc(sizeof *net);
    net->fd = fd;
    net->sequence = (uint32_t)getpid() << 8; /* an earlier worker's answers are not for us */
    return net;
}

void net_free(struct net *net)
{
    mem_free(net);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

struct ask {
    struct nlmsghdr header;
    union {
        struct rtgenmsg any;
        struct rtmsg route;
        struct ndmsg neighbour;
    } body;
    char attributes[64];
};

typedef void net_fn(struct net *net, const struct nlmsghdr *header, void *user);

static void add_attribute(struct ask *ask, unsigned short type, const void *bytes, size_t size)
{
    size_t at = NLMSG_ALIGN(ask->header.nlmsg_len);
    struct rtattr attribute = {.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type};
    memcpy((char *)ask + at, &attribute, sizeof attribute);
    memcpy((char *)ask + at + RTA_LENGTH(0), bytes, size);
    ask->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
}

/* Returns 0, or the error the kernel gives (an errno value). */
static int answers(struct net *net, net_fn *fn, void *user)
{
    for (;;) {
        struct pollfd wait = {.fd = net->fd, .events = POLLIN};
        if (poll(&wait, 1, NET_WAIT_MS) != 1)
            return ETIMEDOUT;
        ssize_t size = recv(net->fd, net->buffer.bytes, sizeof net->buffer.bytes, MSG_DONTWAIT);
        if (size < 0 && errno != EAGAIN && errno != EINTR)
            return errno;
        for (const struct nlmsghdr *header = &net->buffer.header; size > 0 && NLMSG_OK(header, (uint32_t)size);
             header = NLMSG_NEXT(header, size)) {
            if (header->nlmsg_seq != net->sequence)
                continue;
            if (header->nlmsg_type == NLMSG_DONE)
                return 0;
            if (header->nlmsg_type == NLMSG_ERROR)
                return -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
            fn(net, header, user);
            if (!(header->nlmsg_flags & NLM_F_MULTI))
                return 0;
        }
    }
}

static int ask_kernel(struct net *net, struct ask *ask, net_fn *fn, void *user)
{
    ask->header.nlmsg_seq = ++net->sequence;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(net->fd, ask, ask->header.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        return errno;
    return answers(net, fn, user);
}

static int dump(struct net *net, unsigned short type, net_fn *fn)
{
    struct ask ask = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof ask.body.any),
                                 .nlmsg_type = type,
                                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    return ask_kernel(net, &ask, fn, NULL);
}

static const struct rtattr *find_attribute(const struct nlmsghdr *header, size_t body, unsigned short type)
{
    const struct rtattr *attribute =
        (const struct rtattr *)(const void *)((const char *)NLMSG_DATA(header) + NLMSG_ALIGN(body));
    size_t size = header->nlmsg_len - NLMSG_LENGTH(body);
    while (size >= sizeof *attribute && attribute->rta_len >= sizeof *attribute && attribute->rta_len <= size) {
        if ((attribute->rta_type & NLA_TYPE_MASK) == type)
            return attribute;
        size_t step = RTA_ALIGN((size_t)attribute->rta_len);
        if (step >= size)
            break;
        attribute = (const struct rtattr *)(const void *)((const char *)attribute + step);
        size -= step;
    }
    return NULL;
}

static bool take_address(const struct rtattr *attribute, int family, union sock_addr *ret_addr)
{
    size_t want = family == AF_INET ? 4 : 16;
    if (!attribute || RTA_PAYLOAD(attribute) != want)
        return false;
    sock_from_ip_bytes(ret_addr, family, RTA_DATA(attribute));
    return true;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void on_link(struct net *net, const struct nlmsghdr *header, void *user)
{
    (void)user;
    if (header->nlmsg_type != RTM_NEWLINK || net->interface_count == NET_INTERFACES)
        return;
    const struct ifinfomsg *info = NLMSG_DATA(header);
    const struct rtattr *name = find_attribute(header, sizeof *info, IFLA_IFNAME);
    struct interface *one = &net->interfaces[net->interface_count++];
    *one = (struct interface){.index = info->ifi_index,
                              .is_up = (info->ifi_flags & IFF_UP) != 0,
                              .is_loopback = (info->ifi_flags & IFF_LOOPBACK) != 0};
    if (name)
        (void)snprintf(one->name, sizeof one->name, "%.*s", (int)RTA_PAYLOAD(name), (const char *)RTA_DATA(name));
}

static const struct interface *find_interface(const struct net *net, int index)
{
    for (size_t i = 0; i < net->interface_count; i++) {
        if (net->interfaces[i].index == index)
            return &net->interfaces[i];
    }
    return NULL;
}

static void on_address(struct net *net, const struct nlmsghdr *header, void *user)
{
    (void)user;
    const struct ifaddrmsg *info = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWADDR || net->address_count == net->address_max ||
        (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
        return;
    const struct interface *interface = find_interface(net, (int)info->ifa_index);
    const struct rtattr *local = find_attribute(header, sizeof *info, IFA_LOCAL); /* point to point: ours */
    if (!local)
        local = find_attribute(header, sizeof *info, IFA_ADDRESS);
    struct net_address *one = &net->addresses[net->address_count];
    *one = (struct net_address){0};
    if (!interface || !interface->is_up || !take_address(local, info->ifa_family, &one->addr))
        return;
    bool is_own_only = interface->is_loopback || info->ifa_scope == RT_SCOPE_LINK || info->ifa_scope == RT_SCOPE_HOST;
    if (is_own_only && !net->takes_all)
        return;
    (void)str_copy(one->interface, sizeof one->interface, interface->name);
    net->address_count++;
}

static size_t list_addresses(struct net *net, struct net_address *addresses, size_t max, bool takes_all)
{
    net->interface_count = net->address_count = 0;
    net->addresses = addresses;
    net->address_max = max;
    net->takes_all = takes_all;
    if (dump(net, RTM_GETLINK, on_link) || dump(net, RTM_GETADDR, on_address))
        return 0;
    return net->address_count;
}

size_t net_addresses(struct net *net, struct net_address *addresses, size_t max)
{
    return list_addresses(net, addresses, max, false);
}

static void on_route(struct net *net, const struct nlmsghdr *header, void *user);

struct route {
    int family, interface;
    unsigned char type;
    bool is_found;
    union sock_addr gateway;
};

static int find_route(struct net *net, const union sock_addr *dst, struct route *ret_route)
{
    struct ask ask = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof ask.body.route),
                                 .nlmsg_type = RTM_GETROUTE,
                                 .nlmsg_flags = NLM_F_REQUEST},
                      .body = {.route = {.rtm_family = (unsigned char)dst->sa.sa_family}}};
    size_t size;
    const void *bytes = sock_ip_bytes(dst, &size);
    ask.body.route.rtm_dst_len = (unsigned char)(size * 8);
    add_attribute(&ask, RTA_DST, bytes, size);
    *ret_route = (struct route){.family = dst->sa.sa_family};
    return ask_kernel(net, &ask, on_route, ret_route);
}

bool net_is_own(struct net *net, const union sock_addr *addr)
{
    struct route route; /* "local" is what the kernel says of every address that it would take packets for */
    return find_route(net, addr, &route) == 0 && route.is_found && route.type == RTN_LOCAL;
}

/* --- the way out -------------------------------------------------------------------------------------------------- */

static void on_route(struct net *net, const struct nlmsghdr *header, void *user)
{
    (void)net;
    struct route *route = user;
    const struct rtmsg *info = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWROUTE)
        return;
    const struct rtattr *interface = find_attribute(header, sizeof *info, RTA_OIF);
    route->is_found = true;
    route->type = info->rtm_type;
    (void)take_address(find_attribute(header, sizeof *info, RTA_GATEWAY), route->family, &route->gateway);
    if (interface && RTA_PAYLOAD(interface) == sizeof route->interface)
        memcpy(&route->interface, RTA_DATA(interface), sizeof route->interface);
}

static void on_neighbour(struct net *net, const struct nlmsghdr *header, void *user)
{
    (void)net;
    const struct ndmsg *info = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWNEIGH)
        return;
    const struct rtattr *times = find_attribute(header, sizeof *info, NDA_CACHEINFO);
    struct nda_cacheinfo ticks = {0};
    if (times && RTA_PAYLOAD(times) >= sizeof ticks)
        memcpy(&ticks, RTA_DATA(times), sizeof ticks);
    bool is_asking = (info->ndm_state & NUD_INCOMPLETE) && ticks.ndm_updated >= (uint32_t)sysconf(_SC_CLK_TCK);
    *(bool *)user = (info->ndm_state & NUD_FAILED) || is_asking;
}

/* What has failed, or has been asked for in vain for a second: whoever keeps sending makes the kernel ask again and again.
 * An entry that is missing or stale was not needed lately. */
static bool is_silent(struct net *net, const struct route *route)
{
    struct ask ask = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof ask.body.neighbour),
                                 .nlmsg_type = RTM_GETNEIGH,
                                 .nlmsg_flags = NLM_F_REQUEST},
                      .body = {.neighbour = {.ndm_family = (unsigned char)route->family,
                                             .ndm_ifindex = route->interface}}};
    size_t size;
    const void *bytes = sock_ip_bytes(&route->gateway, &size);
    bool has_failed = false;
    add_attribute(&ask, NDA_DST, bytes, size);
    return ask_kernel(net, &ask, on_neighbour, &has_failed) == 0 && has_failed;
}

enum net_way net_way(struct net *net, int family, union sock_addr *ret_gateway)
{
    static const unsigned char somewhere4[4] = {192, 0, 2, 1}; /* RFC 5737: nobody routes it in particular */
    static const unsigned char somewhere6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}; /* RFC 3849 */
    union sock_addr dst;
    struct route route;
    sock_from_ip_bytes(&dst, family, family == AF_INET ? somewhere4 : somewhere6);
    int failure = find_route(net, &dst, &route);
    bool is_out = failure == 0 && route.is_found && route.type == RTN_UNICAST;
    if (ret_gateway)
        *ret_gateway = is_out ? route.gateway : (union sock_addr){0};
    if (!is_out)
        return failure == ETIMEDOUT ? NET_UNKNOWN : NET_NO_WAY;
    return sock_is_set(&route.gateway) && is_silent(net, &route) ? NET_SILENT : NET_UNKNOWN;
}
