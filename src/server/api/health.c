/*
 * What operators and their tools ask: is it up, is it ready, how is it doing.
 */
#include <string.h>

#include "base/limit.h"
#include "server/about.h"
#include "server/api/api.h"
#include "server/gather.h"
#include "server/intake.h"
#include "server/presence.h"
#include "server/stream.h"
#include "server/upkeep.h"

static int get_health(struct request *request, struct error *err)
{
    (void)err;
    request_answer_text(request, 200, "text/plain; charset=utf-8", "ok\n", 3);
    return 0;
}

/* Ready means that the store answers. What an operator should look at soon stands behind it. */
static int get_ready(struct request *request, struct error *err)
{
    struct store_stats stats;
    int rc = store_stats(request->server->store, &stats, err);
    char text[500], lines[520] = "ready\n";
    const char *warning = request->server->upkeep ? upkeep_warning(request->server->upkeep, text, sizeof text) : NULL;
    if (warning)
        (void)snprintf(lines, sizeof lines, "ready\nwarning: %s\n", warning);
    if (rc == 0)
        request_answer_text(request, 200, "text/plain; charset=utf-8", lines, strlen(lines));
    else
        request_answer_problem(request, 503, "the store does not answer", err->text);
    return 0;
}

static void put_metric(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP oculi_%s %s\n# TYPE oculi_%s %s\n", name, help, name, type);
}

static void put_value(struct buf *out, const char *name, const char *labels, double value)
{
    buf_printf(out, "oculi_%s%s %.15g\n", name, labels, value);
}

static void put_intake(struct buf *out, const struct intake_counts *counts)
{
    put_metric(out, "batches_total", "counter", "Batches of rounds committed.");
    put_value(out, "batches_total", "", (double)counts->batches);
    put_metric(out, "rounds_total", "counter", "Rounds that agents sent, by what became of them.");
    put_value(out, "rounds_total", "{result=\"accepted\"}", (double)counts->accepted);
    put_value(out, "rounds_total", "{result=\"duplicate\"}", (double)counts->duplicates);
    for (int i = 0; i < INTAKE_REFUSALS; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "{result=\"%s\"}", intake_refusal_names[i]);
        put_value(out, "rounds_total", label, (double)counts->refused[i]);
    }
}

static void put_gather(struct buf *out, const struct gather_counts *counts)
{
    put_metric(out, "batches_waiting", "gauge", "Batches that have come and have no receipt yet.");
    put_value(out, "batches_waiting", "", (double)counts->waiting);
    put_metric(out, "intake_slices_total", "counter", "Transactions of intake.");
    put_value(out, "intake_slices_total", "", (double)counts->slices);
    put_metric(out, "intake_slice_seconds_total", "counter", "Time in them.");
    put_value(out, "intake_slice_seconds_total", "", (double)counts->slice_ns / 1e9);
    put_metric(out, "intake_slice_longest_seconds", "gauge", "The longest of them.");
    put_value(out, "intake_slice_longest_seconds", "", (double)counts->longest_slice_ns / 1e9);
    put_metric(out, "store_flushes_total", "counter", "Times that intake waited for the disk.");
    put_value(out, "store_flushes_total", "", (double)counts->flushes);
    put_metric(out, "store_flush_seconds_total", "counter", "How long it waited.");
    put_value(out, "store_flush_seconds_total", "", (double)counts->flush_ns / 1e9);
    put_metric(out, "store_flush_longest_seconds", "gauge", "The longest wait.");
    put_value(out, "store_flush_longest_seconds", "", (double)counts->longest_flush_ns / 1e9);
}

/* What everybody waits for: how long the one thread that serves was busy with one thing. */
static void put_loop(struct buf *out, const struct loop_counts *counts)
{
    put_metric(out, "loop_steps_total", "counter", "Turns of the event loop.");
    put_value(out, "loop_steps_total", "", (double)counts->steps);
    put_metric(out, "loop_busy_seconds_total", "counter", "Time in them.");
    put_value(out, "loop_busy_seconds_total", "", (double)counts->busy_ns / 1e9);
    put_metric(out, "loop_slow_steps_total", "counter", "Turns that took more than 10 ms.");
    put_value(out, "loop_slow_steps_total", "", (double)counts->slow);
    put_metric(out, "loop_longest_step_seconds", "gauge", "The longest turn since the start.");
    put_value(out, "loop_longest_step_seconds", "", (double)counts->longest_ns / 1e9);
}

static void put_about(struct buf *out, const struct about *about)
{
    struct about_counts counts;
    about_counts(about, &counts);
    put_metric(out, "geo_databases", "gauge", "Databases of networks and places in use.");
    put_value(out, "geo_databases", "", (double)counts.databases);
    put_metric(out, "names_known", "gauge", "Addresses whose names are remembered, also those that have none.");
    put_value(out, "names_known", "", (double)counts.names);
    put_metric(out, "names_questions_total", "counter", "Questions for names of addresses, by what became of them.");
    put_value(out, "names_questions_total", "{result=\"asked\"}", (double)counts.asked);
    put_value(out, "names_questions_total", "{result=\"answered\"}", (double)counts.answered);
    put_value(out, "names_questions_total", "{result=\"failed\"}", (double)counts.failed);
    put_value(out, "names_questions_total", "{result=\"refused\"}", (double)counts.refused);
}

