/* Checks of the messages between agents and the server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/message.h"

static void tables_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; message_tables[i]; i++) {
        struct error err = {0};
        int rc = field_audit(message_tables[i], &err);
        if (rc)
            print_message("%s: %s\n", err.where, err.text);
        assert_int_equal(rc, 0);
    }
}

/* Writes record, reads it back and compares; the copy is in arena. */
static void round_trip(const struct field_table *table, const void *record, void *ret_copy, struct arena *arena)
{
    struct error err = {0};
    struct buf buf;
    buf_init(&buf, 1 << 20);
    assert_int_equal(field_check(table, record, &err), 0);
    field_to_cbor(table, record, &buf);
    assert_false(buf.is_overflowed);
    assert_int_equal(field_from_cbor(table, buf.data, buf.size, ret_copy, arena, &err), 0);
    assert_true(field_equal(table, record, ret_copy));
    buf_done(&buf);
}

static void registration_keeps_what_the_operator_said(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    const char *addresses[] = {"192.0.2.7", "2001:db8::7"};
    struct message_registration registration, copy;
    field_defaults(&message_registration_table, &registration);
    registration.token = "t";
    registration.agent_name = "Amsterdam";
    registration.version = "0.1.0";
    registration.addresses = (struct field_list){.items = addresses, .count = 2};
    registration.country_id = "NL";
    round_trip(&message_registration_table, &registration, &copy, &arena);
    assert_string_equal(copy.token, "t");
    assert_string_equal(((const char **)copy.addresses.items)[1], "2001:db8::7");
    assert_true(isnan(copy.latitude));
    struct error err;
    registration.latitude = 52.37;
    assert_int_equal(field_check(&message_registration_table, &registration, &err), -E_INVALID);
    assert_string_equal(err.where, "longitude");
    arena_done(&arena);
}

static void plan_and_batch_carry_opaque_bytes(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct message_test test;
    field_defaults(&message_test_table, &test);
    test.test_id = 7;
    test.version = 3;
    test.type = "agent-to-server";
    test.interval_s = 60;
    test.settings = (struct field_bytes){.data = "\xa0", .size = 1};
    struct message_plan plan, plan_copy;
    field_defaults(&message_plan_table, &plan);
    plan.version = 1;
    plan.server_ns = 1790000000123456789;
    plan.tests = (struct field_list){.items = &test, .count = 1};
    round_trip(&message_plan_table, &plan, &plan_copy, &arena);
    assert_true(plan_copy.server_ns == 1790000000123456789);
    assert_int_equal(plan_copy.runs.count, 0);

    char record[300];
    memset(record, 0xff, sizeof record);
    struct message_part part = {.name = "network", .record = {.data = record, .size = sizeof record}};
    struct message_round round;
    field_defaults(&message_round_table, &round);
    round.test_id = 7;
    round.round_id = 1790000040;
    round.start_ns = 1790000041000000001;
    round.end_ns = 1790000042000000001;
    round.test_version = 3;
    round.parts = (struct field_list){.items = &part, .count = 1};
    struct message_batch batch, batch_copy;
    field_defaults(&message_batch_table, &batch);
    batch.agent_id = 12;
    batch.clock_offset_ns = -1500;
    batch.rounds = (struct field_list){.items = &round, .count = 1};
    round_trip(&message_batch_table, &batch, &batch_copy, &arena);
    round.test_id = 0;
    struct error err;
    assert_int_equal(field_check(&message_batch_table, &batch, &err), -E_REQUIRED);
    assert_string_equal(err.where, "rounds[0].testId");
    arena_done(&arena);
}

static void proxies_and_reports_travel(void **state)
{
    (void)state;
    struct arena arena;
    struct error err;
    arena_init(&arena, 1 << 20);
    const char *bypass[] = {"*.example.net", "10.*"};
    struct message_proxy proxy;
    field_defaults(&message_proxy_table, &proxy);
    proxy.type = "static";
    assert_int_equal(field_check(&message_proxy_table, &proxy, &err), -E_REQUIRED);
    assert_string_equal(err.where, "location");
    proxy.location = "proxy.example.net:3128";
    proxy.auth = "basic";
    proxy.user = "u";
    proxy.password = "p";
    proxy.bypass = (struct field_list){.items = bypass, .count = 2};
    struct message_plan plan, plan_copy;
    field_defaults(&message_plan_table, &plan);
    plan.version = 1;
    plan.server_ns = 1;
    plan.tests = (struct field_list){.items = &plan, .count = 0};
    plan.proxy = &proxy;
    round_trip(&message_plan_table, &plan, &plan_copy, &arena);
    assert_string_equal(plan_copy.proxy->password, "p");
    assert_string_equal(((const char **)plan_copy.proxy->bypass.items)[1], "10.*");

    struct message_queue queue = {.name = "general", .now = 12.5, .most = 40};
    struct message_interface interface = {.name = "eth0", .address = "192.0.2.7"};
    struct message_report report, report_copy;
    field_defaults(&message_report_table, &report);
    report.instance = "0123456789abcdef";
    report.version = "0.1.0";
    report.is_leaving = true;
    report.queues = (struct field_list){.items = &queue, .count = 1};
    report.interfaces = (struct field_list){.items = &interface, .count = 1};
    report.local_problem = "gateway";
    round_trip(&message_report_table, &report, &report_copy, &arena);
    assert_true(report_copy.clock_offset_ns == FIELD_NO_I64);
    assert_true(((struct message_queue *)report_copy.queues.items)->most == 40);
    arena_done(&arena);
}

/* A plan as a server before proxies wrote it, and one with a field that only a later server knows. */
static void other_versions_are_understood(void **state)
{
    (void)state;
    static const char older[] = "\xa3"
                                "gversion\x01"
                                "jserverTime\x02"
                                "etests\x80";
    static const char newer[] = "\xa4"
                                "gversion\x01"
                                "gfeature\xa1\x61x\x81\xf5"
                                "jserverTime\x02"
                                "etests\x80";
    struct arena arena;
    struct message_plan plan;
    arena_init(&arena, 1 << 20);
    assert_int_equal(field_from_cbor(&message_plan_table, older, sizeof older - 1, &plan, &arena, NULL), 0);
    assert_int_equal(field_check(&message_plan_table, &plan, NULL), 0);
    assert_null(plan.proxy);
    assert_false(plan.is_unverified);
    assert_int_equal(field_from_cbor(&message_plan_table, newer, sizeof newer - 1, &plan, &arena, NULL), 0);
    assert_true(plan.server_ns == 2);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sound),
        cmocka_unit_test(registration_keeps_what_the_operator_said),
        cmocka_unit_test(plan_and_batch_carry_opaque_bytes),
        cmocka_unit_test(proxies_and_reports_travel),
        cmocka_unit_test(other_versions_are_understood),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
