#include "server/presence.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "server/stream.h"

#define PRESENCE_SOME 64u /* told of at once */

struct here {
    uint64_t aid, agent_id;
    int64_t seen_s, clock_us;
};

struct presence {
    struct store *store;
    struct stream *stream;
    const struct clock *clock;
    struct map here; /* struct here by agent id */
};

struct presence *presence_new(struct store *store, struct stream *stream, const struct clock *clock)
{
    struct presence *presence = mem_alloc(sizeof *presence);
    presence->store = store;
    presence->stream = stream;
    presence->clock = clock;
    return presence;
}

static int64_t now_s(const struct presence *presence)
{
    return clock_wall_ns(presence->clock) / CLOCK_S;
}

static int write_one(struct presence *presence, const struct here *here, struct error *err)
{
    struct arena arena;
    struct object_agent agent;
    arena_init(&arena, 1u << 20);
    int rc = object_get(presence->store, &object_agent_kind, here->agent_id, 0, &arena, &agent, err);
    agent.last_seen_s = here->seen_s;
    if (here->clock_us != FIELD_NO_I64)
        agent.clock_offset_us = here->clock_us;
    if (rc == 0)
        rc = object_put(presence->store, &object_agent_kind, &agent, now_s(presence), err);
    arena_done(&arena);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

/* In one transaction that does not wait for the disk: ten thousand agents may fall silent together. */
static void write_down(struct presence *presence, struct here **here, size_t count)
{
    struct error err = {0};
    char text[600];
    int rc = store_begin_soon(presence->store, &err);
    if (!rc) {
        for (size_t i = 0; !rc && i < count; i++)
            rc = write_one(presence, here[i], &err);
        rc = store_end(presence->store, rc, &err);
    }
    if (rc)
        log_warning("presence", "cannot keep when %zu agents were seen: %s", count, error_format(&err, text, sizeof text));
}

/* Up to PRESENCE_SOME of those that spoke last at or before seen_s. */
static size_t find_silent(const struct presence *presence, int64_t seen_s, struct here **ret_silent)
{
    size_t position = 0, count = 0;
    struct here *here;
    while (count < PRESENCE_SOME && (here = map_next(&presence->here, &position)) != NULL) {
        if (here->seen_s <= seen_s)
            ret_silent[count++] = here;
    }
    return count;
}

void presence_free(struct presence *presence)
{
    struct here *some[PRESENCE_SOME];
    if (!presence)
        return;
    for (size_t count; (count = find_silent(presence, INT64_MAX, some)) > 0;) {
        write_down(presence, some, count);
        for (size_t i = 0; i < count; i++)
            presence_forget(presence, some[i]->agent_id);
    }
    map_done(&presence->here);
    mem_free(presence);
}

void presence_seen(struct presence *presence, uint64_t aid, uint64_t agent_id)
{
    struct here *here = map_get(&presence->here, agent_id);
    if (!here) {
        here = mem_alloc(sizeof *here);
        here->aid = aid;
        here->agent_id = agent_id;
        here->clock_us = FIELD_NO_I64;
        map_put(&presence->here, agent_id, here);
        stream_agent(presence->stream, aid, agent_id, "online");
    }
    here->seen_s = now_s(presence);
}

void presence_forget(struct presence *presence, uint64_t agent_id)
{
    mem_free(map_remove(&presence->here, agent_id));
}

int64_t presence_last_seen_s(const struct presence *presence, uint64_t agent_id)
{
    const struct here *here = map_get(&presence->here, agent_id);
    return here ? here->seen_s : 0;
}

void presence_set_clock(struct presence *presence, uint64_t agent_id, int64_t offset_us)
{
    struct here *here = map_get(&presence->here, agent_id);
    if (here)
        here->clock_us = offset_us;
}

int64_t presence_clock_us(const struct presence *presence, uint64_t agent_id)
{
    const struct here *here = map_get(&presence->here, agent_id);
    return here ? here->clock_us : FIELD_NO_I64;
}

bool presence_check(struct presence *presence)
{
    struct here *silent[PRESENCE_SOME];
    size_t count = find_silent(presence, now_s(presence) - PRESENCE_SILENT_S, silent);
    if (count)
        write_down(presence, silent, count);
    for (size_t i = 0; i < count; i++) {
        stream_agent(presence->stream, silent[i]->aid, silent[i]->agent_id, "offline");
        presence_forget(presence, silent[i]->agent_id);
    }
    return count == PRESENCE_SOME;
}

size_t presence_count(const struct presence *presence)
{
    return presence->here.count;
}
