#include "server/shares.h"

#include <string.h>

#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

struct share {
    uint64_t test_id, aid;
};

struct shares {
    struct store *store;
    struct share *items;
    size_t count, room;
};

static void add(struct shares *shares, uint64_t test_id, uint64_t aid)
{
    if (shares->count == shares->room) {
        size_t room = shares->room ? shares->room * 2 : 16;
        shares->items = mem_resize(shares->items, shares->room * sizeof *shares->items, room * sizeof *shares->items);
        shares->room = room;
    }
    shares->items[shares->count++] = (struct share){test_id, aid};
}

static void add_test(struct shares *shares, const struct object_test *test)
{
    const char *const *aids = test->shared_with.items;
    for (size_t i = 0; i < test->shared_with.count; i++) {
        uint64_t aid;
        if (str_to_u64(aids[i], INT64_MAX, &aid) == 0 && aid != test->head.aid)
            add(shares, test->head.id, aid);
    }
}

static void forget(struct shares *shares, uint64_t test_id, uint64_t aid)
{
    size_t count = 0;
    for (size_t i = 0; i < shares->count; i++) {
        if (shares->items[i].test_id != test_id && shares->items[i].aid != aid)
            shares->items[count++] = shares->items[i];
    }
    shares->count = count;
}

int shares_open(struct store *store, struct shares **ret_shares, struct error *err)
{
    struct arena arena;
    struct field_list tests = {0};
    arena_init(&arena, SIZE_MAX);
    int rc = object_list(store, &object_test_kind, 0, NULL, &arena, &tests, err);
    if (!rc) {
        struct shares *shares = mem_alloc(sizeof *shares);
        *shares = (struct shares){.store = store};
        const struct object_test *test = tests.items;
        for (size_t i = 0; i < tests.count; i++)
            add_test(shares, &test[i]);
        *ret_shares = shares;
    }
    arena_done(&arena);
    return rc;
}

void shares_close(struct shares *shares)
{
    if (!shares)
        return;
    mem_free(shares->items);
    mem_free(shares);
}

int shares_test_changed(struct shares *shares, uint64_t test_id, struct error *err)
{
    struct arena arena;
    struct object_test test;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    int rc = object_get(shares->store, &object_test_kind, test_id, 0, &arena, &test, err);
    if (!rc || rc == -E_NOT_FOUND)
        forget(shares, test_id, 0);
    if (!rc)
        add_test(shares, &test);
    arena_done(&arena);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

void shares_group_gone(struct shares *shares, uint64_t aid)
{
    forget(shares, 0, aid);
}

bool shares_has(const struct shares *shares, uint64_t test_id, uint64_t aid)
{
    for (size_t i = 0; i < shares->count; i++) {
        if (shares->items[i].test_id == test_id && shares->items[i].aid == aid)
            return true;
    }
    return false;
}

int shares_get_test(const struct shares *shares, uint64_t test_id, uint64_t aid, struct arena *arena,
                    struct object_test *ret_test, struct error *err)
{
    if (!shares_has(shares, test_id, aid))
        return object_get_in(shares->store, &object_test_kind, test_id, aid, arena, ret_test, err);
    int rc = object_get(shares->store, &object_test_kind, test_id, 0, arena, ret_test, err);
    if (!rc)
        ret_test->live_share = true;
    return rc;
}

int shares_list_tests(const struct shares *shares, uint64_t aid, const char *type, struct arena *arena,
                      struct field_list *ret_tests, struct error *err)
{
    struct field_list own = {0};
    size_t shared = 0;
    int rc = object_list(shares->store, &object_test_kind, aid, type, arena, &own, err);
    for (size_t i = 0; i < shares->count; i++)
        shared += shares->items[i].aid == aid;
    if (rc || !shared) {
        *ret_tests = own;
        return rc;
    }
    struct object_test *all = arena_alloc_array(arena, own.count + shared, sizeof *all);
    if (!all)
        return error_set(err, E_LIMIT, "", "too many tests");
    if (own.count)
        memcpy(all, own.items, own.count * sizeof *all);
    size_t count = own.count;
    for (size_t i = 0; !rc && i < shares->count; i++) {
        if (shares->items[i].aid != aid)
            continue;
        rc = shares_get_test(shares, shares->items[i].test_id, aid, arena, &all[count], err);
        if (!rc && (!type || strcmp(all[count].type, type) == 0))
            count++;
        else if (rc == -E_NOT_FOUND)
            rc = 0;
    }
    *ret_tests = (struct field_list){all, count};
    return rc;
}
