#include "cli/show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/str.h"
#include "measure/part.h"
#include "wire/json.h"

/* --- network ------------------------------------------------------------------------------------------------------ */

static void put_figure(struct buf *buf, double value)
{
    if (isnan(value))
        buf_printf(buf, " %9s", "-");
    else
        buf_printf(buf, " %9.3f", value);
}

static int32_t count_of(int32_t value)
{
    return value == FIELD_NO_I32 ? 0 : value;
}

static void show_network(const struct measure_network *network, struct buf *buf)
{
    const struct measure_network_oculi *oculi = &network->oculi;
    buf_printf(buf, "%s", network->server ? network->server : "");
    if (network->server_ip && !str_equal(network->server, network->server_ip))
        buf_printf(buf, " (%s)", network->server_ip);
    buf_printf(buf, "\n\n%-8s %5s %8s %7s %9s %9s %9s %9s\n", "", "sent", "received", "loss", "min ms", "avg ms",
               "max ms", "jitter ms");
    buf_printf(buf, "%-8s %5d %8d ", "stream", count_of(oculi->sent), count_of(oculi->received));
    if (isnan(network->loss))
        buf_printf(buf, "%7s", "-");
    else
        buf_printf(buf, "%6.1f%%", network->loss);
    put_figure(buf, network->min_latency);
    put_figure(buf, network->avg_latency);
    put_figure(buf, network->max_latency);
    put_figure(buf, network->jitter);
    buf_puts(buf, "\n");
    if (count_of(oculi->duplicates) || count_of(oculi->reordered))
        buf_printf(buf, "         %d duplicates, %d out of order\n", count_of(oculi->duplicates),
                   count_of(oculi->reordered));
    if (oculi->icmp)
        buf_printf(buf, "         %d probes answered by an error: ICMP %s from %s\n", count_of(oculi->icmp_errors),
                   oculi->icmp, oculi->icmp_from);
    if (oculi->is_overloaded)
        buf_puts(buf, "         this machine dropped packets itself; what it may have lost is not counted\n");
    if (oculi->is_partial)
        buf_puts(buf, "         ended early\n");
    if (network->error_details)
        buf_printf(buf, "         %s\n", network->error_details);
}

/* --- pathVis ------------------------------------------------------------------------------------------------------ */

/* One address at one distance, over all traces. */
struct row {
    const char *address; /* NULL = silent */
    unsigned traces;
    int32_t sent, received;
    double rtt_sum_us;
    const char *mpls;
    bool is_target;
};

#define ROWS_MAX (LIMIT_PATH_TRACES + 1)

static struct row *row_of(struct row *rows, size_t *count, const char *address)
{
    for (size_t i = 0; i < *count; i++) {
        if (str_equal(rows[i].address, address))
            return &rows[i];
    }
    if (*count == ROWS_MAX)
        return NULL;
    rows[*count] = (struct row){.address = address};
    return &rows[(*count)++];
}

static void collect_hop(const struct measure_route *route, int32_t at, struct row *rows, size_t *count)
{
    const struct measure_hop *hops = route->hops.items;
    for (size_t i = 0; i < route->hops.count; i++) {
        struct row *row = hops[i].hop == at ? row_of(rows, count, hops[i].ip_address) : NULL;
        if (!row)
            continue;
        row->traces++;
        row->sent += hops[i].oculi.sent;
        row->received += hops[i].oculi.received;
        row->rtt_sum_us += hops[i].oculi.response_time_us * hops[i].oculi.received;
        row->mpls = hops[i].mpls ? hops[i].mpls : row->mpls;
        row->is_target |= route->oculi.end == MEASURE_END_REACHED && i + 1 == route->hops.count;
    }
    const struct measure_silent_hop *silent = route->oculi.silent_hops.items;
    for (size_t i = 0; i < route->oculi.silent_hops.count; i++) {
        struct row *row = silent[i].hop == at ? row_of(rows, count, NULL) : NULL;
        if (!row)
            continue;
        row->traces++;
        row->sent += silent[i].sent;
    }
}

static void show_row(int32_t hop, bool is_first, const struct row *row, size_t traces, struct buf *buf)
{
    char place[16] = "";
    if (is_first)
        snprintf(place, sizeof place, "%d", hop);
    buf_printf(buf, "%3s  %-39s %3u/%-3zu", place, row->address ? row->address : "(silent)", row->traces, traces);
    buf_printf(buf, " %5d %8d", row->sent, row->received);
    if (row->received > 0)
        buf_printf(buf, " %9.3f", row->rtt_sum_us / row->received / 1e3);
    else
        buf_printf(buf, " %9s", "-");
    if (row->is_target)
        buf_puts(buf, "  target");
    if (row->mpls)
        buf_printf(buf, "  MPLS %s", row->mpls);
    buf_puts(buf, "\n");
}

