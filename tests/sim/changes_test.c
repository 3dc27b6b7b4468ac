/* Two hours of the demo's network, measured by the agents' own code and taken in by the server's: which rounds its
 * timeline tells as changes of route. */
#include "server/data_check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/identity.h"
#include "agent/sealed.h"
#include "agent/spool.h"
#include "base/mem.h"
#include "lab/history.h"
#include "server/timeline.h"
#include "wire/json.h"

#define FROM_S (CHECK_NOW_S - 7200) /* 20 minutes past the hour */
#define MOST_ROUNDS 130u
#define AGENTS_OF_A_TEST 3u

static const char *scenario_path;

/* The first three are the agents 1, 2 and 3 of test 1, the others those of test 2. */
static const struct vantage {
    const char *name;
    bool is_rerouted; /* in the minutes 35 to 50 of every hour */
} vantages[] = {{"amsterdam", false}, {"madrid", true},   {"london", true},
                {"frankfurt", false}, {"newyork", false}, {"singapore", false}};
#define VANTAGES (sizeof vantages / sizeof *vantages)

struct story {
    struct check *check;
    struct arena arena; /* of the rounds; that of the check is reset after each batch */
    char dir[64];
    struct message_round rounds[MOST_ROUNDS];
    size_t count, lossy, silent;
};

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static void put_plan(struct story *story, uint64_t test_id)
{
    const struct measure_type *type = measure_type_find("agent-to-server");
    struct agent_to_server_settings settings;
    struct buf buf, bytes;
    char path[160];
    memset(&settings, 0, sizeof settings);
    field_defaults(type->settings, &settings);
    settings.server = "198.18.128.10";
    settings.protocol = AGENT_TO_SERVER_ICMP;
    buf_init(&buf, 65536);
    buf_init(&bytes, 65536);
    field_to_cbor(type->settings, &settings, &buf);
    struct message_test test = {.test_id = test_id,
                                .version = 1,
                                .type = type->name,
                                .interval_s = 60,
                                .settings = {.data = buf.data, .size = buf.size}};
    struct message_plan plan = {.version = 1, .server_ns = 1, .ipv6_policy = 1, .tests = {.items = &test, .count = 1}};
    field_to_cbor(&message_plan_table, &plan, &bytes);
    (void)snprintf(path, sizeof path, "%s/plan", story->dir);
    assert_int_equal(sealed_write(path, bytes.data, bytes.size, 0600, NULL), 0);
    buf_done(&buf);
    buf_done(&bytes);
}

/* How much of the story the check rests on: rounds that lost probes, and places that did not answer. */
static void look(struct story *story, const struct message_round *round)
{
    const struct message_part *parts = round->parts.items;
    struct measure_network network;
    struct measure_path_vis paths;
    assert_int_equal(field_from_cbor(&measure_network_table, parts[0].record.data, parts[0].record.size, &network,
                                     &story->arena, NULL),
                     0);
    assert_int_equal(field_from_cbor(&measure_path_vis_table, parts[1].record.data, parts[1].record.size, &paths,
                                     &story->arena, NULL),
                     0);
    story->lossy += network.loss > 10;
    const struct measure_route *routes = paths.path_traces.items;
    for (size_t i = 0; i < paths.path_traces.count; i++)
        story->silent += routes[i].oculi.silent_hops.count;
}

