#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/mem.h"

/* What a check sees of a spool: the rounds read, in order, and what was reported. */
struct view {
    char dir[64];
    struct spool_options options;
    struct spool *spool;
    struct spool_mark mark;
    size_t count, max;
    int64_t rounds[4096];
    size_t seen;
    int reports;
    struct error last;
};

static void on_report(void *user, const struct error *err)
{
    struct view *view = user;
    view->reports++;
    view->last = *err;
}

static void on_seen(void *user, const struct record *record)
{
    (void)record;
    ((struct view *)user)->seen++;
}

/* The payload of a round is a pattern of its number, of a length that depends on it. */
static size_t payload(int64_t round, unsigned char *bytes)
{
    size_t size = (size_t)(round % 7) * 13 + 5;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((size_t)round + i * 3);
    return size;
}

static bool on_record(void *user, const struct record *record)
{
    struct view *view = user;
    if (view->count == view->max)
        return false;
    unsigned char bytes[256];
    assert_int_equal(record->size, payload(record->round_id, bytes));
    assert_memory_equal(record->bytes, bytes, record->size);
    assert_int_equal(record->test_id, 7);
    view->rounds[view->count++] = record->round_id;
    return true;
}

static void view_open(struct view *view)
{
    view->options.report = on_report;
    view->options.seen = on_seen;
    view->options.user = view;
    struct error err = {0};
    if (spool_open(view->dir, &view->options, &view->spool, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static size_t view_read(struct view *view, size_t max)
{
    view->count = 0;
    view->max = max;
    size_t n = spool_read(view->spool, on_record, view, &view->mark);
    assert_int_equal(n, view->count);
    return n;
}

static void view_append(struct view *view, int64_t round)
{
    unsigned char bytes[256];
    struct record record = {.test_id = 7, .round_id = round, .bytes = bytes, .size = payload(round, bytes)};
    assert_int_equal(spool_append(view->spool, &record, NULL), 0);
}

static void view_reopen(struct view *view)
{
    spool_close(view->spool);
    view->seen = 0;
    view_open(view);
}

static void clean(const char *dir, bool is_last)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    }
    (void)closedir(d);
    if (is_last)
        assert_int_equal(rmdir(dir), 0);
}

static size_t count_files(const char *dir, const char *suffix)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t length = strlen(e->d_name), want = strlen(suffix);
        n += length > want && strcmp(e->d_name + length - want, suffix) == 0;
    }
    (void)closedir(d);
    return n;
}

static int setup(void **state)
{
    struct view *view = mem_alloc(sizeof *view);
    /* In memory where there is such a place: what is checked is order and bytes, not the speed of a disk. */
    (void)snprintf(view->dir, sizeof view->dir, "%s/spool-check-XXXXXX",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(view->dir));
    *state = view;
    return 0;
}

static int teardown(void **state)
{
    struct view *view = *state;
    spool_close(view->spool);
    clean(view->dir, true);
    mem_free(view);
    return 0;
}

/* Writes rounds 1..n into a fresh spool and returns the path of its only segment. */
static const char *first_segment(struct view *view, int64_t n)
{
    static char path[128];
    clean(view->dir, false);
    view_open(view);
    for (int64_t round = 1; round <= n; round++)
        view_append(view, round);
    spool_close(view->spool);
    view->spool = NULL;
    view->reports = 0;
    (void)snprintf(path, sizeof path, "%s/0000000000000001.seg", view->dir);
    return path;
}

static void sums_agree_with_the_standard(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(crc32c(0, "12345", 5), "6789", 4), 0xe3069283u);
    unsigned char zeros[32] = {0};
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aau); /* RFC 3720 B.4 */
}

