/*
 * A network of odd routers behind a TUN device in a network namespace of this process: deliberately small and written
 * from the RFCs alone, sharing no code with the probe engine nor with the simulated internet, so that it shows what
 * those two both misunderstand.
 *
 * The topology is fixed: a chain of ODD_ROUTERS routers, then the target. What is odd is up to the answer function.
 */
#ifndef OCULI_TESTS_LAB_ODD_NET_H
#define OCULI_TESTS_LAB_ODD_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ODD_ROUTERS 4
#define ODD_TARGET "10.77.0.9"
#define ODD_TARGET6 "2001:db8:77::9"
#define ODD_OWN "10.77.9.1"
#define ODD_OWN6 "2001:db8:77:9::1"
#define ODD_BYTES 2048

/* A probe as it left: an echo request. */
struct odd_probe {
    bool is_v6;
    unsigned ttl;
    const uint8_t *packet; /* from its IP header on */
    size_t size;
    const uint8_t *icmp;
    size_t icmp_size;
    unsigned count; /* echo requests before this one since the scene began */
};

typedef void odd_answer_fn(const struct odd_probe *probe);

/* Enters a new network namespace, makes the device, starts the answering thread. Once per process. */
void odd_open(void);
void odd_scene(odd_answer_fn *answer); /* from now on; NULL = nobody answers, the counts stay */
unsigned odd_echo_count(void); /* echo requests of the scene that were sent with a TTL beyond all routers */

/* The address of router `hop` (1..ODD_ROUTERS), "10.77.1.1"; hop ODD_ROUTERS + 1 is the target. */
const char *odd_router(bool is_v6, unsigned hop);

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* An echo reply from `from` (NULL = the target) with at most payload_max bytes of the payload. */
void odd_reply(const struct odd_probe *probe, const char *from, size_t payload_max);

struct odd_error {
    const char *from;
    uint8_t type, code;
    size_t quote_max;        /* bytes of the probe that are quoted; 0 = all */
    size_t pad_to;           /* the quotation is filled with zeros up to here */
    const uint8_t *extension; /* appended after the quotation: a whole RFC 4884 extension structure */
    size_t extension_size;
    uint8_t length_field;    /* RFC 4884 length, in words (bytes 5 for IPv4, 4 for IPv6 of the ICMP header) */
    int quoted_ttl;          /* -1 = 1 */
    void (*rewrite)(uint8_t *quote, size_t size); /* last change to the quotation */
};
void odd_error(const struct odd_probe *probe, const struct odd_error *error);

/* What a well-behaved chain does: routers quote everything, the target replies. */
void odd_normal(const struct odd_probe *probe);

/* Sends any bytes as a packet. */
void odd_send(const uint8_t *packet, size_t size);

uint16_t odd_checksum(const void *bytes, size_t size, uint32_t sum);

#endif