static bool on_record(void *user, const struct record *record)
{
    struct story *story = user;
    assert_true(story->count < MOST_ROUNDS);
    void *bytes = arena_alloc(&story->arena, record->size);
    memcpy(bytes, record->bytes, record->size);
    struct message_round *round = &story->rounds[story->count++];
    assert_int_equal(field_from_cbor(&message_round_table, bytes, record->size, round, &story->arena, NULL), 0);
    look(story, round);
    return true;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char inner[500];
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(inner) != 0)
            remove_dir(inner);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static void measure(struct story *story, const char *vantage, uint64_t test_id, uint64_t agent_id)
{
    struct lab_scenario *scenario;
    struct error err = {0};
    char path[160];
    uint64_t made;
    strcpy(story->dir, "/tmp/changes-check-XXXXXX");
    assert_non_null(mkdtemp(story->dir));
    struct message_identity identity = {.agent_id = agent_id, .secret = "s", .aid = 1};
    assert_int_equal(identity_save(story->dir, &identity, NULL), 0);
    put_plan(story, test_id);
    if (lab_scenario_load(scenario_path, &scenario, &err))
        fail_msg("%s: %s", err.where, err.text);
    struct lab_history history = {
        .vantage = vantage, .state_dir = story->dir, .from_s = FROM_S, .until_s = CHECK_NOW_S};
    if (lab_history_make(scenario, &history, &made, &err))
        fail_msg("%s: %s", err.where, err.text);
    lab_scenario_free(scenario);
    struct spool *spool;
    struct spool_mark mark;
    (void)snprintf(path, sizeof path, "%s/spool", story->dir);
    assert_int_equal(spool_open(path, &(struct spool_options){0}, &spool, NULL), 0);
    spool_adopt(spool);
    story->count = story->lossy = story->silent = 0;
    (void)spool_read(spool, on_record, story, &mark);
    spool_close(spool);
    remove_dir(story->dir);
    assert_int_equal(story->count, made);
    assert_in_range(made, 119, 121);
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void upload(struct story *story, uint64_t agent_id, size_t at_once, bool has_restarts)
{
    struct check *c = story->check;
    for (size_t i = 0; i < story->count; i += at_once) {
        size_t count = story->count - i < at_once ? story->count - i : at_once;
        struct message_batch batch = {.agent_id = agent_id, .rounds = {&story->rounds[i], count}};
        struct message_receipt receipt;
        assert_int_equal(intake_take(c->intake, agent_id, CHECK_AID, &batch, &c->arena, &receipt, NULL), 0);
        assert_int_equal(receipt.accepted, count);
        if (has_restarts)
            check_reopen(c);
        arena_reset(&c->arena);
    }
}

/* The minutes of the hour of the agent's changes: "35 50 35 50". */
static void changes_of(struct story *story, uint64_t test_id, uint64_t agent_id, char *text, size_t size)
{
    struct check *c = story->check;
    struct view view;
    char agent[24];
    json_t *json;
    (void)snprintf(agent, sizeof agent, "%llu", (unsigned long long)agent_id);
    check_view(c, test_id, agent, &view);
    struct timeline_query query = {.from_s = FROM_S - 3600, .to_s = CHECK_NOW_S};
    buf_reset(&c->out);
    assert_int_equal(timeline_write(&view, &query, &c->out, NULL), 0);
    assert_int_equal(json_parse_strict(c->out.data, c->out.size, &json, NULL), 0);
    size_t used = 0;
    const json_t *changes = json_object_get(json, "changes");
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(changes); i++) {
        long long t = json_integer_value(json_object_get(json_array_get(changes, i), "t"));
        int n = snprintf(text + used, size - used, "%s%lld", i ? " " : "", t / 60 % 60);
        assert_true(n > 0 && (size_t)n < size - used);
        used += (size_t)n;
    }
    json_decref(json);
}

static void tell(struct check *c, size_t at_once, bool has_restarts)
{
    struct story *story = mem_alloc(sizeof *story);
    story->check = c;
    arena_init(&story->arena, 256 << 20);
    assert_int_equal(check_add_test(c, "two", 60, (const uint64_t[]){1, 2, 3, 0}), 2);
    for (size_t i = 0; i < VANTAGES; i++) {
        uint64_t test_id = 1 + i / AGENTS_OF_A_TEST, agent_id = 1 + i % AGENTS_OF_A_TEST;
        char changes[200];
        measure(story, vantages[i].name, test_id, agent_id);
        bool is_lossy = strcmp(vantages[i].name, "amsterdam") == 0 || strcmp(vantages[i].name, "frankfurt") == 0;
        assert_in_range(story->lossy, is_lossy ? 20 : 0, is_lossy ? 28 : 0);
        assert_true(story->silent > 0 || !is_lossy);
        upload(story, agent_id, at_once, has_restarts);
        changes_of(story, test_id, agent_id, changes, sizeof changes);
        assert_string_equal(changes, vantages[i].is_rerouted ? "35 50 35 50" : "");
    }
    arena_done(&story->arena);
    mem_free(story);
}

static void only_routes_that_change_are_changes(void **state)
{
    tell(*state, 50, false);
}

static void a_server_that_restarts_sees_the_same(void **state)
{
    tell(*state, 1, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CHECK(only_routes_that_change_are_changes),
        CHECK(a_server_that_restarts_sees_the_same),
    };
    assert_int_equal(argc, 2);
    scenario_path = argv[1];
    return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
