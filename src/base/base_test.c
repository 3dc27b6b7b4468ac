/* Checks of base/. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/slab.h"
#include "base/sock.h"
#include "base/str.h"

static void arena_stops_at_its_ceiling(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    size_t handed = 0;
    while (arena_alloc(&arena, 100))
        handed++;
    assert_int_equal(handed, 10000 / 112);
    assert_int_equal(arena.refused, 1);
    arena_reset(&arena);
    char *text = arena_printf(&arena, "%d-%s", 7, "x");
    assert_string_equal(text, "7-x");
    assert_null(arena_alloc_array(&arena, SIZE_MAX, 16));
    arena_done(&arena);
}

static void arena_memory_is_zero_after_reset(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    memset(arena_alloc(&arena, 1000), 0xff, 1000);
    arena_reset(&arena);
    const char *p = arena_alloc(&arena, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    arena_done(&arena);
}

static void slab_hands_out_each_slot_once(void **state)
{
    (void)state;
    struct slab slab;
    slab_init(&slab, 24, 3);
    void *a = slab_get(&slab), *b = slab_get(&slab), *c = slab_get(&slab);
    assert_true(a && b && c && a != b && b != c && a != c);
    assert_null(slab_get(&slab));
    assert_int_equal(slab.refused, 1);
    uint32_t index = slab_index(&slab, b);
    slab_put(&slab, b);
    assert_ptr_equal(slab_get(&slab), slab_at(&slab, index));
    slab_done(&slab);
}

static void buf_keeps_what_fits(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);
    buf_puts(&buf, "12345");
    buf_printf(&buf, "%d", 678);
    assert_false(buf.is_overflowed);
    buf_puts(&buf, "abc");
    assert_true(buf.is_overflowed);
    assert_string_equal(buf_str(&buf), "12345678");
    buf_consume(&buf, 5);
    assert_string_equal(buf_str(&buf), "678");
    buf_done(&buf);
}

static void numbers_are_strict(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    double f;
    assert_int_equal(str_to_i64("-42", -50, 50, &i), 0);
    assert_int_equal(i, -42);
    static const char *const bad[] = {"", " 1", "1 ", "+1", "0x10", "1.0", "1e3", "-", "--1"};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        assert_int_equal(str_to_i64(bad[k], INT64_MIN, INT64_MAX, &i), -E_INVALID);
    assert_int_equal(str_to_i64("9223372036854775808", INT64_MIN, INT64_MAX, &i), -E_RANGE);
    assert_int_equal(str_to_u64("18446744073709551615", UINT64_MAX, &u), 0);
    assert_int_equal(str_to_u64("-1", UINT64_MAX, &u), -E_INVALID);
    assert_int_equal(str_to_f64("nan", &f), -E_INVALID);
    assert_int_equal(str_to_f64("1e400", &f), -E_INVALID);
    assert_int_equal(str_to_duration_s("90m", &i), 0);
    assert_int_equal(i, 5400);
    assert_int_equal(str_to_duration_s("7", &i), 0);
    assert_int_equal(i, 7);
    assert_int_equal(str_to_duration_s("m", &i), -E_INVALID);
    assert_int_equal(str_to_duration_s("1y", &i), -E_INVALID);
}

static void names_become_kebab_case(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"numPathTraces", "num-path-traces"},
                                           {"ipv6Policy", "ipv6-policy"},
                                           {"server", "server"},
                                           {"dscpId", "dscp-id"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char buf[64];
        str_kebab(pairs[i][0], buf, sizeof buf);
        assert_string_equal(buf, pairs[i][1]);
    }
}

static void utf8_is_checked(void **state)
{
    (void)state;
    assert_true(str_is_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(str_is_utf8("\xc0\x80", 2));
    assert_false(str_is_utf8("\xed\xa0\x80", 3));
    assert_false(str_is_utf8("\xf4\x90\x80\x80", 4));
    assert_false(str_is_utf8("\xe2\x82", 2));
}

static void encodings_go_both_ways(void **state)
{
    (void)state;
    unsigned char bytes[67], back[67];
    rng_secret(bytes, sizeof bytes);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        char text[200];
        str_base64url(bytes, n, text);
        assert_true(strlen(text) < STR_BASE64_BYTES(n));
        assert_int_equal(str_unbase64url(text, back, sizeof back), n);
        assert_memory_equal(bytes, back, n);
        str_hex(bytes, n, text);
        assert_int_equal(str_unhex(text, back, n), 0);
        assert_memory_equal(bytes, back, n);
    }
    assert_int_equal(str_unbase64url("a+b", back, sizeof back), -E_INVALID);
    assert_int_equal(str_unbase64url("AB", back, sizeof back), -E_INVALID);    /* bits left over */
    assert_int_equal(str_unbase64url("AAAAA", back, sizeof back), -E_INVALID); /* a digit left over */
}

