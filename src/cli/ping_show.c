#include "cli/ping_show.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/icmp_word.h"
#include "cli/show.h"
#include "measure/part.h"

static const struct field record_fields[] = {
    FIELD_STR(struct ping_record, server, "server", (), "Host as it was given"),
    FIELD_STR(struct ping_record, server_ip, "serverIp", (), "Address that was probed"),
    FIELD_ENUM(struct ping_record, protocol, "protocol", probing_protocol_words, (.preset = "icmp"),
               "Protocol of the probes"),
    FIELD_I32(struct ping_record, port, "port", (), "Port of TCP probes"),
    FIELD_I64(struct ping_record, sent, "sent", (), "Probes that left this machine"),
    FIELD_I64(struct ping_record, received, "received", (), "Probes that were answered"),
    FIELD_F64(struct ping_record, loss, "loss", (.unit = "%"), "Share of the probes that were not answered"),
    FIELD_F64(struct ping_record, min_latency, "minLatency", (.unit = "ms"), "Shortest round-trip time"),
    FIELD_F64(struct ping_record, avg_latency, "avgLatency", (.unit = "ms"), "Mean round-trip time"),
    FIELD_F64(struct ping_record, median_latency, "medianLatency", (.unit = "ms"), "Median of the round-trip times"),
    FIELD_F64(struct ping_record, max_latency, "maxLatency", (.unit = "ms"), "Longest round-trip time"),
    FIELD_F64(struct ping_record, jitter, "jitter", (.unit = "ms"),
              "Mean absolute deviation of the round-trip times from their mean"),
    FIELD_I64(struct ping_record, duplicates, "duplicates", (), "Further answers to a probe that had been answered"),
    FIELD_I64(struct ping_record, reordered, "reordered", (), "Answers that came after the answer to a later probe"),
    FIELD_I64(struct ping_record, resets, "resets", (),
              "TCP probes that a reset answered; they count as received"),
    FIELD_I64(struct ping_record, icmp_errors, "icmpErrors", (), "Probes that an ICMP error answered"),
    FIELD_STR(struct ping_record, icmp, "icmp", (), "Type and code of the last ICMP error, as 3-1"),
    FIELD_STR(struct ping_record, icmp_from, "icmpFrom", (), "Who sent the last ICMP error"),
    FIELD_BOOL(struct ping_record, is_overloaded, "agentOverload", (.preset = "false"),
               "This machine dropped packets itself; what it may have lost is not counted"),
    FIELD_ENUM(struct ping_record, probe_mode, "probeMode", measure_probe_mode_words, (), "How the host was probed"),
    FIELD_STR(struct ping_record, probe_mode_reason, "probeModeReason", (), "Why TCP probes it so"),
    FIELD_I64(struct ping_record, lost_on_return, "lostOnReturn", (),
              "SACK: lost probes that had come to the host; their answers were lost on the way back"),
    FIELD_F64(struct ping_record, sack_loss, "sackLoss", (.unit = "%"),
              "Loss of SACK probes where SYNs were sent to compare"),
    FIELD_F64(struct ping_record, syn_loss, "synLoss", (.unit = "%"), "Loss of these SYNs"),
    FIELD_STR(struct ping_record, sack_interference, "sackInterference", (),
              "Something on the way drops SACK probes: their loss is not the network's, and SYNs tell it instead"),
    FIELD_STR(struct ping_record, error_details, "errorDetails", (), "Why the host could not be probed"),
    FIELD_I64S(struct ping_record, rtts_us, "rttsUs", (.unit = "us"),
               "Round-trip time of each probe in the order of sending; -1 = no answer"),
};

const struct field_table ping_record_table =
    FIELD_TABLE("PingResult", struct ping_record, record_fields, NULL, "What became of the probes to one host");

static double ms_of(double ns)
{
    return rint(ns) / 1e6;
}

static void fill_rtts(const struct stream_figures *figures, struct arena *arena, struct field_list *ret_list)
{
    int64_t *rtts = figures->rtt_count ? arena_alloc_array(arena, figures->rtt_count, sizeof *rtts) : NULL;
    size_t count = 0;
    for (size_t i = 0; rtts && i < figures->rtt_count; i++) {
        if (figures->rtts_us[i] != STREAM_UNSENT)
            rtts[count++] = figures->rtts_us[i];
    }
    *ret_list = (struct field_list){.items = rtts, .count = count};
}

