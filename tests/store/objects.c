/* Checks of the objects face. */
#include "conform.h"

#include <stdio.h>
#include <string.h>

static void ids_count_per_kind_and_are_never_used_again(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(conform_put(f, "test", 1, "a", NULL, "A"), 1);
    assert_int_equal(conform_put(f, "test", 1, "b", NULL, "B"), 2);
    assert_int_equal(conform_put(f, "agent", 1, "a", NULL, "A"), 1);
    assert_int_equal(store_delete(f->store, "test", 2, NULL), 0);
    assert_int_equal(conform_put(f, "test", 1, "c", NULL, "C"), 3);
    assert_int_equal(store_purge(f->store, "test", 3, NULL), 0);
    assert_int_equal(conform_put(f, "test", 1, "d", NULL, "D"), 4);
}

static void what_is_put_comes_back_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    char body[70000];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7 + i / 251);
    struct store_object object = {.kind = "test",
                                  .aid = 7,
                                  .key = "n\xc3\xa4me",
                                  .lookup = "owner",
                                  .modified_s = 1790000000,
                                  .body = body,
                                  .body_size = sizeof body};
    assert_int_equal(store_put(f->store, &object, NULL), 0);
    assert_int_equal(object.version, 1);
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", object.id, 0, &f->arena, &got, NULL), 0);
    assert_string_equal(got.kind, "test");
    assert_string_equal(got.key, "n\xc3\xa4me");
    assert_string_equal(got.lookup, "owner");
    assert_int_equal(got.aid, 7);
    assert_int_equal(got.version, 1);
    assert_int_equal(got.modified_s, 1790000000);
    assert_int_equal(got.body_size, sizeof body);
    assert_memory_equal(got.body, body, sizeof body);

    struct store_object bare = {.kind = "bare"};
    assert_int_equal(store_put(f->store, &bare, NULL), 0);
    assert_int_equal(store_get(f->store, "bare", bare.id, 0, &f->arena, &got, NULL), 0);
    assert_null(got.key);
    assert_null(got.lookup);
    assert_int_equal(got.body_size, 0);
}

static void absent_objects_are_not_found(void **state)
{
    struct fixture *f = *state;
    struct store_object got;
    struct error err = {0};
    assert_int_equal(store_get(f->store, "test", 1, 0, &f->arena, &got, &err), -E_NOT_FOUND);
    assert_int_equal(err.code, E_NOT_FOUND);
    assert_int_equal(store_get(f->store, "test", UINT64_MAX, 0, &f->arena, &got, &err), -E_NOT_FOUND);
    assert_int_equal(store_find(f->store, "test", 1, "a", &f->arena, &got, &err), -E_NOT_FOUND);
    assert_int_equal(store_delete(f->store, "test", 1, &err), -E_NOT_FOUND);
    assert_int_equal(store_purge(f->store, "test", 1, &err), -E_NOT_FOUND);
    struct store_object object = {.kind = "test", .id = 5, .version = 1};
    assert_int_equal(store_put(f->store, &object, &err), -E_NOT_FOUND);
    assert_int_equal(conform_put(f, "test", 1, "a", NULL, "A"), 1);
    assert_int_equal(store_get(f->store, "test", 1, 2, &f->arena, &got, &err), -E_NOT_FOUND);
}

static void keys_are_unique_within_kind_and_account(void **state)
{
    struct fixture *f = *state;
    uint64_t first = conform_put(f, "test", 1, "name", NULL, "A");
    (void)conform_put(f, "test", 2, "name", NULL, "B");
    (void)conform_put(f, "agent", 1, "name", NULL, "C");
    (void)conform_put(f, "test", 1, NULL, NULL, "D");
    (void)conform_put(f, "test", 1, NULL, NULL, "E");
    struct error err = {0};
    struct store_object object = {.kind = "test", .aid = 1, .key = "name", .body = "X", .body_size = 1};
    assert_int_equal(store_put(f->store, &object, &err), -E_EXISTS);
    assert_non_null(strstr(err.text, "\"name\""));
    assert_int_equal(object.id, 0);

    uint64_t other = conform_put(f, "test", 1, "other", NULL, "F");
    object = (struct store_object){.kind = "test", .id = other, .version = 1, .aid = 1, .key = "name"};
    assert_int_equal(store_put(f->store, &object, &err), -E_EXISTS);
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", other, 0, &f->arena, &got, NULL), 0);
    assert_string_equal(got.key, "other");
    assert_int_equal(got.version, 1);

    /* An object may keep its own key, and a deleted one gives it free. */
    object = (struct store_object){.kind = "test", .id = first, .version = 1, .aid = 1, .key = "name"};
    assert_int_equal(store_put(f->store, &object, &err), 0);
    assert_int_equal(store_delete(f->store, "test", first, NULL), 0);
    (void)conform_put(f, "test", 1, "name", NULL, "G");
    assert_int_equal(store_find(f->store, "test", 1, "name", &f->arena, &got, NULL), 0);
    assert_memory_equal(got.body, "G", 1);
}

