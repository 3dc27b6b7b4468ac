#include "wire/completion.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define OPTION_BYTES 128
#define SCRIPT_BYTES (1u << 20)

typedef void each_fn(const struct completion_command *command, const struct field *field, struct buf *buf);

/* Options as they can be typed. */
static void for_each(const struct completion_command *command, each_fn *fn, struct buf *buf)
{
    for (size_t t = 0; t < COMPLETION_TABLES && command->tables[t]; t++) {
        for (size_t f = 0; f < command->tables[t]->count; f++) {
            const struct field *field = &command->tables[t]->fields[f];
            if (!(field->flags & (FIELD_READONLY | FIELD_INTERNAL | FIELD_IGNORED)))
                fn(command, field, buf);
        }
    }
}

static bool needs_value(const struct field *field)
{
    return field->kind != FIELD_KIND_BOOL && !field->alone;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), wanted = strlen(end);
    return length >= wanted && strcmp(name + length - wanted, end) == 0;
}

static bool is_directory(const struct field *field)
{
    return field->kind == FIELD_KIND_STR && (ends_in(field->name, "Dir") || str_equal(field->name, "data"));
}

static bool is_file(const struct field *field)
{
    return field->kind == FIELD_KIND_STR && (ends_in(field->name, "File") || str_equal(field->name, "config"));
}

static void put_words(const char *const *words, struct buf *buf)
{
    for (size_t i = 0; words && words[i]; i++)
        buf_printf(buf, "%s%s", i ? " " : "", words[i]);
}

/* The last of a command's words; what stands before it in *ret_before is its length. */
static const char *last_word(const struct completion_command *command, size_t *ret_before)
{
    const char *blank = strrchr(command->words, ' ');
    *ret_before = blank ? (size_t)(blank - command->words) : 0;
    return blank ? blank + 1 : command->words;
}

static bool is_below(const struct completion_command *command, const struct completion_command *above)
{
    size_t before;
    (void)last_word(command, &before);
    return *command->words && strlen(above->words) == before && strncmp(command->words, above->words, before) == 0;
}

/* --- bash --------------------------------------------------------------------------------------------------------- */

static void put_bash_option(const struct completion_command *command, const struct field *field, struct buf *buf)
{
    char option[OPTION_BYTES];
    (void)command;
    str_kebab(field->name, option, sizeof option);
    if (field->letter)
        buf_printf(buf, " -%c", field->letter);
    buf_printf(buf, " --%s", option);
}

/* What may stand behind an option. */
static void put_bash_value(const struct completion_command *command, const struct field *field, struct buf *buf)
{
    char option[OPTION_BYTES];
    if (!needs_value(field))
        return;
    str_kebab(field->name, option, sizeof option);
    buf_printf(buf, "    '%s|--%s'", command->words, option);
    if (field->letter)
        buf_printf(buf, " | '%s|-%c'", command->words, field->letter);
    if (field->words) {
        buf_puts(buf, ") words='");
        put_words(field->words, buf);
        buf_puts(buf, "' ;;\n");
    } else if (is_directory(field) || is_file(field)) {
        buf_printf(buf, ") COMPREPLY=($(compgen -%c -- \"$cur\")); return ;;\n", is_file(field) ? 'f' : 'd');
    } else {
        buf_puts(buf, ") return ;;\n");
    }
}

static void put_bash_words(const struct completion_program *program, const struct completion_command *command,
                           struct buf *buf)
{
    size_t before;
    buf_printf(buf, "    '%s') words='--help", command->words);
    for (size_t i = 0; i < program->count; i++) {
        if (is_below(&program->commands[i], command))
            buf_printf(buf, " %s", last_word(&program->commands[i], &before));
    }
    for (size_t i = 0; command->more && command->more[i]; i++)
        buf_printf(buf, " %s", command->more[i]);
    for_each(command, put_bash_option, buf);
    buf_printf(buf, "'%s ;;\n", command->has_hosts ? "; hosts=yes" : "");
}

static void put_bash(const struct completion_program *program, struct buf *buf)
{
    buf_printf(buf, "# bash completion of %s, made by: %s completion bash\n_", program->name, program->name);
    for (const char *at = program->name; *at; at++)
        buf_putc(buf, *at == '-' ? '_' : *at);
    buf_puts(buf, "()\n{\n"
                  "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" at='' words='' hosts='' i\n"
                  "    COMPREPLY=()\n"
                  "    if [[ $cur == '=' ]]; then\n        cur=''\n" /* --name=value comes as three words */
                  "    elif [[ $prev == '=' ]]; then\n        prev=\"${COMP_WORDS[COMP_CWORD-2]}\"\n    fi\n"
                  "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                  "        case \"${at:+$at }${COMP_WORDS[i]}\" in\n        ");
    for (size_t i = 0, count = 0; i < program->count; i++) {
        if (*program->commands[i].words)
            buf_printf(buf, "%s'%s'", count++ ? " | " : "", program->commands[i].words);
    }
    buf_puts(buf, ") at=\"${at:+$at }${COMP_WORDS[i]}\" ;;\n        esac\n    done\n    case \"$at|$prev\" in\n");
    for (size_t i = 0; i < program->count; i++)
        for_each(&program->commands[i], put_bash_value, buf);
    buf_puts(buf, "    esac\n    [[ -n $words ]] || case \"$at\" in\n");
    for (size_t i = 0; i < program->count; i++)
        put_bash_words(program, &program->commands[i], buf);
    buf_puts(buf, "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "    if [[ -n $hosts && $cur != -* ]]; then\n"
                  "        COMPREPLY=($(compgen -A hostname -- \"$cur\"))\n    fi\n}\ncomplete -F _");
    for (const char *at = program->name; *at; at++)
        buf_putc(buf, *at == '-' ? '_' : *at);
    buf_printf(buf, " %s\n", program->name);
}

