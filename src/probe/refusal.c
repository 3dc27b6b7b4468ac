#include "probe/refusal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
    int sys_errno;
    const char *text;
} refusals[] = {
    {EINVAL, "a blackhole route of this machine discards what goes there"},
    {ENETUNREACH, "Network is unreachable: no route of this machine leads there"},
    {EHOSTUNREACH, "No route to host: a route of this machine says that it is unreachable"},
    {EACCES, "Permission denied: a route of this machine prohibits it, or it is a broadcast address"},
    {EPERM, "Operation not permitted: a firewall of this machine discards it"},
    {ENETDOWN, "Network is down: the interface that leads there is switched off"},
    {EADDRNOTAVAIL, "Cannot assign requested address: this machine has no address from which it could go there"},
    {EAFNOSUPPORT, "Address family not supported: this machine has no sockets for it"},
    {EMSGSIZE, "Message too long: more than the MTU of the interface that leads there"},
};

const char *refusal_text(int sys_errno, const union sock_addr *src)
{
    if (sys_errno == EINVAL && sock_is_set(src))
        return "the source address is none of this machine, or a blackhole route discards what goes there";
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].sys_errno == sys_errno)
            return refusals[i].text;
    }
    return strerror(sys_errno);
}
