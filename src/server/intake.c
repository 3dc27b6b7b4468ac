#include "server/intake.h"

#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "server/about.h"
#include "server/known_paths.h"
#include "server/object.h"
#include "server/results.h"

const char *const intake_refusal_names[INTAKE_REFUSALS] = {
    [INTAKE_NO_TEST] = "no-test", [INTAKE_NOT_YOURS] = "not-yours", [INTAKE_NO_VERSION] = "no-version",
    [INTAKE_TOO_OLD] = "too-old", [INTAKE_IN_FUTURE] = "in-future", [INTAKE_MALFORMED] = "malformed",
};

struct intake {
    struct store *store;
    struct plan *plan;
    struct latest *latest;
    struct stream *stream;
    struct known_paths *paths;
    struct about *about;
    const struct clock *clock;
    struct intake_counts counts;
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int warm_up(struct intake *intake, struct error *err)
{
    struct arena arena;
    struct field_list tests = {0};
    int64_t now_s = clock_wall_ns(intake->clock) / CLOCK_S;
    arena_init(&arena, SIZE_MAX);
    int rc = object_list(intake->store, &object_test_kind, 0, NULL, &arena, &tests, err);
    const struct object_test *test = tests.items;
    for (size_t i = 0; !rc && i < tests.count; i++) {
        const struct measure_type *type = measure_type_find(test[i].type);
        if (type)
            rc = latest_warm_up(intake->latest, intake->store, test[i].head.id, type, test[i].interval_s, now_s, err);
    }
    arena_done(&arena);
    return rc;
}

int intake_open(struct store *store, struct plan *plan, struct latest *latest, struct stream *stream,
                const struct clock *clock, struct intake **ret_intake, struct error *err)
{
    struct intake *intake = mem_alloc(sizeof *intake);
    *intake = (struct intake){.store = store, .plan = plan, .latest = latest, .stream = stream, .clock = clock};
    intake->paths = known_paths_new(store, LIMIT_KNOWN_PATHS);
    int rc = warm_up(intake, err);
    if (rc)
        intake_close(intake);
    else
        *ret_intake = intake;
    return rc;
}

void intake_set_about(struct intake *intake, struct about *about)
{
    intake->about = about;
}

void intake_close(struct intake *intake)
{
    known_paths_free(intake->paths);
    mem_free(intake);
}

void intake_forget_test(struct intake *intake, uint64_t test_id)
{
    known_paths_forget_test(intake->paths, test_id);
}

const struct intake_counts *intake_counts(const struct intake *intake)
{
    return &intake->counts;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

/* What a batch needs to know of the tests in it; an agent's batch has few. */
struct known_test {
    uint64_t test_id;
    int64_t version;
    int refusal; /* enum intake_refusal, or -1: the test may report */
    const struct measure_type *type;
    int32_t interval_s;
    bool is_assigned; /* the settings of that version name the agent */
};

struct taking {
    struct intake *intake;
    uint64_t agent_id, aid;
    struct arena *arena;
    int64_t now_s;
    struct known_test *known;
    size_t known_count;
    struct store_round *rounds; /* those that are good */
    uint64_t *runs;             /* run of each, 0 = scheduled */
    const struct measure_type **types;
    size_t count;
    size_t refused[INTAKE_REFUSALS];
};

static bool names_agent(const struct object_test *test, uint64_t agent_id)
{
    const struct object_test_agent *agents = test->agents.items;
    for (size_t i = 0; i < test->agents.count; i++) {
        if (agents[i].agent_id == agent_id)
            return true;
    }
    return false;
}

static int learn_test(struct taking *taking, struct known_test *known, struct error *err)
{
    struct object_test test;
    struct store *store = taking->intake->store;
    known->refusal = INTAKE_NO_TEST;
    int rc = object_get(store, &object_test_kind, known->test_id, 0, taking->arena, &test, err);
    if (rc || test.head.aid != taking->aid)
        return rc == -E_NOT_FOUND ? 0 : rc;
    known->interval_s = test.interval_s;
    if (test.head.version != known->version) {
        known->refusal = INTAKE_NO_VERSION;
        rc = object_get(store, &object_test_kind, known->test_id, known->version, taking->arena, &test, err);
        if (rc)
            return rc == -E_NOT_FOUND ? 0 : rc;
    }
    known->type = measure_type_find(test.type);
    known->is_assigned = names_agent(&test, taking->agent_id);
    known->refusal = known->type ? -1 : INTAKE_MALFORMED;
    return 0;
}

static int know_test(struct taking *taking, const struct message_round *round, const struct known_test **ret_known,
                     struct error *err)
{
    for (size_t i = taking->known_count; i-- > 0;) {
        if (taking->known[i].test_id == round->test_id && taking->known[i].version == round->test_version) {
            *ret_known = &taking->known[i];
            return 0;
        }
    }
    struct known_test *known = &taking->known[taking->known_count++];
    *known = (struct known_test){.test_id = round->test_id, .version = round->test_version};
    *ret_known = known;
    return learn_test(taking, known, err);
}

/* A run that asked this agent lets it report although the test does not name it. */
static int run_allows(struct taking *taking, const struct message_round *round, bool *ret_allowed, struct error *err)
{
    struct object_run run;
    *ret_allowed = false;
    if (!round->run_id)
        return 0;
    int rc = object_get(taking->intake->store, &object_run_kind, round->run_id, 0, taking->arena, &run, err);
    const uint64_t *agents = run.agents.items;
    for (size_t i = 0; !rc && i < run.agents.count; i++)
        *ret_allowed |= agents[i] == taking->agent_id && run.test_id == round->test_id && run.head.aid == taking->aid;
    return rc == -E_NOT_FOUND ? 0 : rc;
}

/* *ret_refusal is why the round is refused, or -1 when it is good. */
static int check_round(struct taking *taking, const struct message_round *round, const struct known_test **ret_known,
                       int *ret_refusal, struct error *err)
{
    *ret_refusal = INTAKE_MALFORMED;
    if (!round->test_id || field_check(&message_round_table, round, NULL))
        return 0;
    int rc = know_test(taking, round, ret_known, err);
    if (rc)
        return rc;
    const struct known_test *known = *ret_known;
    bool is_allowed = known->is_assigned;
    if (known->refusal < 0 && !is_allowed)
        rc = run_allows(taking, round, &is_allowed, err);
    int64_t ahead_s = known->interval_s > INTAKE_AHEAD_S ? known->interval_s : INTAKE_AHEAD_S;
    if (known->refusal >= 0)
        *ret_refusal = known->refusal;
    else if (!is_allowed)
        *ret_refusal = INTAKE_NOT_YOURS;
    else if (round->round_id < taking->now_s - INTAKE_OLDEST_S)
        *ret_refusal = INTAKE_TOO_OLD;
    else if (round->round_id > taking->now_s + ahead_s)
        *ret_refusal = INTAKE_IN_FUTURE;
    else
        *ret_refusal = -1;
    return rc;
}

static int take_round(struct taking *taking, const struct message_round *round, struct error *err)
{
    const struct known_test *known = NULL;
    struct results_paths paths;
    int refusal;
    int rc = check_round(taking, round, &known, &refusal, err);
    if (rc)
        return rc;
    struct store_round kept = {
        .test_id = round->test_id,
        .agent_id = taking->agent_id,
        .round_id = round->round_id,
        .start_s = round->start_ns / CLOCK_S,
        .end_s = round->end_ns / CLOCK_S,
        .test_version = round->test_version,
    };
    if (refusal < 0)
        rc = results_pack(known->type, round->parts.items, round->parts.count, taking->arena, &kept, &paths, err);
    if (rc == -E_LIMIT)
        return rc; /* the batch is too much for one request, not the round for us */
    if (rc)
        refusal = INTAKE_MALFORMED;
    if (refusal >= 0) {
        taking->refused[refusal]++;
        return 0;
    }
    known_paths_judge(taking->intake->paths, known->type, &paths, &kept);
    taking->types[taking->count] = known->type;
    taking->runs[taking->count] = round->run_id;
    taking->rounds[taking->count++] = kept;
    return 0;
}

/* --- keeping ------------------------------------------------------------------------------------------------------ */

static int keep(struct taking *taking, size_t *ret_new, bool *is_new, struct error *err)
{
    struct intake *intake = taking->intake;
    *ret_new = 0;
    if (!taking->count)
        return 0;
    int rc = store_begin(intake->store, err);
    if (rc)
        return rc;
    rc = store_append(intake->store, taking->rounds, taking->count, ret_new, is_new, err);
    for (size_t i = 0; !rc && i < taking->count; i++) {
        if (taking->runs[i])
            rc = plan_run_reported(intake->plan, taking->runs[i], taking->agent_id, err);
    }
    if (rc)
        store_rollback(intake->store);
    else
        rc = store_commit(intake->store, err);
    return rc;
}

/* Somebody will look at the paths soon: the names are there by then. */
static void expect_names(const struct taking *taking, const struct measure_type *type, const struct store_round *round)
{
    struct results_round result;
    struct arena arena;
    if (!about_asks_names(taking->intake->about))
        return;
    arena_init(&arena, 4 * LIMIT_RESULT_BYTES);
    int rc = results_unpack(type, round, &arena, &result, NULL);
    for (size_t i = 0; !rc && i < type->part_count; i++) {
        const struct measure_part *part = &type->parts[i];
        const struct measure_path_vis *paths =
            part->table == &measure_path_vis_table ? results_part(&result, part) : NULL;
        if (paths)
            about_expect(taking->intake->about, paths);
    }
    arena_done(&arena);
}

/* What follows a commit cannot fail the batch any more: the rounds are kept, whoever watches is told. */
static void tell(struct taking *taking, const bool *is_new)
{
    struct intake *intake = taking->intake;
    for (size_t i = 0; i < taking->count; i++) {
        const struct store_round *round = &taking->rounds[i];
        if (taking->runs[i])
            (void)plan_run_changed(intake->plan, taking->runs[i], NULL);
        if (!is_new[i])
            continue;
        latest_add(intake->latest, taking->types[i], round);
        expect_names(taking, taking->types[i], round);
        stream_round(intake->stream, taking->aid, round->test_id, round->round_id, round->agent_id);
    }
}

static int prepare(struct taking *taking, size_t count, struct error *err)
{
    taking->known = arena_alloc_array(taking->arena, count + 1, sizeof *taking->known);
    taking->rounds = arena_alloc_array(taking->arena, count + 1, sizeof *taking->rounds);
    taking->runs = arena_alloc_array(taking->arena, count + 1, sizeof *taking->runs);
    taking->types = arena_alloc_array(taking->arena, count + 1, sizeof *taking->types);
    if (!taking->known || !taking->rounds || !taking->runs || !taking->types)
        return error_set(err, E_LIMIT, "rounds", "the batch does not fit the memory of this request");
    return 0;
}

int intake_take(struct intake *intake, uint64_t agent_id, uint64_t aid, const struct message_batch *batch,
                struct arena *arena, struct message_receipt *ret_receipt, struct error *err)
{
    const struct message_round *rounds = batch->rounds.items;
    size_t count = batch->rounds.count, fresh;
    bool is_new[LIMIT_BATCH_ROUNDS];
    if (batch->agent_id != agent_id)
        return error_set(err, E_INVALID, "agentId", "the batch is another agent's");
    if (count > LIMIT_BATCH_ROUNDS)
        return error_set(err, E_LIMIT, "rounds", "at most %u rounds in a batch", LIMIT_BATCH_ROUNDS);
    struct taking taking = {.intake = intake,
                            .agent_id = agent_id,
                            .aid = aid,
                            .arena = arena,
                            .now_s = clock_wall_ns(intake->clock) / CLOCK_S};
    int rc = prepare(&taking, count, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = take_round(&taking, &rounds[i], err);
    if (!rc)
        rc = keep(&taking, &fresh, is_new, err);
    if (rc) {
        known_paths_drop(intake->paths);
        return rc;
    }
    known_paths_keep(intake->paths);
    intake->counts.batches++;
    intake->counts.accepted += fresh;
    intake->counts.duplicates += taking.count - fresh;
    for (size_t i = 0; i < INTAKE_REFUSALS; i++)
        intake->counts.refused[i] += taking.refused[i];
    *ret_receipt = (struct message_receipt){.accepted = (int64_t)fresh,
                                            .duplicates = (int64_t)(taking.count - fresh),
                                            .refused = (int64_t)(count - taking.count)};
    tell(&taking, is_new);
    return 0;
}
