#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/progress.h"
#include "agent/sealed.h"
#include "base/file.h"
#include "base/limit.h"

static char dir[64], path[128];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/state-check-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/lock", dir);
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static void a_sealed_file_comes_back_or_is_called_damaged(void **state)
{
    (void)state;
    struct error err;
    struct buf buf;
    struct stat st;
    buf_init(&buf, 1000);
    assert_int_equal(sealed_read(path, &buf, &err), -E_NOT_FOUND);
    assert_int_equal(sealed_write(path, "identity", 8, 0600, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(sealed_read(path, &buf, &err), 0);
    assert_string_equal(buf_str(&buf), "identity");
    struct buf raw;
    buf_init(&raw, 1000);
    assert_int_equal(file_read(path, &raw, &err), 0);
    for (size_t i = 0; i < raw.size; i++) {
        raw.data[i] ^= 1;
        assert_int_equal(file_write(path, raw.data, raw.size, 0600, &err), 0);
        raw.data[i] ^= 1;
        assert_int_equal(sealed_read(path, &buf, &err), -E_CORRUPT);
        assert_string_equal(err.where, path);
    }
    for (size_t cut = 0; cut < raw.size; cut++) {
        assert_int_equal(file_write(path, raw.data, cut, 0600, &err), 0);
        assert_int_equal(sealed_read(path, &buf, &err), -E_CORRUPT);
    }
    buf_done(&raw);
    buf_done(&buf);
}

static void one_process_holds_the_lock(void **state)
{
    (void)state;
    int first, second;
    struct error err;
    assert_int_equal(sealed_lock(dir, 0, &first, &err), 0);
    assert_int_equal(sealed_lock(dir, 0, &second, &err), -E_CONFLICT);
    assert_string_equal(err.where, dir);
    (void)close(first);
    assert_int_equal(sealed_lock(dir, 0, &second, &err), 0);
    (void)close(second);
}

static void progress_survives_the_process(void **state)
{
    (void)state;
    struct progress *progress;
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    for (uint64_t id = 1; id <= 100; id++)
        progress_round(progress, id, (int64_t)id * 60);
    progress_round(progress, 5, 7200);
    progress_run(progress, 77, 1000);
    progress_close(progress);
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    for (uint64_t id = 1; id <= 100; id++)
        assert_int_equal(progress_last(progress, id), id == 5 ? 7200 : (int64_t)id * 60);
    assert_true(progress_has_run(progress, 77));
    assert_false(progress_has_run(progress, 5));
    progress_close(progress);
}

static void damage_costs_progress_one_slot(void **state)
{
    (void)state;
    struct progress *progress;
    struct buf raw;
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    for (uint64_t id = 1; id <= 5; id++)
        progress_round(progress, id, 60);
    progress_close(progress);
    buf_init(&raw, 1000);
    assert_int_equal(file_read(path, &raw, NULL), 0);
    assert_int_equal(raw.size % 5, 0);
    raw.data[raw.size / 5 * 2 + 9] ^= 4; /* the third */
    assert_int_equal(file_write(path, raw.data, raw.size, 0600, NULL), 0);
    buf_done(&raw);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(progress_open(path, &progress, NULL), 0);
        for (uint64_t id = 1; id <= 5; id++)
            assert_int_equal(progress_last(progress, id), id == 3 ? 0 : 60);
        assert_int_equal(progress_damaged(progress), again ? 0 : 1);
        if (again)
            progress_round(progress, 6, 120);
        progress_close(progress);
    }
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    assert_int_equal(progress_last(progress, 5), 60);
    assert_int_equal(progress_last(progress, 6), 120);
    progress_close(progress);
}

static void the_oldest_run_is_forgotten_first(void **state)
{
    (void)state;
    struct progress *progress;
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    for (uint64_t id = 1; id <= LIMIT_PROGRESS_RUNS + 10; id++)
        progress_run(progress, id, (int64_t)id);
    progress_close(progress);
    assert_int_equal(progress_open(path, &progress, NULL), 0);
    assert_false(progress_has_run(progress, 10));
    assert_true(progress_has_run(progress, 11));
    assert_true(progress_has_run(progress, LIMIT_PROGRESS_RUNS + 10));
    progress_close(progress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sealed_file_comes_back_or_is_called_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(one_process_holds_the_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_survives_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_costs_progress_one_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_run_is_forgotten_first, setup, teardown),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
