/*
 * What tables tell others, compared with golden/: the OpenAPI schema, the TypeScript and the help of the sample record
 * and of the messages. After a change that is meant: run with GOLDEN=write and read the difference.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "wire/field.h"
#include "wire/field_sample.h"
#include "wire/json.h"
#include "wire/message.h"

static const char *golden_dir;

static void compare(const char *name, struct buf *got)
{
    struct error err = {0};
    char path[512], text[700];
    assert_false(got->is_overflowed);
    (void)snprintf(path, sizeof path, "%s/%s", golden_dir, name);
    const char *wish = getenv("GOLDEN");
    if (wish && strcmp(wish, "write") == 0) {
        assert_int_equal(file_write(path, got->data, got->size, 0644, &err), 0);
        return;
    }
    struct buf want;
    buf_init(&want, 1 << 20);
    if (file_read(path, &want, &err))
        fail_msg("%s", error_format(&err, text, sizeof text));
    assert_string_equal(buf_str(got), buf_str(&want));
    buf_done(&want);
}

static void put_schema(const struct field_table *table, void *user)
{
    struct buf *buf = user;
    json_t *schema = field_schema(table);
    buf_printf(buf, "%s ", table->name);
    json_dump_to_buf(schema, 2, buf);
    buf_putc(buf, '\n');
    json_decref(schema);
}

static void put_typescript(const struct field_table *table, void *user)
{
    field_typescript(table, user);
}

static void check_all(const char *extension, void (*put)(const struct field_table *table, void *user),
                      void (*prelude)(struct buf *buf))
{
    struct buf buf;
    buf_init(&buf, 1 << 20);
    if (prelude)
        prelude(&buf);
    field_walk(&every_table, put, &buf);
    field_walk(&message_plan_table, put, &buf);
    char name[64];
    (void)snprintf(name, sizeof name, "tables.%s", extension);
    compare(name, &buf);
    buf_done(&buf);
}

static void schemas_are_as_agreed(void **state)
{
    (void)state;
    check_all("schema.txt", put_schema, NULL);
}

static void typescript_is_as_agreed(void **state)
{
    (void)state;
    check_all("ts", put_typescript, field_typescript_prelude);
}

static void help_is_as_agreed(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1 << 20);
    field_help(&every_table, &buf);
    field_help(&message_registration_table, &buf);
    compare("tables.help.txt", &buf);
    buf_done(&buf);
}

int main(int argc, char **argv)
{
    golden_dir = argc > 1 ? argv[1] : "golden";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_are_as_agreed),
        cmocka_unit_test(typescript_is_as_agreed),
        cmocka_unit_test(help_is_as_agreed),
    };
    return cmocka_run_group_tests_name("field_golden", tests, NULL, NULL);
}
