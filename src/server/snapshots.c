#include "server/snapshots.h"

#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/mem.h"

#define STEP_ROUNDS 64
#define STEP_GAP_NS (5 * CLOCK_MS)
#define RETRY_NS (10 * CLOCK_S) /* after a full disk and the like */

static const struct field snapshot_fields[] = {
    FIELD_STR(struct object_snapshot, code, "code", (.flags = FIELD_SECRET), "Who has it may see a public one"),
    FIELD_STR(struct object_snapshot, name, "displayName", (), "Its name"),
    FIELD_ID(struct object_snapshot, source_test_id, "sourceTestId", (), "The test it was made of"),
    FIELD_ID(struct object_snapshot, test_id, "testId", (), "The saved event"),
    FIELD_ID(struct object_snapshot, uid, "uid", (), "Who made it"),
    FIELD_TIME(struct object_snapshot, from_s, "startDate", (), "First round"),
    FIELD_TIME(struct object_snapshot, until_s, "endDate", (), "Last round"),
    FIELD_I64(struct object_snapshot, round_id, "roundId", (), "The round looked at first"),
    FIELD_TIME(struct object_snapshot, created_s, "shareDate", (), "When it was made"),
    FIELD_TIME(struct object_snapshot, expires_s, "expiresDate", (), "When it goes"),
    FIELD_BOOL(struct object_snapshot, is_public, "isPublic", (), "Who has the address may see it"),
    FIELD_BOOL(struct object_snapshot, is_copied, "isCopied", (), "All of its rounds are there"),
    FIELD_I64(struct object_snapshot, copied_round, "copiedRound", (.preset = "-1"), "The last round that is there"),
    FIELD_ID(struct object_snapshot, copied_agent, "copiedAgent", (), "Its agent"),
};
static const struct field_table snapshot_table = FIELD_TABLE("StoredSnapshot", struct object_snapshot, snapshot_fields,
                                                             NULL, "A snapshot of a test as it is kept");
const struct object_kind object_snapshot_kind = {.name = "snapshot",
                                                 .table = &snapshot_table,
                                                 .key = OBJECT_NONE,
                                                 .lookup = offsetof(struct object_snapshot, code),
                                                 .title = "Snapshot",
                                                 .resource = "snapshotName",
                                                 .label = offsetof(struct object_snapshot, name)};

struct snapshots {
    struct store *store;
    struct loop *loop;
    const struct clock *clock;
    struct loop_timer timer;
    size_t waiting;
};

/* --- one step ------------------------------------------------------------------------------------------------------ */

struct step {
    const struct object_snapshot *snapshot;
    struct arena *arena;
    struct store_round rounds[STEP_ROUNDS];
    size_t count;
    bool is_full; /* of memory: the rest waits for the next step */
};

static bool take(void *user, const struct store_round *round)
{
    struct step *step = user;
    struct store_round *copy = &step->rounds[step->count];
    struct store_metric *metrics = arena_alloc_array(step->arena, round->metric_count + 1, sizeof *metrics);
    void *body = arena_alloc(step->arena, round->body_size + 1);
    void *detail = arena_alloc(step->arena, round->detail_size + 1);
    step->is_full = !metrics || !body || !detail;
    if (step->is_full)
        return false;
    if (round->metric_count)
        memcpy(metrics, round->metrics, round->metric_count * sizeof *metrics);
    if (round->body_size)
        memcpy(body, round->body, round->body_size);
    if (round->detail_size)
        memcpy(detail, round->detail, round->detail_size);
    *copy = *round;
    copy->test_id = step->snapshot->test_id;
    copy->test_version = 1;
    copy->metrics = metrics;
    copy->body = body;
    copy->detail = detail;
    step->count++;
    return step->count < STEP_ROUNDS;
}

