#include "cli/paths_show.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/csv.h"
#include "cli/show.h"
#include "measure/part.h"
#include "measure/paths.h"

static const struct field interface_fields[] = {
    FIELD_I32(struct paths_interface, hop, "hop", (), "Distance"),
    FIELD_STR(struct paths_interface, ip_address, "ipAddress", (), "Who answers"),
    FIELD_STR(struct paths_interface, rdns, "rdns", (), "Its name"),
    FIELD_STR(struct paths_interface, prefix, "prefix", (), "Block of addresses it is of"),
    FIELD_STR(struct paths_interface, network, "network", (), "Network it is of"),
    FIELD_STR(struct paths_interface, location, "location", (), "Place of that"),
    FIELD_BOOL(struct paths_interface, is_target, "isTarget", (.preset = "false"), "It is the target"),
    FIELD_I32(struct paths_interface, flows, "flows", (), "Flows that showed it"),
    FIELD_I32(struct paths_interface, sent, "sent", (), "Probes of those flows"),
    FIELD_I32(struct paths_interface, received, "received", (), "Answers"),
    FIELD_F64(struct paths_interface, loss, "loss", (.unit = "%"), "Share of the probes that were not answered"),
    FIELD_F64(struct paths_interface, min_latency, "minLatency", (.unit = "ms"), "Shortest round-trip time"),
    FIELD_F64(struct paths_interface, avg_latency, "avgLatency", (.unit = "ms"), "Mean round-trip time"),
    FIELD_F64(struct paths_interface, max_latency, "maxLatency", (.unit = "ms"), "Longest round-trip time"),
    FIELD_STR(struct paths_interface, icmp, "icmp", (), "Type and code of the answer, as 11-0"),
    FIELD_I32(struct paths_interface, quoted_ttl, "quotedTtl", (), "TTL of the probe as the answer quotes it"),
    FIELD_I32(struct paths_interface, reply_ttl, "replyTtl", (), "TTL of the answer as it arrived"),
    FIELD_STR(struct paths_interface, mpls, "mpls", (), "MPLS label stack, as L=399088,E=0,S=1,T=1"),
};
const struct field_table paths_interface_table =
    FIELD_TABLE("PathsInterface", struct paths_interface, interface_fields, NULL, "An interface at one distance");

static const struct field link_fields[] = {
    FIELD_STR(struct paths_link, from, "from", (), "Address at this distance"),
    FIELD_STR(struct paths_link, to, "to", (), "Address at the next one"),
    FIELD_I32(struct paths_link, flows, "flows", (), "Flows that showed one after the other"),
};
const struct field_table paths_link_table =
    FIELD_TABLE("PathsLink", struct paths_link, link_fields, NULL, "Two interfaces that follow one another");

static const struct field hop_fields[] = {
    FIELD_I32(struct paths_hop, hop, "hop", (), "Distance"),
    FIELD_ENUM(struct paths_hop, balancer, "balancer", probe_exhaustive_balancer_names, (),
               "How packets are spread over the interfaces of this distance"),
    FIELD_BOOL(struct paths_hop, is_complete, "complete", (.preset = "false"), "Tested as far as the confidence asks"),
    FIELD_I32(struct paths_hop, silent_flows, "silentFlows", (), "Flows that nobody answered here"),
    FIELD_I32(struct paths_hop, untold_links, "untoldLinks", (),
              "Links to the next distance that cannot be told, since packets of one flow may go different ways"),
    FIELD_LIST(struct paths_hop, interfaces, "interfaces", &paths_interface_table, (), "All that answer"),
    FIELD_LIST(struct paths_hop, links, "links", &paths_link_table, (), "Links to the next distance"),
};
const struct field_table paths_hop_table =
    FIELD_TABLE("PathsHop", struct paths_hop, hop_fields, NULL, "One distance");

