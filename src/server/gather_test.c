/* Checks of group commit: nothing acknowledged that is not on the disk, nothing doubled, nobody held up by another. */
#include "server/data_check.h"

#include <string.h>

#include "server/gather.h"
#include "store/backend.h"

#define BATCHES 6

struct sender {
    struct gather_batch batch; /* first */
    struct group *group;
    struct message_round *rounds;
    size_t count;
    int read_rc;
    bool has_ended;
    int rc;
    struct message_receipt receipt;
    int syncs; /* that had succeeded when it ended */
};

struct group {
    struct check *check;
    struct loop *loop;
    struct gather *gather;
    struct sender senders[BATCHES];
    size_t waiting;
};

/* A backend like the one in use, whose flushes and commits fail on demand. */
static const struct store_backend *real;
static struct store_backend faulty;
static _Atomic int syncs, sync_rc, commit_rc;

static int sync_maybe(struct store *store, struct error *err)
{
    (void)store;
    if (sync_rc)
        return error_set(err, (enum error_code)-sync_rc, "disk", "no");
    syncs++;
    return 0;
}

static int commit_maybe(struct store *store, struct error *err)
{
    return commit_rc ? error_set(err, (enum error_code)-commit_rc, "disk", "full") : real->commit(store, err);
}

static int group_setup(void **state)
{
    struct check *c;
    int rc = check_setup((void **)&c);
    struct group *group = arena_alloc(&c->arena, sizeof *group);
    real = c->store->backend;
    faulty = *real;
    faulty.sync = sync_maybe;
    faulty.commit = commit_maybe;
    c->store->backend = &faulty;
    syncs = sync_rc = commit_rc = 0;
    group->check = c;
    assert_int_equal(loop_new(&group->loop, NULL), 0);
    assert_int_equal(gather_open(c->intake, c->store, group->loop, NULL, NULL, &group->gather, NULL), 0);
    *state = group;
    return rc;
}

static int group_teardown(void **state)
{
    struct group *group = *state;
    struct check *c = group->check;
    gather_close(group->gather);
    loop_free(group->loop);
    c->store->backend = real;
    return check_teardown((void **)&c);
}

static int read_batch(struct gather_batch *batch, struct arena *arena, struct message_batch *ret_batch,
                      struct error *err)
{
    struct sender *sender = (struct sender *)batch;
    (void)arena;
    if (sender->read_rc)
        return error_set(err, (enum error_code)-sender->read_rc, "", "no batch");
    *ret_batch = (struct message_batch){.agent_id = batch->agent_id, .rounds = {sender->rounds, sender->count}};
    return 0;
}

static void on_ended(struct gather_batch *batch, int rc, const struct message_receipt *receipt, const struct error *err)
{
    struct sender *sender = (struct sender *)batch;
    (void)err;
    assert_false(sender->has_ended);
    sender->has_ended = true;
    sender->rc = rc;
    sender->receipt = *receipt;
    sender->syncs = syncs;
    sender->group->waiting--;
}

/* Sends count rounds of an agent from a slot on, a minute apart and back in time. */
static struct sender *send_rounds(struct group *group, size_t number, uint64_t agent_id, int64_t minutes, size_t count)
{
    struct sender *sender = &group->senders[number];
    *sender = (struct sender){.group = group, .count = count};
    sender->batch = (struct gather_batch){
        .agent_id = agent_id, .aid = CHECK_AID, .read = read_batch, .ended = on_ended};
    sender->rounds = arena_alloc_array(&group->check->arena, count + 1, sizeof *sender->rounds);
    for (size_t i = 0; i < count; i++) {
        struct check_round round = {.test_id = 1,
                                    .agent_id = agent_id,
                                    .round_id = CHECK_NOW_S - 60 * (minutes + (int64_t)i),
                                    .loss = 0,
                                    .latency = 10};
        sender->rounds[i] = check_message(group->check, &round);
    }
    group->waiting++;
    gather_submit(group->gather, &sender->batch);
    return sender;
}

static void wait_for_all(struct group *group)
{
    while (group->waiting)
        assert_int_equal(loop_step(group->loop, -1), 0);
}

static uint64_t rounds_kept(struct group *group)
{
    struct store_stats stats;
    assert_int_equal(store_stats(group->check->store, &stats, NULL), 0);
    return stats.rounds;
}

static void receipts_wait_for_the_disk(void **state)
{
    struct group *group = *state;
    for (size_t i = 0; i < 3; i++)
        (void)send_rounds(group, i, i + 1, 1, 100);
    wait_for_all(group);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(group->senders[i].rc, 0);
        assert_int_equal(group->senders[i].receipt.accepted, 100);
        assert_true(group->senders[i].syncs >= 1);
    }
    assert_int_equal(rounds_kept(group), 300);
    assert_int_equal(gather_counts(group->gather)->waiting, 0);
    assert_int_equal(intake_counts(group->check->intake)->batches, 3);
}

static void the_same_rounds_twice_at_once_are_kept_once(void **state)
{
    struct group *group = *state;
    struct sender *first = send_rounds(group, 0, 1, 1, 200), *second = send_rounds(group, 1, 1, 101, 200);
    wait_for_all(group);
    assert_int_equal(first->receipt.accepted, 200);
    assert_int_equal(second->receipt.accepted, 100);
    assert_int_equal(second->receipt.duplicates, 100);
    assert_true(second->syncs >= 1); /* a duplicate is acknowledged only when the first of it is on the disk */
    assert_int_equal(rounds_kept(group), 300);
}