static void rounds_come_back_in_order_until_acknowledged(void **state)
{
    struct view *view = *state;
    view_open(view);
    for (int64_t round = 1; round <= 100; round++)
        view_append(view, round);
    assert_int_equal(view_read(view, 30), 30);
    assert_int_equal(view_read(view, 30), 30); /* not acknowledged: the same again */
    assert_int_equal(view->rounds[0], 1);
    spool_ack(view->spool, &view->mark);
    assert_int_equal(view_read(view, 1000), 70);
    assert_int_equal(view->rounds[0], 31);
    view_reopen(view);
    assert_int_equal(view->seen, 100);
    assert_int_equal(view_read(view, 1000), 70);
    assert_int_equal(view->rounds[69], 100);
    spool_ack(view->spool, &view->mark);
    struct spool_state now;
    spool_state(view->spool, &now);
    assert_int_equal(now.bytes, 0);
    assert_int_equal(view_read(view, 1000), 0);
    view_append(view, 101);
    view_reopen(view);
    assert_int_equal(view_read(view, 1000), 1);
    assert_int_equal(view->rounds[0], 101);
    assert_int_equal(view->reports, 0);
}

static void acknowledged_segments_are_removed(void **state)
{
    struct view *view = *state;
    view->options.segment_bytes = 1000;
    view_open(view);
    for (int64_t round = 1; round <= 200; round++)
        view_append(view, round);
    size_t files = count_files(view->dir, ".seg");
    assert_true(files > 10);
    while (view_read(view, 17) > 0)
        spool_ack(view->spool, &view->mark);
    assert_int_equal(count_files(view->dir, ".seg"), 0);
    view_append(view, 201);
    view_reopen(view);
    assert_int_equal(view_read(view, 10), 1);
    assert_int_equal(view->rounds[0], 201);
}

/* kill -9, or a power cut, at any byte of the writing. */
static void a_torn_tail_is_cut_at_every_byte(void **state)
{
    struct view *view = *state;
    const char *path = first_segment(view, 6);
    struct buf whole;
    buf_init(&whole, 1 << 20);
    assert_int_equal(file_read(path, &whole, NULL), 0);
    size_t complete = 0, boundary = 0;
    for (size_t cut = 0; cut <= whole.size; cut++) {
        path = first_segment(view, 0);
        unsigned char bytes[256];
        size_t next = boundary + RECORD_HEADER_BYTES + payload((int64_t)complete + 1, bytes);
        if (cut == next) {
            complete++;
            boundary = next;
        }
        assert_int_equal(file_write(path, whole.data, cut, 0600, NULL), 0);
        view->seen = 0;
        view_open(view);
        assert_int_equal(view->seen, complete);
        assert_int_equal(view_read(view, 100), complete);
        view_append(view, 50);
        view_reopen(view);
        assert_int_equal(view_read(view, 100), complete + 1);
        assert_int_equal(view->rounds[complete], 50);
        assert_int_equal(view->reports, 0); /* an interrupted write is nothing to be told of */
        spool_close(view->spool);
        view->spool = NULL;
    }
    assert_int_equal(complete, 6);
    buf_done(&whole);
}

static void a_damaged_byte_costs_one_record_and_is_told(void **state)
{
    struct view *view = *state;
    const char *path = first_segment(view, 6);
    struct buf whole;
    buf_init(&whole, 1 << 20);
    assert_int_equal(file_read(path, &whole, NULL), 0);
    unsigned char scratch[256];
    size_t last = whole.size - RECORD_HEADER_BYTES - payload(6, scratch);
    for (size_t at = 0; at < whole.size; at++) {
        path = first_segment(view, 0);
        whole.data[at] ^= 0x41;
        assert_int_equal(file_write(path, whole.data, whole.size, 0600, NULL), 0);
        whole.data[at] ^= 0x41;
        view_open(view);
        view_append(view, 50);
        assert_int_equal(view_read(view, 100), 6); /* one of six is gone, and the new one is there */
        assert_int_equal(view->rounds[5], 50);
        if (at < last) {
            assert_int_equal(view->reports, 1);
            assert_int_equal(view->last.code, E_CORRUPT);
            assert_string_equal(view->last.where, path);
            assert_non_null(strstr(view->last.text, "damaged bytes at offset"));
            assert_int_equal(count_files(view->dir, ".bad"), 1);
        }
        view_read(view, 100);
        assert_true(view->reports <= 1); /* not told twice */
        spool_ack(view->spool, &view->mark);
        spool_close(view->spool);
        view->spool = NULL;
    }
    buf_done(&whole);
}

