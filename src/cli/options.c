#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

#define OPTION_BYTES 128

bool cli_is_option(const struct field *field)
{
    return !(field->flags & (FIELD_READONLY | FIELD_INTERNAL));
}

static void option_of(const char *name, char option[static OPTION_BYTES])
{
    option[0] = option[1] = '-';
    str_kebab(name, option + 2, OPTION_BYTES - 2);
}

void cli_name_option(struct error *err)
{
    char name[OPTION_BYTES], option[OPTION_BYTES];
    if (!err || !err->where[0] || err->where[0] == '-')
        return;
    str_copy(name, sizeof name, err->where);
    name[strcspn(name, ".[")] = 0;
    option_of(name, option);
    str_copy(err->where, sizeof err->where, option);
}

/* The field of an option and the record that has it. */
static const struct field *find(const struct cli_record *records, size_t count, const char *option,
                                const struct cli_record **ret_record)
{
    char known[OPTION_BYTES];
    for (size_t i = 0; i < count; i++) {
        for (size_t f = 0; f < records[i].table->count; f++) {
            const struct field *field = &records[i].table->fields[f];
            option_of(field->name, known);
            if (!cli_is_option(field) || strcmp(known, option) != 0)
                continue;
            *ret_record = &records[i];
            return field;
        }
    }
    return NULL;
}

static bool is_bool_word(const char *text)
{
    return text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
}

/* The option at argv[0]; returns how many arguments it took, or an error. */
static int read_option(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                       struct error *err)
{
    char option[OPTION_BYTES];
    const struct cli_record *record = NULL;
    size_t length = strcspn(argv[0], "=");
    bool has_equals = argv[0][length] == '=';
    if (strncmp(argv[0], "--", 2) != 0)
        return error_set(err, E_UNKNOWN, argv[0], "is not an option: options begin with --");
    if (length >= sizeof option)
        return error_set(err, E_UNKNOWN, "", "there is no option %.40s...", argv[0]);
    memcpy(option, argv[0], length);
    option[length] = 0;
    const struct field *field = find(records, count, option, &record);
    if (!field)
        return error_set(err, E_UNKNOWN, option, "no such option; --help lists them");
    if (field->flags & FIELD_IGNORED)
        return error_set(err, E_NOT_SUPPORTED, option, "is not supported by this build");
    const char *value = has_equals ? argv[0] + length + 1 : argc > 1 ? argv[1] : NULL;
    bool is_flag = field->kind == FIELD_KIND_BOOL && !has_equals && !is_bool_word(value);
    if (!is_flag && !value)
        return error_set(err, E_REQUIRED, option, "needs a value");
    int rc = field_from_text(record->table, field->name, is_flag ? "true" : value, record->record, arena, err);
    if (rc) {
        cli_name_option(err);
        return rc;
    }
    return has_equals || is_flag ? 1 : 2;
}

int cli_options(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                bool *ret_is_help, struct error *err)
{
    for (int at = 0; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            *ret_is_help = true;
            return 0;
        }
    }
    for (int at = 0; at < argc;) {
        int took = read_option(argc - at, argv + at, records, count, arena, err);
        if (took < 0)
            return took;
        at += took;
    }
    for (size_t i = 0; i < count; i++) {
        int rc = field_check(records[i].table, records[i].record, err);
        if (rc) {
            cli_name_option(err);
            return rc;
        }
    }
    return 0;
}
