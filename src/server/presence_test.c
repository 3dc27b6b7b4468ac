/* Checks of who is there, and of what is written down when many fall silent. */
#include "server/data_check.h"

#include <string.h>

#include "server/presence.h"

#define MANY 500u

static uint64_t add_agent(struct check *c)
{
    struct object_agent agent;
    memset(&agent, 0, sizeof agent);
    field_defaults(object_agent_kind.table, &agent);
    agent.head.aid = CHECK_AID;
    agent.name = "one of many";
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    return agent.head.id;
}

static void get_agent(struct check *c, uint64_t id, struct object_agent *ret_agent)
{
    assert_int_equal(object_get(c->store, &object_agent_kind, id, 0, &c->arena, ret_agent, NULL), 0);
}

static void many_that_fall_silent_are_written_down_in_pieces(void **state)
{
    struct check *c = *state;
    struct presence *presence = presence_new(c->store, c->stream, &c->clock.clock);
    struct object_agent agent;
    uint64_t ids[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ids[i] = add_agent(c);
        presence_seen(presence, CHECK_AID, ids[i]);
    }
    presence_seen(presence, CHECK_AID, 99999); /* deleted since */
    presence_set_clock(presence, ids[0], 1500);
    assert_false(presence_check(presence));
    assert_int_equal(presence_count(presence), MANY + 1);
    clock_sim_advance(&c->clock, (PRESENCE_SILENT_S - 1) * CLOCK_S);
    presence_seen(presence, CHECK_AID, ids[MANY - 1]);
    clock_sim_advance(&c->clock, CLOCK_S);
    size_t calls = 1;
    while (presence_check(presence))
        calls++;
    assert_in_range(calls, 2, MANY);
    assert_int_equal(presence_count(presence), 1);
    get_agent(c, ids[0], &agent);
    assert_int_equal(agent.last_seen_s, CHECK_NOW_S);
    assert_int_equal(agent.clock_offset_us, 1500);
    get_agent(c, ids[MANY - 2], &agent);
    assert_int_equal(agent.last_seen_s, CHECK_NOW_S);
    presence_free(presence); /* and who is still there is written down at the end */
    get_agent(c, ids[MANY - 1], &agent);
    assert_int_equal(agent.last_seen_s, CHECK_NOW_S + PRESENCE_SILENT_S - 1);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(many_that_fall_silent_are_written_down_in_pieces),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
