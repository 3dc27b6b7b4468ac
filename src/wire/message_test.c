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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sound),
        cmocka_unit_test(registration_keeps_what_the_operator_said),
        cmocka_unit_test(plan_and_batch_carry_opaque_bytes),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