static int copy_step(struct snapshots *snapshots, struct object_snapshot *snapshot, struct arena *arena,
                     struct error *err)
{
    struct step *step = arena_alloc(arena, sizeof *step);
    if (!step)
        return error_set(err, E_LIMIT, "snapshot", "no memory");
    *step = (struct step){.snapshot = snapshot, .arena = arena};
    struct store_query query = {.test_id = snapshot->source_test_id,
                                .from_s = snapshot->from_s,
                                .until_s = snapshot->until_s + 1,
                                .after_round = snapshot->copied_round,
                                .after_agent = snapshot->copied_agent,
                                .max = STEP_ROUNDS,
                                .want = STORE_WANT_METRICS | STORE_WANT_BODY | STORE_WANT_DETAIL};
    int rc = store_rounds(snapshots->store, &query, take, step, err);
    if (!rc && step->is_full && !step->count)
        rc = error_set(err, E_LIMIT, "snapshot", "a round is too large to copy");
    if (!rc)
        rc = store_begin(snapshots->store, err);
    if (rc)
        return rc;
    if (step->count) {
        snapshot->copied_round = step->rounds[step->count - 1].round_id;
        snapshot->copied_agent = step->rounds[step->count - 1].agent_id;
        rc = store_append(snapshots->store, step->rounds, step->count, NULL, NULL, err);
    }
    snapshot->is_copied = step->count < STEP_ROUNDS && !step->is_full;
    if (!rc)
        rc = object_put(snapshots->store, &object_snapshot_kind, snapshot, clock_wall_ns(snapshots->clock) / CLOCK_S,
                        err);
    return store_end(snapshots->store, rc, err);
}

/* --- all of them ----------------------------------------------------------------------------------------------------- */

static int find_waiting(struct snapshots *snapshots, struct arena *arena, struct object_snapshot *ret_first,
                        struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(snapshots->store, &object_snapshot_kind, 0, NULL, arena, &all, err);
    const struct object_snapshot *snapshot = all.items;
    snapshots->waiting = 0;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (snapshot[i].is_copied)
            continue;
        if (!snapshots->waiting++)
            *ret_first = snapshot[i];
    }
    return rc;
}

static void on_due(void *user)
{
    struct snapshots *snapshots = user;
    struct arena arena;
    struct error err = {0};
    struct object_snapshot snapshot;
    arena_init(&arena, 4 * LIMIT_REQUEST_ARENA);
    int rc = find_waiting(snapshots, &arena, &snapshot, &err);
    if (!rc && snapshots->waiting)
        rc = copy_step(snapshots, &snapshot, &arena, &err);
    if (rc) {
        char text[600];
        log_warning("snapshots", "copying waits: %s", error_format(&err, text, sizeof text));
    }
    if (!rc && snapshots->waiting && snapshot.is_copied)
        snapshots->waiting--;
    arena_done(&arena);
    if (rc || snapshots->waiting)
        loop_timer_start(snapshots->loop, &snapshots->timer,
                         loop_now_ns(snapshots->loop) + (rc ? RETRY_NS : STEP_GAP_NS));
}

int snapshots_open(struct store *store, struct loop *loop, const struct clock *clock, struct snapshots **ret_snapshots,
                   struct error *err)
{
    struct snapshots *snapshots = mem_alloc(sizeof *snapshots);
    struct object_snapshot first;
    struct arena arena;
    *snapshots = (struct snapshots){.store = store, .loop = loop, .clock = clock};
    snapshots->timer = (struct loop_timer){.fn = on_due, .user = snapshots};
    arena_init(&arena, SIZE_MAX);
    int rc = find_waiting(snapshots, &arena, &first, err);
    arena_done(&arena);
    if (rc) {
        mem_free(snapshots);
        return rc;
    }
    if (snapshots->waiting)
        snapshots_added(snapshots);
    *ret_snapshots = snapshots;
    return 0;
}

void snapshots_close(struct snapshots *snapshots)
{
    if (!snapshots)
        return;
    loop_timer_stop(snapshots->loop, &snapshots->timer);
    mem_free(snapshots);
}

void snapshots_added(struct snapshots *snapshots)
{
    loop_timer_start(snapshots->loop, &snapshots->timer, loop_now_ns(snapshots->loop) + STEP_GAP_NS);
}

size_t snapshots_waiting(const struct snapshots *snapshots)
{
    return snapshots->waiting;
}
