#include "agent/health.h"

#include <string.h>

#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"

#define HEALTH_FEW 64
#define HEALTH_JUDGE_NS 500000000LL

static const char *const words[HEALTH_KINDS] = {"no-route", "gateway", "overload", "most-targets", "clock"};

struct target {
    uint64_t key;
    unsigned lost; /* rounds in succession */
    int64_t seen_ns, age_ns;
};

struct health {
    int64_t last_ns[HEALTH_KINDS]; /* when each was last seen; 0 = never */
    bool had_route[2], has_looked;
    uint64_t dropped;
    struct map targets;
    int64_t judged_ns;
};

struct health *health_new(void)
{
    return mem_alloc(sizeof(struct health));
}

void health_free(struct health *health)
{
    if (!health)
        return;
    size_t at = 0;
    for (struct target *target = map_next(&health->targets, &at); target; target = map_next(&health->targets, &at))
        mem_free(target);
    map_done(&health->targets);
    mem_free(health);
}

/* What has not been heard of for long is forgotten. With many targets not every round is worth a look at all. */
static void judge_targets(struct health *health, int64_t mono_ns)
{
    size_t at = 0, count = 0, bad = 0;
    struct target *old = NULL;
    if (health->targets.count > HEALTH_FEW && mono_ns - health->judged_ns < HEALTH_JUDGE_NS)
        return;
    health->judged_ns = mono_ns;
    for (struct target *target = map_next(&health->targets, &at); target; target = map_next(&health->targets, &at)) {
        if (mono_ns - target->seen_ns > target->age_ns) {
            old = target;
            continue;
        }
        count++;
        bad += target->lost >= HEALTH_ROUNDS;
    }
    if (old)
        mem_free(map_remove(&health->targets, old->key));
    if (count >= HEALTH_LEAST_TARGETS && (double)bad >= HEALTH_SHARE * (double)count)
        health->last_ns[HEALTH_MOST_TARGETS] = mono_ns;
}

void health_look(struct health *health, const struct health_way ways[2], uint64_t dropped, int64_t mono_ns)
{
    unsigned had = 0, has = 0, silent = 0;
    for (size_t i = 0; i < 2; i++) {
        health->had_route[i] |= ways[i].has_route;
        had += health->had_route[i];
        has += ways[i].has_route;
        silent += ways[i].has_route && ways[i].is_silent;
    }
    if (had > 0 && has == 0)
        health->last_ns[HEALTH_NO_ROUTE] = mono_ns;
    if (has > 0 && silent == has)
        health->last_ns[HEALTH_GATEWAY] = mono_ns;
    if (health->has_looked && dropped > health->dropped)
        health->last_ns[HEALTH_OVERLOAD] = mono_ns;
    judge_targets(health, mono_ns); /* it is so until another round tells otherwise, or nothing does any more */
    health->has_looked = true;
    health->dropped = dropped;
}

void health_clock_set(struct health *health, int64_t mono_ns)
{
    health->last_ns[HEALTH_CLOCK] = mono_ns;
}

void health_target(struct health *health, uint64_t key, bool is_lost, int64_t age_ns, int64_t mono_ns)
{
    struct target *target = map_get(&health->targets, key);
    if (!target && health->targets.count >= LIMIT_PLAN_TESTS)
        return;
    if (!target) {
        target = mem_alloc(sizeof *target);
        target->key = key;
        map_put(&health->targets, key, target);
    }
    target->lost = is_lost ? target->lost + 1 : 0;
    target->seen_ns = mono_ns;
    target->age_ns = age_ns;
    judge_targets(health, mono_ns);
}

const char *health_since(const struct health *health, int64_t since_ns, char text[static HEALTH_TEXT_BYTES])
{
    size_t used = 0;
    for (size_t i = 0; i < HEALTH_KINDS; i++) {
        if (!health->last_ns[i] || health->last_ns[i] + HEALTH_HOLD_NS < since_ns)
            continue;
        size_t length = strlen(words[i]);
        if (used + length + 2 > HEALTH_TEXT_BYTES)
            break;
        if (used)
            text[used++] = ',';
        memcpy(text + used, words[i], length + 1);
        used += length;
    }
    return used ? text : NULL;
}
