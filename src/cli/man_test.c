/* What is documented is checked: the manual page has every option of each command, of each measure type it has a
 * section on, and no other. `oculi measure TYPE --help` describes the other types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/probing.h"
#include "measure/type.h"

static const struct {
    const char *title;
    const struct field_table *table;
} commands[] = {
    {"ping", &ping_option_table},
    {"trace", &trace_option_table},
    {"mtr", &mtr_option_table},
    {"paths", &paths_option_table},
    {"Options of ping, trace, mtr and paths", &probing_option_table},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const char *page_path;
static struct buf page;

/* The text of a section; *ret_size = 0 when there is none. */
static const char *section_of(const char *title, size_t *ret_size)
{
    char line[80];
    int length = snprintf(line, sizeof line, "\n.Ss %s\n", title);
    const char *start = strstr(buf_str(&page), line);
    *ret_size = 0;
    if (!start)
        return "";
    start += length - 1;
    const char *end = start;
    while ((end = strstr(end, "\n.S")) && strncmp(end, "\n.Ss ", 5) != 0 && strncmp(end, "\n.Sh ", 5) != 0)
        end++;
    *ret_size = end ? (size_t)(end - start) : strlen(start);
    return start;
}

/* An item of a list of options, or part of one: ".It Fl c , Fl -count Ar number". */
static bool is_described(const char *text, size_t size, const struct field *field)
{
    char name[128], item[200];
    str_kebab(field->name, name, sizeof name);
    if (field->letter)
        (void)snprintf(item, sizeof item, "\n.It Fl %c , Fl -%s", field->letter, name);
    else
        (void)snprintf(item, sizeof item, "\n.It Fl -%s", name);
    const char *found = memmem(text, size, item, strlen(item));
    return found && (found[strlen(item)] == ' ' || found[strlen(item)] == '\n');
}

static void check_section(const char *title, const struct field_table *table)
{
    size_t size;
    const char *text = section_of(title, &size);
    for (size_t i = 0; size && i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (cli_is_option(field) && !(field->flags & FIELD_IGNORED) && !is_described(text, size, field))
            fail_msg("%s: %s is not described", title, field->name);
    }
}

static bool has_option(const struct field_table *table, const char *option)
{
    char name[128];
    for (size_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        str_kebab(field->name, name, sizeof name);
        if (cli_is_option(field) && !(field->flags & FIELD_IGNORED) && strcmp(name, option) == 0)
            return true;
    }
    return false;
}

static bool is_known(const char *option)
{
    static const char *const general[] = {"json", "source-ip", "netns", "timeout", "names", "geo-dir", "help", NULL};
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        if (has_option((*type)->settings, option))
            return true;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (has_option(commands[i].table, option))
            return true;
    }
    return str_index(option, general) >= 0;
}

static void the_manual_page_has_every_option(void **state)
{
    (void)state;
    size_t size;
    for (const struct measure_type *const *type = measure_types; *type; type++)
        check_section((*type)->name, (*type)->settings);
    for (size_t i = 0; i < COMMANDS; i++) {
        (void)section_of(commands[i].title, &size);
        assert_true(size > 0);
        check_section(commands[i].title, commands[i].table);
    }
    (void)section_of(measure_types[0]->name, &size);
    assert_true(size > 0);
}

static void the_manual_page_has_no_other_option(void **state)
{
    (void)state;
    for (const char *item = buf_str(&page); (item = strstr(item, "\n.It Fl ")); item++) {
        char option[128];
        const char *end = strchr(item + 1, '\n');
        const char *found = memmem(item, (size_t)(end - item), "Fl -", 4);
        assert_non_null(found);
        size_t length = strcspn(found + 4, " \n");
        assert_true(length < sizeof option);
        memcpy(option, found + 4, length);
        option[length] = 0;
        if (!is_known(option))
            fail_msg("--%s is described, but there is no such option", option);
    }
}

static int read_page(void **state)
{
    (void)state;
    struct error err;
    buf_init(&page, 1 << 20);
    return file_read(page_path, &page, &err);
}

static int forget_page(void **state)
{
    (void)state;
    buf_done(&page);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_manual_page_has_every_option),
                                       cmocka_unit_test(the_manual_page_has_no_other_option)};
    page_path = argc > 1 ? argv[1] : "docs/man/oculi.1";
    return cmocka_run_group_tests(tests, read_page, forget_page);
}
