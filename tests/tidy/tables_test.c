/*
 * Every field table the server knows is sound (field_audit), and no two tables that the API's document would list
 * together have the same name.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/str.h"
#include "server/api/api.h"
#include "wire/message.h"

static unsigned audited, broken;

static void audit(const struct field_table *table)
{
    struct error err = {0};
    char text[700];
    if (!table)
        return;
    audited++;
    if (field_audit(table, &err)) {
        broken++;
        print_message("# %s\n", error_format(&err, text, sizeof text));
    }
}

static void every_table_is_sound(void **state)
{
    (void)state;
    static const struct object_kind *const kinds[] = {&object_account_group_kind, &object_user_kind,
                                                      &object_token_kind,         &object_session_kind,
                                                      &object_agent_kind,         &object_test_kind,
                                                      &object_run_kind};
    audit(&config_table);
    for (size_t i = 0; message_tables[i]; i++)
        audit(message_tables[i]);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        audit(kinds[i]->table);
    for (size_t i = 0; measure_types[i]; i++) {
        audit(measure_types[i]->settings);
        for (size_t part = 0; part < measure_types[i]->part_count; part++)
            audit(measure_types[i]->parts[part].table);
    }
    for (size_t i = 0; api_tables[i]; i++) {
        for (const struct route *route = api_tables[i]; route->method; route++) {
            audit(route->request);
            audit(route->response);
        }
    }
    assert_true(audited > 20);
    assert_int_equal(broken, 0);
}

static struct map by_name;

static void note_name(const struct field_table *table, void *user)
{
    const struct field_table *other = map_get(&by_name, str_hash(table->name, strlen(table->name), 0));
    if (other && other != table) {
        print_message("# two tables are called %s\n", table->name);
        ++*(unsigned *)user;
    }
    map_put(&by_name, str_hash(table->name, strlen(table->name), 0), (void *)(uintptr_t)table);
}

static void names_in_the_document_are_unique(void **state)
{
    (void)state;
    unsigned doubles = 0;
    for (size_t i = 0; api_tables[i]; i++) {
        for (const struct route *route = api_tables[i]; route->method; route++) {
            if (route->request)
                field_walk(route->request, note_name, &doubles);
            if (route->response)
                field_walk(route->response, note_name, &doubles);
        }
    }
    map_done(&by_name);
    assert_int_equal(doubles, 0);
}

static void the_page_of_coverage_is_true(void **state)
{
    struct route_set routes;
    struct buf printed, page;
    (void)state;
    buf_init(&printed, LIMIT_RESPONSE_BYTES);
    buf_init(&page, LIMIT_RESPONSE_BYTES);
    route_set_init(&routes, api_tables);
    route_print_coverage(&routes, &printed);
    assert_int_equal(file_read(OCULI_SOURCE_ROOT "/docs/api-coverage.md", &page, NULL), 0);
    if (!str_equal(buf_str(&printed), buf_str(&page)))
        fail_msg("docs/api-coverage.md is old: oculid schema coverage >docs/api-coverage.md");
    route_set_done(&routes);
    buf_done(&printed);
    buf_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_is_sound),
        cmocka_unit_test(the_page_of_coverage_is_true),
        cmocka_unit_test(names_in_the_document_are_unique),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
