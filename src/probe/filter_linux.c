#include "probe/filter_linux.h"

#include <linux/filter.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/open.h"

static int attach(int fd, struct sock_filter *code, size_t count)
{
    struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* Only what can answer a probe: echo replies and errors. On the loopback interface our own requests come by too. */
static int hear_icmp(int fd, int family)
{
    struct sock_filter answers4[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IPv4 header */
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),  /* A = ICMP type */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 3, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 11, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 12, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
    };
    if (family == AF_INET)
        return attach(fd, answers4, sizeof answers4 / sizeof answers4[0]);
    int none = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    struct icmp6_filter filter;
    memset(&filter, 0xff, sizeof filter); /* a bit set = refused */
    static const unsigned answers6[] = {1, 2, 3, 4, 129};
    for (size_t i = 0; i < sizeof answers6 / sizeof answers6[0]; i++)
        filter.data[answers6[i] / 32] &= ~(1u << answers6[i] % 32);
    return setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter, sizeof filter);
}

/* Only what goes to our ports. A filter sees IPv4 packets with their header, IPv6 packets without. */
static int hear_ports(int fd, int family)
{
    struct sock_filter ports4[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IPv4 header */
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),  /* A = destination port */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, PROBE_PORT_LOW, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter ports6[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, PROBE_PORT_LOW, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    return family == AF_INET ? attach(fd, ports4, sizeof ports4 / sizeof ports4[0])
                             : attach(fd, ports6, sizeof ports6 / sizeof ports6[0]);
}

int filter_answers(int fd, int family, uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ? hear_ports(fd, family) : hear_icmp(fd, family);
}

int filter_everything(int fd)
{
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    return attach(fd, nothing, 1);
}
