/* Options from the command line and from a file, what is refused and how it is named, and that the manual page has each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "server/config.h"

static const char *page_path;
static struct arena arena;

static int read_words(const char *const *words, struct config *ret_config, struct error *err)
{
    char *arguments[16];
    int count = 0;
    arguments[count++] = arena_strdup(&arena, "oculid");
    for (; *words; words++)
        arguments[count++] = arena_strdup(&arena, *words);
    memset(err, 0, sizeof *err);
    return config_read(count, arguments, 1, &arena, ret_config, err);
}

static void defaults_and_both_spellings(void **state)
{
    (void)state;
    struct config config;
    struct error err;
    assert_int_equal(read_words((const char *[]){NULL}, &config, &err), 0);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.data, "/var/lib/oculi");
    assert_int_equal(config.api_rate_limit, 240);
    assert_null(config.tls_cert);
    assert_int_equal(read_words((const char *[]){"--listen=[::1]:9", "--retention-days", "7", NULL}, &config, &err), 0);
    assert_string_equal(config.listen, "[::1]:9");
    assert_int_equal(config.retention_days, 7);
    assert_false(config.resolves_names);
    assert_int_equal(read_words((const char *[]){"--resolve-names", "--data", "d", NULL}, &config, &err), 0);
    assert_true(config.resolves_names);
    assert_string_equal(config.data, "d");
    assert_int_equal(read_words((const char *[]){"--resolve-names", NULL}, &config, &err), 0);
    assert_true(config.resolves_names);
    assert_int_equal(read_words((const char *[]){"--resolve-names", "false", NULL}, &config, &err), 0);
    assert_false(config.resolves_names);
}

static void what_is_refused_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        int code;
        const char *where;
    } cases[] = {
        {{"--colour", "red", NULL}, E_UNKNOWN, "--colour"},
        {{"run", NULL}, E_UNKNOWN, "run"},
        {{"--data", NULL}, E_REQUIRED, "--data"},
        {{"--log-level", "loud", NULL}, E_UNKNOWN, "--log-level"},
        {{"--api-rate-limit", "-1", NULL}, E_RANGE, "--api-rate-limit"},
        {{"--api-rate-limit", "many", NULL}, E_TYPE, "--api-rate-limit"},
        {{"--tls-cert", "x", NULL}, E_INVALID, "--tls-key"},
        {{"--public-url", "example.net", NULL}, E_INVALID, "--public-url"},
        {{"--listen", "127.0.0.1:65536", NULL}, E_RANGE, "--listen"},
        {{"--listen", ":8080", NULL}, E_INVALID, "--listen"},
        {{"--listen", "[::1:80", NULL}, E_INVALID, "--listen"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config config;
        struct error err;
        int rc = read_words(cases[i].words, &config, &err);
        assert_true(rc < 0);
        assert_string_equal(err.where, cases[i].where);
    }
}

static void the_command_line_wins_over_the_file(void **state)
{
    (void)state;
    char path[] = "/tmp/oculi-config-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "# a comment\n\nlisten = 127.0.0.1:1\n  retention-days=3  \n";
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    struct config config;
    struct error err;
    assert_int_equal(read_words((const char *[]){"--listen", "127.0.0.1:2", "--config", path, NULL}, &config, &err), 0);
    assert_string_equal(config.listen, "127.0.0.1:2");
    assert_int_equal(config.retention_days, 3);
    assert_int_equal(write(fd, "colour = red\n", 13), 13);
    assert_true(read_words((const char *[]){"--config", path, NULL}, &config, &err) < 0);
    char where[64];
    (void)snprintf(where, sizeof where, "%s:5", path);
    assert_string_equal(err.where, where);
    (void)close(fd);
    (void)unlink(path);
}

static void a_line_that_is_refused_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
        const char *where;
    } cases[] = {
        {"retention-days = -1\n", E_RANGE, "1: retention-days"},
        {"log-level=loud\n", E_UNKNOWN, "1: log-level"},
        {"retention-days 7\n", E_UNKNOWN, "1"},
        {"config = other\n", E_UNKNOWN, "1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[] = "/tmp/oculi-config-XXXXXX", where[80];
        int fd = mkstemp(path);
        assert_int_equal(write(fd, cases[i].line, strlen(cases[i].line)), (ssize_t)strlen(cases[i].line));
        struct config config;
        struct error err;
        assert_int_equal(read_words((const char *[]){"--config", path, NULL}, &config, &err), -cases[i].code);
        (void)snprintf(where, sizeof where, "%s:%s", path, cases[i].where);
        assert_string_equal(err.where, where);
        (void)close(fd);
        (void)unlink(path);
    }
}

static void the_manual_page_has_every_option(void **state)
{
    (void)state;
    struct buf page;
    buf_init(&page, 1u << 20);
    assert_int_equal(file_read(page_path, &page, NULL), 0);
    for (size_t i = 0; i < config_table.count; i++) {
        char kebab[64], item[80];
        str_kebab(config_table.fields[i].name, kebab, sizeof kebab);
        bool is_switch = config_table.fields[i].kind == FIELD_KIND_BOOL;
        (void)snprintf(item, sizeof item, "\n.It Fl -%s%s", kebab, is_switch ? "\n" : " Ar ");
        if (!strstr(buf_str(&page), item))
            fail_msg("the manual page lacks --%s", kebab);
    }
    buf_done(&page);
}

int main(int argc, char **argv)
{
    page_path = argc > 1 ? argv[1] : "docs/man/oculid.8";
    arena_init(&arena, 1u << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_both_spellings),
        cmocka_unit_test(what_is_refused_is_named),
        cmocka_unit_test(the_command_line_wins_over_the_file),
        cmocka_unit_test(a_line_that_is_refused_is_named),
        cmocka_unit_test(the_manual_page_has_every_option),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
