#include "base/service.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

/* A path, or @ and a name of the abstract name space. */
static socklen_t read_socket(struct sockaddr_un *address)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t length = name ? strlen(name) : 0;
    if (length < 2 || length >= sizeof address->sun_path || (name[0] != '/' && name[0] != '@'))
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    if (name[0] == '@')
        address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

bool service_tell(const char *format, ...)
{
    struct sockaddr_un address;
    socklen_t length = read_socket(&address);
    if (length == 0)
        return false;
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size <= 0 || (size_t)size >= sizeof text)
        return false;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_sent = sendto(fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, length) == size;
    (void)close(fd);
    return is_sent;
}

bool service_tell_reloading(void)
{
    return service_tell("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono_ns(&clock_real) / CLOCK_US));
}

int64_t service_watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t us, whose;
    if (!usec || str_to_i64(usec, 1, INT64_MAX / CLOCK_US, &us))
        return 0;
    if (pid && (str_to_i64(pid, 1, INT32_MAX, &whose) || whose != getpid()))
        return 0;
    return us * CLOCK_US / 2;
}
