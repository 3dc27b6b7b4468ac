/*
 * A DNS server for checks: on a free port of the loopback, on the check's own loop, with the answers it is given, right
 * ones and wrong ones.
 */
#ifndef OCULI_FACTS_DNS_STUB_H
#define OCULI_FACTS_DNS_STUB_H

#include <stdint.h>

#include "base/loop.h"

enum dns_stub_kind {
    DNS_STUB_PTR,
    DNS_STUB_ALIAS, /* a name in a delegated part of the zone, RFC 2317 */
    DNS_STUB_NXDOMAIN,
    DNS_STUB_NO_DATA,
    DNS_STUB_NO_SOA, /* no such name, without a word on for how long */
    DNS_STUB_SILENT,
    DNS_STUB_SERVFAIL,
    DNS_STUB_GARBAGE,
    DNS_STUB_OTHER_ID,
    DNS_STUB_TRUNCATED
};

struct dns_stub_answer {
    const char *question; /* "1.2.0.192.in-addr.arpa"; NULL = the end of the list */
    enum dns_stub_kind kind;
    const char *name; /* labels separated by '/', so that a label can hold any byte */
    uint32_t ttl_s;
};

struct dns_stub {
    struct loop *loop;
    int fd;
    const struct dns_stub_answer *answers;
    unsigned asked, unknown; /* questions; of these the ones nobody expected (answered with SERVFAIL) */
    char last[256];          /* the last question */
    char address[32];        /* "127.0.0.1:40123" */
};

/* Answers may be changed while it runs; NULL = none. */
void dns_stub_open(struct dns_stub *stub, struct loop *loop, const struct dns_stub_answer *answers);
void dns_stub_close(struct dns_stub *stub);

#endif
