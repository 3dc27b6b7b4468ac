/* Checks of plans. */
#include "server/data_check.h"

#include <string.h>

static int64_t version_of(struct check *c, uint64_t agent_id)
{
    int64_t version = -1;
    assert_int_equal(plan_version(c->plan, agent_id, &version, NULL), 0);
    return version;
}

static struct message_plan plan_of(struct check *c, uint64_t agent_id)
{
    struct message_plan plan;
    assert_int_equal(plan_build(c->plan, agent_id, &c->arena, &plan, NULL), 0);
    assert_int_equal(plan.version, version_of(c, agent_id));
    assert_int_equal(field_check(&message_plan_table, &plan, NULL), 0);
    return plan;
}

static void a_plan_lists_what_the_agent_should_run(void **state)
{
    struct check *c = *state;
    (void)check_add_test(c, "two", 300, (const uint64_t[]){2, 0});
    struct message_plan plan = plan_of(c, 1);
    assert_int_equal(plan.server_ns, CHECK_NOW_S * CLOCK_S);
    assert_int_equal(plan.tests.count, 1);
    assert_int_equal(plan.runs.count, 0);
    const struct message_test *tests = plan.tests.items;
    assert_int_equal(tests[0].test_id, 1);
    assert_int_equal(tests[0].version, 1);
    assert_string_equal(tests[0].type, "agent-to-server");
    assert_int_equal(tests[0].interval_s, 60);
    struct agent_to_server_settings settings;
    assert_int_equal(field_from_cbor(measure_type_find("agent-to-server")->settings, tests[0].settings.data,
                                     tests[0].settings.size, &settings, &c->arena, NULL),
                     0);
    assert_string_equal(settings.server, "app.example.net:443");
    plan = plan_of(c, 2);
    assert_int_equal(plan.tests.count, 2);
    struct message_plan none;
    assert_int_equal(plan_build(c->plan, 99, &c->arena, &none, NULL), -E_NOT_FOUND);
}

static void the_version_changes_exactly_with_the_content(void **state)
{
    struct check *c = *state;
    int64_t one = version_of(c, 1), two = version_of(c, 2);
    assert_true(one > 0);
    uint64_t id = check_add_test(c, "two", 300, (const uint64_t[]){2, 0});
    assert_int_equal(version_of(c, 1), one);
    assert_int_equal(version_of(c, 2), two + 1);
    /* Told twice, or of something that changed nothing: the same. */
    assert_int_equal(plan_test_changed(c->plan, id, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 2, NULL), 0);
    assert_int_equal(plan_test_changed(c->plan, 999, NULL), 0);
    assert_int_equal(version_of(c, 2), two + 1);

    struct object_test test;
    check_get_test(c, id, &test);
    test.interval_s = 600;
    check_put_test(c, &test);
    assert_int_equal(version_of(c, 2), two + 2);
    test.enabled = false;
    check_put_test(c, &test);
    assert_int_equal(version_of(c, 2), two + 3);
    assert_int_equal(plan_of(c, 2).tests.count, 1);
    check_put_test(c, &test); /* still disabled: nothing that the agent would see */
    assert_int_equal(version_of(c, 2), two + 3);
    test.enabled = true;
    struct object_test_agent moved[] = {{.agent_id = 1}};
    test.agents = (struct field_list){moved, 1};
    check_put_test(c, &test);
    assert_int_equal(version_of(c, 2), two + 3);
    assert_int_equal(version_of(c, 1), one + 1);
    assert_int_equal(store_delete(c->store, "test", id, NULL), 0);
    assert_int_equal(plan_test_changed(c->plan, id, NULL), 0);
    assert_int_equal(version_of(c, 1), one + 2);
}

static void versions_go_on_after_a_restart(void **state)
{
    struct check *c = *state;
    int64_t one = version_of(c, 1);
    check_reopen(c);
    assert_int_equal(version_of(c, 1), one);
    assert_int_equal(plan_of(c, 1).tests.count, 1);
    /* A change that was stored but never told: found at the start. */
    struct object_test test;
    check_get_test(c, 1, &test);
    test.interval_s = 120;
    assert_int_equal(object_put(c->store, &object_test_kind, &test, CHECK_NOW_S, NULL), 0);
    check_reopen(c);
    assert_int_equal(version_of(c, 1), one + 1);
    check_reopen(c);
    assert_int_equal(version_of(c, 1), one + 1);
}