static void times_are_read_and_written(void **state)
{
    (void)state;
    int64_t t;
    char buf[CLOCK_ISO_BYTES];
    assert_int_equal(clock_parse_iso("2022-07-17T22:00:54Z", &t), 0);
    assert_int_equal(t, 1658095254);
    assert_string_equal(clock_iso(t, buf, sizeof buf), "2022-07-17T22:00:54Z");
    assert_int_equal(clock_parse_iso("2022-07-17T22:00:54.250+02:00", &t), 0);
    assert_int_equal(t, 1658095254 - 7200);
    assert_int_equal(clock_parse_iso("2022-07-17", &t), 0);
    static const char *const bad[] = {"", "yesterday", "2022-13-01", "2022-07-17T25:00:00Z", "2022-07-17T10:00Z",
                                      "2022-07-17T10:00:00", "2022-07-17T10:00:00Zx", "2022-07-17T10:00:00.Z",
                                      "2022-02-29", "2022-04-31T10:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(clock_parse_iso(bad[i], &t), -E_INVALID);
}

static void addresses_are_split(void **state)
{
    (void)state;
    char host[256];
    uint16_t port;
    struct error err;
    assert_int_equal(sock_split("example.com:8080", 80, host, sizeof host, &port, &err), 0);
    assert_string_equal(host, "example.com");
    assert_int_equal(port, 8080);
    assert_int_equal(sock_split("2001:db8::1", 80, host, sizeof host, &port, &err), 0);
    assert_string_equal(host, "2001:db8::1");
    assert_int_equal(port, 80);
    assert_int_equal(sock_split("[2001:db8::1]:53", 80, host, sizeof host, &port, &err), 0);
    assert_string_equal(host, "2001:db8::1");
    assert_int_equal(port, 53);
    assert_int_equal(sock_split("h:0", 80, host, sizeof host, &port, &err), -E_RANGE);
    assert_int_equal(sock_split("h:65536", 80, host, sizeof host, &port, &err), -E_RANGE);
    assert_int_equal(sock_split("[::1", 80, host, sizeof host, &port, &err), -E_INVALID);
    assert_int_equal(sock_split(":80", 80, host, sizeof host, &port, &err), -E_INVALID);
    union sock_addr addr;
    assert_int_equal(sock_resolve("127.0.0.1", SOCK_FORCE_IPV6, &addr, &err), -E_UNRESOLVED);
    assert_int_equal(sock_resolve("::1", SOCK_PREFER_IPV4, &addr, &err), 0);
    assert_string_equal(sock_ip_text(&addr, host, sizeof host), "::1");
}

static void map_agrees_with_an_array(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    static char there[KEYS];
    struct map map = {0};
    struct rng rng;
    rng_seed(&rng, 1);
    for (int step = 0; step < 20000; step++) {
        uint64_t key = rng_below(&rng, KEYS);
        if (rng_below(&rng, 2)) {
            map_put(&map, key << 32, &there[key]);
            there[key] = 1;
        } else {
            assert_int_equal(map_remove(&map, key << 32) != NULL, there[key]);
            there[key] = 0;
        }
    }
    size_t count = 0, position = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        assert_int_equal(map_get(&map, key << 32) != NULL, there[key]);
        count += (size_t)there[key];
    }
    assert_int_equal(map.count, count);
    while (map_next(&map, &position))
        count--;
    assert_int_equal(count, 0);
    map_done(&map);
}

