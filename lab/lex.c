#include "lab/lex.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

void lab_lex_init(struct lab_lex *lex, const char *file, const char *text, size_t size)
{
    *lex = (struct lab_lex){.file = file, .text = text, .end = text + size, .line = 1, .statement_line = 1};
}

int lab_lex_fail(const struct lab_lex *lex, struct error *err, enum error_code code, const char *format, ...)
{
    char where[160];
    (void)snprintf(where, sizeof where, "%.140s:%u", lex->file, lex->statement_line);
    va_list args;
    va_start(args, format);
    int rc = error_vset(err, code, where, format, args);
    va_end(args);
    return rc;
}

static bool is_joined(const struct lab_lex *lex)
{
    const char *p = lex->text;
    if (p == lex->end || *p != '\\')
        return false;
    p++;
    if (p < lex->end && *p == '\r')
        p++;
    return p < lex->end && *p == '\n';
}

static void skip_blanks(struct lab_lex *lex)
{
    for (; lex->text < lex->end; lex->text++) {
        if (is_joined(lex)) {
            lex->text = memchr(lex->text, '\n', (size_t)(lex->end - lex->text));
            lex->line++;
        } else if (*lex->text == '#') {
            const char *eol = memchr(lex->text, '\n', (size_t)(lex->end - lex->text));
            lex->text = eol ? eol : lex->end;
            return;
        } else if (*lex->text != ' ' && *lex->text != '\t' && *lex->text != '\r') {
            return;
        }
    }
}

/* One word, quoted or bare. */
static int read_word(struct lab_lex *lex, struct arena *arena, struct error *err)
{
    bool is_quoted = *lex->text == '"';
    const char *begin = is_quoted ? ++lex->text : lex->text;
    while (lex->text < lex->end && *lex->text != '\n' &&
           (is_quoted ? *lex->text != '"' : !strchr(" \t\r;{}#\"", *lex->text)) && !(!is_quoted && is_joined(lex))) {
        unsigned char c = (unsigned char)*lex->text++;
        if (c < 0x20 || c == 0x7f)
            return lab_lex_fail(lex, err, E_INVALID, "a control character (code %u)", c);
    }
    size_t size = (size_t)(lex->text - begin);
    if (is_quoted && (lex->text == lex->end || *lex->text++ != '"'))
        return lab_lex_fail(lex, err, E_INVALID, "a quote is not closed on this line");
    if (!str_is_utf8(begin, size))
        return lab_lex_fail(lex, err, E_INVALID, "not UTF-8");
    if (lex->count == LAB_LEX_WORDS)
        return lab_lex_fail(lex, err, E_LIMIT, "more than %u words in one statement", LAB_LEX_WORDS);
    const char *word = arena_strndup(arena, begin, size);
    if (!word)
        return lab_lex_fail(lex, err, E_LIMIT, "the scenario is too large");
    lex->words[lex->count++] = word;
    return 0;
}

int lab_lex_next(struct lab_lex *lex, struct arena *arena, struct error *err)
{
    lex->count = lex->at = 0;
    for (;;) {
        if (lex->count == 0)
            lex->statement_line = lex->line;
        skip_blanks(lex);
        if (lex->count == 0)
            lex->statement_line = lex->line;
        if (lex->text == lex->end) {
            lex->terminator = 0;
            return 0;
        }
        char c = *lex->text;
        if (c == '\n' || c == ';' || c == '{' || c == '}') {
            /* A '}' ends the statement before it, and is a statement of its own after that. */
            if (c == '}' && lex->count > 0) {
                lex->terminator = '\n';
                return 0;
            }
            lex->text++;
            if (c == '\n')
                lex->line++;
            lex->terminator = c == ';' ? '\n' : c;
            if (lex->count > 0 || lex->terminator != '\n')
                return 0;
            continue;
        }
        int rc = read_word(lex, arena, err);
        if (rc < 0)
            return rc;
    }
}

const char *lab_lex_peek(const struct lab_lex *lex)
{
    return lex->at < lex->count ? lex->words[lex->at] : NULL;
}

const char *lab_lex_word(struct lab_lex *lex)
{
    return lex->at < lex->count ? lex->words[lex->at++] : NULL;
}

bool lab_lex_take(struct lab_lex *lex, const char *word)
{
    const char *next = lab_lex_peek(lex);
    if (!next || strcmp(next, word) != 0)
        return false;
    lex->at++;
    return true;
}

/* --- values --------------------------------------------------------------------------------------------------------- */

