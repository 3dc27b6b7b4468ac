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

void show_figure(double value, struct buf *buf)
{
    if (isnan(value))
        buf_printf(buf, " %9s", "-");
    else
        buf_printf(buf, " %9.3f", value);
}

void show_percent(double value, struct buf *buf)
{
    if (isnan(value))
        buf_printf(buf, " %7s", "-");
    else
        buf_printf(buf, " %6.1f%%", value);
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
    buf_printf(buf, "%-8s %5d %8d", "stream", count_of(oculi->sent), count_of(oculi->received));
    show_percent(network->loss, buf);
    show_figure(network->min_latency, buf);
    show_figure(network->avg_latency, buf);
    show_figure(network->max_latency, buf);
    show_figure(network->jitter, buf);
    buf_puts(buf, "\n");
    if (count_of(oculi->duplicates) || count_of(oculi->reordered))
        buf_printf(buf, "         %d duplicates, %d out of order\n", count_of(oculi->duplicates),
                   count_of(oculi->reordered));
    if (oculi->probe_mode != MEASURE_PROBE_ICMP && oculi->probe_mode_reason)
        buf_printf(buf, "         %s probes: %s\n", oculi->probe_mode == MEASURE_PROBE_SACK ? "SACK" : "SYN",
                   oculi->probe_mode_reason);
    if (count_of(oculi->lost_on_return))
        buf_printf(buf, "         %d came to the target and were lost on the way back\n", count_of(oculi->lost_on_return));
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
    const char *name, *network, *location;
    uint32_t flows;      /* bits: the traces that saw it, the first one is bit 1 */
    int32_t sent, received;
    double rtt_sum_us;
    const char *mpls, *tunnel, *icmp, *nat;
    int32_t reply_ttl, quoted_ttl;
    bool is_target;
};

#define ROWS_MAX (LIMIT_PATH_TRACES + 1)
#define NAME_BYTES 400
#define FLOWS_BYTES 64
#define ADDRESS_WIDTH_MIN 15u
#define ADDRESS_WIDTH_MAX 60u

_Static_assert(LIMIT_PATH_TRACES < 31, "a set of traces fits its bits");

static struct row *row_of(struct row *rows, size_t *count, const char *address)
{
    for (size_t i = 0; i < *count; i++) {
        if (str_equal(rows[i].address, address))
            return &rows[i];
    }
    if (*count == ROWS_MAX)
        return NULL;
    rows[*count] = (struct row){.address = address, .reply_ttl = FIELD_NO_I32, .quoted_ttl = FIELD_NO_I32};
    return &rows[(*count)++];
}

static void collect_hop(const struct measure_route *route, int32_t at, struct row *rows, size_t *count)
{
    const struct measure_hop *hops = route->hops.items;
    uint32_t flow = 1u << (route->oculi.flow & 31);
    for (size_t i = 0; i < route->hops.count; i++) {
        struct row *row = hops[i].hop == at ? row_of(rows, count, hops[i].ip_address) : NULL;
        if (!row)
            continue;
        row->flows |= flow;
        row->name = hops[i].rdns;
        row->network = hops[i].network;
        row->location = hops[i].location;
        row->sent += hops[i].oculi.sent;
        row->received += hops[i].oculi.received;
        row->rtt_sum_us += hops[i].oculi.response_time_us * hops[i].oculi.received;
        row->mpls = hops[i].mpls ? hops[i].mpls : row->mpls;
        row->tunnel = hops[i].oculi.tunnel ? hops[i].oculi.tunnel : row->tunnel;
        row->icmp = hops[i].oculi.icmp ? hops[i].oculi.icmp : hops[i].oculi.tcp;
        row->nat = hops[i].hop == route->oculi.nat_hop ? hops[i].oculi.rewritten : row->nat;
        row->reply_ttl = hops[i].oculi.reply_ttl;
        row->quoted_ttl = hops[i].oculi.quoted_ttl;
        row->is_target |= route->oculi.end == MEASURE_END_REACHED && i + 1 == route->hops.count;
    }
    const struct measure_silent_hop *silent = route->oculi.silent_hops.items;
    for (size_t i = 0; i < route->oculi.silent_hops.count; i++) {
        struct row *row = silent[i].hop == at ? row_of(rows, count, NULL) : NULL;
        if (!row)
            continue;
        row->flows |= flow;
        row->sent += silent[i].sent;
    }
}

