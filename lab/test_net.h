/*
 * A net from a text for checks: packets are put in, time is moved, and what comes out is kept.
 */
#ifndef OCULI_LAB_TEST_NET_H
#define OCULI_LAB_TEST_NET_H

#include "base/clock.h"
#include "lab/net.h"
#include "lab/packet.h"
#include "lab/scenario.h"
#include "lab/truth.h"

#define TEST_KEPT 20000u

struct test_kept {
    struct lab_packet packet; /* parsed */
    unsigned vantage;
    int64_t due_ns;
};

struct test_net {
    struct lab_scenario *s;
    struct lab_net *net;
    struct lab_truth *truth;
    int64_t now_ns;
    struct test_kept **kept;
    size_t kept_count, taken;
};

void test_net_open(struct test_net *t, const char *text); /* fails the check when the scenario is wrong */
void test_net_close(struct test_net *t);

/* Let everything that is in flight happen, or all that is due by then. Every packet that comes out must have right
 * checksums, or the check fails. */
void test_net_run(struct test_net *t);
void test_net_run_until(struct test_net *t, int64_t now_ns);

/* The oldest packet not yet taken, or NULL. */
const struct lab_packet *test_net_take(struct test_net *t, int64_t *ret_due_ns);

void test_net_echo(struct test_net *t, unsigned vantage, const char *from, const char *to, uint8_t ttl, uint16_t id,
                   uint16_t seq, size_t payload);
void test_net_udp(struct test_net *t, unsigned vantage, const char *from, const char *to, uint8_t ttl,
                  uint16_t source_port, uint16_t port, size_t payload);

struct test_tcp {
    uint16_t source_port, port;
    uint32_t seq, ack;
    uint8_t flags;
    const void *options;
    size_t options_size, payload;
    uint8_t ttl; /* 0 = 64 */
};
void test_net_tcp(struct test_net *t, unsigned vantage, const char *from, const char *to, const struct test_tcp *tcp);

/* Fields of a packet. */
uint8_t test_icmp_type(const struct lab_packet *packet);
uint8_t test_icmp_code(const struct lab_packet *packet);
const char *test_source(const struct lab_packet *packet);

#endif
