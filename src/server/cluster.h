/*
 * Which member of a cluster runs what. Each test has a home among the members, chosen as the one with the least to do
 * when the test came, and kept until that member leaves the cluster. While the home is away (presence says so: plan.h)
 * another member stands in, again the one with the least to do, and the test goes home when the home is back. So a
 * member that dies costs each of its tests at most the round it was in, and nothing moves without need.
 *
 * Only homes are kept; who stands in follows from who is there.
 */
#ifndef OCULI_SERVER_CLUSTER_H
#define OCULI_SERVER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"

struct cluster_member {
    uint64_t id;
    bool is_away;
    double load; /* rounds a minute of what it runs now */
};

struct cluster {
    uint64_t id;
    struct cluster_member *members;
    size_t member_count, member_room;
    struct map shares;  /* by what is shared */
    bool is_changed;    /* a home was chosen or forgotten: to be kept */
    uint64_t object_id; /* where the homes are kept; of who keeps them */
    int64_t version;
};

struct cluster *cluster_new(uint64_t id);
void cluster_free(struct cluster *cluster);

void cluster_join(struct cluster *cluster, uint64_t member_id);
void cluster_leave(struct cluster *cluster, uint64_t member_id);
/* Evens out homes after somebody joined: from those with most to those with least, as long as that helps. */
void cluster_level(struct cluster *cluster);
/* true when that is news. */
bool cluster_set_away(struct cluster *cluster, uint64_t member_id, bool is_away);

/* Who runs it now; 0 = there is no member. weight: rounds a minute. Of what is not kept (runs asked for once) no home is
 * written down. */
uint64_t cluster_pick(struct cluster *cluster, uint64_t what, double weight, bool is_kept);
void cluster_forget(struct cluster *cluster, uint64_t what);

/* The homes as bytes, and back: what does not read as such is ignored. */
void cluster_write(const struct cluster *cluster, struct buf *out);
void cluster_read(struct cluster *cluster, const void *bytes, size_t size);

#endif
