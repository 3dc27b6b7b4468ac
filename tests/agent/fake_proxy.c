#include "fake_proxy.h"

#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define HEAD_BYTES 16384
#define CONNECTIONS 256

struct fake_proxy {
    int listener;
    uint16_t port;
    enum fake_proxy_auth auth;
    pthread_t thread;
    atomic_size_t passed;
    pthread_t connections[CONNECTIONS];
    size_t connection_count;
    atomic_bool is_closing;
};

struct connection {
    struct fake_proxy *proxy;
    int fd;
};

/* --- signing in --------------------------------------------------------------------------------------------------- */

/* Standard base64 without regard to padding; returns the length. */
static size_t decode64(const char *text, unsigned char *bytes, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t count = 0;
    for (const char *found; *text && (found = strchr(letters, *text)) != NULL && count < size; text++) {
        bits = bits << 6 | (uint32_t)(found - letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes[count++] = (unsigned char)(bits >> have);
        }
    }
    return count;
}

static const char *credentials(const char *head, const char *scheme)
{
    static const char name[] = "Proxy-Authorization: ";
    const char *at = strstr(head, name);
    if (!at || strncmp(at + sizeof name - 1, scheme, strlen(scheme)) != 0)
        return NULL;
    return at + sizeof name - 1 + strlen(scheme);
}

static bool is_basic(const char *head)
{
    unsigned char plain[200] = "";
    const char *text = credentials(head, "Basic ");
    size_t size = text ? decode64(text, plain, sizeof plain - 1) : 0;
    plain[size] = 0;
    return str_equal((const char *)plain, FAKE_PROXY_USER ":" FAKE_PROXY_PASSWORD);
}

/* The message's number (1: hello, 3: answer), 0 = none; of an answer whether its user is ours ([MS-NLMP] 2.2.1.3). */
static int ntlm_message(const char *head, bool *ret_is_known)
{
    unsigned char bytes[2048];
    const char *text = credentials(head, "NTLM ");
    size_t size = text ? decode64(text, bytes, sizeof bytes) : 0;
    *ret_is_known = false;
    if (size < 12 || memcmp(bytes, "NTLMSSP", 8) != 0)
        return 0;
    if (bytes[8] == 3 && size >= 44) {
        size_t length = bytes[36], at = bytes[40] | (size_t)bytes[41] << 8;
        bool is_wide = length == 2 * strlen(FAKE_PROXY_USER);
        bool is_good = at + length <= size && (is_wide || length == strlen(FAKE_PROXY_USER));
        for (size_t i = 0; is_good && i < strlen(FAKE_PROXY_USER); i++)
            is_good = bytes[at + i * (is_wide ? 2 : 1)] == (unsigned char)FAKE_PROXY_USER[i];
        *ret_is_known = is_good;
    }
    return bytes[8];
}

/* A challenge of eight octets that a real proxy would draw anew. */
#define CHALLENGE "TlRMTVNTUAACAAAAAAAAADgAAAADAgAAASNFZ4mrze8AAAAAAAAAAAAAAAA4AAAAAAAAAAAAAAA="

