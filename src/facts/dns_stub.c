#include "facts/dns_stub.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t put_name(unsigned char *out, const char *name, char separator)
{
    size_t used = 0;
    while (*name) {
        const char *end = strchr(name, separator);
        size_t length = end ? (size_t)(end - name) : strlen(name);
        out[used++] = (unsigned char)length;
        memcpy(out + used, name, length);
        used += length;
        name += length + (end != NULL);
    }
    out[used++] = 0;
    return used;
}

static size_t put_record(unsigned char *out, const void *owner, size_t owner_size, uint16_t type, uint32_t ttl_s,
                         const void *data, size_t size)
{
    memcpy(out, owner, owner_size);
    const unsigned char fixed[] = {(unsigned char)(type >> 8),
                                   (unsigned char)type,
                                   0,
                                   1,
                                   (unsigned char)(ttl_s >> 24),
                                   (unsigned char)(ttl_s >> 16),
                                   (unsigned char)(ttl_s >> 8),
                                   (unsigned char)ttl_s,
                                   (unsigned char)(size >> 8),
                                   (unsigned char)size};
    memcpy(out + owner_size, fixed, sizeof fixed);
    memcpy(out + owner_size + sizeof fixed, data, size);
    return owner_size + sizeof fixed + size;
}

static size_t put_soa(unsigned char *out, uint32_t ttl_s)
{
    unsigned char data[64], owner[32];
    size_t size = put_name(data, "ns.example", '.');
    size += put_name(data + size, "admin.example", '.');
    memset(data + size, 0, 20);
    return put_record(out, owner, put_name(owner, "example", '.'), 6, ttl_s, data, size + 20);
}

/* The answer in place of the question in packet; returns its size, 0 = none. */
static size_t answer(const struct dns_stub_answer *said, unsigned char *packet, size_t size)
{
    static const unsigned char to_question[] = {0xc0, 12};
    unsigned char name[256], alias[64];
    size_t name_size = put_name(name, said->name ? said->name : "", '/');
    packet[2] = 0x84;
    packet[3] = 0x80;
    packet[11] = 0; /* no additional records: EDNS is not spoken */
    switch (said->kind) {
    case DNS_STUB_PTR:
        packet[7] = 1;
        return size + put_record(packet + size, to_question, 2, 12, said->ttl_s, name, name_size);
    case DNS_STUB_ALIAS: /* RFC 2317 */
        packet[7] = 2;
        size_t alias_size = put_name(alias, "7.0/25.2.0.192.in-addr.arpa", '.');
        size += put_record(packet + size, to_question, 2, 5, said->ttl_s / 2, alias, alias_size);
        return size + put_record(packet + size, alias, alias_size, 12, said->ttl_s, name, name_size);
    case DNS_STUB_NXDOMAIN:
    case DNS_STUB_NO_DATA:
        packet[3] = said->kind == DNS_STUB_NXDOMAIN ? 0x83 : 0x80;
        packet[9] = 1;
        return size + put_soa(packet + size, said->ttl_s);
    case DNS_STUB_NO_SOA:
        packet[3] = 0x83;
        return size;
    case DNS_STUB_SERVFAIL:
        packet[3] = 0x82;
        return size;
    case DNS_STUB_GARBAGE:
        packet[7] = 3;
        memset(packet + size, 0xc1, 20);
        return size + 20;
    case DNS_STUB_OTHER_ID:
        packet[0] ^= 0x55;
        packet[7] = 1;
        return size + put_record(packet + size, to_question, 2, 12, said->ttl_s, name, name_size);
    case DNS_STUB_TRUNCATED:
        packet[2] |= 2;
        return size;
    case DNS_STUB_SILENT:
        return 0;
    }
    return 0;
}

static void on_question(void *user, int fd, unsigned events)
{
    struct dns_stub *stub = user;
    unsigned char packet[1024];
    struct sockaddr_storage from;
    socklen_t from_size = sizeof from;
    (void)events;
    ssize_t got = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_size);
    if (got < 12)
        return;
    size_t at = 12, used = 0;
    while (packet[at]) {
        memcpy(stub->last + used, packet + at + 1, packet[at]);
        used += packet[at];
        stub->last[used++] = '.';
        at += packet[at] + 1u;
    }
    stub->last[used ? used - 1 : 0] = 0;
    stub->asked++;
    for (const struct dns_stub_answer *said = stub->answers; said && said->question; said++) {
        if (strcmp(said->question, stub->last) != 0)
            continue;
        size_t size = answer(said, packet, at + 5);
        if (size)
            (void)sendto(fd, packet, size, 0, (struct sockaddr *)&from, from_size);
        return;
    }
    static const struct dns_stub_answer none = {.kind = DNS_STUB_SERVFAIL};
    stub->unknown++;
    (void)sendto(fd, packet, answer(&none, packet, at + 5), 0, (struct sockaddr *)&from, from_size);
}

void dns_stub_open(struct dns_stub *stub, struct loop *loop, const struct dns_stub_answer *answers)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    *stub = (struct dns_stub){.loop = loop, .answers = answers};
    stub->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = bind(stub->fd, (struct sockaddr *)&in, size);
    assert(rc == 0);
    rc = getsockname(stub->fd, (struct sockaddr *)&in, &size);
    assert(rc == 0);
    rc = loop_add(loop, stub->fd, LOOP_READ, on_question, stub, NULL);
    assert(rc == 0);
    (void)snprintf(stub->address, sizeof stub->address, "127.0.0.1:%u", ntohs(in.sin_port));
}

void dns_stub_close(struct dns_stub *stub)
{
    loop_remove(stub->loop, stub->fd);
    (void)close(stub->fd);
}
