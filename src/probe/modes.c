#include "probe/modes.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define DAY_NS (24 * 3600 * CLOCK_S)
#define PATHS 4u
#define CHANCE 0.001
#define MOST_PROBES 100000u /* counted; then all counts are halved */
#define LEAST_SYNS 20u      /* of a comparison */
#define PATTERN_PROBES 128u /* of a stream, which are compared one by one */

struct known {
    union sock_addr dst;
    struct known *older, *newer; /* by when it was last asked for */
    uint64_t path;
    struct {
        uint64_t path;
        struct probe_mode_decision decision; /* at_ns 0 = none */
    } decisions[PATHS];
    /* Comparison. */
    bool is_suspected;           /* a round has lost probes */
    int64_t suspected_ns;
    uint32_t sack_sent, sack_lost, syn_sent, syn_lost, looks; /* looks: comparisons made */
    uint64_t lost[PATTERN_PROBES / 64]; /* of the last round */
    uint32_t lost_of;
    double chance;               /* of what repeats until now */
};

struct probe_modes {
    struct map map; /* by hash of the target */
    uint32_t ceiling;
    struct known *oldest, *newest;
};

static uint64_t key_of(const union sock_addr *dst)
{
    size_t size;
    const void *bytes = sock_ip_bytes(dst, &size);
    return str_hash(bytes, size, 1 + (uint64_t)sock_port(dst));
}

static void unlink_known(struct probe_modes *modes, struct known *known)
{
    *(known->older ? &known->older->newer : &modes->oldest) = known->newer;
    *(known->newer ? &known->newer->older : &modes->newest) = known->older;
}

static void link_newest(struct probe_modes *modes, struct known *known)
{
    known->older = modes->newest;
    known->newer = NULL;
    *(modes->newest ? &modes->newest->newer : &modes->oldest) = known;
    modes->newest = known;
}

static void forget(struct probe_modes *modes, struct known *known)
{
    (void)map_remove(&modes->map, key_of(&known->dst));
    unlink_known(modes, known);
    mem_free(known);
}

static struct known *find(const struct probe_modes *modes, const union sock_addr *dst)
{
    struct known *known = modes ? map_get(&modes->map, key_of(dst)) : NULL;
    return known && sock_same_ip(&known->dst, dst) && sock_port(&known->dst) == sock_port(dst) ? known : NULL;
}

static struct known *get(struct probe_modes *modes, const union sock_addr *dst)
{
    struct known *known = find(modes, dst);
    if (known) {
        unlink_known(modes, known);
    } else {
        struct known *same_hash = map_get(&modes->map, key_of(dst));
        if (same_hash) {
            forget(modes, same_hash);
        } else if (modes->map.count >= modes->ceiling) {
            limit_hit(LIMIT_KIND_PROBE_MODES);
            forget(modes, modes->oldest);
        }
        known = mem_alloc(sizeof *known);
        known->dst = *dst;
        known->chance = 1;
        map_put(&modes->map, key_of(dst), known);
    }
    link_newest(modes, known);
    return known;
}

struct probe_modes *probe_modes_new(uint32_t ceiling)
{
    struct probe_modes *modes = mem_alloc(sizeof *modes);
    modes->ceiling = ceiling == 0 || ceiling > LIMIT_PROBE_MODES ? LIMIT_PROBE_MODES : ceiling;
    return modes;
}

void probe_modes_free(struct probe_modes *modes)
{
    if (!modes)
        return;
    while (modes->oldest)
        forget(modes, modes->oldest);
    map_done(&modes->map);
    mem_free(modes);
}

/* --- decisions ---------------------------------------------------------------------------------------------------- */

bool probe_modes_get(const struct probe_modes *modes, const union sock_addr *dst, int64_t now_ns,
                     struct probe_mode_decision *ret_decision)
{
    const struct known *known = find(modes, dst);
    for (uint32_t i = 0; known && i < PATHS; i++) {
        const struct probe_mode_decision *decision = &known->decisions[i].decision;
        if (decision->at_ns == 0 || known->decisions[i].path != known->path || now_ns - decision->at_ns >= DAY_NS)
            continue;
        *ret_decision = *decision;
        return true;
    }
    return false;
}

void probe_modes_put(struct probe_modes *modes, const union sock_addr *dst, const struct probe_mode_decision *decision)
{
    if (!modes)
        return;
    struct known *known = get(modes, dst);
    uint32_t at = 0;
    for (uint32_t i = 0; i < PATHS; i++) {
        if (known->decisions[i].path == known->path && known->decisions[i].decision.at_ns) {
            at = i;
            break;
        }
        if (known->decisions[i].decision.at_ns < known->decisions[at].decision.at_ns)
            at = i;
    }
    known->decisions[at].path = known->path;
    known->decisions[at].decision = *decision;
}

