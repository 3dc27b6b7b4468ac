#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    int32_t port;
    bool is_quiet;
};

static const char *const modes[] = {"plain", "fancy", NULL};
static const struct field fields[] = {
    FIELD_STR(struct record, host, "hostName", (.flags = FIELD_REQUIRED, .min = 1, .max = 10), "A host"),
    FIELD_I32(struct record, count, "numThings", (.min = 1, .max = 10, .preset = "3", .letter = 'n'),
              "A number"),
    FIELD_BOOL(struct record, is_loud, "loud", (.preset = "false"), "A switch"),
    FIELD_ENUM(struct record, mode, "mode", modes, (.preset = "plain"), "A word"),
    FIELD_STR(struct record, label, "label", (.flags = FIELD_READONLY), "Ours"),
    FIELD_BOOL(struct record, is_future, "future", (.preset = "false", .flags = FIELD_IGNORED), "Later"),
    FIELD_I32(struct record, port, "port", (.min = 0, .max = 99, .alone = "80", .letter = 'p'), "A port"),
    FIELD_BOOL(struct record, is_quiet, "quiet", (.preset = "false", .letter = 'q'), "Another switch"),
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

static void words_and_letters(void **state)
{
    (void)state;
    struct arena arena;
    struct record record;
    struct error err = {0};
    struct field_list words;
    bool is_help = false;
    const struct cli_record records = {&table, &record};
    arena_init(&arena, 65536);
    field_defaults(&table, &record);
    const char *const argv[] = {"one", "-qn5", "--host-name", "a", "true", "-p", "two", "--", "-n", NULL};
    assert_int_equal(cli_arguments(9, (char **)argv, &records, 1, &arena, &words, &is_help, &err), 0);
    assert_int_equal(words.count, 4);
    static const char *const expected[] = {"one", "true", "two", "-n"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(((const char **)words.items)[i], expected[i]);
    assert_true(record.is_quiet);
    assert_int_equal(record.count, 5);
    assert_int_equal(record.port, 80);
    const char *const more[] = {"-n", "6", "-p7", "-", NULL};
    assert_int_equal(cli_arguments(4, (char **)more, &records, 1, &arena, &words, &is_help, &err), 0);
    assert_int_equal(record.count, 6);
    assert_int_equal(record.port, 7);
    assert_int_equal(words.count, 1);
    const char *const bad[] = {"-qx", NULL};
    assert_int_equal(cli_arguments(1, (char **)bad, &records, 1, &arena, &words, &is_help, &err), -E_UNKNOWN);
    assert_string_equal(err.where, "-x");
    const char *const lacking[] = {"-qn", NULL};
    assert_int_equal(cli_arguments(1, (char **)lacking, &records, 1, &arena, &words, &is_help, &err), -E_REQUIRED);
    assert_string_equal(err.where, "--num-things");
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

/* The help that a command prints is its own: that of paths. */
static void trace_exhaustive_is_paths(void **state)
{
    (void)state;
    char help[400] = "", word[] = "--exhaustive", letter[] = "-e", ask[] = "--help";
    for (int i = 0; i < 2; i++) {
        char *argv[] = {i ? word : letter, ask, NULL};
        FILE *file = tmpfile();
        int out = dup(STDOUT_FILENO);
        assert_non_null(file);
        (void)fflush(stdout);
        assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
        int status = cli_trace(2, argv);
        (void)fflush(stdout);
        assert_true(dup2(out, STDOUT_FILENO) >= 0);
        (void)close(out);
        rewind(file);
        assert_true(fread(help, 1, sizeof help - 1, file) > 0);
        (void)fclose(file);
        assert_int_equal(status, CLI_DONE);
        assert_non_null(strstr(help, "oculi paths"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(options_are_read), cmocka_unit_test(words_and_letters),
                                       cmocka_unit_test(refusals_name_the_option),
                                       cmocka_unit_test(trace_exhaustive_is_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