static void disabled_and_strange_agents_run_nothing(void **state)
{
    struct check *c = *state;
    int64_t before = version_of(c, 1);
    struct object_agent agent;
    assert_int_equal(object_get(c->store, &object_agent_kind, 1, 0, &c->arena, &agent, NULL), 0);
    agent.enabled = false;
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 1, NULL), 0);
    assert_int_equal(version_of(c, 1), before + 1);
    assert_int_equal(plan_of(c, 1).tests.count, 0);

    /* An agent of another account group that the test names by mistake gets nothing. */
    agent.head = (struct object_head){.aid = 2};
    agent.enabled = true;
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, agent.head.id, NULL), 0);
    (void)check_add_test(c, "theirs", 60, (const uint64_t[]){agent.head.id, 0});
    assert_int_equal(plan_of(c, agent.head.id).tests.count, 0);
    check_reopen(c);
    assert_int_equal(plan_of(c, agent.head.id).tests.count, 0);
    assert_int_equal(plan_of(c, 1).tests.count, 0);
}

static void prefixes_to_resolve_travel_with_the_plan(void **state)
{
    struct check *c = *state;
    int64_t before = version_of(c, 1);
    struct object_agent agent;
    const char *prefixes[] = {"20.0.0.0/8", "2a00::/32"};
    assert_int_equal(plan_of(c, 1).resolve_prefixes.count, 0);
    assert_int_equal(object_get(c->store, &object_agent_kind, 1, 0, &c->arena, &agent, NULL), 0);
    agent.local_resolution_prefixes = (struct field_list){prefixes, 2};
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 1, NULL), 0);
    assert_int_equal(version_of(c, 1), before + 1);
    struct message_plan plan = plan_of(c, 1);
    const char *const *sent = plan.resolve_prefixes.items;
    assert_int_equal(plan.resolve_prefixes.count, 2);
    assert_string_equal(sent[0], "20.0.0.0/8");
    assert_string_equal(sent[1], "2a00::/32");
    check_reopen(c);
    assert_int_equal(version_of(c, 1), before + 1);
    assert_int_equal(plan_of(c, 1).resolve_prefixes.count, 2);
}

static uint64_t ask(struct check *c, uint64_t test_id, const uint64_t *agents, size_t count)
{
    struct object_run run = {.head.aid = CHECK_AID,
                             .test_id = test_id,
                             .test_version = 1,
                             .asked_s = clock_wall_ns(&c->clock.clock) / CLOCK_S,
                             .agents = {(void *)(uintptr_t)agents, count}};
    assert_int_equal(object_put(c->store, &object_run_kind, &run, run.asked_s, NULL), 0);
    assert_int_equal(plan_run_changed(c->plan, run.head.id, NULL), 0);
    return run.head.id;
}

static void runs_stay_until_they_are_reported(void **state)
{
    struct check *c = *state;
    uint64_t instant = check_add_test(c, NULL, 0, (const uint64_t[]){1, 2, 0});
    int64_t before = version_of(c, 1), third = version_of(c, 3);
    assert_int_equal(plan_of(c, 1).tests.count, 1);
    uint64_t run_id = ask(c, instant, (const uint64_t[]){1, 2}, 2);
    assert_int_equal(version_of(c, 1), before + 1);
    assert_int_equal(version_of(c, 3), third);
    struct message_plan plan = plan_of(c, 1);
    assert_int_equal(plan.runs.count, 1);
    const struct message_run *run = plan.runs.items;
    assert_int_equal(run->run_id, run_id);
    assert_int_equal(run->test_id, instant);
    assert_int_equal(run->requested_s, CHECK_NOW_S);
    check_reopen(c);
    assert_int_equal(plan_of(c, 1).runs.count, 1);
    assert_int_equal(version_of(c, 1), before + 1);

    struct check_round round = {.test_id = instant, .agent_id = 1, .run_id = run_id, .round_id = CHECK_NOW_S};
    assert_int_equal(check_upload(c, &round), 100);
    assert_int_equal(plan_of(c, 1).runs.count, 0);
    assert_int_equal(plan_of(c, 2).runs.count, 1);
    assert_int_equal(version_of(c, 1), before + 2);
    assert_int_equal(check_upload(c, &round), 10);
    round.agent_id = 2;
    assert_int_equal(check_upload(c, &round), 100);
    struct object_run stored;
    assert_int_equal(object_get(c->store, &object_run_kind, run_id, 0, &c->arena, &stored, NULL), -E_NOT_FOUND);
    assert_int_equal(check_upload(c, &round), 10);
}