static void versions_count_up_and_stay_readable(void **state)
{
    struct fixture *f = *state;
    uint64_t id = conform_put(f, "test", 1, "a", "x", "one");
    struct store_object object = {
        .kind = "test", .id = id, .version = 1, .aid = 1, .key = "b", .body = "two", .body_size = 3, .modified_s = 20};
    assert_int_equal(store_put(f->store, &object, NULL), 0);
    assert_int_equal(object.version, 2);
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", id, 1, &f->arena, &got, NULL), 0);
    assert_memory_equal(got.body, "one", 3);
    assert_string_equal(got.key, "a");
    assert_string_equal(got.lookup, "x");
    assert_int_equal(got.version, 1);
    assert_int_equal(store_get(f->store, "test", id, 2, &f->arena, &got, NULL), 0);
    assert_memory_equal(got.body, "two", 3);
    assert_null(got.lookup);
    assert_int_equal(store_get(f->store, "test", id, 0, &f->arena, &got, NULL), 0);
    assert_int_equal(got.version, 2);
    assert_int_equal(got.modified_s, 20);
    assert_int_equal(store_find(f->store, "test", 1, "a", &f->arena, &got, NULL), -E_NOT_FOUND);

    assert_int_equal(store_delete(f->store, "test", id, NULL), 0);
    assert_int_equal(store_get(f->store, "test", id, 0, &f->arena, &got, NULL), -E_NOT_FOUND);
    assert_int_equal(store_get(f->store, "test", id, 1, &f->arena, &got, NULL), 0);
    assert_int_equal(store_get(f->store, "test", id, 2, &f->arena, &got, NULL), 0);
    assert_memory_equal(got.body, "two", 3);
    assert_int_equal(store_put(f->store, &object, NULL), -E_NOT_FOUND);
    assert_int_equal(store_delete(f->store, "test", id, NULL), -E_NOT_FOUND);
}

static void purged_objects_leave_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t id = conform_put(f, "session", 0, NULL, "hash", "one");
    struct store_object object = {.kind = "session", .id = id, .version = 1, .lookup = "hash"}, got;
    assert_int_equal(store_put(f->store, &object, NULL), 0);
    assert_int_equal(store_purge(f->store, "session", id, NULL), 0);
    for (int64_t version = 0; version <= 2; version++)
        assert_int_equal(store_get(f->store, "session", id, version, &f->arena, &got, NULL), -E_NOT_FOUND);
}

static void a_stale_version_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    uint64_t id = conform_put(f, "test", 1, "a", NULL, "one");
    struct store_object mine = {.kind = "test", .id = id, .version = 1, .aid = 1, .key = "a"}, theirs = mine;
    assert_int_equal(store_put(f->store, &mine, NULL), 0);
    struct error err = {0};
    assert_int_equal(store_put(f->store, &theirs, &err), -E_CONFLICT);
    assert_int_equal(err.code, E_CONFLICT);
    assert_int_equal(theirs.version, 1);
}

struct listing {
    char text[256];
    size_t stop_after, told;
};

static bool list_one(void *user, const struct store_object *object)
{
    struct listing *l = user;
    size_t used = strlen(l->text);
    (void)snprintf(l->text + used, sizeof l->text - used, "%d:%s ", (int)object->id, object->key ? object->key : "-");
    return ++l->told != l->stop_after;
}

static void assert_list(struct fixture *f, uint64_t aid, const char *lookup, uint64_t after, size_t max, size_t stop,
                        const char *expected)
{
    struct listing l = {.stop_after = stop};
    assert_int_equal(store_list(f->store, "test", aid, lookup, after, max, list_one, &l, NULL), 0);
    assert_string_equal(l.text, expected);
}