static void show_end(const struct measure_route *route, struct buf *buf)
{
    const char *address = route->ip_address;
    const struct measure_hop *hops = route->hops.items;
    const char *icmp = route->hops.count ? hops[route->hops.count - 1].oculi.icmp : NULL;
    int32_t hop = count_of(route->number_of_hops);
    if (!address) {
        buf_puts(buf, "nobody answered");
        return;
    }
    switch ((enum measure_path_end)route->oculi.end) {
    case MEASURE_END_REACHED:
        buf_printf(buf, "reached the target in %d %s", hop, hop == 1 ? "hop" : "hops");
        break;
    case MEASURE_END_SILENT:
        buf_printf(buf, "silent after hop %d, %s", hop, address);
        break;
    case MEASURE_END_UNREACHABLE:
        buf_printf(buf, "unreachable, says hop %d, %s (ICMP %s)", hop, address, icmp);
        break;
    case MEASURE_END_PROHIBITED:
        buf_printf(buf, "prohibited, says hop %d, %s (ICMP %s)", hop, address, icmp);
        break;
    case MEASURE_END_RESET:
        buf_printf(buf, "reset by hop %d, %s", hop, address);
        break;
    case MEASURE_END_LOOP:
        buf_printf(buf, "in a loop: hop %d, %s, came before", hop, address);
        break;
    }
}

static bool is_same_way(const struct measure_route *a, const struct measure_route *b)
{
    return a->path_id == b->path_id && a->oculi.end == b->oculi.end;
}

/* Traces that took the same way to the same end share a line. */
static void show_ends(const struct measure_path_vis *paths, struct buf *buf)
{
    const struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count; i++) {
        bool is_told = false;
        for (size_t j = 0; j < i; j++)
            is_told |= is_same_way(&routes[i], &routes[j]);
        if (is_told)
            continue;
        buf_printf(buf, "path %llu: ", (unsigned long long)routes[i].path_id);
        show_end(&routes[i], buf);
        unsigned count = 0;
        for (size_t j = i; j < paths->path_traces.count; j++)
            count += is_same_way(&routes[i], &routes[j]);
        const char *before = count > 1 ? " (traces " : " (trace ";
        for (size_t j = i; j < paths->path_traces.count; j++) {
            if (!is_same_way(&routes[i], &routes[j]))
                continue;
            buf_printf(buf, "%s%d", before, routes[j].oculi.flow);
            before = ", ";
        }
        buf_puts(buf, ")\n");
    }
}

static void show_path_vis(const struct measure_path_vis *paths, struct buf *buf)
{
    const struct measure_route *routes = paths->path_traces.items;
    size_t traces = paths->path_traces.count;
    if (traces == 0)
        return;
    buf_printf(buf, "\n%3s  %-39s %-7s %5s %8s %9s\n", "hop", "address", " traces", "sent", "received", "avg ms");
    for (int32_t hop = 1; hop <= (int32_t)LIMIT_HOPS; hop++) {
        struct row rows[ROWS_MAX];
        size_t count = 0;
        for (size_t i = 0; i < traces; i++)
            collect_hop(&routes[i], hop, rows, &count);
        for (size_t i = 0; i < count; i++)
            show_row(hop, i == 0, &rows[i], traces, buf);
    }
    buf_puts(buf, "\n");
    show_ends(paths, buf);
}

/* --- any part ----------------------------------------------------------------------------------------------------- */

static void show_value(const json_t *value, struct buf *buf)
{
    if (json_is_string(value))
        buf_puts(buf, json_string_value(value));
    else if (json_is_number(value))
        buf_printf(buf, "%.9g", json_number_value(value));
    else if (json_is_boolean(value))
        buf_puts(buf, json_is_true(value) ? "yes" : "no");
    else
        json_dump_to_buf(value, 0, buf);
}

static void show_figures(const struct measure_part *part, const void *record, struct buf *buf)
{
    json_t *json = field_to_json(part->table, record, NULL);
    const char *name;
    json_t *value;
    buf_printf(buf, "%s\n", part->name);
    json_object_foreach(json, name, value) {
        const struct field *field = field_find(part->table, name);
        buf_printf(buf, "  %-24s ", name);
        show_value(value, buf);
        buf_printf(buf, " %s\n", field && field->unit ? field->unit : "");
    }
    json_decref(json);
}

void show_result(const struct measure_type *type, const void *result, struct buf *buf)
{
    for (size_t i = 0; i < type->part_count; i++) {
        const struct measure_part *part = &type->parts[i];
        const void *record = (const char *)result + part->offset;
        if (part->table == &measure_network_table)
            show_network(record, buf);
        else if (part->table == &measure_path_vis_table)
            show_path_vis(record, buf);
        else
            show_figures(part, record, buf);
    }
}

/* --- the terminal ------------------------------------------------------------------------------------------------- */

void show_open(struct show_screen *screen)
{
    const char *term = getenv("TERM");
    *screen = (struct show_screen){.is_live = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0};
}

void show_draw(struct show_screen *screen, const char *text, bool is_final)
{
    struct winsize size = {0};
    if (!screen->is_live) {
        if (is_final)
            fputs(text, stdout);
        return;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2 || size.ws_col < 20)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    if (screen->lines)
        printf("\033[%uA", screen->lines);
    screen->lines = 0;
    for (const char *line = text; *line && (is_final || screen->lines + 1u < size.ws_row);) {
        size_t length = strcspn(line, "\n");
        int shown = !is_final && length >= size.ws_col ? size.ws_col - 1 : (int)length;
        printf("%.*s\033[K\n", shown, line);
        line += length + (line[length] == '\n');
        screen->lines++;
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}
