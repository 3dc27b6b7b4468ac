#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define MESSAGE_BYTES 1200u

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

static enum log_level threshold = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;
static const char *program_name = "";
static bool is_journal;

/* The variable stays when somebody sends standard error elsewhere: it names the journal's descriptor. */
static bool finds_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    uintmax_t device = 0, inode = 0;
    struct stat st;
    return text && sscanf(text, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program, enum log_level level, enum log_format format)
{
    program_name = program;
    threshold = level;
    line_format = format;
    is_journal = finds_journal();
}

/* A line being made; what does not fit any more is left out, and size then is where it stood before. */
struct line {
    char text[LOG_LINE_BYTES];
    size_t size;
    bool is_full;
};

static void put(struct line *line, const char *bytes, size_t size)
{
    if (line->is_full || size > sizeof line->text - 3 - line->size) { /* room for "}\n" stays */
        line->is_full = true;
        return;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Bytes from s on that are one character of UTF-8; 0 = none is. */
static size_t character(const char *s)
{
    unsigned char first = (unsigned char)*s;
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return strnlen(s, size) == size && str_is_utf8(s, size) ? size : 0;
}

static void put_string(struct line *line, const char *text)
{
    put_text(line, "\"");
    while (*text) {
        size_t size = character(text);
        char escape[8];
        if (size == 0) {
            put_text(line, "\\ufffd");
        } else if (size == 1 && (*text == '"' || *text == '\\')) {
            (void)snprintf(escape, sizeof escape, "\\%c", *text);
            put_text(line, escape);
        } else if (size == 1 && ((unsigned char)*text < ' ' || *text == 0x7f)) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*text);
            put_text(line, escape);
        } else {
            put(line, text, size);
        }
        text += size ? size : 1;
    }
    put_text(line, "\"");
}

/* A fact is there whole or not at all. */
static void put_fact(struct line *line, const struct log_fact *fact)
{
    size_t before = line->size;
    char number[32];
    put_text(line, before > 0 && line->text[before - 1] == '{' ? "\"" : ",\"");
    put_text(line, fact->name);
    put_text(line, "\":");
    (void)snprintf(number, sizeof number, "%" PRId64, fact->number);
    if (fact->text)
        put_string(line, fact->text);
    else
        put_text(line, number);
    if (line->is_full)
        line->size = before;
    line->is_full = false;
}

static void make_json(struct line *line, enum log_level level, const char *area, const struct log_fact *facts,
                      size_t count, const char *message)
{
    int64_t now_ns = clock_wall_ns(&clock_real);
    char stamp[CLOCK_ISO_BYTES], time[CLOCK_ISO_BYTES + 16];
    clock_iso(now_ns / CLOCK_S, stamp, sizeof stamp);
    stamp[strcspn(stamp, "Z")] = 0;
    (void)snprintf(time, sizeof time, "%s.%06dZ", stamp, (int)(now_ns % CLOCK_S / CLOCK_US));
    put_text(line, "{");
    put_fact(line, &(struct log_fact){.name = "time", .text = time});
    put_fact(line, &(struct log_fact){.name = "level", .text = log_level_names[level]});
    put_fact(line, &(struct log_fact){.name = "program", .text = program_name});
    put_fact(line, &(struct log_fact){.name = "pid", .number = getpid()});
    put_fact(line, &(struct log_fact){.name = "area", .text = area});
    put_fact(line, &(struct log_fact){.name = "message", .text = message});
    for (size_t i = 0; i < count; i++)
        put_fact(line, &facts[i]);
    put_text(line, "}");
}

static void make_text(struct line *line, enum log_level level, const char *area, const char *message)
{
    char head[128], stamp[CLOCK_ISO_BYTES];
    clock_iso(clock_wall_ns(&clock_real) / CLOCK_S, stamp, sizeof stamp);
    if (is_journal)
        (void)snprintf(head, sizeof head, "%s: ", area);
    else
        (void)snprintf(head, sizeof head, "%s %-7s %s: ", stamp, log_level_names[level], area);
    put_text(line, head);
    size_t from = line->size;
    put_text(line, message);
    for (size_t i = from; i < line->size; i++) {
        if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
            line->text[i] = ' ';
    }
}

static void write_line(enum log_level level, const char *area, const struct log_fact *facts, size_t count,
                       const char *format, va_list args)
{
    static const int syslog_level[] = {3, 4, 6, 7};
    struct line line = {.size = 0};
    char message[MESSAGE_BYTES], prefix[8];
    (void)vsnprintf(message, sizeof message, format, args);
    if (is_journal) {
        (void)snprintf(prefix, sizeof prefix, "<%d>", syslog_level[level]);
        put_text(&line, prefix);
    }
    if (line_format == LOG_FORMAT_JSON)
        make_json(&line, level, area, facts, count, message);
    else
        make_text(&line, level, area, message);
    line.text[line.size++] = '\n';
    if (write(STDERR_FILENO, line.text, line.size) < 0)
        return; /* nowhere left to say it */
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    va_list args;
    if (level > threshold)
        return;
    va_start(args, format);
    write_line(level, area, NULL, 0, format, args);
    va_end(args);
}

void log_write_facts(enum log_level level, const char *area, const struct log_fact *facts, size_t count,
                     const char *format, ...)
{
    va_list args;
    if (level > threshold)
        return;
    va_start(args, format);
    write_line(level, area, facts, count, format, args);
    va_end(args);
}
