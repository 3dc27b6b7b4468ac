/* The agent's own field tables are sound; it cannot be linked with the server, whose names it shares. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/options.h"
#include "agent/status.h"

static void every_table_is_sound(void **state)
{
    (void)state;
    static const struct field_table *const tables[] = {&agent_options_table, &agent_status_table};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct error err = {0};
        char text[700];
        if (field_audit(tables[i], &err))
            fail_msg("%s", error_format(&err, text, sizeof text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_table_is_sound)};
    return cmocka_run_group_tests_name("agent_tables", tests, NULL, NULL);
}