static size_t collect(const struct measure_path_vis *paths, int32_t hop, struct row rows[static ROWS_MAX])
{
    const struct measure_route *routes = paths->path_traces.items;
    size_t count = 0;
    for (size_t i = 0; i < paths->path_traces.count; i++)
        collect_hop(&routes[i], hop, rows, &count);
    return count;
}

const char *show_flows(uint32_t flows, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = 0;
    for (unsigned i = 1; i < 32 && used < size; i++) {
        unsigned last = i;
        if (!(flows >> i & 1))
            continue;
        while (last + 1 < 32 && flows >> (last + 1) & 1)
            last++;
        const char *format = last > i + 1 ? "%s%u-%u" : last > i ? "%s%u,%u" : "%s%u";
        used += (size_t)snprintf(buf + used, size - used, format, used ? "," : "", i, last);
        i = last;
    }
    return buf;
}

static size_t name_of(const struct row *row, char text[static NAME_BYTES])
{
    int length;
    if (row->name && row->address && !str_equal(row->name, row->address))
        length = snprintf(text, NAME_BYTES, "%s (%s)", row->name, row->address);
    else
        length = snprintf(text, NAME_BYTES, "%s", row->address ? row->address : "(silent)");
    return length < 0 ? 0 : (size_t)length;
}

static unsigned address_width(const struct measure_path_vis *paths)
{
    size_t width = ADDRESS_WIDTH_MIN;
    for (int32_t hop = 1; hop <= (int32_t)LIMIT_HOPS; hop++) {
        struct row rows[ROWS_MAX];
        size_t count = collect(paths, hop, rows);
        for (size_t i = 0; i < count; i++) {
            char text[NAME_BYTES];
            size_t length = name_of(&rows[i], text);
            width = length > width ? length : width;
        }
    }
    return (unsigned)(width < ADDRESS_WIDTH_MAX ? width : ADDRESS_WIDTH_MAX);
}

static void show_number(int32_t value, struct buf *buf)
{
    if (value == FIELD_NO_I32)
        buf_printf(buf, " %5s", "-");
    else
        buf_printf(buf, " %5d", value);
}

static void show_row(int32_t hop, bool is_first, const struct row *row, unsigned width, bool is_verbose,
                     struct buf *buf)
{
    char place[16] = "", name[NAME_BYTES], flows[FLOWS_BYTES];
    if (is_first)
        snprintf(place, sizeof place, "%d", hop);
    (void)name_of(row, name);
    buf_printf(buf, "%3s  %-*s  %-7s", place, (int)width, name, show_flows(row->flows, flows, sizeof flows));
    buf_printf(buf, " %5d %8d", row->sent, row->received);
    show_percent(row->sent ? 100.0 * (row->sent - row->received) / row->sent : (double)NAN, buf);
    show_figure(row->received ? row->rtt_sum_us / row->received / 1e3 : (double)NAN, buf);
    if (is_verbose) {
        buf_printf(buf, " %6s", row->icmp ? row->icmp : "-");
        show_number(row->quoted_ttl, buf);
        show_number(row->reply_ttl, buf);
    }
    if (row->is_target)
        buf_puts(buf, "  target");
    if (row->mpls)
        buf_printf(buf, "  MPLS %s", row->mpls);
    if (row->tunnel && !(row->mpls && str_starts(row->tunnel, "Hop "))) /* labels say so themselves */
        buf_printf(buf, "  %s", row->tunnel);
    if (row->nat)
        buf_printf(buf, "  NAT here or just before: %s rewritten", row->nat);
    if (row->network || row->location)
        buf_printf(buf, "  %s%s%s", row->network ? row->network : "", row->network && row->location ? ", " : "",
                   row->location ? row->location : "");
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

void show_ends(const struct measure_path_vis *paths, struct buf *buf)
{
    const struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count; i++) {
        uint32_t flows = 0;
        bool is_told = false;
        for (size_t j = 0; j < paths->path_traces.count; j++) {
            bool is_same = is_same_way(&routes[i], &routes[j]);
            flows |= is_same ? 1u << (routes[j].oculi.flow & 31) : 0;
            is_told |= is_same && j < i;
        }
        if (is_told)
            continue;
        char text[FLOWS_BYTES];
        show_end(&routes[i], buf);
        bool is_one = (flows & (flows - 1)) == 0;
        buf_printf(buf, " (%s %s)\n", is_one ? "trace" : "traces", show_flows(flows, text, sizeof text));
    }
}

