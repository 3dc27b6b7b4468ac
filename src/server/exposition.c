#include "server/exposition.h"

#include <stdio.h>
#include <string.h>

bool exposition_wants_open(const char *accept)
{
    return accept && strstr(accept, "application/openmetrics-text");
}

const char *exposition_type(const struct exposition *to)
{
    return to->is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8";
}

void exposition_family(struct exposition *to, const char *name, const char *type, const char *help)
{
    static const char total[] = "_total";
    size_t length = strlen(name), tail = sizeof total - 1;
    if (to->is_open && length > tail && strcmp(name + length - tail, total) == 0)
        length -= tail;
    buf_printf(to->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)length, name, help, (int)length, name, type);
}

void exposition_value(struct exposition *to, const char *name, const char *labels, double value)
{
    buf_printf(to->out, "%s%s %.15g\n", name, labels, value);
}

void exposition_times(struct exposition *to, const char *name, const char *label, const struct tally_times *times)
{
    const char *joint = *label ? "," : "";
    uint64_t below = 0;
    for (unsigned i = 0; i <= TALLY_BUCKETS; i++) {
        char bound[32];
        /* OpenMetrics wants a point in them: 1.0 */
        (void)snprintf(bound, sizeof bound, tally_bounds[i % TALLY_BUCKETS] >= 1 ? "%.1f" : "%g",
                       tally_bounds[i % TALLY_BUCKETS]);
        below += times->buckets[i];
        buf_printf(to->out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, joint, i < TALLY_BUCKETS ? bound : "+Inf",
                   (unsigned long long)below);
    }
    const char *open = *label ? "{" : "", *close = *label ? "}" : "";
    buf_printf(to->out, "%s_sum%s%s%s %.15g\n", name, open, label, close, (double)times->sum_us / 1e6);
    buf_printf(to->out, "%s_count%s%s%s %llu\n", name, open, label, close, (unsigned long long)times->count);
}

void exposition_end(struct exposition *to)
{
    if (to->is_open)
        buf_puts(to->out, "# EOF\n");
}
