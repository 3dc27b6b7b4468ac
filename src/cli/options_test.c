#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "cli/cli.h"

struct record {
    const char *host;
    int32_t count;
    bool is_loud;
    int mode;
    const char *label;
    bool is_future;
};

static const char *const modes[] = {"plain", "fancy", NULL};
static const struct field fields[] = {
    FIELD_STR(struct record, host, "hostName", (.flags = FIELD_REQUIRED, .min = 1, .max = 10), "A host"),
    FIELD_I32(struct record, count, "numThings", (.min = 1, .max = 10, .preset = "3"), "A number"),
    FIELD_BOOL(struct record, is_loud, "loud", (.preset = "false"), "A switch"),
    FIELD_ENUM(struct record, mode, "mode", modes, (.preset = "plain"), "A word"),
    FIELD_STR(struct record, label, "label", (.flags = FIELD_READONLY), "Ours"),
    FIELD_BOOL(struct record, is_future, "future", (.preset = "false", .flags = FIELD_IGNORED), "Later"),
};

static int check_record(const void *record, struct error *err)
{
    const struct record *r = record;
    return r->count == 7 ? error_set(err, E_INVALID, "numThings", "seven is not possible") : 0;
}

static const struct field_table table = FIELD_TABLE("Record", struct record, fields, check_record, "For checks");

static int read_all(const char *const *argv, struct record *record, bool *ret_is_help, struct arena *arena,
                    struct error *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    memset(err, 0, sizeof *err);
    field_defaults(&table, record);
    *ret_is_help = false;
    return cli_options(argc, (char **)argv, &(struct cli_record){&table, record}, 1, arena, ret_is_help, err);
}

static void options_are_read(void **state)
{
    (void)state;
    struct arena arena;
    struct record record;
    struct error err;
    bool is_help;
    arena_init(&arena, 65536);
    const char *const plain[] = {"--host-name", "a", "--num-things=9", "--loud", "--mode", "fancy", NULL};
    assert_int_equal(read_all(plain, &record, &is_help, &arena, &err), 0);
    assert_string_equal(record.host, "a");
    assert_int_equal(record.count, 9);
    assert_true(record.is_loud);
    assert_int_equal(record.mode, 1);
    const char *const bools[] = {"--host-name=--x", "--loud", "false", NULL};
    assert_int_equal(read_all(bools, &record, &is_help, &arena, &err), 0);
    assert_string_equal(record.host, "--x");
    assert_false(record.is_loud);
    assert_int_equal(record.count, 3);
    const char *const help[] = {"--nonsense", "--help", NULL};
    assert_int_equal(read_all(help, &record, &is_help, &arena, &err), 0);
    assert_true(is_help);
    arena_done(&arena);
}

static void refusals_name_the_option(void **state)
{
    (void)state;
    static const struct {
        const char *argv[6];
        int rc;
        const char *where, *text;
    } cases[] = {
        {{"--num-things", "3", NULL}, -E_REQUIRED, "--host-name", "is required"},
        {{"--host-name", NULL}, -E_REQUIRED, "--host-name", "needs a value"},
        {{"--host-name", "a", "--num-things", "11", NULL}, -E_RANGE, "--num-things", "10"},
        {{"--host-name", "a", "--num-things", "x", NULL}, -E_TYPE, "--num-things", "integer"},
        {{"--host-name", "a", "--num-things", "7", NULL}, -E_INVALID, "--num-things", "seven"},
        {{"--host-name", "a", "--mode", "odd", NULL}, -E_UNKNOWN, "--mode", "plain"},
        {{"--host-name", "a", "--loud=maybe", NULL}, -E_TYPE, "--loud", "true or false"},
        {{"--host-name", "a", "--numThings", "3", NULL}, -E_UNKNOWN, "--numThings", "no such option"},
        {{"--host-name", "a", "--label", "x", NULL}, -E_UNKNOWN, "--label", "no such option"},
        {{"--host-name", "a", "--future", NULL}, -E_NOT_SUPPORTED, "--future", "not supported"},
        {{"--host-name", "a", "stray", NULL}, -E_UNKNOWN, "stray", "not an option"},
        {{"--host-name", "12345678901", NULL}, -E_RANGE, "--host-name", "10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct record record;
        struct error err;
        bool is_help;
        arena_init(&arena, 65536);
        int rc = read_all(cases[i].argv, &record, &is_help, &arena, &err);
        if (rc != cases[i].rc || !str_equal(err.where, cases[i].where) || !strstr(err.text, cases[i].text))
            fail_msg("case %zu: %d %s: %s", i, rc, err.where, err.text);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(options_are_read), cmocka_unit_test(refusals_name_the_option)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