static bool is_same_tunnel(const struct measure_tunnel *a, const struct measure_tunnel *b)
{
    return a->kind == b->kind && a->confidence == b->confidence && a->first_hop == b->first_hop &&
           a->last_hop == b->last_hop && str_equal(a->evidence, b->evidence);
}

static const struct measure_tunnel *find_tunnel(const struct measure_route *route, const struct measure_tunnel *like)
{
    const struct measure_tunnel *tunnels = route->oculi.tunnels.items;
    for (size_t i = 0; i < route->oculi.tunnels.count; i++) {
        if (is_same_tunnel(&tunnels[i], like))
            return &tunnels[i];
    }
    return NULL;
}

static void show_tunnel(const struct measure_tunnel *tunnel, uint32_t flows, struct buf *buf)
{
    char text[FLOWS_BYTES];
    const char *const *revealed = tunnel->revealed.items;
    bool is_hiding = tunnel->kind == MEASURE_TUNNEL_OPAQUE || tunnel->kind == MEASURE_TUNNEL_INVISIBLE;
    buf_printf(buf, "%s MPLS tunnel %s hop", measure_tunnel_kind_words[tunnel->kind], is_hiding ? "before" : "at");
    if (tunnel->first_hop == tunnel->last_hop)
        buf_printf(buf, " %d", tunnel->first_hop);
    else
        buf_printf(buf, "s %d-%d", tunnel->first_hop, tunnel->last_hop);
    buf_printf(buf, ", %s%d %s%s, %s (%s %s): %s\n", tunnel->is_length_exact ? "" : "about ", tunnel->length,
               is_hiding ? "hidden router" : "router", tunnel->length == 1 ? "" : "s",
               measure_tunnel_confidence_words[tunnel->confidence], (flows & (flows - 1)) == 0 ? "trace" : "traces",
               show_flows(flows, text, sizeof text), tunnel->evidence);
    for (size_t i = 0; i < tunnel->revealed.count; i++)
        buf_printf(buf, "    %s\n", revealed[i][0] ? revealed[i] : "(silent)");
}

void show_tunnels(const struct measure_path_vis *paths, struct buf *buf)
{
    const struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; i < paths->path_traces.count; i++) {
        const struct measure_tunnel *tunnels = routes[i].oculi.tunnels.items;
        for (size_t k = 0; k < routes[i].oculi.tunnels.count; k++) {
            uint32_t flows = 0;
            bool is_told = false;
            for (size_t j = 0; j < paths->path_traces.count; j++) {
                bool is_same = find_tunnel(&routes[j], &tunnels[k]) != NULL;
                flows |= is_same ? 1u << (routes[j].oculi.flow & 31) : 0;
                is_told |= is_same && j < i;
            }
            if (!is_told)
                show_tunnel(&tunnels[k], flows, buf);
        }
    }
}

void show_paths(const struct measure_path_vis *paths, bool is_verbose, struct buf *buf)
{
    unsigned width = address_width(paths);
    if (paths->path_traces.count == 0)
        return;
    buf_printf(buf, "%3s  %-*s  %-7s %5s %8s %7s %9s%s\n", "hop", (int)width, "address", "traces", "sent", "received",
               "loss", "avg ms", is_verbose ? "   icmp q-ttl r-ttl" : "");
    for (int32_t hop = 1; hop <= (int32_t)LIMIT_HOPS; hop++) {
        struct row rows[ROWS_MAX];
        size_t count = collect(paths, hop, rows);
        for (size_t i = 0; i < count; i++)
            show_row(hop, i == 0, &rows[i], width, is_verbose, buf);
    }
    buf_puts(buf, "\n");
    show_ends(paths, buf);
}

static void show_path_vis(const struct measure_path_vis *paths, struct buf *buf)
{
    if (paths->path_traces.count)
        buf_putc(buf, '\n');
    show_paths(paths, false, buf);
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
