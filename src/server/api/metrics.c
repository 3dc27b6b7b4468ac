/*
 * The metrics page: what Prometheus and its kin read.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limit.h"
#include "server/about.h"
#include "server/api/api.h"
#include "server/api/operator.h"
#include "server/exposition.h"
#include "server/gather.h"
#include "server/intake.h"
#include "server/presence.h"
#include "server/stream.h"
#include "server/tls.h"
#include "server/upkeep.h"

static void put_intake(struct exposition *to, const struct intake_counts *counts)
{
    exposition_family(to, "oculi_batches_total", "counter", "Batches of rounds committed.");
    exposition_value(to, "oculi_batches_total", "", (double)counts->batches);
    exposition_family(to, "oculi_rounds_total", "counter", "Rounds that agents sent, by what became of them.");
    exposition_value(to, "oculi_rounds_total", "{result=\"accepted\"}", (double)counts->accepted);
    exposition_value(to, "oculi_rounds_total", "{result=\"duplicate\"}", (double)counts->duplicates);
    for (int i = 0; i < INTAKE_REFUSALS; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "{result=\"%s\"}", intake_refusal_names[i]);
        exposition_value(to, "oculi_rounds_total", label, (double)counts->refused[i]);
    }
}

static void put_gather(struct exposition *to, const struct gather_counts *counts)
{
    exposition_family(to, "oculi_batches_waiting", "gauge", "Batches that have come and have no receipt yet.");
    exposition_value(to, "oculi_batches_waiting", "", (double)counts->waiting);
    exposition_family(to, "oculi_intake_slices_total", "counter", "Transactions of intake.");
    exposition_value(to, "oculi_intake_slices_total", "", (double)counts->slices);
    exposition_family(to, "oculi_intake_slice_seconds_total", "counter", "Time in them.");
    exposition_value(to, "oculi_intake_slice_seconds_total", "", (double)counts->slice_ns / 1e9);
    exposition_family(to, "oculi_intake_slice_longest_seconds", "gauge", "The longest of them.");
    exposition_value(to, "oculi_intake_slice_longest_seconds", "", (double)counts->longest_slice_ns / 1e9);
    exposition_family(to, "oculi_store_flushes_total", "counter", "Times that intake waited for the disk.");
    exposition_value(to, "oculi_store_flushes_total", "", (double)counts->flushes);
    exposition_family(to, "oculi_store_flush_seconds_total", "counter", "How long it waited.");
    exposition_value(to, "oculi_store_flush_seconds_total", "", (double)counts->flush_ns / 1e9);
    exposition_family(to, "oculi_store_flush_longest_seconds", "gauge", "The longest wait.");
    exposition_value(to, "oculi_store_flush_longest_seconds", "", (double)counts->longest_flush_ns / 1e9);
}

/* What everybody waits for: how long the one thread that serves was busy with one thing. */
static void put_loop(struct exposition *to, const struct loop_counts *counts)
{
    exposition_family(to, "oculi_loop_steps_total", "counter", "Turns of the event loop.");
    exposition_value(to, "oculi_loop_steps_total", "", (double)counts->steps);
    exposition_family(to, "oculi_loop_busy_seconds_total", "counter", "Time in them.");
    exposition_value(to, "oculi_loop_busy_seconds_total", "", (double)counts->busy_ns / 1e9);
    exposition_family(to, "oculi_loop_slow_steps_total", "counter", "Turns that took more than 10 ms.");
    exposition_value(to, "oculi_loop_slow_steps_total", "", (double)counts->slow);
    exposition_family(to, "oculi_loop_longest_step_seconds", "gauge", "The longest turn since the start.");
    exposition_value(to, "oculi_loop_longest_step_seconds", "", (double)counts->longest_ns / 1e9);
}

static void put_about(struct exposition *to, const struct about *about)
{
    struct about_counts counts;
    about_counts(about, &counts);
    exposition_family(to, "oculi_geo_databases", "gauge", "Databases of networks and places in use.");
    exposition_value(to, "oculi_geo_databases", "", (double)counts.databases);
    exposition_family(to, "oculi_names_known", "gauge", "Addresses whose names are remembered, also those that have none.");
    exposition_value(to, "oculi_names_known", "", (double)counts.names);
    exposition_family(to, "oculi_names_questions_total", "counter", "Questions for names of addresses, by what became of them.");
    exposition_value(to, "oculi_names_questions_total", "{result=\"asked\"}", (double)counts.asked);
    exposition_value(to, "oculi_names_questions_total", "{result=\"answered\"}", (double)counts.answered);
    exposition_value(to, "oculi_names_questions_total", "{result=\"failed\"}", (double)counts.failed);
    exposition_value(to, "oculi_names_questions_total", "{result=\"refused\"}", (double)counts.refused);
}

