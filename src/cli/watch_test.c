/* A path watched over made-up rounds: who loses, who only limits its replies, and how that looks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/csv.h"
#include "cli/mtr_show.h"

#define HOPS 5u
#define FLOWS 2u

/* A round over HOPS hops, the last of which is the target; who answers is up to the check. */
struct scene {
    struct probe_trace_result result;
    struct probe_trace_flow flows[FLOWS];
    struct probe_trace_hop hops[FLOWS][HOPS + 1];
};

static void set_hop(struct probe_trace_hop *hop, uint32_t ttl, const char *address, int64_t rtt_ns)
{
    *hop = (struct probe_trace_hop){.ttl = (uint8_t)ttl, .sent = 1, .icmp_type = 11};
    if (!address)
        return;
    assert_int_equal(sock_parse_ip(address, &hop->addr), 0);
    hop->received = 1;
    hop->rtt_ns = rtt_ns;
}

/* Everybody answers: 10.0.0.TTL, flow 2 differs at TTL 2. */
static void begin(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    scene->result.flow_count = FLOWS;
    scene->result.flows = scene->flows;
    for (uint32_t f = 0; f < FLOWS; f++) {
        scene->flows[f] = (struct probe_trace_flow){
            .end = PROBE_TRACE_REACHED, .hop_count = HOPS, .probed = HOPS, .hops = scene->hops[f]};
        for (uint32_t ttl = 1; ttl <= HOPS; ttl++) {
            char address[32];
            (void)snprintf(address, sizeof address, "10.0.%u.%u", ttl == 2 ? f : 0, ttl);
            set_hop(&scene->hops[f][ttl - 1], ttl, address, ttl * CLOCK_MS);
        }
        scene->hops[f][HOPS - 1].is_target = true;
    }
}

static void silence(struct scene *scene, uint32_t flow, uint32_t ttl)
{
    set_hop(&scene->hops[flow][ttl - 1], ttl, NULL, 0);
    if (ttl == HOPS) {
        scene->flows[flow].end = PROBE_TRACE_SILENT;
        while (scene->flows[flow].hop_count && !sock_is_set(&scene->hops[flow][scene->flows[flow].hop_count - 1].addr))
            scene->flows[flow].hop_count--;
    }
}

static const struct watch_host *host_of(const struct watch *watch, uint32_t ttl, const char *address)
{
    union sock_addr addr;
    assert_int_equal(sock_parse_ip(address, &addr), 0);
    for (uint32_t i = 0; i < watch->hops[ttl - 1].count; i++) {
        if (sock_same_ip(&watch->hops[ttl - 1].hosts[i]->addr, &addr))
            return watch->hops[ttl - 1].hosts[i];
    }
    fail_msg("%s is not at hop %u", address, ttl);
    return NULL;
}

static void a_syn_that_was_overtaken_is_no_loss(void **state)
{
    (void)state;
    for (int is_overtaken = 0; is_overtaken < 2; is_overtaken++) {
        struct scene scene;
        struct watch *watch = watch_new(FLOWS);
        begin(&scene);
        silence(&scene, 0, HOPS); /* the target answers the SYN with the higher TTL, which came first */
        scene.hops[0][HOPS - 1].is_overtaken = is_overtaken;
        scene.flows[0].end = PROBE_TRACE_REACHED;
        scene.flows[0].hop_count = HOPS + 1;
        scene.flows[0].probed = HOPS + 2;
        set_hop(&scene.hops[0][HOPS], HOPS + 1, "10.0.0.5", HOPS * CLOCK_MS);
        scene.hops[0][HOPS].is_target = true;
        watch_add(watch, &scene.result);
        begin(&scene);
        for (unsigned round = 0; round < 3; round++)
            watch_add(watch, &scene.result);
        assert_int_equal(watch->length, HOPS);
        assert_int_equal(host_of(watch, HOPS, "10.0.0.5")->sent, is_overtaken ? 7 : 8);
        assert_int_equal(host_of(watch, HOPS, "10.0.0.5")->received, 7);
        watch_free(watch);
    }
}