static void lists_are_in_id_order_and_filtered(void **state)
{
    struct fixture *f = *state;
    assert_list(f, 0, NULL, 0, 0, 0, "");
    (void)conform_put(f, "test", 1, "z", "red", "");
    (void)conform_put(f, "test", 2, "y", "red", "");
    (void)conform_put(f, "agent", 1, "n", "red", "");
    (void)conform_put(f, "test", 1, "x", "blue", "");
    (void)conform_put(f, "test", 1, "w", NULL, "");
    (void)conform_put(f, "test", 1, "v", "red", "");
    assert_list(f, 0, NULL, 0, 0, 0, "1:z 2:y 3:x 4:w 5:v ");
    assert_list(f, 1, NULL, 0, 0, 0, "1:z 3:x 4:w 5:v ");
    assert_list(f, 0, "red", 0, 0, 0, "1:z 2:y 5:v ");
    assert_list(f, 1, "red", 0, 0, 0, "1:z 5:v ");
    assert_list(f, 1, "red", 1, 0, 0, "5:v ");
    assert_list(f, 0, NULL, 2, 2, 0, "3:x 4:w ");
    assert_list(f, 0, NULL, 0, 0, 2, "1:z 2:y ");
    assert_list(f, 3, NULL, 0, 0, 0, "");
    assert_list(f, 0, "green", 0, 0, 0, "");
    assert_int_equal(store_delete(f->store, "test", 3, NULL), 0);
    assert_list(f, 1, NULL, 0, 0, 0, "1:z 4:w 5:v ");
    assert_list(f, 0, "blue", 0, 0, 0, "");
}

static bool list_within(void *user, const struct store_object *object)
{
    assert_list(user, object->aid, NULL, 0, 0, 0, object->aid == 1 ? "1:a " : "2:b ");
    return true;
}

static void assert_back(struct fixture *f, uint64_t aid, uint64_t before, size_t max, size_t stop, const char *expected)
{
    struct listing l = {.stop_after = stop};
    assert_int_equal(store_list_back(f->store, "test", aid, before, max, list_one, &l, NULL), 0);
    assert_string_equal(l.text, expected);
}

static void lists_go_back_from_the_newest(void **state)
{
    struct fixture *f = *state;
    assert_back(f, 0, 0, 0, 0, "");
    for (uint64_t i = 0; i < 6; i++)
        (void)conform_put(f, "test", 1 + i % 2, NULL, NULL, "");
    (void)conform_put(f, "agent", 1, NULL, NULL, "");
    assert_int_equal(store_delete(f->store, "test", 4, NULL), 0);
    assert_back(f, 0, 0, 0, 0, "6:- 5:- 3:- 2:- 1:- ");
    assert_back(f, 0, 5, 0, 0, "3:- 2:- 1:- ");
    assert_back(f, 0, 5, 2, 0, "3:- 2:- ");
    assert_back(f, 0, 0, 0, 1, "6:- ");
    assert_back(f, 2, 0, 0, 0, "6:- 2:- ");
    assert_back(f, 1, 3, 9, 0, "1:- ");
    assert_back(f, 1, 1, 0, 0, "");
    assert_back(f, 0, UINT64_MAX, 1, 0, "6:- ");
    assert_back(f, UINT64_MAX, 0, 0, 0, "");
}

static void a_callback_may_read_the_store(void **state)
{
    struct fixture *f = *state;
    (void)conform_put(f, "test", 1, "a", NULL, "");
    (void)conform_put(f, "test", 2, "b", NULL, "");
    assert_int_equal(store_list(f->store, "test", 0, NULL, 0, 0, list_within, f, NULL), 0);
    assert_int_equal(store_list(f->store, "test", 1, NULL, 0, 0, list_within, f, NULL), 0);
}

static void change_everything(struct fixture *f, uint64_t a, uint64_t b, uint64_t c)
{
    struct store_object object = {.kind = "test", .id = a, .version = 1, .aid = 1, .key = "changed", .lookup = "new"};
    assert_int_equal(store_put(f->store, &object, NULL), 0);
    assert_int_equal(store_delete(f->store, "test", b, NULL), 0);
    assert_int_equal(store_purge(f->store, "test", c, NULL), 0);
    (void)conform_put(f, "test", 1, "d", NULL, "one");
    (void)conform_put(f, "newkind", 1, "d", NULL, "one");
    assert_true(conform_append(f, 1, 2000, 1));
    assert_int_equal(store_drop_test(f->store, 2, NULL), 0);
    assert_list(f, 1, NULL, 0, 0, 0, "1:changed 4:d ");
}