static void say(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* True when the request may pass; otherwise it has been answered. */
static bool admit(const struct connection *connection, const char *head)
{
    bool is_known = false;
    switch (connection->proxy->auth) {
    case FAKE_PROXY_OPEN:
        return true;
    case FAKE_PROXY_BASIC:
        if (is_basic(head))
            return true;
        say(connection->fd, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"check\"\r\n"
                            "Content-Length: 0\r\n\r\n");
        return false;
    case FAKE_PROXY_NTLM:
        switch (ntlm_message(head, &is_known)) {
        case 1:
            say(connection->fd, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM " CHALLENGE
                                "\r\nContent-Length: 0\r\n\r\n");
            return false;
        case 3:
            if (is_known)
                return true;
        }
        say(connection->fd, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n"
                            "Content-Length: 0\r\n\r\n");
        return false;
    }
    return false;
}

/* --- passing on --------------------------------------------------------------------------------------------------- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static void splice_both(const struct fake_proxy *proxy, int a, int b)
{
    char bytes[16384];
    struct pollfd polls[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    while (!proxy->is_closing) {
        if (poll(polls, 2, 100) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (!polls[i].revents)
                continue;
            ssize_t n = read(polls[i].fd, bytes, sizeof bytes);
            if (n <= 0 || send(polls[1 - i].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
                return;
        }
    }
}

/* Reads up to the empty line; what follows it (a body's beginning) is in head, too. Returns its size, 0 = the end. */
static size_t read_head(const struct connection *connection, char *head)
{
    size_t size = 0;
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    while (!connection->proxy->is_closing && size < HEAD_BYTES - 1) {
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t n = read(connection->fd, head + size, HEAD_BYTES - 1 - size);
        if (n <= 0)
            return 0;
        size += (size_t)n;
        head[size] = 0;
        if (strstr(head, "\r\n\r\n"))
            return size;
    }
    return 0;
}

static void pass(const struct connection *connection, char *head, size_t size)
{
    bool is_tunnel = strncmp(head, "CONNECT ", 8) == 0;
    char *url = strchr(head, ' '), *colon;
    assert(url);
    url += 1 + (is_tunnel ? 0 : strlen("http://"));
    colon = strchr(url, ':');
    assert(colon);
    int upstream = connect_to((uint16_t)strtol(colon + 1, NULL, 10));
    if (upstream < 0) {
        say(connection->fd, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    connection->proxy->passed++;
    if (is_tunnel) {
        say(connection->fd, "HTTP/1.1 200 Connection established\r\n\r\n");
    } else { /* one request on a connection, since the next one could be for somebody else */
        char *path = strchr(url, '/'), *rest = strstr(head, "\r\n");
        assert(path && rest);
        char *method_end = strchr(head, ' ');
        (void)send(upstream, head, (size_t)(method_end + 1 - head), MSG_NOSIGNAL);
        (void)send(upstream, path, (size_t)(rest - path), MSG_NOSIGNAL);
        say(upstream, "\r\nConnection: close");
        (void)send(upstream, rest, size - (size_t)(rest - head), MSG_NOSIGNAL);
    }
    splice_both(connection->proxy, connection->fd, upstream);
    (void)close(upstream);
}

static void *serve(void *user)
{
    struct connection *connection = user;
    char *head = mem_alloc(HEAD_BYTES);
    for (size_t size; (size = read_head(connection, head)) > 0;) {
        const char *length = strstr(head, "Content-Length: ");
        if (admit(connection, head)) {
            pass(connection, head, size);
            break;
        }
        if (length && strtol(length + 16, NULL, 10) > 0)
            break; /* a body that was sent along: away with it and with the connection */
    }
    (void)close(connection->fd);
    mem_free(head);
    mem_free(connection);
    return NULL;
}

static void *run(void *user)
{
    struct fake_proxy *proxy = user;
    struct pollfd wait = {.fd = proxy->listener, .events = POLLIN};
    while (!proxy->is_closing) {
        if (poll(&wait, 1, 100) <= 0)
            continue;
        int fd = accept(proxy->listener, NULL, NULL);
        if (fd < 0)
            continue;
        assert(proxy->connection_count < CONNECTIONS);
        struct connection *connection = mem_alloc(sizeof *connection);
        *connection = (struct connection){.proxy = proxy, .fd = fd};
        int rc = pthread_create(&proxy->connections[proxy->connection_count++], NULL, serve, connection);
        assert(rc == 0);
    }
    return NULL;
}

struct fake_proxy *fake_proxy_start(enum fake_proxy_auth auth)
{
    struct fake_proxy *proxy = mem_alloc(sizeof *proxy);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    proxy->auth = auth;
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(proxy->listener, (const struct sockaddr *)&addr, sizeof addr);
    if (!rc)
        rc = listen(proxy->listener, 64);
    if (!rc)
        rc = getsockname(proxy->listener, (struct sockaddr *)&addr, &size);
    if (!rc)
        rc = pthread_create(&proxy->thread, NULL, run, proxy);
    assert(rc == 0);
    proxy->port = ntohs(addr.sin_port);
    return proxy;
}

void fake_proxy_free(struct fake_proxy *proxy)
{
    if (!proxy)
        return;
    proxy->is_closing = true;
    (void)pthread_join(proxy->thread, NULL);
    for (size_t i = 0; i < proxy->connection_count; i++)
        (void)pthread_join(proxy->connections[i], NULL);
    (void)close(proxy->listener);
    mem_free(proxy);
}

uint16_t fake_proxy_port(const struct fake_proxy *proxy)
{
    return proxy->port;
}

size_t fake_proxy_passed(struct fake_proxy *proxy)
{
    return proxy->passed;
}