static void limited_replies_are_no_loss(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    for (unsigned round = 0; round < 20; round++) {
        begin(&scene);
        if (round % 2)
            silence(&scene, 0, 3); /* hop 3 answers half of flow 1 */
        silence(&scene, 1, 4);     /* and nobody ever answers flow 2 at hop 4 */
        watch_add(watch, &scene.result);
    }
    watch_judge(watch);
    const struct watch_host *third = host_of(watch, 3, "10.0.0.3");
    assert_int_equal(third->sent, 40);
    assert_int_equal(third->received, 30);
    assert_true(third->is_limited);
    assert_true(third->loss == 0 && third->unanswered == 0.25);
    assert_int_equal(host_of(watch, 5, "10.0.0.5")->sent, 40);
    assert_false(host_of(watch, 1, "10.0.0.1")->is_limited);
    assert_int_equal(host_of(watch, 4, "10.0.0.4")->sent, 20);
    assert_int_equal(watch->hops[3].silent_sent, 20);
    assert_int_equal(watch->hops[3].silent_flows, 2u << 1);
    assert_int_equal(host_of(watch, 2, "10.0.1.2")->flows, 2u << 1);
    assert_true(watch_is_reached(watch));
    struct probe_trace_settings settings = {.gap_limit = 6, .beyond = 2};
    watch_aim(watch, 20, &settings);
    assert_int_equal(settings.distance, HOPS);
    assert_int_equal(settings.beyond, 0);
    watch_free(watch);
}

static void loss_that_persists_is_loss(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    for (unsigned round = 0; round < 20; round++) {
        begin(&scene);
        for (uint32_t ttl = 3; ttl <= HOPS; ttl++) { /* from hop 3 on every fourth probe is lost, each another one */
            if ((round + ttl) % 4 == 0) {
                silence(&scene, 0, ttl);
                silence(&scene, 1, ttl);
            }
        }
        watch_add(watch, &scene.result);
    }
    watch_judge(watch);
    for (uint32_t ttl = 1; ttl <= HOPS; ttl++) {
        const struct watch_host *host = watch->hops[ttl - 1].hosts[0];
        assert_false(host->is_limited);
        assert_true(host->loss == (ttl < 3 ? 0 : 0.25));
    }
    watch_free(watch);
}

/* Loss behind a router that limits its replies besides: it gets the loss that persists. */
static void both_at_once(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    for (unsigned round = 0; round < 40; round++) {
        begin(&scene);
        for (uint32_t f = 0; f < FLOWS; f++) {
            if (round % 4)
                silence(&scene, f, 2);
            for (uint32_t ttl = 3; ttl <= HOPS; ttl++) {
                if ((round + ttl) % 10 == 0)
                    silence(&scene, f, ttl);
            }
        }
        watch_add(watch, &scene.result);
    }
    watch_judge(watch);
    const struct watch_host *second = host_of(watch, 2, "10.0.0.2");
    assert_true(second->is_limited && second->unanswered == 0.75 && fabs(second->loss - 0.1) < 1e-9);
    assert_true(fabs(host_of(watch, HOPS, "10.0.0.5")->loss - 0.1) < 1e-9);
    watch_free(watch);
}

static void a_target_that_falls_silent_is_lost(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    begin(&scene);
    watch_add(watch, &scene.result);
    for (unsigned round = 0; round < 3; round++) {
        begin(&scene);
        silence(&scene, 0, 4);
        silence(&scene, 0, 5);
        silence(&scene, 1, 5);
        watch_add(watch, &scene.result);
    }
    watch_judge(watch);
    assert_int_equal(host_of(watch, 5, "10.0.0.5")->sent, 8);
    assert_int_equal(host_of(watch, 5, "10.0.0.5")->received, 2);
    assert_true(host_of(watch, 5, "10.0.0.5")->loss == 0.75);
    assert_int_equal(host_of(watch, 4, "10.0.0.4")->sent, 8);
    assert_int_equal(host_of(watch, 4, "10.0.0.4")->received, 5);
    watch_free(watch);
}