/* The number at the beginning of the next word and the unit after it. */
static int number_and_unit(struct lab_lex *lex, const char *what, const char *example, double *ret_value,
                           const char **ret_unit, struct error *err)
{
    const char *word = lab_lex_word(lex);
    if (!word)
        return lab_lex_fail(lex, err, E_REQUIRED, "%s needs a value such as %s", what, example);
    size_t digits = strspn(word, "+-0123456789.");
    char number[40];
    if (digits == 0 || digits >= sizeof number)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a value such as %s", what, word, example);
    memcpy(number, word, digits);
    number[digits] = '\0';
    double value;
    if (str_to_f64(number[0] == '+' ? number + 1 : number, &value) < 0 || value < 0)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a value such as %s", what, word, example);
    *ret_value = value;
    *ret_unit = word + digits;
    return 0;
}

int lab_lex_duration(struct lab_lex *lex, const char *what, int64_t *ret_ns, struct error *err)
{
    static const struct {
        const char *word;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
    const char *unit, *word = lab_lex_peek(lex);
    double value;
    int rc = number_and_unit(lex, what, "5ms", &value, &unit, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].word) != 0 && !(value <= 0 && *unit == '\0'))
            continue;
        if (value * units[i].ns > 3650 * 86400e9)
            return lab_lex_fail(lex, err, E_RANGE, "%s: '%s' is longer than ten years", what, word);
        *ret_ns = llround(value * units[i].ns);
        return 0;
    }
    return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' has no unit ns, us, ms, s, m, h or d", what, word);
}

int lab_lex_share(struct lab_lex *lex, const char *what, double *ret_share, struct error *err)
{
    const char *unit, *word = lab_lex_peek(lex);
    double value;
    int rc = number_and_unit(lex, what, "2.5%", &value, &unit, err);
    if (rc < 0)
        return rc;
    if (strcmp(unit, "%") != 0)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a percentage such as 2.5%%", what, word);
    if (value > 100)
        return lab_lex_fail(lex, err, E_RANGE, "%s: %s is more than 100%%", what, word);
    *ret_share = value / 100;
    return 0;
}

int lab_lex_number(struct lab_lex *lex, const char *what, double min, double max, double *ret_value,
                   struct error *err)
{
    const char *word = lab_lex_word(lex);
    double value;
    if (!word)
        return lab_lex_fail(lex, err, E_REQUIRED, "%s needs a number", what);
    if (str_to_f64(word, &value) < 0)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a number", what, word);
    if (value < min || value > max)
        return lab_lex_fail(lex, err, E_RANGE, "%s: %s is not between %g and %g", what, word, min, max);
    *ret_value = value;
    return 0;
}

int lab_lex_count(struct lab_lex *lex, const char *what, int64_t min, int64_t max, int64_t *ret_value,
                  struct error *err)
{
    const char *word = lab_lex_word(lex);
    if (!word)
        return lab_lex_fail(lex, err, E_REQUIRED, "%s needs a number", what);
    int rc = str_to_i64(word, min, max, ret_value);
    if (rc == -E_RANGE)
        return lab_lex_fail(lex, err, E_RANGE, "%s: %s is not between %lld and %lld", what, word, (long long)min,
                            (long long)max);
    return rc < 0 ? lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a whole number", what, word) : 0;
}

int lab_lex_per_second(struct lab_lex *lex, const char *what, double *ret_rate, struct error *err)
{
    const char *unit, *word = lab_lex_peek(lex);
    double value;
    int rc = number_and_unit(lex, what, "10/s", &value, &unit, err);
    if (rc < 0)
        return rc;
    if (strcmp(unit, "/s") != 0)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' is not a rate such as 10/s", what, word);
    if (value < 0.001 || value > 1e6)
        return lab_lex_fail(lex, err, E_RANGE, "%s: %s is not between 0.001/s and 1000000/s", what, word);
    *ret_rate = value;
    return 0;
}

int lab_lex_bit_rate(struct lab_lex *lex, const char *what, uint64_t *ret_bps, struct error *err)
{
    static const char *const units[] = {"kbit", "mbit", "gbit", NULL};
    const char *unit, *word = lab_lex_peek(lex);
    double value;
    int rc = number_and_unit(lex, what, "10mbit", &value, &unit, err);
    if (rc < 0)
        return rc;
    int i = str_index(unit, units);
    if (i < 0)
        return lab_lex_fail(lex, err, E_TYPE, "%s: '%s' has no unit kbit, mbit or gbit", what, word);
    double bps = value * (i == 0 ? 1e3 : i == 1 ? 1e6 : 1e9);
    if (bps < 1000 || bps > 1e12)
        return lab_lex_fail(lex, err, E_RANGE, "%s: %s is not between 1kbit and 1000gbit", what, word);
    *ret_bps = (uint64_t)bps;
    return 0;
}
