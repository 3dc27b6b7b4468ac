/* Codes of RFC 6238's own examples (SHA-1, the last six of eight digits), and which of them are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server/totp.h"

static const char key[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; /* "12345678901234567890" */

static void codes_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        const char *code;
    } examples[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                    {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        char code[TOTP_DIGITS + 1];
        int64_t step = 0;
        assert_true(totp_code(key, examples[i].time_s / TOTP_STEP_S, code));
        assert_string_equal(code, examples[i].code);
        assert_true(totp_check(key, code, examples[i].time_s, 0, &step));
        assert_int_equal(step, examples[i].time_s / TOTP_STEP_S);
    }
}

static void a_code_is_taken_a_step_early_or_late_and_once(void **state)
{
    (void)state;
    int64_t step = 0;
    static const char code[] = "050471"; /* of step 37037037, from 1111111110 on */
    assert_true(totp_check(key, code, 1111111110 - 30, 0, &step));
    assert_true(totp_check(key, code, 1111111110 + 59, 0, &step));
    assert_int_equal(step, 37037037);
    assert_false(totp_check(key, code, 1111111110 - 31, 0, &step));
    assert_false(totp_check(key, code, 1111111110 + 60, 0, &step));
    assert_false(totp_check(key, code, 1111111110, step, &step)); /* again */
    assert_true(totp_check(key, code, 1111111110, step - 1, &step));
}

static void nothing_else_is_a_code(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "05047", "0504711", "50471", "O50471", "050472", "      "};
    int64_t step;
    char code[TOTP_DIGITS + 1];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(totp_check(key, bad[i], 1111111111, 0, &step));
    assert_false(totp_code("", 1, code));
    assert_false(totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", 1, code));
}

static void keys_differ_and_work(void **state)
{
    (void)state;
    char a[TOTP_KEY_TEXT_BYTES], b[TOTP_KEY_TEXT_BYTES], code[TOTP_DIGITS + 1];
    int64_t step;
    totp_new_key(a);
    totp_new_key(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), TOTP_KEY_TEXT_BYTES - 1);
    assert_true(totp_code(a, 59, code));
    assert_true(totp_check(a, code, 59 * TOTP_STEP_S, 0, &step));
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(codes_of_the_rfc),
        cmocka_unit_test(a_code_is_taken_a_step_early_or_late_and_once),
        cmocka_unit_test(nothing_else_is_a_code),
        cmocka_unit_test(keys_differ_and_work),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