/* A router says "unreachable" to every TTL beyond it: that is one answer at its distance, and silence behind. */
static void what_is_beyond_the_end_is_not_told(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    begin(&scene);
    watch_add(watch, &scene.result);
    begin(&scene);
    for (uint32_t ttl = 3; ttl <= HOPS; ttl++) {
        set_hop(&scene.hops[0][ttl - 1], ttl, "10.0.0.3", CLOCK_MS);
        scene.hops[0][ttl - 1].icmp_type = 3;
    }
    scene.flows[0].end = PROBE_TRACE_UNREACHABLE;
    scene.flows[0].hop_count = 3;
    watch_add(watch, &scene.result);
    watch_judge(watch);
    assert_int_equal(watch->hops[3].count, 1);
    assert_int_equal(watch->hops[4].count, 1);
    assert_int_equal(host_of(watch, 5, "10.0.0.5")->received, 3);
    assert_int_equal(host_of(watch, 5, "10.0.0.5")->sent, 4);
    watch_free(watch);
}

/* The answer of the target to its own TTL was lost, that to the next one was not; after three times it has moved. */
static void a_target_one_hop_farther(void **state)
{
    (void)state;
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    begin(&scene);
    watch_add(watch, &scene.result);
    for (unsigned round = 0; round < 3; round++) {
        begin(&scene);
        scene.hops[0][HOPS] = scene.hops[0][HOPS - 1];
        scene.hops[0][HOPS].ttl = HOPS + 1;
        set_hop(&scene.hops[0][HOPS - 1], HOPS, NULL, 0);
        scene.flows[0].hop_count = scene.flows[0].probed = HOPS + 1;
        watch_add(watch, &scene.result);
        assert_int_equal(watch->flows[0].target_at, round < 2 ? HOPS : HOPS + 1);
    }
    watch_judge(watch);
    assert_int_equal(host_of(watch, HOPS, "10.0.0.5")->sent, 8);
    assert_int_equal(host_of(watch, HOPS, "10.0.0.5")->received, 5);
    assert_int_equal(watch->length, HOPS + 1);
    watch_free(watch);
}

/* --- how it looks ------------------------------------------------------------------------------------------------- */

static struct watch *a_watch(void)
{
    struct scene scene;
    struct watch *watch = watch_new(FLOWS);
    for (unsigned round = 0; round < 10; round++) {
        begin(&scene);
        if (round < 4)
            silence(&scene, 0, 3);
        silence(&scene, 0, 4);
        silence(&scene, 1, 4);
        watch_add(watch, &scene.result);
    }
    return watch;
}

static void expect(const struct mtr_record *record, unsigned width, unsigned height, enum mtr_columns columns,
                   const char *expected)
{
    struct buf buf;
    const struct mtr_style style = {.width = width, .height = height, .columns = columns};
    buf_init(&buf, 65536);
    mtr_show(record, &style, &buf);
    assert_string_equal(buf_str(&buf), expected);
    buf_done(&buf);
}