static void a_segment_of_rubbish_is_stepped_over(void **state)
{
    struct view *view = *state;
    view->options.segment_bytes = 400;
    view_open(view);
    for (int64_t round = 1; round <= 20; round++)
        view_append(view, round);
    spool_close(view->spool);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/0000000000000002.seg", view->dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    unsigned char rubbish[4096];
    memset(rubbish, 'O', sizeof rubbish);
    assert_int_equal(file_write(path, rubbish, sizeof rubbish, 0600, NULL), 0);
    view_open(view);
    size_t n = view_read(view, 1000);
    assert_in_range(n, 12, 18);
    assert_int_equal(view->rounds[n - 1], 20);
    assert_int_equal(view->reports, 1);
    spool_ack(view->spool, &view->mark);
    assert_int_equal(view_read(view, 1000), 0);
}

static void a_damaged_acknowledgement_only_repeats(void **state)
{
    struct view *view = *state;
    view_open(view);
    for (int64_t round = 1; round <= 5; round++)
        view_append(view, round);
    view_read(view, 3);
    spool_ack(view->spool, &view->mark);
    spool_close(view->spool);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/acked", view->dir);
    assert_int_equal(file_write(path, "01234567890123456789", 20, 0600, NULL), 0);
    view_open(view);
    assert_int_equal(view->reports, 1);
    assert_string_equal(view->last.where, path);
    assert_int_equal(view_read(view, 100), 5);
}

/* After a power cut the segment may be shorter than what was acknowledged of it. */
static void an_acknowledgement_ahead_of_its_segment_hides_nothing(void **state)
{
    struct view *view = *state;
    view_open(view);
    for (int64_t round = 1; round <= 5; round++)
        view_append(view, round);
    view_read(view, 5);
    spool_ack(view->spool, &view->mark);
    spool_close(view->spool);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/0000000000000001.seg", view->dir);
    assert_int_equal(truncate(path, 60), 0);
    view_open(view);
    view_append(view, 6);
    view_append(view, 7);
    view_reopen(view);
    assert_int_equal(view_read(view, 100), 2);
    assert_int_equal(view->rounds[0], 6);
}

static void a_full_spool_drops_its_oldest_segment(void **state)
{
    struct view *view = *state;
    view->options.segment_bytes = 1000;
    view->options.ceiling_bytes = 5000;
    view_open(view);
    uint64_t hits = limit_hits(LIMIT_KIND_SPOOL);
    for (int64_t round = 1; round <= 200; round++)
        view_append(view, round);
    assert_true(limit_hits(LIMIT_KIND_SPOOL) > hits);
    assert_true(view->reports > 0);
    assert_int_equal(view->last.code, E_LIMIT);
    struct spool_state now;
    spool_state(view->spool, &now);
    assert_in_range(now.bytes, 3000, 5000);
    assert_true(now.dropped_bytes > 5000);
    size_t n = view_read(view, 1000);
    assert_int_equal(now.dropped_rounds, 200 - n); /* each one is counted */
    for (size_t i = 1; i < n; i++)
        assert_int_equal(view->rounds[i], view->rounds[i - 1] + 1); /* the newest, without a gap */
    assert_int_equal(view->rounds[n - 1], 200);
}

/* Ages are counted by the clock that nobody can set; what was acknowledged is no loss. */
static void what_nobody_takes_grows_old(void **state)
{
    struct view *view = *state;
    struct clock_sim clock;
    struct spool_state now;
    clock_sim_init(&clock, 1790000000 * CLOCK_S);
    view->options.clock = &clock.clock;
    view->options.age_s = 36 * 3600;
    view->options.segment_bytes = 1000;
    view_open(view);
    for (int64_t round = 1; round <= 100; round++) {
        view_append(view, round);
        clock_sim_advance(&clock, 600 * CLOCK_S);
    }
    (void)view_read(view, 20);
    spool_ack(view->spool, &view->mark);
    clock.wall += 1000 * 86400 * CLOCK_S; /* a step makes nothing old */
    clock_sim_advance(&clock, 15 * 3600 * CLOCK_S);
    spool_tick(view->spool);
    spool_state(view->spool, &now);
    assert_int_equal(now.dropped_rounds, 0);
    clock_sim_advance(&clock, 7 * 3600 * CLOCK_S); /* round 20 is older than 36 hours by about half an hour */
    spool_tick(view->spool);
    assert_int_equal(view->reports, 0);
    clock_sim_advance(&clock, 10 * 3600 * CLOCK_S);
    spool_tick(view->spool);
    spool_state(view->spool, &now);
    assert_true(view->reports > 0);
    assert_non_null(strstr(view->last.text, "has not taken rounds for 36 hours"));
    size_t n = view_read(view, 1000);
    assert_int_equal(now.dropped_rounds, 80 - n);
    assert_in_range(n, 15, 70);
    assert_int_equal(view->rounds[n - 1], 100);
    view_reopen(view); /* the files are dated now, by a clock far from this one: an hour is left to them at least */
    spool_tick(view->spool);
    assert_int_equal(view_read(view, 1000), n);
    clock_sim_advance(&clock, 37 * 3600 * CLOCK_S);
    spool_tick(view->spool);
    assert_int_equal(view_read(view, 1000), 0);
}

