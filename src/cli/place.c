#include "cli/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/privilege.h"
#include "probe/io.h"
#include "probe/open.h"

static void explain_permission(struct error *err)
{
    char program[200] = "oculi";
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size > 0)
        program[size] = 0;
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used,
             ". Run it as root, or once: setcap cap_net_raw+ep %s", program);
}

static int open_engine(struct place *place, const char *netns, struct error *err)
{
    struct probe_sockets sockets = probe_sockets_none;
    struct probe_io *io = NULL;
    int rc = netns ? privilege_enter_netns(netns, err) : 0;
    if (rc)
        return rc;
    rc = probe_open(NULL, PROBE_QUIET_FEW, &sockets, err);
    if (rc == -E_PERMISSION)
        explain_permission(err);
    if (rc)
        return rc;
    rc = privilege_drop(err);
    if (rc == 0)
        rc = probe_io_linux_new(place->loop, &sockets, &io, err);
    if (rc) {
        probe_close(&sockets);
        return rc;
    }
    rc = probe_engine_new(io, NULL, &place->engine, err);
    if (rc)
        io->ops->close(io);
    return rc;
}

/* The kernel would only say that the network is unreachable. */
static int check_source(struct place *place, const char *text, struct error *err)
{
    union sock_addr src;
    if (!text)
        return 0;
    if (sock_parse_ip(text, &src) != 0)
        return error_set(err, E_INVALID, "--source-ip", "\"%s\" is not an IP address", text);
    int fd = socket(src.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_foreign = fd >= 0 && bind(fd, &src.sa, sock_len(&src)) != 0 && errno == EADDRNOTAVAIL;
    if (fd >= 0)
        close(fd);
    if (is_foreign)
        return error_set(err, E_INVALID, "--source-ip", "%s is no address of this machine", text);
    place->source = src;
    return 0;
}

/* Without an agent's policy: IPv6 where this machine has a way to it. */
static enum sock_family own_family(void)
{
    union sock_addr somewhere;
    if (sock_parse_ip("2000::1", &somewhere) != 0)
        return SOCK_PREFER_IPV4;
    sock_set_port(&somewhere, 9);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has_route = fd >= 0 && connect(fd, &somewhere.sa, sock_len(&somewhere)) == 0;
    if (fd >= 0)
        close(fd);
    return has_route ? SOCK_PREFER_IPV6 : SOCK_PREFER_IPV4;
}

int place_open(struct place *place, const char *netns, const char *source_ip, struct error *err)
{
    *place = (struct place){0};
    int rc = loop_new(&place->loop, err);
    if (rc == 0)
        rc = open_engine(place, netns, err);
    if (rc == 0)
        rc = check_source(place, source_ip, err);
    if (rc == 0)
        rc = resolver_new(place->loop, &place->resolver, err);
    place->family = own_family();
    return rc;
}

void place_close(struct place *place)
{
    probe_engine_free(place->engine);
    resolver_free(place->resolver);
    if (place->loop)
        loop_free(place->loop);
}
