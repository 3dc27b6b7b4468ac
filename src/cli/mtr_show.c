#include "cli/mtr_show.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/show.h"

static const struct field row_fields[] = {
    FIELD_I32(struct mtr_row, hop, "hop", (), "Distance"),
    FIELD_STR(struct mtr_row, ip_address, "ipAddress", (), "Who answers there; absent for flows that nobody answers"),
    FIELD_STR(struct mtr_row, rdns, "rdns", (), "Its name"),
    FIELD_STR(struct mtr_row, flows, "flows", (), "The flows that it answered last, as 1-3"),
    FIELD_BOOL(struct mtr_row, is_target, "isTarget", (.preset = "false"), "It is the target"),
    FIELD_I64(struct mtr_row, sent, "sent", (), "Probes of these flows"),
    FIELD_I64(struct mtr_row, received, "received", (), "Answers"),
    FIELD_F64(struct mtr_row, loss, "loss", (.unit = "%"), "Loss on the way there, as what lies behind it tells"),
    FIELD_F64(struct mtr_row, unanswered, "unanswered", (.unit = "%"), "Share of the probes without an answer"),
    FIELD_BOOL(struct mtr_row, is_limited, "repliesLimited", (.preset = "false"),
               "It leaves probes unanswered while what lies behind it answers more: that is no loss"),
    FIELD_F64(struct mtr_row, last_latency, "lastLatency", (.unit = "ms"), "Latest round-trip time"),
    FIELD_F64(struct mtr_row, avg_latency, "avgLatency", (.unit = "ms"), "Mean round-trip time"),
    FIELD_F64(struct mtr_row, min_latency, "minLatency", (.unit = "ms"), "Shortest round-trip time"),
    FIELD_F64(struct mtr_row, max_latency, "maxLatency", (.unit = "ms"), "Longest round-trip time"),
    FIELD_F64(struct mtr_row, jitter, "jitter", (.unit = "ms"),
              "Mean absolute deviation of the round-trip times from their mean"),
    FIELD_F64(struct mtr_row, median_latency, "medianLatency", (.unit = "ms"), "Median of the round-trip times"),
    FIELD_STR(struct mtr_row, mpls, "mpls", (), "MPLS label stack, as L=399088,E=0,S=1,T=1"),
    FIELD_STR(struct mtr_row, tunnel, "tunnel", (), "The MPLS tunnel it is in or that ends there, in words"),
    FIELD_STR(struct mtr_row, prefix, "prefix", (), "Block of addresses it is of"),
    FIELD_STR(struct mtr_row, network, "network", (), "Network it is of"),
    FIELD_STR(struct mtr_row, location, "location", (), "Place of that"),
};
const struct field_table mtr_row_table =
    FIELD_TABLE("MtrRow", struct mtr_row, row_fields, NULL, "One address at one distance of a path");

static const struct field record_fields[] = {
    FIELD_STR(struct mtr_record, server, "server", (), "Host as it was given"),
    FIELD_STR(struct mtr_record, server_ip, "serverIp", (), "Address that was traced"),
    FIELD_STR(struct mtr_record, source_ip, "sourceIp", (), "Address the probes left from"),
    FIELD_ENUM(struct mtr_record, protocol, "protocol", probing_protocol_words, (.preset = "icmp"),
               "Protocol of the probes"),
    FIELD_I32(struct mtr_record, port, "port", (), "Port of TCP and UDP probes"),
    FIELD_I32(struct mtr_record, flows, "flows", (), "Flows, the same in every round"),
    FIELD_F64(struct mtr_record, interval_s, "interval", (.unit = "s"), "Time between two rounds"),
    FIELD_I64(struct mtr_record, rounds, "rounds", (), "Rounds that are complete"),
    FIELD_BOOL(struct mtr_record, is_reached, "reached", (.preset = "false"), "Every flow has reached the target"),
    FIELD_BOOL(struct mtr_record, is_overloaded, "agentOverload", (.preset = "false"),
               "This machine dropped packets itself; what it may have lost is not counted"),
    FIELD_STR(struct mtr_record, error_details, "errorDetails", (), "Why the host could not be traced"),
    FIELD_LIST(struct mtr_record, rows, "hops", &mtr_row_table, (),
               "The path, several addresses at one distance included"),
};
const struct field_table mtr_record_table =
    FIELD_TABLE("MtrResult", struct mtr_record, record_fields, NULL, "A path watched over many rounds");

