/* Checks of what is known of paths: which rounds are told as a change of route, and which are only badly seen. */
#include "server/data_check.h"

#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "server/known_paths.h"
#include "server/timeline.h"

#define FIRST_S (CHECK_NOW_S - 6000)

/* "a b * d" as a path: the addresses from TTL 1 on, * for a silent hop. */
static struct check_path path(struct check *c, const char *text, int end)
{
    static uint64_t next_id;
    struct check_path path = {.id = ++next_id, .end = end};
    char *copy = arena_strdup(&c->arena, text), *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        path.hops[path.hop_count++] = strcmp(word, "*") == 0 ? NULL : word;
    return path;
}

/* The agent's n-th round with up to three flows; it must be new. */
static void flows(struct check *c, uint64_t agent_id, int n, const char *one, const char *two, const char *three)
{
    const char *const texts[] = {one, two, three};
    struct check_round round = {.test_id = 1, .agent_id = agent_id, .round_id = FIRST_S + 60 * n};
    for (size_t i = 0; i < 3 && texts[i]; i++)
        round.paths[round.path_count++] = path(c, texts[i], MEASURE_END_REACHED);
    assert_int_equal(check_upload(c, &round), 100);
}

static void trace(struct check *c, int n, const char *text, int end)
{
    struct check_round round = {
        .test_id = 1, .agent_id = 1, .round_id = FIRST_S + 60 * n, .paths = {path(c, text, end)}, .path_count = 1};
    assert_int_equal(check_upload(c, &round), 100);
}

struct letters {
    uint64_t fingerprints[26];
    size_t count, length;
    char text[64];
};

static bool add_letter(void *user, const struct store_round *round)
{
    struct letters *letters = user;
    size_t i = 0;
    while (i < letters->count && letters->fingerprints[i] != round->fingerprint)
        i++;
    assert_true(i < 26 && letters->length < sizeof letters->text - 1);
    if (round->fingerprint && i == letters->count)
        letters->fingerprints[letters->count++] = round->fingerprint;
    letters->text[letters->length++] = round->fingerprint ? (char)('A' + (char)i) : '-';
    return true;
}

/* The agent's rounds in order of time, equal letters for equal fingerprints. */
static void assert_letters(struct check *c, uint64_t agent_id, const char *expected)
{
    struct letters letters = {0};
    struct store_query query = {.test_id = 1, .agent_id = agent_id, .until_s = INT64_MAX, .after_round = -1};
    assert_int_equal(store_rounds(c->store, &query, add_letter, &letters, NULL), 0);
    assert_string_equal(letters.text, expected);
}

static void loss_is_no_change(void **state)
{
    struct check *c = *state;
    flows(c, 1, 0, "a b c t", "a x c t", NULL);
    flows(c, 1, 1, "a * c t", "a x * t", NULL);
    flows(c, 1, 2, "* * * t", "a x c t", NULL);
    flows(c, 1, 3, "a b c * t", "a x c t", NULL); /* the nearest answer of the target was lost */
    flows(c, 1, 4, "a * * * t", "* * * * * t", NULL);
    flows(c, 1, 5, "a b c t", "a x c t", NULL);
    trace(c, 6, "a b", MEASURE_END_SILENT);
    trace(c, 7, "", MEASURE_END_SILENT);
    trace(c, 8, "a b", MEASURE_END_PROHIBITED);
    trace(c, 9, "a * b", MEASURE_END_UNREACHABLE); /* b speaks one TTL beyond its place, in which it was not heard */
    trace(c, 10, "a b c t", MEASURE_END_REACHED);
    flows(c, 1, 11, NULL, NULL, NULL); /* nothing was traced */
    flows(c, 1, 12, "a b c t", "a x c t", NULL);
    assert_letters(c, 1, "AAAAAAAAAAA-A");
}