static void tables(void **state)
{
    (void)state;
    struct watch *watch = a_watch();
    struct arena arena;
    struct mtr_record record;
    arena_init(&arena, 1 << 20);
    field_defaults(&mtr_record_table, &record);
    mtr_record_fill(watch, NULL, NULL, &arena, &record);
    expect(&record, 0, 0, MTR_LATENCY,
           "hop  address           loss    sent  last ms   avg ms  best ms worst ms   jitter\n"
           "  1  10.0.0.1          0.0%      20    1.000    1.000    1.000    1.000    0.000\n"
           "  2  10.0.0.2          0.0%      10    2.000    2.000    2.000    2.000    0.000\n"
           "     10.0.1.2          0.0%      10    2.000    2.000    2.000    2.000    0.000\n"
           "  3  10.0.0.3          0.0%~     20    3.000    3.000    3.000    3.000    0.000\n"
           "  4  (silent)             -      20        -        -        -        -        -\n"
           "  5  10.0.0.5          0.0%      20    5.000    5.000    5.000    5.000    0.000  target\n"
           "~ replies limited: it answers some probes only, what is behind it answers more: no loss\n");
    expect(&record, 0, 0, MTR_COUNTS,
           "hop  address           loss   silent   sent received median ms    flows\n"
           "  1  10.0.0.1          0.0%    0.0%      20       20     1.000      1,2\n"
           "  2  10.0.0.2          0.0%    0.0%      10       10     2.000        1\n"
           "     10.0.1.2          0.0%    0.0%      10       10     2.000        2\n"
           "  3  10.0.0.3          0.0%~  20.0%~     20       16     3.000      1,2\n"
           "  4  (silent)             -  100.0%      20        0         -      1,2\n"
           "  5  10.0.0.5          0.0%    0.0%      20       20     5.000      1,2  target\n"
           "~ replies limited: it answers some probes only, what is behind it answers more: no loss\n");
    expect(&record, 40, 0, MTR_LATENCY, "hop  address           loss    avg ms\n"
                                        "  1  10.0.0.1          0.0%     1.000\n"
                                        "  2  10.0.0.2          0.0%     2.000\n"
                                        "     10.0.1.2          0.0%     2.000\n"
                                        "  3  10.0.0.3          0.0%~    3.000\n"
                                        "  4  (silent)             -         -\n"
                                        "  5  10.0.0.5          0.0%     5.000  t\n"
                                        "~ replies limited: it answers some probe\n");
    expect(&record, 20, 6, MTR_LATENCY, "hop  address   loss \n"
                                        "  1  10.0.0+   0.0% \n"
                                        "  2  10.0.0+   0.0% \n"
                                        "     3 more\n"
                                        "  5  10.0.0+   0.0% \n"
                                        "~ replies limited: i\n");
    arena_done(&arena);
    watch_free(watch);
}

static void rows_for_other_programs(void **state)
{
    (void)state;
    struct watch *watch = a_watch();
    struct arena arena;
    struct mtr_record record;
    struct buf buf;
    arena_init(&arena, 1 << 20);
    buf_init(&buf, 65536);
    field_defaults(&mtr_record_table, &record);
    mtr_record_fill(watch, NULL, NULL, &arena, &record);
    const struct mtr_row *rows = record.rows.items;
    assert_int_equal(record.rows.count, 6);
    csv_header(&mtr_row_table, &buf);
    csv_row(&mtr_row_table, &rows[3], &buf);
    csv_row(&mtr_row_table, &rows[4], &buf);
    assert_string_equal(buf_str(&buf),
                        "hop,ipAddress,rdns,flows,isTarget,sent,received,loss,unanswered,repliesLimited,lastLatency,"
                        "avgLatency,minLatency,maxLatency,jitter,medianLatency,mpls,tunnel,prefix,network,location\n"
                        "3,10.0.0.3,,\"1,2\",false,20,16,0,20,true,3,3,3,3,0,3,,,,,\n"
                        "4,,,\"1,2\",false,20,0,,100,false,,,,,,,,,,,\n");
    json_t *json = field_to_json(&mtr_record_table, &record, NULL);
    assert_true(json_is_true(json_object_get(json, "reached")));
    assert_int_equal(json_integer_value(json_object_get(json, "rounds")), 10);
    assert_int_equal(json_array_size(json_object_get(json, "hops")), 6);
    json_decref(json);
    buf_done(&buf);
    arena_done(&arena);
    watch_free(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_syn_that_was_overtaken_is_no_loss),
        cmocka_unit_test(limited_replies_are_no_loss),
        cmocka_unit_test(loss_that_persists_is_loss),
        cmocka_unit_test(both_at_once),
        cmocka_unit_test(a_target_that_falls_silent_is_lost),
        cmocka_unit_test(what_is_beyond_the_end_is_not_told),
        cmocka_unit_test(a_target_one_hop_farther),
        cmocka_unit_test(tables),
        cmocka_unit_test(rows_for_other_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