/* --- the record --------------------------------------------------------------------------------------------------- */

static double ms_of(double ns)
{
    return rint(ns) / 1e6;
}

static const char *flows_text(uint32_t flows, struct arena *arena)
{
    char text[64];
    return arena_strdup(arena, show_flows(flows, text, sizeof text));
}

static const char *keep(const char *text, struct arena *arena)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static void fill_facts(struct geo *geo, const union sock_addr *addr, struct arena *arena, struct mtr_row *row)
{
    struct geo_facts facts;
    if (!geo_find(geo, addr, &facts))
        return;
    row->prefix = keep(facts.prefix, arena);
    row->network = keep(facts.network, arena);
    row->location = keep(facts.location, arena);
}

static void fill_host(const struct watch_host *host, struct names *names, struct arena *arena, struct mtr_row *row)
{
    const struct tally *tally = &host->tally;
    char text[SOCK_TEXT_BYTES];
    const char *name = names_get(names, &host->addr);
    row->ip_address = arena_strdup(arena, sock_ip_text(&host->addr, text, sizeof text));
    row->rdns = name ? arena_strdup(arena, name) : NULL;
    row->flows = flows_text(host->flows, arena);
    row->sent = (int64_t)host->sent;
    row->received = (int64_t)host->received;
    row->unanswered = 100 * host->unanswered;
    row->loss = 100 * host->loss;
    row->is_limited = host->is_limited;
    row->is_target = host->is_target;
    row->mpls = host->mpls;
    row->tunnel = host->tunnel;
    if (tally->count == 0)
        return;
    row->last_latency = ms_of((double)tally->last_ns);
    row->avg_latency = ms_of(tally_mean_ns(tally));
    row->min_latency = ms_of((double)tally->min_ns);
    row->max_latency = ms_of((double)tally->max_ns);
    row->jitter = ms_of(tally_jitter_ns(tally));
    row->median_latency = ms_of(tally_median_ns(tally));
}

static void fill_silence(const struct watch_hop *hop, struct arena *arena, struct mtr_row *row)
{
    row->flows = flows_text(hop->silent_flows, arena);
    row->sent = (int64_t)hop->silent_sent;
    row->received = 0;
    row->unanswered = 100;
}