static void the_unknown_is_learnt(void **state)
{
    struct check *c = *state;
    trace(c, 0, "", MEASURE_END_SILENT);
    flows(c, 1, 1, "a * * t", NULL, NULL);
    flows(c, 1, 2, "a b * t", NULL, NULL);
    flows(c, 1, 3, "* * c t", NULL, NULL);
    flows(c, 1, 4, "a b c t", NULL, NULL);
    assert_letters(c, 1, "AAAAA");
    flows(c, 1, 5, "* z * t", NULL, NULL); /* learnt in round 2, contradicted now */
    flows(c, 1, 6, "* z d t", NULL, NULL); /* c is not known any more */
    assert_letters(c, 1, "AAAAABB");
}

static void routes_change_and_return(void **state)
{
    struct check *c = *state;
    flows(c, 1, 0, "a b c t", "a x c t", NULL);
    flows(c, 1, 1, "a b c t", "a y c t", NULL);
    flows(c, 1, 2, "a * c t", "a y * t", NULL);
    flows(c, 1, 3, "a b c t", "a x c t", NULL);
    assert_letters(c, 1, "ABBA");
    flows(c, 1, 4, "a b c d t", "a x c d t", NULL); /* longer */
    flows(c, 1, 5, "a b t", "a x t", NULL);         /* shorter */
    flows(c, 1, 6, "a b u", "a x u", NULL);         /* another target */
    trace(c, 7, "a b a", MEASURE_END_LOOP);
    trace(c, 8, "a b", MEASURE_END_SILENT);
    trace(c, 9, "a b a", MEASURE_END_LOOP);
    flows(c, 1, 10, "a b * * u", "a x u", NULL);
    assert_letters(c, 1, "ABBACDEFFFG");
    /* What ends early beyond where the target was known is no way to it. */
    trace(c, 11, "* * * * * e", MEASURE_END_SILENT);
    assert_letters(c, 1, "ABBACDEFFFGH");
}

static void other_flows_are_learnt(void **state)
{
    struct check *c = *state;
    flows(c, 1, 0, "a b t", NULL, NULL);
    flows(c, 1, 1, "a b t", "a x t", "a y t"); /* the settings ask for more flows */
    flows(c, 1, 2, "a b t", "a x t", NULL);
    flows(c, 1, 3, "a b t", "a x t", "a y t");
    assert_letters(c, 1, "AAAA");
    flows(c, 1, 4, "a b t", "a x t", "a z t");
    assert_letters(c, 1, "AAAAB");
    flows(c, 2, 0, "q t", NULL, NULL); /* agents are known one by one */
    flows(c, 1, 5, "a b t", NULL, NULL);
    assert_letters(c, 1, "AAAABB");
    assert_letters(c, 2, "A");
}

static void old_rounds_change_nothing(void **state)
{
    struct check *c = *state;
    flows(c, 1, 10, "a b t", NULL, NULL);
    flows(c, 1, 3, "a z t", NULL, NULL);
    flows(c, 1, 4, "a b * t", NULL, NULL);
    flows(c, 1, 5, "w * t", NULL, NULL);
    flows(c, 1, 11, "a b t", NULL, NULL);
    assert_letters(c, 1, "ABCBB");
    /* Sent again, even with other content, a round teaches nothing. */
    struct check_round again = {.test_id = 1,
                                .agent_id = 1,
                                .round_id = FIRST_S + 660,
                                .paths = {path(c, "a q t", MEASURE_END_REACHED)},
                                .path_count = 1};
    assert_int_equal(check_upload(c, &again), 10);
    flows(c, 1, 12, "a b t", NULL, NULL);
    assert_letters(c, 1, "ABCBBB");
}

static void restarts_are_no_change(void **state)
{
    struct check *c = *state;
    flows(c, 1, 0, "a b c t", NULL, NULL);
    flows(c, 1, 1, "a * c t", NULL, NULL);
    flows(c, 1, 2, NULL, NULL, NULL);
    check_reopen(c);
    flows(c, 1, 3, "a b * t", NULL, NULL);
    flows(c, 1, 4, "a b c t", NULL, NULL);
    check_reopen(c);
    flows(c, 1, -1, "a b c t", NULL, NULL);
    flows(c, 1, 5, "a z c t", NULL, NULL);
    check_reopen(c);
    flows(c, 1, 6, "a z * t", NULL, NULL);
    assert_letters(c, 1, "AAA-AABB");
    intake_forget_test(c->intake, 1);
    flows(c, 1, 7, "a z c t", NULL, NULL); /* learnt again from what is stored */
    assert_letters(c, 1, "AAA-AABBB");
}

