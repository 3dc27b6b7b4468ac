#include "server/cluster.h"

#include <string.h>

#include "base/mem.h"

struct share {
    uint64_t what, home, stand_in; /* stand_in 0: nobody */
    double weight;
    bool is_kept;
};

struct cluster *cluster_new(uint64_t id)
{
    struct cluster *cluster = mem_alloc(sizeof *cluster);
    cluster->id = id;
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (!cluster)
        return;
    size_t at = 0;
    for (struct share *share; (share = map_next(&cluster->shares, &at)) != NULL;)
        mem_free(share);
    map_done(&cluster->shares);
    mem_free(cluster->members);
    mem_free(cluster);
}

static struct cluster_member *find(const struct cluster *cluster, uint64_t member_id)
{
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (cluster->members[i].id == member_id)
            return &cluster->members[i];
    }
    return NULL;
}

static uint64_t runner_of(const struct share *share)
{
    return share->stand_in ? share->stand_in : share->home;
}

static void weigh(struct cluster *cluster, const struct share *share, double sign)
{
    struct cluster_member *member = find(cluster, runner_of(share));
    if (member)
        member->load += sign * share->weight;
}

/* The one with the least to do of those that are there, or of all; the lowest id of several. */
static struct cluster_member *least(const struct cluster *cluster, bool may_be_away)
{
    struct cluster_member *found = NULL;
    for (size_t i = 0; i < cluster->member_count; i++) {
        struct cluster_member *member = &cluster->members[i];
        if (member->is_away && !may_be_away)
            continue;
        if (!found || member->load < found->load || (!(member->load > found->load) && member->id < found->id))
            found = member;
    }
    return found;
}

void cluster_join(struct cluster *cluster, uint64_t member_id)
{
    if (find(cluster, member_id))
        return;
    if (cluster->member_count == cluster->member_room) {
        size_t room = cluster->member_room ? cluster->member_room * 2 : 4;
        cluster->members = mem_resize(cluster->members, cluster->member_room * sizeof *cluster->members,
                                      room * sizeof *cluster->members);
        cluster->member_room = room;
    }
    cluster->members[cluster->member_count++] = (struct cluster_member){.id = member_id};
}

void cluster_leave(struct cluster *cluster, uint64_t member_id)
{
    struct cluster_member *member = find(cluster, member_id);
    if (!member)
        return;
    size_t i = (size_t)(member - cluster->members);
    cluster->member_count--;
    memmove(member, member + 1, (cluster->member_count - i) * sizeof *member);
}

bool cluster_set_away(struct cluster *cluster, uint64_t member_id, bool is_away)
{
    struct cluster_member *member = find(cluster, member_id);
    bool is_news = member && member->is_away != is_away;
    if (member)
        member->is_away = is_away;
    return is_news;
}

/* A home that left is chosen anew; a stand-in goes when the home is back or it is away itself. */
static void decide(struct cluster *cluster, struct share *share)
{
    const struct cluster_member *home = find(cluster, share->home);
    if (!home) {
        home = least(cluster, false);
        if (!home)
            home = least(cluster, true);
        share->home = home ? home->id : 0;
        share->stand_in = 0;
        cluster->is_changed = cluster->is_changed || share->is_kept;
    }
    if (!home || !home->is_away) {
        share->stand_in = 0;
        return;
    }
    const struct cluster_member *stand_in = find(cluster, share->stand_in);
    if (stand_in && !stand_in->is_away)
        return;
    stand_in = least(cluster, false);
    share->stand_in = stand_in ? stand_in->id : 0;
}

static struct share *share_of(struct cluster *cluster, uint64_t what)
{
    struct share *share = map_get(&cluster->shares, what);
    if (!share) {
        share = mem_alloc(sizeof *share);
        share->what = what;
        map_put(&cluster->shares, what, share);
    }
    return share;
}

uint64_t cluster_pick(struct cluster *cluster, uint64_t what, double weight, bool is_kept)
{
    struct share *share = share_of(cluster, what);
    weigh(cluster, share, -1);
    share->is_kept = is_kept;
    share->weight = weight;
    decide(cluster, share);
    weigh(cluster, share, 1);
    return runner_of(share);
}

void cluster_forget(struct cluster *cluster, uint64_t what)
{
    struct share *share = map_remove(&cluster->shares, what);
    if (!share)
        return;
    weigh(cluster, share, -1);
    cluster->is_changed = cluster->is_changed || share->is_kept;
    mem_free(share);
}

/* --- evening out -------------------------------------------------------------------------------------------------- */

static void sum_up_homes(struct cluster *cluster)
{
    size_t at = 0;
    for (size_t i = 0; i < cluster->member_count; i++)
        cluster->members[i].load = 0;
    for (struct share *share; (share = map_next(&cluster->shares, &at)) != NULL;) {
        share->stand_in = 0;
        weigh(cluster, share, 1);
    }
}

static const struct cluster_member *most(const struct cluster *cluster)
{
    const struct cluster_member *found = NULL;
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (!found || cluster->members[i].load > found->load)
            found = &cluster->members[i];
    }
    return found;
}

/* The one with the highest id of those whose move makes the two more alike. */
static struct share *find_movable(const struct cluster *cluster, uint64_t from, double difference)
{
    struct share *found = NULL;
    size_t at = 0;
    for (struct share *share; (share = map_next(&cluster->shares, &at)) != NULL;) {
        if (share->home == from && share->is_kept && share->weight > 0 && share->weight < difference &&
            (!found || share->what > found->what))
            found = share;
    }
    return found;
}

void cluster_level(struct cluster *cluster)
{
    if (!cluster->member_count)
        return;
    sum_up_homes(cluster);
    for (;;) {
        const struct cluster_member *from = most(cluster), *to = least(cluster, true);
        struct share *share = find_movable(cluster, from->id, from->load - to->load);
        if (!share)
            return;
        weigh(cluster, share, -1);
        share->home = to->id;
        weigh(cluster, share, 1);
        cluster->is_changed = true;
    }
}

/* --- kept --------------------------------------------------------------------------------------------------------- */

void cluster_write(const struct cluster *cluster, struct buf *out)
{
    size_t at = 0;
    for (const struct share *share; (share = map_next(&cluster->shares, &at)) != NULL;) {
        uint64_t pair[] = {share->what, share->home};
        if (share->is_kept)
            buf_put(out, pair, sizeof pair);
    }
}

void cluster_read(struct cluster *cluster, const void *bytes, size_t size)
{
    uint64_t pair[2];
    for (size_t at = 0; at + sizeof pair <= size; at += sizeof pair) {
        memcpy(pair, (const char *)bytes + at, sizeof pair);
        struct share *share = share_of(cluster, pair[0]);
        share->home = pair[1];
        share->is_kept = true;
    }
}
