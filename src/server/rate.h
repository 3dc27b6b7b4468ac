/*
 * Rate limits by fixed windows of a minute, as API v7 tells them in its headers: a limit, what remains, and the epoch
 * second at which the window ends.
 */
#ifndef OCULI_SERVER_RATE_H
#define OCULI_SERVER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

struct rate {
    uint32_t limit; /* per window; 0 = unlimited */
    uint32_t used;
    int64_t window_end_s;
};

#define RATE_WINDOW_S 60

bool rate_take(struct rate *rate, int64_t now_s); /* false when the window is used up */
uint32_t rate_remaining(struct rate *rate, int64_t now_s);

/* What an organization may ask of the API: its account groups share it, other organizations have their own. */
struct rate_org {
    struct rate api, instant;
};

struct rate_orgs {
    uint32_t api_limit, instant_limit;
    struct map by_name; /* struct rate_org by a hash of the organization's name */
    struct map by_aid;  /* the same by account group */
};

/* NULL = the account group is not known here yet: rate_org_add. */
struct rate_org *rate_org_of(const struct rate_orgs *orgs, uint64_t aid);
struct rate_org *rate_org_add(struct rate_orgs *orgs, uint64_t aid, const char *organization);
void rate_orgs_done(struct rate_orgs *orgs);

/* Many small limits by key (an address, a name). Keys that share a slot share the limit: stricter, never laxer. */
#define RATE_SLOTS 1024u
struct rate_by_key {
    uint32_t limit;
    struct rate slots[RATE_SLOTS];
};

bool rate_take_key(struct rate_by_key *rates, const char *key, int64_t now_s);

#endif