/* A ceiling on file size stands for the full disk: the kernel refuses the write in the middle of a record. */
static void rounds_wait_in_memory_while_the_disk_refuses(void **state)
{
    struct view *view = *state;
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    view_open(view);
    view_append(view, 1);
    view_append(view, 2);
    low = before;
    low.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    for (int64_t round = 3; round <= 10; round++)
        view_append(view, round);
    assert_int_equal(view->reports, 1);
    spool_tick(view->spool);
    assert_int_equal(view->reports, 1); /* told once */
    assert_int_equal(view_read(view, 100), 10);
    assert_int_equal(view_read(view, 5), 5);
    spool_ack(view->spool, &view->mark); /* some of them from memory */
    assert_int_equal(view_read(view, 100), 5);
    assert_int_equal(view->rounds[0], 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    spool_tick(view->spool);
    assert_int_equal(view->reports, 2);
    struct spool_state now;
    spool_state(view->spool, &now);
    assert_int_equal(now.memory_bytes, 0);
    view_append(view, 11);
    view_reopen(view);
    assert_int_equal(view_read(view, 100), 6);
    assert_int_equal(view->rounds[0], 6);
    assert_int_equal(view->rounds[5], 11);
}

static void a_feed_is_adopted_whole(void **state)
{
    struct view *view = *state;
    view_open(view);
    view_append(view, 1);
    struct spool_feed *feed;
    assert_int_equal(spool_feed_open(view->dir, &feed, NULL), 0);
    for (int64_t round = 1001; round <= 1100; round++) {
        unsigned char bytes[256];
        struct record record = {.test_id = 7, .round_id = round, .bytes = bytes, .size = payload(round, bytes)};
        assert_int_equal(spool_feed_append(feed, &record, NULL), 0);
    }
    spool_adopt(view->spool);
    assert_int_equal(view_read(view, 1000), 1); /* nothing before it is complete */
    assert_int_equal(spool_feed_close(feed, NULL), 0);
    spool_adopt(view->spool);
    spool_adopt(view->spool);
    view_append(view, 2);
    assert_int_equal(view_read(view, 1000), 102);
    assert_int_equal(view->rounds[1], 1001);
    assert_int_equal(view->rounds[101], 2);
    view_reopen(view);
    assert_int_equal(view_read(view, 1000), 102);
    assert_int_equal(view->reports, 0);
}

static void a_record_too_large_is_refused(void **state)
{
    struct view *view = *state;
    view_open(view);
    struct error err;
    struct record record = {.test_id = 1, .round_id = 1, .bytes = "", .size = LIMIT_SPOOL_RECORD_BYTES + 1};
    assert_int_equal(spool_append(view->spool, &record, &err), -E_LIMIT);
    struct view other = {.dir = "/proc/nowhere"};
    assert_true(spool_open(other.dir, &view->options, &other.spool, &err) < 0);
    assert_string_equal(err.where, "/proc/nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_agree_with_the_standard),
        cmocka_unit_test_setup_teardown(rounds_come_back_in_order_until_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(acknowledged_segments_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_cut_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_byte_costs_one_record_and_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_segment_of_rubbish_is_stepped_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_acknowledgement_only_repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(an_acknowledgement_ahead_of_its_segment_hides_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_spool_drops_its_oldest_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_takes_grows_old, setup, teardown),
        cmocka_unit_test_setup_teardown(rounds_wait_in_memory_while_the_disk_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_feed_is_adopted_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_too_large_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