static void runs_nobody_fetches_are_forgotten(void **state)
{
    struct check *c = *state;
    (void)ask(c, 1, (const uint64_t[]){1}, 1);
    clock_sim_advance(&c->clock, (PLAN_RUN_KEEP_S - 1) * CLOCK_S);
    (void)ask(c, 1, (const uint64_t[]){1}, 1);
    assert_int_equal(plan_expire(c->plan, NULL), 0);
    assert_int_equal(plan_of(c, 1).runs.count, 2);
    clock_sim_advance(&c->clock, 2 * CLOCK_S);
    assert_int_equal(plan_expire(c->plan, NULL), 0);
    assert_int_equal(plan_of(c, 1).runs.count, 1);
}

struct waiting {
    struct plan_waiter waiter; /* first member */
    int wakes;
};

static void on_wake(struct plan_waiter *waiter)
{
    ((struct waiting *)waiter)->wakes++;
}

static void waiters_are_woken_once_by_their_agents_change(void **state)
{
    struct check *c = *state;
    struct waiting one = {.waiter.wake = on_wake}, other = one, two = one, left = one;
    assert_int_equal(plan_wait(c->plan, 1, &one.waiter, NULL), 0);
    assert_int_equal(plan_wait(c->plan, 1, &left.waiter, NULL), 0);
    assert_int_equal(plan_wait(c->plan, 1, &other.waiter, NULL), 0);
    assert_int_equal(plan_wait(c->plan, 2, &two.waiter, NULL), 0);
    assert_int_equal(plan_wait(c->plan, 99, &two.waiter, NULL), -E_NOT_FOUND);
    plan_unwait(&left.waiter);
    plan_unwait(&left.waiter);
    (void)check_add_test(c, "two", 60, (const uint64_t[]){1, 0});
    (void)check_add_test(c, "three", 60, (const uint64_t[]){1, 0});
    assert_int_equal(one.wakes, 1);
    assert_int_equal(other.wakes, 1);
    assert_int_equal(left.wakes, 0);
    assert_int_equal(two.wakes, 0);
    assert_int_equal(store_delete(c->store, "agent", 2, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 2, NULL), 0);
    assert_int_equal(two.wakes, 1);
    int64_t version;
    assert_int_equal(plan_version(c->plan, 2, &version, NULL), -E_NOT_FOUND);
}

static void count_more(void *user)
{
    ++*(int *)user;
}

#define MANY 600u
static void a_change_for_many_agents_is_told_in_pieces(void **state)
{
    struct check *c = *state;
    struct object_test_agent assigned[MANY];
    struct object_agent agent;
    struct object_test test;
    int more = 0;
    memset(assigned, 0, sizeof assigned);
    for (size_t i = 0; i < MANY; i++) {
        memset(&agent, 0, sizeof agent);
        field_defaults(object_agent_kind.table, &agent);
        agent.head.aid = CHECK_AID;
        agent.name = "one of many";
        assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
        assert_int_equal(plan_agent_changed(c->plan, agent.head.id, NULL), 0);
        assigned[MANY - 1 - i].agent_id = agent.head.id; /* in no order */
        assigned[MANY - 1 - i].source_ip = i % 2 ? "192.0.2.7" : NULL;
    }
    check_get_test(c, 1, &test);
    test.agents = (struct field_list){assigned, MANY};
    plan_on_more(c->plan, count_more, &more);
    check_put_test(c, &test);
    for (int rest = 1; more; rest++) {
        size_t told = 0;
        more = 0;
        for (size_t i = 0; i < MANY; i++)
            told += version_of(c, assigned[i].agent_id) == 2;
        assert_in_range(told, 1, MANY - 1);
        assert_in_range(rest, 1, 10);
        assert_int_equal(plan_settle(c->plan, NULL), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        struct message_plan plan = plan_of(c, assigned[i].agent_id);
        const struct message_test *tests = plan.tests.items;
        assert_int_equal(plan.version, 2);
        assert_int_equal(plan.tests.count, 1);
        assert_int_equal(tests[0].source_ip != NULL, (MANY - 1 - i) % 2);
    }
}

/* --- clusters ------------------------------------------------------------------------------------------------------ */

static void put_in_cluster(struct check *c, uint64_t agent_id, uint64_t cluster_id)
{
    struct object_agent agent;
    assert_int_equal(object_get(c->store, &object_agent_kind, agent_id, 0, &c->arena, &agent, NULL), 0);
    agent.cluster_id = cluster_id;
    agent.is_cluster = agent_id == cluster_id;
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, agent_id, NULL), 0);
}

