/*
 * Somebody on the loopback interface who sees every packet to one TCP port and to the echo service of this host and
 * sends what an attacker or a broken middlebox might: segments whose offsets, options and numbers are absurd, errors that quote
 * packets nobody sent, pieces of messages. Nothing it sends is a true answer, so a measurement under it must end as one without it.
 *
 * Written from the RFCs alone, sharing no code with the probe engine.
 */
#ifndef OCULI_TESTS_LAB_FORGER_H
#define OCULI_TESTS_LAB_FORGER_H

#include <stdint.h>

void forger_start(uint16_t tcp_port); /* a thread, once per process; in the namespace of the caller */
unsigned forger_count(void);          /* packets forged so far */

#endif
