/*
 * Names of addresses (reverse DNS, PTR records) without blocking a loop.
 *
 * /etc/hosts first, then the DNS servers given, or those of /etc/resolv.conf (read again when it changes): nobody else
 * is ever asked. Answers are kept as long as their records say, "there is no such name" too (RFC 2308), a server that
 * does not answer for a minute. When five questions in a row got no answer the servers are away: until they answer one
 * question in ten seconds tries, and whoever asks does not wait. Two who ask for one address share a question. Questions
 * have a rate and a ceiling: who asks beyond it gets no name. A name is shown only when it is a host name: letters,
 * digits, '-', '_' and '.'.
 *
 * Everything happens on the loop's thread. A NULL struct names is one that knows nothing and asks nobody, so that
 * callers need no other switch:
 *
 *     const char *name = names_get(names, &addr);          a live table: what is known by now, the rest is asked for
 *
 *     wait = names_wait(names, addrs, count, 2 * CLOCK_S, on_named, user);   a report that is printed once
 *     if (!wait)
 *         on_named(user);                                   then names_get for each
 */
#ifndef OCULI_FACTS_NAMES_H
#define OCULI_FACTS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/sock.h"

struct names;
struct names_wait;

/* Zeros are the defaults. */
struct names_options {
    const char *servers;       /* "192.0.2.53,[2001:db8::53]:5353"; NULL = the system's */
    const struct clock *clock; /* by which answers grow old; NULL = the machine's */
    uint32_t per_second;       /* questions a second, and as many at once at first; 0 = 50 */
    uint32_t timeout_ms;       /* of the first try; a second one takes twice as long; 0 = 1000 */
    uint32_t max_names;        /* addresses remembered; 0 = LIMIT_NAMES */
    bool has_no_hosts;         /* /etc/hosts is not read */
};

struct names_counts {
    uint64_t asked, answered, failed; /* questions to servers: with a name or "there is none", without an answer */
    uint64_t refused;                 /* not asked: too many wait, or too many are remembered */
    size_t known, open;               /* addresses remembered; of these waiting for an answer */
};

/* -E_INVALID: where "servers"; -E_NOT_SUPPORTED: the resolver library does not start. options may be NULL. */
int names_new(struct loop *loop, const struct names_options *options, struct names **ret_names, struct error *err);
/* Waits that are open are cancelled. */
void names_free(struct names *names);

/* The name, or NULL: there is none, or it is not known yet. What is not known, or too old, is asked for. The text is
 * valid until the loop's next step. */
const char *names_get(struct names *names, const union sock_addr *addr);

/* The same without asking. *ret_is_known: asking would bring nothing new. */
const char *names_peek(const struct names *names, const union sock_addr *addr, bool *ret_is_known);

/* Asks for all that are not known. fn is called once, later, on the loop's thread, when every answer has come or
 * wait_ns have passed; the wait is gone then. NULL: there is nothing to wait for, fn will not be called. */
struct names_wait *names_wait(struct names *names, const union sock_addr *addrs, size_t count, int64_t wait_ns,
                              loop_fn *fn, void *user);
void names_wait_cancel(struct names_wait *wait); /* NULL is fine */

void names_counts(const struct names *names, struct names_counts *ret_counts);

/* Counts up whenever a name came, changed or went: answers made before may say less than is known now. */
uint64_t names_generation(const struct names *names);

/* --- inside ------------------------------------------------------------------------------------------------------- */

#define NAMES_TEXT_BYTES 256

/* Fit to be shown: whoever owns an address can put anything into its reverse zone. */
bool names_is_host(const char *name);

/* Reads the answer to the question for addr (RFC 1035). Returns 0 with the name or with "" when the answer says that
 * there is none, or -E_INVALID. *ret_ttl_s: of the records that say so, 0 when none does. */
int names_read_answer(const unsigned char *bytes, size_t size, const union sock_addr *addr,
                      char ret_name[static NAMES_TEXT_BYTES], uint32_t *ret_ttl_s);
/* "1.2.0.192.in-addr.arpa", "…ip6.arpa" (RFC 3596). */
#define NAMES_QUESTION_BYTES 80
void names_question(const union sock_addr *addr, char ret_question[static NAMES_QUESTION_BYTES]);

#endif