#define CLUSTER_TESTS 7u
#define CLUSTER_SLOTS 40u

/* Agents 1 to 3 become the cluster 1, which runs CLUSTER_TESTS tests every minute. */
static void make_cluster(struct check *c)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct object_test test;
    check_get_test(c, 1, &test);
    test.agents.count = 1;
    check_put_test(c, &test);
    for (size_t i = 0; i + 1 < CLUSTER_TESTS; i++)
        (void)check_add_test(c, names[i], 60, (const uint64_t[]){1, 0});
    for (uint64_t id = 1; id <= 3; id++)
        put_in_cluster(c, id, 1);
    assert_int_equal(plan_level(c->plan, 1, NULL), 0);
}

static size_t count_tests(struct check *c, uint64_t agent_id)
{
    return plan_of(c, agent_id).tests.count;
}

static void a_cluster_shares_its_tests(void **state)
{
    struct check *c = *state;
    make_cluster(c);
    for (uint64_t id = 1; id <= 3; id++)
        assert_in_range(count_tests(c, id), 2, 3);
    assert_int_equal(count_tests(c, 1) + count_tests(c, 2) + count_tests(c, 3), CLUSTER_TESTS);

    /* New tests go where there is least to do, and each stays at home after a restart. */
    uint64_t home[CLUSTER_TESTS + 2] = {0};
    (void)check_add_test(c, "y", 60, (const uint64_t[]){1, 0});
    (void)check_add_test(c, "z", 60, (const uint64_t[]){1, 0});
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(count_tests(c, id), 3);
    for (uint64_t id = 1; id <= CLUSTER_TESTS + 2; id++)
        home[id - 1] = plan_runner(c->plan, 1, id);
    int64_t version = version_of(c, 2);
    check_reopen(c);
    for (uint64_t id = 1; id <= CLUSTER_TESTS + 2; id++)
        assert_int_equal(plan_runner(c->plan, 1, id), home[id - 1]);
    assert_int_equal(version_of(c, 2), version);

    /* Settings are the cluster's. */
    struct object_agent agent;
    assert_int_equal(object_get(c->store, &object_agent_kind, 1, 0, &c->arena, &agent, NULL), 0);
    agent.enabled = false;
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 1, NULL), 0);
    assert_int_equal(count_tests(c, 2), 0);
    agent.enabled = true;
    assert_int_equal(object_put(c->store, &object_agent_kind, &agent, CHECK_NOW_S, NULL), 0);
    assert_int_equal(plan_agent_changed(c->plan, 1, NULL), 0);

    /* Who leaves runs nothing, the others everything. */
    put_in_cluster(c, 2, 0);
    assert_int_equal(count_tests(c, 2), 0);
    assert_int_equal(count_tests(c, 1) + count_tests(c, 3), CLUSTER_TESTS + 2);
}

/* A member as it behaves (docs/protocols.md): it asks for its plan anew every 10 s and hears at once of changes; a test
 * has a phase of its own there; one that is new starts within the present slot. */
struct member {
    bool is_dead;
    bool runs[CLUSTER_TESTS + 1];
    size_t done[CLUSTER_TESTS + 1]; /* slot + 1 */
};