void ping_record_fill(const struct probing_host *host, const struct stream_figures *figures, struct arena *arena,
                      struct ping_record *ret_record)
{
    struct ping_record *record = ret_record;
    const struct tally *tally = &figures->tally;
    field_defaults(&ping_record_table, record);
    record->server = host->name;
    record->server_ip = host->address;
    record->protocol = host->probing ? (int)host->probing->protocol : PROBE_ICMP;
    if (host->port)
        record->port = host->port;
    record->sent = (int64_t)figures->sent;
    record->received = (int64_t)figures->received;
    if (figures->sent)
        record->loss = 100.0 * (double)(figures->sent - figures->received) / (double)figures->sent;
    if (tally->count) {
        record->min_latency = ms_of((double)tally->min_ns);
        record->avg_latency = ms_of(tally_mean_ns(tally));
        record->median_latency = ms_of(tally_median_ns(tally));
        record->max_latency = ms_of((double)tally->max_ns);
        record->jitter = ms_of(tally_jitter_ns(tally));
    }
    record->duplicates = (int64_t)figures->duplicates;
    record->reordered = (int64_t)figures->reordered;
    record->probe_mode = MEASURE_PROBE_ICMP;
    if (record->protocol == PROBE_TCP) {
        record->resets = (int64_t)figures->resets;
        record->probe_mode = figures->is_sack ? MEASURE_PROBE_SACK : MEASURE_PROBE_SYN;
        record->probe_mode_reason = figures->received && figures->mode_reason[0] ? figures->mode_reason : NULL;
        record->sack_interference = figures->interference[0] ? figures->interference : NULL;
    }
    if (figures->has_compared) {
        record->sack_loss = figures->sack_loss;
        record->syn_loss = figures->syn_loss;
    }
    if (figures->is_sack)
        record->lost_on_return = (int64_t)figures->lost_on_return;
    record->icmp_errors = (int64_t)figures->errors;
    if (sock_is_set(&figures->error_from)) {
        char text[SOCK_TEXT_BYTES];
        record->icmp = arena_printf(arena, "%u-%u", figures->error_type, figures->error_code);
        record->icmp_from = arena_strdup(arena, sock_ip_text(&figures->error_from, text, sizeof text));
    }
    record->is_overloaded = figures->overloaded > 0;
    if (host->error)
        record->error_details = host->error;
    else if (figures->is_unsupported)
        record->error_details = arena_printf(arena, "Target doesn't support SACK mode: %s", figures->mode_reason);
    else if (figures->refusal[0])
        record->error_details = arena_printf(arena, "Could not send: %s", figures->refusal);
    fill_rtts(figures, arena, &record->rtts_us);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

void ping_show_event(const char *prefix, const struct stream_event *event, struct buf *buf)
{
    char text[SOCK_TEXT_BYTES], word[80];
    buf_printf(buf, "%s%s", prefix, *prefix ? ": " : "");
    if (event->number)
        buf_printf(buf, "seq=%llu ", (unsigned long long)event->number);
    switch (event->kind) {
    case STREAM_ANSWER:
        buf_printf(buf, "rtt=%.3f ms", (double)event->rtt_ns / 1e6);
        if (event->ttl)
            buf_printf(buf, " ttl=%u", event->ttl);
        if (event->is_out_of_order)
            buf_puts(buf, ", out of order");
        break;
    case STREAM_ERROR:
        buf_printf(buf, "%s, says %s (ICMP %u-%u)",
                   icmp_word(event->from->sa.sa_family, event->icmp_type, event->icmp_code, word, sizeof word),
                   sock_ip_text(event->from, text, sizeof text), event->icmp_type, event->icmp_code);
        break;
    case STREAM_NOTE:
        buf_puts(buf, event->text);
        break;
    case STREAM_SILENT:
        buf_puts(buf, "no answer");
        break;
    case STREAM_REFUSED:
        buf_printf(buf, "could not be sent: %s", event->text ? event->text : "");
        break;
    }
    buf_putc(buf, '\n');
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static size_t host_text(const struct ping_record *record, char *buf, size_t size)
{
    bool has_both = record->server_ip && !str_equal(record->server, record->server_ip);
    int length = snprintf(buf, size, has_both ? "%s (%s)" : "%s", record->server, record->server_ip);
    return length < 0 ? 0 : (size_t)length;
}

static void show_notes(const struct ping_record *record, struct buf *buf)
{
    if (record->duplicates || record->reordered)
        buf_printf(buf, "  %lld duplicate%s, %lld out of order\n", (long long)record->duplicates,
                   record->duplicates == 1 ? "" : "s", (long long)record->reordered);
    if (record->resets > 0)
        buf_printf(buf, "  %lld answered by a reset: nobody listens there\n", (long long)record->resets);
    if (record->probe_mode != MEASURE_PROBE_ICMP && record->probe_mode_reason)
        buf_printf(buf, "  probed by %s: %s\n", record->probe_mode == MEASURE_PROBE_SACK ? "SACK" : "SYN",
                   record->probe_mode_reason);
    if (record->lost_on_return > 0)
        buf_printf(buf, "  %lld of the lost had come to the host: their answers were lost\n",
                   (long long)record->lost_on_return);
    if (record->icmp) {
        unsigned type = 0, code = 0;
        char word[80];
        int family = strchr(record->icmp_from, ':') ? AF_INET6 : AF_INET;
        (void)sscanf(record->icmp, "%u-%u", &type, &code);
        buf_printf(buf, "  %lld answered by an error: %s, said %s (ICMP %s)\n", (long long)record->icmp_errors,
                   icmp_word(family, (uint8_t)type, (uint8_t)code, word, sizeof word), record->icmp_from,
                   record->icmp);
    }
    if (record->is_overloaded)
        buf_puts(buf, "  this machine dropped packets itself; what it may have lost is not counted\n");
    if (record->error_details)
        buf_printf(buf, "  %s\n", record->error_details);
}

void ping_show_summary(const struct ping_record *records, size_t count, struct buf *buf)
{
    size_t width = 4;
    for (size_t i = 0; i < count; i++) {
        char text[400];
        size_t length = host_text(&records[i], text, sizeof text);
        width = length > width ? length : width;
    }
    width = width < 60 ? width : 60;
    buf_printf(buf, "%-*s %7s %8s %7s %9s %9s %9s %9s %9s\n", (int)width, "host", "sent", "received", "loss", "min ms",
               "avg ms", "median ms", "max ms", "jitter ms");
    for (size_t i = 0; i < count; i++) {
        const struct ping_record *record = &records[i];
        char text[400];
        (void)host_text(record, text, sizeof text);
        buf_printf(buf, "%-*s %7lld %8lld", (int)width, text, (long long)record->sent, (long long)record->received);
        show_percent(record->loss, buf);
        show_figure(record->min_latency, buf);
        show_figure(record->avg_latency, buf);
        show_figure(record->median_latency, buf);
        show_figure(record->max_latency, buf);
        show_figure(record->jitter, buf);
        buf_putc(buf, '\n');
        show_notes(record, buf);
    }
}
