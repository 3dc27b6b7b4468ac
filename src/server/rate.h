/*
 * Rate limits by fixed windows of a minute, as API v7 tells them in its headers: a limit, what remains, and the epoch
 * second at which the window ends.
 */
#ifndef OCULI_SERVER_RATE_H
#define OCULI_SERVER_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint32_t limit; /* per window; 0 = unlimited */
    uint32_t used;
    int64_t window_end_s;
};

#define RATE_WINDOW_S 60

bool rate_take(struct rate *rate, int64_t now_s); /* false when the window is used up */
uint32_t rate_remaining(struct rate *rate, int64_t now_s);

/* Many small limits by key (an address, a name). Keys that share a slot share the limit: stricter, never laxer. */
#define RATE_SLOTS 1024u
struct rate_by_key {
    uint32_t limit;
    struct rate slots[RATE_SLOTS];
};

bool rate_take_key(struct rate_by_key *rates, const char *key, int64_t now_s);

#endif