static void measure(struct check *c, uint64_t test_id, int64_t slot, uint8_t *counts)
{
    int kept = check_upload(c, &(struct check_round){.test_id = test_id,
                                                     .agent_id = 1,
                                                     .round_id = CHECK_NOW_S + slot * 60,
                                                     .loss = 0,
                                                     .latency = 10});
    assert_true(kept == 100 || kept == 10);
    counts[0] = (uint8_t)(counts[0] + (kept == 100));
    counts[1]++;
}

static void member_second(struct check *c, struct member *member, uint64_t id, int64_t second,
                          uint8_t counts[CLUSTER_SLOTS][CLUSTER_TESTS + 1][2])
{
    int64_t slot = second / 60, at = second % 60;
    struct message_plan plan = plan_of(c, id);
    const struct message_test *tests = plan.tests.items;
    bool runs[CLUSTER_TESTS + 1] = {false};
    for (size_t i = 0; i < plan.tests.count; i++)
        runs[tests[i].test_id] = true;
    if (second % 10 == (int64_t)id)
        assert_int_equal(plan_member_seen(c->plan, id, NULL), 0);
    for (uint64_t test = 1; test <= CLUSTER_TESTS; test++) {
        int64_t phase = (int64_t)(id * 17 + test * 11) % 30;
        bool is_due = at == phase || (runs[test] && !member->runs[test] && at > phase && at < 58);
        if (runs[test] && is_due && member->done[test] != (size_t)slot + 1) {
            measure(c, test, slot, counts[slot][test]);
            member->done[test] = (size_t)slot + 1;
        }
        member->runs[test] = runs[test];
    }
}

static void a_member_that_dies_costs_a_round_at_most(void **state)
{
    static const struct {
        int64_t second;
        uint64_t id;
        bool is_dead;
    } fates[] = {{307, 2, true}, {731, 2, false}, {1000, 1, true}, {1211, 3, true}, {1500, 1, false}, {1799, 3, false}};
    static uint8_t counts[CLUSTER_SLOTS][CLUSTER_TESTS + 1][2];
    struct check *c = *state;
    struct member members[4] = {{.is_dead = false}};
    memset(counts, 0, sizeof counts);
    make_cluster(c);
    for (int64_t second = 0; second < 60 * (int64_t)CLUSTER_SLOTS; second++) {
        for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
            if (fates[i].second == second) {
                members[fates[i].id].is_dead = fates[i].is_dead;
                memset(members[fates[i].id].runs, 0, sizeof members[0].runs);
            }
        }
        for (uint64_t id = 1; id <= 3; id++) {
            if (!members[id].is_dead)
                member_second(c, &members[id], id, second, counts);
        }
        assert_int_equal(plan_check_members(c->plan, NULL), 0);
        clock_sim_advance(&c->clock, CLOCK_S);
        arena_reset(&c->arena);
    }
    for (size_t test = 1; test <= CLUSTER_TESTS; test++) {
        size_t missing = 0, twice = 0;
        for (size_t slot = 0; slot < CLUSTER_SLOTS; slot++) {
            assert_in_range(counts[slot][test][0], 0, 1); /* kept */
            missing += counts[slot][test][0] == 0;
            twice += counts[slot][test][1] > 1;
        }
        assert_in_range(missing, 0, 3); /* one for each death */
        assert_in_range(twice, 0, 6);   /* measured by two while it changed hands; kept once */
    }
    for (uint64_t id = 1; id <= 3; id++)
        assert_in_range(count_tests(c, id), 2, 3); /* all are home again */
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(a_plan_lists_what_the_agent_should_run),
        CHECK(the_version_changes_exactly_with_the_content),
        CHECK(versions_go_on_after_a_restart),
        CHECK(disabled_and_strange_agents_run_nothing),
        CHECK(prefixes_to_resolve_travel_with_the_plan),
        CHECK(runs_stay_until_they_are_reported),
        CHECK(runs_nobody_fetches_are_forgotten),
        CHECK(waiters_are_woken_once_by_their_agents_change),
        CHECK(a_change_for_many_agents_is_told_in_pieces),
        CHECK(a_cluster_shares_its_tests),
        CHECK(a_member_that_dies_costs_a_round_at_most),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