static void a_rollback_undoes_everything(void **state)
{
    struct fixture *f = *state;
    uint64_t a = conform_put(f, "test", 1, "a", NULL, "one"), b = conform_put(f, "test", 1, "b", NULL, "one");
    uint64_t c = conform_put(f, "test", 1, "c", NULL, "one");
    assert_true(conform_append(f, 1, 1000, 1));
    assert_true(conform_append(f, 2, 1000, 1));

    assert_int_equal(store_begin(f->store, NULL), 0);
    change_everything(f, a, b, c);
    store_rollback(f->store);

    assert_list(f, 1, NULL, 0, 0, 0, "1:a 2:b 3:c ");
    assert_list(f, 1, "new", 0, 0, 0, "");
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", a, 2, &f->arena, &got, NULL), -E_NOT_FOUND);
    assert_int_equal(store_get(f->store, "test", c, 1, &f->arena, &got, NULL), 0);
    assert_int_equal(store_find(f->store, "newkind", 1, "d", &f->arena, &got, NULL), -E_NOT_FOUND);
    struct store_query query = {.test_id = 1, .until_s = INT64_MAX, .after_round = -1};
    assert_string_equal(conform_query(f, &query), "1000/1 ");
    query.test_id = 2;
    assert_string_equal(conform_query(f, &query), "1000/1 ");
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.objects, 3);
    assert_int_equal(stats.rounds, 2);
}

static void a_refusal_does_not_break_the_transaction(void **state)
{
    struct fixture *f = *state;
    (void)conform_put(f, "test", 1, "a", NULL, "one");
    assert_int_equal(store_begin(f->store, NULL), 0);
    (void)conform_put(f, "test", 1, "b", NULL, "one");
    struct store_object object = {.kind = "test", .aid = 1, .key = "a"};
    assert_int_equal(store_put(f->store, &object, NULL), -E_EXISTS);
    object = (struct store_object){.kind = "test", .id = 1, .version = 9, .aid = 1, .key = "a"};
    assert_int_equal(store_put(f->store, &object, NULL), -E_CONFLICT);
    assert_int_equal(store_delete(f->store, "test", 99, NULL), -E_NOT_FOUND);
    assert_int_equal(store_commit(f->store, NULL), 0);
    assert_list(f, 1, NULL, 0, 0, 0, "1:a 2:b ");
}

static void what_was_committed_is_there_after_reopening(void **state)
{
    struct fixture *f = *state;
    if (!conform_is_lasting())
        return;
    uint64_t id = conform_put(f, "test", 1, "a", "x", "one");
    struct store_object object = {
        .kind = "test", .id = id, .version = 1, .aid = 1, .key = "a", .body = "two", .body_size = 3};
    assert_int_equal(store_put(f->store, &object, NULL), 0);
    (void)conform_put(f, "test", 1, "gone", NULL, "");
    assert_int_equal(store_delete(f->store, "test", 2, NULL), 0);
    assert_true(conform_append(f, 1, 3600, 1));
    assert_int_equal(store_begin(f->store, NULL), 0);
    (void)conform_put(f, "test", 1, "never committed", NULL, "");
    conform_reopen(f);
    assert_list(f, 1, NULL, 0, 0, 0, "1:a ");
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", id, 1, &f->arena, &got, NULL), 0);
    assert_memory_equal(got.body, "one", 3);
    assert_int_equal(conform_put(f, "test", 1, "next", NULL, ""), 3);
    assert_false(conform_append(f, 1, 3600, 1));
    assert_true(conform_append(f, 1, 3600, 2));
    struct store_query query = {.test_id = 1, .until_s = INT64_MAX, .after_round = -1, .want = STORE_WANT_BODY};
    assert_string_equal(conform_query(f, &query), "3600/1 3600/2 ");
}

static void a_full_arena_is_told(void **state)
{
    struct fixture *f = *state;
    uint64_t id = conform_put(f, "test", 1, "a", NULL, "0123456789");
    struct arena small;
    arena_init(&small, 8);
    struct store_object got;
    assert_int_equal(store_get(f->store, "test", id, 0, &small, &got, NULL), -E_LIMIT);
    arena_done(&small);
}

const struct CMUnitTest conform_objects[] = {
    CONFORM_CHECK(ids_count_per_kind_and_are_never_used_again),
    CONFORM_CHECK(what_is_put_comes_back_byte_for_byte),
    CONFORM_CHECK(absent_objects_are_not_found),
    CONFORM_CHECK(keys_are_unique_within_kind_and_account),
    CONFORM_CHECK(versions_count_up_and_stay_readable),
    CONFORM_CHECK(purged_objects_leave_nothing),
    CONFORM_CHECK(a_stale_version_is_a_conflict),
    CONFORM_CHECK(lists_are_in_id_order_and_filtered),
    CONFORM_CHECK(lists_go_back_from_the_newest),
    CONFORM_CHECK(a_callback_may_read_the_store),
    CONFORM_CHECK(a_rollback_undoes_everything),
    CONFORM_CHECK(a_refusal_does_not_break_the_transaction),
    CONFORM_CHECK(what_was_committed_is_there_after_reopening),
    CONFORM_CHECK(a_full_arena_is_told),
};
const size_t conform_objects_count = sizeof conform_objects / sizeof conform_objects[0];