static void put_upkeep(struct exposition *to, const struct upkeep_state *state)
{
    exposition_family(to, "oculi_store_head_rounds", "gauge", "Rounds of the store that are not packed yet.");
    exposition_value(to, "oculi_store_head_rounds", "", (double)state->stats.head_rounds);
    exposition_family(to, "oculi_store_files", "gauge", "Files of the store.");
    exposition_value(to, "oculi_store_files", "", (double)state->stats.files);
    exposition_family(to, "oculi_store_budget_bytes", "gauge", "What the store may take of the disk; 0 = no limit.");
    exposition_value(to, "oculi_store_budget_bytes", "", (double)state->budget_bytes);
    exposition_family(to, "oculi_store_budget_warning", "gauge", "1 when the store nears its budget, 2 when it is beyond it.");
    exposition_value(to, "oculi_store_budget_warning", "",
              state->budget == UPKEEP_BUDGET_OVER ? 2 : state->budget == UPKEEP_BUDGET_NEAR ? 1 : 0);
    exposition_family(to, "oculi_store_packed_rounds_total", "counter", "Rounds packed into daily files.");
    exposition_value(to, "oculi_store_packed_rounds_total", "", (double)state->folded);
    exposition_family(to, "oculi_store_dropped_rounds_total", "counter", "Rounds dropped, by why.");
    exposition_value(to, "oculi_store_dropped_rounds_total", "{why=\"age\"}", (double)(state->dropped - state->over_budget));
    exposition_value(to, "oculi_store_dropped_rounds_total", "{why=\"budget\"}", (double)state->over_budget);
    exposition_family(to, "oculi_store_upkeep_failures_total", "counter", "Slices of the store's upkeep that failed.");
    exposition_value(to, "oculi_store_upkeep_failures_total", "", (double)state->failures);
    exposition_family(to, "oculi_store_upkeep_seconds_total", "counter", "Time in the store's upkeep.");
    exposition_value(to, "oculi_store_upkeep_seconds_total", "", (double)state->slice_ns / 1e9);
    exposition_family(to, "oculi_store_upkeep_longest_seconds", "gauge", "Its longest slice.");
    exposition_value(to, "oculi_store_upkeep_longest_seconds", "", (double)state->longest_slice_ns / 1e9);
}

static void put_one(struct exposition *to, const char *name, const char *type, const char *help, double value)
{
    exposition_family(to, name, type, help);
    exposition_value(to, name, "", value);
}

static void put_http(struct exposition *to, const struct server *server)
{
    const struct tally *tally = &server->tally;
    char label[64];
    exposition_family(to, "oculi_http_requests_total", "counter", "Requests answered, by part and status.");
    for (int part = 0; part < TALLY_PARTS; part++) {
        for (int i = 0; i < TALLY_STATUSES; i++) {
            if (!tally->statuses[part][i])
                continue;
            (void)snprintf(label, sizeof label, "{part=\"%s\",code=\"%d\"}", tally_part_names[part],
                           i + TALLY_STATUS_MIN);
            exposition_value(to, "oculi_http_requests_total", label, (double)tally->statuses[part][i]);
        }
    }
    exposition_family(to, "oculi_http_request_duration_seconds", "histogram",
                      "From the request line to the answer, by part; what waits on purpose is left out.");
    for (int part = 0; part < TALLY_PARTS; part++) {
        if (part == TALLY_PLANS || part == TALLY_STREAMS)
            continue;
        (void)snprintf(label, sizeof label, "part=\"%s\"", tally_part_names[part]);
        exposition_times(to, "oculi_http_request_duration_seconds", label, &tally->times[part]);
    }
    put_one(to, "oculi_http_requests_open", "gauge", "Requests being served, long polls and streams included.",
            (double)http_open_requests(server->http));
    put_one(to, "oculi_http_connections_open", "gauge", "Connections, idle ones included.",
            (double)http_connections(server->http));
    put_one(to, "oculi_http_connections_cut_total", "counter",
            "Connections closed because the other side was too slow.", (double)http_cut_connections(server->http));
    put_one(to, "oculi_http_upload_bytes", "gauge", "Bodies of requests held now.",
            (double)http_upload_bytes(server->http));
    put_one(to, "oculi_logins_refused_total", "counter", "Sign-ins refused.", (double)tally->logins_refused);
    if (server->tls)
        put_one(to, "oculi_tls_certificate_expiry_time_seconds", "gauge",
                "End of the certificate that serves, as epoch seconds.", (double)tls_expires_s(server->tls));
}

