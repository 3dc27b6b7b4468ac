#include "server/presence.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "server/stream.h"

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

static void write_down(struct presence *presence, const struct here *here)
{
    struct arena arena;
    struct error err = {0};
    struct object_agent agent;
    char text[600];
    arena_init(&arena, 1u << 20);
    int rc = object_get(presence->store, &object_agent_kind, here->agent_id, 0, &arena, &agent, &err);
    agent.last_seen_s = here->seen_s;
    if (here->clock_us != FIELD_NO_I64)
        agent.clock_offset_us = here->clock_us;
    if (rc == 0)
        rc = object_put(presence->store, &object_agent_kind, &agent, now_s(presence), &err);
    if (rc && rc != -E_NOT_FOUND)
        log_warning("presence", "cannot keep when agent %llu was seen: %s", (unsigned long long)here->agent_id,
                    error_format(&err, text, sizeof text));
    arena_done(&arena);
}

void presence_free(struct presence *presence)
{
    if (!presence)
        return;
    size_t position = 0;
    for (struct here *here; (here = map_next(&presence->here, &position)) != NULL;) {
        write_down(presence, here);
        mem_free(here);
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

void presence_check(struct presence *presence)
{
    int64_t now = now_s(presence);
    size_t position = 0;
    for (struct here *here; (here = map_next(&presence->here, &position)) != NULL;) {
        if (now - here->seen_s < PRESENCE_SILENT_S)
            continue;
        write_down(presence, here);
        stream_agent(presence->stream, here->aid, here->agent_id, "offline");
        presence_forget(presence, here->agent_id);
        position = 0; /* the map moved */
    }
}

size_t presence_count(const struct presence *presence)
{
    return presence->here.count;
}
