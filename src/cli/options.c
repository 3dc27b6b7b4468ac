#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

#define OPTION_BYTES 128

void cli_complain(const struct error *err)
{
    char text[600];
    fprintf(stderr, "oculi: %s\n", error_format(err, text, sizeof text));
}

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

/* The field of an option, by its name ("--count") or its letter, and the record that has it. */
static const struct field *find(const struct cli_record *records, size_t count, const char *option, char letter,
                                const struct cli_record **ret_record)
{
    char known[OPTION_BYTES];
    for (size_t i = 0; i < count; i++) {
        for (size_t f = 0; f < records[i].table->count; f++) {
            const struct field *field = &records[i].table->fields[f];
            option_of(field->name, known);
            if (!cli_is_option(field) || (letter ? field->letter != letter : strcmp(known, option) != 0))
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

/* What stands for the value when none is given; NULL = one must be. */
static const char *alone(const struct field *field)
{
    return field->kind == FIELD_KIND_BOOL ? "true" : field->alone;
}

static int set(const struct cli_record *record, const struct field *field, const char *option, const char *value,
               struct arena *arena, struct error *err)
{
    if (field->flags & FIELD_IGNORED)
        return error_set(err, E_NOT_SUPPORTED, option, "is not supported by this build");
    if (!value)
        return error_set(err, E_REQUIRED, option, "needs a value");
    int rc = field_from_text(record->table, field->name, value, record->record, arena, err);
    if (rc)
        cli_name_option(err);
    return rc;
}

/* The option at argv[0]; returns how many arguments it took, or an error. */
static int read_long(int argc, char **argv, const struct cli_record *records, size_t count, bool has_words,
                     struct arena *arena, struct error *err)
{
    char option[OPTION_BYTES];
    const struct cli_record *record = NULL;
    size_t length = strcspn(argv[0], "=");
    bool has_equals = argv[0][length] == '=';
    if (length >= sizeof option)
        return error_set(err, E_UNKNOWN, "", "there is no option %.40s...", argv[0]);
    memcpy(option, argv[0], length);
    option[length] = 0;
    const struct field *field = find(records, count, option, 0, &record);
    if (!field)
        return error_set(err, E_UNKNOWN, option, "no such option; --help lists them");
    const char *next = argc > 1 ? argv[1] : NULL;
    /* What follows a switch is a word where words are expected. */
    bool is_alone = !has_equals && alone(field) && (has_words || field->kind != FIELD_KIND_BOOL || !is_bool_word(next));
    const char *value = has_equals ? argv[0] + length + 1 : is_alone ? alone(field) : next;
    int rc = set(record, field, option, value, arena, err);
    return rc ? rc : has_equals || is_alone ? 1 : 2;
}

/* The letters at argv[0], "-qn" or "-c5" or "-c" "5"; returns how many arguments they took, or an error. */
static int read_letters(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                        struct error *err)
{
    for (const char *at = argv[0] + 1; *at; at++) {
        const struct cli_record *record = NULL;
        char option[OPTION_BYTES] = {'-', *at, 0};
        const struct field *field = find(records, count, NULL, *at, &record);
        if (!field)
            return error_set(err, E_UNKNOWN, (unsigned char)*at < 0x80 ? option : argv[0],
                             "no such option; --help lists them");
        option_of(field->name, option);
        bool has_number = field->alone && at[1] >= '0' && at[1] <= '9'; /* "-T443" */
        if (alone(field) && !has_number) {
            int rc = set(record, field, option, alone(field), arena, err);
            if (rc)
                return rc;
            continue;
        }
        bool is_next = at[1] == 0;
        int rc = set(record, field, option, is_next ? (argc > 1 ? argv[1] : NULL) : at + 1, arena, err);
        return rc ? rc : is_next ? 2 : 1;
    }
    return 1;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int at = 0; at < argc && strcmp(argv[at], "--") != 0; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            return true;
    }
    return false;
}

static int check_all(const struct cli_record *records, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = field_check(records[i].table, records[i].record, err);
        if (rc) {
            cli_name_option(err);
            return rc;
        }
    }
    return 0;
}

int cli_arguments(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                  struct field_list *ret_words, bool *ret_is_help, struct error *err)
{
    if (asks_for_help(argc, argv)) {
        *ret_is_help = true;
        return 0;
    }
    const char **words = arena_alloc_array(arena, (size_t)argc + 1, sizeof *words);
    size_t word_count = 0;
    bool is_open = true; /* options may still come */
    if (!words)
        return error_set(err, E_LIMIT, "", "too many arguments");
    for (int at = 0; at < argc;) {
        int took = 1;
        if (is_open && ret_words && strcmp(argv[at], "--") == 0)
            is_open = false;
        else if (is_open && strncmp(argv[at], "--", 2) == 0)
            took = read_long(argc - at, argv + at, records, count, ret_words, arena, err);
        else if (is_open && argv[at][0] == '-' && argv[at][1])
            took = read_letters(argc - at, argv + at, records, count, arena, err);
        else if (ret_words)
            words[word_count++] = argv[at];
        else
            took = error_set(err, E_UNKNOWN, argv[at], "is not an option: options begin with --");
        if (took < 0)
            return took;
        at += took;
    }
    int rc = check_all(records, count, err);
    if (rc == 0 && ret_words)
        *ret_words = (struct field_list){.items = words, .count = word_count};
    return rc;
}

int cli_options(int argc, char **argv, const struct cli_record *records, size_t count, struct arena *arena,
                bool *ret_is_help, struct error *err)
{
    return cli_arguments(argc, argv, records, count, arena, NULL, ret_is_help, err);
}