static const struct field path_fields[] = {
    FIELD_STRS(struct paths_path, addresses, "addresses", (),
               "The interface at each distance; empty where nobody answered, * where it varies by packet or may do so"),
    FIELD_ENUM(struct paths_path, end, "end", measure_path_end_words, (), "How the path ends"),
    FIELD_I32(struct paths_path, flows, "flows", (), "Flows seen whole on this path"),
    FIELD_I32(struct paths_path, sent, "sent", (), "Probes to its end"),
    FIELD_I32(struct paths_path, received, "received", (), "Answers"),
    FIELD_F64(struct paths_path, loss, "loss", (.unit = "%"), "Share of the probes that were not answered"),
    FIELD_F64(struct paths_path, min_latency, "minLatency", (.unit = "ms"), "Shortest round-trip time"),
    FIELD_F64(struct paths_path, avg_latency, "avgLatency", (.unit = "ms"), "Mean round-trip time"),
    FIELD_F64(struct paths_path, max_latency, "maxLatency", (.unit = "ms"), "Longest round-trip time"),
};
const struct field_table paths_path_table =
    FIELD_TABLE("PathsPath", struct paths_path, path_fields, NULL, "A distinct path");

static const struct field record_fields[] = {
    FIELD_STR(struct paths_record, server, "server", (), "Host as it was given"),
    FIELD_STR(struct paths_record, server_ip, "serverIp", (), "Address that was traced"),
    FIELD_STR(struct paths_record, source_ip, "sourceIp", (), "Address the probes left from"),
    FIELD_ENUM(struct paths_record, protocol, "protocol", probing_protocol_words, (.preset = "icmp"),
               "Protocol of the probes"),
    FIELD_I32(struct paths_record, port, "port", (), "Port of TCP and UDP probes"),
    FIELD_F64(struct paths_record, confidence, "confidence", (.unit = "%"),
              "That no interface is missed, as asked for"),
    FIELD_ENUM(struct paths_record, end, "end", measure_path_end_words, (),
               "How a path ends that reached the target, or any when none did"),
    FIELD_BOOL(struct paths_record, is_complete, "complete", (.preset = "false"), "Every distance was tested so far"),
    FIELD_BOOL(struct paths_record, is_strict, "strict", (.preset = "false"),
               "Every router was tested by itself; else those that seem to share their next hops were tested together"),
    FIELD_BOOL(struct paths_record, is_cut, "cut", (.preset = "false"), "A limit of probes, flows or time ended it"),
    FIELD_BOOL(struct paths_record, has_more_paths, "morePaths", (.preset = "false"),
               "There are more distinct paths than are told"),
    FIELD_I32(struct paths_record, interfaces, "interfaceCount", (), "Interfaces found"),
    FIELD_I32(struct paths_record, links, "linkCount", (), "Links found"),
    FIELD_I32(struct paths_record, flows, "flows", (), "Flows used"),
    FIELD_I32(struct paths_record, sent, "sent", (), "Probes of the search"),
    FIELD_I32(struct paths_record, path_sent, "pathSent", (), "Probes to measure the paths"),
    FIELD_F64(struct paths_record, duration, "duration", (.unit = "ms"), "Time of the search"),
    FIELD_STR(struct paths_record, error_details, "errorDetails", (), "Why the host could not be traced"),
    FIELD_LIST(struct paths_record, hops, "hops", &paths_hop_table, (), "All distances"),
    FIELD_LIST(struct paths_record, paths, "paths", &paths_path_table, (), "Distinct paths"),
};
const struct field_table paths_record_table =
    FIELD_TABLE("PathsResult", struct paths_record, record_fields, NULL, "All load-balanced paths to one host");

/* --- records ------------------------------------------------------------------------------------------------------ */

static double ms_of(int64_t ns)
{
    return (double)ns / 1e6;
}

static double loss_of(uint32_t sent, uint32_t received)
{
    return sent ? 100.0 * (sent - received) / sent : (double)NAN;
}

