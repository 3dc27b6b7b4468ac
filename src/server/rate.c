#include "server/rate.h"

#include <string.h>

#include "base/str.h"

static void roll(struct rate *rate, int64_t now_s)
{
    if (now_s < rate->window_end_s && rate->window_end_s - now_s <= RATE_WINDOW_S)
        return;
    rate->used = 0;
    rate->window_end_s = now_s - now_s % RATE_WINDOW_S + RATE_WINDOW_S;
}

bool rate_take(struct rate *rate, int64_t now_s)
{
    roll(rate, now_s);
    if (rate->limit && rate->used >= rate->limit)
        return false;
    rate->used++;
    return true;
}

uint32_t rate_remaining(struct rate *rate, int64_t now_s)
{
    roll(rate, now_s);
    return rate->used < rate->limit ? rate->limit - rate->used : 0;
}

bool rate_take_key(struct rate_by_key *rates, const char *key, int64_t now_s)
{
    struct rate *rate = &rates->slots[str_hash(key, strlen(key), 0) % RATE_SLOTS];
    rate->limit = rates->limit;
    return rate_take(rate, now_s);
}
