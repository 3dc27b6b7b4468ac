/*
 * The link that empties the spool into the server: batches of rounds, compressed, one at a time, acknowledged to the
 * spool when the server's receipt covers the whole batch. Whatever else happens, the batch stays and is sent again.
 *
 * Retries wait 1 s to 60 s, doubling, with jitter, or as long as the server asks (Retry-After). 413, and a 400 or 422
 * of an Oculi server, halve the batch; a single round that is still refused is set aside, so that one cannot hold up
 * the others.
 */
#ifndef OCULI_AGENT_LINK_H
#define OCULI_AGENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/http.h"
#include "agent/spool.h"
#include "base/loop.h"
#include "base/rng.h"

#define LINK_GATHER_MS 500 /* a round waits this long for others before the upload */

enum contact {
    CONTACT_OK,     /* the server answered and knows us */
    CONTACT_AWAY,   /* no answer, or one that says: later */
    CONTACT_REFUSED, /* 401: it does not know us */
    CONTACT_DISPLACED /* 409 to a plan request: another process has our identity */
};

struct link_settings {
    struct loop *loop;
    struct http *http;
    struct spool *spool;
    struct rng *rng;
    uint64_t agent_id;
    const char *authorization; /* outlives the link */
    void (*contact)(void *user, enum contact contact, const char *why); /* after every answer, or lack of one */
    void *user;
};

struct link_counts {
    uint64_t uploaded, duplicates, refused; /* rounds that receipts told of */
    int64_t last_upload_s;                  /* wall; 0 = never */
};

struct link;
struct link *link_new(const struct link_settings *settings);
void link_free(struct link *link); /* NULL is fine */

void link_kick(struct link *link); /* the spool has something new */
bool link_is_idle(const struct link *link); /* nothing is being sent or about to be */
void link_set_clock_offset(struct link *link, int64_t offset_ns); /* the agent's clock minus the server's */
void link_counts(const struct link *link, struct link_counts *ret_counts);

#endif
