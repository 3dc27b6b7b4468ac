/*
 * The log of a program: one line per event on standard error. Only programs call it; library layers return errors.
 *
 * A line is `2026-11-21T02:30:00Z LEVEL area: text`; when standard error is the service manager's journal the time
 * is left out and the level becomes a `<n>` prefix. Secrets never go here.
 */
#ifndef OCULI_BASE_LOG_H
#define OCULI_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern const char *const log_level_names[]; /* "error", "warning", "info", "debug", NULL */

void log_open(enum log_level level);
void log_write(enum log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_write(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_write(LOG_LEVEL_WARNING, area, __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_LEVEL_DEBUG, area, __VA_ARGS__)

#endif
