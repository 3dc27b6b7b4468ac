#include "server/rate.h"

#include <string.h>

#include "base/mem.h"
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

struct rate_org *rate_org_of(const struct rate_orgs *orgs, uint64_t aid)
{
    return map_get(&orgs->by_aid, aid);
}

struct rate_org *rate_org_add(struct rate_orgs *orgs, uint64_t aid, const char *organization)
{
    uint64_t key = str_hash(organization, strlen(organization), 0) | 1;
    struct rate_org *org = map_get(&orgs->by_name, key);
    if (!org) {
        org = mem_alloc(sizeof *org);
        org->api.limit = orgs->api_limit;
        org->instant.limit = orgs->instant_limit;
        map_put(&orgs->by_name, key, org);
    }
    map_put(&orgs->by_aid, aid, org);
    return org;
}

void rate_orgs_done(struct rate_orgs *orgs)
{
    size_t position = 0;
    for (struct rate_org *org; (org = map_next(&orgs->by_name, &position)) != NULL;)
        mem_free(org);
    map_done(&orgs->by_name);
    map_done(&orgs->by_aid);
}

bool rate_take_key(struct rate_by_key *rates, const char *key, int64_t now_s)
{
    struct rate *rate = &rates->slots[str_hash(key, strlen(key), 0) % RATE_SLOTS];
    rate->limit = rates->limit;
    return rate_take(rate, now_s);
}