static void who_goes_away_has_no_receipt_and_sends_again(void **state)
{
    struct group *group = *state;
    (void)send_rounds(group, 0, 1, 1, 400);
    (void)send_rounds(group, 1, 2, 1, 50);
    assert_int_equal(loop_step(group->loop, -1), 0); /* a slice at most of it is taken */
    gather_cancel(group->gather, &group->senders[0].batch);
    group->waiting--;
    wait_for_all(group);
    assert_false(group->senders[0].has_ended);
    assert_int_equal(group->senders[1].receipt.accepted, 50);
    struct sender *again = send_rounds(group, 2, 1, 1, 400);
    wait_for_all(group);
    assert_int_equal(again->receipt.accepted + again->receipt.duplicates, 400);
    assert_int_equal(rounds_kept(group), 450);
}

static void a_batch_that_does_not_read_harms_no_other(void **state)
{
    struct group *group = *state;
    (void)send_rounds(group, 0, 1, 1, 10);
    send_rounds(group, 1, 2, 1, 10)->read_rc = -E_INVALID;
    (void)send_rounds(group, 3, 1, 20, 10);
    wait_for_all(group);
    assert_int_equal(group->senders[0].receipt.accepted, 10);
    assert_int_equal(group->senders[1].rc, -E_INVALID);
    assert_int_equal(group->senders[3].receipt.accepted, 10);
}

static void a_commit_that_fails_loses_and_doubles_nothing(void **state)
{
    struct group *group = *state;
    commit_rc = -E_FULL;
    (void)send_rounds(group, 0, 1, 1, 300);
    (void)send_rounds(group, 1, 2, 1, 5);
    wait_for_all(group);
    assert_int_equal(group->senders[0].rc, -E_FULL);
    assert_int_equal(group->senders[1].rc, -E_FULL);
    assert_int_equal(rounds_kept(group), 0);
    commit_rc = 0;
    struct sender *again = send_rounds(group, 2, 1, 1, 300);
    wait_for_all(group);
    assert_int_equal(again->rc, 0);
    assert_int_equal(again->receipt.accepted, 300);
    assert_int_equal(rounds_kept(group), 300);
}

static void a_flush_that_fails_acknowledges_nothing(void **state)
{
    struct group *group = *state;
    sync_rc = -E_IO;
    (void)send_rounds(group, 0, 1, 1, 20);
    wait_for_all(group);
    assert_int_equal(group->senders[0].rc, -E_IO);
    struct sender *again = send_rounds(group, 1, 1, 1, 20);
    wait_for_all(group);
    assert_int_equal(again->rc, -E_IO); /* duplicates of what nobody knows to be on the disk */
    sync_rc = 0;
    again = send_rounds(group, 2, 1, 1, 20);
    wait_for_all(group);
    assert_int_equal(again->rc, 0);
    assert_int_equal(again->receipt.duplicates, 20);
    assert_int_equal(rounds_kept(group), 20);
}

static void answers_are_held_until_their_change_is_on_the_disk(void **state)
{
    struct group *group = *state;
    struct sender *held = &group->senders[0];
    store_never_wait(group->check->store);
    (void)check_add_test(group->check, "changed", 60, (const uint64_t[]){1, 0});
    assert_true(gather_is_dirty(group->gather));
    *held = (struct sender){.group = group, .batch = {.ended = on_ended}};
    group->waiting++;
    gather_hold(group->gather, &held->batch);
    wait_for_all(group);
    assert_int_equal(held->rc, 0);
    assert_int_equal(held->syncs, 1);
    assert_false(gather_is_dirty(group->gather));
    sync_rc = -E_IO;
    (void)check_add_test(group->check, "lost perhaps", 60, (const uint64_t[]){1, 0});
    *held = (struct sender){.group = group, .batch = {.ended = on_ended}};
    group->waiting++;
    gather_hold(group->gather, &held->batch);
    wait_for_all(group);
    assert_int_equal(held->rc, -E_IO);
    assert_true(gather_is_dirty(group->gather));
}

static void what_waits_at_the_end_is_forgotten(void **state)
{
    struct group *group = *state;
    (void)send_rounds(group, 0, 1, 1, 20);
    (void)send_rounds(group, 1, 2, 1, 400);
    assert_int_equal(loop_step(group->loop, -1), 0);
    group->waiting = 0;
}

#define GROUP_CHECK(name) cmocka_unit_test_setup_teardown(name, group_setup, group_teardown)

int main(void)
{
    const struct CMUnitTest checks[] = {
        GROUP_CHECK(receipts_wait_for_the_disk),
        GROUP_CHECK(the_same_rounds_twice_at_once_are_kept_once),
        GROUP_CHECK(who_goes_away_has_no_receipt_and_sends_again),
        GROUP_CHECK(a_batch_that_does_not_read_harms_no_other),
        GROUP_CHECK(a_commit_that_fails_loses_and_doubles_nothing),
        GROUP_CHECK(a_flush_that_fails_acknowledges_nothing),
        GROUP_CHECK(answers_are_held_until_their_change_is_on_the_disk),
        GROUP_CHECK(what_waits_at_the_end_is_forgotten),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