static void files_are_replaced_whole(void **state)
{
    (void)state;
    char dir[] = "/tmp/oculi-base-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[200];
    struct error err;
    (void)snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(file_make_dir(path, 0700, &err), 0);
    (void)snprintf(path, sizeof path, "%s/a/b/f", dir);
    assert_int_equal(file_write(path, "one", 3, 0600, &err), 0);
    assert_int_equal(file_write(path, "three", 5, 0600, &err), 0);
    struct buf buf;
    buf_init(&buf, 5);
    assert_int_equal(file_read(path, &buf, &err), 0);
    assert_string_equal(buf_str(&buf), "three");
    buf_done(&buf);
    buf_init(&buf, 4);
    assert_int_equal(file_read(path, &buf, &err), -E_LIMIT);
    assert_string_equal(err.where, path);
    buf_done(&buf);
    assert_int_equal(file_make_dir(path, 0700, &err), -E_EXISTS);
    assert_int_equal(file_read("/nonexistent/x", &buf, &err), -E_NOT_FOUND);
    (void)unlink(path);
}

static void a_full_disk_is_named(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct error err;
    assert_int_equal(file_write_all(fd, "x", 1, "/dev/full", &err), -E_FULL);
    assert_string_equal(err.where, "/dev/full");
    (void)close(fd);
}

struct ticks {
    struct loop *loop;
    struct loop_timer timers[50];
    int64_t last_due;
    int fired;
};

static void on_tick(void *user)
{
    struct ticks *ticks = user;
    ticks->fired++;
    if (ticks->fired == 49)
        loop_stop(ticks->loop);
}

static void timers_fire_in_order_and_can_be_stopped(void **state)
{
    (void)state;
    struct ticks ticks = {0};
    assert_int_equal(loop_new(&ticks.loop, NULL), 0);
    struct rng rng;
    rng_seed(&rng, 3);
    int64_t now = loop_now_ns(ticks.loop);
    for (int i = 0; i < 50; i++) {
        ticks.timers[i] = (struct loop_timer){.fn = on_tick, .user = &ticks};
        loop_timer_start(ticks.loop, &ticks.timers[i], now + (int64_t)rng_below(&rng, 5 * CLOCK_MS));
    }
    loop_timer_stop(ticks.loop, &ticks.timers[17]);
    assert_false(loop_timer_is_armed(&ticks.timers[17]));
    assert_int_equal(loop_run(ticks.loop), 0);
    assert_int_equal(ticks.fired, 49);
    loop_free(ticks.loop);
}

static void on_pipe(void *user, int fd, unsigned events)
{
    char c;
    assert_true(events & LOOP_READ);
    assert_int_equal(read(fd, &c, 1), 1);
    struct loop *loop = user;
    loop_remove(loop, fd);
    loop_wake(loop);
}

static void on_woken(void *user)
{
    (void)kill(getpid(), SIGUSR1);
    (void)user;
}

static void on_signal(void *user, int signo)
{
    assert_int_equal(signo, SIGUSR1);
    loop_stop(user);
}

static void loop_hears_descriptors_wakes_and_signals(void **state)
{
    (void)state;
    struct loop *loop;
    struct error err;
    int fds[2];
    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(loop_add(loop, fds[0], LOOP_READ, on_pipe, loop, &err), 0);
    loop_on_wake(loop, on_woken, loop);
    assert_int_equal(loop_signal(loop, SIGUSR1, on_signal, loop, &err), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(loop_run(loop), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    loop_free(loop);
}

static void errors_name_their_place(void **state)
{
    (void)state;
    struct error err;
    char text[600];
    assert_int_equal(error_set(&err, E_RANGE, "port", "%d is not a port", 70000), -E_RANGE);
    error_prefix(&err, "agents[3]");
    assert_string_equal(error_format(&err, text, sizeof text), "agents[3].port: 70000 is not a port");
    assert_string_equal(error_name(-E_RANGE), "range");
    for (int code = 1; code < E_CODE_COUNT; code++)
        assert_string_not_equal(error_name(code), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_stops_at_its_ceiling),
        cmocka_unit_test(arena_memory_is_zero_after_reset),
        cmocka_unit_test(slab_hands_out_each_slot_once),
        cmocka_unit_test(buf_keeps_what_fits),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(names_become_kebab_case),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(encodings_go_both_ways),
        cmocka_unit_test(times_are_read_and_written),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(map_agrees_with_an_array),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(a_full_disk_is_named),
        cmocka_unit_test(timers_fire_in_order_and_can_be_stopped),
        cmocka_unit_test(loop_hears_descriptors_wakes_and_signals),
        cmocka_unit_test(errors_name_their_place),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
