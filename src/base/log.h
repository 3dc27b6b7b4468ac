/*
 * The log of a program: one line per event on standard error. Only programs call it; library layers return errors.
 *
 * As text a line is `2026-11-21T02:30:00Z LEVEL area: text`; when standard error is the service manager's journal the
 * time is left out and the level becomes a `<n>` prefix (sd-daemon(3)). As JSON (RFC 8259) a line is one object with
 * the keys time, level, program, pid, area and message, and what an event says beyond its message as keys of its own;
 * in the journal the prefix stands before it, and the journal takes it off. Secrets never go here.
 */
#ifndef OCULI_BASE_LOG_H
#define OCULI_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

extern const char *const log_level_names[];  /* "error", "warning", "info", "debug", NULL */
extern const char *const log_format_names[]; /* "text", "json", NULL */

/* What an event says to programs that read the log as JSON, where its text says the same to people. */
struct log_fact {
    const char *name; /* a key, as it is */
    const char *text; /* NULL: the number */
    int64_t number;
};

#define LOG_LINE_BYTES 8192u /* a longer text is cut, a longer object ends with its last whole fact */

/* program appears in JSON; it stays the caller's. Before this is called, errors and warnings go out as text. */
void log_open(const char *program, enum log_level level, enum log_format format);
void log_write(enum log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* With facts that only JSON shows. */
void log_write_facts(enum log_level level, const char *area, const struct log_fact *facts, size_t count,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

#define log_error(area, ...) log_write(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_write(LOG_LEVEL_WARNING, area, __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_LEVEL_DEBUG, area, __VA_ARGS__)

#endif
