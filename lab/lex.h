/*
 * Words of the scenario language: statements end at a line end, ';', '{' or '}'; '#' begins a comment; "..." is one
 * word; a backslash at the end of a line joins it with the next. Also the spellings of its values.
 */
#ifndef OCULI_LAB_LEX_H
#define OCULI_LAB_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

#define LAB_LEX_WORDS 256u

struct lab_lex {
    const char *file; /* for errors */
    const char *text, *end;
    unsigned line;           /* of the next character */
    unsigned statement_line; /* of the statement read last */
    const char *words[LAB_LEX_WORDS];
    size_t count, at; /* words of the statement, and how many were taken */
    char terminator;  /* '\n', '{', '}' or 0 at the end */
};

void lab_lex_init(struct lab_lex *lex, const char *file, const char *text, size_t size);

/* Reads the next statement; words live in the arena. An empty statement is returned only for '{', '}' and the end. */
int lab_lex_next(struct lab_lex *lex, struct arena *arena, struct error *err);

/* The next word of the statement, or NULL; lab_lex_peek does not take it; lab_lex_take takes it if it is `word`. */
const char *lab_lex_word(struct lab_lex *lex);
const char *lab_lex_peek(const struct lab_lex *lex);
bool lab_lex_take(struct lab_lex *lex, const char *word);

/* An error at the current statement's file:line. */
int lab_lex_fail(const struct lab_lex *lex, struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Take the next word and read it as a value; `what` names it in the error. */
int lab_lex_duration(struct lab_lex *lex, const char *what, int64_t *ret_ns, struct error *err); /* "1.5ms" */
int lab_lex_share(struct lab_lex *lex, const char *what, double *ret_share, struct error *err);  /* "2.5%" */
int lab_lex_count(struct lab_lex *lex, const char *what, int64_t min, int64_t max, int64_t *ret_value,
                  struct error *err);
int lab_lex_number(struct lab_lex *lex, const char *what, double min, double max, double *ret_value,
                   struct error *err);
int lab_lex_per_second(struct lab_lex *lex, const char *what, double *ret_rate, struct error *err);  /* "10/s" */
int lab_lex_bit_rate(struct lab_lex *lex, const char *what, uint64_t *ret_bps, struct error *err);   /* "10mbit" */

#endif