static const char *keep(const char *text, struct arena *arena)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static void fill_interface(const struct probe_exhaustive_interface *from, struct names *names, struct geo *geo,
                           struct arena *arena, struct paths_interface *to)
{
    char text[SOCK_TEXT_BYTES];
    struct geo_facts facts = {0};
    to->ip_address = arena_strdup(arena, sock_ip_text(&from->addr, text, sizeof text));
    to->rdns = keep(names_get(names, &from->addr), arena);
    if (geo_find(geo, &from->addr, &facts)) {
        to->prefix = keep(facts.prefix, arena);
        to->network = keep(facts.network, arena);
        to->location = keep(facts.location, arena);
    }
    to->is_target = from->is_target;
    to->flows = (int32_t)from->flows;
    to->sent = (int32_t)from->sent;
    to->received = (int32_t)from->received;
    to->loss = loss_of(from->sent, from->received);
    if (from->received) {
        to->min_latency = ms_of(from->min_rtt_ns);
        to->avg_latency = ms_of(from->avg_rtt_ns);
        to->max_latency = ms_of(from->max_rtt_ns);
    }
    to->icmp = arena_printf(arena, "%u-%u", from->icmp_type, from->icmp_code);
    to->mpls = measure_labels_text(from->labels, from->label_count, arena);
    if (from->has_quote)
        to->quoted_ttl = from->quoted_ttl;
    if (from->reply_ttl)
        to->reply_ttl = from->reply_ttl;
}

static void fill_hop(const struct probe_exhaustive_result *result, uint32_t index, struct names *names, struct geo *geo,
                     struct arena *arena, struct paths_hop *hop)
{
    const struct probe_exhaustive_hop *from = &result->hops[index];
    struct paths_interface *faces = arena_alloc_array(arena, from->interface_count + 1, sizeof *faces);
    struct paths_link *links = arena_alloc_array(arena, from->link_count + 1, sizeof *links);
    hop->hop = from->ttl;
    hop->balancer = (int)from->balancer;
    hop->is_complete = from->is_complete;
    hop->silent_flows = (int32_t)from->silent_flows;
    hop->untold_links = (int32_t)from->untold_links;
    for (uint32_t i = 0; faces && i < from->interface_count; i++) {
        field_defaults(&paths_interface_table, &faces[i]);
        faces[i].hop = from->ttl;
        fill_interface(&from->interfaces[i], names, geo, arena, &faces[i]);
    }
    for (uint32_t i = 0; links && index + 1 < result->hop_count && i < from->link_count; i++) {
        char text[SOCK_TEXT_BYTES];
        const struct probe_exhaustive_hop *next = &result->hops[index + 1];
        links[i].from =
            arena_strdup(arena, sock_ip_text(&from->interfaces[from->links[i].from].addr, text, sizeof text));
        links[i].to = arena_strdup(arena, sock_ip_text(&next->interfaces[from->links[i].to].addr, text, sizeof text));
        links[i].flows = (int32_t)from->links[i].flows;
    }
    hop->interfaces = (struct field_list){faces, faces ? from->interface_count : 0};
    hop->links = (struct field_list){links, links && index + 1 < result->hop_count ? from->link_count : 0};
}

static const char *place_text(const struct probe_exhaustive_result *result, uint32_t hop, uint16_t index,
                              struct arena *arena)
{
    char text[SOCK_TEXT_BYTES];
    if (index == PROBE_EXHAUSTIVE_VARIES)
        return "*";
    if (index == PROBE_EXHAUSTIVE_SILENT || hop >= result->hop_count || index >= result->hops[hop].interface_count)
        return "";
    return arena_strdup(arena, sock_ip_text(&result->hops[hop].interfaces[index].addr, text, sizeof text));
}

static void fill_path(const struct probe_exhaustive_result *result, const struct probe_exhaustive_path *from,
                      struct arena *arena, struct paths_path *path)
{
    const char **addresses = arena_alloc_array(arena, from->hop_count + 1u, sizeof *addresses);
    for (uint32_t i = 0; addresses && i < from->hop_count; i++)
        addresses[i] = place_text(result, i, from->hops[i], arena);
    path->addresses = (struct field_list){addresses, addresses ? from->hop_count : 0};
    path->end = (int)from->end;
    path->flows = (int32_t)from->flows;
    path->sent = (int32_t)from->sent;
    path->received = (int32_t)from->received;
    path->loss = loss_of(from->sent, from->received);
    if (from->received) {
        path->min_latency = ms_of(from->min_rtt_ns);
        path->avg_latency = ms_of(from->avg_rtt_ns);
        path->max_latency = ms_of(from->max_rtt_ns);
    }
}

