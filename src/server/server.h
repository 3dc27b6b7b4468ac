/*
 * The running server: what its parts share. Everything runs on one loop thread; nothing here is locked.
 */
#ifndef OCULI_SERVER_SERVER_H
#define OCULI_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "server/config.h"
#include "server/http.h"
#include "server/rate.h"
#include "server/route.h"
#include "server/tally.h"
#include "store/store.h"

struct about;
struct gather;
struct intake;
struct latest;
struct paths_cache;
struct plan;
struct presence;
struct reports;
struct shares;
struct snapshots;
struct hasher;
struct seal;
struct sso;
struct stream;
struct tls;
struct upkeep;

struct server {
    const struct config *config;
    struct loop *loop;
    const struct clock *clock;
    struct store *store;
    struct http *http;
    struct route_set routes;
    unsigned char key[32]; /* seals cursors; new at each start of the data directory, kept in it */
    struct hasher *hasher;     /* checks passwords */
    struct sso *sso;           /* the identity provider; NULL = none */
    struct seal *seal;         /* of secrets that are kept */
    struct rate_orgs rates;
    struct rate_by_key login_rate;
    struct rate password_rate; /* of all together: hashing takes time */
    struct tally tally;
    struct stream *stream;     /* event hub */
    struct plan *plan;
    struct snapshots *snapshots;
    struct shares *shares;     /* which tests are shared with whom */
    struct latest *latest;
    struct intake *intake;
    struct gather *gather;     /* batches on their way into it */
    struct paths_cache *paths;
    struct about *about;       /* what is known of addresses */
    struct presence *presence; /* which agents are there */
    struct reports *reports;   /* and how they are */
    uint64_t rules_at;         /* the agent at which notification rules go on */
    struct loop_timer stream_timer, presence_timer, plan_timer, member_timer;
    int64_t started_s;
    struct tls *tls; /* NULL = plain HTTP */
    struct loop_timer tls_timer;
    struct upkeep *upkeep; /* of the store; NULL before the loop runs */
    struct loop_timer housekeeping, watchdog, lag_timer;
};

static inline int64_t server_now_s(const struct server *server)
{
    return clock_wall_ns(server->clock) / CLOCK_S;
}

#endif