/* The rest of a metrics page is there also while the store is not. */
static void put_store(struct exposition *to, const struct server *server)
{
    struct store_stats stats;
    bool is_up = store_stats(server->store, &stats, NULL) == 0;
    put_one(to, "oculi_store_up", "gauge", "1 while the store answers.", is_up);
    if (is_up) {
        put_one(to, "oculi_store_objects", "gauge", "Objects in the store.", (double)stats.objects);
        put_one(to, "oculi_store_rounds", "gauge", "Rounds in the store.", (double)stats.rounds);
        put_one(to, "oculi_store_bytes", "gauge", "Size of the store on disk.", (double)stats.bytes);
    }
    struct operator_disk disk;
    if (operator_disk(server, &disk)) {
        put_one(to, "oculi_disk_size_bytes", "gauge", "Size of the file system of the data directory.",
                (double)disk.size);
        put_one(to, "oculi_disk_free_bytes", "gauge", "What of it the server may still take.", (double)disk.free);
    }
    if (server->upkeep)
        put_upkeep(to, upkeep_state(server->upkeep));
}

/* Under the names that every program's page has. */
static void put_process(struct exposition *to, const struct server *server)
{
    struct rusage usage;
    struct rlimit files;
    long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fscanf(statm, "%ld %ld", &pages, &resident) == 2)
        put_one(to, "process_resident_memory_bytes", "gauge", "Memory in use.",
                (double)resident * (double)sysconf(_SC_PAGESIZE));
    if (statm)
        (void)fclose(statm);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put_one(to, "process_cpu_seconds_total", "counter", "Time on processors.",
                (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put_one(to, "process_max_fds", "gauge", "Files and connections that may be open.", (double)files.rlim_cur);
    put_one(to, "process_start_time_seconds", "gauge", "When the server started, as epoch seconds.",
            (double)server->started_s);
}

static void put_limits(struct exposition *to)
{
    exposition_family(to, "oculi_limit_hits_total", "counter", "Ceilings reached, by name.");
    for (int i = 0; i < LIMIT_KIND_COUNT; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "{limit=\"%s\"}", limit_name((enum limit_kind)i));
        exposition_value(to, "oculi_limit_hits_total", label, (double)limit_hits((enum limit_kind)i));
    }
}

int operator_get_metrics(struct request *request, struct error *err)
{
    struct server *server = request->server;
    (void)err;
    if (!operator_may_see(request)) {
        bool has_token = server->config->metrics_token_file != NULL;
        if (has_token)
            http_add_header(request->http, "WWW-Authenticate", "Bearer");
        request_answer_problem(request, has_token ? 401 : 403, NULL,
                               has_token ? "Metrics are for who shows the token of --metrics-token-file."
                                         : "Metrics are for this machine only; --metrics-token-file changes that.");
        return 0;
    }
    struct buf out;
    buf_init(&out, 1u << 20);
    struct exposition to = {.out = &out, .is_open = exposition_wants_open(http_header(request->http, "Accept"))};
    exposition_family(&to, "oculi_build_info", "gauge", "The version of this server.");
    exposition_value(&to, "oculi_build_info", "{version=\"" OCULI_VERSION "\"}", 1);
    put_http(&to, server);
    put_intake(&to, intake_counts(server->intake));
    put_gather(&to, gather_counts(server->gather));
    put_loop(&to, loop_counts(server->loop));
    exposition_family(&to, "oculi_loop_lag_seconds", "histogram", "How late a timer of the event loop was, once a second.");
    exposition_times(&to, "oculi_loop_lag_seconds", "", &server->tally.lag);
    put_about(&to, server->about);
    put_one(&to, "oculi_agents_online", "gauge", "Agents that spoke in the last minutes.",
            (double)presence_count(server->presence));
    put_one(&to, "oculi_event_streams_open", "gauge", "Browsers that watch.",
            (double)stream_reader_count(server->stream));
    put_store(&to, server);
    put_limits(&to);
    put_process(&to, server);
    exposition_end(&to);
    request_answer_text(request, 200, exposition_type(&to), buf_str(&out), out.size);
    buf_done(&out);
    return 0;
}
