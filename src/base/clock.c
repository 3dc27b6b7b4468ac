#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * CLOCK_S + ts.tv_nsec;
}

static int64_t real_mono(const struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t real_wall(const struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_REALTIME);
}

const struct clock clock_real = {.mono_ns = real_mono, .wall_ns = real_wall};

static int64_t sim_mono(const struct clock *clock)
{
    return ((const struct clock_sim *)(const void *)clock)->mono;
}

static int64_t sim_wall(const struct clock *clock)
{
    return ((const struct clock_sim *)(const void *)clock)->wall;
}

void clock_sim_init(struct clock_sim *sim, int64_t wall_ns)
{
    *sim = (struct clock_sim){.clock = {.mono_ns = sim_mono, .wall_ns = sim_wall}, .wall = wall_ns};
}

void clock_sim_advance(struct clock_sim *sim, int64_t ns)
{
    sim->mono += ns;
    sim->wall += ns;
}

char *clock_iso(int64_t epoch_s, char *buf, size_t size)
{
    time_t t = (time_t)epoch_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buf[0] = 0;
    return buf;
}

static int parse_offset(const char *p, int *ret_offset_s)
{
    if (*p == '.') {
        p++;
        if (*p < '0' || *p > '9')
            return -E_INVALID;
        while (*p >= '0' && *p <= '9')
            p++;
    }
    if ((*p == 'Z' || *p == 'z') && p[1] == 0) {
        *ret_offset_s = 0;
        return 0;
    }
    int hours, minutes, used = 0;
    if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || p[1 + used] != 0)
        return -E_INVALID;
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return -E_INVALID;
    *ret_offset_s = (*p == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

int clock_parse_iso(const char *text, int64_t *ret_epoch_s)
{
    struct tm tm = {0};
    int used = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 || used != 10)
        return -E_INVALID;
    const char *p = text + used;
    int offset_s = 0;
    if (*p) {
        if ((*p != 'T' && *p != 't' && *p != ' ') ||
            sscanf(p + 1, "%2d:%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 3 || used != 8)
            return -E_INVALID;
        if (parse_offset(p + 1 + used, &offset_s) != 0)
            return -E_INVALID;
    }
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
        tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
        return -E_INVALID;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int day = tm.tm_mday;
    bool is_leap_second = tm.tm_sec == 60;
    int64_t epoch_s = (int64_t)timegm(&tm) - offset_s;
    if (tm.tm_mday != day && !is_leap_second)
        return -E_INVALID; /* timegm turned February 30 into a day of March */
    *ret_epoch_s = epoch_s;
    return 0;
}