static void restart(struct known *known)
{
    known->is_suspected = false;
    known->sack_sent = known->sack_lost = known->syn_sent = known->syn_lost = known->looks = 0;
    known->lost_of = 0;
    known->chance = 1;
}

void probe_modes_note_path(struct probe_modes *modes, const union sock_addr *dst, uint64_t path_id)
{
    if (!modes || path_id == 0)
        return;
    struct known *known = get(modes, dst);
    if (known->path == path_id)
        return;
    /* What was decided before any path was known was decided on this one. */
    for (uint32_t i = 0; i < PATHS && known->path == 0; i++) {
        if (known->decisions[i].path == 0)
            known->decisions[i].path = path_id;
    }
    if (known->path != 0)
        restart(known);
    known->path = path_id;
}

/* --- is it the network? ------------------------------------------------------------------------------------------- */

static double log_choose(uint32_t n, uint32_t k)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma((double)(n - k) + 1.0);
}

double probe_modes_chance(uint32_t lost, uint32_t sent, uint32_t others_lost, uint32_t others_sent)
{
    uint32_t all_lost = lost + others_lost;
    uint32_t least = all_lost > others_sent ? all_lost - others_sent : 0;
    double all = log_choose(sent + others_sent, all_lost), sum = 0;
    for (uint32_t x = least; x <= lost; x++)
        sum += exp(log_choose(sent, x) + log_choose(others_sent, all_lost - x) - all);
    return sum < 1 ? sum : 1;
}

static uint32_t lost_of(const struct probe_ping_result *result)
{
    return result->sent - result->received;
}

/* The chance that the same probes are lost again, times what it was. */
static void note_pattern(struct known *known, const struct probe_ping_result *sack)
{
    uint64_t lost[PATTERN_PROBES / 64] = {0};
    for (uint32_t i = 0; i < sack->probe_count && i < PATTERN_PROBES; i++) {
        if (sack->probes[i].status == PROBE_PING_LOST || sack->probes[i].status == PROBE_PING_ERROR)
            lost[i / 64] |= UINT64_C(1) << (i % 64);
    }
    bool is_same = known->lost_of == sack->sent && lost_of(sack) > 0 && memcmp(lost, known->lost, sizeof lost) == 0;
    known->chance = is_same ? known->chance * exp(-log_choose(sack->sent, lost_of(sack))) : 1;
    known->lost_of = sack->probe_count <= PATTERN_PROBES ? sack->sent : 0;
    memcpy(known->lost, lost, sizeof lost);
}

static void halve(struct known *known)
{
    if (known->sack_sent < MOST_PROBES && known->syn_sent < MOST_PROBES)
        return;
    known->sack_sent /= 2;
    known->sack_lost /= 2;
    known->syn_sent /= 2;
    known->syn_lost /= 2;
}

bool probe_modes_compare(struct probe_modes *modes, const union sock_addr *dst, int64_t now_ns,
                         const struct probe_ping_result *sack, const struct probe_ping_result *syn,
                         struct probe_mode_decision *ret_decision)
{
    if (!modes || sack->sent == 0 || (!find(modes, dst) && lost_of(sack) == 0))
        return false;
    struct known *known = get(modes, dst);
    if (known->is_suspected && now_ns - known->suspected_ns >= DAY_NS)
        restart(known);
    if (known->is_suspected) {
        known->sack_sent += sack->sent;
        known->sack_lost += lost_of(sack);
    }
    if (lost_of(sack) > 0 && !known->is_suspected) {
        known->is_suspected = true;
        known->suspected_ns = now_ns;
    }
    note_pattern(known, sack);
    if (!syn || syn->sent < LEAST_SYNS)
        return false;
    known->syn_sent += syn->sent;
    known->syn_lost += lost_of(syn);
    known->looks++; /* who looks often enough sees what is rare */
    halve(known);
    bool is_pattern = known->chance < CHANCE && lost_of(syn) == 0;
    bool is_fewer = probe_modes_chance(known->syn_lost, known->syn_sent, known->sack_lost, known->sack_sent) <
                    CHANCE / known->looks;
    if ((!is_pattern && !is_fewer) || known->sack_sent == 0)
        return false;
    *ret_decision = (struct probe_mode_decision){.reason = PROBE_MODE_INTERFERED,
                                                 .at_ns = now_ns,
                                                 .first = 100.0 * known->sack_lost / known->sack_sent,
                                                 .second = 100.0 * known->syn_lost / known->syn_sent};
    restart(known);
    return true;
}