/* --- fish --------------------------------------------------------------------------------------------------------- */

static void put_quoted(const char *text, struct buf *buf)
{
    buf_putc(buf, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_putc(buf, '\\');
        buf_putc(buf, *text);
    }
    buf_putc(buf, '\'');
}

/* "complete -c oculi -n CONDITION": where this command's words can stand. */
static void put_fish_place(const char *program, const struct completion_command *command, struct buf *buf)
{
    buf_printf(buf, "complete -c %s", program);
    if (!*command->words)
        return;
    buf_puts(buf, " -n '");
    for (const char *at = command->words; *at;) {
        size_t length = strcspn(at, " ");
        buf_printf(buf, "%s__fish_seen_subcommand_from %.*s", at > command->words ? "; and " : "", (int)length, at);
        at += length + (at[length] == ' ');
    }
    buf_putc(buf, '\'');
}

static void put_fish_option(const char *program, const struct completion_command *command, const struct field *field,
                            struct buf *buf)
{
    char option[OPTION_BYTES];
    str_kebab(field->name, option, sizeof option);
    put_fish_place(program, command, buf);
    buf_printf(buf, " -l %s", option);
    if (field->letter)
        buf_printf(buf, " -s %c", field->letter);
    if (needs_value(field))
        buf_puts(buf, is_directory(field) || is_file(field) ? " -r -F" : " -x");
    if (needs_value(field) && field->words) {
        buf_puts(buf, " -a '");
        put_words(field->words, buf);
        buf_putc(buf, '\'');
    }
    buf_puts(buf, " -d ");
    put_quoted(field->help, buf);
    buf_putc(buf, '\n');
}

static void put_fish_command(const struct completion_program *program, const struct completion_command *command,
                             struct buf *buf)
{
    for (size_t i = 0; i < program->count; i++) {
        size_t before;
        if (!is_below(&program->commands[i], command))
            continue;
        put_fish_place(program->name, command, buf);
        if (!*command->words)
            buf_puts(buf, " -n __fish_use_subcommand");
        buf_printf(buf, " -a %s -d ", last_word(&program->commands[i], &before));
        put_quoted(program->commands[i].help, buf);
        buf_putc(buf, '\n');
    }
    for (size_t i = 0; command->more && command->more[i]; i++) {
        const char *word = command->more[i];
        put_fish_place(program->name, command, buf);
        bool is_option = str_starts(word, "--"), is_letter = !is_option && *word == '-';
        buf_printf(buf, " %s %s\n", is_option ? "-l" : is_letter ? "-s" : "-a", word + (is_option ? 2 : is_letter));
    }
    for (size_t t = 0; t < COMPLETION_TABLES && command->tables[t]; t++) {
        for (size_t f = 0; f < command->tables[t]->count; f++) {
            const struct field *field = &command->tables[t]->fields[f];
            if (!(field->flags & (FIELD_READONLY | FIELD_INTERNAL | FIELD_IGNORED)))
                put_fish_option(program->name, command, field, buf);
        }
    }
    if (command->has_hosts) {
        put_fish_place(program->name, command, buf);
        buf_puts(buf, " -a '(__fish_print_hostnames)'\n");
    }
}

static void put_fish(const struct completion_program *program, struct buf *buf)
{
    buf_printf(buf, "# fish completion of %s, made by: %s completion fish\ncomplete -c %s -f -l help\n", program->name,
               program->name, program->name);
    for (size_t i = 0; i < program->count; i++)
        put_fish_command(program, &program->commands[i], buf);
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

bool completion_write(const struct completion_program *program, const char *shell, struct buf *buf)
{
    if (str_equal(shell, "bash"))
        put_bash(program, buf);
    else if (str_equal(shell, "fish"))
        put_fish(program, buf);
    else
        return false;
    return true;
}

int completion_print(const struct completion_program *program, const char *shell)
{
    struct buf text;
    buf_init(&text, SCRIPT_BYTES);
    bool is_known = completion_write(program, shell, &text);
    if (is_known)
        (void)fputs(buf_str(&text), stdout);
    else
        (void)fprintf(stderr, "%s: completion is for bash or fish\n", program->name);
    buf_done(&text);
    return is_known ? 0 : 2;
}
