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
    uint64_t aid;     /* of the test; the agent may work for several account groups */
    bool is_assigned; /* the settings of that version name the agent */
};

#define STEP_ROUNDS 32 /* appended at once, and between two looks at the clock */

struct intake_work {
    struct intake *intake;
    uint64_t agent_id, aid;
    const struct message_batch *batch;
    size_t next; /* round of the batch */
    struct arena *arena;
    int64_t now_s;
    struct known_test *known;
    size_t known_count;
    struct store_round *rounds; /* those that are good */
    uint64_t *runs;             /* run of each, 0 = scheduled */
    const struct known_test **tests; /* of each */
    bool *is_new;
    size_t count;
    size_t appended, told; /* of count */
    size_t fresh;
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

static int learn_test(struct intake_work *work, struct known_test *known, struct error *err)
{
    struct object_test test;
    struct store *store = work->intake->store;
    known->refusal = INTAKE_NO_TEST;
    int rc = object_get(store, &object_test_kind, known->test_id, 0, work->arena, &test, err);
    if (rc)
        return rc == -E_NOT_FOUND ? 0 : rc;
    known->aid = test.head.aid;
    known->interval_s = test.interval_s;
    known->is_assigned = names_agent(&test, work->agent_id); /* an agent that joined a cluster has rounds from before */
    if (test.head.version != known->version) {
        known->refusal = INTAKE_NO_VERSION;
        rc = object_get(store, &object_test_kind, known->test_id, known->version, work->arena, &test, err);
        if (rc)
            return rc == -E_NOT_FOUND ? 0 : rc;
    }
    known->type = measure_type_find(test.type);
    known->is_assigned = known->is_assigned || names_agent(&test, work->agent_id);
    if (known->aid != work->aid) {
        struct object_agent agent;
        rc = object_get(store, &object_agent_kind, work->agent_id, 0, work->arena, &agent, err);
        if (rc || agent.head.aid != work->aid || !object_agent_works_for(&agent, known->aid))
            return rc == -E_NOT_FOUND ? 0 : rc; /* not even told that there is one */
    }
    known->refusal = known->type ? -1 : INTAKE_MALFORMED;
    return 0;
}

static int know_test(struct intake_work *work, const struct message_round *round, const struct known_test **ret_known,
                     struct error *err)
{
    for (size_t i = work->known_count; i-- > 0;) {
        if (work->known[i].test_id == round->test_id && work->known[i].version == round->test_version) {
            *ret_known = &work->known[i];
            return 0;
        }
    }
    struct known_test *known = &work->known[work->known_count++];
    *known = (struct known_test){.test_id = round->test_id, .version = round->test_version};
    *ret_known = known;
    return learn_test(work, known, err);
}

/* A run that asked this agent lets it report although the test does not name it. */
static int run_allows(struct intake_work *work, const struct message_round *round, bool *ret_allowed, struct error *err)
{
    struct object_run run;
    *ret_allowed = false;
    if (!round->run_id)
        return 0;
    int rc = object_get(work->intake->store, &object_run_kind, round->run_id, 0, work->arena, &run, err);
    const uint64_t *agents = run.agents.items;
    for (size_t i = 0; !rc && i < run.agents.count; i++)
        *ret_allowed |= agents[i] == work->agent_id && run.test_id == round->test_id;
    return rc == -E_NOT_FOUND ? 0 : rc;
}

/* *ret_refusal is why the round is refused, or -1 when it is good. */
static int check_round(struct intake_work *work, const struct message_round *round, const struct known_test **ret_known,
                       int *ret_refusal, struct error *err)
{
    *ret_refusal = INTAKE_MALFORMED;
    if (!round->test_id || field_check(&message_round_table, round, NULL))
        return 0;
    int rc = know_test(work, round, ret_known, err);
    if (rc)
        return rc;
    const struct known_test *known = *ret_known;
    bool is_allowed = known->is_assigned;
    if (known->refusal < 0 && !is_allowed)
        rc = run_allows(work, round, &is_allowed, err);
    int64_t ahead_s = known->interval_s > INTAKE_AHEAD_S ? known->interval_s : INTAKE_AHEAD_S;
    if (known->refusal >= 0)
        *ret_refusal = known->refusal;
    else if (!is_allowed)
        *ret_refusal = INTAKE_NOT_YOURS;
    else if (round->round_id < work->now_s - INTAKE_OLDEST_S)
        *ret_refusal = INTAKE_TOO_OLD;
    else if (round->round_id > work->now_s + ahead_s)
        *ret_refusal = INTAKE_IN_FUTURE;
    else
        *ret_refusal = -1;
    return rc;
}

static int take_round(struct intake_work *work, const struct message_round *round, struct error *err)
{
    const struct known_test *known = NULL;
    struct results_paths paths;
    int refusal;
    int rc = check_round(work, round, &known, &refusal, err);
    if (rc)
        return rc;
    struct store_round kept = {
        .test_id = round->test_id,
        .agent_id = work->agent_id,
        .round_id = round->round_id,
        .start_s = round->start_ns / CLOCK_S,
        .end_s = round->end_ns / CLOCK_S,
        .test_version = round->test_version,
    };
    if (refusal < 0)
        rc = results_pack(known->type, round->parts.items, round->parts.count, work->arena, &kept, &paths, err);
    if (rc == -E_LIMIT)
        return rc; /* the batch is too much for one request, not the round for us */
    if (rc)
        refusal = INTAKE_MALFORMED;
    if (refusal >= 0) {
        work->refused[refusal]++;
        return 0;
    }
    known_paths_judge(work->intake->paths, known->type, &paths, &kept);
    work->tests[work->count] = known;
    work->runs[work->count] = round->run_id;
    work->rounds[work->count++] = kept;
    return 0;
}

/* --- keeping ------------------------------------------------------------------------------------------------------ */

/* Appends what was packed since the last time. */
static int append(struct intake_work *work, struct error *err)
{
    struct intake *intake = work->intake;
    size_t fresh = 0, first = work->appended;
    if (first == work->count)
        return 0;
    int rc = store_append(intake->store, work->rounds + first, work->count - first, &fresh, work->is_new + first, err);
    for (size_t i = first; !rc && i < work->count; i++) {
        if (work->runs[i])
            rc = plan_run_reported(intake->plan, work->runs[i], work->agent_id, err);
    }
    if (rc)
        return rc;
    work->appended = work->count;
    work->fresh += fresh;
    return 0;
}

/* Somebody will look at the paths soon: the names are there by then. */
static void expect_names(const struct intake_work *work, const struct measure_type *type, const struct store_round *round)
{
    struct results_round result;
    struct arena arena;
    if (!about_asks_names(work->intake->about))
        return;
    arena_init(&arena, 4 * LIMIT_RESULT_BYTES);
    int rc = results_unpack(type, round, &arena, &result, NULL);
    for (size_t i = 0; !rc && i < type->part_count; i++) {
        const struct measure_part *part = &type->parts[i];
        const struct measure_path_vis *paths =
            part->table == &measure_path_vis_table ? results_part(&result, part) : NULL;
        if (paths)
            about_expect(work->intake->about, paths);
    }
    arena_done(&arena);
}

/* What follows a commit cannot fail the batch any more: the rounds are kept, whoever watches is told. */
void intake_tell(struct intake_work *work)
{
    struct intake *intake = work->intake;
    for (; work->told < work->appended; work->told++) {
        size_t i = work->told;
        const struct store_round *round = &work->rounds[i];
        if (work->runs[i])
            (void)plan_run_changed(intake->plan, work->runs[i], NULL);
        if (!work->is_new[i])
            continue;
        latest_add(intake->latest, work->tests[i]->type, round);
        expect_names(work, work->tests[i]->type, round);
        stream_round(intake->stream, work->tests[i]->aid, round->test_id, round->round_id, round->agent_id);
    }
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

int intake_begin(struct intake *intake, uint64_t agent_id, uint64_t aid, const struct message_batch *batch,
                 struct arena *arena, struct intake_work **ret_work, struct error *err)
{
    size_t count = batch->rounds.count;
    if (batch->agent_id != agent_id)
        return error_set(err, E_INVALID, "agentId", "the batch is another agent's");
    if (count > LIMIT_BATCH_ROUNDS)
        return error_set(err, E_LIMIT, "rounds", "at most %u rounds in a batch", LIMIT_BATCH_ROUNDS);
    struct intake_work *work = arena_alloc(arena, sizeof *work);
    if (work) {
        *work = (struct intake_work){.intake = intake,
                                     .agent_id = agent_id,
                                     .aid = aid,
                                     .batch = batch,
                                     .arena = arena,
                                     .now_s = clock_wall_ns(intake->clock) / CLOCK_S};
        work->known = arena_alloc_array(arena, count + 1, sizeof *work->known);
        work->rounds = arena_alloc_array(arena, count + 1, sizeof *work->rounds);
        work->runs = arena_alloc_array(arena, count + 1, sizeof *work->runs);
        work->tests = arena_alloc_array(arena, count + 1, sizeof *work->tests);
        work->is_new = arena_alloc_array(arena, count + 1, sizeof *work->is_new);
    }
    if (!work || !work->known || !work->rounds || !work->runs || !work->tests || !work->is_new)
        return error_set(err, E_LIMIT, "rounds", "the batch does not fit the memory of this request");
    *ret_work = work;
    return 0;
}

int intake_step(struct intake_work *work, int64_t until_ns, bool *ret_is_over, struct error *err)
{
    const struct message_round *rounds = work->batch->rounds.items;
    size_t count = work->batch->rounds.count;
    int rc = 0;
    while (!rc && work->next < count) {
        size_t end = count - work->next < STEP_ROUNDS ? count : work->next + STEP_ROUNDS;
        while (!rc && work->next < end)
            rc = take_round(work, &rounds[work->next++], err);
        if (!rc)
            rc = append(work, err);
        if (clock_mono_ns(&clock_real) >= until_ns)
            break;
    }
    *ret_is_over = work->next == count;
    return rc;
}

void intake_keep(struct intake *intake)
{
    known_paths_keep(intake->paths);
}

void intake_drop(struct intake *intake)
{
    known_paths_drop(intake->paths);
}

void intake_end(const struct intake_work *work, struct message_receipt *ret_receipt)
{
    struct intake_counts *counts = &work->intake->counts;
    size_t duplicates = work->count - work->fresh;
    counts->batches++;
    counts->accepted += work->fresh;
    counts->duplicates += duplicates;
    for (size_t i = 0; i < INTAKE_REFUSALS; i++)
        counts->refused[i] += work->refused[i];
    *ret_receipt = (struct message_receipt){.accepted = (int64_t)work->fresh,
                                            .duplicates = (int64_t)duplicates,
                                            .refused = (int64_t)(work->batch->rounds.count - work->count)};
}

int intake_take(struct intake *intake, uint64_t agent_id, uint64_t aid, const struct message_batch *batch,
                struct arena *arena, struct message_receipt *ret_receipt, struct error *err)
{
    struct intake_work *work;
    bool is_over;
    int rc = intake_begin(intake, agent_id, aid, batch, arena, &work, err);
    if (rc)
        return rc;
    rc = store_begin(intake->store, err);
    if (rc)
        return rc;
    rc = intake_step(work, INT64_MAX, &is_over, err);
    rc = store_end(intake->store, rc, err);
    if (rc) {
        intake_drop(intake);
        return rc;
    }
    intake_keep(intake);
    intake_end(work, ret_receipt);
    intake_tell(work);
    return 0;
}