static void timelines_mark_the_changes(void **state)
{
    struct check *c = *state;
    struct view view;
    static const char *const seen[] = {"a b c t", "a * c t", "a z c t", "* z * t", "a b c t"};
    for (int i = 0; i < 5; i++) {
        flows(c, 1, i, seen[i], NULL, NULL);
        flows(c, 2, i, "q r t", NULL, NULL);
    }
    struct timeline_query query = {.from_s = FIRST_S, .to_s = CHECK_NOW_S};
    check_view(c, 1, NULL, &view);
    assert_int_equal(timeline_write(&view, &query, &c->out, NULL), 0);
    char expected[160];
    (void)snprintf(expected, sizeof expected,
                   "\"changes\":[{\"t\":%lld,\"agents\":[\"1\"]},{\"t\":%lld,\"agents\":[\"1\"]}]}", FIRST_S + 120,
                   FIRST_S + 240);
    assert_non_null(strstr(buf_str(&c->out), expected));
}

/* A round by hand: one flow over three places to a target. */
static uint64_t judge(struct known_paths *known, uint64_t test_id, int n, uint32_t second)
{
    uint32_t places[] = {11, second, 13};
    struct results_trace trace = {.flow = 1, .count = 3, .target = 99, .target_ttl = 4, .places = places};
    struct results_paths paths = {.traces = &trace, .count = 1};
    struct store_round round = {.test_id = test_id, .agent_id = 1, .round_id = FIRST_S + 60 * n, .fingerprint = 5};
    known_paths_judge(known, measure_type_find("agent-to-server"), &paths, &round);
    return round.fingerprint;
}

static void what_was_not_stored_is_not_known(void **state)
{
    struct check *c = *state;
    struct known_paths *known = known_paths_new(c->store, 10);
    uint64_t a = judge(known, 1, 0, 12);
    assert_true(a != 0 && a != 5);
    known_paths_keep(known);
    assert_true(judge(known, 1, 1, 77) != a);
    assert_true(judge(known, 1, 2, 12) != 5);
    assert_true(judge(known, 2, 1, 12) != 5);
    known_paths_drop(known);
    assert_int_equal(known_paths_count(known), 1);
    assert_true(judge(known, 1, 1, 12) == a);
    assert_true(judge(known, 1, 2, 0) == a);
    uint64_t b = judge(known, 1, 3, 77);
    assert_true(b != a && judge(known, 1, 4, 77) == b);
    known_paths_keep(known);
    assert_true(judge(known, 1, 5, 77) == b);
    known_paths_free(known);
}

static void beyond_the_ceiling_rounds_stand_alone(void **state)
{
    struct check *c = *state;
    struct known_paths *known = known_paths_new(c->store, 2);
    uint64_t hits = limit_hits(LIMIT_KIND_KNOWN_PATHS);
    uint64_t a = judge(known, 1, 0, 12);
    assert_true(judge(known, 2, 0, 12) != 5);
    assert_true(judge(known, 3, 0, 12) == 5);
    known_paths_keep(known);
    assert_true(judge(known, 3, 1, 12) == 5);
    assert_true(judge(known, 1, 1, 0) == a);
    assert_int_equal(limit_hits(LIMIT_KIND_KNOWN_PATHS), hits + 2);
    known_paths_keep(known);
    assert_int_equal(known_paths_count(known), 2);
    known_paths_forget_test(known, 2);
    assert_int_equal(known_paths_count(known), 1);
    assert_true(judge(known, 3, 2, 12) != 5);
    known_paths_free(known);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(loss_is_no_change),
        CHECK(the_unknown_is_learnt),
        CHECK(routes_change_and_return),
        CHECK(other_flows_are_learnt),
        CHECK(old_rounds_change_nothing),
        CHECK(restarts_are_no_change),
        CHECK(timelines_mark_the_changes),
        CHECK(what_was_not_stored_is_not_known),
        CHECK(beyond_the_ceiling_rounds_stand_alone),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