void paths_record_fill(const struct probe_exhaustive_result *result, struct names *names, struct geo *geo,
                       struct arena *arena, struct paths_record *record)
{
    struct paths_hop *hops = arena_alloc_array(arena, result->hop_count + 1, sizeof *hops);
    struct paths_path *paths = arena_alloc_array(arena, result->path_count + 1, sizeof *paths);
    for (uint32_t i = 0; hops && i < result->hop_count; i++) {
        field_defaults(&paths_hop_table, &hops[i]);
        fill_hop(result, i, names, geo, arena, &hops[i]);
    }
    for (uint32_t i = 0; paths && i < result->path_count; i++) {
        field_defaults(&paths_path_table, &paths[i]);
        fill_path(result, &result->paths[i], arena, &paths[i]);
    }
    record->hops = (struct field_list){hops, hops ? result->hop_count : 0};
    record->paths = (struct field_list){paths, paths ? result->path_count : 0};
    record->confidence = 100 * result->confidence;
    record->is_complete = result->is_complete;
    if (result->hop_count)
        record->end = (int)result->end;
    record->is_cut = result->is_cut;
    record->has_more_paths = result->is_paths_cut;
    record->interfaces = (int32_t)result->interface_count;
    record->links = (int32_t)result->link_count;
    record->flows = (int32_t)result->flow_count;
    record->sent = (int32_t)result->sent;
    record->path_sent = (int32_t)result->path_sent;
    if (result->found_ns)
        record->duration = ms_of(result->found_ns - result->start_ns);
    if (result->error_text)
        record->error_details = arena_printf(arena, "Could not send: %s", result->error_text);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define NAME_BYTES 400
#define WIDTH_MIN 15
#define WIDTH_MAX 60

static int name_of(const struct paths_interface *face, char text[static NAME_BYTES])
{
    if (face->rdns && !str_equal(face->rdns, face->ip_address))
        return snprintf(text, NAME_BYTES, "%s (%s)", face->rdns, face->ip_address);
    return snprintf(text, NAME_BYTES, "%s", face->ip_address);
}

static void show_interface(const struct paths_hop *hop, const struct paths_interface *face, bool is_first, int width,
                           bool is_verbose, struct buf *buf)
{
    char place[16] = "", text[NAME_BYTES];
    if (is_first)
        (void)snprintf(place, sizeof place, "%d", hop->hop);
    (void)name_of(face, text);
    buf_printf(buf, "%3s  %-*s %6d %5d %8d", place, width, text, face->flows, face->sent, face->received);
    show_percent(face->loss, buf);
    show_figure(face->min_latency, buf);
    show_figure(face->avg_latency, buf);
    if (is_verbose)
        buf_printf(buf, " %6s %5d %5d", face->icmp, face->quoted_ttl == FIELD_NO_I32 ? 0 : face->quoted_ttl,
                   face->reply_ttl == FIELD_NO_I32 ? 0 : face->reply_ttl);
    if (is_first && hop->balancer != PROBE_EXHAUSTIVE_NONE)
        buf_printf(buf, "  balanced %s", probe_exhaustive_balancer_names[hop->balancer]);
    if (is_first && hop->untold_links > 0)
        buf_puts(buf, "  links from here: by packet, not tellable");
    if (is_first && !hop->is_complete)
        buf_puts(buf, "  there may be more");
    if (face->is_target)
        buf_puts(buf, "  target");
    if (face->mpls)
        buf_printf(buf, "  MPLS %s", face->mpls);
    if (face->network)
        buf_printf(buf, "  %s", face->network);
    buf_putc(buf, '\n');
}

/* What tells a path from the others: its interfaces where there are several. */
static void show_way(const struct paths_record *record, const struct paths_path *path, struct buf *buf)
{
    const struct paths_hop *hops = record->hops.items;
    const char *const *addresses = path->addresses.items, *joint = "via ";
    for (size_t i = 0; i < path->addresses.count; i++) {
        if (i < record->hops.count && hops[i].interfaces.count < 2)
            continue;
        buf_printf(buf, "%s%s", joint, *addresses[i] ? addresses[i] : "(silent)");
        joint = ", ";
    }
    if (*joint == 'v')
        buf_puts(buf, "the only way");
    if (path->end != MEASURE_END_REACHED)
        buf_printf(buf, ": %s", measure_path_end_words[path->end]);
    buf_putc(buf, '\n');
}

static void show_paths_found(const struct paths_record *record, struct buf *buf)
{
    const struct paths_path *paths = record->paths.items;
    if (record->paths.count == 0)
        return;
    buf_printf(buf, "\npath  %6s %5s %8s %7s %9s %9s %9s\n", "flows", "sent", "received", "loss", "min ms", "avg ms",
               "max ms");
    for (size_t i = 0; i < record->paths.count; i++) {
        buf_printf(buf, "%4zu  %6d %5d %8d", i + 1, paths[i].flows, paths[i].sent, paths[i].received);
        show_percent(paths[i].loss, buf);
        show_figure(paths[i].min_latency, buf);
        show_figure(paths[i].avg_latency, buf);
        show_figure(paths[i].max_latency, buf);
        buf_puts(buf, "  ");
        show_way(record, &paths[i], buf);
    }
    if (record->has_more_paths)
        buf_puts(buf, "      there are more paths than are told here\n");
}

void paths_show_end(const struct paths_record *record, struct buf *buf)
{
    if (record->interfaces == 0) {
        buf_printf(buf, "nobody answered any of %d probes\n", record->sent);
        return;
    }
    if (record->end != MEASURE_END_REACHED)
        buf_printf(buf, "the target was not reached: %s\n", measure_path_end_words[record->end]);
    buf_printf(buf, "%d interfaces and %d links with %d probes", record->interfaces, record->links, record->sent);
    if (!isnan(record->duration))
        buf_printf(buf, " in %.3f s", record->duration / 1e3);
    if (record->is_complete)
        buf_printf(buf, "; none is missed, with %g %% confidence%s\n", record->confidence,
                   record->is_strict ? "" : " (of every link, too, with --strict)");
    else
        buf_printf(buf, "; %s\n", record->is_cut ? "a limit ended the search: there may be more" : "there may be more");
}

void paths_show(const struct paths_record *record, bool is_verbose, struct buf *buf)
{
    const struct paths_hop *hops = record->hops.items;
    char text[NAME_BYTES];
    int width = WIDTH_MIN;
    for (size_t h = 0; h < record->hops.count; h++) {
        const struct paths_interface *faces = hops[h].interfaces.items;
        for (size_t i = 0; i < hops[h].interfaces.count; i++) {
            int length = name_of(&faces[i], text);
            width = length > width ? length : width;
        }
    }
    width = width < WIDTH_MAX ? width : WIDTH_MAX;
    buf_printf(buf, "%3s  %-*s %6s %5s %8s %7s %9s %9s%s\n", "hop", width, "address", "flows", "sent", "received",
               "loss", "min ms", "avg ms", is_verbose ? "   icmp q-ttl r-ttl" : "");
    for (size_t h = 0; h < record->hops.count; h++) {
        const struct paths_interface *faces = hops[h].interfaces.items;
        for (size_t i = 0; i < hops[h].interfaces.count; i++)
            show_interface(&hops[h], &faces[i], i == 0, width, is_verbose, buf);
        if (hops[h].interfaces.count == 0)
            buf_printf(buf, "%3d  %-*s %6d\n", hops[h].hop, width, "(silent)", hops[h].silent_flows);
    }
    show_paths_found(record, buf);
    buf_putc(buf, '\n');
    paths_show_end(record, buf);
}

void paths_show_csv(const struct paths_record *record, struct buf *buf)
{
    const struct paths_hop *hops = record->hops.items;
    for (size_t h = 0; h < record->hops.count; h++) {
        const struct paths_interface *faces = hops[h].interfaces.items;
        for (size_t i = 0; i < hops[h].interfaces.count; i++)
            csv_row(&paths_interface_table, &faces[i], buf);
    }
}
