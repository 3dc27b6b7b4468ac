#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

static enum log_level threshold = LOG_LEVEL_INFO;
static bool is_journal;

void log_open(enum log_level level)
{
    threshold = level;
    is_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    if (level > threshold)
        return;
    static const int syslog_level[] = {3, 4, 6, 7};
    char line[1200];
    int n;
    if (is_journal) {
        n = snprintf(line, sizeof line, "<%d>%s: ", syslog_level[level], area);
    } else {
        char stamp[CLOCK_ISO_BYTES];
        clock_iso(clock_wall_ns(&clock_real) / CLOCK_S, stamp, sizeof stamp);
        n = snprintf(line, sizeof line, "%s %-7s %s: ", stamp, log_level_names[level], area);
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    }
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere left to say it */
}
