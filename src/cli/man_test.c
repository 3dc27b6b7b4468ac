/* What is documented is checked: the manual page has every option of each measure type it has a section on, and no
 * other. `oculi measure TYPE --help` describes the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "measure/type.h"

static const char *page_path;

/* An item of a list of options, or part of one: ".It Fl -num-path-traces Ar number". */
static bool is_described(const char *page, const char *option)
{
    char item[160];
    size_t length = (size_t)snprintf(item, sizeof item, "\n.It Fl -%s", option);
    const char *found = strstr(page, item);
    return found && (found[length] == ' ' || found[length] == '\n');
}

static bool has_section(const char *page, const struct measure_type *type)
{
    char title[80];
    snprintf(title, sizeof title, "\n.Ss %s\n", type->name);
    return strstr(page, title) != NULL;
}

static bool is_known(const char *option)
{
    char name[128];
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        for (size_t i = 0; i < (*type)->settings->count; i++) {
            const struct field *field = &(*type)->settings->fields[i];
            str_kebab(field->name, name, sizeof name);
            if (cli_is_option(field) && !(field->flags & FIELD_IGNORED) && strcmp(name, option) == 0)
                return true;
        }
    }
    static const char *const general[] = {"json", "source-ip", "netns", "timeout", "help", NULL};
    return str_index(option, general) >= 0;
}

static void the_manual_page_has_every_option(void **state)
{
    (void)state;
    struct buf page;
    struct error err;
    buf_init(&page, 1 << 20);
    if (file_read(page_path, &page, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        for (size_t i = 0; has_section(buf_str(&page), *type) && i < (*type)->settings->count; i++) {
            const struct field *field = &(*type)->settings->fields[i];
            char name[128];
            str_kebab(field->name, name, sizeof name);
            if (cli_is_option(field) && !(field->flags & FIELD_IGNORED) && !is_described(buf_str(&page), name))
                fail_msg("--%s is not described", name);
        }
    }
    for (const char *item = buf_str(&page); (item = strstr(item, "\n.It Fl -")); item++) {
        char option[128];
        size_t length = strcspn(item + 9, " \n");
        assert_true(length < sizeof option);
        memcpy(option, item + 9, length);
        option[length] = 0;
        if (!is_known(option))
            fail_msg("--%s is described, but there is no such option", option);
    }
    assert_true(has_section(buf_str(&page), measure_types[0]));
    buf_done(&page);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_manual_page_has_every_option)};
    page_path = argc > 1 ? argv[1] : "docs/man/oculi.1";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