void mtr_record_fill(struct watch *watch, struct names *names, struct geo *geo, struct arena *arena,
                     struct mtr_record *record)
{
    size_t count = 0, room = 0;
    watch_judge(watch);
    for (uint32_t ttl = 1; ttl <= watch->length; ttl++)
        room += watch->hops[ttl - 1].count + 1;
    struct mtr_row *rows = arena_alloc_array(arena, room + 1, sizeof *rows);
    for (uint32_t ttl = 1; rows && ttl <= watch->length; ttl++) {
        const struct watch_hop *hop = &watch->hops[ttl - 1];
        for (uint32_t i = 0; i <= hop->count; i++) {
            struct mtr_row *row = &rows[count];
            if (i == hop->count && !hop->silent_flows)
                continue;
            count++;
            field_defaults(&mtr_row_table, row);
            row->hop = (int32_t)ttl;
            if (i == hop->count) {
                fill_silence(hop, arena, row);
                continue;
            }
            fill_host(hop->hosts[i], names, arena, row);
            fill_facts(geo, &hop->hosts[i]->addr, arena, row);
        }
    }
    record->rows = (struct field_list){.items = rows, .count = count};
    record->rounds = (int64_t)watch->rounds;
    record->flows = (int32_t)watch->flow_count;
    record->is_reached = watch_is_reached(watch);
    record->is_overloaded = watch->overloaded > 0;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define HOP_WIDTH 5u      /* "  1  " */
#define ADDRESS_MIN 15u   /* columns are left out before an address is cut below this */
#define ADDRESS_MAX 60u
#define NAME_BYTES 400

enum cell_kind { CELL_SHARE, CELL_COUNT, CELL_MS, CELL_TEXT };

static const struct column {
    const char *title;
    enum mtr_columns set;
    enum cell_kind kind;
    size_t offset;
    unsigned width;    /* with the blank before it */
    unsigned priority; /* the highest go last when there is no room */
} columns[] = {
    {"loss ", MTR_LATENCY, CELL_SHARE, offsetof(struct mtr_row, loss), 8, 9},
    {"sent", MTR_LATENCY, CELL_COUNT, offsetof(struct mtr_row, sent), 7, 5},
    {"last ms", MTR_LATENCY, CELL_MS, offsetof(struct mtr_row, last_latency), 9, 7},
    {"avg ms", MTR_LATENCY, CELL_MS, offsetof(struct mtr_row, avg_latency), 9, 8},
    {"best ms", MTR_LATENCY, CELL_MS, offsetof(struct mtr_row, min_latency), 9, 4},
    {"worst ms", MTR_LATENCY, CELL_MS, offsetof(struct mtr_row, max_latency), 9, 6},
    {"jitter", MTR_LATENCY, CELL_MS, offsetof(struct mtr_row, jitter), 9, 3},
    {"loss ", MTR_COUNTS, CELL_SHARE, offsetof(struct mtr_row, loss), 8, 9},
    {"silent", MTR_COUNTS, CELL_SHARE, offsetof(struct mtr_row, unanswered), 8, 5},
    {"sent", MTR_COUNTS, CELL_COUNT, offsetof(struct mtr_row, sent), 7, 7},
    {"received", MTR_COUNTS, CELL_COUNT, offsetof(struct mtr_row, received), 9, 8},
    {"median ms", MTR_COUNTS, CELL_MS, offsetof(struct mtr_row, median_latency), 10, 4},
    {"flows", MTR_COUNTS, CELL_TEXT, offsetof(struct mtr_row, flows), 9, 6},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

struct layout {
    unsigned address;        /* width */
    bool is_shown[COLUMNS];
};

static size_t name_of(const struct mtr_row *row, bool has_names, char text[static NAME_BYTES])
{
    const char *address = row->ip_address ? row->ip_address : "(silent)";
    int length;
    if (has_names && row->rdns && !str_equal(row->rdns, address))
        length = snprintf(text, NAME_BYTES, "%s (%s)", row->rdns, address);
    else
        length = snprintf(text, NAME_BYTES, "%s", address);
    return length < 0 ? 0 : (size_t)length;
}

/* Where addresses get too short, the least important column goes. */
static struct layout lay_out(const struct mtr_record *record, const struct mtr_style *style)
{
    const struct mtr_row *rows = record->rows.items;
    struct layout layout = {.address = ADDRESS_MIN};
    unsigned used = HOP_WIDTH, shown = 0;
    char text[NAME_BYTES];
    for (size_t i = 0; i < record->rows.count; i++) {
        size_t length = name_of(&rows[i], style->has_names, text);
        layout.address = length > layout.address ? (unsigned)length : layout.address;
    }
    layout.address = layout.address < ADDRESS_MAX ? layout.address : ADDRESS_MAX;
    for (size_t i = 0; i < COLUMNS; i++) {
        layout.is_shown[i] = columns[i].set == style->columns;
        used += layout.is_shown[i] ? columns[i].width : 0;
        shown += layout.is_shown[i];
    }
    while (style->width && shown > 1 && used + ADDRESS_MIN > style->width) {
        size_t least = COLUMNS;
        for (size_t i = 0; i < COLUMNS; i++) {
            if (layout.is_shown[i] && (least == COLUMNS || columns[i].priority < columns[least].priority))
                least = i;
        }
        layout.is_shown[least] = false;
        used -= columns[least].width;
        shown--;
    }
    if (style->width && used + layout.address > style->width)
        layout.address = style->width > used ? style->width - used : 0;
    return layout;
}

static void put_cell(const struct column *column, const struct mtr_row *row, struct buf *buf)
{
    const char *at = (const char *)row + column->offset;
    int width = (int)column->width - 1;
    double value = column->kind == CELL_SHARE || column->kind == CELL_MS ? *(const double *)(const void *)at : 0;
    const char *mark = row->is_limited ? "~" : " ";
    buf_putc(buf, ' ');
    switch (column->kind) {
    case CELL_SHARE:
        if (isnan(value))
            buf_printf(buf, "%*s ", width - 1, "-");
        else
            buf_printf(buf, "%*.1f%%%s", width - 2, value, mark);
        break;
    case CELL_COUNT:
        buf_printf(buf, "%*lld", width, (long long)*(const int64_t *)(const void *)at);
        break;
    case CELL_MS:
        if (isnan(value))
            buf_printf(buf, "%*s", width, "-");
        else
            buf_printf(buf, "%*.3f", width, value);
        break;
    case CELL_TEXT:
        buf_printf(buf, "%*s", width, *(const char *const *)(const void *)at);
        break;
    }
}

/* What does not fit a line is cut: a terminal would wrap it. */
static void end_line(size_t start, const struct mtr_style *style, struct buf *buf)
{
    if (style->width && buf->size - start > style->width)
        buf->size = start + style->width;
    buf_putc(buf, '\n');
}

static void put_line(const struct layout *layout, const struct mtr_row *row, bool is_first,
                     const struct mtr_style *style, struct buf *buf)
{
    char text[NAME_BYTES], place[16] = "";
    if (is_first)
        (void)snprintf(place, sizeof place, "%d", row->hop);
    size_t start = buf->size, length = name_of(row, style->has_names, text);
    if (length > layout->address && style->has_names && row->rdns)
        length = (size_t)snprintf(text, sizeof text, "%s", row->rdns); /* the name alone says more than a cut address */
    bool is_cut = length > layout->address;
    unsigned kept = layout->address - (is_cut && layout->address > 0);
    buf_printf(buf, "%3s  %-*.*s", place, (int)layout->address, (int)kept, text);
    if (is_cut && layout->address > 0) /* the pad put a blank there */
        buf->data[buf->size - 1] = '+';
    for (size_t i = 0; i < COLUMNS; i++) {
        if (layout->is_shown[i])
            put_cell(&columns[i], row, buf);
    }
    if (row->is_target)
        buf_puts(buf, "  target");
    if (row->mpls)
        buf_printf(buf, "  MPLS %s", row->mpls);
    if (row->tunnel && !(row->mpls && str_starts(row->tunnel, "Hop "))) /* labels say so themselves */
        buf_printf(buf, "  %s", row->tunnel);
    if (row->network)
        buf_printf(buf, "  %s", row->network);
    if (row->location)
        buf_printf(buf, "%s%s", row->network ? ", " : "  ", row->location);
    end_line(start, style, buf);
}

static void put_header(const struct layout *layout, const struct mtr_style *style, struct buf *buf)
{
    size_t start = buf->size;
    buf_printf(buf, "%3s  %-*.*s", "hop", (int)layout->address, (int)layout->address, "address");
    for (size_t i = 0; i < COLUMNS; i++) {
        if (layout->is_shown[i])
            buf_printf(buf, "%*s", (int)columns[i].width, columns[i].title);
    }
    end_line(start, style, buf);
}

void mtr_show(const struct mtr_record *record, const struct mtr_style *style, struct buf *buf)
{
    const struct mtr_row *rows = record->rows.items;
    struct layout layout = lay_out(record, style);
    size_t count = record->rows.count, first = count, left_out = 0;
    bool has_limited = false;
    for (size_t i = 0; i < count; i++)
        has_limited |= rows[i].is_limited;
    unsigned used = 1u + has_limited;
    if (style->height && count + used > style->height) { /* the beginning and the target are kept */
        first = style->height > used + 2 ? style->height - used - 2 : 0;
        left_out = count - first - (count > 0);
    }
    put_header(&layout, style, buf);
    for (size_t i = 0; i < count; i++) {
        if (left_out && i == first) {
            size_t start = buf->size;
            buf_printf(buf, "%3s  %zu more", "", left_out);
            end_line(start, style, buf);
            i += left_out;
        }
        put_line(&layout, &rows[i], i == 0 || rows[i].hop != rows[i - 1].hop, style, buf);
    }
    if (has_limited) {
        size_t start = buf->size;
        buf_puts(buf, "~ replies limited: it answers some probes only, what is behind it answers more: no loss");
        end_line(start, style, buf);
    }
}