static void put_upkeep(struct buf *out, const struct upkeep_state *state)
{
    put_metric(out, "store_head_rounds", "gauge", "Rounds of the store that are not packed yet.");
    put_value(out, "store_head_rounds", "", (double)state->stats.head_rounds);
    put_metric(out, "store_files", "gauge", "Files of the store.");
    put_value(out, "store_files", "", (double)state->stats.files);
    put_metric(out, "store_budget_bytes", "gauge", "What the store may take of the disk; 0 = no limit.");
    put_value(out, "store_budget_bytes", "", (double)state->budget_bytes);
    put_metric(out, "store_budget_warning", "gauge", "1 when the store nears its budget, 2 when it is beyond it.");
    put_value(out, "store_budget_warning", "",
              state->budget == UPKEEP_BUDGET_OVER ? 2 : state->budget == UPKEEP_BUDGET_NEAR ? 1 : 0);
    put_metric(out, "store_packed_rounds_total", "counter", "Rounds packed into daily files.");
    put_value(out, "store_packed_rounds_total", "", (double)state->folded);
    put_metric(out, "store_dropped_rounds_total", "counter", "Rounds dropped, by why.");
    put_value(out, "store_dropped_rounds_total", "{why=\"age\"}", (double)(state->dropped - state->over_budget));
    put_value(out, "store_dropped_rounds_total", "{why=\"budget\"}", (double)state->over_budget);
    put_metric(out, "store_upkeep_failures_total", "counter", "Slices of the store's upkeep that failed.");
    put_value(out, "store_upkeep_failures_total", "", (double)state->failures);
    put_metric(out, "store_upkeep_seconds_total", "counter", "Time in the store's upkeep.");
    put_value(out, "store_upkeep_seconds_total", "", (double)state->slice_ns / 1e9);
    put_metric(out, "store_upkeep_longest_seconds", "gauge", "Its longest slice.");
    put_value(out, "store_upkeep_longest_seconds", "", (double)state->longest_slice_ns / 1e9);
}

static int get_metrics(struct request *request, struct error *err)
{
    struct server *server = request->server;
    const struct server_counters *counters = &server->counters;
    struct store_stats stats = {0};
    int rc = store_stats(server->store, &stats, err);
    if (rc)
        return rc;
    struct buf out;
    buf_init(&out, 1u << 20);
    put_metric(&out, "build_info", "gauge", "The version of this server.");
    put_value(&out, "build_info", "{version=\"" OCULI_VERSION "\"}", 1);
    put_metric(&out, "http_requests_total", "counter", "Requests answered, by the first digit of the status.");
    for (int i = 1; i < 6; i++) {
        char label[32];
        (void)snprintf(label, sizeof label, "{class=\"%dxx\"}", i);
        put_value(&out, "http_requests_total", label, (double)counters->requests[i]);
    }
    put_metric(&out, "http_request_seconds_total", "counter", "Time from request line to answer, waiting included.");
    put_value(&out, "http_request_seconds_total", "", (double)counters->request_us / 1e6);
    put_metric(&out, "http_requests_open", "gauge", "Requests being served, long polls and streams included.");
    put_value(&out, "http_requests_open", "", (double)http_open_requests(server->http));
    put_metric(&out, "http_connections_open", "gauge", "Connections, idle ones included.");
    put_value(&out, "http_connections_open", "", (double)http_connections(server->http));
    put_metric(&out, "http_connections_cut_total", "counter", "Connections closed because the other side was too slow.");
    put_value(&out, "http_connections_cut_total", "", (double)http_cut_connections(server->http));
    put_metric(&out, "http_upload_bytes", "gauge", "Bodies of requests held now.");
    put_value(&out, "http_upload_bytes", "", (double)http_upload_bytes(server->http));
    put_metric(&out, "logins_refused_total", "counter", "Sign-ins refused.");
    put_value(&out, "logins_refused_total", "", (double)counters->logins_refused);
    put_intake(&out, intake_counts(server->intake));
    put_gather(&out, gather_counts(server->gather));
    put_loop(&out, loop_counts(server->loop));
    put_about(&out, server->about);
    put_metric(&out, "agents_online", "gauge", "Agents that spoke in the last minutes.");
    put_value(&out, "agents_online", "", (double)presence_count(server->presence));
    put_metric(&out, "event_streams_open", "gauge", "Browsers that watch.");
    put_value(&out, "event_streams_open", "", (double)stream_reader_count(server->stream));
    put_metric(&out, "store_objects", "gauge", "Objects in the store.");
    put_value(&out, "store_objects", "", (double)stats.objects);
    put_metric(&out, "store_rounds", "gauge", "Rounds in the store.");
    put_value(&out, "store_rounds", "", (double)stats.rounds);
    put_metric(&out, "store_bytes", "gauge", "Size of the store on disk.");
    put_value(&out, "store_bytes", "", (double)stats.bytes);
    if (server->upkeep)
        put_upkeep(&out, upkeep_state(server->upkeep));
    put_metric(&out, "limit_hits_total", "counter", "Ceilings reached, by name.");
    for (int i = 0; i < LIMIT_KIND_COUNT; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "{limit=\"%s\"}", limit_name((enum limit_kind)i));
        put_value(&out, "limit_hits_total", label, (double)limit_hits((enum limit_kind)i));
    }
    put_metric(&out, "start_time_seconds", "gauge", "When the server started, as epoch seconds.");
    put_value(&out, "start_time_seconds", "", (double)server->started_s);
    request_answer_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&out), out.size);
    buf_done(&out);
    return 0;
}

const struct route api_health_routes[] = {
    ROUTE("GET", "/healthz", PERMISSION_PUBLIC, "getHealth", get_health, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "The server runs"),
    ROUTE("GET", "/readyz", PERMISSION_PUBLIC, "getReady", get_ready, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "The server can serve"),
    ROUTE("GET", "/metrics", PERMISSION_PUBLIC, "getMetrics", get_metrics, (.flags = ROUTE_PLAIN | ROUTE_NO_AID),
          "Counters in the Prometheus text format"),
    {0},
};
